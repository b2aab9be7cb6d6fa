//! Frames that are right but for what the fuzzer changes.

use std::net::IpAddr;

use stack::wire::checksum;
use stack::wire::datagram::Datagram;
use stack::wire::ip::protocol;

use crate::support::*;

/// Puts lengths and checksums right, as far as the bytes are a packet at all, so that what is behind
/// them is reached.
pub fn repair(bytes: &mut [u8]) {
    match bytes.first().map(|byte| byte >> 4) {
        Some(4) if bytes.len() >= 20 => {
            let header = usize::from(bytes[0] & 15) * 4;
            if !(20..=bytes.len()).contains(&header) {
                return;
            }
            let total = bytes.len() as u16;
            bytes[2..4].copy_from_slice(&total.to_be_bytes());
            bytes[10..12].fill(0);
            let sum = !checksum::fold(checksum::sum(&bytes[..header]));
            bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        Some(6) if bytes.len() >= 40 => {
            let payload = (bytes.len() - 40) as u16;
            bytes[4..6].copy_from_slice(&payload.to_be_bytes());
        }
        _ => return,
    }
    let Ok(datagram) = Datagram::parse(bytes) else { return };
    let Datagram { source, destination, protocol, ref payload, .. } = datagram;
    if datagram.is_fragment() {
        return;
    }
    let transport = &mut bytes[payload.clone()];
    let field = match protocol {
        protocol::TCP => 16,
        protocol::UDP => 6,
        protocol::ICMP | protocol::ICMPV6 => 2,
        _ => return,
    };
    if transport.len() < field + 2 {
        return;
    }
    if protocol == protocol::UDP && transport.len() >= 8 {
        let length = transport.len() as u16;
        transport[4..6].copy_from_slice(&length.to_be_bytes());
    }
    transport[field..field + 2].fill(0);
    let pseudo = match protocol {
        protocol::ICMP => 0,
        _ => checksum::pseudo_header(source, destination, protocol, transport.len() as u32),
    };
    let sum = !checksum::fold(pseudo + checksum::sum(transport));
    transport[field..field + 2].copy_from_slice(&sum.to_be_bytes());
}

/// TCP options that a segment can have: a few right ones, and a few that no sender would write.
pub fn options(which: u8, near: u32) -> Vec<u8> {
    let block =
        |from: u32, to: u32| [near.wrapping_add(from).to_be_bytes(), near.wrapping_add(to).to_be_bytes()].concat();
    match which % 12 {
        0 => vec![],
        1 => vec![2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7],
        2 => vec![2, 4, 0, 1],
        3 => vec![1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 1],
        4 => [&[1, 1, 5, 10][..], &block(1000, 2000)].concat(),
        5 => [&[1, 1, 5, 18][..], &block(0, 1), &block(u32::MAX, 5)].concat(),
        6 => vec![3, 3, 15, 0],
        7 => vec![2, 0, 0, 0],
        8 => vec![5, 40, 0, 0],
        9 => vec![8, 10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0],
        10 => [&[1, 1, 5, 34][..], &block(1, 2), &block(3, 4), &block(5, 6), &block(2, 7)].concat(),
        _ => vec![1; 40],
    }
}

/// A TCP segment.
#[derive(Clone, Copy, Debug)]
pub struct Tcp<'a> {
    pub ends: (IpAddr, u16, IpAddr, u16),
    pub seq: u32,
    pub ack: u32,
    pub flags: u8,
    pub window: u16,
    pub options: &'a [u8],
    pub payload: usize,
}

impl Tcp<'_> {
    pub fn packet(&self) -> Vec<u8> {
        let (from, from_port, to, to_port) = self.ends;
        let mut body = [from_port.to_be_bytes(), to_port.to_be_bytes()].concat();
        body.extend_from_slice(&self.seq.to_be_bytes());
        body.extend_from_slice(&self.ack.to_be_bytes());
        let words = 5 + self.options.len().div_ceil(4) as u8;
        body.extend_from_slice(&[words << 4, self.flags]);
        body.extend_from_slice(&self.window.to_be_bytes());
        body.extend_from_slice(&[0; 4]);
        body.extend_from_slice(self.options);
        body.resize(usize::from(words) * 4, 0);
        body.resize(body.len() + self.payload, 0x55);
        let mut bytes = packet(from, to, protocol::TCP, &body);
        repair(&mut bytes);
        bytes
    }
}
