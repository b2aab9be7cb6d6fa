//! The process that holds a lab's network namespace, and how other processes enter it.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{getegid, geteuid};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use super::{Plan, inhabitants, set_up};
use crate::wait;

/// Longer than a holder takes to end whatever runs in its namespace.
const END_WAIT: Duration = Duration::from_secs(5);

/// The lab's namespaces, kept by a process that does nothing else.
#[derive(Debug)]
pub struct Holder {
    child: Child,
    /// Whether there is a user namespace too.
    pub user: bool,
}

impl Holder {
    /// Makes the namespaces and sets the client network up in them.
    ///
    /// # Errors
    /// What was refused, with the remedy.
    pub fn start(plan: &Plan) -> Result<Holder> {
        Holder::spawn(Command::new(std::env::current_exe()?).arg("network"), plan)
    }

    /// The same in the user namespace of this one, so that devices can join both networks.
    ///
    /// # Errors
    /// What was refused, with the remedy.
    pub fn start_beside(&self, plan: &Plan) -> Result<Holder> {
        let program = std::env::current_exe()?;
        Holder::spawn(self.inside(&program)?.arg("network"), plan)
    }

    /// A program that will run in these namespaces, and ends with this process.
    ///
    /// # Errors
    /// If this program cannot be found any more.
    pub fn inside(&self, program: impl AsRef<OsStr>) -> Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("inside").arg(self.pid().to_string());
        if self.user {
            command.arg("--user");
        }
        command.arg("--").arg(program);
        Ok(command)
    }

    fn spawn(command: &mut Command, plan: &Plan) -> Result<Holder> {
        // Ctrl-C is for the lab, which ends this one too.
        command.process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().context("the network's process cannot be started")?;
        let mut input = child.stdin.take().ok_or_else(|| anyhow!("no pipe"))?;
        let mut output = BufReader::new(child.stdout.take().ok_or_else(|| anyhow!("no pipe"))?);
        serde_json::to_writer(&input, plan)?;
        input.write_all(b"\n")?;
        let mut line = String::new();
        output.read_line(&mut line)?;
        // The pipe stays open: the holder lives as long as this process.
        child.stdin = Some(input);
        let holder = Holder { child, user: !geteuid().is_root() };
        match line.trim_end().split_once(' ') {
            Some(("error", why)) => bail!("{why}"),
            _ if line.trim_end() == "ready" => Ok(holder),
            _ => bail!("the network's process ended early"),
        }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// This process, if it is in the namespace, is not ended with the others: it ends by itself.
    pub fn spare(&mut self, pid: i32) {
        if let Some(stdin) = &mut self.child.stdin {
            // If the holder is gone, so is what it would have ended.
            drop(write!(stdin, "{pid}"));
        }
    }
}

impl Drop for Holder {
    /// Ends every process in the namespace: with the last one it goes, and all devices and routes in it.
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        wait::until(END_WAIT, || !matches!(self.child.try_wait(), Ok(None)));
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The holder's own part: runs until its standard input ends, because the lab does or has crashed, and then ends
/// whatever else runs in the namespace.
///
/// # Errors
/// Only if its parent cannot be told of an error.
pub fn hold() -> Result<()> {
    // Before any thread is there: a user namespace takes no others in.
    let result = enter_new().and_then(|()| {
        let mut line = String::new();
        io::stdin().read_line(&mut line)?;
        let plan: Plan = serde_json::from_str(&line)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(runtime.block_on(set_up(&plan))?.keep()?)
    });
    let made = result.is_ok();
    match result {
        Ok(()) => println!("ready"),
        Err(error) => println!("error {}", format!("{error:#}").replace('\n', " ")),
    }
    io::stdout().flush()?;
    // Its end tells that the lab is over; before that may stand whom to spare.
    let mut last = String::new();
    io::stdin().take(64).read_to_string(&mut last)?;
    if made {
        inhabitants::end(last.trim().parse().ok());
    }
    Ok(())
}

fn enter_new() -> Result<()> {
    let (user, group) = (geteuid(), getegid());
    let flags = if user.is_root() { UnshareFlags::NEWNET } else { UnshareFlags::NEWUSER | UnshareFlags::NEWNET };
    crate::sys::unshare(flags).with_context(|| match user.is_root() {
        true => "this process may not make a network namespace: run it with CAP_SYS_ADMIN",
        false => "this system lets users make no user namespace: run as root, or allow it with 'sysctl kernel.unprivileged_userns_clone=1'",
    })?;
    if !user.is_root() {
        std::fs::write("/proc/self/setgroups", "deny")?;
        std::fs::write("/proc/self/uid_map", format!("0 {} 1", user.as_raw()))?;
        std::fs::write("/proc/self/gid_map", format!("0 {} 1", group.as_raw()))?;
    }
    Ok(())
}

/// Takes this process, which has no other thread, into the namespaces of `holder`.
///
/// # Errors
/// The holder is gone, or belongs to somebody else.
pub fn enter(holder: u32, user: bool) -> Result<()> {
    let open = |kind: &str| -> Result<OwnedFd> {
        let path = format!("/proc/{holder}/ns/{kind}");
        Ok(std::fs::File::open(&path).with_context(|| format!("the lab's network cannot be entered: {path}"))?.into())
    };
    let network = open("net")?;
    if user {
        move_into_link_name_space(open("user")?.as_fd(), Some(LinkNameSpaceType::User))?;
    }
    move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))?;
    Ok(())
}
