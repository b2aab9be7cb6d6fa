//! Figure 4 with IPv6, and real clients: RFC 8200 from the client's kernel to the serving stack.

use std::collections::BTreeMap;
use std::time::Duration;

use tests::{Download, Lab, Network, Session, pattern_digest};

const DVA1: &str = "2001:db8:a::1";

/// How often each image answered.
fn served_by(lab: &Lab, address: &str, requests: usize) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for _ in 0..requests {
        *counts.entry(lab.curl(&["-6", address]).trim().to_owned()).or_default() += 1;
    }
    counts
}

fn expect(images: &[&str], each: usize) -> BTreeMap<String, usize> {
    images.iter().map(|image| ((*image).to_owned(), each)).collect()
}

/// D1, D2, D3, D5, F7.140-152, F9.200-212, F10.300-310 with IPv6 addresses throughout: connections
/// go round the targets; when MVS1 is killed, MVS5 takes DVA1 over with its own list, and MVS1 takes
/// it back.
#[test]
fn figure_4_is_distributed_taken_over_and_taken_back() {
    let lab = Lab::up("figure4-v6");
    let (a, b) = (format!("http://[{DVA1}]:60/"), "http://[2001:db8:b::1]:60/");
    assert_eq!(served_by(&lab, &a, 30), expect(&["MVS1", "MVS2", "MVS4"], 10));
    assert_eq!(served_by(&lab, b, 30), expect(&["MVS2", "MVS3", "MVS5"], 10));
    assert!(Network::now(&lab, DVA1).agrees_on(&lab, "MVS1"));
    lab.kill("MVS1");
    lab.wait_for_owner("DVA1", "MVS5");
    assert_eq!(served_by(&lab, &a, 20), expect(&["MVS2", "MVS4"], 10));
    lab.start("MVS1");
    lab.wait_for_owner("DVA1", "MVS1");
    tests::eventually("the network agrees", || Network::now(&lab, DVA1).agrees_on(&lab, "MVS1"));
    tests::eventually("MVS1 serves again", || served_by(&lab, &a, 3).contains_key("MVS1"));
}

/// R1, R2, R19, F9.200-212, F10.300-310: downloads and idle sessions that MVS2 serves through MVS1
/// live on while that is killed and started again.
#[test]
fn connections_outlive_takeover_and_takeback() {
    let lab = Lab::up("survive-v6.ron");
    let mut sessions: Vec<Session> = (0..20).map(|_| Session::open(&lab, DVA1)).collect();
    for (number, session) in sessions.iter_mut().enumerate() {
        assert!(session.echoes(&format!("before {number}")));
    }
    let url = format!("http://[{DVA1}]:60/bytes/40000000");
    let downloads: Vec<Download> = (0..10).map(|_| Download::start(&lab, &url, "5M")).collect();
    tests::eventually("every connection is routed", || lab.routes("MVS1", DVA1).len() >= 30);
    lab.kill("MVS1");
    // R19: this connect() falls into the gap; it waits and succeeds.
    assert_eq!(lab.curl(&[&format!("http://[{DVA1}]:60/")]).trim(), "MVS2");
    lab.wait_for_owner("DVA1", "MVS5");
    std::thread::sleep(Duration::from_secs(2));
    lab.start("MVS1");
    lab.wait_for_owner("DVA1", "MVS1");
    for (number, session) in sessions.iter_mut().enumerate() {
        assert!(session.echoes(&format!("after {number}")), "idle session {number} was lost");
    }
    for download in downloads {
        assert_eq!(download.finish(), pattern_digest(40_000_000));
    }
}

/// RFC 4443, sections 4.1 and 4.2; RFC 8200, section 4.5: pings of every size, in fragments too.
#[test]
fn pings_are_answered() {
    let lab = Lab::up("figure4-v6");
    for (address, size) in [(DVA1, "56"), (DVA1, "1452"), (DVA1, "1453"), (DVA1, "60000"), ("2001:db8:1::11", "0")] {
        tests::succeed(lab.exec("ping").args(["-6", "-n", "-c", "2", "-i", "0.2", "-W", "5", "-s", size, address]));
    }
    let statistics = lab.netstat("MVS1", "STATS");
    assert!(statistics["IPv6"]["ipSystemStatsReasmOKs"].as_u64() >= Some(4), "{statistics}");
    assert_eq!(statistics["ICMPv6"]["icmpStatsInErrors"], 0);
}
