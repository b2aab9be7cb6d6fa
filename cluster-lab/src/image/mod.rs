//! Images: the process that hosts one or all of them.

mod announce;
mod applications;
mod driver;
mod node;
mod report;
mod shared;
pub mod socket;
mod tap;
mod watch;
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
use crate::network;
use crate::profile::Cluster;
use crate::tcpip;
use crate::vary::Vary;
use announce::Announcer;
use applications::Applications;
use node::{NetworkLink, Node, Plan, Story};
use vipa::Quiesce;
use xcf::{Exchange, SharedLink, UdpLink, XcfLink};

pub(crate) use node::{set_exit, tell};
pub use shared::Shared;

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
    incarnation: u64,
}

impl Running {
    /// An operator's command.
    fn vary(&mut self, cluster: &Cluster, vary: Vary) -> Result<()> {
        let symbol = |name: &str| cluster.address_of(name);
        let address = |name: &str| {
            let address = name.parse().ok().or_else(|| symbol(name));
            address.ok_or_else(|| anyhow!("'{name}' is neither an address nor a name of the profile"))
        };
        let what = |port: Option<u16>| port.map_or(Quiesce::Target, Quiesce::Port);
        match vary {
            Vary::Obey(text) => {
                let refused = |errors: Vec<vipa::statements::StatementError>| {
                    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
                    anyhow!("nothing is changed:\n{}", lines.join("\n"))
                };
                let (statements, block) = tcpip::split(&text);
                let known = self.node.shared().lock().settings.clone();
                let settings = tcpip::parse(&statements, &known).map_err(refused)?;
                // An empty file is a mistake, and the block's parser says so.
                if block.is_some() || !tcpip::says_anything(&statements) {
                    let block = block.unwrap_or_default();
                    let definitions = vipa::statements::obey(&self.definitions, &block, &symbol).map_err(refused)?;
                    self.node.vary(|vipa, now| vipa.redefine(now, definitions.clone()))?;
                    self.definitions = definitions;
                }
                self.node.configure(settings);
            }
            Vary::Deactivate(name) => {
                let dvipa = address(&name)?;
                self.node.vary(|vipa, now| vipa.deactivate(now, dvipa))?;
            }
            Vary::Reactivate(name) => {
                let dvipa = address(&name)?;
                self.node.vary(|vipa, now| vipa.reactivate(now, dvipa))?;
            }
            Vary::Quiesce(port) => self.node.vary(|vipa, now| vipa.quiesce(now, what(port))),
            Vary::Resume(port) => self.node.vary(|vipa, now| vipa.resume(now, what(port))),
            Vary::LeaveGroup => self.node.vary(|vipa, now| vipa.leave_group(now)),
            // The core sees to it that this life's number is larger than that of the one before.
            Vary::JoinGroup => self.node.vary(|vipa, now| vipa.join_group(now, 0)),
        }
        Ok(())
    }
}

/// The images of this process.
struct Host {
    start: Start,
    exchange: Exchange,
    running: HashMap<String, Running>,
    stories: mpsc::UnboundedSender<(String, Story)>,
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
            Some((image, story)) = told.recv() => Some(host.tell(image, story)),
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
        if let Some(xcf) = self.start.cluster.image(image).map(|image| image.xcf) {
            for running in self.running.values() {
                running.node.peer_gone(xcf, ended.incarnation);
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
        apps.start_all()?;
        self.running.insert(name.to_owned(), Running { node, apps, definitions, incarnation });
        Ok(())
    }

    fn answer(&mut self, image: &str, question: Question) -> Result<Answer> {
        let running = self.running.get_mut(image).ok_or_else(|| anyhow!("{image} is not running"))?;
        Ok(match question {
            Question::Netstat(kind) => {
                Answer::Netstat(report::netstat(running.node.shared(), &running.definitions, kind))
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
            Question::Capture(path) => {
                running.node.capture(path);
                Answer::Done
            }
            Question::Vary(vary) => {
                running.vary(&self.start.cluster, vary)?;
                Answer::Done
            }
        })
    }

    fn tell(&mut self, image: String, story: Story) -> FromImage {
        match story {
            Story::Told { at, told } => FromImage::Event { image, at, told },
            Story::Left => {
                if let Some(running) = self.running.get(&image) {
                    running.node.abort_connections();
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

#[cfg(test)]
mod tests;
