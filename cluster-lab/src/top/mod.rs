//! `top`: a lab on a terminal, as it happens, with keys that act on it.
//!
//! | module | what |
//! |---|---|
//! | `screen` | what is shown, and what keys do |
//! | `draw` | how it is laid out; `images`, `dvipas`, `events` are its parts |
//! | `orders` | what keys have the lab do |
//! | `terminal` | the terminal, given back as it was however this ends |

mod draw;
mod dvipas;
mod events;
mod images;
mod orders;
mod screen;
mod terminal;
#[cfg(test)]
mod tests;

use std::io::IsTerminal;

use anyhow::{Context, Result, bail, ensure};
use crossterm::event::EventStream;
use futures_util::StreamExt;
use tokio::sync::mpsc;

use crate::cli;
use crate::interruption::Interruption;
use crate::state::StateDir;
use crate::watch::{Feed, Update};
use screen::{Screen, Wish};
use terminal::Terminal;

/// Updates that wait to be drawn.
const WAITING: usize = 256;

/// Shows the lab called `name` until q, Ctrl-C or its end.
///
/// # Errors
/// If there is no such lab, or no terminal.
pub(crate) async fn top(name: &str) -> Result<()> {
    let dir = StateDir::of(name)?;
    let feed = Feed::open(&dir.socket()).await.map_err(|_| cli::not_running(name))?;
    ensure!(
        std::io::stdout().is_terminal() && std::io::stdin().is_terminal(),
        "top needs a terminal; for programs there is 'cluster-lab status{} --json'",
        crate::name_option(name)
    );
    let mut updates = follow(feed);
    let mut screen = Screen::default();
    // Before there is anything to see: that there is no lab, or another version of one, belongs on a plain terminal.
    match updates.recv().await {
        Some(update) => screen.apply(update?),
        None => bail!("the lab has just ended"),
    }
    let done = run(name, &mut screen, &mut updates).await;
    if let Ok(End::OfLab) = done {
        eprintln!("lab '{name}' has ended");
    }
    done.map(drop)
}

/// Why it ended.
enum End {
    Wished,
    OfLab,
}

async fn run(name: &str, screen: &mut Screen, updates: &mut mpsc::Receiver<Result<Update>>) -> Result<End> {
    let mut interruption = Interruption::watch()?;
    let (notes, mut told) = mpsc::unbounded_channel();
    let mut terminal = Terminal::enter().context("the terminal cannot be used")?;
    let mut keys = EventStream::new();
    loop {
        terminal.draw(|frame| screen.draw(frame))?;
        tokio::select! {
            update = updates.recv() => match update {
                Some(update) => screen.apply(update?),
                None => return Ok(End::OfLab),
            },
            // A change of size is drawn like everything else.
            key = keys.next() => match key.transpose()?.map(|event| screen.key(&event)) {
                Some(Some(Wish::Do(order))) => order.give(name, notes.clone()),
                Some(None) => {}
                // The terminal has gone.
                Some(Some(Wish::Quit)) | None => return Ok(End::Wished),
            },
            Some(note) = told.recv() => screen.note = note,
            _ = interruption.comes() => return Ok(End::Wished),
        }
        // What has come meanwhile is in the same picture: a busy lab costs no more drawing than this takes.
        while let Ok(update) = updates.try_recv() {
            screen.apply(update?);
        }
    }
}

/// The lab's updates. A read of them cannot be broken off, so that it has a task of its own.
fn follow(mut feed: Feed) -> mpsc::Receiver<Result<Update>> {
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        while let Some(update) = feed.next().await.transpose() {
            let failed = update.is_err();
            if sender.send(update).await.is_err() || failed {
                return;
            }
        }
    });
    receiver
}
