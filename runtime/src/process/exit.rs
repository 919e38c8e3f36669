//! How a run learns that a child has exited: a descriptor that becomes readable.
#![forbid(unsafe_code)]

use std::io;
use std::os::fd::OwnedFd;
use std::process::Child;

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, pidfd_open, waitid};

use crate::threads::to_thread::start_thread_soon;

/// A descriptor that becomes readable when the child has exited, and stays so.
///
/// That is what a pidfd is. Where the system has none, a thread waits for the child, and holds the other end of a pipe
/// meanwhile. Neither takes the child's status away.
pub(super) fn watch(child: &Child, use_pidfd: bool) -> io::Result<OwnedFd> {
    use rustix::io::Errno;

    let pid = Pid::from_child(child);
    if use_pidfd {
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => return Ok(pidfd),
            // A sandbox may refuse it, too.
            Err(Errno::NOSYS | Errno::PERM | Errno::INVAL) => {}
            // It has exited, and somebody else has collected its status: a pipe without a writer is readable.
            Err(Errno::SRCH) => return Ok(pipe_with(PipeFlags::CLOEXEC)?.0),
            Err(error) => return Err(error.into()),
        }
    }
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    start_thread_soon(move || wait_until_exited(pid), move |_| drop(writer))?;
    Ok(reader)
}

/// Blocks until the child has exited, and leaves its status to be collected.
fn wait_until_exited(pid: Pid) {
    while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {}
}

/// Sees to it that a child that nobody waits for any more leaves no zombie when it exits.
pub(super) fn reap_later(mut child: Child) {
    if matches!(child.try_wait(), Ok(None)) {
        // A child for which there can't be a thread is left to the end of this process.
        let _ = start_thread_soon(move || child.wait(), |_| ());
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, ExitStatus};

    use rustix::event::{PollFd, PollFlags, poll};

    use super::super::child::Process;
    use super::*;

    /// A child that has exited, and whose status was taken by somebody else.
    fn collected() -> Child {
        let child = Command::new("true").spawn().unwrap();
        waitid(WaitId::Pid(Pid::from_child(&child)), WaitIdOptions::EXITED).unwrap();
        child
    }

    #[test]
    fn a_child_that_somebody_else_has_collected_has_exited() {
        for use_pidfd in [true, false] {
            let exited = watch(&collected(), use_pidfd).unwrap();
            let mut polled = [PollFd::new(&exited, PollFlags::IN)];
            // As long as it takes a thread to see it.
            assert_eq!(poll(&mut polled, None), Ok(1));
            let status = crate::run(async { Process::new(collected(), None, use_pidfd).unwrap().wait().await });
            assert_eq!(status.unwrap(), ExitStatus::default());
        }
    }
}
