//! `cluster-lab top` on a real terminal.

use std::process::Command;
use std::time::{Duration, Instant};

use tests::{Lab, Terminal, succeed};

fn top(lab: &Lab, columns: u16, rows: u16) -> Terminal {
    let mut terminal = Terminal::run(&lab.command("top"), columns, rows);
    terminal.until("every image runs", |terminal| terminal.line("MVS5").is_some_and(|line| line.contains("MiB")));
    terminal
}

fn shows(terminal: &Terminal, word: &str, other: &str) -> bool {
    terminal.line(word).is_some_and(|line| line.contains(other))
}

/// The settings of a terminal on which nothing has run.
fn fresh() -> String {
    let mut terminal = Terminal::run(&Command::new("true"), 80, 24);
    terminal.end();
    terminal.settings()
}

fn given_back(terminal: &Terminal) {
    assert!(!terminal.screen().alternate_screen() && !terminal.screen().hide_cursor());
    assert_eq!(terminal.settings(), fresh());
}

/// A kill by its key shows within 100 ms, and so does all that follows: who owns the DVIPA then, the gap, the
/// new life.
#[test]
fn a_kill_shows_at_once() {
    let lab = Lab::up("figure4");
    let mut terminal = top(&lab, 80, 24);
    assert!(terminal.screen().alternate_screen());
    let typed = Instant::now();
    terminal.type_in("k");
    let seen = terminal.until("MVS1 is dead", |terminal| shows(terminal, "MVS1", "failed"));
    assert!(seen - typed < Duration::from_millis(100), "{:?}", seen - typed);
    terminal.until("MVS5 owns DVA1", |terminal| shows(terminal, " DVA1 ", "owner MVS5"));
    terminal.until("the gap", |terminal| shows(terminal, "last takeover", "gap "));
    terminal.until("what was done", |terminal| terminal.line("killed MVS1: cluster-lab kill").is_some());
    assert_eq!(lab.image("MVS1")["state"], "failed");
    terminal.type_in("s");
    terminal.until("MVS1 owns DVA1", |terminal| shows(terminal, " DVA1 ", "owner MVS1"));
    // Down to MVS2, in the way of terminals.
    terminal.type_in("\x1b[B");
    terminal.type_in("z");
    terminal.until("MVS2 is quiesced", |terminal| shows(terminal, "MVS2", "quiesced"));
    terminal.type_in("z");
    terminal.until("MVS2 is back", |terminal| shows(terminal, "MVS2", "running"));
    terminal.type_in("p");
    terminal.until("MVS2 is paused", |terminal| shows(terminal, "MVS2", "paused"));
    terminal.type_in("p");
    terminal.until("MVS2 goes on", |terminal| shows(terminal, "MVS2", "running"));
    terminal.type_in("x");
    terminal.until("MVS2 has stopped", |terminal| shows(terminal, "MVS2", "stopped"));
    // XCF between two images: c, the other one, c; the same again heals it.
    terminal.type_in("\x1b[Bc\x1b[Bc");
    terminal.until("the cut", |terminal| shows(terminal, "cluster-lab", "cut: MVS3 ⇹ MVS4"));
    terminal.until("how to do the same", |terminal| terminal.line("cut MVS3 from MVS4: cluster-lab cut").is_some());
    terminal.type_in("c\x1b[Ac");
    terminal.until("healed", |terminal| !shows(terminal, "cluster-lab", "cut: "));
    terminal.type_in("\x1b[A");
    // An order that cannot be: the screen says why.
    terminal.type_in("k");
    terminal.until("why not", |terminal| terminal.line("MVS2 is not running: start it").is_some());
    terminal.type_in("q");
    assert_eq!(terminal.end(), 0);
    given_back(&terminal);
}

/// Connections show as bars of their targets while they last.
#[test]
fn connections_show_as_bars() {
    let lab = Lab::up("figure4");
    let mut terminal = top(&lab, 100, 30);
    let sessions: Vec<_> = (0..6).map(|_| lab.spawn("ncat", &["203.0.113.1", "60"])).collect();
    let bars = |terminal: &Terminal, count: &str| {
        let lines: Vec<_> = terminal.screen().contents().lines().map(str::to_owned).collect();
        let at = lines.iter().position(|line| line.contains(" DVA1 ")).unwrap_or(0);
        lines.iter().skip(at + 1).take(3).all(|line| (line.contains('█') == (count != "0")) && line.contains(count))
    };
    terminal.until("two each", |terminal| bars(terminal, "  2 "));
    drop(sessions);
    terminal.until("none", |terminal| bars(terminal, "  0 "));
}

/// It follows the terminal's size, and says all without colours.
#[test]
fn any_terminal_will_do() {
    let lab = Lab::up("figure4");
    let mut command = lab.command("top");
    command.env("NO_COLOR", "1");
    let mut terminal = Terminal::run(&command, 80, 24);
    let beside = |terminal: &Terminal| shows(terminal, "images ─", "events ─");
    terminal.until("events below", |terminal| terminal.line("events ─").is_some() && !beside(terminal));
    terminal.resize(150, 40);
    terminal.until("events beside", beside);
    terminal.resize(30, 5);
    terminal.until("no room", |terminal| terminal.line("too small").is_some());
    terminal.resize(80, 24);
    terminal.until("events below again", |terminal| terminal.line("events ─").is_some() && !beside(terminal));
    let cells = (0..24).flat_map(|row| (0..80).map(move |column| (row, column)));
    let coloured = cells.filter(|(row, column)| {
        terminal.screen().cell(*row, *column).is_some_and(|cell| cell.fgcolor() != vt100::Color::Default)
    });
    assert_eq!(coloured.count(), 0);
    terminal.type_in("\x03");
    assert_eq!(terminal.end(), 0);
    given_back(&terminal);
}

/// A lab that goes down takes its screen with it, and leaves the terminal as it was.
#[test]
fn it_ends_with_its_lab() {
    let lab = Lab::up("pair");
    let mut terminal = Terminal::run(&lab.command("top"), 80, 24);
    terminal.until("images", |terminal| shows(terminal, "MVS2", "running"));
    succeed(&mut lab.command("down"));
    assert_eq!(terminal.end(), 0);
    assert!(terminal.line(&format!("lab '{}' has ended", lab.name())).is_some(), "{terminal:?}");
    given_back(&terminal);
    // For the end of the test: one to take down.
    succeed(lab.command("up").args(["--detach", "pair"]));
    let refused = lab.command("top").output().expect("runs");
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && why.contains("needs a terminal"), "{why}");
}

/// A terminal that goes away ends it, though it is told to mind no hangup: as an error, not as a crash.
#[test]
fn it_ends_with_its_terminal() {
    let lab = Lab::up("pair");
    let folder = tempfile::tempdir().expect("a folder");
    let code = folder.path().join("code");
    let top = lab.command("top");
    let words = [top.get_program()].into_iter().chain(top.get_args()).map(|word| word.to_str().expect("UTF-8"));
    // The shell outlives its terminal, and tells how top ended.
    let line = format!("trap '' HUP; {}; echo $? > {}", words.collect::<Vec<_>>().join(" "), code.display());
    let mut script = Command::new("script");
    script.args(["-q", "-c", &line, "/dev/null"]);
    script.envs(top.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut terminal = Terminal::run(&script, 80, 24);
    terminal.until("images", |terminal| shows(terminal, "MVS2", "running"));
    // Whoever has the other end of the terminal is killed.
    drop(terminal);
    let began = Instant::now();
    while std::fs::read_to_string(&code).unwrap_or_default().is_empty() {
        assert!(began.elapsed() < Duration::from_secs(10), "it goes on");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(std::fs::read_to_string(&code).expect("written"), "1\n");
}
