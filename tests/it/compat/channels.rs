//! Channels as sinks, listeners as streams.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use futures::{Sink, SinkExt, StreamExt, stream};
use trio::compat::incoming;
use trio::net::{TcpListener, TcpStream};
use trio::testing::net::Network;

use crate::support::settle;

#[trio::test(schedules = 50)]
async fn all_values_come_in_order_and_then_the_end() {
    for capacity in [0, 1, 3] {
        let (sender, receiver) = trio::open_memory_channel(capacity);
        trio::nursery! { |n|
            n.start_soon(async move {
                let mut sink = sender.into_sink();
                sink.send_all(&mut stream::iter((0..10).map(Ok))).await.unwrap();
                sink.close().await.unwrap();
                sink.close().await.unwrap();
                assert!(sink.send(1).await.is_err());
            });
            assert_eq!(receiver.collect::<Vec<_>>().await, (0..10).collect::<Vec<_>>());
        }
    }
}

#[trio::test(schedules = 50)]
async fn a_value_waits_in_the_sink_for_room_and_for_its_turn() {
    let (sender, receiver) = trio::open_memory_channel(1);
    let other = sender.clone();
    let mut sink = sender.into_sink();
    sink.feed(1).await.unwrap();
    sink.feed(2).await.unwrap();
    // The second has no room: a flush that is given up leaves it in the queue.
    let flushed = poll_fn(|context| Poll::Ready(Pin::new(&mut sink).poll_flush(context)));
    assert!(flushed.await.is_pending());
    trio::checkpoint().await;
    let flushed = poll_fn(|context| Poll::Ready(Pin::new(&mut sink).poll_flush(context)));
    assert!(flushed.await.is_pending());
    trio::nursery! { |n|
        n.start_soon(async move { other.send(3).await.unwrap() });
        settle().await;
        assert_eq!(receiver.receive().await, Ok(1));
        assert_eq!(receiver.receive().await, Ok(2));
        assert_eq!(receiver.receive().await, Ok(3));
    }
    sink.flush().await.unwrap();
}

#[trio::test(schedules = 50)]
async fn cancelled_it_sends_nothing_and_keeps_the_value() {
    let (sender, receiver) = trio::open_memory_channel(0);
    let mut sink = sender.into_sink();
    let sent = trio::cancel_scope! { |scope|
        trio::nursery! { |n|
            n.start_soon(async {
                settle().await;
                scope.cancel();
            });
            sink.send("value").await
        }
    };
    assert_eq!(sent, None);
    trio::nursery! { |n|
        n.start_soon(async { sink.flush().await.unwrap() });
        assert_eq!(receiver.receive().await, Ok("value"));
    }
    // Dropped, it is gone.
    let mut sink = Box::pin(sink);
    sink.feed("lost").await.unwrap();
    drop(sink);
    assert!(receiver.receive().await.is_err());
}

#[trio::test(schedules = 50)]
async fn without_receivers_a_sink_is_broken() {
    let (sender, receiver) = trio::open_memory_channel(0);
    let mut sink = sender.into_sink();
    trio::nursery! { |n|
        n.start_soon(async { assert!(sink.send(1).await.is_err()) });
        settle().await;
        drop(receiver);
    }
    assert!(sink.send(2).await.is_err());
}

#[trio::test]
async fn connections_come_as_a_stream() {
    let network = Network::new();
    for _ in [(), ()] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut connections = incoming(listener);
        // Given up, cancelled: nobody is lost.
        let next = poll_fn(|context| Poll::Ready(connections.poll_next_unpin(context)));
        assert!(next.await.is_pending());
        let _first = TcpStream::connect(address).await.unwrap();
        settle().await;
        let none = trio::cancel_scope! { |scope|
            scope.cancel();
            connections.next().await
        };
        assert!(none.is_none());
        let _second = TcpStream::connect(address).await.unwrap();
        let both: Vec<_> = (&mut connections).take(2).collect().await;
        assert!(both.iter().all(Result::is_ok));
    }
    let (server, client) = (network.host("server"), network.host("client"));
    let listener = server.run(TcpListener::bind("0.0.0.0:80")).await.unwrap();
    let mut connections = incoming(listener);
    trio::nursery! { |n|
        n.start_soon(async { assert!(connections.next().await.unwrap().is_ok()) });
        settle().await;
        let _client = client.run(TcpStream::connect("server:80")).await.unwrap();
    }
}
