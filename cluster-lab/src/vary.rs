//! VARY: what an operator changes on an image that runs, in z/OS's words.
//!
//! ```text
//! VARY TCPIP,[proc],OBEYFILE,file
//! VARY TCPIP,[proc],SYSplex,{LEAVEgroup | JOINgroup | DEACTivate,DVIPA=a | REACTivate,DVIPA=a
//!                           | QUIesce,{POrt=n | TARGET} | RESUME,{POrt=n | TARGET}}
//! ```

use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};

/// A command to an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Vary {
    /// A VIPADynamic block that changes the one in force: its text.
    Obey(String),
    /// The definition of a DVIPA (an address, or a name of the profile) does not count.
    Deactivate(String),
    /// It counts again.
    Reactivate(String),
    /// No new connections: to servers on the port, or to the image at all.
    Quiesce(Option<u16>),
    /// New connections again.
    Resume(Option<u16>),
    /// Out of the sysplex group.
    LeaveGroup,
    /// Back into it.
    JoinGroup,
}

/// Whether `word` is `keyword` or an abbreviation; the capitals of `keyword` are the shortest one.
fn matches(word: &str, keyword: &str) -> bool {
    let shortest = keyword.chars().take_while(|letter| letter.is_ascii_uppercase()).count();
    let long_enough = (shortest..=keyword.len()).contains(&word.len());
    long_enough && keyword.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
}

/// Reads a command: the words after VARY and the image. A file that it names is read too.
///
/// # Errors
/// What cannot be understood, and what was expected.
pub fn parse(words: &[String]) -> Result<Vary> {
    let command = words.join(" ");
    let mut parts = command.split(',').map(str::trim);
    if !parts.next().is_some_and(|word| matches(word, "TCPIP")) {
        bail!("'{command}': expected TCPIP,,SYSPLEX,... or TCPIP,,OBEYFILE,file");
    }
    // The procedure's name: an image has one stack.
    let _procedure = parts.next();
    match parts.next() {
        Some(word) if matches(word, "Obeyfile") => {
            let file = parts.next().filter(|file| !file.is_empty());
            let file = file.ok_or_else(|| anyhow!("OBEYFILE without a file: expected TCPIP,,OBEYFILE,file"))?;
            let text = std::fs::read_to_string(file).with_context(|| format!("{file} cannot be read"))?;
            Ok(Vary::Obey(text))
        }
        Some(word) if matches(word, "SYSplex") => sysplex(&mut parts, &command),
        word => bail!("'{}' after TCPIP: expected SYSPLEX or OBEYFILE", word.unwrap_or_default()),
    }
}

fn sysplex<'a>(parts: &mut impl Iterator<Item = &'a str>, command: &str) -> Result<Vary> {
    let verb = parts.next().unwrap_or_default();
    let operand = parts.next().unwrap_or_default();
    let value = |keyword: &str| {
        let (word, value) = operand.split_once('=')?;
        matches(word.trim(), keyword).then(|| value.trim().to_owned())
    };
    let dvipa = || value("DVIPA").ok_or_else(|| anyhow!("'{command}': expected {verb},DVIPA=address"));
    let servers = || match value("POrt") {
        _ if matches(operand, "TARGET") => Ok(None),
        Some(port) => match port.parse() {
            Ok(port @ 1..) => Ok(Some(port)),
            _ => Err(anyhow!("port '{port}': expected a number from 1 to 65535")),
        },
        None => Err(anyhow!("'{command}': expected {verb},PORT=n or {verb},TARGET")),
    };
    Ok(match verb {
        verb if matches(verb, "LEAVEgroup") => Vary::LeaveGroup,
        verb if matches(verb, "JOINgroup") => Vary::JoinGroup,
        verb if matches(verb, "DEACTivate") => Vary::Deactivate(dvipa()?),
        verb if matches(verb, "REACTivate") => Vary::Reactivate(dvipa()?),
        verb if matches(verb, "QUIesce") => Vary::Quiesce(servers()?),
        verb if matches(verb, "RESUME") => Vary::Resume(servers()?),
        other => {
            bail!("'{other}' after SYSPLEX: expected LEAVEGROUP, JOINGROUP, DEACTIVATE, REACTIVATE, QUIESCE or RESUME")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vary> {
        parse(&[text.to_owned()])
    }

    #[test]
    fn commands_are_understood() {
        for (text, expected) in [
            ("TCPIP,,SYSPLEX,LEAVEGROUP", Vary::LeaveGroup),
            ("tcpip,tcpcs,sys,joing", Vary::JoinGroup),
            ("TCPIP,,SYSPLEX,DEACT,DVIPA=DVA1", Vary::Deactivate("DVA1".into())),
            ("TCPIP,,SYSPLEX,REACTIVATE,DVIPA=203.0.113.1", Vary::Reactivate("203.0.113.1".into())),
            ("TCPIP,,SYSPLEX,QUIESCE,PORT=80", Vary::Quiesce(Some(80))),
            ("TCPIP, , SYSPLEX, QUI, TARGET", Vary::Quiesce(None)),
            ("TCPIP,,SYSPLEX,RESUME,PO=80", Vary::Resume(Some(80))),
        ] {
            assert_eq!(read(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn mistakes_are_told() {
        for (text, reason) in [
            ("VTAM", "expected TCPIP"),
            ("TCPIP,,STOP", "expected SYSPLEX or OBEYFILE"),
            ("TCPIP,,SYSPLEX,HALT", "expected LEAVEGROUP"),
            ("TCPIP,,SYSPLEX,DEACTIVATE", "expected DEACTIVATE,DVIPA=address"),
            ("TCPIP,,SYSPLEX,QUIESCE,PORT=0", "from 1 to 65535"),
            ("TCPIP,,SYSPLEX,QUIESCE", "PORT=n"),
            ("TCPIP,,OBEYFILE", "without a file"),
            ("TCPIP,,OBEYFILE,/nowhere", "cannot be read"),
        ] {
            let error = format!("{:#}", read(text).unwrap_err());
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
