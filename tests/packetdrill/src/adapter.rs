//! One lock around the world, calls that block, and time.
//!
//! packetdrill makes calls that block on a second thread, at most one at a time, while its main
//! thread goes on. Time is virtual and moves only by what the main thread asks for, so whatever
//! wakes the second thread holds time still until that thread has read the clock once: its call
//! returns at the moment that woke it.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

use stack::Instant;

use crate::settings::Flags;
use crate::world::World;

/// What a call returns when it fails: `errno`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub i32);

/// A call's result.
pub type Call<T> = Result<T, Errno>;

/// What `gettimeofday` says at the world's zero: some time after 1970 that never changes.
const EPOCH: Duration = Duration::from_secs(1_700_000_000);
/// How far `netdev_receive`, or a call that blocks the main thread, looks for something to happen.
const PATIENCE: Duration = Duration::from_secs(600);
/// Real time that the second thread may take to go on, before time goes on without it.
const HANDOVER: Duration = Duration::from_secs(10);

/// What the second thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sleeper {
    /// No call blocks.
    None,
    /// A call blocks; it has seen this many changes, and waits until then at most.
    Waits { seen: u64, until: Option<Instant> },
    /// A call has been woken and has yet to read the clock.
    Returns(ThreadId),
}

#[derive(Debug)]
struct Shared {
    world: World,
    sleeper: Sleeper,
    /// Counts what may have changed something for a call that blocks.
    changes: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Adapter {
    shared: Mutex<Shared>,
    changed: Condvar,
    main: ThreadId,
}

impl Adapter {
    /// An adapter whose main thread is the one that calls this.
    pub fn new(flags: Flags) -> Self {
        let shared = Shared { world: World::new(flags), sleeper: Sleeper::None, changes: 0 };
        Adapter { shared: Mutex::new(shared), changed: Condvar::new(), main: thread::current().id() }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a call that does not block; what it makes the stack send leaves before it returns.
    pub fn call<T>(&self, call: impl FnOnce(&mut World) -> T) -> T {
        let mut shared = self.lock();
        let result = call(&mut shared.world);
        shared.world.pump();
        self.tell(&mut shared);
        result
    }

    /// Makes a call until it has a result, unless it may not block or `timeout` is over.
    pub fn block<T>(
        &self,
        may_block: bool,
        timeout: Option<Duration>,
        mut call: impl FnMut(&mut World) -> Option<Call<T>>,
    ) -> Call<T> {
        let mut shared = self.lock();
        let started = shared.world.now();
        let until = timeout.map(|timeout| started + timeout);
        loop {
            let result = call(&mut shared.world);
            shared.world.pump();
            if let Some(result) = result {
                if thread::current().id() != self.main {
                    shared.sleeper = Sleeper::Returns(thread::current().id());
                }
                self.tell(&mut shared);
                return result;
            }
            if !may_block || until.is_some_and(|until| until <= shared.world.now()) {
                if thread::current().id() != self.main {
                    shared.sleeper = Sleeper::Returns(thread::current().id());
                }
                self.tell(&mut shared);
                return Err(Errno(libc::EAGAIN));
            }
            if thread::current().id() == self.main {
                // Nobody else moves the clock: this call does.
                let next = [shared.world.next_deadline(), until].into_iter().flatten().min();
                match next.filter(|next| next.since(started) < PATIENCE) {
                    Some(next) => shared.world.go_to(next),
                    None => return Err(Errno(libc::EAGAIN)),
                }
            } else {
                // What this call itself has changed (part of a write) is no reason to look again.
                shared.sleeper = Sleeper::Waits { seen: shared.changes, until };
                self.changed.notify_all();
                let asleep = |shared: &mut Shared| matches!(shared.sleeper, Sleeper::Waits { seen, .. } if seen == shared.changes);
                shared = self.changed.wait_while(shared, asleep).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    #[cfg(test)]
    /// Whether a call blocks.
    pub fn is_blocked(&self) -> bool {
        matches!(self.lock().sleeper, Sleeper::Waits { .. })
    }

    /// Wakes the call that blocks, if there is one, to look again.
    fn tell(&self, shared: &mut Shared) {
        shared.changes += 1;
        self.changed.notify_all();
    }

    /// Waits until the call that blocks has seen everything, and has read the clock if it returns.
    fn settled<'a>(&self, shared: MutexGuard<'a, Shared>) -> MutexGuard<'a, Shared> {
        let me = thread::current().id();
        let busy = |shared: &mut Shared| match shared.sleeper {
            Sleeper::None => false,
            Sleeper::Waits { seen, .. } => seen != shared.changes,
            Sleeper::Returns(thread) => thread != me,
        };
        match self.changed.wait_timeout_while(shared, HANDOVER, busy) {
            Ok((mut shared, result)) => {
                if result.timed_out() {
                    shared.sleeper = Sleeper::None;
                }
                shared
            }
            Err(poisoned) => poisoned.into_inner().0,
        }
    }

    /// The next moment at which something is due, for the stack or for the call that blocks.
    fn next_event(shared: &Shared) -> Option<Instant> {
        let sleeper = match shared.sleeper {
            Sleeper::Waits { until, .. } => until,
            _ => None,
        };
        [shared.world.next_deadline(), sleeper].into_iter().flatten().min()
    }

    /// Lets `step` go by; everything that falls due happens at its own moment.
    fn advance<'a>(&'a self, mut shared: MutexGuard<'a, Shared>, step: Duration) -> MutexGuard<'a, Shared> {
        let end = shared.world.now() + step;
        loop {
            shared = self.settled(shared);
            match Self::next_event(&shared).filter(|due| *due <= end) {
                Some(due) => {
                    let before = due.max(shared.world.now());
                    shared.world.go_to(due);
                    self.tell(&mut shared);
                    if Self::next_event(&shared).is_some_and(|next| next <= before) {
                        // A deadline that does not move is no reason to stand still.
                        let now = shared.world.now();
                        shared.world.go_to(now + Duration::from_micros(1));
                    }
                }
                None => break,
            }
        }
        shared.world.go_to(end);
        shared
    }

    /// `usleep`.
    pub fn sleep(&self, time: Duration) {
        let shared = self.lock();
        drop(self.advance(shared, time));
    }

    /// `gettimeofday`: it goes on by itself, because packetdrill spins on it.
    pub fn clock(&self) -> Duration {
        let mut shared = self.lock();
        if shared.sleeper == Sleeper::Returns(thread::current().id()) {
            shared.sleeper = Sleeper::None;
            self.changed.notify_all();
        } else {
            shared = self.advance(shared, Duration::from_micros(1));
        }
        EPOCH + shared.world.now().since(Instant::ZERO)
    }

    /// `netdev_send`: a packet comes in; whatever it brings about has happened on return.
    pub fn inject(&self, packet: &[u8]) {
        let mut shared = self.settled(self.lock());
        shared.world.inject(packet);
        self.tell(&mut shared);
        drop(self.settled(shared));
    }

    /// `netdev_receive`: the next packet that leaves, and when on the clock it did; time goes on
    /// until there is one. `None` if none will come.
    pub fn next_packet(&self) -> Option<(Duration, Vec<u8>)> {
        let mut shared = self.settled(self.lock());
        let limit = shared.world.now() + PATIENCE;
        loop {
            if let Some((at, bytes)) = shared.world.take_sent() {
                return Some((EPOCH + at.since(Instant::ZERO), bytes));
            }
            let due = Self::next_event(&shared).filter(|due| *due <= limit)?;
            let step = due.since(shared.world.now());
            shared = self.advance(shared, step);
            shared = self.settled(shared);
        }
    }
}
