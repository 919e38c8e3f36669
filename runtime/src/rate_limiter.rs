//! So many a second, and no more.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::fmt;
use std::time::{Duration, Instant};

use crate::kernel::sleep::{current_time, sleep_until};
use crate::sync::Lock;

/// Lets so many operations pass in a stretch of time, and makes the others wait their turn.
///
/// A token bucket: `burst` operations may pass at once, after which there is one every `period`, until a pause has filled
/// the bucket again. Those who wait are served in the order in which they came.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use trio::{RateLimiter, testing::MockClock};
/// trio::Builder::new().clock(MockClock::new().autojump()).run(async {
///     let began = trio::current_time();
///     // One a second, two at once.
///     let limiter = RateLimiter::new(Duration::from_secs(1), 2);
///     for expected in [0, 0, 1, 2] {
///         limiter.acquire().await;
///         assert_eq!((trio::current_time() - began).as_secs(), expected);
///     }
/// });
/// ```
pub struct RateLimiter {
    period: Duration,
    /// How long before its due time an operation may pass.
    tolerance: Duration,
    /// When the next operation is due; `None` before the first.
    due: Cell<Option<Instant>>,
    /// Held by whoever is next.
    turn: Lock,
}

impl RateLimiter {
    /// One operation every `period` in the long run, and up to `burst` at once.
    ///
    /// # Panics
    ///
    /// If the period or the burst is zero.
    #[track_caller]
    pub fn new(period: Duration, burst: u32) -> Self {
        assert!(!period.is_zero(), "a rate needs a period");
        assert!(burst > 0, "with a burst of zero nothing could ever pass");
        let tolerance = period.saturating_mul(burst - 1);
        Self { period, tolerance, due: Cell::new(None), turn: Lock::new(()) }
    }

    /// Waits until the operation may pass.
    ///
    /// A checkpoint. Cancelled while it waits, it leaves the queue, and has used up nothing.
    pub async fn acquire(&self) {
        let turn = self.turn.lock().await;
        let now = current_time();
        if let Some(earliest) = self.due.get().and_then(|due| due.checked_sub(self.tolerance)).filter(|at| *at > now) {
            sleep_until(earliest).await;
        }
        self.pass(current_time());
        drop(turn);
    }

    /// Lets the operation pass if it may do so now; whether it did. Not a checkpoint.
    ///
    /// False also if somebody waits in [`acquire`](Self::acquire).
    ///
    /// # Panics
    ///
    /// Outside a run.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// trio::run(async {
    ///     let limiter = trio::RateLimiter::new(Duration::from_secs(3600), 2);
    ///     assert!(limiter.try_acquire() && limiter.try_acquire());
    ///     assert!(!limiter.try_acquire());
    /// });
    /// ```
    pub fn try_acquire(&self) -> bool {
        let Ok(_turn) = self.turn.try_lock() else { return false };
        let now = current_time();
        let may = self.due.get().and_then(|due| due.checked_sub(self.tolerance)).is_none_or(|earliest| earliest <= now);
        if may {
            self.pass(now);
        }
        may
    }

    /// A snapshot of the limiter. Not a checkpoint.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// let limiter = trio::RateLimiter::new(Duration::from_secs(1), 1);
    /// assert_eq!(limiter.statistics().tasks_waiting, 0);
    /// ```
    pub fn statistics(&self) -> RateLimiterStatistics {
        // Whose turn it is waits for the clock, and the others for their turns.
        let turn = self.turn.statistics();
        RateLimiterStatistics { tasks_waiting: usize::from(turn.locked) + turn.tasks_waiting }
    }

    fn pass(&self, now: Instant) {
        let due = self.due.get().map_or(now, |due| due.max(now));
        self.due.set(Some(due + self.period));
    }
}

impl fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimiter")
            .field("period", &self.period)
            .field("tolerance", &self.tolerance)
            .field("waited_for", &self.turn.is_locked())
            .finish_non_exhaustive()
    }
}

/// A snapshot of a [`RateLimiter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RateLimiterStatistics {
    /// How many tasks wait.
    pub tasks_waiting: usize,
}
