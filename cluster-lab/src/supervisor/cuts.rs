//! Cutting XCF between images: partitions, made on purpose.

use std::collections::BTreeSet;
use std::net::IpAddr;

use tokio::sync::oneshot;

use super::Supervisor;
use super::requests::ANSWER_WAIT;
use crate::control::{Cut, Question, Reply};
use crate::watch::{Kind, Told};

/// From whom to whom XCF carries nothing, by XCF addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cuts(BTreeSet<(IpAddr, IpAddr)>);

impl Cuts {
    /// What one image is to keep. Both ends know: what is on its way when XCF is cut is lost, too.
    pub fn of(&self, xcf: IpAddr) -> Cut {
        Cut {
            to: self.0.iter().filter(|(from, _)| *from == xcf).map(|(_, to)| *to).collect(),
            from: self.0.iter().filter(|(_, to)| *to == xcf).map(|(from, _)| *from).collect(),
        }
    }

    /// By the images' names.
    pub fn named(&self, supervisor: &Supervisor) -> Vec<(String, String)> {
        let name = |xcf: &IpAddr| supervisor.cluster.image_at(*xcf).map_or(xcf.to_string(), |image| image.name.clone());
        self.0.iter().map(|(from, to)| (name(from), name(to))).collect()
    }
}

/// The directed pairs that a command names, and words for them.
fn pairs(
    supervisor: &Supervisor,
    (a, b): &(String, String),
    one_way: bool,
) -> Result<(Vec<(IpAddr, IpAddr)>, String), String> {
    let (a, b) = (&supervisor.images[supervisor.find(a)?], &supervisor.images[supervisor.find(b)?]);
    if a.xcf == b.xcf {
        return Err(format!("{} needs no XCF to reach itself: name two images", a.name));
    }
    Ok(match one_way {
        true => (vec![(a.xcf, b.xcf)], format!("from {} to {}", a.name, b.name)),
        false => (vec![(a.xcf, b.xcf), (b.xcf, a.xcf)], format!("between {} and {}", a.name, b.name)),
    })
}

/// Cuts XCF; the answer follows when the images have done so.
pub(super) fn cut(
    supervisor: &mut Supervisor,
    between: &(String, String),
    one_way: bool,
    reply: oneshot::Sender<Reply>,
) {
    match pairs(supervisor, between, one_way) {
        Err(error) => drop(reply.send(Reply::Error(error))),
        Ok((pairs, words)) => {
            let mut cuts = supervisor.cuts.clone();
            cuts.0.extend(pairs);
            apply(supervisor, cuts, Told::new(Kind::Cut, format!("XCF is cut {words}")), reply);
        }
    }
}

/// Heals XCF between two images, or everywhere; the answer follows when the images have done so.
pub(super) fn heal(
    supervisor: &mut Supervisor,
    between: Option<&(String, String)>,
    one_way: bool,
    reply: oneshot::Sender<Reply>,
) {
    let mut cuts = Cuts::default();
    let words = match between.map(|between| pairs(supervisor, between, one_way)) {
        Some(Err(error)) => return drop(reply.send(Reply::Error(error))),
        Some(Ok((pairs, words))) => {
            cuts.0.extend(supervisor.cuts.0.iter().filter(|pair| !pairs.contains(pair)));
            words
        }
        None => "everywhere".into(),
    };
    apply(supervisor, cuts, Told::new(Kind::Healed, format!("XCF is healed {words}")), reply);
}

/// Tells every running image whose part has changed, and answers once they obey.
fn apply(supervisor: &mut Supervisor, cuts: Cuts, told: Told, reply: oneshot::Sender<Reply>) {
    let before = std::mem::replace(&mut supervisor.cuts, cuts);
    if before == supervisor.cuts {
        // It is as it was.
        drop(reply.send(Reply::Done));
        return;
    }
    supervisor.tell(None, told);
    let mut answers = Vec::new();
    for index in 0..supervisor.images.len() {
        let xcf = supervisor.images[index].xcf;
        let cut = supervisor.cuts.of(xcf);
        // One that does not run is told when it starts.
        if cut != before.of(xcf)
            && let Ok(answer) = supervisor.ask(index, Question::Cut(cut))
        {
            answers.push((supervisor.images[index].name.clone(), answer));
        }
    }
    tokio::spawn(async move {
        let deadline = tokio::time::Instant::now() + ANSWER_WAIT;
        let mut result = Reply::Done;
        for (name, answer) in answers {
            // One that has ended meanwhile sends nothing any more.
            if tokio::time::timeout_at(deadline, answer).await.is_err() {
                result = Reply::Error(format!(
                    "{name} does not answer; is it stopped by a signal? The others obey at once, {name} when it runs again"
                ));
            }
        }
        drop(reply.send(result));
    });
}
