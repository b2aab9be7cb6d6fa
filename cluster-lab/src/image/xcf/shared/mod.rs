//! XCF between processes of one host: data goes through memory that two images have in common, without
//! a system call for each datagram, a copy into the kernel and back, and a seal. Control datagrams, and
//! data for whom there is no such memory (yet), go over UDP.

mod meeting;
mod ring;

use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};
use stack::Packet;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use vipa::wire::Datagram;

use super::seal::{HEADER, TAG};
use super::{Refusals, UdpLink, XcfLink};
use meeting::{CONTENT, News, Newsroom, Note};
use ring::{Broken, Reader, Writer};

/// A peer that has refused is asked again after this.
const AGAIN: Duration = Duration::from_secs(1);

/// UDP, and rings beside it.
#[derive(Debug)]
pub struct SharedLink {
    udp: UdpLink,
    endpoints: HashMap<IpAddr, SocketAddr>,
    /// To each peer that data was for. A ring ends with its reader, and so is for one life of it.
    out: HashMap<IpAddr, Outgoing>,
    /// Those that were written to since the last flush.
    dirty: Vec<IpAddr>,
    /// From each peer that has data for this image.
    incoming: Vec<Incoming>,
    /// Rings are read in turns: the one that was read last.
    turn: usize,
    /// So are all of them and UDP.
    udp_first: bool,
    /// Whoever reads looks again by itself: no bell is needed.
    lingers: bool,
    /// What writers wake this image by.
    bell: AsyncFd<OwnedFd>,
    news: mpsc::UnboundedReceiver<News>,
    newsroom: Newsroom,
    /// Meetings, and who watches what came of them; they end with the link.
    tasks: JoinSet<()>,
    /// Rings are numbered.
    next: u64,
    /// For the event log.
    line: Option<String>,
}

/// The way to a peer's memory.
#[derive(Debug)]
enum Outgoing {
    /// This life of it.
    Asking(u64),
    /// Until then that life is not asked again.
    Refused(u64, Instant),
    Open {
        number: u64,
        writer: Writer,
        bell: OwnedFd,
    },
}

/// A ring from a peer.
#[derive(Debug)]
struct Incoming {
    number: u64,
    from: IpAddr,
    reader: Reader,
    /// The writer is gone: what it has written is still read.
    ended: bool,
    /// Holds the connection to the writer, which learns by its end that nobody reads any more.
    watcher: AbortHandle,
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

impl SharedLink {
    /// Puts rings beside a UDP link that is bound to `endpoints[own]`.
    ///
    /// # Errors
    /// When the kernel has no descriptors left. Where nobody can be met, UDP carries everything.
    pub fn new(udp: UdpLink, own: IpAddr, endpoints: &HashMap<IpAddr, SocketAddr>) -> io::Result<Self> {
        let (newsroom, news) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        let mut line = None;
        match endpoints.get(&own).map(|endpoint| meeting::open(*endpoint)) {
            Some(Ok(listener)) => drop(tasks.spawn(meeting::receive(listener, newsroom.clone()))),
            Some(Err(error)) => {
                line = Some(format!("XCF: data comes by UDP alone, nobody can ask for memory: {error}"))
            }
            None => {}
        }
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(SharedLink {
            udp,
            endpoints: endpoints.clone(),
            out: HashMap::new(),
            dirty: Vec::new(),
            incoming: Vec::new(),
            turn: 0,
            udp_first: false,
            lingers: false,
            bell: crate::sys::watch(bell)?,
            news,
            newsroom,
            tasks,
            next: 0,
            line,
        })
    }

    /// Writes to the ring if there is one. `None`: UDP is to carry it; where that can change, a ring is asked for.
    fn put(&mut self, to: IpAddr, parts: &[IoSlice<'_>]) -> Option<io::Result<()>> {
        if vipa::wire::classify(parts.first()?) == Datagram::Control {
            return None;
        }
        match self.out.get_mut(&to) {
            Some(Outgoing::Open { writer, .. }) => {
                let written = writer.put(parts);
                if !self.dirty.contains(&to) {
                    self.dirty.push(to);
                }
                return Some(if written { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) });
            }
            Some(Outgoing::Asking(_)) => {}
            Some(Outgoing::Refused(life, until))
                if self.udp.proven_life(to) == Some(*life) && Instant::now() < *until => {}
            Some(Outgoing::Refused(..)) | None => self.ask(to),
        }
        None
    }

    /// Asks a peer for a ring, unless it has not proven its life yet.
    fn ask(&mut self, to: IpAddr) {
        if let Some(life) = self.udp.proven_life(to)
            && let Some(note) = self.note(to, life)
            && let Some(endpoint) = self.endpoints.get(&to)
        {
            self.tasks.spawn(meeting::ask(to, *endpoint, note, self.newsroom.clone()));
            self.out.insert(to, Outgoing::Asking(life));
        }
    }

    fn refused(&mut self, to: IpAddr) {
        if let Some(outgoing) = self.out.get_mut(&to)
            && let Outgoing::Asking(life) = *outgoing
        {
            *outgoing = Outgoing::Refused(life, Instant::now() + AGAIN);
        }
    }

    /// What proves this stack's identity to a life of `to`.
    fn note(&mut self, to: IpAddr, life: u64) -> Option<Note> {
        let mut note = [0; size_of::<Note>()];
        note[HEADER..HEADER + CONTENT.len()].copy_from_slice(CONTENT);
        self.udp.seal(to, life, &mut note)?;
        Some(note)
    }

    /// Whose note it is, and that it is for the present life of this stack.
    fn author(&mut self, mut note: Note) -> Option<IpAddr> {
        let (from, len) = self.udp.open(&mut note)?;
        (note.len() == HEADER + len + TAG && note[HEADER..].starts_with(CONTENT)).then_some(from)
    }

    fn heed(&mut self, news: News) {
        match news {
            // What is wrong with it is not told: whoever asked has UDP.
            News::Asked { note, stream } => drop(self.admit(note, stream)),
            News::Answered { to, note, memory, bell, stream } => {
                let opened = if self.author(note) == Some(to) { Writer::open(memory).ok() } else { None };
                let Some(writer) = opened else { return self.refused(to) };
                let number = self.number();
                self.tasks.spawn(meeting::watch(number, stream, self.newsroom.clone()));
                self.out.insert(to, Outgoing::Open { number, writer, bell });
            }
            News::Refused { to } => self.refused(to),
            News::Gone { number } => {
                self.out
                    .retain(|_, outgoing| !matches!(outgoing, Outgoing::Open { number: its, .. } if *its == number));
                self.incoming.iter_mut().filter(|ring| ring.number == number).for_each(|ring| ring.ended = true);
            }
        }
        // Those that have ended.
        while self.tasks.try_join_next().is_some() {}
    }

    /// Makes a ring for a peer that asks, in place of one that it had.
    fn admit(&mut self, note: Note, stream: tokio::net::UnixStream) -> io::Result<()> {
        let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
        let from = self.author(note).ok_or_else(denied)?;
        let life = self.udp.proven_life(from).ok_or_else(denied)?;
        let note = self.note(from, life).ok_or_else(denied)?;
        let (reader, memory) = Reader::create()?;
        meeting::answer(&stream, &note, &memory, self.bell.get_ref())?;
        let number = self.number();
        self.incoming.retain(|ring| ring.from != from);
        let watcher = self.tasks.spawn(meeting::watch(number, stream, self.newsroom.clone()));
        self.incoming.push(Incoming { number, from, reader, ended: false, watcher });
        Ok(())
    }

    /// Whether data for `to` goes through memory.
    #[cfg(test)]
    pub(super) fn shares_with(&self, to: IpAddr) -> bool {
        matches!(self.out.get(&to), Some(Outgoing::Open { .. }))
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// The next datagram of any ring.
    fn take(&mut self, packet: &mut Packet) -> Option<IpAddr> {
        for _ in 0..self.incoming.len() {
            self.turn = if self.turn + 1 < self.incoming.len() { self.turn + 1 } else { 0 };
            let ring = &mut self.incoming[self.turn];
            match ring.reader.take(packet.room(0)) {
                Ok(Some(len)) => {
                    packet.filled(len);
                    return Some(ring.from);
                }
                Ok(None) if !ring.ended => {}
                // Whoever is still there hears of it, and asks for another one.
                Ok(None) | Err(Broken) => {
                    self.incoming.remove(self.turn);
                    return self.take(packet);
                }
            }
        }
        None
    }

    /// Has every writer wake this image; `false` if one has written meanwhile.
    fn sleeps(&self) -> bool {
        self.incoming.iter().all(|ring| ring.reader.sleeps())
    }

    /// Pending until a bell has rung.
    fn poll_bell(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The runtime hears of every ring (EPOLLET): nobody need read how often it has rung.
        ready!(self.bell.poll_read_ready(cx))?.clear_ready();
        Poll::Ready(Ok(()))
    }
}

impl XcfLink for SharedLink {
    fn poll_recv(&mut self, cx: &mut Context<'_>, packet: &mut Packet) -> Poll<io::Result<IpAddr>> {
        while let Poll::Ready(Some(news)) = self.news.poll_recv(cx) {
            self.heed(news);
        }
        self.udp_first = !self.udp_first;
        loop {
            for udp in [self.udp_first, !self.udp_first] {
                if udp {
                    if let Poll::Ready(received) = self.udp.poll_recv(cx, packet) {
                        return Poll::Ready(received);
                    }
                } else if let Some(from) = self.take(packet) {
                    return Poll::Ready(Ok(from));
                }
            }
            if self.lingers || (self.sleeps() && self.poll_bell(cx)?.is_pending()) {
                return Poll::Pending;
            }
        }
    }

    fn send(&mut self, to: IpAddr, parts: &[IoSlice<'_>]) -> io::Result<()> {
        match self.put(to, parts) {
            Some(sent) => sent,
            None => self.udp.send(to, parts),
        }
    }

    fn send_packet(&mut self, to: IpAddr, packet: Packet) -> io::Result<Option<Packet>> {
        match self.put(to, &[IoSlice::new(packet.bytes())]) {
            // Lost, as it may be; the buffer is free in either case.
            Some(_) => Ok(Some(packet)),
            None => self.udp.send_packet(to, packet),
        }
    }

    fn linger(&mut self, on: bool) {
        self.lingers = on;
    }

    fn flush(&mut self) {
        for to in self.dirty.drain(..) {
            if let Some(Outgoing::Open { writer, bell, .. }) = self.out.get(&to)
                && writer.wakes()
            {
                // A bell that has rung too often to count rings already.
                let _ = rustix::io::write(bell, &1u64.to_ne_bytes());
            }
        }
    }

    fn poll_line(&mut self) -> Option<String> {
        self.line.take().or_else(|| self.udp.poll_line())
    }

    fn refusals(&self) -> Arc<Refusals> {
        self.udp.refusals()
    }
}
