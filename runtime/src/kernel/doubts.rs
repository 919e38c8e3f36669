//! Descriptors of which nobody knows whether a short read has left something behind.
//!
//! Most short reads have taken all there was, so that a second call would be for nothing. But a read of a Unix socket also
//! ends behind data that descriptors came with, and that of a terminal behind a line; and of what is left there no
//! edge tells. So nobody asks while anything else happens, and an edge may come meanwhile. The question is put when nothing is
//! left to do, or has waited for long.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use super::reactor::SourceKey;

/// How many looks at the outside a doubt waits for, while the run is busy.
const PATIENCE: u64 = 64;

/// What is in doubt of one descriptor.
#[derive(Debug, Default)]
pub(super) struct Doubt {
    open: bool,
    queued: bool,
}

/// The doubts of a run.
#[derive(Default)]
pub(super) struct Doubts {
    looks: Cell<u64>,
    open: Cell<usize>,
    /// In the order in which they came up, with the number of the look. Some are settled by now, or gone.
    queue: RefCell<VecDeque<(SourceKey, u64)>>,
}

impl Doubts {
    #[inline]
    pub(super) fn any(&self) -> bool {
        self.open.get() > 0
    }

    pub(super) fn raise(&self, key: SourceKey, doubt: &mut Doubt) {
        if !doubt.open {
            doubt.open = true;
            self.open.set(self.open.get() + 1);
        }
        if !doubt.queued {
            doubt.queued = true;
            self.queue.borrow_mut().push_back((key, self.looks.get()));
        }
    }

    /// Settles a doubt; whether there was one.
    #[inline]
    pub(super) fn settle(&self, doubt: &mut Doubt) -> bool {
        let was_open = std::mem::take(&mut doubt.open);
        self.open.set(self.open.get() - usize::from(was_open));
        was_open
    }

    /// The run has looked at the outside.
    #[inline]
    pub(super) fn look(&self) {
        self.looks.set(self.looks.get() + 1);
    }

    /// The next descriptor to ask about: of all, or of those that have waited for long.
    pub(super) fn next(&self, all: bool) -> Option<SourceKey> {
        let mut queue = self.queue.borrow_mut();
        let (_, since) = queue.front()?;
        let is_due = all || self.looks.get() - since >= PATIENCE;
        if is_due { queue.pop_front().map(|(key, _)| key) } else { None }
    }

    /// To be called for what [`next`](Self::next) gives; whether there is still a doubt.
    pub(super) fn take_up(&self, doubt: &mut Doubt) -> bool {
        doubt.queued = false;
        self.settle(doubt)
    }
}
