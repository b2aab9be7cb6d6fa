//! Two stacks behind two adapters, without packetdrill.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::adapter::{Adapter, Errno};
use crate::device;
use crate::settings::Flags;

const SERVER: ([u8; 4], u16) = ([192, 168, 0, 1], 8080);

fn adapter(local: [u8; 4]) -> Adapter {
    Adapter::new(Flags { local: local.into(), prefix: 16, ..Flags::default() })
}

/// Carries over what has left `from`; says how many packets.
fn carry(from: &Adapter, to: &Adapter) -> usize {
    let mut count = 0;
    while let Some((_, packet)) = from.call(|world| world.take_sent()) {
        to.inject(&packet);
        count += 1;
    }
    count
}

fn exchange(a: &Adapter, b: &Adapter) {
    while carry(a, b) + carry(b, a) > 0 {}
}

/// A client's and a server's descriptor, connected.
fn connected(client: &Adapter, server: &Adapter) -> (i32, i32) {
    let address = SocketAddr::from(SERVER);
    let listener = server.call(|world| {
        let fd = world.open(libc::AF_INET, libc::SOCK_STREAM, 0).unwrap();
        world.bind(fd, address).unwrap();
        world.listen(fd, 1).unwrap();
        fd
    });
    let fd = client.call(|world| world.open(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0).unwrap());
    let connect = client.block(true, None, |world| world.connect(fd, address));
    assert_eq!(connect, Err(Errno(libc::EINPROGRESS)));
    exchange(client, server);
    assert_eq!(client.call(|world| world.connect(fd, address)), Some(Ok(())));
    let (accepted, peer) = server.call(|world| world.accept(listener, false)).unwrap().unwrap();
    assert_eq!(peer.ip(), std::net::IpAddr::from([192, 168, 0, 2]));
    (fd, accepted)
}

/// Bytes arrive, the end of the stream too, and each call says what POSIX says.
#[test]
fn a_connection_carries_bytes_and_ends() {
    let (client, server) = (adapter([192, 168, 0, 2]), adapter(SERVER.0));
    let (near, far) = connected(&client, &server);
    let mut done = 0;
    assert_eq!(client.call(|world| world.send(near, b"hello", &mut done, 0)), Some(Ok(5)));
    exchange(&client, &server);
    assert_eq!(server.call(|world| world.waiting_bytes(far, libc::FIONREAD)), Ok(5));
    let mut buffer = [0; 10];
    assert_eq!(server.call(|world| world.receive(far, &mut buffer, 0)), Some(Ok(5)));
    assert_eq!(&buffer[..5], b"hello");
    assert_eq!(client.call(|world| world.close(near)), Ok(()));
    assert_eq!(client.call(|world| world.close(near)), Err(Errno(libc::EBADF)));
    exchange(&client, &server);
    assert_eq!(server.call(|world| world.receive(far, &mut buffer, 0)), Some(Ok(0)));
}

/// A call that blocks on another thread returns at the moment that woke it, wherever the main thread's
/// time goes.
#[test]
fn a_blocked_call_returns_when_it_is_woken() {
    let (client, server) = (Arc::new(adapter([192, 168, 0, 2])), adapter(SERVER.0));
    let (near, far) = connected(&client, &server);
    let reader = thread::spawn({
        let client = Arc::clone(&client);
        move || {
            let mut buffer = [0; 10];
            let read = client.block(true, None, |world| world.receive(near, &mut buffer, 0));
            (read, client.clock())
        }
    });
    while !client.is_blocked() {
        thread::yield_now();
    }
    client.sleep(Duration::from_millis(100));
    server.call(|world| world.send(far, b"now", &mut 0, 0)).unwrap().unwrap();
    let woken = client.clock();
    carry(&server, &client);
    client.sleep(Duration::from_secs(1));
    let (read, at) = reader.join().unwrap();
    assert_eq!(read, Ok(3));
    assert_eq!(at, woken);
}

/// RFC 1071, and what a device does to flags and sequence numbers.
#[test]
fn a_piece_is_a_sound_packet() {
    let mut header = vec![0u8; 40];
    header[0] = 0x45;
    header[12..20].copy_from_slice(&[192, 168, 0, 1, 192, 0, 2, 1]);
    header[20 + 12] = 0x50;
    header[20 + 13] = 0x19;
    for (offset, last, flags) in [(0, false, 0x10), (1000, true, 0x19)] {
        let packet = device::piece(&header, b"odd", offset, last);
        assert_eq!((packet.len(), packet[3], packet[33]), (43, 43, flags));
        assert_eq!(packet[24..28], (offset as u32).to_be_bytes());
        let mut pseudo = packet[12..20].to_vec();
        pseudo.extend([0, 6, 0, 23]);
        pseudo.extend(&packet[20..]);
        for sound in [&packet[..20], &pseudo[..]] {
            assert_eq!(device::fold(device::sum(sound)), 0xffff);
        }
    }
}
