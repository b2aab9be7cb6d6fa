//! z/OS's layout of the reports.

mod tcpip;
mod vipa;

use std::fmt;
use std::net::IpAddr;

use super::{Report, Variant};

/// A report as text.
#[derive(Debug)]
pub struct Text<'a> {
    report: &'a Report,
    variant: Option<Variant>,
}

impl Report {
    /// The report as text, at length where z/OS has DETAIL for it. A variant that it
    /// [has](crate::netstat::ReportKind::has) not makes no difference.
    pub fn text(&self, variant: Option<Variant>) -> Text<'_> {
        Text { report: self, variant }
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let detail = self.variant == Some(Variant::Detail);
        match self.report {
            Report::Vipadcfg { in_group, backups, defines, ranges, distributes } => {
                vipa::group(f, *in_group)?;
                vipa::configuration(f, backups, defines, ranges, distributes)
            }
            // There is no VIPAROUTE here: its list is empty.
            Report::Vipadyn { .. } if self.variant == Some(Variant::Viparoute) => writeln!(f, "VIPA Route:"),
            Report::Vipadyn { dvipas } => vipa::dynamic(f, dvipas),
            Report::Vdpt { destinations } if detail => vipa::destinations_at_length(f, destinations),
            Report::Vdpt { destinations } => vipa::destinations(f, destinations),
            Report::Vcrt { connections } if detail => vipa::routes_at_length(f, connections),
            Report::Vcrt { connections } => vipa::routes(f, connections),
            Report::Home { addresses } => tcpip::home(f, addresses),
            Report::Conn { connections } => tcpip::connections(f, connections),
            Report::All { connections } => tcpip::details(f, connections),
            Report::Route { routes } => tcpip::paths(f, routes),
            Report::Stats(groups) => tcpip::statistics(f, groups),
            Report::Config { parameters } => tcpip::parameters(f, parameters),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Text { report: self, variant: None }.fmt(f)
    }
}

/// How wide a column for these addresses is: as on z/OS with IPv4, and wider where it has to be.
fn width(addresses: impl Iterator<Item = IpAddr>) -> usize {
    addresses.map(|address| address.to_string().len()).max().unwrap_or(0).max(15)
}

fn yes(on: bool) -> &'static str {
    if on { "Yes" } else { "No" }
}

/// A count of ten digits, which wraps.
fn ten(count: u64) -> u64 {
    count % 10_000_000_000
}

#[cfg(test)]
mod tests;
