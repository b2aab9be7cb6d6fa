//! How fast data is delivered (draft-cheng-iccrg-delivery-rate-estimation): measured with each
//! acknowledgment over the flight that it ends, bounded by how fast that flight was sent.

use core::time::Duration;

use crate::time::Instant;

/// What is noted with everything that is sent (section 3.1.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SentState {
    /// P.delivered; it wraps.
    delivered: u32,
    /// P.delivered_time.
    delivered_at: Micros,
    /// P.first_sent_time.
    first_sent: Micros,
    /// P.is_app_limited.
    app_limited: bool,
}

/// Small moments, for records of which there are many: they wrap in 71 minutes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Micros(u32);

impl Micros {
    fn of(at: Instant) -> Micros {
        // It is meant to wrap.
        Micros(at.as_micros() as u32)
    }

    fn since(self, earlier: Micros) -> Duration {
        Duration::from_micros(u64::from(self.0.wrapping_sub(earlier.0)))
    }
}

/// The connection's side (section 3.1.1).
#[derive(Debug, Default)]
pub(super) struct Rate {
    /// C.delivered: bytes; it wraps.
    delivered: u32,
    /// C.delivered_time.
    delivered_at: Micros,
    /// C.first_sent_time.
    first_sent: Micros,
    /// C.app_limited: until this much is delivered, the application held the rate down.
    app_limited: Option<u32>,
    /// What the newest transmission that this acknowledgment delivers had noted, and when it went.
    newest: Option<(SentState, Instant)>,
}

/// What an acknowledgment says (section 3.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    /// Bytes per second.
    pub(super) rate: u64,
    /// The application, not the network, may have set it.
    pub(super) app_limited: bool,
    /// P.delivered of what it is measured over: the round trip that it belongs to.
    pub(super) prior_delivered: u32,
}

fn after(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) > 0
}

impl Rate {
    /// Section 3.2: something goes; `in_flight` is what was out before.
    pub(super) fn sent(&mut self, now: Instant, in_flight: u32) -> SentState {
        if in_flight == 0 {
            self.first_sent = Micros::of(now);
            self.delivered_at = Micros::of(now);
        }
        SentState {
            delivered: self.delivered,
            app_limited: self.app_limited.is_some(),
            delivered_at: self.delivered_at,
            first_sent: self.first_sent,
        }
    }

    /// Section 3.3, UpdateRateSample: something arrived that was sent last at `sent_at`.
    pub(super) fn arrived(&mut self, now: Instant, bytes: u32, state: SentState, sent_at: Instant) {
        self.delivered = self.delivered.wrapping_add(bytes);
        self.delivered_at = Micros::of(now);
        let newer = |newest: &(SentState, Instant)| {
            after(state.delivered, newest.0.delivered) || (state.delivered == newest.0.delivered && sent_at > newest.1)
        };
        if self.newest.as_ref().is_none_or(newer) {
            self.newest = Some((state, sent_at));
        }
    }

    /// Section 3.3, GenerateRateSample. `minimum` is the path's smallest RTT: over less than that
    /// nothing can be measured.
    pub(super) fn sample(&mut self, minimum: Option<Duration>) -> Option<Sample> {
        if self.app_limited.is_some_and(|until| after(self.delivered, until)) {
            self.app_limited = None;
        }
        let (state, sent_at) = self.newest.take()?;
        self.first_sent = Micros::of(sent_at);
        let send_elapsed = self.first_sent.since(state.first_sent);
        let ack_elapsed = self.delivered_at.since(state.delivered_at);
        let interval = send_elapsed.max(ack_elapsed);
        if interval.is_zero() || minimum.is_some_and(|minimum| interval < minimum) {
            return None;
        }
        let delivered = u128::from(self.delivered.wrapping_sub(state.delivered));
        let rate = delivered * 1_000_000_000 / interval.as_nanos();
        Some(Sample {
            rate: u64::try_from(rate).unwrap_or(u64::MAX),
            app_limited: state.app_limited,
            prior_delivered: state.delivered,
        })
    }

    /// Section 3.4: the application has nothing to send, and the window has room.
    pub(super) fn app_limited(&mut self, in_flight: u32) {
        self.app_limited = Some(self.delivered.wrapping_add(in_flight));
    }

    /// What goes now is sent as the application, or a small window, lets it.
    pub(super) fn is_app_limited(&self) -> bool {
        self.app_limited.is_some()
    }

    /// C.delivered.
    pub(super) fn delivered(&self) -> u32 {
        self.delivered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Section 2.2: ten segments sent at once, acknowledged one each millisecond from 10 ms on: the
    /// rate is that of the acknowledgments, not of the burst; compressed acknowledgments do not
    /// raise it above the rate of sending.
    #[test]
    fn the_slower_of_sending_and_delivery_counts() {
        let ms = Instant::from_millis;
        let mut rate = Rate::default();
        let mut flight: std::collections::VecDeque<_> =
            (0..10).map(|at| (ms(0), rate.sent(ms(0), at * 1000))).collect();
        let mut sample = None;
        for now in (10..60).map(ms) {
            let (at, state) = flight.pop_front().unwrap();
            rate.arrived(now, 1000, state, at);
            sample = rate.sample(Some(Duration::from_millis(10)));
            flight.push_back((now, rate.sent(now, 9000)));
        }
        assert_eq!(sample.map(|sample| (sample.rate, sample.app_limited)), Some((1_000_000, false)));
        // All acknowledged at once, long after: not faster than it was sent.
        let mut rate = Rate::default();
        rate.sent(ms(0), 0);
        let spread: Vec<_> = (0..10u64).map(|at| (ms(at * 10), rate.sent(ms(at * 10), 1000))).collect();
        for (at, state) in spread {
            rate.arrived(ms(100), 1000, state, at);
        }
        let sample = rate.sample(Some(Duration::from_millis(10))).unwrap();
        assert_eq!(sample.rate, 100_000);
    }

    /// Section 3.4: what was sent while the application had nothing more says so, until it is past.
    #[test]
    fn an_idle_application_is_told_from_a_slow_network() {
        let mut rate = Rate::default();
        let first = rate.sent(Instant::ZERO, 0);
        rate.app_limited(1000);
        let second = rate.sent(Instant::from_millis(1), 1000);
        rate.arrived(Instant::from_millis(20), 1000, first, Instant::ZERO);
        assert!(!rate.sample(None).unwrap().app_limited);
        rate.arrived(Instant::from_millis(21), 1000, second, Instant::from_millis(1));
        assert!(rate.sample(None).unwrap().app_limited);
        assert!(!rate.sent(Instant::from_millis(22), 1000).app_limited);
    }
}
