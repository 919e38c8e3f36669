//! The one tree of tasks, nursery bodies, cancel scopes and shields, with its cancel status and ready lists.
//!
//! Everything here is plain data and runs no foreign code: what has to be called as a consequence of a change
//! (foreign wakers, abort callbacks) is handed back as [`Effects`], to be run when the tree is not borrowed.
//!
//! Invariants, for every node:
//! * `effective` is `cancelled || (!shield && parent.effective)`;
//! * `holding` is true exactly if a cancelled scope above must not drop it yet, and the parent counts it then;
//! * a queued node is in its nursery's ready list, and a nursery with a non-empty list that is not being polled
//!   has woken its owner.

use std::borrow::Cow;
use std::panic::Location;
use std::rc::Rc;
use std::task::Waker;

use slab::Slab;

use super::reason::CancelReason;
use super::timers::{NEVER, NO_TIMER, Time, TimerKey};
use super::waker::StoredWaker;
use super::word::{MAX_NODES, Word};

/// "No node" where an index is expected.
pub(crate) const NONE: u32 = u32::MAX;

/// Names a node for good: another one in the same slot has another serial number, in whichever run.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct NodeId {
    pub(crate) index: u32,
    pub(crate) serial: u64,
}

/// What a node is, with what only that kind has.
pub(crate) enum Kind {
    /// The top of the tree.
    Root,
    /// A child task: its place in its nursery, its name and where it was spawned.
    Task { slot: u32, daemon: bool, name: Cow<'static, str>, location: &'static Location<'static> },
    /// The body of a nursery, which is woken and polled like a task but belongs to the task around it.
    Body,
    /// A nursery, which is a cancel scope with tasks. A `start` call is one too, and knows where its task is to go.
    Nursery { ready: Ready, destination: Option<NodeId>, location: &'static Location<'static> },
    /// A cancel scope or a shield.
    Scope,
    /// A `finally` whose body or clean-up is pending.
    Finally,
    /// An operation that decides itself what a cancellation does to it.
    Operation { abort: Option<Rc<dyn Fn()>> },
}

/// A nursery's queue of woken children, linked through the nodes.
#[derive(Default)]
pub(crate) struct Ready {
    head: Link,
    tail: Link,
    len: u32,
}

/// An index or nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Link(u32);

impl Default for Link {
    fn default() -> Self {
        Self(NONE)
    }
}

pub(crate) struct Node {
    pub(crate) serial: u64,
    pub(crate) kind: Kind,

    pub(crate) parent: u32,
    first_child: u32,
    next_sibling: u32,
    previous_sibling: u32,
    next_ready: u32,
    previous_ready: u32,

    /// Cancelled itself: by a call, its deadline, or a failure in it.
    pub(crate) cancelled: bool,
    pub(crate) shield: bool,
    pub(crate) effective: bool,
    /// In its nursery's ready list.
    pub(crate) queued: bool,
    /// Nursery: its owner has been woken since it was last polled.
    signalled: bool,
    /// Nursery: it became effectively cancelled, and has not looked through its children since.
    pub(crate) sweep: bool,
    /// What it ran was cancelled, and the code behind it may not run: whoever is above has to drop it.
    unwinding: bool,
    /// Holds cancellations off by itself, whatever is below it.
    guards: bool,
    /// Counted in the parent's `holding_children`.
    holding: bool,
    /// Counted in the parent's `unwinding_children`.
    holding_children: u32,
    unwinding_children: u32,
    /// Operations directly in this node that may not be dropped now.
    operation_holds: u32,
    /// Clones of this node's waker that foreign code keeps.
    foreign_clones: u32,

    /// Scopes and nurseries: when it cancels itself.
    pub(crate) deadline: Time,
    pub(crate) timer: TimerKey,
    /// The first cause, once `cancelled`.
    pub(crate) reason: Option<Rc<CancelReason>>,
    /// Whom to wake when its cancel status changes (or, of a nursery, when a child is ready).
    pub(crate) waker: StoredWaker,
    /// Foreign wakers of operations that parked here because of a cancellation; woken if it is taken back.
    parked: Vec<Rc<Waker>>,
}

impl Node {
    /// Whether something below must not be dropped now.
    pub(crate) fn is_held(&self) -> bool {
        self.operation_holds > 0 || self.holding_children > 0
    }

    fn must_hold(&self) -> bool {
        self.is_held() || (!self.unwinding && (self.shield || self.guards))
    }

    /// Whether what runs in this node is to be dropped once it is parked.
    pub(crate) fn is_ending(&self) -> bool {
        self.effective || self.unwinding_children > 0
    }

    /// Whether what runs in this node is to be dropped now that it is parked.
    pub(crate) fn may_drop(&self) -> bool {
        self.is_ending() && !self.is_held()
    }
}

/// Calls into foreign code that a change of the tree asks for.
#[derive(Default)]
#[must_use = "run these when the tree is no longer borrowed"]
pub(crate) struct Effects(Vec<Effect>);

enum Effect {
    Wake(Rc<Waker>),
    Abort(Rc<dyn Fn()>),
}

impl Effects {
    #[inline]
    pub(crate) fn run(self) {
        for effect in self.0 {
            match effect {
                Effect::Wake(waker) => waker.wake_by_ref(),
                Effect::Abort(abort) => abort(),
            }
        }
    }
}

pub(crate) struct Tree {
    nodes: Slab<Node>,
    next_serial: u64,
    /// The run's slot, for words.
    slot: u16,
    /// The root has to be polled.
    pub(crate) root_woken: bool,
    /// Sum of all nodes' `foreign_clones`.
    pub(crate) foreign_clones: usize,
    /// How many tasks are alive.
    pub(crate) tasks: usize,
}

impl Tree {
    /// `run` is the number of the run in the process, which makes serial numbers unique there.
    pub(crate) fn new(run: u64, slot: u16) -> Self {
        let mut tree = Self {
            nodes: Slab::new(),
            next_serial: run << 40,
            slot,
            root_woken: true,
            foreign_clones: 0,
            tasks: 0,
        };
        let _ = tree.insert(NONE, Kind::Root);
        tree
    }

    /// The index of the root, which is the first node and never removed.
    pub(crate) const ROOT: u32 = 0;

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    #[inline]
    pub(crate) fn at(&self, index: u32) -> &Node {
        &self.nodes[index as usize]
    }

    #[inline]
    pub(crate) fn at_mut(&mut self, index: u32) -> &mut Node {
        &mut self.nodes[index as usize]
    }

    #[inline]
    pub(crate) fn get(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id.index as usize).filter(|node| node.serial == id.serial)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: NodeId) -> Option<&mut Node> {
        self.nodes.get_mut(id.index as usize).filter(|node| node.serial == id.serial)
    }

    pub(crate) fn id(&self, index: u32) -> NodeId {
        NodeId { index, serial: self.at(index).serial }
    }

    #[inline]
    pub(crate) fn word(&self, id: NodeId) -> Word {
        Word::new(self.slot, id.serial, id.index)
    }

    pub(crate) fn is_effective(&self, id: NodeId) -> bool {
        self.get(id).is_some_and(|node| node.effective)
    }

    // ------------------------------------------------------------------ shape

    /// Adds a node below `parent`.
    pub(crate) fn insert(&mut self, parent: u32, kind: Kind) -> NodeId {
        let entry = self.nodes.vacant_entry();
        assert!(entry.key() < MAX_NODES, "too many tasks, nurseries and scopes in one trio run");
        let index = entry.key() as u32;
        let serial = self.next_serial;
        self.next_serial += 1;
        self.tasks += usize::from(matches!(kind, Kind::Task { .. }));
        entry.insert(Node {
            serial,
            kind,
            parent: NONE,
            first_child: NONE,
            next_sibling: NONE,
            previous_sibling: NONE,
            next_ready: NONE,
            previous_ready: NONE,
            cancelled: false,
            shield: false,
            effective: false,
            queued: false,
            signalled: false,
            sweep: false,
            unwinding: false,
            guards: false,
            holding: false,
            holding_children: 0,
            unwinding_children: 0,
            operation_holds: 0,
            foreign_clones: 0,
            deadline: NEVER,
            timer: NO_TIMER,
            reason: None,
            waker: StoredWaker::None,
            parked: Vec::new(),
        });
        if parent != NONE {
            self.link(index, parent);
            let effective = self.at(parent).effective;
            self.at_mut(index).effective = effective;
        }
        NodeId { index, serial }
    }

    fn link(&mut self, index: u32, parent: u32) {
        let first = std::mem::replace(&mut self.at_mut(parent).first_child, index);
        if first != NONE {
            self.at_mut(first).previous_sibling = index;
        }
        let node = self.at_mut(index);
        node.parent = parent;
        node.next_sibling = first;
        node.previous_sibling = NONE;
    }

    fn unlink(&mut self, index: u32) {
        let (parent, previous, next) = {
            let node = self.at(index);
            (node.parent, node.previous_sibling, node.next_sibling)
        };
        if previous != NONE {
            self.at_mut(previous).next_sibling = next;
        } else if parent != NONE {
            self.at_mut(parent).first_child = next;
        }
        if next != NONE {
            self.at_mut(next).previous_sibling = previous;
        }
        let node = self.at_mut(index);
        node.parent = NONE;
        node.next_sibling = NONE;
        node.previous_sibling = NONE;
    }

    /// Takes a node out. The caller drops it (it may hold foreign wakers) when the tree is not borrowed.
    ///
    /// Nodes that are still below it belong to futures that were forgotten; they become roots of their own.
    #[must_use = "dropping it may run foreign code: do that when the tree is not borrowed"]
    pub(crate) fn remove(&mut self, id: NodeId, effects: &mut Effects) -> Option<Node> {
        self.get(id)?;
        self.unqueue(id.index);
        self.detach(id.index, effects);
        let mut child = self.at(id.index).first_child;
        while child != NONE {
            let next = self.at(child).next_sibling;
            self.unlink(child);
            child = next;
        }
        let node = self.nodes.remove(id.index as usize);
        self.foreign_clones -= node.foreign_clones as usize;
        self.tasks -= usize::from(matches!(node.kind, Kind::Task { .. }));
        Some(node)
    }

    /// Takes a node, with all that is below it, from its parent.
    fn detach(&mut self, index: u32, effects: &mut Effects) {
        let (parent, holding, unwinding) = {
            let node = self.at_mut(index);
            (node.parent, std::mem::take(&mut node.holding), node.unwinding)
        };
        self.unlink(index);
        if parent == NONE {
            return;
        }
        if unwinding {
            self.at_mut(parent).unwinding_children -= 1;
        }
        if holding {
            self.at_mut(parent).holding_children -= 1;
            self.update_holding(parent, effects);
        }
    }

    /// Moves a node, with all that is below it, under another parent.
    pub(crate) fn move_under(&mut self, index: u32, parent: u32, effects: &mut Effects) {
        if self.at(index).parent == parent {
            return;
        }
        let queued = self.unqueue(index);
        self.detach(index, effects);
        self.link(index, parent);
        if self.at(index).unwinding {
            self.at_mut(parent).unwinding_children += 1;
        }
        self.update_holding(index, effects);
        if queued {
            self.wake_index(index, effects);
        }
        self.refresh(index, effects);
    }

    // ------------------------------------------------------------------ holds

    /// Counts an operation in this node that may not be dropped now, or counts it back.
    pub(crate) fn hold(&mut self, index: u32, hold: bool, effects: &mut Effects) {
        let node = self.at_mut(index);
        if hold {
            node.operation_holds += 1;
        } else {
            node.operation_holds -= 1;
        }
        self.update_holding(index, effects);
    }

    /// Makes a node hold cancellations off by itself, or not any more.
    pub(crate) fn set_guards(&mut self, index: u32, guards: bool, effects: &mut Effects) {
        self.at_mut(index).guards = guards;
        self.update_holding(index, effects);
    }

    /// Says that what ran in a node is gone, and that the code behind it may not run.
    pub(crate) fn set_unwinding(&mut self, index: u32, unwinding: bool, effects: &mut Effects) {
        let node = self.at_mut(index);
        if node.unwinding == unwinding {
            return;
        }
        node.unwinding = unwinding;
        let parent = node.parent;
        if parent != NONE {
            let count = &mut self.at_mut(parent).unwinding_children;
            *count = if unwinding { *count + 1 } else { *count - 1 };
        }
        self.update_holding(index, effects);
    }

    fn update_holding(&mut self, mut index: u32, effects: &mut Effects) {
        loop {
            let node = self.at_mut(index);
            let must = node.must_hold();
            let may_drop = node.may_drop();
            if may_drop {
                self.wake_node(index, effects);
            }
            let node = self.at_mut(index);
            if node.holding == must || node.parent == NONE {
                return;
            }
            node.holding = must;
            index = node.parent;
            let count = &mut self.at_mut(index).holding_children;
            *count = if must { *count + 1 } else { *count - 1 };
        }
    }

    // ------------------------------------------------------------------ cancellation

    /// Cancels a node; the first cause wins.
    pub(crate) fn cancel(&mut self, index: u32, reason: impl FnOnce() -> CancelReason, effects: &mut Effects) {
        let node = self.at_mut(index);
        if node.cancelled {
            return;
        }
        node.cancelled = true;
        node.reason = Some(Rc::new(reason()));
        self.refresh(index, effects);
    }

    pub(crate) fn set_shield(&mut self, index: u32, shield: bool, effects: &mut Effects) {
        let node = self.at_mut(index);
        if node.shield == shield {
            return;
        }
        node.shield = shield;
        self.update_holding(index, effects);
        self.refresh(index, effects);
    }

    /// Recomputes `effective` from here down, and wakes whom it concerns.
    fn refresh(&mut self, start: u32, effects: &mut Effects) {
        let mut at = start;
        loop {
            if self.refresh_one(at, effects) && self.at(at).first_child != NONE {
                at = self.at(at).first_child;
                continue;
            }
            while at != start && self.at(at).next_sibling == NONE {
                at = self.at(at).parent;
            }
            if at == start {
                return;
            }
            at = self.at(at).next_sibling;
        }
    }

    /// Recomputes one node's `effective`; whether it changed.
    fn refresh_one(&mut self, index: u32, effects: &mut Effects) -> bool {
        let parent = self.at(index).parent;
        let above = parent != NONE && self.at(parent).effective;
        let node = self.at_mut(index);
        let effective = node.cancelled || (!node.shield && above);
        if node.effective == effective {
            // Its parent changed, so who catches its cancellation may have changed.
            if node.cancelled {
                self.wake_node(index, effects);
            }
            return false;
        }
        node.effective = effective;
        let cancelled = node.cancelled;
        if effective {
            match &mut node.kind {
                Kind::Operation { abort } => {
                    let abort = abort.take();
                    effects.0.extend(abort.map(Effect::Abort));
                }
                Kind::Nursery { .. } => {
                    node.sweep = true;
                    self.signal(index, effects);
                }
                Kind::Finally => self.wake_node(index, effects),
                // A scope whose parent is cancelled too is dropped from above, as are tasks and bodies.
                Kind::Scope | Kind::Task { .. } | Kind::Body | Kind::Root if cancelled => {
                    self.wake_node(index, effects);
                }
                Kind::Scope | Kind::Task { .. } | Kind::Body | Kind::Root => {}
            }
        } else {
            let parked = std::mem::take(&mut node.parked);
            effects.0.extend(parked.into_iter().map(Effect::Wake));
            self.wake_node(index, effects);
        }
        true
    }

    /// The first cause of the cancellation that reaches a node.
    pub(crate) fn effective_reason(&self, mut index: u32) -> Option<Rc<CancelReason>> {
        loop {
            let node = self.at(index);
            if node.cancelled {
                return node.reason.clone();
            }
            if node.shield || node.parent == NONE {
                return None;
            }
            index = node.parent;
        }
    }

    /// The earliest deadline that reaches a node; `None` when it is cancelled already.
    pub(crate) fn effective_deadline(&self, mut index: u32) -> Option<Time> {
        let mut earliest = NEVER;
        if self.at(index).effective {
            return None;
        }
        loop {
            let node = self.at(index);
            earliest = earliest.min(node.deadline);
            if node.shield || node.parent == NONE {
                return Some(earliest);
            }
            index = node.parent;
        }
    }

    /// Remembers the foreign waker of an operation that parked because of a cancellation. Trio's own wakers
    /// need no remembering: their tasks are in the tree.
    pub(crate) fn remember_parked(&mut self, index: u32, waker: Rc<Waker>) {
        let parked = &mut self.at_mut(index).parked;
        if !parked.iter().any(|known| known.will_wake(&waker)) {
            parked.push(waker);
        }
    }

    // ------------------------------------------------------------------ waking

    /// Wakes the task or body that a word names, if it is still there.
    #[inline]
    pub(crate) fn wake(&mut self, word: Word, effects: &mut Effects) {
        let index = word.index();
        match self.nodes.get(index as usize) {
            Some(node) if word.matches(node.serial) => self.wake_index(index, effects),
            _ => {}
        }
    }

    /// Wakes whatever polls this node.
    fn wake_node(&mut self, index: u32, effects: &mut Effects) {
        match self.at(index).kind {
            Kind::Task { .. } | Kind::Body | Kind::Root => self.wake_index(index, effects),
            Kind::Nursery { .. } => self.signal(index, effects),
            Kind::Scope | Kind::Finally | Kind::Operation { .. } => match &self.at(index).waker {
                StoredWaker::None => {}
                StoredWaker::Ours(word) => {
                    let word = *word;
                    self.wake(word, effects);
                }
                StoredWaker::Foreign(waker) => effects.0.push(Effect::Wake(Rc::clone(waker))),
            },
        }
    }

    fn wake_index(&mut self, mut index: u32, effects: &mut Effects) {
        loop {
            let node = self.at_mut(index);
            match node.kind {
                Kind::Root => {
                    self.root_woken = true;
                    return;
                }
                Kind::Task { .. } | Kind::Body => {}
                // A stale word whose slot another kind of node has taken over.
                _ => return,
            }
            if node.queued {
                return;
            }
            let nursery = node.parent;
            if nursery == NONE {
                return;
            }
            node.queued = true;
            self.push_ready(nursery, index);
            match self.signal_step(nursery, effects) {
                Some(word) => match self.nodes.get(word.index() as usize) {
                    Some(owner) if word.matches(owner.serial) => index = word.index(),
                    _ => return,
                },
                None => return,
            }
        }
    }

    /// Wakes a nursery's owner.
    pub(crate) fn signal(&mut self, nursery: u32, effects: &mut Effects) {
        if let Some(word) = self.signal_step(nursery, effects) {
            self.wake(word, effects);
        }
    }

    fn signal_step(&mut self, nursery: u32, effects: &mut Effects) -> Option<Word> {
        let node = self.at_mut(nursery);
        if std::mem::replace(&mut node.signalled, true) {
            return None;
        }
        match &node.waker {
            StoredWaker::None => None,
            StoredWaker::Ours(word) => Some(*word),
            StoredWaker::Foreign(waker) => {
                effects.0.push(Effect::Wake(Rc::clone(waker)));
                None
            }
        }
    }

    /// Begins a poll of a nursery: from now on a wake of one of its children wakes its owner again.
    pub(crate) fn unsignal(&mut self, nursery: u32) {
        self.at_mut(nursery).signalled = false;
    }

    pub(crate) fn note_clone(&mut self, word: Word, change: i32) {
        let node = self.nodes.get_mut(word.index() as usize);
        if let Some(node) = node.filter(|node| word.matches(node.serial)) {
            let before = node.foreign_clones;
            node.foreign_clones = before.saturating_add_signed(change);
            self.foreign_clones = self.foreign_clones + node.foreign_clones as usize - before as usize;
        }
    }

    // ------------------------------------------------------------------ ready lists

    fn ready(&mut self, nursery: u32) -> &mut Ready {
        match &mut self.at_mut(nursery).kind {
            Kind::Nursery { ready, .. } => ready,
            _ => unreachable!("tasks and bodies are children of nurseries"),
        }
    }

    pub(crate) fn ready_len(&mut self, nursery: u32) -> u32 {
        self.ready(nursery).len
    }

    fn push_ready(&mut self, nursery: u32, index: u32) {
        let ready = self.ready(nursery);
        let tail = std::mem::replace(&mut ready.tail, Link(index)).0;
        ready.len += 1;
        if tail == NONE {
            ready.head = Link(index);
        } else {
            self.at_mut(tail).next_ready = index;
        }
        let node = self.at_mut(index);
        node.previous_ready = tail;
        node.next_ready = NONE;
    }

    /// Takes the child that has waited longest.
    pub(crate) fn pop_ready(&mut self, nursery: u32) -> Option<u32> {
        let index = self.ready(nursery).head.0;
        (index != NONE).then(|| {
            self.unqueue(index);
            index
        })
    }

    /// Takes a node out of its ready list; whether it was in it.
    fn unqueue(&mut self, index: u32) -> bool {
        let node = self.at_mut(index);
        if !std::mem::take(&mut node.queued) {
            return false;
        }
        let (nursery, previous, next) = (node.parent, node.previous_ready, node.next_ready);
        if previous != NONE {
            self.at_mut(previous).next_ready = next;
        }
        if next != NONE {
            self.at_mut(next).previous_ready = previous;
        }
        let ready = self.ready(nursery);
        ready.len -= 1;
        if previous == NONE {
            ready.head = Link(next);
        }
        if next == NONE {
            ready.tail = Link(previous);
        }
        true
    }

    /// Puts a nursery's ready children into the order that `pick` gives: it is asked for a number below its
    /// argument, as a shuffle does.
    pub(crate) fn shuffle_ready(&mut self, nursery: u32, mut pick: impl FnMut(usize) -> usize) {
        let mut order = Vec::with_capacity(self.ready_len(nursery) as usize);
        while let Some(index) = self.pop_ready(nursery) {
            order.push(index);
        }
        for last in (1..order.len()).rev() {
            order.swap(last, pick(last + 1));
        }
        for index in order {
            self.at_mut(index).queued = true;
            self.push_ready(nursery, index);
        }
    }

    // ------------------------------------------------------------------ looking around

    /// How many tasks and bodies are in ready lists.
    pub(crate) fn runnable(&self) -> usize {
        self.nodes.iter().filter(|(_, node)| node.queued).count()
    }

    /// The children of a node, oldest first.
    pub(crate) fn children(&self, index: u32) -> Vec<u32> {
        let mut children = Vec::new();
        let mut child = self.at(index).first_child;
        while child != NONE {
            children.push(child);
            child = self.at(child).next_sibling;
        }
        children.reverse();
        children
    }

    /// The task that a node belongs to: the nearest one above, or itself; the root counts as one.
    pub(crate) fn task_of(&self, mut index: u32) -> u32 {
        loop {
            let node = self.at(index);
            if matches!(node.kind, Kind::Task { .. } | Kind::Root) || node.parent == NONE {
                return index;
            }
            index = node.parent;
        }
    }

    /// The name of the task that a node belongs to.
    pub(crate) fn task_name(&self, index: u32) -> Option<Cow<'static, str>> {
        match &self.at(self.task_of(index)).kind {
            Kind::Task { name, .. } => Some(name.clone()),
            _ => None,
        }
    }
}
