//! Waiting until something is so, for state that others change.

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
