//! Explicit congestion notification (RFC 3168): marks instead of losses.

use super::{AckDue, Connection, Context};
use crate::seq::SeqNum;
use crate::tcp::recovery::{Phase, ProportionalRate};
use crate::time::Instant;
use crate::wire::tcp::{Codepoint, Flags, Segment};

/// Both bits: an ECN-setup SYN (RFC 3168, 6.1.1).
const SETUP: Flags = Flags(Flags::ECE.0 | Flags::CWR.0);

/// Where a connection stands.
#[derive(Debug, Default)]
pub(super) struct Ecn {
    /// Both sides speak ECN; before the SYN,ACK: this side offers it.
    pub(super) agreed: bool,
    /// A mark came, and the peer has not said yet that it heard of it.
    echo: bool,
    /// The window came down, and the peer is to be told so.
    tell: bool,
    /// SND.NXT when it came down: marks from before have been answered by that.
    reduced_at: Option<SeqNum>,
}

/// Whether a SYN asks for ECN. One that is marked itself came through a network that does not
/// know what the bits mean (RFC 3168, 6.1.1).
pub(in crate::tcp) fn is_asked(syn: &Segment) -> bool {
    syn.flags.contains(SETUP) && !syn.flags.ack() && syn.ecn == Codepoint::NotEct
}

impl Ecn {
    /// What our SYN says. One that was lost may have been lost for it (RFC 3168, 6.1.1.1).
    pub(super) fn syn_flags(&self, answers: bool, first: bool) -> Flags {
        match (self.agreed, answers) {
            (true, true) => Flags::ECE,
            (true, false) if first => SETUP,
            _ => Flags::default(),
        }
    }

    /// The peer's SYN, or SYN,ACK, came in answer to ours.
    pub(super) fn negotiate(&mut self, segment: &Segment) {
        self.agreed &= if segment.flags.ack() {
            // A host that mirrors the bits does not know what they mean.
            segment.flags.contains(Flags::ECE) && !segment.flags.contains(Flags::CWR)
        } else {
            is_asked(segment)
        };
    }

    /// Bits of an acknowledgment (RFC 3168, 6.1.3).
    pub(super) fn echo_flags(&self) -> Flags {
        if self.echo { Flags::ECE } else { Flags::default() }
    }

    /// New data goes: its codepoint, and the bits that its header has beside. What is sent again,
    /// and what has no data, is not marked (RFC 3168, 6.1.4, 6.1.5).
    pub(super) fn data_sent(&mut self) -> (Codepoint, Flags) {
        if !self.agreed {
            return (Codepoint::NotEct, Flags::default());
        }
        // RFC 3168, 6.1.2.
        let flags = if self.tell { Flags::CWR } else { Flags::default() };
        self.tell = false;
        (Codepoint::Ect0, flags)
    }

    /// The window came down, for whatever reason.
    pub(super) fn reduced(&mut self, nxt: SeqNum) {
        if self.agreed {
            self.tell = true;
            self.reduced_at = Some(nxt);
        }
    }
}

impl Connection {
    /// RFC 3168, 6.1.3: data came, perhaps with a mark, perhaps with word that the window is down.
    pub(super) fn note_marks(&mut self, segment: &Segment, cx: &mut Context<'_>) {
        if !self.ecn.agreed {
            return;
        }
        if segment.flags.contains(Flags::CWR) {
            self.ecn.echo = false;
        }
        if segment.ecn == Codepoint::Ce {
            cx.counters.delivered_ce += u64::from(segment.pieces);
            if !self.ecn.echo {
                // The sender is to know soon.
                self.ack_due = AckDue::Now;
            }
            self.ecn.echo = true;
        }
    }

    /// RFC 3168, 6.1.2: an acknowledgment says that a mark came: as for a loss, but once in a
    /// round trip, and nothing is to be sent again. `flight` is what was out before it.
    pub(super) fn echoed(&mut self, now: Instant, segment: &Segment, flight: u32) {
        if self.ecn.reduced_at.is_some_and(|at| self.snd.una.after(at)) {
            self.ecn.reduced_at = None;
        }
        let answers = self.ecn.agreed && segment.flags.contains(Flags::ECE) && self.ecn.reduced_at.is_none();
        if !answers || !self.recovery.is_open() || self.board.is_empty() {
            return;
        }
        self.congestion.congestion_event(now, flight);
        self.ecn.reduced(self.snd.nxt);
        self.recovery.phase = Phase::Fast(ProportionalRate::new(flight));
        self.recovery.marked = true;
        self.recovery.undo = None;
        self.recovery.recover = self.snd.nxt;
    }
}
