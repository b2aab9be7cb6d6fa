//! What the script and whoever runs it have set.

use std::net::IpAddr;
use std::time::Duration;

use stack::tcp::{CongestionControl, Ecn, TcpConfig};

/// What `--so_flags` tells: `local=ADDRESS/PREFIX;mtu=BYTES`, and `mss=BYTES` if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags {
    /// The stack's address.
    pub local: IpAddr,
    /// Length of its prefix.
    pub prefix: u8,
    /// The device's MTU.
    pub mtu: u16,
    /// What the pieces are of which a packet from the device is put together, if it is (`--mss`).
    pub piece: Option<u16>,
}

impl Default for Flags {
    fn default() -> Self {
        Flags { local: IpAddr::from([192, 168, 0, 1]), prefix: 16, mtu: 1500, piece: None }
    }
}

impl Flags {
    /// Reads the flags; what it does not know it leaves at the default.
    pub fn parse(text: &str) -> Flags {
        let mut flags = Flags::default();
        for (name, value) in text.split(';').filter_map(|part| part.split_once('=')) {
            match name.trim() {
                "local" => {
                    let (address, prefix) = value.split_once('/').unwrap_or((value, ""));
                    if let Ok(address) = address.trim().parse() {
                        flags.local = address;
                    }
                    if let Ok(prefix) = prefix.trim().parse() {
                        flags.prefix = prefix;
                    }
                }
                "mtu" => flags.mtu = value.trim().parse().unwrap_or(flags.mtu),
                "mss" => flags.piece = value.trim().parse().ok(),
                _ => {}
            }
        }
        flags
    }

    /// The MSS of the device.
    pub fn mss(&self) -> u16 {
        self.mtu.saturating_sub(if self.local.is_ipv4() { 40 } else { 60 })
    }
}

/// One of `net.ipv4.*` of this namespace.
fn sysctl(name: &str) -> Option<String> {
    std::fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).ok()
}

fn number(name: &str) -> Option<u64> {
    sysctl(name)?.trim().parse().ok()
}

/// The three numbers of `tcp_rmem` and `tcp_wmem`.
fn triple(name: &str) -> Option<[u32; 3]> {
    let text = sysctl(name)?;
    let numbers: Vec<u32> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    numbers.try_into().ok()
}

/// Linux's socket buffers hold overhead beside the bytes: half of them, until it knows better
/// (`tcp_win_from_space`).
pub const fn window_of_buffer(bytes: u32) -> u32 {
    bytes / 2
}

/// What Linux keeps of SO_RCVBUF for the head of a packet at least (`struct sk_buff`), after it has doubled it.
const PACKET_HEAD: u32 = 256;

/// The window of a connection with an SO_RCVBUF of `bytes`.
pub const fn window_of_receive_buffer(bytes: u32) -> u32 {
    window_of_buffer((2 * bytes).saturating_sub(PACKET_HEAD))
}

/// The window that Linux's SYN,ACK tells with an SO_RCVBUF of `bytes`: full segments.
pub fn first_window(bytes: u32, mss: u16) -> u32 {
    if bytes > mss.into() { bytes - bytes % u32::from(mss.max(1)) } else { bytes }
}

/// What of a send buffer of this size is bytes: the rest is overhead in Linux, which fills whole
/// segments.
pub fn bytes_in_send_buffer(buffer: u32, segment: u32) -> u32 {
    let bytes = buffer / 5 * 3;
    bytes - bytes % segment.clamp(1, bytes.max(1))
}

/// Segments that Linux puts into one packet for the device at least, and at most while the rate is low.
pub fn segments_together() -> u16 {
    number("tcp_min_tso_segs").and_then(|count| u16::try_from(count).ok()).unwrap_or(2).clamp(1, 40)
}

/// Packet size from which connections search for what their path takes, if they do from the beginning.
fn searched_mtu() -> Option<u16> {
    let payload = number("tcp_base_mss").filter(|_| number("tcp_mtu_probing") == Some(2))?;
    u16::try_from(payload + 40).ok()
}

/// The MTU of the route to one host, if this namespace has such a one that says (`advmss`).
pub fn route_mtu() -> Option<u16> {
    let table = std::fs::read_to_string("/proc/net/route").ok()?;
    let rows = table.lines().skip(1).map(|row| row.split_whitespace().collect::<Vec<_>>());
    let host = rows.into_iter().find(|row| row.get(7) == Some(&"FFFFFFFF"))?;
    host.get(8)?.parse().ok().filter(|mtu| *mtu > 0)
}

/// The script's congestion control. CUBIC stands for every other: a namespace may be refused the one
/// that a script asks for.
fn congestion_control() -> CongestionControl {
    let reno = sysctl("tcp_congestion_control").is_some_and(|name| name.trim() == "reno");
    if reno { CongestionControl::NewReno } else { CongestionControl::Cubic }
}

/// The stack's settings, as this namespace's `net.ipv4.tcp_*` say.
pub fn tcp_config() -> TcpConfig {
    let defaults = TcpConfig::default();
    let on = |name: &str, default: bool| number(name).map_or(default, |value| value != 0);
    let [_, initial_receive, max_receive] = triple("tcp_rmem").unwrap_or([4096, 131_072, 6 << 20]);
    let [_, initial_send, max_send] = triple("tcp_wmem").unwrap_or([4096, 16_384, 4 << 20]);
    TcpConfig {
        congestion: congestion_control(),
        timestamps: on("tcp_timestamps", true),
        window_scaling: on("tcp_window_scaling", true),
        sack: on("tcp_sack", true),
        ecn: match number("tcp_ecn") {
            Some(0) => Ecn::Off,
            Some(1) => Ecn::Active,
            _ => Ecn::Passive,
        },
        initial_receive: window_of_buffer(initial_receive),
        max_receive,
        initial_send,
        max_send,
        search_mtu_from: searched_mtu(),
        syn_retries: number("tcp_syn_retries").and_then(|count| u8::try_from(count).ok()).unwrap_or(6),
        syn_ack_retries: number("tcp_synack_retries").and_then(|count| u8::try_from(count).ok()).unwrap_or(5),
        min_burst: segments_together().into(),
        // The scripts' device has the queue pfifo, which paces nothing.
        pacing: false,
        slow_start_after_idle: on("tcp_slow_start_after_idle", true),
        fin_wait_2: Duration::from_secs(number("tcp_fin_timeout").unwrap_or(60)),
        challenge_interval: Duration::from_millis(number("tcp_invalid_ratelimit").unwrap_or(500)),
        flow_events: false,
        ..defaults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the runner passes is understood.
    #[test]
    fn flags_are_read() {
        let flags = Flags::parse("local=10.1.2.3/24;remote=192.0.2.0/24;mtu=1400;mss=1000");
        assert_eq!(flags, Flags { local: IpAddr::from([10, 1, 2, 3]), prefix: 24, mtu: 1400, piece: Some(1000) });
        assert_eq!(Flags::parse("nonsense"), Flags::default());
    }
}
