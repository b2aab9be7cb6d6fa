//! Weights from real load: the processor time of the image's process, and the queues of its servers.

use std::time::Duration;

use vipa::Workload;

use super::{View, WorkloadManager};

/// See the module. With all images in one process they have one load together.
#[derive(Debug, Default)]
pub(super) struct Measured {
    /// When it last looked, and what was used by then.
    before: Option<(Duration, Duration)>,
    /// In percent, smoothed as z/OS smooths its rates.
    busy: u64,
}

impl WorkloadManager for Measured {
    fn weigh(&mut self, view: &View) -> Workload {
        // Whose host tells nothing is as good as any other.
        let Some(used) = view.used else { return Workload::default() };
        if let Some((at, before)) = self.before
            && view.elapsed > at
        {
            // An image is one thread: its capacity is one processor.
            let busy = used.saturating_sub(before).as_micros() * 100 / (view.elapsed - at).as_micros().max(1);
            self.busy = (3 * u64::try_from(busy).unwrap_or(100).min(100) + self.busy) / 4;
        }
        self.before = Some((view.elapsed, used));
        // One that is busy all the time still gets a little: it is slow, not dead.
        let system = (u64::from(Workload::MOST) * (100 - self.busy.min(100)) / 100).max(1) as u8;
        let mut workload = Workload { system: Some([system; 3]), ..Workload::default() };
        for server in &view.servers {
            let weight = (u64::from(system) * u64::from(server.efficiency()) / 100).max(1) as u8;
            // Weights are told by port, as z/OS counts one server of a port on an image: of several, at addresses of
            // their own, the one that copes worst speaks for all.
            let told = workload.servers.entry(server.port).or_default();
            told.weight = Some(told.weight.map_or(weight, |other| other.min(weight)));
        }
        workload
    }
}

#[cfg(test)]
mod tests {
    use vipa::ServerLoad;

    use super::super::ServerView;
    use super::*;

    /// Two servers of one port have one weight, in whatever order they are: that of the one that copes worse.
    #[test]
    fn servers_of_one_port_share_a_weight() {
        let server = |queue| ServerView { port: 60, queue, backlog: 128 };
        for servers in [vec![server(64), server(0)], vec![server(0), server(64)]] {
            let view = View { used: Some(Duration::ZERO), servers, ..View::default() };
            let workload = Measured::default().weigh(&view);
            assert_eq!(workload.servers[&60], ServerLoad { weight: Some(32), ..ServerLoad::default() });
        }
    }

    /// The busier, the less; and a server whose queue is full gets less than its system.
    #[test]
    fn load_takes_weight_away() {
        let mut manager = Measured::default();
        let mut weigh = |second: u64, used: u64| {
            let servers = vec![ServerView { port: 60, queue: 64, backlog: 128 }];
            let (elapsed, used) = (Duration::from_secs(second), Some(Duration::from_millis(used)));
            let workload = manager.weigh(&View { elapsed, used, servers });
            (workload.system.unwrap()[0], workload.servers[&60].weight.unwrap())
        };
        assert_eq!(weigh(0, 0), (64, 32));
        assert_eq!(weigh(1, 0), (64, 32));
        // All of a second, three quarters of which count: 75 percent.
        assert_eq!(weigh(2, 1000), (16, 8));
        assert_eq!(weigh(3, 2000), (4, 2));
        let after: Vec<u8> = (4..20).map(|second| weigh(second, 2000).0).collect();
        assert_eq!(after.last(), Some(&64), "{after:?}");
        assert_eq!(Measured::default().weigh(&View::default()), Workload::default(), "the host tells nothing");
    }
}
