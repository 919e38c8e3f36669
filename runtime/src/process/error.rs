//! What can go wrong with a child process.
#![forbid(unsafe_code)]

use std::error::Error;
use std::fmt;
use std::io;
use std::process::ExitStatus;

use super::child::describe;
use crate::kernel::group::{BoxError, ErrorGroup};

/// A child did not succeed: Python's `CalledProcessError`.
#[derive(Clone, Debug)]
pub struct CalledProcessError {
    /// What was run.
    pub command: String,
    /// How it exited.
    pub status: ExitStatus,
    /// What it wrote to its standard output, if that was captured.
    pub stdout: Vec<u8>,
    /// What it wrote to its standard error, if that was captured.
    pub stderr: Vec<u8>,
}

impl fmt::Display for CalledProcessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.command, describe(self.status))?;
        let stderr = String::from_utf8_lossy(&self.stderr);
        match stderr.trim_end() {
            "" => Ok(()),
            text => write!(f, ": {text}"),
        }
    }
}

impl Error for CalledProcessError {}

/// Why [`run_process`](super::run_process) failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum ProcessError {
    /// The child could not be started, or its options contradict each other.
    Start(io::Error),
    /// The child did not succeed.
    Failed(CalledProcessError),
    /// Its input could not be sent, its output could not be received, or what was to end it when it was cancelled failed.
    Supervision(ErrorGroup<BoxError>),
}

impl fmt::Display for ProcessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(error) => write!(f, "the process could not be started: {error}"),
            Self::Failed(error) => error.fmt(f),
            Self::Supervision(errors) => errors.fmt(f),
        }
    }
}

impl Error for ProcessError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Start(error) => Some(error),
            Self::Failed(_) => None,
            Self::Supervision(errors) => Some(errors),
        }
    }
}
