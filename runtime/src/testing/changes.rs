//! Waiting until something is so, for state that others change.

use std::io;

use crate::kernel::checkpoint::checkpoint_if_cancelled;
use crate::kernel::reactor::BusyResourceError;
use crate::net::seam::Pending;
use crate::sync::wait_queue::{Operation, Request, WaitQueue};

/// Who waits for state to change. Whoever changes it says so.
pub(super) struct Changes(WaitQueue<(), ()>);

impl Default for Changes {
    fn default() -> Self {
        Self(WaitQueue::new())
    }
}

impl Changes {
    /// Lets all who wait look again.
    pub(super) fn tell(&self) {
        while self.0.hand_off(|()| ()) {}
    }

    /// Waits until the condition holds: a checkpoint, also if it does so already.
    pub(super) async fn wait_until(&self, condition: impl Fn() -> bool) {
        loop {
            Operation::new(Look { changes: self, condition: &condition }, ()).await;
            if condition() {
                return;
            }
        }
    }

    /// As `wait_until`, for one at a time: fails if somebody waits already.
    pub(super) fn ready<'a>(&'a self, condition: impl Fn() -> bool + 'a) -> Pending<'a, ()> {
        Box::pin(async move {
            checkpoint_if_cancelled().await;
            if self.0.has_waiters() {
                return Err(io::Error::other(BusyResourceError));
            }
            self.wait_until(condition).await;
            Ok(())
        })
    }
}

struct Look<'a, F> {
    changes: &'a Changes,
    condition: &'a F,
}

impl<F: Fn() -> bool> Request for Look<'_, F> {
    type Payload = ();
    type Grant = ();

    fn queue(&self) -> &WaitQueue<(), ()> {
        &self.changes.0
    }

    fn attempt(&self, _payload: &mut Option<()>) -> Option<()> {
        (self.condition)().then_some(())
    }

    fn give_back(&self, _grant: ()) {}
}
