//! The supervisor of a lab: starts images, watches them, and does what commands ask for.
//!
//! It stays on the host's side; its images live in the lab's network namespace. It takes no part
//! in what the cluster does: a takeover needs no supervisor.

mod clients;
mod cuts;
mod lives;
mod processes;
mod requests;
mod site;
mod status;
mod watching;

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use tokio::net::UnixListener;
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::control::{Answer, FromImage, ImageState, Reply, Request, Start};
use crate::key::ClusterKey;
use crate::network::{self, Holder};
use crate::profile::Cluster;
use crate::state::{Lock, Process, Record, StateDir};
use crate::watch::{Event, Kind, Sample, Told};
use crate::web::Token;
use cuts::Cuts;
use processes::Host;
use site::Site;
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
    /// Somebody, of this process id perhaps, takes the lab down.
    Down(Option<i32>, oneshot::Sender<Reply>),
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
    /// Who waits for it to have started.
    starting: Vec<oneshot::Sender<Reply>>,
    /// Who waits for it to have stopped.
    ending: Vec<oneshot::Sender<Reply>>,
}

/// A running lab.
#[derive(Debug)]
pub struct Supervisor {
    options: Options,
    cluster: Cluster,
    dir: StateDir,
    site: Site,
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
    let lock = dir.lock()?;
    if dir.exists() && !dir.runs() {
        clear(&dir, &lock).await?;
    }
    dir.create(&options.name, &lock)?;
    drop(lock);
    let (supervisor, inputs, handle) = Supervisor::make(cluster, options, dir).await?;
    Ok((supervisor.run(inputs), handle))
}

/// Removes what a lab that crashed left behind.
///
/// # Errors
/// If devices of it stay on the host.
pub async fn clean_up(dir: &StateDir) -> Result<()> {
    let lock = dir.lock()?;
    // Somebody may have been faster, and have started it again.
    if dir.runs() { Ok(()) } else { clear(dir, &lock).await }
}

async fn clear(dir: &StateDir, lock: &Lock) -> Result<()> {
    network::tear_down(&dir.kill_leftovers()).await?;
    dir.remove(lock);
    Ok(())
}

impl Supervisor {
    /// A lab in its new folder; after an error nothing of it stays, nor the folder.
    async fn make(
        cluster: Cluster,
        options: Options,
        dir: StateDir,
    ) -> Result<(Supervisor, mpsc::UnboundedReceiver<Input>, Handle)> {
        let plan = site::plan(&cluster, &options);
        let made = async {
            let linked = cluster.images.iter().filter(|image| image.link.is_some());
            let start = Start {
                lab: options.name.clone(),
                endpoints: site::endpoints(&cluster, options.host)?,
                devices: linked.zip(&plan.devices).map(|(image, (tun, _))| (image.name.clone(), tun.clone())).collect(),
                cluster: cluster.clone(),
                in_process: options.in_process,
                key: cluster
                    .xcf_key
                    .clone()
                    .map_or_else(ClusterKey::random, Ok)
                    .context("no random key can be made")?,
                supervisor: dir.socket(),
                token: Token::random(),
            };
            // Last, as it alone is more than words.
            Ok((start, Site::make(&plan, options.host, &dir).await?))
        };
        let (start, site) = match made.await {
            Ok(made) => made,
            Err(error) => {
                dir.remove(&dir.lock()?);
                return Err(error);
            }
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
            starting: Vec::new(),
            ending: Vec::new(),
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
            site,
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
        if let Err(error) = supervisor.begin() {
            // What stays is told too.
            supervisor.end(None).await.with_context(|| format!("{error:#}"))?;
            return Err(error);
        }
        Ok((supervisor, receiver, handle))
    }

    /// Listens, and starts every image.
    fn begin(&mut self) -> Result<()> {
        let listener = UnixListener::bind(self.dir.socket()).context("the lab's socket cannot be made")?;
        tokio::spawn(clients::accept(listener, self.inputs.clone()));
        self.record()?;
        (0..self.images.len()).try_for_each(|index| self.start_image(index))
    }

    /// Writes down what would have to be cleaned up after a crash.
    fn record(&self) -> Result<()> {
        let holder = self.site.holder.as_ref().map(Holder::pid);
        let hosts = self.hosts.iter().flatten().filter_map(Host::pid);
        let children = holder.into_iter().chain(hosts).filter_map(|pid| Process::of(pid).ok()).collect();
        self.dir.write(&Record {
            supervisor: Process::of(std::process::id())?,
            children,
            devices: self.site.devices.clone(),
        })
    }

    async fn run(mut self, mut inputs: mpsc::UnboundedReceiver<Input>) -> Result<()> {
        while let Some(input) = inputs.recv().await {
            match input {
                Input::Down(asker, reply) => {
                    let ended = self.end(asker).await;
                    drop(
                        reply
                            .send(ended.as_ref().map_or_else(|why| Reply::Error(format!("{why:#}")), |()| Reply::Done)),
                    );
                    // The answer is on its way before this process ends.
                    tokio::task::yield_now().await;
                    return ended;
                }
                Input::TakeDown => return self.end(None).await,
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

    /// Ends every process but `asker`, and leaves nothing behind.
    ///
    /// # Errors
    /// If something stays; `down` can try again then, as after a crash.
    async fn end(&mut self, asker: Option<i32>) -> Result<()> {
        for host in self.hosts.iter_mut().flatten() {
            host.kill();
        }
        for host in self.hosts.iter_mut().filter_map(Option::take) {
            host.gone().await;
        }
        self.site.clear(asker).await.with_context(|| {
            let option = crate::name_option(&self.options.name);
            format!("not all of the lab could be taken away: try 'cluster-lab down{option}' again")
        })?;
        self.dir.remove(&self.dir.lock()?);
        Ok(())
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
                    for waiting in std::mem::take(&mut self.images[index].starting) {
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
