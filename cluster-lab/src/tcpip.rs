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
//! IPCONFIG  [NO]DATAGRAMFWD | REASSEMBLYTIMEOUT s ...      ; for IPv6 too
//! SOMAXCONN n
//! ```
//!
//! What is set counts for new connections; buffers that may grow further do so on old ones too.

use std::time::Duration;

use stack::Config;
use stack::tcp::{CongestionControl, Keepalive};
use vipa::statements::{Position, StatementError, Word, matches, words};

/// Statements; capital letters are the shortest abbreviation.
const STATEMENTS: [&str; 4] = ["TCPCONFIG", "UDPCONFIG", "IPCONFIG", "SOMAXCONN"];
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
    /// Keepalive of connections that the image's servers accept (RFC 9293, section 3.8.4).
    pub keepalive: Option<Keepalive>,
    /// Connections that wait to be accepted, of listeners from now on.
    pub backlog: Option<usize>,
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
    if !behind.is_some_and(|word| STATEMENTS.iter().any(|statement| matches(word.text, statement))) {
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
    let (words, end) = words(text);
    let mut parser = Parser { words, next: 0, end, settings: known.clone(), errors: Vec::new() };
    parser.statements();
    parser.check();
    match parser.errors.is_empty() {
        true => Ok(parser.settings),
        false => Err(parser.errors),
    }
}

struct Parser<'a> {
    words: Vec<Word<'a>>,
    next: usize,
    end: Position,
    settings: Settings,
    errors: Vec<StatementError>,
}

impl<'a> Parser<'a> {
    fn error(&mut self, at: Position, message: impl Into<String>) {
        self.errors.push(StatementError { at, message: message.into() });
    }

    /// The next word of the statement.
    fn take(&mut self) -> Option<Word<'a>> {
        let word = self.words.get(self.next).copied()?;
        if STATEMENTS.iter().any(|statement| matches(word.text, statement)) {
            return None;
        }
        self.next += 1;
        Some(word)
    }

    /// The number after `parameter`.
    fn number(&mut self, parameter: Word<'_>, range: std::ops::RangeInclusive<u64>) -> Option<u64> {
        let (least, most) = (range.start(), range.end());
        let Some(word) = self.take() else {
            let at = self.words.get(self.next).map_or(self.end, |word| word.at);
            self.error(at, format!("{} without its number: expected {least} to {most}", parameter.text.to_uppercase()));
            return None;
        };
        let number = word.text.parse().ok().filter(|number| range.contains(number));
        if number.is_none() {
            self.error(word.at, format!("{} {}: expected {least} to {most}", parameter.text.to_uppercase(), word.text));
        }
        number
    }

    fn seconds(&mut self, parameter: Word<'_>, range: std::ops::RangeInclusive<u64>) -> Option<Duration> {
        self.number(parameter, range).map(Duration::from_secs)
    }

    fn statements(&mut self) {
        while let Some(statement) = self.words.get(self.next).copied() {
            self.next += 1;
            match STATEMENTS.iter().position(|known| matches(statement.text, known)) {
                Some(0) => self.each(Self::tcp, "TCPCONFIG"),
                Some(1) => self.each(Self::udp, "UDPCONFIG"),
                Some(2) => self.each(Self::ip, "IPCONFIG"),
                Some(_) => {
                    if let Some(number) = self.number(statement, 1..=65_535) {
                        self.settings.backlog = usize::try_from(number).ok();
                    }
                }
                None => {
                    let expected = STATEMENTS.join(", ");
                    self.error(statement.at, format!("'{}' is no statement: expected {expected}", statement.text));
                    while self.take().is_some() {}
                }
            }
        }
    }

    /// Reads parameters with `read`, which tells whether it knows one.
    fn each(&mut self, read: impl Fn(&mut Self, Word<'a>) -> bool, statement: &str) {
        while let Some(word) = self.take() {
            if !read(self, word) {
                self.error(word.at, format!("'{}' is not supported in {statement} here", word.text));
            }
        }
    }

    fn tcp(&mut self, word: Word<'a>) -> bool {
        const BUFFER: std::ops::RangeInclusive<u64> = 256..=1 << 23;
        fn set<T>(field: &mut T, value: Option<T>) {
            if let Some(value) = value {
                *field = value;
            }
        }
        // At most 2^23.
        let bytes = |number: Option<u64>| number.map(|number| number as u32);
        let keepalive = |settings: &mut Settings| settings.keepalive.unwrap_or_default();
        match word.text.to_ascii_uppercase().as_str() {
            "RECVBUFRSIZE" => {
                let number = bytes(self.number(word, BUFFER));
                set(&mut self.settings.stack.tcp.initial_receive, number);
            }
            "SENDBUFRSIZE" => {
                let number = bytes(self.number(word, BUFFER));
                set(&mut self.settings.stack.tcp.initial_send, number);
            }
            "TCPMAXRCVBUFRSIZE" => {
                let number = bytes(self.number(word, BUFFER));
                set(&mut self.settings.stack.tcp.max_receive, number);
            }
            "TCPMAXSENDBUFRSIZE" => {
                let number = bytes(self.number(word, BUFFER));
                set(&mut self.settings.stack.tcp.max_send, number);
            }
            "FINWAIT2TIME" => {
                let time = self.seconds(word, 1..=3600);
                set(&mut self.settings.stack.tcp.fin_wait_2, time);
            }
            "TIMEWAITINTERVAL" => {
                let time = self.seconds(word, 0..=120);
                set(&mut self.settings.stack.tcp.time_wait, time);
            }
            "CONNECTINITINTERVAL" => {
                let time = self.number(word, 100..=3000).map(Duration::from_millis);
                set(&mut self.settings.stack.tcp.initial_rto, time);
            }
            "RETRANSMITATTEMPTS" => {
                let count = self.number(word, 0..=15).map(|number| number as u8);
                set(&mut self.settings.stack.tcp.retries, count);
            }
            "EPHEMERALPORTS" => {
                let (low, high) = (self.number(word, 1024..=65_535), self.number(word, 1024..=65_535));
                match low.zip(high) {
                    Some((low, high)) if low <= high => {
                        // Within 16 bits, see above.
                        self.settings.stack.tcp.ephemeral_ports = low as u16..=high as u16;
                    }
                    Some(_) => self.error(word.at, "EPHEMERALPORTS: expected the lower port first"),
                    None => {}
                }
            }
            "DELAYACKS" => self.settings.stack.tcp.delayed_ack = Config::default().tcp.delayed_ack,
            "NODELAYACKS" => self.settings.stack.tcp.delayed_ack = Duration::ZERO,
            "TCPTIMESTAMP" => self.settings.stack.tcp.timestamps = true,
            "NOTCPTIMESTAMP" => self.settings.stack.tcp.timestamps = false,
            "SELECTIVEACK" => self.settings.stack.tcp.sack = true,
            "NOSELECTIVEACK" => self.settings.stack.tcp.sack = false,
            "PACING" => self.settings.stack.tcp.pacing = true,
            "NOPACING" => self.settings.stack.tcp.pacing = false,
            // Zero switches it off, as on z/OS.
            "INTERVAL" => match self.number(word, 0..=35_791) {
                Some(0) => self.settings.keepalive = None,
                Some(minutes) => {
                    let idle = Duration::from_secs(60 * minutes);
                    self.settings.keepalive = Some(Keepalive { idle, ..keepalive(&mut self.settings) });
                }
                None => {}
            },
            "KEEPALIVEPROBES" => {
                if let Some(number) = self.number(word, 1..=10) {
                    let count = number as u8;
                    self.settings.keepalive = Some(Keepalive { count, ..keepalive(&mut self.settings) });
                }
            }
            "KEEPALIVEPROBEINTERVAL" => {
                if let Some(interval) = self.seconds(word, 1..=75) {
                    self.settings.keepalive = Some(Keepalive { interval, ..keepalive(&mut self.settings) });
                }
            }
            "CONGESTIONCONTROL" => {
                let name = self.take();
                let known =
                    |word: &Word<'_>| CONGESTION.iter().find(|(known, _)| known.eq_ignore_ascii_case(word.text));
                match name.as_ref().and_then(known) {
                    Some((_, congestion)) => self.settings.stack.tcp.congestion = *congestion,
                    None => {
                        let names: Vec<&str> = CONGESTION.iter().map(|(name, _)| *name).collect();
                        let at = name.map_or(word.at, |name| name.at);
                        self.error(at, format!("CONGESTIONCONTROL: expected one of {}", names.join(", ")));
                    }
                }
            }
            _ => return false,
        }
        true
    }

    fn udp(&mut self, word: Word<'a>) -> bool {
        if !word.text.eq_ignore_ascii_case("UDPRCVBUFRSIZE") {
            return false;
        }
        if let Some(number) = self.number(word, 2048..=1 << 23) {
            // At most 2^23.
            self.settings.stack.udp_receive = number as usize;
        }
        true
    }

    fn ip(&mut self, word: Word<'a>) -> bool {
        match word.text.to_ascii_uppercase().as_str() {
            "DATAGRAMFWD" => self.settings.stack.forward = true,
            "NODATAGRAMFWD" => self.settings.stack.forward = false,
            "REASSEMBLYTIMEOUT" => {
                if let Some(time) = self.seconds(word, 1..=240) {
                    self.settings.stack.reassembly_timeout = time;
                }
            }
            _ => return false,
        }
        true
    }

    /// What parameters say of each other.
    fn check(&mut self) {
        let tcp = &mut self.settings.stack.tcp;
        // A buffer that is set larger than it may become raises what it may become.
        tcp.max_receive = tcp.max_receive.max(tcp.initial_receive);
        tcp.max_send = tcp.max_send.max(tcp.initial_send);
    }
}

impl Settings {
    /// Group, parameter and value, as `netstat CONFIG` shows them; names as z/OS has them.
    pub fn rows(&self) -> Vec<(&'static str, &'static str, String)> {
        let Settings { stack, keepalive, backlog } = self;
        let tcp = &stack.tcp;
        let yes = |on: bool| if on { "Yes" } else { "No" }.to_owned();
        let seconds = |time: Duration| time.as_secs().to_string();
        let congestion = CONGESTION.iter().find(|(_, known)| *known == tcp.congestion);
        let (low, high) = (tcp.ephemeral_ports.start(), tcp.ephemeral_ports.end());
        let listen = stack::tcp::ListenOptions::default().backlog;
        let rows = [
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
            ("TCP", "DefaultKeepAlive", keepalive.map_or("Off".into(), |keep| (keep.idle.as_secs() / 60).to_string())),
            ("TCP", "KeepAliveProbes", keepalive.unwrap_or_default().count.to_string()),
            ("TCP", "KAProbeInterval", seconds(keepalive.unwrap_or_default().interval)),
            ("TCP", "CongestionControl", congestion.map_or_else(|| format!("{:?}", tcp.congestion), |it| it.0.into())),
            ("UDP", "DefaultRcvBufSize", stack.udp_receive.to_string()),
            ("IP", "Forwarding", yes(stack.forward)),
            ("IP", "RsmTimeOut", seconds(stack.reassembly_timeout)),
            ("IP", "TimeToLive", stack.hop_limit.to_string()),
        ];
        rows.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(settings: &Settings, name: &str) -> String {
        settings.rows().into_iter().find(|(_, known, _)| *known == name).map(|(_, _, value)| value).unwrap()
    }

    #[test]
    fn statements_change_what_they_name() {
        let text = "TCPCONFIG RECVBUFRSIZE 65536 SENDBUFRSIZE 8388608 ; buffers\n FINWAIT2TIME 30 nodelayacks\n\
                    TCPCONFIG INTERVAL 5 KEEPALIVEPROBES 3 CONGESTIONCONTROL newreno EPHEMERALPORTS 20000 30000 NOPACING\n\
                    UDPCONFIG UDPRCVBUFRSIZE 65536 IPCONFIG DATAGRAMFWD REASSEMBLYTIMEOUT 15\nSOMAXCONN 10";
        let settings = parse(text, &Settings::default()).unwrap();
        for (name, expected) in [
            ("DefaultRcvBufSize", "65536"),
            ("DefltMaxSndBufSize", "8388608"),
            ("FinWait2Time", "30"),
            ("DelayAck", "No"),
            ("DefaultKeepAlive", "5"),
            ("KeepAliveProbes", "3"),
            ("CongestionControl", "NEWRENO"),
            ("Pacing", "No"),
            ("EphemeralPorts", "20000-30000"),
            ("RsmTimeOut", "15"),
            ("Forwarding", "Yes"),
            ("SoMaxConn", "10"),
            ("TimeWaitInterval", "60"),
        ] {
            assert_eq!(value(&settings, name), expected, "{name}");
        }
        // What is not named stays.
        let changed = parse("TCPCONFIG DELAYACKS INTERVAL 0", &settings).unwrap();
        assert_eq!((value(&changed, "DelayAck"), value(&changed, "FinWait2Time")), ("Yes".into(), "30".into()));
        assert_eq!(changed.keepalive, None);
    }

    #[test]
    fn mistakes_are_found_where_they_are() {
        for (text, line, column, reason) in [
            ("TCPCONFIG RECVBUFRSIZE 255", 1, 24, "256 to 8388608"),
            ("TCPCONFIG\n RECVBUFRSIZE IPCONFIG DATAGRAMFWD", 2, 15, "without its number"),
            ("TCPCONFIG CONGESTIONCONTROL VEGAS", 1, 29, "CUBIC"),
            ("TCPCONFIG EPHEMERALPORTS 3000 2000", 1, 11, "lower port first"),
            ("TCPCONFIG TTLS", 1, 11, "not supported"),
            ("PORT 80", 1, 1, "no statement"),
            ("SOMAXCONN", 1, 10, "without its number"),
        ] {
            let errors = parse(text, &Settings::default()).unwrap_err();
            assert_eq!((errors[0].at.line, errors[0].at.column), (line, column), "{errors:?}");
            assert!(errors[0].message.contains(reason), "{errors:?}");
        }
    }

    /// A profile holds both kinds of statements; errors in either stand where they stand.
    #[test]
    fn profiles_are_split_in_place() {
        let text = "TCPCONFIG DELAYACKS\nVIPADynamic é\n VIPABackup 1 DVA1 ENDVIPADynamic\nSOMAXCONN 5";
        let (own, block) = split(text);
        let block = block.unwrap();
        assert_eq!(own.split_whitespace().collect::<Vec<_>>(), ["TCPCONFIG", "DELAYACKS", "SOMAXCONN", "5"]);
        assert!(block.trim().starts_with("VIPADynamic é") && block.trim().ends_with("ENDVIPADynamic"));
        let place = |text: &str, word: &str| words(text).0.into_iter().find(|found| found.text == word).map(|w| w.at);
        assert_eq!(place(&own, "SOMAXCONN"), place(text, "SOMAXCONN"));
        assert_eq!(place(&block, "VIPABackup"), place(text, "VIPABackup"));
        assert_eq!(split("SOMAXCONN 5").1, None);
        assert!(!says_anything(&split("VIPADYN ENDVIPADYN what").0), "the block's parser complains");
    }
}
