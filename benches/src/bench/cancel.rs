//! Cancelling 100,000 parked tasks: from the call that cancels them to the moment the last future is gone.
//!
//! Once with tasks that wait for nothing, once with tasks that sleep, whose deadlines have to be taken off watch.
//! trio cancels a scope and leaves it; tokio's `JoinSet` is shut down, which waits; where dropping a handle only asks
//! for the end (tokio's `abort`, smol's and glommio's `Task`), the body yields until the last task is gone, and that
//! is in the time. monoio can't cancel a task, and is not here.

use std::future::Future;
use std::time::{Duration, Instant};

use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};

use crate::harness::{Benchmark, Sample};
use crate::hosts;
use crate::options::Scale;
use crate::parts::{Census, be_present};

const HOUR: Duration = Duration::from_secs(3_600);

pub(crate) fn benchmarks(scale: Scale) -> [Benchmark; 2] {
    let tasks = scale.of(100_000);
    let parked = Benchmark::new("cancel, parked", "100,000 parked tasks cancelled, until all are gone; time per task.")
        .at_most(7)
        .contender("trio", move || hosts::trio(on_trio(tasks, be_present)))
        .contender("tokio LocalRuntime abort", move || hosts::tokio_local_runtime(on_tokio_abort(tasks, be_present)))
        .contender("tokio LocalRuntime JoinSet", move || hosts::tokio_local_runtime(on_tokio_set(tasks, be_present)))
        .contender("tokio LocalSet abort", move || hosts::tokio_local_set(on_tokio_abort(tasks, be_present)))
        .contender("smol", move || hosts::smol(move |executor| on_smol(executor, tasks, be_present)))
        .contender("FuturesUnordered", move || hosts::futures(on_futures(tasks, be_present)));
    #[cfg(target_os = "linux")]
    let parked = parked.contender("glommio", move || hosts::glommio(on_glommio(tasks, be_present)));

    let asleep = Benchmark::new("cancel, asleep", "The same with tasks that sleep for an hour; time per task.")
        .at_most(7)
        .contender("trio", move || hosts::trio(on_trio(tasks, |census| asleep(census, trio::sleep(HOUR)))))
        .contender("tokio LocalRuntime abort", move || {
            hosts::tokio_local_runtime(on_tokio_abort(tasks, |census| asleep(census, tokio::time::sleep(HOUR))))
        })
        .contender("tokio LocalRuntime JoinSet", move || {
            hosts::tokio_local_runtime(on_tokio_set(tasks, |census| asleep(census, tokio::time::sleep(HOUR))))
        })
        .contender("tokio LocalSet abort", move || {
            hosts::tokio_local_set(on_tokio_abort(tasks, |census| asleep(census, tokio::time::sleep(HOUR))))
        })
        .contender("smol", move || {
            hosts::smol(move |executor| on_smol(executor, tasks, |census| asleep(census, smol::Timer::after(HOUR))))
        });
    #[cfg(target_os = "linux")]
    let asleep = asleep.contender("glommio", move || {
        hosts::glommio(on_glommio(tasks, |census| self::asleep(census, glommio::timer::sleep(HOUR))))
    });
    [parked, asleep]
}

/// What a sleeping task runs.
async fn asleep(census: Census, sleep: impl Future) {
    let _present = census.enter();
    sleep.await;
}

async fn on_trio<F: Future<Output = ()>>(tasks: u64, task: impl Fn(Census) -> F) -> Sample {
    let census = Census::default();
    let start = std::cell::Cell::new(Instant::now());
    let cancelled = trio::cancel_scope! { |scope|
        trio::nursery! { |n|
            for _ in 0..tasks {
                n.start_soon(task(census.clone()));
            }
            while census.count() < tasks {
                trio::checkpoint().await;
            }
            start.set(Instant::now());
            scope.cancel();
        }
    };
    let elapsed = start.get().elapsed();
    assert_eq!((cancelled, census.count()), (None, 0));
    Sample::new(elapsed, tasks)
}

async fn on_tokio_abort<F: Future<Output = ()> + 'static>(tasks: u64, task: impl Fn(Census) -> F) -> Sample {
    let census = Census::default();
    let handles: Vec<_> = (0..tasks).map(|_| tokio::task::spawn_local(task(census.clone()))).collect();
    while census.count() < tasks {
        tokio::task::yield_now().await;
    }
    let start = Instant::now();
    for handle in handles {
        handle.abort();
    }
    while census.count() > 0 {
        tokio::task::yield_now().await;
    }
    Sample::new(start.elapsed(), tasks)
}

async fn on_tokio_set<F: Future<Output = ()> + 'static>(tasks: u64, task: impl Fn(Census) -> F) -> Sample {
    let census = Census::default();
    let mut set = tokio::task::JoinSet::new();
    for _ in 0..tasks {
        set.spawn_local(task(census.clone()));
    }
    while census.count() < tasks {
        tokio::task::yield_now().await;
    }
    let start = Instant::now();
    set.shutdown().await;
    let elapsed = start.elapsed();
    assert_eq!(census.count(), 0);
    Sample::new(elapsed, tasks)
}

async fn on_smol<F: Future<Output = ()> + 'static>(
    executor: std::rc::Rc<smol::LocalExecutor<'static>>,
    tasks: u64,
    task: impl Fn(Census) -> F,
) -> Sample {
    let census = Census::default();
    let handles: Vec<_> = (0..tasks).map(|_| executor.spawn(task(census.clone()))).collect();
    while census.count() < tasks {
        smol::future::yield_now().await;
    }
    let start = Instant::now();
    drop(handles);
    while census.count() > 0 {
        smol::future::yield_now().await;
    }
    Sample::new(start.elapsed(), tasks)
}

async fn on_futures<F: Future<Output = ()>>(tasks: u64, task: impl Fn(Census) -> F) -> Sample {
    let census = Census::default();
    let mut children: FuturesUnordered<LocalBoxFuture<'_, ()>> = FuturesUnordered::new();
    for _ in 0..tasks {
        children.push(Box::pin(task(census.clone())));
    }
    let mut all_parked = std::pin::pin!(children.next());
    std::future::poll_fn(|cx| {
        assert!(all_parked.as_mut().poll(cx).is_pending(), "parked tasks do not end");
        if census.count() < tasks { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
    })
    .await;
    let start = Instant::now();
    drop(children);
    let elapsed = start.elapsed();
    assert_eq!(census.count(), 0);
    Sample::new(elapsed, tasks)
}

#[cfg(target_os = "linux")]
async fn on_glommio<F: Future<Output = ()> + 'static>(tasks: u64, task: impl Fn(Census) -> F) -> Sample {
    let census = Census::default();
    let handles: Vec<_> = (0..tasks).map(|_| glommio::spawn_local(task(census.clone()))).collect();
    while census.count() < tasks {
        glommio::executor().yield_now().await;
    }
    let start = Instant::now();
    drop(handles);
    while census.count() > 0 {
        glommio::executor().yield_now().await;
    }
    Sample::new(start.elapsed(), tasks)
}
