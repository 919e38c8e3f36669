//! The one thread-safe door into a run: wakes and calls from other threads.
//!
//! Inboxes are never freed, only reused by later runs, so a waker that outlives its run finds at worst
//! an inbox that is closed or another run's, where its stale word fails the generation check.
//! Invariant: an inbox that is not open holds nothing.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::idempotent::{Idempotent, Key};
use super::word::{MAX_RUNS, Word};

/// A function that another thread wants called on the run's thread.
pub(crate) type Call = Box<dyn FnOnce() + Send>;

/// What a waker did on a thread that is not its run's.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Note {
    /// Wake the task.
    Wake(Word),
    /// Foreign code has cloned the waker.
    Cloned(Word),
    /// A clone that foreign code had made of the waker is gone.
    Dropped(Word),
}

#[derive(Default)]
struct State {
    /// The run that reads this inbox; 0 while it is closed.
    run: u64,
    notes: Vec<Note>,
    calls: VecDeque<Call>,
    idempotent: Idempotent,
    kick: Option<Arc<mio::Waker>>,
}

impl State {
    fn is_empty(&self) -> bool {
        self.notes.is_empty() && self.calls.is_empty() && self.idempotent.len() == 0
    }

    fn take(&mut self) -> Mail {
        let idempotent = self.idempotent.len();
        Mail { notes: std::mem::take(&mut self.notes), calls: std::mem::take(&mut self.calls), idempotent }
    }
}

/// One run's inbox.
#[derive(Default)]
pub(crate) struct Inbox {
    /// True whenever `state` holds a note or a call; read by the run on every pass without the lock.
    pending: AtomicBool,
    /// Set while the run's thread is, or is about to be, blocked in the reactor. Who brings something says so (`pending`)
    /// before it looks here, and the run says that it parks before it looks there, in one order for all: so one of
    /// them sees the other.
    parked: AtomicBool,
    state: Mutex<State>,
}

/// What the run takes out at once.
#[derive(Default)]
pub(crate) struct Mail {
    pub(crate) notes: Vec<Note>,
    pub(crate) calls: VecDeque<Call>,
    /// How many idempotent calls there are to take besides.
    pub(crate) idempotent: usize,
}

struct Registry {
    all: Vec<&'static Inbox>,
    /// Oldest first, so that a slot rests as long as possible before another run gets it.
    free: VecDeque<u16>,
    last_run: u64,
}

static REGISTRY: RwLock<Registry> = RwLock::new(Registry { all: Vec::new(), free: VecDeque::new(), last_run: 0 });

/// A run's own inbox; closes it when dropped.
pub(crate) struct Opened {
    pub(crate) inbox: &'static Inbox,
    /// The inbox's place, which is the run part of the run's words.
    pub(crate) slot: u16,
    /// A number that no other run of the process has.
    pub(crate) run: u64,
}

/// Opens an inbox for a new run; `kick` must interrupt the run's blocking wait.
pub(crate) fn open(kick: Arc<mio::Waker>) -> Opened {
    let mut registry = REGISTRY.write().unwrap_or_else(PoisonError::into_inner);
    let slot = registry.free.pop_front().unwrap_or_else(|| {
        let slot = registry.all.len();
        assert!(slot < MAX_RUNS, "too many trio runs at one time in this process");
        registry.all.push(Box::leak(Box::default()));
        slot as u16
    });
    registry.last_run += 1;
    let run = registry.last_run;
    let inbox = registry.all[slot as usize];
    let mut state = inbox.lock();
    state.run = run;
    state.kick = Some(kick);
    drop(state);
    inbox.parked.store(false, Ordering::Relaxed);
    Opened { inbox, slot, run }
}

impl Drop for Opened {
    fn drop(&mut self) {
        let _ = self.inbox.close();
        while self.inbox.take_idempotent().is_some() {}
        let mut registry = REGISTRY.write().unwrap_or_else(PoisonError::into_inner);
        registry.free.push_back(self.slot);
    }
}

/// Delivers a note to whichever run has the word's slot now.
pub(crate) fn post(note: Note) {
    let (Note::Wake(word) | Note::Cloned(word) | Note::Dropped(word)) = note;
    let inbox = {
        let registry = REGISTRY.read().unwrap_or_else(PoisonError::into_inner);
        registry.all.get(word.run() as usize).copied()
    };
    if let Some(inbox) = inbox {
        inbox.push(|state| state.notes.push(note));
    }
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, add: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        if state.run == 0 {
            return;
        }
        add(&mut state);
        self.announce(&state);
    }

    /// Something has come.
    fn announce(&self, state: &State) {
        self.pending.store(true, Ordering::SeqCst);
        // The first one after parking kicks; the run clears `parked` when it comes back.
        if self.parked.swap(false, Ordering::SeqCst) {
            // Failing to write to an eventfd or pipe of our own means that it is full: a kick is under way.
            let _ = state.kick.as_ref().map(|kick| kick.wake());
        }
    }

    /// Hands a call to run number `run`, or gives it back when that run has ended.
    pub(crate) fn call(&self, run: u64, call: Call) -> Result<(), Call> {
        let mut call = Some(call);
        if self.lock().run == run {
            self.push(|state| {
                // Checked again: the run may have ended between the two locks.
                if state.run == run {
                    state.calls.extend(call.take());
                }
            });
        }
        call.map_or(Ok(()), Err)
    }

    /// As [`call`](Self::call), unless a call with this key waits already.
    ///
    /// Compares keys, which is foreign code, under the lock: it may panic, but not come back here.
    pub(crate) fn call_idempotent(&self, run: u64, key: Key, call: Call) -> Result<(), Call> {
        let mut state = self.lock();
        if state.run != run {
            return Err(call);
        }
        // Asked before the key and the call are given away: they are foreign, and are dropped when nothing is locked, also if
        // the comparison panics.
        if !state.idempotent.knows(&key) {
            state.idempotent.push(key, call);
            self.announce(&state);
        }
        Ok(())
    }

    /// Takes the idempotent call that has waited longest. From now on another one with its key is a new one.
    pub(crate) fn take_idempotent(&self) -> Option<Call> {
        let mut state = self.lock();
        let taken = state.idempotent.pop();
        self.pending.store(!state.is_empty(), Ordering::Relaxed);
        drop(state);
        // The key is foreign: it is dropped when nothing is locked.
        taken.map(|(_key, call)| call)
    }

    /// How many idempotent calls wait to be taken.
    pub(crate) fn idempotent(&self) -> usize {
        self.lock().idempotent.len()
    }

    /// How many calls wait to be taken.
    pub(crate) fn calls(&self) -> usize {
        let state = self.lock();
        state.calls.len() + state.idempotent.len()
    }

    /// Whether something waits to be taken.
    pub(crate) fn has_mail(&self) -> bool {
        self.pending.load(Ordering::Acquire)
    }

    /// Takes everything that has come.
    pub(crate) fn take(&self) -> Mail {
        let mut state = self.lock();
        let mail = state.take();
        self.pending.store(mail.idempotent > 0, Ordering::Relaxed);
        mail
    }

    /// Announces that the run is about to block; false when there is mail to see to first.
    pub(crate) fn park(&self) -> bool {
        self.parked.store(true, Ordering::SeqCst);
        let free = !self.pending.load(Ordering::SeqCst);
        if !free {
            self.unpark();
        }
        free
    }

    /// Announces that the run is awake.
    pub(crate) fn unpark(&self) {
        self.parked.store(false, Ordering::Relaxed);
    }

    /// Refuses everything from now on, and gives back what had been accepted; idempotent calls are still to be taken.
    pub(crate) fn close(&self) -> Mail {
        let mut state = self.lock();
        state.run = 0;
        state.kick = None;
        self.unpark();
        self.pending.store(false, Ordering::Relaxed);
        state.take()
    }
}
