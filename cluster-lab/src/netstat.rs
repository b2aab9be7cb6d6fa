//! The netstat reports: as data, and in z/OS's layout.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

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
    /// Connections and listeners
    Conn,
    /// What was counted
    Stats,
    /// What is set
    Config,
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
    /// See [`ReportKind::Conn`].
    Conn {
        /// One row for each.
        connections: Vec<ConnectionRow>,
    },
    /// See [`ReportKind::Stats`]: groups of counters.
    Stats(BTreeMap<String, BTreeMap<String, u64>>),
    /// See [`ReportKind::Config`].
    Config {
        /// One row for each parameter.
        parameters: Vec<ParameterRow>,
    },
}

#[allow(missing_docs, reason = "the columns of z/OS's reports")]
mod rows {
    use super::*;

    #[derive(Clone, Debug, Serialize, Deserialize)]
    pub struct HomeRow {
        pub address: IpAddr,
        pub link: String,
        /// `I`: internal, a target DVIPA that is not advertised.
        pub flag: String,
    }

    #[derive(Clone, Debug, Serialize, Deserialize)]
    pub struct BackupRow {
        pub address: IpAddr,
        pub rank: u8,
    }

    #[derive(Clone, Debug, Serialize, Deserialize)]
    pub struct DefineRow {
        pub address: IpAddr,
        pub prefix: u8,
        pub moveable: String,
    }

    #[derive(Clone, Debug, Serialize, Deserialize)]
    pub struct RangeRow {
        pub address: IpAddr,
        pub prefix: u8,
        pub moveable: String,
    }

    #[derive(Clone, Debug, Serialize, Deserialize)]
    pub struct DistributeRow {
        pub address: IpAddr,
        pub ports: Vec<String>,
        pub destinations: Vec<String>,
        pub method: String,
    }

    #[derive(Clone, Debug, Serialize, Deserialize)]
    pub struct DvipaRow {
        pub address: IpAddr,
        pub prefix: u8,
        pub status: String,
        pub rank: Option<u8>,
        pub origin: String,
        pub distribution: String,
        pub owner: Option<IpAddr>,
        /// Round and rank of the ownership epoch.
        pub epoch: (u64, u8),
        /// The network is told to send packets for it here.
        pub advertised: bool,
    }

    #[derive(Clone, Debug, Serialize, Deserialize)]
    pub struct DestinationRow {
        pub address: IpAddr,
        pub port: u16,
        pub xcf: IpAddr,
        pub ready: u32,
        pub total: u64,
        pub active: u64,
    }

    #[derive(Clone, Debug, Serialize, Deserialize)]
    pub struct RouteRow {
        pub destination: SocketAddr,
        pub source: SocketAddr,
        pub xcf: IpAddr,
        pub state: String,
    }

    #[derive(Clone, Debug, Serialize, Deserialize)]
    pub struct ParameterRow {
        pub group: String,
        pub name: String,
        pub value: String,
    }

    #[derive(Clone, Debug, Serialize, Deserialize)]
    pub struct ConnectionRow {
        pub local: String,
        pub foreign: String,
        pub state: String,
        pub send_queue: usize,
        pub receive_queue: usize,
    }
}

pub use rows::*;

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

/// How wide a column for these addresses is: as on z/OS with IPv4, and wider where it has to be.
fn width(addresses: impl Iterator<Item = IpAddr>) -> usize {
    addresses.map(|address| address.to_string().len()).max().unwrap_or(0).max(15)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Report::Home { addresses } => {
                writeln!(f, "Home address list:")?;
                writeln!(f, "{:<16} {:<16} Flg", "LinkName", "Address")?;
                writeln!(f, "{:<16} {:<16} ---", "--------", "-------")?;
                addresses.iter().try_for_each(|row| {
                    let address = row.address.to_string();
                    writeln!(f, "{}", format!("{:<16} {address:<16} {}", row.link, row.flag).trim_end())
                })
            }
            Report::Vipadcfg { backups, defines, ranges, distributes } => {
                writeln!(f, "Dynamic VIPA Information:")?;
                if !backups.is_empty() {
                    writeln!(f, "  VIPA Backup:")?;
                }
                for row in backups {
                    writeln!(f, "    IpAddr/PrefixLen: {}", row.address)?;
                    writeln!(f, "      Rank: {:06}", row.rank)?;
                }
                if !defines.is_empty() {
                    writeln!(f, "  VIPA Define:")?;
                }
                for row in defines {
                    writeln!(f, "    IpAddr/PrefixLen: {}/{}", row.address, row.prefix)?;
                    writeln!(f, "      Moveable: {}", row.moveable)?;
                }
                if !ranges.is_empty() {
                    writeln!(f, "  VIPA Range:")?;
                }
                for row in ranges {
                    writeln!(f, "    IpAddr/PrefixLen: {}/{}", row.address, row.prefix)?;
                    writeln!(f, "      Moveable: {}", row.moveable)?;
                }
                if !distributes.is_empty() {
                    writeln!(f, "  VIPA Distribute:")?;
                }
                for row in distributes {
                    for port in &row.ports {
                        for destination in &row.destinations {
                            writeln!(f, "    Dest:      {}..{port}", row.address)?;
                            writeln!(f, "      DestXCF:    {destination}")?;
                            writeln!(f, "      DistMethod: {}", row.method)?;
                        }
                    }
                }
                Ok(())
            }
            Report::Vipadyn { dvipas } => {
                writeln!(f, "Dynamic VIPA:")?;
                for row in dvipas {
                    let rank = row.rank.map_or(String::new(), |rank| format!("  Rank: {rank:03}"));
                    writeln!(f, "  IpAddr/PrefixLen: {}/{}", row.address, row.prefix)?;
                    writeln!(
                        f,
                        "    Status: {:<10} Origin: {:<16} DistStat: {}{rank}",
                        row.status, row.origin, row.distribution
                    )?;
                    if let Some(owner) = row.owner {
                        writeln!(f, "    Owner:  {owner}")?;
                    }
                }
                Ok(())
            }
            Report::Vdpt { destinations } => {
                writeln!(f, "Dynamic VIPA Destination Port Table:")?;
                let wide = width(destinations.iter().flat_map(|row| [row.address, row.xcf]));
                writeln!(f, "{:<wide$} DPort {:<wide$} Rdy TotalConn  WLM  TSR Flg", "Dest IPaddr", "DestXCF Addr")?;
                writeln!(f, "{:<wide$} ----- {:<wide$} --- ---------  ---  --- ---", "-----------", "------------")?;
                destinations.iter().try_for_each(|row| {
                    let (address, xcf) = (row.address.to_string(), row.xcf.to_string());
                    // TotalConn has ten digits and wraps.
                    let total = row.total % 10_000_000_000;
                    writeln!(f, "{address:<wide$} {:05} {xcf:<wide$} {:03} {total:010} 01   100 R", row.port, row.ready)
                })
            }
            Report::Vcrt { connections } => {
                writeln!(f, "Dynamic VIPA Connection Routing Table:")?;
                let wide = width(connections.iter().flat_map(|row| [row.destination.ip(), row.source.ip(), row.xcf]));
                writeln!(f, "{:<wide$} DPort {:<wide$} SPort {:<wide$}", "Dest IPaddr", "Src IPaddr", "DestXCF Addr")?;
                writeln!(f, "{:<wide$} ----- {:<wide$} ----- {:<wide$}", "-----------", "----------", "------------")?;
                connections.iter().try_for_each(|row| {
                    let (to, from) = (row.destination.ip().to_string(), row.source.ip().to_string());
                    let (dport, sport) = (row.destination.port(), row.source.port());
                    writeln!(f, "{to:<wide$} {dport:05} {from:<wide$} {sport:05} {}", row.xcf)
                })
            }
            Report::Stats(groups) => groups.iter().try_for_each(|(group, counters)| {
                writeln!(f, "{group} Statistics")?;
                counters.iter().try_for_each(|(name, count)| writeln!(f, "  {name:<24} = {count}"))
            }),
            Report::Config { parameters } => {
                for group in parameters.chunk_by(|one, next| one.group == next.group) {
                    if let [first, ..] = group {
                        writeln!(f, "{} Configuration Table:", first.group)?;
                    }
                    for row in group {
                        writeln!(f, "  {:<20} {}", format!("{}:", row.name), row.value)?;
                    }
                }
                Ok(())
            }
            Report::Conn { connections } => {
                let longest = connections.iter().map(|row| row.local.len().max(row.foreign.len())).max();
                let wide = longest.unwrap_or(0).max(22);
                writeln!(f, "{:<wide$} {:<wide$} State", "Local Socket", "Foreign Socket")?;
                writeln!(f, "{:<wide$} {:<wide$} -----", "------------", "--------------")?;
                connections
                    .iter()
                    .try_for_each(|row| writeln!(f, "{:<wide$} {:<wide$} {}", row.local, row.foreign, row.state))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// z/OS's layout of the short VDPT report.
    #[test]
    fn vdpt_is_laid_out_as_on_zos() {
        let row = DestinationRow {
            address: "201.2.10.11".parse().unwrap(),
            port: 245,
            xcf: "201.1.10.10".parse().unwrap(),
            ready: 1,
            total: 7,
            active: 1,
        };
        let report = Report::Vdpt { destinations: vec![row] };
        let text = report.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "Dest IPaddr     DPort DestXCF Addr    Rdy TotalConn  WLM  TSR Flg");
        assert_eq!(lines[3], "201.2.10.11     00245 201.1.10.10     001 0000000007 01   100 R");
        assert_eq!(report.to_json()["destinations"][0]["port"], 245);
    }
}
