//! Waiting for what others do to a locked value.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

use super::lock::{Lock, LockGuard, LockStatistics, WouldBlock};
use super::owner::Owner;
use super::wait_queue::{Operation, Place, Request, WaitQueue};

/// A [`Lock`] whose holder can wait for what other holders do: Trio's `Condition`.
///
/// Whoever is notified moves, in order, from the condition's queue to the lock's. So nobody is woken in vain, and nobody
/// who asks for the lock later gets it earlier. There are no spurious wake-ups; still, others may have had the lock
/// between the notification and the end of the wait, so wait in a loop until what is waited for is there.
///
/// # Examples
///
/// ```
/// use trio::Condition;
/// async fn take(basket: &Condition<Vec<&str>>) -> &'static str {
///     let mut fruits = basket.lock().await;
///     loop {
///         match fruits.pop() {
///             Some("apple") => return "apple",
///             Some(other) => panic!("{other}?"),
///             None => fruits = basket.wait(fruits).await,
///         }
///     }
/// }
/// trio::run(async {
///     let basket = Condition::new(Vec::new());
///     trio::nursery! { |n|
///         let eater = n.spawn(take(&basket));
///         trio::checkpoint().await;
///         basket.lock().await.push("apple");
///         let fruits = basket.lock().await;
///         basket.notify(1);
///         drop(fruits);
///         assert_eq!(eater.join().await, Ok("apple"));
///     }
/// });
/// ```
pub struct Condition<T = ()> {
    lock: Locked<T>,
    waiters: WaitQueue<Option<Owner>, Notified>,
}

enum Locked<T> {
    Own(Lock<T>),
    Shared(Rc<Lock<T>>),
}

/// What a waiter gets: it is in the lock's queue now.
struct Notified {
    place: Place,
    /// Whether somebody else is to be notified if the waiter goes away.
    pass_on: bool,
}

impl<T: Default> Default for Condition<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> Condition<T> {
    /// A condition with a lock of its own around a value.
    pub const fn new(value: T) -> Self {
        Self { lock: Locked::Own(Lock::new(value)), waiters: WaitQueue::new() }
    }

    /// A condition about a value whose lock is there already, perhaps with other conditions: Trio's `Condition(lock)`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::rc::Rc;
    /// use trio::{Condition, Lock};
    /// let queue = Rc::new(Lock::new(Vec::<u32>::new()));
    /// let (not_empty, not_full) = (Condition::with_lock(Rc::clone(&queue)), Condition::with_lock(queue));
    /// let held = not_empty.try_lock().unwrap();
    /// assert!(not_full.is_locked());
    /// # drop(held);
    /// ```
    pub const fn with_lock(lock: Rc<Lock<T>>) -> Self {
        Self { lock: Locked::Shared(lock), waiters: WaitQueue::new() }
    }

    fn inner(&self) -> &Lock<T> {
        match &self.lock {
            Locked::Own(lock) => lock,
            Locked::Shared(lock) => lock,
        }
    }

    /// Waits for the lock, as [`Lock::lock`]. A checkpoint.
    pub async fn lock(&self) -> LockGuard<'_, T> {
        self.inner().lock().await
    }

    /// Takes the lock if it is free. Not a checkpoint.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`] if it is held.
    pub fn try_lock(&self) -> Result<LockGuard<'_, T>, WouldBlock> {
        self.inner().try_lock()
    }

    /// Whether somebody holds the lock.
    pub fn is_locked(&self) -> bool {
        self.inner().is_locked()
    }

    /// Releases the lock, waits until notified, and comes back with the lock: all without a gap in which a notification
    /// could be missed.
    ///
    /// A checkpoint. If cancelled on entry or while waiting, the lock is released for good, since no code is left that
    /// would need it (in Trio, where there is such code, it is taken again first). A notification that a cancelled or
    /// dropped waiter had got from [`notify`](Self::notify) goes to the next one, so that it is not lost.
    ///
    /// # Panics
    ///
    /// If the guard is another lock's.
    pub async fn wait<'a>(&'a self, guard: LockGuard<'a, T>) -> LockGuard<'a, T> {
        assert!(std::ptr::eq(guard.lock(), self.inner()), "this guard is of another lock than the condition's");
        let wait = Wait { condition: self, guard: Cell::new(Some(guard)) };
        let Notified { place, pass_on } = Operation::new(wait, Owner::current()).await;
        Operation::adopt(Relock { condition: self, pass_on }, place).await;
        self.inner().guard()
    }

    /// Lets the `n` tasks that have waited longest go on, one after the other, when the lock is free. Not a checkpoint.
    ///
    /// # Panics
    ///
    /// If nobody holds the lock: as in Trio, whoever notifies must.
    #[track_caller]
    pub fn notify(&self, n: usize) {
        self.assert_locked();
        for _ in 0..n {
            if !self.requeue(true) {
                break;
            }
        }
    }

    /// Lets all tasks that wait go on, one after the other, when the lock is free. Not a checkpoint.
    ///
    /// # Panics
    ///
    /// If nobody holds the lock.
    ///
    /// # Examples
    ///
    /// ```
    /// use trio::Condition;
    /// async fn wait(open: &Condition<bool>) {
    ///     let mut is_open = open.lock().await;
    ///     while !*is_open {
    ///         is_open = open.wait(is_open).await;
    ///     }
    /// }
    /// trio::run(async {
    ///     let open = Condition::new(false);
    ///     trio::nursery! { |n|
    ///         n.start_soon(wait(&open));
    ///         n.start_soon(wait(&open));
    ///         trio::checkpoint().await;
    ///         *open.lock().await = true;
    ///         let _is_open = open.lock().await;
    ///         open.notify_all();
    ///     }
    /// });
    /// ```
    #[track_caller]
    pub fn notify_all(&self) {
        self.assert_locked();
        while self.requeue(false) {}
    }

    /// A snapshot of the condition. Not a checkpoint.
    ///
    /// # Examples
    ///
    /// ```
    /// let statistics = trio::Condition::new(()).statistics();
    /// assert_eq!((statistics.tasks_waiting, statistics.lock_statistics.locked), (0, false));
    /// ```
    pub fn statistics(&self) -> ConditionStatistics {
        ConditionStatistics { tasks_waiting: self.waiters.len(), lock_statistics: self.inner().statistics() }
    }

    #[track_caller]
    fn assert_locked(&self) {
        assert!(self.is_locked(), "notify needs the condition's lock, which nobody holds");
    }

    /// Moves the first waiter to the lock's queue.
    fn requeue(&self, pass_on: bool) -> bool {
        self.waiters.requeue(self.inner().waiters(), |owner| owner, |place| Notified { place, pass_on })
    }
}

/// What the first half of [`Condition::wait`] asks for.
struct Wait<'a, T> {
    condition: &'a Condition<T>,
    /// Dropped once the waiter is in the queue: the holder after it may notify at once.
    guard: Cell<Option<LockGuard<'a, T>>>,
}

impl<T> Request for Wait<'_, T> {
    type Payload = Option<Owner>;
    type Grant = Notified;

    fn queue(&self) -> &WaitQueue<Option<Owner>, Notified> {
        &self.condition.waiters
    }

    fn attempt(&self, _owner: &mut Option<Option<Owner>>) -> Option<Notified> {
        None
    }

    fn give_back(&self, Notified { place, pass_on }: Notified) {
        drop(Operation::adopt(Relock { condition: self.condition, pass_on }, place));
    }

    fn entered(&self) {
        drop(self.guard.take());
    }
}

/// What the second half asks for: the lock.
struct Relock<'a, T> {
    condition: &'a Condition<T>,
    pass_on: bool,
}

impl<T> Relock<'_, T> {
    fn pass_on(&self) {
        if self.pass_on {
            self.condition.requeue(true);
        }
    }
}

impl<T> Request for Relock<'_, T> {
    type Payload = Option<Owner>;
    type Grant = ();

    fn queue(&self) -> &WaitQueue<Option<Owner>, ()> {
        self.condition.inner().waiters()
    }

    fn attempt(&self, owner: &mut Option<Option<Owner>>) -> Option<()> {
        self.condition.inner().take(owner.flatten())
    }

    fn give_back(&self, _grant: ()) {
        self.pass_on();
        self.condition.inner().release();
    }

    fn left(&self) {
        self.pass_on();
        self.condition.inner().offer();
    }
}

impl<T: fmt::Debug> fmt::Debug for Condition<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condition").field("lock", self.inner()).field("waiting", &self.waiters.len()).finish()
    }
}

/// A snapshot of a [`Condition`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConditionStatistics {
    /// How many tasks wait and have not been notified.
    pub tasks_waiting: usize,
    /// The state of its lock. Who has been notified waits there.
    pub lock_statistics: LockStatistics,
}
