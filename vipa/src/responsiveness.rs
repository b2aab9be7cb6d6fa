//! How well servers answer, measured from the connections that they get: TCSR, CER and SEF.
//!
//! Time is cut into intervals by the routing stack; each SYN that it sends to a target carries the number of
//! its interval. Once an interval is over, and one more, the router asks each target that got SYNs in it what
//! became of them, and compares. So whatever is under way, delayed or lost on XCF is compared with itself,
//! and a server that gets nothing is judged by nothing:
//!
//! ```text
//!   router                                            target
//!     │ SYN (interval 7) ────────────────────────────────>│ arrived, requested; established: completed
//!     │ MEASURE 7, when 8 is over ───────────────────────>│
//!     │<────────── MEASURED 7: arrived, requested, completed of each port, and its server's efficiency
//! ```
//!
//! A rate needs some connections: few ones are added up until they are enough. Each new value counts three
//! times as much as the one before (z/OS: (3 x current + previous) / 4), so that no single bad interval makes a
//! server unresponsive. z/OS measures over about a minute; here the profile says.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use crate::crt::Flow;
use crate::dvipa::DvipaId;
use crate::event::Event;
use crate::membership::StackId;
use crate::ownership::{Epoch, Standing};
use crate::vipa::Vipa;
use crate::vitals::Vitals;
use crate::wire::message::{Measured, Message};

/// SYNs from which a TCSR can be told, and requests for a CER: clients give requests up now and then.
const SYNS: u32 = 3;
const REQUESTS: u32 = 10;
/// Intervals that are remembered.
const KEPT: usize = 4;
/// Requests whose completion is waited for; more than that are not judged.
const PENDING: usize = 4096;
/// Servers of one answer.
const SERVERS: usize = 256;

/// The router's view of a server, by port and target.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Measure {
    /// SYNs sent, by interval.
    sent: Ring<u32>,
    syns: Rate,
    requests: Rate,
    vitals: Vitals,
}

impl Measure {
    /// What was sent and is not judged yet does not count.
    pub fn forget_sent(&mut self) {
        self.sent = Ring::default();
    }
}

/// Out of so many so many were good; not told yet.
#[derive(Clone, Copy, Debug, Default)]
struct Rate {
    good: u32,
    all: u32,
}

impl Rate {
    /// Adds to it; the percentage, once it stands on at least `enough`.
    fn add(&mut self, good: u32, all: u32, enough: u32) -> Option<u8> {
        self.all = self.all.saturating_add(all);
        self.good = self.good.saturating_add(good).min(self.all);
        (self.all >= enough).then(|| {
            let Rate { good, all } = core::mem::take(self);
            // At most 100.
            (u64::from(good) * 100 / u64::from(all)) as u8
        })
    }
}

/// The value after a new one.
fn smoothed(before: u8, now: u8) -> u8 {
    // A mean of two of 8 bits.
    ((3 * u16::from(now) + u16::from(before)) / 4) as u8
}

/// What belongs to the latest intervals.
#[derive(Clone, Copy, Debug, Default)]
struct Ring<T>([(u16, T); KEPT]);

impl<T: Copy + Default> Ring<T> {
    /// That of an interval, which may be a new one.
    fn at(&mut self, interval: u16) -> &mut T {
        let slot = &mut self.0[usize::from(interval) % KEPT];
        if slot.0 != interval {
            *slot = (interval, T::default());
        }
        &mut slot.1
    }

    /// That of an interval, if it is kept.
    fn get(&self, interval: u16) -> Option<T> {
        let (known, value) = self.0[usize::from(interval) % KEPT];
        (known == interval).then_some(value)
    }
}

/// A target's view of what its router sends to one of its ports.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    /// Whose intervals these are.
    epoch: Option<(IpAddr, Epoch)>,
    counts: Ring<Counts>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    arrived: u32,
    requested: u32,
    completed: u32,
}

impl Vipa {
    /// A SYN goes to a target by this router's decision.
    pub(crate) fn syn_sent(&mut self, flow: &Flow, target: StackId) {
        let interval = self.interval;
        let dvipa = self.dvipa_mut(flow.dvipa);
        if !dvipa.distributes(flow.port) {
            return;
        }
        *dvipa.measures.entry((flow.port, target)).or_default().sent.at(interval) += 1;
        if target == self.me {
            let (router, epoch) = (self.config.xcf, self.dvipa(flow.dvipa).epoch);
            self.syn_arrived(flow, router, epoch, interval, true);
        }
    }

    /// A router's SYN has come; `taken`: an application listens.
    pub(crate) fn syn_arrived(&mut self, flow: &Flow, router: IpAddr, epoch: Epoch, interval: u16, taken: bool) {
        // Earlier versions count no intervals.
        if interval == 0 {
            return;
        }
        let Vipa { dvipas, pending, .. } = self;
        // As for `dvipa`.
        let arrivals = dvipas[usize::from(flow.dvipa.0)].arrivals.entry(flow.port).or_default();
        if arrivals.epoch != Some((router, epoch)) {
            *arrivals = Arrivals { epoch: Some((router, epoch)), ..Arrivals::default() };
            // The router before asks no more.
            pending.retain(|known, _| (known.dvipa, known.port) != (flow.dvipa, flow.port));
        }
        // One sent again is the same request.
        let asks = taken && pending.len() < PENDING && pending.insert(*flow, interval).is_none();
        let counts = arrivals.counts.at(interval);
        counts.arrived += 1;
        counts.requested += u32::from(asks);
    }

    /// A connection of this stack has been established.
    pub(crate) fn request_completed(&mut self, flow: &Flow) {
        if let Some(interval) = self.pending.remove(flow)
            && let Some(arrivals) = self.dvipa_mut(flow.dvipa).arrivals.get_mut(&flow.port)
            && arrivals.counts.get(interval).is_some()
        {
            arrivals.counts.at(interval).completed += 1;
        }
    }

    /// How much of its backlog an application that listens has free, in percent: its server efficiency. Right
    /// until the next call.
    pub fn serving(&mut self, address: Option<IpAddr>, port: u16, efficiency: u8) {
        if self.listeners.contains_key(&(port, address)) {
            self.efficiencies.insert((port, address), efficiency.min(100));
        }
    }

    /// The server efficiency fraction, SEF, of the application that listens there: what [`serving`](Self::serving)
    /// was told last, and 100 until then.
    pub fn server_efficiency(&self, address: Option<IpAddr>, port: u16) -> u8 {
        self.efficiencies.get(&(port, address)).copied().unwrap_or(100)
    }

    /// The efficiency of the server that connections to the DVIPA and port get.
    pub(crate) fn efficiency(&self, dvipa: IpAddr, port: u16) -> u8 {
        let bound = self.listeners.contains_key(&(port, Some(dvipa)));
        self.server_efficiency(Some(dvipa).filter(|_| bound), port)
    }

    /// At the end of an interval: asks about the one before, and gives those that did not answer a chance.
    pub(crate) fn measure(&mut self) {
        if self.now < self.next_measure {
            return;
        }
        let before = previous(self.interval);
        self.interval = self.interval.checked_add(1).unwrap_or(1);
        self.next_measure = self.now + self.config.timing.measure;
        self.expire_affinities();
        for id in self.dvipa_ids() {
            let dvipa = self.dvipa_mut(id);
            if !matches!(dvipa.standing, Standing::Active) || dvipa.measures.is_empty() {
                continue;
            }
            let dpt = &mut dvipa.dpt;
            dvipa.measures.retain(|(port, stack), _| dpt.row(*port, *stack).is_some());
            let sent = |measure: &Measure| measure.sent.get(before).is_some_and(|count| count > 0);
            let mut stacks: Vec<StackId> =
                dvipa.measures.iter().filter(|(_, measure)| sent(measure)).map(|((_, stack), _)| *stack).collect();
            for ((port, stack), _) in dvipa.measures.iter().filter(|(_, measure)| measure.vitals.tsr() == 0) {
                dpt.probe(*port, *stack);
            }
            stacks.sort_unstable();
            stacks.dedup();
            let (address, epoch) = (dvipa.address, dvipa.epoch);
            for stack in stacks {
                if stack == self.me {
                    let servers = self.measured(id, self.config.xcf, epoch, before);
                    self.hear_measured(stack, id, epoch, before, &servers);
                } else {
                    self.tell(stack, &Message::Measure { dvipa: address, epoch, interval: before });
                }
            }
        }
    }

    /// MEASURE: what became of an interval's SYNs.
    pub(crate) fn hear_measure(&mut self, from: StackId, id: DvipaId, epoch: Epoch, interval: u16) {
        let servers = self.measured(id, self.address_of(from), epoch, interval);
        let dvipa = self.dvipa(id).address;
        self.tell(from, &Message::Measured { dvipa, epoch, interval, servers });
    }

    fn measured(&mut self, id: DvipaId, router: IpAddr, epoch: Epoch, interval: u16) -> Vec<Measured> {
        let dvipa = self.dvipa(id);
        let of_router = dvipa.arrivals.iter().filter(|(_, arrivals)| arrivals.epoch == Some((router, epoch)));
        let counted = of_router.filter_map(|(port, arrivals)| Some((*port, arrivals.counts.get(interval)?)));
        let row = |(port, Counts { arrived, requested, completed }): (u16, Counts)| {
            let efficiency = self.efficiency(dvipa.address, port);
            Measured { port, arrived, requested, completed, efficiency }
        };
        let servers = counted.take(SERVERS).map(row).collect();
        // Whatever is not complete by now is not going to be in time.
        self.pending.retain(|flow, of| flow.dvipa != id || *of != interval);
        servers
    }

    /// MEASURED: what a target says of an interval.
    pub(crate) fn hear_measured(
        &mut self,
        from: StackId,
        id: DvipaId,
        epoch: Epoch,
        interval: u16,
        servers: &[Measured],
    ) {
        let dvipa = self.dvipa_mut(id);
        if dvipa.epoch != epoch || !dvipa.standing.collects() {
            return;
        }
        let address = dvipa.address;
        let mut changes = Vec::new();
        for ((port, _), measure) in dvipa.measures.iter_mut().filter(|((_, stack), _)| *stack == from) {
            // Not that of another interval, which has its place by now.
            let Some(sent @ 1..) = measure.sent.get(interval) else { continue };
            *measure.sent.at(interval) = 0;
            let none = Measured { port: *port, arrived: 0, requested: 0, completed: 0, efficiency: 100 };
            let told = servers.iter().find(|server| server.port == *port).unwrap_or(&none);
            let before = measure.vitals;
            if let Some(tcsr) = measure.syns.add(told.arrived.min(sent), sent, SYNS) {
                measure.vitals.tcsr = smoothed(before.tcsr, tcsr);
            }
            if let Some(cer) = measure.requests.add(told.completed, told.requested, REQUESTS) {
                measure.vitals.cer = smoothed(before.cer, cer);
            }
            measure.vitals.sef = smoothed(before.sef, told.efficiency.min(100));
            let vitals = measure.vitals;
            if before != vitals {
                dvipa.dpt.set_vitals(*port, from, vitals);
                changes.push((*port, before, vitals));
            }
        }
        for (port, before, vitals) in changes {
            let (server, stack) = (SocketAddr::new(address, port), self.label_of(from));
            let Vitals { tcsr, cer, sef } = vitals;
            match (before.tsr() > 0, vitals.tsr() > 0) {
                (true, false) => self.event(Event::Unresponsive { server, stack, tcsr, cer, sef }),
                (false, true) => self.event(Event::Responsive { server, stack, tcsr, cer, sef }),
                _ => {}
            }
        }
    }
}

/// The interval before.
fn previous(interval: u16) -> u16 {
    if interval <= 1 { u16::MAX } else { interval - 1 }
}

/// All that the router knows of its targets' servers.
pub(crate) type Measures = BTreeMap<(u16, StackId), Measure>;

#[cfg(test)]
mod tests {
    use super::*;

    /// Few connections are added up; each value counts three times as much as the one before.
    #[test]
    fn rates_stand_on_enough() {
        let mut rate = Rate::default();
        assert_eq!(rate.add(1, 1, 3), None);
        assert_eq!(rate.add(1, 2, 3), Some(66));
        assert_eq!(rate.add(9, 3, 3), Some(100), "more than were sent cannot be");
        let fails = [100, 0, 0, 0, 0].into_iter().scan(100, |value, now| {
            *value = smoothed(*value, now);
            Some(*value)
        });
        assert_eq!(fails.collect::<Vec<_>>(), [100, 25, 6, 1, 0]);
        assert_eq!(smoothed(0, 100), 75);
    }

    /// Only the latest intervals are known.
    #[test]
    fn intervals_are_forgotten() {
        let mut ring = Ring::<u32>::default();
        *ring.at(7) += 2;
        *ring.at(8) += 1;
        assert_eq!((ring.get(7), ring.get(8), ring.get(9)), (Some(2), Some(1), None));
        *ring.at(7 + KEPT as u16) += 1;
        assert_eq!(ring.get(7), None);
        assert_eq!((previous(1), previous(9)), (u16::MAX, 8));
    }
}
