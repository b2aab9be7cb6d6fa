//! Printing.

use anstream::stream::RawStream;
use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use anyhow::Result;

use crate::control::{AppStatus, ImageState, Status};
use crate::explain::ExplainedConnection;
use crate::netstat::Report;
use crate::output::print;
use crate::profile::ProfileError;

const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default();

/// Whether colours are seen there: on a terminal, unless NO_COLOR or its like says otherwise.
pub(super) fn colours(stream: &impl RawStream) -> bool {
    AutoStream::choice(stream) != ColorChoice::Never
}

pub(super) fn lines(lines: &[String]) -> Result<()> {
    print(&lines.iter().map(|line| format!("{line}\n")).collect::<String>())
}

/// What `check` has found in a profile without errors.
pub(super) fn checked(profile: &str, images: usize, warnings: &[ProfileError]) -> Result<()> {
    let warning = |ProfileError { file, at: (line, column), message }: &ProfileError| {
        format!("{file}:{line}:{column}: warning: {message}")
    };
    let mut text: Vec<String> = warnings.iter().map(warning).collect();
    let count = match warnings.len() {
        0 => String::new(),
        1 => ", 1 warning".to_owned(),
        count => format!(", {count} warnings"),
    };
    text.push(format!("{profile}: {images} images, no errors{count}"));
    lines(&text)
}

pub(super) fn json(value: &impl serde::Serialize) -> Result<()> {
    print(&format!("{}\n", serde_json::to_string_pretty(value)?))
}

pub(super) fn report(report: &Report) -> Result<()> {
    json(&report.to_json())
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

pub(super) fn explained(connections: &[ExplainedConnection], as_json: bool) -> Result<()> {
    if as_json {
        return json(&connections);
    }
    match connections {
        [] => print("No image that runs has decided about a connection yet.\n"),
        all => print(&all.iter().map(ExplainedConnection::to_string).collect::<Vec<_>>().join("\n")),
    }
}

pub(super) fn status(status: &Status, as_json: bool) -> Result<()> {
    if as_json {
        return json(status);
    }
    let mut text = format!("{:<16} {:<9} {:>8}  {}\n", "IMAGE", "STATE", "PID", "XCF");
    for image in &status.images {
        let (state, style) = (image.state.word(), self::style(image.state));
        let pid = image.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
        text += &format!("{:<16} {style}{state:<9}{style:#} {pid:>8}  {}\n", image.name, image.xcf);
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

fn style(state: ImageState) -> Style {
    match state {
        ImageState::Running => GOOD,
        ImageState::Stopped => Style::new(),
        ImageState::Failed => BAD,
    }
}
