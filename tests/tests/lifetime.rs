//! A lab comes up once, however many bring it up, and goes without a trace, however it ends.

use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::NamedTempFile;
use tests::footprint::{footprint, processes_with};
use tests::{Lab, cluster_lab, eventually, pid_of, refused, succeed};

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
    let (mut front, lines) = in_front(&name);
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
        // Whoever runs the tests may have told everything below to mind no hangup, as nohup does.
        let mut command = Command::new("env");
        command.arg("--default-signal=HUP").arg(cluster_lab().get_program());
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
    let ends = brought_up(4, &name);
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
    for _ in 0..3 {
        assert!(brought_up(1, &name)[0].status.success());
        kill_process(supervisor(&name), Signal::KILL).expect("it runs");
        let ends = brought_up(4, &name);
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
    up.args(["up", "--detach", "--name", &name]).arg(profile.path()).stdin(Stdio::null()).stderr(Stdio::piped());
    let child = up.spawn().expect("cluster-lab starts");
    eventually("an image runs", || status(&name).is_some());
    kill_process(Pid::from_child(&child), Signal::INT).expect("it runs");
    let end = child.wait_with_output().expect("it ends");
    let error = String::from_utf8_lossy(&end.stderr);
    assert!(end.status.code() == Some(1) && error.contains("did not get ready: interrupted"), "{end:?}");
    before.is_all_there_is();
}

/// Who kills an image before the lab is ready has a lab with an image less, and no waiting for it.
#[test]
fn an_image_may_be_killed_while_the_lab_comes_up() {
    let (name, profile) = slow("early");
    let mut up = cluster_lab();
    up.args(["up", "--detach", "--name", &name]).arg(profile.path()).stdin(Stdio::null());
    let mut child = up.stdout(Stdio::null()).spawn().expect("cluster-lab starts");
    eventually("MVS2 can be killed", || {
        let killed = cluster_lab().args(["kill", "MVS2", "--name", &name]).output().expect("it starts");
        killed.status.success()
    });
    assert!(child.wait().expect("it ends").success());
    let log = succeed(cluster_lab().args(["log", "--name", &name]));
    assert!(!log.contains("routes for"), "the lab was to be slower: {log}");
    let images = status(&name).expect("the lab runs")["images"].as_array().expect("a list").clone();
    let states: Vec<_> = images.iter().map(|image| image["state"].as_str().expect("text")).collect();
    assert_eq!(states, ["running", "running", "failed"]);
    succeed(cluster_lab().args(["down", "--name", &name]));
}

/// A lab in front, ready, and what it prints from there.
fn in_front(name: &str) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut up = cluster_lab();
    up.args(["up", "pair", "--name", name]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut front = up.spawn().expect("cluster-lab starts");
    let mut lines = BufReader::new(front.stdout.take().expect("piped")).lines();
    let hint = lines.by_ref().map_while(Result::ok).find(|line| line.contains("curl"));
    assert!(hint.is_some(), "up says what to type next");
    (front, lines)
}

/// What becomes of so many who bring a lab up at once.
fn brought_up(times: usize, name: &str) -> Vec<Output> {
    let up = |_| {
        let mut command = cluster_lab();
        command.args(["up", "pair", "--detach", "--name", name]).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("cluster-lab starts")
    };
    let tries: Vec<Child> = (0..times).map(up).collect();
    tries.into_iter().map(|child| child.wait_with_output().expect("it ends")).collect()
}

/// The name of a lab, and a profile with which it takes its time to get ready.
fn slow(what: &str) -> (String, NamedTempFile) {
    let name = format!("test-{what}-{}", std::process::id());
    let pair = fs::read_to_string(tests::workspace().join("profiles/pair.ron")).expect("the profile");
    let file = tempfile::Builder::new().suffix(".ron").tempfile().expect("a file");
    // An image that stays out of the group is waited for in vain.
    let absent = "(name: \"OUT\", xcf: \"192.0.2.9\", tcpip: \"GLOBALCONFIG SYSPLEXMONITOR NOJOIN\"),";
    let slow = pair.replacen("images: [", &format!("timing: (discovery: 10000), images: [{absent}"), 1);
    fs::write(file.path(), slow).expect("the profile can be written");
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
    // One in the background, and one that minds neither.
    let stays = format!("(exec -a {word} sleep 300) & trap '' TERM HUP; exec -a {word} sleep 300");
    let sleepers = || processes_with(&format!("{word}\x00300")).len();
    let down = format!("exec {} down --name {word}", tests::program("cluster-lab").display());
    for way in ["outside", "inside", "crash"] {
        succeed(cluster_lab().args(["up", "pair", "--detach", "--name", &word]).stdout(Stdio::null()));
        let inside = |script: &str| {
            let mut command = cluster_lab();
            command.args(["exec", "--name", &word, "--", "bash", "-c", script]).stdin(Stdio::null());
            command.spawn().expect("cluster-lab starts")
        };
        let mut client = inside(&stays);
        eventually("they run", || sleepers() == 2);
        match way {
            "outside" => drop(succeed(cluster_lab().args(["down", "--name", &word]))),
            "inside" => assert!(inside(&down).wait().expect("it ends").success()),
            _ => kill_process(supervisor(&word), Signal::KILL).expect("it runs"),
        }
        client.wait().expect("it has ended");
        if way == "crash" {
            succeed(cluster_lab().args(["down", "--name", &word]));
        }
        eventually("all have ended", || sleepers() == 0);
        before.is_all_there_is();
    }
}

/// After a crash of the lab command nothing runs on, and `down` removes what is left.
#[test]
fn down_cleans_up_after_a_crash() {
    let before = footprint();
    let name = format!("test-crash-{}", std::process::id());
    let (mut front, _lines) = in_front(&name);
    front.kill().expect("it runs");
    front.wait().expect("it ends");
    before.are_all_that_run();
    refused(cluster_lab().args(["status", "--name", &name]), 1, "has crashed: 'cluster-lab down --name test-crash-");
    succeed(cluster_lab().args(["down", "--name", &name]));
    before.is_all_there_is();
}
