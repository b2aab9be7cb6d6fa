//! The checks that need the cores' own tables: at moments of the storm, and after the calm.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use stack::tcp::State;
use vipa::status::CrtRow;

use super::image::{Flow, Image};
use super::layout::{self, dva, dvb, moving};
use super::world::World;

fn flow_of(row: &CrtRow) -> Flow {
    (SocketAddr::new(row.dvipa, row.port), SocketAddr::new(row.remote, row.remote_port))
}

/// What [`vipa::Vipa::spoil`] puts into a CRT on purpose.
fn is_spoilt(row: &CrtRow) -> bool {
    row.remote == IpAddr::from([198, 51, 100, 254])
}

impl World {
    /// I2, I3.
    pub fn check_epochs(&mut self, index: usize) {
        let Some(image) = &self.sites[index].image else { return };
        for (dvipa, epoch, _) in image.vipa.ownership() {
            self.observer.owns(index, dvipa, epoch);
        }
    }

    /// I10, I21: when an owner's tables are complete.
    pub fn check_tables(&mut self, index: usize, dvipa: IpAddr) {
        // Without room for all, what this stack itself holds is not all in its CRT.
        let room = |image: &&super::image::Image| image.vipa.crt_len() < self.plan.crt;
        let Some(image) = self.sites[index].image.as_ref().filter(room) else { return };
        let crt = image.vipa.crt();
        let rows = || crt.iter().filter(|row| row.dvipa == dvipa);
        for row in image.vipa.dpt().iter().filter(|row| row.dvipa == dvipa) {
            let same = |entry: &&CrtRow| entry.port == row.port && entry.target == row.target;
            let count = rows().filter(same).count();
            // What there was no room for among its own is shown, but not routed.
            let short = self.plan.is_crowded() && row.target == layout::xcf(index);
            if row.active as usize != count && !short {
                let what = format!("MVS{}: {row:?}, but {count} entries", index + 1);
                return self.observer.violated("I21", what);
            }
        }
        let unaccounted = rows().filter(|row| !is_spoilt(row) && row.remote == self.client.address);
        let unaccounted = unaccounted.map(|row| (flow_of(row), layout::index(row.target)));
        let wrong = unaccounted.into_iter().find(|(flow, target)| !self.observer.accounts_for(flow, *target));
        if let Some((flow, target)) = wrong {
            let what = format!("MVS{} believes that MVS{} has {flow:?}", index + 1, target + 1);
            self.observer.violated("I10", what);
        }
    }

    /// TIMEDAFFINITY: an owner's affinities count the connections that its CRT has, and every client that has one has an
    /// affinity.
    fn check_affinities(&mut self, index: usize, dvipa: IpAddr) {
        let Some(image) = self.sites[index].image.as_ref().filter(|_| !self.plan.is_crowded()) else { return };
        let mut counts: BTreeMap<_, u32> = BTreeMap::new();
        for row in image.vipa.crt().iter().filter(|row| row.dvipa == dvipa && row.port == layout::PORT) {
            *counts.entry((row.remote, row.target)).or_default() += 1;
        }
        let known: BTreeMap<IpAddr, (IpAddr, u32)> = (image.vipa.affinities().into_iter())
            .filter(|known| known.0 == dvipa)
            .map(|(_, _, client, target, connections)| (client, (target, connections)))
            .collect();
        let clients: BTreeSet<IpAddr> = counts.keys().map(|(client, _)| *client).collect();
        let wrong = match self.plan.affinity {
            false => (!known.is_empty()).then(|| format!("{known:?}")),
            true => {
                let missing = clients.iter().find(|client| !known.contains_key(client));
                let count = |client, target| counts.get(&(client, target)).copied().unwrap_or(0);
                let off = known.iter().find(|(client, (target, known))| *known != count(**client, *target));
                missing.map(|client| format!("{client} has none")).or_else(|| off.map(|off| format!("{off:?}")))
            }
        };
        if let Some(wrong) = wrong {
            self.observer.violated("I21", format!("affinities of {dvipa} at MVS{}: {wrong}, {counts:?}", index + 1));
        }
    }

    /// R2, I9: an owner that has all reports knows what was held when it claimed.
    pub fn check_complete(&mut self, index: usize, dvipa: IpAddr, reported: bool) {
        if !reported {
            return self.observer.goes_on_without(index, dvipa, self.now);
        }
        // One that has left the group since has no tables.
        let looked_at = |image: &&Image| !self.plan.is_crowded() && image.vipa.in_group();
        let Some(image) = self.sites[index].image.as_ref().filter(looked_at) else { return };
        let up: BTreeSet<usize> = image
            .vipa
            .peers()
            .iter()
            .filter(|peer| peer.contact == vipa::Contact::Up)
            .map(|peer| layout::index(peer.xcf))
            .collect();
        let mut due = self.observer.to_be_reported(index, dvipa, layout::xcf);
        due.retain(|(_, holder)| up.contains(holder));
        let rows: BTreeSet<(Flow, usize)> =
            image.vipa.crt().iter().map(|row| (flow_of(row), layout::index(row.target))).collect();
        if let Some((flow, holder)) = due.into_iter().find(|one| !rows.contains(one)) {
            let what = format!("MVS{} has complete tables, but not {flow:?} of MVS{}", index + 1, holder + 1);
            self.observer.violated("R2", what);
        }
    }

    /// What owners know before a DVIPA may move.
    pub fn observe_routes(&mut self) {
        for (index, site) in self.sites.iter().enumerate() {
            let Some(image) = &site.image else { continue };
            let owned: BTreeSet<IpAddr> = image.vipa.ownership().filter(|known| known.2).map(|known| known.0).collect();
            let rows = image.vipa.crt();
            let known = rows.iter().filter(|row| owned.contains(&row.dvipa) && !row.half_open);
            self.observer.routes(index, known.map(|row| (flow_of(row), layout::index(row.target), row.instance)));
        }
    }

    /// I17: new connections of a moved DVIPA open at its owner.
    pub fn check_owner_opens(&mut self, index: usize, dvipa: IpAddr) {
        let Some(image) = &self.sites[index].image else { return };
        let known = image.vipa.dvipas().into_iter().find(|known| known.address == dvipa && known.complete);
        let owner = known.and_then(|known| known.owner);
        if owner.is_some_and(|owner| owner != layout::xcf(index)) {
            self.observer.violated("I17", format!("MVS{} opens a connection on {dvipa} of {owner:?}", index + 1));
        }
    }

    /// I7.
    pub fn check_established_once(&mut self) {
        let mut seen: BTreeMap<(Flow, u32), usize> = BTreeMap::new();
        let mut twice = None;
        for (index, site) in self.sites.iter().enumerate() {
            let Some(image) = &site.image else { continue };
            for connection in image.stack.tcp().connections().filter(|one| one.state == State::Established) {
                let key = ((connection.local, connection.remote), connection.instance);
                if let Some(other) = seen.insert(key, index) {
                    twice = Some(format!("{:?} is established at MVS{} and MVS{}", key.0, other + 1, index + 1));
                }
            }
        }
        twice.into_iter().for_each(|what| self.observer.violated("I7", what));
    }

    /// After the calm: I4, I5, I7, I9, I13, I16, I21 and promise 1.
    pub fn check_calm(&mut self) {
        self.check_established_once();
        for dvipa in [dva(), dvb(), moving().ip()] {
            self.check_ownership(dvipa);
        }
        self.check_sessions();
        for index in 0..self.sites.len() {
            let waiting = self.sites[index].image.as_ref().map(|image| image.vipa.waiting());
            if waiting.is_some_and(|waiting| waiting != (0, 0)) {
                self.observer.violated("I8", format!("MVS{} still waits: {waiting:?}", index + 1));
            }
        }
    }

    fn check_ownership(&mut self, dvipa: IpAddr) {
        let mut views = BTreeMap::new();
        let mut advertisers = Vec::new();
        for (index, site) in self.sites.iter().enumerate() {
            let Some(image) = &site.image else { continue };
            for known in image.vipa.dvipas().into_iter().filter(|known| known.address == dvipa) {
                views.insert(index, (known.owner, known.complete));
                advertisers.extend(known.advertised.then_some(index));
            }
        }
        let truth: BTreeSet<(Flow, usize)> =
            self.observer.all_held().filter(|(flow, _)| flow.0.ip() == dvipa).collect();
        let bound: Vec<usize> = (0..self.sites.len())
            .filter(|index| self.sites[*index].image.as_ref().is_some_and(|image| image.listens(moving())))
            .collect();
        let made = dvipa == moving().ip();
        if made && bound.is_empty() && truth.is_empty() && advertisers.is_empty() {
            return;
        }
        let expected = match advertisers[..] {
            [owner] => owner,
            _ => return self.observer.violated("I4", format!("{dvipa} is advertised by {advertisers:?}")),
        };
        if self.routes.get(&dvipa) != Some(&expected) {
            let what = format!("{dvipa} of MVS{} is routed to {:?}", expected + 1, self.routes.get(&dvipa));
            return self.observer.violated("I4", what);
        }
        let owner = (Some(layout::xcf(expected)), true);
        if let Some((index, view)) = views.iter().find(|(_, view)| **view != owner) {
            let what = format!("{dvipa} is MVS{}'s, but MVS{} believes {view:?}", expected + 1, index + 1);
            return self.observer.violated("I4", what);
        }
        let best =
            if made { bound.is_empty() || bound.contains(&expected) } else { expected == self.layout.primary(dvipa) };
        if !best && (made || !self.plan.when_idle) {
            return self.observer.violated("I5", format!("{dvipa} is MVS{}'s", expected + 1));
        }
        self.check_tables(expected, dvipa);
        self.check_affinities(expected, dvipa);
        let Some(image) = &self.sites[expected].image else { return };
        let crt = image.vipa.crt();
        // What there was no room for, in the CRT or among what is to be asked about, an audit repairs:
        // an earlier version does not know it.
        let unrepaired = (self.plan.is_crowded() || self.observer.flooded) && self.plan.old.is_some();
        if image.vipa.crt_len() >= self.plan.crt || unrepaired {
            return;
        }
        // A stack of an earlier version knows no audit: what was spoilt about it stays.
        let counts = |row: &&CrtRow| row.dvipa == dvipa && (!is_spoilt(row) || self.plan.old.is_none());
        let rows = crt.iter().filter(counts);
        let entries: BTreeSet<(Flow, usize)> = rows.map(|row| (flow_of(row), layout::index(row.target))).collect();
        // A stack of an earlier version does not tell the holder of an earlier connection between the same ends to forget
        // it, nor is it told.
        let routed: BTreeSet<Flow> = entries.intersection(&truth).map(|(flow, _)| *flow).collect();
        let forgettable = |flow: &Flow| self.plan.old.is_some() && routed.contains(flow);
        let extra: Vec<_> = entries.difference(&truth).collect();
        let missing: Vec<_> = truth.difference(&entries).filter(|(flow, _)| !forgettable(flow)).collect();
        if !(extra.is_empty() && missing.is_empty()) {
            let what = format!("CRT of {dvipa} at MVS{}: too much {extra:?}, missing {missing:?}", expected + 1);
            self.observer.violated("I9", what);
        }
    }

    /// Whether anybody routes for the DVIPA.
    fn is_owned(&self, dvipa: IpAddr) -> bool {
        let owns = |image: &super::image::Image| image.vipa.ownership().any(|known| known.0 == dvipa && known.2);
        self.sites.iter().any(|site| site.image.as_ref().is_some_and(owns))
    }

    /// Promise 1, I16: whoever's server lives got every byte back, and was not reset.
    fn check_sessions(&mut self) {
        let mut wrong = None;
        for (number, session) in self.client.sessions.iter().enumerate() {
            if let Some(at) = session.corrupted {
                wrong = Some(("I16", format!("session {number} {session:?}: wrong byte at {at}")));
                break;
            }
            let flow = (session.server, session.local);
            let Some(life) = self.served.get(&flow).copied().filter(|_| session.expects_life()) else { continue };
            let broken = self.broken.contains(&(life, flow.0.ip()));
            let alive = self.life(life.0) == Some(life) && !broken;
            // A later connection between the same ends was served by `life`.
            let latest = self.client.sessions.iter().rposition(|other| other.local == session.local) == Some(number);
            // Whose server never got to accept it may be refused still: its listener may be closed. And
            // nobody knows of a stack that it never met.
            let refused = session.failed.is_some() && (session.received == 0 || self.observer.unknown.contains(&flow));
            if !latest || refused {
                continue;
            }
            if alive && session.failed.is_some() {
                wrong = Some(("I6", format!("session {number} {session:?} is lost, though MVS{} lives", life.0 + 1)));
            } else if alive
                && session.received != session.wanted
                // Its server may have gone while the handshake was under way, and the DVIPA with it.
                && (session.received > 0 || self.is_owned(session.server.ip()))
            {
                let image = self.sites[life.0].image.as_ref();
                let server =
                    image.and_then(|image| image.stack.tcp().connections().find(|one| (one.local, one.remote) == flow));
                let client = self.client.stack.tcp().connections().find(|one| one.local == session.local);
                let ends = format!("at the client {client:?}, at MVS{} {server:?}", life.0 + 1);
                wrong = Some(("I16", format!("session {number} {session:?} does not get on: {ends}")));
            } else if !alive
                && session.failed.is_none()
                // A client that waits for nothing but the other side's FIN sends nothing to answer.
                && self.client.state(number) != Some(State::FinWait2)
                && self.is_owned(session.server.ip())
                && self.observer.holder(&flow, None).is_none()
            {
                wrong =
                    Some(("R6", format!("session {number} {session:?}: MVS{} is dead, nobody says so", life.0 + 1)));
            }
        }
        if let Some((id, what)) = wrong {
            self.observer.violated(id, what);
        }
    }
}
