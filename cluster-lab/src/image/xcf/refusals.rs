//! Datagrams that are dropped before the cluster's protocol sees them: counted by cause, and told.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// After so long without one of a cause, the next is told again.
const QUIET: Duration = Duration::from_secs(60);

/// Why a datagram is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// No sealed datagram at all: its length, magic, version or marks are wrong.
    Malformed,
    /// Not sealed with the cluster's key, for this receiver, by the sender that it names.
    Forged,
    /// It has come before, or is older than the window can tell.
    Replayed,
    /// Of a former life of its sender.
    Stale,
    /// For a former life of this stack: what a peer sends until it hears of this one.
    Misaddressed,
    /// Data for no life of this stack in particular: it may be of any age.
    Unaddressed,
}

impl Cause {
    /// All of them.
    pub const ALL: [Cause; 6] =
        [Cause::Malformed, Cause::Forged, Cause::Replayed, Cause::Stale, Cause::Misaddressed, Cause::Unaddressed];

    /// Its name in statistics.
    pub fn name(self) -> &'static str {
        match self {
            Cause::Malformed => "malformed",
            Cause::Forged => "forged",
            Cause::Replayed => "replayed",
            Cause::Stale => "stale",
            Cause::Misaddressed => "misaddressed",
            Cause::Unaddressed => "unaddressed",
        }
    }

    /// What to say of such a datagram; `None` for what every restart brings about.
    fn words(self) -> Option<&'static str> {
        Some(match self {
            Cause::Malformed => "is none of XCF",
            Cause::Forged => "was not sealed with the cluster's key",
            Cause::Replayed => "had come before",
            Cause::Stale => "names a former life of its sender",
            Cause::Unaddressed => "carried data for no life of this stack",
            Cause::Misaddressed => return None,
        })
    }
}

/// How many datagrams were dropped, by cause; read by reports.
#[derive(Debug, Default)]
pub struct Refusals([AtomicU64; Cause::ALL.len()]);

impl Refusals {
    /// How many of this cause.
    pub fn of(&self, cause: Cause) -> u64 {
        self.0[cause as usize].load(Ordering::Relaxed)
    }

    pub(super) fn count(&self, cause: Cause) {
        self.0[cause as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// Says the first of a kind after a quiet time, and keeps still while it goes on.
#[derive(Debug, Default)]
pub(super) struct Alarm(Option<Instant>);

impl Alarm {
    pub fn is_due(&mut self, now: Instant) -> bool {
        let last = self.0.replace(now);
        last.is_none_or(|last| now.saturating_duration_since(last) >= QUIET)
    }
}

/// An alarm for each cause.
#[derive(Debug, Default)]
pub(super) struct Alarms([Alarm; Cause::ALL.len()]);

impl Alarms {
    /// The line that this refusal gives for the event log, if it gives one.
    pub fn line(&mut self, now: Instant, cause: Cause, from: SocketAddr) -> Option<String> {
        let words = cause.words().filter(|_| self.0[cause as usize].is_due(now))?;
        Some(format!("XCF: a datagram from {from} {words}; dropped"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_after_a_quiet_minute_is_told() {
        let (mut alarms, start) = (Alarms::default(), Instant::now());
        let from = "127.0.0.1:5555".parse().unwrap();
        let mut line = |seconds, cause| alarms.line(start + Duration::from_secs(seconds), cause, from);
        let forged = "XCF: a datagram from 127.0.0.1:5555 was not sealed with the cluster's key; dropped";
        assert_eq!(line(0, Cause::Forged).as_deref(), Some(forged));
        assert_eq!(line(30, Cause::Forged), None);
        assert!(line(30, Cause::Replayed).is_some());
        // As long as it goes on there is nothing new to say.
        assert_eq!(line(80, Cause::Forged), None);
        assert_eq!(line(140, Cause::Forged).as_deref(), Some(forged));
        assert_eq!(line(500, Cause::Misaddressed), None);
    }
}
