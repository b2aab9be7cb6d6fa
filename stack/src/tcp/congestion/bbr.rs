//! BBR, version 1 (draft-cardwell-iccrg-bbr-congestion-control-00): a model of the path, its
//! bandwidth and its propagation delay, instead of losses. Section numbers are the draft's.

use core::time::Duration;

use super::Window;
use crate::tcp::rate::{Rate, Sample, SentState};
use crate::time::Instant;

/// Section 4.1.1.3: rounds over which the bandwidth is the maximum.
const BANDWIDTH_ROUNDS: u32 = 10;
/// Section 4.1.2: how long the smallest RTT stays good.
const RTPROP_WINDOW: Duration = Duration::from_secs(10);
/// Section 4.3.4.2.
const PROBE_RTT_TIME: Duration = Duration::from_millis(200);
/// Gains, in 1/256.
const UNIT: u64 = 256;
/// 2/ln(2) (section 4.3.2.1).
const HIGH_GAIN: u64 = 739;
const DRAIN_GAIN: u64 = UNIT * UNIT / HIGH_GAIN;
const CRUISE_WINDOW_GAIN: u64 = 2 * UNIT;
/// Section 4.3.3.
const CYCLE: [u64; 8] = [UNIT * 5 / 4, UNIT * 3 / 4, UNIT, UNIT, UNIT, UNIT, UNIT, UNIT];
/// Section 4.2.1: a little below the bandwidth, so that no queue stays.
const MARGIN_PERCENT: u64 = 1;
/// BBRMinPipeCwnd.
const MIN_WINDOW_SEGMENTS: u32 = 4;
/// Section 4.3.2.2: the pipe is full when the bandwidth has not grown by a quarter in three rounds.
const FULL_ROUNDS: u8 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Startup,
    Drain,
    ProbeBandwidth {
        phase: u8,
        since: Instant,
    },
    /// Until when, once the flight is small enough.
    ProbeRtt {
        until: Option<Instant>,
    },
}

/// What an acknowledgment says to a model of the path.
#[derive(Clone, Copy, Debug)]
pub(in crate::tcp) struct Delivery {
    pub(in crate::tcp) now: Instant,
    /// RTT of the newest segment that it acknowledges.
    pub(in crate::tcp) rtt: Option<Duration>,
    /// Bytes newly delivered.
    pub(in crate::tcp) bytes: u32,
    /// Bytes newly lost.
    pub(in crate::tcp) lost: u32,
    /// Bytes in flight after it, and before it.
    pub(in crate::tcp) in_flight: u32,
    pub(in crate::tcp) prior_in_flight: u32,
    /// The path's smallest RTT.
    pub(in crate::tcp) minimum_rtt: Option<Duration>,
    /// Losses are being repaired.
    pub(in crate::tcp) recovering: bool,
}

#[derive(Debug)]
pub(super) struct Bbr {
    pub(super) rate: Rate,
    state: State,
    /// The highest rates of the last rounds, the best first: (round, bytes per second).
    bandwidth: [(u32, u64); 3],
    /// RTprop, and when it was seen.
    rtprop: Option<(Duration, Instant)>,
    round: u32,
    /// C.delivered at which the next round begins.
    next_round: u32,
    full_bandwidth: u64,
    full_count: u8,
    filled: bool,
    /// Bytes per second.
    pacing: u64,
    /// The window before losses, or before the RTT was probed.
    saved_window: u32,
    /// In recovery, and whether its first round still keeps the flight as it is.
    recovering: bool,
    conserving_until: Option<u32>,
    /// ProbeRTT has been a full round at the small window.
    probe_round: Option<u32>,
    /// What is acknowledged next was sent after a pause (section 4.3.4.4).
    idle_restart: bool,
    initial_window: u32,
}

impl Bbr {
    pub(super) fn new() -> Self {
        Bbr {
            rate: Rate::default(),
            state: State::Startup,
            bandwidth: [(0, 0); 3],
            rtprop: None,
            round: 0,
            next_round: 0,
            full_bandwidth: 0,
            full_count: 0,
            filled: false,
            pacing: 0,
            saved_window: 0,
            recovering: false,
            conserving_until: None,
            probe_round: None,
            idle_restart: false,
            initial_window: 0,
        }
    }

    /// Bytes per second; `None` before anything is known.
    pub(super) fn pacing_rate(&self) -> Option<u64> {
        (self.pacing > 0).then_some(self.pacing)
    }

    /// Section 4.2.1: the first rate, from the first RTT.
    fn init_pacing(&mut self, window: &Window) {
        if let Some((rtprop, _)) = self.rtprop.filter(|_| self.pacing == 0) {
            let rate = u128::from(window.congestion) * 1_000_000_000 / rtprop.as_nanos().max(1);
            self.pacing = u64::try_from(rate).unwrap_or(u64::MAX / UNIT) / UNIT * HIGH_GAIN;
        }
    }

    fn best(&self) -> u64 {
        self.bandwidth[0].1
    }

    /// BBRInflight: `gain` times the bandwidth-delay product, and some for bursts.
    fn inflight(&self, gain: u64, window: &Window) -> u32 {
        let Some((rtprop, _)) = self.rtprop else { return self.initial_window };
        let product = u128::from(self.best()) * rtprop.as_nanos() / 1_000_000_000 * u128::from(gain) / u128::from(UNIT);
        let product = u32::try_from(product).unwrap_or(super::MAX_WINDOW).min(super::MAX_WINDOW);
        product.saturating_add(3 * self.quantum(window)).max(MIN_WINDOW_SEGMENTS * window.mss)
    }

    /// Section 4.2.2: what may go at once.
    fn quantum(&self, window: &Window) -> u32 {
        let millisecond = u32::try_from(self.pacing / 1000).unwrap_or(u32::MAX).min(64 * 1024);
        millisecond.max(if self.pacing < 150_000 { window.mss } else { 2 * window.mss })
    }

    fn gains(&self) -> (u64, u64) {
        match self.state {
            State::Startup => (HIGH_GAIN, HIGH_GAIN),
            State::Drain => (DRAIN_GAIN, HIGH_GAIN),
            State::ProbeBandwidth { phase, .. } => (CYCLE[usize::from(phase) % CYCLE.len()], CRUISE_WINDOW_GAIN),
            State::ProbeRtt { .. } => (UNIT, UNIT),
        }
    }

    /// Something goes: what is to be noted with it.
    pub(super) fn sent(&mut self, now: Instant, in_flight: u32) -> SentState {
        self.idle_restart |= in_flight == 0 && self.rate.is_app_limited();
        self.rate.sent(now, in_flight)
    }

    /// Section 4: BBRUpdateOnACK.
    pub(super) fn delivered(&mut self, window: &mut Window, delivery: &Delivery) {
        if self.initial_window == 0 {
            self.initial_window = window.congestion;
        }
        let sample = self.rate.sample(delivery.minimum_rtt);
        let new_round = sample.is_some_and(|sample| self.update_bandwidth(sample));
        if new_round && sample.is_some_and(|sample| !sample.app_limited) {
            self.check_full_pipe();
        }
        self.update_state(window, delivery);
        self.update_rtprop(window, delivery);
        self.set_pacing(window);
        self.set_window(window, delivery);
    }

    /// A retransmission timeout (section 4.2.3.4): what is lost is not known, so little goes.
    pub(super) fn timed_out(&mut self, window: &mut Window, in_flight: u32) {
        self.saved_window = self.saved_window.max(window.congestion);
        window.congestion = in_flight.saturating_add(window.mss);
        self.recovering = true;
        self.conserving_until = None;
    }

    /// The losses were none.
    pub(super) fn undo(&mut self, window: &mut Window) {
        window.congestion = window.congestion.max(self.saved_window);
    }

    fn update_bandwidth(&mut self, sample: Sample) -> bool {
        // Section 4.1.1.4.
        let new_round = (sample.prior_delivered.wrapping_sub(self.next_round) as i32) >= 0;
        if new_round {
            self.next_round = self.rate.delivered();
            self.round = self.round.wrapping_add(1);
        }
        if sample.rate >= self.best() || !sample.app_limited {
            self.record(sample.rate);
        }
        new_round
    }

    /// A windowed maximum (Kathleen Nichols' filter): the best, second and third best of the window.
    fn record(&mut self, rate: u64) {
        let now = (self.round, rate);
        let window = &mut self.bandwidth;
        if rate >= window[0].1 || self.round.wrapping_sub(window[2].0) > BANDWIDTH_ROUNDS {
            *window = [now; 3];
            return;
        }
        if rate >= window[1].1 {
            window[1] = now;
            window[2] = now;
        } else if rate >= window[2].1 {
            window[2] = now;
        }
        let age = self.round.wrapping_sub(window[0].0);
        if age > BANDWIDTH_ROUNDS {
            *window = [window[1], window[2], now];
            if self.round.wrapping_sub(window[0].0) > BANDWIDTH_ROUNDS {
                *window = [window[1], window[2], now];
            }
        } else if window[1].0 == window[0].0 && age > BANDWIDTH_ROUNDS / 4 {
            window[1] = now;
            window[2] = now;
        } else if window[2].0 == window[1].0 && age > BANDWIDTH_ROUNDS / 2 {
            window[2] = now;
        }
    }

    /// Section 4.3.2.2, once in a round.
    fn check_full_pipe(&mut self) {
        if self.best() >= self.full_bandwidth.saturating_add(self.full_bandwidth / 4) {
            self.full_bandwidth = self.best();
            self.full_count = 0;
            return;
        }
        self.full_count = self.full_count.saturating_add(1);
        self.filled |= self.full_count >= FULL_ROUNDS;
    }

    fn update_state(&mut self, window: &Window, delivery: &Delivery) {
        if self.state == State::Startup && self.filled {
            self.state = State::Drain;
        }
        if self.state == State::Drain && delivery.in_flight <= self.inflight(UNIT, window) {
            self.probe_bandwidth(delivery.now);
        }
        if let State::ProbeBandwidth { phase, since } = self.state {
            let rtprop = self.rtprop.map_or(Duration::ZERO, |(rtprop, _)| rtprop);
            let full = delivery.now.since(since) > rtprop;
            let next = match CYCLE[usize::from(phase) % CYCLE.len()] {
                UNIT => full,
                gain if gain > UNIT => {
                    full && (delivery.lost > 0 || delivery.prior_in_flight >= self.inflight(gain, window))
                }
                _ => full || delivery.prior_in_flight <= self.inflight(UNIT, window),
            };
            if next {
                let phase = (phase + 1) % CYCLE.len() as u8;
                self.state = State::ProbeBandwidth { phase, since: delivery.now };
            }
        }
    }

    /// Section 4.3.3.1. Any phase may be the first but the one that drains; what varies between
    /// flows here is when they come.
    fn probe_bandwidth(&mut self, now: Instant) {
        let offset = (now.as_micros() % (CYCLE.len() as u64 - 1)) as u8;
        let phase = if offset == 0 { 0 } else { offset + 1 };
        self.state = State::ProbeBandwidth { phase, since: now };
    }

    /// Sections 4.1.2.3 and 4.3.4.
    fn update_rtprop(&mut self, window: &mut Window, delivery: &Delivery) {
        let now = delivery.now;
        let expired = self.rtprop.is_some_and(|(_, seen)| now.since(seen) > RTPROP_WINDOW);
        if let Some(rtt) = delivery.rtt
            && (expired || self.rtprop.is_none_or(|(rtprop, _)| rtt <= rtprop))
        {
            self.rtprop = Some((rtt, now));
        }
        self.init_pacing(window);
        // After a pause the pipe is empty: the RTT that was just seen is the path's own.
        if expired && !self.idle_restart && !matches!(self.state, State::ProbeRtt { .. }) {
            self.saved_window = self.saved_window.max(window.congestion);
            self.state = State::ProbeRtt { until: None };
            self.probe_round = None;
        }
        self.idle_restart &= delivery.bytes == 0;
        let State::ProbeRtt { until } = &mut self.state else { return };
        // What is delivered now is what this small window lets through, not what the path could take.
        self.rate.app_limited(delivery.in_flight);
        match *until {
            None if delivery.in_flight <= MIN_WINDOW_SEGMENTS * window.mss => {
                *until = Some(now + PROBE_RTT_TIME);
                self.probe_round = Some(self.round);
                self.next_round = self.rate.delivered();
            }
            Some(end) => {
                let round_over = self.probe_round.is_some_and(|begun| self.round != begun);
                if round_over && now >= end {
                    if let Some((_, seen)) = &mut self.rtprop {
                        *seen = now;
                    }
                    window.congestion = window.congestion.max(self.saved_window);
                    self.saved_window = 0;
                    if self.filled {
                        self.probe_bandwidth(now);
                    } else {
                        self.state = State::Startup;
                    }
                }
            }
            None => {}
        }
    }

    fn set_pacing(&mut self, window: &Window) {
        self.init_pacing(window);
        let rate = u128::from(self.best()) * u128::from(self.gains().0) / u128::from(UNIT);
        let rate = rate * u128::from(100 - MARGIN_PERCENT) / 100;
        let rate = u64::try_from(rate).unwrap_or(u64::MAX);
        if rate > 0 && (self.filled || rate > self.pacing) {
            self.pacing = rate;
        }
    }

    /// Section 4.2.3.
    fn set_window(&mut self, window: &mut Window, delivery: &Delivery) {
        self.modulate_for_recovery(window, delivery);
        let target = self.inflight(self.gains().1, window);
        if self.conserving_until.is_some() {
            window.congestion = window.congestion.max(delivery.in_flight.saturating_add(delivery.bytes));
        } else if self.filled {
            window.congestion = window.congestion.saturating_add(delivery.bytes).min(target);
        } else if window.congestion < target || self.rate.delivered() < self.initial_window {
            window.congestion = window.congestion.saturating_add(delivery.bytes);
        }
        window.congestion = window.congestion.clamp(MIN_WINDOW_SEGMENTS * window.mss, super::MAX_WINDOW);
        if matches!(self.state, State::ProbeRtt { .. }) {
            window.congestion = window.congestion.min(MIN_WINDOW_SEGMENTS * window.mss);
        }
    }

    /// Section 4.2.3.4: for the first round of a recovery what arrives lets as much go.
    fn modulate_for_recovery(&mut self, window: &mut Window, delivery: &Delivery) {
        if delivery.recovering && !self.recovering {
            self.saved_window = self.saved_window.max(window.congestion);
            window.congestion = delivery.in_flight.saturating_add(delivery.bytes.max(window.mss));
            self.conserving_until = Some(self.rate.delivered().wrapping_add(delivery.in_flight));
        } else if !delivery.recovering && self.recovering {
            window.congestion = window.congestion.max(self.saved_window);
            self.saved_window = 0;
            self.conserving_until = None;
        }
        self.recovering = delivery.recovering;
        if self.conserving_until.is_some_and(|end| (self.rate.delivered().wrapping_sub(end) as i32) >= 0) {
            self.conserving_until = None;
        }
        if delivery.lost > 0 {
            let left = window.congestion.saturating_sub(delivery.lost);
            window.congestion = left.max(window.mss);
        }
    }
}
