//! Guest mode: runs on top of other loops.

mod alone;
mod ctrl_c;
mod loops;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use trio::lowlevel::{GuestError, GuestHost, GuestRun, HostCallback};

/// Long enough for anything that will happen to have happened.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a guest's `done` was called with.
type Outcome<T> = Result<T, GuestError<T>>;

/// The simplest loop there is: a queue of things to call.
struct Queue {
    sender: Sender<HostCallback>,
    calls: Receiver<HostCallback>,
}

impl Queue {
    fn new() -> Self {
        let (sender, calls) = channel();
        Self { sender, calls }
    }

    fn host(&self) -> GuestHost {
        let sender = self.sender.clone();
        GuestHost::new(move |callback| {
            // A queue that is gone drops it.
            let _ = sender.send(callback);
        })
    }

    /// Calls one thing.
    fn turn(&self) {
        self.calls.recv_timeout(PATIENCE).expect("the guest goes on")();
    }

    /// Calls until the guest has ended.
    fn run(&self, guest: &GuestRun) {
        while !guest.is_finished() {
            self.turn();
        }
    }

    /// Calls until the guest waits for the outside: as long as it does not, it leaves the next call before it comes back.
    fn until_idle(&self) {
        while let Ok(call) = self.calls.try_recv() {
            call();
        }
    }
}

/// Where an outcome is left.
type Place<T> = Rc<RefCell<Option<Outcome<T>>>>;

/// Where `done` leaves what it was called with; panics if it is called twice.
fn outcome<T: 'static>() -> (Place<T>, impl FnOnce(Outcome<T>) + 'static) {
    let place = Rc::new(RefCell::new(None));
    let own = Rc::clone(&place);
    (place, move |outcome| assert!(own.replace(Some(outcome)).is_none(), "done is called once"))
}
