//! The run's clock: what "now" is, and how deadlines turn into real waiting.

use std::time::{Duration, Instant};

use super::timers::{NEVER, Time};

/// A source of time for a run.
///
/// All deadlines and sleeps of a run use its clock, so a run under
/// [`testing::MockClock`](crate::testing::MockClock) has no real waiting in it. The real clock is the default.
///
/// # Examples
///
/// A clock on which everything takes half the time:
///
/// ```
/// use std::time::{Duration, Instant};
///
/// struct Fast(Instant);
///
/// impl trio::Clock for Fast {
///     fn now(&self) -> Instant {
///         self.0 + self.0.elapsed() * 2
///     }
///     fn sleep_time(&self, deadline: Instant) -> Option<Duration> {
///         Some(deadline.saturating_duration_since(self.now()) / 2)
///     }
/// }
///
/// let started = Instant::now();
/// trio::Builder::new().clock(Fast(started)).run(trio::sleep(Duration::from_millis(20)));
/// assert!(started.elapsed() < Duration::from_secs(5));
/// ```
pub trait Clock {
    /// Called once, when the run begins.
    fn start(&self) {}

    /// The time on this clock. It must never go backwards.
    fn now(&self) -> Instant;

    /// How long to wait in real time for this clock to reach `deadline`: zero when it has passed, `None`
    /// when no amount of waiting reaches it.
    fn sleep_time(&self, deadline: Instant) -> Option<Duration>;

    /// When to ask for a jump: after all tasks have been blocked for this much real time. `None`: never.
    fn autojump_threshold(&self) -> Option<Duration> {
        None
    }

    /// Called when all tasks have been blocked for the autojump threshold and `deadline` is the next one: a
    /// clock that can, moves itself there.
    fn autojump(&self, deadline: Instant) {
        let _ = deadline;
    }
}

/// The real, monotonic clock.
#[derive(Debug)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep_time(&self, deadline: Instant) -> Option<Duration> {
        Some(deadline.saturating_duration_since(Instant::now()))
    }
}

/// Translates between the clock's instants and the kernel's numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Epoch(Instant);

impl Epoch {
    pub(crate) fn new(start: Instant) -> Self {
        Self(start)
    }

    /// A time before the run's start is its start: both have passed.
    pub(crate) fn time(self, instant: Instant) -> Time {
        let since = instant.saturating_duration_since(self.0);
        u64::try_from(since.as_nanos()).map_or(NEVER - 1, |nanos| nanos.min(NEVER - 1))
    }

    pub(crate) fn instant(self, time: Time) -> Option<Instant> {
        (time != NEVER).then(|| self.0 + Duration::from_nanos(time))
    }
}

/// `now + duration`, or never.
pub(crate) fn after(now: Time, duration: Duration) -> Time {
    u64::try_from(duration.as_nanos()).ok().and_then(|nanos| now.checked_add(nanos)).unwrap_or(NEVER)
}
