use std::collections::VecDeque;

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

/// A path that carries a segment in 100 µs, at first over 5 ms, and a sender that does as BBR says.
struct BbrPath {
    congestion: Congestion,
    now: Instant,
    paced_until: Instant,
    link_free: Instant,
    delay: Duration,
    /// When each arrives, when it went, and what was noted then.
    flight: VecDeque<(Instant, Instant, SentState)>,
}

impl BbrPath {
    fn new() -> Self {
        let congestion = Congestion::new(CongestionControl::Bbr, MSS, 10);
        let now = Instant::from_millis(1);
        let delay = Duration::from_millis(5);
        BbrPath { congestion, now, paced_until: now, link_free: now, delay, flight: VecDeque::new() }
    }

    fn in_flight(&self) -> u32 {
        self.flight.len() as u32 * MSS
    }

    /// Lets `time` go by; returns the lowest rate and the smallest window within it.
    fn run(&mut self, time: Duration, has_data: bool) -> (u64, u32) {
        let end = self.now + time;
        let mut lowest = (u64::MAX, u32::MAX);
        while self.now < end {
            self.now += Duration::from_micros(20);
            while self.flight.front().is_some_and(|(arrives, ..)| *arrives <= self.now) {
                self.acknowledge();
            }
            if !has_data {
                self.congestion.app_limited(self.in_flight());
            }
            while has_data && self.in_flight() + MSS <= self.congestion.window() && self.paced_until <= self.now {
                self.send();
            }
            let rate = self.congestion.pacing_rate().unwrap_or(u64::MAX);
            lowest = (lowest.0.min(rate), lowest.1.min(self.congestion.window()));
        }
        lowest
    }

    fn send(&mut self) {
        let state = self.congestion.sent(self.now, self.in_flight());
        self.link_free = self.link_free.max(self.now) + Duration::from_micros(100);
        self.flight.push_back((self.link_free + self.delay, self.now, state));
        let rate = self.congestion.pacing_rate().unwrap_or(u64::MAX);
        let from = self.paced_until.max(self.now);
        self.paced_until = from + Duration::from_nanos(u64::from(MSS) * 1_000_000_000 / rate);
    }

    fn acknowledge(&mut self) {
        let prior_in_flight = self.in_flight();
        let Some((_, sent_at, state)) = self.flight.pop_front() else { return };
        let now = self.now;
        self.congestion.arrived(now, MSS, state, sent_at);
        let delivery = Delivery {
            now,
            rtt: Some(now.since(sent_at)),
            bytes: MSS,
            lost: 0,
            in_flight: self.in_flight(),
            prior_in_flight,
            minimum_rtt: Some(Duration::from_millis(5)),
            recovering: false,
        };
        self.congestion.model(&delivery);
    }
}

/// BBR, section 4.3.4: the small window that looks for the RTT says nothing of the bandwidth.
#[test]
fn bbr_does_not_take_a_probe_of_the_rtt_for_the_path() {
    let mut path = BbrPath::new();
    path.run(Duration::from_secs(8), true);
    // The RTT that it knows is not seen again.
    path.delay += Duration::from_millis(1);
    let (rate, window) = path.run(Duration::from_secs(30), true);
    assert_eq!(window, 4 * MSS, "it has looked");
    // Three quarters are those of the cycle (section 4.3.3).
    assert!(rate >= 7_000_000, "{rate}");
}

/// BBR, section 4.3.4: after a pause the pipe is empty already; nothing is held back to see the RTT.
#[test]
fn bbr_does_not_probe_the_rtt_after_a_pause() {
    let mut path = BbrPath::new();
    path.run(Duration::from_secs(8), true);
    path.run(Duration::from_secs(12), false);
    let (rate, window) = path.run(Duration::from_secs(2), true);
    assert!(window > 10 * MSS && rate >= 7_000_000, "{window} {rate}");
}
