//! How many handles to one thing there are.

use std::cell::Cell;

/// Counts handles, the first included.
#[derive(Debug)]
pub(super) struct Handles(Cell<usize>);

impl Default for Handles {
    fn default() -> Self {
        Self(Cell::new(1))
    }
}

impl Handles {
    pub(super) fn add(&self) {
        self.0.set(self.0.get() + 1);
    }

    /// Counts one back; whether it was the last.
    pub(super) fn remove(&self) -> bool {
        self.0.set(self.0.get() - 1);
        self.0.get() == 0
    }
}
