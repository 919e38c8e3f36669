//! Futures and a channel that know no runtime: run on each of them, they compare the schedulers and nothing else.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Parks once and wakes itself at the same moment.
pub(crate) struct BareYield {
    parked: bool,
}

pub(crate) fn bare_yield() -> BareYield {
    BareYield { parked: false }
}

impl Future for BareYield {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.parked {
            return Poll::Ready(());
        }
        self.parked = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// A count of tasks that are there: raised when a task starts, lowered when its future is dropped.
/// It tells that every task was really polled, and that every one is really gone.
#[derive(Clone, Default)]
pub(crate) struct Census(Rc<Cell<u64>>);

/// One task in a [`Census`].
pub(crate) struct Present(Rc<Cell<u64>>);

impl Census {
    pub(crate) fn enter(&self) -> Present {
        self.0.set(self.0.get() + 1);
        Present(Rc::clone(&self.0))
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.get()
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// What a task that only has to be there runs: it counts itself in, then waits for nothing.
pub(crate) async fn be_present(census: Census) {
    let _present = census.enter();
    std::future::pending::<()>().await;
}

struct Shared {
    items: VecDeque<u64>,
    capacity: usize,
    receiver: Option<Waker>,
    sender: Option<Waker>,
}

/// The sending end of [`bare_channel`].
pub(crate) struct BareSender(Rc<RefCell<Shared>>);
/// The receiving end of [`bare_channel`].
pub(crate) struct BareReceiver(Rc<RefCell<Shared>>);

/// The least a bounded channel on one thread can be: a queue and two wakers, for one sender and one receiver that
/// both stay alive.
pub(crate) fn bare_channel(capacity: usize) -> (BareSender, BareReceiver) {
    let items = VecDeque::with_capacity(capacity);
    let shared = Rc::new(RefCell::new(Shared { items, capacity, receiver: None, sender: None }));
    (BareSender(Rc::clone(&shared)), BareReceiver(shared))
}

impl BareSender {
    pub(crate) async fn send(&mut self, value: u64) {
        poll_fn(|cx| {
            let mut shared = self.0.borrow_mut();
            if shared.items.len() == shared.capacity {
                shared.sender = Some(cx.waker().clone());
                return Poll::Pending;
            }
            shared.items.push_back(value);
            let receiver = shared.receiver.take();
            drop(shared);
            if let Some(waker) = receiver {
                waker.wake();
            }
            Poll::Ready(())
        })
        .await;
    }
}

impl BareReceiver {
    pub(crate) async fn receive(&mut self) -> u64 {
        poll_fn(|cx| {
            let mut shared = self.0.borrow_mut();
            let Some(value) = shared.items.pop_front() else {
                shared.receiver = Some(cx.waker().clone());
                return Poll::Pending;
            };
            let sender = shared.sender.take();
            drop(shared);
            if let Some(waker) = sender {
                waker.wake();
            }
            Poll::Ready(value)
        })
        .await
    }
}
