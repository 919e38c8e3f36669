//! TCP connections of a virtual network.
//!
//! Segments of one direction are numbered, so that they have their effect in order however they arrive. A sender may have
//! so much on the way that the receiver has not taken yet; what is taken is reported back.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
#[cfg(feature = "__poll")]
use std::task::{Context, Poll};
use std::time::Duration;

use super::core::{Cargo, Core, HostId, Passage, os};
use super::datagram::destination;
use crate::kernel::checkpoint::checkpoint_if_cancelled;
use crate::kernel::reactor::Direction;
use crate::kernel::scope::move_on_after;
use crate::net::seam::{Pending, StreamSocket, VirtualSocket};
use crate::testing::changes::Changes;

/// How much of what was sent the receiver may not have taken yet.
const WINDOW: usize = 64 * 1024;
/// How long a connection attempt goes on that nobody answers: as on Linux, which asks seven times.
const PATIENCE: Duration = Duration::from_secs(127);

/// One of the two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EndId {
    connection: u64,
    is_server: bool,
}

impl EndId {
    pub(super) const fn other(self) -> Self {
        Self { connection: self.connection, is_server: !self.is_server }
    }
}

/// What one end tells the other.
pub(super) struct Segment {
    /// Its place in the order; `None` if it has its effect whenever it comes.
    number: Option<u64>,
    what: What,
}

enum What {
    /// Somebody wants to connect.
    Open,
    /// Somebody accepts that.
    Accept,
    Data(Vec<u8>),
    /// So much was received.
    Taken(usize),
    End,
    Reset,
}

impl Segment {
    /// For a connection that does not exist.
    pub(super) const fn stray_reset() -> Self {
        Self { number: None, what: What::Reset }
    }

    pub(super) const fn opens(&self) -> bool {
        matches!(self.what, What::Open)
    }

    /// Whether the sender has to be told that there is no such connection.
    pub(super) const fn wants_an_answer(&self) -> bool {
        matches!(self.what, What::Accept | What::Data(_))
    }

    /// How much data there is in it.
    pub(super) fn len(&self) -> usize {
        match &self.what {
            What::Data(data) => data.len(),
            _ => 0,
        }
    }
}

/// One end of a connection, as the network sees it.
pub(super) struct Endpoint {
    core: Rc<Core>,
    host: HostId,
    peer_host: HostId,
    id: EndId,
    local: SocketAddr,
    peer: SocketAddr,
    state: RefCell<State>,
    readable: Changes,
    writable: Changes,
    nodelay: Cell<bool>,
}

#[derive(Default)]
struct State {
    established: bool,
    /// What the next call is to be told.
    error: Option<i32>,
    /// There is no connection any more.
    broken: bool,
    /// Nor the host on which this end was.
    down: bool,
    received: VecDeque<u8>,
    /// The other end will send no more.
    ended: bool,
    /// What was sent and, as far as is known here, not taken.
    untaken: usize,
    end_sent: bool,
    next_number: u64,
    expected: u64,
    /// What came before its time.
    early: BTreeMap<u64, What>,
}

/// One end of a connection, as its user sees it.
pub(super) struct Connection(pub(super) Rc<Endpoint>);

/// Connects from a host to an address.
pub(super) fn connect(core: Rc<Core>, host: HostId, to: SocketAddr) -> Pending<'static, Box<dyn StreamSocket>> {
    Box::pin(async move {
        checkpoint_if_cancelled().await;
        core.advance();
        let connection = Connection(Endpoint::connecting(&core, host, destination(to))?);
        let end = &connection.0;
        end.send(What::Open);
        let answered = || {
            let state = end.state.borrow();
            state.established || state.error.is_some()
        };
        if move_on_after(PATIENCE, end.writable.wait_until(answered)).await.is_none() {
            return Err(os(libc::ETIMEDOUT));
        }
        if let Some(code) = end.state.borrow_mut().error.take() {
            return Err(os(code));
        }
        Ok(Box::new(connection) as Box<dyn StreamSocket>)
    })
}

impl Endpoint {
    fn connecting(core: &Rc<Core>, host: HostId, peer: SocketAddr) -> io::Result<Rc<Self>> {
        let mut state = core.state_mut();
        let ip = state.source_for(host, peer.ip())?;
        let peer_host = state.host_of(host, peer.ip()).ok_or_else(|| os(libc::EHOSTUNREACH))?;
        let taken = state.connected_from(host);
        let local = state.claim(host, SocketAddr::new(ip, 0), |host| {
            let listeners = host.listeners.iter().filter_map(|listener| Some(listener.upgrade()?.local()));
            taken.iter().copied().chain(listeners).collect()
        })?;
        let id = EndId { connection: state.new_serial(), is_server: false };
        let end = Self::new(core, host, peer_host, id, local, peer, State::default());
        state.ends.insert(id, Rc::downgrade(&end));
        Ok(end)
    }

    /// The other end of a connection whose opening has arrived, and which is accepted herewith.
    pub(super) fn accepting(
        core: &Rc<Core>,
        (host, peer_host): (HostId, HostId),
        id: EndId,
        (local, peer): (SocketAddr, SocketAddr),
    ) -> Rc<Self> {
        let state = State { established: true, expected: 1, ..State::default() };
        let end = Self::new(core, host, peer_host, id, local, peer, state);
        core.state_mut().ends.insert(id, Rc::downgrade(&end));
        end
    }

    fn new(
        core: &Rc<Core>,
        host: HostId,
        peer_host: HostId,
        id: EndId,
        local: SocketAddr,
        peer: SocketAddr,
        state: State,
    ) -> Rc<Self> {
        Rc::new(Self {
            core: Rc::clone(core),
            host,
            peer_host,
            id,
            local,
            peer,
            state: RefCell::new(state),
            readable: Changes::default(),
            writable: Changes::default(),
            nodelay: Cell::new(true),
        })
    }

    pub(super) fn host(&self) -> HostId {
        self.host
    }

    pub(super) fn local(&self) -> SocketAddr {
        self.local
    }

    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    fn send(&self, what: What) {
        let number = {
            let mut state = self.state.borrow_mut();
            let number = state.next_number;
            state.next_number += 1;
            Some(number)
        };
        let segment = Segment { number, what };
        let what = Cargo::Segment { end: self.id.other(), source: self.local, destination: self.peer, segment };
        self.core.send(Passage { from: self.host, to: self.peer_host, what });
    }

    /// Tells the client that it is connected.
    pub(super) fn accept(&self) {
        self.send(What::Accept);
    }

    /// Something has come from the other end.
    pub(super) fn segment_arrives(&self, segment: Segment) {
        match segment.number {
            None => self.state.borrow_mut().take_in(segment.what),
            Some(number) => {
                let mut state = self.state.borrow_mut();
                state.early.insert(number, segment.what);
                loop {
                    let expected = state.expected;
                    let Some(what) = state.early.remove(&expected) else { break };
                    state.expected += 1;
                    state.take_in(what);
                }
            }
        }
        self.tell();
    }

    fn tell(&self) {
        self.readable.tell();
        self.writable.tell();
    }

    /// Ends the connection here; the other end is told.
    pub(super) fn reset(&self) {
        if !self.state.borrow().broken {
            self.send(What::Reset);
        }
        self.breaks(libc::ECONNRESET);
    }

    /// The host has lost all it had. Nobody is told.
    pub(super) fn crash(&self) {
        self.state.borrow_mut().down = true;
        self.breaks(libc::ENETDOWN);
    }

    fn breaks(&self, code: i32) {
        {
            let mut state = self.state.borrow_mut();
            state.broken = true;
            state.error = Some(code);
        }
        self.core.state_mut().ends.remove(&self.id);
        self.tell();
    }
}

impl State {
    /// What each call meets on a host that has crashed, however often it is asked.
    fn check_up(&self) -> io::Result<()> {
        if self.down { Err(os(libc::ENETDOWN)) } else { Ok(()) }
    }

    fn is_readable(&self) -> bool {
        !self.received.is_empty() || self.ended || self.broken
    }

    fn is_writable(&self) -> bool {
        self.untaken < WINDOW || self.broken
    }

    /// Copies what has come, which stays there; an error is told once.
    fn look(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.check_up()?;
        if self.received.is_empty() {
            return match self.error {
                _ if self.ended => Ok(0),
                Some(code) => {
                    self.error = None;
                    Err(os(code))
                }
                None if self.broken => Ok(0),
                None => Err(io::ErrorKind::WouldBlock.into()),
            };
        }
        let count = buffer.len().min(self.received.len());
        let (front, back) = self.received.as_slices();
        let from_front = count.min(front.len());
        buffer[..from_front].copy_from_slice(&front[..from_front]);
        buffer[from_front..count].copy_from_slice(&back[..count - from_front]);
        Ok(count)
    }

    fn take_in(&mut self, what: What) {
        match what {
            What::Open => {}
            What::Accept => self.established = true,
            What::Data(data) => self.received.extend(data),
            What::Taken(count) => self.untaken = self.untaken.saturating_sub(count),
            What::End => self.ended = true,
            What::Reset if self.broken => {}
            What::Reset => {
                self.broken = true;
                // Whoever resets before the connection stands refuses it; after the end, nothing more is expected.
                self.error = Some(match (self.established, self.ended) {
                    (false, _) => libc::ECONNREFUSED,
                    (true, true) => libc::EPIPE,
                    (true, false) => libc::ECONNRESET,
                });
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let end = &self.0;
        end.core.advance();
        let (broken, established, unread, end_sent) = {
            let state = end.state.borrow();
            (state.broken, state.established, !state.received.is_empty(), state.end_sent)
        };
        end.core.state_mut().ends.remove(&end.id);
        if broken || !established {
            return;
        }
        if unread {
            end.send(What::Reset);
        } else if !end_sent {
            end.send(What::End);
        }
    }
}

impl VirtualSocket for Connection {
    fn ready(&self, direction: Direction) -> Pending<'_, ()> {
        let end = &*self.0;
        end.core.advance();
        match direction {
            Direction::Read => end.readable.ready(|| end.state.borrow().is_readable()),
            Direction::Write => end.writable.ready(|| end.state.borrow().is_writable()),
        }
    }

    fn local_addr(&self) -> SocketAddr {
        self.0.local
    }
}

impl StreamSocket for Connection {
    #[cfg(feature = "__poll")]
    fn poll_ready(&self, direction: Direction, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let end = &*self.0;
        end.core.advance();
        match direction {
            Direction::Read => end.readable.poll_ready(context, || end.state.borrow().is_readable()),
            Direction::Write => end.writable.poll_ready(context, || end.state.borrow().is_writable()),
        }
    }

    fn peer_addr(&self) -> SocketAddr {
        self.0.peer
    }

    fn send(&self, data: &[u8]) -> io::Result<usize> {
        let end = &*self.0;
        let count = {
            let mut state = end.state.borrow_mut();
            state.check_up()?;
            if let Some(code) = state.error.take() {
                return Err(os(code));
            }
            if state.broken || state.end_sent {
                return Err(os(libc::EPIPE));
            }
            let count = data.len().min(WINDOW.saturating_sub(state.untaken));
            if count == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            state.untaken += count;
            count
        };
        end.send(What::Data(data[..count].to_vec()));
        Ok(count)
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let end = &*self.0;
        let (count, broken) = {
            let mut state = end.state.borrow_mut();
            let count = state.look(buffer)?;
            state.received.drain(..count);
            (count, state.broken)
        };
        if !broken && count > 0 {
            end.send(What::Taken(count));
        }
        Ok(count)
    }

    fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.state.borrow_mut().look(buffer)
    }

    fn end_sending(&self) -> io::Result<()> {
        let end = &*self.0;
        {
            let mut state = end.state.borrow_mut();
            state.check_up()?;
            if state.broken {
                return Err(os(libc::ENOTCONN));
            }
            if state.end_sent {
                return Ok(());
            }
            state.end_sent = true;
        }
        end.send(What::End);
        Ok(())
    }

    fn nodelay(&self) -> &Cell<bool> {
        &self.0.nodelay
    }
}
