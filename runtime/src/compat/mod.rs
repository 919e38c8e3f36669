//! Bridges to libraries that are not made for trio.
//!
//! Each is a feature that is off by default; `full` has all of them.
//!
//! | feature | what it bridges |
//! | --- | --- |
//! | `tokio` | futures that need tokio's runtime run inside of a task: the module `tokio` |
//!
//! The other way round, [`embedding`] is a guide for libraries that are to run on trio and on others.
#![forbid(unsafe_code)]

#[doc = include_str!("embedding.md")]
pub mod embedding {}
#[cfg(feature = "tokio")]
pub mod tokio;
