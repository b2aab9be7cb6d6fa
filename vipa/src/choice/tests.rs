//! What each method promises, and that it is kept.

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
    port.choose(Policy::InTurn, LIST, None, |_| Some(Offer::PLAIN), reachable)
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
    spread_favouring(port, count, policy, list, None, offer)
}

fn spread_favouring(
    port: &mut Port,
    count: u32,
    policy: Policy,
    list: ListId,
    favour: Option<Favour>,
    offer: impl Fn(StackId) -> Option<Offer>,
) -> [u32; 3] {
    let mut counts = BTreeMap::new();
    for _ in 0..count {
        let chosen = port.choose(policy, list, favour, &offer, |_| true).unwrap();
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
        (0..60).map(|_| port.choose(Policy::Share, LIST, None, |_| weighing(7), |_| true).unwrap()).collect();
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

/// I21: a target that was out of reach for a while, or is new, gets its share from then on and no more, whether or not
/// it is weighed anew; however much the others have got meanwhile.
#[test]
fn what_was_missed_is_not_made_up_for() {
    let even = |port: &mut Port, case: &str| {
        let counts = spread(port, 30, Policy::Share, LIST, |_| weighing(1));
        assert!(counts.iter().all(|count| count.abs_diff(10) <= 1), "{case}: {counts:?}");
    };
    let without_b = |port: &mut Port, count: u32| {
        for _ in 0..count {
            assert_ne!(port.choose(Policy::Share, LIST, None, |_| weighing(1), |stack| stack != B), Some(B));
        }
    };
    let mut port = port(&[A, B, C]);
    // The smallest strength has the longest turns.
    [A, B, C].into_iter().for_each(|stack| vitals(&mut port, stack, 1));
    even(&mut port, "at first");
    without_b(&mut port, 1000);
    even(&mut port, "back in reach");
    without_b(&mut port, 140_000);
    port.reweigh();
    even(&mut port, "and weighed anew");
    ready(&mut port, B, 0);
    without_b(&mut port, 1000);
    ready(&mut port, B, 1);
    even(&mut port, "it listens again");
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

/// OPTLOCAL 2 to 16: the weight of one counts so many times for its own clients; and no other client's choice
/// remembers that.
#[test]
fn one_may_be_favoured() {
    for policy in [Policy::Share, Policy::Load] {
        let favouring = |stack, times| {
            let (mut port, favour) = (port(&[A, B, C]), Some(Favour { stack, times }));
            spread_favouring(&mut port, CONNECTIONS, policy, LIST, favour, |stack| weighing(stack.0 as u8))
        };
        assert_shares(favouring(A, 4), [4.0, 2.0, 3.0]);
        assert_shares(favouring(B, 16), [1.0, 32.0, 3.0]);
        assert_shares(favouring(StackId(9), 16), [1.0, 2.0, 3.0]);
        let mut port = port(&[A, B, C]);
        let favour = Some(Favour { stack: A, times: 16 });
        spread_favouring(&mut port, CONNECTIONS, policy, LIST, favour, |_| weighing(1));
        [A, B, C].into_iter().for_each(|stack| port.change(stack, |row| row.active = 0));
        assert_shares(spread(&mut port, CONNECTIONS, policy, LIST, |_| weighing(1)), [1.0, 1.0, 1.0]);
        ready(&mut port, A, 0);
        let counts = spread_favouring(&mut port, 100, policy, LIST, favour, |_| weighing(1));
        assert_eq!(counts[0], 0, "it takes nothing: {counts:?}");
    }
}

/// I14: only targets that listen and are reachable are chosen.
#[test]
fn only_eligible_targets_are_chosen() {
    let mut port = port(&[A, B, C]);
    ready(&mut port, B, 0);
    for policy in [Policy::InTurn, Policy::Share, Policy::Load, standby(true)] {
        let mut choose = |reachable: &dyn Fn(StackId) -> bool| {
            port.choose(policy, LIST, None, |stack| Some(Offer { weight: stack.0 as u8, ..Offer::PLAIN }), reachable)
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
            assert_eq!(port.choose(policy, LIST, None, sick(abnormal, health), |_| true), Some(expected));
        }
        let mut port = port(&[A, B, C]);
        vitals(&mut port, A, 0);
        assert_eq!(port.choose(policy, LIST, None, by_rank, |_| true), Some(expected));
    }
    let mut port = port(&[A]);
    assert_eq!(port.choose(standby(true), LIST, None, sick(1000, 0), |_| true), Some(A), "better than nobody");
}

/// HOTSTANDBY, NOAUTOSWITCHBACK: whoever is ready first is used; and a router that has just taken over goes on
/// with the one that has the connections.
#[test]
fn hot_standby_begins_with_the_first() {
    let mut port = port(&[B, A, C]);
    assert_eq!(port.choose(standby(false), LIST, None, by_rank, |_| true), Some(B));
    let mut port = self::port(&[A, B, C]);
    port.change(C, |row| row.active = 3);
    port.change(B, |row| row.active = 1);
    assert_eq!(port.choose(standby(false), LIST, None, by_rank, |_| true), Some(C));
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
                    let chosen = port.choose(policy, list, None, offer, |stack| reachable & 1 << stack.0 != 0);
                    prop_assert_eq!(chosen, expected);
                    if let Some(chosen) = chosen {
                        (0..number % 50).for_each(|_| port.change(chosen, |row| row.active += 1));
                    }
                }
            }
        }
    }

    /// I14, I21: HOTSTANDBY remembers the one in use, and chooses as if it looked at every row each time.
    #[test]
    fn hot_standby_remembers_well(
        steps in proptest::collection::vec((0u8..8, 1u16..8, any::<u16>()), 0..300),
        switch_back: bool,
        health_switch: bool,
    ) {
        let how = StandbyPolicy { switch_back, health_switch };
        let (mut port, mut healths, mut reachable) = (Port::default(), [100u8; 8], u16::MAX);
        for (step, stack, number) in steps {
            let (stack, place) = (StackId(stack), usize::from(stack));
            match step {
                0 => ready(&mut port, stack, number % 2),
                1 if port.row(stack).is_some() => vitals(&mut port, stack, (number % 2) as u8 * 100),
                2 => {
                    healths[place] = (number % 2) as u8 * 100;
                    port.reweigh();
                }
                3 => reachable ^= u16::from(number % 4 == 0) << place,
                4 if port.row(stack).is_some() => port.change(stack, |row| row.active = u32::from(number % 4)),
                _ => {
                    let offer = |stack: StackId| {
                        let rank = if stack.0 == 3 { 255 } else { stack.0 as u8 };
                        (stack.0 < 7).then(|| Offer { rank, health: healths[usize::from(stack.0)], ..Offer::PLAIN })
                    };
                    let is_reachable = |stack: StackId| reachable & 1 << stack.0 != 0;
                    let ratings = Rating::of(&port.rows, Policy::Standby(how), offer);
                    let expected = port.standby(how, &ratings, is_reachable).map(|place| port.rows[place].0);
                    let chosen = port.choose(Policy::Standby(how), LIST, None, offer, is_reachable);
                    prop_assert_eq!(chosen, expected);
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
