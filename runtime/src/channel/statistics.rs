//! A look at a channel from outside.

/// A snapshot of a channel: Trio's `MemoryChannelStatistics`. Both ends give the same.
///
/// # Examples
///
/// ```
/// let (sender, receiver) = trio::open_memory_channel(2);
/// sender.try_send("a").unwrap();
/// sender.try_send("b").unwrap();
/// receiver.try_receive().unwrap();
/// let statistics = sender.statistics();
/// assert_eq!(statistics.current_buffer_used, 1);
/// assert_eq!(statistics.peak_buffer_used, 2);
/// assert_eq!(statistics, receiver.statistics());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryChannelStatistics {
    /// How many values are in the buffer.
    pub current_buffer_used: usize,
    /// The capacity that the channel was opened with.
    pub max_buffer_size: usize,
    /// The most values that have been in the buffer at one time. Taking them out does not lower it.
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
