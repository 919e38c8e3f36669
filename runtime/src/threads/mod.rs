//! Worker threads: calls to them, and calls back from them.
#![forbid(unsafe_code)]

mod cache;
pub(crate) mod calls;
pub mod from_thread;
mod limiter;
mod link;
pub mod to_thread;
mod wait;
