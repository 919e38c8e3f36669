//! Waiting until there is nothing else to do.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::kernel::context;
use crate::kernel::run::wrong_run;
use crate::kernel::waker::StoredWaker;

/// Waits until every other task of the run is blocked, and has been for `cushion` of real time: Trio's
/// `wait_all_tasks_blocked`.
///
/// With a zero cushion, "blocked" means that nothing can run and no I/O is ready. If several tasks wait here, those
/// with the shortest cushion go on first, together. An autojump of a [`MockClock`](super::MockClock) waits for them.
///
/// A checkpoint.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use trio::{Event, testing::wait_all_tasks_blocked};
/// async fn wait(event: &Event) {
///     event.wait().await;
/// }
/// trio::run(async {
///     let event = Event::new();
///     trio::nursery! { |n|
///         n.start_soon(wait(&event));
///         wait_all_tasks_blocked(Duration::ZERO).await;
///         // Now the task is known to be waiting.
///         event.set();
///     }
/// });
/// ```
pub async fn wait_all_tasks_blocked(cushion: Duration) {
    AllBlocked { cushion, key: None, run: 0 }.await;
}

struct AllBlocked {
    cushion: Duration,
    key: Option<usize>,
    run: u64,
}

impl Future for AllBlocked {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        context::with(|run| {
            let waker = StoredWaker::new(context.waker());
            let Some(key) = self.key else {
                if run.is_cancelled_here() {
                    run.park_cancelled(context);
                    return Poll::Pending;
                }
                self.run = run.opened.run;
                self.key = Some(run.blocked.insert(self.cushion, waker));
                return Poll::Pending;
            };
            if self.run != run.opened.run {
                wrong_run("wait");
            }
            if run.is_cancelled_here() {
                run.park_cancelled(context);
                return Poll::Pending;
            }
            if run.blocked.check(key, waker) { Poll::Ready(()) } else { Poll::Pending }
        })
    }
}

impl Drop for AllBlocked {
    fn drop(&mut self) {
        context::try_with(|run| {
            if let Some(key) = self.key.filter(|_| self.run == run.opened.run) {
                run.blocked.remove(key);
            }
        });
    }
}
