//! Ten thousand connections.

use tests::{Lab, Probe, eventually, workspace};

const CONNECTIONS: u64 = 10_000;

/// A line of the event log: its time in milliseconds, and what it says.
fn parsed(line: &str) -> (u64, &str) {
    let (time, text) = line.trim_start_matches(['[', ' ']).split_once("] ").expect("a line of the log has a time");
    (time.replace('.', "").parse().expect("a number of milliseconds"), text)
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
    eventually("MVS5 routes", || lab.log().iter().any(|line| line.contains("MVS5: 203.0.113.1 is active with")));
    let log = lab.log();
    // Whoever notices first: the supervisor, or any stack.
    let noticed = |text: &str| text == "MVS1: killed" || text.ends_with(": MVS1 is gone");
    let (detected, _) = log.iter().map(|line| parsed(line)).find(|(_, text)| noticed(text)).expect("it was noticed");
    let active = |text: &str| text.starts_with("MVS5: 203.0.113.1 is active with");
    let (complete, text) = log.iter().map(|line| parsed(line)).find(|(_, text)| active(text)).expect("MVS5 is active");
    println!("{text}\nfrom detection to complete tables: {} ms", complete - detected);
    assert!(text.contains(&format!("is active with {CONNECTIONS} connections")), "{text}");
    assert!(complete - detected <= 100, "{} ms", complete - detected);
    assert_eq!(lab.routes("MVS5", "203.0.113.1").len() as u64, CONNECTIONS);
    let after = probe.check("idle");
    after.all_live(CONNECTIONS);
    println!("{} segments were sent again", after.retransmissions());
}
