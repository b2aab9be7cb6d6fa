//! The command line. Exit codes: 0 done, 1 failed, 2 wrong use.

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

use anstyle::{AnsiColor, Style};
use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use rustix::process::Signal;

use crate::control::{Answer, Question, Reply, Request};
use crate::key::ClusterKey;
use crate::{bench, demo, image, lesson, network, probe, profile, simulate, top};

pub(crate) use client::{ask, down, not_running};
use log::LogFormat;

/// A virtual Sysplex on one Linux machine: simulated MVS images share dynamic virtual IP addresses
#[derive(Debug, Parser)]
#[command(name = "cluster-lab", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Names the lab where no `--name` does.
pub(crate) const LAB_VARIABLE: &str = "CLUSTER_LAB_NAME";

/// Which lab.
#[derive(Clone, Debug, Args)]
struct Lab {
    /// Name of the lab
    #[arg(long, env = LAB_VARIABLE, default_value = crate::DEFAULT_NAME, global = true)]
    name: String,
}

#[derive(Debug, Args)]
struct Json {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a lab; stays in front with its event log until Ctrl-C
    Up(up::Up),
    /// Take a lab down
    Down {
        #[command(flatten)]
        lab: Lab,
    },
    /// Show images and DVIPAs
    Status {
        #[command(flatten)]
        lab: Lab,
        #[command(flatten)]
        json: Json,
    },
    /// Watch a lab on the terminal as it happens, and act on it with keys
    Top {
        #[command(flatten)]
        lab: Lab,
    },
    /// Print the event log
    Log {
        /// For people, or as a JSON object a line
        #[arg(long, value_enum, default_value_t)]
        log_format: LogFormat,
        #[command(flatten)]
        lab: Lab,
    },
    /// Run a command on the client side of the lab's network
    Exec {
        #[command(flatten)]
        lab: Lab,
        /// The command and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Run your shell on the client side of the lab's network
    Shell {
        #[command(flatten)]
        lab: Lab,
    },
    /// Send an image a signal: kill -9 unless you say otherwise
    Kill {
        /// The image
        image: String,
        /// Name or number of the signal
        #[arg(long, default_value = "KILL", value_parser = signal)]
        signal: i32,
        #[command(flatten)]
        lab: Lab,
    },
    /// Stop an image in order
    Stop {
        /// The image
        image: String,
        #[command(flatten)]
        lab: Lab,
    },
    /// Start an image again, as a new life
    Start {
        /// The image
        image: String,
        #[command(flatten)]
        lab: Lab,
    },
    /// Cut XCF between two images: it carries nothing until it is healed
    Cut {
        /// One image
        a: String,
        /// The other
        b: String,
        /// Only from A to B
        #[arg(long)]
        one_way: bool,
        #[command(flatten)]
        lab: Lab,
    },
    /// Heal XCF between two images, or everywhere
    Heal {
        /// One image
        #[arg(requires = "b")]
        a: Option<String>,
        /// The other
        b: Option<String>,
        /// Only from A to B
        #[arg(long, requires = "b")]
        one_way: bool,
        #[command(flatten)]
        lab: Lab,
    },
    /// Start, stop and list applications on an image
    App {
        /// The image
        image: String,
        #[command(subcommand)]
        verb: AppVerb,
        #[command(flatten)]
        lab: Lab,
    },
    /// Show a table of an image, laid out as z/OS does
    Netstat(operator::Netstat),
    /// Show what an image knows of the sysplex, or a netstat report, as z/OS operators ask for it
    Display(operator::Displayed),
    /// Change a running image: profiles, and what SYSPLEX commands do
    Vary(operator::Command),
    /// Say why connections went where they went: one client's, or the latest
    Explain(explain::Explain),
    /// Set a weight by hand, over what the profile's workload manager says
    ///
    /// On z/OS WLM alone weighs; this command is this lab's own.
    Weight(explain::Weight),
    /// Capture packets of images as pcapng, XCF readable
    Capture(capture::Capture),
    /// Show the lab in a browser, on this machine and where images serve it themselves
    ///
    /// Prints addresses that carry the token which lets a browser act.
    Web(web::Web),
    /// Print what the lab counts, for Prometheus (OpenMetrics text)
    ///
    /// The same stands at /metrics of 'web', for who sends its token, and of an image's own web application.
    Metrics {
        /// Of one image; otherwise of the lab
        image: Option<String>,
        #[command(flatten)]
        lab: Lab,
    },
    /// Read a profile and say what is wrong with it, or probably not meant; applies nothing
    Check {
        /// A file, or the name of a profile that comes with the program
        profile: String,
    },
    /// Make a key file for XCF, for a profile's 'xcf_key'
    Key {
        /// The file; there must be none of that name
        file: std::path::PathBuf,
    },
    /// Show the whole story: distribution, takeover, takeback, with real clients
    Demo {
        /// Name of the lab that the demo makes
        #[arg(long, default_value = "demo")]
        name: String,
        /// Print the survival matrix instead: connections in each state through each fault of their router
        #[arg(long)]
        matrix: bool,
        /// Spread the matrix's connections by weights instead of in turn
        #[arg(long, requires = "matrix")]
        weights: bool,
        /// Print the matrix as JSON
        #[arg(long, requires = "matrix")]
        json: bool,
    },
    /// Go through a lesson, step by step: what z/OS does, what to type, what to see
    Lesson {
        #[command(flatten)]
        lesson: lesson::Arguments,
        #[command(flatten)]
        lab: Lab,
    },
    /// Measure this lab and its rivals side by side: the kernel alone, nft DNAT, HAProxy
    Bench(bench::Arguments),
    /// One client of the bench, or the kernel's sink
    #[command(hide = true)]
    Load {
        #[command(subcommand)]
        load: bench::load::Load,
    },
    /// Run a command in the network that a process holds
    #[command(hide = true)]
    Inside {
        /// The process
        holder: u32,
        /// It is in a user namespace of its own
        #[arg(long)]
        user: bool,
        /// The command and its arguments
        #[arg(required = true, last = true)]
        command: Vec<std::ffi::OsString>,
    },
    /// Connections that are measured, driven by lines of JSON on standard input
    #[command(hide = true)]
    Probe,
    /// Run whole clusters in virtual time, under every fault, and check what must always hold
    Simulate(simulate::Arguments),
    /// Print the script by which a shell completes this command
    Completions {
        /// The shell
        shell: complete::Shell,
    },
    /// Write a manual page for each command into a folder
    Man {
        /// The folder, made if need be
        folder: std::path::PathBuf,
    },
    /// One image's process
    #[command(hide = true)]
    Image(image::Arguments),
    /// The network's process
    #[command(hide = true)]
    Network,
}

#[derive(Debug, Subcommand)]
enum AppVerb {
    /// Start an application of the profile
    Start {
        /// The application
        app: String,
    },
    /// Stop an application; connections that it serves go on
    Stop {
        /// The application
        app: String,
    },
    /// List the image's applications
    List {
        #[command(flatten)]
        json: Json,
    },
}

fn signal(text: &str) -> Result<i32, String> {
    let name = text.to_uppercase();
    let signal = match name.strip_prefix("SIG").unwrap_or(&name) {
        "KILL" => Signal::KILL,
        "STOP" => Signal::STOP,
        "CONT" => Signal::CONT,
        "TERM" => Signal::TERM,
        "INT" => Signal::INT,
        "HUP" => Signal::HUP,
        "QUIT" => Signal::QUIT,
        "ABRT" => Signal::ABORT,
        "USR1" => Signal::USR1,
        "USR2" => Signal::USR2,
        number => {
            let signal = number.parse().ok().and_then(Signal::from_named_raw);
            signal.ok_or("expected KILL, STOP, CONT, TERM, INT, HUP, QUIT, ABRT, USR1, USR2 or a number")?
        }
    };
    Ok(signal.as_raw())
}

const ERROR: Style = AnsiColor::Red.on_default().bold();

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
            anstream::eprintln!("{ERROR}cluster-lab:{ERROR:#} {error:#}");
            ExitCode::FAILURE
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
    eprintln!("cluster-lab: {} cannot be run: {error}", program.as_ref().display());
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

    #[test]
    fn signals_have_names_and_numbers() {
        assert_eq!(signal("KILL"), Ok(9));
        assert_eq!(signal("sigstop"), Ok(19));
        assert_eq!(signal("18"), Ok(18));
        assert!(signal("NONE").is_err() && signal("0").is_err() && signal("-1").is_err());
    }
}
