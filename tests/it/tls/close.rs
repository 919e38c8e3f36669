//! The end of a TLS session, and ends that are not.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use trio::testing::{assert_checkpoints, memory_stream_pair};
use trio::tls::{TlsError, TlsStream};
use trio::{
    AsyncResource, BrokenResourceError, ByteStream, ClosedResourceError, ReceiveStream, SendProgress, SendStream,
    aclose_forcefully,
};

use super::line::{Line, wide};
use super::pki::{
    NAME, Tls12, Tls13, VERSIONS, assert_fails, both, client_config, narrow_pair, over, receive_exactly, server_config,
    shake, untrusting_config, wide_pair,
};
use crate::support::secs;

fn is_broken(result: io::Result<impl std::fmt::Debug>) -> bool {
    result.as_ref().is_err_and(super::pki::is::<BrokenResourceError>)
}

// trio: _tests/test_ssl.py::test_unwrap
#[trio::test(autojump, schedules = 20)]
async fn both_sides_can_end_tls_and_go_on_without() {
    for version in VERSIONS {
        let (mut client, mut server) = narrow_pair(version);
        let asks_for_the_end = async {
            client.do_handshake().await.unwrap();
            client.send_all(b"x").await.unwrap();
            assert_eq!(receive_exactly(&mut client, 1).await.unwrap(), b"y");
            client.send_all(b"z").await.unwrap();
            let (mut transport, trailing) = assert_checkpoints(client.unwrap()).await.unwrap();
            let mut more = trailing;
            while more.len() < 8 {
                let mut buffer = [0; 16];
                let count = transport.receive_some(&mut buffer).await.unwrap();
                more.extend_from_slice(&buffer[..count]);
            }
            assert_eq!(more, b"trailing");
            transport.send_all(b"plain").await.unwrap();
        };
        let answers = async {
            server.do_handshake().await.unwrap();
            assert_eq!(receive_exactly(&mut server, 1).await.unwrap(), b"x");
            server.send_all(b"y").await.unwrap();
            assert_eq!(receive_exactly(&mut server, 1).await.unwrap(), b"z");
            // The end of TLS is the end, as far as TLS is concerned.
            assert_eq!(server.receive_some(&mut [0; 8]).await.unwrap(), 0);
            let (mut transport, trailing) = server.unwrap().await.unwrap();
            assert_eq!(trailing, b"");
            transport.send_all(b"trailing").await.unwrap();
            assert_eq!(receive_exactly(&mut transport, 5).await.unwrap(), b"plain");
        };
        both(asks_for_the_end, answers).await;
    }
}

#[trio::test(autojump)]
async fn what_came_with_the_end_is_handed_over() {
    for version in VERSIONS {
        let transports = memory_stream_pair();
        let (mut client, mut server) = shake(over(transports, version)).await;
        client.send_all(b"x").await.unwrap();
        let client = async {
            let (mut transport, trailing) = client.unwrap().await.unwrap();
            // Both came in one piece, since nothing was received between.
            assert_eq!(trailing, b"trailing");
            transport.send_all(b"bye").await.unwrap();
        };
        let server = async {
            assert_eq!(receive_exactly(&mut server, 1).await.unwrap(), b"x");
            // The client waits for our end; it gets that and more at once.
            let hold = server.transport().send_stream.set_send_all_hook(None);
            let (mut transport, trailing) = server.unwrap().await.unwrap();
            assert_eq!(trailing, b"");
            transport.send_stream.set_send_all_hook(hold);
            SendStream::send_all(&mut transport, b"trailing").await.unwrap();
            assert_eq!(receive_exactly(&mut transport, 3).await.unwrap(), b"bye");
        };
        both(client, server).await;
    }
}

#[trio::test(autojump)]
async fn tls_is_not_ended_before_all_data_is_received() {
    for version in VERSIONS {
        let (client, mut server) = shake(wide_pair(version)).await;
        server.send_all(b"unreceived").await.unwrap();
        let error = client.unwrap().await.unwrap_err();
        assert_eq!(TlsError::of(&error), Some(&TlsError::UnreceivedData));
        // The transport is gone.
        assert!(both(server.unwrap(), async {}).await.0.is_err());

        let (client, server) = shake(wide_pair(version)).await;
        let client = client.https_compatible(true);
        let mut server = server;
        server.transport_mut().send_stream.aclose().await.unwrap();
        assert_eq!(TlsError::of(&client.unwrap().await.unwrap_err()), Some(&TlsError::Truncated));
    }
}

// trio: _tests/test_ssl.py::test_closing_nice_case
#[trio::test(autojump, schedules = 20)]
async fn closing_is_told_and_waits_for_nobody() {
    for version in VERSIONS {
        let (mut client, mut server) = shake(narrow_pair(version)).await;
        let receive = async {
            assert_eq!(server.receive_some(&mut [0; 8]).await.unwrap(), 0);
            assert_eq!(server.receive_some(&mut [0; 8]).await.unwrap(), 0);
            server.aclose().await.unwrap();
        };
        let (closed, ()) = both(client.aclose(), receive).await;
        closed.unwrap();
        assert_fails::<ClosedResourceError>(client.transport_mut().send_all(b"123").await);
        // Again and again.
        assert_checkpoints(client.aclose()).await.unwrap();
        assert_fails::<ClosedResourceError>(client.send_all(b"123").await);
        assert_fails::<ClosedResourceError>(client.send_all(b"").await);
        assert_fails::<ClosedResourceError>(client.receive_some(&mut [0; 8]).await);
        assert_fails::<ClosedResourceError>(client.do_handshake().await);
        assert_fails::<ClosedResourceError>(client.wait_send_all_might_not_block().await);
        assert_fails::<ClosedResourceError>(client.send_eof().await);
        assert_fails::<ClosedResourceError>(client.unwrap().await);

        // Before any handshake.
        let (mut client, mut server) = wide_pair(version);
        let receive = async {
            assert_eq!(server.receive_some(&mut [0; 8]).await.unwrap(), 0);
            server.aclose().await.unwrap();
        };
        let (closed, ()) = both(client.aclose(), receive).await;
        closed.unwrap();
    }
}

// trio: _tests/test_ssl.py::test_ssl_bad_shutdown
#[trio::test(autojump)]
async fn a_cut_connection_is_an_error() {
    for version in VERSIONS {
        let (mut client, mut server) = shake(wide_pair(version)).await;
        aclose_forcefully(&mut client).await.unwrap();
        let error = server.receive_some(&mut [0; 8]).await.unwrap_err();
        assert_eq!(TlsError::of(&error), Some(&TlsError::Truncated));
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert_fails::<BrokenResourceError>(server.receive_some(&mut [0; 8]).await);
        assert_fails::<BrokenResourceError>(server.send_all(b"x").await);
        server.aclose().await.unwrap();
    }
}

// trio: _tests/test_ssl.py::test_ssl_bad_shutdown_but_its_ok
#[trio::test(autojump)]
async fn a_cut_connection_is_fine_for_https() {
    for version in VERSIONS {
        let (client, server) = shake(wide_pair(version)).await;
        let (mut client, mut server) = (client.https_compatible(true), server.https_compatible(true));
        aclose_forcefully(&mut client).await.unwrap();
        assert_eq!(server.receive_some(&mut [0; 10]).await.unwrap(), 0);
        assert_eq!(server.receive_some(&mut [0; 10]).await.unwrap(), 0);
        assert_fails::<BrokenResourceError>(server.send_all(b"x").await);
        server.aclose().await.unwrap();
    }
}

// trio: _tests/test_ssl.py::test_ssl_handshake_failure_during_aclose
#[trio::test(autojump)]
async fn closing_does_the_handshake_and_can_fail_at_it() {
    let (here, there) = wide();
    let mut client = TlsStream::client(here, untrusting_config(), NAME).unwrap();
    let mut server = TlsStream::server(there, server_config()).unwrap();
    let (closed, served) = both(client.aclose(), server.do_handshake()).await;
    assert_fails::<TlsError>(closed);
    assert_fails::<TlsError>(served);
    assert_fails::<ClosedResourceError>(client.transport_mut().send_all(b"x").await);
    assert_fails::<ClosedResourceError>(client.send_all(b"x").await);
}

/// A transport that counts how often it is closed, and fails at that.
struct Counting(Line, Rc<Cell<u32>>);

impl AsyncResource for Counting {
    async fn aclose(&mut self) -> io::Result<()> {
        self.1.set(self.1.get() + 1);
        self.0.aclose().await?;
        Err(io::Error::other("stuck"))
    }
}

impl SendStream for Counting {
    async fn send_all(&mut self, data: &[u8]) -> io::Result<()> {
        self.0.send_all(data).await
    }

    async fn send_counted(&mut self, data: &[u8], progress: &mut SendProgress) -> io::Result<()> {
        self.0.send_counted(data, progress).await
    }

    async fn wait_send_all_might_not_block(&mut self) -> io::Result<()> {
        self.0.wait_send_all_might_not_block().await
    }
}

impl ReceiveStream for Counting {
    async fn receive_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.receive_some(buffer).await
    }
}

impl ByteStream for Counting {}

// trio: _tests/test_ssl.py::test_ssl_only_closes_stream_once
#[trio::test(autojump)]
async fn the_transport_is_closed_once() {
    for version in VERSIONS {
        let (here, there) = wide();
        let count = Rc::new(Cell::new(0));
        let transport = Counting(here, Rc::clone(&count));
        let client = TlsStream::client(transport, Arc::new(client_config(version)), NAME).unwrap();
        let (mut client, _server) = shake((client, TlsStream::server(there, server_config()).unwrap())).await;
        assert_eq!(client.aclose().await.unwrap_err().to_string(), "stuck");
        assert_eq!(count.get(), 1);
        client.aclose().await.unwrap();
        assert_eq!(count.get(), 1);
    }
}

// trio: _tests/test_ssl.py::test_ssl_https_compatibility_disagreement
#[trio::test(autojump)]
async fn who_wants_to_be_told_notices_who_does_not_tell() {
    for version in VERSIONS {
        let (client, mut server) = shake(wide_pair(version)).await;
        let mut client = client.https_compatible(true);
        let (closed, received) = both(client.aclose(), server.receive_some(&mut [0; 10])).await;
        closed.unwrap();
        assert_eq!(TlsError::of(&received.unwrap_err()), Some(&TlsError::Truncated));
    }
}

// trio: _tests/test_ssl.py::test_https_mode_eof_before_handshake
#[trio::test(autojump)]
async fn an_end_before_the_handshake_is_fine_for_https() {
    for version in VERSIONS {
        let (client, server) = wide_pair(version);
        let (mut client, mut server) = (client.https_compatible(true), server.https_compatible(true));
        let (closed, received) = both(client.aclose(), server.receive_some(&mut [0; 10])).await;
        closed.unwrap();
        assert_eq!(received.unwrap(), 0);
        assert_eq!(assert_checkpoints(server.receive_some(&mut [0; 10])).await.unwrap(), 0);
        assert!(is_broken(server.send_all(b"x").await));
        server.aclose().await.unwrap();
        assert_fails::<ClosedResourceError>(server.receive_some(&mut [0; 10]).await);
    }
}

#[trio::test(autojump, schedules = 20)]
async fn one_direction_can_end_alone_with_tls_1_3() {
    let (mut client, mut server) = narrow_pair(Tls13);
    let client = async {
        client.send_all(b"question").await.unwrap();
        assert_checkpoints(client.send_eof()).await.unwrap();
        assert_fails::<ClosedResourceError>(client.send_all(b"x").await);
        assert_eq!(receive_exactly(&mut client, 6).await.unwrap(), b"answer");
        assert_eq!(client.receive_some(&mut [0; 8]).await.unwrap(), 0);
        client.aclose().await.unwrap();
    };
    let server = async {
        assert_eq!(receive_exactly(&mut server, 8).await.unwrap(), b"question");
        assert_eq!(server.receive_some(&mut [0; 8]).await.unwrap(), 0);
        server.send_all(b"answer").await.unwrap();
        server.aclose().await.unwrap();
    };
    both(client, server).await;

    let (mut client, mut server) = shake(wide_pair(Tls12)).await;
    assert_eq!(client.send_eof().await.unwrap_err().kind(), io::ErrorKind::Unsupported);
    // Nothing has happened.
    client.send_all(b"x").await.unwrap();
    assert_eq!(receive_exactly(&mut server, 1).await.unwrap(), b"x");
}

#[trio::test(autojump)]
async fn closing_a_half_closes_a_direction() {
    let (mut client, mut server) = shake(wide_pair(Tls13)).await;
    {
        let (mut from, mut to) = client.split();
        assert_checkpoints(from.aclose()).await.unwrap();
        assert_fails::<ClosedResourceError>(from.receive_some(&mut [0; 8]).await);
        to.send_all(b"x").await.unwrap();
        assert_checkpoints(to.aclose()).await.unwrap();
        assert_checkpoints(to.aclose()).await.unwrap();
        assert_fails::<ClosedResourceError>(to.send_all(b"x").await);
    }
    assert_fails::<ClosedResourceError>(client.receive_some(&mut [0; 8]).await);
    assert_fails::<ClosedResourceError>(client.send_all(b"x").await);
    assert_eq!(receive_exactly(&mut server, 1).await.unwrap(), b"x");
    assert_eq!(server.receive_some(&mut [0; 8]).await.unwrap(), 0);
    client.aclose().await.unwrap();
}

#[trio::test(autojump)]
async fn a_stream_that_is_dropped_closes_its_transport_without_a_word() {
    let (client, mut server) = shake(wide_pair(Tls13)).await;
    drop(client);
    let error = server.receive_some(&mut [0; 8]).await.unwrap_err();
    assert_eq!(TlsError::of(&error), Some(&TlsError::Truncated));
}

#[trio::test(autojump)]
async fn a_half_that_could_not_say_the_end_leaves_that_to_the_stream() {
    let (mut client, mut server) = shake(wide_pair(Tls12)).await;
    assert_eq!(client.split().1.aclose().await.unwrap_err().kind(), io::ErrorKind::Unsupported);
    assert_fails::<ClosedResourceError>(client.send_all(b"x").await);
    client.aclose().await.unwrap();
    assert_eq!(server.receive_some(&mut [0; 8]).await.unwrap(), 0);
}

#[trio::test(autojump)]
async fn a_half_says_the_end_that_was_given_up_before() {
    // While it is sent.
    let (mut client, mut server) = shake(narrow_pair(Tls13)).await;
    let (_from, mut to) = client.split();
    assert!(trio::move_on_after(secs(1), to.send_eof()).await.is_none());
    let mut buffer = [0; 8];
    let received = trio::fail_after(secs(10), server.receive_some(&mut buffer));
    let (closed, received) = both(to.aclose(), received).await;
    closed.unwrap();
    assert_eq!(received.expect("the end was not sent").unwrap(), 0);

    // During the handshake.
    for pair in [wide_pair, narrow_pair] {
        for version in VERSIONS {
            let (mut client, mut server) = pair(version);
            assert!(trio::move_on_after(secs(1), client.split().1.aclose()).await.is_none());
            assert_fails::<ClosedResourceError>(client.send_all(b"x").await);
            let received = async {
                trio::move_on_after(secs(10), server.receive_some(&mut [0; 8])).await.map(|result| result.unwrap())
            };
            let (ended, received) = both(client.send_eof(), received).await;
            match version {
                Tls13 => assert_eq!((ended.unwrap(), received), ((), Some(0))),
                Tls12 => {
                    assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::Unsupported);
                    assert_eq!(received, None);
                }
            }
        }
    }
}

#[trio::test(autojump)]
async fn tls_1_2_refuses_to_end_one_direction_again_and_again() {
    let (mut client, mut server) = shake(wide_pair(Tls12)).await;
    {
        let (_from, mut to) = client.split();
        assert_eq!(to.aclose().await.unwrap_err().kind(), io::ErrorKind::Unsupported);
        assert_checkpoints(to.aclose()).await.unwrap();
        assert_eq!(to.send_eof().await.unwrap_err().kind(), io::ErrorKind::Unsupported);
    }
    assert_eq!(client.send_eof().await.unwrap_err().kind(), io::ErrorKind::Unsupported);
    // Nothing was said.
    assert!(trio::move_on_after(secs(1), server.receive_some(&mut [0; 8])).await.is_none());
    server.send_all(b"x").await.unwrap();
    assert_eq!(receive_exactly(&mut client, 1).await.unwrap(), b"x");
}
