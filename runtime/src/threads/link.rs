//! What ties a worker thread to the task that it works for.

use std::cell::RefCell;
use std::fmt;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use crate::kernel::reason::CancelReason;
use crate::kernel::system::takes_system_tasks;
use crate::kernel::token::Address;
use crate::kernel::waker::{wake_word, word_of};
use crate::kernel::word::Word;
use crate::lowlevel::spawn_system_task;

/// Something that a thread wants done in the run, with its answer taken care of.
pub(super) enum Message {
    Sync(Box<dyn FnOnce() + Send>),
    /// Makes a future; calls no code of the user's before that is polled.
    Async(Box<dyn FnOnce() -> Answering + Send>),
}

/// A future that answers a thread, also by being dropped.
pub(super) type Answering = Pin<Box<dyn Future<Output = ()>>>;

/// The call that a thread works for has been cancelled: what Trio's `from_thread` functions raise `Cancelled` for.
///
/// # Examples
///
/// ```
/// use trio::{from_thread, to_thread};
/// fn add_up(numbers: Vec<u64>) -> Result<u64, from_thread::CancelledError> {
///     let mut sum = 0;
///     for some in numbers.chunks(1000) {
///         from_thread::check_cancelled()?;
///         sum += some.iter().sum::<u64>();
///     }
///     Ok(sum)
/// }
/// let sum = trio::run(to_thread::run_sync(|| add_up((1..=10_000).collect())));
/// assert_eq!(sum, Ok(50_005_000));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CancelledError {
    reason: Option<CancelReason>,
}

impl CancelledError {
    pub(super) const fn new(reason: Option<CancelReason>) -> Self {
        Self { reason }
    }

    /// Why it was cancelled; `None` if it was dropped by code that is not trio's.
    pub const fn reason(&self) -> Option<&CancelReason> {
        self.reason.as_ref()
    }
}

impl fmt::Display for CancelledError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Some(reason) => reason.fmt(f),
            None => f.write_str("cancelled: nobody waits for it any more"),
        }
    }
}

impl std::error::Error for CancelledError {}

/// How a thread wakes the task that waits for it.
pub(super) enum HostWaker {
    Ours(Word),
    Foreign(Waker),
}

impl HostWaker {
    /// Runs foreign code (the clone of a foreign waker).
    pub(super) fn new(waker: &Waker) -> Self {
        word_of(waker).map_or_else(|| Self::Foreign(waker.clone()), Self::Ours)
    }

    pub(super) fn wake(self) {
        match self {
            Self::Ours(word) => wake_word(word),
            Self::Foreign(waker) => waker.wake(),
        }
    }
}

/// One call's meeting place of thread and task.
pub(super) struct Link {
    /// The task's run.
    pub(super) address: Address,
    /// The call's number in its run.
    pub(super) number: u64,
    /// A cancelled task leaves the thread to itself; so what the thread wants done is never done in the task.
    pub(super) abandonable: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    host: Host,
    /// Blocks the thread, so there is one at most.
    message: Option<Message>,
    cancelled: Option<CancelledError>,
    /// The cancellation was before the answer, which so comes to nobody.
    abandoned: bool,
}

#[derive(Default)]
enum Host {
    /// It will look here.
    #[default]
    Awake,
    Waiting(HostWaker),
    /// The thread has come to its end, and the task has not fetched the result yet.
    Answered,
    /// It has been cancelled or dropped.
    Gone,
}

/// What the task finds when it looks.
pub(super) enum News {
    None,
    Message(Message),
    Answered,
}

impl Link {
    pub(super) fn new(address: Address, number: u64, abandonable: bool) -> Self {
        Self { address, number, abandonable, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ------------------------------------------------------------------ the task's side

    /// Looks for news; if there are none, the waker is woken when there are. Gives the waker that has been replaced, to
    /// be dropped by the caller. A task that is cancelled gets no answer that came after the cancellation, if it may go.
    pub(super) fn look(&self, waker: HostWaker, is_cancelled: bool) -> (News, Option<HostWaker>) {
        let mut state = self.lock();
        if let Some(message) = state.message.take() {
            return (News::Message(message), Some(waker));
        }
        match state.host {
            Host::Answered if is_cancelled && state.abandoned => (News::None, Some(waker)),
            Host::Answered => (News::Answered, Some(waker)),
            _ => match mem::replace(&mut state.host, Host::Waiting(waker)) {
                Host::Waiting(old) => (News::None, Some(old)),
                _ => (News::None, None),
            },
        }
    }

    /// Notes that the call has been cancelled; the first reason stays.
    pub(super) fn cancel(&self, reason: Option<CancelReason>) {
        let mut state = self.lock();
        if !matches!(state.host, Host::Answered) {
            state.abandoned = self.abandonable;
            state.cancelled.get_or_insert(CancelledError { reason });
        }
    }

    /// The task does not wait any more. Gives whether the thread had answered.
    pub(super) fn leave(&self) -> bool {
        let mut state = self.lock();
        let host = mem::replace(&mut state.host, Host::Gone);
        let message = state.message.take();
        let answered = matches!(host, Host::Answered);
        if !answered {
            state.cancelled.get_or_insert(CancelledError { reason: None });
        }
        drop(state);
        if let Some(message) = message {
            self.send_elsewhere(message);
        }
        answered
    }

    /// Why the call was cancelled, if it was.
    pub(super) fn cancelled(&self) -> Option<CancelledError> {
        self.lock().cancelled.clone()
    }

    // ------------------------------------------------------------------ the thread's side

    /// Has something done in the task, or by the run itself where that can't be.
    pub(super) fn send(&self, message: Message) {
        let mut state = self.lock();
        if self.abandonable || matches!(state.host, Host::Gone) {
            drop(state);
            return self.send_elsewhere(message);
        }
        state.message = Some(message);
        Self::wake(state);
    }

    fn send_elsewhere(&self, message: Message) {
        send_to_run(self.address, "a call from a thread", message);
    }

    /// The thread has left its result. Gives whether somebody will fetch it.
    pub(super) fn answer(&self) -> bool {
        let state = self.lock();
        if matches!(state.host, Host::Gone) {
            return false;
        }
        Self::wake_for(state, Host::Answered);
        true
    }

    fn wake(state: MutexGuard<'_, State>) {
        Self::wake_for(state, Host::Awake);
    }

    fn wake_for(mut state: MutexGuard<'_, State>, host: Host) {
        let before = mem::replace(&mut state.host, host);
        drop(state);
        if let Host::Waiting(waker) = before {
            waker.wake();
        }
    }
}

/// Has something done by the run itself: a function between two steps of tasks, a future as a system task.
///
/// If the run has ended, or takes no system tasks any more, the message is dropped, which its sender notices.
pub(super) fn send_to_run(address: Address, name: &'static str, message: Message) {
    let call: Box<dyn FnOnce() + Send> = match message {
        Message::Sync(call) => call,
        Message::Async(make) => Box::new(move || {
            if takes_system_tasks() {
                let _ = spawn_system_task(name, make());
            }
        }),
    };
    let _ = address.call(call);
}

thread_local! {
    /// The call that this thread works for.
    static CURRENT: RefCell<Option<Arc<Link>>> = const { RefCell::new(None) };
}

/// Makes a link the current thread's own until dropped.
pub(super) struct Entered(());

impl Entered {
    pub(super) fn new(link: Arc<Link>) -> Self {
        CURRENT.set(Some(link));
        Self(())
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        drop(CURRENT.take());
    }
}

/// The call that this thread works for.
pub(super) fn current() -> Option<Arc<Link>> {
    CURRENT.with_borrow(Option::clone)
}
