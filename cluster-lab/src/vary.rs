//! VARY: what an operator changes on an image that runs, in z/OS's words.
//!
//! ```text
//! VARY TCPIP,[proc],Obeyfile,file
//! VARY TCPIP,[proc],SYNtaxcheck,file
//! VARY TCPIP,[proc],SYSplex,{LEAVEgroup | JOINgroup | DEACTivate,DVIPA=a | REACTivate,DVIPA=a
//!                           | QUIesce,servers | RESUME,servers}
//! servers: {POrt=n[,JOBNAME=j] | JOBNAME=j | TARGET}
//! ```

use std::fmt;

use anyhow::{Context, Error, Result, anyhow, bail};
use serde::{Deserialize, Serialize};
pub(crate) use vipa::statements::matches;

use crate::text_file;

/// A command to an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Vary {
    /// The statements of a file change what is in force.
    Obey(File),
    /// The same, but nothing is changed: what would be wrong with it?
    SyntaxCheck(File),
    /// The definition of a DVIPA (an address, or a name of the profile) does not count.
    Deactivate(String),
    /// It counts again.
    Reactivate(String),
    /// No new connections to these.
    Quiesce(Servers),
    /// New connections again.
    Resume(Servers),
    /// Out of the sysplex group.
    LeaveGroup,
    /// Back into it.
    JoinGroup,
}

impl Vary {
    /// Reads the file that the command names, if it names one.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read_file(&mut self) -> Result<()> {
        if let Vary::Obey(file) | Vary::SyntaxCheck(file) = self {
            let text = text_file::read(file.name.as_ref());
            file.text = text.with_context(|| format!("{} cannot be read", file.name))?;
        }
        Ok(())
    }
}

/// A file of statements: its name, for messages, and its text. The image may not be able to read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Its name.
    pub name: String,
    /// What is in it.
    pub text: String,
}

/// What QUIESCE and RESUME are about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Servers {
    /// The image as a target.
    Target,
    /// Every server on a port.
    Port(u16),
    /// The application of this name; with a port, only if it listens on that.
    Job {
        /// The application.
        name: String,
        /// Its port.
        port: Option<u16>,
    },
}

/// Reads a command: the words after VARY and the image. A file that it names is [read](Vary::read_file) later.
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
    let vary = match parts.next() {
        Some(word) if matches(word, "Obeyfile") => Vary::Obey(file(parts.next(), "OBEYFILE")?),
        Some(word) if matches(word, "SYNtaxcheck") => Vary::SyntaxCheck(file(parts.next(), "SYNTAXCHECK")?),
        Some(word) if matches(word, "SYSplex") => sysplex(&mut parts, &command)?,
        word => bail!("'{}' after TCPIP: expected SYSPLEX, OBEYFILE or SYNTAXCHECK", word.unwrap_or_default()),
    };
    match parts.next() {
        Some(extra) => Err(too_much(extra)),
        None => Ok(vary),
    }
}

/// A word that stands behind the end of a command.
pub(crate) fn too_much(word: &str) -> Error {
    anyhow!("'{word}' stands behind the command's end: expected nothing more")
}

fn file(name: Option<&str>, command: &str) -> Result<File> {
    let name = name.filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| anyhow!("{command} without a file: expected TCPIP,,{command},file"))?;
    Ok(File { name: name.to_owned(), text: String::new() })
}

fn sysplex<'a>(parts: &mut impl Iterator<Item = &'a str>, command: &str) -> Result<Vary> {
    let verb = parts.next().unwrap_or_default();
    Ok(match verb {
        verb if matches(verb, "LEAVEgroup") => Vary::LeaveGroup,
        verb if matches(verb, "JOINgroup") => Vary::JoinGroup,
        verb if matches(verb, "DEACTivate") => Vary::Deactivate(dvipa(parts, verb, command)?),
        verb if matches(verb, "REACTivate") => Vary::Reactivate(dvipa(parts, verb, command)?),
        verb if matches(verb, "QUIesce") => Vary::Quiesce(servers(parts, verb, command)?),
        verb if matches(verb, "RESUME") => Vary::Resume(servers(parts, verb, command)?),
        other => {
            bail!("'{other}' after SYSPLEX: expected LEAVEGROUP, JOINGROUP, DEACTIVATE, REACTIVATE, QUIESCE or RESUME")
        }
    })
}

/// The value of `keyword=value`, if `operand` is that.
fn value(operand: &str, keyword: &str) -> Option<String> {
    let (word, value) = operand.split_once('=')?;
    matches(word.trim(), keyword).then(|| value.trim().to_owned()).filter(|value| !value.is_empty())
}

fn dvipa<'a>(parts: &mut impl Iterator<Item = &'a str>, verb: &str, command: &str) -> Result<String> {
    let dvipa = parts.next().and_then(|operand| value(operand, "DVIPA"));
    dvipa.ok_or_else(|| anyhow!("'{command}': expected {verb},DVIPA=address"))
}

fn servers<'a>(parts: &mut impl Iterator<Item = &'a str>, verb: &str, command: &str) -> Result<Servers> {
    let (mut port, mut job, mut target) = (None, None, false);
    for operand in parts {
        if let Some(number) = value(operand, "POrt") {
            port = match number.parse() {
                Ok(number @ 1..) => Some(number),
                _ => bail!("port '{number}': expected a number from 1 to 65535"),
            };
        } else if let Some(name) = value(operand, "JOBNAME") {
            job = Some(name);
        } else if value(operand, "ASID").is_some() {
            bail!("ASID tells apart address spaces of one name: applications here have a name each, leave it out");
        } else if matches(operand, "TARGET") {
            target = true;
        } else {
            bail!("'{operand}' in '{command}': expected PORT=n, JOBNAME=name or TARGET");
        }
    }
    match (target, port, job) {
        (true, None, None) => Ok(Servers::Target),
        (true, ..) => bail!("'{command}': TARGET is every server: expected neither PORT nor JOBNAME with it"),
        (false, port, Some(name)) => Ok(Servers::Job { name, port }),
        (false, Some(port), None) => Ok(Servers::Port(port)),
        (false, None, None) => bail!("'{command}': expected {verb},PORT=n or {verb},JOBNAME=name or {verb},TARGET"),
    }
}

/// The command as an operator writes it.
impl fmt::Display for Vary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VARY TCPIP,,")?;
        match self {
            Vary::Obey(file) => write!(f, "OBEYFILE,{}", file.name),
            Vary::SyntaxCheck(file) => write!(f, "SYNTAXCHECK,{}", file.name),
            Vary::Deactivate(dvipa) => write!(f, "SYSPLEX,DEACTIVATE,DVIPA={dvipa}"),
            Vary::Reactivate(dvipa) => write!(f, "SYSPLEX,REACTIVATE,DVIPA={dvipa}"),
            Vary::Quiesce(servers) => write!(f, "SYSPLEX,QUIESCE,{servers}"),
            Vary::Resume(servers) => write!(f, "SYSPLEX,RESUME,{servers}"),
            Vary::LeaveGroup => f.write_str("SYSPLEX,LEAVEGROUP"),
            Vary::JoinGroup => f.write_str("SYSPLEX,JOINGROUP"),
        }
    }
}

impl fmt::Display for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Servers::Target => f.write_str("TARGET"),
            Servers::Port(port) => write!(f, "PORT={port}"),
            Servers::Job { name, port: None } => write!(f, "JOBNAME={name}"),
            Servers::Job { name, port: Some(port) } => write!(f, "PORT={port},JOBNAME={name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vary> {
        parse(&[text.to_owned()])
    }

    /// Every form is understood, and what is printed reads back as the same.
    #[test]
    fn vary_commands_are_understood() {
        let job = |port| Servers::Job { name: "WEB".into(), port };
        for (text, expected) in [
            ("TCPIP,,SYSPLEX,LEAVEGROUP", Vary::LeaveGroup),
            ("tcpip,tcpcs,sys,joing", Vary::JoinGroup),
            ("TCPIP,,SYSPLEX,DEACT,DVIPA=DVA1", Vary::Deactivate("DVA1".into())),
            ("TCPIP,,SYSPLEX,REACTIVATE,DVIPA=203.0.113.1", Vary::Reactivate("203.0.113.1".into())),
            ("TCPIP,,SYSPLEX,QUIESCE,PORT=80", Vary::Quiesce(Servers::Port(80))),
            ("TCPIP, , SYSPLEX, QUI, TARGET", Vary::Quiesce(Servers::Target)),
            ("TCPIP,,SYSPLEX,RESUME,PO=80", Vary::Resume(Servers::Port(80))),
            ("TCPIP,,SYSPLEX,QUIESCE,JOBNAME=WEB", Vary::Quiesce(job(None))),
            ("TCPIP,,SYSPLEX,RESUME,PORT=80,JOBNAME=WEB", Vary::Resume(job(Some(80)))),
        ] {
            let vary = read(text).unwrap();
            assert_eq!(vary, expected, "{text}");
            assert_eq!(read(vary.to_string().strip_prefix("VARY ").unwrap()).unwrap(), vary);
        }
    }

    #[test]
    fn files_are_read_with_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("more.profile");
        std::fs::write(&path, "SOMAXCONN 5").unwrap();
        let name = path.display().to_string();
        let file = File { name: name.clone(), text: "SOMAXCONN 5".into() };
        let whole = |text: &str| {
            let mut vary = read(text).unwrap();
            vary.read_file().map(|()| vary)
        };
        assert_eq!(whole(&format!("TCPIP,,O,{name}")).unwrap(), Vary::Obey(file.clone()));
        assert_eq!(whole(&format!("TCPIP,,SYNTAX,{name}")).unwrap(), Vary::SyntaxCheck(file));
        let error = whole("TCPIP,,OBEYFILE,/nowhere").unwrap_err().to_string();
        assert!(error.contains("/nowhere cannot be read"), "{error}");
    }

    #[test]
    fn mistakes_are_told() {
        for (text, reason) in [
            ("VTAM", "expected TCPIP"),
            ("TCPIP,,STOP", "expected SYSPLEX, OBEYFILE"),
            ("TCPIP,,SYSPLEX,HALT", "expected LEAVEGROUP"),
            ("TCPIP,,SYSPLEX,DEACTIVATE", "expected DEACTIVATE,DVIPA=address"),
            ("TCPIP,,SYSPLEX,QUIESCE,PORT=0", "from 1 to 65535"),
            ("TCPIP,,SYSPLEX,QUIESCE", "PORT=n"),
            ("TCPIP,,SYSPLEX,QUIESCE,TARGET,PORT=80", "every server"),
            ("TCPIP,,SYSPLEX,QUIESCE,JOBNAME=WEB,ASID=1F", "leave it out"),
            ("TCPIP,,SYSPLEX,QUIESCE,NOW", "'NOW'"),
            ("TCPIP,,SYSPLEX,LEAVEGROUP,NOW", "nothing more"),
            ("TCPIP,,OBEYFILE", "without a file"),
            ("TCPIP,,SYNTAXCHECK,", "without a file"),
        ] {
            let error = format!("{:#}", read(text).unwrap_err());
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
