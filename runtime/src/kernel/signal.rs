//! Signals: one handler for each, which stays, and tells whoever wants it now.
//!
//! Handlers can't be taken out safely, so there is one for each signal that anybody has ever wanted. While nobody wants
//! it, it does what the system would have done before. Handlers that others had installed are always called, too: that
//! is what `signal-hook` does.
//!
//! Who wants signals has a [`Line`]. Like inboxes, lines are never freed, only reused: a handler may be about to write to
//! one on another thread.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use signal_hook::consts::{FORBIDDEN, SIGINT};
use signal_hook::low_level;

use super::interrupt::{self, Told};

/// One more than the highest number that a signal has.
const SIGNALS: usize = 65;

/// A place where signals wait for one receiver.
pub(crate) struct Line {
    taken: AtomicBool,
    /// A number that no other opening has; 0 while it is closed.
    opened: AtomicUsize,
    wants: [AtomicBool; SIGNALS],
    /// For each signal that has come, how many had come before it; 0: it has not.
    came: [AtomicUsize; SIGNALS],
    writer: UnixStream,
    reader: UnixStream,
    /// The lines are a list that only grows.
    next: OnceLock<&'static Self>,
}

static FIRST: OnceLock<&'static Line> = OnceLock::new();

/// Whether a signal did what the system does with it, before there was a handler of ours.
static WAS_DEFAULT: [AtomicBool; SIGNALS] = [const { AtomicBool::new(false) }; SIGNALS];

/// The next number for an opening, or for a signal that has come.
static NEXT: AtomicUsize = AtomicUsize::new(1);

fn lines() -> impl Iterator<Item = &'static Line> {
    std::iter::successors(FIRST.get().copied(), |line| line.next.get().copied())
}

/// Runs in the signal handler: only atomics, `write`, and what a signal's default may be.
fn on_signal(signal: usize) {
    let wanting = |line: &&Line| line.opened.load(Ordering::SeqCst) != 0 && line.wants[signal].load(Ordering::SeqCst);
    // The one that was opened last has it, as if the others' handlers had been replaced by its own.
    while let Some(line) = lines().filter(wanting).max_by_key(|line| line.opened.load(Ordering::SeqCst)) {
        if line.put(signal) {
            return;
        }
    }
    let number = signal as i32;
    let told = if number == SIGINT { interrupt::tell() } else { Told::Nobody };
    let default = match told {
        Told::Heard => false,
        Told::Again => true,
        Told::Nobody => WAS_DEFAULT[signal].load(Ordering::SeqCst),
    };
    // Dies of the signal, stops, or does nothing. Should dying fail, the next one comes here again.
    if default && low_level::emulate_default_handler(number).is_err() {
        // A signal without a name; all of these kill.
        low_level::exit(128 + number);
    }
}

/// Sees to it that a signal comes to [`on_signal`].
pub(crate) fn install(signal: i32) -> io::Result<()> {
    static INSTALLED: Mutex<[bool; SIGNALS]> = Mutex::new([false; SIGNALS]);
    let place = check(signal)?;
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if installed[place] {
        return Ok(());
    }
    WAS_DEFAULT[place].store(is_default(signal)?, Ordering::SeqCst);
    // SAFETY: `on_signal` does only what a signal handler may: it reads and writes atomics, and calls `write` and, to do
    // what the system does by default, `sigaction`, `sigprocmask`, `raise`, `_exit` and `abort`.
    unsafe { low_level::register(signal, move || on_signal(place)) }?;
    installed[place] = true;
    Ok(())
}

/// Refuses numbers that are none of a signal that can be handled.
pub(crate) fn check(signal: i32) -> io::Result<usize> {
    let place = usize::try_from(signal).ok().filter(|place| (1..SIGNALS).contains(place));
    let Some(place) = place else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("there is no signal {signal}")));
    };
    if FORBIDDEN.contains(&signal) {
        let name = low_level::signal_name(signal).unwrap_or("it");
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("signal {signal} can't be received: {name} stops or kills the program, or means that it is broken"),
        ));
    }
    Ok(place)
}

/// Whether the system does with a signal what it does by default.
fn is_default(signal: i32) -> io::Result<bool> {
    // SAFETY: `sigaction` is a plain C structure, for which zeroes are a valid value.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: without a new action, `sigaction` only writes the present one to where the last pointer leads, which is a
    // structure of the right type.
    if unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut action) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(action.sa_sigaction == libc::SIG_DFL)
}

impl Line {
    fn new() -> io::Result<Self> {
        let (writer, reader) = UnixStream::pair()?;
        writer.set_nonblocking(true)?;
        reader.set_nonblocking(true)?;
        Ok(Self {
            taken: AtomicBool::new(true),
            opened: AtomicUsize::new(0),
            wants: [const { AtomicBool::new(false) }; SIGNALS],
            came: [const { AtomicUsize::new(0) }; SIGNALS],
            writer,
            reader,
            next: OnceLock::new(),
        })
    }

    /// Takes a line that is free, or a new one, for these signals, whose handlers are installed. No more signals come
    /// when it is [closed](Self::close).
    pub(crate) fn open(signals: &[i32]) -> io::Result<&'static Self> {
        let line = match lines().find(|line| !line.taken.swap(true, Ordering::SeqCst)) {
            Some(line) => line,
            None => Self::append(Box::leak(Box::new(Self::new()?))),
        };
        // Left over from whoever had it before.
        line.calm();
        for came in &line.came {
            came.store(0, Ordering::SeqCst);
        }
        for signal in signals {
            line.wants[check(*signal)?].store(true, Ordering::SeqCst);
        }
        line.opened.store(NEXT.fetch_add(1, Ordering::SeqCst), Ordering::SeqCst);
        Ok(line)
    }

    fn append(line: &'static Self) -> &'static Self {
        let mut place = &FIRST;
        while let Err(line) = place.set(line) {
            place = &place.get().unwrap_or(&line).next;
        }
        line
    }

    /// Runs in the signal handler. False if the line was closed meanwhile and the signal has to go elsewhere.
    fn put(&self, signal: usize) -> bool {
        let opened = self.opened.load(Ordering::SeqCst);
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        // One that is there already keeps its place in the queue.
        let _ = self.came[signal].compare_exchange(0, number, Ordering::SeqCst, Ordering::SeqCst);
        // If that fails, the socket is full, and so readable.
        let _ = (&self.writer).write(&[0]);
        let is_open = opened != 0 && self.opened.load(Ordering::SeqCst) == opened;
        // Whoever closes it takes what has come: unless that was before this one came.
        (is_open && self.wants[signal].load(Ordering::SeqCst)) || self.came[signal].swap(0, Ordering::SeqCst) == 0
    }

    /// Takes the signal that came first of those that are here.
    pub(crate) fn take(&self) -> Option<i32> {
        loop {
            let waiting = (1..SIGNALS).map(|signal| (self.came[signal].load(Ordering::SeqCst), signal));
            let (_, signal) = waiting.filter(|(number, _)| *number != 0).min()?;
            if self.came[signal].swap(0, Ordering::SeqCst) != 0 {
                return Some(signal as i32);
            }
        }
    }

    /// How many signals are here.
    pub(crate) fn len(&self) -> usize {
        self.came.iter().filter(|came| came.load(Ordering::SeqCst) != 0).count()
    }

    /// What becomes readable when a signal comes.
    pub(crate) fn reader(&self) -> &UnixStream {
        &self.reader
    }

    /// Makes the reader unreadable until another signal comes. What has come before is [taken](Self::take) afterwards.
    pub(crate) fn calm(&self) {
        while matches!((&self.reader).read(&mut [0; 64]), Ok(1..)) {}
    }

    /// Gives the line back. What has come and was not taken is raised again, for whoever wants it then.
    pub(crate) fn close(&self) {
        self.opened.store(0, Ordering::SeqCst);
        for wants in &self.wants {
            wants.store(false, Ordering::SeqCst);
        }
        let left: Vec<i32> = std::iter::from_fn(|| self.take()).collect();
        self.taken.store(false, Ordering::SeqCst);
        for signal in left {
            // Fails for no signal that could come.
            let _ = low_level::raise(signal);
        }
    }
}
