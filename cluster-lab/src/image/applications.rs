//! The applications of one image.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, anyhow, bail};
use async_trait::async_trait;
use stack::tcp::ListenOptions;
use tokio::task::JoinHandle;

use super::shared::Shared;
use super::socket::{TcpListener, TcpStream, UdpSocket};
use crate::apps::{self, Datagrams, Dialer, Listener, SharedDialer, Stream};
use crate::control::{AppStatus, Start};
use crate::dial::SupervisorDialer;
use crate::profile::{App, AppKind, Image, Side};
use crate::suggest;
use crate::web::{self, Site, Token};

#[async_trait]
impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr, SocketAddr)> {
        let (stream, peer) = TcpListener::accept(self).await?;
        let local = stream.local_addr()?;
        Ok((stream, peer, local))
    }
}

#[async_trait]
impl Datagrams for UdpSocket {
    async fn receive(&mut self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr, SocketAddr)> {
        self.recv_from(buffer).await
    }

    async fn send(&mut self, data: &[u8], source: SocketAddr, destination: SocketAddr) -> io::Result<()> {
        self.send_to(data, source, destination)
    }
}

/// Connects by the image's own stack.
struct ImageDialer(Arc<Shared>);

#[async_trait]
impl Dialer for ImageDialer {
    async fn dial(&self, target: &str) -> io::Result<Box<dyn Stream>> {
        let remote = target.parse().map_err(|error| io::Error::other(format!("{target}: {error}")))?;
        let stream = TcpStream::connect(&self.0, None, remote).await?;
        stream.set_nodelay(true)?;
        Ok(Box::new(stream))
    }
}

impl Stream for TcpStream {
    fn reset(&mut self) {
        TcpStream::reset(self);
    }
}

struct Slot {
    app: App,
    /// Where it listens: PORT may have bound a listener at every address to one.
    bind: Option<IpAddr>,
    tasks: Vec<JoinHandle<()>>,
}

/// See the module.
pub(super) struct Applications {
    image: String,
    shared: Arc<Shared>,
    supervisor: PathBuf,
    token: Token,
    slots: Vec<Slot>,
}

impl Applications {
    pub fn new(image: &Image, shared: Arc<Shared>, start: &Start) -> Self {
        let slots = image.apps.iter().map(|app| Slot { app: app.clone(), bind: app.bind, tasks: Vec::new() }).collect();
        let (supervisor, token) = (start.supervisor.clone(), start.token.clone());
        Applications { image: image.name.clone(), shared, supervisor, token, slots }
    }

    fn find(&self, name: &str) -> Result<usize> {
        self.slots.iter().position(|slot| slot.app.name.eq_ignore_ascii_case(name)).ok_or_else(|| {
            let names: Vec<&str> = self.slots.iter().map(|slot| slot.app.name.as_str()).collect();
            if names.is_empty() {
                return anyhow!("{} has no application {name}: its profile gives it none", self.image);
            }
            let meant = suggest::did_you_mean(name, names.iter().copied());
            anyhow!("{} has no application {name}: it has {}{meant}", self.image, names.join(", "))
        })
    }

    /// Starts all that start with the image; returns what kept one or another from it.
    pub fn start_all(&mut self) -> Vec<anyhow::Error> {
        let wanted: Vec<usize> = (0..self.slots.len()).filter(|index| self.slots[*index].app.start).collect();
        let start = |index| {
            let started = self.start_at(index);
            started
                .err()
                .map(|error| error.context(format!("application {} is not started", self.slots[index].app.name)))
        };
        wanted.into_iter().filter_map(start).collect()
    }

    pub fn stop_all(&mut self) {
        self.slots.iter_mut().for_each(stop);
    }

    pub fn start(&mut self, name: &str) -> Result<()> {
        let index = self.find(name)?;
        if !self.slots[index].tasks.is_empty() {
            bail!("{} runs already on {}", self.slots[index].app.name, self.image);
        }
        self.start_at(index)
    }

    /// Connections that it serves go on (R7).
    pub fn stop(&mut self, name: &str) -> Result<()> {
        let index = self.find(name)?;
        if self.slots[index].tasks.is_empty() {
            bail!("{} does not run on {}", self.slots[index].app.name, self.image);
        }
        stop(&mut self.slots[index]);
        Ok(())
    }

    /// Where an application listens: its address, `None` for every address, and its port.
    pub fn place_of(&self, name: &str) -> Result<(Option<IpAddr>, u16)> {
        let slot = &self.slots[self.find(name)?];
        Ok((slot.bind, slot.app.port))
    }

    /// The application that listens there, or at every address.
    pub fn user_of(&self, address: Option<IpAddr>, port: u16) -> Option<&str> {
        let fits = |slot: &&Slot| slot.app.port == port && (slot.bind.is_none() || slot.bind == address);
        // Connections may outlive the application that took them.
        let best = self.slots.iter().filter(fits).max_by_key(|slot| (!slot.tasks.is_empty(), slot.bind.is_some()));
        best.map(|slot| slot.app.name.as_str())
    }

    pub fn list(&self) -> Vec<AppStatus> {
        let status = |slot: &Slot| AppStatus {
            name: slot.app.name.clone(),
            kind: slot.app.kind.to_string(),
            listens: crate::netstat::socket(slot.address()),
            running: !slot.tasks.is_empty(),
        };
        self.slots.iter().map(status).collect()
    }

    fn start_at(&mut self, index: usize) -> Result<()> {
        let app = self.slots[index].app.clone();
        self.slots[index].bind = self.shared.lock().settings.place(&app.name, app.bind, app.port)?;
        let at = self.slots[index].address();
        let mut options = ListenOptions { nodelay: true, ..ListenOptions::default() };
        if let Some(backlog) = self.shared.lock().settings.backlog {
            options.backlog = backlog;
        }
        let listener = TcpListener::bind(&self.shared, at, options)?;
        // Before anything runs: it has all of its sockets, or it does not start.
        let datagrams = match app.kind {
            AppKind::echo => Some(UdpSocket::bind(&self.shared, at)?),
            _ => None,
        };
        let image = self.image.clone();
        let mut tasks = vec![match app.kind {
            AppKind::http => tokio::spawn(async move { drop(apps::http(listener, &image).await) }),
            AppKind::echo => tokio::spawn(async move { drop(apps::echo(listener).await) }),
            AppKind::discard => tokio::spawn(async move { drop(apps::discard(listener).await) }),
            AppKind::chargen => tokio::spawn(async move { drop(apps::chargen(listener).await) }),
            AppKind::web => {
                let (supervisor, token) = (self.supervisor.clone(), self.token.clone());
                let site = Site { supervisor, token, open: true, image: Some(image) };
                tokio::spawn(async move { drop(web::serve(listener, site).await) })
            }
            AppKind::relay { ref to, from, proxy_protocol } => {
                let dialer: SharedDialer = match from {
                    Side::host => Arc::new(SupervisorDialer(self.supervisor.clone())),
                    Side::image => Arc::new(ImageDialer(self.shared.clone())),
                };
                let to = to.clone();
                tokio::spawn(async move { drop(apps::relay(listener, dialer, &to, proxy_protocol).await) })
            }
        }];
        if let Some(socket) = datagrams {
            tasks.push(tokio::spawn(async move { drop(apps::echo_datagrams(socket).await) }));
        }
        self.slots[index].tasks = tasks;
        Ok(())
    }
}

impl Slot {
    fn address(&self) -> SocketAddr {
        SocketAddr::new(self.bind.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), self.app.port)
    }
}

fn stop(slot: &mut Slot) {
    slot.tasks.drain(..).for_each(|task| task.abort());
}

impl Drop for Applications {
    fn drop(&mut self) {
        self.stop_all();
    }
}
