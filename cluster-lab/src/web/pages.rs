//! The page's files, and the headers that fence it in.

use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};

use super::{Answered, typed};

/// Scripts and styles of its own and nothing else, no frame around it, no form that leads elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

const HEADERS: [(HeaderName, &str); 7] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "no-referrer"),
    (CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// The response, fenced in.
pub(super) fn secured(mut response: Answered) -> Answered {
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Path, type and content.
const FILES: [(&str, &str, &str); 9] = [
    ("/", "text/html; charset=utf-8", include_str!("page/index.html")),
    ("/style.css", "text/css; charset=utf-8", include_str!("page/style.css")),
    ("/icon.svg", "image/svg+xml", include_str!("page/icon.svg")),
    ("/app.js", SCRIPT, include_str!("page/app.js")),
    ("/lab.js", SCRIPT, include_str!("page/lab.js")),
    ("/dom.js", SCRIPT, include_str!("page/dom.js")),
    ("/cluster.js", SCRIPT, include_str!("page/cluster.js")),
    ("/timeline.js", SCRIPT, include_str!("page/timeline.js")),
    ("/tables.js", SCRIPT, include_str!("page/tables.js")),
];

/// A file of the page.
pub(super) fn page(path: &str) -> Option<Answered> {
    let (_, kind, content) = FILES.iter().find(|(known, ..)| *known == path)?;
    Some(typed(kind, content.as_bytes().into()))
}
