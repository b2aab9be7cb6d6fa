//! Watching the other images' processes: the host tells at once when one dies, long before
//! heartbeats are missed, and whether one that is silent waits for a processor.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use stack::Instant;

/// Returns when the process has ended, however that came about.
///
/// # Errors
/// The process cannot be watched: it is of another host or namespace, or is gone already. Its
/// heartbeats still tell.
pub(super) async fn process_end(process: u32) -> io::Result<()> {
    let pid = i32::try_from(process).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
    let pidfd: OwnedFd = pidfd_open(pid, PidfdFlags::NONBLOCK)?;
    // A pidfd becomes readable when its process ends.
    crate::sys::watch(pidfd)?.readable().await.map(drop)
}

/// Which peers' processes want a processor and get none: their silence is not their own.
#[derive(Debug, Default)]
pub(super) struct Starvation {
    /// What each had got when it was last looked at.
    seen: HashMap<IpAddr, (Instant, Allotment)>,
}

impl Starvation {
    /// Older looks say nothing about a process now.
    const RECENT: Duration = Duration::from_secs(1);

    /// Whether the peer's process wants to run now, and has got less than a quarter of a processor
    /// since the last look.
    pub(super) fn afflicts(&mut self, now: Instant, xcf: IpAddr, process: u32) -> bool {
        // An image of this process runs whenever this one does.
        if process == std::process::id() {
            return false;
        }
        let Some(allotment) = Allotment::of(process) else { return false };
        let before = self.seen.insert(xcf, (now, allotment));
        let Some((then, before)) = before.filter(|(then, _)| now.since(*then) < Self::RECENT) else { return false };
        allotment.waits && allotment.time.saturating_sub(before.time) * 4 < now.since(then)
    }

    /// The peer's life is over.
    pub(super) fn forget(&mut self, xcf: IpAddr) {
        self.seen.remove(&xcf);
    }
}

/// What the host has given a process so far.
#[derive(Clone, Copy, Debug)]
struct Allotment {
    /// It runs, waits for a processor, or for a disk.
    waits: bool,
    /// On a processor.
    time: Duration,
}

impl Allotment {
    /// `None` if the host does not say: the process is of another namespace, or gone.
    fn of(process: u32) -> Option<Allotment> {
        /// Of Linux's USER_HZ, the same everywhere for programs.
        const TICK: Duration = Duration::from_millis(10);
        let stat = crate::state::stat(process).ok()?;
        // utime and stime are fields 14 and 15.
        let mut fields = stat.split_ascii_whitespace();
        let state = fields.next()?;
        let mut ticks = fields.skip(10).map_while(|field| field.parse::<u32>().ok());
        let time = TICK * ticks.next()?.saturating_add(ticks.next()?);
        Some(Allotment { waits: matches!(state, "R" | "D"), time })
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::Signal;

    use super::*;

    const XCF: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    /// Of eight busy processes on one processor none gets what it wants; one that sleeps or is paused wants
    /// nothing.
    #[test]
    fn who_gets_no_processor_starves() {
        let spin = |processor: &str| {
            let mut command = std::process::Command::new("taskset");
            command.args(["-c", processor, "sh", "-c", "while :; do :; done"]).spawn().unwrap()
        };
        let mut children: Vec<_> = (0..8).map(|_| spin("0")).collect();
        let looks = |process: u32| {
            let mut starvation = Starvation::default();
            let began = std::time::Instant::now();
            let mut look = || {
                std::thread::sleep(Duration::from_millis(200));
                let now = Instant::from_nanos(u64::try_from(began.elapsed().as_nanos()).unwrap());
                starvation.afflicts(now, XCF, process)
            };
            (0..5).filter(|_| look()).count()
        };
        let crowded = looks(children[0].id());
        let pid = Pid::from_child(&children[1]);
        rustix::process::kill_process(pid, Signal::STOP).unwrap();
        let paused = looks(children[1].id());
        let mut sleeper = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let asleep = looks(sleeper.id());
        for child in children.iter_mut().chain([&mut sleeper]) {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        // The first look has nothing to compare with.
        assert_eq!((crowded, paused, asleep), (4, 0, 0));
        assert!(!Starvation::default().afflicts(Instant::ZERO, XCF, children[0].id()), "one that is gone");
    }

    #[tokio::test]
    async fn the_end_of_a_process_is_noticed() {
        let mut child = tokio::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = child.id().unwrap();
        let watched = tokio::spawn(process_end(pid));
        child.start_kill().unwrap();
        watched.await.unwrap().unwrap();
        child.wait().await.unwrap();
        assert!(process_end(pid).await.is_err(), "a process that is gone cannot be watched");
    }
}
