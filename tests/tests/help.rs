//! Completions, colours, and what is said to those who mistype.

use std::process::{Command, Stdio};

use tests::{Lab, Terminal, cluster_lab, program, succeed, text};

/// A script of another shell, in which `cluster-lab` is the program that is tested.
fn shell(name: &str, script: &str) -> String {
    let folder = program("cluster-lab").parent().expect("a folder").display().to_string();
    let path = format!("{folder}:{}", std::env::var("PATH").expect("a PATH"));
    succeed(Command::new(name).arg("-c").arg(script).env("PATH", path))
}

/// The shells offer what runs: labs by name, and the images of the lab that the line is about.
#[test]
fn shells_complete_what_runs() {
    let (lab, other) = (Lab::up("figure4"), Lab::up("pair"));
    let bash = |line: &str| {
        let words: Vec<_> = line.split(' ').collect();
        let (count, last) = (words.len() - 1, words.last().expect("a word"));
        let script = format!(
            "source <(cluster-lab completions bash)\nCOMP_WORDS=({})\nCOMP_CWORD={count}\nCOMP_TYPE=9\n\
             _clap_complete_cluster_lab cluster-lab '{last}'\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"",
            words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ")
        );
        shell("bash", &script).split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let name = lab.name();
    assert_eq!(bash(&format!("cluster-lab kill --name {name} m")), ["MVS1", "MVS2", "MVS3", "MVS4", "MVS5"]);
    assert_eq!(bash(&format!("cluster-lab kill --name {} MVS", other.name())), ["MVS1", "MVS2"]);
    let labs = bash("cluster-lab down --name test-");
    assert!(labs.contains(&name.to_owned()) && labs.contains(&other.name().to_owned()), "{labs:?}");
    assert_eq!(bash("cluster-lab netstat MVS1 vd"), ["VDPT"]);
    assert_eq!(bash("cluster-lab display MVS1 TCPIP,,NETSTAT,VD"), ["TCPIP,,NETSTAT,VDPT"]);
    assert_eq!(bash("cluster-lab check figure"), ["figure4", "figure4-v6"]);
    let line = format!("cluster-lab vary --name {name} MVS1 TCPIP,,SYSPLEX,DEACTIVATE");
    let commands = ["DVA1", "DVB1"].map(|dvipa| format!("TCPIP,,SYSPLEX,DEACTIVATE,DVIPA={dvipa}"));
    assert_eq!(bash(&line), commands);

    let fish = format!("cluster-lab completions fish | source; complete -C 'cluster-lab stop --name {name} mvs'");
    assert_eq!(shell("fish", &fish).lines().count(), 5);
    let zsh =
        "autoload -U compinit && compinit -u -D && source <(cluster-lab completions zsh) && print $_comps[cluster-lab]";
    assert_eq!(shell("zsh", zsh).trim(), "_clap_dynamic_completer_cluster_lab");
}

/// Colours are for terminals, and for those who want them.
#[test]
fn colours_stay_on_terminals() {
    let lab = Lab::up("pair");
    let mut command = lab.command("status");
    assert!(!succeed(&mut command).contains('\x1b'));
    let coloured = |command: &Command| {
        let mut terminal = Terminal::run(command, 100, 24);
        assert_eq!(terminal.end(), 0);
        let screen = terminal.screen();
        let cells = (0..24).flat_map(|row| (0..100).map(move |column| (row, column)));
        let coloured =
            |(row, column)| screen.cell(row, column).is_some_and(|cell| cell.fgcolor() != vt100::Color::Default);
        assert!(terminal.line("MVS1").is_some());
        cells.filter(|cell| coloured(*cell)).count()
    };
    assert!(coloured(&command) > 0);
    assert_eq!(coloured(command.env("NO_COLOR", "1")), 0);
}

/// A reader that has seen enough is no error, and no command panics of it; an output that cannot be written is one.
#[test]
fn output_goes_where_it_can() {
    let lab = Lab::up("pair");
    let folder = tempfile::tempdir().expect("a folder");
    let pages = folder.path().display().to_string();
    for arguments in [
        vec!["status"],
        vec!["status", "--json"],
        vec!["log"],
        vec!["netstat", "MVS1", "ALL"],
        vec!["display", "MVS1", "TCPIP,,SYSPLEX,VIPADYN"],
        vec!["explain"],
        vec!["metrics"],
        vec!["app", "MVS1", "list"],
        vec!["check", "figure4"],
        vec!["lesson"],
        vec!["lesson", "1"],
        vec!["completions", "bash"],
        vec!["man", &pages],
        vec!["capture", "--dissector"],
        vec!["capture", "--seconds", "0.1"],
        vec!["simulate", "--seeds", "0..1", "--trace"],
    ] {
        let run = |output: Stdio| {
            let mut command = cluster_lab();
            command.env("CLUSTER_LAB_NAME", lab.name()).args(&arguments).stdin(Stdio::null()).stdout(output);
            let output = command.stderr(Stdio::piped()).output().expect("runs");
            (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
        };
        let (reader, closed) = std::io::pipe().expect("a pipe");
        drop(reader);
        assert_eq!(run(closed.into()), (Some(0), String::new()), "{arguments:?} into a closed pipe");
        let full = std::fs::File::options().write(true).open("/dev/full").expect("a full disk");
        let (code, why) = run(full.into());
        assert!(code == Some(1) && why.contains("cannot be written"), "{arguments:?} on a full disk: {code:?} {why}");
    }
}

/// Who mistypes is told what there is, and what was meant; CLUSTER_LAB_NAME names the lab as `--name` does.
#[test]
fn what_was_meant_is_said() {
    let lab = Lab::up("pair");
    let refused = |arguments: &[&str], code: i32, expected: &str| {
        let output = cluster_lab().env("CLUSTER_LAB_NAME", lab.name()).args(arguments).output().expect("runs");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}{}", text(&output));
        assert!(errors.contains(expected), "{arguments:?}: {errors}");
    };
    refused(&["kill", "MSV1"], 1, "there is no image MSV1: the lab has MVS1, MVS2; did you mean 'MVS1'?");
    refused(&["netstat", "MVS1", "VDTP"], 2, "a similar value exists: 'VDPT'");
    refused(&["capture", "MVS3", "--write", "/dev/null"], 1, "there is no image MVS3: the lab has MVS1, MVS2");
    refused(&["app", "MVS1", "stop", "WEBB"], 1, "did you mean 'WEB'?");
    refused(&["up", "figur4", "--name", "another"], 1, "did you mean 'figure4'?");
    refused(&["lesson", "takover"], 1, "did you mean 'takeover'?");
    refused(&["key", "/dev/null"], 1, "a key is never overwritten: choose another name");
    lab.kill("MVS2");
    let start = format!("start it with 'cluster-lab start --name {} MVS2'", lab.name());
    refused(&["netstat", "MVS2", "HOME"], 1, &start);
    succeed(lab.command("kill").args(["MVS1", "--signal", "STOP"]));
    let wake = format!("'cluster-lab kill --name {} MVS1 --signal CONT' wakes it", lab.name());
    refused(&["netstat", "MVS1", "HOME"], 1, &wake);
    // As with a shell's own commands, '--' may be left out.
    let echoed = cluster_lab().env("CLUSTER_LAB_NAME", lab.name()).args(["exec", "echo", "-n", "hello"]).output();
    assert_eq!(text(&echoed.expect("runs")), "hello");
}
