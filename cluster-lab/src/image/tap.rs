//! Copies of an image's packets, for `cluster-lab capture`: while nobody wants them, a packet costs one
//! atomic load.

use std::fmt;
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{SystemTime, UNIX_EPOCH};

use stack::{Packet, Transmit};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use super::xcf::{Refusals, XcfLink};
use crate::capture::{Link, Record, Way};
use crate::device::Device;

/// Records that wait for a command which reads slowly; more are lost to it, and it is told how many.
const WAITING: usize = 4096;

/// Who wants copies. Clones are one.
#[derive(Clone, Default)]
pub(super) struct Tap(Arc<Wanted>);

#[derive(Default)]
struct Wanted {
    any: AtomicBool,
    by: Mutex<Vec<Reader>>,
}

/// One command that wants copies.
struct Reader {
    to: mpsc::Sender<Vec<u8>>,
    /// Records that it has lost since the last one that it got, of the network's link and of XCF.
    lost: [u32; 2],
}

impl Reader {
    fn give(&mut self, link: Link, mut record: Vec<u8>) {
        let lost = &mut self.lost[usize::from(link != Link::Network)];
        Record::tell_lost(&mut record, *lost);
        *lost = if self.to.try_send(record).is_ok() { 0 } else { lost.saturating_add(1) };
    }
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tap").finish_non_exhaustive()
    }
}

impl Tap {
    /// From now on copies go to the socket at `path`, until nobody reads there.
    pub fn open(&self, path: PathBuf) {
        let (to, mut receiver) = mpsc::channel(WAITING);
        self.with(|by| by.push(Reader { to, lost: [0; 2] }));
        let tap = self.clone();
        tokio::spawn(async move {
            if let Ok(mut stream) = UnixStream::connect(path).await {
                let gone = |stream: &UnixStream| stream.try_read(&mut [0]).is_ok_and(|count| count == 0);
                loop {
                    tokio::select! {
                        record = receiver.recv() => match record {
                            Some(record) if stream.write_all(&record).await.is_ok() => {}
                            _ => break,
                        },
                        ready = stream.readable() => if ready.is_err() || gone(&stream) { break },
                    }
                }
            }
            drop(receiver);
            tap.with(|by| by.retain(|reader| !reader.to.is_closed()));
        });
    }

    fn with(&self, change: impl FnOnce(&mut Vec<Reader>)) {
        let mut by = self.0.by.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut by);
        self.0.any.store(!by.is_empty(), Ordering::Relaxed);
    }

    fn is_wanted(&self) -> bool {
        self.0.any.load(Ordering::Relaxed)
    }

    fn copy<'a>(&self, way: Way, link: Link, parts: impl Iterator<Item = &'a [u8]> + Clone) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let time = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        let record = Record::encode(time, way, link, parts);
        // Whoever reads too slowly loses records, not the image its time.
        self.with(|by| by.iter_mut().for_each(|reader| reader.give(link, record.clone())));
    }

    fn packet(&self, way: Way, link: Link, bytes: &[u8]) {
        if self.is_wanted() {
            self.copy(way, link, std::iter::once(bytes));
        }
    }
}

/// A network link whose packets are copied.
pub(super) struct TappedDevice {
    pub device: Box<dyn Device>,
    pub tap: Tap,
}

impl Device for TappedDevice {
    fn max_super(&self) -> u16 {
        self.device.max_super()
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>, packet: &mut Packet) -> Poll<io::Result<()>> {
        ready!(self.device.poll_recv(cx, packet))?;
        self.tap.packet(Way::In, Link::Network, packet.bytes());
        Poll::Ready(Ok(()))
    }

    fn send(&mut self, packet: Transmit<'_>) {
        if self.tap.is_wanted() {
            let parts = std::iter::once(packet.header).chain(packet.payload.iter().copied());
            self.tap.copy(Way::Out, Link::Network, parts);
        }
        self.device.send(packet);
    }

    fn send_packet(&mut self, packet: &mut Packet) {
        self.tap.packet(Way::Out, Link::Network, packet.bytes());
        self.device.send_packet(packet);
    }
}

/// XCF whose datagrams are copied, readable as they are before they are sealed.
pub(super) struct TappedLink {
    pub link: Box<dyn XcfLink>,
    pub tap: Tap,
}

impl XcfLink for TappedLink {
    fn poll_recv(&mut self, cx: &mut Context<'_>, packet: &mut Packet) -> Poll<io::Result<IpAddr>> {
        let from = ready!(self.link.poll_recv(cx, packet))?;
        self.tap.packet(Way::In, Link::Xcf(from), packet.bytes());
        Poll::Ready(Ok(from))
    }

    fn send(&mut self, to: IpAddr, parts: &[IoSlice<'_>]) -> io::Result<()> {
        if self.tap.is_wanted() {
            self.tap.copy(Way::Out, Link::Xcf(to), parts.iter().map(|part| &**part));
        }
        self.link.send(to, parts)
    }

    fn send_packet(&mut self, to: IpAddr, packet: Packet) -> io::Result<Option<Packet>> {
        self.tap.packet(Way::Out, Link::Xcf(to), packet.bytes());
        self.link.send_packet(to, packet)
    }

    fn linger(&mut self, on: bool) {
        self.link.linger(on);
    }

    fn flush(&mut self) {
        self.link.flush();
    }

    fn poll_line(&mut self) -> Option<String> {
        self.link.poll_line()
    }

    fn refusals(&self) -> Arc<Refusals> {
        self.link.refusals()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever reads too slowly is told how many records of each link it has lost.
    #[tokio::test]
    async fn what_is_lost_is_told() {
        let (to, mut records) = mpsc::channel(1);
        let mut reader = Reader { to, lost: [0; 2] };
        let xcf = Link::Xcf([192, 0, 2, 1].into());
        let mut told = Vec::new();
        for links in [&[Link::Network, xcf, Link::Network, xcf, xcf][..], &[xcf], &[Link::Network], &[xcf]] {
            for link in links {
                reader.give(*link, Record::encode(0, Way::In, *link, std::iter::empty()));
            }
            let record = records.recv().await.unwrap();
            told.push(Record::read(&mut &record[..]).await.unwrap().map(|record| (record.link, record.lost)).unwrap());
        }
        assert_eq!(told, [(Link::Network, 0), (xcf, 3), (Link::Network, 1), (xcf, 0)]);
    }
}
