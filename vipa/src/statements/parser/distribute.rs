//! VIPADISTribute (D3).
//!
//! The options stand in any order before the DVIPA. IBM's own sample has one of them at the end of the
//! statement: that is read too. So what targets say of themselves (WEIGHT, PREFERRED, BACKUP) is judged once
//! the method is known.

use std::net::IpAddr;

use super::super::lexer::{Position, Word, matches};
use super::{Abandon, Parser};
use crate::definitions::{
    Crossover, Distribute, Method, Options, PortRange, Ports, Processors, Standby, Targets, Weights,
};
use crate::messages::{STANDBY_ALL, STANDBY_BACKUPS, STANDBY_ONLY, STANDBY_PREFERRED, STANDBY_TWICE};

/// Limits of z/OS.
const MAX_PORTS: usize = 64;
const MAX_TARGETS: usize = 32;
const MAX_BACKUPS: usize = 31;

/// What the statement's options say, with the places of those that only some methods have.
#[derive(Default)]
struct Said<'a> {
    method: Option<(Word<'a>, Method)>,
    options: Options,
    processors: Option<(Word<'a>, Processors)>,
    crossover: Option<(Word<'a>, [u8; 2])>,
    importance: Option<(Word<'a>, u8)>,
    switch_back: Option<(Word<'a>, bool)>,
    health_switch: Option<(Word<'a>, bool)>,
}

/// What stands behind a target.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Weight(u8),
    Preferred,
    Backup(u8),
}

/// A target and its part.
struct Target<'a> {
    xcf: IpAddr,
    at: Position,
    part: Option<(Word<'a>, Part)>,
}

impl<'a> Parser<'a> {
    pub(super) fn distribute(&mut self, statement: Word<'a>) -> Result<(), Abandon> {
        if self.take_keyword("DELEte").is_some() {
            return self.delete_distribute(statement);
        }
        self.take_keyword("DEFINE");
        let mut said = Said::default();
        while self.option(statement, &mut said)? {
            if self.take_keyword("DELEte").is_some() {
                return self.delete_distribute(statement);
            }
            self.take_keyword("DEFINE");
        }
        let word = self.expect(statement, "a DVIPA")?;
        let (address, at) = (self.address(word), word.at);
        let ports = if self.take_keyword("PORT").is_some() { self.ports(statement)? } else { Ports::Every };
        let word = self.expect(statement, "PORT or DESTIP")?;
        if !matches(word.text, "DESTIP") {
            self.error(word.at, format!("'{}' in VIPADISTRIBUTE: expected PORT or DESTIP", word.text));
            return Err(Abandon);
        }
        let destip = word.at;
        let targets = self.targets(statement, &mut said)?;
        while self.option(statement, &mut said)? {}
        if let Some(word) = self.take() {
            self.error(word.at, format!("'{}' after DESTIP ALL: expected the end of the statement", word.text));
        }
        let method = self.method(&said, targets.as_deref(), destip);
        let places: Vec<Position> = targets.iter().flatten().map(|target| target.at).collect();
        if let Some(at) = places.get(MAX_TARGETS) {
            self.error(*at, format!("more than {MAX_TARGETS} DESTIP addresses"));
        }
        let targets = match targets {
            None => Targets::All,
            Some(list) => Targets::List(list.iter().map(|target| target.xcf).collect()),
        };
        if let Some(address) = address {
            self.same_sysplex_ports(address, said.options, at);
            // OBEYFILE: the new list takes the place of the one in force.
            self.known.distributes.retain(|known| known.address != address);
            self.definitions.distributes.push(Distribute { address, method, ports, targets, options: said.options });
            self.places.distributes.push((at, places));
        }
        Ok(())
    }

    /// SYSPLEXPORTS is said with the first distribution of a DVIPA, and holds until all of it was deleted by
    /// an OBEYFILE before.
    fn same_sysplex_ports(&mut self, address: IpAddr, options: Options, at: Position) {
        let before = self.distributed.iter().find(|known| known.address == address);
        if before.is_some_and(|before| before.options.sysplex_ports != options.sysplex_ports) {
            let way = "expected VIPADISTRIBUTE DELETE in an OBEYFILE of its own, and the new statement in a later one";
            self.error(at, format!("{address} is distributed already, SYSPLEXPORTS cannot change: {way}"));
        }
    }

    /// One option, if there is one.
    fn option(&mut self, statement: Word<'a>, said: &mut Said<'a>) -> Result<bool, Abandon> {
        let Some(word) = self.peek() else { return Ok(false) };
        let is = |keyword| matches(word.text, keyword);
        let known = [
            "DISTMethod",
            "PROCTYPE",
            "PROCXCOST",
            "ILWEIGHTING",
            "AUTOSWITCHBACK",
            "NOAUTOSWITCHBACK",
            "HEALTHSWITCH",
            "NOHEALTHSWITCH",
            "SYSPLEXPorts",
            "OPTLOCAL",
            "NOOPTLOCAL",
            "TIMEDAFFinity",
        ];
        if !known.into_iter().any(is) {
            return Ok(false);
        }
        self.next += 1;
        if is("DISTMethod") {
            let word = self.expect(statement, "a distribution method")?;
            said.method = Some((word, self.method_name(word)));
        } else if is("PROCTYPE") {
            let [cp, zaap, ziip] = self.by_processor(statement, ["CP", "ZAAP", "ZIIP"], 0..=Processors::MOST, 0)?;
            if (cp, zaap, ziip) == (0, 0, 0) {
                self.error(word.at, "PROCTYPE: expected CP, ZAAP or ZIIP with a number above 0");
            }
            said.processors = Some((word, Processors { cp, zaap, ziip }));
        } else if is("PROCXCOST") {
            let costs = self.by_processor(statement, ["ZAAP", "ZIIP"], 1..=100, 1)?;
            said.crossover = Some((word, costs));
        } else if is("ILWEIGHTING") {
            said.importance = Some((word, self.number(statement, word, 0..=3)?));
        } else if is("AUTOSWITCHBACK") || is("NOAUTOSWITCHBACK") {
            said.switch_back = Some((word, is("AUTOSWITCHBACK")));
        } else if is("HEALTHSWITCH") || is("NOHEALTHSWITCH") {
            said.health_switch = Some((word, is("HEALTHSWITCH")));
        } else if is("SYSPLEXPorts") {
            said.options.sysplex_ports = true;
        } else if is("OPTLOCAL") {
            let written = self.peek().is_some_and(|next| next.text.bytes().all(|byte| byte.is_ascii_digit()));
            said.options.optlocal = Some(if written { self.number(statement, word, 0..=16)? } else { 1 });
        } else if is("NOOPTLOCAL") {
            said.options.optlocal = None;
        } else {
            said.options.timed_affinity = self.number(statement, word, 0..=9999)?;
        }
        Ok(true)
    }

    fn method_name(&mut self, word: Word<'_>) -> Method {
        match word.text {
            text if matches(text, "BASEWLM") => Method::default(),
            text if matches(text, "ROUNDROBIN") => Method::RoundRobin,
            text if matches(text, "SERVERWLM") => Method::ServerWlm(Crossover::default()),
            text if matches(text, "WEIGHTEDActive") => Method::WeightedActive(Weights::default()),
            text if matches(text, "HOTSTANDBY") => Method::HotStandby(Standby::default()),
            text => {
                let why = if matches(text, "TARGCONTROLLED") { "is for targets that are not z/OS" } else { "is none" };
                let expected = "expected BASEWLM, ROUNDROBIN, SERVERWLM, WEIGHTEDACTIVE or HOTSTANDBY";
                self.error(word.at, format!("distribution method '{text}' {why}: {expected}"));
                Method::default()
            }
        }
    }

    /// A number behind a keyword.
    fn number<T>(
        &mut self,
        statement: Word<'a>,
        keyword: Word<'_>,
        range: core::ops::RangeInclusive<T>,
    ) -> Result<T, Abandon>
    where
        T: core::str::FromStr + PartialOrd + core::fmt::Display + Copy,
    {
        let word = self.expect(statement, "a number")?;
        let number = word.text.parse().ok().filter(|number| range.contains(number));
        Ok(number.unwrap_or_else(|| {
            let (name, first, last) = (keyword.text.to_uppercase(), range.start(), range.end());
            self.error(word.at, format!("{name} '{}': expected a number from {first} to {last}", word.text));
            *first
        }))
    }

    /// A number for each kind of processor that is named; `rest` for the others.
    fn by_processor<const N: usize>(
        &mut self,
        statement: Word<'a>,
        kinds: [&str; N],
        range: core::ops::RangeInclusive<u8>,
        rest: u8,
    ) -> Result<[u8; N], Abandon> {
        let mut numbers = [rest; N];
        let mut named = false;
        while let Some((word, kind)) = self.peek().and_then(|word| {
            let kind = kinds.iter().position(|kind| matches(word.text, kind))?;
            Some((word, kind))
        }) {
            self.next += 1;
            named = true;
            numbers[kind] = self.number(statement, word, range.clone())?;
        }
        if !named {
            let word = self.expect(statement, &kinds.join(", "))?;
            self.error(word.at, format!("'{}': expected {}", word.text, kinds.join(", ")));
            return Err(Abandon);
        }
        Ok(numbers)
    }

    /// The DESTIP list: XCF addresses, each with its part if it has one; `None` for ALL.
    fn targets(&mut self, statement: Word<'a>, said: &mut Said<'a>) -> Result<Option<Vec<Target<'a>>>, Abandon> {
        if self.take_keyword("ALL").is_some() {
            return Ok(None);
        }
        let mut list = Vec::new();
        let mut word = self.expect(statement, "an XCF address")?;
        loop {
            let target = self.address(word);
            let part = self.part(statement)?;
            list.extend(target.map(|xcf| Target { xcf, at: word.at, part }));
            while self.option(statement, said)? {}
            match self.take() {
                Some(next) => word = next,
                None => return Ok(Some(list)),
            }
        }
    }

    /// `WEIGHT n`, PREFERRED or `BACKUP [rank]`.
    fn part(&mut self, statement: Word<'a>) -> Result<Option<(Word<'a>, Part)>, Abandon> {
        if let Some(keyword) = self.take_keyword("WEIGHT") {
            let weight = self.number(statement, keyword, 1..=99)?;
            return Ok(Some((keyword, Part::Weight(weight))));
        }
        if let Some(keyword) = self.take_keyword("PREFERRED") {
            return Ok(Some((keyword, Part::Preferred)));
        }
        let Some(keyword) = self.take_keyword("BACKUP") else { return Ok(None) };
        let written = self.peek().is_some_and(|next| next.text.bytes().all(|byte| byte.is_ascii_digit()));
        let rank = if written { self.number(statement, keyword, 1..=254)? } else { Standby::BACKUP };
        Ok(Some((keyword, Part::Backup(rank))))
    }

    /// The method with all that was said for it; what was said for another one is a mistake.
    fn method(&mut self, said: &Said<'_>, targets: Option<&[Target<'_>]>, destip: Position) -> Method {
        let (word, mut method) = said.method.clone().unzip();
        let method = &mut method.get_or_insert_default().clone();
        let targets_or_none = targets.unwrap_or_default();
        let mut misplaced: Vec<(Word<'_>, &str)> = Vec::new();
        match (&mut *method, said.processors) {
            (Method::BaseWlm(processors), Some((_, written))) => *processors = written,
            (_, Some((word, _))) => misplaced.push((word, "BASEWLM")),
            (_, None) => {}
        }
        match (&mut *method, said.crossover) {
            (Method::ServerWlm(costs), Some((_, [zaap, ziip]))) => (costs.zaap, costs.ziip) = (zaap, ziip),
            (_, Some((word, _))) => misplaced.push((word, "SERVERWLM")),
            (_, None) => {}
        }
        match (&mut *method, said.importance) {
            (Method::ServerWlm(costs), Some((_, written))) => costs.importance = written,
            (_, Some((word, _))) => misplaced.push((word, "SERVERWLM")),
            (_, None) => {}
        }
        for (word, means) in misplaced {
            self.error(word.at, format!("{} without DISTMETHOD {means} means nothing", word.text.to_uppercase()));
        }
        match method {
            Method::WeightedActive(Weights(weights)) => {
                for target in targets_or_none {
                    let weight = match target.part {
                        Some((_, Part::Weight(weight))) => weight,
                        _ => Weights::DEFAULT,
                    };
                    weights.insert(target.xcf, weight);
                }
            }
            Method::HotStandby(standby) => {
                standby.switch_back = said.switch_back.is_none_or(|(_, on)| on);
                standby.health_switch = said.health_switch.is_none_or(|(_, on)| on);
                self.hot_standby(standby, targets, word.map_or(destip, |word| word.at), destip);
            }
            Method::BaseWlm(_) | Method::RoundRobin | Method::ServerWlm(_) => {}
        }
        self.check_parts(said, targets_or_none, method);
        method.clone()
    }

    /// HOTSTANDBY's rules: one PREFERRED, 1 to 31 BACKUPs, each named once, never ALL. Which of z/OS's ids
    /// belongs to which rule is from memory.
    fn hot_standby(
        &mut self,
        standby: &mut Standby,
        targets: Option<&[Target<'_>]>,
        method: Position,
        destip: Position,
    ) {
        let Some(targets) = targets else {
            return self.error(
                destip,
                format!("{STANDBY_ALL} DESTIP ALL with HOTSTANDBY: expected one PREFERRED and its BACKUPs"),
            );
        };
        let (mut preferred, mut backups) = (0, 0);
        for target in targets {
            let rank = match target.part {
                Some((_, Part::Preferred)) => Standby::PREFERRED,
                Some((_, Part::Backup(rank))) => rank,
                Some((_, Part::Weight(_))) | None => {
                    self.error(target.at, format!("{}: HOTSTANDBY expects PREFERRED or BACKUP behind it", target.xcf));
                    continue;
                }
            };
            let (count, id) = match rank {
                Standby::PREFERRED => (&mut preferred, STANDBY_PREFERRED),
                _ => (&mut backups, STANDBY_BACKUPS),
            };
            *count += 1;
            if *count == 2 && rank == Standby::PREFERRED {
                self.error(target.at, format!("{id} {} is a second PREFERRED target: expected one", target.xcf));
            } else if *count > MAX_BACKUPS {
                self.error(target.at, format!("{id} more than {MAX_BACKUPS} BACKUP targets"));
            }
            if standby.ranks.insert(target.xcf, rank).is_some() {
                self.error(
                    target.at,
                    format!("{STANDBY_TWICE} {} is named twice: expected each target once", target.xcf),
                );
            }
        }
        if preferred == 0 {
            self.error(method, format!("{STANDBY_PREFERRED} HOTSTANDBY without a PREFERRED target: expected one"));
        }
        if backups == 0 {
            self.error(method, format!("{STANDBY_BACKUPS} HOTSTANDBY without a BACKUP target: expected 1 to 31"));
        }
    }

    /// What stands behind targets, and HOTSTANDBY's options, belong to certain methods.
    fn check_parts(&mut self, said: &Said<'_>, targets: &[Target<'_>], method: &Method) {
        let (weighted, standby) =
            (matches!(method, Method::WeightedActive(_)), matches!(method, Method::HotStandby(_)));
        for (keyword, part) in targets.iter().filter_map(|target| target.part) {
            let name = keyword.text.to_uppercase();
            match part {
                Part::Weight(_) if !weighted => {
                    self.error(keyword.at, "WEIGHT without DISTMETHOD WEIGHTEDACTIVE means nothing");
                }
                Part::Preferred | Part::Backup(_) if !standby => {
                    self.error(keyword.at, format!("{STANDBY_ONLY} {name} without DISTMETHOD HOTSTANDBY"));
                }
                Part::Weight(_) | Part::Preferred | Part::Backup(_) => {}
            }
        }
        for (word, _) in [said.switch_back, said.health_switch].into_iter().flatten().filter(|_| !standby) {
            self.error(word.at, format!("{STANDBY_ONLY} {} without DISTMETHOD HOTSTANDBY", word.text.to_uppercase()));
        }
    }

    fn ports(&mut self, statement: Word<'a>) -> Result<Ports, Abandon> {
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

    /// VIPADISTribute DELEte: the DVIPA is not distributed any more. What follows it is not needed.
    fn delete_distribute(&mut self, statement: Word<'a>) -> Result<(), Abandon> {
        while self.option(statement, &mut Said::default())? {}
        let word = self.expect(statement, "a DVIPA")?;
        while self.take().is_some() {}
        let Some(address) = self.address(word) else { return Ok(()) };
        if !self.known.distributes.iter().any(|known| known.address == address) {
            self.error(word.at, format!("{address} is not distributed by this stack: nothing to delete"));
        }
        self.known.distributes.retain(|known| known.address != address);
        Ok(())
    }
}
