//! Network namespaces, to open sockets and devices in.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::{Lab, Running};

/// A namespace, kept by a process that does nothing.
#[derive(Debug)]
pub struct Namespace {
    pid: u32,
    _keeper: Keeper,
}

#[derive(Debug)]
enum Keeper {
    Lab { _shell: Running },
    Own(Child),
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Keeper::Own(child) = self {
            // It may have ended by itself.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// The number that a shell prints first: its own.
fn pid(output: &mut impl Read) -> u32 {
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line).expect("the shell prints");
    line.trim().parse().expect("a process id")
}

const KEEP: [&str; 2] = ["-c", "echo $$; exec cat"];

impl Namespace {
    /// The one that a lab's clients are in.
    pub fn of(lab: &Lab) -> Namespace {
        let mut shell = lab.spawn("sh", &KEEP);
        let pid = pid(shell.child().stdout.as_mut().expect("piped"));
        Namespace { pid, _keeper: Keeper::Lab { _shell: shell } }
    }

    /// A new one.
    pub fn make() -> Namespace {
        let mut command = Command::new("unshare");
        command.args(["--net", "sh"]).args(KEEP).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("unshare starts");
        let pid = pid(child.stdout.as_mut().expect("piped"));
        Namespace { pid, _keeper: Keeper::Own(child) }
    }

    /// A command that runs inside.
    pub fn run(&self, command: &str) -> Command {
        let mut nsenter = Command::new("nsenter");
        nsenter.args(["--net", "--target", &self.pid.to_string()]).args(command.split(' '));
        nsenter
    }

    /// Moves the thread that calls into it: what it opens from now on is there.
    ///
    /// # Panics
    /// If the namespace is gone.
    pub fn enter(&self) {
        let file = File::open(format!("/proc/{}/ns/net", self.pid)).expect("the namespace is there");
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).expect("it can be entered");
    }

    /// Calls `make` in the namespace, on a thread of its own.
    ///
    /// # Panics
    /// If `make` does.
    pub fn inside<R: Send>(&self, make: impl FnOnce() -> R + Send) -> R {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                self.enter();
                make()
            });
            thread.join().expect("no panic")
        })
    }
}
