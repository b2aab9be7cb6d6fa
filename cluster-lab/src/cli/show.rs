//! Printing.

use std::io::{self, Write};

use anyhow::Result;

use crate::control::{AppStatus, ImageState, Status};
use crate::netstat::Report;

/// Writes to standard output; a reader that has seen enough, such as `head`, is no error.
fn print(text: &str) -> Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

pub(super) fn lines(lines: &[String]) -> Result<()> {
    print(&lines.iter().map(|line| format!("{line}\n")).collect::<String>())
}

fn json(value: &impl serde::Serialize) -> Result<()> {
    print(&format!("{}\n", serde_json::to_string_pretty(value)?))
}

pub(super) fn report(report: &Report, as_json: bool) -> Result<()> {
    if as_json { json(&report.to_json()) } else { print(&report.to_string()) }
}

pub(super) fn apps(apps: &[AppStatus], as_json: bool) -> Result<()> {
    if as_json {
        return json(&apps);
    }
    let mut text = format!("{:<12} {:<10} {:<22} {}\n", "APPLICATION", "STATE", "LISTENS ON", "KIND");
    for app in apps {
        let state = if app.running { "running" } else { "stopped" };
        text += &format!("{:<12} {state:<10} {:<22} {}\n", app.name, app.listens, app.kind);
    }
    print(&text)
}

pub(super) fn status(status: &Status, as_json: bool) -> Result<()> {
    if as_json {
        return json(status);
    }
    let mut text = format!("{:<16} {:<9} {:>8}  {}\n", "IMAGE", "STATE", "PID", "XCF");
    for image in &status.images {
        let state = match image.state {
            ImageState::Running => "running",
            ImageState::Stopped => "stopped",
            ImageState::Failed => "failed",
        };
        let pid = image.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
        text += &format!("{:<16} {state:<9} {pid:>8}  {}\n", image.name, image.xcf);
    }
    text +=
        &format!("\n{:<8} {:<15} {:<12} {:<9} {:<20} {}\n", "DVIPA", "ADDRESS", "PORTS", "OWNER", "TARGETS", "BACKUPS");
    let list = |items: &[String]| if items.is_empty() { "-".to_owned() } else { items.join(" ") };
    for dvipa in &status.dvipas {
        let ports: Vec<String> = dvipa.ports.iter().map(u16::to_string).collect();
        let (ports, targets, backups) = (list(&ports), list(&dvipa.targets), list(&dvipa.backups));
        let (address, owner) = (dvipa.address.to_string(), dvipa.owner.as_deref().unwrap_or("-"));
        text += &format!("{:<8} {address:<15} {ports:<12} {owner:<9} {targets:<20} {backups}\n", dvipa.name);
    }
    if !status.cuts.is_empty() {
        let cuts: Vec<String> = status.cuts.iter().map(|(from, to)| format!("{from} > {to}")).collect();
        text += &format!("\nXCF is cut: {}\n", cuts.join(", "));
    }
    print(&text)
}
