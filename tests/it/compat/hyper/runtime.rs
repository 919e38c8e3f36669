//! hyper's clock and executor.

use std::cell::Cell;
use std::time::Duration;

use ::hyper::rt::{Executor as _, Timer as _};
use trio::compat::hyper::{Executor, Timer};

use crate::support::{Failed, failures, secs, settle};

#[trio::test(autojump)]
async fn sleeps_are_by_the_runs_clock_and_can_be_moved() {
    let began = trio::current_time();
    assert_eq!(Timer.now(), began);
    Timer.sleep(secs(10)).await;
    assert_eq!(trio::current_time() - began, secs(10));
    Timer.sleep_until(began).await;
    assert_eq!(trio::current_time() - began, secs(10));
    // Later, then later again, then earlier, before and after its first poll.
    for polled in [false, true] {
        let began = trio::current_time();
        let mut sleep = Timer.sleep(secs(5));
        if polled {
            assert!(futures::poll!(&mut sleep).is_pending());
        }
        Timer.reset(&mut sleep, began + secs(20));
        assert!(trio::move_on_after(secs(10), &mut sleep).await.is_none());
        Timer.reset(&mut sleep, began + secs(30));
        assert!(trio::move_on_after(secs(5), &mut sleep).await.is_none());
        Timer.reset(&mut sleep, began + secs(17));
        sleep.await;
        assert_eq!(trio::current_time() - began, secs(17));
    }
    // For ever.
    let mut sleep = Timer.sleep(Duration::MAX);
    assert!(trio::move_on_after(secs(1000), &mut sleep).await.is_none());
}

#[trio::test(autojump)]
async fn a_sleep_is_a_cancel_point_and_may_go_anywhere() {
    let over = trio::cancel_scope! { |scope|
        scope.cancel();
        Timer.sleep_until(trio::current_time()).await;
    };
    assert!(over.is_none());
    let mut sleep = Timer.sleep(secs(5));
    assert!(futures::poll!(&mut sleep).is_pending());
    std::thread::spawn(move || {
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| futures::executor::block_on(&mut sleep)));
        assert!(panic.is_err());
        drop(sleep);
    })
    .join()
    .unwrap();
    // In another run it is refused, too; and so is its drop there harmless.
    let mut sleep = Timer.sleep(secs(5));
    assert!(futures::poll!(&mut sleep).is_pending());
    std::thread::spawn(move || trio::run(async { drop(sleep) })).join().unwrap();
    trio::sleep(secs(10)).await;
}

#[trio::test(schedules = 20)]
async fn an_executor_runs_what_borrows_and_passes_errors_on() {
    let done = Cell::new(0);
    trio::nursery! { |n|
        let executor = Executor::new(n);
        for _ in 0..3 {
            executor.clone().execute(async {
                trio::checkpoint().await;
                done.set(done.get() + 1);
            });
        }
        settle().await;
    }
    assert_eq!(done.get(), 3);
    let failed = trio::try_nursery! { |n| -> Result<(), Failed>
        Executor::new(n).execute(async { Err::<(), _>(Failed("it")) });
    };
    assert_eq!(failures(failed), ["it"]);
}
