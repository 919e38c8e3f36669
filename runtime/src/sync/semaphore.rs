//! A counter that can be waited for.

use std::cell::Cell;
use std::fmt;
use std::mem;

use super::lock::WouldBlock;
use super::wait_queue::{Operation, Request, WaitQueue};

/// A counter that goes down with each permit that is taken, and makes tasks wait at zero: Trio's `Semaphore`.
///
/// Fair: a permit that comes back goes to the task that has waited longest, at that moment, so the value stays zero
/// while anybody waits. A permit that was handed over and is dropped unused goes on to the next.
///
/// To limit how many tasks do something at once, see [`CapacityLimiter`](crate::CapacityLimiter) too, which knows who
/// they are and can be resized.
///
/// # Examples
///
/// ```
/// use trio::Semaphore;
/// async fn visit(seats: &Semaphore) {
///     let _permit = seats.acquire().await;
///     trio::checkpoint().await;
/// }
/// trio::run(async {
///     let seats = Semaphore::new(2);
///     trio::nursery! { |n|
///         for _ in 0..5 {
///             n.start_soon(visit(&seats));
///         }
///     }
///     assert_eq!(seats.value(), 2);
/// });
/// ```
pub struct Semaphore {
    value: Cell<usize>,
    max_value: Option<usize>,
    waiters: WaitQueue<(), ()>,
}

impl Semaphore {
    /// A semaphore with this value, and no maximum.
    pub const fn new(initial_value: usize) -> Self {
        Self { value: Cell::new(initial_value), max_value: None, waiters: WaitQueue::new() }
    }

    /// A semaphore whose value may not exceed `max_value`: Trio's `Semaphore(initial_value, max_value=…)`.
    ///
    /// # Panics
    ///
    /// If `initial_value` exceeds `max_value`.
    ///
    /// # Examples
    ///
    /// ```
    /// let semaphore = trio::Semaphore::bounded(1, 1);
    /// assert!(semaphore.release().is_err());
    /// ```
    #[track_caller]
    pub const fn bounded(initial_value: usize, max_value: usize) -> Self {
        assert!(initial_value <= max_value, "a semaphore's initial value may not exceed its maximum");
        Self { value: Cell::new(initial_value), max_value: Some(max_value), waiters: WaitQueue::new() }
    }

    /// How many permits could be taken now.
    pub fn value(&self) -> usize {
        self.value.get()
    }

    /// The most permits that there may be, if there is a limit.
    ///
    /// # Examples
    ///
    /// ```
    /// use trio::Semaphore;
    /// assert_eq!(Semaphore::new(1).max_value(), None);
    /// assert_eq!(Semaphore::bounded(1, 5).max_value(), Some(5));
    /// ```
    pub const fn max_value(&self) -> Option<usize> {
        self.max_value
    }

    /// Takes a permit, waiting until there is one. It comes back when it is dropped.
    ///
    /// A checkpoint, also if there is one. Cancelling the wait leaves the queue; a permit that was handed over already
    /// goes to the next.
    pub async fn acquire(&self) -> SemaphorePermit<'_> {
        Operation::new(self, ()).await;
        SemaphorePermit { semaphore: self }
    }

    /// Takes a permit if there is one. Not a checkpoint.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`] if there is none.
    pub fn try_acquire(&self) -> Result<SemaphorePermit<'_>, WouldBlock> {
        self.take().map(|()| SemaphorePermit { semaphore: self }).ok_or(WouldBlock)
    }

    /// Adds a permit, or hands it to who has waited longest: for permits that were [forgotten](SemaphorePermit::forget),
    /// and to make more. Not a checkpoint.
    ///
    /// # Errors
    ///
    /// [`ReleasedTooOftenError`] if the value is at its maximum, where it stays.
    pub fn release(&self) -> Result<(), ReleasedTooOftenError> {
        if self.waiters.hand_off(|()| ()) {
            return Ok(());
        }
        let more = self.value.get().checked_add(1).filter(|&more| self.max_value.is_none_or(|most| more <= most));
        self.value.set(more.ok_or(ReleasedTooOftenError)?);
        Ok(())
    }

    /// A snapshot of the semaphore. Not a checkpoint.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(trio::Semaphore::new(1).statistics().tasks_waiting, 0);
    /// ```
    pub fn statistics(&self) -> SemaphoreStatistics {
        SemaphoreStatistics { tasks_waiting: self.waiters.len() }
    }

    #[inline]
    fn take(&self) -> Option<()> {
        self.value.set(self.value.get().checked_sub(1)?);
        Some(())
    }

    fn take_back(&self) {
        // If somebody has released more than was taken, the value stays at its maximum: whoever did that was told.
        let _at_maximum = self.release();
    }
}

impl Request for &Semaphore {
    type Payload = ();
    type Grant = ();

    fn queue(&self) -> &WaitQueue<(), ()> {
        &self.waiters
    }

    #[inline]
    fn attempt(&self, _payload: &mut Option<()>) -> Option<()> {
        self.take()
    }

    fn give_back(&self, _grant: ()) {
        self.take_back();
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Semaphore");
        debug.field("value", &self.value());
        if let Some(max_value) = self.max_value {
            debug.field("max_value", &max_value);
        }
        debug.field("waiting", &self.waiters.len()).finish()
    }
}

/// One of a [`Semaphore`]'s permits; goes back when dropped.
#[derive(Debug)]
#[must_use = "a permit that is dropped at once goes back at once: bind it"]
pub struct SemaphorePermit<'a> {
    semaphore: &'a Semaphore,
}

impl SemaphorePermit<'_> {
    /// Does not give the permit back. [`Semaphore::release`] can do that, from anywhere: Trio's semaphores have no
    /// owners.
    ///
    /// # Examples
    ///
    /// ```
    /// let semaphore = trio::Semaphore::new(1);
    /// semaphore.try_acquire().unwrap().forget();
    /// assert_eq!(semaphore.value(), 0);
    /// semaphore.release().unwrap();
    /// assert_eq!(semaphore.value(), 1);
    /// ```
    pub fn forget(self) {
        mem::forget(self);
    }
}

impl Drop for SemaphorePermit<'_> {
    fn drop(&mut self) {
        self.semaphore.take_back();
    }
}

/// A snapshot of a [`Semaphore`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SemaphoreStatistics {
    /// How many tasks wait.
    pub tasks_waiting: usize,
}

/// A semaphore that has a maximum was released when it was there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReleasedTooOftenError;

impl fmt::Display for ReleasedTooOftenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("semaphore released too many times")
    }
}

impl std::error::Error for ReleasedTooOftenError {}
