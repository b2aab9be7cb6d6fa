//! The report as text.

use super::super::report::number;
use super::report::{DvipaRow, Held, ImageRow, Report};

/// Everything, part after part.
pub(super) fn table(report: &Report) -> String {
    let mut text = clusters(&report.clusters);
    if let Some(row) = &report.dvipas {
        text += &dvipas(row);
    }
    if let Some(held) = &report.held {
        text += &self::held(held);
    }
    text += &format!("\n{} processors, Linux {}.\n", report.machine.processors, report.machine.kernel);
    text + "Control traffic is that of all images together; its bytes are without UDP, IP and the seal.\n"
}

/// Progress.
pub(super) fn told(row: &ImageRow) -> String {
    format!("{}: up in {:.0} ms", title(row), row.up_ms)
}

fn title(row: &ImageRow) -> String {
    format!("{} images{}", row.images, if row.in_process { ", one process" } else { "" })
}

fn clusters(rows: &[ImageRow]) -> String {
    let headings =
        ["up, ms", "RSS, MiB", "PSS, MiB", "CPU, %", "dgrams/s", "KB/s", "dgrams", "bytes", "dgrams", "bytes"];
    let line = |title: &str, cells: Vec<String>| {
        let cells: String = cells.iter().map(|cell| format!("{cell:>10}")).collect();
        format!("{title:<24}{cells}\n")
    };
    let group = |title: &str, columns: usize| format!("{title:>width$}", width = columns * 10);
    let mut text = format!(
        "{:<24}{}{}{}{}{}\n",
        "",
        group("", 1),
        group("an idle image", 2),
        group("an idle cluster", 3),
        group("per opened", 2),
        group("per closed", 2)
    );
    text += &line("CLUSTER", headings.map(str::to_owned).into());
    for row in rows {
        let mib = |bytes: f64| number(bytes / f64::from(1 << 20));
        text += &line(
            &title(row),
            vec![
                number(row.up_ms),
                mib(row.rss_bytes),
                mib(row.pss_bytes),
                number(row.processors * 100.0),
                number(row.datagrams_per_second),
                number(row.bytes_per_second / 1000.0),
                number(row.datagrams_per_open),
                number(row.bytes_per_open),
                number(row.datagrams_per_close),
                number(row.bytes_per_close),
            ],
        );
    }
    text
}

fn row(title: &str, value: &str) -> String {
    format!("{title:<60}{value:>16}\n")
}

fn dvipas(row: &DvipaRow) -> String {
    let DvipaRow { dvipas, images, owned_ms, takeover_ms, connections, lost } = row;
    let mut text = format!("\n{dvipas} DVIPAs, {images} images, a connection to each\n");
    text += &self::row("  until all are owned and served, ms", &number(*owned_ms));
    text += &self::row("  takeover of all, from detection, ms", &number(*takeover_ms));
    text + &self::row("  lost", &format!("{lost} of {connections}"))
}

fn held(held: &Held) -> String {
    let mut text = format!(
        "\n{} connections of {} clients through one DVIPA to {} targets; kill -9 of its router\n",
        number(held.connections as f64),
        held.clients,
        held.targets
    );
    let rows = [
        ("opened per second", number(held.opened_per_second)),
        ("memory for each on its target, the application's too, bytes", number(held.target_bytes_each)),
        ("memory for each on the router, bytes", number(held.router_bytes_each)),
        ("the same on the backup after its takeover, bytes", number(held.backup_bytes_each)),
        ("CPU of all images while they are idle, %", number(held.processors * 100.0)),
        ("control datagrams while they are idle, per second", number(held.datagrams_per_second)),
        ("takeover, from detection, ms", number(held.takeover_ms)),
        ("connections that the backup had then", number(held.taken_over as f64)),
        ("from the kill until every one has got an answer, ms", number(held.all_answered_ms)),
        ("segments sent again meanwhile", number(held.sent_again as f64)),
        ("the same without a kill, ms", number(held.undisturbed_ms)),
        ("segments sent again then", number(held.undisturbed_again as f64)),
        ("longest gap of those that send all the time, ms", number(held.longest_gap_ms)),
        ("lost", number(held.lost as f64)),
    ];
    for (title, value) in rows {
        text += &row(&format!("  {title}"), &value);
    }
    text
}
