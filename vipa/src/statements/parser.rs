//! The parser. It goes on after an error where that makes sense, to find the next one too.

mod addresses;
mod elsewhere;

use std::net::IpAddr;

use super::lexer::{Position, Word, matches, words};
use super::{Places, StatementError};
use crate::definitions::{
    Backup, Define, Definitions, Distribute, Method, Moveable, PortRange, Ports, Range, Targets, Weights,
};

/// Limits of z/OS.
const MAX_PORTS: usize = 64;
const MAX_TARGETS: usize = 32;
/// DVIPAs of one stack.
const MAX_DVIPAS: usize = 1024;
/// VIPARANGE statements of one stack: V2R1's limit, as the one for DVIPAs.
const MAX_RANGES: usize = 1024;

const STATEMENTS: [&str; 5] = ["VIPADEFine", "VIPABackup", "VIPARange", "VIPADELete", "VIPADISTribute"];
/// What z/OS has besides, and what is refused here.
const NOT_HERE: [&str; 2] = ["VIPAROUTE", "VIPASMparms"];
const BEGIN: &str = "VIPADynamic";
const END: &str = "ENDVIPADynamic";

pub(super) fn parse(
    text: &str,
    symbol: &dyn Fn(&str) -> Option<IpAddr>,
    known: &Definitions,
) -> Result<(Definitions, Places), Vec<StatementError>> {
    let (words, end) = words(text);
    let mut parser = Parser {
        words,
        next: 0,
        end,
        symbol,
        interfaces: Vec::new(),
        known: known.clone(),
        definitions: Definitions::default(),
        places: Places::default(),
        errors: Vec::new(),
    };
    parser.block();
    parser.merge();
    if parser.errors.is_empty() {
        parser.check();
    }
    if parser.errors.is_empty() {
        Ok((parser.definitions, parser.places))
    } else {
        parser.errors.sort_by_key(|error| error.at);
        Err(parser.errors)
    }
}

struct Parser<'a> {
    words: Vec<Word<'a>>,
    next: usize,
    end: Position,
    symbol: &'a dyn Fn(&str) -> Option<IpAddr>,
    /// IPv6 interface names of this text: z/OS lets other statements name a DVIPA by its interface.
    interfaces: Vec<(&'a str, IpAddr)>,
    /// What is in force already (OBEYFILE).
    known: Definitions,
    /// What the text says.
    definitions: Definitions,
    places: Places,
    errors: Vec<StatementError>,
}

/// The statement cannot be read on.
struct Abandon;

fn is_statement(word: &str) -> bool {
    STATEMENTS.iter().chain(&NOT_HERE).chain(&[END]).any(|keyword| matches(word, keyword))
}

impl<'a> Parser<'a> {
    fn error(&mut self, at: Position, message: impl Into<String>) {
        self.errors.push(StatementError { at, message: message.into() });
    }

    /// The next word of the statement.
    fn peek(&self) -> Option<Word<'a>> {
        self.words.get(self.next).copied().filter(|word| !is_statement(word.text))
    }

    fn take(&mut self) -> Option<Word<'a>> {
        let word = self.peek();
        self.next += usize::from(word.is_some());
        word
    }

    fn take_keyword(&mut self, keyword: &str) -> Option<Word<'a>> {
        self.peek().filter(|word| matches(word.text, keyword)).inspect(|_| self.next += 1)
    }

    /// The next word; an error if the statement has none.
    fn expect(&mut self, statement: Word<'_>, what: &str) -> Result<Word<'a>, Abandon> {
        match self.take() {
            Some(word) => Ok(word),
            None => {
                let at = self.words.get(self.next).map_or(self.end, |word| word.at);
                self.error(at, format!("{} is cut off: expected {what}", statement.text.to_uppercase()));
                Err(Abandon)
            }
        }
    }

    fn block(&mut self) {
        match self.words.first().copied() {
            Some(word) if matches(word.text, BEGIN) => self.next = 1,
            Some(word) => self.error(word.at, format!("'{}' is outside any block: expected VIPADYNAMIC", word.text)),
            None => return self.error(self.end, "expected VIPADYNAMIC"),
        }
        while let Some(word) = self.words.get(self.next).copied() {
            self.next += 1;
            if matches(word.text, END) {
                if let Some(extra) = self.words.get(self.next) {
                    let (at, text) = (extra.at, extra.text);
                    self.error(at, format!("'{text}' stands after ENDVIPADYNAMIC: expected the end of the profile"));
                }
                return;
            }
            let read = match STATEMENTS.iter().position(|keyword| matches(word.text, keyword)) {
                Some(0) => self.define(word),
                Some(1) => self.backup(word),
                Some(2) => self.range(word),
                Some(3) => self.delete(word),
                Some(_) => self.distribute(word),
                None => match NOT_HERE.iter().position(|keyword| matches(word.text, keyword)) {
                    Some(0) => self.route(word),
                    Some(_) => self.service_manager(word),
                    None => {
                        let expected =
                            "VIPADEFINE, VIPABACKUP, VIPARANGE, VIPADELETE, VIPADISTRIBUTE or ENDVIPADYNAMIC";
                        self.error(word.at, format!("'{}' is no statement: expected {expected}", word.text));
                        Err(Abandon)
                    }
                },
            };
            if read.is_ok()
                && let Some(extra) = self.peek()
            {
                self.error(extra.at, format!("'{}': expected the end of the statement", extra.text));
            }
            // On with the next statement.
            while self.take().is_some() {}
        }
        self.error(self.end, "the block is cut off: expected ENDVIPADYNAMIC");
    }

    /// `MOVEable {IMMEDiate | WHENIDLE}`, if it is there.
    fn moveable(&mut self, statement: Word<'_>) -> Result<Option<Moveable>, Abandon> {
        if self.take_keyword("MOVEable").is_none() {
            return Ok(None);
        }
        let word = self.expect(statement, "IMMEDIATE or WHENIDLE")?;
        if matches(word.text, "IMMEDiate") {
            Ok(Some(Moveable::Immediate))
        } else if matches(word.text, "WHENIDLE") {
            Ok(Some(Moveable::WhenIdle))
        } else {
            self.error(word.at, format!("'{}' after MOVEABLE: expected IMMEDIATE or WHENIDLE", word.text));
            Err(Abandon)
        }
    }

    /// D1.
    fn define(&mut self, statement: Word<'_>) -> Result<(), Abandon> {
        self.options();
        let moveable = self.moveable(statement)?.unwrap_or_default();
        self.options();
        if self.is_v6() {
            for (address, length, at) in self.addresses_v6(statement)? {
                self.add_define(Define { address, prefix: length.unwrap_or(128), moveable }, at);
            }
            return Ok(());
        }
        let prefix = self.mask(statement)?;
        let addresses = self.addresses(statement)?;
        let network = |address: IpAddr| match address {
            IpAddr::V4(v4) => v4.to_bits() >> (32 - u32::from(prefix)),
            IpAddr::V6(_) => 0,
        };
        for (address, at) in &addresses {
            let first = addresses[0].0;
            if !address.is_ipv4() {
                self.error(*at, format!("{address} does not go with an IPv4 mask"));
            } else if network(*address) != network(first) {
                self.error(*at, format!("{address} is outside the statement's subnet, that of {first}/{prefix}"));
            }
            self.add_define(Define { address: *address, prefix, moveable }, *at);
        }
        Ok(())
    }

    fn add_define(&mut self, define: Define, at: Position) {
        if self.is_news(define.address, at, self.known.defines.contains(&define)) {
            self.definitions.defines.push(define);
            self.places.defines.push(at);
        }
    }

    /// D2.
    fn backup(&mut self, statement: Word<'_>) -> Result<(), Abandon> {
        let mut rank = 1;
        if let Some(word) = self.peek().filter(|word| word.text.bytes().all(|byte| byte.is_ascii_digit())) {
            self.next += 1;
            match word.text.parse() {
                Ok(number @ 1..=254) => rank = number,
                _ => self.error(word.at, format!("rank {}: expected a number from 1 to 254", word.text)),
            }
        }
        self.options();
        let moveable = self.moveable(statement)?;
        self.options();
        if self.is_v6() {
            for (address, length, at) in self.addresses_v6(statement)? {
                let create = moveable.map(|moveable| (moveable, length.unwrap_or(128)));
                self.add_backup(Backup { address, rank, create }, at);
            }
            return Ok(());
        }
        let create = match moveable {
            Some(moveable) => Some((moveable, self.mask(statement)?)),
            None => None,
        };
        for (address, at) in self.addresses(statement)? {
            self.add_backup(Backup { address, rank, create }, at);
        }
        Ok(())
    }

    fn add_backup(&mut self, backup: Backup, at: Position) {
        if self.is_news(backup.address, at, self.known.backups.contains(&backup)) {
            self.definitions.backups.push(backup);
            self.places.backups.push(at);
        }
    }

    /// D4.
    fn range(&mut self, statement: Word<'_>) -> Result<(), Abandon> {
        let delete = self.take_keyword("DELEte").is_some();
        self.take_keyword("DEFINE");
        let mut disruptive = false;
        if self.take_keyword("MOVEable").is_some() {
            let word = self.expect(statement, "NONDISRUPTIVE or DISRUPTIVE")?;
            disruptive = matches(word.text, "DISRUPTive");
            if !disruptive && !matches(word.text, "NONDISRUPTive") {
                self.error(word.at, format!("'{}' after MOVEABLE: expected NONDISRUPTIVE or DISRUPTIVE", word.text));
                return Err(Abandon);
            }
        }
        let ranges: Vec<(IpAddr, u8, Position)> = if self.is_v6() {
            let addresses = self.addresses_v6(statement)?;
            if let Some((address, _, at)) = addresses.iter().find(|(_, length, _)| length.is_none()) {
                self.error(*at, format!("{address} in VIPARANGE without a length: expected {address}/64, perhaps"));
            }
            addresses.into_iter().map(|(address, length, at)| (address, length.unwrap_or(128), at)).collect()
        } else {
            let prefix = self.mask(statement)?;
            self.addresses(statement)?.into_iter().map(|(address, at)| (address, prefix, at)).collect()
        };
        self.trailing(statement)?;
        for (address, prefix, at) in ranges {
            if address.is_ipv6() && disruptive {
                self.error(at, format!("{address}: an IPv6 range is NONDISRUPTIVE"));
            }
            if address.is_ipv4() && prefix > 32 {
                self.error(at, format!("{address} does not go with an IPv6 prefix"));
            }
            let range = Range { address, prefix, disruptive };
            let same = |other: &Range| other.prefix == prefix && other.contains(address);
            let is_known = self.known.ranges.iter().any(same);
            if delete {
                if !is_known {
                    self.error(at, format!("{address} is no VIPARANGE of this stack"));
                }
                self.known.ranges.retain(|other| !same(other));
            } else {
                self.known.ranges.retain(|other| !same(other));
                self.definitions.ranges.push(range);
                self.places.ranges.push(at);
            }
        }
        Ok(())
    }

    /// `DISTMethod {ROUNDROBIN | WEIGHTEDActive}`, if it is there.
    fn method(&mut self, statement: Word<'_>) -> Result<Method, Abandon> {
        if self.take_keyword("DISTMethod").is_none() {
            return Ok(Method::RoundRobin);
        }
        let word = self.expect(statement, "a distribution method")?;
        if matches(word.text, "WEIGHTEDActive") {
            return Ok(Method::WeightedActive(Weights::default()));
        }
        if !matches(word.text, "ROUNDROBIN") {
            let text = word.text;
            let expected = "expected ROUNDROBIN or WEIGHTEDACTIVE";
            self.error(word.at, format!("distribution method '{text}' is not supported here: {expected}"));
        }
        Ok(Method::RoundRobin)
    }

    /// The DESTIP list: XCF addresses, each with its WEIGHT if it has one.
    fn targets(&mut self, statement: Word<'_>, method: &mut Method) -> Result<(Targets, Vec<Position>), Abandon> {
        if self.take_keyword("ALL").is_some() {
            return Ok((Targets::All, Vec::new()));
        }
        let (mut list, mut places) = (Vec::new(), Vec::new());
        let mut word = self.expect(statement, "an XCF address")?;
        loop {
            let target = self.address(word);
            if let Some(keyword) = self.take_keyword("WEIGHT") {
                let weight = self.expect(statement, "a weight")?;
                match (weight.text.parse(), &mut *method, target) {
                    (Ok(number @ 1..=99), Method::WeightedActive(Weights(weights)), Some(target)) => {
                        weights.insert(target, number);
                    }
                    (Ok(1..=99), Method::RoundRobin, _) => {
                        self.error(keyword.at, "WEIGHT without DISTMETHOD WEIGHTEDACTIVE means nothing");
                    }
                    (Ok(1..=99), Method::WeightedActive(_), None) => {}
                    _ => self.error(weight.at, format!("weight '{}': expected a number from 1 to 99", weight.text)),
                }
            }
            if let Some(target) = target {
                list.push(target);
                places.push(word.at);
            }
            match self.take() {
                Some(next) => word = next,
                None => break,
            }
        }
        if let Method::WeightedActive(Weights(weights)) = method {
            for target in &list {
                weights.entry(*target).or_insert(Weights::DEFAULT);
            }
        }
        Ok((Targets::List(list), places))
    }

    /// D3.
    fn distribute(&mut self, statement: Word<'_>) -> Result<(), Abandon> {
        if self.take_keyword("DELEte").is_some() {
            return self.delete_distribute(statement);
        }
        self.take_keyword("DEFINE");
        let mut method = self.method(statement)?;
        let word = self.expect(statement, "a DVIPA")?;
        let (address, at) = (self.address(word), word.at);
        let ports = if self.take_keyword("PORT").is_some() { self.ports(statement)? } else { Ports::Every };
        let word = self.expect(statement, "PORT or DESTIP")?;
        if !matches(word.text, "DESTIP") {
            self.error(word.at, format!("'{}' in VIPADISTRIBUTE: expected PORT or DESTIP", word.text));
            return Err(Abandon);
        }
        let (targets, places) = self.targets(statement, &mut method)?;
        if let Some(at) = places.get(MAX_TARGETS) {
            self.error(*at, format!("more than {MAX_TARGETS} DESTIP addresses"));
        }
        if let Some(word) = self.take() {
            self.error(word.at, format!("'{}' after DESTIP ALL: expected the end of the statement", word.text));
        }
        if let Some(address) = address {
            // OBEYFILE: the new list takes the place of the one in force.
            self.known.distributes.retain(|known| known.address != address);
            self.definitions.distributes.push(Distribute { address, method, ports, targets });
            self.places.distributes.push((at, places));
        }
        Ok(())
    }

    fn ports(&mut self, statement: Word<'_>) -> Result<Ports, Abandon> {
        let mut ranges = Vec::new();
        let mut count = 0;
        while let Some(word) = self.peek().filter(|word| !matches(word.text, "DESTIP")) {
            self.next += 1;
            let (first, last) = word.text.split_once('-').unwrap_or((word.text, word.text));
            let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port != 0);
            match (port(first), port(last)) {
                (Some(first), Some(last)) if first <= last => {
                    count += usize::from(last - first) + 1;
                    ranges.push(PortRange { first, last });
                }
                _ => self.error(word.at, format!("port '{}': expected a number from 1 to 65535, or DESTIP", word.text)),
            }
            if count > MAX_PORTS {
                self.error(word.at, format!("more than {MAX_PORTS} ports"));
                return Err(Abandon);
            }
        }
        if ranges.is_empty() && self.errors.is_empty() {
            let word = self.expect(statement, "a port")?;
            self.error(word.at, format!("'{}' after PORT: expected a number from 1 to 65535", word.text));
            return Err(Abandon);
        }
        Ok(Ports::List(ranges))
    }

    /// Whether a definition says something new: what is in force already is passed over, and what
    /// contradicts it is a mistake.
    fn is_news(&mut self, address: IpAddr, at: Position, same: bool) -> bool {
        if !same && self.known.names(address) {
            self.error(at, format!("{address} is defined already: expected a VIPADELETE for it first"));
        }
        !same
    }

    /// VIPADELete: the DVIPA's VIPADEFINE or VIPABACKUP goes, and its VIPADISTRIBUTE.
    fn delete(&mut self, statement: Word<'_>) -> Result<(), Abandon> {
        for (address, at) in self.addresses(statement)? {
            if !self.known.names(address) && !self.definitions.names(address) {
                self.error(at, format!("{address} is no DVIPA of this stack: nothing to delete"));
            }
            self.known.defines.retain(|define| define.address != address);
            self.known.backups.retain(|backup| backup.address != address);
            self.known.distributes.retain(|distribute| distribute.address != address);
            // What this very text has said of it, with its places.
            let Parser { definitions, places, .. } = self;
            retain(&mut definitions.defines, &mut places.defines, |define| define.address != address);
            retain(&mut definitions.backups, &mut places.backups, |backup| backup.address != address);
            retain(&mut definitions.distributes, &mut places.distributes, |one| one.address != address);
        }
        Ok(())
    }

    /// VIPADISTribute DELEte: the DVIPA is not distributed any more. What follows it is not needed.
    fn delete_distribute(&mut self, statement: Word<'_>) -> Result<(), Abandon> {
        let word = self.expect(statement, "a DVIPA")?;
        while self.take().is_some() {}
        let Some(address) = self.address(word) else { return Ok(()) };
        if !self.known.distributes.iter().any(|known| known.address == address) {
            self.error(word.at, format!("{address} is not distributed by this stack: nothing to delete"));
        }
        self.known.distributes.retain(|known| known.address != address);
        Ok(())
    }

    /// What is in force stays before what is new.
    fn merge(&mut self) {
        let Definitions { defines, backups, ranges, distributes } = core::mem::take(&mut self.known);
        let start = Position { line: 1, column: 1 };
        self.places.defines.splice(0..0, defines.iter().map(|_| start));
        self.places.backups.splice(0..0, backups.iter().map(|_| start));
        self.places.ranges.splice(0..0, ranges.iter().map(|_| start));
        self.places.distributes.splice(0..0, distributes.iter().map(|_| (start, Vec::new())));
        self.definitions.defines.splice(0..0, defines);
        self.definitions.backups.splice(0..0, backups);
        self.definitions.ranges.splice(0..0, ranges);
        self.definitions.distributes.splice(0..0, distributes);
    }

    /// What statements say of each other, and how many there are.
    fn check(&mut self) {
        let dvipas = self.places.defines.iter().chain(&self.places.backups);
        if let Some(at) = (self.places.defines.len() + self.places.backups.len() > MAX_DVIPAS).then(|| dvipas.max()) {
            self.error(*at.unwrap_or(&self.end), format!("more than {MAX_DVIPAS} DVIPAs of one stack"));
        }
        if let Some(at) = self.places.ranges.get(MAX_RANGES).copied() {
            self.error(at, format!("more than {MAX_RANGES} VIPARANGE statements of one stack"));
        }
        let defined: Vec<(IpAddr, Position)> = {
            let defines = self.definitions.defines.iter().map(|define| define.address).zip(self.places.defines.clone());
            let backups = self.definitions.backups.iter().map(|backup| backup.address).zip(self.places.backups.clone());
            defines.chain(backups).collect()
        };
        for (index, (address, at)) in defined.iter().enumerate() {
            if defined[..index].iter().any(|(known, _)| known == address) {
                self.error(*at, format!("{address} is defined twice: one VIPADEFINE or VIPABACKUP for each DVIPA"));
            }
        }
        let distributes: Vec<_> =
            self.definitions.distributes.iter().map(|one| one.address).zip(self.places.distributes.clone()).collect();
        for (index, (address, (at, _))) in distributes.iter().enumerate() {
            if !defined.iter().any(|(known, _)| known == address) {
                self.error(
                    *at,
                    format!("{address} is no DVIPA of this stack: expected one of its VIPADEFINE or VIPABACKUP"),
                );
            }
            if distributes[..index].iter().any(|(known, _)| known == address) {
                self.error(*at, format!("{address} is distributed twice: expected one VIPADISTRIBUTE for each DVIPA"));
            }
        }
    }
}

/// Takes things out of a list, and their places out of the list beside it.
fn retain<T, P>(things: &mut Vec<T>, places: &mut Vec<P>, keep: impl Fn(&T) -> bool) {
    let mut kept = things.iter().map(&keep).collect::<Vec<_>>().into_iter();
    places.retain(|_| kept.next().unwrap_or(true));
    things.retain(keep);
}
