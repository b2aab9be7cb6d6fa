//! What connections cost in memory, at their router and at their target, by the allocator's own count.

#[path = "../../benches/fixture/mod.rs"]
mod fixture;
mod target;

use std::net::SocketAddr;

use allocation_counter::measure;
use fixture::{client, client6};
use stack::Instant;
use vipa::internals::RoutingTable;

const NOW: Instant = Instant::from_millis(1);
const MILLION: u32 = 1_000_000;

/// Bytes that a table of `size` entries holds; `reported`: by their holders' word, else by what passed.
fn bytes(size: u32, client: fn(u32) -> SocketAddr, reported: bool) -> u64 {
    let mut table = RoutingTable::new(1);
    let counted = measure(|| {
        (0..size).for_each(|number| assert!(table.insert(NOW, client(number), 1, reported)));
    });
    assert_eq!(table.len(), size as usize);
    counted.bytes_current.try_into().expect("it grew")
}

/// 1,000,000 CRT entries take 64 MB or less, of either family and whoever spoke for them.
#[test]
fn a_million_entries_take_64_megabytes() {
    for (family, client) in [("IPv4", client as fn(u32) -> SocketAddr), ("IPv6", client6)] {
        for reported in [true, false] {
            let bytes = bytes(MILLION, client, reported);
            println!("{family}, reported {reported}: {bytes} bytes");
            assert!(bytes <= 64_000_000, "{family}, reported {reported}: {bytes}");
        }
    }
}

/// At no size does an entry take more than 64 bytes.
#[test]
fn an_entry_takes_64_bytes_at_any_size() {
    for client in [client as fn(u32) -> SocketAddr, client6] {
        let mut table = RoutingTable::new(1);
        let mut held = 0;
        for step in 1..=60u32 {
            let (from, to) = ((step - 1) * 10_000, step * 10_000);
            let grown = measure(|| (from..to).for_each(|number| assert!(table.insert(NOW, client(number), 1, true))));
            held += grown.bytes_current;
            assert!(held <= i64::from(to) * 64, "{held} bytes for {to} entries");
        }
    }
}
