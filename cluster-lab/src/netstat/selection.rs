//! Which rows of a report are wanted: z/OS's filters IPADDR, PORT and CLIENT, and MAX.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::{Report, ReportKind};

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// The report.
    pub kind: ReportKind,
    /// IPADDR: only rows with one of these addresses, at either end; all if there is none.
    pub addresses: Vec<Pattern>,
    /// PORT: only rows with one of these ports, at either end.
    pub ports: Vec<u16>,
    /// CLIENT: only rows of these applications.
    pub clients: Vec<String>,
}

/// What a report shows of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "UPPER")]
pub enum Variant {
    /// VDPT, VCRT: every row at length
    Detail,
    /// VIPADYN: the DVIPAs
    Dvipa,
    /// VIPADYN: routes by VIPAROUTE
    Viparoute,
}

/// An address, or all addresses that begin alike: `203.0.113.0/24`, or `203.0.113.*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pattern {
    network: IpAddr,
    prefix: u8,
}

impl From<ReportKind> for Selection {
    fn from(kind: ReportKind) -> Self {
        Selection { kind, addresses: Vec::new(), ports: Vec::new(), clients: Vec::new() }
    }
}

impl Selection {
    /// Takes out of a report what is not wanted.
    ///
    /// # Errors
    /// If a filter says nothing of this report.
    pub fn apply(&self, report: &mut Report) -> Result<(), String> {
        let by_port = matches!(
            report,
            Report::Vdpt { .. }
                | Report::Vcrt { .. }
                | Report::Conn { .. }
                | Report::All { .. }
                | Report::Vipadcfg { .. }
        );
        let by_address = !matches!(report, Report::Stats(_) | Report::Config { .. });
        let by_client = matches!(report, Report::Conn { .. } | Report::All { .. });
        for (given, known, filter) in [
            (!self.ports.is_empty(), by_port, "PORT"),
            (!self.addresses.is_empty(), by_address, "IPADDR"),
            (!self.clients.is_empty(), by_client, "CLIENT"),
        ] {
            if given && !known {
                let name = self.kind.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
                return Err(format!("{name} has nothing that {filter} could select: leave the filter out"));
            }
        }
        match report {
            Report::Home { addresses } => addresses.retain(|row| self.has_address([row.address])),
            Report::Vipadyn { dvipas } => dvipas.retain(|row| self.has_address([row.address])),
            Report::Vipadcfg { backups, defines, ranges, distributes, .. } => {
                let no_port = self.ports.is_empty();
                backups.retain(|row| no_port && self.has_address([row.address]));
                defines.retain(|row| no_port && self.has_address([row.address]));
                ranges.retain(|row| no_port && self.has_address([row.address]));
                let port = |port: &String| port.parse().map_or(true, |port| self.has_port([port]));
                distributes.retain(|row| self.has_address([row.address]) && row.ports.iter().any(port));
            }
            Report::Vdpt { destinations } => {
                destinations.retain(|row| self.has_address([row.address, row.xcf]) && self.has_port([row.port]));
            }
            Report::Vcrt { connections } => connections.retain(|row| {
                let (to, from) = (row.destination, row.source);
                self.has_address([to.ip(), from.ip(), row.xcf]) && self.has_port([to.port(), from.port()])
            }),
            Report::Conn { connections } => {
                connections.retain(|row| self.has_ends(&row.local, &row.foreign) && self.has_client(&row.user));
            }
            Report::All { connections } => connections.retain(|row| {
                let row = &row.connection;
                self.has_ends(&row.local, &row.foreign) && self.has_client(&row.user)
            }),
            Report::Route { routes } => {
                let through = |gateway: Option<IpAddr>| gateway.is_some_and(|gateway| self.has_address([gateway]));
                routes.retain(|row| self.has_address([row.destination]) || through(row.gateway));
            }
            Report::Stats(_) | Report::Config { .. } => {}
        }
        Ok(())
    }

    fn has_address(&self, addresses: impl IntoIterator<Item = IpAddr>) -> bool {
        let mut addresses = addresses.into_iter();
        self.addresses.is_empty() || addresses.any(|address| self.addresses.iter().any(|wanted| wanted.covers(address)))
    }

    fn has_port(&self, ports: impl IntoIterator<Item = u16>) -> bool {
        self.ports.is_empty() || ports.into_iter().any(|port| self.ports.contains(&port))
    }

    fn has_client(&self, user: &str) -> bool {
        self.clients.is_empty() || self.clients.iter().any(|client| client.eq_ignore_ascii_case(user))
    }

    /// Whether one of two ends, written as `address..port`, is wanted.
    fn has_ends(&self, local: &str, foreign: &str) -> bool {
        let end = |text: &str| {
            let (address, port) = text.rsplit_once("..")?;
            Some(SocketAddr::new(address.parse().ok()?, port.parse().ok()?))
        };
        let ends = || [local, foreign].into_iter().filter_map(end);
        self.has_address(ends().map(|end| end.ip())) && self.has_port(ends().map(|end| end.port()))
    }
}

impl Report {
    /// MAX: keeps the first `max` rows; how many there were. Of a report of several sections each row
    /// counts, whatever section it is of.
    pub fn truncate(&mut self, max: usize) -> usize {
        fn cut<T>(rows: &mut Vec<T>, left: &mut usize) -> usize {
            let count = rows.len();
            rows.truncate(*left);
            *left -= rows.len();
            count
        }
        let left = &mut { max };
        match self {
            Report::Home { addresses } => cut(addresses, left),
            Report::Vipadcfg { backups, defines, ranges, distributes, .. } => {
                cut(backups, left) + cut(defines, left) + cut(ranges, left) + cut(distributes, left)
            }
            Report::Vipadyn { dvipas } => cut(dvipas, left),
            Report::Vdpt { destinations } => cut(destinations, left),
            Report::Vcrt { connections } => cut(connections, left),
            Report::Conn { connections } => cut(connections, left),
            Report::All { connections } => cut(connections, left),
            Report::Route { routes } => cut(routes, left),
            Report::Config { parameters } => cut(parameters, left),
            Report::Stats(groups) => {
                let count = groups.len();
                while groups.len() > max {
                    groups.pop_last();
                }
                count
            }
        }
    }
}

impl Pattern {
    fn covers(&self, address: IpAddr) -> bool {
        let host = if address.is_ipv4() { 32 } else { 128 };
        let first = |address| crate::profile::Network::first_of(address, self.prefix.min(host));
        self.network.is_ipv4() == address.is_ipv4() && first(self.network) == first(address)
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("'{text}': expected an address, 203.0.113.0/24, or 203.0.113.*");
        let mut stem = text;
        let mut stars = 0u8;
        while let Some(shorter) = stem.strip_suffix(".*") {
            stem = shorter;
            stars += 1;
            if stars > 3 {
                return Err(expected());
            }
        }
        if stars > 0 {
            let network = format!("{stem}{}", ".0".repeat(stars.into())).parse().map_err(|_| expected())?;
            return Ok(Pattern { network: IpAddr::V4(network), prefix: 32 - 8 * stars });
        }
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse::<u8>().map_err(|_| expected())?)),
            None => (text, None),
        };
        let network: IpAddr = address.parse().map_err(|_| expected())?;
        let host = if network.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(host);
        if prefix > host {
            return Err(expected());
        }
        Ok(Pattern { network, prefix })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netstat::{ConnectionRow, RouteRow};

    fn routes() -> Report {
        let row = |source: &str| RouteRow {
            destination: "203.0.113.1:60".parse().unwrap(),
            source: source.parse().unwrap(),
            xcf: "192.0.2.1".parse().unwrap(),
            state: "established".into(),
        };
        Report::Vcrt { connections: vec![row("198.51.100.1:1000"), row("198.51.100.2:1001")] }
    }

    fn left(selection: &Selection) -> usize {
        let mut report = routes();
        selection.apply(&mut report).unwrap();
        report.truncate(usize::MAX)
    }

    #[test]
    fn filters_select_rows() {
        let all = Selection::from(ReportKind::Vcrt);
        let by = |pattern: &str| Selection { addresses: vec![pattern.parse().unwrap()], ..all.clone() };
        assert_eq!(left(&all), 2);
        for (pattern, count) in
            [("198.51.100.2", 1), ("198.51.100.0/31", 1), ("198.51.*.*", 2), ("203.0.113.1", 2), ("10.0.0.0/8", 0)]
        {
            assert_eq!(left(&by(pattern)), count, "{pattern}");
        }
        assert_eq!(left(&Selection { ports: vec![1001], ..all.clone() }), 1);
        assert_eq!(left(&Selection { ports: vec![1001, 60], ..all.clone() }), 2);
        for wrong in ["", "203.0.113", "1.*.*.*.*", "203.0.113.1/33", "x.*"] {
            assert!(wrong.parse::<Pattern>().is_err(), "{wrong}");
        }
        let client = Selection { clients: vec!["WEB".into()], ..all };
        assert!(client.apply(&mut routes()).unwrap_err().contains("CLIENT"));
    }

    #[test]
    fn clients_are_selected_by_name_and_max_counts_all() {
        let row = |user: &str| ConnectionRow {
            user: user.into(),
            protocol: "TCP".into(),
            local: "0.0.0.0..80".into(),
            foreign: "0.0.0.0..0".into(),
            state: "Listen".into(),
            send_queue: 0,
            receive_queue: 0,
        };
        let mut report = Report::Conn { connections: vec![row("WEB"), row("ECHO"), row("WEB")] };
        let selection = Selection { clients: vec!["web".into()], ..ReportKind::Conn.into() };
        selection.apply(&mut report).unwrap();
        assert_eq!(report.truncate(1), 2);
        assert_eq!(report.truncate(9), 1);
    }
}
