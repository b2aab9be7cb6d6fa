//! The rows of the reports: the columns of z/OS's, and their JSON form.

#![allow(missing_docs, reason = "the columns of z/OS's reports")]

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HomeRow {
    pub address: IpAddr,
    pub link: String,
    /// `I`: internal, a target DVIPA that is not advertised.
    pub flag: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BackupRow {
    pub address: IpAddr,
    /// Length of the prefix, if the backup may create the DVIPA.
    pub prefix: Option<u8>,
    pub rank: u8,
    /// Empty if the backup may not create the DVIPA.
    pub moveable: String,
    pub deactivated: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DefineRow {
    pub address: IpAddr,
    pub prefix: u8,
    pub moveable: String,
    pub deactivated: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RangeRow {
    pub address: IpAddr,
    pub prefix: u8,
    pub moveable: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DistributeRow {
    pub address: IpAddr,
    /// `*` for every port.
    pub ports: Vec<String>,
    /// `ALL` for every stack.
    pub destinations: Vec<String>,
    pub method: String,
    /// WEIGHT of each destination, where the method goes by it.
    pub weights: Vec<u8>,
    /// Of HOTSTANDBY.
    pub standby: Option<StandbyRow>,
    pub sysplex_ports: bool,
    /// In seconds; 0: none.
    pub timed_affinity: u16,
    pub optlocal: Option<u8>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StandbyRow {
    /// Of each destination; 255 for PREFERRED.
    pub ranks: Vec<u8>,
    pub auto_switch_back: bool,
    pub health_switch: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DvipaRow {
    pub address: IpAddr,
    pub prefix: u8,
    pub status: String,
    pub rank: Option<u8>,
    pub origin: String,
    pub distribution: String,
    /// Since when this stack has it on the network, in UTC.
    pub activated: Option<jiff::Timestamp>,
    pub owner: Option<IpAddr>,
    /// Round and rank of the ownership epoch.
    pub epoch: (u64, u8),
    /// The network is told to send packets for it here.
    pub advertised: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DestinationRow {
    pub address: IpAddr,
    pub port: u16,
    pub xcf: IpAddr,
    pub ready: u32,
    pub total: u64,
    pub active: u64,
    pub method: String,
    /// With HOTSTANDBY: Preferred or Backup.
    pub server: Option<String>,
    /// The one that counts: WEIGHT, or the workload manager's, normalised.
    pub weight: u32,
    /// The workload manager's own.
    pub raw_weight: Option<u8>,
    /// In words; the short report shows their letters.
    pub flags: Vec<Flag>,
    /// How well the target answers, as it was measured.
    pub responsiveness: Responsiveness,
}

#[cfg(test)]
impl DestinationRow {
    /// A target with one listener, in turn.
    pub fn example(address: IpAddr, port: u16, xcf: IpAddr) -> DestinationRow {
        DestinationRow {
            address,
            port,
            xcf,
            ready: 1,
            total: 0,
            active: 0,
            method: "ROUNDROBIN".into(),
            server: None,
            weight: 1,
            raw_weight: None,
            flags: vec![Flag::Roundrobin],
            responsiveness: Responsiveness::default(),
        }
    }
}

/// Flg of VDPT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Flag {
    /// The distribution has no PORT.
    Dynamic,
    BaseWLM,
    ServerWLM,
    Roundrobin,
    WeightedActive,
    HotStandby,
    /// With HOTSTANDBY: it gets the connections.
    Active,
    /// With HOTSTANDBY: it gets none now.
    Backup,
    /// Nothing new goes there.
    Inactive,
}

/// Target server responsiveness, in percent; 100 until something else was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Responsiveness {
    pub tsr: u8,
    pub tcsr: u8,
    pub cer: u8,
    pub sef: u8,
    /// Abnormal completions in a thousand.
    pub abnorm: u16,
    pub health: u8,
}

impl Default for Responsiveness {
    fn default() -> Self {
        Responsiveness { tsr: 100, tcsr: 100, cer: 100, sef: 100, abnorm: 0, health: 100 }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouteRow {
    pub destination: SocketAddr,
    pub source: SocketAddr,
    pub xcf: IpAddr,
    pub state: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ParameterRow {
    pub group: String,
    pub name: String,
    pub value: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConnectionRow {
    /// The application that listens, or whose listener took the connection.
    pub user: String,
    pub protocol: String,
    pub local: String,
    pub foreign: String,
    pub state: String,
    pub send_queue: usize,
    pub receive_queue: usize,
}

/// A connection or a listener in every detail (ALL).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DetailRow {
    pub connection: ConnectionRow,
    /// Of a listener.
    pub listener: Option<ListenerRow>,
    /// Of a connection.
    pub tcp: Option<TcpRow>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ListenerRow {
    pub maximum_backlog: usize,
    pub current_backlog: usize,
    /// Handshakes under way.
    pub half_open: usize,
    /// Connections that it has taken and that are there still.
    pub current_connections: usize,
    /// Server efficiency fraction: how much of the backlog is free, in percent.
    pub sef: u8,
    pub quiesced: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TcpRow {
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub send_window: u32,
    pub receive_window: u32,
    pub congestion_window: u32,
    pub slow_start_threshold: Option<u32>,
    pub round_trip_ms: f64,
    pub round_trip_variance_ms: f64,
    pub retransmit_timeout_ms: f64,
    pub send_mss: u32,
    pub receive_mss: u32,
    pub path_mtu: u16,
    pub send_buffer: u32,
    pub receive_buffer: u32,
    pub unacknowledged: u32,
    pub retransmitted: u32,
    pub timestamps: bool,
    pub sack: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PathRow {
    pub destination: IpAddr,
    pub prefix: u8,
    pub gateway: Option<IpAddr>,
    /// U up, G by a gateway, H to a host, S static.
    pub flags: String,
    pub link: String,
    pub mtu: u16,
}
