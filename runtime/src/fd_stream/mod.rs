//! Any descriptor that the system can watch, as a stream.
#![forbid(unsafe_code)]

mod unblocked;

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::rc::Rc;

use self::unblocked::Unblocked;
use crate::kernel::checkpoint::free_checkpoint;
use crate::net::halves::{ReceiveHalf, SendHalf};
use crate::net::seam::StreamSocket;
use crate::net::socket::{Socket, closed};
use crate::net::transport::Transport;
#[cfg(feature = "__poll")]
use crate::stream::poll::{poll_receive, poll_send};
use crate::stream::{AsyncResource, ByteStream, ReceiveStream, SendProgress, SendStream, SplitStream};

/// A pipe, a terminal, or any other descriptor that the system can watch, as a stream: Trio's `FdStream`.
///
/// The descriptor must not block, and it is made so. That is a property of the *open file description*, which other
/// descriptors and other processes may share: standard output, for example, usually is one with the shell's, and a program
/// that does not expect it then fails to print. So it is put back when the stream is closed or dropped, the last of the process
/// that has the same description, if there are several; but meanwhile they all see it.
///
/// Sending works if the descriptor is open for writing, receiving if it is open for reading. For plain files the system has
/// no such thing as readiness: use a worker thread.
///
/// # Examples
///
/// ```
/// use trio::FdStream;
/// trio::run(async {
///     let (reader, writer) = std::io::pipe()?;
///     let (mut receiver, mut sender) = (FdStream::new(reader)?, FdStream::new(writer)?);
///     sender.send_all(b"through a pipe").await?;
///     sender.aclose().await?;
///     let mut buffer = [0; 100];
///     let count = receiver.receive_some(&mut buffer).await?;
///     assert_eq!(&buffer[..count], b"through a pipe");
///     assert_eq!(receiver.receive_some(&mut buffer).await?, 0);
///     std::io::Result::Ok(())
/// })
/// .unwrap();
/// ```
pub struct FdStream {
    /// `None` once it has been closed.
    open: Option<Open>,
    /// A half was closed, see [`split`](Self::split).
    sending_closed: bool,
    receiving_closed: bool,
}

/// There is no other network that such streams could be of.
type Open = Socket<SharedFd, dyn StreamSocket>;

/// The descriptor of a stream, which its clones share. In the types of what is public, but not to be named.
#[derive(Clone, Debug)]
pub struct SharedFd(Rc<Unblocked>);

impl AsRawFd for SharedFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.file.as_raw_fd()
    }
}

impl AsFd for SharedFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.file.as_fd()
    }
}

impl Transport for SharedFd {
    const NAME: &'static str = "Fd";
    /// A terminal gives a line at a time.
    const SHORT_READ_DRAINS: bool = false;

    fn send(&self, data: &[u8]) -> io::Result<usize> {
        (&*self.0.file).write(data)
    }

    fn send_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self.0.file).write_vectored(pieces)
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self.0.file).read(buffer)
    }

    fn receive_vectored(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self.0.file).read_vectored(buffers)
    }

    fn peek(&self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn end_sending(&self) -> io::Result<()> {
        Ok(())
    }
}

impl FdStream {
    /// Takes over a descriptor.
    ///
    /// # Errors
    ///
    /// The system's, if it can't watch the descriptor ([`PermissionDenied`](io::ErrorKind::PermissionDenied) for plain files
    /// and folders).
    ///
    /// # Panics
    ///
    /// Outside a run.
    pub fn new(fd: impl Into<OwnedFd>) -> io::Result<Self> {
        Self::of(SharedFd(Rc::new(Unblocked::new(fd.into())?)))
    }

    fn of(fd: SharedFd) -> io::Result<Self> {
        Ok(Self { open: Some(Open::watch(fd, false)?), sending_closed: false, receiving_closed: false })
    }

    /// A second stream for the same descriptor, so that one task can send while another receives. The descriptor is closed
    /// with the last of them. Two tasks can't receive at once, nor send: the second gets a [`BusyResourceError`](crate::BusyResourceError).
    ///
    /// # Errors
    ///
    /// [`ClosedResourceError`](crate::ClosedResourceError) if the stream has been closed.
    pub fn try_clone(&self) -> io::Result<Self> {
        Self::of(self.open()?.ask(|fd| Ok(fd.clone()), |_| unreachable!("no other network has descriptors"))?)
    }

    /// Splits the stream into a half that receives and one that sends, for two tasks that do so at one time. They borrow
    /// the stream; when they are gone, it is whole again.
    ///
    /// Closing a half closes its direction only, and for good; the other side is not told before the whole stream is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use trio::FdStream;
    /// trio::run(async {
    ///     let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    ///     let (mut ours, mut theirs) = (FdStream::new(ours)?, FdStream::new(theirs)?);
    ///     let (mut from, mut to) = ours.split();
    ///     trio::nursery! { |n|
    ///         n.start_soon(async { to.send_all(b"ping").await.unwrap() });
    ///         n.start_soon(async { assert_eq!(from.receive_some(&mut [0; 8]).await.unwrap(), 4) });
    ///         assert_eq!(theirs.receive_some(&mut [0; 8]).await.unwrap(), 4);
    ///         theirs.send_all(b"pong").await.unwrap();
    ///     };
    ///     std::io::Result::Ok(())
    /// })
    /// .unwrap();
    /// ```
    pub fn split(&mut self) -> (ReceiveHalf<'_, SharedFd>, SendHalf<'_, SharedFd>) {
        let open = self.open.as_ref();
        (ReceiveHalf::new(open, &mut self.receiving_closed), SendHalf::new(open, &mut self.sending_closed))
    }

    fn open(&self) -> io::Result<&Open> {
        self.open.as_ref().ok_or_else(closed)
    }

    fn open_for_sending(&self) -> io::Result<&Open> {
        if self.sending_closed { Err(closed()) } else { self.open() }
    }

    fn open_for_receiving(&self) -> io::Result<&Open> {
        if self.receiving_closed { Err(closed()) } else { self.open() }
    }

    /// Sends all the data.
    ///
    /// A checkpoint. Cancelled or dropped, it may have sent any part of the data.
    ///
    /// # Errors
    ///
    /// [`ClosedResourceError`](crate::ClosedResourceError) if the stream has been closed; [`BrokenPipe`](io::ErrorKind::BrokenPipe) if nobody can receive
    /// what is sent any more; other errors of the system.
    pub async fn send_all(&mut self, data: &[u8]) -> io::Result<()> {
        self.open_for_sending()?.send_all(data).await
    }

    /// Waits until [`send_all`](Self::send_all) might not have to wait.
    ///
    /// A checkpoint, without any effect.
    ///
    /// # Errors
    ///
    /// [`ClosedResourceError`](crate::ClosedResourceError) if the stream has been closed.
    pub async fn wait_send_all_might_not_block(&mut self) -> io::Result<()> {
        self.open_for_sending()?.wait_send_all_might_not_block().await
    }

    /// Receives what is there, waiting for at least one byte; gives how many bytes it put into the buffer, and 0 at the end.
    ///
    /// A checkpoint. Cancelled or dropped, it has received nothing.
    ///
    /// # Errors
    ///
    /// [`ClosedResourceError`](crate::ClosedResourceError) if the stream has been closed; [`InvalidInput`](io::ErrorKind::InvalidInput) for a buffer without
    /// room; errors of the system.
    pub async fn receive_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.open_for_receiving()?.receive_some(buffer).await
    }

    /// Closes the stream. What was sent stays sent. A checkpoint; even when cancelled it closes.
    ///
    /// # Errors
    ///
    /// None.
    pub async fn aclose(&mut self) -> io::Result<()> {
        drop(self.open.take());
        free_checkpoint().await;
        Ok(())
    }

    /// Gives the descriptor back, as it was: blocking, if it was so before.
    ///
    /// As long as there are [clones](Self::try_clone), which go on using it, that is a duplicate; and as long as there are other
    /// streams of the same open file description, clones among them, it does not block yet, but does so when the last of them has
    /// gone.
    ///
    /// # Errors
    ///
    /// [`ClosedResourceError`](crate::ClosedResourceError) if the stream has been closed; the system's, if there can be no more descriptors.
    pub fn into_fd(mut self) -> io::Result<OwnedFd> {
        let SharedFd(shared) = self.open.take().ok_or_else(closed)?.into_system()?;
        match Rc::try_unwrap(shared) {
            Ok(unblocked) => unblocked.into_fd(),
            Err(shared) => Ok(shared.file.try_clone()?.into()),
        }
    }
}

impl AsFd for FdStream {
    /// # Panics
    ///
    /// If the stream has been closed.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.open.as_ref().expect("the stream has been closed").as_fd()
    }
}

impl fmt::Debug for FdStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.open {
            Some(open) => f.debug_tuple("FdStream").field(open).finish(),
            None => f.write_str("FdStream(closed)"),
        }
    }
}

#[cfg(feature = "__poll")]
poll_receive! { [] FdStream, open_for_receiving }
#[cfg(feature = "__poll")]
poll_send! { [] FdStream, open_for_sending, end_sending }

#[cfg(feature = "__poll")]
impl FdStream {
    /// Ends the sending. A descriptor that is for nothing else is closed, so that whoever reads from a pipe sees the end.
    fn end_sending(&mut self) -> io::Result<()> {
        let Some(open) = &self.open else { return Ok(()) };
        self.sending_closed = true;
        let mode = rustix::fs::fcntl_getfl(open.as_fd())? & rustix::fs::OFlags::RWMODE;
        if mode == rustix::fs::OFlags::WRONLY {
            self.open = None;
        }
        Ok(())
    }
}

impl AsyncResource for FdStream {
    fn aclose(&mut self) -> impl Future<Output = io::Result<()>> {
        Self::aclose(self)
    }
}

impl SendStream for FdStream {
    fn send_all(&mut self, data: &[u8]) -> impl Future<Output = io::Result<()>> {
        Self::send_all(self, data)
    }

    async fn send_counted(&mut self, data: &[u8], progress: &mut SendProgress) -> io::Result<()> {
        self.open_for_sending()?.send_counted(data, progress).await
    }

    fn wait_send_all_might_not_block(&mut self) -> impl Future<Output = io::Result<()>> {
        Self::wait_send_all_might_not_block(self)
    }
}

impl ReceiveStream for FdStream {
    fn receive_some(&mut self, buffer: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
        Self::receive_some(self, buffer)
    }
}

impl ByteStream for FdStream {}

impl SplitStream for FdStream {
    type ReceiveHalf<'a> = ReceiveHalf<'a, SharedFd>;
    type SendHalf<'a> = SendHalf<'a, SharedFd>;

    fn split(&mut self) -> (ReceiveHalf<'_, SharedFd>, SendHalf<'_, SharedFd>) {
        Self::split(self)
    }
}
