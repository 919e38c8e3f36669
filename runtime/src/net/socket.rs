//! What every kind of socket is made of: one of the system's with its registration, or one of another network.
#![forbid(unsafe_code)]

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
#[cfg(feature = "__poll")]
use std::task::{Context, Poll};

use super::seam::{StreamSocket, VirtualSocket};
use super::transport::Transport;
use crate::kernel::checkpoint::free_checkpoint;
use crate::kernel::reactor::{ClosedResourceError, Direction, Registration, Rest};
use crate::stream::SendProgress;

/// A socket that is open. `S` is the system's kind, `V` that of another network.
pub(crate) enum Socket<S, V: ?Sized> {
    System {
        // Dropped before the socket, which has to be there for that.
        registration: Registration,
        socket: S,
    },
    Virtual(Box<V>),
}

impl<S: AsRawFd, V: VirtualSocket + ?Sized> Socket<S, V> {
    /// Has the run watch a socket of the system, which must not block. `urgent`: it is one that may have urgent data.
    pub(crate) fn watch(socket: S, urgent: bool) -> io::Result<Self> {
        Ok(Self::System { registration: Registration::new(&socket, urgent)?, socket })
    }

    /// Makes a non-blocking call as soon as it does not say `WouldBlock`: a checkpoint, see [`Registration::io`].
    pub(crate) async fn io<T>(
        &self,
        direction: Direction,
        mut system: impl FnMut(&S) -> io::Result<T>,
        call: impl FnMut(&V) -> io::Result<T>,
    ) -> io::Result<T> {
        match self {
            Self::System { registration, socket } => {
                registration.io(direction, || system(socket), |_| Rest::Something).await
            }
            Self::Virtual(socket) => io(&**socket, direction, call).await,
        }
    }

    /// Waits until a call in this direction might not block. A checkpoint.
    pub(crate) async fn ready(&self, direction: Direction) -> io::Result<()> {
        match self {
            Self::System { registration, .. } => registration.ready(direction).await,
            Self::Virtual(socket) => socket.ready(direction).await,
        }
    }

    /// Does what does not wait.
    pub(crate) fn ask<T>(
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
    pub(crate) fn close(self) {
        if let Self::System { registration, .. } = &self {
            registration.closes();
        }
    }

    /// Gives the system's socket to somebody else.
    pub(crate) fn into_system(self) -> io::Result<S> {
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
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_>
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
impl<S: Transport> Socket<S, dyn StreamSocket> {
    pub(crate) fn send_all(&self, data: &[u8]) -> impl Future<Output = io::Result<()>> {
        self.send(data, |_| {})
    }

    pub(crate) fn send_counted(
        &self,
        data: &[u8],
        progress: &mut SendProgress,
    ) -> impl Future<Output = io::Result<()>> {
        self.send(data, |count| progress.add(count))
    }

    /// Sends all of the data, and tells how much of it is gone each time some is.
    async fn send(&self, data: &[u8], mut tell: impl FnMut(usize)) -> io::Result<()> {
        if data.is_empty() {
            free_checkpoint().await;
            return Ok(());
        }
        let mut rest = data;
        while !rest.is_empty() {
            // Counted at once: the operation may still owe a yield, in which it can be dropped.
            let mut sent = |count| {
                tell(count);
                count
            };
            let count = match self {
                Self::System { registration, socket } => {
                    let left = after_write(rest.len());
                    registration.io(Direction::Write, || socket.send(rest).map(&mut sent), left).await?
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

    pub(crate) async fn send_all_vectored(&self, mut pieces: &mut [IoSlice<'_>]) -> io::Result<()> {
        // Takes the empty ones off the beginning.
        IoSlice::advance_slices(&mut pieces, 0);
        if pieces.is_empty() {
            free_checkpoint().await;
            return Ok(());
        }
        while !pieces.is_empty() {
            let count = match self {
                Self::System { registration, socket } => {
                    let total: usize = pieces.iter().map(|piece| piece.len()).sum();
                    registration.io(Direction::Write, || socket.send_vectored(pieces), after_write(total)).await?
                }
                Self::Virtual(socket) => io(&**socket, Direction::Write, |socket| socket.send(&pieces[0])).await?,
            };
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            IoSlice::advance_slices(&mut pieces, count);
        }
        Ok(())
    }

    pub(crate) async fn wait_send_all_might_not_block(&self) -> io::Result<()> {
        self.ready(Direction::Write).await
    }

    pub(crate) async fn receive_some(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = buffer.len();
        if room == 0 {
            return Err(no_room());
        }
        match self {
            Self::System { registration, socket } => {
                registration.io(Direction::Read, || socket.receive(buffer), after_read::<S>(room)).await
            }
            Self::Virtual(socket) => io(&**socket, Direction::Read, |socket| socket.receive(buffer)).await,
        }
    }

    pub(crate) async fn receive_some_vectored(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let room = buffers.iter().map(|buffer| buffer.len()).sum();
        let Some(first) = buffers.iter().position(|buffer| !buffer.is_empty()) else { return Err(no_room()) };
        match self {
            Self::System { registration, socket } => {
                registration.io(Direction::Read, || socket.receive_vectored(buffers), after_read::<S>(room)).await
            }
            Self::Virtual(socket) => io(&**socket, Direction::Read, |socket| socket.receive(&mut buffers[first])).await,
        }
    }

    /// Looks at what a [`receive_some`](Self::receive_some) would give.
    pub(crate) async fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Err(no_room());
        }
        match self {
            Self::System { registration, socket } => {
                registration.io(Direction::Read, || socket.peek(buffer), |_| Rest::Something).await
            }
            Self::Virtual(socket) => io(&**socket, Direction::Read, |socket| socket.peek(buffer)).await,
        }
    }

    /// Says that no more data will come, unless it `sent` that already.
    pub(crate) fn say_eof(&self, sent: &mut bool) -> io::Result<()> {
        if !*sent {
            self.ask(S::end_sending, |socket| socket.end_sending())?;
            *sent = true;
        }
        Ok(())
    }
}

/// What streams do for those who poll, whatever family they are of.
#[cfg(feature = "__poll")]
impl<S: Transport> Socket<S, dyn StreamSocket> {
    /// Receives into a buffer that has room.
    #[inline]
    pub(crate) fn poll_receive(&self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let room = buffer.len();
        match self {
            Self::System { registration, socket } => {
                registration.poll_io(Direction::Read, context, || socket.receive(buffer), after_read::<S>(room))
            }
            Self::Virtual(socket) => poll_io(&**socket, Direction::Read, context, |socket| socket.receive(buffer)),
        }
    }

    #[inline]
    pub(crate) fn poll_send(&self, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::System { registration, socket } => {
                registration.poll_io(Direction::Write, context, || socket.send(data), after_write(data.len()))
            }
            Self::Virtual(socket) => poll_io(&**socket, Direction::Write, context, |socket| socket.send(data)),
        }
    }

    /// Sends several pieces, of which one at least is not empty.
    #[inline]
    pub(crate) fn poll_send_vectored(
        &self,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::System { registration, socket } => {
                let total: usize = pieces.iter().map(|piece| piece.len()).sum();
                registration.poll_io(Direction::Write, context, || socket.send_vectored(pieces), after_write(total))
            }
            Self::Virtual(socket) => {
                let first = pieces.iter().find(|piece| !piece.is_empty()).map_or(&[][..], |piece| &**piece);
                poll_io(&**socket, Direction::Write, context, |socket| socket.send(first))
            }
        }
    }
}

/// As [`io`], for those who poll.
#[cfg(feature = "__poll")]
fn poll_io<T>(
    socket: &(dyn StreamSocket + 'static),
    direction: Direction,
    context: &mut Context<'_>,
    mut call: impl FnMut(&(dyn StreamSocket + 'static)) -> io::Result<T>,
) -> Poll<io::Result<T>> {
    loop {
        match socket.poll_ready(direction, context) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => return Poll::Pending,
        }
        match call(socket) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return Poll::Ready(result),
        }
    }
}

/// What a read has left. The end is not "nothing more for now": it comes again each time.
fn after_read<S: Transport>(room: usize) -> impl Fn(&usize) -> Rest {
    move |count| match *count {
        count if count == 0 || count >= room => Rest::Something,
        _ if S::SHORT_READ_DRAINS => Rest::Nothing,
        _ => Rest::Doubtful,
    }
}

/// How much room a write has left.
fn after_write(size: usize) -> impl Fn(&usize) -> Rest {
    move |count| if *count < size { Rest::Nothing } else { Rest::Something }
}

fn no_room() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "a buffer without room can't receive anything")
}

pub(crate) fn closed() -> io::Error {
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
