//! Who is served first: values, senders and receivers each in the order in which they came.

use trio::open_memory_channel;

use crate::support::{Log, settle};

#[trio::test(autojump, schedules = 200)]
async fn senders_that_wait_are_served_in_the_order_in_which_they_came() {
    for capacity in [0, 1] {
        let (sender, receiver) = open_memory_channel(capacity);
        let log = Log::new();
        trio::nursery! { |n|
            for name in ["a", "b", "c"] {
                let (sender, log) = (sender.clone(), &log);
                n.start_soon(async move {
                    for turn in 0..3 {
                        sender.send(format!("{name}{turn}")).await.unwrap();
                        log.say(name);
                    }
                });
                settle().await;
            }
            drop(sender);
            let mut got = Vec::new();
            loop {
                settle().await;
                let Ok(value) = receiver.receive().await else { break };
                got.push(value);
            }
            // Whoever has been served and sends again queues up behind the others; with room for one, `a` was served
            // before the others came.
            let fair = ["a0", "b0", "c0", "a1", "b1", "c1", "a2", "b2", "c2"];
            let with_room = ["a0", "a1", "b0", "c0", "a2", "b1", "c1", "b2", "c2"];
            assert_eq!(got, if capacity == 0 { fair } else { with_room });
        }
        assert_eq!(log.lines().len(), 9);
    }
}

#[trio::test(autojump, schedules = 200)]
async fn receivers_that_wait_are_served_in_the_order_in_which_they_came() {
    let (sender, receiver) = open_memory_channel(0);
    let log = Log::new();
    trio::nursery! { |n|
        for name in ["a", "b", "c"] {
            let (receiver, log) = (receiver.clone(), &log);
            n.start_soon(async move {
                while let Ok(value) = receiver.receive().await {
                    log.say(format!("{name}{value}"));
                }
            });
            settle().await;
        }
        for value in 0..6 {
            sender.try_send(value).unwrap();
            settle().await;
        }
        drop(sender);
    }
    assert_eq!(log.lines(), ["a0", "b1", "c2", "a3", "b4", "c5"]);
}

/// Nobody who comes later gets in between a hand-over and the step of the task that it was for.
#[trio::test(schedules = 200)]
async fn nobody_overtakes_a_receiver_that_has_been_served() {
    let (sender, receiver) = open_memory_channel(1);
    trio::nursery! { |n|
        let first = n.spawn(receiver.receive());
        settle().await;
        sender.try_send(1).unwrap();
        assert!(receiver.try_receive().is_err(), "it is the first one's already");
        sender.try_send(2).unwrap();
        assert_eq!(receiver.try_receive(), Ok(2));
        assert_eq!(first.join().await.unwrap(), Ok(1));
    }
}
