//! Heartbeats and silence: of the others, and of this stack itself.

use std::net::IpAddr;

use stack::Instant;

use super::peer::Heartbeats;
use super::{Contact, Peer, StackId};
use crate::action::Action;
use crate::event::Event;
use crate::guard::Guard;
use crate::vipa::Vipa;
use crate::wire::message::{Life, Message};
use crate::workload::Workload;

impl Vipa {
    /// Heartbeats that are due, and peers that have become silent or are given up.
    pub(crate) fn watch_peers(&mut self) {
        let now = self.now;
        let timing = self.config.timing.clone();
        // Those that are nearly due go with those that are: one wake-up for all.
        let soon = now + timing.heartbeat / 4;
        let due = self.peers.values().any(|peer| peer.next_heartbeat <= now);
        let (lives, claims) = if due { (self.lives(), self.claims_digest()) } else { (Vec::new(), 0) };
        let mut silent = Vec::new();
        let mut given_up = Vec::new();
        for (stack, peer) in &mut self.peers {
            if due && peer.next_heartbeat <= soon {
                peer.next_heartbeat = now + timing.heartbeat;
                if peer.session.is_agreed() {
                    peer.heartbeats.sent += 1;
                    let Heartbeats { sent: count, heard, .. } = peer.heartbeats;
                    let heartbeat = Message::Heartbeat { count, heard, claims, lives: lives.clone() };
                    let datagram = peer.session.unsequenced(&heartbeat);
                    self.counters.heartbeats_sent += 1;
                    self.counters.heartbeats_sent_bytes += datagram.len() as u64;
                    self.actions.push_back(Action::Send { to: peer.xcf, datagram });
                } else {
                    peer.session.owe_hello();
                }
            }
            match peer.contact {
                Contact::Up if peer.silent_at(&timing) <= now => silent.push(*stack),
                Contact::Up if peer.doubt_at(&timing).is_some_and(|at| at <= now) => {
                    peer.doubted_at = now;
                    let doubt = peer.process.map(|process| Action::Doubt { xcf: peer.xcf, process });
                    self.actions.extend(doubt);
                }
                Contact::Silent if peer.since + timing.forget <= now => given_up.push(*stack),
                _ => {}
            }
        }
        silent.into_iter().for_each(|stack| self.silent(stack));
        given_up.into_iter().for_each(|stack| self.give_up(stack));
        if !self.discovered && now >= self.started + timing.discovery {
            self.found_others();
        }
    }

    /// A peer has been silent for so long that what it held counts as lost. Should it come back
    /// in the same life, a new session has it report everything.
    fn give_up(&mut self, stack: StackId) {
        let Some(peer) = self.peers.get_mut(&stack) else { return };
        peer.contact = Contact::None;
        peer.listed = false;
        peer.session.restart();
        peer.workload = Workload::default();
        let name = peer.label();
        self.workload_changed();
        let connections = self.purge(stack);
        self.event(Event::Gone { stack: name, connections });
        self.lost(stack, true);
    }

    /// When [`watch_peers`](Vipa::watch_peers) has something to do.
    pub(crate) fn membership_deadline(&self) -> Option<Instant> {
        let timing = &self.config.timing;
        let peers = self.peers.values().flat_map(|peer| {
            let change = match peer.contact {
                Contact::Up => Some(peer.silent_at(timing)).min(peer.doubt_at(timing).or(Some(Instant::FAR_FUTURE))),
                Contact::Silent => Some(peer.since + timing.forget),
                Contact::None => None,
            };
            [Some(peer.next_heartbeat), change]
        });
        let discovery = (!self.discovered).then(|| self.started + timing.discovery);
        let dazed = self.waits_dazed.then_some(self.dazed_until);
        peers.chain([discovery, dazed]).flatten().min()
    }

    /// The answer to [`Action::Doubt`]: the peer's process wants a processor and gets none. Afterwards
    /// poll actions.
    pub fn peer_starves(&mut self, now: Instant, xcf: IpAddr) {
        self.advance(now);
        self.deadline_changed();
        let until = now + 2 * self.config.timing.heartbeat;
        if let Some(peer) = self.stack_of(xcf).and_then(|stack| self.peers.get_mut(&stack)) {
            peer.excused_until = until;
            self.counters.excused += 1;
        }
    }

    fn silent(&mut self, stack: StackId) {
        let now = self.now;
        let Some(peer) = self.peers.get_mut(&stack) else { return };
        peer.contact = Contact::Silent;
        peer.since = now;
        let name = peer.label();
        self.event(Event::Silent { stack: name });
        self.lost(stack, false);
    }

    /// Whether this stack has just slept, and does not know yet what the others have done meanwhile:
    /// what waited for it may be meant for another by now (R11).
    pub(crate) fn is_dazed(&self) -> bool {
        let unknown = |peer: &Peer| peer.is_up() && !(peer.fresh && peer.listed);
        self.now < self.dazed_until && self.peers.values().any(unknown)
    }

    /// Once this stack has come to itself, what has waited for that is done.
    pub(crate) fn come_to(&mut self) {
        if self.waits_dazed && !self.is_dazed() {
            self.waits_dazed = false;
            self.reconsider();
            for id in self.dvipa_ids() {
                self.gathered(id);
                self.turn_route(id);
                self.reexamine(id);
            }
        }
    }

    /// This stack was not run for a while: that others were not heard meanwhile says nothing.
    pub(crate) fn forgive_stall(&mut self, now: Instant) {
        let gap = now.since(self.now);
        if gap > 2 * self.config.timing.heartbeat {
            for peer in self.peers.values_mut() {
                peer.heard_at += gap;
                peer.hears_me_at += gap;
                peer.fresh = false;
                peer.sent_before = peer.heartbeats.sent;
                peer.next_heartbeat = now;
            }
            self.dazed_until = now + self.config.timing.silence;
            self.waits_dazed = true;
            if self.guards(Guard::Silent) {
                self.hold.doubt();
            }
            self.deadline_changed();
        }
    }

    /// Lives of peers that are not known to be over.
    fn lives(&self) -> Vec<Life> {
        let known = self.peers.values().filter(|peer| peer.contact != Contact::None);
        let life = |peer: &Peer| Some(Life { xcf: peer.xcf, incarnation: peer.announced?, up: peer.is_up() });
        known.filter_map(life).collect()
    }
}
