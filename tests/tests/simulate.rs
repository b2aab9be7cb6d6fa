//! The simulator as a user runs it: it passes, it repeats, and it notices what it is there to notice.

use serde_json::Value;
use tests::{cluster_lab, succeed, text};
use vipa::Guard;

/// I1 to I25: 300 seeds pass, and between them they meet every fault and every branch of the
/// protocol but for the rarest.
#[test]
fn three_hundred_seeds_pass_and_meet_every_fault() {
    let report = succeed(cluster_lab().args(["simulate", "--seeds", "0..300", "--json"]));
    let summary: Value = serde_json::from_str(&report).expect("JSON");
    assert_eq!((&summary["seeds"], &summary["passed"]), (&300.into(), &300.into()), "{report}");
    let coverage = summary["coverage"].as_object().expect("a table");
    let missed: Vec<&str> =
        coverage.iter().filter(|(_, times)| times.as_u64() == Some(0)).map(|(what, _)| what.as_str()).collect();
    // Each takes a packet that one stack has passed on while the next was ceasing to be its router, or to listen.
    let rare = ["drop: NotRouter", "drop: Superseded", "drop: NoListener"];
    let missed: Vec<&str> = missed.into_iter().filter(|what| !rare.contains(what)).collect();
    assert!(missed.is_empty(), "never met: {missed:?}");
}

/// Seeds from all over pass, not the first ones alone. (Each has found something once. The steps that a seed gives
/// have changed since, so these are not the runs that failed then.)
#[test]
fn seeds_from_all_over_pass() {
    for seed in [994, 25165, 246_511, 310_277, 326_874, 351_323, 409_323, 471_642, 482_806, 671_467, 682_037] {
        succeed(cluster_lab().args(["simulate", "--seeds", &format!("{seed}..{}", seed + 1)]));
    }
}

/// I25: the same seed gives the same run, to the hash.
#[test]
fn a_seed_repeats() {
    succeed(cluster_lab().args(["simulate", "--seeds", "0..40", "--twice"]));
    let hash = |jobs| {
        let report = succeed(cluster_lab().args(["simulate", "--seeds", "0..40", "--json", "--jobs", jobs]));
        serde_json::from_str::<Value>(&report).expect("JSON")["hash"].clone()
    };
    assert_eq!(hash("1"), hash("2"));
}

/// Each guard of the protocol is needed: without it a seed fails. The failure tells how to see it
/// again, and that command shows it.
#[test]
fn no_guard_can_be_taken_out_unnoticed() {
    for guard in Guard::ALL {
        let name = guard.name();
        let output = cluster_lab()
            .args(["simulate", "--seeds", "0..2000", "--without", &name, "--json"])
            .output()
            .expect("cluster-lab starts");
        let summary: Value = serde_json::from_str(&text(&output)).expect("JSON");
        let failure = &summary["failures"][0];
        println!("{name}: {failure}");
        assert!(!output.status.success() && failure.is_object(), "nothing missed {name}: {summary}");
        let replay = failure["replay"].as_str().expect("a command");
        let arguments = replay.split(' ').skip(1);
        let again = cluster_lab().args(arguments).output().expect("cluster-lab starts");
        let told = text(&again);
        assert!(!again.status.success() && told.contains(failure["what"].as_str().expect("text")), "{replay}\n{told}");
        assert!(told.lines().any(|line| line.ends_with("MVS1 starts, life 1000000")), "{told}");
    }
}

/// A failing seed is brought down to the steps that matter.
#[test]
fn a_failing_seed_shrinks() {
    let output = cluster_lab()
        .args(["simulate", "--seeds", "12..13", "--without", "ask", "--shrink"])
        .output()
        .expect("cluster-lab starts");
    let told = text(&output);
    let line = told.lines().find(|line| line.contains("steps are enough")).expect("a shorter run");
    let numbers: Vec<usize> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
    assert!(matches!(numbers[..], [least, all] if least * 4 < all), "{line}");
}
