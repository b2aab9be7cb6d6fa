use super::*;

const MSS: usize = 1460;

/// RFC 9293, 3.7.4: a segment that is not full waits while another such one is out; without Nagle
/// it goes.
#[test]
fn nagle_holds_small_segments() {
    let Served { mut host, id, mut peer, .. } = served(Options::default());
    host.send(id, b"first").unwrap();
    assert_eq!(host.one().payload, b"first");
    host.send(id, b"second").unwrap();
    host.nothing();
    host.send(id, &pattern(MSS)).unwrap();
    assert_eq!(host.one().payload.len(), MSS, "a full one goes");
    peer.ack += 5;
    host.inject(peer.segment(ACK), &[]);
    assert_eq!(host.one().payload.len(), 6);
    host.send(id, b"third").unwrap();
    host.nothing();
    let now = host.now;
    host.tcp.set_nodelay(now, id, true).unwrap();
    assert_eq!(host.one().payload, b"third");
}

/// RFC 9293, 3.8.6.3: after quick acknowledgments at the start, every second full segment is
/// acknowledged at once, a single one after 40 ms.
#[test]
fn acknowledgments_are_delayed() {
    let Served { mut host, mut peer, .. } = served(Options::default());
    let mut deliver = |host: &mut Host, len: usize| {
        host.inject(peer.segment(ACK), &pattern(len));
        peer.seq += len as u32;
    };
    for _ in 0..16 {
        deliver(&mut host, 100);
        host.one();
    }
    deliver(&mut host, MSS);
    host.nothing();
    deliver(&mut host, MSS);
    host.one();
    deliver(&mut host, MSS);
    let left = host.wait(millis(100));
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].0, millis(40));
    assert_eq!(host.tcp.counters().delayed_acks, 1);
}

/// A received super-segment counts as its pieces: it is acknowledged at once, and once.
#[test]
fn a_super_segment_is_acknowledged_once() {
    let Served { mut host, id, mut peer, .. } = served(Options::default());
    for _ in 0..30 {
        let segment = Segment { pieces: 4, ..peer.segment(ACK) };
        host.inject(segment.clone(), &pattern(4 * MSS));
        peer.seq += 4 * MSS as u32;
        assert_eq!(host.one().segment.ack, peer.seq);
    }
    let mut got = Vec::new();
    while let Ok(data) = host.recv(id) {
        got.extend(data);
    }
    assert_eq!(got, pattern(4 * MSS).repeat(30));
}

/// An answer carries the acknowledgment: no segment goes for that alone once both sides take turns.
#[test]
fn answers_carry_acknowledgments() {
    let Served { mut host, id, mut peer, .. } = served(Options::default());
    for turn in 0..20 {
        host.inject(peer.segment(ACK), b"question");
        peer.seq += 8;
        if turn > 0 {
            host.nothing();
        }
        host.send(id, b"answer").unwrap();
        let sent = host.one();
        assert_eq!((sent.segment.ack, sent.payload.as_slice()), (peer.seq, b"answer".as_slice()));
        peer.ack += 6;
    }
}

/// Super-segments as they leave: whole multiples of the segment size but at the end, PSH and FIN
/// on the last, checksum and segmentation left to the device. The window is kept to the byte.
#[test]
fn super_segments_leave_as_the_device_wants_them() {
    let Served { mut host, id, mut peer, .. } = served(Options::default());
    host.path = OnePath::new(1500, 61_000);
    peer.window = 14_000;
    host.inject(peer.segment(ACK), &[]);
    host.send(id, &pattern(20_000)).unwrap();
    // Each is half of the congestion window of ten segments at most.
    let first = host.sent();
    let shape: Vec<_> = first.iter().map(|sent| (sent.piece, sent.payload.len(), sent.segment.flags)).collect();
    let push = ACK | Flags::PSH;
    assert_eq!(shape, [(Some(1460), 5 * MSS, push), (Some(1460), 4 * MSS, push)]);
    peer.ack += 9 * MSS as u32;
    host.inject(peer.segment(ACK), &[]);
    host.close(id);
    let sent = host.one();
    assert_eq!((sent.piece, sent.payload.len()), (Some(1460), 20_000 - 9 * MSS));
    assert_eq!(sent.segment.flags, ACK | FIN | Flags::PSH);
    let all: Vec<u8> = first.into_iter().chain([sent]).flat_map(|sent| sent.payload).collect();
    assert_eq!(all, pattern(20_000));
}

/// With little data an offload path takes a plain packet, its checksum left to the device.
#[test]
fn small_data_needs_no_segmentation() {
    let Served { mut host, id, .. } = served(Options::default());
    host.path = OnePath::new(1500, 61_000);
    host.send(id, &pattern(MSS)).unwrap();
    assert_eq!(host.one().piece, None);
}

/// The MSS option, the MTU and timestamps bound what a segment carries (RFC 6691).
#[test]
fn segments_fit_peer_and_path() {
    let stamps = Some(Timestamps { value: 1, echo: 0 });
    for (mtu, timestamps, expected) in [(1500, None, 1460), (1500, stamps, 1448), (600, None, 560), (9000, None, 1460)]
    {
        let Served { mut host, id, .. } = served(Options { timestamps, ..Options::default() });
        host.path = OnePath::new(mtu, 0);
        host.send(id, &pattern(5000)).unwrap();
        assert_eq!(host.sent()[0].payload.len(), expected);
    }
}

/// RFC 1191: a router that takes less makes segments smaller; what was out goes again at once.
#[test]
fn packet_too_big_shrinks_segments() {
    let Served { mut host, id, peer, .. } = served(Options::default());
    host.send(id, &pattern(2920)).unwrap();
    assert_eq!(host.sent().len(), 2);
    let now = host.now;
    let error = IcmpError::PacketTooBig { mtu: 1000 };
    host.tcp.icmp_error(now, here(60), there(2000), peer.ack + 50_000, error, &mut host.pool);
    host.nothing();
    host.tcp.icmp_error(now, here(60), there(2000), peer.ack, error, &mut host.pool);
    let again = host.sent();
    assert_eq!(again.iter().map(|sent| sent.payload.len()).collect::<Vec<_>>(), [960, 960, 960, 40]);
    assert_eq!(again[0].segment.seq, peer.ack);
}

/// RFC 9293, 3.8.6: the peer's window is never overrun, scaled or not.
#[test]
fn the_window_bounds_what_is_out() {
    for (shift, window, expected) in [(None, 5000, 5000), (Some(2), 1500, 6000)] {
        let options = Options { window_scale: shift, ..Options::default() };
        let Served { mut host, id, mut peer, .. } = served(options);
        peer.window = window;
        host.inject(peer.segment(ACK), &[]);
        host.send(id, &pattern(100_000)).unwrap();
        let out: usize = host.sent().iter().map(|sent| sent.payload.len()).sum();
        assert!(out <= expected && out > expected - MSS, "{out}");
    }
}

/// RFC 9293, 3.9.1.2: the last of the data has PSH, and so has what fills the window.
#[test]
fn what_fills_the_window_is_pushed() {
    let Served { mut host, id, mut peer, .. } = served(Options::default());
    peer.window = 3000;
    host.inject(peer.segment(ACK), &[]);
    host.send(id, &pattern(5000)).unwrap();
    let pushed = |sent: Vec<Sent>| sent.iter().map(|sent| sent.segment.flags.contains(Flags::PSH)).collect::<Vec<_>>();
    assert_eq!(pushed(host.sent()), [false, false]);
    peer.ack += 2 * MSS as u32;
    peer.window = MSS as u16;
    host.inject(peer.segment(ACK), &[]);
    assert_eq!(pushed(host.sent()), [true], "the window is full");
    peer.ack += MSS as u32;
    host.inject(peer.segment(ACK), &[]);
    assert_eq!(pushed(host.sent()), [true], "nothing is left");
}

/// RFC 9293, 3.8.6.1: a shut window is probed at growing intervals, for as long as the peer
/// answers; when it opens, data flows.
#[test]
fn a_shut_window_is_probed() {
    let Served { mut host, id, mut peer, .. } = served(Options::default());
    peer.window = 0;
    host.inject(peer.segment(ACK), &[]);
    host.send(id, &pattern(3000)).unwrap();
    let mut times = Vec::new();
    let began = host.now;
    while times.len() < 20 {
        for (at, probe) in host.wait(Duration::from_millis(100)) {
            assert_eq!((probe.segment.seq, probe.payload.len()), (peer.ack - 1, 0));
            times.push(host.now.since(began) + at);
            host.inject(peer.segment(ACK), &[]);
        }
    }
    let intervals: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(intervals[4] > 8 * intervals[0], "{intervals:?}");
    assert!(times[19] > Duration::from_secs(600), "{times:?}");
    peer.window = 5000;
    host.inject(peer.segment(ACK), &[]);
    assert_eq!(host.sent().iter().map(|sent| sent.payload.len()).sum::<usize>(), 3000);
}

/// A peer that does not answer probes is given up.
#[test]
fn probes_without_answer_end_the_connection() {
    let Served { mut host, id, mut peer, .. } =
        served_by(TcpConfig { retries: 4, ..TcpConfig::default() }, Options::default());
    peer.window = 0;
    host.inject(peer.segment(ACK), &[]);
    host.send(id, b"data").unwrap();
    host.wait(Duration::from_secs(600));
    assert_eq!(host.tcp.counters().window_probes, 4);
    assert_eq!(host.events(), [TcpEvent::Closed(id, CloseReason::TimedOut)]);
}

/// RFC 9293, 3.8.6.2.1: a small window is not filled with a small segment, but for what the timer
/// overrides.
#[test]
fn silly_windows_are_not_filled() {
    let Served { mut host, id, mut peer, .. } = served(Options::default());
    peer.window = 100;
    host.inject(peer.segment(ACK), &[]);
    host.send(id, &pattern(3000)).unwrap();
    host.nothing();
    let left = host.wait(millis(1500));
    assert_eq!(left[0].1.payload.len(), 100);
}

/// RFC 9293, 3.8.6.2.2: our window shuts as data waits, does not open by bits, and its opening is
/// told, in full segments. A probe of the shut window is answered.
#[test]
fn our_window_opens_in_steps() {
    let config = TcpConfig { initial_receive: 20_000, max_receive: 20_000, ..TcpConfig::default() };
    let Served { mut host, id, mut peer, .. } = served_by(config, Options::default());
    let mut told = 20_000;
    while told > 0 {
        let len = told.min(MSS);
        host.inject(peer.segment(ACK), &pattern(len));
        peer.seq += len as u32;
        let left = host.wait(millis(50));
        told = usize::from(left.last().unwrap().1.segment.window);
    }
    host.inject(peer.segment(ACK), b"x");
    let answer = host.one().segment;
    assert_eq!((answer.ack, answer.window), (peer.seq, 0));
    let now = host.now;
    let mut buffer = vec![0; 1000];
    host.tcp.recv(now, id, &mut buffer, &mut host.pool).unwrap();
    host.nothing();
    host.tcp.recv(now, id, &mut buffer, &mut host.pool).unwrap();
    assert_eq!(usize::from(host.one().segment.window), MSS);
    let mut got = 2000;
    while let Ok(data) = host.recv(id) {
        got += data.len();
    }
    assert_eq!(got, 20_000);
    assert_eq!(usize::from(host.one().segment.window), 20_000 / MSS * MSS);
}

/// RFC 9293, 3.8.6.2.2: a buffer of less than two full segments opens by half of it.
#[test]
fn a_small_window_opens_by_halves() {
    let config = TcpConfig { initial_receive: 1600, max_receive: 1600, ..TcpConfig::default() };
    let Served { mut host, id, mut peer, .. } = served_by(config, Options::default());
    for len in [MSS, 140] {
        host.inject(peer.segment(ACK), &pattern(len));
        peer.seq += len as u32;
    }
    assert_eq!(host.one().segment.window, 0);
    let now = host.now;
    let mut buffer = vec![0; 400];
    for window in [None, Some(800), None] {
        host.tcp.recv(now, id, &mut buffer, &mut host.pool).unwrap();
        assert_eq!(host.sent().first().map(|sent| sent.segment.window), window);
    }
}

/// A shut window still takes acknowledgments (RFC 9293, 3.10.7.4), from segments with data too.
#[test]
fn a_shut_window_takes_acknowledgments() {
    let config = TcpConfig { initial_receive: 2000, max_receive: 2000, ..TcpConfig::default() };
    let Served { mut host, id, mut peer, .. } = served_by(config, Options::default());
    host.inject(peer.segment(ACK), &pattern(2000));
    peer.seq += 2000;
    assert_eq!(host.one().segment.window, 0);
    host.send(id, b"data").unwrap();
    host.one();
    peer.ack += 4;
    host.inject(peer.segment(ACK), b"beyond");
    assert_eq!(host.tcp.connections().next().unwrap().send_queue, 0);
}

/// The receive buffer grows as the application keeps up with the sender, up to its bound, and not
/// if it does not read.
#[test]
fn the_receive_buffer_grows_with_use() {
    for reads in [true, false] {
        let options = Options { window_scale: Some(0), ..Options::default() };
        let config = TcpConfig { initial_receive: 100_000, max_receive: 1_000_000, ..TcpConfig::default() };
        let Served { mut host, id, mut peer, .. } = served_by(config, options);
        let mut largest = 0;
        for _ in 0..200 {
            host.inject(Segment { pieces: 20, ..peer.segment(ACK) }, &pattern(20 * MSS));
            peer.seq += 20 * MSS as u32;
            if reads {
                while host.recv(id).is_ok() {}
            }
            for sent in host.sent() {
                largest = largest.max(u32::from(sent.segment.window) << 4);
            }
            host.now += Duration::from_micros(50);
        }
        assert_eq!(largest > 500_000, reads, "{largest}");
        assert!(largest <= 1_000_000);
    }
}

/// RFC 7323, 5: a segment with an older timestamp is refused and answered; one without any is
/// dropped.
#[test]
fn paws_refuses_old_segments() {
    let stamps = Timestamps { value: 1000, echo: 0 };
    let Served { mut host, id, mut peer, .. } = served(Options { timestamps: Some(stamps), ..Options::default() });
    host.inject(peer.segment(ACK), b"new");
    peer.seq += 3;
    host.sent();
    peer.timestamps = Some(Timestamps { value: 900, echo: 0 });
    host.inject(peer.segment(ACK), b"old");
    let answer = host.one().segment;
    assert_eq!((answer.ack, answer.options.timestamps.unwrap().echo), (peer.seq, 1001));
    peer.timestamps = None;
    host.inject(peer.segment(ACK), b"none");
    host.nothing();
    assert_eq!(host.recv(id).unwrap(), b"new");
    assert_eq!(host.tcp.counters().paws_estab, 1);
    // RFC 7323, 5.5: after 24 days they say nothing any more.
    host.wait(Duration::from_secs(25 * 24 * 3600));
    peer.timestamps = Some(Timestamps { value: 900, echo: 0 });
    host.inject(peer.segment(ACK), b"old");
    assert_eq!(host.recv(id).unwrap(), b"old");
}

/// RFC 7323, 4: TSval grows by the millisecond, TSecr is what the peer sent last in order.
#[test]
fn timestamps_are_echoed() {
    let stamps = Timestamps { value: 1000, echo: 0 };
    let Served { mut host, id, mut peer, .. } = served(Options { timestamps: Some(stamps), ..Options::default() });
    host.send(id, b"a").unwrap();
    let first = host.one().segment.options.timestamps.unwrap();
    assert_eq!(first.echo, 1001);
    host.now += millis(25);
    peer.ack += 1;
    peer.timestamps = Some(Timestamps { value: 1030, echo: first.value });
    host.inject(Segment { seq: peer.seq + 10, ..peer.segment(ACK) }, b"ahead");
    assert_eq!(host.one().segment.options.timestamps, Some(Timestamps { value: first.value + 25, echo: 1001 }));
}

/// RFC 2018 and RFC 2883: blocks name the latest range first; what came twice is reported once.
#[test]
fn sack_and_dsack_are_sent() {
    let Served { mut host, mut peer, .. } = served(Options { sack_permitted: true, ..Options::default() });
    let base = peer.seq;
    let at = |host: &mut Host, offset: u32, len: usize| {
        host.inject(Segment { seq: base + offset, ..peer.segment(ACK) }, &pattern(len));
        let sent = host.one().segment;
        let blocks = sent.options.sack.as_slice().iter().map(|block| (block.start - base, block.end - base));
        (sent.ack - base, blocks.collect::<Vec<_>>())
    };
    assert_eq!(at(&mut host, 1000, 100), (0, vec![(1000, 1100)]));
    assert_eq!(at(&mut host, 3000, 100), (0, vec![(3000, 3100), (1000, 1100)]));
    assert_eq!(at(&mut host, 1100, 100), (0, vec![(1000, 1200), (3000, 3100)]));
    assert_eq!(at(&mut host, 3000, 100), (0, vec![(3000, 3100), (1000, 1200), (3000, 3100)]));
    assert_eq!(at(&mut host, 0, 1000), (1200, vec![(3000, 3100)]));
    assert_eq!(at(&mut host, 500, 100), (1200, vec![(500, 600), (3000, 3100)]));
    assert_eq!(at(&mut host, 1200, 1800), (3100, vec![]));
    peer.seq += 3100;
}
