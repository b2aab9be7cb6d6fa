//! What a run does: a cluster, a weather, and steps at their times, all from the seed.
//!
//! A step names what it acts on by a random number, which is resolved when its time has come: so any
//! step can be left out and the rest still makes sense. That is what shrinking does.

use std::fmt;
use std::time::Duration;

/// SplitMix64: small, good enough, and the same for ever.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let word = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// Below `bound`, which is not zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// True in so many of a hundred cases.
    pub fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }
}

/// What a network does to datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Weather {
    /// Of a hundred, so many are lost.
    pub loss: u64,
    /// Of a hundred, so many arrive twice.
    pub doubled: u64,
    /// Longest delay, in microseconds; different delays reorder.
    pub delay: u64,
    /// Of a hundred IP packets, so many are cut into fragments, which come in any order.
    pub fragmented: u64,
    /// Of a hundred of those, so many lose their first fragment.
    pub headless: u64,
}

impl Weather {
    pub const CALM: Weather = Weather { loss: 0, doubled: 0, delay: 500, fragmented: 0, headless: 0 };
}

/// One kind of step. The numbers in [`Step`] say which image, connection or amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum What {
    Kill,
    KillAtWork,
    OrderlyStop,
    Start,
    Pause,
    Resume,
    Cut,
    CutOneWay,
    Heal,
    ClockStep,
    Unlisten,
    Listen,
    Profile,
    Reload,
    Deactivate,
    Reactivate,
    Quiesce,
    ResumeTarget,
    Weigh,
    LeaveGroup,
    JoinGroup,
    Bind,
    Unbind,
    TwoBinds,
    SynFlood,
    Stray,
    IcmpError,
    Ping,
    Spoil,
    Late,
    Connect,
    Reconnect,
    ConnectNowhere,
    Outbound,
    Send,
    HalfClose,
    Close,
    Abort,
}

impl What {
    pub const ALL: [What; 38] = [
        What::Kill,
        What::KillAtWork,
        What::OrderlyStop,
        What::Start,
        What::Pause,
        What::Resume,
        What::Cut,
        What::CutOneWay,
        What::Heal,
        What::ClockStep,
        What::Unlisten,
        What::Listen,
        What::Profile,
        What::Reload,
        What::Deactivate,
        What::Reactivate,
        What::Quiesce,
        What::ResumeTarget,
        What::Weigh,
        What::LeaveGroup,
        What::JoinGroup,
        What::Bind,
        What::Unbind,
        What::TwoBinds,
        What::SynFlood,
        What::Stray,
        What::IcmpError,
        What::Ping,
        What::Spoil,
        What::Late,
        What::Connect,
        What::Reconnect,
        What::ConnectNowhere,
        What::Outbound,
        What::Send,
        What::HalfClose,
        What::Close,
        What::Abort,
    ];

    /// How often it comes, among the others.
    fn share(self) -> u64 {
        match self {
            What::Connect => 90,
            What::Send => 60,
            What::Start | What::Resume | What::Heal => 22,
            What::Close | What::Kill | What::Listen => 12,
            What::Pause | What::Cut | What::Unlisten | What::KillAtWork | What::Reconnect | What::Stray => 8,
            What::JoinGroup | What::Reactivate | What::ResumeTarget | What::Outbound | What::HalfClose => 8,
            What::IcmpError | What::OrderlyStop | What::CutOneWay | What::Bind | What::Abort | What::Late => 5,
            What::Profile | What::Deactivate | What::Quiesce | What::ConnectNowhere | What::Unbind | What::Ping => 3,
            What::Weigh => 5,
            What::LeaveGroup | What::Reload | What::SynFlood | What::Spoil | What::ClockStep | What::TwoBinds => 2,
        }
    }

    /// Steps that no run leaves out: the work of the clients.
    fn is_work(self) -> bool {
        matches!(self, What::Connect | What::Send | What::Close | What::Start | What::Resume | What::Heal)
    }
}

/// Something that happens at its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// From the start of the run.
    pub at: Duration,
    pub what: What,
    pub which: u64,
    pub other: u64,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>9.3} s  {:?} {:x} {:x}",
            self.at.as_secs_f64(),
            self.what,
            self.which & 0xffff,
            self.other & 0xffff
        )
    }
}

/// A distribution method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spread {
    RoundRobin,
    BaseWlm,
    ServerWlm,
    WeightedActive,
    HotStandby { switch_back: bool },
}

impl Spread {
    const ALL: [Spread; 6] = [
        Spread::RoundRobin,
        Spread::BaseWlm,
        Spread::ServerWlm,
        Spread::WeightedActive,
        Spread::HotStandby { switch_back: true },
        Spread::HotStandby { switch_back: false },
    ];
}

/// A run, whole.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub seed: u64,
    pub images: usize,
    pub xcf: Weather,
    pub network: Weather,
    /// The host tells when a process dies.
    pub watchful: bool,
    /// An image of an earlier version: it knows no message that came later.
    pub old: Option<usize>,
    /// One more stack, which knows nothing of VIPAs (D7).
    pub foreign: bool,
    /// Messages come again that no session lets through twice.
    pub stale: bool,
    /// Room in the CRT.
    pub crt: usize,
    /// The DVIPAs are MOVEable WHENIDLE.
    pub when_idle: bool,
    /// How connections are spread.
    pub spread: Spread,
    /// Clients keep their targets for a while (TIMEDAFFINITY).
    pub affinity: bool,
    pub steps: Vec<Step>,
}

/// Steps go on for so long; then everything heals.
pub(super) const STORM: Duration = Duration::from_secs(12);

impl Plan {
    /// Whether CRTs are so small that they fill up, and half-open entries give way to each other (R5).
    pub fn is_crowded(&self) -> bool {
        self.crt < 100
    }

    pub fn new(seed: u64, images: usize) -> Plan {
        let mut random = Random::new(seed);
        let rough = random.percent(50);
        let weather = |random: &mut Random, fragments: bool| Weather {
            loss: if rough { random.below(12) } else { 0 },
            doubled: if rough { random.below(12) } else { 0 },
            delay: 100 + random.below(if rough { 25_000 } else { 2_000 }),
            fragmented: if fragments && random.percent(30) { random.below(30) } else { 0 },
            headless: if fragments { random.below(20) } else { 0 },
        };
        let (xcf, network) = (weather(&mut random, false), weather(&mut random, true));
        // Each run leaves some kinds of fault out, so that those that are left meet each other often.
        let kinds: Vec<What> = What::ALL.into_iter().filter(|what| what.is_work() || random.percent(40)).collect();
        let total: u64 = kinds.iter().map(|what| what.share()).sum();
        let count = 60 + random.below(120);
        let mut steps: Vec<Step> = (0..count)
            .map(|_| {
                let mut draw = random.below(total);
                let what = kinds.iter().copied().find(|what| {
                    let share = what.share();
                    let found = draw < share;
                    draw = draw.saturating_sub(share);
                    found
                });
                Step {
                    at: Duration::from_micros(random.below(STORM.as_micros() as u64)),
                    what: what.unwrap_or(What::Connect),
                    which: random.next(),
                    other: random.next(),
                }
            })
            .collect();
        steps.sort_by_key(|step| step.at);
        Plan {
            seed,
            images,
            xcf,
            network,
            watchful: random.percent(60),
            old: random.percent(10).then(|| random.below(images as u64) as usize),
            foreign: random.percent(10),
            stale: random.percent(25),
            crt: if random.percent(10) { 16 } else { 4096 },
            when_idle: random.percent(10),
            spread: Spread::ALL[random.below(Spread::ALL.len() as u64) as usize],
            affinity: random.percent(10),
            steps,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// I25: the same seed gives the same plan; and every kind of step has its share.
    #[test]
    fn plans_repeat() {
        let (a, b) = (Plan::new(7, 5), Plan::new(7, 5));
        assert_eq!((a.steps, a.xcf, a.watchful), (b.steps, b.xcf, b.watchful));
        let mut seen = std::collections::BTreeSet::new();
        (0..200).for_each(|seed| seen.extend(Plan::new(seed, 5).steps.iter().map(|step| step.what)));
        assert_eq!(seen.len(), What::ALL.len());
    }
}
