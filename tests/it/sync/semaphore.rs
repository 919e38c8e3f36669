//! Semaphores: what `gates` has not, values other than one.

use std::cell::Cell;

use trio::{ReleasedTooOftenError, Semaphore, WouldBlock};

use crate::support::{panic_text, settle};

// trio: _tests/test_sync.py::test_Semaphore_bounded
#[trio::test(schedules = 200)]
async fn a_semaphore_with_a_maximum() {
    let text = panic_text(|| Semaphore::bounded(2, 1));
    assert_eq!(text, "a semaphore's initial value may not exceed its maximum");
    let semaphore = Semaphore::bounded(1, 1);
    assert_eq!(semaphore.max_value(), Some(1));
    let error = semaphore.release().unwrap_err();
    assert_eq!(error, ReleasedTooOftenError);
    assert_eq!(error.to_string(), "semaphore released too many times");
    assert_eq!(semaphore.value(), 1);
    semaphore.acquire().await.forget();
    assert_eq!(semaphore.value(), 0);
    assert_eq!(semaphore.release(), Ok(()));
    assert_eq!(semaphore.value(), 1);

    // One release too many, while a permit is out, is found out only when that comes back: the value stays where it is.
    let permit = semaphore.acquire().await;
    assert_eq!(semaphore.release(), Ok(()));
    drop(permit);
    assert_eq!(semaphore.value(), 1);
}

#[trio::test(schedules = 200)]
async fn a_semaphore_lets_in_as_many_as_it_says() {
    async fn visit(semaphore: &Semaphore, inside: &Cell<u32>, most: &Cell<u32>) {
        for _ in 0..3 {
            let _permit = semaphore.acquire().await;
            inside.set(inside.get() + 1);
            most.set(most.get().max(inside.get()));
            trio::checkpoint().await;
            inside.set(inside.get() - 1);
        }
    }
    let semaphore = Semaphore::new(3);
    assert_eq!(semaphore.max_value(), None);
    let (inside, most) = (Cell::new(0), Cell::new(0));
    trio::nursery! { |n|
        for _ in 0..8 {
            n.start_soon(visit(&semaphore, &inside, &most));
        }
    }
    assert_eq!(most.get(), 3);
    assert_eq!(semaphore.value(), 3);
}

#[trio::test(schedules = 200)]
async fn the_statistics_of_a_semaphore() {
    let semaphore = Semaphore::new(0);
    assert_eq!(semaphore.try_acquire().unwrap_err(), WouldBlock);
    trio::nursery! { |n|
        for _ in 0..2 {
            n.start_soon(async { semaphore.acquire().await.forget() });
        }
        settle().await;
        assert_eq!(semaphore.statistics().tasks_waiting, 2);
        assert_eq!(format!("{semaphore:?}"), "Semaphore { value: 0, waiting: 2 }");
        semaphore.release().unwrap();
        // Passed on directly: the value stays zero.
        assert_eq!((semaphore.value(), semaphore.statistics().tasks_waiting), (0, 1));
        semaphore.release().unwrap();
    }
    assert_eq!(semaphore.value(), 0);
}
