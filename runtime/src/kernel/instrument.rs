//! Instruments: told of all that a run's scheduler does.
//!
//! A run without instruments pays for them with a look at one cell where something happens. What happens in the middle
//! of a change of the tree is noted, and told when the change is complete, since instruments are foreign code.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use super::context;
use super::header::{Kind, Node, NodeId};
use super::report::report;
use super::run::Run;
use super::tree::Happening;
use super::view::Task;

/// Told of what a run does, for tracing, profiling and debugging: Trio's `trio.abc.Instrument`.
///
/// Every method is called on the run's thread, and does nothing unless it is written. They can't wait, and the run
/// waits for them. One that panics is taken out with a message on stderr, and the run goes on.
///
/// Install one with [`Builder::instrument`](crate::Builder::instrument), `#[trio::main(instruments = [...])]` or
/// [`lowlevel::add_instrument`](crate::lowlevel::add_instrument). An `Rc` of an instrument is one, so that you can keep
/// a hand on it.
///
/// The order is Trio's: a task is spawned, then scheduled; scheduled, then stepped; and exits within its last step. A task
/// steps when its own code runs: for the steps of its children, which it polls, they are the ones to be told of.
///
/// # Examples
///
/// ```
/// use std::{cell::Cell, rc::Rc};
/// use trio::{Builder, Instrument, lowlevel::Task};
///
/// #[derive(Default)]
/// struct CountSteps(Cell<u32>);
///
/// impl Instrument for CountSteps {
///     fn before_task_step(&self, _task: &Task) {
///         self.0.set(self.0.get() + 1);
///     }
/// }
///
/// let steps = Rc::new(CountSteps::default());
/// Builder::new().instrument(Rc::clone(&steps)).run(async {
///     trio::checkpoint().await;
///     trio::checkpoint().await;
/// });
/// assert_eq!(steps.0.get(), 3);
/// ```
pub trait Instrument {
    /// The run begins. There is no task yet.
    fn before_run(&self) {}

    /// The run is over: every task has ended.
    fn after_run(&self) {}

    /// A task was started. Its first step is still to come.
    fn task_spawned(&self, task: &Task) {
        let _ = task;
    }

    /// A task was woken, and is waiting for its turn.
    fn task_scheduled(&self, task: &Task) {
        let _ = task;
    }

    /// A task's code is about to run. [`current_task`](crate::lowlevel::current_task) is that task.
    fn before_task_step(&self, task: &Task) {
        let _ = task;
    }

    /// A task's code has run, to its next checkpoint or to its end. In the second case the current task is the one whose
    /// nursery it was in.
    fn after_task_step(&self, task: &Task) {
        let _ = task;
    }

    /// A task has ended, in whatever way.
    fn task_exited(&self, task: &Task) {
        let _ = task;
    }

    /// The run is about to look for I/O, and to wait for it at most so long; for ever if that is [`Duration::MAX`].
    fn before_io_wait(&self, timeout: Duration) {
        let _ = timeout;
    }

    /// The run has looked for I/O.
    fn after_io_wait(&self, timeout: Duration) {
        let _ = timeout;
    }
}

macro_rules! deref_instrument {
    ($pointer:ident) => {
        impl<I: Instrument + ?Sized> Instrument for $pointer<I> {
            fn before_run(&self) {
                (**self).before_run();
            }
            fn after_run(&self) {
                (**self).after_run();
            }
            fn task_spawned(&self, task: &Task) {
                (**self).task_spawned(task);
            }
            fn task_scheduled(&self, task: &Task) {
                (**self).task_scheduled(task);
            }
            fn before_task_step(&self, task: &Task) {
                (**self).before_task_step(task);
            }
            fn after_task_step(&self, task: &Task) {
                (**self).after_task_step(task);
            }
            fn task_exited(&self, task: &Task) {
                (**self).task_exited(task);
            }
            fn before_io_wait(&self, timeout: Duration) {
                (**self).before_io_wait(timeout);
            }
            fn after_io_wait(&self, timeout: Duration) {
                (**self).after_io_wait(timeout);
            }
        }
    };
}

deref_instrument!(Rc);
deref_instrument!(Box);

/// Names an instrument that was added to the current run, to remove it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstrumentId {
    number: u64,
    run: u64,
}

/// There is no such instrument in the current run: it was removed, or panicked, or is another run's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownInstrumentError;

impl fmt::Display for UnknownInstrumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the run has no such instrument")
    }
}

impl std::error::Error for UnknownInstrumentError {}

/// Adds an instrument to the current run: it is told of everything from now on. Not a checkpoint.
///
/// If it is the run's first, the step in which it is added ends unseen, as it began.
///
/// # Panics
///
/// Outside a run.
#[track_caller]
pub fn add_instrument(instrument: impl Instrument + 'static) -> InstrumentId {
    context::with(|run| run.add_instrument(Rc::new(instrument)))
}

/// Removes an instrument from the current run: it is told of nothing more. Not a checkpoint.
///
/// # Errors
///
/// [`UnknownInstrumentError`] if it is not in the run (any more).
///
/// # Panics
///
/// Outside a run.
#[track_caller]
pub fn remove_instrument(id: InstrumentId) -> Result<(), UnknownInstrumentError> {
    context::with(|run| {
        let known = id.run == run.opened.run && run.remove_instrument(id.number);
        if known { Ok(()) } else { Err(UnknownInstrumentError) }
    })
}

/// A step that is being taken.
#[derive(Clone)]
struct Step {
    node: NodeId,
    /// The nursery around it, which is there when the task has ended.
    nursery: Option<NodeId>,
    task: Task,
}

/// The instruments of one run.
#[derive(Default)]
pub(crate) struct Instruments {
    installed: RefCell<Vec<(u64, Rc<dyn Instrument>)>>,
    next_number: Cell<u64>,
    /// The steps that are being taken, one within the other where a task polls its children itself.
    steps: RefCell<Vec<Step>>,
}

impl Run {
    pub(crate) fn add_instrument(&self, instrument: Rc<dyn Instrument>) -> InstrumentId {
        let all = &self.instruments;
        let number = all.next_number.get();
        all.next_number.set(number + 1);
        all.installed.borrow_mut().push((number, instrument));
        self.tree.observed.set(true);
        InstrumentId { number, run: self.opened.run }
    }

    fn remove_instrument(&self, number: u64) -> bool {
        let all = &self.instruments;
        let mut installed = all.installed.borrow_mut();
        let Some(place) = installed.iter().position(|(known, _)| *known == number) else { return false };
        let (_, removed) = installed.remove(place);
        if installed.is_empty() {
            // Whoever is added later is told of nothing that is over by then.
            self.tree.observed.set(false);
            self.tree.happened.borrow_mut().clear();
            all.steps.borrow_mut().clear();
        }
        drop(installed);
        // Foreign code: dropped when nothing is borrowed.
        drop(removed);
        true
    }

    /// Tells every instrument. One that panics is removed.
    fn tell(&self, what: &str, tell: impl Fn(&dyn Instrument)) {
        let installed = self.instruments.installed.borrow().clone();
        for (number, instrument) in installed {
            if catch_unwind(AssertUnwindSafe(|| tell(&*instrument))).is_err() {
                report(format_args!("an instrument panicked in `{what}` and was removed"));
                self.remove_instrument(number);
            }
        }
    }

    #[cold]
    pub(crate) fn tell_before_run(&self) {
        self.tell("before_run", |instrument| instrument.before_run());
    }

    #[cold]
    pub(crate) fn tell_after_run(&self) {
        self.tell("after_run", |instrument| instrument.after_run());
    }

    #[cold]
    pub(crate) fn tell_before_io_wait(&self, timeout: Duration) {
        self.tell("before_io_wait", |instrument| instrument.before_io_wait(timeout));
    }

    #[cold]
    pub(crate) fn tell_after_io_wait(&self, timeout: Duration) {
        self.tell("after_io_wait", |instrument| instrument.after_io_wait(timeout));
    }

    /// Tells of what happened during a change of the tree, now that it is complete.
    #[cold]
    pub(crate) fn tell_happenings(&self) {
        loop {
            let next = self.tree.happened.borrow_mut().pop_front();
            let Some(next) = next else { return };
            let (Happening::Spawned(id) | Happening::Scheduled(id)) = next;
            let Some(node) = self.tree.get(id).filter(|node| self.tree.task_of(*node) != self.tree.root) else {
                continue;
            };
            let task = Task::of(&self.tree, node);
            match next {
                Happening::Spawned(_) => self.tell("task_spawned", |instrument| instrument.task_spawned(&task)),
                Happening::Scheduled(_) => self.tell("task_scheduled", |instrument| instrument.task_scheduled(&task)),
            }
        }
    }

    /// A task or body is about to be polled. If that is for its own sake, it is a step of its task.
    #[cold]
    pub(crate) fn tell_before_step(&self, node: Node) {
        let task = self.tree.task_of(node);
        if !node.woken.replace(false) || task == self.tree.root {
            return;
        }
        let step = self.step_of(node);
        self.instruments.steps.borrow_mut().push(step.clone());
        let _within = self.within(node);
        self.tell("before_task_step", |instrument| instrument.before_task_step(&step.task));
    }

    fn step_of(&self, node: Node) -> Step {
        let nursery = node.parent.get().map(|nursery| self.tree.id(nursery));
        Step { node: self.tree.id(node), nursery, task: Task::of(&self.tree, node) }
    }

    /// A task or body has been polled. It may be gone by now.
    #[cold]
    pub(crate) fn tell_after_step(&self, id: NodeId) {
        let step = {
            let mut steps = self.instruments.steps.borrow_mut();
            let Some(step) = steps.last().filter(|step| step.node == id).cloned() else { return };
            steps.pop();
            step
        };
        let here = self.tree.get(id).or_else(|| self.tree.get(step.nursery?));
        let _within = here.map(|node| self.within(node));
        self.tell("after_task_step", |instrument| instrument.after_task_step(&step.task));
    }

    /// A node is about to leave the tree.
    #[cold]
    pub(crate) fn tell_exited(&self, node: Node) {
        if node.kind.get() == Kind::Task {
            let task = Task::of(&self.tree, node);
            let _within = self.within(node);
            self.tell("task_exited", |instrument| instrument.task_exited(&task));
        }
    }
}
