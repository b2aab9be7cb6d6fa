//! The system calls that no safe interface offers; `unsafe` stands here alone.
#![allow(unsafe_code)]

mod memory;

pub(crate) use memory::SharedMemory;

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::thread::UnshareFlags;
use tokio::io::unix::AsyncFd;

/// `TUNSETIFF` and its like, from linux/if_tun.h.
const TUNSETIFF: libc::Ioctl = 0x4004_54ca;
const TUNSETPERSIST: libc::Ioctl = 0x4004_54cb;
const TUNSETOFFLOAD: libc::Ioctl = 0x4004_54d0;

/// `struct ifreq`, as far as TUNSETIFF reads it.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; libc::IFNAMSIZ],
    flags: libc::c_short,
    rest: [u8; 22],
}

/// Attaches `tun`, a descriptor of /dev/net/tun, to the device called `name`.
pub(crate) fn attach(tun: &impl AsRawFd, name: &str, flags: libc::c_int) -> io::Result<()> {
    let mut request = InterfaceRequest { name: [0; libc::IFNAMSIZ], flags: 0, rest: [0; 22] };
    if name.len() >= libc::IFNAMSIZ {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("device name {name} is too long")));
    }
    request.name[..name.len()].copy_from_slice(name.as_bytes());
    request.flags = libc::c_short::try_from(flags).map_err(io::Error::other)?;
    // SAFETY: the descriptor is open, and the request is a whole ifreq that outlives the call.
    check(unsafe { libc::ioctl(tun.as_raw_fd(), TUNSETIFF, &raw mut request) })
}

/// Makes the device outlive its descriptors, or not.
pub(crate) fn set_persistent(tun: &impl AsRawFd, persistent: bool) -> io::Result<()> {
    // SAFETY: the descriptor is open; the argument is a plain number.
    check(unsafe { libc::ioctl(tun.as_raw_fd(), TUNSETPERSIST, libc::c_ulong::from(persistent)) })
}

/// Says which work the reader takes off the kernel.
pub(crate) fn set_offload(tun: &impl AsRawFd, features: libc::c_uint) -> io::Result<()> {
    // SAFETY: the descriptor is open; the argument is a plain number.
    check(unsafe { libc::ioctl(tun.as_raw_fd(), TUNSETOFFLOAD, libc::c_ulong::from(features)) })
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Puts this process, while it has one thread, into new namespaces.
pub(crate) fn unshare(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: unsafe only because of UnshareFlags::FILES, which makes descriptors of one thread
    // invalid in another; no caller passes it.
    Ok(unsafe { rustix::thread::unshare_unsafe(flags.difference(UnshareFlags::FILES)) }?)
}

/// Has the runtime watch a descriptor. `T` owns it, as files and sockets do.
pub(crate) fn watch<T: AsRawFd + Into<OwnedFd>>(owner: T) -> io::Result<AsyncFd<T>> {
    // SAFETY: an owner keeps its descriptor open, and the same, for as long as it lives.
    Ok(unsafe { AsyncFd::register(owner) }?)
}

/// How often the kernel's TCP has sent something on this connection again (`TCP_INFO`, tcp(7)).
pub(crate) fn retransmissions(socket: &impl AsRawFd) -> io::Result<u32> {
    // SAFETY: tcp_info is plain numbers, for which all zeros are a value.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = libc::socklen_t::try_from(size_of::<libc::tcp_info>()).map_err(io::Error::other)?;
    let (level, option) = (libc::IPPROTO_TCP, libc::TCP_INFO);
    // SAFETY: the descriptor is open; the kernel writes at most `length` bytes, the whole of `info`.
    check(unsafe { libc::getsockopt(socket.as_raw_fd(), level, option, (&raw mut info).cast(), &raw mut length) })?;
    Ok(info.tcpi_total_retrans)
}
