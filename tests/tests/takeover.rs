//! Killing the router does not hurt.

use std::time::Duration;

use serde_json::Value;
use tests::{Download, Lab, Session, pattern_digest};

const WEB: &str = "http://203.0.113.1:60";

/// Everything that lives through one takeover and one takeback of MVS1, served by MVS2 throughout.
fn survive(downloads: usize, bytes: usize, rate: &str, sessions: usize) {
    let lab = Lab::up("survive.ron");
    let mut sessions: Vec<Session> = (0..sessions).map(|_| Session::open(&lab, "203.0.113.1")).collect();
    for (number, session) in sessions.iter_mut().enumerate() {
        assert!(session.echoes(&format!("before {number}")));
    }
    let downloads: Vec<Download> =
        (0..downloads).map(|_| Download::start(&lab, &format!("{WEB}/bytes/{bytes}"), rate)).collect();
    tests::eventually("every connection is routed", || {
        let routed = lab.netstat("MVS1", "VCRT")["connections"].as_array().expect("a list").len();
        routed >= downloads.len() + sessions.len()
    });

    lab.kill("MVS1");
    // R19: this connect() falls into the gap; it waits and succeeds.
    assert_eq!(lab.curl(&[&format!("{WEB}/")]).trim(), "MVS2");
    lab.wait_for_owner("DVA1", "MVS5");
    std::thread::sleep(Duration::from_secs(2));
    lab.start("MVS1");
    lab.wait_for_owner("DVA1", "MVS1");
    assert_eq!(lab.curl(&[&format!("{WEB}/")]).trim(), "MVS2");

    for (number, session) in sessions.iter_mut().enumerate() {
        assert!(session.echoes(&format!("after {number}")), "idle session {number} was lost");
    }
    let expected = pattern_digest(bytes);
    for (number, download) in downloads.into_iter().enumerate() {
        assert_eq!(download.finish(), expected, "download {number}");
    }
}

/// F6.131-133, F8.164, F9.200, F9.201, F9.202-204, F9.206-210, F9.212, F10.300-302, F10.304-308,
/// F10.310, R1, R2, R19: a download of 200 MB, served by MVS2 through MVS1, arrives whole while
/// MVS1 is killed in the middle and started again.
#[test]
fn a_download_outlives_takeover_and_takeback() {
    survive(1, 200_000_000, "25M", 0);
}

/// The same for 100 downloads at a time and 100 idle ncat sessions.
#[test]
fn a_hundred_downloads_and_a_hundred_idle_sessions_outlive_takeover_and_takeback() {
    survive(100, 20_000_000, "2M", 100);
}

/// The same as the issue of this project words it, 100 times 200 MB: too long for every run.
#[test]
#[ignore = "moves 20 GB; run with --ignored"]
fn a_hundred_large_downloads_outlive_takeover_and_takeback() {
    survive(100, 200_000_000, "10M", 100);
}

/// R6: when the stack that serves a connection dies, its client gets a reset, not silence.
#[test]
fn clients_of_a_dead_target_are_reset() {
    let lab = Lab::up("survive.ron");
    let mut session = Session::open(&lab, "203.0.113.1");
    assert!(session.echoes("hello"));
    lab.kill("MVS2");
    tests::eventually("MVS2 has left the DPT", || {
        !lab.dvipa("DVA1")["targets"].as_array().expect("a list").contains(&Value::from("MVS2"))
    });
    let started = std::time::Instant::now();
    assert!(!session.echoes("anybody there?"));
    // Far below what silence would take: ncat itself would wait for many minutes.
    assert!(started.elapsed() < Duration::from_secs(10));
}

/// R3, R16, F7.152: a target that is the router itself or the backup keeps its connections through
/// the other's death; outbound packets of stacks without a network link find another way out.
#[test]
fn connections_of_every_target_outlive_the_router() {
    let lab = Lab::up("survive.ron");
    let mut sessions: Vec<Session> = (0..8).map(|_| Session::open(&lab, "203.0.113.2")).collect();
    for session in &mut sessions {
        assert!(session.echoes("before"));
    }
    lab.kill("MVS1");
    for session in &mut sessions {
        assert!(session.echoes("during"));
    }
    lab.wait_for_owner("DVA2", "MVS5");
    lab.start("MVS1");
    lab.wait_for_owner("DVA2", "MVS1");
    for session in &mut sessions {
        assert!(session.echoes("after"));
    }
    // Orderly stop: make before break.
    tests::succeed(lab.command("stop").arg("MVS1"));
    for session in &mut sessions {
        assert!(session.echoes("after an orderly stop"));
    }
}
