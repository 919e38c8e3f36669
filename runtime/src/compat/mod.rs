//! Bridges to libraries that are not made for trio.
//!
//! Each is a feature that is off by default; `full` has all of them.
//!
//! | feature | what it bridges |
//! | --- | --- |
//! | `tokio` | futures that need tokio's runtime run inside of a task: the module `tokio` |
#![forbid(unsafe_code)]

#[cfg(feature = "tokio")]
pub mod tokio;
