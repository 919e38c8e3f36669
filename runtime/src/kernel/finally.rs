//! `finally`: clean-up that may wait, however its body is left.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use super::context;
use super::header::{Flag, Kind, Node, NodeId};
use super::run::{Panic, Run};
use super::scope::follow;

/// Runs `body`, then `cleanup`, however `body` is left: by completing, by being cancelled, or by a panic.
///
/// `cleanup` is shielded from cancellation; give it a time limit of its own where it could take long. When it is
/// done, leaving goes on: with the body's value, with the panic, or with the cancellation.
///
/// Rust's `Drop` can't wait for anything; this is for what has to, as `try: … finally:` in Python's Trio. Only trio's
/// own cancellation is seen: when foreign code drops the future itself, neither part runs on. `cleanup` runs only if
/// `body` has been polled at all. One that has begun and is forgotten (`mem::forget`) holds the scopes around it for ever.
///
/// Entering and leaving are no checkpoints.
///
/// # Panics
///
/// With the body's panic, once the clean-up has run.
///
/// # Examples
///
/// ```
/// use std::cell::Cell;
/// use std::time::Duration;
/// trio::run(async {
///     let clean = Cell::new(false);
///     let result = trio::move_on_after(
///         Duration::from_millis(1),
///         trio::finally(trio::sleep_forever(), async {
///             trio::checkpoint().await;
///             clean.set(true);
///         }),
///     );
///     assert!(result.await.is_none());
///     assert!(clean.get());
/// });
/// ```
pub fn finally<B: Future, C: Future<Output = ()>>(body: B, cleanup: C) -> impl Future<Output = B::Output> {
    Finally { body: Some(body), cleanup: Some(cleanup), left: None, place: Place(None) }
}

/// How the body was left.
enum Left<T> {
    Value(T),
    Cancelled,
    Panicked(Panic),
}

struct Finally<B: Future, C> {
    // In the order in which they are dropped: the futures leave the tree before the node does.
    body: Option<B>,
    cleanup: Option<C>,
    left: Option<Left<B::Output>>,
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

impl<B: Future, C: Future<Output = ()>> Finally<B, C> {
    fn poll_body(&mut self, run: &Run, node: Node, context: &mut Context<'_>) -> Option<Left<B::Output>> {
        let body = self.body.as_mut()?;
        // SAFETY: `self` is pinned (see `poll`), and the body is dropped in place.
        let body = unsafe { Pin::new_unchecked(body) };
        let polled = {
            let _within = run.within(node);
            catch_unwind(AssertUnwindSafe(|| body.poll(context)))
        };
        match polled {
            Ok(Poll::Ready(value)) => Some(Left::Value(value)),
            Ok(Poll::Pending) => node.may_drop().then_some(Left::Cancelled),
            Err(panic) => Some(Left::Panicked(panic)),
        }
    }

    /// Drops the body, and shields what follows.
    fn leave_body(&mut self, run: &Run, node: Node, left: Left<B::Output>) {
        let dropped = {
            let _within = run.within(node);
            catch_unwind(AssertUnwindSafe(|| self.body = None))
        };
        self.left = Some(match (dropped, left) {
            (Ok(()), left) => left,
            // The first panic is the one that goes on; the hook has printed both.
            (Err(_), Left::Panicked(panic)) | (Err(panic), _) => Left::Panicked(panic),
        });
        run.change(|tree, effects| {
            // What was parked is gone; the clean-up is another matter.
            node.set(Flag::DOOMED, false);
            tree.set_shield(node, true, effects);
        });
    }

    fn poll_cleanup(&mut self, run: &Run, node: Node, context: &mut Context<'_>) -> Poll<()> {
        let Some(cleanup) = self.cleanup.as_mut() else { return Poll::Ready(()) };
        // SAFETY: as for the body.
        let cleanup = unsafe { Pin::new_unchecked(cleanup) };
        let _within = run.within(node);
        std::task::ready!(cleanup.poll(context));
        self.cleanup = None;
        Poll::Ready(())
    }

    fn poll_in(&mut self, run: &Run, context: &mut Context<'_>) -> Poll<B::Output> {
        let id = *self.place.0.get_or_insert_with(|| {
            run.change(|tree, effects| {
                let node = tree.insert(run.current(), Kind::Finally);
                tree.set_guards(node, true, effects);
                tree.id(node)
            })
        });
        let node = follow(run, id, context, "`finally`");
        if self.body.is_some() {
            let Some(left) = self.poll_body(run, node, context) else { return Poll::Pending };
            self.leave_body(run, node, left);
        }
        std::task::ready!(self.poll_cleanup(run, node, context));
        match self.left.take() {
            Some(Left::Value(value)) => {
                drop(std::mem::replace(&mut self.place, Place(None)));
                Poll::Ready(value)
            }
            Some(Left::Panicked(panic)) => {
                drop(std::mem::replace(&mut self.place, Place(None)));
                resume_unwind(panic)
            }
            // The cancellation goes on: whoever is above drops this.
            Some(Left::Cancelled) | None => {
                self.left = Some(Left::Cancelled);
                run.change(|tree, effects| {
                    tree.set_guards(node, false, effects);
                    tree.set_shield(node, false, effects);
                    tree.set_unwinding(node, true, effects);
                });
                Poll::Pending
            }
        }
    }
}

impl<B: Future, C: Future<Output = ()>> Future for Finally<B, C> {
    type Output = B::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<B::Output> {
        // SAFETY: body and clean-up are structurally pinned: they are dropped in place, and never moved.
        let this = unsafe { self.get_unchecked_mut() };
        context::with(|run| this.poll_in(run, context))
    }
}
