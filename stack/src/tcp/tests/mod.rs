//! Segments at virtual time: tables against one TCP, and two TCPs through a bad network.

mod close;
mod cookies;
mod data;
mod details;
mod ecn;
mod events;
mod forward;
mod handshake;
mod loss;
mod mtu;
mod network;
mod options;
mod paths;
mod reset;
mod robustness;
mod timers;
mod transfer;

use core::time::Duration;
use std::net::{IpAddr, SocketAddr};

use super::*;
use crate::egress::{LinkId, Path, Transmit};
use crate::packet::Checksum;
use crate::wire::checksum;
use crate::wire::ip::protocol;
use crate::wire::tcp::{Codepoint, Flags, Options, Timestamps};

const SYN: Flags = Flags::SYN;
const ACK: Flags = Flags::ACK;
const FIN: Flags = Flags::FIN;
const RST: Flags = Flags::RST;

/// The host under test.
fn here(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}

/// Its peer.
fn there(port: u16) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, 2], port))
}

fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// One path to everywhere, or none.
#[derive(Clone, Copy, Debug)]
struct OnePath(Option<Path>);

impl OnePath {
    fn new(mtu: u16, max_super: u16) -> Self {
        OnePath(Some(Path { link: LinkId(0), next_hop: None, mtu, max_super, hop_limit: 64 }))
    }
}

impl Paths for OnePath {
    fn path(&self, _source: IpAddr, _destination: IpAddr) -> Option<Path> {
        self.0
    }
}

/// A packet that left.
#[derive(Clone, Debug)]
struct Sent {
    segment: Segment,
    payload: Vec<u8>,
    piece: Option<u16>,
}

/// Takes packets and checks each: lengths, checksums, offload facts.
struct Capture {
    path: Path,
    sent: Vec<Sent>,
}

impl Egress for Capture {
    fn transmit(&mut self, packet: Transmit<'_>) {
        let mut bytes = packet.header.to_vec();
        packet.payload.iter().for_each(|slice| bytes.extend_from_slice(slice));
        let v4 = bytes[0] >> 4 == 4;
        let header = if v4 { 20 } else { 40 };
        let (source, destination): (IpAddr, IpAddr) = if v4 {
            let at = |from: usize| IpAddr::from(<[u8; 4]>::try_from(&bytes[from..from + 4]).unwrap());
            assert_eq!(usize::from(u16::from_be_bytes([bytes[2], bytes[3]])), bytes.len());
            (at(12), at(16))
        } else {
            let at = |from: usize| IpAddr::from(<[u8; 16]>::try_from(&bytes[from..from + 16]).unwrap());
            (at(8), at(24))
        };
        assert_eq!(destination, packet.destination);
        let transport = &bytes[header..];
        let pseudo = checksum::pseudo_header(source, destination, protocol::TCP, transport.len() as u32);
        match packet.offload.checksum {
            Checksum::Valid => assert_eq!(checksum::fold(pseudo + checksum::sum(transport)), 0xffff),
            Checksum::Partial { start, offset } => {
                assert_eq!((usize::from(start), offset), (header, 16));
                assert_eq!(u16::from_be_bytes([transport[16], transport[17]]), checksum::fold(pseudo));
            }
            Checksum::Unverified => panic!("a packet without checksum"),
        }
        let piece = packet.offload.segmentation.map(|segmentation| segmentation.size);
        let mut segment = Segment::parse(transport, header, source, destination, piece).unwrap();
        let class = if v4 { bytes[1] } else { bytes[0] << 4 | bytes[1] >> 4 };
        segment.ecn = Codepoint::of(class);
        let payload = bytes[segment.payload.clone()].to_vec();
        match piece {
            None => assert!(bytes.len() <= usize::from(self.path.mtu), "{} bytes", bytes.len()),
            Some(size) => {
                assert!(bytes.len() <= usize::from(self.path.max_super) && payload.len() > usize::from(size));
                assert!(bytes.len() - payload.len() + usize::from(size) <= usize::from(self.path.mtu));
            }
        }
        self.sent.push(Sent { segment, payload, piece });
    }
}

/// A TCP with its clock and its path.
struct Host {
    tcp: Tcp,
    pool: Pool,
    now: Instant,
    path: OnePath,
    budget: usize,
}

impl Host {
    fn new(config: TcpConfig) -> Self {
        let path = OnePath::new(1500, 0);
        Host { tcp: Tcp::new(config, 7), pool: Pool::new(8), now: Instant::from_millis(1000), path, budget: 1000 }
    }

    /// What leaves now.
    fn sent(&mut self) -> Vec<Sent> {
        let path =
            self.path.0.unwrap_or(Path { link: LinkId(0), next_hop: None, mtu: 1500, max_super: 0, hop_limit: 64 });
        let mut capture = Capture { path, sent: Vec::new() };
        self.tcp.poll_transmit(self.now, &self.path, &mut capture, self.budget);
        capture.sent
    }

    /// What leaves now: one packet.
    fn one(&mut self) -> Sent {
        let mut sent = self.sent();
        assert_eq!(sent.len(), 1, "{sent:#?}");
        sent.remove(0)
    }

    /// Nothing leaves now.
    fn nothing(&mut self) {
        let sent = self.sent();
        assert!(sent.is_empty(), "{sent:#?}");
    }

    fn inject(&mut self, segment: Segment, payload: &[u8]) {
        let segment = Segment { payload: 0..payload.len(), ..segment };
        self.tcp.receive(self.now, segment, Packet::copy_of(payload), &mut self.pool);
    }

    /// A handshake that `peer` begins with this SYN.
    fn open(&mut self, syn: Segment, peer: &mut Peer) {
        self.inject(syn, &[]);
        let answer = self.one().segment;
        peer.seq += 1;
        peer.ack = answer.seq + 1;
        self.inject(peer.segment(ACK), &[]);
    }

    /// Lets time pass, with timers at their deadlines; returns what left, and when.
    fn wait(&mut self, time: Duration) -> Vec<(Duration, Sent)> {
        let start = self.now;
        let end = self.now + time;
        let mut left = Vec::new();
        loop {
            let sent = self.sent();
            left.extend(sent.into_iter().map(|sent| (self.now.since(start), sent)));
            match self.tcp.next_deadline() {
                Some(at) if at <= end => {
                    self.now = self.now.max(at);
                    self.tcp.handle_timeout(self.now, &mut self.pool);
                }
                _ => break,
            }
        }
        self.now = end;
        left
    }

    fn events(&mut self) -> Vec<TcpEvent> {
        std::iter::from_fn(|| self.tcp.poll_event()).collect()
    }

    fn flows(&mut self) -> Vec<FlowEvent> {
        std::iter::from_fn(|| self.tcp.poll_flow()).collect()
    }

    fn recv(&mut self, id: ConnId) -> Result<Vec<u8>, SocketError> {
        let mut buffer = vec![0; 100_000];
        let count = self.tcp.recv(self.now, id, &mut buffer, &mut self.pool)?;
        buffer.truncate(count);
        Ok(buffer)
    }

    fn send(&mut self, id: ConnId, data: &[u8]) -> Result<usize, SocketError> {
        self.tcp.send(self.now, id, data)
    }

    fn close(&mut self, id: ConnId) {
        self.tcp.close(self.now, id, &mut self.pool);
    }

    /// States of all connections.
    fn states(&self) -> Vec<State> {
        self.tcp.connections().map(|info| info.state).collect()
    }
}

/// The peer of a [`Host`], played by a test.
#[derive(Clone, Copy, Debug)]
struct Peer {
    local: SocketAddr,
    remote: SocketAddr,
    seq: SeqNum,
    ack: SeqNum,
    window: u16,
    timestamps: Option<Timestamps>,
}

impl Peer {
    fn new(remote: SocketAddr, local: SocketAddr) -> Self {
        Peer { local, remote, seq: SeqNum(5000), ack: SeqNum(0), window: 65_535, timestamps: None }
    }

    fn segment(&self, flags: Flags) -> Segment {
        Segment {
            source: self.local,
            destination: self.remote,
            seq: self.seq,
            ack: if flags.ack() { self.ack } else { SeqNum(0) },
            flags,
            window: self.window,
            options: Options { timestamps: self.timestamps, ..Options::default() },
            payload: 0..0,
            pieces: 1,
            ecn: Codepoint::NotEct,
        }
    }

    fn syn(&self) -> Segment {
        let mut syn = self.segment(SYN);
        syn.options.mss = Some(1460);
        syn
    }
}

/// A host that listens on port 60, and a connection to it; without timestamps and SACK unless
/// `options` has them.
struct Served {
    host: Host,
    listener: ListenerId,
    id: ConnId,
    peer: Peer,
}

fn serve(config: TcpConfig) -> (Host, ListenerId, Peer) {
    let mut host = Host::new(config);
    let listener = host.tcp.listen(None, 60, ListenOptions::default()).unwrap();
    (host, listener, Peer::new(here(60), there(2000)))
}

fn served(options: Options) -> Served {
    served_by(TcpConfig::default(), options)
}

fn served_by(config: TcpConfig, options: Options) -> Served {
    let (mut host, listener, mut peer) = serve(config);
    let syn = Segment { options: Options { mss: Some(1460), ..options }, ..peer.syn() };
    host.inject(syn, &[]);
    let answer = host.one().segment;
    assert_eq!(answer.flags, SYN | ACK);
    assert_eq!(answer.ack, peer.seq + 1);
    peer.seq += 1;
    peer.ack = answer.seq + 1;
    peer.timestamps = options.timestamps.map(|stamps| Timestamps {
        value: stamps.value + 1,
        echo: answer.options.timestamps.map_or(0, |stamps| stamps.value),
    });
    host.inject(peer.segment(ACK), &[]);
    let id = host.tcp.accept(listener).unwrap();
    host.nothing();
    Served { host, listener, id, peer }
}

/// Bytes that tell their place.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}
