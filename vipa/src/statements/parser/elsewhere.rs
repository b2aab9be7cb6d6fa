//! What z/OS has in a VIPADynamic block and what has no meaning here: read, and refused with the reason.
//! `docs/reference.md` has the same.

use super::super::lexer::{Word, matches};
use super::{Abandon, Parser};

/// Options of VIPADEFINE and VIPABACKUP.
const OPTIONS: [(&str, &str); 4] = [
    ("TIER1", "targets that are no stacks of the cluster are not distributed to: leave it out"),
    ("TIER2", "there is no first tier that it could be the second to: leave it out"),
    ("CPCSCOPE", "images have no CPC that a DVIPA could be kept in: leave it out"),
    ("SERVICEMGR", "there is no Cisco MNLB service manager: leave it out"),
];

/// What may stand behind the address of a VIPARANGE.
const TRAILING: [(&str, &str); 2] = [
    ("SAF", "there is no SAF that could be asked who may bind: leave it out"),
    ("ZCX", "there are no zCX containers: leave it out"),
];

const VIPAROUTE: &str = "packets reach targets over XCF, where nothing routes them: leave it out";
const VIPASMPARMS: &str = "there is no Cisco MNLB service manager: leave it out";

/// Whether a word ends a list of addresses.
pub(super) fn is_trailing(word: &str) -> bool {
    TRAILING.iter().any(|(option, _)| matches(word, option))
}

impl<'a> Parser<'a> {
    fn refuse(&mut self, word: Word<'_>, why: &str) {
        self.error(word.at, format!("{} is not for here: {why}", word.text.to_uppercase()));
    }

    /// The options that stand before an address, if any do.
    pub(super) fn options(&mut self) {
        while let Some(word) = self.peek() {
            let Some((_, why)) = OPTIONS.iter().find(|(option, _)| matches(word.text, option)) else { return };
            self.next += 1;
            self.refuse(word, why);
        }
    }

    /// What stands behind a VIPARANGE's address, if anything does.
    pub(super) fn trailing(&mut self, statement: Word<'_>) -> Result<(), Abandon> {
        while let Some(word) = self.peek() {
            let Some((option, why)) = TRAILING.iter().find(|(option, _)| matches(word.text, option)) else { break };
            self.next += 1;
            if *option == "SAF" {
                self.expect(statement, "the name of a resource")?;
            }
            self.refuse(word, why);
        }
        Ok(())
    }

    /// `VIPAROUTE [DEFINE | DELEte] dynxcfip target`.
    pub(super) fn route(&mut self, statement: Word<'_>) -> Result<(), Abandon> {
        if self.take_keyword("DELEte").is_none() {
            self.take_keyword("DEFINE");
        }
        for what in ["an XCF address", "the target's address"] {
            let word = self.expect(statement, what)?;
            self.address(word);
        }
        self.refuse(statement, VIPAROUTE);
        Ok(())
    }

    /// `VIPASMparms SMMCAST group SMPORT port [SMPASS password]`.
    pub(super) fn service_manager(&mut self, statement: Word<'_>) -> Result<(), Abandon> {
        while let Some(word) = self.take() {
            if !["SMMCAST", "SMPORT", "SMPASS"].iter().any(|keyword| matches(word.text, keyword)) {
                self.error(word.at, format!("'{}' in VIPASMPARMS: expected SMMCAST, SMPORT or SMPASS", word.text));
                return Err(Abandon);
            }
            self.expect(statement, "its value")?;
        }
        self.refuse(statement, VIPASMPARMS);
        Ok(())
    }
}
