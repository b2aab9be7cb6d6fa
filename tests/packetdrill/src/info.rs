//! What packetdrill asks for by bytes: `struct tcp_info` (linux/tcp.h) and SO_MEMINFO.

use stack::Instant;
use stack::tcp::{ConnDetail, RecoveryState, State};

/// SO_MEMINFO.
pub const SO_MEMINFO: i32 = 55;
/// Length of `struct tcp_info` as packetdrill knows it.
const LENGTH: usize = 280;

/// Linux's numbers of the states.
fn state(state: State) -> u8 {
    match state {
        State::Established => 1,
        State::SynSent => 2,
        State::SynReceived => 3,
        State::FinWait1 => 4,
        State::FinWait2 => 5,
        State::TimeWait => 6,
        State::Closed => 7,
        State::CloseWait => 8,
        State::LastAck => 9,
        State::Closing => 11,
    }
}

/// Writes at the places that the structure has.
struct Fields(Vec<u8>);

impl Fields {
    fn u8(&mut self, at: usize, value: u8) {
        self.0[at] = value;
    }

    fn u32(&mut self, at: usize, value: u32) {
        self.0[at..at + 4].copy_from_slice(&value.to_ne_bytes());
    }

    fn u64(&mut self, at: usize, value: u64) {
        self.0[at..at + 8].copy_from_slice(&value.to_ne_bytes());
    }
}

/// TCP_INFO of a socket without a connection.
pub fn tcp_info_idle(listens: bool) -> Vec<u8> {
    let mut fields = Fields(vec![0; LENGTH]);
    fields.u8(0, if listens { 10 } else { 7 });
    fields.0
}

/// TCP_INFO of a connection. Linux counts in segments what this stack counts in bytes.
pub fn tcp_info(now: Instant, detail: &ConnDetail) -> Vec<u8> {
    let mss = detail.send_mss.max(1);
    let segments = |bytes: u32| bytes.div_ceil(mss);
    let millis = |at: Instant| u32::try_from(now.since(at).as_millis()).unwrap_or(u32::MAX);
    let micros = |time: std::time::Duration| u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
    let mut fields = Fields(vec![0; LENGTH]);
    fields.u8(0, state(detail.state));
    fields.u8(
        1,
        match detail.recovery {
            RecoveryState::Open => 0,
            RecoveryState::Disorder => 1,
            RecoveryState::CongestionReduced => 2,
            RecoveryState::Recovery => 3,
            RecoveryState::Loss => 4,
        },
    );
    fields.u8(2, detail.retries);
    fields.u8(4, detail.backoff);
    let flags = u8::from(detail.timestamps) | u8::from(detail.sack) << 1 | u8::from(detail.scaling) << 2;
    fields.u8(5, flags);
    fields.u8(6, detail.send_shift | detail.receive_shift << 4);
    fields.u32(8, micros(detail.rto));
    fields.u32(16, detail.send_mss);
    fields.u32(20, detail.receive_mss);
    fields.u32(24, segments(detail.outstanding));
    fields.u32(28, segments(detail.sacked));
    // Linux counts what was lost until it arrives, sent again or not.
    fields.u32(32, segments(detail.lost) + segments(detail.retransmitted));
    fields.u32(36, segments(detail.retransmitted));
    fields.u32(44, millis(detail.last_sent));
    fields.u32(52, millis(detail.last_received));
    fields.u32(56, millis(detail.last_acknowledged));
    fields.u32(60, u32::from(detail.path_mtu));
    fields.u32(68, micros(detail.smoothed_rtt));
    fields.u32(72, micros(detail.rtt_variance));
    fields.u32(76, detail.threshold.map_or(0x7fff_ffff, |threshold| threshold / mss));
    fields.u32(80, detail.congestion_window / mss);
    fields.u32(84, detail.advertised_mss);
    fields.u32(88, segments(detail.reordering).max(3));
    fields.u32(96, detail.receive_window);
    fields.u64(120, detail.bytes_acknowledged);
    fields.u64(128, detail.bytes_received);
    fields.u32(144, detail.unsent);
    fields.u32(148, micros(detail.minimum_rtt));
    fields.u32(228, detail.send_window);
    fields.u32(232, detail.receive_window);
    fields.0
}

/// SO_MEMINFO: nine words, of which the buffers' sizes and what is in them are known.
pub fn memory(detail: &ConnDetail) -> Vec<u8> {
    let receive_queue = u32::try_from(detail.receive_queue).unwrap_or(u32::MAX);
    let send_queue = u32::try_from(detail.send_queue).unwrap_or(u32::MAX);
    let words = [
        receive_queue,
        detail.receive_buffer.saturating_mul(2),
        send_queue,
        detail.send_buffer.saturating_mul(2),
        0,
        send_queue,
        0,
        0,
        0,
    ];
    words.iter().flat_map(|word: &u32| word.to_ne_bytes()).collect()
}
