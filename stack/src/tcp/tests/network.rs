//! Two TCPs, their applications, and a network between them that loses, doubles, delays and
//! reorders, all from one seed.

use std::collections::BTreeMap;

use super::*;
use rand::RngExt;

/// What the network does, in parts of a thousand.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Faults {
    pub(super) loss: u32,
    pub(super) doubling: u32,
    pub(super) reordering: u32,
    /// By how much at most, in milliseconds; zero means 40.
    pub(super) jitter: u64,
    /// Packets that go without delay, past all that are on their way.
    pub(super) overtaking: u32,
    /// Cuts super-segments, as a device does: pieces then fare each for itself.
    pub(super) cutting: bool,
}

/// A hop on the way that is narrower than the hosts' links.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bottleneck {
    /// Bytes per second.
    pub(super) rate: u64,
    /// Bytes that wait at most; what comes then is dropped.
    pub(super) queue: u64,
    /// Bytes that wait, from which on packets are marked that can be (RFC 3168).
    pub(super) mark_from: u64,
}

/// One way between the two.
pub(super) struct Network {
    pub(super) now: Instant,
    pub(super) hosts: [Host; 2],
    pub(super) delay: Duration,
    pub(super) faults: Faults,
    pub(super) bottleneck: Option<Bottleneck>,
    /// Until when the bottleneck sends what it has, each way.
    busy_until: [Instant; 2],
    /// Largest packet that a hop takes, and whether it says so (RFC 1191).
    pub(super) hop_mtu: Option<(u16, bool)>,
    random: Xoshiro256PlusPlus,
    wire: BTreeMap<(Instant, u64), (usize, Segment, Vec<u8>)>,
    serial: u64,
    /// Packets that the network took, retransmissions too.
    pub(super) packets: u64,
    /// Payload bytes that it took.
    pub(super) payload: u64,
}

impl Network {
    pub(super) fn new(configs: [TcpConfig; 2], path: OnePath, seed: u64) -> Self {
        let now = Instant::from_millis(1000);
        let hosts = [0u64, 1].map(|side| {
            let mut host = Host::new(configs[side as usize].clone());
            host.tcp = Tcp::new(configs[side as usize].clone(), seed ^ side);
            host.path = path;
            host
        });
        Network {
            now,
            hosts,
            delay: millis(10),
            faults: Faults::default(),
            bottleneck: None,
            busy_until: [now; 2],
            hop_mtu: None,
            random: Xoshiro256PlusPlus::seed_from_u64(seed),
            wire: BTreeMap::new(),
            serial: 0,
            packets: 0,
            payload: 0,
        }
    }

    fn happens(&mut self, per_mille: u32) -> bool {
        self.random.random_range(0..1000) < per_mille
    }

    /// Moves what waits to leave onto the wire.
    pub(super) fn collect(&mut self) {
        for side in 0..2 {
            self.hosts[side].now = self.now;
            for sent in self.hosts[side].sent() {
                for (segment, payload) in pieces(sent, self.faults.cutting) {
                    self.put(1 - side, segment, payload);
                }
            }
        }
    }

    fn put(&mut self, to: usize, mut segment: Segment, payload: Vec<u8>) {
        self.packets += 1;
        self.payload += payload.len() as u64;
        let length = 20 + segment.header_len() + payload.len();
        if let Some((mtu, tells)) = self.hop_mtu
            && length > usize::from(mtu)
        {
            if tells {
                let host = &mut self.hosts[1 - to];
                let error = IcmpError::PacketTooBig { mtu };
                host.tcp.icmp_error(self.now, segment.source, segment.destination, segment.seq, error, &mut host.pool);
            }
            return;
        }
        if self.happens(self.faults.loss) {
            return;
        }
        let mut leaves = self.now;
        if let Some(Bottleneck { rate, queue, mark_from }) = self.bottleneck {
            let busy = &mut self.busy_until[to];
            let waiting = busy.since(self.now).as_nanos() as u64 * rate / 1_000_000_000;
            if waiting + length as u64 > queue {
                return;
            }
            if waiting >= mark_from && segment.ecn != Codepoint::NotEct {
                segment.ecn = Codepoint::Ce;
            }
            *busy = (*busy).max(self.now) + Duration::from_nanos(length as u64 * 1_000_000_000 / rate);
            leaves = *busy;
        }
        let copies = if self.happens(self.faults.doubling) { 2 } else { 1 };
        for _ in 0..copies {
            let extra =
                if self.happens(self.faults.reordering) { self.random.random_range(0..self.jitter()) } else { 0 };
            let delay = if self.happens(self.faults.overtaking) { Duration::ZERO } else { self.delay };
            self.serial += 1;
            let key = (leaves + delay + millis(extra), self.serial);
            self.wire.insert(key, (to, segment.clone(), payload.clone()));
        }
    }

    fn jitter(&self) -> u64 {
        if self.faults.jitter == 0 { 40 } else { self.faults.jitter }
    }

    /// Goes on to the next thing that happens; `false` if nothing ever will.
    pub(super) fn step(&mut self) -> bool {
        self.collect();
        let arrival = self.wire.first_key_value().map(|(key, _)| key.0);
        let deadlines = self.hosts.iter().filter_map(|host| host.tcp.next_deadline());
        let Some(next) = deadlines.chain(arrival).min() else { return false };
        self.now = self.now.max(next);
        while let Some(entry) = self.wire.first_entry() {
            if entry.key().0 > self.now {
                break;
            }
            let (to, segment, payload) = entry.remove();
            self.hosts[to].now = self.now;
            self.hosts[to].inject(segment, &payload);
        }
        for host in &mut self.hosts {
            host.now = self.now;
            host.tcp.handle_timeout(self.now, &mut host.pool);
        }
        true
    }
}

/// The segments that a packet stands for on the wire, or the packet itself.
pub(super) fn pieces(sent: Sent, cut: bool) -> Vec<(Segment, Vec<u8>)> {
    let Some(size) = sent.piece.filter(|_| cut) else { return vec![(sent.segment, sent.payload)] };
    let last = sent.payload.len().div_ceil(usize::from(size)) - 1;
    let cut = sent.payload.chunks(usize::from(size)).enumerate().map(|(index, chunk)| {
        let mut segment = sent.segment.clone();
        segment.seq += index as u32 * u32::from(size);
        segment.pieces = 1;
        if index != last {
            segment.flags = segment.flags.without(Flags::FIN | Flags::PSH);
        }
        (segment, chunk.to_vec())
    });
    cut.collect()
}

/// An application that sends `to_send`, closes its side, reads to the end, and closes. It calls
/// again only after an event.
pub(super) struct App {
    id: ConnId,
    pub(super) to_send: Vec<u8>,
    sent: usize,
    pub(super) received: Vec<u8>,
    read_size: usize,
    may_read: bool,
    may_write: bool,
    pub(super) at_end: bool,
    shut: bool,
    pub(super) done: bool,
    pub(super) error: Option<SocketError>,
}

impl App {
    pub(super) fn new(id: ConnId, to_send: Vec<u8>, read_size: usize) -> Self {
        App {
            id,
            to_send,
            sent: 0,
            received: Vec::new(),
            read_size,
            may_read: true,
            may_write: true,
            at_end: false,
            shut: false,
            done: false,
            error: None,
        }
    }

    pub(super) fn heard(&mut self, event: TcpEvent) {
        match event {
            TcpEvent::Readable(id) if id == self.id => self.may_read = true,
            TcpEvent::Writable(id) if id == self.id => self.may_write = true,
            TcpEvent::Closed(id, reason) if id == self.id => self.error = Some(reason.into()),
            _ => {}
        }
    }

    pub(super) fn run(&mut self, host: &mut Host) {
        if self.done {
            return;
        }
        while self.may_write && self.sent < self.to_send.len() {
            match host.send(self.id, &self.to_send[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(SocketError::WouldBlock) => self.may_write = false,
                Err(error) => {
                    self.error = Some(error);
                    self.may_write = false;
                }
            }
        }
        if self.sent == self.to_send.len() && !self.shut {
            host.tcp.shutdown_write(host.now, self.id);
            self.shut = true;
        }
        while self.may_read && !self.at_end {
            let mut buffer = vec![0; self.read_size];
            match host.tcp.recv(host.now, self.id, &mut buffer, &mut host.pool) {
                Ok(0) => self.at_end = true,
                Ok(count) => self.received.extend_from_slice(&buffer[..count]),
                Err(SocketError::WouldBlock) => self.may_read = false,
                Err(error) => {
                    self.error = Some(error);
                    self.may_read = false;
                }
            }
        }
        if self.error.is_some() || (self.at_end && self.shut) {
            host.close(self.id);
            self.done = true;
        }
    }
}

/// Connects the two hosts and runs an application on each until both are done and nothing is left.
/// Host 1 listens. Returns the applications and how long it took until both were done.
pub(super) fn exchange(
    network: &mut Network,
    data: [Vec<u8>; 2],
    read_sizes: [usize; 2],
    limit: Duration,
) -> (App, App, Duration) {
    let start = network.now;
    let listener = network.hosts[1].tcp.listen(None, 60, ListenOptions::default()).unwrap();
    let [first, second] = data;
    let id = network.hosts[0].tcp.connect(network.now, here(0), there(60)).unwrap();
    let mut client = App::new(id, first, read_sizes[0]);
    let mut server = None;
    let mut second = Some(second);
    assert_eq!(network.hosts[1].tcp.accept(listener), None);
    let mut took = None;
    loop {
        for event in network.hosts[0].events() {
            client.heard(event);
        }
        client.run(&mut network.hosts[0]);
        for event in network.hosts[1].events() {
            if event == TcpEvent::Acceptable(listener) {
                let id = network.hosts[1].tcp.accept(listener).unwrap();
                server = Some(App::new(id, second.take().unwrap(), read_sizes[1]));
            }
            if let Some(server) = &mut server {
                server.heard(event);
            }
        }
        if let Some(server) = &mut server {
            server.run(&mut network.hosts[1]);
        }
        let done = client.done && server.as_ref().is_some_and(|server| server.done);
        if done && took.is_none() {
            took = Some(network.now.since(start));
        }
        assert!(done || network.now.since(start) < limit, "not done in {limit:?}");
        if !network.step() {
            assert!(took.is_some(), "stuck: {:?}", network.hosts[0].states());
            break;
        }
    }
    (client, server.unwrap(), took.unwrap())
}
