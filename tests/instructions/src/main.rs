//! Hot paths of both cores, to be run under callgrind: the one that the first argument names, for so many
//! times in a call to `measured`. `tests/tests/instructions.rs` does that, and says how many
//! instructions each may take.

#[path = "../../../vipa/benches/fixture/mod.rs"]
mod fixture;
#[path = "../../../stack/benches/fixture/mod.rs"]
mod host;

use fixture::{Cluster, Random, client, data, readdress};
use host::{Bench, MSS};
use stack::Instant;
use vipa::internals::{RoutingTable, TargetTable};
use vipa::{Method, Standby, Weights};

const ENTRIES: u32 = 10_000;
const CONNECTIONS: u32 = 1000;
/// Payload of a segment: how many instructions it takes to copy more depends on the processor.
const LITTLE: usize = 64;

/// What callgrind counts: it is named there.
#[inline(never)]
fn measured(times: u32, operation: &mut dyn FnMut(u32)) {
    for time in 0..times {
        operation(time);
    }
}

/// Takes a path if it is the one that is asked for, and prints how often.
fn path(name: &str, times: u32, mut operation: impl FnMut(u32)) {
    if std::env::args().nth(1).as_deref() == Some(name) {
        // What happens only the first time does not count.
        operation(0);
        operation(1);
        measured(times, &mut operation);
        println!("{times}");
    }
}

fn main() {
    tables();
    choices();
    forwarding();
    segments();
}

fn tables() {
    let now = Instant::from_millis(1);
    let mut table = RoutingTable::new(1);
    assert!((0..ENTRIES).all(|number| table.insert(now, client(number), 1, true)));
    path("CRT lookup", 1000, |time| assert!(table.target(client(time * 7919 % ENTRIES)).is_some()));
    path("CRT remove and insert", 1000, |time| {
        let client = client(time * 7919 % ENTRIES);
        assert!(table.remove(client) && table.insert(now, client, 1, true));
    });
}

fn choices() {
    let mut table = TargetTable::new(64, &Method::RoundRobin, Vec::new());
    path("round robin, 64 targets", 1000, |_| assert!(table.choose().is_some()));
    let weights: Vec<u8> = (0..64).map(|target| 10 + target % 7).collect();
    let mut table = TargetTable::new(64, &Method::default(), weights.clone());
    path("by share, 64 targets", 1000, |_| assert!(table.choose().is_some()));
    let mut table = TargetTable::new(64, &Method::HotStandby(Standby::default()), weights.clone());
    path("hot standby, 64 targets", 1000, |_| assert!(table.choose().is_some()));
    let mut table = TargetTable::new(64, &Method::WeightedActive(Weights::default()), weights);
    path("by weight, 64 targets", 1000, |_| {
        let chosen = table.choose();
        chosen.into_iter().for_each(|target| table.entered(target));
    });
}

fn forwarding() {
    let mut cluster = Cluster::new(4, Method::RoundRobin);
    cluster.open(0, ENTRIES);
    let mut random = Random(1);
    let mut packet = Some(data(client(0), MSS));
    path("forwarding decision", 1000, |_| {
        let Some(mut one) = packet.take() else { return };
        readdress(&mut one, client(random.below(ENTRIES)));
        packet = Some(cluster.forward(one));
    });
}

fn segments() {
    let mut bench = Bench::new();
    let mut peer = bench.connect(0);
    // The handshake is long over.
    (0..200).for_each(|_| assert!(bench.data_in(&mut peer, LITTLE) + bench.data_out(&mut peer, LITTLE) > 0));
    path("segment in, ACK out", 1000, |_| _ = bench.data_in(&mut peer, LITTLE));
    path("segment out, ACK in", 1000, |_| _ = bench.data_out(&mut peer, LITTLE));
    path("idle turn, one connection", 1000, |_| _ = bench.idle_turn());
    (1..CONNECTIONS).for_each(|number| _ = bench.connect(number));
    path("idle turn, 1000 connections", 1000, |_| _ = bench.idle_turn());
    let packet = bench.packet(&peer, 0x10, MSS);
    path("parsing", 1000, |_| {
        let datagram = stack::wire::datagram::Datagram::parse(packet.bytes()).expect("a datagram");
        let transport = &packet.bytes()[datagram.payload.clone()];
        let (at, source, destination) = (datagram.payload.start, datagram.source, datagram.destination);
        assert!(stack::wire::tcp::Segment::parse(transport, at, source, destination, None).is_ok());
    });
    path("checksum of 1460 bytes", 100, |_| {
        std::hint::black_box(stack::wire::checksum::sum(std::hint::black_box(&packet.bytes()[..MSS])));
    });
}
