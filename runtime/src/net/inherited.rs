//! Sockets that a service manager has opened for this process, in the way of systemd.
#![forbid(unsafe_code)]

use std::env;
use std::io;
use std::net;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net as unix;

use socket2::{Domain, SockRef, Type};

use super::foreign::inherited;
use super::{TcpListener, UdpSocket, UnixDatagram, UnixListener};

/// The first descriptor: after the standard streams.
const FIRST: RawFd = 3;

/// The sockets that whoever started this process has opened for it, as systemd does for a service with a `.socket` unit
/// (`LISTEN_PID`, `LISTEN_FDS`, `LISTEN_FDNAMES`); none if nobody has, and none the second time: they are the
/// caller's, once.
///
/// So a server can be started by its first connection, restarted without refusing anybody, and listen at ports that it has no
/// right to open. The variables stay as they are, since nobody can change them safely while other threads run;
/// `LISTEN_PID` tells children that they are not meant. Not a checkpoint; works outside a run as well.
///
/// # Errors
///
/// [`InvalidData`](io::ErrorKind::InvalidData) if `LISTEN_FDS` is no number; the system's if there are fewer descriptors
/// than it says.
///
/// # Examples
///
/// ```
/// trio::run(async {
///     let mut listeners = Vec::new();
///     for socket in trio::net::inherited_sockets()? {
///         if socket.name() == "web" {
///             listeners.push(socket.into_tcp_listener()?);
///         }
///     }
///     if listeners.is_empty() {
///         listeners = trio::open_tcp_listeners(0, Some("127.0.0.1")).await?;
///     }
///     std::io::Result::Ok(())
/// })
/// .unwrap();
/// ```
pub fn inherited_sockets() -> io::Result<Vec<InheritedSocket>> {
    let variable = |name: &str| env::var(name).unwrap_or_default();
    if variable("LISTEN_PID") != std::process::id().to_string() {
        return Ok(Vec::new());
    }
    let count = variable("LISTEN_FDS").parse::<u16>().map_err(|error| {
        io::Error::new(io::ErrorKind::InvalidData, format!("LISTEN_FDS is to say how many sockets there are: {error}"))
    })?;
    let names = variable("LISTEN_FDNAMES");
    let mut names = names.split(':');
    let sockets = inherited(FIRST, RawFd::from(count))?;
    Ok(sockets
        .into_iter()
        .map(|fd| {
            let name = names.next().filter(|name| !name.is_empty()).unwrap_or("unknown");
            InheritedSocket { name: name.to_owned(), fd }
        })
        .collect())
}

/// A socket that [`inherited_sockets`] has found: of whichever kind, which the system is asked for.
#[derive(Debug)]
pub struct InheritedSocket {
    name: String,
    fd: OwnedFd,
}

impl InheritedSocket {
    /// What it is called (`FileDescriptorName=` of the unit); `"unknown"` if it is not, as systemd has it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The descriptor, whatever it is.
    pub fn into_fd(self) -> OwnedFd {
        self.fd
    }

    fn check(&self, domains: &[Domain], kind: Type, listens: bool, what: &str) -> io::Result<()> {
        let socket = SockRef::from(&self.fd);
        let is_it = domains.contains(&socket.domain()?) && socket.r#type()? == kind && socket.is_listener()? == listens;
        if is_it {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::InvalidInput, format!("the socket '{}' is not {what}", self.name)))
    }

    /// As what accepts TCP connections.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if it is something else, and then it is closed; the system's.
    ///
    /// # Panics
    ///
    /// Outside a run.
    pub fn into_tcp_listener(self) -> io::Result<TcpListener> {
        self.check(&[Domain::IPV4, Domain::IPV6], Type::STREAM, true, "one that accepts TCP connections")?;
        TcpListener::from_std(net::TcpListener::from(self.fd))
    }

    /// As what accepts connections at a path. Closing it leaves the file.
    ///
    /// # Errors
    ///
    /// As [`into_tcp_listener`](Self::into_tcp_listener).
    ///
    /// # Panics
    ///
    /// Outside a run.
    pub fn into_unix_listener(self) -> io::Result<UnixListener> {
        self.check(&[Domain::UNIX], Type::STREAM, true, "a Unix socket that accepts connections")?;
        UnixListener::from_std(unix::UnixListener::from(self.fd))
    }

    /// As one for UDP.
    ///
    /// # Errors
    ///
    /// As [`into_tcp_listener`](Self::into_tcp_listener).
    ///
    /// # Panics
    ///
    /// Outside a run.
    pub fn into_udp_socket(self) -> io::Result<UdpSocket> {
        self.check(&[Domain::IPV4, Domain::IPV6], Type::DGRAM, false, "one for UDP")?;
        UdpSocket::from_std(net::UdpSocket::from(self.fd))
    }

    /// As one for datagrams at a path. Closing it leaves the file.
    ///
    /// # Errors
    ///
    /// As [`into_tcp_listener`](Self::into_tcp_listener).
    ///
    /// # Panics
    ///
    /// Outside a run.
    pub fn into_unix_datagram(self) -> io::Result<UnixDatagram> {
        self.check(&[Domain::UNIX], Type::DGRAM, false, "a Unix socket for datagrams")?;
        UnixDatagram::from_std(unix::UnixDatagram::from(self.fd))
    }
}

impl AsFd for InheritedSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
