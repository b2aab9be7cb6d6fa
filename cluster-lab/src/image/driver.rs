//! The event loop of one image: packets in from the network and XCF, through the VIPA function
//! and the stack, and out again.

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use stack::{Egress, Instant, LinkId, Packet, Transmit};
use tokio::sync::mpsc;
use tokio::time::Sleep;
use vipa::wire::{DataHeader, Datagram, Direction};
use vipa::{Action, Disposition, Origin, Vipa};

use super::announce::Announcer;
use super::shared::{Core, Shared};
use super::watch::Starvation;
use super::xcf::{CutLink, XcfLink};
use crate::device::Device;
use crate::watch::Traffic;

/// The network link of an image.
pub(super) const NETWORK: LinkId = LinkId(0);
/// XCF, to every other image.
pub(super) const XCF: LinkId = LinkId(1);

/// Packets taken from one source, and packets sent, before the others get their turn.
const BATCH: usize = 64;

/// So long after a packet an image looks for the next one before it sleeps. Under load that one comes sooner than a
/// sleeper can be woken, which costs the sender an interrupt as well: above all where processors are virtual.
const LINGER: Duration = Duration::from_micros(20);

/// What the loop leaves to its image.
#[derive(Debug)]
pub(super) enum Notice {
    /// The network's route to a DVIPA could not be changed: its clients would go astray.
    RouteRefused { address: IpAddr, error: io::Error },
    /// From now on the peer's process can be watched.
    PeerUp { xcf: IpAddr, incarnation: u64, process: Option<u32> },
    /// Something for the event log, and when it was.
    Event { at: u64, event: vipa::Event },
    /// Another line for it.
    Line(String),
    /// The stack has left the cluster in order: the image may end.
    Left,
    /// The cluster does not take the stack in: by whom, and why.
    Refused(String),
}

/// Drives one image until a link breaks; it never ends by itself.
pub(super) struct Driver {
    shared: Arc<Shared>,
    links: Links,
    announcer: Option<Announcer>,
    notices: mpsc::UnboundedSender<Notice>,
    starvation: Starvation,
    timer: Pin<Box<Sleep>>,
    /// When `timer` fires.
    armed: Instant,
    /// When it is time to sleep, unless another packet comes.
    lingers_until: Instant,
    /// What the next packet is read into.
    spare: Packet,
}

/// When the loop takes its next turn.
enum Next {
    /// Now: more waits already.
    AtOnce,
    /// As soon as whatever else is ready has had its turn: the next packet is awaited awake.
    Soon,
    /// When it is woken.
    Woken,
}

impl Driver {
    pub fn new(
        shared: Arc<Shared>,
        network: Option<(Box<dyn Device>, Option<Announcer>)>,
        xcf: CutLink,
        notices: mpsc::UnboundedSender<Notice>,
    ) -> Self {
        let (network, announcer) = network.unzip();
        let announcer = announcer.flatten();
        Driver {
            shared,
            links: Links { network, xcf },
            announcer,
            notices,
            starvation: Starvation::default(),
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            armed: Instant::ZERO,
            lingers_until: Instant::ZERO,
            spare: Packet::full_size(),
        }
    }

    /// One turn: everything that has arrived, everything that is due, everything that can leave.
    fn turn(&mut self, core: &mut Core, cx: &mut Context<'_>) -> io::Result<Next> {
        let now = self.shared.now();
        self.links.xcf.linger(now < self.lingers_until);
        let mut more = self.receive_network(core, now, cx)?;
        more |= self.receive_xcf(core, now, cx)?;
        while let Some(line) = self.links.xcf.poll_line() {
            self.notice(Notice::Line(line));
        }
        if core.stack.next_deadline().is_some_and(|at| at <= now) {
            core.stack.handle_timeout(now);
        }
        if core.vipa.next_deadline().is_some_and(|at| at <= now) {
            core.vipa.handle_timeout(now);
        }
        self.settle(core, now);
        let Core { stack, vipa, traffic, .. } = core;
        let mut out = Out { links: &mut self.links, traffic, vipa, to_dvipas: Vec::new() };
        more |= stack.poll_transmit(now, &mut out, BATCH);
        let to_dvipas = out.to_dvipas;
        more |= !to_dvipas.is_empty();
        for packet in to_dvipas {
            let disposition = super::route_own(&core.stack, &mut core.vipa, now, packet);
            self.dispose(core, now, XCF, disposition);
        }
        self.links.xcf.flush();
        core.wake();
        Ok(match more {
            true => Next::AtOnce,
            false if now < self.lingers_until => Next::Soon,
            false => Next::Woken,
        })
    }

    fn receive_network(&mut self, core: &mut Core, now: Instant, cx: &mut Context<'_>) -> io::Result<bool> {
        for _ in 0..BATCH {
            let Some(network) = &mut self.links.network else { return Ok(false) };
            match network.poll_recv(cx, &mut self.spare) {
                Poll::Pending => return Ok(false),
                Poll::Ready(received) => received?,
            }
            self.lingers_until = now + LINGER;
            core.traffic.network_in.add(self.spare.len(), &self.spare.offload);
            let packet = std::mem::replace(&mut self.spare, core.stack.pool_mut().take());
            let disposition = core.vipa.route(now, packet, Origin::Network);
            self.dispose(core, now, NETWORK, disposition);
        }
        Ok(true)
    }

    fn receive_xcf(&mut self, core: &mut Core, now: Instant, cx: &mut Context<'_>) -> io::Result<bool> {
        for _ in 0..BATCH {
            let from = match self.links.xcf.poll_recv(cx, &mut self.spare) {
                Poll::Pending => return Ok(false),
                Poll::Ready(received) => received?,
            };
            match vipa::wire::classify(self.spare.bytes()) {
                Datagram::Control => core.vipa.receive(now, from, self.spare.bytes()),
                Datagram::Data(header) => {
                    self.lingers_until = now + LINGER;
                    let mut packet = std::mem::replace(&mut self.spare, core.stack.pool_mut().take());
                    packet.trim_front(DataHeader::LEN);
                    packet.offload = header.offload;
                    match header.direction {
                        // A connection that this stack keeps in a SYN cookie is in no table yet.
                        Direction::Inbound if core.stack.returns_cookie(now, &packet) => {
                            core.stack.receive(now, XCF, packet);
                        }
                        Direction::Inbound => {
                            let disposition = core.vipa.route(now, packet, Origin::Xcf { from, header });
                            self.dispose(core, now, XCF, disposition);
                        }
                        Direction::Outbound => {
                            if let Some(network) = &mut self.links.network {
                                core.traffic.network_out.add(packet.len(), &packet.offload);
                                network.send_packet(&mut packet);
                            }
                            core.stack.pool_mut().give(packet);
                        }
                    }
                }
                Datagram::Unknown => core.vipa.count_unknown(from),
            }
        }
        Ok(true)
    }

    fn dispose(&mut self, core: &mut Core, now: Instant, link: LinkId, disposition: Disposition) {
        match disposition {
            Disposition::Local(packet) => core.stack.receive(now, link, packet),
            Disposition::Forward { to, header, packet } => self.forward(core, to, header, packet),
            Disposition::Held => {}
            Disposition::Reset(packet) => core.stack.reset(now, packet),
            Disposition::Drop(packet, _counted) => core.stack.pool_mut().give(packet),
        }
    }

    fn forward(&mut self, core: &mut Core, to: IpAddr, header: DataHeader, packet: Packet) {
        core.traffic.xcf_to(to).add(packet.len(), &packet.offload);
        if let Some(free) = self.links.forward(to, header, packet) {
            core.stack.pool_mut().give(free);
        }
    }

    /// Lets the cores tell each other what happened, until neither has anything to say.
    fn settle(&mut self, core: &mut Core, now: Instant) {
        loop {
            let mut quiet = true;
            while let Some(event) = core.stack.tcp_mut().poll_flow() {
                quiet = false;
                super::tell(&mut core.vipa, now, event);
            }
            while let Some(action) = core.vipa.poll_action() {
                quiet = false;
                self.act(core, now, action);
            }
            if quiet {
                return;
            }
        }
    }

    fn act(&mut self, core: &mut Core, now: Instant, action: Action) {
        match action {
            // XCF may lose a datagram; the session resends it.
            Action::Send { to, datagram } => drop(self.links.xcf.send(to, &[IoSlice::new(&datagram)])),
            Action::Forward { to, header, packet } => self.forward(core, to, header, packet),
            Action::Deliver(packet) => core.stack.receive(now, NETWORK, packet),
            Action::Reset(packet) => core.stack.reset(now, packet),
            Action::AddHome { address, prefix, internal } => {
                core.stack.home_mut().add(address, prefix, dvipa(internal));
            }
            Action::RemoveHome { address } => core.stack.home_mut().remove(address),
            Action::Advertise { address, .. } => self.change_route(address, Announcer::advertise),
            Action::Withdraw { address } => self.change_route(address, Announcer::withdraw),
            Action::Exit(next_hop) => super::node::set_exit(&mut core.stack, next_hop),
            Action::PeerUp { xcf, incarnation, process, .. } => {
                self.notice(Notice::PeerUp { xcf, incarnation, process });
            }
            Action::Doubt { xcf, process } => {
                if self.starvation.afflicts(now, xcf, process) {
                    core.vipa.peer_starves(now, xcf);
                }
            }
            Action::PeerDown { xcf, .. } => self.starvation.forget(xcf),
            Action::Break(broken) => core.stack.tcp_abort_all(now, |local, remote| broken.covers(local, remote)),
            Action::PortsLeased { .. } => core.leased.drain(..).for_each(Waker::wake),
            Action::Refused { why } => self.notice(Notice::Refused(why)),
            Action::Event(event) => self.notice(Notice::Event { at: crate::watch::monotonic(), event }),
            Action::Left => self.notice(Notice::Left),
        }
    }

    /// At once, before anything that the core says next is sent (R2).
    fn change_route(&self, address: IpAddr, change: impl FnOnce(&Announcer, IpAddr) -> io::Result<()>) {
        if let Some(announcer) = &self.announcer
            && let Err(error) = change(announcer, address)
        {
            self.notice(Notice::RouteRefused { address, error });
        }
    }

    fn notice(&self, notice: Notice) {
        // Nobody listens once the image is ending.
        drop(self.notices.send(notice));
    }

    /// Sees to it that the loop wakes at the cores' next deadline. The timer is only moved to an
    /// earlier moment: a late deadline is found when the early one fires.
    fn arm(&mut self, core: &Core, cx: &mut Context<'_>) {
        let next = [core.stack.next_deadline(), core.vipa.next_deadline()].into_iter().flatten().min();
        let next = next.unwrap_or(Instant::FAR_FUTURE);
        let fired = self.timer.is_elapsed();
        if fired || next < self.armed {
            let Some(at) = self.shared.clock().host(next) else { return };
            self.armed = next;
            self.timer.as_mut().reset(at.into());
        }
        if self.timer.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }
}

/// The home list's kind of a DVIPA.
fn dvipa(internal: bool) -> stack::home::Kind {
    if internal { stack::home::Kind::InternalDvipa } else { stack::home::Kind::Dvipa }
}

impl Future for Driver {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let shared = this.shared.clone();
        shared.register_driver(cx.waker());
        let mut core = shared.lock();
        match this.turn(&mut core, cx) {
            Err(error) => return Poll::Ready(Err(error)),
            Ok(Next::AtOnce) => cx.waker().wake_by_ref(),
            Ok(Next::Soon) => {
                drop(core);
                // Whoever shares this processor goes first; then what is ready in this process.
                std::thread::yield_now();
                let _ = pin!(tokio::task::yield_now()).poll(cx);
                return Poll::Pending;
            }
            Ok(Next::Woken) => {}
        }
        this.arm(&core, cx);
        Poll::Pending
    }
}

impl Drop for Driver {
    /// However the loop ends, nobody waits for it any longer.
    fn drop(&mut self) {
        self.shared.lock().end();
    }
}

/// Both links of an image.
struct Links {
    network: Option<Box<dyn Device>>,
    xcf: CutLink,
}

impl Links {
    /// Sends a packet over XCF; hands the buffer back if it is free again.
    fn forward(&mut self, to: IpAddr, mut header: DataHeader, mut packet: Packet) -> Option<Packet> {
        header.offload = packet.offload;
        if !packet.push_front(&header.emit()) {
            return Some(packet);
        }
        // IP promises no more than an attempt.
        self.xcf.send_packet(to, packet).unwrap_or(None)
    }
}

/// Where the stack's own packets go.
struct Out<'a> {
    links: &'a mut Links,
    traffic: &'a mut Traffic,
    vipa: &'a Vipa,
    /// Those to DVIPAs: the VIPA function says where they go.
    to_dvipas: Vec<Packet>,
}

impl Egress for Out<'_> {
    fn transmit(&mut self, packet: Transmit<'_>) {
        if self.vipa.is_dvipa(packet.destination) {
            return self.to_dvipas.push(packet.to_packet());
        }
        match (packet.link, packet.next_hop) {
            (NETWORK, _) => {
                if let Some(network) = &mut self.links.network {
                    self.traffic.network_out.add(packet.len(), &packet.offload);
                    network.send(packet);
                }
            }
            (XCF, Some(next_hop)) => {
                self.traffic.xcf_to(next_hop).add(packet.len(), &packet.offload);
                let mut header = self.vipa.outbound_header();
                header.offload = packet.offload;
                if packet.destination == next_hop {
                    header.direction = Direction::Inbound;
                }
                let emitted = header.emit();
                let mut parts = [IoSlice::new(&[]); 5];
                parts[0] = IoSlice::new(&emitted);
                parts[1] = IoSlice::new(packet.header);
                let slices = packet.payload.len().min(3);
                for (part, slice) in parts[2..].iter_mut().zip(packet.payload) {
                    *part = IoSlice::new(slice);
                }
                // IP promises no more than an attempt.
                drop(self.links.xcf.send(next_hop, &parts[..2 + slices]));
            }
            _ => {}
        }
    }
}
