//! DISPLAY SYSPLEX.

use std::net::IpAddr;

use anyhow::{Result, bail};
use vipa::messages::GROUP;
use vipa::status::{DistStatus, VipaStatus};
use vipa::sysplex::SysplexStack;

use super::vipa::{origin, status};
use crate::display::{DvipaRow, MemberRow, PortsRow, StackRow, Sysplex, SysplexReport, SysplexTable};
use crate::image::shared::Shared;
use crate::netstat::dvipa_link;
use crate::profile::Cluster;

/// What the image knows of the sysplex.
///
/// # Errors
/// If a DVIPA is asked for that it does not know.
pub(in crate::image) fn sysplex(
    shared: &Shared,
    cluster: &Cluster,
    image: &str,
    question: &Sysplex,
) -> Result<SysplexReport> {
    let core = shared.lock();
    let table = match question {
        _ if !core.vipa.in_group() => SysplexTable::NotMember,
        Sysplex::Vipadyn(which) => {
            let own = core.vipa.dvipas();
            let row = |dvipa: vipa::sysplex::SysplexDvipa| {
                let this = own.iter().find(|known| known.address == dvipa.address);
                DvipaRow {
                    address: dvipa.address,
                    link: dvipa_link(dvipa.address),
                    prefix: dvipa.prefix,
                    origin: this.map(|this| origin(this.origin)).unwrap_or_default().into(),
                    stacks: dvipa.stacks.into_iter().map(stack).collect(),
                }
            };
            let mut dvipas: Vec<DvipaRow> = core.vipa.sysplex().into_iter().map(row).collect();
            if let Some(which) = which {
                dvipas.retain(|dvipa| is(which, dvipa, cluster));
                if dvipas.is_empty() {
                    bail!("'{which}' is no DVIPA that {image} knows: DISPLAY TCPIP,,SYSPLEX,VIPADYN shows all");
                }
            }
            SysplexTable::Vipadyn(dvipas)
        }
        Sysplex::Group => {
            let members = core.vipa.members().into_iter();
            let row = |member: vipa::sysplex::Member| MemberRow {
                mvsname: member.name,
                xcf: member.xcf,
                leaving: member.leaving,
            };
            SysplexTable::Group { group: GROUP.into(), members: members.map(row).collect() }
        }
        Sysplex::Ports => {
            let name = |xcf: IpAddr| cluster.image_at(xcf).map_or_else(|| xcf.to_string(), |image| image.name.clone());
            let row = |(address, first, xcf): (IpAddr, u16, IpAddr)| PortsRow {
                address,
                first,
                // A block is 64 ports, and begins at a multiple of that.
                last: first | 63,
                mvsname: name(xcf),
            };
            SysplexTable::Ports(core.vipa.leases().into_iter().map(row).collect())
        }
    };
    Ok(SysplexReport { image: image.to_owned(), table })
}

/// Whether a DVIPA is meant by its address, its name in the profile, or its link's name.
fn is(which: &str, dvipa: &DvipaRow, cluster: &Cluster) -> bool {
    let address = which.parse().ok().or_else(|| cluster.address_of(which));
    address == Some(dvipa.address) || dvipa.link.eq_ignore_ascii_case(which)
}

fn stack(stack: SysplexStack) -> StackRow {
    StackRow {
        mvsname: stack.name,
        status: status(stack.status).to_uppercase(),
        rank: Some(stack.rank).filter(|rank| *rank > 0),
        distribution: match stack.distribution {
            DistStatus::Neither => "",
            DistStatus::Distributor => "DIST",
            DistStatus::Target => "DEST",
            DistStatus::Both => "BOTH",
        }
        .into(),
        active: stack.status == VipaStatus::Active,
    }
}
