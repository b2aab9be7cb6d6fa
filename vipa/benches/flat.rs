//! Whether a router is as fast with 1,000,000 connections as with 1,000: both in one process, a round of
//! one after a round of the other, so that whatever else the machine does slows both down.
//!
//! Per packet it does what a router does: a buffer from the pool, the decision, the header for XCF, and with
//! `sent` the system call that sends it. Reading it from the network is not counted.

mod fixture;

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use fixture::{Cluster, Random, client, data, readdress};
use stack::Packet;
use vipa::{Disposition, Method, Origin};

const SIZES: [u32; 2] = [1_000, 1_000_000];
const ROUNDS: usize = 41;

/// A router and what it sends by.
struct Router {
    cluster: Cluster,
    size: u32,
    random: Random,
    packet: Option<Packet>,
}

impl Router {
    fn new(size: u32) -> Self {
        let mut cluster = Cluster::new(4, Method::RoundRobin);
        cluster.open(0, size);
        Router { cluster, size, random: Random(1), packet: Some(data(client(0), 1460)) }
    }

    /// Time of one packet, in nanoseconds.
    fn round(&mut self, packets: u32, burst: u32, link: Option<&(UdpSocket, UdpSocket)>) -> f64 {
        let begin = Instant::now();
        for number in 0..packets {
            let Some(mut packet) = self.packet.take() else { return 0.0 };
            if number % burst == 0 {
                readdress(&mut packet, client(self.random.below(self.size)));
            }
            let routed = self.cluster.router.route(self.cluster.now, packet, Origin::Network);
            let Disposition::Forward { header, mut packet, .. } = routed else { panic!("{routed:?}") };
            let header = header.emit();
            assert!(packet.push_front(&header));
            if let Some((from, _)) = link {
                // A full queue drops it, as a network does.
                _ = from.send(packet.bytes());
            }
            packet.trim_front(header.len());
            self.packet = Some(packet);
        }
        begin.elapsed().as_nanos() as f64 / f64::from(packets)
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let local = || UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let link = (local(), local());
    link.0.connect(link.1.local_addr().expect("it is bound")).expect("an address of this host");
    link.0.set_nonblocking(true).expect("a socket");
    let drain = link.1.try_clone().expect("a socket");
    drain.set_read_timeout(Some(Duration::from_secs(1))).expect("a timeout");
    std::thread::spawn(move || while drain.recv(&mut [0; 2048]).is_ok() {});
    let mut routers = SIZES.map(Router::new);
    println!("nanoseconds a packet, median of {ROUNDS} rounds each; ratio of times, median of the rounds");
    println!("{:<52} {:>10} {:>10} {:>7}", "", SIZES[0], SIZES[1], "ratio");
    for (what, link, packets) in [("core", None, 50_000), ("core and sent over UDP", Some(&link), 10_000)] {
        for burst in [1, 4, 16, 64] {
            let mut times = [Vec::new(), Vec::new()];
            for _ in 0..ROUNDS {
                for (router, times) in routers.iter_mut().zip(&mut times) {
                    times.push(router.round(packets, burst, link));
                }
            }
            let [small, large] = times;
            let ratio = median(small.iter().zip(&large).map(|(small, large)| large / small).collect());
            let line = format!("{what}, {burst} packets of a connection at a time");
            println!("{line:<52} {:>10.1} {:>10.1} {ratio:>7.3}", median(small), median(large));
        }
    }
}
