//! A connection in every detail.

use super::{Connection, TcpConfig};
use crate::tcp::detail::{ConnDetail, RecoveryState};
use crate::tcp::recovery::Phase;

impl Connection {
    pub(in crate::tcp) fn detail(&self, config: &TcpConfig) -> ConnDetail {
        let known = self.state.is_synchronized();
        // Without SACK each duplicate acknowledgment stands for a segment (RFC 5681, 3.2).
        let out_of_order = self.board.sacked() + self.recovery.duplicate_bytes;
        let unsent = if known { self.data_end() - self.snd.nxt.earliest(self.data_end()) } else { 0 };
        ConnDetail {
            state: self.state,
            error: self.error,
            readable: self.readable(),
            writable: self.writable(),
            at_end: self.at_end(),
            may_send: self.state.may_send(),
            recovery: match self.recovery.phase {
                Phase::Fast(_) if self.recovery.marked => RecoveryState::CongestionReduced,
                Phase::Fast(_) => RecoveryState::Recovery,
                Phase::Timeout(_) => RecoveryState::Loss,
                Phase::Open if out_of_order > 0 => RecoveryState::Disorder,
                Phase::Open => RecoveryState::Open,
            },
            retries: self.retries,
            backoff: self.rtt.backoff(),
            timestamps: self.timestamps.is_some(),
            sack: self.sack,
            scaling: self.scaling,
            send_shift: self.snd.shift,
            receive_shift: self.rcv.shift,
            rto: self.rtt.timeout(config),
            smoothed_rtt: self.rtt.smoothed().unwrap_or_default(),
            rtt_variance: self.rtt.variance(),
            minimum_rtt: self.rtt.minimum().unwrap_or_default(),
            send_mss: self.snd.mss,
            advertised_mss: u32::from(self.rcv.advertised_mss.min(self.max_segment)),
            receive_mss: self.rcv.mss,
            outstanding: self.board.outstanding(),
            sacked: out_of_order,
            lost: self.board.lost(),
            retransmitted: self.board.retransmitted_bytes(),
            reordering: self.rack.reordering(),
            congestion_window: self.congestion.window(),
            threshold: Some(self.congestion.threshold()).filter(|threshold| *threshold != u32::MAX),
            send_window: self.snd.wnd,
            receive_window: if known { self.receive_window() } else { 0 },
            path_mtu: self.snd.path_mtu,
            send_buffer: self.snd.limit,
            receive_buffer: self.rcv.limit,
            send_queue: self.send.len(),
            unsent,
            receive_queue: self.receive.len(),
            bytes_received: if known { u64::from(self.rcv.nxt - self.rcv.irs - 1) } else { 0 },
            bytes_acknowledged: u64::from(self.snd.una - self.snd.iss),
            last_sent: self.snd.last_sent,
            last_received: self.rcv.last_data,
            last_acknowledged: self.last_heard,
        }
    }
}
