//! z/OS's layout of DISPLAY SYSPLEX.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use vipa::messages::{GROUP_NAME, NOT_MEMBER, STACK, SYSPLEX};

use super::{DvipaRow, MemberRow, PortsRow, RELEASE, SysplexReport, SysplexTable};
use crate::profile::Network;

impl fmt::Display for SysplexReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SysplexReport { image, table } = self;
        match table {
            SysplexTable::NotMember => {
                writeln!(f, "{NOT_MEMBER} {STACK} {image} IS NOT A MEMBER OF A SYSPLEX GROUP")
            }
            SysplexTable::Vipadyn(dvipas) => {
                writeln!(f, "{SYSPLEX} SYSPLEX {RELEASE}")?;
                writeln!(f, "VIPA DYNAMIC DISPLAY FROM {STACK} AT {image}")?;
                dvipas.iter().try_for_each(|dvipa| self::dvipa(f, dvipa))
            }
            SysplexTable::Group { group, members } => {
                writeln!(f, "{GROUP_NAME} SYSPLEX GROUP FOR {STACK} AT {image} IS {group}")?;
                self::members(f, members)
            }
            SysplexTable::Ports(rows) => {
                writeln!(f, "{SYSPLEX} SYSPLEX {RELEASE}")?;
                writeln!(f, "SYSPLEX PORTS DISPLAY FROM {STACK} AT {image}")?;
                ports(f, rows)
            }
        }
    }
}

fn dvipa(f: &mut fmt::Formatter<'_>, dvipa: &DvipaRow) -> fmt::Result {
    writeln!(f, "IPADDR: {}  LINKNAME: {}", dvipa.address, dvipa.link)?;
    if !dvipa.origin.is_empty() {
        writeln!(f, "  ORIGIN: {}", dvipa.origin)?;
    }
    let names = dvipa.stacks.iter().map(|stack| stack.mvsname.len()).max().unwrap_or(0).max(8);
    let network = Network::first_of(dvipa.address, dvipa.prefix).unwrap_or(dvipa.address).to_string();
    // An IPv6 address has no mask: its prefix has a length.
    let mask = match dvipa.address {
        IpAddr::V4(_) => {
            Ipv4Addr::from_bits(u32::MAX.checked_shl(32 - u32::from(dvipa.prefix.min(32))).unwrap_or(0)).to_string()
        }
        IpAddr::V6(_) => format!("/{}", dvipa.prefix),
    };
    let wide = network.len().max(15);
    let status = dvipa.stacks.iter().map(|stack| stack.status.len()).max().unwrap_or(0).max(6);
    writeln!(
        f,
        "  TCPNAME  {:<names$} {:<status$} RANK {:<15} {:<wide$} DIST",
        "MVSNAME", "STATUS", "ADDRESS MASK", "NETWORK PREFIX"
    )?;
    dvipa.stacks.iter().try_for_each(|stack| {
        // Only who has it on the network has a mask and a prefix; only the others have a rank.
        let (mask, network) = if stack.active { (mask.as_str(), network.as_str()) } else { ("", "") };
        let rank = stack.rank.filter(|_| !stack.active).map(|rank| format!("{rank:03}")).unwrap_or_default();
        let line = format!(
            "  {STACK:<8} {:<names$} {:<status$} {rank:<4} {mask:<15} {network:<wide$} {}",
            stack.mvsname, stack.status, stack.distribution
        );
        writeln!(f, "{}", line.trim_end())
    })
}

/// z/OS tells the group's name alone; who is in it is worth knowing too.
fn members(f: &mut fmt::Formatter<'_>, members: &[MemberRow]) -> fmt::Result {
    let names = members.iter().map(|member| member.mvsname.len()).max().unwrap_or(0).max(8);
    writeln!(f, "  TCPNAME  {:<names$} DYNXCFIP", "MVSNAME")?;
    members.iter().try_for_each(|member| {
        let leaving = if member.leaving { " LEAVING" } else { "" };
        writeln!(f, "  {STACK:<8} {:<names$} {}{leaving}", member.mvsname, member.xcf)
    })
}

fn ports(f: &mut fmt::Formatter<'_>, rows: &[PortsRow]) -> fmt::Result {
    let wide = rows.iter().map(|row| row.address.to_string().len()).max().unwrap_or(0).max(15);
    writeln!(f, "  {:<wide$} PORTS       TCPNAME  MVSNAME", "IPADDR")?;
    rows.iter().try_for_each(|row| {
        let (address, block) = (row.address.to_string(), format!("{:05}-{:05}", row.first, row.last));
        writeln!(f, "  {address:<wide$} {block} {STACK:<8} {}", row.mvsname)
    })
}

#[cfg(test)]
mod tests {
    use super::super::StackRow;
    use super::*;

    /// DISPLAY SYSPLEX,VIPADYN, line by line.
    #[test]
    fn vipadyn_of_the_sysplex_is_laid_out_as_on_zos() {
        let stack = |mvsname: &str, status: &str, rank, distribution: &str| StackRow {
            mvsname: mvsname.into(),
            status: status.into(),
            rank,
            distribution: distribution.into(),
            active: status == "ACTIVE",
        };
        let dvipa = DvipaRow {
            address: "201.2.10.11".parse().unwrap(),
            link: "VIPLC9020A0B".into(),
            prefix: 26,
            origin: "VIPADEFINE".into(),
            stacks: vec![
                stack("MVS1", "ACTIVE", Some(255), "BOTH"),
                stack("MVS2", "BACKUP", Some(10), "DEST"),
                stack("MVS3", "", None, "DEST"),
            ],
        };
        let report = SysplexReport { image: "MVS1".into(), table: SysplexTable::Vipadyn(vec![dvipa]) };
        let text = report.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("EZZ8260I SYSPLEX CS "), "{text}");
        assert_eq!(
            lines[1..],
            [
                "VIPA DYNAMIC DISPLAY FROM TCPIP AT MVS1",
                "IPADDR: 201.2.10.11  LINKNAME: VIPLC9020A0B",
                "  ORIGIN: VIPADEFINE",
                "  TCPNAME  MVSNAME  STATUS RANK ADDRESS MASK    NETWORK PREFIX  DIST",
                "  TCPIP    MVS1     ACTIVE      255.255.255.192 201.2.10.0      BOTH",
                "  TCPIP    MVS2     BACKUP 010                                  DEST",
                "  TCPIP    MVS3                                                 DEST",
            ]
        );
        let outside = SysplexReport { image: "MVS1".into(), table: SysplexTable::NotMember };
        assert_eq!(outside.to_string(), "EZZ8269I TCPIP MVS1 IS NOT A MEMBER OF A SYSPLEX GROUP\n");
    }
}
