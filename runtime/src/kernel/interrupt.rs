//! Ctrl-C: the first SIGINT cancels the main task of every run that asked for it, the next one kills.
//!
//! The signal handler is installed once and stays, since handlers can't be taken out safely. While no run listens,
//! it does what the system would have done. Like inboxes, its sockets are never closed, only reused: the handler may
//! be about to write to one on another thread.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Once, OnceLock};

use signal_hook::consts::SIGINT;
use signal_hook::low_level::{emulate_default_handler, register};

use super::context;
use super::reactor::listen_readable;
use super::reason::{CancelReason, CancelSource};

/// How many runs can listen at one time; further ones get no Ctrl-C.
const LISTENERS: usize = 64;

/// A pair of connected sockets between the signal handler and a run.
struct Line {
    listening: AtomicBool,
    sockets: OnceLock<(UnixStream, UnixStream)>,
}

static LINES: [Line; LISTENERS] =
    [const { Line { listening: AtomicBool::new(false), sockets: OnceLock::new() } }; LISTENERS];
/// A SIGINT has come, and the runs that listened then have not all ended.
static PENDING: AtomicBool = AtomicBool::new(false);
static INSTALLED: Once = Once::new();

/// Runs in the signal handler: only atomics and one `write` each.
fn on_signal() {
    let mut heard = false;
    if !PENDING.swap(true, Ordering::SeqCst) {
        for line in LINES.iter().filter(|line| line.listening.load(Ordering::SeqCst)) {
            if let Some((writer, _)) = line.sockets.get() {
                heard |= (&mut &*writer).write(&[0]).is_ok();
            }
        }
    }
    if !heard {
        // Dies of the signal; should that fail, the next one comes here again.
        let _ = emulate_default_handler(SIGINT);
    }
}

/// A run's claim on a line; given back when dropped.
struct Claim(&'static Line);

impl Drop for Claim {
    fn drop(&mut self) {
        self.0.listening.store(false, Ordering::SeqCst);
        if LINES.iter().all(|line| !line.listening.load(Ordering::SeqCst)) {
            PENDING.store(false, Ordering::SeqCst);
        }
    }
}

fn claim() -> io::Result<Option<(Claim, &'static UnixStream)>> {
    let free = |line: &&'static Line| !line.listening.load(Ordering::SeqCst);
    let Some(line) = LINES.iter().find(free) else { return Ok(None) };
    if line.sockets.get().is_none() {
        let (writer, reader) = UnixStream::pair()?;
        writer.set_nonblocking(true)?;
        reader.set_nonblocking(true)?;
        // Losing a race for the line leaves the other's pair in place.
        let _ = line.sockets.set((writer, reader));
    }
    let mut installed = Ok(());
    INSTALLED.call_once(|| {
        // SAFETY: `on_signal` does only what a signal handler may: it reads and writes atomics, and calls `write`
        // and, to die, `sigaction`, `raise` and `abort`.
        installed = unsafe { register(SIGINT, on_signal) }.map(|_| ());
    });
    installed?;
    if line.listening.swap(true, Ordering::SeqCst) {
        return claim();
    }
    Ok(line.sockets.get().map(|(_, reader)| (Claim(line), reader)))
}

/// A run that is told of Ctrl-C.
pub(crate) struct Listener {
    _claim: Claim,
    reader: &'static UnixStream,
}

impl Listener {
    /// From now on Ctrl-C no longer kills. `None`, with a message where it is a fault, if that can't be had.
    pub(crate) fn new() -> Option<Self> {
        let (claim, mut reader) = claim().unwrap_or_else(|error| {
            eprintln!("trio: Ctrl-C can't be handled: {error}");
            None
        })?;
        // Left over from whoever had the line before.
        while matches!(reader.read(&mut [0; 16]), Ok(1..)) {}
        Some(Self { _claim: claim, reader })
    }

    /// The daemon that cancels the main task when Ctrl-C is pressed.
    pub(crate) async fn watch(self) {
        let mut reader = self.reader;
        while listen_readable(reader).await.is_ok() {
            if matches!(reader.read(&mut [0; 16]), Ok(1..)) {
                context::with(|run| run.interrupt(CancelReason::new(CancelSource::KeyboardInterrupt)));
            }
        }
    }
}
