//! XCF that is cut on purpose.

use serde_json::json;
use tests::{Lab, Session, eventually, succeed};

/// The running images of the lab that take `address` for theirs to route.
fn owners(lab: &Lab, address: &str) -> Vec<String> {
    let images = lab.status()["images"].as_array().expect("a list").clone();
    let names = images.iter().filter(|image| image["state"] == "running").filter_map(|image| image["name"].as_str());
    let owns = |image: &&str| {
        let report = lab.netstat(image, "VIPADYN");
        let mut dvipas = report["dvipas"].as_array().expect("a list").iter();
        dvipas.any(|dvipa| dvipa["address"] == address && dvipa["status"] == "Active")
    };
    names.filter(owns).map(str::to_owned).collect()
}

/// The router is cut from all others: a backup takes over, and an idle session that MVS2 serves
/// lives through that and through the healing, after which there is one owner again.
fn a_router_that_is_cut_off(options: &[&str]) {
    let lab = Lab::up_with("survive.ron", options);
    let mut session = Session::open(&lab, "203.0.113.1");
    assert!(session.echoes("before"));
    for other in ["MVS2", "MVS3", "MVS4", "MVS5"] {
        succeed(lab.command("cut").args(["mvs1", other]));
    }
    assert_eq!(lab.status()["cuts"].as_array().expect("a list").len(), 8);
    eventually("MVS5 has taken over", || owners(&lab, "203.0.113.1").contains(&"MVS5".to_owned()));
    assert!(session.echoes("while MVS1 is alone"), "the session was lost at the cut");
    succeed(&mut lab.command("heal"));
    assert_eq!(lab.status()["cuts"], json!([]));
    eventually("there is one owner", || owners(&lab, "203.0.113.1").len() == 1);
    assert!(session.echoes("after"), "the session was lost at the healing");
}

/// F9.204, R3.
#[test]
fn an_idle_session_outlives_a_cut_and_its_healing() {
    a_router_that_is_cut_off(&[]);
}

/// The same on links inside one process.
#[test]
fn an_idle_session_outlives_a_cut_and_its_healing_in_one_process() {
    a_router_that_is_cut_off(&["--in-process"]);
}

/// Cuts are directed pairs, in status as text and as JSON; a restarted image is cut as before.
#[test]
fn cuts_are_shown_and_outlive_a_restart() {
    let lab = Lab::up("pair");
    succeed(lab.command("cut").args(["MVS1", "MVS2", "--one-way"]));
    assert_eq!(lab.status()["cuts"], json!([["MVS1", "MVS2"]]));
    assert!(succeed(&mut lab.command("status")).contains("XCF is cut: MVS1 > MVS2\n"));
    succeed(lab.command("cut").args(["MVS2", "MVS1"]));
    assert_eq!(lab.status()["cuts"], json!([["MVS1", "MVS2"], ["MVS2", "MVS1"]]));
    eventually("each is alone", || owners(&lab, "203.0.113.1").len() == 2);
    lab.kill("MVS1");
    eventually("MVS1 has ended", || lab.image("MVS1")["state"] == "failed");
    lab.start("MVS1");
    eventually("MVS1 is alone in its next life", || owners(&lab, "203.0.113.1").len() == 2);
    let contacts = succeed(&mut lab.command("log")).matches("MVS1: in contact").count();
    assert_eq!(contacts, 1, "the restarted image was not cut");
    succeed(lab.command("heal").args(["MVS2", "MVS1", "--one-way"]));
    assert_eq!(lab.status()["cuts"], json!([["MVS1", "MVS2"]]));
    succeed(lab.command("heal").args(["MVS1", "MVS2"]));
    assert_eq!(lab.status()["cuts"], json!([]));
    eventually("there is one owner", || owners(&lab, "203.0.113.1").len() == 1);
}

/// What cannot be cut is refused, with what to do.
#[test]
fn images_that_are_not_there_cannot_be_cut() {
    let lab = Lab::up("pair");
    let refused = |subcommand: &str, arguments: &[&str]| {
        let output = lab.command(subcommand).args(arguments).output().expect("the command starts");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, error) = refused("cut", &["MVS1", "MVS7"]);
    assert_eq!((code, error.contains("no image MVS7: the lab has MVS1, MVS2")), (Some(1), true), "{error}");
    let (code, error) = refused("heal", &["MVS7", "MVS1"]);
    assert_eq!((code, error.contains("no image MVS7")), (Some(1), true), "{error}");
    let (code, error) = refused("cut", &["MVS1", "mvs1"]);
    assert_eq!((code, error.contains("name two images")), (Some(1), true), "{error}");
    assert_eq!(refused("heal", &["MVS1"]).0, Some(2));
    assert_eq!(lab.status()["cuts"], json!([]));
}
