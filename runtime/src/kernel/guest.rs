//! Guest mode: a run on top of somebody else's loop.
//!
//! The host calls the guest's *ticks*; between them the thread is in no run, so that it can do anything else, have other
//! guests, or be inside of a run itself. A tick makes some passes, and then has the host call the next one: at once, if
//! there is more to do, otherwise when the guest's I/O thread comes back from its wait. So there is always exactly one
//! of these: a tick that runs, a callback that the host has, or a wait that will give it one.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ThreadId};

use super::builder::Builder;
use super::guest_host::{GuestHost, HostCallback};
use super::guest_wait::{IoThread, callback};
use super::report::report;
use super::run::{Panic, Passes, Pause, Run};
use super::token::{RunFinishedError, Token};
use super::{context, system};

type Root = Pin<Box<dyn Future<Output = ()>>>;

thread_local! {
    /// The guests that this thread is host to.
    static GUESTS: RefCell<Guests> = RefCell::default();
}

#[derive(Default)]
struct Guests {
    all: HashMap<u64, Rc<Guest>>,
}

impl Drop for Guests {
    fn drop(&mut self) {
        // The host's thread ends.
        for (_, guest) in self.all.drain() {
            guest.abandoned();
        }
    }
}

/// The guest with this number; one that its host has lost is abandoned instead.
fn find(number: u64) -> Option<Rc<Guest>> {
    let guest = GUESTS.try_with(|guests| guests.borrow().all.get(&number).cloned()).ok().flatten()?;
    if guest.fate.lost.load(Ordering::SeqCst) && guest.state.get() != State::Busy {
        guest.abandon();
        return None;
    }
    Some(guest)
}

/// What threads know of a guest.
struct Fate {
    number: u64,
    /// The host's thread.
    home: ThreadId,
    /// A callback was dropped on another thread, so nobody will call the next tick.
    lost: AtomicBool,
    over: AtomicBool,
}

fn forget(number: u64) -> Option<Rc<Guest>> {
    GUESTS.try_with(|guests| guests.borrow_mut().all.remove(&number)).ok().flatten()
}

/// Why a guest run has no value.
#[non_exhaustive]
pub enum GuestError<T> {
    /// Ctrl-C was pressed, and the guest was to heed it ([`Builder::ctrl_c`]). If the main task came to its end all the same,
    /// that is its value.
    Interrupted(Option<T>),
    /// The main task, a system task, or a call from another thread has panicked, with this payload; or the run itself failed.
    Panicked(Box<dyn std::any::Any + Send>),
}

impl<T> fmt::Debug for GuestError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interrupted(value) => write!(f, "Interrupted(with a value: {})", value.is_some()),
            Self::Panicked(panic) => write!(f, "Panicked({:?})", super::run::panic_message(panic)),
        }
    }
}

impl<T> fmt::Display for GuestError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interrupted(_) => f.write_str("the guest run was interrupted by Ctrl-C"),
            Self::Panicked(panic) => write!(f, "the guest run panicked: {}", super::run::panic_message(panic)),
        }
    }
}

impl<T> std::error::Error for GuestError<T> {}

/// Starts a run on top of another loop, which goes on as before: Trio's `start_guest_run`.
///
/// The tasks run on this thread, in calls that the host's loop makes when it is asked to; the waiting for I/O and
/// deadlines is done on a thread of the guest's own. All else is as in any run: nurseries, cancellation, threads, signals. What the
/// guest's tasks compute keeps the host's loop from its work, as anything does that runs there; the host has its turn when all
/// tasks that were ready have taken a step, and some sixty steps have been taken.
///
/// When `main` and all system tasks have ended, `done` is called, once, by the host's loop, outside of the run.
/// This function returns before any task has taken a step; the [`GuestRun`] that it gives lets the host act on the run.
/// Dropping it has no effect.
///
/// **The host must go on** until `done` has been called. If it drops a callback without calling it, or its thread ends, the guest is
/// [abandoned](GuestRun::abandon): the tasks are dropped where they are, `done` is not called, and a message is printed. That is
/// done on the host's thread; where a callback is dropped on another one (by the guest's own, to which the host's queue was closed), it is
/// done at the next use of the [`GuestRun`], or at the end of the host's thread. A host that merely stops calling leaves the guest
/// standing, and so does one that calls a callback on another thread, which panics.
///
/// **Between the calls** the thread is in no run, so that it can be host to many guests, and call [`trio::run`](crate::run). What
/// needs the run ([`CancelHandle::cancel`](crate::CancelHandle::cancel), deadlines, spawning, sleeping) is done inside of
/// [`GuestRun::enter`], and has no effect, or panics, elsewhere. Waking works from anywhere: events, channels, tokens.
///
/// `wait_all_tasks_blocked` and the automatic jumps of a `MockClock` know of the guest's tasks only, not of what the host does.
///
/// # Panics
///
/// If the system refuses an I/O selector or a thread, or if the clock panics when it is started. A panic of the host's own function
/// comes out, here and of the callbacks, and the guest is abandoned.
///
/// # Examples
///
/// ```
/// use std::sync::mpsc::channel;
/// use std::time::Duration;
/// use trio::lowlevel::{GuestHost, HostCallback, start_guest_run};
///
/// enum Event {
///     Call(HostCallback),
///     Done(u32),
/// }
/// let (sender, events) = channel();
/// let (for_guest, for_end) = (sender.clone(), sender.clone());
/// let host = GuestHost::new(move |callback| {
///     let _ = for_guest.send(Event::Call(callback));
/// });
/// let main = async {
///     trio::sleep(Duration::from_millis(1)).await;
///     42
/// };
/// start_guest_run(main, host, move |outcome| for_end.send(Event::Done(outcome.unwrap())).unwrap());
/// // The host's loop.
/// let answer = loop {
///     match events.recv().unwrap() {
///         Event::Call(callback) => callback(),
///         Event::Done(answer) => break answer,
///     }
/// };
/// assert_eq!(answer, 42);
/// ```
#[track_caller]
pub fn start_guest_run<F: Future + 'static>(
    main: F,
    host: GuestHost,
    done: impl FnOnce(Result<F::Output, GuestError<F::Output>>) + 'static,
) -> GuestRun {
    Builder::new().start_guest_run(main, host, done)
}

impl Builder {
    /// Starts a run with these options on top of another loop. See [`start_guest_run`].
    ///
    /// # Panics
    ///
    /// As `start_guest_run`.
    #[track_caller]
    pub fn start_guest_run<F: Future + 'static>(
        mut self,
        main: F,
        host: GuestHost,
        done: impl FnOnce(Result<F::Output, GuestError<F::Output>>) + 'static,
    ) -> GuestRun {
        let (ctrl_c, location) = (self.ctrl_c, Location::caller());
        let instruments = std::mem::take(&mut self.instruments);
        let run = Run::new(self);
        let name: Cow<'static, str> = Cow::Borrowed(std::any::type_name::<F>());
        let value = Rc::new(Cell::new(None));
        let slot = Rc::clone(&value);
        let root: Root = Box::pin(async move { slot.set(system::root(name, location, main, ctrl_c).await) });
        let done = Box::new(move |panic: Option<Panic>, interrupted: bool| {
            done(match (panic, value.take()) {
                (Some(panic), _) => Err(GuestError::Panicked(panic)),
                (None, Some(value)) if !interrupted => Ok(value),
                (None, value) => Err(GuestError::Interrupted(value)),
            });
        });
        let number = run.opened.run;
        let fate = Arc::new(Fate { number, home: thread::current().id(), lost: false.into(), over: false.into() });
        let (threadsafe, its_fate) = (host.threadsafe.clone(), Arc::clone(&fate));
        let io = IoThread::start(run.reactor.kick(), move || threadsafe(tick_callback(&its_fate)));
        let io = io.unwrap_or_else(|error| panic!("there is no thread for the guest run's I/O: {error}"));
        let guest = Rc::new(Guest {
            // Counts as something that can wake the run at any time: so can the host.
            token: run.token(),
            fate,
            state: Cell::new(State::Busy),
            waits: Cell::new(None),
            host,
            io: RefCell::new(Some(io)),
            root: RefCell::new(Some(root)),
            done: RefCell::new(Some(done)),
            run,
        });
        GUESTS.with(|guests| guests.borrow_mut().all.insert(number, Rc::clone(&guest)));
        {
            let _entered = context::enter_nested(&guest.run);
            guest.run.begin(instruments);
        }
        let token = guest.token.clone();
        guest.call_soon();
        GuestRun { number, token, _on_its_thread: PhantomData }
    }
}

/// What the host is given to call.
fn tick_callback(fate: &Arc<Fate>) -> HostCallback {
    let fate = Arc::clone(fate);
    callback(move |called| {
        let here = thread::current().id() == fate.home;
        match (called, here) {
            (true, true) => {
                if let Some(guest) = find(fate.number) {
                    guest.tick();
                }
            }
            (true, false) => panic!("a guest run's callback must be called on the thread that started the guest"),
            (false, true) => {
                if let Some(guest) = find(fate.number) {
                    guest.dropped_by_host();
                }
            }
            (false, false) => {
                // Its tasks can be dropped on their own thread only.
                if !fate.over.load(Ordering::SeqCst) && !fate.lost.swap(true, Ordering::SeqCst) {
                    report(format_args!("{ABANDONED}"));
                }
            }
        }
    })
}

const ABANDONED: &str = "a guest run was abandoned: its host loop ended, or dropped a callback, before the run had";

/// Who acts next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A tick, or something around it.
    Busy,
    /// The host, which has a callback.
    Called,
    /// The I/O thread.
    Waiting,
    Over,
}

/// What a tick has come to.
enum Next {
    Soon,
    Waiting,
    Ended,
}

struct Guest {
    fate: Arc<Fate>,
    state: Cell<State>,
    /// What the I/O thread waits for.
    waits: Cell<Option<Pause>>,
    host: GuestHost,
    io: RefCell<Option<IoThread>>,
    root: RefCell<Option<Root>>,
    done: RefCell<Option<Done>>,
    token: Token,
    /// Dropped last: what is above may point into it.
    run: Run,
}

type Done = Box<dyn FnOnce(Option<Panic>, bool)>;

impl Guest {
    /// Has the host call the next tick.
    fn call_soon(self: &Rc<Self>) {
        self.state.set(State::Called);
        let asked = catch_unwind(AssertUnwindSafe(|| self.host.run_here(tick_callback(&self.fate))));
        if let Err(panic) = asked {
            // The callback may have gone with it, or is lost.
            self.abandoned();
            resume_unwind(panic);
        }
    }

    /// Called by the host's loop.
    fn tick(self: &Rc<Self>) {
        // Another state: the host kept a callback of a guest that it has abandoned.
        if self.state.get() != State::Called && self.state.get() != State::Waiting {
            return;
        }
        self.state.set(State::Busy);
        let next = {
            let _entered = context::enter_nested(&self.run);
            catch_unwind(AssertUnwindSafe(|| self.turn()))
        };
        match next {
            Ok(Next::Soon) => self.call_soon(),
            Ok(Next::Waiting) => {}
            Ok(Next::Ended) => self.end(None),
            Err(panic) => self.end(Some(panic)),
        }
    }

    /// As `Run::drive`, but for one turn.
    fn turn(&self) -> Next {
        let run = &self.run;
        if let Some(pause) = self.waits.take() {
            let waited = self.io.borrow().as_ref().and_then(IoThread::waited).expect("the wait has ended");
            let result = waited.result.unwrap_or_else(|panic| resume_unwind(panic));
            result.unwrap_or_else(|error| panic!("trio's I/O selector failed: {error}"));
            let look = run.end_wait(pause, waited.selector);
            if run.has_paused(pause, look) {
                return self.wait(Pause::ENDLESS);
            }
        }
        // Taken out, since a step may end up in here again, if it runs the host's loop.
        let mut root = self.root.take().expect("a guest that is not over has its tasks");
        let passes = catch_unwind(AssertUnwindSafe(|| run.some_passes(&mut root)));
        self.root.replace(Some(root));
        match passes {
            Ok(Passes::Ended) => Next::Ended,
            Ok(Passes::MoreToDo) => Next::Soon,
            Ok(Passes::Idle) => match run.plan() {
                None => Next::Soon,
                Some(pause) if pause.timeout.is_some_and(|timeout| timeout.is_zero()) => {
                    let look = run.glance();
                    if run.has_paused(pause, look) { self.wait(Pause::ENDLESS) } else { Next::Soon }
                }
                Some(pause) => self.wait(pause),
            },
            Err(panic) => resume_unwind(panic),
        }
    }

    /// Lets the I/O thread wait.
    fn wait(&self, pause: Pause) -> Next {
        let Some(selector) = self.run.begin_wait(pause) else {
            // There is mail already.
            let _ = self.run.glance();
            return Next::Soon;
        };
        self.waits.set(Some(pause));
        // Before the host can be told that it has ended.
        self.state.set(State::Waiting);
        self.io.borrow().as_ref().expect("a guest that is not over has its thread").wait(selector, pause.timeout);
        Next::Waiting
    }

    /// The run has come to its end.
    fn end(self: &Rc<Self>, panic: Option<Panic>) {
        let first = self.take_down(|run| run.wind_up());
        let last = catch_unwind(AssertUnwindSafe(|| system::finish(&self.run)));
        let panic = panic.or(first).or_else(|| last.err());
        let done = self.done.take();
        if let Some(done) = done {
            done(panic, self.run.system.interrupted.get());
        }
    }

    /// Drops all tasks, and what belongs to them; gives a panic of theirs.
    fn take_down(self: &Rc<Self>, wind_up: impl FnOnce(&Run)) -> Option<Panic> {
        self.state.set(State::Over);
        self.fate.over.store(true, Ordering::SeqCst);
        drop(forget(self.fate.number));
        let io = self.io.take();
        drop(io);
        let _entered = context::enter_nested(&self.run);
        let root = self.root.take();
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(root)));
        let wound_up = catch_unwind(AssertUnwindSafe(|| wind_up(&self.run)));
        dropped.err().or_else(|| wound_up.err())
    }

    /// The host has dropped the callback that it had, perhaps inside of the call in which it got it: code of the guest's own is
    /// on no stack.
    fn dropped_by_host(self: &Rc<Self>) {
        if matches!(self.state.get(), State::Called | State::Waiting) {
            self.abandoned();
        }
    }

    /// Says so, and drops everything.
    fn abandoned(self: &Rc<Self>) {
        if self.state.get() != State::Over {
            report(format_args!("{ABANDONED}"));
            self.abandon();
        }
    }

    /// Drops everything.
    fn abandon(self: &Rc<Self>) {
        let panic = self.take_down(|run| {
            drop(run.opened.inbox.close());
            run.forget_variables();
        });
        drop(self.done.take());
        // Its message has been printed, and there is nobody to give it to.
        std::mem::forget(panic);
    }
}

/// A host's hold on its guest: see [`start_guest_run`]. It stays on the host's thread.
///
/// # Examples
///
/// ```
/// use std::sync::mpsc::channel;
/// use trio::lowlevel::{GuestHost, HostCallback, start_guest_run};
/// let (sender, queue) = channel::<HostCallback>();
/// let host = GuestHost::new(move |callback| sender.send(callback).unwrap());
/// let scope = trio::CancelScope::new();
/// let handle = scope.handle();
/// let guest = start_guest_run(scope.run(trio::sleep_forever()), host, |outcome| assert!(outcome.unwrap().is_none()));
/// // The host has a button to stop it.
/// guest.enter(|| handle.cancel()).unwrap();
/// while !guest.is_finished() {
///     queue.recv().unwrap()();
/// }
/// ```
pub struct GuestRun {
    number: u64,
    token: Token,
    /// The guest is this thread's.
    _on_its_thread: PhantomData<*const ()>,
}

impl GuestRun {
    /// Calls `f` at once, as a part of the run: what needs one works in it. Then the guest looks what has changed.
    ///
    /// # Errors
    ///
    /// [`RunFinishedError`] if the run has ended; `f` was not called.
    pub fn enter<R>(&self, f: impl FnOnce() -> R) -> Result<R, RunFinishedError> {
        let guest = find(self.number).ok_or(RunFinishedError)?;
        if context::is_in(&guest.run) {
            return Ok(f());
        }
        /// Also if `f` panics.
        struct Kick<'a>(&'a Guest);
        impl Drop for Kick<'_> {
            fn drop(&mut self) {
                if self.0.state.get() == State::Waiting {
                    self.0.io.borrow().iter().for_each(IoThread::kick);
                }
            }
        }
        let _kick = Kick(&guest);
        let _entered = context::enter_nested(&guest.run);
        Ok(f())
    }

    /// The run's token, for other threads. It works on this one, too.
    pub fn token(&self) -> Token {
        self.token.clone()
    }

    /// Whether the run has ended.
    pub fn is_finished(&self) -> bool {
        find(self.number).is_none()
    }

    /// Gives the run up: drops all its tasks where they are, shielded or not, and never calls `done`. For a host that can't
    /// wait for its end, which is to be preferred.
    ///
    /// # Panics
    ///
    /// If it is called by the run itself, or by what that has called.
    pub fn abandon(self) {
        if let Some(guest) = find(self.number) {
            assert!(
                guest.state.get() != State::Busy && !context::is_in(&guest.run),
                "a guest run can't be abandoned from inside"
            );
            guest.abandon();
        }
    }
}

impl fmt::Debug for GuestRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuestRun").field("run", &self.number).field("finished", &self.is_finished()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::mpsc::channel;

    use super::super::guest_wait::Waited;
    use super::*;

    // trio: _core/_tests/test_guest_mode.py::test_guest_mode_internal_errors
    #[test]
    fn a_wait_that_fails_on_its_thread_ends_the_guest() {
        let panic: Panic = Box::new("the thread is gone");
        let failures = [Ok(Err(io::Error::other("the selector is gone"))), Err(panic)];
        for (failure, text) in failures.into_iter().zip(["the selector is gone", "the thread is gone"]) {
            let (sender, queue) = channel::<HostCallback>();
            let told = Rc::new(RefCell::new(String::new()));
            let tell = Rc::clone(&told);
            let host = GuestHost::new(move |callback| sender.send(callback).unwrap());
            let run = start_guest_run(crate::sleep_forever(), host, move |outcome| {
                *tell.borrow_mut() = outcome.unwrap_err().to_string();
            });
            let guest = find(run.number).unwrap();
            while guest.state.get() != State::Waiting {
                queue.recv().unwrap()();
            }
            guest.io.borrow().as_ref().unwrap().kick();
            let last = queue.recv().unwrap();
            {
                let io = guest.io.borrow();
                let Waited { selector, .. } = io.as_ref().unwrap().waited().unwrap();
                io.as_ref().unwrap().put(Waited { selector, result: failure });
            }
            last();
            assert!(run.is_finished());
            assert!(told.borrow().contains(text), "{}", told.borrow());
        }
    }
}
