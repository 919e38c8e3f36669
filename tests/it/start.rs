//! `nursery.start`: a task that says when it is ready.

use std::cell::Cell;

use trio::{BoxError, CancelScope, ErrorGroup, StartError, TaskStatus};

use crate::support::{Failed, Log, failures, forever, park, secs, settle};

/// Sleeps, says that it has started, and sleeps again.
async fn sleep_then_start(seconds: u64, status: TaskStatus<u64>) -> Result<(), Failed> {
    trio::sleep(secs(seconds)).await;
    status.started(seconds);
    trio::sleep(secs(seconds)).await;
    Ok(())
}

/// The seconds on the run's clock since `zero`.
fn since(zero: std::time::Instant) -> f64 {
    (trio::current_time() - zero).as_secs_f64()
}

// Calling `started` twice does not compile, since it takes the status by value; nor does `start` in a nursery whose
// block has been left.
// trio: _core/_tests/test_run.py::test_nursery_start
#[trio::test(autojump, schedules = 5)]
async fn start_gives_what_the_task_says_when_it_has_started() {
    for seconds in [1, 3] {
        let zero = trio::current_time();
        let result = trio::try_nursery! { |n| -> Result<_, Failed>
            assert_eq!(n.child_count(), 0);
            let value = n.start(|status| sleep_then_start(seconds, status)).await;
            assert_eq!(value.unwrap(), seconds);
            assert_eq!(since(zero), seconds as f64);
            assert_eq!(n.child_count(), 1);
        };
        assert!(result.is_ok());
        assert_eq!(since(zero), 2.0 * seconds as f64);
    }

    // The same function without a nursery that waits for it.
    let zero = trio::current_time();
    assert_eq!(sleep_then_start(1, TaskStatus::ignored()).await, Ok(()));
    assert_eq!(since(zero), 2.0);
}

#[trio::test(schedules = 20)]
async fn an_error_before_started_comes_out_of_start_alone() {
    let result = trio::try_nursery! { |n| -> Result<_, Failed>
        let failed = n.start(|_: TaskStatus| async { Err(Failed("oops")) }).await;
        assert_eq!(failed.unwrap_err().into_error(), Some(Failed("oops")));
        // The nursery goes on.
        assert_eq!(n.child_count(), 0);
        let value = n.start(|status| async {
            status.started(7);
            trio::checkpoint().await;
            Ok::<_, Failed>(())
        });
        assert_eq!(value.await.unwrap(), 7);
        "the block's value"
    };
    assert_eq!(result.unwrap(), "the block's value");
}

#[trio::test]
async fn a_task_that_ends_without_started_fails_start() {
    let result = trio::try_nursery! { |n| -> Result<_, Failed>
        let ended = n.named("forgetful").start(|_: TaskStatus| async { Ok::<_, Failed>(()) }).await;
        let error = ended.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("'forgetful'"), "{text}");
        assert!(text.contains("exited without calling `started`"), "{text}");
        assert_eq!(error.into_error(), None);
    };
    assert!(result.is_ok());
}

#[trio::test(schedules = 20)]
async fn started_does_nothing_when_the_start_call_is_cancelled() {
    let log = Log::new();
    let log = &log;
    // The task meets a checkpoint: `start` is cancelled with it.
    let result = trio::try_nursery! { |n| -> Result<_, Failed>
        let scope = CancelScope::new();
        let handle = scope.handle();
        let started = scope.run(async {
            handle.cancel();
            n.start(|status| async move {
                status.started(1);
                let _guard = log.guard("task");
                trio::checkpoint().await;
                log.say("not reached");
                Ok::<_, Failed>(())
            })
            .await
        });
        assert!(started.await.is_none());
        assert!(handle.caught());
        assert_eq!(n.child_count(), 0);
        assert_eq!(log.lines(), ["task dropped"]);
    };
    assert!(result.is_ok());

    // It meets none: `start` completes.
    let result = trio::try_nursery! { |n| -> Result<_, Failed>
        let scope = CancelScope::new();
        let handle = scope.handle();
        let started = scope.run(async {
            handle.cancel();
            n.start(|status| async move {
                status.started(2);
                Ok::<_, Failed>(())
            })
            .await
        });
        assert_eq!(started.await.unwrap().unwrap(), 2);
        assert!(handle.is_cancelled());
        assert!(!handle.caught());
    };
    assert!(result.is_ok());

    // It fails after `started`, which did nothing: the error is the caller's.
    let result = trio::try_nursery! { |n| -> Result<_, Failed>
        let scope = CancelScope::new();
        let handle = scope.handle();
        let started = scope.run(async {
            handle.cancel();
            n.start(|status| async move {
                status.started(3);
                Err(Failed("late"))
            })
            .await
        });
        let error = started.await.unwrap().unwrap_err();
        assert_eq!(error.into_error(), Some(Failed("late")));
        assert!(!handle.caught());
    };
    assert!(result.is_ok());
}

/// Opens a nursery with two sleepers, and says that it has started when they sleep.
async fn start_with_children(log: &Log, before: impl FnOnce(), status: TaskStatus) {
    trio::nursery! { |n|
        n.start_soon(park(log, "grandchild"));
        n.start_soon(park(log, "grandchild"));
        trio::testing::wait_all_tasks_blocked(std::time::Duration::ZERO).await;
        before();
        status.started(());
    }
    log.say("not reached");
}

// trio: _core/_tests/test_run.py::test_nursery_start_with_cancelled_nursery
#[trio::test(schedules = 20)]
async fn sleeping_grandchildren_move_into_a_cancelled_nursery_and_end_there() {
    let expected = ["grandchild", "grandchild", "grandchild dropped", "grandchild dropped"];
    let log = Log::new();
    let log = &log;

    // The nursery, with the body that waits in `start`, is cancelled just before.
    trio::nursery! { |n, scope|
        n.start(|status| start_with_children(log, move || scope.cancel(), status)).await.unwrap();
    };
    assert_eq!(log.lines(), expected);

    // The same, but the caller is not cancelled: then the task moves.
    let moved = Cell::new(false);
    trio::nursery! { |n, scope|
        trio::shield!({
            let started = n.start(|status| start_with_children(log, move || scope.cancel(), status)).await;
            started.unwrap();
            moved.set(true);
        });
    };
    assert!(moved.get());
    assert_eq!(log.lines(), expected);

    // The nursery is cancelled just after.
    trio::nursery! { |n, scope|
        n.start(|status| start_with_children(log, || (), status)).await.unwrap();
        scope.cancel();
        assert_eq!(n.child_count(), 1);
    };
    assert_eq!(log.lines(), expected);
}

// In Python a task of another nursery can call `start` in this one; here only a task of this one can when its body has
// ended, so daemons do, which keep no nursery open.
// trio: _core/_tests/test_run.py::test_nursery_start_keeps_nursery_open
#[trio::test(autojump, schedules = 5)]
async fn a_pending_start_keeps_the_nursery_open() {
    type Scoped<'scope, 'env> = trio::Nursery<'scope, 'env, Failed>;

    async fn sleep_then_start_later<'scope>(
        n: &'scope Scoped<'scope, '_>,
        log: &Log,
        delay: u64,
    ) -> Result<(), Failed> {
        trio::sleep(secs(delay)).await;
        log.say("start");
        let started = n.start(|status| async move {
            trio::sleep(secs(2)).await;
            status.started(());
            trio::sleep(secs(3)).await;
            Ok::<_, Failed>(())
        });
        started.await.unwrap();
        log.say("started");
        Ok(())
    }

    let log = Log::timed();
    let result = trio::try_nursery! { |n| -> Result<_, Failed>
        n.start_daemon(sleep_then_start_later(n, &log, 0));
        n.start_daemon(sleep_then_start_later(n, &log, 1));
        trio::sleep(secs(1)).await;
        trio::checkpoint().await;
        log.say("the body ended");
    };
    assert!(result.is_ok());
    log.say("the nursery ended");
    let mut lines = log.lines();
    lines[1..3].sort();
    assert_eq!(
        lines,
        ["start at 0", "start at 1", "the body ended at 1", "started at 2", "started at 3", "the nursery ended at 6"]
    );

    async fn start_what_fails<'scope>(n: &'scope Scoped<'scope, '_>, log: &Log) -> Result<(), Failed> {
        let failed = n.start(|_: TaskStatus| async {
            trio::sleep(secs(7)).await;
            Err(Failed("key"))
        });
        let error: StartError<Failed> = failed.await.unwrap_err();
        log.say(error);
        Ok(())
    }

    let log = Log::timed();
    let result = trio::try_nursery! { |n| -> Result<_, Failed>
        n.start_daemon(start_what_fails(n, &log));
        settle().await;
        log.say("the body ended");
    };
    assert!(result.is_ok(), "the error went to the caller of `start`");
    log.say("the nursery ended");
    assert_eq!(log.lines(), ["the body ended at 0", "key at 7", "the nursery ended at 7"]);
}

// Groups of one are never bare here, so half of Trio's combinations do not exist.
// trio: _core/_tests/test_run.py::test_trio_run_strict_before_started
#[trio::test(schedules = 5)]
async fn start_adds_no_group_of_its_own() {
    async fn fail(own_group: bool) -> Result<(), BoxError> {
        if own_group {
            trio::try_nursery! { |n| -> Result<_, Failed>
                n.start_soon(async { Err(Failed("one")) });
                n.start_soon(async { Err(Failed("two")) });
            }?;
        }
        Err(Failed("bare"))?
    }
    fn check(error: BoxError, own_group: bool) {
        if own_group {
            let group = *error.downcast::<ErrorGroup<Failed>>().unwrap();
            assert_eq!(failures(Err::<(), _>(group)), ["one", "two"]);
        } else {
            assert_eq!(error.downcast_ref(), Some(&Failed("bare")));
        }
    }

    for own_group in [false, true] {
        let result: Result<(), ErrorGroup> = trio::try_nursery! { |n|
            let before = n.start(|_: TaskStatus| fail(own_group)).await;
            check(before.unwrap_err().into_error().unwrap(), own_group);
        };
        assert!(result.is_ok());

        let result: Result<(), ErrorGroup> = trio::try_nursery! { |n|
            let after = n.start(|status: TaskStatus| async move {
                status.started(());
                fail(own_group).await
            });
            after.await.unwrap();
        };
        let mut errors = result.unwrap_err().into_errors();
        assert_eq!(errors.len(), 1);
        check(errors.next().unwrap(), own_group);
    }
}

#[trio::test(autojump, schedules = 20)]
async fn until_started_the_task_is_under_the_callers_scopes_and_then_under_the_nurserys() {
    async fn serve(log: &Log, ready: u64, status: TaskStatus) {
        let _guard = log.guard("server");
        trio::sleep(secs(ready)).await;
        status.started(());
        forever().await;
    }

    let log = Log::timed();
    let log = &log;
    trio::nursery! { |n, scope|
        let late = trio::move_on_after(secs(5), n.start(|status| serve(log, 10, status))).await;
        assert!(late.is_none());
        log.say("too late");
        let in_time = trio::move_on_after(secs(5), n.start(|status| serve(log, 1, status))).await;
        assert!(in_time.is_some());
        log.say("in time");
        trio::sleep(secs(100)).await;
        scope.cancel();
    };
    assert_eq!(log.lines(), ["server dropped at 5", "too late at 5", "in time at 6", "server dropped at 106"]);
}
