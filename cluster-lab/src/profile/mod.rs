//! Profiles: one RON file says what a cluster is.
//!
//! ```ron
//! (
//!   name: "pair",
//!   network: (subnet: "198.51.100.0/24", client: "198.51.100.1"),
//!   names: {"DVA": "203.0.113.1", "XCF1": "192.0.2.1"},
//!   images: [
//!     (name: "MVS1", xcf: "XCF1", link: Some("198.51.100.11"),
//!      apps: [(name: "WEB", kind: http, bind: "DVA", port: 80)],
//!      vipadynamic: r#" VIPADynamic … ENDVIPADynamic "#),
//!   ],
//! )
//! ```

mod check;
mod lint;
mod load;
mod raw;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::key::ClusterKey;
use crate::tcpip::{self, Settings};
use crate::workload;
use serde::{Deserialize, Serialize};
use vipa::Timing;
use vipa::definitions::Definitions;
use vipa::statements::{Places, StatementError};

pub use load::{BUILT_IN, examine, load, read};

/// A cluster, read and checked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// The client network.
    pub network: Network,
    /// Names that stand for addresses.
    pub names: BTreeMap<String, IpAddr>,
    /// The images.
    pub images: Vec<Image>,
    /// Intervals, where the profile changes them.
    pub timing: TimingOverrides,
    /// What weighs images and servers.
    pub workload: workload::Plan,
    /// The cluster's key, if it has a file of its own. It travels in [`Start`](crate::control::Start).
    #[serde(skip)]
    pub xcf_key: Option<ClusterKey>,
    /// Whether images of different processes pass data through memory that they share, or by UDP alone.
    pub xcf_memory: bool,
}

/// The client network.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Network {
    /// Its first address.
    pub subnet: IpAddr,
    /// Length of its prefix.
    pub prefix: u8,
    /// The client's address.
    pub client: IpAddr,
    /// Largest IP packet on it.
    pub mtu: u16,
    /// Whether TUN devices carry super-segments and unfinished checksums.
    pub offload: bool,
}

impl Network {
    /// The first address of the network of `prefix` bits that `address` is in.
    pub(crate) fn first_of(address: IpAddr, prefix: u8) -> Option<IpAddr> {
        Some(match address {
            IpAddr::V4(v4) => {
                let host = 32u32.checked_sub(prefix.into())?;
                Ipv4Addr::from_bits(v4.to_bits() & u32::MAX.checked_shl(host).unwrap_or(0)).into()
            }
            IpAddr::V6(v6) => {
                let host = 128u32.checked_sub(prefix.into())?;
                Ipv6Addr::from_bits(v6.to_bits() & u128::MAX.checked_shl(host).unwrap_or(0)).into()
            }
        })
    }

    /// Whether `address` stands for the network itself or for all hosts on it, as the first and the last one of
    /// IPv4 do.
    pub(crate) fn is_an_end(&self, address: IpAddr) -> bool {
        let (IpAddr::V4(first), IpAddr::V4(address)) = (self.subnet, address) else { return false };
        let hosts = u32::MAX.checked_shr(self.prefix.into()).unwrap_or(0);
        address == first || address.to_bits() == first.to_bits() | hosts
    }

    /// Whether `address` is on it.
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.subnet.is_ipv4() && Network::first_of(address, self.prefix) == Some(self.subnet)
    }
}

/// One image.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Image {
    /// Its name.
    pub name: String,
    /// Its XCF address.
    pub xcf: IpAddr,
    /// Its address on the client network, if it has a link there.
    pub link: Option<IpAddr>,
    /// Its applications.
    pub apps: Vec<App>,
    /// Its TCP/IP statements, checked: the cluster's, and then its own.
    pub tcpip: String,
    /// Its VIPADynamic block, checked, in z/OS's layout.
    pub vipadynamic: String,
}

impl Image {
    /// What its TCP/IP statements set.
    pub fn settings(&self) -> Settings {
        // Checked when it was read.
        tcpip::parse(&self.tcpip, &Settings::default()).unwrap_or_default()
    }

    /// Its applications as they listen by its PORT statements; those that may not have their port are left out.
    pub fn listening_apps(&self) -> Vec<App> {
        let settings = self.settings();
        let place = |app: &App| settings.place(&app.name, app.bind, app.port).ok();
        self.apps.iter().filter_map(|app| place(app).map(|bind| App { bind, ..app.clone() })).collect()
    }

    /// Its VIPADynamic block.
    pub fn definitions(&self) -> Definitions {
        // What was written from definitions reads back as the same; an empty block stays empty.
        vipa::statements::parse(&self.vipadynamic, &|_| None).map(|(definitions, _)| definitions).unwrap_or_default()
    }
}

/// An application of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct App {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: AppKind,
    /// The address it binds; `None` for every address.
    pub bind: Option<IpAddr>,
    /// Its port.
    pub port: u16,
    /// Whether it starts with the image.
    pub start: bool,
}

/// What an application is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(non_camel_case_types, reason = "the words of a profile")]
pub enum AppKind {
    /// A web server.
    http,
    /// RFC 862, TCP and UDP.
    echo,
    /// RFC 863.
    discard,
    /// RFC 864.
    chargen,
    /// The lab in a browser: see [`web`](crate::web).
    web,
    /// Passes connections on to a server on the host's side, or to one in the cluster.
    relay {
        /// `ADDRESS:PORT`, or `unix:` and a path. From the image, the address may be one of the profile's names.
        to: String,
        /// Whose stack opens the connections.
        #[serde(default)]
        from: Side,
        /// Tell the server the client's address by a PROXY protocol v2 header.
        #[serde(default)]
        proxy_protocol: bool,
    },
}

/// A side of a lab.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(non_camel_case_types, reason = "the words of a profile")]
pub enum Side {
    /// The host's: its real servers.
    #[default]
    host,
    /// The image's own stack: DVIPAs, and whatever else it reaches.
    image,
}

impl fmt::Display for AppKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AppKind::http => f.write_str("http"),
            AppKind::echo => f.write_str("echo"),
            AppKind::discard => f.write_str("discard"),
            AppKind::chargen => f.write_str("chargen"),
            AppKind::web => f.write_str("web"),
            AppKind::relay { to, from: Side::host, .. } => write!(f, "relay to {to}"),
            AppKind::relay { to, from: Side::image, .. } => write!(f, "relay to {to} from the image"),
        }
    }
}

/// Intervals in milliseconds; what is left out keeps its default.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TimingOverrides {
    /// Between heartbeats.
    pub heartbeat: Option<u64>,
    /// Silence after which a stack is taken for lost.
    pub silence: Option<u64>,
    /// How long a starting stack listens before it claims its DVIPAs.
    pub discovery: Option<u64>,
    /// How long a new router waits for reports.
    pub rebuild_wait: Option<u64>,
    /// How long a former router goes on forwarding.
    pub grace: Option<u64>,
    /// How long it is measured how servers answer, and how often images are weighed.
    pub measure: Option<u64>,
}

impl TimingOverrides {
    /// The defaults with these changes.
    pub fn apply(&self) -> Timing {
        let mut timing = Timing::default();
        let set = |field: &mut Duration, value: Option<u64>| {
            if let Some(millis) = value {
                *field = Duration::from_millis(millis);
            }
        };
        let TimingOverrides { heartbeat, silence, discovery, rebuild_wait, grace, measure } = *self;
        set(&mut timing.heartbeat, heartbeat);
        set(&mut timing.silence, silence);
        set(&mut timing.discovery, discovery);
        set(&mut timing.rebuild_wait, rebuild_wait);
        set(&mut timing.grace, grace);
        set(&mut timing.measure, measure);
        timing
    }
}

impl Cluster {
    /// The image called `name`; case does not matter.
    pub fn image(&self, name: &str) -> Option<&Image> {
        self.images.iter().find(|image| image.name.eq_ignore_ascii_case(name))
    }

    /// Where its images serve the lab to browsers.
    pub fn web_servers(&self) -> Vec<(String, SocketAddr)> {
        let apps = self.images.iter().flat_map(|image| image.apps.iter().map(move |app| (image, app)));
        let web = apps.filter(|(_, app)| app.kind == AppKind::web);
        let at = |(image, app): (&Image, &App)| {
            let address = app.bind.or(image.link)?;
            Some((image.name.clone(), SocketAddr::new(address, app.port)))
        };
        web.filter_map(at).collect()
    }

    /// The name that stands for `address`, or the address itself.
    pub fn name_of(&self, address: IpAddr) -> String {
        let name = self.names.iter().find(|(_, known)| **known == address).map(|(name, _)| name.clone());
        name.unwrap_or_else(|| address.to_string())
    }

    /// The address that `name` stands for.
    pub fn address_of(&self, name: &str) -> Option<IpAddr> {
        self.names.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, address)| *address)
    }

    /// The image with this XCF address.
    pub fn image_at(&self, xcf: IpAddr) -> Option<&Image> {
        self.images.iter().find(|image| image.xcf == xcf)
    }
}

/// What the block of an image cannot say in its cluster, whatever the other images say.
pub(crate) fn check_block(
    cluster: &Cluster,
    image: &str,
    definitions: &Definitions,
    places: &Places,
) -> Vec<StatementError> {
    let images: Vec<&Image> = cluster.images.iter().collect();
    let of = |image: &Image| check::block(&cluster.network, &images, image, definitions, places);
    cluster.image(image).map(of).unwrap_or_default()
}

/// Everything that is wrong with a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileErrors(pub Vec<ProfileError>);

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileError {
    /// The file.
    pub file: String,
    /// Line and column, from 1.
    pub at: (u32, u32),
    /// What, and what was expected.
    pub message: String,
}

impl fmt::Display for ProfileErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            write!(f, "{}{error}", if index == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl fmt::Display for ProfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ProfileError { file, at: (line, column), message } = self;
        write!(f, "{file}:{line}:{column}: {message}")
    }
}

impl std::error::Error for ProfileErrors {}

#[cfg(test)]
mod tests;
