//! Wakers that are one packed word, and the form in which trio's own primitives keep them.

use std::mem::ManuallyDrop;
use std::rc::Rc;
use std::task::{RawWaker, RawWakerVTable, Waker};

use super::context;
use super::inbox::{self, Note};
use super::word::Word;

static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, dropped);

/// Only foreign code clones our wakers, trio's own primitives keep the word. The task remembers how many
/// clones are out, so that a run in which nothing can happen any more is told from one that merely waits.
fn clone(data: *const ()) -> RawWaker {
    let word = Word::from_data(data);
    if context::with_run_of(word, |run| run.note_clone(word, 1)).is_none() {
        inbox::post(Note::Cloned(word));
    }
    RawWaker::new(data, &VTABLE)
}

fn wake(data: *const ()) {
    wake_by_ref(data);
    dropped(data);
}

fn wake_by_ref(data: *const ()) {
    wake_word(Word::from_data(data));
}

fn dropped(data: *const ()) {
    let word = Word::from_data(data);
    if context::with_run_of(word, |run| run.note_clone(word, -1)).is_none() {
        inbox::post(Note::Dropped(word));
    }
}

/// Wakes the task or body that a word names, from any thread.
pub(crate) fn wake_word(word: Word) {
    if context::with_run_of(word, |run| run.wake(word)).is_none() {
        inbox::post(Note::Wake(word));
    }
}

/// A waker to poll with. Not dropped: it was not cloned from anything, so nothing is to be counted back.
pub(crate) fn waker(word: Word) -> ManuallyDrop<Waker> {
    let raw = RawWaker::new(word.to_data(), &VTABLE);
    // SAFETY: the functions of `VTABLE` take any data word, from any thread, at any time: they read it as a
    // number and look it up. That is all the `RawWaker` contract asks for.
    ManuallyDrop::new(unsafe { Waker::from_raw(raw) })
}

/// A waker as trio's own primitives keep it: the word of one of ours, or a counted foreign one.
///
/// Cloning and dropping never runs foreign code except for the drop of the last foreign count; whoever
/// replaces a stored waker therefore drops the old one only when no kernel state is borrowed.
#[derive(Clone, Debug, Default)]
pub(crate) enum StoredWaker {
    #[default]
    None,
    Ours(Word),
    Foreign(Rc<Waker>),
}

impl StoredWaker {
    /// Runs foreign code (the clone of a foreign waker).
    pub(crate) fn new(waker: &Waker) -> Self {
        match word_of(waker) {
            Some(word) => Self::Ours(word),
            None => Self::Foreign(Rc::new(waker.clone())),
        }
    }

    pub(crate) fn will_wake(&self, waker: &Waker) -> bool {
        match self {
            Self::None => false,
            Self::Ours(word) => word_of(waker) == Some(*word),
            Self::Foreign(foreign) => foreign.will_wake(waker),
        }
    }

    /// Wakes; runs foreign code, so nothing of the kernel may be borrowed.
    pub(crate) fn wake(&self) {
        match self {
            Self::None => {}
            Self::Ours(word) => wake_word(*word),
            Self::Foreign(foreign) => foreign.wake_by_ref(),
        }
    }
}

/// The word of a waker of ours, recognised by its vtable's address.
#[inline]
pub(crate) fn word_of(waker: &Waker) -> Option<Word> {
    std::ptr::eq(waker.vtable(), &raw const VTABLE).then(|| Word::from_data(waker.data()))
}
