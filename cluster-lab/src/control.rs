//! What the lab's processes say to each other, as lines of JSON: commands to the supervisor, and
//! the supervisor to its images.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use crate::display::{Sysplex, SysplexReport};
use crate::explain::ExplainedConnection;
use crate::key::ClusterKey;
use crate::netstat::{Report, Selection};
use crate::profile::Cluster;
use crate::vary::Vary;
use crate::watch::{Event, Gauges, Told};
use crate::web::Token;
use crate::workload::ByHand;

/// Longest line that is read: a CRT of many thousand connections fits.
const MAX_LINE: u64 = 256 << 20;

/// A command to the supervisor.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Request {
    /// How the lab is.
    Status,
    /// How to enter the client side of the lab's network.
    Enter,
    /// Takes the lab down.
    Down,
    /// Sends a signal to an image.
    Kill {
        /// Which.
        image: String,
        /// The signal's number.
        signal: i32,
    },
    /// Starts an image again.
    Start {
        /// Which.
        image: String,
    },
    /// Stops an image in order.
    Stop {
        /// Which.
        image: String,
    },
    /// Asks an image something.
    Ask {
        /// Which.
        image: String,
        /// What.
        question: Question,
    },
    /// From now on XCF carries nothing from one image to another.
    Cut {
        /// The images.
        between: (String, String),
        /// Only from the first to the second.
        one_way: bool,
    },
    /// XCF carries everything again, between two images or all.
    Heal {
        /// The images; `None` for all.
        between: Option<(String, String)>,
        /// Only from the first to the second.
        one_way: bool,
    },
    /// From now on an image, in all its lives, copies its packets into this socket while it is there.
    Capture {
        /// Which.
        image: String,
        /// The socket.
        path: PathBuf,
    },
    /// The event log from its beginning.
    Log,
    /// What lets a browser act.
    Token,
    /// Tells from now on what happens: lines of [`Update`](crate::watch::Update), and no more requests.
    Watch,
    /// A connection on the host's side, for `relay`; the descriptor comes with the answer.
    Dial {
        /// A TCP address, or `unix:` and a path.
        target: String,
    },
}

/// What the supervisor answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Reply {
    /// It is done.
    Done,
    /// The answer to [`Request::Status`].
    Status(Status),
    /// The answer to [`Request::Enter`]: the process whose namespaces to join, if it has its own.
    Enter {
        /// Its id.
        holder: Option<u32>,
        /// Whether it has a user namespace too.
        user: bool,
    },
    /// The image's answer.
    Answer(Answer),
    /// The event log, and when the lab began, in microseconds since 1970.
    Log(Vec<Event>, u64),
    /// What lets a browser act, and the web servers of the cluster's own: image, address and port.
    Token(Token, Vec<(String, SocketAddr)>),
    /// It could not be done, and what to do.
    Error(String),
}

/// What an image can be asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Question {
    /// A netstat report.
    Netstat(Selection),
    /// DISPLAY SYSPLEX.
    Sysplex(Sysplex),
    /// What it knows of each DVIPA.
    Dvipas,
    /// What watchers see.
    Gauges,
    /// Its applications.
    Apps,
    /// Start an application.
    StartApp(String),
    /// Stop an application.
    StopApp(String),
    /// Cut its XCF from these peers, and from no others.
    Cut(Cut),
    /// Change something.
    Vary(Vary),
    /// Copy its packets into this socket.
    Capture(PathBuf),
    /// Weights that are set by hand; `None`: only its workload manager counts again.
    Weigh(Option<ByHand>),
    /// Why connections are where they are: those of one client, or the latest.
    Explain(Option<SocketAddr>),
}

impl Question {
    /// Whether the image is another afterwards.
    pub fn changes(&self) -> bool {
        match self {
            Question::StartApp(_)
            | Question::StopApp(_)
            | Question::Cut(_)
            | Question::Vary(_)
            | Question::Weigh(_) => true,
            Question::Netstat(_)
            | Question::Sysplex(_)
            | Question::Dvipas
            | Question::Gauges
            | Question::Apps
            | Question::Explain(_)
            | Question::Capture(_) => false,
        }
    }
}

/// What an image answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Answer {
    /// It is done.
    Done,
    /// The report.
    Netstat(Report),
    /// What it knows of the sysplex.
    Sysplex(SysplexReport),
    /// The DVIPAs.
    Dvipas(Vec<DvipaView>),
    /// What watchers see.
    Gauges(Box<Gauges>),
    /// The applications.
    Apps(Vec<AppStatus>),
    /// The connections; the latest first.
    Explain(Vec<ExplainedConnection>),
}

/// One image's view of a DVIPA.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DvipaView {
    /// The address.
    pub address: IpAddr,
    /// Distributed ports.
    pub ports: Vec<u16>,
    /// XCF address of the owner that it knows.
    pub owner: Option<IpAddr>,
    /// Round and rank of the ownership epoch: of two views the one with the later epoch is right.
    pub epoch: (u64, u8),
    /// XCF addresses of the backups, the next in rank first.
    pub backups: Vec<IpAddr>,
    /// XCF addresses of the current actual targets; only the owner knows them.
    pub targets: Vec<IpAddr>,
}

/// An application on an image.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AppStatus {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: String,
    /// Where it listens.
    pub listens: String,
    /// Whether it runs.
    pub running: bool,
}

/// `cluster-lab status --json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// The lab.
    pub name: String,
    /// Its images.
    pub images: Vec<ImageStatus>,
    /// Its DVIPAs.
    pub dvipas: Vec<DvipaStatus>,
    /// From which image to which XCF is cut.
    pub cuts: Vec<(String, String)>,
}

/// How an image is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageState {
    /// It runs.
    Running,
    /// It was stopped in order.
    Stopped,
    /// It ended without being asked to.
    Failed,
}

impl ImageState {
    /// As it is shown.
    pub fn word(self) -> &'static str {
        match self {
            ImageState::Running => "running",
            ImageState::Stopped => "stopped",
            ImageState::Failed => "failed",
        }
    }
}

/// One image.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ImageStatus {
    /// Its name.
    pub name: String,
    /// How it is.
    pub state: ImageState,
    /// Its process, while it runs.
    pub pid: Option<u32>,
    /// Its XCF address.
    pub xcf: IpAddr,
}

/// One DVIPA; stacks by the names of their images.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DvipaStatus {
    /// Its name in the profile, or its address.
    pub name: String,
    /// The address.
    pub address: IpAddr,
    /// Distributed ports.
    pub ports: Vec<u16>,
    /// Who routes it.
    pub owner: Option<String>,
    /// Round and rank of the latest ownership epoch.
    pub epoch: (u64, u8),
    /// Who can take over, the next first.
    pub backups: Vec<String>,
    /// Who has a listening application.
    pub targets: Vec<String>,
}

/// What an image process is told first: which images it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Start {
    /// The lab's name.
    pub lab: String,
    /// The whole cluster.
    pub cluster: Cluster,
    /// XCF address → UDP endpoint.
    pub endpoints: HashMap<IpAddr, SocketAddr>,
    /// Image → TUN device.
    pub devices: HashMap<String, String>,
    /// Whether all images live in this process.
    pub in_process: bool,
    /// What XCF between processes is sealed with.
    pub key: ClusterKey,
    /// The supervisor's socket.
    pub supervisor: PathBuf,
    /// What lets a browser act.
    pub token: Token,
}

/// What an image's XCF is cut from, by XCF addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// Whom it sends nothing to.
    pub to: BTreeSet<IpAddr>,
    /// Whom it hears nothing from.
    pub from: BTreeSet<IpAddr>,
}

/// The supervisor to an image process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ToImage {
    /// First of all.
    Begin(Box<Start>),
    /// Start this image, as a new life.
    Start {
        /// Which.
        image: String,
        /// Of this life; each is larger than the one before.
        incarnation: u64,
        /// What its XCF is cut from.
        cut: Cut,
        /// Where copies of its packets go.
        captures: Vec<PathBuf>,
    },
    /// Stop it in order.
    Stop {
        /// Which.
        image: String,
    },
    /// End it as a crash would.
    Crash {
        /// Which.
        image: String,
    },
    /// A question; the answer carries the number.
    Ask {
        /// Number of the question.
        id: u64,
        /// Which image.
        image: String,
        /// What.
        question: Question,
    },
}

/// An image process to the supervisor.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum FromImage {
    /// It runs.
    Started {
        /// Which.
        image: String,
    },
    /// Something for the event log.
    Event {
        /// Which.
        image: String,
        /// When, by the [monotonic](crate::watch::monotonic) clock.
        at: u64,
        /// What.
        told: Told,
    },
    /// It has left the cluster and ended.
    Stopped {
        /// Which.
        image: String,
    },
    /// It could not go on.
    Failed {
        /// Which.
        image: String,
        /// Why.
        text: String,
    },
    /// The answer to a question.
    Answer {
        /// Number of the question.
        id: u64,
        /// The answer, or what is wrong with the question.
        result: Result<Answer, String>,
    },
}

/// Asks the supervisor with this socket once.
///
/// # Errors
/// If no lab is there, or it ends before it has answered.
pub async fn ask(supervisor: &Path, request: &Request) -> io::Result<Reply> {
    let mut stream = BufReader::new(UnixStream::connect(supervisor).await?);
    write(stream.get_mut(), request).await?;
    read(&mut stream).await?.ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "the lab has ended"))
}

/// Writes one message as a line.
///
/// # Errors
/// When the other side is gone.
pub async fn write<T: Serialize>(to: &mut (impl AsyncWrite + Unpin), message: &T) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    to.write_all(&line).await
}

/// Reads one message; `None` at the end.
///
/// # Errors
/// When the line is no such message, or longer than any.
pub async fn read<T: DeserializeOwned>(from: &mut BufReader<impl AsyncRead + Unpin>) -> io::Result<Option<T>> {
    use tokio::io::AsyncReadExt;
    let mut line = Vec::new();
    if from.take(MAX_LINE).read_until(b'\n', &mut line).await? == 0 {
        return Ok(None);
    }
    Ok(Some(serde_json::from_slice(&line)?))
}
