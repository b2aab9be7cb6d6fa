//! What clients ask for: done at once, or answered by somebody else later.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::processes::Host;
use super::{Supervisor, cuts, status};
use crate::control::{Answer, Question, Reply, Request, ToImage};
use crate::network::Holder;
use crate::suggest;

/// How long an image may take to answer.
pub(super) const ANSWER_WAIT: Duration = Duration::from_secs(2);

/// An image's answer, on its way.
type Answering = oneshot::Receiver<Result<Answer, String>>;

impl Supervisor {
    /// Serves a request now, or has somebody else answer later.
    pub(super) fn serve(&mut self, request: Request, reply: oneshot::Sender<Reply>) {
        let done = match request {
            Request::Status => return status::collect(self, reply),
            Request::Cut { between, one_way } => return cuts::cut(self, &between, one_way, reply),
            Request::Heal { between, one_way } => return cuts::heal(self, between.as_ref(), one_way, reply),
            Request::Start { image } => match self.find(&image).and_then(|index| self.restart(index).map(|()| index)) {
                Ok(index) => return self.images[index].starting.push(reply),
                Err(error) => Err(error),
            },
            Request::Stop { image } => match self.find(&image).and_then(|index| self.stop(index).map(|()| index)) {
                Ok(index) => return self.images[index].ending.push(reply),
                Err(error) => Err(error),
            },
            Request::Ask { image, question } => {
                match self.find(&image).and_then(|index| self.ask(index, question).map(|answer| (index, answer))) {
                    Ok((index, answer)) => return self.pass_on(index, answer, reply),
                    Err(error) => Err(error),
                }
            }
            Request::Enter => {
                let user = self.site.holder.as_ref().is_some_and(|holder| holder.user);
                Ok(Reply::Enter { holder: self.site.holder.as_ref().map(Holder::pid), user })
            }
            Request::Capture { image, path } => self.find(&image).map(|index| {
                self.capture(index, path);
                Reply::Done
            }),
            Request::Token => Ok(Reply::Token(self.start.token.clone(), self.cluster.web_servers())),
            Request::Log => Ok(Reply::Log(self.log.iter().cloned().collect(), self.watching.began())),
            Request::Kill { image, signal } => self.find(&image).and_then(|index| self.kill(index, signal)),
            // Handled where they come in.
            Request::Down | Request::Dial { .. } | Request::Watch => Ok(Reply::Done),
        };
        // Who has asked may be gone.
        drop(reply.send(done.unwrap_or_else(Reply::Error)));
    }

    /// The image called `name`; case does not matter.
    pub(super) fn find(&self, name: &str) -> Result<usize, String> {
        let found = self.images.iter().position(|image| image.name.eq_ignore_ascii_case(name));
        found.ok_or_else(|| suggest::no_image(name, self.images.iter().map(|image| image.name.as_str())))
    }

    /// The process that an image lives in, if it runs.
    pub(super) fn host_of(&mut self, index: usize) -> Result<&mut Host, String> {
        let image = &self.images[index];
        let lab = crate::name_option(&self.options.name);
        let why = || format!("{} is not running: start it with 'cluster-lab start{lab} {}'", image.name, image.name);
        let host = image.host.ok_or_else(why)?;
        self.hosts[host].as_mut().ok_or_else(why)
    }

    /// Asks an image.
    pub(super) fn ask(&mut self, index: usize, question: Question) -> Result<Answering, String> {
        let changes = question.changes();
        let (id, image) = (self.next_question, self.images[index].name.clone());
        self.host_of(index)?.say(ToImage::Ask { id, image, question });
        self.next_question += 1;
        if changes {
            self.look_soon();
        }
        let (sender, receiver) = oneshot::channel();
        // Questions that nobody waits for any more go.
        self.questions.retain(|_, (_, asker)| !asker.is_closed());
        self.questions.insert(id, (index, sender));
        Ok(receiver)
    }

    /// Replies with an image's answer, or with why there is none.
    fn pass_on(&self, index: usize, answer: Answering, reply: oneshot::Sender<Reply>) {
        let (who, lab) = (self.images[index].name.clone(), crate::name_option(&self.options.name));
        tokio::spawn(async move {
            let answer = match timeout(ANSWER_WAIT, answer).await {
                Ok(Ok(Ok(answer))) => Reply::Answer(answer),
                Ok(Ok(Err(error))) => Reply::Error(error),
                Ok(Err(_)) => {
                    Reply::Error(format!("{who} has just ended: start it with 'cluster-lab start{lab} {who}'"))
                }
                Err(_) => Reply::Error(format!(
                    "{who} does not answer: if a signal stopped it, 'cluster-lab kill{lab} {who} --signal CONT' wakes it"
                )),
            };
            drop(reply.send(answer));
        });
    }
}
