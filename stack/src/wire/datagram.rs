//! An IP packet as it came in (RFC 791, RFC 8200).

use core::ops::Range;
use std::net::IpAddr;

use etherparse::{Ipv4HeaderSlice, Ipv6HeaderSlice};
use thiserror::Error;

use super::extension::{self, Problem};
use super::{checksum, options};

/// Why bytes are no IP packet that this stack takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Malformed {
    /// Shorter than its header or its total length says.
    #[error("truncated packet")]
    Truncated,
    /// The header contradicts itself.
    #[error("malformed header")]
    Header,
    /// The header's checksum is wrong.
    #[error("wrong header checksum")]
    Checksum,
}

/// What the header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Protocol number of the payload.
    pub protocol: u8,
    /// TTL or hop limit.
    pub hop_limit: u8,
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// Identification of the datagram that a fragment is of.
    pub identification: u32,
    /// Don't Fragment; always so for IPv6.
    pub dont_fragment: bool,
    /// More Fragments.
    pub more_fragments: bool,
    /// Where the payload lies in the datagram, in bytes.
    pub fragment_offset: u32,
    /// Where the payload lies in the packet. What follows is padding of the link.
    pub payload: Range<usize>,
    /// The field that says `protocol`.
    pub protocol_at: usize,
    /// Of an IPv6 fragment, the field that names its Fragment header.
    pub fragment_named_at: usize,
    /// What is wrong with the options or extension headers.
    pub fault: Option<Fault>,
}

/// The packet is whole, but it goes no further; its source may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// In IPv4 options.
    V4(options::Fault),
    /// In IPv6 extension headers.
    V6(Problem),
}

impl Fault {
    /// Whether routers mind it, not only the destination.
    pub fn on_path(&self) -> bool {
        match self {
            Fault::V4(_) => true,
            Fault::V6(problem) => problem.on_path,
        }
    }
}

impl Datagram {
    /// Whether it is only a part.
    pub fn is_fragment(&self) -> bool {
        self.more_fragments || self.fragment_offset != 0
    }

    /// Reads and checks the header.
    ///
    /// # Errors
    /// When the packet has to be dropped.
    pub fn parse(packet: &[u8]) -> Result<Datagram, Malformed> {
        match packet.first().map(|byte| byte >> 4) {
            Some(4) => Self::parse_v4(packet),
            Some(6) => Self::parse_v6(packet),
            Some(_) => Err(Malformed::Header),
            None => Err(Malformed::Truncated),
        }
    }

    fn parse_v4(packet: &[u8]) -> Result<Datagram, Malformed> {
        let header = Ipv4HeaderSlice::from_slice(packet).map_err(|_| Malformed::Header)?;
        let (length, total) = (header.slice().len(), usize::from(header.total_len()));
        if total < length {
            return Err(Malformed::Header);
        }
        if total > packet.len() {
            return Err(Malformed::Truncated);
        }
        if checksum::fold(checksum::sum(header.slice())) != 0xffff {
            return Err(Malformed::Checksum);
        }
        Ok(Datagram {
            source: header.source_addr().into(),
            destination: header.destination_addr().into(),
            protocol: header.protocol().0,
            hop_limit: header.ttl(),
            traffic_class: packet[1],
            identification: u32::from(header.identification()),
            dont_fragment: header.dont_fragment(),
            more_fragments: header.more_fragments(),
            fragment_offset: u32::from(header.fragments_offset().value()) * 8,
            payload: length..total,
            protocol_at: 9,
            fragment_named_at: 0,
            fault: (length > 20).then(|| options::check(header.slice()).err().map(Fault::V4)).flatten(),
        })
    }

    fn parse_v6(packet: &[u8]) -> Result<Datagram, Malformed> {
        let header = Ipv6HeaderSlice::from_slice(packet).map_err(|_| Malformed::Header)?;
        let total = 40 + usize::from(header.payload_length());
        if total > packet.len() {
            return Err(Malformed::Truncated);
        }
        let chain = extension::walk(&packet[..total]).ok_or(Malformed::Header)?;
        let fragment = chain.fragment;
        Ok(Datagram {
            source: header.source_addr().into(),
            destination: header.destination_addr().into(),
            protocol: chain.protocol,
            hop_limit: header.hop_limit(),
            traffic_class: header.traffic_class(),
            identification: fragment.map_or(0, |fragment| fragment.identification),
            dont_fragment: true,
            more_fragments: fragment.is_some_and(|fragment| fragment.more),
            fragment_offset: fragment.map_or(0, |fragment| fragment.offset),
            payload: chain.at..total,
            protocol_at: chain.named_at,
            fragment_named_at: fragment.map_or(0, |fragment| fragment.named_at),
            fault: chain.problem.map(Fault::V6),
        })
    }
}
