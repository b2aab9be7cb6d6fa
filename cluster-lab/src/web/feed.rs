//! The lab's picture, pushed to one browser as server-sent events.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::timeout;

use super::{ANSWER_WAIT, Answered, Site, text};
use crate::places::Place;
use crate::watch::{Event, Feed, Model, Picture, TakeoverPicture, Tenure, Update};

/// Events that a page gets at its beginning.
const PAST: usize = 500;
/// Of the timeline, what a page gets: the latest.
const TENURES: usize = 500;
const TAKEOVERS: usize = 100;

/// One message to a page.
#[derive(Serialize)]
struct Message<'a> {
    /// The lab now.
    picture: &'a Picture,
    /// What has happened since the message before.
    events: Vec<Line<'a>>,
    /// Who owned what when; only when it has changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    timeline: Option<Timeline<'a>>,
    /// The image that serves the page; none for the lab's own server.
    #[serde(skip_serializing_if = "Option::is_none")]
    served_by: Option<&'a str>,
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    event: &'a Event,
    level: &'static str,
}

#[derive(Serialize)]
struct Timeline<'a> {
    tenures: &'a [Tenure],
    takeovers: &'a [TakeoverPicture],
}

/// Tells the page everything until either side goes. `permit` counts it among those who watch.
pub(super) async fn feed(site: &Site, permit: OwnedSemaphorePermit, place: Place) -> Answered {
    let feed = match Feed::open(&site.supervisor).await {
        Ok(feed) => feed,
        Err(_) => return text(StatusCode::BAD_GATEWAY, "the lab has ended\n"),
    };
    // One message waits: a page that reads slowly gets fewer, and each is the latest.
    let (messages, receiver) = mpsc::channel(1);
    place.lasts();
    let told = tell(feed, site.image.clone(), messages);
    tokio::spawn(async move {
        told.await;
        place.ends_within(ANSWER_WAIT);
        drop(permit);
    });
    let frames = stream::unfold(receiver, async |mut receiver| {
        let message: Bytes = receiver.recv().await?;
        Some((Ok::<_, Infallible>(Frame::data(message)), receiver))
    });
    let mut response = Response::new(BodyExt::boxed_unsync(StreamBody::new(frames)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response
}

async fn tell(mut feed: Feed, image: Option<String>, messages: mpsc::Sender<Bytes>) {
    // Read by a task of its own, as an update must not be left half read.
    let (updates_in, mut updates) = mpsc::channel(64);
    let reader = tokio::spawn(async move {
        while let Ok(Some(update)) = feed.next().await {
            if updates_in.send(update).await.is_err() {
                break;
            }
        }
    });
    let mut model = Model::default();
    let mut told = 0;
    loop {
        let update = tokio::select! {
            update = updates.recv() => update,
            () = messages.closed() => None,
        };
        let Some(update) = update else { break };
        // Whatever else has come meanwhile goes into the same message.
        let mut changed = false;
        for update in std::iter::once(update).chain(std::iter::from_fn(|| updates.try_recv().ok())) {
            changed |= !matches!(update, Update::Sample(_));
            if matches!(update, Update::Begin(_)) {
                told = 0;
            }
            model.apply(update);
        }
        let message = encode(&model, told, changed, image.as_deref());
        told = model.events().next_back().map_or(told, |event| event.number);
        // A page that takes its messages too slowly watches no more.
        if !matches!(timeout(ANSWER_WAIT, messages.send(message)).await, Ok(Ok(()))) {
            break;
        }
    }
    reader.abort();
}

fn encode(model: &Model, told: u64, changed: bool, served_by: Option<&str>) -> Bytes {
    let picture = model.picture();
    let line = |event| Line { event, level: event.told.kind.level() };
    let mut events: Vec<Line<'_>> = model.events_after(told).map(line).collect();
    events.drain(..events.len().saturating_sub(PAST));
    let timeline = changed.then(|| Timeline {
        tenures: &picture.tenures[picture.tenures.len().saturating_sub(TENURES)..],
        takeovers: &picture.takeovers[picture.takeovers.len().saturating_sub(TAKEOVERS)..],
    });
    let mut message = b"data: ".to_vec();
    // JSON has no line break of its own, and a Vec takes whatever is written.
    let written = serde_json::to_writer(&mut message, &Message { picture, events, timeline, served_by });
    debug_assert!(written.is_ok(), "{written:?}");
    message.extend_from_slice(b"\n\n");
    message.into()
}
