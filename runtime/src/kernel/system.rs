//! The top of a run: the main task, the system tasks beside it, and calls from other threads.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use super::builder::CtrlC;
use super::context;
use super::header::NodeId;
use super::inbox::Call;
use super::interrupt;
use super::nursery::{Nursery, open_nursery};
use super::reason::{CancelReason, CancelSource};
use super::run::{Panic, Run, panic_message};
use super::waker::StoredWaker;

type SystemFuture = Pin<Box<dyn Future<Output = ()>>>;

struct SystemTask {
    name: Cow<'static, str>,
    future: SystemFuture,
}

/// System tasks that wait to be started, and the top nursery's body that starts them.
#[derive(Default)]
pub(crate) struct Queue {
    tasks: RefCell<Vec<SystemTask>>,
    body: RefCell<StoredWaker>,
    /// The main task, once it has been started.
    main: Cell<Option<NodeId>>,
    /// The main task has ended: nothing is started any more.
    pub(super) closed: Cell<bool>,
    /// Ctrl-C has been pressed.
    pub(crate) interrupted: Cell<bool>,
    /// Calls from other threads that panicked.
    panics: RefCell<Vec<Panic>>,
}

/// The run has ended, or is about to: no system task can be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NurseryClosedError;

impl std::fmt::Display for NurseryClosedError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the system nursery is closed to new arrivals: the main task has ended")
    }
}

impl std::error::Error for NurseryClosedError {}

/// Starts a task that belongs to the run itself, beside the main task: it is cancelled when the main task has ended.
///
/// For services that serve the whole run, such as a cache that is refreshed in the background. Since nobody waits
/// for it, it can't borrow, and a panic in it ends the whole run: `run` panics with a message that names the
/// task (Trio's `TrioInternalError`).
///
/// Not a checkpoint. The task takes its first step soon.
///
/// # Errors
///
/// [`NurseryClosedError`] when the main task has ended.
///
/// # Panics
///
/// Outside a run.
///
/// # Examples
///
/// ```
/// use std::{cell::Cell, rc::Rc};
/// trio::run(async {
///     let ticks = Rc::new(Cell::new(0));
///     let count = Rc::clone(&ticks);
///     trio::lowlevel::spawn_system_task("ticker", async move {
///         loop {
///             count.set(count.get() + 1);
///             trio::checkpoint().await;
///         }
///     })
///     .unwrap();
///     while ticks.get() < 3 {
///         trio::checkpoint().await;
///     }
/// });
/// ```
#[track_caller]
pub fn spawn_system_task(
    name: impl Into<Cow<'static, str>>,
    future: impl Future<Output = ()> + 'static,
) -> Result<(), NurseryClosedError> {
    let task = SystemTask { name: name.into(), future: Box::pin(future) };
    let refused = context::with(|run| {
        let queue = &run.system;
        if queue.closed.get() {
            return Some(task);
        }
        queue.tasks.borrow_mut().push(task);
        let body = queue.body.borrow().clone();
        body.wake();
        None
    });
    if refused.is_some() { Err(NurseryClosedError) } else { Ok(()) }
}

/// Whether system tasks can be started in the current run: its main task has not ended.
pub(crate) fn takes_system_tasks() -> bool {
    context::with(|run| !run.system.closed.get())
}

/// The root of a run: main task and system tasks in one nursery. Gives `None` if Ctrl-C cancelled the main task.
pub(crate) async fn root<F: Future>(
    name: Cow<'static, str>,
    location: &'static Location<'static>,
    main: F,
    ctrl_c: CtrlC,
) -> Option<F::Output> {
    // Before the main task's first step, which Ctrl-C is to cancel as any other.
    let listener = if ctrl_c == CtrlC::Cancel { interrupt::Listener::new() } else { None };
    let ended = top_nursery(name, location, main, listener.as_ref()).await;
    // Pressed when nothing could be cancelled any more: the program is to end with 130 all the same.
    if listener.is_some_and(|listener| listener.was_told()) {
        context::with(|run| run.system.interrupted.set(true));
    }
    ended
}

fn top_nursery<'env, F: Future + 'env>(
    name: Cow<'static, str>,
    location: &'static Location<'static>,
    main: F,
    listener: Option<&'env interrupt::Listener>,
) -> impl Future<Output = Option<F::Output>> {
    open_nursery(async move |n: &Nursery<'_, 'env>| {
        let main = n.named(name).spawn_at(location, main);
        context::with(|run| run.system.main.set(main.id()));
        if let Some(listener) = listener {
            n.named("Ctrl-C").start_daemon(listener.watch());
        }
        let mut main = pin!(main.join());
        let ended = std::future::poll_fn(|context| {
            start_system_tasks(n, context);
            main.as_mut().poll(context)
        })
        .await;
        context::with(|run| run.shut_down());
        ended.ok()
    })
}

/// Starts what has been queued, and remembers whom to wake for more.
fn start_system_tasks<'scope>(n: &'scope Nursery<'scope, '_>, context: &Context<'_>) {
    context::with(|run| {
        let waker = StoredWaker::new(context.waker());
        drop(run.system.body.replace(waker));
        let tasks = std::mem::take(&mut *run.system.tasks.borrow_mut());
        for SystemTask { name, future } in tasks {
            let guarded = Guarded { name: name.clone(), future };
            n.named(name).start_soon(guarded);
        }
    });
}

/// A system task, whose panic becomes one of the run.
struct Guarded {
    name: Cow<'static, str>,
    future: SystemFuture,
}

impl Future for Guarded {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let future = &mut self.future;
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(poll) => poll,
            Err(panic) => {
                let message = panic_message(&panic);
                resume_unwind(Box::new(format!("trio internal error: system task '{}' panicked: {message}", self.name)))
            }
        }
    }
}

impl Run {
    /// Cancels everything beside the main task, which has ended.
    fn shut_down(&self) {
        self.system.closed.set(true);
        // Foreign futures: dropped when nothing is borrowed.
        let tasks = std::mem::take(&mut *self.system.tasks.borrow_mut());
        drop(tasks);
        self.change(|tree, effects| {
            for nursery in tree.children(tree.root) {
                tree.cancel(nursery, || CancelReason::new(CancelSource::Shutdown), effects);
            }
        });
    }

    /// Ctrl-C has been pressed.
    pub(crate) fn interrupt(&self, reason: CancelReason) {
        self.system.interrupted.set(true);
        self.cancel_main(reason);
    }

    /// Cancels the main task.
    fn cancel_main(&self, reason: CancelReason) {
        if let Some(main) = self.system.main.get() {
            self.cancel(main, reason);
        }
    }
}

/// Makes a call that came from another thread. Its panic ends the run.
pub(crate) fn call(run: &Run, call: Call) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(call)) {
        run.system.panics.borrow_mut().push(panic);
        run.cancel_main(CancelReason::new(CancelSource::Shutdown).with_text("a call from another thread panicked"));
    }
}

/// Resumes the first panic of a call from another thread, after the run.
pub(crate) fn finish(run: &Run) {
    let panics = std::mem::take(&mut *run.system.panics.borrow_mut());
    if let Some(panic) = panics.into_iter().next() {
        resume_unwind(panic);
    }
}
