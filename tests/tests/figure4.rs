//! The seed's example, with real clients.

use std::collections::BTreeMap;

use tests::Lab;

/// How often each image answered.
fn served_by(lab: &Lab, address: &str, requests: usize) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for _ in 0..requests {
        *counts.entry(lab.curl(&[address]).trim().to_owned()).or_default() += 1;
    }
    counts
}

fn expect(images: [&str; 3]) -> BTreeMap<String, usize> {
    images.into_iter().map(|image| (image.to_owned(), 20)).collect()
}

/// D1, D2, D3, F5.100, F5.102, F5.104, F5.106-108, F6.124-126, F6.128-130, F7.140, F7.142-150,
/// F7.152, F8.166, R16: each DVIPA's connections go round its own targets, the router among them.
#[test]
fn requests_are_spread_evenly_over_the_listening_targets() {
    let lab = Lab::up("figure4");
    assert_eq!(served_by(&lab, "http://203.0.113.1:60/", 60), expect(["MVS1", "MVS2", "MVS4"]));
    assert_eq!(served_by(&lab, "http://203.0.113.65:60/", 60), expect(["MVS2", "MVS3", "MVS5"]));
}

/// D2, D5, F6.132-135, F9.200-212, F10.300-310: MVS5 takes DVA1 over and distributes it by its own
/// list, MVS1 takes DVB1 over and distributes it by the inherited one; each gives back what it took.
#[test]
fn a_backup_distributes_by_its_own_list_or_by_the_inherited_one() {
    let lab = Lab::up("figure4");
    lab.kill("MVS1");
    lab.wait_for_owner("DVA1", "MVS5");
    let counts = served_by(&lab, "http://203.0.113.1:60/", 20);
    // MVS3 is on MVS5's list but runs no APP A; MVS1 is dead.
    assert_eq!(counts, BTreeMap::from([("MVS2".to_owned(), 10), ("MVS4".to_owned(), 10)]));
    lab.start("MVS1");
    lab.wait_for_owner("DVA1", "MVS1");
    tests::eventually("all targets are back", || lab.dvipa("DVA1")["targets"].as_array().is_some_and(|t| t.len() == 3));
    assert_eq!(served_by(&lab, "http://203.0.113.1:60/", 60), expect(["MVS1", "MVS2", "MVS4"]));

    lab.kill("MVS5");
    lab.wait_for_owner("DVB1", "MVS1");
    let counts = served_by(&lab, "http://203.0.113.65:60/", 20);
    assert_eq!(counts, BTreeMap::from([("MVS2".to_owned(), 10), ("MVS3".to_owned(), 10)]));
    lab.start("MVS5");
    lab.wait_for_owner("DVB1", "MVS5");
    tests::eventually("all targets are back", || lab.dvipa("DVB1")["targets"].as_array().is_some_and(|t| t.len() == 3));
    assert_eq!(served_by(&lab, "http://203.0.113.65:60/", 60), expect(["MVS2", "MVS3", "MVS5"]));
}

/// F6.128-130, F8.166, R7, R20: a listener that closes leaves the DPT, its connections stay; with
/// the last one gone a SYN is refused, as a host without a listener does.
#[test]
fn listeners_come_and_go() {
    let lab = Lab::up("figure4");
    let app = |image: &str, verb: &str| tests::succeed(lab.command("app").args([image, verb, "APPA"]));
    let mut download = lab.spawn("curl", &["-sS", "--limit-rate", "8M", "http://203.0.113.1:60/bytes/24000000"]);
    let output = download.child().stdout.take().expect("piped");
    let digest = std::thread::spawn(move || {
        use std::io::Read;
        let mut bytes = Vec::new();
        std::io::BufReader::new(output).read_to_end(&mut bytes).map(|_| bytes)
    });
    tests::eventually("the download is routed", || {
        !lab.netstat("MVS1", "VCRT")["connections"].as_array().expect("a list").is_empty()
    });
    for image in ["MVS1", "MVS2", "MVS4"] {
        app(image, "stop");
    }
    let refused = lab.exec("curl").args(["-sS", "http://203.0.113.1:60/"]).output().expect("curl starts");
    assert_eq!(refused.status.code(), Some(7), "curl: {}", String::from_utf8_lossy(&refused.stderr));
    for image in ["MVS1", "MVS2", "MVS4"] {
        app(image, "start");
    }
    assert_eq!(served_by(&lab, "http://203.0.113.1:60/", 60), expect(["MVS1", "MVS2", "MVS4"]));
    let bytes = digest.join().expect("no panic").expect("the download's bytes");
    download.finish();
    assert_eq!(bytes.len(), 24_000_000);
    assert!(bytes.iter().enumerate().all(|(index, byte)| *byte as usize == index % 251));
}

/// F7.142-150, F8.162: every report shows its table, as text in z/OS's layout and as JSON; a
/// connection stands in the CRT from its SYN to its end.
#[test]
fn netstat_shows_the_tables() {
    let lab = Lab::up("figure4");
    // A connection that stays, to the first target in turn: the router itself.
    let session = lab.spawn("ncat", &["203.0.113.1", "60"]);
    tests::eventually("the connection is routed", || {
        lab.netstat("MVS1", "VCRT")["connections"].as_array().is_some_and(|rows| rows.len() == 1)
    });
    for (report, image, line, json) in [
        ("HOME", "MVS2", "VIPLCB007101     203.0.113.1      I", "addresses"),
        ("VIPADCFG", "MVS5", "      DestXCF:    192.0.2.3", "distributes"),
        ("VIPADYN", "MVS1", "    Status: Backup     Origin: VIPABACKUP       DistStat: Dest  Rank: 030", "dvipas"),
        ("VDPT", "MVS1", "203.0.113.1     00060 192.0.2.4       001 0000000000 01   100 B", "destinations"),
        ("VCRT", "MVS1", "203.0.113.1     00060 198.51.100.1", "connections"),
        ("CONN", "MVS2", "203.0.113.65..60       0.0.0.0..0             Listen", "connections"),
        ("CONN", "MVS1", "Establsh", "connections"),
    ] {
        let shown = tests::succeed(lab.command("netstat").args([image, report]));
        assert!(shown.lines().any(|shown| shown.contains(line)), "{report} of {image} lacks {line:?}:\n{shown}");
        assert!(lab.netstat(image, report)[json].as_array().is_some_and(|rows| !rows.is_empty()), "{report}");
    }
    drop(session);
    tests::eventually("the connection has left the CRT", || {
        lab.netstat("MVS1", "VCRT")["connections"].as_array().is_some_and(Vec::is_empty)
    });
}

/// Bytes go both ways unchanged, through devices with offload and through plain ones.
#[test]
fn bytes_arrive_as_they_were_sent() {
    let pair = std::fs::read_to_string(tests::workspace().join("profiles/pair.ron")).expect("the profile");
    let plain = pair.replacen("client: \"198.51.100.1\"", "client: \"198.51.100.1\", offload: false", 1);
    assert_ne!(pair, plain);
    let file = std::env::temp_dir().join(format!("plain-{}.ron", std::process::id()));
    std::fs::write(&file, plain).expect("the profile can be written");
    for profile in ["pair", file.to_str().expect("UTF-8")] {
        let lab = Lab::up(profile);
        let digest = tests::pattern_digest(20_000_000);
        // Twice: each image serves once.
        for _ in 0..2 {
            let down = "curl -sS --max-time 60 http://203.0.113.1/bytes/20000000 | sha256sum";
            assert!(tests::succeed(lab.exec("sh").args(["-c", down])).starts_with(&digest), "{profile}, down");
        }
        for _ in 0..2 {
            let up = "curl -sS http://203.0.113.1/bytes/20000000 \
                      | curl -sS --max-time 60 --data-binary @- http://203.0.113.1/sink";
            let answer = tests::succeed(lab.exec("sh").args(["-c", up]));
            assert_eq!(answer.trim(), format!("20000000 {digest}"), "{profile}, up");
        }
    }
    std::fs::remove_file(file).expect("the profile goes");
}
