//! Many short connections from few ports.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use tests::namespace::Namespace;
use tests::{Lab, succeed, workspace};

const CONNECTIONS: usize = 20_000;
/// Ports of the client where the server closes first: each is used twenty times, long before any
/// TIME_WAIT is over.
const FEW: &str = "40000 40999";
/// Where the client does, its own TIME_WAIT asks for a port for each.
const MANY: &str = "30000 59999";

/// One request; the side that closes first is the one that waits (TIME_WAIT).
fn request(server: SocketAddr, server_closes: bool) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(server)?;
    let connection = if server_closes { "close" } else { "keep-alive" };
    stream.write_all(format!("GET /bytes/100 HTTP/1.1\r\nHost: x\r\nConnection: {connection}\r\n\r\n").as_bytes())?;
    if !server_closes {
        stream.shutdown(Shutdown::Write)?;
    }
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    if answer.starts_with(b"HTTP/1.1 200") { Ok(()) } else { Err(std::io::Error::other("no answer")) }
}

/// R4, RFC 6191, RFC 9293, 3.10.7.4: connections of one client address in a row, each from a port
/// whose former connection is still in TIME_WAIT at its target, or was. None fails, wherever the
/// distributor sends it.
#[test]
fn twenty_thousand_connections_reuse_ports() {
    let lab = Lab::up(workspace().join("profiles/figure4.ron").to_str().expect("UTF-8"));
    let network = Namespace::of(&lab);
    let server = SocketAddr::from(([203, 0, 113, 1], 60));
    for (server_closes, ports) in [(true, FEW), (false, MANY)] {
        succeed(network.run("sysctl -qw").arg(format!("net.ipv4.ip_local_port_range={ports}")));
        let failures = network.inside(|| {
            let one = |number| request(server, server_closes).map_err(|error| format!("{number}: {error}")).err();
            (0..CONNECTIONS).filter_map(one).collect::<Vec<_>>()
        });
        println!("server closes first: {server_closes}; {} of {CONNECTIONS} failed", failures.len());
        assert!(failures.is_empty(), "{} failed, the first: {}", failures.len(), failures[0]);
    }
}
