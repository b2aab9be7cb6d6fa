use super::*;
use crate::wire::tcp::{SackBlocks, SeqRange};
use proptest::prelude::*;

/// An idle established connection takes 1 KiB or less, after traffic both ways too; half-open and
/// ended ones far less.
#[test]
fn idle_connections_are_small() {
    let options = Options {
        sack_permitted: true,
        timestamps: Some(Timestamps { value: 1, echo: 0 }),
        window_scale: Some(7),
        ..Options::default()
    };
    let Served { mut host, id, mut peer, .. } = served(options);
    host.send(id, &pattern(200_000)).unwrap();
    for _ in 0..40 {
        for sent in host.sent() {
            peer.ack = peer.ack.latest(sent.segment.end());
        }
        host.inject(peer.segment(ACK), &pattern(1000));
        peer.seq += 1000;
        host.recv(id).unwrap();
    }
    let info = host.tcp.connections().next().unwrap();
    assert_eq!((info.send_queue, info.receive_queue), (0, 0));
    let conn = &host.tcp.connections[id.index()];
    let size = size_of::<Connection>() + conn.heap();
    assert!(size <= 1024, "{} and {}", size_of::<Connection>(), conn.heap());
    assert!(size_of::<listen::SynRecord>() <= 192, "{}", size_of::<listen::SynRecord>());
    assert!(size_of::<TimeWait>() <= 160, "{}", size_of::<TimeWait>());
}

#[derive(Clone, Debug)]
enum Step {
    /// A segment near what the connection expects, or far from it.
    Segment {
        seq: i32,
        ack: i32,
        flags: u8,
        window: u16,
        len: usize,
        sack: Vec<(i32, i32)>,
        stamp: Option<(i32, i32)>,
        pieces: u32,
    },
    Send(usize),
    Recv(usize),
    Shutdown,
    Close,
    Wait(u64),
    Mtu(u16, u16),
}

fn near() -> impl Strategy<Value = i32> {
    prop_oneof![4 => Just(0), 4 => -3000..3000, 1 => -100_000..100_000, 1 => any::<i32>()]
}

fn step() -> impl Strategy<Value = Step> {
    let stamp = proptest::option::of((near(), near()));
    let flags = prop_oneof![6 => Just(ACK.0), 1 => any::<u8>()];
    let sack = proptest::collection::vec((near(), near()), 0..4);
    let segment = (near(), near(), flags, any::<u16>(), 0usize..6000, sack, stamp, 1u32..5);
    prop_oneof![
        8 => segment.prop_map(|(seq, ack, flags, window, len, sack, stamp, pieces)|
            Step::Segment { seq, ack, flags, window, len, sack, stamp, pieces }),
        2 => (1usize..50_000).prop_map(Step::Send),
        2 => (1usize..50_000).prop_map(Step::Recv),
        1 => Just(Step::Shutdown),
        1 => Just(Step::Close),
        3 => (0u64..100_000).prop_map(Step::Wait),
        1 => (60u16..9000, prop_oneof![Just(0u16), 60u16..65_535]).prop_map(|(mtu, max)| Step::Mtu(mtu, max)),
    ]
}

fn offset(base: SeqNum, by: i32) -> SeqNum {
    SeqNum(base.0.wrapping_add_signed(by))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Whatever a peer sends, whenever: no panic, bounded queues, packets that are well-formed (the
    /// capture checks), and turns that come to an end.
    #[test]
    fn nothing_a_peer_sends_does_harm(
        steps in proptest::collection::vec(step(), 1..60), active in any::<bool>(),
        stamps in any::<bool>(), sack_permitted in any::<bool>(),
    ) {
        let mut host = Host::new(TcpConfig { max_receive: 300_000, ..TcpConfig::default() });
        let listener = host.tcp.listen(None, 60, ListenOptions::default()).unwrap();
        let mut peer = Peer::new(here(60), there(2000));
        let mut id = None;
        if active {
            id = host.tcp.connect(host.now, here(60), there(2000)).ok();
        } else {
            let options = Options {
                mss: Some(1460), sack_permitted, timestamps: stamps.then_some(Timestamps { value: 1, echo: 0 }),
                window_scale: Some(3), ..Options::default()
            };
            host.inject(Segment { options, ..peer.syn() }, &[]);
            peer.seq += 1;
        }
        for step in steps {
            for sent in host.sent() {
                peer.ack = sent.segment.end();
                if sent.segment.flags.ack() {
                    peer.seq = sent.segment.ack;
                }
            }
            match step {
                Step::Segment { seq, ack, flags, window, len, sack, stamp, pieces } => {
                    let mut blocks = SackBlocks::default();
                    for (start, end) in sack {
                        blocks.push(SeqRange { start: offset(peer.ack, start), end: offset(peer.ack, end) });
                    }
                    let timestamps = stamp.map(|(value, echo)| Timestamps {
                        value: 1u32.wrapping_add_signed(value), echo: (host.now.as_millis() as u32).wrapping_add_signed(echo),
                    });
                    let segment = Segment {
                        seq: offset(peer.seq, seq), ack: offset(peer.ack, ack), window, pieces,
                        options: Options { timestamps, sack: blocks, mss: Some(window), window_scale: Some(flags), ..Options::default() },
                        ..peer.segment(Flags(flags))
                    };
                    host.inject(segment, &pattern(len));
                }
                Step::Send(len) => { id.map(|id| host.send(id, &pattern(len))); }
                Step::Recv(len) => {
                    let mut buffer = vec![0; len];
                    let now = host.now;
                    id.map(|id| host.tcp.recv(now, id, &mut buffer, &mut host.pool));
                }
                Step::Shutdown => if let Some(id) = id {
                    let now = host.now;
                    host.tcp.shutdown_write(now, id);
                },
                Step::Close => if let Some(id) = id.take() { host.close(id) },
                Step::Wait(ms) => { host.wait(millis(ms)); }
                Step::Mtu(mtu, max_super) => {
                    let max_super = if max_super < mtu { 0 } else { max_super };
                    host.path = OnePath::new(mtu.max(100), max_super);
                }
            }
            id = id.or_else(|| host.tcp.accept(listener));
            for info in host.tcp.connections() {
                prop_assert!(info.receive_queue <= 300_000 && info.send_queue <= 4 << 20);
            }
            let events = host.events();
            prop_assert!(events.len() <= 5, "{:?}", events);
        }
    }
}

/// CVE-2019-11479: a peer's MSS of 1 does not make a packet of each byte.
#[test]
fn tiny_segments_have_a_floor() {
    let (mut host, listener, mut peer) = serve(TcpConfig::default());
    host.open(Segment { options: Options { mss: Some(1), ..Options::default() }, ..peer.syn() }, &mut peer);
    let id = host.tcp.accept(listener).unwrap();
    host.send(id, &pattern(480)).unwrap();
    let sent = host.sent();
    assert!(sent[..sent.len() - 1].iter().all(|sent| sent.payload.len() == 48), "{sent:?}");
}
