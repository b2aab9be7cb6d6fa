//! HyStart++: leaves slow start when the RTT grows, before packets are lost (RFC 9406).

use core::time::Duration;

use crate::seq::SeqNum;

use super::{Acked, Window};

/// RFC 9406, section 4.3.
const MIN_RTT_THRESH: Duration = Duration::from_millis(4);
const MAX_RTT_THRESH: Duration = Duration::from_millis(16);
const MIN_RTT_DIVISOR: u32 = 8;
const N_RTT_SAMPLE: u8 = 8;
const CSS_GROWTH_DIVISOR: u32 = 4;
const CSS_ROUNDS: u8 = 5;

/// Where it stands in a slow start. All times in nanoseconds; `u64::MAX` is "none yet".
#[derive(Debug)]
pub(super) struct HyStart {
    round_end: Option<SeqNum>,
    last_round_min: u64,
    round_min: u64,
    samples: u8,
    /// In Conservative Slow Start: the round's minimum when it began, and rounds so far.
    baseline: u64,
    rounds: u8,
}

impl Default for HyStart {
    fn default() -> Self {
        HyStart {
            round_end: None,
            last_round_min: u64::MAX,
            round_min: u64::MAX,
            samples: 0,
            baseline: u64::MAX,
            rounds: 0,
        }
    }
}

impl HyStart {
    /// Grows the window in slow start; returns bytes left for congestion avoidance.
    pub(super) fn acked(&mut self, window: &mut Window, acked: &Acked) -> u32 {
        let round_ended = self.round_end.is_none_or(|end| acked.una.after_eq(end));
        if let Some(rtt) = acked.rtt {
            self.round_min = self.round_min.min(u64::try_from(rtt.as_nanos()).unwrap_or(u64::MAX));
            self.samples = self.samples.saturating_add(1);
        }
        let left = match self.baseline {
            u64::MAX => window.slow_start(acked.bytes),
            _ => window.slow_start(acked.bytes / CSS_GROWTH_DIVISOR),
        };
        if self.samples >= N_RTT_SAMPLE && self.round_min != u64::MAX {
            match self.baseline {
                u64::MAX if self.last_round_min != u64::MAX => {
                    let thresh = (self.last_round_min / u64::from(MIN_RTT_DIVISOR))
                        .clamp(MIN_RTT_THRESH.as_nanos() as u64, MAX_RTT_THRESH.as_nanos() as u64);
                    if self.round_min >= self.last_round_min.saturating_add(thresh) {
                        (self.baseline, self.rounds) = (self.round_min, 0);
                    }
                }
                // The RTT has come down again: it was jitter.
                baseline if self.round_min < baseline && baseline != u64::MAX => self.baseline = u64::MAX,
                _ => {}
            }
        }
        if round_ended {
            if self.baseline != u64::MAX {
                if self.rounds + 1 >= CSS_ROUNDS {
                    window.threshold = window.congestion;
                }
                self.rounds += 1;
            }
            self.last_round_min = self.round_min;
            self.round_min = u64::MAX;
            self.samples = 0;
            self.round_end = Some(acked.nxt);
        }
        left
    }
}
