//! Telling two tasks that use one thing at the same time.

use std::cell::Cell;
use std::io;

use crate::kernel::reactor::BusyResourceError;

/// Lets one in at a time: Trio's `ConflictDetector`.
#[derive(Debug, Default)]
pub(super) struct Conflict(Cell<bool>);

impl Conflict {
    /// Fails if somebody is in; otherwise one is in until the guard is dropped.
    pub(super) fn enter(&self) -> io::Result<Inside<'_>> {
        if self.0.replace(true) {
            return Err(io::Error::other(BusyResourceError));
        }
        Ok(Inside(self))
    }
}

pub(super) struct Inside<'a>(&'a Conflict);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.0.set(false);
    }
}
