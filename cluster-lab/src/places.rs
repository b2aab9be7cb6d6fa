//! Room for connections: bounded, and nobody has a place for doing nothing.
//!
//! Of those that have not asked for anything yet, the oldest goes when another comes: whoever connects asks at once.
//! Those that have asked are to end by themselves.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::{AbortHandle, JoinSet};

/// Between two tries to take somebody who could not be taken. Descriptors are short, perhaps: who waits is served when
/// some are free again.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Whether a connection has asked for something.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked(Arc<AtomicBool>);

impl Asked {
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Those who have a place, in the order in which they came.
#[derive(Debug)]
pub(crate) struct Places {
    most: usize,
    tasks: JoinSet<()>,
    order: VecDeque<(Asked, AbortHandle)>,
}

impl Places {
    pub fn new(most: usize) -> Places {
        Places { most, tasks: JoinSet::new(), order: VecDeque::new() }
    }

    /// Serves a connection once there is a place for it. The task is to say by [`Asked`] when it has been asked for
    /// something.
    pub async fn give<T>(&mut self, connection: impl FnOnce(Asked) -> T)
    where
        T: Future<Output = ()> + Send + 'static,
    {
        while self.tasks.try_join_next().is_some() {}
        if self.tasks.len() >= self.most {
            if let Some((_, silent)) = self.order.iter().find(|(asked, task)| !asked.is_set() && !task.is_finished()) {
                silent.abort();
            }
            self.tasks.join_next().await;
        }
        self.order.retain(|(_, task)| !task.is_finished());
        let asked = Asked::default();
        let task = self.tasks.spawn(connection(asked.clone()));
        self.order.push_back((asked, task));
    }
}
