//! z/OS's messages: their ids, and which event is which.
//!
//! Every id stands here and nowhere else. Words and ids are z/OS's where they are known; where only the id
//! is, the words are ours, and `docs/reference.md` says so.

use crate::event::Event;

/// The name of a stack on its image: z/OS runs several TCP/IP stacks on a system, here each has one.
pub const STACK: &str = "TCPIP";
/// The sysplex group of the stacks.
pub const GROUP: &str = "EZBTCPCS";

/// A command has done what it says.
pub const COMPLETED: &str = "EZZ0053I";
/// A command has changed nothing.
pub const FAILED: &str = "EZZ0059I";
/// A command begins.
pub const PROCESSING: &str = "EZZ0060I";
/// An address of VIPADYNAMIC is in a home list already.
pub const ALREADY_HOME: &str = "EZZ8307I";
/// DISPLAY SYSPLEX.
pub const SYSPLEX: &str = "EZZ8260I";
/// DISPLAY SYSPLEX on a stack outside the group.
pub const NOT_MEMBER: &str = "EZZ8269I";
/// DISPLAY SYSPLEX,GROUP.
pub const GROUP_NAME: &str = "EZZ8270I";
/// DISPLAY NETSTAT.
pub const NETSTAT: &str = "EZZ2500I";
/// VIPADCFG on a stack outside the group, in two lines.
pub const CONFIGURED_OUTSIDE: [&str; 2] = ["EZZ2502I", "EZZ2503I"];

/// VIPADISTRIBUTE HOTSTANDBY has DESTIP ALL.
pub(crate) const STANDBY_ALL: &str = "EZZ0165I";
/// HOTSTANDBY has not one PREFERRED target.
pub(crate) const STANDBY_PREFERRED: &str = "EZZ0827I";
/// HOTSTANDBY has no BACKUP targets, or too many.
pub(crate) const STANDBY_BACKUPS: &str = "EZZ0829I";
/// HOTSTANDBY names a target twice.
pub(crate) const STANDBY_TWICE: &str = "EZZ0830I";
/// What is HOTSTANDBY's stands with another method.
pub(crate) const STANDBY_ONLY: &str = "EZZ0831I";
/// A target's server does not answer.
pub(crate) const UNRESPONSIVE: &str = "EZD1182I";
/// It answers again.
pub(crate) const RESPONSIVE: &str = "EZD1183I";

const TAKEN_OVER: &str = "EZZ8301I";
const TAKEN_BACK: &str = "EZZ8302I";
const GIVEN: &str = "EZZ8303I";
const SURRENDERED: &str = "EZZ8304I";
const JOINED: &str = "EZD1176I";
const RESTORED: &str = "EZD1192I";
const INITIALIZED: &str = "EZD1214I";

impl Event {
    /// What a z/OS console shows of it.
    pub fn messages(&self) -> Vec<String> {
        match self {
            Event::Claimed { dvipa, from: Some(from), .. } => {
                vec![format!("{TAKEN_OVER} VIPA {dvipa} TAKEN OVER FROM {STACK} ON {from}")]
            }
            Event::Active { dvipa, from: Some(from), .. } => {
                vec![format!("{TAKEN_BACK} VIPA {dvipa} TAKEN BACK FROM {STACK} ON {from}")]
            }
            Event::SteppedDown { dvipa, owner: Some(owner), surrendered: false } => {
                vec![format!("{GIVEN} VIPA {dvipa} GIVEN TO {STACK} ON {owner}")]
            }
            Event::SteppedDown { dvipa, owner: Some(owner), surrendered: true } => {
                vec![format!("{SURRENDERED} VIPA {dvipa} SURRENDERED TO {STACK} ON {owner}")]
            }
            Event::InGroup { restored } => {
                let joined = format!("{JOINED} {STACK} HAS SUCCESSFULLY JOINED THE TCP/IP SYSPLEX GROUP {GROUP}");
                let restored = restored
                    .then(|| format!("{RESTORED} THE VIPADYNAMIC CONFIGURATION WAS SUCCESSFULLY RESTORED FOR {STACK}"));
                let done = format!("{INITIALIZED} INITIAL DYNAMIC VIPA PROCESSING HAS COMPLETED FOR {STACK}");
                [Some(joined), restored, Some(done)].into_iter().flatten().collect()
            }
            _ => Vec::new(),
        }
    }
}
