//! Bytes as fast as they go, in one direction.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};
use serde::{Deserialize, Serialize};

use super::super::DOWNLOAD;
use super::{Flows, connect, http};

/// What one system call moves at most. It stays within a processor's cache.
const BUFFER: usize = 256 * 1024;

/// What was reached.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// Of all flows together.
    pub bytes_per_second: f64,
}

/// Counts the bytes of one flow between two moments, the same for all flows: one that stands still for a
/// while counts as the less.
#[derive(Debug)]
struct Meter {
    begins: Instant,
    ends: Instant,
    bytes: u64,
}

impl Meter {
    /// `count` more bytes have gone; whether there is time for more.
    fn add(&mut self, count: usize) -> bool {
        let now = Instant::now();
        if (self.begins..self.ends).contains(&now) {
            self.bytes += count as u64;
        }
        now < self.ends
    }
}

/// Downloads the same file again and again.
///
/// # Errors
/// What the server did wrong.
pub(super) fn down(flows: Flows) -> Result<Rate> {
    together(flows, |mut stream, meter| {
        let request = http::request(&format!("/bytes/{DOWNLOAD}"));
        let mut buffer = vec![0; BUFFER];
        loop {
            let (response, mut read) = http::ask(&mut stream, &request, &mut buffer)?;
            let mut left = response.head + response.body;
            loop {
                if !meter.add(read) {
                    return Ok(());
                }
                left = left.saturating_sub(read);
                if left == 0 {
                    break;
                }
                read = stream.read(&mut buffer).context("the download stands still")?;
                ensure!(read > 0, "the server closed the connection");
            }
        }
    })
}

/// Sends to a sink.
///
/// # Errors
/// What the server did wrong.
pub(super) fn up(flows: Flows) -> Result<Rate> {
    together(flows, |mut stream, meter| {
        let buffer = vec![0; BUFFER];
        while meter.add(stream.write(&buffer).context("the sink takes nothing")?) {}
        Ok(())
    })
}

/// Has `flow` done on each connection at once.
#[allow(clippy::cast_precision_loss, reason = "fewer bytes than a float counts exactly")]
fn together(flows: Flows, flow: impl Fn(TcpStream, &mut Meter) -> Result<()> + Sync) -> Result<Rate> {
    let streams = (0..flows.flows).map(|_| connect(flows.to)).collect::<Result<Vec<_>>>()?;
    let begins = Instant::now() + flows.times.warm_up();
    let ends = begins + flows.times.measured();
    let bytes = std::thread::scope(|scope| {
        let measured = |stream| {
            let mut meter = Meter { begins, ends, bytes: 0 };
            flow(stream, &mut meter).map(|()| meter.bytes)
        };
        let threads: Vec<_> = streams.into_iter().map(|stream| scope.spawn(move || measured(stream))).collect();
        let joined =
            threads.into_iter().map(|thread| thread.join().map_err(|_| anyhow!("a flow's thread panicked"))?);
        joined.sum::<Result<u64>>()
    })?;
    ensure!(bytes > 0, "no flow moved at all: measure for longer");
    Ok(Rate { bytes_per_second: bytes as f64 / flows.times.measured().as_secs_f64() })
}

/// Serves for ever, each connection in a thread of its own.
///
/// # Errors
/// If the address cannot be listened to.
pub(super) fn sink(listen: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(listen).with_context(|| format!("{listen} cannot be listened to"))?;
    for stream in listener.incoming() {
        let mut stream = stream?;
        std::thread::spawn(move || {
            let mut buffer = vec![0; BUFFER];
            while matches!(stream.read(&mut buffer), Ok(1..)) {}
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Times;
    use super::*;

    #[test]
    fn flows_to_a_sink_are_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        drop(listener);
        std::thread::spawn(move || sink(to));
        let rate = up(Flows { to, flows: 2, times: Times { warm_up: 10, millis: 50 } }).unwrap();
        assert!(rate.bytes_per_second > 0.0);
    }
}
