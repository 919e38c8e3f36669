//! A TLS stream as a whole.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, Connection, HandshakeKind, ProtocolVersion, ServerConfig, ServerConnection,
    SupportedCipherSuite,
};

use super::error::{NeedHandshakeError, TlsError};
use super::halves::{TlsReceiveHalf, TlsSendHalf, halves};
use super::operations;
use super::session::Session;
use crate::kernel::checkpoint::free_checkpoint;
use crate::kernel::context;
use crate::stream::{
    AsyncResource, ByteStream, HalfCloseableStream, ReceiveStream, SendProgress, SendStream, SplitStream,
};
use crate::sync::BrokenResourceError;

/// TLS over any stream: Trio's `SSLStream`.
///
/// Made by [`client`](Self::client) and [`server`](Self::server), by
/// [`open_tls_over_tcp_stream`](super::open_tls_over_tcp_stream()) and by [`TlsListener`](super::TlsListener). It is
/// the user's to handshake when that suits ([`do_handshake`](Self::do_handshake)); otherwise the first operation does.
/// No data is sent or received before the handshake has succeeded, which includes that the other side's certificate was
/// found good.
///
/// The end of a TLS session is said (with a `close_notify`) when a stream is [closed](Self::aclose), and an end that
/// was not said is an error, since somebody may have cut the connection: [`TlsError::Truncated`]. Many HTTP programs
/// don't say it, so there is [`https_compatible`](Self::https_compatible).
///
/// # Cancellation
///
/// No operation that is cancelled or dropped breaks the stream, not even in the middle of the handshake, or of a
/// record: what was not sent or not yet decrypted stays in the stream, and the next operation goes on from there. (With
/// Trio, a cancelled `send_all` breaks it.) So [`send_all`](Self::send_all), if it is cancelled, has sent any part of
/// the data, from its beginning, and what it had encrypted goes out with the next call that sends. A `send_all` of no
/// data is enough for that.
///
/// That takes a transport that can [tell how much it has sent](SendStream::send_counted), as all streams of this crate
/// do. With one that can't, an operation that is cancelled while it sends ends the sending: later operations that have
/// to send fail with [`BrokenResourceError`].
///
/// # Errors
///
/// [`TlsError`] (inside the `io::Error`) when TLS fails, and the transport's errors as they are. After a failure of TLS, or
/// of the handshake, the stream is broken, and operations fail with [`BrokenResourceError`]. After a failure to send it
/// can still receive.
///
/// # Examples
///
/// ```
/// use trio::testing::{MemoryStream, memory_stream_pair};
/// use trio::tls::{self, TlsStream, rustls};
/// # use rustls::pki_types::PrivateKeyDer;
/// async fn serve(transport: MemoryStream, config: std::sync::Arc<rustls::ServerConfig>) -> std::io::Result<()> {
///     let mut stream = TlsStream::server(transport, config)?;
///     let mut buffer = [0; 64];
///     let count = stream.receive_some(&mut buffer).await?;
///     stream.send_all(&buffer[..count]).await?;
///     stream.aclose().await
/// }
///
/// #[trio::main]
/// async fn main() -> trio::Result {
///     // A certificate of our own.
///     let made = rcgen::generate_simple_self_signed(["example.org".to_owned()])?;
///     let certificate = made.cert.der().clone();
///     let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())?;
///     let server_config = tls::server_config(vec![certificate.clone()], key)?;
///     let client_config = tls::client_config_trusting([certificate])?;
///
///     let (here, there) = memory_stream_pair();
///     let mut client = TlsStream::client(here, client_config, "example.org")?;
///     trio::try_nursery! { |n|
///         n.start_soon(serve(there, server_config));
///         client.send_all(b"secret").await?;
///         let mut buffer = [0; 64];
///         assert_eq!(client.receive_some(&mut buffer).await?, 6);
///         assert_eq!(client.receive_some(&mut buffer).await?, 0);
///         client.aclose().await?;
///     }?;
///     Ok(())
/// }
/// ```
pub struct TlsStream<T> {
    transport: T,
    session: RefCell<Session>,
    /// Whom the client wants to talk to.
    wanted_name: Option<String>,
}

impl<T> TlsStream<T> {
    /// The client's side. `server_name` is the host name or the address that the server's certificate must be for.
    ///
    /// No input or output, and not a checkpoint.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if this can't be a name; [`TlsError`] if rustls does not want the
    /// configuration.
    pub fn client(transport: T, config: Arc<ClientConfig>, server_name: &str) -> io::Result<Self> {
        let name = ServerName::try_from(server_name.to_owned())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let connection = ClientConnection::new(config, name).map_err(TlsError::from)?;
        Ok(Self::new(transport, connection.into(), Some(server_name.to_owned())))
    }

    /// The server's side.
    ///
    /// No input or output, and not a checkpoint.
    ///
    /// # Errors
    ///
    /// [`TlsError`] if rustls does not want the configuration.
    pub fn server(transport: T, config: Arc<ServerConfig>) -> io::Result<Self> {
        let connection = ServerConnection::new(config).map_err(TlsError::from)?;
        Ok(Self::new(transport, connection.into(), None))
    }

    fn new(transport: T, connection: Connection, wanted_name: Option<String>) -> Self {
        Self { transport, session: RefCell::new(Session::new(connection)), wanted_name }
    }

    /// Sets whether this stream is content with an end that was not said, and does not say it either, as many HTTP
    /// programs want it: Trio's `https_compatible`. No, unless set.
    ///
    /// Then [`aclose`](Self::aclose) closes the transport without more ado, and [`receive_some`](Self::receive_some)
    /// gives 0 when the transport ends, even in the middle of the handshake. The protocol above has to know by itself
    /// whether something is missing: HTTP does if lengths are given.
    pub fn https_compatible(mut self, https_compatible: bool) -> Self {
        self.session.get_mut().https_compatible = https_compatible;
        self
    }

    /// Whether it is [HTTPS compatible](Self::https_compatible).
    pub fn is_https_compatible(&self) -> bool {
        self.session.borrow().https_compatible
    }

    /// Whether this is the server's side.
    pub fn is_server(&self) -> bool {
        self.session.borrow().is_server()
    }

    /// What TLS runs over.
    pub const fn transport(&self) -> &T {
        &self.transport
    }

    /// What TLS runs over. To send or receive there directly breaks the TLS session.
    pub const fn transport_mut(&mut self) -> &mut T {
        &mut self.transport
    }

    // ------------------------------------------------------------------ what is known after the handshake

    fn known<R>(&self, ask: impl FnOnce(&Connection) -> R) -> Result<R, NeedHandshakeError> {
        self.session.borrow().connection().map(ask)
    }

    /// The protocol that both sides agreed upon by ALPN; `None` if they did not.
    ///
    /// # Errors
    ///
    /// [`NeedHandshakeError`] before the handshake; so for the others of these methods.
    pub fn alpn_protocol(&self) -> Result<Option<Vec<u8>>, NeedHandshakeError> {
        self.known(|connection| connection.alpn_protocol().map(<[u8]>::to_vec))
    }

    /// The certificates of the other side, its own first; none if it has shown none.
    ///
    /// # Errors
    ///
    /// [`NeedHandshakeError`] before the handshake.
    pub fn peer_certificates(&self) -> Result<Vec<CertificateDer<'static>>, NeedHandshakeError> {
        self.known(|connection| connection.peer_certificates().map_or_else(Vec::new, <[_]>::to_vec))
    }

    /// The server's name: on the client's side the one that it was given, on the server's side the one that the
    /// client asks for (SNI), if it does.
    ///
    /// # Errors
    ///
    /// [`NeedHandshakeError`] on the server's side before the handshake.
    pub fn server_name(&self) -> Result<Option<String>, NeedHandshakeError> {
        if self.wanted_name.is_some() {
            return Ok(self.wanted_name.clone());
        }
        self.known(|connection| match connection {
            Connection::Server(server) => server.server_name().map(str::to_owned),
            Connection::Client(_) => None,
        })
    }

    /// The version of the protocol.
    ///
    /// # Errors
    ///
    /// [`NeedHandshakeError`] before the handshake.
    pub fn protocol_version(&self) -> Result<Option<ProtocolVersion>, NeedHandshakeError> {
        self.known(|connection| connection.protocol_version())
    }

    /// How it is encrypted.
    ///
    /// # Errors
    ///
    /// [`NeedHandshakeError`] before the handshake.
    pub fn cipher_suite(&self) -> Result<Option<SupportedCipherSuite>, NeedHandshakeError> {
        self.known(|connection| connection.negotiated_cipher_suite())
    }

    /// Whether an earlier session was resumed, which saves most of the handshake.
    ///
    /// Clients with the same `ClientConfig` resume each other's sessions by themselves, and so do servers with the same
    /// `ServerConfig`: share them.
    ///
    /// # Errors
    ///
    /// [`NeedHandshakeError`] before the handshake.
    pub fn is_resumed(&self) -> Result<bool, NeedHandshakeError> {
        self.known(|connection| connection.handshake_kind() == Some(HandshakeKind::Resumed))
    }

    /// Fills `output` with bytes that only the two sides of this session can know, to tie something to it: RFC 5705.
    ///
    /// The label `EXPORTER-Channel-Binding`, an empty context and 32 bytes are the channel binding `tls-exporter` of
    /// RFC 9266, for which Trio has `get_channel_binding`.
    ///
    /// # Errors
    ///
    /// [`NeedHandshakeError`] (inside the `io::Error`) before the handshake; [`TlsError`] if rustls refuses.
    pub fn export_keying_material(&self, output: &mut [u8], label: &[u8], context: Option<&[u8]>) -> io::Result<()> {
        self.known(|connection| connection.export_keying_material(output, label, context))?.map_err(TlsError::from)?;
        Ok(())
    }

    /// Has new keys used from the next data on, in both directions. Only after very much data is that of use, and then
    /// rustls does so by itself.
    ///
    /// Not a checkpoint.
    ///
    /// # Errors
    ///
    /// [`NeedHandshakeError`] (inside the `io::Error`) before the handshake; [`TlsError`] with TLS 1.2, which can't do it.
    pub fn refresh_keys(&mut self) -> io::Result<()> {
        let session = self.session.get_mut();
        session.connection()?;
        session.check_sending()?;
        session.refresh_keys()?;
        Ok(())
    }
}

impl<T: ByteStream> TlsStream<T> {
    /// Does the handshake, once: afterwards it does nothing. The other operations do this first, by themselves.
    ///
    /// A checkpoint.
    ///
    /// # Cancellation
    ///
    /// The next operation goes on with the handshake from where it was: see [above](TlsStream#cancellation).
    ///
    /// # Errors
    ///
    /// [`TlsError`] (inside the `io::Error`), for instance when the other side's certificate is not good;
    /// [`ClosedResourceError`](crate::ClosedResourceError) if the stream is closed; the transport's. The stream is broken then.
    pub async fn do_handshake(&mut self) -> io::Result<()> {
        operations::do_handshake(&self.session, &mut &mut self.transport).await
    }

    /// Sends all of the data, and waits as long as that takes. No data is fine.
    ///
    /// A checkpoint.
    ///
    /// # Cancellation
    ///
    /// Any part of the data, from its beginning, may have been sent by then. The stream can still be used: see
    /// [above](TlsStream#cancellation).
    ///
    /// # Errors
    ///
    /// See [above](TlsStream#errors).
    pub async fn send_all(&mut self, data: &[u8]) -> io::Result<()> {
        self.send_counted(data, &mut SendProgress::new()).await
    }

    /// As [`send_all`](Self::send_all), and keeps account of how much was encrypted, which is what will be sent.
    ///
    /// A checkpoint.
    ///
    /// # Errors
    ///
    /// As `send_all`.
    pub async fn send_counted(&mut self, data: &[u8], progress: &mut SendProgress) -> io::Result<()> {
        operations::send_all(&self.session, &mut &mut self.transport, data, progress).await
    }

    /// Waits until a [`send_all`](Self::send_all) might not have to wait.
    ///
    /// A checkpoint. Cancelling it has no effect.
    ///
    /// # Errors
    ///
    /// As `send_all`.
    pub async fn wait_send_all_might_not_block(&mut self) -> io::Result<()> {
        operations::wait_send_all_might_not_block(&self.session, &mut &mut self.transport).await
    }

    /// Waits for data, and gives how many bytes it has put at the beginning of the buffer. 0 means that the other side
    /// has said that it will send no more.
    ///
    /// A checkpoint.
    ///
    /// # Cancellation
    ///
    /// Cancelled or dropped, it has received nothing: no data is lost.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if the buffer has no room, since 0 would then look like the end;
    /// [`TlsError::Truncated`] if the transport ended and the other side had not said so. And see [above](TlsStream#errors).
    pub async fn receive_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        operations::receive_some(&self.session, &mut &mut self.transport, buffer).await
    }

    /// Says that no more data will come. The other side sees the end after all that was sent; receiving goes on.
    ///
    /// For TLS 1.3. In TLS 1.2 the other side answers by closing its own direction, and may drop what it had to send.
    /// The transport stays as it is. Trio has no such thing.
    ///
    /// A checkpoint. Doing it again changes nothing; after a cancellation, it may be needed so that the other side sees
    /// the end.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](io::ErrorKind::Unsupported) with TLS 1.2. And see [above](TlsStream#errors).
    pub async fn send_eof(&mut self) -> io::Result<()> {
        operations::send_eof(&self.session, &mut &mut self.transport).await
    }

    /// Ends the TLS session, and gives the transport back, with what came from it after the session's end.
    ///
    /// This says that it is the end, and waits until the other side has said so too; both sides have to call it, or one
    /// that has received the end. All data must have been received before.
    ///
    /// A checkpoint. Cancelled or dropped, it drops the transport.
    ///
    /// # Errors
    ///
    /// [`TlsError::UnreceivedData`] if there is more data; [`TlsError::Truncated`] if the transport ends before the session,
    /// even if this is [HTTPS compatible](Self::https_compatible). And see [above](TlsStream#errors). The transport is
    /// dropped then.
    ///
    /// # Examples
    ///
    /// ```
    /// use trio::{ByteStream, tls::TlsStream};
    /// /// For protocols that go on without TLS after a while.
    /// async fn talk_openly<T: ByteStream>(mut stream: TlsStream<T>) -> std::io::Result<T> {
    ///     stream.send_all(b"let us stop whispering").await?;
    ///     let (mut transport, came_already) = stream.unwrap().await?;
    ///     assert!(came_already.is_empty(), "it is our turn");
    ///     transport.send_all(b"I AM HERE").await?;
    ///     Ok(transport)
    /// }
    /// # async fn with_tcp(stream: TlsStream<trio::net::TcpStream>) { talk_openly(stream).await.unwrap(); }
    /// ```
    pub async fn unwrap(mut self) -> io::Result<(T, Vec<u8>)> {
        operations::unwrap(&self.session, &mut &mut self.transport).await?;
        let trailing = self.session.get_mut().trailing();
        Ok((self.transport, trailing))
    }

    /// Says that this is the end, and closes the transport. It does not wait for the other side to say so too.
    ///
    /// If there was no handshake yet it is done, so that an end which was not said stays a reason to be suspicious. If
    /// the stream is broken or [HTTPS compatible](Self::https_compatible) it only closes the transport. That the end
    /// can't be said because the other side is gone is not an error.
    ///
    /// A checkpoint. It always closes, also when it fails or is cancelled: a cancellation only takes the grace away.
    /// Closing again does nothing but the checkpoint.
    ///
    /// Dropping the stream drops the transport, without a word to the other side, which for it is
    /// [`TlsError::Truncated`].
    ///
    /// # Errors
    ///
    /// When the handshake or the transport failed. The stream is closed all the same.
    pub async fn aclose(&mut self) -> io::Result<()> {
        if self.session.get_mut().is_closed() {
            free_checkpoint().await;
            return Ok(());
        }
        let mut closing = Closing { stream: self, by_force: true };
        closing.say_end().await?;
        closing.by_force = false;
        closing.stream.session.get_mut().close();
        closing.stream.transport.aclose().await
    }

    /// What [`aclose`](Self::aclose) says to the other side.
    async fn say_end(&mut self) -> io::Result<()> {
        let session = self.session.get_mut();
        if session.https_compatible || session.is_broken() || session.is_sending_broken() {
            return Ok(());
        }
        self.do_handshake().await?;
        match operations::end_sending(&self.session, &mut &mut self.transport).await {
            Err(error) if is_broken(&error) => Ok(()),
            result => result,
        }
    }
}

/// A stream that is being closed: when this is dropped, it is closed.
struct Closing<'a, T: ByteStream> {
    stream: &'a mut TlsStream<T>,
    /// Without grace, since something has failed or this is cancelled.
    by_force: bool,
}

impl<T: ByteStream> Closing<'_, T> {
    async fn say_end(&mut self) -> io::Result<()> {
        self.stream.say_end().await
    }
}

impl<T: ByteStream> Drop for Closing<'_, T> {
    fn drop(&mut self) {
        self.stream.session.get_mut().close();
        if self.by_force {
            close_forcefully(&mut self.stream.transport);
        }
    }
}

/// Closes a resource without grace: Trio's `aclose_forcefully`. Whoever begins to close and gives it up has closed.
fn close_forcefully(resource: &mut impl AsyncResource) {
    // After the run, all that is left to do is to be dropped.
    if context::try_with(|_| ()).is_some() {
        let _ = pin!(resource.aclose()).poll(&mut Context::from_waker(Waker::noop()));
    }
}

/// Whether the other side is gone.
fn is_broken(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected)
        || error.get_ref().is_some_and(|inner| inner.is::<BrokenResourceError>())
}

impl<T: SplitStream> TlsStream<T> {
    /// Splits the stream into a half that receives and one that sends, for two tasks that do so at one time. They
    /// borrow the stream; when they are gone, it is whole again.
    ///
    /// Both do the handshake if there was none: one of them does it, and the other waits.
    pub fn split(&mut self) -> (TlsReceiveHalf<'_, T>, TlsSendHalf<'_, T>) {
        halves(&self.session, &mut self.transport)
    }
}

impl<T> fmt::Debug for TlsStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let session = self.session.borrow();
        f.debug_struct("TlsStream")
            .field("server", &session.is_server())
            .field("handshaken", &session.is_handshaken())
            .field("closed", &session.is_closed())
            .field("broken", &session.is_broken())
            .finish_non_exhaustive()
    }
}

impl<T: ByteStream> AsyncResource for TlsStream<T> {
    async fn aclose(&mut self) -> io::Result<()> {
        self.aclose().await
    }
}

impl<T: ByteStream> SendStream for TlsStream<T> {
    async fn send_all(&mut self, data: &[u8]) -> io::Result<()> {
        self.send_all(data).await
    }

    async fn send_counted(&mut self, data: &[u8], progress: &mut SendProgress) -> io::Result<()> {
        self.send_counted(data, progress).await
    }

    async fn wait_send_all_might_not_block(&mut self) -> io::Result<()> {
        self.wait_send_all_might_not_block().await
    }
}

impl<T: ByteStream> ReceiveStream for TlsStream<T> {
    async fn receive_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.receive_some(buffer).await
    }
}

impl<T: ByteStream> ByteStream for TlsStream<T> {}

/// With TLS 1.3: see [`send_eof`](TlsStream::send_eof).
impl<T: ByteStream> HalfCloseableStream for TlsStream<T> {
    async fn send_eof(&mut self) -> io::Result<()> {
        self.send_eof().await
    }
}

impl<T: SplitStream> SplitStream for TlsStream<T> {
    type ReceiveHalf<'a>
        = TlsReceiveHalf<'a, T>
    where
        Self: 'a;
    type SendHalf<'a>
        = TlsSendHalf<'a, T>
    where
        Self: 'a;

    fn split(&mut self) -> (TlsReceiveHalf<'_, T>, TlsSendHalf<'_, T>) {
        self.split()
    }
}
