//! Where a packet goes (Figure 7).

use std::net::{IpAddr, SocketAddr};

use stack::{Instant, Packet};

use crate::action::{Disposition, DropReason, Origin};
use crate::choice::Favour;
use crate::crt::{Entry, Evidence, Flow};
use crate::definitions;
use crate::dvipa::{Dvipa, DvipaId};
use crate::explain::Why;
use crate::guard::Guard;
use crate::membership::StackId;
use crate::optlocal;
use crate::ownership::{Epoch, Standing};
use crate::vipa::Vipa;
use crate::wire::message::Connection;
use crate::wire::packet::{Content, Ports, Segment, View};
use crate::wire::{DataHeader, Direction, Hop};
use crate::workload;

/// What is to be done with a segment; the packet is moved once that is known.
#[derive(Clone, Copy, Debug)]
enum Verdict {
    Local,
    /// By the routing stack's decision. `entered`: a SYN that is in the CRT.
    Target {
        stack: StackId,
        entered: bool,
    },
    /// From a stack that does not route for the DVIPA to the one that does.
    Router(StackId),
    Hold,
    Ask {
        only: Option<StackId>,
    },
    Reset,
    Drop(DropReason),
}

impl Vipa {
    /// Decides about a packet from the network or from XCF. The answer may be followed by
    /// actions: call [`poll_action`](Vipa::poll_action) once the present batch is done.
    pub fn route(&mut self, now: Instant, packet: Packet, origin: Origin) -> Disposition {
        self.advance(now);
        self.dispose(packet, origin)
    }

    /// [`route`](Vipa::route) at the present time.
    pub(crate) fn dispose(&mut self, packet: Packet, origin: Origin) -> Disposition {
        let origin = self.unmark(origin);
        // What is no IP packet is the stack's to count.
        let Some(view) = View::of(packet.bytes()) else { return Disposition::Local(packet) };
        // F7.140
        let Some(&id) = self.by_address.get(&view.destination) else {
            return self.dispose_foreign(&view, packet, &origin);
        };
        let content = match view.fragment {
            Some(fragment) if !fragment.first => {
                if is_for_target(&origin) {
                    // The router has seen to it that all fragments come here.
                    return self.settle(Verdict::Local, id, packet);
                }
                match self.fragments.content(&view, fragment) {
                    Some(content) => content,
                    None => return self.keep_fragment(&view, fragment, packet, origin),
                }
            }
            _ => view.content,
        };
        let (flow, segment) = match content {
            Content::Tcp(segment) => {
                let (remote_port, port) = (segment.ports.source, segment.ports.destination);
                (Flow { remote: view.source, remote_port, dvipa: id, port }, Some(segment))
            }
            Content::TcpError { remote, remote_port, local_port } => {
                (Flow { remote, remote_port, dvipa: id, port: local_port }, None)
            }
            Content::Other => {
                if let Some(fragment) = view.fragment.filter(|fragment| fragment.first) {
                    self.first_fragment(&view, fragment);
                }
                let verdict = self.judge_other(id, origin);
                return self.settle(verdict, id, packet);
            }
        };
        let verdict = match (segment, origin) {
            (None, _) => self.judge_error(&flow, origin),
            (Some(segment), Origin::Xcf { from, header }) if is_for_target(&origin) => {
                self.judge_forwarded(&flow, &segment, from, &header)
            }
            (Some(segment), _) => self.judge(&flow, &segment, !matches!(origin, Origin::Xcf { .. })),
        };
        let disposition = match (verdict, segment) {
            (Verdict::Hold, Some(segment)) => self.keep(flow, packet, origin, &segment),
            (Verdict::Ask { only }, Some(segment)) => self.ask(flow, packet, origin, &segment, only),
            (verdict, _) => self.settle(verdict, id, packet),
        };
        if let Some(fragment) = view.fragment.filter(|fragment| fragment.first) {
            self.first_fragment(&view, fragment);
        }
        disposition
    }

    /// The packet's marks, unless the guard that minds them is taken out.
    fn unmark(&self, origin: Origin) -> Origin {
        match origin {
            Origin::Xcf { from, header } if !self.guards(Guard::Forwarded) => {
                Origin::Xcf { from, header: DataHeader { hop: Hop::ToRouter, ..header } }
            }
            origin => origin,
        }
    }

    /// A packet for an address that is no DVIPA as far as this stack knows.
    fn dispose_foreign(&mut self, view: &View, packet: Packet, origin: &Origin) -> Disposition {
        let Origin::Xcf { from, header } = *origin else { return Disposition::Local(packet) };
        if view.destination == self.config.xcf {
            return Disposition::Local(packet);
        }
        // A DVIPA that this stack has not heard of: it was meant for a former life.
        if header.hop == Hop::ToRouter {
            return self.discard(DropReason::NotRouter, packet);
        }
        if let Content::Tcp(segment) = view.content
            && !segment.resets()
        {
            let Ports { source, destination } = segment.ports;
            let local = SocketAddr::new(view.destination, destination);
            let remote = SocketAddr::new(view.source, source);
            self.deny(from, Connection { local, remote }, segment.opens().then_some(segment.sequence));
        }
        self.discard(DropReason::NotHeld, packet)
    }

    fn settle(&mut self, verdict: Verdict, id: DvipaId, packet: Packet) -> Disposition {
        match verdict {
            Verdict::Local => {
                self.counters.local += 1;
                Disposition::Local(packet)
            }
            Verdict::Target { stack, entered } => self.send_to(id, stack, packet, entered),
            Verdict::Router(stack) => {
                self.counters.forwarded += 1;
                let mut header = DataHeader::new(Direction::Inbound, Hop::ToRouter);
                header.offload = packet.offload;
                Disposition::Forward { to: self.address_of(stack), header, packet }
            }
            Verdict::Reset => {
                self.counters.reset += 1;
                Disposition::Reset(packet)
            }
            // Only segments are held, and those do not come here.
            Verdict::Hold | Verdict::Ask { .. } => self.discard(DropReason::HolderUnknown, packet),
            Verdict::Drop(reason) => self.discard(reason, packet),
        }
    }

    fn discard(&mut self, reason: DropReason, packet: Packet) -> Disposition {
        self.counters.drop(reason, 1);
        Disposition::Drop(packet, reason)
    }

    /// F7.150: forwards a packet to its target, or takes it in if that is this stack (R16).
    pub(crate) fn send_to(&mut self, id: DvipaId, target: StackId, packet: Packet, entered: bool) -> Disposition {
        if target == self.me {
            self.counters.local += 1;
            return Disposition::Local(packet);
        }
        self.counters.forwarded += 1;
        let mut header = DataHeader::new(Direction::Inbound, Hop::ToTarget);
        header.epoch = self.dvipa(id).epoch;
        header.entered = entered;
        header.interval = if entered { self.interval } else { 0 };
        header.life = self.peers.get(&target).and_then(|peer| peer.announced).unwrap_or(0);
        header.offload = packet.offload;
        Disposition::Forward { to: self.address_of(target), header, packet }
    }

    /// A segment from the network or from this stack itself, or from a stack that takes this one for the router.
    fn judge(&mut self, flow: &Flow, segment: &Segment, first_here: bool) -> Verdict {
        // R11: whatever this stack knew of a SYN before it slept, another may have decided since.
        let decides = self.dvipa(flow.dvipa).standing.collects() && !self.local.contains_key(flow);
        if decides && segment.opens() && self.is_dazed() && self.guards(Guard::Silent) {
            return Verdict::Hold;
        }
        let known = if segment.opens() || segment.resets() {
            self.crt.get(flow).copied()
        } else {
            // F7.152
            self.went_on(flow)
        };
        match (known, segment.opens()) {
            // What a former owner knew of a SYN, another may have decided otherwise since.
            (Some(_), true) if matches!(self.dvipa(flow.dvipa).standing, Standing::Former { .. }) => {
                return self.judge_elsewhere(flow, first_here);
            }
            (Some(entry), false) => return Verdict::Target { stack: entry.target, entered: false },
            (Some(entry), true) => return self.judge_known_syn(flow, segment, entry, first_here),
            (None, _) => {}
        }
        if self.local.contains_key(flow) {
            // Whatever became of its entry (R15).
            return Verdict::Local;
        }
        match &self.dvipa(flow.dvipa).standing {
            Standing::Gathering(_) | Standing::Active if segment.resets() => Verdict::Drop(DropReason::StrayReset),
            Standing::Gathering(_) if self.guards(Guard::Hold) => Verdict::Hold,
            Standing::Gathering(_) => Verdict::Reset,
            Standing::Active if segment.opens() => self.choose(flow, segment.sequence),
            Standing::Active if self.guards(Guard::Ask) => Verdict::Ask { only: None },
            Standing::Active => Verdict::Reset,
            Standing::Yielding | Standing::Former { .. } | Standing::Standby => self.judge_elsewhere(flow, first_here),
        }
    }

    /// This stack does not decide about the connection.
    fn judge_elsewhere(&self, flow: &Flow, first_here: bool) -> Verdict {
        if self.local.contains_key(flow) || self.stays_here(flow) {
            return Verdict::Local;
        }
        match self.live_owner(flow.dvipa) {
            // I18: what another stack has passed on is not passed on again by one that is no router.
            _ if !first_here && self.guards(Guard::Forwarded) => Verdict::Drop(DropReason::NotRouter),
            Some(owner) if owner != self.me => Verdict::Router(owner),
            _ => Verdict::Drop(DropReason::NoOwner),
        }
    }

    /// R3, R4: a SYN between ends that have a CRT entry.
    fn judge_known_syn(&mut self, flow: &Flow, segment: &Segment, entry: Entry, first_here: bool) -> Verdict {
        let (id, target) = (flow.dvipa, entry.target);
        let again = entry.instance == segment.sequence;
        let dvipa = self.dvipa(id);
        let serves = dvipa.dpt.is_ready(flow.port, target) || (target == self.me && !dvipa.distributes(flow.port));
        if self.is_live(target) && (again || serves) {
            // A new connection of a client that used the same port before: the entry is not about
            // it, so its target reports it.
            if again {
                self.syn_sent(flow, target);
            } else {
                self.crt.renew(flow);
            }
            return Verdict::Target { stack: target, entered: again };
        }
        if target == self.me && self.local.contains_key(flow) {
            return Verdict::Local;
        }
        if !entry.is_half_open() && self.is_live(target) && target != self.me {
            // It does not listen, but may still hold the connection: only if it denies that is
            // another one chosen (I6).
            return Verdict::Ask { only: Some(target) };
        }
        if !entry.is_half_open() && !self.is_live(target) && target != self.me {
            // Silent: what it holds is not given away while it may come back.
            return Verdict::Target { stack: target, entered: false };
        }
        match &dvipa.standing {
            Standing::Active => {
                self.take_out(flow);
                match self.choose(flow, segment.sequence) {
                    // Its first target may only be out of reach (I6).
                    Verdict::Drop(DropReason::HolderUnknown) if self.is_silent(target) => {
                        self.enter(*flow, entry);
                        Verdict::Target { stack: target, entered: again }
                    }
                    verdict => verdict,
                }
            }
            Standing::Gathering(_) => Verdict::Hold,
            _ => self.judge_elsewhere(flow, first_here),
        }
    }

    /// Where every port is distributed, servers bound to any address are the owner's own.
    fn is_owners_own(&self, id: DvipaId) -> bool {
        self.dvipa(id).distribution().is_some_and(|list| list.ports == definitions::Ports::Every)
    }

    /// F7.142-150: a target for a new connection, and its CRT entry.
    fn choose(&mut self, flow: &Flow, instance: u32) -> Verdict {
        let (id, me, port) = (flow.dvipa, self.me, flow.port);
        let (target, why) = if self.dvipa(id).distributes(port) {
            match self.choose_target(flow) {
                Some(chosen) => chosen,
                None if self.is_owners_own(id) && self.listens(self.dvipa(id).address, port) => (me, Why::Owner),
                // R20, but not while a target may only be out of reach: the client tries again (R19).
                None if self.has_silent_target(id) => return Verdict::Drop(DropReason::HolderUnknown),
                None if self.is_owners_own(id) => return Verdict::Local,
                None => return Verdict::Reset,
            }
        } else {
            (me, Why::Owner)
        };
        if target == me && !self.listens(self.dvipa(id).address, port) {
            // The stack answers as a host without a listener does; there is nothing to remember.
            return Verdict::Local;
        }
        self.remember_decision(flow, instance, target, why);
        let mark = self.mark(id, target);
        if !self.enter(*flow, Entry::new(self.now, instance, target, mark, Evidence::HalfOpen)) {
            return Verdict::Drop(DropReason::TableFull);
        }
        if why != Why::Owner {
            self.syn_sent(flow, target);
        }
        Verdict::Target { stack: target, entered: true }
    }

    /// The target that a client's affinity, or else the method, has for a new connection.
    fn choose_target(&mut self, flow: &Flow) -> Option<(StackId, Why)> {
        let stays = self.stays_here(flow);
        let Vipa { dvipas, peers, leaving, addresses, workload, weighs, me, now, .. } = self;
        // I14: a target that can be reached and does not stop.
        let reachable = |stack: StackId| match peers.get(&stack) {
            Some(peer) => peer.is_up() && !peer.leaving,
            None => stack == *me && leaving.is_none(),
        };
        let Dvipa { claim, dpt, clients, .. } = dvipas.get_mut(usize::from(flow.dvipa.0))?;
        let claim = claim.as_ref()?;
        let list = claim.distribution.as_ref()?;
        let offer = |stack: StackId| {
            let said = peers.get(&stack).map_or(&*workload, |peer| &peer.workload);
            workload::offer(list, *addresses.get(usize::from(stack.0))?, flow.port, said)
        };
        let times = optlocal::multiplier(list);
        let policy = workload::policy(&list.method, *weighs || times.is_some());
        let id = (claim.epoch, claim.incarnation);
        if stays && dpt.is_ready(flow.port, *me) && reachable(*me) {
            dpt.sent(flow.port, *me, policy, id, offer);
            return Some((*me, Why::OptLocal));
        }
        if list.options.timed_affinity > 0
            && let Some(target) = clients.target(flow.remote, flow.port, *now)
            && dpt.is_ready(flow.port, target)
            && reachable(target)
            && offer(target).is_some()
        {
            dpt.sent(flow.port, target, policy, id, offer);
            return Some((target, Why::Affinity));
        }
        let favour = times.and_then(|times| {
            let client = addresses.binary_search(&flow.remote).ok()?;
            // At most 65,535: see `addresses`.
            Some(Favour { stack: StackId(client as u16), times })
        });
        let target = dpt.choose(flow.port, policy, id, favour, offer, reachable)?;
        let favoured = favour.filter(|favour| favour.stack == target);
        Some((target, favoured.map_or(Why::Method, |favour| Why::Favoured(favour.times))))
    }

    /// Whether a candidate target of this owner or of an earlier one is silent.
    fn has_silent_target(&self, id: DvipaId) -> bool {
        let dvipa = self.dvipa(id);
        self.peers.iter().any(|(stack, peer)| self.is_silent(*stack) && dvipa.ever_had_target(peer.xcf))
            && self.guards(Guard::Silent)
    }

    /// A segment that the router `from` has forwarded to this stack as its target. Nobody answers
    /// it with RST here: what this stack does not hold, another may, and the router finds out.
    fn judge_forwarded(&mut self, flow: &Flow, segment: &Segment, from: IpAddr, header: &DataHeader) -> Verdict {
        if self.local.contains_key(flow) {
            return Verdict::Local;
        }
        if segment.opens() {
            let listens = self.listens(self.dvipa(flow.dvipa).address, flow.port);
            self.syn_arrived(flow, from, header.epoch, header.interval, listens);
            let dvipa = self.dvipa(flow.dvipa);
            // R11: the router has been replaced and does not know it yet; its successor may have
            // chosen another target.
            if self.is_superseded(dvipa, from, header.epoch) {
                return Verdict::Drop(DropReason::Superseded);
            }
            let meant = header.life == 0 || header.life == self.config.incarnation;
            // R11: it may have waited for this stack so long that another has been chosen.
            if self.is_dazed() && self.guards(Guard::Silent) {
                return Verdict::Drop(DropReason::Dazed);
            }
            // A stack that is no candidate any more has not got the address.
            if meant && dvipa.home.is_some() && self.listens(dvipa.address, flow.port) {
                if header.entered {
                    self.remember_entered(*flow, segment.sequence, header.epoch);
                }
                return Verdict::Local;
            }
            self.refuse(from, *flow, Some(segment.sequence));
            return Verdict::Drop(DropReason::NoListener);
        }
        if segment.resets() {
            return Verdict::Drop(DropReason::StrayReset);
        }
        self.refuse(from, *flow, None);
        Verdict::Drop(DropReason::NotHeld)
    }

    /// Whether the router `from` decided under an epoch that is over.
    fn is_superseded(&self, dvipa: &Dvipa, from: IpAddr, epoch: Epoch) -> bool {
        // One that has handed over in order has told what it decided.
        let told = dvipa.before.is_some_and(|(router, its)| self.address_of(router) == from && its == epoch);
        let higher = dvipa.claim.as_ref().is_some_and(|claim| claim.epoch > epoch && claim.owner != from);
        higher && !told && self.guards(Guard::Epoch)
    }

    /// R9: an ICMP error goes to the stack of the connection that it is about.
    fn judge_error(&self, flow: &Flow, origin: Origin) -> Verdict {
        if is_for_target(&origin) || self.local.contains_key(flow) {
            return Verdict::Local;
        }
        match self.crt.get(flow) {
            Some(entry) => Verdict::Target { stack: entry.target, entered: false },
            None => self.judge_other(flow.dvipa, origin),
        }
    }

    /// Everything but TCP is the owner's: it answers pings and takes UDP.
    fn judge_other(&self, id: DvipaId, origin: Origin) -> Verdict {
        let owner = self.live_owner(id).filter(|owner| *owner != self.me);
        match (&self.dvipa(id).standing, origin) {
            (Standing::Former { .. } | Standing::Standby, Origin::Network | Origin::Stack) => {
                owner.map_or(Verdict::Drop(DropReason::NoOwner), Verdict::Router)
            }
            _ => Verdict::Local,
        }
    }

    /// The header for packets of this stack's own connections that leave through a peer which has
    /// a network link: the peer writes them to its network as they are.
    pub fn outbound_header(&self) -> DataHeader {
        DataHeader::new(Direction::Outbound, Hop::ToRouter)
    }
}

/// Whether a routing stack has chosen this one as the packet's target.
fn is_for_target(origin: &Origin) -> bool {
    matches!(origin, Origin::Xcf { header, .. } if header.hop == Hop::ToTarget)
}
