//! TLS over TCP.

use std::cell::Cell;
use std::io;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use trio::net::{TcpListener, TcpStream};
use trio::testing::{check_half_closeable_stream, open_stream_to_socket_listener};
use trio::tls::rustls::pki_types::pem::PemObject;
use trio::tls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use trio::tls::{TlsError, TlsListener, TlsStream, rustls};
use trio::{
    AsyncResource, ClosedResourceError, Listener, open_tls_over_tcp_listeners, open_tls_over_tcp_stream,
    serve_tls_over_tcp,
};

use super::pki::{
    Folder, NAME, Tls13, VERSIONS, assert_fails, both, client_config, echo, over, pki, receive_exactly, server_config,
    shake, untrusting_config,
};
use crate::support::{clog_tcp, secs, tcp_pair};

#[trio::test]
async fn tls_over_tcp_is_a_stream() {
    let maker = async || over(tcp_pair().await, Tls13);
    let clogged = async || {
        let (mut client, mut server) = shake(over(tcp_pair().await, Tls13)).await;
        clog_tcp(&mut client, TlsStream::transport).await;
        clog_tcp(&mut server, TlsStream::transport).await;
        (client, server)
    };
    Box::pin(check_half_closeable_stream(maker, clogged)).await;
}

/// A certificate for these names, by somebody whom the configuration trusts.
fn certified(names: &[&str]) -> (Arc<rustls::ServerConfig>, Arc<rustls::ClientConfig>) {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let of_server = trio::tls::server_config(vec![certificate.clone()], key).unwrap();
    (of_server, trio::tls::client_config_trusting([certificate]).unwrap())
}

// trio: _tests/test_highlevel_ssl_helpers.py::test_open_ssl_over_tcp_stream_and_everything_else
#[trio::test]
async fn a_server_and_its_clients() {
    let (of_server, trusting) = certified(&["localhost"]);
    let failed = Cell::new(0);
    let handler = async |stream| {
        if echo(stream).await.is_err() {
            failed.set(failed.get() + 1);
        }
    };
    trio::try_nursery! { |n, scope|
        let port = n
            .start(|status| serve_tls_over_tcp(&handler, 0, Some("127.0.0.1"), of_server).reporting(status))
            .await?[0]
            .port();

        // Nobody is trusted; another name; and the right one, of whom nobody has asked for a handshake so far.
        let mut client = open_tls_over_tcp_stream("localhost", port).config(untrusting_config()).await?;
        assert!(!client.is_server() && !client.is_https_compatible());
        assert_fails::<TlsError>(client.do_handshake().await);

        let mut client = open_tls_over_tcp_stream("127.0.0.1", port).config(Arc::clone(&trusting)).await?;
        assert_eq!(client.server_name()?.as_deref(), Some("127.0.0.1"));
        let error = client.do_handshake().await.unwrap_err();
        assert!(error.to_string().contains("not valid for name"), "{error}");

        let mut client = open_tls_over_tcp_stream("localhost", port).config(Arc::clone(&trusting)).await?;
        assert_eq!(client.server_name()?.as_deref(), Some("localhost"));
        client.send_all(b"x").await?;
        assert_eq!(receive_exactly(&mut client, 1).await?, b"x");
        client.aclose().await?;

        let client = open_tls_over_tcp_stream("localhost", port).config(trusting).https_compatible(true).await?;
        assert!(client.is_https_compatible());
        drop(client);
        trio::fail_after(secs(60), async {
            while failed.get() < 3 {
                trio::sleep(Duration::from_millis(5)).await;
            }
        })
        .await?;
        scope.cancel();
    }
    .unwrap();
}

// trio: _tests/test_highlevel_ssl_helpers.py::test_open_ssl_over_tcp_listeners
#[trio::test]
async fn listeners_at_all_addresses() {
    let mut listeners = open_tls_over_tcp_listeners(0, Some("127.0.0.1"), server_config()).await.unwrap();
    assert_eq!(listeners.len(), 1);
    let listener = listeners.pop().unwrap();
    assert_eq!(listener.transport().local_addr().unwrap().ip().to_string(), "127.0.0.1");
    for https_compatible in [false, true] {
        let mut listener = TlsListener::new(TcpListener::bind("127.0.0.1:0").await.unwrap(), server_config())
            .https_compatible(https_compatible);
        let _client = open_stream_to_socket_listener(listener.transport()).await.unwrap();
        assert_eq!(listener.accept().await.unwrap().is_https_compatible(), https_compatible);
    }
}

// trio: _tests/test_ssl.py::test_SSLListener
#[trio::test]
async fn accepting_does_not_handshake() {
    for version in VERSIONS {
        let mut listener = TlsListener::new(TcpListener::bind("127.0.0.1:0").await.unwrap(), server_config());
        // One who connects and says nothing keeps nobody waiting.
        let _silent = open_stream_to_socket_listener(listener.transport()).await.unwrap();
        let _accepted = Listener::accept(&mut listener).await.unwrap();
        let transport = open_stream_to_socket_listener(listener.transport()).await.unwrap();
        let client = TlsStream::client(transport, Arc::new(client_config(version)), NAME).unwrap();
        let server = listener.accept().await.unwrap();
        assert!(server.is_server() && server.alpn_protocol().is_err());
        let (mut client, mut server) = shake((client, server)).await;
        let (sent, received) = both(client.send_all(b"hi"), receive_exactly(&mut server, 2)).await;
        sent.unwrap();
        assert_eq!(received.unwrap(), b"hi");
        AsyncResource::aclose(&mut listener).await.unwrap();
        assert_fails::<ClosedResourceError>(listener.transport().local_addr());
        assert_fails::<ClosedResourceError>(listener.accept().await.map(drop));
    }
}

#[trio::test]
async fn a_server_may_be_https_compatible() {
    let (of_server, trusting) = certified(&["localhost"]);
    let handler = async |mut stream: TlsStream<TcpStream>| -> io::Result<()> {
        assert!(stream.is_https_compatible());
        stream.send_all(b"all").await?;
        stream.aclose().await
    };
    trio::try_nursery! { |n, scope|
        let server = |status| {
            serve_tls_over_tcp(handler, 0, Some("localhost"), of_server).https_compatible(true).reporting(status)
        };
        let port = n.start(server).await?[0].port();
        let mut client = open_tls_over_tcp_stream("localhost", port).config(trusting).await?;
        assert_eq!(receive_exactly(&mut client, 3).await?, b"all");
        let error = client.receive_some(&mut [0; 8]).await.unwrap_err();
        assert_eq!(TlsError::of(&error), Some(&TlsError::Truncated));
        scope.cancel();
    }
    .unwrap();
}

#[trio::test]
async fn a_client_that_is_dropped_while_it_connects_leaves_nothing() {
    let of_run = || {
        let statistics = trio::lowlevel::current_statistics();
        (statistics.tasks_living, statistics.nodes, statistics.timers, statistics.io_registrations)
    };
    let before = of_run();
    let mut listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for polls in 0..5 {
        let mut opening = open_tls_over_tcp_stream("127.0.0.1", port).config(untrusting_config());
        for _ in 0..polls {
            let polled = std::future::poll_fn(|context| {
                std::task::Poll::Ready(std::pin::Pin::new(&mut opening).poll(context).is_ready())
            });
            if polled.await {
                break;
            }
            trio::checkpoint().await;
        }
    }
    listener.aclose().await.unwrap();
    drop(listener);
    assert_eq!(before, of_run());
}

/// Runs itself again, in processes whose system trusts only whom the test says.
#[test]
fn whom_the_system_trusts_is_trusted() {
    const INSIDE: &str = "TRIO_TEST_SYSTEM_TRUST";
    if let Some(folder) = std::env::var_os(INSIDE) {
        let file = |name| std::path::Path::new(&folder).join(name);
        let certificate = CertificateDer::from_pem_file(file("server.crt")).unwrap();
        let key = PrivateKeyDer::from_pem_file(file("server.key")).unwrap();
        let of_server = trio::tls::server_config(vec![certificate], key).unwrap();
        return trio::run(async {
            let (here, there) = trio::testing::memory_stream_pair();
            let config = trio::tls::client_config().unwrap();
            assert!(Arc::ptr_eq(&config, &trio::tls::client_config().unwrap()), "sessions are shared");
            let client = TlsStream::client(here, config, NAME).unwrap();
            shake((client, TlsStream::server(there, of_server).unwrap())).await;
        });
    }
    let folder = Folder::new();
    folder.write("server.crt", &pki().server.certificate_pem);
    folder.write("server.key", &pki().server.key_pem);
    let (_, module) = module_path!().split_once("::").unwrap();
    let run = |trusted: &str| {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &format!("{module}::whom_the_system_trusts_is_trusted"), "--nocapture"])
            .env(INSIDE, folder.path())
            .env("SSL_CERT_FILE", folder.write("trusted.pem", trusted))
            .env_remove("SSL_CERT_DIR")
            .output()
            .unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (works, text) = run(&pki().authority.certificate_pem);
    assert!(works, "{text}");
    let (works, text) = run(&pki().client.certificate_pem);
    assert!(!works && text.contains("UnknownIssuer"), "{text}");
    let (works, text) = run("");
    assert!(!works && text.contains("no certificates to trust"), "{text}");
}
