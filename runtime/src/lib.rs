//! Structured concurrency.
#![deny(missing_docs)]

extern crate self as trio;

mod attributes;
mod channel;
mod kernel;
pub mod lowlevel;
mod macros;
pub mod net;
mod stream;
mod sync;
pub mod testing;
mod threads;

/// An error of any type, as `?` makes them.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A result whose error is a [`BoxError`] unless given: so that `?` takes an `io::Error` and an [`ErrorGroup`] alike.
pub type Result<T = (), E = BoxError> = std::result::Result<T, E>;

pub use channel::{
    EndOfChannel, MemoryChannelStatistics, MemoryReceiver, MemorySender, SendError, TryReceiveError, TrySendError,
    open_memory_channel,
};
pub use kernel::checkpoint::checkpoint;
pub use kernel::child::TaskOutput;
pub use kernel::clock::Clock;
pub use kernel::finally::finally;
pub use kernel::group::{ErrorGroup, TaskError};
pub use kernel::handle::CancelHandle;
pub use kernel::nursery::{Named, Nursery, open_nursery, open_try_nursery};
pub use kernel::reactor::{BusyResourceError, ClosedResourceError};
pub use kernel::reason::{CancelReason, CancelSource};
pub use kernel::run::{Builder, CtrlC, run};
pub use kernel::scope::{
    CancelScope, TooSlowError, fail_after, fail_at, move_on_after, move_on_at, shield,
};
pub use kernel::sleep::{current_time, sleep, sleep_forever, sleep_until};
pub use kernel::start::{StartError, TaskStatus};
pub use kernel::task::{Cancelled, TaskHandle};
pub use kernel::token::RunFinishedError;
pub use kernel::view::{EffectiveDeadline, current_effective_deadline};
pub use net::happy::open_tcp_stream;
pub use stream::{AsyncResource, ByteStream, HalfCloseableStream, Listener, ReceiveStream, SendStream};
pub use sync::{Event, Lock, LockGuard, WouldBlock};
pub use trio_macros::{main, test};

/// What the macros expand to. No promises: use the macros.
#[doc(hidden)]
pub mod __private {
    pub use crate::attributes::{MainOptions, TestOptions, TestOutput, run_main, run_test};
    pub use crate::kernel::nursery::expansion::{
        BodyExit, nursery, nursery_scoped, try_nursery, try_nursery_scoped,
    };
    pub use crate::kernel::question::Try;
    pub use trio_macros::*;
}
