//! The parts that the examples share, kept out of them so that each example shows one thing.
//!
//! The programs themselves are beside this folder; `cargo run --example quickstart` runs the first
//! one.

pub mod http;
pub mod site;
pub mod url;

/// Compiles and runs the programs in the README, so that they stay true.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
