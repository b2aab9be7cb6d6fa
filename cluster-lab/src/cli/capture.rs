//! `capture`: packets of a lab's images as pcapng.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use clap::Args;
use tokio::io::BufReader;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::client;
use crate::capture::{DISSECTOR, Link, Record, Writer};
use crate::control::Request;
use crate::interruption::Interruption;
use crate::state::StateDir;
use crate::suggest;

/// Between two writes.
const LOOK: Duration = Duration::from_millis(100);
/// How long a record waits for earlier ones of other images.
const ORDERING: Duration = Duration::from_millis(200);
/// Records that wait for the file.
const WAITING: usize = 4096;

#[derive(Debug, Args)]
pub(super) struct Capture {
    /// The images; all of them unless you say which
    images: Vec<String>,
    /// Write to this file; otherwise to standard output, for 'tshark -r -' or 'wireshark -k -i -'
    #[arg(long, short)]
    write: Option<PathBuf>,
    /// Only what crosses the TUN devices
    #[arg(long, conflicts_with = "xcf")]
    tun: bool,
    /// Only what crosses XCF
    #[arg(long)]
    xcf: bool,
    /// Stop after so many seconds instead of at Ctrl-C
    #[arg(long, value_name = "S", value_parser = seconds)]
    seconds: Option<Duration>,
    /// Print the dissector for Wireshark that knows XCF's messages, and do nothing else
    #[arg(long)]
    dissector: bool,
    #[command(flatten)]
    lab: super::Lab,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or_else(|| format!("'{text}': expected a number of seconds, such as 10 or 0.5"))
}

/// The socket that images write to, gone with the command.
struct Socket {
    path: PathBuf,
    listener: UnixListener,
}

impl Socket {
    fn bind(path: PathBuf) -> io::Result<Socket> {
        Ok(Socket { listener: UnixListener::bind(&path)?, path })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // The lab may be over, and its folder gone.
        drop(fs::remove_file(&self.path));
    }
}

pub(super) async fn capture(capture: Capture) -> Result<()> {
    if capture.dissector {
        return super::show::lines(&[DISSECTOR.trim_end().to_owned()]);
    }
    let dir = StateDir::of(&capture.lab.name)?;
    let images = client::status(&capture.lab.name).await?.images;
    let addresses: BTreeMap<String, IpAddr> = images.into_iter().map(|image| (image.name, image.xcf)).collect();
    let known: Vec<String> = addresses.keys().cloned().collect();
    let mut wanted = if capture.images.is_empty() { known.clone() } else { Vec::new() };
    for image in &capture.images {
        let Some(name) = known.iter().find(|name| name.eq_ignore_ascii_case(image)) else {
            bail!("{}", suggest::no_image(image, known.iter().map(String::as_str)));
        };
        // Who names it twice wants its packets once.
        if !wanted.contains(name) {
            wanted.push(name.clone());
        }
    }
    let to: Box<dyn Write> = match &capture.write {
        Some(path) => Box::new(File::create(path).with_context(|| format!("{} cannot be written", path.display()))?),
        None if io::stdout().is_terminal() => {
            bail!("a capture is not for terminals: say --write FILE, or pipe it into 'tshark -r -'")
        }
        None => Box::new(io::stdout()),
    };
    let mut writer = Writer::new(BufWriter::new(to))?;
    // Before there are sockets that could stay behind.
    let mut interruption = Interruption::watch()?;
    let (sender, mut records) = mpsc::channel(WAITING);
    for image in &wanted {
        tap(&capture.lab.name, &dir, image, sender.clone()).await?;
    }
    let mut ordered = Ordered::default();
    let mut end = std::pin::pin!(async {
        match capture.seconds {
            Some(seconds) => sleep(seconds).await,
            None => std::future::pending().await,
        }
    });
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            Some((image, record)) = records.recv() => {
                if capture.wants(record.link) {
                    ordered.push(image, record);
                }
            }
            _ = look.tick() => if !is_read(ordered.write(&mut writer, &addresses, Some(ORDERING)))? {
                return Ok(());
            } else if !dir.runs() {
                break;
            },
            () = &mut end => break,
            _ = interruption.comes() => break,
        }
    }
    while let Ok((image, record)) = records.try_recv() {
        if capture.wants(record.link) {
            ordered.push(image, record);
        }
    }
    is_read(ordered.write(&mut writer, &addresses, None))?;
    if capture.write.is_some() {
        eprintln!("{} packets captured", ordered.written);
    }
    if ordered.lost > 0 {
        eprintln!(
            "{} were lost, as they came faster than they could be written: --tun, --xcf or fewer images leave out some",
            ordered.lost
        );
    }
    Ok(())
}

/// Whether what was written has a reader still; one that has seen enough is no error.
fn is_read(written: io::Result<()>) -> Result<bool> {
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error).context("the capture cannot be written"),
    }
}

impl Capture {
    fn wants(&self, link: Link) -> bool {
        match link {
            Link::Network => !self.xcf,
            Link::Xcf(_) => !self.tun,
        }
    }
}

/// Has every life of an image send its records.
async fn tap(lab: &str, dir: &StateDir, image: &str, to: mpsc::Sender<(String, Record)>) -> Result<()> {
    let path = dir.path().join(format!("capture-{}-{image}.sock", std::process::id()));
    let socket = Socket::bind(path.clone()).context("no socket for the images to write to")?;
    client::done(lab, Request::Capture { image: image.to_owned(), path }).await?;
    let image = image.to_owned();
    tokio::spawn(async move {
        while let Ok((stream, _)) = socket.listener.accept().await {
            tokio::spawn(read(stream, image.clone(), to.clone()));
        }
    });
    Ok(())
}

async fn read(stream: UnixStream, image: String, to: mpsc::Sender<(String, Record)>) {
    let mut from = BufReader::with_capacity(1 << 18, stream);
    while let Ok(Some(record)) = Record::read(&mut from).await {
        if to.send((image.clone(), record)).await.is_err() {
            return;
        }
    }
}

/// Records in the order of time.
#[derive(Default)]
struct Ordered {
    waiting: BTreeMap<(u64, u64), (String, Record)>,
    arrived: u64,
    written: u64,
    lost: u64,
}

impl Ordered {
    fn push(&mut self, image: String, record: Record) {
        self.arrived += 1;
        self.waiting.insert((record.time, self.arrived), (image, record));
    }

    /// Writes those that are older than `age`, or all.
    fn write<W: Write>(
        &mut self,
        writer: &mut Writer<W>,
        addresses: &BTreeMap<String, IpAddr>,
        age: Option<Duration>,
    ) -> io::Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let until = age.map_or(u64::MAX, |age| u64::try_from(now.saturating_sub(age).as_nanos()).unwrap_or(u64::MAX));
        let later = self.waiting.split_off(&(until, u64::MAX));
        for (image, record) in std::mem::replace(&mut self.waiting, later).into_values() {
            let Some(own) = addresses.get(&image) else { continue };
            self.lost += u64::from(record.lost);
            writer.write(&image, *own, record)?;
            self.written += 1;
        }
        writer.flush()
    }
}
