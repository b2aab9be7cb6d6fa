//! Connections that clients on this very stack open to a DVIPA: whom they go to, and OPTLOCAL.
//!
//! Like every other client's they go to the routing stack and by the distribution method, wherever they come
//! from; the target may well be the stack that they came from. With OPTLOCAL they stay:
//!
//! | OPTLOCAL | the client's own stack |
//! |---|---|
//! | 0, 1 | serves it by itself, without asking the routing stack, while a server listens here and copes |
//! | 2 to 16 | counts so many times its weight when the routing stack chooses |
//!
//! Where a method has no weights to multiply (ROUNDROBIN), 2 to 16 are as 1. HOTSTANDBY has one target for all:
//! there OPTLOCAL changes nothing.
//!
//! Whether a connection stays is decided once, when it is opened: a SYN that is sent again goes where the first one
//! went (R3, I15). The routing stack hears of it by NEWCONN, as of any connection that it did not choose.

use std::net::{IpAddr, SocketAddr};

use crate::crt::Flow;
use crate::definitions::Method;
use crate::dvipa::{Distribution, DvipaId};
use crate::explain::Why;
use crate::vipa::Vipa;

/// A server copes down to this server efficiency and health, both in percent, and up to so many abnormal
/// completions of 1,000.
const EFFICIENCY: u8 = 75;
const HEALTH: u8 = 75;
const ABNORMAL: u16 = 250;

/// What multiplies the weight of a client's own stack.
pub(crate) fn multiplier(list: &Distribution) -> Option<u8> {
    let weighed = matches!(list.method, Method::BaseWlm(_) | Method::ServerWlm(_) | Method::WeightedActive(_));
    list.options.optlocal.filter(|value| *value >= 2 && weighed)
}

/// Whether a client's own stack serves it without asking.
fn bypasses(list: &Distribution) -> bool {
    let one_for_all = matches!(list.method, Method::HotStandby(_));
    list.options.optlocal.is_some() && multiplier(list).is_none() && !one_for_all
}

impl Vipa {
    /// The address from which a client on this stack opens its connection, if `server` is a DVIPA: every stack can
    /// answer to it over XCF, whoever is the target. Its segments then go by [`route`](Vipa::route), as coming from
    /// [`Origin::Stack`](crate::Origin::Stack).
    pub fn client_address(&self, server: IpAddr) -> Option<IpAddr> {
        self.is_dvipa(server).then_some(self.config.xcf)
    }

    /// Whether the address is a DVIPA of the cluster: this stack's own packets to it go by
    /// [`route`](Vipa::route), not to the network.
    pub fn is_dvipa(&self, address: IpAddr) -> bool {
        self.by_address.contains_key(&address)
    }

    /// A client on this stack opens a connection: decides whether it stays here.
    pub(crate) fn client_opened(&mut self, client: SocketAddr, server: SocketAddr) {
        if let Some(flow) = self.client_flow(client, server)
            && self.dvipa(flow.dvipa).distribution().is_some_and(bypasses)
            && self.copes(flow.dvipa, flow.port)
        {
            self.staying_here.insert(flow);
        }
    }

    /// Nothing is left of a connection on its client's side.
    pub(crate) fn client_ended(&mut self, client: SocketAddr, server: SocketAddr) {
        if !self.staying_here.is_empty()
            && let Some(flow) = self.client_flow(client, server)
        {
            self.staying_here.remove(&flow);
        }
    }

    /// As tables name a connection of a client on this stack, if it is to a DVIPA.
    fn client_flow(&self, client: SocketAddr, server: SocketAddr) -> Option<Flow> {
        let dvipa = *self.by_address.get(&server.ip())?;
        Some(Flow { remote: client.ip(), remote_port: client.port(), dvipa, port: server.port() })
    }

    /// Whether a connection was decided to stay, and an application here still takes it.
    pub(crate) fn stays_here(&self, flow: &Flow) -> bool {
        !self.staying_here.is_empty()
            && self.staying_here.contains(flow)
            && self.dvipa(flow.dvipa).home.is_some()
            && self.listens(self.dvipa(flow.dvipa).address, flow.port)
    }

    /// Whether this stack is a target for the port, and its server takes new connections and is well.
    fn copes(&self, id: DvipaId, port: u16) -> bool {
        let dvipa = self.dvipa(id);
        let load = self.workload.servers.get(&port).copied().unwrap_or_default();
        self.leaving.is_none()
            && dvipa.home.is_some()
            && self.serves(id, port)
            && self.ready(id, port) > 0
            && self.efficiency(dvipa.address, port) >= EFFICIENCY
            && load.health >= HEALTH
            && load.abnormal <= ABNORMAL
    }

    /// A connection has been opened that stayed here: who routes remembers why when it chooses, others now.
    pub(crate) fn explain_staying(&mut self, flow: &Flow, instance: u32) {
        if !self.staying_here.is_empty()
            && self.staying_here.contains(flow)
            && !self.dvipa(flow.dvipa).standing.collects()
        {
            self.remember_decision(flow, instance, self.me, Why::OptLocal);
        }
    }
}
