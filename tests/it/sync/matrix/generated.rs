//! The cells of `safe_channel`, where a value is made when somebody waits for it.

use std::convert::Infallible;
use std::pin::pin;

use futures::FutureExt;
use futures::future::{Either, join, select};
use trio::{CancelScope, Event, MemoryReceiver, Yielder, safe_channel};

use crate::support::{Log, forever, secs, settle};

/// Gives 0, 1, 2 and so on once the event has happened.
async fn count(begin: &Event, values: Yielder<u32>) -> Result<(), Infallible> {
    begin.wait().await;
    for value in 0.. {
        values.send(value).await;
    }
    Ok(())
}

async fn receive_and_say(channel: &MemoryReceiver<u32>, log: &Log, name: &str) {
    let value = channel.receive().await.unwrap();
    log.say(format!("{name} got {value}"));
}

pub(super) async fn values_go_to_whoever_asked_first() {
    let (begin, log) = (Event::new(), Log::new());
    let Ok(()) = safe_channel(
        async |values| count(&begin, values).await,
        async |channel| {
            trio::nursery! { |n|
                for name in ["a", "b", "c"] {
                    n.start_soon(receive_and_say(&channel, &log, name));
                    settle().await;
                }
                begin.set();
            }
            Ok(())
        },
    )
    .await;
    assert_eq!(log.sorted(), ["a got 0", "b got 1", "c got 2"]);
}

pub(super) async fn who_asked_and_is_cancelled_takes_nothing() {
    let (begin, log) = (Event::new(), Log::new());
    let Ok(()) = safe_channel(
        async |values| count(&begin, values).await,
        async |channel| {
            let (gone, passed_over) = (CancelScope::new(), CancelScope::new());
            let handles = (gone.handle(), passed_over.handle());
            trio::nursery! { |n|
                n.start_soon(async { assert_eq!(gone.run(receive_and_say(&channel, &log, "gone")).await, None) });
                settle().await;
                n.start_soon(async { assert_eq!(passed_over.run(channel.receive()).await, None) });
                settle().await;
                n.start_soon(receive_and_say(&channel, &log, "next"));
                settle().await;
                handles.0.cancel();
                settle().await;
                assert_eq!(channel.statistics().tasks_waiting_receive, 2);
                begin.set();
                handles.1.cancel();
            }
            receive_and_say(&channel, &log, "later").await;
            Ok(())
        },
    )
    .await;
    assert_eq!(log.lines(), ["next got 0", "later got 1"]);
}

pub(super) async fn a_value_that_was_given_is_not_lost() {
    let (begin, log) = (Event::new(), Log::new());
    let scope = CancelScope::new();
    let handle = scope.handle();
    let Ok(()) = safe_channel(
        async |values: Yielder<u32>| {
            begin.wait().await;
            // In one step: the value is there before the cancellation.
            join(values.send(0), async { handle.cancel() }).await;
            for value in 1.. {
                values.send(value).await;
            }
            Ok::<_, Infallible>(())
        },
        async |channel| {
            trio::nursery! { |n|
                n.start_soon(async {
                    let ended = scope.run(async {
                        receive_and_say(&channel, &log, "in time").await;
                        trio::checkpoint().await;
                        log.say("not reached");
                    });
                    assert_eq!(ended.await, None);
                });
                settle().await;
                begin.set();
            }
            // Given to a wait that is dropped: the next one has it.
            let mut given_up = Box::pin(channel.receive());
            assert!((&mut given_up).now_or_never().is_none());
            settle().await;
            assert_eq!(channel.statistics().tasks_waiting_receive, 0);
            drop(given_up);
            receive_and_say(&channel, &log, "next").await;
            receive_and_say(&channel, &log, "last").await;
            Ok(())
        },
    )
    .await;
    assert_eq!(log.lines(), ["in time got 0", "next got 1", "last got 2"]);
}

pub(super) async fn is_dropped_whole() {
    let log = Log::new();
    let whole = safe_channel(
        async |values: Yielder<u32>| {
            let _guard = log.guard("producer");
            loop {
                values.send(7).await;
            }
        },
        async |channel| {
            let _guard = log.guard("body");
            // A receive that loses while the producer is about to answer.
            let lost = matches!(select(pin!(channel.receive()), pin!(async {})).await, Either::Right(_));
            assert!(lost);
            for _ in 0..3 {
                let (one, other) = (pin!(channel.receive()), pin!(channel.receive()));
                assert_eq!(select(one, other).await.factor_first().0, Ok(7));
            }
            log.say("received");
            forever().await;
            Ok::<(), Infallible>(())
        },
    );
    let Either::Left(((), whole)) = select(pin!(trio::sleep(secs(1))), Box::pin(whole)).await else {
        panic!("it has no end")
    };
    assert_eq!(log.lines(), ["received"]);
    drop(whole);
    assert_eq!(log.sorted(), ["body dropped", "producer dropped"]);
}

pub(super) async fn the_receiver_tells() {
    let begin = Event::new();
    let Ok(()) = safe_channel(
        async |values| count(&begin, values).await,
        async |channel| {
            let waiting = || {
                let statistics = channel.statistics();
                assert_eq!((statistics.current_buffer_used, statistics.max_buffer_size), (0, 0));
                (statistics.tasks_waiting_receive, statistics.tasks_waiting_send)
            };
            assert_eq!(waiting(), (0, 0));
            trio::nursery! { |n|
                for before in 0..3 {
                    assert_eq!(waiting(), (before, 0));
                    n.start_soon(async { assert!(channel.receive().await.is_ok()) });
                    settle().await;
                }
                assert_eq!(waiting(), (3, 0));
                begin.set();
            }
            settle().await;
            assert_eq!(waiting(), (0, 0));
            assert_eq!(channel.statistics().open_receivers, 1);
            Ok(())
        },
    )
    .await;
}
