//! One life of a simulated image: both cores, joined as the real driver joins them, with an echo
//! server as its application. It does no I/O: what it would send is put into an outbox.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use stack::home::Kind;
use stack::route::{Link, Route};
use stack::tcp::{ConnId, FlowEvent, ListenOptions, ListenerId, SocketError, TcpEvent};
use stack::{Egress, Instant, LinkId, Packet, Stack, Transmit};
use vipa::wire::{DataHeader, Datagram, Direction, Hop};
use vipa::{Action, Broken, Creation, Disposition, Event, Origin, PortLease, Vipa};

pub(super) const NETWORK: LinkId = LinkId(0);
pub(super) const XCF: LinkId = LinkId(1);

/// What an image has done, in order.
#[derive(Debug)]
pub(super) enum Output {
    /// A packet to the client network.
    Network(Vec<u8>),
    /// A datagram to another image.
    Xcf {
        to: IpAddr,
        bytes: Vec<u8>,
    },
    /// The network's route to a DVIPA is this image from now on, or no longer.
    Route {
        dvipa: IpAddr,
        here: bool,
    },
    /// Its life is known to the one that says this.
    PeerUp {
        xcf: IpAddr,
        incarnation: u64,
    },
    /// It asks whether that one waits for a processor.
    Doubt(IpAddr),
    Event(Event),
    Left,
    Refused(String),
    /// For the observer only: what became of packets and connections here.
    Saw(Sight),
}

/// What the observer sees of the inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// A packet was passed on; `to_target` by a routing stack.
    Forwarded {
        digest: u64,
        to: IpAddr,
        to_target: bool,
        segment: Option<Seen>,
    },
    /// A packet was taken in.
    Local {
        segment: Option<Seen>,
        error_about: Option<Flow>,
        later_fragment: Option<u16>,
    },
    /// A packet was answered as a closed port does.
    Reset {
        segment: Option<Seen>,
    },
    /// The image's own TCP answers a SYN, with this sequence number.
    Answered {
        flow: Flow,
        sequence: u32,
    },
    /// The image's own TCP sends a RST.
    SentReset {
        flow: Flow,
    },
    Opened {
        flow: Flow,
        instance: u32,
        passive: bool,
    },
    Ended {
        flow: Flow,
        instance: u32,
    },
    Broken {
        dvipa: IpAddr,
    },
    Home {
        dvipa: IpAddr,
        there: bool,
    },
}

/// Own end and the other end of a connection.
pub(super) type Flow = (SocketAddr, SocketAddr);

/// A client's segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub flow: Flow,
    pub sequence: u32,
    pub opens: bool,
    pub resets: bool,
    /// SYN and ACK: the server's answer.
    pub answers: bool,
}

/// Ends and flags of the TCP segment in a packet that is no later fragment.
pub(super) fn segment(bytes: &[u8]) -> Option<Seen> {
    let header = usize::from(bytes.first()? & 0xf) * 4;
    let fragment = u16::from_be_bytes([*bytes.get(6)?, *bytes.get(7)?]) & 0x1fff;
    if bytes[0] >> 4 != 4 || *bytes.get(9)? != 6 || fragment != 0 {
        return None;
    }
    let (source, destination) = addresses(bytes)?;
    let tcp = bytes.get(header..header + 14)?;
    let port = |at: usize| u16::from_be_bytes([tcp[at], tcp[at + 1]]);
    let flow = (SocketAddr::new(destination, port(2)), SocketAddr::new(source, port(0)));
    let sequence = u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]);
    Some(Seen {
        flow,
        sequence,
        opens: tcp[13] & 0x12 == 0x02,
        resets: tcp[13] & 0x04 != 0,
        answers: tcp[13] & 0x12 == 0x12,
    })
}

pub(super) fn addresses(bytes: &[u8]) -> Option<(IpAddr, IpAddr)> {
    let source: [u8; 4] = bytes.get(12..16)?.try_into().ok()?;
    let destination: [u8; 4] = bytes.get(16..20)?.try_into().ok()?;
    Some((source.into(), destination.into()))
}

/// The connection that an ICMP error is about, as its sender names it.
fn error_about(bytes: &[u8]) -> Option<Flow> {
    if bytes.len() < 56 || bytes[0] != 0x45 || bytes[9] != 1 || bytes[20] != 3 {
        return None;
    }
    let quoted = &bytes[28..];
    let (source, destination) = addresses(quoted)?;
    let port = |at: usize| u16::from_be_bytes([quoted[at], quoted[at + 1]]);
    Some((SocketAddr::new(source, port(20)), SocketAddr::new(destination, port(22))))
}

/// The identification of an IP fragment that is not the first.
fn later_fragment(bytes: &[u8]) -> Option<u16> {
    let field = |at: usize| Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
    (field(6)? & 0x1fff != 0).then_some(field(4)?)
}

/// FNV-1a.
pub(super) fn digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// One life.
pub(super) struct Image {
    pub stack: Stack,
    pub vipa: Vipa,
    pub incarnation: u64,
    linked: bool,
    listeners: BTreeMap<SocketAddr, ListenerId>,
    echoes: BTreeMap<usize, Echo>,
    pub out: Vec<Output>,
}

/// An accepted connection, and what is still to go back on it.
#[derive(Debug)]
struct Echo {
    id: ConnId,
    pending: Vec<u8>,
    ended: bool,
    /// Opened by this side: what comes back is not sent again.
    outbound: bool,
}

impl Image {
    pub fn start(
        config: vipa::Config,
        tcp: stack::tcp::TcpConfig,
        link: Option<IpAddr>,
        seed: u64,
        now: Instant,
    ) -> Image {
        let (own, incarnation) = (config.xcf, config.incarnation);
        let tcp = stack::tcp::TcpConfig { shared_addresses: true, ..tcp };
        let mut stack = Stack::new(stack::Config { tcp, pool: 8, ..stack::Config::default() }, seed);
        stack.home_mut().add(own, 32, Kind::Xcf);
        stack.routes_mut().add_link(Link { id: XCF, name: "XCF".into(), mtu: 1500, max_super: 0 });
        for peer in &config.peers {
            let (link, next_hop) = (XCF, Some(*peer));
            stack.routes_mut().replace(Route { destination: *peer, prefix: 32, link, next_hop, metric: 0 });
        }
        if let Some(address) = link {
            stack.home_mut().add(address, 32, Kind::Link);
            stack.routes_mut().add_link(Link { id: NETWORK, name: "NETWORK".into(), mtu: 1500, max_super: 0 });
            stack.routes_mut().replace(Route::default_for(own, NETWORK, None));
        }
        let vipa = Vipa::new(config, seed, now);
        Image {
            stack,
            vipa,
            incarnation,
            linked: link.is_some(),
            listeners: BTreeMap::new(),
            echoes: BTreeMap::new(),
            out: Vec::new(),
        }
    }

    /// An echo server on `address`; inside a VIPARANGE that makes the DVIPA.
    pub fn listen(&mut self, now: Instant, address: SocketAddr) {
        if self.listeners.contains_key(&address) {
            return;
        }
        if let Err(conflict) = self.vipa.create(now, address.ip(), Creation::Bind)
            && conflict != vipa::Conflict::NotInRange
        {
            return;
        }
        let options = ListenOptions { nodelay: true, ..ListenOptions::default() };
        if let Ok(id) = self.stack.tcp_mut().listen(Some(address.ip()), address.port(), options) {
            self.listeners.insert(address, id);
            // Who has not asked yet is not told.
            self.serve(now, TcpEvent::Acceptable(id));
        }
        self.settle(now);
    }

    pub fn unlisten(&mut self, now: Instant, address: SocketAddr) {
        if let Some(id) = self.listeners.remove(&address) {
            self.stack.tcp_mut().close_listener(now, id);
            self.settle(now);
        }
    }

    pub fn listens(&self, address: SocketAddr) -> bool {
        self.listeners.contains_key(&address)
    }

    /// Opens a connection from a DVIPA, by a leased port; it sends a little and takes the echo.
    pub fn connect_from(&mut self, now: Instant, dvipa: IpAddr, remote: SocketAddr) -> bool {
        if !self.stack.home().contains(dvipa) {
            return false;
        }
        let port = self.vipa.lease_port(now, dvipa, remote);
        let opened = match port {
            PortLease::Port(port) => {
                let local = SocketAddr::new(dvipa, port);
                self.stack.tcp_connect(now, Some(local), remote).is_ok()
            }
            PortLease::Wait | PortLease::Any => false,
        };
        self.settle(now);
        opened
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        [self.stack.next_deadline(), self.vipa.next_deadline()].into_iter().flatten().min()
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        if self.stack.next_deadline().is_some_and(|at| at <= now) {
            self.stack.handle_timeout(now);
        }
        if self.vipa.next_deadline().is_some_and(|at| at <= now) {
            self.vipa.handle_timeout(now);
        }
        self.settle(now);
    }

    pub fn network_gives(&mut self, now: Instant, bytes: &[u8]) {
        let disposition = self.vipa.route(now, Packet::copy_of(bytes), Origin::Network);
        self.dispose(now, NETWORK, disposition);
        self.settle(now);
    }

    pub fn xcf_gives(&mut self, now: Instant, from: IpAddr, bytes: &[u8]) {
        match vipa::wire::classify(bytes) {
            Datagram::Control => self.vipa.receive(now, from, bytes),
            Datagram::Data(header) => {
                let mut packet = Packet::copy_of(&bytes[DataHeader::LEN..]);
                packet.offload = header.offload;
                match header.direction {
                    // A connection that this stack keeps in a SYN cookie is in no table yet.
                    Direction::Inbound if self.stack.returns_cookie(now, &packet) => self.local(now, XCF, packet),
                    Direction::Inbound => {
                        let disposition = self.vipa.route(now, packet, Origin::Xcf { from, header });
                        self.dispose(now, XCF, disposition);
                    }
                    Direction::Outbound if self.linked => self.out.push(Output::Network(packet.bytes().to_vec())),
                    Direction::Outbound => {}
                }
            }
            Datagram::Unknown => self.vipa.count_unknown(from),
        }
        self.settle(now);
    }

    fn dispose(&mut self, now: Instant, link: LinkId, disposition: Disposition) {
        match disposition {
            Disposition::Local(packet) => self.local(now, link, packet),
            Disposition::Forward { to, header, packet } => self.forward(to, header, &packet),
            Disposition::Reset(packet) => self.reset(now, packet),
            Disposition::Held | Disposition::Drop(..) => {}
        }
    }

    fn local(&mut self, now: Instant, link: LinkId, packet: Packet) {
        let bytes = packet.bytes();
        let (segment, error_about) = (segment(bytes), error_about(bytes));
        let sight = Sight::Local { segment, error_about, later_fragment: later_fragment(bytes) };
        self.out.push(Output::Saw(sight));
        self.stack.receive(now, link, packet);
    }

    fn reset(&mut self, now: Instant, packet: Packet) {
        self.out.push(Output::Saw(Sight::Reset { segment: segment(packet.bytes()) }));
        self.stack.reset(now, packet);
    }

    fn forward(&mut self, to: IpAddr, mut header: DataHeader, packet: &Packet) {
        header.offload = packet.offload;
        let (bytes, to_target) = (packet.bytes(), header.hop == Hop::ToTarget);
        let sight = Sight::Forwarded { digest: digest(bytes), to, to_target, segment: segment(bytes) };
        self.out.push(Output::Saw(sight));
        let mut datagram = header.emit().to_vec();
        datagram.extend(bytes);
        self.out.push(Output::Xcf { to, bytes: datagram });
    }

    /// Lets cores and applications go on until nothing more happens.
    pub fn settle(&mut self, now: Instant) {
        loop {
            let mut quiet = true;
            while let Some(event) = self.stack.tcp_mut().poll_flow() {
                quiet = false;
                self.flow_event(now, event);
            }
            while let Some(action) = self.vipa.poll_action() {
                quiet = false;
                self.act(now, action);
            }
            while let Some(event) = self.stack.tcp_mut().poll_event() {
                quiet = false;
                self.serve(now, event);
            }
            let mut out = Out { out: &mut self.out, vipa: &self.vipa, to_dvipas: Vec::new() };
            let mut sent = self.stack.poll_transmit(now, &mut out, 64);
            let to_dvipas = out.to_dvipas;
            sent |= !to_dvipas.is_empty();
            for packet in to_dvipas {
                let disposition = crate::image::route_own(&self.stack, &mut self.vipa, now, packet);
                self.dispose(now, XCF, disposition);
            }
            if quiet && !sent {
                return;
            }
        }
    }

    fn flow_event(&mut self, now: Instant, event: FlowEvent) {
        crate::image::tell(&mut self.vipa, now, event);
        let sight = match event {
            FlowEvent::Opened { local, remote, instance, passive } => {
                Sight::Opened { flow: (local, remote), instance, passive }
            }
            FlowEvent::Ended { local, remote, instance } => Sight::Ended { flow: (local, remote), instance },
            FlowEvent::Listening { .. } | FlowEvent::Unlistening { .. } | FlowEvent::Established { .. } => return,
        };
        self.out.push(Output::Saw(sight));
    }

    fn act(&mut self, now: Instant, action: Action) {
        match action {
            Action::Send { to, datagram } => self.out.push(Output::Xcf { to, bytes: datagram }),
            Action::Forward { to, header, packet } => self.forward(to, header, &packet),
            Action::Deliver(packet) => self.local(now, NETWORK, packet),
            Action::Reset(packet) => self.reset(now, packet),
            Action::AddHome { address, prefix, internal } => {
                let kind = if internal { Kind::InternalDvipa } else { Kind::Dvipa };
                self.stack.home_mut().add(address, prefix, kind);
                self.out.push(Output::Saw(Sight::Home { dvipa: address, there: true }));
            }
            Action::RemoveHome { address } => {
                self.stack.home_mut().remove(address);
                self.out.push(Output::Saw(Sight::Home { dvipa: address, there: false }));
            }
            Action::Advertise { address, .. } => self.out.push(Output::Route { dvipa: address, here: true }),
            Action::Withdraw { address } => self.out.push(Output::Route { dvipa: address, here: false }),
            Action::Exit(next_hop) => crate::image::set_exit(&mut self.stack, next_hop),
            Action::PeerUp { xcf, incarnation, .. } => self.out.push(Output::PeerUp { xcf, incarnation }),
            Action::Break(broken) => {
                self.stack.tcp_abort_all(now, |local, remote| broken.covers(local, remote));
                if let Broken::All(dvipa) = broken {
                    self.out.push(Output::Saw(Sight::Broken { dvipa }));
                }
            }
            Action::Doubt { xcf, .. } => self.out.push(Output::Doubt(xcf)),
            Action::PortsLeased { .. } | Action::PeerDown { .. } => {}
            Action::Refused { why } => self.out.push(Output::Refused(why)),
            Action::Event(event) => self.out.push(Output::Event(event)),
            Action::Left => self.out.push(Output::Left),
        }
    }

    /// The application: it sends back what it gets.
    fn serve(&mut self, now: Instant, event: TcpEvent) {
        match event {
            TcpEvent::Acceptable(listener) => {
                while let Some(id) = self.stack.tcp_mut().accept(listener) {
                    self.echoes.insert(id.index(), Echo { id, pending: Vec::new(), ended: false, outbound: false });
                    self.echo(now, id);
                }
            }
            TcpEvent::Connected(id) => {
                let pending = b"from a DVIPA".to_vec();
                self.echoes.insert(id.index(), Echo { id, pending, ended: false, outbound: true });
                self.echo(now, id);
            }
            TcpEvent::Readable(id) | TcpEvent::Writable(id) => self.echo(now, id),
            TcpEvent::Closed(id, _) => {
                if self.echoes.get(&id.index()).is_some_and(|echo| echo.id == id) {
                    self.echoes.remove(&id.index());
                }
                self.stack.tcp_close(now, id);
            }
        }
    }

    fn echo(&mut self, now: Instant, id: ConnId) {
        let Some(echo) = self.echoes.get_mut(&id.index()).filter(|echo| echo.id == id) else { return };
        let mut buffer = [0; 4096];
        loop {
            // What cannot be sent is not read either: the window closes.
            while !echo.pending.is_empty() {
                match self.stack.tcp_mut().send(now, id, &echo.pending) {
                    Ok(count) => drop(echo.pending.drain(..count)),
                    Err(SocketError::WouldBlock) => return,
                    Err(_) => {
                        self.echoes.remove(&id.index());
                        return self.stack.tcp_close(now, id);
                    }
                }
            }
            if echo.ended {
                self.echoes.remove(&id.index());
                return self.stack.tcp_close(now, id);
            }
            match self.stack.tcp_recv(now, id, &mut buffer) {
                Ok(0) => echo.ended = true,
                Ok(_) if echo.outbound => {}
                Ok(count) => echo.pending.extend_from_slice(&buffer[..count]),
                Err(SocketError::WouldBlock) => return,
                Err(_) => {
                    self.echoes.remove(&id.index());
                    return self.stack.tcp_close(now, id);
                }
            }
        }
    }
}

/// Where the stack's own packets go.
struct Out<'a> {
    out: &'a mut Vec<Output>,
    vipa: &'a Vipa,
    /// Those to DVIPAs: the VIPA function says where they go.
    to_dvipas: Vec<Packet>,
}

impl Egress for Out<'_> {
    fn transmit(&mut self, packet: Transmit<'_>) {
        if self.vipa.is_dvipa(packet.destination) {
            return self.to_dvipas.push(packet.to_packet());
        }
        let mut bytes = Vec::with_capacity(DataHeader::LEN + packet.len());
        if packet.link == XCF {
            let mut header = self.vipa.outbound_header();
            header.offload = packet.offload;
            if Some(packet.destination) == packet.next_hop {
                header.direction = Direction::Inbound;
            }
            bytes.extend(header.emit());
        }
        let start = bytes.len();
        bytes.extend(packet.header);
        packet.payload.iter().for_each(|part| bytes.extend_from_slice(part));
        if let Some(seen) = segment(&bytes[start..]) {
            let (flow, sequence) = ((seen.flow.1, seen.flow.0), seen.sequence);
            if seen.resets {
                self.out.push(Output::Saw(Sight::SentReset { flow }));
            } else if seen.answers {
                self.out.push(Output::Saw(Sight::Answered { flow, sequence }));
            }
        }
        self.out.push(match packet.next_hop {
            Some(to) if packet.link == XCF => Output::Xcf { to, bytes },
            _ => Output::Network(bytes),
        });
    }
}
