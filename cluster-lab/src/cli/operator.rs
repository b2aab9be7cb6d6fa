//! What an operator asks and tells an image: NETSTAT, DISPLAY, VARY.

use anyhow::{Result, anyhow};
use clap::Args;
use vipa::messages::{COMPLETED, NETSTAT, STACK};

use super::{Json, Lab, WrongUse, client, show};
use crate::control::{Answer, Question, Reply, Request};
use crate::display::{self, Display};
use crate::netstat::{Pattern, ReportKind, Selection, Variant};
use crate::output::print;
use crate::vary::{self, Vary};

#[derive(Debug, Args)]
pub(super) struct Netstat {
    /// The image
    image: String,
    /// The report
    #[arg(ignore_case = true)]
    report: ReportKind,
    /// What of it
    #[arg(ignore_case = true)]
    variant: Option<Variant>,
    /// IPADDR: only rows with this address, network (203.0.113.0/24) or beginning (203.0.113.*)
    #[arg(short = 'I', long, value_name = "ADDRESS")]
    ipaddr: Vec<Pattern>,
    /// PORT: only rows with this port
    #[arg(short = 'P', long)]
    port: Vec<u16>,
    /// CLIENT: only rows of this application
    #[arg(short = 'E', long, value_name = "APPLICATION")]
    client: Vec<String>,
    /// Show no more than so many rows
    #[arg(short = 'M', long, value_name = "ROWS")]
    max: Option<usize>,
    #[command(flatten)]
    lab: Lab,
    #[command(flatten)]
    json: Json,
}

pub(super) async fn netstat(netstat: Netstat) -> Result<()> {
    let Netstat { image, report, variant, ipaddr, port, client, max, lab, json } = netstat;
    let selection = Selection { kind: report, addresses: ipaddr, ports: port, clients: client };
    report_of(&lab.name, image, selection, variant, max.unwrap_or(usize::MAX), json.json, None).await
}

async fn report_of(
    lab: &str,
    image: String,
    selection: Selection,
    variant: Option<Variant>,
    max: usize,
    json: bool,
    title: Option<String>,
) -> Result<()> {
    selection.kind.has(variant).map_err(|why| WrongUse(anyhow!(why)))?;
    match client::ask(lab, Request::Ask { image, question: Question::Netstat(selection) }).await? {
        Reply::Answer(Answer::Netstat(mut report)) => {
            let total = report.truncate(max);
            if json {
                return show::report(&report);
            }
            let mut text = format!("{}{}", title.unwrap_or_default(), report.text(variant));
            if max < usize::MAX {
                text += &shown(max, total);
            }
            print(&text)
        }
        other => client::unexpected(&other),
    }
}

/// How many rows are shown, as z/OS ends a display.
fn shown(max: usize, total: usize) -> String {
    format!("{} OF {total} RECORDS DISPLAYED\n", total.min(max))
}

#[derive(Debug, Args)]
pub(super) struct Command {
    /// The image
    image: String,
    /// The command, as an operator writes it
    #[arg(required = true)]
    command: Vec<String>,
    #[command(flatten)]
    lab: Lab,
}

pub(super) async fn vary(Command { image, command, lab }: Command) -> Result<()> {
    let mut vary = vary::parse(&command).map_err(WrongUse)?;
    vary.read_file()?;
    let done = completed(&vary);
    match client::ask(&lab.name, Request::Ask { image, question: Question::Vary(vary) }).await? {
        Reply::Answer(Answer::Done) => show::lines(&[done]),
        other => client::unexpected(&other),
    }
}

/// What z/OS says once it is done.
fn completed(vary: &Vary) -> String {
    let command = match vary {
        Vary::Obey(_) => "VARY OBEY",
        Vary::SyntaxCheck(_) => "SYNTAXCHECK",
        _ => "VARY SYSPLEX",
    };
    format!("{COMPLETED} COMMAND {command} COMPLETED SUCCESSFULLY")
}

#[derive(Debug, Args)]
pub(super) struct Displayed {
    #[command(flatten)]
    command: Command,
    #[command(flatten)]
    json: Json,
}

pub(super) async fn display(Displayed { command, json }: Displayed) -> Result<()> {
    let Command { image, command, lab } = command;
    let (sysplex, max) = match display::parse(&command).map_err(WrongUse)? {
        Display::Sysplex(sysplex, max) => (sysplex, max),
        Display::Netstat(selection, variant, max) => {
            let title = format!("{NETSTAT} NETSTAT {} {STACK}\n", display::RELEASE);
            return report_of(&lab.name, image, selection, variant, max, json.json, Some(title)).await;
        }
    };
    match client::ask(&lab.name, Request::Ask { image, question: Question::Sysplex(sysplex) }).await? {
        Reply::Answer(Answer::Sysplex(mut report)) => {
            let total = report.truncate(max);
            if json.json {
                return show::json(&report.to_json());
            }
            let end = if total > 0 { shown(max, total) } else { String::new() };
            print(&format!("{report}{end}"))
        }
        other => client::unexpected(&other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn displays_end_with_what_they_left_out() {
        assert_eq!(shown(1, 3), "1 OF 3 RECORDS DISPLAYED\n");
        assert_eq!(shown(usize::MAX, 3), "3 OF 3 RECORDS DISPLAYED\n");
        assert_eq!(completed(&Vary::LeaveGroup), "EZZ0053I COMMAND VARY SYSPLEX COMPLETED SUCCESSFULLY");
    }
}
