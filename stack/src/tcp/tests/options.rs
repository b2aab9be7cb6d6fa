//! What applications set.

use std::io::IoSlice;

use super::*;

const MSS: usize = 1460;

fn more(served: &mut Served, data: &[u8]) {
    let sent = served.host.tcp.send_more(served.host.now, served.id, &[IoSlice::new(data)], true);
    assert_eq!(sent, Ok(data.len()));
}

/// TCP_CORK (Linux): what fills no segment waits, for the cork to be drawn or RTO to go by.
#[test]
fn a_cork_holds_small_segments() {
    let mut served = served(Options::default());
    let (id, host) = (served.id, &mut served.host);
    host.tcp.set_cork(host.now, id, true).unwrap();
    host.send(id, &pattern(MSS + 100)).unwrap();
    assert_eq!(host.one().payload.len(), MSS);
    served.peer.ack += MSS as u32;
    host.inject(served.peer.segment(ACK), &[]);
    host.nothing();
    host.tcp.set_cork(host.now, id, false).unwrap();
    let sent = host.one();
    assert_eq!((sent.payload.len(), sent.segment.flags), (100, ACK | Flags::PSH));
    served.peer.ack += 100;
    host.inject(served.peer.segment(ACK), &[]);

    host.tcp.set_cork(host.now, id, true).unwrap();
    host.send(id, b"late").unwrap();
    host.nothing();
    let late = host.wait(millis(300));
    assert_eq!(late.len(), 1);
    assert!(late[0].0 >= millis(200) && late[0].1.payload == b"late", "{late:?}");
}

/// TCP_NODELAY draws what waits from under a cork, once (Linux).
#[test]
fn nodelay_pushes_once() {
    let mut served = served(Options::default());
    let (id, host) = (served.id, &mut served.host);
    host.tcp.set_cork(host.now, id, true).unwrap();
    host.send(id, b"one").unwrap();
    host.nothing();
    host.tcp.set_nodelay(host.now, id, true).unwrap();
    assert_eq!(host.one().payload, b"one");
    host.send(id, b"two").unwrap();
    host.nothing();
}

/// MSG_MORE (Linux): the data waits for what follows, without PSH until it has come; an acknowledgment
/// or the end of the stream lets it go.
#[test]
fn more_waits_for_what_follows() {
    let mut served = served(Options::default());
    more(&mut served, b"head");
    served.host.nothing();
    served.host.send(served.id, b"body").unwrap();
    let sent = served.host.one();
    assert_eq!((sent.payload.as_slice(), sent.segment.flags), (&b"headbody"[..], ACK | Flags::PSH));
    more(&mut served, b"next");
    served.host.nothing();
    served.peer.ack += 8;
    served.host.inject(served.peer.segment(ACK), &[]);
    let sent = served.host.one();
    assert_eq!((sent.payload.as_slice(), sent.segment.flags), (&b"next"[..], ACK));
    more(&mut served, b"last");
    served.host.nothing();
    served.host.close(served.id);
    assert_eq!(served.host.one().segment.flags, ACK | FIN | Flags::PSH);
}

/// TCP_MAXSEG (RFC 9293, 3.7.1): segments are no larger, to either side.
#[test]
fn a_listener_bounds_segments() {
    let mut host = Host::new(TcpConfig::default());
    let listener = host.tcp.listen(None, 60, ListenOptions::default()).unwrap();
    host.tcp.set_listen_options(listener, ListenOptions { max_segment: Some(1000), ..ListenOptions::default() });
    let mut peer = Peer::new(here(60), there(2000));
    host.inject(peer.syn(), &[]);
    let answer = host.one().segment;
    assert_eq!(answer.options.mss, Some(1000));
    peer.seq += 1;
    peer.ack = answer.seq + 1;
    host.inject(peer.segment(ACK), &[]);
    let id = host.tcp.accept(listener).unwrap();
    host.send(id, &pattern(2500)).unwrap();
    let sizes: Vec<usize> = host.sent().iter().map(|sent| sent.payload.len()).collect();
    assert_eq!(sizes[..2], [1000, 1000]);
    assert_eq!(host.tcp.detail(id).unwrap().send_mss, 1000);
}

/// The same for an active open.
#[test]
fn an_active_open_bounds_segments() {
    let mut host = Host::new(TcpConfig::default());
    let id = host.tcp.connect(host.now, here(0), there(80)).unwrap();
    host.tcp.set_max_segment(id, 1000).unwrap();
    host.tcp.set_receive_buffer(id, 20_000).unwrap();
    let syn = host.one().segment;
    assert_eq!((syn.options.mss, syn.options.window_scale, syn.window), (Some(1000), Some(0), 20_000));
}

/// SO_RCVBUF before the SYN,ACK decides window and scale (RFC 7323, 2.3).
#[test]
fn a_listener_bounds_the_window() {
    let mut host = Host::new(TcpConfig::default());
    let options = ListenOptions { receive_buffer: Some(20_000), ..ListenOptions::default() };
    let listener = host.tcp.listen(None, 60, options).unwrap();
    let mut peer = Peer::new(here(60), there(2000));
    let mut syn = peer.syn();
    syn.options.window_scale = Some(7);
    host.inject(syn, &[]);
    let answer = host.one().segment;
    assert_eq!((answer.window, answer.options.window_scale), (20_000, Some(0)));
    peer.seq += 1;
    peer.ack = answer.seq + 1;
    host.inject(peer.segment(ACK), &pattern(1000));
    let id = host.tcp.accept(listener).unwrap();
    assert_eq!((host.one().segment.window, host.tcp.detail(id).unwrap().receive_buffer), (19_000, 20_000));
}

/// TCP_DEFER_ACCEPT (Linux): without data the handshake is not complete until the time is over; then
/// the SYN,ACK goes once more, and its answer completes it.
#[test]
fn accepting_waits_for_data() {
    let mut host = Host::new(TcpConfig::default());
    let options = ListenOptions { defer_accept: Duration::from_secs(3), ..ListenOptions::default() };
    let listener = host.tcp.listen(None, 60, options).unwrap();
    let mut peers = [2000, 2001].map(|port| Peer::new(here(60), there(port)));
    for peer in &mut peers {
        host.inject(peer.syn(), &[]);
        peer.seq += 1;
        peer.ack = host.one().segment.seq + 1;
        host.inject(peer.segment(ACK), &[]);
    }
    assert_eq!(host.tcp.accept(listener), None);
    assert!(host.wait(millis(2900)).is_empty());
    host.inject(peers[0].segment(ACK), b"data");
    let id = host.tcp.accept(listener).unwrap();
    assert_eq!(host.recv(id).unwrap(), b"data");
    host.sent();
    let again = host.wait(millis(200));
    assert_eq!(again.iter().map(|(_, sent)| sent.segment.flags).collect::<Vec<_>>(), [SYN | ACK]);
    host.inject(peers[1].segment(ACK), &[]);
    assert!(host.tcp.accept(listener).is_some());
}

/// TCP_LINGER2 (Linux): FIN_WAIT_2 of a connection that nobody holds lasts as long as was said.
#[test]
fn fin_wait_2_lasts_as_long_as_was_said() {
    let Served { mut host, id, mut peer, .. } = served(Options::default());
    host.tcp.set_fin_wait_2(id, Duration::from_secs(1)).unwrap();
    host.close(id);
    peer.ack = host.one().segment.seq + 1;
    host.inject(peer.segment(ACK), &[]);
    host.wait(millis(900));
    assert_eq!(host.states(), [State::FinWait2]);
    host.wait(millis(200));
    assert!(host.states().is_empty());
}

/// RFC 5681, 4.1, and the setting that leaves the window as it was.
#[test]
fn a_pause_may_leave_the_window() {
    for (restarts, expected) in [(true, 10), (false, 20)] {
        let config = TcpConfig { slow_start_after_idle: restarts, ..TcpConfig::default() };
        let Served { mut host, id, mut peer, .. } = served_by(config, Options::default());
        peer.window = 65_535;
        host.send(id, &pattern(10 * MSS)).unwrap();
        assert_eq!(host.sent().len(), 10);
        peer.ack += 10 * MSS as u32;
        host.now += millis(10);
        host.inject(peer.segment(ACK), &[]);
        host.wait(Duration::from_secs(10));
        host.send(id, &pattern(30 * MSS)).unwrap();
        assert_eq!(host.sent().len(), expected);
    }
}
