//! The VIPADynamic block as z/OS writes it: read with positions, checked, and printed.
//!
//! Capital letters of a keyword are its shortest abbreviation, case does not matter, `;` starts a
//! comment, a statement may go over several lines.

mod lexer;
mod parser;

use std::fmt;
use std::net::IpAddr;

pub use lexer::{Position, Word, matches, words};
use thiserror::Error;

use crate::definitions::{
    Crossover, Definitions, Distribute, Method, Moveable, Options, Ports, Processors, Standby, Targets,
};

/// What is wrong in a profile, and where.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}:{}: {message}", at.line, at.column)]
pub struct StatementError {
    /// Where.
    pub at: Position,
    /// What, and what was expected.
    pub message: String,
}

/// Where each address of the definitions stands in the text, for checks across stacks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// Of each of [`Definitions::defines`].
    pub defines: Vec<Position>,
    /// Of each of [`Definitions::backups`].
    pub backups: Vec<Position>,
    /// Of each of [`Definitions::ranges`].
    pub ranges: Vec<Position>,
    /// Of each of [`Definitions::distributes`], and of each of its targets.
    pub distributes: Vec<(Position, Vec<Position>)>,
}

/// Reads a VIPADynamic block. `symbol` knows the names that stand for addresses.
///
/// # Errors
/// Everything that is wrong with it, in the order of the text.
pub fn parse(
    text: &str,
    symbol: &dyn Fn(&str) -> Option<IpAddr>,
) -> Result<(Definitions, Places), Vec<StatementError>> {
    parser::parse(text, symbol, &Definitions::default())
}

/// Reads a VIPADynamic block that changes `known`, as VARY OBEYFILE does: what it adds, what it takes
/// away, and what it says anew (D6). What was in force before has its place at the text's beginning.
///
/// # Errors
/// Everything that is wrong with it; then nothing of it counts.
pub fn obey(
    known: &Definitions,
    text: &str,
    symbol: &dyn Fn(&str) -> Option<IpAddr>,
) -> Result<(Definitions, Places), Vec<StatementError>> {
    parser::parse(text, symbol, known)
}

/// A DVIPA with its mask before it, or behind it the length of its prefix, as IPv6 has it.
fn placed(address: IpAddr, prefix: u8) -> String {
    match address {
        IpAddr::V4(v4) => {
            let bits = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
            format!("{} {v4}", std::net::Ipv4Addr::from_bits(bits))
        }
        IpAddr::V6(v6) => format!("{v6}/{prefix}"),
    }
}

fn moveable(moveable: Moveable) -> &'static str {
    match moveable {
        Moveable::Immediate => "MOVEABLE IMMEDIATE",
        Moveable::WhenIdle => "MOVEABLE WHENIDLE",
    }
}

/// The block in z/OS's layout; reading it again gives the same definitions.
impl fmt::Display for Definitions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "VIPADYNAMIC")?;
        for define in &self.defines {
            let (place, how) = (placed(define.address, define.prefix), moveable(define.moveable));
            writeln!(f, "  VIPADEFINE {how} {place}")?;
        }
        for backup in &self.backups {
            write!(f, "  VIPABACKUP {}", backup.rank)?;
            match backup.create {
                Some((how, prefix)) => writeln!(f, " {} {}", moveable(how), placed(backup.address, prefix))?,
                None => writeln!(f, " {}", backup.address)?,
            }
        }
        for range in &self.ranges {
            let how = if range.disruptive { "DISRUPTIVE" } else { "NONDISRUPTIVE" };
            writeln!(f, "  VIPARANGE MOVEABLE {how} {}", placed(range.address, range.prefix))?;
        }
        self.distributes.iter().try_for_each(|distribute| write_distribute(f, distribute))?;
        writeln!(f, "ENDVIPADYNAMIC")
    }
}

fn write_distribute(f: &mut fmt::Formatter<'_>, distribute: &Distribute) -> fmt::Result {
    let Distribute { address, method, ports, targets, options } = distribute;
    write!(f, "  VIPADISTRIBUTE DISTMETHOD {}", method.name())?;
    match method {
        Method::BaseWlm(Processors { cp, zaap, ziip }) if *method != Method::default() => {
            write!(f, " PROCTYPE CP {cp} ZAAP {zaap} ZIIP {ziip}")?;
        }
        Method::ServerWlm(Crossover { zaap, ziip, importance }) => {
            write!(f, " PROCXCOST ZAAP {zaap} ZIIP {ziip} ILWEIGHTING {importance}")?;
        }
        Method::HotStandby(Standby { switch_back, health_switch, .. }) => {
            let no = |on: &bool| if *on { "" } else { "NO" };
            write!(f, " {}AUTOSWITCHBACK {}HEALTHSWITCH", no(switch_back), no(health_switch))?;
        }
        Method::BaseWlm(_) | Method::RoundRobin | Method::WeightedActive(_) => {}
    }
    let Options { sysplex_ports, optlocal, timed_affinity } = options;
    if *sysplex_ports {
        write!(f, " SYSPLEXPORTS")?;
    }
    if let Some(value) = optlocal {
        write!(f, " OPTLOCAL {value}")?;
    }
    if *timed_affinity > 0 {
        write!(f, " TIMEDAFFINITY {timed_affinity}")?;
    }
    write!(f, " {address}")?;
    if let Ports::List(ranges) = ports {
        write!(f, " PORT")?;
        for range in ranges {
            match range.first == range.last {
                true => write!(f, " {}", range.first)?,
                false => write!(f, " {}-{}", range.first, range.last)?,
            }
        }
    }
    write!(f, " DESTIP")?;
    match targets {
        Targets::All => write!(f, " ALL")?,
        Targets::List(list) => list.iter().try_for_each(|target| {
            write!(f, " {target}")?;
            match method {
                Method::WeightedActive(weights) => write!(f, " WEIGHT {}", weights.of(*target)),
                Method::HotStandby(standby) => match standby.rank(*target) {
                    Some(Standby::PREFERRED) => write!(f, " PREFERRED"),
                    rank => write!(f, " BACKUP {}", rank.unwrap_or(Standby::BACKUP)),
                },
                Method::BaseWlm(_) | Method::RoundRobin | Method::ServerWlm(_) => Ok(()),
            }
        })?,
    }
    writeln!(f)
}

#[cfg(test)]
mod tests;
