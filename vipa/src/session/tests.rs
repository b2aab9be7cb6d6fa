//! Sessions between two sides, over links that lose, double and reorder.

use proptest::prelude::*;

use super::*;
use crate::wire::control::{Item, items};

const RESEND: Duration = Duration::from_millis(20);

fn hello() -> Message {
    Message::Hello { name: "MVS1".into(), process: None, linked: true, leaving: false }
}

fn numbered(port: u16) -> Message {
    Message::SrvStat { server: (([203, 0, 113, 1]), port).into(), listeners: 1 }
}

/// One side, and the numbers of the messages it got in its present session.
struct Side {
    session: Session,
    got: Vec<u16>,
}

impl Side {
    fn new(incarnation: u64, bound: usize) -> Self {
        Side { session: Session::new(incarnation, 4096, bound, RESEND), got: Vec::new() }
    }

    fn receive(&mut self, now: Instant, datagram: &[u8]) -> Arrival {
        let (header, messages) = Header::parse(datagram).unwrap();
        let is_hello = matches!(items(messages).next(), Some(Item::Message(Message::Hello { .. })));
        let arrival = self.session.receive(now, &header, messages, is_hello);
        if self.session.take_agreement() {
            self.got.clear();
        }
        while let Some(body) = self.session.take() {
            for item in items(&body) {
                let Item::Message(Message::SrvStat { server, .. }) = item else { panic!("{item:?}") };
                self.got.push(server.port());
            }
        }
        arrival
    }

    fn send(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let mut datagrams = self.session.handle_timeout(now);
        datagrams.extend(core::iter::from_fn(|| self.session.poll(now, hello)));
        datagrams
    }
}

/// Carries everything both ways until nothing is said any more.
fn settle(now: Instant, a: &mut Side, b: &mut Side) {
    loop {
        let (from_a, from_b) = (a.send(now), b.send(now));
        if from_a.is_empty() && from_b.is_empty() {
            return;
        }
        for datagram in from_a {
            b.receive(now, &datagram);
        }
        for datagram in from_b {
            a.receive(now, &datagram);
        }
    }
}

fn agreed(at: u64, a: &mut Side, b: &mut Side) {
    settle(Instant::from_millis(at), a, b);
    let later = Instant::from_millis(at + 10);
    settle(later, a, b);
    // What each says first proves the session to the other.
    let datagrams = [a.session.unsequenced(&Message::Leaving), b.session.unsequenced(&Message::Leaving)];
    b.receive(later, &datagrams[0]);
    a.receive(later, &datagrams[1]);
    assert!(a.session.is_agreed() && b.session.is_agreed());
}

/// R14: once the later life was heard, nothing of the former one counts.
#[test]
fn a_former_life_is_ignored() {
    let now = Instant::from_millis(300);
    let (mut a, mut old, mut new) = (Side::new(1, 1 << 20), Side::new(7, 1 << 20), Side::new(8, 1 << 20));
    agreed(100, &mut a, &mut old);
    old.session.push(&numbered(1));
    let late = old.send(now);
    agreed(400, &mut a, &mut new);
    assert_eq!(a.session.incarnation(), Some(8));
    assert_eq!(a.receive(now, &late[0]), Arrival::Stale);
    a.session.bury(8);
    assert_eq!(a.session.incarnation(), None);
    assert_eq!(a.receive(now, &new.session.unsequenced(&hello())), Arrival::Stale);
}

/// R13: more waits than the bound allows: both sides begin again.
#[test]
fn an_overfull_session_starts_afresh() {
    let (mut a, mut b) = (Side::new(1, 8192), Side::new(2, 8192));
    agreed(100, &mut a, &mut b);
    assert!(a.session.push(&numbered(1)));
    let overflow = (0..10_000).find(|port| !a.session.push(&numbered(*port))).unwrap();
    assert!(overflow > 100 && !a.session.is_agreed());
    let now = Instant::from_millis(400);
    settle(now, &mut a, &mut b);
    assert!(b.session.is_agreed());
    b.session.push(&numbered(5));
    settle(now, &mut a, &mut b);
    assert!(a.session.is_agreed());
    assert_eq!(a.got, [5]);
}

proptest! {
    /// R13: whatever the network does to datagrams, messages arrive once and in order.
    #[test]
    fn messages_arrive_once_and_in_order(
        fates in prop::collection::vec((0u8..10, any::<prop::sample::Index>()), 0..400),
        count in 1u16..300,
    ) {
        let (mut a, mut b) = (Side::new(1, 1 << 20), Side::new(2, 1 << 20));
        agreed(100, &mut a, &mut b);
        let mut now = Instant::from_millis(1000);
        let mut air: Vec<(bool, Vec<u8>)> = Vec::new();
        let mut sent = 0;
        for (fate, index) in fates {
            if sent < count {
                a.session.push(&numbered(sent));
                b.session.push(&numbered(sent));
                sent += 1;
            }
            now += Duration::from_millis(7);
            air.extend(a.send(now).into_iter().map(|datagram| (true, datagram)));
            air.extend(b.send(now).into_iter().map(|datagram| (false, datagram)));
            if air.is_empty() {
                continue;
            }
            let at = index.index(air.len());
            let (to_b, datagram) = if fate == 0 { air[at].clone() } else { air.swap_remove(at) };
            match fate {
                1 | 2 => {}
                _ => {
                    let receiver = if to_b { &mut b } else { &mut a };
                    receiver.receive(now, &datagram);
                }
            }
        }
        for port in sent..count {
            a.session.push(&numbered(port));
            b.session.push(&numbered(port));
        }
        for _ in 0..200 {
            now += Duration::from_millis(600);
            settle(now, &mut a, &mut b);
        }
        let expected: Vec<u16> = (0..count).collect();
        prop_assert_eq!(&a.got, &expected);
        prop_assert_eq!(&b.got, &expected);
        prop_assert_eq!(a.session.waiting_bytes, 0);
    }
}
