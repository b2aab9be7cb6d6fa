//! Received bytes, in the packet that brought them or in a chunk that gathers small ones.

use super::chunk::ChunkPool;
use crate::packet::{Packet, Pool};

/// Payloads of this size and more stay in their packet.
pub(super) const IN_PLACE: usize = 2048;

/// Received bytes of one connection, without a gap.
#[derive(Debug)]
pub(super) enum Piece {
    /// Still in the packet, which holds nothing else.
    Packet(Packet),
    /// Copied; the first `read` bytes are gone.
    Chunk { bytes: Vec<u8>, read: usize },
}

impl Piece {
    /// A chunk with `data` in it.
    pub(super) fn copy_of(data: &[u8], chunks: &mut ChunkPool) -> Piece {
        let mut bytes = match data.len() {
            0..=256 => Vec::with_capacity(data.len()),
            257..=super::chunk::SMALL => chunks.take_small(),
            _ => chunks.take_large(),
        };
        bytes.extend_from_slice(data);
        Piece::Chunk { bytes, read: 0 }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Piece::Packet(packet) => packet.bytes(),
            Piece::Chunk { bytes, read } => &bytes[*read..],
        }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes().len()
    }

    /// What it occupies, whatever it holds.
    pub(super) fn footprint(&self) -> usize {
        match self {
            Piece::Packet(packet) => packet.footprint(),
            Piece::Chunk { bytes, .. } => bytes.capacity(),
        }
    }

    /// Drops `count` bytes from the front.
    pub(super) fn advance(&mut self, count: usize) {
        match self {
            Piece::Packet(packet) => packet.trim_front(count),
            Piece::Chunk { bytes, read } => *read = bytes.len().min(*read + count),
        }
    }

    /// Appends `data` if it is a chunk with room for it.
    pub(super) fn append(&mut self, data: &[u8]) -> bool {
        match self {
            Piece::Chunk { bytes, .. } if bytes.capacity() - bytes.len() >= data.len() => {
                bytes.extend_from_slice(data);
                true
            }
            _ => false,
        }
    }

    /// Gives the memory back.
    pub(super) fn release(self, memory: &mut Memory<'_>) {
        match self {
            Piece::Packet(packet) => memory.pool.give(packet),
            Piece::Chunk { bytes, .. } => memory.chunks.give(bytes),
        }
    }
}

/// Where received bytes live, and where their memory goes back to.
#[derive(Debug)]
pub(super) struct Memory<'a> {
    pub(super) pool: &'a mut Pool,
    pub(super) chunks: &'a mut ChunkPool,
}
