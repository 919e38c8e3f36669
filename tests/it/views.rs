//! What tasks, nurseries and scopes show of themselves: state, cancel status, and the drawing of the whole tree.

use std::cell::RefCell;

use trio::lowlevel::{Task, TaskState, current_task, task_tree};
use trio::{CancelLink, CancelScope, CancelSource, Event, move_on_after, shield, sleep};

use crate::support::{forever, meets_cancellation, secs, settle};

#[trio::test(autojump, schedules = 50)]
async fn a_view_tells_what_its_task_is_doing() {
    let (event, child) = (Event::new(), RefCell::new(None::<Task>));
    let main = current_task();
    assert_eq!(main.state(), TaskState::Running);
    trio::nursery! { |n|
        n.start_soon(async {
            *child.borrow_mut() = Some(current_task());
            assert_eq!(current_task().state(), TaskState::Running);
            // The body that waits is a part of the main task, which only polls this one.
            assert_eq!(main.state(), TaskState::Parked);
            event.wait().await;
            assert_eq!(main.state(), TaskState::Parked);
        });
        let of_child = || child.borrow().as_ref().map(Task::state);
        assert_eq!(of_child(), None);
        settle().await;
        assert_eq!(of_child(), Some(TaskState::Parked));
        event.set();
        assert_eq!(of_child(), Some(TaskState::Runnable));
        settle().await;
        assert_eq!(of_child(), Some(TaskState::Ended));
    }
    let child = child.take().unwrap();
    assert_eq!((child.cancel_status(), child.scopes()), (None, vec![]));
}

#[trio::test]
async fn a_task_whose_nursery_body_can_run_can_run() {
    let (event, waiting) = (Event::new(), RefCell::new(None));
    trio::nursery! { |n, scope|
        n.start_soon(async {
            *waiting.borrow_mut() = Some(current_task());
            trio::nursery! { |inner|
                inner.start_soon(forever());
                event.wait().await;
                inner.start_soon(async {});
                forever().await;
            }
        });
        settle().await;
        let waiting = waiting.take().unwrap();
        assert_eq!(waiting.state(), TaskState::Parked);
        event.set();
        assert_eq!(waiting.state(), TaskState::Runnable);
        settle().await;
        assert_eq!(waiting.state(), TaskState::Parked);
        // Of another task's nursery, too.
        let [inner] = &waiting.child_nurseries()[..] else { panic!("it has one nursery") };
        assert_eq!(inner.child_tasks().len(), 1);
        assert_eq!(inner.parent_task().unwrap(), waiting);
        let nursery = waiting.parent_nursery().unwrap();
        assert_eq!(nursery.cancel_status().unwrap().cancelled, None);
        assert!(!waiting.cancel_status().unwrap().effectively_cancelled);
        scope.cancel();
        let status = waiting.cancel_status().unwrap();
        assert_eq!((status.effectively_cancelled, status.cancelled), (true, None));
        assert!(nursery.cancel_status().unwrap().cancelled.is_some());
    };
}

thread_local! {
    static END: RefCell<Option<trio::CancelHandle>> = const { RefCell::new(None) };
}

#[trio::test(autojump)]
async fn a_view_lists_the_scopes_of_its_task_from_the_outside_in() {
    let began = trio::current_time();
    let child = RefCell::new(None::<Task>);
    let link = CancelLink::new();
    trio::nursery! { |n, outer|
        n.start_soon(async {
            *child.borrow_mut() = Some(current_task());
            let scope = CancelScope::new().linked(&link);
            let handle = scope.handle();
            let inside = async {
                assert_eq!(current_task().scopes().len(), 3);
                // Not those of its children.
                trio::nursery! { |inner|
                    inner.start_soon(async {
                        move_on_after(secs(1), async { assert_eq!(current_task().scopes().len(), 1) }).await;
                    });
                    handle.set_deadline(Some(began + secs(7)));
                }
                sleep(secs(100)).await;
            };
            move_on_after(secs(50), shield(scope.run(inside))).await;
            forever().await;
        });
        settle().await;
        let child = child.borrow().clone().unwrap();
        let [limit, shielded, linked] = &child.scopes()[..] else { panic!("{:?}", child.scopes()) };
        assert_eq!((limit.deadline, limit.shielded), (Some(began + secs(50)), false));
        assert_eq!((shielded.deadline, shielded.shielded), (None, true));
        assert_eq!((linked.deadline, linked.shielded), (Some(began + secs(7)), false));
        for status in [limit, shielded, linked] {
            assert_eq!(status.location.unwrap().file(), file!());
            assert!(!status.effectively_cancelled);
        }
        assert!(limit.location.unwrap().line() > linked.location.unwrap().line());

        outer.cancel();
        let effective: Vec<_> = child.scopes().iter().map(|status| status.effectively_cancelled).collect();
        assert_eq!(effective, [true, false, false]);
        link.cancel_because("the link");
        let statuses = child.scopes();
        assert!(statuses[2].effectively_cancelled);
        let reason = statuses[2].cancelled.clone().unwrap();
        assert_eq!((reason.source(), reason.text()), (CancelSource::Explicit, Some("the link")));
        assert!(child.cancel_status().unwrap().effectively_cancelled);
        assert!(child.parent_nursery().unwrap().cancel_status().unwrap().cancelled.is_some());
        trio::checkpoint().await
    };
}

#[trio::test(autojump)]
async fn a_reason_tells_where_its_deadline_was_set() {
    // Where the scope was made.
    let (scope, made) = (CancelScope::new().timeout(secs(1)), line!());
    let handle = scope.handle();
    assert_eq!(scope.run(forever()).await, None);
    let reason = handle.reason().unwrap();
    assert_eq!((reason.source(), reason.location().unwrap().line()), (CancelSource::Deadline, made));
    // Where it was set before the scope was entered, and while it ran.
    for early in [true, false] {
        let scope = CancelScope::new();
        let handle = scope.handle();
        let set = || {
            handle.set_timeout(secs(1));
            line!() - 1
        };
        let line = if early { Some(set()) } else { None };
        let ran = scope.run(async {
            let line = line.unwrap_or_else(set);
            END.with(|end| *end.borrow_mut() = Some(handle.clone()));
            LINE.with(|kept| kept.set(line));
            forever().await;
        });
        assert_eq!(ran.await, None);
        assert_eq!(handle.reason().unwrap().location().unwrap().line(), LINE.get(), "early: {early}");
    }
    // Where the end was asked for.
    let asked = trio::nursery! { |n, scope|
        n.start_soon(forever());
        scope.shut_down(secs(1));
        LINE.set(line!() - 1);
        END.with(|end| *end.borrow_mut() = Some(scope.clone()));
        forever().await
    };
    assert!(asked.is_none());
    let reason = END.take().unwrap().reason().unwrap();
    assert_eq!((reason.source(), reason.location().unwrap().line()), (CancelSource::Deadline, LINE.get()));
}

thread_local! {
    static LINE: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

#[trio::test(autojump)]
async fn a_scope_that_nobody_has_a_handle_of_shows_where_it_was_made_and_what_cancelled_it() {
    let (line, seen) = (std::cell::Cell::new(0), RefCell::new(None));
    let main = current_task();
    trio::nursery! { |n|
        n.start_soon(async {
            sleep(secs(2)).await;
            // The scope has been cancelled at 1, and what is in it is shielded until 3.
            *seen.borrow_mut() = main.scopes().into_iter().next();
        });
        line.set(line!() + 1);
        let limited = move_on_after(secs(1), async {
            shield(sleep(secs(3))).await;
            trio::checkpoint().await;
        });
        assert!(limited.await.is_none());
    }
    let status = seen.take().unwrap();
    let reason = status.cancelled.unwrap();
    assert_eq!(reason.source(), CancelSource::Deadline);
    assert_eq!(status.location.unwrap().line(), line.get());
    assert_eq!(reason.location(), status.location);
    // Also before it has parked.
    let (seen, line) = (move_on_after(secs(1), async { main.scopes() }).await.unwrap(), line!());
    assert_eq!((seen.len(), seen[0].location.unwrap().line()), (1, line));
}

#[trio::test]
async fn a_failed_task_and_a_cancelled_one_show_where_the_cause_is() {
    let spawned = std::cell::Cell::new(0);
    let status = RefCell::new(None);
    let failed = trio::try_nursery! { |n| -> Result<_, &'static str>
        n.start_soon(async {
            let nursery = current_task().parent_nursery().unwrap();
            trio::finally(forever(), async { *status.borrow_mut() = nursery.cancel_status() }).await;
            Ok::<(), &'static str>(())
        });
        spawned.set(line!() + 1);
        n.named("failing").start_soon(async { Err::<(), _>("failed") });
    };
    assert!(failed.is_err());
    let reason = status.take().unwrap().cancelled.unwrap();
    assert_eq!((reason.task_name(), reason.location().unwrap().line()), (Some("failing"), spawned.get()));
    assert!(reason.to_string().ends_with(&format!("from task 'failing', at {}", reason.location().unwrap())));

    trio::nursery! { |n|
        let task = n.spawn(async {
            let own = current_task();
            trio::finally(forever(), async {
                assert!(own.cancel_status().unwrap().effectively_cancelled || meets_cancellation().await);
                *status.borrow_mut() = own.cancel_status();
            })
            .await;
        });
        settle().await;
        task.cancel();
        let line = line!() - 1;
        task.join().await.unwrap_err();
        assert_eq!(status.take().unwrap().cancelled.unwrap().location().unwrap().line(), line);
    }
}

#[trio::test(autojump)]
async fn the_tree_is_drawn_with_states_deadlines_and_places() {
    let drawn = RefCell::new(Vec::new());
    trio::nursery! { |n, scope|
        n.named("reader").start_soon(async {
            move_on_after(secs(90), forever()).await;
        });
        n.named("daemon").start_daemon(forever());
        n.named("closing").defer(async {});
        let drawn = &drawn;
        n.named("writer").start_soon(async move {
            settle().await;
            let tree = task_tree();
            assert_eq!(tree.to_string(), format!("{tree:?}"));
            *drawn.borrow_mut() = tree.to_string().lines().map(str::to_owned).collect();
            scope.cancel();
            assert!(task_tree().to_string().contains("(cancelled)"));
        });
        forever().await
    };
    let drawn = drawn.take();
    assert_eq!(drawn[0], "run");
    let line = |name: &str| {
        let found = drawn.iter().position(|line| line.contains(name));
        found.unwrap_or_else(|| panic!("no {name} in\n{}", drawn.join("\n")))
    };
    let reader = line("  task 'reader', spawned at ");
    assert!(!drawn[reader].contains("run"), "{}", drawn[reader]);
    assert!(drawn[reader + 1].trim_start().starts_with("cancel scope, made at "));
    assert!(drawn[reader + 1].contains(file!()));
    assert!(drawn[reader + 1].ends_with(", 90.000 s left"));
    assert!(drawn[line("  daemon task 'daemon', spawned at ")].contains(file!()));
    assert!(drawn[line("  deferred task 'closing', spawned at ")].contains(", waits for the nursery's end"));
    assert!(drawn[line("  task 'writer', spawned at ")].ends_with(", running"));
    // The reader is in the nursery, which is in the main task.
    let depth = |line: usize| drawn[line].len() - drawn[line].trim_start().len();
    assert!((0..reader).any(|line| drawn[line].contains("nursery, opened at ") && depth(line) + 2 == depth(reader)));
}
