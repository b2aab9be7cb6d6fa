//! Path MTU discovery (RFC 1191, RFC 8201), its defence (RFC 5927), and what finds black holes
//! (RFC 4821, RFC 8899).

use super::network::{Network, exchange};
use super::*;
use crate::wire::tcp::SeqRange;

/// A transfer over a path whose hop takes less than the links; how long it took.
fn through(hop: u16, tells: bool, size: usize) -> (Duration, TcpCounters, u64) {
    let config = [TcpConfig::default(), TcpConfig::default()];
    let mut network = Network::new(config, OnePath::new(1500, 61_000), 3);
    network.faults.cutting = true;
    network.hop_mtu = Some((hop, tells));
    let (_, server, took) = exchange(&mut network, [pattern(size), vec![]], [65_536; 2], Duration::from_secs(600));
    assert!(server.received == pattern(size));
    (took, *network.hosts[0].tcp.counters(), network.packets)
}

/// RFC 1191: the router says what it takes; nothing waits for a timeout.
#[test]
fn routers_say_what_they_take() {
    for hop in [1499, 1400, 1280, 576, 296] {
        let (took, counters, _) = through(hop, true, 300_000);
        assert!(took < millis(400), "{hop}: {took:?}");
        assert_eq!(counters.timeouts, 0, "{hop}");
    }
}

/// RFC 4821, 7.7, and RFC 8899: where no router says anything, size is suspected after some
/// timeouts, and larger sizes are tried from there on.
#[test]
fn black_holes_are_found() {
    for hop in [1492, 1450, 1400, 1280] {
        let (took, counters, packets) = through(hop, false, 3_000_000);
        assert!(took < Duration::from_secs(8), "{hop}: {took:?}");
        // The search ends near what the path takes: 3 MB in segments of the base size would be
        // 2614 packets. Acknowledgments come on top.
        let best = 3_000_000 / (u64::from(hop) - 52);
        let data = packets - packets / 3;
        println!(
            "{hop}: {took:?}, {packets} packets of {best} at best, {}, {}",
            counters.mtu_failures, counters.mtu_successes
        );
        assert!(data < best * 14 / 10, "{hop}: {packets} packets, {best} at best");
        assert!(counters.mtu_successes > 0 && counters.mtu_failures < 12, "{hop}: {counters:?}");
        assert_eq!(counters.timeouts, 3, "{hop}");
    }
}

/// A connection with ten segments of 1448 bytes out, `acked` of them acknowledged.
fn flying(acked: u32) -> (Host, Peer, ConnId) {
    let options =
        Options { sack_permitted: true, timestamps: Some(Timestamps { value: 1, echo: 0 }), ..Options::default() };
    let Served { mut host, id, mut peer, .. } = served(options);
    host.send(id, &pattern(100_000)).unwrap();
    assert!(host.sent().iter().all(|sent| sent.payload.len() == 1448));
    host.now += millis(20);
    if acked > 0 {
        peer.ack += acked * 1448;
        peer.timestamps = peer.timestamps.map(|stamps| Timestamps { value: stamps.value + 20, ..stamps });
        host.inject(peer.segment(ACK), &[]);
        host.sent();
    }
    (host, peer, id)
}

fn claim(host: &mut Host, peer: &Peer, offset: u32, mtu: u16) -> Vec<usize> {
    let error = IcmpError::PacketTooBig { mtu };
    host.tcp.icmp_error(host.now, here(60), there(2000), peer.ack + offset, error, &mut host.pool);
    host.sent().iter().map(|sent| sent.payload.len()).collect()
}

/// RFC 5927, 4.1 and 7.2: a claim is believed if it is about a segment that is out, is less than
/// what goes now, and no segment of that size has arrived yet.
#[test]
fn claims_are_checked() {
    let (mut host, peer, _) = flying(0);
    assert_eq!(claim(&mut host, &peer, 100_000, 1000), [0; 0], "not out");
    assert_eq!(claim(&mut host, &peer, 0, 1500), [0; 0], "not less");
    let sent = claim(&mut host, &peer, 0, 1000);
    assert!(sent.len() >= 10 && sent.iter().all(|len| *len <= 948), "{sent:?}");
    // RFC 1191, 7: a router that does not say what it takes.
    let (mut host, peer, _) = flying(0);
    assert!(claim(&mut host, &peer, 0, 0).iter().all(|len| *len <= 1492 - 52));
    // Nothing sensible is below the floor.
    let (mut host, peer, _) = flying(0);
    assert!(claim(&mut host, &peer, 0, 68).iter().max() == Some(&(296 - 52)));
}

/// RFC 5927, 7.2: where such segments arrive, a claim waits for a timeout; arrivals refute it.
#[test]
fn a_claim_against_the_evidence_waits_for_a_timeout() {
    let (mut host, peer, _) = flying(2);
    assert_eq!(claim(&mut host, &peer, 0, 600), [0; 0]);
    let again = host.wait(millis(1000));
    let sizes: Vec<_> =
        again.iter().filter(|(_, sent)| sent.segment.seq == peer.ack).map(|(_, sent)| sent.payload.len()).collect();
    assert_eq!(sizes.last(), Some(&548), "after the timeout: {sizes:?}");

    let (mut host, mut peer, id) = flying(2);
    claim(&mut host, &peer, 0, 600);
    for _ in 0..100 {
        host.now += millis(1);
        peer.ack += 1448;
        peer.timestamps = peer.timestamps.map(|stamps| Timestamps { value: stamps.value + 1, ..stamps });
        if peer.ack.after(host.tcp.connections[id.index()].snd.nxt) {
            break;
        }
        host.inject(peer.segment(ACK), &[]);
        assert!(host.sent().iter().all(|sent| sent.payload.len() > 600 || sent.segment.flags.contains(Flags::PSH)));
    }
}

/// RFC 8201, 4: no IPv6 path takes less than 1280.
#[test]
fn ipv6_claims_have_a_floor() {
    let v6 = |last: u16, port| SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, last], port));
    let mut host = Host::new(TcpConfig::default());
    let id = host.tcp.connect(host.now, v6(1, 1000), v6(2, 80)).unwrap();
    let mut peer = Peer::new(v6(1, 1000), v6(2, 80));
    peer.ack = host.one().segment.seq + 1;
    host.inject(Segment { options: Options { mss: Some(1440), ..Options::default() }, ..peer.segment(SYN | ACK) }, &[]);
    host.send(id, &pattern(5000)).unwrap();
    host.sent();
    for (mtu, len) in [(1000, None), (1280, Some(1220))] {
        let error = IcmpError::PacketTooBig { mtu };
        host.tcp.icmp_error(host.now, v6(1, 1000), v6(2, 80), peer.ack, error, &mut host.pool);
        assert_eq!(host.sent().iter().map(|sent| sent.payload.len()).max(), len);
    }
}

/// RFC 4821, 7.2 and 7.3: a connection that searches from the beginning sends what its path took then, and
/// probes for more from below it. The probe is no small segment, which the next would have to wait for. That it
/// is lost says nothing of congestion (7.5), whether a router tells of it or not.
#[test]
fn a_connection_may_search_from_the_beginning() {
    for (arrives, told) in [(true, false), (false, false), (false, true)] {
        let (mut host, listener, mut peer) = serve(TcpConfig { search_mtu_from: Some(552), ..TcpConfig::default() });
        host.path = OnePath::new(640, 0);
        let mut syn = peer.syn();
        syn.options.sack_permitted = true;
        host.inject(syn, &[]);
        let answer = host.one().segment;
        assert_eq!(answer.options.mss, Some(600));
        peer.seq += 1;
        peer.ack = answer.seq + 1;
        host.inject(peer.segment(ACK), &[]);
        host.nothing();
        let id = host.tcp.accept(listener).unwrap();
        host.path = OnePath::new(1500, 0);
        host.send(id, &pattern(4000)).unwrap();
        let sizes = |sent: Vec<Sent>| sent.iter().map(|sent| sent.payload.len()).collect::<Vec<_>>();
        assert_eq!(sizes(host.sent()), [986, 600, 600, 600, 600, 600, 14]);
        host.now += millis(10);
        if told {
            assert_eq!(claim(&mut host, &peer, 0, 900), [0; 0], "what is smaller is not sent again for the probe");
        }
        if !arrives {
            let mut ack = peer.segment(ACK);
            ack.options.sack.push(SeqRange { start: peer.ack + 986, end: peer.ack + 4000 });
            host.inject(ack, &[]);
            // Its bytes go again in smaller pieces.
            assert_eq!(sizes(host.sent()), [600, 386]);
            assert_eq!(host.tcp.counters().fast_recoveries, 0);
            host.now += millis(10);
        }
        peer.ack += 4000;
        host.inject(peer.segment(ACK), &[]);
        host.send(id, &pattern(4000)).unwrap();
        // From what has arrived to what the link takes, or to what has not.
        let next = match (arrives, told) {
            (true, _) => [vec![986; 4], vec![56]].concat(),
            (false, false) => [vec![749], vec![600; 5], vec![251]].concat(),
            (false, true) => [vec![686], vec![600; 5], vec![314]].concat(),
        };
        assert_eq!(sizes(host.sent()), next);
        assert_eq!(
            (host.tcp.counters().mtu_successes, host.tcp.counters().mtu_failures),
            (arrives.into(), (!arrives).into())
        );
    }
}
