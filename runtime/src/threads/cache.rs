//! The worker threads of the process.
//!
//! Threads are kept for a while after their call, since starting one costs more than most calls: the one that became
//! idle last is the first to be used again (its stack is still warm), and one that has been idle for ten seconds ends.
//! There is no limit here on how many there are: that is a policy, for those above.

use std::fmt;
use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// What a worker does: a call, which gives what is to be done with its result once the worker can be used again.
pub(super) type Job = Box<dyn FnOnce() -> Deliver + Send>;
pub(super) type Deliver = Box<dyn FnOnce()>;

/// The life of a worker.
type Life = Box<dyn FnOnce() + Send>;

/// The one that all calls use.
pub(super) static CACHE: Cache = Cache::new(Duration::from_secs(10), start_thread);

pub(super) struct Cache {
    /// The one that became idle last is the last.
    idle: Mutex<Vec<Arc<Worker>>>,
    /// How long a worker stays idle before it ends.
    linger: Duration,
    /// How a thread with this name is started.
    start: fn(String, Life) -> io::Result<()>,
    threads: AtomicUsize,
    started: AtomicU64,
    calls: AtomicU64,
}

fn start_thread(name: String, life: Life) -> io::Result<()> {
    thread::Builder::new().name(name).spawn(life).map(drop)
}

/// How a worker gets its next job.
#[derive(Default)]
struct Worker {
    job: Mutex<Option<Job>>,
    comes: Condvar,
}

/// Counts a thread that is alive.
struct Alive<'a>(&'a Cache);

impl Drop for Alive<'_> {
    fn drop(&mut self) {
        self.0.threads.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Cache {
    pub(super) const fn new(linger: Duration, start: fn(String, Life) -> io::Result<()>) -> Self {
        Self {
            idle: Mutex::new(Vec::new()),
            linger,
            start,
            threads: AtomicUsize::new(0),
            started: AtomicU64::new(0),
            calls: AtomicU64::new(0),
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Arc<Worker>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a job to an idle worker, or to a new one.
    pub(super) fn run(&'static self, job: Job) -> io::Result<()> {
        let idle = self.idle().pop();
        match idle {
            Some(worker) => worker.give(job),
            None => self.hire(job)?,
        }
        self.calls.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    #[cold]
    fn hire(&'static self, job: Job) -> io::Result<()> {
        let number = self.started.load(Ordering::Relaxed);
        let worker = Arc::new(Worker { job: Mutex::new(Some(job)), comes: Condvar::new() });
        self.threads.fetch_add(1, Ordering::Relaxed);
        let alive = Alive(self);
        (self.start)(
            format!("trio thread {number}"),
            Box::new(move || {
                let _alive = alive;
                self.work(&worker);
            }),
        )?;
        self.started.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// The life of a worker.
    fn work(&self, worker: &Arc<Worker>) {
        while let Some(job) = self.next_job(worker) {
            let deliver = job();
            self.idle().push(Arc::clone(worker));
            if let Err(panic) = catch_unwind(AssertUnwindSafe(deliver)) {
                // The destructor of a result that nobody wanted panicked. The message has been printed; the payload is
                // leaked, since its own destructor might do the same, and this thread must live: it has been promised.
                mem::forget(panic);
            }
        }
    }

    /// Waits for a job; `None` if none has come for so long that the worker has left the cache.
    fn next_job(&self, worker: &Arc<Worker>) -> Option<Job> {
        let (mut job, timeout) = worker
            .comes
            .wait_timeout_while(worker.job(), self.linger, |job| job.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        if job.is_none() && timeout.timed_out() {
            // Not while the job is locked: whoever gives a job locks the other way round.
            drop(job);
            let mut idle = self.idle();
            if let Some(place) = idle.iter().position(|other| Arc::ptr_eq(other, worker)) {
                idle.remove(place);
                return None;
            }
            drop(idle);
            // Somebody took it out of the cache just now, and is about to give it a job.
            job = worker.comes.wait_while(worker.job(), |job| job.is_none()).unwrap_or_else(PoisonError::into_inner);
        }
        job.take()
    }

    pub(super) fn statistics(&self) -> PoolStatistics {
        let idle_threads = self.idle().len();
        PoolStatistics {
            threads: self.threads.load(Ordering::Relaxed).max(idle_threads),
            idle_threads,
            threads_started: self.started.load(Ordering::Relaxed),
            calls: self.calls.load(Ordering::Relaxed),
        }
    }
}

impl Worker {
    fn job(&self) -> MutexGuard<'_, Option<Job>> {
        self.job.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give(&self, job: Job) {
        *self.job() = Some(job);
        self.comes.notify_one();
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("statistics", &self.statistics()).finish_non_exhaustive()
    }
}

/// A snapshot of the worker threads, which all runs of the process share.
///
/// # Examples
///
/// ```
/// let before = trio::to_thread::pool_statistics();
/// trio::run(trio::to_thread::run_sync(|| ()));
/// let after = trio::to_thread::pool_statistics();
/// assert!(after.calls > before.calls);
/// assert!(after.idle_threads <= after.threads);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStatistics {
    /// Worker threads that are alive.
    pub threads: usize,
    /// Worker threads that wait for a call.
    pub idle_threads: usize,
    /// Worker threads that have ever been started.
    pub threads_started: u64,
    /// Calls that have ever been given to a worker thread.
    pub calls: u64,
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Instant;

    use super::*;

    /// Long enough for anything that will happen to have happened.
    const PATIENCE: Duration = Duration::from_secs(30);

    fn leak(linger: Duration) -> &'static Cache {
        Box::leak(Box::new(Cache::new(linger, start_thread)))
    }

    fn run_on(cache: &'static Cache) -> thread::ThreadId {
        let (sender, receiver) = channel();
        cache
            .run(Box::new(move || {
                let thread = thread::current().id();
                Box::new(move || sender.send(thread).unwrap())
            }))
            .unwrap();
        receiver.recv_timeout(PATIENCE).unwrap()
    }

    #[test]
    fn an_idle_thread_is_used_again() {
        let cache = leak(PATIENCE);
        let first = run_on(cache);
        for _ in 0..100 {
            assert_eq!(run_on(cache), first);
        }
        let statistics = cache.statistics();
        assert_eq!((statistics.threads, statistics.threads_started, statistics.calls), (1, 1, 101));
    }

    // trio: _core/_tests/test_thread_cache.py::test_idle_threads_exit
    #[test]
    fn idle_threads_end_after_a_while() {
        let cache = leak(Duration::from_millis(1));
        for _ in 0..200 {
            run_on(cache);
        }
        let started = Instant::now();
        while cache.statistics().threads > 0 {
            assert!(started.elapsed() < PATIENCE, "the worker did not end");
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(cache.statistics().idle_threads, 0);
        run_on(cache);
    }

    // trio: _core/_tests/test_thread_cache.py::test_spawning_new_thread_from_deliver_reuses_starting_thread
    #[test]
    fn what_a_delivery_starts_runs_on_the_delivering_thread() {
        fn step(cache: &'static Cache, left: u32, seen: std::sync::mpsc::Sender<thread::ThreadId>) {
            let next = move || {
                seen.send(thread::current().id()).unwrap();
                if left > 0 {
                    step(cache, left - 1, seen);
                }
            };
            cache.run(Box::new(move || Box::new(next))).unwrap();
        }
        let cache = leak(PATIENCE);
        // Five workers that are idle.
        let gate = Arc::new(std::sync::Barrier::new(6));
        for _ in 0..5 {
            let gate = Arc::clone(&gate);
            cache
                .run(Box::new(move || {
                    gate.wait();
                    Box::new(|| ())
                }))
                .unwrap();
        }
        gate.wait();
        let started = Instant::now();
        while cache.statistics().idle_threads < 5 {
            assert!(started.elapsed() < PATIENCE, "the workers did not become idle");
            thread::sleep(Duration::from_millis(1));
        }
        let (sender, receiver) = channel();
        step(cache, 5, sender);
        let seen: Vec<_> = (0..6).map(|_| receiver.recv_timeout(PATIENCE).unwrap()).collect();
        assert!(seen.iter().all(|thread| *thread == seen[0]), "{seen:?}");
    }

    // trio: _core/_tests/test_thread_cache.py::test_raise_in_deliver
    #[test]
    fn a_delivery_that_panics_leaves_its_thread_alive() {
        let cache = leak(PATIENCE);
        let first = run_on(cache);
        let (sender, receiver) = channel();
        cache
            .run(Box::new(move || {
                let thread = thread::current().id();
                Box::new(move || {
                    sender.send(thread).unwrap();
                    panic!("don't do this");
                })
            }))
            .unwrap();
        assert_eq!(receiver.recv_timeout(PATIENCE).unwrap(), first);
        // Given to it while it may still be busy with the panic.
        assert_eq!(run_on(cache), first);
    }

    #[test]
    fn a_thread_that_can_not_be_had_is_not_counted() {
        let cache = Box::leak(Box::new(Cache::new(PATIENCE, |_, _| Err(io::ErrorKind::OutOfMemory.into()))));
        let error = cache.run(Box::new(|| Box::new(|| ()))).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
        let statistics = cache.statistics();
        assert_eq!((statistics.threads, statistics.threads_started, statistics.calls), (0, 0, 0));
    }
}
