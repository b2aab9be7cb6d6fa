//! What TCP reports: to sockets, to the VIPA function, and to people.

use std::net::{IpAddr, SocketAddr};

use thiserror::Error;

/// A connection of one [`Tcp`](super::Tcp), while its handle is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnId {
    pub(super) index: u32,
    pub(super) generation: u32,
}

impl ConnId {
    /// A small number, unique among the connections of now: an index for tables of wakers.
    pub const fn index(self) -> usize {
        self.index as usize
    }
}

/// A listener of one [`Tcp`](super::Tcp).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenerId {
    pub(super) index: u32,
    pub(super) generation: u32,
}

impl ListenerId {
    /// A small number, unique among the listeners of now.
    pub const fn index(self) -> usize {
        self.index as usize
    }
}

/// States of RFC 9293, section 3.3.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the RFC's names")]
pub enum State {
    SynSent,
    SynReceived,
    Established,
    FinWait1,
    FinWait2,
    CloseWait,
    Closing,
    LastAck,
    TimeWait,
    Closed,
}

impl State {
    /// Both sides know each other's sequence numbers (RFC 9293, section 3.5.3, third group).
    pub const fn is_synchronized(self) -> bool {
        !matches!(self, State::SynSent | State::SynReceived | State::Closed)
    }

    /// The application may still send.
    pub(super) const fn may_send(self) -> bool {
        matches!(self, State::SynSent | State::SynReceived | State::Established | State::CloseWait)
    }
}

/// Why a connection ended before both sides had closed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CloseReason {
    /// The peer refused it (RST to our SYN, or ICMP port unreachable).
    #[error("connection refused")]
    Refused,
    /// The peer reset it.
    #[error("connection reset by peer")]
    Reset,
    /// Nothing was acknowledged for too long.
    #[error("connection timed out")]
    TimedOut,
    /// This side aborted it.
    #[error("connection aborted")]
    Aborted,
}

/// Something that a socket waits for. Each comes once after a call would have blocked, so there
/// are never more of them than sockets that wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpEvent {
    /// A connection can be accepted.
    Acceptable(ListenerId),
    /// An active open has succeeded.
    Connected(ConnId),
    /// There is data, or the end of the stream.
    Readable(ConnId),
    /// There is room in the send buffer.
    Writable(ConnId),
    /// The connection has ended, other than by both sides closing it.
    Closed(ConnId, CloseReason),
}

/// What the VIPA function has to know of listeners and connections. `instance` tells apart two
/// connections that have the same addresses and ports one after the other: the client's initial
/// sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowEvent {
    /// A listener is there.
    Listening {
        /// Its address; `None` means every address.
        address: Option<IpAddr>,
        /// Its port.
        port: u16,
    },
    /// A listener is gone.
    Unlistening {
        /// Its address; `None` means every address.
        address: Option<IpAddr>,
        /// Its port.
        port: u16,
    },
    /// A connection exists, from SYN_RCVD or SYN_SENT on.
    Opened {
        /// Our side.
        local: SocketAddr,
        /// The other side.
        remote: SocketAddr,
        /// The client's initial sequence number.
        instance: u32,
        /// Whether the other side is the client.
        passive: bool,
    },
    /// Both sides have agreed that a connection exists: ESTABLISHED is reached.
    Established {
        /// Our side.
        local: SocketAddr,
        /// The other side.
        remote: SocketAddr,
    },
    /// Nothing is left of a connection, TIME_WAIT included.
    Ended {
        /// Our side.
        local: SocketAddr,
        /// The other side.
        remote: SocketAddr,
        /// The client's initial sequence number.
        instance: u32,
    },
}

/// One connection as `netstat` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnInfo {
    /// Our side.
    pub local: SocketAddr,
    /// The other side.
    pub remote: SocketAddr,
    /// Its state.
    pub state: State,
    /// Bytes that the application sent and the peer has not acknowledged.
    pub send_queue: usize,
    /// Bytes received that the application has not read.
    pub receive_queue: usize,
    /// The client's initial sequence number.
    pub instance: u32,
    /// Whether the other side is the client.
    pub passive: bool,
    /// Whether an application still holds it.
    pub held: bool,
}

/// One listener as `netstat` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerInfo {
    /// Its address; `None` means every address.
    pub address: Option<IpAddr>,
    /// Its port.
    pub port: u16,
    /// Connections that wait to be accepted.
    pub accept_queue: usize,
    /// Connections in SYN_RCVD.
    pub syn_queue: usize,
    /// Bound of the accept queue.
    pub backlog: usize,
}

/// Why a call on a connection did not do what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SocketError {
    /// It would block; an event tells when to call again.
    #[error("operation would block")]
    WouldBlock,
    /// The handle was released, or never was.
    #[error("no such connection")]
    Unknown,
    /// The sending side is closed.
    #[error("sending side is closed")]
    BrokenPipe,
    /// The connection has ended.
    #[error(transparent)]
    Ended(#[from] CloseReason),
}

/// Why a listener cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ListenError {
    /// Another listener has this address and port.
    #[error("address already in use")]
    InUse,
    /// Port zero.
    #[error("port zero cannot be listened on")]
    PortZero,
}

/// Why an active open cannot start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ConnectError {
    /// A connection between these two addresses and ports exists.
    #[error("address already in use")]
    InUse,
    /// No ephemeral port is free towards this remote address and port.
    #[error("no ephemeral port is free")]
    PortsExhausted,
    /// The remote port is zero, or the addresses are of two families.
    #[error("invalid remote address")]
    InvalidRemote,
}

/// An ICMP error about a segment of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcmpError {
    /// A packet was too big for a link; the largest that fits.
    PacketTooBig {
        /// MTU of that link.
        mtu: u16,
    },
    /// The host has no such port or protocol.
    PortUnreachable,
    /// Any other unreachable, or time exceeded: may pass (RFC 9293, 3.9.2.2).
    Soft,
}
