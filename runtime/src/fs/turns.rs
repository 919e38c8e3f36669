//! The order of a file's operations, also of those that nobody waits for any more.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// An operation that may not have ended.
#[derive(Debug, Default)]
pub(super) struct Turn {
    over: Mutex<bool>,
    changed: Condvar,
}

impl Turn {
    fn lock(&self) -> MutexGuard<'_, bool> {
        self.over.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        *self.lock()
    }

    fn wait(&self) {
        drop(self.changed.wait_while(self.lock(), |over| !*over));
    }
}

/// Ends a turn when dropped: by the thread that has done its work, or with the call that never came to a thread.
#[derive(Debug)]
pub(super) struct Ending(Arc<Turn>);

impl Drop for Ending {
    fn drop(&mut self) {
        *self.0.lock() = true;
        self.0.changed.notify_all();
    }
}

/// The operations of a file that were begun and have not ended, as far as its owner knows.
#[derive(Debug, Default)]
pub(super) struct Turns(Vec<Arc<Turn>>);

/// Goes to the thread with an operation.
#[derive(Debug)]
pub(super) struct Ticket {
    before: Vec<Arc<Turn>>,
    _ending: Ending,
}

impl Ticket {
    /// Blocks the thread until all earlier operations have ended.
    pub(super) fn wait(&self) {
        self.before.iter().for_each(|turn| turn.wait());
    }
}

impl Turns {
    /// Whether nothing is under way, because of a call that was dropped before its end.
    pub(super) fn is_calm(&mut self) -> bool {
        self.0.retain(|turn| !turn.is_over());
        self.0.is_empty()
    }

    /// Begins an operation.
    pub(super) fn begin(&mut self) -> Ticket {
        self.0.retain(|turn| !turn.is_over());
        let turn = Arc::new(Turn::default());
        let before = self.0.clone();
        self.0.push(Arc::clone(&turn));
        Ticket { before, _ending: Ending(turn) }
    }
}
