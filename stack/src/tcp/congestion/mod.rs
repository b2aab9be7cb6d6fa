//! Congestion control: how much may be in flight (RFC 5681).

mod bbr;
mod cubic;
mod hystart;
mod newreno;
#[cfg(test)]
mod tests;

use core::time::Duration;

use super::config::CongestionControl;
use super::rate::SentState;
use crate::seq::SeqNum;
use crate::time::Instant;

pub(super) use bbr::Delivery;

/// No window grows beyond this; more than any send buffer.
const MAX_WINDOW: u32 = 1 << 30;

/// What an acknowledgment says to congestion control.
#[derive(Clone, Copy, Debug)]
pub(super) struct Acked {
    pub(super) now: Instant,
    /// Bytes newly delivered.
    pub(super) bytes: u32,
    /// SND.UNA after it.
    pub(super) una: SeqNum,
    /// SND.NXT.
    pub(super) nxt: SeqNum,
    /// RTT of the newest segment that it acknowledges.
    pub(super) rtt: Option<Duration>,
    /// SRTT.
    pub(super) smoothed_rtt: Duration,
}

/// How a window grows and shrinks.
trait Algorithm {
    /// Data was acknowledged outside of recovery, while the window was what held sending back.
    fn acked(&mut self, window: &mut Window, acked: &Acked);
    /// A loss was detected; sets the slow start threshold.
    fn congestion_event(&mut self, window: &mut Window, now: Instant, in_flight: u32);
    /// Nothing was sent for long; the window starts over.
    fn restarted(&mut self) {}
    /// A loss turned out to be none; the window has been put back.
    fn undo(&mut self);
}

/// The two windows, in bytes, and the size of a full segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) congestion: u32,
    pub(super) threshold: u32,
    pub(super) mss: u32,
}

impl Window {
    fn in_slow_start(&self) -> bool {
        self.congestion < self.threshold
    }

    fn grow(&mut self, bytes: u32) {
        self.congestion = self.congestion.saturating_add(bytes).min(MAX_WINDOW);
    }

    /// Slow start up to the threshold (RFC 5681, 3.1, with L = no limit: RFC 9406, 4.2, for stacks
    /// whose acknowledgments cover super-segments). Returns bytes left for congestion avoidance.
    fn slow_start(&mut self, bytes: u32) -> u32 {
        if !self.in_slow_start() {
            return bytes;
        }
        let used = bytes.min(self.threshold - self.congestion);
        self.grow(used);
        bytes - used
    }
}

#[derive(Debug)]
enum Kind {
    Cubic(cubic::Cubic),
    NewReno(newreno::NewReno),
    /// Few connections have it, and it is large.
    Bbr(Box<bbr::Bbr>),
}

/// Congestion control of one connection.
#[derive(Debug)]
pub(super) struct Congestion {
    window: Window,
    kind: Kind,
    initial_segments: u32,
}

impl Congestion {
    pub(super) fn new(which: CongestionControl, mss: u32, initial_segments: u32) -> Self {
        let mut congestion = Congestion {
            window: Window { congestion: 0, threshold: u32::MAX, mss },
            kind: match which {
                CongestionControl::Cubic => Kind::Cubic(cubic::Cubic::default()),
                CongestionControl::NewReno => Kind::NewReno(newreno::NewReno::default()),
                CongestionControl::Bbr => Kind::Bbr(Box::new(bbr::Bbr::new())),
            },
            initial_segments,
        };
        congestion.window.congestion = congestion.initial();
        congestion
    }

    /// What counts losses; a model of the path does not.
    fn algorithm(&mut self) -> Option<(&mut dyn Algorithm, &mut Window)> {
        let algorithm: &mut dyn Algorithm = match &mut self.kind {
            Kind::Cubic(cubic) => cubic,
            Kind::NewReno(newreno) => newreno,
            Kind::Bbr(_) => return None,
        };
        Some((algorithm, &mut self.window))
    }

    /// Whether the window follows a model of the path, by [`model`](Congestion::model), and not
    /// losses.
    pub(super) fn models_path(&self) -> bool {
        matches!(self.kind, Kind::Bbr(_))
    }

    /// Bytes per second at which to send; `None`: as the window allows.
    pub(super) fn pacing_rate(&self) -> Option<u64> {
        match &self.kind {
            Kind::Bbr(bbr) => bbr.pacing_rate(),
            Kind::Cubic(_) | Kind::NewReno(_) => None,
        }
    }

    /// Something goes while `in_flight` bytes are out: what is to be noted with it.
    pub(super) fn sent(&mut self, now: Instant, in_flight: u32) -> SentState {
        match &mut self.kind {
            Kind::Bbr(bbr) => bbr.sent(now, in_flight),
            Kind::Cubic(_) | Kind::NewReno(_) => SentState::default(),
        }
    }

    /// Something arrived that had been sent at `sent_at`, with `state` noted.
    pub(super) fn arrived(&mut self, now: Instant, bytes: u32, state: SentState, sent_at: Instant) {
        if let Kind::Bbr(bbr) = &mut self.kind {
            bbr.rate.arrived(now, bytes, state, sent_at);
        }
    }

    /// The application has nothing to send.
    pub(super) fn app_limited(&mut self, in_flight: u32) {
        if let Kind::Bbr(bbr) = &mut self.kind
            && in_flight < self.window.congestion
        {
            bbr.rate.app_limited(in_flight);
        }
    }

    /// An acknowledgment has been dealt with, in whatever phase.
    pub(super) fn model(&mut self, delivery: &Delivery) {
        if let Kind::Bbr(bbr) = &mut self.kind {
            bbr.delivered(&mut self.window, delivery);
        }
    }

    /// RFC 6928.
    fn initial(&self) -> u32 {
        self.window.mss.saturating_mul(self.initial_segments)
    }

    pub(super) fn window(&self) -> u32 {
        self.window.congestion
    }

    pub(super) fn threshold(&self) -> u32 {
        self.window.threshold
    }

    pub(super) fn in_slow_start(&self) -> bool {
        self.window.in_slow_start()
    }

    /// The size of a full segment is known, or has changed. Before anything was sent the initial
    /// window follows.
    pub(super) fn set_mss(&mut self, mss: u32, nothing_sent: bool) {
        self.window.mss = mss.max(1);
        // A window of less than one segment would let nothing go, for ever.
        self.window.congestion = if nothing_sent { self.initial() } else { self.window.congestion.max(mss) };
    }

    /// RFC 5681, 3.1: after a lost SYN the initial window is one segment.
    pub(super) fn syn_was_lost(&mut self) {
        self.initial_segments = 1;
        self.window.congestion = self.initial();
    }

    pub(super) fn acked(&mut self, acked: &Acked) {
        if let Some((algorithm, window)) = self.algorithm() {
            algorithm.acked(window, acked);
        }
    }

    /// A loss was detected: the threshold comes down. The window follows by the rules of the
    /// recovery that begins.
    pub(super) fn congestion_event(&mut self, now: Instant, in_flight: u32) {
        if let Some((algorithm, window)) = self.algorithm() {
            algorithm.congestion_event(window, now, in_flight);
        }
    }

    /// What recovery allows; a model of the path has its own view of that.
    pub(super) fn set_window(&mut self, bytes: u32) {
        if self.models_path() {
            return;
        }
        self.window.congestion = bytes.clamp(self.window.mss, MAX_WINDOW);
    }

    /// A retransmission timeout: one segment may go now; what still counts as in flight must not
    /// keep it back.
    pub(super) fn timed_out(&mut self, in_flight: u32) {
        match &mut self.kind {
            Kind::Bbr(bbr) => bbr.timed_out(&mut self.window, in_flight),
            Kind::Cubic(_) | Kind::NewReno(_) => self.set_window(in_flight.saturating_add(self.window.mss)),
        }
    }

    /// RFC 5681, 4.1: after a pause longer than RTO the window starts over.
    pub(super) fn restart_after_idle(&mut self) {
        if self.models_path() {
            // It is paced by what the path had.
            return;
        }
        let restart = self.initial().min(self.window.congestion);
        self.window.threshold = self.window.threshold.max(self.window.congestion / 4 * 3);
        self.window.congestion = restart;
        if let Some((algorithm, _)) = self.algorithm() {
            algorithm.restarted();
        }
    }

    /// The windows, to be given to [`undo`](Congestion::undo).
    pub(super) fn snapshot(&self) -> (u32, u32) {
        (self.window.congestion, self.window.threshold)
    }

    /// The congestion event since the snapshot was none (RFC 4015).
    pub(super) fn undo(&mut self, (congestion, threshold): (u32, u32)) {
        if let Kind::Bbr(bbr) = &mut self.kind {
            return bbr.undo(&mut self.window);
        }
        self.window.congestion = self.window.congestion.max(congestion);
        self.window.threshold = threshold;
        if let Some((algorithm, _)) = self.algorithm() {
            algorithm.undo();
        }
    }
}
