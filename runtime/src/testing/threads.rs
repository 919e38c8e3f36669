//! Waiting for worker threads.

use crate::checkpoint;
use crate::threads::calls::Calls;

/// How many [`to_thread`](crate::to_thread) calls of this run somebody waits for. An abandoned one does not count, though
/// it has its limiter's token still.
///
/// # Panics
///
/// Outside a run.
///
/// # Examples
///
/// ```
/// trio::run(async {
///     assert_eq!(trio::testing::active_thread_count(), 0);
/// });
/// ```
#[track_caller]
pub fn active_thread_count() -> usize {
    Calls::current().count()
}

/// Waits until the run has no [`to_thread`](crate::to_thread) calls that somebody waits for.
///
/// With a virtual clock, a test needs this where the time jumps although a thread is at work.
///
/// A checkpoint.
///
/// # Panics
///
/// Outside a run.
///
/// # Examples
///
/// ```
/// trio::run(async {
///     trio::nursery! { |n|
///         n.start_soon(trio::to_thread::run_sync(|| ()));
///         trio::testing::wait_all_threads_completed().await;
///     }
/// });
/// ```
pub async fn wait_all_threads_completed() {
    checkpoint().await;
    Calls::current().none().await;
}
