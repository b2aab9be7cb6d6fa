//! What can be set, for a stack, a listener and a connection.

use core::ops::RangeInclusive;
use core::time::Duration;

use thiserror::Error;

/// Which congestion control new connections use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum CongestionControl {
    /// RFC 9438, with the slow start of RFC 9406.
    #[default]
    Cubic,
    /// RFC 5681 and RFC 6582.
    NewReno,
    /// draft-cardwell-iccrg-bbr-congestion-control-00: a model of the path; paced.
    Bbr,
}

impl CongestionControl {
    /// Every one, by the name that Linux gives it.
    pub const NAMES: [(&str, CongestionControl); 3] =
        [("cubic", CongestionControl::Cubic), ("reno", CongestionControl::NewReno), ("bbr", CongestionControl::Bbr)];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, which)| *which == self).map_or("", |(name, _)| name)
    }
}

impl core::str::FromStr for CongestionControl {
    type Err = UnknownCongestionControl;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let found = Self::NAMES.iter().find(|(known, _)| *known == name);
        found.map(|(_, which)| *which).ok_or(UnknownCongestionControl)
    }
}

/// There is no congestion control of that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("unknown congestion control: cubic, reno and bbr are known")]
pub struct UnknownCongestionControl;

/// Explicit congestion notification (RFC 3168), as Linux's `tcp_ecn` sets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Ecn {
    /// Neither asked for nor agreed to.
    Off,
    /// Agreed to when a peer asks for it.
    #[default]
    Passive,
    /// Asked for too.
    Active,
}

/// When SYNs are answered by SYN cookies (RFC 4987, section 3.6) instead of half-open records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SynCookies {
    /// Never: the oldest half-open record gives way.
    Never,
    /// While there is no room for a record.
    #[default]
    UnderPressure,
    /// Always: no half-open connection takes memory.
    Always,
}

/// Settings of one stack's TCP.
#[derive(Clone, Debug)]
pub struct TcpConfig {
    /// Congestion control of new connections.
    pub congestion: CongestionControl,
    /// Explicit congestion notification.
    pub ecn: Ecn,
    /// Offer and accept timestamps (RFC 7323).
    pub timestamps: bool,
    /// Offer and accept window scaling (RFC 7323).
    pub window_scaling: bool,
    /// Offer and accept SACK (RFC 2018).
    pub sack: bool,
    /// Receive buffer of a new connection, in bytes. It grows as the application keeps up.
    pub initial_receive: u32,
    /// What a receive buffer may grow to, in bytes; it decides the window scale that is offered.
    pub max_receive: u32,
    /// What the window scale has to say at least. It stays when `max_receive` is lowered at run time: a
    /// handshake that is under way has offered it already.
    pub scale_for: u32,
    /// Send buffer of a new connection, in bytes. It grows with the congestion window.
    pub initial_send: u32,
    /// What a send buffer may grow to, in bytes.
    pub max_send: u32,
    /// The packet size from which connections search for what their paths take, if their paths come to take
    /// more than when they began (RFC 4821, section 7.2): no packet is larger than the path's at the
    /// beginning, or than a probe that has arrived since, and the first probe lies between this size and
    /// what the path takes by then. Without it they send what the link takes at any time. Either way they
    /// search once packets do not arrive.
    pub search_mtu_from: Option<u16>,
    /// Initial congestion window in segments (RFC 6928).
    pub initial_window: u32,
    /// Segments that may go at once however low the rate is (Linux: `tcp_min_tso_segs`).
    pub min_burst: u32,
    /// Whether loss-based control sends evenly in congestion avoidance (Linux leaves that to its `fq`).
    pub pacing: bool,
    /// Whether a connection that was idle for longer than RTO starts over (RFC 5681, 4.1).
    pub slow_start_after_idle: bool,
    /// RTO before the first RTT sample (RFC 6298, 2.1).
    pub initial_rto: Duration,
    /// Smallest RTO.
    pub min_rto: Duration,
    /// Largest RTO (RFC 6298, 2.5).
    pub max_rto: Duration,
    /// How long a delayed ACK waits (RFC 9293, 3.8.6.3: below 0.5 s).
    pub delayed_ack: Duration,
    /// One connection sends no two challenge ACKs within this time (RFC 5961, section 7; Linux:
    /// `tcp_invalid_ratelimit`).
    pub challenge_interval: Duration,
    /// How long TIME_WAIT lasts: 2 MSL.
    pub time_wait: Duration,
    /// How long FIN_WAIT_2 lasts for a connection whose application has closed it.
    pub fin_wait_2: Duration,
    /// SYNs resent before an active open fails.
    pub syn_retries: u8,
    /// SYN-ACKs resent before a half-open record goes.
    pub syn_ack_retries: u8,
    /// Retransmissions of one segment before a connection fails (RFC 9293, 3.8.3: R2).
    pub retries: u8,
    /// The same once its application has closed it.
    pub orphan_retries: u8,
    /// When SYN cookies are used.
    pub syn_cookies: SynCookies,
    /// SYN_RCVD records of one listener; beyond them a cookie goes, or the oldest gives way.
    pub syn_queue: usize,
    /// SYN_RCVD records of all listeners.
    pub max_half_open: usize,
    /// SYN_RCVD records of one remote address; beyond them a cookie goes, or the SYN is dropped.
    pub max_half_open_per_peer: usize,
    /// TIME_WAIT records of the stack; the oldest gives way.
    pub max_time_wait: usize,
    /// Answers that wait for the next transmission (RST, SYN-ACK, ACK of TIME_WAIT); more are lost.
    pub max_replies: usize,
    /// Ports for active opens without a port of their own (RFC 6056).
    pub ephemeral_ports: RangeInclusive<u16>,
    /// Addresses of this stack are other stacks' too (DVIPAs): an ACK that does not fit a half-open
    /// record may be of a connection that one of them holds. The record goes then, and nobody is
    /// reset (R1).
    pub shared_addresses: bool,
    /// Whether [`Tcp::poll_flow`](super::Tcp::poll_flow) reports; whoever does not drain it turns it off.
    pub flow_events: bool,
}

impl Default for TcpConfig {
    fn default() -> Self {
        TcpConfig {
            congestion: CongestionControl::default(),
            ecn: Ecn::default(),
            timestamps: true,
            window_scaling: true,
            sack: true,
            initial_receive: 256 * 1024,
            max_receive: 4 * 1024 * 1024,
            scale_for: 0,
            initial_send: 256 * 1024,
            max_send: 4 * 1024 * 1024,
            search_mtu_from: None,
            initial_window: 10,
            min_burst: 2,
            pacing: true,
            slow_start_after_idle: true,
            initial_rto: Duration::from_secs(1),
            min_rto: Duration::from_millis(200),
            max_rto: Duration::from_secs(120),
            delayed_ack: Duration::from_millis(40),
            challenge_interval: Duration::from_millis(500),
            time_wait: Duration::from_secs(60),
            fin_wait_2: Duration::from_secs(60),
            syn_retries: 6,
            syn_ack_retries: 5,
            retries: 15,
            orphan_retries: 8,
            syn_cookies: SynCookies::default(),
            syn_queue: 1024,
            max_half_open: 16_384,
            max_half_open_per_peer: 512,
            max_time_wait: 65_536,
            max_replies: 4096,
            ephemeral_ports: 49_152..=65_535,
            shared_addresses: false,
            flow_events: true,
        }
    }
}

impl TcpConfig {
    /// The shift that lets 16 bits say `max_receive` (RFC 7323, section 2.3).
    pub(super) fn receive_shift(&self) -> u8 {
        shift_for(self.max_receive.max(self.scale_for))
    }
}

/// The shift that lets 16 bits say `window` (RFC 7323, section 2.3).
pub(super) fn shift_for(window: u32) -> u8 {
    let mut shift = 0;
    while shift < MAX_WINDOW_SHIFT && window >> shift > u32::from(u16::MAX) {
        shift += 1;
    }
    shift
}

/// Largest window scale shift (RFC 7323, section 2.3).
pub(super) const MAX_WINDOW_SHIFT: u8 = 14;

/// Settings of a listener.
#[derive(Clone, Copy, Debug)]
pub struct ListenOptions {
    /// Connections that wait for [`accept`](super::Tcp::accept); while it is full, SYNs are dropped.
    pub backlog: usize,
    /// TCP_NODELAY of the connections that it accepts.
    pub nodelay: bool,
    /// TCP_MAXSEG of the connections that it accepts, if it is to be less than the path's.
    pub max_segment: Option<u16>,
    /// Receive buffer of the connections that it accepts, in bytes, if they are not to tune it.
    pub receive_buffer: Option<u32>,
    /// TCP_DEFER_ACCEPT: how long a connection that was established waits for data before it can be
    /// accepted all the same; zero not at all.
    pub defer_accept: Duration,
}

impl Default for ListenOptions {
    fn default() -> Self {
        ListenOptions {
            backlog: 1024,
            nodelay: false,
            max_segment: None,
            receive_buffer: None,
            defer_accept: Duration::ZERO,
        }
    }
}

/// Keepalive (RFC 9293, 3.8.4); off unless set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// Silence before the first probe.
    pub idle: Duration,
    /// Time between probes.
    pub interval: Duration,
    /// Probes without an answer after which the connection fails.
    pub count: u8,
}

impl Default for Keepalive {
    fn default() -> Self {
        Keepalive { idle: Duration::from_secs(7200), interval: Duration::from_secs(75), count: 9 }
    }
}
