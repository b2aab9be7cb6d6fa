//! Signals that ask a command to end. It ends in order, so that nothing of it stays behind.

use std::io;

use anyhow::{Result, anyhow};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What the kernel knows of this process; the line that it reads tells which signals are ignored.
const STATUS: &str = "/proc/self/status";

/// Ctrl-C, `kill`, and the end of the terminal, none of which end the process by themselves any more.
#[derive(Debug)]
pub(crate) struct Interruption {
    interrupt: Signal,
    terminate: Signal,
    /// None under `nohup`, whose purpose it is.
    hangup: Option<Signal>,
}

impl Interruption {
    /// From now on they are waited for.
    ///
    /// # Errors
    /// Outside of a runtime with I/O.
    pub fn watch() -> io::Result<Interruption> {
        // Asked before anything is changed.
        let hangup = !std::fs::read_to_string(STATUS).is_ok_and(|status| ignores_hangup(&status));
        Ok(Interruption {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: hangup.then(|| signal(SignalKind::hangup())).transpose()?,
        })
    }

    /// The end of the terminal is no reason to end from now on.
    pub fn ignore_hangup(&mut self) {
        // What was waited for once does not end the process any more.
        self.hangup = None;
    }

    /// Waits until one comes, or has come since the last time; what that was.
    pub async fn comes(&mut self) -> &'static str {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => "interrupted",
            _ = self.terminate.recv() => "terminated",
            _ = hangup => "the terminal has gone",
        }
    }

    /// Does `work`, or breaks it off.
    ///
    /// # Errors
    /// Those of the work; and what broke it off.
    pub async fn ends<T>(&mut self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            what = self.comes() => Err(anyhow!(what)),
            done = work => done,
        }
    }
}

/// Whether SIGHUP, the first bit of the mask, is ignored.
fn ignores_hangup(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Signal, getpid, kill_process};

    #[tokio::test]
    async fn a_signal_breaks_work_off() {
        let mut interruption = Interruption::watch().unwrap();
        assert_eq!(interruption.ends(async { Ok(3) }).await.unwrap(), 3);
        kill_process(getpid(), Signal::TERM).unwrap();
        let broken = interruption.ends(std::future::pending::<Result<()>>()).await;
        assert_eq!(broken.unwrap_err().to_string(), "terminated");
    }

    #[test]
    fn nohup_is_noticed() {
        assert!(ignores_hangup("SigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\n"));
        assert!(!ignores_hangup("SigIgn:\t0000000000001000\n"));
        assert!(!ignores_hangup(""));
    }
}
