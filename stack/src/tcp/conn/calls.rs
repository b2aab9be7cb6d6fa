//! What the application asks of a connection (RFC 9293, 3.10.2 to 3.10.6).

use core::time::Duration;
use std::io::IoSlice;

use super::{Connection, Context, Fin, KeepaliveState, State};
use crate::tcp::config::Keepalive;
use crate::tcp::event::{CloseReason, SocketError};
use crate::tcp::piece::Memory;
use crate::time::Instant;

impl Connection {
    /// SEND: takes what fits.
    pub(in crate::tcp) fn send_call(
        &mut self,
        now: Instant,
        data: &[IoSlice<'_>],
        more: bool,
        memory: &mut Memory<'_>,
    ) -> Result<usize, SocketError> {
        if let Some(reason) = self.error {
            return Err(SocketError::Ended(reason));
        }
        if !self.state.may_send() {
            return Err(SocketError::BrokenPipe);
        }
        let mut taken = 0;
        for slice in data {
            let count = slice.len().min(self.send_room());
            self.send.push(&slice[..count], memory.chunks);
            taken += count;
            if count < slice.len() {
                break;
            }
        }
        if taken == 0 && data.iter().any(|slice| !slice.is_empty()) {
            self.waits.write = true;
            return Err(SocketError::WouldBlock);
        }
        self.data_written(more);
        self.arm_user_timeout(now, false);
        Ok(taken)
    }

    /// RECEIVE: `Ok(0)` is the end of the stream.
    pub(in crate::tcp) fn receive_call(
        &mut self,
        now: Instant,
        max: usize,
        take: &mut dyn FnMut(&[u8]),
        cx: &Context<'_>,
        memory: &mut Memory<'_>,
    ) -> Result<usize, SocketError> {
        if self.receive.len() > 0 {
            return Ok(self.read(now, max, take, cx, memory));
        }
        if let Some(reason) = self.error {
            return Err(SocketError::Ended(reason));
        }
        if self.at_end() || max == 0 {
            return Ok(0);
        }
        self.waits.read = true;
        Err(SocketError::WouldBlock)
    }

    /// CLOSE of the sending side: a FIN follows what was sent.
    pub(in crate::tcp) fn shutdown_write(&mut self) {
        if !self.state.may_send() {
            return;
        }
        self.snd.fin = Fin::Due;
        self.state = match self.state {
            State::Established => State::FinWait1,
            State::CloseWait => State::LastAck,
            // RFC 9293, 3.10.4: queued until the connection is established.
            other => other,
        };
    }

    /// CLOSE: the handle is gone. Unread data means that the peer's was not delivered: a RST says
    /// so (RFC 2525, 2.17).
    pub(in crate::tcp) fn close_call(&mut self, now: Instant, cx: &mut Context<'_>, memory: &mut Memory<'_>) {
        self.held = false;
        let linger = self.limits.as_ref().and_then(|limits| limits.linger);
        let unread = self.receive.len() > 0;
        self.receive.clear(memory);
        match self.state {
            State::Closed | State::TimeWait => {}
            State::SynSent => self.fail(CloseReason::Aborted, memory),
            _ if unread || linger.is_some_and(|time| time.is_zero()) => {
                cx.counters.abort_on_close += u64::from(unread);
                self.reset_peer(now, cx);
                self.fail(CloseReason::Aborted, memory);
            }
            _ => {
                self.shutdown_write();
                if let Some(time) = linger {
                    self.timers.lifetime = now + time;
                } else if self.state == State::FinWait2 {
                    self.timers.lifetime = now + self.fin_wait_2(cx);
                }
            }
        }
    }

    /// ABORT.
    pub(in crate::tcp) fn abort_call(&mut self, now: Instant, cx: &mut Context<'_>, memory: &mut Memory<'_>) {
        self.held = false;
        self.receive.clear(memory);
        self.break_off(now, cx, memory);
    }

    /// Ends it, unless it has ended: the peer is reset. Whoever holds it keeps it.
    pub(in crate::tcp) fn break_off(&mut self, now: Instant, cx: &mut Context<'_>, memory: &mut Memory<'_>) {
        if matches!(self.state, State::Established | State::CloseWait) {
            cx.counters.estab_resets += 1;
        }
        if !matches!(self.state, State::Closed | State::TimeWait) {
            self.reset_peer(now, cx);
            self.fail(CloseReason::Aborted, memory);
        }
    }

    pub(in crate::tcp) fn set_keepalive(&mut self, now: Instant, settings: Option<Keepalive>) {
        self.keepalive = settings.map(|settings| Box::new(KeepaliveState { settings, unanswered: 0 }));
        if self.state.is_synchronized() && self.state != State::TimeWait {
            self.arm_keepalive(now);
        }
    }

    pub(in crate::tcp) fn set_fin_wait_2(&mut self, time: Duration) {
        self.limits_mut().fin_wait_2 = Some(time.max(Duration::from_millis(1)));
    }

    /// How long FIN_WAIT_2 lasts once the application has closed.
    pub(super) fn fin_wait_2(&self, cx: &Context<'_>) -> Duration {
        let own = self.limits.as_ref().and_then(|limits| limits.fin_wait_2);
        own.unwrap_or(cx.config.fin_wait_2)
    }

    pub(in crate::tcp) fn set_user_timeout(&mut self, now: Instant, limit: Option<Duration>) {
        self.limits_mut().user_timeout = limit;
        if self.state != State::Closed {
            self.arm_user_timeout(now, true);
        }
    }
}
