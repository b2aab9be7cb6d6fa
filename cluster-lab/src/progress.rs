//! How far long work is: a bar on standard error while that is a terminal, and nothing elsewhere.

use std::fmt::Display;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// How often the time that has passed is drawn anew.
const TICK: Duration = Duration::from_millis(250);

/// A bar, gone from the screen when it is dropped.
#[derive(Debug)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Of work in so many steps, which are called `unit`.
    pub fn of(steps: usize, unit: &'static str) -> Progress {
        let bar = ProgressBar::new(steps as u64);
        let form = format!("{{elapsed:>4}} {{bar:30}} {{pos}} of {{len}} {unit}  {{wide_msg}}");
        // It is shown plainly if that were no form.
        bar.set_style(ProgressStyle::with_template(&form).unwrap_or_else(|_| ProgressStyle::default_bar()));
        if !bar.is_hidden() {
            bar.enable_steady_tick(TICK);
        }
        Progress(bar)
    }

    /// Of work that is too short for a bar.
    pub fn none() -> Progress {
        Progress(ProgressBar::hidden())
    }

    /// What is being done now.
    pub fn at(&self, what: impl Into<String>) {
        self.0.set_message(what.into());
    }

    /// One more step is done.
    pub fn step(&self) {
        self.0.inc(1);
    }

    /// So many steps are done.
    pub fn reached(&self, steps: usize) {
        self.0.set_position(steps as u64);
    }

    /// Prints a line on standard error, above the bar.
    pub fn print(&self, line: impl Display) {
        self.aside(|| eprintln!("{line}"));
    }

    /// Has something else printed, above the bar.
    pub fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.0.suspend(print)
    }

    /// Takes it off the screen.
    pub fn end(&self) {
        self.0.finish_and_clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}
