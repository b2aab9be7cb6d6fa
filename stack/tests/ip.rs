//! The stack around TCP: packets in, packets out, at a virtual time.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use proptest::prelude::*;
use stack::home::Kind;
use stack::packet::SegmentKind;
use stack::reassembly::{Outcome, Reassembly};
use stack::route::{Link, Route};
use stack::tcp::ListenOptions;
use stack::wire::datagram::{Datagram, Malformed};
use stack::wire::ip::{self, protocol};
use stack::wire::{checksum, segment};
use stack::{Checksum, Config, Egress, Instant, LinkId, Offload, Packet, Paths, Segmentation, Stack, Transmit};

const LINK: LinkId = LinkId(0);
const NOW: Instant = Instant::from_millis(1);

fn address(last: u8) -> IpAddr {
    IpAddr::from([198, 51, 100, last])
}

/// A host with one link, on which everything is reached.
fn host(last: u8, config: Config, max_super: u16) -> Stack {
    let mut stack = Stack::new(config, u64::from(last));
    stack.home_mut().add(address(last), 24, Kind::Link);
    stack.routes_mut().add_link(Link { id: LINK, name: "link".into(), mtu: 1500, max_super });
    stack.routes_mut().replace(Route::default_for(address(last), LINK, None));
    stack
}

/// Takes packets as owned ones.
#[derive(Default)]
struct Sent(Vec<Packet>);

impl Egress for Sent {
    fn transmit(&mut self, packet: Transmit<'_>) {
        let mut bytes = packet.header.to_vec();
        packet.payload.iter().for_each(|slice| bytes.extend_from_slice(slice));
        let mut copy = Packet::copy_of(&bytes);
        copy.offload = packet.offload;
        self.0.push(copy);
    }
}

fn sent_by(stack: &mut Stack) -> Vec<Packet> {
    let mut sent = Sent::default();
    while stack.poll_transmit(NOW, &mut sent, 64) {}
    sent.0
}

fn packet(source: IpAddr, destination: IpAddr, protocol: u8, body: &[u8]) -> Vec<u8> {
    let header = ip::Header {
        source,
        destination,
        protocol,
        hop_limit: 64,
        traffic_class: 0,
        identification: 7,
        dont_fragment: false,
        payload_len: body.len(),
    };
    let mut bytes = vec![0; 20];
    ip::emit(&header, &mut bytes);
    bytes.extend_from_slice(body);
    bytes
}

fn echo_request(body: &[u8]) -> Vec<u8> {
    let mut message = vec![8, 0, 0, 0, 0, 1, 0, 2];
    message.extend_from_slice(body);
    let sum = !checksum::fold(checksum::sum(&message));
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    packet(address(1), address(2), protocol::ICMP, &message)
}

/// RFC 792, RFC 1122 section 3.2.2.6: an echo request is answered with its own data.
#[test]
fn ping_is_answered() {
    let mut stack = host(2, Config::default(), 0);
    stack.receive(NOW, LINK, Packet::copy_of(&echo_request(b"payload")));
    let sent = sent_by(&mut stack);
    assert_eq!(sent.len(), 1);
    let reply = Datagram::parse(sent[0].bytes()).unwrap();
    assert_eq!((reply.source, reply.destination), (address(2), address(1)));
    let body = &sent[0].bytes()[reply.payload];
    assert_eq!((body[0], &body[4..]), (0, b"\0\x01\0\x02payload".as_slice()));
    assert_eq!(checksum::fold(checksum::sum(body)), 0xffff);
}

/// RFC 1122, 3.2.2: what cannot be served is refused, an ICMP error never; RFC 1812, 4.3.2.8: not
/// without end.
#[test]
fn errors_are_sent_where_they_may_be() {
    let mut stack = host(2, Config::default(), 0);
    let datagram = packet(address(1), address(2), protocol::UDP, &[0x9c, 0x40, 0, 9, 0, 8, 0, 0]);
    stack.receive(NOW, LINK, Packet::copy_of(&datagram));
    stack.receive(NOW, LINK, Packet::copy_of(&packet(address(1), address(2), 200, b"what?")));
    let sent = sent_by(&mut stack);
    let codes: Vec<(u8, u8)> = sent.iter().map(|packet| (packet.bytes()[20], packet.bytes()[21])).collect();
    assert_eq!(codes, [(3, 3), (3, 2)], "port unreachable, protocol unreachable");
    assert_eq!(&sent[0].bytes()[28..28 + datagram.len()], datagram, "the datagram is quoted");

    // About an error, a later fragment, or a packet to all: nothing.
    let error = packet(address(1), address(2), protocol::ICMP, &[3, 3, 0xfc, 0xfc, 0, 0, 0, 0]);
    stack.receive(NOW, LINK, Packet::copy_of(&error));
    stack.home_mut().add(IpAddr::from([255; 4]), 32, Kind::Link);
    let to_all = packet(address(1), IpAddr::from([255; 4]), 200, b"all");
    stack.receive(NOW, LINK, Packet::copy_of(&to_all));
    assert!(sent_by(&mut stack).is_empty());

    for _ in 0..1000 {
        stack.receive(NOW, LINK, Packet::copy_of(&datagram));
    }
    assert!(sent_by(&mut stack).len() <= 50);
}

/// RFC 791: what contradicts itself is counted and dropped; RFC 1122, 3.3.5: a host does not forward.
#[test]
fn malformed_and_foreign_packets_are_dropped() {
    let mut stack = host(2, Config::default(), 0);
    let good = echo_request(b"x");
    let mut wrong_sum = good.clone();
    wrong_sum[10] ^= 1;
    let mut version = good.clone();
    version[0] = 0x55;
    let foreign = packet(address(1), address(77), protocol::UDP, &[0; 8]);
    for bytes in [&wrong_sum[..], &version[..], &good[..22], &[], &foreign[..]] {
        stack.receive(NOW, LINK, Packet::copy_of(bytes));
    }
    assert!(sent_by(&mut stack).is_empty());
    let counters = stack.counters().v4;
    assert_eq!((counters.in_hdr_errors, counters.in_truncated_pkts, counters.in_addr_errors), (2, 2, 1));
}

/// RFC 1812, 5.3.1: a router passes packets on with one hop less, and says so when there is none left.
#[test]
fn a_router_forwards() {
    let mut stack = host(2, Config { forward: true, ..Config::default() }, 0);
    let mut bytes = packet(address(1), address(77), protocol::UDP, &[0; 8]);
    stack.receive(NOW, LINK, Packet::copy_of(&bytes));
    let sent = sent_by(&mut stack);
    assert_eq!(Datagram::parse(sent[0].bytes()).unwrap().hop_limit, 63, "and the header's checksum is right");
    bytes = {
        let header = ip::Header {
            source: address(1),
            destination: address(77),
            protocol: protocol::UDP,
            hop_limit: 1,
            traffic_class: 0,
            identification: 7,
            dont_fragment: false,
            payload_len: 8,
        };
        let mut bytes = vec![0; 28];
        ip::emit(&header, &mut bytes);
        bytes
    };
    stack.receive(NOW, LINK, Packet::copy_of(&bytes));
    let sent = sent_by(&mut stack);
    assert_eq!((sent[0].bytes()[20], sent[0].bytes()[21]), (11, 0));
}

/// RFC 768: datagrams reach the socket of their address and port, in fragments if need be (RFC 791).
#[test]
fn datagrams_go_there_and_back() {
    let (mut one, mut two) = (host(1, Config::default(), 0), host(2, Config::default(), 0));
    let client = one.udp_mut().bind(None, 4000).unwrap();
    let server = two.udp_mut().bind(Some(address(2)), 7).unwrap();
    assert!(two.udp_mut().bind(Some(address(2)), 7).is_err());
    let data: Vec<u8> = (0..5000u32).map(|index| index as u8).collect();
    let mut buffer = vec![0; 6000];
    assert!(two.udp_recv(server, &mut buffer).is_none());
    one.udp_send(client, IpAddr::from([0; 4]), SocketAddr::new(address(2), 7), &data).unwrap();
    let mut fragments = sent_by(&mut one);
    assert_eq!(fragments.len(), 4);
    assert!(fragments.iter().all(|fragment| fragment.len() <= 1500));
    fragments.reverse();
    fragments.into_iter().for_each(|fragment| two.receive(NOW, LINK, fragment));
    assert!(two.udp_mut().poll_event().is_some(), "whoever waits is told");
    let received = two.udp_recv(server, &mut buffer).unwrap();
    assert_eq!(&buffer[..received.len], data);
    assert_eq!(received.source, SocketAddr::new(address(1), 4000));
    assert_eq!(received.destination, SocketAddr::new(address(2), 7));
}

/// Connections between the stack's own addresses never leave it.
#[test]
fn a_stack_talks_to_itself() {
    let mut stack = host(2, Config::default(), 60_000);
    let listener = stack.tcp_mut().listen(None, 80, ListenOptions::default()).unwrap();
    let client = stack.tcp_connect(NOW, None, SocketAddr::new(address(2), 80)).unwrap();
    assert!(sent_by(&mut stack).is_empty());
    let server = stack.tcp_mut().accept(listener).expect("established");
    let data = vec![7; 100_000];
    assert_eq!(stack.tcp_mut().send(NOW, client, &data), Ok(data.len()));
    let (mut received, mut buffer) = (0, vec![0; 200_000]);
    for _ in 0..20 {
        assert!(sent_by(&mut stack).is_empty());
        received += stack.tcp_recv(NOW, server, &mut buffer).unwrap_or(0);
    }
    assert_eq!(received, data.len());
}

/// R6, R20: any TCP packet can be answered as a closed port does, also for an address that is not ours.
#[test]
fn a_reset_on_behalf_of_somebody_else() {
    let (mut client, mut router) = (host(1, Config::default(), 0), host(2, Config::default(), 0));
    client.tcp_connect(NOW, None, SocketAddr::new(address(77), 80)).unwrap();
    let syn = sent_by(&mut client).remove(0);
    router.reset(NOW, syn);
    let reset = sent_by(&mut router).remove(0);
    let datagram = Datagram::parse(reset.bytes()).unwrap();
    assert_eq!((datagram.source, datagram.destination), (address(77), address(1)));
    assert_eq!(reset.bytes()[20 + 13] & 0x04, 0x04, "RST");
}

/// RFC 5722: an overlap discards the whole datagram, whatever comes afterwards.
#[test]
fn overlapping_fragments_are_never_joined() {
    let mut reassembly = Reassembly::default();
    let fragment = |offset: usize, more: bool, length: usize| {
        let mut bytes = packet(address(1), address(2), 200, &vec![1; length]);
        ip::set_fragment(&mut bytes[..20], offset, more, length);
        bytes
    };
    let mut add = |bytes: &[u8]| reassembly.add(NOW, bytes, &Datagram::parse(bytes).unwrap());
    assert!(matches!(add(&fragment(0, true, 16)), Outcome::Incomplete));
    assert!(matches!(add(&fragment(8, true, 16)), Outcome::Dropped));
    assert!(matches!(add(&fragment(16, false, 8)), Outcome::Dropped));
    // Given up in the end; a first fragment that was dropped is not quoted.
    let late = NOW + Duration::from_secs(60);
    assert!(reassembly.next_deadline().is_some_and(|at| at <= late));
    reassembly.expire(late, |_, first| assert!(first.is_none(), "nothing to quote"));
    assert_eq!(reassembly.next_deadline(), None);
}

/// RFC 3168, 5.3: a mark on one fragment marks the datagram; a mark beside a fragment that takes
/// none is a forgery.
#[test]
fn a_mark_on_a_fragment_marks_the_datagram() {
    for (first, second, whole) in [(2, 2, Some(2)), (2, 3, Some(3)), (3, 1, Some(3)), (0, 0, Some(0)), (0, 3, None)] {
        let mut reassembly = Reassembly::default();
        let mut add = |offset: usize, more: bool, class: u8| {
            let mut bytes = packet(address(1), address(2), 200, &[1; 8]);
            bytes[1] = class;
            ip::set_fragment(&mut bytes[..20], offset, more, 8);
            reassembly.add(NOW, &bytes, &Datagram::parse(&bytes).unwrap())
        };
        add(0, true, 0x20 | first);
        let class = match add(8, false, 0x20 | second) {
            Outcome::Complete(packet) => Some(Datagram::parse(packet.bytes()).unwrap().traffic_class),
            _ => None,
        };
        assert_eq!(class, whole.map(|codepoint| 0x20 | codepoint));
    }
}

proptest! {
    /// No bytes make the parser or the stack panic.
    #[test]
    fn any_packet_is_taken_or_dropped(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), repair in any::<bool>()) {
        if repair && bytes.len() >= 20 {
            // A sound header, so that what is behind it is reached.
            let body = bytes.split_off(20);
            bytes = packet(address(1), address(2), bytes[9] % 20, &body);
        }
        let mut stack = host(2, Config { forward: true, ..Config::default() }, 0);
        stack.tcp_mut().listen(None, 80, ListenOptions::default()).unwrap();
        stack.receive(NOW, LINK, Packet::copy_of(&bytes));
        sent_by(&mut stack);
        prop_assert!(stack.counters().v4.in_receives + stack.counters().v6.in_receives >= 1);
        let _ = stack::wire::flow::Flow::peek(&bytes);
    }

    /// A datagram in fragments, in any order and doubled, is joined to itself.
    #[test]
    fn fragments_join_in_any_order(length in 1usize..4000, size in 1usize..40, order in any::<u64>()) {
        let body: Vec<u8> = (0..length).map(|index| index as u8).collect();
        let whole = packet(address(1), address(2), 200, &body);
        let size = (size * 8).max(length.div_ceil(60).next_multiple_of(8));
        let mut fragments: Vec<Vec<u8>> = body.chunks(size).enumerate().map(|(index, part)| {
            let mut bytes = packet(address(1), address(2), 200, part);
            ip::set_fragment(&mut bytes[..20], index * size, (index + 1) * size < length, part.len());
            bytes
        }).collect();
        prop_assume!(fragments.len() > 1);
        let mut state = order;
        for index in (1..fragments.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            fragments.swap(index, (state >> 33) as usize % (index + 1));
        }
        let mut reassembly = Reassembly::default();
        let mut joined = None;
        for bytes in &fragments {
            if let Outcome::Complete(packet) = reassembly.add(NOW, bytes, &Datagram::parse(bytes).unwrap()) {
                joined = Some(packet);
            }
        }
        prop_assert_eq!(joined.map(|packet| packet.bytes().to_vec()), Some(whole));
    }

    /// A super-segment is cut into packets that carry the same bytes, each with right checksums.
    #[test]
    fn a_super_segment_is_cut_without_loss(length in 1usize..30_000, size in 100u16..1460) {
        let payload: Vec<u8> = (0..length).map(|index| index as u8).collect();
        let mut body = vec![0; 20];
        body[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
        (body[12], body[13]) = (0x50, 0x19);
        body.extend_from_slice(&payload);
        let mut whole = Packet::copy_of(&packet(address(1), address(2), protocol::TCP, &body));
        whole.offload = Offload {
            checksum: Checksum::Partial { start: 20, offset: 16 },
            segmentation: Some(Segmentation { kind: SegmentKind::TcpV4, size }),
        };
        let (mut joined, mut pieces) = (Vec::new(), Vec::new());
        let cut = segment::split(whole.bytes(), size, |piece| {
            joined.extend_from_slice(&piece[40..]);
            pieces.push(piece.to_vec());
        });
        prop_assert!(cut);
        prop_assert_eq!(joined, payload);
        let mut next = u32::MAX;
        for (index, piece) in pieces.iter().enumerate() {
            let datagram = Datagram::parse(piece).unwrap();
            let transport = &piece[datagram.payload.clone()];
            let pseudo = checksum::pseudo_header(address(1), address(2), protocol::TCP, transport.len() as u32);
            prop_assert_eq!(checksum::fold(pseudo + checksum::sum(transport)), 0xffff);
            prop_assert_eq!(&transport[4..8], next.to_be_bytes());
            next = next.wrapping_add(transport.len() as u32 - 20);
            prop_assert_eq!(transport[13] & 0x09 != 0, index + 1 == pieces.len(), "FIN and PSH on the last");
        }
    }

    /// A checksum that was left to the device is the one that the sum over everything gives.
    #[test]
    fn a_partial_checksum_is_completed(payload in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut body = vec![0; 20];
        body[12] = 0x50;
        body.extend_from_slice(&payload);
        let pseudo = checksum::pseudo_header(address(1), address(2), protocol::TCP, body.len() as u32);
        body[16..18].copy_from_slice(&checksum::fold(pseudo).to_be_bytes());
        let mut packet = Packet::copy_of(&packet(address(1), address(2), protocol::TCP, &body));
        packet.offload.checksum = Checksum::Partial { start: 20, offset: 16 };
        prop_assert!(segment::complete_checksum(&mut packet));
        prop_assert_eq!(checksum::fold(pseudo + checksum::sum(&packet.bytes()[20..])), 0xffff);
    }

    /// The longest prefix wins, then the lowest metric, as a search through all routes finds it.
    #[test]
    fn the_best_route_is_found(routes in proptest::collection::vec((any::<u32>(), 0u8..=32, 0u32..3), 1..12), to in any::<u32>()) {
        let mut stack = Stack::new(Config::default(), 1);
        let mask = |prefix: u8| u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
        let mut known: Vec<(u32, u8, u32, u8)> = Vec::new();
        for (index, (address, prefix, metric)) in routes.into_iter().enumerate() {
            let (network, id) = (address & mask(prefix), index as u8);
            stack.routes_mut().add_link(Link { id: LinkId(id), name: String::new(), mtu: 1500, max_super: 0 });
            let destination = IpAddr::from(network.to_be_bytes());
            stack.routes_mut().replace(Route { destination, prefix, link: LinkId(id), next_hop: None, metric });
            known.retain(|other| (other.0, other.1, other.2) != (network, prefix, metric));
            known.push((network, prefix, metric, id));
        }
        let fits = known.iter().filter(|(network, prefix, ..)| to & mask(*prefix) == *network);
        let best = fits.min_by_key(|(_, prefix, metric, _)| (32 - prefix, *metric)).map(|route| LinkId(route.3));
        let found = stack.routes().path(address(1), IpAddr::from(to.to_be_bytes())).map(|path| path.link);
        prop_assert_eq!(found, best);
    }
}

/// The malformed are told apart for the MIB.
#[test]
fn truncation_is_not_contradiction() {
    let good = echo_request(b"0123456789");
    assert_eq!(Datagram::parse(&good[..25]), Err(Malformed::Truncated));
    assert_eq!(Datagram::parse(&[]), Err(Malformed::Truncated));
    let mut sum = good;
    sum[11] ^= 0xff;
    assert_eq!(Datagram::parse(&sum), Err(Malformed::Checksum));
}
