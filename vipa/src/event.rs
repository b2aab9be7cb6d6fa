//! What happened, as a line of the cluster's story.

use core::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::messages::{RESPONSIVE, STACK, UNRESPONSIVE};
use crate::ownership::Epoch;

/// Something worth telling a person. Other stacks are named by their image's name, or by XCF
/// address until that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Contact with another stack was made.
    Joined {
        /// The other stack.
        stack: String,
    },
    /// Another stack has not been heard from, or does not hear this one.
    Silent {
        /// The other stack.
        stack: String,
    },
    /// A silent stack is back, in the same life.
    Back {
        /// The other stack.
        stack: String,
    },
    /// Another stack has died (F9.200).
    Gone {
        /// The other stack.
        stack: String,
        /// CRT entries that went with it (R6).
        connections: usize,
    },
    /// Another stack stops in order.
    Leaving {
        /// The other stack.
        stack: String,
    },
    /// This stack claims a DVIPA that nobody routes for, and advertises it at once (F5.104, F9.201).
    Claimed {
        /// The DVIPA.
        dvipa: IpAddr,
        /// Its ownership epoch.
        epoch: Epoch,
        /// Who routed for it until it was lost.
        from: Option<String>,
    },
    /// This stack begins to take a DVIPA back (F10.300).
    TakingBack {
        /// The DVIPA.
        dvipa: IpAddr,
        /// Its ownership epoch.
        epoch: Epoch,
        /// Who routes for it until then.
        from: String,
    },
    /// This stack's tables for a DVIPA are complete (F9.210, F10.304).
    Active {
        /// The DVIPA.
        dvipa: IpAddr,
        /// Its ownership epoch.
        epoch: Epoch,
        /// Connections in the CRT.
        connections: usize,
        /// Who routed for it until now, if it was taken back.
        from: Option<String>,
        /// Stacks whose report did not come in time.
        missing: Vec<String>,
    },
    /// This stack hands a DVIPA's connections over (F10.306).
    HandedOver {
        /// The DVIPA.
        dvipa: IpAddr,
        /// To whom.
        to: String,
        /// Connections that were told.
        connections: usize,
    },
    /// This stack no longer routes for a DVIPA (F10.310).
    SteppedDown {
        /// The DVIPA.
        dvipa: IpAddr,
        /// Who does; `None` for a later life of this stack.
        owner: Option<String>,
        /// It gave the DVIPA up by itself: it stops in order, or the definition does not count any more.
        surrendered: bool,
    },
    /// This stack routes for a DVIPA by another list than before (D6).
    Relisted {
        /// The DVIPA.
        dvipa: IpAddr,
        /// Its ownership epoch from now on.
        epoch: Epoch,
    },
    /// Nobody routes for a DVIPA any more: it was given up, and nobody else can have it.
    Released {
        /// The DVIPA.
        dvipa: IpAddr,
    },
    /// This stack has found the others, and routes for what is its own (F5.100).
    InGroup {
        /// It was in the group before: its definitions are in force again.
        restored: bool,
    },
    /// This stack has left the group; its definitions are kept.
    LeftGroup,
    /// Another stack may not join.
    Refused {
        /// Its XCF address.
        stack: String,
        /// Why.
        why: String,
    },
    /// This stack may not join.
    RefusedBy {
        /// Who says so.
        stack: String,
        /// Why.
        why: String,
    },
    /// Two stacks claim the same rank for a DVIPA: one of them does not count.
    RankRefused {
        /// The DVIPA.
        dvipa: IpAddr,
        /// The rank, 255 for VIPADEFINE.
        rank: u8,
        /// The stack that does not count.
        refused: String,
        /// The stack that has the rank.
        holder: String,
    },
    /// An application has made a DVIPA: what another stack's profile says of it does not count as long as that
    /// application has it.
    DefinitionRefused {
        /// The DVIPA.
        dvipa: IpAddr,
        /// The stack whose profile names it.
        refused: String,
        /// The stack of the application.
        holder: String,
    },
    /// There are more DVIPAs in the cluster than this stack has room for: it takes no part in this one, nor in any
    /// that follows. Told once.
    TooManyDvipas {
        /// The first one without room.
        dvipa: IpAddr,
        /// How many there is room for.
        most: usize,
    },
    /// What an application here has bound inside a VIPARANGE is not its own: it listens, and nothing comes.
    BindRefused {
        /// The DVIPA.
        dvipa: IpAddr,
        /// Why.
        why: String,
    },
    /// F8.166: an application of a target listens now.
    TargetReady {
        /// DVIPA and port.
        server: SocketAddr,
        /// The target.
        stack: String,
    },
    /// F8.166: no application of a target listens any more.
    TargetGone {
        /// DVIPA and port.
        server: SocketAddr,
        /// The target.
        stack: String,
    },
    /// A target's server does not answer what is sent to it.
    Unresponsive {
        /// DVIPA and port.
        server: SocketAddr,
        /// The target.
        stack: String,
        /// Target connectivity success rate.
        tcsr: u8,
        /// Connection establishment rate.
        cer: u8,
        /// Server efficiency fraction.
        sef: u8,
    },
    /// It answers again.
    Responsive {
        /// DVIPA and port.
        server: SocketAddr,
        /// The target.
        stack: String,
        /// Target connectivity success rate.
        tcsr: u8,
        /// Connection establishment rate.
        cer: u8,
        /// Server efficiency fraction.
        sef: u8,
    },
    /// Control messages to a stack exceeded their bound: both sides start afresh (R13).
    Resynchronised {
        /// The other stack.
        stack: String,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Joined { stack } => write!(f, "in contact with {stack}"),
            Event::Silent { stack } => write!(f, "{stack} is silent"),
            Event::Back { stack } => write!(f, "{stack} is heard again"),
            Event::Gone { stack, connections: 0 } => write!(f, "{stack} is gone"),
            Event::Gone { stack, connections } => write!(f, "{stack} is gone, and {connections} connections with it"),
            Event::Leaving { stack } => write!(f, "{stack} is leaving"),
            Event::Claimed { dvipa, epoch, .. } => write!(f, "routes for {dvipa} from now on (epoch {epoch})"),
            Event::TakingBack { dvipa, epoch, from } => write!(f, "takes {dvipa} back from {from} (epoch {epoch})"),
            Event::Active { dvipa, epoch, connections, missing, .. } => {
                write!(f, "{dvipa} is active with {connections} connections (epoch {epoch})")?;
                if !missing.is_empty() {
                    write!(f, ", without a report of {}", missing.join(", "))?;
                }
                Ok(())
            }
            Event::HandedOver { dvipa, to, connections } => {
                write!(f, "hands {dvipa} with {connections} connections to {to}")
            }
            Event::SteppedDown { dvipa, owner, .. } => {
                write!(f, "no longer routes for {dvipa}: {} does", owner.as_deref().unwrap_or("a later life"))
            }
            Event::Relisted { dvipa, epoch } => write!(f, "routes for {dvipa} by its new list (epoch {epoch})"),
            Event::Released { dvipa } => write!(f, "gives {dvipa} up: nobody routes for it now"),
            Event::InGroup { restored: false } => f.write_str("is in the group"),
            Event::InGroup { restored: true } => f.write_str("is in the group again"),
            Event::LeftGroup => f.write_str("has left the group; its definitions are kept"),
            Event::Refused { stack, why } => write!(f, "refuses the stack at {stack}: {why}"),
            Event::RefusedBy { stack, why } => write!(f, "is refused by {stack}: {why}"),
            Event::RankRefused { dvipa, rank, refused, holder } => {
                write!(f, "refuses {refused} for {dvipa}: {holder} has rank {rank} already")
            }
            Event::DefinitionRefused { dvipa, refused, holder } => {
                write!(f, "refuses {refused}'s definition of {dvipa}: an application of {holder} has made it")
            }
            Event::TooManyDvipas { dvipa, most } => {
                write!(f, "knows {most} DVIPAs and has no room for {dvipa}, nor for any other that is new")
            }
            Event::BindRefused { dvipa, why } => {
                write!(f, "does not get {dvipa} for the application that has bound it: {why}")
            }
            Event::TargetReady { server, stack } => write!(f, "{stack} serves {server}"),
            Event::TargetGone { server, stack } => write!(f, "{stack} no longer serves {server}"),
            Event::Unresponsive { server, stack, tcsr, cer, sef } => {
                let (dvipa, port) = (server.ip(), server.port());
                write!(
                    f,
                    "{UNRESPONSIVE} TARGET SERVER FOR {dvipa} PORT {port} AT {STACK} ON {stack} IS NOT RESPONSIVE"
                )?;
                write!(f, " - TCSR {tcsr} CER {cer} SEF {sef}")
            }
            Event::Responsive { server, stack, tcsr, cer, sef } => {
                let (dvipa, port) = (server.ip(), server.port());
                write!(f, "{RESPONSIVE} TARGET SERVER FOR {dvipa} PORT {port} AT {STACK} ON {stack} IS RESPONSIVE")?;
                write!(f, " - TCSR {tcsr} CER {cer} SEF {sef}")
            }
            Event::Resynchronised { stack } => write!(f, "too much waited for {stack}: starting afresh with it"),
        }
    }
}
