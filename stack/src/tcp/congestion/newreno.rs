//! NewReno's window (RFC 5681, section 3.1).

use super::{Acked, Algorithm, Window};
use crate::time::Instant;

#[derive(Debug, Default)]
pub(super) struct NewReno {
    /// Bytes acknowledged since the window grew last (RFC 3465).
    counted: u32,
}

impl Algorithm for NewReno {
    fn acked(&mut self, window: &mut Window, acked: &Acked) {
        let left = window.slow_start(acked.bytes);
        self.counted = self.counted.saturating_add(left);
        if self.counted >= window.congestion {
            self.counted -= window.congestion;
            window.grow(window.mss);
        }
    }

    fn congestion_event(&mut self, window: &mut Window, _now: Instant, in_flight: u32) {
        // RFC 5681, equation 4, and 3.2, step 2: what limited transmit sent does not count.
        window.threshold = (in_flight.min(window.congestion) / 2).max(2 * window.mss);
        self.counted = 0;
    }

    fn undo(&mut self) {}
}
