//! Connections that are established, have moved data, and are idle now.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use allocation_counter::measure;
use stack::home::Kind;
use stack::route::{Link, Route};
use stack::tcp::{ConnId, FlowEvent, ListenOptions, ListenerId, SocketError};
use stack::{Config, Egress, LinkId, Packet, Stack, Transmit};
use vipa::{Method, Vipa};

use crate::fixture::{Cluster, DVIPA, PORT, client};

const LINK: LinkId = LinkId(0);
/// Clients that one address has, less than there are ports.
const EACH: u32 = 1000;

/// Takes packets off a stack.
#[derive(Default)]
struct Wire(Vec<Packet>);

impl Egress for Wire {
    fn transmit(&mut self, packet: Transmit<'_>) {
        let mut copy = Packet::copy_of(&[packet.header, &packet.payload.concat()].concat());
        copy.offload = packet.offload;
        self.0.push(copy);
    }
}

fn host(addresses: impl Iterator<Item = IpAddr>, seed: u64) -> Stack {
    // Free buffers, of which a stack keeps some, are not any connection's.
    let mut stack = Stack::new(Config { pool: 0, ..Config::default() }, seed);
    stack.routes_mut().add_link(Link { id: LINK, name: "link".into(), mtu: 1500, max_super: 61_440 });
    stack.routes_mut().replace(Route::default_for(DVIPA, LINK, None));
    addresses.for_each(|address| stack.home_mut().add(address, 32, Kind::Link));
    stack
}

/// A target with its server, and all clients.
struct Pair {
    server: Stack,
    clients: Stack,
    cluster: Cluster,
    listener: ListenerId,
}

impl Pair {
    fn new(connections: u32) -> Self {
        let mut server = host([DVIPA].into_iter(), 1);
        let listener = server.tcp_mut().listen(None, PORT, ListenOptions::default()).expect("a listener");
        let addresses = (0..connections).step_by(EACH as usize).map(|number| client(number).ip());
        Pair { server, clients: host(addresses, 2), cluster: Cluster::new(1, Method::RoundRobin), listener }
    }

    /// Until nobody has anything more to say.
    fn settle(&mut self) {
        let now = self.cluster.now;
        loop {
            let (mut there, mut back) = (Wire::default(), Wire::default());
            while self.clients.poll_transmit(now, &mut there, 64) {}
            while self.server.poll_transmit(now, &mut back, 64) {}
            if there.0.is_empty() && back.0.is_empty() {
                break;
            }
            there.0.into_iter().for_each(|packet| self.server.receive(now, LINK, packet));
            back.0.into_iter().for_each(|packet| self.clients.receive(now, LINK, packet));
        }
        while self.server.tcp_mut().poll_event().is_some() || self.clients.tcp_mut().poll_event().is_some() {}
        while self.clients.tcp_mut().poll_flow().is_some() {}
        let vipa = &mut self.cluster.targets[0];
        while let Some(event) = self.server.tcp_mut().poll_flow() {
            match event {
                FlowEvent::Opened { local, remote, instance, passive } => {
                    vipa.opened(now, local, remote, instance, passive);
                }
                FlowEvent::Established { local, remote } => vipa.established(now, local, remote),
                FlowEvent::Listening { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn wait(&mut self, time: Duration) {
        self.cluster.now += time;
        self.clients.handle_timeout(self.cluster.now);
        self.server.handle_timeout(self.cluster.now);
        self.settle();
    }

    /// A connection that has carried `bytes` each way.
    fn connect(&mut self, local: SocketAddr, bytes: usize) {
        let now = self.cluster.now;
        let remote = SocketAddr::new(DVIPA, PORT);
        let asks = self.clients.tcp_connect(now, Some(local), remote).expect("it can be opened");
        self.settle();
        let serves = self.server.tcp_mut().accept(self.listener).expect("it was accepted");
        move_bytes(self, bytes, |pair| (&mut pair.clients, asks), |pair| (&mut pair.server, serves));
        move_bytes(self, bytes, |pair| (&mut pair.server, serves), |pair| (&mut pair.clients, asks));
    }
}

fn move_bytes(
    pair: &mut Pair,
    bytes: usize,
    from: impl Fn(&mut Pair) -> (&mut Stack, ConnId),
    to: impl Fn(&mut Pair) -> (&mut Stack, ConnId),
) {
    let now = pair.cluster.now;
    let (mut left, mut buffer) = (bytes, vec![7; bytes]);
    let (stack, id) = from(pair);
    assert_eq!(stack.tcp_mut().send(now, id, &buffer), Ok(bytes));
    while left > 0 {
        pair.settle();
        let (stack, id) = to(pair);
        left -= stack.tcp_recv(now, id, &mut buffer).expect("data has come");
    }
    pair.settle();
    let (stack, id) = to(pair);
    // As an application does before it waits.
    assert_eq!(stack.tcp_recv(now, id, &mut buffer), Err(SocketError::WouldBlock));
}

/// What is freed when a value goes.
fn held_by<T>(value: T) -> u64 {
    let freed = measure(|| drop(value)).bytes_current;
    freed.unsigned_abs()
}

/// An idle established connection takes 1 KiB or less on its target, all in: its record, the way to it,
/// its timer, and what the VIPA function knows of it. Tables double: twice, at sizes far from and close after
/// that.
#[test]
fn an_idle_connection_takes_a_kibibyte() {
    let empty = |pair: Pair| (held_by(pair.server), held_by::<Vec<Vipa>>(pair.cluster.targets));
    let (no_stack, no_vipa) = empty(Pair::new(0));
    for connections in [10_000, 16_500] {
        let mut pair = Pair::new(connections);
        (0..connections).for_each(|number| pair.connect(client(number), 20_000));
        for _ in 0..100 {
            pair.wait(Duration::from_millis(100));
        }
        pair.cluster.run(20);
        assert_eq!(pair.server.tcp().connections().count(), connections as usize);
        assert_eq!(pair.cluster.router.crt_len(), connections as usize);
        let (stack, vipa) = empty(pair);
        let each = |held: u64, none: u64| (held - none) / u64::from(connections);
        let (stack, vipa) = (each(stack, no_stack), each(vipa, no_vipa));
        // The sockets of `cluster-lab` keep two wakers, in a list that doubles.
        let wakers = 4 * size_of::<Option<std::task::Waker>>() as u64;
        println!("{connections} connections: stack {stack}, vipa {vipa}, wakers {wakers} bytes each");
        assert!(stack + vipa + wakers <= 1024, "{stack} + {vipa} + {wakers}");
    }
}
