//! The block macros are blocks: every way out of one, in every one of them, in every nest.
//!
//! The lints are part of the test: what the macros expand to must not trouble a crate that
//! forbids `unsafe` and denies every warning, pedantic ones included.
#![forbid(unsafe_code)]
#![deny(warnings, clippy::pedantic)]

use std::pin::Pin;
use std::time::Duration;

mod attributes;
mod children;
mod exits;
mod forms;
mod nests;
mod places;
mod types;

/// Far longer than any test.
const HOUR: Duration = Duration::new(3600, 0);

/// Runs a future. In a box, lest the run loop be compiled once for every test.
fn drive<'a, T: 'a>(future: impl Future<Output = T> + 'a) -> T {
    let future: Pin<Box<dyn Future<Output = T> + 'a>> = Box::pin(future);
    trio::run(future)
}

/// The error of a body, told apart from every other type.
#[derive(Debug, PartialEq, Eq)]
struct Oops(u32);

impl std::fmt::Display for Oops {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "oops {}", self.0)
    }
}

impl std::error::Error for Oops {}

/// Fails with this number, unless it is 0.
fn check(number: u32) -> Result<u32, Oops> {
    if number == 0 { Ok(0) } else { Err(Oops(number)) }
}

/// `None` if the number is 0.
fn non_zero(number: u32) -> Option<u32> {
    (number != 0).then_some(number)
}
