//! The end-to-end tests' own tools: a lab that goes away by itself, and real clients in it.
//!
//! The tests drive the `cluster-lab` command as a user would. They need `/dev/net/tun`, the
//! right to make network namespaces, and the client programs that `./run test` installs.

use std::io::{BufRead, BufReader, Write};
mod download;
pub mod flood;
pub mod footprint;
pub mod impair;
pub mod namespace;
mod network;
mod probe;
mod terminal;

use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Pid;
use serde_json::Value;

pub use download::Download;
pub use network::{Network, established};
pub use probe::{Outcome, Probe};
pub use terminal::Terminal;

/// The workspace's root.
pub fn workspace() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// `cluster-lab` or `instructions` in its release build, which is built first if need be.
///
/// # Panics
/// If it cannot be built.
pub fn program(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let folder = BUILT.get_or_init(|| {
        let status = Command::new(env!("CARGO"))
            .current_dir(workspace())
            .args(["build", "--release", "--quiet", "--package=cluster-lab", "--package=instructions"])
            .status()
            .expect("cargo starts");
        assert!(status.success(), "the release build failed");
        let metadata = Command::new(env!("CARGO"))
            .current_dir(workspace())
            .args(["metadata", "--no-deps", "--format-version=1"])
            .output()
            .expect("cargo starts");
        let metadata: Value = serde_json::from_slice(&metadata.stdout).expect("cargo prints JSON");
        PathBuf::from(metadata["target_directory"].as_str().expect("cargo names its target folder")).join("release")
    });
    folder.join(name)
}

/// The `cluster-lab` command.
pub fn cluster_lab() -> Command {
    Command::new(program("cluster-lab"))
}

/// Standard output as text.
pub fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs `command` to its end.
///
/// # Panics
/// If it fails; with everything that it printed.
pub fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        text(&output),
        String::from_utf8_lossy(&output.stderr)
    );
    text(&output)
}

/// The process that `value` names.
///
/// # Panics
/// If it names none.
pub fn pid_of(value: &Value) -> Pid {
    let pid = value["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    pid.unwrap_or_else(|| panic!("no pid in {value}"))
}

/// Runs `command`: it fails with `code`, and says why in one sentence that contains `reason`.
///
/// # Panics
/// If it does not.
#[track_caller]
pub fn refused(command: &mut Command, code: i32, reason: &str) -> Output {
    let output = command.output().expect("it starts");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{command:?}: {error}{}", text(&output));
    assert!(error.contains(reason), "{command:?} says {error:?}, not {reason:?}");
    assert!(!error.contains("panicked"), "{error}");
    output
}

/// Waits until `holds` does; the bound only ends a test that would never end.
///
/// # Panics
/// If it does not hold within 20 seconds.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(20), "not within 20 s: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A running lab with a name of its own, taken down at the end of the test however it ends.
#[derive(Debug)]
pub struct Lab {
    name: String,
}

impl Lab {
    /// Brings up `profile` (a name, or a file below `tests/profiles`), and waits until every DVIPA
    /// has its owner and all its targets.
    pub fn up(profile: &str) -> Lab {
        Lab::up_with(profile, &[])
    }

    /// As [`up`](Lab::up), with more options for `cluster-lab up`.
    pub fn up_with(profile: &str, options: &[&str]) -> Lab {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Lab::begin(format!("test-{}-{number}", std::process::id()), profile, options)
    }

    /// As [`up`](Lab::up), with a name that is seen in pictures.
    ///
    /// # Panics
    /// If there is such a lab already: it is somebody's, and this one would be taken for it.
    pub fn named(name: &str, profile: &str) -> Lab {
        let there = cluster_lab().args(["status", "--name", name]).output().expect("cluster-lab starts");
        assert!(!there.status.success(), "a lab called '{name}' is running: 'cluster-lab down --name {name}' first");
        Lab::begin(name.to_owned(), profile, &[])
    }

    fn begin(name: String, profile: &str, options: &[&str]) -> Lab {
        let lab = Lab { name };
        let file = workspace().join("tests/profiles").join(profile);
        let profile = if file.exists() { file.into_os_string() } else { profile.into() };
        succeed(lab.command("up").arg("--detach").args(options).arg(profile));
        lab
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `cluster-lab SUBCOMMAND --name …`.
    pub fn command(&self, subcommand: &str) -> Command {
        let mut command = cluster_lab();
        command.arg(subcommand).args(["--name", &self.name]);
        command
    }

    /// A program on the client side of the lab's network.
    pub fn exec(&self, program: &str) -> Command {
        let mut command = self.command("exec");
        command.arg("--").arg(program);
        command
    }

    /// A client left running, with pipes to and from it.
    pub fn spawn(&self, program: &str, arguments: &[&str]) -> Running {
        let child = self
            .exec(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the client starts");
        Running(Some(child))
    }

    /// `curl -sS` with `arguments`; its output.
    pub fn curl(&self, arguments: &[&str]) -> String {
        succeed(self.exec("curl").args(["-sS", "--max-time", "60"]).args(arguments))
    }

    /// `cluster-lab status --json`.
    pub fn status(&self) -> Value {
        serde_json::from_str(&succeed(self.command("status").arg("--json"))).expect("status prints JSON")
    }

    /// One image of the status.
    pub fn image(&self, name: &str) -> Value {
        find(&self.status()["images"], name)
    }

    /// One DVIPA of the status.
    pub fn dvipa(&self, name: &str) -> Value {
        find(&self.status()["dvipas"], name)
    }

    /// A netstat report as JSON.
    pub fn netstat(&self, image: &str, report: &str) -> Value {
        let output = succeed(self.command("netstat").args([image, report, "--json"]));
        serde_json::from_str(&output).expect("netstat prints JSON")
    }

    /// Kills an image, with the signal KILL.
    pub fn kill(&self, image: &str) {
        succeed(self.command("kill").arg(image));
    }

    /// Starts an image again.
    pub fn start(&self, image: &str) {
        succeed(self.command("start").arg(image));
    }

    /// Waits until `dvipa` is owned by `image`.
    pub fn wait_for_owner(&self, dvipa: &str, image: &str) {
        eventually(&format!("{image} owns {dvipa}"), || self.dvipa(dvipa)["owner"] == image);
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.command("log").output().map(|output| text(&output)).unwrap_or_default();
            eprintln!("event log of the lab:\n{log}");
        }
        let down = self.command("down").output();
        if !std::thread::panicking() {
            let down = down.expect("cluster-lab starts");
            assert!(down.status.success(), "down: {}", String::from_utf8_lossy(&down.stderr));
        }
    }
}

/// A number of a report.
///
/// # Panics
/// If it is something else.
pub fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn find(list: &Value, name: &str) -> Value {
    let found = list.as_array().and_then(|list| list.iter().find(|entry| entry["name"] == name));
    found.unwrap_or_else(|| panic!("no {name} in {list}")).clone()
}

/// A client that runs; ended by its id when the test is done with it.
#[derive(Debug)]
pub struct Running(Option<Child>);

impl Running {
    /// The process.
    ///
    /// # Panics
    /// Never: it is taken out only by [`finish`](Running::finish).
    pub fn child(&mut self) -> &mut Child {
        self.0.as_mut().expect("taken out only at the end")
    }

    /// Waits for its end; what it printed.
    ///
    /// # Panics
    /// If it failed.
    pub fn finish(mut self) -> String {
        let output = self.0.take().expect("not finished yet").wait_with_output().expect("the client can be waited for");
        assert!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
        text(&output)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            // It may have ended by itself.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// An ncat session with an echo server.
#[derive(Debug)]
pub struct Session {
    client: Running,
    lines: BufReader<ChildStdout>,
}

impl Session {
    /// Connects to port 7 of `address`.
    ///
    /// # Panics
    /// If ncat cannot be started.
    pub fn open(lab: &Lab, address: &str) -> Session {
        let mut client = lab.spawn("ncat", &[address, "7"]);
        let lines = BufReader::new(client.child().stdout.take().expect("piped"));
        Session { client, lines }
    }

    /// Sends a line; whether it came back.
    ///
    /// # Panics
    /// Never: the client has a pipe.
    pub fn echoes(&mut self, line: &str) -> bool {
        let input = self.client.child().stdin.as_mut().expect("piped");
        let mut answer = String::new();
        writeln!(input, "{line}").is_ok() && self.lines.read_line(&mut answer).is_ok() && answer.trim_end() == line
    }
}

/// SHA-256 of the first `count` bytes that `GET /bytes/N` sends.
pub fn pattern_digest(count: usize) -> String {
    use sha2::Digest;
    let pattern: Vec<u8> = (0..=250).collect();
    let mut digest = sha2::Sha256::new();
    let mut left = count;
    while left > 0 {
        let part = left.min(pattern.len());
        digest.update(&pattern[..part]);
        left -= part;
    }
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
