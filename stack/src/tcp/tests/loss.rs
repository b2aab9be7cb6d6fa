use super::network::{Faults, Network, exchange};
use super::rack::Rack;
use super::rtt::Rtt;
use super::scoreboard::Scoreboard;
use super::*;
use crate::wire::tcp::SeqRange;

const MSS: u32 = 1000;

/// A connection with SACK and ten segments out, the first at `base`.
struct Flying {
    host: Host,
    peer: Peer,
    base: SeqNum,
}

fn flying(sack: bool, timestamps: bool) -> Flying {
    let timestamps = timestamps.then_some(Timestamps { value: 1, echo: 0 });
    let mss = if timestamps.is_some() { MSS as u16 + 12 } else { MSS as u16 };
    let (mut host, listener, mut peer) = serve(TcpConfig::default());
    let options = Options { mss: Some(mss), sack_permitted: sack, timestamps, ..Options::default() };
    host.inject(Segment { options, ..peer.syn() }, &[]);
    let answer = host.one().segment;
    host.now += millis(50);
    peer.seq += 1;
    peer.ack = answer.seq + 1;
    peer.timestamps = answer.options.timestamps.map(|stamps| Timestamps { value: 2, echo: stamps.value });
    host.inject(peer.segment(ACK), &[]);
    let id = host.tcp.accept(listener).unwrap();
    host.send(id, &pattern(100_000)).unwrap();
    let sent = host.sent();
    assert_eq!(sent.len(), 10, "RFC 6928");
    host.now += millis(50);
    Flying { host, base: peer.ack, peer }
}

impl Flying {
    /// An acknowledgment up to segment `ack`, with segments `blocks` reported.
    fn ack(&mut self, ack: u32, blocks: &[(u32, u32)]) -> Vec<u32> {
        let mut segment = Segment { ack: self.base + ack * MSS, ..self.peer.segment(ACK) };
        for &(start, end) in blocks {
            segment.options.sack.push(SeqRange { start: self.base + start * MSS, end: self.base + end * MSS });
        }
        self.host.now += Duration::from_micros(100);
        self.host.inject(segment, &[]);
        self.numbers()
    }

    /// Numbers of the segments that leave now.
    fn numbers(&mut self) -> Vec<u32> {
        self.host.sent().iter().map(|sent| (sent.segment.seq - self.base) / MSS).collect()
    }
}

/// RFC 6675, RFC 8985, RFC 6937: three segments SACKed above a hole repair it at once, and the rate
/// comes down in proportion.
#[test]
fn sack_repairs_a_hole_at_once() {
    let mut flying = flying(true, false);
    assert_eq!(flying.ack(0, &[(1, 2)]), [10], "RFC 3042: a new segment for one that arrived");
    assert_eq!(flying.ack(0, &[(1, 3)]), [11]);
    assert_eq!(flying.ack(0, &[(1, 4)]), [0]);
    let mut sent = 0;
    for end in 5..=12 {
        sent += flying.ack(0, &[(1, end)]).len();
    }
    assert!((5..=7).contains(&sent), "about 0.7 for each that arrived: {sent}");
    assert_eq!(flying.host.tcp.counters().fast_recoveries, 1);
    assert!(!flying.ack(12, &[]).is_empty());
}

/// Two holes: both are repaired within the same recovery; nothing that arrived is sent again.
#[test]
fn only_what_is_lost_is_sent_again() {
    let mut flying = flying(true, false);
    let mut again: Vec<u32> = flying.ack(0, &[(1, 4)]);
    again.extend(flying.ack(0, &[(5, 10), (1, 4)]));
    again.retain(|number| *number < 10);
    assert_eq!(again, [0, 4]);
    assert_eq!(flying.host.tcp.counters().retrans_segs, 2);
}

/// RFC 8985: a retransmission that is lost too is found by time, without a timeout.
#[test]
fn a_lost_retransmission_is_found() {
    let mut flying = flying(true, false);
    flying.ack(0, &[(1, 2)]);
    flying.ack(0, &[(1, 3)]);
    assert_eq!(flying.ack(0, &[(1, 4)]), [0]);
    flying.host.now += millis(60);
    // What was sent after the retransmission arrives; the retransmission does not.
    let mut numbers = flying.ack(0, &[(1, 10)]);
    numbers.extend(flying.ack(0, &[(1, 12)]));
    flying.host.now += millis(60);
    let late = flying.ack(0, &[(1, 15)]);
    assert!(numbers.contains(&0) || late.contains(&0), "{numbers:?} {late:?}");
    assert_eq!(flying.host.tcp.counters().timeouts, 0);
}

/// RFC 8985, 6.2: after reordering was seen, a small one does not look like loss.
#[test]
fn reordering_is_learnt() {
    let mut flying = flying(true, false);
    // Segment 0 is late, not lost: it was never sent again when its acknowledgment comes.
    flying.ack(0, &[(1, 3)]);
    flying.ack(3, &[]);
    let before = flying.host.tcp.counters().retrans_segs;
    flying.ack(3, &[(4, 8)]);
    assert_eq!(flying.host.tcp.counters().retrans_segs, before, "a quarter of an RTT is waited");
    let left = flying.host.wait(millis(40));
    assert!(left.iter().any(|(_, sent)| sent.segment.seq == flying.base + 3 * MSS));
}

/// RFC 8985, 5.2 and 6.2 (step 2), where one acknowledgment delivers a retransmission and, behind it, what was
/// sent once: the last in the stream tells the RTT.
#[test]
fn the_last_in_the_stream_tells_the_rtt() {
    let at = Instant::from_millis;
    let (mut board, mut rack) = (Scoreboard::default(), Rack::default());
    board.sent(SeqNum(0), SeqNum(2000), at(0), Default::default());
    board.retransmitted(SeqRange { start: SeqNum(0), end: SeqNum(1000) }, at(10), Default::default());
    board.acknowledge(SeqNum(2000), |record| rack.delivered(at(22), record, &Rtt::new(), false, millis(10)));
    assert_eq!(rack.rtt(), millis(22));
}

/// RFC 5681, RFC 6582: without SACK three duplicates bring a fast retransmission; a partial
/// acknowledgment the next.
#[test]
fn without_sack_duplicates_count() {
    let mut flying = flying(false, false);
    assert_eq!(flying.ack(0, &[]), [10]);
    assert_eq!(flying.ack(0, &[]), [11]);
    assert_eq!(flying.ack(0, &[]), [0]);
    for _ in 0..6 {
        flying.ack(0, &[]);
    }
    assert!(flying.ack(5, &[]).contains(&5));
    assert_eq!(flying.host.tcp.counters().fast_recoveries, 1);
}

/// RFC 8985, 7: silence at the end of a flight is probed after two RTTs, with one segment, before
/// any timeout.
#[test]
fn a_lost_tail_is_probed() {
    let mut flying = flying(true, false);
    flying.ack(1, &[]);
    let out = flying.host.wait(millis(170));
    let probes: Vec<_> =
        out.iter().map(|(at, sent)| (at.as_millis(), (sent.segment.seq - flying.base) / MSS)).collect();
    assert_eq!(probes.len(), 1, "{probes:?}");
    assert!((100..=110).contains(&probes[0].0), "{probes:?}");
    assert_eq!(flying.host.tcp.counters().loss_probes, 1);
    assert_eq!(flying.host.tcp.counters().timeouts, 0);
}

/// RFC 6298, 5: without any answer RTO fires, doubles, and starts over with one segment; progress
/// resets it.
#[test]
fn the_timeout_backs_off() {
    let mut flying = flying(false, false);
    let out = flying.host.wait(millis(3000));
    let sent: Vec<_> = out.iter().map(|(at, sent)| (at.as_millis(), (sent.segment.seq - flying.base) / MSS)).collect();
    // SRTT 50 ms: RTO is 250 ms after the data, which left 50 ms ago.
    assert_eq!(sent, [(200, 0), (700, 0), (1700, 0)]);
    assert_eq!(flying.ack(1, &[]), [1, 2], "slow start");
    flying.host.now += millis(50);
    assert_eq!(flying.ack(3, &[]).len(), 4);
}

/// Karn's rule, widened: what waited behind a hole at the receiver says nothing about the RTT.
#[test]
fn a_repaired_hole_gives_no_rtt() {
    let mut flying = flying(false, false);
    (0..3).for_each(|_| drop(flying.ack(0, &[])));
    flying.host.now += millis(150);
    assert!(!flying.ack(12, &[]).is_empty());
    let out = flying.host.wait(millis(600));
    let again = out.iter().find(|(_, sent)| (sent.segment.seq - flying.base) / MSS == 12);
    assert_eq!(again.map(|(at, _)| at.as_millis()), Some(250), "SRTT is 50 ms still");
}

/// RFC 8985, 7.2: one segment alone may wait for a delayed acknowledgment; it is not probed early.
#[test]
fn a_single_segment_is_not_probed_early() {
    let Served { mut host, id, mut peer, .. } = served(Options { sack_permitted: true, ..Options::default() });
    for _ in 0..10 {
        host.send(id, b"x").unwrap();
        host.one();
        host.now += millis(1);
        peer.ack += 1;
        host.inject(peer.segment(ACK), &[]);
    }
    host.send(id, b"y").unwrap();
    host.one();
    assert!(host.wait(millis(190)).is_empty());
    assert_eq!(host.wait(millis(20)).len(), 1);
}

/// RFC 9293, 3.8.6: a window that shrinks over what is out does not stop the first segment from
/// going again, and only that.
#[test]
fn a_shrunk_window_is_retransmitted_into() {
    let mut flying = flying(true, false);
    flying.peer.window = 0;
    flying.ack(0, &[]);
    let out = flying.host.wait(millis(2000));
    let numbers: Vec<_> = out.iter().map(|(_, sent)| (sent.segment.seq - flying.base) / MSS).collect();
    assert!(numbers.contains(&0), "{numbers:?}");
    // The tail loss probe goes before the timeout.
    assert!(numbers.iter().filter(|number| **number != 0).count() <= 1, "{numbers:?}");
}

/// RFC 3522, RFC 4015: a timeout that was too early leaves no trace.
#[test]
fn a_spurious_timeout_is_undone() {
    let mut flying = flying(true, true);
    let stamps = flying.peer.timestamps.unwrap();
    // The probe went in RTO's place.
    flying.host.wait(millis(600));
    assert!(flying.host.tcp.counters().timeouts > 0);
    // The original was only slow: its timestamp comes back.
    flying.peer.timestamps = Some(Timestamps { value: 3, echo: stamps.echo + 50 });
    let numbers = flying.ack(9, &[]);
    assert_eq!(flying.host.tcp.counters().spurious_rtos, 1);
    assert!(numbers.len() >= 8 && numbers.iter().all(|number| *number >= 10), "{numbers:?}");
}

/// RFC 2018, 8: a receiver that takes SACKed data back is believed at the timeout.
#[test]
fn reneging_is_survived() {
    let mut flying = flying(true, false);
    flying.ack(0, &[(1, 10)]);
    flying.ack(1, &[]);
    let mut again = Vec::new();
    for _ in 0..20 {
        let out = flying.host.wait(millis(1000));
        again.extend(out.iter().map(|(_, sent)| (sent.segment.seq - flying.base) / MSS));
    }
    assert!(again.contains(&1), "{again:?}");
}

/// A super-segment of which a piece is lost: only the piece goes again, whatever the boundary.
#[test]
fn a_lost_piece_is_sent_alone() {
    let (mut host, listener, mut peer) = serve(TcpConfig::default());
    host.path = OnePath::new(1500, 61_000);
    host.inject(
        Segment { options: Options { mss: Some(1000), sack_permitted: true, ..Options::default() }, ..peer.syn() },
        &[],
    );
    peer.seq += 1;
    peer.ack = host.one().segment.seq + 1;
    host.inject(peer.segment(ACK), &[]);
    let id = host.tcp.accept(listener).unwrap();
    host.send(id, &pattern(9500)).unwrap();
    assert_eq!(host.sent().iter().map(|sent| sent.payload.len()).sum::<usize>(), 9500);
    let mut ack = peer.segment(ACK);
    for (start, end) in [(0, 3000), (4000, 9500)] {
        if start > 0 {
            ack.options.sack.push(SeqRange { start: peer.ack + start, end: peer.ack + end });
        }
    }
    ack.ack = peer.ack + 3000;
    host.now += millis(10);
    host.inject(ack, &[]);
    let again = host.one();
    assert_eq!((again.segment.seq, again.payload), (peer.ack + 3000, pattern(9500)[3000..4000].to_vec()));
}

/// The end of a transfer that loses much comes within reach of what the rate of loss allows
/// (Mathis: 1.2 MSS / (RTT sqrt(p))), with super-segments as without.
#[test]
fn throughput_under_loss_is_what_the_rate_allows() {
    for (max_super, cutting) in [(0, false), (61_000, true)] {
        let mut total = Duration::ZERO;
        for seed in 0..8 {
            let config = [TcpConfig::default(), TcpConfig::default()];
            let mut network = Network::new(config, OnePath::new(1500, max_super), seed);
            network.faults = Faults { loss: 20, cutting, ..Faults::default() };
            let data = [pattern(1_000_000), vec![]];
            let (_, server, took) = exchange(&mut network, data, [262_144; 2], Duration::from_secs(600));
            assert!(server.received == pattern(1_000_000));
            total += took;
        }
        // 1 MB at 1.2 * 1448 / (0.02 s * sqrt(0.02)) is 1.63 s.
        assert!(total / 8 < millis(3 * 1630), "{:?}", total / 8);
    }
}

/// RFC 5681, 3.1; RFC 9438, 4.1: in congestion avoidance the window goes evenly over a round trip, though one
/// acknowledgment makes room for all of it.
#[test]
fn a_window_goes_evenly() {
    let mut flying = flying(true, false);
    (1..5).for_each(|seen| drop(flying.ack(0, &[(1, seen + 1)])));
    let out = flying.numbers().len();
    assert_eq!(out, 0, "recovery is PRR's");
    flying.host.now += millis(50);
    let at_once = flying.ack(12, &[]).len();
    let later = flying.host.wait(millis(45));
    let all = at_once + later.len();
    assert!(all >= 6 && at_once <= 2, "{at_once} of {all} at once");
    let gaps: Vec<_> = later.windows(2).map(|pair| (pair[1].0 - pair[0].0).as_millis()).collect();
    assert!(gaps.iter().all(|gap| (3..=10).contains(gap)), "{gaps:?}");
}

/// RFC 2883, section 4: a block below the segment's own acknowledgment is a duplicate; one below a later
/// acknowledgment, which has overtaken this segment, is not.
#[test]
fn an_overtaken_acknowledgment_is_no_duplicate_report() {
    let Served { mut host, id, mut peer, .. } = served(Options { sack_permitted: true, ..Options::default() });
    host.send(id, &pattern(3 * 1460)).unwrap();
    host.sent();
    let mut overtaken = peer.segment(ACK);
    overtaken.options.sack.push(SeqRange { start: peer.ack + 1460, end: peer.ack + 2 * 1460 });
    peer.ack += 3 * 1460;
    host.inject(peer.segment(ACK), &[]);
    host.inject(overtaken.clone(), &[]);
    assert_eq!(host.tcp.counters().dsack_received, 0);
    host.inject(Segment { ack: peer.ack, ..overtaken }, &[]);
    assert_eq!(host.tcp.counters().dsack_received, 1);
}
