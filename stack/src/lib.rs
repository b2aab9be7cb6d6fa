//! A TCP/IP stack that knows no clock, no thread and no socket of the host.
//!
//! Packets and the time come in as arguments, packets and the next deadline are polled out.
//! The same code runs on a TUN device, in the deterministic simulator and under the fuzzers.
//!
//! # Below and beside TCP
//!
//! | Feature | Where | What is not there, and why |
//! |---|---|---|
//! | IPv4 (RFC 791, RFC 1122) | [`wire::datagram`], [`wire::options`] | source routes are refused, not followed (RFC 7126); other options are passed over |
//! | IPv6 (RFC 8200), extension headers in any order | [`wire::extension`] | no routing type is known (type 0 is deprecated, RFC 5095); no AH, no ESP; no jumbograms (RFC 2675); at most 8 headers of 32 options (RFC 8504) |
//! | Reassembly without overlaps (RFC 5722), atomic fragments (RFC 6946), whole chains (RFC 7112) | [`reassembly`] | at most 64 datagrams and 2 MiB, 16 and 512 KiB of one source |
//! | ICMP (RFC 792, RFC 1812), ICMPv6 (RFC 4443): echo, errors | [`icmp`] | redirects, timestamps, router and address mask messages are counted and nothing else |
//! | Errors rate-limited, never about errors, groups, later fragments | [`icmp::error`] | one bucket for the stack: 50 at once, 1000 a second |
//! | Path MTU (RFC 1191, RFC 8201) for UDP and raw sockets; TCP has its own | `pmtu` | 1024 destinations, forgotten after ten minutes |
//! | Neighbour and router discovery (RFC 4861), ARP, address autoconfiguration | none | a TUN device has neither neighbours nor link addresses; routes and addresses come from the profile. On a link that has them these would have to be added |
//! | Multicast listening (IGMP, MLD) | none | no application of the product joins a group |
//! | Routes by longest prefix and metric | [`route`] | a walk: a stack has a handful |
//! | Forwarding (RFC 1812): TTL, ICMP, fragments, super-segments judged by their pieces | [`Stack::receive`] | off unless [`Config::forward`] is set; no source routes, no multicast routing |
//! | Martian sources, land attack (RFC 1812, 5.3.7), offload facts that lie | [`Stack::receive`] | a DVIPA of the home list may be a source: it may be another stack's a moment later; TCP to a DVIPA may come from an own address: it has been to the routing stack |
//! | UDP (RFC 768), checksum demanded over IPv6 | [`udp`] | ICMP errors are not told to UDP sockets |
//! | Raw sockets, ICMP and ICMPv6 among their protocols | [`raw`] | the IP header is the stack's own |
//! | Packet capture (pcapng) | `cluster-lab capture` | where packets enter and leave an image; the stack itself keeps no copies |
//! | Counters by MIB names (RFC 4293, RFC 4113, RFC 4022) | [`counters`] | |
//!
//! Tests: `tests/ip.rs`, `tests/ip6.rs`, `tests/hosts.rs`; fuzz targets in `tests/fuzz`.

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
