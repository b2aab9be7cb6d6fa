//! Who else runs in a network namespace: what `exec` and `shell` became, and all that these have started.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, getpid, pidfd_open, pidfd_send_signal};

use crate::wait;

/// How long a process may take to end in order.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long one that is killed may take, most of all one that the kernel keeps in a call.
const KILL_WAIT: Duration = Duration::from_secs(2);

/// Ends every process in the network namespace of this one, but this one and `spared`: gently first. Must not be
/// called outside of a namespace that is the lab's own.
pub(super) fn end(spared: Option<i32>) {
    // A shell that somebody types into minds the end of its terminal alone, and who is stopped minds nothing.
    for (signals, patience) in
        [(&[Signal::TERM, Signal::HUP, Signal::CONT][..], PATIENCE), (&[Signal::KILL][..], KILL_WAIT)]
    {
        let mut told: Vec<Pid> = Vec::new();
        let ended = wait::until(patience, || {
            let found = inhabitants(spared);
            let ended = found.is_empty();
            for (pid, process) in found {
                // Those that have come meanwhile are told too.
                if !told.contains(&pid) {
                    told.push(pid);
                    for signal in signals {
                        // It may have ended by itself.
                        let _ = pidfd_send_signal(&process, *signal);
                    }
                }
            }
            ended
        });
        if ended {
            return;
        }
    }
}

/// Each with a descriptor of it, which stands for no later process of the same number.
fn inhabitants(spared: Option<i32>) -> Vec<(Pid, OwnedFd)> {
    let namespace = |pid: Pid| fs::read_link(PathBuf::from(format!("/proc/{pid}/ns/net"))).ok();
    let Some(own) = namespace(getpid()) else { return Vec::new() };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter_map(Pid::from_raw);
    pids.filter(|pid| *pid != getpid() && Some(pid.as_raw_nonzero().get()) != spared)
        // The descriptor comes first: what is then seen of the process is of it, or it has ended.
        .filter_map(|pid| Some((pid, pidfd_open(pid, PidfdFlags::empty()).ok()?)))
        .filter(|(pid, _)| namespace(*pid).is_some_and(|other| other == own))
        .collect()
}
