//! Half a million and a million parked tasks: what one costs in time and memory, and whether the cost stays flat.
//!
//! The time runs from before the first task is started until all have been polled and are parked, and on through
//! cancelling them until the last is gone. Memory is read while all are parked: bytes asked of the allocator, and
//! growth of the resident set, each per task. A task holds two words of its own.

use std::time::Instant;

use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};

use crate::harness::{Benchmark, Bound, Ratio, Sample};
use crate::hosts;
use crate::memory::{Growth, Mark};
use crate::options::Scale;
use crate::parts::{Census, be_present};

const ALLOCATED: usize = 1;

pub(crate) fn benchmark(scale: Scale) -> Benchmark {
    let (half, whole) = (scale.of(500_000), scale.of(1_000_000));
    let mut benchmark = Benchmark::new(
        "parked tasks",
        "500,000 and 1,000,000 tasks started, parked, and cancelled; time and memory per task.",
    )
    .at_most(5)
    .column("ns to park")
    .column("bytes allocated")
    .column("bytes resident");
    for (label, tasks) in [("1,000,000", whole), ("500,000", half)] {
        benchmark = benchmark
            .contender(format!("trio, {label}"), move || hosts::trio(on_trio(tasks)))
            .contender(format!("tokio LocalRuntime abort, {label}"), move || {
                hosts::tokio_local_runtime(on_tokio_abort(tasks))
            })
            .contender(format!("tokio LocalRuntime JoinSet, {label}"), move || {
                hosts::tokio_local_runtime(on_tokio_set(tasks))
            })
            .contender(format!("smol, {label}"), move || hosts::smol(move |executor| on_smol(executor, tasks)))
            .contender(format!("FuturesUnordered, {label}"), move || hosts::futures(on_futures(tasks)));
    }
    let growth = "trio, 1,000,000 tasks against 500,000";
    benchmark
        .goal_of(format!("{growth}: time"), Bound::AtMost(2.2), |results| {
            let per_task = results.ratio("trio, 1,000,000", "trio, 500,000")?;
            Some(Ratio { best: 2.0 * per_task.best, median: 2.0 * per_task.median })
        })
        .goal_of(format!("{growth}: memory"), Bound::AtMost(2.2), |results| {
            let allocated = |name| results.column(name, ALLOCATED);
            let growth = 2.0 * allocated("trio, 1,000,000")? / allocated("trio, 500,000")?;
            Some(Ratio { best: growth, median: growth })
        })
}

/// Clock and memory of one round.
struct Watch {
    mark: Mark,
    start: Instant,
    tasks: u64,
}

/// What was read when all tasks were parked.
struct AllParked {
    nanoseconds: u128,
    growth: Growth,
}

impl Watch {
    fn start(tasks: u64) -> Self {
        let mark = Mark::now();
        Self { mark, start: Instant::now(), tasks }
    }

    fn all_parked(&self) -> AllParked {
        AllParked { nanoseconds: self.start.elapsed().as_nanos(), growth: self.mark.growth() }
    }

    fn sample(self, parked: &AllParked) -> Sample {
        let mut sample = Sample::new(self.start.elapsed(), self.tasks);
        let per_task = |value: f64| value / self.tasks as f64;
        let resident = parked.growth.resident.map(|bytes| per_task(bytes as f64));
        sample.columns =
            vec![Some(per_task(parked.nanoseconds as f64)), Some(per_task(parked.growth.allocated as f64)), resident];
        sample
    }
}

async fn on_trio(tasks: u64) -> Sample {
    let watch = Watch::start(tasks);
    let census = Census::default();
    let mut parked = None;
    trio::cancel_scope! { |scope|
        trio::nursery! { |n|
            for _ in 0..tasks {
                n.start_soon(be_present(census.clone()));
            }
            while census.count() < tasks {
                trio::checkpoint().await;
            }
            parked = Some(watch.all_parked());
            scope.cancel();
        }
    };
    assert_eq!(census.count(), 0);
    watch.sample(&parked.expect("the body came to its end"))
}

async fn on_tokio_abort(tasks: u64) -> Sample {
    let watch = Watch::start(tasks);
    let census = Census::default();
    let handles: Vec<_> = (0..tasks).map(|_| tokio::task::spawn_local(be_present(census.clone()))).collect();
    while census.count() < tasks {
        tokio::task::yield_now().await;
    }
    let parked = watch.all_parked();
    for handle in handles {
        handle.abort();
    }
    while census.count() > 0 {
        tokio::task::yield_now().await;
    }
    watch.sample(&parked)
}

async fn on_tokio_set(tasks: u64) -> Sample {
    let watch = Watch::start(tasks);
    let census = Census::default();
    let mut set = tokio::task::JoinSet::new();
    for _ in 0..tasks {
        set.spawn_local(be_present(census.clone()));
    }
    while census.count() < tasks {
        tokio::task::yield_now().await;
    }
    let parked = watch.all_parked();
    set.shutdown().await;
    assert_eq!(census.count(), 0);
    watch.sample(&parked)
}

async fn on_smol(executor: std::rc::Rc<smol::LocalExecutor<'static>>, tasks: u64) -> Sample {
    let watch = Watch::start(tasks);
    let census = Census::default();
    let handles: Vec<_> = (0..tasks).map(|_| executor.spawn(be_present(census.clone()))).collect();
    while census.count() < tasks {
        smol::future::yield_now().await;
    }
    let parked = watch.all_parked();
    drop(handles);
    while census.count() > 0 {
        smol::future::yield_now().await;
    }
    watch.sample(&parked)
}

async fn on_futures(tasks: u64) -> Sample {
    let watch = Watch::start(tasks);
    let census = Census::default();
    let mut children: FuturesUnordered<LocalBoxFuture<'_, ()>> = FuturesUnordered::new();
    for _ in 0..tasks {
        children.push(Box::pin(be_present(census.clone())));
    }
    let mut next = std::pin::pin!(children.next());
    std::future::poll_fn(|cx| {
        assert!(next.as_mut().poll(cx).is_pending(), "parked tasks do not end");
        if census.count() < tasks { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
    })
    .await;
    let parked = watch.all_parked();
    drop(children);
    assert_eq!(census.count(), 0);
    watch.sample(&parked)
}
