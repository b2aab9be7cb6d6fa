//! How long a connection with a message every millisecond is without an answer when its router dies.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use super::stage::{BACKUP, ROUTER, Side, settled};
use crate::control::{ImageState, Request};
use crate::demo::prober::Prober;
use crate::probe::Order;

const ECHO: u16 = 7;
/// Before the router dies, and after its backup has taken over.
const MOMENT: Duration = Duration::from_millis(200);

/// Kills the router under a connection, and starts it again; the longest gap in milliseconds.
pub(super) async fn gap(side: &Side<'_>) -> Result<f64> {
    let lab = side.lab().context("only a lab has a router that can die")?;
    let mut prober = Prober::start(lab)?;
    let (set, to) = ("one".to_owned(), SocketAddr::new(side.server, ECHO));
    prober.order(Order::Open { set: set.clone(), to, count: 1, every: Some(1) }).await?;
    tokio::time::sleep(MOMENT).await;
    prober.order(Order::Check { set: set.clone() }).await?;
    lab.order(Request::Kill { image: ROUTER.into(), signal: Signal::KILL.as_raw() }).await?;
    lab.wait(&format!("{BACKUP} has taken over"), async || {
        let owners: Vec<_> = lab.status().await?.dvipas.into_iter().map(|dvipa| dvipa.owner).collect();
        let holds = owners.iter().all(|owner| owner.as_deref() == Some(BACKUP));
        Ok(if holds { Ok(()) } else { Err(format!("the owners are {owners:?}")) })
    })
    .await?;
    tokio::time::sleep(MOMENT).await;
    let outcome = prober.order(Order::Check { set: set.clone() }).await?;
    ensure!(outcome.survivors == 1, "the connection was lost: {:?}", outcome.failures);
    prober.order(Order::Close { set }).await?;
    lab.wait(&format!("{ROUTER} has ended"), async || {
        let images = lab.status().await?.images;
        let runs = images.iter().any(|image| image.name == ROUTER && image.state == ImageState::Running);
        Ok(if runs { Err("it runs".into()) } else { Ok(()) })
    })
    .await?;
    lab.order(Request::Start { image: ROUTER.into() }).await?;
    settled(lab).await?;
    #[allow(clippy::cast_precision_loss, reason = "microseconds of less than a minute")]
    let gap = outcome.longest_gap_us.map(|micros| micros as f64 / 1000.0);
    gap.context("the connection got no answer at all")
}
