//! Blocking calls, off the run's thread.
//!
//! Threads are kept for a while after their call, since starting one costs more than most calls: the one that became
//! idle last is the first to be used again (its stack is still warm), and one that has been idle for ten seconds ends.
//! There is no limit here on how many there are: that is a policy, for those above.
#![forbid(unsafe_code)]

use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use crate::kernel::checkpoint::checkpoint_if_cancelled;
use crate::kernel::context;
use crate::kernel::run::wrong_run;
use crate::kernel::token::Counted;

/// Calls a function on a worker thread, and waits for what it gives. A panic in it comes out of this call.
///
/// A checkpoint. Cancelled or dropped, it *abandons* the thread: that goes on to the end of the call, and what the call
/// gives is dropped there.
///
/// # Errors
///
/// If the system refuses another thread.
pub(crate) async fn run_abandonable<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    // A thread is not worth starting for somebody who won't wait for it.
    checkpoint_if_cancelled().await;
    let place = Arc::new(Place::default());
    let for_worker = Arc::clone(&place);
    CACHE.run(Box::new(move || {
        let result = catch_unwind(AssertUnwindSafe(call));
        Box::new(move || for_worker.put(result))
    }))?;
    Ok(Wait { place, counted: None, run: 0 }.await)
}

/// Where a worker leaves the result for the task that waits.
struct Place<T>(Mutex<Contents<T>>);

enum Contents<T> {
    Waiting(Option<Waker>),
    Done(thread::Result<T>),
    /// Taken, or nobody wants it any more.
    Gone,
}

impl<T> Default for Place<T> {
    fn default() -> Self {
        Self(Mutex::new(Contents::Waiting(None)))
    }
}

impl<T> Place<T> {
    fn lock(&self) -> MutexGuard<'_, Contents<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves the result, and wakes the task: for a waker of trio's that goes through the run's inbox.
    fn put(&self, result: thread::Result<T>) {
        let mut contents = self.lock();
        if let Contents::Waiting(waker) = &mut *contents {
            let waker = waker.take();
            *contents = Contents::Done(result);
            drop(contents);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

struct Wait<T> {
    place: Arc<Place<T>>,
    /// While a task waits, its run is not one that nothing can wake.
    counted: Option<Counted>,
    run: u64,
}

impl<T> Future for Wait<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        context::with(|run| {
            if self.counted.is_none() {
                self.counted = Some(run.outstanding.count());
                self.run = run.opened.run;
            }
            if self.run != run.opened.run {
                wrong_run("wait for a thread");
            }
        });
        // Cloned and dropped outside the lock: they may be foreign code.
        let waker = context.waker().clone();
        let mut contents = self.place.lock();
        let old = match &mut *contents {
            Contents::Waiting(old) => old.replace(waker),
            done => {
                let done = mem::replace(done, Contents::Gone);
                drop(contents);
                return match done {
                    Contents::Done(Ok(value)) => Poll::Ready(value),
                    Contents::Done(Err(panic)) => resume_unwind(panic),
                    _ => panic!("a wait for a thread was polled after it had completed"),
                };
            }
        };
        drop(contents);
        drop(old);
        Poll::Pending
    }
}

impl<T> Drop for Wait<T> {
    fn drop(&mut self) {
        let contents = mem::replace(&mut *self.place.lock(), Contents::Gone);
        drop(contents);
    }
}

/// What a worker does: a call, which gives what is to be done with its result once the worker can be used again.
type Job = Box<dyn FnOnce() -> Deliver + Send>;
type Deliver = Box<dyn FnOnce() + Send>;

/// The worker threads of the process.
static CACHE: Cache = Cache { idle: Mutex::new(Vec::new()), linger: Duration::from_secs(10) };

struct Cache {
    /// The one that became idle last is the last.
    idle: Mutex<Vec<Arc<Worker>>>,
    /// How long a worker stays idle before it ends.
    linger: Duration,
}

/// How a worker gets its next job.
#[derive(Default)]
struct Worker {
    job: Mutex<Option<Job>>,
    comes: Condvar,
}

impl Cache {
    fn idle(&self) -> MutexGuard<'_, Vec<Arc<Worker>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&'static self, job: Job) -> io::Result<()> {
        static STARTED: AtomicUsize = AtomicUsize::new(1);
        let idle = self.idle().pop();
        if let Some(worker) = idle {
            *worker.job() = Some(job);
            worker.comes.notify_one();
            return Ok(());
        }
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let worker = Arc::new(Worker { job: Mutex::new(Some(job)), comes: Condvar::new() });
        thread::Builder::new().name(format!("trio-worker-{number}")).spawn(move || self.work(&worker))?;
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
}

impl Worker {
    fn job(&self) -> MutexGuard<'_, Option<Job>> {
        self.job.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::poll_fn;
    use std::panic::panic_any;
    use std::sync::mpsc::channel;
    use std::time::Instant;

    use super::*;
    use crate::{CancelScope, Event};

    /// Long enough for anything that will happen to have happened.
    const PATIENCE: Duration = Duration::from_secs(30);

    fn leak(linger: Duration) -> &'static Cache {
        Box::leak(Box::new(Cache { idle: Mutex::default(), linger }))
    }

    fn name() -> Option<String> {
        thread::current().name().map(str::to_owned)
    }

    fn run_on(cache: &'static Cache) -> Option<String> {
        let (sender, receiver) = channel();
        cache
            .run(Box::new(move || {
                let name = name();
                Box::new(move || sender.send(name).unwrap())
            }))
            .unwrap();
        receiver.recv_timeout(PATIENCE).unwrap()
    }

    #[test]
    fn the_value_comes_back_from_another_thread() {
        let here = thread::current().id();
        let (there, name) = crate::run(run_abandonable(|| (thread::current().id(), name()))).unwrap();
        assert_ne!(here, there);
        assert!(name.unwrap().starts_with("trio-worker-"));
    }

    #[test]
    fn a_panic_is_carried_over() {
        let panic = catch_unwind(|| crate::run(run_abandonable(|| panic_any(7_u32)))).unwrap_err();
        assert_eq!(panic.downcast_ref(), Some(&7_u32));
    }

    #[test]
    fn other_tasks_run_meanwhile() {
        let (go, gone) = channel();
        crate::run(async {
            let event = Event::new();
            crate::nursery! { |n|
                n.start_soon(async { run_abandonable(move || gone.recv().unwrap()).await.unwrap(); event.set(); });
                crate::checkpoint().await;
                assert!(!event.is_set());
                go.send(()).unwrap();
                event.wait().await;
            }
        });
    }

    #[test]
    fn an_abandoned_call_goes_on_and_its_result_is_dropped_there() {
        struct Result(std::sync::mpsc::Sender<Option<String>>);
        impl Drop for Result {
            fn drop(&mut self) {
                self.0.send(name()).unwrap();
                panic!("nobody has to care about this");
            }
        }
        let (go, gone) = channel();
        let (dropped, is_dropped) = channel();
        let caught = crate::run(crate::move_on_after(
            Duration::from_millis(1),
            run_abandonable(move || {
                gone.recv_timeout(PATIENCE).unwrap();
                Result(dropped)
            }),
        ));
        assert!(caught.is_none());
        // The run has ended long before the call.
        go.send(()).unwrap();
        assert!(is_dropped.recv_timeout(PATIENCE).unwrap().unwrap().starts_with("trio-worker-"));
    }

    #[test]
    fn nothing_is_called_when_cancelled() {
        crate::run(async {
            let scope = CancelScope::new();
            scope.handle().cancel();
            let called = Arc::new(AtomicUsize::new(0));
            let counter = Arc::clone(&called);
            let result = scope.run(run_abandonable(move || counter.fetch_add(1, Ordering::Relaxed))).await;
            assert!(result.is_none());
            assert_eq!(Arc::strong_count(&called), 1);
        });
    }

    #[test]
    fn a_run_that_waits_for_a_thread_is_no_deadlock() {
        let counted = Cell::new(None);
        crate::Builder::new().fail_on_deadlock().run(async {
            run_abandonable(|| thread::sleep(Duration::from_millis(20))).await.unwrap();
            counted.set(Some(context::with(|run| run.outstanding.any())));
        });
        assert_eq!(counted.get(), Some(false));
    }

    #[test]
    fn a_wait_that_outlives_its_run_panics_clearly() {
        let (go, gone) = channel();
        let mut wait = Box::pin(run_abandonable(move || gone.recv_timeout(PATIENCE).unwrap()));
        let mut poll_in_a_run = || crate::run(poll_fn(|context| Poll::Ready(wait.as_mut().poll(context).is_pending())));
        assert!(poll_in_a_run());
        let panic = catch_unwind(AssertUnwindSafe(poll_in_a_run)).unwrap_err();
        assert_eq!(
            panic.downcast_ref::<String>().unwrap(),
            "this wait for a thread began in another trio run, which has ended: it can only be dropped now"
        );
        drop(wait);
        go.send(()).unwrap();
    }

    #[test]
    fn an_idle_thread_is_used_again() {
        let cache = leak(PATIENCE);
        let first = run_on(cache);
        for _ in 0..100 {
            assert_eq!(run_on(cache), first);
        }
        assert_eq!(cache.idle().len(), 1);
    }

    #[test]
    fn idle_threads_end_after_a_while() {
        let cache = leak(Duration::from_millis(1));
        for _ in 0..200 {
            run_on(cache);
        }
        let started = Instant::now();
        while !cache.idle().is_empty() {
            assert!(started.elapsed() < PATIENCE, "the worker did not end");
            thread::sleep(Duration::from_millis(1));
        }
        run_on(cache);
    }
}
