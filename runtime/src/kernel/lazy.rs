//! What a scope does not cost before its code waits for something.
//!
//! Most timeouts never fire, and most operations under one are ready at once. So a scope that nobody has a handle of is
//! at first *entered* only: a note on a list. It gets its node in the tree when its code parks, or earlier if somebody
//! asks for the current node. Its deadline is *unarmed* until then and for a while longer: it joins the others when the
//! run looks at its clock the next time, which is at the latest before it waits. A scope that has ended before costs
//! neither a look at the clock nor a place among the deadlines.
//!
//! Invariants: the scopes on the list of entered ones are nested in each other and in the node that is being polled; an
//! unarmed deadline is armed before anybody asks for deadlines, and before a later one is set, so that deadlines are met
//! in the order of their scopes.

use std::cell::{Cell, RefCell};
use std::panic::Location;
use std::task::Context;

use super::clock::in_nanoseconds;
use super::handle::Limit;
use super::header::{Flag, Kind, Node, NodeId};
use super::run::Run;
use super::timers::{NEVER, NO_TIMER, Target, Time, UNARMED};
use super::waker::word_of;
use super::word::Word;

/// When a scope cancels itself.
#[derive(Clone, Copy)]
pub(crate) enum Due {
    Never,
    At(Time),
    /// So long after a moment that was no earlier than `since`, and no later than the clock's slack after it.
    After {
        since: Time,
        nanoseconds: u64,
    },
}

/// A scope that has no node yet.
struct Entered {
    /// The task or body that polls it.
    owner: Word,
    due: Due,
    /// Where it was made.
    made: &'static Location<'static>,
}

/// A deadline that is not among the run's timers yet.
struct Unarmed {
    scope: NodeId,
    due: Due,
}

/// The lists of one run.
#[derive(Default)]
pub(crate) struct Lazy {
    entered: RefCell<Vec<Entered>>,
    /// How many are entered.
    count: Cell<usize>,
    unarmed: RefCell<Vec<Unarmed>>,
}

/// A scope that has been entered, until its code returns from its first step.
pub(crate) struct Entry<'a> {
    run: &'a Run,
    /// Its place in the list.
    place: usize,
    /// Where its own node's name goes, if it got one.
    id: &'a mut Option<NodeId>,
}

impl Entry<'_> {
    /// Gives the scope its node.
    pub(crate) fn settle(&self) {
        self.run.settle();
    }
}

impl Drop for Entry<'_> {
    #[inline]
    fn drop(&mut self) {
        let run = self.run;
        if run.lazy.count.get() > self.place {
            run.lazy.entered.borrow_mut().truncate(self.place);
            run.lazy.count.set(self.place);
        } else {
            // Whatever was inside has left, so the current node is this scope's own.
            let node = run.tree.current.get();
            *self.id = Some(run.tree.id(node));
            run.tree.current.set(node.parent.get().expect("a scope is below the node that was polled around it"));
        }
    }
}

impl Run {
    /// Enters a scope that has no handle and is no shield, without a node; `None` if it must have one at once. `id` gets
    /// its name when it has one.
    #[inline(always)]
    pub(crate) fn enter<'a>(
        &'a self,
        context: &Context<'_>,
        limit: &Limit,
        made: &'static Location<'static>,
        id: &'a mut Option<NodeId>,
    ) -> Option<Entry<'a>> {
        let owner = word_of(context.waker())?;
        // Entering a scope is no cancel point, so this does not count as one.
        if self.tree.current.get().is_cancelled() {
            return None;
        }
        let due = self.due(limit)?;
        let place = self.lazy.count.get();
        self.lazy.entered.borrow_mut().push(Entered { owner, due, made });
        self.lazy.count.set(place + 1);
        Some(Entry { run: self, place, id })
    }

    /// When a scope that is entered now is due; `None` if it may be due already, so that the clock has to tell.
    #[inline(always)]
    fn due(&self, limit: &Limit) -> Option<Due> {
        match *limit {
            Limit::None => Some(Due::Never),
            Limit::After(timeout) if timeout.is_zero() => None,
            Limit::After(timeout) => Some(match in_nanoseconds(timeout) {
                Some(nanoseconds) => Due::After { since: self.no_later_than_now(), nanoseconds },
                None => Due::Never,
            }),
            Limit::At(instant) => {
                let deadline = self.epoch().time(instant);
                (deadline > self.no_later_than_now().saturating_add(self.slack())).then_some(Due::At(deadline))
            }
        }
    }

    /// Whether scopes have been entered that have no node yet.
    #[inline]
    pub(crate) fn has_entered(&self) -> bool {
        self.lazy.count.get() > 0
    }

    /// Gives every scope that has been entered its node. The innermost is the current one then.
    #[inline(never)]
    pub(crate) fn settle(&self) {
        self.lazy.count.set(0);
        for Entered { owner, due, made } in self.lazy.entered.borrow_mut().drain(..) {
            let node = self.tree.insert(self.tree.current.get(), Kind::Scope);
            node.owner.set(self.tree.woken_by(owner));
            node.location.set(Some(made));
            self.set_due(node, due);
            self.tree.current.set(node);
        }
    }

    /// Sets the deadline of a scope that is entered.
    pub(crate) fn set_due(&self, node: Node, due: Due) {
        match due {
            Due::Never => return,
            Due::At(deadline) => node.deadline.set(deadline),
            Due::After { .. } => {}
        }
        node.timer.set(UNARMED);
        self.lazy.unarmed.borrow_mut().push(Unarmed { scope: self.tree.id(node), due });
    }

    /// Takes back the deadline of a scope that leaves the tree before it was armed.
    #[inline]
    pub(crate) fn disarm(&self, node: Node) {
        node.timer.set(NO_TIMER);
        let mut unarmed = self.lazy.unarmed.borrow_mut();
        // The others are few, and are gone when the clock is looked at the next time.
        if unarmed.last().is_some_and(|last| self.tree.get(last.scope) == Some(node)) {
            unarmed.pop();
        }
    }

    /// Whether there are deadlines that are no timers yet.
    #[inline]
    pub(crate) fn has_unarmed(&self) -> bool {
        !self.lazy.unarmed.borrow().is_empty()
    }

    /// Makes timers of all deadlines that are none yet, in the order in which their scopes were entered.
    pub(crate) fn arm(&self) {
        if self.has_entered() || self.has_unarmed() {
            self.arm_at(self.now());
        }
    }

    /// As [`arm`](Self::arm), when the clock has been read already.
    #[inline]
    pub(crate) fn arm_at(&self, now: Time) {
        if self.has_entered() {
            self.settle();
        }
        if self.has_unarmed() {
            self.arm_all(now);
        }
    }

    fn arm_all(&self, now: Time) {
        let mut timers = self.timers.borrow_mut();
        for Unarmed { scope, due } in self.lazy.unarmed.borrow_mut().drain(..) {
            let Some(node) = self.tree.get(scope) else { continue };
            let deadline = match due {
                Due::Never => NEVER,
                Due::At(deadline) => deadline,
                Due::After { since, nanoseconds } => {
                    since.saturating_add(self.slack()).min(now).checked_add(nanoseconds).unwrap_or(NEVER)
                }
            };
            node.deadline.set(deadline);
            node.timer.set(NO_TIMER);
            if deadline != NEVER && !node.is(Flag::CANCELLED) {
                node.timer.set(timers.insert(deadline, Target::Scope(scope)));
            }
        }
    }
}
