//! Very many connections through one DVIPA, whose router is killed.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use rustix::process::{Resource, Signal, getrlimit};

use super::cluster::{BACKUP, ROUTER, Shape};
use super::images::{processes, settled};
use super::memory::Memory;
use super::report::Held;
use super::traffic::Rate;
use super::with_lab;
use crate::control::Request;
use crate::demo::lab::Lab;
use crate::demo::prober::Prober;
use crate::interruption::Interruption;
use crate::netstat::{Report, ReportKind};
use crate::probe::{Order, Outcome};
use crate::progress::Progress;

/// Targets beside the router and its backup.
const TARGETS: usize = 4;
/// The most that one client holds: it has so many ports towards one server.
const MOST: u64 = 20_000;
/// Descriptors that a client needs for itself.
const SPARE: u64 = 64;
/// Connections that send all the time, and how often in milliseconds.
const PULSES: usize = 20;
const PULSE: u64 = 10;
/// A client's kernel gives out every second port first, and searches long for each of the others: every
/// second one has to do. Where it cannot be told, opening takes longer.
const PORTS: [&str; 3] = ["sh", "-c", "echo 15000 65535 > /proc/sys/net/ipv4/ip_local_port_range"];
/// After a burst, until everybody is idle.
const MOMENT: Duration = Duration::from_millis(500);

/// Holds so many connections, and kills their router.
pub(super) async fn measure(
    name: &str,
    connections: usize,
    watched: u64,
    progress: &Progress,
    interruption: &mut Interruption,
) -> Result<Held> {
    let clients = shares(connections, getrlimit(Resource::Nofile).maximum)?;
    let shape = Shape { images: TARGETS + 2, dvipas: 1, ports: clients.len() + 1, all_serve: false };
    with_lab(name, shape.cluster()?, false, interruption, async |lab| {
        settled(lab, shape).await?;
        let before = Occupied::now(lab, shape).await?;
        drop(lab.client(PORTS[0], &PORTS[1..])?.output().await);
        let mut probers = Vec::new();
        for _ in &clients {
            probers.push(Prober::start(lab)?);
        }
        let began = Instant::now();
        let opened = try_join_all(probers.iter_mut().zip(clients.iter().enumerate()).map(|(prober, (port, count))| {
            prober.order(Order::Open { set: set(), to: Shape::server(0, port), count: *count, every: None })
        }))
        .await?;
        let opening = began.elapsed();
        let opened: usize = opened.iter().map(|outcome| outcome.survivors).sum();
        progress.print(format_args!("{opened} connections are open after {:.1} s", opening.as_secs_f64()));
        known(lab, ROUTER, opened).await?;
        tokio::time::sleep(MOMENT).await;
        let after = Occupied::now(lab, shape).await?;
        let idle = Rate::of(lab, &processes(lab).await?, watched).await?;
        let undisturbed = Instant::now();
        let outcomes = check(&mut probers).await?;
        let undisturbed = undisturbed.elapsed();
        let undisturbed_again = sent_again(&outcomes);
        let mut pulse = Prober::start(lab)?;
        let to = Shape::server(0, clients.len());
        pulse.order(Order::Open { set: set(), to, count: PULSES, every: Some(PULSE) }).await?;
        known(lab, ROUTER, opened + PULSES).await?;
        tokio::time::sleep(MOMENT).await;
        pulse.order(Order::Check { set: set() }).await?;
        let killed = Instant::now();
        lab.order(Request::Kill { image: ROUTER.into(), signal: Signal::KILL.as_raw() }).await?;
        let outcomes = check(&mut probers).await?;
        let answered = killed.elapsed();
        let beats = pulse.order(Order::Check { set: set() }).await?;
        for failure in outcomes.iter().flat_map(|outcome| &outcome.failures).take(5) {
            progress.print(format_args!("lost: {failure}"));
        }
        let (takeover_ms, taken_over) = takeover(lab, 1).await?;
        let survivors: usize = outcomes.iter().chain([&beats]).map(|outcome| outcome.survivors).sum();
        tokio::time::sleep(MOMENT).await;
        let taken = Memory::of(pid(lab, BACKUP).await?)?.pss;
        let each = |bytes: f64, count: usize| bytes / count.max(1) as f64;
        Ok(Held {
            connections,
            clients: clients.len(),
            targets: TARGETS,
            opened_per_second: opened as f64 / opening.as_secs_f64(),
            router_bytes_each: each(after.router - before.router, opened),
            target_bytes_each: each(after.targets - before.targets, opened),
            backup_bytes_each: each(taken - before.backup, opened),
            processors: idle.processors,
            datagrams_per_second: idle.traffic.datagrams,
            takeover_ms,
            taken_over,
            all_answered_ms: answered.as_secs_f64() * 1000.0,
            sent_again: sent_again(&outcomes),
            undisturbed_ms: undisturbed.as_secs_f64() * 1000.0,
            undisturbed_again,
            lost: connections + PULSES - survivors.min(connections + PULSES),
            longest_gap_ms: beats.longest_gap_us.map_or(0.0, |micros| micros as f64 / 1000.0),
        })
    })
    .await
}

fn set() -> String {
    "held".into()
}

/// How many connections each client holds, if it may have `descriptors`.
fn shares(connections: usize, descriptors: Option<u64>) -> Result<Vec<usize>> {
    let most = descriptors.map_or(MOST, |most| most.saturating_sub(SPARE).min(MOST));
    let most = usize::try_from(most)?;
    ensure!(most > 0, "a process may open too few files: raise the limit with 'ulimit -n'");
    let clients = connections.div_ceil(most);
    Ok((0..clients).map(|client| (connections + client) / clients).collect())
}

/// Segments that the clients' kernels have sent again: each was lost, and cost an RTO.
fn sent_again(outcomes: &[Outcome]) -> u64 {
    outcomes.iter().map(|outcome| outcome.retransmissions).sum()
}

async fn check(probers: &mut [Prober]) -> Result<Vec<Outcome>> {
    try_join_all(probers.iter_mut().map(|prober| prober.order(Order::Check { set: set() }))).await
}

/// Waits until an image's tables have so many connections.
async fn known(lab: &Lab, image: &str, connections: usize) -> Result<()> {
    lab.wait(&format!("{image} knows {connections} connections"), async || {
        let Report::Vdpt { destinations } = lab.netstat(image, ReportKind::Vdpt).await? else {
            return Ok(Err("no table".into()));
        };
        let known: u64 = destinations.iter().map(|row| row.active).sum();
        Ok(if known == connections as u64 { Ok(()) } else { Err(format!("it knows {known}")) })
    })
    .await
}

/// Milliseconds from the router's end, as it was first noticed, until its backup was active for all
/// DVIPAs, and how many connections it had by then.
pub(super) async fn takeover(lab: &Lab, dvipas: usize) -> Result<(f64, usize)> {
    let log = lab.log(usize::MAX).await;
    takeover_in(&log, dvipas).with_context(|| format!("the log does not tell of {dvipas} takeovers"))
}

fn takeover_in(log: &[String], dvipas: usize) -> Option<(f64, usize)> {
    let lines: Vec<(f64, &str)> = log.iter().filter_map(|line| parsed(line)).collect();
    let killed = format!("{ROUTER}: killed");
    let gone = format!(": {ROUTER} is gone");
    // Lines stand in the order in which they reached the supervisor.
    let noticed = lines.iter().filter(|(_, text)| *text == killed || text.contains(&gone));
    let noticed = noticed.map(|(at, _)| *at).reduce(f64::min)?;
    let active = lines.iter().filter_map(|(at, text)| {
        let told = text.strip_prefix(BACKUP)?.split_once(" is active with ")?.1;
        Some((*at, told.split(' ').next()?.parse::<usize>().ok()?))
    });
    let active: Vec<_> = active.collect();
    let last = active.iter().map(|(at, _)| *at).reduce(f64::max)?;
    (active.len() >= dvipas).then(|| ((last - noticed) * 1000.0, active.iter().map(|(_, count)| count).sum()))
}

/// A line of the event log: its second, and what it says.
fn parsed(line: &str) -> Option<(f64, &str)> {
    let (time, text) = line.strip_prefix('[')?.split_once("] ")?;
    Some((time.trim().parse().ok()?, text))
}

async fn pid(lab: &Lab, image: &str) -> Result<u32> {
    let images = lab.status().await?.images;
    let found = images.iter().find(|known| known.name == image).and_then(|known| known.pid);
    found.with_context(|| format!("{image} does not run"))
}

/// What images occupy, in bytes; all targets together.
struct Occupied {
    router: f64,
    backup: f64,
    targets: f64,
}

impl Occupied {
    async fn now(lab: &Lab, shape: Shape) -> Result<Occupied> {
        let of = async |image: &str| Ok(Memory::of(pid(lab, image).await?)?.pss) as Result<f64>;
        let mut targets = 0.0;
        for target in shape.serving() {
            targets += of(&target).await?;
        }
        Ok(Occupied { router: of(ROUTER).await?, backup: of(BACKUP).await?, targets })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_share_all_connections() {
        assert_eq!(shares(100_000, None).unwrap(), [20_000; 5]);
        let shares_of_few = shares(100_000, Some(20_000)).unwrap();
        assert_eq!((shares_of_few.len(), shares_of_few.iter().sum::<usize>()), (6, 100_000));
        assert!(shares_of_few.iter().all(|share| *share <= 19_936));
        assert!(shares(1, Some(10)).is_err());
    }

    #[test]
    fn a_takeover_is_read_from_the_log() {
        let log = [
            "[    0.300] MVS1: 198.18.0.1 is active with 0 connections (epoch 7/255)",
            "[    1.000] MVS4: MVS1 is gone, and 3 connections with it",
            "[    1.001] MVS1: killed",
            "[    1.004] MVS2: 198.18.0.1 is active with 40 connections (epoch 8/10)",
            "[    1.006] MVS2: 198.18.0.2 is active with 2 connections (epoch 8/10)",
        ]
        .map(str::to_owned);
        let (millis, connections) = takeover_in(&log, 2).unwrap();
        assert!((millis - 6.0).abs() < 0.01 && connections == 42, "{millis} {connections}");
        assert_eq!(takeover_in(&log, 3), None);
        assert_eq!(takeover_in(&log[..1], 1), None);
    }
}
