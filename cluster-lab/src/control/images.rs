//! The supervisor and the processes that images live in.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Answer, Cut, Question};
use crate::key::ClusterKey;
use crate::profile::Cluster;
use crate::watch::Told;
use crate::web::Token;

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
