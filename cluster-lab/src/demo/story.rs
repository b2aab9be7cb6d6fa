//! The whole story by itself: distribution, takeover, takeback.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::Child;

use super::lab::Lab;
use crate::control::Request;
use crate::output;
use crate::profile;

const PROFILE: &str = include_str!("../../../profiles/demo.ron");
const WEB: &str = "http://203.0.113.1:60";
const TITLE: anstyle::Style = anstyle::Style::new().bold();
const BYTES: usize = 100_000_000;

/// Prints the steps.
struct Story {
    began: Instant,
}

impl Story {
    fn step(&self, text: &str) {
        output::tell(format_args!("\n{TITLE}{text}{TITLE:#}"));
    }

    fn fact(&self, text: &str) {
        output::tell(format_args!("  [{:6.2} s] {text}", self.began.elapsed().as_secs_f64()));
    }
}

/// Tells it; `name` is the lab's.
///
/// # Errors
/// What did not hold.
pub async fn story(name: &str) -> Result<()> {
    super::lab::needs(&["curl", "ncat"]).await?;
    let cluster = profile::read("demo", PROFILE, std::path::Path::new("."))?;
    let story = Story { began: Instant::now() };
    story.step("A lab of five images comes up: the example of the patent, figure 4");
    Lab::with(name, cluster, async |lab| tell(lab, &story).await).await?;
    story.step("All of it held. Now by hand: cluster-lab up");
    Ok(())
}

impl Lab {
    /// Waits until `owner` routes DVA1 with at least `targets` targets.
    async fn routed_by(&self, owner: &str, targets: usize) -> Result<()> {
        self.wait(&format!("{owner} routes DVA1"), async || {
            let dva1 = self.dvipa("DVA1").await?;
            let holds = dva1.owner.as_deref() == Some(owner) && dva1.targets.len() >= targets;
            Ok(if holds { Ok(()) } else { Err(format!("{dva1:?}")) })
        })
        .await
    }

    /// Which image answers.
    async fn answers(&self) -> Result<String> {
        let output = self.client("curl", &["-sS", "--max-time", "20", &format!("{WEB}/")])?.output().await?;
        ensure!(output.status.success(), "curl failed: {}", output.status);
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

/// An ncat session with an echo server.
struct Session {
    child: Child,
    lines: tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
}

impl Session {
    fn open(lab: &Lab) -> Result<Session> {
        let mut child = lab.client("ncat", &["203.0.113.1", "7"])?.stdin(Stdio::piped()).spawn()?;
        let lines = BufReader::new(child.stdout.take().context("a pipe")?).lines();
        Ok(Session { child, lines })
    }

    async fn echo(&mut self, line: &str) -> Result<()> {
        let input = self.child.stdin.as_mut().context("a pipe")?;
        input.write_all(format!("{line}\n").as_bytes()).await?;
        let answer = tokio::time::timeout(Duration::from_secs(10), self.lines.next_line()).await;
        let answer = answer.context("the session does not answer")??;
        ensure!(answer.as_deref() == Some(line), "the session answered {answer:?}");
        Ok(())
    }
}

async fn tell(lab: &Lab, story: &Story) -> Result<()> {
    lab.routed_by("MVS1", 2).await?;
    story.fact("MVS1 owns DVA1 (203.0.113.1) on the network, MVS5 backs it up; MVS2 and MVS4 serve it");

    story.step("Connections are spread over the images that listen");
    let mut counts = BTreeMap::new();
    for _ in 0..10 {
        *counts.entry(lab.answers().await?).or_insert(0) += 1;
    }
    story.fact(&format!("10 requests with curl were answered by {counts:?}"));
    ensure!(counts.len() == 2 && counts.values().all(|count| *count == 5), "round robin would be 5 and 5");

    story.step("Real clients connect through MVS1: a download with curl, and sessions of ncat that idle");
    let mut sessions = Vec::new();
    for number in 0..4 {
        let mut session = Session::open(lab)?;
        session.echo(&format!("hello {number}")).await?;
        sessions.push(session);
    }
    let arguments = ["-sS", "--limit-rate", "12M", "--max-time", "60", &format!("{WEB}/bytes/{BYTES}")];
    let mut download = lab.client("curl", &arguments)?.spawn()?;
    let mut output = download.stdout.take().context("a pipe")?;
    let digest = tokio::spawn(async move {
        let (mut digest, mut buffer, mut count) = (Sha256::new(), vec![0; 1 << 17], 0);
        loop {
            match output.read(&mut buffer).await? {
                0 => return std::io::Result::Ok((count, digest.finalize())),
                got => {
                    count += got;
                    digest.update(&buffer[..got]);
                }
            }
        }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    story.fact("4 sessions echo; the download of 100 MB runs at 12 MB/s");

    story.step("kill -9 on MVS1, the routing stack");
    lab.order(Request::Kill { image: "MVS1".into(), signal: rustix::process::Signal::KILL.as_raw() }).await?;
    let killed = Instant::now();
    let answered = lab.answers().await?;
    story.fact(&format!("a new connection, made at once, is answered by {answered} after {:.0?}", killed.elapsed()));
    lab.routed_by("MVS5", 2).await?;
    story.fact("MVS5 owns DVA1 now");
    for session in &mut sessions {
        session.echo("still there?").await?;
    }
    story.fact("every idle session still echoes");

    story.step("MVS1 comes back and takes DVA1 over again");
    tokio::time::sleep(Duration::from_secs(1)).await;
    lab.order(Request::Start { image: "MVS1".into() }).await?;
    lab.routed_by("MVS1", 2).await?;
    story.fact("MVS1 owns DVA1 again");
    for session in &mut sessions {
        session.echo("and now?").await?;
    }
    story.fact("every idle session still echoes");
    lab.answers().await?;

    story.step("The download ends");
    let status = download.wait().await?;
    let (count, digest) = digest.await??;
    ensure!(status.success() && count == BYTES, "the download broke off after {count} bytes");
    let expected: Vec<u8> = (0..=250u8).cycle().take(BYTES).collect();
    ensure!(digest == Sha256::digest(&expected), "the download arrived changed");
    story.fact("100 MB arrived whole: its SHA-256 is right");
    Ok(())
}
