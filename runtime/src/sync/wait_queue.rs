//! The fair wait queue that locks, events and channels are made of, and the operation that waits in one.
//!
//! Waiters leave in the order in which they came. What they wait for is handed to them directly, so nobody can
//! overtake a waiter between its wake-up and its next step. A hand-off passes over waiters that are effectively
//! cancelled, as if they had left when the cancellation came; if the cancellation is taken back (a shield that is set
//! in flight), they queue up again at the end. A grant that is dropped unused is given back.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::kernel::checkpoint::{Hold, yield_now};
use crate::kernel::context;
use crate::kernel::header::NodeId;
use crate::kernel::run::{Run, wrong_run};
use crate::kernel::waker::StoredWaker;

/// "Nobody" in the links between waiters.
const NOBODY: u32 = u32::MAX;

/// A queue of waiters that bring a `P` with them and get a `G`.
pub(crate) struct WaitQueue<P, G> {
    queue: RefCell<Queue<P, G>>,
    /// How many wait, cancelled ones that have not left yet included: the first look of every hand-off.
    waiting: Cell<usize>,
}

struct Queue<P, G> {
    /// Places of waiters, in use and free. A place is filled where it is, since a waiter is too large to be moved about.
    places: Vec<Waiter<P, G>>,
    /// The first free place; the others follow by `next`.
    free: u32,
    first: u32,
    last: u32,
}

struct Waiter<P, G> {
    /// `None`: the place is free.
    node: Option<NodeId>,
    waker: StoredWaker,
    /// Taken when the grant is given.
    payload: Option<P>,
    grant: Option<G>,
    queued: bool,
    previous: u32,
    next: u32,
}

impl<P, G> WaitQueue<P, G> {
    pub(crate) const fn new() -> Self {
        let (free, first, last) = (NOBODY, NOBODY, NOBODY);
        Self { queue: RefCell::new(Queue { places: Vec::new(), free, first, last }), waiting: Cell::new(0) }
    }

    /// Gives the first waiter in the queue what `grant` makes of its payload; false if nobody waits.
    #[inline]
    pub(crate) fn hand_off(&self, grant: impl FnOnce(P) -> G) -> bool {
        self.hand_off_if(|_| true, grant)
    }

    /// As [`hand_off`](Self::hand_off), but only if the first waiter's payload `fits` what there is to give: nobody
    /// behind it is asked.
    #[inline]
    pub(crate) fn hand_off_if(&self, fits: impl FnOnce(&P) -> bool, grant: impl FnOnce(P) -> G) -> bool {
        if self.waiting.get() == 0 {
            return false;
        }
        let waker = {
            let mut queue = self.queue.borrow_mut();
            let Some(place) = queue.find_first() else { return false };
            let waiter = &mut queue.places[place as usize];
            if !waiter.payload.as_ref().is_some_and(fits) {
                return false;
            }
            let Some(payload) = waiter.payload.take() else { return false };
            waiter.grant = Some(grant(payload));
            waiter.queued = false;
            let (next, waker) = (waiter.next, std::mem::take(&mut waiter.waker));
            queue.begin_with(next);
            waker
        };
        self.waiting.set(self.waiting.get() - 1);
        waker.wake();
        true
    }

    /// Puts a waiter at the end of the queue; gives its place.
    #[inline]
    fn enter(&self, node: NodeId, waker: StoredWaker, payload: Option<P>) -> u32 {
        self.waiting.set(self.waiting.get() + 1);
        self.queue.borrow_mut().enter(node, waker, payload)
    }

    /// Frees a waiter's place; gives its grant, if it has one that was not used.
    #[inline]
    fn leave(&self, place: u32) -> Option<G> {
        // The rest (payload, foreign waker) is dropped here, when nothing is borrowed.
        let (grant, _payload, _waker) = self.queue.borrow_mut().leave(place);
        if grant.is_none() {
            self.waiting.set(self.waiting.get() - 1);
        }
        grant
    }

    /// Moves the first waiter to the end of another queue without waking it; false if nobody waits. It gets its grant at
    /// once, made of its place in the other queue, but finds it only when the other queue wakes it: then it goes on with
    /// [`Operation::adopt`].
    pub(crate) fn requeue<P2, G2>(
        &self,
        to: &WaitQueue<P2, G2>,
        payload: impl FnOnce(P) -> P2,
        grant: impl FnOnce(Place) -> G,
    ) -> bool {
        let mut queue = self.queue.borrow_mut();
        let Some(place) = queue.find_first() else { return false };
        queue.unlink(place);
        self.waiting.set(self.waiting.get() - 1);
        let waiter = &mut queue.places[place as usize];
        let waker = std::mem::take(&mut waiter.waker);
        let (own_payload, node) = (waiter.payload.take(), waiter.node);
        // The other queue may be this one.
        drop(queue);
        let node = node.expect("a waiter in the queue has a node");
        let there = to.enter(node, waker, own_payload.map(payload));
        self.queue.borrow_mut().places[place as usize].grant = Some(grant(Place(there)));
        true
    }

    /// Replaces the grants of those who have not taken theirs yet, and are not cancelled either. Looks at each waiter.
    pub(crate) fn renew_grants(&self, mut grant: impl FnMut() -> G) {
        let mut queue = self.queue.borrow_mut();
        let granted = queue.places.iter_mut().filter(|waiter| waiter.grant.is_some() && !waiter.is_cancelled());
        let old: Vec<_> = granted.map(|waiter| waiter.grant.replace(grant())).collect();
        // What a grant's destructor does is not known here.
        drop(queue);
        drop(old);
    }

    /// How many wait, cancelled ones that have not left yet included.
    pub(crate) fn len(&self) -> usize {
        self.waiting.get()
    }

    /// Whether anybody is in the queue who is not cancelled.
    #[inline]
    pub(crate) fn has_waiters(&self) -> bool {
        self.waiting.get() > 0 && self.queue.borrow_mut().find_first().is_some()
    }

    /// How many are in the queue who are not cancelled. Looks at each.
    pub(crate) fn count_waiters(&self) -> usize {
        let queue = self.queue.borrow();
        let mut count = 0;
        let mut place = queue.first;
        while let Some(waiter) = queue.places.get(place as usize) {
            count += usize::from(!waiter.is_cancelled());
            place = waiter.next;
        }
        count
    }

    /// How many wait with a payload of this kind, cancelled ones that have not left yet included. Looks at each.
    pub(crate) fn count_payloads(&self, is_one: impl Fn(&P) -> bool) -> usize {
        self.queue.borrow().places.iter().filter(|waiter| waiter.payload.as_ref().is_some_and(&is_one)).count()
    }
}

/// A waiter's place in the queue that it was moved to.
#[derive(Debug)]
pub(crate) struct Place(u32);

impl<P, G> Waiter<P, G> {
    #[inline]
    fn is_cancelled(&self) -> bool {
        let node = self.node;
        context::try_with(|run| node.is_some_and(|node| run.tree.is_effective(node))) == Some(true)
    }
}

impl<P, G> Queue<P, G> {
    /// Puts a waiter at the end of the queue; gives its place.
    #[inline]
    fn enter(&mut self, node: NodeId, waker: StoredWaker, payload: Option<P>) -> u32 {
        if self.free == NOBODY {
            self.add_place();
        }
        let place = self.free;
        let waiter = &mut self.places[place as usize];
        self.free = waiter.next;
        waiter.node = Some(node);
        waiter.waker = waker;
        waiter.payload = payload;
        self.push(place);
        place
    }

    fn add_place(&mut self) {
        self.free = u32::try_from(self.places.len()).ok().filter(|&place| place != NOBODY).expect("too many waiters");
        let waker = StoredWaker::None;
        let (payload, grant, queued) = (None, None, false);
        self.places.push(Waiter { node: None, waker, payload, grant, queued, previous: NOBODY, next: NOBODY });
    }

    #[inline]
    fn push(&mut self, place: u32) {
        let last = std::mem::replace(&mut self.last, place);
        if last == NOBODY {
            self.first = place;
        } else {
            self.places[last as usize].next = place;
        }
        let waiter = &mut self.places[place as usize];
        waiter.queued = true;
        waiter.previous = last;
        waiter.next = NOBODY;
    }

    #[inline]
    fn unlink(&mut self, place: u32) {
        let waiter = &mut self.places[place as usize];
        if !std::mem::take(&mut waiter.queued) {
            return;
        }
        let (previous, next) = (waiter.previous, waiter.next);
        if previous == NOBODY {
            self.first = next;
        } else {
            self.places[previous as usize].next = next;
        }
        if next == NOBODY {
            self.last = previous;
        } else {
            self.places[next as usize].previous = previous;
        }
    }

    /// Makes this the first waiter, since the one before it has left.
    #[inline]
    fn begin_with(&mut self, next: u32) {
        self.first = next;
        match self.places.get_mut(next as usize) {
            Some(next) => next.previous = NOBODY,
            None => self.last = NOBODY,
        }
    }

    /// Finds the first waiter that is not cancelled; the cancelled ones before it leave the queue.
    #[inline(always)]
    fn find_first(&mut self) -> Option<u32> {
        while self.first != NOBODY {
            let place = self.first;
            if !self.places[place as usize].is_cancelled() {
                return Some(place);
            }
            self.unlink(place);
        }
        None
    }

    /// Frees a waiter's place. Gives what was left there, to be dropped when nothing is borrowed, and the grant.
    #[inline]
    fn leave(&mut self, place: u32) -> (Option<G>, Option<P>, StoredWaker) {
        self.unlink(place);
        let free = std::mem::replace(&mut self.free, place);
        let waiter = &mut self.places[place as usize];
        waiter.node = None;
        waiter.next = free;
        let grant = waiter.grant.take();
        (grant, waiter.payload.take(), std::mem::take(&mut waiter.waker))
    }
}

/// What an operation asks of its primitive.
pub(crate) trait Request {
    /// What a waiter brings with it.
    type Payload;
    /// What the operation gets.
    type Grant;

    /// Where it waits.
    fn queue(&self) -> &WaitQueue<Self::Payload, Self::Grant>;

    /// Does it at once, if that is possible; takes the payload then.
    fn attempt(&self, payload: &mut Option<Self::Payload>) -> Option<Self::Grant>;

    /// Takes back a grant that was dropped unused.
    fn give_back(&self, grant: Self::Grant);

    /// The waiter is in the queue now. What must not happen earlier happens here.
    #[inline]
    fn entered(&self) {}

    /// The waiter has met its cancellation, and counts as gone: perhaps somebody behind it can be served.
    #[inline]
    fn cancelled(&self) {}

    /// The waiter has been dropped without a grant.
    #[inline]
    fn left(&self) {}
}

/// An operation: a checkpoint that does what it was made for at once, or waits until it is granted.
///
/// Cancelled on entry, it does nothing; granted, it completes whatever comes.
pub(crate) struct Operation<R: Request> {
    request: R,
    payload: Option<R::Payload>,
    stage: Stage<R::Grant>,
}

enum Stage<G> {
    Fresh,
    /// In the queue, at a place of its own, in the run with this number.
    Waiting {
        place: u32,
        run: u64,
    },
    /// It has its grant, and lets the others take a step before it completes.
    Yielding {
        grant: Option<G>,
        hold: Hold,
    },
    Over,
}

impl<R: Request> Operation<R> {
    #[inline]
    pub(crate) const fn new(request: R, payload: R::Payload) -> Self {
        Self { request, payload: Some(payload), stage: Stage::Fresh }
    }

    /// Goes on for a waiter that was moved to the request's queue.
    pub(crate) fn adopt(request: R, place: Place) -> Self {
        // An operation that is dropped outside a run has no use for the number.
        let run = context::try_with(|run| run.opened.run).unwrap_or_default();
        Self { request, payload: None, stage: Stage::Waiting { place: place.0, run } }
    }

    #[inline]
    fn begin(&mut self, run: &Run, context: &Context<'_>) -> Poll<R::Grant> {
        if run.is_cancelled_here() {
            run.park_cancelled(context);
            return Poll::Pending;
        }
        if let Some(grant) = self.request.attempt(&mut self.payload) {
            if run.take_budget() {
                self.stage = Stage::Over;
                return Poll::Ready(grant);
            }
            let mut hold = Hold::default();
            hold.take(run);
            self.stage = Stage::Yielding { grant: Some(grant), hold };
            yield_now(run, context);
            return Poll::Pending;
        }
        let waker = StoredWaker::new(context.waker());
        let node = run.current_id();
        let place = self.request.queue().enter(node, waker, self.payload.take());
        self.stage = Stage::Waiting { place, run: run.opened.run };
        self.request.entered();
        Poll::Pending
    }

    #[inline]
    fn wait(&mut self, run: &Run, context: &Context<'_>, place: u32) -> Poll<R::Grant> {
        let (queued, known) = {
            let mut queue = self.request.queue().queue.borrow_mut();
            let waiter = &mut queue.places[place as usize];
            if waiter.grant.is_some() {
                self.stage = Stage::Over;
                let (grant, _payload, _waker) = queue.leave(place);
                drop(queue);
                return grant.map_or(Poll::Pending, Poll::Ready);
            }
            waiter.node = Some(run.current_id());
            (waiter.queued, waiter.waker.will_wake(context.waker()))
        };
        if run.is_cancelled_here() {
            run.park_cancelled(context);
            self.request.cancelled();
        } else if !queued {
            let mut payload = self.request.queue().queue.borrow_mut().places[place as usize].payload.take();
            if let Some(grant) = self.request.attempt(&mut payload) {
                self.leave(place);
                return Poll::Ready(grant);
            }
            let mut queue = self.request.queue().queue.borrow_mut();
            queue.places[place as usize].payload = payload;
            queue.push(place);
        }
        if !known {
            let waker = StoredWaker::new(context.waker());
            let old =
                std::mem::replace(&mut self.request.queue().queue.borrow_mut().places[place as usize].waker, waker);
            drop(old);
        }
        Poll::Pending
    }

    /// Leaves the queue; gives the grant, if there is one that was not used.
    #[inline]
    fn leave(&mut self, place: u32) -> Option<R::Grant> {
        self.stage = Stage::Over;
        self.request.queue().leave(place)
    }
}

impl<R: Request> Unpin for Operation<R> {}

impl<R: Request> Future for Operation<R> {
    type Output = R::Grant;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<R::Grant> {
        context::with(|run| match &mut self.stage {
            Stage::Fresh => self.begin(run, context),
            Stage::Waiting { run: own, .. } if *own != run.opened.run => wrong_run("wait"),
            Stage::Waiting { place, .. } => {
                let place = *place;
                self.wait(run, context, place)
            }
            Stage::Yielding { grant, hold } => {
                hold.release();
                let grant = grant.take();
                self.stage = Stage::Over;
                grant.map_or(Poll::Pending, Poll::Ready)
            }
            Stage::Over => panic!("an operation was polled after it had completed"),
        })
    }
}

impl<R: Request> Drop for Operation<R> {
    #[inline]
    fn drop(&mut self) {
        let unused = match &mut self.stage {
            Stage::Fresh | Stage::Over => return,
            Stage::Waiting { place, .. } => {
                let place = *place;
                self.leave(place)
            }
            Stage::Yielding { grant, .. } => grant.take(),
        };
        match unused {
            Some(grant) => self.request.give_back(grant),
            None => self.request.left(),
        }
    }
}
