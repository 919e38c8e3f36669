//! Ticks at equal distances on the run's clock.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use crate::kernel::sleep::{current_time, sleep_until};

/// What an [`Interval`] does about ticks that nobody was there for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissedTicks {
    /// Makes up for them at once, one after the other, so that in the long run there are as many ticks as periods.
    #[default]
    Burst,
    /// Forgets them: the next tick is a period after the late one.
    Delay,
    /// Forgets them, and keeps to the beat: the next tick is at the next multiple of the period.
    Skip,
}

/// Ticks at equal distances: made by [`interval`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use trio::testing::MockClock;
/// trio::Builder::new().clock(MockClock::new().autojump()).run(async {
///     let began = trio::current_time();
///     let mut ticks = trio::interval(Duration::from_secs(10));
///     assert_eq!(ticks.period(), Duration::from_secs(10));
///     ticks.tick().await;
///     trio::sleep(Duration::from_secs(4)).await;
///     ticks.reset();
///     assert_eq!(ticks.tick().await - began, Duration::from_secs(14));
/// });
/// ```
#[derive(Debug)]
pub struct Interval {
    next: Instant,
    period: Duration,
    missed: MissedTicks,
}

/// Ticks now, and then every `period`, on the run's clock.
///
/// # Panics
///
/// If the period is zero, and outside a run.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use trio::testing::MockClock;
/// trio::Builder::new().clock(MockClock::new().autojump()).run(async {
///     let began = trio::current_time();
///     let mut ticks = trio::interval(Duration::from_secs(10));
///     for number in 0..3 {
///         let tick = ticks.tick().await;
///         assert_eq!(tick - began, number * Duration::from_secs(10));
///     }
/// });
/// ```
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    assert!(!period.is_zero(), "an interval needs a period");
    Interval { next: current_time(), period, missed: MissedTicks::default() }
}

impl Interval {
    /// What to do about ticks that nobody was there for; [`MissedTicks::Burst`] unless set.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use trio::{MissedTicks, testing::MockClock};
    /// trio::Builder::new().clock(MockClock::new().autojump()).run(async {
    ///     let began = trio::current_time();
    ///     let mut ticks = trio::interval(Duration::from_secs(10)).missed_ticks(MissedTicks::Skip);
    ///     ticks.tick().await;
    ///     trio::sleep(Duration::from_secs(35)).await;
    ///     ticks.tick().await; // late
    ///     ticks.tick().await;
    ///     assert_eq!(trio::current_time() - began, Duration::from_secs(40));
    /// });
    /// ```
    #[must_use]
    pub const fn missed_ticks(mut self, missed: MissedTicks) -> Self {
        self.missed = missed;
        self
    }

    /// The time between two ticks.
    pub const fn period(&self) -> Duration {
        self.period
    }

    /// Waits for the next tick, and gives the time that it was due at.
    ///
    /// A checkpoint. Cancelled, it has not used up the tick.
    pub async fn tick(&mut self) -> Instant {
        let due = self.next;
        sleep_until(due).await;
        self.next = match self.missed {
            MissedTicks::Burst => due + self.period,
            MissedTicks::Delay => due.max(current_time()) + self.period,
            MissedTicks::Skip => due + self.period * periods_since(due, self.period).saturating_add(1),
        };
        due
    }

    /// Begins anew: the next tick is a period from now. Not a checkpoint.
    ///
    /// # Panics
    ///
    /// Outside a run.
    pub fn reset(&mut self) {
        self.next = current_time() + self.period;
    }
}

/// How many whole periods have passed since a tick was due.
fn periods_since(due: Instant, period: Duration) -> u32 {
    let late = current_time().saturating_duration_since(due);
    u32::try_from(late.as_nanos() / period.as_nanos()).unwrap_or(u32::MAX)
}
