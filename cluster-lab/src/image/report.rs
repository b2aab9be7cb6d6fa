//! What an image tells of itself.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use stack::home::Kind;
use stack::tcp::State;
use vipa::status::{DistStatus, VipaOrigin, VipaStatus};
use vipa::{Method, Moveable, Ports, Targets};

use super::shared::Shared;
use super::xcf::Cause;
use crate::control::DvipaView;
use crate::netstat::{
    BackupRow, ConnectionRow, DefineRow, DestinationRow, DistributeRow, DvipaRow, HomeRow, ParameterRow, RangeRow,
    Report, ReportKind, RouteRow, socket,
};
use crate::watch::{Gauges, Peer};
use vipa::Definitions;

/// The image's view of every DVIPA.
pub(super) fn dvipas(shared: &Shared) -> Vec<DvipaView> {
    let view = |dvipa: vipa::status::DvipaStatus| DvipaView {
        address: dvipa.address,
        ports: match dvipa.ports {
            Some(Ports::List(ranges)) => ranges.iter().flat_map(|range| range.first..=range.last).collect(),
            Some(Ports::Every) | None => Vec::new(),
        },
        // While the tables are rebuilt, nobody routes yet.
        owner: dvipa.owner.filter(|_| dvipa.complete),
        epoch: (dvipa.epoch.round, dvipa.epoch.rank),
        backups: dvipa.backups,
        targets: dvipa.targets,
    };
    shared.lock().vipa.dvipas().into_iter().map(view).collect()
}

/// What watchers see.
pub(super) fn gauges(shared: &Shared) -> Gauges {
    let (views, vipadyn, destinations) = (dvipas(shared), vipadyn(shared), destinations(shared));
    let core = shared.lock();
    let (quiesced, quiesced_ports) = core.vipa.quiesced();
    let peer =
        |peer: vipa::status::PeerStatus| Peer { xcf: peer.xcf, contact: peer.contact.into(), resent: peer.resent };
    Gauges {
        in_group: core.vipa.in_group(),
        quiesced,
        quiesced_ports,
        views,
        vipadyn,
        destinations,
        routes: core.vipa.crt_len(),
        peers: core.vipa.peers().into_iter().map(peer).collect(),
        traffic: core.traffic.clone(),
    }
}

/// One of the reports.
pub(super) fn netstat(shared: &Shared, definitions: &Definitions, kind: ReportKind) -> Report {
    match kind {
        ReportKind::Home => home(shared),
        ReportKind::Vipadcfg => configuration(definitions),
        ReportKind::Vipadyn => Report::Vipadyn { dvipas: vipadyn(shared) },
        ReportKind::Vdpt => Report::Vdpt { destinations: destinations(shared) },
        ReportKind::Vcrt => Report::Vcrt {
            connections: (shared.lock().vipa.crt().into_iter())
                .map(|row| RouteRow {
                    destination: SocketAddr::new(row.dvipa, row.port),
                    source: SocketAddr::new(row.remote, row.remote_port),
                    xcf: row.target,
                    state: if row.half_open { "half-open" } else { "established" }.into(),
                })
                .collect(),
        },
        ReportKind::Conn => connections(shared),
        ReportKind::Stats => statistics(shared),
        ReportKind::Config => Report::Config { parameters: parameters(shared) },
    }
}

fn home(shared: &Shared) -> Report {
    let core = shared.lock();
    let row = |home: &stack::home::Home| HomeRow {
        address: home.address,
        link: match (home.kind, home.address) {
            (Kind::Link, _) => "NETWORK".into(),
            (Kind::Xcf, _) => "EZAXCF".into(),
            (Kind::Loopback, _) => "LOOPBACK".into(),
            // As z/OS names the link of a dynamic VIPA.
            (Kind::Dvipa | Kind::InternalDvipa, IpAddr::V4(address)) => format!("VIPL{:08X}", address.to_bits()),
            // There the interface is named in the profile; here after the address, folded to 32 bits.
            (Kind::Dvipa | Kind::InternalDvipa, IpAddr::V6(address)) => {
                let folded = (0..4).fold(0, |folded, word| folded ^ (address.to_bits() >> (32 * word)) as u32);
                format!("VIP6{folded:08X}")
            }
        },
        flag: if home.kind == Kind::InternalDvipa { "I" } else { "" }.into(),
    };
    Report::Home { addresses: core.stack.home().iter().map(row).collect() }
}

fn moveable(moveable: Moveable) -> String {
    match moveable {
        Moveable::Immediate => "Immediate",
        Moveable::WhenIdle => "WhenIdle",
    }
    .into()
}

fn configuration(definitions: &Definitions) -> Report {
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
    let Definitions { defines, backups, ranges, distributes } = definitions;
    Report::Vipadcfg {
        backups: backups.iter().map(|backup| BackupRow { address: backup.address, rank: backup.rank }).collect(),
        defines: (defines.iter())
            .map(|define| DefineRow {
                address: define.address,
                prefix: define.prefix,
                moveable: moveable(define.moveable),
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
                method: match distribute.method {
                    Method::RoundRobin => "ROUNDROBIN",
                    Method::WeightedActive(_) => "WEIGHTEDACTIVE",
                }
                .into(),
            })
            .collect(),
    }
}

fn destinations(shared: &Shared) -> Vec<DestinationRow> {
    let row = |row: vipa::status::DptRow| DestinationRow {
        address: row.dvipa,
        port: row.port,
        xcf: row.target,
        ready: u32::from(row.ready),
        total: row.total,
        active: u64::from(row.active),
    };
    shared.lock().vipa.dpt().into_iter().map(row).collect()
}

fn vipadyn(shared: &Shared) -> Vec<DvipaRow> {
    let row = |dvipa: vipa::status::DvipaStatus| DvipaRow {
        address: dvipa.address,
        prefix: dvipa.prefix,
        status: match dvipa.status {
            VipaStatus::Active => "Active",
            VipaStatus::Backup => "Backup",
            VipaStatus::Moving => "Moving",
            VipaStatus::Quiescing => "Quiescing",
            VipaStatus::Deactivated => "Deactivated",
            VipaStatus::None => "",
        }
        .into(),
        rank: Some(dvipa.rank).filter(|rank| *rank > 0),
        origin: match dvipa.origin {
            VipaOrigin::Define => "VIPADEFINE",
            VipaOrigin::Backup => "VIPABACKUP",
            VipaOrigin::RangeBind => "VIPARANGE BIND",
            VipaOrigin::RangeIoctl => "VIPARANGE IOCTL",
            VipaOrigin::Target => "",
        }
        .into(),
        distribution: match dvipa.distribution {
            DistStatus::Neither => "",
            DistStatus::Distributor => "Dist",
            DistStatus::Target => "Dest",
            DistStatus::Both => "Dist/Dest",
        }
        .into(),
        owner: dvipa.owner,
        epoch: (dvipa.epoch.round, dvipa.epoch.rank),
        advertised: dvipa.advertised,
    };
    shared.lock().vipa.dvipas().into_iter().map(row).collect()
}

/// States in z/OS's words.
fn state(state: State) -> &'static str {
    match state {
        State::SynSent => "SynSent",
        State::SynReceived => "SynRcvd",
        State::Established => "Establsh",
        State::FinWait1 => "FinWait1",
        State::FinWait2 => "FinWait2",
        State::CloseWait => "ClosWait",
        State::Closing => "Closing",
        State::LastAck => "LastAck",
        State::TimeWait => "TimeWait",
        State::Closed => "Closed",
    }
}

fn parameters(shared: &Shared) -> Vec<ParameterRow> {
    let rows = shared.lock().settings.rows().into_iter();
    rows.map(|(group, name, value)| ParameterRow { group: group.into(), name: name.into(), value }).collect()
}

fn statistics(shared: &Shared) -> Report {
    let core = shared.lock();
    let counters = core.vipa.counters();
    let named = [
        ("local", counters.local),
        ("forwarded", counters.forwarded),
        ("reset", counters.reset),
        ("held", counters.held),
        ("asked", counters.asked),
        ("repaired", counters.repaired),
        ("expired", counters.expired),
        ("evicted", counters.evicted),
        ("refused", counters.refused),
        ("unknown", counters.unknown),
        ("malformed", counters.malformed),
        ("stale", counters.stale),
        ("excused", counters.excused),
    ];
    let vipa = named.map(|(name, count)| (name.to_owned(), count)).into();
    let control = [
        ("ControlOutDatagrams", counters.control_sent),
        ("ControlOutOctets", counters.control_sent_bytes),
        ("HeartbeatOutDatagrams", counters.heartbeats_sent),
        ("HeartbeatOutOctets", counters.heartbeats_sent_bytes),
        ("ControlInDatagrams", counters.control_received),
        ("ControlInOctets", counters.control_received_bytes),
    ];
    let refused = Cause::ALL.map(|cause| (cause.name().to_owned(), shared.refusals().of(cause)));
    let xcf = control.map(|(name, count)| (name.to_owned(), count)).into_iter().chain(refused).collect();
    let mut groups: BTreeMap<String, BTreeMap<String, u64>> =
        [("VIPA".to_owned(), vipa), ("XCF".to_owned(), xcf)].into();
    groups.extend(protocols(&core.stack));
    Report::Stats(groups)
}

/// What the stack counts, by the names of the MIB (RFC 4293, RFC 4113, RFC 4022).
fn protocols(stack: &stack::Stack) -> BTreeMap<String, BTreeMap<String, u64>> {
    let counters = stack.counters();
    let group = |named: &mut dyn Iterator<Item = (&str, u64)>| {
        named.map(|(name, count)| (name.to_owned(), count)).collect::<BTreeMap<_, _>>()
    };
    [
        ("IPv4", group(&mut counters.v4.iter())),
        ("IPv6", group(&mut counters.v6.iter())),
        ("ICMPv4", counters.icmp.iter().collect()),
        ("ICMPv6", counters.icmpv6.iter().collect()),
        ("TCP", group(&mut stack.tcp().counters().iter())),
        ("UDP", group(&mut stack.udp_counters().iter())),
    ]
    .map(|(name, group)| (name.to_owned(), group))
    .into()
}

fn connections(shared: &Shared) -> Report {
    let core = shared.lock();
    let listeners = core.stack.tcp().listeners().map(|listener| ConnectionRow {
        local: match listener.address {
            Some(address) => socket(SocketAddr::new(address, listener.port)),
            None => format!("0.0.0.0..{}", listener.port),
        },
        foreign: "0.0.0.0..0".into(),
        state: "Listen".into(),
        send_queue: 0,
        receive_queue: listener.accept_queue,
    });
    let connections = core.stack.tcp().connections().map(|connection| ConnectionRow {
        local: socket(connection.local),
        foreign: socket(connection.remote),
        state: state(connection.state).into(),
        send_queue: connection.send_queue,
        receive_queue: connection.receive_queue,
    });
    let mut connections: Vec<ConnectionRow> = listeners.chain(connections).collect();
    connections
        .sort_by(|a, b| (a.state != "Listen", &a.local, &a.foreign).cmp(&(b.state != "Listen", &b.local, &b.foreign)));
    Report::Conn { connections }
}
