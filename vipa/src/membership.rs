//! Who is in the cluster: contact, silence, death (F9.200).
//!
//! A peer is up while each side hears the other: heartbeats say which of the other's heartbeats
//! arrived, so that a link that is cut one way only is seen from both ends. Three things may end
//! that, and they are not the same. A peer that is *gone* (its process was seen to die, or its
//! next life was heard) holds nothing any more. A *silent* one may only be paused: it routes for
//! nothing and gets no new connections, but what it holds is not given up for a long time. And a
//! stack that was itself paused does not blame the others for it, nor one that its host does not
//! let run, as far as the host says so ([`Action::Doubt`]).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use stack::Instant;

use crate::action::Action;
use crate::config::Timing;
use crate::dvipa::{Definition, DvipaId};
use crate::event::Event;
use crate::guard::Guard;
use crate::session::Session;
use crate::vipa::Vipa;
use crate::wire::message::{Life, Message};
use crate::workload::Workload;

/// A host that lets a process wait for a processor excuses its silence for so many times as long as
/// another's at the most.
const PATIENCE: u32 = 10;

/// A stack's index in the order of XCF addresses, this stack's own included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct StackId(pub u16);

/// Contact with a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contact {
    /// Never heard in this life of this stack, or gone.
    None,
    /// Each side hears the other.
    Up,
    /// It was up, in a life that may still go on.
    Silent,
}

/// Another stack.
#[derive(Debug)]
pub(crate) struct Peer {
    pub xcf: IpAddr,
    pub name: Option<String>,
    pub process: Option<u32>,
    pub linked: bool,
    pub leaving: bool,
    pub contact: Contact,
    pub session: Session,
    /// Its complete VIPA list has come in this session.
    pub listed: bool,
    /// The list that is just coming in.
    pub draft: BTreeMap<IpAddr, Definition>,
    /// What its workload manager says.
    pub workload: Workload,
    /// It has answered a heartbeat of this session that was sent after this stack's last stall.
    pub fresh: bool,
    /// Heartbeats sent until then.
    sent_before: u64,
    /// Its life that was refused.
    pub refused: Option<u64>,
    /// Its life that [`Action::PeerUp`] told of.
    pub announced: Option<u64>,
    /// Since when it is silent, or was never heard.
    pub since: Instant,
    heard_at: Instant,
    hears_me_at: Instant,
    /// When the host was last asked about it, and until when its silence is excused.
    doubted_at: Instant,
    excused_until: Instant,
    heartbeats: Heartbeats,
    next_heartbeat: Instant,
    /// Heartbeats since its claims were last the same as ours, or were last sent to it.
    pub disagreements: u8,
    /// The lives of others that are not over as far as it knows.
    lives: Vec<Life>,
    /// A life of it that another stack told of before that one was lost itself, and until when that counts.
    rumour: Option<(u64, Instant)>,
}

#[derive(Debug, Default)]
struct Heartbeats {
    /// Sent.
    sent: u64,
    /// The last of theirs that arrived.
    heard: u64,
    /// The last of ours that arrived there.
    echoed: u64,
}

impl Peer {
    pub fn new(xcf: IpAddr, session: Session, now: Instant) -> Self {
        Peer {
            xcf,
            name: None,
            process: None,
            linked: false,
            leaving: false,
            contact: Contact::None,
            session,
            listed: false,
            draft: BTreeMap::new(),
            workload: Workload::default(),
            fresh: true,
            sent_before: 0,
            refused: None,
            announced: None,
            since: now,
            heard_at: now,
            hears_me_at: now,
            doubted_at: now,
            excused_until: now,
            heartbeats: Heartbeats::default(),
            next_heartbeat: now,
            disagreements: 0,
            lives: Vec::new(),
            rumour: None,
        }
    }

    pub fn is_up(&self) -> bool {
        self.contact == Contact::Up
    }

    /// For people.
    pub fn label(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.xcf.to_string())
    }

    /// A datagram of its present session has come.
    pub fn heard(&mut self, now: Instant) {
        self.heard_at = now;
    }

    /// Its last word that it hears us.
    fn last_word(&self) -> Instant {
        self.heard_at.min(self.hears_me_at)
    }

    /// The moment from which it counts as silent, if nothing comes.
    fn silent_at(&self, timing: &Timing) -> Instant {
        let longest = self.last_word() + PATIENCE * timing.silence;
        (self.last_word() + timing.silence).max(self.excused_until.min(longest))
    }

    /// When the host is asked whether it lets the process run: early enough to see it twice before
    /// its silence counts.
    fn doubt_at(&self, timing: &Timing) -> Option<Instant> {
        let first = self.last_word() + timing.silence.saturating_sub(2 * timing.heartbeat);
        self.process.map(|_| first.max(self.doubted_at + timing.heartbeat))
    }
}

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
        let found = !self.discovered && self.peers.values().all(|peer| peer.listed);
        self.discovered |= found;
        self.outshine(stack);
        self.come_to();
        self.reconsider();
        if found {
            self.event(Event::InGroup { restored: self.rejoined });
        }
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
            self.discovered = true;
            self.reconsider();
            self.event(Event::InGroup { restored: self.rejoined });
        }
    }

    /// A peer has been silent for so long that what it held counts as lost. Should it come back
    /// in the same life, a new session has it report everything.
    fn give_up(&mut self, stack: StackId) {
        let Some(peer) = self.peers.get_mut(&stack) else { return };
        peer.contact = Contact::None;
        peer.listed = false;
        peer.session.restart();
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
}
