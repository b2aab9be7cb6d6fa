//! DISPLAY: what an operator asks an image, in z/OS's words.
//!
//! ```text
//! DISPLAY TCPIP,[proc],SYSplex,{VIPADyn[,IPAddr=a | ,INTFName=n][,MAX=n | *] | GROUP | PORTS}
//! DISPLAY TCPIP,[proc],Netstat,report[,DETAIL][,IPAddr=a][,POrt=n][,CLIent=j][,MAX=n | *]
//! ```

mod layout;

use std::net::IpAddr;

use anyhow::{Result, anyhow, bail};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::netstat::{ReportKind, Selection, Variant};
use crate::vary::{matches, too_much};

/// Rows that are shown if nothing else is asked for, as on z/OS.
const MAX: usize = 100;

/// The release that titles name.
pub(crate) const RELEASE: &str = concat!("CS CLUSTER-LAB ", env!("CARGO_PKG_VERSION"));

/// A command, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Display {
    /// SYSPLEX; `max` rows of it.
    Sysplex(Sysplex, usize),
    /// NETSTAT; `max` rows of it.
    Netstat(Selection, Option<Variant>, usize),
}

/// DISPLAY SYSPLEX.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sysplex {
    /// Every DVIPA with the part of every stack: all, or the one with this address, name or link name.
    Vipadyn(Option<String>),
    /// The group.
    Group,
    /// Ports that stacks have leased.
    Ports,
}

/// The answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SysplexReport {
    /// The image that answers.
    pub image: String,
    /// What it knows.
    pub table: SysplexTable,
}

/// What an image knows of the sysplex.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum SysplexTable {
    /// It is in no group.
    NotMember,
    /// See [`Sysplex::Vipadyn`].
    Vipadyn(Vec<DvipaRow>),
    /// See [`Sysplex::Group`].
    Group {
        /// Its name.
        group: String,
        /// The stacks in it.
        members: Vec<MemberRow>,
    },
    /// See [`Sysplex::Ports`]; a routing stack knows them.
    Ports(Vec<PortsRow>),
}

/// A DVIPA.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the columns of z/OS's display")]
pub struct DvipaRow {
    pub address: IpAddr,
    pub link: String,
    pub prefix: u8,
    pub origin: String,
    pub stacks: Vec<StackRow>,
}

/// A stack's part in a DVIPA.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the columns of z/OS's display")]
pub struct StackRow {
    pub mvsname: String,
    pub status: String,
    pub rank: Option<u8>,
    pub distribution: String,
    /// It is the one on the network.
    pub active: bool,
}

/// A member of the group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the columns of the display")]
pub struct MemberRow {
    pub mvsname: String,
    pub xcf: IpAddr,
    pub leaving: bool,
}

/// A block of ports that a stack has leased (SYSPLEXPORTS).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the columns of the display")]
pub struct PortsRow {
    pub address: IpAddr,
    pub first: u16,
    pub last: u16,
    pub mvsname: String,
}

impl SysplexReport {
    /// The content, without the names of its parts.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.table {
            SysplexTable::NotMember => serde_json::json!({ "member": false }),
            SysplexTable::Vipadyn(dvipas) => serde_json::json!({ "member": true, "dvipas": dvipas }),
            SysplexTable::Group { group, members } => {
                serde_json::json!({ "member": true, "group": group, "members": members })
            }
            SysplexTable::Ports(ports) => serde_json::json!({ "member": true, "ports": ports }),
        }
    }

    /// MAX: keeps the first `max` rows; how many there were.
    pub fn truncate(&mut self, max: usize) -> usize {
        fn cut<T>(rows: &mut Vec<T>, max: usize) -> usize {
            let count = rows.len();
            rows.truncate(max);
            count
        }
        match &mut self.table {
            SysplexTable::NotMember => 0,
            SysplexTable::Vipadyn(rows) => cut(rows, max),
            SysplexTable::Group { members, .. } => cut(members, max),
            SysplexTable::Ports(rows) => cut(rows, max),
        }
    }
}

/// Reads a command: the words after DISPLAY and the image.
///
/// # Errors
/// What cannot be understood, and what was expected.
pub fn parse(words: &[String]) -> Result<Display> {
    let command = words.join(" ");
    let mut parts = command.split(',').map(str::trim);
    if !parts.next().is_some_and(|word| matches(word, "TCPIP")) {
        bail!("'{command}': expected TCPIP,,SYSPLEX,... or TCPIP,,NETSTAT,...");
    }
    // The procedure's name: an image has one stack.
    let _procedure = parts.next();
    match parts.next() {
        Some(word) if matches(word, "SYSplex") => sysplex(parts),
        Some(word) if matches(word, "Netstat") => netstat(parts),
        word => bail!("'{}' after TCPIP: expected SYSPLEX or NETSTAT", word.unwrap_or_default()),
    }
}

fn sysplex<'a>(mut parts: impl Iterator<Item = &'a str>) -> Result<Display> {
    let what = parts.next().unwrap_or_default();
    let mut max = MAX;
    let mut which = None;
    let is_vipadyn = matches(what, "VIPADyn");
    for part in parts {
        match part.split_once('=') {
            Some((word, value)) if matches(word, "MAX") => max = rows(value)?,
            Some((word, value)) if is_vipadyn && (matches(word, "IPAddr") || matches(word, "INTFName")) => {
                if which.replace(value.trim().to_owned()).is_some() {
                    bail!("IPADDR and INTFNAME both say which DVIPA: expected one of them");
                }
            }
            _ if is_vipadyn => bail!("'{part}' after VIPADYN: expected IPADDR=address, INTFNAME=name or MAX=n"),
            _ => return Err(too_much(part)),
        }
    }
    let sysplex = match what {
        _ if is_vipadyn => Sysplex::Vipadyn(which),
        word if matches(word, "GROUP") => Sysplex::Group,
        word if matches(word, "PORTS") => Sysplex::Ports,
        other => bail!("'{other}' after SYSPLEX: expected VIPADYN, GROUP or PORTS"),
    };
    Ok(Display::Sysplex(sysplex, max))
}

fn netstat<'a>(mut parts: impl Iterator<Item = &'a str>) -> Result<Display> {
    let report = parts.next().unwrap_or_default();
    let kind = ReportKind::from_str(report, true).map_err(|_| {
        let names = ReportKind::value_variants().iter().filter_map(ValueEnum::to_possible_value);
        let names: Vec<String> = names.map(|name| name.get_name().to_owned()).collect();
        anyhow!("'{report}' after NETSTAT: expected one of {}", names.join(", "))
    })?;
    let mut selection = Selection::from(kind);
    let (mut variant, mut max) = (None, MAX);
    for part in parts {
        match part.split_once('=') {
            Some((word, value)) if matches(word, "MAX") => max = rows(value)?,
            Some((word, value)) if matches(word, "IPAddr") => {
                selection.addresses.push(value.trim().parse().map_err(|why: String| anyhow!(why))?);
            }
            Some((word, value)) if matches(word, "POrt") => {
                let port = value.trim().parse().map_err(|_| anyhow!("'{part}': expected a port number"))?;
                selection.ports.push(port);
            }
            Some((word, value)) if matches(word, "CLIent") => selection.clients.push(value.trim().to_owned()),
            None => match Variant::from_str(part, true) {
                Ok(known) => variant = Some(known),
                Err(_) => bail!("'{part}' after {report}: expected DETAIL, IPADDR=, PORT=, CLIENT= or MAX="),
            },
            Some(_) => bail!("'{part}' after {report}: expected DETAIL, IPADDR=, PORT=, CLIENT= or MAX="),
        }
    }
    Ok(Display::Netstat(selection, variant, max))
}

/// MAX: a number, or `*` for all.
fn rows(text: &str) -> Result<usize> {
    match text.trim() {
        "*" => Ok(usize::MAX),
        number => number.parse().map_err(|_| anyhow!("MAX={number}: expected a number, or * for all")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Display> {
        parse(&[text.to_owned()])
    }

    #[test]
    fn display_commands_are_understood() {
        let vipadyn = |which: Option<&str>| Sysplex::Vipadyn(which.map(str::to_owned));
        for (text, expected) in [
            ("TCPIP,,SYSPLEX,VIPADYN", Display::Sysplex(vipadyn(None), 100)),
            ("tcpip,tcpcs,sys,vipad,ipa=203.0.113.1", Display::Sysplex(vipadyn(Some("203.0.113.1")), 100)),
            ("TCPIP,,SYSPLEX,VIPADYN,INTFNAME=DVA6,MAX=*", Display::Sysplex(vipadyn(Some("DVA6")), usize::MAX)),
            ("TCPIP,,SYSPLEX,GROUP", Display::Sysplex(Sysplex::Group, 100)),
            ("TCPIP,,SYSPLEX,PORTS,MAX=5", Display::Sysplex(Sysplex::Ports, 5)),
        ] {
            assert_eq!(read(text).unwrap(), expected, "{text}");
        }
        let Display::Netstat(selection, variant, max) = read("TCPIP,,N,vdpt,detail,PORT=60,MAX=3").unwrap() else {
            panic!("a netstat report")
        };
        assert_eq!((selection.kind, selection.ports), (ReportKind::Vdpt, vec![60]));
        assert_eq!((variant, max), (Some(Variant::Detail), 3));
    }

    #[test]
    fn mistakes_in_displays_are_told() {
        for (text, reason) in [
            ("VTAM", "expected TCPIP"),
            ("TCPIP,,STOR", "expected SYSPLEX or NETSTAT"),
            ("TCPIP,,SYSPLEX,ALL", "expected VIPADYN"),
            ("TCPIP,,SYSPLEX,GROUP,IPADDR=1.2.3.4", "nothing more"),
            ("TCPIP,,SYSPLEX,VIPADYN,PORT=1", "IPADDR=address"),
            ("TCPIP,,SYSPLEX,VIPADYN,IPADDR=1.2.3.4,INTFNAME=A", "one of them"),
            ("TCPIP,,SYSPLEX,VIPADYN,MAX=many", "a number"),
            ("TCPIP,,NETSTAT,ARP", "one of HOME"),
            ("TCPIP,,NETSTAT,CONN,IPADDR=nowhere", "expected an address"),
            ("TCPIP,,NETSTAT,CONN,PORT=x", "port number"),
            ("TCPIP,,NETSTAT,CONN,QUIETLY", "expected DETAIL"),
        ] {
            let error = format!("{:#}", read(text).unwrap_err());
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
