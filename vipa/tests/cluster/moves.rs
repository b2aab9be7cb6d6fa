//! DVIPAs that applications make and that move (D4, Figures 11 and 12), and the conflict matrix.

use std::net::{IpAddr, SocketAddr};

use vipa::status::{VipaOrigin, VipaStatus};
use vipa::{Conflict, Creation, Definitions, Event, Outcome, Range, Refusal, Targets};

use crate::fixture::*;
use crate::harness::{Answer, Cluster, Ends, client, ip};

fn moving() -> IpAddr {
    ip("203.0.113.200")
}

fn to_moving(port: u16) -> Ends {
    (SocketAddr::new(moving(), 80), client(port))
}

/// Three linked stacks with the same VIPARANGE, and one without a link.
fn ranges(disruptive: bool) -> Cluster {
    let range = Range { address: ip("203.0.113.192"), prefix: 26, disruptive };
    let definitions = Definitions { ranges: vec![range], ..Definitions::default() };
    let mut images: Vec<_> = (1..=3).map(|number| image(number, true, definitions.clone(), vec![])).collect();
    images.push(image(4, false, definitions, vec![]));
    let mut cluster = Cluster::new(images, 11);
    cluster.start_all();
    cluster
}

/// An application binds the address and listens.
fn bind(cluster: &mut Cluster, index: usize) -> Result<Outcome, Conflict> {
    let outcome = cluster.order(index, |vipa, now| vipa.create(now, moving(), Creation::Bind));
    if outcome.is_ok() {
        cluster.listen(index, Some(moving()), 80);
    }
    cluster.run(50);
    outcome
}

/// D4, F11.500-510: a bind inside the range makes the DVIPA, and the stack advertises it.
#[test]
fn a_bind_makes_the_dvipa() {
    let mut cluster = ranges(false);
    assert_eq!(cluster.connect(to_moving(1), 1), None, "nobody has it");
    assert_eq!(bind(&mut cluster, MVS1), Ok(Outcome::New));
    assert_eq!(cluster.owners(moving()), [MVS1]);
    assert_eq!(cluster.routes[&moving()], MVS1);
    assert_eq!(cluster.connect(to_moving(1), 1), Some(MVS1));
    let status = cluster.dvipa(MVS1, moving());
    assert_eq!((status.status, status.origin, status.prefix), (VipaStatus::Active, VipaOrigin::RangeBind, 26));
    // Outside the range, and on a stack that cannot own it.
    let create = |cluster: &mut Cluster, index, address| {
        cluster.order(index, |vipa, now| vipa.create(now, address, Creation::Bind))
    };
    assert_eq!(create(&mut cluster, MVS1, ip("203.0.113.1")), Err(Conflict::NotInRange));
    assert_eq!(create(&mut cluster, MVS4, moving()), Err(Conflict::Unable));
    // The last socket is closed and the last connection ends: the DVIPA goes.
    cluster.unlisten(MVS1, Some(moving()), 80);
    cluster.run(50);
    assert_eq!(cluster.answer(to_moving(1), 20), Answer::Served(MVS1), "the connection goes on");
    cluster.close(MVS1, to_moving(1));
    cluster.run(50);
    assert_eq!(cluster.routes.get(&moving()), None);
    assert_eq!(cluster.owners(moving()), []);
    cluster.run(5000);
    assert_eq!(cluster.node(MVS1).home.get(&moving()), None);
    // And it can be made again.
    assert_eq!(bind(&mut cluster, MVS2), Ok(Outcome::New));
    assert_eq!(cluster.connect(to_moving(2), 2), Some(MVS2));
}

/// F11.500-510, F12.520-528, F12.chain, I17: ownership moves twice; connections of all three owners
/// go on, new ones go to the last only.
#[test]
fn a_dvipa_moves_twice() {
    let mut cluster = ranges(false);
    for (index, port) in [(MVS1, 1), (MVS2, 2), (MVS3, 3)] {
        assert_eq!(bind(&mut cluster, index), Ok(Outcome::New));
        assert_eq!(cluster.owners(moving()), [index]);
        assert_eq!(cluster.routes[&moving()], index);
        assert_eq!(cluster.connect(to_moving(port), 7), Some(index));
        for (earlier, port) in [(MVS1, 1), (MVS2, 2), (MVS3, 3)].into_iter().filter(|(earlier, _)| *earlier <= index) {
            assert_eq!(cluster.answer(to_moving(port), 20), Answer::Served(earlier));
        }
    }
    assert_eq!(cluster.crt(MVS3, moving()), cluster.truth(moving()));
    assert!(cluster.node(MVS1).home[&moving()], "in the home list, not advertised");
    // After the grace as well.
    cluster.run(5000);
    assert_eq!(cluster.answer(to_moving(1), 20), Answer::Served(MVS1));
    assert_eq!(cluster.dvipa(MVS1, moving()).status, VipaStatus::Moving);
    // The first one's last connection ends, and nobody listens there any more: it forgets the address.
    cluster.unlisten(MVS1, Some(moving()), 80);
    cluster.close(MVS1, to_moving(1));
    cluster.run(50);
    assert_eq!(cluster.node(MVS1).home.get(&moving()), None);
    assert_eq!(cluster.answer(to_moving(2), 20), Answer::Served(MVS2));
}

/// F12.chain, R18, promise 1: the owner of a moved DVIPA dies: the one that had it before takes it
/// over, with its own connections and those of third stacks.
#[test]
fn connections_of_earlier_owners_outlive_the_last() {
    let mut cluster = ranges(false);
    for (index, port) in [(MVS1, 1), (MVS2, 2), (MVS3, 3)] {
        bind(&mut cluster, index).unwrap();
        cluster.connect(to_moving(port), 7).unwrap();
    }
    // Only connections are left on MVS1.
    cluster.unlisten(MVS1, Some(moving()), 80);
    cluster.kill(MVS3);
    cluster.run(100);
    assert_eq!(cluster.owners(moving()), [MVS2], "it still listens");
    assert_eq!(cluster.answer(to_moving(1), 50), Answer::Served(MVS1));
    assert_eq!(cluster.answer(to_moving(2), 50), Answer::Served(MVS2));
    assert_eq!(cluster.answer(to_moving(3), 50), Answer::Reset, "R6");
    cluster.kill(MVS2);
    cluster.run(100);
    assert_eq!(cluster.owners(moving()), [MVS1], "it only holds a connection");
    assert_eq!(cluster.answer(to_moving(1), 50), Answer::Served(MVS1));
    assert_eq!(cluster.answer_to_syn(to_moving(9), 9, 50), Answer::Reset, "R20");
    cluster.close(MVS1, to_moving(1));
    cluster.run(50);
    assert_eq!(cluster.owners(moving()), []);
}

/// R11, R12, I4: two stacks make the same DVIPA on both sides of a partition; after it is healed one
/// has it, and no connection is hurt.
#[test]
fn both_sides_of_a_partition_make_it() {
    let mut cluster = ranges(false);
    cluster.cut(MVS1, MVS2, true);
    cluster.cut(MVS1, MVS3, true);
    cluster.cut(MVS1, MVS4, true);
    cluster.run(2000);
    bind(&mut cluster, MVS1).unwrap();
    cluster.connect(to_moving(1), 7).unwrap();
    bind(&mut cluster, MVS2).unwrap();
    assert_eq!(cluster.connect(to_moving(2), 7), Some(MVS2));
    cluster.cuts.clear();
    cluster.run(5000);
    let owners = cluster.owners(moving());
    assert_eq!(owners.len(), 1);
    assert_eq!(cluster.routes[&moving()], owners[0]);
    assert_eq!(cluster.answer(to_moving(1), 50), Answer::Served(MVS1));
    assert_eq!(cluster.answer(to_moving(2), 50), Answer::Served(MVS2));
}

/// The creation conflict matrix (zos.md, section 3), row by row: first and second on the same stack,
/// and on another one.
#[test]
fn the_conflict_matrix_holds() {
    use Creation::{Bind, Ioctl};
    let taken = || Err(Conflict::Taken("MVS1".into()));
    for (first, second, disruptive, same, other) in [
        (Bind, Bind, false, Ok(Outcome::Here), Ok(Outcome::New)),
        (Bind, Bind, true, Ok(Outcome::Here), taken()),
        (Bind, Ioctl, false, Ok(Outcome::Here), Ok(Outcome::New)),
        (Ioctl, Bind, false, Ok(Outcome::Here), taken()),
        (Ioctl, Bind, true, Ok(Outcome::Here), taken()),
        (Ioctl, Ioctl, false, Ok(Outcome::Here), Ok(Outcome::New)),
        (Ioctl, Ioctl, true, Ok(Outcome::Here), Ok(Outcome::New)),
    ] {
        let case = format!("{first:?}/{second:?}, disruptive: {disruptive}");
        let mut cluster = ranges(disruptive);
        let create = |cluster: &mut Cluster, index, how| {
            let outcome = cluster.order(index, |vipa, now| vipa.create(now, moving(), how));
            cluster.run(50);
            outcome
        };
        assert_eq!(create(&mut cluster, MVS1, first), Ok(Outcome::New), "{case}");
        cluster.listen(MVS1, Some(moving()), 80);
        cluster.connect(to_moving(1), 7).unwrap();
        assert_eq!(create(&mut cluster, MVS1, second), same, "{case}");
        assert_eq!(create(&mut cluster, MVS2, second), other, "{case}");
        let owner = if other.is_ok() { MVS2 } else { MVS1 };
        assert_eq!(cluster.owners(moving()), [owner], "{case}");
        // What is taken away breaks its connections; what moves keeps them.
        let broken = second == Ioctl && (first == Bind || disruptive);
        assert_eq!(cluster.holder(to_moving(1)), (!broken).then_some(MVS1), "{case}");
    }
    // VIPADEFINE or VIPABACKUP: only the stack that defines it may bind it.
    let mut cluster = chain();
    let create = |cluster: &mut Cluster, index, how| cluster.order(index, |vipa, now| vipa.create(now, dva1(), how));
    assert_eq!(create(&mut cluster, MVS1, Bind), Ok(Outcome::Here));
    assert_eq!(create(&mut cluster, MVS1, Ioctl), Err(Conflict::Defined("MVS1".into())));
    assert_eq!(create(&mut cluster, MVS2, Ioctl), Err(Conflict::Defined("MVS2".into())));
    let range = Range { address: dva1(), prefix: 24, disruptive: false };
    let fifth = image(5, true, Definitions { ranges: vec![range], ..Definitions::default() }, vec![]);
    let mut images: Vec<_> = cluster.images.drain(..).collect();
    // A target may bind it: see below.
    images[MVS1].definitions.distributes[0].targets = Targets::List((1..=4).map(xcf).collect());
    images.push(fifth);
    let mut cluster = Cluster::new(images, 12);
    cluster.start_all();
    for how in [Bind, Ioctl] {
        assert_eq!(create(&mut cluster, MVS5, how), Err(Conflict::Defined("MVS1".into())));
    }
}

/// An application binds while its stack is still looking for the others: the DVIPA comes once they
/// are found.
#[test]
fn a_bind_before_the_group_is_joined_is_kept() {
    let mut cluster = ranges(false);
    bind(&mut cluster, MVS1).unwrap();
    cluster.connect(to_moving(1), 7).unwrap();
    cluster.kill(MVS2);
    cluster.start(MVS2);
    bind(&mut cluster, MVS2).unwrap();
    cluster.run(1000);
    assert_eq!(cluster.owners(moving()), [MVS2]);
    assert_eq!(cluster.answer(to_moving(1), 50), Answer::Served(MVS1));
    assert!(cluster.events.iter().any(|(index, event)| {
        *index == MVS2 && matches!(event, Event::TakingBack { dvipa, .. } if *dvipa == moving())
    }));
}

/// D4: who binds while it is still looking for the others comes second, whatever its XCF address: it takes the
/// DVIPA, or leaves it where it is if the range is DISRUPTIVE or an ioctl made it, and says so.
#[test]
fn a_bind_before_the_group_is_joined_comes_second() {
    for (first, second) in [(MVS1, MVS2), (MVS2, MVS1)] {
        for (how, disruptive) in [(Creation::Bind, false), (Creation::Bind, true), (Creation::Ioctl, false)] {
            let case = format!("{first} then {second}, {how:?}, disruptive: {disruptive}");
            let mut cluster = ranges(disruptive);
            cluster.order(first, |vipa, now| vipa.create(now, moving(), how)).unwrap();
            cluster.listen(first, Some(moving()), 80);
            cluster.run(50);
            cluster.connect(to_moving(1), 7).unwrap();
            cluster.kill(second);
            cluster.start(second);
            bind(&mut cluster, second).unwrap();
            cluster.run(5000);
            let moves = how == Creation::Bind && !disruptive;
            let owner = if moves { second } else { first };
            assert_eq!(cluster.owners(moving()), [owner], "{case}");
            assert_eq!(cluster.answer(to_moving(1), 50), Answer::Served(first), "{case}");
            assert_eq!(cluster.connect(to_moving(2), 7), Some(owner), "{case}");
            let name = cluster.images[first].name;
            let why = format!("an application of {name} has it");
            let refused = Event::BindRefused { dvipa: moving(), why };
            assert_eq!(cluster.events.contains(&(second, refused)), !moves, "{case}");
            assert_eq!(cluster.node(second).home.contains_key(&moving()), moves, "{case}");
        }
    }
}

/// R12: both sides of a partition make a DVIPA of a DISRUPTIVE range: one keeps it, and the other one's connections
/// go on.
#[test]
fn a_disruptive_dvipa_made_twice_has_one_owner() {
    let mut cluster = ranges(true);
    for other in [MVS2, MVS3, MVS4] {
        cluster.cut(MVS1, other, true);
    }
    cluster.run(2000);
    for (index, port) in [(MVS1, 1), (MVS2, 2)] {
        bind(&mut cluster, index).unwrap();
        assert_eq!(cluster.connect(to_moving(port), 7), Some(index));
    }
    cluster.cuts.clear();
    cluster.run(5000);
    let owner = cluster.owners(moving())[0];
    assert_eq!(cluster.owners(moving()).len(), 1);
    let refused: Vec<usize> = cluster
        .events
        .iter()
        .filter_map(|(index, event)| matches!(event, Event::BindRefused { .. }).then_some(*index))
        .collect();
    assert_eq!(refused, [if owner == MVS1 { MVS2 } else { MVS1 }]);
    for (index, port) in [(MVS1, 1), (MVS2, 2)] {
        assert_eq!(cluster.answer(to_moving(port), 50), Answer::Served(index));
    }
    assert_eq!(cluster.connect(to_moving(3), 7), Some(owner));
}

/// F6.124-130: a target binds a DVIPA that is distributed to it: it is its server, though a VIPARANGE of its own
/// has the address too; with a link and without one, while the group is still looked for and afterwards.
#[test]
fn a_target_binds_what_its_range_covers() {
    let range = Range { address: dva1(), prefix: 24, disruptive: false };
    let mut images = figure4_images();
    for target in [MVS2, MVS4] {
        images[target].definitions.ranges.push(range);
        images[target].listeners.clear();
    }
    images[MVS4].linked = true;
    let mut cluster = Cluster::new(images, 13);
    (0..5).for_each(|index| cluster.start(index));
    let bind = |cluster: &mut Cluster, index, how| cluster.order(index, |vipa, now| vipa.create(now, dva1(), how));
    for target in [MVS2, MVS4] {
        assert!(bind(&mut cluster, target, Creation::Bind).is_ok());
        cluster.listen(target, Some(dva1()), 60);
    }
    cluster.run(1000);
    assert_eq!(cluster.dvipa(MVS1, dva1()).targets, [xcf(1), xcf(2), xcf(4)]);
    assert_eq!(cluster.owners(dva1()), [MVS1]);
    for target in [MVS2, MVS4] {
        assert_eq!(cluster.dvipa(target, dva1()).origin, VipaOrigin::Target);
        cluster.unlisten(target, Some(dva1()), 60);
        assert_eq!(bind(&mut cluster, target, Creation::Bind), Ok(Outcome::Here));
        assert!(bind(&mut cluster, target, Creation::Ioctl).is_err(), "an ioctl makes, and it is there");
    }
    assert!(!cluster.events.iter().any(|(_, event)| matches!(event, Event::BindRefused { .. })));
}

/// The conflict matrix, bind before VIPADEFINE or VIPABACKUP: OBEYFILE is refused whole, on the application's stack
/// and on any other; a profile that says so when its stack starts does not count as long as the application has
/// the DVIPA.
#[test]
fn what_an_application_has_made_is_not_defined() {
    let mut cluster = ranges(false);
    bind(&mut cluster, MVS1).unwrap();
    cluster.connect(to_moving(1), 7).unwrap();
    let made = || Err(Refusal::Made { dvipa: moving(), stack: "MVS1".into() });
    let before = cluster.images[MVS2].definitions.clone();
    let defining = Definitions { defines: vec![define(moving())], ..before.clone() };
    let backing = Definitions { backups: vec![backup(moving(), 10)], ..before };
    for index in [MVS1, MVS2] {
        for definitions in [&defining, &backing] {
            let result = cluster.order(index, |vipa, now| vipa.redefine(now, definitions.clone()));
            assert_eq!(result, made());
        }
    }
    cluster.kill(MVS3);
    cluster.images[MVS3].definitions = defining.clone();
    cluster.start(MVS3);
    cluster.run(5000);
    assert_eq!(cluster.owners(moving()), [MVS1]);
    assert_eq!(cluster.dvipa(MVS1, moving()).origin, VipaOrigin::RangeBind);
    let refused = Event::DefinitionRefused { dvipa: moving(), refused: "MVS3".into(), holder: "MVS1".into() };
    assert!([MVS1, MVS3].into_iter().all(|index| cluster.events.contains(&(index, refused.clone()))));
    // Once the application is gone it does, without a gap for its connections.
    cluster.unlisten(MVS1, Some(moving()), 80);
    cluster.run(1000);
    assert_eq!(cluster.owners(moving()), [MVS3]);
    assert_eq!(cluster.answer(to_moving(1), 50), Answer::Served(MVS1));
}

/// R18, I17: the DVIPA's last socket on its old owner is closed while another stack takes it, and that one
/// dies in the middle: nobody has it any more, and nobody keeps it.
#[test]
fn nobody_keeps_what_nobody_may_have() {
    let mut cluster = ranges(false);
    bind(&mut cluster, MVS1).unwrap();
    // Its report is waited for.
    cluster.pause(MVS3);
    bind(&mut cluster, MVS2).unwrap();
    assert_eq!(cluster.routes[&moving()], MVS1, "the old owner routes until the new one is ready");
    cluster.unlisten(MVS1, Some(moving()), 80);
    cluster.run(50);
    cluster.kill(MVS2);
    cluster.run(100);
    assert_eq!(cluster.routes.get(&moving()), None);
    cluster.resume(MVS3);
    cluster.run(5000);
    assert_eq!(cluster.owners(moving()), []);
    assert_eq!(cluster.node(MVS1).home.get(&moving()), None);
    assert_eq!(bind(&mut cluster, MVS3), Ok(Outcome::New));
    assert_eq!(cluster.owners(moving()), [MVS3]);
}
