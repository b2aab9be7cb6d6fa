//! Faults at random, then calm: whatever happened, the cluster ends in order.

use proptest::prelude::*;

use crate::fixture::*;
use crate::harness::{ACK, Answer, Cluster, Ends, Weather, segment};

/// Counts of what a run did, so that no fault is believed tested that never occurred.
#[derive(Debug, Default)]
struct Coverage {
    kills: u32,
    stops: u32,
    pauses: u32,
    cuts: u32,
    flaps: u32,
    connected: u32,
}

/// A run of `steps` random steps. Safety is asserted by the harness all the while: I1, I6, I7.
fn storm(cluster: &mut Cluster, steps: u32, watchful: bool) -> Coverage {
    let mut coverage = Coverage::default();
    let mut port = 1000;
    // What clients know as established: nobody goes on after a SYN that was not answered.
    let mut opened: Vec<Ends> = Vec::new();
    cluster.watchful = watchful;
    for _ in 0..steps {
        let index = cluster.random(5) as usize;
        let other = cluster.random(5) as usize;
        let runs = cluster.nodes[index].as_ref().is_some_and(|node| !node.paused);
        let app = if matches!(index, MVS3 | MVS5) { (Some(dvb1()), 60) } else { (Some(dva1()), 60) };
        match cluster.random(40) {
            0 if runs => {
                cluster.kill(index);
                coverage.kills += 1;
            }
            1 if runs && cluster.cuts.is_empty() => {
                cluster.stop(index);
                coverage.stops += 1;
            }
            2 | 3 if cluster.nodes[index].is_none() => cluster.start(index),
            4 if runs => {
                cluster.pause(index);
                coverage.pauses += 1;
            }
            5 | 6 => {
                if cluster.nodes[index].as_ref().is_some_and(|node| node.paused) {
                    cluster.resume(index);
                }
            }
            7 if index != other => {
                let one_way = cluster.random(2) == 0;
                cluster.cuts.insert((index, other));
                if !one_way {
                    cluster.cuts.insert((other, index));
                }
                coverage.cuts += 1;
            }
            8 | 9 => cluster.cuts.clear(),
            10 if runs => {
                cluster.unlisten(index, app.0, app.1);
                coverage.flaps += 1;
            }
            11 if runs => cluster.listen(index, app.0, app.1),
            12 if runs => {
                let ends = (std::net::SocketAddr::new(dva1(), 40_000 + port), to_a(80).1);
                if cluster.node(index).home.contains_key(&dva1()) {
                    port += 1;
                    cluster.open_outbound(index, ends, u32::from(port));
                }
            }
            13..=15 if runs => {
                let held: Vec<Ends> = cluster.node(index).held.keys().copied().collect();
                if !held.is_empty() {
                    let which = cluster.random(held.len() as u64) as usize;
                    cluster.close(index, held[which]);
                }
            }
            16..=25 => {
                port += 1;
                let ends = if cluster.random(2) == 0 { to_a(port) } else { to_b(port) };
                if cluster.connect(ends, u32::from(port)).is_some() {
                    coverage.connected += 1;
                    opened.push(ends);
                }
            }
            _ => {
                // A segment of some connection, or of one that has ended.
                let which = cluster.random(opened.len().max(1) as u64) as usize;
                if let Some(ends) = opened.get(which) {
                    cluster.client_sends(&segment(*ends, 9000, ACK));
                }
            }
        }
        let pause = cluster.random(120);
        cluster.run(pause);
    }
    coverage
}

/// Heals everything and gives time.
fn calm(cluster: &mut Cluster) {
    cluster.weather = Weather { loss: 0, doubled: 0, delay: 1 };
    cluster.cuts.clear();
    for index in 0..5 {
        match &cluster.nodes[index] {
            None => cluster.start(index),
            Some(node) if node.paused => cluster.resume(index),
            Some(_) => {}
        }
    }
    for (index, address) in
        [(MVS1, dva1()), (MVS2, dva1()), (MVS4, dva1()), (MVS2, dvb1()), (MVS3, dvb1()), (MVS5, dvb1())]
    {
        cluster.listen(index, Some(address), 60);
    }
    // Beyond the grace of former owners and the life of half-open entries.
    cluster.run(40_000);
}

/// I4, I5, I9, I13, I21 and the state of each stack, once faults have stopped.
fn check(cluster: &mut Cluster) {
    for (address, primary, targets) in [(dva1(), MVS1, [1, 2, 4]), (dvb1(), MVS5, [2, 3, 5])] {
        assert_eq!(cluster.owners(address), [primary], "I4, I5");
        assert_eq!(cluster.routes.get(&address), Some(&primary));
        for index in 0..5 {
            let status = cluster.dvipa(index, address);
            assert_eq!((status.owner, status.complete), (Some(cluster.images[primary].xcf), true));
        }
        assert_eq!(cluster.dvipa(primary, address).targets, targets.map(xcf));
        assert_eq!(cluster.crt(primary, address), cluster.truth(address), "I9");
        for row in cluster.node(primary).vipa.dpt() {
            let entries = cluster.node(primary).vipa.crt();
            let same = |port: u16, target| port == row.port && target == row.target;
            let recount =
                entries.iter().filter(|entry| entry.dvipa == row.dvipa && same(entry.port, entry.target)).count();
            assert_eq!(row.active as usize, recount, "I21");
        }
        for (ends, holder) in cluster.truth(address) {
            assert_eq!(cluster.answer(ends, 20), Answer::Served(holder), "{ends:?}");
        }
    }
    for index in 0..5 {
        assert_eq!(cluster.node(index).vipa.waiting(), (0, 0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// R11, R12, R13, R14, R18; I1, I4 to I7, I9, I13, I21: faults of all kinds, alone and together,
    /// on a network that loses, doubles, delays and reorders; then calm.
    #[test]
    fn whatever_happens_the_cluster_ends_in_order(seed: u64, loss in 0u64..15, doubled in 0u64..15, delay in 1u64..30, watchful: bool) {
        let mut cluster = Cluster::new(figure4_images(), seed);
        cluster.start_all();
        cluster.weather = Weather { loss, doubled, delay };
        storm(&mut cluster, 200, watchful);
        calm(&mut cluster);
        check(&mut cluster);
    }
}

/// The storm does what it says.
#[test]
fn every_fault_occurs() {
    let mut cluster = Cluster::new(figure4_images(), 1);
    cluster.start_all();
    let Coverage { kills, stops, pauses, cuts, flaps, connected } = storm(&mut cluster, 2000, true);
    assert!([kills, stops, pauses, cuts, flaps, connected].iter().all(|count| *count > 3));
}

/// I25: the same seed gives the same run.
#[test]
fn a_run_repeats() {
    let run = || {
        let mut cluster = Cluster::new(figure4_images(), 77);
        cluster.start_all();
        cluster.weather = Weather { loss: 10, doubled: 10, delay: 20 };
        storm(&mut cluster, 150, true);
        (cluster.now, cluster.events)
    };
    assert_eq!(run(), run());
}
