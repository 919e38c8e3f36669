//! TLS 1.3 by rustls over TCP on loopback, client and server in one thread: handshakes, and data one way.
//!
//! trio has its own layer over rustls, tokio has tokio-rustls; the library, its provider, the certificate and the
//! configurations are the same ones.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use tokio_rustls::{TlsAcceptor, TlsConnector};
use trio::tls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use trio::tls::rustls::{ClientConfig, ServerConfig};
use trio::tls::{TlsStream, client_config_trusting, server_config};

use crate::harness::{Benchmark, Sample};
use crate::hosts::{self, Hosted};
use crate::options::Scale;

const NAME: &str = "localhost";
const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// What is sent at once.
const PIECE: usize = 64 * 1024;

/// The two sides' configurations.
#[derive(Clone)]
struct Configs {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

impl Configs {
    /// Without resumption, so that each handshake is a whole one.
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).expect("a certificate");
        let certificate = made.cert.der().clone();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let client = client_config_trusting([certificate.clone()]).expect("a configuration");
        let mut client = Arc::unwrap_or_clone(client);
        client.resumption = trio::tls::rustls::client::Resumption::disabled();
        let server = server_config(vec![certificate], key).expect("a configuration");
        let mut server = Arc::unwrap_or_clone(server);
        server.send_tls13_tickets = 0;
        Self { client: Arc::new(client), server: Arc::new(server) }
    }
}

pub(crate) fn benchmarks(scale: Scale) -> [Benchmark; 2] {
    let (handshakes, pieces) = (scale.of(100), scale.of(1_000));
    [
        both(
            "TLS handshake",
            "A TCP connection, a whole handshake, one byte each way, and the close; time per connection.",
            move |configs| hosts::trio(handshakes_on_trio(configs, handshakes)),
            move |configs| hosts::tokio_local_runtime(handshakes_on_tokio(configs, handshakes)),
        ),
        both(
            "TLS throughput",
            "Data one way in pieces of 64 KiB; time per piece.",
            move |configs| hosts::trio(data_on_trio(configs, pieces)),
            move |configs| hosts::tokio_local_runtime(data_on_tokio(configs, pieces)),
        ),
    ]
}

fn both(
    name: &'static str,
    what: &'static str,
    trio: impl Fn(Configs) -> Hosted<io::Result<Sample>> + 'static,
    tokio: impl Fn(Configs) -> Hosted<io::Result<Sample>> + 'static,
) -> Benchmark {
    let (ours, theirs) = (Configs::new(), Configs::new());
    Benchmark::new(name, what)
        .contender("trio", move || trio(ours.clone())?.map_err(|error| error.to_string()))
        .contender("tokio LocalRuntime, tokio-rustls", move || {
            tokio(theirs.clone())?.map_err(|error| error.to_string())
        })
        .goal("trio", "tokio LocalRuntime, tokio-rustls", 1.0)
}

async fn handshakes_on_trio(configs: Configs, count: u64) -> io::Result<Sample> {
    let mut listener = trio::net::TcpListener::bind(ANY_PORT).await?;
    let address = listener.local_addr()?;
    let server_config = configs.server;
    let start = Instant::now();
    trio::try_nursery! { |n| -> Result<(), io::Error>
        n.start_soon(async {
            for _ in 0..count {
                let (stream, _) = listener.accept().await?;
                let mut stream = TlsStream::server(stream, Arc::clone(&server_config))?;
                stream.receive_some(&mut [0; 16]).await?;
                stream.send_all(b"x").await?;
                stream.aclose().await?;
            }
            Ok(())
        });
        for _ in 0..count {
            let stream = trio::net::TcpStream::connect(address).await?;
            let mut stream = TlsStream::client(stream, Arc::clone(&configs.client), NAME)?;
            stream.send_all(b"x").await?;
            stream.receive_some(&mut [0; 16]).await?;
            stream.aclose().await?;
        }
    }
    .map_err(io::Error::other)?;
    Ok(Sample::new(start.elapsed(), count))
}

async fn handshakes_on_tokio(configs: Configs, count: u64) -> io::Result<Sample> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind(ANY_PORT).await?;
    let address = listener.local_addr()?;
    let acceptor = TlsAcceptor::from(configs.server);
    let connector = TlsConnector::from(configs.client);
    let start = Instant::now();
    let serve = tokio::task::spawn_local(async move {
        for _ in 0..count {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let mut stream = acceptor.accept(stream).await?;
            stream.read_exact(&mut [0; 1]).await?;
            stream.write_all(b"x").await?;
            stream.shutdown().await?;
        }
        io::Result::Ok(())
    });
    for _ in 0..count {
        let stream = tokio::net::TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(NAME).map_err(io::Error::other)?;
        let mut stream = connector.connect(name, stream).await?;
        stream.write_all(b"x").await?;
        stream.read_exact(&mut [0; 1]).await?;
        stream.shutdown().await?;
    }
    serve.await??;
    Ok(Sample::new(start.elapsed(), count))
}

async fn data_on_trio(configs: Configs, pieces: u64) -> io::Result<Sample> {
    let mut listener = trio::net::TcpListener::bind(ANY_PORT).await?;
    let client = trio::net::TcpStream::connect(listener.local_addr()?).await?;
    let (server, _) = listener.accept().await?;
    let mut client = TlsStream::client(client, configs.client, NAME)?;
    let mut server = TlsStream::server(server, configs.server)?;
    trio::try_nursery! { |n| -> Result<(), io::Error>
        n.start_soon(client.do_handshake());
        server.do_handshake().await?;
    }
    .map_err(io::Error::other)?;
    let start = Instant::now();
    trio::try_nursery! { |n| -> Result<(), io::Error>
        n.start_soon(async {
            let data = vec![7; PIECE];
            for _ in 0..pieces {
                client.send_all(&data).await?;
            }
            client.aclose().await
        });
        let mut buffer = vec![0; PIECE];
        while server.receive_some(&mut buffer).await? > 0 {}
    }
    .map_err(io::Error::other)?;
    Ok(Sample::new(start.elapsed(), pieces))
}

async fn data_on_tokio(configs: Configs, pieces: u64) -> io::Result<Sample> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind(ANY_PORT).await?;
    let client = tokio::net::TcpStream::connect(listener.local_addr()?).await?;
    let (server, _) = listener.accept().await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let acceptor = TlsAcceptor::from(configs.server);
    let accept = tokio::task::spawn_local(async move { acceptor.accept(server).await });
    let name = ServerName::try_from(NAME).map_err(io::Error::other)?;
    let mut client = TlsConnector::from(configs.client).connect(name, client).await?;
    let mut server = accept.await??;
    let start = Instant::now();
    let send = tokio::task::spawn_local(async move {
        let data = vec![7; PIECE];
        for _ in 0..pieces {
            client.write_all(&data).await?;
        }
        client.shutdown().await
    });
    let receive = tokio::task::spawn_local(async move {
        let mut buffer = vec![0; PIECE];
        while server.read(&mut buffer).await? > 0 {}
        io::Result::Ok(())
    });
    send.await??;
    receive.await??;
    Ok(Sample::new(start.elapsed(), pieces))
}
