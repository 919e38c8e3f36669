//! The worker threads of the process.
//!
//! Threads are kept for a while after their call, since starting one costs more than most calls: the one that became
//! idle last is the first to be used again (its stack is still warm), and one that has been idle for ten seconds ends.
//! There is no limit here on how many there are: that is a policy, for those above.
//!
//! Waking a thread costs more than a short call, too. So while one is on its way to the queue, no other is woken: it
//! takes a job, and wakes the next thread, if there is more to do, before it begins. A job waits only for threads to
//! wake up, never for another job. And one worker at a time looks at the queue for a moment (see [`spin`](crate::kernel::spin))
//! before it goes to sleep.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::kernel::spin::Spin;

/// What a worker does: a call, which gives what is to be done with its result once the worker can be used again.
pub(super) type Job = Box<dyn FnOnce() -> Deliver + Send>;
/// Short: other jobs may wait for its end.
pub(super) type Deliver = Box<dyn FnOnce()>;

/// The life of a worker.
type Life = Box<dyn FnOnce() + Send>;

/// The one that all calls use.
pub(super) static CACHE: Cache = Cache::new(Duration::from_secs(10), start_thread);

pub(super) struct Cache {
    state: Mutex<State>,
    /// How many jobs are in the queue, for those who look without the lock.
    queued: AtomicUsize,
    /// A worker is looking.
    watched: AtomicBool,
    /// How long a worker stays idle before it ends.
    linger: Duration,
    /// How a thread with this name is started.
    start: fn(String, Life) -> io::Result<()>,
}

/// Invariants: there are no more jobs in the queue than workers that are idle or on their way to it; and while there are
/// some, a worker is on its way.
struct State {
    queue: VecDeque<Job>,
    /// The one that became idle last is the last.
    idle: Vec<Arc<Worker>>,
    /// How many workers will look at the queue before they do anything else.
    coming: usize,
    threads: usize,
    started: u64,
    calls: u64,
}

fn start_thread(name: String, life: Life) -> io::Result<()> {
    thread::Builder::new().name(name).spawn(life).map(drop)
}

/// How an idle worker is woken.
#[derive(Default)]
struct Worker {
    /// It is not idle any more, but on its way to the queue.
    called: AtomicBool,
    comes: Condvar,
}

/// Counts a thread that is alive.
struct Alive<'a>(&'a Cache);

impl Drop for Alive<'_> {
    fn drop(&mut self) {
        self.0.lock().threads -= 1;
    }
}

impl State {
    /// Takes an idle worker to be woken, if there is something to do and nobody is on the way.
    fn call_one(&mut self) -> Option<Arc<Worker>> {
        if self.coming > 0 || self.queue.is_empty() {
            return None;
        }
        let worker = self.idle.pop()?;
        self.coming += 1;
        worker.called.store(true, Ordering::Relaxed);
        Some(worker)
    }
}

/// Lets go of the state, then wakes the worker that was called.
fn wake(state: MutexGuard<'_, State>, called: Option<Arc<Worker>>) {
    drop(state);
    if let Some(worker) = called {
        worker.comes.notify_one();
    }
}

impl Cache {
    pub(super) const fn new(linger: Duration, start: fn(String, Life) -> io::Result<()>) -> Self {
        let state = State { queue: VecDeque::new(), idle: Vec::new(), coming: 0, threads: 0, started: 0, calls: 0 };
        Self { state: Mutex::new(state), queued: AtomicUsize::new(0), watched: AtomicBool::new(false), linger, start }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a job to a worker that is idle or about to be, or to a new one.
    pub(super) fn run(&'static self, job: Job) -> io::Result<()> {
        let mut state = self.lock();
        if state.queue.len() >= state.idle.len() + state.coming {
            drop(state);
            return self.hire(job);
        }
        state.calls += 1;
        state.queue.push_back(job);
        self.queued.store(state.queue.len(), Ordering::Relaxed);
        let called = state.call_one();
        wake(state, called);
        Ok(())
    }

    #[cold]
    fn hire(&'static self, job: Job) -> io::Result<()> {
        let mut state = self.lock();
        state.threads += 1;
        let number = state.started;
        state.started += 1;
        drop(state);
        let alive = Alive(self);
        let life = move || {
            let _alive = alive;
            self.work(job);
        };
        let started = (self.start)(format!("trio thread {number}"), Box::new(life));
        let mut state = self.lock();
        match started {
            Ok(()) => state.calls += 1,
            Err(_) => state.started -= 1,
        }
        started
    }

    /// The life of a worker.
    fn work(&self, first: Job) {
        let (worker, spin) = (Arc::new(Worker::default()), Spin::default());
        let mut next = Some(first);
        while let Some(job) = next {
            let deliver = job();
            // Before the delivery, so that whoever gets the result finds a worker for the next job.
            self.lock().coming += 1;
            if let Err(panic) = catch_unwind(AssertUnwindSafe(deliver)) {
                // The message has been printed; the payload is leaked, since its destructor might panic as well, and this
                // thread must live: it has been promised.
                mem::forget(panic);
            }
            self.watch(&spin);
            next = self.next_job(&worker);
        }
    }

    /// Looks for the next job for a moment, on the way to the queue, unless another worker does.
    fn watch(&self, spin: &Spin) {
        if !self.watched.swap(true, Ordering::Relaxed) {
            spin.until(|| self.queued.load(Ordering::Relaxed) > 0);
            self.watched.store(false, Ordering::Relaxed);
        }
    }

    /// Takes a job from the queue, to which this worker is on its way; `None` if none has come for so long that it may end.
    fn next_job(&self, worker: &Arc<Worker>) -> Option<Job> {
        let mut state = self.lock();
        loop {
            state.coming -= 1;
            if let Some(job) = state.queue.pop_front() {
                self.queued.store(state.queue.len(), Ordering::Relaxed);
                let called = state.call_one();
                wake(state, called);
                return Some(job);
            }
            worker.called.store(false, Ordering::Relaxed);
            state.idle.push(Arc::clone(worker));
            let idle = |_: &mut State| !worker.called.load(Ordering::Relaxed);
            let waited = worker.comes.wait_timeout_while(state, self.linger, idle);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            if worker.called.load(Ordering::Relaxed) {
                continue;
            }
            state.idle.retain(|other| !Arc::ptr_eq(other, worker));
            if state.queue.is_empty() {
                return None;
            }
            // It has been promised to somebody.
            state.coming += 1;
        }
    }

    pub(super) fn statistics(&self) -> PoolStatistics {
        let state = self.lock();
        PoolStatistics {
            threads: state.threads,
            idle_threads: state.idle.len(),
            threads_started: state.started,
            calls: state.calls,
        }
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
    fn no_job_waits_for_another() {
        let cache = leak(PATIENCE);
        for _ in 0..50 {
            // Each can end only when all have begun.
            let meet = Arc::new(std::sync::Barrier::new(8));
            let (sender, receiver) = channel();
            for _ in 0..8 {
                let (meet, sender) = (Arc::clone(&meet), sender.clone());
                cache
                    .run(Box::new(move || {
                        meet.wait();
                        Box::new(move || sender.send(()).unwrap())
                    }))
                    .unwrap();
            }
            for _ in 0..8 {
                receiver.recv_timeout(PATIENCE).unwrap();
            }
        }
        assert_eq!(cache.statistics().threads_started, cache.statistics().threads as u64);
        assert!(cache.statistics().threads_started <= 16);
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
