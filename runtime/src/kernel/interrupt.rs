//! Ctrl-C: the first SIGINT cancels the main task of every run that asked for it, the next one kills.
//!
//! A receiver of SIGINT, while there is one, has it instead (see [`signal`]).

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::SIGINT;

use super::bell::Bell;
use super::reactor::listen_readable;
use super::reason::{CancelReason, CancelSource};
use super::report::report;
use super::{context, signal};

/// How many runs can listen at one time; further ones get no Ctrl-C.
const LISTENERS: usize = 64;

/// A connection between the signal handler and a run.
struct Line {
    listening: AtomicBool,
    /// Its run has been told of a SIGINT.
    told: AtomicBool,
    bell: OnceLock<Bell>,
}

static LINES: [Line; LISTENERS] =
    [const { Line { listening: AtomicBool::new(false), told: AtomicBool::new(false), bell: OnceLock::new() } };
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

/// Runs in the signal handler: only atomics and one ring each.
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
        if let Some(bell) = line.bell.get() {
            bell.ring();
            heard = true;
        }
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

fn claim() -> io::Result<Option<(Claim, &'static Bell)>> {
    let free = |line: &&'static Line| !line.listening.load(Ordering::SeqCst);
    let Some(line) = LINES.iter().find(free) else { return Ok(None) };
    if line.bell.get().is_none() {
        // Losing a race for the line leaves the other's in place.
        let _ = line.bell.set(Bell::new()?);
    }
    signal::install(SIGINT)?;
    if line.listening.swap(true, Ordering::SeqCst) {
        return claim();
    }
    Ok(line.bell.get().map(|bell| (Claim(line), bell)))
}

/// A run that is told of Ctrl-C.
pub(crate) struct Listener {
    _claim: Claim,
    bell: &'static Bell,
}

impl Listener {
    /// From now on Ctrl-C no longer kills. `None`, with a message where it is a fault, if that can't be had.
    pub(crate) fn new() -> Option<Self> {
        let (claim, bell) = claim().unwrap_or_else(|error| {
            report(format_args!("Ctrl-C can't be handled: {error}"));
            None
        })?;
        // Left over from whoever had the line before.
        bell.was_rung();
        Some(Self { _claim: claim, bell })
    }

    /// The daemon that cancels the main task when Ctrl-C is pressed.
    pub(crate) async fn watch(&self) {
        while listen_readable(self.bell.reader()).await.is_ok() {
            if self.was_told() {
                context::with(|run| run.interrupt(CancelReason::new(CancelSource::KeyboardInterrupt)));
            }
        }
    }

    /// Whether Ctrl-C has been pressed since this was asked.
    pub(crate) fn was_told(&self) -> bool {
        self.bell.was_rung()
    }
}
