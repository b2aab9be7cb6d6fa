//! Commands to the supervisor, and what it answers.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Answer, Question};
use crate::watch::Event;
use crate::web::Token;

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
