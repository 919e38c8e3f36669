//! The order of a file's operations, also of those that nobody waits for any more.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::kernel::context;

/// An operation that a thread has, or is about to have.
#[derive(Debug, Default)]
struct Turn(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    over: bool,
    /// The task that waits for the end: only one can, the one that uses the file.
    waiting: Option<Waker>,
}

impl Turn {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.lock().over
    }

    fn poll_over(&self, context: &Context<'_>) -> Poll<()> {
        // May be foreign code, so outside of the lock.
        let waker = context.waker().clone();
        let mut state = self.lock();
        if state.over {
            return Poll::Ready(());
        }
        let before = state.waiting.replace(waker);
        drop(state);
        drop(before);
        Poll::Pending
    }
}

/// Ends a turn when dropped: by the thread that has done its work, or because there was none.
#[derive(Debug)]
pub(super) struct Ending(Arc<Turn>);

impl Drop for Ending {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.over = true;
        let waiting = state.waiting.take();
        drop(state);
        if let Some(waker) = waiting {
            waker.wake();
        }
    }
}

/// Whose turn it is. An operation waits for the one before *in its task*, and has a turn only when a thread is to do it:
/// so one that is dropped, or forgotten, while it waits holds up nobody, and keeps no thread.
#[derive(Debug, Default)]
pub(super) struct Turns(Option<Arc<Turn>>);

impl Turns {
    /// Whether nothing is under way, because of a call that was dropped before its end.
    pub(super) fn is_calm(&mut self) -> bool {
        if self.0.as_ref().is_some_and(|turn| turn.is_over()) {
            self.0 = None;
        }
        self.0.is_none()
    }

    /// Waits until nothing is under way. A cancel point.
    pub(super) async fn calm(&mut self) {
        let Some(turn) = self.0.as_ref().filter(|turn| !turn.is_over()) else { return };
        // A thread works, if perhaps for another run: this one is not stuck.
        let _counted = context::with(|run| run.outstanding.count());
        poll_fn(|context| {
            context::with(|run| {
                if run.is_cancelled_here() {
                    run.park_cancelled(context);
                }
            });
            turn.poll_over(context)
        })
        .await;
    }

    /// Begins the turn of an operation, when it is [calm](Self::calm) and a thread is to do it.
    pub(super) fn begin(&mut self) -> Ending {
        let turn = Arc::<Turn>::default();
        self.0 = Some(Arc::clone(&turn));
        Ending(turn)
    }
}
