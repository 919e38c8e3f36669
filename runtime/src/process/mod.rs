//! Child processes.
//!
//! [`run_process`] runs a program to its end, as part of the task that calls it: when it returns, or is cancelled, the
//! child has exited and left nothing. [`supervise`] is the same in the background of a nursery. [`open_process`] only
//! starts a program. [`open_pty`] is for programs that want a terminal.
//!
//! ```
//! use trio::process::{Command, run_process};
//! trio::run(async {
//!     let output = run_process(Command::new("tr").args(["a-z", "A-Z"]).input("hello").capture_stdout(true)).await?;
//!     assert_eq!(output.stdout, b"HELLO");
//!     Ok::<(), trio::BoxError>(())
//! })
//! .unwrap();
//! ```
#![deny(unsafe_code)]

mod child;
mod command;
mod error;
mod exit;
mod pty;
mod stdio;
mod supervision;

pub use child::{Process, ProcessHandle};
pub use command::Command;
pub use error::{CalledProcessError, ProcessError};
pub use pty::{Pty, Terminal, open_pty};
pub use stdio::Stdio;
pub use supervision::{run_process, supervise};

use std::borrow::BorrowMut;
use std::io;

use crate::kernel::checkpoint::free_checkpoint;

/// Starts a program, and does not wait for it: Trio's `lowlevel.open_process`.
///
/// A checkpoint, before the program is started. The call blocks the run for as long as the system takes to start a program.
/// What only [`run_process`] needs to know of the command is ignored.
///
/// # Errors
///
/// The system's, if the program can't be started; [`InvalidInput`](io::ErrorKind::InvalidInput) if its options contradict
/// each other.
///
/// # Examples
///
/// ```
/// use trio::process::{Command, Stdio, open_process};
/// use trio::{AsyncResource, ReceiveStream, SendStream};
/// trio::run(async {
///     let mut cat = open_process(Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped())).await?;
///     let mut stream = cat.take_stdio().expect("both are piped");
///     stream.send_all(b"round").await?;
///     let mut buffer = [0; 100];
///     let count = stream.receive_some(&mut buffer).await?;
///     assert_eq!(&buffer[..count], b"round");
///     // Without a writer the cat ends.
///     stream.aclose().await?;
///     assert!(cat.wait().await?.success());
///     std::io::Result::Ok(())
/// })
/// .unwrap();
/// ```
pub async fn open_process(mut command: impl BorrowMut<Command>) -> io::Result<Process> {
    free_checkpoint().await;
    let command = command.borrow_mut();
    let streams = command.streams()?;
    command.spawn(streams)
}
