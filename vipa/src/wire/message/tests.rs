//! What is written is read back; nothing that is read makes it panic.

use proptest::prelude::*;

use super::*;
use crate::created::{Created, Creation};
use crate::definitions::Moveable;
use crate::ownership::Phase;
use crate::wire::control::items;
use crate::wire::distribution::tests::distributions;
use crate::workload::ServerLoad;

fn addresses() -> impl Strategy<Value = IpAddr> {
    prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), any::<[u8; 16]>().prop_map(IpAddr::from)]
}

fn creations() -> impl Strategy<Value = Option<Created>> {
    let how = prop_oneof![Just(Creation::Bind), Just(Creation::Ioctl)];
    let created = (how, any::<bool>(), any::<u64>());
    prop::option::of(created.prop_map(|(how, disruptive, since)| Created { how, disruptive, since }))
}

fn lives() -> impl Strategy<Value = Life> {
    let life = (addresses(), any::<u64>(), any::<bool>());
    life.prop_map(|(xcf, incarnation, up)| Life { xcf, incarnation, up })
}

fn connections() -> impl Strategy<Value = Connection> {
    (any::<[u8; 4]>(), any::<u16>(), any::<[u8; 4]>(), any::<u16>())
        .prop_map(|(a, p, b, q)| Connection { local: (a, p).into(), remote: (b, q).into() })
}

fn measures() -> impl Strategy<Value = Measured> {
    (any::<u16>(), any::<[u32; 3]>(), any::<u8>()).prop_map(|(port, [arrived, requested, completed], efficiency)| {
        Measured { port, arrived, requested, completed, efficiency }
    })
}

fn servers() -> impl Strategy<Value = ServerLoad> {
    let server = (any::<Option<u8>>(), any::<u16>(), any::<u8>());
    server.prop_map(|(weight, abnormal, health)| ServerLoad { weight, abnormal, health })
}

fn messages() -> impl Strategy<Value = Message> {
    let epochs = || (any::<u64>(), any::<u8>()).prop_map(|(round, rank)| Epoch { round, rank });
    let moveables = || prop_oneof![Just(Moveable::Immediate), Just(Moveable::WhenIdle)];
    let lists = || prop::option::of(distributions());
    let phases = prop_oneof![
        Just(Phase::Rebuilding),
        Just(Phase::Active),
        Just(Phase::Released),
        addresses().prop_map(|from| Phase::TakingBack { from })
    ];
    prop_oneof![
        (".*", any::<Option<u32>>(), any::<bool>(), any::<bool>())
            .prop_map(|(name, process, linked, leaving)| Message::Hello { name, process, linked, leaving }),
        (any::<[u64; 3]>(), prop::collection::vec(lives(), 0..5))
            .prop_map(|([count, heard, claims], lives)| Message::Heartbeat { count, heard, claims, lives }),
        (addresses(), any::<u8>(), moveables(), any::<Option<u8>>(), any::<bool>(), lists(), creations()).prop_map(
            |(dvipa, rank, moveable, prefix, create, distribution, created)| Message::Definition {
                dvipa,
                definition: Definition { rank, moveable, prefix, create, distribution, created },
            }
        ),
        (addresses(), any::<u64>(), moveables(), any::<u8>(), lists()).prop_map(
            |(dvipa, incarnation, moveable, prefix, distribution)| Message::Primary {
                dvipa,
                primary: Primary { incarnation, moveable, prefix, distribution },
            }
        ),
        (addresses(), epochs(), addresses(), any::<u64>(), phases, any::<u8>(), lists()).prop_map(
            |(dvipa, epoch, owner, incarnation, phase, prefix, distribution)| Message::Claim {
                dvipa,
                claim: Claim { epoch, owner, incarnation, phase, prefix, distribution },
            }
        ),
        (addresses(), any::<u16>(), any::<u16>())
            .prop_map(|(ip, port, listeners)| Message::SrvStat { server: SocketAddr::new(ip, port), listeners }),
        (connections(), any::<u32>(), addresses(), any::<bool>(), any::<Option<u32>>()).prop_map(
            |(connection, instance, target, half_open, age)| Message::NewConn {
                connection,
                instance,
                target,
                half_open,
                age
            }
        ),
        (connections(), any::<u32>()).prop_map(|(connection, instance)| Message::TermConn { connection, instance }),
        (connections(), any::<Option<u32>>()).prop_map(|(connection, instance)| Message::Deny { connection, instance }),
        connections().prop_map(|connection| Message::Ask { connection }),
        (connections(), any::<u32>()).prop_map(|(connection, instance)| Message::Forget { connection, instance }),
        (addresses(), epochs()).prop_map(|(dvipa, epoch)| Message::ReportEnd { dvipa, epoch }),
        (addresses(), epochs()).prop_map(|(dvipa, epoch)| Message::Released { dvipa, epoch }),
        (addresses(), epochs()).prop_map(|(dvipa, epoch)| Message::LeaseAsk { dvipa, epoch }),
        (addresses(), epochs(), any::<Vec<u16>>()).prop_map(|(dvipa, epoch, blocks)| Message::Leased {
            dvipa,
            epoch,
            blocks
        }),
        (addresses(), epochs(), any::<(u32, u64, u64)>()).prop_map(|(dvipa, epoch, (count, digest, servers))| {
            Message::Audit { dvipa, epoch, tally: Tally { count, digest }, servers }
        }),
        ".*".prop_map(|why| Message::Refused { why }),
        (addresses(), epochs(), addresses(), any::<u16>(), any::<u32>())
            .prop_map(|(dvipa, epoch, client, port, left)| Message::Affinity { dvipa, epoch, client, port, left }),
        (addresses(), epochs(), any::<u16>()).prop_map(|(dvipa, epoch, interval)| Message::Measure {
            dvipa,
            epoch,
            interval
        }),
        (addresses(), epochs(), any::<u16>(), prop::collection::vec(measures(), 0..5))
            .prop_map(|(dvipa, epoch, interval, servers)| Message::Measured { dvipa, epoch, interval, servers }),
        (any::<Option<[u8; 3]>>(), prop::collection::btree_map(any::<u16>(), servers(), 0..5))
            .prop_map(|(system, servers)| Message::Workload { workload: Workload { system, servers } }),
    ]
}

proptest! {
    #[test]
    fn messages_read_back_as_written(written in prop::collection::vec(messages(), 0..8)) {
        let mut body = Vec::new();
        written.iter().for_each(|message| message.encode(&mut body));
        let read: Vec<Item> = items(&body).collect();
        let expected: Vec<Item> = written.into_iter().map(Item::Message).collect();
        prop_assert_eq!(read, expected);
    }

    /// D7: a body cut short or garbled is malformed, never a panic.
    #[test]
    fn any_body_is_judged(kind in 0u16..32, body: Vec<u8>) {
        Message::decode(kind, &body);
    }
}
