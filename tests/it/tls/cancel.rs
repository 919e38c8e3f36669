//! Operations that are given up, at each of their awaits: the stream goes on as if nothing had happened.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use trio::tls::{TlsError, TlsStream};
use trio::{
    AsyncResource, BrokenResourceError, ByteStream, ClosedResourceError, ReceiveStream, SendProgress, SendStream,
    SplitStream,
};

use super::line::{Line, Uncounted, narrow, wide};
use super::pki::{
    NAME, Tls13, VERSIONS, Version, assert_fails, both, client_config, narrow_pair, over, receive_exactly,
    server_config, shake, wide_pair,
};
use crate::support::secs;

/// Polls a future so many times, each time that it is woken, then drops it.
async fn poll_times<F: Future>(times: usize, future: F) -> Option<F::Output> {
    let mut future = Box::pin(future);
    let mut polls = 0;
    poll_fn(|context| {
        polls += 1;
        match future.as_mut().poll(context) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending if polls >= times => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// How often an operation is given up before it may take its time: who gives up too early, always, never gets anything
/// done.
const PATIENCE: usize = 40;

/// The number of polls that the attempt is given.
fn times(attempt: usize, times: usize) -> usize {
    if attempt < PATIENCE { times } else { usize::MAX }
}

/// Does the handshake in pieces.
async fn shake_in_pieces<T: ByteStream>(stream: &mut TlsStream<T>, polls: usize) {
    for attempt in 0.. {
        if let Some(result) = poll_times(times(attempt, polls), stream.do_handshake()).await {
            return result.unwrap();
        }
        trio::checkpoint().await;
    }
}

/// Sends all of the data in calls that are given up, and what they leave behind.
async fn send_in_pieces<T: ByteStream>(stream: &mut TlsStream<T>, data: &[u8], polls: usize) {
    let mut progress = SendProgress::new();
    for attempt in 0.. {
        let rest = &data[progress.sent()..];
        if let Some(result) = poll_times(times(attempt, polls), stream.send_counted(rest, &mut progress)).await {
            result.unwrap();
            assert_eq!(progress.sent(), data.len());
            return;
        }
        assert!(progress.is_known());
        trio::checkpoint().await;
    }
}

async fn receive_in_pieces<T: ByteStream>(stream: &mut TlsStream<T>, count: usize, polls: usize) -> Vec<u8> {
    let (mut data, mut buffer, mut given_up) = (Vec::new(), vec![0; 1000], 0);
    while data.len() < count {
        let room = buffer.len().min(count - data.len());
        match poll_times(times(given_up, polls), stream.receive_some(&mut buffer[..room])).await {
            Some(result) => {
                let more = result.unwrap();
                assert_ne!(more, 0);
                data.extend_from_slice(&buffer[..more]);
                given_up = 0;
            }
            None => {
                given_up += 1;
                trio::checkpoint().await;
            }
        }
    }
    data
}

fn data(count: usize) -> Vec<u8> {
    (0..count).map(|number| (number * 31 % 251) as u8).collect()
}

async fn everything_in_pieces<T: ByteStream>((mut client, mut server): (TlsStream<T>, TlsStream<T>), polls: usize) {
    both(shake_in_pieces(&mut client, polls), shake_in_pieces(&mut server, polls)).await;
    let (question, answer) = (data(40_000), data(30_000));
    let ask = async {
        send_in_pieces(&mut client, &question, polls).await;
        assert!(receive_in_pieces(&mut client, answer.len(), polls).await == answer);
    };
    let give = async {
        assert!(receive_in_pieces(&mut server, question.len(), polls).await == question);
        send_in_pieces(&mut server, &answer, polls).await;
    };
    both(ask, give).await;
    let receive = async move {
        assert_eq!(server.receive_some(&mut [0; 8]).await.unwrap(), 0);
        // And is gone, so that nobody waits for it to receive the end of what TLS may run over.
    };
    let (closed, ()) = both(client.aclose(), receive).await;
    closed.unwrap();
}

#[trio::test(autojump, schedules = 5)]
async fn whatever_is_given_up_can_be_gone_on_with() {
    for version in VERSIONS {
        for polls in 1..=12 {
            everything_in_pieces(narrow_pair(version), polls).await;
            everything_in_pieces(wide_pair(version), polls).await;
        }
    }
}

#[trio::test(autojump, schedules = 3)]
async fn what_is_given_up_over_tls_over_tls_can_be_gone_on_with() {
    for polls in 1..=20 {
        let inner = shake(narrow_pair(Tls13)).await;
        everything_in_pieces(over(inner, Tls13), polls).await;
        everything_in_pieces(over(wide_pair(Tls13), Tls13), polls).await;
    }
}

/// As above, but the two directions are used by two tasks.
#[trio::test(autojump, schedules = 5)]
async fn what_a_half_gives_up_does_not_disturb_the_other() {
    let data = data(50_000);
    for polls in 1..=10 {
        let (mut client, mut server) = narrow_pair(Tls13);
        let (mut from, mut to) = client.split();
        let send = async {
            let mut progress = SendProgress::new();
            for attempt in 0.. {
                let rest = &data[progress.sent()..];
                if let Some(result) = poll_times(times(attempt, polls), to.send_counted(rest, &mut progress)).await {
                    return result.unwrap();
                }
                trio::checkpoint().await;
            }
        };
        let receive = async {
            let (mut received, mut buffer, mut given_up) = (Vec::new(), vec![0; 3000], 0);
            while received.len() < data.len() {
                match poll_times(times(given_up, polls), from.receive_some(&mut buffer)).await {
                    Some(count) => received.extend_from_slice(&buffer[..count.unwrap()]),
                    None => given_up += 1,
                }
                trio::checkpoint().await;
            }
            assert!(received == data);
        };
        let echo = async {
            let (mut from, mut to) = SplitStream::split(&mut server);
            let received = receive_exactly(&mut from, data.len()).await.unwrap();
            to.send_all(&received).await.unwrap();
        };
        both(both(send, receive), echo).await;
    }
}

/// One operation of the client, given up after so many polls.
async fn give_up(version: Version, polls: usize, what: &str) -> bool {
    let (client, mut server) = shake(narrow_pair(version)).await;
    let given_up = async move {
        let mut client = client;
        match what {
            "close" => {
                let closed = poll_times(polls, client.aclose()).await;
                // It is closed, in any case.
                assert_fails::<ClosedResourceError>(client.send_all(b"x").await);
                assert_fails::<ClosedResourceError>(SendStream::send_all(client.transport_mut(), b"x").await);
                closed.is_some()
            }
            _ => poll_times(polls, client.unwrap()).await.is_some(),
        }
    };
    let receive = async {
        // All that can be seen of it: the end that was said, or one that was not.
        match server.receive_some(&mut [0; 8]).await {
            Ok(count) => assert_eq!(count, 0),
            Err(error) => assert_eq!(TlsError::of(&error), Some(&TlsError::Truncated)),
        }
        let _ = server.aclose().await;
    };
    both(given_up, receive).await.0
}

#[trio::test(autojump, schedules = 10)]
async fn an_end_that_is_given_up_is_one_all_the_same() {
    for version in VERSIONS {
        for what in ["close", "unwrap"] {
            for polls in 1.. {
                if give_up(version, polls, what).await {
                    break;
                }
                assert!(polls < 30, "{what} does not end");
            }
        }
    }
}

#[trio::test(autojump)]
async fn send_all_of_nothing_sends_what_was_left() {
    for version in VERSIONS {
        let (mut client, mut server) = shake(narrow_pair(version)).await;
        let mut progress = SendProgress::new();
        let (given_up, _) = both(
            trio::move_on_after(secs(1), client.send_counted(b"hello there", &mut progress)),
            // Takes some of the record, and leaves the rest.
            poll_times(2, ReceiveStream::receive_some(server.transport_mut(), &mut [0; 1])),
        )
        .await;
        assert!(given_up.is_none());
        assert_eq!(progress.sent(), 11);
        // The first byte is lost, by our own doing; what comes is the rest of that very record.
        let mut buffer = [0; 100];
        let (sent, received) =
            both(client.send_all(b""), ReceiveStream::receive_some(server.transport_mut(), &mut buffer)).await;
        sent.unwrap();
        let count = received.unwrap();
        assert_eq!(buffer[..2], [3, 3], "what follows a record's first byte");
        assert_eq!(usize::from(buffer[3]), count - 4);
    }
}

#[trio::test(autojump)]
async fn a_transport_that_can_not_count_is_not_trusted_after_a_cancellation() {
    let pair = |(here, there): (Line, Line)| {
        let client = TlsStream::client(Uncounted(here), Arc::new(client_config(Tls13)), NAME).unwrap();
        (client, TlsStream::server(Uncounted(there), server_config()).unwrap())
    };
    let (mut client, mut server) = shake(pair(narrow())).await;
    let sent = trio::move_on_after(secs(1), client.send_all(b"hello")).await;
    assert!(sent.is_none());
    assert_fails::<BrokenResourceError>(client.send_all(b"hello").await);
    // The other direction is as good as ever.
    let (sent, received) = both(server.send_all(b"hi"), receive_exactly(&mut client, 2)).await;
    sent.unwrap();
    assert_eq!(received.unwrap(), b"hi");
    client.aclose().await.unwrap();
    let error = server.receive_some(&mut [0; 8]).await.unwrap_err();
    assert_eq!(TlsError::of(&error), Some(&TlsError::Truncated));

    // While nothing is cancelled, all is well.
    let (mut client, mut server) = shake(pair(wide())).await;
    client.send_all(b"hello").await.unwrap();
    let received = trio::move_on_after(secs(1), client.receive_some(&mut [0; 8])).await;
    assert!(received.is_none());
    client.send_all(b" there").await.unwrap();
    assert_eq!(receive_exactly(&mut server, 11).await.unwrap(), b"hello there");
}

#[trio::test(autojump)]
async fn a_forgotten_operation_breaks_the_sending_and_no_more() {
    let (mut client, mut server) = shake(narrow_pair(Tls13)).await;
    {
        let mut sending = Box::pin(client.send_all(b"hello"));
        poll_fn(|context| {
            assert!(sending.as_mut().poll(context).is_pending());
            Poll::Ready(())
        })
        .await;
        std::mem::forget(sending);
    }
    assert_fails::<BrokenResourceError>(client.send_all(b"x").await);
    // A lockstep stream whose sender was forgotten still offers the data; the other direction works.
    let (sent, received) = both(server.send_all(b"hi"), receive_exactly(&mut client, 2)).await;
    sent.unwrap();
    assert_eq!(received.unwrap(), b"hi");
}

/// A transport that does not mind if somebody forgets that it is being received from.
struct Lax {
    incoming: Rc<RefCell<VecDeque<u8>>>,
    outgoing: Rc<RefCell<VecDeque<u8>>>,
}

impl AsyncResource for Lax {
    async fn aclose(&mut self) -> std::io::Result<()> {
        trio::checkpoint().await;
        Ok(())
    }
}

impl SendStream for Lax {
    async fn send_all(&mut self, data: &[u8]) -> std::io::Result<()> {
        trio::checkpoint().await;
        self.outgoing.borrow_mut().extend(data);
        Ok(())
    }

    async fn wait_send_all_might_not_block(&mut self) -> std::io::Result<()> {
        trio::checkpoint().await;
        Ok(())
    }
}

impl ReceiveStream for Lax {
    async fn receive_some(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.incoming.borrow().is_empty() {
            trio::checkpoint().await;
        }
        std::io::Read::read(&mut *self.incoming.borrow_mut(), buffer)
    }
}

impl ByteStream for Lax {}

#[trio::test(autojump)]
async fn a_forgotten_receive_loses_nothing() {
    let (to_server, to_client) = (Rc::default(), Rc::default());
    let client = Lax { incoming: Rc::clone(&to_client), outgoing: Rc::clone(&to_server) };
    let server = Lax { incoming: Rc::clone(&to_server), outgoing: to_client };
    let (mut client, mut server) = shake(over((client, server), Tls13)).await;
    // The beginning of a record's header comes alone.
    client.send_all(b"hello").await.unwrap();
    let rest = to_server.borrow_mut().split_off(3);
    {
        let mut receiving = Box::pin(server.receive_some(Box::leak(Box::new([0; 8]))));
        for _ in 0..10 {
            let is_pending = poll_fn(|context| Poll::Ready(receiving.as_mut().poll(context).is_pending()));
            assert!(is_pending.await);
            trio::checkpoint().await;
        }
        std::mem::forget(receiving);
    }
    to_server.borrow_mut().extend(rest);
    assert_eq!(receive_exactly(&mut server, 5).await.unwrap(), b"hello");
}

#[trio::test(autojump, schedules = 20)]
async fn cancelled_calls_do_not_pile_up() {
    let (mut client, mut server) = shake(narrow_pair(Tls13)).await;
    let mut accepted = 0;
    for _ in 0..200 {
        let mut progress = SendProgress::new();
        let sending = client.send_counted(&[b'x'; 10_000], &mut progress);
        assert!(trio::move_on_after(std::time::Duration::from_millis(1), sending).await.is_none());
        accepted += progress.sent();
    }
    assert!(accepted < 200_000, "{accepted} bytes wait to be sent");
    let (sent, received) = both(client.send_all(b""), receive_exactly(&mut server, accepted)).await;
    sent.unwrap();
    assert!(received.unwrap().iter().all(|&byte| byte == b'x'));
}

#[trio::test(autojump)]
async fn a_cancelled_scope_wins_on_entry() {
    let (mut client, mut server) = shake(wide_pair(Tls13)).await;
    let scope = trio::CancelScope::new();
    scope.handle().cancel();
    let mut progress = SendProgress::new();
    assert!(scope.run(client.send_counted(b"never", &mut progress)).await.is_none());
    assert_eq!(progress.sent(), 0);
    server.send_all(b"hello").await.unwrap();
    assert_eq!(client.receive_some(&mut [0; 1]).await.unwrap(), 1);
    // The rest has been decrypted already.
    let scope = trio::CancelScope::new();
    scope.handle().cancel();
    assert!(scope.run(client.receive_some(&mut [0; 8])).await.is_none());
    assert_eq!(receive_exactly(&mut client, 4).await.unwrap(), b"ello");
}

/// A transport that is counted as long as it is there.
struct Counted(Line, #[expect(dead_code, reason = "it is there to be counted")] Rc<()>);

impl AsyncResource for Counted {
    async fn aclose(&mut self) -> std::io::Result<()> {
        self.0.aclose().await
    }
}

impl SendStream for Counted {
    async fn send_all(&mut self, data: &[u8]) -> std::io::Result<()> {
        self.0.send_all(data).await
    }

    async fn wait_send_all_might_not_block(&mut self) -> std::io::Result<()> {
        self.0.wait_send_all_might_not_block().await
    }
}

impl ReceiveStream for Counted {
    async fn receive_some(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.receive_some(buffer).await
    }
}

impl ByteStream for Counted {}

#[trio::test(autojump)]
async fn whatever_is_cancelled_leaves_nothing() {
    let of_run = || {
        let statistics = trio::lowlevel::current_statistics();
        (statistics.tasks_living, statistics.nodes, statistics.timers, statistics.io_registrations)
    };
    let (before, count) = (of_run(), Rc::new(()));
    for steps in 0..60 {
        let pair = narrow();
        let transports = (Counted(pair.0, Rc::clone(&count)), Counted(pair.1, Rc::clone(&count)));
        let (mut client, mut server) = over(transports, Tls13);
        trio::cancel_scope! { |scope|
            trio::nursery! { |n|
                n.start_soon(async move {
                    let _ = client.send_all(&[1; 20_000]).await;
                    let _ = client.unwrap().await;
                });
                n.start_soon(async move {
                    while server.receive_some(&mut [0; 3000]).await.is_ok_and(|count| count > 0) {}
                    let _ = server.aclose().await;
                });
                for _ in 0..steps {
                    trio::checkpoint().await;
                }
                scope.cancel();
            }
        };
        assert_eq!(Rc::strong_count(&count), 1, "after {steps} steps");
    }
    assert_eq!(before, of_run());
}

/// A record that nobody has made.
const NOISE: [u8; 45] = {
    let mut noise = [7; 45];
    (noise[0], noise[1], noise[2], noise[3], noise[4]) = (23, 3, 3, 0, 40);
    noise
};

#[track_caller]
fn assert_is_of_tls(result: std::io::Result<impl std::fmt::Debug>) {
    let error = result.unwrap_err();
    assert!(matches!(TlsError::of(&error), Some(TlsError::Rustls(_))), "{error:?}");
}

#[trio::test(autojump)]
async fn an_error_does_not_wait_for_who_does_not_want_to_hear_of_it() {
    let in_time = secs(10);
    for version in VERSIONS {
        // Nobody takes the alert.
        let (mut client, mut server) = shake(narrow_pair(version)).await;
        let noise = async { SendStream::send_all(client.transport_mut(), &NOISE).await.unwrap() };
        let receive = trio::fail_after(in_time, receive_exactly(&mut server, 1));
        let (received, ()) = both(receive, noise).await;
        assert_is_of_tls(received.expect("it waits for the alert to be taken"));
        assert_fails::<BrokenResourceError>(server.receive_some(&mut [0; 8]).await);
        trio::fail_after(in_time, server.aclose()).await.unwrap().unwrap();
    }
    let (here, mut there) = narrow();
    let mut server = TlsStream::server(here, server_config()).unwrap();
    let noise = async { SendStream::send_all(&mut there, &NOISE).await.unwrap() };
    let (done, ()) = both(trio::fail_after(in_time, server.do_handshake()), noise).await;
    assert_is_of_tls(done.expect("it waits for the alert to be taken"));
}

#[trio::test(autojump)]
async fn an_error_that_was_not_told_is_told_next_time() {
    for during_handshake in [false, true] {
        let mut given_up = 0;
        for polls in 1.. {
            let (mut client, mut server) = wide_pair(Tls13);
            if !during_handshake {
                (client, server) = shake((client, server)).await;
            }
            SendStream::send_all(client.transport_mut(), &NOISE).await.unwrap();
            let first = poll_times(polls, server.receive_some(&mut [0; 8])).await;
            let done = first.is_some();
            match first {
                Some(result) => assert_is_of_tls(result),
                None => {
                    given_up += 1;
                    match polls % 3 {
                        0 => assert_is_of_tls(server.receive_some(&mut [0; 8]).await),
                        1 if !during_handshake => assert_is_of_tls(receive_exactly(&mut server, 1).await),
                        _ if during_handshake => assert_is_of_tls(server.do_handshake().await),
                        _ => assert_is_of_tls(receive_exactly(&mut server, 1).await),
                    }
                }
            }
            // Once.
            assert_fails::<BrokenResourceError>(server.receive_some(&mut [0; 8]).await);
            if done {
                break;
            }
            assert!(polls < 50, "it does not end");
        }
        assert!(given_up > 2, "there was nothing to give up");
    }
}

/// A transport whose user is cancelled as soon as something has come.
struct Cancelling(Line, Rc<RefCell<Option<trio::CancelHandle>>>);

impl AsyncResource for Cancelling {
    async fn aclose(&mut self) -> std::io::Result<()> {
        self.0.aclose().await
    }
}

impl SendStream for Cancelling {
    async fn send_all(&mut self, data: &[u8]) -> std::io::Result<()> {
        self.0.send_all(data).await
    }

    async fn send_counted(&mut self, data: &[u8], progress: &mut SendProgress) -> std::io::Result<()> {
        self.0.send_counted(data, progress).await
    }

    async fn wait_send_all_might_not_block(&mut self) -> std::io::Result<()> {
        self.0.wait_send_all_might_not_block().await
    }
}

impl ReceiveStream for Cancelling {
    async fn receive_some(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let result = self.0.receive_some(buffer).await;
        if let Some(handle) = self.1.take() {
            handle.cancel();
        }
        result
    }
}

impl ByteStream for Cancelling {}

#[trio::test(autojump)]
async fn an_error_survives_a_cancellation_in_the_step_in_which_it_came() {
    let (here, there) = wide();
    let handle = Rc::new(RefCell::new(None));
    let server = TlsStream::server(Cancelling(there, Rc::clone(&handle)), server_config()).unwrap();
    let client = TlsStream::client(here, Arc::new(client_config(Tls13)), NAME).unwrap();
    let (mut client, mut server) = shake((client, server)).await;
    SendStream::send_all(client.transport_mut(), &NOISE).await.unwrap();
    let scope = trio::CancelScope::new();
    handle.replace(Some(scope.handle()));
    assert!(scope.run(server.receive_some(&mut [0; 8])).await.is_none());
    assert_is_of_tls(server.receive_some(&mut [0; 8]).await);
    assert_fails::<BrokenResourceError>(server.receive_some(&mut [0; 8]).await);
}

/// A transport that says it has sent more than it was given.
struct Boasting(Line);

impl AsyncResource for Boasting {
    async fn aclose(&mut self) -> std::io::Result<()> {
        self.0.aclose().await
    }
}

impl SendStream for Boasting {
    async fn send_all(&mut self, data: &[u8]) -> std::io::Result<()> {
        self.0.send_all(data).await
    }

    async fn send_counted(&mut self, data: &[u8], progress: &mut SendProgress) -> std::io::Result<()> {
        progress.add(1);
        self.0.send_counted(data, progress).await
    }

    async fn wait_send_all_might_not_block(&mut self) -> std::io::Result<()> {
        self.0.wait_send_all_might_not_block().await
    }
}

impl ReceiveStream for Boasting {
    async fn receive_some(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.receive_some(buffer).await
    }
}

impl ByteStream for Boasting {}

#[trio::test(autojump)]
async fn a_transport_that_counts_wrong_is_not_trusted() {
    let (here, _there) = wide();
    let mut client = TlsStream::client(Boasting(here), Arc::new(client_config(Tls13)), NAME).unwrap();
    assert_fails::<BrokenResourceError>(client.do_handshake().await);
}
