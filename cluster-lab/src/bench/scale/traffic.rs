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

    /// What the running images have sent so far.
    pub async fn so_far(lab: &Lab) -> Result<Traffic> {
        let mut sum = Traffic::default();
        for image in lab.status().await?.images.into_iter().filter(|image| image.state == ImageState::Running) {
            let Report::Stats(groups) = lab.netstat(&image.name, ReportKind::Stats).await? else {
                bail!("{} has no statistics", image.name)
            };
            let of = |counter: &str| groups.get("XCF").and_then(|group| group.get(counter)).copied();
            sum.datagrams += of("ControlOutDatagrams").context("datagrams are not counted")? as f64;
            sum.bytes += of("ControlOutOctets").context("bytes are not counted")? as f64;
        }
        Ok(sum)
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
        let (before, used, began) = (Traffic::so_far(lab).await?, processor_time(processes), Instant::now());
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        let (used, elapsed) = (processor_time(processes) - used, began.elapsed().as_secs_f64());
        let traffic = (Traffic::so_far(lab).await? - before).times(1.0 / elapsed);
        Ok(Rate { traffic, processors: used / elapsed })
    }
}

/// What a cluster sends while `work` is done, beyond what it does when it is idle.
pub(super) async fn during<T>(lab: &Lab, idle: Rate, work: impl Future<Output = Result<T>>) -> Result<(T, Traffic)> {
    let (before, began) = (Traffic::so_far(lab).await?, Instant::now());
    let done = work.await?;
    let sent = Traffic::so_far(lab).await? - before;
    Ok((done, sent - idle.traffic.times(began.elapsed().as_secs_f64())))
}
