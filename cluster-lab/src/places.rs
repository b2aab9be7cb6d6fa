//! Room for connections: bounded, and nobody has a place for doing nothing.
//!
//! Of those that have not asked for anything yet, the oldest goes when another comes: whoever connects asks at once.
//! Those that have asked say how long they may stay.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, timeout_at};

/// Between two tries to take somebody who could not be taken. Descriptors are short, perhaps: who waits is served when
/// some are free again.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stay {
    /// Nothing has been asked for.
    Silent,
    Until(Instant),
    Open,
}

/// The place of one connection.
#[derive(Clone, Debug)]
pub(crate) struct Place(watch::Sender<Stay>);

impl Place {
    /// Something was asked for: the connection may stay so long from now, and is ended then.
    pub fn ends_within(&self, time: Duration) {
        self.0.send_replace(Stay::Until(Instant::now() + time));
    }

    /// Something was asked for that has no end of its own.
    pub fn lasts(&self) {
        self.0.send_replace(Stay::Open);
    }
}

/// Those who have a place, in the order in which they came.
#[derive(Debug)]
pub(crate) struct Places {
    most: usize,
    tasks: JoinSet<()>,
    order: VecDeque<(watch::Receiver<Stay>, AbortHandle)>,
}

impl Places {
    pub fn new(most: usize) -> Places {
        Places { most, tasks: JoinSet::new(), order: VecDeque::new() }
    }

    /// Serves a connection once there is a place for it.
    pub async fn give<T>(&mut self, connection: impl FnOnce(Place) -> T)
    where
        T: Future<Output = ()> + Send + 'static,
    {
        while self.tasks.try_join_next().is_some() {}
        if self.tasks.len() >= self.most {
            let is_silent = |(stay, task): &&(watch::Receiver<Stay>, AbortHandle)| {
                *stay.borrow() == Stay::Silent && !task.is_finished()
            };
            if let Some((_, silent)) = self.order.iter().find(is_silent) {
                silent.abort();
            }
            self.tasks.join_next().await;
        }
        self.order.retain(|(_, task)| !task.is_finished());
        let (place, stay) = watch::channel(Stay::Silent);
        let (served, over) = (connection(Place(place)), over(stay.clone()));
        let task = self.tasks.spawn(async move {
            tokio::select! {
                () = served => {}
                () = over => {}
            }
        });
        self.order.push_back((stay, task));
    }
}

/// Until a connection may stay no longer.
async fn over(mut stay: watch::Receiver<Stay>) {
    loop {
        let now = *stay.borrow_and_update();
        let changed = match now {
            Stay::Until(end) => match timeout_at(end, stay.changed()).await {
                Ok(changed) => changed,
                Err(_) => return,
            },
            _ => stay.changed().await,
        };
        if changed.is_err() {
            // Nobody is there to say anything else: the connection ends by itself.
            return std::future::pending().await;
        }
    }
}
