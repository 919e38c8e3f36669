//! The few ways to be a checkpoint, of which every waiting operation is made.

use std::pin::Pin;
use std::task::{Context, Poll};

use super::context;
use super::header::NodeId;
use super::run::Run;
use super::waker::{StoredWaker, word_of};

impl Run {
    /// Makes sure that an operation that parks because it is cancelled is polled again if the cancellation is taken
    /// back (a shield that is set in flight). Whoever polls with one of trio's wakers is found through the tree.
    pub(crate) fn park_cancelled(&self, context: &Context<'_>) {
        if word_of(context.waker()).is_none() {
            if let StoredWaker::Foreign(waker) = StoredWaker::new(context.waker()) {
                self.tree.remember_parked(self.current(), waker);
            }
        }
    }
}

/// Yields to all other tasks that can run, then looks whether this one is cancelled.
///
/// A checkpoint and nothing else: a schedule point, and a cancel point. Put it into long loops that compute. A
/// deadline that passes while the others run is met by this very call.
///
/// # Examples
///
/// ```
/// trio::run(async {
///     for _ in 0..1000 {
///         // a millisecond of work here
///         trio::checkpoint().await;
///     }
/// });
/// ```
pub fn checkpoint() -> impl Future<Output = ()> {
    Checkpoint { free: false, yielded: false }
}

/// What an operation that need not wait and has no effect is: a checkpoint, whose yield the step's budget may save.
pub(crate) fn free_checkpoint() -> impl Future<Output = ()> {
    Checkpoint { free: true, yielded: false }
}

struct Checkpoint {
    /// The yield may be skipped within the step's budget.
    free: bool,
    yielded: bool,
}

impl Future for Checkpoint {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        context::with(|run| {
            if run.is_cancelled_here() {
                run.park_cancelled(context);
                // If the cancellation is taken back, the yield is still owed, or has been had.
                self.yielded = true;
                return Poll::Pending;
            }
            if self.yielded || (self.free && run.take_budget()) {
                return Poll::Ready(());
            }
            self.yielded = true;
            yield_now(run, context);
            Poll::Pending
        })
    }
}

/// Wakes the task that is being polled, so that it is polled again in the next pass.
#[inline]
pub(crate) fn yield_now(run: &Run, context: &Context<'_>) {
    match word_of(context.waker()) {
        Some(word) => run.wake(word),
        None => context.waker().wake_by_ref(),
    }
}

/// A cancel point without a schedule point: goes on at once, unless the code is effectively cancelled.
///
/// Trio's `trio.lowlevel.checkpoint_if_cancelled`: with [`cancel_shielded_checkpoint`] after the fact, what a
/// checkpoint is made of.
///
/// # Examples
///
/// ```
/// trio::run(async {
///     let passed = trio::cancel_scope! { |scope|
///         trio::lowlevel::checkpoint_if_cancelled().await;
///         scope.cancel();
///         trio::lowlevel::checkpoint_if_cancelled().await;
///     };
///     assert!(passed.is_none());
/// });
/// ```
pub fn checkpoint_if_cancelled() -> impl Future<Output = ()> {
    CheckpointIfCancelled
}

struct CheckpointIfCancelled;

impl Future for CheckpointIfCancelled {
    type Output = ();

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        context::with(|run| {
            if run.is_cancelled_here() {
                run.park_cancelled(context);
                return Poll::Pending;
            }
            Poll::Ready(())
        })
    }
}

/// A schedule point without a cancel point: yields to all other tasks that can run, and goes on even if cancelled.
///
/// Trio's `trio.lowlevel.cancel_shielded_checkpoint`: for operations that have completed and must not lose
/// what they got.
pub fn cancel_shielded_checkpoint() -> impl Future<Output = ()> {
    Shielded { held: Hold::default(), yielded: false }
}

/// What an operation that need not wait owes after it has completed: a yield that no cancellation can interrupt,
/// unless the task has budget left in this step.
#[inline]
pub(crate) async fn schedule_point() {
    if !context::with(Run::take_budget) {
        cancel_shielded_checkpoint().await;
    }
}

struct Shielded {
    held: Hold,
    yielded: bool,
}

impl Future for Shielded {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        context::with(|run| {
            if self.yielded {
                self.held.release();
                return Poll::Ready(());
            }
            self.yielded = true;
            self.held.take(run);
            yield_now(run, context);
            Poll::Pending
        })
    }
}

/// Keeps the place in the tree where an operation is from being dropped by a cancellation.
#[derive(Default)]
pub(crate) struct Hold(Option<NodeId>);

impl Hold {
    pub(crate) fn take(&mut self, run: &Run) {
        if self.0.is_none() {
            let node = run.current();
            run.change(|tree, effects| tree.hold(node, true, effects));
            self.0 = Some(run.tree.id(node));
        }
    }

    pub(crate) fn release(&mut self) {
        let Some(id) = self.0.take() else { return };
        context::try_with(|run| {
            run.change(|tree, effects| {
                if let Some(node) = tree.get(id) {
                    tree.hold(node, false, effects);
                }
            });
        });
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.release();
    }
}
