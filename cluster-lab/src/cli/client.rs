//! Talking to a lab that runs.

use std::io;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use crate::control::{self, Reply, Request, Status};
use crate::state::StateDir;
use crate::supervisor;

/// How long a lab may take from its folder to its socket.
const STARTING: Duration = Duration::from_secs(5);
/// Between two looks for it.
const LOOK: Duration = Duration::from_millis(20);

/// That the lab does not run, and what to do.
pub(crate) fn not_running(name: &str) -> anyhow::Error {
    if StateDir::of(name).is_ok_and(|dir| dir.exists() && !dir.runs()) {
        let option = crate::name_option(name);
        return anyhow!(
            "the lab called '{name}' has crashed: 'cluster-lab down{option}' removes what it left behind, \
             'cluster-lab up{option}' starts it again"
        );
    }
    let running: Vec<String> =
        StateDir::names().into_iter().filter(|name| StateDir::of(name).is_ok_and(|dir| dir.runs())).collect();
    let hint = match running.as_slice() {
        [] => "start one with 'cluster-lab up'".to_owned(),
        names => format!("running are: {} (choose with --name)", names.join(", ")),
    };
    anyhow!("no lab called '{name}' is running; {hint}")
}

/// Sends one request; an error that the lab answers is an error here.
pub(crate) async fn ask(name: &str, request: Request) -> Result<Reply> {
    let dir = StateDir::of(name)?;
    let began = Instant::now();
    loop {
        return match control::ask(&dir.socket(), &request).await {
            Ok(Reply::Error(why)) => bail!("{why}"),
            Ok(reply) => Ok(reply),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                // A lab listens a moment after its folder is there.
                if dir.runs() && began.elapsed() < STARTING {
                    tokio::time::sleep(LOOK).await;
                    continue;
                }
                Err(not_running(name))
            }
            Err(error) => Err(error).context("the lab's answer cannot be read"),
        };
    }
}

pub(super) async fn done(name: &str, request: Request) -> Result<()> {
    match ask(name, request).await? {
        Reply::Done => Ok(()),
        other => unexpected(&other),
    }
}

pub(super) async fn status(name: &str) -> Result<Status> {
    match ask(name, Request::Status).await? {
        Reply::Status(status) => Ok(status),
        other => unexpected(&other),
    }
}

/// Takes the lab down, or cleans up after it.
pub(crate) async fn down(name: &str) -> Result<()> {
    let dir = StateDir::of(name)?;
    if dir.runs() {
        return done(name, Request::Down).await;
    }
    if !dir.exists() {
        return Err(not_running(name));
    }
    supervisor::clean_up(&dir).await
}

pub(super) fn unexpected<T>(reply: &Reply) -> Result<T> {
    bail!("the lab answered something else: {reply:?}; is it of another version?")
}
