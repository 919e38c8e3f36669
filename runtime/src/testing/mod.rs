//! Tools for testing programs that use trio: a virtual clock, ways to know when nothing more will happen, a forced order,
//! streams without a network, a network without wires ([`net`]), checks that every stream must pass, and matchers for what a nursery fails with.
#![forbid(unsafe_code)]

mod blocked;
mod byte_queue;
mod changes;
mod check;
mod checkpoints;
mod conflict;
pub(crate) mod explore;
mod handles;
mod hooks;
mod listener;
mod lockstep;
mod matchers;
mod memory_pairs;
mod memory_receive;
mod memory_send;
mod mock_clock;
pub mod net;
mod output;
mod sequencer;
mod threads;

pub use blocked::wait_all_tasks_blocked;
pub use check::{
    CloggedStreamMaker, NeverClogged, check_half_closeable_stream, check_one_way_stream,
    check_shared_half_closeable_stream, check_shared_one_way_stream, check_two_way_stream,
};
pub use checkpoints::{assert_checkpoints, assert_no_checkpoints};
pub use explore::{Exploration, Explored, InvalidScheduleError, Schedule};
pub use hooks::{AsyncHook, CloseHook};
pub use listener::open_stream_to_socket_listener;
pub use lockstep::{
    LockstepReceiveStream, LockstepSendStream, LockstepStream, lockstep_stream_one_way_pair, lockstep_stream_pair,
};
pub use matchers::{ErrorGroupMatcher, ErrorMatcher, GroupMismatch};
pub use memory_pairs::{MemoryStream, memory_stream_one_way_pair, memory_stream_pair, memory_stream_pump};
pub use memory_receive::MemoryReceiveStream;
pub use memory_send::MemorySendStream;
pub use mock_clock::MockClock;
pub use output::TestOutput;
pub use sequencer::{SequencePoint, Sequencer, SequencerError};
pub use threads::{active_thread_count, wait_all_threads_completed};
