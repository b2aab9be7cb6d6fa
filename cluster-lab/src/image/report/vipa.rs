//! VIPADCFG, VIPADYN, VDPT and VCRT.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use stack::Instant;
use vipa::status::{DistStatus, DvipaStatus, VipaOrigin, VipaStatus};
use vipa::{Definitions, Method, Moveable, Ports, Targets};

use crate::image::shared::Shared;
use crate::netstat::{
    BackupRow, DefineRow, DestinationRow, DistributeRow, DvipaRow, Flag, RangeRow, Report, Responsiveness, RouteRow,
};

fn moveable(moveable: Moveable) -> String {
    match moveable {
        Moveable::Immediate => "Immediate",
        Moveable::WhenIdle => "WhenIdle",
    }
    .into()
}

fn method(method: &Method) -> String {
    match method {
        Method::RoundRobin => "ROUNDROBIN",
        Method::WeightedActive(_) => "WEIGHTEDACTIVE",
    }
    .into()
}

pub(super) fn configuration(shared: &Shared, definitions: &Definitions) -> Report {
    let core = shared.lock();
    let deactivated = |address: IpAddr| core.vipa.is_deactivated(address);
    let ports = |ports: &Ports| match ports {
        Ports::Every => vec!["*".to_owned()],
        Ports::List(ranges) => {
            ranges.iter().flat_map(|range| range.first..=range.last).map(|p| p.to_string()).collect()
        }
    };
    let targets = |targets: &Targets| match targets {
        Targets::All => vec!["ALL".to_owned()],
        Targets::List(list) => list.iter().map(IpAddr::to_string).collect(),
    };
    let weights = |distribute: &vipa::Distribute| match (&distribute.method, &distribute.targets) {
        (Method::WeightedActive(weights), Targets::List(list)) => list.iter().map(|xcf| weights.of(*xcf)).collect(),
        _ => Vec::new(),
    };
    let Definitions { defines, backups, ranges, distributes } = definitions;
    Report::Vipadcfg {
        in_group: core.vipa.in_group(),
        backups: (backups.iter())
            .map(|backup| BackupRow {
                address: backup.address,
                prefix: backup.create.map(|(_, prefix)| prefix),
                rank: backup.rank,
                moveable: backup.create.map(|(how, _)| moveable(how)).unwrap_or_default(),
                deactivated: deactivated(backup.address),
            })
            .collect(),
        defines: (defines.iter())
            .map(|define| DefineRow {
                address: define.address,
                prefix: define.prefix,
                moveable: moveable(define.moveable),
                deactivated: deactivated(define.address),
            })
            .collect(),
        ranges: (ranges.iter())
            .map(|range| RangeRow {
                address: range.address,
                prefix: range.prefix,
                moveable: if range.disruptive { "Disrupt" } else { "NonDisr" }.into(),
            })
            .collect(),
        distributes: (distributes.iter())
            .map(|distribute| DistributeRow {
                address: distribute.address,
                ports: ports(&distribute.ports),
                destinations: targets(&distribute.targets),
                method: method(&distribute.method),
                weights: weights(distribute),
            })
            .collect(),
    }
}

/// In z/OS's words.
pub(super) fn status(status: VipaStatus) -> &'static str {
    match status {
        VipaStatus::Active => "Active",
        VipaStatus::Backup => "Backup",
        VipaStatus::Moving => "Moving",
        VipaStatus::Quiescing => "Quiescing",
        VipaStatus::Deactivated => "Deactivated",
        VipaStatus::None => "",
    }
}

/// In z/OS's words.
pub(super) fn origin(origin: VipaOrigin) -> &'static str {
    match origin {
        VipaOrigin::Define => "VIPADEFINE",
        VipaOrigin::Backup => "VIPABACKUP",
        VipaOrigin::RangeBind => "VIPARANGE BIND",
        VipaOrigin::RangeIoctl => "VIPARANGE IOCTL",
        VipaOrigin::Target => "",
    }
}

/// The time of day when the image's clock showed `at`.
fn time_of_day(at: Instant, now: Instant) -> jiff::Timestamp {
    let ago = jiff::SignedDuration::try_from(now.since(at)).unwrap_or_default();
    let today = jiff::Timestamp::now();
    // Nothing here is older than time itself.
    today.checked_sub(ago).unwrap_or(today)
}

pub(super) fn dynamic(shared: &Shared) -> Report {
    let now = shared.now();
    let row = |dvipa: DvipaStatus| DvipaRow {
        address: dvipa.address,
        prefix: dvipa.prefix,
        status: status(dvipa.status).into(),
        rank: Some(dvipa.rank).filter(|rank| *rank > 0),
        origin: origin(dvipa.origin).into(),
        distribution: match dvipa.distribution {
            DistStatus::Neither => "",
            DistStatus::Distributor => "Dist",
            DistStatus::Target => "Dest",
            DistStatus::Both => "Dist/Dest",
        }
        .into(),
        activated: dvipa.since.map(|since| time_of_day(since, now)),
        owner: dvipa.owner,
        epoch: (dvipa.epoch.round, dvipa.epoch.rank),
        advertised: dvipa.advertised,
    };
    Report::Vipadyn { dvipas: shared.lock().vipa.dvipas().into_iter().map(row).collect() }
}

pub(super) fn destinations(shared: &Shared) -> Report {
    let core = shared.lock();
    let lists: HashMap<IpAddr, DvipaStatus> =
        core.vipa.dvipas().into_iter().map(|dvipa| (dvipa.address, dvipa)).collect();
    let row = |row: vipa::status::DptRow| {
        let list = lists.get(&row.dvipa);
        let how = list.and_then(|dvipa| dvipa.method.as_ref());
        let dynamic = list.is_some_and(|dvipa| dvipa.ports == Some(Ports::Every));
        let (kind, weight) = match how {
            Some(Method::WeightedActive(weights)) => (Flag::WeightedActive, weights.of(row.target)),
            Some(Method::RoundRobin) | None => (Flag::Roundrobin, 1),
        };
        let flags = [(Flag::Dynamic, dynamic), (kind, true), (Flag::Inactive, !row.eligible)];
        DestinationRow {
            address: row.dvipa,
            port: row.port,
            xcf: row.target,
            ready: row.ready.into(),
            total: row.total,
            active: row.active.into(),
            method: how.map(method).unwrap_or_default(),
            weight: weight.into(),
            flags: flags.into_iter().filter(|(_, holds)| *holds).map(|(flag, _)| flag).collect(),
            responsiveness: Responsiveness::default(),
        }
    };
    Report::Vdpt { destinations: core.vipa.dpt().into_iter().map(row).collect() }
}

pub(super) fn routes(shared: &Shared) -> Report {
    let row = |row: vipa::status::CrtRow| RouteRow {
        destination: SocketAddr::new(row.dvipa, row.port),
        source: SocketAddr::new(row.remote, row.remote_port),
        xcf: row.target,
        state: if row.half_open { "half-open" } else { "established" }.into(),
    };
    Report::Vcrt { connections: shared.lock().vipa.crt().into_iter().map(row).collect() }
}
