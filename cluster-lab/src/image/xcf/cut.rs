//! A link that can be cut: for partitions on a running lab (`cluster-lab cut`).

use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use stack::Packet;
use tokio::sync::watch;

use super::{Refusals, XcfLink};
use crate::control::Cut;

/// A link that loses every datagram to and from the peers that it is cut from.
pub struct CutLink {
    link: Box<dyn XcfLink>,
    cut: Cut,
    news: watch::Receiver<Cut>,
}

impl CutLink {
    /// `link`, and what cuts and heals it.
    pub fn new(link: Box<dyn XcfLink>) -> (CutLink, watch::Sender<Cut>) {
        let (sender, news) = watch::channel(Cut::default());
        (CutLink { link, cut: Cut::default(), news }, sender)
    }

    fn cut(&mut self) -> &Cut {
        // One atomic load unless there is news.
        if self.news.has_changed().unwrap_or(false) {
            self.cut = self.news.borrow_and_update().clone();
        }
        &self.cut
    }
}

impl XcfLink for CutLink {
    fn poll_recv(&mut self, cx: &mut Context<'_>, packet: &mut Packet) -> Poll<io::Result<IpAddr>> {
        loop {
            let from = ready!(self.link.poll_recv(cx, packet))?;
            if !self.cut().from.contains(&from) {
                return Poll::Ready(Ok(from));
            }
        }
    }

    fn send(&mut self, to: IpAddr, parts: &[IoSlice<'_>]) -> io::Result<()> {
        if self.cut().to.contains(&to) { Ok(()) } else { self.link.send(to, parts) }
    }

    fn send_packet(&mut self, to: IpAddr, packet: Packet) -> io::Result<Option<Packet>> {
        if self.cut().to.contains(&to) { Ok(Some(packet)) } else { self.link.send_packet(to, packet) }
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
    use super::super::Exchange;
    use super::*;

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const TWO: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    /// What arrives, until nothing does.
    fn received(link: &mut CutLink) -> Vec<u8> {
        let (mut packet, mut bytes) = (Packet::full_size(), Vec::new());
        let mut cx = Context::from_waker(std::task::Waker::noop());
        while let Poll::Ready(from) = link.poll_recv(&mut cx, &mut packet) {
            assert_eq!(from.unwrap(), ONE);
            bytes.extend_from_slice(packet.bytes());
        }
        bytes
    }

    /// Either end alone keeps every datagram of the direction that is cut, and no other.
    #[test]
    fn a_cut_link_carries_nothing_until_it_is_healed() {
        let exchange = Exchange::default();
        let (mut one, cut_one) = CutLink::new(Box::new(exchange.attach(ONE)));
        let (mut two, cut_two) = CutLink::new(Box::new(exchange.attach(TWO)));
        let send = |link: &mut CutLink, byte: &[u8; 1]| {
            link.send(TWO, &[IoSlice::new(byte)]).unwrap();
            link.send_packet(TWO, Packet::copy_of(byte)).unwrap();
        };
        send(&mut one, b"a");
        assert_eq!(received(&mut two), b"aa");

        cut_one.send(Cut { to: [TWO].into(), ..Cut::default() }).unwrap();
        send(&mut one, b"b");
        cut_one.send(Cut { from: [TWO].into(), ..Cut::default() }).unwrap();
        send(&mut one, b"c");
        assert_eq!(received(&mut two), b"cc");

        // Sent before the cut, and not yet received, is lost too.
        send(&mut one, b"d");
        cut_two.send(Cut { from: [ONE].into(), ..Cut::default() }).unwrap();
        assert_eq!(received(&mut two), b"");
        cut_two.send(Cut { to: [ONE].into(), ..Cut::default() }).unwrap();
        send(&mut one, b"e");
        assert_eq!(received(&mut two), b"ee");
    }
}
