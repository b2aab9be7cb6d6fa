//! Sockets as Linux has them: what POSIX says of a call, put in terms of the stack's own.
//!
//! A call that may block returns `None` as long as it has no result.

use std::io::IoSlice;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::event::{EventfdFlags, eventfd};
use stack::OpenError;
use stack::tcp::{CloseReason, ConnId, ConnectError, ListenerId, SocketError, State};

use crate::adapter::{Call, Errno};
use crate::options::Options;
use crate::world::World;

/// A socket. Its descriptor is a real one, so that whoever closes it behind our back finds it.
#[derive(Debug)]
pub struct Socket {
    _descriptor: OwnedFd,
    /// O_NONBLOCK.
    pub nonblocking: bool,
    /// What `setsockopt` has set.
    pub options: Options,
    /// What it is.
    pub kind: Kind,
}

/// What a socket has become.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Neither listens nor connects yet; where it is bound to.
    Fresh(Option<SocketAddr>),
    /// Listens.
    Listener(ListenerId),
    /// Connects, or is connected.
    Connection(Conn),
}

/// A connection as its socket sees it.
#[derive(Clone, Copy, Debug)]
pub struct Conn {
    /// The stack's handle.
    pub id: ConnId,
    /// `connect` has told of success.
    pub told: bool,
    /// The error that ended it was told: the next call sees an ended connection.
    pub error_told: bool,
    /// `shutdown` for reading.
    pub read_shut: bool,
    /// The peer, for `connect` and `accept`.
    pub peer: SocketAddr,
}

/// `errno` of a connection that ended.
fn errno_of(reason: CloseReason) -> Errno {
    Errno(match reason {
        CloseReason::Refused => libc::ECONNREFUSED,
        CloseReason::Reset => libc::ECONNRESET,
        CloseReason::TimedOut => libc::ETIMEDOUT,
        CloseReason::Aborted => libc::ECONNABORTED,
    })
}

const BAD: Errno = Errno(libc::EBADF);
const INVALID: Errno = Errno(libc::EINVAL);
const AGAIN: Errno = Errno(libc::EAGAIN);

impl World {
    fn add_socket(&mut self, nonblocking: bool, options: Options, kind: Kind) -> Call<i32> {
        let descriptor = eventfd(0, EventfdFlags::CLOEXEC).map_err(|error| Errno(error.raw_os_error()))?;
        let number = descriptor.as_raw_fd();
        let socket = Socket { _descriptor: descriptor, nonblocking, options, kind };
        if let Some(old) = self.sockets.insert(number, socket) {
            // Whoever closed it behind our back has its number in use again: it is not ours to close.
            std::mem::forget(old);
        }
        Ok(number)
    }

    /// The socket behind a descriptor.
    pub fn socket(&mut self, fd: i32) -> Call<&mut Socket> {
        self.sockets.get_mut(&fd).ok_or(BAD)
    }

    /// The connection behind a descriptor.
    pub fn conn(&mut self, fd: i32) -> Call<&mut Conn> {
        match &mut self.socket(fd)?.kind {
            Kind::Connection(conn) => Ok(conn),
            _ => Err(Errno(libc::ENOTCONN)),
        }
    }

    /// `socket`.
    pub fn open(&mut self, domain: i32, kind: i32, protocol: i32) -> Call<i32> {
        if domain != libc::AF_INET && domain != libc::AF_INET6 {
            return Err(Errno(libc::EAFNOSUPPORT));
        }
        let stream = kind & 0xf == libc::SOCK_STREAM;
        if !stream || !(protocol == 0 || protocol == libc::IPPROTO_TCP) {
            return Err(Errno(libc::EPROTONOSUPPORT));
        }
        self.stack();
        self.add_socket(kind & libc::SOCK_NONBLOCK != 0, Options::default(), Kind::Fresh(None))
    }

    /// `bind`.
    pub fn bind(&mut self, fd: i32, address: SocketAddr) -> Call<()> {
        match &mut self.socket(fd)?.kind {
            Kind::Fresh(local @ None) => {
                *local = Some(address);
                Ok(())
            }
            _ => Err(INVALID),
        }
    }

    /// `listen`.
    pub fn listen(&mut self, fd: i32, backlog: i32) -> Call<()> {
        let mss = self.mss();
        let socket = self.socket(fd)?;
        let Kind::Fresh(Some(local)) = socket.kind else { return Err(INVALID) };
        socket.options.set_backlog(backlog);
        let options = socket.options.of_listener(mss);
        let address = Some(local.ip()).filter(|address| !address.is_unspecified());
        let id = self.stack().tcp_mut().listen(address, local.port(), options);
        let id = id.map_err(|_| Errno(libc::EADDRINUSE))?;
        self.socket(fd)?.kind = Kind::Listener(id);
        Ok(())
    }

    /// `accept`.
    pub fn accept(&mut self, fd: i32, nonblocking: bool) -> Option<Call<(i32, SocketAddr)>> {
        let socket = match self.socket(fd) {
            Ok(socket) => socket,
            Err(error) => return Some(Err(error)),
        };
        let Kind::Listener(listener) = socket.kind else { return Some(Err(INVALID)) };
        let options = socket.options;
        let tcp = self.stack().tcp_mut();
        let id = tcp.accept(listener)?;
        let peer = tcp.peer_addr(id).unwrap_or_else(|_| SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0));
        let conn = Conn { id, told: true, error_told: false, read_shut: false, peer };
        self.apply_options(id, &options);
        Some(self.add_socket(nonblocking, options, Kind::Connection(conn)).map(|fd| (fd, peer)))
    }

    /// `connect`.
    pub fn connect(&mut self, fd: i32, peer: SocketAddr) -> Option<Call<()>> {
        let socket = match self.socket(fd) {
            Ok(socket) => socket,
            Err(error) => return Some(Err(error)),
        };
        match socket.kind {
            Kind::Listener(_) => Some(Err(Errno(libc::EISCONN))),
            Kind::Fresh(local) => {
                let options = socket.options;
                let nonblocking = socket.nonblocking;
                let now = self.now();
                let id = match self.stack().tcp_connect(now, local, peer) {
                    Ok(id) => id,
                    Err(OpenError::Unreachable) => return Some(Err(Errno(libc::ENETUNREACH))),
                    Err(OpenError::Tcp(ConnectError::InvalidRemote)) => return Some(Err(Errno(libc::ECONNREFUSED))),
                    Err(OpenError::Tcp(_)) => return Some(Err(Errno(libc::EADDRNOTAVAIL))),
                };
                self.apply_options(id, &options);
                let conn = Conn { id, told: false, error_told: false, read_shut: false, peer };
                if let Ok(socket) = self.socket(fd) {
                    socket.kind = Kind::Connection(conn);
                }
                // A SYN goes, whether the caller waits for its answer or not.
                if nonblocking { Some(Err(Errno(libc::EINPROGRESS))) } else { None }
            }
            Kind::Connection(conn) => self.connecting(fd, conn),
        }
    }

    /// How far `connect` has come.
    fn connecting(&mut self, fd: i32, conn: Conn) -> Option<Call<()>> {
        let nonblocking = self.socket(fd).is_ok_and(|socket| socket.nonblocking);
        match self.stack().tcp().state(conn.id) {
            Ok(State::SynSent | State::SynReceived) if nonblocking => Some(Err(Errno(libc::EALREADY))),
            Ok(State::SynSent | State::SynReceived) => None,
            Ok(State::Closed) | Err(_) => Some(Err(self.take_error(fd).unwrap_or(Errno(libc::ECONNABORTED)))),
            Ok(_) if conn.told => Some(Err(Errno(libc::EISCONN))),
            Ok(_) => {
                if let Ok(conn) = self.conn(fd) {
                    conn.told = true;
                }
                Some(Ok(()))
            }
        }
    }

    /// SO_ERROR: why the connection ended, once.
    pub fn take_error(&mut self, fd: i32) -> Option<Errno> {
        let conn = *self.conn(fd).ok()?;
        let ended = errno_of(self.stack().tcp().detail(conn.id).ok()?.error?);
        let conn = self.conn(fd).ok()?;
        (!std::mem::replace(&mut conn.error_told, true)).then_some(ended)
    }

    /// `read` and its like.
    pub fn receive(&mut self, fd: i32, buffer: &mut [u8], flags: i32) -> Option<Call<usize>> {
        let conn = match self.conn(fd) {
            Ok(conn) => *conn,
            Err(error) => return Some(Err(error)),
        };
        if flags & !(libc::MSG_DONTWAIT | libc::MSG_WAITALL | libc::MSG_TRUNC) != 0 {
            return Some(Err(Errno(libc::EOPNOTSUPP)));
        }
        let now = self.now();
        match self.stack().tcp_recv(now, conn.id, buffer) {
            Ok(count) => Some(Ok(count)),
            Err(SocketError::WouldBlock) if conn.read_shut => Some(Ok(0)),
            Err(SocketError::WouldBlock) => None,
            Err(SocketError::Ended(_)) => Some(self.take_error(fd).map_or(Ok(0), Err)),
            Err(SocketError::Unknown | SocketError::BrokenPipe) => Some(Err(Errno(libc::ENOTCONN))),
        }
    }

    /// `write` and its like: `done` bytes of `data` have gone by earlier tries of this call.
    pub fn send(&mut self, fd: i32, data: &[u8], done: &mut usize, flags: i32) -> Option<Call<usize>> {
        let conn = match self.conn(fd) {
            Ok(conn) => *conn,
            Err(Errno(libc::ENOTCONN)) => return Some(Err(Errno(libc::EPIPE))),
            Err(error) => return Some(Err(error)),
        };
        if let Some(error) = self.take_error(fd) {
            return Some(if *done > 0 { Ok(*done) } else { Err(error) });
        }
        let nonblocking = flags & libc::MSG_DONTWAIT != 0 || self.socket(fd).is_ok_and(|socket| socket.nonblocking);
        let more = flags & libc::MSG_MORE != 0;
        let now = self.now();
        while *done < data.len() {
            match self.stack().tcp_mut().send_more(now, conn.id, &[IoSlice::new(&data[*done..])], more) {
                Ok(count) => *done += count,
                Err(SocketError::WouldBlock) if nonblocking && *done > 0 => break,
                Err(SocketError::WouldBlock) if nonblocking => return Some(Err(AGAIN)),
                Err(SocketError::WouldBlock) => return None,
                Err(_) if *done > 0 => break,
                Err(SocketError::Ended(_)) => return Some(Err(self.take_error(fd).unwrap_or(Errno(libc::EPIPE)))),
                Err(SocketError::Unknown | SocketError::BrokenPipe) => return Some(Err(Errno(libc::EPIPE))),
            }
        }
        Some(Ok(*done))
    }

    /// `shutdown`.
    pub fn shutdown(&mut self, fd: i32, how: i32) -> Call<()> {
        let now = self.now();
        let conn = self.conn(fd)?;
        let id = conn.id;
        if !matches!(how, libc::SHUT_RD | libc::SHUT_WR | libc::SHUT_RDWR) {
            return Err(INVALID);
        }
        conn.read_shut |= how != libc::SHUT_WR;
        let state = self.stack().tcp().state(id);
        if matches!(state, Err(_) | Ok(State::Closed | State::TimeWait)) {
            return Err(Errno(libc::ENOTCONN));
        }
        if how != libc::SHUT_RD {
            self.stack().tcp_mut().shutdown_write(now, id);
        }
        Ok(())
    }

    /// `close`.
    pub fn close(&mut self, fd: i32) -> Call<()> {
        if self.epolls.remove(&fd).is_some() {
            return Ok(());
        }
        let now = self.now();
        let socket = self.sockets.remove(&fd).ok_or(BAD)?;
        self.forget_readiness(fd);
        match socket.kind {
            Kind::Fresh(_) => {}
            Kind::Listener(id) => self.stack().tcp_mut().close_listener(now, id),
            Kind::Connection(conn) => self.stack().tcp_close(now, conn.id),
        }
        Ok(())
    }

    /// `fcntl`.
    pub fn fcntl(&mut self, fd: i32, command: i32, argument: i64) -> Call<i32> {
        let socket = self.socket(fd)?;
        match command {
            libc::F_GETFL => Ok(libc::O_RDWR | if socket.nonblocking { libc::O_NONBLOCK } else { 0 }),
            libc::F_SETFL => {
                socket.nonblocking = argument & i64::from(libc::O_NONBLOCK) != 0;
                Ok(0)
            }
            libc::F_GETFD | libc::F_SETFD => Ok(0),
            _ => Err(INVALID),
        }
    }

    /// `ioctl`: bytes that wait to be read, or to be acknowledged.
    pub fn waiting_bytes(&mut self, fd: i32, request: u64) -> Call<i32> {
        let id = self.conn(fd)?.id;
        let detail = self.stack().tcp().detail(id).map_err(|_| Errno(libc::ENOTCONN))?;
        let count = match request {
            libc::FIONREAD => detail.receive_queue,
            libc::TIOCOUTQ => detail.send_queue,
            _ => return Err(INVALID),
        };
        Ok(i32::try_from(count).unwrap_or(i32::MAX))
    }
}
