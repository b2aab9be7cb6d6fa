//! All that is up during a run: the rivals, and two labs.

use std::net::IpAddr;
use std::process::Output;

use anyhow::{Context, Result, bail, ensure};
use tokio::process::Command;

use super::installed::Missing;
use super::rivals::Rivals;
use super::shape::Shape;
use super::{Arguments, SINK, WEB, set_congestion};
use crate::demo::lab::Lab;
use crate::network::Holder;
use crate::profile;

const PROFILE: &str = include_str!("../../../profiles/bench.ron");
/// Who routes every DVIPA of the profile, and who backs it up.
pub(super) const ROUTER: &str = "MVS1";
pub(super) const BACKUP: &str = "MVS4";
/// DVIPAs, and who serves each.
const SERVED: [(&str, &str); 3] = [("DVA", ROUTER), ("DVB", "MVS2"), ("DVC", "MVS3")];

/// What is up.
#[derive(Debug, Default)]
pub(super) struct Stage {
    rivals: Option<Rivals>,
    /// Each image a process.
    processes: Option<Lab>,
    /// One process for all images.
    in_process: Option<Lab>,
}

/// Where work can be done: a shape that is up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Side<'a> {
    pub shape: Shape,
    pub server: IpAddr,
    client: Client<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Client<'a> {
    Rivals(&'a Holder),
    Lab(&'a Lab),
}

impl Stage {
    /// Brings up what `shapes` need. What is up stays so until [`take_down`](Stage::take_down), after
    /// an error too.
    pub async fn set_up(&mut self, arguments: &Arguments, missing: &mut Vec<Missing>) -> Result<()> {
        let (name, shapes, congestion) = (&arguments.name, arguments.shapes(), arguments.congestion.as_deref());
        if shapes.iter().any(|shape| !shape.is_ours()) {
            self.rivals = Rivals::up(congestion, missing).context("the rivals cannot be brought up")?;
        }
        let lab = async |name: &str, in_process| {
            let mut cluster = profile::read("bench", PROFILE, std::path::Path::new("."))?;
            cluster.xcf_memory = !arguments.udp;
            Lab::up(name, cluster, in_process).await
        };
        if [Shape::Router, Shape::Linked, Shape::Unlinked].iter().any(|shape| shapes.contains(shape)) {
            self.processes = Some(lab(name, false).await?);
        }
        if shapes.contains(&Shape::InProcess) {
            self.in_process = Some(lab(&format!("{name}-in-process"), true).await?);
        }
        for lab in [&self.processes, &self.in_process].into_iter().flatten() {
            let Some(congestion) = congestion else { break };
            let [shell, option, script] = set_congestion(congestion);
            let set = lab.client(&shell, &[&option, &script])?.output().await?;
            ensure!(set.status.success(), "{}", refused(congestion, &set.stderr));
        }
        Ok(())
    }

    /// Takes down all that is up, whatever of it fails.
    pub async fn take_down(self) -> Result<()> {
        drop(self.rivals);
        let mut done = Ok(());
        for lab in [self.processes, self.in_process].into_iter().flatten() {
            done = done.and(lab.down().await);
        }
        done
    }

    /// The shapes of `shapes` that are up, each known to work.
    pub async fn sides(&self, shapes: &[Shape]) -> Result<Vec<Side<'_>>> {
        let mut sides = Vec::new();
        if let Some(rivals) = &self.rivals {
            let client = Client::Rivals(&rivals.client);
            sides.extend(rivals.servers.iter().map(|(shape, server)| Side { shape: *shape, server: *server, client }));
        }
        let processes = [(Shape::Router, "DVA"), (Shape::Linked, "DVB"), (Shape::Unlinked, "DVC")];
        for (lab, shapes) in [(&self.processes, &processes[..]), (&self.in_process, &[(Shape::InProcess, "DVB")])] {
            let Some(lab) = lab else { continue };
            settled(lab).await?;
            for (shape, dvipa) in shapes {
                let server = lab.dvipa(dvipa).await?.address;
                sides.push(Side { shape: *shape, server, client: Client::Lab(lab) });
            }
        }
        sides.retain(|side| shapes.contains(&side.shape));
        for side in &sides {
            let servers = [WEB, SINK].map(|port| side.at(port));
            let checked = side.load(&["check", &servers[0], &servers[1]]).await;
            checked.with_context(|| match &self.rivals {
                Some(rivals) if !side.shape.is_ours() => rivals.complaints(),
                _ => "the lab does not serve".into(),
            })?;
        }
        Ok(sides)
    }
}

/// Why the kernel does not take this congestion control.
pub(super) fn refused(congestion: &str, why: &[u8]) -> String {
    let why = String::from_utf8_lossy(why);
    format!(
        "the kernel does not take '{congestion}' in a network namespace: {}; \
         'sysctl net.ipv4.tcp_allowed_congestion_control' lists what it takes",
        why.trim()
    )
}

impl<'a> Side<'a> {
    /// Runs a program where clients are; its standard output.
    pub async fn run(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let mut command = match self.client {
            Client::Rivals(holder) => {
                let mut command = Command::from(holder.inside(program)?);
                command.args(arguments).stdin(std::process::Stdio::null()).kill_on_drop(true);
                command
            }
            Client::Lab(lab) => lab.client(program, arguments)?,
        };
        let Output { status, stdout, stderr } = command.output().await.context("a client cannot be started")?;
        if !status.success() {
            let why = String::from_utf8_lossy(&stderr);
            bail!("{}: the client '{}' failed: {}", self.shape.heading(), arguments.join(" "), why.trim());
        }
        Ok(String::from_utf8_lossy(&stdout).into_owned())
    }

    /// The one client, `cluster-lab load`.
    pub async fn load(&self, arguments: &[&str]) -> Result<String> {
        let program = std::env::current_exe()?;
        let program = program.to_str().context("the program's path is not UTF-8")?;
        self.run(program, &[&["load"], arguments].concat()).await
    }

    /// The server and a port.
    pub fn at(&self, port: u16) -> String {
        std::net::SocketAddr::new(self.server, port).to_string()
    }

    /// The lab that it is a part of, if it is ours.
    pub fn lab(&self) -> Option<&'a Lab> {
        match self.client {
            Client::Rivals(_) => None,
            Client::Lab(lab) => Some(lab),
        }
    }
}

/// Waits until the router routes each DVIPA to the image that serves it.
pub(super) async fn settled(lab: &Lab) -> Result<()> {
    for (dvipa, target) in SERVED {
        lab.wait(&format!("{ROUTER} routes {dvipa} to {target}"), async || {
            let status = lab.dvipa(dvipa).await?;
            let holds = status.owner.as_deref() == Some(ROUTER) && status.targets == [target];
            Ok(if holds { Ok(()) } else { Err(format!("{:?} does, to {:?}", status.owner, status.targets)) })
        })
        .await?;
    }
    Ok(())
}
