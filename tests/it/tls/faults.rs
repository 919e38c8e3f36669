//! Peers that stop, and lines that are cut or noisy.

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use trio::testing::{AsyncHook, CloseHook, MemoryReceiveStream, MemorySendStream, MemoryStream, memory_stream_pump};
use trio::tls::{TlsError, TlsStream};
use trio::{HalfCloseableStream, ReceiveStream, SendStream, StapledStream};

use super::pki::{Tls12, Tls13, VERSIONS, Version, both, over, receive_exactly, shake, wide_pair};
use crate::support::secs;

/// What becomes of one direction of a line after so many bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// There is no more, and nobody says so.
    Silence,
    /// It ends.
    End,
    /// The next byte is not what was sent.
    Noise,
}

/// One direction of a line, with what goes wrong after how many bytes. Counts what went through.
fn one_way(fault: Option<(Fault, usize)>) -> (MemorySendStream, MemoryReceiveStream, Rc<Cell<usize>>) {
    let (sender, receiver, passed) = (MemorySendStream::new(), MemoryReceiveStream::new(), Rc::new(Cell::new(0)));
    let (to, count) = (receiver.clone(), Rc::clone(&passed));
    sender.set_send_all_hook(Some(AsyncHook::new(move |from: MemorySendStream| {
        let result = pass(&from, &to, fault, &count);
        async move { result }
    })));
    let to = receiver.clone();
    sender.set_close_hook(Some(CloseHook::new(move |from: &MemorySendStream| {
        let _ = memory_stream_pump(from, &to, None);
        to.put_eof();
    })));
    (sender, receiver, passed)
}

fn pass(
    from: &MemorySendStream,
    to: &MemoryReceiveStream,
    fault: Option<(Fault, usize)>,
    passed: &Cell<usize>,
) -> io::Result<()> {
    let mut data = from.get_data_nowait(None)?;
    if let Some((fault, after)) = fault {
        let left = after.saturating_sub(passed.get());
        if left < data.len() {
            match fault {
                Fault::Noise if passed.get() <= after => data[left] ^= 0x20,
                Fault::Noise => {}
                Fault::Silence | Fault::End => data.truncate(left),
            }
        }
    }
    passed.set(passed.get() + data.len());
    // One who has gone does not hear it.
    let _ = to.put_data(&data);
    if fault.is_some_and(|(fault, after)| fault == Fault::End && passed.get() >= after) {
        to.put_eof();
    }
    Ok(())
}

type Transports = (MemoryStream, MemoryStream);

/// A line whose direction to the server, or the other, has a fault. And how many bytes went each way.
fn line(to_server: Option<(Fault, usize)>, to_client: Option<(Fault, usize)>) -> (Transports, [Rc<Cell<usize>>; 2]) {
    let (client_sends, server_receives, up) = one_way(to_server);
    let (server_sends, client_receives, down) = one_way(to_client);
    let client = StapledStream { send_stream: client_sends, receive_stream: client_receives };
    let server = StapledStream { send_stream: server_sends, receive_stream: server_receives };
    ((client, server), [up, down])
}

/// A conversation of which each side says how it ended.
async fn converse(transports: Transports, version: Version) -> (io::Result<()>, io::Result<()>) {
    let (mut client, mut server) = over(transports, version);
    let ask = async {
        client.send_all(b"question").await?;
        let answer = receive_exactly(&mut client, 6).await?;
        assert_eq!(answer, b"answer");
        client.aclose().await
    };
    let give = async {
        let question = receive_exactly(&mut server, 8).await?;
        assert_eq!(question, b"question");
        server.send_all(b"answer").await?;
        match server.receive_some(&mut [0; 8]).await? {
            0 => server.aclose().await,
            _ => panic!("there is nothing more"),
        }
    };
    // Who waits for the other for ever gives up.
    let patient = async |future: std::pin::Pin<Box<dyn Future<Output = io::Result<()>> + '_>>| {
        trio::fail_after(secs(60), future).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    };
    both(patient(Box::pin(ask)), patient(Box::pin(give))).await
}

/// How many bytes go each way in a conversation without faults. It differs a little from one to the next.
async fn lengths(version: Version) -> [usize; 2] {
    let (transports, passed) = line(None, None);
    let (client, server) = converse(transports, version).await;
    client.unwrap();
    server.unwrap();
    passed.map(|count| count.get())
}

async fn fault_everywhere(fault: Fault, step: usize, check: impl Fn(usize, &io::Result<()>, &io::Result<()>)) {
    for version in VERSIONS {
        for (direction, length) in lengths(version).await.into_iter().enumerate() {
            // Not so far as to where only goodbyes are said, or tickets.
            for after in (0..length - 300).step_by(step) {
                let fault = Some((fault, after));
                let (transports, _) = if direction == 0 { line(fault, None) } else { line(None, fault) };
                let (client, server) = converse(transports, version).await;
                check(after, &client, &server);
            }
        }
    }
}

#[trio::test(autojump)]
async fn a_peer_that_stops_anywhere_in_the_handshake_can_be_given_up() {
    fault_everywhere(Fault::Silence, 5, |after, client, server| {
        let timed_out =
            |result: &io::Result<()>| result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::TimedOut);
        assert!(timed_out(client) || timed_out(server), "{after}: {client:?} {server:?}");
    })
    .await;
}

#[trio::test(autojump)]
async fn a_line_that_ends_anywhere_in_the_handshake_is_cut() {
    fault_everywhere(Fault::End, 5, |after, client, server| {
        let truncated = |result: &io::Result<()>| {
            result.as_ref().is_err_and(|error| TlsError::of(error) == Some(&TlsError::Truncated))
        };
        assert!(truncated(client) || truncated(server), "{after}: {client:?} {server:?}");
    })
    .await;
}

#[trio::test(autojump)]
async fn noise_anywhere_in_the_handshake_is_found() {
    // Some of it makes a message longer, which its sender does not know: then the two wait for each other.
    fault_everywhere(Fault::Noise, 7, |after, client, server| {
        assert!(client.is_err() || server.is_err(), "{after}: {client:?} {server:?}");
    })
    .await;
}

#[trio::test(autojump, schedules = 5)]
async fn noise_in_the_data_is_found_and_told() {
    for version in VERSIONS {
        let transports = trio::testing::memory_stream_pair();
        let (mut client, mut server) = shake(over(transports, version)).await;
        client.send_all(b"good").await.unwrap();
        assert_eq!(receive_exactly(&mut server, 4).await.unwrap(), b"good");
        // A record that nobody has made.
        SendStream::send_all(client.transport_mut(), &[23, 3, 3, 0, 40]).await.unwrap();
        SendStream::send_all(client.transport_mut(), &[7; 40]).await.unwrap();
        let error = server.receive_some(&mut [0; 8]).await.unwrap_err();
        assert!(matches!(TlsError::of(&error), Some(TlsError::Rustls(_))), "{error:?}");
        let told = client.receive_some(&mut [0; 8]).await.unwrap_err();
        assert!(told.to_string().contains("alert"), "{told}");
    }
}

#[trio::test(autojump)]
async fn noise_after_our_own_end_is_found() {
    let (mut client, mut server) = shake(wide_pair(Tls13)).await;
    client.send_eof().await.unwrap();
    server.transport_mut().send_all(&[23, 3, 3, 0, 40]).await.unwrap();
    server.transport_mut().send_all(&[7; 40]).await.unwrap();
    let error = client.receive_some(&mut [0; 8]).await.unwrap_err();
    assert!(matches!(TlsError::of(&error), Some(TlsError::Rustls(_))), "{error:?}");
}

#[trio::test(autojump)]
async fn what_is_not_tls_at_all_is_refused() {
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 100], &[0xff; 70_000], &[22, 3, 1, 0xff, 0xff, 0, 0]] {
        let (here, mut there) = super::line::wide();
        let mut server = TlsStream::server(here, super::pki::server_config()).unwrap();
        there.send_all(garbage).await.unwrap();
        there.send_eof().await.unwrap();
        let error = server.do_handshake().await.unwrap_err();
        assert!(TlsError::of(&error).is_some(), "{error:?}");
    }
}

/// A line that lets through a byte at a time.
#[trio::test(autojump)]
async fn records_can_come_in_any_pieces() {
    struct Trickle(super::line::Line);
    impl trio::AsyncResource for Trickle {
        async fn aclose(&mut self) -> io::Result<()> {
            self.0.aclose().await
        }
    }
    impl SendStream for Trickle {
        async fn send_all(&mut self, data: &[u8]) -> io::Result<()> {
            self.0.send_all(data).await
        }
        async fn wait_send_all_might_not_block(&mut self) -> io::Result<()> {
            self.0.wait_send_all_might_not_block().await
        }
    }
    impl ReceiveStream for Trickle {
        async fn receive_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.receive_some(&mut buffer[..1]).await
        }
    }
    impl trio::ByteStream for Trickle {}
    for version in [Tls12, Tls13] {
        let (here, there) = super::line::wide();
        let (mut client, mut server) = shake(over((Trickle(here), Trickle(there)), version)).await;
        client.send_all(&[5; 2000]).await.unwrap();
        assert_eq!(receive_exactly(&mut server, 2000).await.unwrap(), [5; 2000]);
        client.aclose().await.unwrap();
        assert_eq!(server.receive_some(&mut [0; 8]).await.unwrap(), 0);
    }
}
