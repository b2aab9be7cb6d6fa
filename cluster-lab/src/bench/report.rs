//! What a run has found: samples, and what is made of them.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::output::print;

use super::CONGESTION;
use super::installed::Missing;
use super::shape::Shape;
use super::works::{Metric, Work};

/// Where a run was made.
#[derive(Debug, Serialize)]
pub(super) struct Machine {
    pub processors: usize,
    pub kernel: String,
}

impl Machine {
    /// The one that this process runs on.
    pub fn this() -> Machine {
        Machine {
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
        }
    }
}

/// A run, as JSON tells it.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    #[serde(flatten)]
    pub machine: Machine,
    /// Of the kernel's senders.
    pub congestion: String,
    /// What carries data between the lab's processes.
    pub xcf: &'static str,
    pub rounds: u32,
    /// Of each measurement.
    pub seconds: f64,
    pub shapes: Vec<Column>,
    pub missing: Vec<Missing>,
    pub works: Vec<Row>,
}

/// A shape.
#[derive(Debug, Serialize)]
pub(super) struct Column {
    pub shape: Shape,
    pub title: &'static str,
}

/// One metric in every shape where it was measured.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    #[serde(flatten)]
    pub metric: &'static Metric,
    pub results: Vec<Cell>,
}

/// One metric in one shape.
#[derive(Debug, Serialize)]
pub(super) struct Cell {
    pub shape: Shape,
    /// In the order of the rounds.
    pub samples: Vec<f64>,
    pub median: f64,
    pub low: f64,
    pub high: f64,
    /// Of the median to the kernel's median.
    pub ratio: Option<f64>,
}

impl Report {
    /// Without samples yet.
    pub fn new(rounds: u32, seconds: f64, works: &[Work], shapes: &[Shape], missing: Vec<Missing>) -> Report {
        let row = |metric| Row { metric, results: Vec::new() };
        Report {
            machine: Machine::this(),
            congestion: std::fs::read_to_string(CONGESTION).unwrap_or_default().trim().to_owned(),
            xcf: "",
            rounds,
            seconds,
            shapes: shapes.iter().map(|shape| Column { shape: *shape, title: shape.title() }).collect(),
            missing,
            works: works.iter().flat_map(|work| work.metrics().iter().map(row)).collect(),
        }
    }

    /// A work's values in a shape.
    pub fn add(&mut self, work: Work, shape: Shape, values: &[f64]) {
        for (metric, value) in work.metrics().iter().zip(values) {
            let row = self.works.iter_mut().find(|row| row.metric.key == metric.key);
            let Some(Row { results, .. }) = row else { continue };
            match results.iter_mut().find(|cell| cell.shape == shape) {
                Some(cell) => cell.samples.push(*value),
                None => {
                    results.push(Cell { shape, samples: vec![*value], median: 0.0, low: 0.0, high: 0.0, ratio: None })
                }
            }
        }
    }

    /// Once all samples are there.
    pub fn conclude(&mut self) {
        for row in &mut self.works {
            row.results.sort_by_key(|cell| cell.shape);
            for cell in &mut row.results {
                let mut sorted = cell.samples.clone();
                sorted.sort_by(f64::total_cmp);
                cell.median = median(&sorted);
                cell.low = sorted.first().copied().unwrap_or_default();
                cell.high = sorted.last().copied().unwrap_or_default();
            }
            let kernel = row.cell(Shape::Kernel).map(|cell| cell.median).filter(|median| *median > 0.0);
            for cell in &mut row.results {
                cell.ratio = kernel.map(|kernel| cell.median / kernel);
            }
        }
    }
}

impl Row {
    /// Its cell for a shape, if it was measured there.
    pub fn cell(&self, shape: Shape) -> Option<&Cell> {
        self.results.iter().find(|cell| cell.shape == shape)
    }
}

impl Cell {
    /// Half of the range of all samples, as a part of the median.
    pub fn spread(&self) -> f64 {
        if self.median > 0.0 { (self.high - self.low) / 2.0 / self.median } else { 0.0 }
    }
}

/// Writes a report; `-` is standard output.
pub(super) fn write_json(report: &impl Serialize, file: &Path) -> Result<()> {
    let json = serde_json::to_string_pretty(report)? + "\n";
    if file == Path::new("-") {
        return print(&json);
    }
    std::fs::write(file, json).with_context(|| format!("{} cannot be written", file.display()))
}

/// Of an even number, the mean of the two in the middle.
fn median(sorted: &[f64]) -> f64 {
    match sorted.len() {
        0 => 0.0,
        len if len % 2 == 0 => f64::midpoint(sorted[len / 2 - 1], sorted[len / 2]),
        len => sorted[len / 2],
    }
}

/// A number in as many digits as are worth reading.
pub(super) fn number(value: f64) -> String {
    let digits = match value {
        value if value >= 99.95 => 0,
        value if value >= 9.995 => 1,
        _ => 2,
    };
    let text = format!("{value:.digits$}");
    let whole = text.find('.').unwrap_or(text.len());
    let mut grouped = String::new();
    for (index, digit) in text.char_indices() {
        if index > 0 && index < whole && (whole - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A report with two shapes and two works.
    pub(crate) fn example() -> Report {
        let (works, shapes) = ([Work::Down, Work::Takeover], [Shape::Kernel, Shape::Linked]);
        let mut report = Report::new(3, 2.0, &works, &shapes, vec![Missing::new("haproxy", "this rival is left out")]);
        for (shape, values) in [(Shape::Linked, [30.0, 20.0, 25.0]), (Shape::Kernel, [10.0, 9.0, 12.0])] {
            values.iter().for_each(|value| report.add(Work::Down, shape, &[*value]));
        }
        report.add(Work::Takeover, Shape::Linked, &[12.5]);
        report.conclude();
        report
    }

    #[test]
    fn ratios_are_of_medians() {
        let report = example();
        let linked = report.works[0].cell(Shape::Linked).unwrap();
        assert_eq!((linked.median, linked.low, linked.high, linked.ratio), (25.0, 20.0, 30.0, Some(2.5)));
        assert_eq!(linked.spread(), 0.2);
        assert_eq!(report.works[0].results[0].shape, Shape::Kernel);
        assert_eq!(report.works[1].cell(Shape::Linked).unwrap().ratio, None);
    }

    #[test]
    fn a_median_is_in_the_middle() {
        assert_eq!([median(&[]), median(&[1.0]), median(&[1.0, 3.0]), median(&[1.0, 3.0, 9.0])], [0.0, 1.0, 2.0, 3.0]);
    }

    #[test]
    fn numbers_are_short() {
        let texts = [0.126, 9.99, 12.34, 99.96, 840.0, 84_012.5, 1_234_567.0].map(number);
        assert_eq!(texts, ["0.13", "9.99", "12.3", "100", "840", "84,012", "1,234,567"]);
    }
}
