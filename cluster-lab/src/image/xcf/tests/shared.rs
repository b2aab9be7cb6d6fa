//! Links that share memory.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixStream};

use super::*;

type Endpoints = HashMap<IpAddr, SocketAddr>;

fn link(own: IpAddr, life: u64, key: &ClusterKey, endpoints: &Endpoints) -> SharedLink {
    let udp = UdpLink::bind(own, life, key, endpoints).unwrap();
    SharedLink::new(udp, own, endpoints).unwrap()
}

/// What the driver does in one turn without packets: links hear what their tasks have to say.
async fn turn(links: &mut [&mut SharedLink]) {
    let mut packet = Packet::full_size();
    for link in links {
        link.flush();
        poll_fn(|cx| {
            assert!(link.poll_recv(cx, &mut packet).is_pending(), "{:?}", packet.bytes());
            Poll::Ready(())
        })
        .await;
    }
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// Sends one datagram by UDP, and waits until data from `a` to `b` goes through memory.
async fn share(a: &mut SharedLink, b: &mut SharedLink) {
    send(a, TWO, b"by UDP");
    assert!(!a.shares_with(TWO));
    assert_eq!(receive(b).await, (ONE, b"by UDP".to_vec()));
    while !a.shares_with(TWO) {
        turn(&mut [a, b]).await;
    }
}

/// As [`receive`], of what was sent in the same turn.
async fn pass(a: &mut SharedLink, b: &mut SharedLink, content: &[u8]) {
    send(a, TWO, content);
    a.flush();
    assert_eq!(receive(b).await, (ONE, content.to_vec()));
}

#[tokio::test]
async fn data_goes_through_memory_and_control_does_not() {
    let endpoints = endpoints();
    let (mut a, mut b) = (link(ONE, 1, &key(1), &endpoints), link(TWO, 1, &key(1), &endpoints));
    contact(&mut a, &mut b).await;
    share(&mut a, &mut b).await;
    // Nobody reads UDP now, and data comes in all the same; a sleeping reader is woken.
    let reader = tokio::spawn(async move {
        let got = receive(&mut b).await;
        (b, got)
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    send(&mut a, TWO, b"through memory");
    a.flush();
    let (mut b, got) = reader.await.unwrap();
    assert_eq!(got, (ONE, b"through memory".to_vec()));
    let mut large = Packet::full_size();
    large.filled(61_472);
    large.bytes_mut().fill(7);
    assert!(a.send_packet(TWO, large).unwrap().is_some(), "the buffer comes back");
    assert_eq!(receive(&mut b).await, (ONE, vec![7; 61_472]));
    pass(&mut a, &mut b, HELLO).await;
    assert_eq!(Cause::ALL.map(|cause| a.refusals().of(cause) + b.refusals().of(cause)), [0; 6]);
}

/// I5: what was meant for one life of a stack never comes to the next one.
#[tokio::test]
async fn memory_ends_with_the_reader() {
    let endpoints = endpoints();
    let (mut a, mut b) = (link(ONE, 1, &key(1), &endpoints), link(TWO, 1, &key(1), &endpoints));
    contact(&mut a, &mut b).await;
    share(&mut a, &mut b).await;
    send(&mut a, TWO, b"to the first life");
    drop(b);
    // Its tasks, and with them its socket, end as soon as the runtime comes by.
    tokio::time::sleep(Duration::from_millis(20)).await;
    // Until it is told, data is lost as it is to a process that is gone.
    let mut b = link(TWO, 2, &key(1), &endpoints);
    while a.shares_with(TWO) {
        turn(&mut [&mut a]).await;
    }
    send(&mut b, ONE, HELLO);
    assert_eq!(receive(&mut a).await, (TWO, HELLO.to_vec()));
    // Two of it, as in `contact`.
    send(&mut a, TWO, HELLO);
    assert_eq!(receive(&mut b).await, (ONE, HELLO.to_vec()));
    assert_eq!(receive(&mut b).await, (ONE, HELLO.to_vec()));
    send(&mut b, ONE, HELLO);
    assert_eq!(receive(&mut a).await, (TWO, HELLO.to_vec()));
    share(&mut a, &mut b).await;
    pass(&mut a, &mut b, b"to the second life").await;
}

#[tokio::test]
async fn what_a_writer_has_written_outlives_it() {
    let endpoints = endpoints();
    let (mut a, mut b) = (link(ONE, 1, &key(1), &endpoints), link(TWO, 1, &key(1), &endpoints));
    contact(&mut a, &mut b).await;
    share(&mut a, &mut b).await;
    send(&mut a, TWO, b"last words");
    drop(a);
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(receive(&mut b).await, (ONE, b"last words".to_vec()));
}

/// Whoever has not the cluster's key gets no memory, and keeps nobody from getting it.
#[tokio::test]
async fn strangers_get_no_memory() {
    let endpoints = endpoints();
    let (mut a, mut b) = (link(ONE, 1, &key(1), &endpoints), link(TWO, 1, &key(1), &endpoints));
    contact(&mut a, &mut b).await;
    let address = UnixAddr::from_abstract_name(format!("cluster-lab xcf {}", endpoints[&TWO])).unwrap();
    let strangers: Vec<UnixStream> = (0..5).map(|_| UnixStream::connect_addr(&address).unwrap()).collect();
    for (mut stranger, length) in strangers.iter().zip([1, 50, 72, 200, 0]) {
        std::io::Write::write_all(&mut stranger, &vec![b'X'; length]).unwrap();
    }
    share(&mut a, &mut b).await;
    pass(&mut a, &mut b, b"undisturbed").await;
    for mut stranger in strangers {
        stranger.set_nonblocking(true).unwrap();
        let got = std::io::Read::read(&mut stranger, &mut [0; 100]);
        assert!(!matches!(got, Ok(1..)), "a stranger was answered");
    }
}

/// Strangers that say nothing are not waited for by anybody who does.
#[tokio::test]
async fn idle_strangers_keep_nobody_waiting() {
    let endpoints = endpoints();
    let (mut a, mut b) = (link(ONE, 1, &key(1), &endpoints), link(TWO, 1, &key(1), &endpoints));
    contact(&mut a, &mut b).await;
    let address = UnixAddr::from_abstract_name(format!("cluster-lab xcf {}", endpoints[&TWO])).unwrap();
    let _strangers: Vec<UnixStream> = (0..100).map(|_| UnixStream::connect_addr(&address).unwrap()).collect();
    // Whoever is refused is not asked again here: then this would last for ever.
    tokio::time::timeout(Duration::from_secs(10), share(&mut a, &mut b)).await.expect("idle strangers are waited for");
    pass(&mut a, &mut b, b"undisturbed").await;
}
