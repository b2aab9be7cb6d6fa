//! What keys of `top` and buttons of `web` do to an image.

use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use crate::control::{Question, Request};
use crate::vary::{Servers, Vary};

/// What can be done to an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// Kill its process.
    Kill,
    /// Stop its process by a signal.
    Pause,
    /// Let it go on.
    Continue,
    /// Stop it in order.
    Stop,
    /// Start it again.
    Start,
    /// No new connections.
    Quiesce,
    /// New connections again.
    Resume,
    /// Cut its XCF with this other image, both ways.
    Cut(String),
    /// Heal it.
    Heal(String),
}

impl Verb {
    /// What the lab is asked for.
    pub(crate) fn request(self, image: String) -> Request {
        let signal = |image, signal: Signal| Request::Kill { image, signal: signal.as_raw() };
        let vary = |image, vary| Request::Ask { image, question: Question::Vary(vary) };
        match self {
            Verb::Kill => signal(image, Signal::KILL),
            Verb::Pause => signal(image, Signal::STOP),
            Verb::Continue => signal(image, Signal::CONT),
            Verb::Stop => Request::Stop { image },
            Verb::Start => Request::Start { image },
            Verb::Quiesce => vary(image, Vary::Quiesce(Servers::Target)),
            Verb::Resume => vary(image, Vary::Resume(Servers::Target)),
            Verb::Cut(other) => Request::Cut { between: (image, other), one_way: false },
            Verb::Heal(other) => Request::Heal { between: Some((image, other)), one_way: false },
        }
    }
}
