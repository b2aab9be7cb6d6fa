//! Distribution methods with real clients: who gets them, why, and what changes it.

use std::collections::BTreeMap;

use serde_json::Value;
use tests::{Lab, Session, eventually, succeed, text};

/// How often each image answered so many requests.
fn served_by(lab: &Lab, address: &str, requests: usize) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for _ in 0..requests {
        *counts.entry(lab.curl(&[address]).trim().to_owned()).or_default() += 1;
    }
    counts
}

fn counts<const N: usize>(expected: [(&str, usize); N]) -> BTreeMap<String, usize> {
    expected.into_iter().map(|(image, count)| (image.to_owned(), count)).collect()
}

fn explain(lab: &Lab, arguments: &[&str]) -> Value {
    serde_json::from_str(&succeed(lab.command("explain").arg("--json").args(arguments))).expect("JSON")
}

/// The candidates of the last decision about DVA's web servers, and their weights.
fn weights(lab: &Lab) -> Vec<(String, u64)> {
    lab.curl(&["http://203.0.113.1/"]);
    let last = explain(lab, &["--last", "1"]);
    let candidates = last[0]["candidates"].as_array().expect("a list");
    let weight =
        |one: &Value| (one["image"].as_str().expect("a name").to_owned(), one["weight"].as_u64().expect("a number"));
    candidates.iter().map(weight).collect()
}

/// BASEWLM goes by the profile's script, then by what is set by hand, at once; every decision is explained; and
/// after a takeover what was reported is.
#[test]
fn weights_count_and_are_explained() {
    let lab = Lab::up("methods.ron");
    let expect = |weights: [u64; 3]| {
        ["MVS1", "MVS2", "MVS3"].map(str::to_owned).into_iter().zip(weights).collect::<Vec<(String, u64)>>()
    };
    eventually("the script's weights are told", || weights(&lab) == expect([0, 2, 1]));
    assert_eq!(served_by(&lab, "http://203.0.113.1/", 30), counts([("MVS2", 20), ("MVS3", 10)]));
    let explained = explain(&lab, &["--last", "30"]);
    let explained = explained.as_array().expect("a list");
    assert_eq!(explained.len(), 30);
    for one in explained {
        assert_eq!(
            (&one["router"], &one["method"], &one["why"]),
            (&"MVS1".into(), &"BASEWLM".into(), &"method".into())
        );
        assert_eq!(one["candidates"].as_array().map(Vec::len), Some(3), "{one}");
    }
    for (image, weight) in [("MVS1", "10"), ("MVS2", "0"), ("MVS3", "50")] {
        succeed(lab.command("weight").args([image, weight]));
    }
    eventually("weights set by hand are told", || weights(&lab) == expect([1, 0, 5]));
    assert_eq!(served_by(&lab, "http://203.0.113.1/", 30), counts([("MVS1", 5), ("MVS3", 25)]));

    // A connection that lives through its router's death: it is not the router's own.
    succeed(lab.command("weight").args(["MVS1", "0"]));
    eventually("MVS1 gets nothing", || weights(&lab) == expect([0, 0, 1]));
    let mut session = Session::open(&lab, "203.0.113.1");
    assert!(session.echoes("hello"));
    let rows = lab.netstat("MVS1", "VCRT")["connections"].clone();
    let row = rows.as_array().expect("a list").iter().find(|row| row["destination"] == "203.0.113.1:7").cloned();
    let client = row.expect("the session")["source"].as_str().expect("a socket").to_owned();
    let before = explain(&lab, &[&client]);
    assert_eq!((&before[0]["why"], &before[0]["exists"]), (&"method".into(), &true.into()), "{before}");
    lab.kill("MVS1");
    lab.wait_for_owner("DVA", "MVS2");
    assert!(session.echoes("still here"));
    let after = explain(&lab, &[&client]);
    assert_eq!((&after[0]["why"], &after[0]["target"]), (&"reported".into(), &before[0]["target"]), "{after}");
    let words = succeed(lab.command("explain").arg(&client));
    assert!(words.contains("has reported it to MVS2, which did not decide about it"), "{words}");
    let nobody = lab.command("explain").arg("198.51.100.1:1").output().expect("cluster-lab starts");
    assert!(!nobody.status.success() && text(&nobody).is_empty());
    succeed(lab.command("weight").args(["MVS3", "--reset"]));
    succeed(lab.command("weight").args(["MVS2", "--reset"]));
    eventually("the script counts again", || weights(&lab) == expect([0, 2, 1])[1..]);
}

/// TIMEDAFFINITY: one client, one target, also after a takeover.
#[test]
fn a_client_keeps_its_target() {
    let lab = Lab::up("methods.ron");
    let first = lab.curl(&["http://203.0.113.2/"]).trim().to_owned();
    assert_eq!(served_by(&lab, "http://203.0.113.2/", 10), counts([(first.as_str(), 10)]));
    let last = explain(&lab, &["--last", "1"]);
    assert_eq!((&last[0]["why"], &last[0]["method"]), (&"timed affinity".into(), &"ROUNDROBIN".into()), "{last}");
    if first != "MVS1" {
        lab.kill("MVS1");
        lab.wait_for_owner("DVB", "MVS2");
        assert_eq!(served_by(&lab, "http://203.0.113.2/", 5), counts([(first.as_str(), 5)]));
    }
}
