//! The probe against servers that behave, and servers that do not.

use std::future::Future;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// A server on the loopback that does `serve` with each connection.
async fn server<F: Future<Output = ()> + Send + 'static>(
    serve: impl Fn(TcpStream) -> F + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

/// Echoes for ever, after changing what came in.
async fn echo(change: fn(u64, u64) -> u64) -> SocketAddr {
    server(move |mut stream| async move {
        let mut count = 0;
        while let Ok(message) = stream.read_u64().await {
            if stream.write_u64(change(count, message)).await.is_err() {
                return;
            }
            count += 1;
        }
    })
    .await
}

fn open(to: SocketAddr, count: usize, every: Option<u64>) -> Order {
    Order::Open { set: "set".into(), to, count, every }
}

fn check() -> Order {
    Order::Check { set: "set".into() }
}

#[tokio::test]
async fn connections_that_live_are_counted_and_measured() {
    let (to, mut sets) = (echo(|_, message| message).await, BTreeMap::new());
    assert_eq!(follow(open(to, 3, None), &mut sets).await.survivors, 3);
    let silent = follow(check(), &mut sets).await;
    assert_eq!((silent.connections, silent.survivors, silent.answered, silent.longest_gap_us), (3, 3, 3, None));
    follow(open(to, 2, Some(1)), &mut sets).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let first = follow(check(), &mut sets).await;
    assert_eq!((first.connections, first.survivors), (5, 5));
    assert!(first.longest_gap_us.is_some() && first.answered > 7, "{first:?}");
    // Those that send have gone on.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let last = follow(Order::Close { set: "set".into() }, &mut sets).await;
    assert!(last.survivors == 5 && last.answered > 2, "{last:?}");
    assert_eq!(follow(check(), &mut sets).await, Outcome::default());
}

#[tokio::test]
async fn what_is_lost_doubled_or_closed_is_a_failure() {
    let lost = echo(|count, message| message + u64::from(count == 1)).await;
    let doubled = echo(|count, message| message - u64::from(count == 1)).await;
    let closed = server(|mut stream| async move {
        drop(stream.read_u64().await);
        drop(stream.write_u64(0).await);
    })
    .await;
    let refused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for (to, survivors) in [(lost, [2, 2, 0]), (doubled, [2, 2, 0]), (closed, [2, 2, 0]), (refused, [0, 0, 0])] {
        let mut sets = BTreeMap::new();
        let mut outcomes = vec![follow(open(to, 2, None), &mut sets).await];
        outcomes.push(follow(check(), &mut sets).await);
        outcomes.push(follow(check(), &mut sets).await);
        assert_eq!(outcomes.iter().map(|outcome| outcome.survivors).collect::<Vec<_>>(), survivors, "{outcomes:?}");
        assert_eq!((outcomes[2].connections, outcomes[2].failures.len()), (2, 2));
    }
}

#[test]
fn orders_are_lines_of_json() {
    let order = |text| serde_json::from_str::<Order>(text);
    assert_eq!(order(r#"{"check": {"set": "set"}}"#).unwrap(), check());
    let to = SocketAddr::from(([203, 0, 113, 1], 7));
    assert_eq!(order(r#"{"open": {"set": "set", "to": "203.0.113.1:7", "count": 3}}"#).unwrap(), open(to, 3, None));
    assert!(order(r#"{"open": {"set": "set", "to": "203.0.113.1", "count": 3}}"#).is_err());
    assert!(order(r#"{"check": {"set": "set", "count": 3}}"#).is_err());
}
