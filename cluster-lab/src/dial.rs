//! Handing a connection from one process to another: an image cannot reach the host's network, so
//! the supervisor connects for it and passes the descriptor on.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use async_trait::async_trait;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use tokio::io::Interest;
use tokio::net::UnixStream;

use crate::apps::{Dialer, Stream};
use crate::control::{self, Reply, Request};

/// Sends `descriptor` over `stream`, with one byte.
///
/// # Errors
/// If the other side is gone.
pub async fn hand_over(stream: &UnixStream, descriptor: BorrowedFd<'_>) -> io::Result<()> {
    stream
        .async_io(Interest::WRITABLE, || {
            let descriptors = [descriptor];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
            sendmsg(stream.as_fd(), &[IoSlice::new(b"+")], &mut ancillary, SendFlags::empty())?;
            Ok(())
        })
        .await
}

/// Receives what [`hand_over`] sent, or the line that says why nothing was.
async fn take_over(stream: &UnixStream) -> io::Result<OwnedFd> {
    let mut text = [0; 4096];
    let (count, descriptor) = stream
        .async_io(Interest::READABLE, || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let parts = &mut [IoSliceMut::new(&mut text)];
            let received = recvmsg(stream.as_fd(), parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
            let mut descriptors = ancillary.drain().filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
                _ => None,
            });
            Ok((received.bytes, descriptors.next()))
        })
        .await?;
    descriptor.ok_or_else(|| match serde_json::from_slice(&text[..count]) {
        Ok(Reply::Error(why)) => io::Error::other(why),
        _ => io::Error::other("the lab has ended"),
    })
}

/// Connects by way of the supervisor whose socket this is.
#[derive(Debug)]
pub struct SupervisorDialer(pub PathBuf);

#[async_trait]
impl Dialer for SupervisorDialer {
    async fn dial(&self, target: &str) -> io::Result<Box<dyn Stream>> {
        let mut stream = UnixStream::connect(&self.0).await?;
        control::write(&mut stream, &Request::Dial { target: target.to_owned() }).await?;
        let descriptor = take_over(&stream).await?;
        if target.starts_with("unix:") {
            Ok(Box::new(UnixStream::from_std(descriptor.into())?))
        } else {
            Ok(Box::new(tokio::net::TcpStream::from_std(descriptor.into())?))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn a_descriptor_crosses_and_a_refusal_says_why() {
        let (one, two) = UnixStream::pair().unwrap();
        let (mut near, far) = UnixStream::pair().unwrap();
        hand_over(&one, far.as_fd()).await.unwrap();
        drop(far);
        let mut far = UnixStream::from_std(take_over(&two).await.unwrap().into()).unwrap();
        far.write_all(b"crossed").await.unwrap();
        let mut text = [0; 7];
        near.read_exact(&mut text).await.unwrap();
        assert_eq!(&text, b"crossed");

        let mut one = one;
        control::write(&mut one, &Reply::Error("connection refused".into())).await.unwrap();
        assert_eq!(take_over(&two).await.unwrap_err().to_string(), "connection refused");
    }
}
