//! Nurseries: what comes out of them, and when they end.

use std::cell::Cell;
use std::rc::Rc;

use trio::{ErrorGroup, Nursery, open_try_nursery};

use crate::support::{
    Failed, Log, failures, forever, forever_or_fail, panic_text, secs, settle,
};

async fn fail_with<E>(error: E) -> Result<(), E> {
    Err(error)
}

// trio: _core/_tests/test_run.py::test_initial_task_error
#[test]
fn an_error_of_the_main_task_comes_out_of_run_bare() {
    let result: Result<(), Failed> = trio::run(async { Err(Failed("17")) });
    assert_eq!(result, Err(Failed("17")));
}

type Identified = Rc<&'static str>;

// trio: _core/_tests/test_run.py::test_nursery_main_block_error_basic
#[trio::test]
async fn the_bodys_error_comes_out_in_a_group_of_one() {
    let error = Rc::new("body");
    let result = open_try_nursery(async |_: &Nursery<'_, '_, Identified>| {
        Err::<(), _>(Rc::clone(&error))
    });
    let group = result.await.unwrap_err();
    assert_eq!(group.len(), 1);
    assert_eq!(group.first().task_name(), None);
    assert!(
        Rc::ptr_eq(group.first().error(), &error),
        "the very same error"
    );
}

// trio: _core/_tests/test_run.py::test_child_crash_basic
#[trio::test]
async fn a_childs_error_comes_out_in_a_group_of_one() {
    let error = Rc::new("child");
    let result = trio::try_nursery! { |n| -> Result<_, Identified>
        n.start_soon(fail_with(Rc::clone(&error)));
        "the body ends normally"
    };
    let group = result.unwrap_err();
    assert_eq!(group.len(), 1);
    assert!(
        Rc::ptr_eq(group.first().error(), &error),
        "the very same error"
    );
    assert!(group.first().task_name().unwrap().contains("fail_with"));
    assert_eq!(group.first().location().file(), file!());
}

// trio: _core/_tests/test_run.py::test_nursery_explicit_exception
#[trio::test]
async fn a_question_mark_in_the_body_ends_in_a_group() {
    let result: Result<(), ErrorGroup> = trio::try_nursery! { |_n|
        Err(Failed("key"))?;
    };
    let group = result.unwrap_err();
    assert_eq!(group.len(), 1);
    assert_eq!(group.downcast_ref::<Failed>(), Some(&Failed("key")));
}

// trio: _core/_tests/test_run.py::test_two_child_crashes
#[trio::test(schedules = 20)]
async fn a_child_whose_sibling_failed_first_still_takes_its_first_step() {
    let result = trio::try_nursery! { |n| -> Result<_, Failed>
        n.start_soon(fail_with(Failed("one")));
        n.start_soon(fail_with(Failed("two")));
    };
    assert_eq!(failures(result), ["one", "two"]);
}

// trio: _core/_tests/test_run.py::test_child_crash_wakes_parent
#[trio::test]
async fn a_failing_child_ends_a_body_that_waits() {
    let log = Log::new();
    let result = trio::try_nursery! { |n| -> Result<_, Failed>
        n.start_soon(fail_with(Failed("child")));
        let _guard = log.guard("body");
        forever().await;
    };
    assert_eq!(failures(result), ["child"]);
    assert_eq!(log.lines(), ["body dropped"]);
}

#[trio::test(schedules = 20)]
async fn a_failing_child_ends_its_siblings() {
    let log = Log::new();
    let result = trio::try_nursery! { |n| -> Result<_, Failed>
        for _ in 0..3 {
            n.start_soon(async {
                let _guard = log.guard("sibling");
                forever_or_fail().await
            });
        }
        n.start_soon(async {
            settle().await;
            Err(Failed("child"))
        });
    };
    assert_eq!(failures(result), ["child"]);
    assert_eq!(log.lines(), ["sibling dropped"; 3]);
}

// What Trio refuses when it runs, starting a task when the block has been left, does not compile here: the
// nursery's reference can't leave the block.
// trio: _core/_tests/test_run.py::test_nursery_closure
#[trio::test]
async fn a_child_may_start_a_sibling_while_the_body_has_ended() {
    async fn first<'scope>(n: &'scope Nursery<'scope, '_>, log: &'scope Log) {
        log.say("first began");
        settle().await;
        assert_eq!(log.lines(), ["first began", "the body ended"]);
        n.start_soon(second(n, log));
        assert_eq!(n.child_count(), 2);
        log.say("first ended");
    }
    async fn second<'scope>(n: &'scope Nursery<'scope, '_>, log: &'scope Log) {
        trio::checkpoint().await;
        log.say(format!("second is one of {}", n.child_count()));
    }

    let log = Log::new();
    trio::nursery! { |n|
        n.start_soon(first(n, &log));
        settle().await;
        log.say("the body ended");
    }
    assert_eq!(log.lines(), ["first ended", "second is one of 1"]);
}

// trio: _core/_tests/test_run.py::test_Nursery_private_init
#[trio::test]
async fn a_nursery_is_open_while_its_block_runs() {
    let ran = Cell::new(0);
    trio::nursery! { |n|
        for _ in 0..3 {
            assert_eq!(n.child_count(), 0);
            n.start_soon(async { ran.set(ran.get() + 1) });
            assert_eq!(n.child_count(), 1);
            settle().await;
        }
    }
    assert_eq!(ran.get(), 3);
}

// Trio can be asked to give a single error bare. Here the type of a nursery's error says that it is a group, so there
// is no such option; with it on, Trio does what this test says.
// trio: _core/_tests/test_run.py::test_setting_strict_exception_groups
#[trio::test(schedules = 20)]
async fn one_error_is_a_group_of_one_and_two_are_a_group_of_two() {
    for count in 1..=2 {
        let result = trio::try_nursery! { |n| -> Result<_, Failed>
            for _ in 0..count {
                n.start_soon(fail_with(Failed("child")));
            }
        };
        assert_eq!(failures(result).len(), count);
    }
    // Whatever is around the nursery.
    let result = trio::try_nursery! { |outer|
        outer.start_soon(async {
            trio::try_nursery! { |inner| -> Result<_, Failed>
                inner.start_soon(fail_with(Failed("child")));
            }
        });
    };
    let group: ErrorGroup = result.unwrap_err();
    assert_eq!(group.len(), 1);
    let inner = group.downcast_ref::<ErrorGroup<Failed>>().unwrap();
    assert_eq!((inner.len(), inner.first().error()), (1, &Failed("child")));
}

// trio: _core/_tests/test_run.py::test_nursery_collapse
#[trio::test(schedules = 20)]
async fn a_cancelled_nursery_in_a_cancelled_nursery_keeps_its_group() {
    let log = Log::new();
    let result = trio::try_nursery! { |n, scope|
        n.named("outer").start_soon(fail_with(Failed("outer")));
        n.start_soon(async {
            let _guard = log.guard("outer sleeper");
            forever_or_fail().await
        });
        trio::try_nursery! { |inner|
            inner.named("inner").start_soon(fail_with(Failed("inner")));
            inner.start_soon(async {
                let _guard = log.guard("inner sleeper");
                forever_or_fail().await
            });
            scope.cancel();
        }?;
    };
    let mut group: Vec<_> = result.unwrap_err().into_iter().collect();
    group.sort_by_key(|error| error.task_name().is_none());
    assert_eq!(group.len(), 2);
    assert_eq!(
        (group[0].task_name(), group[0].error().downcast_ref()),
        (Some("outer"), Some(&Failed("outer")))
    );
    assert_eq!(group[1].task_name(), None, "it came through the body");
    let inner = group[1].error().downcast_ref::<ErrorGroup>().unwrap();
    assert_eq!(inner.len(), 1, "the cancelled sleeper is no error");
    assert_eq!(
        inner.first().error().downcast_ref(),
        Some(&Failed("inner"))
    );
    assert_eq!(
        log.sorted(),
        ["inner sleeper dropped", "outer sleeper dropped"]
    );
}

async fn panics() {
    panic!("out of cheese");
}

#[test]
fn a_panic_of_a_child_comes_out_of_the_block_when_all_others_have_ended() {
    let log = Log::new();
    let text = panic_text(|| {
        trio::run(async {
            trio::nursery! { |n|
                n.start_soon(async {
                    let guard = log.guard("sibling");
                    trio::shield(trio::checkpoint()).await;
                    trio::checkpoint().await;
                    guard.disarm();
                });
                n.start_soon(panics());
            }
            log.say("not reached");
        });
    });
    assert_eq!(text, "out of cheese");
    assert_eq!(log.lines(), ["sibling dropped"]);
}

#[trio::test(autojump)]
async fn a_daemon_does_not_keep_the_nursery_open() {
    let log = Log::timed();
    trio::nursery! { |n|
        n.start_daemon(crate::support::park(&log, "daemon"));
        n.start_soon(trio::sleep(secs(3)));
    }
    log.say("the nursery ended");
    assert_eq!(
        log.lines(),
        ["daemon at 0", "daemon dropped at 3", "the nursery ended at 3"]
    );
}
