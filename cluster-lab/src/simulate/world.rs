//! One run: images, clients and networks in virtual time.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use stack::Instant;
use stack::tcp::TcpConfig;
use vipa::{Definitions, Event, Guard};

use super::client::Client;
use super::image::{Flow, Image, Output, Sight, addresses, digest, segment};
use super::layout::{self, Layout};
use super::observer::{Life, Observer, Violation};
use super::plan::{Plan, Random, STORM, Weather};

/// Between the numbers of two processes: a stack that comes back into the group takes one of those.
const LIFE: u64 = 1000;

/// How long the calm after the storm lasts: time enough for every wait of the protocol.
const CALM: Duration = Duration::from_secs(16);
/// How long a stack may be silent before what it holds counts as lost.
pub(super) const FORGET: Duration = Duration::from_secs(8);
/// How long a half-open entry lives here.
pub(super) const HALF_OPEN: Duration = Duration::from_secs(3);
/// How often targets tell of all that they hold.
pub(super) const AUDIT: Duration = Duration::from_secs(2);
/// Packets, datagrams and timers of one run: about ten times as many as in the busiest.
const MOST: u64 = 1_000_000;
/// Packets that wait for a paused image.
const BACKLOG: usize = 2048;

/// What happened in a run.
#[derive(Debug)]
pub(super) struct Outcome {
    pub violation: Option<Violation>,
    pub hash: u64,
    pub coverage: Coverage,
    pub trace: Vec<String>,
}

/// How often each thing occurred.
pub(super) type Coverage = BTreeMap<String, u64>;

#[derive(Debug)]
pub(super) enum Input {
    Network(Vec<u8>),
    Xcf { from: usize, bytes: Vec<u8> },
    Death { xcf: IpAddr, incarnation: u64 },
    Timer,
    Wake,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Who {
    Image(usize),
    Client,
}

/// A place where an image lives, or not.
pub(super) struct Site {
    pub image: Option<Image>,
    pub definitions: Definitions,
    pub wants: BTreeSet<SocketAddr>,
    pub paused: bool,
    /// While it is paused, the host says that it waits for a processor.
    starves: bool,
    backlog: Vec<Input>,
    /// Its clock is so far ahead of the world's.
    pub offset: Duration,
    /// Number of its last life.
    pub last_life: u64,
    pub stopping: bool,
    scheduled: Option<Instant>,
}

pub(super) struct World {
    pub plan: Plan,
    pub layout: Layout,
    pub now: Instant,
    pub random: Random,
    /// What comes when; the number tells things of one moment apart.
    queue: BTreeMap<(Instant, u64), (Who, Input)>,
    order: u64,
    pub sites: Vec<Site>,
    pub client: Client,
    client_scheduled: Option<Instant>,
    pub routes: BTreeMap<IpAddr, usize>,
    pub cuts: BTreeSet<(usize, usize)>,
    pub xcf: Weather,
    pub network: Weather,
    pub observer: Observer,
    pub coverage: Coverage,
    /// The lives whose answers clients took, and what was broken on purpose.
    pub served: BTreeMap<Flow, Life>,
    /// The first datagrams of each life to each image: they may come again when it is long over.
    pub first_words: BTreeMap<(Life, usize), Vec<Vec<u8>>>,
    /// Which life answered a SYN with which sequence number.
    answers: BTreeMap<(Flow, u32), Life>,
    pub broken: BTreeSet<(Life, IpAddr)>,
    without: Option<Guard>,
    trace: Option<Vec<String>>,
    pub identification: u16,
}

/// Runs a plan to its end, or to the first violation.
pub(super) fn run(plan: &Plan, without: Option<Guard>, trace: bool) -> Outcome {
    let mut world = World::new(plan.clone(), without, trace);
    let start = world.now;
    (0..plan.images).for_each(|index| world.start(index));
    world.run_until(start + Duration::from_millis(800));
    world.xcf = plan.xcf;
    world.network = plan.network;
    let began = world.now;
    for step in plan.steps.clone() {
        world.run_until(began + step.at);
        if world.observer.violation.is_some() {
            return world.outcome();
        }
        world.apply(step);
    }
    world.run_until(began + STORM);
    world.check_established_once();
    if world.observer.violation.is_some() {
        return world.outcome();
    }
    world.calm();
    world.run_until(began + STORM + CALM / 4);
    world.rejoin();
    world.run_until(began + STORM + CALM / 2);
    world.last_words();
    world.run_until(began + STORM + CALM);
    if world.observer.violation.is_none() {
        world.check_calm();
    }
    world.outcome()
}

fn tcp() -> TcpConfig {
    let millis = Duration::from_millis;
    TcpConfig {
        initial_rto: millis(300),
        min_rto: millis(100),
        max_rto: millis(1500),
        time_wait: millis(500),
        fin_wait_2: millis(3000),
        initial_receive: 32 * 1024,
        max_receive: 64 * 1024,
        initial_send: 32 * 1024,
        max_send: 64 * 1024,
        retries: 40,
        ..TcpConfig::default()
    }
}

impl World {
    fn new(plan: Plan, without: Option<Guard>, trace: bool) -> World {
        let mut random = Random::new(plan.seed ^ 0x5eed);
        let layout = Layout::new(plan.images);
        let site = |index: usize| Site {
            image: None,
            definitions: layout.definitions(index, &plan),
            wants: layout.servers(index),
            paused: false,
            starves: false,
            backlog: Vec::new(),
            offset: Duration::from_millis(random.below(100_000)),
            last_life: 0,
            stopping: false,
            scheduled: None,
        };
        let observer = Observer::new(plan.is_crowded());
        World {
            sites: (0..plan.images).map(site).collect(),
            now: Instant::from_millis(1000),
            client: Client::new(tcp(), plan.seed),
            random: Random::new(plan.seed ^ 0xfa11),
            layout,
            plan,
            queue: BTreeMap::new(),
            order: 0,
            client_scheduled: None,
            routes: BTreeMap::new(),
            cuts: BTreeSet::new(),
            xcf: Weather::CALM,
            network: Weather::CALM,
            observer,
            coverage: Coverage::new(),
            served: BTreeMap::new(),
            first_words: BTreeMap::new(),
            answers: BTreeMap::new(),
            broken: BTreeSet::new(),
            without,
            trace: trace.then(Vec::new),
            identification: 0,
        }
    }

    fn outcome(mut self) -> Outcome {
        for index in 0..self.sites.len() {
            self.describe(index);
        }
        for site in &self.sites {
            let Some(image) = &site.image else { continue };
            let counters = image.vipa.counters();
            for (name, count) in [
                ("held a segment", counters.held),
                ("asked for a holder", counters.asked),
                ("answered with RST", counters.reset),
                ("forwarded", counters.forwarded),
                ("half-open entry expired", counters.expired),
                ("half-open entry gave way", counters.evicted),
                ("no room in the CRT", counters.refused),
                ("repaired by the audit", counters.repaired),
                ("unknown message", counters.unknown),
                ("stale message", counters.stale),
                ("excused a silence", counters.excused),
            ] {
                *self.coverage.entry(format!("branch: {name}")).or_default() += count;
            }
            for (reason, count) in counters.drops() {
                *self.coverage.entry(format!("drop: {reason:?}")).or_default() += count;
            }
        }
        Outcome {
            violation: self.observer.violation,
            hash: self.observer.hash,
            coverage: self.coverage,
            trace: self.trace.unwrap_or_default(),
        }
    }

    /// For the trace: what an image knows in the end.
    fn describe(&mut self, index: usize) {
        let Some(image) = self.sites[index].image.as_ref().filter(|_| self.trace.is_some()) else { return };
        let vipa = &image.vipa;
        let owns = |known: &vipa::status::DvipaStatus| {
            let owner = known.owner.map(|owner| layout::index(owner) + 1);
            format!("{} of {owner:?} {} {:?}", known.address, known.epoch, known.status)
        };
        let dvipas: Vec<String> = vipa.dvipas().iter().map(owns).collect();
        let peers: Vec<String> =
            vipa.peers().iter().map(|peer| format!("{:?} {:?}", peer.name, peer.contact)).collect();
        let lines = [format!("MVS{} in the end: {}", index + 1, dvipas.join(", ")), format!("  {}", peers.join(", "))];
        lines.into_iter().for_each(|line| self.say(|| line));
    }

    pub fn cover(&mut self, what: impl Into<String>) {
        *self.coverage.entry(what.into()).or_default() += 1;
    }

    pub fn say(&mut self, what: impl FnOnce() -> String) {
        let at = self.now;
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{at:?}  {}", what()));
        }
    }

    /// The time on an image's own clock.
    pub fn local(&self, index: usize) -> Instant {
        self.now + self.sites[index].offset
    }

    pub fn is_up(&self, index: usize) -> bool {
        self.sites[index].image.is_some() && !self.sites[index].paused
    }

    pub fn life(&self, index: usize) -> Option<Life> {
        Some((index, self.sites[index].image.as_ref()?.incarnation))
    }

    pub fn start(&mut self, index: usize) {
        let site = &mut self.sites[index];
        if site.image.is_some() {
            return;
        }
        // Whatever an image's clock says, the supervisor's numbers grow with time.
        let incarnation = (self.now.as_millis() * LIFE).max(site.last_life + LIFE);
        site.last_life = incarnation;
        let xcf = layout::xcf(index);
        let mut config = vipa::Config::new(layout::name(index), xcf, incarnation);
        config.peers = (0..self.plan.images).filter(|other| *other != index).map(layout::xcf).collect();
        if self.plan.foreign {
            config.peers.push(layout::xcf(self.plan.images));
        }
        config.linked = self.layout.link(index).is_some();
        config.process = Some(100);
        config.definitions = site.definitions.clone();
        config.limits.crt = self.plan.crt;
        config.limits.half_open = 64;
        if self.plan.is_crowded() {
            (config.limits.held_packets, config.limits.asks) = (8, 2);
        }
        config.mtu = 4096;
        config.without = self.without;
        let timing = &mut config.timing;
        timing.forget = FORGET;
        timing.half_open = HALF_OPEN;
        timing.audit = AUDIT;
        let seed = self.plan.seed ^ (incarnation << 16);
        let now = self.now + site.offset;
        let mut image = Image::start(config, tcp(), self.layout.link(index), seed, now);
        self.observer.started(index);
        let wants = site.wants.clone();
        image.settle(now);
        wants.iter().for_each(|server| image.listen(now, *server));
        let site = &mut self.sites[index];
        (site.image, site.paused, site.stopping, site.scheduled) = (Some(image), false, false, None);
        for server in wants {
            self.observer.ready(index, Some(server));
        }
        self.say(|| format!("MVS{} starts, life {incarnation}", index + 1));
        self.drain(index);
    }

    /// The image is gone, from one moment to the next.
    pub fn kill(&mut self, index: usize) {
        let Some(image) = self.sites[index].image.take() else { return };
        let (xcf, incarnation) = (layout::xcf(index), image.incarnation);
        let site = &mut self.sites[index];
        (site.paused, site.starves, site.stopping) = (false, false, false);
        site.backlog.clear();
        site.wants.retain(|server| server.ip() != layout::moving().ip());
        // Its device is gone, and with that the network's routes to it.
        self.routes.retain(|_, owner| *owner != index);
        self.observer.ended(index, self.now);
        self.observer.upset(self.now);
        self.say(|| format!("MVS{} is gone", index + 1));
        if self.plan.watchful {
            for other in (0..self.sites.len()).filter(|other| *other != index) {
                self.later(Duration::from_millis(1), Who::Image(other), Input::Death { xcf, incarnation });
            }
        }
    }

    /// `starves`: its host does not let it run, and says so.
    pub fn pause(&mut self, index: usize, time: Duration, starves: bool) {
        if self.is_up(index) {
            (self.sites[index].paused, self.sites[index].starves) = (true, starves);
            self.observer.upset(self.now);
            self.observer.paused(index);
            // Others wait for one that waits for a processor: as long as it ever does here.
            if !starves {
                self.observer.not_ready(index, None, self.now);
            }
            self.later(time, Who::Image(index), Input::Wake);
        }
    }

    pub fn wake(&mut self, index: usize) {
        if !self.sites[index].paused {
            return;
        }
        (self.sites[index].paused, self.sites[index].starves) = (false, false);
        self.observer.paused(index);
        self.observer.upset(self.now);
        self.observer.ready(index, None);
        // What it looks at first is open: the clock, or what has come in meanwhile.
        let clock_first = self.random.below(2) == 0;
        let backlog = std::mem::take(&mut self.sites[index].backlog);
        if clock_first {
            self.look_at_clock(index);
        }
        for input in backlog {
            self.deliver(index, input);
        }
        if !clock_first {
            self.look_at_clock(index);
        }
    }

    fn look_at_clock(&mut self, index: usize) {
        self.sites[index].scheduled = Some(self.now);
        self.deliver(index, Input::Timer);
    }

    /// Calls an image that is up, and does what comes of it.
    pub fn on<R>(&mut self, index: usize, call: impl FnOnce(&mut Image, Instant) -> R) -> Option<R> {
        let now = self.local(index);
        let site = &mut self.sites[index];
        let image = site.image.as_mut().filter(|_| !site.paused)?;
        let result = call(image, now);
        image.settle(now);
        self.drain(index);
        Some(result)
    }

    pub fn later(&mut self, after: Duration, to: Who, input: Input) {
        self.order += 1;
        self.queue.insert((self.now + after, self.order), (to, input));
    }

    /// Lets the world go on.
    pub fn run_until(&mut self, until: Instant) {
        while self.observer.violation.is_none() {
            let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= until) else { break };
            let ((at, _), (to, input)) = entry.remove_entry();
            if self.order > MOST {
                self.observer.violated("I24", format!("{MOST} things have happened, and there is no end to it"));
            }
            self.now = at;
            match to {
                Who::Image(index) => self.deliver(index, input),
                Who::Client => self.client_gets(input),
            }
        }
        self.now = self.now.max(until);
    }

    fn client_gets(&mut self, input: Input) {
        match input {
            Input::Network(bytes) => {
                if let Some(seen) = segment(&bytes).filter(|seen| seen.answers) {
                    let flow = (seen.flow.1, seen.flow.0);
                    let waits = self.client.sessions.iter().rev().find(|session| session.local == flow.1);
                    if let Some(life) = self.answers.get(&(flow, seen.sequence)).copied()
                        && waits.is_some_and(|session| !session.connected)
                    {
                        self.served.insert(flow, life);
                    }
                }
                self.client.receive(self.now, &bytes);
            }
            _ => {
                if self.client_scheduled != Some(self.now) {
                    return;
                }
                self.client_scheduled = None;
                if self.client.stack.next_deadline().is_some_and(|at| at <= self.now) {
                    self.client.handle_timeout(self.now);
                }
            }
        }
        self.drain_client();
    }

    /// What the client has sent since it was last looked at.
    pub fn drain_client(&mut self) {
        for bytes in std::mem::take(&mut self.client.out) {
            self.clients_packet(bytes);
        }
        if let Some(at) = self.client.stack.next_deadline().map(|at| at.max(self.now))
            && self.client_scheduled.is_none_or(|known| at < known)
        {
            self.client_scheduled = Some(at);
            self.later(at.since(self.now), Who::Client, Input::Timer);
        }
    }

    fn deliver(&mut self, index: usize, input: Input) {
        if index >= self.sites.len() {
            return;
        }
        if matches!(input, Input::Wake) {
            return self.wake(index);
        }
        let now = self.local(index);
        let site = &mut self.sites[index];
        if matches!(input, Input::Timer) {
            // An earlier one was asked for since: that one has done this one's work.
            if site.scheduled != Some(self.now) {
                return;
            }
            site.scheduled = None;
        }
        let Some(image) = &mut site.image else { return };
        if site.paused {
            if !matches!(input, Input::Timer) && site.backlog.len() < BACKLOG {
                site.backlog.push(input);
            }
            return;
        }
        // What clients send changes no epoch.
        let news = !matches!(input, Input::Network(_));
        match input {
            Input::Network(bytes) => {
                self.observer.arrived(digest(&bytes));
                self.observer.note(self.now, index, bytes.len() as u64);
                image.network_gives(now, &bytes);
            }
            Input::Xcf { from, bytes } => {
                self.observer.note(self.now, index, (bytes.len() as u64) << 8 | from as u64);
                image.xcf_gives(now, layout::xcf(from), &bytes);
            }
            Input::Death { xcf, incarnation } => {
                image.vipa.peer_gone(now, xcf, incarnation);
                image.settle(now);
            }
            Input::Timer => {
                if image.next_deadline().is_some_and(|at| at <= now) {
                    image.handle_timeout(now);
                }
            }
            Input::Wake => {}
        }
        if news && self.plan.stale {
            self.repeat(index, now);
        }
        self.drain(index);
        if news {
            self.check_epochs(index);
        }
    }

    /// I11, I12: a message that is no longer true changes no CRT.
    fn repeat(&mut self, index: usize, now: Instant) {
        let random = self.random.next();
        // The more often, the rarer the chance.
        let due = |image: &&mut Image| random.is_multiple_of(20) || image.vipa.is_gathering();
        let Some(image) = self.sites[index].image.as_mut().filter(due) else { return };
        let before = image.vipa.crt();
        if image.vipa.stale(random) {
            let after = image.vipa.crt();
            image.settle(now);
            self.cover("fault: stale NEWCONN or TERMCONN");
            if let Some(row) = before.iter().find(|row| !after.contains(row)) {
                self.observer.violated("I11", format!("MVS{} drops {row:?} for another connection's end", index + 1));
            } else if let Some(row) = after.iter().find(|row| !before.contains(row)) {
                self.observer.violated("I12", format!("MVS{} takes {row:?} for alive", index + 1));
            }
        }
    }

    /// Does what an image has asked for.
    pub fn drain(&mut self, index: usize) {
        let Some(image) = &mut self.sites[index].image else { return };
        let life = (index, image.incarnation);
        let mut ended = false;
        let mut complete = Vec::new();
        let mut starving = Vec::new();
        for output in std::mem::take(&mut image.out) {
            match output {
                Output::Network(bytes) => {
                    if addresses(&bytes).is_some_and(|(_, to)| to == self.client.address) {
                        self.through_network(Who::Client, bytes);
                    }
                }
                Output::Xcf { to, bytes } => self.through_xcf(index, layout::index(to), bytes),
                Output::Route { dvipa, here } => self.route(index, dvipa, here),
                Output::PeerUp { xcf, incarnation } => {
                    self.observer.met(index, xcf, incarnation, self.now);
                    let peer = layout::index(xcf);
                    let alive = self.sites.get(peer).and_then(|site| site.image.as_ref());
                    // A stack that left the group and came back has a later number than its process.
                    if self.plan.watchful && alive.is_none_or(|image| image.incarnation / LIFE != incarnation / LIFE) {
                        self.later(Duration::from_millis(1), Who::Image(index), Input::Death { xcf, incarnation });
                    }
                }
                Output::Doubt(xcf) => {
                    if self.sites.get(layout::index(xcf)).is_some_and(|site| site.starves) {
                        starving.push(xcf);
                    }
                }
                Output::Event(event) => {
                    if let Event::Active { dvipa, missing, .. } = &event {
                        complete.push(*dvipa);
                        self.check_complete(index, *dvipa, missing.is_empty());
                    }
                    self.event(life, event);
                }
                Output::Left => ended = self.sites[index].stopping,
                Output::Refused(why) => self.observer.violated("D2", format!("MVS{} is refused: {why}", index + 1)),
                Output::Saw(sight) => self.saw(life, sight),
            }
        }
        if ended {
            self.kill(index);
            return;
        }
        complete.into_iter().for_each(|dvipa| self.check_tables(index, dvipa));
        for xcf in starving {
            self.on(index, |image, now| image.vipa.peer_starves(now, xcf));
        }
        self.schedule(index);
    }

    fn schedule(&mut self, index: usize) {
        let offset = self.sites[index].offset;
        let site = &mut self.sites[index];
        let Some(at) = site.image.as_ref().and_then(Image::next_deadline) else { return };
        let at = Instant::from_nanos(at.as_nanos().saturating_sub(offset.as_nanos() as u64)).max(self.now);
        if site.scheduled.is_none_or(|known| at < known || known < self.now) {
            site.scheduled = Some(at);
            self.later(at.since(self.now), Who::Image(index), Input::Timer);
        }
    }

    fn event(&mut self, life: Life, event: Event) {
        let name = format!("{event:?}");
        let name = name.split([' ', '{']).next().unwrap_or_default().to_owned();
        self.cover(format!("event: {name}"));
        self.say(|| format!("MVS{} {event}", life.0 + 1));
        let patience = Duration::from_millis(2600);
        self.observer.told(life, &event, self.now, patience);
    }

    fn saw(&mut self, life: Life, sight: Sight) {
        match sight {
            Sight::Opened { flow, .. } => {
                if flow.0.ip() == layout::moving().ip() {
                    self.check_owner_opens(life.0, flow.0.ip());
                }
                self.say(|| format!("MVS{} opens {} {}", life.0 + 1, flow.0, flow.1));
            }
            Sight::Ended { flow, .. } => self.say(|| format!("MVS{} ends {} {}", life.0 + 1, flow.0, flow.1)),
            Sight::Answered { flow, sequence } => {
                self.answers.insert((flow, sequence), life);
            }
            Sight::Forwarded { to, segment: Some(segment), .. } if segment.opens => {
                let (from, to) = (life.0 + 1, layout::index(to) + 1);
                self.say(|| format!("MVS{from} sends SYN {} {} to MVS{to}", segment.flow.1, segment.sequence));
            }
            Sight::Broken { dvipa } => drop(self.broken.insert((life, dvipa))),
            Sight::Reset { segment } => self.say(|| format!("MVS{} resets {segment:?}", life.0 + 1)),
            Sight::SentReset { flow } => self.say(|| format!("MVS{}'s TCP resets {} {}", life.0 + 1, flow.0, flow.1)),
            _ => {}
        }
        // Whose client speaks with a life that is over, it is told so, though its SYN may have opened
        // another connection elsewhere since.
        let told = match &sight {
            Sight::Reset { segment: Some(segment) } => Some(segment.flow),
            Sight::SentReset { flow } => Some(*flow),
            _ => None,
        };
        let served = told.and_then(|flow| self.served.get(&flow));
        if served.is_some_and(|life| self.life(life.0) != Some(*life)) {
            return;
        }
        self.observer.saw(life, sight, self.now, layout::xcf, |xcf| Some(layout::index(xcf)));
    }
}
