//! Real servers behind a DVIPA, through `relay`.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tests::{Lab, succeed};

/// A server on the host's side, ended by its id; its folder goes with it.
struct Server {
    child: Child,
    folder: PathBuf,
}

impl Server {
    fn start(name: &str, command: impl FnOnce(&Path) -> Command) -> Server {
        let folder = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder for the server");
        let child = command(&folder).stdin(Stdio::null()).spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        Server { child, folder }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // TERM lets nginx end its worker too.
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        drop(self.child.wait());
        drop(fs::remove_dir_all(&self.folder));
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

fn wait_for(port: u16) {
    tests::eventually("the server listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
}

/// A two-image cluster whose images relay port 80 of the DVIPA to `target`.
fn relay_profile(folder: &Path, target: &str) -> PathBuf {
    let pair = fs::read_to_string(tests::workspace().join("tests/profiles/relay.ron")).expect("the profile");
    let file = folder.join("relay.ron");
    fs::write(&file, pair.replace("@TARGET@", target)).expect("the profile can be written");
    file
}

/// ssh to a real sshd, through a DVIPA: the session outlives the router.
#[test]
fn ssh_works_and_outlives_the_router() {
    let port = free_port();
    let keygen = |file: &Path| {
        succeed(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(file));
    };
    let server = Server::start("relay-sshd", |folder| {
        let (host, user) = (folder.join("host"), folder.join("user"));
        keygen(&host);
        keygen(&user);
        fs::create_dir_all("/run/sshd").expect("sshd's empty folder");
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\nPidFile none\n",
            host.display(),
            user.with_extension("pub").display(),
        );
        fs::write(folder.join("config"), config).expect("sshd's configuration");
        let mut command = Command::new("/usr/sbin/sshd");
        command.arg("-D").arg("-e").arg("-f").arg(folder.join("config")).stderr(Stdio::null());
        command
    });
    wait_for(port);
    let profile = relay_profile(&server.folder, &format!("127.0.0.1:{port}"));
    let lab = Lab::up(profile.to_str().expect("UTF-8"));
    let user = server.folder.join("user");
    let options = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"];
    let ssh = |script: &str| {
        let mut command = lab.exec("ssh");
        command.args(options).arg("-i").arg(&user).args(["-p", "80", "root@203.0.113.10", script]);
        command
    };
    assert_eq!(succeed(&mut ssh("echo through the DVIPA")).trim(), "through the DVIPA");

    // The targets are MVS2 and MVS3; MVS1 only routes.
    let mut session = ssh("echo up; read line; echo \"$line\"");
    let mut session = session.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("ssh starts");
    let mut output = std::io::BufReader::new(session.stdout.take().expect("piped"));
    let mut line = String::new();
    std::io::BufRead::read_line(&mut output, &mut line).expect("ssh prints");
    assert_eq!(line.trim(), "up");
    lab.kill("MVS1");
    std::io::Write::write_all(&mut session.stdin.take().expect("piped"), b"still here\n").expect("ssh reads");
    line.clear();
    std::io::BufRead::read_line(&mut output, &mut line).expect("ssh prints");
    assert_eq!(line.trim(), "still here");
    assert!(session.wait().expect("ssh ends").success());
}

/// wrk against nginx behind `relay`: requests succeed, none fails.
#[test]
fn nginx_serves_wrk_from_a_dvipa() {
    let port = free_port();
    let server = Server::start("relay-nginx", |folder| {
        let root = folder.display();
        let config = format!(
            "daemon off; worker_processes 1; pid {root}/pid; error_log {root}/error.log;\n\
             events {{ worker_connections 1024; }}\n\
             http {{ access_log off; client_body_temp_path {root}/b; proxy_temp_path {root}/p;\n\
             fastcgi_temp_path {root}/f; uwsgi_temp_path {root}/u; scgi_temp_path {root}/s;\n\
             server {{ listen 127.0.0.1:{port}; location / {{ return 200 'nginx\\n'; }} }} }}\n"
        );
        fs::write(folder.join("nginx.conf"), config).expect("nginx's configuration");
        let mut command = Command::new("/usr/sbin/nginx");
        command.arg("-c").arg(folder.join("nginx.conf")).arg("-e").arg(folder.join("start.log"));
        command
    });
    wait_for(port);
    let profile = relay_profile(&server.folder, &format!("127.0.0.1:{port}"));
    let lab = Lab::up(profile.to_str().expect("UTF-8"));
    assert_eq!(lab.curl(&["http://203.0.113.10/"]).trim(), "nginx");
    let report = succeed(lab.exec("wrk").args(["-t1", "-c50", "-d3s", "http://203.0.113.10/"]));
    println!("{report}");
    assert!(report.contains("requests in"), "{report}");
    assert!(!report.contains("Socket errors") && !report.contains("Non-2xx"), "{report}");
}
