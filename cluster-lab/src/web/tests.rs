//! What is refused, over real connections on loopback; the lab is a socket that answers by a script.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::mpsc;

use super::*;
use crate::control::Request as ToLab;
use crate::watch::{Beginning, Event, ImageLayout, Told, Update};

/// A server before a lab that answers `Done` to all, and what the lab was asked.
struct Served {
    at: SocketAddr,
    token: Token,
    asked: mpsc::UnboundedReceiver<ToLab>,
    _folder: tempfile::TempDir,
}

/// The lab, before which nothing is served.
struct Script {
    site: Site,
    asked: mpsc::UnboundedReceiver<ToLab>,
    folder: tempfile::TempDir,
}

impl Script {
    fn start(open: bool) -> Script {
        let folder = tempfile::tempdir().unwrap();
        let supervisor = folder.path().join("lab");
        let lab = UnixListener::bind(&supervisor).unwrap();
        let (asked_in, asked) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = lab.accept().await {
                let asked = asked_in.clone();
                tokio::spawn(async move {
                    let mut stream = BufReader::new(stream);
                    while let Ok(Some(request)) = control::read::<ToLab>(&mut stream).await {
                        let watches = matches!(request, ToLab::Watch);
                        asked.send(request).unwrap();
                        if watches {
                            // Who watches goes at any time.
                            let _ = watched(stream.get_mut()).await;
                            return;
                        }
                        control::write(stream.get_mut(), &Reply::Done).await.unwrap();
                    }
                });
            }
        });
        Script { site: Site { supervisor, token: Token::random(), open, image: None }, asked, folder }
    }
}

/// The picture, and then one event after another.
async fn watched(stream: &mut UnixStream) -> io::Result<()> {
    control::write(stream, &Update::Begin(Box::new(beginning()))).await?;
    for number in 2.. {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let event = Event { number, at: number, image: None, told: Told::note("hello again") };
        control::write(stream, &Update::Event(event)).await?;
    }
    Ok(())
}

impl Served {
    async fn start(open: bool) -> Served {
        let Script { site, asked, folder } = Script::start(open);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (at, token) = (listener.local_addr().unwrap(), site.token.clone());
        tokio::spawn(serve(listener, site));
        Served { at, token, asked, _folder: folder }
    }

    /// Sends a request as it stands, `Host` and the end of the head added; status and the whole answer.
    async fn send(&self, head: &str, body: &str) -> (u16, String) {
        let host = if head.contains("\r\nHost:") { String::new() } else { format!("Host: {}\r\n", self.at) };
        let length = body.len();
        let text = format!("{head}\r\n{host}Connection: close\r\nContent-Length: {length}\r\n\r\n{body}");
        let mut stream = TcpStream::connect(self.at).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
        (status, answer)
    }

    async fn status(&self, head: &str, body: &str) -> u16 {
        self.send(head, body).await.0
    }

    fn kill(&self) -> String {
        format!("POST /act HTTP/1.1\r\nContent-Type: application/json\r\nAuthorization: Bearer {}", self.token.as_str())
    }
}

fn beginning() -> Beginning {
    let image = ImageLayout {
        // A name that would be markup if the page let it.
        name: "<img src=x>".into(),
        xcf: [192, 0, 2, 1].into(),
        link: None,
        apps: Vec::new(),
        state: control::ImageState::Running,
    };
    Beginning {
        lab: "lab".into(),
        began: 1,
        at: 2,
        client: [198, 51, 100, 1].into(),
        subnet: ([198, 51, 100, 0].into(), 24),
        images: vec![image],
        names: Vec::new(),
        events: vec![Event { number: 1, at: 1, image: None, told: Told::note("hello") }],
    }
}

const KILL: &str = r#"{"act":"kill","image":"MVS1"}"#;

#[tokio::test]
async fn a_button_acts_with_the_token() {
    let mut served = Served::start(false).await;
    assert_eq!(served.status(&served.kill(), KILL).await, 200);
    let asked = served.asked.recv().await.unwrap();
    assert!(matches!(&asked, ToLab::Kill { image, signal: 9 } if image == "MVS1"), "{asked:?}");
    let origin = format!("{}\r\nOrigin: http://{}\r\nSec-Fetch-Site: same-origin", served.kill(), served.at);
    assert_eq!(served.status(&origin, KILL).await, 200);
    served.asked.recv().await.unwrap();
    assert_eq!(served.status(&served.kill(), r#"{"act":{"cut":"MVS2"},"image":"MVS1"}"#).await, 200);
    let asked = served.asked.recv().await.unwrap();
    let both_ways = |(one, other): &(String, String)| (&**one, &**other) == ("MVS1", "MVS2");
    assert!(matches!(&asked, ToLab::Cut { between, one_way: false } if both_ways(between)), "{asked:?}");
}

/// Without the token nothing is done, and nothing for another site with it either.
#[tokio::test]
async fn whoever_may_not_act_does_not() {
    let mut served = Served::start(true).await;
    let (kill, json) = (served.kill(), "Content-Type: application/json");
    let wrong = Token::random();
    let foreign = |more: &str| format!("{kill}\r\n{more}");
    for (head, expected) in [
        (format!("POST /act HTTP/1.1\r\n{json}"), 401),
        (format!("POST /act HTTP/1.1\r\n{json}\r\nAuthorization: Bearer "), 401),
        (format!("POST /act HTTP/1.1\r\n{json}\r\nAuthorization: Bearer {}", wrong.as_str()), 401),
        (format!("POST /act?token={} HTTP/1.1\r\n{json}", served.token.as_str()), 401),
        (kill.replace("POST", "GET"), 405),
        (kill.replace("application/json", "text/plain"), 415),
        (foreign("Origin: http://evil.example"), 403),
        (foreign("Origin: null"), 403),
        (foreign("Origin: http://127.0.0.1:1"), 403),
        (foreign("Sec-Fetch-Site: cross-site"), 403),
        (foreign("Sec-Fetch-Site: same-site"), 403),
        // DNS rebinding: the attacker's name leads here.
        (foreign(&format!("Host: evil.example:{}", served.at.port())), 421),
        (foreign("Host: 127.0.0.1.evil.example"), 421),
        (foreign(&format!("Host: {}\r\nHost: {}", served.at, served.at)), 421),
    ] {
        let (status, answer) = served.send(&head, KILL).await;
        assert_eq!(status, expected, "{head}");
        assert!(!answer.contains("access-control-allow"), "{answer}");
    }
    for (body, expected) in [
        ("", 400),
        ("{}", 400),
        (r#"{"act":"down","image":"MVS1"}"#, 400),
        (r#"{"act":"cut","image":"MVS1"}"#, 400),
        (r#"{"act":{"cut":7},"image":"MVS1"}"#, 400),
        (r#"{"act":"kill","image":"MVS1","more":1}"#, 400),
        (&format!("{:5000}", KILL), 413),
    ] {
        assert_eq!(served.status(&kill, body).await, expected, "{body}");
    }
    // A preflight is answered, but allows nothing.
    let (status, answer) = served.send("OPTIONS /act HTTP/1.1\r\nOrigin: http://evil.example", "").await;
    assert!(status == 403 && !answer.contains("access-control-allow"), "{answer}");
    assert!(served.asked.try_recv().is_err(), "the lab was asked something");
}

/// On loopback only who has the token watches; an image's page is open. The page itself is no secret.
#[tokio::test]
async fn watching_needs_the_token_on_loopback() {
    for (open, expected) in [(false, 401), (true, 502)] {
        let served = Served::start(open).await;
        // The script's lab has no metrics: past the guard, it answers something else.
        assert_eq!(served.status("GET /metrics HTTP/1.1", "").await, expected, "open: {open}");
        let report = served.status("GET /report/MVS1/HOME HTTP/1.1", "").await;
        assert_eq!(report, expected, "open: {open}");
        assert_eq!(served.status("GET / HTTP/1.1", "").await, 200);
        assert_eq!(served.status("GET /nothing HTTP/1.1\r\nAuthorization: Bearer wrong", "").await, 401);
    }
}

#[tokio::test]
async fn every_answer_is_fenced_in() {
    let served = Served::start(false).await;
    for path in ["/", "/app.js", "/feed", "/act", "/nothing"] {
        let (_, answer) = served.send(&format!("GET {path} HTTP/1.1"), "").await;
        for header in [
            "content-security-policy: default-src 'none'; script-src 'self'",
            "frame-ancestors 'none'",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "cache-control: no-store",
        ] {
            assert!(answer.contains(header), "{path}: {header}\n{answer}");
        }
    }
    // What the policy forbids is not there: no script or style in the markup, no way for text to become markup.
    let (_, page) = served.send("GET / HTTP/1.1", "").await;
    assert!(!page.contains("style=") && !page.contains("<style") && !page.contains("onclick="));
    for script in ["app", "cluster", "dom", "lab", "tables", "timeline"] {
        let (status, text) = served.send(&format!("GET /{script}.js HTTP/1.1"), "").await;
        let markup = ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("];
        assert!(status == 200 && markup.iter().all(|way| !text.contains(way)), "{script}");
    }
}

/// The feed begins with the whole picture; names come as they are, in JSON.
#[tokio::test]
async fn the_feed_tells_the_picture_and_the_story() {
    let served = Served::start(true).await;
    let mut stream = TcpStream::connect(served.at).await.unwrap();
    let request = format!("GET /feed HTTP/1.1\r\nHost: {}\r\n\r\n", served.at);
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    while !text.contains("\n\n") {
        let mut part = [0; 4096];
        let count = stream.read(&mut part).await.unwrap();
        assert!(count > 0, "{text}");
        text.push_str(std::str::from_utf8(&part[..count]).unwrap());
    }
    let message = text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
    let message: Value = serde_json::from_str(message).unwrap();
    assert_eq!(message["picture"]["images"][0]["name"], "<img src=x>");
    let event = ["text", "kind", "level"].map(|key| &message["events"][0][key]);
    assert_eq!(event, ["hello", "note", "info"]);
    assert!(message["timeline"]["tenures"].is_array());
}

/// More watchers than there is room for are told so, and go on when one has left.
#[tokio::test]
async fn watchers_are_bounded() {
    let served = Served::start(true).await;
    let mut watching = Vec::new();
    for _ in 0..WATCHERS {
        let mut stream = TcpStream::connect(served.at).await.unwrap();
        stream.write_all(format!("GET /feed HTTP/1.1\r\nHost: {}\r\n\r\n", served.at).as_bytes()).await.unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.unwrap();
        assert_eq!(&status, b"HTTP/1.1 200");
        watching.push(stream);
    }
    assert_eq!(served.status("GET /feed HTTP/1.1", "").await, 503);
    assert_eq!(served.status("GET / HTTP/1.1", "").await, 200);
    watching.clear();
    let began = std::time::Instant::now();
    loop {
        let mut stream = TcpStream::connect(served.at).await.unwrap();
        stream.write_all(format!("GET /feed HTTP/1.1\r\nHost: {}\r\n\r\n", served.at).as_bytes()).await.unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.unwrap();
        if &status == b"HTTP/1.1 200" {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Those who connect and say nothing, or too little, keep nobody waiting.
#[tokio::test]
async fn silence_keeps_nobody_waiting() {
    let served = Served::start(true).await;
    let mut silent = Vec::new();
    for number in 0..3 * CONNECTIONS {
        let mut stream = TcpStream::connect(served.at).await.unwrap();
        stream.write_all(&b"GET / HTTP/1.1\r\nHost: "[..number % 20]).await.unwrap();
        silent.push(stream);
    }
    let answer = tokio::time::timeout(HEAD_WAIT / 2, served.status("GET / HTTP/1.1", ""));
    assert_eq!(answer.await.expect("the silent ones are waited for"), 200);
}

/// Pipes in place of sockets: nothing is read ahead of those who read nothing.
struct Pipes(mpsc::UnboundedReceiver<DuplexStream>);

impl crate::apps::Stream for DuplexStream {
    fn reset(&mut self) {}
}

#[async_trait::async_trait]
impl Listener for Pipes {
    type Stream = DuplexStream;

    async fn accept(&mut self) -> io::Result<(DuplexStream, SocketAddr, SocketAddr)> {
        let none = SocketAddr::from(([127, 0, 0, 1], 0));
        Ok((self.0.recv().await.ok_or(io::ErrorKind::BrokenPipe)?, none, none))
    }
}

/// Asks for something through a new pipe; the answer's status has come.
async fn ask(pipes: &mpsc::UnboundedSender<DuplexStream>, path: &str) -> (DuplexStream, u16) {
    let (mut own, other) = tokio::io::duplex(256);
    pipes.send(other).unwrap();
    own.write_all(format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").as_bytes()).await.unwrap();
    let mut status = [0; 12];
    own.read_exact(&mut status).await.unwrap();
    (own, std::str::from_utf8(&status[9..]).unwrap().parse().unwrap())
}

/// Those who do not read what they have asked for lose their places after a while.
#[tokio::test]
async fn who_reads_nothing_loses_his_place() {
    let (pipes, listener) = mpsc::unbounded_channel();
    tokio::spawn(serve(Pipes(listener), Script::start(true).site));
    let mut idle = Vec::new();
    for _ in 0..CONNECTIONS {
        idle.push(ask(&pipes, "/app.js").await);
    }
    let served = tokio::time::timeout(3 * ANSWER_WAIT, ask(&pipes, "/app.js"));
    assert_eq!(served.await.expect("the places stay taken").1, 200);
}

/// Those who take a little of the feed now and then watch no more, and others do.
#[tokio::test]
async fn who_reads_too_slowly_watches_no_more() {
    let (pipes, listener) = mpsc::unbounded_channel();
    let script = Script::start(true);
    tokio::spawn(serve(Pipes(listener), script.site.clone()));
    for _ in 0..WATCHERS {
        let (mut own, status) = ask(&pipes, "/feed").await;
        assert_eq!(status, 200);
        tokio::spawn(async move {
            while own.read_u8().await.is_ok() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
    }
    assert_eq!(ask(&pipes, "/feed").await.1, 503);
    let watches = async {
        while ask(&pipes, "/feed").await.1 != 200 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(3 * ANSWER_WAIT, watches).await.expect("the slow ones watch for ever");
}
