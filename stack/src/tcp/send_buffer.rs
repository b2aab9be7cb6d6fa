//! What the application has sent and the peer has not acknowledged.

use std::collections::VecDeque;

use super::chunk::{ChunkPool, LARGE, SMALL};

/// Most slices that one packet's payload is made of.
pub(super) const MAX_SLICES: usize = 3;

/// Bytes in chunks. All chunks are full but the last, and all are large but perhaps the first, so
/// that any offset is found without a search.
#[derive(Debug, Default)]
pub(super) struct SendBuffer {
    chunks: VecDeque<Vec<u8>>,
    /// Bytes of the first chunk that are gone.
    head: u32,
    /// Less than 2^31: sequence numbers count it.
    len: u32,
}

/// A range of a send buffer.
#[derive(Debug, Default)]
pub(super) struct Slices<'a> {
    parts: [&'a [u8]; MAX_SLICES],
    count: usize,
}

impl<'a> Slices<'a> {
    pub(super) fn as_slice(&self) -> &[&'a [u8]] {
        &self.parts[..self.count]
    }
}

impl SendBuffer {
    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    /// Appends `data`. The caller keeps the bound.
    pub(super) fn push(&mut self, mut data: &[u8], pool: &mut ChunkPool) {
        self.len += data.len() as u32;
        while !data.is_empty() {
            let room = self.chunks.back().map_or(0, |chunk| chunk.capacity() - chunk.len());
            if room == 0 {
                let little = self.chunks.is_empty() && data.len() <= SMALL;
                self.chunks.push_back(if little { pool.take_small() } else { pool.take_large() });
                continue;
            }
            let (now, later) = data.split_at(room.min(data.len()));
            if let Some(chunk) = self.chunks.back_mut() {
                chunk.extend_from_slice(now);
            }
            data = later;
        }
    }

    /// Drops the first `count` bytes: they were acknowledged.
    pub(super) fn consume(&mut self, count: usize, pool: &mut ChunkPool) {
        let count = count.min(self.len()) as u32;
        self.len -= count;
        self.head += count;
        while let Some(first) = self.chunks.front() {
            let length = first.len() as u32;
            if self.len > 0 && self.head < length {
                return;
            }
            self.head = self.head.saturating_sub(length);
            if let Some(chunk) = self.chunks.pop_front() {
                pool.give(chunk);
            }
        }
        // Nothing is left: an idle connection keeps no memory.
        self.head = 0;
        self.chunks = VecDeque::new();
    }

    /// Drops everything.
    pub(super) fn clear(&mut self, pool: &mut ChunkPool) {
        self.consume(self.len(), pool);
    }

    #[cfg(test)]
    pub(super) fn heap(&self) -> usize {
        let chunks = self.chunks.iter().map(Vec::capacity).sum::<usize>();
        chunks + self.chunks.capacity() * size_of::<Vec<u8>>()
    }

    /// The `len` bytes from `offset` on, fewer if they lie in more than [`MAX_SLICES`] chunks.
    pub(super) fn slices(&self, offset: usize, len: usize) -> Slices<'_> {
        let first_len = self.chunks.front().map_or(0, |chunk| chunk.len() - self.head as usize);
        let (mut index, mut at) = match offset.checked_sub(first_len) {
            None => (0, self.head as usize + offset),
            Some(beyond) => (1 + beyond / LARGE, beyond % LARGE),
        };
        let mut slices = Slices::default();
        let mut left = len;
        for part in &mut slices.parts {
            let Some(bytes) = self.chunks.get(index).and_then(|chunk| chunk.get(at..)) else { break };
            if left == 0 || bytes.is_empty() {
                break;
            }
            *part = &bytes[..left.min(bytes.len())];
            left -= part.len();
            slices.count += 1;
            index += 1;
            at = 0;
        }
        slices
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever is pushed and consumed, every range reads back as written.
        #[test]
        fn ranges_read_back(steps in proptest::collection::vec((0usize..100_000, 0usize..100_000, any::<u16>(), any::<u16>()), 1..12)) {
            let mut pool = ChunkPool::default();
            let mut buffer = SendBuffer::default();
            let mut model: VecDeque<u8> = VecDeque::new();
            let mut written = 0usize;
            for (push, consume, offset, len) in steps {
                let data: Vec<u8> = (written..written + push).map(|i| (i % 251) as u8).collect();
                written += push;
                buffer.push(&data, &mut pool);
                model.extend(&data);
                let consume = consume.min(model.len());
                let offset = if model.is_empty() { 0 } else { usize::from(offset) % model.len() };
                let len = usize::from(len).min(model.len() - offset);
                let got = buffer.slices(offset, len);
                let got: Vec<u8> = got.as_slice().concat();
                prop_assert_eq!(got.len(), len);
                prop_assert!(got.iter().eq(model.iter().skip(offset).take(len)));
                buffer.consume(consume, &mut pool);
                model.drain(..consume);
                prop_assert_eq!(buffer.len(), model.len());
            }
            buffer.clear(&mut pool);
            prop_assert_eq!(buffer.heap(), 0);
        }
    }
}
