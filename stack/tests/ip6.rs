//! IPv6 as a host and a router have it: RFC 8200, RFC 4443, RFC 8201, RFC 5722, RFC 6946.

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use stack::tcp::{ListenOptions, State};
use stack::wire::datagram::Datagram;
use stack::wire::extension::header;
use stack::wire::ip::protocol;
use stack::{Config, Packet};
use support::*;

/// Puts extension headers before the payload of an IPv6 packet; each names the one after it.
fn with_headers(packet: &[u8], headers: &[(u8, &[u8])]) -> Vec<u8> {
    let mut out = packet[..40].to_vec();
    let (last, mut named_at) = (packet[6], 6);
    for (number, content) in headers {
        out[named_at] = *number;
        named_at = out.len();
        out.extend_from_slice(content);
    }
    out[named_at] = last;
    let length = (out.len() - 40 + packet.len() - 40) as u16;
    out[4..6].copy_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&packet[40..]);
    out
}

const PADDED: &[u8] = &[0, 0, 1, 4, 0, 0, 0, 0];

/// RFC 8200, section 4.1: a datagram behind extension headers in any order reaches its socket;
/// RFC 6946: so does an atomic fragment, whatever waits under its identification.
#[test]
fn extension_headers_are_passed() {
    let mut stack = host(2, Config::default());
    let socket = stack.udp_mut().bind(None, 9).unwrap();
    let datagram = udp((v6(1), 4000), (v6(2), 9), b"hello");
    let atomic: &[u8] = &[0, 0, 0, 0, 0, 0, 0, 5];
    // Under the same identification something else is under way.
    assert!(answers(&mut stack, &fragment6(v6(1), protocol::UDP, 5, 0, true, &[0; 16])).is_empty());
    for headers in [
        &[(header::HOP_BY_HOP, PADDED), (header::DESTINATION, PADDED)][..],
        &[(header::DESTINATION, PADDED), (header::ROUTING, &[0; 8]), (header::FRAGMENT, atomic)],
        &[(header::FRAGMENT, atomic), (header::DESTINATION, PADDED)],
    ] {
        assert!(answers(&mut stack, &with_headers(&datagram, headers)).is_empty());
        let mut buffer = [0; 16];
        let received = stack.udp_recv(socket, &mut buffer).expect("delivered");
        assert_eq!(&buffer[..received.len], b"hello");
    }
}

/// RFC 8200, sections 4, 4.2, 4.4; RFC 4443, section 3.4: what is unknown is answered with a
/// Parameter Problem that points at it; RFC 4443, section 2.4 e.3: about packets to a group only by
/// option type 10.
#[test]
fn unknown_headers_and_options_are_answered() {
    let mut stack = host(2, Config::default());
    let datagram = udp((v6(1), 4000), (v6(2), 9), b"");
    let mut problem = |packet: &[u8]| {
        let sent = answers(&mut stack, packet);
        assert_eq!(sent.len(), 1, "one answer");
        let (kind, code, pointer, quoted) = message(&sent[0]);
        assert_eq!((kind, &quoted[..]), (4, packet), "the packet is quoted");
        (code, pointer)
    };
    assert_eq!(problem(&packet(v6(1), v6(2), 200, b"what?")), (1, 6), "next header");
    assert_eq!(problem(&with_headers(&packet(v6(1), v6(2), 200, b"?"), &[(60, PADDED)])), (1, 40));
    assert_eq!(problem(&with_headers(&datagram, &[(60, PADDED), (0, PADDED)])), (1, 40), "hop-by-hop, not first");
    assert_eq!(problem(&with_headers(&datagram, &[(43, &[0, 0, 0, 2, 0, 0, 0, 0])])), (0, 42), "routing type 0");
    assert_eq!(problem(&with_headers(&datagram, &[(0, &[0, 0, 0xc2, 4, 0, 1, 0, 0])])), (2, 42), "jumbo payload");
    assert_eq!(problem(&with_headers(&datagram, &[(60, &[0, 0, 0x80, 4, 0, 0, 0, 0])])), (2, 42));
    // Nothing follows (RFC 8200, section 4.7), and an option that says "drop me".
    assert!(answers(&mut stack, &packet(v6(1), v6(2), header::NONE, &[])).is_empty());
    assert!(answers(&mut stack, &with_headers(&datagram, &[(60, &[0, 0, 0x40, 4, 0, 0, 0, 0])])).is_empty());
    // To a group.
    let group = std::net::IpAddr::from([0xff02, 0, 0, 0, 0, 0, 0, 1]);
    stack.home_mut().add(group, 128, stack::home::Kind::Link);
    let to_group = udp((v6(1), 4000), (group, 9), b"");
    assert!(answers(&mut stack, &to_group).is_empty());
    assert!(answers(&mut stack, &with_headers(&to_group, &[(60, &[0, 0, 0xc0, 4, 0, 0, 0, 0])])).is_empty());
    let sent = answers(&mut stack, &with_headers(&to_group, &[(60, &[0, 0, 0x80, 4, 0, 0, 0, 0])]));
    assert_eq!(kinds(&sent), [(4, 2)]);
    assert_eq!(Datagram::parse(sent[0].bytes()).unwrap().source, v6(2), "from a host's address (section 2.2)");
}

/// RFC 8200, section 4.5: fragments are joined in any order, under their identification alone.
#[test]
fn fragments_are_joined() {
    let mut stack = host(2, Config::default());
    let request = echo_request(v6(1), v6(2), &[7; 3000]);
    let body = &request[40..];
    let mut fragments: Vec<Vec<u8>> = (0..body.len())
        .step_by(1000)
        .map(|at| {
            let part = &body[at..body.len().min(at + 1000)];
            // The number in a later fragment's header counts for nothing.
            let next = if at == 0 { protocol::ICMPV6 } else { 200 };
            fragment6(v6(1), next, 77, at as u16, at + 1000 < body.len(), part)
        })
        .collect();
    fragments.reverse();
    let duplicate = fragments[1].clone();
    fragments.insert(2, duplicate);
    let last = fragments.pop().unwrap();
    for fragment in &fragments {
        assert!(answers(&mut stack, fragment).is_empty());
    }
    let sent = answers(&mut stack, &last);
    // The reply is cut again: each piece fits, and together they are what was asked.
    assert_eq!(sent.len(), 3);
    let mut client = host(1, Config::default());
    let raw = client.raw_mut().open(protocol::ICMPV6, None);
    for piece in sent {
        assert!(piece.len() <= 1500 && piece.bytes()[6] == header::FRAGMENT);
        client.receive(NOW, LINK, piece);
    }
    let mut buffer = vec![0; 4000];
    let reply = client.raw_recv(raw, &mut buffer).expect("whole");
    assert_eq!((reply.len, buffer[0], &buffer[4..reply.len]), (body.len(), 129, &body[4..]));
    assert_eq!(stack.counters().v6.reasm_oks, 1);
    assert_eq!((stack.counters().v6.out_frag_creates, stack.counters().v6.out_frag_oks), (3, 1));
}

/// RFC 5722, section 4: an overlap discards the datagram and all of its fragments; RFC 8200,
/// section 4.5: an exact duplicate is none.
#[test]
fn overlapping_fragments_are_dropped() {
    let body = udp_body((v6(1), 4000), (v6(2), 9), &[1; 24]);
    let part =
        |id, at: usize, end: usize| fragment6(v6(1), protocol::UDP, id, at as u16, end < body.len(), &body[at..end]);
    for (id, second, joined) in [(1, (16, 32), true), (2, (8, 32), false), (3, (0, 16), true), (4, (0, 24), false)] {
        let mut stack = host(2, Config::default());
        let socket = stack.udp_mut().bind(None, 9).unwrap();
        assert!(answers(&mut stack, &part(id, 0, 16)).is_empty());
        assert!(answers(&mut stack, &part(id, second.0, second.1)).is_empty());
        assert!(answers(&mut stack, &part(id, 16, 32)).is_empty());
        let received = stack.udp_recv(socket, &mut [0; 64]).is_some();
        assert_eq!(received, joined, "{second:?}");
    }
}

/// RFC 8200, section 4.5, and RFC 7112: what is wrong with a fragment is told; a datagram that does
/// not become whole within 60 seconds is given up, and told if its first fragment came.
#[test]
fn wrong_fragments_are_answered() {
    let mut stack = host(2, Config::default());
    let mut problem = |bytes: &[u8]| {
        let sent = answers(&mut stack, bytes);
        let (kind, code, pointer, _) = message(&sent[0]);
        (kind, code, pointer)
    };
    assert_eq!(problem(&fragment6(v6(1), 17, 1, 0, true, &[0; 17])), (4, 0, 4), "no multiple of eight");
    assert_eq!(problem(&fragment6(v6(1), 17, 1, 0xfff8, false, &[0; 8])), (4, 0, 42), "too long");
    assert_eq!(problem(&fragment6(v6(1), 6, 1, 0, true, &[0; 16])), (4, 3, 0), "headers are not all there");

    for (id, offset) in [(8, 0), (9, 8)] {
        assert!(answers(&mut stack, &fragment6(v6(1), 17, id, offset, true, &[0; 16])).is_empty());
    }
    let late = stack.next_deadline().expect("it is given up some time");
    assert_eq!(late - NOW, Duration::from_secs(60));
    stack.handle_timeout(late);
    let sent = sent_at(&mut stack, late);
    assert_eq!(kinds(&sent), [(3, 1)], "only where the first fragment came");
    assert_eq!(message(&sent[0]).3, fragment6(v6(1), 17, 8, 0, true, &[0; 16]), "as it was");
    assert_eq!(stack.counters().v6.reasm_fails, 5);
}

/// RFC 4443, section 2.4 e: never about an error, a group or no host; section 2.4 c: as much as fits
/// into 1280 bytes; section 2.4 f: not without end.
#[test]
fn errors_are_sent_where_they_may_be() {
    let mut stack = host(2, Config::default());
    let long = udp((v6(1), 4000), (v6(2), 9), &[1; 1400]);
    let sent = answers(&mut stack, &long);
    assert_eq!((kinds(&sent), sent[0].len()), (vec![(1, 4)], 1280));
    let error = icmp(v6(1), v6(2), 1, 4, 0, &udp((v6(2), 9), (v6(1), 4000), b""));
    assert!(answers(&mut stack, &error).is_empty());
    // A later fragment of ICMPv6 may be part of an error.
    assert!(answers(&mut stack, &fragment6(v6(1), 58, 1, 0xfff8, false, &[0; 8])).is_empty());
    for _ in 0..1000 {
        stack.receive(NOW, LINK, Packet::copy_of(&long));
    }
    assert!(sent_by(&mut stack).len() <= 50);
    assert!(stack.counters().icmpv6.out_rate_limited >= 950);
}

/// RFC 8200, section 8.1: a UDP checksum of zero is none, and over IPv6 there has to be one.
#[test]
fn udp_needs_its_checksum() {
    let mut stack = host(2, Config::default());
    stack.udp_mut().bind(None, 9).unwrap();
    let mut datagram = udp((v6(1), 4000), (v6(2), 9), b"hello");
    datagram[46..48].fill(0);
    assert!(answers(&mut stack, &datagram).is_empty());
    assert_eq!(stack.udp_counters().in_errors, 1);
}

/// RFC 8201, section 4: datagrams are cut to the path MTU that an error about one of them told, and
/// never below 1280; errors about what was not sent are nothing.
#[test]
fn the_path_mtu_is_learnt() {
    let mut stack = host(2, Config::default());
    let socket = stack.udp_mut().bind(None, 9).unwrap();
    let send = |stack: &mut stack::Stack| {
        stack.udp_send(socket, v6(2), SocketAddr::new(v6(1), 4000), &[1; 1440]).unwrap();
        let sent = sent_by(stack);
        sent.iter().map(Packet::len).max().unwrap()
    };
    assert_eq!(send(&mut stack), 1488);
    let quoted = udp((v6(2), 9), (v6(1), 4000), &[1; 1200]);
    let forged = udp((v6(2), 10), (v6(1), 4000), &[1; 1200]);
    assert!(answers(&mut stack, &icmp(v6(9), v6(2), 2, 0, 1400, &forged)).is_empty());
    assert_eq!(send(&mut stack), 1488, "nobody has that port");
    assert!(answers(&mut stack, &icmp(v6(9), v6(2), 2, 0, 1000, &quoted)).is_empty());
    assert_eq!(send(&mut stack), 1488, "no link has less than 1280");
    assert!(answers(&mut stack, &icmp(v6(9), v6(2), 2, 0, 1400, &quoted)).is_empty());
    assert!(send(&mut stack) <= 1400);
    stack.udp_send(socket, v6(2), SocketAddr::new(v6(1), 4000), &[1; 1440]).unwrap();
    let later = NOW + Duration::from_secs(600);
    assert_eq!(sent_at(&mut stack, later).iter().map(Packet::len).max(), Some(1488), "section 5.3: forgotten");
}

/// RFC 8200, section 3; RFC 4443, sections 3.1 to 3.3: a router takes one hop off, cuts nothing, and
/// looks only at what is meant for it.
#[test]
fn a_router_forwards() {
    let mut stack = router(2);
    let to = v6(77);
    let sent = answers(&mut stack, &packet(v6(1), to, 200, b"for somebody else"));
    assert_eq!(Datagram::parse(sent[0].bytes()).unwrap().hop_limit, 63);
    assert_eq!(kinds(&answers(&mut stack, &packet_with(v6(1), to, 200, 1, b""))), [(3, 0)], "hop limit");
    let sent = answers(&mut stack, &packet(v6(1), to, 200, &[0; 1461]));
    assert_eq!((kinds(&sent), message(&sent[0]).2), (vec![(2, 0)], 1500), "too big");
    let datagram = udp((v6(1), 1), (to, 2), b"");
    assert_eq!(kinds(&answers(&mut stack, &with_headers(&datagram, &[(0, &[0, 0, 0xc0, 4, 0, 0, 0, 0])]))), [(4, 2)]);
    let sent = answers(&mut stack, &with_headers(&datagram, &[(60, &[0, 0, 0xc0, 4, 0, 0, 0, 0])]));
    assert_eq!(sent[0].bytes()[6], header::DESTINATION, "the destination's business");
    stack.routes_mut().remove(std::net::IpAddr::from([0; 16]), 0);
    let far = std::net::IpAddr::from([0x2001, 0xdb8, 9, 0, 0, 0, 0, 1]);
    stack.routes_mut().replace(stack::route::Route {
        destination: v6(0),
        prefix: 64,
        link: LINK,
        next_hop: None,
        metric: 0,
    });
    assert_eq!(kinds(&answers(&mut stack, &packet(v6(1), far, 200, b""))), [(1, 0)], "no route");
    let local = std::net::IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, 1]);
    assert!(answers(&mut stack, &packet(local, to, 200, b"")).is_empty(), "RFC 4291, section 2.5.6");
}

/// RFC 9293 over RFC 8200: a connection opens, carries data in both directions, and closes; behind
/// extension headers and in fragments too.
#[test]
fn connections_go_over_ipv6() {
    let (mut client, mut server) = (host(1, Config::default()), host(2, Config::default()));
    let listener = server.tcp_mut().listen(Some(v6(2)), 80, ListenOptions::default()).unwrap();
    let connection = client.tcp_connect(NOW, None, SocketAddr::new(v6(2), 80)).unwrap();
    let exchange = |client: &mut stack::Stack, server: &mut stack::Stack| {
        for _ in 0..50 {
            for packet in sent_by(client) {
                // As a path with a narrow tunnel might.
                let datagram = Datagram::parse(packet.bytes()).unwrap();
                let body = &packet.bytes()[datagram.payload];
                let parts = body.chunks(800).count();
                for (index, part) in body.chunks(800).enumerate() {
                    let id = u32::from_be_bytes(body[4..8].try_into().unwrap()) ^ (body.len() as u32) << 8;
                    let whole = with_headers(&packet.bytes()[..40], &[(60, PADDED)]);
                    let bytes = match parts {
                        1 => with_headers(packet.bytes(), &[(60, PADDED)]),
                        _ => fragment6(v6(1), whole[40], id, index as u16 * 800, index + 1 < parts, part),
                    };
                    server.receive(NOW, LINK, Packet::copy_of(&bytes));
                }
            }
            for packet in sent_by(server) {
                client.receive(NOW, LINK, packet);
            }
        }
    };
    exchange(&mut client, &mut server);
    let accepted = server.tcp_mut().accept(listener).expect("established");
    let data: Vec<u8> = (0..50_000u32).map(|index| index as u8).collect();
    assert_eq!(client.tcp_mut().send(NOW, connection, &data), Ok(data.len()));
    exchange(&mut client, &mut server);
    let mut buffer = vec![0; 60_000];
    assert_eq!(server.tcp_recv(NOW, accepted, &mut buffer), Ok(data.len()));
    assert_eq!(&buffer[..data.len()], data);
    client.tcp_close(NOW, connection);
    server.tcp_close(NOW, accepted);
    exchange(&mut client, &mut server);
    assert!(server.tcp().connections().all(|connection| connection.state == State::TimeWait));
}
