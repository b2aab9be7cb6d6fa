//! The VIPA distribution function of one stack, without I/O, clock or thread.
//!
//! [`Vipa`] decides where packets for dynamic VIPAs go, and keeps the stacks of a cluster agreed
//! on who routes for which. It is driven: packets, control datagrams and the time come in as
//! arguments, everything else is polled out as [`Action`]s.
//!
//! | module | what it is about |
//! |---|---|
//! | `router` | where a packet goes (Figure 7) |
//! | `hold`, `fragments` | packets that wait until that is known (R1, R10) |
//! | `tables`, `crt`, `flows`, `spread`, `distribution` | the router's tables and what feeds them (Figure 8) |
//! | `optlocal` | connections that clients on this very stack open |
//! | `choice`, `workload`, `affinity` | which target gets a connection, and what counts in that |
//! | `responsiveness`, `vitals` | how well targets answer |
//! | `explain` | why a connection went where it went |
//! | `report` | what a target tells the router (Figure 6) |
//! | `ownership` | who routes for a DVIPA (Figures 5 and 9) |
//! | `created` | DVIPAs that applications make and move (Figures 11 and 12) |
//! | `profile`, `group` | what an operator changes while the stack runs |
//! | `leases` | ports for connections from a DVIPA (R8) |
//! | `audit` | repairing whatever has drifted (R15) |
//! | `takeback` | how it goes to another stack without a gap (Figure 10) |
//! | `membership` | who is alive |
//! | `session` | control messages once and in order over a network that loses them |
//! | [`wire`] | what all of that looks like on XCF |

mod action;
mod affinity;
mod audit;
mod choice;
mod config;
mod created;
mod crt;
pub mod definitions;
mod distribution;
mod dvipa;
mod event;
mod explain;
mod faults;
mod flows;
mod fragments;
mod group;
mod guard;
mod hold;
#[doc(hidden)]
pub mod internals;
mod leases;
mod membership;
pub mod messages;
mod optlocal;
mod ownership;
mod profile;
mod report;
mod responsiveness;
mod router;
mod session;
mod spread;
pub mod statements;
pub mod status;
pub mod sysplex;
mod tables;
mod takeback;
mod vipa;
mod vitals;
pub mod wire;
mod workload;

pub use action::{Action, Broken, Disposition, DropReason, Origin};
pub use config::{Config, Limits, Timing};
pub use created::{Conflict, Creation, Outcome};
pub use definitions::{
    Backup, Crossover, Define, Definitions, Distribute, Method, Moveable, Options, PortRange, Ports, Processors, Range,
    Standby, Targets, Weights,
};
pub use event::Event;
pub use explain::{CandidateView, Decided, Explanation, Story, Why};
pub use guard::Guard;
pub use leases::PortLease;
pub use membership::Contact;
pub use ownership::Epoch;
pub use profile::{Quiesce, Refusal};
pub use vipa::Vipa;
pub use workload::{ServerLoad, Workload};
