//! What an image tells of itself.

mod sysplex;
mod tcpip;
mod vipa;

use ::vipa::Definitions;
use ::vipa::definitions::Ports;
use anyhow::{Result, bail};

use super::applications::Applications;
use super::shared::Shared;
use crate::control::DvipaView;
use crate::netstat::{Report, ReportKind, Selection};
use crate::watch::{Gauges, Peer};

pub(super) use sysplex::sysplex;

/// What a report is made from.
#[derive(Clone, Copy)]
pub(super) struct Sources<'a> {
    pub shared: &'a Shared,
    pub definitions: &'a Definitions,
    pub apps: &'a Applications,
}

/// The image's view of every DVIPA.
pub(super) fn dvipas(shared: &Shared) -> Vec<DvipaView> {
    let view = |dvipa: ::vipa::status::DvipaStatus| DvipaView {
        address: dvipa.address,
        ports: match dvipa.ports {
            Some(Ports::List(ranges)) => ranges.iter().flat_map(|range| range.first..=range.last).collect(),
            Some(Ports::Every) | None => Vec::new(),
        },
        // While the tables are rebuilt, nobody routes yet.
        owner: dvipa.owner.filter(|_| dvipa.complete),
        epoch: (dvipa.epoch.round, dvipa.epoch.rank),
        backups: dvipa.backups,
        targets: dvipa.targets,
    };
    shared.lock().vipa.dvipas().into_iter().map(view).collect()
}

/// What watchers see.
pub(super) fn gauges(shared: &Shared) -> Gauges {
    let (views, vipadyn, destinations) = (dvipas(shared), vipa::dynamic(shared), vipa::destinations(shared));
    let core = shared.lock();
    let (quiesced, quiesced_ports) = core.vipa.quiesced();
    let peer =
        |peer: ::vipa::status::PeerStatus| Peer { xcf: peer.xcf, contact: peer.contact.into(), resent: peer.resent };
    Gauges {
        in_group: core.vipa.in_group(),
        quiesced,
        quiesced_ports,
        views,
        vipadyn,
        destinations,
        routes: core.vipa.crt_len(),
        peers: core.vipa.peers().into_iter().map(peer).collect(),
        traffic: core.traffic.clone(),
    }
}

/// One of the reports, what is not wanted taken out.
///
/// # Errors
/// If a filter says nothing of it.
pub(super) fn netstat(sources: Sources<'_>, selection: &Selection) -> Result<Report> {
    let Sources { shared, definitions, apps } = sources;
    let mut report = match selection.kind {
        ReportKind::Home => tcpip::home(shared),
        ReportKind::Vipadcfg => vipa::configuration(shared, definitions),
        ReportKind::Vipadyn => Report::Vipadyn { dvipas: vipa::dynamic(shared) },
        ReportKind::Vdpt => Report::Vdpt { destinations: vipa::destinations(shared) },
        ReportKind::Vcrt => vipa::routes(shared),
        ReportKind::Conn => tcpip::connections(shared, apps, false),
        ReportKind::Allconn => tcpip::connections(shared, apps, true),
        ReportKind::All => tcpip::details(shared, apps),
        ReportKind::Route => tcpip::paths(shared),
        ReportKind::Stats => tcpip::statistics(shared),
        ReportKind::Config => tcpip::parameters(shared),
    };
    match selection.apply(&mut report) {
        Ok(()) => Ok(report),
        Err(why) => bail!(why),
    }
}
