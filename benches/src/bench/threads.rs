//! Blocking calls: an empty function sent to a worker thread, and its answer waited for.
//!
//! The worker threads are each runtime's own: trio's, tokio's `spawn_blocking`, and those of the `blocking` crate, which
//! smol calls `unblock`. One after another, a round trip is mostly the system's: two threads wake each other. With forty
//! at a time (trio's default limit) the queues count.

use std::rc::Rc;
use std::time::Instant;

use crate::harness::{Benchmark, Sample};
use crate::hosts;
use crate::options::Scale;

/// How many calls are under way at once in the second benchmark.
const ABREAST: u64 = 40;

pub(crate) fn benchmarks(scale: Scale) -> [Benchmark; 2] {
    [(1, "thread round trip"), (ABREAST, "thread round trip, 40 abreast")].map(|(tasks, name)| {
        let turns = scale.of(100_000 / tasks);
        Benchmark::new(name, "100,000 empty functions called on worker threads; time per call.")
            .at_most(5)
            .contender("trio to_thread", move || hosts::trio(on_trio(tasks, turns)))
            .contender("tokio LocalRuntime, spawn_blocking", move || hosts::tokio_local_runtime(on_tokio(tasks, turns)))
            .contender("tokio LocalSet, spawn_blocking", move || hosts::tokio_local_set(on_tokio(tasks, turns)))
            .contender("smol, blocking", move || hosts::smol(move |executor| on_smol(executor, tasks, turns)))
            .goal("trio to_thread", "tokio LocalRuntime, spawn_blocking", 1.0)
            .goal("trio to_thread", "smol, blocking", 1.0)
    })
}

async fn on_trio(tasks: u64, turns: u64) -> Sample {
    let start = Instant::now();
    trio::nursery! { |n|
        for _ in 0..tasks {
            n.start_soon(async move {
                for turn in 0..turns {
                    assert_eq!(trio::to_thread::run_sync(move || turn).await, turn);
                }
            });
        }
    }
    Sample::new(start.elapsed(), tasks * turns)
}

async fn on_tokio(tasks: u64, turns: u64) -> Sample {
    let start = Instant::now();
    let spawn = || {
        tokio::task::spawn_local(async move {
            for turn in 0..turns {
                assert_eq!(tokio::task::spawn_blocking(move || turn).await.ok(), Some(turn));
            }
        })
    };
    let handles: Vec<_> = (0..tasks).map(|_| spawn()).collect();
    for handle in handles {
        handle.await.expect("an empty function can't panic");
    }
    Sample::new(start.elapsed(), tasks * turns)
}

async fn on_smol(executor: Rc<smol::LocalExecutor<'static>>, tasks: u64, turns: u64) -> Sample {
    let start = Instant::now();
    let spawn = || {
        executor.spawn(async move {
            for turn in 0..turns {
                assert_eq!(smol::unblock(move || turn).await, turn);
            }
        })
    };
    let handles: Vec<_> = (0..tasks).map(|_| spawn()).collect();
    for handle in handles {
        handle.await;
    }
    Sample::new(start.elapsed(), tasks * turns)
}
