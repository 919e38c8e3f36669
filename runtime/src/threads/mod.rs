//! Worker threads: calls to them, and calls back from them.

mod cache;
pub(crate) mod calls;
pub mod from_thread;
mod limiter;
mod link;
mod name;
pub mod to_thread;
mod wait;
