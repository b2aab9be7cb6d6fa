//! What a lab counts, for Prometheus, in the OpenMetrics text format.
//!
//! Labels are names of the profile: images, DVIPAs, ports, and the counters of `netstat STATS`. So there are no
//! more series than the profile makes.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::AtomicU64;

use anyhow::{Result, bail};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use crate::control::{self, Answer, ImageState, ImageStatus, Question, Reply, Request, Status};
use crate::netstat::{Report, ReportKind};
use crate::watch::{Contact, Gauges};

/// The format's media type.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The metrics of the lab whose supervisor has this socket, or of one of its images.
///
/// # Errors
/// If the lab has ended.
pub async fn collect(supervisor: &Path, image: Option<&str>) -> Result<String> {
    let status = match control::ask(supervisor, &Request::Status).await? {
        Reply::Status(status) => status,
        Reply::Error(why) => bail!("{why}"),
        other => bail!("the lab answered something else: {other:?}"),
    };
    let mut known = Vec::new();
    for status in status.images.iter().filter(|status| image.is_none_or(|image| image == status.name)) {
        let ask = |question| Request::Ask { image: status.name.clone(), question };
        // One that has ended or is paused says nothing.
        let gauges = match control::ask(supervisor, &ask(Question::Gauges)).await? {
            Reply::Answer(Answer::Gauges(gauges)) => Some(*gauges),
            _ => None,
        };
        let counters = match gauges {
            None => None,
            Some(_) => match control::ask(supervisor, &ask(Question::Netstat(ReportKind::Stats.into()))).await? {
                Reply::Answer(Answer::Netstat(Report::Stats(counters))) => Some(counters),
                _ => None,
            },
        };
        known.push(Known { status, gauges, counters });
    }
    Ok(render(&status, &known, image.is_none())?)
}

/// What is known of an image.
struct Known<'a> {
    status: &'a ImageStatus,
    gauges: Option<Gauges>,
    counters: Option<BTreeMap<String, BTreeMap<String, u64>>>,
}

type Labels = Vec<(&'static str, String)>;

/// The metrics that are being put together.
struct Page(Registry);

impl Page {
    fn gauge(&mut self, name: &str, help: &str, unit: Option<Unit>) -> Family<Labels, Gauge<f64, AtomicU64>> {
        let family = Family::default();
        self.register(name, help, unit, family.clone());
        family
    }

    fn counter(&mut self, name: &str, help: &str, unit: Option<Unit>) -> Family<Labels, Counter> {
        let family = Family::default();
        self.register(name, help, unit, family.clone());
        family
    }

    fn register(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        metric: impl prometheus_client::registry::Metric,
    ) {
        match unit {
            Some(unit) => self.0.register_with_unit(name, help, unit, metric),
            None => self.0.register(name, help, metric),
        }
    }
}

fn render(status: &Status, known: &[Known<'_>], whole: bool) -> Result<String, std::fmt::Error> {
    let mut page = Page(Registry::with_prefix("cluster_lab"));
    let name = |xcf: &IpAddr| {
        let image = status.images.iter().find(|image| image.xcf == *xcf);
        image.map_or_else(|| xcf.to_string(), |image| image.name.clone())
    };
    let up = page.gauge("image_up", "Whether the image runs", None);
    let answers = page.gauge("image_answers", "Whether the image answers; one that is paused does not", None);
    let grouped = page.gauge("image_in_group", "Whether the image is in the sysplex group", None);
    let quiesced = page.gauge("image_quiesced", "Whether the image takes no new connections", None);
    let routes = page.gauge("routing_table_entries", "Connections in the image's VCRT", None);
    let contact = page.gauge("xcf_contact", "Whether the image is in contact with the peer", None);
    let forwarded = "Packets of clients and servers sent to the peer over XCF";
    let packets = page.counter("xcf_packets", forwarded, None);
    let bytes = page.counter("xcf_sent", "Bytes of those packets", Some(Unit::Bytes));
    let network = "Packets from (in) and to (out) the client network";
    let network_packets = page.counter("network_packets", network, None);
    let network_bytes = page.counter("network_transferred", "Bytes of those packets", Some(Unit::Bytes));
    let ready = page.gauge("target_listeners", "Applications that listen at the target, by the owner's VDPT", None);
    let active = page.gauge("target_connections", "Connections that the target has, by the owner's VDPT", None);
    let total = page.counter("target_connections_routed", "Connections that the owner has sent to the target", None);
    let counters = page.counter("statistics", "What the image counts, by the names of netstat STATS", None);
    let flag = |flag: bool| f64::from(u8::from(flag));
    for image in known {
        let own = |more: &[(&'static str, &str)]| {
            let more = more.iter().map(|(name, value)| (*name, (*value).to_owned()));
            std::iter::once(("image", image.status.name.clone())).chain(more).collect::<Labels>()
        };
        up.get_or_create(&own(&[])).set(flag(image.status.state == ImageState::Running));
        answers.get_or_create(&own(&[])).set(flag(image.gauges.is_some()));
        for (group, named) in image.counters.iter().flatten() {
            for (counter, count) in named {
                counters.get_or_create(&own(&[("group", group), ("counter", counter)])).inc_by(*count);
            }
        }
        let Some(gauges) = &image.gauges else { continue };
        grouped.get_or_create(&own(&[])).set(flag(gauges.in_group));
        quiesced.get_or_create(&own(&[])).set(flag(gauges.quiesced));
        routes.get_or_create(&own(&[])).set(gauges.routes as f64);
        for peer in &gauges.peers {
            contact.get_or_create(&own(&[("peer", &name(&peer.xcf))])).set(flag(peer.contact == Contact::Up));
        }
        for (to, count) in &gauges.traffic.xcf_out {
            let labels = own(&[("peer", &name(to))]);
            packets.get_or_create(&labels).inc_by(count.packets);
            bytes.get_or_create(&labels).inc_by(count.bytes);
        }
        for (direction, count) in [("in", gauges.traffic.network_in), ("out", gauges.traffic.network_out)] {
            let labels = own(&[("direction", direction)]);
            network_packets.get_or_create(&labels).inc_by(count.packets);
            network_bytes.get_or_create(&labels).inc_by(count.bytes);
        }
        for row in &gauges.destinations {
            let (dvipa, port) = (row.address.to_string(), row.port.to_string());
            let labels = own(&[("dvipa", &dvipa), ("port", &port), ("target", &name(&row.xcf))]);
            ready.get_or_create(&labels).set(f64::from(row.ready));
            active.get_or_create(&labels).set(row.active as f64);
            total.get_or_create(&labels).inc_by(row.total);
        }
    }
    if whole {
        let owned = page.gauge("dvipa_owned", "Whether somebody routes for the DVIPA", None);
        let owner = page.gauge("dvipa_owner", "1 for the image that routes for the DVIPA", None);
        let backups = page.gauge("dvipa_backups", "Live images that can take the DVIPA over", None);
        for dvipa in &status.dvipas {
            let labels = || vec![("dvipa", dvipa.address.to_string())];
            owned.get_or_create(&labels()).set(flag(dvipa.owner.is_some()));
            backups.get_or_create(&labels()).set(dvipa.backups.len() as f64);
            if let Some(image) = &dvipa.owner {
                let mut labels = labels();
                labels.push(("image", image.clone()));
                owner.get_or_create(&labels).set(1.0);
            }
        }
    }
    let mut text = String::new();
    encode(&mut text, &page.0)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::control::DvipaStatus;
    use crate::netstat::DestinationRow;
    use crate::watch::{Count, Peer};

    fn page() -> String {
        let xcf = |last| IpAddr::from([192, 0, 2, last]);
        let image = |name: &str, last, state| ImageStatus { name: name.into(), state, pid: Some(1), xcf: xcf(last) };
        let dvipa = DvipaStatus {
            name: "DVA".into(),
            address: [203, 0, 113, 1].into(),
            ports: vec![80],
            owner: Some("MVS1".into()),
            epoch: (1, 255),
            backups: vec!["MVS2".into()],
            targets: vec!["MVS1".into()],
        };
        let images = vec![image("MVS1", 1, ImageState::Running), image("MVS2", 2, ImageState::Failed)];
        let status = Status { name: "lab".into(), images, dvipas: vec![dvipa], cuts: Vec::new() };
        let mut gauges = Gauges { in_group: true, routes: 3, ..Gauges::default() };
        gauges.peers.push(Peer { xcf: xcf(2), contact: Contact::Silent, resent: 0 });
        *gauges.traffic.xcf_to(xcf(2)) = Count { packets: 5, bytes: 500 };
        let address = [203, 0, 113, 1].into();
        gauges.destinations.push(DestinationRow {
            total: 9,
            active: 2,
            ..DestinationRow::example(address, 80, xcf(1))
        });
        let counters = [("TCP".to_owned(), [("tcpInSegs".to_owned(), 7)].into())].into();
        let [one, two] = &status.images[..] else { unreachable!() };
        let known = [
            Known { status: one, gauges: Some(gauges), counters: Some(counters) },
            Known { status: two, gauges: None, counters: None },
        ];
        render(&status, &known, true).unwrap()
    }

    #[test]
    fn what_is_counted_is_there() {
        let page = page();
        for line in [
            r#"cluster_lab_image_up{image="MVS1"} 1.0"#,
            r#"cluster_lab_image_up{image="MVS2"} 0.0"#,
            r#"cluster_lab_xcf_contact{image="MVS1",peer="MVS2"} 0.0"#,
            r#"cluster_lab_xcf_packets_total{image="MVS1",peer="MVS2"} 5"#,
            r#"cluster_lab_xcf_sent_bytes_total{image="MVS1",peer="MVS2"} 500"#,
            r#"cluster_lab_target_connections{image="MVS1",dvipa="203.0.113.1",port="80",target="MVS1"} 2.0"#,
            r#"cluster_lab_target_connections_routed_total{image="MVS1",dvipa="203.0.113.1",port="80",target="MVS1"} 9"#,
            r#"cluster_lab_statistics_total{image="MVS1",group="TCP",counter="tcpInSegs"} 7"#,
            r#"cluster_lab_dvipa_owner{dvipa="203.0.113.1",image="MVS1"} 1.0"#,
        ] {
            assert!(page.lines().any(|known| known == line), "{line}\n{page}");
        }
    }

    /// What promtool checks: a type and help for each, once and before its samples; counters end in `_total`
    /// and nothing else does; a unit is in the name; no series twice; an end.
    #[test]
    fn the_conventions_are_kept() {
        let page = page();
        let (mut kinds, mut helped, mut series) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        for line in page.lines() {
            let words: Vec<&str> = line.splitn(4, ' ').collect();
            match words[..] {
                ["#", "HELP", name, help] => assert!(helped.insert(name) && help.ends_with('.'), "{line}"),
                ["#", "TYPE", name, kind] => assert!(kinds.insert(name, kind).is_none(), "{line}"),
                ["#", "UNIT", name, unit] => assert!(name.ends_with(unit), "{line}"),
                ["#", "EOF"] => {}
                _ => {
                    let (labelled, value) = line.rsplit_once(' ').unwrap();
                    let name = labelled.split('{').next().unwrap();
                    let counter = name.strip_suffix("_total");
                    assert_eq!(kinds[counter.unwrap_or(name)] == "counter", counter.is_some(), "{line}");
                    assert!(helped.contains(counter.unwrap_or(name)), "{line}");
                    assert!(value.parse::<f64>().is_ok_and(|value| value >= 0.0), "{line}");
                    assert!(
                        name.starts_with("cluster_lab_") && name.bytes().all(|b| b == b'_' || b.is_ascii_lowercase())
                    );
                    assert!(series.insert(labelled.to_owned()), "twice: {line}");
                }
            }
        }
        assert_eq!(page.lines().last(), Some("# EOF"));
    }
}
