//! What the event loop and the sockets of one image share.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Instant as HostInstant;

use super::xcf::Refusals;
use crate::tcpip::Settings;
use crate::watch::Traffic;
use futures_util::task::AtomicWaker;
use stack::tcp::TcpEvent;
use stack::udp::UdpEvent;
use stack::{Instant, Stack};
use vipa::{Conflict, Creation, Outcome, Vipa};

/// The clock of one image: nanoseconds since it started.
#[derive(Clone, Copy, Debug)]
pub struct Clock(HostInstant);

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Clock(HostInstant::now())
    }

    /// The time now.
    pub fn now(self) -> Instant {
        Instant::from_nanos(u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// The host's moment for `at`; `None` if that is further away than the host can tell.
    pub fn host(self, at: Instant) -> Option<HostInstant> {
        self.0.checked_add(std::time::Duration::from_nanos(at.as_nanos()))
    }
}

/// Who waits for a connection.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    pub read: Option<Waker>,
    pub write: Option<Waker>,
}

/// Wakers by the dense number of a socket.
#[derive(Debug, Default)]
pub(super) struct Wakers(Vec<Waiting>);

impl Wakers {
    pub fn of(&mut self, index: usize) -> &mut Waiting {
        if index >= self.0.len() {
            self.0.resize_with(index + 1, Waiting::default);
        }
        &mut self.0[index]
    }

    fn wake_read(&mut self, index: usize) {
        if let Some(waker) = self.of(index).read.take() {
            waker.wake();
        }
    }

    fn wake_write(&mut self, index: usize) {
        if let Some(waker) = self.of(index).write.take() {
            waker.wake();
        }
    }
}

/// The two cores of an image, and who waits for what.
#[derive(Debug)]
pub(super) struct Core {
    pub stack: Stack,
    pub vipa: Vipa,
    /// What the image's TCP/IP profile sets.
    pub settings: Settings,
    /// What has crossed its links.
    pub traffic: Traffic,
    pub connections: Wakers,
    pub listeners: Wakers,
    pub datagrams: Wakers,
    /// Who waits for ports leased by a router (R8).
    pub leased: Vec<Waker>,
    /// Set once the image has ended: sockets answer with an error instead of waiting for ever.
    pub ended: bool,
}

impl Core {
    /// An application binds `address`: if it is of a VIPARANGE, that makes the DVIPA (D4). `true` if
    /// it is new.
    pub fn bind_dvipa(&mut self, now: Instant, address: IpAddr) -> io::Result<bool> {
        match self.vipa.create(now, address, Creation::Bind) {
            Ok(outcome) => Ok(outcome == Outcome::New),
            // Another stack may name it later.
            Err(Conflict::NotInRange) => Ok(false),
            Err(conflict) => {
                let why = format!("{address} cannot be bound: {conflict}");
                Err(io::Error::new(io::ErrorKind::AddrNotAvailable, why))
            }
        }
    }

    /// Wakes whom the stack's events concern.
    pub fn wake(&mut self) {
        while let Some(event) = self.stack.tcp_mut().poll_event() {
            match event {
                TcpEvent::Acceptable(id) => self.listeners.wake_read(id.index()),
                TcpEvent::Readable(id) => self.connections.wake_read(id.index()),
                TcpEvent::Writable(id) | TcpEvent::Connected(id) => self.connections.wake_write(id.index()),
                TcpEvent::Closed(id, _) => {
                    self.connections.wake_read(id.index());
                    self.connections.wake_write(id.index());
                }
            }
        }
        while let Some(event) = self.stack.udp_mut().poll_event() {
            match event {
                UdpEvent::Readable(id) => self.datagrams.wake_read(id.index()),
            }
        }
    }

    /// Wakes everybody: the image is gone.
    pub fn end(&mut self) {
        self.ended = true;
        self.leased.drain(..).for_each(Waker::wake);
        for table in [&mut self.connections, &mut self.listeners, &mut self.datagrams] {
            for waiting in &mut table.0 {
                [waiting.read.take(), waiting.write.take()].into_iter().flatten().for_each(Waker::wake);
            }
        }
    }
}

/// Handle to one image's cores.
pub struct Shared {
    core: Mutex<Core>,
    driver: AtomicWaker,
    kicked: AtomicBool,
    clock: Clock,
    refusals: Arc<Refusals>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn new(stack: Stack, vipa: Vipa, clock: Clock, refusals: Arc<Refusals>) -> Arc<Self> {
        let core = Core {
            stack,
            vipa,
            settings: Settings::default(),
            traffic: Traffic::default(),
            connections: Wakers::default(),
            listeners: Wakers::default(),
            datagrams: Wakers::default(),
            leased: Vec::new(),
            ended: false,
        };
        let (driver, kicked) = (AtomicWaker::new(), AtomicBool::new(false));
        Arc::new(Shared { core: Mutex::new(core), driver, kicked, clock, refusals })
    }

    /// The cores. Never held across an await.
    pub(super) fn lock(&self) -> MutexGuard<'_, Core> {
        // A panic under the lock ends the image anyway; what is read afterwards is only status.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Instant {
        self.clock.now()
    }

    /// What the XCF link has dropped.
    pub(super) fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    pub(super) fn clock(&self) -> Clock {
        self.clock
    }

    /// Has the event loop look at the cores soon: a socket call may have given it work.
    pub(super) fn kick(&self) {
        if !self.kicked.swap(true, Ordering::AcqRel) {
            self.driver.wake();
        }
    }

    pub(super) fn register_driver(&self, waker: &Waker) {
        self.driver.register(waker);
        self.kicked.store(false, Ordering::Release);
    }
}
