//! What operators change while the cluster runs, ports leased to stacks, the audit, and who is
//! refused.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use vipa::status::VipaStatus;
use vipa::{Definitions, Event, Method, PortLease, Quiesce, Refusal, Targets, Weights};

use crate::fixture::*;
use crate::harness::{Answer, Cluster, Ends, client};

fn redefine(cluster: &mut Cluster, index: usize, definitions: Definitions) {
    cluster.order(index, |vipa, now| vipa.redefine(now, definitions)).unwrap();
    cluster.run(50);
}

/// D6, F5.102: the owner's new list counts at once; connections of targets that it drops go on.
#[test]
fn a_list_changes_at_run_time() {
    let mut cluster = figure4();
    let connections: Vec<Ends> = (1..=6).map(to_a).collect();
    let before: BTreeMap<Ends, usize> =
        connections.iter().map(|ends| (*ends, cluster.connect(*ends, 1).unwrap())).collect();
    assert_eq!(before.values().collect::<BTreeSet<_>>(), BTreeSet::from([&MVS1, &MVS2, &MVS4]));
    let epoch = cluster.dvipa(MVS1, dva1()).epoch;
    let mut definitions = cluster.images[MVS1].definitions.clone();
    definitions.distributes[0].targets = Targets::List(vec![xcf(4), xcf(3)]);
    redefine(&mut cluster, MVS1, definitions);
    cluster.listen(MVS3, Some(dva1()), 60);
    cluster.run(50);
    for index in 0..5 {
        let status = cluster.dvipa(index, dva1());
        assert_eq!((status.owner, status.epoch > epoch), (Some(xcf(1)), true));
    }
    let served: BTreeSet<usize> = (10..20).map(|port| cluster.connect(to_a(port), 1).unwrap()).collect();
    assert_eq!(served, BTreeSet::from([MVS3, MVS4]));
    for (ends, holder) in before {
        assert_eq!(cluster.answer(ends, 20), Answer::Served(holder), "R7");
    }
    assert_eq!(cluster.crt(MVS1, dva1()), cluster.truth(dva1()));
}

/// I23: the same profile again sends nothing and changes nothing.
#[test]
fn the_same_profile_again_changes_nothing() {
    let mut cluster = figure4();
    let definitions = cluster.images[MVS1].definitions.clone();
    let now = cluster.now;
    let vipa = &mut cluster.nodes[MVS1].as_mut().unwrap().vipa;
    assert!(vipa.poll_action().is_none());
    let before = vipa.dvipas();
    vipa.redefine(now, definitions).unwrap();
    assert!(vipa.poll_action().is_none());
    assert_eq!(vipa.dvipas(), before);
}

/// D6: a definition is deleted: the backup takes over without a gap; it comes back: so does the
/// DVIPA.
#[test]
fn a_definition_goes_and_comes_back() {
    let mut cluster = figure4();
    let holder = cluster.connect(to_a(1), 1).unwrap();
    let definitions = cluster.images[MVS1].definitions.clone();
    redefine(&mut cluster, MVS1, Definitions { defines: vec![], distributes: vec![], ..definitions.clone() });
    assert_eq!(cluster.owners(dva1()), [MVS5]);
    assert_eq!(cluster.answer(to_a(1), 20), Answer::Served(holder));
    redefine(&mut cluster, MVS1, definitions);
    assert_eq!(cluster.owners(dva1()), [MVS1]);
    assert_eq!(cluster.answer(to_a(1), 20), Answer::Served(holder));
    // A backup more, without any restart.
    let mut third = cluster.images[MVS5].definitions.clone();
    third.backups.clear();
    redefine(&mut cluster, MVS5, third);
    assert!(cluster.dvipa(MVS1, dva1()).backups.is_empty());
}

/// DEACTIVATE: as if the definition were deleted; REACTIVATE: back again; connections do not notice.
#[test]
fn deactivate_and_reactivate() {
    let mut cluster = figure4();
    let connections: Vec<Ends> = (1..=6).map(to_a).collect();
    connections.iter().for_each(|ends| assert!(cluster.connect(*ends, 1).unwrap() < 5));
    cluster.order(MVS1, |vipa, now| vipa.deactivate(now, dva1())).unwrap();
    assert_eq!(cluster.dvipa(MVS1, dva1()).status, VipaStatus::Quiescing);
    cluster.run(3000);
    assert_eq!(cluster.owners(dva1()), [MVS5]);
    assert_eq!(cluster.dvipa(MVS1, dva1()).status, VipaStatus::Quiescing, "it serves connections still");
    for ends in &connections {
        assert_eq!(cluster.answer(*ends, 20), Answer::Served(cluster.holder(*ends).unwrap()));
    }
    // A deactivated stack does not take over either.
    cluster.kill(MVS5);
    cluster.run(1000);
    assert_eq!(cluster.owners(dva1()), []);
    cluster.start(MVS5);
    cluster.run(2000);
    assert_eq!(cluster.owners(dva1()), [MVS5]);
    let held: Vec<Ends> = cluster.node(MVS1).held.keys().copied().collect();
    held.into_iter().for_each(|ends| cluster.close(MVS1, ends));
    assert_eq!(cluster.dvipa(MVS1, dva1()).status, VipaStatus::Deactivated);
    cluster.order(MVS1, |vipa, now| vipa.reactivate(now, dva1())).unwrap();
    cluster.run(50);
    assert_eq!(cluster.owners(dva1()), [MVS1]);
    let refused = |cluster: &mut Cluster, index| cluster.order(index, |vipa, now| vipa.deactivate(now, dva1()));
    assert_eq!(refused(&mut cluster, MVS2), Err(Refusal::NotDefined(dva1())));
    assert_eq!(refused(&mut cluster, MVS1), Ok(()));
    assert_eq!(refused(&mut cluster, MVS1), Err(Refusal::Already(dva1())));
}

/// DEACTIVATE where nobody backs the DVIPA up: it is gone from the network, until REACTIVATE.
#[test]
fn without_a_backup_a_deactivated_dvipa_is_released() {
    let mut cluster = figure4();
    cluster.kill(MVS5);
    cluster.run(1000);
    cluster.order(MVS1, |vipa, now| vipa.deactivate(now, dva1())).unwrap();
    cluster.run(50);
    assert_eq!((cluster.owners(dva1()), cluster.routes.get(&dva1())), (vec![], None));
    assert!(cluster.events.contains(&(MVS1, Event::Released { dvipa: dva1() })));
    cluster.order(MVS1, |vipa, now| vipa.reactivate(now, dva1())).unwrap();
    cluster.run(50);
    assert_eq!((cluster.owners(dva1()), cluster.routes[&dva1()]), (vec![MVS1], MVS1));
}

/// QUIESCE and RESUME, I14: no new connection goes to a quiesced target; those that it has go on,
/// across a takeover too.
#[test]
fn quiesce_and_resume() {
    let mut cluster = figure4();
    let connections: Vec<Ends> = (1..=6).map(to_a).collect();
    connections.iter().for_each(|ends| assert!(cluster.connect(*ends, 1).unwrap() < 5));
    for what in [Quiesce::Target, Quiesce::Port(60)] {
        cluster.order(MVS2, |vipa, now| vipa.quiesce(now, what));
        cluster.run(20);
        let served = |cluster: &mut Cluster, from: u16| -> BTreeSet<usize> {
            (from..from + 6).map(|port| cluster.connect(to_a(port), 1).unwrap()).collect()
        };
        assert_eq!(served(&mut cluster, 100), BTreeSet::from([MVS1, MVS4]));
        cluster.kill(MVS1);
        cluster.run(200);
        assert_eq!(served(&mut cluster, 200), BTreeSet::from([MVS4]));
        for ends in
            connections.iter().filter(|ends| cluster.node(MVS2).held.contains_key(ends)).copied().collect::<Vec<_>>()
        {
            assert_eq!(cluster.answer(ends, 20), Answer::Served(MVS2));
        }
        cluster.start(MVS1);
        cluster.run(1000);
        cluster.order(MVS2, |vipa, now| vipa.resume(now, what));
        cluster.run(20);
        assert_eq!(served(&mut cluster, 300), BTreeSet::from([MVS1, MVS2, MVS4]));
        for held in [MVS1, MVS2, MVS4] {
            let held: Vec<(usize, Ends)> = cluster.node(held).held.keys().map(|ends| (held, *ends)).collect();
            held.into_iter()
                .filter(|(_, ends)| ends.1.port() >= 100)
                .for_each(|(index, ends)| cluster.close(index, ends));
        }
        cluster.run(50);
    }
}

/// LEAVEGROUP and JOINGROUP: the stack hands over, goes on without DVIPAs, and comes back.
#[test]
fn leave_and_join_the_group() {
    let mut cluster = figure4();
    let connections: Vec<Ends> = (1..=6).map(to_a).collect();
    connections.iter().for_each(|ends| assert!(cluster.connect(*ends, 1).unwrap() < 5));
    cluster.order(MVS1, |vipa, now| vipa.leave_group(now));
    cluster.run(500);
    assert!(!cluster.node(MVS1).left && !cluster.node(MVS1).vipa.in_group());
    assert_eq!(cluster.owners(dva1()), [MVS5]);
    assert!(cluster.node(MVS1).home.is_empty() && cluster.node(MVS1).held.is_empty());
    assert_eq!(cluster.dvipa(MVS5, dva1()).targets, [xcf(2), xcf(4)]);
    for ends in &connections {
        let holder = cluster.holder(*ends);
        let expected = holder.map_or(Answer::Reset, Answer::Served);
        assert_eq!(cluster.answer(*ends, 50), expected);
    }
    cluster.nodes[MVS1].as_mut().unwrap().incarnation = 1000;
    cluster.order(MVS1, |vipa, now| vipa.join_group(now, 1000));
    cluster.run(2000);
    assert_eq!(cluster.owners(dva1()), [MVS1]);
    assert_eq!(cluster.dvipa(MVS1, dva1()).targets, [xcf(1), xcf(2), xcf(4)]);
    assert_eq!(cluster.crt(MVS1, dva1()), cluster.truth(dva1()));
}

/// WEIGHTEDACTIVE: active connections follow the weights, also after a takeover.
#[test]
fn weights_are_followed() {
    let mut images = figure4_images();
    let weights = Weights([(xcf(2), 30), (xcf(4), 10)].into());
    for index in [MVS1, MVS5] {
        let distribute = images[index].definitions.distributes.iter_mut().find(|one| one.address == dva1()).unwrap();
        distribute.method = Method::WeightedActive(weights.clone());
        distribute.targets = Targets::List(vec![xcf(2), xcf(4)]);
    }
    let mut cluster = Cluster::new(images, 9);
    cluster.start_all();
    let count = |cluster: &Cluster| [MVS2, MVS4].map(|index| cluster.node(index).held.len());
    (0..20).for_each(|port| assert!(cluster.connect(to_a(100 + port), 1).unwrap() < 5));
    assert_eq!(count(&cluster), [15, 5]);
    cluster.kill(MVS1);
    cluster.run(200);
    (0..20).for_each(|port| assert!(cluster.connect(to_a(200 + port), 1).unwrap() < 5));
    assert_eq!(count(&cluster), [30, 10]);
}

/// R8: two stacks open connections from the DVIPA to the same server: never from the same port;
/// across a takeover and a partition.
#[test]
fn ports_are_leased() {
    let mut cluster = figure4();
    let server: SocketAddr = client(7000);
    let open = |cluster: &mut Cluster, index: usize| {
        let lease = |cluster: &mut Cluster| cluster.order(index, |vipa, now| vipa.lease_port(now, dva1(), server));
        let mut port = lease(cluster);
        if port == PortLease::Wait {
            cluster.run(50);
            port = lease(cluster);
        }
        let PortLease::Port(port) = port else { panic!("{index}: {port:?}") };
        let ends = (SocketAddr::new(dva1(), port), server);
        assert_eq!(cluster.holder(ends), None, "{port} twice");
        cluster.open_outbound(index, ends, u32::from(port));
        cluster.run(5);
    };
    for _ in 0..100 {
        [MVS1, MVS2, MVS4].into_iter().for_each(|index| open(&mut cluster, index));
    }
    assert_eq!(cluster.crt(MVS1, dva1()), cluster.truth(dva1()), "F8.164");
    cluster.kill(MVS1);
    cluster.run(200);
    for _ in 0..100 {
        [MVS2, MVS4].into_iter().for_each(|index| open(&mut cluster, index));
    }
    assert_eq!(cluster.node(MVS5).vipa.leases().len(), 2 * 200usize.div_ceil(64));
    cluster.start(MVS1);
    cluster.run(1000);
    for (a, b) in [(MVS1, MVS4), (MVS1, MVS2), (MVS5, MVS4), (MVS5, MVS2), (MVS3, MVS4), (MVS3, MVS2)] {
        cluster.cut(a, b, true);
    }
    cluster.run(2000);
    // MVS1 and MVS5 are on one side; the stacks of the other one have no router and must wait.
    for _ in 0..100 {
        open(&mut cluster, MVS1);
    }
    let beyond = cluster.order(MVS1, |vipa, now| vipa.lease_port(now, client(1).ip(), server));
    assert_eq!(beyond, PortLease::Any, "no DVIPA");
}

/// R15: whatever the router's tables lost or got wrong, the audit repairs; in both directions.
#[test]
fn the_audit_repairs_what_has_drifted() {
    let mut cluster = figure4();
    (1..=30).for_each(|port| assert!(cluster.connect(to_a(port), 1).unwrap() < 5));
    for random in 0..40u64 {
        let spoilt = cluster.order(MVS1, |vipa, _| vipa.spoil((random << 8) | (random % 2) | (random << 32)));
        assert!(spoilt);
    }
    assert_ne!(cluster.crt(MVS1, dva1()), cluster.truth(dva1()));
    cluster.run(25_000);
    for (owner, dvipa) in [(MVS1, dva1()), (MVS5, dvb1())] {
        assert_eq!(cluster.crt(owner, dvipa), cluster.truth(dvipa), "I9");
    }
    assert!(cluster.nodes.iter().flatten().any(|node| node.vipa.counters().repaired > 0));
    // And where nothing is wrong it says nothing.
    let repaired =
        |cluster: &Cluster| cluster.nodes.iter().flatten().map(|node| node.vipa.counters().repaired).sum::<u64>();
    let before = repaired(&cluster);
    cluster.run(60_000);
    assert_eq!(repaired(&cluster), before);
}

/// A stack with the name of one that runs is refused, in both logs; the running one goes on.
#[test]
fn a_name_is_given_once() {
    let mut images = figure4_images();
    images.push(image(6, true, images[MVS1].definitions.clone(), vec![]));
    images[5].name = "mvs1";
    images[5].definitions = Definitions::default();
    let mut cluster = Cluster::new(images, 3);
    (0..5).for_each(|index| cluster.start(index));
    cluster.run(1000);
    cluster.start(5);
    cluster.run(1000);
    let why = "the name mvs1 is taken by the stack at 192.0.2.1".to_owned();
    assert!(cluster.node(5).refused.as_ref().is_some_and(|refused| refused.contains(&why)));
    let logged = |index: usize, wanted: &Event| cluster.events.contains(&(index, wanted.clone()));
    assert!(logged(MVS1, &Event::Refused { stack: "192.0.2.6".into(), why: why.clone() }));
    assert!(cluster.events.iter().any(|(index, event)| *index == 5 && matches!(event, Event::RefusedBy { .. })));
    assert_eq!(cluster.owners(dva1()), [MVS1]);
    assert!(cluster.dvipa(MVS1, dva1()).targets.contains(&xcf(2)));
    assert!(cluster.node(5).home.is_empty());
}

/// A rank is given once for each DVIPA: who claims it second does not count, and both logs say so.
#[test]
fn a_rank_is_given_once() {
    let mut images = figure4_images();
    images.push(image(6, true, Definitions { defines: vec![define(dva1())], ..Definitions::default() }, vec![]));
    let mut cluster = Cluster::new(images, 3);
    (0..5).for_each(|index| cluster.start(index));
    cluster.run(1000);
    cluster.start(5);
    cluster.run(1000);
    let refused = Event::RankRefused { dvipa: dva1(), rank: 255, refused: "MVS6".into(), holder: "MVS1".into() };
    assert!(cluster.events.contains(&(MVS1, refused.clone())) && cluster.events.contains(&(5, refused)));
    assert_eq!(cluster.owners(dva1()), [MVS1]);
    // Nor when the rank's holder dies: its backup does.
    cluster.kill(MVS1);
    cluster.run(200);
    assert_eq!(cluster.owners(dva1()).len(), 1);
    // Loaded at run time it is refused whole.
    let mut definitions = cluster.images[MVS2].definitions.clone();
    definitions.backups.push(backup(dva1(), 10));
    let result = cluster.order(MVS2, |vipa, now| vipa.redefine(now, definitions));
    assert_eq!(result, Err(Refusal::Rank { dvipa: dva1(), rank: 10, stack: "MVS5".into() }));
}

/// QUIESCE of one server: others on its port, and its connections, go on (I14).
#[test]
fn one_server_is_quiesced() {
    let mut cluster = figure4();
    let connection = to_a(1);
    cluster.connect(connection, 1).unwrap();
    let server = Quiesce::Server { address: Some(dva1()), port: 60 };
    cluster.order(MVS2, |vipa, now| vipa.quiesce(now, server));
    cluster.run(50);
    let node = &cluster.node(MVS2).vipa;
    assert!(node.is_server_quiesced(Some(dva1()), 60) && !node.is_server_quiesced(Some(dvb1()), 60));
    let served: BTreeSet<usize> = (10..20).map(|port| cluster.connect(to_a(port), 1).unwrap()).collect();
    assert_eq!(served, BTreeSet::from([MVS1, MVS4]));
    // APP B of the same image, on the same port, is another server.
    let served: BTreeSet<usize> = (10..20).map(|port| cluster.connect(to_b(port), 1).unwrap()).collect();
    assert_eq!(served, BTreeSet::from([MVS2, MVS3, MVS5]));
    cluster.order(MVS2, |vipa, now| vipa.resume(now, server));
    cluster.run(50);
    let served: BTreeSet<usize> = (30..40).map(|port| cluster.connect(to_a(port), 1).unwrap()).collect();
    assert_eq!(served, BTreeSet::from([MVS1, MVS2, MVS4]));
}

/// DISPLAY SYSPLEX: every stack tells the same of every stack, before and after a takeover.
#[test]
fn every_stack_tells_the_same_of_the_sysplex() {
    fn parts(cluster: &Cluster, index: usize) -> Vec<(String, VipaStatus, u8)> {
        let all = cluster.node(index).vipa.sysplex();
        let dvipa = all.into_iter().find(|dvipa| dvipa.address == dva1()).unwrap();
        assert_eq!(dvipa.prefix, 26);
        dvipa.stacks.into_iter().map(|stack| (stack.name, stack.status, stack.rank)).collect()
    }
    let mut cluster = figure4();
    let part = |name: &str, status, rank| (name.to_owned(), status, rank);
    for index in 0..5 {
        let expected = [
            part("MVS1", VipaStatus::Active, 255),
            part("MVS5", VipaStatus::Backup, 10),
            part("MVS2", VipaStatus::None, 0),
            part("MVS4", VipaStatus::None, 0),
        ];
        assert_eq!(parts(&cluster, index), expected, "as stack {index} sees it");
        assert_eq!(cluster.node(index).vipa.members().len(), 5);
    }
    cluster.kill(MVS1);
    cluster.run(1000);
    for index in 1..5 {
        // MVS5's own list: XCF2, XCF3, XCF4 (D5).
        let expected = [
            part("MVS5", VipaStatus::Active, 10),
            part("MVS2", VipaStatus::None, 0),
            part("MVS3", VipaStatus::None, 0),
            part("MVS4", VipaStatus::None, 0),
        ];
        assert_eq!(parts(&cluster, index), expected, "as stack {index} sees it");
        let names: Vec<String> = cluster.node(index).vipa.members().into_iter().map(|member| member.name).collect();
        assert_eq!(names, ["MVS2", "MVS3", "MVS4", "MVS5"]);
    }
}

/// z/OS's messages of a takeover, a takeback, and of leaving and joining the group, each where it belongs.
#[test]
fn events_have_zos_messages() {
    let mut cluster = figure4();
    let told = |cluster: &mut Cluster, index: usize| -> Vec<String> {
        let events = std::mem::take(&mut cluster.events);
        events.iter().filter(|(who, _)| *who == index).flat_map(|(_, event)| event.messages()).collect()
    };
    let joined = told(&mut cluster, MVS1);
    assert!(joined.contains(&"EZD1176I TCPIP HAS SUCCESSFULLY JOINED THE TCP/IP SYSPLEX GROUP EZBTCPCS".to_owned()));
    assert!(joined.iter().any(|line| line.starts_with("EZD1214I")), "{joined:?}");
    assert!(!joined.iter().any(|line| line.starts_with("EZZ83") || line.starts_with("EZD1192I")), "{joined:?}");
    cluster.kill(MVS1);
    cluster.run(1000);
    assert_eq!(told(&mut cluster, MVS5), ["EZZ8301I VIPA 203.0.113.1 TAKEN OVER FROM TCPIP ON MVS1"]);
    cluster.start(MVS1);
    cluster.run(2000);
    let events = cluster.events.clone();
    let back = told(&mut cluster, MVS1);
    assert!(back.contains(&"EZZ8302I VIPA 203.0.113.1 TAKEN BACK FROM TCPIP ON MVS5".to_owned()), "{back:?}");
    let given = events.iter().filter(|(who, _)| *who == MVS5).flat_map(|(_, event)| event.messages());
    assert_eq!(given.collect::<Vec<_>>(), ["EZZ8303I VIPA 203.0.113.1 GIVEN TO TCPIP ON MVS1"]);
    cluster.order(MVS1, |vipa, now| vipa.leave_group(now));
    cluster.run(2000);
    let left = told(&mut cluster, MVS1);
    assert_eq!(left, ["EZZ8304I VIPA 203.0.113.1 SURRENDERED TO TCPIP ON MVS5"]);
    assert!(!cluster.node(MVS1).vipa.in_group() && cluster.node(MVS1).vipa.members().is_empty());
    cluster.order(MVS1, |vipa, now| vipa.join_group(now, 0));
    cluster.run(2000);
    let again = told(&mut cluster, MVS1);
    assert!(again.iter().any(|line| line.starts_with("EZD1192I")), "{again:?}");
}

/// An orderly stop ends outside the group as well, and while the group is being left.
#[test]
fn a_stack_outside_the_group_stops() {
    let mut cluster = figure4();
    cluster.order(MVS1, |vipa, now| vipa.leave_group(now));
    cluster.run(500);
    assert!(!cluster.node(MVS1).left);
    cluster.order(MVS1, |vipa, now| vipa.leave(now));
    assert!(cluster.node(MVS1).left);
    cluster.order(MVS5, |vipa, now| {
        vipa.leave_group(now);
        vipa.leave(now);
    });
    cluster.run(2000);
    assert!(cluster.node(MVS5).left);
}
