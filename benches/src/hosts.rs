//! One function per runtime that runs a benchmark's body in it, from a runtime made anew for each round.
//!
//! The body always runs in a *task*: several runtimes treat the future given to `block_on` as a special case and
//! wake it through the operating system, which is not what a benchmark of tasks is about.
//! Making and dropping the runtime is not measured: bodies read the clock themselves.

use std::future::Future;
use std::rc::Rc;

use smol::LocalExecutor;

/// What a runtime that can't run here answers with, instead of a body's result.
pub(crate) type Hosted<T> = Result<T, String>;

/// A trio run.
pub(crate) fn trio<T>(body: impl Future<Output = T>) -> Hosted<T> {
    Ok(trio::run(body))
}

/// tokio's `LocalRuntime`, its fastest form on one thread, with its timer and I/O drivers.
pub(crate) fn tokio_local_runtime<T: 'static>(body: impl Future<Output = T> + 'static) -> Hosted<T> {
    let runtime = tokio::runtime::LocalRuntime::new().map_err(|error| error.to_string())?;
    let result = runtime.block_on(async { tokio::task::spawn_local(body).await });
    result.map_err(|error| error.to_string())
}

/// tokio's `LocalSet` on its current-thread runtime: the older form, which most programs use.
pub(crate) fn tokio_local_set<T: 'static>(body: impl Future<Output = T> + 'static) -> Hosted<T> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    let set = tokio::task::LocalSet::new();
    let result = set.block_on(&runtime, async { tokio::task::spawn_local(body).await });
    result.map_err(|error| error.to_string())
}

/// smol: a `LocalExecutor`, driven with smol's reactor. The body gets the executor, since smol spawns on it by hand.
pub(crate) fn smol<T, F>(body: impl FnOnce(Rc<LocalExecutor<'static>>) -> F) -> Hosted<T>
where
    T: 'static,
    F: Future<Output = T> + 'static,
{
    let executor = Rc::new(LocalExecutor::new());
    let task = executor.spawn(body(Rc::clone(&executor)));
    Ok(smol::block_on(executor.run(task)))
}

/// No runtime: a thread that polls one future and sleeps between wakes. The body brings its own `FuturesUnordered`.
pub(crate) fn futures<T>(body: impl Future<Output = T>) -> Hosted<T> {
    Ok(smol::future::block_on(body))
}

/// monoio with its legacy driver (epoll or kqueue, as the other runtimes use).
pub(crate) fn monoio<T: 'static>(body: impl Future<Output = T> + 'static) -> Hosted<T> {
    let runtime = monoio::RuntimeBuilder::<monoio::LegacyDriver>::new().enable_timer().build();
    let mut runtime = runtime.map_err(|error| error.to_string())?;
    Ok(runtime.block_on(async { monoio::spawn(body).await }))
}

/// glommio, whose only driver is `io_uring`; it does not start where that is missing or forbidden.
#[cfg(target_os = "linux")]
pub(crate) fn glommio<T: 'static>(body: impl Future<Output = T> + 'static) -> Hosted<T> {
    // glommio panics on some kernels instead of returning an error.
    let made = std::panic::catch_unwind(|| glommio::LocalExecutorBuilder::default().make());
    let executor = made.map_err(|_| "it panicked while starting".to_owned())?.map_err(|error| error.to_string())?;
    Ok(executor.run(async { glommio::spawn_local(body).await }))
}
