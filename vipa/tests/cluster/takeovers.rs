//! Races about who routes: takeover, takeback, sleep, partition, a second failure.

use vipa::status::VipaStatus;

use crate::fixture::*;
use crate::harness::{ACK, Answer, Cluster, SYN, Weather, segment};

/// Connections to DVA1, by port, of those that a stack other than `but` serves.
fn connections_not_on(cluster: &mut Cluster, but: usize) -> Vec<u16> {
    (1000..1030).filter(|port| cluster.connect(to_a(*port), 1) != Some(but)).collect()
}

/// R1: a segment that comes before the connection's NEWCONN is held, not reset, and goes where it
/// belongs once the report is in.
#[test]
fn a_segment_before_its_report_is_held() {
    let mut cluster = figure4();
    let ports = connections_not_on(&mut cluster, MVS1);
    cluster.weather.delay = 30;
    cluster.kill(MVS1);
    for port in &ports {
        cluster.client_sends(&segment(to_a(*port), 9, ACK));
    }
    assert_eq!(cluster.node(MVS5).vipa.waiting().0, 20);
    cluster.run(300);
    for port in ports {
        let holder = cluster.holder(to_a(port)).unwrap();
        assert_eq!(cluster.answer(to_a(port), 100), Answer::Served(holder));
    }
    assert_eq!(cluster.node(MVS5).vipa.counters().reset, 0);
}

/// R1, I8, I24: a stack whose report does not come delays the others by a bounded time; its own
/// connections are dropped, not reset, until it is back.
#[test]
fn a_silent_holder_is_waited_for() {
    let mut cluster = figure4();
    let ports = connections_not_on(&mut cluster, MVS1);
    cluster.pause(MVS4);
    cluster.kill(MVS1);
    cluster.run(1200);
    for port in &ports {
        let holder = cluster.holder(to_a(*port)).unwrap();
        let expected = if holder == MVS4 { Answer::Silence } else { Answer::Served(holder) };
        assert_eq!(cluster.answer(to_a(*port), 700), expected);
    }
    cluster.resume(MVS4);
    cluster.run(500);
    for port in &ports {
        let holder = cluster.holder(to_a(*port)).unwrap();
        assert_eq!(cluster.answer(to_a(*port), 100), Answer::Served(holder));
    }
}

/// R11: the owner stalls, is replaced, and wakes up: it steps down, then takes back in order.
#[test]
fn an_owner_that_slept_steps_down() {
    let mut cluster = figure4();
    let ports = connections_not_on(&mut cluster, MVS1);
    cluster.pause(MVS1);
    cluster.run(1500);
    assert_eq!(cluster.routes[&dva1()], MVS5);
    let new: Vec<u16> = (2000..2006).collect();
    new.iter().for_each(|port| assert!(cluster.connect(to_a(*port), 1).is_some()));
    cluster.resume(MVS1);
    cluster.run(20);
    assert_eq!(cluster.owners(dva1()), [MVS5], "it claims nothing before it knows what has happened");
    cluster.run(1000);
    assert_eq!((cluster.owners(dva1()), cluster.routes[&dva1()]), (vec![MVS1], MVS1));
    for port in ports.into_iter().chain(new) {
        let holder = cluster.holder(to_a(port)).unwrap();
        assert_eq!(cluster.answer(to_a(port), 50), Answer::Served(holder));
    }
    cluster.run(3000);
    assert_eq!(cluster.crt(MVS1, dva1()), cluster.truth(dva1()));
    let silent = |event: &vipa::Event| matches!(event, vipa::Event::Silent { .. });
    assert!(
        !cluster.events.iter().any(|(who, event)| *who == MVS1 && silent(event)),
        "it does not blame the others for its own sleep"
    );
}

/// R11: one that has slept and one that took it for silent hear each other again at different moments. Between them
/// they do not take the DVIPA from one another.
#[test]
fn an_owner_that_slept_takes_back_once() {
    let mut cluster = figure4();
    for _ in 0..50 {
        cluster.pause(MVS1);
        let asleep = 1000 + cluster.random(500);
        cluster.run(asleep);
        assert_eq!(cluster.routes[&dva1()], MVS5);
        let before = cluster.events.len();
        cluster.resume(MVS1);
        cluster.run(1000);
        assert_eq!((cluster.owners(dva1()), cluster.routes[&dva1()]), (vec![MVS1], MVS1));
        let claims = cluster.events[before..].iter().filter(|(_, event)| match event {
            vipa::Event::Claimed { dvipa, .. } | vipa::Event::TakingBack { dvipa, .. } => *dvipa == dva1(),
            _ => false,
        });
        assert_eq!(claims.count(), 1);
    }
}

/// R11: an owner that its host does not let run for a while is not taken for silent; one that it never
/// lets run is, in the end.
#[test]
fn an_owner_that_waits_for_a_processor_is_waited_for() {
    let mut cluster = figure4();
    let ports = connections_not_on(&mut cluster, MVS1);
    let before = cluster.events.len();
    cluster.starve(MVS1);
    cluster.run(3000);
    cluster.resume(MVS1);
    cluster.run(1000);
    assert_eq!(cluster.events[before..], []);
    assert_eq!(cluster.owners(dva1()), [MVS1]);
    for port in ports {
        let holder = cluster.holder(to_a(port)).unwrap();
        assert_eq!(cluster.answer(to_a(port), 50), Answer::Served(holder));
    }
    cluster.starve(MVS1);
    cluster.run(4500);
    assert_eq!(cluster.routes[&dva1()], MVS1);
    cluster.run(1000);
    assert_eq!(cluster.routes[&dva1()], MVS5);
}

/// R12, I4: both sides of a partition own; once it heals there is one owner, it is the primary
/// again, and no connection of either side was lost.
#[test]
fn a_partition_heals() {
    let mut cluster = figure4();
    let before = connections_not_on(&mut cluster, MVS1);
    for (a, b) in [(MVS1, MVS4), (MVS1, MVS5), (MVS1, MVS3), (MVS2, MVS4), (MVS2, MVS5), (MVS2, MVS3)] {
        cluster.cut(a, b, true);
    }
    cluster.run(2500);
    assert_eq!(cluster.owners(dva1()), [MVS1, MVS5]);
    assert_eq!(cluster.routes[&dva1()], MVS5);
    let after: Vec<u16> = (2000..2004).filter(|port| cluster.connect(to_a(*port), 1).is_some()).collect();
    assert_eq!(after.len(), 4);
    let at_primary = segment(to_a(3000), 1, SYN);
    cluster.client_sends_to(MVS1, &at_primary);
    cluster.run(50);
    assert!(cluster.holder(to_a(3000)).is_some());
    cluster.cuts.clear();
    cluster.run(2000);
    assert_eq!((cluster.owners(dva1()), cluster.routes[&dva1()]), (vec![MVS1], MVS1));
    for port in before.into_iter().chain(after).chain([3000]) {
        let holder = cluster.holder(to_a(port)).unwrap();
        assert_eq!(cluster.answer(to_a(port), 50), Answer::Served(holder));
    }
    cluster.run(5000);
    assert_eq!(cluster.crt(MVS1, dva1()), cluster.truth(dva1()));
}

/// R12: while only one pair of stacks is cut off from each other, a stack that others still hear
/// keeps what it owns.
#[test]
fn a_stack_that_others_hear_is_not_replaced() {
    let mut cluster = figure4();
    cluster.cut(MVS1, MVS5, true);
    cluster.run(5000);
    assert_eq!((cluster.owners(dva1()), cluster.routes[&dva1()]), (vec![MVS1], MVS1));
    assert_eq!((cluster.owners(dvb1()), cluster.routes[&dvb1()]), (vec![MVS5], MVS5));
    // One direction is enough to be cut off.
    cluster.cut(MVS1, MVS5, false);
    cluster.run(1000);
    cluster.cuts.insert((MVS5, MVS2));
    cluster.run(1000);
    let contact =
        |index: usize, other| cluster.node(index).vipa.peers().iter().find(|peer| peer.xcf == other).unwrap().contact;
    assert_eq!(contact(MVS2, xcf(5)), vipa::Contact::Silent);
    assert_eq!(contact(MVS5, xcf(2)), vipa::Contact::Silent);
}

/// R13: with a fifth of all datagrams lost, doubled and late, the tables end up true.
#[test]
fn tables_converge_over_a_bad_network() {
    let mut cluster = Cluster::new(figure4_images(), 99);
    cluster.weather = Weather { loss: 20, doubled: 20, delay: 40 };
    cluster.start_all();
    cluster.run(3000);
    for port in 1..60 {
        cluster.connect(to_a(port), 1);
    }
    cluster.kill(MVS1);
    cluster.run(3000);
    cluster.start(MVS1);
    cluster.run(5000);
    cluster.weather = Weather { loss: 0, doubled: 0, delay: 1 };
    cluster.run(40_000);
    assert_eq!((cluster.owners(dva1()), cluster.routes[&dva1()]), (vec![MVS1], MVS1));
    assert_eq!(cluster.crt(MVS1, dva1()), cluster.truth(dva1()));
}

/// R16: the router serves connections itself; they survive takeback and takeover.
#[test]
fn a_routers_own_connections_survive() {
    let mut cluster = chain();
    let on = |cluster: &mut Cluster, image: usize| {
        (1..).find(|port| cluster.connect(to_a(*port), 1) == Some(image)).unwrap()
    };
    let at_backup = on(&mut cluster, 1);
    let at_primary = on(&mut cluster, 0);
    assert_eq!(cluster.answer(to_a(at_primary), 10), Answer::Served(0));
    cluster.kill(0);
    cluster.run(50);
    assert_eq!(cluster.routes[&dva1()], 1);
    assert_eq!(cluster.answer(to_a(at_backup), 10), Answer::Served(1));
    assert_eq!(cluster.answer(to_a(at_primary), 50), Answer::Reset);
    cluster.start(0);
    cluster.run(1500);
    assert_eq!(cluster.routes[&dva1()], 0);
    assert_eq!(cluster.answer(to_a(at_backup), 10), Answer::Served(1));
    assert_eq!(cluster.answer_to_syn(to_a(at_backup), 1, 10), Answer::Served(1));
}

/// R17: a takeover while a handshake is under way: it completes.
#[test]
fn a_handshake_survives_the_takeover() {
    let mut cluster = figure4();
    let opened: Vec<u16> = (1..10)
        .filter(|port| {
            cluster.client_sends(&segment(to_a(*port), 9, SYN));
            cluster.run(10);
            cluster.holder(to_a(*port)) != Some(MVS1)
        })
        .collect();
    cluster.kill(MVS1);
    for port in opened {
        let holder = cluster.holder(to_a(port)).unwrap();
        assert_eq!(cluster.answer(to_a(port), 50), Answer::Served(holder));
    }
}

/// R18: the backup dies in the middle of its takeover: the next in rank carries on.
#[test]
fn the_next_in_rank_carries_on() {
    let mut cluster = chain();
    let held: Vec<u16> = (1..40).filter(|port| cluster.connect(to_a(*port), 1) == Some(3)).collect();
    assert!(!held.is_empty());
    cluster.weather.delay = 50;
    cluster.kill(0);
    cluster.run(10);
    assert_eq!(cluster.dvipa(1, dva1()).owner, Some(xcf(2)));
    assert!(!cluster.dvipa(1, dva1()).complete);
    cluster.kill(1);
    cluster.weather.delay = 1;
    cluster.run(500);
    assert_eq!((cluster.owners(dva1()), cluster.routes[&dva1()]), (vec![2], 2));
    for port in held {
        assert_eq!(cluster.answer(to_a(port), 50), Answer::Served(3));
    }
}

/// R18: the primary dies in the middle of its takeback, at whatever moment: the backup goes on.
#[test]
fn a_takeback_that_dies_harms_nobody() {
    for moment in 0..60 {
        let mut cluster = figure4();
        cluster.kill(MVS1);
        cluster.run(100);
        let ports: Vec<u16> = (1..7).collect();
        ports.iter().for_each(|port| assert!(cluster.connect(to_a(*port), 1).is_some()));
        cluster.weather.delay = 10;
        cluster.start(MVS1);
        cluster.run(moment * 2);
        cluster.client_sends(&segment(to_a(50), 1, SYN));
        cluster.run(3);
        cluster.kill(MVS1);
        cluster.run(500);
        assert_eq!((cluster.owners(dva1()), cluster.routes[&dva1()]), (vec![MVS5], MVS5), "{moment}");
        for port in ports {
            let holder = cluster.holder(to_a(port)).unwrap();
            assert_eq!(cluster.answer(to_a(port), 100), Answer::Served(holder), "{moment}");
        }
        assert_eq!(cluster.dvipa(MVS5, dva1()).status, VipaStatus::Active);
        assert!(matches!(cluster.answer_to_syn(to_a(50), 1, 200), Answer::Served(_)), "{moment}");
        assert_eq!(cluster.crt(MVS5, dva1()), cluster.truth(dva1()), "{moment}");
    }
}

/// R18: the backup dies in the middle of the takeback: the primary goes on without it.
#[test]
fn a_takeback_goes_on_without_the_backup() {
    for moment in 0..60 {
        let mut cluster = figure4();
        cluster.kill(MVS1);
        cluster.run(100);
        (1..7).for_each(|port| assert!(cluster.connect(to_a(port), 1).is_some()));
        cluster.weather.delay = 10;
        cluster.start(MVS1);
        cluster.run(moment * 2);
        cluster.kill(MVS5);
        cluster.run(600);
        assert_eq!((cluster.owners(dva1()), cluster.routes[&dva1()]), (vec![MVS1], MVS1), "{moment}");
        assert!(cluster.dvipa(MVS1, dva1()).complete, "nobody waits for the dead: {moment}");
        for port in 1..7 {
            let holder = cluster.holder(to_a(port)).unwrap();
            assert_eq!(cluster.answer(to_a(port), 100), Answer::Served(holder), "{moment}");
        }
        assert_eq!(cluster.crt(MVS1, dva1()), cluster.truth(dva1()), "{moment}");
    }
}

/// R19, R2: a SYN that comes while the new owner still gathers is held and served, and so is one
/// that reaches the old owner when it has stopped to distribute.
#[test]
fn a_new_connection_waits_for_the_takeover() {
    let mut cluster = figure4();
    cluster.weather.delay = 30;
    cluster.kill(MVS1);
    assert!(matches!(cluster.answer_to_syn(to_a(1), 1, 300), Answer::Served(_)));
    cluster.start(MVS1);
    for step in 0..150u16 {
        let ends = to_a(100 + step);
        cluster.client_sends_to(if step % 2 == 0 { MVS5 } else { cluster.routes[&dva1()] }, &segment(ends, 1, SYN));
        cluster.run(4);
    }
    cluster.run(500);
    assert_eq!(cluster.routes[&dva1()], MVS1);
    for step in 0..150 {
        assert!(cluster.holder(to_a(100 + step)).is_some(), "{step}");
    }
}

/// R1, I6: a life that this stack knows by hearsay only may hold connections, even when
/// all who told of it are dead.
#[test]
fn hearsay_outlives_its_teller() {
    let mut cluster = figure4();
    cluster.kill(MVS4);
    cluster.cut(MVS4, MVS5, true);
    cluster.start(MVS4);
    cluster.run(300);
    let port = connections_not_on(&mut cluster, MVS1)
        .into_iter()
        .find(|port| cluster.holder(to_a(*port)) == Some(MVS4))
        .expect("one of thirty");
    for image in [MVS1, MVS2, MVS3] {
        cluster.kill(image);
    }
    cluster.run(100);
    assert_eq!(cluster.routes[&dva1()], MVS5);
    assert_eq!(cluster.answer(to_a(port), 700), Answer::Silence);
    cluster.cut(MVS4, MVS5, false);
    cluster.run(500);
    assert_eq!(cluster.answer(to_a(port), 100), Answer::Served(MVS4));
}

/// R11, I4: a stack falls asleep while it takes a DVIPA back, and whoever routed dies meanwhile: when
/// it wakes up and hears of that, it does not take the route from the one that has claimed since.
#[test]
fn who_slept_over_a_takeback_claims_nothing_first() {
    let mut cluster = figure4();
    cluster.kill(MVS1);
    cluster.run(100);
    assert_eq!(cluster.routes[&dva1()], MVS5);
    cluster.weather.delay = 30;
    cluster.start(MVS1);
    while cluster.node(MVS1).vipa.dvipas().iter().all(|dvipa| dvipa.status != VipaStatus::Moving) {
        cluster.run(1);
    }
    cluster.pause(MVS1);
    // MVS5 goes, and its next life claims: nobody else can.
    cluster.kill(MVS5);
    cluster.start(MVS5);
    cluster.run(3000);
    assert_eq!(cluster.routes[&dva1()], MVS5);
    cluster.resume(MVS1);
    assert_eq!(cluster.routes[&dva1()], MVS5, "it knows nothing yet");
    cluster.run(2000);
    assert_eq!(cluster.routes[&dva1()], MVS1);
    assert_eq!(cluster.owners(dva1()), [MVS1]);
}

/// R11, R12, I4: a primary that was cut off from all falls asleep, and the cut heals meanwhile. When it wakes
/// it claims before it knows that others are back; the route that the other owner withdraws is turned again.
#[test]
fn a_stack_that_wakes_among_others_that_are_back_turns_its_route() {
    for sleep in 100..140 {
        let mut cluster = figure4();
        let others = [MVS1, MVS2, MVS3, MVS4];
        others.iter().for_each(|other| cluster.cut(MVS5, *other, true));
        cluster.run(1000);
        assert_eq!(cluster.owners(dvb1()), [MVS1, MVS5]);
        cluster.pause(MVS5);
        cluster.run(300);
        others.iter().for_each(|other| cluster.cut(MVS5, *other, false));
        cluster.run(sleep * 10);
        cluster.resume(MVS5);
        cluster.run(3000);
        assert_eq!((cluster.owners(dvb1()), cluster.routes.get(&dvb1())), (vec![MVS5], Some(&MVS5)), "{sleep}");
    }
}
