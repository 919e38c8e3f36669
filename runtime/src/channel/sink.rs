//! A sender as a sink of the `futures` crates.

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use futures_sink::Sink;

use super::error::TrySendError;
use super::sender::MemorySender;
use super::shared::{Send, Shared};
use crate::kernel::checkpoint::yield_now;
use crate::kernel::context;
use crate::kernel::run::Run;
use crate::sync::BrokenResourceError;
use crate::sync::wait_queue::Operation;

impl<T> MemorySender<T> {
    /// Makes the sender a `futures_sink::Sink`, with the feature `sink`.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::{SinkExt, StreamExt};
    /// trio::run(async {
    ///     let (sender, receiver) = trio::open_memory_channel(1);
    ///     let mut sink = sender.into_sink();
    ///     trio::nursery! { |n|
    ///         n.start_soon(async move {
    ///             sink.send_all(&mut futures::stream::iter([Ok(1), Ok(2), Ok(3)])).await.unwrap();
    ///             sink.close().await.unwrap();
    ///         });
    ///         assert_eq!(receiver.collect::<Vec<_>>().await, [1, 2, 3]);
    ///     }
    /// });
    /// ```
    pub fn into_sink(self) -> MemorySink<T> {
        MemorySink { sender: Some(self), stage: Stage::Idle, yielded: false }
    }
}

/// A sender of a memory channel as a `futures_sink::Sink`. Made by [`MemorySender::into_sink`].
///
/// It takes one value more than the channel has room for: one that was taken (`start_send`) is in the channel when a flush is
/// ready, or when the sink is ready for the next. Each poll that is ready is a checkpoint, and one in a cancelled scope parks and
/// sends nothing; the value stays in the sink, and its place in the queue of senders too. Dropping the sink drops it.
///
/// Closing flushes and closes the sender. With no receiver left, polls fail with [`BrokenResourceError`].
pub struct MemorySink<T> {
    /// `None` once it has been closed.
    sender: Option<MemorySender<T>>,
    stage: Stage<T>,
    yielded: bool,
}

enum Stage<T> {
    Idle,
    /// Taken, and not yet tried to be sent where it could wait.
    Taken(T),
    /// In the queue of senders.
    Waiting(Operation<Send<Rc<Shared<T>>>>),
}

impl<T> MemorySink<T> {
    /// Waits until the value that was taken is in the channel.
    ///
    /// It never holds a grant that it owes a yield for, since whoever polls may go away without telling: the yield comes first.
    fn poll_sent(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BrokenResourceError>> {
        if let Stage::Waiting(operation) = &mut self.stage {
            let result = ready!(Pin::new(operation).poll(context));
            self.stage = Stage::Idle;
            return Poll::Ready(result.map_err(|_| no_receiver()));
        }
        if context::with(|run| self.must_wait(run, context)) {
            return Poll::Pending;
        }
        let Stage::Taken(value) = std::mem::replace(&mut self.stage, Stage::Idle) else { return Poll::Ready(Ok(())) };
        let Some(sender) = &self.sender else { return Poll::Ready(Err(no_receiver())) };
        match sender.try_send(value) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(TrySendError::Broken(_)) => Poll::Ready(Err(no_receiver())),
            Err(TrySendError::WouldBlock(value)) => {
                let mut operation = Operation::new(Send(Rc::clone(&sender.shared)), value);
                let polled = Pin::new(&mut operation).poll(context);
                if polled.is_pending() {
                    self.stage = Stage::Waiting(operation);
                }
                polled.map_err(|_| no_receiver())
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

    fn is_broken(&self) -> bool {
        self.sender.as_ref().is_none_or(|sender| sender.shared.receivers.get() == 0)
    }
}

// What has been taken is never pinned.
impl<T> Unpin for MemorySink<T> {}

/// # Panics
///
/// Polled outside a run.
impl<T> Sink<T> for MemorySink<T> {
    type Error = BrokenResourceError;

    fn poll_ready(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), BrokenResourceError>> {
        ready!(self.poll_sent(context))?;
        Poll::Ready(if self.is_broken() { Err(no_receiver()) } else { Ok(()) })
    }

    /// # Panics
    ///
    /// If the sink was not ready.
    fn start_send(mut self: Pin<&mut Self>, value: T) -> Result<(), BrokenResourceError> {
        assert!(matches!(self.stage, Stage::Idle), "a sink takes a value only when it has said that it is ready");
        let Some(sender) = self.sender.as_ref() else { return Err(no_receiver()) };
        match sender.try_send(value) {
            Ok(()) => Ok(()),
            Err(TrySendError::Broken(_)) => Err(no_receiver()),
            Err(TrySendError::WouldBlock(value)) => {
                self.stage = Stage::Taken(value);
                Ok(())
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), BrokenResourceError>> {
        self.poll_sent(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), BrokenResourceError>> {
        let sent = ready!(self.poll_sent(context));
        self.sender = None;
        Poll::Ready(sent)
    }
}

fn no_receiver() -> BrokenResourceError {
    BrokenResourceError::new("the channel has no receiver any more")
}

impl<T> fmt::Debug for MemorySink<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemorySink")
            .field("sender", &self.sender)
            .field("holds_value", &!matches!(self.stage, Stage::Idle))
            .finish()
    }
}
