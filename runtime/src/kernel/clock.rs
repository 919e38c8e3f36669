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

/// A clock beside the system's that is read in a moment, and that may be a few milliseconds late.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CoarseClock {
    /// What the system's clock showed at the run's start.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    start: Time,
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    start: Instant,
    slack: Time,
}

#[cfg(any(target_os = "linux", target_os = "android"))]
impl CoarseClock {
    /// To be called at the run's start.
    pub(crate) fn start() -> Self {
        let mut tick = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the call is given a place for the answer.
        unsafe { libc::clock_getres(libc::CLOCK_MONOTONIC_COARSE, &raw mut tick) };
        Self { start: system_time(libc::CLOCK_MONOTONIC), slack: 2 * nanoseconds(tick) }
    }

    /// A time that has come, no longer ago than the slack.
    #[inline]
    pub(crate) fn time(self) -> Time {
        system_time(libc::CLOCK_MONOTONIC_COARSE).saturating_sub(self.start)
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
#[inline]
fn system_time(clock: libc::clockid_t) -> Time {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call is given a place for the answer. It can't fail for the monotonic clocks, and would leave a zero.
    unsafe { libc::clock_gettime(clock, &raw mut now) };
    nanoseconds(now)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
#[inline]
fn nanoseconds(time: libc::timespec) -> Time {
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Elsewhere there is none: this is the system's clock.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
impl CoarseClock {
    pub(crate) fn start() -> Self {
        Self { start: Instant::now(), slack: 0 }
    }

    pub(crate) fn time(self) -> Time {
        finite(self.start.elapsed())
    }
}

impl CoarseClock {
    /// How late it may be. Two of the system's ticks: one is what it is late by, the other is for a tick that is late.
    #[inline]
    pub(crate) fn slack(self) -> Time {
        self.slack
    }
}

/// A duration in nanoseconds; `None` if it is too long to ever pass.
#[inline]
pub(crate) fn in_nanoseconds(duration: Duration) -> Option<u64> {
    duration.as_secs().checked_mul(1_000_000_000)?.checked_add(u64::from(duration.subsec_nanos()))
}

/// A time that comes some day.
fn finite(since_start: Duration) -> Time {
    in_nanoseconds(since_start).map_or(NEVER - 1, |nanoseconds| nanoseconds.min(NEVER - 1))
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
        finite(instant.saturating_duration_since(self.0))
    }

    pub(crate) fn instant(self, time: Time) -> Option<Instant> {
        (time != NEVER).then(|| self.0 + Duration::from_nanos(time))
    }
}

/// `now + duration`, or never.
pub(crate) fn after(now: Time, duration: Duration) -> Time {
    in_nanoseconds(duration).and_then(|nanoseconds| now.checked_add(nanoseconds)).unwrap_or(NEVER)
}
