//! `up`: the lab in front, or in the background.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use rustix::process::{Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::sync::broadcast;

use super::log::LogFormat;
use crate::control::{Reply, Request, Status};
use crate::interruption::Interruption;
use crate::output::tell;
use crate::profile::{self, Cluster};
use crate::progress::Progress;
use crate::supervisor::{self, Handle, Options};
use crate::watch::{Event, Kind};

/// How long a cluster may take until every DVIPA is served.
const READY_WAIT: Duration = Duration::from_secs(15);
/// Images from which on a lab takes long enough for a bar.
const BIG: usize = 8;
/// The line by which a background lab says that it is ready.
const READY: &str = "ready";

#[derive(Debug, Args)]
pub(super) struct Up {
    /// A file, or one of the profiles that come with the program: figure4, figure4-v6, pair, wide, tiers
    #[arg(default_value = "figure4")]
    profile: String,
    #[command(flatten)]
    lab: super::Lab,
    /// Return once the lab is ready; it goes on in the background
    #[arg(long)]
    detach: bool,
    /// Put the lab into the host's own network instead of a namespace
    #[arg(long)]
    host: bool,
    /// Run all images in one process
    #[arg(long)]
    in_process: bool,
    /// How the event log is written: for people, or as a JSON object a line
    #[arg(long, value_enum, default_value_t)]
    pub log_format: LogFormat,
    /// This is the background lab
    #[arg(long, hide = true)]
    background: bool,
}

pub(super) async fn up(up: Up) -> Result<()> {
    let cluster = profile::load(&up.profile)?;
    if up.detach && !up.background {
        return detach(&up, &cluster).await;
    }
    if up.background {
        rustix::process::setsid()?;
    }
    // Before there is anything that could stay behind.
    let mut interruption = Interruption::watch()?;
    if up.background {
        interruption.ignore_hangup();
    }
    let options = Options { name: up.lab.name.clone(), host: up.host, in_process: up.in_process };
    let (work, handle) = supervisor::start(cluster.clone(), options).await?;
    let mut work = std::pin::pin!(work);
    let mut events = handle.events();
    let progress = match cluster.images.len() {
        ..BIG => Progress::none(),
        _ => Progress::of(expected(&cluster).iter().map(|(_, targets)| targets.len()).sum(), "targets serve"),
    };
    let mut ready = std::pin::pin!(ready(&cluster, &handle, handle.events(), &progress));
    let mut announced = false;
    loop {
        tokio::select! {
            result = &mut work => return result,
            result = &mut ready, if !announced => {
                announced = true;
                progress.end();
                if let Err(error) = result {
                    handle.take_down();
                    work.await?;
                    return Err(error);
                }
                let introduction = introduction(&cluster, &up.lab.name, up.host);
                match up.log_format {
                    _ if up.background => background()?,
                    LogFormat::Text => tell(introduction),
                    // Standard output is for machines.
                    LogFormat::Json => eprintln!("{introduction}"),
                }
            }
            Ok(event) = events.recv() => if !up.background {
                progress.aside(|| tell(up.log_format.line(&event, handle.began())));
            },
            _ = interruption.comes() => handle.take_down(),
        }
    }
}

/// Tells the waiting command that the lab is ready, and lets go of its terminal.
fn background() -> Result<()> {
    tell(READY);
    let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    Ok(())
}

/// Starts this program again as the lab in the background, and waits until that is ready.
async fn detach(up: &Up, cluster: &Cluster) -> Result<()> {
    let mut interruption = Interruption::watch()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["up", "--background", "--name", &up.lab.name]);
    command.args(up.host.then_some("--host")).args(up.in_process.then_some("--in-process"));
    command.arg("--").arg(&up.profile);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("the lab cannot be started")?;
    let mut lines = BufReader::new(child.stdout.take().ok_or_else(|| anyhow!("no pipe"))?).lines();
    let said = async {
        while let Ok(Some(line)) = lines.next_line().await {
            if line == READY {
                return Ok(true);
            }
        }
        Ok(false)
    };
    match interruption.ends(said).await {
        Ok(true) => {
            tell(introduction(cluster, &up.lab.name, up.host));
            Ok(())
        }
        Ok(false) => {
            // It has said why on the same standard error.
            let status = child.wait().await?;
            std::process::exit(status.code().filter(|code| *code != 0).unwrap_or(1));
        }
        Err(interrupted) => {
            // A lab that is not ready yet is not wanted any more.
            if let Some(pid) = crate::pid_of(&child) {
                // It may have ended by itself.
                let _ = kill_process(pid, Signal::TERM);
            }
            child.wait().await?;
            Err(interrupted.context("the lab did not get ready"))
        }
    }
}

/// Waits until every DVIPA has its owner and all targets that the profile gives it, or somebody has a say in it.
async fn ready(
    cluster: &Cluster,
    handle: &Handle,
    mut events: broadcast::Receiver<Event>,
    progress: &Progress,
) -> Result<()> {
    let expected = expected(cluster);
    let mut began = HashSet::new();
    let start = Instant::now();
    loop {
        while let Ok(event) = events.try_recv() {
            let image = event.image.unwrap_or_default();
            match event.told.kind {
                Kind::Up => drop(began.insert(image)),
                Kind::Ended if event.told.signalled.is_none() && !began.contains(&image) => {
                    bail!("{image} could not start; the event log above says why")
                }
                // What is killed, stopped or cut now is so on purpose, and what the profile says need not come.
                Kind::Ended | Kind::Stopped | Kind::Paused | Kind::Cut => return Ok(()),
                _ => {}
            }
        }
        let Reply::Status(status) = handle.request(Request::Status).await? else { bail!("no status") };
        progress.reached(expected.iter().map(|one| served(&status, one)).sum());
        let Some(missing) = expected.iter().find_map(|one| missing(&status, one)) else { return Ok(()) };
        if start.elapsed() > READY_WAIT {
            bail!("the cluster did not get ready in time: {missing}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// DVIPA, and the images that serve it.
type Expected = (std::net::IpAddr, Vec<String>);

fn expected(cluster: &Cluster) -> Vec<Expected> {
    let mut expected = Vec::new();
    // An image that does not join the group by itself (GLOBALCONFIG SYSPLEXMONITOR NOJOIN) has no part in it yet.
    let joins = |image: &&profile::Image| !image.settings().stays_out;
    for image in cluster.images.iter().filter(joins) {
        let definitions = image.definitions();
        for define in &definitions.defines {
            let distribute = definitions.distributes.iter().find(|distribute| distribute.address == define.address);
            let serves = |target: &&profile::Image| {
                distribute.is_some_and(|distribute| {
                    distribute.targets.contains(target.xcf)
                        && target.listening_apps().iter().any(|app| {
                            let bound = app.bind == Some(define.address);
                            let any = app.bind.is_none() && matches!(distribute.ports, vipa::Ports::List(_));
                            app.start && (bound || any) && distribute.ports.contains(app.port)
                        })
                })
            };
            let targets =
                cluster.images.iter().filter(joins).filter(serves).map(|target| target.name.clone()).collect();
            expected.push((define.address, targets));
        }
    }
    expected
}

/// How many of the targets serve already.
fn served(status: &Status, (address, targets): &Expected) -> usize {
    let dvipa = status.dvipas.iter().find(|dvipa| dvipa.address == *address);
    dvipa.map_or(0, |dvipa| targets.iter().filter(|target| dvipa.targets.contains(target)).count())
}

fn missing(status: &Status, (address, targets): &Expected) -> Option<String> {
    let dvipa = status.dvipas.iter().find(|dvipa| dvipa.address == *address)?;
    if dvipa.owner.is_none() {
        return Some(format!("{address} has no owner"));
    }
    let target = targets.iter().find(|target| !dvipa.targets.contains(target))?;
    Some(format!("{target} does not serve {address}"))
}

/// What to type next.
fn introduction(cluster: &Cluster, name: &str, host: bool) -> String {
    let option = crate::name_option(name);
    let exec = if host { String::new() } else { format!("cluster-lab exec{option} -- ") };
    let mut text = format!("lab '{name}' is up: {} images. Try:\n", cluster.images.len());
    let mut owner = None;
    for image in &cluster.images {
        let definitions = image.definitions();
        for distribute in &definitions.distributes {
            let defined = definitions.defines.iter().any(|define| define.address == distribute.address);
            let vipa::Ports::List(ports) = &distribute.ports else { continue };
            let Some(port) = ports.first().map(|range| range.first).filter(|_| defined) else { continue };
            text += &format!("  {exec}curl http://{}/\n", SocketAddr::new(distribute.address, port));
            owner.get_or_insert(&image.name);
        }
    }
    text += &format!("  cluster-lab status{option}\n  cluster-lab web{option}\n");
    if let Some(owner) = owner {
        text += &format!("  cluster-lab kill{option} {owner}\n  cluster-lab start{option} {owner}\n");
    }
    text + &format!("  cluster-lab down{option}\n")
}
