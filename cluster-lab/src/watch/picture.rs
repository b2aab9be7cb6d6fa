//! What a screen draws: a lab at one moment.

use std::net::IpAddr;

use serde::Serialize;

use super::{Contact, Rate, Takeover, Tenure};
use crate::control::ImageState;
use crate::netstat::{DestinationRow, DvipaRow};

/// The lab now. All times are microseconds since it began.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Picture {
    /// The lab's name.
    pub lab: String,
    /// When it began, in microseconds since 1970.
    pub began: u64,
    /// When this was so.
    pub at: u64,
    /// The client's address.
    pub client: Option<IpAddr>,
    /// The client network: its first address, and the length of its prefix.
    pub subnet: Option<(IpAddr, u8)>,
    /// The images, in the profile's order.
    pub images: Vec<ImagePicture>,
    /// The DVIPAs.
    pub dvipas: Vec<DvipaPicture>,
    /// XCF from one image to another.
    pub pairs: Vec<Pair>,
    /// Who owned what when.
    pub tenures: Vec<Tenure>,
    /// Changes of ownership.
    pub takeovers: Vec<TakeoverPicture>,
}

/// A change of ownership, with its gap.
#[derive(Clone, Debug, Serialize)]
pub struct TakeoverPicture {
    /// The change.
    #[serde(flatten)]
    pub takeover: Takeover,
    /// See [`Takeover::gap`].
    pub gap: Option<u64>,
}

/// An image.
#[derive(Clone, Debug, Serialize)]
pub struct ImagePicture {
    /// Its name.
    pub name: String,
    /// Its XCF address.
    pub xcf: IpAddr,
    /// Its address on the client network, if it has a link there.
    pub link: Option<IpAddr>,
    /// Its applications.
    pub apps: Vec<String>,
    /// How it is.
    pub state: ImageState,
    /// How it ended, in the lab's words.
    pub how: Option<String>,
    /// Whether a signal has stopped it.
    pub paused: bool,
    /// Whether it is in the sysplex group.
    pub in_group: bool,
    /// Whether it takes no new connections, as a target.
    pub quiesced: bool,
    /// Ports that take none.
    pub quiesced_ports: Vec<u16>,
    /// Its process, while it runs.
    pub pid: Option<u32>,
    /// When its latest life began.
    pub since: u64,
    /// Processors that its process uses, 1 for one whole; with `--in-process` for all images together.
    pub processor: f64,
    /// Memory that its process uses, in bytes.
    pub memory: u64,
    /// Entries in its VCRT.
    pub routes: usize,
    /// From the client network.
    pub network_in: Rate,
    /// To the client network.
    pub network_out: Rate,
    /// Its VIPADYN.
    pub vipadyn: Vec<DvipaRow>,
    /// Its VDPT.
    pub vdpt: Vec<DestinationRow>,
}

/// A DVIPA.
#[derive(Clone, Debug, Serialize)]
pub struct DvipaPicture {
    /// Its name in the profile, or its address.
    pub name: String,
    /// The address.
    pub address: IpAddr,
    /// Who routes for it.
    pub owner: Option<String>,
    /// Who is about to.
    pub coming: Option<String>,
    /// Round and rank of the ownership epoch.
    pub epoch: (u64, u8),
    /// Who can take over, the next first.
    pub backups: Vec<String>,
    /// Its distributed ports.
    pub ports: Vec<PortPicture>,
}

/// A distributed port.
#[derive(Clone, Debug, Serialize)]
pub struct PortPicture {
    /// The port.
    pub port: u16,
    /// Where its connections go, by the owner's VDPT.
    pub targets: Vec<TargetPicture>,
}

/// A target of a port.
#[derive(Clone, Debug, Serialize)]
pub struct TargetPicture {
    /// The image.
    pub image: String,
    /// Applications that listen there.
    pub ready: u32,
    /// Connections that it has.
    pub active: u64,
    /// Connections that were sent there by this owner.
    pub total: u64,
    /// New ones a second.
    pub rate: f64,
}

/// XCF from one image to another.
#[derive(Clone, Debug, Serialize)]
pub struct Pair {
    /// From.
    pub from: String,
    /// To.
    pub to: String,
    /// Whether `from` is in contact with `to`.
    pub contact: Contact,
    /// Whether XCF is cut this way.
    pub cut: bool,
    /// Packets of clients and servers.
    pub rate: Rate,
}

impl ImagePicture {
    /// It has ended: what it did is over.
    pub(super) fn end(&mut self, state: ImageState, how: &str) {
        self.how = Some(how.to_owned());
        (self.state, self.paused, self.in_group, self.pid) = (state, false, false, None);
        (self.processor, self.memory, self.routes) = (0.0, 0, 0);
        (self.network_in, self.network_out) = (Rate::default(), Rate::default());
        (self.quiesced, self.quiesced_ports) = (false, Vec::new());
        self.vipadyn.clear();
        self.vdpt.clear();
    }
}
