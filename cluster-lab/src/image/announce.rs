//! F5.104: telling the client network which image a DVIPA is at.
//!
//! The client network's routing table plays the part of the routing daemons: an advertised DVIPA
//! is a host route to the image's own link. A route is replaced in one step and never removed
//! first, so at no moment is the address unreachable (R19); the prefix is told in the event log.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use futures_util::TryStreamExt;
use rtnetlink::packet_route::route::{RouteMessage, RouteScope};
use rtnetlink::{Handle, RouteMessageBuilder};

/// Advertises DVIPAs by way of one network link.
#[derive(Debug)]
pub(super) struct Announcer {
    handle: Handle,
    interface: u32,
}

impl Announcer {
    /// For the link behind the network device called `device`.
    pub async fn open(device: &str) -> io::Result<Self> {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        tokio::spawn(connection);
        let mut links = handle.link().get().match_name(device.to_owned()).execute();
        let link = links.try_next().await.map_err(io::Error::other)?;
        let link = link.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no device {device}")))?;
        Ok(Announcer { handle, interface: link.header.index })
    }

    /// From now on the network sends packets for `address` to this image, wherever it sent them before.
    pub async fn advertise(&self, address: IpAddr) -> io::Result<()> {
        self.handle.route().add(self.route(address)).replace().execute().await.map_err(io::Error::other)
    }

    /// The network does not send packets for `address` to this image any more. A route to another
    /// image, which has taken over meanwhile, stays.
    pub async fn withdraw(&self, address: IpAddr) -> io::Result<()> {
        match self.handle.route().del(self.route(address)).execute().await {
            Ok(()) => Ok(()),
            Err(rtnetlink::Error::NetlinkError(error)) if error.raw_code() == -libc::ESRCH => Ok(()),
            Err(error) => Err(io::Error::other(error)),
        }
    }

    fn route(&self, address: IpAddr) -> RouteMessage {
        match address {
            IpAddr::V4(v4) => RouteMessageBuilder::<Ipv4Addr>::new()
                .destination_prefix(v4, 32)
                .output_interface(self.interface)
                .scope(RouteScope::Link)
                .build(),
            IpAddr::V6(v6) => RouteMessageBuilder::<Ipv6Addr>::new()
                .destination_prefix(v6, 128)
                .output_interface(self.interface)
                .build(),
        }
    }
}
