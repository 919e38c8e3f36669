//! Where another network than the system's can take its place.
//!
//! Code that runs with [`NETWORK`] set makes its sockets there, and looks names up there: that is how `testing::net` puts
//! programs on hosts that do not exist. The types that users see are the same. A socket of another network is behind one
//! of the traits below: non-blocking calls, and one way to wait until such a call is worth making. What is common to all
//! sockets (checkpoints, the loop of `send_all`, what is refused after a close) stays in this module's neighbours.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
#[cfg(feature = "__poll")]
use std::task::{Context, Poll};

use crate::kernel::reactor::Direction;
use crate::variables::TaskLocal;

/// The network of the current task, if it is not the system's. What a task spawns has it too.
pub(crate) static NETWORK: TaskLocal<Rc<dyn Network>> = TaskLocal::new("network");

/// An operation of another network. The system's are never boxed.
pub(crate) type Pending<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + 'a>>;

/// A network as one of its hosts sees it.
pub(crate) trait Network {
    /// The addresses that a name means, in the order in which to try them. A numeric address is no name.
    fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>>;

    /// Connects. A checkpoint; dropped, it leaves no connection behind.
    fn connect(&self, address: SocketAddr) -> Pending<'static, Box<dyn StreamSocket>>;

    /// Listens, with so many connections at most that wait to be accepted.
    fn listen(&self, address: SocketAddr, backlog: u32) -> io::Result<Box<dyn ListenerSocket>>;

    /// A datagram socket at this address.
    fn bind(&self, address: SocketAddr) -> io::Result<Box<dyn DatagramSocket>>;
}

/// What all sockets have.
pub(crate) trait VirtualSocket {
    /// Waits until a call in this direction would not give `WouldBlock`: a checkpoint that has no effect. Fails if another
    /// task does so already.
    fn ready(&self, direction: Direction) -> Pending<'_, ()>;

    fn local_addr(&self) -> SocketAddr;
}

/// A connection, which is closed when it is dropped. Calls do not block.
pub(crate) trait StreamSocket: VirtualSocket {
    /// As `ready`, for what polls, and may go away without a word: whoever comes next takes the place.
    #[cfg(feature = "__poll")]
    fn poll_ready(&self, direction: Direction, context: &mut Context<'_>) -> Poll<io::Result<()>>;
    fn peer_addr(&self) -> SocketAddr;
    fn send(&self, data: &[u8]) -> io::Result<usize>;
    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize>;
    /// As `receive`, but what it gives stays there.
    fn peek(&self, buffer: &mut [u8]) -> io::Result<usize>;
    fn end_sending(&self) -> io::Result<()>;
    /// `TCP_NODELAY`, which changes nothing.
    fn nodelay(&self) -> &Cell<bool>;
}

/// A socket that waits for connections, and is closed when it is dropped. Calls do not block.
pub(crate) trait ListenerSocket: VirtualSocket {
    fn accept(&self) -> io::Result<(Box<dyn StreamSocket>, SocketAddr)>;
}

/// A datagram socket, which is closed when it is dropped. Calls do not block.
pub(crate) trait DatagramSocket: VirtualSocket {
    fn connect(&self, peer: SocketAddr) -> io::Result<()>;
    fn peer_addr(&self) -> io::Result<SocketAddr>;
    /// Sends to this address, or to the peer.
    fn send(&self, data: &[u8], to: Option<SocketAddr>) -> io::Result<usize>;
    /// Receives a datagram, or looks at it if it is to stay (`peek`).
    fn receive(&self, buffer: &mut [u8], peek: bool) -> io::Result<(usize, SocketAddr)>;
    fn options(&self) -> &DatagramOptions;
    /// Joins a multicast group, or leaves it.
    fn set_member(&self, group: IpAddr, member: bool) -> io::Result<()>;
}

/// What can be set on a datagram socket.
pub(crate) struct DatagramOptions {
    pub(crate) broadcast: Cell<bool>,
    pub(crate) ttl: Cell<u32>,
    pub(crate) multicast_ttl_v4: Cell<u32>,
    pub(crate) multicast_loop_v4: Cell<bool>,
    pub(crate) multicast_loop_v6: Cell<bool>,
}

impl Default for DatagramOptions {
    fn default() -> Self {
        Self {
            broadcast: Cell::new(false),
            ttl: Cell::new(64),
            multicast_ttl_v4: Cell::new(1),
            multicast_loop_v4: Cell::new(true),
            multicast_loop_v6: Cell::new(true),
        }
    }
}
