//! `run_process` and `supervise`: children that end with the code that started them.

use std::cell::Cell;
use std::os::unix::process::ExitStatusExt;
use std::rc::Rc;
use std::time::Duration;

use trio::process::{Command, ProcessError, ProcessHandle, Stdio, run_process, supervise};
use trio::{BoxError, StartError, lowlevel};

use super::{LONG, shell, sleeper};
use crate::support::{Log, secs, settle};

fn start_error(result: Result<std::process::Output, ProcessError>) -> String {
    match result {
        Err(ProcessError::Start(error)) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

// trio: _tests/test_subprocess.py::test_run
#[trio::test]
async fn a_child_is_fed_and_listened_to() {
    let input: Vec<u8> = (0..256 * 1024).map(|number: u32| ((number * 31) >> 3) as u8).collect();
    let output = run_process(Command::new("cat").input(input.clone()).capture_stdout(true)).await.unwrap();
    assert!(output.stdout == input && output.stderr.is_empty() && output.status.success());

    let output = run_process(Command::new("cat").capture_stdout(true)).await.unwrap();
    assert_eq!(output.stdout, b"", "without input there is nothing to read");

    let output = run_process(Command::new("sh").args(["-c", "cat >&2"]).input("x").capture_stderr(true)).await.unwrap();
    assert_eq!((output.stdout, output.stderr), (Vec::new(), b"x".to_vec()));

    let mut merged = shell("echo one; echo two >&2");
    merged.capture_stdout(true).stderr(Stdio::stdout());
    let output = run_process(merged).await.unwrap();
    assert_eq!((output.stdout, output.stderr), (b"one\ntwo\n".to_vec(), Vec::new()));

    let piped = Stdio::piped;
    assert!(start_error(run_process(Command::new("cat").stdin(piped())).await).contains("stdin"));
    assert!(start_error(run_process(Command::new("cat").stdout(piped())).await).contains("stdout"));
    assert!(start_error(run_process(Command::new("cat").stderr(piped())).await).contains("stderr"));
    let conflict = run_process(Command::new("cat").stdout(Stdio::null()).capture_stdout(true)).await;
    assert!(start_error(conflict).contains("captured"));
    let conflict = run_process(Command::new("cat").stderr(Stdio::null()).capture_stderr(true)).await;
    assert!(start_error(conflict).contains("captured"));
    let conflict = run_process(Command::new("cat").stdin(Stdio::null()).input("x")).await;
    assert!(start_error(conflict).contains("fed"));
}

// trio: _tests/test_subprocess.py::test_run_check
#[trio::test]
async fn a_child_has_to_succeed_unless_that_does_not_matter() {
    let fails = || shell("echo test >&2; exit 1");
    let error = run_process(fails().capture_stderr(true)).await.unwrap_err();
    assert_eq!(error.to_string(), "`/bin/sh -c echo test >&2; exit 1` exited with status 1: test");
    let ProcessError::Failed(error) = error else { panic!("{error:?}") };
    assert_eq!(error.status.code(), Some(1));
    assert_eq!((error.stdout, error.stderr), (Vec::new(), b"test\n".to_vec()));

    let output = run_process(fails().capture_stderr(true).check(false)).await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(matches!(run_process(Command::new("/no/such/program")).await, Err(ProcessError::Start(_))));
}

// trio: _tests/test_subprocess.py::test_run_with_broken_pipe
#[trio::test]
async fn a_child_need_not_read_what_it_is_fed() {
    let output = run_process(shell("exec 0<&-; exit 0").input(vec![0; 131_072])).await.unwrap();
    assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty());
}

#[trio::test]
async fn a_lot_goes_both_ways_at_once() {
    const AMOUNT: usize = 64 << 20;
    let input: Vec<u8> = (0..AMOUNT).map(|number| (number >> 8) as u8).collect();
    let mut cat = Command::new("cat");
    cat.input(input.clone()).capture_stdout(true);
    let output = trio::fail_after(LONG, run_process(cat)).await.unwrap().unwrap();
    assert!(output.stdout == input);
}

#[trio::test]
async fn a_cancelled_call_ends_the_child_and_waits_for_it() {
    let handle = trio::try_nursery! { |n, scope|
        let start = n.start(|status| supervise(sleeper(), status)).await;
        scope.cancel();
        start.map_err(StartError::<BoxError>::into_error).unwrap().handle()
    };
    let handle = handle.unwrap().unwrap();
    assert!(!is_a_child(handle.id()), "no zombie");
    assert_eq!(handle.try_wait().unwrap().unwrap().signal(), Some(15), "SIGTERM is enough");
}

/// Whether there still is a child with this number, be it a zombie.
fn is_a_child(pid: u32) -> bool {
    std::path::Path::new(&format!("/proc/{pid}")).exists()
}

/// A child that ignores SIGTERM, once it has said so.
fn stubborn() -> Command {
    let mut command = shell("trap '' TERM; echo ready; while :; do sleep 0.05; done");
    command.stdout(Stdio::piped());
    command
}

// trio: _tests/test_subprocess.py::test_warn_on_cancel_SIGKILL_escalation
#[trio::test(autojump)]
async fn a_child_that_ignores_sigterm_is_killed_after_five_seconds() {
    let started = trio::current_time();
    let handle = trio::try_nursery! { |n, scope|
        let start = n.start(|status| supervise(stubborn(), status)).await;
        let mut process = start.map_err(StartError::<BoxError>::into_error).unwrap();
        process.stdout.as_mut().unwrap().receive_some(&mut [0; 10]).await?;
        scope.cancel();
        process.handle()
    };
    let handle = handle.unwrap().unwrap();
    assert_eq!(trio::current_time() - started, secs(5));
    assert_eq!(handle.try_wait().unwrap().unwrap().signal(), Some(9));
}

// trio: _tests/test_subprocess.py::test_bad_deliver_cancel
#[trio::test]
async fn an_error_of_what_ends_the_child_comes_out() {
    let deliver = |process: ProcessHandle| async move {
        process.terminate()?;
        Err("foo".into())
    };
    let (error, kept) = (Cell::new(None), trio::CancelScope::new());
    let handle = kept.handle();
    trio::nursery! { |n|
        n.start_soon(kept.run(async {
            let result = run_process(sleeper().deliver_cancel(deliver)).await;
            error.set(Some(result.unwrap_err()));
        }).map_unit());
        settle().await;
        handle.cancel();
    }
    let Some(ProcessError::Supervision(errors)) = error.take() else { panic!("the error is lost") };
    assert_eq!(errors.len(), 1);
    assert_eq!(errors.first().to_string(), "foo");
}

/// A future whose value nobody needs.
trait MapUnit: Future + Sized {
    async fn map_unit(self) {
        let _ = self.await;
    }
}

impl<F: Future> MapUnit for F {}

// The signal can't be sent: here since the delivery fails by itself, as Trio's test makes it.
// trio: _tests/test_subprocess.py::test_warn_on_failed_cancel_terminate
#[trio::test(autojump)]
async fn a_delivery_that_does_nothing_still_waits_for_the_child() {
    let log = Rc::new(Log::timed());
    let said = Rc::clone(&log);
    let deliver = move |process: ProcessHandle| {
        let said = Rc::clone(&said);
        async move {
            said.say("asked");
            trio::sleep(secs(30)).await;
            process.kill()?;
            said.say("killed");
            trio::sleep_forever().await
        }
    };
    let ended = trio::move_on_after(secs(1), run_process(sleeper().deliver_cancel(deliver))).await;
    assert!(ended.is_none());
    assert_eq!(log.lines(), ["asked at 1", "killed at 31"]);
}

// trio: _tests/test_subprocess.py::test_run_process_background_fail
#[trio::test]
async fn a_background_child_that_fails_is_an_error_of_the_nursery() {
    let handle = Cell::new(None);
    let result = trio::try_nursery! { |n|
        let start = n.start(|status| supervise(shell("exit 1"), status)).await;
        handle.set(Some(start.map_err(StartError::<BoxError>::into_error).unwrap().handle()));
    };
    let errors = result.unwrap_err();
    assert!(matches!(errors.downcast_ref::<ProcessError>(), Some(ProcessError::Failed(_))), "{errors:?}");
    assert_eq!(handle.take().unwrap().try_wait().unwrap().unwrap().code(), Some(1));
}

// What fails on the way, and what fails while that is cleaned up, both come out.
// trio: _tests/test_subprocess.py::test_run_process_internal_error
#[trio::test]
async fn no_error_is_lost_while_another_is_handled() {
    let deliver = |process: ProcessHandle| async move {
        process.kill()?;
        Err("second".into())
    };
    let mut command = sleeper();
    command.deliver_cancel(deliver);
    let result = trio::try_nursery! { |n|
        n.start_soon(async {
            run_process(&mut command).await?;
            Ok::<_, BoxError>(())
        });
        settle().await;
        Err("first")?;
    };
    let errors = result.unwrap_err();
    let leaves: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert!(leaves.iter().any(|error| error.contains("first")), "{leaves:?}");
    assert!(leaves.iter().any(|error| error.contains("second")), "{leaves:?}");
}

#[trio::test]
async fn a_call_that_foreign_code_drops_kills_the_child() {
    use futures::future::{Either, select};
    let mut command = shell("echo $$; exec sleep 3600");
    command.stdout(Stdio::piped());
    let pid = Cell::new(0_u32);
    trio::nursery! { |n|
        n.start_soon(async {
            let run = std::pin::pin!(async {
                trio::try_nursery! { |n|
                    let start = n.start(|status| supervise(&mut command, status)).await;
                    pid.set(start.map_err(StartError::<BoxError>::into_error).unwrap().id());
                }
            });
            let stop = std::pin::pin!(async {
                while pid.get() == 0 {
                    trio::checkpoint().await;
                }
            });
            assert!(matches!(select(run, stop).await, Either::Right(_)));
        });
    }
    trio::fail_after(LONG, async {
        while is_a_child(pid.get()) {
            trio::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("it is killed, and no zombie is left");
}

#[trio::test]
async fn a_cancelled_call_starts_nothing() {
    let before = lowlevel::current_statistics().io_registrations;
    let nothing = trio::cancel_scope! { |scope|
        scope.cancel();
        run_process(Command::new("/no/such/program")).await
    };
    assert!(nothing.is_none());
    assert_eq!(lowlevel::current_statistics().io_registrations, before);
}

// Also one whose `Process` is somewhere else, where it lives on.
#[trio::test]
async fn a_supervision_that_foreign_code_drops_kills_the_child() {
    use futures::future::{Either, select};
    let process = Rc::new(Cell::new(None));
    let run = {
        let process = Rc::clone(&process);
        Box::pin(async move {
            trio::try_nursery! { |n|
                let start = n.start(|status| supervise(sleeper(), status)).await;
                process.set(Some(start.map_err(StartError::<BoxError>::into_error).unwrap()));
            }
        })
    };
    let stop = Box::pin(async {
        loop {
            trio::checkpoint().await;
            if let Some(started) = process.take() {
                return started;
            }
        }
    });
    let Either::Right((process, run)) = select(run, stop).await else { panic!("the child stays") };
    assert_eq!(process.try_wait().unwrap(), None);
    drop(run);
    let status = trio::fail_after(LONG, process.wait()).await.expect("it is killed").unwrap();
    assert_eq!(status.signal(), Some(9));
}

// What has to be said finds nobody: the child is killed all the same, and nothing panics.
#[test]
fn a_child_is_killed_though_nothing_can_be_said_about_it() {
    const MUTE: &str = "TRIO_TEST_MUTE";
    if std::env::var_os(MUTE).is_none() {
        let (_crate, module) = module_path!().split_once("::").unwrap();
        let test = format!("{module}::a_child_is_killed_though_nothing_can_be_said_about_it");
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &test, "--nocapture"])
            .env(MUTE, "1")
            .stderr(full)
            .status();
        assert!(status.unwrap().success());
        return;
    }
    use std::io::Write;
    assert!(std::io::stderr().write_all(b"x").is_err(), "nothing can be said");
    trio::Builder::new().clock(trio::testing::MockClock::new().autojump()).run(async {
        let handle = trio::try_nursery! { |n, scope|
            let start = n.start(|status| supervise(stubborn(), status)).await;
            let mut process = start.map_err(StartError::<BoxError>::into_error).unwrap();
            process.stdout.as_mut().unwrap().receive_some(&mut [0; 10]).await?;
            scope.cancel();
            process.handle()
        };
        let handle = handle.expect("nothing panics").unwrap();
        assert_eq!(handle.try_wait().unwrap().unwrap().signal(), Some(9));
    });
}
