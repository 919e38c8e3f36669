//! Sockets with options that have to be said before they are connected or bound.
#![forbid(unsafe_code)]

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::Location;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use super::address::ToSocketAddrs;
use super::address::sealed::Sealed;
use super::foreign::choose_port_late;
use super::happy;
use super::listener::{BACKLOG, TcpListener};
use super::options::{Keepalive, check_linger, set_ttl};
use super::resolve::resolve;
use super::seam::NETWORK;
use super::stream::TcpStream;
use super::udp::{UdpSocket, first_that_works};

/// Options for sockets that are to be made: said first, then [`connect`](Self::connect), [`listen`](Self::listen) or
/// [`bind_udp`](Self::bind_udp).
///
/// What is not said is as without it. Options that a kind of socket does not know are the system's error; a virtual
/// network knows none, and ignores them.
///
/// # Examples
///
/// ```
/// use trio::net::SocketOptions;
/// trio::run(async {
///     // Two listeners at the same port; the system spreads connections over them.
///     let options = SocketOptions::new().reuse_port(true).backlog(100);
///     let first = options.listen("127.0.0.1:0").await?;
///     let second = options.listen(first.local_addr()?).await?;
///     assert_eq!(first.local_addr()?, second.local_addr()?);
///     std::io::Result::Ok(())
/// })
/// .unwrap();
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct SocketOptions {
    reuse_address: Option<bool>,
    reuse_port: bool,
    only_v6: Option<bool>,
    nodelay: Option<bool>,
    keepalive: Option<Keepalive>,
    linger: Option<Duration>,
    recv_buffer_size: Option<usize>,
    send_buffer_size: Option<usize>,
    ttl: Option<u32>,
    broadcast: bool,
    local_address: Option<SocketAddr>,
    backlog: Option<u32>,
}

impl SocketOptions {
    /// None said yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// An address can be bound to although connections of an earlier socket linger there (`SO_REUSEADDR`). On for listeners,
    /// off for others unless said.
    pub fn reuse_address(mut self, on: bool) -> Self {
        self.reuse_address = Some(on);
        self
    }

    /// Several sockets of one user can have the same address and port (`SO_REUSEPORT`), if all of them say so.
    pub fn reuse_port(mut self, on: bool) -> Self {
        self.reuse_port = on;
        self
    }

    /// An IPv6 wildcard leaves IPv4 alone (`IPV6_V6ONLY`). As the system has it unless said.
    pub fn only_v6(mut self, on: bool) -> Self {
        self.only_v6 = Some(on);
        self
    }

    /// Small pieces of data go out at once (`TCP_NODELAY`): on unless said. For connecting; accepted streams have their own.
    pub fn nodelay(mut self, on: bool) -> Self {
        self.nodelay = Some(on);
        self
    }

    /// See [`TcpStream::keepalive`]. What a listener has, accepted streams have.
    pub fn keepalive(mut self, keepalive: Keepalive) -> Self {
        self.keepalive = Some(keepalive);
        self
    }

    /// See [`TcpStream::set_linger`], which explains why only zero will do: otherwise what uses these options fails with
    /// [`InvalidInput`](io::ErrorKind::InvalidInput). What a listener has, accepted streams have.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.linger = Some(linger);
        self
    }

    /// See [`TcpStream::recv_buffer_size`]. What a listener has, accepted streams have; for TCP, large ones must be said
    /// before the connection.
    pub fn recv_buffer_size(mut self, size: usize) -> Self {
        self.recv_buffer_size = Some(size);
        self
    }

    /// See [`TcpStream::send_buffer_size`]. What a listener has, accepted streams have.
    pub fn send_buffer_size(mut self, size: usize) -> Self {
        self.send_buffer_size = Some(size);
        self
    }

    /// See [`TcpStream::ttl`].
    pub fn ttl(mut self, ttl: u32) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// See [`UdpSocket::broadcast`].
    pub fn broadcast(mut self, on: bool) -> Self {
        self.broadcast = on;
        self
    }

    /// The address to connect from. Port 0: the system chooses one, and may use it for several connections to
    /// different peers.
    pub fn local_address(mut self, address: SocketAddr) -> Self {
        self.local_address = Some(address);
        self
    }

    /// How many connections may wait at a listener to be accepted. As many as the system allows unless said; 65535 at most.
    pub fn backlog(mut self, backlog: u32) -> Self {
        self.backlog = Some(backlog.min(BACKLOG));
        self
    }

    /// Connects as [`TcpStream::connect`] does.
    ///
    /// A checkpoint. Cancelled or dropped, it leaves no connection behind.
    ///
    /// # Errors
    ///
    /// As `TcpStream::connect`; the system's, when it refuses an option or the local address.
    #[track_caller]
    pub fn connect<A: ToSocketAddrs>(&self, address: A) -> impl Future<Output = io::Result<TcpStream>> + use<A> {
        happy::connect(Sealed::target(&address), Some(self.clone()), Location::caller())
    }

    /// Listens as [`TcpListener::bind`] does.
    ///
    /// A checkpoint. Cancelled or dropped, it leaves nothing behind.
    ///
    /// # Errors
    ///
    /// As `TcpListener::bind`; the system's, when it refuses an option.
    pub async fn listen(&self, address: impl ToSocketAddrs) -> io::Result<TcpListener> {
        let target = Sealed::target(&address);
        first_that_works(resolve(&target).await?, |address| self.listen_at(address))
    }

    pub(super) fn listen_at(&self, address: SocketAddr) -> io::Result<TcpListener> {
        self.check()?;
        let backlog = self.backlog.unwrap_or(BACKLOG);
        if let Some(network) = NETWORK.try_get() {
            return Ok(TcpListener::of_network(network.listen(address, backlog)?));
        }
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(self.reuse_address.unwrap_or(true))?;
        self.apply(&socket, address)?;
        socket.bind(&address.into())?;
        socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        TcpListener::from_std(socket.into())
    }

    /// Makes a socket for datagrams as [`UdpSocket::bind`] does.
    ///
    /// A checkpoint. Cancelled or dropped, it leaves nothing behind.
    ///
    /// # Errors
    ///
    /// As `UdpSocket::bind`; the system's, when it refuses an option.
    pub async fn bind_udp(&self, address: impl ToSocketAddrs) -> io::Result<UdpSocket> {
        let target = Sealed::target(&address);
        first_that_works(resolve(&target).await?, |address| self.bind_udp_to(address))
    }

    pub(super) fn bind_udp_to(&self, address: SocketAddr) -> io::Result<UdpSocket> {
        self.check()?;
        if NETWORK.try_get().is_some() {
            return UdpSocket::bind_to(address);
        }
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        self.set_reuse_address(&socket)?;
        self.apply(&socket, address)?;
        socket.bind(&address.into())?;
        UdpSocket::from_std(socket.into())
    }

    /// Makes a socket that is to be connected ready for it.
    pub(super) fn prepare(&self, socket: &Socket, peer: SocketAddr) -> io::Result<()> {
        self.set_reuse_address(socket)?;
        self.apply(socket, peer)?;
        let Some(local) = self.local_address else { return Ok(()) };
        if local.port() == 0 {
            choose_port_late(socket);
        }
        socket.bind(&local.into()).map_err(|error| {
            io::Error::new(error.kind(), format!("can't connect to {peer} from {}: {error}", local.ip()))
        })
    }

    fn set_reuse_address(&self, socket: &Socket) -> io::Result<()> {
        self.reuse_address.map_or(Ok(()), |on| socket.set_reuse_address(on))
    }

    /// Refuses what would harm the run.
    pub(super) fn check(&self) -> io::Result<()> {
        self.linger.map_or(Ok(()), check_linger)
    }

    /// Whether a stream that is connected is to delay small pieces.
    pub(super) fn said_nodelay(&self) -> Option<bool> {
        self.nodelay
    }

    pub(super) fn local_ip(self, ip: IpAddr) -> Self {
        self.local_address(SocketAddr::new(ip, 0))
    }

    pub(super) fn has_only_v6(&self) -> bool {
        self.only_v6.is_some()
    }

    fn apply(&self, socket: &Socket, address: SocketAddr) -> io::Result<()> {
        if self.reuse_port {
            socket.set_reuse_port(true)?;
        }
        if let Some(on) = self.only_v6.filter(|_| address.is_ipv6()) {
            socket.set_only_v6(on)?;
        }
        if let Some(keepalive) = self.keepalive {
            keepalive.set(socket)?;
        }
        if let Some(linger) = self.linger {
            socket.set_linger(Some(linger))?;
        }
        if let Some(size) = self.recv_buffer_size {
            socket.set_recv_buffer_size(size)?;
        }
        if let Some(size) = self.send_buffer_size {
            socket.set_send_buffer_size(size)?;
        }
        if let Some(ttl) = self.ttl {
            set_ttl(socket, ttl)?;
        }
        if self.broadcast {
            socket.set_broadcast(true)?;
        }
        Ok(())
    }
}
