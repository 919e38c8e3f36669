//! The handshake, and what is known after it.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use trio::testing::{AsyncHook, assert_checkpoints, memory_stream_pump};
use trio::tls::{NeedHandshakeError, TlsError, TlsStream, rustls};
use trio::{BrokenResourceError, SplitStream};

use super::line::{narrow, wide};
use super::pki::{
    NAME, Tls12, Tls13, VERSIONS, assert_fails, both, choosy_server_config, client_config, echo, is,
    known_client_config, narrow_pair, over, pki, receive_exactly, server_config, server_config_of, shake,
    untrusting_config, wide_pair,
};

// trio: _tests/test_ssl.py::test_ssl_server_basics
#[trio::test(autojump)]
async fn a_server_receives_and_sends() {
    for version in VERSIONS {
        let (mut client, mut server) = narrow_pair(version);
        let client = async move {
            client.send_all(b"x").await.unwrap();
            assert_eq!(receive_exactly(&mut client, 1).await.unwrap(), b"y");
            client.send_all(b"z").await.unwrap();
            client.aclose().await.unwrap();
        };
        let server = async {
            assert!(server.is_server());
            assert_eq!(receive_exactly(&mut server, 1).await.unwrap(), b"x");
            server.send_all(b"y").await.unwrap();
            assert_eq!(receive_exactly(&mut server, 1).await.unwrap(), b"z");
            assert_eq!(server.receive_some(&mut [0; 1]).await.unwrap(), 0);
            // The client does not wait for our end, so it may be gone.
            server.aclose().await.unwrap();
        };
        both(client, server).await;
    }
}

// trio: _tests/test_ssl.py::test_attributes
#[trio::test(autojump)]
async fn what_a_stream_was_made_of_can_be_asked() {
    for version in VERSIONS {
        let (client, server) = wide_pair(version);
        assert!(!client.is_server() && server.is_server());
        assert!(!client.is_https_compatible());
        assert_eq!(client.server_name().unwrap().as_deref(), Some(NAME));
        assert_eq!(server.server_name(), Err(NeedHandshakeError));
        let (mut client, mut server) = shake((client.https_compatible(true), server)).await;
        assert!(client.is_https_compatible());
        assert_eq!(server.server_name().unwrap().as_deref(), Some(NAME));
        // The transport is still there.
        trio::SendStream::send_all(client.transport_mut(), b"not TLS").await.unwrap();
        assert!(format!("{:?}", server.transport()).starts_with("StapledStream"));
        let error = server.receive_some(&mut [0; 16]).await.unwrap_err();
        assert!(matches!(TlsError::of(&error), Some(TlsError::Rustls(_))), "{error:?}");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
    let name = TlsStream::client(wide().0, Arc::new(client_config(Tls13)), "not a name").unwrap_err();
    assert_eq!(name.kind(), io::ErrorKind::InvalidInput);
}

// trio: _tests/test_ssl.py::test_selected_alpn_protocol_before_handshake
// trio: _tests/test_ssl.py::test_get_channel_binding_before_handshake
#[trio::test(autojump)]
async fn what_the_handshake_finds_out_is_not_known_before() {
    let (client, server) = wide_pair(Tls13);
    for stream in [client, server] {
        assert_eq!(stream.alpn_protocol(), Err(NeedHandshakeError));
        assert_eq!(stream.peer_certificates(), Err(NeedHandshakeError));
        assert_eq!(stream.protocol_version(), Err(NeedHandshakeError));
        assert_eq!(stream.cipher_suite(), Err(NeedHandshakeError));
        assert_eq!(stream.is_resumed(), Err(NeedHandshakeError));
        assert_fails::<NeedHandshakeError>(stream.export_keying_material(&mut [0; 8], b"label", None));
    }
}

// trio: _tests/test_ssl.py::test_selected_alpn_protocol_when_not_set
// trio: _tests/test_ssl.py::test_get_channel_binding_after_handshake
#[trio::test(autojump, schedules = 20)]
async fn what_the_handshake_finds_out_is_known_afterwards() {
    for version in VERSIONS {
        let (client, server) = shake(narrow_pair(version)).await;
        let mut bindings = Vec::new();
        for stream in [&client, &server] {
            assert_eq!(stream.alpn_protocol(), Ok(None));
            let expected = if version == Tls13 { "TLSv1_3" } else { "TLSv1_2" };
            assert_eq!(format!("{:?}", stream.protocol_version().unwrap().unwrap()), expected);
            assert!(stream.cipher_suite().unwrap().is_some());
            assert_eq!(stream.is_resumed(), Ok(false));
            let mut binding = [0; 32];
            stream.export_keying_material(&mut binding, b"EXPORTER-Channel-Binding", None).unwrap();
            bindings.push(binding);
        }
        assert_ne!(bindings[0], [0; 32]);
        assert_eq!(bindings[0], bindings[1]);
        assert_eq!(client.peer_certificates().unwrap(), pki().server.chain());
        assert_eq!(server.peer_certificates().unwrap(), []);
    }
}

#[trio::test(autojump)]
async fn both_sides_agree_upon_a_protocol() {
    let mut config = client_config(Tls13);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let config = Arc::new(config);
    let mut of_server = (*server_config()).clone();
    of_server.alpn_protocols = vec![b"http/1.1".to_vec()];
    let (here, there) = wide();
    let client = TlsStream::client(here, Arc::clone(&config), NAME).unwrap();
    let (client, server) = shake((client, TlsStream::server(there, Arc::new(of_server.clone())).unwrap())).await;
    assert_eq!(client.alpn_protocol().unwrap().as_deref(), Some(&b"http/1.1"[..]));
    assert_eq!(server.alpn_protocol().unwrap().as_deref(), Some(&b"http/1.1"[..]));

    // None that both have.
    of_server.alpn_protocols = vec![b"spdy/1".to_vec()];
    let (here, there) = wide();
    let mut client = TlsStream::client(here, config, NAME).unwrap();
    let mut server = TlsStream::server(there, Arc::new(of_server)).unwrap();
    let (client, server) = both(client.do_handshake(), server.do_handshake()).await;
    assert_fails::<TlsError>(client);
    assert_fails::<TlsError>(server);
}

#[trio::test(autojump, schedules = 10)]
async fn clients_can_show_who_they_are() {
    for version in VERSIONS {
        let (here, there) = wide();
        let client = TlsStream::client(here, Arc::new(known_client_config(version)), NAME).unwrap();
        let (_, server) = shake((client, TlsStream::server(there, choosy_server_config()).unwrap())).await;
        assert_eq!(server.peer_certificates().unwrap(), pki().client.chain());

        // With TLS 1.3 the client learns only after its handshake that the server does not want it.
        let (here, there) = wide();
        let mut client = TlsStream::client(here, Arc::new(client_config(version)), NAME).unwrap();
        let mut server = TlsStream::server(there, choosy_server_config()).unwrap();
        let (received, served) = both(client.receive_some(&mut [0; 8]), server.do_handshake()).await;
        let error = received.unwrap_err();
        assert!(
            matches!(TlsError::of(&error), Some(TlsError::Rustls(rustls::Error::AlertReceived(_)))),
            "the server tells why: {error:?}"
        );
        assert_fails::<TlsError>(served);
    }
}

#[trio::test(autojump, schedules = 10)]
async fn a_certificate_that_is_not_good_ends_the_handshake() {
    for version in VERSIONS {
        let good = || Arc::new(client_config(version));
        let cases = [
            (untrusting_config(), NAME, server_config(), "UnknownIssuer"),
            (good(), "other.test.example", server_config(), "NotValidForName"),
            (good(), "127.0.0.1", server_config(), "NotValidForName"),
            (good(), NAME, server_config_of(&pki().expired), "Expired"),
        ];
        for (config, name, of_server, expected) in cases {
            let (here, there) = narrow();
            let mut client = TlsStream::client(here, config, name).unwrap();
            let mut server = TlsStream::server(there, of_server).unwrap();
            let (sent, received) = both(client.send_all(b"secret"), server.receive_some(&mut [0; 8])).await;
            let error = sent.unwrap_err();
            let Some(TlsError::Rustls(rustls::Error::InvalidCertificate(why))) = TlsError::of(&error) else {
                panic!("{error:?}")
            };
            assert!(format!("{why:?}").starts_with(expected), "{why:?}");
            // The server is told, and gets no data.
            assert!(matches!(
                TlsError::of(&received.unwrap_err()),
                Some(TlsError::Rustls(rustls::Error::AlertReceived(_)))
            ));
            // And that was it.
            assert_fails::<BrokenResourceError>(client.send_all(b"secret").await);
            assert_fails::<BrokenResourceError>(client.receive_some(&mut [0; 8]).await);
            assert_fails::<BrokenResourceError>(client.do_handshake().await);
            assert_eq!(client.peer_certificates(), Err(NeedHandshakeError));
            client.aclose().await.unwrap();
            server.aclose().await.unwrap();
        }
    }
}

#[trio::test(autojump)]
async fn sessions_are_resumed() {
    for version in VERSIONS {
        let (config, of_server) = (Arc::new(client_config(version)), server_config());
        for again in [false, true, true] {
            let (here, there) = wide();
            let client = TlsStream::client(here, Arc::clone(&config), NAME).unwrap();
            let server = TlsStream::server(there, Arc::clone(&of_server)).unwrap();
            let (mut client, server) = shake((client, server)).await;
            assert_eq!((client.is_resumed(), server.is_resumed()), (Ok(again), Ok(again)), "{version:?}");
            // The tickets come with the server's first data.
            let exchange = async {
                client.send_all(b"x").await.unwrap();
                assert_eq!(receive_exactly(&mut client, 1).await.unwrap(), b"x");
                client.aclose().await.unwrap();
            };
            let (served, ()) = both(echo(server), exchange).await;
            served.unwrap();
        }
    }
}

/// How much is waiting to be received.
fn waiting(stream: &trio::testing::MemoryReceiveStream) -> String {
    format!("{stream:?}")
}

#[trio::test(autojump)]
async fn a_servers_tickets_wait_for_its_first_data() {
    let transports = trio::testing::memory_stream_pair();
    let to_client = transports.0.receive_stream.clone();
    let (mut client, mut server) = shake(over(transports, Tls13)).await;
    assert!(waiting(&to_client).contains("unreceived: 0"), "{to_client:?}");
    // Not even receiving sends them: the client may never look.
    client.send_all(b"x").await.unwrap();
    assert_eq!(receive_exactly(&mut server, 1).await.unwrap(), b"x");
    assert!(waiting(&to_client).contains("unreceived: 0"), "{to_client:?}");
    server.send_all(b"y").await.unwrap();
    assert_eq!(receive_exactly(&mut client, 1).await.unwrap(), b"y");
}

#[trio::test(autojump)]
async fn the_last_of_the_handshake_goes_with_the_first_data() {
    for (version, expected) in [(Tls13, 2), (Tls12, 3)] {
        let transports = trio::testing::memory_stream_pair();
        let sends = Rc::new(Cell::new(0));
        let (count, to) = (Rc::clone(&sends), transports.1.receive_stream.clone());
        transports.0.send_stream.set_send_all_hook(Some(AsyncHook::new(move |from| {
            count.set(count.get() + 1);
            std::future::ready(memory_stream_pump(&from, &to, None).map(drop))
        })));
        let (mut client, mut server) = over(transports, version);
        let (received, sent) = both(receive_exactly(&mut server, 1), client.send_all(b"x")).await;
        sent.unwrap();
        client.do_handshake().await.unwrap();
        assert_eq!((received.unwrap(), sends.get()), (b"x".to_vec(), expected), "{version:?}");
    }
}

#[trio::test(autojump, schedules = 50)]
async fn a_client_that_only_sends_does_not_stop_the_server() {
    for version in VERSIONS {
        let (mut client, mut server) = narrow_pair(version);
        let send = async {
            for _ in 0..3 {
                client.send_all(&[7; 1000]).await.unwrap();
            }
        };
        let (received, ()) = both(receive_exactly(&mut server, 3000), send).await;
        assert_eq!(received.unwrap(), [7; 3000]);
    }
}

#[trio::test(autojump, schedules = 50)]
async fn both_halves_may_want_the_handshake() {
    for version in [Tls12, Tls13] {
        let (mut client, mut server) = narrow_pair(version);
        let (mut from, mut to) = client.split();
        let (mut served_from, mut served_to) = SplitStream::split(&mut server);
        let results = both(
            both(from.do_handshake(), to.do_handshake()),
            both(served_from.do_handshake(), served_to.do_handshake()),
        )
        .await;
        let ((a, b), (c, d)) = results;
        for result in [a, b, c, d] {
            result.unwrap();
        }
        assert_checkpoints(from.do_handshake()).await.unwrap();
        let (received, sent) = both(from.receive_some(&mut [0; 4]), served_to.send_all(b"x")).await;
        sent.unwrap();
        assert_eq!(received.unwrap(), 1);
    }
}

// trio: _tests/test_ssl.py::test_receive_error_during_handshake
#[trio::test(autojump)]
async fn an_error_of_the_transport_during_the_handshake_is_told_and_stays() {
    use trio::testing::{AsyncHook, MemoryReceiveStream, memory_stream_pair};
    for version in VERSIONS {
        let (client, mut server) = over(memory_stream_pair(), version);
        let fail = AsyncHook::new(|_: MemoryReceiveStream| async { Err(io::Error::other("it is raining")) });
        client.transport().receive_stream.set_receive_some_hook(Some(fail));
        let mut client = client;
        let (result, _) = both(client.do_handshake(), async {
            trio::move_on_after(crate::support::secs(1), server.do_handshake()).await
        })
        .await;
        let error = result.unwrap_err();
        assert!(!is::<TlsError>(&error));
        assert_eq!(error.to_string(), "it is raining");
        assert_fails::<BrokenResourceError>(client.do_handshake().await);
    }
}
