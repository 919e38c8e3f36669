//! Waiting for TCP connections.
#![forbid(unsafe_code)]

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

use socket2::{Domain, Protocol, Socket as SystemSocket, Type};

use super::address::ToSocketAddrs;
use super::address::sealed::Sealed;
use super::resolve::resolve;
use super::seam::{ListenerSocket, NETWORK};
use super::socket::{Socket, closed};
use super::stream::TcpStream;
use crate::kernel::checkpoint::free_checkpoint;
use crate::kernel::reactor::Direction;
use crate::stream::{AsyncResource, Listener};

/// How many connections may wait to be accepted: as many as the system allows, which on most is far fewer.
pub(super) const BACKLOG: u32 = 0xffff;

/// A TCP socket that waits for connections: Trio's `SocketListener`.
///
/// Dropping it closes it; connections that were not accepted are reset.
///
/// # Examples
///
/// ```
/// use trio::net::{TcpListener, TcpStream};
/// trio::run(async {
///     let mut listener = TcpListener::bind("127.0.0.1:0").await?;
///     let client = TcpStream::connect(listener.local_addr()?).await?;
///     let (server, peer) = listener.accept().await?;
///     assert_eq!(peer, client.local_addr()?);
///     assert_eq!(server.peer_addr()?, peer);
///     std::io::Result::Ok(())
/// })
/// .unwrap();
/// ```
pub struct TcpListener {
    /// `None` once it has been closed.
    open: Option<Open>,
}

/// mio's kind, since that accepts nonblocking connections in one system call.
type Open = Socket<mio::net::TcpListener, dyn ListenerSocket>;

impl TcpListener {
    /// Listens at an address; port 0 lets the system choose one. If there is more than one address, at the first that
    /// works.
    ///
    /// The address can be used again at once when the listener is gone (`SO_REUSEADDR`), but not while it is there.
    ///
    /// A checkpoint. Cancelled or dropped, it leaves nothing behind.
    ///
    /// # Errors
    ///
    /// When the address is a name that is not known, or has no port ([`InvalidInput`](io::ErrorKind::InvalidInput));
    /// the system's error for the last address if none works, such as [`AddrInUse`](io::ErrorKind::AddrInUse).
    pub async fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        let target = Sealed::target(&address);
        let mut result = Err(io::ErrorKind::InvalidInput.into());
        for address in resolve(&target).await? {
            result = Self::listen(address, BACKLOG, false);
            if result.is_ok() {
                break;
            }
        }
        result
    }

    /// Listens at one address. `v6_only`: an IPv6 wildcard leaves IPv4 alone.
    pub(super) fn listen(address: SocketAddr, backlog: u32, v6_only: bool) -> io::Result<Self> {
        if let Some(network) = NETWORK.try_get() {
            return Ok(Self { open: Some(Open::Virtual(network.listen(address, backlog)?)) });
        }
        let socket = SystemSocket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        if v6_only && address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.bind(&address.into())?;
        socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        Self::from_std(socket.into())
    }

    /// Takes over a listener of the standard library.
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
    /// // A socket that was bound before the run began, by a privileged parent for instance.
    /// let inherited = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    /// trio::run(async {
    ///     let listener = trio::net::TcpListener::from_std(inherited)?;
    ///     assert_ne!(listener.local_addr()?.port(), 0);
    ///     std::io::Result::Ok(())
    /// })
    /// .unwrap();
    /// ```
    pub fn from_std(listener: std::net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self { open: Some(Open::watch(mio::net::TcpListener::from_std(listener), false)?) })
    }

    /// Gives the listener to the standard library. It is still nonblocking.
    ///
    /// # Errors
    ///
    /// [`ClosedResourceError`](crate::ClosedResourceError) if it has been closed;
    /// [`Unsupported`](io::ErrorKind::Unsupported) if it is one of a virtual network.
    pub fn into_std(mut self) -> io::Result<std::net::TcpListener> {
        self.open.take().ok_or_else(closed)?.into_system().map(Into::into)
    }

    fn open(&self) -> io::Result<&Open> {
        self.open.as_ref().ok_or_else(closed)
    }

    /// Waits for somebody to connect, and gives the connection and who it is.
    ///
    /// A connection that breaks before it could be accepted is passed over.
    ///
    /// A checkpoint. Cancelled or dropped, it has accepted nobody: the connection is there for the next call.
    ///
    /// # Errors
    ///
    /// The system's when it has run out of something, typically of descriptors: wait a moment, and try again.
    /// [`ClosedResourceError`](crate::ClosedResourceError) (inside the `io::Error`) after [`aclose`](Self::aclose).
    pub async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        let accept = |socket: &mio::net::TcpListener| loop {
            match socket.accept() {
                Ok((stream, peer)) => return Ok((TcpStream::adopt(stream.into())?, peer)),
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) => return Err(error),
            }
        };
        let accept_there = |socket: &(dyn ListenerSocket + 'static)| {
            socket.accept().map(|(stream, peer)| (TcpStream::of_network(stream), peer))
        };
        self.open()?.io(Direction::Read, accept, accept_there).await
    }

    /// Closes the listener, as dropping it does. Doing it again changes nothing.
    ///
    /// A checkpoint; cancelled there, the listener is closed all the same.
    ///
    /// # Errors
    ///
    /// None: the result is that of [`AsyncResource::aclose`].
    pub async fn aclose(&mut self) -> io::Result<()> {
        self.open = None;
        free_checkpoint().await;
        Ok(())
    }

    /// The address it listens at, with the port that the system chose.
    ///
    /// # Errors
    ///
    /// [`ClosedResourceError`](crate::ClosedResourceError) after [`aclose`](Self::aclose).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.open()?.ask(mio::net::TcpListener::local_addr, |socket| Ok(socket.local_addr()))
    }
}

/// Whether `accept` failed because of the connection, which is gone then, and not because of the listener. The list is
/// Trio's: what accept(2) says may be passed on from the network, and what firewalls give.
fn concerns_one_connection(error: &io::Error) -> bool {
    let Some(code) = error.raw_os_error() else { return false };
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if matches!(code, libc::ENONET | libc::ENOSR) {
        return true;
    }
    matches!(
        code,
        libc::EPERM
            | libc::ECONNABORTED
            | libc::ECONNRESET
            | libc::EPROTO
            | libc::ENETDOWN
            | libc::ENOPROTOOPT
            | libc::EHOSTDOWN
            | libc::EHOSTUNREACH
            | libc::EOPNOTSUPP
            | libc::ENETUNREACH
            | libc::ESOCKTNOSUPPORT
            | libc::EPROTONOSUPPORT
            | libc::ETIMEDOUT
    )
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.open {
            Some(_) => f.debug_struct("TcpListener").field("address", &self.local_addr().ok()).finish(),
            None => f.write_str("TcpListener(closed)"),
        }
    }
}

/// For options that have no method here, and for [`lowlevel`](crate::lowlevel).
///
/// # Panics
///
/// After [`aclose`](TcpListener::aclose), when there is no descriptor; and if the listener is one of a virtual network,
/// which never has one.
impl AsFd for TcpListener {
    #[track_caller]
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.open.as_ref().expect("a listener that was closed has no descriptor").as_fd()
    }
}

impl AsyncResource for TcpListener {
    async fn aclose(&mut self) -> io::Result<()> {
        self.aclose().await
    }
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn accept(&mut self) -> io::Result<TcpStream> {
        let (stream, _) = self.accept().await?;
        Ok(stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_one_connection_are_told_from_those_of_the_listener() {
        let concerns = |code| concerns_one_connection(&io::Error::from_raw_os_error(code));
        for code in [libc::ECONNABORTED, libc::EPERM, libc::EPROTO, libc::ENETDOWN, libc::ECONNRESET, libc::ETIMEDOUT] {
            assert!(concerns(code), "{code}");
        }
        for code in [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM, libc::EBADF, libc::EFAULT, libc::EINVAL] {
            assert!(!concerns(code), "{code}");
        }
        assert!(!concerns_one_connection(&closed()));
    }
}
