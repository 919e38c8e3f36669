//! Nurseries: what comes out of them, and when they end.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use trio::lowlevel::{NurseryInfo, Task, current_root_task, current_task, spawn_system_task};
use trio::{ErrorGroup, Event, Nursery, TaskStatus, open_try_nursery};

use crate::support::{Failed, Log, failures, forever, forever_or_fail, panic_text, secs, settle};

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
    let result = open_try_nursery(async |_: &Nursery<'_, '_, Identified>| Err::<(), _>(Rc::clone(&error)));
    let group = result.await.unwrap_err();
    assert_eq!(group.len(), 1);
    assert_eq!(group.first().task_name(), None);
    assert!(Rc::ptr_eq(group.first().error(), &error), "the very same error");
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
    assert!(Rc::ptr_eq(group.first().error(), &error), "the very same error");
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

// trio: _core/_tests/test_run.py::test_current_task
#[trio::test]
async fn a_childs_nursery_was_opened_by_its_parent() {
    let parent = current_task();
    assert_eq!(parent, current_task());
    trio::nursery! { |n|
        assert_eq!(current_task(), parent, "a body belongs to the task around it");
        n.start_soon(async {
            let child = current_task();
            assert_ne!(child, parent);
            let nursery = child.parent_nursery().unwrap();
            assert_eq!(nursery.parent_task().unwrap(), parent);
        });
    }
}

// trio: _core/_tests/test_run.py::test_task_tree_introspection
#[trio::test(schedules = 20)]
async fn the_task_tree_can_be_walked_in_both_directions() {
    let tasks: RefCell<HashMap<&str, Task>> = RefCell::default();
    let nurseries: RefCell<HashMap<&str, NurseryInfo>> = RefCell::default();
    let task = |name| tasks.borrow()[name].clone();
    let nursery = |name| nurseries.borrow()[name].clone();
    let innermost = || current_task().child_nurseries().pop().unwrap();

    // Downwards: the nurseries that are open, outermost first.
    let main = current_task();
    tasks.borrow_mut().insert("main", main.clone());
    assert_eq!(main.child_nurseries(), []);
    trio::nursery! { |_outer|
        nurseries.borrow_mut().insert("outer", innermost());
        assert_eq!(main.child_nurseries(), [nursery("outer")]);
        assert_eq!(nursery("outer").child_tasks(), []);
        trio::nursery! { |_inner|
            nurseries.borrow_mut().insert("inner", innermost());
            assert_eq!(main.child_nurseries(), [nursery("outer"), nursery("inner")]);
            assert_eq!(nursery("inner").parent_task(), Some(main.clone()));
        }
        assert_eq!(main.child_nurseries(), [nursery("outer")]);
    }
    assert_eq!(main.child_nurseries(), []);
    // The way up survives.
    for name in ["outer", "inner"] {
        assert_eq!(nursery(name).parent_task(), Some(main.clone()));
        assert_eq!(nursery(name).child_tasks(), []);
    }

    // A task that is being started.
    async fn starting(
        tasks: &RefCell<HashMap<&'static str, Task>>,
        nurseries: &RefCell<HashMap<&'static str, NurseryInfo>>,
        done: &Event,
        status: TaskStatus,
    ) {
        let own = current_task();
        tasks.borrow_mut().insert("child2", own.clone());
        let target = nurseries.borrow()["nursery"].clone();
        let main = tasks.borrow()["main"].clone();
        let internal = own.parent_nursery().unwrap();
        assert_ne!(internal, target);
        assert_eq!(internal.parent_task(), Some(main.clone()));
        assert_eq!(internal.child_tasks(), std::slice::from_ref(&own));
        assert_eq!(own.eventual_parent_nursery(), Some(target.clone()));
        assert_eq!(main.child_nurseries(), [target.clone(), internal]);

        status.started(());

        assert_eq!(own.parent_nursery(), Some(target.clone()));
        assert_eq!(own.eventual_parent_nursery(), None);
        assert!(target.child_tasks().contains(&own));
        // A view keeps the way up that it had when it was made.
        tasks.borrow_mut().insert("child2", current_task());
        trio::nursery! { |n|
            nurseries.borrow_mut().insert("of child2", own.child_nurseries().pop().unwrap());
            n.start_soon(grandchild(tasks, done));
        }
    }
    async fn grandchild(tasks: &RefCell<HashMap<&'static str, Task>>, done: &Event) {
        tasks.borrow_mut().insert("grandchild", current_task());
        done.wait().await;
    }
    let done = Event::new();

    trio::nursery! { |n|
        nurseries.borrow_mut().insert("nursery", innermost());
        n.start_soon(async {
            tasks.borrow_mut().insert("child1", current_task());
            done.wait().await;
        });
        settle().await;
        n.start(|status| starting(&tasks, &nurseries, &done, status)).await.unwrap();
        let children = nursery("nursery").child_tasks();
        assert_eq!(children, [task("child1"), task("child2")]);
        assert_eq!(task("child1").eventual_parent_nursery(), None);

        settle().await;
        assert_eq!(main.child_nurseries(), [nursery("nursery")]);
        assert_eq!(task("child1").child_nurseries(), []);
        assert_eq!(task("child2").child_nurseries(), [nursery("of child2")]);
        assert_eq!(nursery("of child2").parent_task(), Some(task("child2")));
        assert_eq!(nursery("of child2").child_tasks(), [task("grandchild")]);
        assert!(task("grandchild").is_alive());
        done.set();
    }

    // From everywhere the way up ends at the root, also when all have ended.
    for (name, ways) in [("main", 1), ("child1", 2), ("child2", 2), ("grandchild", 3)] {
        assert_eq!(task(name).is_alive(), name == "main");
        let mut up = task(name);
        for _ in 0..ways {
            up = up.parent_nursery().unwrap().parent_task().unwrap();
        }
        assert_eq!(up, current_root_task());
        assert_eq!(up.parent_nursery(), None);
    }
    let up = task("grandchild").parent_nursery().unwrap();
    assert_eq!(up, nursery("of child2"));
    assert_eq!(up.parent_task(), Some(task("child2")));
    assert_eq!(task("child2").parent_nursery(), Some(nursery("nursery")));
}

// trio: _core/_tests/test_run.py::test_spawn_name
#[trio::test]
async fn a_tasks_name_is_its_functions_or_the_one_it_was_given() {
    async fn func1(expected: &str) {
        check(expected);
    }
    fn check(expected: &str) {
        let name = current_task().name().to_owned();
        assert!(name.contains(expected), "'{name}' instead of '{expected}'");
    }
    struct Named(&'static str);
    impl Future for Named {
        type Output = ();
        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            check(self.0);
            Poll::Ready(())
        }
    }

    trio::nursery! { |n|
        n.start_soon(func1("func1"));
        n.start_soon(Named("Named"));
        n.named("a name").start_soon(async { assert_eq!(current_task().name(), "a name") });
        n.named(format!("{:?}", Some(7))).start_soon(async { assert_eq!(current_task().name(), "Some(7)") });
        let bound = |expected| func1(expected);
        n.start_soon(bound("func1"));
        n.named("given").start_soon(func1("given"));
        n.named("handle").spawn(func1("handle")).join().await.unwrap();
        n.named("starting")
            .start(|status: TaskStatus| async {
                check("starting");
                status.started(());
            })
            .await
            .unwrap();
    }
    let done = Rc::new(Cell::new(false));
    let said = Rc::clone(&done);
    let system = async move {
        assert_eq!(current_task().name(), "system");
        said.set(true);
    };
    spawn_system_task("system", system).unwrap();
    settle().await;
    assert!(done.get());
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
    assert_eq!((group[0].task_name(), group[0].error().downcast_ref()), (Some("outer"), Some(&Failed("outer"))));
    assert_eq!(group[1].task_name(), None, "it came through the body");
    let inner = group[1].error().downcast_ref::<ErrorGroup>().unwrap();
    assert_eq!(inner.len(), 1, "the cancelled sleeper is no error");
    assert_eq!(inner.first().error().downcast_ref(), Some(&Failed("inner")));
    assert_eq!(log.sorted(), ["inner sleeper dropped", "outer sleeper dropped"]);
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
    assert_eq!(log.lines(), ["daemon at 0", "daemon dropped at 3", "the nursery ended at 3"]);
}
