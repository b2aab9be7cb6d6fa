//! Wherever a lab runs it leaves nothing behind, and wrong use is answered with one clear sentence.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Signal, kill_process};
use tests::footprint::footprint;
use tests::{Lab, cluster_lab, eventually, pid_of, refused, succeed};

/// Noise, requests of another version and more clients than descriptors: the lab answers whoever comes after.
#[test]
fn the_control_socket_outlives_noise() {
    let lab = Lab::up("pair");
    let socket = std::path::Path::new("/run/cluster-lab").join(lab.name()).join("control.sock");
    for noise in ["garbage\n", "\n", "\"Frobnicate\"\n", &("[".repeat(100_000) + "\n")] {
        let mut client = UnixStream::connect(&socket).expect("the lab listens");
        client.write_all(noise.as_bytes()).expect("it reads");
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("it answers, and closes");
        assert!(answer.contains("does not understand that"), "{noise:.20}: {answer}");
    }
    // A connect() waits once nobody takes clients any more: it is on a thread of its own.
    let (sender, crowd) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let clients: Vec<_> = (0..400).map(|_| UnixStream::connect(&socket)).collect();
        drop(sender.send(clients));
    });
    let crowd = crowd.recv_timeout(Duration::from_secs(20)).expect("all are queued");
    assert_eq!(crowd.iter().flatten().count(), 400);
    drop(crowd);
    assert_eq!(lab.image("MVS1")["state"], "running");
}

/// `kill -9` on an image's process is what `cluster-lab kill` does; STOP and CONT work too.
#[test]
fn a_signal_from_outside_works_as_kill_does() {
    let lab = Lab::up("pair");
    kill_process(pid_of(&lab.image("MVS1")), Signal::KILL).expect("it runs");
    eventually("MVS1 has failed", || lab.image("MVS1")["state"] == "failed");
    lab.wait_for_owner("DVA", "MVS2");
    lab.start("MVS1");
    assert_eq!(lab.image("MVS1")["state"], "running");
    succeed(lab.command("kill").args(["MVS1", "--signal", "STOP"]));
    succeed(lab.command("kill").args(["MVS1", "--signal", "CONT"]));
    succeed(lab.command("stop").arg("MVS1"));
    assert_eq!(lab.image("MVS1")["state"], "stopped");
}

/// All images in one process behave as images in processes of their own.
#[test]
fn in_process_images_take_over_too() {
    let lab = Lab::up_with("figure4", &["--in-process"]);
    assert_eq!(pid_of(&lab.image("MVS1")), pid_of(&lab.image("MVS5")));
    lab.curl(&["http://203.0.113.1:60/"]);
    lab.kill("MVS1");
    lab.wait_for_owner("DVA1", "MVS5");
    lab.curl(&["http://203.0.113.1:60/"]);
    lab.start("MVS1");
    lab.wait_for_owner("DVA1", "MVS1");
    lab.curl(&["http://203.0.113.1:60/"]);
}

/// Who starts an image that is told to stop meanwhile does not hear that it has started.
#[test]
fn a_start_is_not_answered_by_a_stop() {
    let lab = Lab::up_with("pair", &["--in-process"]);
    lab.kill("MVS2");
    eventually("MVS2 has ended", || lab.image("MVS2")["state"] == "failed");
    // While the process stands still, neither is done; then both end with it.
    let process = pid_of(&lab.image("MVS1"));
    kill_process(process, Signal::STOP).expect("it runs");
    let order = |verb: &str| lab.command(verb).arg("MVS2").stderr(Stdio::piped()).spawn().expect("it starts");
    let start = order("start");
    eventually("MVS2 is to start", || lab.image("MVS2")["state"] == "running");
    let mut stop = order("stop");
    // However early or late the stop comes.
    std::thread::sleep(Duration::from_millis(300));
    kill_process(process, Signal::KILL).expect("it runs");
    let start = start.wait_with_output().expect("it ends");
    let why = String::from_utf8_lossy(&start.stderr);
    assert!(start.status.code() == Some(1) && why.contains("MVS2 killed"), "{start:?}");
    stop.wait().expect("it ends");
}

/// On the host itself: the DVIPA is reachable without `exec`, and all of it goes again. The test
/// makes the host: a namespace of its own.
#[test]
fn host_mode_puts_the_lab_into_the_namespace_it_was_called_in() {
    let name = format!("test-host-{}", std::process::id());
    let lab = tests::program("cluster-lab");
    let lab = lab.display();
    let script = format!(
        "set -e; ip link set lo up; ip -o link > $D/before; ip route show table all >> $D/before\n\
         {lab} up pair --host --detach --name {name}\n\
         curl -sS --max-time 20 http://203.0.113.1/ > $D/answer\n\
         first=$(ip -o link | grep -o 'l[0-9a-f]*mvs1'); second=$(ip -o link | grep -o 'l[0-9a-f]*mvs2')\n\
         if {lab} up pair --host --detach --name {name}-2 2> $D/refused; then exit 9; fi\n\
         {lab} down --name {name}\n\
         ip -o link > $D/after; ip route show table all >> $D/after\n\
         ip tuntap add $second mode tun\n\
         if {lab} up pair --host --detach --name {name} 2> $D/taken; then exit 8; fi\n\
         ip link show $second\n\
         if ip link show $first; then exit 7; fi"
    );
    let folder = std::env::temp_dir().join(&name);
    fs::create_dir_all(&folder).expect("a folder");
    succeed(Command::new("unshare").args(["-n", "sh", "-c", &script]).env("D", &folder));
    let read = |file: &str| fs::read_to_string(folder.join(file)).expect("the script wrote it");
    assert!(read("answer").starts_with("MVS"));
    assert_eq!(read("before"), read("after"));
    let refused = read("refused");
    assert!(refused.contains("198.51.100.") || refused.contains("203.0.113."), "{refused}");
    // Somebody else's device is left alone, and one that was made before it was met is not left behind.
    let taken = read("taken");
    assert!(taken.contains("no device can be called l") && taken.contains("mvs2"), "{taken}");
    fs::remove_dir_all(folder).expect("the folder goes");
}

/// Without root the lab makes itself a user namespace.
#[test]
fn a_user_without_root_can_run_a_lab() {
    let name = format!("test-user-{}", std::process::id());
    let folder = std::env::temp_dir().join(&name);
    fs::create_dir_all(&folder).expect("a folder");
    let binary = folder.join("cluster-lab");
    fs::copy(tests::program("cluster-lab"), &binary).expect("the program can be copied");
    succeed(Command::new("chmod").args(["-R", "a+rX"]).arg(&folder));
    succeed(Command::new("chown").args(["-R", "nobody"]).arg(&folder));
    // On most systems everybody may open /dev/net/tun; where not, the test gives itself a folder
    // of devices in which everybody may.
    let lab = binary.display();
    let script = format!(
        "set -e; mount -t tmpfs tmpfs /dev/net; mknod -m 666 /dev/net/tun c 10 200\n\
         exec setpriv --reuid=nobody --regid=nogroup --clear-groups env -u XDG_RUNTIME_DIR HOME={home} sh -ec '\
           {lab} up pair --detach --name {name}; \
           {lab} exec --name {name} -- curl -sS --max-time 20 http://203.0.113.1/; \
           {lab} kill MVS1 --name {name}; \
           {lab} exec --name {name} -- curl -sS --max-time 20 http://203.0.113.1/; \
           {lab} down --name {name}'",
        home = folder.display()
    );
    let output = succeed(Command::new("unshare").args(["-m", "sh", "-c", &script]));
    assert!(output.contains("MVS2"), "{output}");
    fs::remove_dir_all(folder).expect("the folder goes");
}

/// Bad input: each is refused before anything starts.
#[test]
fn wrong_use_is_refused_with_a_reason() {
    let before = footprint();
    refused(cluster_lab().args(["status", "--name", "no-such-lab"]), 1, "no-such-lab");
    refused(cluster_lab().args(["frobnicate"]), 2, "frobnicate");
    refused(cluster_lab().args(["up", "/nonexistent.ron"]), 1, "/nonexistent.ron");
    refused(cluster_lab().args(["up", "/dev/zero"]), 1, "longer than 4 MiB");
    refused(cluster_lab().args(["up", "--name", "../lab"]), 2, "cannot name a lab");
    refused(cluster_lab().args(["demo", "--name", "a b"]), 2, "cannot name a lab");
    refused(cluster_lab().args(["vary", "MVS1", "TCPIP,,NONSENSE"]), 2, "expected SYSPLEX, OBEYFILE");
    refused(cluster_lab().args(["display", "MVS1", "VTAM"]), 2, "expected TCPIP");
    refused(cluster_lab().args(["capture", "--seconds=-1"]), 2, "expected a number of seconds");
    let folder = std::env::temp_dir().join(format!("test-wrong-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let good = fs::read_to_string(tests::workspace().join("profiles/figure4.ron")).expect("the profile");
    for (number, (from, to, reason)) in [
        ("VIPABackup 10", "VIPABackup 0", "254"),
        ("VIPABackup 10", "VIPABackup 255", "254"),
        ("PORT 60", "PORT 65536", "65535"),
        ("ENDVIPADynamic", "", "ENDVIPADYNAMIC"),
    ]
    .into_iter()
    .enumerate()
    {
        assert!(good.contains(from), "{from} stands in figure4.ron");
        let file = folder.join(format!("wrong-{number}.ron"));
        fs::write(&file, good.replacen(from, to, 1)).expect("the profile can be written");
        for verb in ["check", "up"] {
            let output = refused(cluster_lab().arg(verb).arg(&file), 1, &format!("wrong-{number}.ron:"));
            let error = String::from_utf8_lossy(&output.stderr).to_uppercase();
            assert!(error.contains(reason), "{error}");
        }
    }
    fs::remove_dir_all(folder).expect("the folder goes");
    // No /dev/net/tun: the test hides it in a mount namespace of its own.
    let hide = format!(
        "mount -t tmpfs tmpfs /dev/net && exec {} up pair --detach --name test-no-tun",
        tests::program("cluster-lab").display()
    );
    refused(Command::new("unshare").args(["-m", "sh", "-c", &hide]), 1, "/dev/net/tun");
    before.is_all_there_is();
    let lab = Lab::up("pair");
    refused(lab.command("kill").arg("MVS9"), 1, "MVS9");
    refused(lab.command("netstat").args(["MVS1", "NONSENSE"]), 2, "NONSENSE");
    refused(lab.command("netstat").args(["MVS1", "HOME", "DETAIL", "--json"]), 2, "DETAIL is for VDPT and VCRT");
    refused(lab.command("metrics").arg("MVS9"), 1, "there is no image MVS9: the lab has MVS1, MVS2");
    succeed(cluster_lab().args(["app", "MVS1", "list", "--name", lab.name()]));
    refused(&mut lab.command("up"), 1, lab.name());
    let output = lab.exec("sh").args(["-c", "exit 37"]).output().expect("it starts");
    assert_eq!(output.status.code(), Some(37), "exec passes the exit code on");
}
