//! Leaving and joining the sysplex group while the stack runs (VARY SYSPLEX,LEAVEGROUP and
//! JOINGROUP), and being refused by it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use stack::Instant;

use crate::action::{Action, Broken};
use crate::created::{Conflict, Creation};
use crate::event::Event;
use crate::membership::{Contact, StackId};
use crate::vipa::Vipa;
use crate::wire::control::{Header, Item, items};
use crate::wire::message::Message;

impl Vipa {
    /// Hands everything over as an orderly stop does, then deletes every DVIPA here; definitions
    /// are kept. [`Event::LeftGroup`] follows; connections on DVIPAs that are left then are reset. Without effect
    /// outside the group, and once an orderly stop has begun.
    pub fn leave_group(&mut self, now: Instant) {
        if !self.outside && self.leaving.is_none() {
            self.staying = true;
            self.hand_over_all(now);
        }
    }

    /// Comes back after [`leave_group`](Vipa::leave_group), as a new life with this number. Without
    /// effect inside the group.
    pub fn join_group(&mut self, now: Instant, incarnation: u64) {
        if !self.outside {
            return;
        }
        let mut config = self.config.clone();
        config.incarnation = incarnation.max(config.incarnation + 1);
        let mut life = Vipa::begin(config, self.seed, now.max(self.now), true);
        life.listeners = core::mem::take(&mut self.listeners);
        life.deactivated = core::mem::take(&mut self.deactivated);
        life.quiesced = core::mem::take(&mut self.quiesced);
        life.counters = core::mem::take(&mut self.counters);
        let actions = core::mem::take(&mut self.actions);
        actions.into_iter().rev().for_each(|action| life.actions.push_front(action));
        life.reprofile();
        // What applications have bound inside a VIPARANGE is made again.
        let bound: BTreeSet<IpAddr> = life.listeners.keys().filter_map(|(_, address)| *address).collect();
        for address in bound {
            match life.create(now, address, Creation::Bind) {
                Ok(_) | Err(Conflict::NotInRange) => {}
                Err(conflict) => life.event(Event::BindRefused { dvipa: address, why: conflict.to_string() }),
            }
        }
        // Alone in the group it routes already.
        let listeners: Vec<_> = life.listeners.keys().copied().collect();
        listeners.into_iter().for_each(|(port, address)| life.listeners_changed(address, port));
        *self = life;
    }

    /// Whether this stack is in the group, or on its way into it.
    pub fn in_group(&self) -> bool {
        !self.outside
    }

    /// Nothing of the cluster is left here.
    pub(crate) fn depart(&mut self) {
        for dvipa in &self.dvipas {
            let address = dvipa.address;
            if dvipa.advertised {
                self.actions.push_back(Action::Withdraw { address });
            }
            // Even if none is known: a SYN that was held may be on its way to this stack's TCP.
            if dvipa.held > 0 || dvipa.home.is_some() {
                self.actions.push_back(Action::Break(Broken::All(address)));
            }
            if dvipa.home.is_some() {
                self.actions.push_back(Action::RemoveHome { address });
            }
        }
        self.dvipas.clear();
        self.by_address.clear();
        self.local.clear();
        self.entered.clear();
        self.pending.clear();
        self.staying_here.clear();
        self.decisions.clear();
        self.created.clear();
        self.crt.retain(|_, _| false);
        self.hold = Default::default();
        self.fragments = Default::default();
        self.outside = true;
        for peer in self.peers.values_mut() {
            // Whatever becomes of it is no matter of this stack any more.
            let contact = core::mem::replace(&mut peer.contact, Contact::None);
            if contact == Contact::Up {
                let (xcf, name) = (peer.xcf, peer.label());
                let incarnation = peer.announced.unwrap_or(0);
                let datagram = peer.session.unsequenced(&Message::Gone);
                self.actions.push_back(Action::Send { to: xcf, datagram });
                self.actions.push_back(Action::PeerDown { xcf, name, incarnation });
            }
        }
        if self.exit.take().is_some() {
            self.actions.push_back(Action::Exit(None));
        }
        self.deadline_changed();
    }

    /// Outside the group: who still takes this stack for a member is told, by an answer to what only
    /// members say: two that have left would tell each other for ever.
    pub(crate) fn hear_outside(&mut self, stack: StackId, header: &Header, messages: &[u8]) {
        let first = items(messages).next();
        let member = matches!(first, Some(Item::Message(Message::Hello { .. } | Message::Heartbeat { .. })));
        if !member || header.receiver.incarnation != self.config.incarnation {
            return;
        }
        if let Some(peer) = self.peers.get_mut(&stack) {
            let datagram = peer.session.reply(header, &Message::Gone);
            self.actions.push_back(Action::Send { to: peer.xcf, datagram });
        }
    }

    /// Whether a stack with this name may not join, because another has it: of two, the one that
    /// runs longer goes on. The refused one is told.
    pub(crate) fn refuses(&mut self, stack: StackId, header: &Header, name: &str) -> bool {
        let (from, life) = (self.address_of(stack), header.sender.incarnation);
        let same = |other: &str| !name.is_empty() && other.eq_ignore_ascii_case(name);
        let mine = same(&self.config.name) && self.config.incarnation < life;
        let theirs = self.peers.values().find(|peer| {
            let older = peer.announced.is_some_and(|announced| announced < life);
            peer.xcf != from && peer.is_up() && older && peer.name.as_deref().is_some_and(same)
        });
        let Some(holder) = theirs.map(|peer| peer.xcf).or_else(|| mine.then_some(self.config.xcf)) else {
            return false;
        };
        let why = format!("the name {name} is taken by the stack at {holder}");
        let Some(peer) = self.peers.get_mut(&stack) else { return true };
        let datagram = peer.session.reply(header, &Message::Refused { why: why.clone() });
        self.actions.push_back(Action::Send { to: from, datagram });
        if peer.refused.replace(life) != Some(life) {
            self.event(Event::Refused { stack: from.to_string(), why });
        }
        true
    }

    /// The group refuses this stack: it goes on alone, without DVIPAs.
    pub(crate) fn hear_refused(&mut self, from: IpAddr, why: String) {
        let by = self.stack_of(from).map_or_else(|| from.to_string(), |stack| self.label_of(stack));
        self.event(Event::RefusedBy { stack: by.clone(), why: why.clone() });
        self.depart();
        self.actions.push_back(Action::Refused { why: format!("refused by {by}: {why}") });
    }
}
