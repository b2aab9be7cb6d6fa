//! What an image can be asked, or told to do, and what it answers.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::display::{Sysplex, SysplexReport};
use crate::explain::ExplainedConnection;
use crate::netstat::{Report, Selection};
use crate::vary::Vary;
use crate::watch::Gauges;
use crate::workload::ByHand;

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

/// What an image's XCF is cut from, by XCF addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// Whom it sends nothing to.
    pub to: BTreeSet<IpAddr>,
    /// Whom it hears nothing from.
    pub from: BTreeSet<IpAddr>,
}
