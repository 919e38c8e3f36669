//! Calls from worker threads, and others, back into a run: Trio's `trio.from_thread`.
//!
//! A function that [`to_thread`](crate::to_thread) has called can have something done in the run that it came from, and
//! waits for that: [`run_sync`] for a plain function, [`run`] for an async one. Both are done *in the task that waits for
//! the thread*: in its scopes, with its task-locals, and `run` is cancelled when the task is. If that task does not wait,
//! or need not (the call is [abandonable](crate::to_thread::Call::abandonable)), they are done beside all tasks, as with a
//! token.
//!
//! Any other thread needs a token of the run ([`current_token`](crate::lowlevel::current_token)), which has the same two
//! calls: [`Token::run_sync`] and [`Token::run`]. They are done by the run itself, between two steps of tasks, or in a
//! system task.

use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

pub use super::link::CancelledError;
use super::link::{self, Answering, Link, Message, send_to_run};
use crate::lowlevel::{Token, in_run};
use crate::{CancelReason, CancelSource, RunFinishedError};

/// What became of an async function that a thread sent to a run.
type Outcome<T> = Result<thread::Result<T>, CancelledError>;

/// An async function that a thread sent to a run has not come to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunError {
    /// It was cancelled at a checkpoint, with the task in which it ran or at the end of the run.
    Cancelled(CancelledError),
    /// It was not begun, since the run has ended, or its main task has.
    RunFinished(RunFinishedError),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled(error) => error.fmt(f),
            Self::RunFinished(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RunError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Cancelled(error) => Some(error),
            Self::RunFinished(error) => Some(error),
        }
    }
}

impl From<CancelledError> for RunError {
    fn from(error: CancelledError) -> Self {
        Self::Cancelled(error)
    }
}

impl From<RunFinishedError> for RunError {
    fn from(error: RunFinishedError) -> Self {
        Self::RunFinished(error)
    }
}

/// Calls a function in the run that this worker thread works for, and gives what it returns.
///
/// Blocks the thread until the run has come to it. It is called in a step of the task that waits for this thread, whether
/// that is cancelled or not; if the call is abandonable, or nobody waits for it any more, between two steps of tasks.
///
/// # Errors
///
/// [`RunFinishedError`] if the run has ended, which can only be where nobody waits for the thread.
///
/// # Panics
///
/// With the function's panic. In threads that no [`to_thread`](crate::to_thread) call started: use [`Token::run_sync`]
/// there. In a thread in which a run is under way, which must not be blocked (Trio's `RuntimeError` for all of these).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// trio::run(async {
///     let started = trio::current_time();
///     let later = trio::to_thread::run_sync(|| trio::from_thread::run_sync(trio::current_time)).await;
///     assert!(later.unwrap() >= started);
/// });
/// ```
#[track_caller]
pub fn run_sync<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> Result<T, RunFinishedError> {
    let link = own_link("from_thread::run_sync");
    sync_outcome(f, |message| link.send(message))
}

/// Runs an async function in the run that this worker thread works for, and gives what it returns.
///
/// Blocks the thread until that has come to its end. It runs in the task that waits for this thread, and is cancelled
/// with it, at a checkpoint; if the call is abandonable, or nobody waits for it any more, in a system task. Only the
/// function has to be `Send`, what it does when it runs need not.
///
/// # Errors
///
/// [`RunError::Cancelled`] if it was cancelled, or dropped by foreign code; [`RunError::RunFinished`] if the run has ended
/// or is about to, which can only be where nobody waits for the thread.
///
/// # Panics
///
/// As [`run_sync`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use trio::{from_thread, to_thread};
/// trio::run(async {
///     to_thread::run_sync(|| {
///         from_thread::run(async || trio::sleep(Duration::from_millis(1)).await).unwrap();
///     })
///     .await;
/// });
/// ```
#[track_caller]
pub fn run<T: Send + 'static>(f: impl AsyncFnOnce() -> T + Send + 'static) -> Result<T, RunError> {
    let link = own_link("from_thread::run");
    async_outcome(f, Some(Arc::clone(&link)), |message| link.send(message))
}

/// Whether the task that waits for this thread is still to have its result: an error from the moment on at which it was
/// cancelled, or dropped by foreign code.
///
/// For long work to give up early; what it returns then is up to the function. It stays so, even if the task is shielded
/// later. Does not block.
///
/// # Errors
///
/// [`CancelledError`], with the reason of the cancellation.
///
/// # Panics
///
/// In threads that no [`to_thread`](crate::to_thread) call started.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use trio::{from_thread, to_thread};
/// trio::run(async {
///     let work = to_thread::run_sync(|| {
///         while from_thread::check_cancelled().is_ok() {
///             std::thread::sleep(Duration::from_millis(1));
///         }
///     });
///     // The thread notices; otherwise this would take for ever.
///     trio::move_on_after(Duration::from_millis(5), work).await;
/// });
/// ```
#[track_caller]
pub fn check_cancelled() -> Result<(), CancelledError> {
    own_link("from_thread::check_cancelled").cancelled().map_or(Ok(()), Err)
}

#[track_caller]
fn own_link(what: &str) -> Arc<Link> {
    assert_may_block(what);
    link::current().unwrap_or_else(|| panic!("{what} needs a thread that trio::to_thread started: this one is not"))
}

#[track_caller]
fn assert_may_block(what: &str) {
    assert!(!in_run(), "{what} is for other threads than the run's own: this one would wait for itself");
}

impl Token {
    /// Calls a function in the run, and gives what it returns: [`run_sync_soon`](Self::run_sync_soon), waited for.
    ///
    /// Blocks the thread until the run has come to it. It is called between two steps of tasks, in no task. For threads
    /// that are not trio's, and for worker threads that want another run than their own: Trio's
    /// `from_thread.run_sync(…, trio_token=…)`.
    ///
    /// # Errors
    ///
    /// [`RunFinishedError`] if the run has ended.
    ///
    /// # Panics
    ///
    /// With the function's panic, which is no matter of the run; and in a thread in which a run is under way.
    ///
    /// # Examples
    ///
    /// ```
    /// trio::run(async {
    ///     let token = trio::lowlevel::current_token();
    ///     let thread = std::thread::spawn(move || token.run_sync(|| trio::lowlevel::in_run()));
    ///     while !thread.is_finished() {
    ///         trio::sleep(std::time::Duration::from_millis(1)).await;
    ///     }
    ///     assert_eq!(thread.join().unwrap(), Ok(true));
    /// });
    /// ```
    #[track_caller]
    pub fn run_sync<T: Send + 'static>(&self, f: impl FnOnce() -> T + Send + 'static) -> Result<T, RunFinishedError> {
        assert_may_block("Token::run_sync");
        sync_outcome(f, |message| send_to_run(self.address(), "Token::run_sync", message))
    }

    /// Runs an async function in the run, in a system task, and gives what it returns.
    ///
    /// Blocks the thread until that has come to its end. The function is cancelled when the main task ends. Trio's
    /// `from_thread.run(…, trio_token=…)`.
    ///
    /// # Errors
    ///
    /// [`RunError::RunFinished`] if the run has ended, or its main task; [`RunError::Cancelled`] if that came before the
    /// function's end.
    ///
    /// # Panics
    ///
    /// As [`run_sync`](Self::run_sync).
    ///
    /// # Examples
    ///
    /// ```
    /// trio::run(async {
    ///     let token = trio::lowlevel::current_token();
    ///     let thread = std::thread::spawn(move || token.run(async || {
    ///         trio::checkpoint().await;
    ///         "done"
    ///     }));
    ///     while !thread.is_finished() {
    ///         trio::sleep(std::time::Duration::from_millis(1)).await;
    ///     }
    ///     assert_eq!(thread.join().unwrap(), Ok("done"));
    /// });
    /// ```
    #[track_caller]
    pub fn run<T: Send + 'static>(&self, f: impl AsyncFnOnce() -> T + Send + 'static) -> Result<T, RunError> {
        assert_may_block("Token::run");
        async_outcome(f, None, |message| send_to_run(self.address(), "Token::run", message))
    }
}

fn sync_outcome<T: Send + 'static>(
    f: impl FnOnce() -> T + Send + 'static,
    send: impl FnOnce(Message),
) -> Result<T, RunFinishedError> {
    let (answer, answers) = sync_channel(1);
    send(Message::Sync(Box::new(move || {
        // Its receiver waits: it is the thread that asks.
        let _ = answer.send(catch_unwind(AssertUnwindSafe(f)));
    })));
    // Dropped unanswered where the run has ended.
    let result = answers.recv().map_err(|_| RunFinishedError)?;
    Ok(result.unwrap_or_else(|panic| resume_unwind(panic)))
}

fn async_outcome<T: Send + 'static>(
    f: impl AsyncFnOnce() -> T + Send + 'static,
    host: Option<Arc<Link>>,
    send: impl FnOnce(Message),
) -> Result<T, RunError> {
    let (answer, answers): (_, Receiver<Outcome<T>>) = sync_channel(1);
    send(Message::Async(Box::new(move || answering(f, Answer { to: Some(answer), host }))));
    let result = answers.recv().map_err(|_| RunFinishedError)??;
    Ok(result.unwrap_or_else(|panic| resume_unwind(panic)))
}

/// Where the answer of an async function goes. If it is dropped before the function's end, that was cancelled.
struct Answer<T> {
    to: Option<SyncSender<Outcome<T>>>,
    /// The call with whose task the function is cancelled.
    host: Option<Arc<Link>>,
}

impl<T> Answer<T> {
    fn send(&mut self, outcome: Outcome<T>) {
        if let Some(to) = self.to.take() {
            // Its receiver waits: it is the thread that asks.
            let _ = to.send(outcome);
        }
    }
}

impl<T> Drop for Answer<T> {
    fn drop(&mut self) {
        if self.to.is_some() {
            let error = match &self.host {
                Some(link) => link.cancelled().unwrap_or(CancelledError::new(None)),
                None => CancelledError::new(Some(CancelReason::new(CancelSource::Shutdown))),
            };
            self.send(Err(error));
        }
    }
}

/// Runs an async function to its end, its panic or its cancellation, and sends that.
fn answering<T: 'static>(f: impl AsyncFnOnce() -> T + 'static, mut answer: Answer<T>) -> Answering {
    Box::pin(async move {
        let result = {
            let mut future = pin!(async move { f().await });
            poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
                Ok(poll) => poll.map(Ok),
                Err(panic) => std::task::Poll::Ready(Err(panic)),
            })
            .await
        };
        answer.send(Ok(result));
    })
}
