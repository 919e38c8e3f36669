//! The receiving end of a memory channel.

use std::fmt;
use std::rc::Rc;

use super::error::{EndOfChannel, TryReceiveError};
use super::shared::{Receive, Shared};
use super::statistics::MemoryChannelStatistics;
use crate::sync::wait_queue::Operation;

/// The receiving end of a memory channel: Trio's `MemoryReceiveChannel`.
///
/// Made by [`open_memory_channel`](super::open_memory_channel). A clone is one more receiver of the same channel; each
/// value goes to one of them. Several tasks may also share one receiver by reference. A receiver is closed by dropping
/// it; when the last one is, what is left in the buffer is dropped, and senders get [`SendError`](crate::SendError).
///
/// Where Trio fails with `ClosedResourceError`, here the program does not compile: closing takes the receiver away, so
/// nobody can use it afterwards, or close it while a [`receive`](Self::receive) through it waits.
///
/// ```compile_fail,E0382
/// let (_sender, receiver) = trio::open_memory_channel::<u32>(1);
/// receiver.close();
/// receiver.try_receive().unwrap();
/// ```
///
/// With the feature `stream` it is a [`Stream`](https://docs.rs/futures-core/latest/futures_core/stream/trait.Stream.html)
/// of the values, which ends at the end of the channel.
pub struct MemoryReceiver<T> {
    pub(super) shared: Rc<Shared<T>>,
    #[cfg(feature = "stream")]
    pub(super) wait: super::stream::Wait<T>,
}

impl<T> MemoryReceiver<T> {
    pub(super) fn new(shared: Rc<Shared<T>>) -> Self {
        Self {
            shared,
            #[cfg(feature = "stream")]
            wait: super::stream::Wait::default(),
        }
    }

    /// Receives the oldest value, waiting until there is one.
    ///
    /// Receivers that wait are served in the order in which they came. A checkpoint, also if there is a value. If
    /// cancelled, no value was taken; a value that was granted to a wait which is then dropped goes to the next.
    ///
    /// # Errors
    ///
    /// [`EndOfChannel`] if the channel is empty and has no sender any more.
    ///
    /// # Panics
    ///
    /// Outside a run.
    ///
    /// # Examples
    ///
    /// ```
    /// trio::run(async {
    ///     let (sender, receiver) = trio::open_memory_channel(2);
    ///     sender.send(1).await.unwrap();
    ///     sender.send(2).await.unwrap();
    ///     drop(sender);
    ///     let mut sum = 0;
    ///     while let Ok(value) = receiver.receive().await {
    ///         sum += value;
    ///     }
    ///     assert_eq!(sum, 3);
    /// });
    /// ```
    pub async fn receive(&self) -> Result<T, EndOfChannel> {
        self.leave_stream();
        Operation::new(Receive(&*self.shared), ()).await
    }

    /// Receives the oldest value if there is one: Trio's `receive_nowait`. Not a checkpoint.
    ///
    /// What a sender that waits has brought counts, too.
    ///
    /// # Errors
    ///
    /// [`TryReceiveError`] if there is none.
    ///
    /// # Examples
    ///
    /// ```
    /// use trio::TryReceiveError;
    /// let (sender, receiver) = trio::open_memory_channel(1);
    /// assert_eq!(receiver.try_receive(), Err(TryReceiveError::WouldBlock));
    /// sender.try_send(1).unwrap();
    /// assert_eq!(receiver.try_receive(), Ok(1));
    /// ```
    pub fn try_receive(&self) -> Result<T, TryReceiveError> {
        self.leave_stream();
        self.shared.try_receive()
    }

    /// Receives all that can be had without waiting, oldest first: what is in the buffer, and what senders that wait
    /// have brought. Empty if there is nothing, or the channel has ended. Not a checkpoint.
    ///
    /// After [`receive`](Self::receive) this makes a batch, as Trio's `UnboundedQueue` gives; before the last receiver
    /// closes, it saves what would be dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// trio::run(async {
    ///     let (sender, receiver) = trio::open_memory_channel(usize::MAX);
    ///     for value in 1..=3 {
    ///         sender.try_send(value).unwrap();
    ///     }
    ///     let mut batch = vec![receiver.receive().await.unwrap()];
    ///     batch.extend(receiver.drain());
    ///     assert_eq!(batch, [1, 2, 3]);
    ///     assert!(receiver.drain().is_empty());
    /// });
    /// ```
    pub fn drain(&self) -> Vec<T> {
        self.leave_stream();
        // No more than is there now, even if a foreign waker that is called meanwhile sends something.
        let most = self.shared.buffer.borrow().len() + self.shared.sending.len();
        std::iter::from_fn(|| self.shared.try_receive().ok()).take(most).collect()
    }

    /// Closes this receiver, which dropping it does too. When all are closed, what is left in the buffer is dropped,
    /// and senders get [`SendError`](crate::SendError) with their value. Not a checkpoint.
    ///
    /// # Examples
    ///
    /// ```
    /// use trio::TrySendError;
    /// let (sender, receiver) = trio::open_memory_channel(1);
    /// receiver.close();
    /// assert_eq!(sender.try_send(1), Err(TrySendError::Broken(1)));
    /// ```
    pub fn close(self) {}

    /// A snapshot of the channel, the same from both ends. Not a checkpoint.
    ///
    /// # Examples
    ///
    /// ```
    /// let (_sender, receiver) = trio::open_memory_channel::<u32>(7);
    /// assert_eq!(receiver.statistics().open_receivers, 1);
    /// ```
    pub fn statistics(&self) -> MemoryChannelStatistics {
        self.shared.statistics()
    }

    /// Gives up the place in the queue that using the receiver as a stream may have left, so that what was granted to
    /// it is to be had again.
    #[inline]
    fn leave_stream(&self) {
        #[cfg(feature = "stream")]
        self.wait.leave();
    }
}

impl<T> Clone for MemoryReceiver<T> {
    fn clone(&self) -> Self {
        self.shared.receivers.set(self.shared.receivers.get() + 1);
        Self::new(Rc::clone(&self.shared))
    }
}

impl<T> Drop for MemoryReceiver<T> {
    fn drop(&mut self) {
        self.leave_stream();
        let left = self.shared.receivers.get() - 1;
        self.shared.receivers.set(left);
        if left == 0 {
            while self.shared.sending.hand_off(Err) {}
            // The values' destructors run when nothing is borrowed.
            let rest = std::mem::take(&mut *self.shared.buffer.borrow_mut());
            drop(rest);
        }
    }
}

impl<T> fmt::Debug for MemoryReceiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MemoryReceiver").field(&self.statistics()).finish()
    }
}
