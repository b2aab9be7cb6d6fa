//! The applications on the host's own sockets, over loopback.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Sends `request`, closes that side, and reads to the end.
async fn talk(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    answer
}

fn split(answer: &[u8]) -> (String, &[u8]) {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    (String::from_utf8_lossy(&answer[..end]).to_lowercase(), &answer[end..])
}

#[tokio::test]
async fn http_says_its_name_moves_bytes_and_digests_them() {
    let (listener, address) = listen().await;
    let server = tokio::spawn(http(listener, "MVS2"));
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").into_bytes();

    let answer = talk(address, &get("/")).await;
    let (head, body) = split(&answer);
    assert!(head.starts_with("http/1.1 200") && head.contains("x-image: mvs2\r\n"), "{head}");
    assert_eq!(body, b"MVS2\n");

    let answer = talk(address, &get("/bytes/1000003")).await;
    let (head, body) = split(&answer);
    assert!(head.contains("content-length: 1000003\r\n"), "{head}");
    assert_eq!(body.len(), 1_000_003);
    assert!(body.iter().enumerate().all(|(index, byte)| usize::from(*byte) == index % 251));

    let mut post = b"POST /sink HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nConnection: close\r\n\r\n".to_vec();
    post.extend_from_slice(b"bytes");
    let answer = talk(address, &post).await;
    let digest: String = Sha256::digest(b"bytes").iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(split(&answer).1, format!("5 {digest}\n").as_bytes());

    for (path, status) in [("/nowhere", "404"), ("/bytes/x", "404"), ("/sink", "405")] {
        let answer = talk(address, &get(path)).await;
        let (head, _) = split(&answer);
        assert!(head.starts_with(&format!("http/1.1 {status}")) && head.contains("x-image"), "{path}: {head}");
    }
    server.abort();
}

#[tokio::test]
async fn the_simple_services_do_as_their_rfcs_say() {
    let (listener, address) = listen().await;
    let server = tokio::spawn(echo(listener));
    assert_eq!(talk(address, b"over and over").await, b"over and over");
    server.abort();

    let (listener, address) = listen().await;
    let server = tokio::spawn(discard(listener));
    assert_eq!(talk(address, b"into the void").await, b"");
    server.abort();

    let (listener, address) = listen().await;
    let server = tokio::spawn(chargen(listener));
    let mut lines = vec![0; 148];
    TcpStream::connect(address).await.unwrap().read_exact(&mut lines).await.unwrap();
    assert_eq!(&lines[..4], b" !\"#");
    assert_eq!(&lines[72..78], b"\r\n!\"#$");
    server.abort();
}

/// Whatever the sizes of its reads: a byte, one that fills what is held for an idle connection, and much.
#[tokio::test]
async fn echo_gives_back_much_and_little() {
    let (listener, address) = listen().await;
    let server = tokio::spawn(echo(listener));
    let mut stream = TcpStream::connect(address).await.unwrap();
    for size in [1, 64, 65, 100_000, 3, 64, 40_000, 1] {
        let sent: Vec<u8> = (0..size).map(|index| (index % 251) as u8).collect();
        let (mut reader, mut writer) = stream.split();
        let mut received = vec![0; size];
        let (written, read) = tokio::join!(writer.write_all(&sent), reader.read_exact(&mut received));
        written.unwrap();
        read.unwrap();
        assert_eq!(received, sent, "{size}");
    }
    server.abort();
}

/// R7: a listener that is gone takes no connection with it.
#[tokio::test]
async fn connections_outlive_their_listener() {
    let (listener, address) = listen().await;
    let server = tokio::spawn(echo(listener));
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut byte = [0];
    stream.write_all(b"1").await.unwrap();
    stream.read_exact(&mut byte).await.unwrap();
    server.abort();
    assert!(server.await.unwrap_err().is_cancelled());
    assert!(TcpStream::connect(address).await.is_err());
    stream.write_all(b"2").await.unwrap();
    stream.read_exact(&mut byte).await.unwrap();
    assert_eq!(&byte, b"2");
}

#[tokio::test]
async fn relay_passes_both_ways_and_tells_who_comes() {
    let (behind, target) = listen().await;
    let behind = tokio::spawn(echo(behind));
    for proxy_protocol in [false, true] {
        let (listener, address) = listen().await;
        let target = target.to_string();
        let relay = tokio::spawn(async move {
            relay(listener, Arc::new(HostDialer) as SharedDialer, &target, proxy_protocol).await
        });
        let answer = talk(address, b"through").await;
        // The echo server sends the header back as well.
        assert_eq!(answer.len(), if proxy_protocol { 28 + 7 } else { 7 });
        assert!(answer.ends_with(b"through"));
        relay.abort();
    }
    behind.abort();
}

/// Half of a connection may close while the other goes on; a reset of either side is one on the other.
#[tokio::test]
async fn relay_passes_ends_and_resets() {
    let (behind, target) = listen().await;
    let (listener, address) = listen().await;
    let relay =
        tokio::spawn(
            async move { relay(listener, Arc::new(HostDialer) as SharedDialer, &target.to_string(), false).await },
        );
    let connect = || async { (TcpStream::connect(address).await.unwrap(), behind.accept().await.unwrap().0) };
    let is_reset = |end: io::Result<usize>| end.unwrap_err().kind() == io::ErrorKind::ConnectionReset;

    let (mut client, mut server) = connect().await;
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    let mut heard = Vec::new();
    server.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"question");
    server.write_all(b"answer").await.unwrap();
    drop(server);
    heard.clear();
    client.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"answer");

    for of_server in [true, false] {
        let (mut client, mut server) = connect().await;
        // The relay has connected, and copies.
        client.write_all(b"?").await.unwrap();
        server.read_exact(&mut [0]).await.unwrap();
        let (resets, mut sees) = if of_server { (server, client) } else { (client, server) };
        resets.set_zero_linger().unwrap();
        drop(resets);
        assert!(is_reset(sees.read(&mut [0]).await), "of the server: {of_server}");
    }
    relay.abort();
}
