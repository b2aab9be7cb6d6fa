//! The lessons, from the files that teach them: each goes through its own steps, and fails where a command
//! prints something else than its text says.

use tests::footprint::footprint;
use tests::{Terminal, cluster_lab, succeed, text};

fn name() -> String {
    format!("test-lesson-{}", std::process::id())
}

fn goes_well(lesson: &str) {
    let before = footprint();
    let told = succeed(cluster_lab().args(["lesson", lesson, "--run", "--name", &name()]));
    assert!(told.trim_end().ends_with("$ cluster-lab down"), "{told}");
    before.is_all_there_is();
}

/// D3, F6.124-126, F6.128-130, F7.142-150, F8.166, I14.
#[test]
fn lesson_1_distribution() {
    goes_well("1");
}

/// D2, F9.200-212, R1, R19, I6.
#[test]
fn lesson_2_takeover() {
    goes_well("2");
}

/// D1, F10.300-310, R2, I16.
#[test]
fn lesson_3_takeback() {
    goes_well("3");
}

/// D4, F11.500-510, F12.520-528, I17.
#[test]
fn lesson_4_moving_vipa() {
    goes_well("4");
}

/// R7, R16, I6, I14.
#[test]
fn lesson_5_rolling_upgrade() {
    goes_well("5");
}

/// What a text says wrongly is found out, and nothing is left of its lab and of the clients that it started.
#[test]
fn a_wrong_lesson_fails() {
    let before = footprint();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("wrong.md");
    let lesson = "# Wrong\n\n```console\n$ cluster-lab up --detach pair\n...\n$ sleep 60 &\n\
                  $ cluster-lab exec -- curl -s http://203.0.113.1/ | tr -d '12'\nPROD\n```\n";
    std::fs::write(&file, lesson).expect("written");
    let output = cluster_lab().arg("lesson").arg(&file).args(["--run", "--name", &name()]).output().expect("runs");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(text(&output).ends_with("\nMVS\n") && errors.contains("than the lesson says, which is:\nPROD"), "{errors}");
    before.is_all_there_is();
}

/// On a terminal a lesson waits for its reader before each command, who may leave.
#[test]
fn a_reader_goes_at_his_own_pace() {
    let before = footprint();
    let mut command = cluster_lab();
    command.args(["lesson", "distribution", "--name", &name()]);
    let mut terminal = Terminal::run(&command, 110, 40);
    terminal.until("the first command", |terminal| terminal.line("[Enter runs it").is_some());
    assert!(terminal.line("$ cluster-lab up --detach 1-distribution").is_some());
    terminal.type_in("\r");
    terminal.until("the second one", |terminal| terminal.line("$ cluster-lab status").is_some());
    assert!(terminal.line("is up: 3 images").is_some());
    terminal.type_in("q\r");
    assert_eq!(terminal.end(), 0);
    before.is_all_there_is();
    // Ctrl-C ends it at once, without another line.
    let mut terminal = Terminal::run(&command, 110, 40);
    terminal.until("the first command", |terminal| terminal.line("[Enter runs it").is_some());
    terminal.type_in("\x03");
    assert_eq!(terminal.end(), 1);
    assert!(terminal.line("interrupted").is_some());
}
