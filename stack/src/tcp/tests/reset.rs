use super::*;

/// RFC 9293, 3.10.7.1, R20: what a closed port answers.
#[test]
fn a_closed_port_answers_with_rst() {
    let mut host = Host::new(TcpConfig::default());
    let peer = Peer { ack: SeqNum(9000), ..Peer::new(here(61), there(2000)) };
    host.inject(peer.segment(SYN), &[]);
    let reset = host.one().segment;
    assert_eq!((reset.flags, reset.seq, reset.ack), (RST | ACK, SeqNum(0), peer.seq + 1));
    host.inject(peer.segment(ACK | FIN), b"data");
    let reset = host.one().segment;
    assert_eq!((reset.flags, reset.seq), (RST, SeqNum(9000)));
    host.inject(peer.segment(RST | ACK), &[]);
    host.nothing();
}

/// RFC 9293, 3.10.7.2: LISTEN answers an ACK with RST, and ignores a RST and a bare segment.
#[test]
fn listen_resets_what_acknowledges() {
    let (mut host, _, peer) = serve(TcpConfig::default());
    host.inject(peer.segment(RST), &[]);
    host.inject(peer.segment(FIN), &[]);
    host.inject(peer.segment(SYN | FIN), &[]);
    host.nothing();
    for flags in [ACK, SYN | ACK] {
        host.inject(peer.segment(flags), &[]);
        assert_eq!(host.one().segment.flags, RST);
    }
    assert!(host.states().is_empty());
}

/// R6, R20: a segment is answered as a closed port does, whatever listens.
#[test]
fn reset_for_answers_whatever_listens() {
    let (mut host, _, peer) = serve(TcpConfig::default());
    host.tcp.reset_for(&peer.syn());
    assert_eq!(host.one().segment.flags, RST | ACK);
}

/// RFC 5961, 3.2: a RST at RCV.NXT resets; one elsewhere in the window is challenged; one outside
/// is ignored.
#[test]
fn a_rst_must_match_exactly() {
    let Served { mut host, id, peer, .. } = served(Options::default());
    for (offset, answered) in [(u32::MAX, false), (70_000, false), (1, true)] {
        host.inject(Segment { seq: peer.seq + offset, ..peer.segment(RST) }, &[]);
        let sent = host.sent();
        assert_eq!(!sent.is_empty(), answered, "{offset}");
        if let [challenge] = &sent[..] {
            assert_eq!((challenge.segment.flags, challenge.segment.ack), (ACK, peer.seq));
        }
        assert_eq!(host.tcp.state(id), Ok(State::Established));
    }
    assert_eq!(host.recv(id), Err(SocketError::WouldBlock));
    host.inject(peer.segment(RST), &[]);
    assert_eq!(host.events(), [TcpEvent::Readable(id), TcpEvent::Closed(id, CloseReason::Reset)]);
    assert_eq!(host.recv(id), Err(SocketError::Ended(CloseReason::Reset)));
    assert_eq!(host.send(id, b"x"), Err(SocketError::Ended(CloseReason::Reset)));
    host.nothing();
    assert_eq!(host.tcp.connections().count(), 0);
    host.close(id);
    assert_eq!(host.recv(id), Err(SocketError::Unknown));
}

/// RFC 5961, 4.2 and 5.2: a SYN, or an ACK for what was never sent, is challenged, not obeyed; and
/// not more often than twice a second, or than is set (section 7).
#[test]
fn blind_segments_are_challenged_at_a_limited_rate() {
    let unbounded = TcpConfig { challenge_interval: Duration::ZERO, ..TcpConfig::default() };
    for (config, again) in [(TcpConfig::default(), 0), (unbounded, 1)] {
        blind_segments_are_challenged(config, again);
    }
}

/// `again`: the answers to a segment that comes a second time at once.
fn blind_segments_are_challenged(config: TcpConfig, again: usize) {
    let Served { mut host, id, peer, .. } = served_by(config, Options::default());
    let syn = Segment { seq: peer.seq + 100, ..peer.segment(SYN) };
    let future = Segment { ack: peer.ack + 1, ..peer.segment(ACK) };
    let past = Segment { ack: peer.ack - 70_000, ..peer.segment(ACK) };
    for segment in [syn, future, past] {
        for expected in [1, again] {
            host.inject(segment.clone(), &[]);
            let sent = host.sent();
            assert_eq!(sent.len(), expected, "{segment:?}");
        }
        host.wait(millis(500));
    }
    assert_eq!(host.tcp.counters().challenge_acks, 3 * (1 + again as u64));
    assert_eq!(host.tcp.state(id), Ok(State::Established));
}

/// RFC 9293, 3.10.7.3: in SYN_SENT only a RST that acknowledges our SYN counts; another
/// acknowledgment is answered with RST.
#[test]
fn syn_sent_believes_only_what_acknowledges_its_syn() {
    let mut host = Host::new(TcpConfig::default());
    let id = host.tcp.connect(host.now, here(1000), there(80)).unwrap();
    let iss = host.one().segment.seq;
    let peer = Peer::new(here(1000), there(80));
    host.inject(peer.segment(RST), &[]);
    host.inject(Segment { ack: iss, ..peer.segment(ACK | RST) }, &[]);
    host.nothing();
    host.inject(Segment { ack: iss + 2, ..peer.segment(ACK | SYN) }, &[]);
    let reset = host.one().segment;
    assert_eq!((reset.flags, reset.seq), (RST, iss + 2));
    assert_eq!(host.tcp.state(id), Ok(State::SynSent));
    host.inject(Segment { ack: iss + 1, ..peer.segment(ACK | RST) }, &[]);
    assert_eq!(host.events(), [TcpEvent::Closed(id, CloseReason::Refused)]);
}

/// RFC 9293, 3.10.7.4: in SYN_RCVD a RST ends the record, an acknowledgment of something else is
/// answered with RST.
#[test]
fn syn_received_goes_with_a_rst() {
    let (mut host, _, mut peer) = serve(TcpConfig::default());
    host.inject(peer.syn(), &[]);
    let iss = host.one().segment.seq;
    peer.seq += 1;
    host.inject(Segment { ack: iss + 2, ..peer.segment(ACK) }, &[]);
    assert_eq!(host.one().segment.flags, RST);
    host.inject(Segment { seq: peer.seq + 5, ..peer.segment(RST) }, &[]);
    assert_eq!(host.one().segment.flags, ACK);
    assert_eq!(host.states(), [State::SynReceived]);
    host.inject(peer.segment(RST), &[]);
    assert!(host.states().is_empty());
}

/// R1: where addresses are shared, such an acknowledgment may be of a connection that another stack
/// holds: the record goes, and nobody is reset.
#[test]
fn a_doubtful_handshake_goes_in_silence() {
    let (mut host, _, mut peer) = serve(TcpConfig { shared_addresses: true, ..TcpConfig::default() });
    host.inject(peer.syn(), &[]);
    let iss = host.one().segment.seq;
    peer.seq += 1;
    host.inject(Segment { ack: iss + 2, ..peer.segment(ACK) }, &[]);
    host.nothing();
    assert!(host.states().is_empty());
}

/// RFC 2525, 2.17: closing with unread data resets, and so does data after closing.
#[test]
fn data_that_nobody_reads_resets() {
    let Served { mut host, id, mut peer, .. } = served(Options::default());
    host.inject(peer.segment(ACK), b"unread");
    peer.seq += 6;
    host.close(id);
    let reset = host.one().segment;
    assert_eq!((reset.flags, reset.seq, reset.ack), (RST | ACK, peer.ack, peer.seq));
    assert!(host.states().is_empty());

    let Served { mut host, id, peer, .. } = served(Options::default());
    host.close(id);
    assert_eq!(host.one().segment.flags, FIN | ACK);
    host.inject(peer.segment(ACK), b"late");
    assert!(host.one().segment.flags.rst());
    assert!(host.states().is_empty());
}

/// ABORT, and lingering for no time: a RST goes, what was sent is dropped.
#[test]
fn abort_resets() {
    for linger in [false, true] {
        let Served { mut host, id, mut peer, .. } = served(Options::default());
        host.send(id, b"dropped").unwrap();
        let now = host.now;
        if linger {
            host.tcp.set_linger(id, Some(Duration::ZERO)).unwrap();
            host.close(id);
        } else {
            host.tcp.abort(now, id, &mut host.pool);
        }
        let reset = host.one().segment;
        assert_eq!((reset.flags, reset.seq), (RST | ACK, peer.ack));
        assert!(host.states().is_empty());
        peer.seq += 1;
        host.inject(peer.segment(ACK), &[]);
        assert!(host.one().segment.flags.rst());
    }
}

/// Answers wait in bounded number.
#[test]
fn answers_are_bounded() {
    let mut host = Host::new(TcpConfig { max_replies: 10, ..TcpConfig::default() });
    for port in 1..100 {
        host.inject(Peer::new(here(61), there(port)).syn(), &[]);
    }
    assert_eq!(host.sent().len(), 10);
    assert_eq!(host.tcp.counters().reply_drops, 89);
}

/// RFC 5927: an ICMP error is believed only about a segment that is out; a hard one ends only a
/// connection that is being opened (RFC 5927, 4).
#[test]
fn icmp_errors_are_checked() {
    let mut host = Host::new(TcpConfig::default());
    let id = host.tcp.connect(host.now, here(1000), there(80)).unwrap();
    let iss = host.one().segment.seq;
    let now = host.now;
    let icmp = |host: &mut Host, seq, error| {
        host.tcp.icmp_error(now, here(1000), there(80), seq, error, &mut host.pool);
    };
    icmp(&mut host, iss + 1, IcmpError::PortUnreachable);
    icmp(&mut host, iss, IcmpError::Soft);
    assert_eq!(host.tcp.state(id), Ok(State::SynSent));
    icmp(&mut host, iss, IcmpError::PortUnreachable);
    assert_eq!(host.events(), [TcpEvent::Closed(id, CloseReason::Refused)]);
}

/// I7: connections that are broken off are told to whoever holds them, wait to be accepted or not, and those that
/// their application has closed end as well.
#[test]
fn connections_that_are_broken_off_tell_their_owners() {
    let Served { mut host, listener, id, peer } = served(Options::default());
    let open = |host: &mut Host, port| {
        let mut peer = Peer::new(here(60), there(port));
        host.open(peer.syn(), &mut peer);
    };
    open(&mut host, 2001);
    let orphan = host.tcp.accept(listener).unwrap();
    host.send(orphan, b"last words").unwrap();
    host.close(orphan);
    host.sent();
    open(&mut host, 2002);
    assert_eq!(host.recv(id), Err(SocketError::WouldBlock));
    host.events();
    host.flows();
    let now = host.now;
    host.tcp.abort_all(now, |_, _| true, &mut crate::packet::Pool::new(0));
    let resets: Vec<_> = host.sent().iter().map(|sent| sent.segment.flags).collect();
    assert_eq!(resets, [RST | ACK; 3]);
    let ended = host.flows().iter().filter(|flow| matches!(flow, FlowEvent::Ended { .. })).count();
    assert_eq!((ended, host.states()), (3, vec![]));
    let told = host.events();
    assert!(told.contains(&TcpEvent::Readable(id)), "whoever reads is woken: {told:?}");
    assert!(told.contains(&TcpEvent::Closed(id, CloseReason::Aborted)), "{told:?}");
    let waiting = host.tcp.accept(listener).unwrap();
    assert_eq!(host.tcp.peer_addr(waiting), Ok(there(2002)));
    assert_eq!(host.recv(waiting), Err(SocketError::Ended(CloseReason::Aborted)));
    assert_eq!(host.recv(id), Err(SocketError::Ended(CloseReason::Aborted)));
    host.close(id);
    host.inject(peer.segment(ACK), &[]);
    assert_eq!(host.one().segment.flags, RST);
    assert!(host.wait(Duration::from_secs(600)).is_empty(), "the orphan is silent");
}
