//! What can be set on sockets, and asked of them.
#![forbid(unsafe_code)]

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{SockRef, TcpKeepalive};

use super::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream};

/// When the system asks a silent peer whether it is still there (`SO_KEEPALIVE`): see
/// [`TcpStream::set_keepalive`]. What is not said is as the system has it.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use trio::net::Keepalive;
/// let keepalive = Keepalive::new().idle(Duration::from_secs(60)).interval(Duration::from_secs(10)).retries(3);
/// # let _ = keepalive;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keepalive {
    idle: Option<Duration>,
    interval: Option<Duration>,
    retries: Option<u32>,
}

impl Keepalive {
    /// The system's values.
    pub const fn new() -> Self {
        Self { idle: None, interval: None, retries: None }
    }

    /// How long nothing has come before the peer is asked (`TCP_KEEPIDLE`). Whole seconds.
    pub const fn idle(self, idle: Duration) -> Self {
        Self { idle: Some(idle), ..self }
    }

    /// How long to wait before it is asked again (`TCP_KEEPINTVL`). Whole seconds.
    pub const fn interval(self, interval: Duration) -> Self {
        Self { interval: Some(interval), ..self }
    }

    /// How often it is asked before the connection is given up (`TCP_KEEPCNT`).
    pub const fn retries(self, retries: u32) -> Self {
        Self { retries: Some(retries), ..self }
    }

    pub(super) fn set(self, socket: &socket2::Socket) -> io::Result<()> {
        let mut wanted = TcpKeepalive::new();
        if let Some(idle) = self.idle {
            wanted = wanted.with_time(idle);
        }
        if let Some(interval) = self.interval {
            wanted = wanted.with_interval(interval);
        }
        if let Some(retries) = self.retries {
            wanted = wanted.with_retries(retries);
        }
        socket.set_tcp_keepalive(&wanted)
    }

    fn get(socket: &socket2::Socket) -> io::Result<Option<Self>> {
        if !socket.keepalive()? {
            return Ok(None);
        }
        Ok(Some(Self {
            idle: Some(socket.tcp_keepalive_time()?),
            interval: Some(socket.tcp_keepalive_interval()?),
            retries: Some(socket.tcp_keepalive_retries()?),
        }))
    }
}

const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// Methods that get and set an option. A virtual network takes any value, changes nothing, and has none to give.
macro_rules! options {
    ($type:ty: $($(#[$doc:meta])* $get:ident, $set:ident: $value:ty = $read:expr, $write:expr;)+) => {
        impl $type {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                ///
                /// The system's; [`ClosedResourceError`](crate::ClosedResourceError) after [`aclose`](Self::aclose);
                /// [`Unsupported`](io::ErrorKind::Unsupported) in a virtual network.
                pub fn $get(&self) -> io::Result<$value> {
                    self.get_option($read)
                }

                #[doc = concat!("Sets what [`", stringify!($get), "`](Self::", stringify!($get), ") gives. In a virtual network nothing changes.")]
                ///
                /// # Errors
                ///
                /// The system's; [`ClosedResourceError`](crate::ClosedResourceError) after [`aclose`](Self::aclose).
                pub fn $set(&self, value: $value) -> io::Result<()> {
                    let write: fn(&socket2::Socket, $value) -> io::Result<()> = $write;
                    self.set_option(|socket| write(socket, value))
                }
            )+
        }
    };
}

/// What every socket has.
macro_rules! common {
    ($($type:ty),+) => {
        $(
            options! { $type:
                /// How much may have come that was not received yet, in bytes (`SO_RCVBUF`). Linux gives twice what was set, to
                /// account for its own needs.
                recv_buffer_size, set_recv_buffer_size: usize =
                    socket2::Socket::recv_buffer_size, socket2::Socket::set_recv_buffer_size;
                /// How much may wait to be sent, in bytes (`SO_SNDBUF`). Linux gives twice what was set.
                send_buffer_size, set_send_buffer_size: usize =
                    socket2::Socket::send_buffer_size, socket2::Socket::set_send_buffer_size;
            }

            impl $type {
                fn get_option<T>(&self, get: impl FnOnce(&socket2::Socket) -> io::Result<T>) -> io::Result<T> {
                    self.open()?.ask(|socket| get(&SockRef::from(socket)), |_| Err(io::ErrorKind::Unsupported.into()))
                }

                fn set_option(&self, set: impl FnOnce(&socket2::Socket) -> io::Result<()>) -> io::Result<()> {
                    self.open()?.ask(|socket| set(&SockRef::from(socket)), |_| Ok(()))
                }

                /// Whether an operation that receives (or accepts) would not wait now: Trio's `is_readable`. Not a checkpoint.
                ///
                /// # Errors
                ///
                /// [`ClosedResourceError`](crate::ClosedResourceError) after [`aclose`](Self::aclose);
                /// [`Unsupported`](io::ErrorKind::Unsupported) in a virtual network.
                pub fn is_readable(&self) -> io::Result<bool> {
                    self.get_option(|socket| Ok(poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&AT_ONCE))? > 0))
                }

                /// Takes the error that the system has kept for the socket (`SO_ERROR`), if there is one: what would otherwise
                /// meet the next operation.
                ///
                /// # Errors
                ///
                /// [`ClosedResourceError`](crate::ClosedResourceError) after [`aclose`](Self::aclose);
                /// [`Unsupported`](io::ErrorKind::Unsupported) in a virtual network.
                pub fn take_error(&self) -> io::Result<Option<io::Error>> {
                    self.get_option(socket2::Socket::take_error)
                }
            }
        )+
    };
}

common!(TcpStream, TcpListener, UdpSocket, UnixStream, UnixListener, UnixDatagram);

options! { TcpStream:
    /// How many routers what is sent may pass (`IP_TTL`, `IPV6_UNICAST_HOPS`).
    ttl, set_ttl: u32 = ttl, set_ttl;
    /// Whether and when the system asks a silent peer if it is still there (`SO_KEEPALIVE`); `None`: never, unless set.
    keepalive, set_keepalive: Option<Keepalive> = Keepalive::get, |socket, keepalive| match keepalive {
        Some(keepalive) => keepalive.set(socket),
        None => socket.set_keepalive(false),
    };
    /// What kind of service routers are asked for (`IP_TOS`). For IPv4.
    tos_v4, set_tos_v4: u32 = socket2::Socket::tos_v4, socket2::Socket::set_tos_v4;
}

impl TcpStream {
    /// How long closing goes on delivering what was sent (`SO_LINGER`). `None`, unless set: for as long as it takes, behind
    /// everybody's back. Zero: not at all, and the other side sees a reset.
    ///
    /// # Errors
    ///
    /// The system's; [`ClosedResourceError`](crate::ClosedResourceError) after [`aclose`](Self::aclose);
    /// [`Unsupported`](io::ErrorKind::Unsupported) in a virtual network.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        self.get_option(socket2::Socket::linger)
    }

    /// Sets what [`linger`](Self::linger) gives: `None` or zero. In a virtual network nothing changes.
    ///
    /// With any other time, the system's `close` would block, and with it the whole run, or else cut off after that time what
    /// is still to be delivered. To wait until the other side has got everything, have it say so. A socket that was
    /// [taken over](Self::from_std) with such a time should have it taken away.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a time that is not zero; the system's;
    /// [`ClosedResourceError`](crate::ClosedResourceError) after [`aclose`](Self::aclose).
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        linger.map_or(Ok(()), check_linger)?;
        self.set_option(|socket| socket.set_linger(linger))
    }
}

/// Only what does not make closing wait.
pub(super) fn check_linger(linger: Duration) -> io::Result<()> {
    if linger.is_zero() {
        return Ok(());
    }
    let why = "a socket can't linger for a time: closing it would block the run";
    Err(io::Error::new(io::ErrorKind::InvalidInput, why))
}

#[cfg(any(target_os = "linux", target_os = "android"))]
options! { TcpStream:
    /// Whether what comes is acknowledged at once (`TCP_QUICKACK`). The system changes it as it likes.
    quickack, set_quickack: bool = socket2::Socket::tcp_quickack, socket2::Socket::set_tcp_quickack;
    /// How long what was sent may stay without an answer before the connection is given up (`TCP_USER_TIMEOUT`).
    user_timeout, set_user_timeout: Option<Duration> =
        socket2::Socket::tcp_user_timeout, socket2::Socket::set_tcp_user_timeout;
}

options! { UdpSocket:
    /// What kind of service routers are asked for (`IP_TOS`). For IPv4.
    tos_v4, set_tos_v4: u32 = socket2::Socket::tos_v4, socket2::Socket::set_tos_v4;
    /// How many routers a datagram may pass (`IPV6_UNICAST_HOPS`). For IPv6.
    unicast_hops_v6, set_unicast_hops_v6: u32 = socket2::Socket::unicast_hops_v6, socket2::Socket::set_unicast_hops_v6;
    /// How many routers a multicast datagram may pass (`IPV6_MULTICAST_HOPS`).
    multicast_hops_v6, set_multicast_hops_v6: u32 =
        socket2::Socket::multicast_hops_v6, socket2::Socket::set_multicast_hops_v6;
    /// The address of the interface that multicast datagrams leave by (`IP_MULTICAST_IF`); `0.0.0.0`: the system chooses.
    multicast_if_v4, set_multicast_if_v4: Ipv4Addr =
        socket2::Socket::multicast_if_v4, |socket, interface| socket.set_multicast_if_v4(&interface);
    /// The number of the interface that multicast datagrams leave by (`IPV6_MULTICAST_IF`); 0: the system chooses.
    multicast_if_v6, set_multicast_if_v6: u32 = socket2::Socket::multicast_if_v6, socket2::Socket::set_multicast_if_v6;
}

fn is_v6(socket: &socket2::Socket) -> io::Result<bool> {
    Ok(socket.local_addr()?.is_ipv6())
}

fn ttl(socket: &socket2::Socket) -> io::Result<u32> {
    if is_v6(socket)? { socket.unicast_hops_v6() } else { socket.ttl_v4() }
}

pub(super) fn set_ttl(socket: &socket2::Socket, ttl: u32) -> io::Result<()> {
    if is_v6(socket)? { socket.set_unicast_hops_v6(ttl) } else { socket.set_ttl_v4(ttl) }
}

/// Whether an IPv6 socket leaves IPv4 alone.
macro_rules! only_v6 {
    ($($type:ty),+) => {
        $(
            impl $type {
                /// Whether an IPv6 socket leaves IPv4 alone (`IPV6_V6ONLY`). To be said before it is bound: see
                /// [`SocketOptions::only_v6`](super::SocketOptions::only_v6).
                ///
                /// # Errors
                ///
                /// The system's, if it is not an IPv6 socket; [`ClosedResourceError`](crate::ClosedResourceError) after
                /// [`aclose`](Self::aclose); [`Unsupported`](io::ErrorKind::Unsupported) in a virtual network.
                pub fn only_v6(&self) -> io::Result<bool> {
                    self.get_option(socket2::Socket::only_v6)
                }
            }
        )+
    };
}

only_v6!(TcpListener, UdpSocket);
