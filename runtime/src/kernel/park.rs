//! Parking for those who write their own primitives: Trio's `wait_task_rescheduled`.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::context;
use super::header::NodeId;
use super::run::{Run, wrong_run};
use super::scope::follow;
use super::waker::StoredWaker;

/// What an operation says when it is to be cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abort {
    /// It will not be rescheduled any more: its task may be dropped.
    Succeeded,
    /// It can't be interrupted now. It will be rescheduled as if nothing had happened, or will be let go with
    /// [`let_cancel`](Rescheduler::let_cancel).
    Failed,
}

/// A place for one task to park in, until somebody reschedules it with a value.
///
/// The bottom of every primitive in Python's Trio, where it is called `wait_task_rescheduled`. Clones are the same
/// place. Prefer [`Event`](crate::Event) and its like where they do.
///
/// # Examples
///
/// ```
/// use trio::lowlevel::{Abort, Rescheduler};
/// trio::run(async {
///     let place = Rescheduler::new();
///     let waker = place.clone();
///     trio::open_nursery(async |n| {
///         n.start_soon(async { assert_eq!(place.wait(|| Abort::Succeeded).await, 42) });
///         n.start_soon(async move {
///             trio::checkpoint().await;
///             waker.reschedule(42);
///         });
///     })
///     .await;
/// });
/// ```
pub struct Rescheduler<T> {
    shared: Rc<Shared<T>>,
}

struct Shared<T> {
    value: RefCell<Option<T>>,
    /// The parked operation's node.
    node: Cell<Option<NodeId>>,
    waker: RefCell<StoredWaker>,
    /// The value came before a cancellation that the operation gave in to.
    granted: Cell<bool>,
}

impl<T> Clone for Rescheduler<T> {
    fn clone(&self) -> Self {
        Self { shared: Rc::clone(&self.shared) }
    }
}

impl<T> Default for Rescheduler<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for Rescheduler<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rescheduler").field("parked", &self.is_parked()).finish_non_exhaustive()
    }
}

impl<T> Rescheduler<T> {
    /// A place where nobody is parked.
    pub fn new() -> Self {
        let shared = Shared {
            value: RefCell::new(None),
            node: Cell::new(None),
            waker: RefCell::default(),
            granted: Cell::new(false),
        };
        Self { shared: Rc::new(shared) }
    }

    /// Whether a task is parked here and has not been rescheduled.
    pub fn is_parked(&self) -> bool {
        self.shared.node.get().is_some() && !self.shared.granted.get()
    }

    /// Parks until somebody calls [`reschedule`](Self::reschedule), and gives that value.
    ///
    /// When the task is effectively cancelled, `abort` is called once, at the moment of the cancellation (or on
    /// entry). It should undo what would lead to the rescheduling and say [`Abort::Succeeded`]; if it says
    /// [`Abort::Failed`], everything above waits for the operation's end.
    ///
    /// This is a cancel point and a schedule point only as far as `abort` and the caller make it one.
    ///
    /// # Panics
    ///
    /// If another task is parked here.
    pub fn wait(&self, abort: impl FnOnce() -> Abort + 'static) -> impl Future<Output = T> {
        Parked { shared: Rc::clone(&self.shared), abort: Some(Box::new(abort)), node: None }
    }

    /// Lets the parked task go on with `value`.
    ///
    /// # Panics
    ///
    /// If no task is parked here, or it has been rescheduled already.
    #[track_caller]
    pub fn reschedule(&self, value: T) {
        assert!(self.is_parked(), "no task is parked here that could be rescheduled");
        *self.shared.value.borrow_mut() = Some(value);
        self.shared.granted.set(true);
        let waker = std::mem::take(&mut *self.shared.waker.borrow_mut());
        waker.wake();
    }

    /// Says that an operation whose `abort` answered [`Abort::Failed`] can be dropped now. Has no effect if nobody is
    /// parked here.
    pub fn let_cancel(&self) {
        if let Some(id) = self.shared.node.get() {
            release(id);
        }
    }
}

/// Lets cancellations through to an operation.
fn release(id: NodeId) {
    context::try_with(|run| {
        run.change(|tree, effects| {
            if let Some(node) = tree.get(id) {
                tree.set_guards(node, false, effects);
            }
        });
    });
}

struct Parked<T> {
    shared: Rc<Shared<T>>,
    abort: Option<Box<dyn FnOnce() -> Abort>>,
    node: Option<NodeId>,
}

impl<T> Parked<T> {
    fn begin(&mut self, run: &Run) -> NodeId {
        assert!(self.shared.node.get().is_none(), "another task is parked here already");
        let abort = Cell::new(self.abort.take());
        let node = Rc::new(Cell::new(None));
        let own = Rc::clone(&node);
        let on_cancel: Rc<dyn Fn()> = Rc::new(move || {
            let (Some(abort), Some(id)) = (abort.take(), own.get()) else { return };
            if abort() == Abort::Succeeded {
                release(id);
            }
        });
        let cancelled = run.is_cancelled_here();
        let id = run.change(|tree, effects| {
            let abort = (!cancelled).then(|| Rc::clone(&on_cancel));
            let node = tree.insert_operation(run.current(), abort);
            tree.set_guards(node, true, effects);
            tree.id(node)
        });
        node.set(Some(id));
        self.node = Some(id);
        self.shared.node.set(Some(id));
        self.shared.granted.set(false);
        if cancelled {
            on_cancel();
        }
        id
    }

    fn poll_in(&mut self, run: &Run, context: &Context<'_>) -> Poll<T> {
        let id = match self.node {
            Some(id) if run.has(id) => id,
            Some(_) => wrong_run("operation"),
            None => self.begin(run),
        };
        follow(run, id, context, "operation");
        if self.shared.granted.get() {
            let value = self.shared.value.borrow_mut().take();
            self.leave();
            return Poll::Ready(value.expect("a grant comes with a value"));
        }
        if run.is_cancelled_here() {
            run.park_cancelled(context);
        }
        let old = self.shared.waker.replace(StoredWaker::new(context.waker()));
        drop(old);
        Poll::Pending
    }

    fn leave(&mut self) {
        if let Some(id) = self.node.take() {
            self.shared.node.set(None);
            self.shared.granted.set(false);
            context::try_with(|run| run.remove(id));
        }
    }
}

impl<T> Unpin for Parked<T> {}

impl<T> Future for Parked<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        context::with(|run| self.poll_in(run, context))
    }
}

impl<T> Drop for Parked<T> {
    fn drop(&mut self) {
        // One that never parked has no claim on what another was given.
        if self.node.is_some() {
            let value = self.shared.value.borrow_mut().take();
            self.leave();
            drop(value);
        }
    }
}
