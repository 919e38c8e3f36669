//! UDP sockets of a virtual network.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use super::Network;
use super::core::{BROADCAST, Core, HostId, covers, loopback, os};
use super::packet::UdpPacket;
use crate::kernel::reactor::Direction;
use crate::net::seam::{DatagramOptions, DatagramSocket, Pending, VirtualSocket};
use crate::testing::changes::Changes;

/// More than this does not fit into one.
const LONGEST: usize = 65_507;
/// How many bytes may wait to be received, as counted by the system: with this much more for each.
const ROOM: usize = 212_992;
const OVERHEAD: usize = 256;

/// A socket, as the network sees it.
pub(super) struct Datagrams {
    core: Rc<Core>,
    host: HostId,
    local: Cell<SocketAddr>,
    peer: Cell<Option<SocketAddr>>,
    arrived: RefCell<VecDeque<UdpPacket>>,
    /// What the next call is to be told.
    error: Cell<Option<i32>>,
    down: Cell<bool>,
    groups: RefCell<BTreeSet<IpAddr>>,
    options: DatagramOptions,
    readable: Changes,
    writable: Changes,
}

/// A socket, as its user sees it.
pub(super) struct Bound(Rc<Datagrams>);

impl Bound {
    pub(super) fn new(core: &Rc<Core>, host: HostId, wanted: SocketAddr) -> io::Result<Self> {
        core.advance();
        let mut state = core.state_mut();
        let local = state.claim(host, wanted, |host| {
            host.datagrams.iter().filter_map(|socket| Some(socket.upgrade()?.local())).collect()
        })?;
        let socket = Rc::new(Datagrams {
            core: Rc::clone(core),
            host,
            local: Cell::new(local),
            peer: Cell::new(None),
            arrived: RefCell::default(),
            error: Cell::new(None),
            down: Cell::new(false),
            groups: RefCell::default(),
            options: DatagramOptions::default(),
            readable: Changes::default(),
            writable: Changes::default(),
        });
        state.hosts[host.0].datagrams.push(Rc::downgrade(&socket));
        Ok(Self(socket))
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        let socket = &self.0;
        socket.core.advance();
        let mut state = socket.core.state_mut();
        state.hosts[socket.host.0].datagrams.retain(|other| !std::ptr::eq(other.as_ptr(), Rc::as_ptr(socket)));
    }
}

impl Datagrams {
    pub(super) fn local(&self) -> SocketAddr {
        self.local.get()
    }

    /// How well a datagram fits this socket, if it does: best if it is connected, then if it is bound to just this address.
    pub(super) fn takes(&self, packet: &UdpPacket) -> Option<(bool, bool)> {
        let local = self.local();
        let from_peer = self.peer.get().is_none_or(|peer| peer == packet.source);
        let fits = covers(local, packet.destination) && from_peer;
        fits.then(|| (self.peer.get().is_some(), !local.ip().is_unspecified()))
    }

    /// Whether it takes what goes to many.
    pub(super) fn takes_of_group(&self, packet: &UdpPacket) -> bool {
        let ip = packet.destination.ip();
        let is_member = !ip.is_multicast() || self.groups.borrow().contains(&ip);
        is_member && self.takes(packet).is_some()
    }

    /// Puts a datagram where it is received, if there is room.
    pub(super) fn arrive(&self, packet: UdpPacket) {
        let waiting: usize = self.arrived.borrow().iter().map(|packet| packet.payload.len() + OVERHEAD).sum();
        if waiting + packet.payload.len() + OVERHEAD <= ROOM {
            self.arrived.borrow_mut().push_back(packet);
            self.readable.tell();
        }
    }

    /// Nobody takes what goes there.
    pub(super) fn refused(&self, destination: SocketAddr) {
        // Only a connected socket is told, since otherwise nobody would know what is meant.
        if self.peer.get() == Some(destination) {
            self.error.set(Some(libc::ECONNREFUSED));
            self.readable.tell();
        }
    }

    /// The host has lost all it had.
    pub(super) fn crash(&self) {
        self.down.set(true);
        self.arrived.borrow_mut().clear();
        self.readable.tell();
    }

    fn check(&self) -> io::Result<()> {
        if self.down.get() {
            return Err(os(libc::ENETDOWN));
        }
        self.error.take().map_or(Ok(()), |code| Err(os(code)))
    }

    /// The address that a datagram to there comes from.
    fn source_for(&self, destination: SocketAddr) -> io::Result<SocketAddr> {
        let local = self.local();
        if local.is_ipv4() != destination.is_ipv4() {
            return Err(os(libc::EAFNOSUPPORT));
        }
        if !local.ip().is_unspecified() && !local.ip().is_multicast() {
            return Ok(local);
        }
        let ip = self.core.state().source_for(self.host, destination.ip())?;
        Ok(SocketAddr::new(ip, local.port()))
    }
}

/// The wildcard as a destination means this very host.
pub(super) fn destination(address: SocketAddr) -> SocketAddr {
    let ip = if address.ip().is_unspecified() { loopback(address.is_ipv4()) } else { address.ip() };
    SocketAddr::new(ip, address.port())
}

impl VirtualSocket for Bound {
    fn ready(&self, direction: Direction) -> Pending<'_, ()> {
        let socket = &*self.0;
        socket.core.advance();
        match direction {
            Direction::Read => socket
                .readable
                .ready(|| socket.down.get() || socket.error.get().is_some() || !socket.arrived.borrow().is_empty()),
            // What has no room is lost, so that there always is.
            Direction::Write => socket.writable.ready(|| true),
        }
    }

    fn local_addr(&self) -> SocketAddr {
        self.0.local()
    }
}

impl DatagramSocket for Bound {
    fn connect(&self, peer: SocketAddr) -> io::Result<()> {
        let socket = &*self.0;
        let peer = destination(peer);
        if peer.ip() == BROADCAST && !socket.options.broadcast.get() {
            return Err(os(libc::EACCES));
        }
        socket.local.set(socket.source_for(peer)?);
        socket.peer.set(Some(peer));
        Ok(())
    }

    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.peer.get().ok_or_else(|| os(libc::ENOTCONN))
    }

    fn send(&self, data: &[u8], to: Option<SocketAddr>) -> io::Result<usize> {
        let socket = &*self.0;
        socket.check()?;
        let to = to.map(destination).or_else(|| socket.peer.get()).ok_or_else(|| os(libc::ENOTCONN))?;
        if data.len() > LONGEST {
            return Err(os(libc::EMSGSIZE));
        }
        if to.port() == 0 {
            return Err(os(libc::EINVAL));
        }
        if to.ip() == BROADCAST && !socket.options.broadcast.get() {
            return Err(os(libc::EACCES));
        }
        let source = socket.source_for(to)?;
        let options = &socket.options;
        let loops = match to.ip() {
            ip if !ip.is_multicast() => true,
            IpAddr::V4(_) => options.multicast_loop_v4.get(),
            IpAddr::V6(_) => options.multicast_loop_v6.get(),
        };
        let packet = UdpPacket { source, destination: to, payload: data.to_vec(), host: socket.host, loops };
        let route = socket.core.route.borrow().clone();
        match route {
            Some(route) => route(&Network::of(&socket.core), packet),
            None => socket.core.transmit(packet),
        }
        Ok(data.len())
    }

    fn receive(&self, buffer: &mut [u8], peek: bool) -> io::Result<(usize, SocketAddr)> {
        let socket = &*self.0;
        socket.check()?;
        let mut arrived = socket.arrived.borrow_mut();
        let packet = arrived.front().ok_or(io::ErrorKind::WouldBlock)?;
        let count = packet.payload.len().min(buffer.len());
        buffer[..count].copy_from_slice(&packet.payload[..count]);
        let source = packet.source;
        if !peek {
            arrived.pop_front();
        }
        Ok((count, source))
    }

    fn options(&self) -> &DatagramOptions {
        &self.0.options
    }

    fn set_member(&self, group: IpAddr, member: bool) -> io::Result<()> {
        let mut groups = self.0.groups.borrow_mut();
        match (group.is_multicast(), member) {
            (false, _) => Err(os(libc::EINVAL)),
            (true, true) if groups.insert(group) => Ok(()),
            (true, true) => Err(os(libc::EADDRINUSE)),
            (true, false) if groups.remove(&group) => Ok(()),
            (true, false) => Err(os(libc::EADDRNOTAVAIL)),
        }
    }
}
