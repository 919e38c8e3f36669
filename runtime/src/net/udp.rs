//! UDP.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};

use super::address::ToSocketAddrs;
use super::address::sealed::Sealed;
use super::resolve::resolve;
use super::seam::{DatagramOptions, DatagramSocket, NETWORK};
use super::socket::{Socket, closed};
use crate::kernel::checkpoint::free_checkpoint;
use crate::kernel::reactor::Direction;
use crate::stream::AsyncResource;

/// A UDP socket: what Trio has in `trio.socket`.
///
/// It sends and receives datagrams, each whole or not at all; any of them may be lost on the way, arrive twice, or
/// overtake another. A socket need not be connected: [`send_to`](Self::send_to) and [`recv_from`](Self::recv_from)
/// name the other side each time. Connected, it has one other side, and [`send`](Self::send) and [`recv`](Self::recv) do.
///
/// Operations take `&self`, so that a task can send while another receives. Two that wait for the same are told so by a
/// [`BusyResourceError`](crate::BusyResourceError). Dropping the socket closes it.
///
/// # Examples
///
/// ```
/// use trio::net::UdpSocket;
/// trio::run(async {
///     let server = UdpSocket::bind("127.0.0.1:0").await?;
///     let client = UdpSocket::bind("127.0.0.1:0").await?;
///     client.send_to(b"ping", server.local_addr()?).await?;
///     let mut buffer = [0; 1500];
///     let (count, from) = server.recv_from(&mut buffer).await?;
///     assert_eq!((&buffer[..count], from), (&b"ping"[..], client.local_addr()?));
///     std::io::Result::Ok(())
/// })
/// .unwrap();
/// ```
pub struct UdpSocket {
    /// `None` once it has been closed.
    open: Option<Open>,
}

pub(super) type Open = Socket<std::net::UdpSocket, dyn DatagramSocket>;

impl UdpSocket {
    /// A socket at an address of this machine; port 0 lets the system choose one. If there is more than one address, at
    /// the first that works.
    ///
    /// A checkpoint. Cancelled or dropped, it leaves nothing behind.
    ///
    /// # Errors
    ///
    /// When the address is a name that is not known, or has no port ([`InvalidInput`](io::ErrorKind::InvalidInput));
    /// the system's error for the last address if none works, such as [`AddrInUse`](io::ErrorKind::AddrInUse).
    pub async fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        let target = Sealed::target(&address);
        first_that_works(resolve(&target).await?, Self::bind_to)
    }

    pub(super) fn bind_to(address: SocketAddr) -> io::Result<Self> {
        match NETWORK.try_get() {
            Some(network) => Ok(Self { open: Some(Open::Virtual(network.bind(address)?)) }),
            None => Self::from_std(std::net::UdpSocket::bind(address)?),
        }
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
    pub fn from_std(socket: std::net::UdpSocket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self { open: Some(Open::watch(socket, false)?) })
    }

    /// Gives the socket to the standard library: for a thread, or another runtime. It is still nonblocking.
    ///
    /// # Errors
    ///
    /// [`ClosedResourceError`](crate::ClosedResourceError) if it has been closed;
    /// [`Unsupported`](io::ErrorKind::Unsupported) if it is one of a virtual network.
    pub fn into_std(mut self) -> io::Result<std::net::UdpSocket> {
        self.open.take().ok_or_else(closed)?.into_system()
    }

    pub(super) fn open(&self) -> io::Result<&Open> {
        self.open.as_ref().ok_or_else(closed)
    }

    fn close(&mut self) {
        if let Some(open) = self.open.take() {
            open.close();
        }
    }

    /// Sets the other side: [`send`](Self::send) sends to it, and only what comes from it is received. If there is more
    /// than one address, the first that works. Doing it again replaces it.
    ///
    /// A checkpoint. Cancelled or dropped, it has changed nothing.
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind); [`ClosedResourceError`](crate::ClosedResourceError) after [`aclose`](Self::aclose).
    pub async fn connect(&self, address: impl ToSocketAddrs) -> io::Result<()> {
        let open = self.open()?;
        let target = Sealed::target(&address);
        let connect = |address| open.ask(|socket| socket.connect(address), |socket| socket.connect(address));
        first_that_works(resolve(&target).await?, connect)
    }

    /// Sends a datagram to an address, from whichever port the socket has; gives how many bytes it had. If a name has more
    /// than one address, to the first of the socket's own family; an IPv6 socket that is not for IPv6 only reaches IPv4 as well.
    ///
    /// A checkpoint, which waits if the system has no room. Cancelled or dropped while it waits, it has sent nothing.
    ///
    /// # Errors
    ///
    /// The system's, for instance when the datagram is too long for one, or what earlier ones have met;
    /// [`BusyResourceError`](crate::BusyResourceError) (inside the `io::Error`) if another task waits to send;
    /// [`ClosedResourceError`](crate::ClosedResourceError) after [`aclose`](Self::aclose).
    pub async fn send_to(&self, data: &[u8], address: impl ToSocketAddrs) -> io::Result<usize> {
        let open = self.open()?;
        let to = match address.address() {
            Some(address) => address,
            None => self.reachable(&resolve(&Sealed::target(&address)).await?)?,
        };
        open.io(Direction::Write, |socket| socket.send_to(data, to), |socket| socket.send(data, Some(to))).await
    }

    /// Of what a name means, the address that this socket can send to: the first of its family.
    fn reachable(&self, found: &[SocketAddr]) -> io::Result<SocketAddr> {
        let is_v4 = self.local_addr()?.is_ipv4();
        if let Some(same) = found.iter().find(|address| address.is_ipv4() == is_v4) {
            return Ok(*same);
        }
        match found[0] {
            // As Trio asks for it (`AI_V4MAPPED`).
            SocketAddr::V4(v4) if !self.only_v6().unwrap_or(true) => {
                Ok(SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port()))
            }
            other => Ok(other),
        }
    }

    /// Sends a datagram to the other side that [`connect`](Self::connect) has set. Otherwise as
    /// [`send_to`](Self::send_to).
    ///
    /// # Errors
    ///
    /// As `send_to`; the system's (`ENOTCONN`, or that an address is missing) if the socket is not connected.
    pub async fn send(&self, data: &[u8]) -> io::Result<usize> {
        self.open()?.io(Direction::Write, |socket| socket.send(data), |socket| socket.send(data, None)).await
    }

    /// Waits for a datagram; gives how many bytes it has put at the beginning of the buffer, and who sent it. What has no
    /// room in the buffer is lost. A datagram may be empty.
    ///
    /// A checkpoint. Cancelled or dropped, it has received nothing: the datagram is there for the next call.
    ///
    /// # Errors
    ///
    /// The system's, such as [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) when nobody takes what was sent on a
    /// connected socket; [`BusyResourceError`](crate::BusyResourceError) (inside the `io::Error`) if another task waits to
    /// receive; [`ClosedResourceError`](crate::ClosedResourceError) after [`aclose`](Self::aclose).
    pub async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.receive(buffer, std::net::UdpSocket::recv_from, false).await
    }

    /// As [`recv_from`](Self::recv_from), without saying who sent it.
    ///
    /// # Errors
    ///
    /// As `recv_from`.
    pub async fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let receive = |socket: &std::net::UdpSocket, buffer: &mut [u8]| Ok((socket.recv(buffer)?, UNKNOWN));
        Ok(self.receive(buffer, receive, false).await?.0)
    }

    /// As [`recv_from`](Self::recv_from), but the datagram is left there for the next call.
    ///
    /// # Errors
    ///
    /// As `recv_from`.
    pub async fn peek_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.receive(buffer, std::net::UdpSocket::peek_from, true).await
    }

    async fn receive(
        &self,
        buffer: &mut [u8],
        system: impl Fn(&std::net::UdpSocket, &mut [u8]) -> io::Result<(usize, SocketAddr)>,
        peek: bool,
    ) -> io::Result<(usize, SocketAddr)> {
        let buffer = RefCell::new(buffer);
        let system = |socket: &std::net::UdpSocket| system(socket, &mut buffer.borrow_mut());
        let other = |socket: &(dyn DatagramSocket + 'static)| socket.receive(&mut buffer.borrow_mut(), peek);
        self.open()?.io(Direction::Read, system, other).await
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

    /// The address of this side, with the port that the system chose.
    ///
    /// # Errors
    ///
    /// [`ClosedResourceError`](crate::ClosedResourceError) after [`aclose`](Self::aclose).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.open()?.ask(std::net::UdpSocket::local_addr, |socket| Ok(socket.local_addr()))
    }

    /// The address that [`connect`](Self::connect) has set.
    ///
    /// # Errors
    ///
    /// [`NotConnected`](io::ErrorKind::NotConnected) if there is none;
    /// [`ClosedResourceError`](crate::ClosedResourceError) after [`aclose`](Self::aclose).
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.open()?.ask(std::net::UdpSocket::peer_addr, |socket| socket.peer_addr())
    }

    /// Does something with an option: the system's, or another network's.
    fn option<T>(
        &self,
        system: impl FnOnce(&std::net::UdpSocket) -> io::Result<T>,
        other: impl FnOnce(&DatagramOptions) -> T,
    ) -> io::Result<T> {
        self.open()?.ask(system, |socket| Ok(other(socket.options())))
    }

    /// Whether the socket may send to broadcast addresses (`SO_BROADCAST`): not unless that was set.
    ///
    /// # Errors
    ///
    /// [`ClosedResourceError`](crate::ClosedResourceError) after [`aclose`](Self::aclose).
    pub fn broadcast(&self) -> io::Result<bool> {
        self.option(std::net::UdpSocket::broadcast, |options| options.broadcast.get())
    }

    /// Sets whether the socket may send to broadcast addresses.
    ///
    /// # Errors
    ///
    /// The system's; [`ClosedResourceError`](crate::ClosedResourceError) after [`aclose`](Self::aclose).
    pub fn set_broadcast(&self, on: bool) -> io::Result<()> {
        self.option(|socket| socket.set_broadcast(on), |options| options.broadcast.set(on))
    }

    /// How many routers a datagram may pass (`IP_TTL`).
    ///
    /// # Errors
    ///
    /// The system's; [`ClosedResourceError`](crate::ClosedResourceError) after [`aclose`](Self::aclose).
    pub fn ttl(&self) -> io::Result<u32> {
        self.option(std::net::UdpSocket::ttl, |options| options.ttl.get())
    }

    /// Sets how many routers a datagram may pass.
    ///
    /// # Errors
    ///
    /// The system's; [`ClosedResourceError`](crate::ClosedResourceError) after [`aclose`](Self::aclose).
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.option(|socket| socket.set_ttl(ttl), |options| options.ttl.set(ttl))
    }

    /// How many routers a multicast datagram may pass (`IP_MULTICAST_TTL`): one, so none, unless that was set.
    ///
    /// # Errors
    ///
    /// The system's; [`ClosedResourceError`](crate::ClosedResourceError) after [`aclose`](Self::aclose).
    pub fn multicast_ttl_v4(&self) -> io::Result<u32> {
        self.option(std::net::UdpSocket::multicast_ttl_v4, |options| options.multicast_ttl_v4.get())
    }

    /// Sets how many routers a multicast datagram may pass.
    ///
    /// # Errors
    ///
    /// The system's; [`ClosedResourceError`](crate::ClosedResourceError) after [`aclose`](Self::aclose).
    pub fn set_multicast_ttl_v4(&self, ttl: u32) -> io::Result<()> {
        self.option(|socket| socket.set_multicast_ttl_v4(ttl), |options| options.multicast_ttl_v4.set(ttl))
    }

    /// Whether this machine sees its own multicast datagrams (`IP_MULTICAST_LOOP`): yes, unless that was changed.
    ///
    /// # Errors
    ///
    /// The system's; [`ClosedResourceError`](crate::ClosedResourceError) after [`aclose`](Self::aclose).
    pub fn multicast_loop_v4(&self) -> io::Result<bool> {
        self.option(std::net::UdpSocket::multicast_loop_v4, |options| options.multicast_loop_v4.get())
    }

    /// Sets whether this machine sees its own multicast datagrams.
    ///
    /// # Errors
    ///
    /// The system's; [`ClosedResourceError`](crate::ClosedResourceError) after [`aclose`](Self::aclose).
    pub fn set_multicast_loop_v4(&self, on: bool) -> io::Result<()> {
        self.option(|socket| socket.set_multicast_loop_v4(on), |options| options.multicast_loop_v4.set(on))
    }

    /// As [`multicast_loop_v4`](Self::multicast_loop_v4), for IPv6 (`IPV6_MULTICAST_LOOP`).
    ///
    /// # Errors
    ///
    /// The system's; [`ClosedResourceError`](crate::ClosedResourceError) after [`aclose`](Self::aclose).
    pub fn multicast_loop_v6(&self) -> io::Result<bool> {
        self.option(std::net::UdpSocket::multicast_loop_v6, |options| options.multicast_loop_v6.get())
    }

    /// As [`set_multicast_loop_v4`](Self::set_multicast_loop_v4), for IPv6.
    ///
    /// # Errors
    ///
    /// The system's; [`ClosedResourceError`](crate::ClosedResourceError) after [`aclose`](Self::aclose).
    pub fn set_multicast_loop_v6(&self, on: bool) -> io::Result<()> {
        self.option(|socket| socket.set_multicast_loop_v6(on), |options| options.multicast_loop_v6.set(on))
    }

    /// Joins a multicast group, on the interface with this address; `0.0.0.0` lets the system choose one.
    ///
    /// # Errors
    ///
    /// The system's; [`ClosedResourceError`](crate::ClosedResourceError) after [`aclose`](Self::aclose).
    pub fn join_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        let join = |socket: &std::net::UdpSocket| socket.join_multicast_v4(&group, &interface);
        self.open()?.ask(join, |socket| socket.set_member(IpAddr::V4(group), true))
    }

    /// Leaves a multicast group that was joined with the same arguments.
    ///
    /// # Errors
    ///
    /// The system's; [`ClosedResourceError`](crate::ClosedResourceError) after [`aclose`](Self::aclose).
    pub fn leave_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        let leave = |socket: &std::net::UdpSocket| socket.leave_multicast_v4(&group, &interface);
        self.open()?.ask(leave, |socket| socket.set_member(IpAddr::V4(group), false))
    }

    /// Joins a multicast group, on the interface with this number; 0 lets the system choose one.
    ///
    /// # Errors
    ///
    /// The system's; [`ClosedResourceError`](crate::ClosedResourceError) after [`aclose`](Self::aclose).
    pub fn join_multicast_v6(&self, group: Ipv6Addr, interface: u32) -> io::Result<()> {
        let join = |socket: &std::net::UdpSocket| socket.join_multicast_v6(&group, interface);
        self.open()?.ask(join, |socket| socket.set_member(IpAddr::V6(group), true))
    }

    /// Leaves a multicast group that was joined with the same arguments.
    ///
    /// # Errors
    ///
    /// The system's; [`ClosedResourceError`](crate::ClosedResourceError) after [`aclose`](Self::aclose).
    pub fn leave_multicast_v6(&self, group: Ipv6Addr, interface: u32) -> io::Result<()> {
        let leave = |socket: &std::net::UdpSocket| socket.leave_multicast_v6(&group, interface);
        self.open()?.ask(leave, |socket| socket.set_member(IpAddr::V6(group), false))
    }
}

/// Stands where nobody looks.
const UNKNOWN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// What the first address gives for which there is no error, or the last one's error. There is at least one.
pub(super) fn first_that_works<T>(
    addresses: Vec<SocketAddr>,
    mut attempt: impl FnMut(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut result = Err(io::ErrorKind::InvalidInput.into());
    for address in addresses {
        result = attempt(address);
        if result.is_ok() {
            break;
        }
    }
    result
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.open {
            Some(open) => open.fmt(f),
            None => f.write_str("UdpSocket(closed)"),
        }
    }
}

/// For options that have no method here, and for [`lowlevel`](crate::lowlevel).
///
/// # Panics
///
/// After [`aclose`](UdpSocket::aclose), when there is no descriptor; and if the socket is one of a virtual network, which
/// never has one.
impl AsFd for UdpSocket {
    #[track_caller]
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.open.as_ref().expect("a socket that was closed has no descriptor").as_fd()
    }
}

impl AsyncResource for UdpSocket {
    async fn aclose(&mut self) -> io::Result<()> {
        self.aclose().await
    }
}
