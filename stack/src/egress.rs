//! How packets leave the stack: lent, not given, so that payload goes from the send buffer to
//! the device in one vectored write.

use std::net::IpAddr;

use crate::packet::{Offload, Packet};

/// A link of this stack, as its driver numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId(pub u8);

/// The way out to a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// The link.
    pub link: LinkId,
    /// The next hop on the link; on a point-to-point link there is none.
    pub next_hop: Option<IpAddr>,
    /// Largest IP packet on the wire, in bytes.
    pub mtu: u16,
    /// Largest super-segment the link takes, IP header included; 0 if it takes none.
    pub max_super: u16,
    /// Hop limit of what this stack sends by it.
    pub hop_limit: u8,
}

/// Finds the way out.
pub trait Paths {
    /// The path for packets from `source` to `destination`, if there is a route.
    fn path(&self, source: IpAddr, destination: IpAddr) -> Option<Path>;
}

/// One IP packet on its way out. Its bytes are `header` followed by the slices of `payload`.
#[derive(Clone, Copy, Debug)]
pub struct Transmit<'a> {
    /// Destination address of the packet.
    pub destination: IpAddr,
    /// The link it leaves by.
    pub link: LinkId,
    /// The next hop on that link.
    pub next_hop: Option<IpAddr>,
    /// IP header and transport header.
    pub header: &'a [u8],
    /// The payload, in order; at most three slices.
    pub payload: &'a [&'a [u8]],
    /// Checksum and segmentation left to the device.
    pub offload: Offload,
}

impl Transmit<'_> {
    /// Length of the whole packet.
    pub fn len(&self) -> usize {
        self.header.len() + self.payload.iter().map(|slice| slice.len()).sum::<usize>()
    }

    /// A packet of its own, just large enough: for whoever keeps it.
    pub fn to_packet(&self) -> Packet {
        let mut packet = Packet::sized(self.len());
        self.copy_into(&mut packet);
        packet
    }

    /// Makes it the content of `packet`, which has room for it.
    pub(crate) fn copy_into(&self, packet: &mut Packet) {
        let mut len = 0;
        for part in core::iter::once(&self.header).chain(self.payload) {
            packet.room(0)[len..len + part.len()].copy_from_slice(part);
            len += part.len();
        }
        packet.filled(len);
        packet.offload = self.offload;
    }

    /// Whether it has no byte at all; no stack sends such a packet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Takes packets that leave.
pub trait Egress {
    /// Sends `packet`, or drops it: IP promises no more.
    fn transmit(&mut self, packet: Transmit<'_>);
}
