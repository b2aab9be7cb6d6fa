use super::network::{Faults, Network, exchange};
use super::*;
#[test]
fn probe() {
    for cutting in [false, true] {
        for max_super in [0u16, 61_000] {
            for sack in [true, false] {
                for loss in [0u32, 10, 50, 150] {
                    let config = TcpConfig { sack, ..TcpConfig::default() };
                    let mut took_all = vec![];
                    let mut c = TcpCounters::default();
                    let mut pl = 0;
                    for seed in 0..5 {
                        let mut network =
                            Network::new([config.clone(), config.clone()], OnePath::new(1500, max_super), seed);
                        network.faults = Faults { loss, doubling: 0, reordering: 0, cutting };
                        let (_, server, took) = exchange(
                            &mut network,
                            [pattern(2_000_000), vec![]],
                            [262_144; 2],
                            Duration::from_secs(6000),
                        );
                        assert!(server.received == pattern(2_000_000));
                        took_all.push(took.as_millis());
                        pl += network.payload;
                        c = *network.hosts[0].tcp.counters();
                    }
                    println!(
                        "cut {cutting} super {max_super} sack {sack} loss {loss}: {took_all:?} ms payload {pl} retrans {} timeouts {} rec {} tlp {} spurious {}",
                        c.retrans_segs, c.timeouts, c.fast_recoveries, c.loss_probes, c.spurious_rtos
                    );
                }
            }
        }
    }
}
