//! How much was sent is known, whatever becomes of the call.

use std::io;
use std::time::Duration;

use trio::testing::{lockstep_stream_pair, memory_stream_pair};
use trio::{
    AsyncResource, BufferedReceiveStream, FdStream, ReceiveStream, SendProgress, SendStream, SplitStream, StapledStream,
};

use crate::support::tcp_pair;

fn data(count: usize) -> Vec<u8> {
    (0..count).map(|number| (number * 31 % 251) as u8).collect()
}

/// Receives everything up to the end, in small pieces at first.
async fn receive_to_end(mut stream: impl ReceiveStream) -> Vec<u8> {
    let (mut all, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
    loop {
        let room = if all.len() < 100 { 7 } else { buffer.len() };
        match stream.receive_some(&mut buffer[..room]).await.unwrap() {
            0 => return all,
            count => all.extend_from_slice(&buffer[..count]),
        }
    }
}

/// Sends in calls that are given up after a moment of real time, so that some of them stop in the middle, and goes on after
/// each where it has stopped; then closes.
async fn send_in_calls(mut stream: impl SendStream, data: &[u8]) {
    let mut progress = SendProgress::new();
    let mut sent = None;
    while sent.is_none() {
        let rest = &data[progress.sent()..];
        sent = trio::move_on_after(Duration::from_millis(1), stream.send_counted(rest, &mut progress)).await;
        assert!(progress.is_known());
    }
    sent.unwrap().unwrap();
    assert_eq!(progress.sent(), data.len());
    stream.aclose().await.unwrap();
}

async fn arrives(sender: impl SendStream, receiver: impl ReceiveStream, count: usize) {
    let data = data(count);
    let ((), received) = trio::join(Box::pin(send_in_calls(sender, &data)), Box::pin(receive_to_end(receiver))).await;
    assert!(received == data, "{} bytes arrived of {count}", received.len());
}

#[trio::test]
async fn all_that_the_system_took_is_counted() {
    const MUCH: usize = 10_000_000;
    let (client, server) = tcp_pair().await;
    arrives(client, server, MUCH).await;
    let (mut client, server) = tcp_pair().await;
    arrives(client.split().1, server, MUCH).await;
    let (reader, writer) = io::pipe().unwrap();
    arrives(FdStream::new(writer).unwrap(), FdStream::new(reader).unwrap(), MUCH).await;
}

#[trio::test(autojump, schedules = 20)]
async fn all_that_was_received_is_counted() {
    let (left, right) = lockstep_stream_pair();
    let data = data(100);
    let (mut left, mut right, mut progress) = (left, right, SendProgress::new());
    let mut received = Vec::new();
    while received.len() < data.len() {
        let rest = &data[progress.sent()..];
        let send = async {
            trio::move_on_after(Duration::from_secs(1), left.send_counted(rest, &mut progress)).await;
        };
        let receive = async {
            let mut buffer = [0; 7];
            let count = right.receive_some(&mut buffer).await.unwrap();
            received.extend_from_slice(&buffer[..count]);
        };
        trio::join(send, receive).await;
        assert_eq!(progress.sent(), received.len());
    }
    assert_eq!(received, data);
}

#[trio::test(autojump)]
async fn wrappers_count_as_what_they_wrap() {
    let (mut here, _there) = lockstep_stream_pair();
    let mut progress = SendProgress::new();
    let mut wrapped = BufferedReceiveStream::new(&mut here);
    assert!(trio::move_on_after(Duration::from_secs(1), wrapped.send_counted(b"x", &mut progress)).await.is_none());
    assert_eq!(progress, SendProgress::new());

    let (mut here, there) = memory_stream_pair();
    let (mut from, mut to) = SplitStream::split(&mut here);
    let mut stapled = StapledStream { send_stream: &mut to, receive_stream: &mut from };
    stapled.send_counted(b"hello", &mut progress).await.unwrap();
    assert_eq!((progress.sent(), progress.is_known()), (5, true));
    drop(there);
    stapled.send_counted(b"hello", &mut progress).await.unwrap_err();
}

/// A stream with nothing but what every stream must have.
struct Plain<S>(S);

impl<S: AsyncResource> AsyncResource for Plain<S> {
    async fn aclose(&mut self) -> io::Result<()> {
        self.0.aclose().await
    }
}

impl<S: SendStream> SendStream for Plain<S> {
    async fn send_all(&mut self, data: &[u8]) -> io::Result<()> {
        self.0.send_all(data).await
    }

    async fn wait_send_all_might_not_block(&mut self) -> io::Result<()> {
        self.0.wait_send_all_might_not_block().await
    }
}

#[trio::test(autojump)]
async fn who_can_not_count_says_so() {
    let (here, mut there) = lockstep_stream_pair();
    let mut plain = Plain(here);
    let mut progress = SendProgress::new();
    assert!(trio::move_on_after(Duration::from_secs(1), plain.send_counted(b"x", &mut progress)).await.is_none());
    assert!(!progress.is_known());
    // Another call does not find out what was lost by the first.
    let (sent, _) = trio::join(plain.send_counted(b"hello", &mut progress), there.receive_some(&mut [0; 8])).await;
    sent.unwrap();
    assert_eq!((progress.sent(), progress.is_known()), (5, false));

    let mut progress = SendProgress::new();
    let (sent, received) =
        trio::join(plain.send_counted(b"hello", &mut progress), there.receive_some(&mut [0; 8])).await;
    sent.unwrap();
    assert_eq!(received.unwrap(), 5);
    assert_eq!((progress.sent(), progress.is_known()), (5, true));
}
