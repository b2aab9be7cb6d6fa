//! Why a connection went where it went, as `explain` shows it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use vipa::status::DistMethod;
use vipa::{CandidateView, Decided, Explanation, Standby, Story, Why};

/// A connection, with stacks by the names of their images.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExplainedConnection {
    /// The image that has decided about it or routes it.
    pub router: String,
    /// DVIPA and port.
    pub server: SocketAddr,
    /// The client.
    pub client: SocketAddr,
    /// The image that serves it.
    pub target: String,
    /// The router has it in its CRT.
    pub exists: bool,
    /// What decided: `method`, `optlocal`, `timed affinity`, `owner`, or `reported` or `forgotten` where nobody knows.
    pub why: String,
    /// DISTMETHOD at that time, where it is known.
    pub method: Option<String>,
    /// Milliseconds since the decision, where it is known.
    pub ago: Option<u64>,
    /// Between which targets was decided.
    pub candidates: Vec<Candidate>,
    /// The reason in a sentence.
    pub reason: String,
}

/// A candidate target at the moment of the decision.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Candidate {
    /// Its image.
    pub image: String,
    /// Applications that listened.
    pub ready: u16,
    /// It could be reached.
    pub reachable: bool,
    /// The weight that counted.
    pub weight: u8,
    /// Target server responsiveness, in percent.
    pub tsr: u8,
    /// Active connections before this one.
    pub active: u32,
    /// PREFERRED, or BACKUP and its rank.
    pub role: Option<String>,
}

impl ExplainedConnection {
    /// What the image `router` says; `name` knows images by their XCF addresses.
    pub fn new(router: &str, explanation: Explanation, name: &dyn Fn(IpAddr) -> String) -> Self {
        let Explanation { server, client, target, exists, story } = explanation;
        let reason = reason(router, &story, target, name);
        let (why, decided) = match story {
            Story::Decided(decided) => {
                let why = match decided.why {
                    Why::Method | Why::Favoured(_) => "method",
                    Why::OptLocal => "optlocal",
                    Why::Affinity => "timed affinity",
                    Why::Owner => "owner",
                };
                (why, Some(decided))
            }
            Story::Reported => ("reported", None),
            Story::Forgotten(_) => ("forgotten", None),
        };
        let candidates = decided.iter().flat_map(|decided| &decided.candidates);
        ExplainedConnection {
            router: router.to_owned(),
            server,
            client,
            target: name(target),
            exists,
            why: why.to_owned(),
            method: decided.as_ref().and_then(|decided| decided.method).map(|method| method.name().to_owned()),
            ago: decided.as_ref().map(|decided| decided.ago),
            candidates: candidates.map(|candidate| Candidate::new(candidate, name)).collect(),
            reason,
        }
    }
}

impl Candidate {
    fn new(view: &CandidateView, name: &dyn Fn(IpAddr) -> String) -> Self {
        let CandidateView { target, ready, reachable, weight, tsr, active, rank } = *view;
        let role = match rank {
            0 => None,
            Standby::PREFERRED => Some("PREFERRED".to_owned()),
            rank => Some(format!("BACKUP {rank}")),
        };
        Candidate { image: name(target), ready, reachable, weight, tsr, active, role }
    }
}

fn reason(router: &str, story: &Story, target: IpAddr, name: &dyn Fn(IpAddr) -> String) -> String {
    let image = name(target);
    match story {
        Story::Decided(decided) => match decided.why {
            Why::Owner => format!("{image} routes the DVIPA, and the port is its own: it is not distributed"),
            Why::Affinity => format!("the client has had connections with {image}, and its TIMEDAFFINITY is not over"),
            Why::Method => by_method(decided, target, &image),
            Why::OptLocal => {
                format!("OPTLOCAL: the client is on {image}, whose own server copes: the routing stack was not asked")
            }
            Why::Favoured(times) => format!(
                "{}; OPTLOCAL counts its weight {times} times, as the client is there",
                by_method(decided, target, &image)
            ),
        },
        Story::Reported => {
            format!("{image} or the router before has reported it to {router}, which did not decide about it")
        }
        Story::Forgotten(most) => format!(
            "{router} has decided about {most} others since and remembers no more of it, or {image} has reported it"
        ),
    }
}

fn by_method(decided: &Decided, target: IpAddr, image: &str) -> String {
    let Some(chosen) = decided.candidates.iter().find(|candidate| candidate.target == target) else {
        return format!("{image} was chosen");
    };
    if chosen.tsr == 0 {
        return format!(
            "{image} was not responsive: the connection shows whether it is again, or nobody else was left"
        );
    }
    match decided.method {
        Some(DistMethod::RoundRobin) | None => format!("it was {image}'s turn"),
        Some(DistMethod::BaseWlm | DistMethod::ServerWlm) => {
            let same = decided.candidates.iter().all(|one| (one.weight, one.tsr) == (chosen.weight, chosen.tsr));
            match same {
                true => format!("it was {image}'s turn: all have the same weight"),
                false => {
                    format!("it was {image}'s turn, by its share of weight {} x TSR {}%", chosen.weight, chosen.tsr)
                }
            }
        }
        Some(DistMethod::WeightedActive) => {
            format!("{image} had the fewest connections for its weight: {} for {}", chosen.active, chosen.weight)
        }
        Some(DistMethod::HotStandby) if chosen.rank == Standby::PREFERRED => format!("{image} is the preferred target"),
        Some(DistMethod::HotStandby) => format!("{image}, a backup of rank {}, is in use", chosen.rank),
    }
}

impl fmt::Display for ExplainedConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ExplainedConnection { router, server, client, target, exists, method, ago, candidates, reason, .. } = self;
        let socket = crate::netstat::socket;
        let ended = if *exists { "" } else { " (ended)" };
        writeln!(f, "{} -> {} at {target}{ended}", socket(*client), socket(*server))?;
        if let Some(ago) = ago {
            let method = method.as_ref().map_or(String::new(), |method| format!(" by {method}"));
            writeln!(f, "  {router} decided{method}, {}.{:03} s ago", ago / 1000, ago % 1000)?;
        }
        writeln!(f, "  {reason}")?;
        if candidates.is_empty() {
            return Ok(());
        }
        writeln!(f, "  {:<16} {:>3} {:>3} {:>4} {:>8}  Role", "Candidate", "Rdy", "Wgt", "TSR%", "Active")?;
        candidates.iter().try_for_each(|candidate| {
            let Candidate { image, ready, reachable, weight, tsr, active, role } = candidate;
            let role = role.as_deref().unwrap_or_default();
            let chosen = if image == target { " <" } else { "" };
            let lost = if *reachable { "" } else { " out of reach" };
            let line = format!("  {image:<16} {ready:>3} {weight:>3} {tsr:>4} {active:>8}  {role}{lost}{chosen}");
            writeln!(f, "{}", line.trim_end())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(story: Story) -> ExplainedConnection {
        let explanation = Explanation {
            server: ([203, 0, 113, 1], 60).into(),
            client: ([198, 51, 100, 1], 40_000).into(),
            target: [192, 0, 2, 2].into(),
            exists: true,
            story,
        };
        let name = |xcf: IpAddr| format!("MVS{}", xcf.to_string().rsplit('.').next().unwrap_or_default());
        ExplainedConnection::new("MVS1", explanation, &name)
    }

    fn candidate(host: u8, weight: u8, active: u32, rank: u8) -> CandidateView {
        CandidateView { target: [192, 0, 2, host].into(), ready: 1, reachable: true, weight, tsr: 100, active, rank }
    }

    /// Every story has its sentence, and the candidates are shown with what counted.
    #[test]
    fn every_decision_has_its_reason() {
        let decided = |method, why, rank| {
            let candidates = vec![candidate(2, 3, 7, rank), candidate(4, 1, 2, 0)];
            explained(Story::Decided(Decided { ago: 1250, method: Some(method), why, candidates })).to_string()
        };
        for (text, expected) in [
            (decided(DistMethod::RoundRobin, Why::Method, 0), "it was MVS2's turn"),
            (decided(DistMethod::BaseWlm, Why::Method, 0), "by its share of weight 3 x TSR 100%"),
            (decided(DistMethod::WeightedActive, Why::Method, 0), "the fewest connections for its weight: 7 for 3"),
            (decided(DistMethod::HotStandby, Why::Method, 255), "MVS2 is the preferred target"),
            (decided(DistMethod::HotStandby, Why::Method, 9), "a backup of rank 9, is in use"),
            (decided(DistMethod::BaseWlm, Why::Affinity, 0), "TIMEDAFFINITY is not over"),
            (decided(DistMethod::BaseWlm, Why::OptLocal, 0), "the client is on MVS2, whose own server copes"),
            (decided(DistMethod::BaseWlm, Why::Favoured(4), 0), "OPTLOCAL counts its weight 4 times"),
            (explained(Story::Reported).to_string(), "has reported it to MVS1"),
            (explained(Story::Forgotten(1024)).to_string(), "1024 others since"),
        ] {
            assert!(text.contains(expected), "{text}");
        }
        let text = decided(DistMethod::BaseWlm, Why::Method, 0);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "198.51.100.1..40000 -> 203.0.113.1..60 at MVS2");
        assert_eq!(lines[1], "  MVS1 decided by BASEWLM, 1.250 s ago");
        assert_eq!(lines[4], "  MVS2               1   3  100        7   <");
    }
}
