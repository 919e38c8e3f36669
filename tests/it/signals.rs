//! Signal receivers: what they receive, what they leave to others, and what a signal does before and after.

use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use signal_hook::low_level::raise;
use trio::lowlevel::current_token;
use trio::signals::{SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};
use trio::testing::{assert_checkpoints, wait_all_tasks_blocked};
use trio::{from_thread, open_signal_receiver, to_thread};

/// Signals are the process's: tests that raise some must not run at the same time.
fn alone() -> Alone {
    static ALONE: Mutex<()> = Mutex::new(());
    Alone { _guard: ALONE.lock().unwrap_or_else(PoisonError::into_inner) }
}

/// Held by a whole test, which has a thread of its own.
struct Alone {
    _guard: MutexGuard<'static, ()>,
}

/// Which of the programs below a child process is to be.
const PROGRAM: &str = "TRIO_TEST_SIGNALS";

/// Runs one of the programs below in a process of its own.
fn run_program(program: &str) -> (std::process::ExitStatus, String) {
    let mut command = Command::new(std::env::current_exe().expect("the test knows itself"));
    command.args(["signals::program", "--exact", "--ignored", "--nocapture"]).env(PROGRAM, program);
    let ended = command.stdin(Stdio::null()).stderr(Stdio::null()).output().expect("the test can be started again");
    (ended.status, String::from_utf8_lossy(&ended.stdout).into_owned())
}

#[test]
#[ignore = "the tests below run it in a process of its own"]
fn program() {
    match std::env::var(PROGRAM).as_deref() {
        Ok("default_before") => raise(SIGUSR1).unwrap(),
        Ok("default_after") => {
            trio::run(async {
                let mut signals = open_signal_receiver(&[SIGUSR1, SIGUSR2]).unwrap();
                raise(SIGUSR1).unwrap();
                assert_eq!(signals.receive().await.unwrap(), SIGUSR1);
            });
            println!("received");
            raise(SIGUSR1).unwrap();
        }
        Ok("left_over") => {
            trio::run(async {
                let signals = open_signal_receiver(&[SIGTERM]).unwrap();
                raise(SIGTERM).unwrap();
                println!("pending {}", signals.pending());
                drop(signals);
            });
        }
        Ok(rare) if rare.starts_with("default_before_") => raise(number_in(rare)).unwrap(),
        Ok(rare) if rare.starts_with("default_after_") => {
            let signal = number_in(rare);
            trio::run(async {
                let mut signals = open_signal_receiver(&[signal]).unwrap();
                raise(signal).unwrap();
                assert_eq!(signals.receive().await.unwrap(), signal);
            });
            println!("received");
            raise(signal).unwrap();
        }
        Ok("one_bad") => {
            assert!(open_signal_receiver(&[SIGUSR2, 1_234_567]).is_err());
            println!("refused");
            raise(SIGUSR2).unwrap();
        }
        Ok("ctrl_c_received") => std::process::exit(i32::from(ctrl_c_received() != std::process::ExitCode::SUCCESS)),
        Ok("reason") => std::process::exit(i32::from(reason() != std::process::ExitCode::from(130))),
        Ok("phases") => std::process::exit(phases()),
        Ok("neighbor") => neighbor(),
        _ => return,
    }
    println!("went on");
}

/// The number of the signal at the end of a program's name.
fn number_in(program: &str) -> i32 {
    program.rsplit('_').next().and_then(|number| number.parse().ok()).expect("a number")
}

#[trio::main]
async fn ctrl_c_received() {
    let mut signals = open_signal_receiver(&[SIGINT]).unwrap();
    for _ in 0..3 {
        // Neither the first cancels nor the second kills.
        raise(SIGINT).unwrap();
        assert_eq!(signals.receive().await.unwrap(), SIGINT);
    }
    drop(signals);
    println!("received");
    raise(SIGINT).unwrap();
    trio::sleep_forever().await;
}

#[trio::main]
async fn reason() {
    trio::nursery! { |n|
        n.named("asks").start_soon(async {
            to_thread::run_sync(|| {
                while from_thread::check_cancelled().is_ok() {
                    std::thread::sleep(Duration::from_millis(1));
                }
                println!("{}", from_thread::check_cancelled().unwrap_err());
            })
            .await;
            // Still in the cancelled task, where this is the first checkpoint.
            trio::checkpoint().await;
            println!("never");
        });
        n.start_soon(async { loop { trio::checkpoint().await; } });
        n.start_soon(async { trio::sleep(Duration::from_millis(5)).await; raise(SIGINT).unwrap(); });
    }
}

/// SIGINT when main is about to return, when it has, and while it is shielded: all end with 130.
fn phases() -> i32 {
    #[trio::main]
    async fn about_to_return() {
        raise(SIGINT).unwrap();
        println!("returns");
    }
    #[trio::main]
    async fn shuts_down() {
        struct Late;
        impl Drop for Late {
            fn drop(&mut self) {
                raise(SIGINT).unwrap();
                println!("late");
            }
        }
        trio::lowlevel::spawn_system_task("late", async {
            let _late = Late;
            trio::sleep_forever().await
        })
        .unwrap();
        trio::checkpoint().await;
    }
    #[trio::main]
    async fn is_shielded() {
        trio::shield(async {
            raise(SIGINT).unwrap();
            for _ in 0..3 {
                trio::checkpoint().await;
            }
            trio::sleep(Duration::from_millis(20)).await;
            println!("shielded");
        })
        .await;
        trio::checkpoint().await;
        println!("never");
    }
    let interrupted = std::process::ExitCode::from(130);
    let ends = [about_to_return(), shuts_down(), is_shielded()];
    i32::from(ends != [interrupted; 3])
}

/// A handler that other code installs during a run is there afterwards.
fn neighbor() {
    let seen = Arc::new(AtomicBool::new(false));
    #[trio::main]
    async fn quiet() {}
    // Before trio's first run, so that trio's handler knows that there is another.
    signal_hook::flag::register(SIGINT, Arc::clone(&seen)).unwrap();
    assert_eq!(quiet(), std::process::ExitCode::SUCCESS);
    raise(SIGINT).unwrap();
    assert!(seen.load(Ordering::Relaxed));
}

// trio: _tests/test_signals.py::test_open_signal_receiver
#[trio::test]
async fn signals_are_received_in_order_and_once() {
    let _alone = alone();
    let mut signals = open_signal_receiver(&[SIGUSR1, SIGHUP]).unwrap();
    assert_eq!(signals.pending(), 0);
    raise(SIGUSR1).unwrap();
    assert_eq!(assert_checkpoints(signals.receive()).await.unwrap(), SIGUSR1);
    raise(SIGUSR1).unwrap();
    raise(SIGHUP).unwrap();
    // Keeps its place.
    raise(SIGUSR1).unwrap();
    assert_eq!(signals.pending(), 2);
    assert_eq!(signals.receive().await.unwrap(), SIGUSR1);
    assert_eq!(signals.receive().await.unwrap(), SIGHUP);
    assert_eq!(signals.pending(), 0);
    raise(SIGHUP).unwrap();
    assert_eq!(signals.receive().await.unwrap(), SIGHUP);
}

#[trio::test]
async fn a_task_that_waits_is_woken_from_any_thread() {
    let _alone = alone();
    let mut signals = open_signal_receiver(&[SIGUSR1]).unwrap();
    for _ in 0..10 {
        let received = trio::nursery! { |n|
            n.start_soon(async {
                trio::checkpoint().await;
                to_thread::run_sync(|| raise(SIGUSR1).unwrap()).await;
            });
            signals.receive().await.unwrap()
        };
        assert_eq!(received, SIGUSR1);
    }
}

#[trio::test]
async fn a_cancelled_wait_loses_nothing() {
    let _alone = alone();
    let mut signals = open_signal_receiver(&[SIGUSR1]).unwrap();
    assert!(trio::move_on_after(Duration::from_millis(1), signals.receive()).await.is_none());
    raise(SIGUSR1).unwrap();
    assert!(trio::move_on_after(Duration::ZERO, signals.receive()).await.is_none());
    // Nor one that foreign code drops when the signal is there.
    let mut wait = Box::pin(signals.receive());
    assert!(std::future::poll_fn(|context| std::task::Poll::Ready(wait.as_mut().poll(context).is_pending())).await);
    drop(wait);
    assert_eq!(signals.receive().await.unwrap(), SIGUSR1);
}

// trio: _tests/test_signals.py::test_open_signal_receiver_restore_handler_after_one_bad_signal
#[test]
fn one_bad_signal_and_none_is_received() {
    for bad in [1_234_567, 0, -1, 65, 4 /* SIGILL */, 9 /* SIGKILL */, 32 /* the C library's own */] {
        let error = open_signal_receiver(&[SIGUSR2, bad]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{bad}");
    }
    let (status, out) = run_program("one_bad");
    assert!(out.contains("refused") && !out.contains("went on"), "{out}");
    assert_eq!(status.signal(), Some(SIGUSR2));
}

// trio: _tests/test_signals.py::test_open_signal_receiver_empty_fail
#[test]
fn no_signals_are_refused() {
    let error = open_signal_receiver(&[]).unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::InvalidInput, "no signals were given"));
}

// trio: _tests/test_signals.py::test_open_signal_receiver_restore_handler_after_duplicate_signal
#[trio::test]
async fn a_signal_that_is_given_twice_counts_once() {
    let _alone = alone();
    let mut signals = open_signal_receiver(&[SIGUSR1, SIGUSR1]).unwrap();
    assert_eq!(signals.signals(), [SIGUSR1]);
    raise(SIGUSR1).unwrap();
    assert_eq!(signals.receive().await.unwrap(), SIGUSR1);
    assert_eq!(signals.pending(), 0);
}

// trio: _tests/test_signals.py::test_open_signal_receiver_no_starvation
#[trio::test]
async fn no_signal_starves_another() {
    let _alone = alone();
    let mut signals = open_signal_receiver(&[SIGUSR1, SIGHUP]).unwrap();
    let mut last = None;
    for _ in 0..10 {
        raise(SIGUSR1).unwrap();
        raise(SIGHUP).unwrap();
        let token = current_token();
        token.run_sync_soon(|| ()).unwrap();
        wait_all_tasks_blocked(Duration::ZERO).await;
        let signal = signals.receive().await.unwrap();
        assert_ne!(Some(signal), last);
        last = Some(signal);
    }
    while signals.pending() > 0 {
        signals.receive().await.unwrap();
    }
}

// trio: _tests/test_signals.py::test_open_signal_receiver
#[test]
fn without_a_receiver_a_signal_does_what_it_did_before() {
    let (before, _) = run_program("default_before");
    let (after, out) = run_program("default_after");
    assert!(out.contains("received") && !out.contains("went on"), "{out}");
    assert_eq!((after.signal(), after.signal()), (before.signal(), Some(SIGUSR1)));
}

#[test]
fn what_was_not_received_is_raised_again() {
    let (status, out) = run_program("left_over");
    assert!(out.contains("pending 1") && !out.contains("went on"), "{out}");
    assert_eq!(status.signal(), Some(SIGTERM));
}

#[trio::test]
async fn the_innermost_receiver_has_the_signals_and_leaves_the_rest_to_the_outer_one() {
    let _alone = alone();
    let mut outer = open_signal_receiver(&[SIGUSR1, SIGHUP]).unwrap();
    let mut inner = open_signal_receiver(&[SIGUSR1]).unwrap();
    raise(SIGHUP).unwrap();
    raise(SIGUSR1).unwrap();
    assert_eq!((outer.pending(), inner.pending()), (1, 1));
    assert_eq!(inner.receive().await.unwrap(), SIGUSR1);
    raise(SIGUSR1).unwrap();
    drop(inner);
    assert_eq!(outer.receive().await.unwrap(), SIGHUP);
    assert_eq!(outer.receive().await.unwrap(), SIGUSR1);
    // Also when the outer one goes first.
    let mut inner = open_signal_receiver(&[SIGHUP]).unwrap();
    drop(outer);
    raise(SIGHUP).unwrap();
    assert_eq!(inner.receive().await.unwrap(), SIGHUP);
}

#[trio::test]
async fn handlers_of_others_are_called_as_well() {
    let _alone = alone();
    let called = Arc::new(AtomicBool::new(false));
    let id = signal_hook::flag::register(SIGWINCH, Arc::clone(&called)).unwrap();
    let mut signals = open_signal_receiver(&[SIGWINCH]).unwrap();
    raise(SIGWINCH).unwrap();
    assert_eq!(signals.receive().await.unwrap(), SIGWINCH);
    assert!(called.swap(false, Ordering::Relaxed));
    drop(signals);
    raise(SIGWINCH).unwrap();
    assert!(called.load(Ordering::Relaxed));
    assert!(signal_hook::low_level::unregister(id));
}

#[trio::test]
async fn children_can_be_waited_for_while_sigchld_is_received() {
    let _alone = alone();
    let mut signals = open_signal_receiver(&[SIGCHLD]).unwrap();
    let status = to_thread::run_sync(|| Command::new("true").status());
    assert!(status.await.unwrap().success());
    assert_eq!(signals.receive().await.unwrap(), SIGCHLD);
    drop(signals);
    // And afterwards.
    assert!(to_thread::run_sync(|| Command::new("true").status()).await.unwrap().success());
}

#[test]
fn receivers_work_in_any_thread_and_survive_their_run() {
    let _alone = alone();
    let signals = std::thread::spawn(|| {
        trio::run(async {
            let mut signals = open_signal_receiver(&[SIGUSR1]).unwrap();
            raise(SIGUSR1).unwrap();
            assert_eq!(signals.receive().await.unwrap(), SIGUSR1);
            signals
        })
    });
    let mut signals = signals.join().unwrap();
    raise(SIGUSR1).unwrap();
    assert_eq!(trio::run(signals.receive()).unwrap(), SIGUSR1);
    raise(SIGUSR1).unwrap();
    assert_eq!(trio::run(async { signals.receive().await.unwrap() }), SIGUSR1);
}

#[test]
fn a_receiver_has_ctrl_c_to_itself() {
    let (status, out) = run_program("ctrl_c_received");
    assert!(out.contains("received"), "{out}");
    assert_eq!(status.code(), Some(1), "cancelled, so not a success: {out}");
}

// trio: _core/_tests/test_cancelled.py::test_reason_delayed_ki
#[test]
fn ctrl_c_is_the_reason_that_tasks_see() {
    let (status, out) = run_program("reason");
    assert!(out.contains("cancelled due to KeyboardInterrupt") && !out.contains("never"), "{out}");
    assert_eq!(status.code(), Some(0), "{out}");
}

// What can correspond of the eleven cases: (3), (4), (6), (7) and (9). The others are about where in a function the
// exception is raised, and about functions that are protected from that.
// trio: _core/_tests/test_ki.py::test_ki_protection_works
#[test]
fn ctrl_c_ends_the_program_in_whatever_phase_it_comes() {
    let (status, out) = run_program("phases");
    assert!(out.contains("returns") && out.contains("late") && out.contains("shielded"), "{out}");
    assert!(!out.contains("never"), "{out}");
    assert_eq!(status.code(), Some(0), "{out}");
}

// trio: _core/_tests/test_ki.py::test_ki_is_good_neighbor
#[test]
fn other_handlers_of_ctrl_c_stay() {
    let (status, out) = run_program("neighbor");
    assert!(out.contains("went on"), "{out}");
    assert!(status.success());
}

#[trio::test]
async fn a_forgotten_wait_is_in_nobodys_way() {
    let _alone = alone();
    let mut signals = open_signal_receiver(&[SIGUSR1]).unwrap();
    for _ in 0..2 {
        let mut wait = Box::pin(signals.receive());
        assert!(std::future::poll_fn(|context| std::task::Poll::Ready(wait.as_mut().poll(context).is_pending())).await);
        std::mem::forget(wait);
    }
    // Neither of the same receiver, nor of the next one that has its place.
    for _ in 0..2 {
        trio::nursery! { |n|
            n.start_soon(async {
                wait_all_tasks_blocked(Duration::ZERO).await;
                raise(SIGUSR1).unwrap();
            });
            assert_eq!(trio::fail_after(Duration::from_secs(60), signals.receive()).await.unwrap().unwrap(), SIGUSR1);
        }
        drop(signals);
        signals = open_signal_receiver(&[SIGUSR1]).unwrap();
    }
}

// Signals that the system kills with, though they have no name here or are taken for harmless elsewhere.
#[test]
fn without_a_receiver_the_rarer_signals_kill_as_they_did_before() {
    for signal in
        ["29" /* SIGIO */, "16" /* SIGSTKFLT */, "30" /* SIGPWR */, "40" /* a real-time one */]
    {
        let (before, _) = run_program(&format!("default_before_{signal}"));
        let (after, out) = run_program(&format!("default_after_{signal}"));
        assert!(out.contains("received") && !out.contains("went on"), "{out}");
        assert_eq!((after.signal(), before.signal()), (signal.parse().ok(), signal.parse().ok()));
    }
}
