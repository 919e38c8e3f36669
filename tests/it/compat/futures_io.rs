//! `futures_io`'s traits: ours for others, and others' for us.

use futures::StreamExt;
use futures::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use trio::compat::{FromFutures, Polled};
use trio::net::{TcpStream, UnixStream};
use trio::testing::net::Network;
use trio::testing::{check_half_closeable_stream, check_two_way_stream, memory_stream_pair};
use trio::{HalfCloseableStream, ReceiveStream, SendStream};

use crate::support::{clog, clog_tcp, secs, settle, tcp_pair};
use crate::testing::net::connections;

async fn clogged<S: SendStream>((mut a, mut b): (S, S)) -> (S, S) {
    clog(&mut a).await;
    clog(&mut b).await;
    (a, b)
}

fn there_and_back<S: Unpin>((a, b): (S, S)) -> (FromFutures<S>, FromFutures<S>) {
    (FromFutures::new(a), FromFutures::new(b))
}

#[trio::test]
async fn our_streams_are_streams_when_they_come_back() {
    let pair = async || there_and_back(UnixStream::pair().unwrap());
    let clogged = async || clogged(pair().await).await;
    trio::fail_after(secs(300), check_two_way_stream(pair, clogged)).await.expect("this hangs");
    trio::fail_after(secs(300), check_half_closeable_stream(pair, clogged)).await.expect("this hangs");
}

#[trio::test]
async fn tcp_streams_are_streams_when_they_come_back() {
    let clogged = async || {
        let (mut a, mut b) = tcp_pair().await;
        clog_tcp(&mut a, |stream: &TcpStream| stream).await;
        clog_tcp(&mut b, |stream: &TcpStream| stream).await;
        there_and_back((a, b))
    };
    let pair = async || there_and_back(tcp_pair().await);
    trio::fail_after(secs(300), check_half_closeable_stream(pair, clogged)).await.expect("this hangs");
}

#[trio::test(autojump, schedules = 20)]
async fn virtual_streams_are_streams_when_they_come_back() {
    let pair = async || there_and_back(connections::pair(&Network::new()).await);
    let clogged = async || {
        let (mut a, mut b) = connections::pair(&Network::new()).await;
        connections::clog(&mut a).await;
        connections::clog(&mut b).await;
        there_and_back((a, b))
    };
    check_half_closeable_stream(pair, clogged).await;
}

#[trio::test(autojump, schedules = 20)]
async fn any_stream_is_a_stream_when_it_comes_back() {
    let polled = |(a, b)| there_and_back((Polled::new(a), Polled::new(b)));
    let pair = async || polled(trio::testing::lockstep_stream_pair());
    check_two_way_stream(pair, pair).await;
    let pair = async || {
        let (a, b) = memory_stream_pair();
        there_and_back((Polled::new(a), Polled::new(b)))
    };
    check_half_closeable_stream(pair, trio::testing::NeverClogged).await;
}

#[trio::test]
async fn data_is_copied_from_one_stream_to_another() {
    let (mut source, from) = tcp_pair().await;
    let (to, mut sink) = UnixStream::pair().unwrap();
    let much: Vec<u8> = (0..1_000_000_u32).map(|number| number as u8).collect();
    trio::nursery! { |n|
        n.start_soon(async {
            source.send_all(&much).await.unwrap();
            source.send_eof().await.unwrap();
        });
        n.start_soon(async move {
            let mut to = to;
            assert_eq!(futures::io::copy(from, &mut to).await.unwrap(), 1_000_000);
            to.close().await.unwrap();
        });
        let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            match sink.receive_some(&mut buffer).await.unwrap() {
                0 => break,
                count => all.extend_from_slice(&buffer[..count]),
            }
        }
        assert!(all == much);
    }
}

#[trio::test]
async fn lines_come_one_by_one() {
    let (mut a, b) = UnixStream::pair().unwrap();
    let mut lines = BufReader::new(b).lines();
    a.send_all(b"one\ntwo\nthr").await.unwrap();
    assert_eq!(lines.next().await.unwrap().unwrap(), "one");
    assert_eq!(lines.next().await.unwrap().unwrap(), "two");
    let third = trio::cancel_scope! { |scope|
        trio::nursery! { |n|
            n.start_soon(async {
                settle().await;
                scope.cancel();
            });
            lines.next().await
        }
    };
    assert!(third.is_none());
    a.send_all(b"ee\n").await.unwrap();
    assert_eq!(lines.next().await.unwrap().unwrap(), "three");
    a.send_eof().await.unwrap();
    assert!(lines.next().await.is_none());
}

/// A WebSocket over streams of ours: each side says something, and they part in good order.
async fn chat<S: futures::AsyncRead + futures::AsyncWrite + Unpin>((client, server): (S, S)) {
    use async_tungstenite::tungstenite::Message;
    trio::nursery! { |n|
        n.start_soon(async move {
            let mut socket = async_tungstenite::accept_async(server).await.unwrap();
            while let Some(message) = socket.next().await {
                match message.unwrap() {
                    Message::Text(text) => socket.send(Message::text(text.to_uppercase())).await.unwrap(),
                    Message::Close(_) => {}
                    other => panic!("{other:?}"),
                }
            }
        });
        let (mut socket, answer) = async_tungstenite::client_async("ws://localhost/chat", client).await.unwrap();
        assert_eq!(answer.status(), 101);
        for text in ["hello", "there", &"much ".repeat(50_000)] {
            socket.send(Message::text(text)).await.unwrap();
            assert_eq!(socket.next().await.unwrap().unwrap(), Message::text(text.to_uppercase()));
        }
        socket.close(None).await.unwrap();
        assert!(matches!(socket.next().await.unwrap().unwrap(), Message::Close(_)));
        assert!(socket.next().await.is_none_or(|end| end.is_err()));
    }
}

#[trio::test]
async fn websockets_work_over_any_stream() {
    chat(tcp_pair().await).await;
    chat(connections::pair(&Network::new()).await).await;
    let (a, b) = memory_stream_pair();
    chat((Polled::new(a), Polled::new(b))).await;
    let (a, b) = crate::tls::pki::wide_pair(crate::tls::pki::Tls13);
    chat((Polled::new(a), Polled::new(b))).await;
}

#[trio::test]
async fn a_foreign_stream_says_when_it_was_closed() {
    let (a, b) = UnixStream::pair().unwrap();
    let (mut a, mut b) = there_and_back((a, b));
    a.send_all(b"x").await.unwrap();
    trio::AsyncResource::aclose(&mut a).await.unwrap();
    trio::AsyncResource::aclose(&mut a).await.unwrap();
    let is_closed = |error: std::io::Error| error.get_ref().unwrap().is::<trio::ClosedResourceError>();
    assert!(is_closed(a.send_all(b"x").await.unwrap_err()));
    assert!(is_closed(a.receive_some(&mut [0; 8]).await.unwrap_err()));
    assert!(is_closed(a.send_eof().await.unwrap_err()));
    assert!(a.into_inner().is_none());
    assert_eq!(b.receive_some(&mut [0; 8]).await.unwrap(), 1);
    assert_eq!(b.receive_some(&mut [0; 8]).await.unwrap(), 0);
    let mut inner = b.into_inner().unwrap();
    assert_eq!(inner.read(&mut [0; 8]).await.unwrap(), 0);
}
