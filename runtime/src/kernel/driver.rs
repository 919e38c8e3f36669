//! The future that runs a nursery: polls its body and children, and decides when and how it ends.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use super::context;
use super::core::Core;
use super::group::ErrorGroup;
use super::header::{Flag, Kind, Node, NodeId};
use super::report::report;
use super::run::{Panic, Run};
use super::scope::follow;
use super::waker::waker;

/// How a nursery's body has ended.
pub(crate) enum Verdict<X, E> {
    /// It has a value.
    Value(X),
    /// It left the block with an error that the block itself does not keep (a `?` in `nursery!`).
    ErrorExit(X),
    /// Its error goes to the group.
    Error(E),
}

/// What becomes of a nursery that was cancelled, and has no error, once all in it have ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Catch {
    /// It completes without a value: somebody has its handle, and expects that.
    Completes,
    /// It stays pending, since there is no value to go on with: whoever is above drops it.
    NeverReturns,
}

/// How far a nursery has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// Its body or tasks are still there.
    Open,
    /// All has ended, and the other tasks get a turn before the code behind it goes on.
    LastYield,
    /// All has ended.
    Over,
}

/// Runs one nursery.
///
/// Dropping it drops the body, then the children, newest first: `Core` must outlive it.
pub(crate) struct Driver<'a, B: Future, X, E> {
    core: &'a Core<E>,
    body: Option<B>,
    body_node: Option<NodeId>,
    judge: fn(B::Output) -> Verdict<X, E>,
    catch: Catch,
    value: Option<X>,
    error_exit: bool,
    /// Keeps ancestors from dropping the nursery: children that must still be polled, or its last yield.
    held: bool,
    /// All has ended, and the other tasks have had a turn since.
    yielded: bool,
}

impl<'a, B: Future, X, E> Driver<'a, B, X, E> {
    /// `body` may start tasks already, and panic: it is called when there is a driver to drop them.
    pub(crate) fn new(
        core: &'a Core<E>,
        body: impl FnOnce() -> B,
        judge: fn(B::Output) -> Verdict<X, E>,
        catch: Catch,
    ) -> Self {
        let body_node = context::with(|run| {
            run.change(|tree, effects| {
                let nursery = tree.get(core.id).expect("the nursery was opened in this run");
                let body = tree.insert(nursery, Kind::Body);
                // Its first step is a part of the one in which the nursery is opened.
                tree.wake_on_behalf(body, effects);
                tree.id(body)
            })
        });
        let mut driver = Self {
            core,
            body: None,
            body_node: Some(body_node),
            judge,
            catch,
            value: None,
            error_exit: false,
            held: false,
            yielded: false,
        };
        match catch_unwind(AssertUnwindSafe(body)) {
            Ok(body) => driver.body = Some(body),
            Err(panic) => context::with(|run| {
                core.panicked(run, panic);
                driver.end_body(run);
            }),
        }
        driver
    }

    /// Polls the children and the body that are ready, each once.
    #[inline]
    fn turn(mut self: Pin<&mut Self>, run: &Run, nursery: Node, ready: u32) {
        let left = Cell::new(ready);
        // The child or body whose future is being polled.
        let polling = Cell::new(None);
        // One guard for many steps; it is set up again only after a panic.
        while left.get() > 0 {
            let steps = catch_unwind(AssertUnwindSafe(|| {
                while left.get() > 0 {
                    left.set(left.get() - 1);
                    let Some(node) = run.tree.pop_ready(nursery) else { continue };
                    polling.set(Some(node));
                    self.as_mut().step(run, node, &polling);
                }
            }));
            if let Err(panic) = steps {
                self.as_mut().panicked(run, polling.take(), panic);
            }
        }
    }

    /// Something panicked: a future that was being polled, or foreign code that was called on its behalf.
    #[cold]
    fn panicked(self: Pin<&mut Self>, run: &Run, polling: Option<Node>, panic: Panic) {
        {
            // The cause is the task that panicked, not the one whose nursery this is.
            let _within = polling.map(|node| run.within(node));
            self.core.panicked(run, panic);
        }
        let step = polling.map(|node| run.tree.id(node));
        // What is left of the future goes now; it may not be polled again.
        match polling {
            Some(node) if node.kind.get() == Kind::Body => {
                // SAFETY: as in `step_body`.
                unsafe { self.get_unchecked_mut() }.end_body(run);
            }
            Some(node) => self.core.drop_child(run, node),
            None => {}
        }
        if let Some(step) = step {
            run.tell_after_step(step);
        }
    }

    #[inline]
    fn step(self: Pin<&mut Self>, run: &Run, node: Node, polling: &Cell<Option<Node>>) {
        if run.tree.observed.get() {
            let id = run.tree.id(node);
            run.tell_before_step(node);
            self.take_step(run, node, polling);
            return run.tell_after_step(id);
        }
        node.woken.set(false);
        self.take_step(run, node, polling);
    }

    #[inline(always)]
    fn take_step(self: Pin<&mut Self>, run: &Run, node: Node, polling: &Cell<Option<Node>>) {
        let waker = waker(run.tree.word(node));
        let mut context = Context::from_waker(&waker);
        run.begin_step();
        if node.kind.get() == Kind::Body {
            return self.step_body(run, node, polling, &mut context);
        }
        let polled = {
            let _within = run.within(node);
            self.core.poll_child(node, &mut context)
        };
        polling.set(None);
        match polled {
            Some(Poll::Pending) if node.may_drop() => self.core.drop_child(run, node),
            Some(Poll::Pending) | None => {}
            Some(Poll::Ready(outcome)) => self.core.child_ended(run, node, outcome),
        }
    }

    #[inline]
    fn step_body(self: Pin<&mut Self>, run: &Run, node: Node, polling: &Cell<Option<Node>>, context: &mut Context<'_>) {
        // SAFETY: the body is structurally pinned: it is dropped in place, here or with the driver, and no
        // method moves it.
        let this = unsafe { self.get_unchecked_mut() };
        let Some(body) = &mut this.body else { return };
        // SAFETY: as above.
        let body = unsafe { Pin::new_unchecked(body) };
        let polled = {
            let _within = run.within(node);
            body.poll(context)
        };
        polling.set(None);
        match polled {
            Poll::Pending if node.may_drop() => this.interrupt_body(run, node),
            Poll::Pending => {}
            Poll::Ready(output) => this.body_ended(run, output),
        }
    }

    fn body_ended(&mut self, run: &Run, output: B::Output) {
        self.end_body(run);
        match (self.judge)(output) {
            Verdict::Value(value) => self.value = Some(value),
            Verdict::ErrorExit(value) => {
                self.value = Some(value);
                self.error_exit = true;
                self.core.fail(run, "the nursery's body left with an error");
            }
            Verdict::Error(error) => self.core.body_failed(run, error),
        }
    }

    /// Drops the body, which is parked and cancelled.
    fn interrupt_body(&mut self, run: &Run, node: Node) {
        self.core.interrupt(run, node);
        // Unlike a child, which may have been cancelled through its handle, a body is cancelled with its nursery.
        self.core.interrupted.set(true);
        self.end_body(run);
    }

    /// Drops what is left of the body, and its node.
    fn end_body(&mut self, run: &Run) {
        let Some(id) = self.body_node.take() else { return };
        let dropped = {
            let _within = run.tree.get(id).map(|node| run.within(node));
            catch_unwind(AssertUnwindSafe(|| self.body = None))
        };
        run.remove(id);
        if let Err(panic) = dropped {
            self.core.panicked(run, panic);
        }
    }

    /// Drops, once the nursery has become effectively cancelled, whatever is parked in it and not held.
    fn sweep(&mut self, run: &Run) {
        let body = self.body_node.and_then(|id| run.tree.get(id));
        if let Some(body) = body.filter(|body| !body.queued.get() && body.may_drop()) {
            self.interrupt_body(run, body);
        }
        for id in self.core.droppable(run) {
            // A destructor may have ended or woken others meanwhile.
            let task = run.tree.get(id).filter(|task| !task.queued.get() && task.may_drop());
            if let Some(task) = task {
                self.core.drop_child(run, task);
            }
        }
    }

    fn hold(&mut self, run: &Run, hold: bool) {
        if std::mem::replace(&mut self.held, hold) != hold {
            run.change(|tree, effects| {
                if let Some(nursery) = tree.get(self.core.id) {
                    tree.hold(nursery, hold, effects);
                }
            });
        }
    }

    /// Whether anything keeps the nursery open.
    #[inline]
    fn is_open(&self) -> bool {
        self.body_node.is_some() || self.core.living.get() > 0 || self.core.starting.get() > 0
    }

    /// How far the nursery has come. Also sees to what must happen before its end.
    fn progress(&self, run: &Run, nursery: Node) -> Progress {
        let core = self.core;
        if self.is_open() {
            return Progress::Open;
        }
        if core.daemons.get() > 0 {
            core.wind_up(run);
            return Progress::Open;
        }
        // The end of a nursery is a schedule point, but never a cancel point of its own.
        // Where instruments look on, it yields always: what follows is a step of its own.
        if self.yielded || (!run.tree.observed.get() && run.take_budget()) {
            return Progress::Over;
        }
        run.change(|tree, effects| tree.resume_owner(nursery, effects));
        Progress::LastYield
    }

    /// What the nursery ends with, unless it has to wait to be dropped from above.
    fn outcome(&mut self, run: &Run, nursery: Node) -> Poll<Result<Option<X>, ErrorGroup<E>>> {
        let core = self.core;
        let panics = std::mem::take(&mut *core.panics.borrow_mut());
        let errors = std::mem::take(&mut *core.errors.borrow_mut());
        if !panics.is_empty() {
            report_lost(panics.len() - 1, &errors);
        }
        if let Some(panic) = panics.into_iter().next() {
            resume_unwind(panic);
        }
        if let Some(group) = ErrorGroup::new(errors) {
            return Poll::Ready(Err(group));
        }
        let may_complete = self.error_exit
            || !core.interrupted.get()
            || (!nursery.is_cancelled_above() && (self.value.is_some() || self.catch == Catch::Completes));
        if may_complete {
            return Poll::Ready(Ok(self.value.take()));
        }
        run.change(|tree, effects| tree.set_unwinding(nursery, true, effects));
        Poll::Pending
    }

    fn poll_in(mut self: Pin<&mut Self>, run: &Run, context: &Context<'_>) -> Poll<Result<Option<X>, ErrorGroup<E>>> {
        let (nursery, ready) = begin_turn(run, self.core.id, context, "nursery");
        self.as_mut().turn(run, nursery, ready);
        // SAFETY: nothing below moves the body: it is dropped in place.
        let this = unsafe { self.get_unchecked_mut() };
        if this.is_open() && !nursery.is(Flag::EFFECTIVE) && !nursery.is(Flag::SWEEP) && !this.held {
            this.yielded = false;
            return Poll::Pending;
        }
        if nursery.replace(Flag::SWEEP, false) {
            this.sweep(run);
        }
        let progress = this.progress(run, nursery);
        this.yielded = progress == Progress::LastYield;
        this.hold(run, progress == Progress::LastYield || is_unsettled(run, nursery));
        if progress == Progress::Over { this.outcome(run, nursery) } else { Poll::Pending }
    }
}

impl<B: Future, X, E> Future for Driver<'_, B, X, E> {
    type Output = Result<Option<X>, ErrorGroup<E>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        context::with(|run| self.poll_in(run, context))
    }
}

impl<B: Future, X, E> Drop for Driver<'_, B, X, E> {
    fn drop(&mut self) {
        // Outside its run, or in another one, there is no tree to keep in order.
        let body = catch_unwind(AssertUnwindSafe(|| self.body = None));
        self.core.panics.borrow_mut().extend(body.err());
        if let Some(id) = self.body_node.take() {
            context::try_with(|run| run.remove(id));
        }
        self.core.drop_everything();
        let panic = std::mem::take(&mut *self.core.panics.borrow_mut()).into_iter().next();
        // During another panic this one has been printed by the panic hook, and a second would abort.
        if let Some(panic) = panic.filter(|_| !std::thread::panicking()) {
            resume_unwind(panic);
        }
    }
}

/// Whether children of a cancelled nursery still have a step to take: they were started, or granted something,
/// before they could meet the cancellation.
pub(crate) fn is_unsettled(run: &Run, nursery: Node) -> bool {
    nursery.is(Flag::EFFECTIVE) && run.tree.ready_len(nursery) > 0
}

/// Begins a turn of a nursery: follows its future if that was moved, remembers whom to wake, and gives the
/// number of ready children.
#[inline(always)]
pub(crate) fn begin_turn(run: &Run, id: NodeId, context: &Context<'_>, what: &str) -> (Node, u32) {
    let nursery = follow(run, id, context, what);
    let tree = &run.tree;
    tree.unsignal(nursery);
    let ready = tree.ready_len(nursery);
    if ready > 1 {
        run.order_ready(nursery);
    }
    (nursery, ready)
}

/// Says on stderr what a panic that is about to be resumed pushes aside.
fn report_lost<E>(panics: usize, errors: &[super::group::TaskError<E>]) {
    if panics > 0 {
        report(format_args!("{panics} more panic(s) in the same nursery, printed above, end with the first"));
    }
    for error in errors {
        let name = error.task_name().unwrap_or("nursery body");
        report(format_args!("an error of '{name}' ({}) is lost to a panic in its nursery", error.location()));
    }
}
