//! What is looked at a few times a second while somebody watches.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::control::{DvipaStatus, DvipaView, ImageState};
use crate::netstat::{DestinationRow, DvipaRow};

/// All images at one moment.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Sample {
    /// When, in microseconds since the lab began.
    pub at: u64,
    /// In the profile's order.
    pub images: Vec<ImageSample>,
    /// The DVIPAs.
    pub dvipas: Vec<DvipaStatus>,
    /// From which image to which XCF is cut.
    pub cuts: Vec<(String, String)>,
}

/// One image at one moment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ImageSample {
    /// Its name.
    pub name: String,
    /// How it is.
    pub state: ImageState,
    /// Whether a signal has stopped its process.
    pub paused: bool,
    /// Its process, while it runs.
    pub pid: Option<u32>,
    /// When its latest life began, in microseconds since the lab began.
    pub since: u64,
    /// Processor time of its process so far, in microseconds; with `--in-process` that of all images.
    pub processor: u64,
    /// Memory that its process has in use, in bytes.
    pub memory: u64,
    /// What it says of itself; none if it does not answer.
    pub gauges: Option<Box<Gauges>>,
}

/// What an image says of itself.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Gauges {
    /// Whether it is in the sysplex group.
    pub in_group: bool,
    /// Whether it is quiesced as a target.
    pub quiesced: bool,
    /// Ports that are quiesced on it.
    pub quiesced_ports: Vec<u16>,
    /// Its view of each DVIPA; the supervisor puts the views of all together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub views: Vec<DvipaView>,
    /// VIPADYN.
    pub vipadyn: Vec<DvipaRow>,
    /// VDPT: on a routing stack the targets of its DVIPAs.
    pub destinations: Vec<DestinationRow>,
    /// Entries in the VCRT.
    pub routes: usize,
    /// The other stacks.
    pub peers: Vec<Peer>,
    /// What has crossed its links.
    pub traffic: Traffic,
}

/// Another stack, as an image sees it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Peer {
    /// Its XCF address.
    pub xcf: IpAddr,
    /// Contact with it.
    pub contact: Contact,
    /// Control datagrams that were sent to it again.
    pub resent: u64,
}

/// Contact of one stack with another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Contact {
    /// None: never heard, or gone.
    #[default]
    None,
    /// It was there, and is not heard now.
    Silent,
    /// Each hears the other.
    Up,
}

impl From<vipa::Contact> for Contact {
    fn from(contact: vipa::Contact) -> Contact {
        match contact {
            vipa::Contact::None => Contact::None,
            vipa::Contact::Up => Contact::Up,
            vipa::Contact::Silent => Contact::Silent,
        }
    }
}

/// What has crossed an image's links since it started.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Traffic {
    /// From the client network.
    pub network_in: Count,
    /// To the client network.
    pub network_out: Count,
    /// Packets for clients and servers that were sent to another stack over XCF, by its address: a router to
    /// a target, a target without a link to one that has one. Control messages are not among them.
    pub xcf_out: Vec<(IpAddr, Count)>,
    /// Where the last packet over XCF is counted: the next mostly has the same way.
    #[serde(skip)]
    latest: usize,
}

impl Traffic {
    /// The count of XCF to `to`.
    pub fn xcf_to(&mut self, to: IpAddr) -> &mut Count {
        if self.xcf_out.get(self.latest).is_none_or(|(known, _)| *known != to) {
            self.latest = self.xcf_out.iter().position(|(known, _)| *known == to).unwrap_or_else(|| {
                self.xcf_out.push((to, Count::default()));
                self.xcf_out.len() - 1
            });
        }
        &mut self.xcf_out[self.latest].1
    }
}

/// Packets and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Packets, as they are on the wire: a super-segment counts for all that it stands for.
    pub packets: u64,
    /// Bytes, IP headers included; of a super-segment only its own.
    pub bytes: u64,
}

impl Count {
    /// Counts one packet of `len` bytes.
    pub fn add(&mut self, len: usize, offload: &stack::Offload) {
        /// More than most headers have, so that a last piece is not counted twice.
        const HEADERS: usize = 100;
        let pieces = match offload.segmentation {
            Some(cut) => len.saturating_sub(HEADERS).div_ceil(usize::from(cut.size.max(1))).max(1),
            None => 1,
        };
        self.packets += pieces as u64;
        self.bytes += len as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stack::Segmentation;
    use stack::packet::SegmentKind;

    #[test]
    fn a_super_segment_counts_for_its_pieces() {
        let mut count = Count::default();
        let cut = |size| stack::Offload {
            segmentation: Some(Segmentation { kind: SegmentKind::TcpV4, size }),
            ..stack::Offload::default()
        };
        count.add(52, &stack::Offload::default());
        count.add(40 + 10 * 1460, &cut(1460));
        count.add(52 + 10 * 1448, &cut(1448));
        assert_eq!(count, Count { packets: 21, bytes: 52 + 40 + 14_600 + 52 + 14_480 });
    }

    #[test]
    fn each_pair_has_its_count() {
        let mut traffic = Traffic::default();
        let [one, two] = [1, 2].map(|last| IpAddr::from([192, 0, 2, last]));
        for (to, len) in [(one, 10), (one, 10), (two, 5), (one, 10)] {
            traffic.xcf_to(to).add(len, &stack::Offload::default());
        }
        let counts: Vec<_> = traffic.xcf_out.iter().map(|(to, count)| (*to, count.packets, count.bytes)).collect();
        assert_eq!(counts, [(one, 3, 30), (two, 1, 5)]);
    }
}
