//! A cluster in memory: real VIPA functions, a network that misbehaves as told, endpoints that do
//! no more than hold connections, and an observer of what must never happen.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use stack::wire::ip::{Header, emit, protocol};
use stack::{Instant, Packet};
use vipa::status::{CrtRow, DvipaStatus};
use vipa::wire::{DataHeader, Datagram, Direction, classify};
use vipa::{Action, Config, Definitions, Disposition, Epoch, Event, Origin, Vipa};

pub const SYN: u8 = 0x02;
pub const RST: u8 = 0x04;
pub const ACK: u8 = 0x10;

/// The ends of a connection: DVIPA and port, and the client's.
pub type Ends = (SocketAddr, SocketAddr);

/// What the image of one stack is, whether it runs or not.
pub struct Image {
    pub name: &'static str,
    pub xcf: IpAddr,
    pub linked: bool,
    pub definitions: Definitions,
    /// Applications that start with the image.
    pub listeners: Vec<(Option<IpAddr>, u16)>,
}

/// One life of an image.
pub struct Node {
    pub vipa: Vipa,
    pub incarnation: u64,
    pub paused: bool,
    /// While it is paused, the host says that it waits for a processor.
    pub starves: bool,
    /// What came in while it was paused.
    backlog: Vec<Input>,
    /// Home list: whether internal.
    pub home: BTreeMap<IpAddr, bool>,
    /// Connections that this stack holds, and their instances.
    pub held: BTreeMap<Ends, u32>,
    /// Those of them whose client has answered the SYN-ACK.
    established: BTreeSet<Ends>,
    pub listeners: BTreeSet<(Option<IpAddr>, u16)>,
    pub exit: Option<IpAddr>,
    pub left: bool,
    pub refused: Option<String>,
    /// Lives of peers that `PeerUp` told of.
    watched: BTreeSet<(IpAddr, u64)>,
}

#[derive(Clone)]
enum Input {
    Packet(Packet),
    Datagram {
        from: usize,
        bytes: Vec<u8>,
    },
    /// The host tells that a peer's life is over.
    Death {
        xcf: IpAddr,
        incarnation: u64,
    },
}

/// What the XCF network does.
#[derive(Clone, Copy, Default)]
pub struct Weather {
    /// Of a hundred datagrams, so many are lost.
    pub loss: u64,
    /// Of a hundred, so many arrive twice.
    pub doubled: u64,
    /// Longest delay, in milliseconds; different delays reorder.
    pub delay: u64,
}

/// What the client got to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Its segment reached the connection on this image.
    Served(usize),
    Reset,
    Silence,
}

pub struct Cluster {
    pub now: Instant,
    pub images: Vec<Image>,
    pub nodes: Vec<Option<Node>>,
    /// Where the network sends packets for a DVIPA.
    pub routes: BTreeMap<IpAddr, usize>,
    pub weather: Weather,
    /// Directions in which XCF carries nothing.
    pub cuts: BTreeSet<(usize, usize)>,
    /// Directions in which it carries control datagrams only.
    pub without_data: BTreeSet<(usize, usize)>,
    /// Whether the host tells the others when a process dies.
    pub watchful: bool,
    air: BTreeMap<(Instant, u64), (usize, Input)>,
    sent: u64,
    random: u64,
    lives: u64,
    /// Segments that reached a connection or opened one, and RSTs, since [`Cluster::answer`].
    seen: Vec<(Ends, Answer)>,
    pub events: Vec<(usize, Event)>,
    claims: BTreeMap<(IpAddr, Epoch), usize>,
}

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The client's end with this port.
pub fn client(port: u16) -> SocketAddr {
    SocketAddr::new(ip("198.51.100.1"), port)
}

/// A TCP segment from a client to a DVIPA.
pub fn segment(ends: Ends, sequence: u32, flags: u8) -> Vec<u8> {
    let (server, client) = ends;
    let mut tcp = vec![0; 20];
    tcp[..2].copy_from_slice(&client.port().to_be_bytes());
    tcp[2..4].copy_from_slice(&server.port().to_be_bytes());
    tcp[4..8].copy_from_slice(&sequence.to_be_bytes());
    tcp[12] = 0x50;
    tcp[13] = flags;
    packet(client.ip(), server.ip(), protocol::TCP, &tcp)
}

/// An IP packet.
pub fn packet(source: IpAddr, destination: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 40];
    let length = emit(
        &Header {
            source,
            destination,
            protocol,
            hop_limit: 64,
            traffic_class: 0,
            identification: 7,
            dont_fragment: false,
            payload_len: payload.len(),
        },
        &mut bytes,
    );
    bytes.truncate(length);
    bytes.extend(payload);
    bytes
}

impl Cluster {
    /// All images stopped.
    pub fn new(images: Vec<Image>, seed: u64) -> Self {
        Cluster {
            now: Instant::from_millis(1000),
            nodes: images.iter().map(|_| None).collect(),
            images,
            routes: BTreeMap::new(),
            weather: Weather { loss: 0, doubled: 0, delay: 1 },
            cuts: BTreeSet::new(),
            without_data: BTreeSet::new(),
            watchful: true,
            air: BTreeMap::new(),
            sent: 0,
            random: seed | 1,
            lives: 0,
            seen: Vec::new(),
            events: Vec::new(),
            claims: BTreeMap::new(),
        }
    }

    /// A number below `bound`.
    pub fn random(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 16) % bound
    }

    /// Starts a new life of an image, with its applications.
    pub fn start(&mut self, index: usize) {
        self.lives += 1;
        let incarnation = self.lives;
        let image = &self.images[index];
        let mut config = Config::new(image.name, image.xcf, incarnation);
        config.peers = self.images.iter().map(|other| other.xcf).filter(|xcf| *xcf != image.xcf).collect();
        config.linked = image.linked;
        config.process = u32::try_from(100 + incarnation).ok();
        config.definitions = image.definitions.clone();
        let listeners = image.listeners.clone();
        let vipa = Vipa::new(config, incarnation * 7919, self.now);
        self.nodes[index] = Some(Node {
            vipa,
            incarnation,
            paused: false,
            starves: false,
            backlog: Vec::new(),
            home: BTreeMap::new(),
            held: BTreeMap::new(),
            established: BTreeSet::new(),
            listeners: BTreeSet::new(),
            exit: None,
            left: false,
            refused: None,
            watched: BTreeSet::new(),
        });
        self.settle(index);
        listeners.into_iter().for_each(|(address, port)| self.listen(index, address, port));
    }

    /// Starts every image, and lets them find each other.
    pub fn start_all(&mut self) {
        (0..self.images.len()).for_each(|index| self.start(index));
        self.run(1000);
    }

    pub fn node(&self, index: usize) -> &Node {
        self.nodes[index].as_ref().unwrap()
    }

    fn node_mut(&mut self, index: usize) -> &mut Node {
        self.nodes[index].as_mut().unwrap()
    }

    /// kill -9.
    pub fn kill(&mut self, index: usize) {
        let incarnation = self.nodes[index].take().unwrap().incarnation;
        self.tell_death(index, incarnation);
    }

    fn tell_death(&mut self, index: usize, incarnation: u64) {
        let xcf = self.images[index].xcf;
        let watches =
            |node: &Option<Node>| node.as_ref().is_some_and(|node| node.watched.contains(&(xcf, incarnation)));
        for other in (0..self.nodes.len()).filter(|other| watches(&self.nodes[*other])).collect::<Vec<_>>() {
            if self.watchful {
                self.input(other, Input::Death { xcf, incarnation });
            }
        }
    }

    pub fn pause(&mut self, index: usize) {
        self.node_mut(index).paused = true;
    }

    /// The host does not let it run, and says so.
    pub fn starve(&mut self, index: usize) {
        let node = self.node_mut(index);
        (node.paused, node.starves) = (true, true);
    }

    /// It runs again. What it looks at first is open: the clock, or what has come in meanwhile.
    pub fn resume(&mut self, index: usize) {
        let clock_first = self.random(2) == 0;
        let node = self.node_mut(index);
        (node.paused, node.starves) = (false, false);
        let backlog = std::mem::take(&mut node.backlog);
        if clock_first {
            self.look_at_clock(index);
        }
        backlog.into_iter().for_each(|input| self.deliver(index, input));
        self.look_at_clock(index);
    }

    fn look_at_clock(&mut self, index: usize) {
        let now = self.now;
        self.node_mut(index).vipa.handle_timeout(now);
        self.settle(index);
    }

    /// An orderly stop: runs until the image has left, then ends it.
    pub fn stop(&mut self, index: usize) {
        let now = self.now;
        self.node_mut(index).vipa.leave(now);
        self.settle(index);
        for _ in 0..500 {
            if self.node(index).left {
                break;
            }
            self.run(10);
        }
        assert!(self.node(index).left, "an orderly stop is bounded");
        self.kill(index);
    }

    /// Cuts or heals XCF between two images, both ways.
    pub fn cut(&mut self, a: usize, b: usize, cut: bool) {
        for direction in [(a, b), (b, a)] {
            if cut {
                self.cuts.insert(direction);
            } else {
                self.cuts.remove(&direction);
            }
        }
    }

    pub fn listen(&mut self, index: usize, address: Option<IpAddr>, port: u16) {
        let now = self.now;
        let node = self.node_mut(index);
        if node.listeners.insert((address, port)) {
            node.vipa.listening(now, address, port);
            self.settle(index);
        }
    }

    pub fn unlisten(&mut self, index: usize, address: Option<IpAddr>, port: u16) {
        let now = self.now;
        let node = self.node_mut(index);
        if node.listeners.remove(&(address, port)) {
            node.vipa.not_listening(now, address, port);
            self.settle(index);
        }
    }

    /// An operator's or an application's call to one stack.
    pub fn order<R>(&mut self, index: usize, call: impl FnOnce(&mut Vipa, Instant) -> R) -> R {
        let now = self.now;
        let result = call(&mut self.node_mut(index).vipa, now);
        self.settle(index);
        result
    }

    /// The connection ends on its stack, TIME_WAIT included.
    pub fn close(&mut self, index: usize, ends: Ends) {
        let now = self.now;
        let node = self.node_mut(index);
        let instance = node.held.remove(&ends).unwrap();
        node.established.remove(&ends);
        node.vipa.ended(now, ends.0, ends.1, instance);
        self.settle(index);
    }

    /// An application of the stack opens a connection from the DVIPA.
    pub fn open_outbound(&mut self, index: usize, ends: Ends, instance: u32) {
        let now = self.now;
        let node = self.node_mut(index);
        node.held.insert(ends, instance);
        node.vipa.opened(now, ends.0, ends.1, instance, false);
        self.settle(index);
    }

    /// The handshake of a connection is complete on its stack.
    pub fn establish(&mut self, index: usize, ends: Ends) {
        self.order(index, |vipa, now| vipa.established(now, ends.0, ends.1));
    }

    /// A packet from the client network; lost if no live image is routed to.
    pub fn client_sends(&mut self, bytes: &[u8]) {
        let destination = match bytes[0] >> 4 {
            4 => IpAddr::from(<[u8; 4]>::try_from(&bytes[16..20]).unwrap()),
            _ => IpAddr::from(<[u8; 16]>::try_from(&bytes[24..40]).unwrap()),
        };
        if let Some(index) = self.routes.get(&destination).copied() {
            self.input(index, Input::Packet(Packet::copy_of(bytes)));
        }
    }

    /// As if the network still sent to this image.
    pub fn client_sends_to(&mut self, index: usize, bytes: &[u8]) {
        self.input(index, Input::Packet(Packet::copy_of(bytes)));
    }

    /// Sends a SYN and, where it was taken, the ACK; says which image serves.
    pub fn connect(&mut self, ends: Ends, sequence: u32) -> Option<usize> {
        self.client_sends(&segment(ends, sequence, SYN));
        self.run(20);
        let server = self.holder(ends);
        if server.is_some() {
            self.client_sends(&segment(ends, sequence + 1, ACK));
            self.run(20);
        }
        server
    }

    /// As [`connect`](Cluster::connect), for a client on this image.
    pub fn connect_on(&mut self, index: usize, ends: Ends, sequence: u32) -> Option<usize> {
        self.order(index, |vipa, now| vipa.opened(now, ends.1, ends.0, sequence, false));
        self.own_sends(index, &segment(ends, sequence, SYN));
        self.run(20);
        let server = self.holder(ends);
        if server.is_some() {
            self.own_sends(index, &segment(ends, sequence + 1, ACK));
            self.run(20);
        }
        server
    }

    /// A segment of a client on this image.
    pub fn own_sends(&mut self, index: usize, bytes: &[u8]) {
        let now = self.now;
        let disposition = self.node_mut(index).vipa.route(now, Packet::copy_of(bytes), Origin::Stack);
        self.dispose(index, disposition);
        self.settle(index);
    }

    /// As [`answer`](Cluster::answer), for a client on this image.
    pub fn answer_on(&mut self, index: usize, ends: Ends, millis: u64) -> Answer {
        self.seen.clear();
        self.own_sends(index, &segment(ends, 5000, ACK));
        self.run(millis);
        self.seen.iter().find(|(who, _)| *who == ends).map_or(Answer::Silence, |(_, answer)| *answer)
    }

    /// The client's side of a connection on this image ends too.
    pub fn hang_up(&mut self, index: usize, ends: Ends, sequence: u32) {
        self.order(index, |vipa, now| vipa.ended(now, ends.1, ends.0, sequence));
    }

    /// Sends a segment of an open connection, and waits `millis` for what comes of it.
    pub fn answer(&mut self, ends: Ends, millis: u64) -> Answer {
        self.seen.clear();
        self.client_sends(&segment(ends, 5000, ACK));
        self.run(millis);
        self.seen.iter().find(|(who, _)| *who == ends).map_or(Answer::Silence, |(_, answer)| *answer)
    }

    /// Sends a SYN and waits `millis` for what comes of it.
    pub fn answer_to_syn(&mut self, ends: Ends, sequence: u32, millis: u64) -> Answer {
        self.seen.clear();
        self.client_sends(&segment(ends, sequence, SYN));
        self.run(millis);
        self.seen.iter().find(|(who, _)| *who == ends).map_or(Answer::Silence, |(_, answer)| *answer)
    }

    /// The running image that holds the connection.
    pub fn holder(&self, ends: Ends) -> Option<usize> {
        self.nodes.iter().position(|node| node.as_ref().is_some_and(|node| node.held.contains_key(&ends)))
    }

    /// What an image knows of a DVIPA.
    pub fn dvipa(&self, index: usize, address: IpAddr) -> DvipaStatus {
        self.node(index).vipa.dvipas().into_iter().find(|dvipa| dvipa.address == address).unwrap()
    }

    /// The image that advertises the DVIPA, by its own account.
    pub fn owners(&self, address: IpAddr) -> Vec<usize> {
        let owns = |index: &usize| {
            self.nodes[*index].is_some() && {
                let xcf = Some(self.images[*index].xcf);
                self.node(*index).vipa.dvipas().iter().any(|dvipa| dvipa.address == address && dvipa.owner == xcf)
            }
        };
        (0..self.nodes.len()).filter(owns).collect()
    }

    /// The CRT of the DVIPA's owner as connections by serving image.
    pub fn crt(&self, index: usize, address: IpAddr) -> BTreeMap<Ends, usize> {
        let rows = self.node(index).vipa.crt().into_iter().filter(|row| row.dvipa == address);
        rows.map(|row: CrtRow| {
            let ends = (SocketAddr::new(row.dvipa, row.port), SocketAddr::new(row.remote, row.remote_port));
            (ends, self.images.iter().position(|image| image.xcf == row.target).unwrap())
        })
        .collect()
    }

    /// What the endpoints hold of the DVIPA.
    pub fn truth(&self, address: IpAddr) -> BTreeMap<Ends, usize> {
        let nodes = self.nodes.iter().enumerate().filter_map(|(index, node)| Some((index, node.as_ref()?)));
        nodes
            .flat_map(|(index, node)| node.held.keys().map(move |ends| (*ends, index)))
            .filter(|(ends, _)| ends.0.ip() == address)
            .collect()
    }

    /// Lets `millis` go by.
    pub fn run(&mut self, millis: u64) {
        let until = self.now + ms(millis);
        loop {
            let arrival = self.air.keys().next().map(|(at, _)| *at);
            let running = |index: &usize| self.nodes[*index].as_ref().is_some_and(|node| !node.paused);
            let timer = (0..self.nodes.len())
                .filter(running)
                .filter_map(|index| Some((self.node(index).vipa.next_deadline()?.max(self.now), index)))
                .min();
            let next = [arrival, timer.map(|(at, _)| at)].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= until) else { break };
            self.now = next;
            if arrival == Some(next) {
                let ((_, _), (to, input)) = self.air.pop_first().unwrap();
                self.input(to, input);
            } else if let Some((_, index)) = timer {
                self.look_at_clock(index);
            }
        }
        self.now = until;
    }

    fn input(&mut self, index: usize, input: Input) {
        match &mut self.nodes[index] {
            None => {}
            Some(node) if node.paused => node.backlog.push(input),
            Some(_) => self.deliver(index, input),
        }
    }

    fn deliver(&mut self, index: usize, input: Input) {
        let now = self.now;
        match input {
            Input::Death { xcf, incarnation } => self.node_mut(index).vipa.peer_gone(now, xcf, incarnation),
            Input::Packet(packet) => {
                let disposition = self.node_mut(index).vipa.route(now, packet, Origin::Network);
                self.dispose(index, disposition);
            }
            Input::Datagram { from, bytes } => {
                let from = self.images[from].xcf;
                match classify(&bytes) {
                    Datagram::Control => self.node_mut(index).vipa.receive(now, from, &bytes),
                    Datagram::Data(header) => {
                        assert_eq!(header.direction, Direction::Inbound);
                        let packet = Packet::copy_of(&bytes[DataHeader::LEN..]);
                        let disposition = self.node_mut(index).vipa.route(now, packet, Origin::Xcf { from, header });
                        self.dispose(index, disposition);
                    }
                    Datagram::Unknown => self.node_mut(index).vipa.count_unknown(from),
                }
            }
        }
        self.settle(index);
    }

    fn dispose(&mut self, index: usize, disposition: Disposition) {
        match disposition {
            Disposition::Local(packet) => self.local(index, packet),
            Disposition::Forward { to, header, packet } => self.forward(index, to, header, &packet),
            Disposition::Reset(packet) => self.reset(index, &packet),
            Disposition::Held | Disposition::Drop(..) => {}
        }
    }

    fn settle(&mut self, index: usize) {
        while let Some(action) = self.nodes[index].as_mut().and_then(|node| node.vipa.poll_action()) {
            match action {
                Action::Send { to, datagram } => self.send(index, to, datagram),
                Action::Forward { to, header, packet } => self.forward(index, to, header, &packet),
                Action::Deliver(packet) => self.local(index, packet),
                Action::Reset(packet) => self.reset(index, &packet),
                Action::AddHome { address, internal, .. } => drop(self.node_mut(index).home.insert(address, internal)),
                Action::RemoveHome { address } => {
                    assert!(self.node_mut(index).home.remove(&address).is_some(), "only what is there is removed");
                }
                Action::Advertise { address, .. } => {
                    assert_eq!(self.node(index).home.get(&address), Some(&false), "who advertises has the address");
                    self.routes.insert(address, index);
                }
                Action::Withdraw { address } => {
                    if self.routes.get(&address) == Some(&index) {
                        self.routes.remove(&address);
                    }
                }
                Action::Exit(exit) => self.node_mut(index).exit = exit,
                Action::PeerUp { xcf, incarnation, .. } => {
                    assert!(self.node_mut(index).watched.insert((xcf, incarnation)), "once for each life");
                    let peer = self.images.iter().position(|image| image.xcf == xcf).unwrap();
                    let alive = self.nodes[peer].as_ref().is_some_and(|node| node.incarnation == incarnation);
                    if self.watchful && !alive {
                        let now = self.now;
                        self.node_mut(index).vipa.peer_gone(now, xcf, incarnation);
                    }
                }
                Action::Doubt { xcf, process } => {
                    let peer = self.images.iter().position(|image| image.xcf == xcf).unwrap();
                    let starves = |node: &&Node| node.starves && u64::from(process) == 100 + node.incarnation;
                    if self.nodes[peer].as_ref().filter(starves).is_some() {
                        let now = self.now;
                        self.node_mut(index).vipa.peer_starves(now, xcf);
                    }
                }
                Action::PeerDown { xcf, incarnation, .. } => {
                    assert!(self.node(index).watched.contains(&(xcf, incarnation)));
                }
                Action::Event(event) => {
                    if let Event::Claimed { dvipa, epoch, .. } | Event::TakingBack { dvipa, epoch, .. } = &event {
                        let owner = *self.claims.entry((*dvipa, *epoch)).or_insert(index);
                        assert_eq!(owner, index, "I1: one owner for each epoch of {dvipa}");
                    }
                    if matches!(event, Event::LeftGroup) {
                        // Back in the group it meets the others anew.
                        self.node_mut(index).watched.clear();
                    }
                    self.events.push((index, event));
                }
                Action::Left => self.node_mut(index).left = true,
                Action::Break(broken) => {
                    let held: Vec<Ends> = self.node(index).held.keys().copied().collect();
                    held.into_iter()
                        .filter(|ends| broken.covers(ends.0, ends.1))
                        .for_each(|ends| self.close(index, ends));
                }
                Action::PortsLeased { .. } => {}
                Action::Refused { why } => self.node_mut(index).refused = Some(why),
            }
        }
    }

    fn forward(&mut self, from: usize, to: IpAddr, header: DataHeader, packet: &Packet) {
        let mut bytes = header.emit().to_vec();
        bytes.extend(packet.bytes());
        self.send(from, to, bytes);
    }

    /// XCF, in the present weather.
    fn send(&mut self, from: usize, to: IpAddr, bytes: Vec<u8>) {
        let to = self.images.iter().position(|image| image.xcf == to).unwrap();
        assert_ne!(from, to, "nobody sends to itself");
        let data = || matches!(classify(&bytes), Datagram::Data(_));
        if self.cuts.contains(&(from, to)) || self.without_data.contains(&(from, to)) && data() {
            return;
        }
        let Weather { loss, doubled, delay } = self.weather;
        let copies = if self.random(100) < loss { 0 } else { 1 + u64::from(self.random(100) < doubled) };
        for _ in 0..copies {
            let at = self.now + Duration::from_micros(50 + self.random(1000 * delay.max(1)));
            self.sent += 1;
            self.air.insert((at, self.sent), (to, Input::Datagram { from, bytes: bytes.clone() }));
        }
    }

    /// What a stack does with a packet of its own: the least that TCP does.
    fn local(&mut self, index: usize, packet: Packet) {
        let Some((ends, sequence, flags)) = tcp(packet.bytes()) else { return };
        let now = self.now;
        let node = self.node_mut(index);
        assert!(
            node.home.contains_key(&ends.0.ip()),
            "only addresses of the home list are local: {index} {ends:?} {flags:#x} {:?}",
            node.vipa.dvipas()
        );
        if node.held.contains_key(&ends) {
            if flags & RST != 0 {
                return self.close(index, ends);
            }
            if flags & (SYN | ACK) == ACK && node.established.insert(ends) {
                node.vipa.established(now, ends.0, ends.1);
            }
            self.seen.push((ends, Answer::Served(index)));
            self.settle(index);
        } else if flags & (SYN | ACK) == SYN
            && (node.listeners.contains(&(None, ends.0.port()))
                || node.listeners.contains(&(Some(ends.0.ip()), ends.0.port())))
        {
            node.held.insert(ends, sequence);
            node.vipa.opened(now, ends.0, ends.1, sequence, true);
            self.seen.push((ends, Answer::Served(index)));
            let others = self.nodes.iter().flatten().filter(|node| node.held.contains_key(&ends)).count();
            assert_eq!(others, 1, "I7: one stack serves {ends:?}");
            self.settle(index);
        } else if flags & RST == 0 {
            self.reset(index, &packet);
        }
    }

    /// I6: nobody is reset whose connection is held by a stack that lives: whether it is reachable
    /// or not, if the one that resets has ever been in contact with that life of it.
    fn reset(&mut self, index: usize, packet: &Packet) {
        let (ends, ..) = tcp(packet.bytes()).expect("only TCP segments are answered with RST");
        let known = |holder: &usize| {
            let life = (self.images[*holder].xcf, self.node(*holder).incarnation);
            *holder == index || self.node(index).watched.contains(&life)
        };
        let holder = self.holder(ends).filter(known);
        assert_eq!(holder, None, "I6: a held connection is reset at {:?}: {ends:?}", self.now);
        self.seen.push((ends, Answer::Reset));
    }
}

/// Ends, sequence number and flags of a client's segment.
fn tcp(bytes: &[u8]) -> Option<(Ends, u32, u8)> {
    let (source, destination, protocol, at) = match bytes[0] >> 4 {
        4 => (
            IpAddr::from(<[u8; 4]>::try_from(&bytes[12..16]).unwrap()),
            IpAddr::from(<[u8; 4]>::try_from(&bytes[16..20]).unwrap()),
            bytes[9],
            20,
        ),
        _ => (
            IpAddr::from(<[u8; 16]>::try_from(&bytes[8..24]).unwrap()),
            IpAddr::from(<[u8; 16]>::try_from(&bytes[24..40]).unwrap()),
            bytes[6],
            40,
        ),
    };
    let tcp = bytes.get(at..).filter(|tcp| protocol == protocol::TCP && tcp.len() >= 20)?;
    let port = |at: usize| u16::from_be_bytes([tcp[at], tcp[at + 1]]);
    let ends = (SocketAddr::new(destination, port(2)), SocketAddr::new(source, port(0)));
    Some((ends, u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]), tcp[13]))
}
