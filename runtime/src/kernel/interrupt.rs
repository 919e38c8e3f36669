//! Ctrl-C: the first SIGINT cancels the main task of every run that asked for it, the next one kills.
//!
//! A receiver of SIGINT, while there is one, has it instead (see [`signal`]). Like inboxes, the sockets here are never
//! closed, only reused: the handler may be about to write to one on another thread.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::SIGINT;

use super::reactor::listen_readable;
use super::reason::{CancelReason, CancelSource};
use super::{context, signal};

/// How many runs can listen at one time; further ones get no Ctrl-C.
const LISTENERS: usize = 64;

/// A pair of connected sockets between the signal handler and a run.
struct Line {
    listening: AtomicBool,
    /// Its run has been told of a SIGINT.
    told: AtomicBool,
    sockets: OnceLock<(UnixStream, UnixStream)>,
}

static LINES: [Line; LISTENERS] =
    [const { Line { listening: AtomicBool::new(false), told: AtomicBool::new(false), sockets: OnceLock::new() } };
        LISTENERS];

/// What became of a SIGINT.
pub(super) enum Told {
    /// The runs that listen cancel their main tasks.
    Heard,
    /// One of them does so already, because of an earlier one.
    Again,
    /// No run listens.
    Nobody,
}

/// Runs in the signal handler: only atomics and one `write` each.
pub(super) fn tell() -> Told {
    let listening = || LINES.iter().filter(|line| line.listening.load(Ordering::SeqCst));
    if listening().next().is_none() {
        return Told::Nobody;
    }
    if listening().any(|line| line.told.load(Ordering::SeqCst)) {
        return Told::Again;
    }
    let mut heard = false;
    for line in listening() {
        // Another signal may be at it on another thread: then that one counts as the first.
        if line.told.swap(true, Ordering::SeqCst) {
            return Told::Again;
        }
        heard |= line.sockets.get().is_some_and(|(writer, _)| (&mut &*writer).write(&[0]).is_ok());
    }
    if heard { Told::Heard } else { Told::Again }
}

/// A run's claim on a line; given back when dropped.
struct Claim(&'static Line);

impl Drop for Claim {
    fn drop(&mut self) {
        self.0.listening.store(false, Ordering::SeqCst);
        self.0.told.store(false, Ordering::SeqCst);
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
    signal::install(SIGINT)?;
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
    pub(crate) async fn watch(&self) {
        while listen_readable(self.reader).await.is_ok() {
            if self.was_told() {
                context::with(|run| run.interrupt(CancelReason::new(CancelSource::KeyboardInterrupt)));
            }
        }
    }

    /// Whether Ctrl-C has been pressed since this was asked.
    pub(crate) fn was_told(&self) -> bool {
        let mut reader = self.reader;
        matches!(reader.read(&mut [0; 16]), Ok(1..))
    }
}
