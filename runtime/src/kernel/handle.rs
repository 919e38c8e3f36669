//! A cancel scope's state as its handles see it: before the scope is entered, while it runs, and afterwards.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;
use std::panic::Location;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::clock::after;
use super::context;
use super::header::{Flag, NodeId};
use super::link::Membership;
use super::reason::CancelReason;
use super::run::Run;
use super::timers::{NEVER, Time};

/// When a scope that has not been entered yet is to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Limit {
    #[default]
    None,
    At(Instant),
    /// Counted from the moment the scope is entered.
    After(Duration),
}

/// What a scope starts with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    pub(crate) limit: Limit,
    /// Where the limit was set, if that was done through a handle.
    pub(super) limit_set: Option<&'static Location<'static>>,
    pub(crate) shield: bool,
    pub(crate) cancelled: Option<Rc<CancelReason>>,
    /// It is to wind down as soon as it is entered, for so long.
    pub(super) shut_down: Option<(Duration, &'static Location<'static>)>,
}

/// What is left of a scope that has ended.
#[derive(Clone, Debug)]
pub(super) struct Remains {
    deadline: Option<Instant>,
    cancelled: Option<Rc<CancelReason>>,
    caught: bool,
}

pub(super) enum State {
    /// Not entered yet.
    Unbound(Settings),
    /// Being polled: the node in the tree has the state.
    Active(NodeId),
    Exited(Remains),
}

/// A scope that has handles.
pub(crate) struct Handled {
    pub(super) state: RefCell<State>,
    /// The links that the scope is in, until it ends.
    pub(super) links: RefCell<Vec<Membership>>,
}

impl Handled {
    pub(crate) fn unbound(settings: Settings) -> Rc<Self> {
        Self::new(State::Unbound(settings))
    }

    pub(crate) fn active(node: NodeId) -> Rc<Self> {
        Self::new(State::Active(node))
    }

    fn new(state: State) -> Rc<Self> {
        Rc::new(Self { state: RefCell::new(state), links: RefCell::default() })
    }

    /// The scope's settings, as they stand before it is entered.
    pub(crate) fn settings(&self) -> Settings {
        match &*self.state.borrow() {
            State::Unbound(settings) => settings.clone(),
            State::Active(_) | State::Exited(_) => unreachable!("a scope is entered once"),
        }
    }

    /// Sets the limit of a scope that has not been entered yet.
    pub(crate) fn limit(&self, limit: Limit) {
        if let State::Unbound(settings) = &mut *self.state.borrow_mut() {
            settings.limit = limit;
        }
    }

    /// The scope has been entered.
    pub(crate) fn bind(&self, node: NodeId) {
        *self.state.borrow_mut() = State::Active(node);
    }

    /// The scope is about to leave the tree.
    pub(crate) fn end(&self, caught: bool) {
        let State::Active(id) = *self.state.borrow() else { return };
        self.links.borrow_mut().clear();
        let remains = context::try_with(|run| {
            let tree = &run.tree;
            tree.get(id).map(|node| Remains {
                deadline: run.epoch().instant(node.deadline.get()),
                cancelled: node.reason(),
                caught,
            })
        });
        let remains = remains.flatten().unwrap_or(Remains { deadline: None, cancelled: None, caught });
        *self.state.borrow_mut() = State::Exited(remains);
    }
}

/// Controls a cancel scope or nursery from anywhere in its run: it can be cloned, stored, and used before the
/// scope is entered and after it has ended (which then has no effect).
///
/// # Examples
///
/// A watchdog that is fed by moving the deadline:
///
/// ```
/// use std::time::Duration;
/// trio::Builder::new().clock(trio::testing::MockClock::new().autojump()).run(async {
///     let ended = trio::cancel_scope! { |scope|
///         for _ in 0..3 {
///             scope.set_deadline(Some(trio::current_time() + Duration::from_secs(2)));
///             trio::sleep(Duration::from_secs(1)).await;
///         }
///         trio::sleep_forever().await
///     };
///     assert!(ended.is_none());
/// });
/// ```
#[derive(Clone)]
pub struct CancelHandle {
    pub(crate) scope: Rc<Handled>,
}

impl CancelHandle {
    /// Cancels the scope: everything in it is dropped as soon as it is parked at a checkpoint that no shield
    /// covers. Has effect at once, and does not wait for that. Calling it again changes nothing.
    ///
    /// Not a checkpoint.
    #[track_caller]
    pub fn cancel(&self) {
        self.cancel_with(CancelReason::explicit());
    }

    /// As [`cancel`](Self::cancel), with a text that [`reason`](Self::reason) and the scope's `Debug` show.
    #[track_caller]
    pub fn cancel_because(&self, reason: impl Into<Cow<'static, str>>) {
        self.cancel_with(CancelReason::explicit().with_text(reason));
    }

    pub(crate) fn cancel_with(&self, reason: CancelReason) {
        let node = match &mut *self.scope.state.borrow_mut() {
            State::Active(id) => *id,
            State::Unbound(Settings { cancelled, .. }) | State::Exited(Remains { cancelled, .. }) => {
                cancelled.get_or_insert_with(|| Rc::new(reason.in_current_task()));
                return;
            }
        };
        context::try_with(|run| run.cancel(node, reason));
    }

    /// Whether the scope has been cancelled: by a call, by its deadline, or by a failure in the nursery.
    ///
    /// True does not say that anything was interrupted: see [`caught`](Self::caught). A cancellation of a scope
    /// further out does not count.
    pub fn is_cancelled(&self) -> bool {
        // Nothing is borrowed when the clock, which may be foreign code, is asked.
        let id = match &*self.scope.state.borrow() {
            State::Unbound(settings) => return settings.cancelled.is_some(),
            State::Active(id) => *id,
            State::Exited(remains) => return remains.cancelled.is_some(),
        };
        self.at(id, |run, id| {
            let node = run.tree.get(id)?;
            let deadline = node.deadline.get();
            Some(node.is(Flag::CANCELLED) || (deadline != NEVER && deadline <= run.now()))
        })
    }

    fn at(&self, id: NodeId, f: impl FnOnce(&Run, NodeId) -> Option<bool>) -> bool {
        context::try_with(|run| f(run, id)).flatten().unwrap_or(false)
    }

    /// Whether the scope has ended by dropping what it ran. False while it runs, and false for a scope that was
    /// cancelled but whose code completed without meeting another checkpoint.
    pub fn caught(&self) -> bool {
        matches!(&*self.scope.state.borrow(), State::Exited(remains) if remains.caught)
    }

    /// Why the scope was cancelled: the first cause; `None` if it was not.
    pub fn reason(&self) -> Option<CancelReason> {
        let reason = match &*self.scope.state.borrow() {
            State::Unbound(settings) => settings.cancelled.clone(),
            State::Active(id) => context::try_with(|run| run.tree.get(*id).and_then(|node| node.reason())).flatten(),
            State::Exited(remains) => remains.cancelled.clone(),
        };
        reason.map(|reason| (*reason).clone())
    }

    /// When the scope cancels itself, on the run's clock. `None` if never, or if it has a timeout and has not been
    /// entered yet.
    pub fn deadline(&self) -> Option<Instant> {
        match &*self.scope.state.borrow() {
            State::Unbound(Settings { limit: Limit::At(deadline), .. }) => Some(*deadline),
            State::Unbound(_) => None,
            State::Active(id) => context::try_with(|run| {
                let deadline = run.tree.get(*id).map_or(NEVER, |node| node.deadline.get());
                run.epoch().instant(deadline)
            })
            .flatten(),
            State::Exited(remains) => remains.deadline,
        }
    }

    /// Moves the deadline; `None` takes it away. A deadline that has passed cancels the scope before any task
    /// takes its next step. What is cancelled already stays cancelled.
    #[track_caller]
    pub fn set_deadline(&self, deadline: Option<Instant>) {
        let set = Location::caller();
        let node = match &mut *self.scope.state.borrow_mut() {
            State::Unbound(settings) => {
                settings.limit = deadline.map_or(Limit::None, Limit::At);
                settings.limit_set = Some(set);
                return;
            }
            State::Active(id) => *id,
            State::Exited(remains) => {
                remains.deadline = deadline;
                return;
            }
        };
        context::try_with(|run| move_deadline(run, node, deadline.map_or(NEVER, |at| run.epoch().time(at)), set));
    }

    /// The time left until the deadline, zero if it has passed; before the scope is entered, the timeout it was
    /// given. `None` without a deadline.
    pub fn timeout(&self) -> Option<Duration> {
        if let State::Unbound(Settings { limit: Limit::After(timeout), .. }) = &*self.scope.state.borrow() {
            return Some(*timeout);
        }
        let deadline = self.deadline()?;
        context::try_with(|run| deadline.saturating_duration_since(run.instant_now()))
    }

    /// Sets the deadline to this long from now; before the scope is entered, to this long from then.
    #[track_caller]
    pub fn set_timeout(&self, timeout: Duration) {
        let set = Location::caller();
        let node = match &mut *self.scope.state.borrow_mut() {
            State::Unbound(settings) => {
                settings.limit = Limit::After(timeout);
                settings.limit_set = Some(set);
                return;
            }
            State::Active(id) => *id,
            State::Exited(_) => return,
        };
        context::try_with(|run| move_deadline(run, node, after(run.now(), timeout), set));
    }

    /// Turns the scope's shield on or off. While it is on, cancellations from further out do not reach what is
    /// in the scope; its own still do. Turning it off delivers at once what it has held back.
    pub fn set_shield(&self, shield: bool) {
        let node = match &mut *self.scope.state.borrow_mut() {
            State::Unbound(settings) => {
                settings.shield = shield;
                return;
            }
            State::Active(id) => *id,
            State::Exited(_) => return,
        };
        context::try_with(|run| {
            run.change(|tree, effects| {
                let Some(node) = tree.get(node) else { return };
                // Looks at the deadline first, as Trio's setter does.
                if node.deadline.get() != NEVER && node.deadline.get() <= run.now() {
                    tree.cancel(node, || node.deadline_passed(), effects);
                }
                tree.set_shield(node, shield, effects);
            });
        });
    }

    /// Whether the shield is on.
    pub fn is_shielded(&self) -> bool {
        match &*self.scope.state.borrow() {
            State::Unbound(settings) => settings.shield,
            State::Active(id) => self.at(*id, |run, id| Some(run.tree.get(id)?.is(Flag::SHIELD))),
            State::Exited(_) => false,
        }
    }
}

impl fmt::Debug for CancelHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &*self.scope.state.borrow() {
            State::Unbound(_) => "unbound",
            State::Active(_) => "active",
            State::Exited(_) => "exited",
        };
        write!(f, "CancelScope({state}")?;
        let now = context::try_with(|run| run.instant_now());
        if let (Some(deadline), Some(now)) = (self.deadline(), now) {
            if deadline >= now {
                write!(f, ", deadline is {:.2} seconds from now", (deadline - now).as_secs_f64())?;
            } else {
                write!(f, ", deadline is {:.2} seconds ago", (now - deadline).as_secs_f64())?;
            }
        }
        if let Some(reason) = self.reason() {
            write!(f, ", {reason}")?;
        }
        f.write_str(")")
    }
}

/// Sets the deadline of a scope that is active; one that has passed cancels before any task takes its next step.
pub(super) fn move_deadline(run: &Run, node: NodeId, deadline: Time, set: &'static Location<'static>) {
    run.set_deadline(node, deadline);
    if let Some(node) = run.tree.get(node) {
        node.with_details(|details| details.deadline_set = Some(set));
    }
    if deadline <= run.now() {
        run.look_soon();
    }
}

/// The deadline that a limit means for a scope that is entered now, and whether it has passed. The clock is read only
/// if it matters.
#[inline]
pub(crate) fn deadline_of(limit: Limit, run: &Run) -> (Time, bool) {
    match limit {
        Limit::None => (NEVER, false),
        Limit::At(instant) => {
            let deadline = run.epoch().time(instant);
            (deadline, deadline <= run.now())
        }
        Limit::After(timeout) => (after(run.now(), timeout), timeout.is_zero()),
    }
}
