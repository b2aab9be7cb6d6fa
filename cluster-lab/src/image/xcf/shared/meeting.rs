//! How two images of one host come to have memory in common: the one that will write asks at the
//! other's socket, the one that will read makes the memory, and passes it back (unix(7), SCM_RIGHTS).
//!
//! Both sides send one note, sealed as datagrams of XCF are: each knows that the other has the cluster's
//! key, which stack it is, and in which life. The connection then stays: its end is the end of the ring.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

use super::super::seal::{HEADER, TAG};
use crate::places::{ACCEPT_PAUSE, Places};

/// What a note says.
pub(super) const CONTENT: &[u8; 8] = b"XCF ring";
/// A note, sealed.
pub(super) type Note = [u8; HEADER + CONTENT.len() + TAG];

/// Whoever takes longer to say its part is not waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the tasks tell the link.
#[derive(Debug)]
pub(super) enum News {
    /// Somebody wants to write.
    Asked { note: Note, stream: UnixStream },
    /// A reader has made memory, and can be woken.
    Answered { to: IpAddr, note: Note, memory: OwnedFd, bell: OwnedFd, stream: UnixStream },
    /// There is no reader.
    Refused { to: IpAddr },
    /// The other end of a ring is gone.
    Gone { number: u64 },
}

pub(super) type Newsroom = mpsc::UnboundedSender<News>;

/// Strangers whose note is waited for at once.
const AT_ONCE: usize = 16;

/// The name of the socket of the image that has this endpoint: an abstract one, which is no file and ends
/// with its process.
fn name(endpoint: SocketAddr) -> String {
    format!("\0cluster-lab xcf {endpoint}")
}

/// Lets others ask from now on.
pub(super) fn open(endpoint: SocketAddr) -> io::Result<UnixListener> {
    UnixListener::bind(name(endpoint))
}

/// Takes in who asks.
pub(super) async fn receive(listener: UnixListener, news: Newsroom) {
    let mut places = Places::new(AT_ONCE);
    loop {
        let Ok((mut stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let news = news.clone();
        let read = places.give(|_| async move {
            let mut note = [0; size_of::<Note>()];
            if let Ok(Ok(_)) = tokio::time::timeout(PATIENCE, stream.read_exact(&mut note)).await {
                // The link may be gone.
                let _ = news.send(News::Asked { note, stream });
            }
        });
        read.await;
    }
}

/// Asks the image at `endpoint`, and tells what comes of it.
pub(super) async fn ask(to: IpAddr, endpoint: SocketAddr, note: Note, news: Newsroom) {
    let asking = async {
        let mut stream = UnixStream::connect(name(endpoint)).await?;
        stream.write_all(&note).await?;
        let (note, [memory, bell]) = stream.async_io(Interest::READABLE, || receive_answer(&stream)).await?;
        io::Result::Ok(News::Answered { to, note, memory, bell, stream })
    };
    let answer = match tokio::time::timeout(PATIENCE, asking).await {
        Ok(Ok(answer)) => answer,
        _ => News::Refused { to },
    };
    // The link may be gone.
    let _ = news.send(answer);
}

/// Sends the note and the descriptors in one message.
pub(super) fn answer(stream: &UnixStream, note: &Note, memory: &OwnedFd, bell: impl AsFd) -> io::Result<()> {
    let descriptors = [memory.as_fd(), bell.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    let sent = rustix::net::sendmsg(stream, &[IoSlice::new(note)], &mut control, SendFlags::NOSIGNAL)?;
    // A fresh socket has room for so little.
    if sent == note.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

fn receive_answer(stream: &UnixStream) -> io::Result<(Note, [OwnedFd; 2])> {
    let mut note = [0; size_of::<Note>()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let parts = &mut [IoSliceMut::new(&mut note)];
    let received = rustix::net::recvmsg(stream, parts, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let descriptors: Vec<OwnedFd> = control
        .drain()
        .flat_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => descriptors.collect(),
            _ => Vec::new(),
        })
        .collect();
    match <[OwnedFd; 2]>::try_from(descriptors) {
        Ok(descriptors) if received.bytes == note.len() => Ok((note, descriptors)),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Tells when the other end is gone. Nothing more is ever said on the connection.
pub(super) async fn watch(number: u64, mut stream: UnixStream, news: Newsroom) {
    let _ = stream.read(&mut [0]).await;
    let _ = news.send(News::Gone { number });
}
