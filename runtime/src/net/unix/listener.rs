//! Waiting for connections through Unix sockets.

use std::fmt;
use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};

use socket2::{Domain, Socket as SystemSocket, Type};

use super::super::listener::{BACKLOG, concerns_one_connection};
use super::super::seam::ListenerSocket;
use super::super::socket::{Socket, closed};
use super::bind::{OwnFile, bind};
use super::stream::UnixStream;
use super::to_system;
use crate::kernel::checkpoint::free_checkpoint;
use crate::kernel::reactor::Direction;
use crate::stream::{AsyncResource, Listener};

/// A Unix socket that waits for connections: Trio's `SocketListener` over `AF_UNIX`.
///
/// Closing or dropping it unlinks the file that [`bind`](Self::bind) has made, if that is still there.
///
/// # Examples
///
/// ```
/// use trio::net::{UnixListener, UnixStream};
/// trio::run(async {
///     # let folder = std::env::temp_dir().join(format!("trio-doc-listener-{}", std::process::id()));
///     # std::fs::create_dir_all(&folder)?;
///     let path = folder.join("service.sock");
///     // Only this user may connect.
///     let mut listener = UnixListener::bind(&path).mode(0o600).await?;
///     let _client = UnixStream::connect(&path).await?;
///     let (server, _) = listener.accept().await?;
///     assert_eq!(server.local_addr()?.as_pathname(), Some(&*path));
///     listener.aclose().await?;
///     assert!(!path.exists());
///     # std::fs::remove_dir(&folder)?;
///     std::io::Result::Ok(())
/// })
/// .unwrap();
/// ```
pub struct UnixListener {
    /// `None` once it has been closed.
    open: Option<Open>,
    /// What goes with the listener, and before it: so nobody can take the file for a stale one, and put its own there.
    file: Option<OwnFile>,
}

/// mio's kind, since that accepts nonblocking connections in one system call. There is no other network.
pub(in crate::net) type Open = Socket<mio::net::UnixListener, dyn ListenerSocket>;

impl UnixListener {
    /// Listens at a path, where it makes a file.
    ///
    /// A socket's file that is there already is unlinked if no socket is behind it any more, because its program was killed, for
    /// instance. While it is looked at, the folder is locked (`flock`), so that two who do that at one time don't take each
    /// other's file away. Other files, and sockets in use, are never touched.
    ///
    /// A checkpoint. Cancelled or dropped, it leaves nothing behind.
    ///
    /// # Errors
    ///
    /// The system's, such as [`AddrInUse`](io::ErrorKind::AddrInUse) if somebody listens there, or if the file is
    /// not a socket's; [`InvalidInput`](io::ErrorKind::InvalidInput) if the path is too long for an address (a hundred
    /// bytes or so).
    pub fn bind(path: impl Into<PathBuf>) -> BindUnixListener {
        BindUnixListener { path: path.into(), mode: None, backlog: BACKLOG, binding: None }
    }

    /// Listens at an address as it is: one in the abstract namespace of Linux, which has no file. For a path,
    /// [`bind`](Self::bind) does more.
    ///
    /// # Errors
    ///
    /// The system's, such as [`AddrInUse`](io::ErrorKind::AddrInUse).
    ///
    /// # Panics
    ///
    /// Outside a run.
    pub fn bind_addr(address: &SocketAddr) -> io::Result<Self> {
        let socket = SystemSocket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&to_system(address)?)?;
        Self::listen(socket, BACKLOG)
    }

    fn listen(socket: SystemSocket, backlog: u32) -> io::Result<Self> {
        socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        Self::from_std(socket.into())
    }

    /// Takes over a listener of the standard library. Its file is not unlinked when it is closed.
    ///
    /// # Errors
    ///
    /// When the system refuses to watch it.
    ///
    /// # Panics
    ///
    /// Outside a run.
    pub fn from_std(listener: std::os::unix::net::UnixListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let open = Open::watch(mio::net::UnixListener::from_std(listener), false)?;
        Ok(Self { open: Some(open), file: None })
    }

    /// Gives the listener to the standard library. It is still nonblocking, and its file stays when it is closed.
    ///
    /// # Errors
    ///
    /// [`ClosedResourceError`](crate::ClosedResourceError) if it has been closed.
    pub fn into_std(mut self) -> io::Result<std::os::unix::net::UnixListener> {
        let system = self.open.take().ok_or_else(closed)?.into_system()?;
        if let Some(file) = self.file.take() {
            file.keep();
        }
        Ok(system.into())
    }

    pub(in crate::net) fn open(&self) -> io::Result<&Open> {
        self.open.as_ref().ok_or_else(closed)
    }

    fn close(&mut self) {
        self.file = None;
        self.open = None;
    }

    /// Waits for somebody to connect, and gives the connection and its address, which usually has no name.
    ///
    /// A checkpoint. Cancelled or dropped, it has accepted nobody: the connection is there for the next call.
    ///
    /// # Errors
    ///
    /// The system's when it has run out of something, typically of descriptors: wait a moment, and try again.
    /// [`ClosedResourceError`](crate::ClosedResourceError) (inside the `io::Error`) after [`aclose`](Self::aclose).
    pub async fn accept(&mut self) -> io::Result<(UnixStream, SocketAddr)> {
        let accept = |socket: &mio::net::UnixListener| loop {
            match socket.accept() {
                Ok((stream, peer)) => return Ok((UnixStream::register(stream.into())?, peer)),
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) => return Err(error),
            }
        };
        self.open()?.io(Direction::Read, accept, |_| Err(io::ErrorKind::Unsupported.into())).await
    }

    /// Closes the listener, as dropping it does. Doing it again changes nothing.
    ///
    /// A checkpoint; cancelled there, the listener is closed all the same.
    ///
    /// # Errors
    ///
    /// None: the result is that of [`AsyncResource::aclose`].
    pub async fn aclose(&mut self) -> io::Result<()> {
        self.close();
        free_checkpoint().await;
        Ok(())
    }

    /// The address it listens at.
    ///
    /// # Errors
    ///
    /// [`ClosedResourceError`](crate::ClosedResourceError) after [`aclose`](Self::aclose).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.open()?.ask(mio::net::UnixListener::local_addr, |_| Err(io::ErrorKind::Unsupported.into()))
    }
}

impl Drop for UnixListener {
    fn drop(&mut self) {
        self.close();
    }
}

/// What [`UnixListener::bind`] gives: a future, and what can be said about it before it is awaited.
#[must_use = "futures do nothing unless they are awaited"]
pub struct BindUnixListener {
    path: PathBuf,
    mode: Option<u32>,
    backlog: u32,
    binding: Option<Pin<Box<dyn Future<Output = io::Result<UnixListener>>>>>,
}

impl BindUnixListener {
    /// Who may connect: the permissions of the file, such as `0o600`. What the process's umask leaves unless said. Nobody
    /// can connect before they are set.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = Some(mode);
        self
    }

    /// How many connections may wait to be accepted. As many as the system allows unless said; 65535 at most.
    pub fn backlog(mut self, backlog: u32) -> Self {
        self.backlog = backlog.min(BACKLOG);
        self
    }
}

impl Future for BindUnixListener {
    type Output = io::Result<UnixListener>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { path, mode, backlog, binding } = &mut *self;
        let binding = binding.get_or_insert_with(|| Box::pin(listen(std::mem::take(path), *mode, *backlog)));
        binding.as_mut().poll(context)
    }
}

async fn listen(path: PathBuf, mode: Option<u32>, backlog: u32) -> io::Result<UnixListener> {
    free_checkpoint().await;
    let (socket, file) = bind(&path, Type::STREAM).await?;
    if let Some(mode) = mode {
        fs::set_permissions(&path, Permissions::from_mode(mode))?;
    }
    let mut listener = UnixListener::listen(socket, backlog)?;
    listener.file = Some(file);
    Ok(listener)
}

impl fmt::Debug for BindUnixListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BindUnixListener")
            .field("path", &self.path)
            .field("mode", &self.mode)
            .field("backlog", &self.backlog)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for UnixListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.open {
            Some(_) => f.debug_struct("UnixListener").field("address", &self.local_addr().ok()).finish(),
            None => f.write_str("UnixListener(closed)"),
        }
    }
}

/// For options that have no method here, and for [`lowlevel`](crate::lowlevel).
///
/// # Panics
///
/// After [`aclose`](UnixListener::aclose), when there is no descriptor.
impl AsFd for UnixListener {
    #[track_caller]
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.open.as_ref().expect("a listener that was closed has no descriptor").as_fd()
    }
}

impl AsyncResource for UnixListener {
    async fn aclose(&mut self) -> io::Result<()> {
        self.aclose().await
    }
}

impl Listener for UnixListener {
    type Stream = UnixStream;

    async fn accept(&mut self) -> io::Result<UnixStream> {
        let (stream, _) = self.accept().await?;
        Ok(stream)
    }
}
