//! An established connection: segments in, segments out; and what stands before and beside it.

mod fixture;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fixture::{Bench, MSS, SUPER};
use stack::wire::datagram::Datagram;
use stack::wire::tcp::Segment;

const SIZES: [usize; 3] = [64, MSS, SUPER];

fn transfer(c: &mut Criterion) {
    let mut bench = Bench::new();
    let mut peer = bench.connect(0);
    let mut group = c.benchmark_group("tcp/data in, read, ACK out");
    for size in SIZES {
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::from_parameter(size), |b| b.iter(|| bench.data_in(&mut peer, size)));
    }
    group.finish();
    let mut group = c.benchmark_group("tcp/written, data out, ACK in");
    for size in SIZES {
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::from_parameter(size), |b| b.iter(|| bench.data_out(&mut peer, size)));
    }
    group.finish();
}

/// What a turn of the event loop costs when nothing is due, and what a segment costs, among many
/// connections with a timer each.
fn among_many(c: &mut Criterion) {
    for connections in [1, 1_000, 100_000] {
        let mut bench = Bench::new();
        let mut peers: Vec<_> = (0..connections).map(|number| bench.connect(number)).collect();
        c.benchmark_group("tcp/idle turn").bench_function(BenchmarkId::from_parameter(connections), |b| {
            b.iter(|| bench.idle_turn());
        });
        let mut next = 0;
        c.benchmark_group("tcp/data in, one connection after the other").bench_function(
            BenchmarkId::from_parameter(connections),
            |b| {
                b.iter(|| {
                    next = (next + 7919) % peers.len();
                    bench.data_in(&mut peers[next], 64)
                });
            },
        );
    }
}

fn parse(c: &mut Criterion) {
    let mut bench = Bench::new();
    let peer = bench.connect(0);
    let packet = bench.packet(&peer, 0x10, MSS);
    c.bench_function("packet/parse", |b| {
        b.iter(|| {
            let datagram = Datagram::parse(packet.bytes()).expect("a datagram");
            let transport = &packet.bytes()[datagram.payload.clone()];
            Segment::parse(transport, datagram.payload.start, datagram.source, datagram.destination, None)
        });
    });
}

fn checksum(c: &mut Criterion) {
    let mut group = c.benchmark_group("checksum");
    for size in [1_460, 61_440] {
        let bytes = vec![0xa5; size];
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::from_parameter(size), |b| b.iter(|| stack::wire::checksum::sum(&bytes)));
    }
    group.finish();
}

criterion_group!(benches, transfer, among_many, parse, checksum);
criterion_main!(benches);
