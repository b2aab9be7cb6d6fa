//! Which target gets a new connection, at 2 to 64 targets.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use vipa::internals::TargetTable;
use vipa::{Method, Standby, Weights};

fn choice(c: &mut Criterion) {
    for targets in [2u16, 4, 8, 16, 32, 64] {
        let weights: Vec<u8> = (0..targets).map(|target| 10 + (target % 7) as u8 * 10).collect();
        for method in [
            Method::RoundRobin,
            Method::default(),
            Method::WeightedActive(Weights::default()),
            Method::HotStandby(Standby::default()),
        ] {
            let mut table = TargetTable::new(targets, &method, weights.clone());
            let method = method.name();
            let connect = |table: &mut TargetTable| {
                let chosen = table.choose();
                chosen.into_iter().for_each(|target| table.entered(target));
                chosen
            };
            (0..u32::from(targets) * 100).for_each(|_| assert!(connect(&mut table).is_some()));
            c.benchmark_group("distribution/choice")
                .bench_function(BenchmarkId::new(method, targets), |b| b.iter(|| table.choose()));
            let mut leaves = 0;
            c.benchmark_group("distribution/one begins, one ends").bench_function(
                BenchmarkId::new(method, targets),
                |b| {
                    b.iter(|| {
                        leaves = (leaves + 1) % targets;
                        table.left(leaves);
                        connect(&mut table)
                    });
                },
            );
        }
    }
}

criterion_group!(benches, choice);
criterion_main!(benches);
