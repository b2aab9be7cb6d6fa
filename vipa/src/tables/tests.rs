//! What reports, stale messages and deaths do to the router's tables.

use std::collections::BTreeSet;

use stack::Instant;

use super::*;
use crate::config::Config;
use crate::definitions::{Define, Distribute, Method, Moveable, Options, Ports, Targets};
use crate::membership::Contact;
use crate::takeback::Gathering;

const TARGET: StackId = StackId(1);
const OTHER: StackId = StackId(2);

fn connection() -> Connection {
    Connection { local: ([203, 0, 113, 1], 60).into(), remote: ([198, 51, 100, 1], 1000).into() }
}

/// A router, and the one flow of these tests.
fn router() -> (Vipa, Flow) {
    let address = connection().local.ip();
    let mut config = Config::new("MVS1", [192, 0, 2, 1].into(), 1);
    config.peers = vec![[192, 0, 2, 2].into(), [192, 0, 2, 3].into()];
    config.linked = true;
    config.definitions.defines.push(Define { address, prefix: 24, moveable: Moveable::Immediate });
    let (method, ports, targets) = (Method::RoundRobin, Ports::Every, Targets::All);
    config.definitions.distributes.push(Distribute { address, method, ports, targets, options: Options::default() });
    let mut vipa = Vipa::new(config, 1, Instant::ZERO);
    vipa.handle_timeout(Instant::from_millis(300));
    let flow = vipa.flow(&connection()).unwrap();
    assert!(matches!(vipa.dvipa(flow.dvipa).standing, Standing::Active));
    (vipa, flow)
}

fn entered(vipa: &mut Vipa, flow: Flow, instance: u32, target: StackId) {
    let entry = Entry::new(vipa.now, instance, target, vipa.mark(flow.dvipa, target), Evidence::Client);
    assert!(vipa.enter(flow, entry));
}

/// I11: only the TERMCONN of this very connection, from the stack that serves it, ends it.
#[test]
fn a_stale_termconn_ends_nothing() {
    let (mut vipa, flow) = router();
    entered(&mut vipa, flow, 2, TARGET);
    vipa.connection_ended(TARGET, flow, 1);
    vipa.connection_ended(OTHER, flow, 2);
    assert_eq!(vipa.crt_len(), 1);
    vipa.connection_ended(TARGET, flow, 2);
    assert_eq!(vipa.crt_len(), 0);
}

/// R3, I15: the SYN of the next connection between the same ends overtakes the TERMCONN of the first: sent
/// again, it goes to the same target.
#[test]
fn the_next_syn_stays_where_it_went() {
    let (mut vipa, flow) = router();
    entered(&mut vipa, flow, 1, TARGET);
    vipa.crt.renew(&flow);
    vipa.connection_ended(TARGET, flow, 1);
    let entry = vipa.crt.get(&flow).copied().unwrap();
    assert_eq!((entry.target, entry.is_half_open()), (TARGET, true));
    vipa.connection_ended(TARGET, flow, 1);
    assert_eq!(vipa.crt_len(), 0, "it has been told now");
}

/// I12: while reports come in, a router's NEWCONN for a connection that has ended since at its
/// target does not bring it back.
#[test]
fn a_stale_newconn_brings_nothing_back() {
    let (mut vipa, flow) = router();
    let gathering = Gathering::new(BTreeSet::from([OTHER]), Instant::FAR_FUTURE, None);
    vipa.dvipa_mut(flow.dvipa).standing = Standing::Gathering(gathering);
    vipa.peers.get_mut(&TARGET).unwrap().contact = Contact::Up;
    vipa.connection_ended(TARGET, flow, 1);
    let target = vipa.address_of(TARGET);
    vipa.hear_newconn(OTHER, connection(), 1, target, true, None);
    assert_eq!(vipa.crt_len(), 0);
    vipa.hear_newconn(OTHER, connection(), 2, target, true, None);
    assert_eq!(vipa.crt_len(), 1, "R3, R17: the next one's handshake is under way");
}

/// R6, I13, I21: what points to a dead stack goes, and nothing else.
#[test]
fn a_purge_takes_one_stacks_entries() {
    let (mut vipa, flow) = router();
    entered(&mut vipa, flow, 1, TARGET);
    entered(&mut vipa, Flow { remote_port: 1001, ..flow }, 1, OTHER);
    assert_eq!(vipa.purge(TARGET), 1);
    assert_eq!(vipa.crt_len(), 1);
    let rows: Vec<(StackId, u32)> = vipa.dvipa(flow.dvipa).dpt.rows().iter().map(|row| (row.1, row.2.active)).collect();
    assert_eq!(rows, [(OTHER, 1)]);
}

/// I9, I10: a complete report takes away what it does not name, but not what is younger than it.
#[test]
fn a_report_takes_away_what_it_does_not_name() {
    let (mut vipa, flow) = router();
    let epoch = vipa.dvipa(flow.dvipa).epoch;
    let reported = |vipa: &mut Vipa, instances: &[u16]| {
        vipa.report_begun(TARGET, flow.dvipa, epoch);
        for port in instances {
            let remote = SocketAddr::new(flow.remote, *port);
            let target = vipa.address_of(TARGET);
            vipa.hear_newconn(TARGET, Connection { remote, ..connection() }, 1, target, false, None);
        }
        vipa.report_ended(TARGET, flow.dvipa, epoch);
    };
    reported(&mut vipa, &[1, 2, 3]);
    entered(&mut vipa, flow, 1, TARGET);
    reported(&mut vipa, &[2]);
    let ports = |vipa: &Vipa| vipa.crt().iter().map(|row| row.remote_port).collect::<Vec<_>>();
    assert_eq!(ports(&vipa), [2, 1000], "its SYN may have crossed the report");
    vipa.advance(Instant::from_millis(5000));
    reported(&mut vipa, &[2]);
    assert_eq!(ports(&vipa), [2]);
}

/// I24, I9: whether a report has left something out is counted, whatever happens meanwhile: only then the table
/// is looked through.
#[test]
fn a_report_that_names_everything_is_no_work() {
    let (mut vipa, flow) = router();
    let epoch = vipa.dvipa(flow.dvipa).epoch;
    let at = |port: u16| Flow { remote_port: port, ..flow };
    let reported = |vipa: &mut Vipa, ports: &[u16]| {
        vipa.report_begun(TARGET, flow.dvipa, epoch);
        for port in ports {
            let connection = vipa.connection(&at(*port));
            let target = vipa.address_of(TARGET);
            vipa.hear_newconn(TARGET, connection, 1, target, false, None);
        }
        vipa.report_ended(TARGET, flow.dvipa, epoch);
        let carry = vipa.crt.iter().filter(|(_, entry)| entry.target == TARGET && !entry.is_half_open());
        let all: Vec<bool> = carry.map(|(_, entry)| entry.mark == vipa.mark(flow.dvipa, TARGET)).collect();
        assert_eq!(vipa.dvipa(flow.dvipa).routed[&TARGET].is_confirmed(), !all.contains(&false));
    };
    reported(&mut vipa, &[1, 2, 3]);
    // SYNs pass: one of them is answered, one is not, and one belongs to the next connection between the same ends.
    for port in [4, 5] {
        let mark = vipa.mark(flow.dvipa, TARGET);
        vipa.enter(at(port), Entry::new(vipa.now, 1, TARGET, mark, Evidence::HalfOpen));
    }
    vipa.went_on(&at(4));
    vipa.crt.renew(&at(3));
    entered(&mut vipa, at(6), 1, OTHER);
    reported(&mut vipa, &[1, 2, 3, 4]);
    vipa.connection_ended(TARGET, at(1), 1);
    // Reports one after another, more than there are marks.
    for _ in 0..300 {
        reported(&mut vipa, &[2, 3, 4]);
    }
    assert_eq!((vipa.crt.passes, vipa.crt_len(), vipa.dvipa(flow.dvipa).half_open()), (0, 5, 1));
    reported(&mut vipa, &[2, 4]);
    assert_eq!((vipa.crt.passes, vipa.crt_len()), (1, 4));
    reported(&mut vipa, &[2, 4]);
    assert_eq!(vipa.crt.passes, 1);
}

/// F10.310: a stack that has given up many DVIPAs cleans its tables of all of them at once.
#[test]
fn former_owners_clean_their_tables_once() {
    let (mut vipa, flow) = router();
    let ids: Vec<DvipaId> = (2..50).filter_map(|last| vipa.learn([203, 0, 113, last].into())).collect();
    for id in &ids {
        entered(&mut vipa, Flow { dvipa: *id, ..flow }, 1, TARGET);
        vipa.dvipa_mut(*id).standing = Standing::Former { until: vipa.now };
    }
    entered(&mut vipa, flow, 1, TARGET);
    vipa.retire();
    assert_eq!((vipa.crt.passes, vipa.crt_len()), (1, 1));
    assert!(ids.iter().all(|id| matches!(vipa.dvipa(*id).standing, Standing::Standby)));
    vipa.retire();
    assert_eq!(vipa.crt.passes, 1);
}
