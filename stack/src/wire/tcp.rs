//! TCP segments on the wire (RFC 9293, section 3.1), with the options of RFC 7323 and RFC 2018.

use core::fmt;
use core::ops::{BitOr, BitOrAssign, Range};
use std::net::{IpAddr, SocketAddr};

use etherparse::TcpHeaderSlice;
use thiserror::Error;

use crate::seq::SeqNum;

/// Length of a header without options.
pub const MIN_HEADER: usize = 20;
/// Longest header.
pub const MAX_HEADER: usize = 60;
/// Where the checksum lies in the header.
pub const CHECKSUM_OFFSET: u16 = 16;
/// Bytes that the timestamps option adds to every segment: `nop,nop,TS`.
pub const TIMESTAMPS_LEN: usize = 12;
/// SACK blocks that fit beside nothing else; three beside timestamps.
pub const MAX_SACK_BLOCKS: usize = 4;

/// Option kinds (IANA, TCP parameters).
mod kind {
    pub const END: u8 = 0;
    pub const NOP: u8 = 1;
    pub const MSS: u8 = 2;
    pub const WINDOW_SCALE: u8 = 3;
    pub const SACK_PERMITTED: u8 = 4;
    pub const SACK: u8 = 5;
    pub const TIMESTAMPS: u8 = 8;
}

/// The control bits.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(pub u8);

impl Flags {
    /// No more data from sender.
    pub const FIN: Flags = Flags(0x01);
    /// Synchronize sequence numbers.
    pub const SYN: Flags = Flags(0x02);
    /// Reset the connection.
    pub const RST: Flags = Flags(0x04);
    /// Push function.
    pub const PSH: Flags = Flags(0x08);
    /// The acknowledgment field is significant.
    pub const ACK: Flags = Flags(0x10);
    /// The urgent pointer is significant.
    pub const URG: Flags = Flags(0x20);
    /// ECN-Echo (RFC 3168).
    pub const ECE: Flags = Flags(0x40);
    /// Congestion Window Reduced (RFC 3168).
    pub const CWR: Flags = Flags(0x80);

    /// Whether every bit of `other` is set.
    pub const fn contains(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// These bits without those of `other`.
    #[must_use]
    pub const fn without(self, other: Flags) -> Flags {
        Flags(self.0 & !other.0)
    }

    /// SYN is set.
    pub const fn syn(self) -> bool {
        self.contains(Flags::SYN)
    }

    /// ACK is set.
    pub const fn ack(self) -> bool {
        self.contains(Flags::ACK)
    }

    /// RST is set.
    pub const fn rst(self) -> bool {
        self.contains(Flags::RST)
    }

    /// FIN is set.
    pub const fn fin(self) -> bool {
        self.contains(Flags::FIN)
    }
}

impl BitOr for Flags {
    type Output = Flags;

    fn bitor(self, rhs: Flags) -> Flags {
        Flags(self.0 | rhs.0)
    }
}

impl BitOrAssign for Flags {
    fn bitor_assign(&mut self, rhs: Flags) {
        self.0 |= rhs.0;
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (bit, letter) in "FSRPAUEC".chars().enumerate() {
            if self.0 & 1 << bit != 0 {
                write!(f, "{letter}")?;
            }
        }
        Ok(())
    }
}

/// The two bits of congestion notification in an IP header (RFC 3168, section 5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Codepoint {
    /// The sender does not take marks.
    #[default]
    NotEct = 0,
    /// The sender takes marks (of the low-latency kind: RFC 9331).
    Ect1 = 1,
    /// The sender takes marks.
    Ect0 = 2,
    /// Congestion experienced.
    Ce = 3,
}

impl Codepoint {
    /// From the byte that holds DSCP and ECN.
    pub const fn of(traffic_class: u8) -> Codepoint {
        match traffic_class & 3 {
            0 => Codepoint::NotEct,
            1 => Codepoint::Ect1,
            2 => Codepoint::Ect0,
            _ => Codepoint::Ce,
        }
    }
}

/// The timestamps option (RFC 7323, section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamps {
    /// TSval.
    pub value: u32,
    /// TSecr.
    pub echo: u32,
}

/// A range of sequence space, `start` in it, `end` not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SeqRange {
    /// First sequence number.
    pub start: SeqNum,
    /// First one after.
    pub end: SeqNum,
}

/// The SACK option's blocks (RFC 2018, section 3).
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct SackBlocks {
    blocks: [SeqRange; MAX_SACK_BLOCKS],
    count: u8,
}

impl SackBlocks {
    /// Appends a block; one that finds no room is left out.
    pub fn push(&mut self, block: SeqRange) {
        if let Some(slot) = self.blocks.get_mut(usize::from(self.count)) {
            *slot = block;
            self.count += 1;
        }
    }

    /// The blocks, in order.
    pub fn as_slice(&self) -> &[SeqRange] {
        &self.blocks[..usize::from(self.count)]
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Puts them in the order of sequence space.
    pub fn sort(&mut self) {
        let blocks = &mut self.blocks[..usize::from(self.count)];
        for at in 1..blocks.len() {
            for place in (1..=at).rev() {
                if !blocks[place].start.before(blocks[place - 1].start) {
                    break;
                }
                blocks.swap(place, place - 1);
            }
        }
    }

    /// Keeps only the first `count`.
    pub fn truncate(&mut self, count: usize) {
        self.count = self.count.min(u8::try_from(count).unwrap_or(u8::MAX));
    }
}

impl fmt::Debug for SackBlocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.as_slice()).finish()
    }
}

/// The options that this stack understands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Maximum segment size (only on a SYN).
    pub mss: Option<u16>,
    /// Window scale shift (only on a SYN), as received: cap it at 14 (RFC 7323, section 2.3).
    pub window_scale: Option<u8>,
    /// SACK permitted (only on a SYN).
    pub sack_permitted: bool,
    /// Timestamps.
    pub timestamps: Option<Timestamps>,
    /// SACK blocks.
    pub sack: SackBlocks,
}

impl Options {
    /// Reads the options. Unknown kinds are skipped (RFC 9293, section 3.2, MUST-6); an option
    /// whose length is wrong ends the reading, what came before it counts (MUST-7).
    pub fn parse(mut bytes: &[u8]) -> Options {
        let mut options = Options::default();
        while let [first, rest @ ..] = bytes {
            match *first {
                kind::END => break,
                kind::NOP => {
                    bytes = rest;
                    continue;
                }
                _ => {}
            }
            let Some(&length) = rest.first() else { break };
            let Some(body) = bytes.get(2..usize::from(length)) else { break };
            match (*first, body) {
                (kind::MSS, &[a, b]) => options.mss = Some(u16::from_be_bytes([a, b])),
                (kind::WINDOW_SCALE, &[shift]) => options.window_scale = Some(shift),
                (kind::SACK_PERMITTED, []) => options.sack_permitted = true,
                (kind::TIMESTAMPS, &[a, b, c, d, e, f, g, h]) => {
                    options.timestamps = Some(Timestamps {
                        value: u32::from_be_bytes([a, b, c, d]),
                        echo: u32::from_be_bytes([e, f, g, h]),
                    });
                }
                (kind::SACK, blocks) => {
                    for block in blocks.chunks_exact(8) {
                        let edge = |at: usize| {
                            SeqNum(u32::from_be_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]]))
                        };
                        options.sack.push(SeqRange { start: edge(0), end: edge(4) });
                    }
                }
                _ => {}
            }
            bytes = &bytes[usize::from(length)..];
        }
        options
    }

    /// Length on the wire: a multiple of four, at most 40.
    pub fn len(&self) -> usize {
        let mut writer = Writer { out: &mut [0; MAX_OPTIONS], at: 0 };
        self.write(&mut writer);
        writer.at
    }

    /// Whether there is no option.
    pub fn is_empty(&self) -> bool {
        *self == Options::default()
    }

    /// Writes the options as Linux orders them: `mss,sackOK,TS,nop,wscale` on a SYN (with `nop,nop`
    /// where sackOK or TS is missing), `nop,nop,TS` and `nop,nop,sack` on other segments.
    fn write(&self, out: &mut Writer<'_>) {
        if let Some(mss) = self.mss {
            out.put(&[kind::MSS, 4]);
            out.put(&mss.to_be_bytes());
        }
        match (self.sack_permitted, self.timestamps) {
            (true, Some(_)) => out.put(&[kind::SACK_PERMITTED, 2]),
            (true, None) => out.put(&[kind::NOP, kind::NOP, kind::SACK_PERMITTED, 2]),
            (false, Some(_)) => out.put(&[kind::NOP, kind::NOP]),
            (false, None) => {}
        }
        if let Some(timestamps) = self.timestamps {
            out.put(&[kind::TIMESTAMPS, 10]);
            out.put(&timestamps.value.to_be_bytes());
            out.put(&timestamps.echo.to_be_bytes());
        }
        if let Some(shift) = self.window_scale {
            out.put(&[kind::NOP, kind::WINDOW_SCALE, 3, shift]);
        }
        let room = (MAX_OPTIONS - out.at).saturating_sub(4) / 8;
        let blocks = &self.sack.as_slice()[..self.sack.as_slice().len().min(room)];
        if !blocks.is_empty() {
            // At most four blocks of eight bytes.
            out.put(&[kind::NOP, kind::NOP, kind::SACK, 2 + 8 * blocks.len() as u8]);
            for block in blocks {
                out.put(&block.start.0.to_be_bytes());
                out.put(&block.end.0.to_be_bytes());
            }
        }
    }
}

const MAX_OPTIONS: usize = MAX_HEADER - MIN_HEADER;

struct Writer<'a> {
    out: &'a mut [u8; MAX_OPTIONS],
    at: usize,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.out[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }
}

/// Why a segment was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Malformed {
    /// Shorter than its header says, or than any header.
    #[error("TCP segment cut short")]
    Truncated,
    /// A data offset below five words.
    #[error("TCP data offset too small")]
    DataOffset,
}

/// A segment, or a super-segment that stands for several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Who sent it.
    pub source: SocketAddr,
    /// Whom it is for.
    pub destination: SocketAddr,
    /// SEG.SEQ.
    pub seq: SeqNum,
    /// SEG.ACK; it counts only if the ACK bit is set.
    pub ack: SeqNum,
    /// Control bits.
    pub flags: Flags,
    /// SEG.WND, unscaled.
    pub window: u16,
    /// Options.
    pub options: Options,
    /// Where the payload lies in the packet.
    pub payload: Range<usize>,
    /// Segments on the wire that this one stands for: 1, or more for a super-segment.
    pub pieces: u32,
    /// What the IP header says of congestion.
    pub ecn: Codepoint,
}

impl Segment {
    /// Reads a segment from the transport part of a packet, which begins `offset` bytes into the
    /// packet. `piece` is the payload size of each piece if the packet is a super-segment. What
    /// the IP header says is left out: [`ecn`](Segment::ecn). The checksum is the caller's to verify.
    ///
    /// # Errors
    /// If the header is cut short or contradicts itself.
    pub fn parse(
        transport: &[u8],
        offset: usize,
        source: IpAddr,
        destination: IpAddr,
        piece: Option<u16>,
    ) -> Result<Segment, Malformed> {
        let header = TcpHeaderSlice::from_slice(transport).map_err(|error| match error {
            etherparse::err::tcp::HeaderSliceError::Len(_) => Malformed::Truncated,
            etherparse::err::tcp::HeaderSliceError::Content(_) => Malformed::DataOffset,
        })?;
        let header_len = header.slice().len();
        let payload_len = transport.len() - header_len;
        let pieces = match piece {
            Some(size) if size > 0 => payload_len.div_ceil(usize::from(size)).max(1),
            _ => 1,
        };
        Ok(Segment {
            source: SocketAddr::new(source, header.source_port()),
            destination: SocketAddr::new(destination, header.destination_port()),
            seq: SeqNum(header.sequence_number()),
            ack: SeqNum(header.acknowledgment_number()),
            // TcpHeaderSlice has checked that there are twenty bytes.
            flags: Flags(transport[13]),
            window: header.window_size(),
            options: if header_len == MIN_HEADER { Options::default() } else { Options::parse(header.options()) },
            payload: offset + header_len..offset + transport.len(),
            pieces: u32::try_from(pieces).unwrap_or(u32::MAX),
            ecn: Codepoint::NotEct,
        })
    }

    /// Length of the header that [`emit`](Segment::emit) writes.
    pub fn header_len(&self) -> usize {
        MIN_HEADER + if self.options.is_empty() { 0 } else { self.options.len() }
    }

    /// Writes header and options, with a checksum field of zero; returns their length.
    ///
    /// # Panics
    /// If `out` is shorter than [`MAX_HEADER`]: a mistake of the caller.
    pub fn emit(&self, out: &mut [u8]) -> usize {
        let (fixed, rest) = out[..MAX_HEADER].split_at_mut(MIN_HEADER);
        let mut options = [0; MAX_OPTIONS];
        let mut writer = Writer { out: &mut options, at: 0 };
        self.options.write(&mut writer);
        let options_len = writer.at;
        rest[..options_len].copy_from_slice(&options[..options_len]);
        let header_len = MIN_HEADER + options_len;
        fixed[0..2].copy_from_slice(&self.source.port().to_be_bytes());
        fixed[2..4].copy_from_slice(&self.destination.port().to_be_bytes());
        fixed[4..8].copy_from_slice(&self.seq.0.to_be_bytes());
        fixed[8..12].copy_from_slice(&self.ack.0.to_be_bytes());
        // A header is at most fifteen words.
        fixed[12] = (header_len as u8 / 4) << 4;
        fixed[13] = self.flags.0;
        fixed[14..16].copy_from_slice(&self.window.to_be_bytes());
        fixed[16..20].fill(0);
        header_len
    }

    /// Payload bytes.
    pub fn payload_len(&self) -> u32 {
        // A packet is at most 64 KiB.
        self.payload.len() as u32
    }

    /// SEG.LEN: what it occupies in sequence space, SYN and FIN counted.
    pub fn sequence_len(&self) -> u32 {
        self.payload_len() + u32::from(self.flags.syn()) + u32::from(self.flags.fin())
    }

    /// The first sequence number after it.
    pub fn end(&self) -> SeqNum {
        self.seq + self.sequence_len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn address(last: u8, port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], port))
    }

    fn segment(flags: Flags, options: Options) -> Segment {
        Segment {
            source: address(1, 1024),
            destination: address(2, 60),
            seq: SeqNum(0xfffffff0),
            ack: SeqNum(7),
            flags,
            window: 0x1234,
            options,
            payload: 0..0,
            pieces: 1,
            ecn: Codepoint::NotEct,
        }
    }

    /// The order of options that Linux uses, byte for byte.
    #[test]
    fn options_are_written_in_the_order_of_linux() {
        let timestamps = Some(Timestamps { value: 1, echo: 2 });
        let syn =
            Options { mss: Some(1460), window_scale: Some(7), sack_permitted: true, timestamps, ..Options::default() };
        let table: &[(Options, &[u8])] = &[
            (syn, &[2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 3, 3, 7]),
            (Options { timestamps: None, ..syn }, &[2, 4, 5, 180, 1, 1, 4, 2, 1, 3, 3, 7]),
            (Options { timestamps, ..Options::default() }, &[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]),
        ];
        for (options, expected) in table {
            let mut out = [0; MAX_HEADER];
            let len = segment(Flags::SYN, *options).emit(&mut out);
            assert_eq!(&out[MIN_HEADER..len], *expected);
            assert_eq!(Options::parse(expected), *options);
        }
    }

    /// RFC 9293, section 3.2 (MUST-6, MUST-7): unknown options are skipped by their length; a wrong
    /// length ends the reading without harm.
    #[test]
    fn unknown_options_are_skipped() {
        assert_eq!(Options::parse(&[254, 4, 9, 9, 1, 2, 4, 5, 180]).mss, Some(1460));
        assert_eq!(Options::parse(&[2, 4, 5, 180, 30, 0, 3, 3, 7]).window_scale, None);
        assert_eq!(Options::parse(&[2, 4, 5, 180, 30, 1, 3, 3, 7]).mss, Some(1460));
        assert_eq!(Options::parse(&[3, 3]), Options::default());
        assert_eq!(Options::parse(&[2, 4, 5, 180, 0, 3, 3, 7]).window_scale, None);
    }

    #[test]
    fn sack_blocks_yield_to_timestamps() {
        let mut sack = SackBlocks::default();
        for block in 0..5 {
            sack.push(SeqRange { start: SeqNum(block * 10), end: SeqNum(block * 10 + 5) });
        }
        assert_eq!(sack.as_slice().len(), MAX_SACK_BLOCKS);
        let timestamps = Some(Timestamps { value: 1, echo: 2 });
        let options = Options { timestamps, sack, ..Options::default() };
        assert_eq!(options.len(), 40);
        let mut out = [0; MAX_HEADER];
        let len = segment(Flags::ACK, options).emit(&mut out);
        assert_eq!(Options::parse(&out[MIN_HEADER..len]).sack.as_slice(), &sack.as_slice()[..3]);
    }

    proptest! {
        #[test]
        fn any_bytes_parse_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120), piece in any::<Option<u16>>()) {
            let home = address(1, 0).ip();
            if let Ok(segment) = Segment::parse(&bytes, 20, home, home, piece) {
                prop_assert!(segment.payload.end == 20 + bytes.len());
                prop_assert!(segment.pieces >= 1);
            }
        }

        #[test]
        fn what_is_emitted_parses_back(
            flags in any::<u8>(), seq in any::<u32>(), mss in any::<Option<u16>>(), shift in any::<Option<u8>>(),
            sack_permitted in any::<bool>(), stamps in any::<Option<(u32, u32)>>(), edges in any::<[u32; 4]>(),
        ) {
            let mut options = Options {
                mss, window_scale: shift, sack_permitted,
                timestamps: stamps.map(|(value, echo)| Timestamps { value, echo }),
                ..Options::default()
            };
            if mss.is_none() {
                options.sack.push(SeqRange { start: SeqNum(edges[0]), end: SeqNum(edges[1]) });
                options.sack.push(SeqRange { start: SeqNum(edges[2]), end: SeqNum(edges[3]) });
            }
            let mut sent = segment(Flags(flags), options);
            sent.seq = SeqNum(seq);
            let mut out = [0; MAX_HEADER + 3];
            let len = sent.emit(&mut out);
            prop_assert_eq!(len, sent.header_len());
            let got = Segment::parse(&out[..len + 3], 20, sent.source.ip(), sent.destination.ip(), Some(2)).unwrap();
            prop_assert_eq!(got.payload.clone(), 20 + len..23 + len);
            prop_assert_eq!(got.pieces, 2);
            sent.payload = got.payload.clone();
            sent.pieces = 2;
            prop_assert_eq!(got, sent);
        }
    }
}
