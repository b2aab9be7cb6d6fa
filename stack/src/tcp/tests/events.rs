use super::*;

/// Events come once, and only after a call would have blocked.
#[test]
fn events_come_once_after_would_block() {
    let Served { mut host, id, mut peer, .. } = served(Options::default());
    let mut deliver = |host: &mut Host| {
        host.inject(peer.segment(ACK), b"data");
        peer.seq += 4;
    };
    deliver(&mut host);
    assert_eq!(host.events(), [], "nobody waits");
    host.recv(id).unwrap();
    assert_eq!(host.recv(id), Err(SocketError::WouldBlock));
    deliver(&mut host);
    deliver(&mut host);
    assert_eq!(host.events(), [TcpEvent::Readable(id)]);
}

/// The send buffer is bounded; room is told once a third of it is free.
#[test]
fn writable_tells_of_room() {
    let config = TcpConfig { initial_send: 30_000, max_send: 30_000, ..TcpConfig::default() };
    let Served { mut host, id, mut peer, .. } = served_by(config, Options::default());
    assert_eq!(host.send(id, &pattern(100_000)), Ok(30_000));
    assert_eq!(host.send(id, b"x"), Err(SocketError::WouldBlock));
    host.sent();
    peer.ack += 9000;
    host.inject(peer.segment(ACK), &[]);
    assert_eq!(host.events(), []);
    peer.ack += 2000;
    host.inject(peer.segment(ACK), &[]);
    assert_eq!(host.events(), [TcpEvent::Writable(id)]);
    assert_eq!(host.send(id, &pattern(100_000)), Ok(11_000));
}

/// The send buffer grows with the congestion window, up to its bound.
#[test]
fn the_send_buffer_grows() {
    let config = TcpConfig { initial_send: 30_000, max_send: 100_000, ..TcpConfig::default() };
    let Served { mut host, id, mut peer, .. } = served_by(config, Options::default());
    let mut room = Vec::new();
    for _ in 0..6 {
        host.send(id, &pattern(200_000)).unwrap();
        room.push(host.tcp.connections().next().unwrap().send_queue);
        for sent in host.sent() {
            peer.ack = peer.ack.latest(sent.segment.end());
        }
        host.inject(peer.segment(ACK), &[]);
    }
    assert_eq!((room[0], room[5]), (30_000, 100_000), "{room:?}");
    assert!(room.is_sorted());
}

/// A handle that was released is unknown from then on, even when its place is taken again.
#[test]
fn released_handles_are_unknown() {
    let Served { mut host, id, mut peer, listener, .. } = served(Options::default());
    let now = host.now;
    host.tcp.abort(now, id, &mut host.pool);
    host.sent();
    peer.seq += 100;
    peer.local.set_port(2500);
    host.inject(peer.syn(), &[]);
    peer.seq += 1;
    peer.ack = host.one().segment.seq + 1;
    host.inject(peer.segment(ACK), &[]);
    let second = host.tcp.accept(listener).unwrap();
    assert_eq!(second.index(), id.index());
    assert_eq!(host.recv(id), Err(SocketError::Unknown));
    assert_eq!(host.send(id, b"x"), Err(SocketError::Unknown));
    host.close(id);
    host.tcp.abort(now, id, &mut host.pool);
    assert_eq!(host.tcp.state(second), Ok(State::Established));
    host.tcp.close_listener(host.now, listener);
    assert_eq!(host.tcp.accept(listener), None);
}

/// What was received before a reset can still be read.
#[test]
fn data_outlives_a_reset() {
    let Served { mut host, id, mut peer, .. } = served(Options::default());
    host.inject(peer.segment(ACK), b"last words");
    peer.seq += 10;
    host.inject(peer.segment(RST), &[]);
    assert_eq!(host.recv(id).unwrap(), b"last words");
    assert_eq!(host.recv(id), Err(SocketError::Ended(CloseReason::Reset)));
}

/// Connections take turns: a bulk sender does not keep a small one waiting.
#[test]
fn connections_take_turns() {
    let (mut host, listener, _) = serve(TcpConfig::default());
    let mut ids = Vec::new();
    for port in 1..=3 {
        let mut peer = Peer::new(here(60), there(port));
        host.inject(peer.syn(), &[]);
        peer.seq += 1;
        peer.ack = host.one().segment.seq + 1;
        host.inject(peer.segment(ACK), &[]);
        ids.push(host.tcp.accept(listener).unwrap());
    }
    host.sent();
    for id in ids {
        host.send(id, &pattern(10_000)).unwrap();
    }
    host.budget = 6;
    let ports: Vec<_> = host.sent().iter().map(|sent| sent.segment.destination.port()).collect();
    assert_eq!(ports, [1, 2, 3, 1, 2, 3]);
}
