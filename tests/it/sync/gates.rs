//! What all primitives have in common that let one in at a time, and locks made of channels; the rest is in `matrix`.

use std::cell::Cell;
use std::pin::pin;

use futures::FutureExt;
use futures::future::{Either, select};
use trio::{
    CapacityLimiter, Condition, Lock, MemoryReceiver, MemorySender, RwLock, Semaphore, StrictFifoLock,
    open_memory_channel,
};

use super::gate::Gate;
use crate::support::{Log, OnDrop, secs, settle, yields};

/// A lock made of a channel: what is in the buffer is the lock's holder.
struct Buffered(MemorySender<()>, MemoryReceiver<()>);

impl Gate for Buffered {
    type Pass<'a> = OnDrop<Box<dyn FnMut() + 'a>>;

    async fn enter(&self) -> Self::Pass<'_> {
        self.0.send(()).await.unwrap();
        OnDrop(Box::new(|| self.1.try_receive().unwrap()))
    }

    fn try_enter(&self) -> Option<Self::Pass<'_>> {
        self.0.try_send(()).ok()?;
        Some(OnDrop(Box::new(|| self.1.try_receive().unwrap())))
    }

    fn waiting(&self) -> usize {
        self.0.statistics().tasks_waiting_send
    }
}

/// A lock made of a channel: whoever has received the one value holds the lock.
struct Token(MemorySender<()>, MemoryReceiver<()>);

impl Token {
    fn new(capacity: usize) -> Self {
        let (sender, receiver) = open_memory_channel(capacity);
        sender.try_send(()).unwrap();
        Self(sender, receiver)
    }
}

impl Gate for Token {
    type Pass<'a> = OnDrop<Box<dyn FnMut() + 'a>>;

    async fn enter(&self) -> Self::Pass<'_> {
        self.1.receive().await.unwrap();
        OnDrop(Box::new(|| self.0.try_send(()).unwrap()))
    }

    fn try_enter(&self) -> Option<Self::Pass<'_>> {
        self.1.try_receive().ok()?;
        Some(OnDrop(Box::new(|| self.0.try_send(()).unwrap())))
    }

    fn waiting(&self) -> usize {
        self.0.statistics().tasks_waiting_receive
    }
}

/// A lock made of a channel where sender and receiver meet: who finds it held waits with a value.
struct Rendezvous {
    held: Cell<bool>,
    sender: MemorySender<()>,
    receiver: MemoryReceiver<()>,
}

impl Rendezvous {
    fn new() -> Self {
        let (sender, receiver) = open_memory_channel(0);
        Self { held: Cell::new(false), sender, receiver }
    }

    fn pass(&self) -> OnDrop<Box<dyn FnMut() + '_>> {
        OnDrop(Box::new(|| self.held.set(self.receiver.try_receive().is_ok())))
    }
}

impl Gate for Rendezvous {
    type Pass<'a> = OnDrop<Box<dyn FnMut() + 'a>>;

    async fn enter(&self) -> Self::Pass<'_> {
        if self.held.replace(true) {
            self.sender.send(()).await.unwrap();
        } else {
            trio::checkpoint().await;
        }
        self.pass()
    }

    fn try_enter(&self) -> Option<Self::Pass<'_>> {
        (!self.held.replace(true)).then(|| self.pass())
    }

    fn waiting(&self) -> usize {
        self.sender.statistics().tasks_waiting_send
    }
}

/// Whether somebody could enter now. Nobody waits, then.
fn is_free(gate: &impl Gate) -> bool {
    gate.waiting() == 0 && gate.try_enter().is_some()
}

async fn enter_and_say(gate: &impl Gate, log: &Log, name: &str) {
    let _pass = gate.enter().await;
    log.say(name);
    trio::checkpoint().await;
}

async fn excludes(gate: &impl Gate) {
    async fn work(gate: &impl Gate, inside: &Cell<bool>, count: &Cell<u32>) {
        for _ in 0..10 {
            let _pass = gate.enter().await;
            assert!(!inside.replace(true), "two at once");
            trio::checkpoint().await;
            trio::checkpoint().await;
            assert!(inside.replace(false));
            count.set(count.get() + 1);
        }
    }
    let (inside, count) = (Cell::new(false), Cell::new(0));
    trio::nursery! { |n|
        for _ in 0..5 {
            n.start_soon(work(gate, &inside, &count));
        }
    }
    assert_eq!(count.get(), 50);
    assert!(is_free(gate));
}

async fn is_a_checkpoint(gate: &impl Gate) {
    assert!(yields(gate.enter()).await, "though it need not wait");
    assert!(is_free(gate));
    let ended = trio::cancel_scope! { |scope|
        scope.cancel();
        drop(gate.enter().await);
    };
    assert_eq!(ended, None, "though it could be had");
    assert!(is_free(gate));
    let pass = gate.try_enter();
    assert!(pass.is_some());
    assert!(gate.try_enter().is_none(), "not re-entrant");
}

async fn is_fair(gate: &impl Gate) {
    let log = Log::new();
    trio::nursery! { |n|
        let pass = gate.enter().await;
        for name in ["a", "b", "c", "d"] {
            n.start_soon(enter_and_say(gate, &log, name));
            settle().await;
        }
        assert_eq!(gate.waiting(), 4);
        drop(pass);
        assert!(gate.try_enter().is_none(), "handed over at once");
        // Who had it and asks again is behind the others.
        enter_and_say(gate, &log, "again").await;
    }
    assert_eq!(log.lines(), ["a", "b", "c", "d", "again"]);
    assert!(is_free(gate));
}

async fn passes_on_what_a_dropped_waiter_was_granted(gate: &impl Gate) {
    let log = Log::new();
    trio::nursery! { |n|
        let pass = gate.enter().await;
        let mut given_up = Box::pin(gate.enter());
        assert!((&mut given_up).now_or_never().is_none());
        n.start_soon(enter_and_say(gate, &log, "next"));
        settle().await;
        drop(pass);
        drop(given_up);
        assert!(gate.try_enter().is_none(), "handed on at once");
        settle().await;
        assert_eq!(log.lines(), ["next"]);

        // With nobody to hand it on to, it is free; and so when the yield that it owes is what is dropped.
        let pass = gate.enter().await;
        let mut given_up = Box::pin(gate.enter());
        assert!((&mut given_up).now_or_never().is_none());
        drop(pass);
        drop(given_up);
        assert!(is_free(gate));
        let mut given_up = Box::pin(gate.enter());
        assert!((&mut given_up).now_or_never().is_none());
        drop(given_up);
        assert!(is_free(gate));
    }
}

async fn loses_nothing_to_a_select(gate: &impl Gate) {
    let log = Log::new();
    trio::nursery! { |n|
        n.start_soon(enter_and_say(gate, &log, "beside it"));
        n.start_soon(async {
            for _ in 0..5 {
                let (one, other) = (pin!(gate.enter()), pin!(gate.enter()));
                let pass = match select(one, other).await {
                    Either::Left((pass, _)) | Either::Right((pass, _)) => pass,
                };
                trio::checkpoint().await;
                drop(pass);
            }
            log.say("all won");
        });
    }
    assert_eq!(log.sorted(), ["all won", "beside it"]);
    assert!(is_free(gate));
}

async fn loses_nothing_to_timeouts(gate: &impl Gate) {
    async fn work(gate: &impl Gate, inside: &Cell<bool>, patience: u64) {
        for turn in 0..6 {
            let visit = async {
                let _pass = gate.enter().await;
                assert!(!inside.replace(true), "two at once");
                let _leave = OnDrop(|| inside.set(false));
                trio::sleep(secs(turn % 3)).await;
            };
            trio::move_on_after(secs(patience), visit).await;
        }
    }
    let inside = Cell::new(false);
    trio::nursery! { |n|
        for patience in 1..=6 {
            n.start_soon(work(gate, &inside, patience));
        }
    }
    assert!(is_free(gate));
}

macro_rules! gates {
    ($($kind:ident: $new:expr, [$($test:ident $((budget $budget:literal))?)*];)*) => {
        $(mod $kind {
            use super::*;

            $(#[trio::test(autojump, schedules = 200 $(, checkpoint_budget = $budget)?)]
            async fn $test() {
                super::$test(&$new).await;
            })*
        })*
    };
    ($($kind:ident: $new:expr;)*) => {
        gates! { $($kind: $new, [
            excludes
            is_a_checkpoint (budget 1)
            is_fair
            passes_on_what_a_dropped_waiter_was_granted (budget 1)
            loses_nothing_to_a_select
            loses_nothing_to_timeouts
        ];)* }
    };
}

// trio: _tests/test_sync.py::test_generic_lock_exclusion
gates! {
    lock: Lock::new(());
    strict_fifo_lock: StrictFifoLock::new(());
    condition: Condition::new(());
    rw_lock: RwLock::new(());
    semaphore: Semaphore::bounded(1, 1);
    capacity_limiter: CapacityLimiter::new(1);
    channel_token: Token::new(1);
    channel_unbounded: Token::new(usize::MAX);
}

gates! {
    // What goes wrong in these when a waiter goes away is the fault of how they are made of the channel.
    channel_buffer: buffered(), [excludes is_fair];
    channel_rendezvous: Rendezvous::new(), [excludes is_fair];
}

fn buffered() -> Buffered {
    let (sender, receiver) = open_memory_channel(1);
    Buffered(sender, receiver)
}
