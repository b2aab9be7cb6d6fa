//! The network link of an image: a TUN device, or one in memory.

mod memory;
mod vnet;

pub use memory::Memory;

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::task::{Context, Poll, ready};

use stack::wire::segment;
use stack::{Packet, Transmit};
use tokio::io::unix::AsyncFd;

use crate::sys;

/// Where TUN devices come from.
pub const TUN: &str = "/dev/net/tun";

/// Has the kernel put a number that is free in the place of `%d`.
const UNNAMED: &str = "cluster-lab%d";

/// Largest super-segment that an offloading TUN takes, IP header included.
const MAX_SUPER: u16 = 65_000;

/// How packets and offload facts cross a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// With a vnet header: super-segments and unfinished checksums both ways.
    Offload,
    /// Bare IP packets.
    Plain,
}

/// New TUN devices, which go with this unless they are kept.
#[derive(Debug, Default)]
pub struct Passing(Vec<tun_tap::Iface>);

impl Passing {
    /// Makes one more; returns its name, which no other device has.
    ///
    /// # Errors
    /// No /dev/net/tun, or no right to use it.
    pub fn make(&mut self) -> io::Result<String> {
        let device = tun_tap::Iface::without_packet_info(UNNAMED, tun_tap::Mode::Tun)?;
        let name = device.name().to_owned();
        self.0.push(device);
        Ok(name)
    }

    /// They stay from now on, after this process too; [`Tun::attach`] opens them.
    ///
    /// # Errors
    /// If one cannot stay: then none does.
    pub fn keep(self) -> io::Result<()> {
        let kept = self.0.iter().try_for_each(|device| sys::set_persistent(device, true));
        if kept.is_err() {
            // One that was not yet to stay cannot be told anything worse.
            self.0.iter().for_each(|device| drop(sys::set_persistent(device, false)));
        }
        kept
    }
}

/// Why a device cannot be opened, with the remedy.
pub fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => {
            format!("{TUN} is missing: load the module with 'modprobe tun', or give the container that device")
        }
        io::ErrorKind::PermissionDenied => {
            format!("{TUN} may not be opened: run as root, or open it to everybody with 'chmod 666 {TUN}' as root")
        }
        _ => format!("a TUN device cannot be opened: {error}"),
    }
}

/// A network link.
pub trait Device: Send {
    /// Largest super-segment it takes; 0 if it takes none.
    fn max_super(&self) -> u16;

    /// The next packet, with its offload facts.
    ///
    /// # Errors
    /// When the device is gone.
    fn poll_recv(&mut self, cx: &mut Context<'_>, packet: &mut Packet) -> Poll<io::Result<()>>;

    /// Sends a packet of the stack's own, or counts it as discarded.
    fn send(&mut self, packet: Transmit<'_>);

    /// Sends a packet on behalf of another stack, with the offload facts that came with it.
    fn send_packet(&mut self, packet: &mut Packet);
}

/// The bytes of a packet to be sent, as one owned packet.
fn gather(packet: &Transmit<'_>) -> Packet {
    let mut whole = Packet::full_size();
    let mut len = 0;
    for part in std::iter::once(&packet.header).chain(packet.payload) {
        whole.room(0)[len..len + part.len()].copy_from_slice(part);
        len += part.len();
    }
    whole.filled(len);
    whole.offload = packet.offload;
    whole
}

/// An open TUN device.
#[derive(Debug)]
pub struct Tun {
    file: AsyncFd<File>,
    mode: Mode,
    /// Packets that the kernel did not take.
    pub discards: u64,
}

impl Tun {
    /// Opens the existing device `name`, with offload if the kernel has it.
    ///
    /// # Errors
    /// No such device, or another process has it.
    pub fn attach(name: &str, mode: Mode) -> io::Result<Tun> {
        let open = || OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(TUN);
        let flags = libc::IFF_TUN | libc::IFF_NO_PI;
        let mut file = open()?;
        let mut mode = mode;
        if mode == Mode::Offload && sys::attach(&file, name, flags | libc::IFF_VNET_HDR).is_err() {
            mode = Mode::Plain;
            file = open()?;
        }
        if mode == Mode::Plain {
            sys::attach(&file, name, flags)?;
        } else {
            // Without offload the header stays, and says that there is nothing to do.
            sys::set_offload(&file, libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6)?;
        }
        Ok(Tun { file: sys::watch(file)?, mode, discards: 0 })
    }

    /// Without offload: what the device cannot do is done here.
    fn send_plain(&mut self, packet: &mut Packet) {
        let mut file = self.file.get_ref();
        if let Some(segmentation) = packet.offload.segmentation {
            let mut lost = 0;
            let split = segment::split(packet.bytes(), segmentation.size, |piece| {
                lost += u64::from(file.write(piece).is_err());
            });
            self.discards += lost + u64::from(!split);
        } else if segment::complete_checksum(packet) {
            let sent = file.write(packet.bytes());
            self.count(sent);
        } else {
            self.discards += 1;
        }
    }

    fn count(&mut self, sent: io::Result<usize>) {
        // A TUN takes packets whole, or not at all.
        self.discards += u64::from(sent.is_err());
    }
}

impl Device for Tun {
    fn max_super(&self) -> u16 {
        match self.mode {
            Mode::Offload => MAX_SUPER,
            Mode::Plain => 0,
        }
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>, packet: &mut Packet) -> Poll<io::Result<()>> {
        let before = match self.mode {
            Mode::Offload => vnet::LEN,
            Mode::Plain => 0,
        };
        loop {
            let mut guard = ready!(self.file.poll_read_ready(cx))?;
            let Ok(count) = guard.try_io(|file| io::Read::read(&mut file.get_ref(), packet.room(before))) else {
                continue;
            };
            let count = count?;
            let Some(len) = count.checked_sub(before).filter(|len| *len > 0) else { continue };
            let header = packet.room(before).first_chunk::<{ vnet::LEN }>().copied();
            packet.filled(len);
            if let (Mode::Offload, Some(header)) = (self.mode, header) {
                packet.offload = vnet::parse(header);
            }
            return Poll::Ready(Ok(()));
        }
    }

    fn send(&mut self, packet: Transmit<'_>) {
        if self.mode == Mode::Plain && packet.offload != stack::Offload::default() {
            // The slow way: whole first, then what the device cannot do.
            return self.send_packet(&mut gather(&packet));
        }
        let vnet = vnet::emit(packet.offload, packet.header.len());
        let mut parts = [IoSlice::new(&[]); 5];
        let first = usize::from(self.mode == Mode::Plain);
        parts[0] = IoSlice::new(&vnet);
        parts[1] = IoSlice::new(packet.header);
        let slices = packet.payload.len().min(3);
        for (part, slice) in parts[2..].iter_mut().zip(packet.payload) {
            *part = IoSlice::new(slice);
        }
        let sent = self.file.get_ref().write_vectored(&parts[first..2 + slices]);
        self.count(sent);
    }

    fn send_packet(&mut self, packet: &mut Packet) {
        match self.mode {
            Mode::Offload => {
                let headers = stack::wire::header_len(packet.bytes());
                let vnet = vnet::emit(packet.offload, headers);
                let sent = self.file.get_ref().write_vectored(&[IoSlice::new(&vnet), IoSlice::new(packet.bytes())]);
                self.count(sent);
            }
            Mode::Plain => self.send_plain(packet),
        }
    }
}
