//! What a screen draws: a lab at one moment.

use std::net::IpAddr;

use serde::Serialize;

use super::{Contact, Rate, Takeover, Tenure};
use crate::control::ImageState;
use crate::netstat::{DestinationRow, DvipaRow, Flag};

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
    /// DISTMETHOD.
    pub method: String,
    /// The weight that counts: WEIGHT, or the workload manager's, normalised.
    pub weight: u32,
    /// The workload manager's own.
    pub raw_weight: Option<u8>,
    /// Target server responsiveness, in percent.
    pub tsr: u8,
    /// Whether new connections go there.
    pub takes: bool,
    /// What is particular about it, in a few letters, such as `w 4/64`, `standby` or `quiesced`; may be empty.
    pub remark: String,
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

impl Picture {
    /// Whether XCF between two images is cut, at least one way.
    pub fn is_cut(&self, one: &str, other: &str) -> bool {
        let between = |pair: &Pair| (pair.from == one && pair.to == other) || (pair.from == other && pair.to == one);
        self.pairs.iter().any(|pair| pair.cut && between(pair))
    }

    /// The cuts: between whom, and whether both ways; if not, from the first to the second.
    pub fn cuts(&self) -> impl Iterator<Item = (&str, &str, bool)> {
        let cut = || self.pairs.iter().filter(|pair| pair.cut);
        cut().filter_map(move |pair| {
            let both = cut().any(|back| back.from == pair.to && back.to == pair.from);
            (!both || pair.from < pair.to).then_some((&*pair.from, &*pair.to, both))
        })
    }
}

impl TargetPicture {
    /// The remark on one that is well, and waits for its turn.
    pub const STANDBY: &str = "standby";

    /// A row of the owner's VDPT; `quiesced`: its image, or the port there, takes nothing new.
    pub(super) fn new(image: String, row: &DestinationRow, quiesced: bool, rate: f64) -> TargetPicture {
        let is = |flag: Flag| row.flags.contains(&flag);
        let tsr = row.responsiveness.tsr;
        TargetPicture {
            image,
            ready: row.ready,
            active: row.active,
            total: row.total,
            rate,
            method: row.method.clone(),
            weight: row.weight,
            raw_weight: row.raw_weight,
            tsr,
            takes: !quiesced && tsr > 0 && !is(Flag::Inactive) && !is(Flag::Backup),
            remark: TargetPicture::remark(row, quiesced),
        }
    }

    /// Why nothing new goes there, or else what its part of the new ones depends on: its weight (`w`, before it
    /// was normalised after a slash) where the method has weights, and its responsiveness where it is not whole.
    fn remark(row: &DestinationRow, quiesced: bool) -> String {
        let is = |flag: Flag| row.flags.contains(&flag);
        let tsr = row.responsiveness.tsr;
        if quiesced {
            return "quiesced".into();
        }
        if row.ready == 0 {
            return "no server".into();
        }
        if tsr == 0 {
            return "TSR 0".into();
        }
        if is(Flag::Inactive) {
            return "no contact".into();
        }
        let weight = match row.raw_weight {
            _ if is(Flag::Active) => "in use".into(),
            _ if is(Flag::Backup) => TargetPicture::STANDBY.into(),
            _ if is(Flag::Roundrobin) => String::new(),
            Some(raw) if u32::from(raw) != row.weight => format!("w {}/{raw}", row.weight),
            _ => format!("w {}", row.weight),
        };
        let responsiveness = if tsr < 100 { format!("{tsr}%") } else { String::new() };
        [weight, responsiveness].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netstat::Responsiveness;

    #[test]
    fn a_target_says_what_is_particular_about_it() {
        let plain = DestinationRow::example([203, 0, 113, 1].into(), 80, [192, 0, 2, 1].into());
        let of = |flags: &[Flag]| DestinationRow { flags: flags.to_vec(), ..plain.clone() };
        let responsive = |tsr: u8| Responsiveness { tsr, ..Responsiveness::default() };
        let base = DestinationRow { weight: 4, raw_weight: Some(64), ..of(&[Flag::BaseWLM]) };
        for (row, quiesced, takes, remark) in [
            (plain.clone(), false, true, ""),
            (plain.clone(), true, false, "quiesced"),
            (DestinationRow { ready: 0, ..of(&[Flag::Roundrobin, Flag::Inactive]) }, false, false, "no server"),
            (of(&[Flag::Roundrobin, Flag::Inactive]), false, false, "no contact"),
            (base.clone(), false, true, "w 4/64"),
            (DestinationRow { responsiveness: responsive(80), ..base.clone() }, false, true, "w 4/64 80%"),
            (DestinationRow { responsiveness: responsive(0), ..base }, false, false, "TSR 0"),
            (DestinationRow { weight: 20, ..of(&[Flag::WeightedActive]) }, false, true, "w 20"),
            (of(&[Flag::HotStandby, Flag::Active]), false, true, "in use"),
            (of(&[Flag::HotStandby, Flag::Backup]), false, false, "standby"),
        ] {
            let target = TargetPicture::new("MVS1".into(), &row, quiesced, 0.0);
            assert_eq!((target.takes, &*target.remark), (takes, remark), "{row:?}");
        }
    }
}
