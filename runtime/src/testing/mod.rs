//! Tools for testing programs that use trio: a virtual clock, and ways to know when nothing more will happen.
#![forbid(unsafe_code)]

mod blocked;
mod mock_clock;

pub use blocked::wait_all_tasks_blocked;
pub use mock_clock::MockClock;
