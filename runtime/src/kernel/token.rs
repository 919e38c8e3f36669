//! Tokens: a run's address for other threads.

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::context;
use super::idempotent::Key;
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
    /// Has `call` called on the run's thread, soon: between two passes, also when the run is waiting for I/O. Calls are
    /// made in the order in which they came. A call that is queued by another one is made in a later pass, so that tasks get
    /// their turns however many calls there are.
    ///
    /// A call that was accepted is made before the run returns. If it panics, the run ends with that panic.
    ///
    /// # Errors
    ///
    /// [`RunFinishedError`] if the run has ended.
    pub fn run_sync_soon(&self, call: impl FnOnce() + Send + 'static) -> Result<(), RunFinishedError> {
        self.address.call(call)?;
        self.look_soon();
        Ok(())
    }

    /// As [`run_sync_soon`](Self::run_sync_soon), but only if no call with an equal key is waiting to be made: for notices
    /// that say no more the second time. Trio's `run_sync_soon(…, idempotent=True)`.
    ///
    /// From the moment at which the call begins, the next one with its key is a new one; so what is told before is seen by
    /// the call, and what is told later makes another. Keys of different types are different.
    ///
    /// Idempotent calls are made in the order in which they came, after those of `run_sync_soon` that are there: there is no
    /// order between the two kinds. The key's `Eq` is asked while the run's queue is locked: it must not use a token.
    ///
    /// # Errors
    ///
    /// [`RunFinishedError`] if the run has ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::atomic::{AtomicUsize, Ordering};
    /// static REFRESHED: AtomicUsize = AtomicUsize::new(0);
    /// trio::run(async {
    ///     let token = trio::lowlevel::current_token();
    ///     for page in ["home", "news", "home", "home"] {
    ///         let refresh = || {
    ///             REFRESHED.fetch_add(1, Ordering::Relaxed);
    ///         };
    ///         token.run_sync_soon_idempotent(("refresh", page), refresh).unwrap();
    ///     }
    /// });
    /// assert_eq!(REFRESHED.load(Ordering::Relaxed), 2);
    /// ```
    pub fn run_sync_soon_idempotent(
        &self,
        key: impl Hash + Eq + Send + 'static,
        call: impl FnOnce() + Send + 'static,
    ) -> Result<(), RunFinishedError> {
        let queued = self.address.inbox.call_idempotent(self.address.run, Key::new(key), Box::new(call));
        queued.map_err(|_| RunFinishedError)?;
        self.look_soon();
        Ok(())
    }

    /// On the run's own thread, the next pass begins with the calls.
    fn look_soon(&self) {
        context::try_with(|run| {
            if run.opened.run == self.address.run {
                run.look_soon();
            }
        });
    }

    pub(crate) fn address(&self) -> Address {
        self.address
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
