//! The C interface of packetdrill: `struct packetdrill_interface` of its `packetdrill.h`.
//!
//! Everything `unsafe` of this crate is here: pointers become slices, results become `errno`.
//! packetdrill's own rules stand behind each: it passes buffers of the length that it names, or
//! null, and calls from two threads at most.

#![allow(unsafe_code, reason = "the interface is C's")]
#![allow(clippy::missing_safety_doc, reason = "the callers are packetdrill's, by the rules of the C interface")]

mod lend;

use std::ffi::{CStr, c_char, c_int, c_long, c_longlong, c_uint, c_ulong, c_void};
use std::sync::OnceLock;
use std::time::Duration;

use libc::{epoll_event, iovec, msghdr, pollfd, size_t, sockaddr, socklen_t, ssize_t, timeval};

use crate::adapter::{Adapter, Call, Errno};
use crate::settings::Flags;
use crate::world::World;
use lend::{address, bytes, room, tell_address, tell_bytes, vectors};

/// The one adapter of the process: packetdrill loads the library once, and the preloaded
/// `getsockopt` has to find it.
static ADAPTER: OnceLock<Adapter> = OnceLock::new();

const FAULT: Errno = Errno(libc::EFAULT);
type User = *mut c_void;

/// `struct packetdrill_interface`.
#[repr(C)]
#[derive(Debug)]
pub struct Interface {
    userdata: User,
    free: unsafe extern "C" fn(User),
    socket: unsafe extern "C" fn(User, c_int, c_int, c_int) -> c_int,
    bind: unsafe extern "C" fn(User, c_int, *const sockaddr, socklen_t) -> c_int,
    listen: unsafe extern "C" fn(User, c_int, c_int) -> c_int,
    accept: unsafe extern "C" fn(User, c_int, *mut sockaddr, *mut socklen_t) -> c_int,
    connect: unsafe extern "C" fn(User, c_int, *const sockaddr, socklen_t) -> c_int,
    read: unsafe extern "C" fn(User, c_int, *mut c_void, size_t) -> ssize_t,
    readv: unsafe extern "C" fn(User, c_int, *const iovec, c_int) -> ssize_t,
    recv: unsafe extern "C" fn(User, c_int, *mut c_void, size_t, c_int) -> ssize_t,
    recvfrom: unsafe extern "C" fn(User, c_int, *mut c_void, size_t, c_int, *mut sockaddr, *mut socklen_t) -> ssize_t,
    recvmsg: unsafe extern "C" fn(User, c_int, *mut msghdr, c_int) -> ssize_t,
    write: unsafe extern "C" fn(User, c_int, *const c_void, size_t) -> ssize_t,
    writev: unsafe extern "C" fn(User, c_int, *const iovec, c_int) -> ssize_t,
    send: unsafe extern "C" fn(User, c_int, *const c_void, size_t, c_int) -> ssize_t,
    sendto: unsafe extern "C" fn(User, c_int, *const c_void, size_t, c_int, *const sockaddr, socklen_t) -> ssize_t,
    sendmsg: unsafe extern "C" fn(User, c_int, *const msghdr, c_int) -> ssize_t,
    // Variadic in C; a fixed third word is the same on Linux's 64-bit machines.
    fcntl: unsafe extern "C" fn(User, c_int, c_int, c_long) -> c_int,
    ioctl: unsafe extern "C" fn(User, c_int, c_ulong, *mut c_void) -> c_int,
    close: unsafe extern "C" fn(User, c_int) -> c_int,
    shutdown: unsafe extern "C" fn(User, c_int, c_int) -> c_int,
    getsockopt: unsafe extern "C" fn(User, c_int, c_int, c_int, *mut c_void, *mut socklen_t) -> c_int,
    setsockopt: unsafe extern "C" fn(User, c_int, c_int, c_int, *const c_void, socklen_t) -> c_int,
    poll: unsafe extern "C" fn(User, *mut pollfd, c_ulong, c_int) -> c_int,
    netdev_send: unsafe extern "C" fn(User, *const c_void, size_t) -> c_int,
    netdev_receive: unsafe extern "C" fn(User, *mut c_void, *mut size_t, *mut c_longlong) -> c_int,
    usleep: unsafe extern "C" fn(User, c_uint) -> c_int,
    gettimeofday: unsafe extern "C" fn(User, *mut timeval, *mut c_void) -> c_int,
    epoll_create: unsafe extern "C" fn(User, c_int) -> c_int,
    epoll_ctl: unsafe extern "C" fn(User, c_int, c_int, c_int, *mut epoll_event) -> c_int,
    epoll_wait: unsafe extern "C" fn(User, c_int, *mut epoll_event, c_int, c_int) -> c_int,
    pipe: unsafe extern "C" fn(User, *mut c_int) -> c_int,
    splice: unsafe extern "C" fn(User, c_int, *mut c_void, c_int, *mut c_void, size_t, c_uint) -> ssize_t,
}

/// What packetdrill calls when it has loaded the library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn packetdrill_interface_init(flags: *const c_char, interface: *mut Interface) {
    // SAFETY: null, or a string that ends with a zero.
    let flags = if flags.is_null() { c"" } else { unsafe { CStr::from_ptr(flags) } };
    ADAPTER.get_or_init(|| Adapter::new(Flags::parse(&flags.to_string_lossy())));
    let table = Interface {
        userdata: std::ptr::null_mut(),
        free,
        socket,
        bind,
        listen,
        accept,
        connect,
        read,
        readv,
        recv,
        recvfrom,
        recvmsg,
        write,
        writev,
        send,
        sendto,
        sendmsg,
        fcntl,
        ioctl,
        close,
        shutdown,
        getsockopt: get_option,
        setsockopt,
        poll,
        netdev_send,
        netdev_receive,
        usleep,
        gettimeofday,
        epoll_create,
        epoll_ctl,
        epoll_wait,
        pipe,
        splice,
    };
    // SAFETY: the place of the table, which is not read before.
    unsafe { interface.write(table) };
}

fn adapter() -> Call<&'static Adapter> {
    ADAPTER.get().ok_or(Errno(libc::ENOSYS))
}

/// A result as C has it.
fn finish<T: TryInto<i64>>(result: Call<T>) -> i64 {
    match result {
        Ok(value) => value.try_into().unwrap_or(i64::MAX),
        Err(Errno(error)) => {
            // SAFETY: the thread's own `errno`.
            unsafe { *libc::__errno_location() = error };
            -1
        }
    }
}

fn finish_int<T: TryInto<i64>>(result: Call<T>) -> c_int {
    // Descriptors and counts of descriptors.
    finish(result) as c_int
}

fn done<T>(result: Call<T>) -> c_int {
    finish_int(result.map(|_| 0))
}

fn call<T>(action: impl FnOnce(&mut World) -> Call<T>) -> Call<T> {
    adapter()?.call(action)
}

fn receive_bytes(fd: c_int, buffer: &mut [u8], flags: c_int) -> Call<usize> {
    let adapter = adapter()?;
    let may_block = flags & libc::MSG_DONTWAIT == 0 && adapter.call(|world| may_block(world, fd));
    adapter.block(may_block, None, |world| world.receive(fd, buffer, flags))
}

fn send_bytes(fd: c_int, data: &[u8], flags: c_int) -> Call<usize> {
    let mut done = 0;
    adapter()?.block(true, None, |world| world.send(fd, data, &mut done, flags))
}

fn may_block(world: &mut World, fd: c_int) -> bool {
    world.socket(fd).is_ok_and(|socket| !socket.nonblocking)
}

/// `poll`'s and `epoll_wait`'s milliseconds: negative is for ever.
fn timeout(milliseconds: c_int) -> Option<Duration> {
    u64::try_from(milliseconds).ok().map(Duration::from_millis)
}

unsafe fn receive_vectors(fd: c_int, at: *const iovec, count: usize, flags: c_int) -> Call<usize> {
    // SAFETY: the caller's array.
    let vectors = unsafe { vectors(at, count) }?;
    let mut buffer = vec![0; vectors.iter().map(|vector| vector.iov_len).sum()];
    let received = receive_bytes(fd, &mut buffer, flags)?;
    let mut left = &buffer[..received];
    for vector in vectors {
        let (now, later) = left.split_at(vector.iov_len.min(left.len()));
        // SAFETY: the caller's buffers.
        unsafe { room(vector.iov_base, now.len()) }?.copy_from_slice(now);
        left = later;
    }
    Ok(received)
}

unsafe fn send_vectors(fd: c_int, at: *const iovec, count: usize, flags: c_int) -> Call<usize> {
    let mut data = Vec::new();
    // SAFETY: the caller's array.
    for vector in unsafe { vectors(at, count) }? {
        // SAFETY: one of its buffers.
        data.extend_from_slice(unsafe { bytes(vector.iov_base, vector.iov_len) }?);
    }
    send_bytes(fd, &data, flags)
}

unsafe extern "C" fn free(_: User) {}

unsafe extern "C" fn socket(_: User, domain: c_int, kind: c_int, protocol: c_int) -> c_int {
    finish_int(call(|world| world.open(domain, kind, protocol)))
}

unsafe extern "C" fn bind(_: User, fd: c_int, at: *const sockaddr, length: socklen_t) -> c_int {
    // SAFETY: the caller's address.
    let address = unsafe { address(at, length) };
    done(address.and_then(|address| call(|world| world.bind(fd, address))))
}

unsafe extern "C" fn listen(_: User, fd: c_int, backlog: c_int) -> c_int {
    done(call(|world| world.listen(fd, backlog)))
}

unsafe extern "C" fn accept(_: User, fd: c_int, at: *mut sockaddr, length: *mut socklen_t) -> c_int {
    let accepted = adapter().and_then(|adapter| {
        let may_block = adapter.call(|world| may_block(world, fd));
        adapter.block(may_block, None, |world| world.accept(fd, false))
    });
    finish_int(accepted.map(|(fd, peer)| {
        // SAFETY: the caller's place for an address, or null.
        unsafe { tell_address(peer, at, length) };
        fd
    }))
}

unsafe extern "C" fn connect(_: User, fd: c_int, at: *const sockaddr, length: socklen_t) -> c_int {
    // SAFETY: the caller's address.
    let address = unsafe { address(at, length) };
    done(address.and_then(|address| adapter()?.block(true, None, |world| world.connect(fd, address))))
}

unsafe extern "C" fn read(_: User, fd: c_int, at: *mut c_void, length: size_t) -> ssize_t {
    // SAFETY: the caller's buffer.
    finish(unsafe { room(at, length) }.and_then(|buffer| receive_bytes(fd, buffer, 0))) as ssize_t
}

unsafe extern "C" fn readv(_: User, fd: c_int, at: *const iovec, count: c_int) -> ssize_t {
    // SAFETY: the caller's array.
    finish(unsafe { receive_vectors(fd, at, usize::try_from(count).unwrap_or(0), 0) }) as ssize_t
}

unsafe extern "C" fn recv(_: User, fd: c_int, at: *mut c_void, length: size_t, flags: c_int) -> ssize_t {
    // SAFETY: the caller's buffer.
    finish(unsafe { room(at, length) }.and_then(|buffer| receive_bytes(fd, buffer, flags))) as ssize_t
}

unsafe extern "C" fn recvfrom(
    user: User,
    fd: c_int,
    at: *mut c_void,
    length: size_t,
    flags: c_int,
    _: *mut sockaddr,
    _: *mut socklen_t,
) -> ssize_t {
    // SAFETY: passed on. TCP tells no address.
    unsafe { recv(user, fd, at, length, flags) }
}

unsafe extern "C" fn recvmsg(_: User, fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t {
    // SAFETY: the caller's message, or null.
    let received = unsafe { message.as_mut() }.ok_or(FAULT).and_then(|message| {
        message.msg_controllen = 0;
        message.msg_flags = 0;
        // SAFETY: the message's array.
        unsafe { receive_vectors(fd, message.msg_iov, message.msg_iovlen, flags) }
    });
    finish(received) as ssize_t
}

unsafe extern "C" fn write(_: User, fd: c_int, at: *const c_void, length: size_t) -> ssize_t {
    // SAFETY: the caller's buffer.
    finish(unsafe { bytes(at, length) }.and_then(|data| send_bytes(fd, data, 0))) as ssize_t
}

unsafe extern "C" fn writev(_: User, fd: c_int, at: *const iovec, count: c_int) -> ssize_t {
    // SAFETY: the caller's array.
    finish(unsafe { send_vectors(fd, at, usize::try_from(count).unwrap_or(0), 0) }) as ssize_t
}

unsafe extern "C" fn send(_: User, fd: c_int, at: *const c_void, length: size_t, flags: c_int) -> ssize_t {
    // SAFETY: the caller's buffer.
    finish(unsafe { bytes(at, length) }.and_then(|data| send_bytes(fd, data, flags))) as ssize_t
}

unsafe extern "C" fn sendto(
    user: User,
    fd: c_int,
    at: *const c_void,
    length: size_t,
    flags: c_int,
    _: *const sockaddr,
    _: socklen_t,
) -> ssize_t {
    // SAFETY: passed on. A connected socket does not look at the address.
    unsafe { send(user, fd, at, length, flags) }
}

unsafe extern "C" fn sendmsg(_: User, fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t {
    // SAFETY: the caller's message, or null, and its array.
    let sent = unsafe { message.as_ref() }
        .ok_or(FAULT)
        .and_then(|message| unsafe { send_vectors(fd, message.msg_iov, message.msg_iovlen, flags) });
    finish(sent) as ssize_t
}

unsafe extern "C" fn fcntl(_: User, fd: c_int, command: c_int, argument: c_long) -> c_int {
    finish_int(call(|world| world.fcntl(fd, command, argument)))
}

unsafe extern "C" fn ioctl(_: User, fd: c_int, request: c_ulong, at: *mut c_void) -> c_int {
    let waiting = call(|world| world.waiting_bytes(fd, request));
    done(waiting.and_then(|count| {
        if at.is_null() {
            return Err(FAULT);
        }
        // SAFETY: the caller's `int`.
        unsafe { at.cast::<c_int>().write_unaligned(count) };
        Ok(())
    }))
}

unsafe extern "C" fn close(_: User, fd: c_int) -> c_int {
    done(call(|world| world.close(fd)))
}

unsafe extern "C" fn shutdown(_: User, fd: c_int, how: c_int) -> c_int {
    done(call(|world| world.shutdown(fd, how)))
}

unsafe extern "C" fn get_option(
    _: User,
    fd: c_int,
    level: c_int,
    name: c_int,
    at: *mut c_void,
    length: *mut socklen_t,
) -> c_int {
    let value = call(|world| world.option(fd, level, name));
    // SAFETY: the caller's place for the value and its length.
    done(value.and_then(|value| unsafe { tell_bytes(&value, at, length) }))
}

unsafe extern "C" fn setsockopt(
    _: User,
    fd: c_int,
    level: c_int,
    name: c_int,
    at: *const c_void,
    length: socklen_t,
) -> c_int {
    // SAFETY: the caller's value.
    let value = unsafe { bytes(at, length as usize) };
    done(value.and_then(|value| call(|world| world.set_option(fd, level, name, value))))
}

unsafe extern "C" fn poll(_: User, at: *mut pollfd, count: c_ulong, milliseconds: c_int) -> c_int {
    if at.is_null() {
        return done::<()>(Err(FAULT));
    }
    // SAFETY: the caller's array.
    let watched = unsafe { std::slice::from_raw_parts_mut(at, usize::try_from(count).unwrap_or(0)) };
    let ready = adapter().and_then(|adapter| {
        adapter.block(milliseconds != 0, timeout(milliseconds), |world| {
            let mut ready = 0;
            for entry in watched.iter_mut() {
                entry.revents = world.poll_ready(entry.fd, entry.events);
                ready += i32::from(entry.revents != 0);
            }
            (ready > 0).then_some(Ok(ready))
        })
    });
    finish_int(none_is_zero(ready))
}

/// Nothing ready is no error.
fn none_is_zero(ready: Call<i32>) -> Call<i32> {
    match ready {
        Err(Errno(libc::EAGAIN)) => Ok(0),
        other => other,
    }
}

unsafe extern "C" fn netdev_send(_: User, at: *const c_void, length: size_t) -> c_int {
    // SAFETY: packetdrill's packet.
    let packet = unsafe { bytes(at, length) };
    done(packet.and_then(|packet| {
        adapter()?.inject(packet);
        Ok(())
    }))
}

unsafe extern "C" fn netdev_receive(
    _: User,
    at: *mut c_void,
    length: *mut size_t,
    microseconds: *mut c_longlong,
) -> c_int {
    let Ok(adapter) = adapter() else { return -1 };
    let packet = adapter.next_packet();
    // SAFETY: the three places are packetdrill's own; `length` says how much room there is.
    unsafe {
        let Some((time, packet)) = packet else {
            // Nothing will come: no length, which fails the script (-1 would be asked again for ever).
            *length = 0;
            *microseconds = micros(adapter.clock());
            return 0;
        };
        let count = packet.len().min(*length);
        std::ptr::copy_nonoverlapping(packet.as_ptr(), at.cast(), count);
        *length = count;
        *microseconds = micros(time);
    }
    0
}

fn micros(time: Duration) -> c_longlong {
    c_longlong::try_from(time.as_micros()).unwrap_or(c_longlong::MAX)
}

unsafe extern "C" fn usleep(_: User, microseconds: c_uint) -> c_int {
    done(adapter().map(|adapter| adapter.sleep(Duration::from_micros(u64::from(microseconds)))))
}

unsafe extern "C" fn gettimeofday(_: User, at: *mut timeval, _: *mut c_void) -> c_int {
    done(adapter().map(|adapter| {
        let time = adapter.clock();
        let value = timeval { tv_sec: time.as_secs() as libc::time_t, tv_usec: time.subsec_micros().into() };
        // SAFETY: the caller's place for the time.
        unsafe { at.write(value) };
    }))
}

unsafe extern "C" fn epoll_create(_: User, _size: c_int) -> c_int {
    finish_int(call(World::epoll_create))
}

unsafe extern "C" fn epoll_ctl(_: User, epoll: c_int, operation: c_int, fd: c_int, event: *mut epoll_event) -> c_int {
    // SAFETY: the caller's event, or null where the operation needs none.
    let (events, data) = if event.is_null() { (0, 0) } else { unsafe { ((*event).events, (*event).u64) } };
    done(call(|world| world.epoll_ctl(epoll, operation, fd, events, data)))
}

unsafe extern "C" fn epoll_wait(_: User, epoll: c_int, at: *mut epoll_event, max: c_int, milliseconds: c_int) -> c_int {
    let Ok(max) = usize::try_from(max) else { return done::<()>(Err(Errno(libc::EINVAL))) };
    let ready = adapter().and_then(|adapter| {
        adapter.block(milliseconds != 0, timeout(milliseconds), |world| world.epoll_ready(epoll, max))
    });
    let count = ready.map(|ready| {
        for (index, (events, data)) in ready.iter().enumerate() {
            // SAFETY: there are no more of them than the caller has room for.
            unsafe { at.add(index).write(epoll_event { events: *events, u64: *data }) };
        }
        i32::try_from(ready.len()).unwrap_or(i32::MAX)
    });
    finish_int(none_is_zero(count))
}

unsafe extern "C" fn pipe(_: User, _: *mut c_int) -> c_int {
    done::<()>(Err(Errno(libc::ENOSYS)))
}

unsafe extern "C" fn splice(
    _: User,
    _: c_int,
    _: *mut c_void,
    _: c_int,
    _: *mut c_void,
    _: size_t,
    _: c_uint,
) -> ssize_t {
    finish::<i64>(Err(Errno(libc::ENOSYS))) as ssize_t
}

/// `getsockopt` of the C library, for who preloads this library: packetdrill's assertions on
/// TCP_INFO do not go through its interface.
#[cfg(not(test))]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getsockopt(
    fd: c_int,
    level: c_int,
    name: c_int,
    at: *mut c_void,
    length: *mut socklen_t,
) -> c_int {
    type Next = unsafe extern "C" fn(c_int, c_int, c_int, *mut c_void, *mut socklen_t) -> c_int;
    let ours = ADAPTER.get().is_some_and(|adapter| adapter.call(|world| world.socket(fd).is_ok()));
    if ours {
        // SAFETY: the caller's arguments, passed on.
        return unsafe { get_option(std::ptr::null_mut(), fd, level, name, at, length) };
    }
    // SAFETY: the name of a function of the C library that has this type.
    unsafe {
        let next = libc::dlsym(libc::RTLD_NEXT, c"getsockopt".as_ptr());
        if next.is_null() {
            return done::<()>(Err(Errno(libc::ENOSYS)));
        }
        std::mem::transmute::<*mut c_void, Next>(next)(fd, level, name, at, length)
    }
}
