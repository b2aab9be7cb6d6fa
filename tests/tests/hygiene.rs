//! A lab leaves nothing behind, and wrong use is answered with one clear sentence.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tests::footprint::{footprint, processes_with};
use tests::{Lab, cluster_lab, eventually, succeed, text};

fn pid_of(value: &serde_json::Value) -> Pid {
    let pid = value["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    pid.unwrap_or_else(|| panic!("no pid in {value}"))
}

/// Two labs with different names run side by side, `down` takes away each whole.
#[test]
fn two_labs_run_side_by_side_and_go_without_a_trace() {
    let before = footprint();
    {
        let (one, two) = (Lab::up("figure4"), Lab::up("figure4"));
        one.kill("MVS1");
        one.wait_for_owner("DVA1", "MVS5");
        assert_eq!(two.dvipa("DVA1")["owner"], "MVS1");
        two.curl(&["http://203.0.113.1:60/"]);
        assert_eq!(footprint().devices, before.devices, "a lab's devices live in its own namespace");
    }
    before.is_all_there_is();
}

/// In front, the lab ends with Ctrl-C, and leaves nothing.
#[test]
fn ctrl_c_takes_the_lab_down() {
    let before = footprint();
    let name = format!("test-front-{}", std::process::id());
    let mut front = cluster_lab()
        .args(["up", "pair", "--name", &name])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("cluster-lab starts");
    let mut lines = BufReader::new(front.stdout.take().expect("piped")).lines();
    let hint = lines.by_ref().map_while(Result::ok).find(|line| line.contains("curl"));
    assert!(hint.is_some(), "up says what to type next");
    kill_process(Pid::from_child(&front), Signal::INT).expect("it runs");
    // Keep the pipe drained until the end.
    let rest = std::thread::spawn(move || lines.map_while(Result::ok).count());
    assert!(front.wait().expect("it ends").success());
    rest.join().expect("no panic");
    before.is_all_there_is();
}

/// Other signals that ask for an end take a lab down too, whatever brought it up, and from its first moment on.
#[test]
fn whoever_is_told_to_end_leaves_nothing() {
    let before = footprint();
    let name = format!("test-told-{}", std::process::id());
    for (arguments, signal) in [
        (vec!["demo"], Signal::TERM),
        (vec!["demo"], Signal::HUP),
        (vec!["demo", "--matrix"], Signal::TERM),
        (vec!["lesson", "1", "--run"], Signal::TERM),
        (vec!["up"], Signal::HUP),
    ] {
        let mut command = cluster_lab();
        command.args(&arguments).args(["--name", &name]).stdin(Stdio::null());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("cluster-lab starts");
        eventually("the lab's folder is there", || footprint().has_lab(&name));
        kill_process(Pid::from_child(&child), signal).expect("it runs");
        let expected = if arguments[0] == "up" { 0 } else { 1 };
        assert_eq!(child.wait().expect("it ends").code(), Some(expected), "{arguments:?} {signal:?}");
        before.is_all_there_is();
    }
}

/// Several at once: one brings the lab up, the others are told that it runs; nobody takes it for one that crashed.
#[test]
fn of_two_who_bring_a_lab_up_one_does() {
    let name = format!("test-at-once-{}", std::process::id());
    let up = || {
        let mut command = cluster_lab();
        command.args(["up", "pair", "--detach", "--name", &name]).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("cluster-lab starts")
    };
    let tries: Vec<_> = (0..4).map(|_| up()).collect();
    let ends: Vec<Output> = tries.into_iter().map(|child| child.wait_with_output().expect("it ends")).collect();
    let refused = |end: &&Output| String::from_utf8_lossy(&end.stderr).contains("runs already");
    assert_eq!(ends.iter().filter(|end| end.status.success()).count(), 1, "{ends:?}");
    assert_eq!(ends.iter().filter(refused).count(), 3, "{ends:?}");
    succeed(cluster_lab().args(["exec", "--name", &name, "--", "curl", "-sS", "http://203.0.113.1/"]));
    succeed(cluster_lab().args(["down", "--name", &name]));
}

/// After a crash too: whoever is first cleans up and brings the lab up, and nobody cleans that away.
#[test]
fn of_two_who_bring_a_crashed_lab_up_one_does() {
    let before = footprint();
    let name = format!("test-crashed-{}", std::process::id());
    let up = || {
        let mut command = cluster_lab();
        command.args(["up", "pair", "--detach", "--name", &name]).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("cluster-lab starts")
    };
    for _ in 0..3 {
        assert!(up().wait_with_output().expect("it ends").status.success());
        kill_process(supervisor(&name), Signal::KILL).expect("it runs");
        let tries: Vec<_> = (0..4).map(|_| up()).collect();
        let ends: Vec<Output> = tries.into_iter().map(|child| child.wait_with_output().expect("it ends")).collect();
        assert_eq!(ends.iter().filter(|end| end.status.success()).count(), 1, "{ends:?}");
        succeed(cluster_lab().args(["exec", "--name", &name, "--", "curl", "-sS", "http://203.0.113.1/"]));
        succeed(cluster_lab().args(["down", "--name", &name]));
    }
    before.is_all_there_is();
}

/// A lab that is told to end before it is ready leaves nothing, though it would have gone on in the background.
#[test]
fn ctrl_c_ends_a_lab_that_was_to_go_on_in_the_background() {
    let before = footprint();
    let (name, profile) = slow("detach");
    let mut up = cluster_lab();
    up.args(["up", "--detach", "--name", &name]).arg(&profile).stdin(Stdio::null()).stderr(Stdio::piped());
    let child = up.spawn().expect("cluster-lab starts");
    eventually("an image runs", || status(&name).is_some());
    kill_process(Pid::from_child(&child), Signal::INT).expect("it runs");
    let end = child.wait_with_output().expect("it ends");
    let error = String::from_utf8_lossy(&end.stderr);
    assert!(end.status.code() == Some(1) && error.contains("did not get ready: interrupted"), "{end:?}");
    before.is_all_there_is();
    fs::remove_file(profile).expect("the profile goes");
}

/// Who kills an image before the lab is ready has a lab with an image less, and no waiting for it.
#[test]
fn an_image_may_be_killed_while_the_lab_comes_up() {
    let (name, profile) = slow("early");
    let mut up = cluster_lab();
    up.args(["up", "--detach", "--name", &name]).arg(&profile).stdin(Stdio::null());
    let mut child = up.stdout(Stdio::null()).spawn().expect("cluster-lab starts");
    eventually("MVS2 can be killed", || {
        let killed = cluster_lab().args(["kill", "MVS2", "--name", &name]).output().expect("it starts");
        killed.status.success()
    });
    assert!(child.wait().expect("it ends").success());
    let images = status(&name).expect("the lab runs")["images"].as_array().expect("a list").clone();
    let states: Vec<_> = images.iter().map(|image| image["state"].as_str().expect("text")).collect();
    assert_eq!(states, ["running", "failed"]);
    succeed(cluster_lab().args(["down", "--name", &name]));
    fs::remove_file(profile).expect("the profile goes");
}

/// The name of a lab, and a profile with which it takes its time to get ready.
fn slow(what: &str) -> (String, std::path::PathBuf) {
    let name = format!("test-{what}-{}", std::process::id());
    let pair = fs::read_to_string(tests::workspace().join("profiles/pair.ron")).expect("the profile");
    let file = std::env::temp_dir().join(format!("{name}.ron"));
    let slow = pair.replacen("images:", "timing: (discovery: 10000),\n images:", 1);
    fs::write(&file, slow).expect("the profile can be written");
    (name, file)
}

/// How a lab is, once it says so.
fn status(name: &str) -> Option<serde_json::Value> {
    let output = cluster_lab().args(["status", "--json", "--name", name]).output().expect("it starts");
    output.status.success().then(|| serde_json::from_slice(&output.stdout).expect("JSON"))
}

/// The process that a lab stands and falls with.
fn supervisor(name: &str) -> Pid {
    let record = fs::read(format!("/run/cluster-lab/{name}/lab.json")).expect("the lab runs");
    let record: serde_json::Value = serde_json::from_slice(&record).expect("JSON");
    pid_of(&record["supervisor"])
}

/// What `exec` has started ends with the lab, though it has gone to the background or does not want to; whoever
/// takes the lab down from there gets an answer; and it ends when the lab crashes.
#[test]
fn nothing_that_was_started_in_a_lab_outlives_it() {
    let before = footprint();
    let word = format!("test-outlives-{}", std::process::id());
    let stays = format!("trap '' TERM HUP; (exec -a {word} sleep 300) & exec -a {word} setsid -w sleep 300");
    let down = format!("trap '' TERM HUP; {} down --name {word}", tests::program("cluster-lab").display());
    for way in ["outside", "inside", "crash"] {
        succeed(cluster_lab().args(["up", "pair", "--detach", "--name", &word]).stdout(Stdio::null()));
        let inside = |script: &str| {
            let mut command = cluster_lab();
            command.args(["exec", "--name", &word, "--", "bash", "-c", script]).stdin(Stdio::null());
            command.spawn().expect("cluster-lab starts")
        };
        let mut client = inside(&stays);
        eventually("they run", || processes_with(&word).len() >= 3);
        match way {
            "outside" => drop(succeed(cluster_lab().args(["down", "--name", &word]))),
            "inside" => drop(inside(&format!("exec {down}")).wait().map(|end| assert!(end.success(), "{end:?}"))),
            _ => kill_process(supervisor(&word), Signal::KILL).expect("it runs"),
        }
        client.wait().expect("it has ended");
        if way == "crash" {
            succeed(cluster_lab().args(["down", "--name", &word]));
        }
        eventually("all have ended", || processes_with(&word).is_empty());
        before.is_all_there_is();
    }
}

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

/// After a crash of the lab command nothing runs on, and `down` removes what is left.
#[test]
fn down_cleans_up_after_a_crash() {
    let before = footprint();
    let name = format!("test-crash-{}", std::process::id());
    let mut front = cluster_lab()
        .args(["up", "pair", "--name", &name])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("cluster-lab starts");
    let mut lines = BufReader::new(front.stdout.take().expect("piped")).lines();
    assert!(lines.by_ref().map_while(Result::ok).any(|line| line.contains("curl")));
    front.kill().expect("it runs");
    front.wait().expect("it ends");
    before.are_all_that_run();
    refused(cluster_lab().args(["status", "--name", &name]), 1, "has crashed: 'cluster-lab down --name test-crash-");
    succeed(cluster_lab().args(["down", "--name", &name]));
    before.is_all_there_is();
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
         if {lab} up pair --host --detach --name {name}-2 2> $D/refused; then exit 9; fi\n\
         {lab} down --name {name}\n\
         ip -o link > $D/after; ip route show table all >> $D/after\n\
         ip link add mvs2 type dummy\n\
         if {lab} up pair --host --detach 2> $D/taken; then exit 8; fi\n\
         ip -o link show mvs2 > $D/theirs\n\
         if ip link show mvs1; then exit 7; fi"
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
    assert!(taken.contains("no device can be called mvs2"), "{taken}");
    assert!(read("theirs").contains("mvs2"));
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

/// Fails with `code`, and says why in one sentence that contains `reason`; nothing is left.
#[track_caller]
fn refused(command: &mut Command, code: i32, reason: &str) -> Output {
    let output = command.output().expect("it starts");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{command:?}: {error}{}", text(&output));
    assert!(error.contains(reason), "{command:?} says {error:?}, not {reason:?}");
    assert!(!error.contains("panicked"), "{error}");
    output
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
