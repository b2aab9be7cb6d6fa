//! What z/OS has in a profile and what is not for here, with the reason. `docs/reference.md` has the same.

use vipa::statements::matches;

const LINKS: &str = "a profile gives an image its addresses by 'link' and 'xcf'; DVIPAs come to HOME by themselves";

/// Statements.
pub(super) const REFUSED: [(&str, &str); 10] = [
    ("DEVICE", LINKS),
    ("LINK", LINKS),
    ("HOME", LINKS),
    ("INTERFACE", LINKS),
    ("BEGINRoutes", "routes follow from 'link': NETSTAT ROUTE shows them"),
    ("IPCONFIG6", "IPCONFIG holds for both IP versions, and 'xcf' in the profile is DYNAMICXCF"),
    ("AUTOLOG", "the 'apps' of an image start with it, unless they have 'start: false'"),
    ("PORTRANGE", "one PORT entry for each port does the same"),
    ("NETACCESS", "there is no SAF to ask"),
    ("SMFCONFIG", "there is no SMF; 'cluster-lab log' and NETSTAT STATS tell what happened"),
];

/// Parameters of statements that are known.
pub(super) const PARAMETERS: [(&str, &str, &str); 26] = [
    ("IPCONFIG", "DYNAMICXCF", "'xcf' of an image in the profile is its address on XCF"),
    ("IPCONFIG", "NODYNAMICXCF", "an image without XCF would be in no cluster"),
    ("IPCONFIG", "NOSYSPLEXROUTING", "stacks always tell each other how loaded they are"),
    ("IPCONFIG", "SOURCEVIPA", "a connection that an application opens has the address that it binds"),
    ("IPCONFIG", "NOSOURCEVIPA", "a connection that an application opens has the address that it binds"),
    ("IPCONFIG", "TCPSTACKSOURCEVIPA", "a connection that an application opens has the address that it binds"),
    ("GLOBALCONFIG", "AUTOREJOIN", "nothing here makes a stack leave the group by itself"),
    ("GLOBALCONFIG", "DELAYJOIN", "there is no OMPROUTE to wait for"),
    ("GLOBALCONFIG", "DELAYJOINIPSEC", "there is no IPSec to wait for"),
    ("GLOBALCONFIG", "MONINTERFACE", "an image has one link, a TUN device that does not fail alone"),
    ("GLOBALCONFIG", "DYNROUTE", "there are no dynamic routes to watch"),
    ("GLOBALCONFIG", "MONIPSEC", "there is no IPSec to watch"),
    ("GLOBALCONFIG", "NOMONIPSEC", "there is no IPSec to watch"),
    ("GLOBALCONFIG", "RECOVERY", "what it would recover from (VTAM, CSM, OMPROUTE) is not there"),
    ("GLOBALCONFIG", "TIMERSECS", "stacks watch each other by heartbeats: 'timing' in the profile sets them"),
    ("GLOBALCONFIG", "SYSPLEXWLMPoll", "a workload manager's weights count at once"),
    ("GLOBALCONFIG", "XCFGRPid", "a lab is one group: --name keeps two labs apart"),
    ("GLOBALCONFIG", "EXPLICITBINDPORTRANGE", "ports are leased for each DVIPA, in blocks of 64"),
    ("GLOBALCONFIG", "ADJUSTDVIPAMSS", "packets go to targets over XCF whole, without a GRE header to make room for"),
    ("PORT", "DELAYAcks", "TCPCONFIG DELAYACKS holds for every port"),
    ("PORT", "NODELAYAcks", "TCPCONFIG NODELAYACKS holds for every port"),
    ("PORT", "SHAREPORT", "an address and port have one listener on an image; other images share by VIPADISTRIBUTE"),
    ("PORT", "SHAREPORTWLM", "an address and port have one listener on an image; other images share by VIPADISTRIBUTE"),
    ("PORT", "SAF", "there is no SAF to ask"),
    ("TCPCONFIG", "TTLS", "there is no AT-TLS: applications do TLS themselves"),
    ("TCPCONFIG", "RESTRICTLOWPORTS", "every application of an image may have any port"),
];

/// Why a statement of z/OS is refused.
pub(super) fn statement(word: &str) -> Option<&'static str> {
    REFUSED.iter().find(|(known, _)| matches(word, known)).map(|(_, why)| *why)
}

/// Why a parameter of z/OS is refused.
pub(super) fn parameter(statement: &str, word: &str) -> Option<&'static str> {
    PARAMETERS.iter().find(|(of, known, _)| *of == statement && matches(word, known)).map(|(.., why)| *why)
}
