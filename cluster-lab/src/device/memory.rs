//! A network link in memory, for tests: what one end sends, the other receives.

use std::io;
use std::task::{Context, Poll, ready};

use stack::{Packet, Transmit};
use tokio::sync::mpsc;

use super::{Device, gather};

/// Packets under way before more are dropped.
const DEPTH: usize = 1024;

/// One end of the link.
#[derive(Debug)]
pub struct Memory {
    out: mpsc::Sender<Packet>,
    inbox: mpsc::Receiver<Packet>,
    max_super: u16,
}

impl Memory {
    /// Both ends of a link that takes super-segments of `max_super` bytes, or none if that is 0.
    pub fn pair(max_super: u16) -> (Memory, Memory) {
        let ((to_b, from_a), (to_a, from_b)) = (mpsc::channel(DEPTH), mpsc::channel(DEPTH));
        let end = |out, inbox| Memory { out, inbox, max_super };
        (end(to_b, from_b), end(to_a, from_a))
    }
}

impl Device for Memory {
    fn max_super(&self) -> u16 {
        self.max_super
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>, packet: &mut Packet) -> Poll<io::Result<()>> {
        match ready!(self.inbox.poll_recv(cx)) {
            Some(received) => {
                *packet = received;
                Poll::Ready(Ok(()))
            }
            // The other end is gone: nothing will come any more, as on a link without a peer.
            None => Poll::Pending,
        }
    }

    fn send(&mut self, packet: Transmit<'_>) {
        // A full link drops.
        let _ = self.out.try_send(gather(&packet));
    }

    fn send_packet(&mut self, packet: &mut Packet) {
        let _ = self.out.try_send(packet.clone());
    }
}
