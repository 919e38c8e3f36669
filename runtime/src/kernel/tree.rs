//! The one tree of tasks, nursery bodies, cancel scopes and shields, with its cancel status and ready lists.
//!
//! Nothing here runs foreign code: what has to be called as a consequence of a change (foreign wakers, abort
//! callbacks) is handed back as [`Effects`], to be run when the change is complete.
//!
//! Invariants, for every node:
//! * `effective` is `cancelled || (!shield && parent.effective)`;
//! * `holding` is true exactly if a cancelled scope above must not drop it yet, and the parent counts it then;
//! * a queued node is in its nursery's ready list, and a nursery with a non-empty list that is not being polled
//!   has woken its owner.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::panic::Location;
use std::rc::Rc;
use std::task::Waker;

use super::header::{Arena, Details, Flag, Kind, Node, NodeId};
use super::reason::CancelReason;
use super::timers::{NO_TIMER, Time, TimerKey};
use super::waker::StoredWaker;
use super::word::Word;

/// Calls into foreign code that a change of the tree asks for.
#[derive(Default)]
#[must_use = "run these when the change is complete"]
pub(crate) struct Effects(Vec<Effect>);

enum Effect {
    Wake(Rc<Waker>),
    Abort(Rc<dyn Fn()>),
}

impl Effects {
    #[inline]
    pub(crate) fn run(&mut self) {
        if !self.0.is_empty() {
            Self::run_all(std::mem::take(&mut self.0));
        }
    }

    #[cold]
    fn wake(&mut self, waker: Rc<Waker>) {
        self.0.push(Effect::Wake(waker));
    }

    #[cold]
    fn run_all(effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Wake(waker) => waker.wake_by_ref(),
                Effect::Abort(abort) => abort(),
            }
        }
    }
}

/// What instruments are told of when a change of the tree is complete.
#[derive(Clone, Copy)]
pub(crate) enum Happening {
    Spawned(NodeId),
    Scheduled(NodeId),
}

/// What is left of a node that was removed.
pub(crate) struct Removed {
    pub(crate) timer: TimerKey,
    /// May hold foreign wakers: dropped when nothing is half done.
    pub(crate) details: Option<Box<Details>>,
}

pub(crate) struct Tree {
    arena: Arena,
    pub(crate) root: Node,
    /// The node that is being polled.
    pub(crate) current: Cell<Node>,
    next_serial: Cell<u64>,
    /// The run's slot, for words.
    slot: u16,
    /// The root has to be polled.
    pub(crate) root_woken: Cell<bool>,
    /// Sum of all nodes' `foreign_clones`.
    pub(crate) foreign_clones: Cell<usize>,
    /// How many tasks are alive.
    pub(crate) tasks: Cell<usize>,
    /// There are instruments to be told what happens.
    pub(crate) observed: Cell<bool>,
    pub(crate) happened: RefCell<VecDeque<Happening>>,
}

impl Tree {
    /// `run` is the number of the run, which no other run of the process has.
    pub(crate) fn new(run: u64, slot: u16) -> Self {
        let arena = Arena::new(run);
        // Each run begins its numbers elsewhere, so that a waker of an earlier run in the same slot, whose word has only
        // their last bits, hardly ever means a node of this one.
        let first = 1 + (run.wrapping_mul(0x9e37_79b9) & 0xffff);
        let root = arena.take(Kind::Root, first);
        Self {
            arena,
            root,
            current: Cell::new(root),
            next_serial: Cell::new(first + 1),
            slot,
            root_woken: Cell::new(true),
            foreign_clones: Cell::new(0),
            tasks: Cell::new(0),
            observed: Cell::new(false),
            happened: RefCell::default(),
        }
    }

    /// How many nodes there are.
    pub(crate) fn len(&self) -> usize {
        self.arena.len()
    }

    /// The node with this name, if it is still there.
    #[inline]
    pub(crate) fn get(&self, id: NodeId) -> Option<Node> {
        self.arena.get(id)
    }

    /// The task or body that a word may mean.
    #[inline]
    pub(crate) fn woken_by(&self, word: Word) -> Option<Node> {
        self.arena.at(word.index()).filter(|node| word.matches(node.serial.get()))
    }

    #[inline]
    pub(crate) fn word(&self, node: Node) -> Word {
        Word::new(self.slot, node.serial.get(), node.index)
    }

    /// The node's name for those who may outlive the run.
    #[inline]
    pub(crate) fn id(&self, node: Node) -> NodeId {
        self.arena.id(node)
    }

    pub(crate) fn is_effective(&self, id: NodeId) -> bool {
        self.get(id).is_some_and(|node| node.is_cancelled())
    }

    // ------------------------------------------------------------------ shape

    /// Adds a node below `parent`.
    #[inline]
    pub(crate) fn insert(&self, parent: Node, kind: Kind) -> Node {
        let serial = self.next_serial.get();
        self.next_serial.set(serial + 1);
        let node = self.arena.take(kind, serial);
        self.link(node, parent);
        node.set(Flag::EFFECTIVE, parent.is(Flag::EFFECTIVE));
        node
    }

    /// Adds a task below a nursery, and makes it ready.
    #[inline]
    pub(crate) fn insert_task(
        &self,
        nursery: Node,
        name: &'static str,
        location: &'static Location<'static>,
        effects: &mut Effects,
    ) -> Node {
        let node = self.insert_parked_task(nursery, name, location);
        self.wake_node(node, effects);
        node
    }

    #[inline(always)]
    fn insert_parked_task(&self, nursery: Node, name: &'static str, location: &'static Location<'static>) -> Node {
        let node = self.insert(nursery, Kind::Task);
        self.tasks.set(self.tasks.get() + 1);
        node.name.set(name);
        node.location.set(Some(location));
        if self.observed.get() {
            self.happened.borrow_mut().push_back(Happening::Spawned(self.id(node)));
        }
        node
    }

    /// Adds a shielded task below a nursery, which is not ready yet.
    pub(crate) fn insert_shielded_task(
        &self,
        nursery: Node,
        name: &'static str,
        location: &'static Location<'static>,
        effects: &mut Effects,
    ) -> Node {
        let node = self.insert_parked_task(nursery, name, location);
        node.set(Flag::SHIELD, true);
        node.set(Flag::EFFECTIVE, false);
        self.update_holding(node, effects);
        node
    }

    /// Adds a nursery, or a `start` call whose task is to go to `destination`.
    pub(crate) fn insert_nursery(
        &self,
        parent: Node,
        location: &'static Location<'static>,
        destination: Option<NodeId>,
    ) -> Node {
        let node = self.insert(parent, Kind::Nursery);
        node.location.set(Some(location));
        if destination.is_some() {
            node.with_details(|details| details.destination = destination);
        }
        node
    }

    /// Adds an operation that calls `abort` when it is cancelled.
    pub(crate) fn insert_operation(&self, parent: Node, abort: Option<Rc<dyn Fn()>>) -> Node {
        let node = self.insert(parent, Kind::Operation);
        node.with_details(|details| details.abort = abort);
        node
    }

    #[inline]
    fn link(&self, node: Node, parent: Node) {
        let first = parent.first_child.replace(Some(node));
        match first {
            Some(first) => first.previous_sibling.set(Some(node)),
            None => parent.set(Flag::PARENT, true),
        }
        node.parent.set(Some(parent));
        node.next_sibling.set(first);
        node.previous_sibling.set(None);
    }

    #[inline]
    fn unlink(&self, node: Node) {
        let parent = node.parent.take();
        let (previous, next) = (node.previous_sibling.take(), node.next_sibling.take());
        match (previous, parent) {
            (Some(previous), _) => previous.next_sibling.set(next),
            (None, Some(parent)) => {
                parent.first_child.set(next);
                parent.set(Flag::PARENT, next.is_some());
            }
            (None, None) => {}
        }
        if let Some(next) = next {
            next.previous_sibling.set(previous);
        }
    }

    /// Takes a node out that is plain, as almost all are; false if this one is not, and has to be
    /// [`remove`](Self::remove)d.
    #[inline]
    pub(crate) fn remove_plain(&self, node: Node) -> bool {
        if !node.is_plain() {
            return false;
        }
        self.unlink(node);
        self.tasks.set(self.tasks.get() - usize::from(node.kind.get() == Kind::Task));
        self.arena.give_back_plain(node);
        true
    }

    /// Takes a node out.
    ///
    /// Nodes that are still below it belong to futures that were forgotten; they become roots of their own.
    pub(crate) fn remove(&self, node: Node, effects: &mut Effects) -> Removed {
        if node.queued.get() {
            self.unqueue(node);
        }
        self.detach(node, effects);
        while let Some(child) = node.first_child.get() {
            if child.queued.get() {
                self.unqueue(child);
            }
            self.unlink(child);
        }
        self.foreign_clones.set(self.foreign_clones.get() - node.foreign_clones.get() as usize);
        self.tasks.set(self.tasks.get() - usize::from(node.kind.get() == Kind::Task));
        let timer = node.timer.replace(NO_TIMER);
        Removed { timer, details: self.arena.give_back(node) }
    }

    /// Takes a node, with all that is below it, from its parent.
    #[inline]
    fn detach(&self, node: Node, effects: &mut Effects) {
        let parent = node.parent.get();
        self.unlink(node);
        let Some(parent) = parent else { return };
        if node.is(Flag::UNWINDING) {
            parent.count_unwinding_child(false);
        }
        if node.replace(Flag::HOLDING, false) {
            parent.holding_children.set(parent.holding_children.get() - 1);
            self.update_holding(parent, effects);
        }
    }

    /// Moves a node, with all that is below it, under another parent.
    pub(crate) fn move_under(&self, node: Node, parent: Node, effects: &mut Effects) {
        if node.parent.get() == Some(parent) {
            return;
        }
        let queued = node.queued.get();
        if queued {
            self.unqueue(node);
        }
        self.detach(node, effects);
        self.link(node, parent);
        if node.is(Flag::UNWINDING) {
            parent.count_unwinding_child(true);
        }
        self.update_holding(node, effects);
        if queued {
            self.wake_node(node, effects);
        }
        self.refresh(node, effects);
        self.reprieve(node, effects);
    }

    /// What a cancellation of the old parent had doomed in a node that has moved is as its new place has it.
    fn reprieve(&self, start: Node, effects: &mut Effects) {
        let mut stack = vec![start];
        while let Some(node) = stack.pop() {
            if node.is(Flag::DOOMED) && !node.is(Flag::EFFECTIVE) {
                node.set(Flag::DOOMED, false);
                self.announce_change(node, effects);
            }
            stack.extend(std::iter::successors(node.first_child.get(), |child| child.next_sibling.get()));
        }
    }

    /// Whom to wake when the node's cancel status changes, or (of a nursery) when a child is ready. Gives the foreign
    /// waker that was there before, to be dropped when nothing is half done.
    #[must_use]
    pub(crate) fn set_owner(&self, node: Node, waker: StoredWaker) -> Option<Rc<Waker>> {
        let (owner, foreign) = match waker {
            StoredWaker::None => (None, None),
            StoredWaker::Ours(word) => (self.woken_by(word), None),
            StoredWaker::Foreign(waker) => (None, Some(waker)),
        };
        node.owner.set(owner);
        if foreign.is_none() && node.details.borrow().is_none() {
            return None;
        }
        node.with_details(|details| std::mem::replace(&mut details.waker, foreign))
    }

    /// Whether the node's owner is the one that `waker` wakes; `word` is its word if it is one of ours.
    #[inline]
    pub(crate) fn is_owner(&self, node: Node, waker: &Waker, word: Option<Word>) -> bool {
        match word {
            Some(word) => node.owner.get().is_some_and(|owner| self.word(owner) == word),
            None => node.foreign_owner().is_some_and(|known| known.will_wake(waker)),
        }
    }

    // ------------------------------------------------------------------ holds

    /// Counts an operation in this node that may not be dropped now, or counts it back.
    pub(crate) fn hold(&self, node: Node, hold: bool, effects: &mut Effects) {
        let count = node.operation_holds.get();
        node.operation_holds.set(if hold { count + 1 } else { count - 1 });
        self.update_holding(node, effects);
    }

    /// Makes a node hold cancellations off by itself, or not any more.
    pub(crate) fn set_guards(&self, node: Node, guards: bool, effects: &mut Effects) {
        node.set(Flag::GUARDS, guards);
        self.update_holding(node, effects);
    }

    /// Says that what ran in a node is gone, and that the code behind it may not run.
    pub(crate) fn set_unwinding(&self, node: Node, unwinding: bool, effects: &mut Effects) {
        if node.replace(Flag::UNWINDING, unwinding) == unwinding {
            return;
        }
        if let Some(parent) = node.parent.get() {
            parent.count_unwinding_child(unwinding);
        }
        self.update_holding(node, effects);
    }

    fn update_holding(&self, mut node: Node, effects: &mut Effects) {
        loop {
            if node.may_drop() {
                self.notify(node, effects);
            }
            let must = node.must_hold();
            let Some(parent) = node.parent.get() else { return };
            if node.replace(Flag::HOLDING, must) == must {
                return;
            }
            let count = parent.holding_children.get();
            parent.holding_children.set(if must { count + 1 } else { count - 1 });
            node = parent;
        }
    }

    // ------------------------------------------------------------------ cancellation

    /// Cancels a node; the first cause wins.
    pub(crate) fn cancel(&self, node: Node, reason: impl FnOnce() -> CancelReason, effects: &mut Effects) {
        if node.replace(Flag::CANCELLED, true) {
            return;
        }
        let reason = Some(Rc::new(reason()));
        node.with_details(|details| details.reason = reason);
        self.refresh(node, effects);
    }

    pub(crate) fn set_shield(&self, node: Node, shield: bool, effects: &mut Effects) {
        if node.replace(Flag::SHIELD, shield) == shield {
            return;
        }
        self.refresh(node, effects);
        self.update_holding(node, effects);
    }

    /// Recomputes `effective` from here down, then wakes whom it concerns: in this order, since whether a task is parked
    /// counts as it was before.
    fn refresh(&self, start: Node, effects: &mut Effects) {
        let mut concerned = Vec::new();
        self.recompute(start, &mut concerned);
        for (node, changed) in concerned {
            if changed {
                self.announce_change(node, effects);
            } else {
                self.notify(node, effects);
            }
        }
    }

    /// A walk with links instead of recursion, since scopes may be nested deeper than the thread's stack is. Gathers the
    /// nodes that are concerned, and whether their own `effective` changed.
    fn recompute(&self, start: Node, concerned: &mut Vec<(Node, bool)>) {
        let mut at = start;
        loop {
            let changed = self.recompute_one(at, concerned);
            if let Some(child) = at.first_child.get().filter(|_| changed) {
                at = child;
                continue;
            }
            loop {
                if at == start {
                    return;
                }
                if let Some(next) = at.next_sibling.get() {
                    at = next;
                    break;
                }
                let Some(parent) = at.parent.get() else { return };
                at = parent;
            }
        }
    }

    /// Recomputes one node's `effective`; whether it changed.
    fn recompute_one(&self, node: Node, concerned: &mut Vec<(Node, bool)>) -> bool {
        let effective = node.is(Flag::CANCELLED) || node.is_cancelled_above();
        if node.replace(Flag::EFFECTIVE, effective) != effective {
            node.set(Flag::DOOMED, node.is(Flag::DOOMED) || (effective && self.is_parked(node)));
            concerned.push((node, true));
            return true;
        }
        // Its parent changed, so who catches its cancellation may have changed.
        if node.is(Flag::CANCELLED) {
            concerned.push((node, false));
        }
        false
    }

    /// Whether an operation directly in this node is parked, so that a cancellation which comes now has it: as in Trio,
    /// where it is delivered to a blocked task at once.
    fn is_parked(&self, node: Node) -> bool {
        let innermost = || {
            let mut children = std::iter::successors(node.first_child.get(), |child| child.next_sibling.get());
            children.all(|child| matches!(child.kind.get(), Kind::Task | Kind::Body))
        };
        matches!(node.kind.get(), Kind::Scope | Kind::Task | Kind::Body | Kind::Finally)
            && node.operation_holds.get() == 0
            && !self.poller(node).queued.get()
            && self.poller(node) != self.poller(self.current.get())
            && innermost()
    }

    /// The task or body (or root) that is polled when code in this node is.
    pub(crate) fn poller(&self, mut node: Node) -> Node {
        loop {
            match (node.kind.get(), node.parent.get()) {
                (Kind::Task | Kind::Body | Kind::Root, _) | (_, None) => return node,
                (_, Some(parent)) => node = parent,
            }
        }
    }

    /// Tells whom it concerns that a node's `effective` has changed.
    fn announce_change(&self, node: Node, effects: &mut Effects) {
        if !node.is(Flag::EFFECTIVE) {
            let parked = node.details.borrow_mut().as_mut().map(|details| std::mem::take(&mut details.parked));
            effects.0.extend(parked.into_iter().flatten().map(Effect::Wake));
            return self.notify(node, effects);
        }
        match node.kind.get() {
            Kind::Operation => {
                let abort = node.details.borrow_mut().as_mut().and_then(|details| details.abort.take());
                effects.0.extend(abort.map(Effect::Abort));
            }
            Kind::Nursery => {
                node.set(Flag::SWEEP, true);
                self.signal(node, effects);
            }
            Kind::Finally => self.notify(node, effects),
            // What is cancelled from above is dropped from above.
            Kind::Scope | Kind::Task | Kind::Body | Kind::Root => {
                if node.is(Flag::CANCELLED) {
                    self.notify(node, effects);
                }
            }
        }
    }

    /// The first cause of the cancellation that reaches a node.
    pub(crate) fn effective_reason(&self, mut node: Node) -> Option<Rc<CancelReason>> {
        loop {
            if node.is(Flag::CANCELLED) {
                return node.reason();
            }
            node = node.parent.get().filter(|_| !node.is(Flag::SHIELD))?;
        }
    }

    /// The earliest deadline that reaches a node; `None` when it is cancelled already.
    pub(crate) fn effective_deadline(&self, mut node: Node) -> Option<Time> {
        if node.is(Flag::EFFECTIVE) {
            return None;
        }
        let mut earliest = node.deadline.get();
        while let Some(parent) = node.parent.get().filter(|_| !node.is(Flag::SHIELD)) {
            node = parent;
            earliest = earliest.min(node.deadline.get());
        }
        Some(earliest)
    }

    /// Remembers the foreign waker of an operation that parked because of a cancellation. Trio's own wakers
    /// need no remembering: their tasks are in the tree.
    pub(crate) fn remember_parked(&self, node: Node, waker: Rc<Waker>) {
        let known = node.details.borrow().as_ref().map(|details| details.parked.clone()).unwrap_or_default();
        if !known.iter().any(|known| known.will_wake(&waker)) {
            node.with_details(|details| details.parked.push(waker));
        }
    }

    // ------------------------------------------------------------------ waking

    /// Wakes the task or body that a word names, if it is still there.
    #[inline]
    pub(crate) fn wake(&self, word: Word, effects: &mut Effects) {
        if let Some(waker) = self.wake_word(word) {
            effects.wake(waker);
        }
    }

    /// Wakes the task or body that a word names, if it is still there. Gives the foreign waker that is to be woken then.
    #[inline]
    #[must_use]
    pub(crate) fn wake_word(&self, word: Word) -> Option<Rc<Waker>> {
        self.wake_up(self.woken_by(word)?)
    }

    fn wake_node(&self, node: Node, effects: &mut Effects) {
        if let Some(waker) = self.wake_up(node) {
            effects.wake(waker);
        }
    }

    /// Wakes a task or body, not for its own sake: what it does when it is polled is no step of its task.
    pub(crate) fn wake_on_behalf(&self, node: Node, effects: &mut Effects) {
        let woken = node.woken.replace(true);
        self.wake_node(node, effects);
        node.woken.set(woken);
    }

    /// Wakes whatever polls this node.
    fn notify(&self, node: Node, effects: &mut Effects) {
        match node.kind.get() {
            Kind::Task | Kind::Body | Kind::Root => self.wake_node(node, effects),
            Kind::Nursery => self.signal(node, effects),
            Kind::Scope | Kind::Finally | Kind::Operation => match node.owner.get() {
                Some(owner) => self.wake_node(owner, effects),
                None => effects.0.extend(node.foreign_owner().map(Effect::Wake)),
            },
        }
    }

    /// Puts a task or body into its nursery's ready list, and the nursery's task into that of its own, up to the root or to
    /// a foreign waker, which is the caller's to wake.
    #[inline]
    #[must_use]
    fn wake_up(&self, mut node: Node) -> Option<Rc<Waker>> {
        if !node.woken.replace(true) && self.observed.get() {
            self.note_woken(node);
        }
        loop {
            match node.kind.get() {
                Kind::Task | Kind::Body if !node.queued.get() => {}
                Kind::Root => {
                    self.root_woken.set(true);
                    return None;
                }
                // Woken already, or a stale word whose header another kind of node has now.
                _ => return None,
            }
            // A node without a nursery belongs to a future that was forgotten.
            let nursery = node.parent.get()?;
            self.push_ready(nursery, node);
            if nursery.signalled.replace(true) {
                return None;
            }
            match nursery.owner.get() {
                // A link to a header that another node has by now gives that one a poll without need.
                Some(owner) => node = owner,
                None => return nursery.foreign_owner(),
            }
        }
    }

    /// Notes that a task or body was woken for its own sake.
    #[cold]
    fn note_woken(&self, node: Node) {
        if matches!(node.kind.get(), Kind::Task | Kind::Body) {
            self.happened.borrow_mut().push_back(Happening::Scheduled(self.id(node)));
        }
    }

    /// Wakes a nursery's owner, because its code behind the nursery is to go on.
    pub(crate) fn resume_owner(&self, nursery: Node, effects: &mut Effects) {
        nursery.signalled.set(true);
        match nursery.owner.get() {
            Some(owner) => self.wake_node(owner, effects),
            None => effects.0.extend(nursery.foreign_owner().map(Effect::Wake)),
        }
    }

    /// Wakes a nursery's owner on behalf of what is in the nursery.
    pub(crate) fn signal(&self, nursery: Node, effects: &mut Effects) {
        if nursery.signalled.replace(true) {
            return;
        }
        match nursery.owner.get() {
            Some(owner) => self.wake_on_behalf(owner, effects),
            None => effects.0.extend(nursery.foreign_owner().map(Effect::Wake)),
        }
    }

    /// Begins a poll of a nursery: from now on a wake of one of its children wakes its owner again.
    #[inline]
    pub(crate) fn unsignal(&self, nursery: Node) {
        nursery.signalled.set(false);
    }

    pub(crate) fn note_clone(&self, word: Word, change: i32) {
        if let Some(node) = self.woken_by(word) {
            let before = node.foreign_clones.get();
            let after = before.saturating_add_signed(change);
            node.set_foreign_clones(after);
            self.foreign_clones.set(self.foreign_clones.get() + after as usize - before as usize);
        }
    }

    // ------------------------------------------------------------------ ready lists

    #[inline]
    pub(crate) fn ready_len(&self, nursery: Node) -> u32 {
        nursery.ready_len.get()
    }

    #[inline]
    fn push_ready(&self, nursery: Node, node: Node) {
        node.queued.set(true);
        node.next_ready.set(None);
        let last = nursery.last_ready.replace(Some(node));
        node.previous_ready.set(last);
        match last {
            Some(last) => last.next_ready.set(Some(node)),
            None => nursery.first_ready.set(Some(node)),
        }
        nursery.ready_len.set(nursery.ready_len.get() + 1);
    }

    /// Takes the child that has waited longest.
    #[inline]
    pub(crate) fn pop_ready(&self, nursery: Node) -> Option<Node> {
        let node = nursery.first_ready.get()?;
        let next = node.next_ready.get();
        nursery.first_ready.set(next);
        match next {
            Some(next) => next.previous_ready.set(None),
            None => nursery.last_ready.set(None),
        }
        nursery.ready_len.set(nursery.ready_len.get() - 1);
        node.queued.set(false);
        Some(node)
    }

    /// Takes a queued node out of its nursery's ready list.
    fn unqueue(&self, node: Node) {
        node.queued.set(false);
        let (previous, next) = (node.previous_ready.take(), node.next_ready.take());
        let Some(nursery) = node.parent.get() else { return };
        match previous {
            Some(previous) => previous.next_ready.set(next),
            None => nursery.first_ready.set(next),
        }
        match next {
            Some(next) => next.previous_ready.set(previous),
            None => nursery.last_ready.set(previous),
        }
        nursery.ready_len.set(nursery.ready_len.get() - 1);
    }

    /// Puts a nursery's ready children into the order that `reorder` gives them.
    pub(crate) fn reorder_ready(&self, nursery: Node, reorder: impl FnOnce(&mut [Node])) {
        let mut ready: Vec<Node> = std::iter::from_fn(|| self.pop_ready(nursery)).collect();
        reorder(&mut ready);
        for node in ready {
            self.push_ready(nursery, node);
        }
    }

    // ------------------------------------------------------------------ looking around

    /// How many tasks and bodies are in ready lists.
    pub(crate) fn runnable(&self) -> usize {
        self.arena.iter().filter(|node| node.queued.get()).count()
    }

    /// The children of a node, oldest first.
    pub(crate) fn children(&self, node: Node) -> Vec<Node> {
        let mut children: Vec<Node> =
            std::iter::successors(node.first_child.get(), |child| child.next_sibling.get()).collect();
        children.reverse();
        children
    }

    /// The child that came last of those which are as `wanted`.
    pub(crate) fn newest_child(&self, node: Node, wanted: impl Fn(&Node) -> bool) -> Option<Node> {
        std::iter::successors(node.first_child.get(), |child| child.next_sibling.get()).find(wanted)
    }

    /// The task that a node belongs to: the nearest one above, or itself; the root counts as one.
    pub(crate) fn task_of(&self, mut node: Node) -> Node {
        while !matches!(node.kind.get(), Kind::Task | Kind::Root) {
            match node.parent.get() {
                Some(parent) => node = parent,
                None => break,
            }
        }
        node
    }

    /// The name of the task that a node belongs to.
    pub(crate) fn task_name(&self, node: Node) -> Option<Cow<'static, str>> {
        let task = self.task_of(node);
        (task.kind.get() == Kind::Task).then(|| task.name())
    }

    /// The nursery that a `start` call's task is to go to.
    pub(crate) fn destination(&self, call: Node) -> Option<Node> {
        let destination = call.details.borrow().as_ref().and_then(|details| details.destination);
        destination.and_then(|id| self.get(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waker_of_an_earlier_run_in_the_slot_means_none_of_the_first_nodes() {
        let words = |run| {
            let tree = Tree::new(run, 0);
            let node = tree.insert(tree.root, Kind::Body);
            (tree.word(node), tree)
        };
        for run in 1..100 {
            let (stale, _) = words(run);
            let (fresh, tree) = words(run + 1);
            assert!(tree.woken_by(stale).is_none());
            assert!(tree.woken_by(fresh).is_some());
        }
    }
}
