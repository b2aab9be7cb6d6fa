//! VIPADCFG, VIPADYN, VDPT and VCRT.

use std::net::{IpAddr, SocketAddr};

use stack::Instant;
use vipa::status::{DistMethod, DistStatus, DvipaStatus, StandbyRole, VipaOrigin, VipaStatus};
use vipa::{Definitions, Method, Moveable, Ports, Targets, Vipa};

use crate::image::shared::Shared;
use crate::netstat::{
    BackupRow, DefineRow, DestinationRow, DistributeRow, DvipaRow, Flag, RangeRow, Report, Responsiveness, RouteRow,
    StandbyRow,
};

fn moveable(moveable: Moveable) -> String {
    match moveable {
        Moveable::Immediate => "Immediate",
        Moveable::WhenIdle => "WhenIdle",
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
    let standby = |distribute: &vipa::Distribute| match (&distribute.method, &distribute.targets) {
        (Method::HotStandby(standby), Targets::List(list)) => Some(StandbyRow {
            // The parser gives each target a part.
            ranks: list.iter().map(|xcf| standby.rank(*xcf).unwrap_or_default()).collect(),
            auto_switch_back: standby.switch_back,
            health_switch: standby.health_switch,
        }),
        _ => None,
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
                method: distribute.method.name().into(),
                weights: weights(distribute),
                standby: standby(distribute),
                sysplex_ports: distribute.options.sysplex_ports,
                timed_affinity: distribute.options.timed_affinity,
                optlocal: distribute.options.optlocal,
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

pub(super) fn dynamic(dvipas: &[DvipaStatus], now: Instant) -> Vec<DvipaRow> {
    let row = |dvipa: &DvipaStatus| DvipaRow {
        address: dvipa.address,
        prefix: dvipa.prefix,
        status: status(dvipa.status).into(),
        // What an application has made has none.
        rank: matches!(dvipa.origin, VipaOrigin::Define | VipaOrigin::Backup).then_some(dvipa.rank),
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
    dvipas.iter().map(row).collect()
}

pub(super) fn destinations(vipa: &Vipa) -> Vec<DestinationRow> {
    let row = |row: vipa::status::DptRow| {
        let kind = match row.method {
            DistMethod::BaseWlm => Flag::BaseWLM,
            DistMethod::RoundRobin => Flag::Roundrobin,
            DistMethod::ServerWlm => Flag::ServerWLM,
            DistMethod::WeightedActive => Flag::WeightedActive,
            DistMethod::HotStandby => Flag::HotStandby,
        };
        let standby = row.role.is_some();
        let flags = [
            (Flag::Dynamic, row.dynamic_port),
            (kind, true),
            (Flag::Active, standby && row.in_use),
            (Flag::Backup, standby && !row.in_use),
            (Flag::Inactive, !row.eligible),
        ];
        DestinationRow {
            address: row.dvipa,
            port: row.port,
            xcf: row.target,
            ready: row.ready.into(),
            total: row.total,
            active: row.active.into(),
            method: row.method.name().into(),
            server: row.role.map(|role| match role {
                StandbyRole::Preferred => "Preferred".into(),
                StandbyRole::Backup(_) => "Backup".into(),
            }),
            weight: row.weight.into(),
            raw_weight: row.raw_weight,
            flags: flags.into_iter().filter(|(_, holds)| *holds).map(|(flag, _)| flag).collect(),
            responsiveness: Responsiveness {
                tsr: row.tsr,
                tcsr: row.tcsr,
                cer: row.cer,
                sef: row.sef,
                abnorm: row.abnormal,
                health: row.health,
            },
        }
    };
    vipa.dpt().into_iter().map(row).collect()
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
