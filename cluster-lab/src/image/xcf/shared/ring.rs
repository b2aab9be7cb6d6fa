//! A ring of datagrams in memory that two processes have in common: one puts them in, one takes them out.
//!
//! ```text
//!   0        64       128      4096                                     4096 + ROOM
//!   +--------+--------+--------+-----+---------------------------------------+
//!   | tail   | head   | sleeps |     |  length, datagram, length, datagram ... |
//!   +--------+--------+--------+-----+---------------------------------------+
//! ```
//!
//! `tail` and `head` only grow; modulo the room they tell where the next datagram goes in and comes out.
//! Each begins at a multiple of eight with its length in eight bytes, and never wraps: where it would, the
//! rest is skipped. As long as the reader keeps up, the writer starts from the beginning again and again,
//! so that the memory in use stays small and within a processor's cache. What was skipped is room again
//! only once the reader has come by.
//!
//! The reader trusts the writer with the content alone: what it says of places and lengths is checked.

use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::sync::atomic::{Ordering, fence};

use crate::sys::SharedMemory;

/// Bytes for datagrams: as much as the receive buffer of a UDP link, for a burst must not overrun it.
const ROOM: u64 = 16 << 20;
const START: usize = 4096;
const LEN: usize = START + ROOM as usize;

/// Beyond this an empty ring starts from its beginning. It is also the room that is left then, until the
/// reader has come by: a burst.
const RESTART: u64 = 4 << 20;
/// In place of a length: nothing more until the end of the room.
const SKIP: u64 = u64::MAX;

/// Each on a cache line of its own: bytes that have been put in, and taken out, ever.
const TAIL: usize = 0;
const HEAD: usize = 64;
/// 1 if the reader wants to be woken.
const SLEEPS: usize = 128;

/// What a datagram of `len` bytes takes.
fn span(len: u64) -> u64 {
    8 + len.next_multiple_of(8)
}

/// Where in the memory a count of bytes leads.
fn place(count: u64) -> usize {
    START + (count % ROOM) as usize
}

/// The end that puts datagrams in.
#[derive(Debug)]
pub(super) struct Writer {
    memory: SharedMemory,
    tail: u64,
}

impl Writer {
    /// For a ring that the reader has made.
    pub fn open(fd: OwnedFd) -> io::Result<Writer> {
        Ok(Writer { memory: SharedMemory::open(fd, LEN)?, tail: 0 })
    }

    /// Puts in the concatenation of `parts`; `false` if there is no room.
    #[must_use]
    pub fn put(&mut self, parts: &[IoSlice<'_>]) -> bool {
        let len: u64 = parts.iter().map(|part| part.len() as u64).sum();
        let (needed, head) = (span(len), self.memory.load(HEAD));
        let to_end = ROOM - self.tail % ROOM;
        let restarts = head == self.tail && ROOM - to_end > RESTART;
        let skipped = if needed > to_end || restarts { to_end } else { 0 };
        // A reader that tells nonsense gets nothing, or what it has not read is overwritten: its own loss.
        if self.tail.wrapping_sub(head) > ROOM.saturating_sub(skipped + needed) {
            return false;
        }
        if skipped > 0 {
            self.memory.write(place(self.tail), &SKIP.to_ne_bytes());
            self.tail += skipped;
        }
        let mut at = place(self.tail);
        self.memory.write(at, &len.to_ne_bytes());
        at += 8;
        for part in parts {
            self.memory.write(at, part);
            at += part.len();
        }
        self.tail += needed;
        self.memory.store(TAIL, self.tail);
        true
    }

    /// Whether the reader is to be woken, now that something was put in. It is told once.
    #[must_use]
    pub fn wakes(&self) -> bool {
        // Either the reader sees the new tail before it sleeps, or its wish is seen here.
        fence(Ordering::SeqCst);
        let sleeps = self.memory.word(SLEEPS);
        sleeps.load(Ordering::Relaxed) == 1 && sleeps.swap(0, Ordering::AcqRel) == 1
    }
}

/// The writer broke the ring's rules.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// The end that takes datagrams out.
#[derive(Debug)]
pub(super) struct Reader {
    memory: SharedMemory,
    head: u64,
}

impl Reader {
    /// A new ring, and what the writer opens it by.
    pub fn create() -> io::Result<(Reader, OwnedFd)> {
        let (memory, fd) = SharedMemory::create("xcf", LEN)?;
        Ok((Reader { memory, head: 0 }, fd))
    }

    /// Moves the next datagram to the start of `buffer`; its length, or `None` if there is none.
    pub fn take(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, Broken> {
        loop {
            let waiting = self.memory.load(TAIL).wrapping_sub(self.head);
            if waiting == 0 {
                return Ok(None);
            }
            let to_end = ROOM - self.head % ROOM;
            if waiting > ROOM || !waiting.is_multiple_of(8) {
                return Err(Broken);
            }
            let len = self.memory.word(place(self.head)).load(Ordering::Relaxed);
            if len == SKIP {
                if waiting < to_end {
                    return Err(Broken);
                }
                self.advance(to_end);
                continue;
            }
            if len > buffer.len() as u64 || span(len) > waiting.min(to_end) {
                return Err(Broken);
            }
            let len = len as usize;
            self.memory.read(place(self.head) + 8, &mut buffer[..len]);
            self.advance(span(len as u64));
            return Ok(Some(len));
        }
    }

    fn advance(&mut self, count: u64) {
        self.head += count;
        self.memory.store(HEAD, self.head);
    }

    /// Asks to be woken for the next datagram; `false` if there is one already.
    #[must_use]
    pub fn sleeps(&self) -> bool {
        self.memory.word(SLEEPS).store(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        self.memory.load(TAIL) == self.head
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    fn ring() -> (Writer, Reader) {
        let (reader, fd) = Reader::create().unwrap();
        (Writer::open(fd).unwrap(), reader)
    }

    proptest! {
        /// What goes in comes out, whole and in order, as long as there is room, wherever it wraps.
        #[test]
        fn datagrams_come_out_as_they_went_in(
            steps in prop::collection::vec((prop_oneof![Just(0usize), 1..100usize, 60_000..65_000usize], 0..4usize), 1..1500)
        ) {
            let ((mut writer, mut reader), mut inside) = (ring(), VecDeque::new());
            let mut buffer = vec![0; 65_536];
            for (number, (len, taken)) in steps.into_iter().enumerate() {
                let datagram = vec![number as u8; len];
                let (one, two) = datagram.split_at(len / 3);
                let occupied: u64 = inside.iter().map(|datagram: &Vec<u8>| span(datagram.len() as u64)).sum();
                if writer.put(&[IoSlice::new(one), IoSlice::new(two)]) {
                    inside.push_back(datagram);
                } else {
                    prop_assert!(occupied + 2 * span(65_000) > ROOM, "refused at {occupied}");
                }
                // Less than goes in: it fills.
                for _ in 0..taken / 2 {
                    let got = reader.take(&mut buffer).unwrap().map(|len| buffer[..len].to_vec());
                    prop_assert_eq!(got, inside.pop_front());
                }
            }
            while let Some(expected) = inside.pop_front() {
                let len = reader.take(&mut buffer).unwrap().unwrap();
                prop_assert_eq!(&buffer[..len], &expected[..]);
            }
            prop_assert_eq!(reader.take(&mut buffer), Ok(None));
        }

        /// Whatever the other process writes, reading is safe and comes to an end.
        #[test]
        fn nonsense_is_noticed(tail in any::<u64>(), words in prop::collection::vec(prop_oneof![any::<u64>(), 0..200u64, Just(SKIP)], 1..50)) {
            let (writer, mut reader) = ring();
            for (number, word) in words.iter().enumerate() {
                writer.memory.write(START + number * 8, &word.to_ne_bytes());
            }
            writer.memory.store(TAIL, tail);
            let (mut buffer, mut taken) = (vec![0; 65_536], 0u64);
            while let Ok(Some(len)) = reader.take(&mut buffer) {
                taken += span(len as u64);
                prop_assert!(taken <= ROOM);
            }
        }
    }

    /// A reader that keeps up costs little memory.
    #[test]
    fn an_empty_ring_starts_from_its_beginning() {
        let ((mut writer, mut reader), datagram) = (ring(), vec![1; 60_000]);
        let (mut buffer, mut highest) = (vec![0; 65_536], 0);
        for _ in 0..1000 {
            assert!(writer.put(&[IoSlice::new(&datagram)]));
            highest = highest.max(place(writer.tail));
            assert_eq!(reader.take(&mut buffer), Ok(Some(60_000)));
        }
        assert!(highest < START + (RESTART as usize) + 65_536, "{highest}");
    }

    /// Wherever an empty ring has come to, there is room for a burst.
    #[test]
    fn an_empty_ring_takes_a_burst() {
        let ((mut writer, mut reader), datagram) = (ring(), vec![1; 60_000]);
        let mut buffer = vec![0; 65_536];
        for _ in 0..1000 {
            for _ in 0..RESTART as usize / 2 / datagram.len() {
                assert!(writer.put(&[IoSlice::new(&datagram)]), "at {}", place(writer.tail));
            }
            while reader.take(&mut buffer).unwrap().is_some() {}
            assert!(writer.put(&[IoSlice::new(b"odd")]) && reader.take(&mut buffer) == Ok(Some(3)));
        }
    }

    #[test]
    fn the_reader_is_woken_once() {
        let (mut writer, mut reader) = ring();
        assert!(!writer.wakes() && reader.sleeps());
        assert!(writer.put(&[IoSlice::new(b"one")]) && writer.wakes() && !writer.wakes());
        assert!(writer.put(&[IoSlice::new(b"two")]) && !writer.wakes(), "it has not asked again");
        assert!(!reader.sleeps(), "there is something");
        assert_eq!(reader.take(&mut [0; 8]), Ok(Some(3)));
    }
}
