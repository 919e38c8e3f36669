//! TCP listeners of a virtual network.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use super::connection::{Connection, EndId, Endpoint};
use super::core::{Core, HostId, os};
use crate::kernel::reactor::Direction;
use crate::net::seam::{ListenerSocket, Pending, StreamSocket, VirtualSocket};
use crate::testing::changes::Changes;

/// A listener, as the network sees it.
pub(super) struct Listener {
    core: Rc<Core>,
    host: HostId,
    local: SocketAddr,
    backlog: usize,
    /// Connections that were not accepted yet.
    waiting: RefCell<VecDeque<Rc<Endpoint>>>,
    down: Cell<bool>,
    arrivals: Changes,
}

/// A listener, as its user sees it.
pub(super) struct Listening(Rc<Listener>);

impl Listening {
    pub(super) fn new(core: &Rc<Core>, host: HostId, wanted: SocketAddr, backlog: u32) -> io::Result<Self> {
        core.advance();
        let mut state = core.state_mut();
        let local = state.claim(host, wanted, |host| {
            host.listeners.iter().filter_map(|listener| Some(listener.upgrade()?.local)).collect()
        })?;
        let listener = Rc::new(Listener {
            core: Rc::clone(core),
            host,
            local,
            backlog: usize::try_from(backlog).unwrap_or(usize::MAX),
            waiting: RefCell::default(),
            down: Cell::new(false),
            arrivals: Changes::default(),
        });
        state.hosts[host.0].listeners.push(Rc::downgrade(&listener));
        Ok(Self(listener))
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let listener = &self.0;
        listener.core.advance();
        let is_other = |other: &std::rc::Weak<Listener>| !std::ptr::eq(other.as_ptr(), Rc::as_ptr(listener));
        listener.core.state_mut().hosts[listener.host.0].listeners.retain(is_other);
        listener.reset_waiting();
    }
}

impl Listener {
    pub(super) fn local(&self) -> SocketAddr {
        self.local
    }

    /// Whether nobody more may wait to be accepted. One more than was asked for may, as on Linux.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.borrow().len() > self.backlog
    }

    /// Somebody connects.
    pub(super) fn connect(&self, end: EndId, source: SocketAddr, destination: SocketAddr, from: HostId) {
        let end = Endpoint::accepting(&self.core, (self.host, from), end, (destination, source));
        self.waiting.borrow_mut().push_back(Rc::clone(&end));
        end.accept();
        self.arrivals.tell();
    }

    /// The host has lost all it had. Nobody is told.
    pub(super) fn crash(&self) {
        self.down.set(true);
        let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
        waiting.iter().for_each(|end| end.crash());
        self.arrivals.tell();
    }

    fn reset_waiting(&self) {
        let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
        waiting.iter().for_each(|end| end.reset());
    }
}

impl VirtualSocket for Listening {
    fn ready(&self, _direction: Direction) -> Pending<'_, ()> {
        let listener = &*self.0;
        listener.core.advance();
        listener.arrivals.ready(|| listener.down.get() || !listener.waiting.borrow().is_empty())
    }

    fn local_addr(&self) -> SocketAddr {
        self.0.local
    }
}

impl ListenerSocket for Listening {
    fn accept(&self) -> io::Result<(Box<dyn StreamSocket>, SocketAddr)> {
        if self.0.down.get() {
            return Err(os(libc::ENETDOWN));
        }
        let end = self.0.waiting.borrow_mut().pop_front().ok_or(io::ErrorKind::WouldBlock)?;
        let peer = end.peer();
        Ok((Box::new(Connection(end)), peer))
    }
}
