//! Speed, always as a ratio to the kernel's own TCP in the same run, on the same machine.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tests::{Lab, succeed};

const BYTES: u64 = 1_500_000_000;
const ROUNDS: usize = 5;

/// Two namespaces of the test's own, joined by a veth pair, with nginx in one of them.
struct Kernel {
    server: String,
    client: String,
    nginx: std::process::Child,
    folder: std::path::PathBuf,
}

impl Kernel {
    fn up() -> Kernel {
        let id = std::process::id();
        let (server, client) = (format!("speed-s-{id}"), format!("speed-c-{id}"));
        let ip = |arguments: &str| succeed(Command::new("ip").args(arguments.split(' ')));
        ip(&format!("netns add {server}"));
        ip(&format!("netns add {client}"));
        ip(&format!("-n {client} link add v0 type veth peer name v1 netns {server}"));
        for (namespace, device, address) in [(&client, "v0", "198.51.100.1/24"), (&server, "v1", "198.51.100.2/24")] {
            ip(&format!("-n {namespace} addr add {address} dev {device}"));
            ip(&format!("-n {namespace} link set {device} up"));
        }
        let folder = std::env::temp_dir().join(format!("speed-{id}"));
        std::fs::create_dir_all(&folder).expect("a folder");
        let file = std::fs::File::create(folder.join("bytes")).expect("a file");
        file.set_len(BYTES).expect("room for a sparse file");
        let root = folder.display();
        let config = format!(
            "user root; daemon off; worker_processes 1; pid {root}/pid; error_log {root}/error.log;\n\
             events {{ worker_connections 1024; }}\n\
             http {{ access_log off; client_body_temp_path {root}/b; proxy_temp_path {root}/p;\n\
             fastcgi_temp_path {root}/f; uwsgi_temp_path {root}/u; scgi_temp_path {root}/s;\n\
             server {{ listen 198.51.100.2:80; root {root}; }} }}\n"
        );
        std::fs::write(folder.join("nginx.conf"), config).expect("nginx's configuration");
        let nginx = Command::new("ip")
            .args(["netns", "exec", &server, "/usr/sbin/nginx", "-e", "/dev/null", "-c"])
            .arg(folder.join("nginx.conf"))
            .stdin(Stdio::null())
            .spawn()
            .expect("nginx starts");
        let kernel = Kernel { server, client, nginx, folder };
        tests::eventually("nginx answers", || kernel.curl(&["-I"]).status().is_ok_and(|status| status.success()));
        kernel
    }

    fn curl(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.client, "curl", "-sS", "-o", "/dev/null"]);
        command.args(arguments).arg("http://198.51.100.2/bytes");
        command.stdout(Stdio::null());
        command
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.nginx);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        drop(self.nginx.wait());
        for namespace in [&self.server, &self.client] {
            drop(Command::new("ip").args(["netns", "del", namespace]).status());
        }
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

fn time(command: &mut Command) -> Duration {
    let start = Instant::now();
    succeed(command);
    start.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Kernel over veth and a target of `lab` in turn; how many times as fast the target is.
fn ratio(kernel: &Kernel, lab: &Lab, address: &str) -> f64 {
    let url = format!("http://{address}/bytes/{BYTES}");
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        theirs.push(time(&mut kernel.curl(&[])));
        ours.push(time(lab.exec("curl").args(["-sS", "-o", "/dev/null", &url])));
    }
    let gbits = |time: Duration| BYTES as f64 * 8e-9 / time.as_secs_f64();
    let (theirs, ours) = (median(theirs), median(ours));
    let ratio = theirs.as_secs_f64() / ours.as_secs_f64();
    println!(
        "{address}: kernel over veth {:.1} Gbit/s, ours {:.1} Gbit/s, ratio {ratio:.2}",
        gbits(theirs),
        gbits(ours)
    );
    ratio
}

/// One curl download at MTU 1500: faster than the kernel over veth from a target with a network
/// link, at least half as fast from one whose packets leave over XCF through another process.
#[test]
fn a_download_is_faster_than_the_kernels_own() {
    let kernel = Kernel::up();
    let lab = Lab::up("speed.ron");
    let linked = ratio(&kernel, &lab, "203.0.113.1");
    let over_xcf = ratio(&kernel, &lab, "203.0.113.2");
    assert!(linked > 1.0, "linked target: {linked:.2} of the kernel's rate");
    assert!(over_xcf >= 0.5, "over XCF: {over_xcf:.2} of the kernel's rate");
}
