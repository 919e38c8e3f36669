//! Something that happens once.

use std::cell::Cell;
use std::fmt;

use super::wait_queue::{Operation, Request, WaitQueue};
use crate::kernel::checkpoint::free_checkpoint;

/// Something that happens once, and that any number of tasks can wait for: Trio's `Event`.
///
/// There is no way to clear it: for "again", use a new event.
///
/// # Examples
///
/// ```
/// use trio::Event;
/// async fn wait(ready: &Event) {
///     ready.wait().await;
/// }
/// trio::run(async {
///     let ready = Event::new();
///     trio::nursery! { |n|
///         n.start_soon(wait(&ready));
///         ready.set();
///     }
///     assert!(ready.is_set());
/// });
/// ```
pub struct Event {
    set: Cell<bool>,
    waiters: WaitQueue<(), ()>,
}

impl Default for Event {
    fn default() -> Self {
        Self::new()
    }
}

impl Event {
    /// An event that has not happened.
    pub const fn new() -> Self {
        Self { set: Cell::new(false), waiters: WaitQueue::new() }
    }

    /// Whether it has happened.
    pub fn is_set(&self) -> bool {
        self.set.get()
    }

    /// Says that it has happened, and wakes all who wait. Calling it again changes nothing. Not a checkpoint.
    pub fn set(&self) {
        self.set.set(true);
        while self.waiters.hand_off(|()| ()) {}
    }

    /// Waits until it has happened.
    ///
    /// A checkpoint, also if it has happened already.
    pub async fn wait(&self) {
        if self.is_set() {
            free_checkpoint().await;
        } else {
            Operation::new(self, ()).await;
        }
    }

    /// A snapshot of the event. Not a checkpoint.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(trio::Event::new().statistics().tasks_waiting, 0);
    /// ```
    pub fn statistics(&self) -> EventStatistics {
        EventStatistics { tasks_waiting: self.waiters.len() }
    }
}

/// A snapshot of an [`Event`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventStatistics {
    /// How many tasks wait.
    pub tasks_waiting: usize,
}

impl Request for &Event {
    type Payload = ();
    type Grant = ();

    fn queue(&self) -> &WaitQueue<(), ()> {
        &self.waiters
    }

    fn attempt(&self, _payload: &mut Option<()>) -> Option<()> {
        self.is_set().then_some(())
    }

    fn give_back(&self, _grant: ()) {}
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").field("set", &self.is_set()).field("waiting", &self.waiters.len()).finish()
    }
}
