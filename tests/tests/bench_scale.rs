//! `cluster-lab bench --scale` in its small form: what it promises holds, and it leaves nothing behind.
//! How fast and how small anything is stands nowhere here: that is for whoever reads the table.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tests::footprint::footprint;
use tests::{cluster_lab, number};

/// I24: whoever is connected when the router is killed stays connected, and has an answer within two
/// seconds; the backup has every DVIPA, and every connection.
#[test]
fn nothing_is_lost_however_much_there_is() {
    let before = footprint();
    let folder = tempfile::tempdir().expect("a folder");
    let json = folder.path().join("scale.json");
    let name = format!("test-scale-{}", std::process::id());
    let mut command = cluster_lab();
    command.args(["bench", "--scale", "--quick", "--name", &name, "--json"]).arg(&json);
    let table = tests::succeed(&mut command);
    println!("{table}");
    let report: Value = serde_json::from_slice(&fs::read(json).expect("the results")).expect("JSON");

    let held = &report["held"];
    assert_eq!((held["connections"].as_u64(), held["lost"].as_u64()), (Some(2000), Some(0)), "{held}");
    // Twenty more send all the time.
    assert_eq!(held["taken_over"], 2020, "{held}");
    let (answered, gap) = (number(&held["all_answered_ms"]), number(&held["longest_gap_ms"]));
    assert!(answered > 0.0 && answered <= 2000.0, "{held}");
    assert!(gap > 0.0 && gap <= 2000.0, "{held}");
    assert!(number(&held["takeover_ms"]) <= 100.0, "{held}");
    // 64 bytes of table on the router, and far from a packet buffer on a target.
    let (router, target) = (number(&held["router_bytes_each"]), number(&held["target_bytes_each"]));
    assert!(router > 0.0 && router < 1024.0 && target > 0.0 && target < 8192.0, "{held}");

    let dvipas = &report["dvipas"];
    assert_eq!((dvipas["dvipas"].as_u64(), dvipas["connections"].as_u64()), (Some(32), Some(32)), "{dvipas}");
    assert_eq!(dvipas["lost"], 0, "{dvipas}");

    let clusters = report["clusters"].as_array().expect("a list");
    let sizes: Vec<_> = clusters.iter().map(|row| (row["images"].as_u64(), row["in_process"].as_bool())).collect();
    assert_eq!(sizes, [(2, false), (8, false), (16, true)].map(|(images, one)| (Some(images), Some(one))));
    for row in clusters {
        // Everybody says something to everybody, and memory is occupied.
        let images = number(&row["images"]);
        let pairs = images * (images - 1.0);
        assert!(number(&row["datagrams_per_second"]) >= pairs, "{row}");
        assert!(number(&row["bytes_per_second"]) > number(&row["datagrams_per_second"]), "{row}");
        assert!(number(&row["pss_bytes"]) > 0.0 && number(&row["pss_bytes"]) <= number(&row["rss_bytes"]), "{row}");
        // The router makes the entry itself, and what ends together is told together.
        let [open, close] = ["datagrams_per_open", "datagrams_per_close"].map(|name| number(&row[name]));
        assert!(open < 0.5 && close < 2.5, "{row}");
        let bytes = number(&row["bytes_per_close"]);
        assert!(bytes > 10.0 && bytes < 200.0, "a TERMCONN from each but the router's own: {row}");
    }
    for title in ["an idle image", "32 DVIPAs", "2,000 connections of 1 clients", "lost"] {
        assert!(table.contains(title), "{title} is missing: {table}");
    }
    before.is_all_there_is();
}

/// Broken off while connections are held, it takes down all that it has brought up.
#[test]
fn an_end_half_way_leaves_nothing_behind() {
    let before = footprint();
    let name = format!("test-scale-end-{}", std::process::id());
    let mut bench = cluster_lab()
        .args(["bench", "--scale", "--quick", "--name", &name])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("cluster-lab starts");
    let mut lines = BufReader::new(bench.stderr.take().expect("piped")).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("connections are open")), "it ended too early");
    kill_process(Pid::from_child(&bench), Signal::TERM).expect("it runs");
    let said: Vec<String> = lines.collect();
    assert_eq!(bench.wait().expect("it ends").code(), Some(1), "{said:?}");
    assert!(said.iter().any(|line| line.contains("terminated")), "{said:?}");
    before.is_all_there_is();
}
