//! Sleeping, and the time.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::checkpoint::{checkpoint, yield_now};
use super::clock::after;
use super::context;
use super::run::{Run, wrong_run};
use super::timers::{NEVER, Target, Time, TimerKey};
use super::waker::StoredWaker;

/// The time on the run's clock, which all deadlines are measured by. With the usual clock this is
/// [`Instant::now`]; under a [`testing::MockClock`](crate::testing::MockClock) it moves only as that says.
///
/// # Panics
///
/// Outside a run.
#[track_caller]
pub fn current_time() -> Instant {
    context::with(Run::instant_now)
}

/// Waits until this much time has passed on the run's clock. A zero duration is a plain
/// [`checkpoint`](crate::checkpoint).
///
/// A checkpoint.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, Instant};
/// let started = Instant::now();
/// trio::run(trio::sleep(Duration::from_millis(10)));
/// assert!(started.elapsed() >= Duration::from_millis(10));
/// ```
pub async fn sleep(duration: Duration) {
    if duration.is_zero() {
        checkpoint().await;
    } else {
        Sleep { until: Until::After(duration), timer: None, run: 0 }.await;
    }
}

/// Waits until this time on the run's clock. If it has passed, this is a plain [`checkpoint`](crate::checkpoint).
///
/// A checkpoint.
pub async fn sleep_until(deadline: Instant) {
    Sleep { until: Until::At(deadline), timer: None, run: 0 }.await;
}

/// Waits until cancelled.
///
/// A checkpoint from which nothing but a cancellation leads away.
pub async fn sleep_forever() -> ! {
    match Forever.await {}
}

struct Forever;

impl Future for Forever {
    type Output = std::convert::Infallible;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        context::with(|run| run.park_cancelled(context));
        Poll::Pending
    }
}

enum Until {
    At(Instant),
    After(Duration),
}

struct Sleep {
    until: Until,
    timer: Option<TimerKey>,
    run: u64,
}

impl Sleep {
    fn deadline(&self, run: &Run, now: Time) -> Time {
        match self.until {
            Until::At(instant) => run.epoch().time(instant),
            Until::After(duration) => after(now, duration),
        }
    }

    fn poll_in(&mut self, run: &Run, context: &Context<'_>) -> Poll<()> {
        // As in Trio, a sleep is cancelled even if its time has come when the cancellation finds it asleep.
        if run.is_cancelled_here() {
            run.park_cancelled(context);
            return Poll::Pending;
        }
        let Some(key) = self.timer else {
            let now = run.now();
            // The deadlines of the scopes around it come first.
            run.arm_at(now);
            let deadline = self.deadline(run, now);
            if deadline == NEVER {
                return Poll::Pending;
            }
            self.run = run.opened.run;
            let waker = StoredWaker::new(context.waker());
            let key = run.timers.borrow_mut().insert(deadline, Target::Sleeper(waker));
            self.timer = Some(key);
            // What has passed already is a checkpoint: the deadline is met before the next pass.
            if deadline <= now {
                yield_now(run, context);
            }
            return Poll::Pending;
        };
        if self.run != run.opened.run {
            wrong_run("sleep");
        }
        if run.timers.borrow().has_fired(key) {
            self.clear(run);
            return Poll::Ready(());
        }
        let known = run.timers.borrow().sleeper(key).is_some_and(|waker| waker.will_wake(context.waker()));
        if !known {
            let waker = StoredWaker::new(context.waker());
            let old = run.timers.borrow_mut().set_sleeper(key, waker);
            drop(old);
        }
        Poll::Pending
    }

    fn clear(&mut self, run: &Run) {
        if let Some(key) = self.timer.take() {
            let target = run.timers.borrow_mut().remove(key);
            drop(target);
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        context::with(|run| self.poll_in(run, context))
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        context::try_with(|run| {
            if self.run == run.opened.run {
                self.clear(run);
            }
        });
    }
}

/// A sleep that is polled again and again, and whose deadline moves: for clocks of other libraries.
///
/// A deadline that moves on costs nothing: its timer fires at the earlier time, and is set anew then. Consists of numbers
/// only, so that it may be anywhere; outside its run it panics when it is polled.
#[cfg(feature = "hyper")]
#[derive(Debug)]
pub(crate) struct PolledSleep {
    deadline: Instant,
    timer: Option<Armed>,
}

#[cfg(feature = "hyper")]
#[derive(Debug)]
struct Armed {
    key: TimerKey,
    run: u64,
    /// When it fires.
    time: Time,
}

#[cfg(feature = "hyper")]
impl PolledSleep {
    pub(crate) fn until(deadline: Instant) -> Self {
        Self { deadline, timer: None }
    }

    pub(crate) fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }

    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        context::with(|run| self.poll_in(run, context))
    }

    fn poll_in(&mut self, run: &Run, context: &Context<'_>) -> Poll<()> {
        if run.is_cancelled_here() {
            run.park_cancelled(context);
            return Poll::Pending;
        }
        let deadline = run.epoch().time(self.deadline);
        if let Some(armed) = &self.timer {
            if armed.run != run.opened.run {
                wrong_run("sleep");
            }
            let key = armed.key;
            if run.timers.borrow().has_fired(key) {
                let met = armed.time >= deadline;
                self.clear(run);
                if met {
                    return Poll::Ready(());
                }
            } else if deadline < armed.time {
                self.clear(run);
            } else {
                let known = run.timers.borrow().sleeper(key).is_some_and(|waker| waker.will_wake(context.waker()));
                if !known {
                    let waker = StoredWaker::new(context.waker());
                    let old = run.timers.borrow_mut().set_sleeper(key, waker);
                    drop(old);
                }
                return Poll::Pending;
            }
        }
        if deadline == NEVER {
            return Poll::Pending;
        }
        let now = run.now();
        if deadline <= now {
            return Poll::Ready(());
        }
        // The deadlines of the scopes around it come first.
        run.arm_at(now);
        let waker = StoredWaker::new(context.waker());
        let key = run.timers.borrow_mut().insert(deadline, Target::Sleeper(waker));
        self.timer = Some(Armed { key, run: run.opened.run, time: deadline });
        Poll::Pending
    }

    fn clear(&mut self, run: &Run) {
        if let Some(armed) = self.timer.take() {
            let target = run.timers.borrow_mut().remove(armed.key);
            drop(target);
        }
    }
}

#[cfg(feature = "hyper")]
impl Drop for PolledSleep {
    fn drop(&mut self) {
        let Some(run_of_timer) = self.timer.as_ref().map(|armed| armed.run) else { return };
        context::try_with(|run| {
            if run_of_timer == run.opened.run {
                self.clear(run);
            }
        });
    }
}
