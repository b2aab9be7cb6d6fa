//! HOME, CONN, ALL, ROUTE, STATS and CONFIG.

use std::collections::BTreeMap;
use std::fmt::{Formatter, Result};
use std::net::IpAddr;

use super::super::{ConnectionRow, DetailRow, HomeRow, ListenerRow, ParameterRow, PathRow, TcpRow};
use super::{ten, width, yes};

pub(super) fn home(f: &mut Formatter<'_>, rows: &[HomeRow]) -> Result {
    writeln!(f, "Home address list:")?;
    let wide = width(rows.iter().map(|row| row.address)) + 1;
    writeln!(f, "{:<16} {:<wide$} Flg", "LinkName", "Address")?;
    writeln!(f, "{:<16} {:<wide$} ---", "--------", "-------")?;
    rows.iter().try_for_each(|row| {
        let address = row.address.to_string();
        writeln!(f, "{}", format!("{:<16} {address:<wide$} {}", row.link, row.flag).trim_end())
    })
}

pub(super) fn connections(f: &mut Formatter<'_>, rows: &[ConnectionRow]) -> Result {
    let longest = rows.iter().map(|row| row.local.len().max(row.foreign.len())).max();
    let wide = longest.unwrap_or(0).max(22);
    let user = rows.iter().map(|row| row.user.len()).max().unwrap_or(0).max(8);
    writeln!(f, "{:<user$} {:<wide$} {:<wide$} State", "User Id", "Local Socket", "Foreign Socket")?;
    writeln!(f, "{:<user$} {:<wide$} {:<wide$} -----", "-------", "------------", "--------------")?;
    rows.iter().try_for_each(|row| {
        writeln!(f, "{:<user$} {:<wide$} {:<wide$} {}", row.user, row.local, row.foreign, row.state)
    })
}

pub(super) fn details(f: &mut Formatter<'_>, rows: &[DetailRow]) -> Result {
    rows.iter().try_for_each(|DetailRow { connection, listener, tcp }| {
        writeln!(f, "Client Name: {}", connection.user)?;
        writeln!(f, "  Local Socket: {}", connection.local)?;
        writeln!(f, "  Foreign Socket: {}", connection.foreign)?;
        writeln!(f, "    State: {}", connection.state)?;
        let (receive, send) = (connection.receive_queue, connection.send_queue);
        writeln!(f, "    ReceiveDataQueued: {receive:010}  SendDataQueued: {send:010}")?;
        listener.iter().try_for_each(|row| self::listener(f, row))?;
        tcp.iter().try_for_each(|row| self::tcp(f, row))
    })
}

fn listener(f: &mut Formatter<'_>, row: &ListenerRow) -> Result {
    let ListenerRow { maximum_backlog, current_backlog, half_open, current_connections, sef, quiesced } = row;
    writeln!(f, "    MaximumBacklog:    {maximum_backlog:010}  CurrentBacklog: {current_backlog:010}")?;
    writeln!(f, "    CurrentConnections: {current_connections:010}  SEF: {sef:03}")?;
    writeln!(f, "    HalfOpen:          {half_open:010}  Quiesced: {}", yes(*quiesced))
}

fn tcp(f: &mut Formatter<'_>, row: &TcpRow) -> Result {
    let (bytes_in, bytes_out) = (ten(row.bytes_in), ten(row.bytes_out));
    let threshold = row.slow_start_threshold.map_or_else(|| "none".to_owned(), |bytes| format!("{bytes:010}"));
    let options = [("Timestamps", row.timestamps), ("SACK", row.sack)];
    let options: Vec<&str> = options.into_iter().filter(|(_, on)| *on).map(|(name, _)| name).collect();
    writeln!(f, "    BytesIn:            {bytes_in:010}  BytesOut:         {bytes_out:010}")?;
    writeln!(f, "    SndWnd:             {:010}  RcvWnd:           {:010}", row.send_window, row.receive_window)?;
    writeln!(f, "    CongestionWindow:   {:010}  SlowStartThresh:  {threshold}", row.congestion_window)?;
    let (rtt, variance) = (row.round_trip_ms, row.round_trip_variance_ms);
    writeln!(f, "    RoundTripTime:      {rtt:.3} ms  RoundTripVariance: {variance:.3} ms")?;
    writeln!(f, "    RetransmitTimeOut:  {:.3} ms", row.retransmit_timeout_ms)?;
    writeln!(f, "    SendMSS:            {:010}  ReceiveMSS:       {:010}", row.send_mss, row.receive_mss)?;
    writeln!(f, "    PathMTU:            {:010}", row.path_mtu)?;
    writeln!(f, "    SendBufferSize:     {:010}  ReceiveBufferSize: {:010}", row.send_buffer, row.receive_buffer)?;
    writeln!(f, "    Unacknowledged:     {:010}  SentAgain:        {:010}", row.unacknowledged, row.retransmitted)?;
    writeln!(f, "    TcpOptions: {}", options.join(", "))
}

pub(super) fn paths(f: &mut Formatter<'_>, rows: &[PathRow]) -> Result {
    for (version, is_v4) in [("IPv4", true), ("IPv6", false)] {
        let rows: Vec<(String, &PathRow)> =
            rows.iter().filter(|row| row.destination.is_ipv4() == is_v4).map(|row| (destination(row), row)).collect();
        if rows.is_empty() {
            continue;
        }
        let longest = rows.iter().map(|(destination, _)| destination.len()).max().unwrap_or(0).max(18);
        let wide = width(rows.iter().filter_map(|(_, row)| row.gateway));
        writeln!(f, "{version} Destinations")?;
        writeln!(f, "{:<longest$} {:<wide$} Flags  MTU   Interface", "Destination", "Gateway")?;
        writeln!(f, "{:<longest$} {:<wide$} -----  ---   ---------", "-----------", "-------")?;
        for (destination, row) in rows {
            let none: IpAddr =
                if is_v4 { std::net::Ipv4Addr::UNSPECIFIED.into() } else { std::net::Ipv6Addr::UNSPECIFIED.into() };
            let gateway = row.gateway.unwrap_or(none).to_string();
            writeln!(f, "{destination:<longest$} {gateway:<wide$} {:<6} {:05} {}", row.flags, row.mtu, row.link)?;
        }
    }
    Ok(())
}

fn destination(row: &PathRow) -> String {
    if row.prefix == 0 { "Default".to_owned() } else { format!("{}/{}", row.destination, row.prefix) }
}

pub(super) fn statistics(f: &mut Formatter<'_>, groups: &BTreeMap<String, BTreeMap<String, u64>>) -> Result {
    groups.iter().try_for_each(|(group, counters)| {
        writeln!(f, "{group} Statistics")?;
        counters.iter().try_for_each(|(name, count)| writeln!(f, "  {name:<24} = {count}"))
    })
}

pub(super) fn parameters(f: &mut Formatter<'_>, parameters: &[ParameterRow]) -> Result {
    for group in parameters.chunk_by(|one, next| one.group == next.group) {
        if let [first, ..] = group {
            writeln!(f, "{} Configuration Table:", first.group)?;
        }
        for row in group {
            writeln!(f, "  {:<20} {}", format!("{}:", row.name), row.value)?;
        }
    }
    Ok(())
}
