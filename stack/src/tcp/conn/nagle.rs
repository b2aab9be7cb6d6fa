//! When a segment that is not full may go (RFC 9293, 3.7.4), and what the application says of it:
//! TCP_NODELAY, TCP_CORK and MSG_MORE as in Linux.

use super::{Connection, Fin};
use crate::seq::SeqNum;

/// What holds small segments back beside Nagle's algorithm.
#[derive(Debug, Default)]
pub(super) struct Cork {
    /// TCP_CORK.
    on: bool,
    /// MSG_MORE was said with the last data, and nothing was acknowledged since: the next
    /// acknowledgment lets it go.
    more: bool,
    /// The last data ends no message: no PSH (RFC 9293, 3.9.1.2).
    open_end: bool,
    /// Small segments up to here may go whatever else is said: TCP_NODELAY was set when they waited.
    push_to: Option<SeqNum>,
}

impl Connection {
    /// SEND brought data; `more` will follow at once.
    pub(super) fn data_written(&mut self, more: bool) {
        self.cork.more = more;
        self.cork.open_end = more;
    }

    pub(in crate::tcp) fn set_nodelay(&mut self, nodelay: bool) {
        self.nodelay = nodelay;
        if nodelay {
            // What waits goes now, even from under a cork.
            self.cork.push_to = Some(self.data_end());
        }
    }

    pub(in crate::tcp) fn set_cork(&mut self, on: bool) {
        self.cork.on = on;
    }

    /// An acknowledgment came: MSG_MORE is not a promise for ever.
    pub(super) fn release_more(&mut self) {
        self.cork.more = false;
    }

    /// Marks that SND.UNA has passed say nothing any more; half the sequence space later they would.
    pub(super) fn forget_small(&mut self) {
        let una = self.snd.una;
        self.snd.small_end.take_if(|end| end.before_eq(una));
        self.cork.push_to.take_if(|end| end.before_eq(una));
    }

    /// Something other than windows and Nagle holds back a small segment.
    pub(super) fn is_corked(&self) -> bool {
        (self.cork.on || self.cork.more) && self.cork.push_to.is_none_or(|end| end.before(self.data_end()))
    }

    /// Nagle, in Minshall's variant: one segment that is not full at a time.
    pub(super) fn small_may_go(&self) -> bool {
        if self.snd.fin == Fin::Due {
            return true;
        }
        !self.is_corked() && (self.nodelay || self.board.is_empty() || self.snd.small_end.is_none())
    }

    /// Whether a segment that ends where the data ends says so by PSH.
    pub(super) fn pushes(&self) -> bool {
        !self.cork.open_end || self.snd.fin == Fin::Due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::config::TcpConfig;
    use crate::time::Instant;

    /// What was said of bytes that are acknowledged says nothing of those 2 GiB later, whose numbers seem to
    /// lie before it.
    #[test]
    fn marks_do_not_outlive_what_they_are_about() {
        let ends = (([192, 0, 2, 1], 1).into(), ([192, 0, 2, 2], 2).into());
        let mut conn = Connection::connect(Instant::ZERO, ends, SeqNum(0), None, 1, &TcpConfig::default());
        conn.set_nodelay(true);
        conn.set_cork(true);
        conn.snd.small_end = Some(conn.data_end());
        assert!(!conn.is_corked(), "what waited when TCP_NODELAY was set may go");
        conn.snd.una = conn.data_end();
        conn.forget_small();
        conn.snd.una += (1 << 31) + 1;
        conn.state = crate::tcp::State::Established;
        assert!(conn.is_corked() && conn.snd.small_end.is_none());
    }
}
