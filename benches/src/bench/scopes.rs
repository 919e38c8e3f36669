//! Small scopes: what it costs to open one, put next to nothing into it, and leave it again.
//!
//! First a scope with one empty child, which is how structured programs run things side by side all the time; peers do
//! it with the nearest they have. Then, for trio alone, what has no counterpart elsewhere: a nursery with no
//! child, a cancel scope, a shield, each around a future that is ready.

use std::future::ready;
use std::time::Instant;

use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};

use crate::harness::{Benchmark, Sample};
use crate::hosts;
use crate::options::Scale;

pub(crate) fn benchmarks(scale: Scale) -> [Benchmark; 2] {
    let count = scale.of(50_000);
    let one = Benchmark::new(
        "scope of one",
        "A scope opened, one empty child run in it, and the scope left; time per scope.",
    )
    .contender("trio nursery", move || hosts::trio(repeat(count, trio_nursery)))
    .contender("tokio LocalRuntime JoinSet", move || hosts::tokio_local_runtime(repeat(count, tokio_join_set)))
    .contender("tokio LocalRuntime JoinHandle", move || hosts::tokio_local_runtime(repeat(count, tokio_join_handle)))
    .contender("smol LocalExecutor", move || {
        hosts::smol(move |executor| repeat(count, async move || executor.spawn(child()).await))
    })
    .contender("FuturesUnordered", move || hosts::futures(repeat(count, futures_unordered)));

    let empty = Benchmark::new("empty scopes", "trio's scopes around nothing: opened and left; time per scope.")
        .contender("trio nursery", move || hosts::trio(repeat(count, async || trio::nursery! { |_n| {} })))
        .contender("trio cancel scope", move || {
            hosts::trio(repeat(count, async || {
                trio::CancelScope::new().run(ready(())).await;
            }))
        })
        .contender("trio shield", move || hosts::trio(repeat(count, async || trio::shield(ready(())).await)));
    [one, empty]
}

async fn repeat(count: u64, once: impl AsyncFn()) -> Sample {
    let start = Instant::now();
    for _ in 0..count {
        once().await;
    }
    Sample::new(start.elapsed(), count)
}

async fn child() {}

async fn trio_nursery() {
    trio::nursery! { |n|
        n.start_soon(child());
    }
}

async fn tokio_join_set() {
    let mut set = tokio::task::JoinSet::new();
    set.spawn_local(child());
    while set.join_next().await.is_some() {}
}

async fn tokio_join_handle() {
    let handle = tokio::task::spawn_local(child());
    handle.await.expect("an empty child can't panic");
}

async fn futures_unordered() {
    let mut children: FuturesUnordered<LocalBoxFuture<'_, ()>> = FuturesUnordered::new();
    children.push(Box::pin(child()));
    while children.next().await.is_some() {}
}
