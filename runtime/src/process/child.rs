//! A child process: waiting for it, and sending it signals.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::rc::Rc;

use rustix::process::{Pid, Signal, kill_process};

use super::exit;
use crate::fd_stream::FdStream;
use crate::kernel::checkpoint::free_checkpoint;
use crate::kernel::reactor::BusyResourceError;
use crate::kernel::signal::send_real_time;
use crate::lowlevel::wait_readable;
use crate::stream::StapledStream;

/// A child process, with the ends of its pipes: Trio's `Process`.
///
/// Made by [`open_process`](super::open_process) and [`supervise`](super::supervise).
///
/// Dropping it does not end the child, which goes on by itself; when it exits, a thread sees to it that no zombie is left.
/// [`run_process`](super::run_process) is for children that are to end with the code that started them.
pub struct Process {
    /// Where to send what the child reads, if that is [piped](super::Stdio::piped).
    pub stdin: Option<FdStream>,
    /// Where to receive what the child writes, if that is piped.
    pub stdout: Option<FdStream>,
    /// Where to receive what the child writes to its standard error, if that is piped.
    pub stderr: Option<FdStream>,
    handle: ProcessHandle,
}

/// A child process without its pipes, for all who want to wait for it or to send it signals.
#[derive(Clone)]
pub struct ProcessHandle(Rc<Shared>);

struct Shared {
    pid: Pid,
    /// `None` when it has been handed over to a thread.
    child: RefCell<Option<Child>>,
    status: Cell<Option<ExitStatus>>,
    /// Readable when the child has exited.
    exited: OwnedFd,
}

impl Process {
    /// `output`: the other end of the child's standard output, if that was not made by the standard library.
    pub(super) fn new(mut child: Child, output: Option<OwnedFd>, use_pidfd: bool) -> io::Result<Self> {
        let pipes = (|| {
            let stdin = child.stdin.take().map(FdStream::new).transpose()?;
            let stdout = output.or_else(|| child.stdout.take().map(OwnedFd::from));
            let stdout = stdout.map(FdStream::new).transpose()?;
            let stderr = child.stderr.take().map(FdStream::new).transpose()?;
            io::Result::Ok((stdin, stdout, stderr, exit::watch(&child, use_pidfd)?))
        })();
        match pipes {
            Ok((stdin, stdout, stderr, exited)) => {
                let handle = ProcessHandle(Rc::new(Shared {
                    pid: Pid::from_child(&child),
                    child: RefCell::new(Some(child)),
                    status: Cell::new(None),
                    exited,
                }));
                Ok(Self { stdin, stdout, stderr, handle })
            }
            // One that can't be talked with or waited for must not go on.
            Err(error) => {
                let _ = child.kill();
                exit::reap_later(child);
                Err(error)
            }
        }
    }

    /// The child without its pipes. Handles can be cloned.
    pub fn handle(&self) -> ProcessHandle {
        self.handle.clone()
    }

    /// The child's standard input and output as one stream, if both are piped: Trio's `Process.stdio`.
    pub fn take_stdio(&mut self) -> Option<StapledStream<FdStream, FdStream>> {
        if self.stdin.is_none() || self.stdout.is_none() {
            return None;
        }
        Some(StapledStream { send_stream: self.stdin.take()?, receive_stream: self.stdout.take()? })
    }

    /// See [`ProcessHandle::id`].
    pub fn id(&self) -> u32 {
        self.handle.id()
    }

    /// See [`ProcessHandle::wait`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn wait(&self) -> io::Result<ExitStatus> {
        self.handle.wait().await
    }

    /// See [`ProcessHandle::try_wait`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        self.handle.try_wait()
    }

    /// See [`ProcessHandle::send_signal`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn send_signal(&self, signal: i32) -> io::Result<()> {
        self.handle.send_signal(signal)
    }

    /// See [`ProcessHandle::terminate`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn terminate(&self) -> io::Result<()> {
        self.handle.terminate()
    }

    /// See [`ProcessHandle::kill`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn kill(&self) -> io::Result<()> {
        self.handle.kill()
    }
}

impl ProcessHandle {
    /// The child's number. It means this child until its status has been seen, by [`wait`](Self::wait) or
    /// [`try_wait`](Self::try_wait), and may mean another process afterwards.
    pub fn id(&self) -> u32 {
        self.0.pid.as_raw_nonzero().get() as u32
    }

    /// Waits until the child has exited, and gives how: the same each time, and to any number of tasks.
    ///
    /// A checkpoint. Cancelling it has no effect on the child. The pipes of the child may still hold what it wrote.
    ///
    /// # Errors
    ///
    /// The system's, if it has no status of the child, or no memory or descriptor for one more that waits. If somebody else has
    /// collected it, or `SIGCHLD` is ignored, so that nobody can, the status counts as 0, as in Trio.
    pub async fn wait(&self) -> io::Result<ExitStatus> {
        if let Some(status) = self.try_wait()? {
            free_checkpoint().await;
            return Ok(status);
        }
        loop {
            self.until_exited().await?;
            if let Some(status) = self.try_wait()? {
                return Ok(status);
            }
        }
    }

    async fn until_exited(&self) -> io::Result<()> {
        match wait_readable(&self.0.exited).await {
            // Somebody waits already, and may be paused or forgotten, so nobody else can rely on that: this one watches
            // by itself, which takes another descriptor.
            Err(error) if BusyResourceError::is_in(&error) => wait_readable(&self.0.exited.try_clone()?).await,
            waited => waited,
        }
    }

    /// How the child has exited; `None` while it runs. Not a checkpoint.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        if self.0.status.get().is_none() {
            let mut child = self.0.child.borrow_mut();
            let status = match child.as_mut().map(Child::try_wait) {
                Some(Err(error)) if is_collected(&error) => Some(ExitStatus::from_raw(0)),
                Some(status) => status?,
                None => None,
            };
            self.0.status.set(status);
        }
        Ok(self.0.status.get())
    }

    /// Sends the child a signal, be it a real-time one; does nothing if it has exited. Not a checkpoint.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a number that is no signal;
    /// [`PermissionDenied`](io::ErrorKind::PermissionDenied) if the child has become somebody else's.
    pub fn send_signal(&self, signal: i32) -> io::Result<()> {
        // As long as its status has not been collected, the number can't mean another process.
        if self.try_wait()?.is_some() {
            return Ok(());
        }
        match Signal::from_named_raw(signal) {
            Some(signal) => Ok(kill_process(self.0.pid, signal)?),
            None => send_real_time(self.0.pid, signal),
        }
    }

    /// Asks the child to end: `SIGTERM`. Otherwise as [`send_signal`](Self::send_signal).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn terminate(&self) -> io::Result<()> {
        self.send_signal(Signal::TERM.as_raw())
    }

    /// Ends the child: `SIGKILL`. Otherwise as [`send_signal`](Self::send_signal).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn kill(&self) -> io::Result<()> {
        self.send_signal(Signal::KILL.as_raw())
    }
}

/// Kills the child when it is dropped, whoever else knows it.
pub(super) struct KillOnDrop(pub(super) ProcessHandle);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        // Does nothing to one that has exited. If it fails, there is nobody left to be told.
        let _ = self.0.kill();
    }
}

/// Whether a child has no status any more: `ECHILD`.
fn is_collected(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::CHILD.raw_os_error())
}

impl Drop for Shared {
    fn drop(&mut self) {
        let Some(child) = self.child.take() else { return };
        if self.status.get().is_none() {
            exit::reap_later(child);
        }
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.handle.fmt(f)
    }
}

impl fmt::Debug for ProcessHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.try_wait() {
            Ok(None) => format!("running with PID {}", self.id()),
            Ok(Some(status)) => describe(status),
            Err(error) => format!("without a status: {error}"),
        };
        write!(f, "Process({state})")
    }
}

/// How a child has exited, in words.
pub(super) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with status {code}"),
        (None, Some(signal)) => format!("exited with signal {signal}"),
        (None, None) => format!("exited: {status}"),
    }
}
