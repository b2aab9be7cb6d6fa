//! The supervisor of a lab: starts images, watches them, and does what commands ask for.
//!
//! It stays on the host's side; its images live in the lab's network namespace. It takes no part
//! in what the cluster does: a takeover needs no supervisor.

mod clients;
mod cuts;
mod lives;
mod processes;
mod requests;
mod status;
mod watching;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, bail};
use tokio::net::UnixListener;
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::control::{Answer, FromImage, ImageState, Reply, Request, Start};
use crate::key::ClusterKey;
use crate::network::{self, Holder, Plan};
use crate::profile::Cluster;
use crate::state::{Process, Record, StateDir};
use crate::watch::{Event, Kind, Sample, Told};
use crate::web::Token;
use cuts::Cuts;
use processes::Host;
use watching::Watching;

/// Lines of the event log that are kept.
const LOG_LINES: usize = 10_000;

/// How to run a lab.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its name.
    pub name: String,
    /// In the host's own network namespace.
    pub host: bool,
    /// All images in one process.
    pub in_process: bool,
}

/// What happens to the supervisor.
#[derive(Debug)]
enum Input {
    Request(Request, oneshot::Sender<Reply>),
    Said {
        host: usize,
        message: FromImage,
    },
    Complained {
        host: usize,
        line: String,
    },
    Ended {
        host: usize,
        how: String,
    },
    /// An orderly stop has taken too long.
    Overdue {
        image: usize,
        life: u64,
    },
    /// Somebody wants to watch.
    Watch(oneshot::Sender<watching::Watch>),
    /// It is time to look at the images, by the plan of this number.
    Look(u64),
    /// They have been looked at.
    Looked(Box<Sample>),
    TakeDown,
}

#[derive(Debug)]
struct Image {
    name: String,
    xcf: IpAddr,
    state: ImageState,
    /// The process that it lives in, an index into `hosts`.
    host: Option<usize>,
    /// Counts its lives.
    life: u64,
    /// Of its latest life.
    incarnation: u64,
    /// When that began, in microseconds since the lab did.
    since: u64,
    /// When the lab last sent it a signal that ends it or stops it.
    signalled: Option<u64>,
    /// Sockets that get copies of its packets.
    captures: Vec<PathBuf>,
    stopping: bool,
    /// Who waits for it to have started, or stopped.
    waiting: Vec<oneshot::Sender<Reply>>,
}

/// A running lab.
#[derive(Debug)]
pub struct Supervisor {
    options: Options,
    cluster: Cluster,
    dir: StateDir,
    holder: Option<Holder>,
    devices: Vec<String>,
    start: Start,
    images: Vec<Image>,
    cuts: Cuts,
    /// Every image process there ever was; `None` once it has ended.
    hosts: Vec<Option<Host>>,
    /// By number: which image was asked, and who waits for the answer.
    questions: HashMap<u64, (usize, oneshot::Sender<Result<Answer, String>>)>,
    next_question: u64,
    log: std::collections::VecDeque<Event>,
    next_event: u64,
    watching: Watching,
    events: broadcast::Sender<Event>,
    inputs: mpsc::UnboundedSender<Input>,
}

/// Asks a running supervisor to end the lab.
#[derive(Clone, Debug)]
pub struct Handle {
    inputs: mpsc::UnboundedSender<Input>,
    events: broadcast::Sender<Event>,
    began: u64,
}

impl Handle {
    /// Takes the lab down.
    pub fn take_down(&self) {
        // If it has ended, that is what was asked for.
        drop(self.inputs.send(Input::TakeDown));
    }

    /// The event log from now on.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// When the lab began, in microseconds since 1970.
    pub fn began(&self) -> u64 {
        self.began
    }

    /// One request, as over the socket.
    ///
    /// # Errors
    /// If the lab has ended.
    pub async fn request(&self, request: Request) -> Result<Reply> {
        let (sender, receiver) = oneshot::channel();
        self.inputs.send(Input::Request(request, sender)).map_err(|_| anyhow!("the lab has ended"))?;
        receiver.await.context("the lab has ended")
    }
}

/// Sets the network up and starts every image; returns the supervisor's work, to be polled until
/// the lab has ended, and a handle to it.
///
/// # Errors
/// With nothing left behind, when the lab cannot be.
pub async fn start(cluster: Cluster, options: Options) -> Result<(impl Future<Output = Result<()>>, Handle)> {
    let dir = StateDir::of(&options.name)?;
    if dir.exists() && !dir.runs() {
        clean_up(&dir).await?;
    }
    dir.create(&options.name)?;
    let made = Supervisor::make(cluster, options, dir.clone()).await;
    match made {
        Ok((supervisor, inputs, handle)) => Ok((supervisor.run(inputs), handle)),
        Err(error) => {
            dir.remove();
            Err(error)
        }
    }
}

/// Removes what a lab that crashed left behind.
///
/// # Errors
/// If devices of it stay on the host.
pub async fn clean_up(dir: &StateDir) -> Result<()> {
    let devices = dir.kill_leftovers();
    if !devices.is_empty() {
        network::tear_down(&devices).await?;
    }
    dir.remove();
    Ok(())
}

impl Supervisor {
    async fn make(
        cluster: Cluster,
        options: Options,
        dir: StateDir,
    ) -> Result<(Supervisor, mpsc::UnboundedReceiver<Input>, Handle)> {
        let prefix = if options.host { device_prefix(&options.name) } else { String::new() };
        let plan = Plan::of(&cluster, &prefix);
        let names: Vec<String> = plan.devices.iter().map(|(device, _)| device.clone()).collect();
        let (holder, devices) = if options.host {
            if let Some(conflict) = network::conflict(&plan).await? {
                bail!("{conflict}. Run the lab without --host, or change the profile's addresses");
            }
            if let Err(error) = network::set_up(&plan).await {
                drop(network::tear_down(&names).await);
                return Err(match rustix::process::geteuid().is_root() {
                    true => error,
                    false => error.context("--host changes the host's own network: run it as root, or without --host"),
                });
            }
            (None, names.clone())
        } else {
            (Some(Holder::start(&plan)?), Vec::new())
        };
        let linked = cluster.images.iter().filter(|image| image.link.is_some());
        let start = Start {
            lab: options.name.clone(),
            endpoints: endpoints(&cluster, options.host)?,
            devices: linked.map(|image| image.name.clone()).zip(names).collect(),
            cluster: cluster.clone(),
            in_process: options.in_process,
            key: cluster.xcf_key.clone().map_or_else(ClusterKey::random, Ok).context("no random key can be made")?,
            supervisor: dir.socket(),
            token: Token::random(),
        };
        let images = cluster.images.iter().map(|image| Image {
            name: image.name.clone(),
            xcf: image.xcf,
            state: ImageState::Stopped,
            host: None,
            life: 0,
            incarnation: 0,
            since: 0,
            signalled: None,
            captures: Vec::new(),
            stopping: false,
            waiting: Vec::new(),
        });
        let (inputs, receiver) = mpsc::unbounded_channel();
        let (events, _) = broadcast::channel(4096);
        let watching = Watching::new();
        let handle = Handle { inputs: inputs.clone(), events: events.clone(), began: watching.began() };
        let mut supervisor = Supervisor {
            images: images.collect(),
            cuts: Cuts::default(),
            options,
            cluster,
            dir,
            holder,
            devices,
            start,
            hosts: Vec::new(),
            questions: HashMap::new(),
            next_question: 0,
            log: std::collections::VecDeque::new(),
            next_event: 1,
            watching,
            events,
            inputs,
        };
        let listener = UnixListener::bind(supervisor.dir.socket()).context("the lab's socket cannot be made")?;
        tokio::spawn(clients::accept(listener, supervisor.inputs.clone()));
        supervisor.record()?;
        for index in 0..supervisor.images.len() {
            if let Err(error) = supervisor.start_image(index) {
                supervisor.end().await;
                return Err(error);
            }
        }
        Ok((supervisor, receiver, handle))
    }

    /// Writes down what would have to be cleaned up after a crash.
    fn record(&self) -> Result<()> {
        let holder = self.holder.as_ref().map(Holder::pid);
        let hosts = self.hosts.iter().flatten().filter_map(Host::pid);
        let children = holder.into_iter().chain(hosts).filter_map(|pid| Process::of(pid).ok()).collect();
        self.dir.write(&Record {
            supervisor: Process::of(std::process::id())?,
            children,
            devices: self.devices.clone(),
        })
    }

    async fn run(mut self, mut inputs: mpsc::UnboundedReceiver<Input>) -> Result<()> {
        while let Some(input) = inputs.recv().await {
            match input {
                Input::Request(Request::Down, reply) => {
                    self.end().await;
                    drop(reply.send(Reply::Done));
                    // The answer is on its way before this process ends.
                    tokio::task::yield_now().await;
                    return Ok(());
                }
                Input::TakeDown => {
                    self.end().await;
                    return Ok(());
                }
                Input::Request(request, reply) => self.serve(request, reply),
                Input::Said { host, message } => self.heard(host, message),
                Input::Complained { host, line } => {
                    let images = self.images.iter().filter(|image| image.host == Some(host));
                    let who = images.map(|image| image.name.as_str()).collect::<Vec<_>>().join(" ");
                    let at = self.watching.now();
                    self.happened(at, Some(&who), Told::note(line));
                }
                Input::Ended { host, how } => self.ended(host, &how),
                Input::Overdue { image, life } => self.overdue(image, life),
                Input::Watch(reply) => self.watch(reply),
                Input::Look(plan) => self.look(plan),
                Input::Looked(sample) => self.looked(sample),
            }
        }
        Ok(())
    }

    /// Ends every process, and leaves nothing behind.
    async fn end(&mut self) {
        for host in self.hosts.iter_mut().flatten() {
            host.kill();
        }
        for host in self.hosts.iter_mut().filter_map(Option::take) {
            host.gone().await;
        }
        self.holder = None;
        if let Err(error) = network::tear_down(&self.devices).await {
            self.tell(None, Told::note(format!("the host's devices stay: {error:#}")));
        }
        self.dir.remove();
    }

    /// Something happened just now, to an image or to the lab.
    fn tell(&mut self, image: Option<usize>, told: Told) {
        let (at, name) = (self.watching.now(), image.map(|index| self.images[index].name.clone()));
        self.happened(at, name.as_deref(), told);
    }

    fn heard(&mut self, host: usize, message: FromImage) {
        let of = |supervisor: &Supervisor, image: &str| {
            supervisor.find(image).ok().filter(|index| supervisor.images[*index].host == Some(host))
        };
        match message {
            FromImage::Started { image } => {
                if let Some(index) = of(self, &image) {
                    for waiting in std::mem::take(&mut self.images[index].waiting) {
                        drop(waiting.send(Reply::Done));
                    }
                    self.tell(Some(index), Told::new(Kind::Up, "up"));
                }
            }
            FromImage::Event { image, at, told } => {
                let at = self.watching.since_beginning(at);
                self.happened(at, Some(&image), told);
            }
            FromImage::Stopped { image } => {
                if let Some(index) = of(self, &image) {
                    self.image_ended(index, "stopped");
                }
            }
            FromImage::Failed { image, text } => {
                if let Some(index) = of(self, &image) {
                    self.image_ended(index, &format!("failed: {text}"));
                }
            }
            FromImage::Answer { id, result } => {
                if let Some((_, asker)) = self.questions.remove(&id) {
                    drop(asker.send(result));
                }
            }
        }
    }
}

/// Devices of several labs on one host have different names.
fn device_prefix(lab: &str) -> String {
    if lab == crate::DEFAULT_NAME {
        return String::new();
    }
    let sum = lab.bytes().fold(0u16, |sum, byte| sum.wrapping_mul(31).wrapping_add(u16::from(byte)));
    format!("l{:03x}", sum & 0xfff)
}

/// Where each image's XCF is.
fn endpoints(cluster: &Cluster, host: bool) -> Result<HashMap<IpAddr, SocketAddr>> {
    // Held until all are chosen, so that no port is chosen twice.
    let mut held = Vec::new();
    let mut endpoints = HashMap::new();
    for (image, number) in cluster.images.iter().zip(40_000u16..) {
        let endpoint = if host {
            held.push(std::net::UdpSocket::bind("127.0.0.1:0")?);
            held[held.len() - 1].local_addr()?
        } else {
            SocketAddr::from(([127, 0, 0, 1], number))
        };
        endpoints.insert(image.xcf, endpoint);
    }
    Ok(endpoints)
}
