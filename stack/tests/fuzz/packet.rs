//! One packet, with any offload facts: `[how, a, b, c, d, packet…]`, or one of the seeds, changed:
//! `[how, a, b, c, d, which, (place, what, value)…]`.

use std::cell::RefCell;
use std::sync::LazyLock;

use stack::packet::SegmentKind;
use stack::reassembly::{Outcome, Reassembly};
use stack::tcp::ListenOptions;
use stack::wire::datagram::Datagram;
use stack::wire::flow::Flow;
use stack::wire::{header_len, ip, segment};
use stack::{Checksum, Config, Offload, Packet, Segmentation, Stack};

use crate::frames::repair;
use crate::seeds;
use crate::support::*;

/// Bits of the first byte.
pub const REPAIR: u8 = 1;
const PARTIAL: u8 = 2;
const VALID: u8 = 4;
const SEGMENTED: u8 = 8;
const SIX: u8 = 16;
const CHANGED: u8 = 32;

thread_local! {
    /// A host and a router that live through all packets.
    static STACKS: RefCell<(Stack, Stack)> = RefCell::new(stacks());
}

/// A seed with changes.
fn changed(input: &[u8]) -> Vec<u8> {
    static SEEDS: LazyLock<Vec<Vec<u8>>> =
        LazyLock::new(|| seeds::packets().into_iter().map(|(_, seed)| seed[5..].to_vec()).collect());
    let Some((which, changes)) = input.split_first() else { return Vec::new() };
    let mut bytes = SEEDS[usize::from(*which) % SEEDS.len()].clone();
    // A few at a time: after many changes nothing is left of the seed.
    for change in changes.chunks_exact(3).take(1 + changes.len() % 6) {
        let (at, value) = (usize::from(change[0]) % bytes.len().max(1), change[2]);
        match change[1] % 5 {
            _ if bytes.is_empty() => {}
            0 => bytes[at] ^= 1 << (value % 8),
            1 => bytes[at] = value,
            2 => bytes.insert(at, value),
            3 => drop(bytes.remove(at)),
            _ => bytes.truncate(at),
        }
    }
    bytes
}

fn stacks() -> (Stack, Stack) {
    let mut host = host(2, Config::default());
    host.tcp_mut().listen(None, 80, ListenOptions::default()).expect("free");
    host.udp_mut().bind(None, 9).expect("free");
    (host, router(2))
}

pub fn check(input: &[u8]) {
    let Some((&[how, a, b, c, d], bytes)) = input.split_first_chunk::<5>() else { return };
    let mut bytes = if how & CHANGED != 0 { changed(bytes) } else { bytes.to_vec() };
    if how & REPAIR != 0 {
        repair(&mut bytes);
    }
    let (first, second) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    let kind = if how & SIX != 0 { SegmentKind::TcpV6 } else { SegmentKind::TcpV4 };
    let offload = Offload {
        checksum: match how {
            how if how & PARTIAL != 0 => Checksum::Partial { start: first % 128, offset: second % 32 },
            how if how & VALID != 0 => Checksum::Valid,
            _ => Checksum::Unverified,
        },
        segmentation: (how & SEGMENTED != 0).then_some(Segmentation { kind, size: first }),
    };
    parts(&bytes, offload, first);
    let mut packet = Packet::copy_of(&bytes);
    packet.offload = offload;
    STACKS.with_borrow_mut(|(host, router)| {
        host.receive(NOW, LINK, packet.clone());
        router.receive(NOW, LINK, packet);
        for sent in sent_by(host).into_iter().chain(sent_by(router)) {
            assert!(Datagram::parse(sent.bytes()).is_ok(), "sent: {:02x?}", sent.bytes());
        }
        while host.udp_mut().poll_event().is_some() || host.tcp_mut().poll_event().is_some() {}
        while host.tcp_mut().poll_flow().is_some() {}
        // What waits for ever would hide what comes later.
        if host.tcp().connections().count() > 64 || host.reassembly_bytes() > 1 << 20 {
            (*host, *router) = stacks();
        }
    });
}

/// Each part of the parser by itself.
fn parts(bytes: &[u8], offload: Offload, size: u16) {
    let flow = Flow::peek(bytes);
    let _ = header_len(bytes);
    ip::decrement_hop_limit(&mut bytes.to_vec());
    let mut packet = Packet::copy_of(bytes);
    packet.offload = offload;
    let _ = segment::complete_checksum(&mut packet);
    segment::split(bytes, size, |piece| {
        let datagram = Datagram::parse(piece).expect("a piece is a packet");
        assert!(datagram.payload.len() <= piece.len());
    });
    let Ok(datagram) = Datagram::parse(bytes) else { return };
    assert!(datagram.payload.start <= datagram.payload.end && datagram.payload.end <= bytes.len());
    if let Some(flow) = flow
        && datagram.fault.is_none()
    {
        assert_eq!(flow.source.ip(), datagram.source);
        assert_eq!(flow.destination.ip(), datagram.destination);
        assert_eq!(flow.fragment, datagram.is_fragment());
        // In a first fragment the flow is sought behind headers that only the whole datagram has.
        assert!(flow.fragment || flow.protocol == datagram.protocol);
    }
    if datagram.is_fragment() {
        let mut reassembly = Reassembly::default();
        if let Outcome::Complete(whole) = reassembly.add(NOW, bytes, &datagram) {
            assert!(Datagram::parse(whole.bytes()).is_ok());
        }
    }
}
