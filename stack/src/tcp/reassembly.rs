//! Bytes that came before those that they follow (RFC 9293, 3.10.7.4; RFC 2018; RFC 2883).

use std::collections::VecDeque;

use super::piece::{IN_PLACE, Memory, Piece};
use crate::packet::Packet;
use crate::seq::SeqNum;
use crate::wire::tcp::{MAX_SACK_BLOCKS, SeqRange};

/// Most pieces that wait; a peer that sends single bytes with gaps gets no further.
const MAX_PIECES: usize = 4096;

#[derive(Debug)]
struct Block {
    start: SeqNum,
    piece: Piece,
}

impl Block {
    fn end(&self) -> SeqNum {
        // A piece is at most 64 KiB.
        self.start + self.piece.len() as u32
    }
}

/// What became of a segment out of order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Inserted {
    /// It brought bytes that were not here.
    pub(super) new: bool,
    /// Bytes of it that were already here: the DSACK block.
    pub(super) duplicate: Option<SeqRange>,
}

/// The queue: blocks that do not overlap, in order.
#[derive(Debug, Default)]
pub(super) struct Reassembly {
    blocks: VecDeque<Block>,
    footprint: usize,
    /// Ranges to report, the latest first (RFC 2018, section 4).
    sack: Vec<SeqRange>,
}

impl Reassembly {
    pub(super) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// The ranges that are here, the latest first, at most four.
    pub(super) fn ranges(&self) -> &[SeqRange] {
        &self.sack
    }

    /// The first stretch of bytes here that begins before `end`, as far as that.
    pub(super) fn first_before(&self, end: SeqNum) -> Option<SeqRange> {
        let first = self.blocks.front().filter(|first| first.start.before(end))?;
        let mut stretch = SeqRange { start: first.start, end: first.end() };
        for block in self.blocks.iter().skip(1).take_while(|block| block.start.before(end)) {
            if block.start != stretch.end {
                break;
            }
            stretch.end = block.end();
        }
        stretch.end = stretch.end.earliest(end);
        Some(stretch)
    }

    /// Takes in a packet that holds nothing but payload, the first byte of which is `start`.
    /// Bytes that are here already stay as they are. What would take the memory over `budget`
    /// is left out: nobody was told that it came.
    pub(super) fn insert(&mut self, start: SeqNum, packet: Packet, budget: usize, memory: &mut Memory<'_>) -> Inserted {
        // A packet is at most 64 KiB.
        let end = start + packet.len() as u32;
        let mut outcome = Inserted::default();
        let mut index = self.blocks.partition_point(|block| block.end().before_eq(start));
        let overlaps = self.blocks.get(index).is_some_and(|block| block.start.before(end));
        let room = budget.saturating_sub(self.footprint);
        if !overlaps && packet.len() >= IN_PLACE && packet.footprint() <= room && self.blocks.len() < MAX_PIECES {
            self.place(index, start, Piece::Packet(packet));
            self.report(SeqRange { start, end });
            return Inserted { new: true, duplicate: None };
        }
        let mut cursor = start;
        while cursor.before(end) {
            let next = self.blocks.get(index).map(|block| (block.start, block.end()));
            if let Some((from, to)) = next
                && from.before_eq(cursor)
            {
                let covered = SeqRange { start: cursor, end: to.earliest(end) };
                outcome.duplicate.get_or_insert(covered);
                cursor = covered.end;
                index += 1;
                continue;
            }
            let gap_end = next.map_or(end, |(from, _)| from.earliest(end));
            let bytes = &packet.bytes()[(cursor - start) as usize..(gap_end - start) as usize];
            if !self.fill(index, cursor, bytes, budget, memory) {
                break;
            }
            // Either a block was put in at the index, or the one before it grew.
            index = self.blocks.partition_point(|block| block.end().before_eq(cursor)) + 1;
            self.report(SeqRange { start: cursor, end: gap_end });
            outcome.new = true;
            cursor = gap_end;
        }
        memory.pool.give(packet);
        outcome
    }

    /// Copies `bytes` in before the block at `index`; `false` if there is no room.
    fn fill(&mut self, index: usize, at: SeqNum, bytes: &[u8], budget: usize, memory: &mut Memory<'_>) -> bool {
        if let Some(before) = index.checked_sub(1).and_then(|index| self.blocks.get_mut(index))
            && before.end() == at
            && before.piece.append(bytes)
        {
            return true;
        }
        let piece = Piece::copy_of(bytes, memory.chunks);
        if self.footprint + piece.footprint() > budget || self.blocks.len() >= MAX_PIECES {
            piece.release(memory);
            return false;
        }
        self.place(index, at, piece);
        true
    }

    fn place(&mut self, index: usize, start: SeqNum, piece: Piece) {
        self.footprint += piece.footprint();
        self.blocks.insert(index, Block { start, piece });
    }

    /// Puts a range at the front of the report, joined with those that it touches.
    fn report(&mut self, mut range: SeqRange) {
        self.sack.retain(|other| {
            let apart = other.end.before(range.start) || other.start.after(range.end);
            if !apart {
                range.start = range.start.earliest(other.start);
                range.end = range.end.latest(other.end);
            }
            apart
        });
        self.sack.truncate(MAX_SACK_BLOCKS - 1);
        self.sack.insert(0, range);
    }

    /// The bytes from `next` on, if they are here; call again with the sequence number after them.
    pub(super) fn take(&mut self, next: SeqNum, memory: &mut Memory<'_>) -> Option<Piece> {
        while let Some(first) = self.blocks.front() {
            if first.start.after(next) {
                break;
            }
            let mut block = self.blocks.pop_front()?;
            self.footprint -= block.piece.footprint();
            if block.end().before_eq(next) {
                block.piece.release(memory);
                continue;
            }
            block.piece.advance((next - block.start) as usize);
            let end = next + block.piece.len() as u32;
            self.sack.retain(|range| range.end.after(end));
            return Some(block.piece);
        }
        self.sack.retain(|range| range.end.after(next));
        None
    }

    /// Drops everything.
    pub(super) fn clear(&mut self, memory: &mut Memory<'_>) {
        for block in self.blocks.drain(..) {
            block.piece.release(memory);
        }
        self.footprint = 0;
        self.sack.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::super::chunk::ChunkPool;
    use super::*;
    use crate::packet::Pool;
    use proptest::prelude::*;

    fn byte(seq: u32) -> u8 {
        (seq % 251) as u8
    }

    fn packet(start: u32, len: u32) -> Packet {
        Packet::copy_of(&(start..start + len).map(byte).collect::<Vec<_>>())
    }

    proptest! {
        /// Segments in any order, doubled and overlapping: the stream comes out whole, and what is
        /// reported lies within what has come.
        #[test]
        fn any_order_gives_the_stream(segments in proptest::collection::vec((0u32..60_000, 1u32..6000), 1..60)) {
            let (mut pool, mut chunks) = (Pool::new(4), ChunkPool::default());
            let mut memory = Memory { pool: &mut pool, chunks: &mut chunks };
            // Close to the wrap.
            let base = SeqNum(u32::MAX - 20_000);
            let mut queue = Reassembly::default();
            let mut held = vec![false; 70_000];
            for &(start, len) in &segments {
                let range = start as usize..(start + len) as usize;
                let before = held[range.clone()].iter().filter(|&&held| held).count();
                let got = queue.insert(base + start, packet(start, len), usize::MAX, &mut memory);
                prop_assert_eq!(got.new, before < range.len());
                prop_assert_eq!(got.duplicate.is_some(), before > 0);
                held[range].fill(true);
                for (at, range) in queue.ranges().iter().enumerate() {
                    let (from, to) = ((range.start - base) as usize, (range.end - base) as usize);
                    prop_assert!(held[from..to].iter().all(|&held| held));
                    // The first one has to do with the segment that came last.
                    if at == 0 && got.new {
                        prop_assert!(from < (start + len) as usize && to > start as usize);
                    }
                }
            }
            let mut next = base;
            let run = held.iter().position(|&held| !held).unwrap_or(held.len());
            while let Some(piece) = queue.take(next, &mut memory) {
                let from = next - base;
                prop_assert!(piece.bytes().iter().copied().eq((from..from + piece.len() as u32).map(byte)));
                next += piece.len() as u32;
                piece.release(&mut memory);
            }
            prop_assert_eq!((next - base) as usize, run);
            queue.clear(&mut memory);
            prop_assert_eq!(queue.footprint, 0);
        }

        /// The memory bound holds whatever comes.
        #[test]
        fn memory_is_bounded(segments in proptest::collection::vec((0u32..60_000, 1u32..6000), 1..60), budget in 0usize..100_000) {
            let (mut pool, mut chunks) = (Pool::new(4), ChunkPool::default());
            let mut memory = Memory { pool: &mut pool, chunks: &mut chunks };
            let mut queue = Reassembly::default();
            for (start, len) in segments {
                queue.insert(SeqNum(start), packet(start, len), budget, &mut memory);
                prop_assert!(queue.footprint <= budget);
                prop_assert_eq!(queue.footprint, queue.blocks.iter().map(|block| block.piece.footprint()).sum::<usize>());
            }
        }
    }
}
