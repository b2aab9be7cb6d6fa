//! Memory that two processes have in common.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{MapFlags, ProtFlags};

/// Neither process can make it smaller, so no access to it ever faults.
const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);

/// A mapping. What it holds may change at any moment: whoever reads it copies first, and then checks.
pub(crate) struct SharedMemory {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping belongs to this value alone, and moves with it; no thread is tied to it.
unsafe impl Send for SharedMemory {}

impl SharedMemory {
    /// New memory, all zero, and what another process opens it by.
    pub fn create(name: &str, len: usize) -> io::Result<(Self, OwnedFd)> {
        let fd = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        rustix::fs::ftruncate(&fd, len as u64)?;
        rustix::fs::fcntl_add_seals(&fd, SEALS)?;
        Ok((SharedMemory::map(&fd, len)?, fd))
    }

    /// The memory of another process, of which it cannot take away anything any more.
    pub fn open(fd: impl AsFd, len: usize) -> io::Result<Self> {
        let size = rustix::fs::fstat(&fd)?.st_size;
        let sealed = rustix::fs::fcntl_get_seals(&fd)?.contains(SEALS);
        if !sealed || u64::try_from(size).is_ok_and(|size| size != len as u64) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        SharedMemory::map(&fd, len)
    }

    fn map(fd: impl AsFd, len: usize) -> io::Result<Self> {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice touches no other memory.
        let start = unsafe { rustix::mm::mmap(ptr::null_mut(), len, access, MapFlags::SHARED, fd, 0) }?;
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(SharedMemory { start, len })
    }

    /// The eight bytes at `at`, a multiple of eight.
    ///
    /// # Panics
    /// If they are not within the memory: whoever asks has checked that.
    pub fn word(&self, at: usize) -> &AtomicU64 {
        assert!(at.is_multiple_of(8) && at < self.len && self.len - at >= 8, "a word outside of shared memory");
        // SAFETY: within the mapping, which is as long-lived as `self`; aligned, for the mapping begins
        // at a page; and nothing but atomic accesses is made to words of which references exist.
        unsafe { AtomicU64::from_ptr(self.start.as_ptr().add(at).cast()) }
    }

    /// Copies `bytes` to `at`.
    ///
    /// # Panics
    /// As [`word`](Self::word).
    pub fn write(&self, at: usize, bytes: &[u8]) {
        assert!(at <= self.len && bytes.len() <= self.len - at, "a write outside of shared memory");
        // SAFETY: both are valid for that length and do not overlap. That the other process reads at the
        // same time is kept from happening by the order in which a ring is used; if it does so in spite
        // of that, it gets bytes of either content, and bytes have no invalid values.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.start.as_ptr().add(at), bytes.len()) }
    }

    /// Copies what is at `at` into `bytes`.
    ///
    /// # Panics
    /// As [`word`](Self::word).
    pub fn read(&self, at: usize, bytes: &mut [u8]) {
        assert!(at <= self.len && bytes.len() <= self.len - at, "a read outside of shared memory");
        // SAFETY: as for `write`, the other way round.
        unsafe { ptr::copy_nonoverlapping(self.start.as_ptr().add(at), bytes.as_mut_ptr(), bytes.len()) }
    }

    /// A number that only one of the two sides changes.
    pub fn load(&self, at: usize) -> u64 {
        self.word(at).load(Ordering::Acquire)
    }

    /// Makes all that was written before visible to whoever loads this number.
    pub fn store(&self, at: usize, value: u64) {
        self.word(at).store(value, Ordering::Release);
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        // SAFETY: the whole mapping, of which no reference outlives `self`. It cannot fail then.
        let _ = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

impl fmt::Debug for SharedMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedMemory").field("len", &self.len).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_mappings_are_one_memory() {
        let (one, fd) = SharedMemory::create("test", 8192).unwrap();
        let two = SharedMemory::open(&fd, 8192).unwrap();
        one.write(100, b"here");
        one.store(8, 7);
        let mut there = [0; 4];
        two.read(100, &mut there);
        assert_eq!((&there, two.load(8)), (b"here", 7));
    }

    /// Of another process nothing is mapped that it could take away again.
    #[test]
    fn memory_that_can_shrink_is_refused() {
        let fd = rustix::fs::memfd_create("test", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        rustix::fs::ftruncate(&fd, 8192).unwrap();
        assert!(SharedMemory::open(&fd, 8192).is_err());
        rustix::fs::fcntl_add_seals(&fd, SEALS).unwrap();
        assert!(SharedMemory::open(&fd, 4096).is_err());
        assert!(SharedMemory::open(&fd, 8192).is_ok());
        assert!(rustix::fs::ftruncate(&fd, 0).is_err());
    }
}
