//! The header before a packet that crosses XCF. The packet itself stays byte for byte what it
//! was (I20); its offload facts travel in the header, so that a super-segment crosses whole.

use stack::packet::SegmentKind;
use stack::{Checksum, Offload, Segmentation};

use super::DATA;
use super::cursor::Reader;
use crate::ownership::Epoch;

const VERSION: u8 = 1;

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the network towards the stack that serves it.
    Inbound,
    /// From a stack without network link to the network: the receiver writes it out as it is.
    Outbound,
}

/// How far an inbound packet has come. With these two marks no packet is forwarded more than
/// twice, whatever the stacks believe of each other (I18).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hop {
    /// From a stack that does not route for the DVIPA, to the one that it believes does. Only a
    /// routing stack passes it on.
    ToRouter,
    /// Already forwarded by the routing stack: nobody passes it on.
    ToTarget,
}

/// The header of a packet on XCF.
///
/// ```text
///  0       1       2       3       4                               12
/// +-------+-------+-------+-------+-------------------------------+
/// | magic |version| direc.| flags |          epoch: round         |
/// +-------+-------+-------+-------+-------------------------------+
/// 12      13      14              16              18      19      20
/// +-------+-------+---------------+---------------+-------+-------+
/// | rank  |checks.| checks. start | checks. offset|segment|   0   |
/// +-------+-------+---------------+---------------+-------+-------+
/// 20              22              24                              32
/// +---------------+---------------+-------------------------------+
/// | segment size  |   interval    |     life of the receiver      |
/// +---------------+---------------+-------------------------------+
/// | packet ...
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataHeader {
    /// Which way the packet goes.
    pub direction: Direction,
    /// How far it has come.
    pub hop: Hop,
    /// A SYN whose CRT entry the sender has: its target need not report the connection to it.
    pub entered: bool,
    /// The router's interval in which it sent the SYN, to measure what becomes of it; 0: it is not measured, or
    /// the sender is of an earlier version.
    pub interval: u16,
    /// The sender's epoch as routing stack; zero if it is none.
    pub epoch: Epoch,
    /// The life of the target that the sender chose: a later one knows nothing of the connection
    /// (R14). Zero: any.
    pub life: u64,
    /// Checksum and segmentation state of the packet.
    pub offload: Offload,
}

impl DataHeader {
    /// Length in bytes.
    pub const LEN: usize = 32;

    /// A header with the given direction, no epoch and no offload facts.
    pub(crate) fn new(direction: Direction, hop: Hop) -> Self {
        DataHeader {
            direction,
            hop,
            entered: false,
            interval: 0,
            epoch: Epoch::NONE,
            life: 0,
            offload: Offload::default(),
        }
    }

    /// Reads the header; `None` if it is cut off, or of another version or kind.
    pub fn parse(bytes: &[u8]) -> Option<DataHeader> {
        let mut reader = Reader(bytes);
        if reader.array()? != [DATA, VERSION] {
            return None;
        }
        let direction = match reader.u8()? {
            0 => Direction::Inbound,
            1 => Direction::Outbound,
            _ => return None,
        };
        let flags = reader.u8()?;
        let epoch = Epoch { round: reader.u64()?, rank: reader.u8()? };
        let checksum = reader.u8()?;
        let (start, offset) = (reader.u16()?, reader.u16()?);
        let segment = reader.u8()?;
        let _reserved = reader.u8()?;
        let size = reader.u16()?;
        let interval = reader.u16()?;
        let life = reader.u64()?;
        let checksum = match checksum {
            0 => Checksum::Unverified,
            1 => Checksum::Valid,
            2 => Checksum::Partial { start, offset },
            _ => return None,
        };
        let kind = match segment {
            0 => None,
            1 => Some(SegmentKind::TcpV4),
            2 => Some(SegmentKind::TcpV6),
            3 => Some(SegmentKind::Udp),
            _ => return None,
        };
        Some(DataHeader {
            direction,
            hop: if flags & Self::TO_TARGET != 0 { Hop::ToTarget } else { Hop::ToRouter },
            entered: flags & Self::ENTERED != 0,
            interval,
            epoch,
            life,
            offload: Offload { checksum, segmentation: kind.map(|kind| Segmentation { kind, size }) },
        })
    }

    const TO_TARGET: u8 = 1;
    const ENTERED: u8 = 2;

    /// The header's bytes.
    pub fn emit(&self) -> [u8; Self::LEN] {
        let (checksum, start, offset) = match self.offload.checksum {
            Checksum::Unverified => (0, 0, 0),
            Checksum::Valid => (1, 0, 0),
            Checksum::Partial { start, offset } => (2, start, offset),
        };
        let (segment, size) = match self.offload.segmentation {
            None => (0, 0),
            Some(Segmentation { kind: SegmentKind::TcpV4, size }) => (1, size),
            Some(Segmentation { kind: SegmentKind::TcpV6, size }) => (2, size),
            Some(Segmentation { kind: SegmentKind::Udp, size }) => (3, size),
        };
        let mut out = [0; Self::LEN];
        out[0] = DATA;
        out[1] = VERSION;
        out[2] = match self.direction {
            Direction::Inbound => 0,
            Direction::Outbound => 1,
        };
        out[3] = match self.hop {
            Hop::ToRouter => 0,
            Hop::ToTarget => Self::TO_TARGET,
        } | if self.entered { Self::ENTERED } else { 0 };
        out[4..12].copy_from_slice(&self.epoch.round.to_be_bytes());
        out[12] = self.epoch.rank;
        out[13] = checksum;
        out[14..16].copy_from_slice(&start.to_be_bytes());
        out[16..18].copy_from_slice(&offset.to_be_bytes());
        out[18] = segment;
        out[20..22].copy_from_slice(&size.to_be_bytes());
        out[22..24].copy_from_slice(&self.interval.to_be_bytes());
        out[24..32].copy_from_slice(&self.life.to_be_bytes());
        out
    }
}

// The header goes into the headroom of the packet.
const _: () = assert!(DataHeader::LEN <= stack::packet::HEADROOM);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::{Datagram, classify};

    fn headers() -> impl Strategy<Value = DataHeader> {
        let checksum = prop_oneof![
            Just(Checksum::Unverified),
            Just(Checksum::Valid),
            (any::<u16>(), any::<u16>()).prop_map(|(start, offset)| Checksum::Partial { start, offset }),
        ];
        let kind = prop_oneof![Just(SegmentKind::TcpV4), Just(SegmentKind::TcpV6), Just(SegmentKind::Udp)];
        let segmentation =
            proptest::option::of((kind, any::<u16>()).prop_map(|(kind, size)| Segmentation { kind, size }));
        let marks = (any::<bool>(), any::<bool>(), any::<bool>());
        (marks, any::<u16>(), any::<u64>(), any::<u8>(), any::<u64>(), checksum, segmentation).prop_map(
            |((outbound, target, entered), interval, round, rank, life, checksum, segmentation)| DataHeader {
                direction: if outbound { Direction::Outbound } else { Direction::Inbound },
                hop: if target { Hop::ToTarget } else { Hop::ToRouter },
                entered,
                interval,
                epoch: Epoch { round, rank },
                life,
                offload: Offload { checksum, segmentation },
            },
        )
    }

    proptest! {
        /// I20: what one stack says of a packet is what the next one hears.
        #[test]
        fn a_header_reads_back_as_written(header in headers()) {
            let bytes = header.emit();
            prop_assert_eq!(DataHeader::parse(&bytes), Some(header));
            prop_assert_eq!(classify(&bytes), Datagram::Data(header));
            prop_assert_eq!(DataHeader::parse(&bytes[..DataHeader::LEN - 1]), None);
        }

        /// D7: whatever arrives, nothing panics, and another version is unknown.
        #[test]
        fn any_bytes_are_classified(mut bytes: Vec<u8>) {
            classify(&bytes);
            bytes.splice(0..0, [DATA, VERSION + 1]);
            prop_assert_eq!(classify(&bytes), Datagram::Unknown);
        }
    }
}
