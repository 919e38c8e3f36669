//! Synchronisation between tasks of one run: fair, with direct hand-off.
#![forbid(unsafe_code)]

mod event;
mod lock;
pub(crate) mod wait_queue;

pub use event::Event;
pub use lock::{Lock, LockGuard, WouldBlock};
