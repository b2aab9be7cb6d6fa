//! The event log, as a story or for machines; and what the program itself has to say, in the same format.
//!
//! With `--log-format json` each event is a line of its own:
//!
//! | field | holds |
//! |---|---|
//! | `time` | RFC 3339, UTC, microseconds: taken where the event happened |
//! | `level` | `info`, `warn` or `error` |
//! | `event` | its kind: `up`, `ended`, `claimed`, `active` …, the names of [`Kind`](crate::watch::Kind) |
//! | `message` | the line as text, without time and image |
//! | `image` | whom it is about; absent for the lab itself |
//! | `number` | counts the lab's events, from 1 |
//! | `at` | seconds since the lab began |
//! | `stack`, `dvipa`, `port`, `epoch`, `connections` | what it is about, where it is about one: another stack, a DVIPA and its port, round and rank of the ownership epoch, how many connections |
//! | `signalled` | seconds since the lab began: when the lab sent the signal that ended the image |

use std::fmt;

use clap::ValueEnum;
use serde_json::json;
use tracing_subscriber::EnvFilter;

use super::show;
use crate::watch::Event;

/// How logs are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// Lines for people
    #[default]
    Text,
    /// A JSON object a line
    Json,
}

impl LogFormat {
    /// As on the command line.
    pub fn word(self) -> &'static str {
        match self {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        }
    }

    /// An event as a line; `began` is when the lab did, in microseconds since 1970.
    pub fn line(self, event: &Event, began: u64) -> String {
        match self {
            LogFormat::Text => event.to_string(),
            LogFormat::Json => object(event, began).to_string(),
        }
    }

    /// Has the program write its own diagnostics, which RUST_LOG asks for, to standard error.
    pub fn diagnose(self) {
        let builder = tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::from_default_env())
            .with_writer(std::io::stderr)
            .with_ansi(show::colours(&std::io::stderr()));
        match self {
            LogFormat::Text => builder.without_time().init(),
            LogFormat::Json => builder.json().init(),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

fn object(event: &Event, began: u64) -> serde_json::Value {
    let seconds = |micros: u64| micros as f64 / 1e6;
    // Microseconds of this age fit by far.
    let micros = i64::try_from(began.saturating_add(event.at)).unwrap_or_default();
    let time = jiff::Timestamp::from_microsecond(micros).unwrap_or_default();
    let told = &event.told;
    let mut object = json!({
        "time": format!("{time:.6}"),
        "level": told.kind.level(),
        "event": told.kind,
        "message": told.text,
        "number": event.number,
        "at": seconds(event.at),
        "image": event.image,
        "stack": told.stack,
        "dvipa": told.dvipa,
        "port": told.port,
        "epoch": told.epoch.map(|(round, rank)| format!("{round}/{rank}")),
        "connections": told.connections,
        "signalled": told.signalled.map(seconds),
    });
    // What an event is not about is left out.
    if let Some(fields) = object.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::{Kind, Told};

    #[test]
    fn an_event_has_its_fields_and_no_others() {
        let told = Told {
            dvipa: Some([203, 0, 113, 1].into()),
            epoch: Some((7, 10)),
            ..Told::new(Kind::Claimed, "routes for 203.0.113.1 from now on")
        };
        let event = Event { number: 4, at: 1_500_000, image: Some("MVS5".into()), told };
        let line = LogFormat::Json.line(&event, 1_000_000);
        let expected = json!({
            "time": "1970-01-01T00:00:02.500000Z", "level": "info", "event": "claimed", "number": 4, "at": 1.5,
            "message": "routes for 203.0.113.1 from now on", "image": "MVS5", "dvipa": "203.0.113.1", "epoch": "7/10",
        });
        assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap(), expected);
        let text = LogFormat::Text.line(&event, 1_000_000);
        assert_eq!(text, "[    1.500] MVS5: routes for 203.0.113.1 from now on");
    }
}
