//! The target's side: SRVSTAT, NEWCONN and TERMCONN to whoever routes (Figure 6).

use std::net::{IpAddr, SocketAddr};

use stack::Instant;

use crate::action::{Action, Broken};
use crate::created::Creation;
use crate::crt::Flow;
use crate::definitions::Ports;
use crate::dvipa::DvipaId;
use crate::membership::StackId;
use crate::ownership::{Epoch, Phase};
use crate::vipa::Vipa;
use crate::wire::message::{Connection, Message};

/// SYNs remembered whose router has entered the connection already. If more come in between two
/// rounds of events, the oldest knowledge is dropped: a NEWCONN more is sent, nothing is wrong.
const ENTERED: usize = 4096;

impl Vipa {
    /// An application listens on `port`, at one address or at every address (F6.128).
    pub fn listening(&mut self, now: Instant, address: Option<IpAddr>, port: u16) {
        self.advance(now);
        let count = self.listeners.entry((port, address)).or_default();
        *count = count.saturating_add(1);
        self.listeners_changed(address, port);
    }

    /// An application no longer listens there (F6.130, R7).
    pub fn not_listening(&mut self, now: Instant, address: Option<IpAddr>, port: u16) {
        self.advance(now);
        if let Some(count) = self.listeners.get_mut(&(port, address)) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.listeners.remove(&(port, address));
                self.efficiencies.remove(&(port, address));
            }
        }
        self.listeners_changed(address, port);
        // A DVIPA that a bind has made goes with the last socket bound to it.
        if let Some(address) = address.filter(|address| self.created.contains_key(address))
            && !self.listeners.keys().any(|(_, bound)| *bound == Some(address))
        {
            self.delete(now, address, Creation::Bind);
        }
    }

    pub(crate) fn listeners_changed(&mut self, address: Option<IpAddr>, port: u16) {
        for id in self.dvipa_ids() {
            let dvipa = self.dvipa(id);
            if address.is_some_and(|address| address != dvipa.address) || !self.serves(id, port) {
                continue;
            }
            let (server, listeners) = (SocketAddr::new(dvipa.address, port), self.ready(id, port));
            if self.dvipa(id).standing.collects() {
                self.set_ready(id, port, self.me, listeners);
            }
            for (router, _) in self.routers(id) {
                self.tell(router, &Message::SrvStat { server, listeners });
            }
        }
    }

    /// Whether this stack is a candidate target for the port.
    pub(crate) fn serves(&self, id: DvipaId, port: u16) -> bool {
        let distribution = self.dvipa(id).distribution();
        distribution.is_some_and(|list| list.targets.contains(self.config.xcf) && list.ports.contains(port))
    }

    /// How many applications of this stack are ready for connections to the DVIPA and port. Where
    /// every port is distributed, only those count that are bound to the DVIPA itself (D3).
    pub(crate) fn ready(&self, id: DvipaId, port: u16) -> u16 {
        let dvipa = self.dvipa(id);
        let count = |address| match self.quiesced.covers(port, address) {
            true => 0,
            false => self.listeners.get(&(port, address)).copied().unwrap_or(0),
        };
        let bound = count(Some(dvipa.address));
        match dvipa.distribution().map(|distribution| &distribution.ports) {
            Some(Ports::List(_)) => bound.saturating_add(count(None)),
            Some(Ports::Every) | None => bound,
        }
    }

    /// Every port on which this stack is ready for connections to the DVIPA.
    pub(crate) fn listeners_on(&self, id: DvipaId) -> Vec<(u16, u16)> {
        let mut ports: Vec<u16> = self.listeners.keys().map(|(port, _)| *port).collect();
        // The keys are sorted by port.
        ports.dedup();
        let ready = ports.into_iter().filter(|port| self.serves(id, *port)).map(|port| (port, self.ready(id, port)));
        ready.filter(|(_, listeners)| *listeners > 0).collect()
    }

    /// Whether an application would take a connection to the address and port.
    pub(crate) fn listens(&self, address: IpAddr, port: u16) -> bool {
        self.listeners.contains_key(&(port, Some(address))) || self.listeners.contains_key(&(port, None))
    }

    /// A connection exists on this stack, from SYN_RCVD or SYN_SENT on. `instance` is the client's
    /// initial sequence number (F6.133, F8.164).
    pub fn opened(&mut self, now: Instant, local: SocketAddr, remote: SocketAddr, instance: u32, passive: bool) {
        self.advance(now);
        if !passive {
            self.client_opened(local, remote);
        }
        let Some(flow) = self.flow(&Connection { local, remote }) else { return };
        let id = flow.dvipa;
        self.affinity_begins(&flow);
        let before = self.local.insert(flow, Held { instance, established: Instant::FAR_FUTURE });
        let dvipa = self.dvipa_mut(id);
        dvipa.own.add(&flow, instance);
        match before {
            Some(before) => {
                dvipa.own.subtract(&flow, before.instance);
                self.affinity_ends(&flow);
            }
            None => {
                dvipa.held += 1;
                self.update_home(id);
            }
        }
        let entered = self.entered.remove(&flow).filter(|(known, _)| passive && *known == instance);
        self.enter_local(flow);
        if before.is_none() && passive {
            self.explain_staying(&flow, instance);
        }
        let connection = Connection { local, remote };
        for (router, epoch) in self.routers(id) {
            // That router sent the SYN here and has its entry.
            if entered.is_some_and(|(_, by)| by == epoch) {
                continue;
            }
            let target = self.config.xcf;
            self.tell(router, &Message::NewConn { connection, instance, target, half_open: false, age: None });
        }
    }

    /// The handshake of a connection of this stack is complete.
    pub fn established(&mut self, now: Instant, local: SocketAddr, remote: SocketAddr) {
        let flow = self.flow(&Connection { local, remote });
        if let Some(held) = flow.and_then(|flow| self.local.get_mut(&flow)) {
            held.established = now;
        }
        if let Some(flow) = flow {
            self.request_completed(&flow);
        }
    }

    /// Nothing is left of a connection, TIME_WAIT included (F8.162).
    pub fn ended(&mut self, now: Instant, local: SocketAddr, remote: SocketAddr, instance: u32) {
        self.advance(now);
        self.client_ended(local, remote);
        let connection = Connection { local, remote };
        let Some(flow) = self.flow(&connection) else { return };
        let id = flow.dvipa;
        if self.local.get(&flow).is_some_and(|held| held.instance == instance) {
            self.local.remove(&flow);
            self.pending.remove(&flow);
            self.affinity_ends(&flow);
            let dvipa = self.dvipa_mut(id);
            dvipa.held = dvipa.held.saturating_sub(1);
            dvipa.own.subtract(&flow, instance);
            self.update_home(id);
            if !self.created.is_empty() {
                self.sweep_created();
            }
        }
        self.connection_ended(self.me, flow, instance);
        for (router, _) in self.routers(id) {
            self.tell(router, &Message::TermConn { connection, instance });
        }
    }

    /// A forwarded SYN whose router has the connection in its CRT already: no NEWCONN is needed,
    /// unless the router was told otherwise in between.
    pub(crate) fn remember_entered(&mut self, flow: Flow, instance: u32, epoch: Epoch) {
        if self.entered.get(&flow).is_some_and(|(_, by)| *by == Epoch::NONE) {
            self.entered.remove(&flow);
        } else {
            self.remember(flow, instance, epoch);
        }
    }

    /// A segment of a connection that this stack does not hold: DENY to the router that sent it.
    /// If its SYN was overtaken by it and comes now, the router has to be told.
    pub(crate) fn refuse(&mut self, to: IpAddr, flow: Flow, instance: Option<u32>) {
        self.remember(flow, 0, Epoch::NONE);
        self.deny(to, self.connection(&flow), instance);
    }

    fn remember(&mut self, flow: Flow, instance: u32, epoch: Epoch) {
        if self.entered.len() >= ENTERED {
            self.entered.clear();
        }
        self.entered.insert(flow, (instance, epoch));
    }

    /// DENY: this stack does not hold the connection.
    pub(crate) fn deny(&mut self, to: IpAddr, connection: Connection, instance: Option<u32>) {
        if let Some(stack) = self.stack_of(to) {
            self.tell(stack, &Message::Deny { connection, instance });
        }
    }

    /// Whom this stack reports to, other than itself: the owner, and while that takes back, the
    /// stack that still routes (F9.204).
    fn routers(&self, id: DvipaId) -> impl Iterator<Item = (StackId, Epoch)> + use<> {
        let dvipa = self.dvipa(id);
        let claim = dvipa.claim.as_ref().filter(|claim| claim.phase != Phase::Released);
        let owner = claim.and_then(|claim| Some((self.stack_of(claim.owner)?, claim.epoch)));
        let me = self.me;
        [owner, dvipa.acting].into_iter().flatten().filter(move |(stack, _)| *stack != me)
    }

    /// The connections of this stack on the DVIPA.
    pub(crate) fn held_on(&self, id: DvipaId) -> impl Iterator<Item = (Flow, Held)> {
        let any = self.dvipa(id).held > 0;
        let all = any.then(|| self.local.iter()).into_iter().flatten();
        all.filter(move |(flow, _)| flow.dvipa == id).map(|(flow, held)| (flow, *held))
    }

    /// F6.130, F6.133, F9.202, F10.302: all that this stack serves of the DVIPA, to a router.
    pub(crate) fn report(&mut self, id: DvipaId, router: StackId) {
        let Some((_, epoch)) = self.routers(id).find(|(stack, _)| *stack == router) else { return };
        let dvipa = self.dvipa(id).address;
        let mut messages = vec![Message::ReportBegin { dvipa, epoch }];
        messages.extend(
            self.listeners_on(id)
                .into_iter()
                .map(|(port, listeners)| Message::SrvStat { server: SocketAddr::new(dvipa, port), listeners }),
        );
        messages.extend(self.held_on(id).map(|(flow, held)| self.newconn(&flow, held)));
        messages.extend(self.affinity_messages(id, epoch));
        let blocks: Vec<u16> = self.dvipa(id).leases.own().collect();
        if !blocks.is_empty() {
            messages.push(Message::Leased { dvipa, epoch, blocks });
        }
        messages.push(Message::ReportEnd { dvipa, epoch });
        messages.iter().for_each(|message| self.tell(router, message));
        self.want_block(id);
    }

    /// Whether this stack reports to `router`, as the owner with this epoch.
    pub(crate) fn reports_to(&self, id: DvipaId, router: StackId, epoch: Epoch) -> bool {
        self.routers(id).any(|known| known == (router, epoch))
    }

    /// All reports for one router, at the start of a session with it.
    pub(crate) fn report_all(&mut self, router: StackId) {
        for id in self.dvipa_ids() {
            self.report(id, router);
        }
    }

    /// F5.102: the complete VIPA list of this stack, and what it knows of others' claims.
    pub(crate) fn send_list(&mut self, to: StackId) {
        let mut messages = vec![Message::ListBegin];
        for dvipa in &self.dvipas {
            let address = dvipa.address;
            if let Some(definition) = dvipa.definitions.get(&self.me).cloned() {
                messages.push(Message::Definition { dvipa: address, definition });
            }
            if let Some(primary) = dvipa.primary.clone() {
                messages.push(Message::Primary { dvipa: address, primary });
            }
            if let Some(claim) = dvipa.claim.clone() {
                messages.push(Message::Claim { dvipa: address, claim });
            }
        }
        messages.push(Message::ListEnd);
        messages.iter().for_each(|message| self.tell(to, message));
    }

    /// NEWCONN for a connection of this stack.
    fn newconn(&self, flow: &Flow, held: Held) -> Message {
        let (connection, target) = (self.connection(flow), self.config.xcf);
        let age = held.since().and_then(|since| u32::try_from(self.now.since(since).as_millis()).ok());
        Message::NewConn { connection, instance: held.instance, target, half_open: false, age }
    }

    /// An answer to ASK: NEWCONN or DENY (R1).
    pub(crate) fn answer(&mut self, from: StackId, connection: Connection) {
        let held = self.flow(&connection).and_then(|flow| Some((flow, *self.local.get(&flow)?)));
        let message = match held {
            Some((flow, held)) => self.newconn(&flow, held),
            None => Message::Deny { connection, instance: None },
        };
        self.tell(from, &message);
    }

    /// I7: the client has begun another connection between the same ends since, with another stack.
    pub(crate) fn forget(&mut self, flow: &Flow, instance: u32) {
        if self.local.get(flow).is_some_and(|held| held.instance == instance) {
            let Connection { local, remote } = self.connection(flow);
            self.actions.push_back(Action::Break(Broken::One(local, remote)));
        }
    }
}

/// A connection of this stack on a DVIPA.
#[derive(Clone, Copy, Debug)]
#[repr(Rust, packed(2))]
pub(crate) struct Held {
    /// The client's initial sequence number.
    pub instance: u32,
    /// `FAR_FUTURE` while its handshake is under way: there may be a million.
    established: Instant,
}

impl Held {
    /// When it was established, if it is.
    pub fn since(&self) -> Option<Instant> {
        Some(self.established).filter(|at| *at != Instant::FAR_FUTURE)
    }
}
