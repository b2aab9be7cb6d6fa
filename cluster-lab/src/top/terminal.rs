//! The terminal, given back as it was: at the end, on an error, on a panic.

use std::io::{self, Stdout, stdout};
use std::mem::ManuallyDrop;
use std::panic;

use crossterm::cursor::Show;
use crossterm::execute;
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::Frame;
use ratatui::backend::CrosstermBackend;

/// A screen of its own, without echo. ratatui's own destructor is not for it: what goes wrong there goes to standard
/// error, and a panic follows if the terminal that this was is gone.
#[derive(Debug)]
pub(super) struct Terminal(ManuallyDrop<ratatui::Terminal<CrosstermBackend<Stdout>>>);

impl Terminal {
    pub fn enter() -> io::Result<Terminal> {
        // Where a panic ends the process at once, no destructor runs; and its words belong on the old screen.
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |why| {
            leave();
            report(why);
        }));
        enable_raw_mode()?;
        let entered = execute!(stdout(), EnterAlternateScreen)
            .and_then(|()| ratatui::Terminal::new(CrosstermBackend::new(stdout())));
        entered.map(|terminal| Terminal(ManuallyDrop::new(terminal))).inspect_err(|_| leave())
    }

    pub fn draw(&mut self, render: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.0.draw(render).map(drop)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        leave();
    }
}

/// What cannot be undone on a terminal that has gone need not be.
fn leave() {
    drop(disable_raw_mode());
    drop(execute!(stdout(), LeaveAlternateScreen, Show));
}
