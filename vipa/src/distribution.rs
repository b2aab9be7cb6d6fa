//! The destination port table of one DVIPA.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::choice::{Favour, Offer, Policy, Port, Rating, Row};
use crate::membership::StackId;
use crate::ownership::Epoch;
use crate::vitals::Vitals;

/// Which list of targets a choice goes by: a routing stack takes up another only with another epoch.
pub(crate) type ListId = (Epoch, u64);

/// The DPT of one DVIPA.
#[derive(Debug, Default)]
pub(crate) struct Dpt {
    ports: HashMap<u16, Port, FixedState>,
    /// How many rows have become ready so far.
    readied: u64,
}

impl Dpt {
    /// F8.166: so many applications listen on the port at the stack.
    pub fn set_ready(&mut self, port: u16, stack: StackId, ready: u16) {
        if ready == 0 {
            return self.change(port, stack, |row| row.ready = 0);
        }
        self.readied += 1;
        let order = self.readied;
        self.ports.entry(port).or_default().change(stack, |row| {
            if row.ready == 0 {
                row.readied = order;
            }
            (row.ready, row.doubted) = (ready, false);
        });
    }

    /// The stack's listeners are not known any more; rows with connections stay (R7).
    pub fn clear_ready(&mut self, stack: StackId) {
        self.of_stack(stack).into_iter().for_each(|(port, _)| self.set_ready(port, stack, 0));
    }

    /// The stack begins to report all of its listeners: what it does not name has gone.
    pub fn begin_report(&mut self, stack: StackId) {
        self.of_stack(stack).into_iter().for_each(|(port, _)| self.change(port, stack, |row| row.doubted = true));
    }

    /// The report is complete. The ports whose listeners have gone.
    pub fn end_report(&mut self, stack: StackId) -> Vec<u16> {
        let gone = self.of_stack(stack).into_iter().filter(|(_, row)| row.doubted && row.ready > 0);
        let gone: Vec<u16> = gone.map(|(port, _)| port).collect();
        gone.iter().for_each(|port| self.set_ready(*port, stack, 0));
        gone
    }

    /// A CRT entry for the port now points to the stack.
    pub fn entered(&mut self, port: u16, stack: StackId) {
        self.ports.entry(port).or_default().change(stack, |row| row.active += 1);
    }

    /// A CRT entry for the port no longer points to the stack.
    pub fn left(&mut self, port: u16, stack: StackId) {
        self.change(port, stack, |row| row.active = row.active.saturating_sub(1));
    }

    /// How a server fares, as was measured.
    pub fn set_vitals(&mut self, port: u16, stack: StackId, vitals: Vitals) {
        self.change(port, stack, |row| row.vitals = vitals);
    }

    /// A server that is not well may show whether it is again: the next connection goes there.
    pub fn probe(&mut self, port: u16, stack: StackId) {
        self.change(port, stack, |row| row.probe = true);
    }

    /// A connection goes to a stack that is not chosen by the policy.
    pub fn sent(
        &mut self,
        port: u16,
        stack: StackId,
        policy: Policy,
        list: ListId,
        offer: impl Fn(StackId) -> Option<Offer>,
    ) {
        self.change(port, stack, |row| row.total += 1);
        if let Some(table) = self.ports.get_mut(&port) {
            table.refresh(policy, list, offer);
        }
    }

    /// What targets offer has changed: the next choice looks at it anew.
    pub fn reweigh(&mut self) {
        self.ports.values_mut().for_each(Port::reweigh);
    }

    /// Changes a row that is there.
    fn change(&mut self, port: u16, stack: StackId, change: impl FnOnce(&mut Row)) {
        if let Some(table) = self.ports.get_mut(&port).filter(|table| table.row(stack).is_some()) {
            table.change(stack, change);
            if table.rows().is_empty() {
                self.ports.remove(&port);
            }
        }
    }

    /// The row of a stack for a port.
    pub fn row(&self, port: u16, stack: StackId) -> Option<&Row> {
        self.ports.get(&port)?.row(stack)
    }

    /// Whether the stack has listeners on the port.
    pub fn is_ready(&self, port: u16, stack: StackId) -> bool {
        self.row(port, stack).is_some_and(|row| row.ready > 0)
    }

    /// F7.144: a target for a new connection to the port. `offer` says what `list` and the workload managers say
    /// of a stack; it is only called when that has changed. `favour` is for this connection alone.
    pub fn choose(
        &mut self,
        port: u16,
        policy: Policy,
        list: ListId,
        favour: Option<Favour>,
        offer: impl Fn(StackId) -> Option<Offer>,
        reachable: impl Fn(StackId) -> bool,
    ) -> Option<StackId> {
        self.ports.get_mut(&port)?.choose(policy, list, favour, offer, reachable)
    }

    /// Every row of a port with what the last choice made of it.
    pub fn rated(&self, port: u16) -> impl Iterator<Item = (StackId, &Row, &Rating)> {
        self.ports.get(&port).into_iter().flat_map(Port::rated)
    }

    /// Every row of a port with what the choice makes of it, and the target that HOTSTANDBY now uses.
    pub fn ratings(
        &self,
        port: u16,
        policy: Policy,
        offer: impl Fn(StackId) -> Option<Offer>,
        reachable: impl Fn(StackId) -> bool,
    ) -> (Vec<(StackId, Row, Rating)>, Option<StackId>) {
        let Some(table) = self.ports.get(&port) else { return (Vec::new(), None) };
        let ratings = Rating::of(table.rows(), policy, offer);
        let standby = match policy {
            Policy::Standby(how) => table.standby(how, &ratings, reachable).map(|place| table.rows()[place].0),
            Policy::InTurn | Policy::Share | Policy::Load => None,
        };
        let rows = table.rows().iter().zip(ratings).map(|((stack, row), rating)| (*stack, *row, rating)).collect();
        (rows, standby)
    }

    /// All connections.
    pub fn connections(&self) -> usize {
        self.ports.values().flat_map(Port::rows).map(|(_, row)| row.active as usize).sum()
    }

    /// All rows by port and stack.
    pub fn rows(&self) -> Vec<(u16, StackId, Row)> {
        let rows =
            self.ports.iter().flat_map(|(port, table)| table.rows().iter().map(|(stack, row)| (*port, *stack, *row)));
        let mut rows: Vec<_> = rows.collect();
        rows.sort_unstable_by_key(|(port, stack, _)| (*port, *stack));
        rows
    }

    /// The rows of one stack, by port.
    fn of_stack(&self, stack: StackId) -> Vec<(u16, Row)> {
        let mut rows: Vec<(u16, Row)> =
            self.ports.iter().filter_map(|(port, table)| Some((*port, *table.row(stack)?))).collect();
        rows.sort_unstable_by_key(|(port, _)| *port);
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
        assert_eq!(dpt.row(60, A).map(|row| (row.ready, row.active)), Some((0, 1)));
        dpt.left(60, A);
        assert_eq!(dpt.rows(), []);
    }

    /// R15: a report that says the same again changes nothing; what it does not name has gone.
    #[test]
    fn a_report_is_compared() {
        let mut dpt = Dpt::default();
        (60..63).for_each(|port| dpt.set_ready(port, A, 1));
        let before = dpt.rows();
        dpt.begin_report(A);
        assert!(dpt.is_ready(60, A), "until the report is complete");
        [60, 62].into_iter().for_each(|port| dpt.set_ready(port, A, 1));
        assert_eq!(dpt.end_report(A), [61]);
        assert_eq!(dpt.rows(), [before[0], before[2]]);
    }
}
