//! Two tiers: front ends on images are clients of a DVIPA, with OPTLOCAL and without.

use std::collections::BTreeMap;

use serde_json::Value;
use tests::{Lab, Session, eventually, succeed};

/// How often each image answered, by the front end's `port`.
fn answers(lab: &Lab, port: u16, requests: usize) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for _ in 0..requests {
        let answer = lab.curl(&[&format!("http://203.0.113.1:{port}/")]);
        *counts.entry(answer.trim().to_owned()).or_default() += 1;
    }
    counts
}

fn counts<const N: usize>(expected: [(&str, usize); N]) -> BTreeMap<String, usize> {
    expected.into_iter().map(|(image, count)| (image.to_owned(), count)).collect()
}

/// Why connections to this DVIPA went where they went: by client, target and reason.
fn explained(lab: &Lab, server: &str) -> Vec<(String, String, String)> {
    let all: Value =
        serde_json::from_str(&succeed(lab.command("explain").args(["--json", "--last", "100"]))).expect("JSON");
    let word = |one: &Value, key: &str| one[key].as_str().expect("a word").to_owned();
    let about = all.as_array().expect("a list").iter().filter(|one| one["server"] == server);
    about.map(|one| (word(one, "client"), word(one, "target"), word(one, "why"))).collect()
}

/// F7.142-150, R16: what a front end opens to the back end goes by the method, and may come back to its own image;
/// with OPTLOCAL it stays there, until the own server is gone.
#[test]
fn tiers_are_distributed_or_stay() {
    let lab = Lab::up("tiers");
    assert_eq!(answers(&lab, 80, 12), counts([("MVS2", 4), ("MVS3", 4), ("MVS4", 4)]));
    let why = explained(&lab, "203.0.113.65:80");
    assert_eq!(why.len(), 12);
    assert!(why.iter().all(|(_, _, why)| why == "method"), "{why:?}");
    assert!(why.iter().any(|(client, target, _)| client.starts_with("192.0.2.3:") && target == "MVS3"), "{why:?}");

    // The front ends take turns, and each is served by its own image.
    assert_eq!(answers(&lab, 81, 8), counts([("MVS3", 4), ("MVS4", 4)]));
    let why = explained(&lab, "203.0.113.66:80");
    assert_eq!(why.len(), 8);
    for (client, target, why) in why {
        let own = if client.starts_with("192.0.2.3:") { "MVS3" } else { "MVS4" };
        assert_eq!((target.as_str(), why.as_str()), (own, "optlocal"), "{client}");
    }
    succeed(lab.command("app").args(["MVS3", "stop", "WEB"]));
    eventually("MVS3 serves nothing", || answers(&lab, 81, 2) == counts([("MVS4", 2)]));

    // Whole bodies, and what a client sends until it closes its side.
    let bytes = lab.curl(&["http://203.0.113.1/bytes/3000000", "-o", "/dev/null", "-w", "%{size_download}"]);
    assert_eq!(bytes, "3000000");
    let sunk = lab.curl(&["--data-binary", &"x".repeat(100_000), "http://203.0.113.1/sink"]);
    assert!(sunk.starts_with("100000 "), "{sunk}");
}

/// Promise 1: the back end's router dies; sessions through both tiers live on whose servers do, new ones find the
/// next router, and the takeback harms nobody.
#[test]
fn sessions_through_both_tiers_live_on() {
    let lab = Lab::up("tiers");
    let mut sessions: Vec<Session> = (0..6).map(|_| Session::open(&lab, "203.0.113.1")).collect();
    assert!(sessions.iter_mut().all(|session| session.echoes("hello")));
    let rows = lab.netstat("MVS2", "VCRT")["connections"].clone();
    let echoes = rows.as_array().expect("a list").iter().filter(|row| row["destination"] == "203.0.113.65:7").count();
    assert_eq!(echoes, 6, "{rows}");
    lab.kill("MVS2");
    lab.wait_for_owner("BACK", "MVS1");
    sessions.retain_mut(|session| session.echoes("on it goes"));
    assert_eq!(sessions.len(), 4, "MVS2 itself served a third of them");
    assert_eq!(answers(&lab, 80, 6), counts([("MVS3", 3), ("MVS4", 3)]));
    lab.start("MVS2");
    lab.wait_for_owner("BACK", "MVS2");
    assert!(sessions.iter_mut().all(|session| session.echoes("still here")));
    eventually("MVS2 serves again", || answers(&lab, 80, 3) == counts([("MVS2", 1), ("MVS3", 1), ("MVS4", 1)]));
}
