//! Tasks that serve the others of their nursery, and go when those have gone.

use std::cell::RefCell;

use trio::{Event, move_on_after, open_memory_channel, sleep};

use crate::support::{Failed, Log, failures, forever, park, secs, settle};

#[trio::test(autojump, schedules = 50)]
async fn a_daemon_is_cancelled_with_the_nursery_and_a_service_when_the_others_have_ended() {
    let log = Log::timed();
    let slow = |seconds| trio::finally(forever(), sleep(secs(seconds)));
    let ended = move_on_after(secs(1), async {
        trio::nursery! { |n|
            n.start_daemon(park(&log, "daemon"));
            n.start_service(park(&log, "service"));
            n.start_soon(slow(2));
            n.start_soon(slow(5));
            slow(3).await;
        }
    });
    assert_eq!(ended.await, None);
    assert_eq!(log.sorted(), ["daemon at 0", "daemon dropped at 1", "service at 0", "service dropped at 6"]);
}

#[trio::test(autojump, schedules = 50)]
async fn both_go_when_the_body_and_the_children_have_ended() {
    let log = Log::timed();
    trio::nursery! { |n|
        n.start_service(park(&log, "service"));
        n.start_daemon(park(&log, "daemon"));
        n.start_soon(sleep(secs(2)));
        assert_eq!(n.child_count(), 3);
        sleep(secs(1)).await;
    }
    assert_eq!(log.sorted(), ["daemon at 0", "daemon dropped at 2", "service at 0", "service dropped at 2"]);
}

#[trio::test(autojump, schedules = 50)]
async fn a_service_may_end_by_itself_or_fail() {
    let log = Log::timed();
    let failed = trio::try_nursery! { |n| -> Result<_, Failed>
        n.start_service(async { log.say("short") });
        n.start_service(async {
            sleep(secs(1)).await;
            Err::<(), _>(Failed("service"))
        });
        n.start_soon(park(&log, "child"));
        forever().await;
    };
    assert_eq!(failures(failed), ["service"]);
    assert_eq!(log.sorted(), ["child at 0", "child dropped at 1", "short at 0"]);
}

#[trio::test(autojump, schedules = 50)]
async fn a_service_serves_what_ends_because_of_a_failure() {
    let (requests, served) = open_memory_channel(0);
    let answered = RefCell::new(Vec::new());
    let serve = async {
        while let Ok(request) = served.receive().await {
            answered.borrow_mut().push(request);
        }
    };
    let farewell = async |name: &'static str| {
        trio::finally(forever(), async { requests.send(name).await.unwrap() }).await;
    };
    let failed = trio::try_nursery! { |n| -> Result<_, Failed>
        n.start_service(serve);
        n.start_soon(farewell("one"));
        n.start_soon(farewell("two"));
        settle().await;
        Err(Failed("body"))?;
    };
    assert_eq!(failures(failed), ["body"]);
    let mut answered = answered.take();
    answered.sort_unstable();
    assert_eq!(answered, ["one", "two"]);
}

#[trio::test(autojump, schedules = 50)]
async fn a_service_of_an_inner_nursery_keeps_the_outer_one_waiting() {
    let (log, event) = (Log::timed(), Event::new());
    let ended = trio::nursery! { |n, scope|
        n.start_soon(async {
            trio::nursery! { |inner|
                // Its own clean-up is waited for as that of any task.
                inner.start_service(trio::finally(park(&log, "service"), async {
                    sleep(secs(2)).await;
                    event.set();
                }));
                forever().await;
            }
        });
        sleep(secs(1)).await;
        scope.cancel();
        trio::checkpoint().await
    };
    assert_eq!(ended, None);
    log.say("the end");
    assert_eq!(log.lines(), ["service at 0", "service dropped at 1", "the end at 3"]);
    assert!(event.is_set());
}

#[test]
fn a_service_is_dropped_with_its_nursery_by_foreign_code() {
    let log = Log::new();
    trio::run(async {
        let before = trio::lowlevel::current_statistics();
        let mut nursery = Box::pin(trio::open_nursery(async |n| {
            n.start_service(park(&log, "service"));
            n.start_daemon(park(&log, "daemon"));
            forever().await;
        }));
        for _ in 0..2 {
            assert!(futures::poll!(nursery.as_mut()).is_pending());
            trio::checkpoint().await;
        }
        drop(nursery);
        let after = trio::lowlevel::current_statistics();
        assert_eq!((after.nodes, after.tasks_living), (before.nodes, before.tasks_living));
    });
    assert_eq!(log.lines(), ["service", "daemon", "daemon dropped", "service dropped"]);
}
