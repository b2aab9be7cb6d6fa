//! Bodies of messages, and their fields: how each is written, and after it how it is read.

use std::net::{IpAddr, SocketAddr};

use super::{Connection, Life, Measured, Message};
use crate::audit::Tally;
use crate::created::{Created, Creation};
use crate::definitions::Moveable;
use crate::dvipa::{Definition, Primary};
use crate::ownership::{Claim, Epoch, Phase};
use crate::wire::cursor::{Reader, put_address, put_list, put_optional};
use crate::wire::distribution::{distribution, put_distribution, put_more, read_more};
use crate::workload::{ServerLoad, Workload};

pub(super) fn hello(reader: &mut Reader<'_>) -> Option<Message> {
    let process = reader.optional(Reader::u32)?;
    let (linked, leaving) = (reader.u8()? != 0, reader.u8()? != 0);
    // Names are for people; one that is no UTF-8 is shown as well as it can be.
    let name = String::from_utf8_lossy(reader.0).into_owned();
    Some(Message::Hello { name, process, linked, leaving })
}

pub(super) fn heartbeat(reader: &mut Reader<'_>) -> Option<Message> {
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

pub(super) fn new_conn(reader: &mut Reader<'_>) -> Option<Message> {
    Some(Message::NewConn {
        connection: connection(reader)?,
        instance: reader.u32()?,
        target: reader.address()?,
        half_open: reader.u8()? != 0,
        // Earlier versions wrote nothing here.
        age: if reader.0.is_empty() { None } else { reader.optional(Reader::u32)? },
    })
}

pub(super) fn audit(reader: &mut Reader<'_>) -> Option<Message> {
    let (dvipa, epoch) = address_epoch(reader)?;
    let tally = Tally { count: reader.u32()?, digest: reader.u64()? };
    Some(Message::Audit { dvipa, epoch, tally, servers: reader.u64()? })
}

pub(super) fn affinity(reader: &mut Reader<'_>) -> Option<Message> {
    let (dvipa, epoch) = address_epoch(reader)?;
    let client = socket(reader)?;
    Some(Message::Affinity { dvipa, epoch, client: client.ip(), port: client.port(), left: reader.u32()? })
}

pub(super) fn measured(reader: &mut Reader<'_>) -> Option<Message> {
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

pub(super) fn put_workload(out: &mut Vec<u8>, workload: &Workload) {
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

pub(super) fn workload(reader: &mut Reader<'_>) -> Option<Workload> {
    let server = |reader: &mut Reader<'_>| {
        let port = reader.u16()?;
        let weight = reader.optional(Reader::u8)?;
        Some((port, ServerLoad { weight, abnormal: reader.u16()?, health: reader.u8()? }))
    };
    let system = reader.optional(Reader::array)?;
    Some(Workload { system, servers: reader.list(server)?.into_iter().collect() })
}

pub(super) fn put_epoch(out: &mut Vec<u8>, dvipa: IpAddr, epoch: Epoch, kind: u16) -> u16 {
    put_address(out, dvipa);
    out.extend(epoch.round.to_be_bytes());
    out.push(epoch.rank);
    kind
}

pub(super) fn epoch(reader: &mut Reader<'_>) -> Option<Epoch> {
    Some(Epoch { round: reader.u64()?, rank: reader.u8()? })
}

pub(super) fn address_epoch(reader: &mut Reader<'_>) -> Option<(IpAddr, Epoch)> {
    reader.address().zip(epoch(reader))
}

pub(super) fn put_socket(out: &mut Vec<u8>, socket: SocketAddr) {
    put_address(out, socket.ip());
    out.extend(socket.port().to_be_bytes());
}

pub(super) fn socket(reader: &mut Reader<'_>) -> Option<SocketAddr> {
    Some(SocketAddr::new(reader.address()?, reader.u16()?))
}

pub(super) fn put_connection(out: &mut Vec<u8>, connection: &Connection) {
    put_socket(out, connection.local);
    put_socket(out, connection.remote);
}

pub(super) fn connection(reader: &mut Reader<'_>) -> Option<Connection> {
    let (local, remote) = (socket(reader)?, socket(reader)?);
    // Addresses of two families never make a connection.
    (local.is_ipv4() == remote.is_ipv4()).then_some(Connection { local, remote })
}

pub(super) const fn moveable_code(moveable: Moveable) -> u8 {
    match moveable {
        Moveable::Immediate => 0,
        Moveable::WhenIdle => 1,
    }
}

pub(super) fn moveable(reader: &mut Reader<'_>) -> Option<Moveable> {
    match reader.u8()? {
        0 => Some(Moveable::Immediate),
        1 => Some(Moveable::WhenIdle),
        _ => None,
    }
}

pub(super) fn put_definition(out: &mut Vec<u8>, definition: &Definition) {
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

pub(super) fn definition(reader: &mut Reader<'_>) -> Option<Definition> {
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

pub(super) fn created(reader: &mut Reader<'_>) -> Option<Created> {
    let how = match reader.u8()? {
        0 => Creation::Bind,
        1 => Creation::Ioctl,
        _ => return None,
    };
    Some(Created { how, disruptive: reader.u8()? != 0, since: reader.u64()? })
}

pub(super) fn primary(reader: &mut Reader<'_>) -> Option<Primary> {
    let mut primary = Primary {
        incarnation: reader.u64()?,
        moveable: moveable(reader)?,
        prefix: reader.u8()?,
        distribution: reader.optional(distribution)?,
    };
    read_more(reader, primary.distribution.as_mut())?;
    Some(primary)
}

pub(super) fn put_claim(out: &mut Vec<u8>, claim: &Claim) {
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

pub(super) fn claim(reader: &mut Reader<'_>) -> Option<Claim> {
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
