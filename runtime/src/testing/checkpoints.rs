//! Whether a future executes checkpoints.

use std::future::poll_fn;
use std::panic::Location;
use std::pin::pin;
use std::task::Poll;

use crate::kernel::context;
use crate::kernel::run::Run;

/// Which halves of a checkpoint a future has executed so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) schedule_point: bool,
    pub(super) cancel_point: bool,
}

impl Seen {
    pub(super) fn whole_checkpoint(self) -> bool {
        self.schedule_point && self.cancel_point
    }

    /// What was executed, for messages.
    pub(super) fn describe(self) -> &'static str {
        match (self.schedule_point, self.cancel_point) {
            (false, false) => "neither a schedule point nor a cancel point",
            (true, false) => "a schedule point, but no cancel point",
            (false, true) => "a cancel point, but no schedule point",
            (true, true) => "a checkpoint",
        }
    }
}

/// Runs a future and calls `look` after each of its steps with what it has executed so far.
///
/// Whoever waits lets the others take their turn, and is dropped if it is cancelled then: so each step that does not
/// complete is a schedule point, and a cancel point unless something holds it. What is left to be counted is the
/// operations that complete in the step in which they begin. Only this task runs during its step, so the counts of the
/// run will do.
async fn observe<F: Future>(future: F, mut look: impl FnMut(Seen)) -> F::Output {
    let mut future = pin!(future);
    let mut seen = Seen::default();
    poll_fn(|context| {
        let (cancel_points, saved_yields) = context::with(Run::points_passed);
        let polled = future.as_mut().poll(context);
        context::with(|run| {
            let after = run.points_passed();
            let waits = polled.is_pending();
            seen.schedule_point |= waits || after.1 != saved_yields;
            seen.cancel_point |= after.0 != cancel_points || (waits && !run.is_held_here());
        });
        look(seen);
        match polled {
            Poll::Ready(output) => Poll::Ready(output),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Runs a future, and says what it has executed.
pub(super) async fn watch<F: Future>(future: F) -> (F::Output, Seen) {
    let mut last = Seen::default();
    let output = observe(future, |seen| last = seen).await;
    (output, last)
}

/// Runs a future, and panics if it completes without having executed a checkpoint: Trio's `assert_checkpoints`.
///
/// A checkpoint is a *schedule point*, where the other tasks get their turn, and a *cancel point*, where a cancellation
/// takes effect; the future must have executed at least one of each. An operation that completes without a yield
/// because the task has budget left ([`Builder::checkpoint_budget`](crate::Builder::checkpoint_budget)) counts as a
/// schedule point, since it is one under the strict rule. Waiting for something of another crate is both, as it can be
/// cancelled there. What tasks of a nursery inside the future do counts as done by the future.
///
/// This is exactly as much of a checkpoint as the future is; cancelling it cancels the future. An `Err` is an output
/// like any other: operations that fail at once need not be checkpoints, so look at what they do when they succeed.
///
/// # Panics
///
/// When the future has completed without a schedule point, or without a cancel point, with the place of this call. Also
/// outside a run.
///
/// # Examples
///
/// ```
/// use trio::testing::assert_checkpoints;
/// trio::run(async {
///     let event = trio::Event::new();
///     event.set();
///     // Even when there is nothing to wait for.
///     assert_checkpoints(event.wait()).await;
/// });
/// ```
#[track_caller]
pub fn assert_checkpoints<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let place = Location::caller();
    async move {
        let (output, seen) = watch(future).await;
        assert!(seen.whole_checkpoint(), "assert_checkpoints at {place}: the future executed {}", seen.describe());
        output
    }
}

/// Runs a future, and panics if it executes a checkpoint, or one half of it: Trio's `assert_no_checkpoints`.
///
/// For code that relies on nothing happening in between: no other task runs, and no cancellation takes effect. What
/// counts as a schedule point and as a cancel point is as in [`assert_checkpoints`].
///
/// Not a checkpoint, by its very purpose.
///
/// # Panics
///
/// As soon as the future has executed a schedule point or a cancel point, with the place of this call. (Trio waits for
/// the end of the block; a future that waits for ever would not reach it.) Also outside a run.
///
/// # Examples
///
/// ```
/// use trio::testing::assert_no_checkpoints;
/// trio::run(async {
///     let (sender, receiver) = trio::open_memory_channel(1);
///     let got = assert_no_checkpoints(async {
///         sender.try_send(42).unwrap();
///         receiver.try_receive()
///     });
///     assert_eq!(got.await, Ok(42));
/// });
/// ```
#[track_caller]
pub fn assert_no_checkpoints<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let place = Location::caller();
    let look = move |seen: Seen| {
        let nothing = seen == Seen::default();
        assert!(nothing, "assert_no_checkpoints at {place}: the future executed {}", seen.describe());
    };
    observe(future, look)
}
