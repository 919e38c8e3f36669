//! How a run learns that a child has exited: a descriptor that becomes readable.
#![forbid(unsafe_code)]

use std::io;
use std::os::fd::OwnedFd;
use std::process::Child;
use std::thread;

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, pidfd_open, waitid};

/// A descriptor that becomes readable when the child has exited, and stays so.
///
/// That is what a pidfd is. Where the system has none, a thread waits for the child, and holds the other end of a pipe
/// meanwhile. Neither takes the child's status away.
pub(super) fn watch(child: &Child, use_pidfd: bool) -> io::Result<OwnedFd> {
    let pid = Pid::from_child(child);
    if use_pidfd {
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => return Ok(pidfd),
            // A sandbox may refuse it, too.
            Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM | rustix::io::Errno::INVAL) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    thread::Builder::new().name(format!("wait {}", child.id())).stack_size(64 * 1024).spawn(move || {
        wait_until_exited(pid);
        drop(writer);
    })?;
    Ok(reader)
}

/// Blocks until the child has exited, and leaves its status to be collected.
fn wait_until_exited(pid: Pid) {
    while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {}
}

/// Sees to it that a child that nobody waits for any more leaves no zombie when it exits.
pub(super) fn reap_later(mut child: Child) {
    if !matches!(child.try_wait(), Ok(None)) {
        return;
    }
    // A child for which there can't be a thread is left to the end of this process.
    let _ =
        thread::Builder::new().name(format!("reap {}", child.id())).stack_size(64 * 1024).spawn(move || child.wait());
}
