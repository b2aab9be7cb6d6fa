//! Hard to hurt: honest clients while SYNs of forged sources pour in.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tests::flood::Flood;
use tests::namespace::Namespace;
use tests::{Lab, workspace};

const VICTIM: (Ipv4Addr, u16) = (Ipv4Addr::new(203, 0, 113, 1), 60);
const RATE: u64 = 50_000;
const CLIENTS: usize = 8;
/// What an image may take, whatever comes: attack.sh's bound.
const BOUND_KIB: u64 = 192 * 1024;

/// Resident memory of each image, in KiB.
fn memory(lab: &Lab) -> Vec<(String, u64)> {
    let of = |image: String| {
        let pid = lab.image(&image)["pid"].as_u64().expect("it runs");
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("the kernel tells");
        let kib = line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number");
        (image, kib)
    };
    lab.running().into_iter().map(of).collect()
}

/// One request on a connection of its own: how long connect() took, if all went well.
fn request(server: SocketAddr) -> std::io::Result<Duration> {
    let start = Instant::now();
    let mut stream = TcpStream::connect_timeout(&server, Duration::from_secs(10))?;
    let took = start.elapsed();
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(b"GET /bytes/1000 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    if answer.len() < 1000 || !answer.starts_with(b"HTTP/1.1 200") {
        return Err(std::io::Error::other("a short answer"));
    }
    Ok(took)
}

/// R5, I22, RFC 4987: under 50,000 forged SYNs a second to a distributed DVIPA, 99 of 100 honest
/// connections succeed, 99 of 100 connect at the first SYN (the second comes after a second), memory
/// is bounded, and the routing stack keeps what is established.
#[test]
fn honest_clients_get_through_a_flood_of_syns() {
    let lab = Lab::up(workspace().join("profiles/figure4.ron").to_str().expect("UTF-8"));
    let server = SocketAddr::from(VICTIM);
    let seconds = std::env::var("FLOOD_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(15);
    let network = Namespace::of(&lab);
    network.inside(|| request(server)).expect("all is well before");
    let flood = Flood::begin(&lab, VICTIM, RATE);
    std::thread::sleep(Duration::from_secs(1));
    let over = AtomicBool::new(false);
    let (before, start) = (flood.counts(), Instant::now());
    let results: Vec<std::io::Result<Duration>> = std::thread::scope(|scope| {
        let client = || {
            network.enter();
            let mut results = Vec::new();
            while !over.load(Ordering::Relaxed) {
                results.push(request(server));
                std::thread::sleep(Duration::from_millis(20));
            }
            results
        };
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        std::thread::sleep(Duration::from_secs(seconds));
        over.store(true, Ordering::Relaxed);
        clients.into_iter().flat_map(|client| client.join().expect("no panic")).collect()
    });
    let (sent, answered) = flood.counts();
    let elapsed = start.elapsed().as_secs_f64();
    let rate = (sent - before.0) as f64 / elapsed;
    let mut times: Vec<Duration> = results.iter().filter_map(|result| result.as_ref().ok().copied()).collect();
    times.sort_unstable();
    let p99 = times[times.len() * 99 / 100];
    let memory = memory(&lab);
    println!(
        "{rate:.0} SYN/s, {:.0} answers/s; {} of {} requests succeeded; connect() p50 {:?}, p99 {p99:?}; {memory:?} KiB",
        (answered - before.1) as f64 / elapsed,
        times.len(),
        results.len(),
        times[times.len() / 2],
    );
    if let Some(error) = results.iter().find_map(|result| result.as_ref().err()) {
        println!("the first failure: {error}");
    }
    assert!(rate > 0.9 * RATE as f64, "the flood itself was too slow: {rate:.0}/s");
    assert!(times.len() * 100 >= results.len() * 99, "{} of {} failed", results.len() - times.len(), results.len());
    assert!(p99 < Duration::from_secs(1), "connect() needed a second SYN: {p99:?}");
    assert!(memory.iter().all(|(_, kib)| *kib < BOUND_KIB), "{memory:?}");
}
