//! A forced order.

use trio::testing::{Sequencer, SequencerError, assert_checkpoints, assert_no_checkpoints};

use crate::support::{Log, settle};

async fn take(order: &Sequencer, numbers: &[u64], log: &Log, name: &str) {
    for &number in numbers {
        let _turn = order.point(number).await.unwrap();
        // Whoever may go on does not interfere with who is at work.
        trio::checkpoint().await;
        log.say(format_args!("{name}: {number}"));
    }
}

// trio: _tests/test_testing.py::test_Sequencer
#[trio::test(schedules = 50)]
async fn the_order_is_the_one_that_is_written_down() {
    let (order, log) = (Sequencer::new(), Log::new());
    trio::nursery! { |n|
        n.start_soon(take(&order, &[1, 3, 4], &log, "f1"));
        n.start_soon(take(&order, &[0, 2], &log, "f2"));
        let _turn = order.point(5).await.unwrap();
        assert_eq!(log.lines(), ["f2: 0", "f1: 1", "f2: 2", "f1: 3", "f1: 4"]);
    }

    let order = Sequencer::new();
    drop(order.point(0).await.unwrap());
    assert_eq!(order.point(0).await.unwrap_err(), SequencerError::Reused(0));
    // That broke nothing.
    drop(order.point(1).await.unwrap());
}

// trio: _tests/test_testing.py::test_Sequencer_cancel
#[trio::test(schedules = 50)]
async fn a_cancelled_wait_breaks_the_sequence_for_all_others() {
    async fn refused(order: &Sequencer, number: u64, log: &Log) {
        assert_eq!(order.point(number).await.unwrap_err(), SequencerError::Broken);
        log.say(format_args!("{number} refused"));
    }
    let (order, log) = (Sequencer::new(), Log::new());
    trio::nursery! { |n|
        n.start_soon(refused(&order, 2, &log));
        n.start_soon(refused(&order, 4, &log));
        settle().await;
        let cancelled = trio::cancel_scope! { |scope|
            scope.cancel();
            let _guard = log.guard("1");
            let _never = order.point(1).await;
        };
        assert!(cancelled.is_none());
        assert_eq!(log.lines(), ["1 dropped"]);
    }
    assert_eq!(log.sorted(), ["2 refused", "4 refused"]);
    assert_eq!(order.point(3).await.unwrap_err(), SequencerError::Broken);
    assert_eq!(order.point(0).await.unwrap_err(), SequencerError::Broken);
}

#[trio::test]
async fn all_points_but_the_first_are_checkpoints() {
    let order = Sequencer::new();
    drop(assert_no_checkpoints(order.point(0)).await.unwrap());
    drop(assert_checkpoints(order.point(1)).await.unwrap());
}

#[trio::test]
async fn the_next_point_follows_however_the_one_before_ends() {
    let (order, log) = (Sequencer::new(), Log::new());
    trio::nursery! { |n|
        n.start_soon(take(&order, &[1], &log, "after"));
        let cancelled = trio::cancel_scope! { |scope|
            let _turn = order.point(0).await.unwrap();
            scope.cancel();
            trio::checkpoint().await;
        };
        assert!(cancelled.is_none());
    }
    assert_eq!(log.lines(), ["after: 1"]);
}
