//! `safe_channel`: a producer that works on demand and does not outlive its block.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::fmt;

use trio::{BoxError, CancelScope, ErrorGroup, Event, MemoryReceiver, Yielder, safe_channel};

use crate::support::{Failed, Log, forever, secs, settle};

/// An error that can hold several.
#[derive(Debug, PartialEq)]
enum Wrong {
    One(&'static str),
    Both(Vec<Self>),
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl From<ErrorGroup<Self>> for Wrong {
    fn from(group: ErrorGroup<Self>) -> Self {
        Self::Both(group.into_errors().collect())
    }
}

async fn collect<T>(channel: MemoryReceiver<T>) -> Result<Vec<T>, Infallible> {
    let mut all = Vec::new();
    while let Ok(value) = channel.receive().await {
        all.push(value);
    }
    Ok(all)
}

async fn count_to(limit: u32, values: Yielder<u32>) -> Result<(), Infallible> {
    for value in 0..limit {
        values.send(value).await;
    }
    Ok(())
}

// trio: _tests/test_channel.py::test_as_safe_channel_exhaust
#[trio::test(schedules = 200)]
async fn the_channel_ends_with_its_producer() {
    let Ok(all) = safe_channel(
        async |values: Yielder<_>| {
            values.send(1).await;
            Ok(())
        },
        collect,
    )
    .await;
    assert_eq!(all, [1]);
    let Ok(all) = safe_channel(async |values| count_to(0, values).await, collect).await;
    assert!(all.is_empty());
}

// trio: _tests/test_channel.py::test_as_safe_channel_cancelled
#[trio::test(schedules = 200)]
async fn a_producer_that_nobody_asks_is_never_begun() {
    let begun = Cell::new(false);
    let scope = CancelScope::new();
    let handle = scope.handle();
    let ended = scope.run(safe_channel(
        async |values| {
            begun.set(true);
            count_to(5, values).await
        },
        async |_channel| {
            settle().await;
            handle.cancel();
            Ok(())
        },
    ));
    // The producer met the cancellation, so the code behind the block does not run, as in Trio.
    assert_eq!(ended.await, None);
    assert!(handle.caught());
    assert!(!begun.get());
}

// trio: _tests/test_channel.py::test_as_safe_channel_no_race
#[trio::test(schedules = 200)]
async fn a_producers_error_comes_out_bare() {
    let log = Log::new();
    let failed = safe_channel(
        async |values| {
            values.send(1).await;
            Err(Wrong::One("value error"))
        },
        async |channel| {
            while let Ok(value) = channel.receive().await {
                log.say(value);
            }
            log.say("a failure does not look like an end");
            Ok(())
        },
    );
    assert_eq!(failed.await, Err(Wrong::One("value error")));
    assert_eq!(log.lines(), ["1"]);
}

// trio: _tests/test_channel.py::test_as_safe_channel_buffer_size_too_small
#[trio::test(autojump, schedules = 200)]
async fn nothing_is_made_ahead() {
    let made = Cell::new(0);
    let producer = async |values: Yielder<u32>| {
        for value in 0.. {
            made.set(made.get() + 1);
            values.send(value).await;
        }
        Ok::<_, Infallible>(())
    };
    let ended = trio::move_on_after(
        secs(5),
        safe_channel(producer, async |channel| {
            assert_eq!(channel.receive().await, Ok(0));
            forever().await;
            Ok(())
        }),
    );
    assert!(ended.await.is_none());
    assert_eq!(made.get(), 1);
}

// trio: _tests/test_channel.py::test_as_safe_channel_no_interleave
#[trio::test(schedules = 200)]
async fn the_producer_stays_where_it_gave_its_value() {
    let log = Log::new();
    let Ok(()) = safe_channel(
        async |values: Yielder<u32>| {
            values.send(1).await;
            log.say("went on");
            Ok::<_, Infallible>(())
        },
        async |channel| {
            assert_eq!(channel.receive().await, Ok(1));
            trio::checkpoint().await;
            settle().await;
            Ok(())
        },
    )
    .await;
    assert!(log.lines().is_empty());
}

// trio: _tests/test_channel.py::test_as_safe_channel_nested_loop
#[trio::test(schedules = 200)]
async fn loops_over_two_of_them_can_be_nested() {
    let pairs = RefCell::new(Vec::new());
    let Ok(()) = safe_channel(
        async |values| count_to(2, values).await,
        async |outer| {
            while let Ok(left) = outer.receive().await {
                let inner = async |inner: MemoryReceiver<u32>| {
                    while let Ok(right) = inner.receive().await {
                        pairs.borrow_mut().push((left, right));
                    }
                    Ok(())
                };
                safe_channel(async |values| count_to(2, values).await, inner).await?;
            }
            Ok(())
        },
    )
    .await;
    assert_eq!(pairs.into_inner(), [(0, 0), (0, 1), (1, 0), (1, 1)]);
}

// trio: _tests/test_channel.py::test_as_safe_channel_doesnt_leak_cancellation
#[trio::test(schedules = 200)]
async fn a_scope_of_the_producers_own_is_its_own_affair() {
    let log = Log::new();
    let Ok(()) = safe_channel(
        async |values: Yielder<u32>| {
            let sent = trio::cancel_scope! { |scope|
                scope.cancel();
                values.send(1).await;
            };
            assert!(sent.is_none(), "a cancelled scope's value is not sent");
            values.send(2).await;
            Ok::<_, Infallible>(())
        },
        async |channel| {
            log.say(channel.receive().await.unwrap());
            trio::checkpoint().await;
            assert!(channel.receive().await.is_err());
            log.say("reached");
            Ok(())
        },
    )
    .await;
    assert_eq!(log.lines(), ["2", "reached"]);
}

// trio: _tests/test_channel.py::test_as_safe_channel_dont_unwrap_user_exceptiongroup
#[trio::test(schedules = 200)]
async fn a_group_that_the_body_fails_with_stays_a_group() {
    let failed: Result<(), BoxError> = safe_channel(
        async |values: Yielder<u32>| {
            values.send(1).await;
            Ok(())
        },
        async |_channel| trio::try_nursery! { |_n| Err(Failed("bar"))?; }.map_err(BoxError::from),
    )
    .await;
    let error = failed.unwrap_err();
    let group = error.downcast_ref::<ErrorGroup>().expect("the group itself");
    assert_eq!((group.len(), group.downcast_ref::<Failed>()), (1, Some(&Failed("bar"))));
}

// trio: _tests/test_channel.py::test_as_safe_channel_multiple_receiver
#[trio::test(schedules = 200)]
async fn two_tasks_can_ask_at_the_same_time() {
    let event = Event::new();
    let log = Log::new();
    let receive = async |name: &str, channel: MemoryReceiver<u32>| {
        log.say(format!("{name} got {}", channel.receive().await.unwrap()));
    };
    let Ok(()) = safe_channel(
        async |values| {
            event.wait().await;
            count_to(2, values).await
        },
        async |channel| {
            trio::nursery! { |n|
                n.start_soon(receive("a", channel.clone()));
                settle().await;
                n.start_soon(receive("b", channel));
                settle().await;
                assert!(log.lines().is_empty());
                event.set();
            }
            Ok(())
        },
    )
    .await;
    assert_eq!(log.sorted(), ["a got 0", "b got 1"]);
}

// trio: _tests/test_channel.py::test_as_safe_channel_multi_cancel
#[trio::test(autojump, schedules = 200)]
async fn a_cancellation_drops_the_body_and_then_the_producer() {
    let log = Log::new();
    let scope = CancelScope::new();
    let handle = scope.handle();
    let ended = scope.run(safe_channel(
        async |values: Yielder<u32>| {
            let _guard = log.guard("producer");
            values.send(1).await;
            Ok::<_, Infallible>(())
        },
        async |channel| {
            let _guard = log.guard("body");
            while channel.receive().await.is_ok() {
                handle.cancel();
                trio::checkpoint().await;
            }
            Ok(())
        },
    ));
    assert!(ended.await.is_none());
    assert!(handle.caught());
    assert_eq!(log.lines(), ["body dropped", "producer dropped"]);
}

// The producer can't reach the receiver: what is closed between two values is closed by its owner, and nobody can ask
// through it any more.
// trio: _tests/test_channel.py::test_as_safe_channel_close_during_iteration
#[trio::test(schedules = 200)]
async fn a_producer_whose_receiver_is_closed_waits_for_the_end_of_the_block() {
    let log = Log::new();
    let Ok(()) = safe_channel(
        async |values: Yielder<u32>| {
            let _guard = log.guard("producer");
            loop {
                values.send(1).await;
                log.say("asked again");
            }
        },
        async |channel| {
            assert_eq!(channel.receive().await, Ok(1));
            // A wait that is given up has asked: the producer goes on, and finds nobody.
            trio::move_on_after(secs(0), channel.receive()).await;
            channel.close();
            settle().await;
            log.say("the block goes on");
            Ok::<_, Infallible>(())
        },
    )
    .await;
    settle().await;
    let lines = log.lines();
    assert_eq!(lines.last().unwrap(), "producer dropped");
    assert!(lines.contains(&"the block goes on".to_owned()), "{lines:?}");
}

#[trio::test(schedules = 200)]
async fn the_end_of_the_block_cancels_the_producer_where_it_is() {
    let log = Log::new();
    let Ok(found) = safe_channel(
        async |values: Yielder<u32>| {
            let _guard = log.guard("producer");
            count_to(100, values).await
        },
        async |channel| {
            loop {
                let value = channel.receive().await.unwrap();
                if value == 7 {
                    return Ok(value);
                }
            }
        },
    )
    .await;
    assert_eq!(found, 7);
    assert_eq!(log.lines(), ["producer dropped"]);
}

/// A producer's clean-up that waits is waited for, and its error comes out though the body has a value.
#[trio::test(autojump, schedules = 200)]
async fn an_error_of_the_producers_clean_up_is_not_lost() {
    let failed = safe_channel(
        async |values: Yielder<u32>| {
            values.send(1).await;
            trio::shield(trio::sleep(secs(1))).await;
            Err(Wrong::One("producer"))
        },
        async |channel| {
            assert_eq!(channel.receive().await, Ok(1));
            // Asks for the next, so that the producer is in its shield when the body ends.
            let asked = trio::move_on_after(std::time::Duration::from_millis(500), channel.receive()).await;
            assert!(asked.is_none());
            Ok(())
        },
    );
    assert_eq!(failed.await, Err(Wrong::One("producer")));
}

#[trio::test(autojump, schedules = 200)]
async fn if_both_fail_both_errors_come_out() {
    let failed: Result<(), Wrong> = safe_channel(
        async |values: Yielder<u32>| {
            values.send(1).await;
            trio::shield(trio::sleep(secs(1))).await;
            Err(Wrong::One("producer"))
        },
        async |channel| {
            channel.receive().await.unwrap();
            trio::move_on_after(std::time::Duration::from_millis(500), channel.receive()).await;
            Err(Wrong::One("body"))
        },
    )
    .await;
    assert_eq!(failed, Err(Wrong::Both(vec![Wrong::One("body"), Wrong::One("producer")])));
}

/// Producer and body may borrow from the function around them, and the values from what they borrow.
#[trio::test(schedules = 200)]
async fn it_borrows() {
    let words = String::from("to be or not");
    let seen = Cell::new(0);
    let longest = safe_channel(
        async |values: Yielder<&str>| {
            for word in words.split(' ') {
                seen.set(seen.get() + 1);
                values.send(word).await;
            }
            Ok(())
        },
        async |channel| -> trio::Result<&str> {
            let mut longest = "";
            while let Ok(word) = channel.receive().await {
                longest = if word.len() > longest.len() { word } else { longest };
            }
            Ok(longest)
        },
    );
    assert_eq!(longest.await.unwrap(), "not");
    assert_eq!(seen.get(), 4);
}

#[test]
fn a_panic_of_the_producer_comes_out() {
    let text = crate::support::panic_text(|| {
        trio::run(safe_channel(
            async |values: Yielder<u32>| {
                values.send(1).await;
                panic!("in the producer")
            },
            collect,
        ))
    });
    assert_eq!(text, "in the producer");
}
