//! The router's side: DPT and CRT kept by what targets report (Figure 8).

use std::net::{IpAddr, SocketAddr};

use crate::audit::Routed;
use crate::crt::{Entry, Evidence, Flow};
use crate::dvipa::DvipaId;
use crate::event::Event;
use crate::guard::Guard;
use crate::hold::Holder;
use crate::membership::StackId;
use crate::ownership::{Epoch, Standing};
use crate::vipa::Vipa;
use crate::wire::message::{Connection, Message};

/// An entry younger than this many seconds, made for a SYN, survives a report that does not name it:
/// the SYN may have been under way when the report was written.
const YOUNG: u16 = 3;

impl Vipa {
    /// A connection as this stack's tables name it, if it is one of a known DVIPA.
    pub(crate) fn flow(&self, connection: &Connection) -> Option<Flow> {
        let Connection { local, remote } = connection;
        let dvipa = *self.by_address.get(&local.ip())?;
        Some(Flow { remote: remote.ip(), remote_port: remote.port(), dvipa, port: local.port() })
    }

    /// A connection as all stacks name it.
    pub(crate) fn connection(&self, flow: &Flow) -> Connection {
        Connection {
            local: SocketAddr::new(self.dvipa(flow.dvipa).address, flow.port),
            remote: SocketAddr::new(flow.remote, flow.remote_port),
        }
    }

    /// The round of a target's report that now counts.
    pub(crate) fn mark(&self, id: DvipaId, target: StackId) -> u8 {
        self.dvipa(id).routed.get(&target).map_or(0, |routed| routed.mark)
    }

    /// A target's report begins: what it names again carries the new mark.
    pub(crate) fn next_mark(&mut self, id: DvipaId, target: StackId) -> u8 {
        self.dvipa_mut(id).routed.entry(target).or_default().next_mark()
    }

    /// Enters a connection into the CRT; the DPT's counts follow (I21). `false` if there is no room.
    pub(crate) fn enter(&mut self, flow: Flow, entry: Entry) -> bool {
        let crowded = self.crt.crowded() && (entry.is_half_open() || self.crt.is_full());
        if self.crt.is_full() && !self.guards(Guard::HalfOpen) {
            let any = self.crt.iter().next().map(|(flow, _)| flow);
            any.into_iter().for_each(|flow| self.take_out(&flow));
        } else if crowded
            && self.crt.get(&flow).is_none()
            && let Some((flow, entry)) = self.crt.evict()
        {
            let now = self.now;
            self.dvipa_mut(flow.dvipa).left(now, &flow, &entry);
            self.counters.evicted += 1;
        }
        let Ok(before) = self.crt.insert(self.now, flow, entry) else {
            self.counters.refused += 1;
            return false;
        };
        let now = self.now;
        let dvipa = self.dvipa_mut(flow.dvipa);
        // One that is entered again has a connection all the time.
        dvipa.entered(&flow, &entry);
        if let Some(before) = before {
            dvipa.left(now, &flow, &before);
        }
        true
    }

    /// R5: the entry of a connection whose client has gone on after its SYN.
    pub(crate) fn went_on(&mut self, flow: &Flow) -> Option<Entry> {
        let (entry, just_now) = self.crt.established(flow)?;
        if just_now {
            self.dvipa_mut(flow.dvipa).went_on(&entry);
        }
        Some(entry)
    }

    /// Takes a connection out of the CRT.
    pub(crate) fn take_out(&mut self, flow: &Flow) {
        let now = self.now;
        if let Some(entry) = self.crt.remove(flow) {
            self.dvipa_mut(flow.dvipa).left(now, flow, &entry);
        }
    }

    /// Half-open entries whose time is over (R5). Whether half-open or not by then, the target is
    /// asked: one that waits for the client's ACK still has its connection entered again, and one
    /// that the SYN never reached has the entry removed, if only the client believed in it (I9).
    pub(crate) fn expire_half_open(&mut self) {
        while let Some((flow, entry)) = self.crt.expire(self.now) {
            if entry.is_half_open() {
                let now = self.now;
                self.dvipa_mut(flow.dvipa).left(now, &flow, &entry);
                self.counters.expired += 1;
            }
            let message = Message::Ask { connection: self.connection(&flow) };
            match self.local.get(&flow) {
                _ if entry.target != self.me => self.tell(entry.target, &message),
                Some(_) => self.enter_local(flow),
                None => self.take_out(&flow),
            }
        }
    }

    /// Enters a connection of this stack itself, if it is one and this stack keeps the DVIPA's tables.
    pub(crate) fn enter_local(&mut self, flow: Flow) {
        if let Some(held) = self.local.get(&flow)
            && self.dvipa(flow.dvipa).standing.collects()
        {
            self.enter_held(flow, held.instance, self.me);
        }
    }

    /// Enters a connection by its holder's own word.
    fn enter_held(&mut self, flow: Flow, instance: u32, holder: StackId) {
        let mark = self.mark(flow.dvipa, holder);
        self.enter(flow, Entry::new(self.now, instance, holder, mark, Evidence::Holder));
    }

    /// R6: everything that pointed to a dead stack goes. Returns the number of connections.
    pub(crate) fn purge(&mut self, stack: StackId) -> usize {
        for id in self.dvipa_ids() {
            self.clear_target(id, stack);
            self.dvipa_mut(id).leases.free(stack);
        }
        self.remove_where(|_, entry| entry.target == stack)
    }

    /// The complete report of a target is in: entries that it did not name have ended (I9, I13).
    pub(crate) fn sweep(&mut self, id: DvipaId, target: StackId) {
        if !self.guards(Guard::Sweep) || self.dvipa(id).routed.get(&target).is_none_or(Routed::is_confirmed) {
            return;
        }
        let (now, mark) = (self.now, self.mark(id, target));
        self.remove_where(|flow, entry| {
            let stale = match entry.evidence {
                Evidence::HalfOpen => false,
                Evidence::Client => entry.age(now) >= YOUNG,
                Evidence::Holder | Evidence::Renewed => true,
            };
            flow.dvipa == id && entry.target == target && entry.mark != mark && stale
        });
    }

    pub(crate) fn remove_where(&mut self, remove: impl Fn(&Flow, &Entry) -> bool) -> usize {
        let Vipa { crt, dvipas, local, now, .. } = self;
        let mut removed = 0;
        let mut own = Vec::new();
        crt.retain(|flow, entry| {
            let gone = remove(flow, entry);
            if gone {
                removed += 1;
                own.extend(local.contains_key(flow).then_some(*flow));
                if let Some(dvipa) = dvipas.get_mut(usize::from(flow.dvipa.0)) {
                    dvipa.left(*now, flow, entry);
                }
            }
            !gone
        });
        own.into_iter().for_each(|flow| self.enter_local(flow));
        removed
    }

    /// A target is not ready on any port of the DVIPA any more, as far as is known.
    fn clear_target(&mut self, id: DvipaId, stack: StackId) {
        let dvipa = self.dvipa_mut(id);
        let (address, rows) = (dvipa.address, dvipa.dpt.rows());
        dvipa.dpt.clear_ready(stack);
        for (port, _, _) in rows.into_iter().filter(|(_, who, row)| *who == stack && row.ready > 0) {
            let (server, stack) = (SocketAddr::new(address, port), self.label_of(stack));
            self.event(Event::TargetGone { server, stack });
        }
    }

    /// F8.166: so many applications of a target listen on the port now.
    pub(crate) fn set_ready(&mut self, id: DvipaId, port: u16, stack: StackId, listeners: u16) {
        let dvipa = self.dvipa_mut(id);
        let was = dvipa.dpt.is_ready(port, stack);
        dvipa.dpt.set_ready(port, stack, listeners);
        let (server, stack) = (SocketAddr::new(dvipa.address, port), self.label_of(stack));
        match (was, listeners > 0) {
            (false, true) => self.event(Event::TargetReady { server, stack }),
            (true, false) => self.event(Event::TargetGone { server, stack }),
            _ => {}
        }
    }

    /// SRVSTAT.
    pub(crate) fn hear_srvstat(&mut self, from: StackId, server: SocketAddr, listeners: u16) {
        let Some(id) = self.by_address.get(&server.ip()).copied() else { return };
        let (xcf, port) = (self.address_of(from), server.port());
        let dvipa = self.dvipa(id);
        let candidate =
            dvipa.distribution().is_some_and(|list| list.targets.contains(xcf) && list.ports.contains(port));
        if candidate && dvipa.standing.collects() {
            self.set_ready(id, port, from, listeners);
        }
    }

    /// A target's complete report begins.
    pub(crate) fn report_begun(&mut self, from: StackId, id: DvipaId, epoch: Epoch) {
        let dvipa = self.dvipa_mut(id);
        if dvipa.epoch == epoch && dvipa.standing.collects() {
            // The report that follows says almost always the same again.
            dvipa.dpt.begin_report(from);
            self.next_mark(id, from);
        }
    }

    /// NEWCONN (F8.164): from the stack that holds the connection, or from a router that hands
    /// over what it knows (F10.308).
    pub(crate) fn hear_newconn(
        &mut self,
        from: StackId,
        connection: Connection,
        instance: u32,
        target: IpAddr,
        half_open: bool,
        age: Option<u32>,
    ) {
        let Some(flow) = self.flow(&connection) else { return };
        if !self.dvipa(flow.dvipa).standing.collects() {
            return;
        }
        let Some(target) = self.stack_of(target) else { return };
        // Who hands over says so of itself too, if a SYN was sent its way.
        if target == from && !half_open {
            self.holder_says(flow, instance, target, age);
        } else {
            self.router_says(flow, instance, target, half_open);
        }
    }

    /// The holder's own word counts more than any entry. If another stack has said the same, either
    /// its TERMCONN is under way, or this NEWCONN is older than it looks: the other one's answer
    /// settles it.
    fn holder_says(&mut self, flow: Flow, instance: u32, holder: StackId, age: Option<u32>) {
        let answer = self.answer_in(&flow, holder, instance, age);
        if let Some(own) = self.local.get(&flow).copied() {
            let own = Holder::own(self.me, own);
            return match answer {
                None => self.question(flow, holder, None),
                Some((other, _)) => self.settle_rivals(flow, own, other),
            };
        }
        if let Some((holder, Some(rival))) = answer {
            return self.settle_rivals(flow, holder, rival);
        }
        let before = self.crt.get(&flow).copied();
        self.enter_held(flow, instance, holder);
        match before.filter(|before| before.target != holder && !before.is_half_open()) {
            Some(before) => self.question(flow, before.target, answer.map(|(holder, _)| holder)),
            None => self.answered(flow, holder),
        }
    }

    /// I7: two stacks hold a connection between the same ends. If both are established, the client
    /// has forgotten the earlier one. If one is not, it may be of a SYN that was sent to both: the
    /// client has answered the other. If it is not, what the client sends next goes there: it either
    /// completes the handshake or puts an end to it.
    fn settle_rivals(&mut self, flow: Flow, one: Holder, other: Holder) {
        let other_counts = match (one.since, other.since) {
            (Some(_), None) => one.instance != other.instance,
            (None, Some(_)) => one.instance == other.instance,
            _ => one.is_older(&other),
        };
        let (loser, holder) = if other_counts { (one, other) } else { (other, one) };
        if loser.is_older(&holder) {
            if loser.stack == self.me {
                self.forget(&flow, loser.instance);
            } else {
                let message = Message::Forget { connection: self.connection(&flow), instance: loser.instance };
                self.tell(loser.stack, &message);
            }
        }
        self.enter_held(flow, holder.instance, holder.stack);
        self.answered(flow, holder.stack);
    }

    /// A former router's word counts for what nobody else can say: connections whose handshake is
    /// under way (R3, R17), and those of a stack that is silent. Others report for themselves.
    fn router_says(&mut self, flow: Flow, instance: u32, target: StackId, half_open: bool) {
        let buried = match &self.dvipa(flow.dvipa).standing {
            Standing::Gathering(gathering) => {
                gathering.buried(&(flow, instance, target)) && self.guards(Guard::Tombstone)
            }
            _ => false,
        };
        if buried || self.crt.get(&flow).is_some() || !(self.is_silent(target) || half_open && self.is_live(target)) {
            return;
        }
        let mark = self.mark(flow.dvipa, target);
        let evidence = if half_open { Evidence::HalfOpen } else { Evidence::Client };
        if self.enter(flow, Entry::new(self.now, instance, target, mark, evidence)) {
            self.answered(flow, target);
        }
    }

    /// TERMCONN (F8.162): ended at `holder`. One that names an earlier connection, or comes from a
    /// stack that the entry does not point to, changes nothing (I11). If the next one's SYN has gone to
    /// `holder` already, it goes there again (R3, I15).
    pub(crate) fn connection_ended(&mut self, holder: StackId, flow: Flow, instance: u32) {
        if let Standing::Gathering(gathering) = &mut self.dvipa_mut(flow.dvipa).standing {
            gathering.bury((flow, instance, holder));
        }
        let exact = self.guards(Guard::Instance);
        let ends = |entry: &Entry| entry.target == holder && (entry.instance == instance || !exact);
        if let Some(entry) = self.crt.get(&flow).copied().filter(ends) {
            self.take_out(&flow);
            if entry.evidence == Evidence::Renewed {
                self.enter(flow, Entry::new(self.now, instance, holder, entry.mark, Evidence::HalfOpen));
            }
            self.enter_local(flow);
            if !self.created.is_empty() {
                self.sweep_created();
            }
        }
    }

    /// DENY: the target does not hold the connection.
    pub(crate) fn hear_deny(&mut self, from: StackId, connection: Connection, instance: Option<u32>) {
        let Some(flow) = self.flow(&connection) else { return };
        let disproved = self.crt.get(&flow).is_some_and(|entry| {
            // A half-open entry may be younger than the segment that was denied.
            entry.target == from && instance.map_or(!entry.is_half_open(), |instance| instance == entry.instance)
        });
        if disproved {
            self.take_out(&flow);
            self.enter_local(flow);
        }
        self.denied(from, flow);
    }
}

#[cfg(test)]
mod tests;
