//! Addresses in statements: with a mask before them, or as IPv6 has them, with the interface's name
//! before and the length of the prefix behind.

use std::net::{IpAddr, Ipv4Addr};

use super::super::lexer::{Position, Word};
use super::elsewhere::is_trailing;
use super::{Abandon, Parser};

impl<'a> Parser<'a> {
    pub(super) fn address(&mut self, word: Word<'_>) -> Option<IpAddr> {
        let address = self.look_up(word.text);
        if address.is_none() {
            self.error(word.at, format!("'{}' is neither an address nor a known name", word.text));
        }
        address
    }

    pub(super) fn look_up(&self, text: &str) -> Option<IpAddr> {
        let interface = || self.interfaces.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
        text.parse().ok().or_else(|| (self.symbol)(text)).or_else(|| interface().map(|(_, address)| *address))
    }

    /// The IPv6 address that `text` is, with the length of its prefix if that is written.
    pub(super) fn look_up_v6(&self, text: &str) -> Option<(IpAddr, Option<u8>)> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length.parse().ok().filter(|length| *length <= 128)?)),
            None => (text, None),
        };
        self.look_up(address).filter(IpAddr::is_ipv6).map(|address| (address, length))
    }

    /// Whether the statement goes on with `[interface] address[/length]`, as it does for IPv6, not
    /// with an address mask.
    pub(super) fn is_v6(&self) -> bool {
        let is_v6 = |word: Word<'_>| self.look_up_v6(word.text).is_some();
        let next = self.words.get(self.next + 1).copied();
        self.peek().is_some_and(|word| is_v6(word) || self.look_up(word.text).is_none() && next.is_some_and(is_v6))
    }

    /// IPv6 addresses to the statement's end, at least one: each may have its interface's name before
    /// it, and the length of its prefix behind.
    pub(super) fn addresses_v6(&mut self, statement: Word<'_>) -> Result<Vec<(IpAddr, Option<u8>, Position)>, Abandon> {
        let mut addresses = Vec::new();
        while addresses.is_empty() || self.peek().is_some_and(|word| !is_trailing(word.text)) {
            let mut word = self.expect(statement, "an IPv6 address")?;
            let mut name = None;
            // A name that stands for the very address behind it is its interface's.
            let named = self.look_up(word.text).filter(|_| word.text.parse::<IpAddr>().is_err());
            let next = self.peek().and_then(|next| self.look_up_v6(next.text)).map(|(address, _)| address);
            if next.is_some() && (named == next || self.look_up_v6(word.text).is_none()) {
                name = Some(word.text);
                word = self.expect(statement, "an IPv6 address")?;
            }
            match self.look_up_v6(word.text) {
                Some((address, length)) => {
                    self.interfaces.extend(name.map(|name| (name, address)));
                    addresses.push((address, length, word.at));
                }
                None => {
                    let expected = "expected one such as 2001:db8::1/64";
                    self.error(word.at, format!("'{}' is no IPv6 address: {expected}", word.text));
                    return Err(Abandon);
                }
            }
        }
        Ok(addresses)
    }

    /// An address mask, as the length of its prefix.
    pub(super) fn mask(&mut self, statement: Word<'_>) -> Result<u8, Abandon> {
        let word = self.expect(statement, "an address mask")?;
        let bits = word.text.parse::<Ipv4Addr>().map(Ipv4Addr::to_bits);
        match bits {
            Ok(bits) if bits != 0 && bits.leading_ones() + bits.trailing_zeros() == 32 => {
                // At most 32.
                Ok(bits.leading_ones() as u8)
            }
            _ => {
                self.error(word.at, format!("'{}' is no address mask: expected one such as 255.255.255.0", word.text));
                Err(Abandon)
            }
        }
    }

    /// The addresses to the statement's end; at least one.
    pub(super) fn addresses(&mut self, statement: Word<'_>) -> Result<Vec<(IpAddr, Position)>, Abandon> {
        let mut addresses = Vec::new();
        let mut word = self.expect(statement, "an address")?;
        loop {
            if let Some(address) = self.address(word) {
                addresses.push((address, word.at));
            }
            match self.peek().filter(|next| !is_trailing(next.text)) {
                Some(next) => word = next,
                None => return Ok(addresses),
            }
            self.next += 1;
        }
    }
}
