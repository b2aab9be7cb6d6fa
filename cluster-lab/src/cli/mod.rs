//! The command line. Exit codes: 0 done, 1 failed, 2 wrong use.

mod arguments;
mod capture;
mod client;
mod complete;
mod explain;
mod help;
mod log;
mod man;
mod operator;
mod show;
mod up;
mod web;

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use clap::{CommandFactory, FromArgMatches};
use thiserror::Error;

use crate::control::{Answer, Question, Reply, Request};
use crate::key::ClusterKey;
use crate::{bench, demo, image, lesson, network, output, probe, profile, simulate, top};

pub(crate) use arguments::LAB_VARIABLE;
use arguments::{AppVerb, Cli, Command, Json, Lab};
pub(crate) use client::{ask, down, not_running};
use log::LogFormat;

/// What was typed makes no sense, which only the command itself could see.
#[derive(Debug, Error)]
#[error("{0:#}")]
struct WrongUse(anyhow::Error);

/// The command, whole.
pub fn main() -> ExitCode {
    complete::answer(Cli::command);
    let matches = help::with_examples(Cli::command()).get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    // Details on request (RUST_LOG); what images say ends up in the lab's event log.
    match &cli.command {
        Command::Up(up) => up.log_format.diagnose(),
        Command::Log { log_format, .. } => log_format.diagnose(),
        _ => LogFormat::Text.diagnose(),
    }
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            output::complain(format_args!("{error:#}"));
            if error.is::<WrongUse>() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode> {
    match cli.command {
        // These change namespaces, and so come before any thread.
        Command::Image(arguments) => image::main(&arguments)?,
        Command::Simulate(arguments) => simulate::simulate(&arguments)?,
        Command::Network => network::hold()?,
        Command::Load { load } => bench::load::main(&load)?,
        Command::Inside { holder, user, command } => {
            network::enter(holder, user)?;
            crate::die_with_parent()?;
            return run_in_place(&command);
        }
        Command::Exec { lab, command } => return exec(&lab.name, &command),
        Command::Shell { lab } => {
            let shell = std::env::var("SHELL").unwrap_or_else(|_| "/bin/sh".into());
            return exec(&lab.name, &[shell]);
        }
        command => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let done = runtime.block_on(talk(command));
            // Somebody may have been asked for a line, whom nobody waits for any more.
            runtime.shutdown_background();
            done?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Becomes `command` in the lab's network.
fn exec(lab: &str, command: &[String]) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let reply = runtime.block_on(client::ask(lab, Request::Enter))?;
    drop(runtime);
    if let Reply::Enter { holder: Some(holder), user } = reply {
        network::enter(holder, user)?;
    }
    run_in_place(command)
}

/// Becomes `command`.
fn run_in_place(command: &[impl AsRef<OsStr>]) -> Result<ExitCode> {
    use std::os::unix::process::CommandExt;
    let [program, arguments @ ..] = command else { bail!("no command") };
    let error = std::process::Command::new(program).args(arguments).exec();
    output::complain(format_args!("{} cannot be run: {error}", program.as_ref().display()));
    // As a shell says it.
    Ok(ExitCode::from(if error.kind() == ErrorKind::NotFound { 127 } else { 126 }))
}

async fn talk(command: Command) -> Result<()> {
    match command {
        Command::Up(up) => up::up(up).await,
        Command::Down { lab } => client::down(&lab.name).await,
        Command::Status { lab, json } => show::status(&client::status(&lab.name).await?, json.json),
        Command::Top { lab } => top::top(&lab.name).await,
        Command::Log { lab, log_format } => match client::ask(&lab.name, Request::Log).await? {
            Reply::Log(events, began) => {
                show::lines(&events.iter().map(|event| log_format.line(event, began)).collect::<Vec<_>>())
            }
            other => client::unexpected(&other),
        },
        Command::Kill { image, signal, lab } => client::done(&lab.name, Request::Kill { image, signal }).await,
        Command::Stop { image, lab } => client::done(&lab.name, Request::Stop { image }).await,
        Command::Start { image, lab } => client::done(&lab.name, Request::Start { image }).await,
        Command::Cut { a, b, one_way, lab } => client::done(&lab.name, Request::Cut { between: (a, b), one_way }).await,
        Command::Heal { a, b, one_way, lab } => {
            client::done(&lab.name, Request::Heal { between: a.zip(b), one_way }).await
        }
        Command::App { image, verb, lab } => app(&lab.name, image, verb).await,
        Command::Netstat(netstat) => operator::netstat(netstat).await,
        Command::Display(display) => operator::display(display).await,
        Command::Vary(vary) => operator::vary(vary).await,
        Command::Explain(arguments) => explain::explain(arguments).await,
        Command::Weight(arguments) => explain::weight(arguments).await,
        Command::Capture(arguments) => capture::capture(arguments).await,
        Command::Web(arguments) => web::web(arguments).await,
        Command::Metrics { image, lab } => web::metrics(&lab.name, image.as_deref()).await,
        Command::Check { profile } => {
            let (cluster, warnings) = profile::examine(&profile)?;
            show::checked(&profile, cluster.images.len(), &warnings)
        }
        Command::Key { file } => {
            let made = ClusterKey::random()?.write(&file);
            made.map_err(|error| match error.kind() {
                ErrorKind::AlreadyExists => {
                    anyhow!("{} is there already, and a key is never overwritten: choose another name", file.display())
                }
                _ => anyhow!("{} cannot be written: {error}", file.display()),
            })
        }
        Command::Demo { name, matrix: true, weights, json } => demo::matrix(&name, weights, json).await,
        Command::Demo { name, .. } => demo::story(&name).await,
        Command::Lesson { lesson, lab } => lesson::lesson(&lesson, &lab.name).await,
        Command::Bench(arguments) => bench::bench(&arguments).await,
        Command::Completions { shell } => complete::script(shell),
        Command::Man { folder } => {
            let count = man::write(Cli::command(), &folder)?;
            show::lines(&[format!("{count} pages are in {}", folder.display())])
        }
        Command::Probe => probe::serve().await,
        Command::Image(_)
        | Command::Simulate(_)
        | Command::Network
        | Command::Load { .. }
        | Command::Inside { .. }
        | Command::Exec { .. }
        | Command::Shell { .. } => Err(anyhow!("handled before")).context("a command without a handler"),
    }
}

async fn app(lab: &str, image: String, verb: AppVerb) -> Result<()> {
    let (question, json) = match verb {
        AppVerb::Start { app } => (Question::StartApp(app), false),
        AppVerb::Stop { app } => (Question::StopApp(app), false),
        AppVerb::List { json } => (Question::Apps, json.json),
    };
    match client::ask(lab, Request::Ask { image, question }).await? {
        Reply::Answer(Answer::Done) => Ok(()),
        Reply::Answer(Answer::Apps(apps)) => show::apps(&apps, json),
        other => client::unexpected(&other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
