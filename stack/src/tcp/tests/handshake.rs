use super::*;

/// RFC 9293, figure 6, and RFC 7323, RFC 2018: what the SYN,ACK offers, and what it does not.
#[test]
fn a_syn_is_answered_with_what_it_offers() {
    let stamps = Some(Timestamps { value: 77, echo: 0 });
    let full = Options { window_scale: Some(9), sack_permitted: true, timestamps: stamps, ..Options::default() };
    for (offered, scale, sack, echo) in [(full, Some(7), true, Some(77)), (Options::default(), None, false, None)] {
        let (mut host, _, peer) = serve(TcpConfig::default());
        host.inject(Segment { options: Options { mss: Some(1000), ..offered }, ..peer.syn() }, &[]);
        let answer = host.one().segment;
        assert_eq!((answer.flags, answer.ack), (SYN | ACK, peer.seq + 1));
        assert_eq!(answer.options.mss, Some(1460));
        assert_eq!((answer.options.window_scale, answer.options.sack_permitted), (scale, sack));
        assert_eq!(answer.options.timestamps.map(|stamps| stamps.echo), echo);
        assert_eq!(answer.window, 65_535);
    }
}

/// RFC 9293, 3.10.7.4: the last ACK of the handshake may bring data, and a FIN too.
#[test]
fn the_last_ack_may_bring_data_and_fin() {
    let (mut host, listener, mut peer) = serve(TcpConfig::default());
    assert_eq!(host.tcp.accept(listener), None);
    host.inject(peer.syn(), &[]);
    peer.seq += 1;
    peer.ack = host.one().segment.seq + 1;
    host.inject(peer.segment(ACK | FIN), b"request");
    assert_eq!(host.events(), [TcpEvent::Acceptable(listener)]);
    let id = host.tcp.accept(listener).unwrap();
    assert_eq!(host.recv(id).unwrap(), b"request");
    assert_eq!(host.recv(id).unwrap(), b"");
    assert_eq!(host.tcp.state(id), Ok(State::CloseWait));
    assert_eq!(host.one().segment.ack, peer.seq + 8);
}

/// RFC 9293, figure 6: an active open, from SYN to ESTABLISHED, with the options of our SYN.
#[test]
fn an_active_open() {
    let mut host = Host::new(TcpConfig::default());
    let id = host.tcp.connect(host.now, here(0), there(80)).unwrap();
    let local = host.tcp.local_addr(id).unwrap();
    assert!(host.tcp.config().ephemeral_ports.contains(&local.port()));
    let syn = host.one().segment;
    assert_eq!((syn.flags, syn.source, syn.destination), (SYN, local, there(80)));
    assert_eq!((syn.options.mss, syn.options.window_scale), (Some(1460), Some(7)));
    assert!(syn.options.sack_permitted && syn.options.timestamps.is_some());
    assert_eq!(host.send(id, b"early"), Ok(5), "RFC 9293, 3.10.2: queued");
    host.nothing();

    let mut peer = Peer::new(local, there(80));
    peer.ack = syn.seq + 1;
    let answer = Segment { options: Options { mss: Some(700), ..Options::default() }, ..peer.segment(SYN | ACK) };
    host.inject(answer, &[]);
    assert_eq!(host.events(), [TcpEvent::Connected(id)]);
    let sent = host.one();
    assert_eq!((sent.segment.ack, sent.payload.as_slice()), (peer.seq + 1, b"early".as_slice()));
    assert_eq!(sent.segment.options, Options::default(), "the peer knows no timestamps");
    let remote = there(80);
    let opened = FlowEvent::Opened { local, remote, instance: syn.seq.0, passive: false };
    assert_eq!(host.flows(), [opened, FlowEvent::Established { local, remote }]);
}

/// RFC 9293, figure 8: both sides open at once; with a SYN,ACK or a plain ACK at the end.
#[test]
fn a_simultaneous_open() {
    for last in [SYN | ACK, ACK] {
        let mut host = Host::new(TcpConfig::default());
        let id = host.tcp.connect(host.now, here(1000), there(2000)).unwrap();
        let syn = host.one().segment;
        let mut peer = Peer::new(here(1000), there(2000));
        host.inject(peer.syn(), &[]);
        let answer = host.one().segment;
        assert_eq!((answer.flags, answer.seq, answer.ack), (SYN | ACK, syn.seq, peer.seq + 1));
        assert_eq!(host.tcp.state(id), Ok(State::SynReceived));
        peer.ack = syn.seq + 1;
        if last == ACK {
            peer.seq += 1;
        }
        host.inject(peer.segment(last), &[]);
        assert_eq!(host.tcp.state(id), Ok(State::Established));
        assert_eq!(host.events(), [TcpEvent::Connected(id)]);
    }
}

/// The same between two of us, with data both ways.
#[test]
fn a_simultaneous_open_of_two_stacks() {
    let config = [TcpConfig::default(), TcpConfig::default()];
    let mut network = network::Network::new(config, OnePath::new(1500, 0), 5);
    let first = network.hosts[0].tcp.connect(network.now, here(1000), there(2000)).unwrap();
    let second = network.hosts[1].tcp.connect(network.now, there(2000), here(1000)).unwrap();
    network.hosts[0].send(first, b"from the first").unwrap();
    network.hosts[1].send(second, b"from the second").unwrap();
    for _ in 0..10 {
        network.step();
    }
    assert_eq!(network.hosts[0].recv(first).unwrap(), b"from the second");
    assert_eq!(network.hosts[1].recv(second).unwrap(), b"from the first");
}

/// R3 (as far as it is a stack's): a SYN sent again gets the same SYN,ACK again. RFC 6298: ours is
/// sent again after 1, 2, 4 seconds and so on, then the record goes.
#[test]
fn a_syn_ack_is_sent_again() {
    let (mut host, _, peer) = serve(TcpConfig { syn_ack_retries: 3, ..TcpConfig::default() });
    host.inject(peer.syn(), &[]);
    let first = host.one().segment;
    host.inject(peer.syn(), &[]);
    assert_eq!(host.one().segment, first);
    let times: Vec<_> = host.wait(Duration::from_secs(60)).into_iter().map(|(at, sent)| (at, sent.segment)).collect();
    let at: Vec<_> = times.iter().map(|(at, _)| at.as_secs()).collect();
    assert_eq!(at, [1, 3, 7]);
    assert!(times.iter().all(|(_, segment)| *segment == first));
    assert!(host.states().is_empty());
    let ends = (here(60), there(2000), peer.seq.0);
    let opened = FlowEvent::Opened { local: ends.0, remote: ends.1, instance: ends.2, passive: true };
    let ended = FlowEvent::Ended { local: ends.0, remote: ends.1, instance: ends.2 };
    assert_eq!(host.flows()[1..], [opened, ended]);
}

/// A flood of SYNs takes bounded memory; the oldest gives way, established connections do not.
#[test]
fn the_syn_queue_is_bounded() {
    let config = TcpConfig { syn_queue: 8, syn_cookies: SynCookies::Never, ..TcpConfig::default() };
    let (mut host, listener, _) = serve(config);
    for port in 1..=100 {
        host.inject(Peer::new(here(60), there(port)).syn(), &[]);
    }
    assert_eq!(host.tcp.listeners().next().unwrap().syn_queue, 8);
    assert_eq!(host.tcp.connections().count(), 8);
    assert!(host.tcp.connections().all(|info| info.remote.port() > 92));
    assert_eq!(host.tcp.counters().syn_queue_drops, 92);
    let answers = host.sent();
    let mut last = Peer::new(here(60), there(100));
    last.seq += 1;
    last.ack = answers.last().unwrap().segment.seq + 1;
    host.inject(last.segment(ACK), &[]);
    for port in 101..=200 {
        host.inject(Peer::new(here(60), there(port)).syn(), &[]);
    }
    assert_eq!(host.tcp.accept(listener).map(|id| host.tcp.state(id)), Some(Ok(State::Established)));
    let ended = host.flows().iter().filter(|flow| matches!(flow, FlowEvent::Ended { .. })).count();
    assert_eq!(ended, 191);
}

/// A full accept queue drops SYNs, and keeps completed handshakes waiting; none is reset.
#[test]
fn the_accept_queue_is_bounded() {
    let mut host = Host::new(TcpConfig::default());
    let options = ListenOptions { backlog: 1, ..ListenOptions::default() };
    let listener = host.tcp.listen(None, 60, options).unwrap();
    let mut peers: Vec<_> = (1..=2).map(|port| Peer::new(here(60), there(port))).collect();
    for peer in &mut peers {
        host.inject(peer.syn(), &[]);
        peer.seq += 1;
        peer.ack = host.one().segment.seq + 1;
    }
    for peer in &peers {
        host.inject(peer.segment(ACK), &[]);
    }
    host.inject(Peer::new(here(60), there(3)).syn(), &[]);
    host.nothing();
    assert_eq!(host.tcp.counters().listen_overflows, 2);
    assert!(host.tcp.accept(listener).is_some());
    assert_eq!(host.tcp.accept(listener), None);
    // The SYN,ACK goes again, and the answer to it finds room.
    assert_eq!(host.wait(millis(1100))[0].1.segment.flags, SYN | ACK);
    host.inject(peers[1].segment(ACK), &[]);
    assert_eq!(host.events(), [TcpEvent::Acceptable(listener)]);
}

/// A listener on an address goes before the one on every address; each can be had once.
#[test]
fn the_closest_listener_is_chosen() {
    let mut host = Host::new(TcpConfig::default());
    let any = host.tcp.listen(None, 60, ListenOptions::default()).unwrap();
    let one = host.tcp.listen(Some(here(0).ip()), 60, ListenOptions::default()).unwrap();
    assert_eq!(host.tcp.listen(None, 60, ListenOptions::default()), Err(ListenError::InUse));
    assert_eq!(host.tcp.listen(None, 0, ListenOptions::default()), Err(ListenError::PortZero));
    let other = SocketAddr::from(([192, 0, 2, 9], 60));
    for (local, expected) in [(here(60), one), (other, any)] {
        let mut peer = Peer::new(local, there(2000));
        host.inject(peer.syn(), &[]);
        peer.seq += 1;
        peer.ack = host.one().segment.seq + 1;
        host.inject(peer.segment(ACK), &[]);
        let id = host.tcp.accept(expected).unwrap();
        assert_eq!(host.tcp.local_addr(id), Ok(local));
    }
}

/// R7: a listener that closes leaves accepted connections alone, resets those that wait, and forgets
/// half-open ones: their peers hear of it when they go on (RFC 9293, 3.10.7.1).
#[test]
fn closing_a_listener_spares_accepted_connections() {
    let Served { mut host, listener, id, mut peer, .. } = served(Options::default());
    let mut waiting = Peer::new(here(60), there(2001));
    host.inject(waiting.syn(), &[]);
    waiting.seq += 1;
    waiting.ack = host.one().segment.seq + 1;
    host.inject(waiting.segment(ACK), &[]);
    let mut half_open = Peer::new(here(60), there(2002));
    host.inject(half_open.syn(), &[]);
    half_open.seq += 1;
    half_open.ack = host.one().segment.seq + 1;
    host.flows();
    host.tcp.close_listener(host.now, listener);
    let resets = host.sent();
    assert_eq!(resets.len(), 1);
    assert!(resets[0].segment.flags.rst() && resets[0].segment.destination.port() == 2001);
    host.inject(half_open.segment(ACK), &[]);
    let reset = host.one().segment;
    assert_eq!((reset.flags, reset.seq, reset.destination.port()), (RST, half_open.ack, 2002));
    assert_eq!(host.states(), [State::Established]);
    assert!(host.flows().contains(&FlowEvent::Unlistening { address: None, port: 60 }));
    host.inject(peer.segment(ACK), b"still");
    assert_eq!(host.recv(id).unwrap(), b"still");
    peer.local.set_port(3000);
    host.sent();
    host.inject(peer.syn(), &[]);
    assert!(host.one().segment.flags.rst());
}

/// What connect() refuses, and how ports run out.
#[test]
fn what_cannot_be_connected() {
    let mut host = Host::new(TcpConfig { ephemeral_ports: 50_000..=50_001, ..TcpConfig::default() });
    let now = host.now;
    assert_eq!(host.tcp.connect(now, here(0), there(0)), Err(ConnectError::InvalidRemote));
    let v6 = SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 80));
    assert_eq!(host.tcp.connect(now, here(0), v6), Err(ConnectError::InvalidRemote));
    assert!(host.tcp.connect(now, here(0), there(80)).is_ok());
    assert!(host.tcp.connect(now, here(0), there(80)).is_ok());
    assert_eq!(host.tcp.connect(now, here(0), there(80)), Err(ConnectError::PortsExhausted));
    assert!(host.tcp.connect(now, here(0), there(81)).is_ok(), "another destination, the same ports");
    assert_eq!(host.tcp.connect(now, here(50_000), there(80)), Err(ConnectError::InUse));
}

/// R19: without a route connect() waits, and succeeds once there is one.
#[test]
fn a_missing_route_only_delays() {
    let config = [TcpConfig::default(), TcpConfig::default()];
    let mut network = network::Network::new(config, OnePath(None), 5);
    let listener = network.hosts[1].tcp.listen(None, 60, ListenOptions::default()).unwrap();
    let id = network.hosts[0].tcp.connect(network.now, here(0), there(60)).unwrap();
    while network.now < Instant::from_millis(2_500) {
        assert!(network.step());
        assert_eq!(network.hosts[0].tcp.state(id), Ok(State::SynSent));
    }
    network.hosts.iter_mut().for_each(|host| host.path = OnePath::new(1500, 0));
    while network.hosts[1].tcp.accept(listener).is_none() {
        assert!(network.step() && network.now < Instant::from_millis(10_000));
    }
    assert_eq!(network.hosts[0].tcp.state(id), Ok(State::Established));
}

/// RFC 9293, 3.10.5: ABORT of all between some ends takes those in SYN_RCVD too.
#[test]
fn abort_of_all_takes_the_half_open_too() {
    let (mut host, listener, mut peer) = serve(TcpConfig::default());
    host.inject(peer.syn(), &[]);
    let answer = host.one().segment;
    let now = host.now;
    host.tcp.abort_all(now, |local, _| local == answer.source, &mut crate::packet::Pool::new(0));
    peer.seq += 1;
    peer.ack = answer.seq + 1;
    host.inject(peer.segment(ACK), &[]);
    assert_eq!(host.tcp.accept(listener), None);
}

/// RFC 5961, sections 4 and 7: what does not belong into SYN_RCVD is answered, at a limited rate, with a window
/// that is scaled like that of every segment but a SYN (RFC 7323, 2.2).
#[test]
fn challenges_of_the_half_open_are_scaled_and_few() {
    for scale in [None, Some(7)] {
        let (mut host, _, mut peer) = serve(TcpConfig::default());
        host.inject(Segment { options: Options { window_scale: scale, ..Options::default() }, ..peer.syn() }, &[]);
        let answer = host.one().segment;
        let shift = answer.options.window_scale.unwrap_or(0);
        assert_eq!(shift > 0, scale.is_some());
        peer.seq += 1000;
        for _ in 0..5 {
            host.inject(peer.segment(SYN), &[]);
        }
        let challenge = host.one().segment;
        assert_eq!((challenge.flags, challenge.ack), (ACK, SeqNum(5001)));
        assert_eq!(challenge.window, answer.window >> shift);
        host.now += millis(500);
        host.inject(peer.segment(SYN), &[]);
        assert_eq!(host.one().segment.flags, ACK);
        assert_eq!(host.tcp.counters().challenge_acks, 2);
    }
}
