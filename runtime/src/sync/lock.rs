//! A lock that is handed on in the order in which it was asked for.

use std::cell::{Cell, RefCell, RefMut};
use std::fmt;
use std::ops::{Deref, DerefMut};

use super::owner::Owner;
use super::wait_queue::{Operation, Request, WaitQueue};
use crate::kernel::view::Task;

/// An operation could not complete without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WouldBlock;

impl fmt::Display for WouldBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the operation would have to wait")
    }
}

impl std::error::Error for WouldBlock {}

/// A value that one task at a time can use, across checkpoints: Trio's `Lock`.
///
/// Fair: the task that has waited longest gets the lock next, handed over at the moment it is released, so a task that
/// releases it and asks again queues up behind the others. Not re-entrant: a task that waits for a lock it holds waits
/// until cancelled.
///
/// What holds the lock is the guard, which one task may hand to another. A task that ends drops its guards, so it can't
/// leave a lock behind, as it can in Trio; a guard that is forgotten ([`std::mem::forget`]) keeps the lock for ever.
///
/// # Examples
///
/// ```
/// use trio::Lock;
/// async fn add(total: &Lock<u32>) {
///     let mut total = total.lock().await;
///     let before = *total;
///     trio::checkpoint().await;
///     *total = before + 1;
/// }
/// trio::run(async {
///     let total = Lock::new(0);
///     trio::nursery! { |n|
///         for _ in 0..10 {
///             n.start_soon(add(&total));
///         }
///     }
///     assert_eq!(total.into_inner(), 10);
/// });
/// ```
pub struct Lock<T = ()> {
    locked: Cell<bool>,
    /// Who got it last.
    owner: Cell<Option<Owner>>,
    /// Each waiter brings the task that is to own the lock.
    waiters: WaitQueue<Option<Owner>, ()>,
    /// Borrowed by the guard: by one at a time, since `locked` says so.
    value: RefCell<T>,
}

impl<T: Default> Default for Lock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> Lock<T> {
    /// An unlocked lock around a value.
    pub const fn new(value: T) -> Self {
        let (locked, owner) = (Cell::new(false), Cell::new(None));
        Self { locked, owner, waiters: WaitQueue::new(), value: RefCell::new(value) }
    }

    /// Waits for the lock, and holds it until the guard is dropped.
    ///
    /// A checkpoint, also if the lock is free. Cancelling the wait leaves the queue; a lock that was handed over
    /// already goes to the next.
    pub async fn lock(&self) -> LockGuard<'_, T> {
        Operation::new(self, Owner::current()).await;
        self.guard()
    }

    /// Takes the lock if it is free. Not a checkpoint.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`] if it is held.
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = trio::Lock::new(1);
    /// let guard = lock.try_lock().unwrap();
    /// assert!(lock.is_locked());
    /// assert!(lock.try_lock().is_err());
    /// # drop(guard);
    /// ```
    pub fn try_lock(&self) -> Result<LockGuard<'_, T>, WouldBlock> {
        self.take(Owner::current()).map(|()| self.guard()).ok_or(WouldBlock)
    }

    /// Whether somebody holds it.
    pub fn is_locked(&self) -> bool {
        self.locked.get()
    }

    /// The value, without locking: nobody else can have it.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut lock = trio::Lock::new(1);
    /// *lock.get_mut() += 1;
    /// assert_eq!(lock.into_inner(), 2);
    /// ```
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }

    /// A snapshot of the lock: Trio's `Lock.statistics`. Not a checkpoint.
    ///
    /// # Examples
    ///
    /// ```
    /// trio::run(async {
    ///     let lock = trio::Lock::new(1);
    ///     let guard = lock.lock().await;
    ///     let statistics = lock.statistics();
    ///     assert!(statistics.locked);
    ///     assert_eq!(statistics.owner, Some(trio::lowlevel::current_task()));
    ///     drop(guard);
    ///     assert!(!lock.statistics().locked);
    /// });
    /// ```
    pub fn statistics(&self) -> LockStatistics {
        let locked = self.is_locked();
        let owner = self.owner.get().filter(|_| locked).and_then(Owner::task);
        LockStatistics { locked, owner, tasks_waiting: self.waiters.len() }
    }

    #[inline]
    pub(super) fn take(&self, owner: Option<Owner>) -> Option<()> {
        if self.locked.replace(true) {
            return None;
        }
        self.owner.set(owner);
        Some(())
    }

    #[inline]
    pub(super) fn guard(&self) -> LockGuard<'_, T> {
        LockGuard { value: Some(self.value.borrow_mut()), lock: self }
    }

    #[inline]
    pub(super) fn release(&self) {
        if !self.waiters.hand_off(|owner| self.owner.set(owner)) {
            self.locked.set(false);
        }
    }

    /// Gives a lock that nobody holds to who waits for it.
    pub(super) fn offer(&self) {
        if !self.locked.replace(true) {
            self.release();
        }
    }

    pub(super) const fn waiters(&self) -> &WaitQueue<Option<Owner>, ()> {
        &self.waiters
    }
}

/// A [`Lock`] under the name for those who rely on its order: Trio's `StrictFIFOLock`.
///
/// In Trio a plain lock may be unfair one day. Here the order is part of the contract of both.
///
/// # Examples
///
/// ```
/// trio::run(async {
///     let lock = trio::StrictFifoLock::new(1);
///     *lock.lock().await += 1;
///     assert_eq!(lock.into_inner(), 2);
/// });
/// ```
pub type StrictFifoLock<T = ()> = Lock<T>;

/// A snapshot of a [`Lock`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockStatistics {
    /// Whether it is held.
    pub locked: bool,
    /// The task that it was given to, even if its guard has gone elsewhere since; `None` if that task has ended, or the
    /// lock is free.
    pub owner: Option<Task>,
    /// How many tasks wait for it.
    pub tasks_waiting: usize,
}

impl<T> Request for &Lock<T> {
    type Payload = Option<Owner>;
    type Grant = ();

    fn queue(&self) -> &WaitQueue<Option<Owner>, ()> {
        &self.waiters
    }

    #[inline]
    fn attempt(&self, owner: &mut Option<Option<Owner>>) -> Option<()> {
        self.take(owner.flatten())
    }

    fn give_back(&self, _grant: ()) {
        self.release();
    }
}

impl<T: fmt::Debug> fmt::Debug for Lock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Lock");
        match self.value.try_borrow() {
            Ok(value) => debug.field("value", &value),
            Err(_) => debug.field("value", &format_args!("<locked>")),
        };
        debug.field("waiting", &self.waiters.len()).finish()
    }
}

/// A [`Lock`] that is held; released when dropped.
#[must_use = "a guard that is dropped at once releases the lock at once: bind it"]
pub struct LockGuard<'a, T> {
    /// Taken before the lock is handed on.
    value: Option<RefMut<'a, T>>,
    lock: &'a Lock<T>,
}

impl<'a, T> LockGuard<'a, T> {
    /// The lock that is held.
    pub(super) const fn lock(&self) -> &'a Lock<T> {
        self.lock
    }
}

impl<T> Deref for LockGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().expect("the value goes with the guard")
    }
}

impl<T> DerefMut for LockGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect("the value goes with the guard")
    }
}

impl<T: fmt::Debug> fmt::Debug for LockGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T> Drop for LockGuard<'_, T> {
    fn drop(&mut self) {
        self.value = None;
        self.lock.release();
    }
}
