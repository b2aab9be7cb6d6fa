//! The report as a picture: a bar for each shape, grouped by metric, each group to its own scale.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};

use super::report::{Cell, Report, Row, number};
use super::shape::Shape;
use super::works::Better;

/// Sizes in pixels.
const COLUMNS: usize = 2;
const PANEL: usize = 440;
const GAP: usize = 24;
const BAR: usize = 14;
const PITCH: usize = 20;
const HEAD: usize = 26;
/// Where bars begin, and the longest one's length.
const NAMES: usize = 84;
const LONGEST: f64 = 230.0;

const STYLE: &str = "
  text { font: 12px system-ui, sans-serif; fill: #24292f }
  .title { font-weight: 600; font-size: 13px }
  .note { fill: #656d76 }
  .kernel { fill: #57606a } .rival { fill: #afb8c1 } .ours { fill: #0969da }
  .range { stroke: #24292f; stroke-width: 1 } .one { stroke: #57606a; stroke-dasharray: 2 3 }
  .ground { fill: #ffffff }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .note { fill: #8d96a0 }
    .kernel { fill: #b1bac4 } .rival { fill: #6e7681 } .ours { fill: #4493f8 }
    .range { stroke: #e6edf3 } .one { stroke: #b1bac4 }
    .ground { fill: #0d1117 }
  }
";

/// Writes it to a file.
pub(super) fn write(report: &Report, file: &Path) -> Result<()> {
    std::fs::write(file, draw(report)).with_context(|| format!("{} cannot be written", file.display()))
}

fn draw(report: &Report) -> String {
    let rows: Vec<&Row> = report.works.iter().filter(|row| row.metric.better != Better::Neither).collect();
    let height = HEAD + PITCH * report.shapes.len() + GAP;
    let size = (GAP + COLUMNS * (PANEL + GAP), 2 * GAP + rows.len().div_ceil(COLUMNS) * height + GAP);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" role=\"img\" \
         aria-label=\"cluster-lab bench: medians beside the kernel and its balancers\">\n<style>{STYLE}</style>\n\
         <rect class=\"ground\" width=\"100%\" height=\"100%\"/>\n",
        size.0, size.1
    );
    for (index, row) in rows.iter().enumerate() {
        let (x, y) = (GAP + index % COLUMNS * (PANEL + GAP), GAP + index / COLUMNS * height);
        panel(&mut svg, report, row, x, y);
    }
    let note = format!(
        "Bars: medians of {} rounds in one run; lines: all of the range; dashed: the kernel; in brackets: ratio to it.",
        report.rounds
    );
    text(&mut svg, "note", GAP, size.1 - GAP, &note);
    svg + "</svg>\n"
}

/// One metric.
fn panel(svg: &mut String, report: &Report, row: &Row, x: usize, y: usize) {
    let hint = if row.metric.better == Better::Lower { " (less is better)" } else { "" };
    text(svg, "title", x, y + 12, &format!("{}, {}{hint}", row.metric.title, row.metric.unit));
    let longest = row.results.iter().map(|cell| cell.high).fold(f64::MIN_POSITIVE, f64::max);
    let scale = |value: f64| value / longest * LONGEST;
    #[allow(clippy::cast_precision_loss, reason = "pixels")]
    let start = (x + NAMES) as f64;
    for (index, column) in report.shapes.iter().enumerate() {
        let top = y + HEAD + index * PITCH;
        text(svg, "note", x, top + 11, column.shape.heading());
        match row.cell(column.shape) {
            Some(cell) => bar(svg, cell, start, top, &scale),
            None => text(svg, "note", x + NAMES, top + 11, "–"),
        }
    }
    if let Some(kernel) = row.cell(Shape::Kernel) {
        let (at, top) = (start + scale(kernel.median), y + HEAD - 4);
        let bottom = top + report.shapes.len() * PITCH;
        add(svg, format_args!("<path class=\"one\" d=\"M{at:.1} {top}V{bottom}\"/>\n"));
    }
}

/// One shape: the median, and the range over it.
fn bar(svg: &mut String, cell: &Cell, start: f64, top: usize, scale: &dyn Fn(f64) -> f64) {
    let class = match cell.shape {
        Shape::Kernel => "kernel",
        shape if shape.is_ours() => "ours",
        _ => "rival",
    };
    let width = scale(cell.median);
    add(
        svg,
        format_args!(
            "<rect class=\"{class}\" x=\"{start}\" y=\"{top}\" width=\"{width:.1}\" height=\"{BAR}\" rx=\"2\"/>\n"
        ),
    );
    let (low, high, middle) = (start + scale(cell.low), start + scale(cell.high), top + BAR / 2);
    add(svg, format_args!("<path class=\"range\" d=\"M{low:.1} {middle}H{high:.1}\"/>\n"));
    let ratio = cell.ratio.map_or_else(String::new, |ratio| format!(" ({ratio:.2})"));
    let (after, base) = (high + 6.0, top + 11);
    add(svg, format_args!("<text x=\"{after:.1}\" y=\"{base}\">{}{ratio}</text>\n", number(cell.median)));
}

/// No title here holds a letter that XML would not take as it is.
fn text(svg: &mut String, class: &str, x: usize, y: usize, text: &str) {
    add(svg, format_args!("<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{text}</text>\n"));
}

fn add(svg: &mut String, part: std::fmt::Arguments<'_>) {
    // A String takes whatever is written.
    let _ = svg.write_fmt(part);
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::example;
    use super::*;

    #[test]
    fn every_cell_has_a_bar() {
        let svg = draw(&example());
        assert_eq!(svg.matches("<rect class=\"ours\"").count(), 2, "{svg}");
        assert_eq!(svg.matches("<rect class=\"kernel\"").count(), 1);
        assert!(svg.contains("25.0 (2.50)") && svg.contains("prefers-color-scheme: dark") && svg.ends_with("</svg>\n"));
    }
}
