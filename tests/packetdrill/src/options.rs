//! Socket options.

use std::time::Duration;

use stack::tcp::{ConnId, Keepalive, ListenOptions, State};

use crate::adapter::{Call, Errno};
use crate::info;
use crate::settings::{bytes_in_send_buffer, first_window, window_of_receive_buffer};
use crate::socket::Kind;
use crate::world::World;

/// What was set; a connection that is accepted begins with its listener's.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    reuse_address: i32,
    nodelay: bool,
    cork: bool,
    keepalive: bool,
    keep_idle: Option<u32>,
    keep_interval: Option<u32>,
    keep_count: Option<u8>,
    /// As `setsockopt` gave it; Linux doubles it.
    receive_buffer: Option<u32>,
    send_buffer: Option<u32>,
    max_segment: Option<u16>,
    /// In milliseconds.
    user_timeout: u32,
    linger: (i32, i32),
    linger2: Option<i32>,
    /// In seconds.
    defer_accept: u32,
    backlog: usize,
}

impl Options {
    /// `listen`'s argument: Linux takes one more than it is told.
    pub fn set_backlog(&mut self, backlog: i32) {
        self.backlog = usize::try_from(backlog).unwrap_or(0) + 1;
    }

    /// What of it the stack's listener has to know, on a device with this MSS.
    pub fn of_listener(&self, mss: u16) -> ListenOptions {
        ListenOptions {
            backlog: self.backlog,
            nodelay: self.nodelay,
            max_segment: self.max_segment,
            receive_buffer: self.receive_buffer.map(|bytes| first_window(bytes, mss)),
            defer_accept: Duration::from_secs(u64::from(self.defer_accept)),
        }
    }

    fn keepalive(&self) -> Option<Keepalive> {
        let defaults = Keepalive::default();
        let seconds = |value: Option<u32>, default| value.map_or(default, |value| Duration::from_secs(value.into()));
        self.keepalive.then(|| Keepalive {
            idle: seconds(self.keep_idle, defaults.idle),
            interval: seconds(self.keep_interval, defaults.interval),
            count: self.keep_count.unwrap_or(defaults.count),
        })
    }
}

/// An `int` as `setsockopt` gives it.
fn int(value: &[u8]) -> Call<i32> {
    let bytes = value.get(..4).ok_or(Errno(libc::EINVAL))?;
    bytes.try_into().map(i32::from_ne_bytes).map_err(|_| Errno(libc::EINVAL))
}

fn unsigned(value: &[u8]) -> Call<u32> {
    u32::try_from(int(value)?).map_err(|_| Errno(libc::EINVAL))
}

fn bytes(value: i32) -> Vec<u8> {
    value.to_ne_bytes().to_vec()
}

fn number<T: TryInto<i32>>(value: T) -> Vec<u8> {
    bytes(value.try_into().unwrap_or(i32::MAX))
}

const UNKNOWN: Errno = Errno(libc::ENOPROTOOPT);

impl World {
    /// Tells the stack what was set before there was a connection.
    pub fn apply_options(&mut self, id: ConnId, options: &Options) {
        let now = self.now();
        let tcp = self.stack().tcp_mut();
        // The connection is there: none of these fails.
        let _ = tcp.set_nodelay(now, id, options.nodelay);
        let _ = tcp.set_cork(now, id, options.cork);
        let _ = tcp.set_linger(id, linger(options.linger));
        if options.keepalive {
            let _ = tcp.set_keepalive(now, id, options.keepalive());
        }
        if options.user_timeout > 0 {
            let _ = tcp.set_user_timeout(now, id, Some(Duration::from_millis(options.user_timeout.into())));
        }
        if let Some(size) = options.max_segment {
            let _ = tcp.set_max_segment(id, size);
        }
        if let Some(bytes) = options.receive_buffer {
            let _ = tcp.set_receive_buffer(id, window_of_receive_buffer(bytes));
        }
        if let Some(bytes) = options.send_buffer {
            let _ = tcp.set_send_buffer(now, id, bytes_in_send_buffer(2 * bytes, 1));
        }
        if let Some(time) = options.linger2.and_then(|seconds| u64::try_from(seconds).ok()) {
            let _ = tcp.set_fin_wait_2(id, Duration::from_secs(time));
        }
    }

    /// `setsockopt`.
    pub fn set_option(&mut self, fd: i32, level: i32, name: i32, value: &[u8]) -> Call<()> {
        let options = &mut self.socket(fd)?.options;
        match (level, name) {
            (libc::SOL_SOCKET, libc::SO_REUSEADDR) => options.reuse_address = int(value)?,
            (libc::SOL_SOCKET, libc::SO_KEEPALIVE) => options.keepalive = int(value)? != 0,
            (libc::SOL_SOCKET, libc::SO_RCVBUF) => options.receive_buffer = Some(unsigned(value)?.max(1152)),
            (libc::SOL_SOCKET, libc::SO_SNDBUF) => options.send_buffer = Some(unsigned(value)?.max(2304)),
            (libc::SOL_SOCKET, libc::SO_LINGER) => {
                options.linger = (int(value)?, int(value.get(4..).unwrap_or_default())?);
            }
            (libc::SOL_TCP, libc::TCP_NODELAY) => options.nodelay = int(value)? != 0,
            (libc::SOL_TCP, libc::TCP_CORK) => options.cork = int(value)? != 0,
            (libc::SOL_TCP, libc::TCP_KEEPIDLE) => options.keep_idle = Some(unsigned(value)?),
            (libc::SOL_TCP, libc::TCP_KEEPINTVL) => options.keep_interval = Some(unsigned(value)?),
            (libc::SOL_TCP, libc::TCP_KEEPCNT) => options.keep_count = u8::try_from(unsigned(value)?).ok(),
            (libc::SOL_TCP, libc::TCP_USER_TIMEOUT) => options.user_timeout = unsigned(value)?,
            (libc::SOL_TCP, libc::TCP_LINGER2) => options.linger2 = Some(int(value)?),
            (libc::SOL_TCP, libc::TCP_DEFER_ACCEPT) => options.defer_accept = unsigned(value)?,
            (libc::SOL_TCP, libc::TCP_MAXSEG) => {
                // Linux: no less than 88 (TCP_MIN_MSS), no more than 32767.
                let size = unsigned(value)?;
                if !(88..=32_767).contains(&size) {
                    return Err(Errno(libc::EINVAL));
                }
                options.max_segment = u16::try_from(size).ok();
            }
            (libc::SOL_SOCKET | libc::SOL_TCP, _) => return Err(UNKNOWN),
            // Other levels (IP_RECVERR, IP_TOS) change nothing that TCP sends here.
            _ => return Ok(()),
        }
        let (options, kind) = (*options, self.socket(fd)?.kind);
        match kind {
            Kind::Connection(conn) => self.set_on_connection(conn.id, level, name, &options),
            Kind::Listener(id) => {
                let options = options.of_listener(self.mss());
                self.stack().tcp_mut().set_listen_options(id, options);
            }
            Kind::Fresh(_) => {}
        }
        Ok(())
    }

    /// Tells the stack of one option that has changed.
    fn set_on_connection(&mut self, id: ConnId, level: i32, name: i32, options: &Options) {
        let now = self.now();
        let tcp = self.stack().tcp_mut();
        // An option of a connection that is gone changes nothing.
        let _ = match (level, name) {
            (libc::SOL_SOCKET, libc::SO_RCVBUF) => {
                tcp.set_receive_buffer(id, window_of_receive_buffer(options.receive_buffer.unwrap_or_default()))
            }
            (libc::SOL_SOCKET, libc::SO_SNDBUF) => {
                let buffer = options.send_buffer.unwrap_or_default().saturating_mul(2);
                let segment = tcp.detail(id).map_or(1, |detail| detail.send_mss);
                tcp.set_send_buffer(now, id, bytes_in_send_buffer(buffer, segment))
            }
            (libc::SOL_SOCKET, libc::SO_LINGER) => tcp.set_linger(id, linger(options.linger)),
            (libc::SOL_SOCKET, libc::SO_KEEPALIVE)
            | (libc::SOL_TCP, libc::TCP_KEEPIDLE | libc::TCP_KEEPINTVL | libc::TCP_KEEPCNT) => {
                tcp.set_keepalive(now, id, options.keepalive())
            }
            (libc::SOL_TCP, libc::TCP_NODELAY) => tcp.set_nodelay(now, id, options.nodelay),
            (libc::SOL_TCP, libc::TCP_CORK) => tcp.set_cork(now, id, options.cork),
            (libc::SOL_TCP, libc::TCP_USER_TIMEOUT) => {
                let limit = Some(Duration::from_millis(options.user_timeout.into())).filter(|limit| !limit.is_zero());
                tcp.set_user_timeout(now, id, limit)
            }
            (libc::SOL_TCP, libc::TCP_MAXSEG) => tcp.set_max_segment(id, options.max_segment.unwrap_or(u16::MAX)),
            (libc::SOL_TCP, libc::TCP_LINGER2) => {
                let seconds = options.linger2.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or_default();
                tcp.set_fin_wait_2(id, Duration::from_secs(seconds))
            }
            _ => Ok(()),
        };
    }

    /// `getsockopt`.
    pub fn option(&mut self, fd: i32, level: i32, name: i32) -> Call<Vec<u8>> {
        let socket = self.socket(fd)?;
        let (options, kind) = (socket.options, socket.kind);
        let config = self.stack().tcp().config();
        let (receive, send) = (config.initial_receive, config.initial_send);
        Ok(match (level, name) {
            (libc::SOL_SOCKET, libc::SO_ERROR) => bytes(self.take_error(fd).map_or(0, |error| error.0)),
            (libc::SOL_SOCKET, libc::SO_REUSEADDR) => bytes(options.reuse_address),
            (libc::SOL_SOCKET, libc::SO_KEEPALIVE) => bytes(options.keepalive.into()),
            (libc::SOL_SOCKET, libc::SO_ACCEPTCONN) => bytes(matches!(kind, Kind::Listener(_)).into()),
            (libc::SOL_SOCKET, libc::SO_TYPE) => bytes(libc::SOCK_STREAM),
            (libc::SOL_SOCKET, libc::SO_RCVBUF) => number(2 * u64::from(options.receive_buffer.unwrap_or(receive))),
            (libc::SOL_SOCKET, libc::SO_SNDBUF) => {
                number(options.send_buffer.map_or(u64::from(send), |bytes| 2 * u64::from(bytes)))
            }
            (libc::SOL_SOCKET, libc::SO_LINGER) => [bytes(options.linger.0), bytes(options.linger.1)].concat(),
            (libc::SOL_TCP, libc::TCP_NODELAY) => bytes(options.nodelay.into()),
            (libc::SOL_TCP, libc::TCP_CORK) => bytes(options.cork.into()),
            (libc::SOL_TCP, libc::TCP_USER_TIMEOUT) => number(options.user_timeout),
            (libc::SOL_TCP, libc::TCP_DEFER_ACCEPT) => number(options.defer_accept),
            (libc::SOL_TCP, libc::TCP_LINGER2) => bytes(options.linger2.unwrap_or(60)),
            (libc::SOL_TCP, libc::TCP_MAXSEG) => number(self.max_segment(kind, &options)),
            (libc::SOL_TCP, libc::TCP_INFO) => match kind {
                Kind::Connection(conn) => {
                    let now = self.now();
                    let detail = self.stack().tcp().detail(conn.id).map_err(|_| Errno(libc::EINVAL))?;
                    info::tcp_info(now, &detail)
                }
                _ => info::tcp_info_idle(matches!(kind, Kind::Listener(_))),
            },
            // This stack's congestion control has nothing of its own to tell.
            (libc::SOL_TCP, libc::TCP_CC_INFO) => Vec::new(),
            (libc::SOL_SOCKET, info::SO_MEMINFO) => match kind {
                Kind::Connection(conn) => {
                    let detail = self.stack().tcp().detail(conn.id).map_err(|_| Errno(libc::EINVAL))?;
                    info::memory(&detail)
                }
                _ => return Err(UNKNOWN),
            },
            _ => return Err(UNKNOWN),
        })
    }

    /// TCP_MAXSEG: what was asked for until there is a connection, then what is sent at most.
    fn max_segment(&mut self, kind: Kind, options: &Options) -> u32 {
        let asked = options.max_segment.map_or(536, u32::from);
        let Kind::Connection(conn) = kind else { return asked };
        match self.stack().tcp().detail(conn.id) {
            Ok(detail) if !matches!(detail.state, State::SynSent | State::Closed) => detail.send_mss,
            _ => asked,
        }
    }
}

/// SO_LINGER as the stack has it.
fn linger((on, seconds): (i32, i32)) -> Option<Duration> {
    (on != 0).then(|| Duration::from_secs(u64::try_from(seconds).unwrap_or_default()))
}
