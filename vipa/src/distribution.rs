//! The destination port table of one DVIPA, and the choice of a target.

use std::collections::BTreeMap;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::membership::StackId;

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

#[derive(Debug, Default)]
struct Port {
    /// In the order of the stacks' XCF addresses.
    rows: BTreeMap<StackId, Row>,
    /// The last one chosen.
    last: Option<StackId>,
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
            self.ports.entry(port).or_default().rows.entry(stack).or_default().ready = ready;
        }
    }

    /// The stack's listeners are not known any more; rows with connections stay (R7).
    pub fn clear_ready(&mut self, stack: StackId) {
        self.ports.retain(|_, port| {
            port.rows.retain(|who, row| {
                if *who == stack {
                    row.ready = 0;
                }
                row.ready != 0 || row.active != 0
            });
            !port.rows.is_empty()
        });
    }

    /// A CRT entry for the port now points to the stack.
    pub fn entered(&mut self, port: u16, stack: StackId) {
        self.ports.entry(port).or_default().rows.entry(stack).or_default().active += 1;
    }

    /// A CRT entry for the port no longer points to the stack.
    pub fn left(&mut self, port: u16, stack: StackId) {
        self.change(port, stack, |row| row.active = row.active.saturating_sub(1));
    }

    fn change(&mut self, port: u16, stack: StackId, change: impl FnOnce(&mut Row)) {
        let Some(table) = self.ports.get_mut(&port) else { return };
        let Some(row) = table.rows.get_mut(&stack) else { return };
        change(row);
        if row.ready == 0 && row.active == 0 {
            table.rows.remove(&stack);
        }
        if table.rows.is_empty() {
            self.ports.remove(&port);
        }
    }

    /// Whether the stack has listeners on the port.
    pub fn is_ready(&self, port: u16, stack: StackId) -> bool {
        self.ports.get(&port).and_then(|table| table.rows.get(&stack)).is_some_and(|row| row.ready > 0)
    }

    /// F7.144: the next current actual target after the last one, in the order of XCF addresses,
    /// among those that `eligible` accepts. It strictly cycles: n connections over m targets that
    /// stay give each n/m of them.
    ///
    /// With a `weight`, among those for which connections by weight are fewest (WEIGHTEDACTIVE).
    pub fn choose(
        &mut self,
        port: u16,
        eligible: impl Fn(StackId) -> bool,
        weight: Option<impl Fn(StackId) -> u8>,
    ) -> Option<StackId> {
        let table = self.ports.get_mut(&port)?;
        let usable = |stack: &StackId, row: &Row| row.ready > 0 && eligible(*stack);
        let after = |stack: &StackId| table.last.is_none_or(|last| *stack > last);
        let in_turn = table.rows.iter().filter(|(stack, _)| after(stack));
        let in_turn = in_turn.chain(table.rows.iter().filter(|(stack, _)| !after(stack)));
        let mut candidates = in_turn.filter(|(stack, row)| usable(stack, row));
        let (chosen, _) = match weight {
            None => candidates.next()?,
            // a / v < b / w, without division; of equals the first in turn.
            Some(weight) => candidates.reduce(|best, other| {
                let load = |of: (&StackId, &Row), by: &StackId| u64::from(of.1.active) * u64::from(weight(*by));
                if load(other, best.0) < load(best, other.0) { other } else { best }
            })?,
        };
        let chosen = *chosen;
        table.last = Some(chosen);
        if let Some(row) = table.rows.get_mut(&chosen) {
            row.total += 1;
        }
        Some(chosen)
    }

    /// All connections.
    pub fn connections(&self) -> usize {
        self.ports.values().flat_map(|table| table.rows.values()).map(|row| row.active as usize).sum()
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
    use super::*;

    const A: StackId = StackId(1);
    const B: StackId = StackId(2);
    const C: StackId = StackId(3);
    const ROUND_ROBIN: Option<fn(StackId) -> u8> = None;

    /// F7.144: 60 connections over three targets give 20 each.
    #[test]
    fn the_choice_strictly_cycles() {
        let mut dpt = Dpt::default();
        [C, A, B].into_iter().for_each(|stack| dpt.set_ready(60, stack, 1));
        let mut counts = BTreeMap::new();
        for _ in 0..60 {
            *counts.entry(dpt.choose(60, |_| true, ROUND_ROBIN).unwrap()).or_insert(0) += 1;
        }
        assert_eq!(counts, BTreeMap::from([(A, 20), (B, 20), (C, 20)]));
        assert_eq!(dpt.choose(61, |_| true, ROUND_ROBIN), None);
    }

    /// I21: WEIGHTEDACTIVE keeps active connections in proportion to the weights, whatever ends.
    #[test]
    fn weights_are_kept() {
        let weight = |stack: StackId| if stack == A { 30 } else { 10 };
        let mut dpt = Dpt::default();
        [A, B].into_iter().for_each(|stack| dpt.set_ready(60, stack, 1));
        let open = |dpt: &mut Dpt, count: usize| {
            for _ in 0..count {
                let chosen = dpt.choose(60, |_| true, Some(weight)).unwrap();
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
        assert_eq!([(); 3].map(|()| dpt.choose(60, |stack| stack != C, ROUND_ROBIN).unwrap()), [A, A, A]);
        assert_eq!(dpt.choose(60, |_| false, ROUND_ROBIN), None);
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
}
