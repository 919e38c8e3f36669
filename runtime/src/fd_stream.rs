//! Any descriptor that the system can watch, as a stream.
#![forbid(unsafe_code)]

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use crate::kernel::checkpoint::free_checkpoint;
use crate::kernel::reactor::{ClosedResourceError, Direction, Registration};
use crate::stream::{AsyncResource, ByteStream, ReceiveStream, SendProgress, SendStream};

/// A pipe, a terminal, or any other descriptor that the system can watch, as a stream: Trio's `FdStream`.
///
/// The descriptor must not block, and it is made so. That is a property of the *open file description*, which other
/// descriptors and other processes may share: standard output, for example, usually is one with the shell's, and a program
/// that does not expect it then fails to print. So it is put back when the stream is closed or dropped; but meanwhile they all
/// see it.
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
}

struct Open {
    // Dropped before the descriptor, which has to be there for that.
    registration: Registration,
    file: Rc<Unblocked>,
}

impl Open {
    fn new(file: Rc<Unblocked>) -> io::Result<Self> {
        Ok(Self { registration: Registration::new(&file.file, false)?, file })
    }
}

/// A descriptor that does not block, until it is given back.
struct Unblocked {
    file: File,
    blocked_before: bool,
}

impl Unblocked {
    fn new(fd: OwnedFd) -> io::Result<Self> {
        let flags = fcntl_getfl(&fd)?;
        let blocked_before = !flags.contains(OFlags::NONBLOCK);
        if blocked_before {
            fcntl_setfl(&fd, flags | OFlags::NONBLOCK)?;
        }
        Ok(Self { file: fd.into(), blocked_before })
    }
}

impl Drop for Unblocked {
    fn drop(&mut self) {
        if self.blocked_before {
            // If it fails, nobody is left whom it could help.
            let _ = fcntl_getfl(&self.file).and_then(|flags| fcntl_setfl(&self.file, flags - OFlags::NONBLOCK));
        }
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
        let file = Rc::new(Unblocked::new(fd.into())?);
        Ok(Self { open: Some(Open::new(file)?) })
    }

    /// A second stream for the same descriptor, so that one task can send while another receives. The descriptor is closed
    /// with the last of them. Two tasks can't receive at once, nor send: the second gets a [`BusyResourceError`](crate::BusyResourceError).
    ///
    /// # Errors
    ///
    /// [`ClosedResourceError`] if the stream has been closed.
    pub fn try_clone(&self) -> io::Result<Self> {
        let file = Rc::clone(&self.open()?.file);
        Ok(Self { open: Some(Open::new(file)?) })
    }

    fn open(&self) -> io::Result<&Open> {
        self.open.as_ref().ok_or_else(|| io::Error::other(ClosedResourceError))
    }

    /// Sends all the data.
    ///
    /// A checkpoint. Cancelled or dropped, it may have sent any part of the data.
    ///
    /// # Errors
    ///
    /// [`ClosedResourceError`] if the stream has been closed; [`BrokenPipe`](io::ErrorKind::BrokenPipe) if nobody can receive
    /// what is sent any more; other errors of the system.
    pub async fn send_all(&mut self, data: &[u8]) -> io::Result<()> {
        self.send(data, &mut SendProgress::new()).await
    }

    async fn send(&self, data: &[u8], progress: &mut SendProgress) -> io::Result<()> {
        let Open { registration, file } = self.open()?;
        if data.is_empty() {
            free_checkpoint().await;
            return Ok(());
        }
        let mut rest = data;
        while !rest.is_empty() {
            let mut file = &file.file;
            // Counted at once: the operation may still owe a yield, in which it can be dropped.
            let write = || {
                let count = file.write(rest)?;
                progress.add(count);
                Ok(count)
            };
            let count = registration.io(Direction::Write, write, |count| *count < rest.len()).await?;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            rest = &rest[count..];
        }
        Ok(())
    }

    /// Waits until [`send_all`](Self::send_all) might not have to wait.
    ///
    /// A checkpoint, without any effect.
    ///
    /// # Errors
    ///
    /// [`ClosedResourceError`] if the stream has been closed.
    pub async fn wait_send_all_might_not_block(&mut self) -> io::Result<()> {
        self.open()?.registration.ready(Direction::Write).await
    }

    /// Receives what is there, waiting for at least one byte; gives how many bytes it put into the buffer, and 0 at the end.
    ///
    /// A checkpoint. Cancelled or dropped, it has received nothing.
    ///
    /// # Errors
    ///
    /// [`ClosedResourceError`] if the stream has been closed; [`InvalidInput`](io::ErrorKind::InvalidInput) for a buffer without
    /// room; errors of the system.
    pub async fn receive_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Open { registration, file } = self.open()?;
        if buffer.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a buffer without room can't receive anything"));
        }
        let mut file = &file.file;
        // A terminal gives a line at a time, so less than was asked for proves nothing.
        registration.io(Direction::Read, || file.read(buffer), |_| false).await
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
    /// # Errors
    ///
    /// [`ClosedResourceError`] if the stream has been closed; the system's, if there can be no more descriptors.
    pub fn into_fd(mut self) -> io::Result<OwnedFd> {
        let Open { registration, file } = self.open.take().ok_or_else(|| io::Error::other(ClosedResourceError))?;
        drop(registration);
        Ok(file.file.try_clone()?.into())
    }
}

impl AsFd for FdStream {
    /// # Panics
    ///
    /// If the stream has been closed.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.open.as_ref().expect("the stream has been closed").file.file.as_fd()
    }
}

impl fmt::Debug for FdStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.open {
            Some(open) => f.debug_tuple("FdStream").field(&open.file.file).finish(),
            None => f.write_str("FdStream(closed)"),
        }
    }
}

impl AsyncResource for FdStream {
    async fn aclose(&mut self) -> io::Result<()> {
        Self::aclose(self).await
    }
}

impl SendStream for FdStream {
    async fn send_all(&mut self, data: &[u8]) -> io::Result<()> {
        Self::send_all(self, data).await
    }

    async fn send_counted(&mut self, data: &[u8], progress: &mut SendProgress) -> io::Result<()> {
        self.send(data, progress).await
    }

    async fn wait_send_all_might_not_block(&mut self) -> io::Result<()> {
        Self::wait_send_all_might_not_block(self).await
    }
}

impl ReceiveStream for FdStream {
    async fn receive_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Self::receive_some(self, buffer).await
    }
}

impl ByteStream for FdStream {}
