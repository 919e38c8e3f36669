//! A timeout that never fires: one task, over and over, waits for something under a deadline an hour away.
//!
//! Three cases. *Ready*: what is waited for is there at once, as it mostly is in a server that is not overloaded.
//! *Parks*: it parks once and is woken, so the deadline is put on watch and taken off again. *Parks among 1,000*: the
//! same while 1,000 sleeps are on watch, half of them until earlier and half until later, like idle connections.
//! `FuturesUnordered` has no timers and is not here.

use std::future::{Future, poll_fn};
use std::task::Poll;
use std::time::{Duration, Instant};

use crate::harness::{Benchmark, Sample};
use crate::hosts;
use crate::options::Scale;
use crate::parts::bare_yield;

const NEVER: Duration = Duration::from_secs(3_600);

/// What the runtime would say if an hour had passed.
const FAR: &str = "the deadline is far away";

pub(crate) fn benchmarks(scale: Scale) -> [Benchmark; 3] {
    let count = scale.of(50_000);
    let ready = Benchmark::new("timeout, ready", "A timeout around a future that is ready; time per timeout.");
    let parks =
        Benchmark::new("timeout, parks", "A timeout around a future that parks once and is woken; time per timeout.");
    let among = Benchmark::new(
        "timeout, parks among 1,000",
        "The same while 1,000 other deadlines are on watch; time per timeout.",
    );
    [
        contenders(ready, count, 0, async || {}),
        contenders(parks, count, 0, bare_yield),
        contenders(among, count, 1_000, bare_yield),
    ]
}

fn contenders(benchmark: Benchmark, count: u64, sleepers: u32, once: impl AsyncFn() + Copy + 'static) -> Benchmark {
    let benchmark = benchmark
        .contender("trio fail_after", move || hosts::trio(on_trio(count, sleepers, once)))
        .contender("tokio LocalRuntime", move || hosts::tokio_local_runtime(on_tokio(count, sleepers, once)))
        .contender("tokio LocalSet", move || hosts::tokio_local_set(on_tokio(count, sleepers, once)))
        .contender("smol", move || hosts::smol(move |_| on_smol(count, sleepers, once)))
        .contender("monoio", move || hosts::monoio(on_monoio(count, sleepers, once)));
    #[cfg(target_os = "linux")]
    let benchmark = benchmark.contender("glommio", move || hosts::glommio(on_glommio(count, sleepers, once)));
    benchmark.goal("trio fail_after", "tokio LocalRuntime", 2.0)
}

async fn repeat(count: u64, once: impl AsyncFn()) -> Sample {
    let start = Instant::now();
    for _ in 0..count {
        once().await;
    }
    Sample::new(start.elapsed(), count)
}

/// Runs `body` while a number of sleeps are on watch, around the deadline of `body`'s own timeouts.
///
/// Each sleep is polled once. `body` then runs for itself, so that they cost no polls; they are dropped when it has ended.
async fn beside<T, S: Future>(sleepers: u32, sleep: impl Fn(Duration) -> S, body: impl Future<Output = T>) -> T {
    let mut asleep = Vec::new();
    for number in 0..sleepers {
        let mut one = Box::pin(sleep(NEVER / 2 + NEVER * number / sleepers));
        let first = poll_fn(|cx| Poll::Ready(one.as_mut().poll(cx))).await;
        assert!(first.is_pending(), "{FAR}");
        asleep.push(one);
    }
    body.await
}

async fn on_trio(count: u64, sleepers: u32, once: impl AsyncFn()) -> Sample {
    let body = repeat(count, async || trio::fail_after(NEVER, once()).await.expect(FAR));
    beside(sleepers, trio::sleep, body).await
}

async fn on_tokio(count: u64, sleepers: u32, once: impl AsyncFn()) -> Sample {
    let body = repeat(count, async || tokio::time::timeout(NEVER, once()).await.expect(FAR));
    beside(sleepers, tokio::time::sleep, body).await
}

async fn on_smol(count: u64, sleepers: u32, once: impl AsyncFn()) -> Sample {
    let body = repeat(count, async || smol_timeout(NEVER, once()).await.expect(FAR));
    beside(sleepers, smol::Timer::after, body).await
}

/// smol has no `timeout`; its documentation builds one from `or` and a `Timer`, like this.
async fn smol_timeout<T>(duration: Duration, body: impl Future<Output = T>) -> Option<T> {
    let fired = async {
        smol::Timer::after(duration).await;
        None
    };
    smol::future::or(async { Some(body.await) }, fired).await
}

async fn on_monoio(count: u64, sleepers: u32, once: impl AsyncFn()) -> Sample {
    let body = repeat(count, async || monoio::time::timeout(NEVER, once()).await.expect(FAR));
    beside(sleepers, monoio::time::sleep, body).await
}

#[cfg(target_os = "linux")]
async fn on_glommio(count: u64, sleepers: u32, once: impl AsyncFn()) -> Sample {
    let body = repeat(count, async || {
        let once = async {
            once().await;
            Ok(())
        };
        glommio::timer::timeout(NEVER, once).await.expect(FAR);
    });
    beside(sleepers, glommio::timer::sleep, body).await
}
