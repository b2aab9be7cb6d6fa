//! The parser. It goes on after an error where that makes sense, to find the next one too.

mod addresses;
mod distribute;
mod elsewhere;

use std::net::IpAddr;

use super::lexer::{Position, Word, matches, words};
use super::{Places, StatementError};
use crate::definitions::{Backup, Define, Definitions, Distribute, Moveable, Range};

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
        distributed: known.distributes.clone(),
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
    /// What is in force already (OBEYFILE), less what the text takes away.
    known: Definitions,
    /// What was distributed before the text.
    distributed: Vec<Distribute>,
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
            if self.demand_v4(*address, *at) && network(*address) != network(first) {
                self.error(*at, format!("{address} is outside the statement's subnet, that of {first}/{prefix}"));
            }
            self.add_define(Define { address: *address, prefix, moveable }, *at);
        }
        Ok(())
    }

    /// Behind an IPv4 mask.
    fn demand_v4(&mut self, address: IpAddr, at: Position) -> bool {
        if !address.is_ipv4() {
            self.error(at, format!("{address} does not go with an IPv4 mask"));
        }
        address.is_ipv4()
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
            if create.is_some() {
                self.demand_v4(address, at);
            }
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
            let addresses = self.addresses(statement)?;
            for (address, at) in &addresses {
                self.demand_v4(*address, *at);
            }
            addresses.into_iter().map(|(address, at)| (address, prefix, at)).collect()
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
