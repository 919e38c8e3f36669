//! One run: what it owns, and the loop that turns it.
//!
//! The loop polls the root while anything is runnable (each poll is a *pass*), looks at the reactor and the
//! inbox every so many steps, and blocks in the reactor when nothing is runnable.

use std::any::Any;
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::blocked::Blocked;
use super::builder::Builder;
use super::clock::{Clock, CoarseClock, Epoch, SystemClock};
use super::header::{Flag, Node, NodeId};
use super::inbox::{self, Call, Note, Opened};
use super::instrument::Instruments;
use super::lazy::Lazy;
use super::reactor::{Look, Reactor, Selector};
use super::reason::CancelReason;
use super::schedule::{Schedule, Seeded};
use super::shutdown::Shutdowns;
use super::spin::Spin;
use super::timers::{NEVER, NO_TIMER, Target, Time, Timers, UNARMED};
use super::token::Outstanding;
use super::tree::{Effects, Tree};
use super::variables::Variables;
use super::waker::waker;
use super::word::Word;
use super::{deadlock, system};

/// How many task steps pass between two looks at the reactor and the inbox while there is always something
/// runnable.
const STEPS_PER_LOOK: u32 = 61;

/// The payload of a caught panic.
pub(crate) type Panic = Box<dyn Any + Send>;

/// A wait for the outside.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pause {
    pub(super) timeout: Option<Duration>,
    /// Somebody wants to know if nothing happens for that long.
    idle: bool,
}

impl Pause {
    /// For as long as it takes.
    pub(super) const ENDLESS: Self = Self { timeout: None, idle: false };
}

/// What a guest's passes have come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passes {
    Idle,
    MoreToDo,
    /// The root has come to its end.
    Ended,
}

/// All that one run owns. Its parts are borrowed for moments only, never while foreign code runs.
pub(crate) struct Run {
    /// The run part of this run's words.
    pub(crate) slot: u16,
    pub(crate) opened: Opened,
    pub(crate) tree: Tree,
    pub(crate) timers: RefCell<Timers>,
    pub(crate) lazy: Lazy,
    pub(crate) instruments: Instruments,
    pub(crate) shutdowns: Shutdowns,
    pub(crate) reactor: Reactor,
    pub(crate) blocked: Blocked,
    pub(crate) outstanding: Outstanding,
    pub(crate) system: system::Queue,
    pub(crate) variables: Variables,
    clock: Box<dyn Clock>,
    /// The clock may move at any time, not only while the run waits.
    clock_is_virtual: bool,
    epoch: Epoch,
    coarse: CoarseClock,
    /// How many operations have asked whether they are cancelled: what `assert_checkpoints` looks at.
    cancel_points: Cell<u64>,
    /// How many operations that need not wait have completed without yielding, and how many may have in this step.
    saved_yields: Cell<u64>,
    saved_yields_limit: Cell<u64>,
    budget_per_step: u64,
    /// How many of them may be left to the schedule, where that chooses.
    chosen_per_step: u64,
    /// Steps since the last look at the reactor.
    steps: Cell<u32>,
    /// Another thread has been asked for something since the run last waited.
    asked: Cell<bool>,
    spin: Spin,
    schedule: Schedule,
    /// What to do when nothing can ever run again.
    on_deadlock: deadlock::Action,
    deadlock_reported: Cell<bool>,
}

impl Run {
    pub(super) fn new(builder: Builder) -> Self {
        let reactor = Reactor::new().unwrap_or_else(|error| panic!("trio can't open its I/O selector: {error}"));
        let opened = inbox::open(reactor.kick());
        let clock_is_virtual = builder.clock.is_some();
        let clock = builder.clock.unwrap_or_else(|| Box::new(SystemClock));
        clock.start();
        let epoch = Epoch::new(clock.now());
        let coarse = CoarseClock::start();
        let tree = Tree::new(opened.run, opened.slot);
        let schedule = match (builder.guide, builder.seed) {
            (Some(guide), _) => Schedule::Guided(guide),
            (None, Some(seed)) => Schedule::Seeded(Seeded::new(seed)),
            (None, None) => Schedule::Fifo,
        };
        let budget = u64::from(builder.checkpoint_budget.saturating_sub(1));
        let (budget_per_step, chosen_per_step) = if schedule.is_fifo() { (budget, 0) } else { (0, budget) };
        Self {
            slot: opened.slot,
            tree,
            opened,
            timers: RefCell::default(),
            lazy: Lazy::default(),
            instruments: Instruments::default(),
            shutdowns: Shutdowns::default(),
            reactor,
            blocked: Blocked::default(),
            outstanding: Outstanding::default(),
            system: system::Queue::default(),
            variables: Variables::default(),
            clock,
            clock_is_virtual,
            epoch,
            coarse,
            cancel_points: Cell::new(0),
            saved_yields: Cell::new(0),
            saved_yields_limit: Cell::new(0),
            budget_per_step,
            chosen_per_step,
            steps: Cell::new(0),
            asked: Cell::new(false),
            spin: Spin::default(),
            schedule,
            on_deadlock: builder.on_deadlock,
            deadlock_reported: Cell::new(false),
        }
    }

    // ------------------------------------------------------------------ the tree

    /// Changes the tree, then runs what follows from the change.
    #[inline]
    pub(crate) fn change<R>(&self, f: impl FnOnce(&Tree, &mut Effects) -> R) -> R {
        let mut effects = Effects::default();
        let result = f(&self.tree, &mut effects);
        effects.run();
        if self.tree.observed.get() {
            self.tell_happenings();
        }
        result
    }

    #[inline]
    pub(crate) fn wake(&self, word: Word) {
        if let Some(foreign) = self.tree.wake_word(word) {
            foreign.wake_by_ref();
        }
        if self.tree.observed.get() {
            self.tell_happenings();
        }
    }

    pub(crate) fn note_clone(&self, word: Word, change: i32) {
        self.tree.note_clone(word, change);
    }

    /// Cancels a node, if it is still there, on behalf of the current task.
    pub(crate) fn cancel(&self, id: NodeId, reason: CancelReason) {
        self.change(|tree, effects| {
            let task = tree.task_name(self.tree.current.get());
            if let Some(node) = tree.get(id) {
                tree.cancel(node, || reason.in_task(task), effects);
            }
        });
    }

    /// Removes a node and its timer; does nothing if it is gone.
    pub(crate) fn remove(&self, id: NodeId) {
        if let Some(node) = self.tree.get(id) {
            self.remove_node(node);
        }
    }

    /// Removes a node and its timer.
    #[inline]
    pub(crate) fn remove_node(&self, node: Node) {
        if self.tree.observed.get() {
            self.tell_exited(node);
        }
        if node.timer.get() == UNARMED {
            self.disarm(node);
        }
        if !self.tree.remove_plain(node) {
            self.remove_entangled(node);
        }
    }

    fn remove_entangled(&self, node: Node) {
        let removed = self.change(|tree, effects| tree.remove(node, effects));
        if removed.timer != NO_TIMER {
            drop(self.timers.borrow_mut().remove(removed.timer));
        }
        // May hold the last count of a foreign waker: it goes when nothing is borrowed.
        drop(removed.details);
    }

    /// The node that is being polled.
    #[inline]
    pub(crate) fn current(&self) -> Node {
        if self.has_entered() {
            self.settle();
        }
        self.tree.current.get()
    }

    /// The name of the node that is being polled.
    #[inline]
    pub(crate) fn current_id(&self) -> NodeId {
        self.tree.id(self.current())
    }

    /// Makes a node the one that is being polled, until the guard is dropped.
    #[inline]
    pub(crate) fn within(&self, node: Node) -> Within<'_> {
        let previous = self.current();
        self.tree.current.set(node);
        Within { run: self, previous }
    }

    /// Whether the code that is being polled is effectively cancelled. Every operation asks this: it is what makes it a
    /// cancel point.
    #[inline]
    pub(crate) fn is_cancelled_here(&self) -> bool {
        self.cancel_points.set(self.cancel_points.get() + 1);
        // A scope that has been entered and has no node yet is neither cancelled itself nor shielded.
        self.tree.current.get().is_cancelled()
    }

    // ------------------------------------------------------------------ steps

    /// Begins a step of a task or body.
    #[inline]
    pub(crate) fn begin_step(&self) {
        self.saved_yields_limit.set(self.saved_yields.get() + self.budget_per_step);
        self.steps.set(self.steps.get() + 1);
    }

    /// Whether one more operation may complete in this step without yielding.
    #[inline]
    pub(crate) fn take_budget(&self) -> bool {
        let saved = self.saved_yields.get();
        let may = saved < self.saved_yields_limit.get() || (self.chosen_per_step > 0 && self.chooses_to_save(saved));
        self.saved_yields.set(saved + u64::from(may));
        may
    }

    #[cold]
    fn chooses_to_save(&self, saved: u64) -> bool {
        // Where the schedule chooses, the limit is the count at the beginning of the step. When the main task has ended, there
        // is nothing left to find out.
        !self.system.closed.get()
            && saved < self.saved_yields_limit.get() + self.chosen_per_step
            && self.schedule.skips_yield()
    }

    /// How many cancel points have been passed, and how many schedule points without a yield: two counts that only grow.
    pub(crate) fn points_passed(&self) -> (u64, u64) {
        (self.cancel_points.get(), self.saved_yields.get())
    }

    /// Whether a cancellation would find something below the node that is being polled which it has to wait for.
    pub(crate) fn is_held_here(&self) -> bool {
        self.current().is_held()
    }

    /// Lets the schedule put a nursery's ready children into an order of its choice.
    #[inline]
    pub(crate) fn order_ready(&self, nursery: Node) {
        if !self.schedule.is_fifo() {
            self.tree.reorder_ready(nursery, |ready| self.schedule.shuffle(ready));
        }
    }

    /// A number for chances of another kind, where the schedule is a random one: another one each time.
    pub(crate) fn draw(&self) -> Option<u64> {
        self.schedule.draw()
    }

    // ------------------------------------------------------------------ time

    /// The time on the run's clock.
    #[inline]
    pub(crate) fn now(&self) -> Time {
        self.epoch.time(self.instant_now())
    }

    #[inline]
    pub(crate) fn instant_now(&self) -> Instant {
        // The usual clock without the virtual call.
        if self.clock_is_virtual { self.clock.now() } else { Instant::now() }
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// A time that has come, no longer ago than [`slack`](Self::slack): cheaper to know than the time.
    #[inline]
    pub(crate) fn no_later_than_now(&self) -> Time {
        if self.clock_is_virtual { self.now() } else { self.coarse.time() }
    }

    /// By how much [`no_later_than_now`](Self::no_later_than_now) may be too early.
    #[inline]
    pub(crate) fn slack(&self) -> Time {
        if self.clock_is_virtual { 0 } else { self.coarse.slack() }
    }

    /// Sets the deadline of a scope or nursery, and its timer.
    pub(crate) fn set_deadline(&self, id: NodeId, deadline: Time) {
        self.arm();
        let tree = &self.tree;
        let mut timers = self.timers.borrow_mut();
        let Some(node) = tree.get(id) else { return };
        node.deadline.set(deadline);
        let old = node.timer.replace(NO_TIMER);
        if old != NO_TIMER {
            // The target of a scope's timer is plain data: dropping it here runs no foreign code.
            drop(timers.remove(old));
        }
        if deadline != NEVER && !node.is(Flag::CANCELLED) {
            node.timer.set(timers.insert(deadline, Target::Scope(id)));
        }
    }

    /// Sees to it that a deadline that has passed already is met before the next pass.
    pub(crate) fn look_soon(&self) {
        self.steps.set(STEPS_PER_LOOK);
    }

    /// Fires every timer that is due.
    fn expire(&self) {
        if self.timers.borrow().next().is_none() && !self.has_unarmed() {
            return;
        }
        let now = self.now();
        self.arm_at(now);
        if self.schedule.is_fifo() {
            while let Some(due) = { self.timers.borrow_mut().expire(now) } {
                self.fire(due);
            }
        } else {
            self.expire_in_chosen_order(now);
        }
    }

    /// Fires every timer that is due, those of the same instant in an order that the schedule chooses.
    #[cold]
    fn expire_in_chosen_order(&self, now: Time) {
        loop {
            let mut tied = self.timers.borrow().first_due(now);
            if tied.is_empty() {
                return;
            }
            // Those who are woken are put into order when they take their turns.
            if tied.iter().any(|key| self.timers.borrow().sleeper(*key).is_none()) {
                self.schedule.shuffle(&mut tied);
            }
            for key in tied {
                let due = self.timers.borrow_mut().expire_this(key, now);
                if let Some(due) = due {
                    self.fire(due);
                }
            }
        }
    }

    fn fire(&self, due: Target) {
        match due {
            Target::Sleeper(waker) => waker.wake(),
            Target::Scope(id) => self.change(|tree, effects| {
                if let Some(node) = tree.get(id) {
                    node.timer.set(NO_TIMER);
                    tree.cancel(node, || node.deadline_passed(), effects);
                }
            }),
        }
    }

    /// How long to wait in real time for the next deadline; `None` without one that can be waited for.
    fn until_next_deadline(&self) -> Option<Duration> {
        let next = self.timers.borrow().next()?;
        self.clock.sleep_time(self.epoch.instant(next)?)
    }

    // ------------------------------------------------------------------ the loop

    fn is_runnable(&self) -> bool {
        self.tree.root_woken.get()
    }

    /// Takes what other threads have left, if there is anything.
    fn read_mail(&self) -> bool {
        if !self.opened.inbox.has_mail() {
            return false;
        }
        let mail = self.opened.inbox.take();
        for note in mail.notes {
            match note {
                Note::Wake(word) => self.wake(word),
                Note::Cloned(word) => self.note_clone(word, 1),
                Note::Dropped(word) => self.note_clone(word, -1),
            }
        }
        self.make_calls(mail.calls, mail.idempotent);
        true
    }

    /// Makes calls of other threads, then as many idempotent ones as wait when the others have been made. What these calls
    /// queue has to wait for the next time.
    pub(super) fn make_calls(&self, calls: VecDeque<Call>, idempotent: usize) {
        let inbox = self.opened.inbox;
        let any = !calls.is_empty();
        for call in calls {
            system::call(self, call);
        }
        let idempotent = if any { inbox.idempotent() } else { idempotent };
        for call in (0..idempotent).map_while(|_| inbox.take_idempotent()) {
            system::call(self, call);
        }
    }

    /// Everything that can have happened outside: mail, I/O, deadlines.
    fn look(&self, timeout: Option<Duration>) -> Look {
        self.tell_of_io_wait(timeout);
        let nothing = self.reactor.is_empty() && timeout == Some(Duration::ZERO);
        let io = if nothing { Look::Quiet } else { self.reactor.turn(timeout, |node| self.tree.is_effective(node)) };
        self.after_io(timeout, io)
    }

    fn tell_of_io_wait(&self, timeout: Option<Duration>) {
        if self.tree.observed.get() {
            self.tell_before_io_wait(timeout.unwrap_or(Duration::MAX));
        }
    }

    /// What a look has to do after the one for I/O.
    fn after_io(&self, timeout: Option<Duration>, io: Look) -> Look {
        self.steps.set(0);
        if self.tree.observed.get() {
            self.tell_after_io_wait(timeout.unwrap_or(Duration::MAX));
        }
        let mail = self.read_mail();
        self.expire();
        if mail { Look::Busy } else { io }
    }

    /// Polls the root until it is done.
    pub(super) fn drive<F: Future>(&self, root: F) -> F::Output {
        let mut root = pin!(root);
        let waker = waker(self.tree.word(self.tree.root));
        let mut context = Context::from_waker(&waker);
        loop {
            if self.is_runnable() {
                if let Poll::Ready(output) = self.pass(root.as_mut(), &mut context) {
                    return output;
                }
            } else {
                self.wait();
            }
        }
    }

    /// Lets every runnable task take a step.
    #[inline]
    fn pass<F: Future + ?Sized>(&self, root: Pin<&mut F>, context: &mut Context<'_>) -> Poll<F::Output> {
        if self.steps.get() >= STEPS_PER_LOOK {
            let _ = self.look(Some(Duration::ZERO));
        } else if self.clock_is_virtual {
            self.expire();
        }
        self.tree.root_woken.set(false);
        root.poll(context)
    }

    /// Another thread has been asked for something, and may answer soon.
    pub(crate) fn has_asked(&self) {
        self.asked.set(true);
    }

    /// Waits until something happens outside.
    fn wait(&self) {
        let Some(pause) = self.plan() else { return };
        let timeout = pause.timeout;
        if timeout != Some(Duration::ZERO) && self.asked.take() && self.spin.until(|| self.opened.inbox.has_mail()) {
            // Taken by the next pass, before which the rest of the outside has its turn as often as ever.
            return;
        }
        let look = if timeout == Some(Duration::ZERO) {
            self.look(timeout)
        } else if self.opened.inbox.park() {
            let look = self.look(timeout);
            self.opened.inbox.unpark();
            look
        } else {
            // There is mail already; calls that queue calls may not keep the rest of the outside away.
            let _ = self.look(Some(Duration::ZERO));
            return;
        };
        if self.has_paused(pause, look) && self.opened.inbox.park() {
            let _ = self.look(None);
            self.opened.inbox.unpark();
        }
    }

    /// How to wait, if there is nothing to do.
    #[inline]
    pub(super) fn plan(&self) -> Option<Pause> {
        // What is due now, or has come already, needs no waiting.
        self.read_mail();
        self.expire();
        if self.is_runnable() {
            return None;
        }
        if self.reactor.has_doubts() {
            return Some(Pause { timeout: Some(Duration::ZERO), idle: false });
        }
        let deadline = self.until_next_deadline();
        let threshold = self.blocked.shortest_cushion().or_else(|| self.clock.autojump_threshold());
        let idle = threshold.filter(|threshold| deadline.is_none_or(|deadline| *threshold < deadline));
        let timeout = idle.or(deadline);
        if timeout.is_none() {
            self.check_deadlock();
        }
        Some(Pause { timeout, idle: idle.is_some() })
    }

    /// What follows from a wait that has ended. Whether there is nothing to be had but from outside, however long that takes.
    #[inline]
    pub(super) fn has_paused(&self, pause: Pause, look: Look) -> bool {
        let waited_in_full = pause.idle && look == Look::Quiet && !self.is_runnable();
        waited_in_full && !self.opened.inbox.has_mail() && self.all_blocked()
    }

    /// Every task has been blocked for as long as somebody asked to be told of. Whether that helps nobody.
    fn all_blocked(&self) -> bool {
        if self.blocked.release() {
            return false;
        }
        let next = self.timers.borrow().next().and_then(|next| self.epoch.instant(next));
        match next {
            Some(next) => {
                self.clock.autojump(next);
                false
            }
            // Nothing to jump to: only the outside can help, if there is one.
            None => {
                self.check_deadlock();
                true
            }
        }
    }

    // ------------------------------------------------------------------ a guest's loop, in parts

    /// Begins a wait that another thread does.
    pub(super) fn begin_wait(&self, pause: Pause) -> Option<Selector> {
        if !self.opened.inbox.park() {
            return None;
        }
        self.tell_of_io_wait(pause.timeout);
        self.reactor.lend()
    }

    /// Ends it: everything that can have happened outside.
    pub(super) fn end_wait(&self, pause: Pause, selector: Selector) -> Look {
        self.opened.inbox.unpark();
        let io = self.reactor.take_back(selector, |node| self.tree.is_effective(node));
        self.after_io(pause.timeout, io)
    }

    /// Makes passes, until nothing is runnable or others should have their turn.
    pub(super) fn some_passes(&self, root: &mut Pin<Box<dyn Future<Output = ()>>>) -> Passes {
        let waker = waker(self.tree.word(self.tree.root));
        let mut context = Context::from_waker(&waker);
        while self.is_runnable() {
            if self.pass(root.as_mut(), &mut context).is_ready() {
                return Passes::Ended;
            }
            // The next pass would begin with a look at the outside.
            if self.steps.get() >= STEPS_PER_LOOK {
                return Passes::MoreToDo;
            }
        }
        Passes::Idle
    }

    /// Looks at what has happened outside, without waiting.
    pub(super) fn glance(&self) -> Look {
        self.look(Some(Duration::ZERO))
    }

    /// Reports that nothing can ever run again, if that is so.
    fn check_deadlock(&self) {
        let can_be_woken = self.reactor.has_waiters()
            || self.outstanding.any()
            || self.tree.foreign_clones.get() > 0
            || self.deadlock_reported.get();
        if !can_be_woken {
            self.deadlock_reported.set(true);
            self.on_deadlock.act(self);
        }
    }
}

/// Restores the node that was being polled before.
pub(crate) struct Within<'run> {
    run: &'run Run,
    previous: Node,
}

impl Drop for Within<'_> {
    fn drop(&mut self) {
        self.run.tree.current.set(self.previous);
    }
}

impl Run {
    /// Whether the node belongs to this run (and still exists).
    pub(crate) fn has(&self, id: NodeId) -> bool {
        self.tree.get(id).is_some()
    }
}

/// Panics for a future that began in one run and is polled in another.
#[cold]
#[track_caller]
pub(crate) fn wrong_run(what: &str) -> ! {
    panic!("this {what} began in another trio run, which has ended: it can only be dropped now")
}

/// The panic's message, if it has one.
pub(crate) fn panic_message(panic: &Panic) -> Cow<'static, str> {
    if let Some(text) = panic.downcast_ref::<&'static str>() {
        Cow::Borrowed(*text)
    } else if let Some(text) = panic.downcast_ref::<String>() {
        Cow::Owned(text.clone())
    } else {
        Cow::Borrowed("a payload that is not a string")
    }
}
