//! One image: its cores, its event loop, its applications, and what it tells the lab.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use stack::home::Kind;
use stack::route::{Link, Route};
use stack::tcp::FlowEvent;
use stack::{LinkId, Packet, Stack};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use vipa::{Disposition, Origin, Vipa};

use super::announce::Announcer;
use super::driver::{Driver, NETWORK, Notice, XCF};
use super::shared::{Clock, Shared};
use super::tap::{Tap, TappedDevice, TappedLink};
use super::watch;
use super::xcf::{CutLink, XcfLink};
use crate::control::Cut;
use crate::device::Device;
use crate::tcpip::Settings;
use crate::watch::{Told, monotonic};

/// Largest packet that crosses XCF with its header in one UDP datagram.
const XCF_MAX_SUPER: u16 = 61_440;

/// What an image is made of.
pub(super) struct Plan {
    pub name: String,
    pub xcf: IpAddr,
    /// Where it is on the client network, if it is there.
    pub link: Option<NetworkLink>,
    pub mtu: u16,
    pub settings: Settings,
    pub vipa: vipa::Config,
}

/// A link to the client network.
pub(super) struct NetworkLink {
    /// The image's address on it.
    pub address: IpAddr,
    pub device: Box<dyn Device>,
    /// What makes DVIPAs known on it.
    pub announcer: Option<Announcer>,
}

/// A running image.
pub(super) struct Node {
    shared: Arc<Shared>,
    cut: tokio::sync::watch::Sender<Cut>,
    tap: Tap,
    driver: JoinHandle<()>,
    notices: JoinHandle<()>,
}

/// Tells what happens on an image: its name, and a line of the story.
pub(super) type Storyteller = mpsc::UnboundedSender<(String, Story)>;

/// What an image tells the lab.
#[derive(Debug)]
pub(super) enum Story {
    /// Something happened, at this time of the [monotonic] clock.
    Told {
        at: u64,
        told: Told,
    },
    Left,
    Failed(String),
}

impl Node {
    /// Starts the image; it joins the cluster by itself.
    pub fn start(plan: Plan, xcf: Box<dyn XcfLink>, seed: u64, storyteller: Storyteller) -> io::Result<Node> {
        let Plan { name, xcf: own, link, mtu, settings, vipa } = plan;
        let (clock, tap) = (Clock::start(), Tap::default());
        let peers = vipa.peers.clone();
        let mut config = settings.stack.clone();
        config.tcp.shared_addresses = true;
        let mut stack = Stack::new(config, seed);
        let vipa = Vipa::new(vipa, seed.rotate_left(32), clock.now());
        stack.home_mut().add(own, host(own), Kind::Xcf);
        stack.routes_mut().add_link(Link { id: XCF, name: "XCF".into(), mtu, max_super: XCF_MAX_SUPER });
        for peer in peers {
            stack.routes_mut().replace(Route {
                destination: peer,
                prefix: host(peer),
                link: XCF,
                next_hop: Some(peer),
                metric: 0,
            });
        }
        let network = match link {
            None => None,
            Some(NetworkLink { address, device, announcer }) => {
                stack.home_mut().add(address, host(address), Kind::Link);
                let max_super = device.max_super();
                stack.routes_mut().add_link(Link { id: NETWORK, name: "NETWORK".into(), mtu, max_super });
                for default in defaults(NETWORK, None) {
                    stack.routes_mut().replace(default);
                }
                let device: Box<dyn Device> = Box::new(TappedDevice { device, tap: tap.clone() });
                Some((device, announcer))
            }
        };
        let shared = Shared::new(stack, vipa, clock, xcf.refusals());
        shared.lock().settings = settings;
        let (sender, receiver) = mpsc::unbounded_channel();
        let (xcf, cut) = CutLink::new(Box::new(TappedLink { link: xcf, tap: tap.clone() }));
        let driver = Driver::new(shared.clone(), network, xcf, sender);
        let (teller, image) = (storyteller.clone(), name.clone());
        let driver = tokio::spawn(async move {
            if let Err(error) = driver.await {
                drop(teller.send((image, Story::Failed(error.to_string()))));
            }
        });
        let notices = tokio::spawn(attend(name, shared.clone(), receiver, storyteller));
        Ok(Node { shared, cut, tap, driver, notices })
    }

    /// The image's cores, for sockets and reports.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Begins an orderly stop; [`Story::Left`] follows.
    pub fn leave(&self) {
        let now = self.shared.now();
        self.shared.lock().vipa.leave(now);
        self.shared.kick();
    }

    /// An operator's call to the VIPA distribution function.
    pub fn vary<R>(&self, call: impl FnOnce(&mut Vipa, stack::Instant) -> R) -> R {
        let now = self.shared.now();
        let result = call(&mut self.shared.lock().vipa, now);
        self.shared.kick();
        result
    }

    /// From now on these settings count.
    pub fn configure(&self, settings: Settings) {
        let mut core = self.shared.lock();
        core.stack.configure(settings.stack.clone());
        core.settings = settings;
        drop(core);
        self.shared.kick();
    }

    /// Resets every connection: their clients need not wait for a stack that is gone.
    pub fn abort_connections(&self) {
        let now = self.shared.now();
        self.shared.lock().stack.tcp_abort_all(now, |_, _| true);
        self.shared.kick();
    }

    /// From now on XCF carries nothing to and from these peers, and everything to and from all others.
    pub fn cut(&self, cut: Cut) {
        self.cut.send_replace(cut);
    }

    /// From now on copies of all packets go into this socket, until nobody reads there.
    pub fn capture(&self, path: std::path::PathBuf) {
        self.tap.open(path);
    }

    /// Another image of this process has ended.
    pub fn peer_gone(&self, xcf: IpAddr, incarnation: u64) {
        peer_gone(&self.shared, xcf, incarnation);
    }
}

impl Drop for Node {
    /// As a crash would: nobody is told.
    fn drop(&mut self) {
        self.driver.abort();
        self.notices.abort();
    }
}

fn peer_gone(shared: &Shared, xcf: IpAddr, incarnation: u64) {
    let now = shared.now();
    shared.lock().vipa.peer_gone(now, xcf, incarnation);
    shared.kick();
}

/// What TCP says of a listener or a connection, for the VIPA function.
pub(crate) fn tell(vipa: &mut Vipa, now: stack::Instant, event: FlowEvent) {
    match event {
        FlowEvent::Listening { address, port } => vipa.listening(now, address, port),
        FlowEvent::Unlistening { address, port } => vipa.not_listening(now, address, port),
        FlowEvent::Opened { local, remote, instance, passive } => vipa.opened(now, local, remote, instance, passive),
        FlowEvent::Established { local, remote } => vipa.established(now, local, remote),
        FlowEvent::Ended { local, remote, instance } => vipa.ended(now, local, remote, instance),
    }
}

/// Where a packet of the stack itself to a DVIPA goes; it may come back to it.
pub(crate) fn route_own(stack: &Stack, vipa: &mut Vipa, now: stack::Instant, packet: Packet) -> Disposition {
    // A connection that this stack keeps in a SYN cookie is in no table yet.
    match stack.returns_cookie(now, &packet) {
        true => Disposition::Local(packet),
        false => vipa.route(now, packet, Origin::Stack),
    }
}

/// Packets of an image without a network link leave through `next_hop`, or not at all.
pub(crate) fn set_exit(stack: &mut Stack, next_hop: Option<IpAddr>) {
    // An image with a link of its own needs no other way out.
    if stack.routes().links().iter().any(|link| link.id == NETWORK) {
        return;
    }
    for default in defaults(XCF, next_hop) {
        match next_hop {
            Some(_) => stack.routes_mut().replace(default),
            None => stack.routes_mut().remove(default.destination, default.prefix),
        }
    }
}

/// Length of the prefix that is one address.
fn host(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The default routes of both IP versions.
fn defaults(link: LinkId, next_hop: Option<IpAddr>) -> [Route; 2] {
    let of = |any| Route::default_for(any, link, next_hop);
    [of(Ipv4Addr::UNSPECIFIED.into()), of(Ipv6Addr::UNSPECIFIED.into())]
}

/// Does what the event loop leaves to its image.
async fn attend(
    name: String,
    shared: Arc<Shared>,
    mut notices: mpsc::UnboundedReceiver<Notice>,
    storyteller: Storyteller,
) {
    while let Some(notice) = notices.recv().await {
        let story = match notice {
            Notice::RouteRefused { address, error } => {
                Story::Failed(format!("the network's route to {address} could not be changed: {error}"))
            }
            Notice::PeerUp { xcf, incarnation, process } => {
                // Within one process its host tells; a process cannot watch itself.
                if let Some(process) = process.filter(|process| *process != std::process::id()) {
                    let shared = shared.clone();
                    tokio::spawn(async move {
                        if watch::process_end(process).await.is_ok() {
                            peer_gone(&shared, xcf, incarnation);
                        }
                    });
                }
                continue;
            }
            Notice::Event { at, event } => {
                // What a z/OS console shows of it comes after the story.
                let messages = event.messages().into_iter().map(Told::note);
                for told in std::iter::once(event.into()).chain(messages) {
                    // The lab may be over.
                    let _ = storyteller.send((name.clone(), Story::Told { at, told }));
                }
                continue;
            }
            Notice::Line(line) => Story::Told { at: monotonic(), told: Told::note(line) },
            Notice::Left => Story::Left,
            Notice::Refused(why) => Story::Failed(why),
        };
        // The lab may be over.
        let _ = storyteller.send((name.clone(), story));
    }
}
