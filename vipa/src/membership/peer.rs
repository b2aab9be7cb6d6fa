//! What this stack knows of another.

use std::collections::BTreeMap;
use std::net::IpAddr;

use stack::Instant;

use crate::config::Timing;
use crate::dvipa::Definition;
use crate::session::Session;
use crate::wire::message::Life;
use crate::workload::Workload;

/// A host that lets a process wait for a processor excuses its silence for so many times as long as
/// another's at the most.
const PATIENCE: u32 = 10;

/// Contact with a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contact {
    /// Never heard in this life of this stack, or gone.
    None,
    /// Each side hears the other.
    Up,
    /// It was up, in a life that may still go on.
    Silent,
}

/// Another stack.
#[derive(Debug)]
pub(crate) struct Peer {
    pub xcf: IpAddr,
    pub name: Option<String>,
    pub process: Option<u32>,
    pub linked: bool,
    pub leaving: bool,
    pub contact: Contact,
    pub session: Session,
    /// Its complete VIPA list has come in this session.
    pub listed: bool,
    /// The list that is just coming in.
    pub draft: BTreeMap<IpAddr, Definition>,
    /// What its workload manager says.
    pub workload: Workload,
    /// It has answered a heartbeat of this session that was sent after this stack's last stall.
    pub fresh: bool,
    /// Heartbeats sent until then.
    pub(super) sent_before: u64,
    /// Its life that was refused.
    pub refused: Option<u64>,
    /// Its life that [`Action::PeerUp`](crate::Action::PeerUp) told of.
    pub announced: Option<u64>,
    /// Since when it is silent, or was never heard.
    pub since: Instant,
    pub(super) heard_at: Instant,
    pub(super) hears_me_at: Instant,
    /// When the host was last asked about it, and until when its silence is excused.
    pub(super) doubted_at: Instant,
    pub(super) excused_until: Instant,
    pub(super) heartbeats: Heartbeats,
    pub(super) next_heartbeat: Instant,
    /// Heartbeats since its claims were last the same as ours, or were last sent to it.
    pub disagreements: u8,
    /// The lives of others that are not over as far as it knows.
    pub(super) lives: Vec<Life>,
    /// A life of it that another stack told of before that one was lost itself, and until when that counts.
    pub(super) rumour: Option<(u64, Instant)>,
}

#[derive(Debug, Default)]
pub(super) struct Heartbeats {
    /// Sent.
    pub(super) sent: u64,
    /// The last of theirs that arrived.
    pub(super) heard: u64,
    /// The last of ours that arrived there.
    pub(super) echoed: u64,
}

impl Peer {
    pub fn new(xcf: IpAddr, session: Session, now: Instant) -> Self {
        Peer {
            xcf,
            name: None,
            process: None,
            linked: false,
            leaving: false,
            contact: Contact::None,
            session,
            listed: false,
            draft: BTreeMap::new(),
            workload: Workload::default(),
            fresh: true,
            sent_before: 0,
            refused: None,
            announced: None,
            since: now,
            heard_at: now,
            hears_me_at: now,
            doubted_at: now,
            excused_until: now,
            heartbeats: Heartbeats::default(),
            next_heartbeat: now,
            disagreements: 0,
            lives: Vec::new(),
            rumour: None,
        }
    }

    pub fn is_up(&self) -> bool {
        self.contact == Contact::Up
    }

    /// For people.
    pub fn label(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.xcf.to_string())
    }

    /// A datagram of its present session has come.
    pub fn heard(&mut self, now: Instant) {
        self.heard_at = now;
    }

    /// Its last word that it hears us.
    fn last_word(&self) -> Instant {
        self.heard_at.min(self.hears_me_at)
    }

    /// The moment from which it counts as silent, if nothing comes.
    pub(super) fn silent_at(&self, timing: &Timing) -> Instant {
        let longest = self.last_word() + PATIENCE * timing.silence;
        (self.last_word() + timing.silence).max(self.excused_until.min(longest))
    }

    /// When the host is asked whether it lets the process run: early enough to see it twice before
    /// its silence counts.
    pub(super) fn doubt_at(&self, timing: &Timing) -> Option<Instant> {
        let first = self.last_word() + timing.silence.saturating_sub(2 * timing.heartbeat);
        self.process.map(|_| first.max(self.doubted_at + timing.heartbeat))
    }
}
