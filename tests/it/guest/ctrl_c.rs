//! Ctrl-C and guests, in a process of their own: a signal is for all of it.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::Duration;

use signal_hook::low_level::raise;
use trio::lowlevel::GuestError;
use trio::signals::SIGINT;
use trio::{Builder, CtrlC, checkpoint, sleep};

use super::{Outcome, Queue, outcome};

const PROGRAM: &str = "TRIO_TEST_GUEST_CTRL_C";

fn on_queue<T: 'static>(main: impl Future<Output = T> + 'static, beside: impl FnOnce()) -> Outcome<T> {
    let queue = Queue::new();
    let (result, done) = outcome();
    let guest = Builder::new().ctrl_c(CtrlC::Cancel).start_guest_run(main, queue.host(), done);
    queue.until_idle();
    beside();
    queue.run(&guest);
    result.take().unwrap()
}

#[test]
#[ignore = "the test below runs it in a process of its own"]
fn program() {
    if std::env::var_os(PROGRAM).is_none() {
        return;
    }
    let raised = || raise(SIGINT).unwrap();

    // While the guest's code runs.
    let in_guest = async move {
        raised();
        sleep(Duration::from_secs(3600)).await;
    };
    assert!(matches!(on_queue(in_guest, || ()), Err(GuestError::Interrupted(None))));

    // While the host's code runs.
    let asleep = sleep(Duration::from_secs(3600));
    assert!(matches!(on_queue(asleep, raised), Err(GuestError::Interrupted(None))));

    // When there is nothing left to cancel: the value comes along.
    let at_the_end = async move {
        checkpoint().await;
        raised();
        "ended"
    };
    assert!(matches!(on_queue(at_the_end, || ()), Err(GuestError::Interrupted(Some("ended")))));

    // Nobody's fault.
    assert!(matches!(on_queue(checkpoint(), || ()), Ok(())));
    println!("all is well");

    // And it does again what it did before.
    raised();
    println!("never");
}

// trio: _core/_tests/test_guest_mode.py::test_guest_mode_ki
#[test]
fn ctrl_c_cancels_the_main_task_of_a_guest() {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["guest::ctrl_c::program", "--exact", "--ignored", "--nocapture"]).env(PROGRAM, "1");
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("all is well") && !said.contains("never"), "{said}\n{output:?}");
    assert_eq!(output.status.signal(), Some(SIGINT));
}
