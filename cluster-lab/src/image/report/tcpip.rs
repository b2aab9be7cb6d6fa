//! HOME, CONN, ALL, ROUTE, STATS and CONFIG.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use stack::home::Kind;
use stack::route::Route;
use stack::tcp::{ConnDetail, State};

use crate::image::applications::Applications;
use crate::image::shared::Shared;
use crate::image::xcf::Cause;
use crate::netstat::{
    ConnectionRow, DetailRow, HomeRow, ListenerRow, ParameterRow, PathRow, Report, TcpRow, dvipa_link, socket,
};

pub(super) fn home(shared: &Shared) -> Report {
    let core = shared.lock();
    let row = |home: &stack::home::Home| HomeRow {
        address: home.address,
        link: match home.kind {
            Kind::Link => "NETWORK".into(),
            Kind::Xcf => "EZAXCF".into(),
            Kind::Dvipa | Kind::InternalDvipa => dvipa_link(home.address),
        },
        flag: if home.kind == Kind::InternalDvipa { "I" } else { "" }.into(),
    };
    Report::Home { addresses: core.stack.home().iter().map(row).collect() }
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

/// Where a server is, as z/OS writes it.
fn server(address: Option<IpAddr>, port: u16) -> String {
    socket(SocketAddr::new(address.unwrap_or(Ipv4Addr::UNSPECIFIED.into()), port))
}

/// Servers first, then connections, each in order.
fn in_order(a: &ConnectionRow, b: &ConnectionRow) -> std::cmp::Ordering {
    (a.state != "Listen", &a.local, &a.foreign).cmp(&(b.state != "Listen", &b.local, &b.foreign))
}

pub(super) fn connections(shared: &Shared, apps: &Applications, ended: bool) -> Report {
    let core = shared.lock();
    let user = |address, port| apps.user_of(address, port).unwrap_or_default().to_owned();
    let listeners = core.stack.tcp().listeners().map(|listener| ConnectionRow {
        user: user(listener.address, listener.port),
        protocol: "TCP".into(),
        local: server(listener.address, listener.port),
        foreign: "0.0.0.0..0".into(),
        state: "Listen".into(),
        send_queue: 0,
        receive_queue: listener.accept_queue,
    });
    let wanted = core.stack.tcp().connections().filter(|one| ended || one.state != State::TimeWait);
    let connections = wanted.map(|connection| ConnectionRow {
        user: match connection.passive {
            true => user(Some(connection.local.ip()), connection.local.port()),
            false => String::new(),
        },
        protocol: "TCP".into(),
        local: socket(connection.local),
        foreign: socket(connection.remote),
        state: state(connection.state).into(),
        send_queue: connection.send_queue,
        receive_queue: connection.receive_queue,
    });
    let mut connections: Vec<ConnectionRow> = listeners.chain(connections).collect();
    connections.sort_by(in_order);
    let mut datagrams: Vec<ConnectionRow> = (core.stack.udp().sockets())
        .map(|(address, port, bytes)| ConnectionRow {
            user: user(address, port),
            protocol: "UDP".into(),
            local: server(address, port),
            foreign: "*..*".into(),
            state: "UDP".into(),
            send_queue: 0,
            receive_queue: bytes,
        })
        .collect();
    datagrams.sort_by(in_order);
    connections.extend(datagrams);
    Report::Conn { connections }
}

pub(super) fn details(shared: &Shared, apps: &Applications) -> Report {
    let Report::Conn { connections } = connections(shared, apps, true) else {
        return Report::All { connections: Vec::new() };
    };
    let core = shared.lock();
    let mut listeners: HashMap<String, ListenerRow> = (core.stack.tcp().listeners())
        .map(|listener| {
            let (address, port) = (listener.address, listener.port);
            let row = ListenerRow {
                maximum_backlog: listener.backlog,
                current_backlog: listener.accept_queue,
                half_open: listener.syn_queue,
                current_connections: 0,
                sef: core.vipa.server_efficiency(address, port),
                quiesced: core.vipa.is_server_quiesced(address, port),
            };
            (server(address, port), row)
        })
        .collect();
    for connection in core.stack.tcp().connections().filter(|connection| connection.passive) {
        // A listener at the very address comes before one at every address.
        let (address, port) = (connection.local.ip(), connection.local.port());
        for at in [Some(address), None] {
            if let Some(listener) = listeners.get_mut(&server(at, port)) {
                listener.current_connections += 1;
                break;
            }
        }
    }
    let mut details: HashMap<(String, String), ConnDetail> =
        (core.stack.tcp().details()).map(|(local, remote, detail)| ((socket(local), socket(remote)), detail)).collect();
    let row = |connection: ConnectionRow| DetailRow {
        listener: listeners.get(&connection.local).filter(|_| connection.state == "Listen").cloned(),
        tcp: details.remove(&(connection.local.clone(), connection.foreign.clone())).map(|detail| tcp(&detail)),
        connection,
    };
    Report::All { connections: connections.into_iter().map(row).collect() }
}

fn tcp(detail: &ConnDetail) -> TcpRow {
    let millis = |time: std::time::Duration| time.as_secs_f64() * 1e3;
    TcpRow {
        bytes_in: detail.bytes_received,
        bytes_out: detail.bytes_acknowledged,
        send_window: detail.send_window,
        receive_window: detail.receive_window,
        congestion_window: detail.congestion_window,
        slow_start_threshold: detail.threshold,
        round_trip_ms: millis(detail.smoothed_rtt),
        round_trip_variance_ms: millis(detail.rtt_variance),
        retransmit_timeout_ms: millis(detail.rto),
        send_mss: detail.send_mss,
        receive_mss: detail.receive_mss,
        path_mtu: detail.path_mtu,
        send_buffer: detail.send_buffer,
        receive_buffer: detail.receive_buffer,
        unacknowledged: detail.outstanding,
        retransmitted: detail.retransmitted,
        timestamps: detail.timestamps,
        sack: detail.sack,
    }
}

pub(super) fn paths(shared: &Shared) -> Report {
    let core = shared.lock();
    let links = core.stack.routes().links();
    let row = |route: &Route| {
        let host = route.prefix == if route.destination.is_ipv4() { 32 } else { 128 };
        // The next hop of a host's own route is the host.
        let gateway = route.next_hop.filter(|hop| *hop != route.destination);
        let link = links.iter().find(|link| link.id == route.link);
        let flags = [("U", link.is_some()), ("G", gateway.is_some()), ("H", host), ("S", true)];
        PathRow {
            destination: route.destination,
            prefix: route.prefix,
            gateway,
            flags: flags.into_iter().filter(|(_, holds)| *holds).map(|(flag, _)| flag).collect(),
            link: link.map(|link| link.name.clone()).unwrap_or_default(),
            mtu: link.map_or(0, |link| link.mtu),
        }
    };
    Report::Route { routes: core.stack.routes().iter().map(row).collect() }
}

pub(super) fn parameters(shared: &Shared) -> Report {
    let core = shared.lock();
    let rows = core.settings.rows().into_iter();
    let row =
        |(group, name, value): (&str, &str, String)| ParameterRow { group: group.into(), name: name.into(), value };
    Report::Config { parameters: rows.map(row).collect() }
}

pub(super) fn statistics(shared: &Shared) -> Report {
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
