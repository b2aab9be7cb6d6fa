//! What a page's buttons do.

use http_body_util::{BodyExt, Limited};
use hyper::StatusCode;
use hyper::body::Incoming;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::{Answered, Site, text};
use crate::control::{self, Answer, Question, Reply, Request};
use crate::vary::{Servers, Vary};

/// Longest request.
const LONGEST: usize = 4096;

/// A button: what it does, and to which image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Act {
    /// What.
    pub act: Verb,
    /// To which.
    pub image: String,
}

/// What can be done to an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
}

impl Act {
    fn request(self) -> Request {
        let Act { act, image } = self;
        let signal = |image, signal: Signal| Request::Kill { image, signal: signal.as_raw() };
        let vary = |image, vary| Request::Ask { image, question: Question::Vary(vary) };
        match act {
            Verb::Kill => signal(image, Signal::KILL),
            Verb::Pause => signal(image, Signal::STOP),
            Verb::Continue => signal(image, Signal::CONT),
            Verb::Stop => Request::Stop { image },
            Verb::Start => Request::Start { image },
            Verb::Quiesce => vary(image, Vary::Quiesce(Servers::Target)),
            Verb::Resume => vary(image, Vary::Resume(Servers::Target)),
        }
    }
}

/// Does it; the answer follows when it is done.
pub(super) async fn act(site: &Site, body: Incoming) -> Answered {
    let Ok(body) = Limited::new(body, LONGEST).collect().await else {
        return text(StatusCode::PAYLOAD_TOO_LARGE, "the request is too long, or was cut off\n");
    };
    let act: Act = match serde_json::from_slice(&body.to_bytes()) {
        Ok(act) => act,
        Err(error) => return text(StatusCode::BAD_REQUEST, format!("{error}\n")),
    };
    match control::ask(&site.supervisor, &act.request()).await {
        Ok(Reply::Done | Reply::Answer(Answer::Done)) => text(StatusCode::OK, "done\n"),
        Ok(Reply::Error(why)) => text(StatusCode::CONFLICT, format!("{why}\n")),
        Ok(_) => text(StatusCode::BAD_GATEWAY, "the lab answered something else\n"),
        Err(_) => text(StatusCode::BAD_GATEWAY, "the lab has ended\n"),
    }
}
