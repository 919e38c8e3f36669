//! TCP connections.
#![forbid(unsafe_code)]

use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;

use socket2::{Domain, Protocol, SockRef, Socket as SystemSocket, Type};

use super::address::ToSocketAddrs;
use super::address::sealed::Sealed;
use super::builder::SocketOptions;
use super::halves::{TcpReceiveHalf, TcpSendHalf};
use super::happy;
use super::seam::{NETWORK, StreamSocket};
use super::socket::{Socket, closed};
use super::stream_traits::socket_stream;
use crate::kernel::checkpoint::{checkpoint_if_cancelled, free_checkpoint};
use crate::kernel::reactor::{Direction, Rest};

/// With less than this waiting to be sent the system asks for more: enough to keep a connection busy, and so little
/// that what is written now is not stuck behind seconds of earlier data. The value is Trio's.
#[cfg(any(target_os = "linux", target_os = "android"))]
const SEND_AHEAD: u32 = 16 * 1024;

/// A TCP connection: Trio's `SocketStream`.
///
/// Made by [`open_tcp_stream`](crate::open_tcp_stream), [`connect`](Self::connect) and
/// [`TcpListener::accept`](super::TcpListener::accept). Nagle's algorithm is off: what is sent goes out at once.
///
/// Dropping the stream closes the connection. What has been sent is still delivered, unless there is data that you have
/// not received: then the other side sees a reset, as always with TCP.
///
/// # Examples
///
/// ```
/// use trio::net::{TcpListener, TcpStream};
/// trio::run(async {
///     let mut listener = TcpListener::bind("127.0.0.1:0").await?;
///     let mut client = TcpStream::connect(listener.local_addr()?).await?;
///     let (mut server, _) = listener.accept().await?;
///     client.send_all(b"ping").await?;
///     let mut buffer = [0; 16];
///     let count = server.receive_some(&mut buffer).await?;
///     assert_eq!(&buffer[..count], b"ping");
///     std::io::Result::Ok(())
/// })
/// .unwrap();
/// ```
pub struct TcpStream {
    /// `None` once it has been closed.
    open: Option<Open>,
    eof_sent: bool,
    /// The receiving half was closed, see [`split`](Self::split).
    receiving_closed: bool,
}

/// What the stream and its halves work on.
pub(super) type Open = Socket<std::net::TcpStream, dyn StreamSocket>;

impl TcpStream {
    /// Connects to an address.
    ///
    /// If there is more than one, they are tried as by [`open_tcp_stream`](crate::open_tcp_stream).
    ///
    /// A checkpoint. Cancelled or dropped, it leaves no connection behind; a name lookup that is under way is left to
    /// its thread.
    ///
    /// # Errors
    ///
    /// When the address is a name that is not known, or has no port
    /// ([`InvalidInput`](io::ErrorKind::InvalidInput)); the system's error when there is no connection. With more than
    /// one address, all errors are in the source of this one, which is an [`ErrorGroup`](crate::ErrorGroup).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::ErrorKind;
    /// use trio::net::{TcpListener, TcpStream};
    /// trio::run(async {
    ///     let address = {
    ///         let listener = TcpListener::bind("127.0.0.1:0").await?;
    ///         TcpStream::connect(listener.local_addr()?).await?;
    ///         listener.local_addr()?
    ///     };
    ///     // The listener is gone.
    ///     let error = TcpStream::connect(address).await.unwrap_err();
    ///     assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    ///     std::io::Result::Ok(())
    /// })
    /// .unwrap();
    /// ```
    #[track_caller]
    pub fn connect<A: ToSocketAddrs>(address: A) -> impl Future<Output = io::Result<Self>> + use<A> {
        happy::connect(Sealed::target(&address), None, std::panic::Location::caller())
    }

    /// Connects to one address. A cancel point, and a schedule point if it has to wait.
    pub(crate) async fn connect_to(address: SocketAddr, options: Option<&SocketOptions>) -> io::Result<Self> {
        options.map_or(Ok(()), SocketOptions::check)?;
        if let Some(network) = NETWORK.try_get() {
            return network.connect(address).await.map(Self::of_network);
        }
        checkpoint_if_cancelled().await;
        let socket = nonblocking_socket(address)?;
        if let Some(options) = options {
            options.prepare(&socket, address)?;
        }
        let connected = match socket.connect(&address.into()) {
            Ok(()) => true,
            // Interrupted or not, the system goes on with it.
            Err(error) if is_in_progress(&error) || error.kind() == io::ErrorKind::Interrupted => false,
            Err(error) => return Err(error),
        };
        let stream = Self::adopt(socket.into())?;
        if let Some(nodelay) = options.and_then(SocketOptions::said_nodelay) {
            stream.set_nodelay(nodelay)?;
        }
        if let Open::System { registration, socket } = stream.open()? {
            // There is hardly ever something to read yet; if there is, the system has an edge for us.
            registration.blocked(Direction::Read);
            if !connected {
                registration.blocked(Direction::Write);
                registration.io(Direction::Write, || has_connected(socket), |()| Rest::Something).await?;
            }
        }
        Ok(stream)
    }

    /// Takes over a connection of another network.
    pub(super) const fn of_network(socket: Box<dyn StreamSocket>) -> Self {
        Self::new(Open::Virtual(socket))
    }

    const fn new(open: Open) -> Self {
        Self { open: Some(open), eof_sent: false, receiving_closed: false }
    }

    /// Takes over a connected or connecting socket that does not block.
    pub(crate) fn adopt(socket: std::net::TcpStream) -> io::Result<Self> {
        // Options that make things better, not ones that things depend on.
        let _ = socket.set_nodelay(true);
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let _ = SockRef::from(&socket).set_tcp_notsent_lowat(SEND_AHEAD);
        Self::register(socket)
    }

    fn register(socket: std::net::TcpStream) -> io::Result<Self> {
        Ok(Self::new(Open::watch(socket, true)?))
    }

    /// Takes over a connection of the standard library, with the options that it has.
    ///
    /// # Errors
    ///
    /// When the system refuses to watch it.
    ///
    /// # Panics
    ///
    /// Outside a run.
    ///
    /// # Examples
    ///
    /// ```
    /// let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    /// let blocking = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    /// trio::run(async {
    ///     let mut stream = trio::net::TcpStream::from_std(blocking)?;
    ///     stream.send_all(b"hello").await
    /// })
    /// .unwrap();
    /// ```
    pub fn from_std(stream: std::net::TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Self::register(stream)
    }

    /// Gives the connection to the standard library: for a thread, or another runtime. It is still nonblocking.
    ///
    /// # Errors
    ///
    /// [`ClosedResourceError`](crate::ClosedResourceError) if it has been closed;
    /// [`Unsupported`](io::ErrorKind::Unsupported) if it is one of a virtual network.
    pub fn into_std(mut self) -> io::Result<std::net::TcpStream> {
        self.open.take().ok_or_else(closed)?.into_system()
    }

    /// Sends all of the data, and waits as long as that takes. No data is fine.
    ///
    /// A checkpoint.
    ///
    /// # Cancellation
    ///
    /// Any part of the data, from its beginning, may have been sent by then, and there is no way to know which. The
    /// usual thing to do with such a stream is to close it.
    ///
    /// # Errors
    ///
    /// [`ClosedResourceError`](crate::ClosedResourceError) (inside the `io::Error`) after [`aclose`](Self::aclose) or [`send_eof`](Self::send_eof);
    /// the system's error if the connection broke, such as [`BrokenPipe`](io::ErrorKind::BrokenPipe) or
    /// [`ConnectionReset`](io::ErrorKind::ConnectionReset).
    pub async fn send_all(&mut self, data: &[u8]) -> io::Result<()> {
        self.open_for_sending()?.send_all(data).await
    }

    /// Waits for data, and gives how many bytes it has put at the beginning of the buffer. 0 means that the other side
    /// will send no more.
    ///
    /// A checkpoint.
    ///
    /// # Cancellation
    ///
    /// Cancelled or dropped, it has received nothing: no data is lost.
    ///
    /// # Errors
    ///
    /// [`ClosedResourceError`](crate::ClosedResourceError) (inside the `io::Error`) after [`aclose`](Self::aclose), or after that of the receiving
    /// half; [`InvalidInput`](io::ErrorKind::InvalidInput) if the buffer has no room, since 0 would then look like the end;
    /// the system's error if the connection broke, such as [`ConnectionReset`](io::ErrorKind::ConnectionReset).
    pub async fn receive_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.open_for_receiving()?.receive_some(buffer).await
    }

    /// Sends all of several pieces of data, one after the other, with few system calls. The slices are used up on the way, as by
    /// [`IoSlice::advance_slices`].
    ///
    /// A checkpoint.
    ///
    /// # Cancellation
    ///
    /// As [`send_all`](Self::send_all).
    ///
    /// # Errors
    ///
    /// As `send_all`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::{IoSlice, IoSliceMut};
    /// use trio::net::UnixStream;
    /// trio::run(async {
    ///     // The same with TCP.
    ///     let (mut a, mut b) = UnixStream::pair()?;
    ///     a.send_all_vectored(&mut [IoSlice::new(b"head"), IoSlice::new(b"body")]).await?;
    ///     let (mut head, mut body) = ([0; 4], [0; 16]);
    ///     let mut buffers = [IoSliceMut::new(&mut head), IoSliceMut::new(&mut body)];
    ///     assert_eq!(b.receive_some_vectored(&mut buffers).await?, 8);
    ///     assert_eq!((&head, &body[..4]), (b"head", &b"body"[..]));
    ///     std::io::Result::Ok(())
    /// })
    /// .unwrap();
    /// ```
    pub async fn send_all_vectored(&mut self, pieces: &mut [IoSlice<'_>]) -> io::Result<()> {
        self.open_for_sending()?.send_all_vectored(pieces).await
    }

    /// As [`receive_some`](Self::receive_some), into several buffers, which are filled one after the other.
    ///
    /// A checkpoint. Cancelled or dropped, it has received nothing.
    ///
    /// # Errors
    ///
    /// As `receive_some`; [`InvalidInput`](io::ErrorKind::InvalidInput) if no buffer has room.
    pub async fn receive_some_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.open_for_receiving()?.receive_some_vectored(buffers).await
    }

    /// As [`receive_some`](Self::receive_some), but what it gives is still there for the next call.
    ///
    /// A checkpoint. Cancelling it has no effect.
    ///
    /// # Errors
    ///
    /// As `receive_some`.
    ///
    /// # Examples
    ///
    /// ```
    /// use trio::net::{TcpListener, TcpStream};
    /// trio::run(async {
    ///     let mut listener = TcpListener::bind("127.0.0.1:0").await?;
    ///     let mut client = TcpStream::connect(listener.local_addr()?).await?;
    ///     let (mut server, _) = listener.accept().await?;
    ///     client.send_all(b"GET").await?;
    ///     let mut buffer = [0; 8];
    ///     // Which protocol is it?
    ///     assert_eq!(server.peek(&mut buffer[..1]).await?, 1);
    ///     assert_eq!(server.receive_some(&mut buffer).await?, 3);
    ///     std::io::Result::Ok(())
    /// })
    /// .unwrap();
    /// ```
    pub async fn peek(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.open_for_receiving()?.peek(buffer).await
    }

    /// Waits until a [`send_all`](Self::send_all) might not have to wait: less than 16 KiB are waiting to be sent, where
    /// the system can say so.
    ///
    /// For those who want to decide as late as possible what to send. It may return too early, but not too late.
    ///
    /// A checkpoint. Cancelling it has no effect.
    ///
    /// # Errors
    ///
    /// As `send_all`.
    pub async fn wait_send_all_might_not_block(&mut self) -> io::Result<()> {
        self.open_for_sending()?.wait_send_all_might_not_block().await
    }

    /// Says that no more data will come. The other side sees the end after all that was sent; receiving goes on.
    ///
    /// A checkpoint; cancelled there, it has done nothing. Doing it again changes nothing.
    ///
    /// # Errors
    ///
    /// [`ClosedResourceError`](crate::ClosedResourceError) (inside the `io::Error`) after [`aclose`](Self::aclose); the system's error if the
    /// connection broke.
    ///
    /// # Examples
    ///
    /// ```
    /// use trio::net::{TcpListener, TcpStream};
    /// trio::run(async {
    ///     let mut listener = TcpListener::bind("127.0.0.1:0").await?;
    ///     let mut client = TcpStream::connect(listener.local_addr()?).await?;
    ///     let (mut server, _) = listener.accept().await?;
    ///     client.send_eof().await?;
    ///     assert_eq!(server.receive_some(&mut [0; 16]).await?, 0);
    ///     server.send_all(b"bye").await?;
    ///     assert_eq!(client.receive_some(&mut [0; 16]).await?, 3);
    ///     std::io::Result::Ok(())
    /// })
    /// .unwrap();
    /// ```
    pub async fn send_eof(&mut self) -> io::Result<()> {
        let open = self.open.as_ref().ok_or_else(closed)?;
        free_checkpoint().await;
        open.say_eof(&mut self.eof_sent)
    }

    /// Splits the stream into a half that receives and one that sends, for two tasks that do so at one time. They borrow
    /// the stream; when they are gone, it is whole again.
    ///
    /// Closing a half closes its direction only, and for good: see [`TcpReceiveHalf`] and [`TcpSendHalf`].
    ///
    /// # Examples
    ///
    /// ```
    /// use trio::net::{TcpListener, TcpReceiveHalf, TcpSendHalf, TcpStream};
    /// async fn ask(mut to: TcpSendHalf<'_>) -> std::io::Result<()> {
    ///     to.send_all(b"question").await?;
    ///     to.send_eof().await
    /// }
    /// async fn listen(mut from: TcpReceiveHalf<'_>) -> std::io::Result<()> {
    ///     let mut buffer = [0; 64];
    ///     while from.receive_some(&mut buffer).await? > 0 {}
    ///     Ok(())
    /// }
    ///
    /// #[trio::main]
    /// async fn main() -> trio::Result {
    ///     let mut listener = TcpListener::bind("127.0.0.1:0").await?;
    ///     let mut client = TcpStream::connect(listener.local_addr()?).await?;
    ///     let (mut server, _) = listener.accept().await?;
    ///     let (from, to) = client.split();
    ///     trio::try_nursery! { |n|
    ///         n.start_soon(listen(from));
    ///         n.start_soon(ask(to));
    ///         while server.receive_some(&mut [0; 64]).await? > 0 {}
    ///         server.send_all(b"answer").await?;
    ///         server.aclose().await?;
    ///     }?;
    ///     client.aclose().await?;
    ///     Ok(())
    /// }
    /// ```
    pub fn split(&mut self) -> (TcpReceiveHalf<'_>, TcpSendHalf<'_>) {
        let open = self.open.as_ref();
        (TcpReceiveHalf::new(open, &mut self.receiving_closed), TcpSendHalf::new(open, &mut self.eof_sent))
    }

    /// Closes the connection, as dropping it does. Doing it again changes nothing.
    ///
    /// A checkpoint; cancelled there, the connection is closed all the same.
    ///
    /// # Errors
    ///
    /// None: the result is that of [`AsyncResource::aclose`](crate::AsyncResource::aclose).
    pub async fn aclose(&mut self) -> io::Result<()> {
        self.close();
        free_checkpoint().await;
        Ok(())
    }

    /// The address of the other side.
    ///
    /// # Errors
    ///
    /// The system's, for instance when the connection was reset; [`ClosedResourceError`](crate::ClosedResourceError) after
    /// [`aclose`](Self::aclose).
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.open()?.ask(std::net::TcpStream::peer_addr, |socket| Ok(socket.peer_addr()))
    }

    /// The address of this side.
    ///
    /// # Errors
    ///
    /// [`ClosedResourceError`](crate::ClosedResourceError) after [`aclose`](Self::aclose).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.open()?.ask(std::net::TcpStream::local_addr, |socket| Ok(socket.local_addr()))
    }

    /// Whether small pieces of data go out at once (`TCP_NODELAY`): yes, unless that was changed.
    ///
    /// # Errors
    ///
    /// [`ClosedResourceError`](crate::ClosedResourceError) after [`aclose`](Self::aclose).
    pub fn nodelay(&self) -> io::Result<bool> {
        self.open()?.ask(std::net::TcpStream::nodelay, |socket| Ok(socket.nodelay().get()))
    }

    /// Sets whether small pieces of data go out at once.
    ///
    /// # Errors
    ///
    /// The system's; [`ClosedResourceError`](crate::ClosedResourceError) after [`aclose`](Self::aclose).
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        let set = |socket: &(dyn StreamSocket + 'static)| {
            socket.nodelay().set(nodelay);
            Ok(())
        };
        self.open()?.ask(|socket| socket.set_nodelay(nodelay), set)
    }
}

socket_stream! {
    TcpStream, TcpReceiveHalf, TcpSendHalf,
    "After [`aclose`](TcpStream::aclose), when there is no descriptor; and if the stream is one of a virtual network, which \
    never has one."
}

/// A new socket for an address of this kind.
fn nonblocking_socket(address: SocketAddr) -> io::Result<SystemSocket> {
    let domain = Domain::for_address(address);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    return SystemSocket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP));
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        let socket = SystemSocket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    }
}

pub(super) fn is_in_progress(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EINPROGRESS)
}

/// How a connection attempt has ended, or `WouldBlock` if it has not.
fn has_connected(socket: &std::net::TcpStream) -> io::Result<()> {
    if let Some(error) = socket.take_error()? {
        return Err(error);
    }
    match socket.peer_addr() {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Err(io::ErrorKind::WouldBlock.into()),
        Err(error) => Err(error),
    }
}
