//! Runs the packetdrill scripts that count, each in a network namespace of its own, and says
//! which pass.
//!
//! ```sh
//! PACKETDRILL=…/packetdrill PACKETDRILL_SCRIPTS=… cargo run -p packetdrill-adapter --bin conformance
//! ```
//!
//! `--native` lets the kernel's own TCP run the same scripts, `--ipv6` runs them over IPv6; words that follow choose scripts whose
//! name contains one of them. The list, and the differences that stand, are in `scripts.ron`.

mod list;
mod run;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use list::Script;
use run::{Outcome, Runner, Target};

fn main() -> ExitCode {
    match conformance() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("conformance: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// What the environment names; the suites are not part of this project.
fn from_environment(name: &str, what: &str) -> Result<PathBuf> {
    let Some(value) = std::env::var_os(name) else { bail!("{name} is not set: it names {what}") };
    let path = PathBuf::from(value);
    path.canonicalize().with_context(|| format!("{name}={}", path.display()))
}

fn conformance() -> Result<bool> {
    let program = from_environment("PACKETDRILL", "the packetdrill program")?;
    let folder = from_environment("PACKETDRILL_SCRIPTS", "the folder with the suites' checkouts (see scripts.ron)")?;
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut flag = |name: &str| {
        let before = arguments.len();
        arguments.retain(|argument| argument != name);
        arguments.len() < before
    };
    let (native, ipv6) = (flag("--native"), flag("--ipv6"));
    let target = if native { Target::Kernel } else { Target::Stack(adapter()?) };
    let runner = Runner { program, folder, target, ipv6 };
    let chosen =
        |script: &Script| arguments.is_empty() || arguments.iter().any(|part| script.name.contains(part.as_str()));
    let scripts = list::scripts()?;
    let mut tally = Tally::default();
    println!("| script | result | why |\n|---|---|---|");
    for script in scripts.iter().filter(|script| chosen(script) && !(ipv6 && script.ipv4_only)) {
        let outcome = runner.run(script)?;
        tally.count(script, &outcome, native);
    }
    println!(
        "\n{} passed, {} differ as known, {} failed, {} not found",
        tally.passed, tally.known, tally.failed, tally.missing
    );
    Ok(tally.failed == 0)
}

/// The library that is built beside this program.
fn adapter() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let folder = program.parent().context("no folder")?;
    let library = folder.join("libpacketdrill_adapter.so");
    library.canonicalize().with_context(|| format!("{} (build the whole package)", library.display()))
}

#[derive(Default)]
struct Tally {
    passed: usize,
    known: usize,
    failed: usize,
    missing: usize,
}

impl Tally {
    fn count(&mut self, script: &Script, outcome: &Outcome, native: bool) {
        let known = script.known.as_deref().filter(|_| !native);
        let (result, why) = match (outcome, known) {
            (Outcome::Passed, None) => {
                self.passed += 1;
                ("passed", String::new())
            }
            (Outcome::Passed, Some(_)) => {
                self.passed += 1;
                ("passed", "listed as a difference: strike it off".to_owned())
            }
            (Outcome::Failed(_), Some(reason)) => {
                self.known += 1;
                ("differs", reason.to_owned())
            }
            (Outcome::Failed(why), None) => {
                self.failed += 1;
                ("FAILED", why.replace('\n', "; ").replace('|', "/"))
            }
            (Outcome::Missing, _) => {
                self.missing += 1;
                ("not found", script.files.join(", "))
            }
        };
        println!("| {} | {result} | {why} |", script.name);
    }
}
