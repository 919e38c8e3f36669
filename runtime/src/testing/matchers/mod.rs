//! Saying what a nursery must have failed with.

mod error;
mod group;
mod pairing;

pub use error::ErrorMatcher;
pub use group::{ErrorGroupMatcher, GroupMismatch};
