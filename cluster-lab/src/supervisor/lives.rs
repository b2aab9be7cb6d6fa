//! An image's lives: how each begins, and all the ways in which it ends.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use rustix::process::Signal;

use super::processes::Host;
use super::{Input, Supervisor};
use crate::control::{ImageState, Question, Reply, ToImage};
use crate::watch::{Kind, Told};

/// How long an image may take to stop in order before it is ended.
const STOP_WAIT: Duration = Duration::from_secs(10);

impl Supervisor {
    pub(super) fn kill(&mut self, index: usize, signal: i32) -> Result<Reply, String> {
        let in_process = self.options.in_process;
        let now = self.watching.now();
        let name = self.images[index].name.clone();
        let host = self.host_of(index)?;
        if !in_process {
            host.signal(signal).map_err(|error| format!("{name} cannot be signalled: {error}"))?;
        } else if signal == Signal::KILL.as_raw() {
            host.say(ToImage::Crash { image: name.clone() });
        } else {
            return Err("with --in-process images share one process: only KILL can be told apart".into());
        }
        match Signal::from_named_raw(signal) {
            Some(Signal::STOP | Signal::TSTP) => {
                self.images[index].signalled = Some(now);
                self.happened(now, Some(&name), Told::new(Kind::Paused, "paused by a signal"));
            }
            Some(Signal::CONT) => {
                self.images[index].signalled = None;
                self.happened(now, Some(&name), Told::new(Kind::Continued, "continued by a signal"));
            }
            _ => self.images[index].signalled = Some(now),
        }
        Ok(Reply::Done)
    }

    pub(super) fn stop(&mut self, index: usize) -> Result<(), String> {
        let image = self.images[index].name.clone();
        self.host_of(index)?.say(ToImage::Stop { image });
        let slot = &mut self.images[index];
        slot.stopping = true;
        let (life, inputs) = (slot.life, self.inputs.clone());
        tokio::spawn(async move {
            tokio::time::sleep(STOP_WAIT).await;
            drop(inputs.send(Input::Overdue { image: index, life }));
        });
        Ok(())
    }

    pub(super) fn overdue(&mut self, index: usize, life: u64) {
        let image = &self.images[index];
        if image.stopping && image.life == life && image.host.is_some() {
            self.tell(Some(index), Told::note("did not stop in time and is ended"));
            drop(self.kill(index, Signal::KILL.as_raw()));
        }
    }

    /// This life and all that follow copy their packets into the socket.
    pub(super) fn capture(&mut self, index: usize, path: PathBuf) {
        // One that does not run is told when it starts; nobody waits for the answer of one that does.
        drop(self.ask(index, Question::Capture(path.clone())));
        let captures = &mut self.images[index].captures;
        captures.retain(|socket| socket.exists());
        captures.push(path);
    }

    pub(super) fn restart(&mut self, index: usize) -> Result<(), String> {
        let image = &self.images[index];
        if image.host.is_some() {
            return Err(format!("{} runs already", image.name));
        }
        self.start_image(index).map_err(|error| format!("{error:#}"))
    }

    /// Starts an image as a new life.
    pub(super) fn start_image(&mut self, index: usize) -> Result<()> {
        let shared = self.images.iter().filter_map(|image| image.host).find(|_| self.options.in_process);
        let host = match shared.or_else(|| self.shared_host()) {
            Some(host) => host,
            None => {
                let namespace = self.site.holder.as_ref().map(|holder| (holder.pid(), holder.user));
                let mut host = Host::spawn(self.hosts.len(), namespace, self.inputs.clone())?;
                host.say(ToImage::Begin(Box::new(self.start.clone())));
                self.hosts.push(Some(host));
                self.record()?;
                self.hosts.len() - 1
            }
        };
        // Larger than that of any life before, of a former lab too.
        let millis = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let incarnation = u64::try_from(millis).unwrap_or(u64::MAX);
        let image = &mut self.images[index];
        // Even if the clock was set back: a lower life is heard by nobody.
        let incarnation = incarnation.max(image.incarnation + 1);
        image.incarnation = incarnation;
        image.captures.retain(|socket| socket.exists());
        let (name, captures) = (image.name.clone(), image.captures.clone());
        let begin = ToImage::Start { image: name, incarnation, cut: self.cuts.of(image.xcf), captures };
        (image.host, image.stopping, image.state) = (Some(host), false, ImageState::Running);
        image.life += 1;
        (image.since, image.signalled) = (self.watching.now(), None);
        if let Some(host) = &mut self.hosts[host] {
            host.say(begin);
        }
        Ok(())
    }

    /// With `--in-process`, the process of all images, even if none lives in it now.
    fn shared_host(&self) -> Option<usize> {
        self.hosts.iter().position(Option::is_some).filter(|_| self.options.in_process)
    }

    pub(super) fn ended(&mut self, host: usize, how: &str) {
        self.hosts[host] = None;
        for index in 0..self.images.len() {
            if self.images[index].host == Some(host) {
                self.image_ended(index, how);
            }
        }
    }

    pub(super) fn image_ended(&mut self, index: usize, how: &str) {
        let image = &mut self.images[index];
        let name = image.name.clone();
        image.host = None;
        image.state = if std::mem::take(&mut image.stopping) { ImageState::Stopped } else { ImageState::Failed };
        let (kind, reply) = match image.state {
            ImageState::Stopped => (Kind::Stopped, Reply::Done),
            _ => (Kind::Ended, Reply::Error(format!("{name} {how}"))),
        };
        for waiting in std::mem::take(&mut image.ending) {
            drop(waiting.send(reply.clone()));
        }
        // Whoever wanted it to run has not got that, even if its end was in order.
        for waiting in std::mem::take(&mut image.starting) {
            drop(waiting.send(Reply::Error(format!("{name} {how}"))));
        }
        // It answers nothing any more: nobody is to wait for it.
        self.questions.retain(|_, (asked, _)| *asked != index);
        let signalled = self.images[index].signalled.take();
        self.tell(Some(index), Told { signalled, ..Told::new(kind, how) });
    }
}
