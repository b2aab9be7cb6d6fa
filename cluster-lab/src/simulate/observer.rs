//! What must always hold (invariants.md), seen from outside: the observer knows what endpoints hold,
//! what crossed the networks and what stacks said, and shares no code with what it checks.
//!
//! | id | how it is checked |
//! |---|---|
//! | R2 | tables of an owner are complete when it says so, and live on for a while when it steps down |
//! | R14 | no stack goes back to an earlier life of another |
//! | I1 | every claim that is told has its own epoch |
//! | I2, I3 | no life's epoch of a DVIPA falls; a claim is higher than all its stack has seen |
//! | I4, I5 | after the calm: one owner, and the one that rank, state and moves make it |
//! | I6 | a RST or a refusal for a connection that another living stack holds; and no client's connection fails while its server lives |
//! | I7 | after storm and calm: no connection is established at two stacks |
//! | I8 | a segment that is no SYN goes only to stacks that hold the connection or got its SYN |
//! | I9, I13 | after the calm: the owner's CRT is what the endpoints hold |
//! | I10 | when tables are complete: no entry that no endpoint or SYN accounts for |
//! | I11, I12 | stale messages put in front of the core change no CRT; and by I6 and I9 |
//! | I14 | a SYN is not forwarded to a target that has not been ready for two seconds |
//! | I15 | a SYN sent again does not go elsewhere while its first target holds the connection |
//! | I16, I20 | every byte of every stream; every forwarded packet is one that arrived |
//! | I17 | a moved DVIPA's new connections open at its owner only; who has nothing left forgets it |
//! | I18 | no packet is forwarded more than twice for each time that it arrived |
//! | I19 | ICMP errors and later fragments are taken in by the stack of their connection |
//! | I21 | DPT counts equal a recount of the CRT |
//! | I22 | in a SYN flood: the CRT keeps its bound and every established entry |
//! | I23 | the same profile again makes the core say nothing |
//! | I24 | from a claim to complete tables it takes no longer than the waits allow, and no life claims over and over |
//! | I25 | the hash of all that happened, compared by running a seed twice |

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

use stack::Instant;
use vipa::{Epoch, Event};

use super::image::{Flow, Seen, Sight};
use super::world::{AUDIT, FORGET};

/// How long the news that a target is not ready may take, whatever the weather.
const NEWS: Duration = Duration::from_secs(3);

/// How long tables that have drifted may stay so: two looks of the audit, and the news.
const AUDITED: Duration = Duration::from_secs(2 * AUDIT.as_secs() + NEWS.as_secs());

/// Who has been silent for so long may be given up: what it held counts as lost then. Clocks may step by
/// some seconds.
const GIVEN_UP: Duration = Duration::from_secs(FORGET.as_secs() - 3);

/// Claims of one life that follow each other within this time are a quarrel if they are many.
const QUICK: Duration = Duration::from_millis(100);

/// A new owner waits so long for reports, if it must.
const REBUILD_WAIT: Duration = Duration::from_secs(1);
/// A former owner keeps its tables at least so long.
const GRACE: Duration = Duration::from_secs(1);

/// What was seen that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Violation {
    pub id: &'static str,
    pub what: String,
}

/// A life of an image.
pub(super) type Life = (usize, u64);

#[derive(Clone, Copy, Debug)]
struct Holding {
    life: Life,
    instance: u32,
    since: Instant,
}

#[derive(Default)]
pub(super) struct Observer {
    pub violation: Option<Violation>,
    held: HashMap<Flow, Vec<Holding>>,
    /// Lives that each living image has met, and since when.
    met: BTreeMap<usize, BTreeMap<(IpAddr, u64), Instant>>,
    claims: BTreeMap<(IpAddr, Epoch), Life>,
    epochs: BTreeMap<(usize, IpAddr), Epoch>,
    arrivals: HashMap<u64, u32>,
    forwards: HashMap<u64, u32>,
    /// Images that got a connection's SYN, or held it.
    likely: HashMap<Flow, BTreeSet<usize>>,
    /// Where a SYN was sent.
    chosen: HashMap<(Flow, u32), usize>,
    claimed: BTreeMap<(usize, IpAddr), Instant>,
    /// When an image first told of its present claim.
    first_claimed: BTreeMap<(usize, IpAddr), (Epoch, Instant)>,
    /// Of a life's claims on a DVIPA those that came in quick succession: since when, and how many.
    successive: BTreeMap<(Life, IpAddr), (Instant, u32)>,
    stepped_down: BTreeMap<(usize, IpAddr), Instant>,
    /// When an image last lost contact with another.
    lost: BTreeMap<usize, Instant>,
    /// When an image last heard a silent one again.
    back: BTreeMap<usize, Instant>,
    /// See [`routes`](Observer::routes): target and instance.
    routed: HashMap<(usize, Flow), (usize, u32)>,
    /// Since when something is not ready to serve; absent: it is ready, or never was.
    unready: BTreeMap<(usize, Option<std::net::SocketAddr>), Instant>,
    /// Connections of fragmented packets, by identification.
    pub fragmented: HashMap<u16, Flow>,
    /// By each image: the stacks that are silent, by name, and since when.
    out_of_reach: BTreeMap<(usize, String), Instant>,
    /// By each image: those that were so for too long.
    given_up: BTreeSet<(usize, String)>,
    /// What the last faults have upset is right again by then.
    upset_until: Option<Instant>,
    /// See [`new`](Observer::new).
    crowded: bool,
    /// Whether SYNs have pushed each other out of CRTs (R5).
    pub flooded: bool,
    /// Connections that were refused by a stack which has never been in contact with their holder.
    pub unknown: HashSet<Flow>,
    /// The SYN that an image refuses rightly, as its TCP does next.
    refused: Option<(usize, Flow)>,
    /// The last time that images could hear each other again.
    pub healed: Option<Instant>,
    pub hash: u64,
}

impl Observer {
    /// `crowded`: half-open entries give way to each other in CRTs as small as these (R5).
    pub fn new(crowded: bool) -> Observer {
        Observer { crowded, ..Observer::default() }
    }

    pub fn violated(&mut self, id: &'static str, what: impl Into<String>) {
        if self.violation.is_none() {
            self.violation = Some(Violation { id, what: what.into() });
        }
    }

    /// Something that happened, for the hash of the run (I25).
    pub fn note(&mut self, now: Instant, image: usize, what: u64) {
        for word in [now.as_nanos(), image as u64, what] {
            self.hash = (self.hash ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
        }
    }

    pub fn started(&mut self, image: usize) {
        self.met.insert(image, BTreeMap::new());
        self.stepped_down.retain(|(of, _), _| *of != image);
        self.routed.retain(|(of, _), _| *of != image);
        self.epochs.retain(|(of, _), _| *of != image);
        self.ready(image, None);
    }

    pub fn ended(&mut self, image: usize, now: Instant) {
        for holdings in self.held.values_mut() {
            holdings.retain(|holding| holding.life.0 != image);
        }
        self.claimed.retain(|(of, _), _| *of != image);
        self.met.remove(&image);
        self.out_of_reach.retain(|(of, _), _| *of != image);
        self.given_up.retain(|(of, _)| *of != image);
        self.not_ready(image, None, now);
    }

    /// R14: the lives that an image meets of another are later ones each time.
    pub fn met(&mut self, image: usize, xcf: IpAddr, incarnation: u64, now: Instant) {
        let met = self.met.entry(image).or_default();
        let later = met.keys().any(|known| known.0 == xcf && known.1 > incarnation);
        met.entry((xcf, incarnation)).or_insert(now);
        if later {
            self.violated("R14", format!("image {image} takes life {incarnation} of {xcf} for the present one"));
        }
    }

    /// Whether the image has been in contact with the life, and has not had to give it up.
    fn has_met(&self, image: usize, life: Life, xcf: impl Fn(usize) -> IpAddr) -> bool {
        let met = self.met.get(&image).is_some_and(|met| met.contains_key(&(xcf(life.0), life.1)));
        met && !self.has_given_up(image, life.0)
    }

    fn has_given_up(&self, image: usize, other: usize) -> bool {
        self.given_up.contains(&(image, super::layout::name(other)))
    }

    /// Connections on a DVIPA that one stack alone holds, of which the claimer of the DVIPA has to know
    /// once its tables are complete: it had met that stack, and the stack held them, before it claimed.
    /// Those whose SYN went to two stacks are left out: which of them has it may be in question.
    pub fn to_be_reported(&self, owner: usize, dvipa: IpAddr, xcf: impl Fn(usize) -> IpAddr) -> Vec<(Flow, usize)> {
        let (Some(claimed), Some(met)) =
            (self.first_claimed.get(&(owner, dvipa)).map(|(_, at)| at), self.met.get(&owner))
        else {
            return Vec::new();
        };
        // Who was silent then may have been asked for nothing.
        if self.back.get(&owner).is_some_and(|back| back >= claimed) {
            return Vec::new();
        }
        let on_it = self.held.iter().filter(|(flow, _)| flow.0.ip() == dvipa);
        let mut due: Vec<(Flow, usize)> = on_it
            .filter_map(|(flow, holdings)| match holdings[..] {
                [Holding { life, since, .. }] if since < *claimed && self.went_to_one(flow) => {
                    let known = met.get(&(xcf(life.0), life.1)).is_some_and(|met| met < claimed);
                    (known && !self.unready.contains_key(&(life.0, None))).then_some((*flow, life.0))
                }
                _ => None,
            })
            .collect();
        due.sort_unstable();
        due
    }

    pub fn not_ready(&mut self, image: usize, server: Option<std::net::SocketAddr>, now: Instant) {
        self.unready.entry((image, server)).or_insert(now);
    }

    pub fn ready(&mut self, image: usize, server: Option<std::net::SocketAddr>) {
        self.unready.remove(&(image, server));
    }

    /// The stack that holds a connection, other than `but`.
    pub fn holder(&self, flow: &Flow, but: Option<usize>) -> Option<(Life, u32)> {
        let holdings = self.held.get(flow)?.iter();
        let mut others = holdings.filter(|holding| Some(holding.life.0) != but);
        others.next().map(|holding| (holding.life, holding.instance))
    }

    pub fn held_by(&self, flow: &Flow, image: usize) -> bool {
        self.held.get(flow).is_some_and(|holdings| holdings.iter().any(|holding| holding.life.0 == image))
    }

    /// Whether the image got the connection's SYN, or held it.
    fn is_likely(&self, flow: &Flow, image: usize) -> bool {
        self.likely.get(flow).is_some_and(|likely| likely.contains(&image))
    }

    fn went_to_one(&self, flow: &Flow) -> bool {
        self.likely.get(flow).is_some_and(|likely| likely.len() == 1)
    }

    /// All connections on DVIPAs that are held, and by whom.
    pub fn all_held(&self) -> impl Iterator<Item = (Flow, usize)> {
        self.held.iter().flat_map(|(flow, holdings)| holdings.iter().map(|holding| (*flow, holding.life.0)))
    }

    pub fn arrived(&mut self, digest: u64) {
        *self.arrivals.entry(digest).or_default() += 1;
    }

    /// `xcf` gives the address of an image, `index` the image of an address.
    pub fn saw(
        &mut self,
        life: Life,
        sight: Sight,
        now: Instant,
        xcf: impl Fn(usize) -> IpAddr,
        index: impl Fn(IpAddr) -> Option<usize>,
    ) {
        let image = life.0;
        match sight {
            Sight::Forwarded { digest, to, to_target, segment } => {
                self.forwarded(digest);
                if let (true, Some(to), Some(segment)) = (to_target, index(to), segment) {
                    self.sent_to_target(life.0, to, &segment, now);
                }
                if let (false, Some(segment)) = (to_target, segment.filter(|segment| !segment.opens)) {
                    self.sent_to_router(image, &segment.flow, now);
                }
            }
            Sight::Local { segment, error_about, later_fragment } => {
                if let Some(segment) = segment.filter(|segment| segment.opens) {
                    self.likely.entry(segment.flow).or_default().insert(image);
                }
                let fragment_of = later_fragment.and_then(|id| self.fragmented.get(&id).copied());
                let settled = self.is_settled(now);
                for (flow, error) in [(fragment_of, false), (error_about, true)] {
                    let Some(flow) = flow else { continue };
                    // A SYN that was sent again went here while its first target was out of reach.
                    if !settled && (error || self.is_likely(&flow, image)) {
                        continue;
                    }
                    // A full CRT takes in no more; segments find their way by ASK, errors do not.
                    if error && self.crowded {
                        continue;
                    }
                    if !self.held_by(&flow, image)
                        && !self.unready.contains_key(&(image, None))
                        && let Some((holder, _)) = self.holder(&flow, Some(image))
                        && self.has_met(image, holder, &xcf)
                        // What does not run takes nothing in.
                        && !self.unready.contains_key(&(holder.0, None))
                        // Nor does one that is out of reach.
                        && !self.out_of_reach.contains_key(&(image, super::layout::name(holder.0)))
                    {
                        self.violated("I19", format!("of {flow:?} at image {image}, held by {}", holder.0));
                    }
                }
            }
            Sight::Reset { segment } => {
                let Some(segment) = segment else { return };
                self.judge_refusal(image, &segment, None, xcf);
            }
            Sight::SentReset { flow } => {
                let segment = Seen { flow, sequence: 0, opens: false, resets: false, answers: false };
                // One that got the same SYN and has given up speaks of sequence numbers that mean nothing
                // to the client; should it believe them, its session says so.
                let had = self.is_likely(&flow, image);
                if !had && self.refused.take() != Some((image, flow)) {
                    self.judge_refusal(image, &segment, Some(image), xcf);
                }
            }
            Sight::Opened { flow, instance, passive: _ } => {
                self.likely.entry(flow).or_default().insert(image);
                let holdings = self.held.entry(flow).or_default();
                holdings.retain(|holding| holding.life.0 != image);
                holdings.push(Holding { life, instance, since: now });
            }
            Sight::Ended { flow, instance } => {
                if let Some(holdings) = self.held.get_mut(&flow) {
                    holdings.retain(|holding| holding.life.0 != image || holding.instance != instance);
                }
            }
            Sight::Broken { dvipa } => {
                for (_, holdings) in self.held.iter_mut().filter(|(flow, _)| flow.0.ip() == dvipa) {
                    holdings.retain(|holding| holding.life.0 != image);
                }
            }
            Sight::Home { .. } | Sight::Answered { .. } => {}
        }
    }

    /// I6: by a stack that has ever been in contact with the life that holds it.
    fn judge_refusal(&mut self, image: usize, segment: &Seen, but: Option<usize>, xcf: impl Fn(usize) -> IpAddr) {
        let Some((holder, instance)) = self.holder(&segment.flow, but) else { return };
        // A new connection between the same ends is another matter.
        if segment.opens && segment.sequence != instance {
            return;
        }
        // Its half-open entry has given way, and no other target is there for it.
        if segment.opens && (self.crowded || self.flooded) {
            self.refused = Some((image, segment.flow));
            return;
        }
        let flow = segment.flow;
        if !self.has_met(image, holder, xcf) && holder.0 != image {
            self.unknown.insert(flow);
        } else {
            self.violated("I6", format!("{flow:?}, held by image {}, is reset by image {image}", holder.0));
        }
    }

    fn forwarded(&mut self, digest: u64) {
        let arrivals = self.arrivals.get(&digest).copied().unwrap_or(0);
        let forwards = self.forwards.entry(digest).or_default();
        *forwards += 1;
        let forwards = *forwards;
        if arrivals == 0 {
            self.violated("I20", "a packet was forwarded that never arrived");
        } else if forwards > 2 * arrivals {
            self.violated("I18", format!("a packet that arrived {arrivals} times was forwarded {forwards} times"));
        }
    }

    /// What an owner's CRT says of established connections at a moment.
    pub fn routes(&mut self, image: usize, rows: impl Iterator<Item = (Flow, usize, u32)>) {
        self.routed.retain(|(of, _), _| *of != image);
        self.routed.extend(rows.map(|(flow, target, instance)| ((image, flow), (target, instance))));
    }

    /// A fault has upset the tables.
    pub fn upset(&mut self, now: Instant) {
        self.upset_until = self.upset_until.max(Some(now + NEWS));
    }

    /// The image's CRT is not what it was.
    pub fn spoilt(&mut self, image: usize, now: Instant) {
        self.routed.retain(|(of, _), _| *of != image);
        self.upset_until = self.upset_until.max(Some(now + AUDITED));
    }

    fn is_settled(&self, now: Instant) -> bool {
        self.upset_until.is_none_or(|until| now > until)
    }

    /// R2: for a while a former owner sends what still reaches it to its target itself.
    fn sent_to_router(&mut self, image: usize, flow: &Flow, now: Instant) {
        let Some(since) = self.stepped_down.get(&(image, flow.0.ip())).copied() else { return };
        let Some((target, instance)) = self.routed.get(&(image, *flow)).copied() else { return };
        let same = |holding: &Holding| (holding.life.0, holding.instance) == (target, instance);
        if self.went_to_one(flow)
            && now.since(since) < GRACE
            && !self.has_given_up(image, target)
            && self.held.get(flow).is_some_and(|held| held.iter().any(same))
        {
            self.violated("R2", format!("image {image} has forgotten {flow:?} too soon"));
        }
    }

    /// R2, I24: who lost nobody waits for a report as long as it may.
    pub fn goes_on_without(&mut self, image: usize, dvipa: IpAddr, now: Instant) {
        let Some(claimed) = self.claimed.get(&(image, dvipa)).copied() else { return };
        let lost = self.lost.get(&image).is_some_and(|lost| *lost >= claimed);
        if !lost && now.since(claimed) < REBUILD_WAIT {
            self.violated("R2", format!("image {image} routes for {dvipa} before all have reported"));
        }
    }

    fn sent_to_target(&mut self, router: usize, target: usize, segment: &Seen, now: Instant) {
        let Seen { flow, sequence, opens, resets, answers: _ } = *segment;
        if !opens {
            if !self.is_likely(&flow, target) && !resets && !self.held_by(&flow, target) {
                self.violated("I8", format!("a segment of {flow:?} goes to image {target}, which never had its SYN"));
            }
            return;
        }
        let unready = [None, Some(flow.0)].iter().filter_map(|server| self.unready.get(&(target, *server))).min();
        let before = self.chosen.insert((flow, sequence), target);
        // Between ends of a connection that the target may still hold, it decides (R3).
        if before.is_none()
            && !self.is_likely(&flow, target)
            && let Some(since) = unready.filter(|since| now.since((**since).max(self.healed.unwrap_or(**since))) > NEWS)
        {
            let what = format!("a SYN for {} goes to image {target}, not ready since {since:?}", flow.0);
            self.violated("I14", what);
        }
        if let Some(before) = before.filter(|before| *before != target)
            && self
                .holder(&flow, Some(target))
                .is_some_and(|(holder, instance)| holder.0 == before && instance == sequence)
            && self.is_settled(now)
            && !self.crowded
            // Nor can one that is out of reach report it.
            && !self.out_of_reach.contains_key(&(router, super::layout::name(before)))
        {
            self.violated("I15", format!("the SYN of {flow:?} went to image {before}, and then to {target}"));
        }
        self.likely.entry(flow).or_default().insert(target);
    }

    /// I1, I24 and the claims that make epochs.
    pub fn told(&mut self, life: Life, event: &Event, now: Instant, patience: Duration) {
        match event {
            Event::Claimed { dvipa, epoch, .. }
            | Event::TakingBack { dvipa, epoch, .. }
            | Event::Relisted { dvipa, epoch } => {
                let owner = *self.claims.entry((*dvipa, *epoch)).or_insert(life);
                if owner != life {
                    self.violated("I1", format!("{dvipa} is claimed with epoch {epoch} by {owner:?} and {life:?}"));
                }
                self.claimed.insert((life.0, *dvipa), now);
                let first = self.first_claimed.entry((life.0, *dvipa)).or_insert((*epoch, now));
                if first.0 != *epoch {
                    *first = (*epoch, now);
                }
                let successive = self.successive.entry((life, *dvipa)).or_insert((now, 0));
                if now.since(successive.0) > QUICK {
                    *successive = (now, 0);
                }
                successive.1 += 1;
                // One takeover, one takeback, one more list: what else happens so quickly?
                if successive.1 > 4 {
                    self.violated("I24", format!("{dvipa} is claimed over and over by {life:?}"));
                }
            }
            Event::Active { dvipa, .. } => {
                if let Some(at) = self.claimed.remove(&(life.0, *dvipa))
                    && now.since(at) > patience
                {
                    self.violated("I24", format!("{dvipa} took image {} {:?}", life.0, now.since(at)));
                }
            }
            Event::Gone { stack, .. } => {
                self.lost.insert(life.0, now);
                let who = (life.0, stack.clone());
                if self.out_of_reach.get(&who).is_some_and(|since| now.since(*since) >= GIVEN_UP) {
                    self.given_up.insert(who);
                }
            }
            Event::Silent { stack } => {
                self.lost.insert(life.0, now);
                self.out_of_reach.insert((life.0, stack.clone()), now);
            }
            Event::Back { stack } => {
                self.back.insert(life.0, now);
                self.out_of_reach.remove(&(life.0, stack.clone()));
            }
            Event::Joined { stack } => {
                let who = (life.0, stack.clone());
                self.out_of_reach.remove(&who);
                self.given_up.remove(&who);
            }
            Event::SteppedDown { dvipa, .. } => {
                self.stepped_down.insert((life.0, *dvipa), now);
            }
            _ => {}
        }
    }

    /// An image was not run for a while: that is not the protocol's time.
    pub fn paused(&mut self, image: usize) {
        self.claimed.retain(|(of, _), _| *of != image);
    }

    /// I2, I3.
    pub fn owns(&mut self, image: usize, dvipa: IpAddr, epoch: Epoch) {
        let known = self.epochs.entry((image, dvipa)).or_insert(epoch);
        if epoch < *known {
            let what = format!("image {image} knew epoch {known} of {dvipa}, and goes by {epoch}");
            self.violated("I3", what);
        } else {
            *known = epoch;
        }
    }

    /// Whether a connection is accounted for by an endpoint or a SYN (I10).
    pub fn accounts_for(&self, flow: &Flow, image: usize) -> bool {
        self.held_by(flow, image) || self.is_likely(flow, image)
    }
}
