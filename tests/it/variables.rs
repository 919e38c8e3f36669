//! Variables of the run, of tasks, and along the tree of nurseries: who sees which value when.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use futures::FutureExt;
use futures::future::join;
use trio::lowlevel::{RunVar, current_token, spawn_system_task};
use trio::{Event, TaskLocal, TaskStatus, TreeVar};

use crate::support::{Log, OnDrop, forever, panic_text, secs, settle};

// ---------------------------------------------------------------- of the run

// trio: _core/_tests/test_local.py::test_runvar_smoketest
#[test]
fn a_run_variable_has_its_value_for_one_run() {
    static PLAIN: RunVar<&str> = RunVar::new("plain");
    static WITH_DEFAULT: RunVar<&str> = RunVar::with_default("with default", || "default");
    for _ in 0..2 {
        trio::run(async {
            assert_eq!(PLAIN.try_get(), None);
            PLAIN.set("swordfish");
            assert_eq!((PLAIN.get(), PLAIN.try_get()), ("swordfish", Some("swordfish")));

            assert_eq!(WITH_DEFAULT.get(), "default");
            assert_eq!(WITH_DEFAULT.get_or("eggs"), "eggs", "what is given here comes before the declared default");
            WITH_DEFAULT.set("set");
            assert_eq!(WITH_DEFAULT.get(), "set");
            assert_eq!(WITH_DEFAULT.get_or("eggs"), "set");
        });
    }
    assert_eq!(format!("{PLAIN:?}"), r#"RunVar("plain")"#);
}

#[test]
fn a_run_variable_without_a_value_says_so() {
    static PLAIN: RunVar<&str> = RunVar::new("plain");
    let text = "the run variable `plain` has no value here, and no default";
    assert_eq!(panic_text(|| trio::run(async { PLAIN.get() })), text);
    assert_eq!(panic_text(|| trio::run(async { PLAIN.with(|value| value.len()) })), text);
}

// That a token can be used once only is its type: see the documentation of `reset`.
// trio: _core/_tests/test_local.py::test_runvar_resetting
#[trio::test]
async fn a_token_undoes_what_it_is_of() {
    static PLAIN: RunVar<&str> = RunVar::new("plain");
    static WITH_DEFAULT: RunVar<&str> = RunVar::with_default("with default", || "default");
    let token = PLAIN.set("first");
    assert_eq!(token.previous(), None);
    PLAIN.reset(token);
    assert_eq!(PLAIN.try_get(), None);

    let token = WITH_DEFAULT.set("first");
    let second = WITH_DEFAULT.set("second");
    assert_eq!(second.previous(), Some(&"first"));
    WITH_DEFAULT.reset(second);
    assert_eq!(WITH_DEFAULT.get(), "first");
    WITH_DEFAULT.reset(token);
    assert_eq!(WITH_DEFAULT.get(), "default");

    let token = PLAIN.set("kept");
    let text = panic_text(|| WITH_DEFAULT.reset(token));
    assert_eq!(text, "this token is of another run variable than `with default`");
    assert_eq!((PLAIN.get(), WITH_DEFAULT.get()), ("kept", "default"), "nothing has changed");
}

// trio: _core/_tests/test_local.py::test_runvar_sync
#[trio::test(schedules = 20)]
async fn all_tasks_share_a_run_variable() {
    static SHARED: RunVar<&str> = RunVar::new("shared");
    let token = SHARED.set("parent");
    trio::nursery! { |n| n.start_soon(async { SHARED.set("child"); }) }
    assert_eq!(SHARED.get(), "child");
    trio::nursery! { |n|
        n.start_soon(async move {
            SHARED.reset(token);
            assert_eq!(SHARED.try_get(), None);
            SHARED.set("another child");
        });
    }
    assert_eq!(SHARED.get(), "another child");
}

// trio: _core/_tests/test_local.py::test_accessing_runvar_outside_run_call_fails
#[test]
fn a_run_variable_needs_a_run() {
    static PLAIN: RunVar<&str> = RunVar::with_default("plain", || "default");
    let needs_a_run = |text: String| assert!(text.starts_with("this needs a trio run"), "{text}");
    needs_a_run(panic_text(|| PLAIN.set("x")));
    needs_a_run(panic_text(|| PLAIN.get()));
    needs_a_run(panic_text(|| PLAIN.try_get()));
    needs_a_run(panic_text(|| PLAIN.get_or("x")));
    let token = trio::run(async { PLAIN.set("inside") });
    needs_a_run(panic_text(|| PLAIN.reset(token)));

    let token = trio::run(async { PLAIN.set("inside") });
    let text = panic_text(|| trio::run(async { PLAIN.reset(token) }));
    assert_eq!(text, "this token for `plain` is of another trio run");
}

/// Two runs at once, in two threads, with one variable.
#[test]
fn runs_in_other_threads_have_their_own_values() {
    static SHARED: RunVar<Rc<u32>> = RunVar::new("shared");
    std::thread::scope(|threads| {
        for number in 0..4 {
            threads.spawn(move || {
                trio::run(async {
                    SHARED.set(Rc::new(number));
                    trio::checkpoint().await;
                    assert_eq!(*SHARED.get(), number);
                });
            });
        }
    });
}

#[test]
fn a_runs_values_are_dropped_at_its_end_while_there_is_a_run() {
    static KEPT: RunVar<Rc<dyn std::any::Any>> = RunVar::new("kept");
    static OTHER: RunVar<u32> = RunVar::with_default("other", || 7);
    let seen = Rc::new(Cell::new(0));
    trio::run(async {
        let seen = Rc::clone(&seen);
        KEPT.set(Rc::new(OnDrop(move || seen.set(OTHER.get()))));
    });
    assert_eq!(seen.get(), 7);
}

/// The destructor of a value that is replaced may use the variable.
#[trio::test]
async fn destructors_and_clones_may_use_the_variable_they_are_of() {
    struct Curious(&'static str);
    impl Drop for Curious {
        fn drop(&mut self) {
            if self.0 == "first" {
                CURIOUS.with(|now| assert_eq!(now.0, "second"));
                LOCAL.set(Rc::new(Self("from the destructor")));
            }
        }
    }
    impl Clone for Curious {
        fn clone(&self) -> Self {
            CURIOUS.with(|now| Self(now.0))
        }
    }
    static CURIOUS: RunVar<Curious> = RunVar::new("curious");
    static LOCAL: TaskLocal<Rc<Curious>> = TaskLocal::new("local");
    drop(CURIOUS.set(Curious("first")));
    drop(CURIOUS.set(Curious("second")));
    assert_eq!(LOCAL.get().0, "from the destructor");
    assert_eq!(CURIOUS.get().0, "second");
}

// ---------------------------------------------------------------- of tasks

static NAME: TaskLocal<&str> = TaskLocal::new("name");

// trio: _tests/test_contextvars.py::test_contextvars_set
#[trio::test(schedules = 20)]
async fn what_a_child_sets_is_its_own() {
    NAME.set("main");
    trio::nursery! { |n|
        n.start_soon(async {
            assert_eq!(NAME.get(), "main", "as its spawner had it");
            NAME.set("child");
            trio::checkpoint().await;
            assert_eq!(NAME.get(), "child");
        });
        n.start_soon(async {
            trio::checkpoint().await;
            assert_eq!(NAME.get(), "main");
        });
    }
    assert_eq!(NAME.get(), "main");
}

// What a copied context is for in Python, `sync_scope` does: a task that is spawned under other values.
// trio: _tests/test_contextvars.py::test_contextvars_copy
#[trio::test(schedules = 20)]
async fn a_task_can_be_spawned_under_another_value() {
    NAME.set("main");
    let copied = NAME.get();
    NAME.set("second_main");
    trio::nursery! { |n|
        NAME.sync_scope(copied, || n.start_soon(async { assert_eq!(NAME.get(), "main") }));
        n.start_soon(async { assert_eq!(NAME.get(), "second_main") });
        assert_eq!(NAME.get(), "second_main");
    }
    assert_eq!(NAME.get(), "second_main");
}

// A run has no values to begin with, so that is what a system task has, whoever spawns it.
// trio: _core/_tests/test_run.py::test_system_task_contexts
#[trio::test]
async fn a_system_task_has_nothing_from_its_spawner() {
    NAME.set("poison");
    let (checked, done) = (Rc::new(Event::new()), Rc::new(Event::new()));
    let done_there = Rc::clone(&done);
    trio::nursery! { |n|
        n.start_soon(async { assert_eq!(NAME.get(), "poison") });
        spawn_system_task("system", async move {
            assert_eq!(NAME.get_or("water"), "water");
            // What it sets, it has to itself.
            NAME.set("system");
            trio::checkpoint().await;
            assert_eq!(NAME.get(), "system");
            done_there.set();
        }).unwrap();
        spawn_system_task("another", {
            let checked = Rc::clone(&checked);
            async move {
                assert_eq!(NAME.try_get(), None);
                checked.set();
            }
        }).unwrap();
        done.wait().await;
        checked.wait().await;
    }
    assert_eq!(NAME.get(), "poison");
}

/// A child has what its spawner had at the moment of the spawn, and nothing changes it from outside afterwards.
#[trio::test(autojump, schedules = 20)]
async fn a_child_has_the_values_of_the_moment_of_its_spawn() {
    static LEVEL: TaskLocal<u32> = TaskLocal::with_default("level", || 0);
    let got = RefCell::new(Vec::new());
    trio::nursery! { |n|
        for level in 1..=3 {
            LEVEL.set(level);
            let got = &got;
            n.start_soon(async move {
                trio::sleep(secs(1)).await;
                got.borrow_mut().push(LEVEL.get());
            });
        }
        LEVEL.set(100);
        // From another task than the one that opened the nursery: the spawner's values count.
        n.start_soon(async {
            LEVEL.set(4);
            n.start_soon(async { got.borrow_mut().push(LEVEL.get()) });
        });
    }
    let mut got = got.into_inner();
    got.sort_unstable();
    assert_eq!(got, [1, 2, 3, 4]);
    assert_eq!(LEVEL.get(), 100);
}

#[trio::test]
async fn every_way_to_start_a_task_inherits() {
    NAME.set("spawner");
    async fn say(status: TaskStatus<&'static str>) {
        let before = NAME.get();
        status.started(before);
        trio::checkpoint().await;
        assert_eq!(NAME.get(), before, "also when it has moved");
    }
    trio::nursery! { |n|
        assert_eq!(n.spawn(async { NAME.get() }).join().await.unwrap(), "spawner");
        assert_eq!(n.start(say).await.unwrap(), "spawner");
        assert_eq!(n.named(String::from("made")).spawn(async { NAME.get() }).join().await.unwrap(), "spawner");
        n.start_daemon(async { assert_eq!(NAME.get(), "spawner") });
        settle().await;
        // The body belongs to the task.
        NAME.set("body");
    }
    assert_eq!(NAME.get(), "body");
}

#[trio::test(autojump, schedules = 20)]
async fn a_scope_ends_with_its_future() {
    static LEVEL: TaskLocal<u32> = TaskLocal::with_default("level", || 0);
    trio::nursery! { |n|
        LEVEL.scope(1, async {
            assert_eq!(LEVEL.get(), 1);
            n.start_soon(async {
                trio::sleep(secs(5)).await;
                assert_eq!(LEVEL.get(), 1, "also when the scope has ended");
            });
            trio::sleep(secs(1)).await;
            LEVEL.set(2);
            NAME.set("set inside a scope of another variable");
            LEVEL.scope(3, trio::checkpoint()).await;
            assert_eq!(LEVEL.get(), 2);
        }).await;
        assert_eq!(LEVEL.get(), 0);
        assert_eq!(NAME.get(), "set inside a scope of another variable");
    }
}

#[trio::test(autojump)]
async fn scopes_in_one_task_do_not_disturb_each_other() {
    let step = async |name: &'static str, seconds: u64| {
        for turn in 0..3 {
            assert_eq!(NAME.get(), name, "turn {turn}");
            trio::sleep(secs(seconds)).await;
        }
        NAME.set("changed");
        trio::checkpoint().await;
        assert_eq!(NAME.get(), "changed");
    };
    NAME.set("around");
    join(NAME.scope("left", step("left", 2)), NAME.scope("right", step("right", 3))).await;
    assert_eq!(NAME.get(), "around");
}

/// Cancelled, dropped by hand, or panicking: the destructors see the value, and the task has its own again afterwards.
#[trio::test(autojump)]
async fn a_scope_that_is_interrupted_restores_the_value() {
    let log = Log::new();
    NAME.set("around");
    let interrupted = || {
        NAME.scope("inside", async {
            let _guard = OnDrop(|| log.say(NAME.get()));
            forever().await;
        })
    };
    assert!(trio::move_on_after(secs(1), interrupted()).await.is_none());
    assert_eq!((log.lines(), NAME.get()), (vec!["inside".to_owned()], "around"));

    let mut polled = Box::pin(interrupted());
    assert!((&mut polled).now_or_never().is_none());
    assert_eq!(NAME.get(), "around");
    drop(polled);
    assert_eq!((log.lines(), NAME.get()), (vec!["inside".to_owned()], "around"));
    drop(interrupted());

    let panicking = NAME.scope("inside", async { panic!("in a scope") });
    let panic = std::panic::AssertUnwindSafe(panicking).catch_unwind().await;
    assert!(panic.is_err());
    assert_eq!(NAME.get(), "around");
    assert_eq!(panic_text(|| NAME.sync_scope("inside", || panic!("in a scope"))), "in a scope");
    assert_eq!(NAME.get(), "around");
}

#[test]
fn a_task_local_needs_a_run_and_a_value() {
    let needs_a_run = |text: String| assert!(text.starts_with("this needs a trio run"), "{text}");
    needs_a_run(panic_text(|| NAME.set("x")));
    needs_a_run(panic_text(|| NAME.get()));
    needs_a_run(panic_text(|| NAME.sync_scope("x", || ())));
    let text = panic_text(|| trio::run(async { NAME.get() }));
    assert_eq!(text, "the task-local `name` has no value here, and no default");
    // A new run's main task has nothing from the one before.
    trio::run(async { NAME.set("old") });
    assert_eq!(trio::run(async { NAME.try_get() }), None);
}

/// A value lives as long as somebody could see it, and is dropped once.
#[trio::test(autojump)]
async fn values_are_dropped_with_the_last_task_that_has_them() {
    static HELD: TaskLocal<Rc<()>> = TaskLocal::new("held");
    let value = Rc::new(());
    trio::nursery! { |n|
        n.start_soon(async {
            HELD.set(Rc::clone(&value));
            n.start_soon(trio::sleep(secs(1)));
            n.start_soon(trio::sleep(secs(2)));
        });
        settle().await;
        assert_eq!(Rc::strong_count(&value), 2, "shared, not cloned");
        trio::sleep(secs(1)).await;
        settle().await;
        assert_eq!(Rc::strong_count(&value), 2);
    }
    assert_eq!(Rc::strong_count(&value), 1);
    assert!(HELD.try_get().is_none());
}

/// Calls from other threads are made by the run, and their values are not those of any task.
#[trio::test]
async fn a_call_from_a_token_sees_no_tasks_values() {
    NAME.set("task");
    let (tell, told) = std::sync::mpsc::channel();
    let call = move || {
        tell.send(NAME.try_get()).unwrap();
        NAME.set("the run's own");
        PLACE.set("the run's own");
    };
    current_token().run_sync_soon(call).unwrap();
    settle().await;
    assert_eq!(told.try_recv(), Ok(None));
    assert_eq!(NAME.get(), "task");

    // Nor do system tasks see what it has set.
    let done = Rc::new(Event::new());
    let done_there = Rc::clone(&done);
    spawn_system_task("system", async move {
        assert_eq!((NAME.try_get(), PLACE.get()), (None, "nowhere"));
        done_there.set();
    })
    .unwrap();
    done.wait().await;
}

// ---------------------------------------------------------------- along the nurseries

static PLACE: TreeVar<&str> = TreeVar::with_default("place", || "nowhere");

#[trio::test(schedules = 20)]
async fn a_task_has_what_its_nursery_was_opened_with_whoever_spawns_it() {
    PLACE.set("outside");
    trio::nursery! { |outer|
        PLACE.set("inside");
        trio::nursery! { |inner|
            inner.start_soon(async {
                assert_eq!(PLACE.get(), "inside");
                outer.start_soon(async {
                    assert_eq!(PLACE.get(), "outside", "spawned there, but it lives here");
                    PLACE.set("its own");
                    trio::nursery! { |n| n.start_soon(async { assert_eq!(PLACE.get(), "its own") }) }
                });
                assert_eq!(PLACE.get(), "inside");
            });
            PLACE.set("too late");
            inner.start_soon(async { assert_eq!(PLACE.get(), "inside") });
        }
        assert_eq!(PLACE.get(), "too late");
        outer.start_soon(async { assert_eq!(PLACE.get(), "outside") });
    }
}

#[trio::test]
async fn the_two_kinds_of_variables_do_not_mix() {
    NAME.set("main");
    PLACE.set("main");
    trio::nursery! { |n|
        NAME.set("body");
        PLACE.set("body");
        n.start_soon(async { assert_eq!((NAME.get(), PLACE.get()), ("body", "main")) });
    }
}

#[trio::test(schedules = 20)]
async fn a_task_under_start_has_the_values_of_the_nursery_that_it_goes_to() {
    async fn serve(status: TaskStatus) {
        assert_eq!(PLACE.get(), "service");
        status.started(());
        trio::checkpoint().await;
        assert_eq!(PLACE.get(), "service");
    }
    PLACE.set("service");
    trio::nursery! { |service|
        PLACE.scope("caller", async {
            trio::nursery! { |n|
                n.start_soon(async {
                    assert_eq!(PLACE.get(), "caller");
                    service.start(serve).await.unwrap();
                });
            }
        }).await;
    }
}

#[trio::test(autojump, schedules = 20)]
async fn a_scope_reaches_the_nurseries_that_are_opened_in_it() {
    async fn place() -> &'static str {
        trio::nursery! { |n| n.spawn(async { PLACE.get() }).join().await.unwrap() }
    }
    assert_eq!(place().await, "nowhere");
    assert_eq!(PLACE.scope("here", place()).await, "here");
    assert_eq!(place().await, "nowhere");
    assert_eq!(PLACE.sync_scope("there", || PLACE.get()), "there");
    trio::nursery! { |n|
        PLACE.scope("here", async {
            n.start_soon(async { assert_eq!(PLACE.get(), "nowhere") });
            trio::checkpoint().await;
        }).await;
    }
}

#[trio::test]
async fn a_nursery_keeps_its_values_alive_and_no_longer() {
    static HELD: TreeVar<Rc<()>> = TreeVar::new("held");
    let value = Rc::new(());
    let scoped = HELD.scope(Rc::clone(&value), async {
        trio::nursery! { |n|
            n.start_soon(trio::checkpoint());
            assert!(Rc::ptr_eq(&HELD.get(), &value));
            assert_eq!(Rc::strong_count(&value), 2);
        }
    });
    scoped.await;
    assert_eq!(Rc::strong_count(&value), 1);
}

/// Other variables that came along stay what they are, whatever is set and unset around them.
#[trio::test]
async fn a_scope_leaves_the_other_variables_alone() {
    static OTHER: TreeVar<u32> = TreeVar::new("other");
    PLACE.set("outside");
    trio::nursery! { |n|
        n.start_soon(async {
            OTHER.scope(1, async {
                assert_eq!((PLACE.get(), OTHER.get()), ("outside", 1));
                trio::checkpoint().await;
            }).await;
            assert_eq!((PLACE.get(), OTHER.try_get()), ("outside", None));
            trio::nursery! { |n| n.start_soon(async { assert_eq!(PLACE.get(), "outside") }) }
        });
    }
}

#[test]
fn a_tree_variable_needs_a_run() {
    assert!(panic_text(|| PLACE.get()).starts_with("this needs a trio run"));
    static UNSET: TreeVar<u32> = TreeVar::new("unset");
    let text = panic_text(|| trio::run(async { UNSET.get() }));
    assert_eq!(text, "the tree variable `unset` has no value here, and no default");
}
