//! Blocking calls, off the run's thread: Trio's `trio.to_thread`.
//!
//! A run has one thread, and what blocks it (a disk, a name lookup, a long computation) blocks all its tasks. Such work
//! goes to a *worker thread*: [`run_sync`] calls a function there, and the task that asked waits for it as for anything
//! else. The worker threads are shared by all runs of the process; they are started when needed, and end when they have
//! been idle for ten seconds.
//!
//! **Cancellation.** A thread can't be interrupted. So a call *holds* the scopes around it: they wait until it has come
//! to its end, and no thread is left behind unseen. Long work should look now and then whether it is still wanted:
//! [`from_thread::check_cancelled`](crate::from_thread::check_cancelled). What may be left to itself is called with
//! [`Call::abandonable`].
//!
//! **What a function can take along** must be `Send + 'static`. It can't borrow from its task, although that waits: any
//! future can be forgotten, also that of the wait. Values of [`TaskLocal`](crate::TaskLocal)s are not seen in the thread,
//! since they need not be `Send`: a closure captures what it wants of them. What it sends back with
//! [`from_thread`](crate::from_thread) runs in the task, and sees them.
//!
//! **How many.** Each run has at most 40 calls under way, and the others queue
//! ([`current_default_thread_limiter`]); calls of another kind should have a limiter of their own ([`Call::limiter`]).

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

pub use super::cache::PoolStatistics;
use super::cache::{CACHE, Cache};
use super::calls::Calls;
pub use super::limiter::{DefaultLimiter, ThreadLimiter, current_default_thread_limiter};
use super::link::Entered;
use super::wait::Wait;
use crate::Borrower;
use crate::kernel::context;
use crate::kernel::thread_name::Renamed;
use crate::lowlevel::checkpoint_if_cancelled;

/// Calls a function on a worker thread, and gives what it returns.
///
/// As [`Call::new().run_sync(f)`](Call::run_sync), which see.
///
/// A checkpoint: cancelled while it waits for its turn, it has no effect; once the thread has begun, the scopes around it
/// wait until that has come to its end, and the call gives its value.
///
/// # Panics
///
/// With the function's panic; and if the system refuses another thread (see [`Call::try_run_sync`]).
///
/// # Examples
///
/// ```
/// trio::run(async {
///     let length = trio::to_thread::run_sync(|| std::fs::read("/etc/hosts").map(|hosts| hosts.len())).await;
///     assert!(length.is_ok());
/// });
/// ```
pub fn run_sync<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> impl Future<Output = T> {
    Call::new().run_sync(f)
}

/// How a function is to be called on a worker thread.
///
/// # Examples
///
/// ```
/// use std::rc::Rc;
/// use trio::{CapacityLimiter, to_thread};
/// trio::run(async {
///     let one_at_a_time = Rc::new(CapacityLimiter::new(1));
///     let call = to_thread::Call::new().abandonable().limiter(&one_at_a_time).name("adding up");
///     assert_eq!(call.run_sync(|| 1 + 1).await, 2);
/// });
/// ```
#[derive(Clone)]
#[must_use = "nothing is called before `run_sync`"]
pub struct Call<L = DefaultLimiter> {
    name: Option<Cow<'static, str>>,
    abandonable: bool,
    limiter: L,
    cache: &'static Cache,
}

impl Default for Call {
    fn default() -> Self {
        Self::new()
    }
}

impl Call {
    /// A call that is not abandoned, with the run's default limiter.
    pub fn new() -> Self {
        Self { name: None, abandonable: false, limiter: DefaultLimiter::default(), cache: &CACHE }
    }
}

impl<L> Call<L> {
    /// A cancelled task does not wait for the thread, which is left to itself: Trio's `abandon_on_cancel=True`.
    ///
    /// The thread goes on to the end of the function, also when the run has ended (though not when the process has), and
    /// what it gives is dropped there. Its place in the limiter is taken until then. The function can still see that it
    /// has been left ([`check_cancelled`](crate::from_thread::check_cancelled)); what it sends back with
    /// [`from_thread`](crate::from_thread) is not done in the task, but beside all tasks.
    pub fn abandonable(mut self) -> Self {
        self.abandonable = true;
        self
    }

    /// Uses another limiter than the run's default one.
    pub fn limiter<M: ThreadLimiter>(self, limiter: M) -> Call<M> {
        let Self { name, abandonable, limiter: _, cache } = self;
        Call { name, abandonable, limiter, cache }
    }

    /// Gives the thread this name, as the system shows it (on Linux its first 15 bytes), during the call; otherwise a
    /// worker thread is called `trio thread 7`. It is also the name of the limiter's [`Borrower`].
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Uses other threads than those that all calls share.
    #[cfg(test)]
    fn on(mut self, cache: &'static Cache) -> Self {
        self.cache = cache;
        self
    }
}

impl<L: ThreadLimiter> Call<L> {
    /// Calls a function on a worker thread, and gives what it returns.
    ///
    /// A checkpoint. Cancelled before the thread has begun, in which time it waits for the limiter, it has no effect.
    /// After that, a cancellation is seen by the thread ([`check_cancelled`](crate::from_thread::check_cancelled)) and
    /// otherwise waits for its end; the task gets the value, and meets the cancellation at its next checkpoint. A call
    /// that is [abandonable](Self::abandonable) is cancelled as any other operation.
    ///
    /// Dropped by foreign code, it leaves the thread to itself in any case; forgotten (`mem::forget`), it holds the scopes
    /// around it for ever, and keeps its place in the limiter until the run ends.
    ///
    /// # Panics
    ///
    /// With the function's panic, payload and all; and if the system refuses another thread, as [`thread::spawn`] does.
    pub async fn run_sync<T: Send + 'static>(self, f: impl FnOnce() -> T + Send + 'static) -> T {
        match self.try_run_sync(f).await {
            Ok(value) => value,
            Err(error) => panic!("there is no thread for the call: {error}"),
        }
    }

    /// As [`run_sync`](Self::run_sync), for those who can do without.
    ///
    /// # Errors
    ///
    /// If no worker thread is idle and the system refuses another one. The function has not been called, and the
    /// limiter has its token back.
    ///
    /// # Panics
    ///
    /// With the function's panic.
    ///
    /// # Examples
    ///
    /// ```
    /// trio::run(async {
    ///     let sum = trio::to_thread::Call::new().try_run_sync(|| 1 + 1).await;
    ///     assert_eq!(sum.unwrap(), 2);
    /// });
    /// ```
    pub async fn try_run_sync<T: Send + 'static>(self, f: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        Ok(self.ready().await.begin(f)?.await)
    }

    /// Waits until the call may have a thread. What follows takes no time, so that whoever is dropped, or forgotten, up to
    /// here has had no effect, and whoever [begins](Ready::begin) knows that the thread will come to it.
    pub(crate) async fn ready(self) -> Ready<L::Token> {
        checkpoint_if_cancelled().await;
        let Self { name, abandonable, limiter, cache } = self;
        let borrower = Borrower::new(name.as_deref().unwrap_or("to_thread::run_sync"));
        let token = limiter.acquire_on_behalf_of(borrower).await;
        // A thread is not worth starting for somebody who is on the way out.
        checkpoint_if_cancelled().await;
        Ready { name, abandonable, token, cache }
    }
}

/// A call that may have a thread.
pub(crate) struct Ready<K> {
    name: Option<Cow<'static, str>>,
    abandonable: bool,
    token: K,
    cache: &'static Cache,
}

impl<K: 'static> Ready<K> {
    /// Gives the function to a thread, which will call it whatever becomes of the future that waits for its value.
    pub(crate) fn begin<T: Send + 'static>(
        self,
        f: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<impl Future<Output = T>> {
        let Self { name, abandonable, token, cache } = self;
        let calls = Calls::current();
        let mut wait = context::with(|run| Wait::new(run, calls, abandonable));
        let shared = Arc::clone(&wait.shared);
        cache.run(Box::new(move || {
            let result = {
                let _named = name.map(|name| Renamed::to(&name));
                let _entered = Entered::new(Arc::clone(&shared.link));
                catch_unwind(AssertUnwindSafe(f))
            };
            Box::new(move || shared.put(result, cache))
        }))?;
        wait.started(token);
        Ok(wait)
    }
}

impl<L: fmt::Debug> fmt::Debug for Call<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("name", &self.name)
            .field("abandonable", &self.abandonable)
            .field("limiter", &self.limiter)
            .finish()
    }
}

/// Calls a function on a worker thread, without waiting for it: Trio's `start_thread_soon`.
///
/// `deliver` gets what the function returned, or its panic, on the same thread. That counts as idle already then, so
/// `deliver` must not block: other calls may wait for it. For those who write something like [`run_sync`] themselves: no task waits, no limiter is
/// asked, and it works outside a run as well. A panic of `deliver` is printed, and has no other effect.
///
/// # Errors
///
/// If no worker thread is idle and the system refuses another one.
///
/// # Examples
///
/// ```
/// let (sender, receiver) = std::sync::mpsc::channel();
/// trio::to_thread::start_thread_soon(|| 1 + 1, move |sum| sender.send(sum.unwrap()).unwrap()).unwrap();
/// assert_eq!(receiver.recv(), Ok(2));
/// ```
pub fn start_thread_soon<T: 'static>(
    f: impl FnOnce() -> T + Send + 'static,
    deliver: impl FnOnce(thread::Result<T>) + Send + 'static,
) -> io::Result<()> {
    CACHE.run(Box::new(move || {
        let result = catch_unwind(AssertUnwindSafe(f));
        Box::new(move || deliver(result))
    }))
}

/// How many worker threads there are, and what they have done.
pub fn pool_statistics() -> PoolStatistics {
    CACHE.statistics()
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::ErrorKind;
    use std::sync::mpsc::channel;
    use std::task::Poll;
    use std::time::Duration;

    use super::*;

    /// Long enough for anything that will happen to have happened.
    const PATIENCE: Duration = Duration::from_secs(30);

    // trio: _tests/test_threads.py::test_run_in_worker_thread_fail_to_spawn
    #[test]
    fn without_a_thread_nothing_is_called_and_the_token_comes_back() {
        static NO_THREADS: Cache = Cache::new(PATIENCE, |_, _| Err(ErrorKind::QuotaExceeded.into()));
        crate::run(async {
            let limiter = current_default_thread_limiter();
            assert_eq!(limiter.borrowed_tokens(), 0);
            let call = Call::new().on(&NO_THREADS).try_run_sync(|| panic!("there is no thread"));
            assert_eq!(call.await.unwrap_err().kind(), ErrorKind::QuotaExceeded);
            assert_eq!(limiter.borrowed_tokens(), 0);
            assert_eq!(Calls::current().count(), 0);
            let call = Call::new().abandonable().on(&NO_THREADS).try_run_sync(|| ());
            assert_eq!(call.await.unwrap_err().kind(), ErrorKind::QuotaExceeded);
            assert_eq!(limiter.borrowed_tokens(), 0);
        });
        let panic = catch_unwind(|| crate::run(Call::new().on(&NO_THREADS).run_sync(|| ()))).unwrap_err();
        assert!(panic.downcast_ref::<String>().unwrap().starts_with("there is no thread for the call"));
    }

    // trio: _tests/test_threads.py::test_run_in_worker_thread_abandoned
    #[test]
    fn an_abandoned_thread_outlives_the_run_quietly_and_ends_when_idle() {
        static SHORT: Cache =
            Cache::new(Duration::from_millis(1), |name, life| thread::Builder::new().name(name).spawn(life).map(drop));
        let (go, gone) = channel::<()>();
        let (dropped, is_dropped) = channel();
        struct Result(std::sync::mpsc::Sender<Option<String>>);
        impl Drop for Result {
            fn drop(&mut self) {
                self.0.send(thread::current().name().map(str::to_owned)).unwrap();
            }
        }
        let call = Call::new().abandonable().on(&SHORT).run_sync(move || {
            gone.recv_timeout(PATIENCE).unwrap();
            Result(dropped)
        });
        assert!(crate::run(crate::move_on_after(Duration::from_millis(1), call)).is_none());
        go.send(()).unwrap();
        // What it gives is dropped where it was made.
        assert!(is_dropped.recv_timeout(PATIENCE).unwrap().unwrap().starts_with("trio thread "));
        let started = std::time::Instant::now();
        while SHORT.statistics().threads > 0 {
            assert!(started.elapsed() < PATIENCE, "the worker did not end");
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn a_run_that_waits_for_a_thread_is_no_deadlock() {
        crate::Builder::new().fail_on_deadlock().run(async {
            run_sync(|| thread::sleep(Duration::from_millis(20))).await;
            assert!(!context::with(|run| run.outstanding.any()));
        });
    }

    #[test]
    fn a_wait_that_outlives_its_run_panics_clearly() {
        let (go, gone) = channel::<()>();
        let mut wait = Box::pin(run_sync(move || gone.recv_timeout(PATIENCE).unwrap()));
        let mut poll_in_a_run = || crate::run(poll_fn(|context| Poll::Ready(wait.as_mut().poll(context).is_pending())));
        assert!(poll_in_a_run());
        let panic = catch_unwind(AssertUnwindSafe(poll_in_a_run)).unwrap_err();
        assert_eq!(
            panic.downcast_ref::<String>().unwrap(),
            "this wait for a thread began in another trio run, which has ended: it can only be dropped now"
        );
        drop(wait);
        go.send(()).unwrap();
    }
}
