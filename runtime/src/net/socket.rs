//! What every kind of socket is made of: one of the system's with its registration, or one of another network.
#![forbid(unsafe_code)]

use std::fmt;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use super::seam::{StreamSocket, VirtualSocket};
use crate::kernel::checkpoint::free_checkpoint;
use crate::kernel::reactor::{ClosedResourceError, Direction, Registration};
use crate::stream::SendProgress;

/// A socket that is open. `S` is the system's kind, `V` that of another network.
pub(super) enum Socket<S, V: ?Sized> {
    System {
        // Dropped before the socket, which has to be there for that.
        registration: Registration,
        socket: S,
    },
    Virtual(Box<V>),
}

impl<S: AsRawFd, V: VirtualSocket + ?Sized> Socket<S, V> {
    /// Has the run watch a socket of the system, which must not block. `urgent`: it is one that may have urgent data.
    pub(super) fn watch(socket: S, urgent: bool) -> io::Result<Self> {
        Ok(Self::System { registration: Registration::new(&socket, urgent)?, socket })
    }

    /// Makes a non-blocking call as soon as it does not say `WouldBlock`: a checkpoint, see [`Registration::io`].
    pub(super) async fn io<T>(
        &self,
        direction: Direction,
        mut system: impl FnMut(&S) -> io::Result<T>,
        call: impl FnMut(&V) -> io::Result<T>,
    ) -> io::Result<T> {
        match self {
            Self::System { registration, socket } => registration.io(direction, || system(socket), |_| false).await,
            Self::Virtual(socket) => io(&**socket, direction, call).await,
        }
    }

    /// Waits until a call in this direction might not block. A checkpoint.
    pub(super) async fn ready(&self, direction: Direction) -> io::Result<()> {
        match self {
            Self::System { registration, .. } => registration.ready(direction).await,
            Self::Virtual(socket) => socket.ready(direction).await,
        }
    }

    /// Does what does not wait.
    pub(super) fn ask<T>(
        &self,
        system: impl FnOnce(&S) -> io::Result<T>,
        call: impl FnOnce(&V) -> io::Result<T>,
    ) -> io::Result<T> {
        match self {
            Self::System { socket, .. } => system(socket),
            Self::Virtual(socket) => call(socket),
        }
    }

    /// Closes the socket, without a word to the selector.
    pub(super) fn close(self) {
        if let Self::System { registration, .. } = &self {
            registration.closes();
        }
    }

    /// Gives the system's socket to somebody else.
    pub(super) fn into_system(self) -> io::Result<S> {
        match self {
            Self::System { registration, socket } => {
                drop(registration);
                Ok(socket)
            }
            Self::Virtual(_) => Err(io::Error::new(io::ErrorKind::Unsupported, NOT_OF_THE_SYSTEM)),
        }
    }

    /// # Panics
    ///
    /// If the system has no such socket.
    #[track_caller]
    pub(super) fn as_fd(&self) -> BorrowedFd<'_>
    where
        S: AsFd,
    {
        match self {
            Self::System { socket, .. } => socket.as_fd(),
            Self::Virtual(_) => panic!("{NOT_OF_THE_SYSTEM}"),
        }
    }
}

const NOT_OF_THE_SYSTEM: &str = "a socket of a virtual network has no descriptor";

/// As [`Registration::io`], for a socket of another network.
async fn io<V: VirtualSocket + ?Sized, T>(
    socket: &V,
    direction: Direction,
    mut call: impl FnMut(&V) -> io::Result<T>,
) -> io::Result<T> {
    loop {
        socket.ready(direction).await?;
        match call(socket) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return result,
        }
    }
}

/// What streams do, of whatever family.
impl<S: AsRawFd> Socket<S, dyn StreamSocket>
where
    for<'a> &'a S: Read + Write,
{
    pub(super) async fn send_all(&self, data: &[u8]) -> io::Result<()> {
        self.send_counted(data, &mut SendProgress::new()).await
    }

    pub(super) async fn send_counted(&self, data: &[u8], progress: &mut SendProgress) -> io::Result<()> {
        if data.is_empty() {
            free_checkpoint().await;
            return Ok(());
        }
        let mut rest = data;
        while !rest.is_empty() {
            // Counted at once: the operation may still owe a yield, in which it can be dropped.
            let mut sent = |count| {
                progress.add(count);
                count
            };
            let count = match self {
                Self::System { registration, socket } => {
                    let mut socket = socket;
                    let filled = |count: &usize| *count < rest.len();
                    registration.io(Direction::Write, || socket.write(rest).map(&mut sent), filled).await?
                }
                Self::Virtual(socket) => {
                    io(&**socket, Direction::Write, |socket| socket.send(rest).map(&mut sent)).await?
                }
            };
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            rest = &rest[count..];
        }
        Ok(())
    }

    pub(super) async fn wait_send_all_might_not_block(&self) -> io::Result<()> {
        self.ready(Direction::Write).await
    }

    pub(super) async fn receive_some(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = buffer.len();
        if room == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a buffer without room can't receive anything"));
        }
        match self {
            Self::System { registration, socket } => {
                let mut socket = socket;
                // The end is not "nothing more for now": it comes again each time.
                let drained = |count: &usize| *count > 0 && *count < room;
                registration.io(Direction::Read, || socket.read(buffer), drained).await
            }
            Self::Virtual(socket) => io(&**socket, Direction::Read, |socket| socket.receive(buffer)).await,
        }
    }
}

pub(super) fn closed() -> io::Error {
    io::Error::other(ClosedResourceError)
}

impl<S: fmt::Debug, V: VirtualSocket + ?Sized> fmt::Debug for Socket<S, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System { socket, .. } => socket.fmt(f),
            Self::Virtual(socket) => write!(f, "Virtual({})", socket.local_addr()),
        }
    }
}
