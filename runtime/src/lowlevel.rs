//! For those who write their own primitives: checkpoints in parts, waiting for descriptors, tokens, system tasks.
#![forbid(unsafe_code)]

pub use crate::kernel::checkpoint::{cancel_shielded_checkpoint, checkpoint_if_cancelled};
pub use crate::kernel::guest::{GuestError, GuestRun, start_guest_run};
pub use crate::kernel::guest_host::{GuestHost, HostCallback};
pub use crate::kernel::instrument::{InstrumentId, UnknownInstrumentError, add_instrument, remove_instrument};
pub use crate::kernel::park::{Abort, Rescheduler};
pub use crate::kernel::reactor::{notify_closing, wait_readable, wait_writable};
pub use crate::kernel::system::{NurseryClosedError, spawn_system_task};
pub use crate::kernel::token::{Token, current_token};
pub use crate::kernel::view::{
    CancelStatus, NurseryInfo, RunStatistics, Task, TaskState, TaskTree, current_root_task, current_statistics,
    current_task, in_run, in_task, task_tree,
};
#[doc(no_inline)]
pub use crate::sync::{LotBreaker, ParkingLot, ParkingLotStatistics};
pub use crate::variables::{RunVar, RunVarToken};
