//! The stack with its device, its clock and its sockets.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use stack::home::Kind;
use stack::packet::SegmentKind;
use stack::route::{Link, Route};
use stack::{Checksum, Config, Egress, Instant, LinkId, Packet, Segmentation, Stack, Transmit};

use crate::device;
use crate::epoll::Epoll;
use crate::settings::{self, Flags};
use crate::socket::Socket;

/// The device.
const LINK: LinkId = LinkId(0);
/// Packets that one turn of the stack may send.
const BUDGET: usize = 256;
/// When the virtual clock starts.
const START: Instant = Instant::from_millis(1000);

/// A packet that has left, and when.
pub type Sent = (Instant, Vec<u8>);

/// See the module.
#[derive(Debug)]
pub struct World {
    /// The stack under test, once the first socket or packet needs it: before that the script has
    /// not run its `sysctl` yet.
    stack: Option<Box<Stack>>,
    flags: Flags,
    now: Instant,
    sent: VecDeque<Sent>,
    /// Sockets by file descriptor.
    pub sockets: BTreeMap<i32, Socket>,
    /// Epoll instances by file descriptor.
    pub epolls: BTreeMap<i32, Epoll>,
}

struct Device<'a> {
    now: Instant,
    sent: &'a mut VecDeque<Sent>,
}

impl Egress for Device<'_> {
    fn transmit(&mut self, packet: Transmit<'_>) {
        let payload = packet.payload.concat();
        let piece = packet.offload.segmentation.map_or(payload.len(), |segmentation| usize::from(segmentation.size));
        let pieces: Vec<&[u8]> = if payload.is_empty() { vec![&[]] } else { payload.chunks(piece.max(1)).collect() };
        let last = pieces.len() - 1;
        for (index, bytes) in pieces.into_iter().enumerate() {
            let whole = device::piece(packet.header, bytes, index * piece, index == last);
            self.sent.push_back((self.now, whole));
        }
    }
}

/// The device as the stack sees it: how much goes at once is the stack's own to say.
fn link(mtu: u16) -> Link {
    Link { id: LINK, name: "packetdrill".into(), mtu, max_super: u16::MAX }
}

impl World {
    /// A world in which nothing has happened.
    pub fn new(flags: Flags) -> Self {
        World {
            stack: None,
            flags,
            now: START,
            sent: VecDeque::new(),
            sockets: BTreeMap::new(),
            epolls: BTreeMap::new(),
        }
    }

    /// The virtual time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The stack.
    pub fn stack(&mut self) -> &mut Stack {
        let flags = self.flags;
        self.stack.get_or_insert_with(|| {
            let config = Config { tcp: settings::tcp_config(), ..Config::default() };
            let mut stack = Box::new(Stack::new(config, 0x5eed));
            stack.home_mut().add(flags.local, flags.prefix, Kind::Link);
            stack.routes_mut().add_link(link(flags.mtu));
            stack.routes_mut().replace(Route::default_for(flags.local, LINK, None));
            stack
        })
    }

    /// The stack's own address.
    pub fn local(&self) -> IpAddr {
        self.flags.local
    }

    /// The MSS of the device.
    pub fn mss(&self) -> u16 {
        self.flags.mss()
    }

    /// Lets everything leave that is ready, and tells the epoll instances what has happened.
    pub fn pump(&mut self) {
        let World { stack: Some(stack), flags, now, sent, .. } = self else { return };
        let mtu = settings::route_mtu().map_or(flags.mtu, |mtu| mtu.min(flags.mtu));
        if stack.routes_mut().links().iter().any(|link| link.mtu != mtu) {
            stack.routes_mut().add_link(link(mtu));
        }
        while stack.poll_transmit(*now, &mut Device { now: *now, sent }, BUDGET) {}
        // Sockets are asked for their state; the events say no more.
        while stack.tcp_mut().poll_event().is_some() {}
        self.notice_readiness();
    }

    /// A packet comes in from the device.
    pub fn inject(&mut self, bytes: &[u8]) {
        let now = self.now;
        let mut packet = Packet::copy_of(bytes);
        packet.offload.checksum = Checksum::Unverified;
        packet.offload.segmentation = self.piece_of(bytes);
        self.stack().receive(now, LINK, packet);
        self.pump();
        self.tell_counters();
    }

    /// What a TCP packet from the device is put together of (GRO), as packetdrill tells the kernel's device.
    fn piece_of(&self, packet: &[u8]) -> Option<Segmentation> {
        let (at, kind) = match packet.first()? >> 4 {
            4 => (9, SegmentKind::TcpV4),
            _ => (6, SegmentKind::TcpV6),
        };
        let tcp = packet.get(at).is_some_and(|protocol| i32::from(*protocol) == libc::IPPROTO_TCP);
        self.flags.piece.filter(|_| tcp).map(|size| Segmentation { kind, size })
    }

    /// Writes TCP's counters where `nstat` looks for them, if the environment says where that is.
    fn tell_counters(&mut self) {
        let Some(file) = std::env::var_os("PROC_NET_NETSTAT") else { return };
        let (mut names, mut values) = ("TcpExt:".to_owned(), "TcpExt:".to_owned());
        for (name, value) in self.stack().tcp().counters().iter() {
            names += &format!(" {name}");
            values += &format!(" {value}");
        }
        // A script that asks for counters and finds none says so itself.
        let _ = std::fs::write(file, format!("{names}\n{values}\n"));
    }

    /// The next packet that has left.
    pub fn take_sent(&mut self) -> Option<Sent> {
        self.sent.pop_front()
    }

    /// When the stack has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.stack.as_ref()?.next_deadline()
    }

    /// Goes to `at`, which is not beyond the next deadline, and does what is due then.
    pub fn go_to(&mut self, at: Instant) {
        self.now = self.now.max(at);
        let now = self.now;
        if self.next_deadline().is_some_and(|due| due <= now) {
            self.stack().handle_timeout(now);
            self.pump();
        }
    }
}
