//! A queue of waiting tasks, for those who write their own primitives.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use super::broken::BrokenResourceError;
use super::wait_queue::{Operation, Place, Request, WaitQueue};
use crate::kernel::view::{Task, current_task};

/// A fair queue of tasks that wait until somebody wakes them: Trio's `ParkingLot`.
///
/// It knows nothing of what they wait for: that is up to the primitive that is made of it, which can rely on the order,
/// and on a wake-up reaching a task or not happening. There are no spurious ones.
///
/// # Examples
///
/// A queue that has one item at a time:
///
/// ```
/// use std::cell::Cell;
/// use trio::ParkingLot;
///
/// #[derive(Default)]
/// struct Slot {
///     item: Cell<Option<u32>>,
///     takers: ParkingLot,
/// }
///
/// impl Slot {
///     fn put(&self, item: u32) {
///         self.item.set(Some(item));
///         self.takers.unpark(1);
///     }
///
///     async fn take(&self) -> u32 {
///         loop {
///             if let Some(item) = self.item.take() {
///                 return item;
///             }
///             self.takers.park().await.expect("nobody breaks this lot");
///         }
///     }
/// }
///
/// trio::run(async {
///     let slot = Slot::default();
///     trio::nursery! { |n|
///         let taker = n.spawn(slot.take());
///         trio::checkpoint().await;
///         slot.put(7);
///         assert_eq!(taker.join().await, Ok(7));
///     }
/// });
/// ```
#[derive(Default)]
pub struct ParkingLot {
    /// Shared with the tasks that were moved here from another lot.
    lot: Rc<Lot>,
}

struct Lot {
    waiters: WaitQueue<(), Parked>,
    broken_by: RefCell<Vec<Task>>,
}

/// How the stay of a task in a lot ends.
enum Parked {
    Unparked {
        /// Whether somebody else is to be woken if the task goes away.
        pass_on: bool,
    },
    Moved(Rc<Lot>, Place),
    Broken(BrokenResourceError),
}

impl Default for Lot {
    fn default() -> Self {
        Self { waiters: WaitQueue::new(), broken_by: RefCell::default() }
    }
}

impl Lot {
    fn unpark(&self, pass_on: bool) -> bool {
        self.waiters.hand_off(|()| Parked::Unparked { pass_on })
    }

    fn is_broken(&self) -> bool {
        !self.broken_by.borrow().is_empty()
    }

    fn break_by(&self, task: Task) {
        let error = BrokenResourceError::new(format!("Parking lot broken by {task:?}"));
        self.broken_by.borrow_mut().push(task);
        while self.waiters.hand_off(|()| Parked::Broken(error.clone())) {}
    }

    /// The error for who comes to a broken lot.
    fn refusal(&self) -> BrokenResourceError {
        let broken_by = self.broken_by.borrow();
        BrokenResourceError::new(format!("Attempted to park in parking lot broken by {broken_by:?}"))
    }
}

impl ParkingLot {
    /// A lot where nobody is parked.
    pub fn new() -> Self {
        Self::default()
    }

    /// Parks until somebody unparks this task.
    ///
    /// A checkpoint. Cancelling leaves the lot. If a task that [`unpark`](Self::unpark) has woken is dropped before it
    /// goes on, the next one is woken instead.
    ///
    /// # Errors
    ///
    /// [`BrokenResourceError`] if the lot is broken, or somebody breaks it in the meantime.
    pub async fn park(&self) -> Result<(), BrokenResourceError> {
        let mut parked = Operation::new(Park(Rc::clone(&self.lot)), ()).await;
        loop {
            match parked {
                Parked::Unparked { .. } => return Ok(()),
                Parked::Broken(error) => return Err(error),
                Parked::Moved(lot, place) => parked = Operation::adopt(Park(lot), place).await,
            }
        }
    }

    /// Wakes the `n` tasks that have been parked longest, and tells how many those were. Not a checkpoint.
    pub fn unpark(&self, n: usize) -> usize {
        (0..n).take_while(|_| self.lot.unpark(true)).count()
    }

    /// Wakes all parked tasks, and tells how many those were. Not a checkpoint.
    ///
    /// # Examples
    ///
    /// ```
    /// use trio::ParkingLot;
    /// trio::run(async {
    ///     let lot = ParkingLot::new();
    ///     trio::nursery! { |n|
    ///         for _ in 0..3 {
    ///             n.start_soon(async { lot.park().await.unwrap() });
    ///         }
    ///         trio::checkpoint().await;
    ///         assert_eq!(lot.unpark_all(), 3);
    ///         assert!(lot.is_empty());
    ///     }
    /// });
    /// ```
    pub fn unpark_all(&self) -> usize {
        // A wake-up for all is nobody's in particular: if one of them goes away, nobody else has missed anything.
        std::iter::from_fn(|| self.lot.unpark(false).then_some(())).count()
    }

    /// Moves the `n` tasks that have been parked longest to the end of another lot, without waking them, and tells how
    /// many those were. Not a checkpoint.
    ///
    /// If the other lot is broken, they are woken with [`BrokenResourceError`] instead.
    ///
    /// # Examples
    ///
    /// ```
    /// use trio::ParkingLot;
    /// trio::run(async {
    ///     let (here, there) = (ParkingLot::new(), ParkingLot::new());
    ///     trio::nursery! { |n|
    ///         let parked = n.spawn(here.park());
    ///         trio::checkpoint().await;
    ///         assert_eq!(here.repark(&there, 1), 1);
    ///         assert_eq!((here.len(), there.len()), (0, 1));
    ///         there.unpark(1);
    ///         assert_eq!(parked.join().await, Ok(Ok(())));
    ///     }
    /// });
    /// ```
    pub fn repark(&self, new_lot: &Self, n: usize) -> usize {
        // In the same lot, those who were moved would come first again.
        let same = Rc::ptr_eq(&self.lot, &new_lot.lot);
        let n = if same { n.min(self.lot.waiters.count_waiters()) } else { n };
        (0..n).take_while(|_| self.repark_one(new_lot)).count()
    }

    /// Moves all parked tasks to the end of another lot; see [`repark`](Self::repark).
    ///
    /// # Examples
    ///
    /// ```
    /// use trio::ParkingLot;
    /// trio::run(async {
    ///     let (here, there) = (ParkingLot::new(), ParkingLot::new());
    ///     trio::nursery! { |n|
    ///         for _ in 0..3 {
    ///             n.start_soon(async { here.park().await.unwrap() });
    ///         }
    ///         trio::checkpoint().await;
    ///         assert_eq!(here.repark_all(&there), 3);
    ///         assert_eq!(there.unpark_all(), 3);
    ///     }
    /// });
    /// ```
    pub fn repark_all(&self, new_lot: &Self) -> usize {
        self.repark(new_lot, usize::MAX)
    }

    fn repark_one(&self, new_lot: &Self) -> bool {
        if new_lot.lot.is_broken() {
            return self.lot.waiters.hand_off(|()| Parked::Broken(new_lot.lot.refusal()));
        }
        let moved = |place| Parked::Moved(Rc::clone(&new_lot.lot), place);
        self.lot.waiters.requeue(&new_lot.lot.waiters, |()| (), moved)
    }

    /// Breaks the lot in the name of the running task: all who are parked, and all who park from now on, get
    /// [`BrokenResourceError`]. Not a checkpoint.
    ///
    /// For primitives whose waiters wait for something that will not come any more. Breaking a broken lot adds to the
    /// list of who broke it.
    ///
    /// # Panics
    ///
    /// Outside a task.
    ///
    /// # Examples
    ///
    /// ```
    /// trio::run(async {
    ///     let lot = trio::ParkingLot::new();
    ///     lot.break_lot();
    ///     assert!(lot.park().await.is_err());
    /// });
    /// ```
    #[track_caller]
    pub fn break_lot(&self) {
        self.lot.break_by(current_task());
    }

    /// Breaks the lot in the name of any task, as [`break_lot`](Self::break_lot): Trio's `break_lot(task)`.
    ///
    /// # Examples
    ///
    /// ```
    /// trio::run(async {
    ///     let lot = trio::ParkingLot::new();
    ///     let task = trio::lowlevel::current_task();
    ///     lot.break_lot_by(task.clone());
    ///     assert_eq!(lot.broken_by(), [task]);
    /// });
    /// ```
    pub fn break_lot_by(&self, task: Task) {
        self.lot.break_by(task);
    }

    /// Makes a guard that breaks the lot in the name of the running task when it is dropped: when the task ends, by
    /// whichever way, unless it calls [`disarm`](LotBreaker::disarm) before. Trio's `add_parking_lot_breaker`.
    ///
    /// Each guard breaks the lot once.
    ///
    /// # Panics
    ///
    /// Outside a task.
    ///
    /// # Examples
    ///
    /// ```
    /// use trio::ParkingLot;
    /// trio::run(async {
    ///     let lot = ParkingLot::new();
    ///     trio::nursery! { |n|
    ///         n.start_soon(async {
    ///             let _breaker = lot.breaker();
    ///             trio::checkpoint().await; // what the others wait for; ends without having done it
    ///         });
    ///         assert!(lot.park().await.is_err());
    ///     }
    ///     assert_eq!(lot.broken_by().len(), 1);
    /// });
    /// ```
    #[track_caller]
    pub fn breaker(&self) -> LotBreaker {
        LotBreaker { lot: Rc::clone(&self.lot), task: Some(current_task()) }
    }

    /// Who broke the lot, in that order. Empty: it is not broken.
    pub fn broken_by(&self) -> Vec<Task> {
        self.lot.broken_by.borrow().clone()
    }

    /// How many tasks are parked.
    pub fn len(&self) -> usize {
        self.lot.waiters.len()
    }

    /// Whether no task is parked.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A snapshot of the lot. Not a checkpoint.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(trio::ParkingLot::new().statistics().tasks_waiting, 0);
    /// ```
    pub fn statistics(&self) -> ParkingLotStatistics {
        ParkingLotStatistics { tasks_waiting: self.len() }
    }
}

/// What [`ParkingLot::park`] asks of its lot.
struct Park(Rc<Lot>);

impl Request for Park {
    type Payload = ();
    type Grant = Parked;

    fn queue(&self) -> &WaitQueue<(), Parked> {
        &self.0.waiters
    }

    fn attempt(&self, _payload: &mut Option<()>) -> Option<Parked> {
        self.0.is_broken().then(|| Parked::Broken(self.0.refusal()))
    }

    fn give_back(&self, parked: Parked) {
        match parked {
            Parked::Unparked { pass_on: true } => {
                self.0.unpark(true);
            }
            Parked::Moved(lot, place) => drop(Operation::adopt(Self(lot), place)),
            Parked::Unparked { pass_on: false } | Parked::Broken(_) => {}
        }
    }
}

impl fmt::Debug for ParkingLot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("ParkingLot");
        debug.field("waiting", &self.len());
        if self.lot.is_broken() {
            debug.field("broken_by", &self.broken_by());
        }
        debug.finish()
    }
}

/// Breaks a [`ParkingLot`] when it is dropped; see [`ParkingLot::breaker`].
#[must_use = "a breaker that is dropped at once breaks the lot at once: bind it"]
pub struct LotBreaker {
    lot: Rc<Lot>,
    /// `None` when it has been disarmed.
    task: Option<Task>,
}

impl LotBreaker {
    /// Takes it away without breaking the lot: Trio's `remove_parking_lot_breaker`.
    ///
    /// # Examples
    ///
    /// ```
    /// trio::run(async {
    ///     let lot = trio::ParkingLot::new();
    ///     let breaker = lot.breaker();
    ///     breaker.disarm();
    ///     assert!(lot.broken_by().is_empty());
    /// });
    /// ```
    pub fn disarm(mut self) {
        self.task = None;
    }
}

impl Drop for LotBreaker {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            self.lot.break_by(task);
        }
    }
}

impl fmt::Debug for LotBreaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LotBreaker").field(&self.task).finish()
    }
}

/// A snapshot of a [`ParkingLot`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParkingLotStatistics {
    /// How many tasks are parked.
    pub tasks_waiting: usize,
}
