use super::*;

const MSS: u32 = 1000;

fn ack(now: Instant, bytes: u32, rtt: Duration) -> Acked {
    Acked { now, bytes, una: SeqNum(0), nxt: SeqNum(0), rtt: Some(rtt), smoothed_rtt: rtt }
}

/// One RTT's worth of acknowledgments.
fn round(congestion: &mut Congestion, now: Instant, rtt: Duration) {
    let window = congestion.window();
    for _ in 0..window / MSS {
        congestion.acked(&ack(now, MSS, rtt));
    }
}

/// RFC 6928 and RFC 5681, 3.1: ten segments, doubled with each RTT.
#[test]
fn slow_start_doubles() {
    for which in [CongestionControl::NewReno, CongestionControl::Cubic] {
        let mut congestion = Congestion::new(which, MSS, 10);
        assert_eq!(congestion.window(), 10_000);
        round(&mut congestion, Instant::ZERO, Duration::from_millis(10));
        assert_eq!(congestion.window(), 20_000);
    }
}

/// RFC 5681, 3.1: one segment for each RTT; half the flight at a loss.
#[test]
fn newreno_adds_one_segment_each_round() {
    let mut congestion = Congestion::new(CongestionControl::NewReno, MSS, 20);
    congestion.congestion_event(Instant::ZERO, 23_000);
    assert_eq!(congestion.threshold(), 10_000);
    congestion.set_window(10_000);
    for step in 1..=5 {
        round(&mut congestion, Instant::ZERO, Duration::from_millis(10));
        assert_eq!(congestion.window(), 10_000 + step * MSS);
    }
}

/// RFC 9438, 4.2 and 4.6: 0.7 of the window at a loss, then concave growth back to W_max in K
/// seconds, then convex growth beyond it.
#[test]
fn cubic_returns_to_w_max_after_k() {
    let rtt = Duration::from_millis(100);
    let mut congestion = Congestion::new(CongestionControl::Cubic, MSS, 1000);
    congestion.congestion_event(Instant::ZERO, 1_000_000);
    congestion.set_window(congestion.threshold());
    assert_eq!(congestion.window(), 700_000);
    // K = cbrt(300 / 0.4) = 9.08 s.
    let mut now = Instant::ZERO;
    let mut after_k = 0;
    while now < Instant::from_millis(20_000) {
        round(&mut congestion, now, rtt);
        now += rtt;
        if now <= Instant::from_millis(9_000) {
            assert!(congestion.window() <= 1_010_000);
            after_k = congestion.window();
        }
    }
    assert!(after_k > 980_000, "{after_k}");
    assert!(congestion.window() > 1_300_000);
}

/// RFC 4015: what was no loss leaves no trace.
#[test]
fn undo_brings_the_window_back() {
    for which in [CongestionControl::NewReno, CongestionControl::Cubic] {
        let mut congestion = Congestion::new(which, MSS, 100);
        let snapshot = congestion.snapshot();
        congestion.congestion_event(Instant::ZERO, 100_000);
        congestion.set_window(MSS);
        congestion.undo(snapshot);
        assert_eq!(congestion.snapshot(), snapshot);
    }
}

/// RFC 9406: a growing RTT ends slow start without a loss.
#[test]
fn hystart_leaves_slow_start_when_the_rtt_grows() {
    let mut congestion = Congestion::new(CongestionControl::Cubic, MSS, 10);
    let mut sent = SeqNum(0);
    for step in 0..12u32 {
        let rtt = Duration::from_millis(40 + u64::from(step.saturating_sub(3)) * 8);
        let window = congestion.window();
        let end = sent + window;
        for _ in 0..window / MSS {
            sent += MSS;
            let acked = Acked { una: sent, nxt: end + window, ..ack(Instant::ZERO, MSS, rtt) };
            congestion.acked(&acked);
        }
    }
    assert!(!congestion.in_slow_start());
}

/// A window that a loss made small is not less than a segment that has grown since: nothing could go.
#[test]
fn a_window_holds_a_grown_segment() {
    let mut congestion = Congestion::new(CongestionControl::NewReno, MSS, 10);
    congestion.set_window(2 * MSS);
    congestion.set_mss(9 * MSS, false);
    assert_eq!(congestion.window(), 9 * MSS);
}
