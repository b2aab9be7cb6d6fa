//! What an image tells of itself.

mod sysplex;
mod tcpip;
mod vipa;

use ::vipa::Definitions;
use ::vipa::definitions::Ports;
use ::vipa::status::{DvipaStatus, PeerStatus};
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
    shared.lock().vipa.dvipas().iter().map(view).collect()
}

fn view(dvipa: &DvipaStatus) -> DvipaView {
    DvipaView {
        address: dvipa.address,
        ports: match &dvipa.ports {
            Some(Ports::List(ranges)) => ranges.iter().flat_map(|range| range.first..=range.last).collect(),
            Some(Ports::Every) | None => Vec::new(),
        },
        // While the tables are rebuilt, nobody routes yet.
        owner: dvipa.owner.filter(|_| dvipa.complete),
        epoch: (dvipa.epoch.round, dvipa.epoch.rank),
        backups: dvipa.backups.clone(),
        targets: dvipa.targets.clone(),
    }
}

/// What watchers see, all of it at one moment.
pub(super) fn gauges(shared: &Shared) -> Gauges {
    let now = shared.now();
    let core = shared.lock();
    let dvipas = core.vipa.dvipas();
    let peer = |peer: PeerStatus| Peer { xcf: peer.xcf, contact: peer.contact.into(), resent: peer.resent };
    Gauges {
        in_group: core.vipa.in_group(),
        quiesced: core.vipa.is_quiesced(),
        quiesced_ports: core.vipa.quiesced_ports(),
        views: dvipas.iter().map(view).collect(),
        vipadyn: vipa::dynamic(&dvipas, now),
        destinations: vipa::destinations(&core.vipa),
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
        ReportKind::Vipadyn => Report::Vipadyn { dvipas: vipa::dynamic(&shared.lock().vipa.dvipas(), shared.now()) },
        ReportKind::Vdpt => Report::Vdpt { destinations: vipa::destinations(&shared.lock().vipa) },
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
