//! How many instructions the hot paths of the cores take: unlike times, the same in every run.

use std::path::Path;
use std::process::Command;

use tests::{program, succeed};

/// Each path of `tests/instructions/`, and the instructions that it may take at most: a tenth more
/// than it took when that was written, on x86-64 with Rust 1.95. Who makes one slower for a
/// good reason says so in the commit that raises its bound; who makes it faster lowers it.
const BOUNDS: [(&str, f64); 13] = [
    ("CRT lookup", 105.0),
    ("CRT remove and insert", 530.0),
    ("round robin, 64 targets", 227.0),
    ("by share, 64 targets", 608.0),
    ("hot standby, 64 targets", 145.0),
    ("by weight, 64 targets", 715.0),
    ("forwarding decision", 760.0),
    ("segment in, ACK out", 3515.0),
    ("segment out, ACK in", 5605.0),
    ("idle turn, one connection", 245.0),
    ("idle turn, 1000 connections", 245.0),
    ("parsing", 355.0),
    ("checksum of 1460 bytes", 1570.0),
];

/// Instructions of one path, for each time that it is taken.
fn instructions(program: &Path, path: &str) -> f64 {
    let folder = tempfile::tempdir().expect("a folder");
    let profile = folder.path().join("profile");
    let output = succeed(
        Command::new("valgrind")
            .args(["--tool=callgrind", "--quiet", "--collect-atstart=no", "--toggle-collect=*measured*"])
            .arg(format!("--callgrind-out-file={}", profile.display()))
            .args([program.as_os_str(), path.as_ref()]),
    );
    let times: f64 = output.trim().parse().unwrap_or_else(|_| panic!("{path} is a path: {output:?}"));
    let profile = std::fs::read_to_string(profile).expect("callgrind has written it");
    let total = profile.lines().find_map(|line| line.strip_prefix("summary: ")).expect("it has a summary");
    total.trim().parse::<f64>().expect("a number") / times
}

/// No hot path takes more instructions than it did; and what a turn of the event loop costs does not depend on
/// the number of connections.
#[test]
fn hot_paths_take_no_more_instructions() {
    let program = program("instructions");
    let counted = BOUNDS.map(|(path, bound)| (path, instructions(&program, path), bound));
    for (path, count, bound) in counted {
        println!("{path:<30} {count:>8.1}, at most {bound:.0}");
    }
    assert!(counted.iter().all(|(_, count, _)| *count > 1.0), "something was counted");
    let of = |wanted: &str| counted.iter().find(|(path, ..)| *path == wanted).map(|(_, count, _)| *count);
    let (one, many) = (of("idle turn, one connection"), of("idle turn, 1000 connections"));
    assert_eq!(one.map(f64::round), many.map(f64::round), "timers are not searched");
    // Other compilers and processors have other numbers.
    if cfg!(target_arch = "x86_64") {
        let slower: Vec<_> = counted.into_iter().filter(|(_, count, bound)| count > bound).collect();
        assert!(slower.is_empty(), "{slower:?}");
    }
}
