//! A client that measures: many TCP connections to an echo server, driven over standard input.
//!
//! `cluster-lab exec -- cluster-lab probe` reads [`Order`]s and answers each with an [`Outcome`],
//! one JSON object a line. Its sockets are the kernel's, so what it sees is what any client sees.

mod connection;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::StreamExt;
use futures_util::stream;
use rustix::process::{Resource, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};
use tokio::io::BufReader;

use crate::control;
use connection::Held;

/// Connections that are opened or checked at once.
const AT_ONCE: usize = 512;

/// What the probe is to do. Connections belong to named sets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Order {
    /// Connect `count` times, and add these connections to the set.
    Open {
        /// The set.
        set: String,
        /// The echo server.
        to: SocketAddr,
        /// How many.
        count: usize,
        /// Milliseconds between the messages that each sends; without it they keep silent.
        #[serde(default)]
        every: Option<u64>,
    },
    /// Have each connection of the set exchange one more message, after all that it has sent
    /// before; then those that send go on.
    Check {
        /// The set.
        set: String,
    },
    /// Close all connections of the set.
    Close {
        /// The set.
        set: String,
    },
}

/// How a set is; of what is measured, since its last outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Connections that were asked for.
    pub connections: usize,
    /// Those of them that live: nothing lost, nothing doubled, nothing out of order.
    pub survivors: usize,
    /// Longest time in microseconds without an answer on a connection that sends.
    pub longest_gap_us: Option<u64>,
    /// Messages that came back.
    pub answered: u64,
    /// Segments that the kernel has sent again.
    pub retransmissions: u64,
    /// The others.
    pub failures: Vec<Failure>,
}

/// A connection that is lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The probe's own end, unless it never was connected.
    pub source: Option<SocketAddr>,
    /// What happened to it.
    pub why: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.source {
            Some(source) => write!(f, "{source}: {}", self.why),
            None => f.write_str(&self.why),
        }
    }
}

impl Outcome {
    fn add(&mut self, held: &mut Held) {
        let measured = held.measure();
        self.connections += 1;
        self.answered += measured.answered;
        self.retransmissions += u64::from(measured.retransmissions);
        self.longest_gap_us = self.longest_gap_us.max(measured.longest_gap.map(micros));
        match held.failure() {
            None => self.survivors += 1,
            Some(why) => self.failures.push(Failure { source: held.source(), why: why.to_owned() }),
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Serves orders until standard input ends.
///
/// # Errors
/// An order that cannot be read.
pub async fn serve() -> Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).context("the limit of open files cannot be raised")?;
    let mut sets = BTreeMap::<String, Vec<Held>>::new();
    let (mut orders, mut outcomes) = (BufReader::new(tokio::io::stdin()), tokio::io::stdout());
    while let Some(order) = control::read::<Order>(&mut orders).await.context("no order for the probe")? {
        let outcome = follow(order, &mut sets).await;
        control::write(&mut outcomes, &outcome).await?;
        tokio::io::AsyncWriteExt::flush(&mut outcomes).await?;
    }
    Ok(())
}

async fn follow(order: Order, sets: &mut BTreeMap<String, Vec<Held>>) -> Outcome {
    let mut outcome = Outcome::default();
    match order {
        Order::Open { set, to, count, every } => {
            let every = every.map(|every| Duration::from_millis(every.max(1)));
            let opening = stream::iter((0..count).map(|_| Held::open(to, every))).buffer_unordered(AT_ONCE);
            let mut opened: Vec<Held> = opening.collect().await;
            opened.iter_mut().for_each(|held| outcome.add(held));
            sets.entry(set).or_default().append(&mut opened);
        }
        Order::Check { set } => {
            let held = sets.remove(&set).unwrap_or_default();
            let checking = stream::iter(held.into_iter().map(Held::check)).buffer_unordered(AT_ONCE);
            let mut checked: Vec<Held> = checking.collect().await;
            for held in &mut checked {
                outcome.add(held);
                held.go_on();
            }
            sets.insert(set, checked);
        }
        Order::Close { set } => {
            for held in sets.remove(&set).unwrap_or_default() {
                outcome.add(&mut held.settle().await);
            }
        }
    }
    outcome
}

#[cfg(test)]
mod tests;
