//! The choice of a target for a new connection, among the rows of one port.
//!
//! | method | what is chosen |
//! |---|---|
//! | ROUNDROBIN, and BASEWLM without weights | strictly the next in the order of XCF addresses |
//! | BASEWLM, SERVERWLM | by shares: each choice moves a target's turn on by 1 / (weight x TSR), the earliest turn is next |
//! | WEIGHTEDACTIVE | the fewest active connections by WEIGHT x TSR x health x (1 - abnormal / 1000) |
//! | HOTSTANDBY | the target that is active, until it fails |
//!
//! OPTLOCAL 2 to 16 multiplies the weight of one target for the clients on its own image ([`Favour`]).
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

/// Whose weight counts several times for one connection (OPTLOCAL 2 to 16).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Favour {
    pub stack: StackId,
    pub times: u8,
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
    /// The turn that was given last: none that can be had is earlier.
    turn: u64,
    /// The last one chosen.
    last: Option<StackId>,
    /// The one that HOTSTANDBY uses.
    standby: Option<StackId>,
    /// Its place, if no other row can come before it; right while `weighed` is.
    settled: Option<usize>,
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
        favour: Option<Favour>,
        offer: impl Fn(StackId) -> Option<Offer>,
        reachable: impl Fn(StackId) -> bool,
    ) -> Option<StackId> {
        self.refresh(policy, list, offer);
        let place = match self.probed(&reachable) {
            Some(place) => place,
            None => match policy {
                Policy::InTurn => self.next(reachable),
                Policy::Share => self.earliest(reachable).inspect(|place| self.advance(*place, favour)),
                Policy::Load => match favour {
                    None => self.least(reachable),
                    Some(favour) => self.least_favouring(favour, reachable),
                },
                Policy::Standby(how) => self.in_use(how, reachable),
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
        let started = self.by_share.then_some(self.turn);
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
                        // At most one interval: nothing overflows.
                        Some(start) => {
                            let interval = ROUND / u64::from(before);
                            (self.loads[place].saturating_sub(start).min(interval) << 8) / interval
                        }
                        None => 128,
                    };
                    ((ROUND / u64::from(rating.strength)) * of_256) >> 8
                }
            };
        }
        self.turn = 0;
        self.ratings = ratings;
        self.settled = None;
        self.by_share = matches!(policy, Policy::Share);
        self.weighed = Some((list, policy));
    }

    /// The one whose turn is the earliest. Turns that went by while a target could not be had are not made up for:
    /// it is as far as the others when it is back, and does not get everything until it has caught up.
    fn earliest(&mut self, reachable: impl Fn(StackId) -> bool) -> Option<usize> {
        loop {
            let place = self.least(&reachable)?;
            match self.loads[place] {
                IDLE => return Some(place),
                behind if behind < self.turn => self.loads[place] = self.turn,
                turn => {
                    self.turn = turn;
                    return Some(place);
                }
            }
        }
    }

    /// Its turn has come; the next is as much later as its share is smaller. That of a favoured one comes so
    /// many times sooner, whoever the next client is.
    fn advance(&mut self, place: usize, favour: Option<Favour>) {
        let favour = favour.filter(|favour| favour.stack == self.rows[place].0);
        let times = favour.map_or(1, |favour| u64::from(favour.times.max(1)));
        let strength = u64::from(self.ratings[place].strength) * times;
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

    /// The same, with the load of one divided by what multiplies its weight.
    fn least_favouring(&mut self, favour: Favour, reachable: impl Fn(StackId) -> bool) -> Option<usize> {
        let Some(place) = self.place(favour.stack).ok().filter(|place| self.loads[*place] < IDLE) else {
            return self.least(reachable);
        };
        let load = self.loads[place];
        self.loads[place] = load / u64::from(favour.times.max(1));
        let least = self.least(reachable);
        self.loads[place] = load;
        least
    }

    /// HOTSTANDBY's choice, which looks at all rows only when something has changed. What is weighed anew is
    /// forgotten; of what is not, reachability alone can change the choice. So it is remembered if it is the same
    /// with every target in reach: then it stands as long as the one in use is in reach itself.
    fn in_use(&mut self, how: StandbyPolicy, reachable: impl Fn(StackId) -> bool) -> Option<usize> {
        if let Some(place) = self.settled.filter(|place| reachable(self.rows[*place].0)) {
            return Some(place);
        }
        let place = self.standby(how, &self.ratings, reachable);
        self.standby = place.map(|place| self.rows[place].0);
        self.settled = place.filter(|place| self.standby(how, &self.ratings, |_| true) == Some(*place));
        place
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
mod tests;
