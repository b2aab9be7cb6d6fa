//! CUBIC (RFC 9438). The constants of section 5: C = 0.4, beta = 0.7.

use core::time::Duration;

use super::hystart::HyStart;
use super::{Acked, Algorithm, Window};
use crate::time::Instant;

const C: f64 = 0.4;
const BETA: f64 = 0.7;
/// Section 4.3: makes Reno's estimate as friendly with beta as Reno is with one half.
const ALPHA: f64 = 3.0 * (1.0 - BETA) / (1.0 + BETA);

/// An epoch of congestion avoidance, windows in segments.
#[derive(Debug)]
struct Epoch {
    started: Instant,
    /// Where the curve is flat: W_max, or the window at its start if that was more.
    origin: f64,
    /// K: seconds until the window is back at the origin.
    k: f64,
    /// W_est: what Reno would have.
    estimate: f64,
}

/// W_max, cwnd_prior and the epoch as they were.
type Before = (f64, f64, Option<Box<Epoch>>);

#[derive(Debug, Default)]
pub(super) struct Cubic {
    /// W_max, in segments; 0 before the first loss.
    w_max: f64,
    /// cwnd_prior: the window before the last loss, in segments.
    prior: f64,
    /// Not there in slow start, where most connections stay.
    epoch: Option<Box<Epoch>>,
    /// What undoing the last event brings back.
    before: Option<Box<Before>>,
    /// Part of a segment that growth has left over.
    fraction: f64,
    hystart: HyStart,
}

impl Algorithm for Cubic {
    fn acked(&mut self, window: &mut Window, acked: &Acked) {
        let left = if window.in_slow_start() { self.hystart.acked(window, acked) } else { acked.bytes };
        if left == 0 || window.in_slow_start() {
            return;
        }
        let mss = f64::from(window.mss);
        let now_window = f64::from(window.congestion) / mss;
        let segments = f64::from(left) / mss;
        let w_max = self.w_max;
        let epoch = self.epoch.get_or_insert_with(|| {
            Box::new(Epoch {
                started: acked.now,
                origin: w_max.max(now_window),
                // Equation 2.
                k: ((w_max - now_window) / C).max(0.0).cbrt(),
                estimate: now_window,
            })
        });
        let elapsed = acked.now.since(epoch.started);
        // Section 4.3, equation 4.
        let alpha = if epoch.estimate >= self.prior { 1.0 } else { ALPHA };
        epoch.estimate += alpha * segments / now_window;
        let cubic_at = |t: Duration| C * (t.as_secs_f64() - epoch.k).powi(3) + epoch.origin;
        let growth = if cubic_at(elapsed) < epoch.estimate {
            epoch.estimate - now_window
        } else {
            // Sections 4.4 and 4.5: towards where the curve is one RTT from now, at most half
            // the window away.
            let target = cubic_at(elapsed + acked.smoothed_rtt).clamp(now_window, 1.5 * now_window);
            (target - now_window) / now_window * segments
        };
        self.fraction += growth.max(0.0);
        let whole = self.fraction.floor();
        self.fraction -= whole;
        // A window is at most 2^30 bytes.
        window.grow((whole * mss).min(f64::from(super::MAX_WINDOW)) as u32);
    }

    fn congestion_event(&mut self, window: &mut Window, _now: Instant, in_flight: u32) {
        let mss = f64::from(window.mss);
        let now_window = f64::from(window.congestion) / mss;
        self.before = Some(Box::new((self.w_max, self.prior, self.epoch.take())));
        // Section 4.7: fast convergence gives room to new flows.
        self.w_max = if now_window < self.w_max { now_window * (1.0 + BETA) / 2.0 } else { now_window };
        self.prior = now_window;
        self.fraction = 0.0;
        self.hystart = HyStart::default();
        // Section 4.6. What was in flight counts, if that was less than what might have been.
        let base = f64::from(in_flight.min(window.congestion).max(window.mss));
        window.threshold = ((base * BETA) as u32).max(2 * window.mss);
    }

    fn restarted(&mut self) {
        // Section 5.8: time in which nothing was sent does not count.
        self.epoch = None;
        self.hystart = HyStart::default();
    }

    fn undo(&mut self) {
        // Section 4.9: as if it had not been; the curve goes on from where it began.
        if let Some(before) = self.before.take() {
            (self.w_max, self.prior, self.epoch) = *before;
        }
    }
}
