use std::collections::BTreeMap;

use proptest::prelude::*;

use super::network::{Faults, Network, exchange};
use super::*;

fn faults() -> impl Strategy<Value = Faults> {
    (0u32..200, 0u32..100, 0u32..300, any::<bool>()).prop_map(|(loss, doubling, reordering, cutting)| Faults {
        loss,
        doubling,
        reordering,
        cutting,
        ..Faults::default()
    })
}

fn config() -> impl Strategy<Value = TcpConfig> {
    let switches = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (switches, 3_000u32..300_000, 3_000u32..300_000).prop_map(|(switches, receive, send)| TcpConfig {
        timestamps: switches.0,
        sack: switches.1,
        window_scaling: switches.2,
        congestion: if switches.3 { CongestionControl::Cubic } else { CongestionControl::NewReno },
        initial_receive: receive,
        initial_send: send,
        // The network may be bad for long.
        syn_retries: 40,
        syn_ack_retries: 40,
        retries: 40,
        orphan_retries: 40,
        max_rto: Duration::from_secs(8),
        ..TcpConfig::default()
    })
}

fn path() -> impl Strategy<Value = OnePath> {
    (prop_oneof![Just(576u16), Just(1500), Just(9000)], prop_oneof![Just(0u16), Just(20_000), Just(61_000)])
        .prop_map(|(mtu, max_super)| OnePath::new(mtu, max_super))
}

/// Opened and Ended come in pairs, and nothing is left.
fn balanced(host: &mut Host) -> Result<(), TestCaseError> {
    let mut open = BTreeMap::new();
    for flow in host.flows() {
        match flow {
            FlowEvent::Opened { local, remote, instance, .. } => {
                prop_assert_eq!(open.insert((local, remote), instance), None);
            }
            FlowEvent::Ended { local, remote, instance } => {
                prop_assert_eq!(open.remove(&(local, remote)), Some(instance));
            }
            _ => {}
        }
    }
    prop_assert!(open.is_empty());
    prop_assert_eq!(host.tcp.connections().count(), 0);
    prop_assert_eq!(host.tcp.connections.len(), 0);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    /// Whatever the network does, and whatever both ends agree on: every byte arrives, once and in
    /// order, both ways; both sides see the end; nothing is left over. Applications call only
    /// after events.
    #[test]
    fn every_byte_arrives_through_a_bad_network(
        seed in any::<u64>(), faults in faults(), configs in [config(), config()], path in path(),
        sizes in [0usize..200_000, 0usize..200_000], reads in [1usize..70_000, 1usize..70_000],
    ) {
        let mut network = Network::new(configs, path, seed);
        network.faults = faults;
        let data = sizes.map(pattern);
        let reads = [reads[0].max(sizes[1] / 200), reads[1].max(sizes[0] / 200)];
        let (client, server, _) = exchange(&mut network, data.clone(), reads, Duration::from_secs(6000));
        prop_assert_eq!((client.error, server.error), (None, None));
        prop_assert!(client.received == data[1] && server.received == data[0]);
        balanced(&mut network.hosts[0])?;
        balanced(&mut network.hosts[1])?;
    }

    /// A super-segment is what it stands for: the same transfer with and without offload delivers
    /// the same bytes, and the wire carries no more of them.
    #[test]
    fn super_segments_carry_what_plain_segments_do(size in 1usize..600_000, mtu in 576u16..9000) {
        let mut payload = [0, 0];
        for (at, max_super) in [0u16, 61_000].into_iter().enumerate() {
            let config = [TcpConfig::default(), TcpConfig::default()];
            let mut network = Network::new(config, OnePath::new(mtu, max_super), 1);
            let (_, server, _) = exchange(&mut network, [pattern(size), vec![]], [65_536; 2], Duration::from_secs(60));
            prop_assert!(server.received == pattern(size));
            payload[at] = network.payload;
        }
        prop_assert_eq!(payload, [size as u64; 2]);
    }
}

/// Without faults nothing is sent twice, and the pipe fills: 20 MB at an RTT of 20 ms are done
/// within a small multiple of the RTTs that slow start needs.
#[test]
fn a_good_network_is_filled() {
    for (mtu, max_super) in [(1500, 0), (1500, 61_000), (65_520, 0)] {
        let config = [TcpConfig::default(), TcpConfig::default()];
        let mut network = Network::new(config, OnePath::new(mtu, max_super), 3);
        let size = 20_000_000;
        let limit = Duration::from_secs(60);
        let (_, server, took) = exchange(&mut network, [pattern(size), vec![]], [262_144; 2], limit);
        assert!(server.received == pattern(size));
        assert_eq!(network.payload, size as u64, "retransmissions without loss");
        assert!(took < millis(800), "{took:?} with MTU {mtu} and super-segments of {max_super}");
    }
}

/// A super-segment counts as its pieces, and one packet carries many of them.
#[test]
fn offload_saves_packets() {
    let count = |max_super| {
        let config = [TcpConfig::default(), TcpConfig::default()];
        let mut network = Network::new(config, OnePath::new(1500, max_super), 3);
        let limit = Duration::from_secs(60);
        exchange(&mut network, [pattern(5_000_000), vec![]], [262_144; 2], limit);
        network.packets
    };
    let (plain, offloaded) = (count(0), count(61_000));
    assert!(offloaded * 10 < plain, "{offloaded} packets instead of {plain}");
}

/// IPv6 works as IPv4 does.
#[test]
fn ipv6_carries_the_same() {
    let v6 = |last: u16, port| SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, last], port));
    let config = [TcpConfig::default(), TcpConfig::default()];
    let mut network = Network::new(config, OnePath::new(1500, 61_000), 9);
    let listener = network.hosts[1].tcp.listen(Some(v6(2, 0).ip()), 60, ListenOptions::default()).unwrap();
    let client = network.hosts[0].tcp.connect(network.now, v6(1, 0), v6(2, 60)).unwrap();
    network.hosts[0].send(client, &pattern(100_000)).unwrap();
    let mut got = Vec::new();
    let mut server = None;
    while got.len() < 100_000 {
        assert!(network.step());
        server = server.or_else(|| network.hosts[1].tcp.accept(listener));
        if let Some(id) = server {
            got.extend(network.hosts[1].recv(id).unwrap_or_default());
        }
    }
    assert_eq!(got, pattern(100_000));
}
