//! What the tests of the IP layer share: hosts, packets, and what was sent.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::net::IpAddr;

use stack::home::Kind;
use stack::route::{Link, Route};
use stack::wire::datagram::Datagram;
use stack::wire::ip::{self, protocol};
use stack::wire::{checksum, extension};
use stack::{Config, Egress, Instant, LinkId, Packet, Stack, Transmit};

pub const LINK: LinkId = LinkId(0);
pub const NOW: Instant = Instant::from_millis(1);

/// Addresses of both families for one host.
pub fn v4(last: u8) -> IpAddr {
    IpAddr::from([198, 51, 100, last])
}

pub fn v6(last: u8) -> IpAddr {
    IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, u16::from(last)])
}

/// The same host's addresses, IPv4 first.
pub fn both(last: u8) -> [IpAddr; 2] {
    [v4(last), v6(last)]
}

/// A host with one link, on which everything of both families is reached.
pub fn host(last: u8, config: Config) -> Stack {
    host_on(last, config, 1500)
}

pub fn host_on(last: u8, config: Config, mtu: u16) -> Stack {
    let mut stack = Stack::new(config, u64::from(last));
    stack.routes_mut().add_link(Link { id: LINK, name: "link".into(), mtu, max_super: 0 });
    for address in both(last) {
        stack.home_mut().add(address, 64, Kind::Link);
        stack.routes_mut().replace(Route::default_for(address, LINK, None));
    }
    stack
}

pub fn router(last: u8) -> Stack {
    host(last, Config { forward: true, ..Config::default() })
}

/// Takes packets as owned ones.
#[derive(Default)]
pub struct Sent(pub Vec<Packet>);

impl Egress for Sent {
    fn transmit(&mut self, packet: Transmit<'_>) {
        let mut bytes = packet.header.to_vec();
        packet.payload.iter().for_each(|slice| bytes.extend_from_slice(slice));
        let mut copy = Packet::copy_of(&bytes);
        copy.offload = packet.offload;
        self.0.push(copy);
    }
}

pub fn sent_by(stack: &mut Stack) -> Vec<Packet> {
    sent_at(stack, NOW)
}

pub fn sent_at(stack: &mut Stack, now: Instant) -> Vec<Packet> {
    let mut sent = Sent::default();
    while stack.poll_transmit(now, &mut sent, 64) {}
    sent.0
}

/// What `stack` sends when `bytes` come in.
pub fn answers(stack: &mut Stack, bytes: &[u8]) -> Vec<Packet> {
    stack.receive(NOW, LINK, Packet::copy_of(bytes));
    sent_by(stack)
}

pub fn packet(source: IpAddr, destination: IpAddr, protocol: u8, body: &[u8]) -> Vec<u8> {
    packet_with(source, destination, protocol, 64, body)
}

pub fn packet_with(source: IpAddr, destination: IpAddr, protocol: u8, hop_limit: u8, body: &[u8]) -> Vec<u8> {
    let header = ip::Header {
        source,
        destination,
        protocol,
        hop_limit,
        traffic_class: 0,
        identification: 7,
        dont_fragment: false,
        payload_len: body.len(),
    };
    let mut bytes = vec![0; ip::MAX_HEADER];
    let length = ip::emit(&header, &mut bytes);
    bytes.truncate(length);
    bytes.extend_from_slice(body);
    bytes
}

/// An ICMP or ICMPv6 message with its checksum.
pub fn icmp(source: IpAddr, destination: IpAddr, kind: u8, code: u8, word: u32, data: &[u8]) -> Vec<u8> {
    let mut body = vec![kind, code, 0, 0];
    body.extend_from_slice(&word.to_be_bytes());
    body.extend_from_slice(data);
    stack::icmp::seal(source, destination, &mut body);
    packet(source, destination, icmp_of(source), &body)
}

pub fn icmp_of(address: IpAddr) -> u8 {
    if address.is_ipv4() { protocol::ICMP } else { protocol::ICMPV6 }
}

pub fn echo_request(source: IpAddr, destination: IpAddr, data: &[u8]) -> Vec<u8> {
    icmp(source, destination, if source.is_ipv4() { 8 } else { 128 }, 0, 0x0001_0002, data)
}

/// A UDP datagram with its checksum.
pub fn udp(source: (IpAddr, u16), destination: (IpAddr, u16), data: &[u8]) -> Vec<u8> {
    packet(source.0, destination.0, protocol::UDP, &udp_body(source, destination, data))
}

pub fn udp_body(source: (IpAddr, u16), destination: (IpAddr, u16), data: &[u8]) -> Vec<u8> {
    let length = 8 + data.len() as u16;
    let mut body = [source.1.to_be_bytes(), destination.1.to_be_bytes(), length.to_be_bytes(), [0; 2]].concat();
    body.extend_from_slice(data);
    let pseudo = checksum::pseudo_header(source.0, destination.0, protocol::UDP, u32::from(length));
    let sum = !checksum::fold(pseudo + checksum::sum(&body));
    body[6..8].copy_from_slice(&sum.to_be_bytes());
    body
}

/// A fragment of an IPv6 datagram whose fragmentable part begins with a header `next`.
pub fn fragment6(source: IpAddr, next: u8, id: u32, offset: u16, more: bool, part: &[u8]) -> Vec<u8> {
    let field = offset | u16::from(more);
    let mut body = vec![next, 0];
    body.extend_from_slice(&field.to_be_bytes());
    body.extend_from_slice(&id.to_be_bytes());
    body.extend_from_slice(part);
    packet(source, v6(2), extension::header::FRAGMENT, &body)
}

/// Type, code and the second word of an ICMP message that was sent, and what it quotes.
pub fn message(packet: &Packet) -> (u8, u8, u32, Vec<u8>) {
    let datagram = Datagram::parse(packet.bytes()).expect("a packet");
    assert_eq!(datagram.protocol, icmp_of(datagram.source));
    let body = &packet.bytes()[datagram.payload];
    (body[0], body[1], u32::from_be_bytes(body[4..8].try_into().expect("four")), body[8..].to_vec())
}

/// Type and code of each.
pub fn kinds(sent: &[Packet]) -> Vec<(u8, u8)> {
    sent.iter().map(message).map(|(kind, code, ..)| (kind, code)).collect()
}
