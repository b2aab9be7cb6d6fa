//! The destination port table of one DVIPA, and the choice of a target.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::membership::StackId;
use crate::ownership::Epoch;

/// One row of the DPT: a current actual target for one port, or one that was and still has
/// connections (R7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Row {
    /// Applications that listen there (F8.166).
    pub ready: u16,
    /// CRT entries that point there.
    pub active: u32,
    /// Connections sent there since the row was made.
    pub total: u64,
}

/// Which list of targets a choice goes by: a routing stack takes up another only with another epoch.
pub(crate) type ListId = (Epoch, u64);

#[derive(Debug, Default)]
struct Port {
    /// In the order of the stacks' XCF addresses.
    rows: Vec<(StackId, Row)>,
    /// For each row how loaded its target is, or [`OUT`]. Right while `list` is there.
    loads: Vec<u64>,
    /// For each row the weight of its target; 0 if the list does not name it.
    weights: Vec<u8>,
    /// The list that the weights are from; `None` once the rows are others.
    list: Option<ListId>,
    /// The last one chosen.
    last: Option<StackId>,
}

/// The load of a target that takes nothing new.
const OUT: u64 = u64::MAX;

/// Connections by weight, so that loads compare as the fractions do: fractions of weights below 2^8 that
/// differ do so by more than 2^-16.
fn load(row: &Row, weight: u8) -> u64 {
    match weight {
        0 => OUT,
        _ if row.ready == 0 => OUT,
        weight => (u64::from(row.active) << 16) / u64::from(weight),
    }
}

impl Port {
    fn place(&self, stack: StackId) -> Result<usize, usize> {
        self.rows.binary_search_by_key(&stack, |(stack, _)| *stack)
    }

    /// Changes a row, which is made if it is not there.
    fn change(&mut self, stack: StackId, change: impl FnOnce(&mut Row)) {
        let place = self.place(stack).unwrap_or_else(|place| {
            self.rows.insert(place, (stack, Row::default()));
            self.list = None;
            place
        });
        let row = &mut self.rows[place].1;
        change(row);
        if row.ready == 0 && row.active == 0 {
            self.rows.remove(place);
            self.list = None;
        } else if self.list.is_some() {
            self.loads[place] = load(row, self.weights[place]);
        }
    }

    /// Takes weights from the list that counts now.
    fn weigh(&mut self, list: ListId, weight: impl Fn(StackId) -> Option<u8>) {
        if self.list != Some(list) {
            self.weights =
                self.rows.iter().map(|(stack, _)| weight(*stack).map_or(0, |weight| weight.max(1))).collect();
            self.loads = self.rows.iter().zip(&self.weights).map(|((_, row), weight)| load(row, *weight)).collect();
            self.list = Some(list);
        }
    }

    /// Places of rows from the one after the last chosen on, once around.
    fn in_turn(&self) -> impl Iterator<Item = usize> + use<> {
        let first = self.last.map_or(0, |last| self.rows.partition_point(|(stack, _)| *stack <= last));
        (first..self.rows.len()).chain(0..first)
    }

    /// The first in turn that takes something and can be reached.
    fn next(&self, reachable: impl Fn(StackId) -> bool) -> Option<usize> {
        self.in_turn().find(|place| self.loads[*place] != OUT && reachable(self.rows[*place].0))
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

/// The DPT of one DVIPA.
#[derive(Debug, Default)]
pub(crate) struct Dpt {
    ports: HashMap<u16, Port, FixedState>,
}

impl Dpt {
    /// F8.166: so many applications listen on the port at the stack.
    pub fn set_ready(&mut self, port: u16, stack: StackId, ready: u16) {
        if ready == 0 {
            self.change(port, stack, |row| row.ready = 0);
        } else {
            self.ports.entry(port).or_default().change(stack, |row| row.ready = ready);
        }
    }

    /// The stack's listeners are not known any more; rows with connections stay (R7).
    pub fn clear_ready(&mut self, stack: StackId) {
        let ports: Vec<u16> = self.ports.keys().copied().collect();
        ports.into_iter().for_each(|port| self.set_ready(port, stack, 0));
    }

    /// A CRT entry for the port now points to the stack.
    pub fn entered(&mut self, port: u16, stack: StackId) {
        self.ports.entry(port).or_default().change(stack, |row| row.active += 1);
    }

    /// A CRT entry for the port no longer points to the stack.
    pub fn left(&mut self, port: u16, stack: StackId) {
        self.change(port, stack, |row| row.active = row.active.saturating_sub(1));
    }

    /// Changes a row that is there.
    fn change(&mut self, port: u16, stack: StackId, change: impl FnOnce(&mut Row)) {
        if let Some(table) = self.ports.get_mut(&port).filter(|table| table.place(stack).is_ok()) {
            table.change(stack, change);
            if table.rows.is_empty() {
                self.ports.remove(&port);
            }
        }
    }

    /// Whether the stack has listeners on the port.
    pub fn is_ready(&self, port: u16, stack: StackId) -> bool {
        let row = |table: &Port| Some(table.rows[table.place(stack).ok()?].1);
        self.ports.get(&port).and_then(row).is_some_and(|row| row.ready > 0)
    }

    /// F7.144: the next current actual target after the last one, in the order of XCF addresses,
    /// among those that can be reached. It strictly cycles: n connections over m targets that
    /// stay give each n/m of them.
    ///
    /// If it is `weighted`, among those for which connections by weight are fewest (WEIGHTEDACTIVE).
    /// `weight` says what `list` says of a stack; it is only called when that has changed.
    pub fn choose(
        &mut self,
        port: u16,
        weighted: bool,
        list: ListId,
        weight: impl Fn(StackId) -> Option<u8>,
        reachable: impl Fn(StackId) -> bool,
    ) -> Option<StackId> {
        let table = self.ports.get_mut(&port)?;
        table.weigh(list, weight);
        let place = if weighted { table.least(reachable) } else { table.next(reachable) }?;
        let (chosen, row) = &mut table.rows[place];
        row.total += 1;
        table.last = Some(*chosen);
        Some(*chosen)
    }

    /// All connections.
    pub fn connections(&self) -> usize {
        self.ports.values().flat_map(|table| &table.rows).map(|(_, row)| row.active as usize).sum()
    }

    /// All rows by port and stack.
    pub fn rows(&self) -> Vec<(u16, StackId, Row)> {
        let rows =
            self.ports.iter().flat_map(|(port, table)| table.rows.iter().map(|(stack, row)| (*port, *stack, *row)));
        let mut rows: Vec<_> = rows.collect();
        rows.sort_unstable_by_key(|(port, stack, _)| (*port, *stack));
        rows
    }

    /// F10.310: this stack routes no more; every row goes.
    pub fn clear(&mut self) {
        self.ports.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const A: StackId = StackId(1);
    const B: StackId = StackId(2);
    const C: StackId = StackId(3);
    const LIST: ListId = (Epoch { round: 1, rank: 1 }, 1);

    fn round_robin(dpt: &mut Dpt, port: u16, eligible: impl Fn(StackId) -> bool) -> Option<StackId> {
        dpt.choose(port, false, LIST, |_| Some(10), eligible)
    }

    /// F7.144: 60 connections over three targets give 20 each.
    #[test]
    fn the_choice_strictly_cycles() {
        let mut dpt = Dpt::default();
        [C, A, B].into_iter().for_each(|stack| dpt.set_ready(60, stack, 1));
        let mut counts = BTreeMap::new();
        for _ in 0..60 {
            *counts.entry(round_robin(&mut dpt, 60, |_| true).unwrap()).or_insert(0) += 1;
        }
        assert_eq!(counts, BTreeMap::from([(A, 20), (B, 20), (C, 20)]));
        assert_eq!(round_robin(&mut dpt, 61, |_| true), None);
    }

    /// I21: WEIGHTEDACTIVE keeps active connections in proportion to the weights, whatever ends.
    #[test]
    fn weights_are_kept() {
        let weight = |stack: StackId| if stack == A { 30 } else { 10 };
        let mut dpt = Dpt::default();
        [A, B].into_iter().for_each(|stack| dpt.set_ready(60, stack, 1));
        let open = |dpt: &mut Dpt, count: usize| {
            for _ in 0..count {
                let chosen = dpt.choose(60, true, LIST, |stack| Some(weight(stack)), |_| true).unwrap();
                dpt.entered(60, chosen);
            }
        };
        let active = |dpt: &Dpt| dpt.rows().iter().map(|(_, _, row)| row.active).collect::<Vec<_>>();
        open(&mut dpt, 40);
        assert_eq!(active(&dpt), [30, 10]);
        (0..20).for_each(|_| dpt.left(60, A));
        open(&mut dpt, 20);
        assert_eq!(active(&dpt), [30, 10]);
    }

    /// I14: only targets that listen and are reachable are chosen.
    #[test]
    fn only_eligible_targets_are_chosen() {
        let mut dpt = Dpt::default();
        [A, B, C].into_iter().for_each(|stack| dpt.set_ready(60, stack, 2));
        dpt.set_ready(60, B, 0);
        assert_eq!([(); 3].map(|()| round_robin(&mut dpt, 60, |stack| stack != C).unwrap()), [A, A, A]);
        assert_eq!(round_robin(&mut dpt, 60, |_| false), None);
    }

    /// R7: without listener the row is not chosen, but it counts its connections until the last
    /// one is gone.
    #[test]
    fn rows_stay_while_connections_do() {
        let mut dpt = Dpt::default();
        dpt.set_ready(60, A, 1);
        dpt.entered(60, A);
        dpt.entered(60, A);
        dpt.clear_ready(A);
        assert_eq!((dpt.is_ready(60, A), dpt.connections()), (false, 2));
        dpt.left(60, A);
        assert_eq!(dpt.rows(), [(60, A, Row { ready: 0, active: 1, total: 0 })]);
        dpt.left(60, A);
        assert_eq!(dpt.rows(), []);
    }

    /// F7.144, as it is written: every row is looked at, loads are compared as fractions.
    fn by_the_book(dpt: &Dpt, weighted: bool, weights: &[u8], reachable: u16) -> Option<StackId> {
        let table = dpt.ports.get(&60)?;
        let usable = |(stack, row): &&(StackId, Row)| {
            let place = usize::from(stack.0);
            row.ready > 0 && weights[place] > 0 && reachable & 1 << place != 0
        };
        let after = |stack: StackId| table.last.is_none_or(|last| stack > last);
        let in_turn = table.rows.iter().filter(|(stack, _)| after(*stack));
        let in_turn = in_turn.chain(table.rows.iter().filter(|(stack, _)| !after(*stack)));
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
            let mut dpt = Dpt::default();
            let (mut list, mut weights) = (LIST, [10u8; 12]);
            for (step, stack, number) in steps {
                let stack = StackId(stack);
                match step {
                    0 => dpt.set_ready(60, stack, number % 2),
                    1 => dpt.left(60, stack),
                    2 => dpt.clear_ready(stack),
                    3 if number % 8 == 0 => {
                        // The list changes, and its epoch.
                        list.0.round += 1;
                        weights[usize::from(stack.0)] = (number >> 8) as u8 % 100;
                    }
                    _ => {
                        let reachable = if step == 4 { number } else { u16::MAX };
                        let expected = by_the_book(&dpt, weighted, &weights, reachable);
                        let weight = |stack: StackId| Some(weights[usize::from(stack.0)]).filter(|weight| *weight > 0);
                        let chosen = dpt.choose(60, weighted, list, weight, |stack| reachable & 1 << stack.0 != 0);
                        prop_assert_eq!(chosen, expected);
                        if let Some(chosen) = chosen {
                            (0..number % 50).for_each(|_| dpt.entered(60, chosen));
                        }
                    }
                }
            }
        }

        /// Loads compare as the fractions do.
        #[test]
        fn loads_compare_as_fractions(a: u32, b: u32, v in 1u8.., w in 1u8..) {
            let loaded = |active, weight| load(&Row { ready: 1, active, total: 0 }, weight);
            let fractions = (u64::from(a) * u64::from(w)).cmp(&(u64::from(b) * u64::from(v)));
            prop_assert_eq!(loaded(a, v).cmp(&loaded(b, w)), fractions);
            let near = (a / u32::from(v)).saturating_mul(w.into());
            let fractions = (u64::from(a) * u64::from(w)).cmp(&(u64::from(near) * u64::from(v)));
            prop_assert_eq!(loaded(a, v).cmp(&loaded(near, w)), fractions);
        }
    }
}
