//! Any stream in a `Polled`: what is given up, what is sent, what is closed.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use futures::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use trio::compat::Polled;
use trio::testing::{
    lockstep_stream_one_way_pair, lockstep_stream_pair, memory_stream_one_way_pair, memory_stream_pair,
};
use trio::{ClosedResourceError, ReceiveStream, SendStream};

use crate::support::settle;
use crate::tls::pki::{Tls12, Tls13, wide_pair};

async fn poll_write(stream: &mut Polled<'_>, data: &[u8]) -> Poll<std::io::Result<usize>> {
    poll_fn(|context| Poll::Ready(Pin::new(&mut *stream).poll_write(context, data))).await
}

async fn poll_read(stream: &mut Polled<'_>, buffer: &mut [u8]) -> Poll<std::io::Result<usize>> {
    poll_fn(|context| Poll::Ready(Pin::new(&mut *stream).poll_read(context, buffer))).await
}

#[trio::test(schedules = 50)]
async fn what_was_read_for_somebody_who_has_gone_is_the_next_ones() {
    let (here, mut there) = memory_stream_pair();
    let mut here = Polled::new(here);
    assert!(poll_read(&mut here, &mut [0; 16]).await.is_pending());
    there.send_all(b"message").await.unwrap();
    settle().await;
    let mut buffer = [0; 3];
    here.read_exact(&mut buffer).await.unwrap();
    assert_eq!(&buffer, b"mes");
    let mut rest = String::new();
    trio::AsyncResource::aclose(&mut there).await.unwrap();
    here.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "sage");
}

/// Nobody has to flush.
#[trio::test(schedules = 50)]
async fn a_write_is_ready_when_all_is_sent() {
    let (here, mut there) = lockstep_stream_pair();
    let mut here = Polled::new(here);
    trio::nursery! { |n|
        let written = n.spawn(async move {
            let count = here.write(b"data").await.unwrap();
            (here, count)
        });
        settle().await;
        assert!(!written.is_finished());
        assert_eq!(there.receive_some(&mut [0; 3]).await.unwrap(), 3);
        settle().await;
        assert!(!written.is_finished());
        assert_eq!(there.receive_some(&mut [0; 3]).await.unwrap(), 1);
        let (_here, count) = written.join().await.unwrap();
        assert_eq!(count, 4);
    }
}

#[trio::test(schedules = 50)]
async fn a_write_that_was_given_up_is_gone_on_with_or_comes_before_the_next() {
    let (here, mut there) = lockstep_stream_pair();
    let mut here = Polled::new(here);
    // The same again, in another cut.
    assert!(poll_write(&mut here, b"hello").await.is_pending());
    trio::nursery! { |n|
        n.start_soon(async {
            here.write_all(b"hel").await.unwrap();
            here.write_all(b"lo world").await.unwrap();
        });
        let mut all = Vec::new();
        while all.len() < 11 {
            let mut buffer = [0; 4];
            let count = there.receive_some(&mut buffer).await.unwrap();
            all.extend_from_slice(&buffer[..count]);
        }
        assert_eq!(all, b"hello world");
    }
    // Something else.
    assert!(poll_write(&mut here, b"old").await.is_pending());
    trio::nursery! { |n|
        n.start_soon(async {
            here.write_all(b"new").await.unwrap();
            here.close().await.unwrap();
        });
        let mut all = Vec::new();
        loop {
            let mut buffer = [0; 2];
            match there.receive_some(&mut buffer).await.unwrap() {
                0 => break,
                count => all.extend_from_slice(&buffer[..count]),
            }
        }
        assert_eq!(all, b"oldnew");
    }
}

#[trio::test(schedules = 50)]
async fn both_directions_wait_at_once_in_two_tasks() {
    let (here, mut there) = lockstep_stream_pair();
    let (mut from, mut to) = Polled::new(here).split();
    trio::nursery! { |n|
        n.start_soon(async move {
            let mut buffer = [0; 5];
            from.read_exact(&mut buffer).await.unwrap();
            assert_eq!(&buffer, b"hello");
        });
        n.start_soon(async move { to.write_all(b"world").await.unwrap() });
        settle().await;
        there.send_all(b"hello").await.unwrap();
        let mut count = 0;
        while count < 5 {
            count += there.receive_some(&mut [0; 8]).await.unwrap();
        }
    }
}

#[trio::test(schedules = 50)]
async fn cancelled_it_reads_nothing_and_holds_nothing() {
    let (here, mut there) = memory_stream_pair();
    let mut here = Polled::new(here);
    for _ in 0..5 {
        there.send_all(b"data").await.unwrap();
        // Given up after the first poll, when the operation may have data and still owe a yield; then the scope is cancelled.
        let over = trio::cancel_scope! { |scope|
            let _ = poll_read(&mut here, &mut [0; 0]).await;
            let got = poll_read(&mut here, &mut [0; 4]).await;
            scope.cancel();
            if got.is_ready() { 4 } else { trio::sleep_forever().await }
        };
        let mut count = over.unwrap_or(0);
        let entry = trio::cancel_scope! { |scope|
            scope.cancel();
            here.read(&mut [0; 4]).await.unwrap()
        };
        assert_eq!(entry, None);
        while count < 4 {
            count += here.read(&mut [0; 4]).await.unwrap();
        }
    }
}

#[trio::test(schedules = 50)]
async fn one_way_streams_say_what_they_can_not() {
    let (send, receive) = memory_stream_one_way_pair();
    let (mut send, mut receive) = (Polled::sending(send), Polled::receiving(receive));
    send.write_all(b"x").await.unwrap();
    assert_eq!(send.read(&mut [0; 8]).await.unwrap_err().kind(), std::io::ErrorKind::Unsupported);
    assert_eq!(receive.write(b"x").await.unwrap_err().kind(), std::io::ErrorKind::Unsupported);
    receive.close().await.unwrap();
    assert_eq!(receive.read(&mut [0; 8]).await.unwrap(), 1);
    send.close().await.unwrap();
    send.close().await.unwrap();
    assert_eq!(receive.read(&mut [0; 8]).await.unwrap(), 0);
    let (send, receive) = lockstep_stream_one_way_pair();
    drop(receive);
    let mut send = Polled::sending(send);
    send.write_all(b"x").await.unwrap_err();
    // What failed was not sent, and is not taken for sent.
    send.write_all(b"x").await.unwrap_err();
    send.flush().await.unwrap();
}

#[trio::test(schedules = 20)]
async fn tls_is_closed_with_a_word() {
    for version in [Tls12, Tls13] {
        let (client, server) = wide_pair(version);
        let (mut client, mut server) = (Polled::new(client), Polled::new(server));
        trio::nursery! { |n|
            n.start_soon(async {
                client.write_all(b"question").await.unwrap();
                client.close().await.unwrap();
                client.close().await.unwrap();
                assert!(client.write(b"x").await.unwrap_err().get_ref().unwrap().is::<ClosedResourceError>());
            });
            let mut all = String::new();
            // An end that was not said would be an error.
            server.read_to_string(&mut all).await.unwrap();
            assert_eq!(all, "question");
        }
    }
}

/// The whole stream is closed if a direction can't be alone: who reads must learn of it.
#[trio::test(schedules = 20)]
async fn a_reader_learns_that_the_whole_stream_was_closed() {
    let (client, server) = wide_pair(Tls12);
    let (client, mut server) = (Polled::new(client), Polled::new(server));
    let (mut from, mut to) = client.split();
    trio::nursery! { |n|
        n.start_soon(async move { assert_eq!(server.read_to_end(&mut Vec::new()).await.unwrap(), 1) });
        to.write_all(b"x").await.unwrap();
        let reader = n.spawn(async move {
            let error = from.read(&mut [0; 8]).await.unwrap_err();
            error.get_ref().unwrap().is::<ClosedResourceError>()
        });
        settle().await;
        to.close().await.unwrap();
        assert!(reader.join().await.unwrap());
    }
}
