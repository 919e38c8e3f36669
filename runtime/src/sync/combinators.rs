//! Several futures at once, as tasks of a nursery that ends with the call.
//!
//! What the `futures` crate has under these names drops what it does not need any more. Here nothing is dropped at a
//! place that is shielded: a future that has lost is cancelled, and the call waits for its end.

use std::cell::{Cell, RefCell};

use crate::kernel::handle::CancelHandle;
use crate::kernel::nursery::open_nursery;
use crate::kernel::scope::CancelScope;

/// Runs two futures at once, and gives the outputs of both when both have ended.
///
/// A schedule point, and as cancellable as the two are. Each is a task of its own; a panic of one cancels the other, and
/// goes on here.
///
/// # Examples
///
/// ```
/// trio::run(async {
///     let (number, text) = trio::join(async { 1 }, async { "one" }).await;
///     assert_eq!((number, text), (1, "one"));
/// });
/// ```
pub async fn join<A: Future, B: Future>(a: A, b: B) -> (A::Output, B::Output) {
    let (first, second) = (Cell::new(None), Cell::new(None));
    let a = async { first.set(Some(a.await)) };
    let b = async { second.set(Some(b.await)) };
    open_nursery(async |n| {
        n.start_soon(a);
        n.start_soon(b);
    })
    .await;
    (first.take().expect(ENDED), second.take().expect(ENDED))
}

const ENDED: &str = "a nursery that completes has run its tasks to their ends";

/// Runs two futures at once, gives the output of the one that ends first, and cancels the other.
///
/// The other one has ended too when this returns: what it does under a shield it does first, and its output, if it still
/// has one, is dropped. If both end in one pass, the first to be run wins.
///
/// A schedule point, and as cancellable as the two are. A panic of either goes on here.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// trio::run(async {
///     let slow = async {
///         trio::sleep(Duration::from_secs(3600)).await;
///         "slow"
///     };
///     assert_eq!(trio::race(slow, async { "fast" }).await, "fast");
/// });
/// ```
pub async fn race<T, A, B>(a: A, b: B) -> T
where
    A: Future<Output = T>,
    B: Future<Output = T>,
{
    let winner = Winner::default();
    let (a, b) = (winner.or_else_cancel(a), winner.or_else_cancel(b));
    let scope = winner.scope();
    let nursery = open_nursery(async |n| {
        n.start_soon(a);
        n.start_soon(b);
    });
    scope.run(nursery).await;
    winner.output()
}

/// Runs futures at once, and gives the outputs of all, in their order, when all have ended: trio-util's `wait_all`.
///
/// A schedule point, and as cancellable as the futures are. Each is a task of its own; a panic of one cancels the others,
/// and goes on here.
///
/// # Examples
///
/// ```
/// trio::run(async {
///     let squares = trio::wait_all((1..=3).map(async |n| n * n)).await;
///     assert_eq!(squares, [1, 4, 9]);
/// });
/// ```
pub async fn wait_all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let futures: Vec<F> = futures.into_iter().collect();
    let outputs = RefCell::new(Vec::new());
    outputs.borrow_mut().resize_with(futures.len(), || None);
    let outputs_of_all = &outputs;
    open_nursery(async |n| {
        for (at, future) in futures.into_iter().enumerate() {
            n.start_soon(async move {
                let output = future.await;
                outputs_of_all.borrow_mut()[at] = Some(output);
            });
        }
    })
    .await;
    outputs.into_inner().into_iter().map(|output| output.expect(ENDED)).collect()
}

/// Runs futures at once, gives the output of the one that ends first, with its place among them, and cancels the others:
/// trio-util's `wait_any`.
///
/// The others have ended too when this returns; see [`race`].
///
/// A schedule point, and as cancellable as the futures are. A panic of any goes on here.
///
/// # Panics
///
/// If there is no future.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// async fn sleep(seconds: u64) {
///     trio::sleep(Duration::from_secs(seconds)).await;
/// }
/// trio::run(async {
///     let (first, ()) = trio::wait_any([sleep(3600), sleep(0)]).await;
///     assert_eq!(first, 1);
/// });
/// ```
pub async fn wait_any<F: Future>(futures: impl IntoIterator<Item = F>) -> (usize, F::Output) {
    let futures: Vec<F> = futures.into_iter().collect();
    assert!(!futures.is_empty(), "`wait_any` needs something to wait for");
    let winner = Winner::default();
    let scope = winner.scope();
    let tasks: Vec<_> = futures
        .into_iter()
        .enumerate()
        .map(|(at, future)| winner.or_else_cancel(async move { (at, future.await) }))
        .collect();
    let nursery = open_nursery(async |n| {
        for task in tasks {
            n.start_soon(task);
        }
    });
    scope.run(nursery).await;
    winner.output()
}

/// The output of the first of several tasks to end, which ends the others.
struct Winner<T> {
    output: Cell<Option<T>>,
    scope: RefCell<Option<CancelHandle>>,
}

impl<T> Default for Winner<T> {
    fn default() -> Self {
        Self { output: Cell::new(None), scope: RefCell::new(None) }
    }
}

impl<T> Winner<T> {
    /// The scope that is cancelled when there is a winner.
    fn scope(&self) -> CancelScope {
        let scope = CancelScope::new();
        *self.scope.borrow_mut() = Some(scope.handle());
        scope
    }

    async fn or_else_cancel(&self, future: impl Future<Output = T>) {
        let output = future.await;
        match self.output.take() {
            None => self.output.set(Some(output)),
            first => self.output.set(first),
        }
        if let Some(scope) = &*self.scope.borrow() {
            scope.cancel_because("another one has ended first");
        }
    }

    fn output(self) -> T {
        self.output.into_inner().expect("the scope ends when there is a winner")
    }
}
