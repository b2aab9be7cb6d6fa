//! Paths with a bottleneck, loss and reordering, at virtual time: what flows make of them.

use super::network::{Bottleneck, Network};
use super::*;

const MBIT: u64 = 125_000;

/// Bulk flows from host 0 to host 1, which reads as fast as it comes.
struct Flows {
    network: Network,
    listener: ListenerId,
    senders: Vec<ConnId>,
    receivers: Vec<ConnId>,
    /// Bytes that each receiver has read.
    read: Vec<u64>,
    sent: Vec<u64>,
    buffer: Vec<u8>,
}

impl Flows {
    fn new(configs: [TcpConfig; 2], path: OnePath, seed: u64) -> Flows {
        let mut network = Network::new(configs, path, seed);
        let listener = network.hosts[1].tcp.listen(None, 60, ListenOptions::default()).unwrap();
        let (senders, receivers) = (Vec::new(), Vec::new());
        Flows { network, listener, senders, receivers, read: vec![], sent: vec![], buffer: vec![0; 1 << 18] }
    }

    /// Byte number `at` of every flow.
    fn byte(at: u64) -> u8 {
        (at % 251) as u8
    }

    fn open(&mut self) {
        let id = self.network.hosts[0].tcp.connect(self.network.now, here(0), there(60)).unwrap();
        self.senders.push(id);
        self.sent.push(0);
    }

    /// Lets them run; every byte is checked.
    fn run(&mut self, time: Duration) {
        let end = self.network.now + time;
        let bytes = pattern(1 << 15);
        while self.network.now < end {
            for (index, id) in self.senders.iter().enumerate() {
                loop {
                    let first = usize::from(Self::byte(self.sent[index]));
                    match self.network.hosts[0].send(*id, &bytes[first..]) {
                        Ok(count) => self.sent[index] += count as u64,
                        Err(_) => break,
                    }
                }
            }
            let host = &mut self.network.hosts[1];
            while let Some(id) = host.tcp.accept(self.listener) {
                self.receivers.push(id);
                self.read.push(0);
            }
            for (index, id) in self.receivers.iter().enumerate() {
                while let Ok(count @ 1..) = host.tcp.recv(host.now, *id, &mut self.buffer, &mut host.pool) {
                    let first = self.read[index];
                    assert!(self.buffer[..count].iter().zip(first..).all(|(byte, at)| *byte == Self::byte(at)));
                    self.read[index] += count as u64;
                }
            }
            assert!(self.network.step(), "it goes on for ever");
        }
    }

    /// Bytes that each flow delivers in `time`.
    fn measure(&mut self, time: Duration) -> Vec<u64> {
        let before = self.read.clone();
        self.run(time);
        self.read.iter().enumerate().map(|(index, read)| read - before.get(index).copied().unwrap_or(0)).collect()
    }
}

fn config(congestion: CongestionControl) -> TcpConfig {
    TcpConfig { congestion, max_send: 64 << 20, max_receive: 64 << 20, ..TcpConfig::default() }
}

/// Part of the bottleneck that one flow uses, in percent, after `warm` and over `time`.
fn utilization(flows: &mut Flows, rate: u64, warm: Duration, time: Duration) -> u64 {
    flows.open();
    flows.run(warm);
    let bytes: u64 = flows.measure(time).iter().sum();
    bytes * 100 / (rate * time.as_millis() as u64 / 1000)
}

/// RFC 7323: windows, and the buffers on both sides that tune themselves, follow the path: up to
/// 1 Gbit/s at an RTT of 20 and of 100 ms, from the buffers that every connection begins with.
#[test]
fn buffers_grow_to_fill_long_fat_pipes() {
    for (rate, rtt) in [(100, 20), (100, 100), (1000, 20), (1000, 100)] {
        for congestion in [CongestionControl::Cubic, CongestionControl::Bbr] {
            let config = config(congestion);
            let mut flows = Flows::new([config.clone(), config], OnePath::new(9000, 61_000), 1);
            flows.network.delay = millis(rtt / 2);
            flows.network.faults.cutting = rate < 1000;
            let product = rate * MBIT * rtt / 1000;
            let bottleneck = Bottleneck { rate: rate * MBIT, queue: product, mark_from: u64::MAX };
            flows.network.bottleneck = Some(bottleneck);
            let used = utilization(&mut flows, rate * MBIT, Duration::from_secs(4), Duration::from_secs(1));
            println!("{congestion:?} {rate} Mbit/s, {rtt} ms: {used} %");
            assert!(used >= 85, "{congestion:?} {rate} Mbit/s, {rtt} ms: {used} %");
        }
    }
}

/// The draft's section 1: losses that are no congestion do not slow a model of the path down.
#[test]
fn bbr_bears_random_loss() {
    let rate = 50;
    let used = |congestion| {
        let config = config(congestion);
        let mut flows = Flows::new([config.clone(), config], OnePath::new(1500, 0), 2);
        flows.network.faults.loss = 10;
        let bottleneck = Bottleneck { rate: rate * MBIT, queue: rate * MBIT / 50, mark_from: u64::MAX };
        flows.network.bottleneck = Some(bottleneck);
        utilization(&mut flows, rate * MBIT, Duration::from_secs(3), Duration::from_secs(10))
    };
    let (bbr, cubic) = (used(CongestionControl::Bbr), used(CongestionControl::Cubic));
    println!("bbr {bbr} %, cubic {cubic} %");
    assert!(bbr >= 80, "{bbr} %");
    assert!(cubic < bbr);
}

/// Section 4.2.1: paced at the bottleneck's rate, the queue stays short: no loss even where the
/// queue holds little; and with a deep one the RTT stays near that of the path.
#[test]
fn bbr_keeps_the_queue_short() {
    let (rate, rtt) = (50, 20);
    let config = config(CongestionControl::Bbr);
    let mut flows = Flows::new([config.clone(), config], OnePath::new(1500, 0), 2);
    // Ten times the bandwidth-delay product.
    let queue = 10 * rate * MBIT * rtt / 1000;
    flows.network.bottleneck = Some(Bottleneck { rate: rate * MBIT, queue, mark_from: u64::MAX });
    let used = utilization(&mut flows, rate * MBIT, Duration::from_secs(5), Duration::from_secs(4));
    let conn = flows.network.hosts[0].tcp.connections.iter().next().unwrap().1;
    let smoothed = conn.smoothed_rtt().unwrap();
    println!("{used} %, {smoothed:?}");
    assert!(used >= 90 && smoothed < millis(40), "{used} %, {smoothed:?}");
}

/// RFC 3168: with marks instead of drops a flow fills the bottleneck and nothing is sent twice.
#[test]
fn marks_instead_of_losses() {
    let rate = 50;
    for congestion in [CongestionControl::Cubic, CongestionControl::NewReno] {
        let config = TcpConfig { ecn: Ecn::Active, ..config(congestion) };
        let mut flows = Flows::new([config.clone(), config], OnePath::new(1500, 0), 2);
        let product = rate * MBIT / 50;
        let bottleneck = Bottleneck { rate: rate * MBIT, queue: 20 * product, mark_from: product };
        flows.network.bottleneck = Some(bottleneck);
        let used = utilization(&mut flows, rate * MBIT, Duration::from_secs(3), Duration::from_secs(10));
        let counters = flows.network.hosts[0].tcp.counters();
        assert!(used >= 85, "{congestion:?} {used} %");
        assert_eq!(counters.retrans_segs, 0, "{congestion:?}");
        assert!(flows.network.hosts[1].tcp.counters().delivered_ce > 0);
    }
}

/// RFC 9438, 3.3: flows of one kind share a bottleneck evenly, whoever came first.
#[test]
fn two_flows_share() {
    let rate = 50;
    for congestion in [CongestionControl::Cubic, CongestionControl::NewReno, CongestionControl::Bbr] {
        let config = config(congestion);
        let mut flows = Flows::new([config.clone(), config], OnePath::new(1500, 0), 4);
        let bottleneck = Bottleneck { rate: rate * MBIT, queue: rate * MBIT / 50, mark_from: u64::MAX };
        flows.network.bottleneck = Some(bottleneck);
        flows.open();
        flows.run(Duration::from_secs(3));
        flows.open();
        flows.run(Duration::from_secs(10));
        let got = flows.measure(Duration::from_secs(20));
        let total: u64 = got.iter().sum();
        let shares: Vec<_> = got.iter().map(|bytes| bytes * 100 / total).collect();
        println!("{congestion:?} {shares:?}");
        assert!(total * 100 / (rate * MBIT * 20) >= 90, "{congestion:?} {got:?}");
        assert!(shares.iter().all(|share| (35..=65).contains(share)), "{congestion:?} {shares:?}");
    }
}

/// RFC 8985 and RFC 9438: with 1 % of random loss the window is what the response function says,
/// about sqrt(1.5 / p) segments for each RTT (section 5 of RFC 9438: the Reno-friendly region).
#[test]
fn random_loss_costs_what_the_response_function_says() {
    for (congestion, seed) in [(CongestionControl::Cubic, 5), (CongestionControl::NewReno, 5)] {
        let config = config(congestion);
        let mut flows = Flows::new([config.clone(), config], OnePath::new(1500, 0), seed);
        flows.network.faults.loss = 10;
        flows.open();
        flows.run(Duration::from_secs(5));
        let bytes: u64 = flows.measure(Duration::from_secs(60)).iter().sum();
        // Segments of 1448 bytes in each 20 ms.
        let window = bytes as f64 / 1448.0 / 3000.0;
        let counters = flows.network.hosts[0].tcp.counters();
        println!("{congestion:?}: {window:.1} segments");
        assert!(window >= 9.5, "{congestion:?}: {window}");
        // A receiver here acknowledges a burst once: that lost, only a timeout helps.
        assert!(counters.timeouts <= 10, "{congestion:?}: RFC 8985 repairs without timeouts");
    }
}

/// RFC 8985, 6.2: reordering that is no loss costs next to nothing.
#[test]
fn reordering_costs_little() {
    let used = |reordering, jitter| {
        let config = config(CongestionControl::Cubic);
        let mut flows = Flows::new([config.clone(), config], OnePath::new(1500, 0), 6);
        flows.network.faults = network::Faults { reordering, jitter, ..Default::default() };
        let bottleneck = Bottleneck { rate: 50 * MBIT, queue: 2 * MBIT, mark_from: u64::MAX };
        flows.network.bottleneck = Some(bottleneck);
        let used = utilization(&mut flows, 50 * MBIT, Duration::from_secs(3), Duration::from_secs(10));
        let c = flows.network.hosts[0].tcp.counters();
        println!("{} {} {} {} {}", c.retrans_segs, c.fast_recoveries, c.undone, c.dsack_received, c.timeouts);
        used
    };
    let without = used(0, 1);
    // An RTT is 20 ms; what comes later than that looks lost to anybody for a while.
    for (jitter, floor) in [(5, 90), (10, 90), (20, 70), (40, 30)] {
        let with = used(50, jitter);
        println!("{without} % without, {with} % with reordering by up to {jitter} ms");
        assert!(with * 100 >= without * floor, "{without} % without, {with} % with reordering by up to {jitter} ms");
    }
}

/// RFC 8985, RFC 3708 and RFC 4015: packets that overtake all others on the way, as netem reorders.
#[test]
fn overtaking_costs_little() {
    for seed in 0..6 {
        let config = config(CongestionControl::Cubic);
        let mut flows = Flows::new([config.clone(), config], OnePath::new(1500, 61_000), seed);
        flows.network.faults = network::Faults { overtaking: 50, cutting: true, ..Default::default() };
        flows.network.bottleneck = Some(Bottleneck { rate: 100 * MBIT, queue: 500_000, mark_from: u64::MAX });
        let used = utilization(&mut flows, 100 * MBIT, Duration::ZERO, Duration::from_secs(5));
        assert!(used >= 85, "{used} %");
    }
}
