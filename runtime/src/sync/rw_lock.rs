//! A lock that many can read under, or one write.

use std::cell::{Cell, Ref, RefCell, RefMut};
use std::fmt;
use std::ops::{Deref, DerefMut};

use super::lock::WouldBlock;
use super::wait_queue::{Operation, Request, WaitQueue};

/// A value that many tasks can read at once, or one can write, across checkpoints.
///
/// Trio has none; its users build it by hand. Fair: tasks are let in in the order in which they came, readers together
/// with the readers right behind them. So a writer waits only for those who came before it, and readers that come after a
/// waiting writer wait for it. Not re-entrant: a task that asks for a second read lock while a writer waits for its first
/// one waits until cancelled.
///
/// A guard that is forgotten keeps the lock for ever.
///
/// # Examples
///
/// ```
/// use trio::RwLock;
/// trio::run(async {
///     let price = RwLock::new(3);
///     {
///         let (one, two) = (price.read().await, price.read().await);
///         assert_eq!(*one + *two, 6);
///     }
///     *price.write().await += 1;
///     assert_eq!(price.into_inner(), 4);
/// });
/// ```
pub struct RwLock<T = ()> {
    readers: Cell<usize>,
    written: Cell<bool>,
    waiters: WaitQueue<Access, ()>,
    /// Borrowed by the guards, as `readers` and `written` say.
    value: RefCell<T>,
}

/// What a task wants to do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> RwLock<T> {
    /// An unlocked lock around a value.
    pub const fn new(value: T) -> Self {
        let (readers, written) = (Cell::new(0), Cell::new(false));
        Self { readers, written, waiters: WaitQueue::new(), value: RefCell::new(value) }
    }

    /// Waits until nobody writes and nobody waits who came before, and reads until the guard is dropped.
    ///
    /// A checkpoint, also if the lock is free. Cancelling the wait leaves the queue; a lock that was handed over
    /// already is given back.
    pub async fn read(&self) -> RwLockReadGuard<'_, T> {
        Operation::new(Enter { lock: self, access: Access::Read }, Access::Read).await;
        self.read_guard()
    }

    /// Waits until the lock is free and it is this task's turn, and has it alone until the guard is dropped.
    ///
    /// A checkpoint, also if the lock is free. Cancelling the wait leaves the queue, and lets those in who waited only
    /// for this writer; a lock that was handed over already is given back.
    pub async fn write(&self) -> RwLockWriteGuard<'_, T> {
        Operation::new(Enter { lock: self, access: Access::Write }, Access::Write).await;
        self.write_guard()
    }

    /// Reads if that is possible without waiting. Not a checkpoint.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`] if somebody writes, or waits.
    pub fn try_read(&self) -> Result<RwLockReadGuard<'_, T>, WouldBlock> {
        self.take(Access::Read).map(|()| self.read_guard()).ok_or(WouldBlock)
    }

    /// Takes the lock alone if it is free. Not a checkpoint.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`] if somebody reads or writes.
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = trio::RwLock::new(1);
    /// let reads = lock.try_read().unwrap();
    /// assert!(lock.try_write().is_err());
    /// drop(reads);
    /// *lock.try_write().unwrap() = 2;
    /// ```
    pub fn try_write(&self) -> Result<RwLockWriteGuard<'_, T>, WouldBlock> {
        self.take(Access::Write).map(|()| self.write_guard()).ok_or(WouldBlock)
    }

    /// The value, without locking: nobody else can have it.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut lock = trio::RwLock::new(1);
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

    /// A snapshot of the lock. Not a checkpoint.
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = trio::RwLock::new(());
    /// let guards = (lock.try_read().unwrap(), lock.try_read().unwrap());
    /// assert_eq!(lock.statistics().readers, 2);
    /// # drop(guards);
    /// ```
    pub fn statistics(&self) -> RwLockStatistics {
        RwLockStatistics {
            readers: self.readers.get(),
            written: self.written.get(),
            tasks_waiting_read: self.waiters.count_payloads(|access| *access == Access::Read),
            tasks_waiting_write: self.waiters.count_payloads(|access| *access == Access::Write),
        }
    }

    /// Whether such an access would go together with those that there are.
    fn fits(&self, access: Access) -> bool {
        !self.written.get() && (access == Access::Read || self.readers.get() == 0)
    }

    fn take(&self, access: Access) -> Option<()> {
        (self.fits(access) && !self.waiters.has_waiters()).then(|| self.enter(access))
    }

    fn enter(&self, access: Access) {
        match access {
            Access::Read => self.readers.set(self.readers.get() + 1),
            Access::Write => self.written.set(true),
        }
    }

    fn leave(&self, access: Access) {
        match access {
            Access::Read => self.readers.set(self.readers.get() - 1),
            Access::Write => self.written.set(false),
        }
        self.admit();
    }

    /// Lets in whoever is first in the queue, and then the next, as far as they fit.
    fn admit(&self) {
        while self.waiters.hand_off_if(|access| self.fits(*access), |access| self.enter(access)) {}
    }

    fn read_guard(&self) -> RwLockReadGuard<'_, T> {
        RwLockReadGuard { value: Some(self.value.borrow()), lock: self }
    }

    fn write_guard(&self) -> RwLockWriteGuard<'_, T> {
        RwLockWriteGuard { value: Some(self.value.borrow_mut()), lock: self }
    }
}

/// What [`RwLock::read`] and [`RwLock::write`] ask for.
struct Enter<'a, T> {
    lock: &'a RwLock<T>,
    access: Access,
}

impl<T> Request for Enter<'_, T> {
    type Payload = Access;
    type Grant = ();

    fn queue(&self) -> &WaitQueue<Access, ()> {
        &self.lock.waiters
    }

    fn attempt(&self, _access: &mut Option<Access>) -> Option<()> {
        self.lock.take(self.access)
    }

    fn give_back(&self, _grant: ()) {
        self.lock.leave(self.access);
    }

    fn cancelled(&self) {
        self.lock.admit();
    }

    fn left(&self) {
        self.lock.admit();
    }
}

impl<T: fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("RwLock");
        match self.value.try_borrow() {
            Ok(value) => debug.field("value", &value),
            Err(_) => debug.field("value", &format_args!("<locked>")),
        };
        debug.field("readers", &self.readers.get()).field("waiting", &self.waiters.len()).finish()
    }
}

/// A [`RwLock`] that is read; released when dropped.
#[must_use = "a guard that is dropped at once releases the lock at once: bind it"]
pub struct RwLockReadGuard<'a, T> {
    /// Taken before the lock is handed on.
    value: Option<Ref<'a, T>>,
    lock: &'a RwLock<T>,
}

impl<T> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().expect("the value goes with the guard")
    }
}

impl<T: fmt::Debug> fmt::Debug for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T> Drop for RwLockReadGuard<'_, T> {
    fn drop(&mut self) {
        self.value = None;
        self.lock.leave(Access::Read);
    }
}

/// A [`RwLock`] that is written; released when dropped.
#[must_use = "a guard that is dropped at once releases the lock at once: bind it"]
pub struct RwLockWriteGuard<'a, T> {
    /// Taken before the lock is handed on.
    value: Option<RefMut<'a, T>>,
    lock: &'a RwLock<T>,
}

impl<T> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().expect("the value goes with the guard")
    }
}

impl<T> DerefMut for RwLockWriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect("the value goes with the guard")
    }
}

impl<T: fmt::Debug> fmt::Debug for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T> Drop for RwLockWriteGuard<'_, T> {
    fn drop(&mut self) {
        self.value = None;
        self.lock.leave(Access::Write);
    }
}

/// A snapshot of a [`RwLock`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RwLockStatistics {
    /// How many have it to read.
    pub readers: usize,
    /// Whether somebody has it to write.
    pub written: bool,
    /// How many tasks wait to read.
    pub tasks_waiting_read: usize,
    /// How many tasks wait to write.
    pub tasks_waiting_write: usize,
}
