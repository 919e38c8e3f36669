//! Structured concurrency: every task has a parent, a block ends only when its tasks have ended, and no error is lost.
//!
//! This is Python [Trio](https://trio.readthedocs.io/)'s idea of concurrency in Rust. Tasks live in *nurseries*; they may
//! borrow from the function that opened the nursery; whatever runs can be cancelled from outside, with a deadline or
//! without. One run uses one thread, so nothing has to be `Send` or `'static`, and `Rc`, `Cell` and plain references do.
//!
//! ```
//! use std::cell::RefCell;
//! use std::time::Duration;
//!
//! async fn fetch(page: u32, found: &RefCell<Vec<u32>>) -> trio::Result {
//!     trio::sleep(Duration::from_millis(5)).await; // a request, for real
//!     found.borrow_mut().push(page);
//!     Ok(())
//! }
//!
//! #[trio::main]
//! async fn main() -> trio::Result {
//!     let found = RefCell::new(Vec::new());
//!     trio::try_nursery! { |n|
//!         for page in 1..=3 {
//!             n.start_soon(fetch(page, &found)); // borrows from `main`
//!         }
//!     }?; // here all three have ended; an error of any of them has come out
//!     assert_eq!(found.into_inner().len(), 3);
//!     Ok(())
//! }
//! ```
//!
//! # If you know async Rust, but not Trio
//!
//! **Nurseries instead of `spawn`.** [`nursery!`] and [`try_nursery!`] open a nursery and run a block in it. Tasks are
//! started with [`start_soon`](Nursery::start_soon) on the nursery, which can be handed to functions and to tasks, so that
//! they can start more. Control leaves the block when the block and *all* tasks have ended, by whichever way: its end, `?`,
//! `return`, a panic, a cancellation. So a function that has returned has left nothing running.
//!
//! | task | use |
//! | --- | --- |
//! | nothing comes back | [`start_soon`](Nursery::start_soon) |
//! | its value is wanted | [`spawn`](Nursery::spawn), then [`join`](TaskHandle::join) the handle |
//! | its value is wanted, and it may fail | [`try_spawn`](Nursery::try_spawn): the error goes to the nursery |
//! | the others must wait until it is ready | [`start`](Nursery::start), with a [`TaskStatus`] |
//! | it serves the others, and goes when they have gone | [`start_daemon`](Nursery::start_daemon) |
//! | the same, and they need it until their clean-up is done | [`start_service`](Nursery::start_service) |
//! | it cleans up when all have gone | [`defer`](Nursery::defer) |
//! | there are many, and not too many may run at a time | [`limited`](Nursery::limited), then `start_soon` or `spawn` |
//!
//! **Errors go to the parent.** In [`try_nursery!`] tasks may return `Err`. The first error cancels the other tasks; when
//! all have ended, the block's value is an [`ErrorGroup`] of everything that went wrong, printed as a tree with names and
//! places. A panic does the same, and then goes on in the parent.
//!
//! **Borrowing.** A task may borrow what was there before the nursery. Two rules follow, and they are the first that
//! newcomers meet:
//!
//! * Pass arguments to an `async fn`, as `fetch(page, &found)` above. An inline `async move { … }` block must name what it
//!   borrows first, or it takes it away: `let found = &found;`.
//! * A task can't borrow the locals of the nursery's own *body*, which end before the task does (error E0373, as in
//!   [`std::thread::scope`]): declare them before the nursery.
//!
//! **Cancel scopes instead of timeouts and tokens.** A scope is put around code; when it is cancelled, by its deadline or
//! through its [`CancelHandle`], all code in it, and all tasks of all nurseries in it, are dropped where they wait.
//!
//! ```
//! use std::time::Duration;
//! # trio::run(async {
//! let answer = trio::move_on_after!(Duration::from_millis(10), {
//!     trio::sleep(Duration::from_secs(60)).await;
//! });
//! assert!(answer.is_none());
//! # });
//! ```
//!
//! [`move_on_after!`] gives an `Option`, [`fail_after!`] a `Result`, [`cancel_scope!`] a handle to cancel by hand. The
//! macros are blocks, in which `?`, `return` and `break` mean what they mean in any block; [`move_on_after`](fn@move_on_after),
//! [`CancelScope::run`] and so on are the same as functions. Deadlines nest: the earliest counts.
//!
//! **Checkpoints.** A cancellation takes effect only at a *checkpoint*: an `.await` of an operation of this crate, each of
//! which says so. There the code is simply dropped: `Drop` is the clean-up, [`finally`] is for clean-up that has to wait,
//! and [`shield`](fn@shield) (or [`shield!`]) is for what must not be interrupted. An operation that was cancelled has had no effect; the
//! few exceptions, such as `send_all`, say so. Every operation is also a point where other tasks get their turn; a task
//! may complete a few that need not wait in a row ([`Builder::checkpoint_budget`]). Put [`checkpoint`] into long loops
//! that only compute.
//!
//! **Foreign futures** work: `join!`, `select!`, channels of other crates and so on, as long as they need no runtime of
//! their own. What foreign code drops is dropped, shielded or not.
//!
//! **Tests** are `#[trio::test]` functions: `autojump` puts them on a virtual clock that jumps to the next deadline when all
//! tasks wait, `schedules = 100` runs them under that many schedules, and a test in which nothing can ever happen again
//! fails at once with its task tree. See [`macro@test`] and [`testing`].
//!
//! ```
//! # use std::time::Duration;
//! #[trio::test(autojump)]
//! async fn an_hour_passes_at_once() {
//!     let started = trio::current_time();
//!     trio::sleep(Duration::from_secs(3600)).await;
//!     assert_eq!(trio::current_time() - started, Duration::from_secs(3600));
//! }
//! ```
//!
//! # What is where
//!
//! * running: [`run`], [`Builder`], `#[trio::main]`, `#[trio::test]`
//! * tasks: [`Nursery`], [`Limited`], [`TaskHandle`], [`TaskStatus`], [`ErrorGroup`]
//! * cancellation: [`CancelScope`], [`CancelHandle`], [`CancelLink`], [`CancelReason`], [`finally`], [`until_shutdown`],
//!   [`current_effective_deadline`]
//! * time: [`sleep`], [`sleep_until`], [`interval`], [`RateLimiter`], [`current_time`], [`Clock`]
//! * between tasks: [`Event`], [`Lock`], [`RwLock`], [`Condition`], [`Semaphore`], [`CapacityLimiter`], [`Barrier`],
//!   [`AsyncValue`], [`open_memory_channel`], [`safe_channel`], [`TaskLocal`]
//! * several futures at once: [`join`], [`race`], [`wait_all`], [`wait_any`], [`for_each_concurrent`]
//! * network: [`net`], [`open_tcp_stream`], [`open_tcp_listeners`], [`serve_tcp`], [`serve_per_core`], [`open_unix_socket`], [`SendStream`], [`ReceiveStream`], [`BufferedReceiveStream`]
//! * files: [`fs`], [`open_file`], [`wrap_file`], [`Path`]
//! * threads: [`to_thread`], [`from_thread`]
//! * signals: [`open_signal_receiver`], [`signals`]
//! * for your own primitives: [`ParkingLot`], [`lowlevel`]
//!
//! # Features
//!
//! All off by default.
//!
//! * `futures-io`, `tokio-io`: the streams have these crates' traits, and streams that have them become streams of this one
//!   (see [`compat`])
//! * `hyper`: HTTP servers and clients by hyper, axum and tower: the module `compat::hyper`
//! * `idna`: names of hosts that are not ASCII, by IDNA 2008 (see [`net::getaddrinfo`](net::getaddrinfo()))
//! * `sink`: [`MemorySender`] makes a `Sink` of the `futures` crates
//! * `stream`: [`MemoryReceiver`] is a `Stream` of the `futures` crates, and listeners make one
//! * `tls`: TLS over any stream, by rustls (the module `tls`)
//! * `tokio`: futures that need tokio's runtime run inside of a task (the module `compat::tokio`)
//! * `full`: all of them
//!
//! # Platforms
//!
//! Unix, and tested on Linux. Rust 1.85 or newer.
#![deny(missing_docs)]

extern crate self as trio;

mod attributes;
mod buffered;
mod channel;
pub mod compat;
mod fd_stream;
mod for_each;
pub mod fs;
mod interval;
mod kernel;
mod limited;
pub mod lowlevel;
mod macros;
pub mod net;
pub mod process;
mod rate_limiter;
pub mod signals;
mod stream;
mod sync;
pub mod testing;
mod threads;
#[cfg(feature = "tls")]
pub mod tls;
mod variables;

/// A result whose error is a [`BoxError`] unless given: so that `?` takes an `io::Error` and an [`ErrorGroup`] alike.
pub type Result<T = (), E = BoxError> = std::result::Result<T, E>;

pub use buffered::{BufferedReceiveStream, LimitExceededError};
#[cfg(feature = "sink")]
pub use channel::MemorySink;
pub use channel::{
    EndOfChannel, MemoryChannelStatistics, MemoryReceiver, MemorySender, SendError, TryReceiveError, TrySendError,
    Yielder, open_memory_channel, safe_channel,
};
pub use fd_stream::FdStream;
pub use for_each::for_each_concurrent;
pub use fs::{Path, open_file, wrap_file};
pub use interval::{Interval, MissedTicks, interval};
pub use kernel::builder::{Builder, CtrlC, run};
pub use kernel::checkpoint::checkpoint;
pub use kernel::child::TaskOutput;
pub use kernel::clock::Clock;
pub use kernel::finally::finally;
pub use kernel::group::{BoxError, ErrorGroup, TaskError};
pub use kernel::handle::CancelHandle;
pub use kernel::instrument::Instrument;
pub use kernel::link::CancelLink;
pub use kernel::nursery::{Named, Nursery, open_nursery, open_try_nursery};
pub use kernel::reactor::{BusyResourceError, ClosedResourceError};
pub use kernel::reason::{CancelReason, CancelSource};
pub use kernel::scope::{CancelScope, TooSlowError, fail_after, fail_at, move_on_after, move_on_at, shield};
pub use kernel::shutdown::until_shutdown;
pub use kernel::sleep::{current_time, sleep, sleep_forever, sleep_until};
pub use kernel::start::{StartError, TaskStatus};
pub use kernel::task::{Cancelled, TaskHandle};
pub use kernel::token::RunFinishedError;
pub use kernel::view::{EffectiveDeadline, current_effective_deadline};
pub use limited::{Limited, LimitedNamed};
pub use net::happy::open_tcp_stream;
pub use net::listeners::open_tcp_listeners;
pub use net::per_core::serve_per_core;
pub use net::serve::{serve_listeners, serve_tcp};
pub use net::unix::open_unix_socket;
pub use rate_limiter::{RateLimiter, RateLimiterStatistics};
pub use signals::{SignalReceiver, open_signal_receiver};
pub use stream::{
    AsyncResource, ByteStream, HalfCloseableStream, Listener, ReceiveStream, SendProgress, SendStream, SplitStream,
    StapledStream, aclose_forcefully,
};
pub use sync::{
    AsyncValue, AsyncValueStatistics, Barrier, BarrierStatistics, Borrower, BrokenResourceError, CapacityLimiter,
    CapacityLimiterStatistics, CapacityToken, Condition, ConditionStatistics, Event, EventStatistics, Lock, LockGuard,
    LockStatistics, LotBreaker, OwnedCapacityToken, ParkingLot, ParkingLotStatistics, ReleasedTooOftenError, RwLock,
    RwLockReadGuard, RwLockStatistics, RwLockWriteGuard, Semaphore, SemaphorePermit, SemaphoreStatistics,
    StrictFifoLock, Transitions, WouldBlock, join, race, wait_all, wait_any,
};
pub use threads::{from_thread, to_thread};
#[cfg(feature = "tls")]
pub use tls::{open_tls_over_tcp_listeners, open_tls_over_tcp_stream, serve_tls_over_tcp};
/// ```no_run
/// #[trio::main]
/// async fn main() -> trio::Result {
///     trio::open_tcp_stream("localhost", 80).await?;
///     Ok(())
/// }
/// ```
///
/// The function takes no parameters and returns what any `main` can. Options, in parentheses and with commas between:
///
/// | option | what it does |
/// | --- | --- |
/// | `clock = …` | the [`Clock`] of the run |
/// | `seed = …` | see [`Builder::seed`] |
/// | `instruments = …` | an iterator of [`Instrument`]s of one type |
/// | `ctrl_c = "cancel"` or `"ignore"` | what Ctrl-C does; unless said otherwise the first cancels the main task, and the program ends with 130, and the second kills |
/// | `crate = …` | the path of this crate, where it has another name |
///
/// # How the program ends
///
/// | | what happens | how the process ends |
/// | --- | --- | --- |
/// | the function returns | what it returned is reported as any `main`'s: an error is printed | with its exit code |
/// | Ctrl-C (SIGINT) | the main task is cancelled, as by a scope around it: what is not shielded is dropped, shields and [`finally`] run to their end; nothing is printed | with 130, also if all was over but the exit, or if the function returned something nevertheless |
/// | Ctrl-C again, before it has ended | nothing: no destructor runs | of SIGINT, which a shell shows as 130 |
/// | Ctrl-C, with `ctrl_c = "ignore"` | nothing | of SIGINT |
/// | SIGTERM, and all other signals that kill | nothing, whatever is shielded | of the signal: a shell shows 143 for SIGTERM |
///
/// All of it is so in every phase: while a body runs, while shielded children hold the nursery open, and while a `finally` is in
/// progress (the example `service` shows each). A signal for which there is an [`open_signal_receiver`] does nothing of this, but
/// comes to the receiver: that is how to end in good order on SIGTERM.
pub use trio_macros::main;
/// ```
/// #[trio::test(autojump, schedules = 100)]
/// async fn a_lock_is_handed_over_in_time() {
///     let lock = &trio::Lock::new(());
///     trio::nursery! { |n|
///         n.start_soon(async {
///             let _guard = lock.lock().await;
///             trio::sleep(std::time::Duration::from_secs(5)).await;
///         });
///         trio::sleep(std::time::Duration::from_secs(1)).await;
///         lock.lock().await;
///     };
/// }
/// # fn main() {}
/// ```
///
/// The function can have one parameter, the [`MockClock`](testing::MockClock) that it runs on. It returns `()`, a `Result`
/// or an `ExitCode`; `#[ignore]` and `#[should_panic]` work as always. A test in which nothing can ever run again fails at
/// once, with its task tree. Every operation yields, unless the test is run under schedules. Options:
///
/// | option | what it does |
/// | --- | --- |
/// | `autojump` | the test runs on a [`MockClock`](testing::MockClock), which jumps to the next deadline when every task waits |
/// | `schedules = N` | the test is run under N random schedules: see [`testing::Exploration`]; the first that fails is printed with the command that replays it: `TRIO_SEED=… cargo test …` |
/// | `systematic` | the test is run under all schedules there are, at most N (10,000 without `schedules`); prints how many, and whether there are more |
/// | `seed = …` | the test is run under the random schedule with this number |
/// | `checkpoint_budget = N` | see [`Builder::checkpoint_budget`]: 1 unless the test is run under schedules, then 32 |
/// | `crate = …` | the path of this crate, where it has another name |
pub use trio_macros::test;
pub use variables::{TaskLocal, TreeVar};

/// What the macros expand to. No promises: use the macros.
#[doc(hidden)]
pub mod __private {
    pub use crate::attributes::{MainOptions, TestOptions, run_main, run_test};
    pub use crate::kernel::nursery::expansion::{BodyExit, nursery, nursery_scoped, try_nursery, try_nursery_scoped};
    pub use crate::kernel::question::Try;
    pub use crate::testing::TestOutput;
    pub use trio_macros::*;
}
