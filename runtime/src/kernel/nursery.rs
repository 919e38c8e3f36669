//! The nursery as its users see it.

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;

use super::checkpoint::schedule_point;
use super::child::{Forget, Keep, KeepValue, TaskCell, TaskOutput};
use super::core::{Birth, Core, Role};
use super::driver::{Catch, Driver, Verdict};
use super::group::ErrorGroup;
use super::handle::{CancelHandle, Handled};
use super::header::NodeId;
use super::start::{Start, StartError, TaskStatus};
use super::task::TaskHandle;

/// A place for tasks to live in: the block that opened it ends only when all of them have ended.
///
/// Made by [`nursery!`](crate::nursery), [`try_nursery!`](crate::try_nursery) and the functions behind them; the
/// block's body gets a reference, which it can hand to functions and tasks, so that they too can start tasks here.
///
/// # Lifetimes
///
/// `'scope` is the life of the nursery: tasks may borrow what lives that long, the nursery itself included.
/// `'env` is what was there before the nursery was opened; tasks may borrow all of it, which is what
/// makes `Rc` and `Arc` unnecessary here. What the nursery's *body* declares dies before the tasks do, so tasks
/// can't borrow it (error E0373; as in [`std::thread::scope`], declare it before the nursery).
///
/// ```compile_fail,E0373
/// trio::run(async {
///     trio::nursery! { |n|
///         let local = 5;
///         n.start_soon(async { println!("{local}") });
///     }
/// });
/// ```
///
/// # Soundness
///
/// A task's future is polled only while its nursery is being polled, and dropped with it: forgetting a nursery
/// (`mem::forget`) leaks its tasks, but never lets them run on borrowed data that is gone.
pub struct Nursery<'scope, 'env: 'scope, E = Infallible> {
    core: Core<E>,
    /// Invariant, so that the nursery can't pretend to live longer or shorter than it does.
    scope: PhantomData<std::cell::Cell<&'scope ()>>,
    /// `E` outlives `'env`, and says so: with two unrelated regions above `'scope` the compiler would ask that what
    /// a task borrows be `'static`.
    env: PhantomData<std::cell::Cell<&'env E>>,
}

impl<'scope, E> Nursery<'scope, '_, E> {
    fn open(location: &'static Location<'static>) -> Self {
        Self { core: Core::open(location), scope: PhantomData, env: PhantomData }
    }

    /// Starts a task, and returns at once: the task takes its first step in the nursery's next turn.
    ///
    /// If the task fails, the nursery is cancelled, and the error comes out of the block in its
    /// [`ErrorGroup`]; a panic likewise comes out of the block. If the nursery is cancelled already, the task
    /// still runs to its first checkpoint.
    ///
    /// Not a checkpoint. The task's name is that of the function whose future it is, or in which its block
    /// stands: [`named`](Self::named) gives it another.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::RefCell;
    /// async fn say(word: &str, heard: &RefCell<Vec<String>>) {
    ///     heard.borrow_mut().push(word.to_owned());
    /// }
    /// trio::run(async {
    ///     let heard = RefCell::new(Vec::new());
    ///     trio::nursery! { |n|
    ///         n.start_soon(say("hello", &heard));
    ///         n.start_soon(say("world", &heard));
    ///     }
    ///     assert_eq!(heard.into_inner(), ["hello", "world"]);
    /// });
    /// ```
    #[track_caller]
    pub fn start_soon<F>(&'scope self, future: F)
    where
        F: Future + 'scope,
        F::Output: TaskOutput<E>,
    {
        Named::unnamed::<F>(self).start_soon(future);
    }

    /// As [`start_soon`](Self::start_soon), but the task does not keep the nursery open: it is cancelled when the
    /// body and all other children have ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// async fn heartbeat() {
    ///     loop {
    ///         trio::sleep(Duration::from_secs(1)).await;
    ///     }
    /// }
    /// trio::run(async {
    ///     trio::nursery! { |n|
    ///         n.start_daemon(heartbeat());
    ///         n.start_soon(trio::checkpoint());
    ///     }
    /// });
    /// ```
    #[track_caller]
    pub fn start_daemon<F>(&'scope self, future: F)
    where
        F: Future + 'scope,
        F::Output: TaskOutput<E>,
    {
        Named::unnamed::<F>(self).start_daemon(future);
    }

    /// As [`start_daemon`](Self::start_daemon), but for what the others need to the last: the task is cancelled when the body
    /// and all other children have ended, and not before. A cancellation of the nursery, or from further out, reaches
    /// them first, and they may still use the service in their clean-up.
    ///
    /// These are the *service tasks* that Python's Trio has discussed (its issue 1521). With several, all are cancelled at
    /// the same time, and daemons with them.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// trio::run(async {
    ///     let (log, lines) = trio::open_memory_channel(10);
    ///     let written = std::cell::RefCell::new(Vec::new());
    ///     let write = async {
    ///         while let Ok(line) = lines.receive().await {
    ///             written.borrow_mut().push(line);
    ///         }
    ///     };
    ///     let farewell = async { log.send("bye").await.unwrap() };
    ///     trio::move_on_after(Duration::ZERO, trio::open_nursery(async |n| {
    ///         n.start_service(write);
    ///         n.start_soon(trio::finally(async { trio::sleep_forever().await }, farewell));
    ///         trio::sleep_forever().await
    ///     }))
    ///     .await;
    ///     assert_eq!(written.take(), ["bye"]);
    /// });
    /// ```
    #[track_caller]
    pub fn start_service<F>(&'scope self, future: F)
    where
        F: Future + 'scope,
        F::Output: TaskOutput<E>,
    {
        Named::unnamed::<F>(self).start_service(future);
    }

    /// Starts a task whose output the handle gives: [`join`](TaskHandle::join) waits for it.
    ///
    /// Dropping the handle does not cancel the task. What the task returns, an error included, is seen
    /// by the handle only; use [`try_spawn`](Self::try_spawn) to let errors go to the nursery.
    ///
    /// # Examples
    ///
    /// ```
    /// trio::run(async {
    ///     let sum = trio::nursery! { |n|
    ///         let one = n.spawn(async { 1 });
    ///         let two = n.spawn(async { 2 });
    ///         one.join().await.unwrap() + two.join().await.unwrap()
    ///     };
    ///     assert_eq!(sum, 3);
    /// });
    /// ```
    #[track_caller]
    pub fn spawn<F>(&'scope self, future: F) -> TaskHandle<'scope, F::Output>
    where
        F: Future + 'scope,
    {
        Named::unnamed::<F>(self).spawn(future)
    }

    /// Starts a task whose error goes to the nursery, as with [`start_soon`](Self::start_soon), and whose value the
    /// handle gives.
    #[track_caller]
    pub fn try_spawn<F, T, X>(&'scope self, future: F) -> TaskHandle<'scope, T>
    where
        F: Future<Output = Result<T, X>> + 'scope,
        T: 'scope,
        X: Into<E>,
    {
        Named::unnamed::<F>(self).try_spawn(future)
    }

    /// Starts a task that says when it is ready, and waits until it does: gives the value of
    /// [`started`](TaskStatus::started).
    ///
    /// Until then the task is under the caller's cancel scopes, and its failure is an error of this call only.
    /// At `started` it moves, with all it has opened, into the nursery. Meanwhile the nursery stays open: for ever, if the
    /// call has begun and is forgotten (`mem::forget`).
    ///
    /// The wait is a checkpoint. Cancelling it before `started` cancels the task.
    ///
    /// # Errors
    ///
    /// [`StartError`] if the task ended without calling `started`, with its error if it had one.
    ///
    /// # Examples
    ///
    /// ```
    /// use trio::TaskStatus;
    /// async fn serve(status: TaskStatus<u16>) {
    ///     // bind a socket here, then:
    ///     status.started(8080);
    ///     // and serve
    /// }
    /// trio::run(async {
    ///     let port = trio::nursery! { |n| n.start(serve).await.unwrap() };
    ///     assert_eq!(port, 8080);
    /// });
    /// ```
    #[track_caller]
    pub fn start<V, F>(
        &'scope self,
        task: impl FnOnce(TaskStatus<V>) -> F,
    ) -> impl Future<Output = Result<V, StartError<E>>>
    where
        F: Future + 'scope,
        F::Output: TaskOutput<E>,
    {
        Named::unnamed::<F>(self).start(task)
    }

    /// Gives the next task a name: `n.named("reader").start_soon(read(stream))`.
    pub fn named(&'scope self, name: impl Into<Cow<'static, str>>) -> Named<'scope, E> {
        Named { core: &self.core, name: name.into(), scope: PhantomData }
    }

    /// How many children have not ended, daemons included. A task under [`start`](Self::start) counts once it has
    /// called `started`.
    pub fn child_count(&self) -> usize {
        self.core.child_count()
    }

    /// Pins the error type of an inline `async` block: the macros put it around those.
    #[doc(hidden)]
    pub fn __typed<T, F: Future<Output = Result<T, E>>>(&self, future: F) -> F {
        future
    }
}

impl<E> fmt::Debug for Nursery<'_, '_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nursery")
            .field("location", &format_args!("{}", self.core.location))
            .field("children", &self.core.child_count())
            .finish_non_exhaustive()
    }
}

/// A nursery with the name for the next task: see [`Nursery::named`].
///
/// Tasks that are started through it may borrow as much as those of the nursery itself, and no more:
///
/// ```compile_fail,E0373
/// trio::run(async {
///     trio::nursery! { |n|
///         let local = 5;
///         n.named("reader").start_soon(async { println!("{local}") });
///     }
/// });
/// ```
#[must_use = "a name does nothing by itself: start a task with it"]
pub struct Named<'scope, E = Infallible> {
    pub(super) core: &'scope Core<E>,
    pub(super) name: Cow<'static, str>,
    /// Invariant as the nursery itself: under a shorter `'scope` a task could borrow what dies before it does.
    scope: PhantomData<std::cell::Cell<&'scope ()>>,
}

impl<E> fmt::Debug for Named<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Named").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<'scope, E> Named<'scope, E> {
    pub(crate) fn unnamed<F>(nursery: &'scope Nursery<'scope, '_, E>) -> Self {
        Self { core: &nursery.core, name: Cow::Borrowed(std::any::type_name::<F>()), scope: PhantomData }
    }

    /// The nursery's node.
    pub(crate) fn nursery(&self) -> NodeId {
        self.core.id
    }

    /// See [`Nursery::start_soon`].
    #[track_caller]
    pub fn start_soon<F>(self, future: F)
    where
        F: Future + 'scope,
        F::Output: TaskOutput<E>,
    {
        self.begin(future, Role::Child);
    }

    /// See [`Nursery::start_daemon`].
    #[track_caller]
    pub fn start_daemon<F>(self, future: F)
    where
        F: Future + 'scope,
        F::Output: TaskOutput<E>,
    {
        self.begin(future, Role::Daemon);
    }

    /// See [`Nursery::start_service`].
    #[track_caller]
    pub fn start_service<F>(self, future: F)
    where
        F: Future + 'scope,
        F::Output: TaskOutput<E>,
    {
        self.begin(future, Role::Service);
    }

    /// As [`start_soon`](Self::start_soon), for a task that was started somewhere else.
    pub(crate) fn start_soon_at<F>(self, location: &'static Location<'static>, future: F)
    where
        F: Future + 'scope,
        F::Output: TaskOutput<E>,
    {
        let child = TaskCell::<F, Infallible, Forget>::new(future);
        self.core.add(Birth { child, name: self.name, location, role: Role::Child });
    }

    #[track_caller]
    fn begin<F>(self, future: F, role: Role)
    where
        F: Future + 'scope,
        F::Output: TaskOutput<E>,
    {
        let child = TaskCell::<F, Infallible, Forget>::new(future);
        self.core.add(Birth { child, name: self.name, location: Location::caller(), role });
    }

    /// See [`Nursery::spawn`].
    #[track_caller]
    pub fn spawn<F>(self, future: F) -> TaskHandle<'scope, F::Output>
    where
        F: Future + 'scope,
    {
        self.spawn_at(Location::caller(), future)
    }

    /// As [`spawn`](Self::spawn), for a task that was spawned somewhere else.
    pub(crate) fn spawn_at<F>(self, location: &'static Location<'static>, future: F) -> TaskHandle<'scope, F::Output>
    where
        F: Future + 'scope,
    {
        let child = TaskCell::<F, F::Output, Keep>::new(future);
        let task = std::rc::Rc::clone(&child);
        let id = self.core.add(Birth { child, name: self.name, location, role: Role::Child });
        TaskHandle::new(task, id)
    }

    /// See [`Nursery::try_spawn`].
    #[track_caller]
    pub fn try_spawn<F, T, X>(self, future: F) -> TaskHandle<'scope, T>
    where
        F: Future<Output = Result<T, X>> + 'scope,
        T: 'scope,
        X: Into<E>,
    {
        let child = TaskCell::<F, T, KeepValue>::new(future);
        let task = std::rc::Rc::clone(&child);
        let id = self.core.add(Birth { child, name: self.name, location: Location::caller(), role: Role::Child });
        TaskHandle::new(task, id)
    }

    /// See [`Nursery::start`].
    #[track_caller]
    pub fn start<V, F>(self, task: impl FnOnce(TaskStatus<V>) -> F) -> impl Future<Output = Result<V, StartError<E>>>
    where
        F: Future + 'scope,
        F::Output: TaskOutput<E>,
    {
        self.start_at(Location::caller(), task)
    }

    /// As [`start`](Self::start), for a task that was started somewhere else.
    pub(crate) fn start_at<V, F>(
        self,
        location: &'static Location<'static>,
        task: impl FnOnce(TaskStatus<V>) -> F,
    ) -> impl Future<Output = Result<V, StartError<E>>>
    where
        F: Future + 'scope,
        F::Output: TaskOutput<E>,
    {
        let status = TaskStatus::new(self.core.id);
        let child = TaskCell::<F, Infallible, Forget>::new(task(status.clone_for_start()));
        let birth = Birth { child, name: self.name, location, role: Role::Child };
        let start = Start::new(self.core, birth, status);
        async move {
            let started = start.await;
            schedule_point().await;
            started
        }
    }
}

/// Opens a nursery whose tasks can't fail, runs `body` in it, waits for all its tasks, and gives the body's value.
///
/// The function behind [`nursery!`](crate::nursery). Opening is not a checkpoint; the end is a schedule point, but
/// not a cancel point unless the body or a task meets one.
///
/// # Panics
///
/// When polled outside a run. A panic of the body or of a task comes out here once all others have been cancelled
/// and have ended.
///
/// # Examples
///
/// ```
/// trio::run(async {
///     let mut numbers = [1, 2, 3, 4];
///     let (left, right) = numbers.split_at_mut(2);
///     trio::open_nursery(async |n| {
///         n.start_soon(async { left[0] = 10 });
///         n.start_soon(async { right[0] = 30 });
///     })
///     .await;
///     assert_eq!(numbers, [10, 2, 30, 4]);
/// });
/// ```
#[track_caller]
pub fn open_nursery<'env, T, F>(body: F) -> impl Future<Output = T>
where
    F: for<'scope> AsyncFnOnce(&'scope Nursery<'scope, 'env>) -> T,
{
    let location = Location::caller();
    async move {
        let nursery = Nursery::open(location);
        value(Driver::new(&nursery.core, || body(&nursery), Verdict::Value, Catch::NeverReturns).await)
    }
}

/// Opens a nursery whose tasks may fail, runs `body` in it, waits for all its tasks, and gives the body's value or
/// all errors of body and tasks.
///
/// The function behind [`try_nursery!`](crate::try_nursery). The first error cancels the rest of the nursery.
/// Otherwise as [`open_nursery`].
///
/// # Errors
///
/// An [`ErrorGroup`] if the body or any task failed.
///
/// # Panics
///
/// As [`open_nursery`].
#[track_caller]
pub fn open_try_nursery<'env, T, E, F>(body: F) -> impl Future<Output = Result<T, ErrorGroup<E>>>
where
    E: 'env,
    F: for<'scope> AsyncFnOnce(&'scope Nursery<'scope, 'env, E>) -> Result<T, E>,
{
    let location = Location::caller();
    async move {
        let nursery = Nursery::open(location);
        let ended = Driver::new(&nursery.core, || body(&nursery), of_result, Catch::NeverReturns).await;
        ended.map(|value| value.expect("without a handle a nursery ends with a value"))
    }
}

/// The value of a nursery without errors that nobody has a handle of.
fn value<T>(ended: Result<Option<T>, ErrorGroup<Infallible>>) -> T {
    match ended {
        Ok(value) => value.expect("without a handle a nursery ends with a value"),
        Err(group) => match *group.first().error() {},
    }
}

fn of_result<T, E>(result: Result<T, E>) -> Verdict<T, E> {
    match result {
        Ok(value) => Verdict::Value(value),
        Err(error) => Verdict::Error(error),
    }
}

/// What the block macros expand to: see their documentation.
pub(crate) mod expansion {
    use super::*;

    /// How a block was left.
    pub trait BodyExit {
        /// Whether by a `?`.
        fn is_error(&self) -> bool;
    }

    fn of_exit<X: BodyExit, E>(exit: X) -> Verdict<X, E> {
        if exit.is_error() { Verdict::ErrorExit(exit) } else { Verdict::Value(exit) }
    }

    /// `nursery! { |n| … }`
    #[track_caller]
    pub fn nursery<'env, X, F>(body: F) -> impl Future<Output = X>
    where
        X: BodyExit,
        F: for<'scope> AsyncFnOnce(&'scope Nursery<'scope, 'env>) -> X,
    {
        let location = Location::caller();
        async move {
            let nursery = Nursery::open(location);
            value(Driver::new(&nursery.core, || body(&nursery), of_exit, Catch::NeverReturns).await)
        }
    }

    /// `nursery! { |n, scope| … }`
    #[track_caller]
    pub fn nursery_scoped<'env, X, F>(body: F) -> impl Future<Output = Option<X>>
    where
        X: BodyExit,
        F: for<'scope> AsyncFnOnce(&'scope Nursery<'scope, 'env>, CancelHandle) -> X,
    {
        let location = Location::caller();
        async move {
            let nursery = Nursery::open(location);
            let handle = handle(&nursery.core);
            let ended = Driver::new(&nursery.core, || body(&nursery, handle), of_exit, Catch::Completes).await;
            match ended {
                Ok(value) => value,
                Err(group) => match *group.first().error() {},
            }
        }
    }

    /// `try_nursery! { |n| … }`
    #[track_caller]
    pub fn try_nursery<'env, X, E, F>(body: F) -> impl Future<Output = Result<X, ErrorGroup<E>>>
    where
        E: 'env,
        F: for<'scope> AsyncFnOnce(&'scope Nursery<'scope, 'env, E>) -> Result<X, E>,
    {
        open_try_nursery(body)
    }

    /// `try_nursery! { |n, scope| … }`
    #[track_caller]
    pub fn try_nursery_scoped<'env, X, E, F>(body: F) -> impl Future<Output = Result<Option<X>, ErrorGroup<E>>>
    where
        E: 'env,
        F: for<'scope> AsyncFnOnce(&'scope Nursery<'scope, 'env, E>, CancelHandle) -> Result<X, E>,
    {
        let location = Location::caller();
        async move {
            let nursery = Nursery::open(location);
            let handle = handle(&nursery.core);
            Driver::new(&nursery.core, || body(&nursery, handle), of_result, Catch::Completes).await
        }
    }

    fn handle<E>(core: &Core<E>) -> CancelHandle {
        let scope = Handled::active(core.id);
        *core.handle.borrow_mut() = Some(std::rc::Rc::clone(&scope));
        CancelHandle { scope }
    }
}
