use super::*;

/// RFC 9293, 3.8.3: after R2 retransmissions the connection fails, and its application hears.
#[test]
fn a_silent_peer_is_given_up() {
    let config = TcpConfig { retries: 3, ..TcpConfig::default() };
    let Served { mut host, id, .. } = served_by(config, Options::default());
    host.send(id, b"data").unwrap();
    let out = host.wait(Duration::from_secs(60));
    let data = out.iter().filter(|(_, sent)| sent.payload == b"data").count();
    assert_eq!(data, 4);
    assert_eq!(host.events(), [TcpEvent::Closed(id, CloseReason::TimedOut)]);
    assert_eq!(host.send(id, b"x"), Err(SocketError::Ended(CloseReason::TimedOut)));
    assert!(host.states().is_empty());
    assert_eq!(host.tcp.counters().abort_on_timeout, 1);
}

/// An active open that nobody answers: SYNs at 0, 1, 3, 7 s and so on, then it fails.
#[test]
fn an_unanswered_open_fails() {
    let mut host = Host::new(TcpConfig { syn_retries: 3, ..TcpConfig::default() });
    let id = host.tcp.connect(host.now, here(0), there(80)).unwrap();
    let out = host.wait(Duration::from_secs(60));
    let at: Vec<_> = out.iter().map(|(at, sent)| (at.as_secs(), sent.segment.flags)).collect();
    assert_eq!(at, [(0, SYN), (1, SYN), (3, SYN), (7, SYN)]);
    assert_eq!(host.events(), [TcpEvent::Closed(id, CloseReason::TimedOut)]);
    assert_eq!(host.flows().len(), 2);
}

/// RFC 9293, 3.8.4: keepalive probes after silence; an answer keeps the connection, silence ends it.
#[test]
fn keepalive_probes_a_silent_peer() {
    let Served { mut host, id, peer, .. } = served(Options::default());
    let now = host.now;
    let settings = Keepalive { idle: Duration::from_secs(10), interval: Duration::from_secs(2), count: 3 };
    host.tcp.set_keepalive(now, id, Some(settings)).unwrap();
    let out = host.wait(Duration::from_secs(11));
    assert_eq!(out.len(), 1);
    let (at, probe) = &out[0];
    assert_eq!((at.as_secs(), probe.segment.seq, probe.payload.len()), (10, peer.ack - 1, 0));
    host.inject(peer.segment(ACK), &[]);
    let out = host.wait(Duration::from_secs(60));
    let at: Vec<_> = out.iter().map(|(at, sent)| (at.as_secs(), sent.segment.flags)).collect();
    assert_eq!(at, [(10, ACK), (12, ACK), (14, ACK), (16, RST | ACK)]);
    assert_eq!(host.events(), [TcpEvent::Closed(id, CloseReason::TimedOut)]);
}

/// Keepalive is off unless asked for, and can be turned off.
#[test]
fn keepalive_is_off_by_default() {
    let Served { mut host, id, .. } = served(Options::default());
    assert!(host.wait(Duration::from_secs(100_000)).is_empty());
    let now = host.now;
    host.tcp.set_keepalive(now, id, Some(Keepalive::default())).unwrap();
    host.tcp.set_keepalive(now, id, None).unwrap();
    assert!(host.wait(Duration::from_secs(100_000)).is_empty());
}

/// RFC 5482: the user timeout ends a connection whose data is not acknowledged, whatever R2 says;
/// acknowledgments restart it.
#[test]
fn the_user_timeout_bounds_silence() {
    let Served { mut host, id, mut peer, .. } = served(Options::default());
    let now = host.now;
    host.tcp.set_user_timeout(now, id, Some(Duration::from_secs(3))).unwrap();
    host.wait(Duration::from_secs(10));
    host.send(id, b"first").unwrap();
    host.wait(Duration::from_secs(2));
    host.send(id, b"second").unwrap();
    peer.ack += 5;
    host.inject(peer.segment(ACK), &[]);
    host.wait(Duration::from_millis(2900));
    assert_eq!(host.tcp.state(id), Ok(State::Established));
    host.wait(Duration::from_millis(200));
    assert_eq!(host.events(), [TcpEvent::Closed(id, CloseReason::TimedOut)]);
}

/// Without anything to wait for there is no deadline: an idle stack sleeps.
#[test]
fn an_idle_stack_has_no_deadline() {
    let Served { mut host, id, mut peer, .. } = served(Options::default());
    host.send(id, b"data").unwrap();
    host.one();
    peer.ack += 4;
    host.inject(peer.segment(ACK), &[]);
    host.wait(Duration::from_secs(10));
    assert_eq!(host.tcp.next_deadline(), None);
}

/// A peer that keeps its window shut and answers probes holds up a connection, but not one that its application
/// has left: its memory would be gone for ever.
#[test]
fn an_orphan_before_a_shut_window_is_given_up() {
    let Served { mut host, id, mut peer, .. } = served(Options::default());
    peer.window = 0;
    host.inject(peer.segment(ACK), &[]);
    host.send(id, b"nobody reads this").unwrap();
    host.close(id);
    let mut probes = 0;
    while !host.states().is_empty() {
        for (_, sent) in host.wait(Duration::from_millis(100)) {
            probes += u32::from(sent.segment.flags == ACK);
            host.inject(peer.segment(ACK), &[]);
        }
        assert!(probes < 20);
    }
    assert!(probes >= 8, "{probes}");
    assert_eq!(host.tcp.counters().abort_on_timeout, 1);
}

/// RFC 9293, 3.8.6.1 (MUST-37): a window that shuts over what is in flight does not end the connection either, as
/// long as the peer answers; silence does.
#[test]
fn a_window_shut_over_data_in_flight_is_borne() {
    let config = TcpConfig { retries: 3, ..TcpConfig::default() };
    let Served { mut host, id, mut peer, .. } = served_by(config, Options::default());
    host.send(id, b"data").unwrap();
    peer.window = 0;
    let mut again = 0;
    while again < 12 {
        for (_, sent) in host.wait(Duration::from_millis(100)) {
            again += u32::from(sent.payload == b"data");
            host.inject(peer.segment(ACK), &[]);
        }
        assert_eq!(host.states(), [State::Established], "after {again}");
    }
    host.wait(Duration::from_secs(3600));
    assert_eq!(host.events(), [TcpEvent::Closed(id, CloseReason::TimedOut)]);
}
