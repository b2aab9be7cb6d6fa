//! The rivals: nginx and a sink on the kernel's TCP, reached over veth pairs, directly and through
//! a balancer in a namespace between.
//!
//! ```text
//!   client ── veth ────────────────────────── veth ── server: nginx, sink
//!   client ── veth ── balancer: nft DNAT ──── veth ── server
//!   client ── veth ── balancer: HAProxy ───── veth ── server
//! ```

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::installed::{Missing, find};
use super::shape::Shape;
use super::stage::refused;
use super::{DOWNLOAD, SINK, WEB, set_congestion};
use crate::network::{Holder, Plan};

/// The client's and the server's end of the pair between them.
const DIRECT: [&str; 2] = ["198.51.100.1", "198.51.100.2"];
/// Before and behind each balancer: near the client, its own two, near the server.
const NFT: [&str; 4] = ["198.51.100.17", "198.51.100.18", "198.51.100.33", "198.51.100.34"];
const HAPROXY: [&str; 4] = ["198.51.100.49", "198.51.100.50", "198.51.100.65", "198.51.100.66"];

/// All that runs for them. Programs end before their networks do, and the folder goes last.
#[derive(Debug)]
pub(super) struct Rivals {
    programs: Vec<Program>,
    /// A shape, and the address by which the client reaches it.
    pub servers: Vec<(Shape, IpAddr)>,
    pub client: Holder,
    server: Holder,
    balancers: Vec<Holder>,
    folder: Folder,
    congestion: Option<String>,
}

impl Rivals {
    /// Brings up each that is installed; of the others, `missing` learns what to install.
    pub fn up(congestion: Option<&str>, missing: &mut Vec<Missing>) -> Result<Option<Rivals>> {
        let (ip, nginx) = (find("ip"), find("nginx"));
        for (program, found) in [("ip", &ip), ("nginx", &nginx)] {
            if found.is_none() {
                missing.push(Missing::new(program, "every rival, and with it every ratio, is left out"));
            }
        }
        let (Some(ip), Some(nginx)) = (ip, nginx) else { return Ok(None) };
        let client = Holder::start(&plan(DIRECT[0])?)?;
        let server = client.start_beside(&plan(DIRECT[1])?)?;
        let folder = Folder::make()?;
        let congestion = congestion.map(str::to_owned);
        let mut rivals = Rivals {
            programs: Vec::new(),
            servers: Vec::new(),
            client,
            server,
            balancers: Vec::new(),
            folder,
            congestion,
        };
        // A socket takes it over from the one that listens: before anybody does.
        rivals.control_congestion(&rivals.client)?;
        rivals.control_congestion(&rivals.server)?;
        rivals.serve(&ip, &nginx)?;
        for (program, balancer) in [("nft", Shape::Nft), ("haproxy", Shape::Haproxy)] {
            match find(program) {
                Some(found) => rivals.balance(&ip, balancer, &found)?,
                None => missing.push(Missing::new(program, "this rival is left out")),
            }
        }
        Ok(Some(rivals))
    }

    fn control_congestion(&self, holder: &Holder) -> Result<()> {
        let Some(congestion) = &self.congestion else { return Ok(()) };
        let [shell, arguments @ ..] = set_congestion(congestion);
        let set = holder.inside(shell)?.args(arguments).stdin(Stdio::null()).output()?;
        ensure!(set.status.success(), "{}", refused(congestion, &set.stderr));
        Ok(())
    }

    /// nginx and the sink.
    fn serve(&mut self, ip: &Path, nginx: &Path) -> Result<()> {
        join(ip, (&self.client, DIRECT[0]), (&self.server, DIRECT[1]), "direct")?;
        // No pages of zeros take room on the disk.
        let file = fs::File::create(self.folder.0.join("bytes").join(DOWNLOAD.to_string()))?;
        file.set_len(DOWNLOAD)?;
        let config = self.folder.0.join("nginx.conf");
        fs::write(&config, nginx_config(&self.folder.0))?;
        let mut command = self.server.inside(nginx)?;
        command.arg("-e").arg(self.folder.0.join("nginx.log")).arg("-c").arg(config);
        self.programs.push(Program::start(command)?);
        let mut sink = self.server.inside(std::env::current_exe()?)?;
        sink.args(["load", "sink", &format!("0.0.0.0:{SINK}")]);
        self.programs.push(Program::start(sink)?);
        self.servers.push((Shape::Kernel, DIRECT[1].parse()?));
        Ok(())
    }

    /// A balancer between client and server.
    fn balance(&mut self, ip: &Path, shape: Shape, program: &Path) -> Result<()> {
        let ([client, front, back, server], device) = match shape {
            Shape::Nft => (NFT, "nft"),
            _ => (HAPROXY, "haproxy"),
        };
        let balancer = self.client.start_beside(&plan(front)?)?;
        self.control_congestion(&balancer)?;
        join(ip, (&self.client, client), (&balancer, front), device)?;
        join(ip, (&balancer, back), (&self.server, server), &format!("{device}-back"))?;
        if shape == Shape::Nft {
            // Answers go back the way that requests came, so that their source can be put right.
            run(self.server.inside(ip)?.args(["route", "add", &format!("{client}/32"), "via", back]))?;
            let rules = self.folder.0.join("nft.rules");
            fs::write(&rules, nft_rules(front, server))?;
            run(balancer.inside("sh")?.args(["-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]))?;
            run(balancer.inside(program)?.arg("-f").arg(rules))?;
        } else {
            let config = self.folder.0.join("haproxy.cfg");
            fs::write(&config, haproxy_config(front, server))?;
            let mut command = balancer.inside(program)?;
            command.args(["-db", "-q", "-f"]).arg(config);
            self.programs.push(Program::start(command)?);
        }
        self.balancers.push(balancer);
        self.servers.push((shape, front.parse()?));
        Ok(())
    }

    /// What nginx has complained of.
    pub fn complaints(&self) -> String {
        fs::read_to_string(self.folder.0.join("nginx.log")).unwrap_or_default().trim().replace('\n', "; ")
    }
}

/// One process, so that its end is the end of nginx; its folder holds all that it writes.
fn nginx_config(folder: &Path) -> String {
    let root = folder.display();
    format!(
        "daemon off; master_process off; pid {root}/nginx.pid; error_log {root}/nginx.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; sendfile on; tcp_nopush on; default_type text/plain;
  keepalive_requests 1000000000; keepalive_timeout 600s;
  client_body_temp_path {root}/body; proxy_temp_path {root}/proxy; fastcgi_temp_path {root}/fastcgi;
  uwsgi_temp_path {root}/uwsgi; scgi_temp_path {root}/scgi;
  server {{
    listen {WEB}; root {root};
    location = / {{ add_header X-Image MVS1; return 200 \"MVS1\\n\"; }}
  }}
}}
"
    )
}

fn nft_rules(front: &str, server: &str) -> String {
    format!(
        "table ip bench {{
  chain prerouting {{
    type nat hook prerouting priority dstnat;
    ip daddr {front} tcp dport {{ {WEB}, {SINK} }} dnat to {server}
  }}
}}
"
    )
}

fn haproxy_config(front: &str, server: &str) -> String {
    let listen = |name: &str, port| format!("listen {name}\n  bind {front}:{port}\n  server s {server}:{port}\n");
    format!(
        "global\n  nbthread 1\n  maxconn 4096\ndefaults\n  mode tcp\n  timeout connect 10s\n  timeout client 600s\n  timeout server 600s\n{}{}",
        listen("web", WEB),
        listen("sink", SINK)
    )
}

/// A namespace without devices.
fn plan(address: &str) -> Result<Plan> {
    Ok(Plan { client: address.parse::<Ipv4Addr>()?.into(), mtu: 1500, devices: Vec::new(), networks: Vec::new() })
}

/// A veth pair between two namespaces.
fn join(ip: &Path, one: (&Holder, &str), other: (&Holder, &str), device: &str) -> Result<()> {
    let peer = other.0.pid().to_string();
    run(one.0.inside(ip)?.args(["link", "add", device, "type", "veth", "peer", "name", device, "netns", &peer]))?;
    for (namespace, address) in [one, other] {
        run(namespace.inside(ip)?.args(["addr", "add", &format!("{address}/28"), "dev", device]))?;
        run(namespace.inside(ip)?.args(["link", "set", device, "up"]))?;
    }
    Ok(())
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output().context("a program for the rivals' network cannot be run")?;
    let arguments: Vec<_> = command.get_args().map(|argument| argument.to_string_lossy()).collect();
    let why = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {}", arguments.join(" "), why.trim());
    Ok(())
}

/// A server that runs until this is dropped.
#[derive(Debug)]
struct Program(Child);

impl Program {
    fn start(mut command: Command) -> Result<Program> {
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Ok(Program(command.spawn().context("a server of the rivals cannot be started")?))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A folder of this process alone.
#[derive(Debug)]
struct Folder(PathBuf);

impl Folder {
    fn make() -> Result<Folder> {
        let path = std::env::temp_dir().join(format!("cluster-lab-bench-{}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("{} cannot be made: is it there already?", path.display()))?;
        let folder = Folder(path);
        fs::create_dir(folder.0.join("bytes"))?;
        Ok(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("{} stays: {error}", self.0.display());
        }
    }
}
