//! Pseudo-terminals: for programs that behave in another way, or only work, at a terminal.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command as StdCommand;

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::process::{ioctl_tiocsctty, setsid};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcgetwinsize, tcsetwinsize};

use crate::fd_stream::FdStream;
use crate::stream::{AsyncResource, ByteStream, ReceiveStream, SendProgress, SendStream};

/// Our end of a pseudo-terminal: a stream of what a person at the terminal would type and see.
///
/// # Examples
///
/// ```
/// use trio::process::{Command, open_pty, run_process};
/// trio::run(async {
///     let (mut pty, terminal) = open_pty(24, 80)?;
///     run_process(Command::new("stty").arg("size").terminal(terminal)).await?;
///     let mut seen = [0; 100];
///     let count = pty.receive_some(&mut seen).await?;
///     assert_eq!(&seen[..count], b"24 80\r\n");
///     Ok::<(), trio::BoxError>(())
/// })
/// .unwrap();
/// ```
#[derive(Debug)]
pub struct Pty {
    stream: FdStream,
}

/// The other end of a [`Pty`]: what [`Command::terminal`](super::Command::terminal) gives to a child.
#[derive(Debug)]
pub struct Terminal(OwnedFd);

/// Makes a pseudo-terminal of this size, in characters. Not a checkpoint.
///
/// # Errors
///
/// The system's, if it has no more of them.
///
/// # Panics
///
/// Outside a run.
pub fn open_pty(rows: u16, columns: u16) -> io::Result<(Pty, Terminal)> {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&ours)?;
    unlockpt(&ours)?;
    let theirs = open(ptsname(&ours, Vec::new())?, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
    let pty = Pty { stream: FdStream::new(ours)? };
    pty.resize(rows, columns)?;
    Ok((pty, Terminal(theirs)))
}

impl Pty {
    /// Changes the size; whoever runs at the terminal gets `SIGWINCH`. Not a checkpoint.
    ///
    /// # Errors
    ///
    /// The system's.
    ///
    /// # Panics
    ///
    /// If it has been closed.
    pub fn resize(&self, rows: u16, columns: u16) -> io::Result<()> {
        Ok(tcsetwinsize(&self.stream, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 })?)
    }

    /// Rows and columns. Not a checkpoint.
    ///
    /// # Errors
    ///
    /// The system's.
    ///
    /// # Panics
    ///
    /// If it has been closed.
    pub fn size(&self) -> io::Result<(u16, u16)> {
        let size = tcgetwinsize(&self.stream)?;
        Ok((size.ws_row, size.ws_col))
    }

    /// A second one for the same terminal, so that one task can send while another receives.
    ///
    /// # Errors
    ///
    /// As [`FdStream::try_clone`].
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { stream: self.stream.try_clone()? })
    }

    /// Types. The byte 3 is Ctrl-C, 4 is Ctrl-D, unless whoever runs at the terminal has changed that. Otherwise as
    /// [`FdStream::send_all`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn send_all(&mut self, data: &[u8]) -> io::Result<()> {
        self.stream.send_all(data).await
    }

    /// Receives what is shown; 0 when nobody has the terminal open any more. Otherwise as [`FdStream::receive_some`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn receive_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.stream.receive_some(buffer).await {
            // What Linux says instead of the end.
            Err(error) if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => Ok(0),
            received => received,
        }
    }

    /// Closes it; whoever runs at the terminal gets `SIGHUP`. A checkpoint; even when cancelled it closes.
    ///
    /// # Errors
    ///
    /// None.
    pub async fn aclose(&mut self) -> io::Result<()> {
        self.stream.aclose().await
    }
}

impl AsFd for Pty {
    /// # Panics
    ///
    /// If it has been closed.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl AsyncResource for Pty {
    async fn aclose(&mut self) -> io::Result<()> {
        Self::aclose(self).await
    }
}

impl SendStream for Pty {
    async fn send_all(&mut self, data: &[u8]) -> io::Result<()> {
        Self::send_all(self, data).await
    }

    async fn send_counted(&mut self, data: &[u8], progress: &mut SendProgress) -> io::Result<()> {
        self.stream.send_counted(data, progress).await
    }

    async fn wait_send_all_might_not_block(&mut self) -> io::Result<()> {
        self.stream.wait_send_all_might_not_block().await
    }
}

impl ReceiveStream for Pty {
    async fn receive_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Self::receive_some(self, buffer).await
    }
}

impl ByteStream for Pty {}

impl From<Terminal> for OwnedFd {
    fn from(terminal: Terminal) -> Self {
        terminal.0
    }
}

/// Makes the child the first of a session whose terminal is its standard input.
pub(super) fn lead_session(command: &mut StdCommand) {
    let lead = || {
        setsid()?;
        ioctl_tiocsctty(rustix::stdio::stdin())?;
        Ok(())
    };
    // SAFETY: between fork and exec only what is async-signal-safe may be called: these are two bare system calls, which neither
    // allocate nor lock; an error is a number.
    unsafe { command.pre_exec(lead) };
}
