//! What a nursery owns: its children, their errors, and its place in the tree.
//!
//! Invariant, on which the soundness of borrowing children rests: a child's future is polled only from its
//! nursery's own poll (or, before `started`, from the poll of the `start` call that owns it), and is dropped
//! at the latest with the nursery's driver. Nothing else in the run ever reaches a child's future.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::rc::Rc;

use std::task::{Context, Poll};

use super::child::Child;
use super::context;
use super::group::TaskError;
use super::handle::Handled;
use super::header::{Flag, Kind, NO_PLACE, Node, NodeId};
use super::reason::{CancelReason, CancelSource};
use super::run::{Panic, Run};
use super::tree::{Effects, Tree};

/// A child as its nursery keeps it, its lifetime erased.
type AnyChild<E> = Rc<dyn Child<E>>;

/// A nursery without the lifetimes that its users see.
pub(crate) struct Core<E> {
    pub(crate) id: NodeId,
    pub(crate) location: &'static Location<'static>,
    children: RefCell<Children<E>>,
    /// Children that keep the nursery open.
    pub(crate) living: Cell<usize>,
    /// Children that do not.
    pub(crate) daemons: Cell<usize>,
    /// `start` calls that have not returned.
    pub(crate) starting: Cell<usize>,
    /// Children whose turn comes at the end; they are among the daemons until then.
    deferred: Cell<usize>,
    pub(crate) errors: RefCell<Vec<TaskError<E>>>,
    pub(crate) panics: RefCell<Vec<Panic>>,
    /// The body or a child was dropped because of a cancellation of the whole nursery.
    pub(crate) interrupted: Cell<bool>,
    /// Nothing can be started any more: the nursery is being dropped.
    closed: Cell<bool>,
    /// The nursery as its handles know it, if it has any.
    pub(crate) handle: RefCell<Option<Rc<Handled>>>,
}

/// The children of one nursery, each at a place that it keeps. (A slab, but for the free places, which are on a list
/// beside it: so a child's two words go straight from registers to their place.)
struct Children<E> {
    places: Vec<Option<AnyChild<E>>>,
    free: Vec<u32>,
}

impl<E> Default for Children<E> {
    fn default() -> Self {
        Self { places: Vec::new(), free: Vec::new() }
    }
}

impl<E> Children<E> {
    #[inline]
    fn insert(&mut self, child: AnyChild<E>) -> u32 {
        if let Some(place) = self.free.pop() {
            self.places[place as usize] = Some(child);
            return place;
        }
        self.places.push(Some(child));
        self.places.len() as u32 - 1
    }

    #[inline]
    fn get(&self, place: u32) -> Option<&AnyChild<E>> {
        self.places.get(place as usize)?.as_ref()
    }

    #[inline]
    fn remove(&mut self, place: u32) -> Option<AnyChild<E>> {
        let child = self.places.get_mut(place as usize)?.take()?;
        self.free.push(place);
        Some(child)
    }

    fn into_rest(self) -> Vec<AnyChild<E>> {
        self.places.into_iter().flatten().collect()
    }
}

/// A new child: its cell, name and place of birth.
pub(crate) struct Birth<'scope, E> {
    pub(crate) child: Rc<dyn Child<E> + 'scope>,
    pub(crate) name: Cow<'static, str>,
    pub(crate) location: &'static Location<'static>,
    pub(crate) role: Role,
}

/// What a child is to its nursery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Keeps it open.
    Child,
    /// Is cancelled when only daemons are left.
    Daemon,
    /// As a daemon, but shielded from what cancels the nursery.
    Service,
    /// Has its turn when everything else has ended, and is a child from then on; shielded.
    Deferred,
}

impl<E> Core<E> {
    /// Opens a nursery below the node that is being polled.
    pub(crate) fn open(location: &'static Location<'static>) -> Self {
        let id = context::with(|run| {
            let nursery = run.tree.insert_nursery(run.current(), location, None);
            run.inherit_at_opening(nursery);
            run.tree.id(nursery)
        });
        Self {
            id,
            location,
            children: RefCell::default(),
            living: Cell::new(0),
            daemons: Cell::new(0),
            starting: Cell::new(0),
            deferred: Cell::new(0),
            errors: RefCell::default(),
            panics: RefCell::default(),
            interrupted: Cell::new(false),
            closed: Cell::new(false),
            handle: RefCell::default(),
        }
    }

    /// Adds a child, which will be polled for the first time in the nursery's next turn. If the nursery is
    /// being dropped, the child is dropped instead.
    #[inline(always)]
    pub(crate) fn add<'scope>(&self, birth: Birth<'scope, E>) -> Option<NodeId>
    where
        E: 'scope,
    {
        let Birth { child, name, location, role } = birth;
        let child = Self::erase(child);
        let open = context::try_with(|run| run.tree.get(self.id).is_some()) == Some(true) && !self.closed.get();
        if !open {
            // A handle shares the cell: it finds a task that has ended.
            child.drop_future();
            child.set_ended(None).wake();
            return None;
        }
        let place = self.children.borrow_mut().insert(child);
        match name {
            Cow::Borrowed(name) => self.admit(place, name, location, role),
            Cow::Owned(name) => {
                let task = self.admit(place, "", location, role)?;
                context::with(|run| run.tree.get(task).map(|task| task.rename(name)));
                Some(task)
            }
        }
    }

    /// Forgets how long a child's borrows last.
    #[inline(always)]
    fn erase<'scope>(child: Rc<dyn Child<E> + 'scope>) -> AnyChild<E>
    where
        E: 'scope,
    {
        // SAFETY: only the lifetime changes. The children of this core are polled only by the driver, and their futures are
        // dropped by `drop_everything` at the latest, which the driver's destructor calls; both happen before `'scope`
        // ends, since the driver borrows the nursery, which `'scope` is a borrow of. `drop_everything` leaves no child
        // behind even if destructors panic, and the driver exists before the body can start the first one. If the driver
        // is forgotten, the children are never touched again.
        unsafe { std::mem::transmute::<Rc<dyn Child<E> + 'scope>, AnyChild<E>>(child) }
    }

    /// Gives a child that has its place already a node, and makes it ready unless it is deferred.
    fn admit(
        &self,
        place: u32,
        name: &'static str,
        location: &'static Location<'static>,
        role: Role,
    ) -> Option<NodeId> {
        self.count(role != Role::Child, 1);
        context::with(|run| {
            let nursery = run.tree.get(self.id)?;
            run.change(|tree, effects| {
                let task = match role {
                    Role::Child | Role::Daemon => tree.insert_task(nursery, name, location, effects),
                    Role::Service | Role::Deferred => {
                        self.insert_shielded(tree, effects, nursery, name, location, role)
                    }
                };
                task.place.set(place);
                task.set(Flag::DAEMON, role != Role::Child);
                run.inherit_at_spawn(task);
                Some(tree.id(task))
            })
        })
    }

    #[cold]
    fn insert_shielded(
        &self,
        tree: &Tree,
        effects: &mut Effects,
        nursery: Node,
        name: &'static str,
        location: &'static Location<'static>,
        role: Role,
    ) -> Node {
        let task = tree.insert_shielded_task(nursery, name, location, effects);
        if role == Role::Deferred {
            self.deferred.set(self.deferred.get() + 1);
            task.set(Flag::DEFERRED, true);
        } else {
            tree.wake(tree.word(task), effects);
        }
        task
    }

    /// Takes over a child that `start` has moved under this nursery in the tree.
    pub(crate) fn adopt<'scope>(&self, run: &Run, id: NodeId, child: Rc<dyn Child<E> + 'scope>)
    where
        E: 'scope,
    {
        let child = Self::erase(child);
        self.count(false, 1);
        let place = self.children.borrow_mut().insert(child);
        run.change(|tree, effects| {
            let Some(task) = tree.get(id) else { return };
            task.place.set(place);
            // It may have been woken before it had a place here.
            tree.wake(tree.word(task), effects);
        });
    }

    fn count(&self, daemon: bool, change: isize) {
        let counter = if daemon { &self.daemons } else { &self.living };
        counter.set(counter.get().wrapping_add_signed(change));
    }

    pub(crate) fn child_count(&self) -> usize {
        self.living.get() + self.daemons.get() - self.deferred.get()
    }

    /// Polls a child. `None` if it has not been given to this nursery yet: then it is woken again when it is.
    #[inline]
    pub(crate) fn poll_child(&self, task: Node, context: &mut Context<'_>) -> Option<Poll<Result<(), E>>> {
        let child = Rc::as_ptr(self.children.borrow().get(task.place.get())?);
        // SAFETY: the child stays in the store, which keeps it alive, while it is polled: only the driver (which is busy
        // with this call) and a `start` call (for the task that it is polling itself) take a child out. The store may grow
        // meanwhile, but the child has its own allocation.
        let child = unsafe { &*child };
        Some(child.poll(context))
    }

    /// Takes a child that has ended, or is to be dropped, out of the store.
    fn take(&self, task: Node) -> Option<AnyChild<E>> {
        let child = self.children.borrow_mut().remove(task.place.get())?;
        self.count(task.is(Flag::DAEMON), -1);
        Some(child)
    }

    /// A child has ended by itself.
    pub(crate) fn child_ended(&self, run: &Run, task: Node, outcome: Result<(), E>) {
        let child = self.take(task);
        if let Err(error) = outcome {
            self.record(run, Some(task), error);
        }
        run.remove_node(task);
        self.announce(run, child);
    }

    /// Keeps an error of a task, or of the body, and cancels the rest.
    fn record(&self, run: &Run, task: Option<Node>, error: E) {
        let location = task.and_then(|task| task.location()).unwrap_or(self.location);
        let name = task.map(|task| task.name());
        let text = if name.is_some() { "a child task failed" } else { "the nursery's body failed" };
        self.errors.borrow_mut().push(TaskError::new(error, name, location));
        // The cause is the task that failed, not the one whose nursery this is.
        let _within = task.map(|task| run.within(task));
        run.cancel(self.id, failure(text).at(Some(location)));
    }

    /// The body has ended with an error.
    pub(crate) fn body_failed(&self, run: &Run, error: E) {
        self.record(run, None, error);
    }

    /// Something panicked on behalf of this nursery.
    pub(crate) fn panicked(&self, run: &Run, panic: Panic) {
        self.panics.borrow_mut().push(panic);
        let location = run.tree.task_of(run.current()).location();
        run.cancel(self.id, failure("a task panicked").at(location));
    }

    /// Cancels everything in the nursery, because its body failed.
    pub(crate) fn fail(&self, run: &Run, text: &'static str) {
        run.cancel(self.id, failure(text).at(Some(self.location)));
    }

    /// The body or a child is being dropped because of a cancellation. If that is not the task's own affair
    /// (its handle was cancelled), the whole nursery is cancelled from now on, as Trio's are when a task ends
    /// with `Cancelled`, even if the cancellation from above is taken back.
    pub(crate) fn interrupt(&self, run: &Run, node: Node) {
        run.change(|tree, effects| {
            if node.is(Flag::CANCELLED) {
                return;
            }
            self.interrupted.set(true);
            let reason = || {
                let reason = tree.effective_reason(node);
                reason.map_or(CancelReason::new(CancelSource::Nursery), |reason| (*reason).clone())
            };
            if let Some(nursery) = tree.get(self.id) {
                tree.cancel(nursery, reason, effects);
            }
        });
    }

    /// Drops a child that is parked and cancelled.
    pub(crate) fn drop_child(&self, run: &Run, task: Node) {
        self.interrupt(run, task);
        let Some(child) = self.take(task) else { return };
        let id = run.tree.id(task);
        let dropped = {
            let _within = run.within(task);
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
        let waker = child.set_ended(Some(run));
        // The waker may be foreign, and the output that nobody has a handle for goes now: their panics are the task's.
        let told = catch_unwind(AssertUnwindSafe(|| {
            waker.wake();
            drop(child);
        }));
        if let Err(panic) = told {
            self.panicked(run, panic);
        }
    }

    /// The children that may be dropped without another poll: parked and cancelled, and nothing holds them.
    pub(crate) fn droppable(&self, run: &Run) -> Vec<NodeId> {
        let may_drop = |node: &Node| !node.queued.get() && node.may_drop() && node.place.get() != NO_PLACE;
        self.nodes(run).into_iter().filter(may_drop).map(|node| run.tree.id(node)).collect()
    }

    /// Everything that kept the nursery open has ended: cancels the daemons, and when they have ended too, lets what was
    /// deferred last take its turn.
    pub(crate) fn wind_up(&self, run: &Run) {
        if self.daemons.get() == self.deferred.get() {
            return self.begin_deferred(run);
        }
        run.change(|tree, effects| {
            let daemons = |node: &Node| node.is(Flag::DAEMON) && !node.is(Flag::DEFERRED);
            for task in self.nodes(run).into_iter().filter(daemons) {
                let reason = CancelReason::new(CancelSource::Nursery);
                tree.cancel(task, || reason.with_text("all other tasks of the nursery have ended"), effects);
            }
        });
    }

    /// Makes the task that was deferred last a child as any other, and ready.
    fn begin_deferred(&self, run: &Run) {
        let Some(nursery) = run.tree.get(self.id) else { return };
        let Some(task) = run.tree.newest_child(nursery, |node| node.is(Flag::DEFERRED)) else { return };
        task.set(Flag::DEFERRED, false);
        task.set(Flag::DAEMON, false);
        self.deferred.set(self.deferred.get() - 1);
        self.count(true, -1);
        self.count(false, 1);
        run.change(|tree, effects| tree.wake(tree.word(task), effects));
    }

    /// Whether nothing can be started any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Drops every child, newest first, and takes it out of the tree. Panics are gathered in `panics`.
    ///
    /// No child is left afterwards, whatever destructors and foreign wakers do meanwhile: they may panic, and they may
    /// drop a `start` call whose task this nursery has to take over.
    pub(crate) fn drop_everything(&self) {
        self.closed.set(true);
        loop {
            let newest = context::try_with(|run| self.newest_first(run)).unwrap_or_default();
            if newest.is_empty() {
                break;
            }
            for (id, place) in newest {
                let child = self.children.borrow_mut().remove(place);
                self.drop_last(Some(id), child);
            }
        }
        // Outside the run there is no tree to ask for the order.
        loop {
            let rest = std::mem::take(&mut *self.children.borrow_mut()).into_rest();
            if rest.is_empty() {
                break;
            }
            for child in rest.into_iter().rev() {
                self.drop_last(None, Some(child));
            }
        }
        self.living.set(0);
        self.daemons.set(0);
        self.deferred.set(0);
    }

    fn drop_last(&self, id: Option<NodeId>, child: Option<AnyChild<E>>) {
        if let Some(child) = &child {
            self.gather(|| child.drop_future());
        }
        self.gather(|| {
            context::try_with(|run| {
                if let Some(id) = id {
                    run.remove(id);
                }
                self.announce(run, child);
            });
        });
    }

    /// Calls what may be foreign code, and keeps its panic.
    fn gather(&self, call: impl FnOnce()) {
        let called = catch_unwind(AssertUnwindSafe(call));
        self.panics.borrow_mut().extend(called.err());
    }

    fn newest_first(&self, run: &Run) -> Vec<(NodeId, u32)> {
        let tasks = self.nodes(run).into_iter().rev().filter(|node| node.place.get() != NO_PLACE);
        tasks.map(|task| (run.tree.id(task), task.place.get())).collect()
    }

    /// The nodes of the children, oldest first.
    fn nodes(&self, run: &Run) -> Vec<Node> {
        let children = run.tree.get(self.id).map(|nursery| run.tree.children(nursery));
        let mut children = children.unwrap_or_default();
        children.retain(|node| node.kind.get() == Kind::Task);
        children
    }
}

/// The cause of a cancellation that comes from inside the nursery.
fn failure(text: &'static str) -> CancelReason {
    CancelReason::new(CancelSource::Nursery).with_text(text)
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
