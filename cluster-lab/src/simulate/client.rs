//! The client side: one stack of our own, its connections, and what each of them expects. Every byte
//! that comes back is compared with what was sent.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use stack::home::Kind;
use stack::route::{Link, Route};
use stack::tcp::{CloseReason, ConnId, ListenOptions, ListenerId, SocketError, State, TcpConfig, TcpEvent};
use stack::{Egress, Instant, Packet, Stack, Transmit};

use super::image::NETWORK;

/// Port of the client's own server, for connections from DVIPAs.
pub(super) const SERVER: u16 = 7000;

/// One connection to a DVIPA, from its beginning to its end.
#[derive(Debug)]
pub(super) struct Session {
    pub id: ConnId,
    pub local: SocketAddr,
    pub server: SocketAddr,
    pub connected: bool,
    /// Bytes that the application wants to have sent, that TCP took, and that came back.
    pub wanted: u64,
    pub sent: u64,
    pub received: u64,
    /// This side has said that it sends no more.
    shut: bool,
    /// The server has sent everything.
    pub finished: bool,
    /// Closed or aborted by this side.
    pub given_up: bool,
    pub failed: Option<CloseReason>,
    /// What came back was not what was sent.
    pub corrupted: Option<u64>,
}

impl Session {
    /// Whether it should still be alive as far as the client is concerned.
    pub fn expects_life(&self) -> bool {
        self.connected && !self.given_up && !self.finished
    }
}

/// The byte at a place of a connection's stream.
fn byte(local: SocketAddr, at: u64) -> u8 {
    (at.wrapping_mul(31) ^ (at >> 8) ^ u64::from(local.port())) as u8
}

pub(super) struct Client {
    pub stack: Stack,
    pub address: IpAddr,
    pub sessions: Vec<Session>,
    by_index: BTreeMap<usize, usize>,
    listener: Option<ListenerId>,
    accepted: BTreeMap<usize, (ConnId, Vec<u8>)>,
    pub out: Vec<Vec<u8>>,
}

impl Client {
    pub fn new(tcp: TcpConfig, seed: u64) -> Client {
        let address = IpAddr::from([198, 51, 100, 1]);
        let mut stack = Stack::new(stack::Config { tcp, pool: 8, ..stack::Config::default() }, seed);
        stack.home_mut().add(address, 32, Kind::Link);
        stack.routes_mut().add_link(Link { id: NETWORK, name: "NETWORK".into(), mtu: 1500, max_super: 0 });
        stack.routes_mut().replace(Route::default_for(address, NETWORK, None));
        let listener = stack.tcp_mut().listen(None, SERVER, ListenOptions::default()).ok();
        let (by_index, accepted) = (BTreeMap::new(), BTreeMap::new());
        let mut client = Client { stack, address, sessions: Vec::new(), by_index, listener, accepted, out: Vec::new() };
        // Who has not asked yet is not told.
        client.accept(Instant::ZERO);
        client
    }

    /// Connects, from `local` or a port of the stack's choice. The session's number.
    pub fn connect(&mut self, now: Instant, local: Option<SocketAddr>, server: SocketAddr) -> Option<usize> {
        let id = self.stack.tcp_connect(now, local, server).ok()?;
        let local = self.stack.tcp().local_addr(id).ok()?;
        self.by_index.insert(id.index(), self.sessions.len());
        self.sessions.push(Session {
            id,
            local,
            server,
            connected: false,
            wanted: 0,
            sent: 0,
            received: 0,
            shut: false,
            finished: false,
            given_up: false,
            failed: None,
            corrupted: None,
        });
        self.settle(now);
        Some(self.sessions.len() - 1)
    }

    /// Has a session send `count` bytes more.
    pub fn send(&mut self, now: Instant, session: usize, count: u64) {
        if let Some(session) = self.sessions.get_mut(session).filter(|session| !session.shut && !session.given_up) {
            session.wanted += count;
            let id = session.id;
            self.pump(now, id);
            self.settle(now);
        }
    }

    pub fn half_close(&mut self, now: Instant, session: usize) {
        if let Some(session) = self.sessions.get_mut(session).filter(|session| session.expects_life()) {
            // Only once everything is with TCP: the stream ends behind it.
            if session.sent == session.wanted && !session.shut {
                session.shut = true;
                self.stack.tcp_mut().shutdown_write(now, session.id);
                self.settle(now);
            }
        }
    }

    pub fn close(&mut self, now: Instant, session: usize, abort: bool) {
        if let Some(session) = self.sessions.get_mut(session).filter(|session| !session.given_up) {
            session.given_up = true;
            let id = session.id;
            if abort {
                self.stack.tcp_abort(now, id);
            } else {
                self.stack.tcp_close(now, id);
            }
            self.settle(now);
        }
    }

    /// What the client's TCP knows of a connection.
    pub fn state(&self, session: usize) -> Option<State> {
        self.stack.tcp().state(self.sessions.get(session)?.id).ok()
    }

    pub fn receive(&mut self, now: Instant, bytes: &[u8]) {
        self.stack.receive(now, NETWORK, Packet::copy_of(bytes));
        self.settle(now);
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        self.stack.handle_timeout(now);
        self.settle(now);
    }

    fn settle(&mut self, now: Instant) {
        loop {
            let mut quiet = true;
            while self.stack.tcp_mut().poll_flow().is_some() {}
            while let Some(event) = self.stack.tcp_mut().poll_event() {
                quiet = false;
                match event {
                    TcpEvent::Acceptable(_) => self.accept(now),
                    TcpEvent::Connected(id) => {
                        if let Some(session) = self.session(id) {
                            session.connected = true;
                        }
                        self.pump(now, id);
                    }
                    TcpEvent::Readable(id) | TcpEvent::Writable(id) => self.pump(now, id),
                    TcpEvent::Closed(id, reason) => {
                        if let Some(session) = self.session(id) {
                            session.failed.get_or_insert(reason);
                        }
                    }
                }
            }
            let sent = self.stack.poll_transmit(now, &mut Out(&mut self.out), 64);
            if quiet && !sent {
                return;
            }
        }
    }

    fn session(&mut self, id: ConnId) -> Option<&mut Session> {
        let index = self.by_index.get(&id.index())?;
        self.sessions.get_mut(*index).filter(|session| session.id == id)
    }

    fn pump(&mut self, now: Instant, id: ConnId) {
        let Some(index) = self.by_index.get(&id.index()).copied() else { return self.echo(now, id) };
        let session = &mut self.sessions[index];
        if session.id != id {
            return self.echo(now, id);
        }
        while session.connected && session.sent < session.wanted {
            let count = (session.wanted - session.sent).min(4096);
            let data: Vec<u8> = (session.sent..session.sent + count).map(|at| byte(session.local, at)).collect();
            match self.stack.tcp_mut().send(now, id, &data) {
                Ok(count) => session.sent += count as u64,
                Err(_) => break,
            }
        }
        let mut buffer = [0; 4096];
        loop {
            match self.stack.tcp_recv(now, id, &mut buffer) {
                Ok(0) => {
                    session.finished = true;
                    return;
                }
                Ok(count) => {
                    for (at, got) in (session.received..).zip(&buffer[..count]) {
                        if *got != byte(session.local, at) || at >= session.sent {
                            session.corrupted.get_or_insert(at);
                        }
                    }
                    session.received += count as u64;
                }
                Err(SocketError::Ended(reason)) => {
                    session.failed.get_or_insert(reason);
                    return;
                }
                Err(_) => return,
            }
        }
    }

    fn accept(&mut self, now: Instant) {
        let Some(listener) = self.listener else { return };
        while let Some(id) = self.stack.tcp_mut().accept(listener) {
            self.accepted.insert(id.index(), (id, Vec::new()));
            self.by_index.remove(&id.index());
            self.echo(now, id);
        }
    }

    /// The client's own server sends back what it gets.
    fn echo(&mut self, now: Instant, id: ConnId) {
        let Some((_, pending)) = self.accepted.get_mut(&id.index()).filter(|(known, _)| *known == id) else { return };
        let mut buffer = [0; 512];
        while let Ok(count @ 1..) = self.stack.tcp_recv(now, id, &mut buffer) {
            pending.extend_from_slice(&buffer[..count]);
        }
        if let Ok(count) = self.stack.tcp_mut().send(now, id, pending) {
            pending.drain(..count);
        }
    }
}

struct Out<'a>(&'a mut Vec<Vec<u8>>);

impl Egress for Out<'_> {
    fn transmit(&mut self, packet: Transmit<'_>) {
        let mut bytes = Vec::with_capacity(packet.len());
        bytes.extend(packet.header);
        packet.payload.iter().for_each(|part| bytes.extend_from_slice(part));
        self.0.push(bytes);
    }
}
