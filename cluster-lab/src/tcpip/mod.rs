//! What can be set in an image's TCP/IP profile besides VIPADynamic, and changed while it runs (VARY
//! OBEYFILE), in z/OS's words where z/OS has them.
//!
//! ```text
//! TCPCONFIG RECVBUFRSIZE n | SENDBUFRSIZE n | TCPMAXRCVBUFRSIZE n | TCPMAXSENDBUFRSIZE n
//!         | FINWAIT2TIME s | TIMEWAITINTERVAL s | [NO]DELAYACKS | [NO]TCPTIMESTAMP | [NO]SELECTIVEACK
//!         | CONNECTINITINTERVAL ms | RETRANSMITATTEMPTS n | EPHEMERALPORTS low high
//!         | INTERVAL min | KEEPALIVEPROBES n | KEEPALIVEPROBEINTERVAL s
//!         | CONGESTIONCONTROL name | [NO]PACING ...        ; these two are not z/OS's
//! UDPCONFIG UDPRCVBUFRSIZE n
//! IPCONFIG  [NO]DATAGRAMFWD | REASSEMBLYTIMEOUT s | TTL n | SYSPLEXROUTING ...   ; for IPv6 too
//! GLOBALCONFIG SYSPLEXMONITOR JOIN | NOJOIN | NOAUTOREJOIN | NODELAYJOIN ...
//! PORT n {TCP | UDP} {application | * | RESERVED} [BIND address] ...
//! SOMAXCONN n
//! ```
//!
//! What is set counts for new connections; buffers that may grow further do so on old ones too. PORT counts
//! when an application starts, NOJOIN when the image does. What z/OS has besides is refused with a reason
//! (`elsewhere`).

mod elsewhere;
mod parser;
mod ports;

use std::time::Duration;

use stack::Config;
use stack::tcp::{CongestionControl, Keepalive};
use vipa::statements::{StatementError, Word, matches, words};

use parser::{Parser, is_statement};
pub use ports::{Port, Protocol, Reserved};

const BLOCK: (&str, &str) = ("VIPADynamic", "ENDVIPADynamic");

/// Congestion control, by name.
const CONGESTION: [(&str, CongestionControl); 4] = [
    ("BBR", CongestionControl::Bbr),
    ("CUBIC", CongestionControl::Cubic),
    ("NEWRENO", CongestionControl::NewReno),
    ("RENO", CongestionControl::NewReno),
];

/// Everything that can be set.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The stack's.
    pub stack: Config,
    /// How connections that the image's servers accept are probed (RFC 9293, section 3.8.4), once that is on.
    pub probes: Keepalive,
    /// Whether they are: INTERVAL is not 0.
    pub keeps_alive: bool,
    /// Connections that wait to be accepted, of listeners from now on.
    pub backlog: Option<usize>,
    /// PORT.
    pub ports: Vec<Port>,
    /// GLOBALCONFIG SYSPLEXMONITOR NOJOIN: the image joins the group when an operator says so.
    pub stays_out: bool,
}

/// A profile's two parts, each with blanks in place of the other, so that places stay what they are:
/// the statements of this module, and the VIPADynamic block, if there is one.
pub fn split(text: &str) -> (String, Option<String>) {
    let (words, _) = words(text);
    let at = |word: &Word<'_>| word.text.as_ptr() as usize - text.as_ptr() as usize;
    let Some(first) = words.iter().position(|word| matches(word.text, BLOCK.0)) else { return (text.to_owned(), None) };
    let last = words[first..].iter().find(|word| matches(word.text, BLOCK.1));
    let (start, mut end) = (at(&words[first]), last.map_or(text.len(), |word| at(word) + word.text.len()));
    // What stands behind the block is its business, unless it is a statement of this module.
    let behind = words.iter().find(|word| at(word) >= end);
    if !behind.is_some_and(|word| is_statement(word.text)) {
        end = text.len();
    }
    let blank = |inside: bool| {
        let keep = |index: usize| inside == (start..end).contains(&index);
        text.char_indices().map(|(index, letter)| if keep(index) || letter == '\n' { letter } else { ' ' }).collect()
    };
    (blank(false), Some(blank(true)))
}

/// Whether the text has a statement of this module.
pub fn says_anything(text: &str) -> bool {
    !words(text).0.is_empty()
}

/// Reads statements that change `known`.
///
/// # Errors
/// Everything that is wrong with them; then nothing of them counts.
pub fn parse(text: &str, known: &Settings) -> Result<Settings, Vec<StatementError>> {
    Parser::read(text, known)
}

impl Settings {
    /// Keepalive of connections that the image's servers accept.
    pub fn keepalive(&self) -> Option<Keepalive> {
        self.keeps_alive.then_some(self.probes)
    }

    /// Group, parameter and value, as `netstat CONFIG` shows them; names as z/OS has them.
    pub fn rows(&self) -> Vec<(&'static str, &'static str, String)> {
        let Settings { stack, probes, keeps_alive, backlog, ports, stays_out } = self;
        let tcp = &stack.tcp;
        let yes = |on: bool| if on { "Yes" } else { "No" }.to_owned();
        let seconds = |time: Duration| time.as_secs().to_string();
        let minutes = |time: Duration| (time.as_secs() / 60).to_string();
        let congestion = CONGESTION.iter().find(|(_, known)| *known == tcp.congestion);
        let (low, high) = (tcp.ephemeral_ports.start(), tcp.ephemeral_ports.end());
        let listen = stack::tcp::ListenOptions::default().backlog;
        // The rest of what a monitor could do is never done here.
        let monitor =
            format!("Join: {} AutoRejoin: No DelayJoin: No MonIntf: No DynRoute: No Recovery: No", yes(!stays_out));
        let rows = [
            ("Global", "SysplexMonitor", monitor),
            ("TCP", "DefaultRcvBufSize", tcp.initial_receive.to_string()),
            ("TCP", "DefaultSndBufSize", tcp.initial_send.to_string()),
            ("TCP", "DefltMaxRcvBufSize", tcp.max_receive.to_string()),
            ("TCP", "DefltMaxSndBufSize", tcp.max_send.to_string()),
            ("TCP", "SoMaxConn", backlog.unwrap_or(listen).to_string()),
            ("TCP", "FinWait2Time", seconds(tcp.fin_wait_2)),
            ("TCP", "TimeWaitInterval", seconds(tcp.time_wait)),
            ("TCP", "DelayAck", yes(!tcp.delayed_ack.is_zero())),
            ("TCP", "TcpTimeStamp", yes(tcp.timestamps)),
            ("TCP", "SelectiveACK", yes(tcp.sack)),
            ("TCP", "Pacing", yes(tcp.pacing)),
            ("TCP", "ConnectInitIntval", tcp.initial_rto.as_millis().to_string()),
            ("TCP", "RetransmitAttempts", tcp.retries.to_string()),
            ("TCP", "EphemeralPorts", format!("{low}-{high}")),
            ("TCP", "DefaultKeepAlive", if *keeps_alive { minutes(probes.idle) } else { "Off".to_owned() }),
            ("TCP", "KeepAliveProbes", probes.count.to_string()),
            ("TCP", "KAProbeInterval", seconds(probes.interval)),
            ("TCP", "CongestionControl", congestion.map_or_else(|| format!("{:?}", tcp.congestion), |it| it.0.into())),
            ("UDP", "DefaultRcvBufSize", stack.udp_receive.to_string()),
            ("IP", "Forwarding", yes(stack.forward)),
            ("IP", "RsmTimeOut", seconds(stack.reassembly_timeout)),
            ("IP", "TimeToLive", stack.hop_limit.to_string()),
        ];
        let ports = ports.iter().map(|port| ("Port", port.protocol.name(), port.to_string()));
        rows.into_iter().chain(ports).collect()
    }
}

#[cfg(test)]
mod tests;
