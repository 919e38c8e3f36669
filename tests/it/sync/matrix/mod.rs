//! The table of everything that tasks wait in, and of what is tested of each.
//!
//! | cell | what it shows |
//! | --- | --- |
//! | `fairness` | whoever came first goes on first; of those who go on together, nobody is left behind |
//! | `cancelled_while_waiting` | whoever is cancelled takes nothing, and is in nobody's way |
//! | `granted_then_cancelled` | what came before the cancellation is had; what a dropped wait had been given is not lost |
//! | `foreign_combinator` | waits may be mixed, dropped and moved by code that knows nothing of trio |
//! | `statistics` | what it tells of itself is right after each step |
//!
//! A row is a primitive, and makes a module with a test for each cell, which runs under two hundred orders of tasks.
//! What is waited for in line needs no more than a [`Subject`](super::subject::Subject): then the cells come from
//! [`cells`]. Other rows give their cells one by one; a row without one of them does not compile. A cell that makes no
//! sense is `none`, and says why.
//!
//! A row begins with the files that it is about. The last column, a documented example of each public item, is tested
//! over those files; and a file of the crate's primitives that is in no row fails a test, too.

mod blocks;
mod cells;
mod examples;
mod generated;
mod paced;

use trio::{AsyncValue, CapacityLimiter, Condition, Event, Lock, ParkingLot, RwLock, Semaphore, StrictFifoLock};

use super::subject::{Meeting, Notification, Read, Receive, Send};

macro_rules! matrix {
    ($($primitive:ident in [$($file:literal),*] $row:tt)*) => {
        $(mod $primitive {
            use super::*;

            matrix! { @row $row }
        })*

        /// The files that have a row.
        const FILES: &[&str] = &[$($($file),*),*];
    };
    (@row { $subject:expr }) => {
        matrix! { @row {
            fairness: { cells::fairness(|| $subject) }
            cancelled_while_waiting: { cells::cancelled_while_waiting(|| $subject) }
            granted_then_cancelled: { cells::granted_then_cancelled(|| $subject) }
            foreign_combinator: { cells::foreign_combinator(|| $subject) }
            statistics: { cells::statistics(|| $subject) }
        } }
    };
    (@row {
        fairness: $fairness:tt
        cancelled_while_waiting: $cancelled:tt
        granted_then_cancelled: $granted:tt
        foreign_combinator: $foreign:tt
        statistics: $statistics:tt
    }) => {
        matrix! { @cell fairness $fairness }
        matrix! { @cell cancelled_while_waiting $cancelled }
        matrix! { @cell granted_then_cancelled $granted }
        matrix! { @cell foreign_combinator $foreign }
        matrix! { @cell statistics $statistics }
    };
    (@cell $name:ident { none, $reason:literal }) => {};
    (@cell $name:ident { $test:expr }) => {
        #[trio::test(autojump, schedules = 200)]
        async fn $name() {
            $test.await;
        }
    };
}

matrix! {
    event in ["sync/event.rs"] { Event::new() }
    lock in ["sync/lock.rs"] { Lock::new(()) }
    strict_fifo_lock in ["sync/lock.rs"] { StrictFifoLock::new(()) }
    semaphore in ["sync/semaphore.rs"] { Semaphore::bounded(1, 1) }
    capacity_limiter in ["sync/capacity_limiter.rs"] { CapacityLimiter::new(1) }
    condition_lock in ["sync/condition.rs"] { Condition::new(()) }
    condition_wait in ["sync/condition.rs"] { Notification(Condition::new(())) }
    parking_lot in ["sync/parking_lot.rs"] { ParkingLot::new() }
    rw_lock_read in ["sync/rw_lock.rs"] { Read(RwLock::new(())) }
    rw_lock_write in ["sync/rw_lock.rs"] { RwLock::new(()) }
    barrier in ["sync/barrier.rs"] { Meeting::new() }
    async_value in ["sync/async_value.rs"] { AsyncValue::new(false) }

    receive_rendezvous in ["channel/mod.rs", "channel/receiver.rs"] { Receive::new(0) }
    receive_bounded in ["channel/mod.rs", "channel/receiver.rs"] { Receive::new(2) }
    receive_unbounded in ["channel/mod.rs", "channel/receiver.rs"] { Receive::new(usize::MAX) }
    send_rendezvous in ["channel/mod.rs", "channel/sender.rs"] { Send::new(0) }
    send_bounded in ["channel/mod.rs", "channel/sender.rs"] { Send::new(2) }
    send_unbounded in ["channel/mod.rs", "channel/sender.rs"] {
        fairness: { none, "nobody ever waits" }
        cancelled_while_waiting: { none, "nobody ever waits" }
        granted_then_cancelled: { blocks::a_send_that_yields_has_sent() }
        foreign_combinator: { none, "nobody ever waits" }
        statistics: { blocks::an_unbounded_buffer_is_counted() }
    }
    safe_channel in ["channel/generator.rs"] {
        fairness: { generated::values_go_to_whoever_asked_first() }
        cancelled_while_waiting: { generated::who_asked_and_is_cancelled_takes_nothing() }
        granted_then_cancelled: { generated::a_value_that_was_given_is_not_lost() }
        foreign_combinator: { generated::is_dropped_whole() }
        statistics: { generated::the_receiver_tells() }
    }

    rate_limiter in ["rate_limiter.rs"] {
        fairness: { paced::a_limiter_serves_in_order() }
        cancelled_while_waiting: { paced::who_leaves_a_limiter_is_in_nobodys_way() }
        granted_then_cancelled: { paced::a_turn_that_is_not_used_is_the_next_ones() }
        foreign_combinator: { paced::a_limiter_in_foreign_combinators() }
        statistics: { paced::a_limiter_tells() }
    }
    interval in ["interval.rs"] {
        fairness: { paced::everybody_gets_all_ticks() }
        cancelled_while_waiting: { paced::a_cancelled_tick_comes_again() }
        granted_then_cancelled: { paced::a_tick_that_is_due_and_dropped_comes_again() }
        foreign_combinator: { paced::ticks_in_foreign_combinators() }
        statistics: { none, "one task at a time has it: nobody waits there unseen" }
    }
    for_each_concurrent in ["for_each.rs"] {
        fairness: { blocks::items_come_in_order() }
        cancelled_while_waiting: { blocks::a_cancelled_loop_takes_no_more() }
        granted_then_cancelled: { blocks::no_item_is_between_two_stools() }
        foreign_combinator: { blocks::a_loop_is_dropped_whole() }
        statistics: { none, "a block, whose tasks are seen where all tasks are" }
    }
    join_race_and_wait in ["sync/combinators.rs"] {
        fairness: { blocks::everybody_gets_on() }
        cancelled_while_waiting: { blocks::a_cancellation_reaches_all() }
        granted_then_cancelled: { blocks::who_has_ended_is_not_cancelled() }
        foreign_combinator: { blocks::combinators_in_foreign_ones() }
        statistics: { none, "blocks, whose tasks are seen where all tasks are" }
    }
}
