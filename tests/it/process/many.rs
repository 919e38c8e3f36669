//! Many children, ended in every state: no zombie and no descriptor is left.

use std::cell::Cell;
use std::time::Duration;

use trio::process::{Command, ProcessError, Stdio, open_process, run_process};

use super::{LONG, piped, shell, sleeper};
use crate::support::{alone, descriptors};

/// The children that this process has, zombies included.
fn children() -> usize {
    let own = std::process::id().to_string();
    let is_child = |entry: std::fs::DirEntry| {
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        // After the name, which is in parentheses: state and parent.
        let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.to_owned();
        (parent == own).then_some(())
    };
    std::fs::read_dir("/proc").unwrap().filter_map(Result::ok).filter_map(is_child).count()
}

/// Waits for the threads that collect what was dropped.
async fn until_nothing_is_left(descriptors_before: usize) {
    let nothing = async {
        while children() > 0 || descriptors() > descriptors_before {
            trio::sleep(Duration::from_millis(10)).await;
        }
    };
    let left = trio::fail_after(LONG, nothing).await;
    assert!(left.is_ok(), "{} children, {} descriptors more", children(), descriptors() - descriptors_before);
}

// trio: _tests/test_subprocess.py::test_for_leaking_fds
#[test]
fn calls_leave_no_descriptors() {
    alone(module_path!(), "calls_leave_no_descriptors", || {
        trio::run(async {
            let before = descriptors();
            run_process(Command::new("true").capture_stdout(true).capture_stderr(true).input("x")).await.unwrap();
            assert_eq!(descriptors(), before);
            let failed = run_process(Command::new("false").capture_stdout(true).capture_stderr(true)).await;
            assert!(matches!(failed, Err(ProcessError::Failed(_))));
            assert_eq!(descriptors(), before);
            let failed = run_process(Command::new("/etc/passwd").capture_stdout(true).input("x")).await;
            assert!(matches!(failed, Err(ProcessError::Start(_))));
            assert_eq!(descriptors(), before);
            assert_eq!(children(), 0);
        });
    });
}

#[test]
fn a_thousand_children_that_end_in_every_way_leave_nothing() {
    alone(module_path!(), "a_thousand_children_that_end_in_every_way_leave_nothing", || {
        trio::run(async {
            let before = descriptors();
            let ended = [const { Cell::new(0) }; 8];
            // A few at a time, so that no limit of the machine is met.
            let limit = trio::CapacityLimiter::new(24);
            trio::nursery! { |n|
                for number in 0..1000 {
                    let (limit, ended) = (&limit, &ended);
                    n.start_soon(async move {
                        let _token = limit.acquire().await;
                        let way = number % ended.len();
                        one_child(way, Duration::from_micros(number as u64 * 7 % 4000), number % 16 < 8).await;
                        ended[way].set(ended[way].get() + 1);
                    });
                }
            }
            let counts: Vec<i32> = ended.iter().map(Cell::get).collect();
            until_nothing_is_left(before).await;
            println!("1,000 children, ended in 8 ways ({counts:?}): none is left, and no descriptor");
            assert!(counts.iter().all(|count| *count == 125), "{counts:?}");
        });
    });
}

async fn one_child(way: usize, moment: Duration, use_pidfd: bool) {
    let sleeper = || {
        let mut command = piped(sleeper());
        command.use_pidfd(use_pidfd);
        command
    };
    match way {
        // Ends by itself.
        0 => drop(run_process(shell("exit 3").check(false).use_pidfd(use_pidfd)).await.unwrap()),
        // Killed at some moment, while somebody waits.
        1 => {
            let process = open_process(sleeper()).await.unwrap();
            trio::nursery! { |n|
                n.start_soon(async {
                    trio::sleep(moment).await;
                    process.kill().unwrap();
                });
                process.wait().await.unwrap();
            }
        }
        // Cancelled at some moment, in whatever state.
        2 | 3 => {
            let mut command = Command::new("cat");
            command.use_pidfd(use_pidfd).input(vec![0; 1 << 20]).capture_stdout(way == 2);
            command.stderr(Stdio::null());
            if way == 3 {
                command.stdout(Stdio::null());
            }
            drop(trio::move_on_after(moment, run_process(command)).await);
        }
        // Dropped while it runs, and ended from elsewhere.
        4 => {
            let process = open_process(sleeper()).await.unwrap();
            process.kill().unwrap();
            drop(process);
        }
        // Dropped while it runs, and ends later by itself.
        5 => drop(open_process(shell("sleep 0.05")).await.unwrap()),
        // Closes its pipes early.
        6 => {
            let mut command = shell("exec 0<&- 1>&- 2>&-; sleep 0.01");
            command.use_pidfd(use_pidfd).input(vec![0; 1 << 17]).capture_stdout(true).capture_stderr(true);
            run_process(command).await.unwrap();
        }
        // Dropped by foreign code.
        _ => {
            let run = std::pin::pin!(async { run_process(Command::new("sleep").arg("3600")).await });
            let timer = std::pin::pin!(trio::sleep(moment));
            drop(futures::future::select(run, timer).await);
        }
    }
}
