//! Streams without a network.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use trio::testing::{
    AsyncHook, CloseHook, MemoryReceiveStream, MemorySendStream, assert_checkpoints, lockstep_stream_one_way_pair,
    memory_stream_one_way_pair, memory_stream_pair, memory_stream_pump,
};
use trio::{
    AsyncResource, BrokenResourceError, BusyResourceError, ClosedResourceError, HalfCloseableStream, ReceiveStream,
    SendStream,
};

use crate::support::{secs, settle};

fn is<E: std::error::Error + 'static>(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<E>())
}

#[track_caller]
fn assert_fails<E: std::error::Error + 'static>(result: io::Result<impl std::fmt::Debug>) {
    assert!(result.as_ref().is_err_and(is::<E>), "{result:?}");
}

async fn receive(stream: &MemoryReceiveStream, max: usize) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; max];
    let count = stream.receive_some(&mut buffer).await?;
    buffer.truncate(count);
    Ok(buffer)
}

// trio: _tests/test_testing.py::test_MemorySendStream
#[trio::test(schedules = 50)]
async fn what_is_sent_can_be_taken() {
    let stream = MemorySendStream::new();
    assert_checkpoints(stream.send_all(b"123")).await.unwrap();
    assert_eq!(stream.get_data_nowait(Some(1)).unwrap(), b"1");
    assert_eq!(stream.get_data_nowait(None).unwrap(), b"23");
    assert_checkpoints(stream.wait_send_all_might_not_block()).await.unwrap();
    assert_eq!(stream.get_data_nowait(None).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    assert_eq!(stream.get_data_nowait(Some(10)).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    stream.send_all(b"456").await.unwrap();
    assert_eq!(assert_checkpoints(stream.get_data(None)).await.unwrap(), b"456");

    let busy = Cell::new(0);
    let send = async || {
        if let Err(error) = stream.send_all(b"xxx").await {
            assert!(is::<BusyResourceError>(&error));
            busy.set(busy.get() + 1);
        }
    };
    trio::nursery! { |n|
        n.start_soon(send());
        n.start_soon(send());
    }
    assert_eq!(busy.get(), 1);

    assert_checkpoints(stream.clone().aclose()).await.unwrap();
    assert_eq!(stream.get_data(None).await.unwrap(), b"xxx");
    assert_eq!(stream.get_data(None).await.unwrap(), b"");
    assert_fails::<ClosedResourceError>(stream.send_all(b"---").await);
    assert_fails::<ClosedResourceError>(stream.wait_send_all_might_not_block().await);
}

/// A log that hooks can share.
#[derive(Clone, Default)]
struct Record(Rc<RefCell<Vec<&'static str>>>);

impl Record {
    fn say(&self, what: &'static str) {
        self.0.borrow_mut().push(what);
    }

    fn async_hook<S: 'static>(&self, what: &'static str) -> AsyncHook<S> {
        let record = self.clone();
        AsyncHook::new(move |_stream| {
            record.say(what);
            async { Ok(()) }
        })
    }

    fn close_hook<S: 'static>(&self) -> CloseHook<S> {
        let record = self.clone();
        CloseHook::new(move |_stream| record.say("close"))
    }
}

#[trio::test]
async fn the_hooks_of_a_sender_are_called_after_its_work() {
    let (stream, record) = (MemorySendStream::new(), Record::default());
    let log = record.clone();
    let took = AsyncHook::new(move |stream: MemorySendStream| {
        let log = log.clone();
        async move {
            assert_eq!(stream.get_data_nowait(None)?, b"abc");
            log.say("send_all");
            Ok(())
        }
    });
    assert!(stream.set_send_all_hook(Some(took)).is_none());
    assert!(stream.set_wait_send_all_might_not_block_hook(Some(record.async_hook("wait"))).is_none());
    assert!(stream.set_close_hook(Some(record.close_hook())).is_none());
    stream.send_all(b"abc").await.unwrap();
    stream.wait_send_all_might_not_block().await.unwrap();
    let closed = trio::cancel_scope! { |scope|
        scope.cancel();
        stream.clone().aclose().await
    };
    assert!(closed.is_none());
    stream.close();
    drop(stream);
    assert_eq!(record.0.take(), ["send_all", "wait", "close", "close"]);

    let stream = MemorySendStream::new();
    stream.set_close_hook(Some(record.close_hook()));
    drop(stream.clone());
    assert_eq!(record.0.take(), [""; 0], "there is another handle");
    drop(stream);
    assert_eq!(record.0.take(), ["close"]);
}

#[trio::test(autojump)]
async fn a_hook_can_stall_fail_and_be_cancelled() {
    let stream = MemorySendStream::new();
    stream.set_send_all_hook(Some(AsyncHook::new(async |_| {
        trio::sleep(secs(5)).await;
        Err(io::ErrorKind::TimedOut.into())
    })));
    let start = trio::current_time();
    assert_eq!(stream.send_all(b"x").await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    assert_eq!(trio::current_time() - start, secs(5));
    assert!(trio::move_on_after(secs(1), stream.send_all(b"y")).await.is_none());
    assert_eq!(stream.get_data_nowait(None).unwrap(), b"xy");
}

/// Trio's `test_MemoryReceiveStream`, which the table of its tests has under another name.
#[trio::test(schedules = 50)]
async fn what_is_put_is_received() {
    let stream = MemoryReceiveStream::new();
    stream.put_data(b"abc").unwrap();
    assert_eq!(assert_checkpoints(receive(&stream, 1)).await.unwrap(), b"a");
    assert_eq!(assert_checkpoints(receive(&stream, 10)).await.unwrap(), b"bc");

    let refused = trio::nursery! { |n, scope|
        let first = n.spawn(receive(&stream, 10));
        let second = n.spawn(receive(&stream, 10));
        settle().await;
        assert_ne!(first.is_finished(), second.is_finished());
        let refused = if first.is_finished() { first } else { second };
        assert_fails::<BusyResourceError>(refused.join().await.unwrap());
        scope.cancel();
    };
    assert!(refused.is_some());

    stream.put_data(b"def").unwrap();
    stream.put_eof();
    stream.put_eof();
    assert_eq!(receive(&stream, 10).await.unwrap(), b"def");
    for _ in 0..2 {
        assert_eq!(assert_checkpoints(receive(&stream, 10)).await.unwrap(), b"");
    }
    assert_fails::<ClosedResourceError>(stream.put_data(b"---"));
    assert_eq!(receive(&stream, 0).await.unwrap_err().kind(), io::ErrorKind::InvalidInput);
}

#[trio::test]
async fn the_hooks_of_a_receiver_are_called_before_its_work() {
    let (stream, record) = (MemoryReceiveStream::new(), Record::default());
    stream.set_receive_some_hook(Some(AsyncHook::new(async |stream: MemoryReceiveStream| stream.put_data(b"xxx"))));
    stream.set_close_hook(Some(record.close_hook()));
    stream.put_data(b"yyy").unwrap();
    assert_eq!(receive(&stream, 10).await.unwrap(), b"yyyxxx");
    assert_eq!(receive(&stream, 10).await.unwrap(), b"xxx");
    assert!(stream.set_receive_some_hook(None).is_some());
    stream.put_data(b"zzz").unwrap();
    assert_eq!(receive(&stream, 10).await.unwrap(), b"zzz");
    stream.put_data(b"lost on close").unwrap();
    assert_checkpoints(stream.clone().aclose()).await.unwrap();
    assert_eq!(record.0.take(), ["close"]);
    assert_fails::<ClosedResourceError>(receive(&stream, 10).await);
}

// trio: _tests/test_testing.py::test_MemoryRecvStream_closing
#[trio::test]
async fn a_closed_receiver_gives_nothing_and_takes_nothing() {
    let stream = MemoryReceiveStream::new();
    stream.close();
    assert_fails::<ClosedResourceError>(receive(&stream, 10).await);
    stream.close();
    assert_fails::<ClosedResourceError>(stream.put_data(b"123"));

    let stream = MemoryReceiveStream::new();
    stream.put_data(b"xyz").unwrap();
    stream.close();
    assert_fails::<ClosedResourceError>(receive(&stream, 10).await);
}

#[trio::test(schedules = 50)]
async fn a_cancelled_receive_has_taken_nothing() {
    let stream = MemoryReceiveStream::new();
    trio::nursery! { |n|
        let receiving = n.spawn(receive(&stream, 10));
        n.start_soon(async { stream.put_data(b"abc").unwrap() });
        trio::checkpoint().await;
        receiving.cancel();
        let got = receiving.join().await.map_or(Vec::new(), Result::unwrap);
        stream.put_data(b"def").unwrap();
        let rest = receive(&stream, 10).await.unwrap();
        assert_eq!([got, rest].concat(), b"abcdef");
    }
}

// trio: _tests/test_testing.py::test_memory_stream_pump
#[trio::test]
async fn a_pump_moves_data_and_the_end() {
    let (from, to) = (MemorySendStream::new(), MemoryReceiveStream::new());
    assert!(!memory_stream_pump(&from, &to, None).unwrap());
    from.send_all(b"123").await.unwrap();
    assert!(memory_stream_pump(&from, &to, None).unwrap());
    assert_eq!(receive(&to, 10).await.unwrap(), b"123");

    from.send_all(b"456").await.unwrap();
    assert!(memory_stream_pump(&from, &to, Some(1)).unwrap());
    assert_eq!(receive(&to, 10).await.unwrap(), b"4");
    assert!(memory_stream_pump(&from, &to, Some(1)).unwrap());
    assert!(memory_stream_pump(&from, &to, Some(1)).unwrap());
    assert!(!memory_stream_pump(&from, &to, Some(1)).unwrap());
    assert_eq!(receive(&to, 10).await.unwrap(), b"56");

    from.send_all(b"7").await.unwrap();
    from.close();
    assert!(memory_stream_pump(&from, &to, None).unwrap());
    assert!(memory_stream_pump(&from, &to, None).unwrap());
    assert_eq!(receive(&to, 10).await.unwrap(), b"7");
    assert_eq!(receive(&to, 10).await.unwrap(), b"");

    let (from, to) = (MemorySendStream::new(), MemoryReceiveStream::new());
    to.close();
    from.send_all(b"123").await.unwrap();
    assert_fails::<BrokenResourceError>(memory_stream_pump(&from, &to, None));
}

#[trio::test(schedules = 50)]
async fn a_one_way_pair_delivers_at_once() {
    let (sender, receiver) = memory_stream_one_way_pair();
    sender.send_all(b"123").await.unwrap();
    assert_eq!(receive(&receiver, 10).await.unwrap(), b"123");
    trio::nursery! { |n|
        n.start_soon(async { assert_eq!(receive(&receiver, 10).await.unwrap(), b"abc") });
        settle().await;
        sender.send_all(b"abc").await.unwrap();
    }

    // Without the hook, what is sent is not delivered; with it, all is.
    let hook = sender.set_send_all_hook(None);
    assert!(hook.is_some());
    sender.send_all(b"456").await.unwrap();
    let received = trio::cancel_scope! { |scope|
        trio::nursery! { |n|
            n.start_soon(async {
                settle().await;
                scope.cancel();
            });
            receive(&receiver, 10).await
        }
    };
    assert!(received.is_none());
    sender.set_send_all_hook(hook);
    sender.send_all(b"789").await.unwrap();
    assert_eq!(receive(&receiver, 10).await.unwrap(), b"456789");

    trio::nursery! { |n|
        n.start_soon(async { assert_eq!(receive(&receiver, 10).await.unwrap(), b"") });
        settle().await;
        drop(sender);
    }
}

#[trio::test]
async fn the_two_ends_of_a_pair_do_not_keep_each_other_open() {
    let (sender, receiver) = memory_stream_one_way_pair();
    drop(receiver);
    let error = sender.send_all(b"x").await.unwrap_err();
    assert!(is::<BrokenResourceError>(&error));
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);

    let (left, mut right) = memory_stream_pair();
    drop(left);
    assert_eq!(ReceiveStream::receive_some(&mut right, &mut [0; 1]).await.unwrap(), 0);
    assert_fails::<BrokenResourceError>(right.send_all(b"x").await);
}

#[trio::test(schedules = 50)]
async fn a_pair_talks_in_both_directions() {
    let (mut a, mut b) = memory_stream_pair();
    let mut buffer = [0; 10];
    a.send_all(b"123").await.unwrap();
    b.send_all(b"abc").await.unwrap();
    assert_eq!(b.receive_some(&mut buffer).await.unwrap(), 3);
    assert_eq!(a.receive_some(&mut buffer).await.unwrap(), 3);
    a.send_eof().await.unwrap();
    assert_eq!(b.receive_some(&mut buffer).await.unwrap(), 0);
    trio::nursery! { |n|
        n.start_soon(async {
            settle().await;
            b.send_all(b"xyz").await.unwrap();
        });
        assert_eq!(a.receive_some(&mut buffer).await.unwrap(), 3);
        assert_eq!(&buffer[..3], b"xyz");
    }
}

#[trio::test(schedules = 50)]
async fn what_a_cancelled_lockstep_sender_offered_is_withdrawn() {
    let (mut sender, mut receiver) = lockstep_stream_one_way_pair();
    trio::nursery! { |n|
        n.start_soon(async {
            let sent = trio::cancel_scope! { |scope|
                trio::nursery! { |n|
                    n.start_soon(async {
                        settle().await;
                        scope.cancel();
                    });
                    sender.send_all(b"abc").await
                }
            };
            assert!(sent.is_none());
            sender.send_all(b"def").await.unwrap();
        });
        let mut buffer = [0; 10];
        assert_eq!(receiver.receive_some(&mut buffer[..1]).await.unwrap(), 1);
        // The first ends together with the one above.
        settle().await;
        settle().await;
        assert_eq!(receiver.receive_some(&mut buffer[1..]).await.unwrap(), 3);
        assert_eq!(&buffer[..4], b"adef");
    }
}
