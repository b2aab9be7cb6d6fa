//! Ten thousand real connections: each target gets what the method promises, and a change counts for the very next.

use serde_json::Value;
use tests::{Lab, Probe, eventually, number, succeed};

const CONNECTIONS: u64 = 10_000;
const IMAGES: [&str; 3] = ["MVS1", "MVS2", "MVS3"];

/// VDPT's rows for one DVIPA, in the order of the images.
fn targets(lab: &Lab, dvipa: &str) -> Vec<Value> {
    let report = lab.netstat("MVS1", "VDPT");
    let rows = report["destinations"].as_array().expect("a list").iter();
    rows.filter(|row| row["address"] == dvipa).cloned().collect()
}

/// What VDPT has of each target in one column.
fn column(lab: &Lab, dvipa: &str, name: &str) -> Vec<f64> {
    targets(lab, dvipa).iter().map(|row| number(&row[name])).collect()
}

/// Opens connections, which stay open; how many of them each target got.
fn open(lab: &Lab, probe: &mut Probe, dvipa: &str, count: u64) -> Vec<f64> {
    let before = column(lab, dvipa, "total");
    probe.open(dvipa, &format!("{dvipa}:7"), count, None).all_live(count);
    let after = column(lab, dvipa, "total");
    let got: Vec<f64> = after.iter().zip(before).map(|(after, before)| after - before).collect();
    assert_eq!(got.iter().sum::<f64>(), count as f64, "each is counted once: {got:?}");
    got
}

/// Within 1 % of their shares, by what counts for each target in the end: the formula over what VDPT shows.
fn assert_shares(lab: &Lab, dvipa: &str, counts: &[f64], strength: impl Fn(&Value) -> f64) {
    let rows = targets(lab, dvipa);
    assert!(rows.iter().all(|row| row["responsiveness"]["tsr"] == 100), "measured on the way: {rows:?}");
    let strengths: Vec<f64> = rows.iter().map(strength).collect();
    let (total, all) = (counts.iter().sum::<f64>(), strengths.iter().sum::<f64>());
    println!("{dvipa}: {counts:?} by {strengths:?}");
    assert_eq!(counts.len(), IMAGES.len());
    for (count, strength) in counts.iter().zip(&strengths) {
        let promised = total * strength / all;
        assert!((count - promised).abs() <= promised * 0.01, "{counts:?} by {strengths:?}");
    }
}

/// Sets something of each server by hand, and waits until the router knows it.
fn set(lab: &Lab, dvipa: &str, options: [&[&str]; 3], known: impl Fn(&Value) -> f64, expected: [f64; 3]) {
    for (image, options) in IMAGES.iter().zip(options) {
        succeed(lab.command("weight").arg(image).args(options));
    }
    eventually("the router knows it", || targets(lab, dvipa).iter().map(&known).collect::<Vec<f64>>() == expected);
}

/// F7.142-150, I21: ROUNDROBIN gives each target the same.
#[test]
fn round_robin_is_even() {
    let lab = Lab::up("spread.ron");
    let counts = open(&lab, &mut Probe::start(&lab), "203.0.113.1", CONNECTIONS);
    assert_shares(&lab, "203.0.113.1", &counts, |_| 1.0);
}

/// I21: BASEWLM gives each target its share by weight x TSR; the first connection after a change goes by the new
/// weights.
#[test]
fn basewlm_follows_its_weights() {
    let (lab, dvipa) = (Lab::up("spread.ron"), "203.0.113.2");
    let mut probe = Probe::start(&lab);
    let weigh = |weights: [&str; 3]| {
        let expected = weights.map(|weight| weight.parse().expect("a number"));
        set(&lab, dvipa, weights.each_ref().map(std::slice::from_ref), |row| number(&row["raw_weight"]), expected);
    };
    weigh(["10", "20", "64"]);
    let counts = open(&lab, &mut probe, dvipa, CONNECTIONS);
    assert_shares(&lab, dvipa, &counts, |row| number(&row["raw_weight"]) * number(&row["responsiveness"]["tsr"]));
    weigh(["40", "0", "20"]);
    // A round of the new shares is three connections: in 60 nobody is more than one off.
    let counts = open(&lab, &mut probe, dvipa, 60);
    assert!(counts.iter().zip([40.0, 0.0, 20.0]).all(|(count, due)| (count - due).abs() <= 1.0), "{counts:?}");
    assert_eq!(counts[1], 0.0, "weight 0 gets nothing");
}

/// I21: WEIGHTEDACTIVE keeps the connections that are open in proportion to WEIGHT x TSR x health x
/// (1 - abnormal / 1000); when a server recovers, the next ones are its own until it has its share.
#[test]
fn weightedactive_follows_its_formula() {
    let (lab, dvipa) = (Lab::up("spread.ron"), "203.0.113.3");
    let mut probe = Probe::start(&lab);
    let strength = |row: &Value| {
        let of = |name: &str| number(&row["responsiveness"][name]);
        number(&row["weight"]) * of("tsr") / 100.0 * of("health") / 100.0 * (1.0 - of("abnorm") / 1000.0)
    };
    let well: &[&str] = &["--port", "7", "--health", "100"];
    set(
        &lab,
        dvipa,
        [well, &["--port", "7", "--health", "50"], &["--port", "7", "--abnormal", "250"]],
        strength,
        [10.0, 10.0, 22.5],
    );
    let counts = open(&lab, &mut probe, dvipa, CONNECTIONS);
    assert_shares(&lab, dvipa, &counts, strength);
    assert_shares(&lab, dvipa, &column(&lab, dvipa, "active"), strength);
    set(&lab, dvipa, [well, well, &["--port", "7", "--abnormal", "250"]], strength, [10.0, 20.0, 22.5]);
    assert_eq!(open(&lab, &mut probe, dvipa, 1000), [0.0, 1000.0, 0.0], "as many as all have for their weights");
    open(&lab, &mut probe, dvipa, 2000);
    assert_shares(&lab, dvipa, &column(&lab, dvipa, "active"), strength);
}
