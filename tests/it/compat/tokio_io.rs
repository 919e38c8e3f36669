//! tokio's traits of streams, without its runtime.

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use trio::compat::{FromTokio, Polled};
use trio::net::UnixStream;
use trio::testing::{NeverClogged, check_half_closeable_stream, check_two_way_stream, memory_stream_pair};
use trio::{ReceiveStream, SendStream};

use crate::support::{clog, secs, tcp_pair};

fn there_and_back<S: Unpin>((a, b): (S, S)) -> (FromTokio<S>, FromTokio<S>) {
    (FromTokio::new(a), FromTokio::new(b))
}

#[trio::test]
async fn our_streams_are_streams_when_they_come_back() {
    let pair = async || there_and_back(UnixStream::pair().unwrap());
    let clogged = async || {
        let (mut a, mut b) = pair().await;
        clog(&mut a).await;
        clog(&mut b).await;
        (a, b)
    };
    trio::fail_after(secs(300), check_half_closeable_stream(pair, clogged)).await.expect("this hangs");
}

#[trio::test(autojump, schedules = 20)]
async fn any_stream_is_a_stream_when_it_comes_back() {
    let pair = async || {
        let (a, b) = memory_stream_pair();
        there_and_back((Polled::new(a), Polled::new(b)))
    };
    check_half_closeable_stream(pair, NeverClogged).await;
}

#[trio::test(autojump, schedules = 20)]
async fn a_pipe_of_tokios_is_a_stream() {
    let pair = async || there_and_back(tokio::io::duplex(1000));
    let clogged = async || {
        let (mut a, mut b) = pair().await;
        clog(&mut a).await;
        clog(&mut b).await;
        (a, b)
    };
    check_two_way_stream(pair, clogged).await;
}

#[trio::test]
async fn tokios_helpers_work_on_our_streams() {
    let (a, mut b) = tcp_pair().await;
    let (from, mut to) = tokio::io::split(a);
    let mut lines = BufReader::new(from).lines();
    b.write_all(b"one\ntwo\n").await.unwrap();
    assert_eq!(lines.next_line().await.unwrap().unwrap(), "one");
    assert_eq!(lines.next_line().await.unwrap().unwrap(), "two");
    to.write_all_buf(&mut &b"answer"[..]).await.unwrap();
    to.shutdown().await.unwrap();
    let mut all = String::new();
    b.read_to_string(&mut all).await.unwrap();
    assert_eq!(all, "answer");
    b.shutdown().await.unwrap();
    assert!(lines.next_line().await.unwrap().is_none());
}

#[trio::test]
async fn a_stream_of_tokios_is_used_in_both_directions_by_two_tasks() {
    let (mut a, mut b) = there_and_back(tokio::io::duplex(100));
    trio::nursery! { |n|
        let (mut from, mut to) = trio::SplitStream::split(&mut a);
        n.start_soon(async move {
            to.send_all(&[7; 10_000]).await.unwrap();
            trio::AsyncResource::aclose(&mut to).await.unwrap();
        });
        n.start_soon(async move {
            let (mut buffer, mut total) = ([0; 64], 0);
            loop {
                match from.receive_some(&mut buffer).await.unwrap() {
                    0 => break,
                    count => total += count,
                }
            }
            assert_eq!(total, 10_000);
        });
        let mut buffer = [0; 333];
        loop {
            match b.receive_some(&mut buffer).await.unwrap() {
                0 => break,
                count => b.send_all(&buffer[..count]).await.unwrap(),
            }
        }
        trio::AsyncResource::aclose(&mut b).await.unwrap();
    }
}
