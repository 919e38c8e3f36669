//! How many threads may work at once.

use std::rc::Rc;

use crate::lowlevel::RunVar;
use crate::{Borrower, CapacityLimiter, OwnedCapacityToken};

/// How many calls of a run have threads at once, unless they bring a limiter of their own: as in Trio.
const DEFAULT_LIMIT: usize = 40;

static DEFAULT: RunVar<Rc<CapacityLimiter>> = RunVar::new("default thread limiter");

/// The limiter of the run's calls that bring none of their own: 40 threads at once, unless that is changed.
///
/// Trio's `current_default_thread_limiter`. The number is a compromise: enough for what waits for disks, few enough for
/// what computes not to get in its own way.
///
/// # Panics
///
/// Outside a run.
///
/// # Examples
///
/// ```
/// trio::run(async {
///     let limiter = trio::to_thread::current_default_thread_limiter();
///     assert_eq!(limiter.total_tokens(), 40);
///     limiter.set_total_tokens(4);
/// });
/// ```
#[track_caller]
pub fn current_default_thread_limiter() -> Rc<CapacityLimiter> {
    DEFAULT.try_get().unwrap_or_else(|| {
        let limiter = Rc::new(CapacityLimiter::new(DEFAULT_LIMIT));
        DEFAULT.set(Rc::clone(&limiter));
        limiter
    })
}

/// What decides when a call may have a thread.
///
/// An `Rc<CapacityLimiter>` is one; so is whatever can be waited for and then gives a token that counts until it is
/// dropped. It is dropped, in the run, when the thread has come to the end of the call: with an abandoned call, that is
/// after the task has gone on, which is why the token may not borrow.
///
/// # Examples
///
/// A limit on how often, not on how many:
///
/// ```
/// use std::time::Duration;
/// use trio::{Borrower, RateLimiter, to_thread};
/// struct Paced(RateLimiter);
/// impl to_thread::ThreadLimiter for Paced {
///     type Token = ();
///     async fn acquire_on_behalf_of(&self, _: Borrower) {
///         self.0.acquire().await;
///     }
/// }
/// trio::run(async {
///     let paced = Paced(RateLimiter::new(Duration::from_millis(1), 10));
///     to_thread::Call::new().limiter(&paced).run_sync(|| ()).await;
/// });
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't limit threads",
    note = "a `CapacityLimiter` has to be in an `Rc`, since a thread that was abandoned keeps its token"
)]
pub trait ThreadLimiter {
    /// Counts until dropped.
    type Token: 'static;

    /// Waits until the borrower, who stands for one call, may have a thread.
    fn acquire_on_behalf_of(&self, borrower: Borrower) -> impl Future<Output = Self::Token>;
}

impl ThreadLimiter for Rc<CapacityLimiter> {
    type Token = OwnedCapacityToken;

    async fn acquire_on_behalf_of(&self, borrower: Borrower) -> OwnedCapacityToken {
        self.acquire_owned(borrower).await
    }
}

impl<L: ThreadLimiter + ?Sized> ThreadLimiter for &L {
    type Token = L::Token;

    fn acquire_on_behalf_of(&self, borrower: Borrower) -> impl Future<Output = Self::Token> {
        L::acquire_on_behalf_of(self, borrower)
    }
}

/// The run's default limiter, whichever run that is.
#[derive(Clone, Copy, Debug, Default)]
pub struct DefaultLimiter(());

impl ThreadLimiter for DefaultLimiter {
    type Token = OwnedCapacityToken;

    async fn acquire_on_behalf_of(&self, borrower: Borrower) -> OwnedCapacityToken {
        current_default_thread_limiter().acquire_owned(borrower).await
    }
}
