//! Bytes in order that the application has not read.

use std::collections::VecDeque;

use super::piece::{IN_PLACE, Memory, Piece};
use crate::packet::Packet;

/// The queue. It knows what its bytes occupy; who fills it keeps the bound on both.
#[derive(Debug, Default)]
pub(super) struct ReceiveQueue {
    pieces: VecDeque<Piece>,
    /// Bounded by a receive buffer, and that by what a window scale can say: below 2^31.
    len: u32,
    footprint: u32,
}

impl ReceiveQueue {
    /// Bytes that can be read.
    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    /// Appends a packet that holds nothing but payload. Beyond `budget` bytes of memory it is
    /// copied to where it takes no more room than its length.
    pub(super) fn push(&mut self, packet: Packet, budget: usize, memory: &mut Memory<'_>) {
        let room = budget.saturating_sub(self.footprint as usize);
        if packet.len() >= IN_PLACE && packet.footprint() <= room {
            self.push_piece(Piece::Packet(packet), memory);
            return;
        }
        self.push_copy(packet.bytes(), memory);
        memory.pool.give(packet);
    }

    /// Appends a piece as it is, or what it holds if that fits behind what is here.
    pub(super) fn push_piece(&mut self, piece: Piece, memory: &mut Memory<'_>) {
        if piece.len() < IN_PLACE
            && let Some(last) = self.pieces.back_mut()
            && last.append(piece.bytes())
        {
            self.len += piece.len() as u32;
            piece.release(memory);
            return;
        }
        self.len += piece.len() as u32;
        self.footprint += piece.footprint() as u32;
        self.pieces.push_back(piece);
    }

    fn push_copy(&mut self, mut data: &[u8], memory: &mut Memory<'_>) {
        self.len += data.len() as u32;
        while !data.is_empty() {
            let room = match self.pieces.back() {
                Some(Piece::Chunk { bytes, .. }) => bytes.capacity() - bytes.len(),
                _ => 0,
            };
            let (now, later) = data.split_at(room.min(data.len()));
            if let Some(last) = self.pieces.back_mut()
                && !now.is_empty()
            {
                last.append(now);
            }
            data = later;
            if !data.is_empty() {
                // The first chunk of an interactive connection is small, those of a stream are not.
                let bytes = if self.len() <= super::chunk::SMALL {
                    memory.chunks.take_small()
                } else {
                    memory.chunks.take_large()
                };
                self.footprint += bytes.capacity() as u32;
                self.pieces.push_back(Piece::Chunk { bytes, read: 0 });
            }
        }
    }

    /// Moves bytes to `buffer`; returns how many.
    pub(super) fn read(&mut self, buffer: &mut [u8], memory: &mut Memory<'_>) -> usize {
        let mut done = 0;
        while done < buffer.len() {
            let Some(first) = self.pieces.front_mut() else { break };
            let bytes = first.bytes();
            let count = bytes.len().min(buffer.len() - done);
            buffer[done..done + count].copy_from_slice(&bytes[..count]);
            first.advance(count);
            done += count;
            if first.len() == 0
                && let Some(piece) = self.pieces.pop_front()
            {
                self.footprint -= piece.footprint() as u32;
                piece.release(memory);
            }
        }
        self.len -= done as u32;
        self.forget_if_empty();
        done
    }

    /// Drops everything.
    pub(super) fn clear(&mut self, memory: &mut Memory<'_>) {
        for piece in self.pieces.drain(..) {
            piece.release(memory);
        }
        self.len = 0;
        self.footprint = 0;
        self.forget_if_empty();
    }

    #[cfg(test)]
    pub(super) fn heap(&self) -> usize {
        self.footprint as usize + self.pieces.capacity() * size_of::<Piece>()
    }

    /// An idle connection keeps no memory.
    fn forget_if_empty(&mut self) {
        if self.pieces.is_empty() {
            self.pieces = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::chunk::ChunkPool;
    use super::*;
    use crate::packet::Pool;
    use proptest::prelude::*;

    proptest! {
        /// Bytes come out as they went in, whatever the sizes of packets and reads; memory stays
        /// within the budget plus what the bytes themselves take.
        #[test]
        fn bytes_come_out_as_they_went_in(
            steps in proptest::collection::vec((1usize..9000, 1usize..9000), 1..60),
            budget in 0usize..200_000,
        ) {
            let (mut pool, mut chunks) = (Pool::new(4), ChunkPool::default());
            let mut memory = Memory { pool: &mut pool, chunks: &mut chunks };
            let mut queue = ReceiveQueue::default();
            let mut model: VecDeque<u8> = VecDeque::new();
            let mut count = 0usize;
            for (write, read) in steps {
                let data: Vec<u8> = (count..count + write).map(|i| (i % 251) as u8).collect();
                count += write;
                let mut packet = memory.pool.take();
                packet.room(0)[..write].copy_from_slice(&data);
                packet.filled(write);
                queue.push(packet, budget, &mut memory);
                model.extend(&data);
                prop_assert!(queue.footprint as usize <= budget + 2 * model.len() + 3 * super::super::chunk::LARGE);
                let mut buffer = vec![0; read];
                let got = queue.read(&mut buffer, &mut memory);
                prop_assert_eq!(got, read.min(model.len()));
                prop_assert!(buffer[..got].iter().copied().eq(model.drain(..got)));
                prop_assert_eq!(queue.len(), model.len());
            }
            queue.clear(&mut memory);
            prop_assert_eq!((queue.len, queue.footprint), (0, 0));
        }
    }
}
