//! A virtual network as a whole.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::rc::Rc;

use super::core::{Core, HostId, HostState, pair};
use super::host::Host;
use super::link::Link;
use super::packet::UdpPacket;
use crate::kernel::context;
use crate::kernel::run::Run;

/// A network of hosts that do not exist: see the [module](super). A clone is another handle to the same.
///
/// It belongs to the run in which it is first used.
#[derive(Clone)]
pub struct Network {
    core: Rc<Core>,
}

impl Default for Network {
    fn default() -> Self {
        Self::new()
    }
}

impl Network {
    /// A network without hosts, whose links are perfect.
    ///
    /// Its chances follow from the run's seed, if that has one: so they differ under `#[trio::test(schedules = …)]`, and
    /// are the same again when a seed is replayed.
    pub fn new() -> Self {
        let seed = context::try_with(Run::draw);
        Self::with_seed(seed.flatten().unwrap_or(0))
    }

    /// As [`new`](Self::new), but the chances follow from this seed.
    pub fn with_seed(seed: u64) -> Self {
        Self { core: Core::new(seed) }
    }

    pub(super) fn of(core: &Rc<Core>) -> Self {
        Self { core: Rc::clone(core) }
    }

    /// Adds a host with an IPv4 and an IPv6 address that no other has: `10.0.0.1` and `fd00::1` for the first, and so on.
    ///
    /// # Panics
    ///
    /// If there is a host of this name already.
    #[track_caller]
    pub fn host(&self, name: impl Into<String>) -> Host {
        let number = u16::try_from(self.core.state().hosts.len() + 1).expect("too many hosts");
        let [high, low] = number.to_be_bytes();
        let v4 = Ipv4Addr::new(10, 0, high, low);
        let v6 = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, number);
        self.host_at(name, [IpAddr::V4(v4), IpAddr::V6(v6)])
    }

    /// Adds a host with these addresses, which others try in this order.
    ///
    /// # Panics
    ///
    /// If there is a host of this name already, or one that has one of the addresses; if an address is not one that a
    /// host can have.
    #[track_caller]
    pub fn host_at(&self, name: impl Into<String>, addresses: impl IntoIterator<Item = impl Into<IpAddr>>) -> Host {
        let (name, addresses): (String, Vec<IpAddr>) = (name.into(), addresses.into_iter().map(Into::into).collect());
        let mut state = self.core.state_mut();
        assert!(
            !state.hosts.iter().any(|host| host.name.eq_ignore_ascii_case(&name)),
            "there is a host '{name}' already"
        );
        for address in &addresses {
            let usable = !address.is_unspecified() && !address.is_loopback() && !address.is_multicast();
            assert!(usable, "a host can't have the address {address}");
            let other = state.hosts.iter().find(|host| host.addresses.contains(address));
            assert!(
                other.is_none(),
                "host '{}' has the address {address} already",
                other.map_or("", |host| &host.name)
            );
        }
        state.hosts.push(HostState::new(name, addresses));
        Host { core: Rc::clone(&self.core), id: HostId(state.hosts.len() - 1) }
    }

    /// Sets what lies between each two hosts for which [`set_link`](Self::set_link) was not called. What is on its way
    /// is not affected.
    pub fn set_default_link(&self, link: Link) {
        self.core.advance();
        self.core.state_mut().default_link = link;
    }

    /// Sets what lies between two hosts. What is on its way is not affected.
    pub fn set_link(&self, a: &Host, b: &Host, link: Link) {
        self.core.advance();
        self.core.state_mut().links.insert(self.pair(a, b), link);
    }

    /// Separates two hosts: nothing gets through between them until they are [healed](Self::heal).
    ///
    /// Datagrams are lost, also those that are on their way. TCP connections stand, and wait: what is sent arrives when the
    /// partition is over. Nobody is told, and who tries to connect meanwhile gives up after 127 seconds, as on Linux.
    pub fn partition(&self, a: &Host, b: &Host) {
        self.core.advance();
        let pair = self.pair(a, b);
        self.core.state_mut().cut.insert(pair);
    }

    /// Ends a [partition](Self::partition). What TCP had to wait with is sent now.
    pub fn heal(&self, a: &Host, b: &Host) {
        self.core.advance();
        let pair = self.pair(a, b);
        self.core.state_mut().cut.remove(&pair);
        self.core.release();
    }

    #[track_caller]
    fn pair(&self, a: &Host, b: &Host) -> (HostId, HostId) {
        let ours = Rc::ptr_eq(&a.core, &self.core) && Rc::ptr_eq(&b.core, &self.core);
        assert!(ours, "this is a host of another network");
        pair(a.id, b.id)
    }

    /// Sets what is called with each UDP datagram that is sent, to see, change, drop or double it: Trio's `route_packet`.
    ///
    /// The router decides what becomes of the datagram: it can [transmit](Self::transmit) it as if there were no router,
    /// [deliver](Self::deliver_packet) it at once, keep it for later, or forget it, which loses it. It is called inside of
    /// the operation that sends.
    ///
    /// # Examples
    ///
    /// ```
    /// use trio::net::UdpSocket;
    /// use trio::testing::net::Network;
    /// trio::run(async {
    ///     let network = Network::new();
    ///     network.set_router(|network, mut packet| {
    ///         packet.payload.make_ascii_uppercase();
    ///         network.transmit(packet);
    ///     });
    ///     let (a, b) = (network.host("a"), network.host("b"));
    ///     let server = b.run(UdpSocket::bind("0.0.0.0:7")).await?;
    ///     let client = a.run(UdpSocket::bind("0.0.0.0:0")).await?;
    ///     a.run(client.send_to(b"psst", "b:7")).await?;
    ///     let mut buffer = [0; 4];
    ///     server.recv(&mut buffer).await?;
    ///     assert_eq!(&buffer, b"PSST");
    ///     std::io::Result::Ok(())
    /// })
    /// .unwrap();
    /// ```
    pub fn set_router(&self, router: impl Fn(&Self, UdpPacket) + 'static) {
        let old = self.core.route.replace(Some(Rc::new(router)));
        drop(old);
    }

    /// Takes the [router](Self::set_router) away.
    pub fn remove_router(&self) {
        let old = self.core.route.take();
        drop(old);
    }

    /// Sends a datagram on its way through the links, with all that may happen to it there.
    pub fn transmit(&self, packet: UdpPacket) {
        self.core.transmit(packet);
    }

    /// Lets a datagram arrive at once, whatever lies between: Trio's `deliver_packet`. If there is nobody who takes it, it
    /// is lost.
    pub fn deliver_packet(&self, packet: UdpPacket) {
        let to = self.core.state().host_of(packet.host, packet.destination.ip());
        if let Some(to) = to.filter(|to| !self.core.state().hosts[to.0].down) {
            self.core.datagram_arrives(packet.host, to, packet);
        }
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.core.state();
        f.debug_list().entries(state.hosts.iter().map(|host| &host.name)).finish()
    }
}
