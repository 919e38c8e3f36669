//! Listeners whose streams speak TLS.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::ServerConfig;

use super::stream::TlsStream;
use crate::stream::{AsyncResource, Listener};

/// A listener of any kind, whose streams are wrapped in TLS: Trio's `SSLListener`.
///
/// Accepting does not handshake, so nobody who is slow at that keeps others waiting: the stream's first operation does,
/// in the task that serves it.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use trio::net::TcpListener;
/// use trio::tls::{TlsListener, rustls::ServerConfig};
/// async fn serve_one(config: Arc<ServerConfig>) -> std::io::Result<()> {
///     let mut listener = TlsListener::new(TcpListener::bind("127.0.0.1:0").await?, config);
///     let mut stream = listener.accept().await?;
///     stream.send_all(b"hello").await?;
///     stream.aclose().await
/// }
/// ```
pub struct TlsListener<L> {
    listener: L,
    config: Arc<ServerConfig>,
    https_compatible: bool,
}

impl<L> TlsListener<L> {
    /// Wraps a listener. All connections share the configuration, and so can resume each other's sessions.
    pub const fn new(listener: L, config: Arc<ServerConfig>) -> Self {
        Self { listener, config, https_compatible: false }
    }

    /// Sets whether the accepted streams are [HTTPS compatible](TlsStream::https_compatible). No, unless set.
    pub fn https_compatible(mut self, https_compatible: bool) -> Self {
        self.https_compatible = https_compatible;
        self
    }

    /// What is behind this.
    pub const fn transport(&self) -> &L {
        &self.listener
    }

    /// What is behind this. What is accepted there directly does not speak TLS.
    pub const fn transport_mut(&mut self) -> &mut L {
        &mut self.listener
    }
}

impl<L: Listener> TlsListener<L> {
    /// Waits for a peer to connect, and wraps the stream. The handshake has not begun then.
    ///
    /// A checkpoint. Cancelled or dropped, it has accepted nobody.
    ///
    /// # Errors
    ///
    /// Those of the listener behind; [`TlsError`](super::TlsError) (inside the `io::Error`) if rustls does not want the
    /// configuration.
    pub async fn accept(&mut self) -> io::Result<TlsStream<L::Stream>> {
        let transport = self.listener.accept().await?;
        Ok(TlsStream::server(transport, Arc::clone(&self.config))?.https_compatible(self.https_compatible))
    }
}

impl<L: AsyncResource> TlsListener<L> {
    /// Closes the listener behind.
    ///
    /// A checkpoint.
    ///
    /// # Errors
    ///
    /// Those of the listener behind.
    pub async fn aclose(&mut self) -> io::Result<()> {
        self.listener.aclose().await
    }
}

impl<L: Listener> Listener for TlsListener<L> {
    type Stream = TlsStream<L::Stream>;

    async fn accept(&mut self) -> io::Result<Self::Stream> {
        self.accept().await
    }
}

impl<L: AsyncResource> AsyncResource for TlsListener<L> {
    async fn aclose(&mut self) -> io::Result<()> {
        self.aclose().await
    }
}

impl<L: fmt::Debug> fmt::Debug for TlsListener<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsListener")
            .field("listener", &self.listener)
            .field("https_compatible", &self.https_compatible)
            .finish_non_exhaustive()
    }
}
