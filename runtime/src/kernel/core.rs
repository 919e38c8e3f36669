//! What a nursery owns: its children, their errors, and its place in the tree.
//!
//! Invariant, on which the soundness of borrowing children rests: a child's future is polled only from its
//! nursery's own poll (or, before `started`, from the poll of the `start` call that owns it), and is dropped
//! at the latest with the nursery's driver. Nothing else in the run ever reaches a child's future.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::rc::Rc;

use slab::Slab;

use super::child::Child;
use super::context;
use super::group::TaskError;
use super::handle::Handled;
use super::reason::{CancelReason, CancelSource};
use super::run::{Panic, Run};
use super::tree::{Kind, NONE, NodeId};

/// A child as its nursery keeps it, its lifetime erased.
type AnyChild<E> = Rc<dyn Child<E>>;

/// A nursery without the lifetimes that its users see.
pub(crate) struct Core<E> {
    pub(crate) id: NodeId,
    pub(crate) location: &'static Location<'static>,
    children: RefCell<Slab<AnyChild<E>>>,
    /// Children that keep the nursery open.
    pub(crate) living: Cell<usize>,
    /// Children that do not.
    pub(crate) daemons: Cell<usize>,
    /// `start` calls that have not returned.
    pub(crate) starting: Cell<usize>,
    pub(crate) errors: RefCell<Vec<TaskError<E>>>,
    pub(crate) panics: RefCell<Vec<Panic>>,
    /// The body or a child was dropped because of a cancellation of the whole nursery.
    pub(crate) interrupted: Cell<bool>,
    /// Nothing can be started any more: the nursery is being dropped.
    closed: Cell<bool>,
    /// The nursery as its handles know it, if it has any.
    pub(crate) handle: RefCell<Option<Rc<Handled>>>,
}

/// A new child: its cell, name and place of birth.
pub(crate) struct Birth<'scope, E> {
    pub(crate) child: Rc<dyn Child<E> + 'scope>,
    pub(crate) name: Cow<'static, str>,
    pub(crate) location: &'static Location<'static>,
    pub(crate) daemon: bool,
}

impl<E> Core<E> {
    /// Opens a nursery below the node that is being polled.
    pub(crate) fn open(location: &'static Location<'static>) -> Self {
        let id = context::with(|run| {
            run.tree.borrow_mut().insert(run.current(), Kind::Nursery { ready: <_>::default(), destination: None, location })
        });
        Self {
            id,
            location,
            children: RefCell::default(),
            living: Cell::new(0),
            daemons: Cell::new(0),
            starting: Cell::new(0),
            errors: RefCell::default(),
            panics: RefCell::default(),
            interrupted: Cell::new(false),
            closed: Cell::new(false),
            handle: RefCell::default(),
        }
    }

    /// Adds a child, which will be polled for the first time in the nursery's next turn. If the nursery is
    /// being dropped, the child is dropped instead.
    pub(crate) fn add<'scope>(&self, birth: Birth<'scope, E>) -> Option<NodeId>
    where
        E: 'scope,
    {
        let Birth { child, name, location, daemon } = birth;
        // SAFETY: only the lifetime changes. The children of this core are dropped by `drop_everything` at the
        // latest, which the driver calls before `'scope` can end (see `Nursery`), and polled only by the
        // driver; if the driver is forgotten, they are never touched again.
        let child: AnyChild<E> = unsafe { std::mem::transmute::<Rc<dyn Child<E> + 'scope>, AnyChild<E>>(child) };
        let started = context::try_with(|run| {
            if self.closed.get() || !run.has(self.id) {
                return None;
            }
            self.count(daemon, 1);
            let slot = self.children.borrow_mut().insert(Rc::clone(&child)) as u32;
            Some(run.change(|tree, effects| {
                let id = tree.insert(self.id.index, Kind::Task { slot, daemon, name, location });
                tree.wake(tree.word(id), effects);
                id
            }))
        });
        started.flatten()
    }

    /// Takes over a child that `start` has moved under this nursery in the tree.
    pub(crate) fn adopt<'scope>(&self, run: &Run, id: NodeId, child: Rc<dyn Child<E> + 'scope>)
    where
        E: 'scope,
    {
        // SAFETY: as in `add`.
        let child: AnyChild<E> = unsafe { std::mem::transmute::<Rc<dyn Child<E> + 'scope>, AnyChild<E>>(child) };
        self.count(false, 1);
        let place = self.children.borrow_mut().insert(child) as u32;
        run.change(|tree, effects| {
            if let Some(Kind::Task { slot, .. }) = tree.get_mut(id).map(|node| &mut node.kind) {
                *slot = place;
            }
            // It may have been woken before it had a place here.
            tree.wake(tree.word(id), effects);
        });
    }

    fn count(&self, daemon: bool, change: isize) {
        let counter = if daemon { &self.daemons } else { &self.living };
        counter.set(counter.get().wrapping_add_signed(change));
    }

    pub(crate) fn child_count(&self) -> usize {
        self.living.get() + self.daemons.get()
    }

    /// The child with this place, to be polled.
    #[inline]
    pub(crate) fn child(&self, slot: u32) -> Option<AnyChild<E>> {
        self.children.borrow().get(slot as usize).cloned()
    }

    /// Takes a child that has ended, or is to be dropped, out of the store.
    fn take(&self, run: &Run, index: u32) -> Option<AnyChild<E>> {
        let (slot, daemon) = match run.tree.borrow().at(index).kind {
            Kind::Task { slot, daemon, .. } => (slot, daemon),
            _ => return None,
        };
        let child = self.children.borrow_mut().try_remove(slot as usize)?;
        self.count(daemon, -1);
        Some(child)
    }

    /// A child has ended by itself.
    pub(crate) fn child_ended(&self, run: &Run, index: u32, outcome: Result<(), E>) {
        let child = self.take(run, index);
        let id = run.tree.borrow().id(index);
        if let Err(error) = outcome {
            self.record(run, index, error);
        }
        run.remove(id);
        self.announce(run, child);
    }

    fn record(&self, run: &Run, index: u32, error: E) {
        let (name, location) = match &run.tree.borrow().at(index).kind {
            Kind::Task { name, location, .. } => (Some(name.clone()), *location),
            _ => (None, self.location),
        };
        let text = if name.is_some() { "a child task failed" } else { "the nursery's body failed" };
        self.errors.borrow_mut().push(TaskError::new(error, name, location));
        self.fail(run, text);
    }

    /// The body has ended with an error.
    pub(crate) fn body_failed(&self, run: &Run, error: E) {
        self.record(run, self.id.index, error);
    }

    /// Something panicked on behalf of this nursery.
    pub(crate) fn panicked(&self, run: &Run, panic: Panic) {
        self.panics.borrow_mut().push(panic);
        self.fail(run, "a task panicked");
    }

    /// Cancels everything in the nursery, because something in it failed.
    pub(crate) fn fail(&self, run: &Run, text: &'static str) {
        run.cancel(self.id, CancelReason::new(CancelSource::Nursery).with_text(text));
    }

    /// The body or a child is being dropped because of a cancellation. If that is not the task's own affair
    /// (its handle was cancelled), the whole nursery is cancelled from now on, as Trio's are when a task ends
    /// with `Cancelled`, even if the cancellation from above is taken back.
    pub(crate) fn interrupt(&self, run: &Run, index: u32) {
        run.change(|tree, effects| {
            let node = tree.at(index);
            if node.cancelled {
                return;
            }
            self.interrupted.set(true);
            let reason = tree.effective_reason(index);
            let reason = reason.map_or(CancelReason::new(CancelSource::Nursery), |reason| (*reason).clone());
            tree.cancel(self.id.index, || reason, effects);
        });
    }

    /// Drops a child that is parked and cancelled.
    pub(crate) fn drop_child(&self, run: &Run, index: u32) {
        self.interrupt(run, index);
        let Some(child) = self.take(run, index) else { return };
        let id = run.tree.borrow().id(index);
        let dropped = {
            let _within = run.within(index);
            catch_unwind(AssertUnwindSafe(|| child.drop_future()))
        };
        run.remove(id);
        if let Err(panic) = dropped {
            self.panicked(run, panic);
        }
        self.announce(run, Some(child));
    }

    /// Tells whoever joins a child that it has ended.
    fn announce(&self, run: &Run, child: Option<AnyChild<E>>) {
        let Some(child) = child else { return };
        let mut joiner = child.set_ended().borrow_mut();
        joiner.granted = joiner.node.is_some_and(|node| !run.tree.borrow().is_effective(node));
        let waker = std::mem::take(&mut joiner.waker);
        drop(joiner);
        waker.wake();
    }

    /// The children that may be dropped without another poll: parked and cancelled, and nothing holds them.
    pub(crate) fn droppable(&self, run: &Run) -> Vec<NodeId> {
        let tree = run.tree.borrow();
        let may_drop = |&index: &u32| {
            let node = tree.at(index);
            !node.queued && node.may_drop() && matches!(node.kind, Kind::Task { slot, .. } if slot != NONE)
        };
        tree.children(self.id.index).into_iter().filter(may_drop).map(|index| tree.id(index)).collect()
    }

    /// Cancels the daemons, since everything that kept the nursery open has ended.
    pub(crate) fn cancel_daemons(&self, run: &Run) {
        run.change(|tree, effects| {
            for index in tree.children(self.id.index) {
                if matches!(tree.at(index).kind, Kind::Task { daemon: true, .. }) {
                    let reason = CancelReason::new(CancelSource::Nursery);
                    tree.cancel(index, || reason.with_text("all other tasks of the nursery have ended"), effects);
                }
            }
        });
    }

    /// Drops every child, newest first, and leaves the tree. Panics of destructors are gathered in `panics`.
    pub(crate) fn drop_everything(&self) {
        self.closed.set(true);
        for (id, slot) in context::try_with(|run| self.newest_first(run)).unwrap_or_default() {
            let child = self.children.borrow_mut().try_remove(slot as usize);
            self.drop_last(child);
            context::try_with(|run| run.remove(id));
        }
        // Outside the run there is no tree to ask; nothing can have been added meanwhile.
        while let Some(slot) = self.last_slot() {
            let child = self.children.borrow_mut().try_remove(slot);
            self.drop_last(child);
        }
        self.living.set(0);
        self.daemons.set(0);
    }

    fn drop_last(&self, child: Option<AnyChild<E>>) {
        let Some(child) = child else { return };
        let dropped = catch_unwind(AssertUnwindSafe(|| child.drop_future()));
        self.panics.borrow_mut().extend(dropped.err());
        context::try_with(|run| self.announce(run, Some(child)));
    }

    fn last_slot(&self) -> Option<usize> {
        self.children.borrow().iter().next_back().map(|(slot, _)| slot)
    }

    fn newest_first(&self, run: &Run) -> Vec<(NodeId, u32)> {
        let tree = run.tree.borrow();
        if tree.get(self.id).is_none() {
            return Vec::new();
        }
        let children = tree.children(self.id.index).into_iter().rev();
        children
            .filter_map(|index| match tree.at(index).kind {
                Kind::Task { slot, .. } if slot != NONE => Some((tree.id(index), slot)),
                _ => None,
            })
            .collect()
    }
}

impl<E> Drop for Core<E> {
    fn drop(&mut self) {
        let handle = self.handle.borrow_mut().take();
        if let Some(handle) = handle {
            handle.end(self.interrupted.get());
        }
        context::try_with(|run| run.remove(self.id));
    }
}
