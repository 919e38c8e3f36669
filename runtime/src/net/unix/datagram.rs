//! Datagrams through Unix sockets.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::SocketAddr;
use std::path::Path;

use socket2::Type;

use super::super::seam::DatagramSocket;
use super::super::socket::{Socket, closed};
use super::bind::{OwnFile, bind};
use crate::kernel::checkpoint::free_checkpoint;
use crate::kernel::reactor::Direction;
use crate::stream::AsyncResource;

/// A Unix socket for datagrams: what Trio has in `trio.socket`.
///
/// Datagrams arrive whole and in order; sending waits while the receiver has too many. Operations take `&self`, so that a
/// task can send while another receives; two that wait for the same are told so by a
/// [`BusyResourceError`](crate::BusyResourceError). Dropping the socket closes it, and unlinks the file that
/// [`bind`](Self::bind) has made.
///
/// # Examples
///
/// ```
/// use trio::net::UnixDatagram;
/// trio::run(async {
///     # let folder = std::env::temp_dir().join(format!("trio-doc-datagram-{}", std::process::id()));
///     # std::fs::create_dir_all(&folder)?;
///     let path = folder.join("log.sock");
///     let log = UnixDatagram::bind(&path).await?;
///     let client = UnixDatagram::unbound()?;
///     client.send_to(b"it is late", &path).await?;
///     let mut buffer = [0; 100];
///     let (count, from) = log.recv_from(&mut buffer).await?;
///     assert_eq!(&buffer[..count], b"it is late");
///     assert!(from.is_unnamed());
///     # drop(log);
///     # std::fs::remove_dir(&folder)?;
///     std::io::Result::Ok(())
/// })
/// .unwrap();
/// ```
pub struct UnixDatagram {
    /// `None` once it has been closed.
    open: Option<Open>,
    file: Option<OwnFile>,
}

/// There is no other network that such a socket could be of.
pub(in crate::net) type Open = Socket<std::os::unix::net::UnixDatagram, dyn DatagramSocket>;
type System = std::os::unix::net::UnixDatagram;

impl UnixDatagram {
    /// A socket at a path, where it makes a file. A stale file is dealt with as by
    /// [`UnixListener::bind`](super::UnixListener::bind).
    ///
    /// A checkpoint. Cancelled or dropped, it leaves nothing behind.
    ///
    /// # Errors
    ///
    /// Those of `UnixListener::bind`.
    pub async fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        free_checkpoint().await;
        let (socket, file) = bind(path.as_ref(), Type::DGRAM).await?;
        let mut socket = Self::from_std(socket.into())?;
        socket.file = Some(file);
        Ok(socket)
    }

    /// A socket at an address as it is: one in the abstract namespace of Linux, which has no file.
    ///
    /// # Errors
    ///
    /// The system's, such as [`AddrInUse`](io::ErrorKind::AddrInUse).
    ///
    /// # Panics
    ///
    /// Outside a run.
    pub fn bind_addr(address: &SocketAddr) -> io::Result<Self> {
        Self::from_std(System::bind_addr(address)?)
    }

    /// A socket without a name, which nobody can send to unless it is connected.
    ///
    /// # Errors
    ///
    /// The system's, if there can be no more descriptors.
    ///
    /// # Panics
    ///
    /// Outside a run.
    pub fn unbound() -> io::Result<Self> {
        Self::from_std(System::unbound()?)
    }

    /// Two sockets that are connected with each other.
    ///
    /// # Errors
    ///
    /// The system's, if there can be no more descriptors.
    ///
    /// # Panics
    ///
    /// Outside a run.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (a, b) = System::pair()?;
        Ok((Self::from_std(a)?, Self::from_std(b)?))
    }

    /// Takes over a socket of the standard library, with the options that it has.
    ///
    /// # Errors
    ///
    /// When the system refuses to watch it.
    ///
    /// # Panics
    ///
    /// Outside a run.
    pub fn from_std(socket: std::os::unix::net::UnixDatagram) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self { open: Some(Open::watch(socket, false)?), file: None })
    }

    /// Gives the socket to the standard library. It is still nonblocking, and its file stays when it is closed.
    ///
    /// # Errors
    ///
    /// [`ClosedResourceError`](crate::ClosedResourceError) if it has been closed.
    pub fn into_std(mut self) -> io::Result<std::os::unix::net::UnixDatagram> {
        let system = self.open.take().ok_or_else(closed)?.into_system()?;
        if let Some(file) = self.file.take() {
            file.keep();
        }
        Ok(system)
    }

    pub(in crate::net) fn open(&self) -> io::Result<&Open> {
        self.open.as_ref().ok_or_else(closed)
    }

    fn close(&mut self) {
        self.file = None;
        if let Some(open) = self.open.take() {
            open.close();
        }
    }

    /// Sets the other side: [`send`](Self::send) sends to it, and only what comes from it is received.
    ///
    /// # Errors
    ///
    /// The system's: [`NotFound`](io::ErrorKind::NotFound) if there is no such file,
    /// [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) if no socket is behind it;
    /// [`ClosedResourceError`](crate::ClosedResourceError) after [`aclose`](Self::aclose).
    pub fn connect(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.system(|socket| socket.connect(path))
    }

    /// As [`connect`](Self::connect), for any address.
    ///
    /// # Errors
    ///
    /// As `connect`.
    pub fn connect_addr(&self, address: &SocketAddr) -> io::Result<()> {
        self.system(|socket| socket.connect_addr(address))
    }

    /// Sends a datagram to the socket at a path; gives how many bytes it had.
    ///
    /// A checkpoint, which waits while the receiver has too many. Cancelled or dropped while it waits, it has sent nothing.
    ///
    /// # Errors
    ///
    /// The system's, as [`connect`](Self::connect), or if the datagram is too long;
    /// [`BusyResourceError`](crate::BusyResourceError) (inside the `io::Error`) if another task waits to send;
    /// [`ClosedResourceError`](crate::ClosedResourceError) after [`aclose`](Self::aclose).
    pub async fn send_to(&self, data: &[u8], path: impl AsRef<Path>) -> io::Result<usize> {
        let path = path.as_ref();
        self.io(Direction::Write, |socket| socket.send_to(data, path)).await
    }

    /// As [`send_to`](Self::send_to), for any address.
    ///
    /// # Errors
    ///
    /// As `send_to`.
    pub async fn send_to_addr(&self, data: &[u8], address: &SocketAddr) -> io::Result<usize> {
        self.io(Direction::Write, |socket| socket.send_to_addr(data, address)).await
    }

    /// Sends a datagram to the other side. Otherwise as [`send_to`](Self::send_to).
    ///
    /// # Errors
    ///
    /// As `send_to`; the system's if the socket is not connected.
    pub async fn send(&self, data: &[u8]) -> io::Result<usize> {
        self.io(Direction::Write, |socket| socket.send(data)).await
    }

    /// Waits for a datagram; gives how many bytes it has put at the beginning of the buffer, and who sent it. What has no
    /// room in the buffer is lost. A datagram may be empty.
    ///
    /// A checkpoint. Cancelled or dropped, it has received nothing: the datagram is there for the next call.
    ///
    /// # Errors
    ///
    /// The system's; [`BusyResourceError`](crate::BusyResourceError) (inside the `io::Error`) if another task waits to
    /// receive; [`ClosedResourceError`](crate::ClosedResourceError) after [`aclose`](Self::aclose).
    pub async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let buffer = RefCell::new(buffer);
        self.io(Direction::Read, |socket| socket.recv_from(&mut buffer.borrow_mut())).await
    }

    /// As [`recv_from`](Self::recv_from), without saying who sent it.
    ///
    /// # Errors
    ///
    /// As `recv_from`.
    pub async fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.io(Direction::Read, |socket| socket.recv(buffer)).await
    }

    /// As [`recv`](Self::recv), but the datagram is left there for the next call.
    ///
    /// # Errors
    ///
    /// As `recv_from`.
    pub async fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let peek = |socket: &System| Ok(rustix::net::recv(socket, &mut *buffer, rustix::net::RecvFlags::PEEK)?.0);
        self.io(Direction::Read, peek).await
    }

    pub(in crate::net) async fn io<T>(
        &self,
        direction: Direction,
        call: impl FnMut(&System) -> io::Result<T>,
    ) -> io::Result<T> {
        self.open()?.io(direction, call, |_| Err(io::ErrorKind::Unsupported.into())).await
    }

    /// Closes the socket, as dropping it does. Doing it again changes nothing.
    ///
    /// A checkpoint; cancelled there, the socket is closed all the same.
    ///
    /// # Errors
    ///
    /// None: the result is that of [`AsyncResource::aclose`].
    pub async fn aclose(&mut self) -> io::Result<()> {
        self.close();
        free_checkpoint().await;
        Ok(())
    }

    /// The address of this side.
    ///
    /// # Errors
    ///
    /// [`ClosedResourceError`](crate::ClosedResourceError) after [`aclose`](Self::aclose).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.system(System::local_addr)
    }

    /// The address of the other side.
    ///
    /// # Errors
    ///
    /// [`NotConnected`](io::ErrorKind::NotConnected) if there is none;
    /// [`ClosedResourceError`](crate::ClosedResourceError) after [`aclose`](Self::aclose).
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.system(System::peer_addr)
    }

    /// Asks the system's socket something.
    pub(crate) fn system<T>(&self, ask: impl FnOnce(&System) -> io::Result<T>) -> io::Result<T> {
        self.open()?.ask(ask, |_| Err(io::ErrorKind::Unsupported.into()))
    }
}

impl Drop for UnixDatagram {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for UnixDatagram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.open {
            Some(open) => open.fmt(f),
            None => f.write_str("UnixDatagram(closed)"),
        }
    }
}

/// For options that have no method here, and for [`lowlevel`](crate::lowlevel).
///
/// # Panics
///
/// After [`aclose`](UnixDatagram::aclose), when there is no descriptor.
impl AsFd for UnixDatagram {
    #[track_caller]
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.open.as_ref().expect("a socket that was closed has no descriptor").as_fd()
    }
}

impl AsyncResource for UnixDatagram {
    async fn aclose(&mut self) -> io::Result<()> {
        self.aclose().await
    }
}
