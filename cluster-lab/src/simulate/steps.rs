//! What each step does, and the calm after the storm.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use stack::wire::ip::{Header, emit, protocol};
use vipa::{Quiesce, ServerLoad, Targets, Workload};

use super::client::{SERVER, Session};
use super::layout::{self, dva, dvb, moving};
use super::plan::{Plan, Step, Weather, What};
use super::world::{HALF_OPEN, World};

impl World {
    pub fn apply(&mut self, step: Step) {
        let index = (step.which % self.sites.len() as u64) as usize;
        let other = (step.other % self.sites.len() as u64) as usize;
        self.say(|| format!("--- {:?} ({} {})", step.what, index + 1, other + 1));
        if matches!(step.what, What::Start | What::JoinGroup | What::Deactivate | What::Reactivate | What::Bind) {
            self.observe_routes();
        }
        if self.act(step, index, other) {
            self.cover(format!("step: {:?}", step.what));
        }
        self.drain_client();
    }

    /// `false` if there was nothing to do.
    fn act(&mut self, step: Step, index: usize, other: usize) -> bool {
        let linked = self.layout.linked();
        let maker = linked[index % linked.len()];
        match step.what {
            What::Kill => {
                let alive = self.sites[index].image.is_some();
                self.kill(index);
                alive
            }
            What::KillAtWork => self.kill_at_work(),
            What::OrderlyStop => {
                let up = self.is_up(index) && !self.sites[index].stopping;
                if up {
                    self.sites[index].stopping = true;
                    self.observer.not_ready(index, None, self.now);
                    self.observer.upset(self.now);
                    self.on(index, |image, now| image.vipa.leave(now));
                }
                up
            }
            What::Start => {
                let down = (0..self.sites.len()).find(|index| self.sites[*index].image.is_none());
                down.into_iter().for_each(|index| self.start(index));
                down.is_some()
            }
            What::Pause => {
                let up = self.is_up(index);
                // A host that tells of deaths tells of starvation too.
                let starves = self.plan.watchful && step.other & 0x1_0000 != 0;
                // As with the real times, it is waited for less long than a half-open entry lives.
                let longest = if starves { HALF_OPEN.as_millis() as u64 - 500 } else { 4000 };
                self.pause(index, Duration::from_millis(50 + step.other % longest), starves);
                up
            }
            What::Resume => {
                let paused = self.sites[index].paused;
                self.wake(index);
                paused
            }
            What::Cut | What::CutOneWay if index != other => {
                self.cuts.insert((index, other));
                if step.what == What::Cut {
                    self.cuts.insert((other, index));
                }
                self.observer.upset(self.now);
                true
            }
            What::Cut | What::CutOneWay => false,
            What::Heal => {
                let any = !self.cuts.is_empty();
                self.cuts.clear();
                self.observer.healed = Some(self.now);
                any
            }
            What::ClockStep => {
                self.sites[index].offset += Duration::from_millis(step.other % 3000);
                self.observer.paused(index);
                self.on(index, |image, now| image.handle_timeout(now)).is_some()
            }
            What::Unlisten | What::Listen => {
                let server = SocketAddr::new(if step.other.is_multiple_of(2) { dva() } else { dvb() }, 60);
                self.set_listening(index, server, step.what == What::Listen)
            }
            What::Profile => self.change_profile(step.other),
            What::Reload => self.reload(index),
            What::Deactivate | What::Reactivate => {
                let dvipa = if step.other.is_multiple_of(2) { dva() } else { dvb() };
                let deactivate = step.what == What::Deactivate;
                let result = self.on(index, |image, now| match deactivate {
                    true => image.vipa.deactivate(now, dvipa),
                    false => image.vipa.reactivate(now, dvipa),
                });
                self.observer.upset(self.now);
                matches!(result, Some(Ok(())))
            }
            What::Quiesce => {
                let did = self.on(index, |image, now| image.vipa.quiesce(now, Quiesce::Target)).is_some();
                if did {
                    // It is quiesced for all that is distributed.
                    for dvipa in [dva(), dvb()] {
                        self.observer.not_ready(index, Some(SocketAddr::new(dvipa, 60)), self.now);
                    }
                }
                did
            }
            What::ResumeTarget => {
                let did = self.on(index, |image, now| image.vipa.resume(now, Quiesce::Target)).is_some();
                if did {
                    self.ready_again(index);
                }
                did
            }
            What::Weigh => {
                let weight = |random: u64| Some((random % 20) as u8);
                let load = ServerLoad {
                    weight: weight(step.other >> 8),
                    abnormal: if step.which & 0x700 == 0 { 1000 } else { 0 },
                    health: 100,
                };
                let system = weight(step.other).map(|weight| [weight, 0, 0]).filter(|_| step.other & 0x10_0000 != 0);
                let workload = Workload { system, servers: [(60, load)].into() };
                self.on(index, |image, now| image.vipa.set_workload(now, workload)).is_some()
            }
            What::LeaveGroup => {
                self.observer.upset(self.now);
                let did = self.on(index, |image, now| image.vipa.leave_group(now)).is_some();
                if did {
                    self.observer.not_ready(index, None, self.now);
                }
                did
            }
            What::JoinGroup => self.join(index),
            What::Bind => self.set_listening(maker, moving(), true),
            What::Unbind => self.set_listening(maker, moving(), false),
            What::TwoBinds => {
                let both =
                    [self.set_listening(linked[0], moving(), true), self.set_listening(linked[1], moving(), true)];
                both == [true, true]
            }
            What::SynFlood => {
                // It pushes half-open entries out (R5), and what they said of SYNs with them.
                self.observer.upset(self.now);
                self.observer.flooded = true;
                self.flood(step.other)
            }
            What::Stray => self.stray(step.which, step.other),
            What::IcmpError => self.icmp_error(step.which),
            What::Ping => {
                let (from, to) = (self.client.address, dva());
                self.clients_packet(icmp(from, to, &[8, 0, 0, 0, 0, 7, 0, 1, 1, 2, 3, 4]));
                true
            }
            // A stack that knows no audit repairs nothing.
            What::Spoil if self.plan.old.is_some() => false,
            What::Spoil => {
                let owner = self.routes.get(&dva()).copied();
                let random = step.which;
                owner.into_iter().for_each(|owner| self.observer.spoilt(owner, self.now));
                owner.and_then(|owner| self.on(owner, |image, _| image.vipa.spoil(random))) == Some(true)
            }
            What::Late => self.late(step.which),
            What::Connect => self.connect(step.which, step.other),
            What::Reconnect => self.reconnect(step.which, step.other),
            What::ConnectNowhere => self.client.connect(self.now, None, SocketAddr::new(dva(), 99)).is_some(),
            What::Outbound => {
                let dvipa = if step.other.is_multiple_of(2) { dva() } else { dvb() };
                let server = SocketAddr::new(self.client.address, SERVER);
                self.on(index, |image, now| image.connect_from(now, dvipa, server)) == Some(true)
            }
            What::Send => {
                let session = self.live_session(step.which);
                session.into_iter().for_each(|session| self.client.send(self.now, session, 1 + step.other % 12_000));
                session.is_some()
            }
            What::HalfClose => {
                let session = self.live_session(step.which);
                session.into_iter().for_each(|session| self.client.half_close(self.now, session));
                session.is_some()
            }
            What::Close | What::Abort => {
                let session = self.live_session(step.which);
                let abort = step.what == What::Abort;
                session.into_iter().for_each(|session| self.client.close(self.now, session, abort));
                session.is_some()
            }
        }
    }

    /// A second failure in the middle of a takeover or a takeback.
    fn kill_at_work(&mut self) -> bool {
        let at_work = (0..self.sites.len()).find(|index| {
            let Some(image) = &self.sites[*index].image else { return false };
            let xcf = layout::xcf(*index);
            image.vipa.dvipas().iter().any(|dvipa| dvipa.owner == Some(xcf) && !dvipa.complete)
        });
        at_work.into_iter().for_each(|index| self.kill(index));
        at_work.is_some()
    }

    fn live_session(&self, which: u64) -> Option<usize> {
        let live: Vec<usize> = (0..self.client.sessions.len())
            .filter(|session| {
                self.client.sessions[*session].expects_life() && self.client.sessions[*session].failed.is_none()
            })
            .collect();
        live.get((which % live.len().max(1) as u64) as usize).copied()
    }

    fn server(which: u64) -> SocketAddr {
        match which % 5 {
            0 | 1 => SocketAddr::new(dva(), 60),
            2 | 3 => SocketAddr::new(dvb(), 60),
            _ => moving(),
        }
    }

    fn connect(&mut self, which: u64, other: u64) -> bool {
        let session = self.client.connect(self.now, None, Self::server(which));
        session.into_iter().for_each(|session| self.client.send(self.now, session, 1 + other % 3000));
        session.is_some()
    }

    /// R4: from the port of a connection that is over.
    fn reconnect(&mut self, which: u64, other: u64) -> bool {
        let over: Vec<usize> = (0..self.client.sessions.len())
            .filter(|session| self.client.sessions[*session].given_up && self.client.state(*session).is_none())
            .collect();
        let Some(session) = over.get((which % over.len().max(1) as u64) as usize) else { return false };
        let (local, server) = (self.client.sessions[*session].local, self.client.sessions[*session].server);
        let session = self.client.connect(self.now, Some(local), server);
        session.into_iter().for_each(|session| self.client.send(self.now, session, 1 + other % 3000));
        session.is_some()
    }

    pub fn set_listening(&mut self, index: usize, server: SocketAddr, on: bool) -> bool {
        let did = self.on(index, |image, now| {
            let before = image.listens(server);
            match on {
                true => image.listen(now, server),
                false => image.unlisten(now, server),
            }
            image.listens(server) != before
        });
        let did = did == Some(true);
        if did && on {
            self.sites[index].wants.insert(server);
            self.observer.ready(index, Some(server));
        } else if did {
            self.sites[index].wants.remove(&server);
            self.observer.not_ready(index, Some(server), self.now);
        }
        did
    }

    fn ready_again(&mut self, index: usize) {
        for dvipa in [dva(), dvb()] {
            let server = SocketAddr::new(dvipa, 60);
            if self.sites[index].image.as_ref().is_some_and(|image| image.listens(server)) {
                self.observer.ready(index, Some(server));
            }
        }
    }

    /// D6: the first image's list gets shorter or longer.
    fn change_profile(&mut self, other: u64) -> bool {
        if self.sites[0].paused {
            return false;
        }
        let mut definitions = self.sites[0].definitions.clone();
        let last = self.plan.images - 1;
        let all: Vec<IpAddr> = (0..last).map(layout::xcf).collect();
        let targets = Targets::List(all.iter().copied().skip((other % 2) as usize).collect());
        if let Some(distribute) = definitions.distributes.iter_mut().find(|one| one.address == dva()) {
            distribute.targets = targets;
        }
        self.sites[0].definitions = definitions.clone();
        self.observer.upset(self.now);
        self.on(0, |image, now| image.vipa.redefine(now, definitions)) == Some(Ok(()))
    }

    /// I23.
    fn reload(&mut self, index: usize) -> bool {
        let definitions = self.sites[index].definitions.clone();
        let now = self.local(index);
        // What the time that has passed makes it say is not what the profile does.
        if self.on(index, |image, now| image.handle_timeout(now)).is_none() {
            return false;
        }
        let Some(image) = &mut self.sites[index].image else { return false };
        let quiet = image.vipa.poll_action().is_none();
        let result = image.vipa.redefine(now, definitions);
        let said = image.vipa.poll_action();
        if let (true, Ok(()), Some(action)) = (quiet, result, said) {
            self.observer.violated("I23", format!("the same profile again makes MVS{} say {action:?}", index + 1));
        }
        quiet
    }

    /// I22: SYNs of many sources to the image that routes a DVIPA.
    fn flood(&mut self, other: u64) -> bool {
        let Some(owner) = self.routes.get(&dva()).copied().filter(|owner| self.is_up(*owner)) else { return false };
        let entries = |world: &World| -> Vec<vipa::status::CrtRow> {
            let image = world.sites[owner].image.as_ref();
            let rows = image.map(|image| image.vipa.crt()).unwrap_or_default();
            rows.into_iter().filter(|row| !row.half_open && row.dvipa == dva()).collect()
        };
        let before = entries(self);
        let now = self.local(owner);
        for number in 0..200u32 {
            let source = IpAddr::from([100, 64, (number >> 7) as u8, (other % 250) as u8]);
            let syn = tcp(SocketAddr::new(source, 1000 + number as u16), SocketAddr::new(dva(), 60), number, 0x02);
            let Some(image) = &mut self.sites[owner].image else { return false };
            self.observer.arrived(super::image::digest(&syn));
            image.network_gives(now, &syn);
            let len = image.vipa.crt_len();
            if len > self.plan.crt {
                self.observer.violated("I22", format!("the CRT of MVS{} has {len} entries", owner + 1));
            }
        }
        self.drain(owner);
        let after = entries(self);
        if let Some(lost) = before.iter().find(|row| !after.contains(row)) {
            self.observer.violated("I22", format!("a flood of SYNs pushed {lost:?} out"));
        }
        true
    }

    /// A segment of no connection, or one that is long over.
    fn stray(&mut self, which: u64, other: u64) -> bool {
        let from = SocketAddr::new(self.client.address, 1024 + (which % 1000) as u16);
        let server = if other.is_multiple_of(2) { SocketAddr::new(dva(), 60) } else { SocketAddr::new(dvb(), 60) };
        self.clients_packet(tcp(from, server, other as u32, 0x10));
        true
    }

    /// R9: an ICMP error about a connection.
    fn icmp_error(&mut self, which: u64) -> bool {
        let Some(session) = self.live_session(which) else { return false };
        let Session { server, local, connected, .. } = self.client.sessions[session];
        // Before that, the stack to which the SYN went first may hold it as well as the one that it
        // went to when that was silent.
        if !connected {
            return false;
        }
        let quoted = tcp(server, local, 1, 0x10);
        let mut message = vec![3, 4, 0, 0, 0, 0, 5, 0xdc];
        message.extend(&quoted[..28]);
        self.clients_packet(icmp(self.client.address, server.ip(), &message));
        true
    }

    /// An image outside the group comes back.
    fn join(&mut self, index: usize) -> bool {
        let outside = self.sites[index].image.as_ref().is_some_and(|image| !image.vipa.in_group());
        if outside && self.is_up(index) {
            self.observer.started(index);
            self.on(index, |image, now| image.vipa.join_group(now, 0));
        }
        outside
    }

    /// Who was still leaving the group when it all became calm is back, too.
    pub fn rejoin(&mut self) {
        for index in 0..self.sites.len() {
            if self.join(index) {
                self.ready_again(index);
            }
        }
    }

    /// Everything heals.
    pub fn calm(&mut self) {
        self.say(|| "--- calm".into());
        self.observe_routes();
        (self.xcf, self.network) = (Weather::CALM, Weather::CALM);
        self.cuts.clear();
        let base = Plan { steps: Vec::new(), ..self.plan.clone() };
        for index in 0..self.sites.len() {
            self.wake(index);
            if self.sites[index].stopping {
                self.kill(index);
            }
            let definitions = self.layout.definitions(index, &base);
            self.sites[index].definitions = definitions.clone();
            let servers = self.layout.servers(index);
            self.sites[index].wants.extend(servers.iter().copied());
            self.start(index);
            self.join(index);
            for server in &servers {
                self.set_listening(index, *server, true);
            }
            self.ready_again(index);
            self.on(index, |image, now| {
                image.vipa.resume(now, Quiesce::Target);
                // Only what was deactivated can be reactivated.
                let _ = image.vipa.reactivate(now, dva());
                let _ = image.vipa.reactivate(now, dvb());
                let _ = image.vipa.redefine(now, definitions);
            });
        }
    }

    /// Every connection that should be alive says something once more.
    pub fn last_words(&mut self) {
        for session in 0..self.client.sessions.len() {
            if self.client.sessions[session].expects_life() {
                self.client.send(self.now, session, 100);
            }
        }
        self.drain_client();
    }
}

fn packet(source: IpAddr, destination: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 40];
    let header = Header {
        source,
        destination,
        protocol,
        hop_limit: 64,
        traffic_class: 0,
        identification: 0,
        dont_fragment: true,
        payload_len: payload.len(),
    };
    let length = emit(&header, &mut bytes);
    bytes.truncate(length);
    bytes.extend(payload);
    bytes
}

fn icmp(source: IpAddr, destination: IpAddr, message: &[u8]) -> Vec<u8> {
    let mut message = message.to_vec();
    let sum = !stack::wire::checksum::fold(stack::wire::checksum::sum(&message));
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    packet(source, destination, protocol::ICMP, &message)
}

/// A TCP segment without data.
fn tcp(from: SocketAddr, to: SocketAddr, sequence: u32, flags: u8) -> Vec<u8> {
    let mut segment = vec![0; 20];
    segment[..2].copy_from_slice(&from.port().to_be_bytes());
    segment[2..4].copy_from_slice(&to.port().to_be_bytes());
    segment[4..8].copy_from_slice(&sequence.to_be_bytes());
    segment[12] = 0x50;
    segment[13] = flags;
    segment[14..16].copy_from_slice(&1024u16.to_be_bytes());
    let pseudo = stack::wire::checksum::pseudo_header(from.ip(), to.ip(), protocol::TCP, 20);
    let sum = !stack::wire::checksum::fold(pseudo + stack::wire::checksum::sum(&segment));
    segment[16..18].copy_from_slice(&sum.to_be_bytes());
    packet(from.ip(), to.ip(), protocol::TCP, &segment)
}
