//! The clients of the lab's socket: commands, watchers, and images that dial for `relay`.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use tokio::io::BufReader;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::{Input, watching};
use crate::control::{self, Reply, Request};
use crate::places::ACCEPT_PAUSE;

/// Clients that are served at a time; others wait.
const CLIENTS: usize = 256;
/// Connections that are being made for `relay` at a time: clients on the network ask for them, and must not take the
/// places of commands.
const DIALS: usize = 256;
/// A server that does not answer for so long does not.
const DIAL_WAIT: Duration = Duration::from_secs(5);

/// Takes clients until the lab ends.
pub(super) async fn accept(listener: UnixListener, inputs: mpsc::UnboundedSender<Input>) {
    let places = Arc::new(Semaphore::new(CLIENTS));
    let dials = Arc::new(Semaphore::new(DIALS));
    // It is never closed.
    while let Ok(place) = places.clone().acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let (inputs, dials) = (inputs.clone(), dials.clone());
                // Who goes in the middle of something is missed by nobody.
                tokio::spawn(async move { drop(client(stream, inputs, place, &dials).await) });
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// One client: requests and replies in turn.
async fn client(
    stream: UnixStream,
    inputs: mpsc::UnboundedSender<Input>,
    place: OwnedSemaphorePermit,
    dials: &Semaphore,
) -> Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let request = match control::read::<Request>(&mut stream).await {
            Ok(Some(request)) => request,
            Ok(None) => return Ok(()),
            Err(error) => {
                // A client of another version, most likely.
                let why = format!(
                    "the lab, which is of version {}, does not understand that: {error}",
                    env!("CARGO_PKG_VERSION")
                );
                return Ok(control::write(stream.get_mut(), &Reply::Error(why)).await?);
            }
        };
        if let Request::Dial { target } = request {
            drop(place);
            let Ok(_dial) = dials.try_acquire() else {
                let why = format!("{DIALS} connections are being made already");
                return Ok(control::write(stream.get_mut(), &Reply::Error(why)).await?);
            };
            return dial(stream.into_inner(), &target).await;
        }
        if let Request::Watch = request {
            return watching::serve(stream.into_inner(), inputs).await;
        }
        let (sender, receiver) = oneshot::channel();
        let input = match request {
            // A command inside of the lab's network is not to end before it has its answer.
            Request::Down => Input::Down(stream.get_ref().peer_cred().ok().and_then(|peer| peer.pid()), sender),
            request => Input::Request(request, sender),
        };
        inputs.send(input).map_err(|_| anyhow!("the lab has ended"))?;
        let reply = receiver.await?;
        control::write(stream.get_mut(), &reply).await?;
    }
}

/// Connects on the host's side, and hands the connection's descriptor over.
async fn dial(stream: UnixStream, target: &str) -> Result<()> {
    let connect = async {
        match target.strip_prefix("unix:") {
            Some(path) => Ok(OwnedFd::from(UnixStream::connect(path).await?.into_std()?)),
            None => {
                let stream = tokio::net::TcpStream::connect(target).await?;
                stream.set_nodelay(true)?;
                Ok(stream.into_std()?.into())
            }
        }
    };
    let connected: io::Result<OwnedFd> =
        tokio::time::timeout(DIAL_WAIT, connect).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    match connected {
        Ok(descriptor) => crate::dial::hand_over(&stream, descriptor.as_fd()).await?,
        Err(error) => {
            let mut stream = stream;
            control::write(&mut stream, &Reply::Error(error.to_string())).await?;
        }
    }
    Ok(())
}
