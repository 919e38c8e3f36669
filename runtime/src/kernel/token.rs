//! Tokens: a run's address for other threads.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::context;
use super::inbox::Inbox;
use super::run::Run;

/// Counts what can still bring something in from outside: tokens, threads, signal handlers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outstanding(Arc<AtomicUsize>);

impl Outstanding {
    pub(crate) fn any(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }

    /// Counts one more, until the guard is dropped (on any thread).
    pub(crate) fn count(&self) -> Counted {
        self.0.fetch_add(1, Ordering::Relaxed);
        Counted(Arc::clone(&self.0))
    }
}

/// One of the things that an [`Outstanding`] counts.
#[derive(Debug)]
pub(crate) struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Lets other threads call functions in a run: Trio's `TrioToken`.
///
/// Can be cloned and sent to any thread, and outlive the run.
///
/// # Examples
///
/// ```
/// use std::sync::atomic::{AtomicBool, Ordering};
/// static CALLED: AtomicBool = AtomicBool::new(false);
/// trio::run(async {
///     let token = trio::lowlevel::current_token();
///     std::thread::spawn(move || token.run_sync_soon(|| CALLED.store(true, Ordering::Relaxed)).unwrap());
///     while !CALLED.load(Ordering::Relaxed) {
///         trio::sleep(std::time::Duration::from_millis(1)).await;
///     }
/// });
/// ```
pub struct Token {
    address: Address,
    counted: Counted,
}

/// A run's address without the promise that something will come: what the run itself keeps count of.
#[derive(Clone, Copy)]
pub(crate) struct Address {
    inbox: &'static Inbox,
    run: u64,
}

impl Address {
    /// Has `call` called on the run's thread, unless the run has ended. See [`Token::run_sync_soon`].
    pub(crate) fn call(self, call: impl FnOnce() + Send + 'static) -> Result<(), RunFinishedError> {
        self.inbox.call(self.run, Box::new(call)).map_err(|_| RunFinishedError)
    }
}

impl Token {
    /// Has `call` called on the run's thread, soon: between two steps of tasks, also when the run is waiting for
    /// I/O. Calls are made in the order in which they came.
    ///
    /// A call that was accepted is made before the run returns. If it panics, the run ends with that panic.
    ///
    /// # Errors
    ///
    /// [`RunFinishedError`] if the run has ended.
    pub fn run_sync_soon(&self, call: impl FnOnce() + Send + 'static) -> Result<(), RunFinishedError> {
        self.address.call(call)
    }

    /// Prepares a call that is made once however often it is asked for before it is made: Trio's
    /// `run_sync_soon(…, idempotent=True)`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::atomic::{AtomicU32, Ordering};
    /// static CALLS: AtomicU32 = AtomicU32::new(0);
    /// trio::run(async {
    ///     let token = trio::lowlevel::current_token();
    ///     let call = token.repeatable(|| { CALLS.fetch_add(1, Ordering::Relaxed); });
    ///     for _ in 0..10 {
    ///         call.run_sync_soon().unwrap();
    ///     }
    /// });
    /// assert_eq!(CALLS.load(Ordering::Relaxed), 1);
    /// ```
    pub fn repeatable(&self, call: impl Fn() + Send + Sync + 'static) -> RepeatableCall {
        RepeatableCall { token: self.clone(), waits: Arc::new(AtomicBool::new(false)), call: Arc::new(call) }
    }

    pub(crate) fn address(&self) -> Address {
        self.address
    }
}

/// A call into a run that can be asked for again and again, from any thread. See [`Token::repeatable`].
///
/// Clones are the same call.
#[derive(Clone)]
pub struct RepeatableCall {
    token: Token,
    /// It has been asked for and not begun.
    waits: Arc<AtomicBool>,
    call: Arc<dyn Fn() + Send + Sync>,
}

impl RepeatableCall {
    /// Has the call made soon, as [`Token::run_sync_soon`]. If it has been asked for already and has not begun, that does.
    ///
    /// # Errors
    ///
    /// [`RunFinishedError`] if the run has ended.
    pub fn run_sync_soon(&self) -> Result<(), RunFinishedError> {
        if self.waits.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let (waits, call) = (Arc::clone(&self.waits), Arc::clone(&self.call));
        let asked = self.token.run_sync_soon(move || {
            waits.store(false, Ordering::Release);
            call();
        });
        if asked.is_err() {
            self.waits.store(false, Ordering::Release);
        }
        asked
    }
}

impl fmt::Debug for RepeatableCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RepeatableCall").field("token", &self.token).field("waits", &self.waits).finish_non_exhaustive()
    }
}

/// Two tokens are equal if they are of the same run.
impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        self.address.run == other.address.run
    }
}

impl Eq for Token {}

impl Clone for Token {
    fn clone(&self) -> Self {
        self.counted.0.fetch_add(1, Ordering::Relaxed);
        Self { address: self.address, counted: Counted(Arc::clone(&self.counted.0)) }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("run", &self.address.run).finish_non_exhaustive()
    }
}

/// The run that a [`Token`] belongs to has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunFinishedError;

impl fmt::Display for RunFinishedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the trio run has ended")
    }
}

impl std::error::Error for RunFinishedError {}

impl Run {
    pub(crate) fn token(&self) -> Token {
        Token { address: self.address(), counted: self.outstanding.count() }
    }

    pub(crate) fn address(&self) -> Address {
        Address { inbox: self.opened.inbox, run: self.opened.run }
    }
}

/// The current run's token. While one exists, the run is never taken for one that nothing can wake.
///
/// # Panics
///
/// Outside a run.
#[track_caller]
pub fn current_token() -> Token {
    context::with(Run::token)
}
