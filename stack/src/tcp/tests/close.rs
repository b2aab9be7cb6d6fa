use super::*;

/// RFC 9293, figure 12: we close first. TIME_WAIT lasts 60 s, in a record that answers the peer's
/// FIN again.
#[test]
fn closing_first_leads_to_time_wait() {
    let Served { mut host, id, mut peer, .. } = served(Options::default());
    host.flows();
    host.close(id);
    let fin = host.one().segment;
    assert_eq!((fin.flags, host.states()), (FIN | ACK, vec![State::FinWait1]));
    peer.ack = fin.seq + 1;
    host.inject(peer.segment(ACK), &[]);
    assert_eq!(host.states(), [State::FinWait2]);
    host.inject(peer.segment(FIN | ACK), &[]);
    assert_eq!(host.states(), [State::TimeWait]);
    assert_eq!(host.one().segment.ack, peer.seq + 1);
    host.wait(Duration::from_secs(30));
    host.inject(peer.segment(FIN | ACK), &[]);
    assert_eq!(host.one().segment.ack, peer.seq + 1);
    host.wait(Duration::from_secs(59));
    assert_eq!(host.states(), [State::TimeWait], "2 MSL began anew");
    assert!(host.flows().is_empty());
    host.wait(Duration::from_secs(62));
    assert!(host.states().is_empty());
    assert_eq!(host.flows().len(), 1);
}

/// The peer closes first: CLOSE_WAIT, in which we may still send, then LAST_ACK, then nothing.
#[test]
fn closing_last_leaves_nothing() {
    let Served { mut host, id, mut peer, .. } = served(Options::default());
    assert_eq!(host.recv(id), Err(SocketError::WouldBlock));
    host.inject(peer.segment(FIN | ACK), &[]);
    peer.seq += 1;
    assert_eq!(host.one().segment.ack, peer.seq);
    assert_eq!(host.events(), [TcpEvent::Readable(id)]);
    assert_eq!(host.recv(id).unwrap(), b"");
    host.send(id, b"half-closed").unwrap();
    let sent = host.one();
    assert_eq!(sent.payload, b"half-closed");
    host.close(id);
    let fin = host.one().segment;
    assert_eq!((fin.flags, host.states()), (FIN | ACK, vec![State::LastAck]));
    peer.ack = fin.seq + 1;
    host.inject(peer.segment(ACK), &[]);
    assert!(host.states().is_empty());
    host.nothing();
}

/// Half-close: after our FIN the peer may send on, and we read it.
#[test]
fn after_half_close_data_still_comes() {
    let Served { mut host, id, mut peer, .. } = served(Options::default());
    let now = host.now;
    host.send(id, b"request").unwrap();
    host.tcp.shutdown_write(now, id);
    let sent = host.one();
    assert_eq!((sent.segment.flags, sent.payload.as_slice()), (FIN | ACK | Flags::PSH, b"request".as_slice()));
    assert_eq!(host.send(id, b"more"), Err(SocketError::BrokenPipe));
    peer.ack = sent.segment.end();
    host.inject(peer.segment(ACK), b"answer");
    peer.seq += 6;
    assert_eq!(host.tcp.state(id), Ok(State::FinWait2));
    assert_eq!(host.recv(id).unwrap(), b"answer");
    host.inject(peer.segment(FIN | ACK), b"rest");
    assert_eq!(host.recv(id).unwrap(), b"rest");
    assert_eq!(host.recv(id).unwrap(), b"");
    assert_eq!(host.tcp.state(id), Ok(State::TimeWait));
    assert_eq!(host.sent().last().unwrap().segment.ack, peer.seq + 5);
    host.close(id);
    assert_eq!(host.states(), [State::TimeWait]);
    assert_eq!(host.tcp.connections.len(), 0);
}

/// RFC 9293, figure 13: both sides close at once.
#[test]
fn a_simultaneous_close() {
    let Served { mut host, id, mut peer, .. } = served(Options::default());
    host.close(id);
    let fin = host.one().segment;
    host.inject(peer.segment(FIN | ACK), &[]);
    peer.seq += 1;
    assert_eq!(host.states(), [State::Closing]);
    assert_eq!(host.one().segment.ack, peer.seq);
    peer.ack = fin.seq + 1;
    host.inject(peer.segment(ACK), &[]);
    assert_eq!(host.states(), [State::TimeWait]);
}

/// A FIN that comes before the data that it follows waits for it.
#[test]
fn a_fin_out_of_order_waits() {
    let Served { mut host, id, mut peer, .. } = served(Options::default());
    host.inject(Segment { seq: peer.seq + 5, ..peer.segment(FIN | ACK) }, b"world");
    assert_eq!(host.one().segment.ack, peer.seq);
    assert_eq!(host.tcp.state(id), Ok(State::Established));
    host.inject(peer.segment(ACK), b"hello");
    peer.seq += 11;
    assert_eq!(host.one().segment.ack, peer.seq);
    assert_eq!(host.recv(id).unwrap(), b"helloworld");
    assert_eq!(host.recv(id).unwrap(), b"");
}

/// FIN_WAIT_2 of a connection that nobody holds does not last for ever; one that is held does.
#[test]
fn fin_wait_2_of_an_orphan_is_bounded() {
    for orphan in [true, false] {
        let Served { mut host, id, mut peer, .. } = served(Options::default());
        let now = host.now;
        if orphan {
            host.close(id);
        } else {
            host.tcp.shutdown_write(now, id);
        }
        peer.ack = host.one().segment.end();
        host.inject(peer.segment(ACK), &[]);
        host.wait(Duration::from_secs(59));
        assert_eq!(host.states(), [State::FinWait2]);
        host.wait(Duration::from_secs(10));
        assert_eq!(host.states().is_empty(), orphan);
    }
}

/// Lingering: what was sent has that long, then a RST goes.
#[test]
fn lingering_ends_with_a_rst() {
    let Served { mut host, id, .. } = served(Options::default());
    host.send(id, b"data").unwrap();
    host.tcp.set_linger(id, Some(Duration::from_secs(1))).unwrap();
    host.close(id);
    let left = host.wait(Duration::from_secs(5));
    let (at, last) = left.last().unwrap();
    assert_eq!((at.as_millis(), last.segment.flags), (1000, RST | ACK));
    assert!(host.states().is_empty());
}

/// A host with a connection in TIME_WAIT, and the peer that it was with.
fn in_time_wait(stamps: Option<Timestamps>) -> (Host, Peer) {
    let Served { mut host, id, mut peer, .. } = served(Options { timestamps: stamps, ..Options::default() });
    host.close(id);
    peer.ack = host.one().segment.end();
    host.inject(peer.segment(FIN | ACK), &[]);
    peer.seq += 1;
    host.sent();
    assert_eq!(host.states(), [State::TimeWait]);
    host.flows();
    (host, peer)
}

/// RFC 9293, 3.10.7.4, and RFC 6191: a new SYN takes over from TIME_WAIT if its sequence number or
/// its timestamp is higher; our ISS then lies beyond the old connection.
#[test]
fn a_new_syn_takes_over_from_time_wait() {
    let stamps = |value| Some(Timestamps { value, echo: 0 });
    // Old timestamp, new one, distance of the SYN's sequence number from RCV.NXT, taken over.
    let table = [
        (None, None, 1, true),
        (None, None, 0, false),
        (None, None, 0xffff_0000, false),
        (stamps(100), stamps(102), 0xffff_0000, true),
        (stamps(100), stamps(50), 1, false),
    ];
    for (old, new, distance, taken) in table {
        let (mut host, peer) = in_time_wait(old);
        let mut syn = Segment { seq: peer.seq + distance, ..peer.syn() };
        syn.options.timestamps = new;
        host.inject(syn.clone(), &[]);
        let answer = host.one().segment;
        let ends = (here(60), there(2000));
        if taken {
            assert_eq!((answer.flags, answer.ack), (SYN | ACK, syn.seq + 1));
            assert!((answer.seq - peer.ack) > 65_535 && (answer.seq - peer.ack) < 1 << 20);
            let ended = FlowEvent::Ended { local: ends.0, remote: ends.1, instance: 5000 };
            let opened = FlowEvent::Opened { local: ends.0, remote: ends.1, instance: syn.seq.0, passive: true };
            assert_eq!(host.flows(), [ended, opened]);
            assert_eq!(host.states(), [State::SynReceived]);
        } else {
            assert_eq!((answer.flags, answer.ack), (ACK, peer.seq), "{distance}");
            assert_eq!(host.states(), [State::TimeWait]);
        }
    }
}

/// RFC 1337: a RST does not end TIME_WAIT; old segments are answered at a limited rate.
#[test]
fn time_wait_stands_fast() {
    let (mut host, peer) = in_time_wait(None);
    host.inject(peer.segment(RST), &[]);
    host.inject(peer.segment(ACK), &[]);
    host.nothing();
    host.inject(Segment { seq: peer.seq - 20, ..peer.segment(ACK) }, b"old");
    host.inject(Segment { seq: peer.seq - 20, ..peer.segment(ACK) }, b"old");
    assert_eq!(host.one().segment.ack, peer.seq);
    assert_eq!(host.states(), [State::TimeWait]);
}

/// RFC 6191: an active open from the same port may take over after a second, if timestamps were in
/// use.
#[test]
fn an_active_open_takes_over_from_time_wait() {
    let (mut host, peer) = in_time_wait(Some(Timestamps { value: 100, echo: 0 }));
    let now = host.now;
    assert_eq!(host.tcp.connect(now, here(60), there(2000)), Err(ConnectError::InUse));
    host.wait(millis(1100));
    let now = host.now;
    assert!(host.tcp.connect(now, here(60), there(2000)).is_ok());
    assert!(host.one().segment.seq.after(peer.ack + 65_535));
    assert_eq!(host.flows().len(), 2);
    let (mut host, _) = in_time_wait(None);
    host.wait(millis(1100));
    let now = host.now;
    assert_eq!(host.tcp.connect(now, here(60), there(2000)), Err(ConnectError::InUse));
}

/// TIME_WAIT records are bounded; the oldest goes, and says so.
#[test]
fn time_wait_is_bounded() {
    let (mut host, listener, _) = serve(TcpConfig { max_time_wait: 3, ..TcpConfig::default() });
    for port in 1..=10 {
        let mut peer = Peer::new(here(60), there(port));
        host.inject(peer.syn(), &[]);
        peer.seq += 1;
        peer.ack = host.one().segment.seq + 1;
        host.inject(peer.segment(ACK), &[]);
        let id = host.tcp.accept(listener).unwrap();
        host.close(id);
        peer.ack = host.one().segment.end();
        host.inject(peer.segment(FIN | ACK), &[]);
        host.sent();
    }
    assert_eq!(host.states(), [State::TimeWait; 3]);
    let flows = host.flows();
    assert_eq!(flows.iter().filter(|flow| matches!(flow, FlowEvent::Ended { .. })).count(), 7);
    host.wait(Duration::from_secs(61));
    assert_eq!(host.flows().len(), 3);
}

/// A SYN that is dropped, for the listener has no room, leaves TIME_WAIT as it is: the next one has still to
/// fit to what was there before (RFC 6191).
#[test]
fn a_dropped_syn_does_not_end_time_wait() {
    let Served { mut host, listener, id, mut peer } = served(Options::default());
    host.close(id);
    peer.ack = host.one().segment.seq + 1;
    host.inject(peer.segment(FIN | ACK), &[]);
    host.sent();
    host.tcp.set_listen_options(listener, ListenOptions { backlog: 1, ..ListenOptions::default() });
    let mut other = Peer::new(here(60), there(2001));
    host.open(other.syn(), &mut other);
    assert_eq!(host.states(), [State::Established, State::TimeWait]);
    peer.seq += 100_000;
    host.inject(peer.syn(), &[]);
    host.nothing();
    assert_eq!(host.states(), [State::Established, State::TimeWait]);
    host.tcp.accept(listener).unwrap();
    host.inject(peer.syn(), &[]);
    assert!(host.one().segment.seq.after_eq(peer.ack), "its numbers follow those of before");
    assert_eq!(host.states(), [State::Established, State::SynReceived]);
}
