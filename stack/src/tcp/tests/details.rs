//! Where RFCs leave a choice, or say it in a sentence that is easily missed: found by packetdrill.

use super::*;
use crate::wire::tcp::SeqRange;

const STAMPS: Timestamps = Timestamps { value: 100, echo: 0 };

/// RFC 9293, 3.8.6.3: a FIN behind data may wait for ours; one that comes alone is answered at once.
#[test]
fn a_fin_behind_data_waits_for_ours() {
    let Served { mut host, id, mut peer, .. } = served(Options::default());
    host.inject(peer.segment(ACK), b"request");
    peer.seq += 7;
    host.sent();
    host.recv(id).unwrap();
    host.inject(peer.segment(FIN | ACK), &[]);
    host.nothing();
    host.now += millis(10);
    host.close(id);
    let fin = host.one().segment;
    assert_eq!((fin.flags, fin.ack), (FIN | ACK, peer.seq + 1));

    let Served { mut host, mut peer, .. } = served(Options::default());
    host.inject(peer.segment(FIN | ACK), &[]);
    peer.seq += 1;
    assert_eq!(host.one().segment.ack, peer.seq);
}

/// RFC 2883, 4.2: a segment that fills the gap and brings again what came before is reported.
#[test]
fn a_whole_that_repeats_parts_is_reported() {
    let Served { mut host, peer, .. } = served(Options { sack_permitted: true, ..Options::default() });
    let base = peer.seq;
    let at = |from: u32| Peer { seq: base + from, ..peer };
    for from in [1000, 2000, 4000, 7000] {
        host.inject(at(from).segment(ACK), &pattern(1000));
        host.sent();
    }
    host.inject(at(0).segment(ACK), &pattern(6000));
    let answer = host.one().segment;
    assert_eq!(answer.ack, base + 6000);
    let blocks: Vec<SeqRange> = answer.options.sack.as_slice().to_vec();
    let range = |start: u32, end: u32| SeqRange { start: base + start, end: base + end };
    assert_eq!(blocks, [range(1000, 3000), range(7000, 8000)]);
}

/// RFC 7323, 5.3 (R3): the timestamp of a segment that acknowledges what was never sent does not count.
#[test]
fn an_unacceptable_acknowledgment_tells_no_time() {
    let Served { mut host, mut peer, .. } = served(Options { timestamps: Some(STAMPS), ..Options::default() });
    let good = peer.timestamps.unwrap();
    peer.timestamps = Some(Timestamps { value: good.value + 200_000, ..good });
    host.inject(Segment { ack: peer.ack + 9999, ..peer.segment(ACK) }, &[]);
    assert_eq!(host.one().segment.options.timestamps.unwrap().echo, good.value);
    peer.timestamps = Some(Timestamps { value: good.value + 1, ..good });
    host.inject(peer.segment(ACK), b"still here");
    assert_eq!(host.one().segment.options.timestamps.unwrap().echo, good.value + 1);
}

/// RFC 7323, 3.2: our RST has timestamps, of now.
#[test]
fn a_reset_has_timestamps() {
    let Served { mut host, id, peer, .. } = served(Options { timestamps: Some(STAMPS), ..Options::default() });
    host.inject(peer.segment(ACK), b"unread");
    let before = host.one().segment.options.timestamps.unwrap();
    host.now += Duration::from_secs(1);
    host.close(id);
    let reset = host.one().segment;
    assert!(reset.flags.rst());
    assert_eq!(reset.options.timestamps.unwrap().value, before.value + 1000);
}

/// RFC 9293, 3.6.1, and RFC 5961, 3.2: data that nobody will read is answered by a RST that the peer
/// believes: its sequence number is what the peer waits for, though our FIN has gone.
#[test]
fn a_reset_for_unwanted_data_is_believed() {
    let Served { mut host, id, peer, .. } = served(Options::default());
    host.close(id);
    assert!(host.one().segment.flags.fin());
    host.inject(peer.segment(ACK), b"x");
    let reset = host.one().segment;
    assert_eq!((reset.flags, reset.seq), (RST, peer.ack));
    assert!(host.states().is_empty());
}

/// RFC 8985, 7.2: where RTO would come before the probe, the probe goes in its place, and RTO runs
/// from there.
#[test]
fn the_probe_goes_in_the_place_of_rto() {
    let (mut host, listener, mut peer) = serve(TcpConfig::default());
    let options = Options { sack_permitted: true, mss: Some(1460), ..Options::default() };
    host.inject(Segment { options, ..peer.syn() }, &[]);
    peer.seq += 1;
    peer.ack = host.one().segment.seq + 1;
    host.now += millis(100);
    host.inject(peer.segment(ACK), &[]);
    let id = host.tcp.accept(listener).unwrap();
    // RTO is 300 ms, twice SRTT and a delayed acknowledgment more than that.
    host.send(id, b"x").unwrap();
    host.one();
    let times: Vec<_> = host.wait(millis(1300)).iter().map(|(at, _)| *at).collect();
    assert_eq!(times, [millis(300), millis(600), millis(1200)]);
    assert_eq!((host.tcp.counters().loss_probes, host.tcp.counters().timeouts), (1, 2));
}

/// RFC 7661, 4.2: in slow start the window grows while half of it is used, if not with less.
#[test]
fn slow_start_goes_on_while_half_of_the_window_is_used() {
    for (segments, expected) in [(10, 20), (6, 16), (4, 10)] {
        let Served { mut host, id, mut peer, .. } = served(Options::default());
        let bytes = segments * 1460;
        host.tcp.set_nodelay(host.now, id, true).unwrap();
        host.send(id, &pattern(bytes)).unwrap();
        assert_eq!(host.sent().len(), segments);
        host.now += millis(100);
        peer.ack += bytes as u32;
        host.inject(peer.segment(ACK), &[]);
        assert_eq!(host.tcp.detail(id).unwrap().congestion_window, expected * 1460);
    }
}

/// A connection with a receive buffer of 10000 bytes, for which `waiting` bytes wait to be read.
fn buffered(waiting: usize) -> Served {
    let (mut host, listener, mut peer) = serve(TcpConfig::default());
    let options = ListenOptions { receive_buffer: Some(10_000), ..ListenOptions::default() };
    host.tcp.set_listen_options(listener, options);
    host.inject(peer.syn(), &[]);
    peer.seq += 1;
    peer.ack = host.one().segment.seq + 1;
    host.inject(peer.segment(ACK), &pattern(waiting));
    host.sent();
    peer.seq += waiting as u32;
    let id = host.tcp.accept(listener).unwrap();
    Served { host, listener, id, peer }
}

/// RFC 9293, 3.10.7.4: what lies beyond the window may be cut off. With nothing waiting there is room
/// for it, and it need not come again; its acknowledgment waits for the reader (3.8.6.3), but not long.
#[test]
fn a_segment_beyond_the_window_is_taken_whole_if_nothing_waits() {
    let Served { mut host, mut peer, .. } = buffered(0);
    host.inject(Segment { pieces: 20, ..peer.segment(ACK) }, &pattern(20_000));
    host.nothing();
    peer.seq += 20_000;
    let left = host.wait(millis(50));
    assert_eq!((left[0].0, left[0].1.segment.ack, left[0].1.segment.window), (millis(40), peer.seq, 0));
    // Nor does the shut window keep the FIN out.
    host.inject(peer.segment(FIN | ACK), &[]);
    assert_eq!(host.one().segment.ack, peer.seq + 1);

    let Served { mut host, id, mut peer, .. } = buffered(0);
    host.inject(peer.segment(ACK), &pattern(20_000));
    peer.seq += 20_000;
    assert_eq!(host.recv(id).unwrap().len(), 20_000);
    assert_eq!(host.one().segment.ack, peer.seq, "the reader opens the window");
}

/// RFC 9293, 3.10.7.4: with something waiting, it is not taken at all, FIN included; what the segment
/// acknowledges is (table 6).
#[test]
fn a_segment_beyond_the_window_is_refused_if_something_waits() {
    let Served { mut host, id, mut peer, .. } = buffered(1000);
    host.send(id, b"data").unwrap();
    host.one();
    peer.ack += 4;
    for offset in [0, 1000] {
        let segment = Segment { seq: peer.seq + offset, ..peer.segment(FIN | ACK) };
        host.inject(segment, &pattern(20_000));
        let answer = host.one().segment;
        assert_eq!((answer.ack, answer.window), (peer.seq, 9000));
    }
    assert_eq!(host.tcp.counters().beyond_window, 2);
    let detail = host.tcp.detail(id).unwrap();
    assert_eq!((detail.receive_queue, detail.send_queue, detail.state), (1000, 0, State::Established));
    // The rest of the window is there for who keeps to it.
    host.inject(Segment { pieces: 9, ..peer.segment(ACK) }, &pattern(9000));
    assert_eq!(host.one().segment.ack, peer.seq + 9000);
}

/// RFC 9293, 3.8.6: what comes behind a gap makes room for more of it, once an application has the
/// connection and unless it has said how much there is. What begins inside the window is reported
/// whole (RFC 2018, section 4).
#[test]
fn a_gap_makes_room() {
    for (accepted, fixed, room) in [(true, false, 62_000), (false, false, 20_000), (true, true, 20_000)] {
        let (mut host, listener, mut peer) =
            serve(TcpConfig { initial_receive: 20_000, max_receive: 100_000, ..TcpConfig::default() });
        let mut syn = peer.syn();
        syn.options.sack_permitted = true;
        host.inject(syn, &[]);
        peer.seq += 1;
        peer.ack = host.one().segment.seq + 1;
        host.inject(peer.segment(ACK), &[]);
        let mut id = accepted.then(|| host.tcp.accept(listener).unwrap());
        if fixed {
            host.tcp.set_receive_buffer(id.unwrap(), 20_000).unwrap();
        }
        host.inject(Segment { seq: peer.seq + 1000, ..peer.segment(ACK) }, &pattern(30_000));
        let block = host.one().segment.options.sack.as_slice()[0];
        assert_eq!((block.start - peer.seq, block.end - peer.seq), (1000, 31_000));
        let id = id.get_or_insert_with(|| host.tcp.accept(listener).unwrap());
        assert_eq!(host.tcp.detail(*id).unwrap().receive_buffer, room);
    }
}

/// RFC 2883 (section 4 has the reports of duplicates) obliges nobody to send one; with a FIN it would be for
/// a peer that has sent everything and is told that it has arrived.
#[test]
fn a_fin_ends_reports_of_duplicates() {
    let Served { mut host, mut peer, .. } = served(Options { sack_permitted: true, ..Options::default() });
    host.inject(peer.segment(ACK), &pattern(1000));
    host.sent();
    host.inject(peer.segment(FIN | ACK), &pattern(1000));
    peer.seq += 1001;
    let answer = host.one().segment;
    assert_eq!((answer.ack, answer.options.sack.as_slice().len()), (peer.seq, 0));
}
