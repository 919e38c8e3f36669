//! Locks and semaphores under contention: 100 tasks want what few can have, and each yields while it has it, so that all
//! others are in the queue. So nearly every acquisition is a hand-off: a release, a wake, a turn of the next task.
//!
//! The primitives are each runtime's own: trio's, tokio's, and `async-lock`'s on smol. trio and tokio hand over in the
//! order of the queue; `async-lock` lets a newcomer in before those who wait, its mutex until one of them has starved.

use std::rc::Rc;
use std::time::Instant;

use crate::harness::{Benchmark, Sample};
use crate::hosts;
use crate::options::Scale;
use crate::parts::bare_yield;

const TASKS: u64 = 100;
const PERMITS: usize = 10;

pub(crate) fn benchmarks(scale: Scale) -> [Benchmark; 2] {
    let turns = scale.of(500);
    let locks = Benchmark::new("lock hand-off", "100 tasks that each take one lock 500 times; time per hand-off.")
        .contender("trio Lock", move || hosts::trio(on_trio::<trio::Lock<u64>>(turns)))
        .contender("tokio LocalRuntime, Mutex", move || {
            hosts::tokio_local_runtime(on_tokio::<tokio::sync::Mutex<u64>>(turns))
        })
        .contender("tokio LocalSet, Mutex", move || hosts::tokio_local_set(on_tokio::<tokio::sync::Mutex<u64>>(turns)))
        .contender("smol, async-lock Mutex", move || {
            hosts::smol(move |executor| on_smol::<async_lock::Mutex<u64>>(executor, turns))
        })
        .goal("trio Lock", "tokio LocalRuntime, Mutex", 1.0)
        .goal("trio Lock", "smol, async-lock Mutex", 1.0);
    let semaphores = Benchmark::new(
        "semaphore",
        "100 tasks that each take one of ten permits 500 times; time per permit taken and given back.",
    )
    .contender("trio Semaphore", move || hosts::trio(on_trio::<trio::Semaphore>(turns)))
    .contender("tokio LocalRuntime, Semaphore", move || {
        hosts::tokio_local_runtime(on_tokio::<tokio::sync::Semaphore>(turns))
    })
    .contender("tokio LocalSet, Semaphore", move || hosts::tokio_local_set(on_tokio::<tokio::sync::Semaphore>(turns)))
    .contender("smol, async-lock Semaphore", move || {
        hosts::smol(move |executor| on_smol::<async_lock::Semaphore>(executor, turns))
    })
    .goal("trio Semaphore", "tokio LocalRuntime, Semaphore", 1.0)
    .goal("trio Semaphore", "smol, async-lock Semaphore", 1.0);
    [locks, semaphores]
}

/// Something that few have at once.
trait Gate: 'static {
    fn open() -> Self;
    /// Waits for it, has it for one yield, and gives it back.
    async fn pass(&self);
}

/// What each of the tasks does.
async fn visit(gate: &impl Gate, turns: u64) {
    for _ in 0..turns {
        gate.pass().await;
    }
}

async fn on_trio<G: Gate>(turns: u64) -> Sample {
    let gate = G::open();
    let start = Instant::now();
    trio::nursery! { |n|
        for _ in 0..TASKS {
            n.start_soon(visit(&gate, turns));
        }
    }
    Sample::new(start.elapsed(), TASKS * turns)
}

async fn on_tokio<G: Gate>(turns: u64) -> Sample {
    let gate = Rc::new(G::open());
    let start = Instant::now();
    let spawn = |gate: Rc<G>| tokio::task::spawn_local(async move { visit(&*gate, turns).await });
    let handles: Vec<_> = (0..TASKS).map(|_| spawn(Rc::clone(&gate))).collect();
    for handle in handles {
        handle.await.expect("visiting can't panic");
    }
    Sample::new(start.elapsed(), TASKS * turns)
}

async fn on_smol<G: Gate>(executor: Rc<smol::LocalExecutor<'static>>, turns: u64) -> Sample {
    let gate = Rc::new(G::open());
    let start = Instant::now();
    let spawn = |gate: Rc<G>| executor.spawn(async move { visit(&*gate, turns).await });
    let tasks: Vec<_> = (0..TASKS).map(|_| spawn(Rc::clone(&gate))).collect();
    for task in tasks {
        task.await;
    }
    Sample::new(start.elapsed(), TASKS * turns)
}

impl Gate for trio::Lock<u64> {
    fn open() -> Self {
        Self::new(0)
    }

    async fn pass(&self) {
        let mut value = self.lock().await;
        bare_yield().await;
        *value += 1;
    }
}

impl Gate for tokio::sync::Mutex<u64> {
    fn open() -> Self {
        Self::new(0)
    }

    async fn pass(&self) {
        let mut value = self.lock().await;
        bare_yield().await;
        *value += 1;
    }
}

impl Gate for async_lock::Mutex<u64> {
    fn open() -> Self {
        Self::new(0)
    }

    async fn pass(&self) {
        let mut value = self.lock().await;
        bare_yield().await;
        *value += 1;
    }
}

impl Gate for trio::Semaphore {
    fn open() -> Self {
        Self::new(PERMITS)
    }

    async fn pass(&self) {
        let _permit = self.acquire().await;
        bare_yield().await;
    }
}

impl Gate for tokio::sync::Semaphore {
    fn open() -> Self {
        Self::new(PERMITS)
    }

    async fn pass(&self) {
        let _permit = self.acquire().await.expect("nobody closes it");
        bare_yield().await;
    }
}

impl Gate for async_lock::Semaphore {
    fn open() -> Self {
        Self::new(PERMITS)
    }

    async fn pass(&self) {
        let _permit = self.acquire().await;
        bare_yield().await;
    }
}
