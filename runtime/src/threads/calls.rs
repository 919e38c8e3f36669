//! The calls to threads that a run has under way.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use super::link::Link;
use crate::ParkingLot;
use crate::kernel::token::Counted;
use crate::lowlevel::RunVar;

/// What is given back when a thread has come to the end of a call.
pub(super) struct Lent<K> {
    /// The limiter's.
    pub(super) _token: K,
    /// While the thread works, the run is not one that nothing can wake.
    pub(super) _counted: Counted,
}

#[derive(Default)]
pub(crate) struct Calls {
    next: Cell<u64>,
    /// Those that somebody waits for.
    awaited: RefCell<HashMap<u64, Arc<Link>>>,
    /// What calls that nobody waits for any more have borrowed.
    abandoned: RefCell<HashMap<u64, Box<dyn Any>>>,
    /// Those who wait until nobody waits for a thread.
    idle: ParkingLot,
    closed: Cell<bool>,
}

/// Closes the run's calls when the run drops its variables.
struct OfRun(Rc<Calls>);

static CALLS: RunVar<Rc<OfRun>> = RunVar::new("calls to threads");

impl Calls {
    /// Those of the current run.
    #[track_caller]
    pub(crate) fn current() -> Rc<Self> {
        if let Some(calls) = CALLS.try_get() {
            return Rc::clone(&calls.0);
        }
        let calls = Rc::new(Self::default());
        CALLS.set(Rc::new(OfRun(Rc::clone(&calls))));
        calls
    }

    /// A number that no other call of the run has.
    pub(super) fn number(&self) -> u64 {
        let number = self.next.get();
        self.next.set(number + 1);
        number
    }

    /// Somebody waits for a call from now on.
    pub(super) fn begin(&self, link: Arc<Link>) {
        self.awaited.borrow_mut().insert(link.number, link);
    }

    /// Nobody does any more.
    pub(super) fn end(&self, number: u64) {
        let link = self.awaited.borrow_mut().remove(&number);
        drop(link);
        if self.count() == 0 && !self.idle.is_empty() {
            self.idle.unpark_all();
        }
    }

    /// Keeps what a call has borrowed until its thread has come to the end.
    pub(super) fn keep<K: 'static>(&self, number: u64, lent: Lent<K>) {
        if !self.closed.get() {
            self.abandoned.borrow_mut().insert(number, Box::new(lent));
        }
    }

    /// How many calls somebody waits for.
    pub(crate) fn count(&self) -> usize {
        self.awaited.borrow().len()
    }

    /// Waits until there are none.
    pub(crate) async fn none(&self) {
        while self.count() > 0 {
            // Nobody breaks this lot.
            let _ = self.idle.park().await;
        }
    }

    /// The run ends: who is still in the list has been forgotten and will never look.
    fn close(&self) {
        self.closed.set(true);
        let awaited = self.awaited.take();
        for link in awaited.values() {
            link.leave();
        }
        drop(self.abandoned.take());
    }
}

impl Drop for OfRun {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Gives back what an abandoned call has borrowed: called in the run, by way of its thread.
pub(super) fn give_back(number: u64) {
    if let Some(calls) = CALLS.try_get() {
        let lent = calls.0.abandoned.borrow_mut().remove(&number);
        drop(lent);
    }
}
