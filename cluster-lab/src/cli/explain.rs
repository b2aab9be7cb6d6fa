//! `explain` and `weight`: why connections go where they go, and how to change that.

use std::net::SocketAddr;

use anyhow::{Result, bail};
use clap::Args;

use super::{Json, Lab, client, show};
use crate::control::{Answer, ImageState, Question, Reply, Request};
use crate::explain::ExplainedConnection;
use crate::output;
use crate::workload::ByHand;

/// Which connections.
#[derive(Debug, Args)]
pub(super) struct Explain {
    /// The client's address and port, as netstat or 'ss' shows them; all if none is given
    #[arg(value_name = "CLIENT:PORT", value_parser = socket)]
    client: Option<SocketAddr>,
    /// At most so many, the latest first
    #[arg(long, default_value_t = 20)]
    last: usize,
    #[command(flatten)]
    lab: Lab,
    #[command(flatten)]
    json: Json,
}

/// An address and a port, in z/OS's form too.
fn socket(text: &str) -> Result<SocketAddr, String> {
    let zos = || {
        let (address, port) = text.rsplit_once("..")?;
        Some(SocketAddr::new(address.parse().ok()?, port.parse().ok()?))
    };
    text.parse().ok().or_else(zos).ok_or_else(|| format!("'{text}': expected ADDRESS:PORT, as 198.51.100.1:40000"))
}

/// Asks every image that runs: whoever routes knows, and with OPTLOCAL the client's own.
pub(super) async fn explain(arguments: Explain) -> Result<()> {
    let Explain { client, last, lab, json } = arguments;
    let status = client::status(&lab.name).await?;
    let running = status.images.iter().filter(|image| image.state == ImageState::Running);
    let mut explained: Vec<ExplainedConnection> = Vec::new();
    for image in running {
        let request = Request::Ask { image: image.name.clone(), question: Question::Explain(client) };
        match client::ask(&lab.name, request).await {
            Ok(Reply::Answer(Answer::Explain(more))) => explained.extend(more),
            Ok(other) => return client::unexpected(&other),
            // It may have ended just now; others say what they know.
            Err(error) => output::complain(format_args!("{}: {error:#}", image.name)),
        }
    }
    // Whoever has only heard of a connection has less to say than the one that decided.
    let decided: Vec<_> = explained.iter().filter(|one| one.ago.is_some()).map(ends).collect();
    explained.retain(|one| one.ago.is_some() || !decided.contains(&ends(one)));
    // What exists comes before what has ended, the latest first.
    explained.sort_by_key(|one| (!one.exists, one.ago.unwrap_or(u64::MAX)));
    explained.truncate(last);
    if let (Some(client), true) = (client, explained.is_empty()) {
        bail!("no image routes a connection of {client}: 'netstat IMAGE VCRT' shows those that there are");
    }
    show::explained(&explained, json.json)
}

fn ends(one: &ExplainedConnection) -> (SocketAddr, SocketAddr, String, bool) {
    (one.client, one.server, one.target.clone(), one.exists)
}

/// What is set by hand.
#[derive(Debug, Args)]
pub(super) struct Weight {
    /// The image
    image: String,
    /// 0 to 64: of the image, or of its server on --port
    #[arg(value_parser = clap::value_parser!(u8).range(0..=64), required_unless_present_any = ["reset", "abnormal", "health"])]
    weight: Option<u8>,
    /// The server on this port
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Abnormal completions of 1,000 that the server reports
    #[arg(long, requires = "port", value_parser = clap::value_parser!(u16).range(0..=1000))]
    abnormal: Option<u16>,
    /// Health that the server reports, 100 is best
    #[arg(long, requires = "port", value_parser = clap::value_parser!(u8).range(0..=100))]
    health: Option<u8>,
    /// Nothing is set by hand any more
    #[arg(long, conflicts_with_all = ["weight", "port", "abnormal", "health"])]
    reset: bool,
    #[command(flatten)]
    lab: Lab,
}

pub(super) async fn weight(arguments: Weight) -> Result<()> {
    let Weight { image, weight, port, abnormal, health, reset, lab } = arguments;
    let change = (!reset).then_some(ByHand { weight, port, abnormal, health });
    match client::ask(&lab.name, Request::Ask { image, question: Question::Weigh(change) }).await? {
        Reply::Answer(Answer::Done) => Ok(()),
        other => client::unexpected(&other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_named_in_both_ways() {
        let expected = SocketAddr::from(([198, 51, 100, 1], 40_000));
        assert_eq!(socket("198.51.100.1:40000"), Ok(expected));
        assert_eq!(socket("198.51.100.1..40000"), Ok(expected));
        assert_eq!(socket("[2001:db8::1]:80").map(|one| one.port()), Ok(80));
        assert!(socket("198.51.100.1").is_err_and(|why| why.contains("expected ADDRESS:PORT")));
    }
}
