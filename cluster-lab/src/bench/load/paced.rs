//! Requests by a clock: how long answers take while the server is half as busy as it can be.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use serde::{Deserialize, Serialize};

use super::{PATIENCE, Times, connect, http};

/// Room for any answer to `GET /`.
const ANSWER: usize = 4096;

/// How long answers took, in microseconds, and at which rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Requests each second.
    pub rate: f64,
    /// Median.
    pub p50: f64,
    /// 99th percentile.
    pub p99: f64,
    /// 99.9th percentile.
    pub p999: f64,
}

/// First finds the rate that the server can take from so many connections that never rest, then
/// keeps to half of it. The clock sets when a request is due, however late the answers before it
/// are, and its latency counts from then: a server that stands still cannot hide it.
///
/// # Errors
/// What the server did wrong.
pub(super) fn paced(to: SocketAddr, connections: usize, times: Times) -> Result<Latency> {
    // Else the kernel may wake this thread 50 µs late.
    rustix::thread::set_current_timer_slack(NonZeroU64::new(1))?;
    let mut crowd = Crowd::connect(to, connections)?;
    crowd.run(None, times.warm_up())?;
    let (began, answers) = (Instant::now(), crowd.run(None, times.measured() / 2)?.len());
    #[allow(clippy::cast_precision_loss, reason = "a small number")]
    let rate = answers as f64 / began.elapsed().as_secs_f64() / 2.0;
    let mut latencies = crowd.run(Some(rate), times.measured())?;
    latencies.sort_unstable();
    let at = |per_mille| percentile(&latencies, per_mille);
    Ok(Latency { rate, p50: at(500)?, p99: at(990)?, p999: at(999)? })
}

/// When the request after `sent` others is due.
#[allow(clippy::cast_precision_loss, reason = "a small number")]
fn due(rate: Option<f64>, start: Instant, sent: u64, now: Instant) -> Instant {
    rate.map_or(now, |rate| start + Duration::from_secs_f64(sent as f64 / rate))
}

/// In microseconds, by nearest rank.
fn percentile(sorted: &[Duration], per_mille: usize) -> Result<f64> {
    let rank = (sorted.len() * per_mille).div_ceil(1000).max(1);
    let value = sorted.get(rank - 1).context("no request was answered: measure for longer")?;
    Ok(value.as_secs_f64() * 1e6)
}

/// Connections, each with at most one request on its way.
struct Crowd {
    epoll: OwnedFd,
    request: Vec<u8>,
    /// Every answer is this long.
    answer: usize,
    connections: Vec<Connection>,
    idle: VecDeque<usize>,
}

struct Connection {
    stream: TcpStream,
    due: Instant,
    /// Bytes of the answer that are in.
    read: usize,
}

impl Crowd {
    fn connect(to: SocketAddr, count: usize) -> Result<Crowd> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let request = http::request("/");
        let (mut connections, mut answer) = (Vec::new(), 0);
        for id in 0..count {
            let mut stream = connect(to)?;
            let mut buffer = [0; ANSWER];
            let (response, filled) = http::ask(&mut stream, &request, &mut buffer)?;
            answer = response.head + response.body;
            ensure!(answer <= ANSWER, "an answer is longer than {ANSWER} bytes");
            if let Some(rest) = buffer.get_mut(filled..answer) {
                stream.read_exact(rest).context("an answer ends early")?;
            }
            stream.set_nonblocking(true)?;
            epoll::add(&epoll, &stream, epoll::EventData::new_u64(id as u64), epoll::EventFlags::IN)?;
            connections.push(Connection { stream, due: Instant::now(), read: 0 });
        }
        Ok(Crowd { epoll, request, answer, connections, idle: (0..count).collect() })
    }

    /// Sends `rate` requests a second, or as many as go, and returns how long each answer took.
    fn run(&mut self, rate: Option<f64>, time: Duration) -> Result<Vec<Duration>> {
        let start = Instant::now();
        let (mut sent, mut latencies) = (0u64, Vec::new());
        let mut events = Vec::with_capacity(self.connections.len());
        loop {
            let now = Instant::now();
            let mut next = due(rate, start, sent, now);
            while next <= now && next < start + time && !self.idle.is_empty() {
                self.send(next)?;
                sent += 1;
                next = due(rate, start, sent, now);
            }
            let more = next < start + time;
            if !more && self.idle.len() == self.connections.len() {
                return Ok(latencies);
            }
            let wait = if more && !self.idle.is_empty() { next.saturating_duration_since(now) } else { PATIENCE };
            let timeout = Timespec::try_from(wait)?;
            epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&timeout))?;
            if events.is_empty() && wait == PATIENCE {
                bail!("no answer within {PATIENCE:?}");
            }
            for event in events.drain(..) {
                latencies.extend(self.receive(usize::try_from(event.data.u64())?)?);
            }
        }
    }

    fn send(&mut self, due: Instant) -> Result<()> {
        let Some(id) = self.idle.pop_front() else { return Ok(()) };
        let connection = &mut self.connections[id];
        (connection.due, connection.read) = (due, 0);
        connection.stream.write_all(&self.request).context("a request cannot be sent")
    }

    /// The latency, if the answer is whole.
    fn receive(&mut self, id: usize) -> Result<Option<Duration>> {
        let connection = &mut self.connections[id];
        let mut buffer = [0; ANSWER];
        let read = match connection.stream.read(&mut buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error).context("an answer cannot be read"),
        };
        ensure!(read > 0, "the server closed a connection");
        ensure!(connection.read > 0 || buffer.starts_with(b"HTTP/1.1 200"), "an answer is not 200");
        connection.read += read;
        ensure!(connection.read <= self.answer, "an answer is longer than the one before");
        if connection.read < self.answer {
            return Ok(None);
        }
        self.idle.push_back(id);
        Ok(Some(connection.due.elapsed()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let sorted: Vec<Duration> = (1..=1000).map(Duration::from_micros).collect();
        assert_eq!([500, 990, 999].map(|at| percentile(&sorted, at).unwrap().round()), [500.0, 990.0, 999.0]);
        assert_eq!(percentile(&sorted[..1], 999).unwrap().round(), 1.0);
        assert!(percentile(&[], 500).is_err());
    }

    /// A server that closes in the middle of an answer, or has more to say than there is room for, is told of.
    #[test]
    fn what_a_server_does_wrong_ends_the_run() {
        for (length, reason) in [(50, "ends early"), (ANSWER, "longer than")] {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let to = listener.local_addr().unwrap();
            let server = std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                assert!(stream.read(&mut [0; 256]).unwrap() > 0);
                write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\nMVS1\n").unwrap();
            });
            let error = Crowd::connect(to, 1).err().unwrap().to_string();
            assert!(error.contains(reason), "{error}");
            server.join().unwrap();
        }
    }

    #[test]
    fn requests_keep_to_half_of_what_the_server_takes() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    let mut buffer = [0; 256];
                    while matches!(stream.read(&mut buffer), Ok(1..)) {
                        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nMVS1\n";
                        if stream.write_all(answer).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        let latency = paced(to, 3, Times { warm_up: 10, millis: 100 }).unwrap();
        assert!(latency.rate > 0.0 && latency.p50 <= latency.p99 && latency.p99 <= latency.p999, "{latency:?}");
    }
}
