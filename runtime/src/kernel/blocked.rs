//! Who waits for all other tasks to be blocked (`testing::wait_all_tasks_blocked`).

use std::cell::RefCell;
use std::time::Duration;

use slab::Slab;

use super::waker::StoredWaker;

struct Waiter {
    cushion: Duration,
    waker: StoredWaker,
    released: bool,
}

/// The waiters of one run.
#[derive(Default)]
pub(crate) struct Blocked(RefCell<Slab<Waiter>>);

impl Blocked {
    pub(crate) fn insert(&self, cushion: Duration, waker: StoredWaker) -> usize {
        self.0.borrow_mut().insert(Waiter { cushion, waker, released: false })
    }

    /// Whether the wait is over; if not, `waker` is told when it is.
    pub(crate) fn check(&self, key: usize, waker: StoredWaker) -> bool {
        let mut waiters = self.0.borrow_mut();
        let waiter = &mut waiters[key];
        let (over, old) = (waiter.released, std::mem::replace(&mut waiter.waker, waker));
        drop(waiters);
        drop(old);
        over
    }

    pub(crate) fn remove(&self, key: usize) {
        let waiter = self.0.borrow_mut().try_remove(key);
        drop(waiter);
    }

    /// The real time that the least patient waiter asks for.
    pub(crate) fn shortest_cushion(&self) -> Option<Duration> {
        self.0.borrow().iter().filter(|(_, w)| !w.released).map(|(_, w)| w.cushion).min()
    }

    /// Wakes the waiters with the shortest cushion; whether there were any.
    pub(crate) fn release(&self) -> bool {
        let Some(shortest) = self.shortest_cushion() else { return false };
        let mut wakers = Vec::new();
        for (_, waiter) in self.0.borrow_mut().iter_mut() {
            if !waiter.released && waiter.cushion == shortest {
                waiter.released = true;
                wakers.push(waiter.waker.clone());
            }
        }
        for waker in wakers {
            waker.wake();
        }
        true
    }
}
