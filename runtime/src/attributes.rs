//! What `#[trio::main]` and `#[trio::test]` expand to.
#![forbid(unsafe_code)]

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::{ExitCode, Termination};

use crate::testing::MockClock;
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
}

impl TestOptions {
    /// The defaults: the real clock (a mock clock that stands still, if the test asks for one), first in, first out.
    pub const fn new() -> Self {
        Self { mock_clock: false, autojump: false, seed: None, schedules: None }
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
}

/// What a test can return.
#[diagnostic::on_unimplemented(
    message = "a test can't return `{Self}`",
    label = "this is what the test returns",
    note = "a test returns `()`, a `Result` or an `ExitCode`"
)]
pub trait TestOutput {
    /// Whether the test failed by what it returned.
    fn is_failure(&self) -> bool;
}

impl TestOutput for () {
    fn is_failure(&self) -> bool {
        false
    }
}

impl<T, E> TestOutput for Result<T, E> {
    fn is_failure(&self) -> bool {
        self.is_err()
    }
}

impl TestOutput for ExitCode {
    fn is_failure(&self) -> bool {
        *self != Self::SUCCESS
    }
}

/// Runs a test: once, or under as many seeded schedules as it asks for.
#[track_caller]
pub fn run_test<F, Fut>(name: &str, options: TestOptions, body: F) -> Fut::Output
where
    F: Fn(MockClock) -> Fut,
    Fut: Future,
    Fut::Output: TestOutput,
{
    let replay = std::env::var("TRIO_SEED")
        .ok()
        .map(|seed| seed.trim().parse::<u64>().unwrap_or_else(|_| panic!("TRIO_SEED must be a number, not '{seed}'")));
    let fixed = replay.or(options.seed);
    let schedules = if fixed.is_some() { 1 } else { options.schedules.unwrap_or(1).max(1) };
    for schedule in 0.. {
        // Without `schedules` or a seed a test runs in first-in, first-out order.
        let seed = fixed.or_else(|| options.schedules.map(|_| u64::from(schedule)));
        let result = catch_unwind(AssertUnwindSafe(|| run_once(options, seed, &body)));
        let failed = result.as_ref().map_or(true, TestOutput::is_failure);
        if let (true, Some(seed)) = (failed, seed) {
            let test = name.split_once("::").map_or(name, |(_crate, test)| test);
            eprintln!("trio: failed under schedule seed {seed}; replay: TRIO_SEED={seed} cargo test {test}");
        }
        match result {
            Err(panic) => resume_unwind(panic),
            Ok(output) if failed || schedule + 1 >= schedules => return output,
            Ok(_) => {}
        }
    }
    unreachable!("the last schedule returns")
}

#[track_caller]
fn run_once<F, Fut>(options: TestOptions, seed: Option<u64>, body: &F) -> Fut::Output
where
    F: Fn(MockClock) -> Fut,
    Fut: Future,
{
    let mock = MockClock::new();
    if options.autojump {
        mock.set_autojump_threshold(Some(std::time::Duration::ZERO));
    }
    let mut builder = Builder::new().checkpoint_budget(1).fail_on_deadlock();
    if options.mock_clock || options.autojump {
        builder = builder.clock(mock.clone());
    }
    if let Some(seed) = seed {
        builder = builder.seed(seed);
    }
    builder.run(body(mock))
}
