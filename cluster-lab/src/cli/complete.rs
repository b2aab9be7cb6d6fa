//! Completion in bash, zsh and fish. The shell asks this program at each Tab, so that it can offer what
//! is running: labs, their images and DVIPAs, beside profiles and all that the command line itself knows.

use std::ffi::OsStr;
use std::time::Duration;

use anyhow::{Result, anyhow};
use clap::builder::PossibleValue;
use clap::{Arg, Command, ValueEnum};
use clap_complete::CompleteEnv;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate, PathCompleter, ValueCompleter};
use clap_complete::env::Shells;

use super::{client, help};
use crate::control::Status;
use crate::netstat::ReportKind;
use crate::output::print;
use crate::state::StateDir;
use crate::{lesson, profile};

/// By this variable the shell's script says that it asks for completions.
const VARIABLE: &str = "CLUSTER_LAB_COMPLETE";
/// A lab that takes longer has no say.
const PATIENCE: Duration = Duration::from_secs(1);

/// Shells that are supported.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Answers the shell and ends, if it is the shell that asks. Before anything else is printed.
pub(super) fn answer(command: fn() -> Command) {
    CompleteEnv::with_factory(move || with_candidates(command())).var(VARIABLE).complete();
}

/// Prints the script that a shell reads once.
///
/// # Errors
/// If it cannot be printed.
pub(super) fn script(shell: Shell) -> Result<()> {
    let name = match shell {
        Shell::Bash => "bash",
        Shell::Zsh => "zsh",
        Shell::Fish => "fish",
    };
    let shell = Shells::builtins();
    let shell = shell.completer(name).ok_or_else(|| anyhow!("no completions for {name}"))?;
    let mut script = Vec::new();
    shell.write_registration(VARIABLE, "cluster-lab", "cluster-lab", "cluster-lab", &mut script)?;
    print(&String::from_utf8(script)?)
}

/// Arguments of one name mean the same in every command.
fn with_candidates(command: Command) -> Command {
    help::under(command, "", &|words, command| {
        command.mut_args(|argument| match (words, argument.get_id().as_str()) {
            // Labs that these make themselves.
            ("demo" | "bench" | "lesson" | "up", "name") => argument,
            (_, "name") => offer(argument, labs),
            (_, "image" | "images" | "a" | "b") => offer(argument, images),
            (_, "profile") => argument.add(ArgValueCompleter::new(Profiles)),
            (_, "lesson") => offer(argument, lessons),
            ("vary", "command") => offer(argument, vary_commands),
            ("display", "command") => offer(argument, display_commands),
            _ if argument.is_ignore_case_set() => {
                let values = argument.get_possible_values();
                let help = |value: &PossibleValue| value.get_help().map(ToString::to_string).unwrap_or_default();
                let values: Vec<_> = values.iter().map(|value| (value.get_name().to_owned(), help(value))).collect();
                offer(argument, move || values.clone())
            }
            _ => argument,
        })
    })
}

/// Offers those that begin with what is typed, in capitals or not.
fn offer(argument: Arg, known: impl Fn() -> Vec<(String, String)> + Send + Sync + 'static) -> Arg {
    argument.add(ArgValueCompleter::new(move |typed: &OsStr| {
        let typed = typed.to_string_lossy().to_lowercase();
        let fits = known().into_iter().filter(|(value, _)| value.to_lowercase().starts_with(&typed));
        fits.map(|(value, what)| CompletionCandidate::new(value).help(Some(what.into()))).collect()
    }))
}

fn labs() -> Vec<(String, String)> {
    let running = StateDir::names().into_iter().filter(|name| StateDir::of(name).is_ok_and(|dir| dir.runs()));
    running.map(|name| (name, "a lab that runs".to_owned())).collect()
}

fn images() -> Vec<(String, String)> {
    let images = status().map(|status| status.images).unwrap_or_default();
    images.into_iter().map(|image| (image.name, image.state.word().to_owned())).collect()
}

fn lessons() -> Vec<(String, String)> {
    let titles = lesson::LESSONS.map(|(name, text)| (name.to_owned(), lesson::title(text).to_owned()));
    titles.into()
}

/// An operator's command.
fn whole(rest: &str) -> (String, String) {
    (format!("TCPIP,,{rest}"), String::new())
}

/// What `display` takes.
fn display_commands() -> Vec<(String, String)> {
    let reports = ReportKind::value_variants().iter().filter_map(ValueEnum::to_possible_value);
    let reports = reports.map(|report| whole(&format!("NETSTAT,{}", report.get_name())));
    ["VIPADYN", "GROUP", "PORTS"].map(|what| whole(&format!("SYSPLEX,{what}"))).into_iter().chain(reports).collect()
}

/// What `vary` takes, with the DVIPAs of the lab.
fn vary_commands() -> Vec<(String, String)> {
    let mut commands: Vec<_> =
        ["OBEYFILE,", "SYNTAXCHECK,", "SYSPLEX,LEAVEGROUP", "SYSPLEX,JOINGROUP"].map(whole).into();
    for verb in ["QUIESCE", "RESUME"] {
        commands.push(whole(&format!("SYSPLEX,{verb},TARGET")));
        commands.push(whole(&format!("SYSPLEX,{verb},PORT=")));
    }
    let dvipas = status().map(|status| status.dvipas).unwrap_or_default();
    for verb in ["DEACTIVATE", "REACTIVATE"] {
        commands.extend(dvipas.iter().map(|dvipa| whole(&format!("SYSPLEX,{verb},DVIPA={}", dvipa.name))));
    }
    commands
}

/// Profiles that come with the program, and files.
struct Profiles;

impl ValueCompleter for Profiles {
    fn complete(&self, typed: &OsStr) -> Vec<CompletionCandidate> {
        let names = profile::BUILT_IN.iter().map(|(name, _)| *name);
        let fits = names.filter(|name| name.starts_with(&*typed.to_string_lossy()));
        let own = fits.map(|name| CompletionCandidate::new(name).help(Some("comes with the program".into())));
        own.chain(PathCompleter::file().complete(typed)).collect()
    }
}

/// Of the lab that the line so far is about.
fn status() -> Option<Status> {
    let words: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let lab =
        lab_of(&words).unwrap_or_else(|| std::env::var(super::LAB_VARIABLE).unwrap_or(crate::DEFAULT_NAME.into()));
    runtime.block_on(async { tokio::time::timeout(PATIENCE, client::status(&lab)).await }).ok()?.ok()
}

/// The lab that a command line names.
fn lab_of(words: &[String]) -> Option<String> {
    let behind = words.iter().position(|word| word == "--name").and_then(|at| words.get(at + 1));
    behind.cloned().or_else(|| words.iter().find_map(|word| word.strip_prefix("--name=")).map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lab_is_found_on_the_line() {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(lab_of(&words("cluster-lab kill --name two MV")).as_deref(), Some("two"));
        assert_eq!(lab_of(&words("cluster-lab kill --name=two MV")).as_deref(), Some("two"));
        assert_eq!(lab_of(&words("cluster-lab kill MV --name")), None);
    }

    /// Arguments without candidates of the lab keep their own.
    #[test]
    fn profiles_are_offered_by_name() {
        let offered: Vec<_> =
            Profiles.complete(OsStr::new("fig")).iter().map(|one| one.get_value().to_owned()).collect();
        assert_eq!(offered, ["figure4", "figure4-v6"]);
    }
}
