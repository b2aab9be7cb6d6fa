//! What the VIPA distribution function says to its driver.

use std::net::{IpAddr, SocketAddr};

use stack::Packet;

use crate::event::Event;
use crate::wire::DataHeader;

/// Where a packet came from.
#[derive(Clone, Copy, Debug)]
pub enum Origin {
    /// The network link.
    Network,
    /// This stack itself: an application here is the client.
    Stack,
    /// XCF, inbound.
    Xcf {
        /// XCF address of the sender.
        from: IpAddr,
        /// The header that came before the packet.
        header: DataHeader,
    },
}

/// What becomes of a packet.
#[derive(Debug)]
pub enum Disposition {
    /// It is for this stack.
    Local(Packet),
    /// It goes over XCF, behind `header`, to the stack with XCF address `to`.
    Forward {
        /// XCF address of the next stack.
        to: IpAddr,
        /// The header to put before it; its offload facts are those of the packet.
        header: DataHeader,
        /// The packet, unchanged (I20).
        packet: Packet,
    },
    /// It waits here; an [`Action`] brings it out again, or it is dropped.
    Held,
    /// The stack answers as it would for a closed port (R6, R20).
    Reset(Packet),
    /// It is dropped and counted.
    Drop(Packet, DropReason),
}

/// Why a packet was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// The CRT has no room for one more connection (R5).
    TableFull,
    /// Too many packets or questions wait already.
    HoldFull,
    /// Who holds the connection could not be found out in time (R1, I8).
    HolderUnknown,
    /// A RST for a connection that nobody here knows.
    StrayReset,
    /// It came over XCF to a stack that neither routes for the DVIPA nor holds the connection (I18).
    NotRouter,
    /// A forwarded segment of a connection that this target does not hold; the router is told.
    NotHeld,
    /// A forwarded SYN for a port on which nobody listens here; the router is told.
    NoListener,
    /// Nobody known routes for the DVIPA now.
    NoOwner,
    /// A fragment whose first fragment did not come (R10).
    Fragment,
    /// A forwarded SYN that reached a stack which has just slept (R11).
    Dazed,
    /// A SYN by a router that has been replaced (R11).
    Superseded,
}

impl DropReason {
    pub(crate) const COUNT: usize = 11;

    pub(crate) const ALL: [DropReason; Self::COUNT] = [
        DropReason::TableFull,
        DropReason::HoldFull,
        DropReason::HolderUnknown,
        DropReason::StrayReset,
        DropReason::NotRouter,
        DropReason::NotHeld,
        DropReason::NoListener,
        DropReason::NoOwner,
        DropReason::Fragment,
        DropReason::Dazed,
        DropReason::Superseded,
    ];
}

/// What the driver is to do, in this order.
#[derive(Debug)]
pub enum Action {
    /// Send a control datagram.
    Send {
        /// XCF address of the receiver.
        to: IpAddr,
        /// The datagram.
        datagram: Vec<u8>,
    },
    /// Send a packet that was held.
    Forward {
        /// XCF address of the next stack.
        to: IpAddr,
        /// The header to put before it; its offload facts are those of the packet.
        header: DataHeader,
        /// The packet.
        packet: Packet,
    },
    /// A packet that was held is for this stack.
    Deliver(Packet),
    /// The stack answers a packet that was held as it would for a closed port.
    Reset(Packet),
    /// The address belongs to the home list from now on; if it is there already, `internal` is
    /// what changes.
    AddHome {
        /// The DVIPA.
        address: IpAddr,
        /// Length of its prefix.
        prefix: u8,
        /// A target's: not advertised (F6.126).
        internal: bool,
    },
    /// The address leaves the home list.
    RemoveHome {
        /// The DVIPA.
        address: IpAddr,
    },
    /// The network is to send packets for the DVIPA here (F5.104).
    Advertise {
        /// The DVIPA.
        address: IpAddr,
        /// Length of its prefix.
        prefix: u8,
    },
    /// The network is not to send packets for the DVIPA here any more.
    Withdraw {
        /// The DVIPA.
        address: IpAddr,
    },
    /// Outbound packets leave through this peer from now on (XCF address), or not at all. Only
    /// for a stack without a network link.
    Exit(Option<IpAddr>),
    /// A life of a peer is in contact: its process can be watched.
    PeerUp {
        /// XCF address of the peer.
        xcf: IpAddr,
        /// Its name.
        name: String,
        /// Its process.
        process: Option<u32>,
        /// Its life.
        incarnation: u64,
    },
    /// Nothing was heard of a peer for a while. A host that sees its process wait for a processor says so
    /// by [`peer_starves`](crate::Vipa::peer_starves), at once or not at all.
    Doubt {
        /// XCF address of the peer.
        xcf: IpAddr,
        /// Its process.
        process: u32,
    },
    /// That life is over.
    PeerDown {
        /// XCF address of the peer.
        xcf: IpAddr,
        /// Its name.
        name: String,
        /// Its life.
        incarnation: u64,
    },
    /// Connections of this stack are reset.
    Break(Broken),
    /// More ports for connections from the DVIPA are there (R8).
    PortsLeased {
        /// The DVIPA.
        dvipa: IpAddr,
    },
    /// The group does not take this stack in.
    Refused {
        /// By whom, and why.
        why: String,
    },
    /// A line for the event log.
    Event(Event),
    /// An orderly stop may end now.
    Left,
}

/// Connections that are reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// All on the DVIPA: it is not this stack's any more.
    All(IpAddr),
    /// One, by its own and its other end: the client has another between the same ends with another
    /// stack, and has forgotten this one (I7).
    One(SocketAddr, SocketAddr),
}

impl Broken {
    /// Whether a connection is among them.
    pub fn covers(self, local: SocketAddr, remote: SocketAddr) -> bool {
        match self {
            Broken::All(address) => address == local.ip(),
            Broken::One(own, other) => (own, other) == (local, remote),
        }
    }
}
