//! Memory channels: values from task to task within a run.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;

use crate::sync::wait_queue::{Operation, Request, WaitQueue};

/// Opens a channel that holds at most `capacity` values: Trio's `open_memory_channel`.
///
/// 0 is a rendezvous: a value goes from a waiting sender to a waiting receiver. `usize::MAX` is unbounded. Both ends
/// can be cloned; each value goes to one receiver, first in, first out, and tasks that wait are served in the order
/// in which they came. An end is closed by dropping it, or with `close`.
///
/// A bounded channel is what makes a fast producer wait for a slow consumer: prefer 0 until there is a reason for more.
///
/// # Examples
///
/// ```
/// use trio::{MemorySender, open_memory_channel};
/// async fn produce(sender: MemorySender<u32>) {
///     for i in 0..3 {
///         sender.send(i).await.unwrap();
///     }
/// }
/// trio::run(async {
///     let (sender, receiver) = open_memory_channel(0);
///     trio::nursery! { |n|
///         n.start_soon(produce(sender));
///         let mut got = Vec::new();
///         while let Ok(value) = receiver.receive().await {
///             got.push(value);
///         }
///         assert_eq!(got, [0, 1, 2]);
///     }
/// });
/// ```
pub fn open_memory_channel<T>(capacity: usize) -> (MemorySender<T>, MemoryReceiver<T>) {
    let shared = Rc::new(Shared {
        capacity,
        buffer: RefCell::default(),
        peak: Cell::new(0),
        senders: Cell::new(1),
        receivers: Cell::new(1),
        sending: WaitQueue::new(),
        receiving: WaitQueue::new(),
    });
    (MemorySender { shared: Rc::clone(&shared) }, MemoryReceiver { shared })
}

/// What both ends of a channel share.
///
/// Invariant: no receiver waits while a value is to be had, and no sender while there is room.
struct Shared<T> {
    capacity: usize,
    buffer: RefCell<VecDeque<T>>,
    peak: Cell<usize>,
    senders: Cell<usize>,
    receivers: Cell<usize>,
    /// Senders wait with their value; it comes back to them if the last receiver closes.
    sending: WaitQueue<T, Result<(), T>>,
    receiving: WaitQueue<(), Result<T, EndOfChannel>>,
}

impl<T> Shared<T> {
    fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        if self.receivers.get() == 0 {
            return Err(TrySendError::Broken(value));
        }
        let mut value = Some(value);
        let handed = self.receiving.hand_off(|()| value.take().ok_or(EndOfChannel));
        let Some(value) = value.filter(|_| !handed) else { return Ok(()) };
        let mut buffer = self.buffer.borrow_mut();
        if buffer.len() >= self.capacity {
            return Err(TrySendError::WouldBlock(value));
        }
        buffer.push_back(value);
        self.peak.set(self.peak.get().max(buffer.len()));
        Ok(())
    }

    fn try_receive(&self) -> Result<T, TryReceiveError> {
        let mut from_sender = None;
        self.sending.hand_off(|value| {
            from_sender = Some(value);
            Ok(())
        });
        let mut buffer = self.buffer.borrow_mut();
        let value = match buffer.pop_front() {
            Some(value) => {
                buffer.extend(from_sender);
                Some(value)
            }
            None => from_sender,
        };
        let closed = self.senders.get() == 0;
        value.ok_or(if closed { TryReceiveError::EndOfChannel } else { TryReceiveError::WouldBlock })
    }

    /// Puts a value back that was received but not delivered.
    fn give_back(&self, value: T) {
        let mut value = Some(value);
        self.receiving.hand_off(|()| value.take().ok_or(EndOfChannel));
        if let Some(value) = value {
            self.buffer.borrow_mut().push_front(value);
        }
    }

    fn statistics(&self) -> MemoryChannelStatistics {
        MemoryChannelStatistics {
            current_buffer_used: self.buffer.borrow().len(),
            max_buffer_size: self.capacity,
            peak_buffer_used: self.peak.get(),
            open_senders: self.senders.get(),
            open_receivers: self.receivers.get(),
            tasks_waiting_send: self.sending.len(),
            tasks_waiting_receive: self.receiving.len(),
        }
    }
}

/// What [`MemorySender::send`] asks of the channel: it gets its value back if there is no receiver.
struct Send<'a, T>(&'a Shared<T>);

impl<T> Request for Send<'_, T> {
    type Payload = T;
    type Grant = Result<(), T>;

    fn queue(&self) -> &WaitQueue<T, Result<(), T>> {
        &self.0.sending
    }

    #[inline]
    fn attempt(&self, value: &mut Option<T>) -> Option<Result<(), T>> {
        match self.0.try_send(value.take()?) {
            Ok(()) => Some(Ok(())),
            Err(TrySendError::Broken(value)) => Some(Err(value)),
            Err(TrySendError::WouldBlock(back)) => {
                *value = Some(back);
                None
            }
        }
    }

    fn give_back(&self, _sent: Result<(), T>) {}
}

/// What [`MemoryReceiver::receive`] asks of the channel.
struct Receive<'a, T>(&'a Shared<T>);

impl<T> Request for Receive<'_, T> {
    type Payload = ();
    type Grant = Result<T, EndOfChannel>;

    fn queue(&self) -> &WaitQueue<(), Result<T, EndOfChannel>> {
        &self.0.receiving
    }

    #[inline]
    fn attempt(&self, _payload: &mut Option<()>) -> Option<Result<T, EndOfChannel>> {
        match self.0.try_receive() {
            Ok(value) => Some(Ok(value)),
            Err(TryReceiveError::EndOfChannel) => Some(Err(EndOfChannel)),
            Err(TryReceiveError::WouldBlock) => None,
        }
    }

    fn give_back(&self, received: Result<T, EndOfChannel>) {
        if let Ok(value) = received {
            self.0.give_back(value);
        }
    }
}

/// A snapshot of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryChannelStatistics {
    /// How many values are in the buffer.
    pub current_buffer_used: usize,
    /// The capacity that the channel was opened with.
    pub max_buffer_size: usize,
    /// The most values that have been in the buffer at one time.
    pub peak_buffer_used: usize,
    /// How many senders are open.
    pub open_senders: usize,
    /// How many receivers are open.
    pub open_receivers: usize,
    /// How many tasks wait in `send`.
    pub tasks_waiting_send: usize,
    /// How many tasks wait in `receive`.
    pub tasks_waiting_receive: usize,
}

/// The sending end of a memory channel.
pub struct MemorySender<T> {
    shared: Rc<Shared<T>>,
}

impl<T> MemorySender<T> {
    /// Sends a value, waiting until there is room for it or a receiver takes it.
    ///
    /// A checkpoint. If cancelled, the value was not sent, and is dropped.
    ///
    /// # Errors
    ///
    /// [`SendError`] with the value if there is no receiver any more.
    pub async fn send(&self, value: T) -> Result<(), SendError<T>> {
        Operation::new(Send(&self.shared), value).await.map_err(SendError)
    }

    /// Sends a value if there is room for it or a receiver waits. Not a checkpoint.
    ///
    /// # Errors
    ///
    /// [`TrySendError`] with the value.
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        self.shared.try_send(value)
    }

    /// Closes this sender, which dropping it does too. When all are closed, receivers get what is left in the buffer,
    /// then [`EndOfChannel`].
    pub fn close(self) {}

    /// A snapshot of the channel.
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

/// The receiving end of a memory channel.
pub struct MemoryReceiver<T> {
    shared: Rc<Shared<T>>,
}

impl<T> MemoryReceiver<T> {
    /// Receives the oldest value, waiting until there is one.
    ///
    /// A checkpoint. If cancelled, no value was taken.
    ///
    /// # Errors
    ///
    /// [`EndOfChannel`] if the channel is empty and has no sender any more.
    pub async fn receive(&self) -> Result<T, EndOfChannel> {
        Operation::new(Receive(&self.shared), ()).await
    }

    /// Receives the oldest value if there is one. Not a checkpoint.
    ///
    /// # Errors
    ///
    /// [`TryReceiveError`] if there is none.
    pub fn try_receive(&self) -> Result<T, TryReceiveError> {
        self.shared.try_receive()
    }

    /// Closes this receiver, which dropping it does too. When all are closed, what is left in the buffer is dropped,
    /// and senders get [`SendError`].
    pub fn close(self) {}

    /// A snapshot of the channel.
    pub fn statistics(&self) -> MemoryChannelStatistics {
        self.shared.statistics()
    }
}

impl<T> Clone for MemoryReceiver<T> {
    fn clone(&self) -> Self {
        self.shared.receivers.set(self.shared.receivers.get() + 1);
        Self { shared: Rc::clone(&self.shared) }
    }
}

impl<T> Drop for MemoryReceiver<T> {
    fn drop(&mut self) {
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

/// Sending failed: every receiver is closed. Has the value that was not sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SendError<T>(pub T);

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendError(..)")
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("every receiver of the channel is closed")
    }
}

impl<T> std::error::Error for SendError<T> {}

/// Sending without waiting failed. Has the value that was not sent.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrySendError<T> {
    /// There is no room, and no receiver waits.
    WouldBlock(T),
    /// Every receiver is closed.
    Broken(T),
}

impl<T> TrySendError<T> {
    /// The value that was not sent.
    pub fn into_inner(self) -> T {
        match self {
            Self::WouldBlock(value) | Self::Broken(value) => value,
        }
    }
}

impl<T> fmt::Debug for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WouldBlock(_) => "WouldBlock(..)",
            Self::Broken(_) => "Broken(..)",
        })
    }
}

impl<T> fmt::Display for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WouldBlock(_) => "the channel is full",
            Self::Broken(_) => "every receiver of the channel is closed",
        })
    }
}

impl<T> std::error::Error for TrySendError<T> {}

/// Receiving failed: the channel is empty, and every sender is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndOfChannel;

impl fmt::Display for EndOfChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the channel is empty and every sender is closed")
    }
}

impl std::error::Error for EndOfChannel {}

/// Receiving without waiting failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TryReceiveError {
    /// The channel is empty.
    WouldBlock,
    /// The channel is empty, and every sender is closed.
    EndOfChannel,
}

impl fmt::Display for TryReceiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WouldBlock => f.write_str("the channel is empty"),
            Self::EndOfChannel => EndOfChannel.fmt(f),
        }
    }
}

impl std::error::Error for TryReceiveError {}
