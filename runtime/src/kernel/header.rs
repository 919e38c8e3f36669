//! The header of a node of the tree, and the arena that headers live in.
//!
//! Headers are linked to each other by address, and waking a task or looking whether it is cancelled follows such
//! links many million times a second. Two facts make that sound, whatever the links say: the arena only grows while
//! its run exists, so a [`Node`] always points to a header; and a header consists of cells, so following a link gives
//! shared access only. A link to a header that has been given to another node would be a mistake of [`tree`], not
//! undefined behaviour.
//!
//! Nodes stay inside the run: what may outlive it (futures, handles) keeps a [`NodeId`], which the arena turns into a
//! node again after comparing the numbers of run and node, and a waker keeps a word, which it looks up.
//!
//! [`tree`]: super::tree

use std::borrow::Cow;
use std::cell::{Cell, RefCell, UnsafeCell};
use std::fmt;
use std::ops::Deref;
use std::panic::Location;
use std::ptr::NonNull;
use std::rc::Rc;
use std::task::Waker;

use super::reason::{CancelReason, CancelSource};
use super::timers::{NEVER, NO_TIMER, Time, TimerKey};
use super::variables::Values;
use super::word::MAX_NODES;

/// Names a node for good. It gives the node only in the run that the node belongs to, and only while it exists: another
/// node with the same header has another serial number.
#[derive(Clone, Copy)]
pub(crate) struct NodeId {
    header: Node,
    serial: u64,
    run: u64,
}

impl NodeId {
    /// A number that no other node of the run has.
    pub(crate) fn serial(self) -> u64 {
        self.serial
    }
}

impl PartialEq for NodeId {
    fn eq(&self, other: &Self) -> bool {
        (self.run, self.serial) == (other.run, other.serial)
    }
}

impl Eq for NodeId {}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.run, self.serial)
    }
}

/// What a node is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// The top of the tree.
    Root,
    /// A child task of a nursery.
    Task,
    /// The body of a nursery, which is woken and polled like a task but belongs to the task around it.
    Body,
    /// A nursery, which is a cancel scope with tasks. A `start` call is one too.
    Nursery,
    /// A cancel scope or a shield.
    Scope,
    /// A `finally` whose body or clean-up is pending.
    Finally,
    /// An operation that decides itself what a cancellation does to it.
    Operation,
}

/// The place of a child that its nursery does not have yet.
pub(crate) const NO_PLACE: u32 = u32::MAX;

/// The yes-or-no properties of a node, as sets of bits.
#[derive(Clone, Copy)]
pub(crate) struct Flag(u32);

impl Flag {
    /// Cancelled itself: by a call, its deadline, or a failure in it.
    pub(crate) const CANCELLED: Self = Self(1);
    pub(crate) const SHIELD: Self = Self(1 << 1);
    pub(crate) const EFFECTIVE: Self = Self(1 << 2);
    /// What was parked in it when a cancellation came is to be dropped, even if the cancellation is taken back.
    pub(crate) const DOOMED: Self = Self(1 << 3);
    /// Nursery: it became effectively cancelled, and has not looked through its children since.
    pub(crate) const SWEEP: Self = Self(1 << 4);
    /// What it ran was cancelled, and the code behind it may not run: whoever is above has to drop it.
    pub(super) const UNWINDING: Self = Self(1 << 5);
    /// Some node directly below is unwinding.
    pub(super) const UNWINDING_BELOW: Self = Self(1 << 6);
    /// Holds cancellations off by itself, whatever is below it.
    pub(super) const GUARDS: Self = Self(1 << 7);
    /// Counted in the parent's `holding_children`.
    pub(super) const HOLDING: Self = Self(1 << 8);
    /// Task: does not keep its nursery open.
    pub(crate) const DAEMON: Self = Self(1 << 9);
    /// Has details, or clones of its waker are counted.
    const EXTRA: Self = Self(1 << 10);
    /// Some node is below.
    pub(super) const PARENT: Self = Self(1 << 11);
    /// Scope or nursery: asked to wind down.
    pub(crate) const WINDING_DOWN: Self = Self(1 << 12);
    /// Task: its turn comes when everything else in its nursery has ended. Until then it counts as a daemon.
    pub(crate) const DEFERRED: Self = Self(1 << 13);

    const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Operations in the node are cancelled.
    const STOPPED: Self = Self::EFFECTIVE.or(Self::DOOMED);
    /// What a node has that takes more than unlinking when it is removed.
    const ENTANGLED: Self = Self::UNWINDING.or(Self::HOLDING).or(Self::EXTRA).or(Self::PARENT);
}

/// One node's state. See [`tree`](super::tree) for how the parts belong together.
///
/// In the order of how often they are touched: the first cache line is all that most steps of a task need, the second
/// is for nurseries and scopes, the third is written when a task is made and read by those who look around.
#[repr(C, align(64))]
pub(crate) struct Header {
    pub(crate) serial: Cell<u64>,
    pub(crate) parent: Cell<Option<Node>>,
    pub(super) next_ready: Cell<Option<Node>>,
    pub(super) previous_ready: Cell<Option<Node>>,
    pub(super) next_sibling: Cell<Option<Node>>,
    pub(super) previous_sibling: Cell<Option<Node>>,
    pub(crate) index: u32,
    /// Task: its place in its nursery.
    pub(crate) place: Cell<u32>,
    flags: Cell<u32>,
    pub(crate) kind: Cell<Kind>,
    /// In its nursery's ready list. (This and the next change at every step, and so are not among the flags: a byte that
    /// was written can't be read back at once as part of a word.)
    pub(crate) queued: Cell<bool>,
    /// Nursery: its owner has been woken since it was last polled.
    pub(super) signalled: Cell<bool>,
    /// Task or body: woken for its own sake, not only for that of what it polls, since it was last polled.
    pub(crate) woken: Cell<bool>,

    pub(super) first_child: Cell<Option<Node>>,
    /// Nursery: its children that have been woken, in that order.
    pub(super) first_ready: Cell<Option<Node>>,
    pub(super) last_ready: Cell<Option<Node>>,
    pub(super) ready_len: Cell<u32>,
    pub(super) holding_children: Cell<u32>,
    pub(super) unwinding_children: Cell<u32>,
    /// Operations directly in this node that may not be dropped now.
    pub(super) operation_holds: Cell<u32>,
    /// Whom to wake when its cancel status changes (or, of a nursery, when a child is ready): the task or body that polls
    /// it. If that is a foreign waker, it is among the details.
    pub(super) owner: Cell<Option<Node>>,
    /// Scopes and nurseries: when it cancels itself.
    pub(crate) deadline: Cell<Time>,

    pub(crate) timer: Cell<TimerKey>,
    /// A task's name, unless it was made at run time: then it is among the details.
    pub(super) name: Cell<&'static str>,
    /// Where a task was spawned, a nursery opened, or a scope made.
    pub(super) location: Cell<Option<&'static Location<'static>>>,
    pub(super) details: RefCell<Option<Box<Details>>>,
    /// Clones of this node's waker that foreign code keeps.
    pub(super) foreign_clones: Cell<u32>,
}

/// What few nodes have.
#[derive(Default)]
pub(crate) struct Details {
    /// The first cause, once the node is cancelled.
    pub(crate) reason: Option<Rc<CancelReason>>,
    /// Where its deadline was set, if that was done through a handle.
    pub(crate) deadline_set: Option<&'static Location<'static>>,
    /// A task's name that was made at run time.
    pub(crate) name: Option<String>,
    /// A foreign waker to wake where `owner` has none.
    pub(crate) waker: Option<Rc<Waker>>,
    /// A `start` call: the nursery that its task is to go to.
    pub(crate) destination: Option<NodeId>,
    /// An operation: what to call when it is cancelled.
    pub(crate) abort: Option<Rc<dyn Fn()>>,
    /// Foreign wakers of operations that parked here because of a cancellation; woken if it is taken back.
    pub(crate) parked: Vec<Rc<Waker>>,
    /// A task: its values of variables that it has from whoever spawned it.
    pub(crate) spawned_with: Option<Rc<Values>>,
    /// A task that has set variables which come along the nurseries: its values of these. A nursery: those of whoever
    /// opened it.
    pub(crate) opened_with: Option<Rc<Values>>,
}

impl Header {
    fn new(index: u32) -> Self {
        Self {
            index,
            serial: Cell::new(0),
            kind: Cell::new(Kind::Scope),
            flags: Cell::new(0),
            queued: Cell::new(false),
            signalled: Cell::new(false),
            woken: Cell::new(false),
            parent: Cell::new(None),
            first_child: Cell::new(None),
            next_sibling: Cell::new(None),
            previous_sibling: Cell::new(None),
            next_ready: Cell::new(None),
            previous_ready: Cell::new(None),
            place: Cell::new(NO_PLACE),
            holding_children: Cell::new(0),
            unwinding_children: Cell::new(0),
            operation_holds: Cell::new(0),
            foreign_clones: Cell::new(0),
            first_ready: Cell::new(None),
            last_ready: Cell::new(None),
            ready_len: Cell::new(0),
            owner: Cell::new(None),
            deadline: Cell::new(NEVER),
            timer: Cell::new(NO_TIMER),
            name: Cell::new(""),
            location: Cell::new(None),
            details: RefCell::default(),
        }
    }

    /// Makes the header fit for another node. Links to it must be gone.
    fn reset(&self) {
        self.serial.set(0);
        self.flags.set(0);
        self.signalled.set(false);
        self.woken.set(false);
        self.parent.set(None);
        self.first_child.set(None);
        self.next_sibling.set(None);
        self.previous_sibling.set(None);
        self.place.set(NO_PLACE);
        self.holding_children.set(0);
        self.unwinding_children.set(0);
        self.operation_holds.set(0);
        self.foreign_clones.set(0);
        self.first_ready.set(None);
        self.last_ready.set(None);
        self.ready_len.set(0);
        self.owner.set(None);
        self.deadline.set(NEVER);
        self.timer.set(NO_TIMER);
    }

    /// As [`reset`](Self::reset), for a node that [`is_plain`](Self::is_plain) and has been unlinked: what is not set
    /// here is as it was in the beginning.
    #[inline]
    fn reset_plain(&self) {
        self.serial.set(0);
        self.flags.set(0);
        self.signalled.set(false);
        self.woken.set(false);
        self.place.set(NO_PLACE);
        if !self.is_stepped() {
            self.owner.set(None);
            self.deadline.set(NEVER);
        }
    }

    /// Whether the node can be removed by unlinking it: nothing is below it, and nothing outside refers to it but its
    /// parent and siblings.
    #[inline]
    pub(super) fn is_plain(&self) -> bool {
        !self.is(Flag::ENTANGLED) && !self.queued.get() && (self.is_stepped() || self.timer.get() == NO_TIMER)
    }

    /// Whether the node takes steps of its own.
    #[inline]
    fn is_stepped(&self) -> bool {
        matches!(self.kind.get(), Kind::Task | Kind::Body)
    }

    /// Whether the node has this property, or one of these.
    #[inline]
    pub(crate) fn is(&self, flag: Flag) -> bool {
        self.flags.get() & flag.0 != 0
    }

    #[inline]
    pub(crate) fn set(&self, flag: Flag, value: bool) {
        let others = self.flags.get() & !flag.0;
        self.flags.set(if value { others | flag.0 } else { others });
    }

    /// Sets a property, and gives what it was.
    #[inline]
    pub(crate) fn replace(&self, flag: Flag, value: bool) -> bool {
        let before = self.is(flag);
        self.set(flag, value);
        before
    }

    /// Whether something below must not be dropped now.
    #[inline]
    pub(crate) fn is_held(&self) -> bool {
        self.operation_holds.get() > 0 || self.holding_children.get() > 0
    }

    pub(super) fn must_hold(&self) -> bool {
        let by_itself = (self.is(Flag::SHIELD) && !self.is(Flag::DOOMED)) || self.is(Flag::GUARDS);
        self.is_held() || (by_itself && !self.is(Flag::UNWINDING))
    }

    /// Whether what runs in this node is to be dropped now that it is parked.
    #[inline]
    pub(crate) fn may_drop(&self) -> bool {
        self.is(Flag::STOPPED.or(Flag::UNWINDING_BELOW)) && !self.is_held()
    }

    /// Whether operations in this node are cancelled.
    #[inline]
    pub(crate) fn is_cancelled(&self) -> bool {
        self.is(Flag::STOPPED)
    }

    /// Whether the cancellation of something further out reaches the node.
    pub(crate) fn is_cancelled_above(&self) -> bool {
        !self.is(Flag::SHIELD) && self.parent.get().is_some_and(|parent| parent.is(Flag::EFFECTIVE))
    }

    /// Counts a node directly below that is unwinding, or counts it back.
    pub(super) fn count_unwinding_child(&self, unwinding: bool) {
        let count = self.unwinding_children.get();
        let count = if unwinding { count + 1 } else { count - 1 };
        self.unwinding_children.set(count);
        self.set(Flag::UNWINDING_BELOW, count > 0);
    }

    /// The first cause, once the node is cancelled itself.
    pub(crate) fn reason(&self) -> Option<Rc<CancelReason>> {
        self.details.borrow().as_ref()?.reason.clone()
    }

    /// A task's name.
    pub(crate) fn name(&self) -> Cow<'static, str> {
        let made = self.details.borrow().as_ref().and_then(|details| details.name.clone());
        // A future's type is that of a closure in its function, often of one in another.
        made.map_or_else(|| Cow::Borrowed(self.name.get().trim_end_matches("::{{closure}}")), Cow::Owned)
    }

    /// Where a task was spawned, a nursery opened, or a scope made.
    pub(crate) fn location(&self) -> Option<&'static Location<'static>> {
        // Nodes of other kinds keep what an earlier node had here.
        self.location.get().filter(|_| matches!(self.kind.get(), Kind::Task | Kind::Nursery | Kind::Scope))
    }

    /// The cause of a cancellation whose deadline has passed.
    pub(crate) fn deadline_passed(&self) -> CancelReason {
        let set = self.details.borrow().as_ref().and_then(|details| details.deadline_set);
        let made = || self.location().filter(|_| self.kind.get() == Kind::Scope);
        CancelReason::new(CancelSource::Deadline).at(set.or_else(made))
    }

    /// Gives a task a name that was made at run time, which counts instead of the other one.
    pub(super) fn rename(&self, name: String) {
        self.with_details(|details| details.name = Some(name));
    }

    /// Sets how many clones of this node's waker foreign code keeps.
    pub(super) fn set_foreign_clones(&self, count: u32) {
        self.set(Flag::EXTRA, true);
        self.foreign_clones.set(count);
    }

    /// The foreign waker to wake where `owner` has none.
    pub(super) fn foreign_owner(&self) -> Option<Rc<Waker>> {
        self.details.borrow().as_ref()?.waker.clone()
    }

    /// Changes the details. What it replaces is the caller's to drop, when nothing is half done.
    pub(super) fn with_details<R>(&self, f: impl FnOnce(&mut Details) -> R) -> R {
        self.set(Flag::EXTRA, true);
        f(self.details.borrow_mut().get_or_insert_default())
    }
}

/// A header's address.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Node(NonNull<Header>);

impl Deref for Node {
    type Target = Header;

    #[inline]
    fn deref(&self) -> &Header {
        // SAFETY: nodes are made by `Arena` only, from headers that it keeps in place until it is dropped with its
        // run. A node is not used after that: whoever may outlive the run has it only inside a `NodeId`, which gives it
        // after comparing runs. All access to a header is shared.
        unsafe { self.0.as_ref() }
    }
}

/// How many headers are allocated at a time.
const CHUNK: usize = 128;

type Chunk = Box<[Header; CHUNK]>;

/// All headers of a run, in use and free.
pub(crate) struct Arena {
    /// The number of the run, which no other run of the process has.
    run: u64,
    /// Grows only.
    chunks: UnsafeCell<Vec<Chunk>>,
    /// How many headers have ever been used.
    made: Cell<usize>,
    /// Free headers, linked by `next_ready`.
    free: Cell<Option<Node>>,
    used: Cell<usize>,
}

impl Arena {
    pub(crate) fn new(run: u64) -> Self {
        Self { run, chunks: UnsafeCell::default(), made: Cell::new(0), free: Cell::new(None), used: Cell::new(0) }
    }

    /// The node's name for those who may outlive the run.
    #[inline]
    pub(crate) fn id(&self, node: Node) -> NodeId {
        NodeId { header: node, serial: node.serial.get(), run: self.run }
    }

    /// The node with this name, if it is of this run and still there.
    #[inline]
    pub(crate) fn get(&self, id: NodeId) -> Option<Node> {
        // The run is compared first: only in its own run may the header be looked at.
        (id.run == self.run && id.header.serial.get() == id.serial).then_some(id.header)
    }

    /// How many headers are in use.
    pub(crate) fn len(&self) -> usize {
        self.used.get()
    }

    #[inline]
    fn chunk(&self, number: usize) -> Option<&[Header; CHUNK]> {
        // SAFETY: the only mutation of the vector is the push in `make`, during which no reference into the vector
        // exists; this reference goes to a chunk, which a push does not move.
        let chunks = unsafe { &*self.chunks.get() };
        chunks.get(number).map(|chunk| &**chunk)
    }

    /// The header with this index, in use or not.
    #[inline]
    pub(crate) fn at(&self, index: u32) -> Option<Node> {
        let header = &self.chunk(index as usize / CHUNK)?[index as usize % CHUNK];
        Some(Node(NonNull::from(header)))
    }

    /// Takes a header into use.
    #[inline]
    pub(crate) fn take(&self, kind: Kind, serial: u64) -> Node {
        let node = match self.free.get() {
            Some(node) => {
                self.free.set(node.next_ready.take());
                node
            }
            None => self.make(),
        };
        self.used.set(self.used.get() + 1);
        node.serial.set(serial);
        node.kind.set(kind);
        node
    }

    #[cold]
    fn make(&self) -> Node {
        let index = self.made.get();
        assert!(index < MAX_NODES, "too many tasks, nurseries and scopes in one trio run");
        self.made.set(index + 1);
        if index % CHUNK == 0 {
            let headers: Vec<Header> = (index..index + CHUNK).map(|index| Header::new(index as u32)).collect();
            let chunk = headers.try_into().unwrap_or_else(|_| unreachable!("a chunk has this many headers"));
            // SAFETY: no reference into the vector is alive: `chunk` gives references to chunks only.
            unsafe { (*self.chunks.get()).push(chunk) };
        }
        self.at(index as u32).expect("the chunk was made just now or before")
    }

    /// Gives a header back; its details are the caller's to drop.
    #[must_use = "dropping them may run foreign code: do that when nothing is half done"]
    pub(crate) fn give_back(&self, node: Node) -> Option<Box<Details>> {
        let details = node.details.take();
        node.reset();
        self.free(node);
        details
    }

    /// Gives the header of a node that [`is_plain`](Header::is_plain) and has been unlinked back.
    #[inline]
    pub(crate) fn give_back_plain(&self, node: Node) {
        node.reset_plain();
        self.free(node);
    }

    #[inline]
    fn free(&self, node: Node) {
        node.next_ready.set(self.free.replace(Some(node)));
        self.used.set(self.used.get() - 1);
    }

    /// All headers in use.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Node> {
        (0..self.made.get() as u32).filter_map(|index| self.at(index)).filter(|node| node.serial.get() != 0)
    }
}
