//! Connections through Unix sockets.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket as SystemSocket, Type};

use super::super::halves::{UnixReceiveHalf, UnixSendHalf};
use super::super::seam::StreamSocket;
use super::super::socket::{Socket, closed};
use super::super::stream::is_in_progress;
use super::super::stream_traits::socket_stream;
use super::pause::pause;
use super::to_system;
use crate::kernel::checkpoint::free_checkpoint;
use crate::kernel::reactor::Direction;

/// How long to wait before connecting again to a listener at which too many wait already; doubled each time, up to
/// [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(64);

/// Connects to the Unix socket at a path: Trio's `open_unix_socket`. The same as [`UnixStream::connect`].
///
/// A checkpoint. Cancelled or dropped, it leaves no connection behind.
///
/// # Errors
///
/// The system's: [`NotFound`](io::ErrorKind::NotFound) if there is no such file,
/// [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) if nobody listens there.
///
/// # Examples
///
/// ```
/// use trio::net::UnixListener;
/// trio::run(async {
///     # let folder = std::env::temp_dir().join(format!("trio-doc-open-{}", std::process::id()));
///     # std::fs::create_dir_all(&folder)?;
///     let path = folder.join("service.sock");
///     let mut listener = UnixListener::bind(&path).await?;
///     let mut client = trio::open_unix_socket(&path).await?;
///     let (mut server, _) = listener.accept().await?;
///     client.send_all(b"hello").await?;
///     assert_eq!(server.receive_some(&mut [0; 8]).await?, 5);
///     # drop(listener);
///     # std::fs::remove_dir(&folder)?;
///     std::io::Result::Ok(())
/// })
/// .unwrap();
/// ```
pub async fn open_unix_socket(path: impl AsRef<Path>) -> io::Result<UnixStream> {
    UnixStream::connect(path).await
}

/// A connection through a Unix socket, between programs of this machine: Trio's `SocketStream` over `AF_UNIX`.
///
/// Made by [`open_unix_socket`](crate::open_unix_socket), [`connect`](Self::connect),
/// [`UnixListener::accept`](super::UnixListener::accept) and [`pair`](Self::pair). Dropping it closes the connection.
///
/// # Examples
///
/// ```
/// use trio::net::UnixStream;
/// trio::run(async {
///     let (mut a, mut b) = UnixStream::pair()?;
///     a.send_all(b"ping").await?;
///     let mut buffer = [0; 16];
///     let count = b.receive_some(&mut buffer).await?;
///     assert_eq!(&buffer[..count], b"ping");
///     std::io::Result::Ok(())
/// })
/// .unwrap();
/// ```
pub struct UnixStream {
    /// `None` once it has been closed.
    open: Option<Open>,
    eof_sent: bool,
    /// The receiving half was closed, see [`split`](Self::split).
    receiving_closed: bool,
}

/// There is no other network that such a stream could be of.
pub(in crate::net) type Open = Socket<std::os::unix::net::UnixStream, dyn StreamSocket>;

impl UnixStream {
    /// Connects to the socket at a path. If too many others wait at the listener already, it waits too.
    ///
    /// A checkpoint. Cancelled or dropped, it leaves no connection behind.
    ///
    /// # Errors
    ///
    /// The system's: [`NotFound`](io::ErrorKind::NotFound) if there is no such file,
    /// [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) if nobody listens there;
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if the path is too long for an address (a hundred bytes or so).
    pub async fn connect(path: impl AsRef<Path>) -> io::Result<Self> {
        let address = SockAddr::unix(path.as_ref());
        free_checkpoint().await;
        Self::connect_to(&address?).await
    }

    /// Connects to an address, which may be one in the abstract namespace of Linux.
    ///
    /// A checkpoint. Cancelled or dropped, it leaves no connection behind.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(target_os = "linux")]
    /// trio::run(async {
    ///     use std::os::{linux::net::SocketAddrExt, unix::net::SocketAddr};
    ///     use trio::net::{UnixListener, UnixStream};
    ///     let name = format!("an example of {}", std::process::id());
    ///     let address = SocketAddr::from_abstract_name(name)?;
    ///     let mut listener = UnixListener::bind_addr(&address)?;
    ///     UnixStream::connect_addr(&address).await?;
    ///     listener.accept().await?;
    ///     std::io::Result::Ok(())
    /// })
    /// .unwrap();
    /// ```
    pub async fn connect_addr(address: &SocketAddr) -> io::Result<Self> {
        let address = to_system(address);
        free_checkpoint().await;
        Self::connect_to(&address?).await
    }

    async fn connect_to(address: &SockAddr) -> io::Result<Self> {
        let socket = SystemSocket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        let mut time = FIRST_PAUSE;
        loop {
            match socket.connect(address) {
                Ok(()) => return Self::register(socket.into()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The listener's queue is full. The system tells nobody when it no longer is.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && !is_in_progress(&error) => {
                    pause(time).await?;
                    time = (time * 2).min(LONGEST_PAUSE);
                }
                // Not on Linux.
                Err(error) if is_in_progress(&error) => {
                    let stream = Self::register(socket.into())?;
                    stream.open()?.ready(Direction::Write).await?;
                    let failed = stream.open()?.ask(std::os::unix::net::UnixStream::take_error, |_| Ok(None))?;
                    return failed.map_or(Ok(stream), Err);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Two streams that are connected with each other.
    ///
    /// # Errors
    ///
    /// The system's, if there can be no more descriptors.
    ///
    /// # Panics
    ///
    /// Outside a run.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (a, b) = std::os::unix::net::UnixStream::pair()?;
        Ok((Self::from_std(a)?, Self::from_std(b)?))
    }

    pub(super) fn register(socket: std::os::unix::net::UnixStream) -> io::Result<Self> {
        Ok(Self { open: Some(Open::watch(socket, false)?), eof_sent: false, receiving_closed: false })
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
    pub fn from_std(stream: std::os::unix::net::UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Self::register(stream)
    }

    /// Gives the connection to the standard library: for a thread, or another runtime. It is still nonblocking.
    ///
    /// # Errors
    ///
    /// [`ClosedResourceError`](crate::ClosedResourceError) if it has been closed.
    pub fn into_std(mut self) -> io::Result<std::os::unix::net::UnixStream> {
        self.open.take().ok_or_else(closed)?.into_system()
    }

    /// Sends all of the data, and waits as long as that takes. No data is fine.
    ///
    /// A checkpoint. Cancelled, it may have sent any part of the data, from its beginning.
    ///
    /// # Errors
    ///
    /// [`ClosedResourceError`](crate::ClosedResourceError) (inside the `io::Error`) after [`aclose`](Self::aclose) or
    /// [`send_eof`](Self::send_eof); [`BrokenPipe`](io::ErrorKind::BrokenPipe) if the other side is gone.
    pub async fn send_all(&mut self, data: &[u8]) -> io::Result<()> {
        self.open_for_sending()?.send_all(data).await
    }

    /// Sends all of several pieces of data, one after the other, with few system calls. The slices are used up on the way.
    ///
    /// A checkpoint. Cancelled, it may have sent any part of the data, from its beginning.
    ///
    /// # Errors
    ///
    /// As [`send_all`](Self::send_all).
    pub async fn send_all_vectored(&mut self, pieces: &mut [IoSlice<'_>]) -> io::Result<()> {
        self.open_for_sending()?.send_all_vectored(pieces).await
    }

    /// Waits for data, and gives how many bytes it has put at the beginning of the buffer. 0 means that the other side
    /// will send no more.
    ///
    /// A checkpoint. Cancelled or dropped, it has received nothing: no data is lost.
    ///
    /// # Errors
    ///
    /// [`ClosedResourceError`](crate::ClosedResourceError) (inside the `io::Error`) after [`aclose`](Self::aclose), or after
    /// that of the receiving half; [`InvalidInput`](io::ErrorKind::InvalidInput) if the buffer has no room;
    /// [`ConnectionReset`](io::ErrorKind::ConnectionReset) if the other side was closed with data that it had not received.
    pub async fn receive_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.open_for_receiving()?.receive_some(buffer).await
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
    pub async fn peek(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.open_for_receiving()?.peek(buffer).await
    }

    /// Waits until a [`send_all`](Self::send_all) might not have to wait. It may return too early, but not too late.
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
    /// [`ClosedResourceError`](crate::ClosedResourceError) (inside the `io::Error`) after [`aclose`](Self::aclose); the
    /// system's error if the connection broke.
    pub async fn send_eof(&mut self) -> io::Result<()> {
        let open = self.open.as_ref().ok_or_else(closed)?;
        free_checkpoint().await;
        open.say_eof(&mut self.eof_sent)
    }

    /// Splits the stream into a half that receives and one that sends, for two tasks that do so at one time. They borrow
    /// the stream; when they are gone, it is whole again.
    ///
    /// Closing a half closes its direction only, and for good: see [`UnixReceiveHalf`] and [`UnixSendHalf`].
    ///
    /// # Examples
    ///
    /// ```
    /// use trio::net::UnixStream;
    /// trio::run(async {
    ///     let (mut a, mut b) = UnixStream::pair()?;
    ///     let (mut from, mut to) = a.split();
    ///     trio::nursery! { |n|
    ///         n.start_soon(async { to.send_all(b"ping").await.unwrap() });
    ///         n.start_soon(async { assert_eq!(from.receive_some(&mut [0; 8]).await.unwrap(), 4) });
    ///         assert_eq!(b.receive_some(&mut [0; 8]).await.unwrap(), 4);
    ///         b.send_all(b"pong").await.unwrap();
    ///     };
    ///     std::io::Result::Ok(())
    /// })
    /// .unwrap();
    /// ```
    pub fn split(&mut self) -> (UnixReceiveHalf<'_>, UnixSendHalf<'_>) {
        let open = self.open.as_ref();
        (UnixReceiveHalf::new(open, &mut self.receiving_closed), UnixSendHalf::new(open, &mut self.eof_sent))
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

    /// The address of the other side: without a name if it has none, as those who connect usually have not.
    ///
    /// # Errors
    ///
    /// The system's; [`ClosedResourceError`](crate::ClosedResourceError) after [`aclose`](Self::aclose).
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.system(std::os::unix::net::UnixStream::peer_addr)
    }

    /// The address of this side.
    ///
    /// # Errors
    ///
    /// [`ClosedResourceError`](crate::ClosedResourceError) after [`aclose`](Self::aclose).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.system(std::os::unix::net::UnixStream::local_addr)
    }

    /// Which process is at the other side (or was when it connected or began to listen), and whose it is. The system
    /// vouches for it.
    ///
    /// # Errors
    ///
    /// The system's; [`ClosedResourceError`](crate::ClosedResourceError) after [`aclose`](Self::aclose).
    ///
    /// # Examples
    ///
    /// ```
    /// use trio::net::UnixStream;
    /// trio::run(async {
    ///     let (a, _b) = UnixStream::pair()?;
    ///     assert_eq!(a.peer_cred()?.pid(), std::process::id() as i32);
    ///     std::io::Result::Ok(())
    /// })
    /// .unwrap();
    /// ```
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub fn peer_cred(&self) -> io::Result<super::PeerCredentials> {
        self.system(super::PeerCredentials::of)
    }

    /// Asks the system's socket something.
    pub(crate) fn system<T>(
        &self,
        ask: impl FnOnce(&std::os::unix::net::UnixStream) -> io::Result<T>,
    ) -> io::Result<T> {
        self.open()?.ask(ask, |_| Err(io::ErrorKind::Unsupported.into()))
    }
}

socket_stream! {
    UnixStream, UnixReceiveHalf, UnixSendHalf,
    "After [`aclose`](UnixStream::aclose), when there is no descriptor."
}
