//! What a guest run knows of the loop that it runs on.

use std::fmt;
use std::sync::Arc;

/// Something that the host's loop is to call, on its own thread.
///
/// A host that drops it without calling it has gone away: the guest run is [abandoned](super::guest::GuestRun::abandon).
pub type HostCallback = Box<dyn FnOnce() + Send>;

/// What a guest run's host loop offers: a way to have something called soon on its thread.
///
/// # Examples
///
/// The simplest loop there is:
///
/// ```
/// use std::sync::mpsc::channel;
/// use trio::lowlevel::{GuestHost, HostCallback};
/// let (sender, queue) = channel::<HostCallback>();
/// let host = GuestHost::new(move |callback| {
///     let _ = sender.send(callback);
/// });
/// # drop((host, queue));
/// ```
pub struct GuestHost {
    pub(super) threadsafe: Arc<dyn Fn(HostCallback) + Send + Sync>,
    pub(super) not_threadsafe: Option<Box<dyn Fn(HostCallback)>>,
}

impl GuestHost {
    /// A host, with its function that has a callback called soon on the host's thread, and that may itself be called on
    /// any thread: Trio's `run_sync_soon_threadsafe`.
    ///
    /// It must not call the callback itself, nor block or panic.
    pub fn new(run_sync_soon_threadsafe: impl Fn(HostCallback) + Send + Sync + 'static) -> Self {
        Self { threadsafe: Arc::new(run_sync_soon_threadsafe), not_threadsafe: None }
    }

    /// Adds a function that does the same, is called on the host's thread only, and may so be cheaper: Trio's
    /// `run_sync_soon_not_threadsafe`.
    #[must_use = "this gives the host back"]
    pub fn run_sync_soon_not_threadsafe(mut self, run: impl Fn(HostCallback) + 'static) -> Self {
        self.not_threadsafe = Some(Box::new(run));
        self
    }

    /// Has it called soon; called on the host's thread.
    pub(super) fn run_here(&self, callback: HostCallback) {
        match &self.not_threadsafe {
            Some(run) => run(callback),
            None => (self.threadsafe)(callback),
        }
    }
}

impl fmt::Debug for GuestHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuestHost").field("has_not_threadsafe", &self.not_threadsafe.is_some()).finish()
    }
}
