//! What a channel tells about itself.

use trio::open_memory_channel;

use crate::support::settle;

// trio: _tests/test_channel.py::test_statistics
#[trio::test(autojump, schedules = 200)]
async fn both_ends_tell_what_is_going_on() {
    let (sender, receiver) = open_memory_channel(2);
    let same = || {
        assert_eq!(sender.statistics(), receiver.statistics());
        sender.statistics()
    };
    let fresh = same();
    assert_eq!((fresh.current_buffer_used, fresh.peak_buffer_used, fresh.max_buffer_size), (0, 0, 2));
    assert_eq!((fresh.open_senders, fresh.open_receivers), (1, 1));
    assert_eq!((fresh.tasks_waiting_send, fresh.tasks_waiting_receive), (0, 0));

    sender.try_send(1).unwrap();
    assert_eq!((same().current_buffer_used, same().peak_buffer_used), (1, 1));
    sender.try_send(2).unwrap();
    assert_eq!((same().current_buffer_used, same().peak_buffer_used), (2, 2));
    receiver.try_receive().unwrap();
    assert_eq!((same().current_buffer_used, same().peak_buffer_used), (1, 2), "the peak stays");

    let (second, third) = (sender.clone(), receiver.clone());
    assert_eq!((same().open_senders, same().open_receivers), (2, 2));
    second.close();
    third.close();
    assert_eq!((same().open_senders, same().open_receivers), (1, 1));

    sender.try_send(3).unwrap();
    trio::nursery! { |n, scope|
        n.start_soon(async { sender.send(4).await.unwrap() });
        n.start_soon(async { sender.send(5).await.unwrap() });
        settle().await;
        assert_eq!(same().tasks_waiting_send, 2);
        scope.cancel();
    };
    assert_eq!(same().tasks_waiting_send, 0);

    assert_eq!(receiver.drain(), [2, 3]);
    trio::nursery! { |n, scope|
        n.start_soon(async { receiver.receive().await.unwrap(); });
        settle().await;
        assert_eq!(same().tasks_waiting_receive, 1);
        scope.cancel();
    };
    assert_eq!(same().tasks_waiting_receive, 0);
    // An end that is closed is gone; the other one still tells.
    drop(sender);
    assert_eq!((receiver.statistics().open_senders, receiver.statistics().open_receivers), (0, 1));
}

#[test]
fn the_ends_show_what_they_know() {
    let (sender, receiver) = open_memory_channel::<u32>(3);
    let text = format!("{sender:?}");
    assert!(text.starts_with("MemorySender(MemoryChannelStatistics {"), "{text}");
    assert!(text.contains("max_buffer_size: 3"), "{text}");
    assert!(format!("{receiver:?}").starts_with("MemoryReceiver("));
}
