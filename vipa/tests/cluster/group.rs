//! The sysplex group: joining it alone, being outside, and how many DVIPAs it may have.

use vipa::{Conflict, Contact, Creation, Definitions, Event, Outcome, Range, Workload};

use crate::fixture::*;
use crate::harness::{Cluster, ip};

/// JOINGROUP where there is no other stack: what listens is distributed to at once.
#[test]
fn a_stack_alone_joins_again() {
    let mut images = figure4_images();
    images.truncate(1);
    let mut cluster = Cluster::new(images, 6);
    cluster.start_all();
    assert_eq!(cluster.connect(to_a(1), 1), Some(MVS1));
    cluster.order(MVS1, |vipa, now| vipa.leave_group(now));
    cluster.run(500);
    cluster.order(MVS1, |vipa, now| vipa.join_group(now, 0));
    cluster.run(5);
    assert_eq!(cluster.dvipa(MVS1, dva1()).targets, [xcf(1)]);
    assert_eq!(cluster.connect(to_a(2), 1), Some(MVS1));
}

/// Outside the group a stack minds nothing that others do, say, or die of, and has nothing to tell them.
#[test]
fn outside_the_group_nothing_happens() {
    let mut cluster = figure4();
    cluster.order(MVS2, |vipa, now| vipa.leave_group(now));
    cluster.run(500);
    assert_eq!(cluster.node(MVS2).exit, None);
    cluster.events.clear();
    // The host may still watch the others' processes.
    cluster.order(MVS2, |vipa, now| vipa.peer_gone(now, xcf(1), 1));
    cluster.kill(MVS1);
    cluster.run(2000);
    cluster.start(MVS1);
    cluster.run(2000);
    cluster.stop(MVS3);
    let workload = Workload { system: Some([9; 3]), ..Workload::default() };
    cluster.order(MVS2, |vipa, now| vipa.set_workload(now, workload));
    let told: Vec<_> = cluster.events.iter().filter(|(index, _)| *index == MVS2).collect();
    assert!(told.is_empty(), "{told:?}");
    assert_eq!(cluster.node(MVS2).exit, None);
    let vipa = &cluster.node(MVS2).vipa;
    assert!(vipa.peers().iter().all(|peer| peer.contact == Contact::None));
    assert_eq!(vipa.next_deadline(), None);
}

/// Of 1,024 DVIPAs no more are known, whoever makes them: who binds one more is told, and so is every log, once.
#[test]
fn more_dvipas_than_there_is_room_for_are_told() {
    let range = Range { address: ip("203.0.112.0"), prefix: 16, disruptive: false };
    let definitions = Definitions { ranges: vec![range], ..Definitions::default() };
    let images = (1..=2).map(|number| image(number, true, definitions.clone(), vec![])).collect();
    let mut cluster = Cluster::new(images, 7);
    cluster.start_all();
    let bind = |cluster: &mut Cluster, index, number: u16| {
        let [high, low] = number.to_be_bytes();
        let address = std::net::IpAddr::from([203, 0, high, low]);
        cluster.order(index, |vipa, now| vipa.create(now, address, Creation::Bind))
    };
    for number in 0..1023 {
        assert_eq!(bind(&mut cluster, MVS1, number), Ok(Outcome::New));
    }
    // Neither has heard of the other's last.
    assert_eq!(bind(&mut cluster, MVS1, 2000), Ok(Outcome::New));
    cluster.cut(MVS1, MVS2, true);
    assert_eq!(bind(&mut cluster, MVS1, 2001), Err(Conflict::TooMany(1024)));
    assert_eq!(bind(&mut cluster, MVS1, 2002), Err(Conflict::TooMany(1024)));
    let told = |cluster: &Cluster, index: usize| {
        let many = |event: &Event| matches!(event, Event::TooManyDvipas { most: 1024, .. });
        cluster.events.iter().filter(|(who, event)| *who == index && many(event)).count()
    };
    assert_eq!(told(&cluster, MVS1), 1);
    assert_eq!(bind(&mut cluster, MVS2, 3000), Ok(Outcome::New));
    cluster.cut(MVS1, MVS2, false);
    cluster.run(5000);
    assert_eq!((told(&cluster, MVS1), told(&cluster, MVS2)), (1, 1));
}
