//! The seed corpora, as code: what is right, and what once was wrong.

use stack::wire::extension::header;
use stack::wire::ip::protocol;

use crate::frames::{Tcp, options};
use crate::machine::{call, step};
use crate::packet::REPAIR;
use crate::support::*;

type Seeds = Vec<(&'static str, Vec<u8>)>;

/// Inputs of the packet target.
pub fn packets() -> Seeds {
    let tcp = |ends: (std::net::IpAddr, std::net::IpAddr), which, payload| {
        let ends = (ends.0, 2000, ends.1, 80);
        Tcp { ends, seq: 7, ack: 0, flags: 2, window: 65_535, options: &options(which, 0), payload }.packet()
    };
    let mut chain = packet(v6(1), v6(2), header::HOP_BY_HOP, &[60, 0, 1, 4, 0, 0, 0, 0]);
    chain.extend_from_slice(&[43, 0, 1, 4, 0, 0, 0, 0, 44, 0, 0, 0, 0, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0, 9]);
    chain.extend_from_slice(&udp_body((v6(1), 1), (v6(2), 9), b"hello"));
    let mut optioned = udp((v4(1), 1), (v4(2), 9), b"");
    optioned.splice(20..20, [131, 7, 4, 1, 2, 3, 4, 148, 4, 0, 0, 0]);
    optioned[0] = 0x48;
    let mut fragment = packet(v4(1), v4(2), protocol::UDP, &[0; 64]);
    stack::wire::ip::set_fragment(&mut fragment[..20], 64, true, 64);
    let quoted = udp((v4(2), 9), (v4(1), 1), b"");
    let all: [(&str, Vec<u8>); 12] = [
        ("syn4", tcp((v4(1), v4(2)), 1, 0)),
        ("syn6", tcp((v6(1), v6(2)), 1, 0)),
        ("data4", tcp((v4(1), v4(2)), 4, 100)),
        ("forward6", tcp((v6(1), v6(77)), 10, 100)),
        ("udp4", udp((v4(1), 1), (v4(2), 9), b"hello")),
        ("udp6", udp((v6(1), 1), (v6(2), 10), b"hello")),
        ("echo4", echo_request(v4(1), v4(2), b"data")),
        ("echo6", echo_request(v6(1), v6(2), b"data")),
        ("error4", icmp(v4(1), v4(2), 3, 4, 600, &quoted)),
        ("chain6", chain),
        ("options4", optioned),
        ("fragment4", fragment),
    ];
    let mut seeds: Seeds =
        all.into_iter().map(|(name, bytes)| (name, [&[REPAIR, 0, 0, 0, 0][..], &bytes].concat())).collect();
    let fragment = fragment6(v6(1), protocol::UDP, 9, 0, true, &[0; 64]);
    seeds.push(("fragment6", [&[0; 5][..], &fragment].concat()));
    seeds
}

/// A segment's arguments.
fn segment(v6: u8, peer: u8, flags: u8, seq: i16, ack: i16, which: u8, length: u8) -> Vec<u8> {
    let [s, t] = seq.to_be_bytes();
    let [a, b] = ack.to_be_bytes();
    vec![step::SEGMENT, v6, peer, flags, s, t, a, b, 255, which, length]
}

fn call(what: u8, which: u8, size: u16) -> Vec<u8> {
    let [a, b] = size.to_be_bytes();
    vec![step::CALL, what, which, a, b]
}

const SYN: u8 = 2;
const ACK: u8 = 16;
const FIN: u8 = 17;
const RST: u8 = 4;

/// Programs of the stack target.
pub fn programs() -> Seeds {
    let mut seeds = Seeds::new();
    for v6 in [0, 1] {
        let served = [
            segment(v6, 4, SYN, 0, 0, 1, 0),
            segment(v6, 4, ACK, 0, 0, 3, 0),
            call(call::ACCEPT, 0, 0),
            segment(v6, 4, ACK, 0, 0, 3, 100),
            segment(v6, 4, ACK, 800, 0, 3, 100),
            segment(v6, 4, ACK, 0, 0, 3, 100),
            call(call::RECEIVE, 0, 9000),
            call(call::SEND, 0, 5000),
            segment(v6, 4, ACK, 0, -2000, 4, 0),
            segment(v6, 4, ACK, 0, 0, 3, 0),
            segment(v6, 4, FIN, 0, 0, 3, 0),
            call(call::CLOSE, 0, 0),
            segment(v6, 4, ACK, 0, 0, 3, 0),
        ];
        seeds.push((["served4", "served6"][usize::from(v6)], served.concat()));
        let called = [
            call(call::CONNECT, v6, 0),
            segment(v6, 0, SYN | ACK, 0, 0, 1, 0),
            call(call::SEND, 0, 60_000),
            vec![step::TIME, 20],
            segment(v6, 0, ACK, 0, -1000, 5, 0),
            vec![step::TIME, 22],
            vec![step::ERROR, if v6 == 0 { 3 } else { 2 }, 4, 5, 0x14, 255],
            segment(v6, 0, ACK, 0, 0, 3, 120),
            call(call::RECEIVE, 0, 9000),
            call(call::SHUTDOWN, 0, 0),
            segment(v6, 0, FIN, 0, 0, 3, 0),
            vec![step::TIME, 28],
        ];
        seeds.push((["called4", "called6"][usize::from(v6)], called.concat()));
        let fragments = [
            vec![step::FRAGMENT, v6, 1, 0, 1, 2, 8],
            vec![step::FRAGMENT, v6, 1, 8, 0, 2, 8],
            vec![step::FRAGMENT, v6, 2, 0, 1, 0, 8],
            vec![step::FRAGMENT, v6, 2, 4, 1, 0, 8],
            vec![step::FRAGMENT, v6, 3, 8, 0, 2, 8],
            vec![step::FRAGMENT, v6, 3, 0, 1, 2, 8],
            vec![step::TIME, 27],
            vec![step::DATAGRAM, v6, 2, 0x0b, 0],
            vec![step::DATAGRAM, v6, 1, 0, 9],
            vec![step::DATAGRAM, v6, 3, 0, 9],
        ];
        seeds.push((["fragments4", "fragments6"][usize::from(v6)], fragments.concat()));
    }
    let wild = [
        segment(0, 5, SYN | RST, 0, 0, 8, 0),
        segment(0, 5, SYN, 0, 0, 6, 255),
        segment(0, 6, SYN, 0x4001, 0x4001, 9, 0),
        vec![step::SUPER, 0, 100, 0, 5, ACK, 0, 0, 0, 0, 255, 3, 250],
        vec![step::AGAIN, 33, 1],
        vec![step::BYTES, 1, 20, 0x45, 0, 0, 20, 0, 0, 0, 0, 64, 6, 0, 0, 198, 51, 100, 2, 198, 51, 100, 2],
        call(call::UDP, 0, 4000),
        call(call::RAW, 1, 3000),
        call(call::LISTEN, 1, 3),
        call(call::UNLISTEN, 0, 0),
    ];
    seeds.push(("wild", wild.concat()));
    seeds
}
