//! The hosts of a virtual network, on which code runs.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::{Rc, Weak};

use super::connection::{self};
use super::core::{Core, HostId, loopback};
use super::datagram::Bound;
use super::listener::Listening;
use crate::net::seam::{DatagramSocket, ListenerSocket, NETWORK, Network, Pending, StreamSocket};

/// A host of a virtual network. Made by [`Network::host`](super::Network::host). A clone is another handle to the same.
///
/// It has the addresses that it was made with, and besides, as every host, a loopback network (`127.0.0.0/8` and `::1`) of
/// its own.
#[derive(Clone)]
pub struct Host {
    pub(super) core: Rc<Core>,
    pub(super) id: HostId,
}

impl Host {
    /// Runs code on this host: the sockets that it makes are the host's, and names are looked up in the virtual network.
    ///
    /// Tasks that it spawns run there too, wherever they are spawned, and so on for theirs. Sockets that were made
    /// elsewhere stay what they are. Not a checkpoint of its own.
    ///
    /// # Panics
    ///
    /// Polled outside a run.
    ///
    /// # Examples
    ///
    /// ```
    /// use trio::net::UdpSocket;
    /// use trio::testing::net::Network;
    /// trio::run(async {
    ///     let host = Network::new().host("somewhere");
    ///     let socket = host.run(UdpSocket::bind("0.0.0.0:53")).await?;
    ///     assert_eq!(socket.local_addr()?.port(), 53);
    ///     std::io::Result::Ok(())
    /// })
    /// .unwrap();
    /// ```
    pub fn run<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        NETWORK.scope(Rc::new(self.clone()), future)
    }

    /// What other hosts call it.
    pub fn name(&self) -> String {
        self.core.state().hosts[self.id.0].name.clone()
    }

    /// The addresses at which other hosts reach it, in the order in which they try them.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.core.state().hosts[self.id.0].addresses.clone()
    }

    /// The first of its [`addresses`](Self::addresses).
    ///
    /// # Panics
    ///
    /// If it has none.
    #[track_caller]
    pub fn address(&self) -> IpAddr {
        *self.addresses().first().expect("this host has no address")
    }

    /// Cuts the power: all sockets of the host are lost, nobody is told, and nothing answers until it is
    /// [restarted](Self::restart).
    ///
    /// Whatever code does with a socket of the host fails from now on (`ENETDOWN`). The code itself goes on: cancel it if it
    /// is to be gone as well. Not a checkpoint.
    pub fn crash(&self) {
        self.core.advance();
        let (listeners, datagrams, ends) = {
            let mut state = self.core.state_mut();
            let ends: Vec<_> =
                state.ends.values().filter_map(Weak::upgrade).filter(|end| end.host() == self.id).collect();
            state.forget_held(self.id);
            let host = &mut state.hosts[self.id.0];
            host.down = true;
            (std::mem::take(&mut host.listeners), std::mem::take(&mut host.datagrams), ends)
        };
        listeners.iter().filter_map(Weak::upgrade).for_each(|listener| listener.crash());
        datagrams.iter().filter_map(Weak::upgrade).for_each(|socket| socket.crash());
        ends.iter().for_each(|end| end.crash());
    }

    /// Switches the host on again. It knows nothing of its former connections: whoever still believes in one is told by a
    /// reset as soon as it sends something. Not a checkpoint.
    pub fn restart(&self) {
        self.core.advance();
        self.core.state_mut().hosts[self.id.0].down = false;
        self.core.release();
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("name", &self.name()).field("addresses", &self.addresses()).finish()
    }
}

impl Network for Host {
    fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        if name.eq_ignore_ascii_case("localhost") {
            return Ok(vec![loopback(true), loopback(false)]);
        }
        let state = self.core.state();
        let host = state.hosts.iter().find(|host| host.name.eq_ignore_ascii_case(name));
        let host = host.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "there is no host of this name"))?;
        Ok(host.addresses.clone())
    }

    fn connect(&self, address: SocketAddr) -> Pending<'static, Box<dyn StreamSocket>> {
        connection::connect(Rc::clone(&self.core), self.id, address)
    }

    fn listen(&self, address: SocketAddr, backlog: u32) -> io::Result<Box<dyn ListenerSocket>> {
        Ok(Box::new(Listening::new(&self.core, self.id, address, backlog)?))
    }

    fn bind(&self, address: SocketAddr) -> io::Result<Box<dyn DatagramSocket>> {
        Ok(Box::new(Bound::new(&self.core, self.id, address)?))
    }
}
