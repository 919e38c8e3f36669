//! Running a test under many schedules.
#![forbid(unsafe_code)]

mod schedule;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use schedule::Kind;
pub use schedule::{InvalidScheduleError, Schedule};

use super::mock_clock::MockClock;
use super::output::TestOutput;
use crate::kernel::builder::Builder;
use crate::kernel::schedule::{Deviation, Guide};

/// How many operations that need not wait a task may do in one step, where a schedule decides whether they yield: as many
/// as in a run that is no test.
const BUDGET: u32 = 32;

/// Runs a test under many schedules, to find the one that breaks it.
///
/// A schedule decides what nobody promised, and what a program must therefore not depend on:
///
/// * the order in which ready tasks take their steps, in every pass;
/// * the order of deadlines of the same instant;
/// * whether an operation that need not wait lets the others take a step before it returns.
///
/// `#[trio::test(schedules = 1000)]` runs a test under a thousand random schedules, `#[trio::test(schedules = 1000,
/// systematic)]` under all that there are, or a thousand of them if there are more; both name the schedule that failed. This
/// is the same as a function, on a [`MockClock`] that jumps.
///
/// *Random* schedules suit any test. The *systematic* search suits small ones, since the number of schedules grows
/// exponentially with the steps of the test. It begins with first in, first out, and goes on with the schedules that differ
/// from that in one choice, then those that differ in two, and so on: so what it finds first is close to the simplest way to
/// break the test. The idea of a bound on the differences is that of CHESS (Musuvathi and others, OSDI 2008).
///
/// The test has to take the same course each time with the same choices: no real time, no threads, no hash maps in
/// whose order things are done. Where it does not, the search says so.
///
/// # Examples
///
/// ```
/// use std::cell::Cell;
/// use trio::testing::Exploration;
///
/// let found = Exploration::systematic(1000).run(async |_clock| {
///     let ready = Cell::new(false);
///     trio::nursery! { |n|
///         n.start_soon(async { ready.set(true) });
///         // Started second is not the same as second to run.
///         n.start_soon(async { assert!(ready.get()) });
///     };
/// });
/// assert!(found.failed_under().is_some());
/// ```
#[derive(Clone, Debug)]
pub struct Exploration(Strategy);

#[derive(Clone, Debug)]
enum Strategy {
    Random(u64),
    Systematic(u64),
    Only(Schedule),
}

/// What an [`Exploration`] found.
#[derive(Debug)]
#[must_use = "it says whether the test failed"]
pub struct Explored<T> {
    schedules: u64,
    exhaustive: bool,
    failed_under: Option<Schedule>,
    last: thread::Result<T>,
}

/// What a test runs with, whatever the schedule.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    /// The clock is a [`MockClock`], which it always is if it jumps.
    pub(crate) mock_clock: bool,
    pub(crate) autojump: bool,
    /// As [`Builder::checkpoint_budget`].
    pub(crate) checkpoint_budget: Option<u32>,
}

impl Exploration {
    /// This many random schedules, those with the numbers from 0; at least one.
    pub const fn random(schedules: u64) -> Self {
        Self(Strategy::Random(schedules))
    }

    /// All schedules there are, those that differ least from first in, first out before the others; no more than `bound`,
    /// and at least one.
    pub const fn systematic(bound: u64) -> Self {
        Self(Strategy::Systematic(bound))
    }

    /// Nothing but this schedule.
    pub const fn only(schedule: Schedule) -> Self {
        Self(Strategy::Only(schedule))
    }

    /// Runs the test under each schedule, up to the first that fails: by a panic, by what it returns, or because nothing
    /// can ever run again.
    pub fn run<T: TestOutput>(&self, test: impl AsyncFn(MockClock) -> T) -> Explored<T> {
        let setup = Setup { mock_clock: true, autojump: true, checkpoint_budget: None };
        self.run_on(setup, |builder, clock| builder.run_from_heap(test(clock)))
    }

    /// `once` has to run the test with the builder and the clock that it gets.
    pub(crate) fn run_on<T: TestOutput>(&self, setup: Setup, once: impl Fn(Builder, MockClock) -> T) -> Explored<T> {
        let builder = || Builder::new().checkpoint_budget(setup.checkpoint_budget.unwrap_or(BUDGET));
        let once = |by: By| catch_unwind(AssertUnwindSafe(|| setup.run(by.of(builder()), &once)));
        match &self.0 {
            Strategy::Random(schedules) => random(*schedules, once),
            Strategy::Systematic(bound) => systematic(*bound, once),
            Strategy::Only(Schedule(Kind::Seed(seed))) => {
                let last = once(By::Seed(*seed));
                Explored::new(1, false, Schedule::seeded(*seed), last)
            }
            Strategy::Only(Schedule(Kind::Choices(choices))) => {
                let (last, guide) = guided(choices.clone(), once);
                if guide.is_astray() {
                    eprintln!("trio: the schedule is for another test, or for an earlier state of this one");
                }
                Explored::new(1, false, Schedule(Kind::Choices(choices.clone())), last)
            }
        }
    }
}

impl<T: TestOutput> Explored<T> {
    fn new(schedules: u64, exhaustive: bool, schedule: Schedule, last: thread::Result<T>) -> Self {
        let failed_under = fails(&last).then_some(schedule);
        Self { schedules, exhaustive, failed_under, last }
    }
}

impl<T> Explored<T> {
    /// Under how many schedules the test was run.
    pub fn schedules(&self) -> u64 {
        self.schedules
    }

    /// Whether there are no other schedules. Only a systematic search can know.
    pub fn is_exhaustive(&self) -> bool {
        self.exhaustive
    }

    /// The schedule under which the test failed. The same test fails again under [`Exploration::only`] this one.
    pub fn failed_under(&self) -> Option<&Schedule> {
        self.failed_under.as_ref()
    }

    /// What the last run of the test gave, which is the one that failed, if one did: `Err` with the payload if it panicked.
    pub fn into_last(self) -> thread::Result<T> {
        self.last
    }
}

impl Setup {
    fn run<T>(self, builder: Builder, once: impl Fn(Builder, MockClock) -> T) -> T {
        let clock = MockClock::new();
        if self.autojump {
            clock.set_autojump_threshold(Some(Duration::ZERO));
        }
        let builder = builder.fail_on_deadlock();
        let builder = if self.mock_clock || self.autojump { builder.clock(clock.clone()) } else { builder };
        once(builder, clock)
    }

    /// Runs a test once, first in, first out, each operation with its yield.
    pub(crate) fn run_once<T>(self, once: impl Fn(Builder, MockClock) -> T) -> T {
        self.run(Builder::new().checkpoint_budget(self.checkpoint_budget.unwrap_or(1)), once)
    }
}

/// Who chooses in one run of the test.
enum By {
    Seed(u64),
    Guide(Rc<Guide>),
}

impl By {
    fn of(self, builder: Builder) -> Builder {
        match self {
            Self::Seed(seed) => builder.seed(seed),
            Self::Guide(guide) => builder.guide(guide),
        }
    }
}

fn fails<T: TestOutput>(result: &thread::Result<T>) -> bool {
    result.as_ref().map_or(true, TestOutput::is_failure)
}

fn random<T: TestOutput>(schedules: u64, once: impl Fn(By) -> thread::Result<T>) -> Explored<T> {
    let mut seed = 0;
    loop {
        let last = once(By::Seed(seed));
        if fails(&last) || seed + 1 >= schedules {
            return Explored::new(seed + 1, false, Schedule::seeded(seed), last);
        }
        seed += 1;
    }
}

fn systematic<T: TestOutput>(bound: u64, once: impl Fn(By) -> thread::Result<T>) -> Explored<T> {
    // Each schedule is reached once, from the one without its last deviation.
    let mut waiting = VecDeque::from([Vec::new()]);
    let (mut schedules, mut left_out) = (0, false);
    loop {
        let choices: Vec<Deviation> = waiting.pop_front().expect("the search ends when nothing waits");
        let (last, guide) = guided(choices.clone(), &once);
        schedules += 1;
        let schedule = Schedule(Kind::Choices(choices.clone()));
        if fails(&last) {
            return Explored::new(schedules, false, schedule, last);
        }
        if guide.is_astray() {
            return Explored::new(schedules, false, schedule, catch_unwind(|| panic_any(ASTRAY)));
        }
        for next in one_more(&choices, &guide.alternatives()) {
            if schedules + waiting.len() as u64 >= bound {
                left_out = true;
                break;
            }
            waiting.push_back(next);
        }
        if waiting.is_empty() {
            return Explored::new(schedules, !left_out, schedule, last);
        }
    }
}

const ASTRAY: &str = "with the same choices the test took another course than before, so its schedules can't be told apart: \
    it depends on something that no schedule decides, such as real time, threads, or the order of a hash map";

/// The choices with one deviation more, behind the others.
fn one_more<'a>(choices: &'a [Deviation], alternatives: &'a [usize]) -> impl Iterator<Item = Vec<Deviation>> + 'a {
    let free = choices.last().map_or(0, |last| last.at + 1);
    (free..alternatives.len()).flat_map(move |at| {
        (1..alternatives[at]).map(move |choice| {
            let more = Deviation { at, choice, of: Some(alternatives[at]) };
            choices.iter().copied().chain([more]).collect()
        })
    })
}

fn guided<T>(choices: Vec<Deviation>, once: impl Fn(By) -> thread::Result<T>) -> (thread::Result<T>, Rc<Guide>) {
    let guide = Rc::new(Guide::new(choices));
    let last = once(By::Guide(Rc::clone(&guide)));
    (last, guide)
}
