//! The report as text.

use super::report::{Report, number};
use super::shape::Shape;

/// Room for a metric's title, and for a cell.
const TITLE: usize = 36;
const CELL: usize = 14;

/// Medians with their spread, then ratios, then what the columns mean.
pub(super) fn table(report: &Report) -> String {
    let shapes: Vec<Shape> = report.shapes.iter().map(|column| column.shape).collect();
    let line = |title: &str, cells: Vec<String>| {
        let cells: String = cells.iter().map(|cell| format!("{cell:>CELL$}")).collect();
        format!("{title:<TITLE$}{cells}\n")
    };
    let headings = || shapes.iter().map(|shape| shape.heading().to_owned()).collect();
    let mut text = line("MEDIAN ±half of the range", headings());
    for row in &report.works {
        let cell = |shape: &Shape| {
            let cell = row.cell(*shape);
            cell.map_or_else(|| "-".into(), |cell| format!("{} ±{:.0}%", number(cell.median), cell.spread() * 100.0))
        };
        text += &line(&format!("{}, {}", row.metric.title, row.metric.unit), shapes.iter().map(cell).collect());
    }
    text += "\n";
    text += &line("RATIO to the kernel", headings());
    for row in &report.works {
        let ratio = |shape: &Shape| row.cell(*shape).and_then(|cell| cell.ratio);
        if shapes.iter().any(|shape| ratio(shape).is_some()) {
            let ratio = |shape: &Shape| ratio(shape).map_or_else(|| "-".into(), |ratio| format!("{ratio:.2}"));
            text += &line(row.metric.title, shapes.iter().map(ratio).collect());
        }
    }
    text += "\n";
    for column in &report.shapes {
        text += &format!("{:<12}{}\n", column.shape.heading(), column.title);
    }
    text += &format!(
        "\n{} rounds of {} s, interleaved, in one run; {} processors, Linux {} ({}), MTU 1500, XCF between processes by {}. Latencies and gaps: less is better.\n",
        report.rounds, report.seconds, report.machine.processors, report.machine.kernel, report.congestion, report.xcf
    );
    for missing in &report.missing {
        text += &format!("{}\n", missing.told());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::example;
    use super::*;

    #[test]
    fn the_table_has_medians_and_ratios() {
        let text = table(&example());
        let row = |start: &str| {
            let line = text.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{start}: {text}"));
            line[start.len()..].split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(row("one flow down, Gbit/s"), ["10.0", "±15%", "25.0", "±20%"]);
        assert_eq!(row("takeover gap, ms"), ["-", "12.5", "±0%"]);
        assert_eq!(row("one flow down "), ["1.00", "2.50"]);
        assert!(text.contains("apt-get install haproxy"));
    }
}
