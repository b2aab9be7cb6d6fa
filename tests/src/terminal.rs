//! A terminal with a program in it.

use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

/// A bound that only ends a test that would never end.
const PATIENCE: Duration = Duration::from_secs(20);

/// Ended with its program when the test is done with it.
pub struct Terminal {
    master: Box<dyn MasterPty + Send>,
    keys: Box<dyn Write + Send>,
    output: Receiver<Vec<u8>>,
    parser: vt100::Parser,
    child: Box<dyn Child + Send + Sync>,
}

impl std::fmt::Debug for Terminal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.screen().contents())
    }
}

fn size(columns: u16, rows: u16) -> PtySize {
    PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 }
}

fn side(letters: u16) -> NonZeroU16 {
    NonZeroU16::new(letters).expect("a terminal has a size")
}

impl Terminal {
    /// Starts the program, with its arguments and its environment, in a terminal of this size.
    ///
    /// # Panics
    /// If that cannot be done.
    pub fn run(command: &Command, columns: u16, rows: u16) -> Terminal {
        let pair = native_pty_system().openpty(size(columns, rows)).expect("a terminal");
        let mut inside = CommandBuilder::new(command.get_program());
        inside.args(command.get_args());
        inside.env("TERM", "xterm-256color");
        inside.env_remove("NO_COLOR");
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            }
        }
        let child = pair.slave.spawn_command(inside).expect("the program starts");
        let mut reader = pair.master.try_clone_reader().expect("a reader");
        let keys = pair.master.take_writer().expect("a writer");
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 1 << 16];
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Terminal { master: pair.master, keys, output, parser: vt100::Parser::new(side(rows), side(columns), 0), child }
    }

    /// What is on the screen.
    pub fn screen(&self) -> &vt100::Screen {
        self.parser.screen()
    }

    /// The line of the screen that holds `word` first.
    pub fn line(&self, word: &str) -> Option<String> {
        self.screen().contents().lines().find(|line| line.contains(word)).map(str::to_owned)
    }

    /// How the terminal treats keys and output.
    pub fn settings(&self) -> String {
        format!("{:?}", self.master.get_termios())
    }

    /// Types.
    ///
    /// # Panics
    /// If the terminal has gone.
    pub fn type_in(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).and_then(|()| self.keys.flush()).expect("it takes keys");
    }

    /// Changes its size.
    ///
    /// # Panics
    /// If the terminal has gone.
    pub fn resize(&mut self, columns: u16, rows: u16) {
        self.parser.screen_mut().set_size(side(rows), side(columns));
        self.master.resize(size(columns, rows)).expect("another size");
    }

    /// Waits until the screen is so; the moment at which it was.
    ///
    /// # Panics
    /// If it never is.
    pub fn until(&mut self, what: &str, holds: impl Fn(&Terminal) -> bool) -> Instant {
        let start = Instant::now();
        while !holds(self) {
            let left = PATIENCE.saturating_sub(start.elapsed());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.parser.process(&bytes),
                Err(_) => panic!("not to be seen: {what}\n{}", self.screen().contents()),
            }
        }
        Instant::now()
    }

    /// Waits for the program's end, and takes in all that it has printed; its exit code.
    ///
    /// # Panics
    /// If it does not end.
    pub fn end(&mut self) -> u32 {
        let start = Instant::now();
        loop {
            let status = self.child.try_wait().expect("a child of this process");
            match self.output.recv_timeout(Duration::from_millis(50)) {
                Ok(bytes) => self.parser.process(&bytes),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    if let Some(status) = status {
                        return status.exit_code();
                    }
                }
            }
            assert!(start.elapsed() < PATIENCE, "it does not end:\n{}", self.screen().contents());
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
