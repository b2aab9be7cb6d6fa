//! One connection in every detail, for tools: what Linux tells by TCP_INFO.

use core::time::Duration;
use std::net::SocketAddr;

use super::Tcp;
use super::event::{CloseReason, ConnId, ListenerId, SocketError, State};
use crate::time::Instant;

/// Where a connection stands in repairing losses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecoveryState {
    /// Nothing is amiss.
    Open,
    /// Something came out of order, and no loss is known.
    Disorder,
    /// The window comes down because the network said so, without a loss (RFC 3168).
    CongestionReduced,
    /// Fast recovery.
    Recovery,
    /// After a retransmission timeout.
    Loss,
}

/// See the module. Amounts are bytes.
#[derive(Clone, Copy, Debug)]
pub struct ConnDetail {
    /// Its state.
    pub state: State,
    /// Why it ended, if it did not just close.
    pub error: Option<CloseReason>,
    /// A read would not block.
    pub readable: bool,
    /// A write would not block.
    pub writable: bool,
    /// The peer has closed its side and everything was read.
    pub at_end: bool,
    /// The application has not closed its side.
    pub may_send: bool,
    /// Where it stands in repairing losses.
    pub recovery: RecoveryState,
    /// Retransmissions since the last progress.
    pub retries: u8,
    /// Doublings of the timeout.
    pub backoff: u8,
    /// Timestamps are used (RFC 7323).
    pub timestamps: bool,
    /// SACK is used (RFC 2018).
    pub sack: bool,
    /// Windows are scaled (RFC 7323).
    pub scaling: bool,
    /// Shift of the peer's windows.
    pub send_shift: u8,
    /// Shift of our windows.
    pub receive_shift: u8,
    /// RTO.
    pub rto: Duration,
    /// SRTT; zero before the first sample.
    pub smoothed_rtt: Duration,
    /// RTTVAR.
    pub rtt_variance: Duration,
    /// The smallest RTT of late; zero before the first sample.
    pub minimum_rtt: Duration,
    /// Payload of a full segment to the peer.
    pub send_mss: u32,
    /// Payload of a full segment as our SYN told it: none of the peer's is larger.
    pub advertised_mss: u32,
    /// Payload of a full segment from the peer, as seen.
    pub receive_mss: u32,
    /// Sent and not acknowledged.
    pub outstanding: u32,
    /// Of that, covered by SACK, or by duplicate acknowledgments.
    pub sacked: u32,
    /// Of that, taken for lost and not sent again.
    pub lost: u32,
    /// Of that, sent again.
    pub retransmitted: u32,
    /// The furthest that a segment was overtaken by others.
    pub reordering: u32,
    /// Congestion window.
    pub congestion_window: u32,
    /// Slow start threshold, once there is one.
    pub threshold: Option<u32>,
    /// The peer's window.
    pub send_window: u32,
    /// Our window as it was told.
    pub receive_window: u32,
    /// Largest packet on the path, as known.
    pub path_mtu: u16,
    /// What the application may have waiting to be sent.
    pub send_buffer: u32,
    /// What may wait for the application.
    pub receive_buffer: u32,
    /// Sent by the application and not acknowledged.
    pub send_queue: usize,
    /// Sent by the application and not by us.
    pub unsent: u32,
    /// Received and not read.
    pub receive_queue: usize,
    /// Received in order, modulo 2^32.
    pub bytes_received: u64,
    /// Acknowledged by the peer, modulo 2^32.
    pub bytes_acknowledged: u64,
    /// When data was sent last.
    pub last_sent: Instant,
    /// When data came last.
    pub last_received: Instant,
    /// When anything acceptable came last.
    pub last_acknowledged: Instant,
}

impl Tcp {
    /// Everything about one connection.
    ///
    /// # Errors
    /// If the handle was released.
    pub fn detail(&self, id: ConnId) -> Result<ConnDetail, SocketError> {
        Ok(self.find(id)?.detail(&self.config))
    }

    /// Everything about every connection that has a full record, in no particular order: not those in
    /// SYN_RCVD and TIME_WAIT.
    pub fn details(&self) -> impl Iterator<Item = (SocketAddr, SocketAddr, ConnDetail)> {
        let full = self.connections.iter().filter(|(_, conn)| !conn.detached);
        full.map(|(_, conn)| (conn.local, conn.remote, conn.detail(&self.config)))
    }

    /// Connections that wait to be accepted.
    pub fn acceptable(&self, id: ListenerId) -> usize {
        let listener = self.listeners.get(id.index as usize).filter(|found| found.generation == id.generation);
        listener.map_or(0, |listener| listener.accept_queue.len())
    }
}
