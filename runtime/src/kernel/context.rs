//! Which run this thread is in: the kernel's only thread-local beside the list of [guests](super::guest).

use std::cell::Cell;
use std::ptr;

use super::run::Run;
use super::word::Word;

thread_local! {
    static CURRENT: Cell<*const Run> = const { Cell::new(ptr::null()) };
}

/// Makes a run this thread's current one, until dropped.
pub(crate) struct Entered<'run> {
    run: &'run Run,
}

/// Enters a run; `None` when the thread is in one already.
pub(crate) fn enter(run: &Run) -> Option<Entered<'_>> {
    if !CURRENT.get().is_null() {
        return None;
    }
    CURRENT.set(run);
    Some(Entered { run })
}

/// Makes a run this thread's current one, whatever that was, and puts that back when dropped.
pub(crate) struct Nested<'run> {
    run: &'run Run,
    before: *const Run,
}

/// Enters a run that others may be around: a guest's, whose host may itself be something that a run has called.
pub(crate) fn enter_nested(run: &Run) -> Nested<'_> {
    Nested { run, before: CURRENT.replace(run) }
}

impl Drop for Nested<'_> {
    fn drop(&mut self) {
        debug_assert!(ptr::eq(CURRENT.get(), self.run));
        CURRENT.set(self.before);
    }
}

/// Whether it is this run that the thread is in.
pub(crate) fn is_in(run: &Run) -> bool {
    ptr::eq(CURRENT.get(), run)
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        debug_assert!(ptr::eq(CURRENT.get(), self.run));
        CURRENT.set(ptr::null());
    }
}

/// Calls `f` with the current run; `None` outside a run.
#[inline]
pub(crate) fn try_with<R>(f: impl FnOnce(&Run) -> R) -> Option<R> {
    let run = CURRENT.get();
    // SAFETY: the pointer is null or was made from a reference that `Entered` or `Nested` borrows; the guard, which this
    // thread owns, takes it out again before that borrow ends. Guards are locals of functions of the kernel, so they go
    // in the reverse order of their making: what a `Nested` puts back is a pointer whose own guard is still there. `f`
    // can't keep the reference.
    unsafe { run.as_ref() }.map(f)
}

/// Calls `f` with the current run.
///
/// # Panics
///
/// Outside a run.
#[inline]
#[track_caller]
pub(crate) fn with<R>(f: impl FnOnce(&Run) -> R) -> R {
    match try_with(f) {
        Some(value) => value,
        None => outside(),
    }
}

#[cold]
#[track_caller]
fn outside() -> ! {
    panic!("this needs a trio run: call it from inside trio::run, #[trio::main] or #[trio::test]")
}

/// Calls `f` with the current run if that is the one the word belongs to.
#[inline]
pub(crate) fn with_run_of<R>(word: Word, f: impl FnOnce(&Run) -> R) -> Option<R> {
    try_with(|run| (run.slot == word.run()).then(|| f(run))).flatten()
}
