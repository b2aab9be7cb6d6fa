//! A web server that says who it is, and moves bytes that can be checked.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::io;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Empty, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use sha2::{Digest, Sha256};

use super::{Listener, serve};

/// The period of `/bytes/N`.
const PERIOD: usize = 251;

/// Many periods, to be sent in large frames without a copy.
static PATTERN: LazyLock<Bytes> = LazyLock::new(|| (0..=250u8).cycle().take(PERIOD * 1024).collect::<Vec<u8>>().into());

/// Serves `GET /` (one line: the image's name), `GET /bytes/N` (N bytes, byte i being i mod 251)
/// and `POST /sink` (count and SHA-256 of what came). Every answer carries `X-Image`.
///
/// # Errors
/// When no more connections can be accepted.
pub async fn http<L: Listener>(listener: L, image: &str) -> io::Result<()> {
    let name = HeaderValue::from_str(image).map_err(io::Error::other)?;
    let line = Bytes::from(format!("{image}\n"));
    serve(listener, move |stream, _, _| {
        let (name, line) = (name.clone(), line.clone());
        async move {
            let service = service_fn(move |request| {
                let (name, line) = (name.clone(), line.clone());
                async move {
                    let mut response = answer(request, line).await;
                    response.headers_mut().insert("x-image", name);
                    Ok::<_, Infallible>(response)
                }
            });
            // A client that goes away is no event here. One that has sent its request may end its side
            // before the answer, as netcat does.
            let mut builder = http1::Builder::new();
            builder.half_close(true).timer(TokioTimer::new());
            drop(builder.serve_connection(TokioIo::new(stream), service).await);
        }
    })
    .await
}

type Answer = Response<Either<Pattern, Either<Full<Bytes>, Empty<Bytes>>>>;

async fn answer(request: Request<Incoming>, line: Bytes) -> Answer {
    let (path, method) = (request.uri().path(), request.method());
    let reads = method == Method::GET || method == Method::HEAD;
    if let Some(count) = path.strip_prefix("/bytes/") {
        let Ok(count) = count.parse() else { return text(StatusCode::NOT_FOUND, "no such number of bytes\n".into()) };
        return if reads { pattern(count) } else { not_allowed("GET, HEAD") };
    }
    match path {
        "/" if reads => text(StatusCode::OK, line),
        "/" => not_allowed("GET, HEAD"),
        "/sink" if method == Method::POST => sink(request.into_body()).await,
        "/sink" => not_allowed("POST"),
        _ => text(StatusCode::NOT_FOUND, "not found: there is /, /bytes/N and /sink\n".into()),
    }
}

fn text(status: StatusCode, body: Bytes) -> Answer {
    let mut response = Response::new(Either::Right(Either::Left(Full::new(body))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

fn not_allowed(methods: &'static str) -> Answer {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n".into());
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    response
}

fn pattern(count: u64) -> Answer {
    let mut response = Response::new(Either::Left(Pattern { sent: 0, count }));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(count));
    response
}

async fn sink(mut body: Incoming) -> Answer {
    let (mut count, mut digest) = (0u64, Sha256::new());
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => {
                if let Some(data) = frame.data_ref() {
                    count += data.len() as u64;
                    digest.update(data);
                }
            }
            Err(error) => return text(StatusCode::BAD_REQUEST, format!("{error}\n").into()),
        }
    }
    let mut line = format!("{count} ");
    for byte in digest.finalize() {
        // A String takes whatever is written.
        let _ = write!(line, "{byte:02x}");
    }
    line.push('\n');
    text(StatusCode::OK, line.into())
}

/// The body of `/bytes/N`.
#[derive(Debug)]
struct Pattern {
    sent: u64,
    count: u64,
}

impl Body for Pattern {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let left = self.count - self.sent;
        if left == 0 {
            return Poll::Ready(None);
        }
        // The pattern is whole periods long, and every frame but the last is whole.
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(PATTERN.len());
        self.sent += len as u64;
        Poll::Ready(Some(Ok(Frame::data(PATTERN.slice(..len)))))
    }

    fn is_end_stream(&self) -> bool {
        self.sent == self.count
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.count - self.sent)
    }
}
