//! Ctrl-C in a process with several runs: each has its own first one.

use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use signal_hook::consts::SIGINT;
use signal_hook::low_level::raise;
use trio::{Builder, CtrlC};

use crate::support::alone;

const PATIENCE: Duration = Duration::from_secs(60);

/// A run on a thread of its own, which heeds Ctrl-C, and then cleans up until it may end. Gives whether it was cancelled.
fn run(begun: Sender<()>, cleaning: Sender<()>, may_end: Arc<AtomicBool>) -> JoinHandle<bool> {
    thread::spawn(move || {
        let run = || {
            Builder::new().ctrl_c(CtrlC::Cancel).run(async {
                begun.send(()).unwrap();
                let clean_up = async {
                    cleaning.send(()).unwrap();
                    while !may_end.load(Ordering::SeqCst) {
                        trio::sleep(Duration::from_millis(1)).await;
                    }
                };
                trio::finally(trio::sleep_forever(), clean_up).await
            })
        };
        catch_unwind(std::panic::AssertUnwindSafe(run)).is_err()
    })
}

#[test]
fn a_run_that_was_not_told_is_not_killed_for_one_that_was() {
    alone(module_path!(), "a_run_that_was_not_told_is_not_killed_for_one_that_was", || {
        let (begun, begins) = channel();
        let (cleaning, cleans) = channel();
        let [first_may_end, second_may_end] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
        let first = run(begun.clone(), cleaning.clone(), Arc::clone(&first_may_end));
        begins.recv_timeout(PATIENCE).unwrap();
        raise(SIGINT).unwrap();
        cleans.recv_timeout(PATIENCE).unwrap();
        // While it cleans up another one begins, and outlives it.
        let second = run(begun, cleaning, Arc::clone(&second_may_end));
        begins.recv_timeout(PATIENCE).unwrap();
        first_may_end.store(true, Ordering::SeqCst);
        assert!(first.join().unwrap());
        // The second run's first.
        raise(SIGINT).unwrap();
        cleans.recv_timeout(PATIENCE).expect("it is told, and the process lives");
        second_may_end.store(true, Ordering::SeqCst);
        assert!(second.join().unwrap());
    });
}
