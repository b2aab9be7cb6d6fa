//! Who is in the cluster: contact, silence, death (F9.200).
//!
//! A peer is up while each side hears the other: heartbeats say which of the other's heartbeats
//! arrived, so that a link that is cut one way only is seen from both ends. Three things may end
//! that, and they are not the same. A peer that is *gone* (its process was seen to die, or its
//! next life was heard) holds nothing any more. A *silent* one may only be paused: it routes for
//! nothing and gets no new connections, but what it holds is not given up for a long time. And a
//! stack that was itself paused does not blame the others for it, nor one that its host does not
//! let run, as far as the host says so ([`Action::Doubt`]).

mod peer;
mod watch;

use std::collections::BTreeSet;
use std::net::IpAddr;

use stack::Instant;

pub use self::peer::Contact;
use self::peer::Heartbeats;
pub(crate) use self::peer::Peer;
use crate::action::Action;
use crate::dvipa::DvipaId;
use crate::event::Event;
use crate::vipa::Vipa;
use crate::wire::message::{Life, Message};
use crate::workload::Workload;

/// A stack's index in the order of XCF addresses, this stack's own included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct StackId(pub u16);

impl Vipa {
    /// The peer with this XCF address.
    pub(crate) fn stack_of(&self, xcf: IpAddr) -> Option<StackId> {
        let index = self.addresses.binary_search(&xcf).ok()?;
        Some(StackId(u16::try_from(index).ok()?))
    }

    /// The XCF address of a stack of the cluster.
    pub(crate) fn address_of(&self, stack: StackId) -> IpAddr {
        self.addresses.get(usize::from(stack.0)).copied().unwrap_or(self.config.xcf)
    }

    /// A stack's name for people.
    pub(crate) fn label_of(&self, stack: StackId) -> String {
        self.peers.get(&stack).map_or_else(|| self.config.name.clone(), Peer::label)
    }

    /// Whether this stack or a peer that is up.
    pub(crate) fn is_live(&self, stack: StackId) -> bool {
        stack == self.me || self.peers.get(&stack).is_some_and(Peer::is_up)
    }

    /// Whether a peer may live on out of reach.
    pub(crate) fn is_silent(&self, stack: StackId) -> bool {
        self.peers.get(&stack).is_some_and(|peer| peer.contact == Contact::Silent)
    }

    /// Peers that are up.
    pub(crate) fn live_peers(&self) -> BTreeSet<StackId> {
        self.peers.iter().filter(|(_, peer)| peer.is_up()).map(|(stack, _)| *stack).collect()
    }

    /// Whether a peer that is not up may still hold connections.
    pub(crate) fn may_hold_unseen(&self, now: Instant) -> bool {
        // Who has just slept knows of deaths meanwhile, but not yet of new lives.
        let dazed = now < self.dazed_until && !self.peers.is_empty();
        dazed
            || self.peers.values().any(|peer| match peer.contact {
                Contact::Up => false,
                Contact::Silent => true,
                // One that was never heard may have been cut off all the time, but not for ever; the next
                // life of one that died may be known to others before it is to this stack.
                Contact::None => {
                    let unheard = peer.announced.is_none() && now < peer.since + self.config.timing.forget;
                    let rumoured = peer.rumour.is_some_and(|(life, until)| now < until && !peer.session.is_over(life));
                    unheard || rumoured || self.lives_of(peer).next().is_some()
                }
            })
    }

    /// Whether another stack has contact with a life of this peer that is not known to be over.
    pub(crate) fn is_vouched(&self, subject: &Peer) -> bool {
        self.lives_of(subject).any(|life| life.up)
    }

    /// What the stacks in contact say of lives of this peer that are not known to be over.
    fn lives_of<'a>(&'a self, subject: &'a Peer) -> impl Iterator<Item = &'a Life> {
        let others = self.peers.values().filter(|peer| peer.is_up() && peer.xcf != subject.xcf);
        let lives = others.flat_map(|peer| &peer.lives).filter(|life| life.xcf == subject.xcf);
        lives.filter(|life| !subject.session.is_over(life.incarnation))
    }

    /// What a stack that is being lost has said of others is not lost with it.
    fn keep_rumours(&mut self, from: StackId) {
        let until = self.now + self.config.timing.forget;
        let lives = self.peers.get(&from).map(|peer| peer.lives.clone()).unwrap_or_default();
        for life in lives {
            let subject = self.stack_of(life.xcf).and_then(|stack| self.peers.get_mut(&stack));
            if let Some(subject) = subject.filter(|subject| subject.contact == Contact::None) {
                subject.rumour = subject.rumour.max(Some((life.incarnation, until)));
            }
        }
    }

    /// Queues a message for a peer.
    pub(crate) fn tell(&mut self, stack: StackId, message: &Message) {
        if self.outside {
            return;
        }
        let Some(peer) = self.peers.get_mut(&stack) else { return };
        if !peer.session.push(message) {
            let stack = peer.label();
            self.event(Event::Resynchronised { stack });
        }
    }

    /// Queues a message for every peer that there is a session with.
    pub(crate) fn tell_all(&mut self, message: &Message) {
        for index in 0..self.addresses.len() {
            self.tell(StackId(index as u16), message);
        }
    }

    /// A HELLO: the peer's name and facts. The session is not agreed on yet, perhaps.
    pub(crate) fn hear_hello(&mut self, stack: StackId, hello: Message) {
        let Message::Hello { name, process, linked, leaving } = hello else { return };
        let Some(peer) = self.peers.get_mut(&stack) else { return };
        let changed = (peer.linked, peer.leaving) != (linked, leaving);
        peer.name = (!name.is_empty()).then_some(name);
        peer.process = process;
        peer.linked = linked;
        peer.leaving = leaving;
        if changed && peer.is_up() {
            self.reconsider();
        }
    }

    /// A new session with a peer is agreed on: both sides send what they know.
    pub(crate) fn agreed(&mut self, stack: StackId) {
        let now = self.now;
        self.waits_dazed |= now < self.dazed_until;
        let Some(peer) = self.peers.get_mut(&stack) else { return };
        let was = core::mem::replace(&mut peer.contact, Contact::Up);
        peer.heard_at = now;
        peer.hears_me_at = now;
        peer.heartbeats = Heartbeats::default();
        peer.sent_before = 0;
        peer.fresh = false;
        peer.next_heartbeat = now;
        peer.listed = false;
        peer.lives.clear();
        let name = peer.label();
        let incarnation = peer.session.incarnation();
        if let Some(incarnation) = incarnation.filter(|_| peer.announced != incarnation) {
            peer.announced = Some(incarnation);
            let action = Action::PeerUp { xcf: peer.xcf, name: name.clone(), process: peer.process, incarnation };
            self.actions.push_back(action);
            self.event(Event::Joined { stack: name });
        } else if was != Contact::Up {
            self.event(Event::Back { stack: name });
        }
        self.send_list(stack);
        self.await_report(stack);
        self.report_all(stack);
        self.share_workload(stack);
        self.reconsider();
    }

    /// The peer's complete list has come.
    pub(crate) fn listed(&mut self, stack: StackId) {
        if let Some(peer) = self.peers.get_mut(&stack) {
            peer.listed = true;
            let (draft, incarnation) = (core::mem::take(&mut peer.draft), peer.announced.unwrap_or(0));
            self.replace_definitions(stack, incarnation, draft);
        }
        if !self.discovered && self.peers.values().all(|peer| peer.listed) {
            self.found_others();
        }
        self.outshine(stack);
        self.come_to();
        self.reconsider();
    }

    /// The search for the others is over: from now on this stack has what is its own.
    pub(crate) fn found_others(&mut self) {
        self.discovered = true;
        self.settle_created();
        self.reconsider();
        self.event(Event::InGroup { restored: self.rejoined });
    }

    /// A heartbeat: whether the peer hears us, and whom else.
    pub(crate) fn hear_heartbeat(&mut self, stack: StackId, count: u64, heard: u64, lives: Vec<Life>) {
        let now = self.now;
        let Some(peer) = self.peers.get_mut(&stack) else { return };
        // Not the highest: one wrong number would be told back for ever.
        peer.heartbeats.heard = count;
        if heard > peer.heartbeats.echoed && heard <= peer.heartbeats.sent {
            peer.heartbeats.echoed = heard;
            peer.hears_me_at = now;
            peer.fresh |= heard > peer.sent_before;
        }
        let changed = peer.lives != lives;
        let before = core::mem::replace(&mut peer.lives, lives);
        if peer.contact == Contact::Silent && now < peer.silent_at(&self.config.timing) {
            peer.contact = Contact::Up;
            peer.session.hurry(now);
            let name = peer.label();
            self.waits_dazed |= now < self.dazed_until;
            self.event(Event::Back { stack: name });
            self.await_report(stack);
            self.reconsider();
        } else if changed {
            self.reconsider();
        }
        if changed {
            self.hear_of_ends(stack, &before);
        }
        self.come_to();
    }

    /// A stack no longer speaks of lives that it knew before. One that never was in contact with this stack
    /// may have turned a route to itself, and withdrawn it.
    fn hear_of_ends(&mut self, from: StackId, before: &[Life]) {
        let Some(now) = self.peers.get(&from).map(|peer| &peer.lives) else { return };
        let mut over = before.iter().filter(|was| !now.iter().any(|life| was.is_same(life)));
        let met = |life: &Life| {
            life.xcf == self.config.xcf
                || self.stack_of(life.xcf).and_then(|stack| self.peers.get(&stack)?.announced) == Some(life.incarnation)
        };
        if over.any(|life| !met(life)) {
            self.dvipa_ids().for_each(|id| self.turn_route(id));
        }
    }

    /// LEAVING: the peer stops in order.
    pub(crate) fn hear_leaving(&mut self, stack: StackId) {
        let Some(peer) = self.peers.get_mut(&stack).filter(|peer| !peer.leaving) else { return };
        peer.leaving = true;
        let stack = peer.label();
        self.event(Event::Leaving { stack });
        self.reconsider();
    }

    /// F9.200, R6: a life of a peer is over, and everything that it held with it.
    pub(crate) fn gone(&mut self, stack: StackId, incarnation: u64) {
        let Some(peer) = self.peers.get_mut(&stack) else { return };
        peer.session.bury(incarnation);
        if peer.announced != Some(incarnation) || peer.contact == Contact::None {
            return;
        }
        peer.contact = Contact::None;
        peer.listed = false;
        peer.workload = Workload::default();
        let (xcf, name) = (peer.xcf, peer.label());
        self.actions.push_back(Action::PeerDown { xcf, name: name.clone(), incarnation });
        self.workload_changed();
        let connections = self.purge(stack);
        self.event(Event::Gone { stack: name, connections });
        // Its last word on a route that it has given up may be lost.
        self.outshine(stack);
        self.lost(stack, true);
    }

    /// What waits for the peer waits no longer; others take over what it routed.
    fn lost(&mut self, stack: StackId, dead: bool) {
        self.keep_rumours(stack);
        self.no_answer(stack, dead);
        self.no_report(stack);
        self.reconsider();
    }

    /// Looks at every DVIPA again after a change in the cluster.
    pub(crate) fn reconsider(&mut self) {
        for index in 0..self.dvipas.len() {
            self.consider(DvipaId(index as u16));
        }
        self.choose_exit();
    }

    /// A stack without a network link sends outbound packets through a peer that has one; it stays
    /// with that peer while it can.
    fn choose_exit(&mut self) {
        if self.config.linked {
            return;
        }
        let usable = |peer: &Peer| peer.is_up() && peer.linked && !peer.leaving;
        if self.exit.and_then(|exit| self.stack_of(exit)).and_then(|stack| self.peers.get(&stack)).is_some_and(usable) {
            return;
        }
        // Stacks spread over the linked peers by their own place in the order.
        let linked: Vec<IpAddr> = self.peers.values().filter(|peer| usable(peer)).map(|peer| peer.xcf).collect();
        let choice = linked.get(usize::from(self.me.0) % linked.len().max(1)).copied();
        if choice != self.exit {
            self.exit = choice;
            self.actions.push_back(Action::Exit(choice));
        }
    }
}
