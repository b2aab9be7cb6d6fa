//! Where a lab is: in a network namespace of its own, or in the host's.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use anyhow::{Context, Result, anyhow, bail};
use rand::seq::SliceRandom;

use super::Options;
use crate::network::{self, Holder, Plan};
use crate::profile::Cluster;
use crate::state::{Process, Record, StateDir};

/// XCF's ports: none of those that the kernel gives to clients, from 32768 on (ip_local_port_range), so that an image
/// that starts again finds its own free.
const PORTS: std::ops::Range<u16> = 11_000..12_000;

/// The client network of a lab that runs.
#[derive(Debug)]
pub(super) struct Site {
    /// Keeps the lab's namespace; on the host there is none.
    pub holder: Option<Holder>,
    /// TUN devices on the host.
    pub devices: Vec<String>,
}

impl Site {
    /// Sets the client network up.
    ///
    /// # Errors
    /// What was refused, with the remedy; then nothing of it stays.
    pub async fn make(plan: &Plan, host: bool, dir: &StateDir) -> Result<Site> {
        if !host {
            return Ok(Site { holder: Some(Holder::start(plan)?), devices: Vec::new() });
        }
        if let Some(conflict) = network::conflict(plan).await? {
            bail!("{conflict}. Run the lab without --host, or change the profile's addresses");
        }
        let made = network::set_up(plan).await.map_err(|error| match rustix::process::geteuid().is_root() {
            true => error,
            false => error.context("--host changes the host's own network: run it as root, or without --host"),
        })?;
        let devices: Vec<String> = plan.devices.iter().map(|(device, _)| device.clone()).collect();
        // They are ours, and still go by themselves: from here on `down` would find them.
        let supervisor = Process::of(std::process::id())?;
        dir.write(&Record { supervisor, children: Vec::new(), devices: devices.clone() })?;
        made.keep().context("the devices cannot stay")?;
        Ok(Site { holder: None, devices })
    }

    /// Ends every process in the lab's namespace but `spared`, which ends by itself, and takes the network away.
    ///
    /// # Errors
    /// If devices stay on the host.
    pub async fn clear(&mut self, spared: Option<i32>) -> Result<()> {
        let mut holder = self.holder.take();
        if let (Some(holder), Some(pid)) = (&mut holder, spared) {
            holder.spare(pid);
        }
        drop(holder);
        network::tear_down(&self.devices).await
    }
}

/// What the network of a lab needs.
pub(super) fn plan(cluster: &Cluster, options: &Options) -> Plan {
    Plan::of(cluster, &if options.host { device_prefix(&options.name) } else { String::new() })
}

/// Devices of several labs on one host have different names.
fn device_prefix(lab: &str) -> String {
    if lab == crate::DEFAULT_NAME {
        return String::new();
    }
    let sum = lab.bytes().fold(0u16, |sum, byte| sum.wrapping_mul(31).wrapping_add(u16::from(byte)));
    format!("l{:03x}", sum & 0xfff)
}

/// Where each image's XCF is.
pub(super) fn endpoints(cluster: &Cluster, host: bool) -> Result<HashMap<IpAddr, SocketAddr>> {
    let mut ports: Vec<u16> = PORTS.collect();
    if host {
        // Another lab may be starting: two rarely try the same.
        ports.shuffle(&mut rand::rng());
    }
    let mut ports = ports.into_iter().map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let mut free = || match host {
        true => ports.find(|endpoint| UdpSocket::bind(endpoint).is_ok()),
        false => ports.next(),
    };
    let why = || anyhow!("XCF finds no free UDP port on 127.0.0.1 from {} to {}", PORTS.start, PORTS.end - 1);
    cluster.images.iter().map(|image| Ok((image.xcf, free().ok_or_else(why)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No two images have one port, no client is given one of these, and on the host nobody's is taken.
    #[test]
    fn every_image_has_a_port_of_its_own() {
        let cluster = crate::profile::load("wide").unwrap();
        // Most of what could be tried.
        let others: Vec<UdpSocket> =
            PORTS.take(900).filter_map(|port| UdpSocket::bind(("127.0.0.1", port)).ok()).collect();
        let taken: Vec<u16> = others.iter().map(|socket| socket.local_addr().unwrap().port()).collect();
        for host in [false, true] {
            let endpoints = endpoints(&cluster, host).unwrap();
            let ports: std::collections::BTreeSet<u16> = endpoints.values().map(SocketAddr::port).collect();
            assert_eq!(ports.len(), cluster.images.len());
            assert!(ports.iter().all(|port| PORTS.contains(port) && *port < 32_768), "{ports:?}");
            assert!(!host || taken.iter().all(|port| !ports.contains(port)), "{ports:?}");
        }
    }
}
