//! What a run has found, as JSON tells it.

use serde::Serialize;

use super::super::report::Machine;

/// All of it.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    #[serde(flatten)]
    pub machine: Machine,
    pub quick: bool,
    /// Idle clusters, and what connections cost them, by size.
    pub clusters: Vec<ImageRow>,
    pub dvipas: Option<DvipaRow>,
    pub held: Option<Held>,
}

impl Report {
    pub fn new(quick: bool) -> Report {
        Report { machine: Machine::this(), quick, clusters: Vec::new(), dvipas: None, held: None }
    }
}

/// A cluster of so many images. Control datagrams are those of all images together, and their bytes
/// are without UDP, IP and the seal.
#[derive(Debug, Serialize)]
pub(super) struct ImageRow {
    pub images: usize,
    /// All of them.
    pub in_process: bool,
    /// From nothing until all see each other and each is a target.
    pub up_ms: f64,
    /// Resident and proportional memory of an idle image.
    pub rss_bytes: f64,
    pub pss_bytes: f64,
    /// Of all images, in processor seconds each second.
    pub processors: f64,
    pub datagrams_per_second: f64,
    pub bytes_per_second: f64,
    /// Without heartbeats, for each connection that is opened, and closed.
    pub connections: usize,
    pub datagrams_per_open: f64,
    pub bytes_per_open: f64,
    pub datagrams_per_close: f64,
    pub bytes_per_close: f64,
}

/// A router with many DVIPAs.
#[derive(Debug, Serialize)]
pub(super) struct DvipaRow {
    pub dvipas: usize,
    pub images: usize,
    /// From nothing until it owns all, and all targets serve.
    pub owned_ms: f64,
    /// From its end, as it was noticed, until its backup routes for all.
    pub takeover_ms: f64,
    /// Connections, one to each DVIPA, and those that did not outlive it.
    pub connections: usize,
    pub lost: usize,
}

/// Connections that are held while their router dies.
#[derive(Debug, Serialize)]
pub(super) struct Held {
    pub connections: usize,
    pub clients: usize,
    pub targets: usize,
    pub opened_per_second: f64,
    /// More than idle, for each connection of the image.
    pub router_bytes_each: f64,
    pub target_bytes_each: f64,
    pub backup_bytes_each: f64,
    /// While all are idle.
    pub processors: f64,
    pub datagrams_per_second: f64,
    /// From the router's end, as it was noticed, until its backup has all connections.
    pub takeover_ms: f64,
    /// Those that the backup had by then.
    pub taken_over: usize,
    /// From the kill until every connection has sent a message and got it back.
    pub all_answered_ms: f64,
    /// Segments that the clients had to send again meanwhile.
    pub sent_again: u64,
    /// The same of all connections without a kill.
    pub undisturbed_ms: f64,
    pub undisturbed_again: u64,
    pub lost: usize,
    /// Of connections that send all the time, without an answer.
    pub longest_gap_ms: f64,
}
