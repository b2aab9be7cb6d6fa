//! The header that a TUN with IFF_VNET_HDR puts before each packet (linux/virtio_net.h), in the
//! host's byte order.

use stack::packet::SegmentKind;
use stack::{Checksum, Offload, Segmentation};

/// Its length.
pub(super) const LEN: usize = 10;

const NEEDS_CSUM: u8 = 1;
const DATA_VALID: u8 = 2;
const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
const GSO_UDP_L4: u8 = 5;
const GSO_ECN: u8 = 0x80;

/// The offload facts that a header from the kernel tells. Its `hdr_len` is not to be trusted on
/// packets that were forwarded, and not needed.
pub(super) fn parse(header: [u8; LEN]) -> Offload {
    let word = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
    let checksum = match header[0] {
        flags if flags & NEEDS_CSUM != 0 => Checksum::Partial { start: word(6), offset: word(8) },
        flags if flags & DATA_VALID != 0 => Checksum::Valid,
        _ => Checksum::Unverified,
    };
    let kind = match header[1] & !GSO_ECN {
        GSO_TCPV4 => Some(SegmentKind::TcpV4),
        GSO_TCPV6 => Some(SegmentKind::TcpV6),
        GSO_UDP_L4 => Some(SegmentKind::Udp),
        _ => None,
    };
    Offload { checksum, segmentation: kind.map(|kind| Segmentation { kind, size: word(4) }) }
}

/// The header for a packet to the kernel, of which `headers` bytes are IP and transport header.
pub(super) fn emit(offload: Offload, headers: usize) -> [u8; LEN] {
    let mut out = [0; LEN];
    let mut put = |at: usize, value: u16| out[at..at + 2].copy_from_slice(&value.to_ne_bytes());
    if let Checksum::Partial { start, offset } = offload.checksum {
        put(6, start);
        put(8, offset);
    }
    if let Some(segmentation) = offload.segmentation {
        put(2, u16::try_from(headers).unwrap_or(u16::MAX));
        put(4, segmentation.size);
    }
    out[0] = match offload.checksum {
        Checksum::Partial { .. } => NEEDS_CSUM,
        Checksum::Valid => DATA_VALID,
        Checksum::Unverified => 0,
    };
    out[1] = match offload.segmentation.map(|segmentation| segmentation.kind) {
        None => GSO_NONE,
        Some(SegmentKind::TcpV4) => GSO_TCPV4,
        Some(SegmentKind::TcpV6) => GSO_TCPV6,
        Some(SegmentKind::Udp) => GSO_UDP_L4,
    };
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offload_facts_go_out_and_come_back() {
        let facts = [
            Offload::default(),
            Offload { checksum: Checksum::Valid, segmentation: None },
            Offload { checksum: Checksum::Partial { start: 20, offset: 16 }, segmentation: None },
            Offload {
                checksum: Checksum::Partial { start: 40, offset: 16 },
                segmentation: Some(Segmentation { kind: SegmentKind::TcpV6, size: 1440 }),
            },
        ];
        for offload in facts {
            assert_eq!(parse(emit(offload, 60)), offload);
        }
    }
}
