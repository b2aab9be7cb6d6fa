//! As much of HTTP/1.1 as a client needs that knows its server.

use std::io::{Read, Write};

use anyhow::{Context, Result, bail, ensure};

/// A response: how long its head and its body are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Response {
    pub head: usize,
    pub body: usize,
}

/// A request for `path` on a connection that stays.
pub(super) fn request(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n").into_bytes()
}

/// Sends `request`, reads into `buffer` until the response's head is whole, and returns it with
/// how many bytes there are, some of the body perhaps among them.
pub(super) fn ask(stream: &mut (impl Read + Write), request: &[u8], buffer: &mut [u8]) -> Result<(Response, usize)> {
    stream.write_all(request).context("the request cannot be sent")?;
    let mut filled = 0;
    loop {
        match stream.read(&mut buffer[filled..]).context("no answer")? {
            0 => bail!("the server closed the connection, or its answer has no end"),
            count => filled += count,
        }
        if let Some(response) = parse(&buffer[..filled])? {
            return Ok((response, filled));
        }
    }
}

/// The head, once it is whole.
fn parse(bytes: &[u8]) -> Result<Option<Response>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&bytes[..end]).context("the answer is not HTTP")?;
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default();
    ensure!(status.starts_with("HTTP/1.1 200"), "the server answers '{status}'");
    let length =
        lines.filter_map(|line| line.split_once(':')).find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let (_, length) = length.context("the answer has no Content-Length")?;
    Ok(Some(Response { head: end + 4, body: length.trim().parse().context("the answer's Content-Length")? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_once_it_is_whole() {
        let text = b"HTTP/1.1 200 OK\r\nServer: x\r\ncontent-length: 5\r\n\r\nMVS";
        assert_eq!(parse(&text[..40]).unwrap(), None);
        assert_eq!(parse(text).unwrap(), Some(Response { head: 49, body: 5 }));
        assert!(parse(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").is_err());
        assert!(parse(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
