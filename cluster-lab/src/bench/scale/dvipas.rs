//! A router with many DVIPAs, and its backup.

use std::time::Instant;

use anyhow::Result;

use super::cluster::{BACKUP, ROUTER, Shape};
use super::held::takeover;
use super::images::settled;
use super::report::DvipaRow;
use super::with_lab;
use crate::control::Request;
use crate::demo::prober::Prober;
use crate::interruption::Interruption;
use crate::probe::Order;

/// Two targets beside the router and its backup.
const IMAGES: usize = 4;

/// Measures how soon so many DVIPAs are owned, and how soon taken over.
pub(super) async fn measure(name: &str, dvipas: usize, interruption: &mut Interruption) -> Result<DvipaRow> {
    let shape = Shape { images: IMAGES, dvipas, ports: 1, all_serve: false };
    let began = Instant::now();
    with_lab(name, shape.cluster()?, false, interruption, async |lab| {
        settled(lab, shape).await?;
        let owned = began.elapsed();
        let (mut prober, set) = (Prober::start(lab)?, "one for each".to_owned());
        for dvipa in 0..dvipas {
            let to = Shape::server(dvipa, 0);
            prober.order(Order::Open { set: set.clone(), to, count: 1, every: None }).await?;
        }
        lab.order(Request::Kill { image: ROUTER.into(), signal: rustix::process::Signal::KILL.as_raw() }).await?;
        lab.wait(&format!("{BACKUP} owns all DVIPAs"), async || {
            let status = lab.status().await?;
            let owned = status.dvipas.iter().filter(|dvipa| dvipa.owner.as_deref() == Some(BACKUP)).count();
            Ok(if owned == dvipas { Ok(()) } else { Err(format!("it owns {owned} of {dvipas}")) })
        })
        .await?;
        let (takeover_ms, _) = takeover(lab, dvipas).await?;
        let outcome = prober.order(Order::Check { set }).await?;
        Ok(DvipaRow {
            dvipas,
            images: IMAGES,
            owned_ms: owned.as_secs_f64() * 1000.0,
            takeover_ms,
            connections: outcome.connections,
            lost: outcome.connections - outcome.survivors,
        })
    })
    .await
}
