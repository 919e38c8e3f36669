//! How a run is started: its options, and `run`.

use std::borrow::Cow;
use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::rc::Rc;

use super::clock::Clock;
use super::instrument::Instrument;
use super::run::Run;
use super::schedule::Guide;
use super::{context, deadlock, system};

/// Runs an async program to its end and returns its value.
///
/// `main` becomes the *main task*. When it ends, system tasks are cancelled, and `run` returns once every task
/// is gone. A panic in `main` comes out of `run`. Everything happens on the calling thread.
///
/// # Panics
///
/// If this thread is inside a run already, if the system refuses an I/O selector, or if a system task panicked.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// let answer = trio::run(async {
///     trio::sleep(Duration::from_millis(1)).await;
///     42
/// });
/// assert_eq!(answer, 42);
/// ```
#[track_caller]
pub fn run<F: Future>(main: F) -> F::Output {
    Builder::new().run(main)
}

/// What Ctrl-C (SIGINT) does to a run that `#[trio::main]` or [`Builder::ctrl_c`] set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum CtrlC {
    /// The first cancels the main task, so that every `Drop` and [`finally`](crate::finally) runs; the second
    /// kills the process.
    Cancel,
    /// Leave the process's signal handling alone.
    #[default]
    Ignore,
}

/// Options of a run. [`run`] is this with all of them at their defaults.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use trio::testing::MockClock;
///
/// // A day passes in no time.
/// trio::Builder::new()
///     .clock(MockClock::new().autojump())
///     .run(trio::sleep(Duration::from_secs(86_400)));
/// ```
#[must_use = "a builder does nothing until `run` is called"]
pub struct Builder {
    pub(super) clock: Option<Box<dyn Clock>>,
    pub(super) seed: Option<u64>,
    pub(super) guide: Option<Rc<Guide>>,
    pub(super) checkpoint_budget: u32,
    pub(super) ctrl_c: CtrlC,
    pub(super) on_deadlock: deadlock::Action,
    pub(super) instruments: Vec<Rc<dyn Instrument>>,
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("clock", &self.clock.as_ref().map_or("system", |_| "custom"))
            .field("seed", &self.seed)
            .field("checkpoint_budget", &self.checkpoint_budget)
            .field("ctrl_c", &self.ctrl_c)
            .finish_non_exhaustive()
    }
}

impl Builder {
    /// The default options: the system's clock, tasks in the order in which they were woken, 32 operations a
    /// step, no handling of Ctrl-C.
    pub const fn new() -> Self {
        Self {
            clock: None,
            seed: None,
            guide: None,
            checkpoint_budget: 32,
            ctrl_c: CtrlC::Ignore,
            on_deadlock: deadlock::Action::Report,
            instruments: Vec::new(),
        }
    }

    /// The clock that all deadlines and sleeps of the run use.
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Some(Box::new(clock));
        self
    }

    /// Lets this seed decide what nobody promised: the order in which ready tasks take their steps, in every pass; the
    /// order of deadlines of the same instant; and which of the operations that need not wait yield, within the
    /// [budget](Self::checkpoint_budget). The same program with the same seed and without outside influence
    /// runs in the same order each time.
    ///
    /// Python's Trio shuffles the order of tasks always, so that programs do not come to depend on it; here this is for
    /// tests, and without a seed the order is first in, first out. See [`testing::Exploration`](crate::testing::Exploration).
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// How many operations that need not wait a task may complete within one step before the next one yields
    /// to the other tasks: 32 unless set. With 1 every operation yields, which is Trio's own rule and the
    /// default under `#[trio::test]`. 0 is taken as 1.
    pub const fn checkpoint_budget(mut self, operations: u32) -> Self {
        self.checkpoint_budget = operations;
        self
    }

    /// Adds an instrument, which is told of all that the run does.
    pub fn instrument(mut self, instrument: impl Instrument + 'static) -> Self {
        self.instruments.push(Rc::new(instrument));
        self
    }

    /// What Ctrl-C does; nothing of trio's unless set.
    pub const fn ctrl_c(mut self, policy: CtrlC) -> Self {
        self.ctrl_c = policy;
        self
    }

    /// Lets the guide decide, as [`seed`](Self::seed) does.
    pub(crate) fn guide(mut self, guide: Rc<Guide>) -> Self {
        self.guide = Some(guide);
        self
    }

    /// Makes a run that can never make progress again panic with its task tree, instead of reporting it once
    /// and waiting on. `#[trio::test]` does this.
    pub(crate) const fn fail_on_deadlock(mut self) -> Self {
        self.on_deadlock = deadlock::Action::Panic;
        self
    }

    /// Runs `main` with these options. See [`run`].
    ///
    /// # Panics
    ///
    /// As [`run`]; and, with [`CtrlC::Cancel`], if Ctrl-C cancelled the main task, so that there is no value
    /// (`#[trio::main]` exits with 130 then).
    #[track_caller]
    pub fn run<F: Future>(self, main: F) -> F::Output {
        match self.run_interruptible(main) {
            (Some(output), _) => output,
            (None, _) => panic!("the main task was cancelled by Ctrl-C"),
        }
    }

    /// As [`run`](Self::run), with `main` on the heap: in a debug build a future is copied on its way to its task, and the
    /// stacks of test threads are small.
    #[track_caller]
    pub(crate) fn run_from_heap<F: Future>(self, main: F) -> F::Output {
        let (output, _) = self.run_named(std::any::type_name::<F>(), Box::pin(main));
        output.unwrap_or_else(|| panic!("the main task was cancelled by Ctrl-C"))
    }

    /// Runs `main`; `None` if Ctrl-C cancelled it. Also says whether Ctrl-C was pressed.
    #[track_caller]
    pub(crate) fn run_interruptible<F: Future>(self, main: F) -> (Option<F::Output>, bool) {
        self.run_named(std::any::type_name::<F>(), main)
    }

    #[track_caller]
    fn run_named<F: Future>(mut self, name: &'static str, main: F) -> (Option<F::Output>, bool) {
        assert!(
            context::try_with(|_| ()).is_none(),
            "trio::run was called from inside a trio run on this thread: await the future, or open a nursery, instead"
        );
        let (ctrl_c, location) = (self.ctrl_c, Location::caller());
        let instruments = std::mem::take(&mut self.instruments);
        let run = Run::new(self);
        let entered = context::enter(&run).expect("this thread was found to be in no run just now");
        run.begin(instruments);
        let result = {
            let root = system::root(Cow::Borrowed(name), location, main, ctrl_c);
            catch_unwind(AssertUnwindSafe(|| run.drive(root)))
        };
        run.wind_up();
        drop(entered);
        system::finish(&run);
        match result {
            Ok(output) => (output, run.system.interrupted.get()),
            Err(panic) => resume_unwind(panic),
        }
    }
}

impl Run {
    /// What comes before the first pass.
    pub(super) fn begin(&self, instruments: Vec<Rc<dyn Instrument>>) {
        for instrument in instruments {
            self.add_instrument(instrument);
        }
        self.tell_before_run();
    }

    /// What comes after the last one.
    pub(super) fn wind_up(&self) {
        // Every call that was accepted is made before the run returns.
        let rest = self.opened.inbox.close();
        self.make_calls(rest.calls, rest.idempotent);
        self.tell_after_run();
        self.forget_variables();
    }
}
