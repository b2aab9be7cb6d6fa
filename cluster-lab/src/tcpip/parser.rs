//! The parser. It goes on after an error, to find the next one too.

use std::time::Duration;

use stack::Config;
use vipa::statements::{Position, StatementError, Word, matches, words};

use super::{CONGESTION, Settings, elsewhere};

/// Statements; capital letters are the shortest abbreviation.
const STATEMENTS: [&str; 6] = ["TCPCONFig", "UDPCONFig", "IPCONFig", "GLOBALCONFig", "PORT", "SOMAXCONN"];

/// Whether the word begins a statement, one that is refused here too.
pub(super) fn is_statement(word: &str) -> bool {
    STATEMENTS.iter().any(|statement| matches(word, statement)) || elsewhere::statement(word).is_some()
}

/// See the module above.
pub(super) struct Parser<'a> {
    words: Vec<Word<'a>>,
    pub(super) next: usize,
    end: Position,
    pub(super) settings: Settings,
    errors: Vec<StatementError>,
}

impl<'a> Parser<'a> {
    pub fn read(text: &'a str, known: &Settings) -> Result<Settings, Vec<StatementError>> {
        let (words, end) = words(text);
        let mut parser = Parser { words, next: 0, end, settings: known.clone(), errors: Vec::new() };
        parser.statements();
        parser.check();
        match parser.errors.is_empty() {
            true => Ok(parser.settings),
            false => Err(parser.errors),
        }
    }

    pub(super) fn error(&mut self, at: Position, message: impl Into<String>) {
        self.errors.push(StatementError { at, message: message.into() });
    }

    /// The next word of the statement.
    pub(super) fn take(&mut self) -> Option<Word<'a>> {
        let word = self.peek();
        self.next += usize::from(word.is_some());
        word
    }

    pub(super) fn peek(&self) -> Option<Word<'a>> {
        self.words.get(self.next).copied().filter(|word| !is_statement(word.text))
    }

    /// The next word of the statement; an error if it has none.
    pub(super) fn expect(&mut self, statement: Word<'_>, what: &str) -> Option<Word<'a>> {
        let word = self.take();
        if word.is_none() {
            let at = self.words.get(self.next).map_or(self.end, |word| word.at);
            self.error(at, format!("{} is cut off: expected {what}", statement.text.to_uppercase()));
        }
        word
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
                Some(3) => self.each(Self::global, "GLOBALCONFIG"),
                Some(4) => self.ports(statement),
                Some(_) => {
                    if let Some(number) = self.number(statement, 1..=65_535) {
                        self.settings.backlog = usize::try_from(number).ok();
                    }
                }
                None => {
                    let text = statement.text;
                    match elsewhere::statement(text) {
                        Some(why) => {
                            self.error(statement.at, format!("{} is not for here: {why}", text.to_uppercase()))
                        }
                        None => {
                            let expected = STATEMENTS.join(", ").to_uppercase();
                            self.error(statement.at, format!("'{text}' is no statement: expected {expected}"));
                        }
                    }
                    while self.take().is_some() {}
                }
            }
        }
    }

    /// Reads parameters with `read`, which tells whether it knows one.
    fn each(&mut self, read: impl Fn(&mut Self, Word<'a>) -> bool, statement: &str) {
        while let Some(word) = self.take() {
            if read(self, word) {
                continue;
            }
            match elsewhere::parameter(statement, word.text) {
                Some(why) => {
                    self.error(word.at, format!("{} is not for here: {why}", word.text.to_uppercase()));
                    // Its operands are no mistakes of their own.
                    while self.peek().is_some_and(|word| word.text.starts_with(|letter: char| letter.is_ascii_digit()))
                    {
                        self.next += 1;
                    }
                }
                None => self.error(word.at, format!("'{}' is not supported in {statement} here", word.text)),
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
                Some(0) => self.settings.keeps_alive = false,
                Some(minutes) => {
                    (self.settings.keeps_alive, self.settings.probes.idle) = (true, Duration::from_secs(60 * minutes));
                }
                None => {}
            },
            // These two alone switch nothing on.
            "KEEPALIVEPROBES" => {
                let number = self.number(word, 1..=10).map(|number| number as u8);
                set(&mut self.settings.probes.count, number);
            }
            "KEEPALIVEPROBEINTERVAL" => {
                let interval = self.seconds(word, 1..=75);
                set(&mut self.settings.probes.interval, interval);
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
            // It is always so here: stacks tell each other how loaded they are.
            "SYSPLEXROUTING" => {}
            "TTL" => {
                if let Some(hops) = self.number(word, 1..=255) {
                    self.settings.stack.hop_limit = hops as u8;
                }
            }
            "REASSEMBLYTIMEOUT" => {
                if let Some(time) = self.seconds(word, 1..=240) {
                    self.settings.stack.reassembly_timeout = time;
                }
            }
            _ => return false,
        }
        true
    }

    fn global(&mut self, word: Word<'a>) -> bool {
        match word.text {
            // What follows is of the monitor; the words do not clash with others.
            text if matches(text, "SYSPLEXMONitor") => {}
            text if matches(text, "JOIN") => self.settings.stays_out = false,
            text if matches(text, "NOJOIN") => self.settings.stays_out = true,
            // z/OS's defaults, and what is so here.
            text => {
                return ["NOAUTOREJOIN", "NODELAYJOIN", "NOMONINTERFACE", "NODYNROUTE", "NORECOVERY"]
                    .iter()
                    .any(|known| matches(text, known));
            }
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
