//! The XCF session with one peer: control messages arrive once and in order, although datagrams
//! are lost, doubled, delayed and reordered (R13).
//!
//! A stream of messages belongs to a pair of session numbers, one of each side. If either side
//! starts afresh (a new life, or more messages waiting than its bound allows), the pair is a new
//! one, both streams begin again at 1, and both sides send their complete state.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use stack::Instant;

use crate::guard::Guard;
use crate::wire::control::{Header, SessionId};
use crate::wire::message::Message;

/// Datagrams sent and not acknowledged, and datagrams kept that came too early.
const WINDOW: u64 = 64;
/// Resent at once when nothing is acknowledged: several may be missing.
const RESEND_BURST: usize = 4;
/// Longest interval between two attempts.
const LONGEST_RESEND: Duration = Duration::from_millis(500);
/// Shortest interval between two HELLOs that answer something.
const HELLO_INTERVAL: Duration = Duration::from_millis(5);

/// What a datagram meant for the session.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// Of a former life or session: ignored (R14).
    Stale,
    /// Of a session that is not agreed on yet: only a HELLO in it may be read.
    Unagreed,
    /// Of the agreed session, with no message to read now (an acknowledgment, a duplicate, or
    /// one that came too early).
    Taken,
    /// Of the agreed session, outside the sequence: read it.
    Unsequenced,
    /// Of the agreed session: read the bodies that [`Session::take`] gives.
    Sequenced,
}

/// One side of a session.
#[derive(Debug)]
pub(crate) struct Session {
    own: SessionId,
    theirs: Option<SessionId>,
    /// The peer has echoed `own`.
    agreed: bool,
    /// Since the last [`take_agreement`](Session::take_agreement).
    newly_agreed: bool,
    /// Sessions up to this life are over, whatever still arrives (R14).
    dead: Option<u64>,
    /// A HELLO is owed, and when the last one went.
    hello_due: bool,
    hello_sent: Option<Instant>,

    next: u64,
    flight: VecDeque<Flight>,
    queue: VecDeque<Vec<u8>>,
    waiting_bytes: usize,
    resend: Resend,

    received: u64,
    early: BTreeMap<u64, Vec<u8>>,
    ready: VecDeque<Vec<u8>>,
    acknowledge: bool,

    body: usize,
    bound: usize,
    without: Option<Guard>,
    /// Datagrams that were sent again.
    pub resent: u64,
}

#[derive(Debug)]
struct Flight {
    sequence: u64,
    body: Vec<u8>,
}

#[derive(Debug)]
struct Resend {
    first: Duration,
    interval: Duration,
    at: Option<Instant>,
}

impl Session {
    /// A session of this life of the stack. `mtu` bounds a datagram, `bound` the bytes that wait.
    pub fn new(incarnation: u64, mtu: usize, bound: usize, resend: Duration) -> Self {
        Session {
            own: SessionId { incarnation, number: 1 },
            theirs: None,
            agreed: false,
            newly_agreed: false,
            dead: None,
            hello_due: true,
            hello_sent: None,
            next: 1,
            flight: VecDeque::new(),
            queue: VecDeque::new(),
            waiting_bytes: 0,
            resend: Resend { first: resend, interval: resend, at: None },
            received: 0,
            early: BTreeMap::new(),
            ready: VecDeque::new(),
            acknowledge: false,
            body: mtu.max(4096) - Header::LEN,
            bound,
            without: None,
            resent: 0,
        }
    }

    /// The same without a guard.
    pub fn without(self, guard: Option<Guard>) -> Self {
        Session { without: guard, ..self }
    }

    /// Whether both sides know each other's session.
    pub fn is_agreed(&self) -> bool {
        self.agreed
    }

    /// The peer's life, if one is known that is not over.
    pub fn incarnation(&self) -> Option<u64> {
        self.theirs.map(|theirs| theirs.incarnation)
    }

    /// The peer's life with this number is over (R14).
    pub fn bury(&mut self, incarnation: u64) {
        self.dead = self.dead.max(Some(incarnation));
        if self.theirs.is_some_and(|theirs| self.is_over(theirs.incarnation)) {
            self.theirs = None;
            self.forget_streams();
        }
    }

    /// Whether the peer's life with this number is known to be over.
    pub fn is_over(&self, incarnation: u64) -> bool {
        Some(incarnation) <= self.dead
    }

    /// A HELLO is to go out at the next opportunity.
    pub fn owe_hello(&mut self) {
        self.hello_due = true;
    }

    /// Whether a session has been agreed on since the last call: both streams begin anew.
    pub fn take_agreement(&mut self) -> bool {
        core::mem::take(&mut self.newly_agreed)
    }

    /// Takes a datagram's header and messages; `hello` tells that the messages begin with HELLO.
    pub fn receive(&mut self, now: Instant, header: &Header, messages: &[u8], hello: bool) -> Arrival {
        let Header { sender, receiver, sequence, acknowledgment } = *header;
        let former = self.is_over(sender.incarnation) || self.theirs.is_some_and(|theirs| sender < theirs);
        if former && self.without != Some(Guard::Incarnation) {
            return Arrival::Stale;
        }
        if self.theirs != Some(sender) {
            if !hello {
                // Their HELLO was lost; ours has them say it again.
                self.hello_due = true;
                return Arrival::Unagreed;
            }
            // Whatever we had sent and not got acknowledged is lost with their old session.
            self.theirs = Some(sender);
            self.forget_streams();
        }
        if receiver != self.own {
            // They do not know our session yet, or this was sent before they did.
            self.hello_due |= hello || !self.agreed;
            return if self.agreed { Arrival::Stale } else { Arrival::Unagreed };
        }
        self.newly_agreed |= !self.agreed;
        self.agreed = true;
        self.acknowledged(now, acknowledgment);
        if sequence == 0 {
            return Arrival::Unsequenced;
        }
        self.acknowledge = true;
        if self.without == Some(Guard::Sequence) {
            self.received = self.received.max(sequence);
            self.ready.push_back(messages.to_vec());
            return Arrival::Sequenced;
        }
        if sequence <= self.received || sequence > self.received + WINDOW {
            return Arrival::Taken;
        }
        self.early.insert(sequence, messages.to_vec());
        while let Some(body) = self.early.remove(&(self.received + 1)) {
            self.received += 1;
            self.ready.push_back(body);
        }
        if self.ready.is_empty() { Arrival::Taken } else { Arrival::Sequenced }
    }

    /// The next body whose turn it is.
    pub fn take(&mut self) -> Option<Vec<u8>> {
        self.ready.pop_front()
    }

    fn acknowledged(&mut self, now: Instant, upto: u64) {
        let before = self.flight.len();
        while let Some(flight) = self.flight.pop_front_if(|flight| flight.sequence <= upto) {
            self.waiting_bytes -= flight.body.len();
        }
        if self.flight.len() < before {
            self.resend.interval = self.resend.first;
            self.resend.at = (!self.flight.is_empty()).then(|| now + self.resend.interval);
        }
    }

    /// Queues a message for the stream. Without an agreed session it is dropped: the complete
    /// state follows once there is one. Returns `false` if so much waits that the session was
    /// started afresh.
    pub fn push(&mut self, message: &Message) -> bool {
        if !self.agreed {
            return true;
        }
        let fits = self.queue.back().is_some_and(|body| body.len() + LONGEST_USUAL <= self.body);
        if !fits {
            self.queue.push_back(Vec::new());
        }
        if let Some(body) = self.queue.back_mut() {
            let before = body.len();
            message.encode(body);
            self.waiting_bytes += body.len() - before;
        }
        if self.waiting_bytes <= self.bound {
            return true;
        }
        self.restart();
        false
    }

    /// Starts a new session of this side.
    pub fn restart(&mut self) {
        self.own.number += 1;
        self.forget_streams();
    }

    fn forget_streams(&mut self) {
        self.agreed = false;
        self.newly_agreed = false;
        self.hello_due = true;
        self.next = 1;
        self.flight.clear();
        self.queue.clear();
        self.waiting_bytes = 0;
        self.resend.interval = self.resend.first;
        self.resend.at = None;
        self.received = 0;
        self.early.clear();
        self.ready.clear();
        self.acknowledge = false;
    }

    /// The next datagram to send, if any. `hello` makes the message that opens a session.
    pub fn poll(&mut self, now: Instant, hello: impl FnOnce() -> Message) -> Option<Vec<u8>> {
        if self.hello_due && self.hello_sent.is_none_or(|sent| now.since(sent) >= HELLO_INTERVAL) {
            self.hello_due = false;
            self.hello_sent = Some(now);
            return Some(self.unsequenced(&hello()));
        }
        if self.flight.len() < WINDOW as usize
            && let Some(body) = self.queue.pop_front()
        {
            let sequence = self.next;
            self.next += 1;
            let datagram = self.datagram(sequence, &body);
            self.flight.push_back(Flight { sequence, body });
            self.resend.at.get_or_insert(now + self.resend.interval);
            return Some(datagram);
        }
        if self.acknowledge {
            return Some(self.datagram(0, &[]));
        }
        None
    }

    /// A datagram outside the stream; it may be lost.
    pub fn unsequenced(&mut self, message: &Message) -> Vec<u8> {
        let mut body = Vec::new();
        message.encode(&mut body);
        self.datagram(0, &body)
    }

    fn datagram(&mut self, sequence: u64, body: &[u8]) -> Vec<u8> {
        self.acknowledge = false;
        let receiver = self.theirs.unwrap_or(SessionId::NONE);
        Header { sender: self.own, receiver, sequence, acknowledgment: self.received }.emit(body)
    }

    /// A datagram that answers one of a session which there is not.
    pub fn reply(&self, to: &Header, message: &Message) -> Vec<u8> {
        let mut body = Vec::new();
        message.encode(&mut body);
        Header { sender: self.own, receiver: to.sender, sequence: 0, acknowledgment: 0 }.emit(&body)
    }

    /// Whether a datagram names this side's present session.
    pub fn is_for_us(&self, header: &Header) -> bool {
        header.receiver == self.own
    }

    /// The datagrams whose acknowledgment is overdue.
    pub fn handle_timeout(&mut self, now: Instant) -> Vec<Vec<u8>> {
        if self.resend.at.is_none_or(|at| at > now) {
            return Vec::new();
        }
        self.resend.interval = (self.resend.interval * 2).min(LONGEST_RESEND.max(self.resend.first));
        self.resend.at = Some(now + self.resend.interval);
        let overdue: Vec<Flight> = self.flight.drain(..self.flight.len().min(RESEND_BURST)).collect();
        let datagrams = overdue.iter().map(|flight| self.datagram(flight.sequence, &flight.body)).collect();
        self.resent += overdue.len() as u64;
        for flight in overdue.into_iter().rev() {
            self.flight.push_front(flight);
        }
        datagrams
    }

    /// The peer is heard again: what it may have missed goes at once.
    pub fn hurry(&mut self, now: Instant) {
        if self.resend.at.is_some() {
            self.resend.interval = self.resend.first;
            self.resend.at = Some(now);
        }
    }

    /// When [`handle_timeout`](Session::handle_timeout) or [`poll`](Session::poll) has something.
    pub fn next_deadline(&self) -> Option<Instant> {
        let hello = self.hello_due.then(|| self.hello_sent.map_or(Instant::ZERO, |sent| sent + HELLO_INTERVAL));
        [self.resend.at, hello].into_iter().flatten().min()
    }
}

/// A body with less room than this is closed. Only list entries can be longer; the datagram that
/// carries one may exceed its size by that much.
const LONGEST_USUAL: usize = 256;

#[cfg(test)]
mod tests;
