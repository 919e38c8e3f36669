//! What polls a stream may do to it: poll both directions, go away in between, come back elsewhere, be cancelled.

use std::cell::Cell;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::pin::Pin;
use std::task::Poll;

use futures::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use futures::stream::{FuturesUnordered, StreamExt};
use trio::net::{TcpStream, UnixStream};
use trio::testing::net::Network;
use trio::{BusyResourceError, ClosedResourceError, FdStream, ReceiveStream};

use crate::support::{OnDrop, clog, secs, settle, tcp_pair};
use crate::testing::net::connections;

/// Polls once for something to read, and gives that up.
async fn poll_once(stream: &mut (impl AsyncRead + Unpin)) -> Poll<std::io::Result<usize>> {
    poll_fn(|context| Poll::Ready(Pin::new(&mut *stream).poll_read(context, &mut [0; 8]))).await
}

/// Polls until there would be nothing to do but to wait.
async fn poll_until_it_waits(stream: &mut (impl AsyncRead + Unpin)) {
    for _ in 0..3 {
        assert!(poll_once(stream).await.is_pending());
        trio::checkpoint().await;
    }
}

/// The same for streams of the system and of a virtual network.
async fn both_kinds(test: impl AsyncFn(TcpStream, TcpStream)) {
    let (a, b) = tcp_pair().await;
    test(a, b).await;
    let (a, b) = connections::pair(&Network::new()).await;
    test(a, b).await;
}

#[trio::test]
async fn both_directions_at_once() {
    both_kinds(async |a, mut b| {
        let much = vec![7; 3_000_000];
        let (mut from, mut to) = a.split();
        let echo = async {
            let (mut buffer, mut left) = (vec![0; 65536], 3_000_000);
            while left > 0 {
                let count = b.receive_some(&mut buffer).await.unwrap();
                b.send_all(&buffer[..count]).await.unwrap();
                left -= count;
            }
        };
        let mut back = vec![0; 3_000_000];
        let ask = async { futures::join!(to.write_all(&much), from.read_exact(&mut back)) };
        let (_, (sent, received)) = futures::join!(echo, ask);
        sent.unwrap();
        received.unwrap();
        assert_eq!(back, much);
    })
    .await;
}

#[trio::test]
async fn a_poll_that_was_given_up_takes_nothing_and_is_in_nobodys_way() {
    both_kinds(async |mut a, mut b| {
        poll_until_it_waits(&mut a).await;
        let mut buffer = [0; 8];
        // While nothing is there, and after it has come.
        trio::nursery! { |n|
            n.start_soon(async { assert_eq!(a.receive_some(&mut buffer).await.unwrap(), 3) });
            settle().await;
            b.send_all(b"one").await.unwrap();
        }
        poll_until_it_waits(&mut a).await;
        b.send_all(b"two").await.unwrap();
        settle().await;
        assert_eq!(a.receive_some(&mut buffer).await.unwrap(), 3);
        assert_eq!(&buffer[..3], b"two");
        poll_until_it_waits(&mut a).await;
        b.send_all(b"three").await.unwrap();
        assert_eq!(a.read(&mut buffer).await.unwrap(), 5);
    })
    .await;
}

#[trio::test]
async fn who_polled_last_is_woken() {
    both_kinds(async |mut a, mut b| {
        trio::nursery! { |n|
            let moved = n.spawn(async move {
                poll_until_it_waits(&mut a).await;
                a
            });
            let mut a = moved.join().await.unwrap();
            let reader = n.spawn(async move { a.read(&mut [0; 8]).await.unwrap() });
            settle().await;
            b.send_all(b"here").await.unwrap();
            assert_eq!(reader.join().await.unwrap(), 4);
        }
    })
    .await;
}

#[trio::test]
async fn what_polls_through_a_foreign_waker_is_woken() {
    both_kinds(async |a, mut b| {
        let mut reading: FuturesUnordered<_> = [a].into_iter().map(async |mut a| a.read(&mut [0; 8]).await).collect();
        trio::nursery! { |n|
            n.start_soon(async { assert_eq!(reading.next().await.unwrap().unwrap(), 4) });
            settle().await;
            b.send_all(b"here").await.unwrap();
        }
    })
    .await;
}

#[trio::test]
async fn cancelled_a_poll_takes_nothing() {
    both_kinds(async |mut a, mut b| {
        let mut buffer = [0; 8];
        // While it waits.
        let read = trio::cancel_scope! { |scope|
            trio::nursery! { |n|
                n.start_soon(async {
                    settle().await;
                    scope.cancel();
                });
                a.read(&mut buffer).await.unwrap()
            }
        };
        assert_eq!(read, None);
        b.send_all(b"data").await.unwrap();
        settle().await;
        // On entry, though there is something; writing too.
        let read = trio::cancel_scope! { |scope|
            scope.cancel();
            a.read(&mut buffer).await.unwrap()
        };
        assert_eq!(read, None);
        let written = trio::cancel_scope! { |scope|
            scope.cancel();
            a.write(b"x").await.unwrap()
        };
        assert_eq!(written, None);
        let closed = trio::cancel_scope! { |scope|
            scope.cancel();
            a.close().await.unwrap()
        };
        assert_eq!(closed, None);
        // It was cancelled when the data came.
        assert_eq!(a.read(&mut buffer).await.unwrap(), 4);
        a.write_all(b"end").await.unwrap();
        a.close().await.unwrap();
        assert_eq!(b.receive_some(&mut buffer).await.unwrap(), 3);
        assert_eq!(b.receive_some(&mut buffer).await.unwrap(), 0);
    })
    .await;
}

#[trio::test]
async fn a_cancellation_that_is_taken_back_loses_no_wake_up() {
    both_kinds(async |mut a, mut b| {
        let a = &mut a;
        let shielded = trio::CancelScope::new();
        let shield = shielded.handle();
        let outer = trio::CancelScope::new();
        let cancel = outer.handle();
        let read = Cell::new(None);
        trio::nursery! { |n|
            n.start_soon(async {
                // A hold keeps the code where it is from being dropped meanwhile.
                let waiting = async {
                    let reading = shielded.run(async { a.read(&mut [0; 8]).await.unwrap() });
                    let holding = trio::shield(async {
                        settle().await;
                        settle().await;
                    });
                    let (count, ()) = futures::join!(reading, holding);
                    read.set(count);
                };
                outer.run(waiting).await;
            });
            trio::checkpoint().await;
            shield.set_shield(true);
            cancel.cancel();
            b.send_all(b"data").await.unwrap();
        }
        assert_eq!(read.get(), Some(4));
    })
    .await;
}

#[trio::test(checkpoint_budget = 8)]
async fn polls_that_need_not_wait_let_the_others_have_their_turn() {
    both_kinds(async |mut a, mut b| {
        b.send_all(&[7; 1000]).await.unwrap();
        settle().await;
        let turns = Cell::new(0);
        let mut over = false;
        trio::nursery! { |n|
            let turns = &turns;
            n.start_daemon(async move {
                loop {
                    turns.set(turns.get() + 1);
                    trio::checkpoint().await;
                }
            });
            for _ in 0..1000 {
                a.read_exact(&mut [0]).await.unwrap();
            }
            over = true;
        }
        assert!(over);
        assert!(turns.get() >= 1000 / 9, "{}", turns.get());
    })
    .await;
}

#[trio::test]
async fn a_stream_that_was_dropped_has_left_nothing() {
    for _ in 0..100 {
        let (mut a, b) = tcp_pair().await;
        poll_until_it_waits(&mut a).await;
        drop(a);
        drop(b);
    }
    // Its number is given out again, and means another stream.
    let (mut a, mut b) = tcp_pair().await;
    trio::nursery! { |n|
        n.start_soon(async { assert_eq!(a.read(&mut [0; 8]).await.unwrap(), 1) });
        settle().await;
        b.send_all(b"x").await.unwrap();
    }
}

/// A poll that was given up is over when its stream is: the run knows that nothing can wake it any more.
#[trio::test]
#[should_panic(expected = "no task of this run can ever run again")]
async fn a_run_that_waits_for_nothing_knows_it_although_there_was_a_poll() {
    let (mut a, _b) = tcp_pair().await;
    poll_until_it_waits(&mut a).await;
    drop(a);
    trio::sleep_forever().await;
}

/// But while the stream is there, something can still come.
#[test]
fn a_poll_is_something_to_wait_for() {
    let got = trio::run(async {
        let (mut a, mut b) = UnixStream::pair().unwrap();
        let thread = std::thread::spawn(|| std::thread::sleep(std::time::Duration::from_millis(50)));
        trio::nursery! { |n|
            let reader = n.spawn(async move { a.read(&mut [0; 8]).await.unwrap() });
            settle().await;
            thread.join().unwrap();
            b.send_all(b"late").await.unwrap();
            reader.join().await.unwrap()
        }
    });
    assert_eq!(got, 4);
}

#[trio::test]
async fn a_forgotten_stream_disturbs_nobody() {
    let (mut a, mut b) = tcp_pair().await;
    poll_until_it_waits(&mut a).await;
    std::mem::forget(a);
    b.send_all(b"to nobody").await.unwrap();
    let (mut a, mut c) = tcp_pair().await;
    poll_until_it_waits(&mut a).await;
    c.send_all(b"x").await.unwrap();
    assert_eq!(a.read(&mut [0; 8]).await.unwrap(), 1);
}

#[trio::test]
async fn clones_of_a_descriptor_wait_one_at_a_time() {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let (mut a, mut b) = (FdStream::new(ours).unwrap(), FdStream::new(theirs).unwrap());
    let mut clone = a.try_clone().unwrap();
    poll_until_it_waits(&mut a).await;
    let is_busy = |error: std::io::Error| error.get_ref().unwrap().is::<BusyResourceError>();
    assert!(is_busy(clone.receive_some(&mut [0; 8]).await.unwrap_err()));
    assert!(is_busy(clone.read(&mut [0; 8]).await.unwrap_err()));
    assert!(is_busy(trio::lowlevel::wait_readable(&clone).await.unwrap_err()));
    // The other direction is another matter.
    clone.write_all(b"x").await.unwrap();
    assert_eq!(b.receive_some(&mut [0; 8]).await.unwrap(), 1);
    drop(a);
    poll_until_it_waits(&mut clone).await;
    b.send_all(b"y").await.unwrap();
    assert_eq!(clone.receive_some(&mut [0; 8]).await.unwrap(), 1);
    // And the other way round.
    let mut other = clone.try_clone().unwrap();
    trio::nursery! { |n|
        let other = &mut other;
        n.start_soon(async move { assert_eq!(other.receive_some(&mut [0; 8]).await.unwrap(), 1) });
        settle().await;
        assert!(is_busy(clone.read(&mut [0; 8]).await.unwrap_err()));
        b.send_all(b"z").await.unwrap();
    }
}

#[trio::test]
async fn notify_closing_ends_a_poll() {
    let (mut a, _b) = UnixStream::pair().unwrap();
    trio::nursery! { |n|
        let fd = std::os::fd::AsRawFd::as_raw_fd(&std::os::fd::AsFd::as_fd(&a));
        let reader = n.spawn(async move {
            let error = a.read(&mut [0; 8]).await.unwrap_err();
            error.get_ref().unwrap().is::<ClosedResourceError>()
        });
        settle().await;
        // SAFETY: the reader's stream has it open.
        let borrowed = unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) };
        trio::lowlevel::notify_closing(&borrowed);
        assert!(reader.join().await.unwrap());
    }
}

#[trio::test]
async fn the_end_comes_after_the_data_and_closed_streams_say_so() {
    both_kinds(async |mut a, mut b| {
        a.write_all(b"bye").await.unwrap();
        a.close().await.unwrap();
        a.close().await.unwrap();
        assert!(a.write(b"more").await.unwrap_err().get_ref().unwrap().is::<ClosedResourceError>());
        let mut all = Vec::new();
        b.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"bye");
        b.write_all(b"answer").await.unwrap();
        assert_eq!(a.read(&mut [0; 16]).await.unwrap(), 6);
        a.aclose().await.unwrap();
        assert!(a.read(&mut [0; 16]).await.unwrap_err().get_ref().unwrap().is::<ClosedResourceError>());
        a.close().await.unwrap();
    })
    .await;
}

#[trio::test]
async fn a_write_waits_for_room() {
    both_kinds(async |mut a, mut b| {
        clog(&mut a).await;
        let dropped = Cell::new(false);
        let on_drop = OnDrop(|| dropped.set(true));
        trio::nursery! { |n|
            let writing = async move {
                a.write_all(b"the last").await.unwrap();
                a.close().await.unwrap();
                drop(a);
                drop(on_drop);
            };
            n.start_soon(writing);
            settle().await;
            assert!(!dropped.get());
            let mut all = Vec::new();
            b.read_to_end(&mut all).await.unwrap();
            assert!(all.ends_with(b"the last"));
        }
        assert!(dropped.get());
    })
    .await;
}

#[trio::test]
async fn closing_the_writing_end_of_a_pipe_is_its_end() {
    let (reader, writer) = std::io::pipe().unwrap();
    let (mut reader, mut writer) = (FdStream::new(reader).unwrap(), FdStream::new(writer).unwrap());
    writer.write_all(b"all").await.unwrap();
    writer.close().await.unwrap();
    let mut all = String::new();
    reader.read_to_string(&mut all).await.unwrap();
    assert_eq!(all, "all");
    assert_eq!(reader.write(b"x").await.unwrap_err().raw_os_error(), Some(libc::EBADF));
}

#[trio::test]
async fn halves_can_be_polled() {
    let (mut a, mut b) = tcp_pair().await;
    {
        let (mut from, mut to) = trio::SplitStream::split(&mut a);
        to.write_all(b"question").await.unwrap();
        to.close().await.unwrap();
        let mut all = Vec::new();
        b.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"question");
        b.write_all(b"answer").await.unwrap();
        assert_eq!(from.read(&mut [0; 16]).await.unwrap(), 6);
        ReceiveStream::receive_some(&mut b, &mut []).await.unwrap_err();
    }
    assert!(a.write(b"x").await.unwrap_err().get_ref().unwrap().is::<ClosedResourceError>());
}

#[trio::test]
async fn a_connection_that_was_reset_is_an_error_for_who_polls() {
    let (mut a, b) = tcp_pair().await;
    a.write_all(b"unread").await.unwrap();
    settle().await;
    drop(b);
    let result = trio::fail_after(secs(60), a.read(&mut [0; 8])).await.unwrap();
    assert_eq!(result.unwrap_err().kind(), ErrorKind::ConnectionReset);
    // That there is nobody to tell is no failure to end.
    a.close().await.unwrap();
}
