//! The probe, as a client of a lab.

use std::process::Stdio;

use anyhow::{Context, Result};
use tokio::io::BufReader;
use tokio::process::{Child, ChildStdin, ChildStdout};

use super::lab::Lab;
use crate::control;
use crate::probe::{Order, Outcome};

/// A probe that runs; it ends with this.
#[derive(Debug)]
pub(crate) struct Prober {
    orders: ChildStdin,
    outcomes: BufReader<ChildStdout>,
    _child: Child,
}

impl Prober {
    pub fn start(lab: &Lab) -> Result<Prober> {
        let program = std::env::current_exe()?;
        let program = program.to_str().context("the program's path is not UTF-8")?;
        let mut child = lab.client(program, &["probe"])?.stdin(Stdio::piped()).spawn().context("no probe")?;
        let orders = child.stdin.take().context("a pipe")?;
        let outcomes = BufReader::new(child.stdout.take().context("a pipe")?);
        Ok(Prober { orders, outcomes, _child: child })
    }

    pub async fn order(&mut self, order: Order) -> Result<Outcome> {
        control::write(&mut self.orders, &order).await.context("the probe has ended")?;
        control::read(&mut self.outcomes).await?.context("the probe has ended")
    }
}
