//! Memory channels: values from task to task within a run.
#![forbid(unsafe_code)]

mod error;
mod generator;
mod receiver;
mod sender;
mod shared;
#[cfg(feature = "sink")]
mod sink;
mod statistics;
#[cfg(feature = "stream")]
mod stream;

use std::rc::Rc;

use self::shared::Shared;

pub use self::error::{EndOfChannel, SendError, TryReceiveError, TrySendError};
pub use self::generator::{Yielder, safe_channel};
pub use self::receiver::MemoryReceiver;
pub use self::sender::MemorySender;
#[cfg(feature = "sink")]
pub use self::sink::MemorySink;
pub use self::statistics::MemoryChannelStatistics;

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
    let shared = Rc::new(Shared::new(capacity));
    (MemorySender { shared: Rc::clone(&shared) }, MemoryReceiver::new(shared))
}
