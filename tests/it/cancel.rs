//! Cancel scopes: who is cancelled, when, why, and what comes out.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;

use trio::testing::MockClock;
use trio::{CancelHandle, CancelReason, CancelScope, CancelSource, TaskStatus};

use crate::support::{
    Failed, Log, OnDrop, failures, forever, forever_or_fail, meets_cancellation, panic_text, park, secs, settle,
    yield_shielded,
};

/// Notes, when it is dropped, why the scope was cancelled.
fn note_reason<'a>(scope: &CancelHandle, reasons: &'a RefCell<Vec<CancelReason>>) -> impl Drop + use<'a> {
    let scope = scope.clone();
    OnDrop(move || reasons.borrow_mut().extend(scope.reason()))
}

// trio: _core/_tests/test_cancelled.py::test_cancel_reason
#[trio::test]
async fn the_reason_says_what_cancelled_the_scope() {
    let reasons = RefCell::default();
    trio::nursery! { |n|
        n.named("canceller").start_soon(async {
            let scope = CancelScope::new();
            let handle = scope.handle();
            assert_eq!(handle.reason(), None);
            let caught = scope.run(async {
                let _note = note_reason(&handle, &reasons);
                handle.cancel_because("hello");
                trio::checkpoint().await;
            });
            assert_eq!(caught.await, None);
        });
    }
    let reason = reasons.take().pop().unwrap();
    assert_eq!(reason.source(), CancelSource::Explicit);
    assert_eq!(reason.text(), Some("hello"));
    assert_eq!(reason.task_name(), Some("canceller"));

    // A deadline that has passed when the scope is entered, and one that is set when it is active.
    let past = trio::current_time();
    for from_the_start in [true, false] {
        let scope = CancelScope::new();
        let handle = scope.handle();
        if from_the_start {
            handle.set_deadline(Some(past));
        }
        let caught = scope.run(async {
            let _note = note_reason(&handle, &reasons);
            handle.set_deadline(Some(past));
            trio::checkpoint().await;
        });
        assert_eq!(caught.await, None);
        let reason = reasons.take().pop().unwrap();
        assert_eq!(reason.source(), CancelSource::Deadline);
        assert_eq!((reason.text(), reason.task_name()), (None, None));
        assert_eq!(handle.reason(), Some(reason));
    }
}

// The cancelled task can't turn its cancellation into an error of its own.
// trio: _core/_tests/test_cancelled.py::test_cancel_reason_nursery
#[trio::test(schedules = 20)]
async fn a_child_that_fails_after_started_is_the_reason_for_body_and_later_tasks() {
    let reasons = RefCell::default();
    let log = Log::new();
    let result = trio::try_nursery! { |n, scope| -> Result<_, Failed>
        let failing = |status: TaskStatus| async {
            status.started(());
            Err(Failed("value"))
        };
        n.named("failing").start(failing).await.unwrap();
        let _note = note_reason(&scope, &reasons);
        let late = scope.clone();
        let (reasons, log) = (&reasons, &log);
        n.start(move |status: TaskStatus| async move {
            let _note = note_reason(&late, reasons);
            status.started(());
            log.say("the second task began");
            forever_or_fail().await
        })
        .await
        .unwrap();
        log.say("not reached");
    };
    assert_eq!(failures(result), ["value"]);
    assert_eq!(log.lines(), ["the second task began"]);
    let reasons = reasons.take();
    assert_eq!(reasons.len(), 2);
    for reason in reasons {
        assert_eq!(reason.source(), CancelSource::Nursery);
        assert_eq!(reason.text(), Some("a child task failed"));
        assert_eq!(reason.task_name(), Some("failing"));
    }
}

// trio: _core/_tests/test_cancelled.py::test_cancel_reason_nursery2
#[trio::test(schedules = 20)]
async fn a_child_that_fails_later_is_the_reason_for_its_sibling() {
    let reasons = RefCell::default();
    let result = trio::try_nursery! { |n, scope| -> Result<_, Failed>
        let reasons = &reasons;
        let asleep = move |status: TaskStatus| async move {
            let _note = note_reason(&scope, reasons);
            status.started(());
            forever_or_fail().await
        };
        n.named("B").start(asleep).await.unwrap();
        let failing = |status: TaskStatus| async {
            status.started(());
            settle().await;
            Err(Failed("value"))
        };
        n.named("A").start(failing).await.unwrap();
    };
    assert_eq!(failures(result), ["value"]);
    let reasons = reasons.take();
    assert_eq!(reasons.len(), 1);
    assert_eq!(reasons[0].source(), CancelSource::Nursery);
    assert_eq!(reasons[0].text(), Some("a child task failed"));
    assert_eq!(reasons[0].task_name(), Some("A"));
}

// trio: _core/_tests/test_cancelled.py::test_cancel_reason_nursery3
#[trio::test(schedules = 20)]
async fn a_start_that_fails_in_the_body_makes_the_body_the_reason() {
    let reasons = RefCell::default();
    let result = RefCell::new(None);
    trio::nursery! { |outer|
        outer.named("parent").start_soon(async {
            let failed = trio::try_nursery! { |n, scope| -> Result<_, Failed>
                let reasons = &reasons;
                n.start_soon(async move {
                    let _note = note_reason(&scope, reasons);
                    forever_or_fail().await
                });
                n.start(|_: TaskStatus| async { Err(Failed("value")) })
                    .await
                    .map_err(|error| error.into_error().unwrap())?;
            };
            *result.borrow_mut() = Some(failed);
        });
    }
    assert_eq!(failures(result.take().unwrap()), ["value"]);
    let reasons = reasons.take();
    assert_eq!(reasons.len(), 1);
    assert_eq!(reasons[0].source(), CancelSource::Nursery);
    assert_eq!(reasons[0].text(), Some("the nursery's body failed"));
    assert_eq!(reasons[0].task_name(), Some("parent"));
}

#[test]
fn a_panic_makes_the_task_that_panicked_the_reason() {
    async fn panics() {
        panic!("out of cheese");
    }
    let reasons = RefCell::default();
    let text = panic_text(|| {
        trio::run(async {
            trio::nursery! { |n, scope|
                let reasons = &reasons;
                n.named("panicking").start_soon(panics());
                let _note = note_reason(&scope, reasons);
                forever().await;
            };
        });
    });
    assert_eq!(text, "out of cheese");
    let reasons = reasons.take();
    assert_eq!(reasons.len(), 1);
    assert_eq!(reasons[0].source(), CancelSource::Nursery);
    assert_eq!(reasons[0].text(), Some("a task panicked"));
    assert_eq!(reasons[0].task_name(), Some("panicking"));
}

// trio: _core/_tests/test_cancelled.py::test_cancel_reason_not_overwritten
#[trio::test]
async fn a_deadline_after_a_call_does_not_change_the_reason() {
    let seen = Cell::new(0);
    trio::nursery! { |n|
        n.named("self").start_soon(async {
            let scope = CancelScope::new();
            let handle = scope.handle();
            let expected = format!("cancelled due to explicit from task 'self', at {}:{}:24", file!(), line!() + 2);
            let caught = scope.run(async {
                handle.cancel();
                for _ in 0..2 {
                    assert!(meets_cancellation().await);
                    assert_eq!(handle.reason().unwrap().to_string(), expected);
                    handle.set_deadline(Some(trio::current_time()));
                    yield_shielded().await;
                    seen.set(seen.get() + 1);
                }
                trio::checkpoint().await;
            });
            assert_eq!(caught.await, None);
            assert_eq!(handle.reason().unwrap().to_string(), expected);
        });
    }
    assert_eq!(seen.get(), 2);
}

// trio: _core/_tests/test_cancelled.py::test_cancel_reason_not_overwritten_2
#[trio::test]
async fn a_call_after_a_deadline_does_not_change_the_reason() {
    let expected = format!("cancelled due to deadline, at {}:{}:16", file!(), line!() + 4);
    let scope = CancelScope::new();
    let handle = scope.handle();
    let caught = scope.run(async {
        handle.set_deadline(Some(trio::current_time()));
        yield_shielded().await;
        assert!(meets_cancellation().await);
        assert_eq!(handle.reason().unwrap().to_string(), expected);
        handle.cancel();
        assert!(meets_cancellation().await);
        assert_eq!(handle.reason().unwrap().to_string(), expected);
        trio::checkpoint().await;
    });
    assert_eq!(caught.await, None);
    assert_eq!(handle.reason().unwrap().to_string(), expected);
}

// trio: _core/_tests/test_run.py::test_cancel_scope_repr
#[test]
fn debug_tells_state_deadline_and_reason() {
    let clock = MockClock::new();
    let text = |handle: &CancelHandle| format!("{handle:?}");
    let (early, late) = trio::Builder::new().clock(clock.clone()).run(async {
        let scope = CancelScope::new();
        let handle = scope.handle();
        assert_eq!(text(&handle), "CancelScope(unbound)");
        assert_eq!(format!("{scope:?}"), "CancelScope(unbound)");
        let start = trio::current_time();
        clock.jump(secs(2));
        let value = scope.run(async {
            assert_eq!(text(&handle), "CancelScope(active)");
            handle.set_deadline(Some(start + secs(1)));
            assert!(text(&handle).starts_with("CancelScope(active, deadline is 1.00 seconds ago"));
            handle.set_deadline(Some(start + secs(12)));
            assert_eq!(text(&handle), "CancelScope(active, deadline is 10.00 seconds from now)");
        });
        assert_eq!(value.await, Some(()));
        assert!(text(&handle).starts_with("CancelScope(exited, "));
        assert!(!text(&handle).contains("cancelled"));

        let other = CancelScope::new();
        let cancelled = other.handle();
        let value = other.run(async {
            cancelled.cancel();
            assert!(text(&cancelled).starts_with("CancelScope(active, cancelled"));
        });
        assert_eq!(value.await, Some(()));
        assert!(text(&cancelled).starts_with("CancelScope(exited, cancelled"));
        (handle, cancelled)
    });
    // Nothing outside the run has a clock to measure the deadline by.
    assert!(early.deadline().is_some());
    assert_eq!(text(&early), "CancelScope(exited)");
    assert!(text(&late).contains("cancelled"));
}

// trio: _core/_tests/test_run.py::test_cancel_edge_cases
#[trio::test]
async fn cancelling_twice_is_cancelling_once_and_a_cancellation_stays() {
    let scope = CancelScope::new();
    let handle = scope.handle();
    let passed = Cell::new(false);
    let caught = scope.run(async {
        handle.cancel();
        handle.cancel();
        assert!(meets_cancellation().await);
        assert!(meets_cancellation().await, "not just the first one");
        passed.set(true);
        trio::checkpoint().await;
        unreachable!("the checkpoint was cancelled");
    });
    assert_eq!(caught.await, None);
    assert!(passed.get());
    assert!(handle.is_cancelled());
    assert!(handle.caught());
}

// Python's Trio shows which cancellations reach the nursery's group; here only what comes out in the end can be seen.
// trio: _core/_tests/test_run.py::test_cancel_scope_exceptiongroup_filtering
#[trio::test(schedules = 20)]
async fn a_cancellation_from_further_out_does_not_lose_an_error() {
    let log = Log::new();
    let outer = CancelScope::new();
    let outer_handle = outer.handle();
    let result = outer.run(async {
        trio::try_nursery! { |n, scope| -> Result<_, Failed>
            n.start_soon(park(&log, "t1"));
            n.start_soon(park(&log, "t2"));
            trio::shield(settle()).await;
            scope.cancel();
            trio::shield(settle()).await;
            assert_eq!(log.sorted(), ["t1", "t1 dropped", "t2", "t2 dropped"]);
            n.start_soon(park(&log, "t3"));
            outer_handle.cancel();
            n.start_soon(async { Err(Failed("key")) });
        }
    });
    let result = result.await.expect("an error is never lost");
    assert_eq!(failures(result), ["key"]);
    assert_eq!(log.lines(), ["t3", "t3 dropped"]);
    assert!(outer_handle.is_cancelled());
}

// trio: _core/_tests/test_run.py::test_precancelled_task
#[trio::test(schedules = 20)]
async fn a_task_in_a_cancelled_nursery_runs_to_its_first_checkpoint() {
    let log = Log::new();
    let ended = trio::nursery! { |n, scope|
        scope.cancel();
        n.start_soon(async {
            let _guard = log.guard("task");
            log.say("started");
            trio::checkpoint().await;
            log.say("not reached");
        });
    };
    assert_eq!(ended, Some(()), "the body had its value");
    assert_eq!(log.lines(), ["started", "task dropped"]);
}

// trio: _core/_tests/test_run.py::test_cancel_inheritance
#[trio::test(schedules = 20)]
async fn a_cancellation_reaches_nurseries_that_are_opened_after_it() {
    async fn worker(log: &Log, name: &str) {
        trio::nursery! { |n|
            n.start_soon(leaf(log, format!("{name}-l1")));
            n.start_soon(leaf(log, format!("{name}-l2")));
        }
        log.say("no worker gets here");
    }
    async fn leaf(log: &Log, name: String) {
        park(log, &name).await;
    }

    let log = Log::new();
    trio::nursery! { |n, scope|
        n.start_soon(worker(&log, "w1"));
        n.start_soon(worker(&log, "w2"));
        scope.cancel();
    };
    let mut expected = Vec::new();
    for leaf in ["w1-l1", "w1-l2", "w2-l1", "w2-l2"] {
        expected.extend([leaf.to_owned(), format!("{leaf} dropped")]);
    }
    assert_eq!(log.sorted(), expected);
}

/// A stack for futures that are nested thousands of times, since each of them is polled by the one around it.
fn on_a_large_stack(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(64 << 20);
    let joined = thread.spawn(test).expect("a thread can be started").join();
    if let Err(panic) = joined {
        std::panic::resume_unwind(panic);
    }
}

// trio: _core/_tests/test_run.py::test_very_deep_cancel_scope_nesting
#[test]
fn five_thousand_nested_scopes_are_cancelled_from_the_outermost() {
    const DEPTH: u32 = 5000;

    fn nested(depth: u32, log: &Log) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        Box::pin(async move {
            if depth == 0 {
                log.say("innermost");
                trio::sleep_forever().await;
            } else {
                let caught = CancelScope::new().run(nested(depth - 1, log)).await;
                panic!("scope {depth} went on with {caught:?}");
            }
        })
    }

    on_a_large_stack(|| {
        let log = Log::new();
        trio::run(async {
            let outermost = CancelScope::new();
            let handle = outermost.handle();
            trio::nursery! { |n|
                n.start_soon(async {
                    settle().await;
                    handle.cancel();
                });
                let caught = outermost.run(nested(DEPTH, &log)).await;
                assert_eq!(caught, None);
            }
            assert!(handle.caught());
        });
        assert_eq!(log.lines(), ["innermost"]);
    });
}

// trio: _core/_tests/test_run.py::test_locals_destroyed_promptly_on_cancel
#[trio::test]
async fn a_cancelled_childs_locals_are_gone_when_the_nursery_ends() {
    let alive = Rc::new(());
    let ended = trio::nursery! { |n, scope|
        let alive = &alive;
        n.start_soon(async move {
            let _local = Rc::clone(alive);
            forever().await;
        });
        settle().await;
        assert_eq!(Rc::strong_count(alive), 2);
        scope.cancel();
    };
    assert_eq!(ended, Some(()));
    assert_eq!(Rc::strong_count(&alive), 1);
}

// trio: _core/_tests/test_run.py::test_cancel_scope_no_cancellederror
#[trio::test]
async fn errors_pass_a_cancelled_scope_that_interrupted_nothing() {
    let scope = CancelScope::new();
    let handle = scope.handle();
    let result = scope.run(async {
        handle.cancel();
        trio::try_nursery! { |n| -> Result<_, Failed>
            n.start_soon(async { Err(Failed("one")) });
            n.start_soon(async { Err(Failed("two")) });
        }
    });
    let result = result.await.expect("nothing was cancelled");
    assert_eq!(failures(result), ["one", "two"]);
    assert!(handle.is_cancelled());
    assert!(!handle.caught());
}
