//! The mio side of a run: which descriptors it watches, whether they are ready, and who waits for them.
//!
//! Descriptors are registered once, edge-triggered, for both directions. An edge is remembered as `ready` until a
//! system call says that it would block, so that no wake-up is lost between looking and waiting; everything happens
//! on one thread, so there is nothing in between. A descriptor has one registration, however many handles use it:
//! the table by number makes waiting for a socket of ours through `wait_readable` possible.
//!
//! The system knows better than the table which descriptor a number means today, since numbers are given out anew:
//! it is asked to watch every descriptor that comes in, and only its "I do already" joins a registration of the table.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Token};
use slab::Slab;

#[cfg(feature = "__poll")]
use super::checkpoint::yield_now;
use super::checkpoint::{checkpoint_if_cancelled, free_checkpoint};
use super::context;
use super::doubts::{Doubt, Doubts};
use super::header::NodeId;
use super::run::{Run, wrong_run};
use super::waker::StoredWaker;

/// How many events one system call can bring.
const EVENTS: usize = 1024;
/// The token of the kick that other threads give: no registration's, since none has so high an index.
const KICK: Token = Token(usize::MAX);
/// How many bits of a registration's token are its index; the others are of its serial number.
const INDEX_BITS: u32 = usize::BITS / 8 * 5;

/// What a registration's events are marked with. An index is given out again, and events of the one before can still come:
/// from a descriptor whose duplicate is open somewhere, or from a wait that has ended and is not yet looked at.
const fn token(index: usize, serial: u64) -> Token {
    Token(index | (serial as usize) << INDEX_BITS)
}
/// What every descriptor is watched for.
const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);
/// And what one is watched for that may have urgent data; where the system can't, nothing more.
#[cfg(any(target_os = "linux", target_os = "android"))]
const BOTH_AND_URGENT: Interest = BOTH.add(Interest::PRIORITY);
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const BOTH_AND_URGENT: Interest = BOTH;
/// Whether the system can.
const REPORTS_URGENT: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// Which way data goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Read,
    Write,
}

/// One direction of one descriptor.
struct Side {
    /// No call has found the descriptor blocked since it was registered, or since the last edge.
    ready: bool,
    /// A call that gives less than was asked for proves nothing: the other end is gone in this direction, so that the
    /// call after it gives the end or an error, or there is urgent data, before which a read stops.
    stays_ready: bool,
    /// What polls has let the others take a step: the next poll need not.
    yielded: bool,
    waiter: Option<Waiter>,
}

impl Default for Side {
    fn default() -> Self {
        Self { ready: true, stays_ready: false, yielded: false, waiter: None }
    }
}

struct Waiter {
    /// That of the wait; of one who polls, that of the registration.
    number: u64,
    /// The registration that the waiter waits through.
    registration: u64,
    /// Somebody who polls: who may go away without a word, and whose place is the next one's who comes through the same
    /// registration. Its end is a note at the side, since nobody may ever come to look at it.
    polls: bool,
    node: NodeId,
    waker: StoredWaker,
    /// What the wait ended with, once it has.
    ended: Option<WaitEnd>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WaitEnd {
    Ready,
    Closed,
}

impl WaitEnd {
    fn result(self) -> io::Result<()> {
        match self {
            Self::Ready => Ok(()),
            Self::Closed => Err(io::Error::other(ClosedResourceError)),
        }
    }
}

struct Watched {
    fd: RawFd,
    serial: u64,
    /// The descriptor was closed, or is about to be: its number may mean another one by now.
    detached: bool,
    /// Handles and waits that use the registration.
    users: usize,
    /// A read that gives less than was asked for may have stopped before urgent data, of which we would not be told.
    short_proves_nothing: bool,
    /// Whether a short read has left anything behind.
    doubt: Doubt,
    read: Side,
    write: Side,
}

impl Watched {
    fn side(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::Read => &mut self.read,
            Direction::Write => &mut self.write,
        }
    }
}

/// Names a registration for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SourceKey {
    index: usize,
    serial: u64,
}

/// What a call that has succeeded has left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Perhaps as much again.
    Something,
    /// Most likely nothing.
    Doubtful,
    /// It got or gave less than it could have, so that the next one would block.
    Nothing,
}

/// What a look at the outside has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// Nothing that concerns anybody, for as long as was to be waited.
    Quiet,
    /// Something, or it was cut short.
    Busy,
}

/// The part of the reactor that can wait on another thread.
pub(crate) struct Selector {
    poll: mio::Poll,
    events: Events,
    /// A signal has ended the wait.
    interrupted: bool,
}

impl Selector {
    /// Waits for events for at most `timeout`; a signal ends that, too, without any.
    #[inline]
    pub(crate) fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let result = self.poll.poll(&mut self.events, timeout);
        self.interrupted = matches!(&result, Err(error) if error.kind() == io::ErrorKind::Interrupted);
        if self.interrupted {
            self.events.clear();
            return Ok(());
        }
        result
    }
}

/// The descriptors of one run.
pub(crate) struct Reactor {
    /// Lent to a guest run's I/O thread while that waits, otherwise there.
    selector: RefCell<Option<Selector>>,
    /// What descriptors are registered with, also while the selector is lent.
    registry: mio::Registry,
    /// Whom a turn wakes; kept so that a turn allocates nothing.
    woken: RefCell<Vec<StoredWaker>>,
    kick: Arc<mio::Waker>,
    watched: RefCell<Slab<Watched>>,
    by_fd: RefCell<HashMap<RawFd, usize>>,
    next_serial: Cell<u64>,
    waiters: Cell<usize>,
    doubts: Doubts,
}

impl Reactor {
    pub(crate) fn new() -> io::Result<Self> {
        let poll = mio::Poll::new()?;
        let kick = Arc::new(mio::Waker::new(poll.registry(), KICK)?);
        Ok(Self {
            registry: poll.registry().try_clone()?,
            selector: RefCell::new(Some(Selector { poll, events: Events::with_capacity(EVENTS), interrupted: false })),
            woken: RefCell::default(),
            kick,
            watched: RefCell::default(),
            by_fd: RefCell::default(),
            next_serial: Cell::new(1),
            waiters: Cell::new(0),
            doubts: Doubts::default(),
        })
    }

    /// What interrupts a blocking [`turn`](Self::turn) from another thread.
    pub(crate) fn kick(&self) -> Arc<mio::Waker> {
        Arc::clone(&self.kick)
    }

    pub(crate) fn len(&self) -> usize {
        self.watched.borrow().len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.watched.borrow().is_empty()
    }

    pub(crate) fn has_waiters(&self) -> bool {
        self.waiters.get() > 0
    }

    /// Whether some descriptors may be ready though nothing tells of it: a quiet [`turn`](Self::turn) has their users ask.
    pub(crate) fn has_doubts(&self) -> bool {
        self.doubts.any()
    }

    /// Waits for events for at most `timeout`, and wakes whom they concern.
    ///
    /// A wait that `is_cancelled` is not ended: it counts as having left when the cancellation came.
    pub(crate) fn turn(&self, timeout: Option<Duration>, is_cancelled: impl Fn(NodeId) -> bool) -> Look {
        let mut selector = self.selector.borrow_mut();
        let selector = selector.as_mut().expect("a guest run's wait has ended before its next turn");
        if let Err(error) = selector.wait(timeout) {
            panic!("trio's I/O selector failed: {error}");
        }
        self.deliver(selector, is_cancelled)
    }

    /// Lets another thread wait.
    pub(crate) fn lend(&self) -> Option<Selector> {
        self.selector.take()
    }

    /// Takes the selector back, with the events that it has brought, as [`turn`](Self::turn) does.
    pub(crate) fn take_back(&self, selector: Selector, is_cancelled: impl Fn(NodeId) -> bool) -> Look {
        let look = self.deliver(&selector, is_cancelled);
        self.selector.replace(Some(selector));
        look
    }

    /// Wakes whom the events concern.
    #[inline]
    fn deliver(&self, selector: &Selector, is_cancelled: impl Fn(NodeId) -> bool) -> Look {
        let mut woken = self.woken.take();
        let mut cut_short = selector.interrupted;
        {
            let mut watched = self.watched.borrow_mut();
            for event in &selector.events {
                if event.token() == KICK {
                    cut_short = true;
                    continue;
                }
                let index = event.token().0 & ((1 << INDEX_BITS) - 1);
                let Some(source) = watched.get_mut(index) else { continue };
                if source.detached || token(index, source.serial) != event.token() {
                    continue;
                }
                let failed = event.is_error();
                source.read.stays_ready |= event.is_read_closed() || event.is_priority();
                source.write.stays_ready |= event.is_write_closed();
                if event.is_readable() || event.is_read_closed() || failed {
                    self.doubts.settle(&mut source.doubt);
                    woken.extend(source.read.set_ready(&is_cancelled, &self.waiters));
                }
                if event.is_writable() || event.is_write_closed() || failed {
                    woken.extend(source.write.set_ready(&is_cancelled, &self.waiters));
                }
            }
            self.doubts.look();
            let quiet = !cut_short && woken.is_empty();
            while let Some(key) = self.doubts.next(quiet) {
                let source = watched.get_mut(key.index).filter(|source| source.serial == key.serial);
                if let Some(source) = source
                    && self.doubts.take_up(&mut source.doubt)
                {
                    woken.extend(source.read.set_ready(&is_cancelled, &self.waiters));
                }
            }
        }
        let look = if cut_short || !woken.is_empty() { Look::Busy } else { Look::Quiet };
        for waker in woken.drain(..) {
            waker.wake();
        }
        self.woken.replace(woken);
        look
    }

    /// Watches a descriptor, or joins those who do already. `urgent`: a short read may be due to urgent data.
    fn register(&self, fd: RawFd, urgent: bool) -> io::Result<SourceKey> {
        let interest = if urgent { BOTH_AND_URGENT } else { BOTH };
        let known = self.by_fd.borrow().get(&fd).copied();
        let mut watched = self.watched.borrow_mut();
        let entry = watched.vacant_entry();
        let index = entry.key();
        let serial = self.next_serial.get();
        self.next_serial.set(serial + 1);
        match self.registry.register(&mut SourceFd(&fd), token(index, serial), interest) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if let Some(source) = known.and_then(|index| watched.get_mut(index).map(|source| (index, source))) {
                    let (index, source) = source;
                    source.users += 1;
                    return Ok(SourceKey { index, serial: source.serial });
                }
                // It was closed behind our back while a duplicate kept it open, and has its old number again.
                self.registry.reregister(&mut SourceFd(&fd), token(index, serial), interest)?;
            }
            Err(error) => return Err(error),
        }
        watched.vacant_entry().insert(Watched {
            fd,
            serial,
            detached: false,
            users: 1,
            short_proves_nothing: urgent && !REPORTS_URGENT,
            doubt: Doubt::default(),
            read: Side::default(),
            write: Side::default(),
        });
        drop(watched);
        self.by_fd.borrow_mut().insert(fd, index);
        if let Some(stale) = known {
            // The system did not watch this descriptor, so the one that had the number before was closed behind our
            // back.
            self.detach(stale);
        }
        Ok(SourceKey { index, serial })
    }

    /// Has the system report anew what a descriptor is ready for, if it has been watched for longer than just now: its
    /// edges may have been used up by others.
    fn rearm(&self, key: SourceKey) -> io::Result<()> {
        let fd = match self.watched.borrow_mut().get_mut(key.index) {
            Some(source) if source.users > 1 => {
                // Urgent data is not what this one waits for, so from now on we are not told of it.
                source.short_proves_nothing = true;
                self.doubts.settle(&mut source.doubt);
                source.fd
            }
            _ => return Ok(()),
        };
        self.registry.reregister(&mut SourceFd(&fd), token(key.index, key.serial), BOTH)
    }

    /// Stops using a registration; the last one to do so ends it. If the descriptor `closes` now, the system need not be told.
    fn deregister(&self, key: SourceKey, registration: u64, closes: bool) {
        let mut watched = self.watched.borrow_mut();
        let Some(source) = watched.get_mut(key.index).filter(|source| source.serial == key.serial) else { return };
        // Who polled through it does not come back. Their wakers go when nothing is borrowed.
        let polled = [&mut source.read, &mut source.write].map(|side| side.forget_poll(registration, &self.waiters));
        source.users -= 1;
        if source.users > 0 {
            drop(watched);
            drop(polled);
            return;
        }
        let mut source = watched.remove(key.index);
        drop(watched);
        drop(polled);
        self.doubts.settle(&mut source.doubt);
        if !source.detached {
            self.by_fd.borrow_mut().remove(&source.fd);
            if !closes {
                // Fails if the descriptor was closed behind our back, which took it out already.
                let _ = self.registry.deregister(&mut SourceFd(&source.fd));
            }
        }
        // Foreign wakers go when nothing is borrowed.
        drop(source);
    }

    /// Ends every wait of a registration whose number no longer, or soon no longer, means its descriptor.
    fn detach(&self, index: usize) {
        let mut woken = Vec::new();
        if let Some(source) = self.watched.borrow_mut().get_mut(index) {
            source.detached = true;
            woken.extend(source.read.end(WaitEnd::Closed, &self.waiters));
            woken.extend(source.write.end(WaitEnd::Closed, &self.waiters));
        }
        for waker in woken {
            waker.wake();
        }
    }

    /// Whether a call in this direction is worth trying: false once one has said that it would block.
    pub(crate) fn is_ready(&self, key: SourceKey, direction: Direction) -> bool {
        self.with(key, direction, |side| side.ready).unwrap_or(true)
    }

    /// A call has found the descriptor blocked: there will be an edge when it no longer is.
    pub(crate) fn blocked(&self, key: SourceKey, direction: Direction) {
        self.source(key, |source| {
            if direction == Direction::Read {
                self.doubts.settle(&mut source.doubt);
            }
            let side = source.side(direction);
            side.ready = false;
            side.stays_ready = false;
        });
    }

    /// A call got or gave less than it could have: the next one would block, so that it need not be made; that may be
    /// `doubtful`.
    pub(crate) fn drained(&self, key: SourceKey, direction: Direction, doubtful: bool) {
        self.source(key, |source| {
            let doubtful = doubtful || (source.short_proves_nothing && direction == Direction::Read);
            let side = source.side(direction);
            if side.stays_ready {
                return;
            }
            side.ready = false;
            if doubtful {
                self.doubts.raise(key, &mut source.doubt);
            }
        });
    }

    fn source<R>(&self, key: SourceKey, f: impl FnOnce(&mut Watched) -> R) -> Option<R> {
        let mut watched = self.watched.borrow_mut();
        watched.get_mut(key.index).filter(|source| source.serial == key.serial).map(f)
    }

    fn with<R>(&self, key: SourceKey, direction: Direction, f: impl FnOnce(&mut Side) -> R) -> Option<R> {
        self.source(key, |source| f(source.side(direction)))
    }

    /// Ends every wait for a descriptor, as [`notify_closing`] promises, and forgets its number.
    fn close(&self, fd: RawFd) {
        let Some(index) = self.by_fd.borrow_mut().remove(&fd) else { return };
        // Fails if the caller has closed it already, which took it out.
        let _ = self.registry.deregister(&mut SourceFd(&fd));
        self.detach(index);
    }
}

impl Side {
    fn set_ready(&mut self, is_cancelled: impl Fn(NodeId) -> bool, waiters: &Cell<usize>) -> Option<StoredWaker> {
        self.ready = true;
        let cancelled = self.waiter.as_ref().is_some_and(|waiter| is_cancelled(waiter.node));
        if cancelled { None } else { self.end(WaitEnd::Ready, waiters) }
    }

    /// Ends the wait; `waiters` counts those that are left.
    fn end(&mut self, how: WaitEnd, waiters: &Cell<usize>) -> Option<StoredWaker> {
        let waiter = self.waiter.as_mut().filter(|waiter| waiter.ended.is_none())?;
        if waiter.polls {
            self.yielded = true;
            waiters.set(waiters.get() - 1);
            return self.waiter.take().map(|waiter| waiter.waker);
        }
        waiter.ended = Some(how);
        Some(std::mem::take(&mut waiter.waker))
    }

    /// Whether somebody else waits: who polls through the same registration does not count.
    fn is_busy(&self, registration: u64) -> bool {
        // A wait that has ended is over for everybody else, even if its task has not run since.
        let waiting = self.waiter.as_ref().filter(|waiter| waiter.ended.is_none());
        waiting.is_some_and(|waiter| !waiter.polls || waiter.registration != registration)
    }

    /// Puts a waiter in the place of whoever is there, whose waker is to be dropped when nothing is borrowed.
    fn replace(&mut self, waiter: Waiter, waiters: &Cell<usize>) -> Option<Waiter> {
        let old = self.waiter.replace(waiter);
        waiters.set(waiters.get() - usize::from(old.as_ref().is_some_and(|old| old.polls)));
        old
    }

    /// Ends a poll through this registration; gives the waiter, to be dropped when nothing is borrowed.
    fn forget_poll(&mut self, registration: u64, waiters: &Cell<usize>) -> Option<Waiter> {
        let polled = self.waiter.take_if(|waiter| waiter.polls && waiter.registration == registration);
        waiters.set(waiters.get() - usize::from(polled.is_some()));
        polled
    }
}

/// Another task is waiting for the same thing: only one can at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BusyResourceError;

impl fmt::Display for BusyResourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("another task is already waiting for this")
    }
}

impl std::error::Error for BusyResourceError {}

impl BusyResourceError {
    /// Whether that is what an error is about.
    pub(crate) fn is_in(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|error| error.is::<Self>())
    }
}

/// You closed it: the resource that the operation was to use is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClosedResourceError;

impl fmt::Display for ClosedResourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the resource was closed")
    }
}

impl std::error::Error for ClosedResourceError {}

/// A wait for one direction of a registered descriptor.
struct Wait {
    key: SourceKey,
    registration: u64,
    direction: Direction,
    number: Option<u64>,
    run: u64,
    /// What it waits for can let the run go on, so that a run with such a wait is not stuck.
    counts: bool,
}

impl Wait {
    fn poll_in(&mut self, run: &Run, context: &Context<'_>) -> Poll<io::Result<()>> {
        if run.opened.run != self.run {
            wrong_run("wait for I/O");
        }
        let reactor = &run.reactor;
        let Some(number) = self.number else { return self.begin(run, context) };
        let over = reactor.with(self.key, self.direction, |side| match &side.waiter {
            Some(waiter) if waiter.number == number => {
                let ended = waiter.ended;
                if ended.is_some() {
                    // Its waker was taken out at the end, so that no foreign code runs here.
                    side.waiter = None;
                }
                ended
            }
            // Another has taken the place, which only a wait that has ended leaves.
            _ => Some(WaitEnd::Ready),
        });
        if let Some(end) = over.flatten() {
            self.number = None;
            self.uncount(reactor);
            return Poll::Ready(end.result());
        }
        if run.is_cancelled_here() {
            run.park_cancelled(context);
        } else if reactor.is_ready(self.key, self.direction) {
            // It became ready while this wait was cancelled, and the cancellation has been taken back.
            return Poll::Ready(Ok(()));
        }
        let waker = StoredWaker::new(context.waker());
        let node = run.current_id();
        let old = reactor.with(self.key, self.direction, |side| {
            side.waiter.as_mut().map(|waiter| {
                waiter.node = node;
                std::mem::replace(&mut waiter.waker, waker)
            })
        });
        drop(old);
        Poll::Pending
    }

    fn uncount(&self, reactor: &Reactor) {
        reactor.waiters.set(reactor.waiters.get() - usize::from(self.counts));
    }

    fn begin(&mut self, run: &Run, context: &Context<'_>) -> Poll<io::Result<()>> {
        if run.is_cancelled_here() {
            run.park_cancelled(context);
        }
        let (waker, node) = (StoredWaker::new(context.waker()), run.current_id());
        let reactor = &run.reactor;
        let number = reactor.next_serial.get();
        reactor.next_serial.set(number + 1);
        let begun = reactor.source(self.key, |source| {
            let detached = source.detached;
            let side = source.side(self.direction);
            if detached {
                return Err((io::Error::other(ClosedResourceError), waker));
            }
            if side.is_busy(self.registration) {
                return Err((io::Error::other(BusyResourceError), waker));
            }
            let registration = self.registration;
            let waiter = Waiter { number, registration, polls: false, node, waker, ended: None };
            Ok(side.replace(waiter, &reactor.waiters))
        });
        // What comes back with the error may be a foreign waker, which goes now that nothing is borrowed.
        match begun {
            Some(Err((error, _))) => Poll::Ready(Err(error)),
            Some(Ok(_)) => {
                self.number = Some(number);
                reactor.waiters.set(reactor.waiters.get() + usize::from(self.counts));
                Poll::Pending
            }
            None => Poll::Ready(Err(io::Error::other(ClosedResourceError))),
        }
    }
}

impl Future for Wait {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        context::with(|run| self.poll_in(run, context))
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        context::try_with(|run| {
            if run.opened.run != self.run {
                return;
            }
            let reactor = &run.reactor;
            self.uncount(reactor);
            let waiter = reactor.with(self.key, self.direction, |side| {
                let ours = side.waiter.as_ref().is_some_and(|waiter| waiter.number == number);
                ours.then(|| side.waiter.take())
            });
            drop(waiter);
        });
    }
}

/// A registered descriptor of a resource; ends its registration when dropped.
///
/// The descriptor must outlive it. Neither can go to another thread, since the run does not.
#[derive(Debug)]
pub(crate) struct Registration {
    key: SourceKey,
    /// Tells it from others of the same descriptor.
    number: u64,
    /// The descriptor is closed right after the registration ends.
    closes: Cell<bool>,
    run: u64,
    on_this_thread: PhantomData<*const ()>,
}

impl Registration {
    /// Registers a descriptor with the current run. `urgent`: it is one that may have urgent data.
    pub(crate) fn new(fd: &impl AsRawFd, urgent: bool) -> io::Result<Self> {
        context::with(|run| {
            let key = run.reactor.register(fd.as_raw_fd(), urgent)?;
            let number = run.reactor.next_serial.get();
            run.reactor.next_serial.set(number + 1);
            Ok(Self { key, number, closes: Cell::new(false), run: run.opened.run, on_this_thread: PhantomData })
        })
    }

    fn with<R>(&self, f: impl FnOnce(&Run) -> R) -> R {
        context::with(|run| {
            if run.opened.run != self.run {
                wrong_run("socket");
            }
            f(run)
        })
    }

    /// Makes a non-blocking call, as soon as it does not say `WouldBlock`. A checkpoint: nothing is called when
    /// cancelled, and nothing is awaited once the call has succeeded, so that whoever drops this future loses nothing.
    ///
    /// `rest` says of a result what is left behind it. Writes leave no doubt.
    pub(crate) async fn io<T>(
        &self,
        direction: Direction,
        mut call: impl FnMut() -> io::Result<T>,
        rest: impl Fn(&T) -> Rest,
    ) -> io::Result<T> {
        if self.is_ready(direction) {
            // The yield comes before the call, since after it there must not be one.
            free_checkpoint().await;
        } else {
            // If this is cancelled, the wait is the place where it is dropped.
            self.wait(direction).await?;
        }
        loop {
            match call() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked(direction);
                    self.wait(direction).await?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => {
                    let rest = result.as_ref().map_or(Rest::Something, &rest);
                    if rest != Rest::Something {
                        self.with(|run| run.reactor.drained(self.key, direction, rest == Rest::Doubtful));
                    }
                    return result;
                }
            }
        }
    }

    /// As [`io`](Self::io), for what polls: streams of other libraries' kinds.
    ///
    /// Whoever polls may go away without a word, so nothing is left behind that anybody would have to wait for: the place
    /// among the waiters is given up to the next who comes through this registration, polling or not, and with the
    /// registration itself. A poll in a cancelled scope parks, and calls nothing. One that need not wait takes a yield now and
    /// then, before the call.
    #[cfg(feature = "__poll")]
    #[inline]
    pub(crate) fn poll_io<T>(
        &self,
        direction: Direction,
        context: &mut Context<'_>,
        mut call: impl FnMut() -> io::Result<T>,
        rest: impl FnOnce(&T) -> Rest,
    ) -> Poll<io::Result<T>> {
        match self.with(|run| self.poll_turn(run, direction, context)) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => return Poll::Pending,
        }
        loop {
            match call() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return self.with(|run| {
                        run.reactor.blocked(self.key, direction);
                        self.poll_wait(run, direction, context)
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => {
                    let rest = result.as_ref().map_or(Rest::Something, rest);
                    if rest != Rest::Something {
                        self.with(|run| run.reactor.drained(self.key, direction, rest == Rest::Doubtful));
                    }
                    return Poll::Ready(result);
                }
            }
        }
    }

    /// Whether a call may be made now.
    #[cfg(feature = "__poll")]
    fn poll_turn(&self, run: &Run, direction: Direction, context: &Context<'_>) -> Poll<io::Result<()>> {
        if run.is_cancelled_here() {
            run.park_cancelled(context);
            return Poll::Pending;
        }
        let reactor = &run.reactor;
        let found = reactor.with(self.key, direction, |side| {
            // It became ready while whoever polled was cancelled, and the cancellation has been taken back.
            let over = if side.ready { side.forget_poll(self.number, &reactor.waiters) } else { None };
            (side.ready, std::mem::take(&mut side.yielded), over)
        });
        match found {
            Some((false, _, _)) => self.poll_wait(run, direction, context),
            Some((true, true, _)) => Poll::Ready(Ok(())),
            _ if run.take_budget() => Poll::Ready(Ok(())),
            _ => {
                reactor.with(self.key, direction, |side| side.yielded = true);
                yield_now(run, context);
                Poll::Pending
            }
        }
    }

    /// Takes a place among the waiters, or keeps it. Never ready, but with an error.
    #[cfg(feature = "__poll")]
    fn poll_wait<T>(&self, run: &Run, direction: Direction, context: &Context<'_>) -> Poll<io::Result<T>> {
        let reactor = &run.reactor;
        let (node, number) = (run.current_id(), self.number);
        let known = reactor.with(self.key, direction, |side| {
            let mine = side.waiter.as_mut().filter(|waiter| waiter.polls && waiter.registration == number)?;
            mine.node = node;
            Some(mine.waker.will_wake(context.waker()))
        });
        if known.flatten() == Some(true) {
            return Poll::Pending;
        }
        let waker = StoredWaker::new(context.waker());
        let begun = reactor.source(self.key, |source| {
            let detached = source.detached;
            let side = source.side(direction);
            if detached {
                return Err((io::Error::other(ClosedResourceError), waker));
            }
            if side.is_busy(number) {
                return Err((io::Error::other(BusyResourceError), waker));
            }
            let waiter = Waiter { number, registration: number, polls: true, node, waker, ended: None };
            reactor.waiters.set(reactor.waiters.get() + 1);
            Ok(side.replace(waiter, &reactor.waiters))
        });
        // Foreign wakers go now that nothing is borrowed.
        match begun {
            Some(Ok(_)) => Poll::Pending,
            Some(Err((error, _))) => Poll::Ready(Err(error)),
            None => Poll::Ready(Err(io::Error::other(ClosedResourceError))),
        }
    }

    /// The descriptor will be closed as soon as the registration is dropped, by which the system forgets it: that saves a
    /// call. (If a duplicate keeps it open, there may be events for nobody, which do no harm.)
    pub(crate) fn closes(&self) {
        self.closes.set(true);
    }

    /// A call in this direction has said that it would block, or is known to: it is made again after the next edge.
    pub(crate) fn blocked(&self, direction: Direction) {
        self.with(|run| run.reactor.blocked(self.key, direction));
    }

    /// Waits for the next edge. To be awaited at once when a call in this direction has said that it would block.
    fn wait(&self, direction: Direction) -> Wait {
        let (key, registration, run) = (self.key, self.number, self.run);
        Wait { key, registration, direction, number: None, run, counts: true }
    }

    /// Whether it is worth trying a call in this direction.
    fn is_ready(&self, direction: Direction) -> bool {
        self.with(|run| run.reactor.is_ready(self.key, direction))
    }

    /// Waits until the descriptor is, as far as is known, ready in this direction. A checkpoint.
    pub(crate) async fn ready(&self, direction: Direction) -> io::Result<()> {
        if self.is_ready(direction) {
            free_checkpoint().await;
            return Ok(());
        }
        // If this is cancelled, the wait is the place where it is dropped.
        self.wait(direction).await
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        context::try_with(|run| {
            if run.opened.run == self.run {
                run.reactor.deregister(self.key, self.number, self.closes.get());
            }
        });
    }
}

/// Waits until a descriptor is readable: a read would give data, an end or an error, not block.
///
/// Works for sockets, pipes, terminals and whatever else the system's selector takes; not for plain files. A
/// checkpoint. Cancelling it has no effect on the descriptor.
///
/// # Errors
///
/// [`BusyResourceError`] (inside the `io::Error`) if another task waits for the same; [`ClosedResourceError`] if
/// [`notify_closing`] was called; the system's error if it can't watch the descriptor.
///
/// # Examples
///
/// ```
/// use std::io::{Read, Write};
/// use std::os::unix::net::UnixStream;
/// trio::run(async {
///     let (mut a, mut b) = UnixStream::pair()?;
///     b.set_nonblocking(true)?;
///     a.write_all(b"x")?;
///     trio::lowlevel::wait_readable(&b).await?;
///     assert_eq!(b.read(&mut [0; 8])?, 1);
///     std::io::Result::Ok(())
/// })
/// .unwrap();
/// ```
pub async fn wait_readable(fd: &impl AsFd) -> io::Result<()> {
    wait_fd(fd, Direction::Read, true).await
}

/// As [`wait_readable`], for what can only end a run, not let it go on: a run that waits for nothing else is stuck.
pub(crate) async fn listen_readable(fd: &impl AsFd) -> io::Result<()> {
    wait_fd(fd, Direction::Read, false).await
}

/// Waits until a descriptor is writable: a write would take data or give an error, not block.
///
/// Otherwise as [`wait_readable`].
///
/// # Errors
///
/// As [`wait_readable`].
pub async fn wait_writable(fd: &impl AsFd) -> io::Result<()> {
    wait_fd(fd, Direction::Write, true).await
}

/// Ends every wait for a descriptor with [`ClosedResourceError`]: call it before closing one that other tasks may
/// be waiting for. Not a checkpoint.
pub fn notify_closing(fd: &impl AsFd) {
    context::with(|run| run.reactor.close(fd.as_fd().as_raw_fd()));
}

async fn wait_fd(fd: &impl AsFd, direction: Direction, counts: bool) -> io::Result<()> {
    checkpoint_if_cancelled().await;
    let registration = Registration::new(&fd.as_fd(), false)?;
    // What the descriptor was ready for before is not known to be so now: ask the system again.
    registration.blocked(direction);
    registration.with(|run| run.reactor.rearm(registration.key))?;
    Wait { counts, ..registration.wait(direction) }.await
}
