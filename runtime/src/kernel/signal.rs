//! Signals: one handler for each, which stays, and tells whoever wants it now.
//!
//! Handlers can't be taken out safely, so there is one for each signal that anybody has ever wanted. While nobody wants
//! it, it does what the system would have done before. Handlers that others had installed are always called, too: that
//! is what `signal-hook` does.
//!
//! Who wants signals has a [`Line`]. Like inboxes, lines are never freed, only reused: a handler may be about to write to
//! one on another thread. What such a handler leaves in a line that is not its own any more is never thrown away: whoever
//! takes it out, the handler itself or an owner, sees to it that it comes to somebody.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use signal_hook::consts::{FORBIDDEN, SIGINT};
use signal_hook::low_level;

use super::bell::Bell;
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
    bell: Bell,
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
    if default {
        act_by_default(number);
    }
}

/// Runs in the signal handler. Dies of the signal, stops, or does nothing, as the system would.
fn act_by_default(signal: i32) {
    // Which is no signal that is ignored here, whatever others say.
    let kills = cfg!(target_os = "linux") && signal == libc::SIGIO;
    if kills || low_level::emulate_default_handler(signal).is_err() {
        // A signal without a name; all of these kill.
        die_of(signal);
    }
}

/// Runs in the signal handler.
fn die_of(signal: i32) -> ! {
    // SAFETY: these are async-signal-safe. `sigaction` is a plain C structure, for which zeroes are a valid value, which means
    // the default; `sigemptyset` makes the set valid; all pointers are null or lead to locals of the right types.
    unsafe {
        let action: libc::sigaction = std::mem::zeroed();
        let mut this: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut this);
        libc::sigaddset(&raw mut this, signal);
        if libc::sigaction(signal, &raw const action, std::ptr::null_mut()) == 0 {
            libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const this, std::ptr::null_mut());
            libc::raise(signal);
        }
    }
    low_level::exit(128 + signal)
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
    // what the system does by default, `sigaction`, `sigprocmask`, `pthread_sigmask`, `raise`, `_exit` and `abort`.
    unsafe { low_level::register(signal, move || on_signal(place)) }?;
    installed[place] = true;
    Ok(())
}

/// Refuses numbers that are none of a signal that can be handled.
pub(crate) fn check(signal: i32) -> io::Result<usize> {
    let place = usize::try_from(signal).ok().filter(|place| (1..SIGNALS).contains(place));
    let Some(place) = place else {
        return Err(no_signal(signal));
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

/// Sends a process a real-time signal.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn send_real_time(process: rustix::process::Pid, signal: i32) -> io::Result<()> {
    if !(libc::SIGRTMIN()..=libc::SIGRTMAX()).contains(&signal) {
        return Err(no_signal(signal));
    }
    // SAFETY: a call with two numbers. The first means one process, since a `Pid` is more than 0.
    if unsafe { libc::kill(process.as_raw_nonzero().get(), signal) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// There are none.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn send_real_time(_: rustix::process::Pid, signal: i32) -> io::Result<()> {
    Err(no_signal(signal))
}

fn no_signal(signal: i32) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("there is no signal {signal}"))
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
        Ok(Self {
            taken: AtomicBool::new(true),
            opened: AtomicUsize::new(0),
            wants: [const { AtomicBool::new(false) }; SIGNALS],
            came: [const { AtomicUsize::new(0) }; SIGNALS],
            bell: Bell::new()?,
            next: OnceLock::new(),
        })
    }

    /// Takes a line that is free, or a new one, for these signals, whose handlers are installed. No more signals come
    /// when it is [closed](Self::close).
    pub(crate) fn open(signals: &[i32]) -> io::Result<&'static Self> {
        let places = signals.iter().map(|signal| check(*signal)).collect::<io::Result<Vec<usize>>>()?;
        let line = match lines().find(|line| !line.taken.swap(true, Ordering::SeqCst)) {
            Some(line) => line,
            None => Self::append(Box::leak(Box::new(Self::new()?))),
        };
        line.calm();
        // A handler may have left something when the line had been closed. It will find it gone, and rely on us.
        let left = line.empty();
        for place in places {
            line.wants[place].store(true, Ordering::SeqCst);
        }
        line.opened.store(NEXT.fetch_add(1, Ordering::SeqCst), Ordering::SeqCst);
        raise_again(&left);
        Ok(line)
    }

    fn append(line: &'static Self) -> &'static Self {
        let mut place = &FIRST;
        while let Err(line) = place.set(line) {
            place = &place.get().unwrap_or(&line).next;
        }
        line
    }

    /// Runs in the signal handler. False if nobody has the line who wants the signal, which has to go elsewhere.
    fn put(&self, signal: usize) -> bool {
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        // One that is there already keeps its place in the queue.
        let is_ours = self.came[signal].compare_exchange(0, number, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        self.bell.ring();
        self.is_wanted(signal) || (is_ours && !self.take_back(signal, number))
    }

    /// Whether somebody has the line now who wants this signal, if not the one who had it before. Whoever closes it after
    /// that takes what has come.
    fn is_wanted(&self, signal: usize) -> bool {
        self.opened.load(Ordering::SeqCst) != 0 && self.wants[signal].load(Ordering::SeqCst)
    }

    /// Takes back what was put into a line that is not wanted to be there. False if somebody has taken it out already, who
    /// is then the one to take care of it. One that another handler has put there is left to that.
    fn take_back(&self, signal: usize, number: usize) -> bool {
        self.came[signal].compare_exchange(number, 0, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// The signals that are here for the owner, with the number of each.
    fn waiting(&self) -> impl Iterator<Item = (usize, usize)> {
        let numbered = (1..SIGNALS).map(|signal| (self.came[signal].load(Ordering::SeqCst), signal));
        // One that is not wanted was put here by mistake, and will be taken back.
        numbered.filter(|(number, signal)| *number != 0 && self.wants[*signal].load(Ordering::SeqCst))
    }

    /// Takes the signal that came first of those that are here.
    pub(crate) fn take(&self) -> Option<i32> {
        loop {
            let (_, signal) = self.waiting().min()?;
            if self.came[signal].swap(0, Ordering::SeqCst) != 0 {
                return Some(signal as i32);
            }
        }
    }

    /// How many signals are here.
    pub(crate) fn len(&self) -> usize {
        self.waiting().count()
    }

    /// What becomes readable when a signal comes.
    pub(crate) fn reader(&self) -> &UnixStream {
        self.bell.reader()
    }

    /// Makes the reader unreadable until another signal comes. What has come before is [taken](Self::take) afterwards.
    pub(crate) fn calm(&self) {
        self.bell.was_rung();
    }

    /// Gives the line back. What has come and was not taken is raised again, for whoever wants it then.
    pub(crate) fn close(&self) {
        self.opened.store(0, Ordering::SeqCst);
        for wants in &self.wants {
            wants.store(false, Ordering::SeqCst);
        }
        let left = self.empty();
        self.taken.store(false, Ordering::SeqCst);
        raise_again(&left);
    }

    /// Takes out all that is here, wanted or not, in the order in which it came.
    fn empty(&self) -> Vec<i32> {
        let out = |signal: usize| (self.came[signal].swap(0, Ordering::SeqCst), signal as i32);
        let mut left: Vec<(usize, i32)> = (1..SIGNALS).map(out).filter(|(number, _)| *number != 0).collect();
        left.sort_unstable();
        left.into_iter().map(|(_, signal)| signal).collect()
    }
}

fn raise_again(signals: &[i32]) {
    for signal in signals {
        // Fails for no signal that could come.
        let _ = low_level::raise(*signal);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;
    use std::thread;
    use std::time::{Duration, Instant};

    use signal_hook::consts::{SIGUSR1, SIGUSR2};

    use super::*;

    /// Signals are the process's: tests that raise some must not run at the same time.
    static ALONE: Mutex<()> = Mutex::new(());

    fn open(signals: &[i32]) -> &'static Line {
        for signal in signals {
            install(*signal).unwrap();
        }
        Line::open(signals).unwrap()
    }

    // What a handler does on a thread that was paused, step by step.
    #[test]
    fn a_signal_that_is_put_into_a_line_after_its_end_goes_to_the_next_owner() {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let signal = SIGUSR1 as usize;
        let line = open(&[SIGUSR1]);
        line.close();
        line.came[signal].store(usize::MAX, Ordering::SeqCst);
        let next = open(&[SIGUSR1]);
        assert!(std::ptr::eq(line, next), "it is used again");
        assert_eq!(next.take(), Some(SIGUSR1));
        assert!(!next.take_back(signal, usize::MAX), "the handler finds it gone, and has nothing more to do");
        next.close();
    }

    #[test]
    fn a_signal_that_is_put_into_a_line_of_another_owner_is_not_seen_there() {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let line = open(&[SIGUSR2]);
        assert!(!line.put(SIGUSR1 as usize));
        line.came[SIGUSR1 as usize].store(usize::MAX, Ordering::SeqCst);
        assert_eq!((line.take(), line.len()), (None, 0));
        assert!(line.take_back(SIGUSR1 as usize, usize::MAX));
        line.close();
    }

    #[test]
    fn a_handler_takes_back_only_what_it_has_put() {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let line = open(&[SIGUSR1]);
        assert!(line.put(SIGUSR1 as usize));
        assert!(!line.take_back(SIGUSR1 as usize, usize::MAX));
        assert_eq!(line.take(), Some(SIGUSR1), "another one's is still there");
        line.close();
    }

    #[test]
    fn no_signal_is_lost_while_lines_come_and_go() {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        static SEEN: AtomicU32 = AtomicU32::new(0);
        static OVER: AtomicBool = AtomicBool::new(false);
        let outer = open(&[SIGUSR1]);
        let others = [(); 2].map(|()| {
            thread::spawn(|| {
                while !OVER.load(Ordering::SeqCst) {
                    let inner = open(&[SIGUSR1]);
                    if inner.take().is_some() {
                        SEEN.fetch_add(1, Ordering::SeqCst);
                    }
                    inner.close();
                }
            })
        });
        let began = Instant::now();
        for raised in 0..20_000 {
            low_level::raise(SIGUSR1).unwrap();
            // One that was raised again may be seen by both.
            while SEEN.load(Ordering::SeqCst) <= raised {
                if outer.take().is_some() {
                    SEEN.fetch_add(1, Ordering::SeqCst);
                }
                assert!(began.elapsed() < Duration::from_secs(120), "signal {raised} is lost");
            }
            SEEN.store(raised + 1, Ordering::SeqCst);
        }
        OVER.store(true, Ordering::SeqCst);
        for other in others {
            other.join().unwrap();
        }
        outer.close();
    }
}
