//! Primitives that let one in at a time, as the tests that they have in common see them.

use trio::{
    Borrower, CapacityLimiter, CapacityToken, Condition, Lock, LockGuard, RwLock, RwLockWriteGuard, Semaphore,
    SemaphorePermit,
};

/// Something that one at a time is let into, until the pass is dropped.
pub(super) trait Gate {
    type Pass<'a>
    where
        Self: 'a;

    async fn enter(&self) -> Self::Pass<'_>;

    fn try_enter(&self) -> Option<Self::Pass<'_>>;

    fn waiting(&self) -> usize;
}

impl Gate for Lock<()> {
    type Pass<'a> = LockGuard<'a, ()>;

    async fn enter(&self) -> LockGuard<'_, ()> {
        self.lock().await
    }

    fn try_enter(&self) -> Option<LockGuard<'_, ()>> {
        self.try_lock().ok()
    }

    fn waiting(&self) -> usize {
        self.statistics().tasks_waiting
    }
}

impl Gate for Condition {
    type Pass<'a> = LockGuard<'a, ()>;

    async fn enter(&self) -> LockGuard<'_, ()> {
        self.lock().await
    }

    fn try_enter(&self) -> Option<LockGuard<'_, ()>> {
        self.try_lock().ok()
    }

    fn waiting(&self) -> usize {
        self.statistics().lock_statistics.tasks_waiting
    }
}

impl Gate for RwLock<()> {
    type Pass<'a> = RwLockWriteGuard<'a, ()>;

    async fn enter(&self) -> RwLockWriteGuard<'_, ()> {
        self.write().await
    }

    fn try_enter(&self) -> Option<RwLockWriteGuard<'_, ()>> {
        self.try_write().ok()
    }

    fn waiting(&self) -> usize {
        self.statistics().tasks_waiting_write
    }
}

impl Gate for Semaphore {
    type Pass<'a> = SemaphorePermit<'a>;

    async fn enter(&self) -> SemaphorePermit<'_> {
        self.acquire().await
    }

    fn try_enter(&self) -> Option<SemaphorePermit<'_>> {
        self.try_acquire().ok()
    }

    fn waiting(&self) -> usize {
        self.statistics().tasks_waiting
    }
}

impl Gate for CapacityLimiter {
    type Pass<'a> = CapacityToken<'a>;

    /// Each time on behalf of somebody else, since one task may ask several times here.
    async fn enter(&self) -> CapacityToken<'_> {
        self.acquire_on_behalf_of(Borrower::new("one")).await
    }

    fn try_enter(&self) -> Option<CapacityToken<'_>> {
        self.try_acquire_on_behalf_of(Borrower::new("one")).ok()
    }

    fn waiting(&self) -> usize {
        self.statistics().tasks_waiting
    }
}
