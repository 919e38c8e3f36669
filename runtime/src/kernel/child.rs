//! A child task's one allocation: its future, then its output, and whoever joins it.
//!
//! The nursery owns the cell and is the only one to poll it; a [`TaskHandle`](super::handle::TaskHandle)
//! shares it to take the output. Neither keeps the future alive beyond the nursery: the nursery drops the
//! future in place when the task ends, whoever else holds the cell.

use std::cell::{Cell, RefCell, UnsafeCell};
use std::convert::Infallible;
use std::marker::PhantomData;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::header::NodeId;
use super::run::Run;
use super::waker::StoredWaker;

/// What a task that a nursery runs may end with: `()`, or a `Result<(), _>` whose error converts into the
/// nursery's.
#[diagnostic::on_unimplemented(
    message = "a task of this nursery can't end with `{Self}`",
    label = "this task's output is `{Self}`",
    note = "a task of `nursery!` ends with `()`: start tasks that may fail, with `Result<(), _>`, in a `try_nursery!`",
    note = "in a `try_nursery!` the error must convert into the nursery's error type (`trio::BoxError` unless written)",
    note = "to keep a task's value, start it with `spawn` and `join` its handle"
)]
pub trait TaskOutput<E> {
    /// The error that the nursery is to have, if any.
    #[doc(hidden)]
    fn into_outcome(self) -> Result<(), E>;
}

impl<E> TaskOutput<E> for () {
    fn into_outcome(self) -> Result<(), E> {
        Ok(())
    }
}

impl<E> TaskOutput<E> for Infallible {
    fn into_outcome(self) -> Result<(), E> {
        match self {}
    }
}

/// Gives a name to `!`, for which stable Rust has none outside of signatures.
trait Returns {
    type Output;
}

impl<T> Returns for fn() -> T {
    type Output = T;
}

#[expect(private_interfaces, reason = "the trait only spells `!`, and nobody has to name it")]
impl<E> TaskOutput<E> for <fn() -> ! as Returns>::Output {
    fn into_outcome(self) -> Result<(), E> {
        self
    }
}

#[diagnostic::do_not_recommend]
impl<E, X: Into<E>> TaskOutput<E> for Result<(), X> {
    fn into_outcome(self) -> Result<(), E> {
        self.map_err(Into::into)
    }
}

/// What becomes of a task's output: what the handle gets, and what the nursery gets.
pub(crate) trait Outputs<O, E> {
    type Kept;
    fn split(output: O) -> (Option<Self::Kept>, Result<(), E>);
}

/// `start_soon`: nobody gets the output, the nursery gets the error.
pub(crate) struct Forget;
impl<O: TaskOutput<E>, E> Outputs<O, E> for Forget {
    type Kept = Infallible;
    fn split(output: O) -> (Option<Infallible>, Result<(), E>) {
        (None, output.into_outcome())
    }
}

/// `spawn`: the handle gets all of it.
pub(crate) struct Keep;
impl<O, E> Outputs<O, E> for Keep {
    type Kept = O;
    fn split(output: O) -> (Option<O>, Result<(), E>) {
        (Some(output), Ok(()))
    }
}

/// `try_spawn`: the handle gets the value, the nursery the error.
pub(crate) struct KeepValue;
impl<T, X: Into<E>, E> Outputs<Result<T, X>, E> for KeepValue {
    type Kept = T;
    fn split(output: Result<T, X>) -> (Option<T>, Result<(), E>) {
        match output {
            Ok(value) => (Some(value), Ok(())),
            Err(error) => (None, Err(error.into())),
        }
    }
}

/// Whoever waits in `join`.
struct Joiner {
    waker: StoredWaker,
    node: NodeId,
    /// The task ended while the waiter was not cancelled, so the wait has been granted.
    granted: bool,
}

/// What a handle sees of a task, and what the nursery tells it.
pub(crate) struct Joinable<T> {
    ended: Cell<bool>,
    output: RefCell<Option<T>>,
    /// In a box, since few tasks are waited for before they have ended.
    joiner: RefCell<Option<Box<Joiner>>>,
}

impl<T> Joinable<T> {
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.get()
    }

    /// The output, once; `None` if the task left none.
    pub(crate) fn take(&self) -> Option<T> {
        self.output.borrow_mut().take()
    }

    /// Marks the task ended, and gives the waker of whoever waits for that.
    fn end(&self, run: Option<&Run>) -> StoredWaker {
        self.ended.set(true);
        let mut joiner = self.joiner.borrow_mut();
        let Some(joiner) = &mut *joiner else { return StoredWaker::None };
        joiner.granted = run.is_some_and(|run| !run.tree.is_effective(joiner.node));
        std::mem::take(&mut joiner.waker)
    }

    /// Waits for the task's end.
    pub(crate) fn poll_ended(&self, run: &Run, context: &Context<'_>) -> Poll<()> {
        let (granted, known) = match &*self.joiner.borrow() {
            Some(joiner) => (joiner.granted, joiner.waker.will_wake(context.waker())),
            None => (false, false),
        };
        if granted {
            return Poll::Ready(());
        }
        if run.is_cancelled_here() {
            run.park_cancelled(context);
        } else if self.has_ended() {
            return Poll::Ready(());
        }
        if !known {
            let waker = StoredWaker::new(context.waker());
            let joiner = Joiner { waker, node: run.current_id(), granted: false };
            // A foreign waker that was there before is dropped when nothing is borrowed.
            let old = self.joiner.borrow_mut().replace(Box::new(joiner));
            drop(old);
        } else if let Some(joiner) = &mut *self.joiner.borrow_mut() {
            joiner.node = run.current_id();
        }
        Poll::Pending
    }

    /// Nobody waits for the task's end any more.
    pub(crate) fn forget_joiner(&self) {
        let joiner = self.joiner.borrow_mut().take();
        drop(joiner);
    }
}

/// A task's future and output. `M` says what becomes of the output.
///
/// The future comes first, next to the reference counts, which each step touches too.
#[repr(C)]
pub(crate) struct TaskCell<F, T, M> {
    future: UnsafeCell<Option<F>>,
    joinable: Joinable<T>,
    mode: PhantomData<fn(M)>,
}

/// What a nursery does with a child, whatever its types.
pub(crate) trait Child<E> {
    /// Polls the future; when it is done, drops it and keeps what the handle is to get.
    fn poll(&self, context: &mut Context<'_>) -> Poll<Result<(), E>>;
    /// Drops the future, if it is still there.
    fn drop_future(&self);
    /// Marks the task ended, and gives the waker of whoever waits for that.
    fn set_ended(&self, run: Option<&Run>) -> StoredWaker;
}

/// What a handle does with a task, whatever its future.
pub(crate) trait Join<T> {
    fn joinable(&self) -> &Joinable<T>;
}

impl<F, T, M> TaskCell<F, T, M> {
    pub(crate) fn new(future: F) -> Rc<Self> {
        Rc::new(Self {
            future: UnsafeCell::new(Some(future)),
            joinable: Joinable { ended: Cell::new(false), output: RefCell::new(None), joiner: RefCell::default() },
            mode: PhantomData,
        })
    }

    /// The future's place.
    ///
    /// # Safety
    ///
    /// The caller must not let the future be moved, and no other reference into the place may be alive.
    #[expect(clippy::mut_from_ref, reason = "the caller promises that the reference is the only one")]
    unsafe fn future(&self) -> &mut Option<F> {
        // SAFETY: the caller promises that nobody else refers into the place.
        unsafe { &mut *self.future.get() }
    }
}

impl<F, M, E> Child<E> for TaskCell<F, M::Kept, M>
where
    F: Future,
    M: Outputs<F::Output, E>,
{
    fn poll(&self, context: &mut Context<'_>) -> Poll<Result<(), E>> {
        // SAFETY: only the child's owner (its nursery, the `start` call before `started`, or `Core::add` if the nursery
        // refuses it) calls `poll` and `drop_future`. It polls through an exclusive borrow of itself and takes the child
        // out of its store before it drops the future, so neither call can happen while the other is running; handles
        // share the cell, but reach `joinable` only. Nothing below moves the future: it is dropped in place.
        let place = unsafe { self.future() };
        let Some(future) = place else {
            return Poll::Ready(Ok(()));
        };
        // SAFETY: the future was put into this allocation when the cell was made, and stays until it is
        // dropped in place here or in `drop_future`, or with the cell.
        let future = unsafe { Pin::new_unchecked(future) };
        let output = ready!(future.poll(context));
        *place = None;
        let (kept, outcome) = M::split(output);
        *self.joinable.output.borrow_mut() = kept;
        Poll::Ready(outcome)
    }

    fn drop_future(&self) {
        // SAFETY: as in `poll`.
        let place = unsafe { self.future() };
        *place = None;
    }

    fn set_ended(&self, run: Option<&Run>) -> StoredWaker {
        self.joinable.end(run)
    }
}

impl<F, T, M> Join<T> for TaskCell<F, T, M> {
    fn joinable(&self) -> &Joinable<T> {
        &self.joinable
    }
}
