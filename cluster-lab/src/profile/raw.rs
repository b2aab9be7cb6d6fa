//! A profile as it is written, before names are resolved and anything is checked.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{AppKind, TimingOverrides};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cluster {
    pub name: String,
    pub network: Network,
    #[serde(default)]
    pub names: BTreeMap<String, String>,
    pub images: Vec<Image>,
    #[serde(default)]
    pub timing: TimingOverrides,
    #[serde(default)]
    pub workload: crate::workload::Plan,
    /// TCP/IP statements of every image.
    #[serde(default)]
    pub tcpip: Option<String>,
    /// A file with the cluster's key.
    #[serde(default)]
    pub xcf_key: Option<String>,
    #[serde(default = "yes")]
    pub xcf_memory: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Network {
    pub subnet: String,
    pub client: String,
    #[serde(default = "ethernet")]
    pub mtu: u16,
    #[serde(default = "yes")]
    pub offload: bool,
}

fn ethernet() -> u16 {
    1500
}

fn yes() -> bool {
    true
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Image {
    pub name: String,
    pub xcf: String,
    #[serde(default)]
    pub link: Option<String>,
    #[serde(default)]
    pub apps: Vec<App>,
    /// Its own TCP/IP statements; they count more than the cluster's.
    #[serde(default)]
    pub tcpip: Option<String>,
    #[serde(default)]
    pub vipadynamic: Option<String>,
    /// A file with the block, in place of `vipadynamic`.
    #[serde(default)]
    pub vipadynamic_file: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct App {
    pub name: String,
    pub kind: AppKind,
    pub bind: String,
    pub port: u32,
    /// Whether it starts with the image.
    #[serde(default = "yes")]
    pub start: bool,
}
