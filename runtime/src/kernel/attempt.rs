//! Running something on behalf of somebody who has to be told when it is cancelled.

use std::pin::Pin;
use std::task::{Context, Poll};

use super::context;
use super::header::{Kind, Node, NodeId};
use super::run::Run;
use super::scope::follow;

/// Runs a future; `None` if it was cancelled, and has been dropped at a checkpoint.
///
/// Trio's `except Cancelled`: the code behind it goes on, and has to get to a checkpoint soon. So it is not for users,
/// but for operations that hold cancellations off themselves and must answer somebody outside.
pub(crate) fn attempt<F: Future + Unpin>(future: F) -> Attempt<F> {
    Attempt { future: Some(future), place: Place(None) }
}

pub(crate) struct Attempt<F> {
    // Dropped first: what the future has in the tree goes before the node does.
    future: Option<F>,
    place: Place,
}

/// The node in the tree, once the future has been polled.
struct Place(Option<NodeId>);

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(id) = self.0.take() {
            context::try_with(|run| run.remove(id));
        }
    }
}

impl<F: Future + Unpin> Attempt<F> {
    fn node(&mut self, run: &Run, context: &Context<'_>) -> Node {
        let id = *self.place.0.get_or_insert_with(|| {
            run.change(|tree, effects| {
                let node = tree.insert(run.current(), Kind::Finally);
                tree.set_guards(node, true, effects);
                tree.id(node)
            })
        });
        follow(run, id, context, "call from a thread")
    }

    fn poll_in(&mut self, run: &Run, context: &mut Context<'_>) -> Poll<Option<F::Output>> {
        let node = self.node(run, context);
        let future = self.future.as_mut().expect("an attempt is polled until it is done");
        let within = run.within(node);
        let output = match Pin::new(future).poll(context) {
            Poll::Ready(output) => Some(output),
            Poll::Pending if node.may_drop() => None,
            Poll::Pending => return Poll::Pending,
        };
        self.future = None;
        drop(within);
        drop(std::mem::replace(&mut self.place, Place(None)));
        Poll::Ready(output)
    }
}

impl<F: Future + Unpin> Future for Attempt<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        context::with(|run| self.poll_in(run, context))
    }
}
