//! What a page's buttons do.

use http_body_util::{BodyExt, Limited};
use hyper::StatusCode;
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};

use super::{Answered, Site, text};
use crate::control::{self, Answer, Reply};
use crate::verb::Verb;

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

/// Does it; the answer follows when it is done.
pub(super) async fn act(site: &Site, body: Incoming) -> Answered {
    let Ok(body) = Limited::new(body, LONGEST).collect().await else {
        return text(StatusCode::PAYLOAD_TOO_LARGE, "the request is too long, or was cut off\n");
    };
    let Act { act, image } = match serde_json::from_slice(&body.to_bytes()) {
        Ok(act) => act,
        Err(error) => return text(StatusCode::BAD_REQUEST, format!("{error}\n")),
    };
    match control::ask(&site.supervisor, &act.request(image)).await {
        Ok(Reply::Done | Reply::Answer(Answer::Done)) => text(StatusCode::OK, "done\n"),
        Ok(Reply::Error(why)) => text(StatusCode::CONFLICT, format!("{why}\n")),
        Ok(_) => text(StatusCode::BAD_GATEWAY, "the lab answered something else\n"),
        Err(_) => text(StatusCode::BAD_GATEWAY, "the lab has ended\n"),
    }
}
