//! What a host and a router must withstand and offer below TCP, for both versions of IP.

mod support;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use stack::home::Kind;
use stack::packet::SegmentKind;
use stack::reassembly::Reassembly;
use stack::tcp::ListenOptions;
use stack::wire::datagram::Datagram;
use stack::wire::ip::{self, protocol};
use stack::wire::{checksum, segment};
use stack::{Checksum, Config, Offload, Packet, Segmentation, Stack};
use support::*;

/// A SYN with its checksum.
fn syn(source: IpAddr, destination: IpAddr) -> Vec<u8> {
    let mut body = vec![0; 20];
    body[..4].copy_from_slice(&[0x1f, 0x90, 0, 80]);
    (body[12], body[13]) = (0x50, 0x02);
    let pseudo = checksum::pseudo_header(source, destination, protocol::TCP, 20);
    let sum = !checksum::fold(pseudo + checksum::sum(&body));
    body[16..18].copy_from_slice(&sum.to_be_bytes());
    packet(source, destination, protocol::TCP, &body)
}

/// RFC 1812, section 5.3.7, and the land attack: sources that no other host has are dropped and
/// counted; a DVIPA may be another stack's a moment later.
#[test]
fn martian_sources_are_dropped() {
    let sources = ["0.0.0.0", "127.0.0.1", "224.0.0.5", "255.255.255.255", "240.9.9.9"];
    let sources = sources.into_iter().chain(["::", "::1", "ff02::1", "::ffff:198.51.100.1"]);
    let sources = sources.map(|text| text.parse().unwrap()).chain(both(2)).chain(both(3));
    let mut stack = host(2, Config::default());
    both(3).into_iter().for_each(|address| stack.home_mut().add(address, 64, Kind::Xcf));
    stack.tcp_mut().listen(None, 80, ListenOptions::default()).unwrap();
    let mut count = 0;
    for source in sources {
        let to = if source.is_ipv4() { v4(2) } else { v6(2) };
        assert!(answers(&mut stack, &syn(source, to)).is_empty(), "{source}");
        assert!(answers(&mut stack, &packet(source, to, 200, b"?")).is_empty(), "{source}");
        count += 2;
    }
    let counters = stack.counters();
    assert_eq!(counters.v4.in_martians + counters.v6.in_martians, count);
    assert_eq!(stack.tcp().counters().in_segs, 0);
    let dvipa = IpAddr::from([203, 0, 113, 1]);
    stack.home_mut().add(dvipa, 32, Kind::InternalDvipa);
    assert_eq!(answers(&mut stack, &syn(dvipa, v4(2))).len(), 1, "it may be another stack's");
}

/// F7.140: what the own TCP sends to a DVIPA is not kept inside, for another stack may serve it; and what comes
/// back of it from whoever routes is taken, though it has an own address for its source. Of other protocols it is
/// not: a forged one would go round for ever between two echo servers.
#[test]
fn segments_to_a_dvipa_leave_and_may_come_back() {
    let (dvipa, own) = (IpAddr::from([203, 0, 113, 1]), v4(3));
    let mut stack = host(2, Config::default());
    stack.home_mut().add(own, 32, Kind::Xcf);
    stack.home_mut().add(dvipa, 32, Kind::InternalDvipa);
    let server = stack.tcp_mut().listen(None, 80, ListenOptions::default()).unwrap();
    let client = stack.tcp_connect(NOW, Some(SocketAddr::new(own, 0)), SocketAddr::new(dvipa, 80)).unwrap();
    for _ in 0..2 {
        // SYN, and ACK; the answer in between is for an address that is this stack's alone.
        let sent = sent_by(&mut stack);
        assert_eq!(sent.len(), 1);
        sent.into_iter().for_each(|packet| stack.receive(NOW, LINK, packet));
    }
    sent_by(&mut stack);
    assert!(stack.tcp().state(client).unwrap().is_synchronized());
    assert!(stack.tcp_mut().accept(server).is_some());
    let forged = udp((own, 7), (dvipa, 7), b"echo");
    assert!(answers(&mut stack, &forged).is_empty());
    assert_eq!(stack.counters().v4.in_martians, 1);
}

/// RFC 1122, section 3.2.1.3: an own address is reached by TCP too where no link and no route is there, or is left.
#[test]
fn own_addresses_need_no_route() {
    for (own, kind) in [(v4(1), Kind::Link), (v6(1), Kind::Xcf)] {
        let mut stack = Stack::new(Config::default(), 1);
        stack.home_mut().add(own, 64, kind);
        let server = stack.tcp_mut().listen(None, 80, ListenOptions::default()).unwrap();
        let client = stack.tcp_connect(NOW, None, SocketAddr::new(own, 80)).unwrap();
        assert!(sent_by(&mut stack).is_empty());
        assert!(stack.tcp().state(client).unwrap().is_synchronized());
        assert!(stack.tcp_mut().accept(server).is_some());
        assert_eq!(stack.tcp().counters().no_route, 0);
    }
}

/// A device, or another stack, may say anything of a packet: what contradicts it is dropped.
#[test]
fn bogus_super_segments_are_dropped() {
    let tcp = [syn(v4(1), v4(2)), syn(v6(1), v6(2))];
    let segmented = |kind, size| Offload { checksum: Checksum::Valid, segmentation: Some(Segmentation { kind, size }) };
    let partial = |start, offset| Offload { checksum: Checksum::Partial { start, offset }, segmentation: None };
    let datagram = udp((v4(1), 1), (v4(2), 2), b"hello");
    let mut fragment = tcp[0].clone();
    ip::set_fragment(&mut fragment[..20], 0, true, 20);
    let wrong = [
        (&tcp[0], segmented(SegmentKind::TcpV4, 0)),
        (&tcp[0], segmented(SegmentKind::TcpV6, 1000)),
        (&tcp[1], segmented(SegmentKind::TcpV4, 1000)),
        (&tcp[0], segmented(SegmentKind::Udp, 1000)),
        (&datagram, segmented(SegmentKind::TcpV4, 1000)),
        (&datagram, segmented(SegmentKind::Udp, 1000)),
        (&fragment, segmented(SegmentKind::TcpV4, 1000)),
        (&fragment, partial(20, 16)),
        (&tcp[0], partial(20, 6)),
        (&tcp[0], partial(0, 16)),
        (&tcp[0], partial(40, 16)),
        (&tcp[1], partial(20, 16)),
        (&tcp[1], partial(u16::MAX, u16::MAX)),
        (&datagram, partial(20, 16)),
        (&datagram, partial(28, 6)),
    ];
    for forward in [false, true] {
        let mut stack = host(2, Config { forward, ..Config::default() });
        stack.tcp_mut().listen(None, 80, ListenOptions::default()).unwrap();
        for (bytes, offload) in wrong {
            let mut packet = Packet::copy_of(bytes);
            packet.offload = offload;
            stack.receive(NOW, LINK, packet);
            assert!(sent_by(&mut stack).is_empty(), "{offload:?}");
        }
        let counters = stack.counters();
        assert_eq!(counters.v4.in_bad_offload + counters.v6.in_bad_offload, wrong.len() as u64);
        // Right ones pass, also where the segment size says more than there is.
        for offload in [partial(20, 16), segmented(SegmentKind::TcpV4, 60_000)] {
            let mut packet = Packet::copy_of(&tcp[0]);
            packet.offload = offload;
            stack.receive(NOW, LINK, packet);
            sent_by(&mut stack);
        }
        assert_eq!(stack.counters().v4.in_delivers, 2);
    }
}

/// RFC 791, RFC 1122 section 3.2.2.6, RFC 4443 section 4.2: echoes of every size come back, in
/// fragments if need be, each with an identification of its own (RFC 6864).
#[test]
fn echoes_of_every_size_come_back() {
    for (here, there) in [(v4(1), v4(2)), (v6(1), v6(2))] {
        let mut stack = host(2, Config::default());
        let mut client = host(1, Config::default());
        let raw = client.raw_mut().open(icmp_of(here), Some(here));
        for size in [0, 1, 1432, 1433, 1472, 1473, 9000, 65_400] {
            let data: Vec<u8> = (0..size as u32).map(|index| index as u8).collect();
            let body = stack::icmp::echo_request(here.is_ipv4(), 77, size as u16, &data);
            client.raw_send(raw, None, there, None, &body).unwrap();
            for packet in sent_by(&mut client) {
                stack.receive(NOW, LINK, packet);
            }
            let mut replies = sent_by(&mut stack);
            assert!(replies.iter().all(|reply| reply.len() <= 1500));
            replies.reverse();
            replies.into_iter().for_each(|reply| client.receive(NOW, LINK, reply));
            let mut buffer = vec![0; 66_000];
            let reply = client.raw_recv(raw, &mut buffer).unwrap_or_else(|| panic!("{size} bytes of {there}"));
            assert_eq!((reply.source, reply.len), (there, size + 8));
            assert_eq!(&buffer[8..reply.len], data);
            assert!(client.raw_recv(raw, &mut buffer).is_none());
        }
    }
}

/// RFC 3542, section 3, as far as a stack without a kernel has it: a raw socket gets what comes for its
/// protocol, and what nobody has a socket for is refused.
#[test]
fn raw_sockets_serve_a_protocol() {
    for (here, there) in [(v4(1), v4(2)), (v6(1), v6(2))] {
        let mut stack = host(2, Config::default());
        let refused = if here.is_ipv4() { (3, 2) } else { (4, 1) };
        assert_eq!(kinds(&answers(&mut stack, &packet(here, there, 253, b"hello"))), [refused]);
        let (one, two) = (stack.raw_mut().open(253, None), stack.raw_mut().open(253, Some(v4(9))));
        let mut buffer = [0; 16];
        assert!(stack.raw_recv(one, &mut buffer).is_none());
        assert!(answers(&mut stack, &packet(here, there, 253, b"hello")).is_empty());
        assert_eq!(stack.raw_mut().poll_event(), Some(one), "whoever waits is told");
        let received = stack.raw_recv(one, &mut buffer).expect("delivered");
        assert_eq!((&buffer[..received.len], received.hop_limit), (&b"hello"[..], 64));
        assert!(stack.raw_recv(two, &mut buffer).is_none(), "another address");
        stack.raw_send(one, None, here, Some(3), b"answer").unwrap();
        let sent = sent_by(&mut stack);
        let datagram = Datagram::parse(sent[0].bytes()).unwrap();
        assert_eq!((datagram.source, datagram.protocol, datagram.hop_limit), (there, 253, 3));
        // The queue is bounded.
        for _ in 0..2000 {
            stack.receive(NOW, LINK, Packet::copy_of(&packet(here, there, 253, &[0; 1400])));
        }
        assert!(stack.raw_mut().drops > 1000);
        stack.raw_mut().close(one);
        stack.raw_mut().close(two);
        assert_eq!(kinds(&answers(&mut stack, &packet(here, there, 253, b"hello"))), [refused]);
    }
}

/// RFC 1122, sections 3.2.1.8 and 3.2.2.5; RFC 7126: options that contradict themselves are answered,
/// source routes are not followed.
#[test]
fn wrong_options_are_answered() {
    let mut stack = router(2);
    let with = |options: &[u8], to: IpAddr| {
        let mut bytes = packet(v4(1), to, protocol::UDP, &udp_body((v4(1), 1), (to, 2), b""));
        bytes.splice(20..20, options.iter().copied());
        bytes[0] = 0x45 + (options.len() / 4) as u8;
        let total = bytes.len() as u16;
        bytes[2..4].copy_from_slice(&total.to_be_bytes());
        bytes[10..12].fill(0);
        let sum = !checksum::fold(checksum::sum(&bytes[..20 + options.len()]));
        bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        bytes
    };
    for to in [v4(2), v4(77)] {
        let sent = answers(&mut stack, &with(&[1, 7, 9, 4], to));
        assert_eq!((kinds(&sent), message(&sent[0]).2 >> 24), (vec![(12, 0)], 21));
        let sent = answers(&mut stack, &with(&[131, 7, 4, 198, 51, 100, 9, 0], to));
        assert_eq!(kinds(&sent), [(3, 5)], "source route failed");
    }
    assert_eq!(kinds(&answers(&mut stack, &with(&[148, 4, 0, 0], v4(2)))), [(3, 3)], "router alert is known");
}

/// RFC 1812, section 4.2.2.7; RFC 791: a router cuts what is too big, again if need be, and the pieces
/// make the datagram; with DF it says how much would fit (RFC 1191).
#[test]
fn a_router_cuts_what_is_too_big() {
    let far = v4(77);
    let body = udp_body((v4(1), 1), (far, 2), &[9; 3000]);
    let whole = packet(v4(1), far, protocol::UDP, &body);
    let (mut wide, mut narrow) = (router(2), host_on(3, Config { forward: true, ..Config::default() }, 600));
    let mut pieces = Vec::new();
    for piece in answers(&mut wide, &whole) {
        pieces.extend(answers(&mut narrow, piece.bytes()));
    }
    assert!(pieces.len() >= 6 && pieces.iter().all(|piece| piece.len() <= 600));
    let mut reassembly = Reassembly::default();
    let mut joined = None;
    for piece in pieces.iter().rev() {
        let datagram = Datagram::parse(piece.bytes()).unwrap();
        if let stack::reassembly::Outcome::Complete(packet) = reassembly.add(NOW, piece.bytes(), &datagram) {
            joined = Some(packet.bytes()[20..].to_vec());
        }
    }
    assert_eq!(joined, Some(body));
    assert!(reassembly.is_empty() && reassembly.bytes() == 0);
    let mut whole = whole[..1000].to_vec();
    ip::set_fragment(&mut whole[..20], 0, false, 980);
    whole[6] = 0x40;
    whole[10..12].fill(0);
    let sum = !checksum::fold(checksum::sum(&whole[..20]));
    whole[10..12].copy_from_slice(&sum.to_be_bytes());
    let sent = answers(&mut narrow, &whole);
    assert_eq!((kinds(&sent), message(&sent[0]).2), (vec![(3, 4)], 600));
}

/// A packet whose checksum was left to the device is completed before it is cut, and a super-segment
/// is judged by its pieces.
#[test]
fn offload_facts_survive_forwarding() {
    let mut stack = host_on(2, Config { forward: true, ..Config::default() }, 600);
    let (from, to) = (v4(1), v4(77));
    let mut body = udp_body((from, 1), (to, 2), &[5; 1000]);
    let expected = body.clone();
    let pseudo = checksum::pseudo_header(from, to, protocol::UDP, body.len() as u32);
    body[6..8].copy_from_slice(&checksum::fold(pseudo).to_be_bytes());
    let mut partial = Packet::copy_of(&packet(from, to, protocol::UDP, &body));
    partial.offload.checksum = Checksum::Partial { start: 20, offset: 6 };
    stack.receive(NOW, LINK, partial);
    let pieces = sent_by(&mut stack);
    let sent: Vec<u8> = pieces.iter().flat_map(|piece| piece.bytes()[20..].to_vec()).collect();
    assert_eq!(sent, expected);

    let mut segment_of = |size: u16| {
        let mut body = vec![0; 4020];
        (body[12], body[13]) = (0x50, 0x10);
        let mut packet = Packet::copy_of(&packet(from, to, protocol::TCP, &body));
        packet.offload = Offload {
            checksum: Checksum::Partial { start: 20, offset: 16 },
            segmentation: Some(Segmentation { kind: SegmentKind::TcpV4, size }),
        };
        stack.receive(NOW, LINK, packet);
        sent_by(&mut stack)
    };
    let sent = segment_of(560);
    assert!(segment::split(sent[0].bytes(), 560, |piece| assert!(piece.len() <= 600)));
    assert_eq!(kinds(&segment_of(561)), [(3, 4)], "a piece does not fit");
}

/// Fragment floods: from one source and from many, memory stays within its bound and an honest
/// datagram still becomes whole.
#[test]
fn fragment_floods_are_bounded() {
    for sources in [1u32, 50_000] {
        for v6 in [false, true] {
            let mut stack = host(2, Config::default());
            let socket = stack.udp_mut().bind(None, 9).unwrap();
            let mut most = 0;
            let mut flood = |stack: &mut stack::Stack, numbers: std::ops::Range<u32>| {
                for number in numbers {
                    let id = number % sources;
                    let (from, bytes) = if v6 {
                        let from = IpAddr::from([0x2001, 0xdb8, 5, 0, 0, 0, (id >> 16) as u16, id as u16]);
                        (from, fragment6(from, 17, number, 1400 & !7, true, &[0; 1400]))
                    } else {
                        let from = IpAddr::from([10, (id >> 16) as u8, (id >> 8) as u8, id as u8]);
                        let mut bytes = packet(from, v4(2), 17, &[0; 1400]);
                        bytes[4..6].copy_from_slice(&(number as u16).to_be_bytes());
                        ip::set_fragment(&mut bytes[..20], 1400, true, 1400);
                        (from, bytes)
                    };
                    let _ = from;
                    stack.receive(NOW, LINK, Packet::copy_of(&bytes));
                    most = most.max(stack.reassembly_bytes());
                }
            };
            flood(&mut stack, 0..2000);
            let (from, to) = if v6 { (v6_client(), support::v6(2)) } else { (v4(1), v4(2)) };
            let body = udp_body((from, 1), (to, 9), &[7; 64]);
            let halves = [(0, true), (40, false)].map(|(at, more)| {
                let part = if more { &body[..40] } else { &body[40..] };
                if v6 {
                    return fragment6(from, 17, 5, at, more, part);
                }
                let mut bytes = packet(from, to, 17, part);
                ip::set_fragment(&mut bytes[..20], at.into(), more, part.len());
                bytes
            });
            stack.receive(NOW, LINK, Packet::copy_of(&halves[0]));
            // Of one source, the flood takes only its own share; from many, a few more come between.
            flood(&mut stack, if sources == 1 { 2000..4000 } else { 2000..2030 });
            stack.receive(NOW, LINK, Packet::copy_of(&halves[1]));
            assert!(stack.udp_recv(socket, &mut [0; 100]).is_some(), "{sources} sources, IPv6: {v6}");
            assert!(most <= 2 * 1024 * 1024, "{most} bytes");
        }
    }
}

fn v6_client() -> IpAddr {
    v6(1)
}

/// ICMP floods: what waits to leave is bounded in number and bytes.
#[test]
fn floods_fill_no_memory() {
    let mut stack = host(2, Config::default());
    stack.udp_mut().bind(None, 9).unwrap();
    for _ in 0..3000 {
        stack.receive(NOW, LINK, Packet::copy_of(&echo_request(v4(1), v4(2), &[0; 60_000])));
        stack.receive(NOW, LINK, Packet::copy_of(&udp((v6(1), 1), (v6(2), 9), &[0; 1400])));
    }
    let sent: usize = sent_by(&mut stack).iter().map(Packet::len).sum();
    assert!(sent <= 9 * 1024 * 1024, "{sent} bytes");
    assert!(stack.counters().v4.out_discards > 2000);
    assert!(stack.udp_counters().in_errors > 1000, "the socket's queue is full");
}

/// RFC 7323, section 2.3: settings change while a handshake is under way; the window scale that was
/// offered stays, what a buffer may become is bounded by it, and the rest counts at once.
#[test]
fn settings_change_at_run_time() {
    let mut stack = host(2, Config::default());
    stack.tcp_mut().listen(None, 80, ListenOptions::default()).unwrap();
    let scale = |stack: &mut stack::Stack, port: u16| {
        let mut request = syn(v4(1), v4(2));
        request.splice(40.., [1, 3, 3, 7]);
        request[20..22].copy_from_slice(&port.to_be_bytes());
        (request[2], request[3], request[32]) = (0, 44, 0x60);
        request[36..38].fill(0);
        let pseudo = checksum::pseudo_header(v4(1), v4(2), protocol::TCP, 24);
        let sum = !checksum::fold(pseudo + checksum::sum(&request[20..]));
        request[36..38].copy_from_slice(&sum.to_be_bytes());
        request[10..12].fill(0);
        let sum = !checksum::fold(checksum::sum(&request[..20]));
        request[10..12].copy_from_slice(&sum.to_be_bytes());
        let sent = answers(stack, &request).remove(0);
        let options = &sent.bytes()[40..];
        let at = options.windows(2).position(|two| two == [3, 3]).expect("a window scale");
        options[at + 2]
    };
    let before = scale(&mut stack, 1000);
    for max_receive in [1000, u32::MAX] {
        let mut config = stack.config().clone();
        config.tcp.max_receive = max_receive;
        config.udp_receive = 1;
        config.reassembly_timeout = Duration::from_secs(5);
        config.forward = true;
        stack.configure(config);
        assert_eq!(scale(&mut stack, max_receive as u16), before);
        assert!(stack.tcp().config().max_receive <= u32::from(u16::MAX) << before);
    }
    stack.udp_mut().bind(None, 9).unwrap();
    assert!(answers(&mut stack, &udp((v4(1), 1), (v4(2), 9), b"no room")).is_empty());
    assert_eq!(stack.udp_counters().in_errors, 1);
    assert_eq!(answers(&mut stack, &packet(v4(1), v4(77), 200, b"on")).len(), 1, "it forwards");
}

/// What the stack itself sends begins with the hop limit of its settings, whatever the protocol.
#[test]
fn the_hop_limit_is_that_of_the_settings() {
    for (here, there) in [(v4(1), v4(2)), (v6(1), v6(2))] {
        let mut stack = host(2, Config::default());
        stack.configure(Config { hop_limit: 5, ..stack.config().clone() });
        let mut sent = answers(&mut stack, &echo_request(here, there, b"ping"));
        sent.extend(answers(&mut stack, &udp((here, 1), (there, 9), b"refused")));
        stack.tcp_connect(NOW, None, SocketAddr::new(here, 80)).unwrap();
        sent.extend(sent_by(&mut stack));
        let limits: Vec<_> = sent.iter().map(|packet| Datagram::parse(packet.bytes()).unwrap().hop_limit).collect();
        assert_eq!(limits, [5; 3]);
    }
}

/// RFC 1812, section 5.2.4.3: of two routes to one network the lower metric wins, until it goes.
#[test]
fn metrics_choose_among_equal_routes() {
    for to in both(77) {
        let mut stack = router(2);
        let other = stack::LinkId(1);
        stack.routes_mut().add_link(stack::route::Link { id: other, name: "other".into(), mtu: 1400, max_super: 0 });
        let mut route = stack::route::Route::default_for(to, other, None);
        route.metric = 5;
        stack.routes_mut().replace(route);
        use stack::Paths;
        assert_eq!(stack.routes().path(to, to).map(|path| path.link), Some(LINK));
        stack.routes_mut().remove(route.destination, 0);
        assert_eq!(stack.routes().path(to, to), None);
        stack.routes_mut().replace(route);
        assert_eq!(stack.routes().path(to, to).map(|path| (path.link, path.mtu)), Some((other, 1400)));
    }
}

/// RFC 5927, section 4: an error that quotes what did not go from here changes nothing.
#[test]
fn forged_errors_change_nothing() {
    for (here, there) in [(v4(1), v4(2)), (v6(1), v6(2))] {
        let mut client = host(1, Config::default());
        let connection = client.tcp_connect(NOW, None, SocketAddr::new(there, 80)).unwrap();
        let syn = sent_by(&mut client).remove(0);
        let refused = if here.is_ipv4() { (3, 3) } else { (1, 4) };
        let forge = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut quoted = syn.bytes().to_vec();
            change(&mut quoted);
            icmp(there, here, refused.0, refused.1, 0, &quoted)
        };
        let transport = if here.is_ipv4() { 20 } else { 40 };
        for (at, what) in [(transport, "port"), (transport + 2, "peer's port"), (transport + 4, "sequence number")] {
            let forged = forge(&|quoted| quoted[at] ^= 1);
            assert!(answers(&mut client, &forged).is_empty());
            assert_eq!(client.tcp().connections().count(), 1, "{what}");
        }
        // And one that is true, though it quotes no more than must be (RFC 792): eight bytes of TCP.
        client.receive(NOW, LINK, Packet::copy_of(&forge(&|quoted| quoted.truncate(transport + 8))));
        client.tcp_close(NOW, connection);
        assert_eq!(client.tcp().connections().count(), 0);
        assert_eq!(client.next_deadline(), None);
    }
}

/// RFC 792, RFC 4443: an ICMP message with a wrong checksum, or cut, is counted and nothing else.
#[test]
fn malformed_messages_are_counted() {
    for (here, there) in [(v4(1), v4(2)), (v6(1), v6(2))] {
        let mut stack = host(2, Config::default());
        let mut wrong = echo_request(here, there, b"data");
        *wrong.last_mut().unwrap() ^= 1;
        let short = packet(here, there, icmp_of(here), &[8, 0, 0]);
        assert!(answers(&mut stack, &wrong).is_empty() && answers(&mut stack, &short).is_empty());
        let counters = stack.counters();
        let counters = if here.is_ipv4() { &counters.icmp } else { &counters.icmpv6 };
        assert_eq!((counters.in_msgs, counters.in_errors, counters.out_msgs), (2, 2, 0));
        let names: Vec<String> = counters.iter().map(|(name, _)| name).collect();
        assert!(names.contains(&"icmpStatsInErrors".to_owned()) && names.contains(&"icmpMsgStatsInPkts.8".to_owned()));
    }
    let late = NOW + Duration::from_secs(1);
    assert!(sent_at(&mut host(2, Config::default()), late).is_empty());
}
