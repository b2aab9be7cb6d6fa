//! Packets that wait, because who holds their connection is not known yet (R1, I8): until the
//! tables are rebuilt, or until the other stacks have said whether they hold it. Only if all of
//! them deny it is the client told; if any may be alive and did not answer, the packet is dropped
//! and TCP sends it again.

use std::collections::{BTreeMap, BTreeSet};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use stack::{Instant, Packet};

use crate::action::{Action, Disposition, DropReason, Origin};
use crate::crt::Flow;
use crate::dvipa::DvipaId;
use crate::guard::Guard;
use crate::membership::StackId;
use crate::report::Held;
use crate::vipa::Vipa;
use crate::wire::message::Message;
use crate::wire::packet::Segment;

/// Packets up to this size are copied into a buffer of their own size: a few acknowledgments
/// must not occupy full-size buffers.
const SMALL: usize = 2048;

/// All packets that wait, by connection.
#[derive(Debug, Default)]
pub(crate) struct Hold {
    flows: HashMap<Flow, Waiting, FixedState>,
    /// When each one's time is over. The number tells those of one moment apart.
    due: BTreeMap<(Instant, u64), Flow>,
    order: u64,
    packets: usize,
    bytes: usize,
    questions: usize,
}

#[derive(Debug)]
struct Waiting {
    packets: Vec<Kept>,
    due: (Instant, u64),
    question: Option<Question>,
}

/// Stacks that have been asked whether they hold a connection.
#[derive(Debug)]
struct Question {
    pending: BTreeSet<StackId>,
    asked: Instant,
    /// Another stack has answered that it holds it.
    rival: Option<Holder>,
    /// A stack that may hold it cannot be asked, or will not answer.
    unsure: bool,
}

/// A stack that has said, asked, that it holds a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Holder {
    pub stack: StackId,
    pub instance: u32,
    /// When the connection was established there, at the earliest and at the latest, in milliseconds
    /// of this stack's clock. `None` if its handshake is under way.
    pub since: Option<(i64, i64)>,
}

impl Holder {
    /// This stack itself.
    pub fn own(stack: StackId, held: Held) -> Holder {
        let since = held.since().map(|since| (millis(since), millis(since)));
        Holder { stack, instance: held.instance, since }
    }

    /// Whether its connection was established before the other's, for certain.
    pub fn is_older(&self, other: &Holder) -> bool {
        self.since.zip(other.since).is_some_and(|((_, latest), (earliest, _))| latest < earliest)
    }
}

#[derive(Debug)]
struct Kept {
    packet: Packet,
    origin: Origin,
    opens: bool,
}

impl Hold {
    /// Packets that wait.
    pub fn packets(&self) -> usize {
        self.packets
    }

    /// Questions that are open.
    pub fn questions(&self) -> usize {
        self.questions
    }

    /// When the next wait is over.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.due.keys().next().map(|(at, _)| *at)
    }

    /// The flow's waiting packets; a new wait lasts until `until`.
    fn waiting(&mut self, flow: Flow, until: Instant) -> &mut Waiting {
        let Hold { flows, due, order, .. } = self;
        flows.entry(flow).or_insert_with(|| {
            *order += 1;
            let key = (until, *order);
            due.insert(key, flow);
            Waiting { packets: Vec::new(), due: key, question: None }
        })
    }

    fn extend(&mut self, flow: &Flow, until: Instant) {
        if let Some(waiting) = self.flows.get_mut(flow) {
            self.due.remove(&waiting.due);
            waiting.due.0 = until;
            self.due.insert(waiting.due, *flow);
        }
    }

    fn take(&mut self, flow: &Flow) -> Option<Waiting> {
        let waiting = self.flows.remove(flow)?;
        self.due.remove(&waiting.due);
        self.questions -= usize::from(waiting.question.is_some());
        self.packets -= waiting.packets.len();
        self.bytes -= waiting.packets.iter().map(|held| held.packet.footprint()).sum::<usize>();
        Some(waiting)
    }

    /// So much time has passed that an answer may be about another connection between the same ends.
    pub fn doubt(&mut self) {
        self.flows
            .values_mut()
            .filter_map(|waiting| waiting.question.as_mut())
            .for_each(|question| question.unsure = true);
    }

    /// Flows for which `which` says yes, in the order in which they began to wait.
    fn select(&self, which: impl Fn(&Flow, &Waiting) -> bool) -> Vec<Flow> {
        let chosen = self.flows.iter().filter(|(flow, waiting)| which(flow, waiting));
        let mut flows: Vec<(u64, Flow)> = chosen.map(|(flow, waiting)| (waiting.due.1, *flow)).collect();
        flows.sort_unstable_by_key(|(order, _)| *order);
        flows.into_iter().map(|(_, flow)| flow).collect()
    }
}

impl Vipa {
    /// Keeps a packet until [`reexamine`](Vipa::reexamine), an answer, or the end of its time.
    pub(crate) fn keep(&mut self, flow: Flow, packet: Packet, origin: Origin, segment: &Segment) -> Disposition {
        let limits = &self.config.limits;
        let until = self.now + self.config.timing.hold;
        let packet = if packet.len() <= SMALL && packet.footprint() > 2 * SMALL { small(&packet) } else { packet };
        let full = self.hold.packets >= limits.held_packets
            || self.hold.bytes + packet.footprint() > limits.held_bytes
            || self.hold.flows.get(&flow).is_some_and(|waiting| waiting.packets.len() >= limits.held_for_one);
        if full {
            self.counters.drop(DropReason::HoldFull, 1);
            return Disposition::Drop(packet, DropReason::HoldFull);
        }
        self.hold.packets += 1;
        self.hold.bytes += packet.footprint();
        self.counters.held += 1;
        self.hold.waiting(flow, until).packets.push(Kept { packet, origin, opens: segment.opens() });
        self.deadline_changed();
        Disposition::Held
    }

    /// R1: keeps the packet and asks who holds its connection: `only` this stack, or all.
    pub(crate) fn ask(
        &mut self,
        flow: Flow,
        packet: Packet,
        origin: Origin,
        segment: &Segment,
        only: Option<StackId>,
    ) -> Disposition {
        if self.is_asked(&flow) {
            return self.keep(flow, packet, origin, segment);
        }
        let pending = only.map_or_else(|| self.live_peers(), |stack| BTreeSet::from([stack]));
        let unsure = only.is_none() && self.may_hold_unseen(self.now) && self.guards(Guard::Silent);
        if pending.is_empty() {
            // Nobody to ask: this stack's own tables are the whole truth, or nothing is certain.
            if unsure {
                self.counters.drop(DropReason::HolderUnknown, 1);
                return Disposition::Drop(packet, DropReason::HolderUnknown);
            }
            self.counters.reset += 1;
            return Disposition::Reset(packet);
        }
        if self.hold.questions >= self.config.limits.asks {
            self.counters.drop(DropReason::HoldFull, 1);
            return Disposition::Drop(packet, DropReason::HoldFull);
        }
        let disposition = self.keep(flow, packet, origin, segment);
        if matches!(disposition, Disposition::Held) {
            self.pose(flow, pending, unsure, None);
        }
        disposition
    }

    /// Asks one stack about a connection that another one holds as well, as far as is known: `rival`
    /// if that one was asked before. A question that is open is left alone.
    pub(crate) fn question(&mut self, flow: Flow, stack: StackId, rival: Option<Holder>) {
        let room = self.hold.questions < self.config.limits.asks;
        if room && !self.is_asked(&flow) && self.is_live(stack) && stack != self.me {
            self.pose(flow, BTreeSet::from([stack]), false, rival);
        }
    }

    /// The open question about the connection has an answer: `stack` holds it, for `age`
    /// milliseconds. `None` if this stack was not asked. With the rival that it was asked about.
    pub(crate) fn answer_in(
        &mut self,
        flow: &Flow,
        stack: StackId,
        instance: u32,
        age: Option<u32>,
    ) -> Option<(Holder, Option<Holder>)> {
        let question = self.hold.flows.get_mut(flow)?.question.take_if(|question| question.pending.contains(&stack))?;
        self.hold.questions -= 1;
        // It wrote this after it was asked, in whole milliseconds.
        let (asked, now) = (millis(question.asked), millis(self.now));
        let since = age.map(i64::from).map(|age| (asked - age - 1, now - age + 1));
        Some((Holder { stack, instance, since }, question.rival))
    }

    fn pose(&mut self, flow: Flow, pending: BTreeSet<StackId>, unsure: bool, rival: Option<Holder>) {
        let until = self.now + self.config.timing.ask;
        let message = Message::Ask { connection: self.connection(&flow) };
        pending.iter().for_each(|stack| self.tell(*stack, &message));
        self.counters.asked += 1;
        self.hold.questions += 1;
        self.hold.waiting(flow, until).question = Some(Question { pending, asked: self.now, rival, unsure });
        self.hold.extend(&flow, until);
        self.deadline_changed();
    }

    /// Whether a question about the connection is open.
    pub(crate) fn is_asked(&self, flow: &Flow) -> bool {
        self.hold.flows.get(flow).is_some_and(|waiting| waiting.question.is_some())
    }

    /// The holder of a connection is known: what waits for it goes there.
    pub(crate) fn answered(&mut self, flow: Flow, holder: StackId) {
        let Some(waiting) = self.hold.take(&flow) else { return };
        for held in waiting.packets {
            let disposition = self.send_to(flow.dvipa, holder, held.packet, false);
            self.act_on(disposition);
        }
    }

    /// A stack does not hold the connection.
    pub(crate) fn denied(&mut self, from: StackId, flow: Flow) {
        let Some(question) = self.hold.flows.get_mut(&flow).and_then(|waiting| waiting.question.as_mut()) else {
            return;
        };
        question.pending.remove(&from);
        if question.pending.is_empty() {
            self.conclude(flow);
        }
    }

    /// A stack will not answer any more; if it is dead, it does not hold anything either.
    pub(crate) fn no_answer(&mut self, stack: StackId, dead: bool) {
        let sure = self.guards(Guard::Silent);
        let asked =
            |waiting: &Waiting| waiting.question.as_ref().is_some_and(|question| question.pending.contains(&stack));
        for flow in self.hold.select(|_, waiting| asked(waiting)) {
            let Some(question) = self.hold.flows.get_mut(&flow).and_then(|waiting| waiting.question.as_mut()) else {
                continue;
            };
            question.unsure |= !dead && sure;
            question.pending.remove(&stack);
            if question.pending.is_empty() {
                self.conclude(flow);
            }
        }
    }

    /// Nobody who was asked holds the connection.
    fn conclude(&mut self, flow: Flow) {
        let Some(waiting) = self.hold.take(&flow) else { return };
        let unsure = waiting.question.is_some_and(|question| question.unsure);
        // Between the same ends another connection may have begun meanwhile.
        let known = self.local.contains_key(&flow) || self.crt.get(&flow).is_some();
        for held in waiting.packets {
            if held.opens || known {
                self.replay(held);
            } else if unsure {
                self.counters.drop(DropReason::HolderUnknown, 1);
            } else {
                // R6: the client is told, not left in silence.
                self.counters.reset += 1;
                self.actions.push_back(Action::Reset(held.packet));
            }
        }
    }

    /// This stack's standing for a DVIPA has changed: what waits is looked at again.
    pub(crate) fn reexamine(&mut self, id: DvipaId) {
        for flow in self.hold.select(|flow, _| flow.dvipa == id) {
            let Some(waiting) = self.hold.take(&flow) else { continue };
            waiting.packets.into_iter().for_each(|held| self.replay(held));
        }
    }

    fn replay(&mut self, held: Kept) {
        let disposition = self.dispose(held.packet, held.origin);
        self.act_on(disposition);
    }

    /// Does by actions what [`route`](Vipa::route) would have answered.
    pub(crate) fn act_on(&mut self, disposition: Disposition) {
        match disposition {
            Disposition::Local(packet) => self.actions.push_back(Action::Deliver(packet)),
            Disposition::Forward { to, header, packet } => {
                self.actions.push_back(Action::Forward { to, header, packet })
            }
            Disposition::Reset(packet) => self.actions.push_back(Action::Reset(packet)),
            Disposition::Held | Disposition::Drop(..) => {}
        }
    }

    /// Waits that have lasted too long: dropped quietly, TCP sends again.
    pub(crate) fn expire_held(&mut self) {
        while let Some((_, flow)) = self.hold.due.first_key_value().filter(|((at, _), _)| *at <= self.now) {
            let flow = *flow;
            let Some(waiting) = self.hold.take(&flow) else { return };
            self.counters.drop(DropReason::HolderUnknown, waiting.packets.len() as u64);
        }
    }
}

fn millis(at: Instant) -> i64 {
    i64::try_from(at.as_millis()).unwrap_or(i64::MAX)
}

fn small(packet: &Packet) -> Packet {
    let mut copy = Packet::copy_of(packet.bytes());
    copy.offload = packet.offload;
    copy
}
