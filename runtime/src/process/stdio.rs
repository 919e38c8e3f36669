//! What a child's standard streams are connected with.
#![forbid(unsafe_code)]

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::Stdio as StdStdio;
use std::rc::Rc;

/// What one of a child's standard streams is connected with.
///
/// Also made from whatever owns a descriptor: a file, an end of a pipe, a socket. That descriptor stays open as long as there
/// is a `Stdio` of it, and the [`Command`](super::Command) it was given to keeps one, so that it can start another child. So the
/// end of a pipe that the child writes to is not seen before the command has been dropped, or has been given something else.
#[derive(Clone)]
pub struct Stdio(Kind);

#[derive(Clone)]
enum Kind {
    Inherit,
    Null,
    Piped,
    Fd(Rc<OwnedFd>),
    /// Standard error goes where standard output goes.
    Stdout,
}

impl Stdio {
    /// With what this process's stream is connected with.
    pub const fn inherit() -> Self {
        Self(Kind::Inherit)
    }

    /// With nothing: it reads the end at once, and what it writes is dropped.
    pub const fn null() -> Self {
        Self(Kind::Null)
    }

    /// With a pipe, whose other end is in the [`Process`](super::Process).
    pub const fn piped() -> Self {
        Self(Kind::Piped)
    }

    /// For the child's standard error: with what its standard output is connected with. Trio's and Python's
    /// `stderr=STDOUT`.
    pub const fn stdout() -> Self {
        Self(Kind::Stdout)
    }

    pub(super) fn is_piped(&self) -> bool {
        matches!(self.0, Kind::Piped)
    }

    pub(super) fn is_stdout(&self) -> bool {
        matches!(self.0, Kind::Stdout)
    }

    /// What the standard library has for it. `stdout` is what the child's standard output is connected with.
    pub(super) fn connect(&self, stdout: Option<&Self>) -> io::Result<StdStdio> {
        match (&self.0, stdout) {
            (Kind::Inherit, _) => Ok(StdStdio::inherit()),
            (Kind::Null, _) => Ok(StdStdio::null()),
            (Kind::Piped, _) => Ok(StdStdio::piped()),
            (Kind::Fd(fd), _) => Ok(fd.try_clone()?.into()),
            (Kind::Stdout, Some(Self(Kind::Inherit))) => Ok(io::stdout().as_fd().try_clone_to_owned()?.into()),
            (Kind::Stdout, Some(stdout)) if !stdout.is_stdout() => stdout.connect(None),
            (Kind::Stdout, _) => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "only standard error can go where standard output goes",
            )),
        }
    }
}

impl fmt::Debug for Stdio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Inherit => f.write_str("inherit"),
            Kind::Null => f.write_str("null"),
            Kind::Piped => f.write_str("piped"),
            Kind::Fd(fd) => fd.fmt(f),
            Kind::Stdout => f.write_str("stdout"),
        }
    }
}

impl<T: Into<OwnedFd>> From<T> for Stdio {
    fn from(owner: T) -> Self {
        Self(Kind::Fd(Rc::new(owner.into())))
    }
}
