//! What an application can set on a connection.

use core::time::Duration;

use super::Tcp;
use super::config::{Keepalive, shift_for};
use super::event::{ConnId, SocketError, State};
use crate::time::Instant;

impl Tcp {
    /// TCP_NODELAY: small segments do not wait for acknowledgments (RFC 9293, 3.7.4).
    ///
    /// # Errors
    /// If the handle was released.
    pub fn set_nodelay(&mut self, now: Instant, id: ConnId, nodelay: bool) -> Result<(), SocketError> {
        self.find_mut(id)?.set_nodelay(nodelay);
        // What was held back may go.
        self.settle(now, id.index);
        Ok(())
    }

    /// Whether TCP_NODELAY is set.
    ///
    /// # Errors
    /// If the handle was released.
    pub fn nodelay(&self, id: ConnId) -> Result<bool, SocketError> {
        Ok(self.find(id)?.nodelay)
    }

    /// Keepalive (RFC 9293, 3.8.4); `None` turns it off.
    ///
    /// # Errors
    /// If the handle was released.
    pub fn set_keepalive(&mut self, now: Instant, id: ConnId, keepalive: Option<Keepalive>) -> Result<(), SocketError> {
        self.find_mut(id)?.set_keepalive(now, keepalive);
        self.settle(now, id.index);
        Ok(())
    }

    /// How long data may stay without acknowledgment before the connection fails (RFC 5482).
    ///
    /// # Errors
    /// If the handle was released.
    pub fn set_user_timeout(&mut self, now: Instant, id: ConnId, limit: Option<Duration>) -> Result<(), SocketError> {
        self.find_mut(id)?.set_user_timeout(now, limit);
        self.settle(now, id.index);
        Ok(())
    }

    /// What [`close`](Tcp::close) leaves for delivery: `None` as long as it takes, zero nothing (a
    /// RST goes), else that long, then a RST.
    ///
    /// # Errors
    /// If the handle was released.
    pub fn set_linger(&mut self, id: ConnId, linger: Option<Duration>) -> Result<(), SocketError> {
        self.find_mut(id)?.limits_mut().linger = linger;
        Ok(())
    }

    /// TCP_CORK: what makes no full segment waits until the cork is drawn, or until a window probe
    /// would be due.
    ///
    /// # Errors
    /// If the handle was released.
    pub fn set_cork(&mut self, now: Instant, id: ConnId, on: bool) -> Result<(), SocketError> {
        self.find_mut(id)?.set_cork(on);
        self.settle(now, id.index);
        Ok(())
    }

    /// TCP_MAXSEG: segments are no larger, to either side if the SYN has not gone yet.
    ///
    /// # Errors
    /// If the handle was released.
    pub fn set_max_segment(&mut self, id: ConnId, bytes: u16) -> Result<(), SocketError> {
        self.find_mut(id)?.max_segment = bytes.max(MIN_SEGMENT);
        Ok(())
    }

    /// SO_RCVBUF: bytes that may wait for the application. They are not tuned any more, and the
    /// window that was told stays as long as it is larger (RFC 9293, 3.8.6).
    ///
    /// # Errors
    /// If the handle was released.
    pub fn set_receive_buffer(&mut self, id: ConnId, bytes: u32) -> Result<(), SocketError> {
        let conn = self.find_mut(id)?;
        let shift = (conn.state == State::SynSent).then(|| shift_for(bytes));
        conn.rcv.fix_limit(bytes, shift);
        Ok(())
    }

    /// SO_SNDBUF: bytes that the application may have waiting. They do not grow any more.
    ///
    /// # Errors
    /// If the handle was released.
    pub fn set_send_buffer(&mut self, now: Instant, id: ConnId, bytes: u32) -> Result<(), SocketError> {
        self.find_mut(id)?.snd.fix_limit(bytes);
        self.settle(now, id.index);
        Ok(())
    }

    /// TCP_LINGER2: how long FIN_WAIT_2 lasts once the application has closed.
    ///
    /// # Errors
    /// If the handle was released.
    pub fn set_fin_wait_2(&mut self, id: ConnId, time: Duration) -> Result<(), SocketError> {
        self.find_mut(id)?.set_fin_wait_2(time);
        Ok(())
    }
}

/// Least payload of a full segment that an application can ask for, as in Linux.
const MIN_SEGMENT: u16 = 88;
