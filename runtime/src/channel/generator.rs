//! A producer that makes values when they are asked for, and never outlives the block that asks.

use std::cell::Cell;
use std::convert::Infallible;
use std::fmt;
use std::rc::Rc;

use super::open_memory_channel;
use super::receiver::MemoryReceiver;
use super::sender::MemorySender;
use super::shared::Demand;
use crate::kernel::group::ErrorGroup;
use crate::kernel::nursery::{Nursery, open_try_nursery};
use crate::kernel::sleep::sleep_forever;
use crate::sync::wait_queue::Operation;

/// Runs `body` with a channel whose values `producer` makes on demand: Trio's `as_safe_channel`.
///
/// What an async generator is in Python, with the life of a block. The producer runs in a task of its own, in a nursery
/// around the body. It goes in lock step with the body: it begins when the first value is asked for with
/// [`receive`](MemoryReceiver::receive), and after each [`Yielder::send`] it goes on only when the next one is. When it
/// returns, the channel ends. When the body ends, the producer is cancelled wherever it is.
///
/// Receivers can be cloned and shared; each value goes to one of them. [`try_receive`](MemoryReceiver::try_receive) asks
/// for nothing, so it only finds what somebody else had asked for and did not take.
///
/// As a nursery, the end is a schedule point, but no cancel point of its own. A cancellation drops the body, then the
/// producer.
///
/// # Errors
///
/// The body's error, or the producer's, which cancels the body: a producer that failed does not look like one that is
/// done. Each comes out bare. If both fail, their [`ErrorGroup`] comes out, converted into the error type: a
/// [`BoxError`](crate::BoxError) can hold it, and an error type of your own says how with `From<ErrorGroup<Self>>`.
///
/// # Panics
///
/// Polled outside a run. Panics of producer and body come out when both have ended.
///
/// # Examples
///
/// ```
/// trio::run(async {
///     let limit = 3;
///     let squares = trio::safe_channel(
///         async |values| {
///             for number in 1..=limit {
///                 values.send(number * number).await;
///             }
///             Ok(())
///         },
///         async |channel| -> trio::Result<Vec<u32>> {
///             let mut all = Vec::new();
///             while let Ok(square) = channel.receive().await {
///                 all.push(square);
///             }
///             Ok(all)
///         },
///     )
///     .await
///     .unwrap();
///     assert_eq!(squares, [1, 4, 9]);
/// });
/// ```
#[doc(alias = "as_safe_channel")]
#[track_caller]
pub fn safe_channel<'env, T, R, E, P, B>(producer: P, body: B) -> impl Future<Output = Result<R, E>>
where
    T: 'env,
    E: From<ErrorGroup<E>> + 'env,
    P: AsyncFnOnce(Yielder<T>) -> Result<(), E> + 'env,
    B: AsyncFnOnce(MemoryReceiver<T>) -> Result<R, E>,
{
    let (sender, receiver) = open_memory_channel(0);
    let ended = open_try_nursery(async move |n: &Nursery<'_, 'env, E>| {
        let end = Rc::new(Cell::new(Some(sender.clone())));
        n.named("producer").start_daemon(produce(producer, Yielder { sender }, Rc::clone(&end)));
        body(receiver).await
    });
    async move { ended.await.map_err(bare) }
}

/// The producer's task. What is in `end` keeps the channel open until the producer has returned without an error.
async fn produce<T, E, P>(producer: P, yielder: Yielder<T>, end: Rc<Cell<Option<MemorySender<T>>>>) -> Result<(), E>
where
    P: AsyncFnOnce(Yielder<T>) -> Result<(), E>,
{
    yielder.asked().await;
    producer(yielder).await?;
    end.set(None);
    Ok(())
}

/// The only error of a group, or the group as one.
fn bare<E: From<ErrorGroup<E>>>(group: ErrorGroup<E>) -> E {
    if group.len() > 1 {
        return group.into();
    }
    let mut errors = group.into_errors();
    errors.next().expect("a group is never empty")
}

/// For producers and bodies that can't fail: there is no such group.
impl From<ErrorGroup<Self>> for Infallible {
    fn from(group: ErrorGroup<Self>) -> Self {
        *group.first().error()
    }
}

/// Where the producer of a [`safe_channel`] puts its values: what `yield` is in a generator.
pub struct Yielder<T> {
    sender: MemorySender<T>,
}

impl<T> Yielder<T> {
    /// Gives a value to whoever asked for it, and waits until somebody asks for the next.
    ///
    /// A checkpoint. If nobody asks any more, this waits until the body ends, and is dropped then. If a cancel scope of
    /// the producer's own is cancelled before the value is taken, the value is dropped; the body does not notice.
    ///
    /// # Panics
    ///
    /// Outside a run.
    ///
    /// # Examples
    ///
    /// ```
    /// use trio::{Yielder, safe_channel};
    /// async fn count(numbers: Yielder<u32>) -> trio::Result {
    ///     for number in 0.. {
    ///         numbers.send(number).await;
    ///     }
    ///     Ok(())
    /// }
    /// trio::run(async {
    ///     let second = safe_channel(count, async |channel| {
    ///         channel.receive().await?;
    ///         Ok(channel.receive().await?)
    ///     });
    ///     assert_eq!(second.await.unwrap(), 1);
    /// });
    /// ```
    pub async fn send(&self, value: T) {
        if self.sender.send(value).await.is_err() {
            sleep_forever().await;
        }
        self.asked().await;
    }

    /// Waits until somebody waits for a value.
    async fn asked(&self) {
        let shared = &self.sender.shared;
        // Whoever asked may have been cancelled before this task took its step.
        loop {
            Operation::new(Demand(shared), ()).await;
            if shared.receiving.len() > 0 {
                return;
            }
        }
    }
}

impl<T> fmt::Debug for Yielder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Yielder").finish_non_exhaustive()
    }
}
