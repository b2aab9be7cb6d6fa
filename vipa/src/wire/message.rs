//! The messages of the VIPA distribution functions to each other.

use std::net::{IpAddr, SocketAddr};

use super::control::Item;
use super::cursor::{Reader, put_address, put_list, put_optional};
use super::distribution::{distribution, put_distribution, put_more, read_more};
use crate::audit::Tally;
use crate::created::{Created, Creation};
use crate::definitions::Moveable;
use crate::dvipa::{Definition, Primary};
use crate::ownership::{Claim, Epoch, Phase};
use crate::workload::{ServerLoad, Workload};

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

fn hello(reader: &mut Reader<'_>) -> Option<Message> {
    let process = reader.optional(Reader::u32)?;
    let (linked, leaving) = (reader.u8()? != 0, reader.u8()? != 0);
    // Names are for people; one that is no UTF-8 is shown as well as it can be.
    let name = String::from_utf8_lossy(reader.0).into_owned();
    Some(Message::Hello { name, process, linked, leaving })
}

fn heartbeat(reader: &mut Reader<'_>) -> Option<Message> {
    let life = |reader: &mut Reader<'_>| {
        Some(Life { xcf: reader.address()?, incarnation: reader.u64()?, up: reader.u8()? != 0 })
    };
    Some(Message::Heartbeat {
        count: reader.u64()?,
        heard: reader.u64()?,
        claims: reader.u64()?,
        lives: reader.list(life)?,
    })
}

fn new_conn(reader: &mut Reader<'_>) -> Option<Message> {
    Some(Message::NewConn {
        connection: connection(reader)?,
        instance: reader.u32()?,
        target: reader.address()?,
        half_open: reader.u8()? != 0,
        // Earlier versions wrote nothing here.
        age: if reader.0.is_empty() { None } else { reader.optional(Reader::u32)? },
    })
}

fn audit(reader: &mut Reader<'_>) -> Option<Message> {
    let (dvipa, epoch) = address_epoch(reader)?;
    let tally = Tally { count: reader.u32()?, digest: reader.u64()? };
    Some(Message::Audit { dvipa, epoch, tally, servers: reader.u64()? })
}

fn affinity(reader: &mut Reader<'_>) -> Option<Message> {
    let (dvipa, epoch) = address_epoch(reader)?;
    let client = socket(reader)?;
    Some(Message::Affinity { dvipa, epoch, client: client.ip(), port: client.port(), left: reader.u32()? })
}

fn measured(reader: &mut Reader<'_>) -> Option<Message> {
    let (dvipa, epoch) = address_epoch(reader)?;
    let server = |reader: &mut Reader<'_>| {
        Some(Measured {
            port: reader.u16()?,
            arrived: reader.u32()?,
            requested: reader.u32()?,
            completed: reader.u32()?,
            efficiency: reader.u8()?,
        })
    };
    Some(Message::Measured { dvipa, epoch, interval: reader.u16()?, servers: reader.list(server)? })
}

fn put_workload(out: &mut Vec<u8>, workload: &Workload) {
    let Workload { system, servers } = workload;
    put_optional(out, system.as_ref(), |out, weights| out.extend(weights));
    put_list(out, &servers.iter().collect::<Vec<_>>(), |out, (port, server)| {
        let ServerLoad { weight, abnormal, health } = server;
        out.extend(port.to_be_bytes());
        put_optional(out, weight.as_ref(), |out, weight| out.push(*weight));
        out.extend(abnormal.to_be_bytes());
        out.push(*health);
    });
}

fn workload(reader: &mut Reader<'_>) -> Option<Workload> {
    let server = |reader: &mut Reader<'_>| {
        let port = reader.u16()?;
        let weight = reader.optional(Reader::u8)?;
        Some((port, ServerLoad { weight, abnormal: reader.u16()?, health: reader.u8()? }))
    };
    let system = reader.optional(Reader::array)?;
    Some(Workload { system, servers: reader.list(server)?.into_iter().collect() })
}

fn put_epoch(out: &mut Vec<u8>, dvipa: IpAddr, epoch: Epoch, kind: u16) -> u16 {
    put_address(out, dvipa);
    out.extend(epoch.round.to_be_bytes());
    out.push(epoch.rank);
    kind
}

fn epoch(reader: &mut Reader<'_>) -> Option<Epoch> {
    Some(Epoch { round: reader.u64()?, rank: reader.u8()? })
}

fn address_epoch(reader: &mut Reader<'_>) -> Option<(IpAddr, Epoch)> {
    reader.address().zip(epoch(reader))
}

fn put_socket(out: &mut Vec<u8>, socket: SocketAddr) {
    put_address(out, socket.ip());
    out.extend(socket.port().to_be_bytes());
}

fn socket(reader: &mut Reader<'_>) -> Option<SocketAddr> {
    Some(SocketAddr::new(reader.address()?, reader.u16()?))
}

fn put_connection(out: &mut Vec<u8>, connection: &Connection) {
    put_socket(out, connection.local);
    put_socket(out, connection.remote);
}

fn connection(reader: &mut Reader<'_>) -> Option<Connection> {
    let (local, remote) = (socket(reader)?, socket(reader)?);
    // Addresses of two families never make a connection.
    (local.is_ipv4() == remote.is_ipv4()).then_some(Connection { local, remote })
}

const fn moveable_code(moveable: Moveable) -> u8 {
    match moveable {
        Moveable::Immediate => 0,
        Moveable::WhenIdle => 1,
    }
}

fn moveable(reader: &mut Reader<'_>) -> Option<Moveable> {
    match reader.u8()? {
        0 => Some(Moveable::Immediate),
        1 => Some(Moveable::WhenIdle),
        _ => None,
    }
}

fn put_definition(out: &mut Vec<u8>, definition: &Definition) {
    let Definition { rank, moveable, prefix, create, distribution, created } = definition;
    out.extend([*rank, moveable_code(*moveable), u8::from(*create)]);
    put_optional(out, prefix.as_ref(), |out, prefix| out.push(*prefix));
    put_optional(out, distribution.as_ref(), put_distribution);
    put_optional(out, created.as_ref(), |out, Created { how, disruptive, since }| {
        out.extend([matches!(how, Creation::Ioctl).into(), u8::from(*disruptive)]);
        out.extend(since.to_be_bytes());
    });
    put_more(out, distribution.as_ref());
}

fn definition(reader: &mut Reader<'_>) -> Option<Definition> {
    let mut definition = Definition {
        rank: reader.u8()?,
        moveable: moveable(reader)?,
        create: reader.u8()? != 0,
        prefix: reader.optional(Reader::u8)?,
        distribution: reader.optional(distribution)?,
        // Earlier versions knew no VIPARange, and wrote nothing here.
        created: if reader.0.is_empty() { None } else { reader.optional(created)? },
    };
    read_more(reader, definition.distribution.as_mut())?;
    Some(definition)
}

fn created(reader: &mut Reader<'_>) -> Option<Created> {
    let how = match reader.u8()? {
        0 => Creation::Bind,
        1 => Creation::Ioctl,
        _ => return None,
    };
    Some(Created { how, disruptive: reader.u8()? != 0, since: reader.u64()? })
}

fn primary(reader: &mut Reader<'_>) -> Option<Primary> {
    let mut primary = Primary {
        incarnation: reader.u64()?,
        moveable: moveable(reader)?,
        prefix: reader.u8()?,
        distribution: reader.optional(distribution)?,
    };
    read_more(reader, primary.distribution.as_mut())?;
    Some(primary)
}

fn put_claim(out: &mut Vec<u8>, claim: &Claim) {
    let Claim { epoch, owner, incarnation, phase, prefix, distribution } = claim;
    put_address(out, *owner);
    out.extend(incarnation.to_be_bytes());
    out.extend(epoch.round.to_be_bytes());
    out.extend([epoch.rank, *prefix]);
    match phase {
        Phase::Rebuilding => out.push(0),
        Phase::TakingBack { from } => {
            out.push(1);
            put_address(out, *from);
        }
        Phase::Active => out.push(2),
        Phase::Released => out.push(3),
    }
    put_optional(out, distribution.as_ref(), put_distribution);
    put_more(out, distribution.as_ref());
}

fn claim(reader: &mut Reader<'_>) -> Option<Claim> {
    let mut claim = Claim {
        owner: reader.address()?,
        incarnation: reader.u64()?,
        epoch: epoch(reader)?,
        prefix: reader.u8()?,
        phase: match reader.u8()? {
            0 => Phase::Rebuilding,
            1 => Phase::TakingBack { from: reader.address()? },
            2 => Phase::Active,
            3 => Phase::Released,
            _ => return None,
        },
        distribution: reader.optional(distribution)?,
    };
    read_more(reader, claim.distribution.as_mut())?;
    Some(claim)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::control::items;
    use crate::wire::distribution::tests::distributions;

    fn addresses() -> impl Strategy<Value = IpAddr> {
        prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), any::<[u8; 16]>().prop_map(IpAddr::from)]
    }

    fn creations() -> impl Strategy<Value = Option<Created>> {
        let how = prop_oneof![Just(Creation::Bind), Just(Creation::Ioctl)];
        let created = (how, any::<bool>(), any::<u64>());
        prop::option::of(created.prop_map(|(how, disruptive, since)| Created { how, disruptive, since }))
    }

    fn lives() -> impl Strategy<Value = Life> {
        let life = (addresses(), any::<u64>(), any::<bool>());
        life.prop_map(|(xcf, incarnation, up)| Life { xcf, incarnation, up })
    }

    fn connections() -> impl Strategy<Value = Connection> {
        (any::<[u8; 4]>(), any::<u16>(), any::<[u8; 4]>(), any::<u16>())
            .prop_map(|(a, p, b, q)| Connection { local: (a, p).into(), remote: (b, q).into() })
    }

    fn measures() -> impl Strategy<Value = Measured> {
        (any::<u16>(), any::<[u32; 3]>(), any::<u8>()).prop_map(
            |(port, [arrived, requested, completed], efficiency)| Measured {
                port,
                arrived,
                requested,
                completed,
                efficiency,
            },
        )
    }

    fn servers() -> impl Strategy<Value = ServerLoad> {
        let server = (any::<Option<u8>>(), any::<u16>(), any::<u8>());
        server.prop_map(|(weight, abnormal, health)| ServerLoad { weight, abnormal, health })
    }

    fn messages() -> impl Strategy<Value = Message> {
        let epochs = || (any::<u64>(), any::<u8>()).prop_map(|(round, rank)| Epoch { round, rank });
        let moveables = || prop_oneof![Just(Moveable::Immediate), Just(Moveable::WhenIdle)];
        let lists = || prop::option::of(distributions());
        let phases = prop_oneof![
            Just(Phase::Rebuilding),
            Just(Phase::Active),
            Just(Phase::Released),
            addresses().prop_map(|from| Phase::TakingBack { from })
        ];
        prop_oneof![
            (".*", any::<Option<u32>>(), any::<bool>(), any::<bool>())
                .prop_map(|(name, process, linked, leaving)| Message::Hello { name, process, linked, leaving }),
            (any::<[u64; 3]>(), prop::collection::vec(lives(), 0..5))
                .prop_map(|([count, heard, claims], lives)| Message::Heartbeat { count, heard, claims, lives }),
            (addresses(), any::<u8>(), moveables(), any::<Option<u8>>(), any::<bool>(), lists(), creations()).prop_map(
                |(dvipa, rank, moveable, prefix, create, distribution, created)| Message::Definition {
                    dvipa,
                    definition: Definition { rank, moveable, prefix, create, distribution, created },
                }
            ),
            (addresses(), any::<u64>(), moveables(), any::<u8>(), lists()).prop_map(
                |(dvipa, incarnation, moveable, prefix, distribution)| Message::Primary {
                    dvipa,
                    primary: Primary { incarnation, moveable, prefix, distribution },
                }
            ),
            (addresses(), epochs(), addresses(), any::<u64>(), phases, any::<u8>(), lists()).prop_map(
                |(dvipa, epoch, owner, incarnation, phase, prefix, distribution)| Message::Claim {
                    dvipa,
                    claim: Claim { epoch, owner, incarnation, phase, prefix, distribution },
                }
            ),
            (addresses(), any::<u16>(), any::<u16>())
                .prop_map(|(ip, port, listeners)| Message::SrvStat { server: SocketAddr::new(ip, port), listeners }),
            (connections(), any::<u32>(), addresses(), any::<bool>(), any::<Option<u32>>()).prop_map(
                |(connection, instance, target, half_open, age)| Message::NewConn {
                    connection,
                    instance,
                    target,
                    half_open,
                    age
                }
            ),
            (connections(), any::<u32>()).prop_map(|(connection, instance)| Message::TermConn { connection, instance }),
            (connections(), any::<Option<u32>>())
                .prop_map(|(connection, instance)| Message::Deny { connection, instance }),
            connections().prop_map(|connection| Message::Ask { connection }),
            (connections(), any::<u32>()).prop_map(|(connection, instance)| Message::Forget { connection, instance }),
            (addresses(), epochs()).prop_map(|(dvipa, epoch)| Message::ReportEnd { dvipa, epoch }),
            (addresses(), epochs()).prop_map(|(dvipa, epoch)| Message::Released { dvipa, epoch }),
            (addresses(), epochs()).prop_map(|(dvipa, epoch)| Message::LeaseAsk { dvipa, epoch }),
            (addresses(), epochs(), any::<Vec<u16>>()).prop_map(|(dvipa, epoch, blocks)| Message::Leased {
                dvipa,
                epoch,
                blocks
            }),
            (addresses(), epochs(), any::<(u32, u64, u64)>()).prop_map(|(dvipa, epoch, (count, digest, servers))| {
                Message::Audit { dvipa, epoch, tally: Tally { count, digest }, servers }
            }),
            ".*".prop_map(|why| Message::Refused { why }),
            (addresses(), epochs(), addresses(), any::<u16>(), any::<u32>())
                .prop_map(|(dvipa, epoch, client, port, left)| Message::Affinity { dvipa, epoch, client, port, left }),
            (addresses(), epochs(), any::<u16>()).prop_map(|(dvipa, epoch, interval)| Message::Measure {
                dvipa,
                epoch,
                interval
            }),
            (addresses(), epochs(), any::<u16>(), prop::collection::vec(measures(), 0..5))
                .prop_map(|(dvipa, epoch, interval, servers)| Message::Measured { dvipa, epoch, interval, servers }),
            (any::<Option<[u8; 3]>>(), prop::collection::btree_map(any::<u16>(), servers(), 0..5))
                .prop_map(|(system, servers)| Message::Workload { workload: Workload { system, servers } }),
        ]
    }

    proptest! {
        #[test]
        fn messages_read_back_as_written(written in prop::collection::vec(messages(), 0..8)) {
            let mut body = Vec::new();
            written.iter().for_each(|message| message.encode(&mut body));
            let read: Vec<Item> = items(&body).collect();
            let expected: Vec<Item> = written.into_iter().map(Item::Message).collect();
            prop_assert_eq!(read, expected);
        }

        /// D7: a body cut short or garbled is malformed, never a panic.
        #[test]
        fn any_body_is_judged(kind in 0u16..32, body: Vec<u8>) {
            Message::decode(kind, &body);
        }
    }
}
