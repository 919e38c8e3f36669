//! Futures that need tokio's runtime, inside of a task.
//!
//! Database clients, cloud SDKs and the like are often made for tokio alone: their futures panic without its runtime. [`open`]
//! starts a runtime of tokio's for the time of a block, and [`Tokio::run`] runs such a future in the task that calls it.
//!
//! ```
//! use std::time::Duration;
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! trio::run(async {
//!     trio::compat::tokio::open(async |tokio| {
//!         let greeting = String::from("hello");
//!         let echoed = tokio.run(async {
//!             let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//!             let address = listener.local_addr()?;
//!             // A task of tokio's, on its own thread.
//!             tokio::spawn(async move {
//!                 let (mut stream, _) = listener.accept().await.unwrap();
//!                 let (mut from, mut to) = stream.split();
//!                 tokio::io::copy(&mut from, &mut to).await.unwrap();
//!             });
//!             let mut stream = tokio::net::TcpStream::connect(address).await?;
//!             // Borrowed from trio's task, which this future is a part of.
//!             stream.write_all(greeting.as_bytes()).await?;
//!             let mut buffer = [0; 5];
//!             // A scope of trio's, around a future of tokio's.
//!             trio::fail_after(Duration::from_secs(10), stream.read_exact(&mut buffer)).await??;
//!             Ok::<_, trio::BoxError>(buffer)
//!         });
//!         assert_eq!(&echoed.await?, b"hello");
//!         Ok(())
//!     })
//!     // Here the runtime, its tasks and its thread are gone.
//!     .await?
//! })
//! # .map_err(|error: trio::BoxError| error)
//! # .unwrap();
//! ```
//!
//! # How it works
//!
//! The future is polled where it is awaited: on the run's thread, in its task. So it may borrow, need not be `Send`, and
//! operations of trio's work in it as everywhere else: scopes, nurseries, channels, task-locals. Whenever it is polled or dropped,
//! tokio's runtime is *entered*, which is what `tokio::net`, `tokio::time`, `tokio::spawn` and all that is made of them need. That
//! runtime is of the kind `current_thread`, driven by one helper thread, which waits for tokio's sockets and timers, wakes the task
//! when something has come, and runs what was spawned with `tokio::spawn`.
//!
//! The helper is one of [`to_thread`](crate::to_thread)'s worker threads, outside of its limiter. A bridge costs one, and a few
//! descriptors, as long as the block lasts (two more stay open in the process, once, if the crate `tokio` has its feature `signal` or
//! `process`); each wake that comes from it costs a hop from thread to thread. So open one for
//! a service rather than one for each request.
//!
//! # What works
//!
//! * All that tokio has but what is named below: sockets, timers, files, child processes, signals, channels, `select!`, `join!`,
//!   `JoinSet`, `spawn_blocking`, and a `LocalSet` whose `run_until` is given to [`Tokio::run`]. Which of it there is depends on
//!   the features of the crate `tokio` that the program asks for: trio's feature `tokio` asks for `rt` and `sync` only.
//! * tokio's inside of trio's inside of tokio's: a nursery that is opened in such a future is polled with it, so that its tasks can
//!   use tokio too. A task of a nursery further out calls [`Tokio::run`] itself.
//! * Several futures at once, in any tasks of the run; several bridges in one run, one in the other's block or beside it; runs in
//!   several threads, each with its own; a run inside of a thread of another runtime of tokio's.
//! * Objects made in one call and used in another (a client, a connection). Most can be dropped anywhere; for what wants the runtime
//!   in its constructor or destructor there is [`Tokio::within`].
//!
//! # What does not
//!
//! * What outlives the block: a socket or client of tokio's that is used later fails with tokio's error about a runtime that shuts
//!   down, or panics where tokio does so.
//! * `tokio::task::block_in_place` in a spawned task, which wants tokio's other kind of runtime, `spawn_local` without a `LocalSet`,
//!   and `Handle::block_on` in the block, which would block all tasks of the run.
//! * tokio's clock is the real one. A [virtual clock](crate::testing::MockClock) knows no more of what tokio waits for than of sockets and
//!   threads: one that jumps as soon as all tasks wait does so while a query is under way, whose timeout is then over. Give it a
//!   [threshold](crate::testing::MockClock::set_autojump_threshold) that is longer than the real answers take.
//! * tokio's fairness. A task of tokio's yields now and then though it need not wait; here a future that never has to wait,
//!   such as a loop that receives from a channel that others fill as fast, keeps the thread: put a
//!   [`checkpoint`](crate::checkpoint()) into such loops.
//!
//! # What cancellation does on each side
//!
//! **Here**, it drops the future, at the first await at which it has to wait, of tokio's or of trio's; shields hold as always. tokio's
//! operations are no checkpoints: one that need not wait completes although its scope is cancelled. But [`Tokio::run`] begins
//! nothing in a cancelled scope.
//!
//! **There**, what the future had begun is treated as tokio treats every future that is dropped. Whether something has been lost depends on
//! the operation; tokio calls those *cancel safe* that lose nothing. `read` is, `read_exact` and `write_all` are not. What
//! the future has handed to others goes on: a query that the task of a client's connection has taken is sent and answered, and
//! the answer dropped; a spawned task is *detached*, as always when a `JoinHandle` is dropped. A function under way in
//! `spawn_blocking` runs to its end.
//!
//! **At the end of the block**, by whichever way, the runtime is shut down: spawned tasks are dropped where they wait, and then the thread's
//! end is waited for, shielded and without blocking the run. That takes as long as a spawned task's current step does, and functions
//! under way in `spawn_blocking` (tokio looks names up in it, and reads files): one that never ends holds the block for ever.
//!
//! Foreign code that drops the block's future doesn't wait: the runtime is told to shut down, and does so soon after. That of a
//! future that is forgotten (`mem::forget`) is told at the end of the run.
//!
//! # Panics
//!
//! A panic in a task that tokio runs is the `JoinError` of its handle, and nobody else's. A panic in a future that is polled here is
//! that of its task, and goes to the parent.
//!
//! # Deadlocks
//!
//! An open bridge as such is nothing that could wake a task, so a run that waits for nothing is told from one that waits for tokio:
//! the latter has left wakers there. While a spawned task that nobody waits for could wake somebody by other means, have it hold a
//! [`Token`](crate::lowlevel::Token).
//!
//! # Why not `async-compat`
//!
//! That crate enters a runtime in the same way. But its runtime is one for the process, which is never stopped: what is spawned there outlives
//! every block, run and test. And where there is a runtime already it uses that: in a run that one of tokio's threads called, this is the
//! very runtime that waits for the run's end, so that nothing would ever be woken.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use ::tokio::runtime::{Builder, Handle, Runtime};
use ::tokio::sync::oneshot;
use pin_project_lite::pin_project;

use crate::kernel::checkpoint::schedule_point;
use crate::kernel::run::Panic;
use crate::kernel::thread_name::Renamed;
use crate::lowlevel::{RunVar, checkpoint_if_cancelled, current_token, in_run};
use crate::threads::to_thread::start_thread_soon;
use crate::{Event, finally};

/// Starts a runtime of tokio's, runs `body`, and shuts the runtime down: when this returns, its tasks and its thread are gone.
///
/// `body` gets the [`Tokio`], to be passed on by reference to all tasks that want it. See the [module](self) for what runs there,
/// and how.
///
/// A checkpoint. Cancelled on entry, it has no effect; later, `body` is dropped as any code is, and the thread's end is waited for,
/// shielded.
///
/// # Errors
///
/// If the system refuses the descriptors or the thread: then `body` has not been called.
///
/// # Panics
///
/// With the body's panic, once the runtime has been shut down.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// trio::run(async {
///     trio::compat::tokio::open(async |tokio| {
///         trio::nursery! { |n|
///             for _ in 0..10 {
///                 n.start_soon(tokio.run(async { tokio::time::sleep(Duration::from_millis(1)).await }));
///             }
///         };
///     })
///     .await
/// })
/// .unwrap();
/// ```
pub async fn open<T>(body: impl AsyncFnOnce(&Tokio) -> T) -> io::Result<T> {
    checkpoint_if_cancelled().await;
    let (helper, handle) = Helper::start()?;
    let tokio = Tokio { handle };
    Ok(finally(body(&tokio), helper.end()).await)
}

/// A runtime of tokio's that lasts as long as the block of [`open`].
pub struct Tokio {
    handle: Handle,
}

impl Tokio {
    /// Runs a future that needs tokio's runtime, here, in this task.
    ///
    /// The future may borrow, and need not be `Send`. The runtime is entered whenever it is polled, and when it is dropped; but not
    /// yet when it is made. So what wants the runtime in order to be made, as `tokio::time::sleep(…)` does, goes into an `async` block.
    ///
    /// A checkpoint. Cancelled on entry, the future is never polled; later, it is dropped at the first await at which it has to wait, whether
    /// that is tokio's or trio's. What that means on tokio's side is said [above](self#what-cancellation-does-on-each-side).
    ///
    /// # Panics
    ///
    /// With the future's panic.
    ///
    /// # Examples
    ///
    /// ```
    /// trio::run(trio::compat::tokio::open(async |tokio| {
    ///     let sum = tokio.run(async { tokio::spawn(async { 1 + 1 }).await });
    ///     assert_eq!(sum.await.unwrap(), 2);
    /// }))
    /// .unwrap();
    /// ```
    pub fn run<F: Future>(&self, future: F) -> impl Future<Output = F::Output> {
        // At once, so that a future that is never polled is dropped in the runtime as well.
        let guest = Guest { handle: &self.handle, future: Some(future), waited: false };
        async move {
            checkpoint_if_cancelled().await;
            let (value, waited) = guest.await;
            if !waited {
                schedule_point().await;
            }
            value
        }
    }

    /// Calls a function with the runtime entered: for what wants it without being a future, such as a constructor.
    ///
    /// Not a checkpoint.
    ///
    /// # Panics
    ///
    /// With the function's panic.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// trio::run(trio::compat::tokio::open(async |tokio| {
    ///     let mut ticks = tokio.within(|| tokio::time::interval(Duration::from_millis(1)));
    ///     for _ in 0..3 {
    ///         tokio.run(ticks.tick()).await;
    ///     }
    /// }))
    /// .unwrap();
    /// ```
    pub fn within<T>(&self, f: impl FnOnce() -> T) -> T {
        let _entered = self.handle.enter();
        f()
    }

    /// tokio's own handle, for libraries that ask for one. It can be cloned and sent anywhere, but the runtime ends with the block.
    ///
    /// # Examples
    ///
    /// ```
    /// trio::run(trio::compat::tokio::open(async |tokio| {
    ///     let task = tokio.handle().spawn(async { 1 + 1 });
    ///     assert_eq!(tokio.run(task).await.unwrap(), 2);
    /// }))
    /// .unwrap();
    /// ```
    pub fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl fmt::Debug for Tokio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokio").field("handle", &self.handle).finish()
    }
}

pin_project! {
    /// A future that is polled, and dropped, with the runtime entered.
    struct Guest<'a, F> {
        handle: &'a Handle,
        #[pin]
        future: Option<F>,
        waited: bool,
    }

    impl<F> PinnedDrop for Guest<'_, F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if this.future.is_some() {
                let _entered = this.handle.enter();
                this.future.set(None);
            }
        }
    }
}

impl<F: Future> Future for Guest<'_, F> {
    /// And whether it had to wait.
    type Output = (F::Output, bool);

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let _entered = this.handle.enter();
        let future = this.future.as_mut().as_pin_mut().expect("a future is polled until it is done");
        let Poll::Ready(output) = future.poll(context) else {
            *this.waited = true;
            return Poll::Pending;
        };
        this.future.set(None);
        Poll::Ready((output, *this.waited))
    }
}

/// The helper threads that a run has.
///
/// They are found by number, not by reference, so that those of futures that have been forgotten are stopped when the run drops
/// its variables.
static HELPERS: RunVar<Rc<RefCell<HashMap<u64, Entry>>>> = RunVar::with_default("helper threads of tokio", Rc::default);

/// What the run knows of a helper thread that has not ended.
struct Entry {
    /// Dropped, it stops the thread.
    stop: Option<oneshot::Sender<()>>,
    end: Rc<End>,
}

/// The end of a helper thread.
#[derive(Default)]
struct End {
    event: Event,
    panic: Cell<Option<Panic>>,
}

/// A helper thread; told to stop when this is dropped.
struct Helper {
    /// No other of the process has it.
    number: u64,
    end: Rc<End>,
}

impl Helper {
    fn start() -> io::Result<(Self, Handle)> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let runtime = Owned(Some(Builder::new_current_thread().enable_all().build()?));
        let handle = runtime.handle();
        let (stop, stopped) = oneshot::channel();
        let address = current_token().address();
        start_thread_soon(
            move || runtime.drive(stopped),
            // If the run has ended, nobody waits.
            move |result| {
                let _ = address.call(move || Self::ended(number, result.err()));
            },
        )?;
        let end = Rc::<End>::default();
        let helpers = HELPERS.get();
        helpers.borrow_mut().insert(number, Entry { stop: Some(stop), end: Rc::clone(&end) });
        HELPERS.set(helpers);
        Ok((Self { number, end }, handle))
    }

    /// Called in the run, by way of its inbox, when the thread has nothing of ours any more.
    fn ended(number: u64, panic: Option<Panic>) {
        let entry = HELPERS.get().borrow_mut().remove(&number);
        if let Some(entry) = entry {
            entry.end.panic.set(panic);
            entry.end.event.set();
        }
    }

    fn stop(&self) {
        // There is nothing to stop when the run has ended.
        if in_run() {
            let stop = HELPERS.get().borrow_mut().get_mut(&self.number).and_then(|entry| entry.stop.take());
            drop(stop);
        }
    }

    /// Stops the thread, and waits for its end.
    async fn end(self) {
        // Meanwhile the run is not one that nothing can wake.
        let _coming = current_token();
        self.stop();
        self.end.event.wait().await;
        if let Some(panic) = self.end.panic.take() {
            std::panic::resume_unwind(panic);
        }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A runtime on its way to its thread. One that finds none is shut down without waiting, which tokio's own destructor would do.
struct Owned(Option<Runtime>);

impl Owned {
    fn handle(&self) -> Handle {
        self.0.as_ref().expect("it has not been taken").handle().clone()
    }

    /// The work of the helper thread: waits for what tokio waits for, and runs its tasks, until it is stopped.
    fn drive(mut self, stopped: oneshot::Receiver<()>) {
        let _named = Renamed::to("tokio");
        let runtime = self.0.take().expect("it has not been taken");
        // Nothing is ever sent: the other side is dropped.
        let _ = runtime.block_on(stopped);
        // Drops the tasks, and waits for blocking functions.
        drop(runtime);
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
