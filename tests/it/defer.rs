//! The clean-up stack of a nursery.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures::future::{Either, select};
use trio::lowlevel::{TaskState, current_statistics, current_task};
use trio::{Event, Nursery, move_on_after, open_memory_channel, open_nursery, open_try_nursery, sleep};

use crate::support::{
    Failed, Log, OnDrop, failures, forever, forever_or_fail, meets_cancellation, panic_text, park, secs, settle,
};

/// Takes a second, at a checkpoint on each side.
async fn close(log: &Log, name: &str) {
    log.say(format!("closing {name}"));
    trio::checkpoint().await;
    sleep(secs(1)).await;
    log.say(format!("closed {name}"));
}

const CLOSED_FROM: [&str; 4] = ["closing b", "closed b", "closing a", "closed a"];

/// What `close` says of `b`, then `a`, from this second on.
fn closed_from(second: u32) -> Vec<String> {
    CLOSED_FROM.iter().zip([0, 1, 1, 2]).map(|(line, after)| format!("{line} at {}", second + after)).collect()
}

#[trio::test(autojump, schedules = 50)]
async fn the_last_that_was_deferred_runs_first_when_all_children_have_ended() {
    let log = Log::timed();
    let value = trio::nursery! { |n|
        n.defer(close(&log, "a"));
        n.start_soon(async {
            sleep(secs(2)).await;
            log.say("child");
        });
        n.start_daemon(park(&log, "daemon"));
        n.defer(close(&log, "b"));
        assert_eq!(n.child_count(), 2);
        sleep(secs(1)).await;
        log.say("body");
        7
    };
    log.say(value);
    let mut expected: Vec<String> =
        ["daemon at 0", "body at 1", "child at 2", "daemon dropped at 2"].map(Into::into).into();
    expected.extend(closed_from(2));
    expected.push("7 at 4".into());
    assert_eq!(log.lines(), expected);
}

#[trio::test(autojump, schedules = 50)]
async fn a_cancellation_from_outside_lets_what_was_deferred_run() {
    let log = Log::timed();
    let ended = move_on_after(secs(3), async {
        trio::nursery! { |n|
            n.defer(close(&log, "a"));
            n.defer(async {
                assert!(!meets_cancellation().await);
                close(&log, "b").await;
            });
            n.start_soon(park(&log, "child"));
            forever().await;
        }
        log.say("never");
    });
    assert_eq!(ended.await, None);
    let mut expected: Vec<String> = vec!["child at 0".into(), "child dropped at 3".into()];
    expected.extend(closed_from(3));
    assert_eq!(log.lines(), expected);
}

#[trio::test(autojump, schedules = 50)]
async fn a_nursery_that_was_cancelled_through_its_handle_closes_too() {
    let log = Log::timed();
    let ended = trio::nursery! { |n, scope|
        n.defer(close(&log, "a"));
        scope.cancel();
        // Also what is deferred, and started, in a nursery that is cancelled already.
        n.defer(close(&log, "b"));
        n.start_soon(async { log.say("child") });
        forever().await
    };
    assert_eq!(ended, None);
    let mut expected = vec!["child at 0".to_owned()];
    expected.extend(closed_from(0));
    assert_eq!(log.lines(), expected);
}

#[trio::test(autojump, schedules = 50)]
async fn errors_and_panics_let_what_was_deferred_run() {
    let log = Log::timed();
    // A child's error.
    let failed = trio::try_nursery! { |n| -> Result<_, Failed>
        n.defer(close(&log, "a"));
        n.defer(close(&log, "b"));
        n.start_soon(async { Err::<(), _>(Failed("child")) });
        forever().await;
    };
    assert_eq!(failures(failed), ["child"]);
    assert_eq!(log.lines(), closed_from(0));
    // The body's.
    let failed = trio::try_nursery! { |n| -> Result<_, Failed>
        n.defer(close(&log, "a"));
        n.defer(close(&log, "b"));
        Err(Failed("body"))?;
    };
    assert_eq!(failures(failed), ["body"]);
    assert_eq!(log.lines(), closed_from(2));
    // A panic.
    let caught = CatchUnwind(Box::pin(async {
        trio::nursery! { |n|
            n.defer(close(&log, "a"));
            n.defer(close(&log, "b"));
            n.start_soon(async { panic!("child") });
            forever().await;
        }
    }));
    assert_eq!(caught.await.unwrap_err(), "child");
    assert_eq!(log.lines(), closed_from(4));
    // `return` out of the block.
    async fn returns(log: &Log) -> u32 {
        trio::nursery! { |n|
            n.defer(close(log, "a"));
            n.defer(close(log, "b"));
            return 7;
        }
    }
    assert_eq!(returns(&log).await, 7);
    assert_eq!(log.lines(), closed_from(6));
}

/// Gives the text of a panic.
struct CatchUnwind<'a>(Pin<Box<dyn Future<Output = ()> + 'a>>);

impl Future for CatchUnwind<'_> {
    type Output = Result<(), String>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut polled = None;
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            polled = Some(self.0.as_mut().poll(context));
        }));
        match (caught, polled) {
            (Err(panic), _) => Poll::Ready(Err(panic_text(|| std::panic::resume_unwind(panic)))),
            (Ok(()), Some(Poll::Ready(()))) => Poll::Ready(Ok(())),
            (Ok(()), _) => Poll::Pending,
        }
    }
}

#[trio::test(autojump, schedules = 50)]
async fn a_clean_up_that_fails_or_panics_does_not_keep_the_others_from_running() {
    let log = Log::timed();
    let failed = trio::try_nursery! { |n| -> Result<_, Failed>
        n.defer(close(&log, "a"));
        n.defer(async { Err::<(), _>(Failed("second")) });
        n.defer(close(&log, "b"));
        n.named("clean-up").defer(async { Err::<(), _>(Failed("first")) });
        7
    };
    let group = failed.unwrap_err();
    assert_eq!(group.first().task_name(), Some("clean-up"));
    assert_eq!(group.first().location().file(), file!());
    assert_eq!(group.into_errors().map(|error| error.0).collect::<Vec<_>>(), ["first", "second"]);
    assert_eq!(log.lines(), closed_from(0));

    // An error is not lost to a cancellation from outside.
    let mut failed = None;
    let ended = move_on_after(secs(1), async {
        failed = Some(trio::try_nursery! { |n| -> Result<_, Failed>
            n.defer(async { Err::<(), _>(Failed("clean-up")) });
            forever_or_fail().await?;
        });
        trio::checkpoint().await;
    });
    assert_eq!(ended.await, None);
    assert_eq!(failures(failed.unwrap()), ["clean-up"]);

    let caught = CatchUnwind(Box::pin(async {
        trio::nursery! { |n|
            n.defer(close(&log, "a"));
            n.defer(async { panic!("clean-up") });
            n.defer(close(&log, "b"));
        }
    }));
    log.lines();
    assert_eq!(caught.await.unwrap_err(), "clean-up");
    assert_eq!(log.lines(), closed_from(3));
}

#[trio::test(autojump, schedules = 50)]
async fn the_grace_counts_from_when_its_turn_comes() {
    let log = Log::timed();
    let ended = move_on_after(secs(1), async {
        trio::nursery! { |n|
            n.defer(close(&log, "a"));
            n.defer_within(secs(5), park(&log, "too long"));
            n.defer_within(secs(5), close(&log, "b"));
            forever().await;
        }
    });
    assert_eq!(ended.await, None);
    let expected = [
        "closing b at 1",
        "closed b at 2",
        "too long at 2",
        "too long dropped at 7",
        "closing a at 7",
        "closed a at 8",
    ];
    assert_eq!(log.lines(), expected);
    // Errors within the grace count, and running out of it is none.
    let failed = trio::try_nursery! { |n| -> Result<_, Failed>
        n.defer_within(secs(5), async { Err::<(), _>(Failed("in time")) });
        n.defer_within(secs(5), forever_or_fail());
    };
    assert_eq!(failures(failed), ["in time"]);
}

#[trio::test(autojump, schedules = 50)]
async fn a_clean_up_may_start_children_and_defer_more() {
    let log = Log::timed();
    let (log, event) = (&log, &Event::new());
    open_nursery(async |n: &Nursery<'_, '_>| {
        n.defer(close(log, "a"));
        n.defer(async {
            n.start_soon(async {
                sleep(secs(3)).await;
                log.say("child");
                event.set();
            });
            n.start_daemon(park(log, "daemon"));
            n.defer(close(log, "b"));
            log.say("deferred");
        });
    })
    .await;
    let mut expected: Vec<String> =
        ["deferred at 0", "daemon at 0", "child at 3", "daemon dropped at 3"].map(Into::into).into();
    expected.extend(closed_from(3));
    assert_eq!(log.lines(), expected);
    assert!(event.is_set());
}

#[trio::test(autojump)]
async fn what_is_deferred_borrows_and_shows_in_the_views() {
    let mut data = vec![1];
    let main = current_task();
    let seen = RefCell::new(Vec::new());
    open_nursery(async |n| {
        n.named("deferred").defer(async {
            data.push(2);
            let own = current_task();
            seen.borrow_mut().push((own.name().to_owned(), own.state(), own.cancel_status().unwrap().shielded));
            let nursery = own.parent_nursery().unwrap();
            assert_eq!(nursery.child_tasks(), [own]);
            assert_eq!(n.child_count(), 1);
        });
        assert_eq!(n.child_count(), 0);
        let [nursery] = &main.child_nurseries()[..] else { panic!("there is one nursery") };
        let [deferred] = &nursery.child_tasks()[..] else { panic!("there is one task") };
        assert_eq!((deferred.state(), deferred.is_daemon()), (TaskState::Deferred, false));
        settle().await;
        assert_eq!(deferred.state(), TaskState::Deferred);
    })
    .await;
    assert_eq!(seen.take(), [("deferred".to_owned(), TaskState::Running, true)]);
    assert_eq!(data, [1, 2]);
}

#[trio::test(autojump, schedules = 50)]
async fn nested_nurseries_close_from_the_inside_out() {
    let log = Log::timed();
    let ended = move_on_after(secs(1), async {
        trio::nursery! { |outer|
            outer.defer(close(&log, "a"));
            outer.start_soon(async {
                trio::nursery! { |inner|
                    inner.defer(close(&log, "b"));
                    forever().await;
                }
            });
            forever().await;
        }
    });
    assert_eq!(ended.await, None);
    assert_eq!(log.lines(), closed_from(1));
}

#[trio::test(autojump)]
async fn what_is_deferred_under_start_runs_in_either_place() {
    let log = Log::timed();
    async fn serve(log: &Log, status: trio::TaskStatus<()>, started: bool) {
        trio::nursery! { |n|
            n.defer(close(log, "service"));
            if started {
                status.started(());
            }
            forever().await;
        }
    }
    let log = &log;
    for started in [false, true] {
        let ended = trio::nursery! { |n, scope|
            let start = n.start(|status| serve(log, status, started));
            let in_time = move_on_after(secs(1), start).await;
            assert_eq!(in_time.is_some(), started);
            log.say("on");
            scope.cancel();
            trio::checkpoint().await
        };
        assert!(ended.is_none());
    }
    let expected = [
        "closing service at 1",
        "closed service at 2",
        "on at 2",
        "on at 2",
        "closing service at 2",
        "closed service at 3",
    ];
    assert_eq!(log.lines(), expected);
}

// ---------------------------------------------------------------------- dropped, forgotten, and code that comes back

#[test]
fn what_foreign_code_drops_does_not_run() {
    let (dropped, ran) = (RefCell::new(Vec::new()), Cell::new(false));
    trio::run(async {
        let before = current_statistics();
        let mut nursery = Box::pin(open_nursery(async |n| {
            for number in 0..3 {
                let (dropped, ran) = (&dropped, &ran);
                let guard = OnDrop(move || dropped.borrow_mut().push(number));
                n.defer(async move {
                    let _guard = guard;
                    ran.set(true);
                });
            }
            forever().await;
        }));
        assert!(futures::poll!(nursery.as_mut()).is_pending());
        trio::checkpoint().await;
        drop(nursery);
        assert_eq!(current_statistics().nodes, before.nodes);
        assert_eq!(current_statistics().tasks_living, before.tasks_living);
    });
    assert_eq!(dropped.take(), [2, 1, 0]);
    assert!(!ran.get());
}

#[test]
fn one_that_runs_and_is_dropped_by_foreign_code_goes_with_the_rest() {
    let dropped = RefCell::new(Vec::new());
    trio::run(async {
        let nursery = open_nursery(async |n| {
            n.defer(async {
                let _guard = OnDrop(|| dropped.borrow_mut().push("waiting"));
                forever().await;
            });
            n.defer(async {
                let _guard = OnDrop(|| dropped.borrow_mut().push("running"));
                forever().await;
            });
        });
        let timer = async {
            for _ in 0..10 {
                trio::checkpoint().await;
            }
        };
        let first = select(Box::pin(nursery), Box::pin(timer)).await;
        let Either::Right(((), nursery)) = first else { panic!("what is deferred never ends") };
        drop(nursery);
    });
    // What had not begun had no guard yet.
    assert_eq!(dropped.take(), ["running"]);
}

#[test]
fn a_forgotten_nursery_never_runs_what_was_deferred() {
    trio::run(async {
        let data = RefCell::new(vec![0; 100]);
        let ran = std::rc::Rc::new(Cell::new(false));
        let mut nursery = Box::pin(open_nursery(async |n| {
            let ran = std::rc::Rc::clone(&ran);
            let data = &data;
            n.defer(async move {
                ran.set(true);
                data.borrow_mut()[0] = 1;
            });
            forever().await;
        }));
        assert!(futures::poll!(nursery.as_mut()).is_pending());
        std::mem::forget(nursery);
        drop(data);
        for _ in 0..10 {
            trio::checkpoint().await;
        }
        assert!(!ran.get());
    });
}

#[test]
fn it_is_not_polled_before_its_turn_by_a_waker_of_another_poll() {
    trio::run(async {
        let mut nursery = Box::pin(open_nursery(async |n| {
            n.defer(async {});
            forever().await;
        }));
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..3 {
            assert!(nursery.as_mut().poll(&mut context).is_pending());
        }
        assert!(futures::poll!(nursery.as_mut()).is_pending());
    });
}

#[trio::test(autojump)]
async fn a_nursery_that_moves_takes_what_was_deferred_along() {
    let log = Log::timed();
    let mut nursery = Some(Box::pin(open_nursery(async |n| {
        n.defer(close(&log, "a"));
        n.defer(close(&log, "b"));
        sleep(secs(3)).await;
    })));
    let (handed, taken) = open_memory_channel(1);
    trio::nursery! { |n|
        n.start_soon(async {
            // What was deferred holds this scope's cancellation off as long as it is in it, and no longer.
            let ended = move_on_after(secs(1), async {
                let mut nursery = nursery.take().unwrap();
                assert!(futures::poll!(nursery.as_mut()).is_pending());
                handed.send(nursery).await.ok().unwrap();
                forever().await;
            });
            assert_eq!(ended.await, None);
            log.say("scope ended");
        });
        let nursery = taken.receive().await.unwrap();
        nursery.await;
    }
    let mut expected = vec!["scope ended at 1".to_owned()];
    expected.extend(closed_from(3));
    assert_eq!(log.lines(), expected);
}

#[test]
fn destructors_that_panic_or_defer_more_leave_nothing_behind() {
    let dropped = Cell::new(0);
    let text = panic_text(|| {
        trio::run(async {
            let mut nursery = Box::pin(open_nursery(async |n| {
                for panics in [false, true, false] {
                    let dropped = &dropped;
                    let guard = OnDrop(move || {
                        dropped.set(dropped.get() + 1);
                        // The nursery is closed: this is dropped at once.
                        n.defer(async {
                            let _guard = OnDrop(|| unreachable!("it never ran"));
                        });
                        assert!(!panics, "in a destructor");
                    });
                    n.defer(async move {
                        let _guard = guard;
                        forever().await;
                    });
                }
                forever().await;
            }));
            assert!(futures::poll!(nursery.as_mut()).is_pending());
            drop(nursery);
        });
    });
    assert_eq!(text, "in a destructor");
    assert_eq!(dropped.get(), 3);
}

#[trio::test(autojump)]
async fn nurseries_that_close_leave_no_nodes_and_no_timers() {
    let before = current_statistics();
    for round in 0..200 {
        let ended = open_try_nursery(async |n: &Nursery<'_, '_, Failed>| {
            n.defer(sleep(secs(1)));
            n.defer_within(secs(1), forever());
            if round % 2 == 0 { Ok(()) } else { Err(Failed("odd")) }
        });
        assert_eq!(ended.await.is_ok(), round % 2 == 0);
    }
    let after = current_statistics();
    assert_eq!((after.nodes, after.timers, after.tasks_living), (before.nodes, before.timers, before.tasks_living));
}
