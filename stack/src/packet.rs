//! The one packet buffer that goes from device to stack to application, and over XCF.

use core::fmt;

/// Bytes kept free before the packet for a link's header, or the two of XCF, so that one contiguous
/// write sends header and packet without a copy.
pub const HEADROOM: usize = 96;

/// Bytes kept free behind the packet, for the tag that seals it on XCF.
pub const TAILROOM: usize = 16;

/// The largest IP packet or super-segment a buffer holds.
pub const MAX_PACKET: usize = 65_535;

const FULL: usize = HEADROOM + MAX_PACKET + 1 + TAILROOM;

/// What is known of the transport checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Checksum {
    /// Nothing: whoever takes the packet in has to verify it.
    #[default]
    Unverified,
    /// The checksum in the packet is complete and was verified.
    Valid,
    /// The field at `start + offset` holds the pseudo-header's partial sum; the one's complement
    /// sum from `start` to the end is still to be put in. As good as valid for local input.
    Partial {
        /// Where the sum begins, from the first byte of the packet.
        start: u16,
        /// Where the field lies, from `start`.
        offset: u16,
    },
}

/// Which kind of super-segment a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentKind {
    /// TCP over IPv4.
    TcpV4,
    /// TCP over IPv6.
    TcpV6,
    /// UDP datagrams of one size (USO).
    Udp,
}

/// A super-segment: one packet that stands for many on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segmentation {
    /// What it is to be cut into.
    pub kind: SegmentKind,
    /// Payload bytes of each piece but the last.
    pub size: u16,
}

/// The offload facts of a packet; they stay with it wherever it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Offload {
    /// State of the transport checksum.
    pub checksum: Checksum,
    /// Set on a super-segment.
    pub segmentation: Option<Segmentation>,
}

/// An owned IP packet with [`HEADROOM`] before it, [`TAILROOM`] behind it, and its offload facts.
#[derive(Clone)]
pub struct Packet {
    storage: Vec<u8>,
    start: usize,
    end: usize,
    /// What the device left to do, or to be done.
    pub offload: Offload,
}

impl Packet {
    /// An empty full-size buffer. Prefer [`Pool::take`], which does not allocate in the long run.
    pub fn full_size() -> Self {
        Packet { storage: vec![0; FULL], start: HEADROOM, end: HEADROOM, offload: Offload::default() }
    }

    /// A buffer just large enough for `bytes`, with room on both sides; for small replies and for tests.
    pub fn copy_of(bytes: &[u8]) -> Self {
        let mut packet = Packet::sized(bytes.len());
        packet.bytes_mut().copy_from_slice(bytes);
        packet
    }

    /// `len` zeros, with room on both sides.
    pub(crate) fn sized(len: usize) -> Self {
        let (storage, end) = (vec![0; HEADROOM + len + TAILROOM], HEADROOM + len);
        Packet { storage, start: HEADROOM, end, offload: Offload::default() }
    }

    /// The packet.
    pub fn bytes(&self) -> &[u8] {
        &self.storage[self.start..self.end]
    }

    /// The packet, to change in place.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.storage[self.start..self.end]
    }

    /// Its length in bytes.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether it has no byte.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Bytes free before the packet.
    pub fn headroom(&self) -> usize {
        self.start
    }

    /// Bytes that the buffer occupies, whatever it holds: what a bounded queue has to count.
    pub fn footprint(&self) -> usize {
        self.storage.len()
    }

    /// The room a driver reads into: `before` bytes of headroom for the link's own header,
    /// then space for the packet. Follow with [`filled`](Packet::filled).
    ///
    /// # Panics
    /// If `before` is more than [`HEADROOM`]: a constant of the caller.
    pub fn room(&mut self, before: usize) -> &mut [u8] {
        assert!(before <= HEADROOM, "a link header longer than the headroom");
        &mut self.storage[HEADROOM - before..]
    }

    /// Says that the packet now occupies `len` bytes after the headroom. Clears the offload facts.
    ///
    /// # Panics
    /// If `len` is more than the buffer holds: the driver has just read that much into it.
    pub fn filled(&mut self, len: usize) {
        assert!(HEADROOM + len <= self.storage.len(), "more than the buffer holds");
        self.start = HEADROOM;
        self.end = HEADROOM + len;
        self.offload = Offload::default();
    }

    /// Drops `count` bytes from the front (all, if there are fewer); they become headroom.
    pub fn trim_front(&mut self, count: usize) {
        self.start = self.end.min(self.start + count);
    }

    /// Keeps only the first `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        self.end = self.end.min(self.start + len);
    }

    /// Puts `header` before the packet; `false`, and nothing changed, if the headroom is too short.
    #[must_use]
    pub fn push_front(&mut self, header: &[u8]) -> bool {
        let Some(start) = self.start.checked_sub(header.len()) else { return false };
        self.storage[start..self.start].copy_from_slice(header);
        self.start = start;
        true
    }

    /// Makes the packet longer by `before` bytes in front and `after` behind, which hold anything
    /// until they are written; `false`, and nothing changed, if there is no such room.
    #[must_use]
    pub fn grow(&mut self, before: usize, after: usize) -> bool {
        let (start, end) = (self.start.checked_sub(before), self.end + after);
        let Some(start) = start.filter(|_| end <= self.storage.len()) else { return false };
        (self.start, self.end) = (start, end);
        true
    }
}

impl fmt::Debug for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packet").field("len", &self.len()).field("offload", &self.offload).finish_non_exhaustive()
    }
}

/// Full-size buffers of one image, used again and again.
#[derive(Debug)]
pub struct Pool {
    free: Vec<Packet>,
    keep: usize,
}

impl Pool {
    /// A pool that keeps at most `keep` free buffers.
    pub fn new(keep: usize) -> Self {
        Pool { free: Vec::new(), keep }
    }

    /// An empty full-size packet, from the free ones if there is one.
    pub fn take(&mut self) -> Packet {
        self.reuse().unwrap_or_else(Packet::full_size)
    }

    /// One of the free packets.
    pub fn reuse(&mut self) -> Option<Packet> {
        self.free.pop()
    }

    /// Gives a packet back. Small ones and those beyond the bound are freed.
    pub fn give(&mut self, mut packet: Packet) {
        if packet.storage.len() == FULL && self.free.len() < self.keep {
            packet.filled(0);
            self.free.push(packet);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_go_into_the_headroom_and_out_again() {
        let mut packet = Packet::copy_of(b"payload");
        assert!(packet.push_front(b"head"));
        assert_eq!(packet.bytes(), b"headpayload");
        packet.trim_front(4);
        assert_eq!(packet.bytes(), b"payload");
        assert!(!packet.push_front(&[0; HEADROOM + 1]));
        assert_eq!(packet.headroom(), HEADROOM);
    }

    #[test]
    fn a_packet_grows_on_both_sides() {
        let mut packet = Packet::copy_of(b"payload");
        assert!(!packet.grow(HEADROOM + 1, 0) && !packet.grow(0, TAILROOM + 1));
        assert!(packet.grow(2, TAILROOM));
        assert_eq!((packet.len(), &packet.bytes()[2..9]), (2 + 7 + TAILROOM, &b"payload"[..]));
    }

    #[test]
    fn a_pool_keeps_full_buffers_up_to_its_bound() {
        let mut pool = Pool::new(1);
        let mut a = pool.take();
        a.room(10)[..12].copy_from_slice(b"0123456789ab");
        a.filled(2);
        assert_eq!(a.bytes(), b"ab");
        pool.give(a);
        pool.give(Packet::full_size());
        pool.give(Packet::copy_of(b"small"));
        assert_eq!(pool.free.len(), 1);
        assert!(pool.take().is_empty());
    }
}
