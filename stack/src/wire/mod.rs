//! Wire formats, apart from their meaning.

pub mod checksum;
pub mod ip;
pub mod tcp;
