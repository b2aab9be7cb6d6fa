//! VIPADCFG, VIPADYN, VDPT and VCRT.

use std::fmt::{Formatter, Result};
use std::net::IpAddr;

use vipa::definitions::Standby;
use vipa::messages;

use super::super::{BackupRow, DefineRow, DestinationRow, DistributeRow, DvipaRow, Flag, RangeRow, RouteRow, socket};
use super::{ten, width, yes};

/// What stands before VIPADCFG while the stack is not in the sysplex group.
pub(super) fn group(f: &mut Formatter<'_>, in_group: bool) -> Result {
    if in_group {
        return Ok(());
    }
    let [outside, unused] = messages::CONFIGURED_OUTSIDE;
    writeln!(f, "{outside} {} IS NOT A MEMBER OF A SYSPLEX GROUP", messages::STACK)?;
    writeln!(f, "{unused} THE DYNAMIC VIPA CONFIGURATION THAT FOLLOWS IS NOT IN EFFECT")
}

pub(super) fn configuration(
    f: &mut Formatter<'_>,
    backups: &[BackupRow],
    defines: &[DefineRow],
    ranges: &[RangeRow],
    distributes: &[DistributeRow],
) -> Result {
    writeln!(f, "Dynamic VIPA Information:")?;
    self::backups(f, backups.iter().filter(|row| !row.deactivated))?;
    self::defines(f, defines.iter().filter(|row| !row.deactivated))?;
    if !ranges.is_empty() {
        writeln!(f, "  VIPA Range:")?;
    }
    for row in ranges {
        writeln!(f, "    IpAddr/PrefixLen: {}/{}", row.address, row.prefix)?;
        writeln!(f, "      Moveable: {}", row.moveable)?;
    }
    if !distributes.is_empty() {
        writeln!(f, "  VIPA Distribute:")?;
    }
    for row in distributes {
        for port in &row.ports {
            for (index, destination) in row.destinations.iter().enumerate() {
                writeln!(f, "    Dest:      {}..{port}", row.address)?;
                writeln!(f, "      DestXCF:    {destination}")?;
                writeln!(f, "      DistMethod: {}", row.method)?;
                if let Some(weight) = row.weights.get(index) {
                    writeln!(f, "      Weight:     {weight:02}")?;
                }
                if let Some(standby) = &row.standby {
                    let rank = standby.ranks.get(index).copied().unwrap_or_default();
                    match rank {
                        Standby::PREFERRED => writeln!(f, "      SrvType:    Preferred")?,
                        rank => writeln!(f, "      SrvType:    Backup     Rank: {rank:03}")?,
                    }
                    let (back, health) = (yes(standby.auto_switch_back), yes(standby.health_switch));
                    writeln!(f, "      AutoSwitchBack: {back:<3}  HealthSwitch: {health}")?;
                }
                let optlocal = row.optlocal.map_or_else(|| "No".to_owned(), |value| format!("Yes  Value: {value:02}"));
                writeln!(f, "      SysPt: {:<3}  TimAff: {:04}", yes(row.sysplex_ports), row.timed_affinity)?;
                writeln!(f, "      OptLoc: {optlocal}")?;
            }
        }
    }
    if backups.iter().any(|row| row.deactivated) || defines.iter().any(|row| row.deactivated) {
        writeln!(f, "Deactivated Dynamic VIPA Information:")?;
        self::backups(f, backups.iter().filter(|row| row.deactivated))?;
        self::defines(f, defines.iter().filter(|row| row.deactivated))?;
    }
    Ok(())
}

fn backups<'a>(f: &mut Formatter<'_>, rows: impl Iterator<Item = &'a BackupRow>) -> Result {
    for (index, row) in rows.enumerate() {
        if index == 0 {
            writeln!(f, "  VIPA Backup:")?;
        }
        let prefix = row.prefix.map(|prefix| format!("/{prefix}")).unwrap_or_default();
        let manager = if row.moveable.is_empty() { "" } else { "No" };
        writeln!(f, "    IpAddr/PrefixLen: {}{prefix}", row.address)?;
        let line = format!("      Rank: {:06}  Moveable: {:<10}  SrvMgr: {manager}", row.rank, row.moveable);
        writeln!(f, "{}", line.trim_end())?;
    }
    Ok(())
}

fn defines<'a>(f: &mut Formatter<'_>, rows: impl Iterator<Item = &'a DefineRow>) -> Result {
    for (index, row) in rows.enumerate() {
        if index == 0 {
            writeln!(f, "  VIPA Define:")?;
        }
        writeln!(f, "    IpAddr/PrefixLen: {}/{}", row.address, row.prefix)?;
        // There is no service manager here.
        writeln!(f, "      Moveable: {:<10} SrvMgr: No", row.moveable)?;
    }
    Ok(())
}

pub(super) fn dynamic(f: &mut Formatter<'_>, dvipas: &[DvipaRow]) -> Result {
    writeln!(f, "Dynamic VIPA:")?;
    for row in dvipas {
        // What is not distributed has no such status, and what is no definition has no rank.
        let distribution = Some(&row.distribution).filter(|status| !status.is_empty());
        let distribution = distribution.map(|status| format!("DistStat: {status}"));
        let rank = row.rank.map(|rank| format!("Rank: {rank:03}"));
        let rest = [distribution, rank].into_iter().flatten().collect::<Vec<_>>().join("  ");
        let line = format!("Status: {:<10} Origin: {:<16} {rest}", row.status, row.origin);
        writeln!(f, "  IpAddr/PrefixLen: {}/{}", row.address, row.prefix)?;
        writeln!(f, "    {}", line.trim_end())?;
        if let Some(activated) = row.activated {
            writeln!(f, "    ActTime: {}", activated.strftime("%m/%d/%Y %H:%M:%S"))?;
        }
        if let Some(owner) = row.owner {
            writeln!(f, "    Owner:  {owner}")?;
        }
    }
    Ok(())
}

pub(super) fn destinations(f: &mut Formatter<'_>, rows: &[DestinationRow]) -> Result {
    writeln!(f, "Dynamic VIPA Destination Port Table:")?;
    let wide = width(rows.iter().flat_map(|row| [row.address, row.xcf]));
    writeln!(f, "{:<wide$} DPort {:<wide$} Rdy TotalConn  WLM  TSR Flg", "Dest IPaddr", "DestXCF Addr")?;
    writeln!(f, "{:<wide$} ----- {:<wide$} --- ---------  ---  --- ---", "-----------", "------------")?;
    rows.iter().try_for_each(|row| {
        let (address, xcf, total) = (row.address.to_string(), row.xcf.to_string(), ten(row.total));
        let flags: String = row.flags.iter().filter_map(|flag| flag.letter()).collect();
        let (ready, weight, tsr) = (row.ready, row.weight, row.responsiveness.tsr);
        writeln!(
            f,
            "{address:<wide$} {:05} {xcf:<wide$} {ready:03} {total:010} {weight:02}   {tsr:03} {flags}",
            row.port
        )
    })
}

pub(super) fn destinations_at_length(f: &mut Formatter<'_>, rows: &[DestinationRow]) -> Result {
    writeln!(f, "Dynamic VIPA Destination Port Table:")?;
    rows.iter().try_for_each(|row| {
        let measured = &row.responsiveness;
        let flags: Vec<&str> = row.flags.iter().map(|flag| flag.word()).collect();
        writeln!(f, "Dest:        {}..{}", row.address, row.port)?;
        writeln!(f, "  DestXCF:   {}", row.xcf)?;
        let (total, weight) = (ten(row.total), row.weight);
        writeln!(f, "  TotalConn: {total:010}  Rdy: {:03}  WLM: {weight:02} TSR: {:03}", row.ready, measured.tsr)?;
        writeln!(f, "  DistMethod: {}", row.method)?;
        if let Some(server) = &row.server {
            writeln!(f, "    SrvType: {server}")?;
        }
        writeln!(f, "  Flg: {}", flags.join(", "))?;
        writeln!(f, "    TCSR: {:03} CER: {:03} SEF: {:03}", measured.tcsr, measured.cer, measured.sef)?;
        writeln!(f, "    Abnorm: {:<10} Health: {:03}", format!("{:02}", measured.abnorm), measured.health)?;
        writeln!(f, "  ActiveConn: {:010}", ten(row.active))?;
        // No policy agent: no rule narrows the targets, and no fraction is taken off a weight.
        writeln!(f, "    QosPlcAct: {:<11} W/Q: {weight:02}", "*DEFAULT*")
    })
}

impl Flag {
    fn letter(self) -> Option<char> {
        match self {
            Flag::Dynamic => Some('D'),
            Flag::BaseWLM => Some('B'),
            Flag::ServerWLM => Some('S'),
            Flag::Roundrobin => Some('R'),
            Flag::WeightedActive => Some('W'),
            Flag::HotStandby => Some('H'),
            Flag::Inactive => Some('I'),
            // Words of DETAIL alone.
            Flag::Active | Flag::Backup => None,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Flag::Dynamic => "Dynamic",
            Flag::BaseWLM => "BaseWLM",
            Flag::ServerWLM => "ServerWLM",
            Flag::Roundrobin => "Roundrobin",
            Flag::WeightedActive => "WeightedActive",
            Flag::HotStandby => "HotStandby",
            Flag::Active => "Active",
            Flag::Backup => "Backup",
            Flag::Inactive => "Inactive",
        }
    }
}

pub(super) fn routes(f: &mut Formatter<'_>, rows: &[RouteRow]) -> Result {
    writeln!(f, "Dynamic VIPA Connection Routing Table:")?;
    let addresses = |row: &RouteRow| -> [IpAddr; 3] { [row.destination.ip(), row.source.ip(), row.xcf] };
    let wide = width(rows.iter().flat_map(addresses));
    writeln!(f, "{:<wide$} DPort {:<wide$} SPort {:<wide$}", "Dest IPaddr", "Src IPaddr", "DestXCF Addr")?;
    writeln!(f, "{:<wide$} ----- {:<wide$} ----- {:<wide$}", "-----------", "----------", "------------")?;
    rows.iter().try_for_each(|row| {
        let (to, from) = (row.destination.ip().to_string(), row.source.ip().to_string());
        let (dport, sport) = (row.destination.port(), row.source.port());
        writeln!(f, "{to:<wide$} {dport:05} {from:<wide$} {sport:05} {}", row.xcf)
    })
}

pub(super) fn routes_at_length(f: &mut Formatter<'_>, rows: &[RouteRow]) -> Result {
    writeln!(f, "Dynamic VIPA Connection Routing Table:")?;
    rows.iter().try_for_each(|row| {
        writeln!(f, "Dest:       {}", socket(row.destination))?;
        writeln!(f, "  Source:   {}", socket(row.source))?;
        writeln!(f, "  DestXCF:  {}", row.xcf)?;
        writeln!(f, "    PolicyRule:   *NONE*")?;
        writeln!(f, "    PolicyAction: *NONE*")?;
        writeln!(f, "    VipaRoute:    No")?;
        writeln!(f, "    State:        {}", row.state)
    })
}
