//! A host and wild peers: a byte program of frames, time and socket calls, in which every byte
//! means something.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::LazyLock;
use std::time::Duration;

use stack::packet::SegmentKind;
use stack::raw::RawId;
use stack::tcp::{ConnId, Keepalive, ListenOptions, ListenerId, State};
use stack::udp::UdpId;
use stack::wire::checksum;
use stack::wire::datagram::Datagram;
use stack::wire::flow::Flow;
use stack::wire::ip::protocol;
use stack::{Checksum, Config, Egress, Instant, Offload, Packet, Segmentation, Stack, Transmit};

use crate::frames::{Tcp, options, repair};
use crate::seeds;
use crate::support::*;

/// The steps; each byte modulo their number is one. Arguments follow.
pub mod step {
    pub const SEGMENT: u8 = 0;
    pub const BYTES: u8 = 1;
    pub const TIME: u8 = 2;
    pub const CALL: u8 = 3;
    pub const FRAGMENT: u8 = 4;
    pub const ERROR: u8 = 5;
    pub const AGAIN: u8 = 6;
    pub const DATAGRAM: u8 = 7;
    pub const SUPER: u8 = 8;
    pub const SEED: u8 = 9;
    pub const COUNT: u8 = 10;
}

/// The calls.
pub mod call {
    pub const CONNECT: u8 = 0;
    pub const ACCEPT: u8 = 1;
    pub const SEND: u8 = 2;
    pub const RECEIVE: u8 = 3;
    pub const SHUTDOWN: u8 = 4;
    pub const CLOSE: u8 = 5;
    pub const ABORT: u8 = 6;
    pub const LISTEN: u8 = 7;
    pub const UNLISTEN: u8 = 8;
    pub const OPTION: u8 = 9;
    pub const UDP: u8 = 10;
    pub const RAW: u8 = 11;
    pub const COUNT: u8 = 12;
}

const PEERS: usize = 4;
const LONG: Duration = Duration::from_secs(24 * 3600);

/// What a program got to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reached {
    pub established: u64,
    pub delivered: u64,
    pub joined: u64,
    pub answered: u64,
    pub refused: u64,
}

impl Reached {
    pub fn add(&mut self, other: &Reached) {
        self.established += other.established;
        self.delivered += other.delivered;
        self.joined += other.joined;
        self.answered += other.answered;
        self.refused += other.refused;
    }
}

/// What a peer knows of its connection: where it is and where the host is.
#[derive(Clone, Copy, Debug, Default)]
struct Peer {
    port: u16,
    seq: u32,
    ack: u32,
}

/// Takes what the host sends: each packet is checked, and the peers learn from it.
#[derive(Default)]
struct Wire {
    peers: [[Peer; PEERS]; 2],
    last: Vec<u8>,
    established: u64,
    answered: u64,
}

impl Egress for Wire {
    fn transmit(&mut self, transmit: Transmit<'_>) {
        self.last.clear();
        self.last.extend_from_slice(transmit.header);
        transmit.payload.iter().for_each(|slice| self.last.extend_from_slice(slice));
        let bytes = &self.last;
        let datagram = Datagram::parse(bytes).unwrap_or_else(|error| panic!("{error}: {bytes:02x?}"));
        if !both(2).contains(&datagram.source) {
            // Passed on, whatever it is.
            return;
        }
        assert_eq!((datagram.payload.end, datagram.fault), (bytes.len(), None));
        if transmit.offload.segmentation.is_none() {
            assert!(bytes.len() <= 1500, "{} bytes", bytes.len());
        }
        if datagram.is_fragment() {
            return;
        }
        let transport = &bytes[datagram.payload.clone()];
        if transmit.offload.checksum == Checksum::Valid && datagram.protocol == protocol::TCP {
            let length = transport.len() as u32;
            let pseudo = checksum::pseudo_header(datagram.source, datagram.destination, protocol::TCP, length);
            assert_eq!(checksum::fold(pseudo + checksum::sum(transport)), 0xffff);
        }
        if datagram.protocol != protocol::TCP {
            self.answered += 1;
            return;
        }
        let word = |at: usize| u32::from_be_bytes(transport[at..at + 4].try_into().expect("four"));
        let (port, host_port) = (u16::from_be_bytes([transport[2], transport[3]]), word(0) >> 16);
        let (flags, header) = (transport[13], usize::from(transport[12] >> 4) * 4);
        let ends = u32::from(flags & 1 != 0) + u32::from(flags & 2 != 0);
        let peers = &mut self.peers[usize::from(datagram.source.is_ipv6())];
        for (index, peer) in peers.iter_mut().enumerate() {
            // A peer is called, or has called, by its number.
            let called = port == 1000 + index as u16;
            if called || port == 2000 + index as u16 {
                peer.port = host_port as u16;
                let next = word(4).wrapping_add((transport.len() - header) as u32 + ends);
                peer.ack = if flags & 2 != 0 || next.wrapping_sub(peer.ack) < 1 << 31 { next } else { peer.ack };
                if flags & 0x10 != 0 {
                    peer.seq = word(8);
                    self.established += u64::from(flags & 2 == 0);
                }
            }
        }
    }
}

struct Machine {
    program: VecDeque<u8>,
    /// Within a program of the corpus.
    nested: bool,
    now: Instant,
    stack: Stack,
    wire: Wire,
    connections: Vec<ConnId>,
    listeners: Vec<ListenerId>,
    udp: UdpId,
    raw: RawId,
    buffer: Vec<u8>,
    reached: Reached,
}

/// Runs a program, and sees to it that in the end nothing is left of it.
pub fn run(program: &[u8]) -> Reached {
    let mut stack =
        host(2, Config { forward: program.first().is_some_and(|byte| byte & 0x80 != 0), ..Config::default() });
    let listener =
        stack.tcp_mut().listen(None, 80, ListenOptions { backlog: 4, ..ListenOptions::default() }).expect("free");
    let udp = stack.udp_mut().bind(None, 9).expect("free");
    let raw = stack.raw_mut().open(253, None);
    let mut machine = Machine {
        program: program.to_vec().into(),
        nested: false,
        now: NOW,
        stack,
        wire: Wire::default(),
        connections: Vec::new(),
        listeners: vec![listener],
        udp,
        raw,
        buffer: vec![0; 1 << 16],
        reached: Reached::default(),
    };
    while !machine.program.is_empty() {
        machine.step();
        machine.settle();
    }
    machine.end()
}

impl Machine {
    /// The next byte; zero behind the end.
    fn byte(&mut self) -> u8 {
        self.program.pop_front().unwrap_or(0)
    }

    fn word(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        self.program.drain(..count.min(self.program.len())).collect()
    }

    fn step(&mut self) {
        match self.byte() % step::COUNT {
            step::SEGMENT => {
                let packet = self.segment();
                self.receive(packet, Offload::default());
            }
            step::BYTES => {
                let (how, count) = (self.byte(), self.byte());
                let mut bytes = self.take(count.into());
                if how & 1 != 0 {
                    repair(&mut bytes);
                }
                self.receive(bytes, Offload::default());
            }
            step::TIME => {
                // From microseconds to half an hour.
                let time = Duration::from_micros(1 << (self.byte() % 32));
                self.pass(time);
            }
            step::CALL => self.call(),
            step::FRAGMENT => self.fragment(),
            step::ERROR => self.error(),
            step::AGAIN => {
                // The host's own packet comes back, or from the other end.
                let mut bytes = self.wire.last.clone();
                let (at, value) = (usize::from(self.byte()), self.byte());
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= value;
                }
                match bytes.first().map(|byte| byte >> 4) {
                    Some(4) if bytes.len() >= 20 && value & 1 != 0 => {
                        (0..4).for_each(|at| bytes.swap(12 + at, 16 + at))
                    }
                    Some(6) if bytes.len() >= 40 && value & 1 != 0 => {
                        (0..16).for_each(|at| bytes.swap(8 + at, 24 + at))
                    }
                    _ => {}
                }
                repair(&mut bytes);
                self.receive(bytes, Offload::default());
            }
            step::DATAGRAM => {
                let (here, there) = self.ends();
                let (kind, length) = (self.byte(), usize::from(self.word() % 3000));
                let data = vec![0x33; length];
                let bytes = match kind % 4 {
                    0 => udp((there, 9), (here, 9), &data),
                    1 => udp((there, 9), (here, kind.into()), &data),
                    2 => echo_request(there, here, &data),
                    _ => packet(there, here, 253, &data),
                };
                self.receive(bytes, Offload::default());
            }
            step::SEED => self.seed(),
            _ => {
                let size = self.word();
                let bytes = self.segment();
                let kind = if bytes[0] >> 4 == 4 { SegmentKind::TcpV4 } else { SegmentKind::TcpV6 };
                let checksum = Checksum::Partial { start: if bytes[0] >> 4 == 4 { 20 } else { 40 }, offset: 16 };
                self.receive(bytes, Offload { checksum, segmentation: Some(Segmentation { kind, size }) });
            }
        }
    }

    /// One of the corpus, with one byte changed: random steps alone seldom get to a connection.
    fn seed(&mut self) {
        static SEEDS: LazyLock<Vec<Vec<u8>>> =
            LazyLock::new(|| seeds::programs().into_iter().map(|(_, seed)| seed).collect());
        let (which, at, value) = (self.byte(), self.byte(), self.byte());
        if self.nested {
            return;
        }
        let mut seed = SEEDS[usize::from(which) % SEEDS.len()].clone();
        // Half of them are cut there.
        match (usize::from(at) % seed.len(), value) {
            (at, 0x80..) => seed.truncate(at),
            (at, value) => seed[at] ^= value,
        }
        let rest = std::mem::replace(&mut self.program, seed.into());
        self.nested = true;
        while !self.program.is_empty() {
            self.step();
            self.settle();
        }
        self.nested = false;
        self.program = rest;
    }

    /// The host's address and a peer's.
    fn ends(&mut self) -> (IpAddr, IpAddr) {
        if self.byte() & 1 == 0 { (v4(2), v4(1)) } else { (v6(2), v6(1)) }
    }

    fn receive(&mut self, bytes: Vec<u8>, offload: Offload) {
        let mut packet = Packet::copy_of(&bytes);
        packet.offload = offload;
        self.stack.receive(self.now, LINK, packet);
    }

    /// `[version, peer, flags, sequence number (2), acknowledgement (2), window, options, length]`,
    /// numbers relative to where the peer is.
    fn segment(&mut self) -> Vec<u8> {
        let (here, there) = self.ends();
        let (number, flags) = (usize::from(self.byte()) % (2 * PEERS), self.byte());
        let relative = |value: u16| {
            // Small numbers are most of them; large ones reach round the whole space.
            let value = value as i16;
            if value.unsigned_abs() < 0x4000 { i32::from(value) } else { i32::from(value) << 17 }
        };
        let (seq, ack) = (relative(self.word()), relative(self.word()));
        let (window, which, length) = (self.byte(), self.byte(), self.byte());
        let peer = self.wire.peers[usize::from(here.is_ipv6())][number % PEERS];
        // The upper half has called the host, the lower half was called by it.
        let called = number < PEERS;
        let (from, to) = match called {
            true => (1000 + number as u16, peer.port),
            false => (2000 + (number - PEERS) as u16, 80),
        };
        let near = peer.ack;
        Tcp {
            ends: (there, from, here, to),
            seq: peer.seq.wrapping_add_signed(seq),
            ack: peer.ack.wrapping_add_signed(ack),
            flags,
            window: u16::from(window) << 8 | u16::from(window),
            options: &options(which, near),
            payload: usize::from(length) * 8,
        }
        .packet()
    }

    fn fragment(&mut self) {
        let (here, there) = self.ends();
        let (id, offset, more, next, length) = (self.byte(), self.byte(), self.byte(), self.byte(), self.byte());
        let part = vec![0x44; usize::from(length) * if more & 2 == 0 { 8 } else { 1 }];
        let protocols = [protocol::UDP, protocol::TCP, 253, 60];
        let next = protocols[usize::from(next) % protocols.len()];
        let at = u16::from(offset) * 8;
        let bytes = if here.is_ipv6() {
            fragment6(there, next, id.into(), at, more & 1 != 0, &part)
        } else {
            let mut bytes = packet(there, here, next, &part);
            bytes[4..6].copy_from_slice(&u16::from(id).to_be_bytes());
            stack::wire::ip::set_fragment(&mut bytes[..20], at.into(), more & 1 != 0, part.len());
            bytes
        };
        self.receive(bytes, Offload::default());
    }

    /// An ICMP error about the last packet that the host sent, from somebody.
    fn error(&mut self) {
        let (kind, code, word, cut) = (self.byte(), self.byte(), self.word(), self.byte());
        let Some(flow) = Flow::peek(&self.wire.last) else { return };
        let quoted = &self.wire.last[..self.wire.last.len().min(usize::from(cut))];
        let (here, there) = (flow.source.ip(), if flow.source.is_ipv4() { v4(9) } else { v6(9) });
        let bytes = icmp(there, here, kind % 160, code, word.into(), quoted);
        self.receive(bytes, Offload::default());
    }

    fn call(&mut self) {
        let (what, which, size) = (self.byte(), usize::from(self.byte()), usize::from(self.word()));
        let (now, id) = (self.now, self.connections.get(which % self.connections.len().max(1)).copied());
        match (what % call::COUNT, id) {
            (call::CONNECT, _) => {
                let to = if which & 1 == 0 { v4(1) } else { v6(1) };
                let remote = SocketAddr::new(to, 1000 + (size % PEERS) as u16);
                if let Ok(id) = self.stack.tcp_connect(now, None, remote) {
                    self.connections.push(id);
                }
            }
            (call::ACCEPT, _) => {
                let listener = self.listeners.get(which % self.listeners.len().max(1)).copied();
                if let Some(id) = listener.and_then(|listener| self.stack.tcp_mut().accept(listener)) {
                    self.connections.push(id);
                }
            }
            (call::SEND, Some(id)) => drop(self.stack.tcp_mut().send(now, id, &self.buffer[..size])),
            (call::RECEIVE, Some(id)) => {
                let room = size.min(self.buffer.len());
                if let Ok(count) = self.stack.tcp_recv(now, id, &mut self.buffer[..room]) {
                    self.reached.delivered += count as u64;
                }
            }
            (call::SHUTDOWN, Some(id)) => self.stack.tcp_mut().shutdown_write(now, id),
            (call::CLOSE | call::ABORT, Some(id)) => {
                // A handle that is released is not used again.
                self.connections.retain(|known| *known != id);
                match what % call::COUNT {
                    call::CLOSE => self.stack.tcp_close(now, id),
                    _ => self.stack.tcp_abort(now, id),
                }
            }
            (call::LISTEN, _) => {
                let options = ListenOptions { backlog: size % 8, ..ListenOptions::default() };
                if let Ok(id) = self.stack.tcp_mut().listen(Some(v4(2)), 80 + (which % 2) as u16, options) {
                    self.listeners.push(id);
                }
            }
            (call::UNLISTEN, _) => {
                if let Some(id) =
                    (!self.listeners.is_empty()).then(|| self.listeners.remove(which % self.listeners.len()))
                {
                    self.stack.tcp_mut().close_listener(self.now, id);
                }
            }
            (call::OPTION, Some(id)) => {
                let time = Duration::from_millis(size as u64);
                let keepalive = Keepalive {
                    idle: time.max(Duration::from_millis(1)),
                    interval: time.max(Duration::from_millis(1)),
                    count: which as u8,
                };
                let tcp = self.stack.tcp_mut();
                let _ = tcp.set_keepalive(now, id, (size & 1 == 0).then_some(keepalive));
                let _ = tcp.set_user_timeout(now, id, (size & 2 == 0).then_some(time));
                let _ = tcp.set_linger(id, (size & 4 == 0).then_some(time));
                let _ = tcp.set_nodelay(now, id, size & 8 == 0);
            }
            (call::UDP, _) => {
                let to = SocketAddr::new(if which & 1 == 0 { v4(1) } else { v6(1) }, 9);
                let any = if which & 1 == 0 { IpAddr::from([0; 4]) } else { IpAddr::from([0; 16]) };
                let _ = self.stack.udp_send(self.udp, any, to, &self.buffer[..size]);
                while self.stack.udp_recv(self.udp, &mut self.buffer).is_some() {}
            }
            (call::RAW, _) => {
                let to = if which & 1 == 0 { v4(1) } else { v6(1) };
                let _ = self.stack.raw_send(self.raw, None, to, Some(which as u8), &self.buffer[..size]);
                while self.stack.raw_recv(self.raw, &mut self.buffer).is_some() {}
            }
            _ => {}
        }
    }

    /// Time goes by, from deadline to deadline.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        for turn in 0.. {
            assert!(turn < 100_000, "busy without end at {:?}", self.now);
            self.settle();
            let Some(next) = self.stack.next_deadline().filter(|next| *next <= until) else { break };
            self.now = self.now.max(next);
            self.stack.handle_timeout(self.now);
        }
        self.now = until;
    }

    /// Everything that can leave leaves, everything that happened is told.
    fn settle(&mut self) {
        let mut turns = 0;
        while self.stack.poll_transmit(self.now, &mut self.wire, 64) {
            turns += 1;
            assert!(turns < 100_000, "no end of packets at {:?}", self.now);
        }
        let stack = &mut self.stack;
        while stack.tcp_mut().poll_event().is_some() || stack.udp_mut().poll_event().is_some() {}
        while stack.tcp_mut().poll_flow().is_some() || stack.raw_mut().poll_event().is_some() {}
        assert!(stack.reassembly_bytes() <= 2 << 20);
    }

    fn end(mut self) -> Reached {
        for id in std::mem::take(&mut self.connections) {
            self.stack.tcp_abort(self.now, id);
        }
        for id in std::mem::take(&mut self.listeners) {
            self.stack.tcp_mut().close_listener(self.now, id);
        }
        self.pass(LONG);
        let left: Vec<(SocketAddr, State)> =
            self.stack.tcp().connections().map(|connection| (connection.remote, connection.state)).collect();
        assert!(left.is_empty(), "left a day after everything was closed: {left:?}");
        assert_eq!(self.stack.next_deadline(), None, "nothing is left to be done");
        assert_eq!(self.stack.reassembly_bytes(), 0);
        let counters = self.stack.counters();
        Reached {
            established: self.wire.established,
            joined: counters.v4.reasm_oks + counters.v6.reasm_oks,
            answered: self.wire.answered,
            refused: counters.icmp.out_errors + counters.icmpv6.out_errors,
            ..self.reached
        }
    }
}
