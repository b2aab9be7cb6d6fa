//! Who owned each DVIPA when, and how long each change took: read off the events alone.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use serde::Serialize;

use super::{Event, Kind};

/// Tenures that are kept; the oldest go first.
const TENURES: usize = 2000;
/// Changes that are kept.
const CHANGES: usize = 500;

/// See the module. All times are microseconds since the lab began.
#[derive(Debug, Default)]
pub struct Timeline {
    /// In the order in which they began.
    pub tenures: Vec<Tenure>,
    /// In the order in which they were claimed.
    pub takeovers: Vec<Takeover>,
    /// Since when an image has not been heard: its signal, or the first sign of its end.
    lost: HashMap<String, u64>,
    /// Images that leave in order.
    leaving: HashSet<String>,
    /// When an image (first) learned that another (second) was silent or gone.
    noticed: HashMap<(String, String), u64>,
}

/// One image owns one DVIPA.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tenure {
    /// The DVIPA.
    pub dvipa: IpAddr,
    /// The image.
    pub owner: String,
    /// From when the network sent it the DVIPA's packets.
    pub from: u64,
    /// Until when: another owned it, or the owner was lost.
    pub until: Option<u64>,
}

/// How a DVIPA came to its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Nobody had it before.
    First,
    /// Its owner had died, was silent, or had given it up.
    Takeover,
    /// It went over from an owner that leaves in order, while that still routed for it.
    Handover,
    /// It went over while its former owner still routed for it: back to its primary, or after an
    /// application that moved.
    TakeBack,
}

/// One change of ownership.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Takeover {
    /// The DVIPA.
    pub dvipa: IpAddr,
    /// How it came about.
    pub change: Change,
    /// The owner before.
    pub from: Option<String>,
    /// The new one.
    pub to: String,
    /// The new one's epoch.
    pub epoch: Option<(u64, u8)>,
    /// When it began. Of a takeover: when the lab sent the signal that ended or stopped the owner; if it was
    /// not the lab, the first sign that anyone had of it.
    pub began: u64,
    /// When the new owner learned that the old one was lost.
    pub noticed: Option<u64>,
    /// When the new owner claimed it: from then on the network sends it the packets.
    pub claimed: u64,
    /// When the new owner's tables were complete: from then on it forwards every connection.
    pub complete: Option<u64>,
    /// Connections that it knew then.
    pub connections: Option<usize>,
}

impl Takeover {
    /// How long nobody could forward a packet of a connection: from `began` until `complete`. A change for
    /// which the former owner routes on until the new one is complete has no gap.
    pub fn gap(&self) -> Option<u64> {
        match self.change {
            Change::First | Change::Handover | Change::TakeBack => None,
            Change::Takeover => self.complete.map(|complete| complete.saturating_sub(self.began)),
        }
    }
}

impl Timeline {
    /// Takes in what happened.
    pub fn apply(&mut self, event: &Event) {
        let Some(image) = &event.image else { return };
        let (at, told) = (event.at, &event.told);
        let stack = told.stack.clone().unwrap_or_default();
        match (told.kind, told.dvipa) {
            (Kind::Up, _) => {
                self.lost.remove(image);
                self.leaving.remove(image);
                self.noticed.retain(|(one, other), _| one != image && other != image);
            }
            (Kind::Ended, _) => self.lose(image, told.signalled.unwrap_or(at)),
            (Kind::Stopped, _) => self.end(image, at),
            (Kind::Paused, _) => drop(self.lost.insert(image.clone(), at)),
            (Kind::Continued, _) => drop(self.lost.remove(image)),
            (Kind::InGroup, _) => drop(self.leaving.remove(image)),
            (Kind::Leaving, _) => drop(self.leaving.insert(stack)),
            (Kind::Silent | Kind::Gone, _) => drop(self.noticed.entry((image.clone(), stack)).or_insert(at)),
            (Kind::Back, _) => drop(self.noticed.remove(&(image.clone(), stack))),
            (Kind::Claimed, Some(dvipa)) => self.claimed(event, image, dvipa),
            (Kind::TakingBack, Some(dvipa)) => self.takeovers.push(Takeover {
                dvipa,
                change: if self.leaving.contains(&stack) { Change::Handover } else { Change::TakeBack },
                from: Some(stack),
                to: image.clone(),
                epoch: told.epoch,
                began: at,
                noticed: None,
                claimed: at,
                complete: None,
                connections: None,
            }),
            (Kind::Active, Some(dvipa)) => self.complete(event, image, dvipa),
            (Kind::Released, Some(dvipa)) => {
                let own = self.tenures.iter_mut().filter(|tenure| tenure.dvipa == dvipa && tenure.owner == *image);
                own.for_each(|tenure| tenure.until = tenure.until.or(Some(at)));
            }
            _ => {}
        }
        let many = self.tenures.len().saturating_sub(TENURES);
        self.tenures.drain(..many);
        let many = self.takeovers.len().saturating_sub(CHANGES);
        self.takeovers.drain(..many);
    }

    /// The change of `dvipa` that is under way.
    pub fn under_way(&self, dvipa: IpAddr) -> Option<&Takeover> {
        self.takeovers.iter().rfind(|takeover| takeover.dvipa == dvipa).filter(|latest| latest.complete.is_none())
    }

    fn latest(&mut self, dvipa: IpAddr) -> Option<&mut Tenure> {
        self.tenures.iter_mut().rfind(|tenure| tenure.dvipa == dvipa)
    }

    /// An image was lost at `at`; those that took over may have said so before.
    fn lose(&mut self, image: &str, at: u64) {
        let since = *self.lost.entry(image.to_owned()).and_modify(|since| *since = at.min(*since)).or_insert(at);
        for takeover in &mut self.takeovers {
            let took_over = takeover.change == Change::Takeover && takeover.from.as_deref() == Some(image);
            if took_over && takeover.claimed >= since {
                takeover.began = takeover.began.min(since);
            }
        }
        // What another has claimed since is its own.
        self.end(image, since);
    }

    /// An image owns nothing any more.
    fn end(&mut self, image: &str, at: u64) {
        for tenure in self.tenures.iter_mut().filter(|tenure| tenure.owner == image && tenure.until.is_none()) {
            tenure.until = Some(at.max(tenure.from));
        }
    }

    fn claimed(&mut self, event: &Event, image: &str, dvipa: IpAddr) {
        let at = event.at;
        let before = self.latest(dvipa).map(|tenure| (tenure.owner.clone(), tenure.until));
        let from = before.as_ref().map(|(owner, _)| owner.clone());
        let owner = from.clone().unwrap_or_default();
        let noticed = self.noticed.get(&(image.to_owned(), owner.clone())).copied();
        let signs = [self.lost.get(&owner).copied(), noticed, before.as_ref().and_then(|(_, until)| *until)];
        let (change, began) = match before {
            None => (Change::First, at),
            Some(_) => (Change::Takeover, signs.into_iter().flatten().min().unwrap_or(at)),
        };
        if let Some(tenure) = self.latest(dvipa) {
            tenure.until = tenure.until.or(Some(began.max(tenure.from)));
        }
        self.tenures.push(Tenure { dvipa, owner: image.to_owned(), from: at, until: None });
        self.takeovers.push(Takeover {
            dvipa,
            change,
            from,
            to: image.to_owned(),
            epoch: event.told.epoch,
            began: began.min(at),
            noticed,
            claimed: at,
            complete: None,
            connections: None,
        });
    }

    fn complete(&mut self, event: &Event, image: &str, dvipa: IpAddr) {
        let at = event.at;
        let latest = self.takeovers.iter_mut().rfind(|takeover| takeover.dvipa == dvipa && takeover.to == image);
        let Some(takeover) = latest.filter(|takeover| takeover.complete.is_none()) else { return };
        (takeover.complete, takeover.connections) = (Some(at), event.told.connections);
        if takeover.change != Change::First && takeover.gap().is_none() {
            takeover.claimed = at;
            if let Some(tenure) = self.latest(dvipa) {
                tenure.until = tenure.until.or(Some(at));
            }
            self.tenures.push(Tenure { dvipa, owner: image.to_owned(), from: at, until: None });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Told;
    use super::*;

    const DVA: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 1));

    fn told(kind: Kind) -> Told {
        Told::new(kind, "")
    }

    fn about(kind: Kind, round: u64) -> Told {
        Told { dvipa: Some(DVA), epoch: Some((round, 255)), connections: Some(7), ..told(kind) }
    }

    fn stack(kind: Kind, stack: &str) -> Told {
        Told { stack: Some(stack.into()), ..told(kind) }
    }

    fn timeline(events: &[(u64, &str, Told)]) -> Timeline {
        let mut timeline = Timeline::default();
        for (number, (at, image, told)) in (1..).zip(events) {
            timeline.apply(&Event { number, at: *at, image: Some((*image).into()), told: told.clone() });
        }
        timeline
    }

    fn tenures(timeline: &Timeline) -> Vec<(&str, u64, Option<u64>)> {
        timeline.tenures.iter().map(|tenure| (&*tenure.owner, tenure.from, tenure.until)).collect()
    }

    /// The lab's own signal is where a gap begins, whoever speaks first of the end.
    #[test]
    fn a_gap_counts_from_the_signal() {
        let before = [(10, "MVS1", about(Kind::Claimed, 1)), (12, "MVS1", about(Kind::Active, 1))];
        let ended = (205, "MVS1", Told { signalled: Some(200), ..told(Kind::Ended) });
        let taken = [(203, "MVS5", stack(Kind::Gone, "MVS1")), (204, "MVS5", about(Kind::Claimed, 2))];
        let complete = (210, "MVS5", about(Kind::Active, 2));
        let orders: [Vec<_>; 2] = [
            before.iter().chain([&ended]).chain(&taken).chain([&complete]).cloned().collect(),
            before.iter().chain(&taken).chain([&complete, &ended]).cloned().collect(),
        ];
        for events in orders {
            let timeline = timeline(&events);
            let [first, takeover] = &timeline.takeovers[..] else { panic!("{timeline:?}") };
            assert_eq!((first.change, first.gap()), (Change::First, None));
            assert_eq!((takeover.change, takeover.began, takeover.gap()), (Change::Takeover, 200, Some(10)));
            assert_eq!((takeover.noticed, takeover.claimed, takeover.complete), (Some(203), 204, Some(210)));
            assert_eq!((takeover.from.as_deref(), takeover.connections), (Some("MVS1"), Some(7)));
            let [one, two] = tenures(&timeline)[..] else { panic!("{timeline:?}") };
            assert!(one.2.is_some_and(|until| (200..=203).contains(&until)), "{one:?}");
            assert_eq!(two, ("MVS5", 204, None));
        }
    }

    /// A later death of the same image is none of an earlier takeover's.
    #[test]
    fn deaths_are_told_apart() {
        let timeline = timeline(&[
            (10, "MVS1", about(Kind::Claimed, 1)),
            (200, "MVS1", told(Kind::Ended)),
            (204, "MVS5", about(Kind::Claimed, 2)),
            (210, "MVS5", about(Kind::Active, 2)),
            (300, "MVS1", told(Kind::Up)),
            (400, "MVS1", told(Kind::Ended)),
        ]);
        assert_eq!(timeline.takeovers[1].gap(), Some(10));
        assert!(timeline.under_way(DVA).is_none());
    }

    /// While a DVIPA is taken back its former owner routes: there is no gap, and no moment without an owner.
    #[test]
    fn taking_back_has_no_gap() {
        let mut events = vec![
            (10, "MVS5", about(Kind::Claimed, 1)),
            (12, "MVS5", about(Kind::Active, 1)),
            (50, "MVS1", Told { stack: Some("MVS5".into()), ..about(Kind::TakingBack, 2) }),
        ];
        assert_eq!(timeline(&events).under_way(DVA).map(|change| &*change.to), Some("MVS1"));
        events.push((60, "MVS1", about(Kind::Active, 2)));
        let timeline = timeline(&events);
        assert_eq!(tenures(&timeline), [("MVS5", 10, Some(60)), ("MVS1", 60, None)]);
        let takeback = &timeline.takeovers[1];
        assert_eq!(
            (takeback.change, takeback.gap(), takeback.began, takeback.complete),
            (Change::TakeBack, None, 50, Some(60))
        );
    }

    /// One that stops in order hands over before it goes.
    #[test]
    fn an_orderly_stop_has_no_gap() {
        let timeline = timeline(&[
            (10, "MVS1", about(Kind::Claimed, 1)),
            (50, "MVS2", stack(Kind::Leaving, "MVS1")),
            (51, "MVS2", Told { stack: Some("MVS1".into()), ..about(Kind::TakingBack, 2) }),
            (53, "MVS2", about(Kind::Active, 2)),
            (54, "MVS1", told(Kind::Stopped)),
        ]);
        assert_eq!((timeline.takeovers[1].change, timeline.takeovers[1].gap()), (Change::Handover, None));
        assert_eq!(tenures(&timeline), [("MVS1", 10, Some(53)), ("MVS2", 53, None)]);
    }

    /// One that was paused is taken over from the moment of its signal on.
    #[test]
    fn a_pause_counts_from_its_signal_too() {
        let timeline = timeline(&[
            (10, "MVS1", about(Kind::Claimed, 1)),
            (100, "MVS1", told(Kind::Paused)),
            (350, "MVS5", stack(Kind::Silent, "MVS1")),
            (351, "MVS5", about(Kind::Claimed, 2)),
            (360, "MVS5", about(Kind::Active, 2)),
        ]);
        assert_eq!(timeline.takeovers[1].gap(), Some(260));
        assert_eq!(tenures(&timeline)[0], ("MVS1", 10, Some(100)));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut timeline = Timeline::default();
        for number in 1..5000 {
            let told = about(Kind::Claimed, number);
            timeline.apply(&Event { number, at: number, image: Some("MVS1".into()), told });
        }
        assert_eq!((timeline.tenures.len(), timeline.takeovers.len()), (TENURES, CHANGES));
        assert_eq!(timeline.tenures.last().map(|tenure| tenure.from), Some(4999));
    }
}
