//! Ten thousand connections.

use tests::{Lab, Probe, eventually, workspace};

const CONNECTIONS: u64 = 10_000;

/// Milliseconds at which the event log says `what` of `image`, the last time.
fn logged(lab: &Lab, image: &str, what: &str) -> Option<(u64, String)> {
    let log = lab.log();
    let line = log.into_iter().rev().find(|line| line.contains(&format!("{image}: ")) && line.contains(what))?;
    let (seconds, millis) = line.trim_start_matches(['[', ' ']).split_once(']')?.0.split_once('.')?;
    Some((seconds.parse::<u64>().ok()? * 1000 + millis.parse::<u64>().ok()?, line))
}

/// F9.204-210, I24: 10,000 established connections outlive their router without a reset, and the
/// new router's tables are complete within 100 ms of detection.
#[test]
fn ten_thousand_connections_outlive_their_router() {
    let lab = Lab::up(workspace().join("profiles/matrix.ron").to_str().expect("UTF-8"));
    let mut probe = Probe::start(&lab);
    probe.open("idle", "203.0.113.1:7", CONNECTIONS, None).all_live(CONNECTIONS);
    eventually("the router knows them all", || lab.routes("MVS1", "203.0.113.1").len() as u64 == CONNECTIONS);
    lab.kill("MVS1");
    lab.wait_for_owner("DVA", "MVS5");
    eventually("MVS5 is active", || logged(&lab, "MVS5", "is active with").is_some());
    let (detected, _) = logged(&lab, "MVS5", "MVS1 is gone").expect("MVS5 has noticed");
    let (active, line) = logged(&lab, "MVS5", "is active with").expect("just seen");
    println!("{line}\nfrom detection to complete tables: {} ms", active - detected);
    assert!(line.contains(&format!("is active with {CONNECTIONS} connections")), "{line}");
    assert!(active - detected <= 100, "{} ms", active - detected);
    assert_eq!(lab.routes("MVS5", "203.0.113.1").len() as u64, CONNECTIONS);
    let after = probe.check("idle");
    after.all_live(CONNECTIONS);
    println!("{} segments were sent again", after.retransmissions());
}
