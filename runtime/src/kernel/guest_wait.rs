//! The thread that waits for a guest run's I/O and deadlines.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::guest_host::HostCallback;
use super::reactor::Selector;
use super::report::report;
use super::run::Panic;

/// A selector that has waited, and how that went.
pub(super) struct Waited {
    pub(super) selector: Selector,
    pub(super) result: Result<io::Result<()>, Panic>,
}

/// What both threads see.
#[derive(Default)]
struct Shared {
    waited: Mutex<Option<Waited>>,
    /// The guest is no more: the host is not to be told.
    closed: AtomicBool,
}

struct Request {
    selector: Selector,
    timeout: Option<Duration>,
}

/// A guest run's own thread; ends when this is dropped.
pub(super) struct IoThread {
    shared: Arc<Shared>,
    requests: Option<Sender<Request>>,
    kick: Arc<mio::Waker>,
}

impl IoThread {
    /// `call_soon` has a new callback called on the host's thread.
    pub(super) fn start(kick: Arc<mio::Waker>, call_soon: impl Fn() + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (requests, inbox) = channel();
        let own = Arc::clone(&shared);
        thread::Builder::new().name("trio guest I/O".into()).spawn(move || work(&own, &inbox, call_soon))?;
        Ok(Self { shared, requests: Some(requests), kick })
    }

    /// Begins a wait. When it has ended, the host is told.
    pub(super) fn wait(&self, selector: Selector, timeout: Option<Duration>) {
        let sent = self.requests.as_ref().map(|requests| requests.send(Request { selector, timeout }).is_ok());
        assert_eq!(sent, Some(true), "the guest run's I/O thread ends with the guest run");
    }

    /// Ends a wait now.
    pub(super) fn kick(&self) {
        // Failing to write to an eventfd or pipe of our own means that it is full: a kick is under way.
        let _ = self.kick.wake();
    }

    /// As if the wait had ended with this.
    #[cfg(test)]
    pub(super) fn put(&self, waited: Waited) {
        *self.shared.waited.lock().unwrap() = Some(waited);
    }

    /// What the wait has brought, if it has ended.
    pub(super) fn waited(&self) -> Option<Waited> {
        self.shared.waited.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for IoThread {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        drop(self.requests.take());
        // It is not joined: it may be inside of the host's function, which may wait for what this thread has locked.
        self.kick();
    }
}

fn work(shared: &Shared, requests: &Receiver<Request>, call_soon: impl Fn()) {
    while let Ok(Request { mut selector, timeout }) = requests.recv() {
        let result = catch_unwind(AssertUnwindSafe(|| selector.wait(timeout)));
        *shared.waited.lock().unwrap_or_else(PoisonError::into_inner) = Some(Waited { selector, result });
        if shared.closed.load(Ordering::SeqCst) {
            return;
        }
        // The host's own function: without it nothing can be done any more, and the panic has been printed.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(&call_soon)) {
            report(format_args!("a host loop's run_sync_soon_threadsafe panicked; its guest run can't go on"));
            std::mem::forget(panic);
        }
    }
}

/// A callback for the host, which knows whether it was called.
pub(super) fn callback(call: impl FnOnce(bool) + Send + 'static) -> HostCallback {
    struct Armed<F: FnOnce(bool)>(Option<F>);
    impl<F: FnOnce(bool)> Drop for Armed<F> {
        fn drop(&mut self) {
            if let Some(call) = self.0.take() {
                call(false);
            }
        }
    }
    let mut armed = Armed(Some(call));
    Box::new(move || {
        if let Some(call) = armed.0.take() {
            call(true);
        }
    })
}
