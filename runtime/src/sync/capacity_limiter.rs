//! A limit on how many do something at once, which knows who they are.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ptr;
use std::rc::Rc;

use super::lock::WouldBlock;
use super::owner::Owner;
use super::wait_queue::{Operation, Request, WaitQueue};
use crate::kernel::view::Task;

/// A limit on how many borrowers have a token at once: Trio's `CapacityLimiter`.
///
/// As a [`Semaphore`](crate::Semaphore), but a token has a *borrower*: the task that acquires it, or whoever it is
/// acquired [on behalf of](Self::acquire_on_behalf_of). A borrower has at most one, so a task that waits for itself is
/// found at once. The total can be changed at any time; making it smaller takes nothing away from who has a token, so
/// [`available_tokens`](Self::available_tokens) may be negative for a while.
///
/// Fair: a token that comes back goes to the borrower that has waited longest, at that moment.
///
/// # Examples
///
/// ```
/// use trio::CapacityLimiter;
/// async fn visit(limiter: &CapacityLimiter) {
///     let _token = limiter.acquire().await;
///     assert!(limiter.borrowed_tokens() <= 2);
///     trio::checkpoint().await;
/// }
/// trio::run(async {
///     let limiter = CapacityLimiter::new(2);
///     trio::nursery! { |n|
///         for _ in 0..5 {
///             n.start_soon(visit(&limiter));
///         }
///     }
///     assert_eq!(limiter.available_tokens(), 2);
/// });
/// ```
pub struct CapacityLimiter {
    total: Cell<usize>,
    borrowed: Cell<usize>,
    /// How many tokens have ever been taken.
    taken: Cell<u64>,
    /// Everybody who has a token or waits for one.
    borrowers: RefCell<HashMap<Borrower, Standing>>,
    waiters: WaitQueue<Borrower, ()>,
}

#[derive(Clone, Copy)]
enum Standing {
    Waiting,
    /// Has a token, with the number of those taken before.
    Holding(u64),
}

impl CapacityLimiter {
    /// A limiter with so many tokens; 0 lets nobody in until that is changed, `usize::MAX` is no limit.
    pub fn new(total_tokens: usize) -> Self {
        Self {
            total: Cell::new(total_tokens),
            borrowed: Cell::new(0),
            taken: Cell::new(0),
            borrowers: RefCell::default(),
            waiters: WaitQueue::new(),
        }
    }

    /// How many tokens there are.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(trio::CapacityLimiter::new(3).total_tokens(), 3);
    /// ```
    pub fn total_tokens(&self) -> usize {
        self.total.get()
    }

    /// Changes how many tokens there are. More go at once to those who wait; with fewer, nobody gets one until enough
    /// have come back. Not a checkpoint.
    ///
    /// # Examples
    ///
    /// ```
    /// let limiter = trio::CapacityLimiter::new(1);
    /// let token = limiter.try_acquire_on_behalf_of(trio::Borrower::new("me")).unwrap();
    /// limiter.set_total_tokens(0);
    /// assert_eq!(limiter.available_tokens(), -1);
    /// # drop(token);
    /// ```
    pub fn set_total_tokens(&self, total_tokens: usize) {
        self.total.set(total_tokens);
        self.hand_out();
    }

    /// How many tokens are with borrowers.
    pub fn borrowed_tokens(&self) -> usize {
        self.borrowed.get()
    }

    /// How many tokens could be taken now; negative if the total has been made smaller than what is with borrowers.
    pub fn available_tokens(&self) -> isize {
        let (total, borrowed) = (self.total.get(), self.borrowed.get());
        match total.checked_sub(borrowed) {
            Some(left) => isize::try_from(left).unwrap_or(isize::MAX),
            None => -isize::try_from(borrowed - total).unwrap_or(isize::MAX),
        }
    }

    /// Takes a token for the running task, waiting until there is one. It comes back when it is dropped.
    ///
    /// A checkpoint, also if there is one. Cancelling the wait leaves the queue; a token that was handed over already
    /// goes to the next.
    ///
    /// # Panics
    ///
    /// If the running task has a token of this limiter or waits for one: it would wait for itself. What one task does
    /// side by side (in a `join`) needs borrowers of its own.
    pub async fn acquire(&self) -> CapacityToken<'_> {
        self.acquire_on_behalf_of(Borrower::current_task()).await
    }

    /// Takes a token for the running task if there is one. Not a checkpoint.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`] if there is none.
    ///
    /// # Panics
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Examples
    ///
    /// ```
    /// trio::run(async {
    ///     let limiter = trio::CapacityLimiter::new(0);
    ///     assert!(limiter.try_acquire().is_err());
    ///     limiter.set_total_tokens(1);
    ///     assert!(limiter.try_acquire().is_ok());
    /// });
    /// ```
    #[track_caller]
    pub fn try_acquire(&self) -> Result<CapacityToken<'_>, WouldBlock> {
        self.try_acquire_on_behalf_of(Borrower::current_task())
    }

    /// Takes a token for a borrower, waiting until there is one. It comes back when it is dropped, wherever that is.
    ///
    /// A checkpoint, and cancelled as [`acquire`](Self::acquire).
    ///
    /// # Panics
    ///
    /// If the borrower has a token of this limiter or waits for one.
    ///
    /// # Examples
    ///
    /// ```
    /// use trio::{Borrower, CapacityLimiter};
    /// trio::run(async {
    ///     let limiter = CapacityLimiter::new(2);
    ///     let one = limiter.acquire_on_behalf_of(Borrower::new("one")).await;
    ///     let two = limiter.acquire_on_behalf_of(Borrower::new("two")).await;
    ///     let names: Vec<_> = limiter.statistics().borrowers.iter().map(|one| one.name()).collect();
    ///     assert_eq!(names, ["one", "two"]);
    ///     # drop((one, two));
    /// });
    /// ```
    pub async fn acquire_on_behalf_of(&self, borrower: Borrower) -> CapacityToken<'_> {
        self.take_on_behalf_of(&borrower).await;
        CapacityToken { limiter: self, borrower }
    }

    /// As [`acquire_on_behalf_of`](Self::acquire_on_behalf_of), with a token that keeps the limiter alive instead of
    /// borrowing it: for what may outlive the function that has the limiter.
    ///
    /// # Panics
    ///
    /// If the borrower has a token of this limiter or waits for one.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::rc::Rc;
    /// use trio::{Borrower, CapacityLimiter};
    /// trio::run(async {
    ///     let token = Rc::new(CapacityLimiter::new(1)).acquire_owned(Borrower::current_task()).await;
    ///     assert_eq!(token.limiter().available_tokens(), 0);
    /// });
    /// ```
    pub async fn acquire_owned(self: &Rc<Self>, borrower: Borrower) -> OwnedCapacityToken {
        self.take_on_behalf_of(&borrower).await;
        OwnedCapacityToken { limiter: Rc::clone(self), borrower }
    }

    /// Takes a token for a borrower if there is one. Not a checkpoint.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`] if there is none.
    ///
    /// # Panics
    ///
    /// If the borrower has a token of this limiter or waits for one.
    #[track_caller]
    pub fn try_acquire_on_behalf_of(&self, borrower: Borrower) -> Result<CapacityToken<'_>, WouldBlock> {
        self.assert_has_none(&borrower);
        if !self.has_room() {
            return Err(WouldBlock);
        }
        self.lend(borrower.clone());
        Ok(CapacityToken { limiter: self, borrower })
    }

    /// A snapshot of the limiter. Not a checkpoint.
    ///
    /// # Examples
    ///
    /// ```
    /// let statistics = trio::CapacityLimiter::new(3).statistics();
    /// assert_eq!((statistics.borrowed_tokens, statistics.total_tokens, statistics.tasks_waiting), (0, 3, 0));
    /// ```
    pub fn statistics(&self) -> CapacityLimiterStatistics {
        let standings = self.borrowers.borrow();
        let mut holding: Vec<_> = standings
            .iter()
            .filter_map(|(borrower, standing)| match standing {
                Standing::Holding(number) => Some((*number, borrower.clone())),
                Standing::Waiting => None,
            })
            .collect();
        holding.sort_unstable_by_key(|(number, _)| *number);
        CapacityLimiterStatistics {
            borrowed_tokens: self.borrowed.get(),
            total_tokens: self.total.get(),
            borrowers: holding.into_iter().map(|(_, borrower)| borrower).collect(),
            tasks_waiting: self.waiters.len(),
        }
    }

    /// Takes a token for a borrower, who has to [give it back](Self::take_back).
    async fn take_on_behalf_of(&self, borrower: &Borrower) {
        self.assert_has_none(borrower);
        Operation::new(Acquire { limiter: self, borrower }, borrower.clone()).await;
    }

    #[track_caller]
    fn assert_has_none(&self, borrower: &Borrower) {
        match self.borrowers.borrow().get(borrower) {
            None => {}
            Some(Standing::Holding(_)) => panic!("{borrower:?} has one of this CapacityLimiter's tokens already"),
            Some(Standing::Waiting) => panic!("{borrower:?} waits for one of this CapacityLimiter's tokens already"),
        }
    }

    fn has_room(&self) -> bool {
        self.borrowed.get() < self.total.get()
    }

    fn lend(&self, borrower: Borrower) {
        let number = self.taken.get();
        self.taken.set(number + 1);
        self.borrowed.set(self.borrowed.get() + 1);
        self.borrowers.borrow_mut().insert(borrower, Standing::Holding(number));
    }

    /// Gives tokens to those who wait, as far as there are any.
    fn hand_out(&self) {
        while self.has_room() && self.waiters.hand_off(|borrower| self.lend(borrower)) {}
    }

    fn take_back(&self, borrower: &Borrower) {
        self.borrowers.borrow_mut().remove(borrower);
        self.borrowed.set(self.borrowed.get() - 1);
        self.hand_out();
    }
}

/// What [`CapacityLimiter::acquire_on_behalf_of`] asks for.
struct Acquire<'a> {
    limiter: &'a CapacityLimiter,
    borrower: &'a Borrower,
}

impl Request for Acquire<'_> {
    type Payload = Borrower;
    type Grant = ();

    fn queue(&self) -> &WaitQueue<Borrower, ()> {
        &self.limiter.waiters
    }

    fn attempt(&self, borrower: &mut Option<Borrower>) -> Option<()> {
        if !self.limiter.has_room() {
            return None;
        }
        self.limiter.lend(borrower.take()?);
        Some(())
    }

    fn give_back(&self, _grant: ()) {
        self.limiter.take_back(self.borrower);
    }

    fn entered(&self) {
        self.limiter.borrowers.borrow_mut().insert(self.borrower.clone(), Standing::Waiting);
    }

    fn left(&self) {
        self.limiter.borrowers.borrow_mut().remove(self.borrower);
    }
}

impl fmt::Debug for CapacityLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CapacityLimiter")
            .field("borrowed", &self.borrowed.get())
            .field("total", &self.total.get())
            .field("waiting", &self.waiters.len())
            .finish()
    }
}

/// One of a [`CapacityLimiter`]'s tokens; goes back when dropped.
#[derive(Debug)]
#[must_use = "a token that is dropped at once goes back at once: bind it"]
pub struct CapacityToken<'a> {
    limiter: &'a CapacityLimiter,
    borrower: Borrower,
}

impl CapacityToken<'_> {
    /// Who has it.
    ///
    /// # Examples
    ///
    /// ```
    /// use trio::{Borrower, CapacityLimiter};
    /// let limiter = CapacityLimiter::new(1);
    /// let token = limiter.try_acquire_on_behalf_of(Borrower::new("me")).unwrap();
    /// assert_eq!(token.borrower().name(), "me");
    /// # drop(token);
    /// ```
    pub const fn borrower(&self) -> &Borrower {
        &self.borrower
    }
}

impl Drop for CapacityToken<'_> {
    fn drop(&mut self) {
        self.limiter.take_back(&self.borrower);
    }
}

/// One of a [`CapacityLimiter`]'s tokens that keeps the limiter alive; goes back when dropped.
///
/// # Examples
///
/// ```
/// use std::rc::Rc;
/// use trio::{Borrower, CapacityLimiter, OwnedCapacityToken};
/// /// A connection with its place among those that are allowed.
/// struct Connection {
///     place: OwnedCapacityToken,
/// }
/// trio::run(async {
///     let limiter = Rc::new(CapacityLimiter::new(10));
///     let connection = Connection { place: limiter.acquire_owned(Borrower::current_task()).await };
///     assert_eq!(connection.place.limiter().borrowed_tokens(), 1);
///     drop(connection);
///     assert_eq!(limiter.borrowed_tokens(), 0);
/// });
/// ```
#[derive(Debug)]
#[must_use = "a token that is dropped at once goes back at once: bind it"]
pub struct OwnedCapacityToken {
    limiter: Rc<CapacityLimiter>,
    borrower: Borrower,
}

impl OwnedCapacityToken {
    /// Who has it.
    pub const fn borrower(&self) -> &Borrower {
        &self.borrower
    }

    /// Whose it is.
    pub const fn limiter(&self) -> &Rc<CapacityLimiter> {
        &self.limiter
    }
}

impl Drop for OwnedCapacityToken {
    fn drop(&mut self) {
        self.limiter.take_back(&self.borrower);
    }
}

/// Who has a [`CapacityLimiter`]'s token: a task, or somebody else with a name.
///
/// Clones are the same borrower. Two that were made with [`new`](Self::new) are different, whatever their names.
///
/// # Examples
///
/// ```
/// use trio::Borrower;
/// let worker = Borrower::new("worker");
/// assert_eq!(worker, worker.clone());
/// assert_ne!(worker, Borrower::new("worker"));
/// ```
#[derive(Clone)]
pub struct Borrower(Who);

#[derive(Clone)]
enum Who {
    Task(Owner),
    Named(Rc<str>),
}

impl Borrower {
    /// A new borrower that is no task: what Trio's `acquire_on_behalf_of` takes any object for.
    pub fn new(name: impl Into<Rc<str>>) -> Self {
        // An empty text would have no allocation of its own to be told from others by.
        let name: Rc<str> = name.into();
        Self(Who::Named(if name.is_empty() { "<no name>".into() } else { name }))
    }

    /// The running task as a borrower.
    ///
    /// # Panics
    ///
    /// Outside a run.
    ///
    /// # Examples
    ///
    /// ```
    /// trio::run(async {
    ///     let borrower = trio::Borrower::current_task();
    ///     assert_eq!(borrower.task(), Some(trio::lowlevel::current_task()));
    /// });
    /// ```
    #[track_caller]
    pub fn current_task() -> Self {
        Self(Who::Task(Owner::current().expect("only a task can borrow for itself: this is no trio run")))
    }

    /// The task, if it is one and has not ended.
    pub fn task(&self) -> Option<Task> {
        match &self.0 {
            Who::Task(owner) => owner.task(),
            Who::Named(_) => None,
        }
    }

    /// The name that it was made with; for a task, the task's name, or a number if it has ended.
    pub fn name(&self) -> String {
        match &self.0 {
            Who::Named(name) => name.as_ref().to_owned(),
            Who::Task(owner) => {
                owner.task().map_or_else(|| format!("task {}", owner.id()), |task| task.name().to_owned())
            }
        }
    }
}

impl PartialEq for Borrower {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Who::Task(one), Who::Task(other)) => one == other,
            (Who::Named(one), Who::Named(other)) => Rc::ptr_eq(one, other),
            _ => false,
        }
    }
}

impl Eq for Borrower {}

impl Hash for Borrower {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match &self.0 {
            Who::Task(owner) => owner.id().hash(state),
            Who::Named(name) => ptr::hash(Rc::as_ptr(name).cast::<u8>(), state),
        }
    }
}

impl fmt::Debug for Borrower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Borrower").field(&self.name()).finish()
    }
}

/// A snapshot of a [`CapacityLimiter`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CapacityLimiterStatistics {
    /// How many tokens are with borrowers.
    pub borrowed_tokens: usize,
    /// How many tokens there are; `usize::MAX`: no limit.
    pub total_tokens: usize,
    /// Who has a token, in the order in which they got them.
    pub borrowers: Vec<Borrower>,
    /// How many tasks wait.
    pub tasks_waiting: usize,
}
