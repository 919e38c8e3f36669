//! A nursery's clean-up stack: what runs when everything else in it has ended.

use std::future::poll_fn;
use std::panic::Location;
use std::task::Poll;
use std::time::Duration;

use super::child::{Forget, TaskCell, TaskOutput};
use super::context;
use super::core::{Birth, Role};
use super::header::Flag;
use super::nursery::{Named, Nursery};
use super::scope::move_on_after;

impl<'scope, E> Nursery<'scope, '_, E> {
    /// Has `cleanup` run at the end of the block, however that comes: by its value, an error, a panic or a cancellation.
    ///
    /// It begins when the body and all children have ended, daemons included. Of several, the one that was deferred last runs
    /// first, and the next when that has ended. It is a task of the nursery, which waits for its turn, so it may borrow what
    /// children may; the nursery's value, errors or panic come out when all have ended. It is shielded from cancellation:
    /// give it a time limit where it could take long ([`defer_within`](Self::defer_within)). If it fails or panics, that is an
    /// error or panic of the nursery, and the others still run. It may start children, which the nursery waits for, and defer
    /// more.
    ///
    /// Where [`finally`](crate::finally) puts one clean-up around code that is known, this is for resources that are
    /// opened on the way, as with Python's `AsyncExitStack`. As there, only trio's own cancellation is seen: when foreign code
    /// drops the nursery, what was deferred is dropped without having run.
    ///
    /// Not a checkpoint.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::RefCell;
    /// async fn close(name: &str, closed: &RefCell<Vec<String>>) {
    ///     trio::checkpoint().await; // a farewell to the other side
    ///     closed.borrow_mut().push(name.to_owned());
    /// }
    /// trio::run(async {
    ///     let closed = RefCell::new(Vec::new());
    ///     trio::move_on_after(std::time::Duration::ZERO, trio::open_nursery(async |n| {
    ///         for name in ["first", "second"] {
    ///             n.defer(close(name, &closed));
    ///         }
    ///         trio::sleep_forever().await
    ///     }))
    ///     .await;
    ///     assert_eq!(closed.into_inner(), ["second", "first"]);
    /// });
    /// ```
    ///
    /// The body's own locals are gone when its turn comes:
    ///
    /// ```compile_fail,E0373
    /// trio::run(async {
    ///     trio::nursery! { |n|
    ///         let local = 5;
    ///         n.defer(async { println!("{local}") });
    ///     }
    /// });
    /// ```
    #[track_caller]
    pub fn defer<F>(&'scope self, cleanup: F)
    where
        F: Future + 'scope,
        F::Output: TaskOutput<E>,
    {
        Named::unnamed::<F>(self).defer(cleanup);
    }

    /// As [`defer`](Self::defer), but cancels the clean-up when it has run for so long: what it has not done by then is
    /// not done, and that is no error. If it fails or panics before, that is one of the nursery.
    ///
    /// Not a checkpoint.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// trio::run(async {
    ///     let ended = trio::nursery! { |n|
    ///         n.defer_within(Duration::from_millis(5), async { trio::sleep_forever().await });
    ///         "done"
    ///     };
    ///     assert_eq!(ended, "done");
    /// });
    /// ```
    #[track_caller]
    pub fn defer_within<F>(&'scope self, grace: Duration, cleanup: F)
    where
        F: Future + 'scope,
        F::Output: TaskOutput<E>,
    {
        Named::unnamed::<F>(self).defer_within(grace, cleanup);
    }
}

impl<'scope, E> Named<'scope, E> {
    /// See [`Nursery::defer`].
    #[track_caller]
    pub fn defer<F>(self, cleanup: F)
    where
        F: Future + 'scope,
        F::Output: TaskOutput<E>,
    {
        let child = TaskCell::<_, _, Forget>::new(async move {
            turn().await;
            cleanup.await
        });
        self.core.add(Birth { child, name: self.name, location: Location::caller(), role: Role::Deferred });
    }

    /// See [`Nursery::defer_within`].
    #[track_caller]
    pub fn defer_within<F>(self, grace: Duration, cleanup: F)
    where
        F: Future + 'scope,
        F::Output: TaskOutput<E>,
    {
        let child = TaskCell::<_, _, Forget>::new(async move {
            turn().await;
            match move_on_after(grace, cleanup).await {
                Some(output) => output.into_outcome(),
                None => Ok(()),
            }
        });
        self.core.add(Birth { child, name: self.name, location: Location::caller(), role: Role::Deferred });
    }
}

/// Waits, in a task that is deferred, until it is its turn. (Nobody has its waker before; but a stale one of an earlier
/// task, with the same bits, is allowed to be polled for.)
fn turn() -> impl Future<Output = ()> {
    poll_fn(|_| {
        let deferred = context::with(|run| run.current().is(Flag::DEFERRED));
        if deferred { Poll::Pending } else { Poll::Ready(()) }
    })
}
