//! What the supervisor sends to whoever watches.

use std::io;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tokio::io::BufReader;
use tokio::net::UnixStream;

use super::{Event, Sample};
use crate::control::{self, ImageState, Request};

/// What a watcher is told, in the order in which it happens.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Update {
    /// First of all. It comes again to a watcher that has read too slowly to be told everything: what it
    /// knows is void.
    Begin(Box<Beginning>),
    /// Something happened.
    Event(Event),
    /// How the images are.
    Sample(Box<Sample>),
}

/// A lab as a watcher meets it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Beginning {
    /// The lab's name.
    pub lab: String,
    /// When it began, in microseconds since 1970: all other times count from there.
    pub began: u64,
    /// The time now.
    pub at: u64,
    /// The client's address.
    pub client: IpAddr,
    /// The client network's first address, and the length of its prefix.
    pub subnet: (IpAddr, u8),
    /// The images.
    pub images: Vec<ImageLayout>,
    /// Names that stand for addresses.
    pub names: Vec<(String, IpAddr)>,
    /// Everything that has happened so far, as far as the event log reaches.
    pub events: Vec<Event>,
}

/// An image as its profile makes it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ImageLayout {
    /// Its name.
    pub name: String,
    /// Its XCF address.
    pub xcf: IpAddr,
    /// Its address on the client network, if it has a link there.
    pub link: Option<IpAddr>,
    /// Its applications.
    pub apps: Vec<String>,
    /// How it is.
    pub state: ImageState,
}

/// Updates of one lab.
#[derive(Debug)]
pub struct Feed(BufReader<UnixStream>);

impl Feed {
    /// Watches the lab whose supervisor has this socket.
    ///
    /// # Errors
    /// If no lab is there.
    pub async fn open(socket: &Path) -> io::Result<Feed> {
        let mut stream = UnixStream::connect(socket).await?;
        control::write(&mut stream, &Request::Watch).await?;
        Ok(Feed(BufReader::new(stream)))
    }

    /// The next update; none once the lab has ended. Not to be dropped halfway: an update would be lost.
    ///
    /// # Errors
    /// If the lab says something else.
    pub async fn next(&mut self) -> Result<Option<Update>> {
        match control::read(&mut self.0).await {
            // The supervisor was killed while it wrote.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(None),
            read => read.context("what the lab tells cannot be read; is it of another version?"),
        }
    }
}
