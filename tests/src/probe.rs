//! The client that measures, `cluster-lab probe`.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::ChildStdout;
use std::time::Duration;

use serde_json::{Value, json};

use crate::{Lab, Running, program};

/// A probe that runs in a lab's network.
#[derive(Debug)]
pub struct Probe {
    client: Running,
    outcomes: BufReader<ChildStdout>,
}

/// How a set of the probe's connections is; of what is measured, since its last outcome.
#[derive(Clone, Debug)]
pub struct Outcome(Value);

impl Outcome {
    fn number(&self, name: &str) -> u64 {
        self.0[name].as_u64().unwrap_or_else(|| panic!("no {name} in {}", self.0))
    }

    /// Connections that were asked for.
    pub fn connections(&self) -> u64 {
        self.number("connections")
    }

    /// Those that live.
    pub fn survivors(&self) -> u64 {
        self.number("survivors")
    }

    /// Segments that the kernel has sent again.
    pub fn retransmissions(&self) -> u64 {
        self.number("retransmissions")
    }

    /// Longest time without an answer.
    pub fn longest_gap(&self) -> Duration {
        Duration::from_micros(self.number("longest_gap_us"))
    }

    /// The connections that are lost, by the client's end, and why.
    pub fn lost(&self) -> Vec<(Option<SocketAddr>, String)> {
        let lost = |failure: &Value| {
            let source = failure["source"].as_str().and_then(|source| source.parse().ok());
            (source, failure["why"].as_str().unwrap_or_default().to_owned())
        };
        self.0["failures"].as_array().map(|failures| failures.iter().map(lost).collect()).unwrap_or_default()
    }

    /// # Panics
    /// If there is not `count` of them, or one does not live.
    pub fn all_live(&self, count: u64) {
        let lost: Vec<_> = self.lost().into_iter().take(10).collect();
        assert_eq!((self.survivors(), self.connections()), (count, count), "lost: {lost:?}");
    }
}

impl Probe {
    /// Starts one.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(lab: &Lab) -> Probe {
        let mut client = lab.spawn(program("cluster-lab").to_str().expect("UTF-8"), &["probe"]);
        let outcomes = BufReader::new(client.child().stdout.take().expect("piped"));
        Probe { client, outcomes }
    }

    fn order(&mut self, order: &Value) -> Outcome {
        let input = self.client.child().stdin.as_mut().expect("piped");
        writeln!(input, "{order}").expect("the probe runs");
        let mut line = String::new();
        self.outcomes.read_line(&mut line).expect("the probe answers");
        Outcome(serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} after {order}: {line}")))
    }

    /// Adds `count` connections to `set`, each sending a message `every` so many milliseconds.
    ///
    /// # Panics
    /// If the probe has ended.
    pub fn open(&mut self, set: &str, to: &str, count: u64, every: Option<u64>) -> Outcome {
        self.order(&json!({"open": {"set": set, "to": to, "count": count, "every": every}}))
    }

    /// Has each connection of `set` exchange one more message.
    ///
    /// # Panics
    /// If the probe has ended.
    pub fn check(&mut self, set: &str) -> Outcome {
        self.order(&json!({"check": {"set": set}}))
    }

    /// Closes `set`.
    ///
    /// # Panics
    /// If the probe has ended.
    pub fn close(&mut self, set: &str) -> Outcome {
        self.order(&json!({"close": {"set": set}}))
    }
}
