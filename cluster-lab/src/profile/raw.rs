//! A profile as it is written, before names are resolved and anything is checked.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{AppKind, TimingOverrides};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cluster {
    pub name: String,
    pub network: Network,
    /// In the order in which they stand, so that one that stands twice is seen.
    #[serde(default, deserialize_with = "pairs")]
    pub names: Vec<(String, String)>,
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

/// A map as pairs.
fn pairs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, String)>, D::Error> {
    struct Pairs;

    impl<'de> Visitor<'de> for Pairs {
        type Value = Vec<(String, String)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("names and their addresses, as {\"DVA\": \"203.0.113.1\"}")
        }

        fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
            let mut pairs = Vec::new();
            while let Some(pair) = map.next_entry()? {
                pairs.push(pair);
            }
            Ok(pairs)
        }
    }

    deserializer.deserialize_map(Pairs)
}
