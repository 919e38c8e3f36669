//! Spawn and join: a batch of 1,000 empty children is started, then waited for, over and over.
//!
//! A child does nothing, so this is the price of a task: its allocation, its place in the run queue, one poll,
//! the parent's notice of its end. Every batch is started and joined from within a task.

use std::time::Instant;

use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};

use crate::harness::{Benchmark, Sample};
use crate::hosts;
use crate::options::Scale;

const CHILDREN: u64 = 1_000;

pub(crate) fn benchmark(scale: Scale) -> Benchmark {
    let batches = scale.of(100);
    let benchmark = Benchmark::new("spawn+join", "1,000 empty children, started and waited for; time per child.")
        .contender("trio nursery", move || hosts::trio(trio_nursery(batches)))
        .contender("trio TaskHandle", move || hosts::trio(trio_task_handle(batches)))
        .contender("tokio LocalRuntime JoinHandle", move || hosts::tokio_local_runtime(tokio_join_handle(batches)))
        .contender("tokio LocalRuntime JoinSet", move || hosts::tokio_local_runtime(tokio_join_set(batches)))
        .contender("tokio LocalSet JoinHandle", move || hosts::tokio_local_set(tokio_join_handle(batches)))
        .contender("smol LocalExecutor", move || hosts::smol(move |executor| smol(executor, batches)))
        .contender("FuturesUnordered", move || hosts::futures(futures_unordered(batches)))
        .contender("monoio", move || hosts::monoio(monoio(batches)));
    #[cfg(target_os = "linux")]
    let benchmark = benchmark.contender("glommio", move || hosts::glommio(glommio(batches)));
    benchmark.goal("trio nursery", "tokio LocalRuntime JoinHandle", 4.0)
}

async fn batches(count: u64, mut batch: impl AsyncFnMut()) -> Sample {
    let start = Instant::now();
    for _ in 0..count {
        batch().await;
    }
    Sample::new(start.elapsed(), count * CHILDREN)
}

async fn child() {}

async fn trio_nursery(count: u64) -> Sample {
    batches(count, async || {
        trio::nursery! { |n|
            for _ in 0..CHILDREN {
                n.start_soon(child());
            }
        }
    })
    .await
}

async fn trio_task_handle(count: u64) -> Sample {
    batches(count, async || {
        trio::nursery! { |n|
            let handles: Vec<_> = (0..CHILDREN).map(|_| n.spawn(child())).collect();
            for handle in handles {
                assert!(handle.join().await.is_ok(), "an empty child can't be cancelled");
            }
        }
    })
    .await
}

async fn tokio_join_handle(count: u64) -> Sample {
    batches(count, async || {
        let handles: Vec<_> = (0..CHILDREN).map(|_| tokio::task::spawn_local(child())).collect();
        for handle in handles {
            handle.await.expect("an empty child can't panic");
        }
    })
    .await
}

async fn tokio_join_set(count: u64) -> Sample {
    batches(count, async || {
        let mut set = tokio::task::JoinSet::new();
        for _ in 0..CHILDREN {
            set.spawn_local(child());
        }
        while let Some(result) = set.join_next().await {
            result.expect("an empty child can't panic");
        }
    })
    .await
}

async fn smol(executor: std::rc::Rc<smol::LocalExecutor<'static>>, count: u64) -> Sample {
    batches(count, async || {
        let tasks: Vec<_> = (0..CHILDREN).map(|_| executor.spawn(child())).collect();
        for task in tasks {
            task.await;
        }
    })
    .await
}

/// Boxed, as children of different types must be. (A box of an empty child allocates nothing, which no real child's does.)
async fn futures_unordered(count: u64) -> Sample {
    batches(count, async || {
        let mut children: FuturesUnordered<LocalBoxFuture<'_, ()>> = FuturesUnordered::new();
        for _ in 0..CHILDREN {
            children.push(Box::pin(child()));
        }
        while children.next().await.is_some() {}
    })
    .await
}

async fn monoio(count: u64) -> Sample {
    batches(count, async || {
        let handles: Vec<_> = (0..CHILDREN).map(|_| monoio::spawn(child())).collect();
        for handle in handles {
            handle.await;
        }
    })
    .await
}

#[cfg(target_os = "linux")]
async fn glommio(count: u64) -> Sample {
    batches(count, async || {
        let tasks: Vec<_> = (0..CHILDREN).map(|_| glommio::spawn_local(child())).collect();
        for task in tasks {
            task.await;
        }
    })
    .await
}
