//! The image's workload manager at work: looks at the image, tells the VIPA function.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use vipa::Workload;

use super::shared::{Core, Shared};
use crate::workload::{ByHand, ServerView, View, WorkloadManager};

/// Runs until it is dropped.
pub(super) struct Weigher {
    worker: Arc<Mutex<Worker>>,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Worker {
    manager: Box<dyn WorkloadManager>,
    /// Set by hand: over what the manager says, in this order.
    by_hand: Vec<ByHand>,
    /// How long the queue of each listener was at the last look.
    queues: Queues,
}

type Queues = HashMap<(Option<IpAddr>, u16), usize>;

impl Weigher {
    pub fn start(shared: Arc<Shared>, manager: Box<dyn WorkloadManager>, interval: Duration) -> Self {
        let worker = Arc::new(Mutex::new(Worker { manager, by_hand: Vec::new(), queues: Queues::new() }));
        let (own, image) = (worker.clone(), shared.clone());
        let task = tokio::spawn(async move {
            let mut interval = tokio::time::interval(interval);
            interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                interval.tick().await;
                look(&own, &image);
            }
        });
        Weigher { worker, shared, task }
    }

    /// What is set by hand counts at once; `None`: only the manager counts again.
    pub fn set(&self, change: Option<ByHand>) {
        {
            let mut worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner);
            match change {
                None => worker.by_hand.clear(),
                Some(change) => {
                    // The latest counts for each of the things that it says: an earlier one is of no use.
                    worker.by_hand.retain(|known| known.port != change.port || !covers(&change, known));
                    worker.by_hand.push(change);
                }
            }
        }
        look(&self.worker, &self.shared);
    }
}

/// Whether everything that `known` says, `change` says too.
fn covers(change: &ByHand, known: &ByHand) -> bool {
    change.weight.is_some() >= known.weight.is_some()
        && change.abnormal.is_some() >= known.abnormal.is_some()
        && change.health.is_some() >= known.health.is_some()
}

impl Drop for Weigher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn look(worker: &Mutex<Worker>, shared: &Shared) {
    let used = processor_time();
    let now = shared.now();
    let mut core = shared.lock();
    let mut worker = worker.lock().unwrap_or_else(PoisonError::into_inner);
    let servers = servers(&mut core, &mut worker.queues);
    let view = View { elapsed: Duration::from_nanos(now.as_nanos()), used, servers };
    let mut workload: Workload = worker.manager.weigh(&view);
    worker.by_hand.iter().for_each(|change| change.apply(&mut workload));
    core.vipa.set_workload(now, workload);
    drop(core);
    shared.kick();
}

/// Every server with its queue; the VIPA function is told how each fares. What came a moment ago is no queue: only
/// what waits at two looks counts.
fn servers(core: &mut Core, queues: &mut Queues) -> Vec<ServerView> {
    let Core { stack, vipa, .. } = core;
    let before = std::mem::take(queues);
    let view = |listener: stack::tcp::ListenerInfo| {
        let key = (listener.address, listener.port);
        queues.insert(key, listener.accept_queue);
        let queue = before.get(&key).copied().unwrap_or(0).min(listener.accept_queue);
        let server = ServerView { port: listener.port, queue, backlog: listener.backlog };
        vipa.serving(listener.address, listener.port, server.efficiency());
        server
    };
    stack.tcp().listeners().map(view).collect()
}

/// What this process has used.
fn processor_time() -> Option<Duration> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Some(Duration::new(u64::try_from(time.tv_sec).ok()?, u32::try_from(time.tv_nsec).ok()?))
}
