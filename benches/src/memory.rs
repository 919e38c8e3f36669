//! What a task costs in memory: bytes asked of the allocator, and growth of the process's resident set.

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

/// Whether allocations are being counted. Only the benchmarks that report memory turn it on,
/// so that the others pay one predictable branch an allocation and no more.
static COUNTING: AtomicBool = AtomicBool::new(false);

/// Bytes handed out less bytes given back while counting was on.
/// It is read and written apart, not with an atomic addition: one thread does all the work of a benchmark,
/// and an addition would make every allocation dearer.
static LIVE: AtomicI64 = AtomicI64::new(0);

/// An allocator that counts what goes through it, when asked to.
pub(crate) struct Counted<A>(pub(crate) A);

fn count(bytes: i64) {
    if COUNTING.load(Ordering::Relaxed) {
        LIVE.store(LIVE.load(Ordering::Relaxed) + bytes, Ordering::Relaxed);
    }
}

/// A layout's size; no layout is larger than `isize::MAX`.
fn bytes(layout: Layout) -> i64 {
    layout.size() as i64
}

// SAFETY: every call goes to the wrapped allocator unchanged; counting does not allocate.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Counted<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(bytes(layout));
        // SAFETY: the caller keeps `alloc`'s contract, which is the wrapped allocator's.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(bytes(layout));
        // SAFETY: as in `alloc`.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-bytes(layout));
        // SAFETY: `pointer` came from the wrapped allocator with this layout, since all memory does.
        unsafe { self.0.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(i64::try_from(size).unwrap_or(i64::MAX) - bytes(layout));
        // SAFETY: as in `dealloc`; the caller vouches for `size`.
        unsafe { self.0.realloc(pointer, layout, size) }
    }
}

/// A moment that later readings are compared with. Counting stops when it is dropped.
pub(crate) struct Mark {
    resident: Option<i64>,
}

/// How much has been added since a [`Mark`].
#[derive(Clone, Copy)]
pub(crate) struct Growth {
    /// Bytes asked of the allocator and not given back.
    pub(crate) allocated: i64,
    /// Growth of the resident set: what the allocator's size classes, its alignment and its own book-keeping
    /// make of that. `None` where the system does not say.
    pub(crate) resident: Option<i64>,
}

impl Mark {
    /// Starts counting.
    pub(crate) fn now() -> Self {
        release_free_memory();
        LIVE.store(0, Ordering::Relaxed);
        COUNTING.store(true, Ordering::Relaxed);
        Self { resident: resident() }
    }

    pub(crate) fn growth(&self) -> Growth {
        let resident = self.resident.and_then(|before| Some(resident()? - before));
        Growth { allocated: LIVE.load(Ordering::Relaxed), resident }
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        COUNTING.store(false, Ordering::Relaxed);
    }
}

/// Gives free memory back to the system, so that a benchmark's tasks can't hide in what an earlier one left over.
fn release_free_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu", not(feature = "mimalloc")))]
    // SAFETY: `malloc_trim` touches only free memory, under malloc's own lock.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// The resident set, in bytes.
fn resident() -> Option<i64> {
    if cfg!(feature = "mimalloc") {
        // It keeps what it was given, so that growth would only tell whether an earlier round needed as much.
        return None;
    }
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}
