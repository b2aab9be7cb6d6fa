//! `cluster-lab bench` measures every work in every shape, and leaves nothing behind. How fast
//! anything is stands nowhere here: that is for whoever reads the table.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tests::footprint::{footprint, processes_with};
use tests::{cluster_lab, eventually, number};

const OURS: [&str; 4] = ["router", "linked", "unlinked", "in-process"];
const RIVALS: [&str; 3] = ["kernel", "nft", "haproxy"];

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("{value} is no list"))
}

/// Those that a row has results for.
fn shapes(row: &Value) -> Vec<&str> {
    list(&row["results"]).iter().filter_map(|cell| cell["shape"].as_str()).collect()
}

/// Every rate and every time is a positive number, medians lie within their range, and ratios are
/// what the medians say.
fn is_sound(row: &Value) {
    let results = list(&row["results"]);
    let kernel = results.iter().find(|cell| cell["shape"] == "kernel").map(|cell| number(&cell["median"]));
    for cell in results {
        let samples: Vec<f64> = list(&cell["samples"]).iter().map(number).collect();
        let [median, low, high] = ["median", "low", "high"].map(|name| number(&cell[name]));
        assert_eq!(samples.len(), 1, "one round: {row}");
        assert!(0.0 < low && low <= median && median <= high && samples.contains(&low), "{row}");
        match kernel {
            Some(kernel) => assert!((number(&cell["ratio"]) * kernel / median - 1.0).abs() < 1e-9, "{row}"),
            None => assert!(cell["ratio"].is_null(), "{row}"),
        }
    }
}

#[test]
fn every_work_is_measured_in_every_shape() {
    let before = footprint();
    let folder = tempfile::tempdir().expect("a folder");
    let (json, svg) = (folder.path().join("bench.json"), folder.path().join("bench.svg"));
    let name = format!("test-bench-{}", std::process::id());
    let mut command = cluster_lab();
    command.args(["bench", "--quick", "--name", &name]).arg("--json").arg(&json).arg("--svg").arg(&svg);
    let table = tests::succeed(&mut command);
    println!("{table}");
    let report: Value = serde_json::from_slice(&fs::read(json).expect("the results")).expect("JSON");
    let missing: Vec<&str> = list(&report["missing"]).iter().filter_map(|one| one["program"].as_str()).collect();
    // `./run test` installs these two.
    assert!(!missing.contains(&"nginx") && !missing.contains(&"wrk"), "{missing:?}");
    let everywhere: Vec<&str> = RIVALS.into_iter().chain(OURS).filter(|shape| !missing.contains(shape)).collect();
    let rows = list(&report["works"]);
    let keys: Vec<&str> = rows.iter().filter_map(|row| row["metric"].as_str()).collect();
    let latencies = ["latency_rate", "latency_p50", "latency_p99", "latency_p999"];
    assert_eq!(keys, [&["down", "up", "flows16", "requests", "connections"], &latencies[..], &["takeover"]].concat());
    for row in rows {
        let expected = if row["metric"] == "takeover" { &OURS[1..] } else { &everywhere };
        assert_eq!(shapes(row), expected, "{row}");
        is_sound(row);
    }
    let median = |key: &str, shape: &str| {
        let row = rows.iter().find(|row| row["metric"] == key).expect("checked above");
        list(&row["results"]).iter().find(|cell| cell["shape"] == shape).map(|cell| number(&cell["median"]))
    };
    for shape in &everywhere {
        assert!(median("latency_p50", shape) <= median("latency_p99", shape), "{shape}");
        assert!(median("latency_p99", shape) <= median("latency_p999", shape), "{shape}");
    }
    for title in ["one flow down", "HTTP keep-alive", "takeover gap", "in-process"] {
        assert!(table.contains(title), "{title} is missing");
    }
    let svg = fs::read_to_string(svg).expect("the picture");
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{svg}");
    before.is_all_there_is();
}

/// Broken off in the middle of a measurement, it takes down all that it has brought up.
#[test]
fn ctrl_c_leaves_nothing_behind() {
    let before = footprint();
    let name = format!("test-bench-end-{}", std::process::id());
    let mut bench = cluster_lab()
        .args(["bench", "--seconds", "60", "--name", &name, "--only", "up,down"])
        .args(["--shapes", "kernel,nft,haproxy,linked,in-process"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("cluster-lab starts");
    let pid = bench.id();
    let own = format!("cluster-lab-bench-{pid}");
    eventually("a client loads a server", || !processes_with("--warm-up").is_empty());
    assert!(!processes_with(&own).is_empty(), "nginx runs");
    kill_process(Pid::from_child(&bench), Signal::INT).expect("it runs");
    let lines = BufReader::new(bench.stderr.take().expect("piped")).lines();
    let said: Vec<String> = lines.map_while(Result::ok).collect();
    assert_eq!(bench.wait().expect("it ends").code(), Some(1), "{said:?}");
    assert!(said.iter().any(|line| line.contains("interrupted")), "{said:?}");
    eventually("its servers have ended", || processes_with(&own).is_empty());
    before.is_all_there_is();
}
