//! TLS over TCP: connecting, listening, serving.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::{ClientConfig, ServerConfig};

use super::config::client_config;
use super::listener::TlsListener;
use super::stream::TlsStream;
use crate::net::happy::open_tcp_stream;
use crate::net::listeners::open_tcp_listeners;
use crate::net::serve::Serve;
use crate::net::serve::hidden::Here;
use crate::net::{TcpListener, TcpStream};
use crate::threads::to_thread;

/// Connects to a host by name or address, and speaks TLS with it: Trio's `open_ssl_over_tcp_stream`.
///
/// The connection is made as by [`open_tcp_stream`]. The server's certificate has to be for this host, and to be
/// vouched for by somebody whom the system trusts, unless there is another
/// [configuration](OpenTlsOverTcpStream::config). The handshake is not done yet: the first operation does it, or
/// [`do_handshake`](TlsStream::do_handshake).
///
/// A checkpoint. Cancelled or dropped, it leaves no connection behind.
///
/// # Errors
///
/// Those of [`open_tcp_stream`], and of [`client_config`] and [`TlsStream::client`].
///
/// # Examples
///
/// ```no_run
/// #[trio::main]
/// async fn main() -> trio::Result {
///     let mut stream = trio::open_tls_over_tcp_stream("example.com", 443).https_compatible(true).await?;
///     stream.send_all(b"GET / HTTP/1.0\r\nHost: example.com\r\n\r\n").await?;
///     let mut buffer = [0; 4096];
///     loop {
///         match stream.receive_some(&mut buffer).await? {
///             0 => return Ok(()),
///             count => print!("{}", String::from_utf8_lossy(&buffer[..count])),
///         }
///     }
/// }
/// ```
#[track_caller]
pub fn open_tls_over_tcp_stream(host: &str, port: u16) -> OpenTlsOverTcpStream {
    let connecting = open_tcp_stream(host, port);
    let options = ClientOptions { host: host.to_owned(), config: None, https_compatible: false };
    OpenTlsOverTcpStream { options: Some((Box::pin(connecting), options)), opening: None }
}

/// What [`open_tls_over_tcp_stream`](open_tls_over_tcp_stream()) gives: a future, and what can be said about it before
/// it is awaited.
#[must_use = "futures do nothing unless they are awaited"]
pub struct OpenTlsOverTcpStream {
    options: Option<(Pending<TcpStream>, ClientOptions)>,
    opening: Option<Pending<TlsStream<TcpStream>>>,
}

type Pending<T> = Pin<Box<dyn Future<Output = io::Result<T>>>>;

struct ClientOptions {
    host: String,
    config: Option<Arc<ClientConfig>>,
    https_compatible: bool,
}

impl OpenTlsOverTcpStream {
    /// Sets the configuration, instead of [`client_config`].
    pub fn config(mut self, config: Arc<ClientConfig>) -> Self {
        if let Some((_, options)) = &mut self.options {
            options.config = Some(config);
        }
        self
    }

    /// Sets whether the stream is [HTTPS compatible](TlsStream::https_compatible). No, unless set.
    pub fn https_compatible(mut self, https_compatible: bool) -> Self {
        if let Some((_, options)) = &mut self.options {
            options.https_compatible = https_compatible;
        }
        self
    }
}

impl Future for OpenTlsOverTcpStream {
    type Output = io::Result<TlsStream<TcpStream>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some((connecting, options)) = self.options.take() {
            self.opening = Some(Box::pin(open(connecting, options)));
        }
        match &mut self.opening {
            Some(opening) => opening.as_mut().poll(context),
            None => unreachable!("there are options until the first poll"),
        }
    }
}

impl fmt::Debug for OpenTlsOverTcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenTlsOverTcpStream").field("begun", &self.opening.is_some()).finish_non_exhaustive()
    }
}

async fn open(connecting: Pending<TcpStream>, options: ClientOptions) -> io::Result<TlsStream<TcpStream>> {
    let ClientOptions { host, config, https_compatible } = options;
    let config = match config {
        Some(config) => config,
        // It may have to read files.
        None => to_thread::Call::new().abandonable().name("certificates").try_run_sync(client_config).await??,
    };
    let transport = connecting.await?;
    Ok(TlsStream::client(transport, config, &host)?.https_compatible(https_compatible))
}

/// Listens at every address that a host has, for connections that speak TLS: Trio's `open_ssl_over_tcp_listeners`.
///
/// As [`open_tcp_listeners`](crate::open_tcp_listeners()), each of whose listeners is wrapped in a [`TlsListener`].
/// Accepting does not handshake.
///
/// A checkpoint. Cancelled or dropped, it leaves nothing behind.
///
/// # Errors
///
/// Those of `open_tcp_listeners`.
pub async fn open_tls_over_tcp_listeners(
    port: u16,
    host: Option<&str>,
    config: Arc<ServerConfig>,
) -> io::Result<Vec<TlsListener<TcpListener>>> {
    let listeners = open_tcp_listeners(port, host).await?;
    Ok(listeners.into_iter().map(|listener| TlsListener::new(listener, Arc::clone(&config))).collect())
}

/// Listens at all addresses of a host, and runs `handler` in a task of its own for each connection, which speaks TLS:
/// Trio's `serve_ssl_over_tcp`.
///
/// As [`serve_tcp`](crate::serve_tcp()), with a stream that has not done its handshake yet. It is done in the handler,
/// by the first operation: a handler that lets its errors out lets one client that does not speak TLS take the server
/// down.
///
/// # Errors
///
/// Those of [`open_tls_over_tcp_listeners`] and [`serve_listeners`](crate::serve_listeners()), in an
/// [`ErrorGroup`](crate::ErrorGroup).
///
/// # Examples
///
/// ```
/// use trio::net::TcpStream;
/// use trio::tls::{self, TlsStream};
/// async fn greet(mut stream: TlsStream<TcpStream>) {
///     let greeted = async {
///         stream.send_all(b"hello").await?;
///         stream.aclose().await
///     };
///     if let Err(error) = greeted.await {
///         eprintln!("somebody was not greeted: {error}");
///     }
/// }
///
/// #[trio::main]
/// async fn main() -> trio::Result {
///     # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
///     # let certificate = made.cert.der().clone();
///     # let key = tls::rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der())?;
///     let server_config = tls::server_config(vec![certificate.clone()], key)?;
///     let client_config = tls::client_config_trusting([certificate])?;
///     trio::try_nursery! { |n, scope|
///         let serving = n.start(|status| {
///             trio::serve_tls_over_tcp(greet, 0, Some("localhost"), server_config).reporting(status)
///         });
///         let port = serving.await?[0].port();
///         let mut client = trio::open_tls_over_tcp_stream("localhost", port).config(client_config).await?;
///         let mut buffer = [0; 16];
///         assert_eq!(client.receive_some(&mut buffer).await?, 5);
///         client.aclose().await?;
///         scope.cancel();
///     }?;
///     Ok(())
/// }
/// ```
pub fn serve_tls_over_tcp<'a, H, O>(
    handler: H,
    port: u16,
    host: Option<&str>,
    config: Arc<ServerConfig>,
) -> Serve<'a, TlsListener<TcpListener>, Here<H, O>, Vec<SocketAddr>>
where
    H: AsyncFn(TlsStream<TcpStream>) -> O + 'a,
{
    let opening = open_tcp_listeners(port, host);
    Serve::new(handler, async move {
        let listeners = opening.await?;
        let addresses = listeners.iter().map(TcpListener::local_addr).collect::<io::Result<_>>()?;
        Ok((listeners.into_iter().map(|listener| TlsListener::new(listener, Arc::clone(&config))).collect(), addresses))
    })
}

impl<'a, L: 'a, D, V: 'a, E> Serve<'a, TlsListener<L>, D, V, E> {
    /// Sets whether the streams are [HTTPS compatible](TlsStream::https_compatible). No, unless set.
    pub fn https_compatible(self, https_compatible: bool) -> Self {
        self.map_listeners(move |listener| listener.https_compatible(https_compatible))
    }
}
