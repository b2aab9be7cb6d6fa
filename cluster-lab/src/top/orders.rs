//! What keys have the lab do.

use rustix::process::Signal;
use tokio::sync::mpsc::UnboundedSender;

use crate::cli;
use crate::control::{Question, Request};
use crate::vary::{Servers, Vary};

/// An order for one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub image: String,
    pub what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Kill,
    Start,
    Stop,
    Pause,
    Continue,
    Quiesce,
    Resume,
}

impl Order {
    fn request(&self) -> Request {
        let image = self.image.clone();
        let signal = |signal: Signal| Request::Kill { image: self.image.clone(), signal: signal.as_raw() };
        let vary = |vary| Request::Ask { image: self.image.clone(), question: Question::Vary(vary) };
        match self.what {
            What::Kill => signal(Signal::KILL),
            What::Pause => signal(Signal::STOP),
            What::Continue => signal(Signal::CONT),
            What::Start => Request::Start { image },
            What::Stop => Request::Stop { image },
            What::Quiesce => vary(Vary::Quiesce(Servers::Target)),
            What::Resume => vary(Vary::Resume(Servers::Target)),
        }
    }

    /// What was done, and by which command the same is done.
    fn done(&self, option: &str) -> String {
        let image = &self.image;
        match self.what {
            What::Kill => format!("killed {image}: cluster-lab kill{option} {image}"),
            What::Pause => format!("paused {image}: cluster-lab kill{option} {image} --signal STOP"),
            What::Continue => format!("continued {image}: cluster-lab kill{option} {image} --signal CONT"),
            What::Start => format!("started {image}: cluster-lab start{option} {image}"),
            What::Stop => format!("stopped {image}: cluster-lab stop{option} {image}"),
            What::Quiesce => {
                format!("quiesced {image}: cluster-lab vary{option} {image} TCPIP,,SYSPLEX,QUIESCE,TARGET")
            }
            What::Resume => format!("resumed {image}: cluster-lab vary{option} {image} TCPIP,,SYSPLEX,RESUME,TARGET"),
        }
    }

    /// Has it done; what came of it goes to `notes`.
    pub fn give(self, lab: &str, notes: UnboundedSender<String>) {
        let lab = lab.to_owned();
        tokio::spawn(async move {
            let note = match cli::ask(&lab, self.request()).await {
                Ok(_) => self.done(&crate::name_option(&lab)),
                Err(error) => format!("{error:#}"),
            };
            // The screen may be gone.
            drop(notes.send(note));
        });
    }
}
