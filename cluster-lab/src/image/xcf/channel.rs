//! XCF inside one process. Nothing is sealed here: a datagram never leaves the process's memory, and
//! whoever can write there needs no key.

use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use stack::{Offload, Packet, Pool};
use tokio::sync::mpsc;
use vipa::wire::Datagram;

use super::XcfLink;

/// Datagrams that wait on an in-process link before more are dropped.
const CHANNEL_DEPTH: usize = 4096;

/// A control datagram up to this size waits in a buffer of its own size: when images begin, each has something
/// to say to each, and thousands of full-size buffers would stay behind. Data takes buffers that are there.
const SMALL: usize = 2048;

/// A datagram on an in-process link.
type Carried = (IpAddr, Packet);

/// All in-process links of one process.
#[derive(Clone, Debug)]
pub struct Exchange {
    inboxes: Arc<Mutex<HashMap<IpAddr, mpsc::Sender<Carried>>>>,
    pool: Arc<Mutex<Pool>>,
}

impl Default for Exchange {
    fn default() -> Self {
        Exchange { inboxes: Arc::default(), pool: Arc::new(Mutex::new(Pool::new(256))) }
    }
}

impl Exchange {
    /// Attaches the image with XCF address `own`, in place of a former life of it.
    pub fn attach(&self, own: IpAddr) -> ChannelLink {
        let (sender, inbox) = mpsc::channel(CHANNEL_DEPTH);
        self.inboxes.lock().unwrap_or_else(PoisonError::into_inner).insert(own, sender.clone());
        ChannelLink { own, inbox, sender, exchange: self.clone() }
    }
}

/// XCF inside one process.
#[derive(Debug)]
pub struct ChannelLink {
    own: IpAddr,
    inbox: mpsc::Receiver<Carried>,
    sender: mpsc::Sender<Carried>,
    exchange: Exchange,
}

impl ChannelLink {
    fn put(&self, to: IpAddr, packet: Packet) -> io::Result<()> {
        let inboxes = self.exchange.inboxes.lock().unwrap_or_else(PoisonError::into_inner);
        let inbox = inboxes.get(&to).ok_or(io::ErrorKind::HostUnreachable)?;
        inbox.try_send((self.own, packet)).map_err(|_| io::ErrorKind::WouldBlock.into())
    }
}

impl XcfLink for ChannelLink {
    fn poll_recv(&mut self, cx: &mut Context<'_>, packet: &mut Packet) -> Poll<io::Result<IpAddr>> {
        // Never closed: `sender` keeps the channel open.
        let Some((from, mut received)) = ready!(self.inbox.poll_recv(cx)) else { return Poll::Pending };
        if received.footprint() < packet.footprint() {
            // `packet` keeps its size: larger ones are read into it.
            packet.room(0)[..received.len()].copy_from_slice(received.bytes());
            packet.filled(received.len());
            return Poll::Ready(Ok(from));
        }
        received.offload = Offload::default();
        let spare = std::mem::replace(packet, received);
        self.exchange.pool.lock().unwrap_or_else(PoisonError::into_inner).give(spare);
        Poll::Ready(Ok(from))
    }

    fn send(&mut self, to: IpAddr, parts: &[IoSlice<'_>]) -> io::Result<()> {
        let size: usize = parts.iter().map(|part| part.len()).sum();
        let control = parts.first().is_some_and(|part| vipa::wire::classify(part) == Datagram::Control);
        let mut packet = match size {
            ..=SMALL if control => Packet::copy_of(&[0; SMALL][..size]),
            _ => self.exchange.pool.lock().unwrap_or_else(PoisonError::into_inner).take(),
        };
        let mut len = 0;
        for part in parts {
            let room = packet.room(0).get_mut(len..len + part.len()).ok_or(io::ErrorKind::InvalidInput)?;
            room.copy_from_slice(part);
            len += part.len();
        }
        packet.filled(len);
        self.put(to, packet)
    }

    fn send_packet(&mut self, to: IpAddr, packet: Packet) -> io::Result<Option<Packet>> {
        self.put(to, packet)?;
        // For the buffer that went, one that came before: else the sender would always need new ones.
        Ok(self.exchange.pool.lock().unwrap_or_else(PoisonError::into_inner).reuse())
    }
}

impl Drop for ChannelLink {
    fn drop(&mut self) {
        let mut inboxes = self.exchange.inboxes.lock().unwrap_or_else(PoisonError::into_inner);
        // A new life may have attached already.
        if inboxes.get(&self.own).is_some_and(|sender| sender.same_channel(&self.sender)) {
            inboxes.remove(&self.own);
        }
    }
}
