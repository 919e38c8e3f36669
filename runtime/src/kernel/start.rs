//! `nursery.start`: a task that is under its caller until it says that it has started.
//!
//! The `start` call is a small nursery of one in the tree, below the caller. `started` moves the task's node from
//! there to the real nursery at the moment it is called; the task's future follows when the call is polled next,
//! which is at once if the task itself called `started`.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::child::Child;
use super::context;
use super::core::{Birth, Core};
use super::driver::{begin_turn, is_unsettled};
use super::group::TaskError;
use super::header::{Node, NodeId};
use super::run::{Panic, Run};
use super::waker::waker;

/// What a task that is started with [`Nursery::start`](crate::Nursery::start) calls when it is ready.
///
/// Dropping it without the call is no error by itself; the task's end then is one of `start`.
#[must_use = "call `started` when the task is ready: `start` waits for it"]
pub struct TaskStatus<V = ()> {
    shared: Option<Rc<Shared<V>>>,
}

struct Shared<V> {
    value: RefCell<Option<V>>,
    stage: Cell<Stage>,
    nursery: NodeId,
    /// The `start` call's own node and the task's, once the call is being polled.
    nodes: Cell<Option<(NodeId, NodeId)>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Waiting,
    /// `started` was called, and the task is in the nursery.
    Moved,
    /// `started` was called, but the caller was cancelled: the task stays where it is.
    Refused,
    /// The `start` call is gone.
    Over,
}

impl<V> TaskStatus<V> {
    pub(crate) fn new(nursery: NodeId) -> Self {
        let shared =
            Shared { value: RefCell::new(None), stage: Cell::new(Stage::Waiting), nursery, nodes: Cell::new(None) };
        Self { shared: Some(Rc::new(shared)) }
    }

    /// The side of it that the task gets.
    pub(crate) fn clone_for_start(&self) -> Self {
        Self { shared: self.shared.clone() }
    }

    /// A status that nobody waits for, for calling a task function directly (Trio's `TASK_STATUS_IGNORED`).
    ///
    /// # Examples
    ///
    /// ```
    /// use trio::TaskStatus;
    /// async fn serve(status: TaskStatus<u16>) {
    ///     status.started(8080);
    /// }
    /// trio::run(serve(TaskStatus::ignored()));
    /// ```
    pub const fn ignored() -> Self {
        Self { shared: None }
    }

    /// Says that the task has started, and hands `value` to whoever called `start`.
    ///
    /// Moves the task into the nursery at this moment, unless the `start` call is cancelled: then the task stays
    /// under the caller, to be cancelled with it.
    ///
    /// Not a checkpoint.
    pub fn started(self, value: V) {
        let Some(shared) = self.shared else { return };
        *shared.value.borrow_mut() = Some(value);
        let (Some((call, task)), Stage::Waiting) = (shared.nodes.get(), shared.stage.get()) else { return };
        context::try_with(|run| {
            let cancelled = run.tree.is_effective(call);
            if cancelled {
                shared.stage.set(Stage::Refused);
                return;
            }
            shared.stage.set(Stage::Moved);
            run.change(|tree, effects| {
                if let (Some(task), Some(nursery)) = (tree.get(task), tree.get(shared.nursery)) {
                    tree.move_under(task, nursery, effects);
                }
                // Somebody else may have called: then the `start` call has to be told.
                if let Some(call) = tree.get(call) {
                    tree.signal(call, effects);
                }
            });
        });
    }
}

impl<V> fmt::Debug for TaskStatus<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskStatus").field("ignored", &self.shared.is_none()).finish_non_exhaustive()
    }
}

/// A task ended before it called [`started`](TaskStatus::started).
pub struct StartError<E> {
    kind: StartFailure<E>,
}

enum StartFailure<E> {
    Ended { task: String, location: &'static Location<'static> },
    Failed(TaskError<E>),
    Closed,
}

impl<E> StartError<E> {
    /// The task's own error; `None` if it ended without one.
    pub fn into_error(self) -> Option<E> {
        match self.kind {
            StartFailure::Failed(error) => Some(error.into_error()),
            StartFailure::Ended { .. } | StartFailure::Closed => None,
        }
    }

    /// The task's own error; `None` if it ended without one.
    pub fn error(&self) -> Option<&TaskError<E>> {
        match &self.kind {
            StartFailure::Failed(error) => Some(error),
            StartFailure::Ended { .. } | StartFailure::Closed => None,
        }
    }
}

impl<E: fmt::Display> fmt::Display for StartError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            StartFailure::Ended { task, location } => {
                write!(f, "task '{task}', spawned at {location}, exited without calling `started`")
            }
            StartFailure::Failed(error) => error.fmt(f),
            StartFailure::Closed => f.write_str("the nursery is closed to new arrivals"),
        }
    }
}

impl<E: fmt::Display> fmt::Debug for StartError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StartError({self})")
    }
}

impl<E: fmt::Display> Error for StartError<E> {}

/// The future of a `start` call.
pub(crate) struct Start<'scope, V, E> {
    core: &'scope Core<E>,
    birth: Option<Birth<'scope, E>>,
    child: Option<Rc<dyn Child<E> + 'scope>>,
    call: Option<NodeId>,
    task: Option<NodeId>,
    shared: Rc<Shared<V>>,
    held: bool,
}

impl<V, E> Unpin for Start<'_, V, E> {}

impl<'scope, V, E> Start<'scope, V, E> {
    pub(crate) fn new(core: &'scope Core<E>, birth: Birth<'scope, E>, status: TaskStatus<V>) -> Self {
        let shared = status.shared.expect("the status was made for this call");
        Self { core, birth: Some(birth), child: None, call: None, task: None, shared, held: false }
    }

    /// Puts the call and its task into the tree.
    fn begin(&mut self, run: &Run, birth: Birth<'scope, E>) -> NodeId {
        let Birth { child, name, location, .. } = birth;
        let (call, task) = run.change(|tree, effects| {
            let call = tree.insert_nursery(run.current(), location, Some(self.core.id));
            let task = match name {
                Cow::Borrowed(name) => tree.insert_task(call, name, location, effects),
                Cow::Owned(name) => {
                    let task = tree.insert_task(call, "", location, effects);
                    task.rename(name);
                    task
                }
            };
            run.inherit_at_spawn(task);
            (tree.id(call), tree.id(task))
        });
        self.core.starting.set(self.core.starting.get() + 1);
        self.child = Some(child);
        self.call = Some(call);
        self.task = Some(task);
        self.shared.nodes.set(Some((call, task)));
        call
    }

    fn poll_in(&mut self, run: &Run, context: &Context<'_>) -> Poll<Result<V, StartError<E>>> {
        let call = match (self.call, self.birth.take()) {
            (Some(call), _) => call,
            (None, Some(_)) if self.core.is_closed() || !run.has(self.core.id) => {
                return Poll::Ready(Err(StartError { kind: StartFailure::Closed }));
            }
            (None, Some(birth)) => {
                let call = self.begin(run, birth);
                // The task's first step is its own: it takes it in the next pass.
                let (call, _) = begin_turn(run, call, context, "`start` call");
                run.change(|tree, effects| tree.signal(call, effects));
                return self.settle(run, call);
            }
            (None, None) => panic!("a `start` call was polled after it had completed"),
        };
        let (call, _) = begin_turn(run, call, context, "`start` call");
        let ready = run.tree.pop_ready(call);
        if let Some(task) = ready {
            if let Some(result) = self.step(run, task) {
                return Poll::Ready(result);
            }
        }
        if self.shared.stage.get() == Stage::Moved {
            return Poll::Ready(Ok(self.hand_over(run)));
        }
        self.drop_if_cancelled(run, ready.is_some());
        self.settle(run, call)
    }

    /// Takes one step of the task, which instruments are told of; gives the call's result if the task has ended.
    fn step(&mut self, run: &Run, task: Node) -> Option<Result<V, StartError<E>>> {
        if !run.tree.observed.get() {
            task.woken.set(false);
            return self.take_step(run, task);
        }
        let id = run.tree.id(task);
        run.tell_before_step(task);
        let result = self.take_step(run, task);
        run.tell_after_step(id);
        result
    }

    fn take_step(&mut self, run: &Run, task: Node) -> Option<Result<V, StartError<E>>> {
        let child = Rc::clone(self.child.as_ref()?);
        let waker = waker(run.tree.word(task));
        run.begin_step();
        let polled = {
            let _within = run.within(task);
            catch_unwind(AssertUnwindSafe(|| child.poll(&mut Context::from_waker(&waker))))
        };
        let moved = self.shared.stage.get() == Stage::Moved;
        match polled {
            Ok(Poll::Pending) => None,
            Ok(Poll::Ready(outcome)) if moved => {
                let value = self.hand_over(run);
                self.core.child_ended(run, task, outcome);
                Some(Ok(value))
            }
            Err(panic) if moved => {
                let value = self.hand_over(run);
                self.core.panicked(run, panic);
                self.core.drop_child(run, task);
                Some(Ok(value))
            }
            Ok(Poll::Ready(outcome)) => Some(self.ended(task, outcome)),
            Err(panic) => {
                // If the rest of the task panics too, the hook has printed it: the first panic is the one that goes on.
                let _second = self.leave();
                resume_unwind(panic)
            }
        }
    }

    /// The task has ended under this call.
    fn ended(&mut self, task: Node, outcome: Result<(), E>) -> Result<V, StartError<E>> {
        let (name, location) = (task.name(), task.location().unwrap_or(self.core.location));
        let value = self.shared.value.borrow_mut().take();
        let _none = self.leave();
        match (outcome, value) {
            (Err(error), _) => {
                Err(StartError { kind: StartFailure::Failed(TaskError::new(error, Some(name), location)) })
            }
            (Ok(()), Some(value)) => Ok(value),
            (Ok(()), None) => Err(StartError { kind: StartFailure::Ended { task: name.into_owned(), location } }),
        }
    }

    /// Gives the task, whose node has moved already, to the nursery.
    fn hand_over(&mut self, run: &Run) -> V {
        if let (Some(child), Some(task)) = (self.child.take(), self.task.take()) {
            self.core.adopt(run, task, child);
        }
        let value = self.shared.value.borrow_mut().take();
        let _none = self.leave();
        value.expect("`started` left its value before it moved the task")
    }

    /// Drops the task if it is parked and cancelled. The call then never completes: it is dropped from above.
    ///
    /// A task that has just taken its step may have been woken again, which a cancelled one has nothing of.
    fn drop_if_cancelled(&mut self, run: &Run, stepped: bool) {
        let Some(id) = self.task else { return };
        let parked = |task: &Node| (stepped || !task.queued.get()) && task.may_drop();
        let Some(task) = run.tree.get(id).filter(parked) else { return };
        self.task = None;
        if let Some(child) = self.child.take() {
            let dropped = {
                let _within = run.within(task);
                catch_unwind(AssertUnwindSafe(|| child.drop_future()))
            };
            run.remove(id);
            if let Err(panic) = dropped {
                let _none = self.leave();
                resume_unwind(panic);
            }
        }
    }

    /// Keeps the call from being dropped while its task has a step to take that a cancellation may not skip.
    fn settle(&mut self, run: &Run, call: Node) -> Poll<Result<V, StartError<E>>> {
        let hold = is_unsettled(run, call);
        if std::mem::replace(&mut self.held, hold) != hold {
            run.change(|tree, effects| tree.hold(call, hold, effects));
        }
        if self.task.is_none() {
            run.change(|tree, effects| tree.set_unwinding(call, true, effects));
        }
        Poll::Pending
    }

    /// Takes the call out of the tree, and its task with it unless that has moved. Gives the panic of the task's
    /// destructor.
    fn leave(&mut self) -> Option<Panic> {
        self.shared.stage.set(Stage::Over);
        let child = self.child.take();
        let dropped = child.map(|child| catch_unwind(AssertUnwindSafe(|| child.drop_future())));
        if let Some(task) = self.task.take() {
            context::try_with(|run| run.remove(task));
        }
        if let Some(call) = self.call.take() {
            self.core.starting.set(self.core.starting.get() - 1);
            context::try_with(|run| {
                run.remove(call);
                // The nursery may have waited for this call alone.
                run.change(|tree, effects| {
                    if let Some(nursery) = tree.get(self.core.id) {
                        tree.signal(nursery, effects);
                    }
                });
            });
        }
        dropped.and_then(Result::err)
    }
}

impl<V, E> Future for Start<'_, V, E> {
    type Output = Result<V, StartError<E>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        context::with(|run| self.poll_in(run, context))
    }
}

impl<V, E> Drop for Start<'_, V, E> {
    fn drop(&mut self) {
        if self.shared.stage.get() == Stage::Moved {
            // The task is the nursery's already, only this call had not noticed.
            context::try_with(|run| {
                if let (Some(child), Some(task)) = (self.child.take(), self.task.take()) {
                    self.core.adopt(run, task, child);
                }
            });
        }
        // During another panic this one has been printed by the panic hook, and a second would abort.
        if let Some(panic) = self.leave().filter(|_| !std::thread::panicking()) {
            resume_unwind(panic);
        }
    }
}
