//! F5.104: telling the client network which image a DVIPA is at.
//!
//! The client network's routing table plays the part of the routing daemons: an advertised DVIPA
//! is a host route to the image's own link. A route is replaced in one step and never removed
//! first, so at no moment is the address unreachable (R19).
//!
//! The kernel does what is asked before the call returns. So routes change in the order in which
//! the stacks of the cluster agree on them: whatever an image says after it has changed a route,
//! the others hear after the route has changed (R2).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rtnetlink::RouteMessageBuilder;
use rtnetlink::packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::route::{RouteMessage, RouteScope};
use rtnetlink::sys::protocols::NETLINK_ROUTE;
use rtnetlink::sys::{Socket, SocketAddr};

/// Advertises DVIPAs by way of one network link.
#[derive(Debug)]
pub(super) struct Announcer {
    socket: Socket,
    interface: u32,
}

impl Announcer {
    /// For the link behind the network device called `device`.
    ///
    /// # Errors
    /// No such device.
    pub fn open(device: &str) -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        let interface = rustix::net::netdevice::name_to_index(&socket, device)?;
        Ok(Announcer { socket, interface })
    }

    /// From now on the network sends packets for `address` to this image, wherever it sent them before.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn advertise(&self, address: IpAddr) -> io::Result<()> {
        let route = RouteNetlinkMessage::NewRoute(self.route(address));
        self.request(route, NLM_F_CREATE | NLM_F_REPLACE)
    }

    /// The network does not send packets for `address` to this image any more. A route to another
    /// image, which has taken over meanwhile, stays.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn withdraw(&self, address: IpAddr) -> io::Result<()> {
        match self.request(RouteNetlinkMessage::DelRoute(self.route(address)), 0) {
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            result => result,
        }
    }

    fn request(&self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        let mut message = NetlinkMessage::from(message);
        message.header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        let (answer, _) = self.socket.recv_from_full()?;
        let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer).map_err(io::Error::other)?;
        match answer.payload {
            NetlinkPayload::Error(error) if error.code.is_some() => Err(error.to_io()),
            _ => Ok(()),
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
