//! Soft cancellation: asking a scope to wind down before it is cancelled.
//!
//! Python's Trio has only plans for this (its issue 147, "graceful shutdown"); the shape here is the one discussed there: a
//! scope winds down for a grace period, in which only what asked to be told ends early.

use std::cell::RefCell;
use std::panic::Location;
use std::time::Duration;

use slab::Slab;

use super::clock::after;
use super::context;
use super::handle::{CancelHandle, State, move_deadline};
use super::header::{Flag, Node};
use super::reason::{CancelReason, CancelSource};
use super::run::Run;
use super::scope::CancelScope;

/// The scopes of the `until_shutdown` calls of one run.
#[derive(Default)]
pub(crate) struct Shutdowns(RefCell<Slab<CancelHandle>>);

impl CancelHandle {
    /// Asks everything in the scope to wind down, and cancels it after `grace` at the latest.
    ///
    /// What runs inside [`until_shutdown`] ends now, also if it is started later; everything else goes on until it has
    /// ended by itself or the grace is over. Calling it again can only shorten the grace. Before the scope is entered,
    /// the grace counts from then; when it has ended, there is no effect.
    ///
    /// A shield inside the scope keeps this off as it does a cancellation. Not a checkpoint.
    ///
    /// # Examples
    ///
    /// A server that stops to accept, and lets those finish that it has:
    ///
    /// ```
    /// use std::time::Duration;
    /// use trio::{CancelHandle, testing::MockClock, until_shutdown};
    /// # async fn accept() -> u32 { trio::sleep(Duration::from_secs(10)).await; 7 }
    ///
    /// async fn serve(client: u32) {
    ///     trio::sleep(Duration::from_secs(15)).await;
    ///     println!("served {client}");
    /// }
    ///
    /// async fn stop_after(time: Duration, server: CancelHandle) {
    ///     trio::sleep(time).await;
    ///     server.shut_down(Duration::from_secs(30));
    /// }
    ///
    /// trio::Builder::new().clock(MockClock::new().autojump()).run(async {
    ///     let began = trio::current_time();
    ///     trio::nursery! { |n, server|
    ///         n.start_daemon(stop_after(Duration::from_secs(25), server.clone()));
    ///         while let Some(client) = until_shutdown(accept()).await {
    ///             n.start_soon(serve(client));
    ///         }
    ///     };
    ///     // Accepted at 10 and 20, told at 25, done at 35.
    ///     assert_eq!((trio::current_time() - began).as_secs(), 35);
    /// });
    /// ```
    #[track_caller]
    pub fn shut_down(&self, grace: Duration) {
        self.shut_down_at(grace, Location::caller());
    }

    pub(super) fn shut_down_at(&self, grace: Duration, asked: &'static Location<'static>) {
        let id = match &mut *self.scope.state.borrow_mut() {
            State::Unbound(settings) => {
                if settings.shut_down.is_none_or(|(known, _)| grace < known) {
                    settings.shut_down = Some((grace, asked));
                }
                return;
            }
            State::Active(id) => *id,
            State::Exited(_) => return,
        };
        context::try_with(|run| {
            let Some(node) = run.tree.get(id) else { return };
            node.set(Flag::WINDING_DOWN, true);
            let deadline = after(run.now(), grace);
            run.arm();
            if deadline < node.deadline.get() {
                move_deadline(run, id, deadline, asked);
            }
            run.tell_shutdown();
        });
    }

    /// Whether the scope has been asked to wind down by [`shut_down`](Self::shut_down). False when it has ended.
    pub fn is_shutting_down(&self) -> bool {
        match &*self.scope.state.borrow() {
            State::Unbound(settings) => settings.shut_down.is_some(),
            State::Active(id) => {
                context::try_with(|run| run.tree.get(*id).is_some_and(|node| node.is(Flag::WINDING_DOWN))) == Some(true)
            }
            State::Exited(_) => false,
        }
    }
}

/// Runs a future until a scope around it is asked to wind down: `None` then.
///
/// For what waits for new work: accepting a connection, receiving from a channel. The future is dropped as by a
/// cancellation: at its next checkpoint, unless it is shielded there. A cancellation proper is not caught here.
///
/// Not a checkpoint by itself.
///
/// # Panics
///
/// When polled outside a run.
///
/// See [`CancelHandle::shut_down`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use trio::until_shutdown;
/// trio::run(async {
///     let outcome = trio::cancel_scope! { |scope|
///         scope.shut_down(Duration::from_secs(5));
///         assert!(until_shutdown(trio::sleep_forever()).await.is_none());
///         "there was time to say goodbye"
///     };
///     assert_eq!(outcome, Some("there was time to say goodbye"));
/// });
/// ```
pub async fn until_shutdown<F: Future>(future: F) -> Option<F::Output> {
    let scope = CancelScope::new();
    let _told = Told::new(scope.handle());
    scope.run(future).await
}

/// A call of `until_shutdown` on the run's list, until it is dropped.
struct Told {
    key: usize,
    run: u64,
}

impl Told {
    fn new(handle: CancelHandle) -> Self {
        context::with(|run| {
            if run.is_winding_down(run.current()) {
                end(&handle);
            }
            Self { key: run.shutdowns.0.borrow_mut().insert(handle), run: run.opened.run }
        })
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        context::try_with(|run| {
            if run.opened.run == self.run {
                let handle = run.shutdowns.0.borrow_mut().try_remove(self.key);
                drop(handle);
            }
        });
    }
}

fn end(handle: &CancelHandle) {
    handle.cancel_with(CancelReason::new(CancelSource::Explicit).with_text("a scope around it is shutting down"));
}

impl Run {
    /// Whether the node, or what is around it as far as no shield is between, has been asked to wind down.
    fn is_winding_down(&self, node: Node) -> bool {
        let mut around = std::iter::successors(Some(node), |node| node.parent.get().filter(|_| !node.is(Flag::SHIELD)));
        around.any(|node| node.is(Flag::WINDING_DOWN))
    }

    /// Ends the calls of `until_shutdown` that are in something which winds down.
    fn tell_shutdown(&self) {
        let all: Vec<CancelHandle> = self.shutdowns.0.borrow().iter().map(|(_, handle)| handle.clone()).collect();
        for handle in all {
            let place = match &*handle.scope.state.borrow() {
                State::Active(id) => self.tree.get(*id),
                State::Unbound(_) | State::Exited(_) => None,
            };
            if place.is_some_and(|place| self.is_winding_down(place)) {
                end(&handle);
            }
        }
    }
}
