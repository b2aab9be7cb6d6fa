//! PORT: which application may have a port, and at which address a wildcard listener has it.

use std::fmt;
use std::net::IpAddr;

use thiserror::Error;
use vipa::statements::{Word, matches};

use super::parser::Parser;
use super::{Settings, elsewhere};

/// One entry of a PORT statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// The port.
    pub number: u16,
    /// For which protocol.
    pub protocol: Protocol,
    /// Who may have it: an application, `*` for all, `RESERVED` for none.
    pub job: String,
    /// BIND: where a listener at every address is put.
    pub bind: Option<IpAddr>,
}

/// What a port is a port of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Tcp => "TCP",
            Protocol::Udp => "UDP",
        }
    }
}

impl Port {
    /// Whether the application may have it.
    pub fn is_for(&self, application: &str) -> bool {
        self.job == "*" || self.job.eq_ignore_ascii_case(application) && !self.job.eq_ignore_ascii_case("RESERVED")
    }
}

impl Settings {
    /// Where an application that wants a TCP port listens, at `bind` or at every address: BIND puts the latter
    /// to one.
    ///
    /// # Errors
    /// If the port is for others.
    pub fn place(&self, application: &str, bind: Option<IpAddr>, port: u16) -> Result<Option<IpAddr>, Reserved> {
        let entries = || self.ports.iter().filter(|one| one.number == port && one.protocol == Protocol::Tcp);
        match entries().find(|entry| entry.is_for(application)) {
            Some(entry) => Ok(bind.or(entry.bind)),
            None if entries().next().is_some() => Err(Reserved { port, application: application.to_owned() }),
            None => Ok(bind),
        }
    }
}

/// A port is for other applications.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("port {port} is not for {application}: a PORT statement names others (NETSTAT CONFIG shows it)")]
pub struct Reserved {
    /// The port.
    pub port: u16,
    /// Who wanted it.
    pub application: String,
}

/// As it is written.
impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.number, self.protocol.name(), self.job)?;
        self.bind.map_or(Ok(()), |address| write!(f, " BIND {address}"))
    }
}

impl Parser<'_> {
    /// `PORT` and its entries, each `number {TCP | UDP} job [NOAUTOLog] [BIND address]`. They take the place
    /// of what was said of the same ports before.
    pub(super) fn ports(&mut self, statement: Word<'_>) {
        let mut entries = Vec::new();
        while self.peek().is_some() || entries.is_empty() {
            match self.entry(statement) {
                Some(entry) => entries.push(entry),
                None => {
                    while self.take().is_some() {}
                    return;
                }
            }
        }
        let ports = &mut self.settings.ports;
        ports.retain(|known| {
            !entries.iter().any(|entry| (entry.number, entry.protocol) == (known.number, known.protocol))
        });
        ports.extend(entries);
    }

    fn entry(&mut self, statement: Word<'_>) -> Option<Port> {
        let word = self.expect(statement, "a port number")?;
        let number = word.text.parse().ok().filter(|number| *number > 0);
        if number.is_none() {
            self.error(word.at, format!("port '{}': expected a number from 1 to 65535", word.text));
        }
        let word = self.expect(statement, "TCP or UDP")?;
        let protocol = match word.text {
            text if matches(text, "TCP") => Some(Protocol::Tcp),
            text if matches(text, "UDP") => Some(Protocol::Udp),
            text => {
                self.error(word.at, format!("'{text}' after the port: expected TCP or UDP"));
                None
            }
        };
        let job = self.expect(statement, "an application's name, * or RESERVED")?.text.to_uppercase();
        let mut bind = None;
        while let Some(word) = self.peek().filter(|word| !word.text.starts_with(|letter: char| letter.is_ascii_digit()))
        {
            self.next += 1;
            // There is no AUTOLOG that could restart it.
            if matches(word.text, "NOAUTOLog") {
                continue;
            }
            if matches(word.text, "BIND") {
                let address = self.expect(statement, "an address")?;
                bind = address.text.parse().ok();
                if bind.is_none() {
                    self.error(address.at, format!("'{}' after BIND: expected an address", address.text));
                }
                continue;
            }
            match elsewhere::parameter("PORT", word.text) {
                Some(why) => self.error(word.at, format!("{} is not for here: {why}", word.text.to_uppercase())),
                None => {
                    self.error(word.at, format!("'{}' in PORT: expected NOAUTOLOG, BIND or the next port", word.text))
                }
            }
        }
        Some(Port { number: number?, protocol: protocol?, job, bind })
    }
}
