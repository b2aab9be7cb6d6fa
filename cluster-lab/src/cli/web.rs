//! `web`: the lab in a browser, on this machine.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use clap::Args;
use tokio::net::{TcpListener, UnixStream};

use super::{client, show};
use crate::control::{Reply, Request};
use crate::interruption::Interruption;
use crate::state::StateDir;
use crate::suggest;
use crate::web::{self, Site, Token};

#[derive(Debug, Args)]
pub(super) struct Web {
    /// Where to listen; port 0 is any that is free. Beyond loopback everybody who reaches the address sees the
    /// token go by: there is no TLS
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    #[command(flatten)]
    lab: super::Lab,
}

/// Serves until Ctrl-C, or until the lab ends.
pub(super) async fn web(web: Web) -> Result<()> {
    let name = &web.lab.name;
    let supervisor = StateDir::of(name)?.socket();
    let (token, servers) = match client::ask(name, Request::Token).await? {
        Reply::Token(token, servers) => (token, servers),
        other => return client::unexpected(&other),
    };
    let listener = TcpListener::bind(web.listen).await;
    let listener =
        listener.with_context(|| format!("{} cannot be listened on: choose another --listen", web.listen))?;
    show::lines(&introduction(name, listener.local_addr()?, &token, &servers))?;
    // Says nothing: its end is the lab's.
    let lab = UnixStream::connect(&supervisor).await.context("the lab has ended")?;
    let mut interruption = Interruption::watch()?;
    let site = Site { supervisor, token, open: false, image: None };
    tokio::select! {
        served = web::serve(listener, site) => Ok(served?),
        _ = lab.readable() => show::lines(&["the lab has ended".into()]),
        _ = interruption.comes() => Ok(()),
    }
}

fn introduction(name: &str, at: SocketAddr, token: &Token, servers: &[(String, SocketAddr)]) -> Vec<String> {
    let url = |at: SocketAddr| format!("http://{at}/#token={}", token.as_str());
    let mut lines = vec![format!("lab '{name}' in a browser, until Ctrl-C:"), format!("  {}", url(at))];
    let mut addresses: Vec<SocketAddr> = servers.iter().map(|(_, at)| *at).collect();
    addresses.sort();
    addresses.dedup();
    if !at.ip().is_loopback() {
        lines.push("  beware: whoever is on the way there can read the token, as there is no TLS".into());
    }
    if !addresses.is_empty() {
        lines.push("served by the cluster itself, on the client side of its network:".into());
        lines.extend(addresses.into_iter().map(|at| format!("  {}", url(at))));
    }
    lines
}

/// Prints what Prometheus would read.
pub(super) async fn metrics(name: &str, image: Option<&str>) -> Result<()> {
    // That it runs, and has the image, is checked here, with words for people.
    let status = client::status(name).await?;
    let known = |image: &str| status.images.iter().find(|known| known.name.eq_ignore_ascii_case(image));
    let image = match image.map(|image| known(image).ok_or(image)) {
        None => None,
        Some(Ok(known)) => Some(known.name.as_str()),
        Some(Err(image)) => {
            bail!("{}", suggest::no_image(image, status.images.iter().map(|known| known.name.as_str())))
        }
    };
    let text = crate::metrics::collect(&StateDir::of(name)?.socket(), image).await?;
    show::lines(&[text.trim_end().to_owned()])
}
