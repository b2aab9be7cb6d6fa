//! Properties of sealed datagrams.

use std::collections::HashSet;

use proptest::prelude::*;
use proptest::sample::Index;

use super::super::refusals::Cause;
use super::super::seal::{HEADER, Opened, Seal, TAG};
use super::{HELLO, IpAddr, ONE, THREE, TWO, key};

const ALL: [IpAddr; 3] = [ONE, TWO, THREE];

fn stack(own: IpAddr, life: u64) -> Seal {
    Seal::new(&key(1), own, life, [9; 4], ALL.into_iter().filter(|xcf| *xcf != own))
}

/// `content`, sealed for each life that it is to be sealed for.
fn seal(from: &mut Seal, to: IpAddr, content: &[u8]) -> Vec<Vec<u8>> {
    let lives = from.receivers(to, content.first() == Some(&0xc7));
    let sealed = lives.into_iter().flatten().map(|life| {
        let mut datagram = [&[0; HEADER], content, &[0; TAG]].concat();
        from.seal(to, life, &mut datagram).unwrap();
        datagram
    });
    sealed.collect()
}

/// Opens a copy: who it is from, and what it says.
fn open(at: &mut Seal, datagram: &[u8]) -> Result<(IpAddr, Vec<u8>), Cause> {
    let mut datagram = datagram.to_vec();
    match at.open(&mut datagram)? {
        Opened::Content { from, len } => Ok((from, datagram[HEADER..HEADER + len].to_vec())),
        Opened::Claim { .. } => panic!("nobody claims"),
    }
}

/// Sends, and has it opened; how many of the copies were taken.
fn pass(from: &mut Seal, at: &mut Seal, to: IpAddr, content: &[u8]) -> usize {
    seal(from, to, content).iter().filter(|datagram| open(at, datagram).is_ok()).count()
}

#[test]
fn two_stacks_meet_and_meet_again_after_a_restart() {
    let (mut one, mut two) = (stack(ONE, 1), stack(TWO, 1));
    assert_eq!(pass(&mut one, &mut two, TWO, b"data"), 0, "nobody knows for which life it would be");
    assert_eq!(pass(&mut one, &mut two, TWO, HELLO), 1);
    assert_eq!(pass(&mut two, &mut one, ONE, HELLO), 2);
    assert_eq!(pass(&mut one, &mut two, TWO, HELLO), 1);
    assert_eq!((pass(&mut one, &mut two, TWO, b"data"), pass(&mut two, &mut one, ONE, b"data")), (1, 1));

    let former = two;
    two = stack(TWO, 2);
    let late = seal(&mut one, TWO, b"data");
    assert_eq!(open(&mut two, &late[0]), Err(Cause::Misaddressed));
    assert_eq!(pass(&mut two, &mut one, ONE, HELLO), 1);
    assert_eq!(pass(&mut one, &mut two, TWO, HELLO), 2);
    assert_eq!(pass(&mut two, &mut one, ONE, b"data"), 1);
    // Only grows: the former life has nothing to say any more.
    let mut former = former;
    assert_eq!(open(&mut one, &seal(&mut former, ONE, b"data")[0]), Err(Cause::Stale));
}

/// A recorded HELLO of a former life, played to a stack that has just started, must not keep it
/// from meeting the living one.
#[test]
fn a_recording_keeps_nobody_apart() {
    let recorded = seal(&mut stack(TWO, 1), ONE, HELLO);
    let (mut one, mut two) = (stack(ONE, 1), stack(TWO, 2));
    pass(&mut two, &mut one, ONE, HELLO);
    pass(&mut one, &mut two, TWO, HELLO);
    pass(&mut two, &mut one, ONE, HELLO);
    let mut one = stack(ONE, 2);
    assert!(open(&mut one, &recorded[0]).is_ok());
    // Two believes in the former life of one, one in the former life of two.
    assert_eq!(pass(&mut two, &mut one, ONE, HELLO), 0);
    assert_eq!(pass(&mut one, &mut two, TWO, HELLO), 1);
    assert_eq!(pass(&mut two, &mut one, ONE, HELLO), 2);
    assert_eq!(pass(&mut one, &mut two, TWO, b"data"), 1);
}

/// Nobody talks to itself: another process with this stack's address may only claim it.
#[test]
fn a_stack_hears_nothing_from_its_own_address() {
    let mut datagram = [&[0; HEADER], HELLO, &[0; TAG]].concat();
    stack(ONE, 2).seal(ONE, 0, &mut datagram).unwrap();
    assert_eq!(stack(ONE, 1).open(&mut datagram), Err(Cause::Forged));
    let mut claim = [0; HEADER + TAG];
    stack(ONE, 2).seal_claim(&mut claim).unwrap();
    assert_eq!(stack(ONE, 1).open(&mut claim), Ok(Opened::Claim { life: 2 }));
}

/// What has no life to be for may be of any age: only control datagrams may be so.
#[test]
fn data_for_no_life_is_refused() {
    let (mut one, mut two) = (stack(ONE, 1), stack(TWO, 1));
    let mut datagram = [&[0; HEADER][..], b"data", &[0; TAG]].concat();
    one.seal(TWO, 0, &mut datagram).unwrap();
    assert_eq!(two.open(&mut datagram), Err(Cause::Unaddressed));
}

#[derive(Clone, Debug)]
enum Step {
    Send { from: usize, to: usize, control: bool, content: Vec<u8> },
    Deliver { which: Index, to: usize, change: Change },
    Restart { who: usize },
}

#[derive(Clone, Debug)]
enum Change {
    None,
    Flip(Index, u8),
    Truncate(Index),
    Extend(Vec<u8>),
    /// The head of one, the rest of another.
    Graft(Index, Index),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let content = prop::collection::vec(any::<u8>(), 0..40);
    let send = (0..3usize, 0..3usize, any::<bool>(), content.clone())
        .prop_map(|(from, to, control, content)| Step::Send { from, to, control, content });
    let change = prop_oneof![
        6 => Just(Change::None),
        2 => (any::<Index>(), 1..=255u8).prop_map(|(at, bits)| Change::Flip(at, bits)),
        1 => any::<Index>().prop_map(Change::Truncate),
        1 => prop::collection::vec(any::<u8>(), 1..20).prop_map(Change::Extend),
        1 => any::<(Index, Index)>().prop_map(|(other, at)| Change::Graft(other, at)),
    ];
    let deliver =
        (any::<Index>(), 0..3usize, change).prop_map(|(which, to, change)| Step::Deliver { which, to, change });
    let restart = (0..3usize).prop_map(|who| Step::Restart { who });
    prop::collection::vec(prop_oneof![8 => send, 16 => deliver, 1 => restart], 1..120)
}

/// A datagram that somebody sealed.
struct Sent {
    from: IpAddr,
    /// The life that sealed it.
    life: u64,
    to: IpAddr,
    /// The life that it is for, or 0.
    to_life: u64,
    content: Vec<u8>,
    sealed: Vec<u8>,
}

proptest! {
    /// Three stacks that have the key, and somebody between them who has not, but can keep, change,
    /// repeat, turn back and misdirect everything. What is taken in is what was sent, by whom it
    /// says, for that stack and that life of it, never from a life before the latest, and once.
    #[test]
    fn only_what_was_sent_is_taken_in_and_only_once(steps in steps()) {
        let mut lives = [1, 1, 1];
        let mut stacks = [stack(ONE, 1), stack(TWO, 1), stack(THREE, 1)];
        let (mut sent, mut taken): (Vec<Sent>, HashSet<(usize, usize, u64)>) = Default::default();
        let mut latest = std::collections::HashMap::<(usize, u64, IpAddr), u64>::new();
        for step in steps {
            match step {
                Step::Restart { who } => {
                    lives[who] += 1;
                    stacks[who] = stack(ALL[who], lives[who]);
                }
                Step::Send { from, to, .. } if from == to => {}
                Step::Send { from, to, control, mut content } => {
                    content.insert(0, if control { 0xc7 } else { 0xd7 });
                    let for_lives = stacks[from].receivers(ALL[to], control).into_iter().flatten();
                    for (to_life, sealed) in for_lives.zip(seal(&mut stacks[from], ALL[to], &content)) {
                        let (from, life, to, content) = (ALL[from], lives[from], ALL[to], content.clone());
                        sent.push(Sent { from, life, to, to_life, content, sealed });
                    }
                }
                Step::Deliver { .. } if sent.is_empty() => {}
                Step::Deliver { which, to, change } => {
                    let mut datagram = which.get(&sent).sealed.clone();
                    match change {
                        Change::None => {}
                        Change::Flip(at, bits) => {
                            let at = at.index(datagram.len());
                            datagram[at] ^= bits;
                        }
                        Change::Truncate(at) => datagram.truncate(at.index(datagram.len())),
                        Change::Extend(more) => datagram.extend(more),
                        Change::Graft(other, at) => {
                            let other = &other.get(&sent).sealed;
                            let at = at.index(datagram.len().min(other.len()));
                            datagram.splice(at.., other[at..].iter().copied());
                        }
                    }
                    let Ok((from, content)) = open(&mut stacks[to], &datagram) else { continue };
                    let number = sent.iter().position(|sent| sent.sealed == datagram);
                    prop_assert!(number.is_some(), "nobody sent this");
                    let number = number.unwrap();
                    let sent = &sent[number];
                    prop_assert_eq!((sent.from, sent.to, &sent.content), (from, ALL[to], &content));
                    prop_assert!(sent.to_life == lives[to] || sent.to_life == 0 && content[0] == 0xc7);
                    prop_assert!(taken.insert((number, to, lives[to])), "taken in twice");
                    let latest = latest.entry((to, lives[to], from)).or_default();
                    prop_assert!(sent.life >= *latest, "of a life before the latest");
                    *latest = sent.life;
                }
            }
        }
    }

    /// Whatever the order: what comes within the window is taken in, each once.
    #[test]
    fn any_order_within_the_window_is_taken_in(order in Just((0..300usize).collect::<Vec<_>>()).prop_shuffle()) {
        let (mut one, mut two) = (stack(ONE, 1), stack(TWO, 1));
        pass(&mut one, &mut two, TWO, HELLO);
        pass(&mut two, &mut one, ONE, HELLO);
        let sealed: Vec<Vec<u8>> = (0..300u16).flat_map(|n| seal(&mut one, TWO, &n.to_be_bytes())).collect();
        prop_assert_eq!(sealed.len(), 300);
        for number in &order {
            prop_assert_eq!(open(&mut two, &sealed[*number]), Ok((ONE, (*number as u16).to_be_bytes().to_vec())));
        }
        for number in &order {
            prop_assert_eq!(open(&mut two, &sealed[*number]), Err(Cause::Replayed));
        }
    }

    #[test]
    fn any_bytes_are_refused(mut bytes: Vec<u8>) {
        prop_assert!(stack(ONE, 1).open(&mut bytes).is_err());
        // With a header that could be one, too.
        let mut datagram = seal(&mut stack(TWO, 1), ONE, HELLO).remove(0);
        datagram.truncate(HEADER);
        datagram.extend(&bytes);
        prop_assert!(stack(ONE, 1).open(&mut datagram).is_err());
    }
}
