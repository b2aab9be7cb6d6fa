//! Wire formats, apart from their meaning.

pub mod checksum;
pub mod datagram;
pub mod flow;
pub mod ip;
pub mod segment;
pub mod tcp;
