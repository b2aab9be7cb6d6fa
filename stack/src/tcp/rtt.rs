//! Round-trip time and retransmission timeout (RFC 6298).

use core::time::Duration;

use super::config::TcpConfig;
use crate::time::Instant;

/// How long a minimum stays good (RFC 8985, section 6.2, step 1 wants a windowed one).
const MIN_RTT_WINDOW: Duration = Duration::from_secs(300);

/// The estimator, in nanoseconds; half an hour is more than any RTT.
#[derive(Debug, Clone)]
pub(super) struct Rtt {
    /// SRTT; zero until the first sample.
    smoothed: u64,
    variance: u64,
    minimum: u64,
    minimum_at: Instant,
    /// Doublings of the timeout (RFC 6298, 5.5).
    backoff: u8,
}

impl Rtt {
    pub(super) const fn new() -> Self {
        Rtt { smoothed: 0, variance: 0, minimum: u64::MAX, minimum_at: Instant::ZERO, backoff: 0 }
    }

    /// Takes a sample of a segment that was sent once, or whose timestamp was echoed (Karn).
    pub(super) fn sample(&mut self, now: Instant, rtt: Duration) {
        let rtt = u64::try_from(rtt.as_nanos()).unwrap_or(u64::MAX / 16).clamp(1, u64::MAX / 16);
        if self.smoothed == 0 {
            // RFC 6298, 2.2.
            self.smoothed = rtt;
            self.variance = rtt / 2;
        } else {
            // RFC 6298, 2.3: alpha 1/8, beta 1/4.
            self.variance = self.variance - self.variance / 4 + self.smoothed.abs_diff(rtt) / 4;
            self.smoothed = (self.smoothed - self.smoothed / 8 + rtt / 8).max(1);
        }
        if rtt <= self.minimum || now.since(self.minimum_at) > MIN_RTT_WINDOW {
            self.minimum = rtt;
            self.minimum_at = now;
        }
        self.backoff = 0;
    }

    /// SRTT, once there is a sample.
    pub(super) fn smoothed(&self) -> Option<Duration> {
        (self.smoothed != 0).then(|| Duration::from_nanos(self.smoothed))
    }

    /// RTTVAR.
    pub(super) fn variance(&self) -> Duration {
        Duration::from_nanos(self.variance)
    }

    /// Doublings of the timeout.
    pub(super) fn backoff(&self) -> u8 {
        self.backoff
    }

    /// The smallest RTT of late, once there is a sample.
    pub(super) fn minimum(&self) -> Option<Duration> {
        (self.minimum != u64::MAX).then(|| Duration::from_nanos(self.minimum))
    }

    /// The timeout without its doublings (RFC 6298, 2.1 to 2.4). The minimum stands for four times
    /// the variance, as in Linux, so that a steady long path does not time out at a small delay.
    fn base(&self, config: &TcpConfig) -> Duration {
        if self.smoothed == 0 {
            return config.initial_rto;
        }
        let margin = Duration::from_nanos(4 * self.variance).max(config.min_rto);
        Duration::from_nanos(self.smoothed) + margin
    }

    /// RTO.
    pub(super) fn timeout(&self, config: &TcpConfig) -> Duration {
        let doublings = u32::from(self.backoff.min(16));
        self.base(config).saturating_mul(1 << doublings).min(config.max_rto)
    }

    /// RFC 6298, 5.5.
    pub(super) fn back_off(&mut self) {
        self.backoff = self.backoff.saturating_add(1);
    }

    /// An acknowledgment came: the path works again.
    pub(super) fn reset_backoff(&mut self) {
        self.backoff = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// RFC 6298, 2.1 to 2.5 and 5.5.
    #[test]
    fn timeout_follows_samples_and_backs_off() {
        let config = TcpConfig::default();
        let mut rtt = Rtt::new();
        assert_eq!(rtt.timeout(&config), millis(1000));
        rtt.sample(Instant::ZERO, millis(100));
        // 100 + 4 * 50.
        assert_eq!(rtt.timeout(&config), millis(300));
        rtt.back_off();
        rtt.back_off();
        assert_eq!(rtt.timeout(&config), millis(1200));
        for _ in 0..40 {
            rtt.back_off();
        }
        assert_eq!(rtt.timeout(&config), config.max_rto);
        for step in 0..200 {
            rtt.sample(Instant::from_millis(step), Duration::from_micros(50));
        }
        assert!(rtt.timeout(&config) >= config.min_rto && rtt.timeout(&config) < millis(202));
        assert_eq!(rtt.minimum(), Some(Duration::from_micros(50)));
    }
}
