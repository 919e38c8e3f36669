//! Children that are started, talked with and waited for.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::task::Poll;
use std::time::Duration;

use trio::process::{Command, Stdio, open_process};
use trio::{FdStream, ReceiveStream};

use super::{each_way, piped, shell, sleeper};
use crate::support::{Log, alone, settle};

async fn receive_exactly(stream: &mut FdStream, count: usize) -> Vec<u8> {
    let mut all = vec![0; count];
    let mut got = 0;
    while got < count {
        match stream.receive_some(&mut all[got..]).await.unwrap() {
            0 => panic!("the end came after {got} of {count} bytes"),
            more => got += more,
        }
    }
    all
}

async fn receive_all(stream: &mut impl ReceiveStream) -> Vec<u8> {
    let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match stream.receive_some(&mut buffer).await.unwrap() {
            0 => return all,
            count => all.extend_from_slice(&buffer[..count]),
        }
    }
}

// trio: _tests/test_subprocess.py::test_basic_no_pidfd
#[trio::test]
async fn the_status_of_a_child_is_seen() {
    for code in [0, 1] {
        let exit = || shell(&format!("exit {code}"));
        each_way(exit, async |process| {
            assert_eq!(process.wait().await.unwrap().code(), Some(code));
            assert_eq!(process.try_wait().unwrap().unwrap().code(), Some(code));
            assert_eq!(process.wait().await.unwrap().code(), Some(code), "each time");
            assert_eq!(format!("{process:?}"), format!("Process(exited with status {code})"));
        })
        .await;
    }
}

// trio: _tests/test_subprocess.py::test_auto_update_returncode
#[trio::test]
async fn the_status_is_always_the_latest() {
    each_way(sleeper, async |process| {
        assert_eq!(process.try_wait().unwrap(), None);
        assert_eq!(format!("{process:?}"), format!("Process(running with PID {})", process.id()));
        process.kill().unwrap();
        while process.try_wait().unwrap().is_none() {
            trio::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(format!("{process:?}"), "Process(exited with signal 9)");
        process.kill().unwrap();
        process.send_signal(15).unwrap();
    })
    .await;
}

// trio: _tests/test_subprocess.py::test_multi_wait_no_pidfd
#[trio::test]
async fn any_number_of_tasks_can_wait_for_a_child() {
    each_way(sleeper, async |process| {
        let cancelled = trio::nursery! { |n, scope|
            for _ in 0..3 {
                n.start_soon(async { drop(process.wait().await) });
            }
            settle().await;
            scope.cancel();
            trio::checkpoint().await;
        };
        assert!(cancelled.is_none());
        assert_eq!(process.try_wait().unwrap(), None);
        trio::nursery! { |n|
            for _ in 0..3 {
                n.start_soon(async { assert_eq!(process.wait().await.unwrap().signal(), Some(9)) });
            }
            settle().await;
            process.kill().unwrap();
        }
    })
    .await;
}

// trio: _tests/test_subprocess.py::test_subprocess_pidfd_unnotified
#[trio::test]
async fn who_waits_learns_of_a_status_that_was_collected_otherwise() {
    each_way(sleeper, async |process| {
        trio::nursery! { |n|
            n.start_soon(async { assert_eq!(process.wait().await.unwrap().signal(), Some(9)) });
            settle().await;
            process.kill().unwrap();
            while process.try_wait().unwrap().is_none() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    })
    .await;
}

// trio: _tests/test_subprocess.py::test_signals
#[trio::test]
async fn signals_reach_a_child() {
    for (signal, number) in [("kill", 9), ("terminate", 15), ("SIGUSR1", 10)] {
        each_way(sleeper, async |process| {
            match signal {
                "kill" => process.kill().unwrap(),
                "terminate" => process.terminate().unwrap(),
                _ => process.send_signal(number).unwrap(),
            }
            assert_eq!(process.wait().await.unwrap().signal(), Some(number));
        })
        .await;
    }
    let process = open_process(sleeper()).await.unwrap();
    assert_eq!(process.send_signal(1_234_567).unwrap_err().kind(), ErrorKind::InvalidInput);
    process.kill().unwrap();
    process.wait().await.unwrap();
}

// trio: _tests/test_subprocess.py::test_pipes
#[trio::test]
async fn pipes_carry_what_is_written_both_ways_at_once() {
    // Back as it came on one, in capitals on the other.
    let command = || piped(shell("tee /dev/stderr | tr a-z A-Z"));
    let message = b"the quick brown fox".repeat(20_000);
    each_way(command, async |mut process| {
        let (mut stdin, mut stdout) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        let mut stderr = process.stderr.take().unwrap();
        trio::nursery! { |n|
            n.start_soon(async {
                stdin.send_all(&message).await.unwrap();
                stdin.aclose().await.unwrap();
            });
            n.start_soon(async { assert_eq!(receive_all(&mut stdout).await, message.to_ascii_uppercase()) });
            n.start_soon(async { assert_eq!(receive_all(&mut stderr).await, message) });
        }
        assert!(process.wait().await.unwrap().success());
    })
    .await;
}

// trio: _tests/test_subprocess.py::test_interactive
#[trio::test]
async fn a_child_answers_one_request_after_the_other() {
    // A line with a number: as many bytes on standard output, twice as many on standard error.
    let script = r#"while read -r n; do head -c "$n" /dev/zero; head -c "$((n * 2))" /dev/zero >&2; done"#;
    each_way(
        || piped(shell(script)),
        async |mut process| {
            let (mut stdin, mut stdout) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
            let mut stderr = process.stderr.take().unwrap();
            for request in [12_345, 100, 200, 0] {
                stdin.send_all(format!("{request}\n").as_bytes()).await.unwrap();
                assert_eq!(receive_exactly(&mut stdout, request).await.len(), request);
                assert_eq!(receive_exactly(&mut stderr, request * 2).await.len(), request * 2);
            }
            stdin.send_all(b"99").await.unwrap();
            let nothing = trio::move_on_after(Duration::from_millis(100), stdout.receive_some(&mut [0; 10])).await;
            assert!(nothing.is_none(), "half a request has no answer");
            stdin.send_all(b"9999\n").await.unwrap();
            trio::nursery! { |n|
                n.start_soon(async { assert_eq!(receive_exactly(&mut stdout, 999_999).await.len(), 999_999) });
                n.start_soon(async { assert_eq!(receive_exactly(&mut stderr, 1_999_998).await.len(), 1_999_998) });
            }
            stdin.aclose().await.unwrap();
            assert_eq!(receive_all(&mut stdout).await, b"");
            assert_eq!(receive_all(&mut stderr).await, b"");
            assert!(process.wait().await.unwrap().success());
        },
    )
    .await;
}

// trio: _tests/test_subprocess.py::test_stderr_stdout
#[trio::test]
async fn standard_error_can_go_where_standard_output_goes() {
    let both = || {
        let mut command = shell("cat; printf 4321 >&2");
        command.stdin(Stdio::piped()).stderr(Stdio::stdout());
        command
    };
    let through_a_pipe = || {
        let mut command = both();
        command.stdout(Stdio::piped());
        command
    };
    each_way(through_a_pipe, async |mut process| {
        assert!(process.stderr.is_none());
        let mut stdio = process.take_stdio().unwrap();
        assert!(process.take_stdio().is_none() && process.stdin.is_none() && process.stdout.is_none());
        stdio.send_stream.send_all(b"1234").await.unwrap();
        stdio.send_stream.aclose().await.unwrap();
        assert_eq!(receive_all(&mut stdio.receive_stream).await, b"12344321");
        assert!(process.wait().await.unwrap().success());
    })
    .await;

    // Into the same file, one behind the other.
    let path = std::env::temp_dir().join(format!("trio-test-{}-both", std::process::id()));
    let mut file = File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let mut command = both();
    command.stdout(file.try_clone().unwrap());
    let mut process = open_process(command).await.unwrap();
    assert!(process.take_stdio().is_none() && process.stdout.is_none() && process.stderr.is_none());
    let mut stdin = process.stdin.take().unwrap();
    stdin.send_all(b"1234").await.unwrap();
    drop(stdin);
    assert!(process.wait().await.unwrap().success());
    let mut written = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut written).unwrap();
    assert_eq!(written, "12344321");

    // With ours, which the test does not look into.
    let mut command = shell("exit 0");
    command.stderr(Stdio::stdout());
    let process = open_process(command).await.unwrap();
    assert!(process.stdout.is_none() && process.stderr.is_none());
    process.wait().await.unwrap();
}

// trio: _tests/test_subprocess.py::test_errors
#[trio::test]
async fn what_can_not_be_started_is_an_error() {
    let kind = async |command: Command| open_process(command).await.unwrap_err().kind();
    assert_eq!(kind(Command::new("/no/such/program")).await, ErrorKind::NotFound);
    assert_eq!(kind(Command::new("/etc/passwd")).await, ErrorKind::PermissionDenied);
    let mut command = Command::new("true");
    command.current_dir("/no/such/folder");
    assert_eq!(kind(command).await, ErrorKind::NotFound);
    let mut command = Command::new("true");
    command.stdout(Stdio::stdout());
    assert_eq!(kind(command).await, ErrorKind::InvalidInput);
}

// Without a status (the system throws it away) there is still an end. A process of its own, since the setting is the whole
// process's.
// trio: _tests/test_subprocess.py::test_wait_reapable_fails
// trio: _tests/test_subprocess.py::test_wait_reapable_fails_no_pidfd
#[test]
fn a_child_whose_status_the_system_throws_away_counts_as_successful() {
    alone(module_path!(), "a_child_whose_status_the_system_throws_away_counts_as_successful", || {
        // A shell that ignores SIGCHLD hands that on.
        if std::env::var_os("TRIO_TEST_IGNORES_SIGCHLD").is_none() {
            let test = std::env::current_exe().unwrap();
            let name = format!(
                "{}::a_child_whose_status_the_system_throws_away_counts_as_successful",
                module_path!().split_once("::").unwrap().1
            );
            let ignoring = "import os, signal, sys\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\nos.execv(sys.argv[1], sys.argv[1:])";
            let status = std::process::Command::new("python3")
                .args(["-c", ignoring])
                .arg(test)
                .args(["--exact", &name, "--nocapture"])
                .env("TRIO_TEST_IGNORES_SIGCHLD", "1")
                .status();
            match status {
                Ok(status) => assert!(status.success()),
                Err(error) => println!("skipped: python3 can't be run: {error}"),
            }
            return;
        }
        trio::run(each_way(sleeper, async |process| {
            trio::nursery! { |n|
                n.start_soon(async { assert_eq!(process.wait().await.unwrap(), ExitStatus::from_raw(0)) });
                settle().await;
                process.kill().unwrap();
            }
        }));
    });
}

#[trio::test]
async fn a_command_can_be_used_again() {
    let log = Log::new();
    let mut command = Command::new("sh");
    command.args(["-c", "echo $WHAT; cd"]).env_clear().env("WHAT", "one").current_dir("/").stdout(Stdio::piped());
    for what in ["one", "two"] {
        let mut process = open_process(command.envs([("WHAT", what)])).await.unwrap();
        log.say(String::from_utf8_lossy(&receive_all(process.stdout.as_mut().unwrap()).await).trim());
        process.wait().await.unwrap();
    }
    command.env_remove("WHAT");
    let mut process = open_process(command).await.unwrap();
    assert_eq!(receive_all(process.stdout.as_mut().unwrap()).await, b"\n");
    process.wait().await.unwrap();
    assert_eq!(log.lines(), ["one", "two"]);
}

/// Polls a future once, which has to wait.
async fn begin(future: &mut (impl Future + Unpin)) {
    let pending =
        std::future::poll_fn(|context| Poll::Ready(std::pin::Pin::new(&mut *future).poll(context).is_pending()));
    assert!(pending.await);
}

#[trio::test]
async fn a_wait_that_nobody_goes_on_with_holds_up_no_other() {
    each_way(sleeper, async |process| {
        let mut forgotten = Box::pin(process.wait());
        begin(&mut forgotten).await;
        std::mem::forget(forgotten);
        let mut paused = Box::pin(process.wait());
        begin(&mut paused).await;
        trio::nursery! { |n|
            for _ in 0..3 {
                n.start_soon(async { assert_eq!(process.wait().await.unwrap().signal(), Some(9)) });
            }
            settle().await;
            process.kill().unwrap();
        }
        assert_eq!(paused.await.unwrap().signal(), Some(9));
    })
    .await;
}

#[trio::test]
async fn real_time_signals_reach_a_child() {
    let signal = libc::SIGRTMIN() + 3;
    each_way(sleeper, async |process| {
        // Two that the C library has for itself, one more than there are, and what is none.
        for none in [32, 33, 65, 0, -1, -9] {
            assert_eq!(process.send_signal(none).unwrap_err().kind(), ErrorKind::InvalidInput, "{none}");
        }
        assert_eq!(process.try_wait().unwrap(), None);
        process.send_signal(signal).unwrap();
        assert_eq!(process.wait().await.unwrap().signal(), Some(signal));
    })
    .await;
}

#[trio::test]
async fn a_start_that_fails_leaves_no_descriptor_behind() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let mut command = Command::new("true");
    command.stdin(reader).stdout(Stdio::stdout());
    assert_eq!(open_process(&mut command).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    writer.write_all(b"x").expect("the command keeps what it was given");
    command.stdin(Stdio::null());
    assert_eq!(writer.write_all(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe, "and nothing else");
}
