//! Synchronisation between tasks of one run: fair, with direct hand-off.
#![forbid(unsafe_code)]

mod async_value;
mod barrier;
mod broken;
mod capacity_limiter;
mod combinators;
mod condition;
mod event;
mod lock;
mod owner;
mod parking_lot;
mod rw_lock;
mod semaphore;
pub(crate) mod wait_queue;

pub use async_value::{AsyncValue, AsyncValueStatistics, Transitions};
pub use barrier::{Barrier, BarrierStatistics};
pub use broken::BrokenResourceError;
pub use capacity_limiter::{Borrower, CapacityLimiter, CapacityLimiterStatistics, CapacityToken, OwnedCapacityToken};
pub use combinators::{join, race, wait_all, wait_any};
pub use condition::{Condition, ConditionStatistics};
pub use event::{Event, EventStatistics};
pub use lock::{Lock, LockGuard, LockStatistics, StrictFifoLock, WouldBlock};
pub use parking_lot::{LotBreaker, ParkingLot, ParkingLotStatistics};
pub use rw_lock::{RwLock, RwLockReadGuard, RwLockStatistics, RwLockWriteGuard};
pub use semaphore::{ReleasedTooOftenError, Semaphore, SemaphorePermit, SemaphoreStatistics};
