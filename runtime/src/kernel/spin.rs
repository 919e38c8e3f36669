//! Looking for a moment before going to sleep.
//!
//! To put a thread to sleep and to wake it takes the system longer than many an answer takes to come. So where one is to be
//! expected from another thread, it is looked for as long as about one such turn would have taken: no wait gets more than
//! twice as long, and a short one needs no system call, here or there. Where that has been in vain it is done less and
//! less often, so that those whose answers take long don't pay for it.

use std::cell::Cell;
use std::hint;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// For how long it is looked.
const LIMIT: Duration = Duration::from_micros(20);
/// How many looks there are between two at the time.
const LOOKS: u32 = 16;
/// It is tried once in two to the power of this many times at least.
const MOST_FAILURES: u32 = 7;

/// A place where one thread looks for answers before it sleeps, and what has come of that.
#[derive(Debug, Default)]
pub(crate) struct Spin {
    /// How often it was in vain since the last time it was not.
    failures: Cell<u32>,
    /// How many times are left out before the next.
    left_out: Cell<u32>,
}

impl Spin {
    /// Whether something has come about in good time. It is looked for once at least.
    pub(crate) fn until(&self, has_come: impl Fn() -> bool) -> bool {
        if has_come() {
            return true;
        }
        let left_out = self.left_out.get();
        if left_out > 0 {
            self.left_out.set(left_out - 1);
            return false;
        }
        if !has_several_cores() {
            return false;
        }
        let came = look_for(has_come);
        let failures = if came { 0 } else { MOST_FAILURES.min(self.failures.get() + 1) };
        self.failures.set(failures);
        self.left_out.set((1 << failures) - 1);
        came
    }
}

fn look_for(has_come: impl Fn() -> bool) -> bool {
    let started = Instant::now();
    loop {
        for _ in 0..LOOKS {
            hint::spin_loop();
            if has_come() {
                return true;
            }
        }
        if started.elapsed() >= LIMIT {
            return false;
        }
    }
}

/// Whether the other thread can do anything while this one looks.
fn has_several_cores() -> bool {
    /// 0 while nobody has asked.
    static CORES: AtomicUsize = AtomicUsize::new(0);
    let known = CORES.load(Ordering::Relaxed);
    if known > 0 {
        return known > 1;
    }
    let cores = thread::available_parallelism().map_or(1, usize::from);
    CORES.store(cores, Ordering::Relaxed);
    cores > 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_found_at_once_also_when_it_is_left_out() {
        let spin = Spin::default();
        for _ in 0..20 {
            spin.until(|| false);
            assert!(spin.until(|| true));
        }
    }

    #[test]
    fn what_never_comes_is_looked_for_less_and_less_often() {
        if !has_several_cores() {
            return;
        }
        let spin = Spin::default();
        let looks = Cell::new(0);
        let look = |answer: bool| {
            looks.set(0);
            let came = spin.until(|| {
                looks.set(looks.get() + 1);
                answer && looks.get() > 1
            });
            assert!(!came || answer);
            looks.get() > 1
        };
        let often: Vec<bool> = (0..1000).map(|_| look(false)).collect();
        assert_eq!(often.iter().position(|spun| *spun), Some(0));
        assert_eq!(often.iter().filter(|spun| **spun).count(), 13);
        // One success, and it is done every time again.
        while !look(true) {}
        assert!(look(true) && look(true) && look(false) && !look(false));
    }
}
