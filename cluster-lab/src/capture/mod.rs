//! `cluster-lab capture`: what images receive and send, as pcapng.
//!
//! An image copies its packets, while somebody wants them, into a socket of the command (see
//! [`Record`]); the command brings the records of all images into the order of time and writes them.
//! XCF is captured inside the images, where it is readable: on the wire its datagrams are sealed.

mod dissector;
mod write;

use std::io;
use std::net::{IpAddr, Ipv6Addr};

use tokio::io::{AsyncRead, AsyncReadExt};

pub use dissector::DISSECTOR;
pub(crate) use write::Writer;

/// Longest record that is read: a packet of full size with room to spare.
const MAX_RECORD: usize = 1 << 17;

/// Which link of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Link {
    /// Its TUN device.
    Network,
    /// XCF, to and from the image with this XCF address.
    Xcf(IpAddr),
}

/// Which way a packet went, seen from the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    In,
    Out,
}

/// One packet or datagram, as the socket carries it:
///
/// ```text
/// length of all that follows(4) lost(4) nanoseconds since 1970(8) way(1) kind of link(1) peer(16) bytes
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Records of the same link that were lost just before, as the command read too slowly.
    pub lost: u32,
    pub time: u64,
    pub way: Way,
    pub link: Link,
    pub bytes: Vec<u8>,
}

impl Record {
    const FIXED: usize = 4 + 8 + 1 + 1 + 16;

    /// The record whose bytes are the concatenation of `parts`; none was lost before it.
    pub fn encode<'a>(time: u64, way: Way, link: Link, parts: impl Iterator<Item = &'a [u8]> + Clone) -> Vec<u8> {
        let length = Self::FIXED + parts.clone().map(<[u8]>::len).sum::<usize>();
        let (kind, peer) = match link {
            Link::Network => (0, Ipv6Addr::UNSPECIFIED),
            Link::Xcf(IpAddr::V4(peer)) => (1, peer.to_ipv6_mapped()),
            Link::Xcf(IpAddr::V6(peer)) => (1, peer),
        };
        let mut out = Vec::with_capacity(4 + length);
        // No packet nears 4 GiB.
        out.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        out.extend(0u32.to_be_bytes());
        out.extend(time.to_be_bytes());
        out.push(u8::from(way == Way::Out));
        out.push(kind);
        out.extend(peer.octets());
        parts.for_each(|part| out.extend(part));
        out
    }

    /// Has an encoded record say how many were lost before it.
    pub fn tell_lost(encoded: &mut [u8], lost: u32) {
        if let Some(field) = encoded.get_mut(4..8) {
            field.copy_from_slice(&lost.to_be_bytes());
        }
    }

    /// The next record; `None` at the end.
    ///
    /// # Errors
    /// What comes is no record.
    pub async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Record>> {
        let length = match from.read_u32().await {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            length => usize::try_from(length?).unwrap_or(usize::MAX),
        };
        let len = length.checked_sub(Self::FIXED).filter(|_| length <= MAX_RECORD);
        let len = len.ok_or(io::ErrorKind::InvalidData)?;
        let (lost, time) = (from.read_u32().await?, from.read_u64().await?);
        let way = if from.read_u8().await? == 0 { Way::In } else { Way::Out };
        let kind = from.read_u8().await?;
        let peer = Ipv6Addr::from(from.read_u128().await?);
        let link = if kind == 0 { Link::Network } else { Link::Xcf(peer.to_canonical()) };
        let mut bytes = vec![0; len];
        from.read_exact(&mut bytes).await?;
        Ok(Some(Record { lost, time, way, link, bytes }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_record_reads_back_as_written() {
        let peers = [Link::Network, Link::Xcf([192, 0, 2, 1].into()), Link::Xcf("2001:db8::1".parse().unwrap())];
        let records = peers.map(|link| Record { lost: 3, time: 7, way: Way::Out, link, bytes: b"abcd".into() });
        let encode = |record: &Record| {
            let mut bytes = Record::encode(7, Way::Out, record.link, [&b"ab"[..], b"cd"].into_iter());
            Record::tell_lost(&mut bytes, 3);
            bytes
        };
        let bytes: Vec<u8> = records.iter().flat_map(encode).collect();
        let mut from = &bytes[..];
        for record in records {
            assert_eq!(Record::read(&mut from).await.unwrap(), Some(record));
        }
        assert_eq!(Record::read(&mut from).await.unwrap(), None);
        let absurd = [0xff; 64];
        assert!(Record::read(&mut &absurd[..]).await.is_err());
        assert!(Record::read(&mut &[0, 0, 0, 3, 1, 2, 3][..]).await.is_err());
    }
}
