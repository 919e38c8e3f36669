//! `for_each_concurrent`.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use trio::{for_each_concurrent, move_on_after};

const SECOND: Duration = Duration::from_secs(1);

#[trio::test(autojump, schedules = 200)]
async fn no_more_run_than_the_limit_says() {
    let (running, most, done) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let outcome = for_each_concurrent(4, 0..40_u64, async |number| {
        running.set(running.get() + 1);
        most.set(most.get().max(running.get()));
        trio::sleep(Duration::from_millis(number * 7 % 5)).await;
        running.set(running.get() - 1);
        done.set(done.get() + 1);
        Ok::<_, Infallible>(())
    });
    assert!(outcome.await.is_ok());
    assert_eq!((most.get(), done.get()), (4, 40));
}

#[trio::test(autojump, schedules = 200)]
async fn items_are_taken_when_there_is_room() {
    let taken = Cell::new(0_u32);
    let items = (0_u32..).inspect(|_| taken.set(taken.get() + 1));
    let endless = for_each_concurrent(3, items, async |_| {
        trio::sleep(SECOND).await;
        Ok::<_, Infallible>(())
    });
    assert!(move_on_after(10 * SECOND + SECOND / 2, endless).await.is_none());
    // Three a second, and the one that waits for room.
    assert_eq!(taken.get(), 34);
}

#[trio::test(autojump, schedules = 200)]
async fn the_first_failure_cancels_the_others() {
    let log = RefCell::new(Vec::new());
    let outcome = for_each_concurrent(2, 1..100_u32, async |number| {
        trio::sleep(number * SECOND).await;
        log.borrow_mut().push(number);
        if number == 3 { Err(format!("{number} is one too many")) } else { Ok(()) }
    });
    let errors = outcome.await.unwrap_err();
    assert_eq!(errors.into_errors().collect::<Vec<_>>(), ["3 is one too many"]);
    assert_eq!(log.into_inner(), [1, 2, 3]);
}

#[trio::test(schedules = 200)]
async fn without_items_there_is_nothing_to_do() {
    assert!(for_each_concurrent(usize::MAX, [(); 0], async |()| Ok::<_, Infallible>(())).await.is_ok());
}

#[test]
fn panics_come_out_and_a_limit_of_zero_is_one() {
    let run = |limit, panics: bool| {
        catch_unwind(AssertUnwindSafe(|| {
            trio::run(for_each_concurrent(limit, [1, 2], async |number| {
                assert!(!panics || number != 2, "number two");
                Ok::<_, Infallible>(())
            }))
        }))
    };
    let text = |panic: Box<dyn std::any::Any + Send>| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        text.unwrap_or_default()
    };
    assert_eq!(text(run(1, true).unwrap_err()), "number two");
    assert_eq!(text(run(0, false).unwrap_err()), "with a limit of zero no task could ever run");
}
