//! The forwarding decision on a whole packet.

mod fixture;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use fixture::{Cluster, Random, client, data, readdress};
use vipa::Method;

fn route(c: &mut Criterion) {
    let mut group = c.benchmark_group("route");
    for size in [1_000, 1_000_000] {
        let mut cluster = Cluster::new(4, Method::RoundRobin);
        cluster.open(0, size);
        let mut random = Random(1);
        for (traffic, burst) in [("each packet of another connection", 1), ("bursts of 16", 16)] {
            let mut packet = Some(data(client(0), 1460));
            let mut sent = 0;
            group.bench_function(BenchmarkId::new(traffic, size), |b| {
                b.iter(|| {
                    let Some(mut one) = packet.take() else { return };
                    if sent % burst == 0 {
                        readdress(&mut one, client(random.below(size)));
                    }
                    sent += 1;
                    packet = Some(cluster.forward(one));
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, route);
criterion_main!(benches);
