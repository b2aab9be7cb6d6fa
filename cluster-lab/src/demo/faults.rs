//! The faults of the survival matrix: each strikes MVS1, which routes DVA, and is undone again.

use std::time::Duration;

use anyhow::{Result, ensure};
use rustix::process::Signal;
use serde::Serialize;

use super::lab::Lab;
use crate::control::{ImageState, Question, Request, Status};
use crate::netstat::{Report, ReportKind};

pub(super) const DVIPA: &str = "DVA";
const ROUTER: &str = "MVS1";
const BACKUP: &str = "MVS5";
/// Who serves DVA at first.
const POOL: [&str; 3] = ["MVS2", "MVS3", BACKUP];
/// Who serves it when [`LEAVES`] has left and [`JOINS`] has joined.
const CHANGED: [&str; 3] = ["MVS3", JOINS, BACKUP];
const LEAVES: &str = "MVS2";
const JOINS: &str = "MVS4";
const APPLICATION: &str = "ECHO";
/// Longer than it takes to see that a stack is silent.
const LONG: Duration = Duration::from_secs(2);

/// What happens to the router.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Fault {
    /// F9: it is killed.
    Crash,
    /// It leaves in order.
    OrderlyStop,
    /// R11: it is paused for longer than detection takes, wakes, and takes back.
    PauseAndResume,
    /// R12: it is cut from all others, which is healed.
    Partition,
    /// F10: it is killed, starts again, and takes back; connections are opened meanwhile, too.
    RebootedPrimary,
    /// R7: it is killed while one target stops listening and another image starts to.
    CrashWhilePoolChanges,
}

impl Fault {
    pub const ALL: [Fault; 6] = [
        Fault::Crash,
        Fault::OrderlyStop,
        Fault::PauseAndResume,
        Fault::Partition,
        Fault::RebootedPrimary,
        Fault::CrashWhilePoolChanges,
    ];

    pub fn title(self) -> &'static str {
        match self {
            Fault::Crash => "crash",
            Fault::OrderlyStop => "orderly stop",
            Fault::PauseAndResume => "pause and resume",
            Fault::Partition => "partition",
            Fault::RebootedPrimary => "rebooted primary takes back",
            Fault::CrashWhilePoolChanges => "crash while the pool changes",
        }
    }

    /// Has it happen, and waits until the cluster has settled. At the moment when a backup routes,
    /// `meanwhile` is done.
    pub async fn strike(self, lab: &Lab, meanwhile: impl AsyncFnOnce() -> Result<()>) -> Result<()> {
        match self {
            Fault::Crash => {
                lab.order(kill(Signal::KILL)).await?;
                routed_by(lab, BACKUP, &POOL).await?;
                meanwhile().await
            }
            Fault::OrderlyStop => {
                lab.order(Request::Stop { image: ROUTER.into() }).await?;
                routed_by(lab, BACKUP, &POOL).await?;
                meanwhile().await
            }
            Fault::PauseAndResume => {
                lab.order(kill(Signal::STOP)).await?;
                tokio::time::sleep(LONG).await;
                routed_by(lab, BACKUP, &POOL).await?;
                meanwhile().await?;
                lab.order(kill(Signal::CONT)).await?;
                settled(lab).await
            }
            Fault::Partition => {
                for image in ["MVS2", "MVS3", "MVS4", "MVS5"] {
                    lab.order(Request::Cut { between: (ROUTER.into(), image.into()), one_way: false }).await?;
                }
                tokio::time::sleep(LONG).await;
                routed_by(lab, BACKUP, &POOL).await?;
                meanwhile().await?;
                lab.order(Request::Heal { between: None, one_way: false }).await?;
                settled(lab).await
            }
            Fault::RebootedPrimary => {
                lab.order(kill(Signal::KILL)).await?;
                routed_by(lab, BACKUP, &POOL).await?;
                meanwhile().await?;
                restart(lab).await?;
                settled(lab).await
            }
            Fault::CrashWhilePoolChanges => {
                let change = |image: &str, question| lab.order(Request::Ask { image: image.into(), question });
                let (killed, left, joined) = tokio::join!(
                    lab.order(kill(Signal::KILL)),
                    change(LEAVES, Question::StopApp(APPLICATION.into())),
                    change(JOINS, Question::StartApp(APPLICATION.into())),
                );
                killed.and(left).and(joined)?;
                routed_by(lab, BACKUP, &CHANGED).await?;
                meanwhile().await
            }
        }
    }

    /// Brings the lab back to its first state.
    pub async fn undo(self, lab: &Lab) -> Result<()> {
        match self {
            Fault::PauseAndResume | Fault::Partition | Fault::RebootedPrimary => {}
            Fault::Crash | Fault::OrderlyStop => restart(lab).await?,
            Fault::CrashWhilePoolChanges => {
                let start = Question::StartApp(APPLICATION.into());
                lab.order(Request::Ask { image: LEAVES.into(), question: start }).await?;
                let stop = Question::StopApp(APPLICATION.into());
                lab.order(Request::Ask { image: JOINS.into(), question: stop }).await?;
                restart(lab).await?;
            }
        }
        settled(lab).await
    }
}

fn kill(signal: Signal) -> Request {
    Request::Kill { image: ROUTER.into(), signal: signal.as_raw() }
}

/// Starts the router once its former life has ended.
async fn restart(lab: &Lab) -> Result<()> {
    lab.wait("MVS1 has ended", async || {
        let images = lab.status().await?.images;
        let runs = images.iter().any(|image| image.name == ROUTER && image.state == ImageState::Running);
        Ok(if runs { Err("it runs".into()) } else { Ok(()) })
    })
    .await?;
    lab.order(Request::Start { image: ROUTER.into() }).await
}

/// Waits until MVS1 routes DVA for its first targets.
pub(super) async fn settled(lab: &Lab) -> Result<()> {
    routed_only_by(lab, ROUTER, &POOL).await
}

/// Waits until `owner` routes DVA, to just these targets.
async fn routed_by(lab: &Lab, owner: &str, targets: &[&str]) -> Result<()> {
    lab.wait(&format!("{owner} routes {DVIPA} to {targets:?}"), async || {
        let status = lab.dvipa(DVIPA).await?;
        let mut serving: Vec<&str> = status.targets.iter().map(String::as_str).collect();
        serving.sort_unstable();
        let holds = status.owner.as_deref() == Some(owner) && serving == targets;
        Ok(if holds { Ok(()) } else { Err(format!("{:?} does, to {serving:?}", status.owner)) })
    })
    .await
}

/// The same, and I4: nobody else that runs advertises it.
async fn routed_only_by(lab: &Lab, owner: &str, targets: &[&str]) -> Result<()> {
    routed_by(lab, owner, targets).await?;
    lab.wait(&format!("only {owner} advertises {DVIPA}"), async || {
        let Status { images, dvipas, .. } = lab.status().await?;
        let address = dvipas.iter().find(|dvipa| dvipa.name == DVIPA).map(|dvipa| dvipa.address);
        for image in images.iter().filter(|image| image.state == ImageState::Running) {
            let Report::Vipadyn { dvipas } = lab.netstat(&image.name, ReportKind::Vipadyn).await? else { continue };
            let advertises = dvipas.iter().any(|dvipa| Some(dvipa.address) == address && dvipa.advertised);
            if advertises != (image.name == owner) {
                return Ok(Err(format!("{} advertises it: {advertises}", image.name)));
            }
        }
        Ok(Ok(()))
    })
    .await
}

/// The router's table: how many connections it holds. They must end on every image that serves.
pub(super) async fn routed(lab: &Lab) -> Result<usize> {
    let Report::Vcrt { connections } = lab.netstat(ROUTER, ReportKind::Vcrt).await? else { return Ok(0) };
    let targets: std::collections::BTreeSet<_> = connections.iter().map(|connection| connection.xcf).collect();
    ensure!(targets.len() == POOL.len(), "connections went to {targets:?} only");
    Ok(connections.len())
}
