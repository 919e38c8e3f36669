//! One task for each item, and not too many at a time.
#![forbid(unsafe_code)]

use crate::channel::open_memory_channel;
use crate::kernel::group::ErrorGroup;
use crate::kernel::nursery::{Nursery, open_try_nursery};

/// Calls `task` for every item, each call in a task of its own, at most `limit` of them at a time.
///
/// Items are taken from the iterator when there is room for their tasks, in order; so the iterator may be endless, or
/// slow. The first task that fails cancels the others, and no further item is taken.
///
/// A checkpoint, unless there is no item.
///
/// # Errors
///
/// The errors of all tasks that failed.
///
/// # Panics
///
/// If `limit` is zero. A panic of a task comes out once the others have ended.
///
/// # Examples
///
/// ```
/// use std::cell::{Cell, RefCell};
/// use std::time::Duration;
/// trio::run(async {
///     let (running, most) = (Cell::new(0), Cell::new(0));
///     let done = RefCell::new(Vec::new());
///     trio::for_each_concurrent(3, 1..=10, async |number: u64| {
///         running.set(running.get() + 1);
///         most.set(most.get().max(running.get()));
///         trio::sleep(Duration::from_millis(number % 3)).await;
///         running.set(running.get() - 1);
///         done.borrow_mut().push(number);
///         Ok::<(), trio::BoxError>(())
///     })
///     .await?;
///     assert_eq!(most.get(), 3);
///     assert_eq!(done.borrow().len(), 10);
///     Ok::<(), trio::BoxError>(())
/// })
/// .unwrap();
/// ```
pub async fn for_each_concurrent<I, F, E>(limit: usize, items: I, task: F) -> Result<(), ErrorGroup<E>>
where
    I: IntoIterator,
    F: AsyncFn(I::Item) -> Result<(), E>,
{
    assert!(limit > 0, "with a limit of zero no task could ever run");
    // A value in the channel is a task that is running.
    let (running, ended) = open_memory_channel(limit);
    let (task, ended) = (&task, &ended);
    open_try_nursery(async |nursery: &Nursery<'_, '_, E>| {
        for item in items {
            // The other end is there as long as this block.
            let _ = running.send(()).await;
            nursery.start_soon(async move {
                let result = task(item).await;
                let _ = ended.try_receive();
                result
            });
        }
        Ok(())
    })
    .await
}
