//! Watching the other images' processes: the host tells at once when one dies, long before
//! heartbeats are missed.

use std::io;
use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdFlags, pidfd_open};

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

#[cfg(test)]
mod tests {
    use super::*;

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
