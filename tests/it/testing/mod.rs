//! What `trio::testing` offers to tests.

mod blocked;
mod check_streams;
mod checkpoints;
mod listener;
mod matchers;
mod memory_streams;
pub(crate) mod net;
mod sequencer;
mod stapled;
