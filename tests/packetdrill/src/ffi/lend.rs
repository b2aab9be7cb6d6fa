//! What lies behind the pointers that packetdrill passes.

use std::ffi::{c_int, c_void};
use std::net::{IpAddr, SocketAddr};

use libc::{iovec, sockaddr, sockaddr_in, sockaddr_in6, socklen_t};

use crate::adapter::{Call, Errno};

const FAULT: Errno = Errno(libc::EFAULT);

/// Bytes that packetdrill lends, to read.
pub unsafe fn bytes<'a>(at: *const c_void, length: usize) -> Call<&'a [u8]> {
    match (at.is_null(), length) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(FAULT),
        // SAFETY: a buffer of the length that the caller names.
        (false, _) => Ok(unsafe { std::slice::from_raw_parts(at.cast(), length) }),
    }
}

/// Bytes that packetdrill lends, to fill.
pub unsafe fn room<'a>(at: *mut c_void, length: usize) -> Call<&'a mut [u8]> {
    match (at.is_null(), length) {
        (_, 0) => Ok(&mut []),
        (true, _) => Err(FAULT),
        // SAFETY: as above.
        (false, _) => Ok(unsafe { std::slice::from_raw_parts_mut(at.cast(), length) }),
    }
}

pub unsafe fn vectors<'a>(at: *const iovec, count: usize) -> Call<&'a [iovec]> {
    match (at.is_null(), count) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(FAULT),
        // SAFETY: an array of that many.
        (false, _) => Ok(unsafe { std::slice::from_raw_parts(at, count) }),
    }
}

pub unsafe fn address(at: *const sockaddr, length: socklen_t) -> Call<SocketAddr> {
    if at.is_null() {
        return Err(FAULT);
    }
    // SAFETY: at least the family is there; the rest is looked at only if the length says so.
    let family = c_int::from(unsafe { (*at).sa_family });
    match family {
        libc::AF_INET if length as usize >= size_of::<sockaddr_in>() => {
            // SAFETY: long enough, and of that family; the place need not be aligned.
            let v4 = unsafe { at.cast::<sockaddr_in>().read_unaligned() };
            let ip = IpAddr::from(v4.sin_addr.s_addr.to_ne_bytes());
            Ok(SocketAddr::new(ip, u16::from_be(v4.sin_port)))
        }
        libc::AF_INET6 if length as usize >= size_of::<sockaddr_in6>() => {
            // SAFETY: as above.
            let v6 = unsafe { at.cast::<sockaddr_in6>().read_unaligned() };
            Ok(SocketAddr::new(IpAddr::from(v6.sin6_addr.s6_addr), u16::from_be(v6.sin6_port)))
        }
        libc::AF_INET | libc::AF_INET6 => Err(Errno(libc::EINVAL)),
        _ => Err(Errno(libc::EAFNOSUPPORT)),
    }
}

/// Tells an address where one is wanted, and how long it is.
pub unsafe fn tell_address(from: SocketAddr, at: *mut sockaddr, length: *mut socklen_t) {
    if at.is_null() || length.is_null() {
        return;
    }
    let image: Vec<u8> = match from {
        SocketAddr::V4(v4) => {
            let mut image = vec![0; size_of::<sockaddr_in>()];
            image[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
            image[2..4].copy_from_slice(&v4.port().to_be_bytes());
            image[4..8].copy_from_slice(&v4.ip().octets());
            image
        }
        SocketAddr::V6(v6) => {
            let mut image = vec![0; size_of::<sockaddr_in6>()];
            image[..2].copy_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
            image[2..4].copy_from_slice(&v6.port().to_be_bytes());
            image[8..24].copy_from_slice(&v6.ip().octets());
            image
        }
    };
    // SAFETY: `length` says how much room there is at `at`, and is where the answer belongs.
    unsafe {
        let count = image.len().min(*length as usize);
        std::ptr::copy_nonoverlapping(image.as_ptr(), at.cast(), count);
        *length = image.len() as socklen_t;
    }
}

/// Copies what a call tells to where the caller wants it, as `getsockopt` does.
pub unsafe fn tell_bytes(value: &[u8], at: *mut c_void, length: *mut socklen_t) -> Call<()> {
    if at.is_null() || length.is_null() {
        return Err(FAULT);
    }
    // SAFETY: as in `tell_address`.
    unsafe {
        let count = value.len().min(*length as usize);
        std::ptr::copy_nonoverlapping(value.as_ptr(), at.cast(), count);
        *length = count as socklen_t;
    }
    Ok(())
}
