//! One script, one namespace, one process.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::list::Script;

/// How long a script may take in real time.
const LIMIT: Duration = Duration::from_secs(60);
/// Prepares the namespace (`$1`: whether to make the device), then becomes packetdrill. The device is
/// for the scripts' own commands on it; packetdrill makes it itself when it tests the kernel.
const PREPARE: &str = r#"
device=$1; shift
ip link set lo up
[ "$device" = no ] || ip tuntap add tun0 mode tun
while [ "$1" != -- ]; do sysctl -q "net.ipv4.$1" || exit 99; shift; done
shift
exec "$@"
"#;
/// The addresses of the kernel's own runner.
const ADDRESSES: [&str; 5] = [
    "--ip_version=ipv4",
    "--local_ip=192.168.0.1",
    "--gateway_ip=192.168.0.1",
    "--netmask_ip=255.255.0.0",
    "--remote_ip=192.0.2.1",
];
const FLAGS: &str = "--so_flags=local=192.168.0.1/16;remote=192.0.2.0/24;mtu=1500";

/// Whose TCP is under test.
pub enum Target {
    /// This project's, behind this library.
    Stack(PathBuf),
    /// Linux's.
    Kernel,
}

/// How a script ended.
pub enum Outcome {
    Passed,
    /// With what packetdrill says of it.
    Failed(String),
    /// None of its files is there.
    Missing,
}

/// Runs scripts.
pub struct Runner {
    pub program: PathBuf,
    pub folder: PathBuf,
    pub target: Target,
}

impl Runner {
    /// Runs one.
    pub fn run(&self, script: &Script) -> Result<Outcome> {
        let Some(file) = script.files.iter().map(|file| self.folder.join(file)).find(|file| file.is_file()) else {
            return Ok(Outcome::Missing);
        };
        let mut child = self.command(script, &file)?.spawn().context("unshare")?;
        let started = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if started.elapsed() > LIMIT {
                child.kill()?;
                child.wait()?;
                return Ok(Outcome::Failed(format!("no end after {} s", LIMIT.as_secs())));
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        if status.success() {
            return Ok(Outcome::Passed);
        }
        Ok(Outcome::Failed(complaint(&mut child)?))
    }

    fn command(&self, script: &Script, file: &Path) -> Result<Command> {
        let folder = file.parent().context("no folder")?;
        let name = file.file_name().context("no name")?;
        let mut command = Command::new("unshare");
        command.args(["-n", "sh", "-c", PREPARE, "sh"]);
        command.arg(if matches!(self.target, Target::Stack(_)) { "yes" } else { "no" });
        if matches!(self.target, Target::Kernel) {
            // Scripts want CUBIC, which not every host allows in a namespace; Reno always is, and paces as
            // little.
            command.arg("tcp_congestion_control=reno");
        }
        command.args(script.sysctl.iter().map(|(name, value)| format!("{name}={value}")));
        command.arg("--");
        if let Target::Stack(library) = &self.target {
            // Assertions on TCP_INFO come by `getsockopt` of the C library.
            command.arg("env").arg(format!("LD_PRELOAD={}", library.display()));
        }
        command.arg(&self.program).args(ADDRESSES);
        if let Target::Stack(library) = &self.target {
            command.arg(format!("--so_filename={}", library.display())).arg(FLAGS);
        }
        command.args(&script.arguments);
        command.arg(name).current_dir(folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        Ok(command)
    }
}

/// What packetdrill says; `sysctl` that a namespace does not allow says nothing of TCP.
fn complaint(child: &mut Child) -> Result<String> {
    let mut text = Vec::new();
    if let Some(stderr) = &mut child.stderr {
        stderr.read_to_end(&mut text)?;
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    let lines = text.lines().filter(|line| !line.starts_with("sysctl:"));
    Ok(lines.take(3).collect::<Vec<_>>().join("\n"))
}
