//! Workload managers: what weighs images and their servers, for BASEWLM, SERVERWLM and the health that other
//! methods mind.
//!
//! On z/OS that is WLM, which knows all systems of a sysplex; it gives a system SU(system) x 64 / SU(all) for the
//! service units that it has free. Here each image has a manager of its own, which gives it 64 x the part of its
//! own capacity that is free: all images have the same capacity, so that the proportions are the same, and
//! routers divide by what all weights have in common. Weights go to all stacks by message (WORKLOAD).
//!
//! | profile | manager |
//! |---|---|
//! | `workload: none` | none: BASEWLM and SERVERWLM are plain round robin (the default) |
//! | `workload: measured` | what the image's process really uses, and how full its servers' backlogs are |
//! | `workload: scripted([...])` | what the script says at its times, for lessons |
//!
//! `cluster-lab weight IMAGE ...` sets weights by hand, over whatever the manager says.

mod measured;
mod scripted;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use vipa::Workload;

pub use scripted::ScriptStep;

/// A workload manager of one image.
pub trait WorkloadManager: Send {
    /// What it says now.
    fn weigh(&mut self, view: &View) -> Workload;
}

/// What a manager sees of its image.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Since the image has started.
    pub elapsed: Duration,
    /// Processor time that its process has used, if the host tells.
    pub used: Option<Duration>,
    /// Its servers.
    pub servers: Vec<ServerView>,
}

/// A server, as its listener is.
#[derive(Clone, Copy, Debug)]
pub struct ServerView {
    /// Its port.
    pub port: u16,
    /// Connections that have been waiting to be accepted for a while.
    pub queue: usize,
    /// How many may wait.
    pub backlog: usize,
}

impl ServerView {
    /// How much of the backlog is free, in percent: the server efficiency fraction. z/OS's has no formula in its
    /// documents; one that accepts in time has nothing waiting.
    pub fn efficiency(&self) -> u8 {
        let backlog = self.backlog.max(1);
        let free = backlog.saturating_sub(self.queue);
        // At most 100.
        (free * 100 / backlog) as u8
    }
}

/// Which manager the images of a cluster have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(non_camel_case_types, reason = "the words of a profile")]
pub enum Plan {
    /// None.
    #[default]
    none,
    /// One that measures.
    measured,
    /// One that plays a script.
    scripted(Vec<ScriptStep>),
}

impl Plan {
    /// The manager of the image called `image`.
    pub fn manager(&self, image: &str) -> Box<dyn WorkloadManager> {
        match self {
            Plan::none => Box::new(Silent),
            Plan::measured => Box::new(measured::Measured::default()),
            Plan::scripted(steps) => Box::new(scripted::Scripted::new(steps, image)),
        }
    }
}

/// The manager of a cluster that has none.
struct Silent;

impl WorkloadManager for Silent {
    fn weigh(&mut self, _view: &View) -> Workload {
        Workload::default()
    }
}

/// What `weight` changes by hand; what it leaves out stays as the manager says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByHand {
    /// Of the system, or of the server on `port`: 0 to 64.
    pub weight: Option<u8>,
    /// The server.
    pub port: Option<u16>,
    /// Abnormal completions of 1,000.
    pub abnormal: Option<u16>,
    /// 0 to 100.
    pub health: Option<u8>,
}

impl ByHand {
    /// Puts it over what the manager says.
    pub fn apply(&self, workload: &mut Workload) {
        match self.port {
            None => {
                if let Some(weight) = self.weight {
                    workload.system = Some([weight; 3]);
                }
            }
            Some(port) => {
                let server = workload.servers.entry(port).or_default();
                server.weight = self.weight.or(server.weight);
                server.abnormal = self.abnormal.unwrap_or(server.abnormal);
                server.health = self.health.unwrap_or(server.health);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use vipa::ServerLoad;

    use super::*;

    #[test]
    fn a_full_backlog_is_not_efficient() {
        let efficiency = |queue, backlog| ServerView { port: 60, queue, backlog }.efficiency();
        assert_eq!([efficiency(0, 128), efficiency(32, 128), efficiency(128, 128)], [100, 75, 0]);
        assert_eq!([efficiency(0, 0), efficiency(9, 4)], [100, 0]);
    }

    /// What is set by hand stands over what the manager says, and nothing else does.
    #[test]
    fn hands_count_more() {
        let mut workload = Workload { system: Some([10; 3]), ..Workload::default() };
        ByHand { weight: Some(64), ..ByHand::default() }.apply(&mut workload);
        ByHand { port: Some(60), health: Some(0), ..ByHand::default() }.apply(&mut workload);
        ByHand { port: Some(60), weight: Some(3), ..ByHand::default() }.apply(&mut workload);
        assert_eq!(workload.system, Some([64; 3]));
        assert_eq!(workload.servers[&60], ServerLoad { weight: Some(3), abnormal: 0, health: 0 });
    }
}
