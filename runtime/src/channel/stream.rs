//! A receiver as a stream of the `futures` crates.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::receiver::MemoryReceiver;
use super::shared::{Receive, Shared};
use crate::kernel::checkpoint::yield_now;
use crate::kernel::context;
use crate::kernel::run::Run;
use crate::sync::wait_queue::Operation;
use crate::{EndOfChannel, TryReceiveError};

/// A receive that owns what it borrows from.
type OwnedReceive<T> = Operation<Receive<Rc<Shared<T>>>>;

/// A receive that outlives the call that began it, since a stream is polled anew for each value.
///
/// It never holds a value that it owes a yield for: what polls a stream may go away without telling, and nothing would
/// then let go of the hold. So the yield comes first here.
pub(super) struct Wait<T> {
    operation: RefCell<Option<OwnedReceive<T>>>,
    yielded: bool,
}

impl<T> Default for Wait<T> {
    fn default() -> Self {
        Self { operation: RefCell::default(), yielded: false }
    }
}

impl<T> Wait<T> {
    /// Leaves the queue. What was granted already goes to the next receiver, or back into the buffer.
    pub(super) fn leave(&self) {
        let operation = self.operation.borrow_mut().take();
        drop(operation);
    }

    fn poll(&mut self, shared: &Rc<Shared<T>>, context: &mut Context<'_>) -> Poll<Result<T, EndOfChannel>> {
        if let Some(operation) = self.operation.get_mut() {
            let polled = Pin::new(operation).poll(context);
            if polled.is_ready() {
                self.leave();
            }
            return polled;
        }
        if context::with(|run| self.must_wait(run, context)) {
            return Poll::Pending;
        }
        match shared.try_receive() {
            Ok(value) => Poll::Ready(Ok(value)),
            Err(TryReceiveError::EndOfChannel) => Poll::Ready(Err(EndOfChannel)),
            Err(TryReceiveError::WouldBlock) => {
                let operation = Operation::new(Receive(Rc::clone(shared)), ());
                Pin::new(self.operation.get_mut().insert(operation)).poll(context)
            }
        }
    }

    /// Whether the code is cancelled, or the other tasks' turn has to come first.
    fn must_wait(&mut self, run: &Run, context: &Context<'_>) -> bool {
        if run.is_cancelled_here() {
            run.park_cancelled(context);
            return true;
        }
        if std::mem::take(&mut self.yielded) || run.take_budget() {
            return false;
        }
        self.yielded = true;
        yield_now(run, context);
        true
    }
}

/// The values in the order in which they were sent, until the channel ends.
///
/// Each poll for a value is a checkpoint, as [`receive`](MemoryReceiver::receive) is. If nothing is to be had, the
/// receiver gets a place in the queue of receivers, which it keeps even if `next()` is dropped: what comes is given by
/// the next `next()`. Any other use of the receiver gives the place up first, so that nothing is lost between the two.
///
/// # Panics
///
/// Polled outside a run.
///
/// # Examples
///
/// ```
/// use futures::StreamExt;
/// trio::run(async {
///     let (sender, receiver) = trio::open_memory_channel(5);
///     for value in 0..5 {
///         sender.try_send(value).unwrap();
///     }
///     drop(sender);
///     let even: Vec<i32> = receiver.filter(|value| std::future::ready(value % 2 == 0)).collect().await;
///     assert_eq!(even, [0, 2, 4]);
/// });
/// ```
impl<T> Stream for MemoryReceiver<T> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let this = self.get_mut();
        this.wait.poll(&this.shared, context).map(Result::ok)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.shared.buffer.borrow().len(), None)
    }
}
