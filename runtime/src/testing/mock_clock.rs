//! A clock that the test moves.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::kernel::clock::Clock;

/// A virtual clock: Trio's `MockClock`.
///
/// It stands still until it is told to [`jump`](Self::jump), runs at a [rate](Self::set_rate) of real time, or jumps to
/// the next deadline by itself when all tasks are blocked ([`autojump`](Self::autojump)). A clone is another handle to
/// the same clock: give one to [`Builder::clock`](crate::Builder::clock), and keep one.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use trio::testing::MockClock;
///
/// let clock = MockClock::new().autojump();
/// trio::Builder::new().clock(clock.clone()).run(async {
///     trio::sleep(Duration::from_secs(3600)).await;
///     assert_eq!(clock.elapsed(), Duration::from_secs(3600));
/// });
/// ```
#[derive(Clone)]
pub struct MockClock {
    state: Rc<State>,
}

struct State {
    /// The instant at which this clock shows zero.
    zero: Instant,
    /// What it showed at `since`, and the rate since then.
    shown: Cell<Duration>,
    since: Cell<Instant>,
    rate: Cell<f64>,
    autojump_threshold: Cell<Option<Duration>>,
    /// Real time; another source in tests of the clock itself.
    real: fn() -> Instant,
}

impl Default for MockClock {
    fn default() -> Self {
        Self::new()
    }
}

impl MockClock {
    /// A clock that stands still.
    pub fn new() -> Self {
        Self::on(Instant::now)
    }

    fn on(real: fn() -> Instant) -> Self {
        let now = real();
        let state = State {
            zero: now,
            shown: Cell::new(Duration::ZERO),
            since: Cell::new(now),
            rate: Cell::new(0.0),
            autojump_threshold: Cell::new(None),
            real,
        };
        Self { state: Rc::new(state) }
    }

    /// Sets the autojump threshold to zero: whenever all tasks are blocked, the clock jumps to the next deadline at
    /// once.
    #[must_use = "this gives the clock back"]
    pub fn autojump(self) -> Self {
        self.set_autojump_threshold(Some(Duration::ZERO));
        self
    }

    /// When all tasks have been blocked for this much real time, the clock jumps to the next deadline; `None`: never.
    pub fn set_autojump_threshold(&self, threshold: Option<Duration>) {
        self.state.autojump_threshold.set(threshold);
    }

    /// How many virtual seconds pass in a real one; 0 until set. Does not change what the clock shows now.
    ///
    /// # Panics
    ///
    /// If the rate is negative or not finite: time can't go backwards.
    pub fn set_rate(&self, rate: f64) {
        assert!(rate >= 0.0 && rate.is_finite(), "a clock's rate must be zero or a positive number, not {rate}");
        self.settle(Duration::ZERO);
        self.state.rate.set(rate);
    }

    /// How many virtual seconds pass in a real one.
    pub fn rate(&self) -> f64 {
        self.state.rate.get()
    }

    /// Moves the clock forward. Deadlines that have passed then take effect before the next pass: a task whose turn comes
    /// later in the pass that jumps takes that step before.
    pub fn jump(&self, duration: Duration) {
        self.settle(duration);
    }

    /// How much time has passed on this clock since it was made.
    pub fn elapsed(&self) -> Duration {
        let state = &*self.state;
        let rate = state.rate.get();
        let real =
            if rate > 0.0 { (state.real)().saturating_duration_since(state.since.get()) } else { Duration::ZERO };
        state.shown.get() + real.mul_f64(rate)
    }

    /// Makes what the clock shows now, and a jump on top, the new starting point.
    fn settle(&self, jump: Duration) {
        let state = &*self.state;
        let shown = self.elapsed() + jump;
        state.since.set((state.real)());
        state.shown.set(shown);
    }
}

impl Clock for MockClock {
    fn now(&self) -> Instant {
        self.state.zero + self.elapsed()
    }

    fn sleep_time(&self, deadline: Instant) -> Option<Duration> {
        let left = deadline.saturating_duration_since(self.now());
        let rate = self.state.rate.get();
        if left.is_zero() {
            Some(left)
        } else if rate == 0.0 {
            None
        } else {
            Duration::try_from_secs_f64(left.as_secs_f64() / rate).ok()
        }
    }

    fn autojump_threshold(&self) -> Option<Duration> {
        self.state.autojump_threshold.get()
    }

    fn autojump(&self, deadline: Instant) {
        self.jump(deadline.saturating_duration_since(self.now()));
    }
}

impl fmt::Debug for MockClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MockClock")
            .field("elapsed", &self.elapsed())
            .field("rate", &self.rate())
            .field("autojump_threshold", &self.state.autojump_threshold.get())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    thread_local! {
        static REAL: Cell<Instant> = Cell::new(Instant::now());
    }

    fn pass(seconds: f64) {
        REAL.set(REAL.get() + Duration::from_secs_f64(seconds));
    }

    fn seconds(clock: &MockClock) -> f64 {
        clock.elapsed().as_secs_f64()
    }

    // trio: _core/_tests/test_mock_clock.py::test_mock_clock
    #[test]
    fn the_clock_jumps_and_runs_at_its_rate() {
        let clock = MockClock::on(|| REAL.get());
        assert_eq!((clock.rate(), seconds(&clock)), (0.0, 0.0));
        clock.jump(Duration::from_millis(1200));
        assert_eq!(seconds(&clock), 1.2);
        let at = |s: f64| clock.state.zero + Duration::from_secs_f64(s);
        assert_eq!(clock.sleep_time(at(1.0)), Some(Duration::ZERO));
        assert_eq!(clock.sleep_time(at(1.2)), Some(Duration::ZERO));
        assert_eq!(clock.sleep_time(at(99.0)), None);
        assert!(std::panic::catch_unwind(|| MockClock::new().set_rate(-1.0)).is_err());

        clock.set_rate(2.0);
        assert_eq!(seconds(&clock), 1.2);
        pass(1.0);
        assert_eq!(seconds(&clock), 3.2);
        assert_eq!(clock.sleep_time(at(4.2)), Some(Duration::from_millis(500)));

        clock.set_rate(0.5);
        assert_eq!(seconds(&clock), 3.2);
        assert_eq!(clock.sleep_time(at(4.2)), Some(Duration::from_secs(2)));
        clock.jump(Duration::from_millis(800));
        assert_eq!(seconds(&clock), 4.0);
        pass(1.0);
        assert_eq!(seconds(&clock), 4.5);
    }
}
