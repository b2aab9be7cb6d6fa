//! Setting the client network up in the namespace that this process is in, and taking it away.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context, Result, anyhow, bail};
use futures_util::TryStreamExt;
use rtnetlink::packet_route::address::AddressAttribute;
use rtnetlink::packet_route::link::LinkAttribute;
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteScope};
use rtnetlink::{Handle, LinkMessageBuilder, LinkUnspec, RouteMessageBuilder};
use serde::{Deserialize, Serialize};

use crate::device;
use crate::profile::{Cluster, Network};

/// With this a super-segment and its XCF header fit into one UDP datagram.
const GSO_MAX: u32 = 61_440;
/// Packets that wait for an image that is busy: one each of very many clients that speak at once. What
/// does not fit is lost, and each of those clients waits for its RTO. Bulk does not fill it: the
/// kernel keeps each flow to a few super-segments.
const QUEUE: u32 = 16_384;

/// Longest name of a device: IFNAMSIZ without the zero at its end.
const LONGEST_NAME: usize = 15;

/// What the client network needs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// The client's address.
    pub client: IpAddr,
    /// Largest packet.
    pub mtu: u16,
    /// TUN device and link address of each linked image.
    pub devices: Vec<(String, IpAddr)>,
    /// Networks that must not be in use yet: first address and prefix.
    pub networks: Vec<(IpAddr, u8)>,
}

impl Plan {
    /// For a cluster; devices are called after their images, with `prefix` before.
    pub fn of(cluster: &Cluster, prefix: &str) -> Plan {
        let device = |name: &str| format!("{prefix}{}", name.to_lowercase());
        let linked = cluster.images.iter().filter_map(|image| Some((device(&image.name), image.link?)));
        let mut networks = vec![(cluster.network.subnet, cluster.network.prefix)];
        for image in &cluster.images {
            networks.extend(image.definitions().defines.iter().map(|define| (define.address, host(define.address))));
        }
        Plan { client: cluster.network.client, mtu: cluster.network.mtu, devices: linked.collect(), networks }
    }
}

fn handle() -> io::Result<Handle> {
    let (connection, handle, _) = rtnetlink::new_connection()?;
    tokio::spawn(connection);
    Ok(handle)
}

/// Length of the prefix that is one address.
fn host(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

async fn index_of(handle: &Handle, device: &str) -> Result<u32> {
    let mut links = handle.link().get().match_name(device.to_owned()).execute();
    let link = links.try_next().await?.ok_or_else(|| anyhow!("no device {device}"))?;
    Ok(link.header.index)
}

/// Makes devices, addresses and routes, which go with what this returns unless it is told to
/// [keep](device::Passing::keep) them: after an error nothing stays.
///
/// # Errors
/// What the kernel refused, and for the likely cases the remedy.
pub async fn set_up(plan: &Plan) -> Result<device::Passing> {
    let handle = handle()?;
    let loopback = index_of(&handle, "lo").await?;
    up(&handle, loopback).await.context("lo cannot be brought up")?;
    let mut made = device::Passing::default();
    for (device, link) in &plan.devices {
        let first = made.make().map_err(|error| anyhow!(device::explain(&error)))?;
        rename(&handle, &first, device).await?;
        configure(&handle, plan, device, *link)
            .await
            .with_context(|| format!("device {device} cannot be configured"))?;
    }
    Ok(made)
}

/// Gives a device the name that is meant for it. The kernel refuses one that somebody has: a device of others is
/// never taken for one of ours.
async fn rename(handle: &Handle, from: &str, to: &str) -> Result<()> {
    if to.len() > LONGEST_NAME {
        bail!(
            "the device's name would be {to}, and Linux takes {LONGEST_NAME} letters: shorten the image's name, or \
             leave --name or --host out"
        );
    }
    let index = index_of(handle, from).await?;
    let message = LinkMessageBuilder::<LinkUnspec>::new().index(index).name(to.to_owned()).build();
    handle.link().set(message).execute().await.with_context(|| {
        format!("no device can be called {to}; if there is one already ('ip link show {to}'), choose another --name")
    })
}

async fn up(handle: &Handle, index: u32) -> Result<()> {
    Ok(handle.link().set(LinkMessageBuilder::<LinkUnspec>::new().index(index).up().build()).execute().await?)
}

async fn configure(handle: &Handle, plan: &Plan, device: &str, link: IpAddr) -> Result<()> {
    let index = index_of(handle, device).await?;
    let v6 = plan.client.is_ipv6();
    // Only where the client network is IPv6. A TUN has no neighbours and no routers to discover
    // (RFC 4861): no link-local address, no solicitations, no duplicate address detection.
    sysctl(device, "ipv6", "disable_ipv6", if v6 { "0" } else { "1" });
    for (name, value) in
        [("addr_gen_mode", "1"), ("accept_ra", "0"), ("router_solicitations", "0"), ("dad_transmits", "0")]
    {
        sysctl(device, "ipv6", name, value);
    }
    // Loose (RFC 3704): an answer from a DVIPA comes by the target's link, its route goes to the owner's.
    sysctl(device, "ipv4", "rp_filter", "2");
    let message =
        LinkMessageBuilder::<LinkUnspec>::new().index(index).mtu(u32::from(plan.mtu)).txqueuelen(QUEUE).build();
    handle.link().set(message).execute().await?;
    let gso = LinkMessageBuilder::<LinkUnspec>::new()
        .index(index)
        .append_extra_attribute(LinkAttribute::GsoMaxSize(GSO_MAX))
        .build();
    // An older kernel cannot: larger packets are then lost on XCF, and TCP sends smaller ones.
    drop(handle.link().set(gso).execute().await);
    let address = handle.address().add(index, plan.client, host(plan.client)).execute().await;
    address.with_context(|| match v6 {
        true => "this kernel takes no IPv6 address: is IPv6 off (ipv6.disable=1)?",
        false => "the client's address",
    })?;
    up(handle, index).await?;
    let route = match link {
        IpAddr::V4(v4) => RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(v4, 32)
            .output_interface(index)
            .scope(RouteScope::Link)
            .build(),
        IpAddr::V6(v6) => {
            RouteMessageBuilder::<Ipv6Addr>::new().destination_prefix(v6, 128).output_interface(index).build()
        }
    };
    Ok(handle.route().add(route).execute().await?)
}

fn sysctl(device: &str, family: &str, name: &str, value: &str) {
    // Missing where the kernel has no such family.
    drop(std::fs::write(format!("/proc/sys/net/{family}/conf/{device}/{name}"), value));
}

/// Takes the devices away; addresses and routes go with them.
///
/// # Errors
/// What the kernel refused.
pub async fn tear_down(devices: &[String]) -> Result<()> {
    let handle = handle()?;
    for device in devices {
        if let Ok(index) = index_of(&handle, device).await {
            handle.link().del(index).execute().await.with_context(|| format!("device {device} cannot be deleted"))?;
        }
    }
    Ok(())
}

/// What of the plan is in use on the host already, if anything is.
///
/// # Errors
/// If the host's addresses cannot be read.
pub async fn conflict(plan: &Plan) -> Result<Option<String>> {
    let handle = handle()?;
    let mut taken: Vec<(IpAddr, u8)> = Vec::new();
    let mut addresses = handle.address().get().execute();
    while let Some(message) = addresses.try_next().await? {
        taken.extend(message.attributes.iter().filter_map(|attribute| match attribute {
            AddressAttribute::Address(address) => Some((*address, host(*address))),
            _ => None,
        }));
    }
    let families = [RouteMessageBuilder::<Ipv4Addr>::new().build(), RouteMessageBuilder::<Ipv6Addr>::new().build()];
    for family in families {
        let mut routes = handle.route().get(family).execute();
        while let Some(message) = routes.try_next().await? {
            let prefix = message.header.destination_prefix_length;
            taken.extend(message.attributes.iter().filter_map(|attribute| match attribute {
                RouteAttribute::Destination(RouteAddress::Inet(address)) if prefix > 0 => {
                    Some((IpAddr::V4(*address), prefix))
                }
                // Not the link-local networks and multicast, which every interface has.
                RouteAttribute::Destination(RouteAddress::Inet6(address)) if prefix > 10 => {
                    Some((IpAddr::V6(*address), prefix))
                }
                _ => None,
            }));
        }
    }
    for (network, prefix) in &plan.networks {
        for (other, length) in &taken {
            if overlap((*network, *prefix), (*other, *length)) {
                return Ok(Some(format!("{network}/{prefix} is in use on this host: it has {other}/{length}")));
            }
        }
    }
    Ok(None)
}

fn overlap(a: (IpAddr, u8), b: (IpAddr, u8)) -> bool {
    let prefix = a.1.min(b.1);
    a.0.is_ipv4() == b.0.is_ipv4() && Network::first_of(a.0, prefix) == Network::first_of(b.0, prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_overlap_where_one_holds_the_other() {
        let network = |text: &str, prefix| (text.parse().unwrap(), prefix);
        assert!(overlap(network("198.51.100.0", 24), network("198.51.100.77", 32)));
        assert!(overlap(network("198.51.100.7", 32), network("198.51.0.0", 16)));
        assert!(!overlap(network("198.51.100.0", 24), network("198.51.101.1", 32)));
        assert!(!overlap(network("198.51.100.0", 24), network("2001:db8::", 32)));
        assert!(overlap(network("2001:db8::", 32), network("2001:db8:7::1", 128)));
        assert!(!overlap(network("2001:db8:6::", 48), network("2001:db8:7::1", 128)));
    }
}
