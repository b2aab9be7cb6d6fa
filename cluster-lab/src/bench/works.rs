//! The works: what each measures, with which client.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde::Serialize;

use super::load::{Latency, Rate};
use super::shape::Shape;
use super::stage::Side;
use super::{SINK, WEB, takeover};

/// One kind of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Work {
    /// One flow from the server to the client
    Down,
    /// One flow from the client to the server
    Up,
    /// Sixteen flows from the server to the client
    Flows16,
    /// HTTP requests on 50 connections that stay (wrk)
    Requests,
    /// HTTP requests, each with a connection of its own (wrk)
    Connections,
    /// How long answers take while the server is half as busy as it can be
    Latency,
    /// How long a connection is without an answer when its router is killed
    Takeover,
}

/// Which values are good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Better {
    Higher,
    Lower,
    /// It is told for the sake of others.
    Neither,
}

/// One number that a work yields.
#[derive(Debug, Serialize)]
pub(super) struct Metric {
    /// As JSON knows it.
    #[serde(rename = "metric")]
    pub key: &'static str,
    pub title: &'static str,
    pub unit: &'static str,
    pub better: Better,
}

const fn metric(key: &'static str, title: &'static str, unit: &'static str, better: Better) -> Metric {
    Metric { key, title, unit, better }
}

const DOWN: [Metric; 1] = [metric("down", "one flow down", "Gbit/s", Better::Higher)];
const UP: [Metric; 1] = [metric("up", "one flow up", "Gbit/s", Better::Higher)];
const FLOWS16: [Metric; 1] = [metric("flows16", "16 flows down", "Gbit/s", Better::Higher)];
const REQUESTS: [Metric; 1] = [metric("requests", "HTTP keep-alive", "requests/s", Better::Higher)];
const CONNECTIONS: [Metric; 1] = [metric("connections", "HTTP, one request each", "connections/s", Better::Higher)];
const LATENCY: [Metric; 4] = [
    metric("latency_rate", "half load", "requests/s", Better::Neither),
    metric("latency_p50", "latency p50, half load", "µs", Better::Lower),
    metric("latency_p99", "latency p99, half load", "µs", Better::Lower),
    metric("latency_p999", "latency p99.9, half load", "µs", Better::Lower),
];
const TAKEOVER: [Metric; 1] = [metric("takeover", "takeover gap", "ms", Better::Lower)];

/// How long one measurement takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub warm_up: Duration,
    pub measured: Duration,
}

impl Work {
    /// In the order of tables.
    pub const ALL: [Work; 7] =
        [Work::Down, Work::Up, Work::Flows16, Work::Requests, Work::Connections, Work::Latency, Work::Takeover];

    /// The numbers that it yields, in this order.
    pub(super) fn metrics(self) -> &'static [Metric] {
        match self {
            Work::Down => &DOWN,
            Work::Up => &UP,
            Work::Flows16 => &FLOWS16,
            Work::Requests => &REQUESTS,
            Work::Connections => &CONNECTIONS,
            Work::Latency => &LATENCY,
            Work::Takeover => &TAKEOVER,
        }
    }

    /// Whether wrk is its client.
    pub(super) fn needs_wrk(self) -> bool {
        matches!(self, Work::Requests | Work::Connections)
    }

    /// Whether it can be done there: only a lab's router has a backup, and one that is the target
    /// takes its connections with it.
    pub(super) fn fits(self, shape: Shape) -> bool {
        self != Work::Takeover || (shape.is_ours() && shape != Shape::Router)
    }

    /// Does it once.
    pub(super) async fn measure(self, side: &Side<'_>, times: Times) -> Result<Vec<f64>> {
        match self {
            Work::Down => flows(side, "down", WEB, 1, times).await,
            Work::Up => flows(side, "up", SINK, 1, times).await,
            Work::Flows16 => flows(side, "down", WEB, 16, times).await,
            Work::Requests => wrk(side, times, &[]).await,
            Work::Connections => wrk(side, times, &["-H", "Connection: close"]).await,
            Work::Latency => latency(side, times).await,
            Work::Takeover => Ok(vec![takeover::gap(side).await?]),
        }
    }
}

impl Times {
    /// For `cluster-lab load`.
    fn arguments(self) -> [String; 4] {
        let millis = |time: Duration| time.as_millis().to_string();
        ["--warm-up".into(), millis(self.warm_up), "--millis".into(), millis(self.measured)]
    }
}

async fn load(side: &Side<'_>, verb: &str, port: u16, options: &[&str], times: Times) -> Result<String> {
    let (to, times) = (side.at(port), times.arguments());
    let mut arguments = vec![verb, &to];
    arguments.extend(options);
    arguments.extend(times.iter().map(String::as_str));
    side.load(&arguments).await
}

async fn flows(side: &Side<'_>, verb: &str, port: u16, flows: usize, times: Times) -> Result<Vec<f64>> {
    let output = load(side, verb, port, &["--flows", &flows.to_string()], times).await?;
    let rate: Rate = serde_json::from_str(&output)?;
    Ok(vec![rate.bytes_per_second * 8e-9])
}

async fn latency(side: &Side<'_>, times: Times) -> Result<Vec<f64>> {
    let output = load(side, "paced", WEB, &[], times).await?;
    let Latency { rate, p50, p99, p999 } = serde_json::from_str(&output)?;
    Ok(vec![rate, p50, p99, p999])
}

/// One thread, 50 connections. wrk takes whole seconds.
async fn wrk(side: &Side<'_>, times: Times, options: &[&str]) -> Result<Vec<f64>> {
    let (seconds, url) = (times.measured.as_secs().max(1), format!("http://{}/", side.at(WEB)));
    let duration = format!("-d{seconds}s");
    let mut arguments = vec!["-t1", "-c50", &duration];
    arguments.extend(options);
    arguments.push(&url);
    Ok(vec![requests(&side.run("wrk", &arguments).await?)?])
}

/// What wrk reached, unless answers were not what they should be.
fn requests(output: &str) -> Result<f64> {
    ensure!(!output.contains("Non-2xx"), "wrk got wrong answers:\n{output}");
    let rate = output.lines().find_map(|line| line.trim().strip_prefix("Requests/sec:"));
    let rate: f64 = rate.and_then(|rate| rate.trim().parse().ok()).context("wrk told no rate")?;
    ensure!(rate > 0.0, "wrk got no answers:\n{output}");
    Ok(rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrk_tells_its_rate() {
        let output =
            "Running 1s test @ http://x/\n  100 requests in 1.00s\nRequests/sec:  84012.51\nTransfer/sec: 9MB\n";
        assert_eq!(requests(output).unwrap(), 84012.51);
        assert!(requests("Requests/sec: 0.00\n").is_err());
        assert!(requests(&format!("{output}  Non-2xx or 3xx responses: 3\n")).is_err());
        assert!(requests("unable to connect\n").is_err());
    }
}
