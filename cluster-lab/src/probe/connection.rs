//! One connection of the probe.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::sys;

/// An answer that takes longer is lost. After an outage the kernel may wait for as long again before
/// it retransmits (RFC 6298, 5.5), so this is far more than any outage that clients should survive.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection, at rest or sending in a task of its own.
#[derive(Debug)]
pub(super) struct Held {
    source: Option<SocketAddr>,
    every: Option<Duration>,
    state: State,
}

#[derive(Debug)]
enum State {
    Rests(Result<Connection, String>),
    Sends { stop: oneshot::Sender<()>, task: JoinHandle<io::Result<Connection>> },
}

/// What was measured since the last time.
#[derive(Debug, Default)]
pub(super) struct Measured {
    pub answered: u64,
    pub longest_gap: Option<Duration>,
    pub retransmissions: u32,
}

impl Held {
    /// Connects to `to`; the connection sends a message `every` so long, if that is given.
    pub async fn open(to: SocketAddr, every: Option<Duration>) -> Held {
        let opened = match timeout(PATIENCE, TcpStream::connect(to)).await {
            Ok(opened) => opened.and_then(Connection::new).map_err(|error| format!("connect: {error}")),
            Err(_) => Err("connect: no answer".into()),
        };
        let source = opened.as_ref().ok().and_then(|opened| opened.stream.local_addr().ok());
        let mut held = Held { source, every, state: State::Rests(opened) };
        held.go_on();
        held
    }

    /// Starts sending, if that is what the connection is for.
    pub fn go_on(&mut self) {
        let Some(every) = self.every else { return };
        let lost = State::Rests(Err("lost".into()));
        self.state = match std::mem::replace(&mut self.state, lost) {
            State::Rests(Ok(connection)) => {
                let (stop, stopped) = oneshot::channel();
                State::Sends { stop, task: tokio::spawn(connection.send(every, stopped)) }
            }
            other => other,
        };
    }

    /// Stops sending, and waits for the answers that are on their way.
    pub async fn settle(self) -> Held {
        let Held { source, every, state } = self;
        let rested = match state {
            State::Rests(rested) => rested,
            State::Sends { stop, task } => {
                // If it has ended by itself, its result says why.
                let _ = stop.send(());
                match task.await {
                    Ok(rested) => rested.map_err(|error| error.to_string()),
                    Err(error) => Err(error.to_string()),
                }
            }
        };
        Held { source, every, state: State::Rests(rested) }
    }

    /// Settles, and then exchanges one more message.
    pub async fn check(self) -> Held {
        let Held { source, every, state } = self.settle().await;
        let State::Rests(Ok(mut connection)) = state else { return Held { source, every, state } };
        let checked = connection.exchange().await.map_err(|error| error.to_string());
        Held { source, every, state: State::Rests(checked.map(|()| connection)) }
    }

    /// Its own end.
    pub fn source(&self) -> Option<SocketAddr> {
        self.source
    }

    /// Why it is lost, if it is.
    pub fn failure(&self) -> Option<&str> {
        match &self.state {
            State::Rests(Err(why)) => Some(why),
            _ => None,
        }
    }

    /// What was measured since the last time; nothing while it sends.
    pub fn measure(&mut self) -> Measured {
        match &mut self.state {
            State::Rests(Ok(connection)) => connection.measure(),
            _ => Measured::default(),
        }
    }
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    /// Number of the next message.
    next: u64,
    /// Number of the next answer.
    awaited: u64,
    /// Bytes of answers that are not whole yet.
    partial: BytesMut,
    last_answer: Instant,
    longest_gap: Option<Duration>,
    /// Answers and retransmissions when last measured.
    before: (u64, u32),
}

impl Connection {
    fn new(stream: TcpStream) -> io::Result<Connection> {
        stream.set_nodelay(true)?;
        Ok(Connection {
            stream,
            next: 0,
            awaited: 0,
            partial: BytesMut::new(),
            last_answer: Instant::now(),
            longest_gap: None,
            before: (0, 0),
        })
    }

    /// Sends a message `every` so long until `stop`; returns with every answer in.
    async fn send(mut self, every: Duration, mut stop: oneshot::Receiver<()>) -> io::Result<Connection> {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        self.last_answer = Instant::now();
        loop {
            tokio::select! {
                _ = ticks.tick() => self.write().await?,
                read = self.stream.read_buf(&mut self.partial) => self.heard(read?, true)?,
                _ = &mut stop => break,
            }
        }
        self.drain(true).await?;
        Ok(self)
    }

    /// One message and its answer.
    async fn exchange(&mut self) -> io::Result<()> {
        self.write().await?;
        self.drain(false).await
    }

    async fn write(&mut self) -> io::Result<()> {
        let message = self.next.to_be_bytes();
        self.next += 1;
        timeout(PATIENCE, self.stream.write_all(&message)).await?
    }

    /// Waits for every answer.
    async fn drain(&mut self, timed: bool) -> io::Result<()> {
        while self.awaited < self.next {
            let read = timeout(PATIENCE, self.stream.read_buf(&mut self.partial)).await;
            let silent = |_| io::Error::other(format!("answer {} of {} does not come", self.awaited, self.next));
            let read = read.map_err(silent)??;
            self.heard(read, timed)?;
        }
        Ok(())
    }

    /// `count` more bytes are in `partial`.
    fn heard(&mut self, count: usize, timed: bool) -> io::Result<()> {
        if count == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the other side closed the connection"));
        }
        while self.partial.len() >= size_of::<u64>() {
            let number = self.partial.get_u64();
            if number != self.awaited || number >= self.next {
                return Err(io::Error::other(format!("answer {} is wrong: {number}", self.awaited)));
            }
            self.awaited += 1;
            let now = Instant::now();
            let gap = now - std::mem::replace(&mut self.last_answer, now);
            self.longest_gap = self.longest_gap.max(timed.then_some(gap));
        }
        Ok(())
    }

    fn measure(&mut self) -> Measured {
        // A connection without this number would still be measured in all else.
        let now = (self.awaited, sys::retransmissions(&self.stream).unwrap_or(self.before.1));
        let (answered, retransmissions) = std::mem::replace(&mut self.before, now);
        Measured {
            answered: now.0 - answered,
            longest_gap: self.longest_gap.take(),
            retransmissions: now.1.saturating_sub(retransmissions),
        }
    }
}
