//! `simulate`: whole clusters of real cores in virtual time, under every fault that invariants.md
//! lists, watched by an observer. A seed decides everything; the same seed gives the same run.
//!
//! | module | what |
//! |---|---|
//! | `plan` | what a run does, from its seed |
//! | `layout` | the cluster |
//! | `world` | virtual time, images, clients |
//! | `networks` | what crosses the networks |
//! | `steps` | what each step does, and the calm after the storm |
//! | `image`, `client` | both cores with an application; a stack that uses them |
//! | `observer`, `checks` | what must always hold |

mod checks;
mod client;
mod image;
mod layout;
mod networks;
mod observer;
mod plan;
mod steps;
mod world;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::IsTerminal;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Result, bail};
use clap::Args;
use serde::Serialize;
use vipa::Guard;

use crate::output;
use crate::progress::Progress;
use plan::Plan;
use world::{Coverage, Outcome, run};

/// Runs of one plan that shrinking may cost.
const SHRINKING: usize = 300;

/// What to simulate.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// Seeds, from the first up to but without the second
    #[arg(long, value_name = "A..B", value_parser = seeds)]
    seeds: Range<u64>,
    /// Images of the cluster
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(4..=32))]
    images: u8,
    /// Threads; by default as many as there are processors
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
    /// Take one guard of the protocol out, to see that it is missed
    #[arg(long, value_parser = guard)]
    without: Option<Guard>,
    /// Tell what happens, line by line
    #[arg(long)]
    trace: bool,
    /// Run each seed twice and compare
    #[arg(long)]
    twice: bool,
    /// Leave out what a failing run does not need, and show the rest
    #[arg(long)]
    shrink: bool,
    /// Print JSON
    #[arg(long, conflicts_with_all = ["trace", "shrink"])]
    json: bool,
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let number = |text: &str| text.trim().parse::<u64>().map_err(|_| format!("'{text}': expected a number"));
    let (first, last) = text.split_once("..").ok_or("expected two numbers, as in 0..1000")?;
    let range = number(first)?..number(last)?;
    if range.is_empty() { Err("no seed is in there: expected the smaller number first".into()) } else { Ok(range) }
}

fn guard(text: &str) -> Result<Guard, String> {
    let known = || Guard::ALL.map(Guard::name).join(", ");
    Guard::ALL
        .into_iter()
        .find(|guard| guard.name() == text.to_lowercase())
        .ok_or_else(|| format!("expected one of {}", known()))
}

/// A run that failed.
#[derive(Debug, Serialize)]
struct Failure {
    seed: u64,
    invariant: &'static str,
    what: String,
    replay: String,
}

/// All runs together.
#[derive(Debug, Serialize)]
struct Summary {
    seeds: u64,
    passed: u64,
    seconds: f64,
    hash: u64,
    failures: Vec<Failure>,
    coverage: Coverage,
}

/// Runs every seed.
///
/// # Errors
/// If one of them failed.
pub fn simulate(arguments: &Arguments) -> Result<()> {
    let began = Instant::now();
    let processors = || std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = arguments.jobs.map_or_else(processors, usize::from);
    let next = AtomicU64::new(arguments.seeds.start);
    let stop = AtomicBool::new(false);
    // A handful of failures say enough; of a guard that is missed, one.
    let enough = if arguments.without.is_some() { 1 } else { 5 };
    let outcomes: Mutex<BTreeMap<u64, Outcome>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= arguments.seeds.end {
                        return;
                    }
                    let outcome = one(arguments, seed);
                    let failed = outcome.violation.is_some();
                    let mut outcomes = outcomes.lock().unwrap_or_else(PoisonError::into_inner);
                    outcomes.insert(seed, outcome);
                    let failures = || outcomes.values().filter(|outcome| outcome.violation.is_some()).count();
                    if failed && failures() >= enough {
                        stop.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
        if std::io::stderr().is_terminal() {
            progress(&next, &arguments.seeds, &stop);
        }
    });
    let outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
    let summary = summarise(arguments, &outcomes, began.elapsed().as_secs_f64());
    output::print(&report(arguments, &summary, &outcomes)?)?;
    match summary.failures.len() {
        0 => Ok(()),
        count => bail!("{count} of {} seeds failed", summary.seeds),
    }
}

fn one(arguments: &Arguments, seed: u64) -> Outcome {
    let plan = Plan::new(seed, usize::from(arguments.images));
    let mut outcome = run_caught(&plan, arguments.without, arguments.trace);
    if arguments.twice
        && outcome.violation.is_none()
        && run_caught(&plan, arguments.without, false).hash != outcome.hash
    {
        let what = "two runs of this seed differ".to_owned();
        outcome.violation = Some(observer::Violation { id: "I25", what });
    }
    outcome
}

/// A core that panics has failed in this run, and not the program.
fn run_caught(plan: &Plan, without: Option<Guard>, trace: bool) -> Outcome {
    caught(|| run(plan, without, trace))
}

fn caught(run: impl FnOnce() -> Outcome) -> Outcome {
    // What it leaves half done is never looked at.
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        let what = words.unwrap_or("without words").to_owned();
        let violation = Some(observer::Violation { id: "panic:", what });
        Outcome { violation, hash: 0, coverage: Coverage::new(), trace: Vec::new() }
    })
}

fn progress(next: &AtomicU64, seeds: &Range<u64>, stop: &AtomicBool) {
    let all = usize::try_from(seeds.end - seeds.start).unwrap_or(usize::MAX);
    let progress = Progress::of(all, "seeds");
    loop {
        let done = next.load(Ordering::Relaxed).min(seeds.end) - seeds.start;
        progress.reached(usize::try_from(done).unwrap_or(all));
        if done >= seeds.end - seeds.start || stop.load(Ordering::Relaxed) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
}

fn summarise(arguments: &Arguments, outcomes: &BTreeMap<u64, Outcome>, seconds: f64) -> Summary {
    let mut coverage: Coverage = plan::What::ALL.into_iter().map(|what| (format!("step: {what:?}"), 0)).collect();
    let mut hash = 0u64;
    let mut failures = Vec::new();
    for (seed, outcome) in outcomes {
        hash = hash.rotate_left(7) ^ outcome.hash;
        for (what, count) in &outcome.coverage {
            *coverage.entry(what.clone()).or_default() += count;
        }
        if let Some(violation) = &outcome.violation {
            let without = arguments.without.map_or(String::new(), |guard| format!(" --without {}", guard.name()));
            let images = if arguments.images == 5 { String::new() } else { format!(" --images {}", arguments.images) };
            failures.push(Failure {
                seed: *seed,
                invariant: violation.id,
                what: violation.what.clone(),
                replay: format!("cluster-lab simulate --seeds {seed}..{}{images}{without} --trace", seed + 1),
            });
        }
    }
    let seeds = outcomes.len() as u64;
    Summary { seeds, passed: seeds - failures.len() as u64, seconds, hash, failures, coverage }
}

fn report(arguments: &Arguments, summary: &Summary, outcomes: &BTreeMap<u64, Outcome>) -> Result<String> {
    if arguments.json {
        return Ok(serde_json::to_string(summary)? + "\n");
    }
    let mut out = String::new();
    if arguments.trace {
        for line in outcomes.values().flat_map(|outcome| &outcome.trace) {
            writeln!(out, "{line}")?;
        }
    }
    writeln!(out, "{:<40} {:>12}", "what occurred", "times")?;
    for (what, count) in &summary.coverage {
        writeln!(out, "{what:<40} {count:>12}")?;
    }
    for failure in &summary.failures {
        writeln!(out, "\nseed {}: {} {}\n  again: {}", failure.seed, failure.invariant, failure.what, failure.replay)?;
        if arguments.shrink {
            let plan = Plan::new(failure.seed, usize::from(arguments.images));
            let least = shrink(&plan, arguments.without, failure.invariant);
            writeln!(out, "  {} of {} steps are enough:", least.steps.len(), plan.steps.len())?;
            for line in run_caught(&least, arguments.without, true).trace {
                writeln!(out, "    {line}")?;
            }
        }
    }
    let rate = summary.seeds as f64 / summary.seconds.max(1e-9);
    writeln!(out, "\n{} of {} seeds passed, {rate:.0} seeds/s", summary.passed, summary.seeds)?;
    Ok(out)
}

/// Leaves steps out, in ever smaller pieces, as long as the run fails in the same way.
fn shrink(plan: &Plan, without: Option<Guard>, invariant: &str) -> Plan {
    let mut least = plan.clone();
    let mut piece = least.steps.len().div_ceil(2);
    let mut runs = 0;
    while piece > 0 && runs < SHRINKING {
        let mut at = 0;
        while at < least.steps.len() && runs < SHRINKING {
            let mut shorter = least.clone();
            shorter.steps.drain(at..(at + piece).min(shorter.steps.len()));
            runs += 1;
            let violation = run_caught(&shorter, without, false).violation;
            if violation.is_some_and(|violation| violation.id == invariant) {
                least = shorter;
            } else {
                at += piece;
            }
        }
        piece /= 2;
    }
    least
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever is to look into it learns which seed it was.
    #[test]
    fn a_panic_is_a_failure_of_its_seed() {
        let number = 7;
        for outcome in [caught(|| panic!("no room for {number}")), caught(|| panic!("no room for 7"))] {
            let violation = outcome.violation.unwrap();
            assert_eq!((violation.id, violation.what.as_str()), ("panic:", "no room for 7"));
        }
    }
}
