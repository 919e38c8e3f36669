//! The name that the system shows for a thread.

use std::thread;

/// How many bytes of a name the system keeps.
#[cfg(any(target_os = "linux", target_os = "android"))]
const LONGEST: usize = 15;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const LONGEST: usize = 63;

/// Gives the current thread another name until dropped.
pub(crate) struct Renamed(());

impl Renamed {
    pub(crate) fn to(name: &str) -> Self {
        set(name);
        Self(())
    }
}

impl Drop for Renamed {
    fn drop(&mut self) {
        set(thread::current().name().unwrap_or_default());
    }
}

/// The name as the system can have it: shortened, without what is not ASCII, and with a zero byte at the end.
fn system_name(name: &str) -> Vec<u8> {
    let bytes = name.chars().map(|char| if char == '\0' || !char.is_ascii() { b'?' } else { char as u8 });
    bytes.take(LONGEST).chain([0]).collect()
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn set(name: &str) {
    let name = system_name(name);
    // SAFETY: `PR_SET_NAME` reads a string that a zero byte ends, which this is, and concerns the calling thread only.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}

#[cfg(target_vendor = "apple")]
fn set(name: &str) {
    let name = system_name(name);
    // SAFETY: it reads a string that a zero byte ends, which this is, and concerns the calling thread only.
    unsafe { libc::pthread_setname_np(name.as_ptr().cast()) };
}

/// Other systems' threads keep the name that they were started with.
#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn set(name: &str) {
    let _ = system_name(name);
}
