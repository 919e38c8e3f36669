//! Tasks that wait for each other.

use std::fmt;

use super::wait_queue::{Operation, Request, WaitQueue};

/// A place where tasks wait until a given number of them is there, and then all go on.
///
/// Trio has none; its users build it by hand. It can be used again at once: the next to come are the first of the next
/// round. A task that is cancelled while it waits does not count as having come.
///
/// # Examples
///
/// ```
/// use trio::Barrier;
/// async fn walk(meeting: &Barrier) {
///     trio::checkpoint().await;
///     if meeting.wait().await {
///         // one of each round gets here
///     }
/// }
/// trio::run(async {
///     let meeting = Barrier::new(3);
///     trio::nursery! { |n|
///         for _ in 0..3 {
///             n.start_soon(walk(&meeting));
///         }
///     }
/// });
/// ```
pub struct Barrier {
    parties: usize,
    waiters: WaitQueue<(), bool>,
}

impl Barrier {
    /// A barrier for so many tasks; 0 is the same as 1, where nobody waits.
    pub const fn new(parties: usize) -> Self {
        Self { parties, waiters: WaitQueue::new() }
    }

    /// Waits until so many tasks are here. Gives true to the one that came last.
    ///
    /// A checkpoint, also for the last one. Cancelling the wait is as if the task had not come; if the others were there
    /// before the cancellation came, it completes.
    pub async fn wait(&self) -> bool {
        Operation::new(Arrive(self), ()).await
    }

    /// A snapshot of the barrier. Not a checkpoint.
    ///
    /// # Examples
    ///
    /// ```
    /// let statistics = trio::Barrier::new(3).statistics();
    /// assert_eq!((statistics.parties, statistics.tasks_waiting), (3, 0));
    /// ```
    pub fn statistics(&self) -> BarrierStatistics {
        BarrierStatistics { parties: self.parties, tasks_waiting: self.waiters.len() }
    }

    /// Whether one more makes the round complete.
    fn lacks_one(&self) -> bool {
        // Those who wait are counted one by one only if all could be there, since it takes time.
        self.waiters.len() + 1 >= self.parties && self.waiters.count_waiters() + 1 >= self.parties
    }
}

/// What [`Barrier::wait`] asks for. The grant is whether it came last.
struct Arrive<'a>(&'a Barrier);

impl Request for Arrive<'_> {
    type Payload = ();
    type Grant = bool;

    fn queue(&self) -> &WaitQueue<(), bool> {
        &self.0.waiters
    }

    fn attempt(&self, _payload: &mut Option<()>) -> Option<bool> {
        if !self.0.lacks_one() {
            return None;
        }
        while self.0.waiters.hand_off(|()| false) {}
        Some(true)
    }

    fn give_back(&self, _last: bool) {}
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier").field("parties", &self.parties).field("waiting", &self.waiters.len()).finish()
    }
}

/// A snapshot of a [`Barrier`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BarrierStatistics {
    /// How many tasks go on together.
    pub parties: usize,
    /// How many tasks wait for the others.
    pub tasks_waiting: usize,
}
