//! Links, with sockets and without.

mod fuzz;
mod seal;
mod shared;

use std::collections::HashMap;
use std::future::poll_fn;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use super::*;
use crate::key::ClusterKey;

const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const TWO: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));
const THREE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 3));

/// Begins like a control datagram.
const HELLO: &[u8] = b"\xc7hello";

fn key(byte: u8) -> ClusterKey {
    ClusterKey::of([byte; ClusterKey::LEN])
}

/// Endpoints that nobody has.
fn endpoints() -> HashMap<IpAddr, SocketAddr> {
    let held = [ONE, TWO, THREE].map(|xcf| (xcf, UdpSocket::bind("127.0.0.1:0").unwrap()));
    held.iter().map(|(xcf, socket)| (*xcf, socket.local_addr().unwrap())).collect()
}

fn send(link: &mut impl XcfLink, to: IpAddr, content: &[u8]) {
    link.send(to, &[IoSlice::new(content)]).unwrap();
}

async fn receive(link: &mut impl XcfLink) -> (IpAddr, Vec<u8>) {
    let mut packet = Packet::full_size();
    let from = poll_fn(|cx| link.poll_recv(cx, &mut packet)).await.unwrap();
    assert_eq!(packet.headroom(), stack::packet::HEADROOM);
    (from, packet.bytes().to_vec())
}

/// Two links that have heard of each other.
async fn contact(a: &mut impl XcfLink, b: &mut impl XcfLink) {
    send(a, TWO, HELLO);
    assert_eq!(receive(b).await, (ONE, HELLO.to_vec()));
    // Two of each, as long as neither knows whether the other is a recording.
    send(b, ONE, HELLO);
    assert_eq!(receive(a).await, (TWO, HELLO.to_vec()));
    assert_eq!(receive(a).await, (TWO, HELLO.to_vec()));
    send(a, TWO, HELLO);
    assert_eq!(receive(b).await, (ONE, HELLO.to_vec()));
}

/// Takes in everything that has arrived; none of it may be taken for a datagram.
async fn refuse(link: &mut UdpLink, cause: Cause, count: u64) {
    let mut packet = Packet::full_size();
    while link.refusals().of(cause) < count {
        tokio::select! {
            from = poll_fn(|cx| link.poll_recv(cx, &mut packet)) => panic!("{cause:?}: {from:?} {:?}", packet.bytes()),
            () = tokio::time::sleep(Duration::from_millis(1)) => {}
        }
    }
}

async fn exchange_datagrams(a: &mut impl XcfLink, b: &mut impl XcfLink) {
    a.send(TWO, &[IoSlice::new(b"one "), IoSlice::new(b"datagram")]).unwrap();
    assert_eq!(receive(b).await, (ONE, b"one datagram".to_vec()));
    a.send_packet(TWO, Packet::copy_of(b"packet")).unwrap();
    assert_eq!(receive(b).await, (ONE, b"packet".to_vec()));
    let mut large = Packet::full_size();
    large.filled(61_472);
    large.bytes_mut().fill(7);
    a.send_packet(TWO, large).unwrap();
    assert_eq!(receive(b).await, (ONE, vec![7; 61_472]));
    assert!(a.send(IpAddr::from([192, 0, 2, 99]), &[IoSlice::new(b"x")]).is_err());
}

#[tokio::test]
async fn in_process_links_carry_datagrams_and_forget_the_dead() {
    let exchange = Exchange::default();
    let (mut a, mut b) = (exchange.attach(ONE), exchange.attach(TWO));
    exchange_datagrams(&mut a, &mut b).await;
    let reborn = exchange.attach(TWO);
    drop(b);
    send(&mut a, TWO, b"to the new life");
    drop(reborn);
    assert_eq!(a.send(TWO, &[IoSlice::new(b"x")]).unwrap_err().kind(), io::ErrorKind::HostUnreachable);
}

#[tokio::test]
async fn udp_links_carry_datagrams() {
    let endpoints = endpoints();
    let mut a = UdpLink::bind(ONE, 1, &key(1), &endpoints).unwrap();
    let mut b = UdpLink::bind(TWO, 1, &key(1), &endpoints).unwrap();
    contact(&mut a, &mut b).await;
    exchange_datagrams(&mut a, &mut b).await;
    assert_eq!(Cause::ALL.map(|cause| a.refusals().of(cause) + b.refusals().of(cause)), [0; 6]);
}

/// Who has not the cluster's key cannot join, cannot read, and cannot disturb.
#[tokio::test]
async fn without_the_key_nothing_can_be_done() {
    let endpoints = endpoints();
    let mut a = UdpLink::bind(ONE, 1, &key(1), &endpoints).unwrap();
    let mut b = UdpLink::bind(TWO, 1, &key(1), &endpoints).unwrap();
    contact(&mut a, &mut b).await;

    // It cannot join, not even from an endpoint of the cluster.
    let mut intruder = UdpLink::bind(THREE, 1, &key(2), &endpoints).unwrap();
    send(&mut intruder, ONE, HELLO);
    refuse(&mut a, Cause::Forged, 1).await;
    let told = a.poll_line().unwrap();
    let endpoint = endpoints[&THREE];
    assert_eq!(told, format!("XCF: a datagram from {endpoint} was not sealed with the cluster's key; dropped"));
    drop(intruder);

    // It cannot read what comes its way, not even by its length alone what it is.
    let tap = UdpSocket::bind(endpoint).unwrap();
    tap.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    send(&mut a, THREE, b"\xc7the secret of the cluster");
    let mut heard = [0; 2048];
    let (len, _) = tap.recv_from(&mut heard).unwrap();
    assert!(!heard[..len].windows(6).any(|window| window == b"secret"));

    // It cannot disturb: noise, what it has heard, and what it has heard of others.
    for noise in [&b""[..], b"x", &[0xd7; 100], &heard[..len - 1], &heard[..len]] {
        tap.send_to(noise, endpoints[&ONE]).unwrap();
    }
    refuse(&mut a, Cause::Malformed, 3).await;
    refuse(&mut a, Cause::Forged, 3).await;
    tap.send_to(&heard[..len], endpoints[&TWO]).unwrap();
    refuse(&mut b, Cause::Forged, 1).await;
    exchange_datagrams(&mut a, &mut b).await;
    // One line for each kind, however many there were.
    assert!(a.poll_line().is_some_and(|line| line.contains("none of XCF")));
    assert_eq!(a.poll_line(), None);
}

/// A flood of forgeries leaves the image time for its other work.
#[tokio::test]
async fn a_flood_is_taken_in_turns() {
    let endpoints = endpoints();
    let mut a = UdpLink::bind(ONE, 1, &key(1), &endpoints).unwrap();
    let flood = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..200 {
        flood.send_to(b"noise", endpoints[&ONE]).unwrap();
    }
    // Loopback has delivered before `send_to` returns; the runtime has to hear of it once.
    let mut packet = Packet::full_size();
    let mut turns = Vec::new();
    while a.refusals().of(Cause::Malformed) < 200 {
        let before = a.refusals().of(Cause::Malformed);
        poll_fn(|cx| {
            assert!(a.poll_recv(cx, &mut packet).is_pending());
            Poll::Ready(())
        })
        .await;
        turns.push(a.refusals().of(Cause::Malformed) - before);
        tokio::task::yield_now().await;
    }
    assert!(turns.iter().all(|count| *count <= 64), "{turns:?}");
}

/// Two processes with one XCF address: the second is told, and so is the first, which goes on.
#[tokio::test]
async fn an_xcf_address_is_taken_once() {
    let endpoints = endpoints();
    let mut a = UdpLink::bind(ONE, 1, &key(1), &endpoints).unwrap();
    let mut b = UdpLink::bind(TWO, 1, &key(1), &endpoints).unwrap();
    contact(&mut a, &mut b).await;
    let error = UdpLink::bind(ONE, 77, &key(1), &endpoints).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    let text = format!("XCF address 192.0.2.1 is taken: another process has {}", endpoints[&ONE]);
    assert!(error.to_string().starts_with(&text), "{error}");
    // One that has not the key is not believed.
    UdpLink::bind(ONE, 78, &key(2), &endpoints).unwrap_err();
    refuse(&mut a, Cause::Forged, 1).await;
    let line = "another process (life 77) claimed this stack's XCF address 192.0.2.1; it was refused";
    assert_eq!(a.poll_line().as_deref(), Some(line));
    exchange_datagrams(&mut a, &mut b).await;
    exchange_datagrams_back(&mut b, &mut a).await;
}

async fn exchange_datagrams_back(b: &mut UdpLink, a: &mut UdpLink) {
    send(b, ONE, b"back");
    assert_eq!(receive(a).await, (TWO, b"back".to_vec()));
}
