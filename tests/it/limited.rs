//! A nursery that runs so many children at a time and no more.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;

use trio::lowlevel::{Task, current_statistics, current_task};
use trio::{Cancelled, Event, Limited, TaskStatus, move_on_after, open_nursery, sleep};

use crate::support::{Failed, Log, OnDrop, failures, forever, meets_cancellation, panic_text, park, secs, settle};

/// Begins, takes a second, and ends.
async fn job(log: &Log, number: usize) {
    log.say(number);
    sleep(secs(1)).await;
    log.say(format!("end of {number}"));
}

#[trio::test(autojump, schedules = 50)]
async fn children_begin_in_order_when_another_has_ended() {
    // The times of the jobs' ends tell which begins when: each job is as long as its number says.
    let log = Log::timed();
    let (log, running) = (&log, &Cell::new(0));
    trio::nursery! { |n|
        let pool = n.limited(2);
        assert_eq!(pool.limit(), 2);
        for (number, seconds) in [5, 1, 1, 1, 4, 1].into_iter().enumerate() {
            pool.start_soon(async move {
                running.set(running.get() + 1);
                assert!(running.get() <= 2);
                log.say(number);
                sleep(secs(seconds)).await;
                running.set(running.get() - 1);
            });
        }
        assert_eq!((n.child_count(), pool.running(), pool.waiting()), (6, 2, 4));
        // Other children do not count.
        n.start_soon(async { log.say("other") });
        settle().await;
        assert_eq!((pool.running(), pool.waiting()), (2, 4));
        sleep(secs(2) + secs(1) / 2).await;
        assert_eq!((n.child_count(), pool.running(), pool.waiting()), (4, 2, 2));
    }
    let lines = log.sorted();
    assert_eq!(lines, ["0 at 0", "1 at 0", "2 at 1", "3 at 2", "4 at 3", "5 at 5", "other at 0"]);
    assert_eq!(trio::current_time() - began(log), secs(7));
}

/// When a timed log began.
fn began(log: &Log) -> std::time::Instant {
    log.zero().unwrap()
}

#[trio::test(schedules = 50)]
async fn the_order_is_that_of_the_calls_whatever_the_schedule() {
    let log = Log::new();
    let log = &log;
    trio::nursery! { |n|
        let pool = n.limited(1);
        for number in 0..20 {
            pool.start_soon(async move {
                log.say(number);
                trio::checkpoint().await;
            });
        }
    }
    assert_eq!(log.lines(), Vec::from_iter((0..20).map(|number: i32| number.to_string())));
}

#[trio::test(autojump, schedules = 50)]
async fn who_waits_for_room_is_no_faster_than_the_children() {
    let log = Log::timed();
    trio::nursery! { |n|
        let pool = n.limited(2);
        for number in 0..5 {
            pool.start_soon_when_free(job(&log, number)).await;
            assert!(n.child_count() <= 2);
            log.say(format!("{number} was started"));
        }
    }
    let mut started = log.lines();
    started.retain(|line| line.contains("was started"));
    let expected =
        ["0 was started at 0", "1 was started at 0", "2 was started at 1", "3 was started at 1", "4 was started at 2"];
    assert_eq!(started, expected);
}

#[trio::test]
async fn waiting_for_room_is_a_checkpoint_and_can_be_cancelled() {
    let log = Log::new();
    trio::nursery! { |n, scope|
        let pool = n.limited(1);
        // A cancel point and a schedule point also if there is room.
        trio::testing::assert_checkpoints(pool.start_soon_when_free(park(&log, "first"))).await;
        settle().await;
        let waiting = move_on_after(std::time::Duration::ZERO, pool.start_soon_when_free(park(&log, "never")));
        assert_eq!(waiting.await, None);
        assert_eq!((pool.running(), pool.waiting(), n.child_count()), (1, 0, 1));
        // The place of one that went is not lost to the next.
        pool.start_soon(park(&log, "second"));
        assert_eq!(pool.waiting(), 1);
        scope.cancel();
        let cancelled = pool.start_soon_when_free(async {});
        assert!(futures::poll!(std::pin::pin!(cancelled)).is_pending());
        assert_eq!(pool.waiting(), 1, "who is cancelled does not even queue up");
        trio::checkpoint().await
    };
    assert_eq!(log.lines(), ["first", "first dropped"]);
}

#[trio::test(autojump, schedules = 50)]
async fn children_and_callers_wait_in_one_queue() {
    let log = Log::timed();
    trio::nursery! { |n|
        let pool = n.limited(1);
        pool.start_soon(job(&log, 0));
        pool.start_soon(job(&log, 1));
        let caller = pool.clone();
        let log = &log;
        n.start_soon(async move {
            settle().await;
            caller.start_soon_when_free(job(log, 2)).await;
            log.say("the caller goes on");
        });
        sleep(secs(1) / 2).await;
        pool.start_soon(job(log, 3));
        assert_eq!(pool.waiting(), 3);
    }
    let begun: Vec<_> = log.lines().into_iter().filter(|line| !line.starts_with("end")).collect();
    let mut begun: Vec<_> = begun.iter().map(String::as_str).collect();
    begun.retain(|line| *line != "the caller goes on at 2");
    assert_eq!(begun, ["0 at 0", "1 at 1", "2 at 2", "3 at 3"]);
}

#[trio::test(autojump, schedules = 50)]
async fn a_child_that_is_cancelled_while_it_waits_never_begins() {
    let log = Log::timed();
    trio::nursery! { |n|
        let pool = n.limited(1);
        let first = pool.spawn(job(&log, 0));
        let second = pool.spawn(job(&log, 1));
        let third = pool.try_spawn(async {
            job(&log, 2).await;
            Ok::<_, std::convert::Infallible>(())
        });
        let fourth = pool.named("fourth").spawn(async { current_task().name().to_owned() });
        // Before it has been polled, and afterwards.
        second.cancel();
        settle().await;
        assert!(second.is_finished());
        assert_eq!(pool.waiting(), 2);
        third.cancel();
        settle().await;
        assert_eq!(pool.waiting(), 1);
        assert_eq!(second.join().await, Err(Cancelled));
        assert_eq!(third.join().await, Err(Cancelled));
        assert_eq!(fourth.join().await.unwrap(), "fourth");
        assert_eq!(first.join().await, Ok(()));
        assert_eq!((pool.running(), pool.waiting()), (0, 0));
    }
    assert_eq!(log.lines(), ["0 at 0", "end of 0 at 1"]);
}

#[trio::test(schedules = 50)]
async fn one_that_runs_and_is_cancelled_makes_room() {
    let log = Log::new();
    trio::nursery! { |n|
        let pool = n.limited(1);
        let first = pool.spawn(park(&log, "first"));
        pool.start_soon(async { log.say("second") });
        settle().await;
        first.cancel();
        assert_eq!(first.join().await, Err(Cancelled));
    }
    assert_eq!(log.lines(), ["first", "first dropped", "second"]);
}

#[trio::test(autojump, schedules = 50)]
async fn a_cancelled_nursery_ends_those_that_wait_and_lets_the_others_meet_it() {
    // What waits already when the cancellation comes.
    let log = Log::timed();
    let ended = trio::nursery! { |n, scope|
        let pool = n.limited(2);
        pool.start_soon(park(&log, "one"));
        pool.start_soon(trio::shield(job(&log, 2)));
        for _ in 0..5 {
            pool.start_soon(park(&log, "waiting"));
        }
        settle().await;
        scope.cancel();
        trio::checkpoint().await
    };
    assert_eq!(ended, None);
    assert_eq!(log.sorted(), ["2 at 0", "end of 2 at 1", "one at 0", "one dropped at 0"]);

    // What is started in a nursery that is cancelled: those with a turn run to their first checkpoint.
    let begun = Cell::new(0);
    let met = async || {
        begun.set(begun.get() + 1);
        assert!(meets_cancellation().await);
        trio::checkpoint().await;
    };
    let ended = trio::nursery! { |n, scope|
        scope.cancel();
        let pool = n.limited(2);
        for _ in 0..5 {
            pool.start_soon(met());
        }
        assert_eq!((pool.running(), pool.waiting()), (2, 3));
        trio::checkpoint().await
    };
    assert_eq!((ended, begun.get()), (None, 2));
}

#[trio::test(autojump, schedules = 50)]
async fn errors_and_panics_cancel_those_that_wait() {
    let log = Log::new();
    let failed = trio::try_nursery! { |n| -> Result<_, Failed>
        let pool = n.limited(1);
        pool.named("failing").start_soon(async {
            trio::checkpoint().await;
            Err::<(), _>(Failed("child"))
        });
        pool.start_soon(park(&log, "never"));
        pool.start_soon_when_free(park(&log, "never")).await;
    };
    let group = failed.as_ref().unwrap_err();
    assert_eq!(group.first().task_name(), Some("failing"));
    assert_eq!(group.first().location().file(), file!());
    assert_eq!(failures(failed), ["child"]);
    assert!(log.lines().is_empty());
}

#[test]
fn a_panic_makes_room_and_comes_out_of_the_nursery() {
    let log = Log::new();
    let text = panic_text(|| {
        trio::run(async {
            trio::nursery! { |n|
                let pool = n.limited(1);
                pool.start_soon(async { panic!("child") });
                pool.start_soon(trio::shield(async {
                    log.say("never");
                }));
            }
        });
    });
    assert_eq!(text, "child");
    assert!(log.lines().is_empty());
}

#[trio::test(autojump, schedules = 50)]
async fn start_waits_for_room_and_keeps_it() {
    let log = Log::timed();
    async fn serve(log: &Log, number: usize, status: TaskStatus<usize>) {
        sleep(secs(1)).await;
        status.started(number);
        job(log, number).await;
    }
    trio::nursery! { |n|
        let pool = n.limited(1);
        for number in 0..3 {
            let started = pool.start(|status| serve(&log, number, status)).await.unwrap();
            log.say(format!("{started} was started"));
        }
        // One that fails to start gives its place back.
        let failed = pool.named("nothing").start(async |_: TaskStatus<()>| ()).await;
        assert!(failed.is_err());
        assert_eq!((pool.running(), pool.waiting()), (0, 0));
        let in_time = move_on_after(secs(1), pool.start(async |_: TaskStatus<()>| forever().await)).await;
        assert!(in_time.is_none());
        assert_eq!((pool.running(), pool.waiting()), (0, 0));
    }
    let mut started = log.lines();
    started.retain(|line| line.contains("was started"));
    assert_eq!(started, ["0 was started at 1", "1 was started at 3", "2 was started at 5"]);
}

#[trio::test]
async fn a_child_may_start_more_through_a_clone() {
    async fn tree<'a>(pool: Limited<'a, '_>, depth: u32, leaves: &'a Cell<u32>) {
        trio::checkpoint().await;
        if depth == 0 {
            return leaves.set(leaves.get() + 1);
        }
        for _ in 0..2 {
            pool.start_soon(tree_boxed(pool.clone(), depth - 1, leaves));
        }
    }
    fn tree_boxed<'a>(
        pool: Limited<'a, '_>,
        depth: u32,
        leaves: &'a Cell<u32>,
    ) -> Pin<Box<dyn Future<Output = ()> + 'a>> {
        Box::pin(tree(pool, depth, leaves))
    }
    let leaves = Cell::new(0);
    trio::nursery! { |n|
        let pool = n.limited(3);
        pool.start_soon(tree_boxed(pool.clone(), 6, &leaves));
    }
    assert_eq!(leaves.get(), 64);
}

#[trio::test]
async fn those_that_wait_show_as_tasks_with_their_place_of_birth() {
    let seen = RefCell::new(Vec::<Task>::new());
    trio::nursery! { |n, scope|
        let pool = n.limited(1);
        pool.start_soon(forever());
        pool.named("waiting").start_soon(forever());
        let line = line!() - 1;
        let nursery = current_task().child_nurseries().pop().unwrap();
        seen.borrow_mut().extend(nursery.child_tasks());
        assert_eq!(seen.borrow()[1].name(), "waiting");
        let location = seen.borrow()[1].location().unwrap();
        assert_eq!((location.file(), location.line()), (file!(), line));
        assert!(seen.borrow()[0].name().contains("forever"), "{:?}", seen.borrow()[0]);
        assert_eq!(format!("{pool:?}"), "Limited { limit: 1, running: 1, waiting: 1, .. }");
        scope.cancel();
    };
}

#[test]
#[should_panic(expected = "a limit of zero")]
fn a_limit_of_zero_is_refused() {
    trio::run(open_nursery(async |n| drop(n.limited(0))));
}

// ---------------------------------------------------------------------- dropped, forgotten, and code that comes back

#[test]
fn a_nursery_that_is_dropped_drops_all_that_wait() {
    const CHILDREN: usize = 20_000;
    let dropped = Rc::new(Cell::new(0));
    let kept = trio::run(async {
        let before = current_statistics();
        let event = Event::new();
        let mut nursery = Box::pin(open_nursery(async |n| {
            let pool = n.limited(2);
            for _ in 0..CHILDREN {
                let (dropped, event) = (Rc::clone(&dropped), &event);
                let guard = OnDrop(move || dropped.set(dropped.get() + 1));
                pool.start_soon(async move {
                    let _guard = guard;
                    event.wait().await;
                });
            }
            forever().await;
        }));
        for _ in 0..3 {
            assert!(futures::poll!(nursery.as_mut()).is_pending());
        }
        drop(nursery);
        assert_eq!(current_statistics().nodes, before.nodes);
        dropped.get()
    });
    assert_eq!(kept, CHILDREN);
    assert_eq!(Rc::strong_count(&dropped), 1);
}

#[test]
fn a_forgotten_nursery_passes_no_turn_on_to_what_is_gone() {
    trio::run(async {
        let (data, begun) = (RefCell::new(vec![0; 100]), Rc::new(Cell::new(0)));
        let event = Rc::new(Event::new());
        let mut nursery = Box::pin(open_nursery(async |n| {
            let pool = n.limited(1);
            let data = &data;
            for _ in 0..3 {
                let (event, begun) = (Rc::clone(&event), Rc::clone(&begun));
                pool.start_soon(async move {
                    begun.set(begun.get() + 1);
                    event.wait().await;
                    data.borrow_mut()[0] += 1;
                });
            }
            forever().await;
        }));
        for _ in 0..3 {
            assert!(futures::poll!(nursery.as_mut()).is_pending());
        }
        std::mem::forget(nursery);
        drop(data);
        event.set();
        for _ in 0..10 {
            trio::checkpoint().await;
        }
        assert_eq!(begun.get(), 1, "nothing has begun since, in a frame that is no more");
    });
}

#[test]
fn destructors_may_panic_and_start_more() {
    let dropped = Rc::new(Cell::new(0));
    let text = panic_text(|| {
        trio::run(async {
            trio::nursery! { |n|
                let pool = n.limited(1);
                for number in 0..4 {
                    let (dropped, again) = (Rc::clone(&dropped), pool.clone());
                    let guard = OnDrop(move || {
                        dropped.set(dropped.get() + 1);
                        again.start_soon(async {});
                        assert!(number != 2, "in a destructor");
                    });
                    pool.start_soon(async move {
                        let _guard = guard;
                        trio::checkpoint().await;
                    });
                }
            }
        });
    });
    assert_eq!(text, "in a destructor");
    assert_eq!(dropped.get(), 4);
    assert_eq!(Rc::strong_count(&dropped), 1);
}

#[trio::test]
async fn many_children_one_after_the_other_leave_nothing_behind() {
    let before = current_statistics();
    trio::nursery! { |n|
        let pool = n.limited(2);
        for round in 0..1000 {
            match round % 3 {
                0 => pool.start_soon(trio::checkpoint()),
                1 => pool.start_soon_when_free(async {}).await,
                _ => pool.spawn(forever()).cancel(),
            }
        }
        while n.child_count() > 0 {
            trio::checkpoint().await;
        }
        assert_eq!((pool.running(), pool.waiting()), (0, 0));
    }
    assert_eq!(current_statistics().nodes, before.nodes);
}
