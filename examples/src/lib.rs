//! The parts that the examples share, kept out of them so that each example shows one thing.
//!
//! The programs themselves are beside this folder; `cargo run --example quickstart` runs the first
//! one.

pub mod http;
pub mod site;
pub mod url;

use std::fmt::Display;
use std::io::{self, Write};

/// Prints a line. A reader that has gone away, as in `quickstart | head`, is no reason to panic, least
/// of all in a destructor.
pub fn say(line: impl Display) {
    let _gone = writeln!(io::stdout(), "{line}");
}

/// Compiles and runs the programs in the README, so that they stay true.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
