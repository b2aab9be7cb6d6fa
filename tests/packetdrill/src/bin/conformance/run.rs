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
/// for the scripts' own commands on it and on the route through it; packetdrill makes both itself when it
/// tests the kernel.
const PREPARE: &str = r#"
device=$1; shift
ip link set lo up
if [ "$device" = yes ]; then
    ip tuntap add tun0 mode tun
    ip address add 192.168.0.1/16 dev tun0
    ip link set tun0 up
    ip route add 192.0.2.1 via 192.168.0.2 dev tun0
fi
while [ "$1" != -- ]; do sysctl -q "net.ipv4.$1" || exit 99; shift; done
shift
exec "$@"
"#;
/// The addresses of the kernel's own runner, and what the adapter has to know of them.
const IPV4: [&str; 5] = [
    "--ip_version=ipv4",
    "--local_ip=192.168.0.1",
    "--gateway_ip=192.168.0.1",
    "--netmask_ip=255.255.0.0",
    "--remote_ip=192.0.2.1",
];
const IPV4_FLAGS: &str = "local=192.168.0.1/16;mtu=1500";
/// The same for IPv6, with room for the larger header so that an MSS is what it is with IPv4.
const IPV6: [&str; 5] = [
    "--ip_version=ipv6",
    "--mtu=1520",
    "--local_ip=fd3d:0a0b:17d6::1",
    "--gateway_ip=fd3d:0a0b:17d6:8888::1",
    "--remote_ip=fd3d:fa7b:d17d::1",
];
const IPV6_FLAGS: &str = "local=fd3d:0a0b:17d6::1/64;mtu=1520";

/// The scale that scripts with a receive buffer of their own expect.
const SCALE: u32 = 6;

/// A file that is there while a script runs.
struct Temporary(PathBuf);

impl Temporary {
    /// One for this script that nobody else has.
    fn new(script: &Script, suffix: &str) -> Temporary {
        let name = format!("conformance-{}-{}.{suffix}", std::process::id(), script.name);
        Temporary(std::env::temp_dir().join(name))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Nothing can be done about a file that stays.
        let _ = std::fs::remove_file(&self.0);
    }
}

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
    pub ipv6: bool,
}

impl Runner {
    /// Runs one.
    pub fn run(&self, script: &Script) -> Result<Outcome> {
        let Some(file) = script.files.iter().map(|file| self.folder.join(file)).find(|file| file.is_file()) else {
            return Ok(Outcome::Missing);
        };
        let rescaled = self.rescaled(script, &file)?;
        let counters = Temporary::new(script, "netstat");
        let mut command = self.command(script, rescaled.as_ref().map_or(&file, |copy| &copy.0), &counters.0)?;
        let mut child = command.spawn().context("unshare")?;
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

    /// What the kernel is asked instead, if the script takes a small receive buffer for granted and this
    /// host's `net.core.rmem_max`, which no namespace can change, makes the kernel's scale a larger one.
    fn rescaled(&self, script: &Script, file: &Path) -> Result<Option<Temporary>> {
        if matches!(self.target, Target::Stack(_)) || script.sysctl.iter().all(|(name, _)| name != "tcp_rmem") {
            return Ok(None);
        }
        let most: u32 = std::fs::read_to_string("/proc/sys/net/core/rmem_max")?.trim().parse()?;
        let scale = most.max(1).ilog2().saturating_sub(15);
        if scale <= SCALE {
            return Ok(None);
        }
        let text = std::fs::read_to_string(file)?.replace(&format!("wscale {SCALE}>"), &format!("wscale {scale}>"));
        let copy = Temporary::new(script, "pkt");
        std::fs::write(&copy.0, text)?;
        Ok(Some(copy))
    }

    fn command(&self, script: &Script, file: &Path, counters: &Path) -> Result<Command> {
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
            // `nstat` is to read the stack's counters, not the kernel's.
            command.arg(format!("PROC_NET_NETSTAT={}", counters.display()));
        }
        command.arg(&self.program).args(if self.ipv6 { IPV6 } else { IPV4 });
        if let Target::Stack(library) = &self.target {
            command.arg(format!("--so_filename={}", library.display()));
            let flags = if self.ipv6 { IPV6_FLAGS } else { IPV4_FLAGS };
            command.arg(format!("--so_flags={flags}{}", piece(file)?));
        }
        command.args(&script.arguments);
        command.arg(name).current_dir(folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        Ok(command)
    }
}

/// The flag for a script that lets the device put packets together (`--mss`): packetdrill itself tells
/// nobody but the kernel.
fn piece(file: &Path) -> Result<String> {
    let text = std::fs::read_to_string(file)?;
    let size = text.lines().find_map(|line| line.strip_prefix("--mss="));
    Ok(size.map_or(String::new(), |size| format!(";mss={}", size.trim())))
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
