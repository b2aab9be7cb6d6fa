//! XCF links: what carries datagrams from one image to another. The protocol inside them is the
//! VIPA core's; a link only moves bytes, and may lose them.

mod channel;
mod cut;
mod udp;

use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::task::{Context, Poll};

use stack::Packet;

pub use channel::Exchange;
pub use cut::CutLink;
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use std::future::poll_fn;
    use std::net::UdpSocket;

    async fn exchange_datagrams(a: &mut dyn XcfLink, b: &mut dyn XcfLink, to_b: IpAddr, from_a: IpAddr) {
        a.send(to_b, &[IoSlice::new(b"one "), IoSlice::new(b"datagram")]).unwrap();
        let mut packet = Packet::full_size();
        assert_eq!(poll_fn(|cx| b.poll_recv(cx, &mut packet)).await.unwrap(), from_a);
        assert_eq!(packet.bytes(), b"one datagram");
        assert!(packet.headroom() > 0);
        a.send_packet(to_b, Packet::copy_of(b"packet")).unwrap();
        assert_eq!(poll_fn(|cx| b.poll_recv(cx, &mut packet)).await.unwrap(), from_a);
        assert_eq!(packet.bytes(), b"packet");
        assert!(a.send("192.0.2.99".parse().unwrap(), &[IoSlice::new(b"x")]).is_err());
    }

    #[tokio::test]
    async fn in_process_links_carry_datagrams_and_forget_the_dead() {
        let (one, two) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let exchange = Exchange::default();
        let (mut a, mut b) = (exchange.attach(one), exchange.attach(two));
        exchange_datagrams(&mut a, &mut b, two, one).await;
        let reborn = exchange.attach(two);
        drop(b);
        a.send(two, &[IoSlice::new(b"to the new life")]).unwrap();
        drop(reborn);
        assert_eq!(a.send(two, &[IoSlice::new(b"x")]).unwrap_err().kind(), io::ErrorKind::HostUnreachable);
    }

    #[tokio::test]
    async fn udp_links_carry_datagrams() {
        let (one, two): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let free = || UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let endpoints = HashMap::from([(one, free()), (two, free())]);
        let (mut a, mut b) = (UdpLink::bind(one, &endpoints).unwrap(), UdpLink::bind(two, &endpoints).unwrap());
        exchange_datagrams(&mut a, &mut b, two, one).await;
    }
}
