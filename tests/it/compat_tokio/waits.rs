//! What the run knows of those who wait for tokio: deadlocks and virtual clocks.

use std::time::Duration;

use tokio::sync::oneshot;
use trio::compat::tokio::open;
use trio::testing::MockClock;

use crate::support::{forever, secs, settle};

// Each of these tests fails, with the task tree, when the run is taken for one in which nothing can ever happen again.

#[trio::test]
async fn who_waits_for_a_timer_of_tokio_is_no_deadlock() {
    open(async |tokio| tokio.run(async { tokio::time::sleep(Duration::from_millis(20)).await }).await).await.unwrap();
}

#[trio::test]
async fn who_waits_for_a_task_of_tokio_is_no_deadlock() {
    open(async |tokio| {
        for _ in 0..200 {
            tokio.run(async { tokio::spawn(async { tokio::task::yield_now().await }).await.unwrap() }).await;
        }
        tokio
            .run(async { tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_millis(20))).await.unwrap() })
            .await;
    })
    .await
    .unwrap();
}

#[trio::test]
async fn who_waits_for_the_end_of_the_runtime_is_no_deadlock() {
    open(async |tokio| drop(tokio.handle().spawn_blocking(|| std::thread::sleep(Duration::from_millis(50)))))
        .await
        .unwrap();
}

#[trio::test]
#[should_panic(expected = "deadlock: no task of this run can ever run again")]
async fn an_open_bridge_hides_no_deadlock() {
    open(async |tokio| {
        tokio.run(async { tokio::time::sleep(Duration::from_millis(1)).await }).await;
        forever().await;
    })
    .await
    .unwrap();
}

#[trio::test]
#[should_panic(expected = "deadlock: no task of this run can ever run again")]
async fn a_deadlock_inside_of_a_future_of_tokio_is_one() {
    open(async |tokio| tokio.run(forever()).await).await.unwrap();
}

#[test]
fn a_virtual_clock_with_a_threshold_waits_for_tokio() {
    let clock = MockClock::new();
    // Longer than any answer takes here.
    clock.set_autojump_threshold(Some(secs(5)));
    trio::Builder::new().clock(clock).run(async {
        open(async |tokio| {
            // No time passes, so no timeout either, while the answers come one after the other.
            let answers = trio::fail_after(secs(1), async {
                for _ in 0..20 {
                    tokio.run(async { tokio::time::sleep(Duration::from_millis(2)).await }).await;
                }
            });
            answers.await.unwrap();
        })
        .await
        .unwrap();
    });
}

#[trio::test(autojump)]
async fn a_virtual_clock_that_jumps_at_once_does_not_wait_for_tokio() {
    let (_sender, receiver) = oneshot::channel::<()>();
    let hour = trio::move_on_after(secs(3600), open(async |tokio| drop(tokio.run(receiver).await)));
    let begun = trio::current_time();
    assert!(hour.await.is_none());
    assert_eq!(trio::current_time() - begun, secs(3600));
    settle().await;
}
