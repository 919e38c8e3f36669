//! The sending end of a memory channel.

use std::fmt;
use std::rc::Rc;

use super::error::{EndOfChannel, SendError, TrySendError};
use super::shared::{Send, Shared};
use super::statistics::MemoryChannelStatistics;
use crate::sync::wait_queue::Operation;

/// The sending end of a memory channel: Trio's `MemorySendChannel`.
///
/// Made by [`open_memory_channel`](super::open_memory_channel). A clone is one more sender of the same channel. A
/// sender is closed by dropping it; when the last one is, receivers get what is left, and then [`EndOfChannel`].
///
/// Where Trio fails with `ClosedResourceError`, here the program does not compile: closing takes the sender away, so
/// nobody can use it afterwards, or close it while a [`send`](Self::send) through it waits.
///
/// ```compile_fail,E0382
/// let (sender, _receiver) = trio::open_memory_channel(1);
/// sender.close();
/// sender.try_send(1).unwrap();
/// ```
///
/// ```compile_fail,E0505
/// # async fn example() {
/// let (sender, _receiver) = trio::open_memory_channel(0);
/// let waiting = sender.send(1);
/// sender.close();
/// waiting.await.unwrap();
/// # }
/// ```
pub struct MemorySender<T> {
    pub(super) shared: Rc<Shared<T>>,
}

impl<T> MemorySender<T> {
    /// Sends a value, waiting until there is room for it or a receiver takes it.
    ///
    /// Senders that wait are served in the order in which they came. A checkpoint, also if there is room. If cancelled,
    /// the value was not sent, and is dropped; the same goes for a wait that is dropped.
    ///
    /// # Errors
    ///
    /// [`SendError`] with the value if there is no receiver any more, or the last one closes meanwhile.
    ///
    /// # Panics
    ///
    /// Outside a run.
    ///
    /// # Examples
    ///
    /// ```
    /// trio::run(async {
    ///     let (sender, receiver) = trio::open_memory_channel(1);
    ///     sender.send("a value").await.unwrap();
    ///     assert_eq!(receiver.receive().await, Ok("a value"));
    ///     drop(receiver);
    ///     assert_eq!(sender.send("nobody wants it").await.unwrap_err().0, "nobody wants it");
    /// });
    /// ```
    pub async fn send(&self, value: T) -> Result<(), SendError<T>> {
        Operation::new(Send(&*self.shared), value).await.map_err(SendError)
    }

    /// Sends a value if there is room for it or a receiver waits: Trio's `send_nowait`. Not a checkpoint.
    ///
    /// # Errors
    ///
    /// [`TrySendError`] with the value.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, receiver) = trio::open_memory_channel(1);
    /// assert!(sender.try_send(1).is_ok());
    /// assert!(sender.try_send(2).is_err());
    /// assert_eq!(receiver.try_receive(), Ok(1));
    /// ```
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        self.shared.try_send(value)
    }

    /// Closes this sender, which dropping it does too. When all are closed, receivers get what is left in the buffer,
    /// then [`EndOfChannel`]. Not a checkpoint.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, receiver) = trio::open_memory_channel(1);
    /// sender.try_send("left").unwrap();
    /// sender.close();
    /// assert_eq!(receiver.try_receive(), Ok("left"));
    /// assert_eq!(receiver.try_receive(), Err(trio::TryReceiveError::EndOfChannel));
    /// ```
    pub fn close(self) {}

    /// A snapshot of the channel, the same from both ends. Not a checkpoint.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, _receiver) = trio::open_memory_channel::<u32>(7);
    /// let _second = sender.clone();
    /// assert_eq!(sender.statistics().open_senders, 2);
    /// assert_eq!(sender.statistics().max_buffer_size, 7);
    /// ```
    pub fn statistics(&self) -> MemoryChannelStatistics {
        self.shared.statistics()
    }
}

impl<T> Clone for MemorySender<T> {
    fn clone(&self) -> Self {
        self.shared.senders.set(self.shared.senders.get() + 1);
        Self { shared: Rc::clone(&self.shared) }
    }
}

impl<T> Drop for MemorySender<T> {
    fn drop(&mut self) {
        let left = self.shared.senders.get() - 1;
        self.shared.senders.set(left);
        if left == 0 {
            while self.shared.receiving.hand_off(|()| Err(EndOfChannel)) {}
        }
    }
}

impl<T> fmt::Debug for MemorySender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MemorySender").field(&self.statistics()).finish()
    }
}
