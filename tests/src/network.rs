//! What a lab's images and its network know of who is where.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use serde_json::Value;

use crate::{Lab, succeed, text};

/// Of every image that runs and answers, its view of one DVIPA.
#[derive(Clone, Debug)]
pub struct Network {
    /// Image → its row of `netstat VIPADYN`.
    pub views: BTreeMap<String, Value>,
    /// Where the client's network sends packets for the DVIPA: an image, in capital letters.
    pub route: String,
}

impl Network {
    /// How it is now with the DVIPA at `address`.
    pub fn now(lab: &Lab, address: &str) -> Network {
        let mut views = BTreeMap::new();
        for image in lab.running() {
            let output = lab.command("netstat").args([&image, "VIPADYN", "--json"]).output().expect("it starts");
            // An image may end, or be paused, at any time.
            let Ok(report) = serde_json::from_str::<Value>(&text(&output)) else { continue };
            let mut rows = report["dvipas"].as_array().cloned().unwrap_or_default().into_iter();
            if let Some(row) = rows.find(|row| row["address"] == address) {
                views.insert(image, row);
            }
        }
        let version = if address.contains(':') { "-6" } else { "-4" };
        let routes = succeed(lab.exec("ip").args([version, "-o", "route", "show", address]));
        let route = routes.split_whitespace().skip_while(|word| *word != "dev").nth(1).unwrap_or_default();
        Network { views, route: route.to_uppercase() }
    }

    /// The images that advertise it.
    pub fn advertisers(&self) -> Vec<&str> {
        self.views.iter().filter(|(_, row)| row["advertised"] == true).map(|(image, _)| image.as_str()).collect()
    }

    /// Each image's row, with round and rank of the epoch that it goes by.
    pub fn epochs(&self) -> impl Iterator<Item = (&str, (u64, u64), &Value)> {
        let number = |value: &Value| value.as_u64().unwrap_or_default();
        self.views
            .iter()
            .map(move |(image, row)| (image.as_str(), (number(&row["epoch"][0]), number(&row["epoch"][1])), row))
    }

    /// Whether `owner` alone advertises it, every image takes it for the owner, and the network does.
    pub fn agrees_on(&self, lab: &Lab, owner: &str) -> bool {
        let xcf = &lab.image(owner)["xcf"];
        self.advertisers() == [owner] && self.route == owner && self.views.values().all(|row| row["owner"] == *xcf)
    }
}

impl Lab {
    /// The images that run, paused ones included.
    pub fn running(&self) -> Vec<String> {
        let images = self.status()["images"].as_array().cloned().unwrap_or_default();
        let runs = images.iter().filter(|image| image["state"] == "running");
        runs.filter_map(|image| image["name"].as_str().map(str::to_owned)).collect()
    }

    /// The event log's lines.
    pub fn log(&self) -> Vec<String> {
        succeed(&mut self.command("log")).lines().map(str::to_owned).collect()
    }

    /// The router's table for the DVIPA at `address`: the client's end, and the XCF address of the target.
    ///
    /// # Panics
    /// If the report is not what it should be.
    pub fn routes(&self, router: &str, address: &str) -> BTreeSet<(SocketAddr, String)> {
        let report = self.netstat(router, "VCRT");
        let rows = report["connections"].as_array().expect("a list").iter();
        let of = |row: &Value| {
            let destination: SocketAddr = row["destination"].as_str()?.parse().ok()?;
            let source = row["source"].as_str()?.parse().ok()?;
            (destination.ip().to_string() == address).then(|| (source, row["xcf"].as_str().unwrap_or("?").to_owned()))
        };
        rows.filter_map(of).collect()
    }
}

/// The connections on the DVIPA at `address` that end on `image`, by the client's end, and its XCF address.
///
/// # Panics
/// If the report is not what it should be.
pub fn established(lab: &Lab, image: &str, address: &str) -> BTreeSet<(SocketAddr, String)> {
    let xcf = lab.image(image)["xcf"].as_str().expect("an address").to_owned();
    let report = lab.netstat(image, "ALLCONN");
    let rows = report["connections"].as_array().expect("a list").iter();
    let local = format!("{address}..");
    let holds =
        rows.filter(|row| row["local"].as_str().is_some_and(|own| own.starts_with(&local)) && row["state"] != "Listen");
    let source = |row: &Value| {
        let (address, port) = row["foreign"].as_str()?.rsplit_once("..")?;
        Some(SocketAddr::new(address.parse().ok()?, port.parse().ok()?))
    };
    holds.filter_map(source).map(|source| (source, xcf.clone())).collect()
}
