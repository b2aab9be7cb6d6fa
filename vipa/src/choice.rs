//! The choice of a target for a new connection, among the rows of one port.
//!
//! | method | what is chosen |
//! |---|---|
//! | ROUNDROBIN, and BASEWLM without weights | strictly the next in the order of XCF addresses |
//! | BASEWLM, SERVERWLM | by shares: each choice moves a target's turn on by 1 / (weight x TSR), the earliest turn is next |
//! | WEIGHTEDACTIVE | the fewest active connections by WEIGHT x TSR x health x (1 - abnormal / 1000) |
//! | HOTSTANDBY | the target that is active, until it fails |
//!
//! A target that is not responsive (TSR 0) or has weight 0 gets nothing while another can be had. So that it
//! shows whether it answers again, now and then one connection goes to one that is not responsive.

use crate::distribution::ListId;
use crate::membership::StackId;
use crate::vitals::Vitals;

/// One row of the DPT: a current actual target for one port, or one that was and still has
/// connections (R7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Row {
    /// Applications that listen there (F8.166).
    pub ready: u16,
    /// It became ready after so many others.
    pub readied: u64,
    /// The stack is telling all that listen there, and has not named it yet.
    pub doubted: bool,
    /// CRT entries that point there.
    pub active: u32,
    /// Connections sent there since the row was made.
    pub total: u64,
    /// How it fares.
    pub vitals: Vitals,
    /// The next connection goes there, to see whether it answers.
    pub probe: bool,
}

/// How a target is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    /// One after the other.
    InTurn,
    /// By weights.
    Share,
    /// By active connections for weights.
    Load,
    /// All to one.
    Standby(StandbyPolicy),
}

/// HOTSTANDBY's switches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StandbyPolicy {
    pub switch_back: bool,
    pub health_switch: bool,
}

/// What the list and the workload managers say of a candidate target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    /// WEIGHT, or the workload manager's; 1 where there is none.
    pub weight: u8,
    /// HOTSTANDBY's.
    pub rank: u8,
    /// Abnormal completions of 1,000.
    pub abnormal: u16,
    /// 0 to 100.
    pub health: u8,
}

impl Offer {
    /// Nothing special.
    pub const PLAIN: Offer = Offer { weight: 1, rank: 0, abnormal: 0, health: 100 };
}

/// What the choice makes of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rating {
    /// The list names it.
    pub listed: bool,
    /// Weights that come from a workload manager are divided by what they have in common: z/OS reduces them
    /// too, by a divisor that it does not tell.
    pub weight: u8,
    pub rank: u8,
    pub abnormal: u16,
    pub health: u8,
    /// What counts in the end; 0: it gets nothing while others can be had.
    strength: u32,
}

impl Rating {
    /// Of every row.
    pub fn of(rows: &[(StackId, Row)], policy: Policy, offer: impl Fn(StackId) -> Option<Offer>) -> Vec<Rating> {
        let offers: Vec<Option<Offer>> = rows.iter().map(|(stack, _)| offer(*stack)).collect();
        let common = match policy {
            Policy::Share => offers.iter().flatten().fold(0, |common, offer| common_divisor(common, offer.weight)),
            Policy::InTurn | Policy::Load | Policy::Standby(_) => 1,
        };
        let rate = |((_, row), offer): (&(StackId, Row), Option<Offer>)| {
            let Some(Offer { weight, rank, abnormal, health }) = offer else { return Rating::default() };
            let weight = weight / common.max(1);
            let rating = Rating { listed: true, weight, rank, abnormal, health, strength: 0 };
            Rating { strength: rating.strength(policy, row.vitals), ..rating }
        };
        rows.iter().zip(offers).map(rate).collect()
    }

    fn strength(&self, policy: Policy, vitals: Vitals) -> u32 {
        let tsr = vitals.tsr();
        match policy {
            Policy::InTurn => u32::from(tsr > 0),
            Policy::Share => u32::from(self.weight) * u32::from(tsr),
            Policy::Load => {
                let normal = 1000u64.saturating_sub(self.abnormal.into());
                let product = u64::from(self.weight) * u64::from(tsr) * u64::from(self.health) * normal;
                // Of 2^8 for each of WEIGHT, if it is well; what is not quite nothing stays so.
                let scaled = (product << 8) / 10_000_000;
                // At most 99 x 2^8.
                scaled.max(u64::from(product > 0)) as u32
            }
            Policy::Standby(how) => {
                let well = tsr > 0 && self.abnormal < 1000 && self.health > 0;
                u32::from(well || !how.health_switch)
            }
        }
    }
}

/// The greatest; 0 has every divisor.
fn common_divisor(a: u8, b: u8) -> u8 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

/// The rows of one port.
#[derive(Debug, Default)]
pub(crate) struct Port {
    /// In the order of the stacks' XCF addresses.
    rows: Vec<(StackId, Row)>,
    /// For each row: how loaded its target is, or when its turn is; or [`IDLE`] or [`OUT`].
    loads: Vec<u64>,
    /// For each row, what the list and so on make of it. Right, as `loads`, while `weighed` says so.
    ratings: Vec<Rating>,
    /// What `ratings` go by; `None` once something in it is another.
    weighed: Option<(ListId, Policy)>,
    /// `loads` are turns.
    by_share: bool,
    /// The last one chosen.
    last: Option<StackId>,
    /// The one that HOTSTANDBY uses.
    standby: Option<StackId>,
    /// A row is to be probed.
    probes: bool,
}

/// The load of a target that takes nothing new.
const OUT: u64 = u64::MAX;
/// The load of a target that gets something only if no other takes it.
const IDLE: u64 = u64::MAX - 1;
/// A turn of a target with strength 1.
const ROUND: u64 = 1 << 40;
/// Turns are counted anew from there.
const MOST: u64 = 1 << 60;

/// Connections by strength, so that loads compare as the fractions do: fractions of numbers below 2^8 that
/// differ do so by more than 2^-16.
fn load(row: &Row, strength: u32) -> u64 {
    match strength {
        0 => IDLE,
        strength => (u64::from(row.active) << 24) / u64::from(strength),
    }
}

impl Port {
    /// Every row, in the order of XCF addresses.
    pub fn rows(&self) -> &[(StackId, Row)] {
        &self.rows
    }

    pub fn row(&self, stack: StackId) -> Option<&Row> {
        self.place(stack).ok().map(|place| &self.rows[place].1)
    }

    fn place(&self, stack: StackId) -> Result<usize, usize> {
        self.rows.binary_search_by_key(&stack, |(stack, _)| *stack)
    }

    /// The next choice looks at everything anew.
    pub fn reweigh(&mut self) {
        self.weighed = None;
    }

    /// Changes a row, which is made if it is not there.
    pub fn change(&mut self, stack: StackId, change: impl FnOnce(&mut Row)) {
        let place = self.place(stack).unwrap_or_else(|place| {
            self.rows.insert(place, (stack, Row::default()));
            self.loads.insert(place, OUT);
            self.ratings.insert(place, Rating::default());
            self.weighed = None;
            place
        });
        let row = &mut self.rows[place].1;
        let before = (row.ready > 0, row.vitals);
        change(row);
        self.probes |= row.probe;
        let row = *row;
        if before != (row.ready > 0, row.vitals) {
            self.weighed = None;
            if row.ready == 0 && self.standby == Some(stack) {
                self.standby = None;
            }
        }
        if row.ready == 0 && row.active == 0 {
            self.rows.remove(place);
            self.loads.remove(place);
            self.ratings.remove(place);
            self.weighed = None;
        } else if let Some((_, Policy::Load)) = self.weighed
            && self.loads[place] != OUT
        {
            self.loads[place] = load(&row, self.ratings[place].strength);
        }
    }

    /// Every row with what the last choice made of it.
    pub fn rated(&self) -> impl Iterator<Item = (StackId, &Row, &Rating)> {
        self.rows.iter().zip(&self.ratings).map(|((stack, row), rating)| (*stack, row, rating))
    }

    /// See [`Dpt::choose`](crate::distribution::Dpt::choose).
    pub fn choose(
        &mut self,
        policy: Policy,
        list: ListId,
        offer: impl Fn(StackId) -> Option<Offer>,
        reachable: impl Fn(StackId) -> bool,
    ) -> Option<StackId> {
        self.refresh(policy, list, offer);
        let place = match self.probed(&reachable) {
            Some(place) => place,
            None => match policy {
                Policy::InTurn => self.next(reachable),
                Policy::Share => self.least(reachable).inspect(|place| self.advance(*place)),
                Policy::Load => self.least(reachable),
                Policy::Standby(how) => {
                    let place = self.standby(how, &self.ratings, reachable);
                    self.standby = place.map(|place| self.rows[place].0);
                    place
                }
            }?,
        };
        let (chosen, row) = &mut self.rows[place];
        row.total += 1;
        self.last = Some(*chosen);
        Some(*chosen)
    }

    /// Brings what is made of the rows up to date.
    pub fn refresh(&mut self, policy: Policy, list: ListId, offer: impl Fn(StackId) -> Option<Offer>) {
        if self.weighed != Some((list, policy)) {
            self.weigh(policy, list, offer);
        }
    }

    fn weigh(&mut self, policy: Policy, list: ListId, offer: impl Fn(StackId) -> Option<Offer>) {
        let ratings = Rating::of(&self.rows, policy, offer);
        // Whoever has got some of a share keeps it: its turn comes after the same part of the new interval.
        let started = self.loads.iter().copied().filter(|load| *load < IDLE && self.by_share).min();
        for (place, rating) in ratings.iter().enumerate() {
            let row = &self.rows[place].1;
            self.loads[place] = match policy {
                _ if row.ready == 0 || !rating.listed => OUT,
                _ if rating.strength == 0 => IDLE,
                Policy::InTurn | Policy::Standby(_) => 0,
                Policy::Load => load(row, rating.strength),
                Policy::Share => {
                    let before = self.ratings[place].strength;
                    let of_256 = match started.filter(|_| before > 0 && self.loads[place] < IDLE) {
                        Some(start) => (self.loads[place].saturating_sub(start) << 8) / (ROUND / u64::from(before)),
                        None => 128,
                    };
                    ((ROUND / u64::from(rating.strength)) * of_256) >> 8
                }
            };
        }
        self.ratings = ratings;
        self.by_share = matches!(policy, Policy::Share);
        self.weighed = Some((list, policy));
    }

    /// Its turn has come; the next is as much later as its share is smaller.
    fn advance(&mut self, place: usize) {
        let strength = u64::from(self.ratings[place].strength);
        if strength > 0 && self.loads[place] < IDLE {
            self.loads[place] += ROUND / strength;
            if self.loads[place] > MOST {
                self.weighed = None;
            }
        }
    }

    /// The row whose turn it is to show whether it answers.
    fn probed(&mut self, reachable: impl Fn(StackId) -> bool) -> Option<usize> {
        if !self.probes {
            return None;
        }
        let due = |place: &usize| {
            let (stack, row) = &self.rows[*place];
            row.probe && row.vitals.tsr() == 0 && self.loads[*place] != OUT && reachable(*stack)
        };
        let place = self.in_turn().find(due);
        match place {
            Some(place) => self.rows[place].1.probe = false,
            None => {
                self.rows.iter_mut().for_each(|(_, row)| row.probe = false);
                self.probes = false;
            }
        }
        place
    }

    /// Places of rows from the one after the last chosen on, once around.
    fn in_turn(&self) -> impl Iterator<Item = usize> + use<> {
        let first = self.last.map_or(0, |last| self.rows.partition_point(|(stack, _)| *stack <= last));
        (first..self.rows.len()).chain(0..first)
    }

    /// The first in turn that takes something and can be reached; if there is none, one that is idle.
    fn next(&self, reachable: impl Fn(StackId) -> bool) -> Option<usize> {
        let first =
            |most: u64| self.in_turn().find(|place| self.loads[*place] < most && reachable(self.rows[*place].0));
        first(IDLE).or_else(|| first(OUT))
    }

    /// The first in turn of those with the least load.
    fn least(&self, reachable: impl Fn(StackId) -> bool) -> Option<usize> {
        let least = minimum(&self.loads);
        let first = self.in_turn().find(|place| self.loads[*place] == least).filter(|_| least != OUT)?;
        if reachable(self.rows[first].0) {
            return Some(first);
        }
        // Targets that listen are rarely out of reach: only then each is asked about.
        let usable = |place: &usize| self.loads[*place] != OUT && reachable(self.rows[*place].0);
        // Of equals it takes the first.
        self.in_turn().filter(usable).min_by_key(|place| self.loads[*place])
    }

    /// HOTSTANDBY: the one in use, if it still takes something; with AUTOSWITCHBACK the preferred one before it.
    ///
    /// Whoever knows nothing of one in use, as after a takeover, takes the one that has most connections. If
    /// there are none, the one of the highest rank with AUTOSWITCHBACK; without, the one that was ready first. If
    /// the one in use has failed, the highest rank follows.
    pub fn standby(
        &self,
        how: StandbyPolicy,
        ratings: &[Rating],
        reachable: impl Fn(StackId) -> bool,
    ) -> Option<usize> {
        const PREFERRED: u8 = crate::definitions::Standby::PREFERRED;
        let usable = |place: usize, well: bool| {
            let ((stack, row), rating) = (&self.rows[place], &ratings[place]);
            rating.listed && row.ready > 0 && (rating.strength > 0 || !well) && reachable(*stack)
        };
        let among = |well: bool| {
            let places = || (0..self.rows.len()).filter(|place| usable(*place, well));
            let preferred = || places().find(|place| ratings[*place].rank == PREFERRED).filter(|_| how.switch_back);
            let in_use = || self.standby.and_then(|stack| self.place(stack).ok()).filter(|place| usable(*place, well));
            let rank = |place: &usize| (ratings[*place].rank, core::cmp::Reverse(*place));
            let readied = |place: &usize| core::cmp::Reverse(self.rows[*place].1.readied);
            let active = |place: &usize| self.rows[*place].1.active;
            let by_rank = || places().max_by_key(rank);
            let inferred = || match how.switch_back {
                true => places().max_by_key(|place| (active(place), rank(place))),
                false => places().max_by_key(|place| (active(place), readied(place))),
            };
            let next = || if self.last.is_some() { by_rank() } else { inferred() };
            preferred().or_else(in_use).or_else(next)
        };
        // One that is not well is better than none.
        among(true).or_else(|| among(false))
    }
}

/// The least of them, several at a time.
fn minimum(loads: &[u64]) -> u64 {
    let (eights, rest) = loads.as_chunks::<8>();
    let mut least = [OUT; 8];
    for eight in eights {
        least.iter_mut().zip(eight).for_each(|(least, load)| *least = (*least).min(*load));
    }
    least.iter().chain(rest).fold(OUT, |least, load| least.min(*load))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::ownership::Epoch;

    const A: StackId = StackId(1);
    const B: StackId = StackId(2);
    const C: StackId = StackId(3);
    const LIST: ListId = (Epoch { round: 1, rank: 1 }, 1);
    const CONNECTIONS: u32 = 10_000;

    fn port(stacks: &[StackId]) -> Port {
        let mut port = Port::default();
        stacks.iter().for_each(|stack| ready(&mut port, *stack, 1));
        port
    }

    fn ready(port: &mut Port, stack: StackId, ready: u16) {
        let order = 1 + port.rows.iter().map(|(_, row)| row.readied).max().unwrap_or(0);
        port.change(stack, |row| {
            if row.ready == 0 {
                row.readied = order;
            }
            row.ready = ready;
        });
    }

    fn in_turn(port: &mut Port, reachable: impl Fn(StackId) -> bool) -> Option<StackId> {
        port.choose(Policy::InTurn, LIST, |_| Some(Offer::PLAIN), reachable)
    }

    fn weighing(weight: u8) -> Option<Offer> {
        Some(Offer { weight, ..Offer::PLAIN })
    }

    /// How many of so many connections each of A, B and C gets. They stay open.
    fn spread(
        port: &mut Port,
        count: u32,
        policy: Policy,
        list: ListId,
        offer: impl Fn(StackId) -> Option<Offer>,
    ) -> [u32; 3] {
        let mut counts = BTreeMap::new();
        for _ in 0..count {
            let chosen = port.choose(policy, list, &offer, |_| true).unwrap();
            port.change(chosen, |row| row.active += 1);
            *counts.entry(chosen).or_insert(0) += 1;
        }
        [A, B, C].map(|stack| counts.get(&stack).copied().unwrap_or(0))
    }

    /// Within one percent of the connections of what the shares promise.
    fn assert_shares(counts: [u32; 3], shares: [f64; 3]) {
        let (total, all) = (f64::from(counts.iter().sum::<u32>()), shares.iter().sum::<f64>());
        for (count, share) in counts.into_iter().zip(shares) {
            let promised = total * share / all;
            assert!((f64::from(count) - promised).abs() <= promised * 0.01, "{counts:?} for {shares:?}");
        }
    }

    fn vitals(port: &mut Port, stack: StackId, tcsr: u8) {
        port.change(stack, |row| row.vitals = Vitals { tcsr, ..Vitals::default() });
    }

    /// F7.144: 60 connections over three targets give 20 each.
    #[test]
    fn the_choice_strictly_cycles() {
        let mut port = port(&[C, A, B]);
        let chosen: Vec<_> = (0..60).map(|_| in_turn(&mut port, |_| true).unwrap()).collect();
        assert_eq!(chosen, [A, B, C].repeat(20));
        // A workload manager that gives all the same weight changes nothing.
        let mut port = self::port(&[C, A, B]);
        let chosen: Vec<_> =
            (0..60).map(|_| port.choose(Policy::Share, LIST, |_| weighing(7), |_| true).unwrap()).collect();
        assert_eq!(chosen, [A, B, C].repeat(20));
    }

    /// I21: ROUNDROBIN gives each target the same, and leaves one out that is not responsive.
    #[test]
    fn round_robin_spreads_evenly() {
        let mut port = port(&[A, B, C]);
        let plain = |_| Some(Offer::PLAIN);
        assert_shares(spread(&mut port, CONNECTIONS, Policy::InTurn, LIST, plain), [1.0, 1.0, 1.0]);
        vitals(&mut port, B, 0);
        assert_eq!(spread(&mut port, 100, Policy::InTurn, LIST, plain), [50, 0, 50]);
        vitals(&mut port, B, 75);
        assert_eq!(spread(&mut port, 99, Policy::InTurn, LIST, plain), [33, 33, 33], "the rate alone counts nothing");
    }

    /// I21: BASEWLM and SERVERWLM give each target its share of weight x TSR; a change is followed at once.
    #[test]
    fn shares_are_kept() {
        let mut port = port(&[A, B, C]);
        let weights = |stack: StackId| weighing([10, 20, 64][usize::from(stack.0) - 1]);
        assert_shares(spread(&mut port, CONNECTIONS, Policy::Share, LIST, weights), [10.0, 20.0, 64.0]);
        // Every window is as the whole: no target waits for long.
        for _ in 0..20 {
            let counts = spread(&mut port, 94, Policy::Share, LIST, weights);
            let expected = [10, 20, 64];
            assert!(counts.iter().zip(expected).all(|(count, expected)| count.abs_diff(expected) <= 1), "{counts:?}");
        }
        vitals(&mut port, C, 50);
        assert_shares(spread(&mut port, CONNECTIONS, Policy::Share, LIST, weights), [10.0, 20.0, 32.0]);
        port.reweigh();
        let others = |stack: StackId| weighing([3, 0, 1][usize::from(stack.0) - 1]);
        vitals(&mut port, C, 100);
        let counts = spread(&mut port, 12, Policy::Share, LIST, others);
        assert_eq!(counts, [9, 0, 3], "at once");
        port.reweigh();
        assert_eq!(spread(&mut port, 12, Policy::Share, LIST, |_| weighing(0)), [4, 4, 4], "all zero: in turn");
    }

    /// However often weights are told anew, nobody's share starves.
    #[test]
    fn shares_survive_new_weights() {
        let mut port = port(&[A, B, C]);
        let mut sums = [0; 3];
        for round in 0..CONNECTIONS / 4 {
            let more = (round % 2) as u8;
            let weights = |stack: StackId| weighing([30, 6, 2][usize::from(stack.0) - 1] + more);
            port.reweigh();
            let counts = spread(&mut port, 4, Policy::Share, LIST, weights);
            sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
        let total = f64::from(sums.iter().sum::<u32>());
        for (sum, share) in sums.into_iter().zip([30.5, 6.5, 2.5]) {
            let promised = total * share / 39.5;
            assert!((f64::from(sum) - promised).abs() <= promised * 0.05, "{sums:?}");
        }
    }

    /// I21: WEIGHTEDACTIVE keeps active connections in proportion to the weights, whatever ends.
    #[test]
    fn weights_are_kept() {
        let mut port = port(&[A, B]);
        let weights = |stack: StackId| weighing(if stack == A { 30 } else { 10 });
        let active = |port: &Port| port.rows.iter().map(|(_, row)| row.active).collect::<Vec<_>>();
        spread(&mut port, 40, Policy::Load, LIST, weights);
        assert_eq!(active(&port), [30, 10]);
        port.change(A, |row| row.active -= 20);
        spread(&mut port, 20, Policy::Load, LIST, weights);
        assert_eq!(active(&port), [30, 10]);
    }

    /// I21: WEIGHTEDACTIVE counts TSR, health and abnormal completions in; a change is followed at once.
    #[test]
    fn what_is_not_well_gets_less() {
        let mut port = port(&[A, B, C]);
        vitals(&mut port, B, 50);
        let offers = |stack: StackId| match stack {
            C => Some(Offer { weight: 10, abnormal: 250, health: 40, rank: 0 }),
            _ => weighing(10),
        };
        let counts = spread(&mut port, CONNECTIONS, Policy::Load, LIST, offers);
        assert_shares(counts, [10.0, 5.0, 3.0]);
        port.reweigh();
        assert_eq!(spread(&mut port, 100, Policy::Load, LIST, |_| weighing(10)), [0, 0, 100], "until all are equal");
    }

    /// I14: only targets that listen and are reachable are chosen.
    #[test]
    fn only_eligible_targets_are_chosen() {
        let mut port = port(&[A, B, C]);
        ready(&mut port, B, 0);
        for policy in [Policy::InTurn, Policy::Share, Policy::Load, standby(true)] {
            let mut choose = |reachable: &dyn Fn(StackId) -> bool| {
                port.choose(policy, LIST, |stack| Some(Offer { weight: stack.0 as u8, ..Offer::PLAIN }), reachable)
            };
            assert_eq!([(); 3].map(|()| choose(&|stack| stack != C).unwrap()), [A, A, A]);
            assert_eq!(choose(&|_| false), None);
        }
    }

    /// One that is not responsive gets what no other can take, and one connection for each probe.
    #[test]
    fn probes_are_few() {
        for policy in [Policy::InTurn, Policy::Share, Policy::Load, standby(true)] {
            let mut port = port(&[A, B]);
            vitals(&mut port, A, 0);
            let offer = |stack: StackId| Some(Offer { rank: 255 - stack.0 as u8, ..Offer::PLAIN });
            let count = |port: &mut Port, times| spread(port, times, policy, LIST, offer)[0];
            assert_eq!(count(&mut port, 100), 0, "{policy:?}");
            port.change(A, |row| row.probe = true);
            assert_eq!(count(&mut port, 100), 1, "{policy:?}");
            ready(&mut port, B, 0);
            assert_eq!(count(&mut port, 10), 10, "{policy:?}: better than nobody");
        }
    }

    fn standby(switch_back: bool) -> Policy {
        Policy::Standby(StandbyPolicy { switch_back, health_switch: true })
    }

    /// A is preferred, B and C back it up, C first.
    fn by_rank(stack: StackId) -> Option<Offer> {
        Some(Offer { rank: [255, 10, 20][usize::from(stack.0) - 1], ..Offer::PLAIN })
    }

    /// HOTSTANDBY: all to one; the highest rank follows it; with AUTOSWITCHBACK the preferred one is back as soon as
    /// it is ready, without it nobody is until the one in use fails.
    #[test]
    fn hot_standby_uses_one() {
        for switch_back in [true, false] {
            let policy = standby(switch_back);
            let mut port = port(&[A, B, C]);
            let all = |port: &mut Port| {
                let counts = spread(port, 100, policy, LIST, by_rank);
                [A, B, C][counts.iter().position(|count| *count == 100).expect("all to one")]
            };
            assert_eq!(all(&mut port), A);
            ready(&mut port, A, 0);
            assert_eq!(all(&mut port), C, "the highest rank");
            ready(&mut port, C, 0);
            assert_eq!(all(&mut port), B);
            ready(&mut port, C, 1);
            assert_eq!(all(&mut port), B, "a backup does not give way to another");
            ready(&mut port, A, 1);
            assert_eq!(all(&mut port), if switch_back { A } else { B });
            ready(&mut port, B, 0);
            assert_eq!(all(&mut port), A);
        }
    }

    /// HEALTHSWITCH: TSR 0, health 0 or 1,000 abnormal completions are as no listener; NOHEALTHSWITCH: they are not.
    #[test]
    fn hot_standby_minds_health() {
        let sick = |abnormal, health| {
            move |stack: StackId| match stack {
                A => Some(Offer { abnormal, health, ..by_rank(A)? }),
                other => by_rank(other),
            }
        };
        for (health_switch, expected) in [(true, C), (false, A)] {
            let policy = Policy::Standby(StandbyPolicy { switch_back: true, health_switch });
            for (abnormal, health) in [(1000, 100), (0, 0)] {
                let mut port = port(&[A, B, C]);
                assert_eq!(port.choose(policy, LIST, sick(abnormal, health), |_| true), Some(expected));
            }
            let mut port = port(&[A, B, C]);
            vitals(&mut port, A, 0);
            assert_eq!(port.choose(policy, LIST, by_rank, |_| true), Some(expected));
        }
        let mut port = port(&[A]);
        assert_eq!(port.choose(standby(true), LIST, sick(1000, 0), |_| true), Some(A), "better than nobody");
    }

    /// HOTSTANDBY, NOAUTOSWITCHBACK: whoever is ready first is used; and a router that has just taken over goes on
    /// with the one that has the connections.
    #[test]
    fn hot_standby_begins_with_the_first() {
        let mut port = port(&[B, A, C]);
        assert_eq!(port.choose(standby(false), LIST, by_rank, |_| true), Some(B));
        let mut port = self::port(&[A, B, C]);
        port.change(C, |row| row.active = 3);
        port.change(B, |row| row.active = 1);
        assert_eq!(port.choose(standby(false), LIST, by_rank, |_| true), Some(C));
    }

    /// F7.144, as it is written: every row is looked at, loads are compared as fractions.
    fn by_the_book(port: &Port, weighted: bool, weights: &[u8], reachable: u16) -> Option<StackId> {
        let usable = |(stack, row): &&(StackId, Row)| {
            let place = usize::from(stack.0);
            row.ready > 0 && weights[place] > 0 && reachable & 1 << place != 0
        };
        let after = |stack: StackId| port.last.is_none_or(|last| stack > last);
        let in_turn = port.rows.iter().filter(|(stack, _)| after(*stack));
        let in_turn = in_turn.chain(port.rows.iter().filter(|(stack, _)| !after(*stack)));
        let mut candidates = in_turn.filter(usable);
        let weight = |stack: StackId| u64::from(weights[usize::from(stack.0)]);
        let less = |one: &(StackId, Row), other: &(StackId, Row)| {
            u64::from(one.1.active) * weight(other.0) < u64::from(other.1.active) * weight(one.0)
        };
        let chosen = if weighted {
            candidates.reduce(|best, other| if less(other, best) { other } else { best })
        } else {
            candidates.next()
        };
        chosen.map(|(stack, _)| *stack)
    }

    proptest! {
        /// I14, I21: whatever comes and goes, with lists that change, the choice is that by the book.
        #[test]
        fn choices_are_by_the_book(
            steps in proptest::collection::vec((0u8..8, 0u16..12, any::<u16>()), 0..300),
            weighted: bool,
        ) {
            let mut port = Port::default();
            let (mut list, mut weights) = (LIST, [10u8; 12]);
            let policy = if weighted { Policy::Load } else { Policy::InTurn };
            for (step, stack, number) in steps {
                let stack = StackId(stack);
                match step {
                    0 => ready(&mut port, stack, number % 2),
                    1 if port.row(stack).is_some() => {
                        port.change(stack, |row| row.active = row.active.saturating_sub(1));
                    }
                    2 if port.row(stack).is_some() => ready(&mut port, stack, 0),
                    3 if number % 8 == 0 => {
                        // The list changes, and its epoch.
                        list.0.round += 1;
                        weights[usize::from(stack.0)] = (number >> 8) as u8 % 100;
                    }
                    _ => {
                        let reachable = if step == 4 { number } else { u16::MAX };
                        let expected = by_the_book(&port, weighted, &weights, reachable);
                        let offer = |stack: StackId| weighing(weights[usize::from(stack.0)]).filter(|one| one.weight > 0);
                        let chosen = port.choose(policy, list, offer, |stack| reachable & 1 << stack.0 != 0);
                        prop_assert_eq!(chosen, expected);
                        if let Some(chosen) = chosen {
                            (0..number % 50).for_each(|_| port.change(chosen, |row| row.active += 1));
                        }
                    }
                }
            }
        }

        /// Loads compare as the fractions do.
        #[test]
        fn loads_compare_as_fractions(a: u32, b: u32, v in 1u8.., w in 1u8..) {
            let loaded = |active, weight: u8| load(&Row { ready: 1, active, ..Row::default() }, u32::from(weight) << 8);
            let fractions = (u64::from(a) * u64::from(w)).cmp(&(u64::from(b) * u64::from(v)));
            prop_assert_eq!(loaded(a, v).cmp(&loaded(b, w)), fractions);
            let near = (a / u32::from(v)).saturating_mul(w.into());
            let fractions = (u64::from(a) * u64::from(w)).cmp(&(u64::from(near) * u64::from(v)));
            prop_assert_eq!(loaded(a, v).cmp(&loaded(near, w)), fractions);
        }
    }
}
