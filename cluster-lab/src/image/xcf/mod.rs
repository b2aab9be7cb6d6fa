//! XCF links: what carries datagrams from one image to another. The protocol inside them is the
//! VIPA core's; a link only moves bytes, and may lose them.

mod channel;
mod cut;
mod refusals;
mod seal;
mod shared;
mod udp;
mod window;

#[cfg(test)]
mod tests;

use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use stack::Packet;

pub use channel::Exchange;
pub use cut::CutLink;
pub use refusals::{Cause, Refusals};
pub use shared::SharedLink;
pub use udp::UdpLink;

/// One image's attachment to XCF.
pub trait XcfLink: Send {
    /// The next datagram and the XCF address of its sender. Headroom of `packet` is kept free.
    ///
    /// # Errors
    /// When the link itself broke; a lost datagram is no error.
    fn poll_recv(&mut self, cx: &mut Context<'_>, packet: &mut Packet) -> Poll<io::Result<IpAddr>>;

    /// Sends the concatenation of `parts` to the image with XCF address `to`.
    ///
    /// # Errors
    /// The datagram was not sent: unknown peer, no room. Losing it is allowed.
    fn send(&mut self, to: IpAddr, parts: &[IoSlice<'_>]) -> io::Result<()>;

    /// Sends a whole packet; hands back the buffer if it is free again.
    ///
    /// # Errors
    /// As for [`send`](XcfLink::send).
    fn send_packet(&mut self, to: IpAddr, packet: Packet) -> io::Result<Option<Packet>> {
        self.send(to, &[IoSlice::new(packet.bytes())]).map(|()| Some(packet))
    }

    /// While it is on, whoever reads looks again by itself: nobody need wake it for what comes. Off, until it is called.
    fn linger(&mut self, _on: bool) {}

    /// Nothing more is sent for now: whoever waits for what was sent may be woken.
    fn flush(&mut self) {}

    /// The next line that the link has for the event log.
    fn poll_line(&mut self) -> Option<String> {
        None
    }

    /// How many datagrams the link has dropped, and why.
    fn refusals(&self) -> Arc<Refusals> {
        Arc::default()
    }
}
