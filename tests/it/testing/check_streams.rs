//! The checks of streams: what is right passes, and what is wrong is found.

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use trio::net::TcpStream;
use trio::testing::{
    LockstepReceiveStream, LockstepSendStream, LockstepStream, MockClock, NeverClogged, check_half_closeable_stream,
    check_one_way_stream, check_shared_half_closeable_stream, check_shared_one_way_stream, check_two_way_stream,
    lockstep_stream_one_way_pair, lockstep_stream_pair, memory_stream_one_way_pair, memory_stream_pair,
};
use trio::{AsyncResource, BusyResourceError, ByteStream, HalfCloseableStream, ReceiveStream, SendStream};

use crate::support::{clog_tcp, panic_text, secs, tcp_pair};

// ---------------------------------------------------------------------- what is right

// trio: _tests/test_testing.py::test_memory_streams_with_generic_tests
#[trio::test(schedules = 50)]
async fn memory_streams_pass_in_one_direction() {
    check_one_way_stream(async || memory_stream_one_way_pair(), NeverClogged).await;
    check_shared_one_way_stream(async || memory_stream_one_way_pair(), NeverClogged).await;
}

#[trio::test(schedules = 50)]
async fn memory_streams_pass_in_both_directions() {
    check_half_closeable_stream(async || memory_stream_pair(), NeverClogged).await;
}

// trio: _tests/test_testing.py::test_lockstep_streams_with_generic_tests
#[trio::test(schedules = 50)]
async fn lockstep_streams_pass_in_one_direction() {
    let maker = async || lockstep_stream_one_way_pair();
    check_one_way_stream(maker, maker).await;
    check_shared_one_way_stream(maker, maker).await;
}

#[trio::test(schedules = 50)]
async fn lockstep_streams_pass_in_both_directions() {
    let maker = async || lockstep_stream_pair();
    check_two_way_stream(maker, maker).await;
    // Closing the sending half is their `send_eof`.
    check_half_closeable_stream(maker, maker).await;
}

/// A connection on which both sides have sent as much as the system takes.
async fn clogged_tcp_pair() -> (TcpStream, TcpStream) {
    let (mut client, mut server) = tcp_pair().await;
    clog_tcp(&mut client, |stream| stream).await;
    clog_tcp(&mut server, |stream| stream).await;
    (client, server)
}

// trio: _tests/test_highlevel_socket.py::test_SocketStream_generic
#[trio::test]
async fn tcp_streams_pass() {
    let check = check_half_closeable_stream(tcp_pair, clogged_tcp_pair);
    trio::fail_after(secs(300), check).await.expect("this hangs");
}

// ---------------------------------------------------------------------- what is wrong

/// What is wrong with a stream.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Wrong {
    /// Sending nothing completes without a checkpoint.
    NoCheckpoint,
    /// Closing is no checkpoint.
    NoCheckpointInClose,
    /// Half of the data is sent.
    LosesData,
    /// Sending nothing sends the end.
    EmptyIsTheEnd,
    /// A cancelled close does nothing.
    ClosesLate,
    /// Sending goes on after the close.
    IgnoresClose,
    /// Says at once that it can send.
    NeverWaits,
    /// A buffer without room receives nothing.
    NoRoomIsTheEnd,
    /// There is data instead of the end.
    NoEnd,
}

/// A lockstep stream that may have something wrong with it.
struct Sender(LockstepSendStream, Wrong);

struct Receiver(LockstepReceiveStream, Wrong);

impl AsyncResource for Sender {
    async fn aclose(&mut self) -> io::Result<()> {
        match self.1 {
            Wrong::ClosesLate => {
                trio::checkpoint().await;
                self.0.aclose().await
            }
            Wrong::NoCheckpointInClose => {
                let (replacement, _) = lockstep_stream_one_way_pair();
                drop(std::mem::replace(&mut self.0, replacement));
                Ok(())
            }
            Wrong::IgnoresClose => {
                trio::checkpoint().await;
                Ok(())
            }
            _ => self.0.aclose().await,
        }
    }
}

impl SendStream for Sender {
    async fn send_all(&mut self, data: &[u8]) -> io::Result<()> {
        match self.1 {
            Wrong::NoCheckpoint if data.is_empty() => Ok(()),
            Wrong::EmptyIsTheEnd if data.is_empty() => self.0.aclose().await,
            Wrong::LosesData if data == b"z" => {
                trio::checkpoint().await;
                self.0.send_all(b"Z").await
            }
            _ => self.0.send_all(data).await,
        }
    }

    async fn wait_send_all_might_not_block(&mut self) -> io::Result<()> {
        if self.1 == Wrong::NeverWaits {
            // Sending nothing never waits, and looks whether the stream is open.
            return self.0.send_all(b"").await;
        }
        self.0.wait_send_all_might_not_block().await
    }
}

impl AsyncResource for Receiver {
    async fn aclose(&mut self) -> io::Result<()> {
        self.0.aclose().await
    }
}

impl ReceiveStream for Receiver {
    async fn receive_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() && self.1 == Wrong::NoRoomIsTheEnd {
            trio::checkpoint().await;
            return Ok(0);
        }
        let count = self.0.receive_some(buffer).await?;
        if count == 0 && self.1 == Wrong::NoEnd {
            buffer[0] = b'?';
            return Ok(1);
        }
        Ok(count)
    }
}

fn complaint(wrong: Wrong) -> String {
    let maker = async move || {
        let (sender, receiver) = lockstep_stream_one_way_pair();
        (Sender(sender, wrong), Receiver(receiver, wrong))
    };
    // What makes a check hang would hang this test: virtual time, so that it ends at once.
    let check = trio::fail_after(secs(60), check_one_way_stream(maker, maker));
    let hangs = async { check.await.expect("the check hangs") };
    panic_text(|| trio::Builder::new().clock(MockClock::new().autojump()).run(hangs))
}

#[test]
fn what_is_wrong_with_a_stream_is_found() {
    let cases = [
        (Wrong::NoCheckpoint, "send_all must be a checkpoint"),
        (Wrong::NoCheckpointInClose, "aclose must be a checkpoint"),
        (Wrong::LosesData, "gave the wrong data"),
        (Wrong::EmptyIsTheEnd, "gave the wrong data"),
        (Wrong::ClosesLate, "the check hangs"),
        (Wrong::IgnoresClose, "must fail with ClosedResourceError"),
        (Wrong::NeverWaits, "must wait until something is received"),
        (Wrong::NoRoomIsTheEnd, "must fail with InvalidInput"),
        (Wrong::NoEnd, "gave the wrong data"),
    ];
    for (wrong, expected) in cases {
        let text = complaint(wrong);
        assert!(text.contains(expected), "{wrong:?}: {text}");
    }
}

/// A lockstep stream with several handles, whose `send_eof` is refused while another task sends, or is not.
#[derive(Clone)]
struct Shared {
    stream: LockstepStream,
    sends: Rc<Cell<bool>>,
    refuses: bool,
}

impl AsyncResource for Shared {
    async fn aclose(&mut self) -> io::Result<()> {
        self.stream.aclose().await
    }
}

impl SendStream for Shared {
    async fn send_all(&mut self, data: &[u8]) -> io::Result<()> {
        self.sends.set(true);
        self.stream.send_all(data).await
    }

    async fn wait_send_all_might_not_block(&mut self) -> io::Result<()> {
        self.sends.set(true);
        self.stream.wait_send_all_might_not_block().await
    }
}

impl ReceiveStream for Shared {
    async fn receive_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.receive_some(buffer).await
    }
}

impl ByteStream for Shared {}

impl HalfCloseableStream for Shared {
    async fn send_eof(&mut self) -> io::Result<()> {
        if self.refuses && self.sends.get() {
            return Err(io::Error::other(BusyResourceError));
        }
        self.stream.send_eof().await
    }
}

#[test]
fn a_send_eof_amid_a_send_must_be_refused() {
    let maker = |refuses| {
        async move || {
            let (stream, other) = lockstep_stream_pair();
            (Shared { stream, sends: Rc::default(), refuses }, other)
        }
    };
    trio::run(check_shared_half_closeable_stream(maker(true)));
    let text = panic_text(|| trio::run(check_shared_half_closeable_stream(maker(false))));
    assert!(text.contains("send_all and send_eof at once must be a BusyResourceError"), "{text}");
}

#[test]
fn two_tasks_in_one_stream_must_be_refused() {
    /// Lets as many tasks receive as like to.
    #[derive(Clone)]
    struct Lax(trio::MemoryReceiver<u8>);
    impl AsyncResource for Lax {
        async fn aclose(&mut self) -> io::Result<()> {
            trio::checkpoint().await;
            Ok(())
        }
    }
    impl ReceiveStream for Lax {
        async fn receive_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            buffer[0] = self.0.receive().await.map_err(io::Error::other)?;
            Ok(1)
        }
    }
    let text = panic_text(|| {
        trio::run(async {
            let (sender, receiver) = trio::open_memory_channel(8);
            for _ in 0..8 {
                sender.send(0).await.unwrap();
            }
            let maker = async || (lockstep_stream_one_way_pair().0, Lax(receiver.clone()));
            check_shared_one_way_stream(maker, NeverClogged).await;
        });
    });
    assert!(text.contains("receive_some twice at once must be a BusyResourceError"), "{text}");
}
