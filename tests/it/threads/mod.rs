//! Worker threads, and calls from threads into a run.

mod from_thread;
mod limits;
mod names;
mod to_thread;
mod token;

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// Long enough for anything that will happen to have happened.
const PATIENCE: Duration = Duration::from_secs(60);

/// Something that threads wait for until somebody opens it.
struct Gate(Receiver<()>);

impl Gate {
    fn new() -> (Sender<()>, Self) {
        let (opens, gate) = channel();
        (opens, Self(gate))
    }

    fn pass(&self) {
        self.0.recv_timeout(PATIENCE).expect("the gate is opened in time");
    }
}
