//! The fair wait queue that locks, events and channels are made of.
//!
//! Waiters leave in the order in which they came. What they wait for is handed to them directly, so nobody can
//! overtake a waiter between its wake-up and its next step. A hand-off passes over waiters that are effectively
//! cancelled, as if they had left when the cancellation came; if the cancellation is taken back (a shield that is set
//! in flight), they queue up again at the end. A grant that is dropped unused is given back.

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll};

use slab::Slab;

use crate::kernel::context;
use crate::kernel::header::NodeId;
use crate::kernel::run::{Run, wrong_run};
use crate::kernel::waker::StoredWaker;

/// "Nobody" in the links between waiters.
const NOBODY: usize = usize::MAX;

/// A queue of waiters that bring an `P` with them and get a `G`.
pub(crate) struct WaitQueue<P, G>(RefCell<Queue<P, G>>);

struct Queue<P, G> {
    waiters: Slab<Waiter<P, G>>,
    first: usize,
    last: usize,
}

struct Waiter<P, G> {
    node: NodeId,
    waker: StoredWaker,
    /// Taken when the grant is given.
    payload: Option<P>,
    grant: Option<G>,
    queued: bool,
    previous: usize,
    next: usize,
}

impl<P, G> WaitQueue<P, G> {
    pub(crate) const fn new() -> Self {
        Self(RefCell::new(Queue { waiters: Slab::new(), first: NOBODY, last: NOBODY }))
    }

    /// Gives the first waiter in the queue what `grant` makes of its payload; false if nobody waits.
    pub(crate) fn hand_off(&self, grant: impl FnOnce(P) -> G) -> bool {
        let waker = {
            let mut queue = self.0.borrow_mut();
            let Some(waiter) = queue.take_first() else { return false };
            let Some(payload) = waiter.payload.take() else { return false };
            waiter.grant = Some(grant(payload));
            std::mem::take(&mut waiter.waker)
        };
        waker.wake();
        true
    }

    /// How many wait, cancelled ones that have not left yet included.
    pub(crate) fn len(&self) -> usize {
        self.0.borrow().waiters.iter().filter(|(_, waiter)| waiter.grant.is_none()).count()
    }

    /// Waits for a grant. `retry` is asked when a waiter that was passed over queues up again: it gives the grant if
    /// there is one to be had at once. `give_back` gets a grant that was dropped unused.
    pub(crate) fn wait<R, B>(&self, payload: P, retry: R, give_back: B) -> Wait<'_, P, G, R, B>
    where
        R: Fn(&mut Option<P>) -> Option<G>,
        B: Fn(G),
    {
        Wait { queue: self, payload: Some(payload), place: None, retry, give_back }
    }
}

impl<P, G> Queue<P, G> {
    fn push(&mut self, key: usize) {
        let last = std::mem::replace(&mut self.last, key);
        if last == NOBODY {
            self.first = key;
        } else {
            self.waiters[last].next = key;
        }
        let waiter = &mut self.waiters[key];
        waiter.queued = true;
        waiter.previous = last;
        waiter.next = NOBODY;
    }

    fn unlink(&mut self, key: usize) {
        let waiter = &mut self.waiters[key];
        if !std::mem::take(&mut waiter.queued) {
            return;
        }
        let (previous, next) = (waiter.previous, waiter.next);
        if previous == NOBODY {
            self.first = next;
        } else {
            self.waiters[previous].next = next;
        }
        if next == NOBODY {
            self.last = previous;
        } else {
            self.waiters[next].previous = previous;
        }
    }

    /// Takes the first waiter that is not cancelled out of the queue, and the cancelled ones before it.
    #[inline]
    fn take_first(&mut self) -> Option<&mut Waiter<P, G>> {
        while self.first != NOBODY {
            let key = self.first;
            self.unlink(key);
            let node = self.waiters[key].node;
            if context::try_with(|run| run.tree.is_effective(node)) != Some(true) {
                return self.waiters.get_mut(key);
            }
        }
        None
    }
}

/// A wait in a [`WaitQueue`].
pub(crate) struct Wait<'a, P, G, R, B: Fn(G)> {
    queue: &'a WaitQueue<P, G>,
    payload: Option<P>,
    place: Option<Place>,
    retry: R,
    give_back: B,
}

/// Where a wait stands in its queue.
#[derive(Clone, Copy)]
struct Place {
    key: usize,
    run: u64,
}

impl<P, G, R, B: Fn(G)> Unpin for Wait<'_, P, G, R, B> {}

impl<P, G, R, B> Wait<'_, P, G, R, B>
where
    R: Fn(&mut Option<P>) -> Option<G>,
    B: Fn(G),
{
    fn poll_in(&mut self, run: &Run, context: &Context<'_>) -> Poll<G> {
        let node = run.current_id();
        let Some(place) = self.place else {
            let waker = StoredWaker::new(context.waker());
            let mut queue = self.queue.0.borrow_mut();
            let key = queue.waiters.insert(Waiter {
                node,
                waker,
                payload: self.payload.take(),
                grant: None,
                queued: false,
                previous: NOBODY,
                next: NOBODY,
            });
            queue.push(key);
            self.place = Some(Place { key, run: run.opened.run });
            return Poll::Pending;
        };
        if place.run != run.opened.run {
            wrong_run("wait");
        }
        let key = place.key;
        let (queued, known) = {
            let mut queue = self.queue.0.borrow_mut();
            let waiter = &mut queue.waiters[key];
            if waiter.grant.is_some() {
                drop(queue);
                return self.leave(key).map_or(Poll::Pending, Poll::Ready);
            }
            waiter.node = node;
            (waiter.queued, waiter.waker.will_wake(context.waker()))
        };
        if run.is_cancelled_here() {
            run.park_cancelled(context);
        } else if !queued {
            let mut payload = self.queue.0.borrow_mut().waiters[key].payload.take();
            if let Some(grant) = (self.retry)(&mut payload) {
                self.leave(key);
                return Poll::Ready(grant);
            }
            let mut queue = self.queue.0.borrow_mut();
            queue.waiters[key].payload = payload;
            queue.push(key);
        }
        if !known {
            let waker = StoredWaker::new(context.waker());
            let old = std::mem::replace(&mut self.queue.0.borrow_mut().waiters[key].waker, waker);
            drop(old);
        }
        Poll::Pending
    }
}

impl<P, G, R, B: Fn(G)> Wait<'_, P, G, R, B> {
    /// Takes the waiter out; gives its grant, if it has one that was not used.
    fn leave(&mut self, key: usize) -> Option<G> {
        self.place = None;
        let mut waiter = {
            let mut queue = self.queue.0.borrow_mut();
            queue.unlink(key);
            queue.waiters.remove(key)
        };
        // The rest of the waiter (payload, foreign waker) is dropped here, when nothing is borrowed.
        waiter.grant.take()
    }
}

impl<P, G, R, B> Future for Wait<'_, P, G, R, B>
where
    R: Fn(&mut Option<P>) -> Option<G>,
    B: Fn(G),
{
    type Output = G;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<G> {
        context::with(|run| self.poll_in(run, context))
    }
}

impl<P, G, R, B: Fn(G)> Drop for Wait<'_, P, G, R, B> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            if let Some(grant) = self.leave(place.key) {
                (self.give_back)(grant);
            }
        }
    }
}
