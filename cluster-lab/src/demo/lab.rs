//! A lab for a demo or a benchmark, and clients in its network.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::process::Command;
use tokio::task::JoinHandle;

use crate::control::{Answer, DvipaStatus, Question, Reply, Request, Status};
use crate::interruption::Interruption;
use crate::netstat::{Report, ReportKind};
use crate::profile::Cluster;
use crate::supervisor::{self, Handle, Options};

/// A cluster gets there far sooner, or not at all.
const PATIENCE: Duration = Duration::from_secs(15);

/// Fails unless these clients are there; their packages have the same names.
pub(crate) async fn needs(programs: &[&str]) -> Result<()> {
    for program in programs {
        let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().await;
        ensure!(found.is_ok(), "this needs {program}: install it with 'apt-get install {program}'");
    }
    Ok(())
}

/// A lab that this process runs.
#[derive(Debug)]
pub(crate) struct Lab {
    name: String,
    handle: Handle,
    running: JoinHandle<Result<()>>,
}

impl Lab {
    /// Brings the cluster up, has `work` done with it, and takes it down however that ends.
    pub async fn with<T>(name: &str, cluster: Cluster, work: impl AsyncFnOnce(&Lab) -> Result<T>) -> Result<T> {
        let mut interruption = Interruption::watch()?;
        let lab = Lab::up(name, cluster, false).await?;
        let done = interruption.ends(work(&lab)).await;
        lab.down().await?;
        done
    }

    /// Brings the cluster up, in one process if `in_process`. It stays up until [`down`](Lab::down).
    pub async fn up(name: &str, cluster: Cluster, in_process: bool) -> Result<Lab> {
        let options = Options { name: name.to_owned(), host: false, in_process };
        let (running, handle) = supervisor::start(cluster, options).await?;
        Ok(Lab { name: name.to_owned(), handle, running: tokio::spawn(polled(running)) })
    }

    /// Takes the cluster down, whole.
    pub async fn down(self) -> Result<()> {
        self.handle.take_down();
        self.running.await?
    }

    pub async fn status(&self) -> Result<Status> {
        match self.handle.request(Request::Status).await? {
            Reply::Status(status) => Ok(status),
            other => bail!("no status but {other:?}"),
        }
    }

    pub async fn dvipa(&self, name: &str) -> Result<DvipaStatus> {
        let dvipas = self.status().await?.dvipas;
        dvipas.into_iter().find(|dvipa| dvipa.name == name).with_context(|| format!("{name} is not known"))
    }

    pub async fn order(&self, request: Request) -> Result<()> {
        match self.handle.request(request.clone()).await? {
            Reply::Done | Reply::Answer(Answer::Done) => Ok(()),
            Reply::Error(why) => bail!("{request:?}: {why}"),
            other => bail!("{request:?}: not done but {other:?}"),
        }
    }

    pub async fn ask(&self, image: &str, question: Question) -> Result<Answer> {
        match self.handle.request(Request::Ask { image: image.into(), question }).await? {
            Reply::Answer(answer) => Ok(answer),
            other => bail!("{image} does not answer: {other:?}"),
        }
    }

    pub async fn netstat(&self, image: &str, kind: ReportKind) -> Result<Report> {
        match self.ask(image, Question::Netstat(kind.into())).await? {
            Answer::Netstat(report) => Ok(report),
            other => bail!("{image}: no report but {other:?}"),
        }
    }

    /// The last lines of the event log.
    pub async fn log(&self, lines: usize) -> Vec<String> {
        match self.handle.request(Request::Log).await {
            Ok(Reply::Log(log, _)) => {
                log.iter().skip(log.len().saturating_sub(lines)).map(ToString::to_string).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Waits until `holds` says that the cluster is `what`, or else why not.
    pub async fn wait(&self, what: &str, mut holds: impl AsyncFnMut() -> Result<Result<(), String>>) -> Result<()> {
        let began = Instant::now();
        loop {
            let Err(why) = holds().await? else { return Ok(()) };
            ensure!(began.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}; {why}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// A program on the client side of the lab's network.
    pub fn client(&self, program: &str, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["exec", "--name", &self.name, "--", program]).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        Ok(command)
    }
}

/// The supervisor's work, as a task.
async fn polled(work: impl Future<Output = Result<()>>) -> Result<()> {
    work.await
}
