//! Clients on the images themselves: whom their connections go to, with OPTLOCAL and without.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use vipa::{Method, Options, Quiesce, ServerLoad, Standby, Story, Targets, Weights, Why, Workload};

use crate::fixture::{MVS1, MVS2, MVS3, MVS4, MVS5, dva1, figure4_images, to_a, xcf};
use crate::harness::{Answer, Cluster, Ends, SYN, segment};

/// Figure 4 with DVA1 distributed over MVS1, MVS2 and MVS4 with this OPTLOCAL, whoever routes.
fn cluster(method: Method, optlocal: Option<u8>) -> Cluster {
    let mut images = figure4_images();
    for index in [MVS1, MVS5] {
        let distribute = images[index].definitions.distributes.iter_mut().find(|one| one.address == dva1()).unwrap();
        distribute.method = method.clone();
        distribute.options = Options { optlocal, ..Options::default() };
        distribute.targets = Targets::List(vec![xcf(1), xcf(2), xcf(4)]);
    }
    let mut cluster = Cluster::new(images, 11);
    cluster.start_all();
    cluster
}

/// A connection to DVA1 of a client on this image.
fn on(index: usize, port: u16) -> Ends {
    let number = u8::try_from(index + 1).unwrap();
    (SocketAddr::new(dva1(), 60), SocketAddr::new(xcf(number), port))
}

/// Opens so many connections on an image; how many each image got.
fn spread(cluster: &mut Cluster, from: usize, ports: core::ops::Range<u16>) -> BTreeMap<usize, usize> {
    let mut counts = BTreeMap::new();
    for port in ports {
        *counts.entry(cluster.connect_on(from, on(from, port), 1).unwrap()).or_default() += 1;
    }
    counts
}

/// The CRT of whoever routes agrees with what the endpoints hold (I9).
fn assert_true_tables(cluster: &Cluster) {
    let owners = cluster.owners(dva1());
    let [owner] = owners[..] else { panic!("one owner: {owners:?}") };
    assert_eq!(cluster.crt(owner, dva1()), cluster.truth(dva1()));
}

fn why(cluster: &Cluster, index: usize, ends: Ends) -> Why {
    let explained = cluster.node(index).vipa.explain(Some(ends.1));
    match explained.as_slice() {
        [one] if one.exists && one.target == cluster.images[cluster.holder(ends).unwrap()].xcf => match &one.story {
            Story::Decided(decided) => decided.why,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// F7.142-150, R16: without OPTLOCAL a connection from an image goes by the method, whether that image routes, is a
/// target or is neither; the target may be the image that it comes from.
#[test]
fn clients_on_images_are_distributed() {
    let mut cluster = cluster(Method::RoundRobin, None);
    for from in [MVS1, MVS2, MVS3, MVS4, MVS5] {
        let third = BTreeMap::from([(MVS1, 2), (MVS2, 2), (MVS4, 2)]);
        assert_eq!(spread(&mut cluster, from, 100..106), third, "from {from}");
        for port in 100..106 {
            let holder = cluster.holder(on(from, port)).unwrap();
            assert_eq!(cluster.answer_on(from, on(from, port), 20), Answer::Served(holder));
            assert_eq!(why(&cluster, MVS1, on(from, port)), Why::Method);
        }
    }
    assert_true_tables(&cluster);
    let last = on(MVS2, 105);
    cluster.close(cluster.holder(last).unwrap(), last);
    cluster.hang_up(MVS2, last, 1);
    cluster.run(50);
    assert_true_tables(&cluster);
}

/// Promise 1: connections of images live through a takeover and the takeback, and new ones go by the method of who
/// routes then; I18: nothing goes round.
#[test]
fn clients_on_images_live_through_takeovers() {
    for optlocal in [None, Some(0)] {
        let mut cluster = cluster(Method::RoundRobin, optlocal);
        let mut held = Vec::new();
        for from in [MVS2, MVS3, MVS4, MVS5] {
            spread(&mut cluster, from, 100..106);
            let ours = (100..106).map(|port| (from, on(from, port)));
            held.extend(ours.filter(|(_, ends)| cluster.holder(*ends) != Some(MVS1)));
        }
        assert!(held.iter().any(|(from, ends)| cluster.holder(*ends) == Some(*from)));
        assert!(held.iter().any(|(from, ends)| cluster.holder(*ends) != Some(*from)));
        let serve = |cluster: &mut Cluster| {
            for (from, ends) in &held {
                let holder = cluster.holder(*ends).unwrap();
                assert_eq!(cluster.answer_on(*from, *ends, 20), Answer::Served(holder), "{ends:?}");
            }
        };
        cluster.kill(MVS1);
        cluster.run(300);
        assert_eq!(cluster.owners(dva1()), [MVS5]);
        serve(&mut cluster);
        assert_true_tables(&cluster);
        let expected = match optlocal {
            None => BTreeMap::from([(MVS2, 2), (MVS4, 2)]),
            Some(_) => BTreeMap::from([(MVS2, 4)]),
        };
        assert_eq!(spread(&mut cluster, MVS2, 200..204), expected);
        cluster.start(MVS1);
        cluster.run(2000);
        assert_eq!(cluster.owners(dva1()), [MVS1]);
        serve(&mut cluster);
        assert_true_tables(&cluster);
    }
}

/// OPTLOCAL 0 and 1: a target's own clients are its own server's, the routing stack hears of them (F8.164), and it
/// serves them while nobody routes; clients of other images are distributed.
#[test]
fn optlocal_keeps_connections_here() {
    for optlocal in [0, 1] {
        let mut cluster = cluster(Method::RoundRobin, Some(optlocal));
        for from in [MVS1, MVS2, MVS4] {
            assert_eq!(spread(&mut cluster, from, 100..104), BTreeMap::from([(from, 4)]));
            assert_eq!(why(&cluster, from, on(from, 100)), Why::OptLocal);
        }
        assert_eq!(spread(&mut cluster, MVS3, 100..103), BTreeMap::from([(MVS1, 1), (MVS2, 1), (MVS4, 1)]));
        assert_true_tables(&cluster);
        // Nobody routes any more.
        cluster.kill(MVS5);
        cluster.kill(MVS1);
        cluster.run(1000);
        assert_eq!(cluster.owners(dva1()), []);
        assert_eq!(spread(&mut cluster, MVS2, 200..202), BTreeMap::from([(MVS2, 2)]));
        assert_eq!(cluster.connect_on(MVS3, on(MVS3, 200), 1), None);
        cluster.start(MVS1);
        cluster.run(2000);
        assert_true_tables(&cluster);
        assert_eq!(cluster.answer_on(MVS2, on(MVS2, 100), 20), Answer::Served(MVS2));
    }
}

/// The distributor chooses where the own server is not there or does not cope: no listener, quiesced, SEF or health
/// below 75, more than 250 abnormal completions of 1,000.
#[test]
fn a_server_that_does_not_cope_is_passed_by() {
    let mut cluster = cluster(Method::RoundRobin, Some(1));
    let weigh = |cluster: &mut Cluster, abnormal, health| {
        let servers = [(60, ServerLoad { weight: None, abnormal, health })].into();
        cluster.order(MVS2, |vipa, now| vipa.set_workload(now, Workload { system: None, servers }));
    };
    let mut port = 1000;
    let mut stays = |cluster: &mut Cluster| {
        port += 10;
        let counts = spread(cluster, MVS2, port..port + 3);
        let own = counts.get(&MVS2).copied().unwrap_or(0);
        assert!(own == 3 || own <= 1, "all, or what is its turn: {counts:?}");
        own == 3
    };
    assert!(stays(&mut cluster));
    for (abnormal, health, copes) in [(250, 75, true), (251, 100, false), (0, 74, false), (0, 100, true)] {
        weigh(&mut cluster, abnormal, health);
        assert_eq!(stays(&mut cluster), copes, "{abnormal} {health}");
    }
    for (efficiency, copes) in [(74, false), (75, true)] {
        cluster.order(MVS2, |vipa, _| vipa.serving(Some(dva1()), 60, efficiency));
        assert_eq!(stays(&mut cluster), copes, "{efficiency}");
    }
    cluster.order(MVS2, |vipa, now| vipa.quiesce(now, Quiesce::Target));
    cluster.run(50);
    assert!(!stays(&mut cluster));
    cluster.order(MVS2, |vipa, now| vipa.resume(now, Quiesce::Target));
    cluster.run(50);
    assert!(stays(&mut cluster));
    cluster.unlisten(MVS2, Some(dva1()), 60);
    cluster.run(50);
    assert!(!stays(&mut cluster));
    assert_true_tables(&cluster);
}

/// I15: a SYN that is sent again goes where the first one went, although the own server copes by now, or no more.
#[test]
fn a_syn_sent_again_goes_the_same_way() {
    let mut cluster = cluster(Method::RoundRobin, Some(1));
    cluster.unlisten(MVS2, Some(dva1()), 60);
    cluster.run(50);
    let away = on(MVS2, 100);
    let first = cluster.connect_on(MVS2, away, 1).unwrap();
    assert_ne!(first, MVS2);
    cluster.listen(MVS2, Some(dva1()), 60);
    cluster.run(50);
    cluster.own_sends(MVS2, &segment(away, 1, SYN));
    cluster.run(50);
    assert_eq!(cluster.truth(dva1())[&away], first);
    assert_eq!(cluster.truth(dva1()).len(), 1, "I7");
    let here = on(MVS2, 101);
    assert_eq!(cluster.connect_on(MVS2, here, 1), Some(MVS2));
    cluster.unlisten(MVS2, Some(dva1()), 60);
    cluster.own_sends(MVS2, &segment(here, 1, SYN));
    cluster.run(50);
    assert_eq!(cluster.truth(dva1())[&here], MVS2);
    assert_true_tables(&cluster);
}

/// z/OS lost OPTLOCAL on the distributor by DEACTIVATE and REACTIVATE (PM74276): here it counts before, with the
/// backup, and after, on whichever image.
#[test]
fn optlocal_outlives_deactivation() {
    let mut cluster = cluster(Method::RoundRobin, Some(1));
    let stay = |cluster: &mut Cluster, ports: core::ops::Range<u16>| {
        for from in [MVS1, MVS2, MVS4] {
            assert_eq!(spread(cluster, from, ports.clone()), BTreeMap::from([(from, ports.len())]));
        }
    };
    stay(&mut cluster, 100..103);
    cluster.order(MVS1, |vipa, now| vipa.deactivate(now, dva1())).unwrap();
    cluster.run(500);
    assert_eq!(cluster.owners(dva1()), [MVS5]);
    stay(&mut cluster, 200..203);
    cluster.order(MVS1, |vipa, now| vipa.reactivate(now, dva1())).unwrap();
    cluster.run(500);
    assert_eq!(cluster.owners(dva1()), [MVS1]);
    stay(&mut cluster, 300..303);
    assert_true_tables(&cluster);
}

/// OPTLOCAL 2 to 16 multiplies the weight of the client's own image where the method has weights, for its clients
/// only; without a workload manager all weights are 1. ROUNDROBIN has none: there it is as 1.
#[test]
fn optlocal_multiplies_weights() {
    let weights = Weights::default();
    for method in [Method::default(), Method::ServerWlm(Default::default()), Method::WeightedActive(weights)] {
        let mut cluster = cluster(method, Some(4));
        for from in [MVS2, MVS1] {
            let counts = spread(&mut cluster, from, 100..160);
            let others = [MVS1, MVS2, MVS4].into_iter().filter(|index| *index != from).map(|index| (index, 10));
            assert_eq!(counts, others.chain([(from, 40)]).collect(), "from {from}");
            for port in 100..160 {
                let ends = on(from, port);
                let expected = if cluster.holder(ends) == Some(from) { Why::Favoured(4) } else { Why::Method };
                assert_eq!(why(&cluster, MVS1, ends), expected);
                cluster.close(cluster.holder(ends).unwrap(), ends);
                cluster.hang_up(from, ends, 1);
            }
            cluster.run(50);
        }
        let mut counts = BTreeMap::new();
        for port in 200..230 {
            *counts.entry(cluster.connect(to_a(port), 1).unwrap()).or_default() += 1;
        }
        assert_eq!(counts, BTreeMap::from([(MVS1, 10), (MVS2, 10), (MVS4, 10)]));
    }
    let mut cluster = cluster(Method::RoundRobin, Some(4));
    assert_eq!(spread(&mut cluster, MVS2, 100..106), BTreeMap::from([(MVS2, 6)]));
}

/// HOTSTANDBY has one target for all: OPTLOCAL changes nothing there.
#[test]
fn hot_standby_knows_no_optlocal() {
    let standby = Standby { ranks: [(xcf(4), Standby::PREFERRED)].into(), ..Standby::default() };
    let mut cluster = cluster(Method::HotStandby(standby), Some(1));
    assert_eq!(spread(&mut cluster, MVS2, 100..104), BTreeMap::from([(MVS4, 4)]));
}
