//! A nursery that runs so many children at a time and no more.
//!
//! All of it stands outside of the nursery: a child that has to wait is a task whose first step is to wait for its turn.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::panic::Location;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::kernel::checkpoint::{checkpoint_if_cancelled, schedule_point};
use crate::kernel::child::TaskOutput;
use crate::kernel::context;
use crate::kernel::header::NodeId;
use crate::kernel::nursery::{Named, Nursery};
use crate::kernel::run::Run;
use crate::kernel::start::{StartError, TaskStatus};
use crate::kernel::task::TaskHandle;
use crate::kernel::waker::StoredWaker;

/// A nursery's children of which only so many run at a time: made by [`Nursery::limited`].
///
/// What is started through it while the limit is reached waits for its turn, and begins, in the order in which it was
/// started, when another one has ended. Clones are the same: they share the limit. The nursery's other children do not count,
/// and one nursery may have several of these, with limits of their own.
///
/// A child that waits is a task of the nursery already: it keeps the nursery open, counts as a child, and shows in the task
/// tree. It waits as in a checkpoint: if it is cancelled then, through its [`TaskHandle`] or with the nursery, it ends without
/// having begun; so does one that [`start_soon_when_free`](Self::start_soon_when_free) or [`start`](Self::start) had to wait
/// for. (A child for which there is room at once runs to its first checkpoint, cancelled or not, as every child does.) A child's failure cancels the nursery as ever, and with it those that wait.
///
/// There is no `start_daemon` here: a daemon that never ends would keep its place from those that the nursery waits for.
///
/// # Examples
///
/// ```
/// use std::cell::Cell;
/// async fn fetch(running: &Cell<u32>, most: &Cell<u32>) {
///     running.set(running.get() + 1);
///     most.set(most.get().max(running.get()));
///     trio::checkpoint().await;
///     running.set(running.get() - 1);
/// }
/// trio::run(async {
///     let (running, most) = (Cell::new(0), Cell::new(0));
///     trio::nursery! { |n|
///         let pool = n.limited(3);
///         for _ in 0..10 {
///             pool.start_soon(fetch(&running, &most));
///         }
///         assert_eq!((pool.running(), pool.waiting()), (3, 7));
///     }
///     assert_eq!(most.get(), 3);
/// });
/// ```
///
/// What children may borrow is what those of the nursery may:
///
/// ```compile_fail,E0373
/// trio::run(async {
///     trio::nursery! { |n|
///         let local = 5;
///         n.limited(2).start_soon(async { println!("{local}") });
///     }
/// });
/// ```
pub struct Limited<'scope, 'env: 'scope, E = std::convert::Infallible> {
    nursery: &'scope Nursery<'scope, 'env, E>,
    turns: Rc<Turns>,
}

impl<E> Clone for Limited<'_, '_, E> {
    fn clone(&self) -> Self {
        Self { nursery: self.nursery, turns: Rc::clone(&self.turns) }
    }
}

impl<'scope, 'env, E> Nursery<'scope, 'env, E> {
    /// A view of the nursery through which at most `limit` children run at a time; see [`Limited`].
    ///
    /// # Panics
    ///
    /// If `limit` is zero.
    #[track_caller]
    pub fn limited(&'scope self, limit: usize) -> Limited<'scope, 'env, E> {
        assert!(limit > 0, "with a limit of zero no child could ever run");
        let turns = Turns { limit, running: Cell::new(0), next: Cell::new(0), queue: RefCell::default() };
        Limited { nursery: self, turns: Rc::new(turns) }
    }
}

impl<'scope, E> Limited<'scope, '_, E> {
    fn unnamed<F>(&self) -> LimitedNamed<'scope, E> {
        LimitedNamed { named: Named::unnamed::<F>(self.nursery), turns: Rc::clone(&self.turns) }
    }

    /// As [`Nursery::start_soon`], but the child begins when it is its turn. Returns at once in any case.
    #[track_caller]
    pub fn start_soon<F>(&self, future: F)
    where
        F: Future + 'scope,
        F::Output: TaskOutput<E>,
    {
        self.unnamed::<F>().start_soon(future);
    }

    /// As [`Nursery::spawn`], but the child begins when it is its turn. Cancelling it before takes it out of the queue.
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> TaskHandle<'scope, F::Output>
    where
        F: Future + 'scope,
    {
        self.unnamed::<F>().spawn(future)
    }

    /// As [`Nursery::try_spawn`], but the child begins when it is its turn. Cancelling it before takes it out of the queue.
    #[track_caller]
    pub fn try_spawn<F, T, X>(&self, future: F) -> TaskHandle<'scope, T>
    where
        F: Future<Output = Result<T, X>> + 'scope,
        T: 'scope,
        X: Into<E>,
    {
        self.unnamed::<F>().try_spawn(future)
    }

    /// Waits until there is room for another child, then starts it: so that who starts children is no faster than they are.
    ///
    /// Whoever waits here is in the same queue as the children that wait. A child of the same kind that waits here has its
    /// own place meanwhile, so when all of them do that, they wait for ever.
    ///
    /// A checkpoint; cancelling the wait leaves the queue, and drops the future.
    ///
    /// # Examples
    ///
    /// ```
    /// async fn work(_number: u32) {
    ///     trio::checkpoint().await;
    /// }
    /// trio::run(async {
    ///     trio::nursery! { |n|
    ///         let pool = n.limited(2);
    ///         for number in 0..100 {
    ///             pool.start_soon_when_free(work(number)).await;
    ///             assert_eq!(pool.waiting(), 0);
    ///         }
    ///     }
    /// });
    /// ```
    #[track_caller]
    pub fn start_soon_when_free<F>(&self, future: F) -> impl Future<Output = ()>
    where
        F: Future + 'scope,
        F::Output: TaskOutput<E>,
    {
        self.unnamed::<F>().start_soon_when_free(future)
    }

    /// As [`Nursery::start`], once there is room for another child: `task` is called then. The child has its place until it
    /// ends.
    ///
    /// A checkpoint, as [`start_soon_when_free`](Self::start_soon_when_free) is.
    ///
    /// # Errors
    ///
    /// As [`Nursery::start`].
    #[track_caller]
    pub fn start<V, F>(&self, task: impl FnOnce(TaskStatus<V>) -> F) -> impl Future<Output = Result<V, StartError<E>>>
    where
        F: Future + 'scope,
        F::Output: TaskOutput<E>,
    {
        self.unnamed::<F>().start(task)
    }

    /// Gives the next child a name, as [`Nursery::named`] does.
    pub fn named(&self, name: impl Into<Cow<'static, str>>) -> LimitedNamed<'scope, E> {
        LimitedNamed { named: self.nursery.named(name), turns: Rc::clone(&self.turns) }
    }

    /// The most children that may run at a time.
    pub fn limit(&self) -> usize {
        self.turns.limit
    }

    /// How many children have their turn.
    pub fn running(&self) -> usize {
        self.turns.running.get()
    }

    /// How many wait for their turn: children, and callers of [`start_soon_when_free`](Self::start_soon_when_free).
    pub fn waiting(&self) -> usize {
        self.turns.queue.borrow().len()
    }
}

impl<E> fmt::Debug for Limited<'_, '_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limited")
            .field("limit", &self.limit())
            .field("running", &self.running())
            .field("waiting", &self.waiting())
            .finish_non_exhaustive()
    }
}

/// A [`Limited`] nursery with the name for the next child.
#[must_use = "a name does nothing by itself: start a task with it"]
pub struct LimitedNamed<'scope, E = std::convert::Infallible> {
    named: Named<'scope, E>,
    turns: Rc<Turns>,
}

impl<E> fmt::Debug for LimitedNamed<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimitedNamed").field("named", &self.named).finish_non_exhaustive()
    }
}

impl<'scope, E> LimitedNamed<'scope, E> {
    /// See [`Limited::start_soon`].
    #[track_caller]
    pub fn start_soon<F>(self, future: F)
    where
        F: Future + 'scope,
        F::Output: TaskOutput<E>,
    {
        let turn = Turns::queue(self.turns, self.named.nursery());
        self.named.start_soon(in_turn(turn, future));
    }

    /// See [`Limited::spawn`].
    #[track_caller]
    pub fn spawn<F>(self, future: F) -> TaskHandle<'scope, F::Output>
    where
        F: Future + 'scope,
    {
        let turn = Turns::queue(Rc::clone(&self.turns), self.named.nursery());
        let number = turn.number;
        let task = self.named.spawn(in_turn(turn, future));
        self.turns.is_of(number, &task);
        task
    }

    /// See [`Limited::try_spawn`].
    #[track_caller]
    pub fn try_spawn<F, T, X>(self, future: F) -> TaskHandle<'scope, T>
    where
        F: Future<Output = Result<T, X>> + 'scope,
        T: 'scope,
        X: Into<E>,
    {
        let turn = Turns::queue(Rc::clone(&self.turns), self.named.nursery());
        let number = turn.number;
        let task = self.named.try_spawn(in_turn(turn, future));
        self.turns.is_of(number, &task);
        task
    }

    /// See [`Limited::start_soon_when_free`].
    #[track_caller]
    pub fn start_soon_when_free<F>(self, future: F) -> impl Future<Output = ()>
    where
        F: Future + 'scope,
        F::Output: TaskOutput<E>,
    {
        let location = Location::caller();
        async move {
            let turn = Turns::wait(self.turns).await;
            self.named.start_soon_at(location, in_turn(turn, future));
        }
    }

    /// See [`Limited::start`].
    #[track_caller]
    pub fn start<V, F>(self, task: impl FnOnce(TaskStatus<V>) -> F) -> impl Future<Output = Result<V, StartError<E>>>
    where
        F: Future + 'scope,
        F::Output: TaskOutput<E>,
    {
        let location = Location::caller();
        async move {
            let turn = Turns::wait(self.turns).await;
            self.named.start_at(location, |status| in_turn(turn, task(status))).await
        }
    }
}

/// Runs a future when it is its turn, and passes the turn on when the future is gone.
async fn in_turn<F: Future>(turn: Turn, future: F) -> F::Output {
    poll_fn(|context| turn.poll_child(context)).await;
    future.await
}

/// Who has their turn, and who waits for it.
struct Turns {
    limit: usize,
    running: Cell<usize>,
    next: Cell<u64>,
    /// By when they came.
    queue: RefCell<BTreeMap<u64, Waiter>>,
}

struct Waiter {
    /// What tells whether it is cancelled: the node in which it waits, or before a child knows that, its task or nursery.
    node: NodeId,
    waker: StoredWaker,
}

impl Turns {
    /// A place at the end of the queue, or at once a turn.
    fn queue(turns: Rc<Self>, node: NodeId) -> Turn {
        let number = turns.next.get();
        turns.next.set(number + 1);
        turns.pass_on();
        if turns.running.get() < turns.limit {
            turns.running.set(turns.running.get() + 1);
            return Turn { turns, number, at_once: true };
        }
        turns.queue.borrow_mut().insert(number, Waiter { node, waker: StoredWaker::None });
        Turn { turns, number, at_once: false }
    }

    /// Waits for a turn. A checkpoint.
    async fn wait(turns: Rc<Self>) -> Turn {
        checkpoint_if_cancelled().await;
        let turn = Self::queue(turns, context::with(Run::current_id));
        if turn.has_come() {
            schedule_point().await;
        } else {
            poll_fn(|context| turn.poll(context)).await;
        }
        turn
    }

    /// Gives the turns that are free to who has waited longest. Passes over those that are cancelled: they have left as good
    /// as already, and if they have not (the cancellation was taken back), they ask again.
    fn pass_on(&self) {
        while self.running.get() < self.limit {
            let waker = {
                let mut queue = self.queue.borrow_mut();
                let is_cancelled =
                    |waiter: &Waiter| context::try_with(|run| run.tree.is_effective(waiter.node)) == Some(true);
                let first = queue.iter().find(|(_, waiter)| !is_cancelled(waiter)).map(|(&number, _)| number);
                let Some(waiter) = first.and_then(|number| queue.remove(&number)) else { return };
                waiter.waker
            };
            self.running.set(self.running.get() + 1);
            waker.wake();
        }
    }

    /// Says whose the place in the queue is, if it still is one.
    fn is_of<T>(&self, number: u64, task: &TaskHandle<'_, T>) {
        if let (Some(waiter), Some(id)) = (self.queue.borrow_mut().get_mut(&number), task.id()) {
            waiter.node = id;
        }
    }
}

/// One turn, or the wait for it: given up when dropped.
struct Turn {
    turns: Rc<Turns>,
    number: u64,
    /// It did not have to be waited for.
    at_once: bool,
}

impl Turn {
    /// As [`poll`](Self::poll), for a child: one that had to wait does not begin when it is cancelled, even if its turn came
    /// before. (Its turn comes from a child that has ended, and maybe failed, which cancels the nursery only then.)
    fn poll_child(&self, context: &Context<'_>) -> Poll<()> {
        std::task::ready!(self.poll(context));
        let cancelled = !self.at_once && context::with(Run::is_cancelled_here);
        if cancelled {
            context::with(|run| run.park_cancelled(context));
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    fn has_come(&self) -> bool {
        !self.turns.queue.borrow().contains_key(&self.number)
    }

    fn poll(&self, context: &Context<'_>) -> Poll<()> {
        if self.has_come() {
            return Poll::Ready(());
        }
        let (node, cancelled) = context::with(|run| {
            let cancelled = run.is_cancelled_here();
            if cancelled {
                run.park_cancelled(context);
            }
            (run.current_id(), cancelled)
        });
        // Made before the place is looked at: it may be foreign, and so may end another child, whose turn is this one's then.
        let waker = StoredWaker::new(context.waker());
        let old = match self.turns.queue.borrow_mut().get_mut(&self.number) {
            Some(waiter) => std::mem::replace(waiter, Waiter { node, waker }),
            None => return Poll::Ready(()),
        };
        if !cancelled {
            // It may have been passed over, for a cancellation that was taken back since.
            self.turns.pass_on();
        }
        // May be foreign: dropped when nothing is borrowed.
        drop(old);
        if self.has_come() { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let waiter = self.turns.queue.borrow_mut().remove(&self.number);
        if waiter.is_none() {
            self.turns.running.set(self.turns.running.get() - 1);
            self.turns.pass_on();
        }
    }
}
