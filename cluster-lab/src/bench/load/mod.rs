//! The load that every shape gets from the same client, and the sink that the kernel's side has.
//!
//! Each runs as a process of its own in the right network: `cluster-lab load …`, one line of JSON
//! on standard output. Sockets are the kernel's, and block but where many are paced.

mod flows;
mod http;
mod paced;

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::{Args, Subcommand};

pub(super) use flows::Rate;
pub(super) use paced::Latency;

/// A server that does not listen by then never will.
const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// An answer that takes longer is lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// What `cluster-lab load` does.
#[derive(Debug, Subcommand)]
pub enum Load {
    /// Wait until servers answer
    Check {
        /// The servers
        #[arg(required = true)]
        to: Vec<SocketAddr>,
    },
    /// Download over HTTP
    Down(Flows),
    /// Send to a sink
    Up(Flows),
    /// HTTP requests at half of the rate that the server can take, by a clock
    Paced {
        /// The server
        to: SocketAddr,
        /// Connections
        #[arg(long, default_value_t = 50)]
        connections: usize,
        #[command(flatten)]
        /// For how long
        times: Times,
    },
    /// Read and forget what clients send (RFC 863)
    Sink {
        /// Where
        listen: SocketAddr,
    },
}

/// Flows in one direction.
#[derive(Clone, Copy, Debug, Args)]
pub struct Flows {
    /// The server
    to: SocketAddr,
    /// How many connections, each with a thread of its own
    #[arg(long, default_value_t = 1)]
    flows: usize,
    #[command(flatten)]
    times: Times,
}

/// Times in milliseconds.
#[derive(Clone, Copy, Debug, Args)]
pub struct Times {
    /// What is not counted, at first
    #[arg(long)]
    warm_up: u64,
    /// What is measured
    #[arg(long)]
    millis: u64,
}

impl Times {
    fn warm_up(self) -> Duration {
        Duration::from_millis(self.warm_up)
    }

    fn measured(self) -> Duration {
        Duration::from_millis(self.millis)
    }
}

/// The process, whole.
///
/// # Errors
/// What the server did wrong.
pub fn main(load: &Load) -> Result<()> {
    let outcome = match load {
        Load::Check { to } => {
            to.iter().try_for_each(|to| connect(*to).map(drop))?;
            return Ok(());
        }
        Load::Down(flows) => serde_json::to_string(&flows::down(*flows)?)?,
        Load::Up(flows) => serde_json::to_string(&flows::up(*flows)?)?,
        Load::Paced { to, connections, times } => serde_json::to_string(&paced::paced(*to, *connections, *times)?)?,
        Load::Sink { listen } => return flows::sink(*listen),
    };
    println!("{outcome}");
    Ok(())
}

/// Connects as soon as the server listens.
fn connect(to: SocketAddr) -> Result<TcpStream> {
    let began = Instant::now();
    loop {
        match TcpStream::connect_timeout(&to, CONNECT_WAIT) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused && began.elapsed() < CONNECT_WAIT => {
                std::thread::sleep(Duration::from_millis(10));
            }
            connected => {
                let stream = connected.with_context(|| format!("{to} cannot be connected to"))?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                return Ok(stream);
            }
        }
    }
}
