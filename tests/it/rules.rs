//! The eleven rules of cancellation and the table of vectors in `DESIGN.md`, sentence by sentence.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures::FutureExt;
use trio::{Builder, CancelScope, CancelSource, Event, Lock, TaskStatus, open_memory_channel};

use crate::support::{
    Failed, Log, failures, forever, forever_or_fail, meets_cancellation, panic_text, park, secs, settle,
    yield_shielded, yields,
};

// ---------------------------------------------------------------- the table

#[trio::test(autojump)]
async fn vector_1_a_sleep_that_is_too_long_is_left_at_the_deadline() {
    let log = Log::timed();
    let value = trio::move_on_after(secs(5), trio::sleep(secs(100))).await;
    assert_eq!(value, None);
    log.say("left");
    assert_eq!(log.lines(), ["left at 5"]);
}

#[trio::test(autojump)]
async fn vector_2_a_body_is_dropped_at_its_first_unshielded_checkpoint() {
    let log = Log::timed();
    let value = trio::move_on_after!(secs(5), {
        let _guard = log.guard("body");
        trio::shield(trio::sleep(secs(20))).await;
        log.say("log");
        trio::sleep(secs(1)).await;
        log.say("never");
    });
    assert_eq!(value, None);
    log.say("left");
    assert_eq!(log.lines(), ["log at 20", "body dropped at 20", "left at 20"]);
}

#[trio::test(autojump, schedules = 20)]
async fn vector_3_each_task_of_a_nursery_ends_at_its_own_unshielded_checkpoint() {
    async fn shielded(log: &Log) {
        let _guard = log.guard("shielded child");
        trio::shield(trio::sleep(secs(20))).await;
        log.say("shield over");
        trio::checkpoint().await;
        log.say("never");
    }
    let log = Log::timed();
    let value = trio::move_on_after!(secs(5), {
        trio::nursery! { |n|
            n.start_soon(park(&log, "plain child"));
            n.start_soon(shielded(&log));
            let _guard = log.guard("body");
            trio::sleep_forever().await;
        }
        log.say("never");
    });
    assert_eq!(value, None);
    log.say("left");
    let mut lines = log.lines();
    lines[1..3].sort();
    assert_eq!(
        lines,
        [
            "plain child at 0",
            "body dropped at 5",
            "plain child dropped at 5",
            "shield over at 20",
            "shielded child dropped at 20",
            "left at 20"
        ]
    );
}

#[trio::test(autojump)]
async fn vector_4_of_two_scopes_whose_time_is_up_together_the_outer_catches() {
    let log = Log::timed();
    let value = trio::move_on_after!(secs(5), {
        trio::move_on_after(secs(5), trio::sleep(secs(100))).await;
        log.say("never");
    });
    assert_eq!(value, None);
    log.say("left");
    assert_eq!(log.lines(), ["left at 5"]);
}

#[trio::test(autojump)]
async fn vector_5_a_shielded_time_limit_catches_its_own_time_and_then_the_outer_catches() {
    let log = Log::timed();
    let value = trio::move_on_after!(secs(5), {
        let limit = CancelScope::new().shield(true).timeout(secs(10));
        assert_eq!(limit.run(trio::sleep(secs(100))).await, None);
        log.say("inner");
        trio::checkpoint().await;
        log.say("never");
    });
    assert_eq!(value, None);
    log.say("outer");
    assert_eq!(log.lines(), ["inner at 10", "outer at 10"]);
}

#[trio::test]
async fn vector_6_a_cancelled_body_without_a_checkpoint_has_its_value() {
    let scope = CancelScope::new();
    let handle = scope.handle();
    let value = scope.run(async {
        handle.cancel();
        7
    });
    assert_eq!(value.await, Some(7));
    assert!(handle.is_cancelled());
    assert!(!handle.caught());
}

#[trio::test]
async fn vector_7_a_cancelled_body_that_meets_a_checkpoint_has_none() {
    let scope = CancelScope::new();
    let handle = scope.handle();
    let value = scope.run(async {
        handle.cancel();
        trio::checkpoint().await;
        7
    });
    assert_eq!(value.await, None);
    assert!(handle.caught());
}

// ---------------------------------------------------------------- rule 1

#[trio::test]
async fn rule_1_a_cancellation_reaches_down_the_tree_at_once_and_stops_at_shields() {
    let seen = RefCell::new(Vec::new());
    let look = async |place| {
        let cancelled = meets_cancellation().await;
        seen.borrow_mut().push((place, cancelled));
    };
    let ended = trio::cancel_scope! { |scope|
        let inner = CancelScope::new();
        let inner_handle = inner.handle();
        inner
            .run(async {
                trio::shield!({
                    look("shielded, before").await;
                    scope.cancel();
                    look("shielded").await;
                });
                look("inner").await;
                assert!(!inner_handle.is_cancelled(), "that is its own");
            })
            .await;
        look("outer").await;
    };
    assert_eq!(ended, Some(()), "no checkpoint was waited for");
    assert_eq!(seen.into_inner(), [("shielded, before", false), ("shielded", false), ("inner", true), ("outer", true)]);
}

#[trio::test(schedules = 20)]
async fn rule_1_a_cancellation_wakes_whoever_is_parked() {
    let log = Log::new();
    trio::nursery! { |n|
        let scope = CancelScope::new();
        let handle = scope.handle();
        let log = &log;
        n.start_soon(async move {
            // Scopes, nurseries and a `finally` in each other.
            let ended = scope.run(async {
                trio::nursery! { |inner|
                    inner.start_soon(trio::finally(park(log, "body"), async {
                        log.say("cleaned up");
                    }));
                }
            });
            assert_eq!(ended.await, None);
        });
        settle().await;
        handle.cancel();
    }
    assert_eq!(log.lines(), ["body", "body dropped", "cleaned up"]);
}

#[trio::test]
async fn rule_1_the_first_cause_wins() {
    let scope = CancelScope::new();
    let handle = scope.handle();
    handle.cancel_because("first");
    handle.cancel_because("second");
    assert_eq!(scope.run(forever()).await, None);
    handle.cancel_because("third");
    assert_eq!(handle.reason().unwrap().text(), Some("first"));
    assert_eq!(handle.reason().unwrap().source(), CancelSource::Explicit);
}

// ---------------------------------------------------------------- rule 2

#[trio::test(schedules = 20)]
async fn rule_2_what_was_granted_before_the_cancellation_is_kept_and_the_code_runs_to_its_next_checkpoint() {
    let log = Log::new();
    let event = Event::new();
    let ended = trio::nursery! { |n, scope|
        n.start_soon(async {
            let _guard = log.guard("task");
            event.wait().await;
            log.say("the event came first");
            trio::checkpoint().await;
            log.say("never");
        });
        settle().await;
        event.set();
        scope.cancel();
    };
    assert_eq!(ended, Some(()));
    assert_eq!(log.lines(), ["the event came first", "task dropped"]);
}

#[trio::test(schedules = 20)]
async fn rule_2_what_comes_after_the_cancellation_is_not_granted() {
    let log = Log::new();
    let event = Event::new();
    let ended = trio::nursery! { |n, scope|
        n.start_soon(async {
            let _guard = log.guard("task");
            event.wait().await;
            log.say("never");
        });
        settle().await;
        scope.cancel();
        event.set();
    };
    assert_eq!(ended, Some(()));
    assert_eq!(log.lines(), ["task dropped"]);
}

#[trio::test(autojump)]
async fn rule_2_a_body_with_a_hold_below_it_is_not_dropped_before_that_has_ended() {
    let log = Log::timed();
    let value = trio::move_on_after!(secs(1), {
        let _guard = log.guard("body");
        let waits = (pin!(trio::shield(trio::sleep(secs(4)))), pin!(forever()));
        futures::future::join(waits.0, waits.1).await;
    });
    assert_eq!(value, None);
    assert_eq!(log.lines(), ["body dropped at 4"]);
}

// ---------------------------------------------------------------- rule 3

#[trio::test]
async fn rule_3_on_entry_the_cancellation_wins() {
    let lock = Lock::new(());
    let (sender, receiver) = open_memory_channel(1);
    let event = Event::new();
    event.set();
    sender.try_send("item").unwrap();
    for operation in 0..4 {
        let ended = trio::cancel_scope! { |scope|
            scope.cancel();
            match operation {
                0 => drop(lock.lock().await),
                1 => drop(receiver.receive().await),
                2 => event.wait().await,
                _ => trio::sleep(Duration::ZERO).await,
            }
        };
        assert_eq!(ended, None, "operation {operation}");
    }
    assert!(!lock.is_locked());
    assert_eq!(receiver.try_receive(), Ok("item"));
}

#[trio::test(schedules = 20)]
async fn rule_3_a_hand_off_skips_a_waiter_that_is_cancelled_in_whatever_way() {
    let log = Log::new();
    // Its own scope, one further out, or its nursery.
    for way in 0..3 {
        let (sender, receiver) = open_memory_channel::<u32>(0);
        let (outer, inner) = (CancelScope::new(), CancelScope::new());
        let handles = [outer.handle(), inner.handle()];
        trio::nursery! { |n|
            n.start_soon(async {
                outer
                    .run(inner.run(async {
                        let got = receiver.receive().await;
                        log.say(format!("cancelled: {got:?}"));
                    }))
                    .await;
            });
            let task = n.spawn(async {
                let got = receiver.receive().await;
                log.say(format!("task: {got:?}"));
            });
            settle().await;
            n.start_soon(async {
                let got = receiver.receive().await;
                log.say(format!("free: {got:?}"));
            });
            settle().await;
            match way {
                0 => {
                    handles[0].cancel();
                    task.cancel();
                }
                1 => {
                    handles[1].cancel();
                    task.cancel();
                }
                _ => task.cancel(),
            }
            sender.try_send(way).unwrap();
            settle().await;
            if way < 2 {
                assert_eq!(log.lines(), [format!("free: Ok({way})")]);
            } else {
                assert_eq!(log.lines(), [format!("cancelled: Ok({way})")]);
                sender.try_send(3).unwrap();
            }
        }
        if way == 2 {
            assert_eq!(log.lines(), ["free: Ok(3)"]);
        }
    }
}

#[trio::test]
async fn rule_3_an_operation_that_is_dropped_after_it_was_granted_gives_the_grant_on() {
    let lock = Lock::new(());
    let guard = lock.lock().await;
    let mut first = Box::pin(lock.lock());
    let mut second = Box::pin(lock.lock());
    assert!((&mut first).now_or_never().is_none());
    assert!((&mut second).now_or_never().is_none());
    drop(guard);
    drop(first);
    // Without a run of its own: it was granted by the drop.
    assert!((&mut second).now_or_never().is_some());
    drop(second);
    assert!(!lock.is_locked());
}

#[trio::test(schedules = 20)]
async fn rule_3_whoever_was_passed_over_queues_up_again_if_the_cancellation_is_taken_back() {
    let (sender, receiver) = open_memory_channel(0);
    let log = Log::new();
    let shielded = CancelScope::new();
    let shield = shielded.handle();
    let receiver = &receiver;
    let ended = trio::cancel_scope! { |scope|
        trio::shield!({
            trio::nursery! { |n|
                n.start_soon(async { log.say(receiver.receive().await.unwrap()) });
                settle().await;
                sender.try_send("plain").unwrap();
            }
        });
        shielded
            .run(async {
                let mut receive = pin!(receiver.receive());
                assert!((&mut receive).now_or_never().is_none());
                scope.cancel();
                assert!(sender.try_send("nobody").is_err(), "it was passed over");
                shield.set_shield(true);
                assert!((&mut receive).now_or_never().is_none());
                sender.try_send("somebody").unwrap();
                log.say(receive.await.unwrap());
            })
            .await;
    };
    assert_eq!(ended, Some(()));
    assert_eq!(log.lines(), ["plain", "somebody"]);
}

// ---------------------------------------------------------------- rule 4

#[trio::test(autojump, schedules = 20)]
async fn rule_4_a_cancelled_nursery_polls_on_whoever_is_held_and_whoever_they_start() {
    async fn holder<'scope>(n: &'scope trio::Nursery<'scope, '_>, log: &'scope Log, until: u64) {
        let _guard = log.guard(format!("holder {until}"));
        trio::shield!({
            trio::sleep(secs(until)).await;
            n.start_soon(park(log, "late"));
            trio::sleep(secs(1)).await;
        });
        trio::checkpoint().await;
        log.say("never");
    }
    let log = Log::timed();
    let ended = trio::nursery! { |n, scope|
        n.start_soon(holder(n, &log, 3));
        n.start_soon(holder(n, &log, 7));
        settle().await;
        scope.cancel();
    };
    assert_eq!(ended, Some(()));
    assert_eq!(
        log.lines(),
        [
            "late at 3",
            "late dropped at 3",
            "holder 3 dropped at 4",
            "late at 7",
            "late dropped at 7",
            "holder 7 dropped at 8"
        ]
    );
}

// ---------------------------------------------------------------- rule 5

#[trio::test(autojump, schedules = 20)]
async fn rule_5_a_scope_catches_only_if_nothing_above_it_is_cancelled() {
    let log = Log::timed();
    let outer = CancelScope::new();
    let outer_handle = outer.handle();
    let inner = CancelScope::new();
    let inner_handle = inner.handle();
    trio::nursery! { |n|
        n.start_soon(async {
            let ended = outer.run(async {
                inner.run(forever()).await;
                log.say("never");
            });
            assert_eq!(ended.await, None);
        });
        trio::sleep(secs(1)).await;
        // The outer one comes second, but before the inner one can catch.
        inner_handle.cancel();
        outer_handle.cancel();
    }
    assert!(outer_handle.caught());
    assert!(!inner_handle.caught());
    assert!(log.lines().is_empty());
}

#[trio::test(autojump)]
async fn rule_5_a_scope_catches_as_soon_as_a_shield_cuts_it_off_from_what_is_cancelled_above() {
    let log = Log::timed();
    let outer = CancelScope::new();
    let outer_handle = outer.handle();
    let middle = CancelScope::new();
    let middle_handle = middle.handle();
    let inner = CancelScope::new();
    let inner_handle = inner.handle();
    trio::nursery! { |n|
        n.start_soon(async {
            let ended = outer.run(middle.run(async {
                let waits = async {
                    assert_eq!(inner.run(forever()).await, None);
                    log.say("inner caught");
                };
                futures::future::join(waits, trio::shield(trio::sleep(secs(10)))).await;
                log.say("all done");
            }));
            assert_eq!(ended.await, Some(Some(())));
        });
        trio::sleep(secs(1)).await;
        outer_handle.cancel();
        inner_handle.cancel();
        trio::sleep(secs(4)).await;
        assert!(log.lines().is_empty());
        middle_handle.set_shield(true);
    }
    assert_eq!(log.lines(), ["inner caught at 5", "all done at 10"]);
    assert!(inner_handle.caught());
    assert!(!outer_handle.caught());
}

#[trio::test(schedules = 20)]
async fn rule_5_an_interrupted_nursery_with_errors_completes_with_them() {
    // A child that fails when the cancellation has come.
    let scope = CancelScope::new();
    let handle = scope.handle();
    let ended = scope.run(async {
        trio::try_nursery! { |n| -> Result<_, Failed>
            n.start_soon(async {
                yield_shielded().await;
                Err(Failed("child"))
            });
            n.start_soon(forever_or_fail());
            handle.cancel();
        }
    });
    assert_eq!(failures(ended.await.unwrap()), ["child"]);
    assert!(!handle.caught());
}

#[test]
fn rule_5_a_panic_is_not_lost_to_a_cancellation() {
    async fn panics() {
        yield_shielded().await;
        panic!("out of cheese");
    }
    let text = panic_text(|| {
        trio::run(async {
            let scope = CancelScope::new();
            let handle = scope.handle();
            let ended = scope.run(async {
                trio::nursery! { |n|
                    n.start_soon(panics());
                    n.start_soon(forever());
                    handle.cancel();
                }
            });
            ended.await
        })
    });
    assert_eq!(text, "out of cheese");
}

#[trio::test(schedules = 20)]
async fn rule_5_an_error_exit_of_the_body_is_not_lost_either() {
    async fn leave(log: &Log) -> Result<(), Failed> {
        let ended = trio::cancel_scope! { |scope|
            trio::nursery! { |n|
                n.start_soon(park(log, "child"));
                scope.cancel();
                Err(Failed("the body's"))?;
            }
            log.say("never");
        };
        panic!("went on with {ended:?}");
    }
    let log = Log::new();
    assert_eq!(leave(&log).await, Err(Failed("the body's")));
    assert_eq!(log.lines(), ["child", "child dropped"]);
}

#[trio::test(schedules = 20)]
async fn rule_5_an_interrupted_nursery_without_errors_never_goes_on() {
    let log = Log::new();
    let ended = trio::cancel_scope! { |scope|
        trio::nursery! { |n|
            n.start_soon(park(&log, "child"));
            scope.cancel();
        }
        log.say("never");
    };
    assert_eq!(ended, None);
    assert_eq!(log.lines(), ["child", "child dropped"]);
}

// ---------------------------------------------------------------- rule 6

#[trio::test]
async fn rule_6_a_nursery_that_interrupted_nobody_has_its_value() {
    let scope = CancelScope::new();
    let handle = scope.handle();
    let done = Cell::new(0);
    let ended = scope.run(async {
        trio::nursery! { |n|
            n.start_soon(async { done.set(done.get() + 1) });
            handle.cancel();
            n.start_soon(async { done.set(done.get() + 1) });
            "a value"
        }
    });
    assert_eq!(ended.await, Some("a value"));
    assert_eq!(done.get(), 2);
    assert!(!handle.caught());
}

// ---------------------------------------------------------------- rule 7

#[trio::test(schedules = 20)]
async fn rule_7_a_child_is_never_dropped_before_its_first_step() {
    let log = Log::new();
    let ended = trio::cancel_scope! { |scope|
        scope.cancel();
        trio::nursery! { |outer|
            outer.start_soon(async {
                log.say("child");
                trio::nursery! { |inner|
                    inner.start_soon(park(&log, "grandchild"));
                }
            });
            outer.spawn(park(&log, "spawned")).cancel();
            outer.start_daemon(park(&log, "daemon"));
        }
    };
    assert_eq!(ended, None);
    let lines = log.lines();
    for began in ["child", "grandchild", "spawned", "daemon"] {
        assert!(lines.iter().any(|line| line == began), "{began}: {lines:?}");
    }
    let ends = lines.iter().filter(|line| line.ends_with("dropped"));
    assert_eq!(ends.count(), 3, "{lines:?}");
}

// ---------------------------------------------------------------- rule 8

#[trio::test]
async fn rule_8_a_nurserys_end_is_a_schedule_point() {
    assert!(
        yields(async {
            trio::nursery! { |_n| }
        })
        .await
    );
    let log = Log::new();
    trio::nursery! { |n|
        n.start_soon(async { log.say("somebody else") });
        trio::nursery! { |_n| }
        log.say("behind the empty nursery");
    }
    assert_eq!(log.lines(), ["somebody else", "behind the empty nursery"]);
}

#[trio::test]
async fn rule_8_a_nurserys_end_is_no_cancel_point() {
    let log = Log::new();
    let ended = trio::cancel_scope! { |scope|
        scope.cancel();
        let value = trio::nursery! { |_n| "value" };
        log.say("behind the nursery");
        value
    };
    assert_eq!(ended, Some("value"));
    assert_eq!(log.lines(), ["behind the nursery"]);
}

#[trio::test(autojump)]
async fn rule_8_a_checkpoint_yields_first_and_then_looks() {
    let log = Log::new();
    let scope = CancelScope::new();
    let handle = scope.handle();
    trio::nursery! { |n|
        n.start_soon(async { handle.cancel() });
        let ended = scope.run(async {
            trio::checkpoint().await;
            log.say("never");
        });
        assert_eq!(ended.await, None);
    }
    assert!(log.lines().is_empty());
}

// ---------------------------------------------------------------- rule 9

#[trio::test(schedules = 20)]
async fn rule_9_started_decides_at_the_moment_it_is_called() {
    let log = Log::new();
    let log = &log;
    // A cancellation of the caller in the same step, but after `started`, comes too late.
    let ended = trio::nursery! { |n, nursery_scope|
        let scope = CancelScope::new();
        let handle = scope.handle();
        let caller = handle.clone();
        let started = scope.run(n.start(|status: TaskStatus<u32>| async move {
            let _guard = log.guard("server");
            trio::checkpoint().await;
            status.started(8080);
            caller.cancel();
            assert!(!meets_cancellation().await, "it is in the nursery already");
            trio::checkpoint().await;
            log.say("serving");
            forever().await;
        }));
        assert_eq!(started.await.unwrap().unwrap(), 8080);
        assert!(handle.is_cancelled());
        assert!(!handle.caught());
        settle().await;
        assert_eq!(log.lines(), ["serving"]);
        nursery_scope.cancel();
    };
    assert_eq!(ended, Some(()));
    assert_eq!(log.lines(), ["server dropped"]);

    // One before `started` comes in time.
    trio::nursery! { |n|
        let scope = CancelScope::new();
        let caller = scope.handle();
        let started = scope.run(n.start(|status: TaskStatus| async move {
            let _guard = log.guard("server");
            trio::checkpoint().await;
            caller.cancel();
            status.started(());
            assert!(meets_cancellation().await, "it is still the caller's");
            trio::checkpoint().await;
            log.say("never");
        }));
        assert!(started.await.is_none());
        assert_eq!(n.child_count(), 0);
    }
    assert_eq!(log.lines(), ["server dropped"]);
}

#[trio::test(autojump, schedules = 20)]
async fn rule_9_the_whole_subtree_moves_with_its_shields() {
    let log = Log::timed();
    let log = &log;
    let ended = trio::nursery! { |n, nursery_scope|
        n.start(|status: TaskStatus| async move {
            trio::nursery! { |inner|
                inner.start_soon(async {
                    let _guard = log.guard("shielded");
                    trio::shield(trio::sleep(secs(10))).await;
                    forever().await;
                });
                inner.start_soon(park(log, "plain"));
                settle().await;
                status.started(());
            }
        })
        .await
        .unwrap();
        trio::sleep(secs(2)).await;
        nursery_scope.cancel();
    };
    assert_eq!(ended, Some(()));
    assert_eq!(log.lines(), ["plain at 0", "plain dropped at 2", "shielded dropped at 10"]);
}

// ---------------------------------------------------------------- rule 10

/// How many turns another task gets while one does this many operations that need not wait.
fn turns_of_others(builder: Builder, operations: u32) -> u32 {
    builder.run(async {
        let (turns, done) = (Cell::new(0), Cell::new(false));
        let event = Event::new();
        event.set();
        trio::nursery! { |n|
            n.start_soon(async {
                while !done.get() {
                    turns.set(turns.get() + 1);
                    trio::checkpoint().await;
                }
            });
            n.start_soon(async {
                trio::checkpoint().await;
                let before = turns.get();
                for _ in 0..operations {
                    event.wait().await;
                }
                turns.set(turns.get() - before);
                done.set(true);
            });
        }
        turns.get()
    })
}

#[test]
fn rule_10_a_step_may_complete_as_many_operations_as_the_budget_says() {
    for budget in [1, 2, 10] {
        let builder = Builder::new().checkpoint_budget(budget);
        assert_eq!(turns_of_others(builder, 100), 100 / budget, "budget {budget}");
    }
    assert_eq!(turns_of_others(Builder::new(), 320), 10, "the default is 32");
}

#[trio::test]
async fn rule_10_under_trio_test_every_operation_yields() {
    let event = Event::new();
    event.set();
    let lock = Lock::new(());
    let (sender, receiver) = open_memory_channel(10);
    for _ in 0..3 {
        assert!(yields(event.wait()).await);
        assert!(yields(lock.lock()).await);
        assert!(yields(sender.send(1)).await);
        assert!(yields(receiver.receive()).await);
    }
}

#[trio::test(schedules = 20)]
async fn rule_10_an_operation_completed_or_had_no_effect() {
    // The yield that an operation owes when it has completed can't be cancelled: so it is known to have completed.
    let (sender, receiver) = open_memory_channel(10);
    let scope = CancelScope::new();
    let handle = scope.handle();
    let sent = Cell::new(0);
    trio::nursery! { |n|
        n.start_soon(async {
            let ended = scope.run(async {
                loop {
                    sender.send(()).await.unwrap();
                    sent.set(sent.get() + 1);
                }
            });
            let _: Option<()> = ended.await;
        });
        for _ in 0..4 {
            trio::checkpoint().await;
        }
        handle.cancel();
    }
    assert!(sent.get() > 0);
    assert_eq!(receiver.statistics().current_buffer_used, sent.get());
}

// ---------------------------------------------------------------- rule 11

#[trio::test(autojump)]
async fn rule_11_what_foreign_code_drops_goes_at_once_shields_or_not() {
    let log = Log::timed();
    let mut dropped = Box::pin(CancelScope::new().run(trio::shield(async {
        let _guard = log.guard("shielded body");
        trio::nursery! { |n|
            n.start_soon(trio::finally(park(&log, "child"), async { log.say("never") }));
            n.start_soon(park(&log, "sibling"));
        }
    })));
    // Two polls: the nursery's children take their first step in the second.
    assert!((&mut dropped).now_or_never().is_none());
    settle().await;
    assert!((&mut dropped).now_or_never().is_none());
    let nodes = trio::lowlevel::current_statistics().nodes;
    log.say("now");
    drop(dropped);
    assert!(trio::lowlevel::current_statistics().nodes < nodes);
    let lines = log.lines();
    let after = lines.iter().position(|line| line == "now at 0").unwrap();
    assert_eq!(lines[..after], ["child at 0", "sibling at 0"]);
    let mut ends = lines[after + 1..].to_vec();
    ends.sort();
    assert_eq!(ends, ["child dropped at 0", "shielded body dropped at 0", "sibling dropped at 0"]);
    // Nothing holds a cancellation off any more.
    assert_eq!(trio::move_on_after(secs(1), forever()).await, None);
}

#[trio::test(autojump)]
async fn rule_11_nothing_is_left_in_the_tree() {
    let parts = || {
        let statistics = trio::lowlevel::current_statistics();
        (statistics.nodes, statistics.timers, statistics.tasks_living)
    };
    let before = parts();
    for _ in 0..10 {
        let abandoned = trio::move_on_after(secs(100), async {
            trio::nursery! { |n|
                n.start_soon(trio::sleep(secs(50)));
                n.start_soon(trio::shield(trio::sleep(secs(60))));
                trio::sleep(secs(70)).await;
            }
        });
        let mut abandoned = pin!(abandoned);
        let two_polls = async {
            for _ in 0..2 {
                assert!((&mut abandoned).now_or_never().is_none());
                trio::checkpoint().await;
            }
        };
        two_polls.await;
    }
    assert_eq!(parts(), before);
}

#[trio::test(autojump)]
async fn rule_11_a_forgotten_scope_is_never_polled_again_and_harms_nobody() {
    let log = Log::timed();
    let mut forgotten = Box::pin(CancelScope::new().timeout(secs(5)).run(async {
        trio::sleep(secs(1)).await;
        panic!("it ran");
    }));
    assert!((&mut forgotten).now_or_never().is_none());
    std::mem::forget(forgotten);
    assert_eq!(trio::move_on_after(secs(10), forever()).await, None);
    trio::nursery! { |n| n.start_soon(trio::sleep(secs(10))); }
    log.say("went on");
    assert_eq!(log.lines(), ["went on at 20"]);
}

#[trio::test(autojump)]
async fn rule_11_a_scope_that_is_polled_under_another_parent_belongs_there() {
    let log = Log::timed();
    let moving = CancelScope::new();
    let moving_handle = moving.handle();
    let mut moving = Box::pin(moving.run(park(&log, "moving")));

    // The first parent ends: what it was lent is not its to drop.
    let first = trio::move_on_after(secs(1), moving.as_mut()).await;
    assert!(first.is_none());
    assert!(!moving_handle.is_cancelled());

    // The second is cancelled: now that reaches it.
    let second = CancelScope::new();
    let second_handle = second.handle();
    let ended = second.run(async {
        poll_fn(|context| {
            assert!(moving.as_mut().poll(context).is_pending());
            Poll::Ready(())
        })
        .await;
        second_handle.set_timeout(secs(2));
        moving.await
    });
    assert!(ended.await.is_none());
    assert!(second_handle.caught());
    assert!(!moving_handle.caught());
    assert_eq!(log.lines(), ["moving at 0", "moving dropped at 3"]);
}

#[trio::test(autojump, schedules = 20)]
async fn rule_11_a_nursery_that_is_polled_under_another_parent_belongs_there() {
    let log = Log::timed();
    let mut moving = Box::pin(async {
        trio::nursery! { |n|
            n.start_soon(park(&log, "child"));
        }
    });
    // Under a first parent it begins: two polls, so that the child takes its first step.
    let first = CancelScope::new();
    let first_handle = first.handle();
    let begun = first.run(async {
        for _ in 0..2 {
            assert!((&mut moving).now_or_never().is_none());
        }
    });
    assert_eq!(begun.await, Some(()));
    assert_eq!(log.lines(), ["child at 0"]);
    first_handle.cancel();

    // Under a second one it goes on, and is cancelled with that.
    let second = CancelScope::new().timeout(secs(2));
    assert_eq!(second.run(moving).await, None);
    assert_eq!(log.lines(), ["child dropped at 2"]);
}
