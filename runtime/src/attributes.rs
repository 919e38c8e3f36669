//! What `#[trio::main]` and `#[trio::test]` expand to.
#![forbid(unsafe_code)]

use std::fmt;
use std::panic::resume_unwind;
use std::process::{ExitCode, Termination};

use crate::testing::explore::Setup;
use crate::testing::{Exploration, MockClock, Schedule, TestOutput};
use crate::{Builder, Clock, CtrlC, Instrument};

/// The exit code of a program that Ctrl-C ended, as shells have it: 128 + SIGINT.
const INTERRUPTED: u8 = 130;

/// Options of `#[trio::main]`.
pub struct MainOptions {
    builder: Builder,
}

impl fmt::Debug for MainOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.builder.fmt(f)
    }
}

impl Default for MainOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl MainOptions {
    /// The defaults: Ctrl-C cancels.
    pub const fn new() -> Self {
        Self { builder: Builder::new().ctrl_c(CtrlC::Cancel) }
    }

    /// `clock = …`
    #[must_use]
    pub fn clock(self, clock: impl Clock + 'static) -> Self {
        Self { builder: self.builder.clock(clock) }
    }

    /// `seed = …`
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { builder: self.builder.seed(seed) }
    }

    /// `instruments = …`
    #[must_use]
    pub fn instruments<I: Instrument + 'static>(self, instruments: impl IntoIterator<Item = I>) -> Self {
        Self { builder: instruments.into_iter().fold(self.builder, Builder::instrument) }
    }

    /// `ctrl_c = …`
    #[must_use]
    pub fn ctrl_c(self, policy: CtrlC) -> Self {
        Self { builder: self.builder.ctrl_c(policy) }
    }
}

/// Runs a main function.
#[track_caller]
pub fn run_main<F>(options: MainOptions, main: F) -> ExitCode
where
    F: Future,
    F::Output: Termination,
{
    let (output, interrupted) = options.builder.run_interruptible(main);
    let code = output.map_or_else(|| ExitCode::from(INTERRUPTED), Termination::report);
    if interrupted { ExitCode::from(INTERRUPTED) } else { code }
}

/// Options of `#[trio::test]`.
#[derive(Clone, Copy, Debug, Default)]
pub struct TestOptions {
    mock_clock: bool,
    autojump: bool,
    seed: Option<u64>,
    schedules: Option<u32>,
    systematic: bool,
    checkpoint_budget: Option<u32>,
}

/// How many schedules a systematic test tries that does not say so.
const SYSTEMATIC: u32 = 10_000;

impl TestOptions {
    /// The defaults: the real clock (a mock clock that stands still, if the test asks for one), first in, first out.
    pub const fn new() -> Self {
        Self {
            mock_clock: false,
            autojump: false,
            seed: None,
            schedules: None,
            systematic: false,
            checkpoint_budget: None,
        }
    }

    /// The test has a `clock: MockClock` parameter, so that is the clock it runs on.
    #[must_use]
    pub const fn mock_clock(mut self, mock_clock: bool) -> Self {
        self.mock_clock = mock_clock;
        self
    }

    /// `autojump`
    #[must_use]
    pub const fn autojump(mut self, autojump: bool) -> Self {
        self.autojump = autojump;
        self
    }

    /// `seed = …`
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// `schedules = …`
    #[must_use]
    pub const fn schedules(mut self, schedules: u32) -> Self {
        self.schedules = Some(schedules);
        self
    }

    /// `systematic`
    #[must_use]
    pub const fn systematic(mut self, systematic: bool) -> Self {
        self.systematic = systematic;
        self
    }

    /// `checkpoint_budget = …`
    #[must_use]
    pub const fn checkpoint_budget(mut self, operations: u32) -> Self {
        self.checkpoint_budget = Some(operations);
        self
    }

    /// The schedules to run the test under; `None` for a test that runs once, first in, first out.
    fn exploration(self) -> Option<Exploration> {
        if let Ok(text) = std::env::var("TRIO_SEED") {
            let schedule = text.parse().unwrap_or_else(|error| panic!("TRIO_SEED: {error}"));
            return Some(Exploration::only(schedule));
        }
        match self {
            Self { seed: Some(seed), .. } => Some(Exploration::only(Schedule::seeded(seed))),
            Self { systematic: true, schedules, .. } => {
                Some(Exploration::systematic(schedules.unwrap_or(SYSTEMATIC).into()))
            }
            Self { schedules: Some(schedules), .. } => Some(Exploration::random(schedules.into())),
            Self { schedules: None, .. } => None,
        }
    }
}

/// Runs a test: once, or under as many schedules as it asks for.
#[track_caller]
pub fn run_test<F, Fut>(name: &str, options: TestOptions, body: F) -> Fut::Output
where
    F: Fn(MockClock) -> Fut,
    Fut: Future,
    Fut::Output: TestOutput,
{
    let TestOptions { mock_clock, autojump, checkpoint_budget, .. } = options;
    let setup = Setup { mock_clock, autojump, checkpoint_budget };
    let once = |builder: Builder, clock| builder.run_from_heap(body(clock));
    let Some(exploration) = options.exploration() else { return setup.run_once(once) };
    let explored = exploration.run_on(setup, once);
    let test = name.split_once("::").map_or(name, |(_crate, test)| test);
    if let Some(schedule) = explored.failed_under() {
        eprintln!("trio: failed under schedule {schedule}; replay: TRIO_SEED={schedule} cargo test {test}");
    } else if explored.is_exhaustive() {
        println!("trio: {test} passed under each of its {} schedules", explored.schedules());
    } else if options.systematic {
        println!("trio: {test} passed under {} schedules, and there are more", explored.schedules());
    }
    explored.into_last().unwrap_or_else(|panic| resume_unwind(panic))
}
