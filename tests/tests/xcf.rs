//! XCF between processes is sealed with the cluster's key.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::Value;
use tests::{Lab, Session, cluster_lab, eventually, succeed, workspace};

fn counted(lab: &Lab, image: &str, cause: &str) -> u64 {
    lab.netstat(image, "STATS")["XCF"][cause].as_u64().expect("a number")
}

/// Whoever has not the key is counted and told of, once; the cluster goes on.
#[test]
fn noise_on_an_xcf_endpoint_is_counted_and_told() {
    let lab = Lab::up("survive.ron");
    let mut session = Session::open(&lab, "203.0.113.1");
    assert!(session.echoes("before"));
    // The first image has port 11000, the next 11001. A forged header: 'X' 1, life 1, from MVS2.
    let forged = "X\\x01\\0\\0salt\\0\\0\\0\\0\\0\\0\\0\\x01\\0\\0\\0\\0\\0\\0\\0\\x01\
                  \\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\xff\\xff\\xc0\\0\\x02\\x02\\0\\0\\0\\0\\0\\0\\0\\0ciphertext and tag";
    let script = format!(
        "for i in 1 2 3 4 5; do printf noise > /dev/udp/127.0.0.1/11000; printf '{forged}' > /dev/udp/127.0.0.1/11001; done"
    );
    succeed(lab.exec("bash").args(["-c", &script]));
    eventually("all noise is counted", || counted(&lab, "MVS1", "malformed") == 5);
    eventually("all forgeries are counted", || counted(&lab, "MVS2", "forged") + counted(&lab, "MVS2", "stale") == 5);
    let log = succeed(&mut lab.command("log"));
    assert_eq!(log.matches("MVS1: XCF: a datagram from 127.0.0.1:").count(), 1, "{log}");
    assert!(log.contains(" is none of XCF; dropped"), "{log}");
    assert!(session.echoes("after"));
    assert_eq!(lab.dvipa("DVA1")["owner"], "MVS1");
}

/// In ordinary use nothing is refused: not at the start, not under load, and after a restart only
/// what was still meant for the former life.
#[test]
fn in_ordinary_use_nothing_is_refused() {
    let lab = Lab::up("survive.ron");
    lab.curl(&["-o", "/dev/null", "http://203.0.113.1:60/bytes/50000000"]);
    lab.kill("MVS1");
    lab.wait_for_owner("DVA1", "MVS5");
    lab.start("MVS1");
    lab.wait_for_owner("DVA1", "MVS1");
    lab.curl(&["-o", "/dev/null", "http://203.0.113.1:60/bytes/50000000"]);
    for image in ["MVS1", "MVS2", "MVS3", "MVS4", "MVS5"] {
        for cause in ["malformed", "forged", "replayed", "stale", "unaddressed"] {
            assert_eq!(counted(&lab, image, cause), 0, "{image}: {cause}");
        }
    }
    let log = succeed(&mut lab.command("log"));
    assert!(!log.contains("XCF:"), "{log}");
}

/// What the router has in common with others in its memory map: one mapping for each way to or from
/// one of them.
fn shared(lab: &Lab, image: &str) -> usize {
    let pid = lab.image(image)["pid"].as_u64().expect("it runs");
    fs::read_to_string(format!("/proc/{pid}/maps")).expect("it runs").matches("/memfd:xcf").count()
}

/// Data between processes goes through memory; it comes anew with each life of an image, and its end
/// leaves nothing of it in the others. UDP alone does the same work.
#[test]
fn data_between_processes_goes_through_memory_or_by_udp_alone() {
    let folder = Folder::new("memory");
    let pair = fs::read_to_string(workspace().join("profiles/pair.ron")).expect("the profile");
    let udp = pair.replacen("name: \"pair\",", "name: \"pair\",\n  xcf_memory: false,", 1);
    fs::write(folder.file("udp.ron"), udp).expect("a file");
    fs::write(folder.file("memory.ron"), pair).expect("a file");
    for (file, rings) in [("memory.ron", 1), ("udp.ron", 0)] {
        let lab = Lab::up(&folder.file(file));
        // Ten requests, five of them to the other image, which has a link of its own: data one way.
        let ask = || (0..10).map(|_| lab.curl(&["http://203.0.113.1/"])).filter(|answer| answer == "MVS2\n").count();
        assert_eq!(ask(), 5, "{file}");
        assert_eq!((shared(&lab, "MVS1"), shared(&lab, "MVS2")), (rings, rings), "{file}");
        lab.kill("MVS2");
        eventually("MVS1 serves alone", || lab.dvipa("DVA")["targets"] == serde_json::json!(["MVS1"]));
        eventually("nothing is left of its memory", || shared(&lab, "MVS1") == 0);
        lab.start("MVS2");
        eventually("both serve", || lab.dvipa("DVA")["targets"] == serde_json::json!(["MVS1", "MVS2"]));
        assert_eq!(ask(), 5, "{file}");
        assert_eq!((shared(&lab, "MVS1"), shared(&lab, "MVS2")), (rings, rings), "{file}");
    }
}

/// A folder with a profile that names a key file.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let pair = fs::read_to_string(workspace().join("profiles/pair.ron")).expect("the profile");
        let keyed = pair.replacen("name: \"pair\",", "name: \"pair\",\n  xcf_key: \"xcf.key\",", 1);
        fs::write(folder.join("keyed.ron"), keyed).expect("a file");
        Folder(folder)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("UTF-8").to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// The key is in no command line and no environment: there, any user can read it.
#[test]
fn a_lab_takes_its_key_from_a_file_and_shows_it_to_nobody() {
    let folder = Folder::new("keyed");
    succeed(cluster_lab().args(["key", &folder.file("xcf.key")]));
    let lab = Lab::up(&folder.file("keyed.ron"));
    assert_eq!(lab.curl(&["http://203.0.113.1/"]).len(), "MVS1\n".len());
    let key = fs::read_to_string(folder.file("xcf.key")).expect("the key");
    let key = key.trim_end();
    assert_eq!(key.len(), 64);
    for image in lab.status()["images"].as_array().expect("a list") {
        let pid = image["pid"].as_u64().expect("a number");
        for place in ["cmdline", "environ"] {
            let shown = fs::read(format!("/proc/{pid}/{place}")).expect("it runs");
            assert!(!String::from_utf8_lossy(&shown).contains(key), "{place} of {}", image["name"]);
        }
    }
    assert!(!succeed(&mut lab.command("log")).contains(key));
}

/// What is wrong with a key file is said with the place that names it, and what to do.
#[test]
fn a_key_file_that_others_can_read_is_refused() {
    let folder = Folder::new("refused");
    let check = || {
        let output = cluster_lab().args(["check", &folder.file("keyed.ron")]).output().expect("the command starts");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let place = format!("{}:4:13: ", folder.file("keyed.ron"));
    let (code, error) = check();
    assert_eq!(
        (code, error.contains(&place), error.contains("make one with 'cluster-lab key")),
        (Some(1), true, true),
        "{error}"
    );
    succeed(cluster_lab().args(["key", &folder.file("xcf.key")]));
    assert_eq!(check().0, Some(0));
    fs::set_permissions(folder.file("xcf.key"), fs::Permissions::from_mode(0o640)).expect("it is ours");
    let (code, error) = check();
    assert_eq!((code, error.contains(&place), error.contains("chmod 600")), (Some(1), true, true), "{error}");
    // A key is never lost to a second one.
    let again = cluster_lab().args(["key", &folder.file("xcf.key")]).output().expect("the command starts");
    assert_eq!(again.status.code(), Some(1));
}

/// The report is JSON and text.
#[test]
fn statistics_are_reported() {
    let lab = Lab::up("pair");
    assert_eq!(lab.netstat("MVS1", "STATS")["XCF"]["forged"], Value::from(0));
    let text = succeed(lab.command("netstat").args(["MVS1", "stats"]));
    assert!(text.contains("XCF Statistics\n"), "{text}");
}
