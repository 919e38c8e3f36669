//! The handle of a task whose output somebody wants.

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::checkpoint::{checkpoint_if_cancelled, schedule_point};
use super::child::{Join, Joinable};
use super::context;
use super::header::NodeId;
use super::reason::CancelReason;

/// A task started with [`spawn`](crate::Nursery::spawn) or [`try_spawn`](crate::Nursery::try_spawn).
///
/// Dropping it does not cancel the task: the nursery waits for it all the same.
#[must_use = "nobody else sees the task's output: `join` the handle, or use `start_soon` if it does not matter"]
pub struct TaskHandle<'scope, T> {
    task: Rc<dyn Join<T> + 'scope>,
    /// `None` if the nursery was being dropped, and the task with it.
    id: Option<NodeId>,
}

/// A task ended without a value: it was cancelled, or it failed or panicked and its nursery has the error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancelled;

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the task ended without a value: it was cancelled, it panicked, or its nursery has its error")
    }
}

impl std::error::Error for Cancelled {}

impl<'scope, T> TaskHandle<'scope, T> {
    pub(crate) fn new(task: Rc<dyn Join<T> + 'scope>, id: Option<NodeId>) -> Self {
        Self { task, id }
    }

    /// Waits until the task has ended, and gives its output.
    ///
    /// A checkpoint. Cancelling the wait does not cancel the task.
    ///
    /// # Errors
    ///
    /// [`Cancelled`] if the task left no output: it was dropped, it panicked, or (with `try_spawn`) it failed.
    pub async fn join(self) -> Result<T, Cancelled> {
        checkpoint_if_cancelled().await;
        let joinable = self.task.joinable();
        if joinable.has_ended() {
            schedule_point().await;
        } else {
            Ended { joinable }.await;
        }
        joinable.take().ok_or(Cancelled)
    }

    pub(crate) fn id(&self) -> Option<NodeId> {
        self.id
    }

    /// Cancels this task alone: it is dropped once it is parked at a checkpoint that no shield covers. The nursery
    /// and its other tasks go on.
    ///
    /// Not a checkpoint.
    #[track_caller]
    pub fn cancel(&self) {
        if let Some(id) = self.id {
            let reason = CancelReason::explicit();
            context::try_with(|run| run.cancel(id, reason));
        }
    }

    /// Whether the task has ended, in whatever way.
    pub fn is_finished(&self) -> bool {
        self.id.is_none() || self.task.joinable().has_ended()
    }
}

impl<T> fmt::Debug for TaskHandle<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskHandle").field("finished", &self.is_finished()).finish_non_exhaustive()
    }
}

/// Waits for a task's end.
struct Ended<'a, T> {
    joinable: &'a Joinable<T>,
}

impl<T> Future for Ended<'_, T> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        context::with(|run| self.joinable.poll_ended(run, context))
    }
}

impl<T> Drop for Ended<'_, T> {
    fn drop(&mut self) {
        self.joinable.forget_joiner();
    }
}
