//! The survival matrix: connections in each state through each fault of their router.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::faults::{self, Fault};
use super::lab::Lab;
use super::prober::Prober;
use crate::output::print;
use crate::probe::{Failure, Order, Outcome};
use crate::profile;
use crate::progress::Progress;

const PROFILE: &str = include_str!("../../../profiles/matrix.ron");
const ROUND_ROBIN: &str = "DISTMethod ROUNDROBIN DVA PORT 7 DESTIP XCF2 XCF3 XCF4 XCF5";
const WEIGHTED: &str =
    "DISTMethod WEIGHTEDActive DVA PORT 7 DESTIP XCF2 WEIGHT 10 XCF3 WEIGHT 20 XCF4 WEIGHT 10 XCF5 WEIGHT 10";
/// Connections of a cell.
const CELL: usize = 30;
/// Of these, opened while the backup routes, where the router comes back as a new life.
const MEANWHILE: usize = 10;
/// Milliseconds between two messages of an active connection.
const EVERY: u64 = 5;
/// How long an idle connection keeps silent once the cluster has settled.
const SILENCE: Duration = Duration::from_secs(3);
/// Lost connections of a cell that are told in words.
const FAILURES_TOLD: usize = 5;
/// Lines of the event log that explain a failure.
const LOG_LINES: usize = 60;

/// In which state connections meet the fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    /// The handshake is done; the first byte comes after the fault.
    HandshakeOnly,
    /// A message every few milliseconds, all the time.
    Active,
    /// Some bytes, then silence through the fault and beyond.
    IdleForLong,
}

impl State {
    const ALL: [State; 3] = [State::HandshakeOnly, State::Active, State::IdleForLong];

    fn title(self) -> &'static str {
        match self {
            State::HandshakeOnly => "handshake only",
            State::Active => "active",
            State::IdleForLong => "idle for long",
        }
    }

    fn set(self) -> String {
        self.title().to_owned()
    }
}

/// One cell.
#[derive(Debug, Serialize)]
struct Cell {
    fault: Fault,
    state: State,
    connections: usize,
    survivors: usize,
    /// Of active connections, in milliseconds.
    longest_gap_ms: Option<f64>,
    retransmissions: u64,
    failures: Vec<Failure>,
}

impl Cell {
    fn holds(&self) -> bool {
        self.connections == CELL && self.survivors == CELL
    }
}

/// Fills the matrix, prints it, and fails unless every connection of every cell lived.
///
/// # Errors
/// What did not hold.
pub async fn matrix(name: &str, weights: bool, json: bool) -> Result<()> {
    let text = if weights { PROFILE.replace(ROUND_ROBIN, WEIGHTED) } else { PROFILE.to_owned() };
    let cluster = profile::read("matrix", &text, std::path::Path::new("."))?;
    let cells = Lab::with(name, cluster, async |lab| {
        let filled = fill(lab).await;
        if !filled.as_ref().is_ok_and(|cells| cells.iter().all(Cell::holds)) {
            lab.log(LOG_LINES).await.iter().for_each(|line| eprintln!("{line}"));
        }
        filled
    })
    .await?;
    let distribution = if weights { "weights" } else { "round robin" };
    if json {
        let matrix = serde_json::json!({ "distribution": distribution, "cells": cells });
        print(&format!("{}\n", serde_json::to_string_pretty(&matrix)?))?;
    } else {
        let title = format!("Connections through a fault of their router, {distribution}: survivors, longest gap");
        print(&format!("{title}\n\n{}", table(&cells)))?;
    }
    let lost: Vec<&Cell> = cells.iter().filter(|cell| !cell.holds()).collect();
    for cell in &lost {
        eprintln!("{}, {}: {}", cell.fault.title(), cell.state.title(), told(&cell.failures));
    }
    ensure!(lost.is_empty(), "{} of {} cells lost connections", lost.len(), cells.len());
    Ok(())
}

async fn fill(lab: &Lab) -> Result<Vec<Cell>> {
    faults::settled(lab).await?;
    let dvipa = SocketAddr::new(lab.dvipa(faults::DVIPA).await?.address, 7);
    let mut prober = Prober::start(lab)?;
    let mut cells = Vec::new();
    let progress = Progress::of(Fault::ALL.len(), "faults");
    for fault in Fault::ALL {
        progress.at(fault.title());
        let row = row(lab, &mut prober, dvipa, fault).await;
        cells.extend(row.with_context(|| format!("while the fault was: {}", fault.title()))?);
        progress.step();
    }
    Ok(cells)
}

/// One fault, under connections in every state.
async fn row(lab: &Lab, prober: &mut Prober, dvipa: SocketAddr, fault: Fault) -> Result<Vec<Cell>> {
    let later = if fault == Fault::RebootedPrimary { MEANWHILE } else { 0 };
    open(prober, dvipa, CELL - later).await?;
    lab.wait("the router knows every connection", async || {
        let routed = faults::routed(lab).await?;
        Ok(if routed < 3 * (CELL - later) { Err(format!("it knows {routed}")) } else { Ok(()) })
    })
    .await?;
    fault.strike(lab, async || if later > 0 { open(prober, dvipa, later).await } else { Ok(()) }).await?;
    // Whoever starts now is served as before the fault.
    let set = "new".to_owned();
    prober.order(Order::Open { set: set.clone(), to: dvipa, count: 3, every: None }).await?;
    let new = prober.order(Order::Check { set: set.clone() }).await?;
    ensure!(new.survivors == 3, "new connections fail: {}", told(&new.failures));
    prober.order(Order::Close { set }).await?;
    let mut cells = Vec::new();
    for state in State::ALL {
        if state == State::IdleForLong {
            tokio::time::sleep(SILENCE).await;
        }
        let outcome = prober.order(Order::Check { set: state.set() }).await?;
        cells.push(cell(fault, state, outcome));
    }
    for state in State::ALL {
        prober.order(Order::Close { set: state.set() }).await?;
    }
    fault.undo(lab).await?;
    Ok(cells)
}

/// Opens `count` connections more in each state.
async fn open(prober: &mut Prober, to: SocketAddr, count: usize) -> Result<()> {
    for state in State::ALL {
        let every = (state == State::Active).then_some(EVERY);
        prober.order(Order::Open { set: state.set(), to, count, every }).await?;
    }
    for state in [State::Active, State::IdleForLong] {
        prober.order(Order::Check { set: state.set() }).await?;
    }
    Ok(())
}

fn cell(fault: Fault, state: State, outcome: Outcome) -> Cell {
    #[allow(clippy::cast_precision_loss, reason = "microseconds of less than a minute")]
    let longest_gap_ms = outcome.longest_gap_us.map(|micros| micros as f64 / 1000.0);
    let Outcome { connections, survivors, retransmissions, failures, .. } = outcome;
    Cell { fault, state, connections, survivors, longest_gap_ms, retransmissions, failures }
}

/// The first few.
fn told(failures: &[Failure]) -> String {
    failures.iter().take(FAILURES_TOLD).map(Failure::to_string).collect::<Vec<_>>().join("; ")
}

fn table(cells: &[Cell]) -> String {
    let line = |title: &str, columns: Vec<String>| {
        let columns: String = columns.iter().map(|column| format!("{column:<18}")).collect();
        format!("{title:<30}{}\n", columns.trim_end())
    };
    let column = |cell: &Cell| {
        let gap = cell.longest_gap_ms.map_or_else(|| "-".into(), |gap| format!("{gap:.0} ms"));
        format!("{:>2}/{:<2}  {gap}", cell.survivors, cell.connections)
    };
    let mut text = line("FAULT OF THE ROUTER", State::ALL.map(|state| state.title().to_uppercase()).to_vec());
    for row in cells.chunks(State::ALL.len()) {
        let title = row.first().map_or("", |cell| cell.fault.title());
        text += &line(title, row.iter().map(column).collect());
    }
    text
}
