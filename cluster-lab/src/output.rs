//! What a command was asked for, and what it tells while it works; colours where they are seen.

use std::fmt::Display;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use anyhow::{Context, Result};

const ERROR: Style = AnsiColor::Red.on_default().bold();

/// Writes what was asked for, with its colours only where they are seen. A reader that has seen enough, such as
/// `head`, is no error.
///
/// # Errors
/// If it cannot be written, to a full disk perhaps.
pub(crate) fn print(text: &str) -> Result<()> {
    match anstream::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("standard output cannot be written")
        }
        _ => Ok(()),
    }
}

/// Tells a line of a story that goes on even if nobody reads it any more.
pub(crate) fn tell(line: impl Display) {
    drop(writeln!(anstream::stdout(), "{line}"));
}

/// Says on standard error what went wrong. The terminal may be gone.
pub(crate) fn complain(what: impl Display) {
    drop(writeln!(anstream::stderr(), "{ERROR}cluster-lab:{ERROR:#} {what}"));
}
