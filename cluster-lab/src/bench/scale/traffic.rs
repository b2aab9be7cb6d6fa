//! Control traffic of a whole cluster: what its images count.

use std::ops::Sub;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::memory::processor_time;
use crate::control::ImageState;
use crate::demo::lab::Lab;
use crate::netstat::{Report, ReportKind};

/// Control datagrams that all images have sent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Traffic {
    pub datagrams: f64,
    /// Without what UDP, IP and the seal add.
    pub bytes: f64,
}

/// What is counted.
#[derive(Clone, Copy, Debug)]
enum Counted {
    All,
    /// What goes on however idle a cluster is, is left out.
    ButHeartbeats,
}

impl Sub for Traffic {
    type Output = Traffic;

    fn sub(self, other: Traffic) -> Traffic {
        Traffic { datagrams: self.datagrams - other.datagrams, bytes: self.bytes - other.bytes }
    }
}

impl Traffic {
    /// So many times as much.
    pub fn times(self, factor: f64) -> Traffic {
        Traffic { datagrams: self.datagrams * factor, bytes: self.bytes * factor }
    }

    /// What the running images have sent so far, and when that was, as they are asked one after another.
    async fn so_far(lab: &Lab, counted: Counted) -> Result<(Traffic, Instant)> {
        let mut sum = Traffic::default();
        let images = lab.status().await?.images;
        let began = Instant::now();
        for image in images.into_iter().filter(|image| image.state == ImageState::Running) {
            let Report::Stats(groups) = lab.netstat(&image.name, ReportKind::Stats).await? else {
                bail!("{} has no statistics", image.name)
            };
            let group = groups.get("XCF").with_context(|| format!("{} counts nothing of XCF", image.name))?;
            let of = |counter: &str| group.get(counter).copied().unwrap_or(0) as f64;
            sum.datagrams += of("ControlOutDatagrams");
            sum.bytes += of("ControlOutOctets");
            if let Counted::ButHeartbeats = counted {
                sum.datagrams -= of("HeartbeatOutDatagrams");
                sum.bytes -= of("HeartbeatOutOctets");
            }
        }
        Ok((sum, began + began.elapsed() / 2))
    }
}

/// What a cluster does in a second.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rate {
    pub traffic: Traffic,
    /// Processor seconds of all its processes.
    pub processors: f64,
}

impl Rate {
    /// Watches a cluster for so many seconds.
    pub async fn of(lab: &Lab, processes: &[u32], seconds: u64) -> Result<Rate> {
        let ((before, began), used, watched) =
            (Traffic::so_far(lab, Counted::All).await?, processor_time(processes), Instant::now());
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        let processors = (processor_time(processes) - used) / watched.elapsed().as_secs_f64();
        let (after, ended) = Traffic::so_far(lab, Counted::All).await?;
        Ok(Rate { traffic: (after - before).times(1.0 / (ended - began).as_secs_f64()), processors })
    }
}

/// What a cluster sends while `work` is done, beside its heartbeats.
pub(super) async fn during<T>(lab: &Lab, work: impl Future<Output = Result<T>>) -> Result<(T, Traffic)> {
    let (before, _) = Traffic::so_far(lab, Counted::ButHeartbeats).await?;
    let done = work.await?;
    let (after, _) = Traffic::so_far(lab, Counted::ButHeartbeats).await?;
    Ok((done, after - before))
}
