//! What leaves: the stack's own packets and those that it passes on, cut where a link is narrow.

use std::collections::VecDeque;
use std::net::IpAddr;

use super::input::family;
use super::{LOOPED, Stack};
use crate::counters::Counters;
use crate::egress::{Egress, Path, Paths, Transmit};
use crate::home::{HomeList, Kind};
use crate::packet::{Offload, Packet, Pool};
use crate::route::Routes;
use crate::time::Instant;
use crate::wire::datagram::Datagram;
use crate::wire::extension::header;
use crate::wire::{ip, options, segment};

/// A packet that waits to leave.
#[derive(Debug)]
pub(super) struct Outgoing {
    packet: Packet,
    forwarded: bool,
}

impl Stack {
    pub(super) fn enqueue(&mut self, packet: Packet) {
        self.counters.ip(family(&packet)).out_requests += 1;
        self.push(Outgoing { packet, forwarded: false });
    }

    pub(super) fn enqueue_forwarded(&mut self, packet: Packet) {
        self.push(Outgoing { packet, forwarded: true });
    }

    fn push(&mut self, outgoing: Outgoing) {
        let bytes = outgoing.packet.footprint();
        if self.queue.len() >= self.config.max_queue || self.queue_bytes + bytes > self.config.max_queue_bytes {
            self.counters.ip(family(&outgoing.packet)).out_discards += 1;
            self.pool.give(outgoing.packet);
        } else {
            self.queue_bytes += bytes;
            self.queue.push_back(outgoing);
        }
    }

    /// Lets up to about `budget` packets leave; `true` if more wait.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut dyn Egress, budget: usize) -> bool {
        for _ in 0..budget {
            let Some(outgoing) = self.queue.pop_front() else { break };
            self.queue_bytes -= outgoing.packet.footprint();
            self.send_queued(now, outgoing, out);
        }
        let Stack { tcp, routes, home, looped, pool, counters, config, .. } = self;
        let ways = Ways { home, routes, hop_limit: config.hop_limit };
        let mut sorter = Sorter { home, looped, pool, counters, room: config.max_queue, out };
        let mut more = tcp.poll_transmit(now, &ways, &mut sorter, budget);
        more |= !self.queue.is_empty();
        for _ in 0..self.looped.len() {
            let Some(packet) = self.looped.pop_front() else { break };
            self.receive(now, LOOPED, packet);
            more = true;
        }
        more
    }

    fn send_queued(&mut self, now: Instant, Outgoing { mut packet, forwarded }: Outgoing, out: &mut dyn Egress) {
        let Ok(datagram) = Datagram::parse(packet.bytes()) else { return self.pool.give(packet) };
        if self.home.contains(datagram.destination) {
            if self.looped.len() < self.config.max_queue {
                self.looped.push_back(packet);
            } else {
                self.counters.ip(datagram.source).out_discards += 1;
            }
            return;
        }
        let Some(path) = self.routes.path(datagram.source, datagram.destination) else {
            self.counters.ip(datagram.source).out_no_routes += 1;
            return self.pool.give(packet);
        };
        let mtu = match forwarded {
            true => path.mtu,
            false => self.path_mtus.limit(now, datagram.destination, path.mtu),
        };
        if packet.len() <= usize::from(mtu) || packet.offload.segmentation.is_some() {
            let (header, payload) = packet.bytes().split_at(datagram.payload.start);
            self.counters.ip(datagram.source).out_transmits += 1;
            out.transmit(transmit(&datagram, &path, header, &[payload], packet.offload));
        } else if segment::complete_checksum(&mut packet) {
            let counters = self.counters.ip(datagram.source);
            counters.out_frag_reqds += 1;
            match self.fragment(&packet, &datagram, &path, mtu, out) {
                0 => self.counters.ip(datagram.source).out_frag_fails += 1,
                count => {
                    let counters = self.counters.ip(datagram.source);
                    counters.out_frag_oks += 1;
                    counters.out_frag_creates += count;
                    counters.out_transmits += count;
                }
            }
        }
        self.pool.give(packet);
    }

    /// RFC 791; RFC 8200, section 4.5, where only the source may: fragments of a multiple of eight
    /// bytes. Returns how many.
    fn fragment(&mut self, packet: &Packet, datagram: &Datagram, path: &Path, mtu: u16, out: &mut dyn Egress) -> u64 {
        let (bytes, ipv4) = (packet.bytes(), datagram.source.is_ipv4());
        // No packet of the stack's own has extension headers.
        let split = if ipv4 { datagram.payload.start } else { 40 };
        let (first, payload) = (&bytes[..split], &bytes[split..datagram.payload.end]);
        let overhead = split + if ipv4 { 0 } else { 8 };
        let size = usize::from(mtu).saturating_sub(overhead) & !7;
        if size == 0 || payload.is_empty() {
            return 0;
        }
        let identification = match ipv4 && datagram.is_fragment() {
            // It is cut once more.
            true => datagram.identification,
            false => self.identifications.next(datagram.source, datagram.destination),
        };
        let before = if ipv4 { datagram.fragment_offset as usize } else { 0 };
        let last = payload.len().div_ceil(size) - 1;
        let mut front = Vec::with_capacity(overhead);
        for (index, part) in payload.chunks(size).enumerate() {
            let (offset, more) = (index * size, index < last || ipv4 && datagram.more_fragments);
            front.clear();
            front.extend_from_slice(first);
            if ipv4 {
                if index > 0 {
                    options::keep_copied(&mut front);
                }
                front[4..6].copy_from_slice(&(identification as u16).to_be_bytes());
                ip::set_fragment(&mut front, before + offset, more, part.len());
            } else {
                let length = u16::try_from(8 + part.len()).unwrap_or(u16::MAX);
                front[4..6].copy_from_slice(&length.to_be_bytes());
                front.extend_from_slice(&[front[6], 0]);
                front[6] = header::FRAGMENT;
                // A multiple of eight: the three low bits are free.
                let field = u16::try_from(offset).unwrap_or(0xfff8) | u16::from(more);
                front.extend_from_slice(&field.to_be_bytes());
                front.extend_from_slice(&identification.to_be_bytes());
            }
            out.transmit(transmit(datagram, path, &front, &[part], Offload::default()));
        }
        last as u64 + 1
    }
}

fn transmit<'a>(
    datagram: &Datagram,
    path: &Path,
    header: &'a [u8],
    payload: &'a [&'a [u8]],
    offload: Offload,
) -> Transmit<'a> {
    let Path { link, next_hop, .. } = *path;
    Transmit { destination: datagram.destination, link, next_hop, header, payload, offload }
}

/// The routes, and where there is none, the way to an own address: it is here whatever links there are.
struct Ways<'a> {
    home: &'a HomeList,
    routes: &'a Routes,
    hop_limit: u8,
}

/// What goes to an own address by no link is as large as on most links: for a DVIPA, XCF may have to carry it.
const LOOP_MTU: u16 = 1500;

impl Paths for Ways<'_> {
    fn path(&self, source: IpAddr, destination: IpAddr) -> Option<Path> {
        self.routes.path(source, destination).or_else(|| {
            let here = Path { link: LOOPED, next_hop: None, mtu: LOOP_MTU, max_super: 0, hop_limit: self.hop_limit };
            self.home.contains(destination).then_some(here)
        })
    }
}

/// Keeps segments to the addresses that are this stack's alone inside.
struct Sorter<'a> {
    home: &'a HomeList,
    looped: &'a mut VecDeque<Packet>,
    pool: &'a mut Pool,
    counters: &'a mut Counters,
    room: usize,
    out: &'a mut dyn Egress,
}

impl Egress for Sorter<'_> {
    fn transmit(&mut self, packet: Transmit<'_>) {
        let counters = self.counters.ip(packet.destination);
        counters.out_requests += 1;
        match self.home.kind(packet.destination) {
            // Others may have a DVIPA as well: where this goes, the VIPA function knows.
            None | Some(Kind::Dvipa | Kind::InternalDvipa) => {
                counters.out_transmits += 1;
                return self.out.transmit(packet);
            }
            Some(Kind::Link | Kind::Xcf) => {}
        }
        if self.looped.len() >= self.room {
            counters.out_discards += 1;
            return;
        }
        let mut copy = self.pool.take();
        packet.copy_into(&mut copy);
        self.looped.push_back(copy);
    }
}
