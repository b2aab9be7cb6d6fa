//! The messages of the VIPA distribution functions to each other.

mod body;

use std::net::{IpAddr, SocketAddr};

use self::body::{
    address_epoch, affinity, audit, claim, connection, definition, heartbeat, hello, measured, moveable_code, new_conn,
    primary, put_claim, put_connection, put_definition, put_epoch, put_socket, put_workload, socket, workload,
};
use super::control::Item;
use super::cursor::{Reader, put_address, put_list, put_optional};
use super::distribution::{put_distribution, put_more};
use crate::audit::Tally;
use crate::dvipa::{Definition, Primary};
use crate::ownership::{Claim, Epoch};
use crate::workload::Workload;

/// A connection as stacks name it to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Connection {
    /// DVIPA and port.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// Opens a session; never sequenced.
    Hello { name: String, process: Option<u32>, linked: bool, leaving: bool },
    /// Never sequenced. `heard` is the receiver's last `count` that arrived here; `lives`
    /// are those lives of other stacks that are not over as far as the sender knows. `claims` is the
    /// digest of all claims that it knows.
    Heartbeat { count: u64, heard: u64, claims: u64, lives: Vec<Life> },
    /// The complete VIPA list begins (F5.102).
    ListBegin,
    /// What the sender's own profile says of a DVIPA.
    Definition { dvipa: IpAddr, definition: Definition },
    /// What the primary's profile was last heard to say (F6.134).
    Primary { dvipa: IpAddr, primary: Primary },
    /// The highest claim the sender knows; its own, if it is the owner (F9.201, F9.212, F10.300).
    Claim { dvipa: IpAddr, claim: Claim },
    /// The VIPA list is complete.
    ListEnd,
    /// All that the sender serves of a DVIPA follows.
    ReportBegin { dvipa: IpAddr, epoch: Epoch },
    /// The report is complete.
    ReportEnd { dvipa: IpAddr, epoch: Epoch },
    /// SRVSTAT: how many applications listen on (DVIPA, port) at the sender; 0: no longer (F6.130).
    SrvStat { server: SocketAddr, listeners: u16 },
    /// NEWCONN: the connection lives on the stack with XCF address `target` (F6.133). `age`: for how
    /// many milliseconds it has been established, if it is, and the sender knows.
    NewConn { connection: Connection, instance: u32, target: IpAddr, half_open: bool, age: Option<u32> },
    /// TERMCONN: the connection has ended at the sender (F8.162).
    TermConn { connection: Connection, instance: u32 },
    /// Does the receiver hold the connection? It answers NEWCONN or DENY (R1).
    Ask { connection: Connection },
    /// If the receiver holds this very connection, the client has forgotten it: it began another
    /// one between the same ends, with another stack (I7).
    Forget { connection: Connection, instance: u32 },
    /// The sender does not hold the connection; `instance` if it knows which one was meant.
    Deny { connection: Connection, instance: Option<u32> },
    /// Takeback: the sender's tables are ready for what the receiver routes (F10.304).
    TakeBack { dvipa: IpAddr, epoch: Epoch },
    /// All NEWCONN are sent; the sender has stopped to distribute (F10.308).
    Released { dvipa: IpAddr, epoch: Epoch },
    /// MOVEable WHENIDLE: the sender holds no connection any more, the primary may take back.
    Idle { dvipa: IpAddr, epoch: Epoch },
    /// The sender stops in order: others are to take over what it owns.
    Leaving,
    /// To the router: the sender wants one more block of ports (R8).
    LeaseAsk { dvipa: IpAddr, epoch: Epoch },
    /// From the router: all blocks that the receiver has. To a router: all that the sender has.
    Leased { dvipa: IpAddr, epoch: Epoch, blocks: Vec<u16> },
    /// What the router's tables say of the receiver (R15).
    Audit { dvipa: IpAddr, epoch: Epoch, tally: Tally, servers: u64 },
    /// TIMEDAFFINITY: the sender has had connections of the client, has none now, and keeps its place for so many
    /// milliseconds.
    Affinity { dvipa: IpAddr, epoch: Epoch, client: IpAddr, port: u16, left: u32 },
    /// From the router: what became of the SYNs of an interval?
    Measure { dvipa: IpAddr, epoch: Epoch, interval: u16 },
    /// The answer.
    Measured { dvipa: IpAddr, epoch: Epoch, interval: u16, servers: Vec<Measured> },
    /// What the sender's workload manager says of it and its servers.
    Workload { workload: Workload },
    /// The sender has left the group; never sequenced.
    Gone,
    /// The receiver may not join; never sequenced.
    Refused { why: String },
}

/// What became of an interval's SYNs at one port of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Measured {
    pub port: u16,
    /// SYNs that came.
    pub arrived: u32,
    /// Connections that they asked for.
    pub requested: u32,
    /// Those of them that were established.
    pub completed: u32,
    /// Server efficiency, in percent.
    pub efficiency: u8,
}

/// A life of a stack, and whether the one that tells of it has contact with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Life {
    pub xcf: IpAddr,
    pub incarnation: u64,
    pub up: bool,
}

impl Life {
    pub fn is_same(&self, other: &Life) -> bool {
        (self.xcf, self.incarnation) == (other.xcf, other.incarnation)
    }
}

/// Kinds on the wire. Numbers are never used again for something else.
mod kind {
    pub const HELLO: u16 = 1;
    pub const HEARTBEAT: u16 = 2;
    pub const LIST_BEGIN: u16 = 3;
    pub const DEFINITION: u16 = 4;
    pub const PRIMARY: u16 = 5;
    pub const CLAIM: u16 = 6;
    pub const LIST_END: u16 = 7;
    pub const REPORT_BEGIN: u16 = 8;
    pub const REPORT_END: u16 = 9;
    pub const SRVSTAT: u16 = 10;
    pub const NEWCONN: u16 = 11;
    pub const TERMCONN: u16 = 12;
    pub const ASK: u16 = 13;
    pub const DENY: u16 = 14;
    pub const TAKEBACK: u16 = 15;
    pub const RELEASED: u16 = 16;
    pub const IDLE: u16 = 17;
    pub const LEAVING: u16 = 18;
    pub const LEASE_ASK: u16 = 19;
    pub const LEASED: u16 = 20;
    pub const AUDIT: u16 = 21;
    pub const GONE: u16 = 22;
    pub const REFUSED: u16 = 23;
    pub const FORGET: u16 = 24;
    pub const WORKLOAD: u16 = 25;
    pub const AFFINITY: u16 = 26;
    pub const MEASURE: u16 = 27;
    pub const MEASURED: u16 = 28;
}

/// Every kind on the wire, and its name for people.
pub(crate) const KINDS: [(u16, &str); 28] = [
    (kind::HELLO, "HELLO"),
    (kind::HEARTBEAT, "HEARTBEAT"),
    (kind::LIST_BEGIN, "LIST_BEGIN"),
    (kind::DEFINITION, "DEFINITION"),
    (kind::PRIMARY, "PRIMARY"),
    (kind::CLAIM, "CLAIM"),
    (kind::LIST_END, "LIST_END"),
    (kind::REPORT_BEGIN, "REPORT_BEGIN"),
    (kind::REPORT_END, "REPORT_END"),
    (kind::SRVSTAT, "SRVSTAT"),
    (kind::NEWCONN, "NEWCONN"),
    (kind::TERMCONN, "TERMCONN"),
    (kind::ASK, "ASK"),
    (kind::DENY, "DENY"),
    (kind::TAKEBACK, "TAKEBACK"),
    (kind::RELEASED, "RELEASED"),
    (kind::IDLE, "IDLE"),
    (kind::LEAVING, "LEAVING"),
    (kind::LEASE_ASK, "LEASE_ASK"),
    (kind::LEASED, "LEASED"),
    (kind::AUDIT, "AUDIT"),
    (kind::GONE, "GONE"),
    (kind::REFUSED, "REFUSED"),
    (kind::FORGET, "FORGET"),
    (kind::WORKLOAD, "WORKLOAD"),
    (kind::AFFINITY, "AFFINITY"),
    (kind::MEASURE, "MEASURE"),
    (kind::MEASURED, "MEASURED"),
];

impl Message {
    /// Appends kind, length and body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend([0; 4]);
        let kind = self.put(out);
        // No message nears 64 KiB: the longest carries a port list and a target list.
        let length = u16::try_from(out.len() - start - 4).unwrap_or(u16::MAX);
        out[start..start + 2].copy_from_slice(&kind.to_be_bytes());
        out[start + 2..start + 4].copy_from_slice(&length.to_be_bytes());
    }

    fn put(&self, out: &mut Vec<u8>) -> u16 {
        match self {
            Message::Hello { name, process, linked, leaving } => {
                put_optional(out, process.as_ref(), |out, process| out.extend(process.to_be_bytes()));
                out.extend([u8::from(*linked), u8::from(*leaving)]);
                out.extend(name.as_bytes());
                kind::HELLO
            }
            Message::Heartbeat { count, heard, claims, lives } => {
                for field in [count, heard, claims] {
                    out.extend(field.to_be_bytes());
                }
                put_list(out, lives, |out, life| {
                    put_address(out, life.xcf);
                    out.extend(life.incarnation.to_be_bytes());
                    out.push(u8::from(life.up));
                });
                kind::HEARTBEAT
            }
            Message::ListBegin => kind::LIST_BEGIN,
            Message::Definition { dvipa, definition } => {
                put_address(out, *dvipa);
                put_definition(out, definition);
                kind::DEFINITION
            }
            Message::Primary { dvipa, primary } => {
                let Primary { incarnation, moveable, prefix, distribution } = primary;
                put_address(out, *dvipa);
                out.extend(incarnation.to_be_bytes());
                out.extend([moveable_code(*moveable), *prefix]);
                put_optional(out, distribution.as_ref(), put_distribution);
                put_more(out, distribution.as_ref());
                kind::PRIMARY
            }
            Message::Claim { dvipa, claim } => {
                put_address(out, *dvipa);
                put_claim(out, claim);
                kind::CLAIM
            }
            Message::ListEnd => kind::LIST_END,
            Message::ReportBegin { dvipa, epoch } => put_epoch(out, *dvipa, *epoch, kind::REPORT_BEGIN),
            Message::ReportEnd { dvipa, epoch } => put_epoch(out, *dvipa, *epoch, kind::REPORT_END),
            Message::SrvStat { server, listeners } => {
                put_socket(out, *server);
                out.extend(listeners.to_be_bytes());
                kind::SRVSTAT
            }
            Message::NewConn { connection, instance, target, half_open, age } => {
                put_connection(out, connection);
                out.extend(instance.to_be_bytes());
                put_address(out, *target);
                out.push(u8::from(*half_open));
                put_optional(out, age.as_ref(), |out, age| out.extend(age.to_be_bytes()));
                kind::NEWCONN
            }
            Message::TermConn { connection, instance } => {
                put_connection(out, connection);
                out.extend(instance.to_be_bytes());
                kind::TERMCONN
            }
            Message::Ask { connection } => {
                put_connection(out, connection);
                kind::ASK
            }
            Message::Forget { connection, instance } => {
                put_connection(out, connection);
                out.extend(instance.to_be_bytes());
                kind::FORGET
            }
            Message::Deny { connection, instance } => {
                put_connection(out, connection);
                put_optional(out, instance.as_ref(), |out, instance| out.extend(instance.to_be_bytes()));
                kind::DENY
            }
            Message::TakeBack { dvipa, epoch } => put_epoch(out, *dvipa, *epoch, kind::TAKEBACK),
            Message::Released { dvipa, epoch } => put_epoch(out, *dvipa, *epoch, kind::RELEASED),
            Message::Idle { dvipa, epoch } => put_epoch(out, *dvipa, *epoch, kind::IDLE),
            Message::Leaving => kind::LEAVING,
            Message::LeaseAsk { dvipa, epoch } => put_epoch(out, *dvipa, *epoch, kind::LEASE_ASK),
            Message::Leased { dvipa, epoch, blocks } => {
                put_epoch(out, *dvipa, *epoch, kind::LEASED);
                put_list(out, blocks, |out, block| out.extend(block.to_be_bytes()));
                kind::LEASED
            }
            Message::Audit { dvipa, epoch, tally, servers } => {
                put_epoch(out, *dvipa, *epoch, kind::AUDIT);
                out.extend(tally.count.to_be_bytes());
                out.extend(tally.digest.to_be_bytes());
                out.extend(servers.to_be_bytes());
                kind::AUDIT
            }
            Message::Affinity { dvipa, epoch, client, port, left } => {
                put_epoch(out, *dvipa, *epoch, kind::AFFINITY);
                put_socket(out, SocketAddr::new(*client, *port));
                out.extend(left.to_be_bytes());
                kind::AFFINITY
            }
            Message::Measure { dvipa, epoch, interval } => {
                put_epoch(out, *dvipa, *epoch, kind::MEASURE);
                out.extend(interval.to_be_bytes());
                kind::MEASURE
            }
            Message::Measured { dvipa, epoch, interval, servers } => {
                put_epoch(out, *dvipa, *epoch, kind::MEASURED);
                out.extend(interval.to_be_bytes());
                put_list(out, servers, |out, server| {
                    let Measured { port, arrived, requested, completed, efficiency } = server;
                    out.extend(port.to_be_bytes());
                    [arrived, requested, completed].iter().for_each(|count| out.extend(count.to_be_bytes()));
                    out.push(*efficiency);
                });
                kind::MEASURED
            }
            Message::Workload { workload } => {
                put_workload(out, workload);
                kind::WORKLOAD
            }
            Message::Gone => kind::GONE,
            Message::Refused { why } => {
                out.extend(why.as_bytes());
                kind::REFUSED
            }
        }
    }

    /// Reads one message body. Bytes behind the known fields are ignored: later versions may
    /// append fields.
    pub fn decode(kind: u16, body: &[u8]) -> Item {
        let mut reader = Reader(body);
        let message = match kind {
            kind::HELLO => hello(&mut reader),
            kind::HEARTBEAT => heartbeat(&mut reader),
            kind::LIST_BEGIN => Some(Message::ListBegin),
            kind::DEFINITION => reader
                .address()
                .zip(definition(&mut reader))
                .map(|(dvipa, definition)| Message::Definition { dvipa, definition }),
            kind::PRIMARY => {
                reader.address().zip(primary(&mut reader)).map(|(dvipa, primary)| Message::Primary { dvipa, primary })
            }
            kind::CLAIM => {
                reader.address().zip(claim(&mut reader)).map(|(dvipa, claim)| Message::Claim { dvipa, claim })
            }
            kind::LIST_END => Some(Message::ListEnd),
            kind::REPORT_BEGIN => {
                address_epoch(&mut reader).map(|(dvipa, epoch)| Message::ReportBegin { dvipa, epoch })
            }
            kind::REPORT_END => address_epoch(&mut reader).map(|(dvipa, epoch)| Message::ReportEnd { dvipa, epoch }),
            kind::SRVSTAT => {
                socket(&mut reader).zip(reader.u16()).map(|(server, listeners)| Message::SrvStat { server, listeners })
            }
            kind::NEWCONN => new_conn(&mut reader),
            kind::TERMCONN => connection(&mut reader)
                .zip(reader.u32())
                .map(|(connection, instance)| Message::TermConn { connection, instance }),
            kind::ASK => connection(&mut reader).map(|connection| Message::Ask { connection }),
            kind::FORGET => connection(&mut reader)
                .zip(reader.u32())
                .map(|(connection, instance)| Message::Forget { connection, instance }),
            kind::DENY => connection(&mut reader)
                .zip(reader.optional(Reader::u32))
                .map(|(connection, instance)| Message::Deny { connection, instance }),
            kind::TAKEBACK => address_epoch(&mut reader).map(|(dvipa, epoch)| Message::TakeBack { dvipa, epoch }),
            kind::RELEASED => address_epoch(&mut reader).map(|(dvipa, epoch)| Message::Released { dvipa, epoch }),
            kind::IDLE => address_epoch(&mut reader).map(|(dvipa, epoch)| Message::Idle { dvipa, epoch }),
            kind::LEAVING => Some(Message::Leaving),
            kind::LEASE_ASK => address_epoch(&mut reader).map(|(dvipa, epoch)| Message::LeaseAsk { dvipa, epoch }),
            kind::LEASED => address_epoch(&mut reader)
                .zip(reader.list(Reader::u16))
                .map(|((dvipa, epoch), blocks)| Message::Leased { dvipa, epoch, blocks }),
            kind::AUDIT => audit(&mut reader),
            kind::AFFINITY => affinity(&mut reader),
            kind::MEASURE => address_epoch(&mut reader)
                .zip(reader.u16())
                .map(|((dvipa, epoch), interval)| Message::Measure { dvipa, epoch, interval }),
            kind::MEASURED => measured(&mut reader),
            kind::WORKLOAD => workload(&mut reader).map(|workload| Message::Workload { workload }),
            kind::GONE => Some(Message::Gone),
            kind::REFUSED => Some(Message::Refused { why: String::from_utf8_lossy(reader.0).into_owned() }),
            _ => return Item::Unknown,
        };
        message.map_or(Item::Malformed, Item::Message)
    }
}

#[cfg(test)]
mod tests;
