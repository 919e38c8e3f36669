//! Signals of the system, as something to wait for.
//!
//! A task opens a receiver for some signals and waits for them, as for messages of a channel. That is all there is to
//! reload on SIGHUP, or to end in good order on SIGTERM. Ctrl-C needs no receiver: `#[trio::main]` turns it into a
//! cancellation.
//!
//! The constants are the numbers of the usual signals on this system; any other number does as well.
#![forbid(unsafe_code)]

use std::fmt;
use std::io;

#[doc(no_inline)]
pub use signal_hook::consts::{
    SIGALRM, SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGPIPE, SIGQUIT, SIGTERM, SIGTSTP, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2,
    SIGWINCH,
};

use crate::kernel::checkpoint::schedule_point;
use crate::kernel::reactor::BusyResourceError;
use crate::kernel::signal::{self, Line};
use crate::lowlevel::{checkpoint_if_cancelled, notify_closing, wait_readable};

/// Receives these signals from now on, instead of what they do otherwise: Trio's `open_signal_receiver`.
///
/// Until it is dropped, the signals have no other effect of the system's, and of trio's (so a receiver for SIGINT has
/// Ctrl-C to itself). Handlers that other code has installed before are called as well. Of several receivers for the same
/// signal, in whatever threads and runs, the one that was opened last gets it.
///
/// The process is not asked again after the last receiver has gone: trio's handler stays, and does what the system did
/// before. So code that installs a handler of its own should do so before the first receiver of that signal is opened.
///
/// Not a checkpoint. Works in any thread, unlike Trio's.
///
/// # Errors
///
/// [`InvalidInput`](io::ErrorKind::InvalidInput) if there are no signals, if one of the numbers is no signal's, or if it is
/// one that can't be received: SIGKILL, SIGSTOP, SIGILL, SIGFPE, SIGSEGV. Then none of them is changed.
///
/// # Examples
///
/// ```
/// use trio::signals::{SIGHUP, SIGTERM};
///
/// async fn serve_until_told(reload: impl Fn()) -> std::io::Result<()> {
///     let mut signals = trio::open_signal_receiver(&[SIGHUP, SIGTERM])?;
///     while signals.receive().await? == SIGHUP {
///         reload();
///     }
///     Ok(())
/// }
/// # trio::run(trio::move_on_after(std::time::Duration::from_millis(1), serve_until_told(|| ())));
/// ```
pub fn open_signal_receiver(signals: &[i32]) -> io::Result<SignalReceiver> {
    if signals.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no signals were given"));
    }
    for signal in signals {
        signal::check(*signal)?;
    }
    for signal in signals {
        signal::install(*signal)?;
    }
    let mut signals = signals.to_vec();
    signals.sort_unstable();
    signals.dedup();
    Ok(SignalReceiver { line: Line::open(&signals)?, signals })
}

/// Receives signals: see [`open_signal_receiver`].
///
/// A signal that comes again before it has been received is received once, in its first place. What has come and was not
/// received when the receiver is dropped is raised again, so that whoever wants it then has it: no signal is lost.
#[must_use = "signals come only as long as it is not dropped"]
pub struct SignalReceiver {
    line: &'static Line,
    signals: Vec<i32>,
}

impl SignalReceiver {
    /// Waits for the next signal, and gives its number. Signals are received in the order in which they came.
    ///
    /// A checkpoint, also if one is there. Cancelling it loses nothing.
    ///
    /// # Errors
    ///
    /// If the system can't wait for it, for want of memory.
    pub async fn receive(&mut self) -> io::Result<i32> {
        checkpoint_if_cancelled().await;
        if self.line.len() > 0 {
            // Before anything is taken, so that nothing is lost if foreign code drops this here.
            schedule_point().await;
        }
        loop {
            if let Some(signal) = self.line.take() {
                return Ok(signal);
            }
            match wait_readable(self.line.reader()).await {
                // Nobody else has the line, so it is a wait that was forgotten, and holds its place for ever.
                Err(error) if BusyResourceError::is_in(&error) => notify_closing(self.line.reader()),
                waited => waited?,
            }
            self.line.calm();
        }
    }

    /// How many signals have come and have not been received.
    pub fn pending(&self) -> usize {
        self.line.len()
    }

    /// The signals that it receives, in the order of their numbers.
    pub fn signals(&self) -> &[i32] {
        &self.signals
    }
}

impl fmt::Debug for SignalReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignalReceiver").field("signals", &self.signals).field("pending", &self.pending()).finish()
    }
}

impl Drop for SignalReceiver {
    fn drop(&mut self) {
        self.line.close();
    }
}
