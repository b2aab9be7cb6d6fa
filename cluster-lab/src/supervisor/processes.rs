//! The processes that images live in.

use std::io;
use std::process::Stdio;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::UnixStream;
use tokio::process::Command;
use tokio::sync::{mpsc, oneshot};

use super::Input;
use crate::control::{self, FromImage, ToImage};

/// A process that hosts one image, or all of them.
#[derive(Debug)]
pub(super) struct Host {
    pid: Option<Pid>,
    say: mpsc::UnboundedSender<ToImage>,
    gone: oneshot::Receiver<()>,
}

impl Host {
    /// Starts one in `namespace`: the holder's process, and whether there is a user namespace.
    pub fn spawn(index: usize, namespace: Option<(u32, bool)>, inputs: mpsc::UnboundedSender<Input>) -> Result<Host> {
        let (own, other) = std::os::unix::net::UnixStream::pair()?;
        own.set_nonblocking(true)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("image").arg("--parent").arg(std::process::id().to_string());
        if let Some((holder, user)) = namespace {
            command.arg("--holder").arg(holder.to_string());
            if user {
                command.arg("--user");
            }
        }
        // Ctrl-C is for the lab, which ends its images itself.
        command.process_group(0);
        // The control channel is its standard input.
        command.stdin(Stdio::from(std::os::fd::OwnedFd::from(other))).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().context("an image's process cannot be started")?;
        // What it complains of, a panic perhaps, belongs into the event log.
        if let Some(stderr) = child.stderr.take() {
            let inputs = inputs.clone();
            tokio::spawn(async move {
                let mut lines = BufReader::new(stderr).lines();
                while let Ok(Some(line)) = lines.next_line().await {
                    let _ = inputs.send(Input::Complained { host: index, line });
                }
            });
        }
        let pid = crate::pid_of(&child);
        let (reader, mut writer) = UnixStream::from_std(own)?.into_split();
        let (say, mut words) = mpsc::unbounded_channel::<ToImage>();
        tokio::spawn(async move {
            while let Some(word) = words.recv().await {
                if control::write(&mut writer, &word).await.is_err() {
                    break;
                }
            }
        });
        let (end, gone) = oneshot::channel();
        tokio::spawn(async move {
            let mut reader = BufReader::new(reader);
            while let Ok(Some(message)) = control::read::<FromImage>(&mut reader).await {
                drop(inputs.send(Input::Said { host: index, message }));
            }
            let how = match child.wait().await {
                Ok(status) => describe(status),
                Err(error) => format!("ended: {error}"),
            };
            drop(inputs.send(Input::Ended { host: index, how }));
            // Nobody may be waiting for it.
            let _ = end.send(());
        });
        Ok(Host { pid, say, gone })
    }

    pub fn pid(&self) -> Option<u32> {
        self.pid.and_then(|pid| u32::try_from(pid.as_raw_nonzero().get()).ok())
    }

    /// Tells it something; if it is gone, its end is on the way here.
    pub fn say(&mut self, word: ToImage) {
        drop(self.say.send(word));
    }

    pub fn signal(&self, signal: i32) -> io::Result<()> {
        let signal = Signal::from_named_raw(signal).ok_or(io::ErrorKind::InvalidInput)?;
        let pid = self.pid.ok_or(io::ErrorKind::NotFound)?;
        Ok(kill_process(pid, signal)?)
    }

    pub fn kill(&mut self) {
        // It may have ended by itself.
        drop(self.signal(Signal::KILL.as_raw()));
    }

    /// Returns once the process has ended.
    pub async fn gone(self) {
        drop(self.gone.await);
    }
}

fn describe(status: std::process::ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.signal(), status.code()) {
        (Some(9), _) => "killed".into(),
        (Some(signal), _) => format!("ended by signal {signal}"),
        (None, Some(code)) => format!("ended with exit code {code}"),
        (None, None) => "ended".into(),
    }
}
