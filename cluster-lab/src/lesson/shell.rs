//! The shell that runs a lesson's commands: one for all, so that jobs and variables stay.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::{Instant, sleep, timeout};

use super::text::Step;

/// A step that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at what will be so in a moment.
const LOOK: Duration = Duration::from_millis(100);
/// Lines that a step may print.
const MOST_LINES: usize = 10_000;
/// Stands on a line of its own after what a step has printed.
const END: &str = "-- end of the step --";

/// It and all that it has started end when it is dropped.
#[derive(Debug)]
pub(super) struct Shell {
    group: Option<Pid>,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    _child: Child,
    /// Where its commands leave their files.
    _folder: TempDir,
}

impl Shell {
    /// Starts it; this very program is its `cluster-lab`, and the lab called `name` is the one that is meant.
    pub fn start(name: &str) -> Result<Shell> {
        let folder = TempDir::with_prefix("cluster-lab-lesson-").context("no folder for the lesson's files")?;
        let program = std::env::current_exe()?;
        let own = program.parent().map(std::path::Path::to_path_buf).into_iter();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(own.chain(std::env::split_paths(&path)))?;
        let mut command = Command::new("sh");
        command.env("PATH", path).env(crate::cli::LAB_VARIABLE, name).current_dir(folder.path());
        // What it starts is ended with it, and no Ctrl-C reaches it before this program.
        command.process_group(0).kill_on_drop(true).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("sh cannot be started")?;
        let group = crate::pid_of(&child);
        let input = child.stdin.take().context("a pipe")?;
        let output = BufReader::new(child.stdout.take().context("a pipe")?).lines();
        Ok(Shell { group, input, output, _child: child, _folder: folder })
    }

    /// Runs a step, again and again if it tells what will be so in a moment; what it printed last.
    pub async fn run(&mut self, step: &Step) -> Result<Vec<String>> {
        let began = Instant::now();
        loop {
            let printed = timeout(PATIENCE, self.once(&step.command)).await;
            let printed = printed.with_context(|| format!("'{}' does not end", step.command))??;
            if !step.eventually || step.expects(&printed) || began.elapsed() > PATIENCE {
                return Ok(printed);
            }
            sleep(LOOK).await;
        }
    }

    /// Runs a command; what it printed, its errors too.
    async fn once(&mut self, command: &str) -> Result<Vec<String>> {
        // Its input is not the shell's. What it printed may end within a line.
        let script = format!("{{ {command}\n}} </dev/null 2>&1\nprintf '\\n{END}\\n'\n");
        self.input.write_all(script.as_bytes()).await.context("the shell has ended")?;
        let mut printed = Vec::new();
        while let Some(line) = self.output.next_line().await? {
            if line == END {
                printed.pop_if(|last: &mut String| last.is_empty());
                return Ok(printed);
            }
            if printed.len() < MOST_LINES {
                printed.push(line);
            }
        }
        bail!("'{command}' ended the shell")
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            // It may have ended by itself.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}
