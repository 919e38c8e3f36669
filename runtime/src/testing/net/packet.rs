//! Datagrams on their way.

use std::net::SocketAddr;

use super::core::HostId;
use super::host::Host;

/// A datagram on its way through a virtual network: Trio's `UDPPacket`.
///
/// See [`Network::set_router`](super::Network::set_router).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpPacket {
    /// Who sent it, as the receiver is told.
    pub source: SocketAddr,
    /// Where it goes.
    pub destination: SocketAddr,
    /// What is in it.
    pub payload: Vec<u8>,
    /// Where it is now.
    pub(super) host: HostId,
    /// Whether what goes to a group is also for the host that sends it.
    pub(super) loops: bool,
}

impl UdpPacket {
    /// A datagram that a host sends, whether or not it has such a source address.
    pub fn new(host: &Host, source: SocketAddr, destination: SocketAddr, payload: impl Into<Vec<u8>>) -> Self {
        Self { source, destination, payload: payload.into(), host: host.id, loops: true }
    }
}
