//! Distribution methods in a cluster: across takeovers and takebacks, and measured by what really arrives.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use vipa::{Event, Method, Options, ServerLoad, Standby, Story, Targets, Why, Workload};

use crate::fixture::{MVS1, MVS2, MVS4, MVS5, dva1, figure4_images, to_a, xcf};
use crate::harness::{Cluster, Ends};

/// Figure 4 with DVA1 distributed in this way, whoever routes.
fn cluster(method: Method, options: Options) -> Cluster {
    let mut images = figure4_images();
    for index in [MVS1, MVS5] {
        let distribute = images[index].definitions.distributes.iter_mut().find(|one| one.address == dva1()).unwrap();
        (distribute.method, distribute.options) = (method.clone(), options);
        distribute.targets = Targets::List(vec![xcf(1), xcf(2), xcf(4)]);
    }
    let mut cluster = Cluster::new(images, 11);
    cluster.start_all();
    cluster
}

/// A connection of another client.
fn of_client(client: u8, port: u16) -> Ends {
    (SocketAddr::new(dva1(), 60), SocketAddr::new([198, 51, 100, client].into(), port))
}

/// Opens so many connections; how many each image got.
fn spread(cluster: &mut Cluster, ports: core::ops::Range<u16>) -> BTreeMap<usize, usize> {
    let mut counts = BTreeMap::new();
    for port in ports {
        *counts.entry(cluster.connect(to_a(port), 1).unwrap()).or_default() += 1;
    }
    counts
}

/// The DPT row of an image at the router.
fn row(cluster: &Cluster, router: usize, target: usize) -> vipa::status::DptRow {
    let xcf = cluster.images[target].xcf;
    let rows = cluster.node(router).vipa.dpt();
    rows.into_iter().find(|row| row.dvipa == dva1() && row.target == xcf).unwrap()
}

/// BASEWLM and SERVERWLM: weights reach whoever routes, by message, and count at once; also after a takeover, and
/// without a workload manager it is the strict cycle (F7.144).
#[test]
fn weights_of_workload_managers_are_followed() {
    for method in [Method::default(), Method::ServerWlm(Default::default())] {
        let mut cluster = cluster(method, Options::default());
        let cycle: Vec<usize> = (1..=6).map(|port| cluster.connect(to_a(port), 1).unwrap()).collect();
        assert_eq!(cycle, [MVS1, MVS2, MVS4, MVS1, MVS2, MVS4]);
        let weigh = |cluster: &mut Cluster, index: usize, weight: u8| {
            let system = Some([weight, 0, 0]);
            cluster.order(index, |vipa, now| vipa.set_workload(now, Workload { system, ..Workload::default() }));
            cluster.run(10);
        };
        [(MVS1, 10), (MVS2, 20), (MVS4, 50)].into_iter().for_each(|(index, weight)| weigh(&mut cluster, index, weight));
        assert_eq!(spread(&mut cluster, 100..180), BTreeMap::from([(MVS1, 10), (MVS2, 20), (MVS4, 50)]));
        assert_eq!((row(&cluster, MVS1, MVS4).weight, row(&cluster, MVS1, MVS4).raw_weight), (5, Some(50)));
        weigh(&mut cluster, MVS4, 0);
        assert_eq!(spread(&mut cluster, 200..230), BTreeMap::from([(MVS1, 10), (MVS2, 20)]), "at once");
        weigh(&mut cluster, MVS4, 60);
        cluster.kill(MVS1);
        cluster.run(300);
        assert_eq!(spread(&mut cluster, 300..340), BTreeMap::from([(MVS2, 10), (MVS4, 30)]));
        for index in [MVS2, MVS4] {
            cluster.order(index, |vipa, now| vipa.set_workload(now, Workload::default()));
        }
        cluster.run(10);
        assert_eq!(spread(&mut cluster, 400..420), BTreeMap::from([(MVS2, 10), (MVS4, 10)]));
    }
}

/// SERVERWLM goes by what is said of the server, BASEWLM by what is said of its system.
#[test]
fn servers_have_weights_of_their_own() {
    for (method, expected) in [(Method::default(), [20, 20]), (Method::ServerWlm(Default::default()), [30, 10])] {
        let mut cluster = cluster(method, Options::default());
        cluster.unlisten(MVS1, Some(dva1()), 60);
        for (index, weight) in [(MVS2, 30), (MVS4, 10)] {
            let servers = [(60, ServerLoad { weight: Some(weight), ..ServerLoad::default() })].into();
            cluster.order(index, |vipa, now| vipa.set_workload(now, Workload { system: Some([7, 0, 0]), servers }));
        }
        cluster.run(50);
        assert_eq!(spread(&mut cluster, 100..140), BTreeMap::from([(MVS2, expected[0]), (MVS4, expected[1])]));
    }
}

/// HOTSTANDBY, NOAUTOSWITCHBACK: the backup that has taken over keeps the connections, and goes on to get all of
/// them from the next router.
#[test]
fn hot_standby_survives_a_takeover() {
    for (switch_back, expected) in [(false, MVS4), (true, MVS2)] {
        let ranks = [(xcf(1), 5), (xcf(2), Standby::PREFERRED), (xcf(4), 9)].into();
        let standby = Standby { ranks, switch_back, health_switch: true };
        let mut cluster = cluster(Method::HotStandby(standby), Options::default());
        // With NOAUTOSWITCHBACK whoever was ready first is in use.
        for index in [MVS1, MVS4].into_iter().filter(|_| !switch_back) {
            cluster.unlisten(index, Some(dva1()), 60);
            cluster.run(20);
            cluster.listen(index, Some(dva1()), 60);
            cluster.run(20);
        }
        assert_eq!(spread(&mut cluster, 1..5), BTreeMap::from([(MVS2, 4)]));
        cluster.unlisten(MVS2, Some(dva1()), 60);
        cluster.run(20);
        assert_eq!(spread(&mut cluster, 5..15), BTreeMap::from([(MVS4, 10)]));
        cluster.listen(MVS2, Some(dva1()), 60);
        cluster.run(20);
        assert_eq!(spread(&mut cluster, 15..20), BTreeMap::from([(expected, 5)]));
        let in_use = |cluster: &Cluster, router: usize| {
            let used = [MVS2, MVS4].into_iter().filter(|target| row(cluster, router, *target).in_use);
            used.collect::<Vec<usize>>()
        };
        assert_eq!(in_use(&cluster, MVS1), [expected]);
        cluster.kill(MVS1);
        cluster.run(300);
        assert_eq!(in_use(&cluster, MVS5), [expected]);
        assert_eq!(spread(&mut cluster, 20..25), BTreeMap::from([(expected, 5)]));
    }
}

/// TIMEDAFFINITY: a client's connections go to one target, across takeover and takeback, until it has had none for
/// so long.
#[test]
fn timed_affinity_holds() {
    let mut cluster = cluster(Method::RoundRobin, Options { timed_affinity: 30, ..Options::default() });
    let connect = |cluster: &mut Cluster, client: u8, port: u16| cluster.connect(of_client(client, port), 1).unwrap();
    let first: Vec<usize> = (20..26).map(|client| connect(&mut cluster, client, 1)).collect();
    assert_eq!(first, [MVS1, MVS2, MVS4, MVS1, MVS2, MVS4]);
    for client in 20..26 {
        for port in 2..5 {
            assert_eq!(connect(&mut cluster, client, port), first[usize::from(client) - 20]);
        }
    }
    // Client 21 closes all, client 22 keeps one.
    (1..5).for_each(|port| cluster.close(MVS2, of_client(21, port)));
    (1..4).for_each(|port| cluster.close(MVS4, of_client(22, port)));
    cluster.run(20_000);
    cluster.kill(MVS1);
    cluster.run(300);
    assert_eq!((connect(&mut cluster, 21, 10), connect(&mut cluster, 22, 10)), (MVS2, MVS4), "F9.202");
    let why = |cluster: &Cluster, router: usize, ends: Ends| match &cluster
        .node(router)
        .vipa
        .explain(Some(ends.1))
        .first()
        .unwrap()
        .story
    {
        Story::Decided(decided) => Some(decided.why),
        _ => None,
    };
    assert_eq!(why(&cluster, MVS5, of_client(21, 10)), Some(Why::Affinity));
    assert_eq!(why(&cluster, MVS5, of_client(22, 4)), None, "its target has reported it");
    cluster.close(MVS2, of_client(21, 10));
    cluster.run(10_000);
    cluster.start(MVS1);
    cluster.run(2000);
    assert_eq!(cluster.owners(dva1()), [MVS1]);
    assert_eq!((connect(&mut cluster, 21, 20), connect(&mut cluster, 22, 20)), (MVS2, MVS4), "F10.302");
    cluster.close(MVS2, of_client(21, 20));
    cluster.run(31_000);
    // One after the other again: the last one was chosen by the takeover's router.
    let again: BTreeSet<usize> = (0..3).map(|client| connect(&mut cluster, 40 + client, 30)).collect();
    assert_eq!(again, BTreeSet::from([MVS1, MVS2, MVS4]));
    assert_ne!(why(&cluster, MVS1, of_client(21, 20)), None);
    connect(&mut cluster, 21, 40);
    assert_eq!(why(&cluster, MVS1, of_client(21, 40)), Some(Why::Method), "its time is over");
}

/// TIMEDAFFINITY does not send a client to a server that is gone.
#[test]
fn timed_affinity_ends_with_the_server() {
    let mut cluster = cluster(Method::RoundRobin, Options { timed_affinity: 9999, ..Options::default() });
    let served = cluster.connect(of_client(20, 1), 1).unwrap();
    cluster.unlisten(served, Some(dva1()), 60);
    cluster.run(20);
    let other = cluster.connect(of_client(20, 2), 1).unwrap();
    assert_ne!(other, served);
    cluster.listen(served, Some(dva1()), 60);
    cluster.run(20);
    assert_eq!(cluster.connect(of_client(20, 3), 1), Some(other), "it has moved");
}

fn events(cluster: &Cluster) -> Vec<String> {
    let told = cluster
        .events
        .iter()
        .filter(|(_, event)| matches!(event, Event::Unresponsive { .. } | Event::Responsive { .. }));
    told.map(|(_, event)| event.to_string()).collect()
}

/// TCSR: a target whose SYNs do not arrive gets less and then only probes; once they arrive it gets its share again.
#[test]
fn a_target_that_syns_do_not_reach_is_found() {
    let mut cluster = cluster(Method::RoundRobin, Options::default());
    cluster.without_data.insert((MVS1, MVS4));
    let mut port = 1000;
    let mut lost = |cluster: &mut Cluster, count: u16| {
        (0..count)
            .filter(|_| {
                port += 1;
                cluster.connect(to_a(port), 1).is_none()
            })
            .count()
    };
    let before = lost(&mut cluster, 300);
    assert!((20..100).contains(&before), "{before}");
    let told =
        "EZD1182I TARGET SERVER FOR 203.0.113.1 PORT 60 AT TCPIP ON MVS4 IS NOT RESPONSIVE - TCSR 0 CER 100 SEF 100";
    assert_eq!(events(&cluster), [told]);
    assert_eq!((row(&cluster, MVS1, MVS4).tsr, row(&cluster, MVS1, MVS2).tsr), (0, 100));
    let after = lost(&mut cluster, 300);
    assert!((1..25).contains(&after), "only probes: {after}");
    cluster.without_data.clear();
    lost(&mut cluster, 300);
    assert_eq!(events(&cluster).len(), 2, "{:?}", events(&cluster));
    assert!(events(&cluster)[1].starts_with("EZD1183I"), "{:?}", events(&cluster));
    assert!(row(&cluster, MVS1, MVS4).tsr > 70);
    let counts = spread(&mut cluster, 5000..5030);
    assert_eq!(counts, BTreeMap::from([(MVS1, 10), (MVS2, 10), (MVS4, 10)]));
}

/// CER and SEF: clients whose handshake is not completed, and a server whose backlog is full.
#[test]
fn a_server_that_does_not_accept_is_found() {
    let mut cluster = cluster(Method::RoundRobin, Options::default());
    for port in 0..400 {
        cluster.client_sends(&crate::harness::segment(to_a(1000 + port), 1, crate::harness::SYN));
        cluster.run(20);
    }
    let rates = |cluster: &Cluster| {
        let row = row(cluster, MVS1, MVS2);
        (row.tcsr, row.cer, row.sef)
    };
    let (tcsr, cer, sef) = rates(&cluster);
    assert!(tcsr == 100 && cer < 10 && sef == 100, "{:?}", rates(&cluster));
    cluster.run(2000);
    cluster.order(MVS4, |vipa, _| vipa.serving(Some(dva1()), 60, 0));
    spread(&mut cluster, 2000..2400);
    assert_eq!((row(&cluster, MVS1, MVS4).sef, row(&cluster, MVS1, MVS4).tsr), (0, 0));
    let itself = |image| cluster.node(image).vipa.server_efficiency(Some(dva1()), 60);
    assert_eq!((itself(MVS4), itself(MVS2)), (0, 100), "as the targets see it themselves");
    assert!(rates(&cluster).1 > 90, "{:?}", rates(&cluster));
}

/// What a router never asked about is not waited for: after a flood of SYNs and the router's death servers are judged
/// by the connections that the next one sends.
#[test]
fn a_router_that_dies_leaves_nothing_behind() {
    let mut cluster = cluster(Method::RoundRobin, Options::default());
    cluster.unlisten(MVS1, Some(dva1()), 60);
    // So that the two do not happen to count the same intervals.
    cluster.kill(MVS5);
    cluster.run(20_000);
    cluster.start(MVS5);
    cluster.run(2000);
    for port in 0..12_000 {
        cluster.client_sends(&crate::harness::segment(to_a(1000 + port), 1, crate::harness::SYN));
    }
    cluster.run(20);
    cluster.kill(MVS1);
    cluster.run(300);
    for port in 0..400 {
        cluster.client_sends(&crate::harness::segment(to_a(20_000 + port), 1, crate::harness::SYN));
        cluster.run(20);
    }
    assert!(row(&cluster, MVS5, MVS2).cer < 10, "{:?}", row(&cluster, MVS5, MVS2));
}

/// No server is accused of what the network does: few connections, none at all, control datagrams that are lost,
/// doubled and late (R13).
#[test]
fn nobody_is_accused_wrongly() {
    let mut cluster = cluster(Method::RoundRobin, Options::default());
    cluster.weather = crate::harness::Weather { loss: 10, doubled: 10, delay: 30 };
    for port in 0..60u16 {
        let ends = to_a(1000 + port);
        // As TCP does: again and again.
        for _ in 0..20 {
            if cluster.connect(ends, 1).is_some() {
                break;
            }
        }
        cluster.run(700);
        cluster.answer(ends, 200);
    }
    assert_eq!(events(&cluster), [] as [String; 0]);
    cluster.run(60_000);
    assert_eq!(events(&cluster), [] as [String; 0]);
    let rows = cluster.node(MVS1).vipa.dpt();
    assert!(rows.iter().filter(|row| row.dvipa == dva1()).all(|row| row.tsr > 20), "{rows:?}");
}

/// Every decision can be explained, those that are too old are said to be so, and after a takeover what was
/// reported is.
#[test]
fn decisions_are_explained() {
    let mut cluster = cluster(Method::default(), Options::default());
    for (index, weight) in [(MVS2, 20), (MVS4, 10)] {
        let workload = Workload { system: Some([weight, 0, 0]), ..Workload::default() };
        cluster.order(index, |vipa, now| vipa.set_workload(now, workload));
    }
    cluster.run(50);
    let connections: Vec<(Ends, usize)> =
        (1..=5).map(|port| (to_a(port), cluster.connect(to_a(port), 1).unwrap())).collect();
    let address = |cluster: &Cluster, index: usize| -> IpAddr { cluster.images[index].xcf };
    let all = cluster.node(MVS1).vipa.explain(None);
    assert_eq!(all.len(), 5);
    assert_eq!(all[0].client, connections[4].0.1, "the latest first");
    for (ends, target) in &connections {
        let explained = cluster.node(MVS1).vipa.explain(Some(ends.1));
        assert_eq!(explained.len(), 1);
        let one = &explained[0];
        assert_eq!((one.server, one.client, one.exists), (ends.0, ends.1, true));
        assert_eq!(one.target, address(&cluster, *target));
        let Story::Decided(decided) = &one.story else { panic!("{one:?}") };
        assert_eq!((decided.why, decided.method), (Why::Method, Some(vipa::status::DistMethod::BaseWlm)));
        let seen: Vec<_> = decided.candidates.iter().map(|one| (one.target, one.weight, one.tsr)).collect();
        assert_eq!(seen, [(xcf(1), 1, 100), (xcf(2), 20, 100), (xcf(4), 10, 100)]);
        let active: u32 = decided.candidates.iter().map(|one| one.active).sum();
        assert_eq!(active, u32::from(ends.1.port() % 1000) - 1, "before this one");
    }
    cluster.kill(MVS1);
    cluster.run(300);
    assert_eq!(cluster.node(MVS5).vipa.explain(None), []);
    for (ends, target) in connections.iter().filter(|(_, target)| *target != MVS1) {
        let explained = cluster.node(MVS5).vipa.explain(Some(ends.1));
        assert_eq!((explained.len(), &explained[0].story), (1, &Story::Reported));
        assert_eq!(explained[0].target, address(&cluster, *target));
    }
    // More decisions than are remembered.
    for number in 0..1200u16 {
        cluster.connect(to_a(10_000 + number), 1).unwrap();
    }
    let (old, new) = (to_a(10_000), to_a(11_199));
    assert_eq!(cluster.node(MVS5).vipa.explain(None).len(), 1024);
    assert_eq!(cluster.node(MVS5).vipa.explain(Some(old.1))[0].story, Story::Forgotten(1024));
    assert!(matches!(cluster.node(MVS5).vipa.explain(Some(new.1))[0].story, Story::Decided(_)));
}
