//! `cluster-lab capture`, read by somebody else's program.

use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use tests::{Lab, cluster_lab, eventually, succeed};

/// The lines that tshark prints of the packets that `filter` lets through: interface, source,
/// destination, and what it says of each.
fn decoded(folder: &Path, capture: &Path, filter: &str) -> Vec<String> {
    let script = folder.join("xcf.lua");
    std::fs::write(&script, succeed(cluster_lab().args(["capture", "--dissector"]))).expect("the script is written");
    let mut tshark = Command::new("tshark");
    tshark.arg("-n").arg("-r").arg(capture).arg("-X").arg(format!("lua_script:{}", script.display()));
    tshark.args(["-Y", filter, "-T", "fields"]);
    for field in ["frame.interface_name", "_ws.col.Source", "_ws.col.Destination", "_ws.col.Info"] {
        tshark.args(["-e", field]);
    }
    succeed(&mut tshark).lines().map(str::to_owned).collect()
}

fn any(lines: &[String], parts: &[&str]) -> bool {
    lines.iter().any(|line| parts.iter().all(|part| line.contains(part)))
}

/// A capture that runs through a kill, a takeover and a new life has the clients' packets on their
/// devices and every message of the takeover by its name, and tshark finds nothing malformed.
#[test]
fn a_takeover_is_captured_and_decoded() {
    let lab = Lab::up("figure4");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("takeover.pcapng");
    let mut capture = lab.command("capture").arg("--write").arg(&file).spawn().expect("capture starts");
    // It goes on by itself until it has the first packets.
    eventually("the capture begins", || std::fs::metadata(&file).is_ok_and(|file| file.len() > 2000));
    for _ in 0..3 {
        lab.curl(&["http://203.0.113.1:60/"]);
    }
    lab.kill("MVS1");
    lab.wait_for_owner("DVA1", "MVS5");
    lab.curl(&["http://203.0.113.1:60/"]);
    lab.start("MVS1");
    lab.wait_for_owner("DVA1", "MVS1");
    sleep(Duration::from_millis(500));
    let pid = rustix::process::Pid::from_child(&capture);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it runs");
    assert!(capture.wait().expect("it ends").success());

    let syns = decoded(folder.path(), &file, "tcp.flags.syn==1 && tcp.flags.ack==0 && !xcf");
    assert!(any(&syns, &["MVS1 TUN\t198.51.100.1\t203.0.113.1"]) && any(&syns, &["MVS5 TUN"]), "{syns:#?}");
    let forwarded = decoded(folder.path(), &file, "xcf.to_target==1 && tcp.flags.syn==1");
    assert!(any(&forwarded, &["MVS1 XCF", "203.0.113.1", "[SYN]"]), "{forwarded:#?}");
    let messages = decoded(folder.path(), &file, "xcf.message");
    for parts in [
        &["MVS5 XCF\t192.0.2.5\t192.0.2.2", "CLAIM 203.0.113.1 by 192.0.2.5, rebuilding"][..],
        &["MVS2 XCF\t192.0.2.2\t192.0.2.5", "REPORT_BEGIN 203.0.113.1", "SRVSTAT 203.0.113.1 port 60 up"],
        &["CLAIM 203.0.113.1 by 192.0.2.5, active"],
        &["MVS1 XCF\t192.0.2.1\t192.0.2.5", "TAKEBACK 203.0.113.1"],
        &["MVS5 XCF\t192.0.2.5\t192.0.2.1", "RELEASED 203.0.113.1"],
        &["TERMCONN 198.51.100.1:"],
        &["HELLO MVS1"],
        &["HEARTBEAT"],
    ] {
        assert!(any(&messages, parts), "{parts:?} is not in {messages:#?}");
    }
    assert_eq!(decoded(folder.path(), &file, "_ws.malformed || xcf.malformed"), Vec::<String>::new());
    let left = std::fs::read_dir(format!("/run/cluster-lab/{}", lab.name())).into_iter().flatten().flatten();
    let left: Vec<_> =
        left.map(|entry| entry.file_name()).filter(|name| name.to_string_lossy().contains("cap")).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Wrong use is told apart from a failure, and says what to do.
#[test]
fn a_capture_of_nothing_says_so() {
    let lab = Lab::up("pair");
    let output = lab.command("capture").args(["MVS9", "--write", "/dev/null"]).output().expect("it starts");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no image MVS9: the lab has MVS1, MVS2"), "{output:?}");
    let only_tun = lab.command("capture").args(["--tun", "--seconds", "0.5"]).output().expect("it starts");
    assert!(only_tun.status.success() && only_tun.stdout.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]), "{only_tun:?}");
}

/// An image that is named twice is captured once.
#[test]
fn an_image_may_be_named_twice() {
    let lab = Lab::up("pair");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("twice.pcapng");
    succeed(lab.command("capture").args(["MVS1", "mvs1", "--seconds", "1", "--write"]).arg(&file));
    let packets = decoded(folder.path(), &file, "xcf");
    assert!(any(&packets, &["MVS1 XCF"]) && !any(&packets, &["MVS2 XCF"]), "{packets:#?}");
}
