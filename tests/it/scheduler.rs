//! The run loop: turns, runs in runs, system tasks, parking, and what is shuffled.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Waker;

use trio::lowlevel::{Abort, Rescheduler, checkpoint_if_cancelled, current_task, in_run, in_task, spawn_system_task};
use trio::{Builder, CancelScope, Event};

use crate::support::{Failed, Log, OnDrop, forever, panic_text, park, settle};

// A missing argument, or a function that is not `async`, does not compile.
// trio: _core/_tests/test_run.py::test_basic
#[test]
fn run_gives_what_its_future_gives() {
    async fn trivial(number: i32) -> i32 {
        number
    }
    async fn one_checkpoint(number: i32) -> i32 {
        trio::checkpoint().await;
        number * 2
    }
    assert_eq!(trio::run(trivial(8)), 8);
    assert_eq!(trio::run(one_checkpoint(2)), 4);
}

// trio: _core/_tests/test_run.py::test_run_nesting
#[test]
fn a_run_in_a_run_is_refused() {
    let text = panic_text(|| trio::run(async { trio::run(async { "inner" }) }));
    assert!(text.contains("from inside"), "{text}");
    // The thread is none the worse for it.
    assert_eq!(trio::run(async { 1 }), 1);
}

// trio: _core/_tests/test_run.py::test_basic_interleave
#[trio::test(schedules = 20)]
async fn each_pass_is_one_step_of_each_task() {
    async fn looper(name: &str, log: &Log) {
        for i in 0..3 {
            log.say(format!("{name}{i}"));
            trio::checkpoint().await;
        }
    }
    let log = Log::new();
    trio::nursery! { |n|
        n.start_soon(looper("a", &log));
        n.start_soon(looper("b", &log));
    }
    let mut lines = log.lines();
    for pass in lines.chunks_mut(2) {
        pass.sort();
    }
    assert_eq!(lines, ["a0", "b0", "a1", "b1", "a2", "b2"]);
}

// trio: _core/_tests/test_run.py::test_reschedule
#[trio::test]
async fn a_parked_task_goes_on_with_the_value_or_the_error_it_is_given() {
    type Place = Rescheduler<Result<i32, Failed>>;

    async fn first(log: &Log, own: Place, other: Place) {
        log.say("first parks");
        let value = own.wait(|| unreachable!("nobody cancels")).await;
        assert_eq!(value, Ok(0));
        log.say("first goes on");
        other.reschedule(Err(Failed("given")));
        log.say("first has rescheduled");
    }
    async fn second(log: &Log, own: Place, other: Place) {
        log.say("second");
        other.reschedule(Ok(0));
        log.say("second parks");
        let value = own.wait(|| unreachable!("nobody cancels")).await;
        assert_eq!(value, Err(Failed("given")));
        log.say("second goes on");
    }

    let log = Log::new();
    let (place1, place2) = (Place::new(), Place::new());
    trio::nursery! { |n|
        n.start_soon(first(&log, place1.clone(), place2.clone()));
        settle().await;
        assert!(place1.is_parked());
        n.start_soon(second(&log, place2, place1));
    }
    assert_eq!(
        log.lines(),
        ["first parks", "second", "second parks", "first goes on", "first has rescheduled", "second goes on"]
    );
}

// trio: _core/_tests/test_run.py::test_out_of_context
#[test]
fn outside_a_run_there_is_no_task_and_no_time() {
    for text in [
        panic_text(current_task),
        panic_text(trio::current_time),
        panic_text(trio::lowlevel::current_root_task),
        panic_text(trio::lowlevel::current_token),
    ] {
        assert!(text.contains("trio run"), "{text}");
    }
}

// trio: _core/_tests/test_run.py::test_failed_abort
#[trio::test]
async fn an_operation_that_refuses_to_be_aborted_goes_on_to_its_end() {
    let log = Log::new();
    let place = Rescheduler::new();
    let ended = trio::nursery! { |n, scope|
        n.start_soon(async {
            log.say("sleep");
            let value = place.wait(|| Abort::Failed).await;
            assert_eq!(value, 1);
            log.say("woke");
            let _guard = log.guard("task");
            checkpoint_if_cancelled().await;
            log.say("not reached");
        });
        settle().await;
        scope.cancel();
        trio::shield(settle()).await;
        assert_eq!(log.lines(), ["sleep"]);
        place.reschedule(1);
    };
    assert_eq!(ended, Some(()));
    assert_eq!(log.lines(), ["woke", "task dropped"]);
}

// trio: _core/_tests/test_run.py::test_slow_abort_basic
#[trio::test(schedules = 20)]
async fn an_abort_may_take_its_time() {
    let log = Rc::new(RefCell::new(Vec::new()));
    let place = Rescheduler::<()>::new();
    let scope = CancelScope::new();
    let handle = scope.handle();
    let ended = scope.run(async {
        handle.cancel();
        let (slow, said) = (place.clone(), Rc::clone(&log));
        let on_drop = Rc::clone(&log);
        let _guard = OnDrop(move || on_drop.borrow_mut().push("dropped"));
        place
            .wait(move || {
                said.borrow_mut().push("abort");
                let later = async move {
                    for _ in 0..3 {
                        trio::checkpoint().await;
                    }
                    said.borrow_mut().push("the abort is over");
                    slow.let_cancel();
                };
                spawn_system_task("slow abort", later).unwrap();
                Abort::Failed
            })
            .await;
        log.borrow_mut().push("not reached");
    });
    assert_eq!(ended.await, None);
    assert!(handle.caught());
    assert_eq!(*log.borrow(), ["abort", "the abort is over", "dropped"]);
}

// trio: _core/_tests/test_run.py::test_slow_abort_edge_cases
#[trio::test(schedules = 20)]
async fn an_abort_that_has_begun_is_not_begun_again_and_outlasts_a_shield() {
    let log = Rc::new(RefCell::new(Vec::new()));
    let say = |what: &'static str| log.borrow_mut().push(what);
    let place = Rescheduler::<Result<(), Failed>>::new();
    let outer1 = CancelScope::new();
    let handle1 = outer1.handle();
    let outer2 = CancelScope::new();
    let handle2 = outer2.handle();
    let shielded = CancelScope::new();
    let shield = shielded.handle();

    let task = async {
        say("sleeping");
        let said = Rc::clone(&log);
        // It tells its own task of the cancellation.
        let outcome = place.wait(move || {
            said.borrow_mut().push("abort called");
            Abort::Failed
        });
        assert_eq!(outcome.await, Err(Failed("cancelled")));
        say("cancelled");
        trio::checkpoint().await;
        say("done");
    };
    let all = outer1.run(outer2.run(shielded.run(async {
        trio::nursery! { |n|
            n.start_soon(task);
            settle().await;
            assert_eq!(*log.borrow(), ["sleeping"]);
            handle1.cancel();
            assert_eq!(*log.borrow(), ["sleeping", "abort called"], "at once");
            handle2.cancel();
            assert_eq!(*log.borrow(), ["sleeping", "abort called"], "and once");
            shield.set_shield(true);
            settle().await;
            assert_eq!(*log.borrow(), ["sleeping", "abort called"]);
            place.reschedule(Err(Failed("cancelled")));
        }
        "all have ended"
    })));
    assert_eq!(all.await, Some(Some(Some("all have ended"))));
    assert_eq!(*log.borrow(), ["sleeping", "abort called", "cancelled", "done"]);
}

#[trio::test(schedules = 20)]
async fn an_abort_that_succeeds_lets_its_task_be_dropped() {
    let log = Log::new();
    let aborted = Rc::new(Cell::new(0));
    let place = Rescheduler::<()>::new();
    let ended = trio::nursery! { |n, scope|
        n.start_soon(async {
            let _guard = log.guard("task");
            let aborted = Rc::clone(&aborted);
            place
                .wait(move || {
                    aborted.set(aborted.get() + 1);
                    Abort::Succeeded
                })
                .await;
        });
        settle().await;
        scope.cancel();
        assert_eq!(aborted.get(), 1, "at once");
    };
    assert_eq!(ended, Some(()));
    assert_eq!(log.lines(), ["task dropped"]);
    assert_eq!(aborted.get(), 1);
    assert!(!place.is_parked());
}

// Protection from KeyboardInterrupt is nothing that Rust needs: Ctrl-C never breaks into code here.
// trio: _core/_tests/test_run.py::test_spawn_system_task
#[trio::test(schedules = 20)]
async fn a_system_task_runs_soon() {
    let record = Rc::new(RefCell::new(Vec::new()));
    let theirs = Rc::clone(&record);
    let system = async move { theirs.borrow_mut().push(1) };
    spawn_system_task("system", system).unwrap();
    assert!(record.borrow().is_empty(), "soon, not now");
    settle().await;
    assert_eq!(*record.borrow(), [1]);
}

async fn panics(message: &'static str) {
    panic!("{message}");
}

// trio: _core/_tests/test_run.py::test_system_task_crash
#[test]
fn a_panic_of_a_system_task_is_an_internal_error_that_ends_the_run() {
    let log = Log::new();
    let text = panic_text(|| {
        trio::run(async {
            let _guard = log.guard("main");
            spawn_system_task("crasher", panics("the crash itself")).unwrap();
            trio::sleep_forever().await;
        })
    });
    assert!(text.contains("internal error"), "{text}");
    assert!(text.contains("crasher"), "{text}");
    assert!(text.contains("the crash itself"), "{text}");
    assert_eq!(log.lines(), ["main dropped"]);
}

// A cancelled task can't go on to fail, but its destructors can.
// trio: _core/_tests/test_run.py::test_system_task_crash_plus_Cancelled
#[test]
fn system_tasks_end_with_the_main_task_and_may_still_crash_then() {
    let log = Rc::new(Log::new());
    // They are cancelled.
    let theirs = Rc::clone(&log);
    let value = trio::run(async move {
        let system = async move { park(&theirs, "system").await };
        spawn_system_task("system", system).unwrap();
        settle().await;
        assert_eq!(log.lines(), ["system"]);
        log
    });
    assert_eq!(value.lines(), ["system dropped"]);

    // One of two children crashes on that occasion.
    let text = panic_text(|| {
        trio::run(async {
            let system = async {
                trio::nursery! { |n|
                    n.start_soon(async {
                        let _crash = OnDrop(|| panic!("crashed when it was cancelled"));
                        forever().await;
                    });
                    n.start_soon(forever());
                }
            };
            spawn_system_task("crasher", system).unwrap();
            settle().await;
        });
    });
    assert!(text.contains("internal error"), "{text}");
    assert!(text.contains("'crasher'"), "{text}");
    assert!(text.contains("crashed when it was cancelled"), "{text}");
}

// trio: _core/_tests/test_run.py::test_trio_context_detection
#[test]
fn code_can_tell_whether_it_is_in_a_run_and_in_a_task() {
    fn check(expected: bool) {
        assert_eq!((in_run(), in_task()), (expected, expected));
    }

    check(false);
    let aborts = Rc::new(Cell::new(0));
    trio::run(async {
        check(true);
        let in_thread = std::thread::spawn(|| (in_run(), in_task()));
        assert_eq!(in_thread.join().unwrap(), (false, false));
        let ended = trio::nursery! { |n, scope|
            n.start_soon(async {
                check(true);
                let aborts = Rc::clone(&aborts);
                let abort = move || {
                    check(true);
                    aborts.set(aborts.get() + 1);
                    Abort::Succeeded
                };
                Rescheduler::<()>::new().wait(abort).await;
            });
            settle().await;
            scope.cancel();
        };
        assert_eq!(ended, Some(()));
    });
    assert_eq!(aborts.get(), 1);
    check(false);
}

/// Who took each step of five tasks.
fn trace(builder: Builder) -> Vec<u32> {
    async fn tracer(name: u32, trace: &RefCell<Vec<u32>>) {
        for _ in 0..50 {
            trace.borrow_mut().push(name);
            trio::checkpoint().await;
        }
    }
    builder.run(async {
        let trace = RefCell::default();
        trio::nursery! { |n|
            for name in 0..5 {
                n.start_soon(tracer(name, &trace));
            }
        }
        trace.into_inner()
    })
}

// Here a run is shuffled when it is given a seed, and not by itself.
// trio: _tests/test_scheduler_determinism.py::test_the_trio_scheduler_is_not_deterministic
#[test]
fn ten_seeds_give_ten_orders() {
    let traces: HashSet<_> = (0..10).map(|seed| trace(Builder::new().seed(seed))).collect();
    assert_eq!(traces.len(), 10);
    for trace in traces {
        assert_eq!(trace.len(), 250);
        let first: HashSet<_> = trace[..5].iter().collect();
        assert_eq!(first.len(), 5, "in whatever order, each takes one step");
    }
    let in_order: Vec<_> = (0..50).flat_map(|_| 0..5).collect();
    assert_eq!(trace(Builder::new()), in_order);
}

// trio: _tests/test_scheduler_determinism.py::test_the_trio_scheduler_is_deterministic_if_seeded
#[test]
fn one_seed_gives_one_order() {
    let traces: HashSet<_> = (0..10).map(|_| trace(Builder::new().seed(0))).collect();
    assert_eq!(traces.len(), 1);
    assert!(!traces.contains(&trace(Builder::new())), "it was shuffled");
}

// Nobody can reschedule a task that has not said where; a wake that was not meant for it changes nothing.
// trio: _tests/test_timeouts.py::test_cannot_wake_sleep_forever
#[trio::test]
async fn nothing_but_a_cancellation_ends_sleep_forever() {
    let log = Log::new();
    let waker: RefCell<Option<Waker>> = RefCell::default();
    let polls = Cell::new(0);
    let ended = trio::nursery! { |n, scope|
        n.start_soon(async {
            let _guard = log.guard("sleeper");
            let mut sleeper = pin!(forever());
            poll_fn(|context| {
                polls.set(polls.get() + 1);
                waker.replace(Some(context.waker().clone()));
                sleeper.as_mut().poll(context)
            })
            .await;
            log.say("not reached");
        });
        for round in 1..=3 {
            settle().await;
            assert_eq!(polls.get(), round);
            waker.borrow().as_ref().unwrap().wake_by_ref();
        }
        settle().await;
        assert_eq!(n.child_count(), 1);
        assert!(log.lines().is_empty());
        scope.cancel();
    };
    assert_eq!(ended, Some(()));
    assert_eq!(log.lines(), ["sleeper dropped"]);
}

#[trio::test(schedules = 20)]
async fn a_wake_from_another_thread_is_heard() {
    let event = Rc::new(Event::new());
    let waker: RefCell<Option<Waker>> = RefCell::default();
    let woken = Cell::new(false);
    trio::nursery! { |n|
        n.start_soon(async {
            poll_fn(|context| {
                if waker.replace(Some(context.waker().clone())).is_none() {
                    return std::task::Poll::Pending;
                }
                std::task::Poll::Ready(())
            })
            .await;
            woken.set(true);
            event.set();
        });
        settle().await;
        let sent = waker.borrow().clone().unwrap();
        std::thread::spawn(move || sent.wake()).join().unwrap();
        event.wait().await;
    }
    assert!(woken.get());
}
