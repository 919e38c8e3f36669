//! Cancel scopes: the future that is dropped when its scope is cancelled, and the timeouts made of it.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::context;
use super::handle::{CancelHandle, Handled, Limit, Settings, deadline_of};
use super::header::{Flag, Kind, Node, NodeId};
use super::lazy::Due;
use super::run::{Run, wrong_run};
use super::timers::NEVER;
use super::waker::{StoredWaker, word_of};

/// A region of code that can be cancelled as a whole: from outside, through its [`handle`](Self::handle), or by
/// its own deadline.
///
/// When it is cancelled, the future that it [`run`](Self::run)s is dropped as soon as it is parked at a
/// checkpoint that no shield covers, and `run` gives `None`. A scope is used once: `run` takes it by value.
///
/// The macro [`cancel_scope!`](crate::cancel_scope) is this with block syntax.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use trio::CancelScope;
///
/// trio::run(async {
///     let scope = CancelScope::new().timeout(Duration::from_millis(5));
///     assert_eq!(scope.run(trio::sleep_forever()).await, None);
///
///     let scope = CancelScope::new();
///     assert_eq!(scope.run(async { 7 }).await, Some(7));
/// });
/// ```
#[must_use = "a scope that is not run cancels nothing; call `run` with the future it is for"]
pub struct CancelScope {
    config: RefCell<Config>,
    /// Where it was made.
    location: &'static Location<'static>,
}

/// The settings move to where the handles can reach them when the first handle is made.
enum Config {
    Own { limit: Limit, shield: bool },
    Handled(Rc<Handled>),
}

impl Default for CancelScope {
    #[track_caller]
    fn default() -> Self {
        Self::new()
    }
}

impl CancelScope {
    /// A scope without deadline and shield.
    #[track_caller]
    pub const fn new() -> Self {
        let config = RefCell::new(Config::Own { limit: Limit::None, shield: false });
        Self { config, location: Location::caller() }
    }

    #[inline]
    fn limited(mut self, to: Limit) -> Self {
        match self.config.get_mut() {
            Config::Own { limit, .. } => *limit = to,
            Config::Handled(scope) => scope.limit(to),
        }
        self
    }

    /// Cancels itself at this time on the run's clock. Replaces an earlier deadline or timeout.
    pub fn deadline(self, deadline: Instant) -> Self {
        self.limited(Limit::At(deadline))
    }

    /// Cancels itself this long after it is entered, which is when `run`'s future is first polled. Replaces an
    /// earlier deadline or timeout.
    #[inline]
    pub fn timeout(self, timeout: Duration) -> Self {
        self.limited(Limit::After(timeout))
    }

    /// Keeps cancellations from further out away from what runs in the scope. Its own still count.
    pub fn shield(mut self, shielded: bool) -> Self {
        match self.config.get_mut() {
            Config::Own { shield, .. } => *shield = shielded,
            Config::Handled(scope) => CancelHandle { scope: Rc::clone(scope) }.set_shield(shielded),
        }
        self
    }

    /// A handle that controls the scope, now and while it runs.
    pub fn handle(&self) -> CancelHandle {
        let scope = self.handled();
        *self.config.borrow_mut() = Config::Handled(Rc::clone(&scope));
        CancelHandle { scope }
    }

    fn handled(&self) -> Rc<Handled> {
        match &*self.config.borrow() {
            Config::Own { limit, shield } => {
                Handled::unbound(Settings { limit: *limit, shield: *shield, ..Settings::default() })
            }
            Config::Handled(scope) => Rc::clone(scope),
        }
    }

    /// Runs a future in the scope: `Some` of its output, or `None` if the scope was cancelled and the future
    /// dropped.
    ///
    /// Entering is not a checkpoint. If a scope further out is cancelled too, that one catches: this future
    /// then never completes and is dropped with the rest.
    ///
    /// # Panics
    ///
    /// The future panics when polled outside a run, or in another run than the one it was first polled in.
    #[inline]
    pub fn run<F: Future>(self, future: F) -> impl Future<Output = Option<F::Output>> {
        self.run_then(future, |output| output)
    }

    /// Runs a future in the scope, and turns what the scope gives into something else. (Not an `async fn` around
    /// `run`: that would keep room for the future twice.)
    #[inline]
    fn run_then<F: Future, O>(self, future: F, finish: fn(Option<F::Output>) -> O) -> Scoped<F, F::Output, O> {
        let (config, location) = (Some(self.config.into_inner()), self.location);
        Scoped { config, future: Some(future), place: Place::default(), finish, location }
    }
}

impl fmt::Debug for CancelScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        CancelHandle { scope: self.handled() }.fmt(f)
    }
}

/// A scope's place in the tree, once it has been entered.
#[derive(Default)]
struct Place {
    id: Option<NodeId>,
    handled: Option<Rc<Handled>>,
    caught: Cell<bool>,
}

impl Drop for Place {
    #[inline]
    fn drop(&mut self) {
        let Some(id) = self.id else { return };
        if let Some(handled) = &self.handled {
            handled.end(self.caught.get());
        }
        context::try_with(|run| run.remove(id));
    }
}

impl Place {
    fn enter(&mut self, run: &Run, context: &Context<'_>, config: Config, made: &'static Location<'static>) {
        let (settings, handled) = match config {
            Config::Own { limit, shield } => (Settings { limit, shield, ..Settings::default() }, None),
            Config::Handled(handled) => (handled.settings(), Some(handled)),
        };
        let (deadline, passed) = deadline_of(settings.limit, run);
        let node = run.change(|tree, effects| {
            let node = tree.insert(run.current(), Kind::Scope);
            node.location.set(Some(made));
            if settings.limit_set.is_some() {
                node.with_details(|details| details.deadline_set = settings.limit_set);
            }
            // A foreign waker is remembered by `follow`.
            node.owner.set(word_of(context.waker()).and_then(|word| tree.woken_by(word)));
            if settings.shield {
                tree.set_shield(node, true, effects);
            }
            if let Some(reason) = settings.cancelled {
                tree.cancel(node, || (*reason).clone(), effects);
            }
            node
        });
        run.set_due(node, if deadline == NEVER { Due::Never } else { Due::At(deadline) });
        let id = run.tree.id(node);
        if let Some(handled) = &handled {
            handled.bind(id);
        }
        self.handled = handled;
        self.id = Some(id);
        if let (Some(scope), Some((grace, asked))) = (&self.handled, settings.shut_down) {
            CancelHandle { scope: Rc::clone(scope) }.shut_down_at(grace, asked);
        }
        // A deadline that has passed cancels on entry, as in Trio: the first checkpoint inside meets it.
        if passed {
            run.change(|tree, effects| tree.cancel(node, || node.deadline_passed(), effects));
        }
    }
}

/// Follows a scope-like future if it was moved to another place in the tree, and remembers whom to wake when its
/// cancel status changes.
#[inline(always)]
pub(crate) fn follow(run: &Run, id: NodeId, context: &Context<'_>, what: &str) -> Node {
    let Some(node) = run.tree.get(id) else { wrong_run(what) };
    let waker = context.waker();
    let known = run.tree.is_owner(node, waker, word_of(waker));
    if !known || node.parent.get() != Some(run.current()) {
        refollow(run, node, waker);
    }
    node
}

#[cold]
fn refollow(run: &Run, node: Node, waker: &Waker) {
    let waker = StoredWaker::new(waker);
    let old = run.change(|tree, effects| {
        tree.move_under(node, run.current(), effects);
        tree.set_owner(node, waker)
    });
    drop(old);
}

/// Runs a future in a cancel scope.
struct Scoped<F, T, O> {
    config: Option<Config>,
    // Dropped before `place`, so that what is in the scope leaves the tree before the scope does.
    future: Option<F>,
    place: Place,
    finish: fn(Option<T>) -> O,
    /// Where the scope was made.
    location: &'static Location<'static>,
}

impl<F: Future, O> Scoped<F, F::Output, O> {
    #[inline]
    fn poll_in(self: Pin<&mut Self>, run: &Run, context: &mut Context<'_>) -> Poll<O> {
        // SAFETY: `future` is structurally pinned: it is dropped in place, and no method moves it.
        let this = unsafe { self.get_unchecked_mut() };
        if let Some(polled) = this.poll_without_node(run, context) {
            return this.polled(run, polled);
        }
        if let Some(config) = this.config.take() {
            this.place.enter(run, context, config, this.location);
        }
        let Some(id) = this.place.id else { panic!("a cancel scope was polled after it had completed") };
        let node = follow(run, id, context, "cancel scope");
        let Some(future) = &mut this.future else { return this.dropped(run, node) };
        // SAFETY: as above.
        let future = unsafe { Pin::new_unchecked(future) };
        let polled = {
            let _within = run.within(node);
            future.poll(context)
        };
        this.polled(run, polled)
    }

    /// Polls the future for the first time, if the scope need not have a node for that.
    #[inline(always)]
    fn poll_without_node(&mut self, run: &Run, context: &mut Context<'_>) -> Option<Poll<F::Output>> {
        // Looked at where it is: to move it would cost more than all the rest of entering.
        let Some(Config::Own { limit, shield: false }) = &self.config else { return None };
        let entry = run.enter(context, limit, self.location, &mut self.place.id)?;
        self.config = None;
        // SAFETY: as in `poll_in`.
        let polled = unsafe { Pin::new_unchecked(self.future.as_mut()?) }.poll(context);
        if polled.is_pending() {
            entry.settle();
        }
        Some(polled)
    }

    /// The future has been polled, in the scope's node if there is one.
    #[inline]
    fn polled(&mut self, run: &Run, polled: Poll<F::Output>) -> Poll<O> {
        if let Poll::Ready(output) = polled {
            self.leave();
            return Poll::Ready((self.finish)(Some(output)));
        }
        match self.place.id.and_then(|id| run.tree.get(id)) {
            // A scope that is only cancelled from above leaves the dropping to that one; one that is not cancelled at all
            // drops what was interrupted in it and may not go on.
            Some(node) if node.may_drop() && (catches(node) || !node.is(Flag::EFFECTIVE)) => {
                self.drop_future(run, node)
            }
            _ => Poll::Pending,
        }
    }

    fn drop_future(&mut self, run: &Run, node: Node) -> Poll<O> {
        let dropped = {
            let _within = run.within(node);
            catch_unwind(AssertUnwindSafe(|| self.future = None))
        };
        if let Err(panic) = dropped {
            self.leave();
            resume_unwind(panic);
        }
        self.dropped(run, node)
    }

    /// The future has been dropped: completes if this is the scope that catches.
    fn dropped(&mut self, run: &Run, node: Node) -> Poll<O> {
        if catches(node) {
            self.place.caught.set(true);
            self.leave();
            return Poll::Ready((self.finish)(None));
        }
        run.change(|tree, effects| tree.set_unwinding(node, true, effects));
        Poll::Pending
    }

    #[inline]
    fn leave(&mut self) {
        if self.place.id.is_some() {
            drop(std::mem::take(&mut self.place));
        }
    }
}

/// Whether a scope is the one that ends a cancellation: it is cancelled, and nothing further out is that
/// reaches it.
fn catches(node: Node) -> bool {
    node.is(Flag::CANCELLED) && !node.is_cancelled_above()
}

impl<F: Future, O> Future for Scoped<F, F::Output, O> {
    type Output = O;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        context::with(|run| self.poll_in(run, context))
    }
}

/// Runs a future for at most this long: `None` if the time ran out.
///
/// The time counts from the first poll (to within a few milliseconds, if the future computes for longer than that before
/// it first waits). The future is dropped at its first checkpoint after the time is up, unless it is shielded there. Entering is not a checkpoint; a zero timeout cancels at the first one.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// trio::run(async {
///     let slow = trio::move_on_after(Duration::from_millis(5), trio::sleep_forever()).await;
///     assert!(slow.is_none());
///     let quick = trio::move_on_after(Duration::from_secs(60), async { "done" }).await;
///     assert_eq!(quick, Some("done"));
/// });
/// ```
#[inline]
#[track_caller]
pub fn move_on_after<F: Future>(timeout: Duration, future: F) -> impl Future<Output = Option<F::Output>> {
    CancelScope::new().timeout(timeout).run(future)
}

/// Runs a future until this time on the run's clock at the latest: `None` if it was too slow.
///
/// Otherwise as [`move_on_after`].
#[track_caller]
pub fn move_on_at<F: Future>(deadline: Instant, future: F) -> impl Future<Output = Option<F::Output>> {
    CancelScope::new().deadline(deadline).run(future)
}

/// A time limit set by [`fail_after`] or [`fail_at`] ran out.
///
/// Which limit that was, of several around one piece of code, shows from whose call returned it. To know more, make the
/// scope yourself, and ask its handle for the [`reason`](CancelHandle::reason), which has the
/// [place in the source](crate::CancelReason::location) where the limit was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooSlowError;

impl fmt::Display for TooSlowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("operation timed out")
    }
}

impl std::error::Error for TooSlowError {}

/// Runs a future for at most this long, and fails if the time ran out.
///
/// # Errors
///
/// [`TooSlowError`] when the future was dropped because the time ran out.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// trio::run(async {
///     let slow = trio::fail_after(Duration::from_millis(5), trio::sleep_forever()).await;
///     assert_eq!(slow.unwrap_err().to_string(), "operation timed out");
/// });
/// ```
#[inline]
#[track_caller]
pub fn fail_after<F: Future>(timeout: Duration, future: F) -> impl Future<Output = Result<F::Output, TooSlowError>> {
    CancelScope::new().timeout(timeout).run_then(future, |output| output.ok_or(TooSlowError))
}

/// Runs a future until this time on the run's clock at the latest, and fails if it was too slow.
///
/// # Errors
///
/// [`TooSlowError`] when the future was dropped because the time ran out.
#[track_caller]
pub fn fail_at<F: Future>(deadline: Instant, future: F) -> impl Future<Output = Result<F::Output, TooSlowError>> {
    CancelScope::new().deadline(deadline).run_then(future, |output| output.ok_or(TooSlowError))
}

/// Runs a future that cancellations from outside do not interrupt: a scope further out that is cancelled waits
/// until it is done.
///
/// For short work that must be finished, such as a farewell message; give it a time limit of its own
/// (`move_on_after` inside). Only trio's own scopes respect a shield: foreign code that drops the future, such as
/// another library's `select!`, drops it. One that has begun and is forgotten (`mem::forget`) holds the scopes around it
/// for ever.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// trio::run(async {
///     let mut saved = false;
///     trio::move_on_after(Duration::ZERO, trio::shield(async {
///         trio::checkpoint().await;
///         saved = true;
///     })).await;
///     assert!(saved);
/// });
/// ```
#[track_caller]
pub fn shield<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let scope = CancelScope::new().shield(true);
    scope.run_then(future, |output| output.expect("nobody has a handle that could cancel a plain shield"))
}
