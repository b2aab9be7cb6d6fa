//! Explicit congestion notification (RFC 3168).

use super::*;
use crate::tcp::Ecn;
use crate::wire::tcp::SeqRange;

const ECE: Flags = Flags::ECE;
const CWR: Flags = Flags::CWR;

fn config(ecn: Ecn) -> TcpConfig {
    TcpConfig { ecn, ..TcpConfig::default() }
}

/// RFC 3168, 6.1.1: which SYN gets ECE in its answer; none gets a RST (gVisor issue 7075).
#[test]
fn ecn_is_agreed_to_when_asked_for() {
    let table = [
        (Ecn::Passive, SYN | ECE | CWR, Codepoint::NotEct, true),
        (Ecn::Active, SYN | ECE | CWR, Codepoint::NotEct, true),
        (Ecn::Off, SYN | ECE | CWR, Codepoint::NotEct, false),
        (Ecn::Passive, SYN, Codepoint::NotEct, false),
        (Ecn::Passive, SYN | ECE, Codepoint::NotEct, false),
        (Ecn::Passive, SYN | CWR, Codepoint::NotEct, false),
        (Ecn::Passive, SYN | ECE | CWR, Codepoint::Ect0, false),
        (Ecn::Passive, SYN | ECE | CWR, Codepoint::Ce, false),
    ];
    for (ecn, flags, codepoint, agreed) in table {
        let (mut host, _, peer) = serve(config(ecn));
        host.inject(Segment { flags, ecn: codepoint, ..peer.syn() }, &[]);
        let answer = host.one().segment;
        assert_eq!(answer.flags, if agreed { SYN | ACK | ECE } else { SYN | ACK }, "{ecn:?} {flags:?}");
        assert_eq!(answer.ecn, Codepoint::NotEct, "6.1.1: the SYN,ACK is not ECT");
        // The same again is no different.
        host.inject(Segment { flags, ecn: codepoint, ..peer.syn() }, &[]);
        assert_eq!(host.one().segment.flags, answer.flags);
    }
}

/// RFC 3168, 6.1.1: no SYN is refused for its bits, wherever it comes: a closed port refuses it as
/// it does any other, an established connection challenges it.
#[test]
fn a_syn_with_ecn_bits_is_a_syn() {
    let Served { mut host, peer, .. } = served_by(config(Ecn::Passive), Options::default());
    host.inject(Segment { flags: SYN | ECE | CWR, ..peer.segment(SYN) }, &[]);
    assert_eq!(host.one().segment.flags, ACK);
    host.inject(Peer::new(here(61), there(1)).segment(SYN | ECE | CWR), &[]);
    assert_eq!(host.one().segment.flags, RST | ACK);
}

/// RFC 3168, 6.1.1: our SYN asks only if it is to; the answer decides; a lost SYN asks no more
/// (6.1.1.1).
#[test]
fn ecn_is_asked_for_when_active() {
    for (ecn, asked) in [(Ecn::Off, SYN), (Ecn::Passive, SYN), (Ecn::Active, SYN | ECE | CWR)] {
        for (answer, codepoint) in [(ECE, Codepoint::Ect0), (ECE | CWR, Codepoint::NotEct), (SYN, Codepoint::NotEct)] {
            let mut host = Host::new(config(ecn));
            let id = host.tcp.connect(host.now, here(1000), there(80)).unwrap();
            let syn = host.one().segment;
            assert_eq!((syn.flags, syn.ecn), (asked, Codepoint::NotEct));
            let mut peer = Peer::new(here(1000), there(80));
            peer.ack = syn.seq + 1;
            host.inject(peer.segment(SYN | ACK | answer), &[]);
            host.sent();
            host.send(id, b"data").unwrap();
            let expected = if ecn == Ecn::Active { codepoint } else { Codepoint::NotEct };
            assert_eq!(host.one().segment.ecn, expected, "{ecn:?} {answer:?}");
        }
    }
    let mut host = Host::new(config(Ecn::Active));
    host.tcp.connect(host.now, here(1000), there(80)).unwrap();
    let flags: Vec<_> = host.wait(Duration::from_secs(4)).iter().map(|(_, sent)| sent.segment.flags).collect();
    assert_eq!(flags, [SYN | ECE | CWR, SYN, SYN]);
}

/// A connection that speaks ECN, with ten segments of 1000 bytes out.
fn flying() -> (Host, Peer, ConnId) {
    let (mut host, listener, mut peer) = serve(config(Ecn::Passive));
    let options = Options { mss: Some(1000), sack_permitted: true, ..Options::default() };
    host.inject(Segment { options, flags: SYN | ECE | CWR, ..peer.syn() }, &[]);
    let answer = host.one().segment;
    host.now += millis(50);
    peer.seq += 1;
    peer.ack = answer.seq + 1;
    host.inject(peer.segment(ACK), &[]);
    let id = host.tcp.accept(listener).unwrap();
    host.send(id, &pattern(200_000)).unwrap();
    let sent = host.sent();
    assert_eq!(sent.len(), 10);
    assert!(sent.iter().all(|sent| sent.segment.ecn == Codepoint::Ect0), "RFC 3168, 6.1.2");
    host.now += millis(50);
    (host, peer, id)
}

/// RFC 3168, 6.1.2: ECE brings the window down once for a round trip, nothing is sent again, and
/// the first new segment says CWR.
#[test]
fn an_echo_brings_the_window_down_once() {
    let (mut host, mut peer, _) = flying();
    let mut out: u32 = 10;
    let mut first = Vec::new();
    for _ in 0..10 {
        peer.ack += 1000;
        out -= 1;
        host.inject(peer.segment(ACK | ECE), &[]);
        let sent = host.sent();
        assert!(sent.iter().all(|sent| sent.segment.ecn == Codepoint::Ect0));
        first.extend(sent.iter().map(|sent| sent.segment.flags.contains(CWR)));
        out += sent.len() as u32;
    }
    assert!(first[0] && !first[1..].contains(&true), "CWR once: {first:?}");
    assert!((6..=7).contains(&out), "0.7 of ten: {out}");
    assert_eq!(host.tcp.counters().retrans_segs, 0);
    // The echo of what was out before is over; the next one counts again.
    peer.ack += 2000;
    host.inject(peer.segment(ACK), &[]);
    host.sent();
    peer.ack += 1000;
    host.inject(peer.segment(ACK | ECE), &[]);
    let sent: Vec<_> = (0..4)
        .flat_map(|_| {
            peer.ack += 1000;
            host.inject(peer.segment(ACK | ECE), &[]);
            host.sent()
        })
        .collect();
    assert_eq!(sent.iter().filter(|sent| sent.segment.flags.contains(CWR)).count(), 1);
}

/// RFC 3168, 6.1.5: what is sent again is not ECT; the reduction for a loss is told by CWR too.
#[test]
fn what_is_sent_again_is_not_marked() {
    let (mut host, peer, _) = flying();
    let mut segment = peer.segment(ACK);
    segment.options.sack.push(SeqRange { start: peer.ack + 1000, end: peer.ack + 6000 });
    host.inject(segment, &[]);
    let mut sent = host.sent();
    assert_eq!((sent[0].segment.seq, sent[0].segment.ecn), (peer.ack, Codepoint::NotEct));
    let mut segment = peer.segment(ACK);
    segment.options.sack.push(SeqRange { start: peer.ack + 1000, end: peer.ack + 10_000 });
    host.inject(segment, &[]);
    sent.extend(host.sent());
    let fresh: Vec<_> = sent[1..].iter().map(|sent| (sent.segment.ecn, sent.segment.flags.contains(CWR))).collect();
    assert_eq!(fresh[0], (Codepoint::Ect0, true));
    assert!(fresh[1..].iter().all(|fresh| *fresh == (Codepoint::Ect0, false)));
}

/// A loss while the window is down for a mark is repaired, without a second reduction in the same
/// round trip.
#[test]
fn a_loss_after_a_mark_is_repaired() {
    let (mut host, mut peer, _) = flying();
    peer.ack += 1000;
    host.inject(peer.segment(ACK | ECE), &[]);
    host.sent();
    let mut segment = peer.segment(ACK | ECE);
    segment.options.sack.push(SeqRange { start: peer.ack + 1000, end: peer.ack + 9000 });
    host.now += millis(1);
    host.inject(segment, &[]);
    let again: Vec<_> = host.sent().iter().map(|sent| sent.segment.seq).filter(|seq| *seq == peer.ack).collect();
    assert_eq!(again.len(), 1);
    assert_eq!(host.tcp.counters().fast_recoveries, 1);
}

/// RFC 3168, 6.1.3: a mark is echoed on every acknowledgment until CWR comes.
#[test]
fn a_mark_is_echoed_until_the_sender_has_heard() {
    let (mut host, mut peer, _) = flying();
    let data = |host: &mut Host, peer: &mut Peer, flags: Flags, ecn: Codepoint| {
        host.inject(Segment { flags: ACK | flags, ecn, ..peer.segment(ACK) }, &pattern(1000));
        peer.seq += 1000;
        host.wait(millis(100)).iter().any(|(_, sent)| sent.segment.flags.contains(ECE))
    };
    let none = Flags::default();
    assert!(!data(&mut host, &mut peer, none, Codepoint::Ect0));
    assert!(data(&mut host, &mut peer, none, Codepoint::Ce));
    assert!(data(&mut host, &mut peer, none, Codepoint::Ect0));
    assert!(data(&mut host, &mut peer, CWR, Codepoint::Ce), "a new mark on what says CWR");
    assert!(!data(&mut host, &mut peer, CWR, Codepoint::Ect0));
    assert_eq!(host.tcp.counters().delivered_ce, 2);
}

/// Without agreement marks say nothing, and nothing is ECT.
#[test]
fn without_agreement_marks_say_nothing() {
    let Served { mut host, id, mut peer, .. } = served_by(config(Ecn::Passive), Options::default());
    host.inject(Segment { ecn: Codepoint::Ce, ..peer.segment(ACK) }, &pattern(1000));
    peer.seq += 1000;
    host.send(id, &pattern(3000)).unwrap();
    let sent = host.sent();
    assert!(sent.iter().all(|sent| sent.segment.ecn == Codepoint::NotEct && !sent.segment.flags.contains(ECE)));
    peer.ack += 1460;
    host.inject(peer.segment(ACK | ECE), &[]);
    assert!(host.sent().iter().all(|sent| !sent.segment.flags.contains(CWR)));
}

/// A SYN cookie carries ECN beside the other options.
#[test]
fn a_cookie_remembers_ecn() {
    let (mut host, listener, mut peer) = serve(TcpConfig { syn_cookies: SynCookies::Always, ..config(Ecn::Passive) });
    let options = Options { mss: Some(1000), timestamps: Some(Timestamps { value: 1, echo: 0 }), ..Options::default() };
    host.inject(Segment { options, flags: SYN | ECE | CWR, ..peer.syn() }, &[]);
    let answer = host.one().segment;
    assert_eq!(answer.flags, SYN | ACK | ECE);
    peer.seq += 1;
    peer.ack = answer.seq + 1;
    peer.timestamps = answer.options.timestamps.map(|option| Timestamps { value: 2, echo: option.value });
    host.inject(peer.segment(ACK), &[]);
    let id = host.tcp.accept(listener).unwrap();
    host.send(id, b"data").unwrap();
    assert_eq!(host.one().segment.ecn, Codepoint::Ect0);
}

/// Without SACK a mark brings the window down as well, and nothing is sent again for it; a loss in that round trip
/// shows by duplicates, as ever.
#[test]
fn a_mark_without_sack_sends_nothing_again() {
    let (mut host, listener, mut peer) = serve(config(Ecn::Passive));
    let options = Options { mss: Some(1000), ..Options::default() };
    host.open(Segment { options, flags: SYN | ECE | CWR, ..peer.syn() }, &mut peer);
    let id = host.tcp.accept(listener).unwrap();
    host.send(id, &pattern(200_000)).unwrap();
    host.sent();
    host.now += millis(50);
    for _ in 0..3 {
        peer.ack += 1000;
        host.inject(peer.segment(ACK | ECE), &[]);
        host.sent();
    }
    assert_eq!(host.tcp.counters().retrans_segs, 0);
    let recovery = |host: &Host| host.tcp.detail(id).unwrap().recovery;
    assert_eq!(recovery(&host), RecoveryState::CongestionReduced);
    for _ in 0..3 {
        host.inject(peer.segment(ACK | ECE), &[]);
    }
    let again = host.sent().iter().filter(|sent| sent.segment.seq == peer.ack).count();
    assert_eq!((again, host.tcp.counters().fast_recoveries), (1, 1));
    assert_eq!(recovery(&host), RecoveryState::Recovery);
}
