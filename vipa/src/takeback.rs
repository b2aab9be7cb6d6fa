//! Gathering reports, and taking a DVIPA from a stack that is alive (Figure 10): make before
//! break (R2).
//!
//! ```text
//!   returning primary A                         backup B                     targets
//!        │ CLAIM, taking back from B                │                            │
//!        ├──────────────────────────────────────────┼───────────────────────────>│ F10.300
//!        │<─────────────── SRVSTAT, NEWCONN for all that each serves ────────────┤ F10.302
//!        │ TAKEBACK                                 │                            │
//!        ├─────────────────────────────────────────>│ F10.304
//!        │<──── NEWCONN for what B routes, RELEASED ┤ F10.306-308; B distributes no more
//!        │ advertises; CLAIM, active                │
//!        ├─────────────────────────────────────────>│ withdraws; after a grace F10.310
//! ```
//!
//! If B dies in the middle, A goes on without it. If A does, B claims again, with its tables as
//! they are (R18). An orderly stop is the same with the best backup as A.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use foldhash::fast::FixedState;
use hashbrown::HashSet;
use stack::Instant;

use crate::action::Action;
use crate::crt::Flow;
use crate::definitions::Moveable;
use crate::dvipa::{Dvipa, DvipaId, PRIMARY};
use crate::event::Event;
use crate::guard::Guard;
use crate::membership::StackId;
use crate::ownership::{Epoch, Phase, Standing};
use crate::vipa::Vipa;
use crate::wire::message::Message;

/// Ended connections remembered while reports come in. More than that end only in a flood.
const TOMBSTONES: usize = 1 << 16;

/// An owner that does not know all connections yet.
#[derive(Debug)]
pub(crate) struct Gathering {
    /// Stacks whose report is not complete.
    pub awaiting: BTreeSet<StackId>,
    /// Stacks that were lost before their report was complete.
    missing: BTreeSet<StackId>,
    /// When it goes on with what it has (I24).
    pub until: Instant,
    /// The live stack that the DVIPA is taken from.
    release: Option<Release>,
    /// Connections that have ended since: a stale NEWCONN by a third stack does not bring them
    /// back (I12). A SYN sent again may have opened the same one elsewhere.
    ended: HashSet<Ended, FixedState>,
}

/// A connection that has ended at a stack.
pub(crate) type Ended = (Flow, u32, StackId);

/// Taking a DVIPA from a live stack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Release {
    pub from: StackId,
    /// TAKEBACK is sent.
    asked: bool,
}

impl Release {
    pub fn new(from: StackId) -> Self {
        Release { from, asked: false }
    }
}

impl Gathering {
    pub fn new(awaiting: BTreeSet<StackId>, until: Instant, release: Option<Release>) -> Self {
        Gathering { awaiting, missing: BTreeSet::new(), until, release, ended: HashSet::default() }
    }

    /// A connection has ended.
    pub fn bury(&mut self, ended: Ended) {
        if self.ended.len() < TOMBSTONES {
            self.ended.insert(ended);
        }
    }

    /// Whether a connection has ended already.
    pub fn buried(&self, connection: &Ended) -> bool {
        self.ended.contains(connection)
    }

    /// All that have, in order.
    pub fn all_buried(&self) -> Vec<Ended> {
        let mut ended: Vec<Ended> = self.ended.iter().copied().collect();
        ended.sort_unstable_by_key(|(flow, instance, stack)| {
            (flow.remote, flow.remote_port, flow.port, *instance, *stack)
        });
        ended
    }
}

/// An orderly stop.
#[derive(Debug)]
pub(crate) struct Leaving {
    /// When it ends in any case.
    until: Instant,
    /// Nobody is left to take over what is still owned here.
    done: bool,
}

impl Vipa {
    fn gathering(&mut self, id: DvipaId) -> Option<&mut Gathering> {
        match &mut self.dvipa_mut(id).standing {
            Standing::Gathering(gathering) => Some(gathering),
            _ => None,
        }
    }

    /// R11: who has just slept does not begin to route before it knows who does by now.
    fn waits_to_route(&self, dvipa: &Dvipa) -> bool {
        !dvipa.advertised && self.is_dazed() && self.guards(Guard::Silent)
    }

    /// F9.210, F10.304: goes on once every report is in, or the wait is over.
    pub(crate) fn gathered(&mut self, id: DvipaId) {
        let (now, hasty) = (self.now, self.config.without);
        if self.waits_to_route(self.dvipa(id)) {
            return;
        }
        let longer = now + self.config.timing.rebuild_wait;
        let Some(gathering) = self.gathering(id) else { return };
        if !gathering.awaiting.is_empty() && now < gathering.until && hasty != Some(Guard::Release) {
            return;
        }
        gathering.missing.append(&mut gathering.awaiting);
        match &mut gathering.release {
            Some(release) if !release.asked => {
                release.asked = true;
                gathering.until = longer;
                let from = release.from;
                let dvipa = self.dvipa(id);
                let message = Message::TakeBack { dvipa: dvipa.address, epoch: dvipa.epoch };
                self.tell(from, &message);
            }
            Some(_) if now < gathering.until && hasty != Some(Guard::Release) => {}
            Some(_) | None => {
                let missing = gathering.missing.iter().copied().collect();
                self.activate(id, missing);
            }
        }
    }

    /// A stack's report is complete: what it did not name of its old entries has ended.
    pub(crate) fn report_ended(&mut self, stack: StackId, id: DvipaId, epoch: Epoch) {
        if self.dvipa(id).epoch != epoch || !self.dvipa(id).standing.collects() {
            return;
        }
        self.sweep(id, stack);
        let address = self.dvipa(id).address;
        for port in self.dvipa_mut(id).dpt.end_report(stack) {
            let (server, stack) = (SocketAddr::new(address, port), self.label_of(stack));
            self.event(Event::TargetGone { server, stack });
        }
        if let Some(gathering) = self.gathering(id) {
            gathering.missing.remove(&stack);
            if gathering.awaiting.remove(&stack) {
                self.gathered(id);
            }
        }
    }

    /// A stack has come into contact while reports are gathered: its own is waited for too.
    pub(crate) fn await_report(&mut self, stack: StackId) {
        for id in self.dvipa_ids() {
            if let Some(gathering) = self.gathering(id)
                && gathering.release.is_none_or(|release| !release.asked)
            {
                gathering.awaiting.insert(stack);
            }
        }
    }

    /// Contact with a stack is lost: its report is not waited for. If it was the one that a DVIPA
    /// is taken from, nobody routes now: this stack goes on as in a takeover (R18).
    pub(crate) fn no_report(&mut self, stack: StackId) {
        for id in self.dvipa_ids() {
            let Some(gathering) = self.gathering(id) else { continue };
            if gathering.awaiting.remove(&stack) {
                gathering.missing.insert(stack);
            }
            if gathering.release.is_some_and(|release| release.from == stack) {
                gathering.release = None;
                let dvipa = self.dvipa_mut(id);
                dvipa.acting = None;
                if let Some(claim) = &mut dvipa.claim {
                    claim.phase = Phase::Rebuilding;
                }
                let (address, epoch) = (dvipa.address, dvipa.epoch);
                if !self.waits_to_route(self.dvipa(id)) {
                    self.advertise(id);
                }
                let from = Some(self.label_of(stack));
                self.event(Event::Claimed { dvipa: address, epoch, from });
                self.announce(id);
            }
            self.gathered(id);
        }
    }

    /// F10.304: the new owner's tables are ready for this stack's.
    pub(crate) fn hear_takeback(&mut self, from: StackId, id: DvipaId, epoch: Epoch) {
        let owner = self.address_of(from);
        let dvipa = self.dvipa(id);
        if !dvipa.claim.as_ref().is_some_and(|claim| claim.epoch == epoch && claim.owner == owner) {
            return;
        }
        let address = dvipa.address;
        if dvipa.standing.collects() {
            self.hand_over(id, from);
            self.dvipa_mut(id).standing = Standing::Yielding;
            self.reexamine(id);
        }
        self.tell(from, &Message::Released { dvipa: address, epoch });
    }

    /// F10.308: everything that the old owner routed has been told. One that gives way to a claim
    /// which it had not known (R12) may have turned the network's route to itself and withdraws it
    /// now: the route is set again.
    pub(crate) fn hear_released(&mut self, from: StackId, id: DvipaId, epoch: Epoch) {
        if self.dvipa(id).epoch == epoch
            && let Some(gathering) = self.gathering(id)
            && gathering.release.is_some_and(|release| release.from == from && release.asked)
        {
            let missing = gathering.missing.iter().copied().collect();
            self.activate(id, missing);
        } else {
            self.turn_route(id);
        }
    }

    /// F10.306: NEWCONN for every connection that this stack routes.
    pub(crate) fn hand_over(&mut self, id: DvipaId, to: StackId) {
        let messages: Vec<Message> = self
            .crt
            .iter()
            .filter(|(flow, _)| flow.dvipa == id)
            .map(|(flow, entry)| Message::NewConn {
                connection: self.connection(&flow),
                instance: entry.instance,
                target: self.address_of(entry.target),
                half_open: entry.is_half_open(),
                age: None,
            })
            .collect();
        let (dvipa, to_name) = (self.dvipa(id).address, self.label_of(to));
        self.event(Event::HandedOver { dvipa, to: to_name, connections: messages.len() });
        messages.iter().for_each(|message| self.tell(to, message));
    }

    /// MOVEable WHENIDLE: tells a waiting primary once no connection is left here.
    pub(crate) fn offer_idle(&mut self) {
        for id in self.dvipa_ids() {
            let dvipa = self.dvipa(id);
            let (address, epoch) = (dvipa.address, dvipa.epoch);
            if !matches!(dvipa.standing, Standing::Active) || epoch.rank == PRIMARY {
                continue;
            }
            let waits = dvipa
                .definitions
                .iter()
                .find(|(_, definition)| definition.rank == PRIMARY && definition.moveable == Moveable::WhenIdle);
            let Some((primary, _)) = waits else { continue };
            let primary = *primary;
            let idle = dvipa.dpt.connections() == 0 && self.is_live(primary);
            if idle && !dvipa.idle_told {
                self.tell(primary, &Message::Idle { dvipa: address, epoch });
            }
            self.dvipa_mut(id).idle_told = idle;
        }
    }

    /// MOVEable WHENIDLE: the stack that routes holds nothing any more.
    pub(crate) fn hear_idle(&mut self, from: StackId, id: DvipaId, epoch: Epoch) {
        let owner = self.address_of(from);
        let current = |claim: &crate::ownership::Claim| {
            claim.owner == owner && claim.epoch == epoch && claim.phase == Phase::Active
        };
        let primary = self.dvipa(id).definitions.get(&self.me).is_some_and(|definition| definition.rank == PRIMARY);
        if primary && self.best(id) == Some(self.me) && self.dvipa(id).claim.as_ref().is_some_and(current) {
            self.take_back(id, from);
        }
    }

    /// Begins an orderly stop: others take over what this stack owns, without a gap.
    /// [`Action::Left`] follows when it is safe to exit, at the latest after three times
    /// [`rebuild_wait`](crate::Timing::rebuild_wait).
    pub fn leave(&mut self, now: Instant) {
        if self.outside {
            // Nobody waits for what is here.
            self.actions.push_back(Action::Left);
        } else if self.leaving.is_some() {
            // It was about to leave the group, and does not stay after that.
            self.staying = false;
        } else {
            self.hand_over_all(now);
        }
    }

    pub(crate) fn hand_over_all(&mut self, now: Instant) {
        self.advance(now);
        self.leaving = Some(Leaving { until: now + 3 * self.config.timing.rebuild_wait, done: false });
        self.tell_all(&Message::Leaving);
        self.check_left();
    }

    /// Whether the orderly stop is complete: nobody is left to take over what is still owned here.
    pub(crate) fn check_left(&mut self) {
        let now = self.now;
        let Some(leaving) = self.leaving.as_ref().filter(|leaving| !leaving.done) else { return };
        let owned: Vec<DvipaId> = self.dvipa_ids().filter(|id| self.dvipa(*id).standing.collects()).collect();
        let wanted = owned.iter().any(|id| self.best(*id).is_some());
        if wanted && now < leaving.until {
            return;
        }
        let withdrawn: Vec<IpAddr> = owned
            .into_iter()
            .filter_map(|id| {
                let dvipa = self.dvipa_mut(id);
                core::mem::take(&mut dvipa.advertised).then_some(dvipa.address)
            })
            .collect();
        self.actions.extend(withdrawn.into_iter().map(|address| Action::Withdraw { address }));
        self.flush();
        if let Some(leaving) = &mut self.leaving {
            leaving.done = true;
        }
        // Not here: whoever called may be looking at tables that go then.
        self.departing = self.staying;
        if !self.departing {
            self.actions.push_back(Action::Left);
        }
    }

    /// When something here is over.
    pub(crate) fn takeback_deadline(&self) -> Option<Instant> {
        let dvipas = self.dvipas.iter().filter_map(|dvipa| match &dvipa.standing {
            Standing::Gathering(_) if self.waits_to_route(dvipa) => Some(self.dazed_until),
            Standing::Gathering(gathering) => Some(gathering.until),
            Standing::Former { until } => Some(*until),
            Standing::Standby | Standing::Active | Standing::Yielding => None,
        });
        let leaving = self.leaving.as_ref().filter(|leaving| !leaving.done).map(|leaving| leaving.until);
        let beliefs = self.dvipas.iter().filter_map(|dvipa| dvipa.believed_until);
        dvipas.chain(leaving).chain(beliefs).min()
    }

    /// Waits that are over.
    pub(crate) fn end_waits(&mut self) {
        let now = self.now;
        for id in self.dvipa_ids() {
            self.gathered(id);
            if self.dvipa_mut(id).believed_until.take_if(|until| *until <= now).is_some() {
                self.consider(id);
            }
        }
        self.retire();
        self.offer_idle();
        self.sweep_created();
        self.check_left();
    }
}
