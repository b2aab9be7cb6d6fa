//! Definitions and Figures 5 to 10.

use std::collections::BTreeMap;

use vipa::status::{DistStatus, VipaOrigin, VipaStatus};
use vipa::{Definitions, DropReason, Event, Moveable, Ports, Targets};

use crate::fixture::*;
use crate::harness::{ACK, Answer, Cluster, client, ip, segment};

/// D1, D3, F5.100-108, F6.124-130: the definitions of figure 4 make MVS1 and MVS5 routers, and the
/// stacks with applications their targets.
#[test]
fn a_cluster_comes_up() {
    let cluster = figure4();
    assert_eq!((cluster.routes[&dva1()], cluster.routes[&dvb1()]), (MVS1, MVS5));
    let a = cluster.dvipa(MVS1, dva1());
    assert_eq!((a.status, a.origin, a.rank, a.prefix), (VipaStatus::Active, VipaOrigin::Define, 255, 26));
    assert_eq!(a.distribution, DistStatus::Both);
    assert_eq!(a.targets, [xcf(1), xcf(2), xcf(4)]);
    assert_eq!((a.owner, a.backups, a.complete), (Some(xcf(1)), vec![xcf(5)], true));
    assert_eq!(cluster.dvipa(MVS5, dvb1()).targets, [xcf(2), xcf(3), xcf(5)]);
    let seen_by_backup = cluster.dvipa(MVS5, dva1());
    assert_eq!((seen_by_backup.status, seen_by_backup.origin), (VipaStatus::Backup, VipaOrigin::Backup));
    assert_eq!(seen_by_backup.owner, Some(xcf(1)));
    // F6.126: internal on candidate targets, only on these.
    let homes = |address| -> Vec<Option<bool>> {
        (0..5).map(|index| cluster.node(index).home.get(&address).copied()).collect()
    };
    assert_eq!(homes(dva1()), [Some(false), Some(true), None, Some(true), None]);
    assert_eq!(homes(dvb1()), [Some(true), Some(true), Some(true), Some(true), Some(false)]);
}

/// F7.142-152: 60 connections are spread evenly; later segments follow the CRT entry. F7.140.
#[test]
fn connections_are_distributed_in_turn() {
    let mut cluster = figure4();
    let mut served = BTreeMap::new();
    for port in 1000..1060 {
        *served.entry(cluster.connect(to_a(port), 1).unwrap()).or_insert(0) += 1;
    }
    assert_eq!(served, BTreeMap::from([(MVS1, 20), (MVS2, 20), (MVS4, 20)]));
    for port in 1000..1060 {
        let holder = cluster.holder(to_a(port)).unwrap();
        assert_eq!(cluster.answer(to_a(port), 10), Answer::Served(holder));
    }
    let mut served = BTreeMap::new();
    for port in 1000..1060 {
        *served.entry(cluster.connect(to_b(port), 1).unwrap()).or_insert(0) += 1;
    }
    assert_eq!(served, BTreeMap::from([(MVS2, 20), (MVS3, 20), (MVS5, 20)]));
    let active: Vec<u32> = cluster.node(MVS1).vipa.dpt().iter().map(|row| row.active).collect();
    assert_eq!(active, [20, 20, 20], "I21");
}

/// I20, I21: what is forwarded arrives unchanged, and every count equals a recount.
#[test]
fn counts_equal_a_recount() {
    let mut cluster = figure4();
    for port in 1000..1090 {
        cluster.connect(to_a(port), 1);
    }
    for port in (1000..1090).step_by(3) {
        let holder = cluster.holder(to_a(port)).unwrap();
        cluster.close(holder, to_a(port));
    }
    cluster.run(50);
    let vipa = &cluster.node(MVS1).vipa;
    for row in vipa.dpt() {
        let recount = vipa.crt().iter().filter(|entry| entry.target == row.target && entry.port == row.port).count();
        assert_eq!(row.active as usize, recount);
    }
    assert_eq!(cluster.crt(MVS1, dva1()), cluster.truth(dva1()));
}

/// F8.162-166: SRVSTAT, NEWCONN and TERMCONN keep the tables true.
#[test]
fn messages_keep_the_tables() {
    let mut cluster = figure4();
    let outbound = (std::net::SocketAddr::new(dva1(), 49152), client(80));
    cluster.open_outbound(MVS4, outbound, 77);
    cluster.run(10);
    assert_eq!(cluster.crt(MVS1, dva1()), BTreeMap::from([(outbound, MVS4)]));
    assert_eq!(cluster.answer(outbound, 10), Answer::Served(MVS4));
    cluster.close(MVS4, outbound);
    cluster.unlisten(MVS4, Some(dva1()), 60);
    cluster.run(10);
    assert_eq!(cluster.crt(MVS1, dva1()), BTreeMap::new());
    assert_eq!(cluster.dvipa(MVS1, dva1()).targets, [xcf(1), xcf(2)]);
    cluster.listen(MVS4, Some(dva1()), 60);
    cluster.run(10);
    assert_eq!(cluster.dvipa(MVS1, dva1()).targets, [xcf(1), xcf(2), xcf(4)]);
}

/// D3: ALL includes stacks that join later; F6.126-130 for them too.
#[test]
fn all_includes_stacks_that_join_later() {
    let mut cluster = Cluster::new(figure4_images(), 1);
    [MVS5, MVS2].into_iter().for_each(|index| cluster.start(index));
    cluster.run(1000);
    assert_eq!(cluster.dvipa(MVS5, dvb1()).targets, [xcf(2), xcf(5)]);
    cluster.start(MVS3);
    cluster.run(200);
    assert_eq!(cluster.dvipa(MVS5, dvb1()).targets, [xcf(2), xcf(3), xcf(5)]);
}

/// D3: without PORT every port on which a server bound to the DVIPA itself listens.
#[test]
fn without_ports_every_bound_server_is_a_target() {
    let mut images = figure4_images();
    images[MVS1].definitions.distributes[0].ports = Ports::Every;
    let mut cluster = Cluster::new(images, 1);
    cluster.start_all();
    cluster.listen(MVS2, Some(dva1()), 7000);
    cluster.listen(MVS4, None, 7000);
    cluster.run(10);
    let rows: Vec<_> = cluster.node(MVS1).vipa.dpt().iter().map(|row| (row.port, row.target)).collect();
    assert_eq!(rows, [(60, xcf(1)), (60, xcf(2)), (60, xcf(4)), (7000, xcf(2))]);
    let ends = (std::net::SocketAddr::new(dva1(), 7000), client(1000));
    assert_eq!(cluster.connect(ends, 1), Some(MVS2));
    // A port without such a server is the owner's own.
    cluster.listen(MVS1, None, 22);
    assert_eq!(cluster.connect((std::net::SocketAddr::new(dva1(), 22), client(1000)), 1), Some(MVS1));
    // R19, R20: a SYN is not refused while its only server may just be out of reach; the owner's own serve on.
    cluster.pause(MVS2);
    cluster.run(800);
    let (ends, own) = ((ends.0, client(1001)), (std::net::SocketAddr::new(dva1(), 22), client(1001)));
    assert_eq!(cluster.answer_to_syn(ends, 1, 20), Answer::Silence);
    assert_eq!(cluster.connect(own, 1), Some(MVS1));
    cluster.resume(MVS2);
    cluster.run(300);
    assert_eq!(cluster.connect(ends, 1), Some(MVS2));
}

/// D2, D5, F9.200-212: the backup takes over at once, with its own list, and every connection of
/// the stacks that live goes on.
#[test]
fn the_backup_takes_over() {
    let mut cluster = figure4();
    let ports = 1000..1030;
    for port in ports.clone() {
        cluster.connect(to_a(port), 1).unwrap();
    }
    let surviving: Vec<u16> = ports.clone().filter(|port| cluster.holder(to_a(*port)) != Some(MVS1)).collect();
    cluster.kill(MVS1);
    assert_eq!(cluster.routes[&dva1()], MVS5, "advertised in the same moment");
    for port in &surviving {
        let holder = cluster.holder(to_a(*port)).unwrap();
        assert_eq!(cluster.answer(to_a(*port), 50), Answer::Served(holder));
    }
    let status = cluster.dvipa(MVS5, dva1());
    assert_eq!((status.status, status.rank, status.targets), (VipaStatus::Active, 10, vec![xcf(2), xcf(4)]));
    assert_eq!(cluster.crt(MVS5, dva1()), cluster.truth(dva1()));
    // D5: MVS5's own list names MVS3, which gets the address and may serve from now on.
    assert_eq!(cluster.node(MVS3).home.get(&dva1()), Some(&true));
    cluster.listen(MVS3, Some(dva1()), 60);
    cluster.run(10);
    let served: Vec<usize> = (2000..2003).map(|port| cluster.connect(to_a(port), 1).unwrap()).collect();
    assert_eq!(served, [MVS2, MVS3, MVS4]);
    // F9.212: everyone knows.
    for index in [MVS2, MVS3, MVS4, MVS5] {
        assert_eq!(cluster.dvipa(index, dva1()).owner, Some(xcf(5)));
    }
}

/// D5, F6.134: without a list of its own the backup uses the primary's, which it was told. MVS1
/// has none for DVB1.
#[test]
fn a_backup_inherits_the_list() {
    let mut cluster = figure4();
    cluster.kill(MVS5);
    cluster.run(100);
    let status = cluster.dvipa(MVS1, dvb1());
    assert_eq!((status.status, status.targets, status.prefix), (VipaStatus::Active, vec![xcf(2), xcf(3)], 26));
    assert!(cluster.connect(to_b(1000), 1).is_some());
}

/// D2, F9.201: the higher rank takes over first, and the lower one once that is dead too; a backup
/// that returns does not take from another.
#[test]
fn rank_decides() {
    let mut cluster = chain();
    cluster.connect(to_a(1000), 1).unwrap();
    cluster.kill(0);
    cluster.run(100);
    assert_eq!((cluster.routes[&dva1()], cluster.owners(dva1())), (1, vec![1]));
    assert_eq!(cluster.dvipa(1, dva1()).backups, [xcf(3)]);
    cluster.kill(1);
    cluster.run(100);
    assert_eq!((cluster.routes[&dva1()], cluster.owners(dva1())), (2, vec![2]));
    cluster.start(1);
    cluster.run(1000);
    assert_eq!((cluster.routes[&dva1()], cluster.owners(dva1())), (2, vec![2]));
}

/// F10.300-310, R2: the primary takes back what it defines; not one segment fails on the way.
#[test]
fn the_primary_takes_back() {
    let mut cluster = figure4();
    cluster.kill(MVS1);
    cluster.run(100);
    let ports = 1000..1030;
    for port in ports.clone() {
        cluster.connect(to_a(port), 1).unwrap();
    }
    cluster.start(MVS1);
    let mut moved_at = None;
    for step in 0..200 {
        let port = 1000 + step % 30;
        let holder = cluster.holder(to_a(port)).unwrap();
        assert_eq!(cluster.answer(to_a(port), 5), Answer::Served(holder));
        if cluster.routes[&dva1()] == MVS1 && moved_at.is_none() {
            moved_at = Some(step);
            assert_eq!(cluster.crt(MVS1, dva1()), cluster.truth(dva1()), "its tables were complete before");
        }
    }
    assert!(moved_at.is_some());
    assert_eq!(cluster.owners(dva1()), [MVS1]);
    assert_eq!(cluster.dvipa(MVS1, dva1()).targets, [xcf(1), xcf(2), xcf(4)]);
    // R2: what still arrives at the backup goes on to its target, for a while.
    let holder = cluster.holder(to_a(1000)).unwrap();
    let before = cluster.node(MVS5).vipa.counters().forwarded;
    cluster.client_sends_to(MVS5, &segment(to_a(1000), 6000, ACK));
    assert_eq!(cluster.node(MVS5).vipa.counters().forwarded, before + 1);
    assert_ne!(holder, MVS5);
    // F10.310
    cluster.run(3000);
    assert!(
        cluster.crt(MVS5, dva1()).is_empty() && cluster.node(MVS5).vipa.dpt().iter().all(|row| row.dvipa != dva1())
    );
    assert_eq!(cluster.node(MVS5).home.get(&dva1()), None);
    assert_eq!(cluster.dvipa(MVS5, dva1()).status, VipaStatus::Backup);
}

/// F10: an orderly stop moves the DVIPA to the backup before the stack ends.
#[test]
fn an_orderly_stop_is_a_takeover_without_a_gap() {
    let mut cluster = figure4();
    let served: Vec<_> = (1000..1012).filter(|port| cluster.connect(to_a(*port), 1) != Some(MVS1)).collect();
    cluster.stop(MVS1);
    assert_eq!(cluster.routes[&dva1()], MVS5);
    for port in served {
        assert!(matches!(cluster.answer(to_a(port), 20), Answer::Served(_)));
    }
    assert!(cluster.events.iter().any(|(who, event)| *who == MVS1 && matches!(event, Event::HandedOver { .. })));
    // Nobody is left to take over: the stop ends at once.
    let before = cluster.now;
    cluster.stop(MVS5);
    assert!(cluster.now.since(before).as_millis() < 200);
}

/// D1: MOVEable WHENIDLE waits until the stack that has the DVIPA holds no connection.
#[test]
fn when_idle_waits_for_the_last_connection() {
    let mut images = figure4_images();
    images[MVS1].definitions.defines[0].moveable = Moveable::WhenIdle;
    let mut cluster = Cluster::new(images, 1);
    cluster.start_all();
    cluster.kill(MVS1);
    cluster.run(100);
    let holder = cluster.connect(to_a(1000), 1).unwrap();
    cluster.start(MVS1);
    cluster.run(2000);
    assert_eq!(cluster.owners(dva1()), [MVS5]);
    cluster.close(holder, to_a(1000));
    cluster.run(1000);
    assert_eq!((cluster.owners(dva1()), cluster.routes[&dva1()]), (vec![MVS1], MVS1));
}

/// z/OS: a plain VIPABACKUP does not create a DVIPA that was never active; one with MOVEABLE and
/// mask does. Once it was active anywhere, a backup that restarted knows it from the others.
#[test]
fn a_plain_backup_does_not_create() {
    let mut cluster = Cluster::new(figure4_images(), 1);
    [MVS5, MVS2].into_iter().for_each(|index| cluster.start(index));
    cluster.run(2000);
    assert_eq!(cluster.routes.get(&dva1()), None);
    cluster.start(MVS1);
    cluster.run(1000);
    assert_eq!(cluster.routes.get(&dva1()), Some(&MVS1));
    cluster.kill(MVS5);
    cluster.kill(MVS1);
    cluster.start(MVS5);
    cluster.run(1000);
    assert_eq!(cluster.routes.get(&dva1()), Some(&MVS5), "MVS2 has told that it was active");
    let mut images = figure4_images();
    images[MVS5].definitions.backups[0].create = Some((Moveable::Immediate, 26));
    let mut cluster = Cluster::new(images, 1);
    cluster.start(MVS5);
    cluster.run(1000);
    assert_eq!(cluster.routes.get(&dva1()), Some(&MVS5));
}

/// Figure 4: MVS2, MVS3 and MVS4 have no link; they go out through a stack that has one, and
/// through another once that one dies.
#[test]
fn stacks_without_link_find_a_way_out() {
    let mut cluster = figure4();
    let exits = |cluster: &Cluster| [MVS2, MVS3, MVS4].map(|index| cluster.node(index).exit.unwrap());
    let linked = [xcf(1), xcf(5)];
    assert!(exits(&cluster).iter().all(|exit| linked.contains(exit)));
    assert_eq!(cluster.node(MVS1).exit, None);
    cluster.kill(MVS5);
    cluster.run(10);
    assert_eq!(exits(&cluster), [xcf(1); 3]);
    cluster.start(MVS5);
    cluster.run(500);
    assert_eq!(exits(&cluster), [xcf(1); 3], "no change without need");
    cluster.kill(MVS1);
    cluster.run(10);
    assert_eq!(exits(&cluster), [xcf(5); 3]);
}

/// A DVIPA without VIPADISTribute is its owner's alone; it still moves without harm.
#[test]
fn a_dvipa_without_distribution_moves_too() {
    let plain = Definitions { defines: vec![define(dva1())], ..Definitions::default() };
    let second = Definitions { backups: vec![backup(dva1(), 1)], ..Definitions::default() };
    let server = vec![(None, 60)];
    let mut cluster = Cluster::new(vec![image(1, true, plain, server.clone()), image(2, true, second, server)], 3);
    cluster.start_all();
    assert_eq!(cluster.connect(to_a(1000), 1), Some(0));
    assert_eq!(cluster.node(1).home.get(&dva1()), None);
    cluster.kill(0);
    cluster.run(50);
    assert_eq!(cluster.connect(to_a(1001), 1), Some(1));
    cluster.start(0);
    cluster.run(1500);
    assert_eq!(cluster.routes[&dva1()], 0);
    assert_eq!(cluster.answer(to_a(1001), 20), Answer::Served(1), "it stays where it is");
    assert_eq!(cluster.connect(to_a(1002), 1), Some(0));
    cluster.run(3000);
    assert_eq!(cluster.node(1).home.get(&dva1()), Some(&true), "while it holds a connection");
    cluster.close(1, to_a(1001));
    assert_eq!(cluster.node(1).home.get(&dva1()), None);
}

/// D7: what is of an unknown kind or version is counted, and the cluster works on.
#[test]
fn unknown_messages_are_counted() {
    let mut cluster = figure4();
    let now = cluster.now;
    let node = cluster.nodes[MVS1].as_mut().unwrap();
    for bytes in [&[][..], &[0xC7], &[0xC7, 9, 0, 0], &[1, 2, 3]] {
        node.vipa.receive(now, xcf(2), bytes);
    }
    node.vipa.receive(now, ip("192.0.2.99"), &[0xC7, 1]);
    assert_eq!(node.vipa.counters().unknown, 5);
    assert!(cluster.connect(to_a(1000), 1).is_some());
}

/// Every control datagram is counted where it leaves and where it arrives: on a network that loses none,
/// both are the same, and a cluster that nothing happens in still says who is there.
#[test]
fn control_datagrams_are_counted_at_both_ends() {
    let mut cluster = figure4();
    let counted = |cluster: &Cluster| {
        let counters = || cluster.nodes.iter().flatten().map(|node| node.vipa.counters());
        let sent = counters().map(|counters| (counters.control_sent, counters.control_sent_bytes));
        let received = counters().map(|counters| (counters.control_received, counters.control_received_bytes));
        let sum = |(count, bytes): (u64, u64), (one, of): (u64, u64)| (count + one, bytes + of);
        (sent.fold((0, 0), sum), received.fold((0, 0), sum))
    };
    let beats = |cluster: &Cluster| {
        cluster.nodes.iter().flatten().map(|node| node.vipa.counters().heartbeats_sent).sum::<u64>()
    };
    let (before, beaten) = (counted(&cluster).0, beats(&cluster));
    cluster.run(1000);
    let (sent, received) = counted(&cluster);
    assert_eq!(sent, received);
    let stacks = cluster.nodes.iter().flatten().count() as u64;
    assert!(sent.0 - before.0 >= 9 * stacks * (stacks - 1), "ten heartbeats from each to each in a second");
    assert_eq!(sent.0 - before.0, beats(&cluster) - beaten, "nothing else is said while nothing happens");
    assert!(sent.1 > 30 * sent.0, "a header and something behind it: {sent:?}");
}

/// UDP and ICMP to a DVIPA are the owner's; a stack that is not passes them on.
#[test]
fn other_protocols_are_the_owners() {
    use stack::wire::ip::protocol;
    let mut cluster = figure4();
    let ping = crate::harness::packet(ip("198.51.100.1"), dva1(), protocol::ICMP, &[8, 0, 0, 0, 0, 1, 0, 1]);
    let local = |cluster: &Cluster, index: usize| cluster.node(index).vipa.counters().local;
    let before = local(&cluster, MVS1);
    cluster.client_sends(&ping);
    cluster.client_sends_to(MVS5, &ping);
    cluster.run(10);
    assert_eq!(local(&cluster, MVS1), before + 2);
    assert_eq!(cluster.node(MVS5).vipa.counters().dropped(DropReason::NoOwner), 0);
}

/// F5.102: the complete list reaches everyone, whatever the targets are.
#[test]
fn the_list_reaches_all() {
    let cluster = figure4();
    for index in 0..5 {
        assert_eq!(cluster.dvipa(index, dva1()).owner, Some(xcf(1)));
        assert_eq!(cluster.dvipa(index, dvb1()).owner, Some(xcf(5)));
        assert_eq!(cluster.dvipa(index, dva1()).backups, [xcf(5)]);
    }
    assert_eq!(cluster.images[MVS5].definitions.distributes[0].targets, Targets::All);
}
