//! What crosses XCF, apart from what it means: packets behind a [`DataHeader`], and control
//! datagrams.

pub(crate) mod control;
mod cursor;
mod data;
mod distribution;
pub(crate) mod message;
pub(crate) mod packet;

pub use data::{DataHeader, Direction, Hop};

/// First byte of a packet's [`DataHeader`]. No IP packet begins like this.
const DATA: u8 = 0xD7;
/// First byte of a control datagram.
const CONTROL: u8 = 0xC7;

/// What a datagram from XCF is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datagram {
    /// A control datagram, for [`Vipa::receive`](crate::Vipa::receive).
    Control,
    /// A packet that begins after [`DataHeader::LEN`] bytes.
    Data(DataHeader),
    /// Neither, or of a version that this stack does not know (D7).
    Unknown,
}

/// Tells control from data by the first byte.
pub fn classify(bytes: &[u8]) -> Datagram {
    match bytes.first() {
        Some(&CONTROL) => Datagram::Control,
        Some(&DATA) => DataHeader::parse(bytes).map_or(Datagram::Unknown, Datagram::Data),
        _ => Datagram::Unknown,
    }
}

/// Every kind of control message, by its number on the wire and its name, for programs that show them.
pub fn message_kinds() -> impl Iterator<Item = (u16, &'static str)> {
    message::KINDS.into_iter()
}
