//! A value that can be waited for.

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::rc::Rc;

use super::wait_queue::{Operation, Request, WaitQueue};
use crate::kernel::checkpoint::free_checkpoint;

/// A value that tasks can wait for until it is as they want it, or changes as they want it to: trio-util's `AsyncValue`.
///
/// No change is missed, however soon the next one comes: who waits sees each value in turn, and gets the one that
/// it waited for, even if the value is another one by the time it goes on.
///
/// # Examples
///
/// ```
/// use trio::AsyncValue;
/// async fn wait(level: &AsyncValue<u32>) -> u32 {
///     level.wait_value(|level| *level >= 3).await
/// }
/// trio::run(async {
///     let level = AsyncValue::new(0);
///     trio::nursery! { |n|
///         let high = n.spawn(wait(&level));
///         trio::checkpoint().await;
///         level.set(4);
///         level.set(1);
///         assert_eq!(high.join().await, Ok(4));
///         assert_eq!(level.get(), 1);
///     }
/// });
/// ```
pub struct AsyncValue<T> {
    newest: RefCell<Rc<Version<T>>>,
    /// Who waits for a change; they get the newest version at the time.
    waiters: WaitQueue<(), Rc<Version<T>>>,
    /// How many of them have been told and have not run since.
    told: Cell<usize>,
}

/// One value that there has been. Those before the newest are kept by who has not seen them yet.
struct Version<T> {
    value: T,
    next: OnceCell<Rc<Self>>,
}

impl<T> Version<T> {
    fn new(value: T) -> Rc<Self> {
        Rc::new(Self { value, next: OnceCell::new() })
    }
}

impl<T> Drop for Version<T> {
    fn drop(&mut self) {
        // One after the other: a long chain that nobody wants any more would overflow the stack.
        let mut next = self.next.take();
        while let Some(mut version) = next.and_then(Rc::into_inner) {
            next = version.next.take();
        }
    }
}

impl<T: Default> Default for AsyncValue<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> AsyncValue<T> {
    /// A value to begin with.
    pub fn new(value: T) -> Self {
        Self { newest: RefCell::new(Version::new(value)), waiters: WaitQueue::new(), told: Cell::new(0) }
    }

    /// What the value is now.
    pub fn get(&self) -> T
    where
        T: Clone,
    {
        self.newest().value.clone()
    }

    /// Looks at the value where it is. What is set meanwhile is not seen.
    ///
    /// # Examples
    ///
    /// ```
    /// let name = trio::AsyncValue::new(String::from("trio"));
    /// assert_eq!(name.with(|name| name.len()), 4);
    /// ```
    pub fn with<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.newest().value)
    }

    /// Changes the value, and wakes those who wait for it. Not a checkpoint.
    ///
    /// An equal value is no change.
    pub fn set(&self, value: T)
    where
        T: PartialEq,
    {
        if self.newest().value == value {
            return;
        }
        let new = Version::new(value);
        let old = self.newest.replace(Rc::clone(&new));
        let linked = old.next.set(Rc::clone(&new));
        debug_assert!(linked.is_ok(), "the newest version has no next one");
        // The value's destructor may do anything, so it runs when all is in place.
        drop(old);
        if self.told.get() > 0 {
            // Who was told of the version before and has not run yet has this one coming too.
            self.waiters.renew_grants(|| Rc::clone(&new));
        }
        while self.waiters.hand_off(|()| self.tell(&new)) {}
    }

    /// Changes the value to what a closure makes of it; see [`set`](Self::set).
    ///
    /// # Examples
    ///
    /// ```
    /// let count = trio::AsyncValue::new(1);
    /// count.update(|count| *count += 1);
    /// assert_eq!(count.get(), 2);
    /// ```
    pub fn update(&self, change: impl FnOnce(&mut T))
    where
        T: Clone + PartialEq,
    {
        let mut value = self.get();
        change(&mut value);
        self.set(value);
    }

    /// Waits until the value is as `holds` says, and gives that value.
    ///
    /// A checkpoint, also if it is so already. What the value was while the task was not cancelled counts; what was
    /// set after the cancellation does not.
    pub async fn wait_value(&self, mut holds: impl FnMut(&T) -> bool) -> T
    where
        T: Clone,
    {
        let mut cursor = self.cursor();
        if holds(&cursor.seen.value) {
            free_checkpoint().await;
            return cursor.seen.value.clone();
        }
        loop {
            let (_, new) = cursor.step().await;
            if holds(&new.value) {
                return new.value.clone();
            }
        }
    }

    /// Waits until the value changes, from now on, in a way for which `is_one(new, old)` holds, and gives both.
    ///
    /// A checkpoint.
    ///
    /// # Examples
    ///
    /// ```
    /// use trio::AsyncValue;
    /// async fn wait(level: &AsyncValue<i32>) -> (i32, i32) {
    ///     level.wait_transition(|new, old| new < old).await
    /// }
    /// trio::run(async {
    ///     let level = AsyncValue::new(0);
    ///     trio::nursery! { |n|
    ///         let drop = n.spawn(wait(&level));
    ///         trio::checkpoint().await;
    ///         level.set(5);
    ///         level.set(2);
    ///         assert_eq!(drop.join().await, Ok((2, 5)));
    ///     }
    /// });
    /// ```
    pub async fn wait_transition(&self, mut is_one: impl FnMut(&T, &T) -> bool) -> (T, T)
    where
        T: Clone,
    {
        let mut cursor = self.cursor();
        loop {
            let (old, new) = cursor.step().await;
            if is_one(&new.value, &old.value) {
                return (new.value.clone(), old.value.clone());
            }
        }
    }

    /// All changes from now on, one after the other.
    ///
    /// Changes that have not been asked for yet are kept until they are, or until what this gives is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// trio::run(async {
    ///     let level = trio::AsyncValue::new(0);
    ///     let mut transitions = level.transitions();
    ///     level.set(1);
    ///     level.set(2);
    ///     assert_eq!(transitions.next().await, (1, 0));
    ///     assert_eq!(transitions.next().await, (2, 1));
    /// });
    /// ```
    pub fn transitions(&self) -> Transitions<'_, T> {
        Transitions(self.cursor())
    }

    /// A snapshot. Not a checkpoint.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(trio::AsyncValue::new(1).statistics().tasks_waiting, 0);
    /// ```
    pub fn statistics(&self) -> AsyncValueStatistics {
        AsyncValueStatistics { tasks_waiting: self.waiters.len() }
    }

    fn newest(&self) -> Rc<Version<T>> {
        Rc::clone(&self.newest.borrow())
    }

    fn tell(&self, version: &Rc<Version<T>>) -> Rc<Version<T>> {
        self.told.set(self.told.get() + 1);
        Rc::clone(version)
    }

    fn has_run(&self) {
        self.told.set(self.told.get() - 1);
    }

    fn cursor(&self) -> Cursor<'_, T> {
        let newest = self.newest();
        Cursor { value: self, seen: Rc::clone(&newest), granted: newest }
    }
}

/// How far somebody has looked through the versions.
struct Cursor<'a, T> {
    value: &'a AsyncValue<T>,
    seen: Rc<Version<T>>,
    /// The newest version that it has been told of. What comes later needs another wait, so that a cancellation in
    /// between wins.
    granted: Rc<Version<T>>,
}

impl<T> Cursor<'_, T> {
    /// Waits for the next version; gives the one before it and it.
    async fn step(&mut self) -> (Rc<Version<T>>, Rc<Version<T>>) {
        if Rc::ptr_eq(&self.seen, &self.granted) {
            self.granted = Operation::new(Change { value: self.value, seen: &self.seen }, ()).await;
            self.value.has_run();
        }
        let new = self.seen.next.get().expect("there is a change between what was seen and what was granted");
        let new = Rc::clone(new);
        (std::mem::replace(&mut self.seen, Rc::clone(&new)), new)
    }
}

/// What a cursor that has seen everything asks for.
struct Change<'a, T> {
    value: &'a AsyncValue<T>,
    seen: &'a Version<T>,
}

impl<T> Request for Change<'_, T> {
    type Payload = ();
    type Grant = Rc<Version<T>>;

    fn queue(&self) -> &WaitQueue<(), Rc<Version<T>>> {
        &self.value.waiters
    }

    fn attempt(&self, _payload: &mut Option<()>) -> Option<Rc<Version<T>>> {
        self.seen.next.get().map(|_| self.value.tell(&self.value.newest()))
    }

    fn give_back(&self, _version: Rc<Version<T>>) {
        self.value.has_run();
    }
}

/// The changes of an [`AsyncValue`]; see [`AsyncValue::transitions`].
pub struct Transitions<'a, T>(Cursor<'a, T>);

impl<T: Clone> Transitions<'_, T> {
    /// The next change: the new value and the old one. Waits until there is one.
    ///
    /// A checkpoint. If cancelled, no change is skipped.
    ///
    /// # Examples
    ///
    /// ```
    /// trio::run(async {
    ///     let level = trio::AsyncValue::new(0);
    ///     let mut transitions = level.transitions();
    ///     level.set(7);
    ///     let (new, old) = transitions.next().await;
    ///     assert_eq!((new, old), (7, 0));
    /// });
    /// ```
    pub async fn next(&mut self) -> (T, T) {
        if !Rc::ptr_eq(&self.0.seen, &self.0.granted) {
            free_checkpoint().await;
        }
        let (old, new) = self.0.step().await;
        (new.value.clone(), old.value.clone())
    }
}

impl<T> fmt::Debug for Transitions<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transitions").field("pending", &self.0.seen.next.get().is_some()).finish()
    }
}

impl<T: fmt::Debug> fmt::Debug for AsyncValue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, waiting) = (self.newest(), self.waiters.len());
        f.debug_struct("AsyncValue").field("value", &value.value).field("waiting", &waiting).finish()
    }
}

/// A snapshot of an [`AsyncValue`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AsyncValueStatistics {
    /// How many tasks wait for a change.
    pub tasks_waiting: usize,
}
