//! The CRT: looking connections up and entering them, in random order.

mod fixture;

use std::hint::black_box;
use std::net::SocketAddr;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use fixture::{Random, client, client6};
use stack::Instant;
use vipa::internals::RoutingTable;

const SIZES: [u32; 3] = [1_000, 100_000, 1_000_000];
const NOW: Instant = Instant::from_millis(1);
/// Clients by name.
type Clients = (&'static str, fn(u32) -> SocketAddr);
const FAMILIES: [Clients; 2] = [("IPv4", client), ("IPv6", client6)];

fn filled(size: u32, client: fn(u32) -> SocketAddr) -> RoutingTable {
    let mut table = RoutingTable::new(1);
    assert!((0..size).all(|number| table.insert(NOW, client(number), 1, true)));
    table
}

/// Clients in random order, as many as there are entries. They are read one after the other, which costs
/// nothing, as a packet's header has been read before its connection is looked up.
fn shuffled(size: u32, client: fn(u32) -> SocketAddr) -> Vec<SocketAddr> {
    let mut random = Random(1);
    (0..size).map(|_| client(random.below(size))).collect()
}

fn lookup(c: &mut Criterion) {
    let mut group = c.benchmark_group("crt/lookup");
    for (family, client) in FAMILIES {
        for size in SIZES {
            let (table, clients) = (filled(size, client), shuffled(size, client));
            let mut next = clients.iter().cycle();
            group.bench_function(BenchmarkId::new(family, size), |b| {
                b.iter(|| next.next().and_then(|client| table.target(*client)));
            });
        }
    }
    group.finish();
}

/// Each waits for the one before: how long one takes, not how many overlap.
fn latency(c: &mut Criterion) {
    let mut group = c.benchmark_group("crt/lookup after lookup");
    for (family, client) in FAMILIES {
        for size in SIZES {
            let (table, clients) = (filled(size, client), shuffled(size, client));
            let mut at = 0;
            group.bench_function(BenchmarkId::new(family, size), |b| {
                b.iter(|| {
                    let target = table.target(clients[at]).map_or(0, usize::from);
                    // Every target is 1, which only the lookup knows.
                    at += target;
                    at *= usize::from(at < clients.len());
                });
            });
        }
    }
    group.finish();
}

/// One in, one out: the table keeps its size.
fn replace(c: &mut Criterion) {
    let mut group = c.benchmark_group("crt/insert and remove");
    for size in SIZES {
        let (mut table, mut random) = (filled(size, client), Random(1));
        group.bench_function(BenchmarkId::new("IPv4", size), |b| {
            b.iter(|| {
                let number = random.below(size);
                table.remove(client(number));
                table.insert(NOW, black_box(client(number)), 1, true)
            });
        });
    }
    group.finish();
}

/// From nothing, with all that growing costs; time for the whole table.
fn fill(c: &mut Criterion) {
    let mut group = c.benchmark_group("crt/fill");
    group.sample_size(10);
    for size in SIZES {
        group.throughput(criterion::Throughput::Elements(size.into()));
        group.bench_function(BenchmarkId::new("IPv4", size), |b| {
            b.iter_batched(|| (), |()| filled(size, client), BatchSize::PerIteration);
        });
    }
    group.finish();
}

criterion_group!(benches, lookup, latency, replace, fill);
criterion_main!(benches);
