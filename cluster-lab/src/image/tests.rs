//! Images on links in memory: sockets, applications and the cluster, without the host's network.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use vipa::{Contact, Define, Definitions, Distribute, Method, Moveable, Options, PortRange, Ports, Targets};

use super::Host;
use super::node::{NetworkLink, Node, Plan, Story};
use super::socket::{TcpListener, TcpStream};
use super::weigh::Weigher;
use super::xcf::Exchange;
use crate::apps;
use crate::control::{Cut, Start};
use crate::device::Memory;
use crate::key::ClusterKey;
use crate::profile;
use crate::watch::Kind;
use crate::web::Token;
use crate::workload;

const DVIPA: [u8; 4] = [203, 0, 113, 1];

fn image(number: u8, exchange: &Exchange, peers: &[u8], link: Option<Memory>, definitions: Definitions) -> Node {
    let xcf = |number: u8| IpAddr::from([192, 0, 2, number]);
    let vipa = vipa::Config {
        peers: peers.iter().map(|peer| xcf(*peer)).collect(),
        linked: link.is_some(),
        definitions,
        ..vipa::Config::new(format!("MVS{number}"), xcf(number), 1)
    };
    let link = link.map(|device| NetworkLink {
        address: IpAddr::from([198, 51, 100, number]),
        device: Box::new(device),
        announcer: None,
    });
    let plan =
        Plan { name: format!("MVS{number}"), xcf: xcf(number), link, mtu: 1500, settings: Default::default(), vipa };
    let (stories, _) = mpsc::unbounded_channel();
    Node::start(plan, Box::new(exchange.attach(xcf(number))), u64::from(number), stories).unwrap()
}

/// A host of all images of a profile, without devices.
fn host(profile: &str) -> (Host, mpsc::UnboundedReceiver<(String, Story)>) {
    let cluster = profile::read("test.ron", profile, Path::new(".")).unwrap();
    let start = Start {
        lab: "test".into(),
        cluster,
        endpoints: HashMap::new(),
        devices: HashMap::new(),
        in_process: true,
        key: ClusterKey::of([7; ClusterKey::LEN]),
        supervisor: PathBuf::new(),
        token: Token::random(),
    };
    let (stories, told) = mpsc::unbounded_channel();
    (Host { start, exchange: Exchange::default(), running: HashMap::new(), stories }, told)
}

/// An application that may not have its port is missed in the log, by name; its image and all others run.
#[tokio::test]
async fn an_image_starts_without_an_application_that_does_not() {
    let (mut host, mut told) = host(
        r#"(
            name: "test",
            network: (subnet: "198.51.100.0/24", client: "198.51.100.1"),
            images: [(
                name: "MVS1", xcf: "192.0.2.1",
                tcpip: "PORT 80 TCP OTHER",
                apps: [
                    (name: "WEB", kind: http, bind: "any", port: 80),
                    (name: "ECHO", kind: echo, bind: "any", port: 7),
                ],
            )],
        )"#,
    );
    host.start_image("MVS1", 1, Cut::default(), Vec::new()).unwrap();
    let running: Vec<_> = host.running["MVS1"].apps.list().into_iter().map(|app| (app.name, app.running)).collect();
    assert_eq!(running, [("WEB".to_owned(), false), ("ECHO".to_owned(), true)]);
    let failed = loop {
        match told.recv().await.unwrap() {
            (image, Story::Told { told, .. }) if told.kind == Kind::AppFailed => break (image, told.text),
            _ => {}
        }
    };
    assert_eq!(failed.0, "MVS1");
    assert!(failed.1.starts_with("application WEB is not started: "), "{}", failed.1);
}

/// F9.200: in one process, an image that ends is missed at once, in a life that JOINGROUP began as well.
#[tokio::test]
async fn an_image_of_this_process_is_missed_at_once() {
    let (mut host, _told) = host(
        r#"(
            name: "test",
            network: (subnet: "198.51.100.0/24", client: "198.51.100.1"),
            images: [(name: "MVS1", xcf: "192.0.2.1"), (name: "MVS2", xcf: "192.0.2.2")],
        )"#,
    );
    for image in ["MVS1", "MVS2"] {
        host.start_image(image, 1, Cut::default(), Vec::new()).unwrap();
    }
    let contact = |host: &Host| host.running["MVS2"].node.shared().lock().vipa.peers()[0].contact;
    let becomes = async |host: &Host, wanted: Contact| {
        while contact(host) != wanted {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    };
    becomes(&host, Contact::Up).await;
    host.running["MVS1"].node.vary(|vipa, now| vipa.leave_group(now));
    becomes(&host, Contact::None).await;
    host.running["MVS1"].node.vary(|vipa, now| vipa.join_group(now, 0));
    becomes(&host, Contact::Up).await;
    host.end("MVS1");
    assert_eq!(contact(&host), Contact::None);
}

/// F7.142-150, R16: a client on one end of a link reaches an application on a stack that has no
/// link of its own, through the routing stack; its answers leave through that stack too.
async fn a_target_without_a_link_serves(max_super: u16) {
    let (near, far) = Memory::pair(max_super);
    let exchange = Exchange::default();
    let definitions = Definitions {
        defines: vec![Define { address: DVIPA.into(), prefix: 24, moveable: Moveable::Immediate }],
        backups: Vec::new(),
        ranges: Vec::new(),
        distributes: vec![Distribute {
            address: DVIPA.into(),
            method: Method::RoundRobin,
            ports: Ports::List(vec![PortRange { first: 7, last: 7 }]),
            targets: Targets::All,
            options: Options::default(),
        }],
    };
    // The client is an image that knows no cluster.
    let client = image(9, &Exchange::default(), &[], Some(near), Definitions::default());
    let router = image(1, &exchange, &[2], Some(far), definitions);
    let target = image(2, &exchange, &[1], None, Definitions::default());
    let listener = TcpListener::bind(target.shared(), SocketAddr::from((DVIPA, 7)), Default::default()).unwrap();
    let server = tokio::spawn(apps::echo(listener));
    while router.shared().lock().vipa.dpt().is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }

    let stream = TcpStream::connect(client.shared(), None, SocketAddr::from((DVIPA, 7))).await.unwrap();
    assert_eq!(stream.peer_addr().unwrap(), SocketAddr::from((DVIPA, 7)));
    let (mut reader, mut writer) = tokio::io::split(stream);
    let sent: Vec<u8> = (0..1_000_000u32).map(|index| (index % 251) as u8).collect();
    let expected = sent.clone();
    let writing = tokio::spawn(async move {
        writer.write_all(&sent).await.unwrap();
        // Half-close: the other direction goes on.
        writer.shutdown().await.unwrap();
    });
    let mut received = Vec::new();
    reader.read_to_end(&mut received).await.unwrap();
    writing.await.unwrap();
    assert!(received == expected, "{} bytes came back", received.len());
    server.abort();
    let refused = TcpStream::connect(client.shared(), None, SocketAddr::from((DVIPA, 8))).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn with_super_segments() {
    a_target_without_a_link_serves(60_000).await;
}

#[tokio::test]
async fn without_super_segments() {
    a_target_without_a_link_serves(0).await;
}

/// SEF: what waits to be accepted takes up the backlog; once it is accepted, the server is as good as new.
#[tokio::test]
async fn a_server_that_does_not_accept_is_not_efficient() {
    let (near, far) = Memory::pair(0);
    let client = image(9, &Exchange::default(), &[], Some(near), Definitions::default());
    let server = image(1, &Exchange::default(), &[], Some(far), Definitions::default());
    let at = SocketAddr::from(([198, 51, 100, 1], 7));
    let options = stack::tcp::ListenOptions { backlog: 4, ..Default::default() };
    let mut listener = TcpListener::bind(server.shared(), at, options).unwrap();
    let interval = std::time::Duration::from_millis(1);
    let _weigher = Weigher::start(server.shared().clone(), workload::Plan::none.manager("MVS1"), interval);
    let becomes = async |sef: u8| {
        while server.shared().lock().vipa.server_efficiency(Some(at.ip()), at.port()) != sef {
            tokio::time::sleep(interval).await;
        }
    };
    becomes(100).await;
    let mut streams = Vec::new();
    for sef in [75, 50, 25] {
        streams.push(TcpStream::connect(client.shared(), None, at).await.unwrap());
        becomes(sef).await;
    }
    for sef in [50, 75, 100] {
        streams.push(listener.accept().await.unwrap().0);
        becomes(sef).await;
    }
}
