//! A link between two network namespaces that loses, doubles, delays and reorders packets, from a
//! seed: two TUNs and a forwarder in between. netem is not in every kernel; this is.

use std::collections::BinaryHeap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tun_tap::{Iface, Mode};

use crate::namespace::Namespace;
use crate::{Lab, succeed};

/// The address of the link's near end, in the lab's client network.
pub const NEAR: &str = "10.77.0.1";
/// The address of its far end.
pub const FAR: &str = "10.77.0.2";

/// What the link does to packets, each way.
#[derive(Clone, Copy, Debug)]
pub struct Impairment {
    /// Each way.
    pub delay: Duration,
    /// In thousandths.
    pub loss: u32,
    /// Packets that come twice, in thousandths.
    pub doubling: u32,
    /// Packets that go without delay, past all that wait, in thousandths (as netem does it).
    pub reordering: u32,
    /// Bytes per second, and bytes that may wait for it.
    pub rate: Option<(u64, u64)>,
    /// The MTU of the devices: a hop on the way.
    pub mtu: u16,
    /// Where chance comes from.
    pub seed: u64,
}

impl Default for Impairment {
    fn default() -> Self {
        Impairment { delay: Duration::ZERO, loss: 0, doubling: 0, reordering: 0, rate: None, mtu: 1500, seed: 1 }
    }
}

/// The link, from a lab's client network to a namespace of its own.
#[derive(Debug)]
pub struct Link {
    near: Namespace,
    far: Namespace,
    threads: Vec<JoinHandle<()>>,
}

impl Link {
    /// Lays it.
    ///
    /// # Panics
    /// If the devices cannot be made.
    pub fn lay(lab: &Lab, impairment: Impairment) -> Link {
        let (near, far) = (Namespace::of(lab), Namespace::make());
        let device = |namespace: &Namespace, address: &str| {
            let iface = namespace.inside(|| Iface::without_packet_info("impaired%d", Mode::Tun)).expect("a TUN");
            let name = iface.name().to_owned();
            succeed(&mut namespace.run(&format!("ip addr add {address}/24 dev {name}")));
            let mtu = impairment.mtu;
            succeed(&mut namespace.run(&format!("ip link set {name} mtu {mtu} txqueuelen 10000 up")));
            Arc::new(iface)
        };
        let ends = [device(&near, NEAR), device(&far, FAR)];
        succeed(&mut far.run("ip link set lo up"));
        succeed(&mut far.run(&format!("ip route add default via {NEAR}")));
        succeed(&mut near.run("sysctl -qw net.ipv4.ip_forward=1"));
        let mut threads = Vec::new();
        for way in 0..2 {
            let (from, to) = (Arc::clone(&ends[way]), Arc::clone(&ends[1 - way]));
            let (sender, receiver) = channel();
            let seed = impairment.seed * 2 + way as u64;
            threads.push(std::thread::spawn(move || take(&from, &sender, impairment, seed)));
            threads.push(std::thread::spawn(move || deliver(&to, &receiver)));
        }
        Link { near, far, threads }
    }

    /// Where its far end is.
    pub fn far(&self) -> &Namespace {
        &self.far
    }

    /// A listener of the kernel's, at the near end.
    ///
    /// # Panics
    /// If there cannot be one.
    pub fn listen_near(&self) -> TcpListener {
        self.near.inside(|| TcpListener::bind((NEAR, 0))).expect("a port is free")
    }

    /// A connection of the kernel's, from the far end.
    ///
    /// # Panics
    /// If nobody answers.
    pub fn connect_far(&self, address: SocketAddr) -> TcpStream {
        self.try_connect_far(address).unwrap_or_else(|error| panic!("{address}: {error}"))
    }

    /// The same.
    ///
    /// # Errors
    /// If nobody answers.
    pub fn try_connect_far(&self, address: SocketAddr) -> std::io::Result<TcpStream> {
        self.far.inside(move || TcpStream::connect(address))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // What reads from a device that goes away is told so.
        for namespace in [&self.near, &self.far] {
            drop(namespace.run("ip link del impaired0").status());
        }
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

/// A packet on its way; the first that is due is the greatest.
#[derive(PartialEq, Eq)]
struct Due {
    at: Instant,
    serial: u64,
    bytes: Vec<u8>,
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (other.at, other.serial).cmp(&(self.at, self.serial))
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

fn take(from: &Iface, way: &Sender<Due>, impairment: Impairment, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut buffer = vec![0; 65_536];
    let mut serial = 0;
    let mut busy_until = Instant::now();
    while let Ok(length) = from.recv(&mut buffer) {
        let now = Instant::now();
        let mut happens = |per_mille: u32| random.random_range(0..1000) < per_mille;
        if happens(impairment.loss) {
            continue;
        }
        let mut leaves = now;
        if let Some((rate, room)) = impairment.rate {
            let waiting = busy_until.saturating_duration_since(now);
            if waiting.as_secs_f64() * rate as f64 > room as f64 {
                continue;
            }
            busy_until = busy_until.max(now) + Duration::from_secs_f64(length as f64 / rate as f64);
            leaves = busy_until;
        }
        let copies = if happens(impairment.doubling) { 2 } else { 1 };
        for _ in 0..copies {
            serial += 1;
            let delay = if happens(impairment.reordering) { Duration::ZERO } else { impairment.delay };
            if way.send(Due { at: leaves + delay, serial, bytes: buffer[..length].to_vec() }).is_err() {
                return;
            }
        }
    }
}

fn deliver(to: &Iface, way: &Receiver<Due>) {
    let mut waiting: BinaryHeap<Due> = BinaryHeap::new();
    loop {
        let now = Instant::now();
        while waiting.peek().is_some_and(|due| due.at <= now) {
            // The device may be gone, or its queue full: packets get lost.
            waiting.pop().map(|due| to.send(&due.bytes));
        }
        let next = match waiting.peek() {
            Some(due) => way.recv_timeout(due.at.saturating_duration_since(now)),
            None => way.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match next {
            Ok(due) => waiting.push(due),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        while let Ok(due) = way.try_recv() {
            waiting.push(due);
        }
    }
}

/// Byte `at` of what `GET /bytes/N` sends.
fn byte(at: usize) -> u8 {
    (at % 251) as u8
}

/// `count` bytes of it, from byte `first` on.
pub fn pattern(first: usize, count: usize) -> Vec<u8> {
    (first..first + count).map(byte).collect()
}

/// Sends `count` bytes of the pattern over a connection of the kernel's.
///
/// # Errors
/// If the connection breaks.
pub fn send_pattern(stream: &mut TcpStream, count: usize) -> std::io::Result<()> {
    let pattern = pattern(0, 65_536 + 251);
    let mut sent = 0;
    while sent < count {
        let first = sent % 251;
        sent += stream.write(&pattern[first..first + 65_536.min(count - sent)])?;
    }
    Ok(())
}

/// Takes in `count` bytes and checks each.
///
/// # Panics
/// If the connection ends before, or a byte is another.
pub fn check_pattern(stream: &mut impl Read, count: usize) {
    let mut buffer = vec![0; 65_536];
    let mut got = 0;
    while got < count {
        let read = stream.read(&mut buffer).expect("the connection holds");
        assert!(read > 0, "it ended after {got} of {count} bytes");
        assert!(buffer[..read].iter().zip(got..).all(|(seen, at)| *seen == byte(at)), "a byte near {got} is wrong");
        got += read;
    }
}
