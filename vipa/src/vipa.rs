//! The VIPA distribution function of one stack: its state, what comes in, what goes out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};
use stack::Instant;

use crate::action::Action;
use crate::config::Config;
use crate::created::Own;
use crate::crt::{Crt, Flow};
use crate::dvipa::{Dvipa, DvipaId};
use crate::event::Event;
use crate::explain::Decisions;
use crate::flows::Flows;
use crate::fragments::Fragments;
use crate::hold::Hold;
use crate::membership::{Peer, StackId};
use crate::ownership::Epoch;
use crate::profile::Quiesced;
use crate::report::Held;
use crate::session::{Arrival, Session};
use crate::status::Counters;
use crate::takeback::Leaving;
use crate::wire::control::{Header, Item, items};
use crate::wire::message::Message;
use crate::workload::Workload;

/// The VIPA distribution function of one stack.
///
/// Give it packets with [`route`](Vipa::route), control datagrams with [`receive`](Vipa::receive),
/// what the stack's listeners and connections do, and the time. After any call, take actions with
/// [`poll_action`](Vipa::poll_action) until there is none; then
/// [`next_deadline`](Vipa::next_deadline) says when to call
/// [`handle_timeout`](Vipa::handle_timeout).
#[derive(Debug)]
pub struct Vipa {
    pub(crate) config: Config,
    /// XCF addresses of all stacks, sorted; a [`StackId`] is an index.
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) me: StackId,
    /// All stacks but this one.
    pub(crate) peers: BTreeMap<StackId, Peer>,
    pub(crate) dvipas: Vec<Dvipa>,
    pub(crate) by_address: HashMap<IpAddr, DvipaId, FixedState>,
    pub(crate) crt: Crt,
    /// Connections of this stack itself on DVIPAs.
    pub(crate) local: Flows<Held>,
    /// Connections that clients here have opened to a DVIPA, and that this stack serves itself (OPTLOCAL).
    pub(crate) staying_here: HashSet<Flow, FixedState>,
    /// Applications of this stack that listen, by port and address.
    pub(crate) listeners: BTreeMap<(u16, Option<IpAddr>), u16>,
    /// SYNs that came here from a router which has entered them.
    pub(crate) entered: HashMap<Flow, (u32, Epoch), FixedState>,
    pub(crate) hold: Hold,
    pub(crate) fragments: Fragments,
    pub(crate) actions: VecDeque<Action>,
    pub(crate) counters: Counters,
    pub(crate) now: Instant,
    pub(crate) started: Instant,
    /// The search for the others is over: this stack may claim.
    pub(crate) discovered: bool,
    /// This stack was not run for a while; until then it does not trust what it knows of the others.
    pub(crate) dazed_until: Instant,
    /// Claims, SYNs and routes wait for that; so they do again for each peer that is back before it.
    pub(crate) waits_dazed: bool,
    pub(crate) leaving: Option<Leaving>,
    /// It stays when it has left the group.
    pub(crate) staying: bool,
    /// It has handed over everything, and leaves the group at the next opportunity.
    pub(crate) departing: bool,
    /// Not in the group.
    pub(crate) outside: bool,
    /// It was in the group before (VARY SYSPLEX,JOINGROUP).
    pub(crate) rejoined: bool,
    /// DVIPAs that applications here have made (D4).
    pub(crate) created: BTreeMap<IpAddr, Own>,
    pub(crate) deactivated: BTreeSet<IpAddr>,
    /// There was a DVIPA more than the tables have room for.
    crowded: bool,
    pub(crate) quiesced: Quiesced,
    /// What this stack's workload manager says.
    pub(crate) workload: Workload,
    /// Whether that of any stack gives weights.
    pub(crate) weighs: bool,
    pub(crate) next_audit: Instant,
    /// Number of the present interval in which answers are measured; never 0.
    pub(crate) interval: u16,
    pub(crate) next_measure: Instant,
    /// Requests that came from a router and are not established yet, with their intervals.
    pub(crate) pending: HashMap<Flow, u16, FixedState>,
    /// See [`serving`](Vipa::serving).
    pub(crate) efficiencies: BTreeMap<(u16, Option<IpAddr>), u8>,
    pub(crate) decisions: Decisions,
    pub(crate) seed: u64,
    pub(crate) exit: Option<IpAddr>,
    deadline: Option<Instant>,
    deadline_stale: bool,
}

impl Vipa {
    /// Starts a life of the stack's VIPA distribution function. `seed` makes hashes unpredictable
    /// for clients; the same seed and the same calls give the same actions (I25).
    pub fn new(config: Config, seed: u64, now: Instant) -> Self {
        Vipa::begin(config, seed, now, false)
    }

    /// As [`new`](Vipa::new); `rejoined` if a former life of this stack was in the group.
    pub(crate) fn begin(config: Config, seed: u64, now: Instant, rejoined: bool) -> Self {
        let mut addresses = config.peers.clone();
        addresses.push(config.xcf);
        addresses.sort_unstable();
        addresses.dedup();
        // A sysplex has 32 systems; an index of 16 bits is never short.
        addresses.truncate(usize::from(u16::MAX));
        let me = addresses.binary_search(&config.xcf).unwrap_or_default();
        let me = StackId(me as u16);
        let session = || {
            let (limits, timing) = (&config.limits, &config.timing);
            Session::new(config.incarnation, config.mtu, limits.session_bytes, timing.resend).without(config.without)
        };
        let stacks = addresses.iter().enumerate().map(|(index, xcf)| (StackId(index as u16), *xcf));
        let others = stacks.filter(|(stack, _)| *stack != me);
        let peers: BTreeMap<_, _> = others.map(|(stack, xcf)| (stack, Peer::new(xcf, session(), now))).collect();
        let limits = &config.limits;
        let hasher = FixedState::with_seed(seed);
        let mut vipa = Vipa {
            crt: Crt::new(seed, limits.crt, limits.half_open, config.timing.half_open),
            by_address: HashMap::with_hasher(hasher.clone()),
            local: Flows::new(seed),
            pending: HashMap::with_hasher(hasher.clone()),
            staying_here: HashSet::with_hasher(hasher.clone()),
            entered: HashMap::with_hasher(hasher),
            listeners: BTreeMap::new(),
            hold: Hold::default(),
            fragments: Fragments::default(),
            actions: VecDeque::new(),
            counters: Counters::default(),
            dvipas: Vec::new(),
            discovered: peers.is_empty(),
            addresses,
            me,
            peers,
            now,
            started: now,
            dazed_until: now,
            waits_dazed: false,
            leaving: None,
            staying: false,
            departing: false,
            outside: !config.join && !rejoined,
            rejoined,
            created: BTreeMap::new(),
            deactivated: BTreeSet::new(),
            crowded: false,
            quiesced: Quiesced::default(),
            workload: Workload::default(),
            weighs: false,
            next_audit: now + config.timing.audit,
            interval: 1,
            next_measure: now + config.timing.measure,
            efficiencies: BTreeMap::new(),
            decisions: Decisions::new(config.limits.decisions),
            seed,
            exit: None,
            deadline: None,
            deadline_stale: true,
            config,
        };
        vipa.reprofile();
        vipa.reconsider();
        if vipa.discovered && !vipa.outside {
            vipa.event(Event::InGroup { restored: rejoined });
        }
        vipa
    }

    /// A control datagram from XCF. Afterwards poll actions.
    pub fn receive(&mut self, now: Instant, from: IpAddr, datagram: &[u8]) {
        self.advance(now);
        self.deadline_changed();
        self.counters.control_received += 1;
        self.counters.control_received_bytes += datagram.len() as u64;
        let Some(stack) = self.stack_of(from).filter(|stack| *stack != self.me) else {
            return self.count_unknown(from);
        };
        let Some((header, messages)) = Header::parse(datagram) else { return self.count_unknown(from) };
        if self.outside {
            return self.hear_outside(stack, &header, messages);
        }
        let hello = match items(messages).next() {
            Some(Item::Message(hello @ Message::Hello { .. })) => Some(hello),
            Some(Item::Message(Message::Refused { why })) => {
                let meant = self.peers.get(&stack).is_some_and(|peer| peer.session.is_for_us(&header));
                return if meant { self.hear_refused(from, why) } else { self.counters.stale += 1 };
            }
            _ => None,
        };
        if let Some(Message::Hello { name, .. }) = &hello
            && self.refuses(stack, &header, name)
        {
            return;
        }
        // R14: the next life of a peer ends the one before.
        if let Some(former) = self.peers.get(&stack).and_then(|peer| peer.announced)
            && hello.is_some()
            && header.sender.incarnation > former
        {
            self.gone(stack, former);
        }
        let Some(peer) = self.peers.get_mut(&stack) else { return };
        let arrival = peer.session.receive(now, &header, messages, hello.is_some());
        let agreement = peer.session.take_agreement();
        match arrival {
            Arrival::Stale => return self.counters.stale += 1,
            Arrival::Unagreed => {}
            Arrival::Taken | Arrival::Unsequenced | Arrival::Sequenced => peer.heard(now),
        }
        if let Some(hello) = hello {
            self.hear_hello(stack, hello);
        }
        if agreement {
            self.agreed(stack);
        }
        if arrival == Arrival::Unsequenced {
            self.read(stack, messages);
        }
        // What a message sets off may end the session, and with it what still waits in it.
        while let Some(body) = self.peers.get_mut(&stack).and_then(|peer| peer.session.take()) {
            self.read(stack, &body);
        }
    }

    /// The number of this life; [`join_group`](Vipa::join_group) begins another.
    pub fn incarnation(&self) -> u64 {
        self.config.incarnation
    }

    /// Counts a datagram that is of no known kind or version (D7).
    pub fn count_unknown(&mut self, _from: IpAddr) {
        self.counters.unknown += 1;
    }

    /// The host has seen a life of a peer end: its process is gone, or its port is closed.
    pub fn peer_gone(&mut self, now: Instant, xcf: IpAddr, incarnation: u64) {
        self.advance(now);
        self.deadline_changed();
        if let Some(stack) = self.stack_of(xcf) {
            self.gone(stack, incarnation);
        }
    }

    /// The next thing to do, in order.
    pub fn poll_action(&mut self) -> Option<Action> {
        if core::mem::take(&mut self.departing) {
            self.depart();
            self.event(Event::LeftGroup);
            if !self.staying {
                self.actions.push_back(Action::Left);
            }
        }
        if self.actions.is_empty() {
            self.flush();
        }
        let action = self.actions.pop_front();
        if let Some(Action::Send { datagram, .. }) = &action {
            self.counters.control_sent += 1;
            self.counters.control_sent_bytes += datagram.len() as u64;
        }
        if action.is_none() && core::mem::take(&mut self.deadline_stale) {
            self.deadline = self.compute_deadline();
        }
        action
    }

    /// The time is now `now`. Afterwards poll actions.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
        self.deadline_changed();
        if self.outside {
            return;
        }
        for peer in self.peers.values_mut() {
            for datagram in peer.session.handle_timeout(now) {
                self.actions.push_back(Action::Send { to: peer.xcf, datagram });
            }
        }
        self.watch_peers();
        self.end_waits();
        self.expire_half_open();
        self.expire_held();
        self.expire_fragments();
        self.come_to();
        self.audit();
        self.measure();
    }

    /// When [`handle_timeout`](Vipa::handle_timeout) wants to be called. Right once all actions
    /// have been polled.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadline
    }

    fn compute_deadline(&self) -> Option<Instant> {
        if self.outside {
            return None;
        }
        let sessions = self.peers.values().filter_map(|peer| peer.session.next_deadline());
        let others = [
            self.membership_deadline(),
            self.takeback_deadline(),
            self.crt.next_deadline(),
            self.hold.next_deadline(),
            self.fragments.next_deadline(),
            Some(self.next_audit),
            Some(self.next_measure),
        ];
        sessions.chain(others.into_iter().flatten()).min()
    }

    /// Something has got a deadline that may be earlier than all others.
    pub(crate) fn deadline_changed(&mut self) {
        self.deadline_stale = true;
    }

    /// Every call that brings the time comes by here first.
    pub(crate) fn advance(&mut self, now: Instant) {
        if now > self.now {
            self.forgive_stall(now);
            self.now = now;
        }
    }

    /// Turns what sessions have to say into actions.
    pub(crate) fn flush(&mut self) {
        let Config { name, process, linked, .. } = &self.config;
        let hello = || Message::Hello {
            name: name.clone(),
            process: *process,
            linked: *linked,
            leaving: self.leaving.is_some(),
        };
        if self.outside {
            return;
        }
        for peer in self.peers.values_mut() {
            while let Some(datagram) = peer.session.poll(self.now, hello) {
                self.actions.push_back(Action::Send { to: peer.xcf, datagram });
                self.deadline_stale = true;
            }
        }
    }

    /// The messages of one datagram.
    fn read(&mut self, from: StackId, messages: &[u8]) {
        self.deadline_changed();
        for item in items(messages) {
            match item {
                Item::Message(message) => self.hear(from, message),
                Item::Unknown => self.counters.unknown += 1,
                Item::Malformed => self.counters.malformed += 1,
            }
        }
    }

    /// F6.122, F8.160: what kind of message is it?
    fn hear(&mut self, from: StackId, message: Message) {
        match message {
            // Read before, with the session.
            Message::Hello { .. } => {}
            Message::Heartbeat { count, heard, claims, lives } => {
                self.hear_heartbeat(from, count, heard, lives);
                self.compare_claims(from, claims);
            }
            Message::ListBegin => {
                if let Some(peer) = self.peers.get_mut(&from) {
                    peer.draft.clear();
                }
            }
            // It counts once the list is complete.
            Message::Definition { dvipa, definition } => {
                let most = self.config.limits.dvipas;
                if let Some(peer) = self.peers.get_mut(&from).filter(|peer| peer.draft.len() < most) {
                    peer.draft.insert(dvipa, definition);
                }
            }
            Message::Primary { dvipa, primary } => {
                if let Some(id) = self.learn(dvipa) {
                    self.dvipa_mut(id).hear_primary(primary);
                }
            }
            Message::Claim { dvipa, claim } => {
                if let Some(id) = self.learn(dvipa) {
                    self.hear_claim(from, id, claim);
                }
            }
            Message::ListEnd => self.listed(from),
            Message::ReportBegin { dvipa, epoch } => self.about(dvipa, |vipa, id| vipa.report_begun(from, id, epoch)),
            Message::ReportEnd { dvipa, epoch } => self.about(dvipa, |vipa, id| vipa.report_ended(from, id, epoch)),
            Message::SrvStat { server, listeners } => self.hear_srvstat(from, server, listeners),
            Message::NewConn { connection, instance, target, half_open, age } => {
                self.hear_newconn(from, connection, instance, target, half_open, age);
            }
            Message::TermConn { connection, instance } => {
                if let Some(flow) = self.flow(&connection) {
                    self.connection_ended(from, flow, instance);
                }
            }
            Message::Ask { connection } => self.answer(from, connection),
            Message::Forget { connection, instance } => {
                if let Some(flow) = self.flow(&connection) {
                    self.forget(&flow, instance);
                }
            }
            Message::Deny { connection, instance } => self.hear_deny(from, connection, instance),
            Message::TakeBack { dvipa, epoch } => self.about(dvipa, |vipa, id| vipa.hear_takeback(from, id, epoch)),
            Message::Released { dvipa, epoch } => self.about(dvipa, |vipa, id| vipa.hear_released(from, id, epoch)),
            Message::Idle { dvipa, epoch } => self.about(dvipa, |vipa, id| vipa.hear_idle(from, id, epoch)),
            Message::Leaving => self.hear_leaving(from),
            Message::LeaseAsk { dvipa, epoch } => self.about(dvipa, |vipa, id| vipa.hear_lease_ask(from, id, epoch)),
            Message::Leased { dvipa, epoch, blocks } => {
                self.about(dvipa, |vipa, id| vipa.hear_leased(from, id, epoch, blocks));
            }
            Message::Audit { dvipa, epoch, tally, servers } => {
                self.about(dvipa, |vipa, id| vipa.hear_audit(from, id, epoch, tally, servers));
            }
            Message::Affinity { dvipa, epoch, client, port, left } => {
                self.about(dvipa, |vipa, id| vipa.hear_affinity(from, id, epoch, (client, port), left));
            }
            Message::Measure { dvipa, epoch, interval } => {
                self.about(dvipa, |vipa, id| vipa.hear_measure(from, id, epoch, interval));
            }
            Message::Measured { dvipa, epoch, interval, servers } => {
                self.about(dvipa, |vipa, id| vipa.hear_measured(from, id, epoch, interval, &servers));
            }
            Message::Workload { workload } => self.hear_workload(from, workload),
            Message::Gone => {
                if let Some(life) = self.peers.get(&from).and_then(|peer| peer.announced) {
                    self.gone(from, life);
                }
            }
            // Read before, without a session.
            Message::Refused { .. } => {}
        }
    }

    fn about(&mut self, dvipa: IpAddr, act: impl FnOnce(&mut Self, DvipaId)) {
        if let Some(id) = self.by_address.get(&dvipa).copied() {
            act(self, id);
        }
    }

    /// The DVIPA's index; a new one for an address that was not heard of before. `None` beyond the
    /// bound, which is told once.
    pub(crate) fn learn(&mut self, address: IpAddr) -> Option<DvipaId> {
        if let Some(id) = self.by_address.get(&address) {
            return Some(*id);
        }
        let (next, most) = (self.dvipas.len(), self.config.limits.dvipas.min(usize::from(u16::MAX)));
        if next >= most {
            if !core::mem::replace(&mut self.crowded, true) {
                self.event(Event::TooManyDvipas { dvipa: address, most });
            }
            return None;
        }
        // Below the bound, and so of 16 bits.
        let id = DvipaId(next as u16);
        self.dvipas.push(Dvipa::new(address));
        self.by_address.insert(address, id);
        Some(id)
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.actions.push_back(Action::Event(event));
    }

    pub(crate) fn dvipa(&self, id: DvipaId) -> &Dvipa {
        // A DvipaId is made only by `learn`, and no DVIPA is ever taken out of the table.
        &self.dvipas[usize::from(id.0)]
    }

    pub(crate) fn dvipa_mut(&mut self, id: DvipaId) -> &mut Dvipa {
        // As for `dvipa`.
        &mut self.dvipas[usize::from(id.0)]
    }

    pub(crate) fn dvipa_ids(&self) -> impl Iterator<Item = DvipaId> + use<> {
        (0..self.dvipas.len()).map(|index| DvipaId(index as u16))
    }

    pub(crate) fn stack_ids(&self) -> impl Iterator<Item = StackId> + use<> {
        (0..self.addresses.len()).map(|index| StackId(index as u16))
    }
}
