//! The primitives as the generic tests see them: something that is waited for in line.

use std::pin::Pin;

use futures::FutureExt;
use trio::{
    AsyncValue, Barrier, CapacityLimiter, Condition, Event, Lock, LockGuard, MemoryReceiver, MemorySender, ParkingLot,
    RwLock, RwLockReadGuard, RwLockWriteGuard, Semaphore, open_memory_channel,
};

use super::gate::Gate;

/// An operation that waits in line, with what makes it wait and what lets it go on.
pub(super) trait Subject {
    /// Whether all who wait go on together. Otherwise one does, and the next one when its pass is dropped or when it is
    /// opened again.
    const TOGETHER: bool = false;

    /// Whether the turn of a wait that is dropped is the next one's.
    const PASSES_ON: bool = true;

    /// What a wait gives.
    type Pass<'a>
    where
        Self: 'a;

    /// What is kept between shutting and opening.
    type Held<'a>
    where
        Self: 'a;

    /// Sees to it that whoever comes now has to wait.
    fn shut(&self) -> Self::Held<'_>;

    /// Lets the one go on who has waited longest, or all.
    fn open<'a>(&'a self, held: &mut Self::Held<'a>);

    /// The operation. While it is shut, its first poll takes it into the queue.
    async fn wait(&self) -> Self::Pass<'_>;

    /// Checks all that the primitive tells of itself against whether somebody holds it shut, and how many wait.
    fn assert_statistics(&self, shut: bool, waiting: usize);

    /// Checks that nobody waits and nobody is inside.
    fn assert_over(&self) {
        self.assert_statistics(false, 0);
    }
}

/// Makes subjects of gates: whoever is inside keeps the others waiting.
macro_rules! gates {
    ($($gate:ty: |$this:ident, $shut:ident, $waiting:ident| $check:block)*) => {
        $(impl Subject for $gate {
            type Pass<'a> = <Self as Gate>::Pass<'a>;
            type Held<'a> = Option<<Self as Gate>::Pass<'a>>;

            fn shut(&self) -> Self::Held<'_> {
                let held = self.try_enter();
                assert!(held.is_some(), "it is free to begin with");
                held
            }

            fn open<'a>(&'a self, held: &mut Self::Held<'a>) {
                *held = None;
            }

            async fn wait(&self) -> <Self as Gate>::Pass<'_> {
                self.enter().await
            }

            fn assert_statistics(&self, $shut: bool, $waiting: usize) {
                let $this = self;
                $check
            }
        })*
    };
}

gates! {
    Lock<()>: |this, shut, waiting| {
        let statistics = this.statistics();
        assert_eq!((statistics.locked, statistics.tasks_waiting), (shut, waiting));
        assert_eq!((this.is_locked(), statistics.owner.is_some()), (shut, shut));
    }
    Condition: |this, shut, waiting| {
        let statistics = this.statistics();
        let lock = statistics.lock_statistics;
        assert_eq!((statistics.tasks_waiting, lock.locked, lock.tasks_waiting), (0, shut, waiting));
    }
    RwLock<()>: |this, shut, waiting| {
        let statistics = this.statistics();
        assert_eq!((statistics.written, statistics.readers), (shut, 0));
        assert_eq!((statistics.tasks_waiting_write, statistics.tasks_waiting_read), (waiting, 0));
    }
    Semaphore: |this, shut, waiting| {
        assert_eq!((this.value(), this.statistics().tasks_waiting), (usize::from(!shut), waiting));
    }
    CapacityLimiter: |this, shut, waiting| {
        let (statistics, borrowed) = (this.statistics(), usize::from(shut));
        assert_eq!((statistics.total_tokens, statistics.tasks_waiting), (1, waiting));
        assert_eq!((statistics.borrowed_tokens, statistics.borrowers.len()), (borrowed, borrowed));
    }
}

/// A reader-writer lock that is read under.
pub(super) struct Read(pub(super) RwLock<()>);

impl Subject for Read {
    const TOGETHER: bool = true;
    type Pass<'a> = RwLockReadGuard<'a, ()>;
    type Held<'a> = Option<RwLockWriteGuard<'a, ()>>;

    fn shut(&self) -> Self::Held<'_> {
        self.0.shut()
    }

    fn open<'a>(&'a self, held: &mut Self::Held<'a>) {
        self.0.open(held);
    }

    async fn wait(&self) -> RwLockReadGuard<'_, ()> {
        self.0.read().await
    }

    fn assert_statistics(&self, shut: bool, waiting: usize) {
        let statistics = self.0.statistics();
        assert_eq!(statistics.written, shut);
        assert_eq!((statistics.tasks_waiting_write, statistics.tasks_waiting_read), (0, waiting));
    }

    fn assert_over(&self) {
        self.assert_statistics(false, 0);
        assert_eq!(self.0.statistics().readers, 0);
    }
}

/// A condition that is waited for, where the notified come back with the lock.
pub(super) struct Notification(pub(super) Condition);

impl Subject for Notification {
    type Pass<'a> = LockGuard<'a, ()>;
    type Held<'a> = ();

    fn shut(&self) {}

    fn open(&self, (): &mut ()) {
        let guard = self.0.try_lock().expect("nobody notified has the lock any more");
        self.0.notify(1);
        drop(guard);
    }

    async fn wait(&self) -> LockGuard<'_, ()> {
        let guard = self.0.try_lock().expect("all who came before wait");
        self.0.wait(guard).await
    }

    fn assert_statistics(&self, _shut: bool, waiting: usize) {
        let statistics = self.0.statistics();
        assert_eq!((statistics.tasks_waiting, statistics.lock_statistics.tasks_waiting), (waiting, 0));
    }
}

impl Subject for ParkingLot {
    type Pass<'a> = ();
    type Held<'a> = ();

    fn shut(&self) {}

    fn open(&self, (): &mut ()) {
        assert_eq!(self.unpark(1), 1);
    }

    async fn wait(&self) {
        self.park().await.expect("nobody breaks it");
    }

    fn assert_statistics(&self, _shut: bool, waiting: usize) {
        assert_eq!((self.statistics().tasks_waiting, self.len(), self.is_empty()), (waiting, waiting, waiting == 0));
    }
}

impl Subject for Event {
    const TOGETHER: bool = true;
    type Pass<'a> = ();
    type Held<'a> = ();

    fn shut(&self) {}

    fn open(&self, (): &mut ()) {
        self.set();
    }

    async fn wait(&self) {
        Self::wait(self).await;
    }

    fn assert_statistics(&self, shut: bool, waiting: usize) {
        assert_eq!((self.is_set(), self.statistics().tasks_waiting), (!shut, waiting));
    }
}

impl Subject for AsyncValue<bool> {
    const TOGETHER: bool = true;
    type Pass<'a> = bool;
    type Held<'a> = ();

    fn shut(&self) {}

    fn open(&self, (): &mut ()) {
        self.set(true);
    }

    async fn wait(&self) -> bool {
        self.wait_value(|open| *open).await
    }

    fn assert_statistics(&self, shut: bool, waiting: usize) {
        assert_eq!((self.get(), self.statistics().tasks_waiting), (!shut, waiting));
    }
}

/// A barrier for more than come by themselves.
pub(super) struct Meeting(Barrier);

impl Meeting {
    const PARTIES: usize = 8;

    pub(super) const fn new() -> Self {
        Self(Barrier::new(Self::PARTIES))
    }
}

impl Subject for Meeting {
    const TOGETHER: bool = true;
    type Pass<'a> = bool;
    /// Those who come to make the round complete.
    type Held<'a> = Vec<Pin<Box<dyn Future<Output = bool> + 'a>>>;

    fn shut(&self) -> Self::Held<'_> {
        Vec::new()
    }

    fn open<'a>(&'a self, held: &mut Self::Held<'a>) {
        loop {
            let before = self.0.statistics().tasks_waiting;
            let mut comes: Pin<Box<dyn Future<Output = bool> + 'a>> = Box::pin(self.0.wait());
            let at_once = (&mut comes).now_or_never();
            held.push(comes);
            // Who is not in the queue after that was the last to come.
            if at_once.is_some() || self.0.statistics().tasks_waiting <= before {
                return;
            }
        }
    }

    async fn wait(&self) -> bool {
        self.0.wait().await
    }

    fn assert_statistics(&self, _shut: bool, waiting: usize) {
        let statistics = self.0.statistics();
        assert_eq!((statistics.parties, statistics.tasks_waiting), (Self::PARTIES, waiting));
    }
}

/// The receiving side of a channel, which is empty.
pub(super) struct Receive(MemorySender<()>, MemoryReceiver<()>);

impl Receive {
    pub(super) fn new(capacity: usize) -> Self {
        let (sender, receiver) = open_memory_channel(capacity);
        Self(sender, receiver)
    }
}

impl Subject for Receive {
    type Pass<'a> = ();
    type Held<'a> = ();

    fn shut(&self) {}

    fn open(&self, (): &mut ()) {
        self.0.try_send(()).expect("somebody waits for it");
    }

    async fn wait(&self) {
        self.1.receive().await.expect("the sender is open");
    }

    fn assert_statistics(&self, _shut: bool, waiting: usize) {
        let statistics = self.1.statistics();
        assert_eq!((statistics.tasks_waiting_receive, statistics.tasks_waiting_send), (waiting, 0));
        assert_eq!((statistics.current_buffer_used, statistics.peak_buffer_used), (0, 0));
        assert_eq!((statistics.open_senders, statistics.open_receivers), (1, 1));
        assert_eq!(statistics, self.0.statistics());
    }
}

/// The sending side of a channel, which is full.
pub(super) struct Send(MemorySender<()>, MemoryReceiver<()>);

impl Send {
    pub(super) fn new(capacity: usize) -> Self {
        let (sender, receiver) = open_memory_channel(capacity);
        Self(sender, receiver)
    }
}

impl Subject for Send {
    /// What was taken from a sender is sent, and stays so.
    const PASSES_ON: bool = false;
    type Pass<'a> = ();
    type Held<'a> = ();

    fn shut(&self) {
        while self.0.try_send(()).is_ok() {}
    }

    fn open(&self, (): &mut ()) {
        self.1.try_receive().expect("somebody has sent something");
    }

    async fn wait(&self) {
        self.0.send(()).await.expect("the receiver is open");
    }

    fn assert_statistics(&self, _shut: bool, waiting: usize) {
        let statistics = self.0.statistics();
        assert_eq!((statistics.tasks_waiting_send, statistics.tasks_waiting_receive), (waiting, 0));
        assert_eq!(statistics.current_buffer_used, statistics.max_buffer_size, "full all the time");
        assert_eq!((statistics.open_senders, statistics.open_receivers), (1, 1));
        assert_eq!(statistics, self.1.statistics());
    }
}
