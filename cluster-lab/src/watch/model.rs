//! A lab as a screen shows it.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use super::rates::Rates;
use super::{
    Beginning, Contact, Count, DvipaPicture, Event, Gauges, ImageLayout, ImagePicture, ImageSample, Kind, Pair,
    Picture, PortPicture, Rate, Sample, Takeover, TakeoverPicture, TargetPicture, Timeline, Update,
};
use crate::control::{DvipaStatus, ImageState};
use crate::netstat::DestinationRow;

/// Events that are kept.
const EVENTS: usize = 10_000;

/// What is known of a lab, from its updates.
#[derive(Debug, Default)]
pub struct Model {
    picture: Picture,
    events: VecDeque<Event>,
    timeline: Timeline,
    rates: Rates<Series>,
}

/// Whose counter it is; lives of an image are told apart by their beginnings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Series {
    Processor(String, u64),
    NetworkIn(String, u64),
    NetworkOut(String, u64),
    Xcf(String, u64, IpAddr),
    /// Connections by owner, DVIPA, port and target.
    Target(String, u64, IpAddr, u16, IpAddr),
}

impl Model {
    /// Takes an update in.
    pub fn apply(&mut self, update: Update) {
        match update {
            Update::Begin(beginning) => self.begin(*beginning),
            Update::Event(event) => {
                self.happened(event);
                self.show_timeline();
            }
            Update::Sample(sample) => self.look(*sample),
        }
    }

    /// The lab as it is now.
    pub fn picture(&self) -> &Picture {
        &self.picture
    }

    /// What has happened, oldest first.
    pub fn events(&self) -> impl DoubleEndedIterator<Item = &Event> + ExactSizeIterator {
        self.events.iter()
    }

    /// What has happened after the event of this number.
    pub fn events_after(&self, number: u64) -> impl Iterator<Item = &Event> {
        let known = self.events.partition_point(|event| event.number <= number);
        self.events.range(known..)
    }

    fn begin(&mut self, beginning: Beginning) {
        *self = Model::default();
        let image = |layout: ImageLayout| ImagePicture {
            name: layout.name,
            xcf: layout.xcf,
            link: layout.link,
            apps: layout.apps,
            state: layout.state,
            how: None,
            paused: false,
            in_group: layout.state == ImageState::Running,
            quiesced: false,
            quiesced_ports: Vec::new(),
            pid: None,
            since: 0,
            processor: 0.0,
            memory: 0,
            routes: 0,
            network_in: Rate::default(),
            network_out: Rate::default(),
            vipadyn: Vec::new(),
            vdpt: Vec::new(),
        };
        let states: Vec<ImageState> = beginning.images.iter().map(|image| image.state).collect();
        self.picture = Picture {
            lab: beginning.lab,
            began: beginning.began,
            client: Some(beginning.client),
            subnet: Some(beginning.subnet),
            images: beginning.images.into_iter().map(image).collect(),
            ..Picture::default()
        };
        beginning.events.into_iter().for_each(|event| self.happened(event));
        // The story may begin later than the lab.
        self.picture.images.iter_mut().zip(states).for_each(|(image, state)| image.state = state);
        self.picture.at = beginning.at;
        self.show_timeline();
    }

    fn happened(&mut self, event: Event) {
        self.timeline.apply(&event);
        self.picture.at = self.picture.at.max(event.at);
        let image = self.picture.images.iter_mut().find(|image| Some(&image.name) == event.image.as_ref());
        if let Some(image) = image {
            match event.told.kind {
                Kind::Up => (image.state, image.paused, image.in_group) = (ImageState::Running, false, true),
                Kind::Ended => image.end(ImageState::Failed, &event.told.text),
                Kind::Stopped => image.end(ImageState::Stopped, &event.told.text),
                Kind::Paused => image.paused = true,
                Kind::Continued => image.paused = false,
                _ => {}
            }
        }
        let ended = matches!(event.told.kind, Kind::Ended | Kind::Stopped).then_some(&event.image).cloned().flatten();
        for dvipa in &mut self.picture.dvipas {
            match (event.told.kind, &event.image) {
                _ if ended.is_some() && dvipa.owner == ended => dvipa.owner = None,
                (Kind::Active, Some(owner)) if event.told.dvipa == Some(dvipa.address) => {
                    dvipa.owner = Some(owner.clone());
                }
                _ => {}
            }
        }
        if let Some(ended) = ended {
            for pair in self.picture.pairs.iter_mut().filter(|pair| pair.from == ended || pair.to == ended) {
                (pair.contact, pair.rate) = (Contact::None, Rate::default());
            }
        }
        if self.events.len() == EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    /// What only the events tell.
    fn show_timeline(&mut self) {
        self.picture.tenures.clone_from(&self.timeline.tenures);
        let shown = |takeover: &Takeover| TakeoverPicture { takeover: takeover.clone(), gap: takeover.gap() };
        self.picture.takeovers = self.timeline.takeovers.iter().map(shown).collect();
        for dvipa in &mut self.picture.dvipas {
            dvipa.coming = self.timeline.under_way(dvipa.address).map(|change| change.to.clone());
        }
    }

    fn look(&mut self, sample: Sample) {
        self.rates.look(sample.at, counts(&sample));
        self.picture.at = self.picture.at.max(sample.at);
        let xcfs: BTreeMap<IpAddr, String> =
            self.picture.images.iter().map(|image| (image.xcf, image.name.clone())).collect();
        let name = |xcf: &IpAddr| xcfs.get(xcf).cloned().unwrap_or_else(|| xcf.to_string());
        self.picture.pairs = self.pairs(&sample, &name);
        self.picture.dvipas = sample.dvipas.iter().map(|dvipa| self.dvipa(dvipa, &sample, &name)).collect();
        for image in sample.images {
            let Some(shown) = self.picture.images.iter_mut().find(|shown| shown.name == image.name) else { continue };
            let of = |series: fn(String, u64) -> Series| self.rates.of(&series(image.name.clone(), image.since));
            (shown.network_in, shown.network_out) = (of(Series::NetworkIn), of(Series::NetworkOut));
            shown.processor = of(Series::Processor).packets / 1e6;
            (shown.state, shown.paused, shown.pid) = (image.state, image.paused, image.pid);
            (shown.since, shown.memory) = (image.since, image.memory);
            // One that is paused is shown as it was.
            let Some(gauges) = image.gauges else { continue };
            let Gauges { in_group, quiesced, quiesced_ports, vipadyn, destinations, routes, .. } = *gauges;
            (shown.in_group, shown.quiesced, shown.quiesced_ports) = (in_group, quiesced, quiesced_ports);
            (shown.vipadyn, shown.vdpt, shown.routes) = (vipadyn, destinations, routes);
        }
        self.show_timeline();
    }

    fn pairs(&self, sample: &Sample, name: &impl Fn(&IpAddr) -> String) -> Vec<Pair> {
        let mut pairs = Vec::new();
        for image in &sample.images {
            let Some(gauges) = &image.gauges else { continue };
            for peer in &gauges.peers {
                let to = name(&peer.xcf);
                let series = Series::Xcf(image.name.clone(), image.since, peer.xcf);
                let cut = sample.cuts.iter().any(|(from, other)| *from == image.name && *other == to);
                let (from, rate) = (image.name.clone(), self.rates.of(&series));
                pairs.push(Pair { from, to, contact: peer.contact, cut, rate });
            }
        }
        pairs
    }

    fn dvipa(&self, dvipa: &DvipaStatus, sample: &Sample, name: &impl Fn(&IpAddr) -> String) -> DvipaPicture {
        let owner = sample.images.iter().find(|image| Some(&image.name) == dvipa.owner.as_ref());
        let rows = owner.and_then(|owner| Some((owner, owner.gauges.as_ref()?)));
        let mut ports: BTreeMap<u16, Vec<TargetPicture>> = dvipa.ports.iter().map(|port| (*port, Vec::new())).collect();
        if let Some((owner, gauges)) = rows {
            for row in gauges.destinations.iter().filter(|row| row.address == dvipa.address) {
                let rate = self.rates.of(&target(owner, row)).packets;
                let image = name(&row.xcf);
                let gauges = sample.images.iter().find(|one| one.name == image).and_then(|one| one.gauges.as_ref());
                let quiesced =
                    gauges.is_some_and(|gauges| gauges.quiesced || gauges.quiesced_ports.contains(&row.port));
                ports.entry(row.port).or_default().push(TargetPicture::new(image, row, quiesced, rate));
            }
        }
        DvipaPicture {
            name: dvipa.name.clone(),
            address: dvipa.address,
            owner: dvipa.owner.clone(),
            coming: None,
            epoch: dvipa.epoch,
            backups: dvipa.backups.clone(),
            ports: ports.into_iter().map(|(port, targets)| PortPicture { port, targets }).collect(),
        }
    }
}

/// Every counter of a sample.
fn counts(sample: &Sample) -> BTreeMap<Series, Count> {
    let mut counts = BTreeMap::new();
    for image in &sample.images {
        let own = || (image.name.clone(), image.since);
        let series = |series: fn(String, u64) -> Series| series(image.name.clone(), image.since);
        counts.insert(series(Series::Processor), Count { packets: image.processor, bytes: 0 });
        let Some(gauges) = &image.gauges else { continue };
        counts.insert(series(Series::NetworkIn), gauges.traffic.network_in);
        counts.insert(series(Series::NetworkOut), gauges.traffic.network_out);
        for (to, count) in &gauges.traffic.xcf_out {
            counts.insert(Series::Xcf(own().0, own().1, *to), *count);
        }
        for row in &gauges.destinations {
            counts.insert(target(image, row), Count { packets: row.total, bytes: 0 });
        }
    }
    counts
}

fn target(owner: &ImageSample, row: &DestinationRow) -> Series {
    Series::Target(owner.name.clone(), owner.since, row.address, row.port, row.xcf)
}

#[cfg(test)]
mod tests {
    use super::super::{Peer, Told, Traffic};
    use super::*;

    const DVA: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 1));

    fn xcf(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn begun() -> Model {
        let layout = |number: u8| ImageLayout {
            name: format!("MVS{number}"),
            xcf: xcf(number),
            link: None,
            apps: vec!["WEB".into()],
            state: ImageState::Running,
        };
        let mut model = Model::default();
        model.apply(Update::Begin(Box::new(Beginning {
            lab: "lab".into(),
            began: 1,
            at: 100,
            client: [198, 51, 100, 1].into(),
            subnet: ([198, 51, 100, 0].into(), 24),
            images: vec![layout(1), layout(2)],
            names: Vec::new(),
            events: vec![event(1, 50, "MVS1", about(Kind::Claimed)), event(2, 60, "MVS1", about(Kind::Active))],
        })));
        model
    }

    fn about(kind: Kind) -> Told {
        Told { dvipa: Some(DVA), ..Told::new(kind, "") }
    }

    fn event(number: u64, at: u64, image: &str, told: Told) -> Event {
        Event { number, at, image: Some(image.into()), told }
    }

    /// MVS1 owns the DVIPA and has sent `count` connections, a packet each, to MVS2.
    fn sample(at: u64, count: u64) -> Update {
        let row = DestinationRow { total: count, active: 3, ..DestinationRow::example(DVA, 80, xcf(2)) };
        let image = |number: u8| {
            let mut traffic = Traffic::default();
            *traffic.xcf_to(xcf(3 - number)) = Count { packets: count, bytes: 100 * count };
            let peers = vec![Peer { xcf: xcf(3 - number), contact: Contact::Up, resent: 0 }];
            let destinations = if number == 1 { vec![row.clone()] } else { Vec::new() };
            ImageSample {
                name: format!("MVS{number}"),
                state: ImageState::Running,
                paused: false,
                pid: Some(7),
                since: 1,
                processor: at / 2,
                memory: 1 << 20,
                gauges: Some(Box::new(Gauges { in_group: true, peers, destinations, traffic, ..Gauges::default() })),
            }
        };
        let dvipa = DvipaStatus {
            name: "DVA".into(),
            address: DVA,
            ports: vec![80],
            owner: Some("MVS1".into()),
            epoch: (4, 255),
            backups: vec!["MVS2".into()],
            targets: vec!["MVS2".into()],
        };
        let cuts = vec![("MVS2".into(), "MVS1".into())];
        Update::Sample(Box::new(Sample { at, images: vec![image(1), image(2)], dvipas: vec![dvipa], cuts }))
    }

    #[test]
    fn samples_become_rates_and_tables() {
        let mut model = begun();
        model.apply(sample(1_000_000, 0));
        model.apply(sample(1_500_000, 50));
        let picture = model.picture();
        let [port] = &picture.dvipas[0].ports[..] else { panic!("{picture:?}") };
        let [target] = &port.targets[..] else { panic!("{picture:?}") };
        assert_eq!((&*target.image, target.active, target.total, target.rate), ("MVS2", 3, 50, 100.0));
        let pair = picture.pairs.iter().find(|pair| pair.from == "MVS1").unwrap();
        assert_eq!((pair.rate, pair.contact, pair.cut), (Rate { packets: 100.0, bytes: 10_000.0 }, Contact::Up, false));
        assert!(picture.pairs.iter().any(|pair| pair.from == "MVS2" && pair.cut));
        assert_eq!((picture.images[0].processor, picture.images[0].pid), (0.5, Some(7)));
        // What has passed is known from the beginning on.
        assert_eq!(picture.tenures.len(), 1);
    }

    /// A death shows with its event, not with the next look.
    #[test]
    fn a_death_shows_at_once() {
        let mut model = begun();
        model.apply(sample(1_000_000, 0));
        model.apply(Update::Event(event(3, 2_000_000, "MVS1", Told::new(Kind::Ended, "killed"))));
        let picture = model.picture();
        assert_eq!((picture.images[0].state, picture.dvipas[0].owner.as_ref()), (ImageState::Failed, None));
        assert!(picture.pairs.iter().all(|pair| pair.contact == Contact::None));
        model.apply(Update::Event(event(4, 2_003_000, "MVS2", about(Kind::Claimed))));
        assert_eq!(model.picture().dvipas[0].coming.as_deref(), Some("MVS2"));
        model.apply(Update::Event(event(5, 2_009_000, "MVS2", about(Kind::Active))));
        let picture = model.picture();
        assert_eq!((picture.dvipas[0].owner.as_deref(), picture.dvipas[0].coming.as_ref()), (Some("MVS2"), None));
        assert_eq!(picture.takeovers.last().and_then(|takeover| takeover.gap), Some(9000));
        assert_eq!(model.events_after(3).map(|event| event.number).collect::<Vec<_>>(), [4, 5]);
    }
}
