//! The races that the figures leave open, around connections and targets.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use stack::Packet;
use stack::wire::ip::protocol;
use vipa::{Definitions, Disposition, DropReason, Origin, Targets};

use crate::fixture::*;
use crate::harness::{ACK, Answer, Cluster, Ends, RST, SYN, client, ip, packet, segment};

/// R1, R6: a segment of a connection that nobody holds is answered with RST, once all have said so.
#[test]
fn what_nobody_holds_is_reset() {
    let mut cluster = figure4();
    assert_eq!(cluster.answer(to_a(1), 50), Answer::Reset);
    assert_eq!(cluster.node(MVS1).vipa.counters().asked, 1);
    // Not with a RST for a RST.
    cluster.client_sends(&segment(to_a(1), 1, RST));
    assert_eq!(cluster.node(MVS1).vipa.counters().dropped(DropReason::StrayReset), 1);
    // A connection that the router does not know although it is held is found.
    let holder = cluster.connect(to_a(2), 1).unwrap();
    let (now, held) = (cluster.now, to_a(2));
    cluster.nodes[MVS1].as_mut().unwrap().vipa.ended(now, held.0, held.1, 1);
    if holder != MVS1 {
        assert_eq!(cluster.answer(to_a(2), 50), Answer::Served(holder));
    }
}

/// R1: questions are bounded; what exceeds them is dropped.
#[test]
fn a_flood_of_unknown_segments_is_bounded() {
    let mut cluster = figure4();
    cluster.weather.delay = 200;
    for port in 1..3000 {
        cluster.client_sends(&segment(to_a(port), 1, ACK));
    }
    let vipa = &cluster.node(MVS1).vipa;
    assert_eq!(vipa.waiting(), (1024, 1024));
    assert_eq!(vipa.counters().dropped(DropReason::HoldFull), 2999 - 1024);
    cluster.run(2000);
    assert_eq!(cluster.node(MVS1).vipa.waiting(), (0, 0));
}

/// R3, I15: a SYN that is sent again goes to the same target, across a takeback too.
#[test]
fn a_repeated_syn_goes_to_the_same_target() {
    let mut cluster = figure4();
    cluster.kill(MVS1);
    cluster.run(100);
    cluster.client_sends(&segment(to_a(1), 9, SYN));
    cluster.run(10);
    let first = cluster.holder(to_a(1)).unwrap();
    for _ in 0..3 {
        assert_eq!(cluster.answer_to_syn(to_a(1), 9, 10), Answer::Served(first));
    }
    // One that was lost on XCF: only the router knows its target.
    cluster.weather.loss = 100;
    cluster.client_sends(&segment(to_a(2), 9, SYN));
    cluster.weather.loss = 0;
    cluster.run(10);
    let expected = cluster.crt(MVS5, dva1())[&to_a(2)];
    assert_eq!(cluster.holder(to_a(2)), None);
    cluster.start(MVS1);
    cluster.run(1000);
    assert_eq!(cluster.routes[&dva1()], MVS1);
    assert_eq!(cluster.answer_to_syn(to_a(2), 9, 10), Answer::Served(expected));
    assert_eq!(cluster.answer_to_syn(to_a(1), 9, 10), Answer::Served(first));
}

/// R4: a SYN between the ends of an earlier connection goes to its target while that listens; else
/// to another, unless the first still holds the connection.
#[test]
fn a_reused_port_goes_to_the_same_target_while_it_listens() {
    let mut cluster = figure4();
    assert_eq!(cluster.connect(to_a(99), 1), Some(MVS1));
    cluster.close(MVS1, to_a(99));
    let first = cluster.connect(to_a(1), 1).unwrap();
    assert_ne!(first, MVS1);
    assert_eq!(cluster.answer_to_syn(to_a(1), 500, 10), Answer::Served(first));
    // The earlier connection has ended at its target, the router's entry is stale.
    cluster.weather.loss = 100;
    cluster.close(first, to_a(1));
    cluster.weather.loss = 0;
    assert_eq!(cluster.connect(to_a(1), 600), Some(first));
    cluster.run(100);
    assert_eq!(cluster.crt(MVS1, dva1()), BTreeMap::from([(to_a(1), first)]), "I11: the new one");
    assert_eq!(cluster.answer(to_a(1), 10), Answer::Served(first));
    // It no longer listens, but holds the connection: that is not disturbed.
    cluster.unlisten(first, Some(dva1()), 60);
    cluster.run(10);
    assert_eq!(cluster.answer_to_syn(to_a(1), 700, 20), Answer::Served(first));
    // It does not hold it either: another target gets the same SYN.
    cluster.weather.loss = 100;
    cluster.close(first, to_a(1));
    cluster.weather.loss = 0;
    let Answer::Served(second) = cluster.answer_to_syn(to_a(1), 800, 100) else { panic!("not served") };
    assert_ne!(first, second);
}

/// R5, I22: SYNs without a connection behind them do not fill the CRT, push nobody out, and go.
#[test]
fn a_syn_flood_is_bounded() {
    let mut cluster = figure4();
    let held: Vec<Ends> = (1..20).map(to_a).collect();
    held.iter().for_each(|ends| assert!(cluster.connect(*ends, 1).is_some()));
    // No target opens anything: every SYN is lost on XCF, those of MVS1 have no listener.
    cluster.unlisten(MVS1, Some(dva1()), 60);
    cluster.run(10);
    cluster.weather.loss = 100;
    for flood in 0..70_000u32 {
        let source = IpAddr::from([198, 51, (flood >> 15) as u8, 100]);
        let ends = (to_a(0).0, SocketAddr::new(source, (flood & 0x7fff) as u16));
        cluster.client_sends(&segment(ends, 1, SYN));
    }
    cluster.weather.loss = 0;
    assert_eq!(cluster.node(MVS1).vipa.crt_len(), 65_536 + held.len());
    cluster.run(31_000);
    assert_eq!(cluster.crt(MVS1, dva1()), cluster.truth(dva1()));
    assert_eq!(cluster.node(MVS1).vipa.crt_len(), held.len());
}

/// R6, I13: a target dies: its rows and entries go at once, its clients are told with their next
/// segment, all others go on.
#[test]
fn a_dead_targets_connections_are_reset() {
    let mut cluster = figure4();
    let by_port: BTreeMap<u16, usize> = (1..31).map(|port| (port, cluster.connect(to_a(port), 1).unwrap())).collect();
    cluster.kill(MVS4);
    assert_eq!(cluster.dvipa(MVS1, dva1()).targets, [xcf(1), xcf(2)]);
    assert_eq!(cluster.crt(MVS1, dva1()), cluster.truth(dva1()));
    for (port, target) in by_port {
        let expected = if target == MVS4 { Answer::Reset } else { Answer::Served(target) };
        assert_eq!(cluster.answer(to_a(port), 20), expected);
    }
    let served: Vec<usize> = (100..104).map(|port| cluster.connect(to_a(port), 1).unwrap()).collect();
    assert!(served.iter().all(|target| [MVS1, MVS2].contains(target)));
}

/// R6: when nobody sees the process die, silence tells; a silent target gets nothing new (I14), but
/// what it holds is not given up before it is certainly dead.
#[test]
fn a_silent_target_keeps_what_it_holds() {
    let mut cluster = figure4();
    let held = (1..).find(|port| cluster.connect(to_a(*port), 1) == Some(MVS4)).unwrap();
    cluster.pause(MVS4);
    cluster.run(800);
    assert_eq!(cluster.dvipa(MVS1, dva1()).targets, [xcf(1), xcf(2)]);
    for port in 100..106 {
        assert!([MVS1, MVS2].contains(&cluster.connect(to_a(port), 1).unwrap()));
    }
    assert_eq!(cluster.answer(to_a(held), 1000), Answer::Silence);
    assert_eq!(cluster.answer(to_a(999), 1000), Answer::Silence, "MVS4 may hold this one too");
    cluster.resume(MVS4);
    cluster.run(300);
    assert_eq!(cluster.answer(to_a(held), 100), Answer::Served(MVS4));
    assert_eq!(cluster.dvipa(MVS1, dva1()).targets, [xcf(1), xcf(2), xcf(4)]);
    cluster.watchful = false;
    cluster.kill(MVS4);
    cluster.run(62_000);
    assert_eq!(cluster.answer(to_a(held), 100), Answer::Reset);
}

/// R7: the application stops listening: nothing new, but connections go on.
#[test]
fn connections_outlive_the_listener() {
    let mut cluster = figure4();
    let held = (1..).find(|port| cluster.connect(to_a(*port), 1) == Some(MVS2)).unwrap();
    cluster.unlisten(MVS2, Some(dva1()), 60);
    cluster.run(10);
    assert_eq!(cluster.dvipa(MVS1, dva1()).targets, [xcf(1), xcf(4)]);
    assert_eq!(cluster.answer(to_a(held), 10), Answer::Served(MVS2));
    for port in 100..106 {
        assert_ne!(cluster.connect(to_a(port), 1), Some(MVS2));
    }
    let row = cluster.node(MVS1).vipa.dpt().into_iter().find(|row| row.target == xcf(2)).unwrap();
    assert_eq!((row.ready, row.eligible, row.active), (0, false, 1));
}

/// The listener stops while a SYN is under way to it: the client is not reset, another target
/// serves when it tries again.
#[test]
fn a_syn_that_meets_no_listener_is_chosen_for_again() {
    let mut cluster = figure4();
    cluster.unlisten(MVS1, Some(dva1()), 60);
    cluster.weather.delay = 20;
    cluster.run(100);
    cluster.client_sends(&segment(to_a(1), 9, SYN));
    let target = cluster.crt(MVS1, dva1())[&to_a(1)];
    cluster.unlisten(target, Some(dva1()), 60);
    cluster.run(100);
    assert_eq!(cluster.node(target).vipa.counters().dropped(DropReason::NoListener), 1);
    let Answer::Served(other) = cluster.answer_to_syn(to_a(1), 9, 100) else { panic!("not served") };
    assert_ne!(other, target);
}

/// R9, I19: an ICMP error reaches the stack of the connection that it quotes.
#[test]
fn icmp_errors_follow_the_connection() {
    let mut cluster = figure4();
    let held = (1..).find(|port| cluster.connect(to_a(*port), 1) == Some(MVS2)).unwrap();
    let (server, client) = to_a(held);
    let mut error = vec![3, 4, 0, 0, 0, 0, 5, 0];
    error.extend(segment((client, server), 1, ACK));
    let error = packet(ip("198.51.100.254"), dva1(), protocol::ICMP, &error);
    let local = cluster.node(MVS2).vipa.counters().local;
    cluster.client_sends(&error);
    cluster.run(10);
    assert_eq!(cluster.node(MVS2).vipa.counters().local, local + 1);
}

/// R10, I19: the fragments of a segment reach the stack of its connection, the first one last too.
#[test]
fn fragments_follow_the_first_one() {
    let mut cluster = figure4();
    let held = (1..).find(|port| cluster.connect(to_a(*port), 1) == Some(MVS4)).unwrap();
    let fragment = |identification: u8, offset: u16, more: bool| {
        let mut bytes = segment(to_a(held), 9, ACK);
        bytes[5] = identification;
        let field = offset | if more { 0x2000 } else { 0 };
        bytes[6..8].copy_from_slice(&field.to_be_bytes());
        bytes
    };
    for (identification, order) in [(1, [0, 1, 2]), (2, [2, 1, 0]), (3, [1, 0, 2])] {
        let local = cluster.node(MVS4).vipa.counters().local;
        for part in order {
            cluster.client_sends(&fragment(identification, part * 3, part < 2));
            cluster.run(5);
        }
        assert_eq!(cluster.node(MVS4).vipa.counters().local, local + 3);
    }
    // The first one never comes.
    cluster.client_sends(&fragment(4, 3, false));
    cluster.run(20_000);
    assert_eq!(cluster.node(MVS1).vipa.counters().dropped(DropReason::Fragment), 1);
}

/// R14: a restarted stack is a new one, even if nobody saw its former life end: that life's rows
/// and connections are gone, and its late messages are ignored.
#[test]
fn a_former_life_counts_no_more() {
    let mut cluster = figure4();
    let held = (1..).find(|port| cluster.connect(to_a(*port), 1) == Some(MVS2)).unwrap();
    cluster.watchful = false;
    cluster.weather.delay = 40;
    cluster.unlisten(MVS2, Some(dva1()), 60);
    cluster.kill(MVS2);
    cluster.start(MVS2);
    cluster.run(400);
    assert_eq!(cluster.answer(to_a(held), 500), Answer::Reset);
    assert_eq!(cluster.dvipa(MVS1, dva1()).targets, [xcf(1), xcf(2), xcf(4)]);
}

/// R14: a forwarded SYN was meant for the life of the target that the router knew; the next one
/// does not take it.
#[test]
fn a_syn_for_a_former_life_is_not_taken() {
    let mut cluster = figure4();
    cluster.unlisten(MVS1, Some(dva1()), 60);
    cluster.unlisten(MVS4, Some(dva1()), 60);
    cluster.run(10);
    cluster.weather.delay = 1000;
    cluster.watchful = false;
    cluster.client_sends(&segment(to_a(1), 9, SYN));
    cluster.weather.delay = 1;
    cluster.kill(MVS2);
    cluster.start(MVS2);
    cluster.run(1100);
    assert_eq!(cluster.node(MVS2).vipa.counters().dropped(DropReason::NoListener), 1);
    assert_eq!(cluster.answer_to_syn(to_a(1), 9, 20), Answer::Served(MVS2));
}

/// I6: a stack has died and is back in a life that the router has no contact with; what that one
/// holds is not reset while others know of it.
#[test]
fn the_next_life_of_a_target_is_asked_for() {
    let mut cluster = figure4();
    cluster.cut(MVS1, MVS2, true);
    cluster.kill(MVS2);
    cluster.start(MVS2);
    cluster.run(1000);
    let ends = (SocketAddr::new(dva1(), 50_000), client(80));
    cluster.open_outbound(MVS2, ends, 1);
    assert_eq!(cluster.answer(ends, 600), Answer::Silence);
    cluster.cut(MVS1, MVS2, false);
    cluster.run(500);
    assert_eq!(cluster.answer(ends, 20), Answer::Served(MVS2));
}

/// R20: every target is gone: RST to a SYN, as from a host without a listener.
#[test]
fn without_targets_a_syn_is_refused() {
    let mut cluster = figure4();
    for index in [MVS1, MVS2, MVS4] {
        cluster.unlisten(index, Some(dva1()), 60);
    }
    cluster.run(10);
    assert_eq!(cluster.answer_to_syn(to_a(1), 1, 10), Answer::Reset);
    // A port that is not distributed is the owner's own.
    assert_eq!(cluster.answer_to_syn((SocketAddr::new(dva1(), 61), client(1)), 1, 10), Answer::Reset);
}

/// R20, D5, I6: the last target is silent, and no target by the list of the backup that has taken over: its
/// client's SYN, sent again, is not refused.
#[test]
fn a_silent_target_of_an_earlier_list_may_live() {
    let mut cluster = figure4();
    cluster.unlisten(MVS2, Some(dva1()), 60);
    cluster.unlisten(MVS4, Some(dva1()), 60);
    cluster.run(10);
    assert_eq!(cluster.connect(to_a(1), 7), Some(MVS1));
    cluster.pause(MVS1);
    cluster.run(700);
    assert_eq!(cluster.routes[&dva1()], MVS5);
    assert_eq!(cluster.answer_to_syn(to_a(1), 7, 10), Answer::Silence);
    cluster.resume(MVS1);
    cluster.run(1000);
    assert_eq!(cluster.answer(to_a(1), 20), Answer::Served(MVS1));
}

/// I18: whatever a stack is sent over XCF, it never passes on what a router has forwarded, and a
/// stack that does not route passes nothing on.
#[test]
fn nothing_is_forwarded_in_circles() {
    use vipa::wire::{Datagram, classify};
    let mut cluster = figure4();
    let forward = |cluster: &mut Cluster, flags| {
        let now = cluster.now;
        let packet = Packet::copy_of(&segment(to_a(1), 1, flags));
        match cluster.nodes[MVS5].as_mut().unwrap().vipa.route(now, packet, Origin::Network) {
            Disposition::Forward { to, header, .. } => (to, header),
            other => panic!("{other:?}"),
        }
    };
    // The backup passes on to the router.
    let (to, header) = forward(&mut cluster, SYN);
    assert_eq!(to, xcf(1));
    let Datagram::Data(header) = classify(&header.emit()) else { panic!("no header") };
    let route = |cluster: &mut Cluster, at: usize, header, flags| {
        let (now, from) = (cluster.now, xcf(5));
        let packet = Packet::copy_of(&segment(to_a(7), 1, flags));
        cluster.nodes[at].as_mut().unwrap().vipa.route(now, packet, Origin::Xcf { from, header })
    };
    assert!(matches!(route(&mut cluster, MVS3, header, SYN), Disposition::Drop(_, DropReason::NotRouter)));
    // The router may choose a target for it; that one keeps it or drops it.
    let forwarded = (0..3).find_map(|_| match route(&mut cluster, MVS1, header, SYN) {
        Disposition::Forward { header, .. } => Some(header),
        _ => None,
    });
    if let Some(header) = forwarded {
        assert!(matches!(route(&mut cluster, MVS2, header, SYN), Disposition::Local(_)));
        assert!(matches!(route(&mut cluster, MVS3, header, SYN), Disposition::Drop(_, DropReason::NoListener)));
        assert!(matches!(route(&mut cluster, MVS3, header, ACK), Disposition::Drop(_, DropReason::NotHeld)));
        assert!(matches!(route(&mut cluster, MVS5, header, ACK), Disposition::Drop(_, DropReason::NotHeld)));
    }
}

/// I11, I12, I7: messages about an earlier connection between the same ends change nothing, and two
/// holders of one connection are asked until one is left.
#[test]
fn stale_messages_change_nothing() {
    let mut cluster = figure4();
    cluster.weather.delay = 20;
    let ends = (SocketAddr::new(dva1(), 50_000), client(80));
    // MVS2's connection ends and MVS4 opens the next one; their messages cross.
    for round in 0..30 {
        cluster.open_outbound(MVS2, ends, 2 * round);
        cluster.run(u64::from(round % 7));
        cluster.close(MVS2, ends);
        cluster.open_outbound(MVS4, ends, 2 * round + 1);
        cluster.run(200);
        assert_eq!(cluster.answer(ends, 200), Answer::Served(MVS4));
        assert_eq!(cluster.crt(MVS1, dva1()), BTreeMap::from([(ends, MVS4)]), "{round}");
        cluster.close(MVS4, ends);
        cluster.run(200);
        assert_eq!(cluster.crt(MVS1, dva1()), BTreeMap::new(), "{round}");
    }
}

/// I7: two stacks hold a connection between the same ends. Of two that are established the earlier
/// one goes, whichever of them is heard first and whether the router is one of them or not.
#[test]
fn of_two_holders_the_later_one_stays() {
    let ends = (SocketAddr::new(dva1(), 50_000), client(80));
    for (older, younger) in [(MVS2, MVS4), (MVS4, MVS2), (MVS1, MVS2), (MVS2, MVS1)] {
        let mut cluster = figure4();
        cluster.open_outbound(older, ends, 1);
        cluster.establish(older, ends);
        cluster.run(500);
        // As after a cut, while which neither router knew of the other's.
        cluster.open_outbound(younger, ends, 2);
        cluster.establish(younger, ends);
        // Two audits at the most until the tables are looked at again.
        cluster.run(25_000);
        assert!(!cluster.node(older).held.contains_key(&ends), "{older} {younger}");
        assert_eq!(cluster.holder(ends), Some(younger), "{older} {younger}");
        assert_eq!(cluster.crt(MVS1, dva1()), BTreeMap::from([(ends, younger)]));
    }
}

/// I7, R3: a SYN that was sent to two stacks is one connection: the one that the client has answered
/// is never told to go, however late the other one began.
#[test]
fn a_handshake_does_not_drive_out_a_connection() {
    let ends = (SocketAddr::new(dva1(), 50_000), client(80));
    for (established, late) in [(MVS2, MVS4), (MVS1, MVS2), (MVS2, MVS1)] {
        let mut cluster = figure4();
        cluster.open_outbound(established, ends, 1);
        cluster.establish(established, ends);
        cluster.run(500);
        cluster.open_outbound(late, ends, 1);
        cluster.run(25_000);
        assert!(cluster.node(established).held.contains_key(&ends), "{established} {late}");
        cluster.close(late, ends);
        cluster.run(25_000);
        assert_eq!(cluster.crt(MVS1, dva1()), BTreeMap::from([(ends, established)]), "{established} {late}");
    }
}

/// A full CRT takes no new connection, and disturbs none that it has.
#[test]
fn a_full_table_refuses_new_connections_only() {
    let definitions = Definitions {
        defines: vec![define(dva1())],
        distributes: vec![distribute(dva1(), 60, Targets::All)],
        ..Definitions::default()
    };
    let mut config = vipa::Config::new("MVS1", xcf(1), 1);
    config.linked = true;
    config.definitions = definitions;
    config.limits.crt = 3;
    let start = stack::Instant::from_millis(1);
    let mut vipa = vipa::Vipa::new(config, 1, start);
    vipa.listening(start, None, 60);
    let mut route = |port, flags| vipa.route(start, Packet::copy_of(&segment(to_a(port), 1, flags)), Origin::Network);
    for port in 1..4 {
        assert!(matches!(route(port, SYN), Disposition::Local(_)));
        assert!(matches!(route(port, ACK), Disposition::Local(_)));
    }
    assert!(matches!(route(4, SYN), Disposition::Drop(_, DropReason::TableFull)));
    assert!(matches!(route(3, ACK), Disposition::Local(_)));
}
