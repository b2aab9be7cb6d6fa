//! The lab in a browser: one page, what it draws, and what its buttons do.
//!
//! | path | answers |
//! |---|---|
//! | `GET /`, `/style.css`, `/*.js`, `/icon.svg` | the page, from the binary |
//! | `GET /feed` | server-sent events: the lab's picture and what has happened, as it happens |
//! | `GET /report/IMAGE/REPORT` | a netstat report as JSON |
//! | `GET /metrics` | for Prometheus |
//! | `POST /act` | does what a button says: [`Act`] |
//!
//! `cluster-lab web` serves it on loopback; an application of kind `web` serves it on an image, over its own
//! stack. Either way the server is a client of the lab's supervisor like every command. `guard` says who may
//! do what.

mod act;
mod feed;
mod guard;
mod pages;

use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Semaphore;

use crate::apps::Listener;
use crate::control::{self, Answer, Question, Reply};
use crate::netstat::ReportKind;
use crate::places::{Place, Places};
use clap::ValueEnum;

pub use act::Act;
pub use guard::Token;

/// Connections that are served at a time.
const CONNECTIONS: usize = 64;
/// Browsers that watch at a time.
const WATCHERS: usize = 16;
/// How long a client may take to send its request's head.
const HEAD_WAIT: Duration = Duration::from_secs(10);
/// How long a client may take from there to the end of its answer, or for a message of the feed.
const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// Connections of a VCRT that a page gets; a longer one is for `cluster-lab netstat`.
const ROUTES: usize = 1000;

type Body = UnsyncBoxBody<Bytes, Infallible>;
type Answered = Response<Body>;

/// What is served, and to whom.
#[derive(Clone, Debug)]
pub struct Site {
    /// The supervisor's socket.
    pub supervisor: PathBuf,
    /// Whoever has it may act.
    pub token: Token,
    /// Whether everybody may watch, or only who has the token.
    pub open: bool,
    /// The image that serves it, if one does.
    pub image: Option<String>,
}

/// Serves the page to everybody who connects.
///
/// # Errors
/// When no more connections can be accepted.
pub async fn serve<L: Listener>(mut listener: L, site: Site) -> io::Result<()> {
    let site = Arc::new(site);
    let (mut places, watchers) = (Places::new(CONNECTIONS), Arc::new(Semaphore::new(WATCHERS)));
    loop {
        let (stream, ..) = listener.accept().await?;
        let (site, watchers) = (site.clone(), watchers.clone());
        let served = places.give(|place| async move {
            let service = service_fn(move |request| {
                place.ends_within(ANSWER_WAIT);
                let (site, watchers, place) = (site.clone(), watchers.clone(), place.clone());
                async move { Ok::<_, Infallible>(pages::secured(answer(&site, &watchers, place, request).await)) }
            });
            let mut builder = http1::Builder::new();
            // A connection is for one request: nobody keeps a place without asking for something.
            builder.timer(TokioTimer::new()).header_read_timeout(HEAD_WAIT).max_buf_size(16 * 1024).keep_alive(false);
            // A browser that goes away is no event here.
            drop(builder.serve_connection(TokioIo::new(stream), service).await);
        });
        // Whoever comes meanwhile waits in the listener's backlog.
        served.await;
    }
}

async fn answer(site: &Site, watchers: &Arc<Semaphore>, place: Place, request: Request<Incoming>) -> Answered {
    if let Err(refusal) = guard::same_site(request.headers()) {
        return refusal.into();
    }
    let path = request.uri().path().to_owned();
    if path == "/act" {
        return match *request.method() {
            Method::POST => match guard::acts(request.headers(), &site.token) {
                Ok(()) => act::act(site, request.into_body()).await,
                Err(refusal) => refusal.into(),
            },
            _ => not_allowed("POST"),
        };
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return not_allowed("GET, HEAD");
    }
    if let Some(page) = pages::page(&path) {
        return page;
    }
    if let Err(refusal) = guard::reads(request.headers(), site) {
        return refusal.into();
    }
    match path.as_str() {
        "/feed" => match watchers.clone().try_acquire_owned() {
            Ok(permit) => feed::feed(site, permit, place).await,
            Err(_) => {
                let mut full = text(StatusCode::SERVICE_UNAVAILABLE, "too many watch already\n");
                full.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
                full
            }
        },
        "/metrics" => metrics(site).await,
        path => match path.strip_prefix("/report/").and_then(|rest| rest.split_once('/')) {
            Some((image, kind)) => report(site, image, kind).await,
            None => text(StatusCode::NOT_FOUND, "not found\n"),
        },
    }
}

/// A netstat report, if it is not too long for a page.
async fn report(site: &Site, image: &str, kind: &str) -> Answered {
    let Ok(kind) = ReportKind::from_str(kind, true) else { return text(StatusCode::NOT_FOUND, "no such report\n") };
    let ask = |question| control::Request::Ask { image: image.to_owned(), question };
    if kind == ReportKind::Vcrt {
        match control::ask(&site.supervisor, &ask(Question::Gauges)).await {
            Ok(Reply::Answer(Answer::Gauges(gauges))) if gauges.routes > ROUTES => {
                let why = format!("{} connections: see them with 'cluster-lab netstat {image} VCRT'\n", gauges.routes);
                return text(StatusCode::PAYLOAD_TOO_LARGE, why);
            }
            Ok(_) => {}
            Err(error) => return text(StatusCode::BAD_GATEWAY, format!("{error}\n")),
        }
    }
    match control::ask(&site.supervisor, &ask(Question::Netstat(kind.into()))).await {
        Ok(Reply::Answer(Answer::Netstat(report))) => json(&report.to_json()),
        Ok(Reply::Error(why)) => text(StatusCode::CONFLICT, format!("{why}\n")),
        Ok(_) => text(StatusCode::BAD_GATEWAY, "the lab answered something else\n"),
        Err(error) => text(StatusCode::BAD_GATEWAY, format!("{error}\n")),
    }
}

async fn metrics(site: &Site) -> Answered {
    match crate::metrics::collect(&site.supervisor, site.image.as_deref()).await {
        Ok(metrics) => typed(crate::metrics::CONTENT_TYPE, metrics.into()),
        Err(error) => text(StatusCode::BAD_GATEWAY, format!("{error:#}\n")),
    }
}

fn typed(kind: &'static str, body: Bytes) -> Answered {
    let mut response = Response::new(Full::new(body).boxed_unsync());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn json(value: &impl serde::Serialize) -> Answered {
    match serde_json::to_vec(value) {
        Ok(body) => typed("application/json", body.into()),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

fn text(status: StatusCode, line: impl Into<String>) -> Answered {
    let mut response = typed("text/plain; charset=utf-8", line.into().into());
    *response.status_mut() = status;
    response
}

fn not_allowed(methods: &'static str) -> Answered {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    response
}

#[cfg(test)]
mod tests;
