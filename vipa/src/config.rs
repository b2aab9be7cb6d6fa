//! What one stack's VIPA distribution function is told when it starts.

use core::time::Duration;
use std::net::IpAddr;

use crate::definitions::Definitions;
use crate::guard::Guard;

/// Identity, partners and limits of one stack.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of the image, for people.
    pub name: String,
    /// XCF address of this stack.
    pub xcf: IpAddr,
    /// Number of this life of the stack: larger than that of every former life (R14).
    pub incarnation: u64,
    /// XCF addresses of all other stacks of the cluster, whether they run or not.
    pub peers: Vec<IpAddr>,
    /// Whether this stack has a network link of its own. One without cannot route for a DVIPA.
    pub linked: bool,
    /// Process of this stack, told to the peers so that they can watch it.
    pub process: Option<u32>,
    /// The VIPADynamic block.
    pub definitions: Definitions,
    /// Whether this stack joins the group by itself, or waits for VARY SYSPLEX,JOINGROUP.
    pub join: bool,
    /// Intervals.
    pub timing: Timing,
    /// Bounds.
    pub limits: Limits,
    /// Largest control datagram, in bytes; at least 4,096 is used.
    pub mtu: usize,
    /// A guard that is taken out, to see that it is missed. Only the simulator does that.
    pub without: Option<Guard>,
}

impl Config {
    /// A stack with the default timing and limits, without link, peers and definitions.
    pub fn new(name: impl Into<String>, xcf: IpAddr, incarnation: u64) -> Self {
        Config {
            name: name.into(),
            xcf,
            incarnation,
            peers: Vec::new(),
            linked: false,
            process: None,
            definitions: Definitions::default(),
            join: true,
            timing: Timing::default(),
            limits: Limits::default(),
            mtu: 32 * 1024,
            without: None,
        }
    }
}

/// Intervals of the protocol.
#[derive(Clone, Debug)]
pub struct Timing {
    /// Between two heartbeats to a peer.
    pub heartbeat: Duration,
    /// Without word from a peer, or without sign that it hears us, it counts as silent.
    pub silence: Duration,
    /// After this long, what a silent peer holds is given up: it counts as dead.
    pub forget: Duration,
    /// How long a starting stack looks for the others before it claims a DVIPA.
    pub discovery: Duration,
    /// How long a new owner waits for the reports of all live stacks.
    pub rebuild_wait: Duration,
    /// How long a packet is held while its connection's holder is not known.
    pub hold: Duration,
    /// How long stacks may take to answer who holds a connection.
    pub ask: Duration,
    /// How long a former owner goes on routing what still reaches it (R2).
    pub grace: Duration,
    /// Life of a CRT entry whose client has not answered the SYN-ACK (R5).
    pub half_open: Duration,
    /// First interval after which an unacknowledged control datagram is sent again; it doubles
    /// up to half a second.
    pub resend: Duration,
    /// Between two audits of a router's tables (R15).
    pub audit: Duration,
    /// How long it is measured how servers answer, before it is told (z/OS: about a minute).
    pub measure: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Timing {
            heartbeat: Duration::from_millis(100),
            silence: Duration::from_millis(500),
            forget: Duration::from_secs(60),
            discovery: Duration::from_millis(300),
            rebuild_wait: Duration::from_secs(1),
            hold: Duration::from_secs(1),
            ask: Duration::from_millis(500),
            grace: Duration::from_secs(2),
            half_open: Duration::from_secs(30),
            resend: Duration::from_millis(20),
            audit: Duration::from_secs(10),
            measure: Duration::from_secs(1),
        }
    }
}

/// Bounds, so that no peer and no client can make a table grow without end.
#[derive(Clone, Debug)]
pub struct Limits {
    /// CRT entries, half-open ones included.
    pub crt: usize,
    /// Half-open CRT entries; the oldest gives way to a new one (R5).
    pub half_open: usize,
    /// DVIPAs, own and learned (z/OS: 1,024).
    pub dvipas: usize,
    /// Packets held in all.
    pub held_packets: usize,
    /// Bytes that held packets occupy in all.
    pub held_bytes: usize,
    /// Packets held for one connection.
    pub held_for_one: usize,
    /// Questions open at once about who holds a connection.
    pub asks: usize,
    /// Bytes of control messages that wait for one peer; beyond it the session starts afresh.
    pub session_bytes: usize,
    /// Fragmented datagrams whose way is remembered.
    pub fragmented: usize,
    /// Connections for which it is remembered why they went where they went.
    pub decisions: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            crt: 1 << 20,
            half_open: 1 << 16,
            dvipas: 1024,
            held_packets: 4096,
            held_bytes: 16 << 20,
            held_for_one: 16,
            asks: 1024,
            session_bytes: 64 << 20,
            fragmented: 1024,
            decisions: 1024,
        }
    }
}
