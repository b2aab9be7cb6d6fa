//! Who may do what: requests are refused before anything is done for them.
//!
//! - **Acting needs the lab's token**, in the `Authorization` header. It reaches the page in the fragment of its
//!   address, which browsers send to nobody; the page forgets it from there at once. It is compared in
//!   constant time.
//! - **No other site acts or reads for a browser.** `Host` has to be an IP address or `localhost`: a name that an
//!   attacker's DNS points here is refused. Where the browser says from which site a request comes (`Origin`,
//!   `Sec-Fetch-Site`), it has to be this one. There is no CORS, so no other site may send the header above.
//! - **Watching** on loopback needs the token too, as other users of the machine reach that. A page that an image
//!   serves is open to the lab's client network.

use std::fmt;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, ORIGIN, WWW_AUTHENTICATE};
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::{Answered, Site, text};

/// What lets a browser act on a lab: 128 random bits, new for each lab.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token(String);

impl Token {
    /// A new one.
    pub fn random() -> Token {
        let mut bytes = [0; 16];
        rand::rng().fill_bytes(&mut bytes);
        Token(bytes.iter().fold(String::new(), |mut text, byte| {
            // A String takes whatever is written.
            let _ = write!(text, "{byte:02x}");
            text
        }))
    }

    /// In hexadecimal.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn is(&self, said: &[u8]) -> bool {
        verify_slices_are_equal(self.0.as_bytes(), said).is_ok()
    }
}

impl fmt::Debug for Token {
    /// A secret stays out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It names another host, or none.
    Host,
    /// It comes from another site.
    Site,
    /// It has no token, or a wrong one.
    Token,
    /// It is no JSON.
    Kind,
}

impl From<Refusal> for Answered {
    fn from(refusal: Refusal) -> Answered {
        match refusal {
            Refusal::Host => {
                text(StatusCode::MISDIRECTED_REQUEST, "open this page by its IP address, or as localhost\n")
            }
            Refusal::Site => text(StatusCode::FORBIDDEN, "requests of other sites are refused\n"),
            Refusal::Kind => text(StatusCode::UNSUPPORTED_MEDIA_TYPE, "expected application/json\n"),
            Refusal::Token => {
                let hint = "this needs the lab's token: open the page by the address that 'cluster-lab web' prints\n";
                let mut response = text(StatusCode::UNAUTHORIZED, hint);
                response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                response
            }
        }
    }
}

/// Whether a request is for this server, and of no other site.
pub(super) fn same_site(headers: &HeaderMap) -> Result<(), Refusal> {
    let only = |name| {
        let mut values = headers.get_all(name).iter();
        values.next().filter(|_| values.next().is_none()).and_then(|value| value.to_str().ok())
    };
    let host = only(HOST).filter(|host| is_plain(host)).ok_or(Refusal::Host)?;
    if headers.contains_key(ORIGIN) && only(ORIGIN).and_then(|origin| origin.strip_prefix("http://")) != Some(host) {
        return Err(Refusal::Site);
    }
    match headers.get("sec-fetch-site").map(HeaderValue::as_bytes) {
        None | Some(b"same-origin" | b"none") => Ok(()),
        Some(_) => Err(Refusal::Site),
    }
}

/// An IP address or `localhost`, and perhaps a port.
fn is_plain(host: &str) -> bool {
    let name = host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map_or(host, |(name, _)| name);
    let v6 = || host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    name.eq_ignore_ascii_case("localhost")
        || host.parse::<SocketAddr>().is_ok()
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_ipv4())
        || v6().is_some_and(|address| address.parse::<IpAddr>().is_ok())
}

/// Whether a request may act.
pub(super) fn acts(headers: &HeaderMap, token: &Token) -> Result<(), Refusal> {
    if !has(headers, token) {
        return Err(Refusal::Token);
    }
    match headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes) {
        Some(b"application/json") => Ok(()),
        _ => Err(Refusal::Kind),
    }
}

/// Whether a request may watch.
pub(super) fn reads(headers: &HeaderMap, site: &Site) -> Result<(), Refusal> {
    // A wrong token is wrong even where none is needed.
    let none_needed = site.open && !headers.contains_key(AUTHORIZATION);
    if none_needed || has(headers, &site.token) { Ok(()) } else { Err(Refusal::Token) }
}

fn has(headers: &HeaderMap, token: &Token) -> bool {
    let said = headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    said.is_some_and(|said| token.is(said))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_and_localhost_are_hosts() {
        for host in ["127.0.0.1", "127.0.0.1:80", "[::1]:80", "[::1]", "localhost", "LocalHost:8080", "203.0.113.1:80"]
        {
            assert!(is_plain(host), "{host}");
        }
        for host in ["", "evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil", "::1", "a b"] {
            assert!(!is_plain(host), "{host}");
        }
    }

    #[test]
    fn a_token_is_long_and_stays_out_of_logs() {
        let (one, two) = (Token::random(), Token::random());
        assert!(one.as_str().len() == 32 && one != two);
        assert!(!format!("{one:?}").contains(one.as_str()));
        assert!(one.is(one.as_str().as_bytes()) && !one.is(two.as_str().as_bytes()) && !one.is(b""));
    }
}
