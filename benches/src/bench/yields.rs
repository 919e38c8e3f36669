//! Yield: 200 tasks, each of which lets the others run 1,000 times.
//!
//! Once with the runtime's own way to yield, which may do more than reschedule (trio's `checkpoint` also looks for
//! cancellation, tokio's `yield_now` waits for the driver's turn), and once with the same bare future everywhere,
//! which only wakes its own task.

use std::time::Instant;

use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};

use crate::harness::{Benchmark, Sample};
use crate::hosts;
use crate::options::Scale;
use crate::parts::bare_yield;

const TASKS: u64 = 200;

pub(crate) fn benchmarks(scale: Scale) -> [Benchmark; 2] {
    let yields = scale.of(1_000);
    let own = Benchmark::new("yield, own", "200 tasks × 1,000 yields, each runtime's own yield; time per yield.")
        .contender("trio checkpoint", move || hosts::trio(on_trio(yields, trio::checkpoint)))
        .contender("tokio LocalRuntime", move || hosts::tokio_local_runtime(on_tokio(yields, tokio::task::yield_now)))
        .contender("tokio LocalSet", move || hosts::tokio_local_set(on_tokio(yields, tokio::task::yield_now)))
        .contender("smol LocalExecutor", move || {
            hosts::smol(move |executor| on_smol(executor, yields, smol::future::yield_now))
        });
    #[cfg(target_os = "linux")]
    let own = own.contender("glommio", move || {
        hosts::glommio(on_glommio(yields, async || glommio::executor().yield_now().await))
    });
    let own = own.goal("trio checkpoint", "tokio LocalRuntime", 3.0);

    let bare = Benchmark::new("yield, bare", "The same with one runtime-agnostic yield for all; time per yield.")
        .contender("trio", move || hosts::trio(on_trio(yields, bare_yield)))
        .contender("tokio LocalRuntime", move || hosts::tokio_local_runtime(on_tokio(yields, bare_yield)))
        .contender("tokio LocalSet", move || hosts::tokio_local_set(on_tokio(yields, bare_yield)))
        .contender("smol LocalExecutor", move || hosts::smol(move |executor| on_smol(executor, yields, bare_yield)))
        .contender("FuturesUnordered", move || hosts::futures(on_futures(yields, bare_yield)))
        .contender("monoio", move || hosts::monoio(on_monoio(yields, bare_yield)));
    #[cfg(target_os = "linux")]
    let bare = bare.contender("glommio", move || hosts::glommio(on_glommio(yields, bare_yield)));
    [own, bare]
}

/// What each of the tasks does.
async fn yielding(count: u64, once: impl AsyncFn()) {
    for _ in 0..count {
        once().await;
    }
}

async fn on_trio(count: u64, once: impl AsyncFn() + Copy) -> Sample {
    let start = Instant::now();
    trio::nursery! { |n|
        for _ in 0..TASKS {
            n.start_soon(yielding(count, once));
        }
    }
    Sample::new(start.elapsed(), TASKS * count)
}

async fn on_tokio(count: u64, once: impl AsyncFn() + Copy + 'static) -> Sample {
    let start = Instant::now();
    let handles: Vec<_> = (0..TASKS).map(|_| tokio::task::spawn_local(yielding(count, once))).collect();
    for handle in handles {
        handle.await.expect("yielding can't panic");
    }
    Sample::new(start.elapsed(), TASKS * count)
}

async fn on_smol(
    executor: std::rc::Rc<smol::LocalExecutor<'static>>,
    count: u64,
    once: impl AsyncFn() + Copy + 'static,
) -> Sample {
    let start = Instant::now();
    let tasks: Vec<_> = (0..TASKS).map(|_| executor.spawn(yielding(count, once))).collect();
    for task in tasks {
        task.await;
    }
    Sample::new(start.elapsed(), TASKS * count)
}

async fn on_futures(count: u64, once: impl AsyncFn() + Copy) -> Sample {
    let start = Instant::now();
    let mut children: FuturesUnordered<LocalBoxFuture<'_, ()>> = FuturesUnordered::new();
    for _ in 0..TASKS {
        children.push(Box::pin(yielding(count, once)));
    }
    while children.next().await.is_some() {}
    drop(children);
    Sample::new(start.elapsed(), TASKS * count)
}

async fn on_monoio(count: u64, once: impl AsyncFn() + Copy + 'static) -> Sample {
    let start = Instant::now();
    let handles: Vec<_> = (0..TASKS).map(|_| monoio::spawn(yielding(count, once))).collect();
    for handle in handles {
        handle.await;
    }
    Sample::new(start.elapsed(), TASKS * count)
}

#[cfg(target_os = "linux")]
async fn on_glommio(count: u64, once: impl AsyncFn() + Copy + 'static) -> Sample {
    let start = Instant::now();
    let tasks: Vec<_> = (0..TASKS).map(|_| glommio::spawn_local(yielding(count, once))).collect();
    for task in tasks {
        task.await;
    }
    Sample::new(start.elapsed(), TASKS * count)
}
