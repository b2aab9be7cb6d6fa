//! Who watches the lab is told what happens, at once, and how the images are, a few times a second.
//!
//! While nobody watches, nobody is asked: the lab's own work costs what it costs without this.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::UnixStream;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{Input, Supervisor, status};
use crate::control::{self, Answer, DvipaStatus, ImageStatus, Question};
use crate::profile::Cluster;
use crate::state;
use crate::watch::{Beginning, Event, ImageLayout, ImageSample, Sample, Told, Update, monotonic};

/// Between two looks at the images.
const LOOK: Duration = Duration::from_millis(250);
/// From something that happened to the next look: the images may just be settling what it brings about.
const SOON: Duration = Duration::from_millis(10);
/// It comes no later than this, though more and more happens.
const LATEST: Duration = Duration::from_millis(50);
/// An image that takes longer is left out of a look.
const WAIT: Duration = Duration::from_millis(100);
/// Updates that wait for a watcher which reads slowly; one that is later still begins afresh.
const WAITING: usize = 1024;

/// What a watcher begins with, and what follows.
pub(super) type Watch = (Beginning, broadcast::Receiver<Arc<Update>>);

#[derive(Debug)]
pub(super) struct Watching {
    /// When the lab began, by the monotonic clock and by the calendar, in microseconds.
    began: (u64, u64),
    updates: broadcast::Sender<Arc<Update>>,
    /// The next look: a later plan makes an earlier one void.
    planned: u64,
    due: Option<Instant>,
    /// Whether images are being asked just now.
    looking: bool,
    /// When the first thing happened that no look has begun after.
    changed: Option<Instant>,
}

impl Watching {
    pub fn new() -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let began = (monotonic(), u64::try_from(since.as_micros()).unwrap_or(u64::MAX));
        Watching { began, updates: broadcast::channel(WAITING).0, planned: 0, due: None, looking: false, changed: None }
    }

    /// When the lab began, in microseconds since 1970.
    pub fn began(&self) -> u64 {
        self.began.1
    }

    /// A moment of the monotonic clock, in microseconds since the lab began.
    pub fn since_beginning(&self, monotonic: u64) -> u64 {
        monotonic.saturating_sub(self.began.0)
    }

    /// Now, in microseconds since the lab began.
    pub fn now(&self) -> u64 {
        self.since_beginning(monotonic())
    }

    fn is_watched(&self) -> bool {
        self.updates.receiver_count() > 0
    }

    fn tell(&self, update: impl FnOnce() -> Update) {
        if self.is_watched() {
            // The last one may go this very moment.
            drop(self.updates.send(Arc::new(update())));
        }
    }

    /// Plans the next look.
    fn plan(&mut self, at: Instant, inputs: &mpsc::UnboundedSender<Input>) {
        if self.due.replace(at) == Some(at) {
            return;
        }
        self.planned += 1;
        let (plan, inputs) = (self.planned, inputs.clone());
        tokio::spawn(async move {
            sleep_until(at).await;
            drop(inputs.send(Input::Look(plan)));
        });
    }
}

impl Supervisor {
    /// Everything that happens comes by here.
    pub(super) fn happened(&mut self, at: u64, image: Option<&str>, told: Told) {
        let event = Event { number: self.next_event, at, image: image.map(str::to_owned), told };
        self.next_event += 1;
        if self.log.len() == super::LOG_LINES {
            self.log.pop_front();
        }
        self.log.push_back(event.clone());
        self.watching.tell(|| Update::Event(event.clone()));
        // Nobody may be listening.
        drop(self.events.send(event));
        self.look_soon();
    }

    /// Something has changed: watchers are to see it soon.
    pub(super) fn look_soon(&mut self) {
        if !self.watching.is_watched() {
            return;
        }
        let now = Instant::now();
        let first = *self.watching.changed.get_or_insert(now);
        if !self.watching.looking {
            self.watching.plan(soon(first, now), &self.inputs);
        }
    }

    /// Somebody watches from now on.
    pub(super) fn watch(&mut self, reply: oneshot::Sender<Watch>) {
        let receiver = self.watching.updates.subscribe();
        let network = self.cluster.network;
        let layout = |(image, slot): (&crate::profile::Image, &super::Image)| ImageLayout {
            name: image.name.clone(),
            xcf: image.xcf,
            link: image.link,
            apps: image.apps.iter().map(|app| app.name.clone()).collect(),
            state: slot.state,
        };
        let beginning = Beginning {
            lab: self.options.name.clone(),
            began: self.watching.began.1,
            at: self.watching.now(),
            client: network.client,
            subnet: (network.subnet, network.prefix),
            images: self.cluster.images.iter().zip(&self.images).map(layout).collect(),
            names: self.cluster.names.clone().into_iter().collect(),
            events: self.log.iter().cloned().collect(),
        };
        drop(reply.send((beginning, receiver)));
        self.look_soon();
    }

    /// Looks at all images, if somebody watches and this is what was planned last.
    pub(super) fn look(&mut self, plan: u64) {
        if plan != self.watching.planned || self.watching.looking || !self.watching.is_watched() {
            return;
        }
        self.watching.looking = true;
        (self.watching.changed, self.watching.due) = (None, None);
        let mut asked = Vec::new();
        for index in 0..self.images.len() {
            let pid = self.host_of(index).ok().and_then(|host| host.pid());
            let process = pid.and_then(process);
            let image = &self.images[index];
            let sample = ImageSample {
                name: image.name.clone(),
                state: image.state,
                paused: process.is_some_and(|process| process.paused),
                pid,
                since: image.since,
                processor: process.map_or(0, |process| process.processor),
                memory: process.map_or(0, |process| process.memory),
                gauges: None,
            };
            // One that is paused has nothing to say, and need not be waited for.
            let answer = if sample.paused { None } else { self.ask(index, Question::Gauges).ok() };
            asked.push((sample, answer));
        }
        let (at, cuts, inputs) = (self.watching.now(), self.cuts.named(self), self.inputs.clone());
        let cluster = self.cluster.clone();
        tokio::spawn(async move {
            let deadline = Instant::now() + WAIT;
            let mut images = Vec::new();
            for (mut sample, answer) in asked {
                if let Some(answer) = answer
                    && let Ok(Ok(Ok(Answer::Gauges(gauges)))) = timeout_at(deadline, answer).await
                {
                    sample.gauges = Some(gauges);
                }
                images.push(sample);
            }
            let dvipas = dvipas(&cluster, &mut images);
            drop(inputs.send(Input::Looked(Box::new(Sample { at, images, dvipas, cuts }))));
        });
    }

    /// The images have answered, or had their time.
    pub(super) fn looked(&mut self, sample: Box<Sample>) {
        self.watching.tell(|| Update::Sample(sample));
        self.watching.looking = false;
        let now = Instant::now();
        let next = self.watching.changed.map_or(now + LOOK, |first| soon(first, now));
        if self.watching.is_watched() {
            self.watching.plan(next, &self.inputs);
        }
    }
}

/// When to look, if something has happened now, and at `first` the first of all that no look has seen.
fn soon(first: Instant, now: Instant) -> Instant {
    (now + SOON).min(first + LATEST)
}

/// The DVIPAs, from all images' views.
fn dvipas(cluster: &Cluster, images: &mut [ImageSample]) -> Vec<DvipaStatus> {
    let mut known = Vec::new();
    let mut states = Vec::new();
    for image in images {
        let Some(xcf) = cluster.image(&image.name).map(|image| image.xcf) else { continue };
        states.push(ImageStatus { name: image.name.clone(), state: image.state, pid: image.pid, xcf });
        let views = image.gauges.as_mut().map(|gauges| std::mem::take(&mut gauges.views));
        known.extend(views.map(|views| (xcf, views)));
    }
    status::combine(cluster, &states, &known)
}

/// Tells one watcher everything, until it goes.
pub(super) async fn serve(mut stream: UnixStream, inputs: mpsc::UnboundedSender<Input>) -> Result<()> {
    loop {
        let (sender, receiver) = oneshot::channel();
        inputs.send(Input::Watch(sender)).ok().context("the lab has ended")?;
        let (beginning, mut updates) = receiver.await?;
        control::write(&mut stream, &Update::Begin(Box::new(beginning))).await?;
        loop {
            let update = tokio::select! {
                update = updates.recv() => update,
                // A watcher says nothing more: it is gone.
                _ = stream.readable() => return Ok(()),
            };
            match update {
                Ok(update) => control::write(&mut stream, &*update).await?,
                Err(RecvError::Lagged(_)) => break,
                Err(RecvError::Closed) => return Ok(()),
            }
        }
    }
}

/// What the host says of a process.
#[derive(Clone, Copy, Debug)]
struct ProcessState {
    paused: bool,
    /// In microseconds.
    processor: u64,
    /// In bytes.
    memory: u64,
}

fn process(pid: u32) -> Option<ProcessState> {
    /// Of Linux's USER_HZ, the same everywhere for programs.
    const TICK: u64 = 10_000;
    let stat = state::stat(pid).ok()?;
    let fields: Vec<&str> = stat.split_ascii_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    // The first here is field 3: utime and stime are fields 14 and 15, rss is field 24.
    let processor = number(11)?.saturating_add(number(12)?).saturating_mul(TICK);
    let memory = number(21)?.saturating_mul(u64::try_from(rustix::param::page_size()).unwrap_or(4096));
    Some(ProcessState { paused: fields.first() == Some(&"T"), processor, memory })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Pid, Signal, kill_process};

    /// However fast things happen, watchers see them.
    #[test]
    fn a_look_is_not_put_off_for_ever() {
        let first = Instant::now();
        let at = |millis| soon(first, first + Duration::from_millis(millis)) - first;
        assert_eq!([0, 5, 40, 45, 1000].map(at), [10, 15, 50, 50, 50].map(Duration::from_millis));
    }

    #[test]
    fn a_process_is_seen_to_work_and_to_be_paused() {
        let own = process(std::process::id()).unwrap();
        assert!(!own.paused && own.memory > 100_000, "{own:?}");
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = Pid::from_child(&child);
        let is = |paused: bool| {
            let began = std::time::Instant::now();
            while process(child.id()).unwrap().paused != paused {
                assert!(began.elapsed() < Duration::from_secs(10), "paused: {paused}");
            }
        };
        kill_process(pid, Signal::STOP).unwrap();
        is(true);
        kill_process(pid, Signal::CONT).unwrap();
        is(false);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(process(child.id()).is_none());
    }
}
