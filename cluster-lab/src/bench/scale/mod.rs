//! `bench --scale`: how the lab grows. Clusters are made for it, of real processes; each part brings
//! its own up and takes it down again.

mod cluster;
mod dvipas;
mod held;
mod images;
mod memory;
mod report;
mod table;
mod traffic;

use std::path::Path;

use anyhow::{Context, Result};

use crate::demo::lab::Lab;
use crate::interruption::Interruption;
use crate::output::print;
use crate::profile::Cluster;
use crate::progress::Progress;
use report::Report;

/// How large everything is.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    /// Connections that are held while their router dies.
    held: usize,
    /// DVIPAs of one router.
    dvipas: usize,
    /// Images, and whether they share one process.
    clusters: &'static [(usize, bool)],
    /// Connections that are opened and closed to see what that costs.
    exchanged: usize,
    /// How many seconds idle clusters are watched.
    watched: u64,
}

const FULL: Sizes = Sizes {
    held: 100_000,
    dvipas: 256,
    clusters: &[(2, false), (4, false), (8, false), (16, false), (32, false), (64, true)],
    exchanged: 2000,
    watched: 5,
};

const QUICK: Sizes =
    Sizes { held: 2000, dvipas: 32, clusters: &[(2, false), (8, false), (16, true)], exchanged: 200, watched: 1 };

/// Measures and prints; everything that is brought up is taken down.
///
/// # Errors
/// What could not be measured, and why.
pub(super) async fn scale(
    name: &str,
    quick: bool,
    held: Option<usize>,
    json: Option<&Path>,
    interruption: &mut Interruption,
) -> Result<()> {
    let mut sizes = if quick { QUICK } else { FULL };
    sizes.held = held.unwrap_or(sizes.held);
    let mut report = Report::new(quick);
    let progress = Progress::of(sizes.clusters.len() + 2, "parts");
    for (images, in_process) in sizes.clusters {
        progress.at(format!("{images} images"));
        let row = images::measure(name, *images, *in_process, sizes.exchanged, sizes.watched, interruption).await?;
        progress.print(table::told(&row));
        report.clusters.push(row);
        progress.step();
    }
    progress.at(format!("{} DVIPAs of one router", sizes.dvipas));
    let row = dvipas::measure(name, sizes.dvipas, interruption).await?;
    progress.print(format_args!("{} DVIPAs: taken over in {:.0} ms", row.dvipas, row.takeover_ms));
    report.dvipas = Some(row);
    progress.step();
    progress.at(format!("{} connections held", sizes.held));
    let held = held::measure(name, sizes.held, sizes.watched, &progress, interruption).await?;
    report.held = Some(held);
    drop(progress);
    if json != Some(Path::new("-")) {
        print(&table::table(&report))?;
    }
    if let Some(file) = json {
        super::report::write_json(&report, file)?;
    }
    Ok(())
}

/// Brings a cluster up, has `work` done with it unless a signal comes, and takes it down however that
/// ends.
async fn with_lab<T>(
    name: &str,
    cluster: Cluster,
    in_process: bool,
    interruption: &mut Interruption,
    work: impl AsyncFnOnce(&Lab) -> Result<T>,
) -> Result<T> {
    // Not broken off half-way: what is up by halves could not be taken down.
    let lab = Lab::up(name, cluster, in_process).await.context("the lab cannot be brought up")?;
    let done = interruption.ends(work(&lab)).await;
    let down = lab.down().await;
    let done = done?;
    down?;
    Ok(done)
}
