//! Control datagrams: a session header, then messages, each with its kind and length.

use super::CONTROL;
use super::cursor::Reader;
use super::message::Message;

const VERSION: u8 = 1;

/// One end of an XCF session. Of two, the greater is the newer: a stack's later life has the
/// greater incarnation (R14), and within a life sessions are numbered from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct SessionId {
    pub incarnation: u64,
    pub number: u32,
}

impl SessionId {
    /// Stands for a session that is not known yet.
    pub const NONE: SessionId = SessionId { incarnation: 0, number: 0 };
}

/// The header of a control datagram.
///
/// ```text
/// magic(1) version(1) reserved(2) sender(8+4) receiver(8+4) sequence(8) acknowledgment(8)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub sender: SessionId,
    /// The receiver's session as the sender knows it: an echo that proves both directions.
    pub receiver: SessionId,
    /// From 1 up, for datagrams that are resent until acknowledged; 0 for all others.
    pub sequence: u64,
    /// Every sequenced datagram up to this one has arrived.
    pub acknowledgment: u64,
}

impl Header {
    pub const LEN: usize = 44;

    /// Reads the header; what follows are the messages.
    pub fn parse(bytes: &[u8]) -> Option<(Header, &[u8])> {
        let mut reader = Reader(bytes);
        if reader.array()? != [CONTROL, VERSION] {
            return None;
        }
        let _reserved = reader.u16()?;
        let mut session = || Some(SessionId { incarnation: reader.u64()?, number: reader.u32()? });
        let (sender, receiver) = (session()?, session()?);
        let (sequence, acknowledgment) = (reader.u64()?, reader.u64()?);
        Some((Header { sender, receiver, sequence, acknowledgment }, reader.0))
    }

    /// The whole datagram.
    pub fn emit(&self, messages: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::LEN + messages.len());
        out.extend([CONTROL, VERSION, 0, 0]);
        for session in [self.sender, self.receiver] {
            out.extend(session.incarnation.to_be_bytes());
            out.extend(session.number.to_be_bytes());
        }
        out.extend(self.sequence.to_be_bytes());
        out.extend(self.acknowledgment.to_be_bytes());
        out.extend(messages);
        out
    }
}

/// One item of a datagram's messages.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Item {
    Message(Message),
    /// A kind that this stack does not know (D7): skipped.
    Unknown,
    /// A known kind with a body that makes no sense, or a length beyond the end.
    Malformed,
}

/// The messages of a datagram. Ends after an item whose length cannot be right.
pub(crate) fn items(messages: &[u8]) -> impl Iterator<Item = Item> {
    let mut reader = Reader(messages);
    core::iter::from_fn(move || {
        if reader.0.is_empty() {
            return None;
        }
        let item = reader.u16().zip(reader.u16()).and_then(|(kind, length)| Some((kind, reader.bytes(length.into())?)));
        match item {
            Some((kind, body)) => Some(Message::decode(kind, body)),
            None => {
                reader.0 = &[];
                Some(Item::Malformed)
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_header_reads_back_as_written(a: (u64, u32), b: (u64, u32), sequence: u64, acknowledgment: u64, body: Vec<u8>) {
            let header = Header {
                sender: SessionId { incarnation: a.0, number: a.1 },
                receiver: SessionId { incarnation: b.0, number: b.1 },
                sequence,
                acknowledgment,
            };
            let bytes = header.emit(&body);
            prop_assert_eq!(Header::parse(&bytes), Some((header, &body[..])));
            prop_assert_eq!(Header::parse(&bytes[..Header::LEN - 1]), None);
        }

        /// D7: any bytes are read to an end without panic.
        #[test]
        fn any_messages_are_read(body: Vec<u8>) {
            items(&body).for_each(drop);
        }
    }

    /// D7: an unknown kind is stepped over, what follows is read.
    #[test]
    fn an_unknown_kind_is_skipped() {
        let mut body = vec![0xff, 0xff, 0, 3, 1, 2, 3];
        Message::Leaving.encode(&mut body);
        body.extend([0, 1, 0, 9, 0]);
        let read: Vec<Item> = items(&body).collect();
        assert_eq!(read, [Item::Unknown, Item::Message(Message::Leaving), Item::Malformed]);
    }
}
