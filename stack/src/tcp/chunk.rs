//! Memory for byte streams: chunks of two sizes, used again and again.

/// A chunk for little data.
pub(super) const SMALL: usize = 4 * 1024;
/// A chunk for a stream that flows.
pub(super) const LARGE: usize = 64 * 1024;

const KEEP_SMALL: usize = 256;
const KEEP_LARGE: usize = 64;

/// Chunks that nobody uses now: at most 5 MiB.
#[derive(Debug, Default)]
pub(super) struct ChunkPool {
    small: Vec<Vec<u8>>,
    large: Vec<Vec<u8>>,
}

impl ChunkPool {
    pub(super) fn take_small(&mut self) -> Vec<u8> {
        self.small.pop().unwrap_or_else(|| Vec::with_capacity(SMALL))
    }

    pub(super) fn take_large(&mut self) -> Vec<u8> {
        self.large.pop().unwrap_or_else(|| Vec::with_capacity(LARGE))
    }

    pub(super) fn give(&mut self, mut chunk: Vec<u8>) {
        let (list, keep) = match chunk.capacity() {
            LARGE => (&mut self.large, KEEP_LARGE),
            SMALL => (&mut self.small, KEEP_SMALL),
            _ => return,
        };
        if list.len() < keep {
            chunk.clear();
            list.push(chunk);
        }
    }
}
