//! The survival matrix, on the real lab with the kernel's clients.

use serde_json::Value;
use tests::{cluster_lab, text};

fn every_cell_reads_30_of_30(options: &[&str]) {
    let name = format!("test-matrix-{}", std::process::id());
    let output = cluster_lab().args(["demo", "--matrix", "--json", "--name", &name]).args(options).output();
    let output = output.expect("cluster-lab starts");
    let report = format!("{}{}", text(&output), String::from_utf8_lossy(&output.stderr));
    println!("{report}");
    assert!(output.status.success(), "{report}");
    let matrix: Value = serde_json::from_str(&text(&output)).expect("JSON");
    let cells = matrix["cells"].as_array().expect("a list");
    let mut kinds: Vec<_> = cells.iter().map(|cell| (cell["fault"].to_string(), cell["state"].to_string())).collect();
    kinds.sort();
    kinds.dedup();
    assert_eq!(kinds.len(), 18, "{matrix}");
    for cell in cells {
        assert_eq!((cell["survivors"].as_u64(), cell["connections"].as_u64()), (Some(30), Some(30)), "{cell}");
        assert_eq!(cell["longest_gap_ms"].is_number(), cell["state"] == "active", "{cell}");
    }
}

/// F9.206-210, F10.310, R1, R2, R7, R11, R12, I4, I6, I16: handshake only, active and idle for long, through
/// crash, orderly stop, pause and resume, partition, a rebooted primary, and a crash while the pool changes.
#[test]
fn no_connection_is_lost_with_round_robin() {
    every_cell_reads_30_of_30(&[]);
}

/// The same with WEIGHTEDACTIVE, and a target that joins and one that leaves at the failover.
#[test]
fn no_connection_is_lost_with_weights() {
    every_cell_reads_30_of_30(&["--weights"]);
}
