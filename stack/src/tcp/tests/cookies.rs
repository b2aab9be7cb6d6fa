//! SYN cookies (RFC 4987, section 3.6), and the bounds of half-open records.

use super::*;
use crate::tcp::SynCookies;
use proptest::prelude::*;

fn pressed() -> TcpConfig {
    TcpConfig { syn_queue: 4, ..TcpConfig::default() }
}

/// A host whose SYN queue is full, and what it has reported so far taken away.
fn full(config: TcpConfig) -> (Host, ListenerId) {
    let (mut host, listener, _) = serve(config);
    for port in 1..=4 {
        host.inject(Peer::new(here(60), there(port)).syn(), &[]);
    }
    assert_eq!(host.sent().len(), 4);
    host.flows();
    (host, listener)
}

/// RFC 4987, 3.6: with the SYN queue full a SYN is answered all the same, and nothing is kept; the
/// last ACK brings back MSS, window scale, SACK and timestamps. The distributor hears of the
/// connection then, not before. What it sends is whole.
#[test]
fn a_cookie_stands_for_a_record() {
    let (mut host, listener) = full(pressed());
    let mut peer = Peer::new(here(60), there(9000));
    let stamps = Timestamps { value: 500, echo: 0 };
    let options = Options {
        mss: Some(1400),
        window_scale: Some(5),
        sack_permitted: true,
        timestamps: Some(stamps),
        ..Options::default()
    };
    host.inject(Segment { options, ..peer.syn() }, &[]);
    let answer = host.one().segment;
    assert_eq!((answer.flags, answer.ack), (SYN | ACK, peer.seq + 1));
    assert_eq!((answer.options.window_scale, answer.options.sack_permitted), (Some(7), true));
    assert_eq!(host.tcp.connections().count(), 4, "nothing is kept");
    assert_eq!(host.flows(), []);
    host.now += millis(30_000);

    let irs = peer.seq;
    peer.seq += 1;
    peer.ack = answer.seq + 1;
    peer.window = 1000;
    let echo = answer.options.timestamps.unwrap().value;
    peer.timestamps = Some(Timestamps { value: 501, echo });
    let last = Segment { payload: 0..7, ..peer.segment(ACK) };
    assert!(host.tcp.returns_cookie(host.now, &last));
    assert!(!host.tcp.returns_cookie(host.now, &Segment { ack: last.ack + 100, ..last.clone() }));
    host.inject(peer.segment(ACK), b"request");
    assert!(!host.tcp.returns_cookie(host.now, &last), "the connection is there");
    let opened = FlowEvent::Opened { local: here(60), remote: there(9000), instance: irs.0, passive: true };
    let established = FlowEvent::Established { local: here(60), remote: there(9000) };
    assert_eq!(host.flows(), [opened, established]);
    let id = host.tcp.accept(listener).unwrap();
    assert_eq!(host.recv(id).unwrap(), b"request");
    host.send(id, &pattern(5000)).unwrap();
    let sent = host.sent();
    let stamp = sent[0].segment.options.timestamps.unwrap();
    assert!(stamp.echo == 501 && SeqNum(stamp.value).after(SeqNum(echo)));
    // The class of 1400 is 1300, 12 bytes go for timestamps; a window of 1000 << 5 takes it all.
    assert_eq!(sent.iter().map(|sent| sent.payload.len()).sum::<usize>(), 5000);
    assert_eq!(sent[0].payload.len(), 1288);
    let counters = host.tcp.counters();
    assert_eq!((counters.syncookies_sent, counters.syncookies_recv, counters.syncookies_failed), (1, 1, 0));
    assert_eq!((counters.syn_queue_cookies, counters.syn_queue_drops), (1, 0));
}

/// Without timestamps a cookie has no room for window scale and SACK: they are not offered.
#[test]
fn without_timestamps_a_cookie_offers_no_options() {
    let (mut host, listener) = full(pressed());
    let mut peer = Peer::new(here(60), there(9000));
    let options = Options { mss: Some(1460), window_scale: Some(5), sack_permitted: true, ..Options::default() };
    host.inject(Segment { options, ..peer.syn() }, &[]);
    let answer = host.one().segment;
    assert_eq!(answer.options, Options { mss: Some(1460), ..Options::default() });
    peer.seq += 1;
    peer.ack = answer.seq + 1;
    peer.window = 3000;
    host.inject(peer.segment(ACK), &[]);
    let id = host.tcp.accept(listener).unwrap();
    host.send(id, &pattern(10_000)).unwrap();
    let sent = host.sent();
    assert_eq!(sent.iter().map(|sent| sent.payload.len()).sum::<usize>(), 2920, "no scaling: 3000 is 3000");
}

/// RFC 9293, 3.10.7.2: an ACK that gives back no cookie, or one too old, is answered by RST; and
/// nothing is counted as failed where no cookie was ever sent.
#[test]
fn a_wrong_cookie_is_refused() {
    let (mut host, listener, _) = serve(TcpConfig::default());
    let mut peer = Peer::new(here(60), there(9000));
    host.inject(peer.segment(ACK), &[]);
    assert_eq!(host.one().segment.flags, RST);
    assert_eq!(host.tcp.counters().syncookies_failed, 0);

    let (mut host, _) = full(pressed());
    host.inject(peer.syn(), &[]);
    let answer = host.one().segment;
    peer.seq += 1;
    peer.ack = answer.seq + 100;
    host.inject(peer.segment(ACK), &[]);
    assert_eq!(host.one().segment.flags, RST);
    peer.ack = answer.seq + 1;
    host.now += Duration::from_secs(119);
    // Another cookie keeps the door open; the old one is too old.
    host.inject(Peer::new(here(60), there(9001)).syn(), &[]);
    host.sent();
    host.now += Duration::from_secs(2);
    host.inject(peer.segment(ACK), &[]);
    assert_eq!(host.one().segment.flags, RST);
    assert_eq!(host.tcp.counters().syncookies_failed, 2);
    assert_eq!(host.tcp.accept(listener), None);
}

/// RFC 4987, 3.6 in its purest form: no half-open connection takes memory, and each works.
#[test]
fn cookies_may_be_for_all() {
    let (mut host, listener, _) = serve(TcpConfig { syn_cookies: SynCookies::Always, ..TcpConfig::default() });
    for port in 1..=50 {
        let mut peer = Peer::new(here(60), there(port));
        host.inject(peer.syn(), &[]);
        assert_eq!(host.tcp.connections().count(), usize::from(port) - 1);
        peer.seq += 1;
        peer.ack = host.one().segment.seq + 1;
        host.inject(peer.segment(ACK), &[]);
        assert!(host.tcp.accept(listener).is_some());
    }
    assert_eq!(host.tcp.counters().syn_queue_cookies, 0);
}

/// One peer, and all peers together, are bounded; a peer at its bound takes nothing from others.
#[test]
fn half_open_records_are_bounded_for_each_peer_and_for_all() {
    let config = TcpConfig { max_half_open: 10, max_half_open_per_peer: 3, ..TcpConfig::default() };
    for (cookies, answers) in [(SynCookies::UnderPressure, 25), (SynCookies::Never, 3 + 20)] {
        let (mut host, _, _) = serve(TcpConfig { syn_cookies: cookies, ..config.clone() });
        for port in 1..=5 {
            host.inject(Peer::new(here(60), there(port)).syn(), &[]);
        }
        assert_eq!(host.tcp.connections().count(), 3);
        for last in 1..=20 {
            let other = SocketAddr::from(([203, 0, 113, last], 5000));
            host.inject(Peer::new(here(60), other).syn(), &[]);
        }
        assert_eq!(host.tcp.connections().count(), 10);
        assert_eq!(host.sent().len(), answers);
        // All is given back when they expire.
        host.wait(Duration::from_secs(200));
        assert_eq!(host.tcp.connections().count(), 0);
        host.inject(Peer::new(here(60), there(1)).syn(), &[]);
        assert_eq!(host.tcp.connections().count(), 1);
    }
}

/// While a SYN queue is more than half full, silent peers have fewer tries.
#[test]
fn silent_peers_go_early_under_pressure() {
    let gone_after = |peers: u16| {
        let (mut host, _, _) = serve(TcpConfig { syn_queue: 16, ..TcpConfig::default() });
        for port in 1..=peers {
            host.inject(Peer::new(here(60), there(port)).syn(), &[]);
        }
        host.wait(Duration::from_secs(10));
        host.tcp.connections().count()
    };
    assert_eq!(gone_after(8), 8);
    assert!(gone_after(16) <= 8);
}

proptest! {
    /// A flood of any SYNs and ACKs: bounded, no panic, and an honest peer gets through.
    #[test]
    fn a_flood_does_not_keep_an_honest_peer_out(
        flood in proptest::collection::vec((any::<u16>(), any::<u8>(), any::<u32>(), any::<u32>(), any::<bool>()), 1..300),
        stamps in any::<bool>(),
    ) {
        let config = TcpConfig { syn_queue: 8, max_half_open: 12, max_half_open_per_peer: 4, ..TcpConfig::default() };
        let (mut host, listener, _) = serve(config);
        for (port, last, seq, ack, syn) in flood {
            let forged = SocketAddr::from(([203, 0, 113, last], port));
            let mut peer = Peer::new(here(60), forged);
            (peer.seq, peer.ack) = (SeqNum(seq), SeqNum(ack));
            host.inject(if syn { peer.syn() } else { peer.segment(ACK) }, &[]);
            host.now += Duration::from_micros(20);
            prop_assert!(host.tcp.connections().count() <= 12);
        }
        host.sent();
        let mut peer = Peer::new(here(60), there(9000));
        let timestamps = stamps.then_some(Timestamps { value: 5, echo: 0 });
        host.inject(Segment { options: Options { mss: Some(1460), timestamps, ..Options::default() }, ..peer.syn() }, &[]);
        let answer = host.one().segment;
        peer.seq += 1;
        peer.ack = answer.seq + 1;
        peer.timestamps = answer.options.timestamps.map(|option| Timestamps { value: 6, echo: option.value });
        host.inject(peer.segment(ACK), b"hello");
        let id = host.tcp.accept(listener).unwrap();
        prop_assert_eq!(host.tcp.peer_addr(id), Ok(there(9000)));
        prop_assert_eq!(host.recv(id).unwrap(), b"hello");
    }
}
