//! `poll` and `epoll`, level and edge triggered.

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::event::{EventfdFlags, eventfd};
use stack::tcp::State;

use crate::adapter::{Call, Errno};
use crate::socket::Kind;
use crate::world::World;

/// An epoll instance.
#[derive(Debug)]
pub struct Epoll {
    _descriptor: OwnedFd,
    watched: BTreeMap<i32, Watch>,
}

#[derive(Debug)]
struct Watch {
    events: u32,
    data: u64,
    /// Something has happened since it was told (EPOLLET).
    fresh: bool,
    /// What the socket was like when it was looked at last: bytes received, and what is ready.
    seen: (u64, u32),
}

const IN: u32 = libc::EPOLLIN as u32;
const OUT: u32 = libc::EPOLLOUT as u32;
const ERROR: u32 = libc::EPOLLERR as u32;
const HANGUP: u32 = libc::EPOLLHUP as u32;
const READ_HANGUP: u32 = libc::EPOLLRDHUP as u32;
const EDGE: u32 = libc::EPOLLET as u32;
const ONE_SHOT: u32 = libc::EPOLLONESHOT as u32;

impl World {
    /// What is ready on a socket, and bytes that it has received in all: more of them wake an edge
    /// triggered watch even if nothing else has changed.
    pub fn readiness(&mut self, fd: i32) -> (u64, u32) {
        let Ok(socket) = self.socket(fd) else { return (0, 0) };
        let conn = match socket.kind {
            Kind::Fresh(_) => return (0, OUT | HANGUP),
            Kind::Listener(id) => {
                let waiting = self.stack().tcp().acceptable(id);
                return (waiting as u64, if waiting > 0 { IN } else { 0 });
            }
            Kind::Connection(conn) => conn,
        };
        let Ok(detail) = self.stack().tcp().detail(conn.id) else { return (0, ERROR | HANGUP) };
        let mut events = 0;
        if detail.readable || conn.read_shut {
            events |= IN;
        }
        if detail.writable {
            events |= OUT;
        }
        if detail.at_end || conn.read_shut {
            events |= READ_HANGUP;
        }
        if detail.state == State::Closed || (detail.at_end && !detail.may_send) {
            events |= HANGUP;
        }
        if detail.error.is_some() && !conn.error_told {
            events |= ERROR;
        }
        (detail.bytes_received, events)
    }

    /// After something may have happened: edge triggered watches note it.
    pub fn notice_readiness(&mut self) {
        let watched: Vec<i32> = self.epolls.values().flat_map(|epoll| epoll.watched.keys().copied()).collect();
        for fd in watched {
            let now = self.readiness(fd);
            for watch in self.epolls.values_mut().filter_map(|epoll| epoll.watched.get_mut(&fd)) {
                watch.fresh |= now.0 != watch.seen.0 || now.1 & !watch.seen.1 != 0;
                watch.seen = now;
            }
        }
    }

    /// A socket is gone.
    pub fn forget_readiness(&mut self, fd: i32) {
        self.epolls.values_mut().for_each(|epoll| {
            epoll.watched.remove(&fd);
        });
    }

    /// `epoll_create`.
    pub fn epoll_create(&mut self) -> Call<i32> {
        let descriptor = eventfd(0, EventfdFlags::CLOEXEC).map_err(|error| Errno(error.raw_os_error()))?;
        let number = descriptor.as_raw_fd();
        self.epolls.insert(number, Epoll { _descriptor: descriptor, watched: BTreeMap::new() });
        Ok(number)
    }

    /// `epoll_ctl`.
    pub fn epoll_ctl(&mut self, epoll: i32, operation: i32, fd: i32, events: u32, data: u64) -> Call<()> {
        self.socket(fd)?;
        let seen = self.readiness(fd);
        let watched = &mut self.epolls.get_mut(&epoll).ok_or(Errno(libc::EBADF))?.watched;
        let known = watched.contains_key(&fd);
        match operation {
            libc::EPOLL_CTL_ADD if known => return Err(Errno(libc::EEXIST)),
            libc::EPOLL_CTL_MOD | libc::EPOLL_CTL_DEL if !known => return Err(Errno(libc::ENOENT)),
            libc::EPOLL_CTL_ADD | libc::EPOLL_CTL_MOD => {
                watched.insert(fd, Watch { events, data, fresh: true, seen });
            }
            libc::EPOLL_CTL_DEL => {
                watched.remove(&fd);
            }
            _ => return Err(Errno(libc::EINVAL)),
        }
        Ok(())
    }

    /// `epoll_wait`: what is ready now, at most `max` of them.
    pub fn epoll_ready(&mut self, epoll: i32, max: usize) -> Option<Call<Vec<(u32, u64)>>> {
        let Some(watched) = self.epolls.get(&epoll) else { return Some(Err(Errno(libc::EBADF))) };
        let watched: Vec<i32> = watched.watched.keys().copied().collect();
        let mut ready = Vec::new();
        for fd in watched {
            let (_, events) = self.readiness(fd);
            let Some(watch) = self.epolls.get_mut(&epoll).and_then(|epoll| epoll.watched.get_mut(&fd)) else {
                continue;
            };
            let wanted = events & (watch.events | ERROR | HANGUP);
            let told = watch.events & EDGE != 0 && !watch.fresh;
            if wanted == 0 || told || watch.events == 0 || ready.len() >= max {
                continue;
            }
            watch.fresh = false;
            if watch.events & ONE_SHOT != 0 {
                watch.events = 0;
            }
            ready.push((wanted, watch.data));
        }
        (!ready.is_empty()).then_some(Ok(ready))
    }

    /// `poll`: what of `events` is ready; the numbers of `poll` are those of `epoll`.
    pub fn poll_ready(&mut self, fd: i32, events: i16) -> i16 {
        if fd < 0 {
            return 0;
        }
        if self.socket(fd).is_err() {
            return libc::POLLNVAL;
        }
        // Sixteen bits hold all that `poll` knows.
        let ready = self.readiness(fd).1 as i16;
        ready & (events | libc::POLLERR | libc::POLLHUP)
    }
}
