//! The netstat reports: as data, and in z/OS's layout.

mod layout;
mod rows;
mod selection;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

pub use rows::*;
pub use selection::{Pattern, Selection, Variant};

/// Which report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[value(rename_all = "UPPER")]
pub enum ReportKind {
    /// The home list
    Home,
    /// The VIPADynamic block
    Vipadcfg,
    /// DVIPAs and their status
    Vipadyn,
    /// The destination port table
    Vdpt,
    /// The current routing table
    Vcrt,
    /// Connections, listeners and UDP sockets
    Conn,
    /// The same, and connections that have ended a moment ago (TIME_WAIT)
    Allconn,
    /// Connections and listeners in every detail
    All,
    /// Where packets go
    Route,
    /// What was counted
    Stats,
    /// What is set
    Config,
}

impl ReportKind {
    /// Whether there is such a variant of it.
    ///
    /// # Errors
    /// What the variant is for.
    pub fn has(self, variant: Option<Variant>) -> Result<(), String> {
        match (self, variant) {
            (_, None)
            | (ReportKind::Vdpt | ReportKind::Vcrt, Some(Variant::Detail))
            | (ReportKind::Vipadyn, Some(Variant::Dvipa | Variant::Viparoute)) => Ok(()),
            (_, Some(Variant::Detail)) => Err("DETAIL is for VDPT and VCRT".into()),
            (_, Some(Variant::Dvipa | Variant::Viparoute)) => Err("DVIPA and VIPAROUTE are for VIPADYN".into()),
        }
    }
}

/// A report. Its JSON form is the content of the variant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Report {
    /// See [`ReportKind::Home`].
    Home {
        /// The addresses, in order.
        addresses: Vec<HomeRow>,
    },
    /// See [`ReportKind::Vipadcfg`].
    Vipadcfg {
        /// Whether the stack is in the sysplex group: if not, nothing of it is in force.
        in_group: bool,
        /// VIPABACKUP.
        backups: Vec<BackupRow>,
        /// VIPADEFINE.
        defines: Vec<DefineRow>,
        /// VIPARANGE.
        ranges: Vec<RangeRow>,
        /// VIPADISTRIBUTE.
        distributes: Vec<DistributeRow>,
    },
    /// See [`ReportKind::Vipadyn`].
    Vipadyn {
        /// One row for each.
        dvipas: Vec<DvipaRow>,
    },
    /// See [`ReportKind::Vdpt`].
    Vdpt {
        /// One row for each target.
        destinations: Vec<DestinationRow>,
    },
    /// See [`ReportKind::Vcrt`].
    Vcrt {
        /// One row for each.
        connections: Vec<RouteRow>,
    },
    /// See [`ReportKind::Conn`] and [`ReportKind::Allconn`].
    Conn {
        /// One row for each.
        connections: Vec<ConnectionRow>,
    },
    /// See [`ReportKind::All`].
    All {
        /// One for each connection and listener.
        connections: Vec<DetailRow>,
    },
    /// See [`ReportKind::Route`].
    Route {
        /// One row for each, in the order in which they are tried.
        routes: Vec<PathRow>,
    },
    /// See [`ReportKind::Stats`]: groups of counters.
    Stats(BTreeMap<String, BTreeMap<String, u64>>),
    /// See [`ReportKind::Config`].
    Config {
        /// One row for each parameter.
        parameters: Vec<ParameterRow>,
    },
}

impl Report {
    /// The report as JSON, without the name of its kind.
    pub fn to_json(&self) -> serde_json::Value {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::Object(map)) => map.into_iter().next().map(|(_, value)| value).unwrap_or_default(),
            // A report is always an object.
            _ => serde_json::Value::Null,
        }
    }
}

/// An address and a port as z/OS writes them.
pub fn socket(address: SocketAddr) -> String {
    format!("{}..{}", address.ip(), address.port())
}

/// The name of a DVIPA's link, as z/OS makes it: `VIPL` and the address in hexadecimal digits. For IPv6 the
/// profile names the interface there; here it is named after the address, folded to 32 bits.
pub fn dvipa_link(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => format!("VIPL{:08X}", address.to_bits()),
        IpAddr::V6(address) => {
            let folded = (0..4).fold(0, |folded, word| folded ^ (address.to_bits() >> (32 * word)) as u32);
            format!("VIP6{folded:08X}")
        }
    }
}
