//! `bench`: measures this lab and its rivals side by side in one run.
//!
//! The same client and the same bytes for each, in network namespaces of its own; every round does
//! every work in every shape, so that a noisy minute meets all of them. Only ratios within one run
//! count.

mod chart;
mod installed;
pub mod load;
mod report;
mod rivals;
mod scale;
mod shape;
mod stage;
mod table;
mod takeover;
mod works;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;

use crate::interruption::Interruption;
use crate::output::print;
use crate::progress::Progress;
use crate::state::lab_name;
use installed::{Missing, find};
use report::Report;
use shape::Shape;
use stage::Stage;
use works::{Times, Work};

const WEB: u16 = 80;
const SINK: u16 = 9;
/// Length of the file that is downloaded, as often as there is time for.
const DOWNLOAD: u64 = 256 << 20;

/// Where a network namespace keeps the congestion control that its new sockets get.
const CONGESTION: &str = "/proc/sys/net/ipv4/tcp_congestion_control";

/// What to measure, and how.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Name of the labs that the bench makes
    #[arg(long, default_value = "bench", value_parser = lab_name)]
    name: String,
    /// One short round of everything, to see that it works; its numbers mean little
    #[arg(long, conflicts_with_all = ["rounds", "seconds"])]
    quick: bool,
    /// How often everything is measured
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// How many seconds each measurement takes
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Only these works
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Work>,
    /// Only these shapes; ratios are to the kernel
    #[arg(long, value_enum, value_delimiter = ',')]
    shapes: Vec<Shape>,
    /// The congestion control of the kernel's senders; the host's own if none is given. One that
    /// paces (bbr) makes runs depend on the machine's timers
    #[arg(long, value_name = "NAME")]
    congestion: Option<String>,
    /// XCF between processes by UDP alone, as it is between hosts, instead of shared memory
    #[arg(long)]
    udp: bool,
    /// Write the results as JSON, every sample among them; '-' prints them instead of the table
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw the results
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Measure how the lab grows instead: connections, images, DVIPAs, and what is said among them
    #[arg(long, conflicts_with_all = ["rounds", "seconds", "only", "shapes", "congestion", "udp", "svg"])]
    scale: bool,
    /// How many connections are held while their router is killed: 100,000, or 2,000 with --quick
    #[arg(long, requires = "scale", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    connections: Option<u32>,
}

impl Arguments {
    fn works(&self) -> Vec<Work> {
        Work::ALL.into_iter().filter(|work| self.only.is_empty() || self.only.contains(work)).collect()
    }

    fn shapes(&self) -> Vec<Shape> {
        Shape::ALL.into_iter().filter(|shape| self.shapes.is_empty() || self.shapes.contains(shape)).collect()
    }

    fn times(&self) -> (u32, Times) {
        let millis = Duration::from_millis;
        match self.quick {
            true => (1, Times { warm_up: millis(100), measured: millis(200) }),
            false => (self.rounds, Times { warm_up: millis(500), measured: Duration::from_secs(self.seconds) }),
        }
    }
}

/// Measures, prints, writes, and leaves nothing behind but the files that were asked for.
///
/// # Errors
/// What could not be measured, and why.
pub async fn bench(arguments: &Arguments) -> Result<()> {
    for file in [&arguments.json, &arguments.svg].into_iter().flatten() {
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
        ensure!(folder.is_none_or(Path::is_dir), "{}: there is no such folder", file.display());
    }
    let mut interruption = Interruption::watch()?;
    if arguments.scale {
        let connections = arguments.connections.map(|connections| connections as usize);
        let Arguments { name, quick, json, .. } = arguments;
        return scale::scale(name, *quick, connections, json.as_deref(), &mut interruption).await;
    }
    let (mut stage, mut missing) = (Stage::default(), Vec::new());
    // Not broken off half-way: what is up by halves could not be taken down.
    let measured = match stage.set_up(arguments, &mut missing).await {
        Ok(()) => interruption.ends(measure(&stage, arguments, missing)).await,
        Err(error) => Err(error),
    };
    let down = stage.take_down().await;
    let report = measured?;
    down?;
    // The table first: what took a quarter of an hour is not lost with a file that cannot be written.
    if arguments.json.as_deref() != Some(Path::new("-")) {
        print(&table::table(&report))?;
    }
    if let Some(file) = &arguments.json {
        report::write_json(&report, file)?;
    }
    if let Some(file) = &arguments.svg {
        chart::write(&report, file)?;
    }
    Ok(())
}

/// All rounds. Every second one takes the shapes in the opposite order.
async fn measure(stage: &Stage, arguments: &Arguments, mut missing: Vec<Missing>) -> Result<Report> {
    let mut works = arguments.works();
    if works.iter().any(|work| work.needs_wrk()) && find("wrk").is_none() {
        missing.push(Missing::new("wrk", "HTTP requests and connections are left out"));
        works.retain(|work| !work.needs_wrk());
    }
    for missing in &missing {
        eprintln!("{}", missing.told());
    }
    let mut sides = stage.sides(&arguments.shapes()).await?;
    ensure!(!sides.is_empty() && !works.is_empty(), "nothing is left to measure");
    let shapes: Vec<Shape> = sides.iter().map(|side| side.shape).collect();
    let (rounds, times) = arguments.times();
    let fitting = works.iter().map(|work| shapes.iter().filter(|shape| work.fits(**shape)).count()).sum::<usize>();
    let progress = Progress::of(fitting * rounds as usize, "measurements");
    let mut report = Report::new(rounds, times.measured.as_secs_f64(), &works, &shapes, missing);
    for round in 1..=rounds {
        for work in &works {
            for side in sides.iter().filter(|side| work.fits(side.shape)) {
                progress.at(format!("round {round}: {}, {}", work.metrics()[0].title, side.shape.heading()));
                let values = work.measure(side, times).await?;
                report.add(*work, side.shape, &values);
                progress.print(told(round, *work, side.shape, &values));
                progress.step();
            }
        }
        sides.reverse();
    }
    report.xcf = if arguments.udp { "UDP alone" } else { "shared memory" };
    if let Some(congestion) = &arguments.congestion {
        report.congestion.clone_from(congestion);
    }
    report.conclude();
    Ok(report)
}

/// The command that gives a namespace this congestion control.
fn set_congestion(name: &str) -> [String; 3] {
    ["sh".into(), "-c".into(), format!("echo '{}' > {CONGESTION}", name.replace('\'', ""))]
}

/// What was measured just now, beside the output.
fn told(round: u32, work: Work, shape: Shape, values: &[f64]) -> String {
    let values = work.metrics().iter().zip(values);
    let values: Vec<_> = values.map(|(metric, value)| format!("{} {}", report::number(*value), metric.unit)).collect();
    format!("round {round}: {:<24}{:<12}{}", work.metrics()[0].title, shape.heading(), values.join(", "))
}
