//! What happened, with what a machine wants to know of it.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Something that happened in a lab: one line of its story.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Counts the lab's events, from 1.
    pub number: u64,
    /// When, in microseconds since the lab began. An image's own clock tells when it is about one.
    pub at: u64,
    /// The image that tells it, or that it is about; none for the lab itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// What.
    #[serde(flatten)]
    pub told: Told,
}

impl fmt::Display for Event {
    /// As in the event log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A log is read down a column of times: a sum of whole milliseconds, not a float that rounds up.
        write!(f, "[{:5}.{:03}] ", self.at / 1_000_000, self.at / 1000 % 1000)?;
        if let Some(image) = &self.image {
            write!(f, "{image}: ")?;
        }
        f.write_str(&self.told.text)
    }
}

/// What happened, without when and where.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// What kind of thing it is.
    pub kind: Kind,
    /// In words, without the image's name.
    pub text: String,
    /// Another stack that has to do with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<String>,
    /// The DVIPA that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dvipa: Option<IpAddr>,
    /// The port that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Round and rank of the ownership epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<(u64, u8)>,
    /// Connections that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<usize>,
    /// When the lab sent the signal that brought it about, in microseconds since the lab began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signalled: Option<u64>,
}

impl Told {
    /// Something for which its words say all.
    pub fn new(kind: Kind, text: impl Into<String>) -> Told {
        Told { kind, text: text.into(), ..Told::default() }
    }

    /// A line of its own kind.
    pub fn note(text: impl Into<String>) -> Told {
        Told::new(Kind::Note, text)
    }
}

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An image runs.
    Up,
    /// An image ended without being asked to: it was killed, or failed.
    Ended,
    /// An image has stopped in order.
    Stopped,
    /// An image was stopped by a signal.
    Paused,
    /// It goes on.
    Continued,
    /// XCF was cut.
    Cut,
    /// XCF was healed.
    Healed,
    /// Contact with a stack was made.
    Joined,
    /// A stack has not been heard from.
    Silent,
    /// A silent stack is back in the same life.
    Back,
    /// A stack has died.
    Gone,
    /// A stack stops in order.
    Leaving,
    /// The image routes for a DVIPA that nobody routed for, and advertises it.
    Claimed,
    /// The image begins to take a DVIPA back from a stack that routes until it is done.
    TakingBack,
    /// The image's tables for a DVIPA are complete.
    Active,
    /// The image hands a DVIPA's connections over.
    HandedOver,
    /// The image no longer routes for a DVIPA.
    SteppedDown,
    /// The image routes for a DVIPA by another list.
    Relisted,
    /// Nobody routes for a DVIPA any more.
    Released,
    /// The image has found the others and routes for what is its own.
    InGroup,
    /// The image has left the sysplex group.
    LeftGroup,
    /// A stack may not join.
    Refused,
    /// This stack may not join.
    RefusedBy,
    /// Two stacks claim one rank.
    RankRefused,
    /// A profile defines a DVIPA that an application has made.
    DefinitionRefused,
    /// An application does not get the DVIPA that it has bound.
    BindRefused,
    /// There are more DVIPAs than there is room for.
    TooManyDvipas,
    /// An application did not start with the image.
    AppFailed,
    /// A target has an application that listens.
    TargetReady,
    /// It has none any more.
    TargetGone,
    /// A target's server does not answer what is sent to it.
    Unresponsive,
    /// It answers again.
    Responsive,
    /// Too much waited for a stack: both sides start afresh.
    Resynchronised,
    /// Something else worth a line.
    #[default]
    Note,
}

impl Kind {
    /// How grave it is, in the words of logs.
    pub fn level(self) -> &'static str {
        match self {
            Kind::Ended
            | Kind::Refused
            | Kind::RefusedBy
            | Kind::RankRefused
            | Kind::DefinitionRefused
            | Kind::BindRefused
            | Kind::TooManyDvipas
            | Kind::AppFailed => "error",
            Kind::Paused
            | Kind::Cut
            | Kind::Silent
            | Kind::Gone
            | Kind::TargetGone
            | Kind::Unresponsive
            | Kind::Resynchronised => "warn",
            _ => "info",
        }
    }
}

impl From<vipa::Event> for Told {
    fn from(event: vipa::Event) -> Told {
        use vipa::Event as E;
        let told = |kind| Told::new(kind, event.to_string());
        let stack = |kind, stack: &str| Told { stack: Some(stack.to_owned()), ..told(kind) };
        let dvipa = |kind, dvipa: IpAddr| Told { dvipa: Some(dvipa), ..told(kind) };
        let number = |epoch: vipa::Epoch| Some((epoch.round, epoch.rank));
        match &event {
            E::Joined { stack: name } => stack(Kind::Joined, name),
            E::Silent { stack: name } => stack(Kind::Silent, name),
            E::Back { stack: name } => stack(Kind::Back, name),
            E::Gone { stack: name, connections } => Told { connections: Some(*connections), ..stack(Kind::Gone, name) },
            E::Leaving { stack: name } => stack(Kind::Leaving, name),
            E::Claimed { dvipa: address, epoch, from } => {
                Told { epoch: number(*epoch), stack: from.clone(), ..dvipa(Kind::Claimed, *address) }
            }
            E::TakingBack { dvipa: address, epoch, from } => {
                Told { epoch: number(*epoch), stack: Some(from.clone()), ..dvipa(Kind::TakingBack, *address) }
            }
            E::Active { dvipa: address, epoch, connections, .. } => {
                Told { epoch: number(*epoch), connections: Some(*connections), ..dvipa(Kind::Active, *address) }
            }
            E::HandedOver { dvipa: address, to, connections } => {
                Told { stack: Some(to.clone()), connections: Some(*connections), ..dvipa(Kind::HandedOver, *address) }
            }
            E::SteppedDown { dvipa: address, owner, .. } => {
                Told { stack: owner.clone(), ..dvipa(Kind::SteppedDown, *address) }
            }
            E::Relisted { dvipa: address, epoch } => Told { epoch: number(*epoch), ..dvipa(Kind::Relisted, *address) },
            E::Released { dvipa: address } => dvipa(Kind::Released, *address),
            E::InGroup { .. } => told(Kind::InGroup),
            E::LeftGroup => told(Kind::LeftGroup),
            E::Refused { stack: name, .. } => stack(Kind::Refused, name),
            E::RefusedBy { stack: name, .. } => stack(Kind::RefusedBy, name),
            E::RankRefused { dvipa: address, refused, .. } => {
                Told { stack: Some(refused.clone()), ..dvipa(Kind::RankRefused, *address) }
            }
            E::DefinitionRefused { dvipa: address, refused, .. } => {
                Told { stack: Some(refused.clone()), ..dvipa(Kind::DefinitionRefused, *address) }
            }
            E::BindRefused { dvipa: address, .. } => dvipa(Kind::BindRefused, *address),
            E::TooManyDvipas { dvipa: address, .. } => dvipa(Kind::TooManyDvipas, *address),
            E::TargetReady { server, stack: name } => {
                Told { port: Some(server.port()), stack: Some(name.clone()), ..dvipa(Kind::TargetReady, server.ip()) }
            }
            E::TargetGone { server, stack: name } => {
                Told { port: Some(server.port()), stack: Some(name.clone()), ..dvipa(Kind::TargetGone, server.ip()) }
            }
            E::Unresponsive { server, stack: name, .. } => {
                Told { port: Some(server.port()), stack: Some(name.clone()), ..dvipa(Kind::Unresponsive, server.ip()) }
            }
            E::Responsive { server, stack: name, .. } => {
                Told { port: Some(server.port()), stack: Some(name.clone()), ..dvipa(Kind::Responsive, server.ip()) }
            }
            E::Resynchronised { stack: name } => stack(Kind::Resynchronised, name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_as_in_the_log() {
        let dvipa = "203.0.113.1".parse().unwrap();
        let told = vipa::Event::Claimed { dvipa, epoch: vipa::Epoch { round: 7, rank: 10 }, from: None };
        let event = Event { number: 3, at: 12_345_999, image: Some("MVS5".into()), told: told.into() };
        assert_eq!(event.to_string(), "[   12.345] MVS5: routes for 203.0.113.1 from now on (epoch 7/10)");
        assert_eq!((event.told.kind, event.told.dvipa, event.told.epoch), (Kind::Claimed, Some(dvipa), Some((7, 10))));
        let lab = Event { image: None, told: Told::new(Kind::Cut, "XCF is cut"), ..event };
        assert_eq!(lab.to_string(), "[   12.345] XCF is cut");
    }

    #[test]
    fn an_event_crosses_as_json() {
        let told = vipa::Event::Gone { stack: "MVS1".into(), connections: 2 };
        let event = Event { number: 1, at: 5, image: Some("MVS5".into()), told: told.into() };
        let text = serde_json::to_string(&event).unwrap();
        assert!(text.contains(r#""kind":"gone""#) && !text.contains("dvipa"), "{text}");
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
    }
}
