//! The page, in headless Chromium: on loopback, and served by the cluster itself.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tests::{Download, Lab, Session, succeed};

const PATIENCE: Duration = Duration::from_secs(20);

/// A program that ends with the test.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A browser of its own: its driver, its profile, and a window.
struct Browser {
    client: Client,
    runtime: tokio::runtime::Runtime,
    driver: Option<Ends>,
    _profile: tempfile::TempDir,
}

impl Browser {
    fn start() -> Browser {
        let profile = tempfile::tempdir().expect("a folder");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .env("TMPDIR", profile.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts: './run test' installs it");
        let driver = Ends(driver);
        let folder = format!("--user-data-dir={}", profile.path().join("user").display());
        let quiet = ["no-first-run", "disable-background-networking", "disable-component-update", "disable-sync"];
        let bare = ["headless", "no-sandbox", "disable-gpu", "disable-quic", "hide-scrollbars"];
        let mut arguments: Vec<String> = bare.iter().chain(&quiet).map(|word| format!("--{word}")).collect();
        arguments.extend([folder, "--window-size=1366,768".into()]);
        let capabilities = json!({"goog:chromeOptions": {"args": arguments}});
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let began = Instant::now();
        let client = loop {
            let mut builder = ClientBuilder::new(HttpConnector::new());
            builder.capabilities(capabilities.as_object().expect("an object").clone());
            match runtime.block_on(builder.connect(&format!("http://127.0.0.1:{port}"))) {
                Ok(client) => break client,
                Err(error) => assert!(began.elapsed() < PATIENCE, "no browser: {error}"),
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        Browser { client, runtime, driver: Some(driver), _profile: profile }
    }

    fn goto(&self, url: &str) {
        self.runtime.block_on(self.client.goto(url)).expect("the page opens");
    }

    /// Opens the page, and waits until it follows the lab.
    fn open(&self, url: &str) {
        self.goto(url);
        self.until("the page is live", "return document.getElementById('link').dataset.state === 'live'");
    }

    fn ask(&self, script: &str) -> Value {
        self.runtime
            .block_on(self.client.execute(script, Vec::new()))
            .unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// Waits until the script returns something true; what it is.
    fn until(&self, what: &str, script: &str) -> Value {
        let began = Instant::now();
        loop {
            let value = self.ask(script);
            if !matches!(value, Value::Null | Value::Bool(false)) {
                return value;
            }
            if began.elapsed() > PATIENCE {
                panic!("not within {PATIENCE:?}: {what}\n{}", self.ask("return document.body.innerText"));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Presses a button as a user does.
    fn press(&self, act: &str, image: &str) {
        let button = format!("button[data-act={act}][data-image={image}]:enabled");
        self.until(&format!("{button} is there"), &format!("return !!document.querySelector('{button}')"));
        let press = async { self.client.find(Locator::Css(&button)).await?.click().await };
        self.runtime.block_on(press).unwrap_or_else(|error| panic!("{button}: {error}"));
    }

    fn size(&self, width: u32, height: u32) {
        self.runtime.block_on(self.client.set_window_size(width, height)).expect("a window changes its size");
    }

    fn screenshot(&self, to: PathBuf) {
        let picture = self.runtime.block_on(self.client.screenshot()).expect("a picture");
        std::fs::write(&to, picture).unwrap_or_else(|error| panic!("{}: {error}", to.display()));
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Closes Chromium, too; its driver only then.
        drop(self.runtime.block_on(self.client.clone().close()));
        self.driver = None;
    }
}

/// `cluster-lab web`, and the address that it prints first.
fn web(lab: &Lab) -> (Ends, String) {
    let mut web = lab.command("web").stdout(Stdio::piped()).spawn().expect("cluster-lab starts");
    let lines = BufReader::new(web.stdout.take().expect("piped")).lines();
    let web = Ends(web);
    let url =
        lines.map_while(Result::ok).find_map(|line| line.trim().strip_prefix("http").map(|rest| format!("http{rest}")));
    (web, url.expect("web prints its address"))
}

/// The address at which the lab itself serves the page.
fn own_url(url: &str) -> String {
    let token = url.split('#').nth(1).expect("a token in the fragment");
    format!("http://203.0.113.1:8080/#{token}")
}

/// I1: the router is killed by its button. The page shows it within 100 ms of the signal, and no connection is
/// lost; it is the same event that the lab tells.
#[test]
fn a_kill_by_button_shows_at_once_and_connections_survive() {
    let lab = Lab::up("web.ron");
    let (_web, url) = web(&lab);
    let browser = Browser::start();
    browser.open(&url);
    assert_eq!(browser.ask("return location.hash"), "", "the token stays in the address");
    let mut session = Session::open(&lab, "203.0.113.1");
    assert!(session.echoes("before"));
    let download = Download::start(&lab, "http://203.0.113.1/bytes/30000000", "4M");
    let mut after = Vec::new();
    for round in 0..5 {
        browser.press("kill", "MVS1");
        let noted = "const line = document.querySelector('#events li[data-kind=ended][data-image=MVS1]');
            return line?.dataset.after ? [line.dataset.key, line.dataset.after] : null";
        let known = after.last().map(|(number, _)| *number).unwrap_or(0);
        let fresh = format!("const noted = (() => {{ {noted} }})(); return noted && noted[0] > {known} ? noted : null");
        let noted = browser.until("the page shows the death", &fresh);
        let number = |index: usize| noted[index].as_str().and_then(|text| text.parse::<f64>().ok()).expect("a number");
        after.push((number(0) as u64, number(1)));
        let owner = "return document.querySelector('[data-dvipa=DVA]').dataset.owner";
        browser.until("MVS2 has it", &format!("{owner} === 'MVS2'"));
        assert!(session.echoes(&format!("after {round}")));
        browser.press("start", "MVS1");
        browser.until("MVS1 has it back", &format!("{owner} === 'MVS1'"));
    }
    assert!(session.echoes("and at the end"));
    assert_eq!(download.finish(), tests::pattern_digest(30_000_000));
    // What the page has noted is what the lab tells.
    let log = succeed(lab.command("log").args(["--log-format", "json"]));
    let events: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    for (number, _) in &after {
        let event = events.iter().find(|event| event["number"] == *number).expect("the event is in the log");
        assert_eq!((&event["event"], &event["image"]), (&json!("ended"), &json!("MVS1")));
        assert!(event["signalled"].is_number() && event["time"].is_string(), "{event}");
    }
    let mut millis: Vec<f64> = after.iter().map(|(_, millis)| *millis).collect();
    millis.sort_by(f64::total_cmp);
    println!("shown after the signal, in ms: {millis:?}");
    assert!(millis[2] < 100.0, "shown after {millis:?} ms");
    let changes = browser.ask("return document.querySelectorAll('#changes tr[data-change=takeover]').length");
    assert_eq!(changes, 5);
}

/// Who acts by keyboard stays at the image when the button that was pressed is gone.
#[test]
fn the_focus_stays_at_the_image() {
    let lab = Lab::up("web.ron");
    let (_web, url) = web(&lab);
    let browser = Browser::start();
    browser.open(&url);
    for (verb, next) in [("kill", "start"), ("start", "kill")] {
        let button = |verb: &str| format!("document.querySelector('[data-act={verb}][data-image=MVS1]:enabled')");
        browser.until(verb, &format!("return !!{}", button(verb)));
        browser.ask(&format!("{}.focus()", button(verb)));
        browser.press(verb, "MVS1");
        browser.until(next, &format!("return !!{}", button(next)));
        assert_eq!(browser.ask("return document.activeElement.getAttribute('aria-label')"), "MVS1");
    }
}

/// A cut of XCF between two images by its button shows, and heals by its own.
#[test]
fn a_cut_by_button_shows_and_heals() {
    let lab = Lab::up("web.ron");
    let (_web, url) = web(&lab);
    let browser = Browser::start();
    browser.open(&url);
    let press = |button: &str| {
        browser.until(button, &format!("return !!document.querySelector('{button}:enabled')"));
        browser.ask(&format!("document.querySelector('{button}').click()"));
    };
    let shown = "document.getElementById('cuts').textContent.includes('cut: MVS1 ⇹ MVS2')";
    press("#cutting [data-act=cut]");
    browser.until("the cut shows", &format!("return {shown}"));
    assert_eq!(browser.ask("return document.querySelectorAll('#wires .broken path').length"), 1);
    press("#cuts [data-act=heal]");
    browser.until("it is healed", &format!("return !{shown}"));
    let log = succeed(&mut lab.command("log"));
    assert!(log.contains("XCF is cut") && log.contains("XCF is healed"), "{log}");
}

/// The page that the cluster serves at its own DVIPA follows a takeover of that DVIPA, and comes back by itself
/// when the image that serves it dies. Without the token it shows everything, and acts on nothing.
#[test]
fn a_page_of_the_cluster_outlives_its_router_and_its_server() {
    let lab = Lab::up("web.ron");
    let (_web, url) = web(&lab);
    // The other half runs in the lab's network, as a client of it.
    let program = std::env::current_exe().expect("a test has a program");
    let mut inside = lab.exec(program.to_str().expect("a path in UTF-8"));
    inside.args(["--exact", "inside_the_labs_network", "--ignored", "--nocapture"]).env("PAGE", own_url(&url));
    succeed(&mut inside);
    let metrics = lab.curl(&["http://203.0.113.1:8080/metrics"]);
    assert!(metrics.contains("cluster_lab_image_up{image=\"MVS3\"} 1.0"), "{metrics}");
    assert!(metrics.ends_with("# EOF\n"));
    assert_eq!(lab.image("MVS2")["state"], "failed");
}

#[test]
#[ignore = "the test above runs it in the lab's network"]
fn inside_the_labs_network() {
    let Ok(url) = std::env::var("PAGE") else { return };
    let browser = Browser::start();
    browser.open(url.split('#').next().expect("an address"));
    let buttons = "return [...document.querySelectorAll('#images button')]";
    browser.until("there are buttons", &format!("{buttons}.length >= 3"));
    assert_eq!(browser.ask(&format!("{buttons}.every(button => button.disabled)")), true);
    let act = "return fetch('/act', { method: 'POST', headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ act: 'kill', image: 'MVS1' }) }).then(answer => answer.status)";
    assert_eq!(browser.ask(act), 401);
    // The same address with another fragment alone would not be loaded again.
    browser.goto("about:blank");
    browser.open(&url);
    let served = "return document.getElementById('summary').textContent.match(/served by (\\w+)/)?.[1]";
    let shows = |image: &str| {
        let line = format!("#events li[data-kind=ended][data-image={image}]");
        browser.until(&format!("{image} is seen to die"), &format!("return !!document.querySelector('{line}')"));
    };
    let first = browser.until("an image serves the page", served);
    browser.press("kill", "MVS1");
    shows("MVS1");
    assert_eq!(browser.until("the page is served on", served), first, "the same connection goes on");
    let owner = "return document.querySelector('[data-dvipa=DVA]').dataset.owner === 'MVS2'";
    browser.until("MVS2 has the DVIPA", owner);
    browser.press("kill", "MVS2");
    shows("MVS2");
    browser.until("MVS3 serves the page", &format!("{served} === 'MVS3'"));
    browser.until("the page is live", "return document.getElementById('link').dataset.state === 'live'");
}

/// The pictures of the README: `cargo test -p tests --test web -- --ignored screenshots`.
#[test]
#[ignore = "makes docs/web-light.png and docs/web-dark.png"]
fn screenshots() {
    let lab = Lab::named("lab", "figure4");
    let (_web, url) = web(&lab);
    let slow = |url: &str, rate: &str| lab.spawn("curl", &["-s", "-o", "/dev/null", "--limit-rate", rate, url]);
    let mut load: Vec<_> = (0..7).map(|_| slow("http://203.0.113.1:60/bytes/90000000000", "2M")).collect();
    load.extend((0..4).map(|_| slow("http://203.0.113.65:60/bytes/90000000000", "8M")));
    let browser = Browser::start();
    browser.size(1366, 768 + 140);
    browser.open(&url);
    std::thread::sleep(Duration::from_secs(20));
    browser.press("kill", "MVS1");
    std::thread::sleep(Duration::from_secs(8));
    let docs = tests::workspace().join("docs");
    for theme in ["light", "dark"] {
        let now = "return document.documentElement.dataset.theme";
        if browser.ask(now) != theme {
            browser.ask("document.getElementById('theme').click()");
        }
        std::thread::sleep(Duration::from_millis(500));
        browser.screenshot(docs.join(format!("web-{theme}.png")));
    }
}
