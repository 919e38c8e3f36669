//! Waiting until something is so, for state that others change.

use std::io;

use crate::kernel::checkpoint::checkpoint_if_cancelled;
use crate::kernel::reactor::BusyResourceError;
use crate::net::seam::Pending;
use crate::sync::wait_queue::{Operation, Request, WaitQueue};

/// Who waits for state to change. Whoever changes it says so.
pub(super) struct Changes {
    waiting: WaitQueue<(), ()>,
    #[cfg(feature = "__poll")]
    polling: polling::Polling,
}

impl Default for Changes {
    fn default() -> Self {
        Self {
            waiting: WaitQueue::new(),
            #[cfg(feature = "__poll")]
            polling: polling::Polling::default(),
        }
    }
}

impl Changes {
    /// Lets all who wait look again.
    pub(super) fn tell(&self) {
        while self.waiting.hand_off(|()| ()) {}
        #[cfg(feature = "__poll")]
        self.polling.tell();
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
            if self.waiting.has_waiters() {
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
        &self.changes.waiting
    }

    fn attempt(&self, _payload: &mut Option<()>) -> Option<()> {
        (self.condition)().then_some(())
    }

    fn give_back(&self, _grant: ()) {}
}

/// Who polls instead of waiting.
#[cfg(feature = "__poll")]
mod polling {
    use std::cell::{Cell, RefCell};
    use std::task::{Context, Poll};

    use super::*;
    use crate::kernel::checkpoint::yield_now;
    use crate::kernel::context;
    use crate::kernel::waker::StoredWaker;

    #[derive(Default)]
    pub(super) struct Polling {
        waker: RefCell<StoredWaker>,
        /// The others have had their turn: the next poll need not yield.
        yielded: Cell<bool>,
    }

    impl Polling {
        pub(super) fn tell(&self) {
            let waker = self.waker.take();
            waker.wake();
        }
    }

    impl Changes {
        /// As `ready`, for what polls: whoever does so later takes the place of whoever did so before.
        pub(in crate::testing) fn poll_ready(
            &self,
            context: &mut Context<'_>,
            condition: impl Fn() -> bool,
        ) -> Poll<io::Result<()>> {
            context::with(|run| {
                if run.is_cancelled_here() {
                    run.park_cancelled(context);
                    return Poll::Pending;
                }
                if self.waiting.has_waiters() {
                    return Poll::Ready(Err(io::Error::other(BusyResourceError)));
                }
                let yielded = self.polling.yielded.take();
                if !condition() {
                    self.polling.yielded.set(true);
                    let old = self.polling.waker.replace(StoredWaker::new(context.waker()));
                    drop(old);
                    return Poll::Pending;
                }
                if yielded || run.take_budget() {
                    return Poll::Ready(Ok(()));
                }
                self.polling.yielded.set(true);
                yield_now(run, context);
                Poll::Pending
            })
        }
    }
}
