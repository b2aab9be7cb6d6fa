//! Talking to a lab that runs.

use std::io;

use anyhow::{Context, Result, anyhow, bail};

use crate::control::{self, Reply, Request, Status};
use crate::state::StateDir;
use crate::supervisor;

pub(crate) fn not_running(name: &str) -> anyhow::Error {
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
    match control::ask(&dir.socket(), &request).await {
        Ok(Reply::Error(why)) => bail!("{why}"),
        Ok(reply) => Ok(reply),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            Err(not_running(name))
        }
        Err(error) => Err(error).context("the lab's answer cannot be read"),
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
