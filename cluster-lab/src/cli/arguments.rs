//! What can be typed: the commands with their arguments. The larger ones bring their own.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use rustix::process::Signal;

use super::log::LogFormat;
use super::{capture, complete, explain, operator, up, web};
use crate::state::lab_name;
use crate::{bench, image, lesson, simulate};

/// A virtual Sysplex on one Linux machine: simulated MVS images share dynamic virtual IP addresses
#[derive(Debug, Parser)]
#[command(name = "cluster-lab", version, arg_required_else_help = true)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

/// Names the lab where no `--name` does.
pub(crate) const LAB_VARIABLE: &str = "CLUSTER_LAB_NAME";

/// Which lab.
#[derive(Clone, Debug, Args)]
pub(super) struct Lab {
    /// Name of the lab
    #[arg(long, env = LAB_VARIABLE, default_value = crate::DEFAULT_NAME, value_parser = lab_name, global = true)]
    pub name: String,
}

#[derive(Debug, Args)]
pub(super) struct Json {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
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
        file: PathBuf,
    },
    /// Show the whole story: distribution, takeover, takeback, with real clients
    Demo {
        /// Name of the lab that the demo makes
        #[arg(long, default_value = "demo", value_parser = lab_name)]
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
        command: Vec<OsString>,
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
        folder: PathBuf,
    },
    /// One image's process
    #[command(hide = true)]
    Image(image::Arguments),
    /// The network's process
    #[command(hide = true)]
    Network,
}

#[derive(Debug, Subcommand)]
pub(super) enum AppVerb {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_and_numbers() {
        assert_eq!(signal("KILL"), Ok(9));
        assert_eq!(signal("sigstop"), Ok(19));
        assert_eq!(signal("18"), Ok(18));
        assert!(signal("NONE").is_err() && signal("0").is_err() && signal("-1").is_err());
    }
}
