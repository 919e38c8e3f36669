//! The mio side of a run: which descriptors it watches, whether they are ready, and who waits for them.
//!
//! Descriptors are registered once, edge-triggered, for both directions. An edge is remembered as `ready` until a
//! system call says that it would block, so that no wake-up is lost between looking and waiting; everything happens
//! on one thread, so there is nothing in between. A descriptor has one registration, however many handles use it:
//! the table by number makes waiting for a socket of ours through `wait_readable` possible.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Token};
use slab::Slab;

use super::checkpoint::{checkpoint_if_cancelled, schedule_point};
use super::context;
use super::run::{Run, wrong_run};
use super::tree::NodeId;
use super::waker::StoredWaker;

/// How many events one system call can bring.
const EVENTS: usize = 1024;
/// The token of the kick that other threads give.
const KICK: Token = Token(usize::MAX);

/// Which way data goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Read,
    Write,
}

/// One direction of one descriptor.
#[derive(Default)]
struct Side {
    /// An edge has come, and no call has found the descriptor blocked since.
    ready: bool,
    /// The other end is gone in this direction: it stays ready for good.
    closed: bool,
    waiter: Option<Waiter>,
}

struct Waiter {
    number: u64,
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

struct Watched {
    fd: RawFd,
    serial: u64,
    /// Handles and waits that use the registration.
    users: usize,
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

/// The descriptors of one run.
pub(crate) struct Reactor {
    poll: RefCell<mio::Poll>,
    events: RefCell<Events>,
    kick: Arc<mio::Waker>,
    watched: RefCell<Slab<Watched>>,
    by_fd: RefCell<HashMap<RawFd, usize>>,
    next_serial: Cell<u64>,
    waiters: Cell<usize>,
}

impl Reactor {
    pub(crate) fn new() -> io::Result<Self> {
        let poll = mio::Poll::new()?;
        let kick = Arc::new(mio::Waker::new(poll.registry(), KICK)?);
        Ok(Self {
            poll: RefCell::new(poll),
            events: RefCell::new(Events::with_capacity(EVENTS)),
            kick,
            watched: RefCell::default(),
            by_fd: RefCell::default(),
            next_serial: Cell::new(1),
            waiters: Cell::new(0),
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

    /// Waits for events for at most `timeout`, and wakes whom they concern. Gives how many waits have ended.
    ///
    /// A wait that `is_cancelled` is not ended: it counts as having left when the cancellation came.
    pub(crate) fn turn(&self, timeout: Option<Duration>, is_cancelled: impl Fn(NodeId) -> bool) -> usize {
        let mut events = self.events.borrow_mut();
        match self.poll.borrow_mut().poll(&mut events, timeout) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return 0,
            Err(error) => panic!("trio's I/O selector failed: {error}"),
        }
        let mut woken = Vec::new();
        {
            let mut watched = self.watched.borrow_mut();
            for event in events.iter().filter(|event| event.token() != KICK) {
                // A registration that is gone can't have an event in a later call, so an index that is taken again
                // gets at worst one event too many, which every user must expect anyway.
                let Some(source) = watched.get_mut(event.token().0) else { continue };
                let failed = event.is_error();
                source.read.closed |= event.is_read_closed();
                source.write.closed |= event.is_write_closed();
                if event.is_readable() || event.is_read_closed() || failed {
                    woken.extend(source.read.set_ready(&is_cancelled));
                }
                if event.is_writable() || event.is_write_closed() || failed {
                    woken.extend(source.write.set_ready(&is_cancelled));
                }
            }
        }
        drop(events);
        let count = woken.len();
        for waker in woken {
            waker.wake();
        }
        count
    }

    /// Watches a descriptor, or joins those who do already.
    pub(crate) fn register(&self, fd: RawFd) -> io::Result<SourceKey> {
        let known = self.by_fd.borrow().get(&fd).copied();
        if let Some(index) = known {
            if let Some(source) = self.watched.borrow_mut().get_mut(index) {
                source.users += 1;
                return Ok(SourceKey { index, serial: source.serial });
            }
        }
        let mut watched = self.watched.borrow_mut();
        let entry = watched.vacant_entry();
        let index = entry.key();
        let poll = self.poll.borrow();
        poll.registry().register(&mut SourceFd(&fd), Token(index), Interest::READABLE | Interest::WRITABLE)?;
        let serial = self.next_serial.get();
        self.next_serial.set(serial + 1);
        entry.insert(Watched { fd, serial, users: 1, read: Side::default(), write: Side::default() });
        self.by_fd.borrow_mut().insert(fd, index);
        Ok(SourceKey { index, serial })
    }

    /// Has the system report anew what a descriptor is ready for: its edges may have been used up by others.
    fn rearm(&self, key: SourceKey) -> io::Result<()> {
        let fd = match self.watched.borrow().get(key.index) {
            Some(source) => source.fd,
            None => return Ok(()),
        };
        let (poll, interest) = (self.poll.borrow(), Interest::READABLE | Interest::WRITABLE);
        match poll.registry().reregister(&mut SourceFd(&fd), Token(key.index), interest) {
            // The descriptor was closed behind our back, and its number has been given out anew.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                poll.registry().register(&mut SourceFd(&fd), Token(key.index), interest)
            }
            result => result,
        }
    }

    /// Stops using a registration; the last one to do so ends it.
    pub(crate) fn deregister(&self, key: SourceKey) {
        let mut watched = self.watched.borrow_mut();
        let Some(source) = watched.get_mut(key.index).filter(|source| source.serial == key.serial) else { return };
        source.users -= 1;
        if source.users > 0 {
            return;
        }
        let source = watched.remove(key.index);
        self.by_fd.borrow_mut().remove(&source.fd);
        drop(watched);
        // Fails if the descriptor was closed behind our back, which took it out already.
        let _ = self.poll.borrow().registry().deregister(&mut SourceFd(&source.fd));
        // Foreign wakers go when nothing is borrowed.
        drop(source);
    }

    /// Whether a call in this direction is worth trying: false once one has said that it would block.
    pub(crate) fn is_ready(&self, key: SourceKey, direction: Direction) -> bool {
        self.with(key, direction, |side| side.ready).unwrap_or(true)
    }

    /// A call has found the descriptor blocked, or drained.
    pub(crate) fn clear_ready(&self, key: SourceKey, direction: Direction) {
        self.with(key, direction, |side| side.ready = side.closed);
    }

    fn with<R>(&self, key: SourceKey, direction: Direction, f: impl FnOnce(&mut Side) -> R) -> Option<R> {
        let mut watched = self.watched.borrow_mut();
        let source = watched.get_mut(key.index).filter(|source| source.serial == key.serial)?;
        Some(f(source.side(direction)))
    }

    /// Ends every wait for a descriptor, as [`notify_closing`] promises.
    fn close(&self, fd: RawFd) {
        let mut woken = Vec::new();
        if let Some(index) = self.by_fd.borrow().get(&fd) {
            if let Some(source) = self.watched.borrow_mut().get_mut(*index) {
                woken.extend(source.read.end(WaitEnd::Closed));
                woken.extend(source.write.end(WaitEnd::Closed));
            }
        }
        for waker in woken {
            waker.wake();
        }
    }
}

impl Side {
    fn set_ready(&mut self, is_cancelled: impl Fn(NodeId) -> bool) -> Option<StoredWaker> {
        self.ready = true;
        let cancelled = self.waiter.as_ref().is_some_and(|waiter| is_cancelled(waiter.node));
        if cancelled { None } else { self.end(WaitEnd::Ready) }
    }

    fn end(&mut self, how: WaitEnd) -> Option<StoredWaker> {
        let waiter = self.waiter.as_mut().filter(|waiter| waiter.ended.is_none())?;
        waiter.ended = Some(how);
        Some(std::mem::take(&mut waiter.waker))
    }
}

/// Another task is waiting for the same thing: only one can at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BusyResourceError;

impl fmt::Display for BusyResourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("another task is already waiting for this")
    }
}

impl std::error::Error for BusyResourceError {}

/// You closed it: the resource that the operation was to use is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
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
    direction: Direction,
    number: Option<u64>,
    run: u64,
}

impl Wait {
    fn new(run: &Run, key: SourceKey, direction: Direction) -> Self {
        Self { key, direction, number: None, run: run.opened.run }
    }

    fn poll_in(&mut self, run: &Run, context: &Context<'_>) -> Poll<io::Result<()>> {
        if run.opened.run != self.run {
            wrong_run("wait for I/O");
        }
        let reactor = &run.reactor;
        let Some(number) = self.number else { return self.begin(run, context) };
        let over = reactor.with(self.key, self.direction, |side| {
            side.waiter.as_ref().filter(|waiter| waiter.number == number).and_then(|waiter| waiter.ended)
        });
        match over.flatten() {
            Some(WaitEnd::Ready) => return Poll::Ready(Ok(())),
            Some(WaitEnd::Closed) => return Poll::Ready(Err(io::Error::other(ClosedResourceError))),
            None => {}
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

    fn begin(&mut self, run: &Run, context: &Context<'_>) -> Poll<io::Result<()>> {
        let (waker, node) = (StoredWaker::new(context.waker()), run.current_id());
        let reactor = &run.reactor;
        let number = reactor.next_serial.get();
        reactor.next_serial.set(number + 1);
        let begun = reactor.with(self.key, self.direction, |side| {
            if side.waiter.is_some() {
                return Err(io::Error::other(BusyResourceError));
            }
            side.waiter = Some(Waiter { number, node, waker, ended: None });
            Ok(())
        });
        match begun {
            Some(Err(busy)) => Poll::Ready(Err(busy)),
            Some(Ok(())) => {
                self.number = Some(number);
                reactor.waiters.set(reactor.waiters.get() + 1);
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
            reactor.waiters.set(reactor.waiters.get() - 1);
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
/// The descriptor must outlive it.
#[derive(Debug)]
pub(crate) struct Registration {
    key: SourceKey,
    run: u64,
}

impl Registration {
    /// Registers a descriptor with the current run.
    pub(crate) fn new(fd: &impl AsRawFd) -> io::Result<Self> {
        context::with(|run| {
            Ok(Self { key: run.reactor.register(fd.as_raw_fd())?, run: run.opened.run })
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

    /// Repeats a non-blocking call until it does not say `WouldBlock`, waiting for readiness in between. A checkpoint:
    /// nothing is called when cancelled.
    ///
    /// `drained` says of a result that the descriptor has nothing more to give for now.
    pub(crate) async fn io<T>(
        &self,
        direction: Direction,
        mut call: impl FnMut() -> io::Result<T>,
        drained: impl Fn(&T) -> bool,
    ) -> io::Result<T> {
        checkpoint_if_cancelled().await;
        let mut waited = false;
        loop {
            match call() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wait(direction).await?;
                    waited = true;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => {
                    if result.as_ref().is_ok_and(&drained) {
                        self.with(|run| run.reactor.clear_ready(self.key, direction));
                    }
                    if !waited {
                        schedule_point().await;
                    }
                    return result;
                }
            }
        }
    }

    /// Waits until a call in this direction is worth trying again, after one said that it would block.
    async fn wait(&self, direction: Direction) -> io::Result<()> {
        let wait = self.with(|run| {
            run.reactor.clear_ready(self.key, direction);
            Wait::new(run, self.key, direction)
        });
        wait.await
    }

    /// Whether it is worth trying a call in this direction.
    pub(crate) fn is_ready(&self, direction: Direction) -> bool {
        self.with(|run| run.reactor.is_ready(self.key, direction))
    }

    /// Waits until the descriptor is, as far as is known, ready in this direction. A checkpoint.
    pub(crate) async fn ready(&self, direction: Direction) -> io::Result<()> {
        checkpoint_if_cancelled().await;
        if self.is_ready(direction) {
            schedule_point().await;
            return Ok(());
        }
        self.wait(direction).await
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        context::try_with(|run| {
            if run.opened.run == self.run {
                run.reactor.deregister(self.key);
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
    wait_fd(fd, Direction::Read).await
}

/// Waits until a descriptor is writable: a write would take data or give an error, not block.
///
/// Otherwise as [`wait_readable`].
///
/// # Errors
///
/// As [`wait_readable`].
pub async fn wait_writable(fd: &impl AsFd) -> io::Result<()> {
    wait_fd(fd, Direction::Write).await
}

/// Ends every wait for a descriptor with [`ClosedResourceError`]: call it before closing one that other tasks may
/// be waiting for. Not a checkpoint.
pub fn notify_closing(fd: &impl AsFd) {
    context::with(|run| run.reactor.close(fd.as_fd().as_raw_fd()));
}

async fn wait_fd(fd: &impl AsFd, direction: Direction) -> io::Result<()> {
    checkpoint_if_cancelled().await;
    let registration = Registration::new(&fd.as_fd())?;
    let wait = context::with(|run| {
        // What the descriptor was ready for before is not known to be so now: ask the system again.
        run.reactor.clear_ready(registration.key, direction);
        run.reactor.rearm(registration.key)?;
        io::Result::Ok(Wait::new(run, registration.key, direction))
    })?;
    wait.await
}