//! A TCP/IP stack that knows no clock, no thread and no socket of the host.
//!
//! Packets and the time come in as arguments, packets and the next deadline are polled out.
//! The same code runs on a TUN device, in the deterministic simulator and under the fuzzers.

pub mod address;
pub mod counters;
pub mod egress;
pub mod home;
pub mod icmp;
pub mod packet;
mod pmtu;
pub mod raw;
pub mod reassembly;
pub mod route;
pub mod seq;
mod stack;
pub mod tcp;
pub mod time;
pub mod udp;
pub mod wire;

pub use egress::{Egress, LinkId, Path, Paths, Transmit};
pub use packet::{Checksum, Offload, Packet, Pool, Segmentation};
pub use seq::SeqNum;
pub use stack::{Config, OpenError, SendError, Stack};
pub use time::Instant;
