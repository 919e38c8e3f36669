//! Links: one cancellation for many scopes.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::{Rc, Weak};

use super::handle::{CancelHandle, Handled, State};
use super::reason::CancelReason;
use super::scope::CancelScope;

/// Cancels any number of scopes at once, wherever they are: each scope that is [`linked`](CancelScope::linked) to it.
///
/// For what belongs together without being in one block: all requests of one customer, all that uses a connection that
/// was lost. A scope or nursery can be in several links; the first that is cancelled cancels it. A scope that is linked
/// after the cancellation is cancelled at once. A scope that has ended, or was dropped, is in no link any more, so a link
/// may serve many short scopes for a long time.
///
/// A link is a name only: it can be cloned, and kept anywhere on its thread; dropping it cancels nothing. Python's Trio
/// has discussed this as linked cancel scopes (its issue 886), and its users have `MultiCancelScope` in tricycle.
///
/// # Examples
///
/// ```
/// use trio::{CancelLink, CancelScope};
/// async fn request(customer: &CancelLink) -> &'static str {
///     let answer = CancelScope::new().linked(customer).run(trio::sleep_forever()).await;
///     answer.map_or("withdrawn", |_| "answered")
/// }
/// trio::run(async {
///     let customer = CancelLink::new();
///     trio::nursery! { |n|
///         let one = n.spawn(request(&customer));
///         let two = n.spawn(request(&customer));
///         trio::checkpoint().await;
///         assert_eq!(customer.len(), 2);
///         customer.cancel_because("the customer has left");
///         assert_eq!(one.join().await, Ok("withdrawn"));
///         assert_eq!(two.join().await, Ok("withdrawn"));
///     }
///     assert!(customer.is_empty());
///     assert_eq!(request(&customer).await, "withdrawn");
/// });
/// ```
#[derive(Clone, Default)]
pub struct CancelLink {
    link: Rc<Link>,
}

#[derive(Default)]
struct Link(RefCell<Members>);

#[derive(Default)]
struct Members {
    /// By when they came, so that they are cancelled in that order.
    scopes: BTreeMap<u64, Weak<Handled>>,
    next: u64,
    cancelled: Option<CancelReason>,
}

/// One scope's place in one link; leaves it when dropped.
pub(super) struct Membership {
    link: Rc<Link>,
    key: u64,
}

impl Drop for Membership {
    fn drop(&mut self) {
        // What is dropped here is a count: no foreign code runs.
        self.link.0.borrow_mut().scopes.remove(&self.key);
    }
}

impl CancelLink {
    /// A link without scopes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancels every linked scope, those that have not been entered yet included, and every scope that is linked later.
    /// The oldest link comes first. Calling it again changes nothing. It takes effect in the run that it is called in: a
    /// guest's host calls it inside of [`enter`](crate::lowlevel::GuestRun::enter), as [`CancelHandle::cancel`].
    ///
    /// Not a checkpoint.
    #[track_caller]
    pub fn cancel(&self) {
        self.cancel_with(CancelReason::explicit());
    }

    /// As [`cancel`](Self::cancel), with a text that the scopes' [`reason`](CancelHandle::reason) and `Debug` show.
    #[track_caller]
    pub fn cancel_because(&self, reason: impl Into<Cow<'static, str>>) {
        self.cancel_with(CancelReason::explicit().with_text(reason));
    }

    fn cancel_with(&self, reason: CancelReason) {
        let reason = reason.in_current_task();
        let scopes: Vec<_> = {
            let mut members = self.link.0.borrow_mut();
            // Outside of their run the scopes hear of nothing, and have to be told again, but the first cause stays.
            members.cancelled.get_or_insert(reason);
            members.scopes.values().filter_map(Weak::upgrade).collect()
        };
        let Some(reason) = self.reason() else { return };
        for scope in scopes {
            // A cancellation may run foreign code, by which others of the scopes have ended meanwhile.
            if !matches!(*scope.state.borrow(), State::Exited(_)) {
                CancelHandle { scope: Rc::clone(&scope) }.cancel_with(reason.clone());
            }
        }
    }

    /// Whether it has been cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.link.0.borrow().cancelled.is_some()
    }

    /// Why it was cancelled: the first cause; `None` if it was not.
    pub fn reason(&self) -> Option<CancelReason> {
        self.link.0.borrow().cancelled.clone()
    }

    /// How many scopes are linked that have not ended.
    pub fn len(&self) -> usize {
        self.link.0.borrow().scopes.len()
    }

    /// Whether no scope is linked that has not ended.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a scope, unless it has ended.
    fn add(&self, scope: &Rc<Handled>) {
        if matches!(*scope.state.borrow(), State::Exited(_)) {
            return;
        }
        let known = |member: &Membership| Rc::ptr_eq(&member.link, &self.link);
        if scope.links.borrow().iter().any(known) {
            return;
        }
        let (key, cancelled) = {
            let mut members = self.link.0.borrow_mut();
            let key = members.next;
            members.next += 1;
            members.scopes.insert(key, Rc::downgrade(scope));
            (key, members.cancelled.clone())
        };
        scope.links.borrow_mut().push(Membership { link: Rc::clone(&self.link), key });
        if let Some(reason) = cancelled {
            CancelHandle { scope: Rc::clone(scope) }.cancel_with(reason);
        }
    }
}

impl fmt::Debug for CancelLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members = self.link.0.borrow();
        write!(f, "CancelLink({} scopes", members.scopes.len())?;
        if let Some(reason) = &members.cancelled {
            write!(f, ", {reason}")?;
        }
        f.write_str(")")
    }
}

impl CancelScope {
    /// Has the scope cancelled when the link is; at once, if that has been cancelled already.
    pub fn linked(self, link: &CancelLink) -> Self {
        self.handle().link_to(link);
        self
    }
}

impl CancelHandle {
    /// Has the scope or nursery cancelled when the link is; at once, if that has been cancelled already. No effect when
    /// the scope has ended, or is in the link already.
    ///
    /// Not a checkpoint.
    ///
    /// # Examples
    ///
    /// ```
    /// use trio::CancelLink;
    /// trio::run(async {
    ///     let link = CancelLink::new();
    ///     let outcome = trio::nursery! { |n, scope|
    ///         scope.link_to(&link);
    ///         n.start_soon(async { trio::sleep_forever().await });
    ///         link.cancel();
    ///         trio::sleep_forever().await
    ///     };
    ///     assert!(outcome.is_none());
    /// });
    /// ```
    pub fn link_to(&self, link: &CancelLink) {
        link.add(&self.scope);
    }
}
