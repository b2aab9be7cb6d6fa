//! Images: the process that hosts one or all of them.

mod announce;
mod applications;
mod driver;
mod node;
mod operator;
mod report;
mod shared;
pub mod socket;
mod tap;
mod watch;
mod weigh;
mod xcf;

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use rand::Rng;
use tokio::io::BufReader;
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use crate::control::{self, Answer, Cut, FromImage, Question, Start, ToImage};
use crate::device::{Mode, Tun};
use crate::explain::ExplainedConnection;
use crate::network;
use crate::watch::{Kind, Told, monotonic};
use announce::Announcer;
use applications::Applications;
use node::{NetworkLink, Node, Plan, Story, Storyteller};
use vipa::messages::PROCESSING;
use weigh::Weigher;
use xcf::{Exchange, SharedLink, UdpLink, XcfLink};

pub(crate) use node::{route_own, set_exit, tell};
pub use shared::Shared;

/// Turns of the event loop in which an image that ends sends its resets.
const PARTING_TURNS: usize = 16;

/// How the supervisor starts this process.
#[derive(Clone, Copy, Debug, Args)]
pub struct Arguments {
    /// The supervisor's process
    #[arg(long)]
    parent: u32,
    /// The process that holds the lab's network
    #[arg(long)]
    holder: Option<u32>,
    /// That process is in a user namespace of its own
    #[arg(long)]
    user: bool,
}

/// The process, whole. Its standard input is the control channel; with that it ends.
///
/// # Errors
/// If it cannot start; what happens later is told over the channel.
pub fn main(arguments: &Arguments) -> Result<()> {
    if let Some(holder) = arguments.holder {
        network::enter(holder, arguments.user)?;
    }
    crate::die_with_parent()?;
    let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get());
    if parent != i32::try_from(arguments.parent).ok() {
        bail!("this command is started by the lab itself");
    }
    let channel = std::os::unix::net::UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    channel.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { host(UnixStream::from_std(channel)?).await })
}

/// One image that runs, with its applications.
struct Running {
    node: Node,
    apps: Applications,
    definitions: vipa::Definitions,
    weigher: Weigher,
}

/// The images of this process.
struct Host {
    start: Start,
    exchange: Exchange,
    running: HashMap<String, Running>,
    stories: Storyteller,
}

async fn host(channel: UnixStream) -> Result<()> {
    let (reader, mut writer) = channel.into_split();
    let (orders_in, mut orders) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut reader = BufReader::new(reader);
        while let Ok(Some(order)) = control::read::<ToImage>(&mut reader).await {
            drop(orders_in.send(order));
        }
    });
    let Some(ToImage::Begin(start)) = orders.recv().await else { bail!("the lab said nothing") };
    let (stories, mut told) = mpsc::unbounded_channel();
    let mut host = Host { start: *start, exchange: Exchange::default(), running: HashMap::new(), stories };
    loop {
        let message = tokio::select! {
            order = orders.recv() => match order {
                Some(order) => host.obey(order),
                // The supervisor is gone: the lab is over.
                None => return Ok(()),
            },
            Some((image, story)) = told.recv() => Some(host.tell(image, story).await),
        };
        if let Some(message) = message {
            control::write(&mut writer, &message).await?;
        }
        if host.running.is_empty() && !host.start.in_process {
            // What it was has ended, and its end was told.
            return Ok(());
        }
    }
}

impl Host {
    fn obey(&mut self, order: ToImage) -> Option<FromImage> {
        match order {
            ToImage::Begin(_) => None,
            ToImage::Start { image, incarnation, cut, captures } => {
                Some(match self.start_image(&image, incarnation, cut, captures) {
                    Ok(()) => FromImage::Started { image },
                    Err(error) => FromImage::Failed { image, text: format!("{error:#}") },
                })
            }
            ToImage::Stop { image } => {
                if let Some(running) = self.running.get_mut(&image) {
                    running.apps.stop_all();
                    running.node.leave();
                }
                None
            }
            ToImage::Crash { image } => {
                self.end(&image);
                Some(FromImage::Failed { image, text: "killed".into() })
            }
            ToImage::Ask { id, image, question } => Some(FromImage::Answer {
                id,
                result: self.answer(&image, question).map_err(|error| format!("{error:#}")),
            }),
        }
    }

    /// Ends an image; the others of this process see it as they see a process end.
    fn end(&mut self, image: &str) {
        let Some(ended) = self.running.remove(image) else { return };
        // Not the one that it was started with: JOINGROUP begins a new life.
        let incarnation = ended.node.shared().lock().vipa.incarnation();
        if let Some(xcf) = self.start.cluster.image(image).map(|image| image.xcf) {
            for running in self.running.values() {
                running.node.peer_gone(xcf, incarnation);
            }
        }
    }

    fn start_image(&mut self, name: &str, incarnation: u64, cut: Cut, captures: Vec<PathBuf>) -> Result<()> {
        let cluster = &self.start.cluster;
        let image = cluster.image(name).ok_or_else(|| anyhow!("no image {name}"))?;
        let mode = if cluster.network.offload { Mode::Offload } else { Mode::Plain };
        let link = match (image.link, self.start.devices.get(name)) {
            (Some(address), Some(device)) => {
                let tun = Tun::attach(device, mode).with_context(|| format!("device {device} cannot be opened"))?;
                Some(NetworkLink { address, device: Box::new(tun), announcer: Some(Announcer::open(device)?) })
            }
            _ => None,
        };
        let xcf: Box<dyn XcfLink> = if self.start.in_process {
            Box::new(self.exchange.attach(image.xcf))
        } else {
            let udp = UdpLink::bind(image.xcf, incarnation, &self.start.key, &self.start.endpoints)?;
            match cluster.xcf_memory {
                true => Box::new(SharedLink::new(udp, image.xcf, &self.start.endpoints)?),
                false => Box::new(udp),
            }
        };
        let definitions = image.definitions();
        let vipa = vipa::Config {
            peers: cluster.images.iter().map(|other| other.xcf).filter(|xcf| *xcf != image.xcf).collect(),
            linked: link.is_some(),
            process: Some(std::process::id()),
            definitions: definitions.clone(),
            join: !image.settings().stays_out,
            timing: cluster.timing.apply(),
            ..vipa::Config::new(name, image.xcf, incarnation)
        };
        let (settings, mtu) = (image.settings(), cluster.network.mtu);
        let plan = Plan { name: name.to_owned(), xcf: image.xcf, link, mtu, settings, vipa };
        let seed = rand::rng().next_u64();
        let node = Node::start(plan, xcf, seed, self.stories.clone())?;
        node.cut(cut);
        captures.into_iter().for_each(|socket| node.capture(socket));
        let mut apps = Applications::new(image, node.shared().clone(), &self.start);
        // An image without one of its applications is an image all the same.
        let failures = apps.start_all();
        let weigher =
            Weigher::start(node.shared().clone(), cluster.workload.manager(name), cluster.timing.apply().measure);
        self.running.insert(name.to_owned(), Running { node, apps, definitions, weigher });
        for failure in failures {
            tell_story(&self.stories, name, Told::new(Kind::AppFailed, format!("{failure:#}")));
        }
        Ok(())
    }

    fn answer(&mut self, image: &str, question: Question) -> Result<Answer> {
        let running = self.running.get_mut(image).ok_or_else(|| anyhow!("{image} is not running"))?;
        Ok(match question {
            Question::Netstat(selection) => Answer::Netstat(report::netstat(running.sources(), &selection)?),
            Question::Sysplex(sysplex) => {
                let cluster = &self.start.cluster;
                Answer::Sysplex(report::sysplex(running.node.shared(), cluster, image, &sysplex)?)
            }
            Question::Dvipas => Answer::Dvipas(report::dvipas(running.node.shared())),
            Question::Gauges => Answer::Gauges(Box::new(report::gauges(running.node.shared()))),
            Question::Apps => Answer::Apps(running.apps.list()),
            Question::Cut(cut) => {
                running.node.cut(cut);
                Answer::Done
            }
            Question::StartApp(app) => {
                running.apps.start(&app)?;
                Answer::Done
            }
            Question::StopApp(app) => {
                running.apps.stop(&app)?;
                Answer::Done
            }
            Question::Weigh(change) => {
                running.weigher.set(change);
                Answer::Done
            }
            Question::Explain(client) => {
                let explained = running.node.shared().lock().vipa.explain(client);
                let name = |xcf| self.start.cluster.image_at(xcf).map_or_else(|| xcf.to_string(), |at| at.name.clone());
                let own = |one| ExplainedConnection::new(image, one, &name);
                Answer::Explain(explained.into_iter().map(own).collect())
            }
            Question::Capture(path) => {
                running.node.capture(path);
                Answer::Done
            }
            Question::Vary(vary) => {
                let command = format!("{PROCESSING} PROCESSING COMMAND: {vary}");
                tell_story(&self.stories, image, Told::note(command));
                running.vary(&self.start.cluster, image, vary)?;
                Answer::Done
            }
        })
    }

    async fn tell(&mut self, image: String, story: Story) -> FromImage {
        match story {
            Story::Told { at, told } => FromImage::Event { image, at, told },
            Story::Left => {
                if let Some(running) = self.running.get(&image) {
                    running.node.abort_connections();
                    for _ in 0..PARTING_TURNS {
                        tokio::task::yield_now().await;
                    }
                }
                self.end(&image);
                FromImage::Stopped { image }
            }
            Story::Failed(text) => {
                self.end(&image);
                FromImage::Failed { image, text }
            }
        }
    }
}

/// A line for the event log of an image.
fn tell_story(stories: &Storyteller, image: &str, told: Told) {
    let story = Story::Told { at: monotonic(), told };
    // The lab may be over.
    let _ = stories.send((image.to_owned(), story));
}

#[cfg(test)]
mod tests;
