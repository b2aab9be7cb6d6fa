//! Clusters of many images: how soon they are up, what an idle one occupies, and what they say.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::cluster::{ROUTER, Shape};
use super::memory::Memory;
use super::report::ImageRow;
use super::traffic::{Rate, Traffic, during};
use super::with_lab;
use crate::control::ImageState;
use crate::demo::lab::Lab;
use crate::demo::prober::Prober;
use crate::interruption::Interruption;
use crate::probe::Order;

/// After something has happened, until it is over for sure.
const MOMENT: Duration = Duration::from_millis(300);

/// Measures a cluster of so many images, all of them targets of one DVIPA.
pub(super) async fn measure(
    name: &str,
    images: usize,
    in_process: bool,
    connections: usize,
    watched: u64,
    interruption: &mut Interruption,
) -> Result<ImageRow> {
    let shape = Shape { images, dvipas: 1, ports: 1, all_serve: true };
    let began = Instant::now();
    with_lab(name, shape.cluster()?, in_process, interruption, async |lab| {
        settled(lab, shape).await?;
        let up = began.elapsed();
        tokio::time::sleep(MOMENT).await;
        let processes = processes(lab).await?;
        let idle = Rate::of(lab, &processes, watched).await?;
        let memory = Memory::average(&processes)?;
        // Of one process all images have a part.
        let parts = if in_process { images as f64 } else { 1.0 };
        let mut prober = Prober::start(lab)?;
        let (set, to) = ("some".to_owned(), Shape::server(0, 0));
        let open = Order::Open { set: set.clone(), to, count: connections, every: None };
        let mut exchange = async |order| -> Result<Traffic> {
            let done = async {
                let outcome = prober.order(order).await?;
                ensure!(outcome.failures.is_empty(), "connections were lost: {:?}", outcome.failures.first());
                tokio::time::sleep(MOMENT).await;
                Ok(())
            };
            let ((), sent) = during(lab, done).await?;
            Ok(sent.times(1.0 / connections.max(1) as f64))
        };
        let opened = exchange(open).await?;
        let closed = exchange(Order::Close { set }).await?;
        Ok(ImageRow {
            images,
            in_process,
            up_ms: up.as_secs_f64() * 1000.0,
            rss_bytes: memory.rss / parts,
            pss_bytes: memory.pss / parts,
            processors: idle.processors,
            datagrams_per_second: idle.traffic.datagrams,
            bytes_per_second: idle.traffic.bytes,
            connections,
            datagrams_per_open: opened.datagrams,
            bytes_per_open: opened.bytes,
            datagrams_per_close: closed.datagrams,
            bytes_per_close: closed.bytes,
        })
    })
    .await
}

/// Waits until every image is in contact with every other, and the router sends each DVIPA's
/// connections to every target.
pub(super) async fn settled(lab: &Lab, shape: Shape) -> Result<()> {
    let pairs = shape.images * (shape.images - 1);
    let mut last = Instant::now();
    lab.wait("all images are in contact and serve", async || {
        let log = lab.log(usize::MAX).await;
        let met = log.iter().filter(|line| line.contains(": in contact with ")).count();
        if met < pairs {
            return Ok(Err(format!("{met} of {pairs} pairs are in contact")));
        }
        // A question to every image: not all the time.
        if last.elapsed() < Duration::from_millis(5) {
            return Ok(Err("not asked yet".into()));
        }
        last = Instant::now();
        let dvipas = lab.status().await?.dvipas;
        let holds = |owner: Option<&str>, targets: usize| owner == Some(ROUTER) && targets == shape.targets();
        let settled = dvipas.iter().filter(|dvipa| holds(dvipa.owner.as_deref(), dvipa.targets.len())).count();
        Ok(if settled == shape.dvipas { Ok(()) } else { Err(format!("{settled} DVIPAs are distributed")) })
    })
    .await
}

/// The processes that images live in.
pub(super) async fn processes(lab: &Lab) -> Result<Vec<u32>> {
    let images = lab.status().await?.images.into_iter().filter(|image| image.state == ImageState::Running);
    let mut processes: Vec<u32> = images.filter_map(|image| image.pid).collect();
    processes.sort_unstable();
    processes.dedup();
    Ok(processes)
}
